//! One writer per run, and a killed one blocks nobody.

use std::io::{Read, Write};
use std::path::Path;

use super::second_process::{PART, SecondProcess};
use crate::journal::{LockError, RunDir};

fn run_dir(path: &Path) -> RunDir {
    RunDir::of(path.to_owned(), "debate-20260101-000000-abcdef")
}

fn hold_until_killed(path: &Path) -> ! {
    let _lock = run_dir(path).lock().unwrap();
    writeln!(std::io::stderr(), "held").unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    unreachable!("its input stays open until it is killed");
}

#[test]
fn a_second_process_is_told_who_holds_it() {
    if let Some(path) = std::env::var_os(PART) {
        hold_until_killed(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let run = run_dir(folder.path());
    for _again in 0..3 {
        let mut holder = SecondProcess::start(module_path!(), "a_second_process_is_told_who_holds_it", folder.path());
        assert_eq!(holder.says.next().unwrap().unwrap(), "held");
        let Err(LockError::Held { pid, since, .. }) = run.lock() else { panic!("two hold one run") };
        assert_eq!(pid, Some(holder.child.id()));
        assert!(since.is_some());
        holder.kill();
        drop(run.lock().unwrap());
    }
}

#[test]
fn one_process_cannot_hold_a_run_twice() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_dir(folder.path());
    let lock = run.lock().unwrap();
    let said = run.lock().unwrap_err().to_string();
    assert!(said.contains(&format!("is held by process {} since 20", std::process::id())), "{said}");
    drop(lock);
    drop(run.lock().unwrap());
    assert!(folder.path().join("lock").exists());
}

#[test]
fn a_folder_that_is_gone_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_dir(&folder.path().join("gone"));
    assert!(matches!(run.lock(), Err(LockError::File { .. })));
}
