//! Damaged files: whatever a file holds, it gets a plan, or a project, or messages with places, and never a panic.
//!
//! A few hundred cases run with every test. `PIPE_FUZZ_CASES=100000` makes it as many of the same row, so that a commit
//! gets the same answer wherever it is tested; `PIPE_FUZZ_SECONDS=3600` hunts for an hour from a random seed, which is
//! printed; `PIPE_FUZZ_SEED` begins at another one; `PIPE_FUZZ_CASES=1` shows the file.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipe::base::Timestamp;
use pipe::cli::diagnostics::{render, to_annotations, to_json};
use pipe::diag::{Diagnostic, has_errors};
use pipe::plan::{Overrides, Surroundings, compile};
use pipe::spec::parse_project;

/// Cases of an ordinary run.
const CASES: u64 = 400;
/// Pieces that mean something somewhere.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "${",
    "}",
    "${X:-y}",
    "$${",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "!",
    "- ",
    "? ",
    ": ",
    ":",
    "|\n",
    ">-\n",
    "\"",
    "'",
    "\\",
    "\\x",
    "\\u00e9",
    "\n",
    "\r\n",
    "\t",
    "  ",
    "---\n",
    "...\n",
    "# ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\u{0}",
    "\u{feff}",
    "\u{1b}[2J",
    "\u{85}",
    "\u{2028}",
    "é",
    "我",
    "\u{202e}",
    "0x",
    "1e999",
    "-0",
    ".inf",
    "~",
    "null",
    "true",
    "99999999999999999999",
    "0.1.2",
    "10ms",
    "1s..2s",
    "5%",
    "file://",
    "file://../x",
    "../..",
    "item.",
    "steps.",
    "params.x",
    "steps.debate.transcript",
    "{{ item.x }}",
    "{{ params.rounds }}",
    "{% if x %}",
    "{% endif %}",
    "{% for a in b %}",
    "{% set a = a ~ a %}",
    "| upper",
    "| nothing",
    "is defined",
    "(a{99}){99}",
    "(?i)",
    "version: 1\n",
    "actors:\n",
    "steps:\n",
    "chat: ",
    "dialogue: ",
    "judge: ",
    "rounds: 3",
    "stop: ",
    "any: ",
    "not: ",
    "choose: ",
    "blind: ",
    "after: ",
    "items: ",
    "values: ",
    "path: ",
    "x-y: ",
    "agents: ",
    "temprature: 1",
];

/// Lines of a `pipe.yaml` and what stands in them.
const PROJECTS: &[&str] = &[
    "version: 1\npipelines:\n  nightly:\n    file: pipelines/debate.yaml\n    params: { rounds: 3, words: \"a b\" }\n    \
     schedule: \"0 3 * * *\"\n    keep: 14\n  sweep: { file: sweep.yaml, seed: 7, repeat: 20, limit: 100 }\n",
    "version: 1\npipelines:\n  a:\n    file: a.yaml\n    schedule: 30 8 * * MON-FRI Europe/Berlin\n    backend: sim\n    \
     model: llama3.2\n    out: results/a.csv\n  b: { file: b.yaml, schedule: \"*/5 0-23/2 1,15 JAN-DEC 0\" }\n",
];

/// Pieces of a `pipe.yaml`.
const PROJECT_PIECES: &[&str] = &[
    "*",
    "*/5",
    "*/0",
    "0-59",
    "59-0",
    "60",
    "L",
    "15W",
    "LW",
    "1#3",
    "SUN#5",
    "7#9",
    "MON-FRI",
    "JAN",
    "é",
    "0",
    ",",
    "/",
    "-",
    "#",
    "?",
    "H",
    "@daily",
    "@reboot",
    "UTC",
    "Europe/Berlin",
    "Europe/Nowhere",
    "+02:00",
    "\t",
    "  ",
    " ",
    "\n",
    "99999999999",
    "0 0 30 2 *",
    "0 0 29 2 MON#1",
    "2-3 2 29 3 SUN Europe/Berlin",
    "schedule: ",
    "file: ",
    "keep: ",
    "pipelines: ",
    "params: ",
    "out: ",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    ": ",
    "*a",
    "&a ",
    "~",
    "\u{0}",
    "\u{1b}[2J",
    "\u{2028}",
    "../..",
    "/etc/passwd",
];

struct Dice(u64);

impl Dice {
    /// Splitmix64.
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % bound.max(1) as u64).expect("it is below a usize")
    }

    fn place(&mut self, text: &str) -> usize {
        let at = self.below(text.len() + 1);
        (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
    }
}

fn corpus() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    for folder in ["pipelines", "tests/invalid"] {
        let mut paths: Vec<_> = std::fs::read_dir(root.join(folder))
            .expect("part of the repository")
            .map(|entry| entry.expect("readable").path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
            .collect();
        paths.sort();
        texts.extend(paths.iter().map(|path| std::fs::read_to_string(path).expect("text")));
    }
    texts
}

/// Changes a text in one to six places: pieces put in, taken out, moved, doubled, or taken from another text.
fn damaged(corpus: &[String], pieces: &[&str], dice: &mut Dice) -> String {
    let mut text = corpus[dice.below(corpus.len())].clone();
    for _ in 0..=dice.below(6) {
        let (one, other) = (dice.place(&text), dice.place(&text));
        let (start, end) = (one.min(other), one.max(other).min(one.min(other) + 200));
        let end = (start..=end).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(start);
        match dice.below(6) {
            0 | 1 => text.insert_str(start, pieces[dice.below(pieces.len())]),
            2 => text.replace_range(start..end, ""),
            3 => text.replace_range(start..end, pieces[dice.below(pieces.len())]),
            4 => {
                let piece = text[start..end].to_owned();
                let at = dice.place(&text);
                text.insert_str(at, &piece);
            }
            _ => {
                let source = &corpus[dice.below(corpus.len())];
                let lines: Vec<&str> = source.split_inclusive('\n').collect();
                if let Some(line) = lines.get(dice.below(lines.len())) {
                    let at = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
                    text.insert_str(at, line);
                }
            }
        }
    }
    text
}

/// A pipeline gets a plan or an error, never both and never neither.
fn pipeline(text: &str) {
    let around = Surroundings {
        env: &|name| (name == "X").then(|| "x: [y]".to_owned()),
        read_text: &|path| if path.contains("md") { Ok("{{ item.x }}".to_owned()) } else { Err("none".to_owned()) },
        resolve: &|path| Ok(path.into()),
        list: &|path| Ok(vec![path.into()]),
    };
    let compiled = compile(Arc::from("f.yaml"), text, &Overrides::default(), &around);
    assert_eq!(compiled.plan.is_some(), !has_errors(&compiled.diagnostics));
    shown(text, &compiled.diagnostics);
}

/// A project whose every schedule comes again, or an error.
fn project(text: &str) {
    let (project, diagnostics) = parse_project(Arc::from("f.yaml"), text);
    assert!(project.is_some() || has_errors(&diagnostics));
    shown(text, &diagnostics);
    let now = Timestamp(1_780_000_000_000_000);
    let pipelines = project.and_then(|project| project.pipelines.0);
    let entries = pipelines.iter().flat_map(|table| &table.entries);
    for schedule in entries.filter_map(|entry| entry.value.as_ref()?.schedule.as_ref()) {
        let next = schedule.value.next_after(now);
        assert!(next.is_none_or(|next| next > now), "{schedule:?}");
    }
}

/// What is said of a file has places in it and can be shown wherever it is wanted.
fn shown(text: &str, diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        assert!(!diagnostic.labels.is_empty(), "{}", diagnostic.message);
        for label in diagnostic.labels.iter().filter(|label| &*label.span.file == "f.yaml") {
            assert!(label.span.start <= label.span.end && label.span.end <= text.len(), "{}", diagnostic.message);
        }
    }
    let source_of = |file: &str| (file == "f.yaml").then(|| text.to_owned());
    let shown = render(diagnostics, &source_of, false);
    assert!(!shown.contains(|letter: char| letter.is_control() && letter != '\n' && letter != '\t'), "{shown:?}");
    assert_eq!(to_json(diagnostics, &source_of).as_array().map(Vec::len), Some(diagnostics.len()));
    assert!(to_annotations(diagnostics, &source_of).iter().all(|line| !line.contains('\n')));
}

/// Returns the number in a variable of the environment; a word that is none is no wish to be let off.
fn asked(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn damaged_files_get_a_plan_or_messages() {
    none_breaks(&corpus(), PIECES, pipeline);
}

#[test]
fn damaged_projects_get_a_project_or_messages() {
    let projects: Vec<String> = PROJECTS.iter().map(|text| (*text).to_owned()).collect();
    for text in &projects {
        assert!(parse_project(Arc::from("f.yaml"), text).1.is_empty(), "{text}");
    }
    none_breaks(&projects, PROJECT_PIECES, project);
}

/// Damages files of a corpus as many times, or as long, as was asked for; says which seed breaks the check.
fn none_breaks(corpus: &[String], pieces: &[&str], check: fn(&str)) {
    let seconds = asked("PIPE_FUZZ_SECONDS");
    let random = || RandomState::new().build_hasher().finish();
    let seed = asked("PIPE_FUZZ_SEED").unwrap_or_else(|| if seconds.is_some() { random() } else { 1 });
    let bound = asked("PIPE_FUZZ_CASES").unwrap_or(CASES);
    let start = Instant::now();
    let (mut cases, mut slowest) = (0_u64, (Duration::ZERO, seed));
    let goes_on = |cases| match seconds {
        Some(seconds) => start.elapsed() < Duration::from_secs(seconds),
        None => cases < bound,
    };
    while goes_on(cases) {
        let this = seed.wrapping_add(cases);
        let text = damaged(corpus, pieces, &mut Dice(this));
        if bound == 1 {
            say(&text);
        }
        let begun = Instant::now();
        let held = std::panic::catch_unwind(|| check(&text));
        slowest = slowest.max((begun.elapsed(), this));
        assert!(held.is_ok(), "PIPE_FUZZ_SEED={this} fails with:\n{text:?}");
        cases += 1;
    }
    let (longest, slow) = slowest;
    let line = format!(
        "fuzz: {cases} files from seed {seed}, none broke the reader; the slowest, of seed {slow}, took {longest:?}\n"
    );
    say(&line);
}

fn say(text: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).expect("stderr takes a text");
}
