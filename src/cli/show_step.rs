//! `pipe show RUN CASE STEP` and `pipe show RUN CASE STEP CALL`: prompts, answers and every attempt.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::asked::{Asked, AskedOf};
use super::exit::{CommandError, Exit};
use super::printer::{BOLD, DIM, inert, paint};
use super::show_case::{Page, step_line, task_lines};
use super::show_texts::{
    CallRecord, attempt_json, beside, calls_of, cut_prompt, ending, from_cache, messages, text_or_note, thought,
};
use crate::base::{Digest, StepName};
use crate::event::{AttemptEnded, Failure, FinishReason, Outcome};
use crate::journal::{AttemptRecord, JournalError};
use crate::prompt::Reasoning;
use crate::report::{duration, wrapped};

/// Finds a step of the case that a page shows.
///
/// # Errors
/// There is none of that name; the message lists what there is.
pub(super) fn find_step(page: &Page<'_>, name: &str) -> Result<StepName, CommandError> {
    let steps = page.steps();
    steps.iter().find(|step| step.as_str() == name).cloned().ok_or_else(|| {
        let names: Vec<&str> = steps.iter().map(StepName::as_str).collect();
        let message = format!("case {} has come to no step {name:?}", page.case.admitted.case);
        CommandError::new(Exit::Usage, message).help(match names.is_empty() {
            true => "nothing was asked in it yet".to_owned(),
            false => format!("there is: {}", names.join(", ")),
        })
    })
}

/// Writes a step: each call with the messages that were not shown before it, and its answer.
///
/// # Errors
/// Damage, or trouble of the store.
pub(super) fn step_text(page: &Page<'_>, step: &StepName) -> Result<String, JournalError> {
    let mut lines = vec![page.headline(), step_line(page.case, step)];
    let mut shown: BTreeSet<Digest> = BTreeSet::new();
    let calls = calls_of(page.attempts, step);
    for call in &calls {
        lines.push(String::new());
        lines.push(paint(DIM, &wrapped(&inert(&call_line(call)), page.width, 2)));
        let Some((_, ended)) = &call.last().ended else { continue };
        let mut repeated = 0;
        for said in messages(page.reader, ended)? {
            if shown.insert(said.digest) {
                lines.extend((repeated > 0).then(|| as_above(repeated)));
                repeated = 0;
                lines.push(beside(&said.role, &said.text, page.width));
            } else {
                repeated += 1;
            }
        }
        lines.extend((repeated > 0).then(|| as_above(repeated)));
        if let Outcome::Answered(answer) = &ended.outcome {
            shown.insert(answer.text);
        }
        lines.extend(thought(page.reader, ended, page.folding())?);
        lines.push(outcome(page, call.last(), ended)?);
    }
    let end = task_lines(page, step, calls.is_empty())?;
    lines.extend((!end.is_empty()).then(String::new));
    lines.extend(end);
    if let Some(call) = calls.last() {
        lines.push(String::new());
        lines.push(page.deeper(&format!("{} {}", step, call.path), "one call: options, seed, every attempt"));
    }
    Ok(lines.join("\n"))
}

fn as_above(count: usize) -> String {
    let messages = if count == 1 { "1 message" } else { &format!("{count} messages") };
    paint(DIM, &format!("    ({messages} as above)"))
}

fn outcome(page: &Page<'_>, attempt: &AttemptRecord, ended: &AttemptEnded) -> Result<String, JournalError> {
    Ok(match &ended.outcome {
        Outcome::Answered(answer) => {
            let text = text_or_note(page.reader, ended.id.case, &answer.text)?;
            beside(attempt.started.actor.as_str(), &text, page.width)
        }
        Outcome::Failed(failure) => beside("no answer", &why(failure), page.width),
    })
}

fn why(failure: &Failure) -> String {
    format!("{}: {}", failure.kind.word(), failure.detail)
}

/// Says which call this is, to whom, and what its last attempt took.
pub(super) fn call_line(call: &CallRecord<'_>) -> String {
    let last = call.last();
    let mut parts = vec![format!("{} · {} on {}", call.path, last.started.actor, last.started.backend)];
    if call.attempts.len() > 1 {
        parts.push(format!("{} attempts", call.attempts.len()));
    }
    match &last.ended {
        Some((_, ended)) => parts.extend(ending(ended)),
        None => parts.push("in flight, or lost with its process".to_owned()),
    }
    parts.join(" · ")
}

/// Finds a call of a step.
///
/// # Errors
/// There is none of that name; the message lists what there is.
pub(super) fn find_call<'a>(page: &Page<'a>, step: &StepName, name: &str) -> Result<CallRecord<'a>, CommandError> {
    let calls = calls_of(page.attempts, step);
    let names: Vec<String> = calls.iter().map(|call| call.path.clone()).collect();
    calls.into_iter().find(|call| call.path == name).ok_or_else(|| {
        let message =
            format!("step {:?} of case {} has made no call {name:?}", step.as_str(), page.case.admitted.case);
        CommandError::new(Exit::Usage, message).help(match names.is_empty() {
            true => "it made none: its output is reused, or it asks no model".to_owned(),
            false => format!("there is: {}", names.join(", ")),
        })
    })
}

/// Writes a call: what was sent, with which options, and every attempt.
///
/// # Errors
/// Damage, or trouble of the store.
pub(super) fn call_text(page: &Page<'_>, call: &CallRecord<'_>, plan: &AskedOf) -> Result<String, JournalError> {
    let started = &call.last().started;
    let mut lines = vec![page.headline()];
    lines.push(paint(BOLD, &inert(&format!("{} · {}", started.id.step, call.path))));
    lines.push(beside("asked", &format!("{} on {}", started.actor, started.backend), page.width));
    match plan.asked(page, call) {
        Ok(asked) => lines.extend(options(&asked).iter().map(|(name, text)| beside(name, text, page.width))),
        Err(reason) => lines.push(beside("options", &format!("not known: {reason}"), page.width)),
    }
    let sent = call.attempts.iter().rev().find_map(|attempt| attempt.ended.as_ref().map(|(_, ended)| ended));
    let sent = sent.map_or(Ok(Vec::new()), |ended| messages(page.reader, ended))?;
    lines.push(String::new());
    if sent.is_empty() {
        lines.push(paint(DIM, "  no messages are on record: none was made, or none has come back yet"));
    }
    lines.extend(sent.iter().map(|said| beside(&said.role, &said.text, page.width)));
    for attempt in &call.attempts {
        lines.push(String::new());
        lines.extend(attempt_lines(page, attempt)?);
    }
    Ok(lines.join("\n"))
}

fn options(asked: &Asked) -> Vec<(&'static str, String)> {
    let sampling = &asked.sampling;
    let mut parts = Vec::new();
    parts.extend(sampling.temperature.map(|number| format!("temperature {number}")));
    parts.extend(sampling.top_p.map(|number| format!("top_p {number}")));
    parts.extend(sampling.max_tokens.map(|number| format!("max_tokens {number}")));
    if !sampling.stop.is_empty() {
        parts.push(format!("stop {}", sampling.stop.join(", ")));
    }
    parts.push(format!("seed {}", asked.seed));
    parts.extend(sampling.reasoning.map(|reasoning| format!("reasoning {}", reasoning_words(reasoning))));
    let mut lines = vec![("model", asked.model.to_string()), ("options", parts.join(" · "))];
    if !sampling.extra.is_empty() {
        lines.push(("extra_body", Value::Object((*sampling.extra).clone()).to_string()));
    }
    if !asked.options.is_empty() {
        lines.push(("one of", asked.options.join(", ")));
    }
    if let Some(schema) = &asked.schema {
        lines.push(("schema", schema.to_string()));
    }
    lines
}

fn reasoning_words(reasoning: Reasoning) -> String {
    match reasoning {
        Reasoning::Budget(tokens) => format!("of at most {tokens} tokens"),
        word => word.word(),
    }
}

fn attempt_lines(page: &Page<'_>, attempt: &AttemptRecord) -> Result<Vec<String>, JournalError> {
    let began = page.since_start(attempt.started_at);
    let head = format!("attempt {} · {} after the run began", attempt.started.id.attempt, duration(began));
    let mut lines = vec![paint(BOLD, &wrapped(&head, page.width, 2))];
    let Some((_, ended)) = &attempt.ended else {
        lines.push(beside("no answer", "in flight, or lost with its process", page.width));
        return Ok(lines);
    };
    if let Some(found) = &ended.from_cache {
        lines.push(beside("cache", &from_cache(found), page.width));
    }
    let times = ended.timings;
    let mut took = vec![format!("{} in our queue", duration(times.queued_us))];
    took.extend(times.first_token_us.map(|first| format!("first token after {}", duration(first))));
    took.push(format!("{} in all", duration(times.total_us)));
    if ended.from_cache.is_none() {
        lines.push(beside("time", &took.join(" · "), page.width));
    }
    let counts = [
        (ended.usage.input, "in"),
        (ended.usage.cached, "of them cached"),
        (ended.usage.output, "out"),
        (ended.usage.reasoning, "of them reasoning"),
        (ended.estimated.input, "in by estimate"),
        (ended.estimated.output, "out by estimate"),
    ];
    let counts = counts.iter().filter_map(|(count, word)| Some(format!("{} {word}", count.as_ref()?.0)));
    let counts = counts.collect::<Vec<_>>().join(", ");
    lines.extend((!counts.is_empty()).then(|| beside("tokens", &counts, page.width)));
    lines.extend(thought(page.reader, ended, page.folding())?);
    lines.push(outcome(page, attempt, ended)?);
    match &ended.outcome {
        Outcome::Answered(answer) => {
            let finish = match (answer.finish, &answer.reason) {
                (_, Some(reason)) => format!("the server's reason {reason:?} is unknown"),
                (FinishReason::Stop, None) => "the model was done".to_owned(),
                (FinishReason::Length, None) => "cut at its limit of tokens".to_owned(),
                (FinishReason::Other, None) => "the server calls it an ordinary end".to_owned(),
            };
            let model = answer.model.as_ref().map_or(String::new(), |model| format!(" · answered by {model}"));
            lines.push(beside("end", &format!("{finish}{model}"), page.width));
            lines.extend(cut_prompt(answer, &ended.usage).map(|cut| beside("doubt", &cut, page.width)));
        }
        Outcome::Failed(failure) => {
            let mut parts = Vec::new();
            parts.extend(failure.status.map(|status| format!("HTTP {status}")));
            parts.extend(
                failure.retry_after_ms.map(|wait| format!("the server said to wait {}", duration(wait * 1_000))),
            );
            parts.push(if ended.charged { "counts as an attempt" } else { "not charged" }.to_owned());
            parts.extend(
                ended.retry_at.map(|at| format!("again {} after the run began", duration(page.since_start(at)))),
            );
            lines.push(beside("then", &parts.join(" · "), page.width));
            if let Some(evidence) = &failure.evidence {
                let text = text_or_note(page.reader, ended.id.case, evidence)?;
                lines.push(beside("it said", &text, page.width));
            }
        }
    }
    Ok(lines)
}

/// Returns a step or one of its calls, for programs.
///
/// # Errors
/// Damage, or trouble of the store.
pub(super) fn step_json(page: &Page<'_>, step: &StepName) -> Result<Value, JournalError> {
    let calls = calls_of(page.attempts, step);
    let attempts: Vec<&AttemptRecord> = calls.iter().flat_map(|call| call.attempts.iter().copied()).collect();
    let calls: Result<Vec<Value>, _> =
        attempts.into_iter().map(|attempt| attempt_json(page.reader, attempt)).collect();
    let mut value = page.identity();
    value["step"] = json!(step);
    value["task"] = page.task_json(step)?;
    value["calls"] = Value::Array(calls?);
    Ok(value)
}

/// See [`step_json`].
///
/// # Errors
/// Damage, or trouble of the store.
pub(super) fn call_json(page: &Page<'_>, call: &CallRecord<'_>, plan: &AskedOf) -> Result<Value, JournalError> {
    let attempts: Result<Vec<Value>, _> =
        call.attempts.iter().map(|attempt| attempt_json(page.reader, attempt)).collect();
    let mut value = page.identity();
    value["step"] = json!(call.last().started.id.step);
    value["call"] = json!(call.path);
    value["options"] = match plan.asked(page, call) {
        Ok(asked) => json!({
            "model": asked.model,
            "temperature": asked.sampling.temperature,
            "top_p": asked.sampling.top_p,
            "max_tokens": asked.sampling.max_tokens,
            "stop": asked.sampling.stop,
            "reasoning": asked.sampling.reasoning.map(Reasoning::word),
            "extra_body": *asked.sampling.extra,
            "seed": asked.seed,
            "one_of": asked.options,
            "schema": asked.schema,
        }),
        Err(reason) => json!({ "unknown": reason }),
    };
    value["attempts"] = Value::Array(attempts?);
    Ok(value)
}
