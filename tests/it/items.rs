//! Rows from files of every format, and which of them are taken.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::project::{Project, text};

const STEPS: &str = "actors: { a: {} }\nsteps: { s: { chat: { actor: a, prompt: \"Say {{ item.n }}\" } } }\n";

fn project(items: &str) -> Project {
    let project = Project::new();
    project.write("f.yaml", &format!("version: 1\nitems: {items}\n{STEPS}"));
    project
}

fn rows(project: &Project, more: &[&str]) -> Vec<Value> {
    let arguments = [&["run", "f.yaml", "--backend", "sim", "--new", "--quiet"], more].concat();
    lines(&project.stdout(&arguments))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
}

fn column<'a>(rows: &'a [Value], name: &str) -> Vec<&'a Value> {
    rows.iter().map(|row| &row[name]).collect()
}

fn thousand() -> String {
    (0..1_000).fold(String::from("n,even\n"), |mut csv, n| {
        writeln!(csv, "{n},{}", n % 2 == 0).expect("a string takes text");
        csv
    })
}

#[test]
fn a_sample_is_the_same_whatever_the_order_of_the_file() {
    let project = project("{ path: n.csv, where: item.even, sample: { n: 20 } }");
    let csv = thousand();
    project.write("n.csv", &csv);
    let first = rows(&project, &[]);
    assert_eq!(first.len(), 20);
    assert!(first.iter().all(|row| row["even"] == true));
    let in_order: Vec<i64> = first.iter().map(|row| row["n"].as_i64().expect("a number")).collect();
    assert!(in_order.is_sorted(), "in the order of the file");
    assert!(in_order[0] < 300 && in_order[19] > 700, "from everywhere: {in_order:?}");

    let (header, body) = csv.split_once('\n').expect("two lines");
    let backwards: Vec<&str> = body.lines().rev().collect();
    project.write("n.csv", &format!("{header}\n{}\n", backwards.join("\n")));
    let again = rows(&project, &[]);
    let set = |rows: &[Value]| rows.iter().map(|row| row["id"].to_string()).collect::<BTreeSet<_>>();
    assert_eq!(set(&again), set(&first));
    let other = rows(&project, &["--set", "items.sample.seed=1"]);
    assert_ne!(set(&other), set(&first));
    // Of a sample too, only so many from the start.
    assert_eq!(column(&rows(&project, &["--limit", "5"]), "id"), column(&again[..5], "id"));
}

#[test]
fn a_shuffle_is_every_row_once_in_an_order_of_its_seed() {
    let project = project("{ path: n.csv, shuffle: { seed: 3 } }");
    project.write("n.csv", &thousand());
    let first = rows(&project, &[]);
    assert_eq!(first.len(), 1_000);
    assert_eq!(first.iter().map(|row| row["n"].as_i64()).collect::<BTreeSet<_>>().len(), 1_000);
    assert!(!column(&first, "n").iter().map(|n| n.as_i64()).collect::<Vec<_>>()[..20].is_sorted());
    assert_eq!(rows(&project, &[]), first);
    let limited = rows(&project, &["--limit", "7"]);
    assert_eq!(column(&limited, "n"), column(&first[..7], "n"));
    assert_ne!(
        column(&rows(&project, &["--set", "items.shuffle.seed=4", "--limit", "7"]), "n"),
        column(&limited, "n")
    );
}

#[test]
fn the_limit_of_the_file_is_beaten_by_that_of_the_command() {
    let project = project("{ path: n.csv, limit: 3 }");
    project.write("n.csv", &thousand());
    assert_eq!(column(&rows(&project, &[]), "n"), [0, 1, 2]);
    assert_eq!(rows(&project, &["--limit", "5"]).len(), 5);
    // One that asks for more adds to what is there: only the two new ones are asked.
    project.edit("f.yaml", "limit: 3", "limit: 7");
    let plan: Value = serde_json::from_str(&project.stdout(&["plan", "f.yaml", "--json"])).expect("JSON");
    assert_eq!((&plan["cases"], &plan["known"]), (&7.into(), &5.into()));
}

#[test]
fn many_files_are_one_input_in_the_order_of_their_names() {
    let project = project("{ path: \"in/*\", id: n }");
    fs::create_dir(project.path("in")).expect("made");
    project.write("in/b.csv", "n;t\n3;x\n");
    project.write("in/a.jsonl", "{\"n\": 1}\n{\"n\": 2}\n");
    project.write("in/c.tsv", "n\tt\n4\ty\n");
    project.write("in/.hidden", "not looked at");
    let found = rows(&project, &[]);
    assert_eq!(column(&found, "id"), ["1", "2", "3", "4"]);

    project.write("in/d.jsonl", "{\"n\": 5}\n{\"n\": 2}\n{\"n\": \n");
    let output = project.run(&["check", "f.yaml"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("id \"2\" is taken by a.jsonl:2 already"), "{told}");
    assert!(told.contains("d.jsonl:3:"), "{told}");
}

fn with_stdin(project: &Project, arguments: &[&str], rows: &str) -> Output {
    let mut command = project.pipe(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("pipe starts");
    child.stdin.take().expect("piped").write_all(rows.as_bytes()).expect("it reads to the end");
    child.wait_with_output().expect("it ends")
}

#[test]
fn rows_on_stdin_are_kept_for_a_resume() {
    let project = project("{ path: \"-\" }");
    let bad = with_stdin(&project, &["run", "f.yaml", "--backend", "sim"], "{\"n\": 1}\n{\"n\": \n");
    assert!(text(&bad.stderr).contains("stdin:2:"), "{}", text(&bad.stderr));
    assert_eq!(bad.status.code(), Some(3));
    let home = || fs::read_dir(project.path(".pipe")).into_iter().flatten().count();
    assert_eq!(home(), 0, "nothing is left behind");

    let rows = "{\"n\": 1}\n{\"n\": 2}\n{\"n\": 3}\n";
    let done = with_stdin(&project, &["run", "f.yaml", "--backend", "sim", "--quiet"], rows);
    assert_eq!(lines(&text(&done.stdout)).len(), 3, "{}", text(&done.stderr));
    assert_eq!(fs::read_to_string(project.run_folder().join("stdin")).expect("kept"), rows);
    // A check waits for nobody's rows.
    assert!(project.stdout(&["check", "f.yaml"]).contains("cases from stdin"));
}

#[test]
fn a_run_over_stdin_that_was_killed_goes_on_without_it() {
    let given = (0..40).fold(String::new(), |rows, n| rows + &format!("{{\"n\": {n}}}\n"));
    let calm = project("{ path: \"-\" }");
    let expected = with_stdin(&calm, &["run", "f.yaml", "--backend", "sim", "--quiet"], &given);
    assert_eq!(lines(&text(&expected.stdout)).len(), 40);

    let project = project("{ path: \"-\" }");
    let mut command = project.pipe(&["run", "f.yaml", "--backend", "sim:5", "--concurrency", "2", "--quiet"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    child.stdin.take().expect("piped").write_all(given.as_bytes()).expect("read");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while project.settled() < 3 {
        assert!(std::time::Instant::now() < deadline, "the run never got anywhere");
        std::thread::yield_now();
    }
    child.kill().expect("killed");
    child.wait().expect("waited for");
    assert!(project.settled() < 40, "killed on its way");
    // Stdin is empty now.
    assert_eq!(project.stdout(&["resume", "--quiet"]), text(&expected.stdout));
}

#[test]
fn columns_that_no_row_has_are_told_by_check() {
    let project = project("{ path: n.csv }");
    project.write("n.csv", "m,t\n1,x\n");
    let output = project.run(&["check", "f.yaml"]);
    let told = text(&output.stderr);
    assert!(told.contains("P0506") && told.contains("no item has a column `n`"), "{told}");
    assert!(told.contains("f.yaml:4:"), "{told}");
}

#[test]
fn hostile_tables_are_named_by_line() {
    let project = project("{ path: rows.csv }");
    let check = |rows: &[u8], expected: &[&str]| {
        fs::write(project.path("rows.csv"), rows).expect("written");
        let output = project.run(&["check", "f.yaml"]);
        let told = text(&output.stdout) + &text(&output.stderr);
        for expected in expected {
            assert!(told.contains(expected), "{told}\ninstead of {expected}");
        }
        assert!(!told.contains('\u{1b}'), "{told:?}");
    };
    check(
        b"n,t\n1,x\n2\n3,caf\xe9\n4,a\0b\n5,ok\n",
        &[
            "rows.csv:3",
            "the row has 1 value, the line of column names 2",
            "rows.csv:4",
            "byte 0xe9 is no UTF-8",
            "rows.csv:5",
            "a NUL byte",
        ],
    );
    check(b"\xff\xfen\0,\0t\0\n\0", &["the file is UTF-16", "iconv"]);
    check(b"n,t\n1,x\n2,\"y\n3,z\n4,a\n", &["rows.csv:3", "a quote is opened here and never closed"]);
    let long = [b"n,t\n1,\"".as_slice(), &vec![b'x'; 10 << 20], b"\"\n"].concat();
    check(&long, &["1 case)"]);
    let longer = [b"n,t\n1,x\n2,\"".as_slice(), &vec![b'x'; 40 << 20]].concat();
    check(&longer, &["rows.csv:3", "the row is longer than 16 MiB"]);
    check(b"n,n\n1,2\n", &["two columns are named \"n\""]);
    check(b"", &["no line of column names"]);
    let many = (0..30).fold(String::from("n,t\n"), |rows, n| rows + &format!("{n}\n"));
    check(many.as_bytes(), &["rows.csv:21", "10 more rows are wrong"]);
    project.edit("f.yaml", "rows.csv", "rows.csv, where: item.n");
    check(b"n,t\n1,x\n", &["`where` gives 1 for it, neither true nor false", "item.score > 3"]);
}

#[test]
fn three_actors_work_through_a_table() {
    let project = Project::with_pipelines();
    let run = ["run", "pipelines/three_actors.yaml", "--backend", "sim", "--quiet", "--out", "decisions.csv"];
    project.stdout(&run);
    let csv = fs::read_to_string(project.path("decisions.csv")).expect("written");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let names = reader.headers().expect("a line of names").clone();
    assert_eq!(
        names.iter().collect::<Vec<_>>(),
        [
            "id",
            "repeat",
            "job",
            "audience",
            "brief",
            "words",
            "ready",
            "draft.text",
            "critique.text",
            "decision.choice",
            "decision.votes",
            "decision.flipped",
            "status",
            "error"
        ]
    );
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("CSV");
    assert_eq!(rows.len(), 11, "one of twelve is not ready");
    for row in &rows {
        assert!(!row[7].is_empty() && !row[8].is_empty() && &row[12] == "ok", "{row:?}");
        assert!(["send", "revise", "drop", ""].contains(&&row[9]), "{row:?}");
    }
    assert_eq!(&rows[7][0], "recall");
}

#[test]
fn tables_go_out_and_come_in_again_in_every_format() {
    let project =
        project("{ values: [{ n: 1, t: \"=1+1\" }, { n: 2.5, u: [1, 2] }, { n: 3, t: \"a\\nb, \\\"c\\\"\" }] }");
    project.stdout(&["run", "f.yaml", "--backend", "sim", "--quiet"]);
    let whole = lines(&project.stdout(&["results"]));
    let names: Vec<&String> = whole[1].as_object().expect("a row").keys().collect();
    assert_eq!(names, ["id", "repeat", "n", "u", "t", "s.text", "status", "error"], "those of every row");
    for (format, t) in [("jsonl", "=1+1"), ("csv", "'=1+1"), ("parquet", "=1+1")] {
        let out = format!("rows.{format}");
        project.stdout(&["results", "--out", &out]);
        let again = format!(
            "version: 1\nitems: {{ path: {out}, id: id }}\nactors: {{ a: {{}} }}\n\
             steps: {{ again: {{ chat: {{ actor: a, prompt: \"{{{{ item.n }}}}\" }} }} }}\n"
        );
        project.write("again.yaml", &again);
        let rows = lines(&project.stdout(&["run", "again.yaml", "--backend", "sim", "--quiet"]));
        assert_eq!(column(&rows, "id"), column(&whole, "id"), "{format}");
        assert_eq!(rows[0]["t"], t, "{format}");
        assert_eq!(rows[2]["t"], whole[2]["t"], "{format}");
        assert_eq!(rows[1]["n"], 2.5, "{format}");
        fs::remove_dir_all(project.path(".pipe")).expect("removed");
        project.stdout(&["run", "f.yaml", "--backend", "sim", "--quiet"]);
    }
    assert!(project.stdout(&["results", "--format", "csv"]).starts_with("id,repeat,n,u,t,s.text,status,error\r\n"));
    let refused = project.run(&["results", "--format", "parquet"]);
    assert!(text(&refused.stderr).contains("--out rows.parquet"), "{}", text(&refused.stderr));
}

#[test]
fn a_file_has_what_is_printed_wherever_a_column_comes_first() {
    let row =
        |n: usize, late: usize| if n == late { format!("{{ n: {n}, late: x }}") } else { format!("{{ n: {n} }}") };
    for late in [0, 1, 40, 99] {
        let values: Vec<String> = (0..40).map(|n| row(n, late)).collect();
        let project = project(&format!("{{ values: [{}] }}", values.join(", ")));
        project.stdout(&["run", "f.yaml", "--backend", "sim", "--quiet", "--out", "of_run.jsonl"]);
        let printed = project.stdout(&["results"]);
        assert_eq!(printed.lines().filter(|line| line.contains("\"late\"")).count(), if late < 40 { 40 } else { 0 });
        assert_eq!(fs::read_to_string(project.path("of_run.jsonl")).expect("written"), printed);
        project.stdout(&["results", "--out", "rows.csv"]);
        let csv = fs::read_to_string(project.path("rows.csv")).expect("written");
        assert_eq!(csv, project.stdout(&["results", "--format", "csv"]));
        let left: Vec<_> =
            fs::read_dir(project.path(".")).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".part")), "{left:?}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_told_before_the_first_call() {
    let project = project("{ values: [{ n: 1 }] }\nresults: { path: out/rows.csv }");
    let output = project.run(&["check", "f.yaml"]);
    assert_eq!(output.status.code(), Some(3));
    let told = text(&output.stderr);
    assert!(told.contains("there is no folder out for the results") && told.contains("f.yaml:3:18"), "{told}");
}

#[test]
fn a_key_that_stands_twice_is_told_with_its_line() {
    let project = project("{ path: n.jsonl }");
    project.write("n.jsonl", "{\"n\": 1}\n{\"n\": 2, \"t\": \"a\", \"n\": 3}\n");
    let output = project.run(&["check", "f.yaml"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("the key \"n\" stands twice") && told.contains("n.jsonl:2:"), "{told}");
}

#[test]
fn missing_items_are_told_with_what_else_is_wrong() {
    let project = project("{ path: none.jsonl }");
    project.edit("f.yaml", "version: 1", "version: 1\nrepeat: often");
    let output = project.run(&["check", "f.yaml"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("`repeat` must be") && told.contains("there is no file \"none.jsonl\""), "{told}");
    assert!(told.contains("2 errors"), "{told}");
}
