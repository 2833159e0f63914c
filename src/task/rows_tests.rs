use std::cell::Cell;
use std::sync::Arc;

use super::*;
use crate::base::{CaseNo, Digest, ItemId};
use crate::event::{TaskOutput, TaskSettled, TaskStatus, Usage};
use crate::plan::{CellIdx, Ground, Overrides, Plan, StepIdx, Surroundings, compile};

const FILE: &str = "
version: 1
actors: { ann: {} }
steps:
  say: { chat: { actor: ann, prompt: Well? } }
  all: { aggregate: { of: say, by: chat, actor: ann, prompt: \"{{ rows }}\" } }
";

fn closing() -> Plan {
    let compiled = compile(Arc::from("t.yaml"), FILE, &Overrides::default(), &Surroundings::EMPTY);
    let plan = compiled.plan.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
    *plan.closing.expect("an aggregate")
}

/// Asks for the rows of so many cases, each of which said `text`; every third gave nothing when `some` is set.
fn rows_of(cases: u64, text: &str, some: bool) -> (Result<Rows, ComposeError>, u64) {
    let plan = closing();
    let ground = Ground {
        case: CaseNo(cases),
        repeat: 1,
        cell: CellIdx(1),
        row: Digest::of(b"{}"),
        step: StepIdx(0),
        each: None,
        inputs: Vec::new(),
    };
    let said = Digest::of(text.as_bytes());
    let outputs = |visit: &mut dyn FnMut(&OneOutput<'_>)| {
        for case in (0..cases).map(CaseNo) {
            let output = (!some || case.0 % 3 != 2).then_some(TaskOutput::Chat { text: said });
            let status = if output.is_some() { TaskStatus::Ok } else { TaskStatus::Failed };
            let task = TaskSettled {
                case,
                step: "say".into(),
                status,
                because: None,
                output,
                failure: None,
                usage: Usage::default(),
                busy_ms: 0,
            };
            visit(&OneOutput { case, item: &ItemId::from(format!("item {case}")), repeat: 2, task: &task });
        }
        Ok(())
    };
    let read = Cell::new(0);
    let text: Arc<str> = Arc::from(text);
    let found = rows(&plan, &ground, &outputs, &|_, digest| {
        read.set(read.get() + 1);
        (*digest == said).then(|| Arc::clone(&text))
    });
    (found, read.get())
}

#[test]
fn a_row_is_what_a_later_step_would_read_with_its_item_and_repeat() {
    let (found, _) = rows_of(4, "tea", true);
    let found = found.expect("rows");
    assert_eq!(found.left_out, 1);
    let row =
        |item: &str| serde_json::json!({ "item": item, "repeat": 2, "text": "tea", "json": null, "status": "ok" });
    assert_eq!(found.rows, ["item 0", "item 1", "item 3"].map(row), "in the order of admission");
}

#[test]
fn more_rows_than_a_prompt_reads_are_counted_and_refused() {
    assert_eq!(rows_of(MOST_ROWS, "x", false).0.expect("as many as may be").rows.len() as u64, MOST_ROWS);
    let (found, read) = rows_of(MOST_ROWS + 7, "x", false);
    let why = found.expect_err("too many").to_string();
    assert!(why.contains("10007 cases") && why.contains("10000 rows at most"), "{why}");
    assert_eq!(read, MOST_ROWS, "what is beyond is not read");
}

#[test]
fn more_text_than_a_prompt_reads_is_refused_and_never_held() {
    let (found, read) = rows_of(9, &"x".repeat(MOST_ROW_TEXT / 4), false);
    let why = found.expect_err("too much").to_string();
    assert!(why.contains("more than 4 MiB") && why.contains("step `all` of `say`"), "{why}");
    assert_eq!(read, 5, "four are as much as may be, and the fifth is beyond");
    assert!(rows_of(4, &"x".repeat(MOST_ROW_TEXT / 4), false).0.is_ok());
}
