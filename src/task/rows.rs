//! What a prompt about all cases reads: a row for each case that gave something, in the order of admission.

use std::cell::Cell;

use serde_json::{Value, json};

use super::compose::ComposeError;
use super::context;
use super::gather::{OneOutput, Outputs, TextsOfCases};
use crate::base::Digest;
use crate::plan::{Ground, Plan, StepKind};

/// Rows that a prompt may read.
pub const MOST_ROWS: u64 = 10_000;
/// Bytes of text that the rows of a prompt may have.
pub const MOST_ROW_TEXT: usize = 4 << 20;

/// What all cases of a cell gave in one step, as templates see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    pub(super) rows: Vec<Value>,
    /// Cases that gave nothing.
    pub(super) left_out: u64,
}

/// Makes the rows of an aggregate's prompt: the same outputs in the same order give the same, so that whatever asks
/// again, a resumed run too, asks the same.
///
/// Memory: the rows, which are bounded.
///
/// # Errors
/// More rows or text than a prompt may read, a text that is missing, outputs that cannot be read.
///
/// # Panics
/// The step is no aggregate: a bug of the caller.
pub fn rows(
    plan: &Plan,
    ground: &Ground,
    outputs: Outputs<'_>,
    texts: TextsOfCases<'_>,
) -> Result<Rows, ComposeError> {
    let step = plan.step(ground.step);
    let StepKind::Aggregate(aggregate) = &step.kind else { panic!("bug: step `{}` is of one case", step.name) };
    let of = &*aggregate.of;
    let mut found = Rows::default();
    let mut count = 0_u64;
    let bytes = Cell::new(0_usize);
    let mut trouble = None;
    let visit = &mut |one: &OneOutput<'_>| {
        if one.task.output.is_none() {
            found.left_out += 1;
            return;
        }
        count += 1;
        // What is beyond is only counted.
        if trouble.is_some() || count > MOST_ROWS || bytes.get() > MOST_ROW_TEXT {
            return;
        }
        let read = |digest: &Digest| {
            let text = texts(one.case, digest)?;
            bytes.set(bytes.get().saturating_add(text.len()));
            Some(text)
        };
        match context::fields_of(of, one.task, &read) {
            Ok(mut row) => {
                row["item"] = json!(one.item);
                row["repeat"] = json!(one.repeat);
                found.rows.push(row);
            }
            Err(error) => trouble = Some(error),
        }
    };
    outputs(visit).map_err(ComposeError::Rows)?;
    if let Some(error) = trouble {
        return Err(error);
    }
    let remedy = "sum up in two steps: let a step of each case say it in a word, and count that with a table";
    if count > MOST_ROWS {
        return Err(ComposeError::Rows(format!(
            "step `{}` of `{}`: {count} cases have an output, and a prompt reads {MOST_ROWS} rows at most; {remedy}",
            step.name, of.name
        )));
    }
    if bytes.get() > MOST_ROW_TEXT {
        return Err(ComposeError::Rows(format!(
            "step `{}` of `{}`: the rows have more than {} MiB of text, which is the most that a prompt reads; {remedy}",
            step.name,
            of.name,
            MOST_ROW_TEXT >> 20
        )));
    }
    Ok(found)
}
