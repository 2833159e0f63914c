//! `pipe resume`: go on with a run that was stopped, interrupted or killed.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::args::{ResumeArgs, Session};
use super::earlier::Earlier;
use super::engage::{self, Engagement};
use super::exit::{CommandError, Exit, with_causes};
use super::kept::Kept;
use super::output::Output;
use super::pipeline::Loaded;
use super::place::Unfinished;
use super::printer::Printer;
use super::provenance::Origin;
use super::retry::{self, Found, Wish};
use super::run::Beginning;
use super::{connect, metrics, output, pipeline, place, provenance, sampling, spans, stdin, steer};
use crate::backend::Connected;
use crate::base::{Digest, RunId};
use crate::engine::{Input, Options};
use crate::event::{BackendResolved, RunResumed, RunTuned};
use crate::journal::{Home, RunDir, RunLock, Sqlite, Text};
use crate::plan::Plan;
use crate::report::grouped;
use crate::run::{Clock, Resumable, ResumeError, Reuse, Source, Survey, load};

/// Resumes a run by its name.
///
/// # Errors
/// A run that is not there, or cannot be taken up.
pub(super) async fn resume(args: &ResumeArgs, printer: &mut Printer) -> Result<Exit, CommandError> {
    if args.session.quiet {
        printer.hush();
    }
    let home = place::home_here();
    let dir = match args.run.as_str() {
        "last" => latest(&home)?,
        run => home.resolve(run).map_err(|error| CommandError::new(Exit::Usage, error.to_string()))?,
    };
    if steer::is_paused(&dir)? {
        if !args.sets.is_empty() {
            let message = format!("{} is paused, and the process that works on it takes no --set", dir.id);
            let help = "`pipe tune --set` changes its limits; `pipe resume` without --set goes on as it is; or `pipe stop`, \
                        then `pipe resume --set …`";
            return Err(CommandError::new(Exit::Usage, message).help(help));
        }
        return steer::unpause(&dir, args.session.json, printer).await;
    }
    let sets = args.sets.iter().map(|set| (set.name.clone(), set.value.clone())).collect();
    let going = Going { sets, wish: None, origin: Origin::Around { require_clean: false } };
    take_up(&dir, going, &args.session, printer).await
}

/// Returns the newest run that can be gone on with; the newest of all when every one is over or being worked on.
fn latest(home: &Home) -> Result<RunDir, CommandError> {
    let newest = home.resolve("last").map_err(|error| CommandError::new(Exit::Usage, error.to_string()))?;
    let runs = home.runs().map_err(|error| CommandError::journal(&error))?;
    let open = runs.into_iter().find(|run| {
        if run.is_held() {
            return steer::is_paused(run).unwrap_or(false);
        }
        load(&run.journal_path()).is_ok_and(|found| !found.complete && !found.cancelled)
    });
    Ok(open.unwrap_or(newest))
}

/// What is wanted of a run beside going on.
pub(super) struct Going<'a> {
    /// Values of its file that are replaced, on top of those that it began with.
    pub(super) sets: Vec<(String, String)>,
    /// Which of its cases that are over are asked again.
    pub(super) wish: Option<&'a Wish>,
    /// What is known of the commit that its file is of by now.
    pub(super) origin: Origin,
}

/// Goes on with a run.
///
/// # Errors
/// It is held by another process, complete, or cannot be taken up by this version.
pub(super) async fn take_up(
    dir: &RunDir,
    going: Going<'_>,
    session: &Session,
    printer: &mut Printer,
) -> Result<Exit, CommandError> {
    let Going { sets, wish, origin } = going;
    let lock = locked(dir)?;
    let journal = dir.journal_path();
    let found = load(&journal).map_err(|error| unusable(&error))?;
    if found.cancelled || (found.complete && wish.is_none()) {
        return over(dir, &found, session.json, printer);
    }
    let kept = Kept::read(&found.started)?;
    let (earlier, latest) = (found.started.backends.clone(), found.latest);
    let traced = found.started.traced.unwrap_or_default();
    let file = PathBuf::from(&found.started.file);
    let before = found.started.provenance.clone();
    let mut source = found.source.clone();
    source.replace(&sets);
    let (mut loaded, changed) = match edited(&file, &found, &kept, &source)? {
        Edit::None(loaded) => (loaded, None),
        Edit::Outside(loaded, changed) => (loaded, Some(changed)),
        Edit::Inside(_) if wish.is_some() => return Err(retry::edited(dir, &file)),
        Edit::Inside(loaded) => {
            drop(lock);
            let kept = Kept { overrides: pipeline::on_top(&kept.overrides, &source), ..kept };
            return anew(dir, &file, loaded, kept, session, printer).await;
        }
        Edit::Gone(loaded, changed) => {
            gone(&file.display().to_string(), printer);
            (loaded, changed)
        }
    };
    loaded.gone.iter().for_each(|file| gone(file, printer));
    let Some(mut plan) = loaded.plan.take() else {
        loaded.say(printer);
        printer.complain("   = help: the run waits: mend the file, or move it away to go on with the run's own copy");
        return pipeline::refuse(&file, &loaded, None, session.json, printer);
    };
    stdin::again(&mut plan, dir)?;
    let replay = found.replay(&plan).map_err(|error| unusable(&error))?;
    // An input of which every case is admitted is not looked at any more.
    let is_read = !replay.state().source_ended;
    let survey = is_read.then(|| pipeline::surveyed(&file, &loaded, &plan, session.json, printer)).transpose()?;
    let survey = match survey.transpose() {
        Ok(survey) => survey,
        Err(exit) => return Ok(exit),
    };
    let reopened = wish.map(|wish| wish.find(dir, &plan)).transpose()?;
    if let Some(reopened) = reopened.as_ref().filter(|reopened| reopened.cases.is_empty()) {
        return reopened.say_none(dir, session.json, printer);
    }
    let output = Output::plan(&plan, &kept, Some(dir), &place::home_here(), session.prints_rows(), printer)?;
    let provenance = provenance::again(origin, before.as_ref(), &file);
    let (provenance, connected) =
        tokio::try_join!(provenance, connect::backends(&plan, Some(&earlier), dir.home(), printer))?;
    connect::same_models(&earlier, &connected, printer)?;
    let outlets = metrics::outlets(session, printer).await?;
    let telling = spans::telling(session.trace_to.as_deref(), &plan)?;

    let clock = Clock::start(Some(latest));
    reopened.as_ref().map_or(Ok(()), |_| output::owe(dir))?;
    let reused = kept.reuse.as_ref().filter(|_| !replay.state().source_ended);
    let reuse = reused.map(|run| reused_again(dir, run, &plan, &earlier, printer)).transpose()?.flatten();
    let total = survey.as_ref().map_or(0, |survey| survey.cases).max(replay.state().cases.admitted);
    survey.iter().for_each(|survey| say_other_input(kept.input, survey, printer));
    let (done, cut_off) = (replay.state().cases.settled(), cut_off(replay.state().in_flight()));
    printer.say(&going_on(dir, reopened.as_ref(), done, total, &cut_off));
    let segment = replay.state().segment + 1;
    let slots: Vec<u32> = connected.iter().map(|one| one.resolved.slots).collect();
    let engine = replay.engine(Options { slots, grace: session.grace });
    let log = Sqlite::open(&journal, kept.durability()).map_err(|error| CommandError::journal(&error))?;
    let cases = plan.evidence.is_some().then_some(total);
    let resumed = RunResumed { provenance, ..resumed(segment, &connected, cases) };
    let mut first = vec![again(resumed, reopened)];
    let mut first_texts = Vec::new();
    if let Some(changed) = changed {
        printer.say(&tuned_line(&file, &changed, &sets));
        let (tuned, texts) = tune(loaded, &plan, source.sets, changed);
        first.push(tuned);
        first_texts = texts;
    }
    let backends: Vec<BackendResolved> = connected.iter().map(|one| one.resolved.clone()).collect();
    let devices = sampling::devices(session.gpu, &backends, clock, printer).await?;
    let engagement = Engagement {
        plan,
        connected,
        earlier: Some(earlier),
        dir: dir.clone(),
        lock,
        log: Box::new(log),
        engine,
        first,
        first_texts,
        reuse,
        total,
        output,
        session: session.clone(),
        clock,
        devices,
        outlets,
        telling,
        traced,
    };
    Box::pin(engage::engage(engagement, printer)).await
}

/// Returns what takes a run up, with the cases that go on though they were over.
fn again(resumed: RunResumed, reopened: Option<Found>) -> Input {
    match reopened {
        Some(reopened) => Input::Retry(Box::new(resumed), reopened.cases),
        None => Input::Resume(Box::new(resumed)),
    }
}

/// Returns what records that another process goes on.
fn resumed(segment: u32, connected: &[Connected], cases: Option<u64>) -> RunResumed {
    let backends = connected.iter().map(|one| one.resolved.clone()).collect();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    RunResumed { segment, version, backends, cases, parent: spans::caller(), provenance: None }
}

/// Returns what records an edit outside identity, and the texts that it speaks of.
fn tune(loaded: Loaded, plan: &Plan, sets: Vec<(String, String)>, changed: Vec<String>) -> (Input, Vec<Text>) {
    let (source, files, texts) = super::run::recorded(loaded.text, &loaded.read);
    let (prices, cell_prices) = (plan.prices(), plan.cell_prices());
    let tuned = RunTuned { source, files, prices, cell_prices, changed, sets, asked: Vec::new() };
    (Input::Tune(Box::new(tuned)), texts)
}

/// Takes the right to write to a run.
fn locked(dir: &RunDir) -> Result<RunLock, CommandError> {
    dir.lock().map_err(|error| {
        CommandError::new(Exit::Usage, error.to_string())
            .help("it is being worked on; `pipe show` tells how far it is")
    })
}

/// Says when the input is not what it was when the run began.
fn say_other_input(then: Option<(u64, Digest)>, now: &Survey, printer: &mut Printer) {
    let Some((cases, _)) = then.filter(|(_, digest)| *digest != now.digest) else { return };
    printer.say(&format!(
        "the input was edited since this run began ({} then, {} now): cases that have not begun are read from it",
        super::check::counted(cases, "case"),
        grouped(now.cases)
    ));
}

/// Says that nothing can follow; writes the results of a run that was killed right before.
fn over(dir: &RunDir, found: &Resumable, json: bool, printer: &mut Printer) -> Result<Exit, CommandError> {
    if found.complete {
        let kept = Kept::read(&found.started)?;
        let file = Path::new(&found.started.file);
        let loaded = pipeline::compile_again(file, &found.source, &kept.overrides, kept.allow_outside)?;
        if let Some(plan) = loaded.plan.filter(|plan| output::is_owed(plan, dir))
            && let output = Output::plan(&plan, &kept, Some(dir), &place::home_here(), !json, printer)?
            && let Some(path) = output.write(dir, &plan, printer)?
        {
            printer.say(&format!("results: {}", path.display()));
        }
        printer.say(&format!("{} is complete: `pipe show {}`", dir.id, dir.id));
        return Ok(Exit::Done);
    }
    let help = format!("`pipe run {} --reuse {}` takes over what it has", found.started.file, dir.id);
    Err(CommandError::new(Exit::Usage, format!("{} was cancelled, for good", dir.id)).help(help))
}

fn going_on(dir: &RunDir, reopened: Option<&Found>, done: u64, total: u64, cut_off: &str) -> String {
    if let Some(found) = reopened {
        return format!("retrying {}: {}{cut_off}", dir.id, found.says());
    }
    let all = super::check::counted(total, "case");
    format!("resuming {}: {} of {all} done{cut_off}", dir.id, grouped(done))
}

fn gone(file: &str, printer: &mut Printer) {
    printer.say(&format!("{file} is gone; the run goes on with its own copy"));
}

/// Says how many calls the process before took along.
fn cut_off(calls: u64) -> String {
    match calls {
        0 => String::new(),
        1 => "; 1 call was in flight and is asked again".to_owned(),
        calls => format!("; {} calls were in flight and are asked again", grouped(calls)),
    }
}

fn unusable(error: &ResumeError) -> CommandError {
    let told = CommandError::new(Exit::JournalUnusable, with_causes(error));
    match error {
        ResumeError::OtherPlan { .. } => {
            told.help("resume it with that version and the same environment, or start anew with `pipe run --new`")
        }
        _ => told,
    }
}

/// What became of a pipeline's file since its run began.
enum Edit {
    /// Nothing.
    None(Loaded),
    /// Nothing that is asked is another: what differs, in words.
    Outside(Loaded, Vec<String>),
    /// Something else would be asked.
    Inside(Loaded),
    /// It cannot be found: the journal's own copy serves, with what differs in it by new sets.
    Gone(Loaded, Option<Vec<String>>),
}

/// Reads the file again and compares it with what the run is made of.
fn edited(file: &Path, found: &Resumable, kept: &Kept, source: &Source) -> Result<Edit, CommandError> {
    let again = || pipeline::compile_again(file, &found.source, &kept.overrides, kept.allow_outside);
    if matches!(std::fs::metadata(file), Err(error) if error.kind() == std::io::ErrorKind::NotFound) {
        return copied(file, found, kept, source);
    }
    let now = pipeline::load_again(file, source, &kept.overrides, kept.allow_outside)?;
    let is_same =
        source.sets == found.source.sets && *now.text == *found.source.text && now.read == found.source.files;
    let Some(plan) = &now.plan else { return Ok(Edit::None(now)) };
    if is_same {
        return Ok(Edit::None(now));
    }
    if plan.hash != found.started.plan {
        return Ok(Edit::Inside(now));
    }
    let changed = again()?.plan.map_or_else(Vec::new, |before| tuned(&before, plan));
    Ok(Edit::Outside(now, changed))
}

/// Takes the journal's own copy of a file that is gone, with what `source` sets in it by now.
fn copied(file: &Path, found: &Resumable, kept: &Kept, source: &Source) -> Result<Edit, CommandError> {
    let with = |source| pipeline::compile_again(file, source, &kept.overrides, kept.allow_outside);
    let now = with(source)?;
    let Some(plan) = now.plan.as_ref().filter(|_| source.sets != found.source.sets) else {
        return Ok(Edit::Gone(now, None));
    };
    if plan.hash != found.started.plan {
        let message = format!(
            "{} is gone, and with that --set the run would ask something else than it began with",
            file.display()
        );
        let help =
            "put the file back: the resume is then a new run that takes over what is settled; or leave --set out";
        return Err(CommandError::new(Exit::Usage, message).help(help));
    }
    let changed = with(&found.source)?.plan.map_or_else(Vec::new, |before| tuned(&before, plan));
    Ok(Edit::Gone(now, Some(changed)))
}

/// Says what differs, and who says so.
fn tuned_line(file: &Path, changed: &[String], sets: &[(String, String)]) -> String {
    let what = if changed.is_empty() { "nothing that is asked".to_owned() } else { changed.join(", ") };
    let cause = if sets.is_empty() { format!("{} was edited", file.display()) } else { "by --set".to_owned() };
    format!("{cause}: {what} differs; the run goes on with that")
}

/// Names what differs between two plans that ask the same.
pub(super) fn tuned(before: &Plan, now: &Plan) -> Vec<String> {
    let rows = |plan: &Plan| plan.results.as_ref().map(|results| (results.path.clone(), results.columns.clone()));
    let most = |plan: &Plan| plan.backends.iter().map(|backend| backend.concurrency).collect::<Vec<_>>();
    let differs = [
        ("limits", before.limits != now.limits),
        ("stop", before.halt != now.halt),
        ("tolerate", before.tolerated.to_bits() != now.tolerated.to_bits()),
        ("concurrency", most(before) != most(now)),
        ("cache", before.cache != now.cache),
        ("results", rows(before) != rows(now)),
        ("telemetry", before.telemetry != now.telemetry),
        ("price", (before.prices(), before.cell_prices()) != (now.prices(), now.cell_prices())),
        ("description", before.description != now.description),
    ];
    differs.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).to_owned()).collect()
}

/// Starts a new run of the edited file that takes over what the old one has settled in the same words.
async fn anew(
    dir: &RunDir,
    file: &Path,
    mut loaded: Loaded,
    kept: Kept,
    session: &Session,
    printer: &mut Printer,
) -> Result<Exit, CommandError> {
    let earlier = Earlier::open(dir)?;
    loaded.say(printer);
    let Some(mut plan) = loaded.plan.take() else {
        return pipeline::refuse(file, &loaded, None, session.json, printer);
    };
    stdin::again(&mut plan, dir)?;
    let survey = match pipeline::surveyed(file, &loaded, &plan, session.json, printer)? {
        Ok(survey) => survey,
        Err(exit) => return Ok(exit),
    };
    let Loaded { text, read, .. } = loaded;
    printer.say(&format!(
        "{} was edited, and asks something else: a new run takes over from {}",
        file.display(),
        dir.id
    ));
    let home = home_of_run(dir);
    let beginning = Beginning {
        plan,
        text,
        read,
        file,
        home: &home,
        survey,
        kept,
        earlier: Some(earlier),
        origin: Origin::Around { require_clean: false },
        models: None,
        session,
    };
    super::run::begin(beginning, printer).await.map(|begun| begun.exit)
}

/// Returns the home that a run lies in.
fn home_of_run(dir: &RunDir) -> Home {
    let home = dir.path.ancestors().nth(2).unwrap_or(&dir.path);
    Home::at(home, Some(home))
}

/// Finds what the run that this one reuses has of the cases that are not admitted yet.
fn reused_again(
    dir: &RunDir,
    run: &RunId,
    plan: &Plan,
    resolved: &[BackendResolved],
    printer: &mut Printer,
) -> Result<Option<Reuse>, CommandError> {
    let earlier = match Earlier::named(&home_of_run(dir), run.as_str()) {
        Ok(earlier) => earlier,
        Err(error) => {
            printer.say(&format!("what {run} had is asked again: {error}"));
            return Ok(None);
        }
    };
    super::reuse::of(&earlier, plan, resolved).map(Some)
}

/// Asks what to do about an unfinished run; true is to take it up.
///
/// # Errors
/// There is no terminal to ask on, or nobody answers.
pub(super) fn wanted_instead(found: &Unfinished, printer: &mut Printer) -> Result<bool, CommandError> {
    let done = match found.total {
        Some(total) => format!("{} of {} done", grouped(found.done), grouped(total)),
        None => format!("{} done", super::check::counted(found.done, "case")),
    };
    let message = format!("{} is not finished: {done}", found.dir.id);
    if !std::io::stdin().is_terminal() || !printer.err().is_terminal() {
        return Err(
            CommandError::new(Exit::Usage, message).help("say --resume to go on with it, or --new to start another")
        );
    }
    printer.complain(&format!("{message}\n[r]esume it, start a [n]ew one, or [q]uit? "));
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "" | "r" | "resume" => Ok(true),
        "n" | "new" => Ok(false),
        _ => Err(CommandError::new(Exit::Usage, "nothing was started")),
    }
}
