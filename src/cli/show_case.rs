//! `pipe show RUN CASE`: one case down to its calls, with prompts, answers and times.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::exit::{CommandError, Exit};
use super::printer::{BOLD, DIM, Printer, inert, paint};
use super::show::{item_name, state};
use crate::base::{CaseNo, Digest, ItemId, StepName, TokenCount};
use crate::event::{Answer, AttemptEnded, FinishReason, Outcome, TaskOutput, Timings, Usage};
use crate::journal::{Adoption, AttemptRecord, CaseRecord, JournalError, Reader};
use crate::report::{columns, duration, grouped, task_status_word, verdict_line, wrapped};

/// Where texts stand beside the role that says them.
const TEXT_INDENT: usize = 15;

/// One message of a request, as the manifest names it.
#[derive(Deserialize)]
struct Line {
    role: String,
    text: Digest,
}

/// Shows a case by its number, or by its item's id with `/` and the repeat.
///
/// # Errors
/// There is no such case, or the journal cannot be read.
pub(super) fn show(reader: &Reader, name: &str, as_json: bool, printer: &mut Printer) -> Result<Exit, CommandError> {
    let journal = |error: JournalError| CommandError::journal(&error);
    let Some(case) = find(reader, name).map_err(journal)? else {
        let message = format!("the run has no case {name:?}");
        let help = "give its number (the first is 0), or its item's id, with /2 for the second repeat; `pipe show` lists the first ones";
        return Err(CommandError::new(Exit::Usage, message).help(help));
    };
    let attempts = reader.attempts_of(case.admitted.case).map_err(journal)?;
    if as_json {
        let value = to_json(reader, &case, &attempts).map_err(journal)?;
        printer.line(&value.to_string())?;
        return Ok(Exit::Done);
    }
    let width = printer.out().reading_width();
    let text = to_text(reader, &case, &attempts, width).map_err(journal)?;
    printer.line(&text)?;
    Ok(Exit::Done)
}

fn find(reader: &Reader, name: &str) -> Result<Option<CaseRecord>, JournalError> {
    if let Ok(number) = name.parse() {
        return reader.case(CaseNo(number));
    }
    let whole = reader.find_case(&ItemId::from(name), 1)?;
    let split = name.rsplit_once('/').and_then(|(item, repeat)| Some((item, repeat.parse().ok()?)));
    let found = match (whole, split) {
        (None, Some((item, repeat))) => reader.find_case(&ItemId::from(item), repeat)?,
        (whole, _) => whole,
    };
    found.map_or(Ok(None), |case| reader.case(case))
}

fn to_text(
    reader: &Reader,
    case: &CaseRecord,
    attempts: &[AttemptRecord],
    width: usize,
) -> Result<String, JournalError> {
    let item = item_name(&case.admitted.item, case.admitted.repeat);
    let mut lines = vec![paint(BOLD, &inert(&format!("case {} · {item} · {}", case.admitted.case, state(case))))];
    if let Some(Value::Object(row)) = read_json(reader, case.admitted.case, &case.admitted.row)? {
        for (name, value) in row {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            lines.push(beside(&name, &value, width));
        }
    }
    for step in steps(case, attempts) {
        lines.push(String::new());
        lines.push(step_line(case, &step));
        for attempt in attempts.iter().filter(|attempt| attempt.started.id.step == step) {
            lines.push(paint(DIM, &wrapped(&attempt_line(attempt), width, 2)));
            lines.extend(attempt_texts(reader, attempt, width)?);
        }
        let task = case.tasks.iter().find(|task| task.step == step);
        if let Some(TaskOutput::Judge(judgement)) = task.and_then(|task| task.output.as_ref()) {
            lines.push(paint(BOLD, &inert(&format!("  {}", verdict_line(&step, judgement)))));
        }
        if let Some(failure) = task.and_then(|task| task.failure.as_ref()) {
            let why = format!("{}: {}", failure.kind.word(), failure.detail);
            lines.push(beside("failed", &why, width));
        }
    }
    Ok(lines.join("\n"))
}

/// Returns the steps that have begun or were settled, in that order.
fn steps(case: &CaseRecord, attempts: &[AttemptRecord]) -> Vec<StepName> {
    let begun = attempts.iter().map(|attempt| &attempt.started.id.step);
    let mut steps: Vec<StepName> = Vec::new();
    let adopted = case.adopted.iter().map(|adoption| &adoption.step);
    for step in adopted.chain(begun).chain(case.tasks.iter().map(|task| &task.step)) {
        if !steps.contains(step) {
            steps.push(step.clone());
        }
    }
    steps
}

fn step_line(case: &CaseRecord, step: &StepName) -> String {
    let Some(task) = case.tasks.iter().find(|task| task.step == *step) else {
        return format!("{}  open", paint(BOLD, step.as_str()));
    };
    let mut parts = vec![task_status_word(task.status).to_owned()];
    if let Some(TaskOutput::Dialogue { turns, stopped_by }) = &task.output {
        parts.push(format!("{} turns, stopped by {stopped_by}", turns.len()));
    }
    parts.extend(tokens(&task.usage));
    if let Some(from) = adoption(case, step) {
        parts.push(format!("reused from {}, case {}", from.run, from.case));
    } else if task.busy_ms > 0 {
        parts.push(format!("{} in calls", duration(task.busy_ms * 1_000)));
    }
    format!("{}  {}", paint(BOLD, step.as_str()), parts.join(" · "))
}

fn adoption<'a>(case: &'a CaseRecord, step: &StepName) -> Option<&'a Adoption> {
    case.adopted.iter().find(|adoption| adoption.step == *step)
}

fn attempt_line(attempt: &AttemptRecord) -> String {
    let started = &attempt.started;
    let mut parts = vec![format!("{} · {} on {}", started.id.call, started.actor, started.backend)];
    if started.id.attempt.0 > 1 {
        parts.push(format!("attempt {}", started.id.attempt));
    }
    match &attempt.ended {
        Some((_, ended)) => parts.extend(ending(ended)),
        None => parts.push("in flight, or lost with its process".to_owned()),
    }
    inert(&parts.join(" · ")).into_owned()
}

fn ending(ended: &AttemptEnded) -> Vec<String> {
    let Timings { queued_us, first_token_us, total_us } = ended.timings;
    let first = first_token_us.map_or(String::new(), |first| format!(", first token after {}", duration(first)));
    let mut parts = vec![format!("{}{first}", duration(total_us))];
    if queued_us >= 1_000 {
        parts.push(format!("{} in our queue", duration(queued_us)));
    }
    parts.extend(tokens(&ended.usage));
    if let Outcome::Answered(Answer { finish: FinishReason::Length, .. }) = &ended.outcome {
        parts.push("cut at its limit of tokens".to_owned());
    }
    if !ended.charged {
        parts.push("not charged".to_owned());
    }
    parts
}

fn tokens(usage: &Usage) -> Option<String> {
    let count = |tokens: Option<TokenCount>| tokens.map_or_else(|| "?".to_owned(), |tokens| grouped(tokens.0));
    (!usage.is_empty()).then(|| format!("{} in, {} out", count(usage.input), count(usage.output)))
}

fn attempt_texts(reader: &Reader, attempt: &AttemptRecord, width: usize) -> Result<Vec<String>, JournalError> {
    let Some((_, ended)) = &attempt.ended else {
        return Ok(Vec::new());
    };
    let mut lines = Vec::new();
    for (role, text) in messages(reader, ended)? {
        lines.push(beside(&role, &text, width));
    }
    match &ended.outcome {
        Outcome::Answered(answer) => {
            let text = text_or_note(reader, ended.id.case, &answer.text)?;
            lines.push(beside(attempt.started.actor.as_str(), &text, width));
        }
        Outcome::Failed(failure) => {
            let why = format!("{}: {}", failure.kind.word(), failure.detail);
            lines.push(beside("no answer", &why, width));
        }
    }
    Ok(lines)
}

/// Returns the messages of a request, texts looked up.
fn messages(reader: &Reader, ended: &AttemptEnded) -> Result<Vec<(String, String)>, JournalError> {
    let Some(manifest) = &ended.request else {
        return Ok(Vec::new());
    };
    let list =
        read_json(reader, ended.id.case, manifest)?.and_then(|list| serde_json::from_value::<Vec<Line>>(list).ok());
    let Some(list) = list else {
        return Ok(vec![("prompt".to_owned(), format!("(the journal has no list of messages {manifest})"))]);
    };
    let mut messages = Vec::new();
    for Line { role, text } in list {
        messages.push((role, text_or_note(reader, ended.id.case, &text)?.to_string()));
    }
    Ok(messages)
}

fn read_json(reader: &Reader, case: CaseNo, digest: &Digest) -> Result<Option<Value>, JournalError> {
    Ok(reader.text(Some(case), digest)?.and_then(|text| serde_json::from_str(&text).ok()))
}

fn text_or_note(reader: &Reader, case: CaseNo, digest: &Digest) -> Result<Arc<str>, JournalError> {
    Ok(reader.text(Some(case), digest)?.unwrap_or_else(|| format!("(the journal has no text {digest})").into()))
}

/// Writes a text beside what it is, in a column of its own.
fn beside(name: &str, text: &str, width: usize) -> String {
    let name = inert(name);
    let text = inert(text);
    let lines = wrapped(&text, width, TEXT_INDENT);
    if columns(&name) + 4 >= TEXT_INDENT {
        return format!("    {name}\n{lines}");
    }
    let gap = " ".repeat(TEXT_INDENT - 4 - columns(&name));
    format!("    {name}{gap}{}", lines.trim_start())
}

fn to_json(reader: &Reader, case: &CaseRecord, attempts: &[AttemptRecord]) -> Result<Value, JournalError> {
    let mut calls = Vec::new();
    for attempt in attempts {
        let started = &attempt.started;
        let mut value = json!({
            "step": started.id.step,
            "call": started.id.call,
            "attempt": started.id.attempt,
            "actor": started.actor,
            "backend": started.backend,
            "started_us": attempt.started_at,
            "ended_us": attempt.ended.as_ref().map(|(at, _)| at),
        });
        if let Some((_, ended)) = &attempt.ended {
            let messages = messages(reader, ended)?.into_iter();
            value["messages"] = messages.map(|(role, text)| json!({ "role": role, "text": text })).collect();
            value["usage"] = json!(ended.usage);
            value["timings"] = json!(ended.timings);
            value["charged"] = json!(ended.charged);
            match &ended.outcome {
                Outcome::Answered(answer) => {
                    value["answer"] = json!(text_or_note(reader, ended.id.case, &answer.text)?);
                    value["finish"] = json!(answer.finish);
                    value["model"] = json!(answer.model);
                    value["facts"] = json!(answer.facts);
                }
                Outcome::Failed(failure) => value["failure"] = json!(failure),
            }
        }
        calls.push(value);
    }
    let tasks = case.tasks.iter().map(|task| {
        json!({
            "step": task.step,
            "status": task.status,
            "output": task.output,
            "failure": task.failure,
            "usage": task.usage,
            "busy_ms": task.busy_ms,
            "reused_from": adoption(case, &task.step).map(|from| json!({ "run": from.run, "case": from.case })),
        })
    });
    Ok(json!({
        "case": case.admitted.case,
        "item": case.admitted.item,
        "repeat": case.admitted.repeat,
        "status": case.settled.as_ref().map(|settled| settled.status),
        "row": read_json(reader, case.admitted.case, &case.admitted.row)?,
        "steps": tasks.collect::<Vec<_>>(),
        "calls": calls,
    }))
}
