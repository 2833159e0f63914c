//! Where runs lie and how they are named and found.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use expect_test::expect;

use crate::base::Timestamp;
use crate::journal::{Durability, Home, HomeError, Sqlite};

/// 2023-11-14 22:13:20 UTC.
const NOW: i64 = 1_700_000_000_000_000;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_run_has_a_private_folder_out_of_version_control() {
    let project = tempfile::tempdir().unwrap();
    let home = Home::at(project.path(), None);
    assert_eq!(home.runs().unwrap(), []);
    let run = home.create_run("debate", Timestamp(NOW)).unwrap();
    assert!(run.id.as_str().starts_with("debate-20231114-221320-"), "{}", run.id);
    assert_eq!(run.path, project.path().join(".pipe/runs").join(run.id.as_str()));
    assert_eq!(std::fs::read_to_string(project.path().join(".pipe/.gitignore")).unwrap(), "*\n");
    drop(Sqlite::create(&run.journal_path(), Durability::Power).unwrap());
    drop(run.lock().unwrap());
    assert_eq!(mode(&run.path), 0o700);
    assert_eq!(mode(&project.path().join(".pipe")), 0o700);
    assert_eq!(mode(&run.journal_path()), 0o600);
    assert_eq!(mode(&run.path.join("lock")), 0o600);
}

#[test]
fn the_write_ahead_log_is_private_too() {
    let project = tempfile::tempdir().unwrap();
    let run = Home::at(project.path(), None).create_run("debate", Timestamp(NOW)).unwrap();
    let _log = Sqlite::create(&run.journal_path(), Durability::Power).unwrap();
    assert_eq!(mode(&run.path.join("journal.db-wal")), 0o600);
}

#[test]
fn pipe_home_replaces_the_folder() {
    let (project, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let elsewhere = other.path().join("deep/home");
    let run = Home::at(project.path(), Some(&elsewhere)).create_run("a", Timestamp(NOW)).unwrap();
    assert!(run.path.starts_with(elsewhere.join("runs")));
    assert_eq!(std::fs::read_dir(project.path()).unwrap().count(), 0);
}

#[test]
fn names_are_made_safe() {
    let project = tempfile::tempdir().unwrap();
    let home = Home::at(project.path(), None);
    for (name, expected) in [
        ("../../etc", "etc-2023"),
        ("a b/c", "a-b-c-2023"),
        ("", "run-2023"),
        ("…", "run-2023"),
        ("monte_carlo", "monte_carlo-2023"),
    ] {
        let run = home.create_run(name, Timestamp(NOW)).unwrap();
        assert!(run.id.as_str().starts_with(expected), "{name:?} became {}", run.id);
        assert_eq!(run.path.parent().unwrap(), project.path().join(".pipe/runs"));
    }
    home.create_run(&"é".repeat(500), Timestamp(NOW)).unwrap();
    home.create_run(&"x".repeat(500), Timestamp(NOW)).unwrap();
}

#[test]
fn newest_comes_first_within_a_second_too() {
    let project = tempfile::tempdir().unwrap();
    let home = Home::at(project.path(), None);
    let made: Vec<_> = [("b", 0), ("a", 40), ("c", 900), ("b", 999_000), ("a", 1_000_000), ("z", 90_000_000_000)]
        .map(|(name, later)| home.create_run(name, Timestamp(NOW + later)).unwrap())
        .into_iter()
        .rev()
        .collect();
    std::fs::create_dir(project.path().join(".pipe/runs/not a run")).unwrap();
    assert_eq!(home.runs().unwrap(), made);
    assert_eq!(home.resolve("last").unwrap(), made[0]);
}

#[test]
fn runs_of_one_moment_differ() {
    let project = tempfile::tempdir().unwrap();
    let home = Home::at(project.path(), None);
    for _run in 0..300 {
        home.create_run("a", Timestamp(NOW)).unwrap();
    }
    assert_eq!(home.runs().unwrap().len(), 300);
}

#[test]
fn a_run_is_found_by_part_of_its_name() {
    let project = tempfile::tempdir().unwrap();
    let home = Home::at(project.path(), None);
    assert!(matches!(home.resolve("last"), Err(HomeError::NoRuns { .. })));
    let (debate, chat) = (home.create_run("debate", Timestamp(NOW)), home.create_run("chat", Timestamp(NOW)));
    let (debate, chat) = (debate.unwrap(), chat.unwrap());
    let longer = home.create_run("chat-long", Timestamp(NOW + 1_000_000)).unwrap();
    assert_eq!(home.resolve("deb").unwrap(), debate);
    assert_eq!(home.resolve(chat.id.as_str()).unwrap(), chat);
    assert_eq!(home.resolve("long").unwrap(), longer);
    assert_eq!(home.resolve("chat-2").unwrap(), chat);
    let Err(HomeError::Ambiguous { candidates, .. }) = home.resolve("chat") else { panic!("chat names two runs") };
    assert_eq!(candidates, [longer.id.to_string(), chat.id.to_string()]);
}

#[test]
fn messages_list_what_there_is() {
    let runs = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let unknown = HomeError::Unknown {
        path: ".pipe/runs".into(),
        reference: "debat2".to_owned(),
        newest: runs(&["b-20231114-221320-aaaaaa", "a-20231114-221320-aaaaaa"]),
    };
    expect![[r#"no run in .pipe/runs has "debat2" in its name; the newest are b-20231114-221320-aaaaaa, a-20231114-221320-aaaaaa"#]]
        .assert_eq(&unknown.to_string());
    let ambiguous = HomeError::Ambiguous { reference: "a".to_owned(), candidates: runs(&["a"; 12]) };
    expect![[r#""a" names more than one run: a, a, a, a, a, a, a, a, …; give more of the name"#]]
        .assert_eq(&ambiguous.to_string());
}

#[test]
fn who_looks_above_the_folder_of_the_runs_is_sent_there() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path(), None);
    std::fs::create_dir_all(folder.path().join("empty/.pipe/runs")).unwrap();
    let told = || home.resolve("last").unwrap_err().to_string();
    assert!(told().ends_with("/.pipe/runs: start one with `pipe run FILE`"), "{}", told());
    std::fs::create_dir(folder.path().join("pipelines")).unwrap();
    Home::at(&folder.path().join("pipelines"), None).create_run("chat", Timestamp(0)).unwrap();
    let expected =
        "/.pipe/runs: those of files in pipelines are kept there: `cd pipelines`, or set PIPE_HOME=pipelines/.pipe";
    assert!(told().ends_with(expected), "{}", told());
}

#[test]
fn a_project_is_found_from_a_folder_inside() {
    let project = tempfile::tempdir().unwrap();
    let inside = project.path().join("one/two");
    std::fs::create_dir_all(&inside).unwrap();
    assert_eq!(Home::project_root(&inside), inside);
    for mark in [".git", "one/pipe.yaml"] {
        std::fs::write(project.path().join(mark), "").unwrap();
        let root = project.path().join(mark).parent().unwrap().to_owned();
        assert_eq!(Home::project_root(&inside), root);
    }
}
