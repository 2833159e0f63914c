//! What the file keeps, gives back, and refuses.

use std::sync::Arc;

use rusqlite::Connection;

use super::*;
use crate::base::{CaseNo, Digest, RunId, TokenCount};
use crate::event::{FinishReason, Usage};

fn key(name: &str) -> Key {
    Digest::of(name.as_bytes())
}

fn entry(name: &str, text: &str) -> Entry {
    let usage = Usage { input: Some(TokenCount(7)), output: Some(TokenCount(3)), cached: None, reasoning: None };
    let kept = Kept {
        run: RunId::from("tea-1"),
        case: CaseNo(4),
        text: Arc::from(text),
        finish: FinishReason::Stop,
        model: Some("tiny".to_owned()),
        usage,
        total_us: 450_000,
    };
    Entry { key: key(name), kept }
}

fn keep(home: &std::path::Path, entries: Vec<Entry>, over: bool) -> Told {
    let cache = Arc::new(Cache::open(home).unwrap());
    let keeper = Keeper::start(cache, over).unwrap();
    keeper.offer(entries).unwrap();
    keeper.close()
}

fn sql(home: &std::path::Path, sql: &str) {
    Connection::open(Cache::path_in(home)).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn what_is_kept_is_found_again_long_or_short() {
    let home = tempfile::tempdir().unwrap();
    let long = "Tea is a drink. ".repeat(400);
    let told = keep(home.path(), vec![entry("a", "Tea."), entry("b", &long)], false);
    assert!(told.trouble.is_empty(), "{told:?}");
    let cache = Cache::open(home.path()).unwrap();
    assert_eq!(cache.find(&key("a")), Some(entry("a", "Tea.").kept));
    assert_eq!(cache.find(&key("b")), Some(entry("b", &long).kept));
    assert_eq!(cache.find(&key("c")), None);
    let contents = Contents::of(home.path()).unwrap();
    assert_eq!(contents.answers, 2);
    let raw = Connection::open(cache.path()).unwrap();
    let packed: i64 =
        raw.query_row("select length(body) from answers where typeof(body) = 'blob'", [], |row| row.get(0)).unwrap();
    assert!(packed < 300, "{packed} bytes for {}", long.len());
}

#[test]
fn the_first_answer_stays_unless_it_is_to_be_written_over() {
    let home = tempfile::tempdir().unwrap();
    keep(home.path(), vec![entry("a", "first")], false);
    keep(home.path(), vec![entry("a", "second")], false);
    let found = || Cache::open(home.path()).unwrap().find(&key("a")).unwrap().text;
    assert_eq!(&*found(), "first");
    keep(home.path(), vec![entry("a", "third")], true);
    assert_eq!(&*found(), "third");
}

#[test]
fn a_damaged_answer_is_none_is_counted_and_written_over() {
    let home = tempfile::tempdir().unwrap();
    for damage in [
        "update answers set body = replace(body, 'first', 'worst')",
        "update answers set run = 'tea-2'",
        "update answers set case_no = 5",
        "update answers set body = 7",
        "update answers set body = x'00'",
    ] {
        keep(home.path(), vec![entry("a", "first")], true);
        sql(home.path(), damage);
        let cache = Arc::new(Cache::open(home.path()).unwrap());
        assert_eq!(cache.find(&key("a")), None, "{damage}");
        assert_eq!(cache.find(&key("a")), None, "{damage}");
        let keeper = Keeper::start(Arc::clone(&cache), false).unwrap();
        keeper.offer(vec![entry("a", "again")]).unwrap();
        let told = keeper.close();
        assert_eq!((told.damaged, told.trouble.len()), (1, 0), "{damage}");
        assert_eq!(&*Cache::open(home.path()).unwrap().find(&key("a")).unwrap().text, "again", "{damage}");
    }
}

#[test]
fn another_answer_under_a_key_is_damage() {
    let home = tempfile::tempdir().unwrap();
    keep(home.path(), vec![entry("a", "of a"), entry("b", "of b")], false);
    sql(
        home.path(),
        "create temp table two as select id, key from answers;
         update answers set key = randomblob(16) where id = 1;
         update answers set key = (select key from two where id = 1) where id = 2;",
    );
    assert_eq!(Cache::open(home.path()).unwrap().find(&key("a")), None);
}

#[test]
fn files_that_are_not_ours_are_named_and_left_alone() {
    let check = |make: &dyn Fn(&std::path::Path), says: &str| {
        let home = tempfile::tempdir().unwrap();
        let path = Cache::path_in(home.path());
        make(&path);
        let before = std::fs::read(&path).unwrap();
        let error = Cache::open(home.path()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("cache.db") && error.contains(says), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    };
    check(&|path| std::fs::write(path, "no database, but long enough to look like one").unwrap(), "cannot open");
    check(&|path| Connection::open(path).unwrap().execute_batch("create table t (a)").unwrap(), "no cache of pipe");
    check(
        &|path| {
            let home = path.parent().unwrap();
            drop(Cache::open(home).unwrap());
            sql(home, "pragma journal_mode = delete; pragma user_version = 2");
        },
        "newer pipe (format 2",
    );
}

#[test]
fn pages_that_are_gone_are_told_once_and_nothing_is_read_any_more() {
    let home = tempfile::tempdir().unwrap();
    let many = (0..500).map(|number| entry(&number.to_string(), &format!("{number} ").repeat(100))).collect();
    keep(home.path(), many, false);
    sql(home.path(), "pragma wal_checkpoint(truncate)");
    let path = Cache::path_in(home.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let from = 3 * 4_096;
    bytes[from..].fill(0xAB);
    std::fs::write(&path, bytes).unwrap();
    let cache = Arc::new(Cache::open(home.path()).unwrap());
    assert!((0..500).all(|number| cache.find(&key(&number.to_string())).is_none()));
    let told = Keeper::start(cache, false).unwrap().close();
    assert_eq!(told.trouble.len(), 1, "{told:?}");
}

#[test]
fn several_processes_may_make_and_fill_it_at_once() {
    let home = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let home = home.path();
            scope.spawn(move || {
                let entries = (0..200).map(|number| entry(&number.to_string(), &format!("by {writer}"))).collect();
                let told = keep(home, entries, false);
                assert!(told.trouble.is_empty(), "{told:?}");
            });
        }
    });
    let cache = Cache::open(home.path()).unwrap();
    assert!((0..200).all(|number| cache.find(&key(&number.to_string())).is_some()));
    assert_eq!(Contents::of(home.path()).unwrap().answers, 200);
}

#[test]
fn old_answers_are_forgotten_and_the_whole_is_deleted() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(Contents::of(home.path()), None);
    keep(home.path(), vec![entry("a", "old"), entry("b", "new")], false);
    sql(home.path(), "update answers set at = 5 where id = 1");
    assert_eq!(Cache::before(home.path(), 10).unwrap(), 1);
    assert_eq!(Cache::forget_before(home.path(), 10).unwrap(), 1);
    assert_eq!(Contents::of(home.path()).unwrap().answers, 1);
    Cache::delete(home.path()).unwrap();
    assert_eq!(Contents::of(home.path()), None);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}
