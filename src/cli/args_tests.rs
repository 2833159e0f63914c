use clap::{CommandFactory as _, Parser as _};

use super::args::{Arguments, Command, DurabilityChoice};
use super::exit::Exit;
use super::value::{Assignment, SeedChoice};
use crate::base::Millis;

#[track_caller]
fn parse(line: &str) -> Result<Command, String> {
    let words = std::iter::once("pipe").chain(line.split(' '));
    Arguments::try_parse_from(words).map(|arguments| arguments.command).map_err(|error| error.to_string())
}

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn every_exit_code_stands_in_the_help() {
    let help = Arguments::command().render_help().to_string();
    for exit in Exit::ALL {
        let start = format!("  {:<4} ", exit.code());
        assert!(help.lines().any(|line| line.starts_with(&start)), "{exit:?} is not in\n{help}");
    }
}

#[test]
fn a_run_takes_its_options() {
    let line = "run a.yaml -p rounds=5 -p x= --set actors.pro.temperature=0.2 --seed random --repeat 3 --grace 2m \
                --durability process --resume";
    let Ok(Command::Run(args)) = parse(line) else { panic!("{:?}", parse(line)) };
    let assign = |name: &str, value: &str| Assignment { name: name.to_owned(), value: value.to_owned() };
    assert_eq!(args.overrides.params, [assign("rounds", "5"), assign("x", "")]);
    assert_eq!(args.overrides.sets, [assign("actors.pro.temperature", "0.2")]);
    assert_eq!((args.choice.seed, args.choice.repeat), (Some(SeedChoice::Random), Some(3)));
    assert_eq!((args.session.grace, args.durability), (Millis(120_000), DurabilityChoice::Process));
    assert!(args.resume && !args.new);
}

#[test]
fn runs_default_to_the_latest() {
    let Ok(Command::Show(args)) = parse("show") else { panic!("{:?}", parse("show")) };
    assert_eq!((args.run.as_str(), args.case), ("last", None));
    let Ok(Command::Results(args)) = parse("results") else { panic!("{:?}", parse("results")) };
    assert_eq!((args.run.as_str(), args.out), ("last", None));
}

#[test]
fn wrong_options_say_what_would_be_right() {
    for (line, part) in [
        ("run a.yaml -p rounds", "write name=value"),
        ("run a.yaml --grace 30", "write a time with its unit"),
        ("run a.yaml --seed x", "write a whole number"),
        ("run a.yaml --repeat 0", "0 is not in 1.."),
        ("run a.yaml --new --resume", "cannot be used with"),
        ("run", "<FILE>"),
        ("rnu a.yaml", "run"),
        ("results --format xlsx", "parquet"),
    ] {
        let error = parse(line).unwrap_err();
        assert!(error.contains(part), "{line}: {error}");
    }
}
