//! Files from people who mean harm: nothing outside of the project is read or written, nothing uses up the machine, and
//! each attempt is told with its place.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipe::cli::files::ProjectFiles;
use pipe::diag::{Diagnostic, code};
use pipe::plan::{Compiled, Items, Overrides, Surroundings, compile};

use crate::project::{Project, text};

/// What stands in every file outside of the project.
const SECRET: &str = "{\"secret\": \"SECRET-OUTSIDE\"}\n";

/// `{field}` is where the path goes.
const FIELDS: [(&str, &str); 6] = [
    ("items.path", "items: { path: {field} }"),
    ("results.path", "results: { path: {field} }"),
    ("system", "actors: { pro: { system: {file} }, con: {}, referee: {} }"),
    ("opening", "steps: { s: { dialogue: { actors: [pro, con], opening: {file}, stop: { rounds: 1 } } } }"),
    ("prompt", "steps: { s: { chat: { actor: pro, prompt: {file} } } }"),
    ("question", "steps: { s: { judge: { actor: pro, question: {file}, choose: [a, b] } } }"),
];

/// A folder with a project in it, and things beside the project that must not be touched.
struct Yard {
    folder: tempfile::TempDir,
}

impl Yard {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let yard = Self { folder };
        for name in ["project/.git", "project/sub", "outside/deep", "project-twin"] {
            fs::create_dir_all(yard.path(name)).expect("made");
        }
        for name in ["outside/s.jsonl", "outside/deep/s.jsonl", "project-twin/s.jsonl", "s.jsonl"] {
            fs::write(yard.path(name), SECRET).expect("written");
        }
        fs::write(yard.path("project/inside.jsonl"), "{\"a\": 1}\n").expect("written");
        for (name, to) in [
            ("file.jsonl", "outside/s.jsonl"),
            ("folder", "outside"),
            ("up", "."),
            ("sub/link.jsonl", "s.jsonl"),
            ("new.jsonl", "outside/new.jsonl"),
            ("chain.jsonl", "project/file.jsonl"),
            ("root", "/"),
            ("proc", "/proc/self"),
            ("loop", "project/loop"),
        ] {
            symlink(yard.path(to), yard.path("project").join(name)).expect("linked");
        }
        let made = std::process::Command::new("mkfifo").arg(yard.path("project/fifo.jsonl")).status();
        assert!(made.expect("mkfifo is there").success());
        yard
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sixty ways out; some of them only look like one and stay inside.
    fn paths(&self) -> Vec<String> {
        let here = self.folder.path().display().to_string();
        let mut paths: Vec<String> = [
            "../s.jsonl",
            "../../s.jsonl",
            "./../s.jsonl",
            "sub/../../s.jsonl",
            "sub/../sub/../../s.jsonl",
            "../outside/s.jsonl",
            "../project/../s.jsonl",
            "../project-twin/s.jsonl",
            "..//s.jsonl",
            ".././s.jsonl",
            "none/../../s.jsonl",
            "none/../../../s.jsonl",
            "sub/none/../../../s.jsonl",
            "../new.jsonl",
            "../outside/new.jsonl",
            "../none/new.jsonl",
            "file.jsonl",
            "folder/s.jsonl",
            "folder/deep/s.jsonl",
            "folder/new.jsonl",
            "folder/none/new.jsonl",
            "folder/../s.jsonl",
            "up/s.jsonl",
            "up/outside/s.jsonl",
            "up/project/../s.jsonl",
            "sub/link.jsonl",
            "new.jsonl",
            "chain.jsonl",
            "root/etc/passwd.jsonl",
            "root/tmp/x.jsonl",
            "proc/cwd/../s.jsonl",
            "proc/root/etc/x.jsonl",
            "proc/environ/x.jsonl",
            "loop/s.jsonl",
            "fifo.jsonl",
            "inside.jsonl/s.jsonl",
            "inside.jsonl/../../s.jsonl",
            "sub/.jsonl/../../../s.jsonl",
            "/etc/passwd.jsonl",
            "/etc/passwd",
            "/dev/stdin",
            "/dev/fd/0",
            "/dev/zero",
            "/proc/self/environ",
            "/proc/self/cwd/../s.jsonl",
            "/tmp/../etc/hosts.jsonl",
            "//etc//hosts.jsonl",
            "/../../etc/hosts.jsonl",
            "~/s.jsonl/../../../s.jsonl",
            "..\\\\s.jsonl/../../s.jsonl",
            "sub\\u0000/../../s.jsonl",
            "\\u0000.jsonl",
            "%2e%2e/../../s.jsonl",
            "sub/\\u202e/../../../s.jsonl",
            "file:///etc/hosts.jsonl/../../../../../s.jsonl",
        ]
        .into_iter()
        .map(str::to_owned)
        .collect();
        for name in ["s.jsonl", "outside/s.jsonl", "outside/new.jsonl", "project-twin/s.jsonl", "project/../s.jsonl"]
        {
            paths.push(format!("{here}/{name}"));
        }
        assert_eq!(paths.len(), 60);
        paths
    }

    /// Everything outside of the project, with its content.
    fn outside(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("readable") {
                let path = entry.expect("readable").path();
                if path == self.path("project") {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.insert(path.clone(), fs::read(&path).expect("readable"));
                }
            }
        }
        found
    }
}

/// A file with one field that names a path.
fn file_with(field: &str, path: &str) -> String {
    let field = field.replace("{field}", &format!("\"{path}\"")).replace("{file}", &format!("\"file://{path}\""));
    let rest = [
        ("actors:", "actors: { pro: {}, con: {}, referee: {} }"),
        ("steps:", "steps: { s: { chat: { actor: pro, prompt: Hello } } }"),
    ];
    let missing = rest.iter().filter(|(key, _)| !field.starts_with(key)).map(|(_, line)| *line);
    ["version: 1", &field].into_iter().chain(missing).collect::<Vec<_>>().join("\n")
}

fn compiled(yaml: &str, files: &ProjectFiles) -> Compiled {
    let around = Surroundings {
        env: &|_| None,
        read_text: &|path| files.read_text(path),
        resolve: &|path| files.resolve(path),
        list: &|path| files.list(path),
    };
    compile(Arc::from("f.yaml"), yaml, &Overrides::default(), &around)
}

#[test]
fn sixty_paths_in_six_fields_read_nothing_outside() {
    let yard = Yard::new();
    let root = yard.path("project").canonicalize().expect("it is there");
    let files = ProjectFiles::around(&root.join("f.yaml")).expect("the folder exists");
    let before = yard.outside();
    let mut refused = 0;
    for path in yard.paths() {
        for (name, field) in FIELDS {
            let yaml = file_with(field, &path);
            let Compiled { plan, diagnostics } = compiled(&yaml, &files);
            let what = format!("{name}: {path}");
            assert!(diagnostics.iter().all(|found| !found.labels.is_empty() && found.message.is_ascii()), "{what}");
            let Some(plan) = plan else {
                refused += 1;
                assert!(diagnostics.iter().any(|found| found.labels[0].span.end <= yaml.len()), "{what}");
                continue;
            };
            assert!(!format!("{:?}", plan.templates).contains("SECRET"), "{what}");
            if let Items::Files(files) = &plan.items {
                assert!(files.paths.iter().all(|file| file.path.starts_with(&root)), "{what}: {files:?}");
                let rows = pipe::run::survey(&plan);
                assert!(rows.is_err(), "{what}: none of these files is there, or may be read: {rows:?}");
            }
            if let Some(results) = &plan.results {
                assert!(results.path.starts_with(&root), "{what}: {}", results.path.display());
            }
        }
    }
    assert!(refused >= 330, "{refused}");
    assert_eq!(yard.outside(), before);
}

#[test]
fn a_run_writes_nothing_outside_even_when_links_are_swapped_meanwhile() {
    let project = Project::new();
    fs::create_dir(project.path("out")).expect("made");
    fs::create_dir(project.path("elsewhere")).expect("made");
    let yaml = "version: 1\nbackends: { b: { base_url: \"sim:1\" } }\nactors: { a: { max_tokens: 40 } }\nresults: { path: out/r.jsonl }\n\
                steps: { s: { chat: { actor: a, prompt: Hello } } }\n";
    project.write("f.yaml", yaml);
    // In real time the simulated answer takes a while: the folder is checked before, and is a link after.
    let mut run = project.pipe(&["run", "f.yaml"]);
    let piped = std::process::Stdio::piped;
    let child = run.stdout(piped()).stderr(piped()).spawn().expect("pipe starts");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !project.path(".pipe/runs").is_dir() {
        assert!(std::time::Instant::now() < deadline, "the run never began");
        std::thread::yield_now();
    }
    fs::rename(project.path("out"), project.path("was")).expect("moved");
    symlink(project.path("elsewhere"), project.path("out")).expect("linked");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(fs::read_dir(project.path("elsewhere")).expect("readable").count(), 0, "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("cannot be written"), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn rows_of_every_odd_kind_are_named_or_read() {
    let project = Project::new();
    let yaml = "version: 1\nactors: { a: {} }\nitems: { path: rows.jsonl }\n\
                steps: { s: { chat: { actor: a, prompt: \"{{ item.t }}\" } } }\n";
    project.write("f.yaml", yaml);
    let check = |rows: &[u8], expected: &str| {
        fs::write(project.path("rows.jsonl"), rows).expect("written");
        let output = project.run(&["check", "f.yaml"]);
        let told = text(&output.stdout) + &text(&output.stderr);
        assert!(told.contains(expected), "{told}\ninstead of {expected}");
        assert!(!told.contains('\u{1b}'), "{told:?}");
    };
    check(b"\xef\xbb\xbf{\"t\": \"x\"}\r\n\r\n{\"t\": \"y\"}\r\n", "(1 step, 1 actor, 2 cases)");
    check(b"{\"t\": \"{{ 7 * 7 }} {% for %}\"}\n", "1 case)");
    check(b"{\"t\": 1}\n{\"t\": \"a\0b\"}\n", "rows.jsonl:2");
    check(b"{\"t\": 1}\n\0\0\0\n", "the line has NUL bytes");
    check(b"{\"t\": \"\x1b[2J\n", "rows.jsonl:1");
    check(b"{\"t\": \"caf\xe9\"}\n", "rows.jsonl:1");
    check(b"[1]\n", "the line is JSON, but no object");
    check("[".repeat(100_000).as_bytes(), "recursion limit exceeded");
    let long = |length: usize| [b"{\"t\": \"".as_slice(), &vec![b'x'; length], b"\"}\n"].concat();
    check(&long(10 << 20), "1 case)");
    check(&long(17 << 20), "the line is longer than 16 MiB");
}

#[test]
fn item_text_that_looks_like_a_template_is_sent_as_it_stands() {
    let project = Project::new();
    let yaml = "version: 1\nbackends: { b: { base_url: sim } }\nactors: { a: {} }\nitems: { path: rows.jsonl }\n\
                steps: { s: { chat: { actor: a, prompt: \"Say {{ item.t }}\" } } }\n";
    project.write("f.yaml", yaml);
    project
        .write("rows.jsonl", "{\"t\": \"{{ 7 * 7 }}{% for i in range(99999) %}{{ params }}{% endfor %}${HOME}\"}\n");
    project.stdout(&["run", "f.yaml"]);
    let shown = project.stdout(&["show", "last", "0", "--json"]);
    assert!(shown.contains("Say {{ 7 * 7 }}{% for i in range(99999) %}{{ params }}{% endfor %}${HOME}"), "{shown}");
}

/// The one diagnostic that a file deserves.
fn only(yaml: &str) -> Diagnostic {
    let files = ProjectFiles::around(&Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/f.yaml"));
    let mut found = compiled(yaml, &files.expect("the folder exists")).diagnostics;
    assert!(!found.is_empty());
    found.swap_remove(0)
}

#[test]
fn files_that_would_use_up_the_machine_are_refused_by_name() {
    let rest = "actors: { a: {} }\nsteps: { s: { chat: { actor: a, prompt: Hello } } }\n";
    let bombs = [
        (code::TOO_LARGE, format!("version: 1\nx-a: {}{}\n{rest}", "[".repeat(50_000), "]".repeat(50_000))),
        (code::TOO_LARGE, format!("version: 1\nx-a: {}1\n{rest}", "{ a: ".repeat(50_000))),
        (
            code::TOO_LARGE,
            format!("version: 1\nx-a:\n{}", (0..500).map(|depth| " ".repeat(depth) + "- \n").collect::<String>()),
        ),
        (code::TOO_LARGE, format!("version: 1\ndescription: {}\n{rest}", "x".repeat(1 << 20))),
        (code::TOO_LARGE, {
            let level = |n: u32| format!("x-{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", "));
            format!("version: 1\nx-0: &a0 [1, 1]\n{}{rest}", (1..10).map(level).collect::<String>())
        }),
        (code::LEFT_OUT, format!("version: 1\n{rest}{}", "---\nversion: 1\n".repeat(10_000))),
        (code::LEFT_OUT, format!("version: 1\nname: !!python/object/apply:os.system [id]\n{rest}")),
        (code::DUPLICATE_KEY, format!("version: 1\n{}{rest}", "seed: 1\n".repeat(2))),
        (code::SYNTAX, format!("version: 1\nname: \0\n{rest}")),
        (code::SYNTAX, format!("version: 1\nx-a: &a [*a]\n{rest}")),
        (code::TEMPLATE_SYNTAX, rest.replace("Hello", "\"{% macro m() %}{{ m() }}{% endmacro %}\"") + "version: 1\n"),
        (code::TEMPLATE_SYNTAX, rest.replace("Hello", "\"{% include '/etc/passwd' %}\"") + "version: 1\n"),
        (code::TEMPLATE_SYNTAX, rest.replace("Hello", "\"{{ 'x' * 100000000 }}\"") + "version: 1\n"),
        (
            code::TEMPLATE_SYNTAX,
            rest.replace("Hello", &format!("\"{{{{ {}1{} }}}}\"", "(".repeat(9_000), ")".repeat(9_000)))
                + "version: 1\n",
        ),
        (
            code::DOES_NOT_RENDER,
            rest.replace(
                "Hello",
                "\"{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}\"",
            ) + "version: 1\n",
        ),
        (
            code::DOES_NOT_RENDER,
            rest.replace(
                "Hello",
                "\"{{ range(99999)|join('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx') }}\"",
            ) + "version: 1\n",
        ),
    ];
    for (expected, yaml) in bombs {
        let found = only(&yaml);
        let start: String = yaml.chars().take(80).collect();
        assert_eq!(found.code, expected, "{}: {:?}: {start}", found.message, found.labels[0].text);
        assert!(!found.labels.is_empty() && found.labels[0].span.end <= yaml.len(), "{start}");
    }
}

#[test]
fn patterns_are_bounded() {
    let file = |pattern: &str| {
        format!(
            "version: 1\nactors: {{ a: {{}}, b: {{}} }}\nsteps:\n  s:\n    dialogue:\n      actors: [a, b]\n      \
             opening: Hi\n      stop: {{ any: [{{ rounds: 1 }}, {{ says: {{ pattern: '{pattern}' }} }}] }}\n"
        )
    };
    for (pattern, expected) in [
        ("(a{1000}){1000}", "this pattern is too large"),
        ("((a{100}){100}){100}", "this pattern is too large"),
        (r"\w{5000}", "this pattern is too large"),
        (r"\p{L}{1,900}\p{L}{1,900}", "this pattern is too large"),
        ("(?=a)b", "this is no regular expression"),
        (r"(a)\1", "this is no regular expression"),
    ] {
        let found = only(&file(pattern));
        assert_eq!((found.code, found.message.as_str()), (code::PATTERN, expected), "{pattern}");
    }
    assert_eq!(only(&file(&"(".repeat(5_000))).code, code::PATTERN);
    let files = ProjectFiles::around(&Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/f.yaml"));
    let files = files.expect("the folder exists");
    // Linear in the text, whatever a backtracking engine would make of them.
    for harmless in ["(a+)+$", "(a|aa)+$", "(.*)*x", r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(?i)\bi\s+concede\b"] {
        let plan = compiled(&file(harmless), &files).plan.unwrap_or_else(|| panic!("{harmless}"));
        assert_eq!(plan.steps.len(), 1);
    }
}
