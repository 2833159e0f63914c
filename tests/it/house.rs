//! The arrows between modules, and what must never enter the pure core.
//!
//! A red test here is not a formality: the engine is simulated in virtual time and replayed from its log, which only
//! holds while nothing in the core looks at a clock, a file or the order of a hash map.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Module and what it may import beside `base` and `diag`, in the order of `ARCHITECTURE.md`.
const ARROWS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("diag", &[]),
    ("spec", &[]),
    ("event", &[]),
    ("stats", &[]),
    ("profile", &["event"]),
    ("prompt", &[]),
    ("judge", &["event", "stats"]),
    // `event` for the words of outcomes: where a call stands is told in them.
    ("plan", &["spec", "prompt", "judge", "event"]),
    ("task", &["plan", "prompt", "judge", "event"]),
    ("engine", &["plan", "event", "judge", "stats"]),
    ("journal", &["event"]),
    ("backend", &["prompt", "event"]),
    ("gpu", &["event"]),
    ("cache", &["event"]),
    ("worker", &["plan", "prompt", "task", "backend", "cache", "event"]),
    ("run", &["plan", "task", "engine", "journal", "backend", "gpu", "cache", "worker", "event"]),
    ("sim", &["plan", "task", "engine", "journal", "backend", "event"]),
    ("report", &["event", "stats", "judge"]),
    ("telemetry", &["event", "stats", "report", "plan", "journal", "backend"]),
    // Not `plan`, `run` or `cli`: what a pipeline means is asked of `pipe plan` and `pipe apply`, as processes.
    ("gitops", &["journal"]),
    (
        "cli",
        &[
            "spec",
            "event",
            "stats",
            "profile",
            "prompt",
            "judge",
            "plan",
            "task",
            "engine",
            "journal",
            "backend",
            "gpu",
            "cache",
            "worker",
            "run",
            "sim",
            "report",
            "telemetry",
            "gitops",
        ],
    ),
];
/// Modules without clocks, files, threads, network, or hash-map order.
const PURE: &[&str] =
    &["base", "diag", "spec", "event", "stats", "profile", "prompt", "judge", "task", "plan", "engine"];
/// What they must not name.
const IMPURE: &[&str] = &[
    "tokio",
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "std::process",
    "SystemTime",
    "Instant",
    "HashMap",
    "HashSet",
];
/// File names that say nothing.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "types"];
/// Most lines of a file.
const LONGEST_FILE: usize = 500;
/// Most lines of a file that holds nothing but tests.
const LONGEST_TESTS: usize = 700;
/// Most lines of `main.rs`: it parses arguments and returns an exit code.
const LONGEST_MAIN: usize = 60;

struct Source {
    path: PathBuf,
    /// The folder under `src`; none for `lib.rs` and `main.rs`.
    module: Option<String>,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("src is readable") {
            let path = entry.expect("src is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let inside = path.strip_prefix(&root).expect("found under it").to_owned();
                let mut parts = inside.components();
                let first = parts.next().map(|part| part.as_os_str().to_string_lossy().into_owned());
                let module = parts.next().and(first);
                let text = std::fs::read_to_string(&path).expect("source is text");
                found.push(Source { path: inside, module, text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

impl Source {
    /// Returns true for files that are compiled for tests alone.
    fn is_tests(&self) -> bool {
        let stem = self.path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
        stem.ends_with("tests") || stem == "testing" || stem == "contract"
    }

    /// Returns the code that ships: no comments, no tests. Lines keep their numbers.
    fn shipped(&self) -> Vec<(usize, String)> {
        let mut lines = Vec::new();
        let mut before = "";
        for (number, line) in self.text.lines().enumerate() {
            let test_module =
                before.trim() == "#[cfg(test)]" && line.trim_start().starts_with("mod ") && line.ends_with('{');
            if self.is_tests() || test_module {
                break;
            }
            before = line;
            let code = if line.trim_start().starts_with("//") { "" } else { line.split(" // ").next().unwrap_or("") };
            lines.push((number + 1, code.to_owned()));
        }
        lines
    }

    /// Returns the modules that the code names, each with its first line.
    fn imports(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        let code = self.shipped();
        let joined: String = code.iter().flat_map(|(_, line)| [line.as_str(), "\n"]).collect();
        for (at, _) in joined.match_indices("crate::") {
            if joined[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
                continue;
            }
            let rest = &joined[at + "crate::".len()..];
            let line = joined[..at].matches('\n').count() + 1;
            for name in named(rest) {
                found.entry(name).or_insert(line);
            }
        }
        found
    }
}

/// Returns the first names of a path: one, or those of a group in braces.
fn named(path: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut names = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(group[start..at].trim_start()));
                start = at + 1;
                if letter == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name: &String| !name.is_empty());
    names
}

#[test]
fn paths_are_read_as_rust_reads_them() {
    assert_eq!(named("plan::Plan;"), ["plan"]);
    assert_eq!(named("{base::{Digest, Millis}, event, plan::Plan}; use x"), ["base", "event", "plan"]);
}

#[test]
fn modules_import_only_along_the_arrows() {
    let modules: BTreeSet<&str> = ARROWS.iter().map(|(module, _)| *module).collect();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for source in sources() {
        let Some(module) = &source.module else { continue };
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| name == module) else {
            wrong.push(format!("src/{}: module `{module}` is not on the map", source.path.display()));
            continue;
        };
        for (import, line) in source.imports() {
            let shared = import == "base" || (import == "diag" && module != "base");
            if !modules.contains(import.as_str()) || import == *module {
                continue;
            }
            seen += 1;
            if !shared && !allowed.contains(&import.as_str()) {
                wrong.push(format!("src/{}:{line}: `{module}` may not import `{import}`", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 20, "the imports were not found");
}

#[test]
fn the_core_is_pure() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.module.as_deref().is_some_and(|name| PURE.contains(&name)))
    {
        for (line, code) in source.shipped() {
            for word in IMPURE {
                let whole = |at: usize| {
                    let outside = |letter: Option<char>| {
                        !letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
                    };
                    outside(code[..at].chars().next_back()) && outside(code[at + word.len()..].chars().next())
                };
                if code.match_indices(word).any(|(at, _)| whole(at)) {
                    wrong.push(format!("src/{}:{line}: `{word}` in the pure core", source.path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_short_and_named_for_what_they_hold() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        let is_main = source.path == Path::new("main.rs");
        let limit = match (is_main, source.is_tests()) {
            (true, _) => LONGEST_MAIN - 1,
            (_, true) => LONGEST_TESTS,
            (_, false) => LONGEST_FILE,
        };
        if lines > limit {
            wrong.push(format!("src/{}: {lines} lines, the limit is {limit}", source.path.display()));
        }
        let empty = source.path.iter().any(|part| {
            let stem = part.to_string_lossy();
            EMPTY_NAMES.contains(&stem.trim_end_matches(".rs"))
        });
        if empty {
            wrong.push(format!("src/{}: a name that says nothing", source.path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_on_the_map_exists() {
    let found: BTreeSet<String> = sources().into_iter().filter_map(|source| source.module).collect();
    let missing: Vec<&str> = ARROWS.iter().map(|(module, _)| *module).filter(|name| !found.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
