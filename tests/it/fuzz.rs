//! Damaged files: whatever a file holds, it gets a plan or messages with places, and never a panic.
//!
//! A few hundred cases run with every test; `PIPE_FUZZ_SECONDS=60` goes on for a minute with a random seed, which is
//! printed, and `PIPE_FUZZ_SEED` repeats one.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipe::cli::diagnostics::{render, to_annotations, to_json};
use pipe::diag::has_errors;
use pipe::plan::{Overrides, Surroundings, compile};

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
fn damaged(corpus: &[String], dice: &mut Dice) -> String {
    let mut text = corpus[dice.below(corpus.len())].clone();
    for _ in 0..=dice.below(6) {
        let (one, other) = (dice.place(&text), dice.place(&text));
        let (start, end) = (one.min(other), one.max(other).min(one.min(other) + 200));
        let end = (start..=end).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(start);
        match dice.below(6) {
            0 | 1 => text.insert_str(start, PIECES[dice.below(PIECES.len())]),
            2 => text.replace_range(start..end, ""),
            3 => text.replace_range(start..end, PIECES[dice.below(PIECES.len())]),
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

fn check(text: &str) {
    let around = Surroundings {
        env: &|name| (name == "X").then(|| "x: [y]".to_owned()),
        read_text: &|path| if path.contains("md") { Ok("{{ item.x }}".to_owned()) } else { Err("none".to_owned()) },
        resolve: &|path| Ok(path.into()),
        list: &|path| Ok(vec![path.into()]),
    };
    let compiled = compile(Arc::from("f.yaml"), text, &Overrides::default(), &around);
    assert_eq!(compiled.plan.is_some(), !has_errors(&compiled.diagnostics));
    for diagnostic in &compiled.diagnostics {
        assert!(!diagnostic.labels.is_empty(), "{}", diagnostic.message);
        for label in diagnostic.labels.iter().filter(|label| &*label.span.file == "f.yaml") {
            assert!(label.span.start <= label.span.end && label.span.end <= text.len(), "{}", diagnostic.message);
        }
    }
    let source_of = |file: &str| (file == "f.yaml").then(|| text.to_owned());
    let shown = render(&compiled.diagnostics, &source_of, false);
    assert!(!shown.contains(|letter: char| letter.is_control() && letter != '\n' && letter != '\t'), "{shown:?}");
    assert_eq!(to_json(&compiled.diagnostics, &source_of).as_array().map(Vec::len), Some(compiled.diagnostics.len()));
    assert!(to_annotations(&compiled.diagnostics, &source_of).iter().all(|line| !line.contains('\n')));
}

#[test]
fn damaged_files_get_a_plan_or_messages() {
    let seconds: Option<u64> = std::env::var("PIPE_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let given = std::env::var("PIPE_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
    let random = || RandomState::new().build_hasher().finish();
    let seed: u64 = given.unwrap_or_else(|| if seconds.is_some() { random() } else { 1 });
    let corpus = corpus();
    let start = Instant::now();
    let (mut cases, mut slowest) = (0_u64, Duration::ZERO);
    let goes_on = |cases| match seconds {
        Some(seconds) => start.elapsed() < Duration::from_secs(seconds),
        None => cases < CASES,
    };
    while goes_on(cases) {
        let text = damaged(&corpus, &mut Dice(seed.wrapping_add(cases)));
        let begun = Instant::now();
        let held = std::panic::catch_unwind(|| check(&text));
        slowest = slowest.max(begun.elapsed());
        assert!(held.is_ok(), "PIPE_FUZZ_SEED={} fails with:\n{text:?}", seed.wrapping_add(cases));
        cases += 1;
    }
    let line = format!("fuzz: {cases} files from seed {seed}, none broke the reader; the slowest took {slowest:?}\n");
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).expect("stderr takes a line");
}
