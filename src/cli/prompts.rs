//! `pipe plan --prompts`: the first call of each step for the first case, as it would be sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::earlier::{Earlier, voices};
use super::exit::{CommandError, Exit, with_causes};
use super::printer::{BOLD, DIM, Printer, inert, paint};
use super::reuse;
use crate::base::{CaseNo, Digest, StepName};
use crate::event::TaskSettled;
use crate::plan::{Call, Place, Plan, Step, StepIdx, StepKind};
use crate::run::{Adopted, first_row};
use crate::task;

/// Shows what would be sent first in each step; a step that reads answers which do not exist yet is named.
///
/// # Errors
/// An input or a journal that cannot be read, or a template that does not render.
pub(super) fn show(plan: &Plan, earlier: Option<&Earlier>, printer: &mut Printer) -> Result<Exit, CommandError> {
    let Some((item, row)) = first_row(plan).map_err(|problem| reuse::wrong_row(&problem))? else {
        printer.line("there is no item, so nothing is asked")?;
        return Ok(Exit::Done);
    };
    let adopted = match earlier {
        None => Adopted::default(),
        Some(earlier) => {
            let fields: Map<String, Value> = serde_json::from_str(&row).unwrap_or_default();
            let reuse = reuse::of(earlier, plan, &earlier.started.backends)?;
            reuse.adopt(plan, &item, 1, &fields).map_err(|error| CommandError::journal(&error))?
        }
    };
    let settled: BTreeMap<&StepName, &TaskSettled> =
        adopted.tasks.iter().map(|adopted| (&adopted.task.step, &adopted.task)).collect();
    let mut texts: BTreeMap<Digest, Arc<str>> =
        adopted.texts.iter().map(|text| (text.digest, Arc::clone(&text.body))).collect();
    let row_digest = Digest::of(row.as_bytes());
    texts.insert(row_digest, Arc::from(row));
    let resolved = earlier.map_or(&[][..], |earlier| &earlier.started.backends);
    let models: Vec<Arc<str>> = voices(plan, resolved).into_iter().map(|voice| voice.model).collect();

    for (index, step) in plan.steps.iter().enumerate() {
        let note = if settled.contains_key(&step.name) { ", reused" } else { "" };
        printer.line(&paint(BOLD, &format!("{} · {}{note}", step.name, opening_of(step))))?;
        let missing: Vec<&str> = missing(plan, step, &settled);
        if !missing.is_empty() {
            printer.line(&paint(DIM, &format!("  reads what {} has not answered yet", missing.join(", "))))?;
            continue;
        }
        let inputs = step.reads.iter().map(|&read| (read, Arc::new((*settled[&plan.step(read).name]).clone())));
        let (call, actor) = match &step.kind {
            StepKind::Chat(chat) => (Call::Say, chat.actor),
            StepKind::Dialogue(_) => (Call::Turn(1), plan.speaker(StepIdx(index), &item, 1, Call::Turn(1))),
            StepKind::Judge(judge) => (Call::Vote { vote: 1, exchanged: false }, judge.actor),
        };
        let place = Place {
            case: CaseNo(0),
            item: item.clone(),
            repeat: 1,
            row: row_digest,
            step: StepIdx(index),
            call,
            actor,
            turns: Vec::new(),
            inputs: inputs.collect(),
            takes_format: true,
        };
        let composed = task::compose(plan, &place, &models, &|digest| texts.get(digest).cloned())
            .map_err(|error| CommandError::new(Exit::InvalidPipeline, with_causes(&error)))?;
        for message in composed.messages {
            let text = inert(&message.content).replace('\n', "\n             ");
            printer.line(&format!("  {:<9}  {text}", message.role.word()))?;
        }
    }
    Ok(Exit::Done)
}

fn missing<'a>(plan: &'a Plan, step: &Step, settled: &BTreeMap<&StepName, &TaskSettled>) -> Vec<&'a str> {
    let names = step.reads.iter().map(|&read| &plan.step(read).name);
    names.filter(|name| !settled.contains_key(name)).map(StepName::as_str).collect()
}

/// Says which of the calls of a task is shown.
fn opening_of(step: &Step) -> String {
    let (least, most) = step.kind.calls();
    match (&step.kind, most) {
        (_, 1) => "the one call".to_owned(),
        (StepKind::Dialogue(_), most) if least != most => format!("turn 1 of {least} to {most}"),
        (StepKind::Dialogue(_), most) => format!("turn 1 of {most}"),
        (StepKind::Chat(_) | StepKind::Judge(_), most) => format!("call 1 of {most}"),
    }
}
