//! What the journal keeps of requests and answers, texts looked up: for the views of cases, steps and calls.

use std::sync::Arc;

use serde_json::{Value, json};

use super::printer::{DIM, inert, paint};
use crate::base::{CaseNo, Digest, StepName, TokenCount};
use crate::event::{Answer, AttemptEnded, FinishReason, FromCache, Message, Outcome, Timings, Usage};
use crate::journal::{AttemptRecord, JournalError, Reader};
use crate::report::{columns, duration, grouped, wrapped};

/// Where texts stand beside the role that says them.
const TEXT_INDENT: usize = 15;

/// One message of a request.
pub(super) struct Said {
    /// `system`, `user` or `assistant`.
    pub(super) role: String,
    /// Which text.
    pub(super) digest: Digest,
    /// The text, or a note that it is missing.
    pub(super) text: Arc<str>,
}

/// All attempts of one call, in order.
pub(super) struct CallRecord<'a> {
    /// The call's name; in a `for_each` step after its element's.
    pub(super) path: String,
    pub(super) attempts: Vec<&'a AttemptRecord>,
}

impl CallRecord<'_> {
    /// Returns the attempt that counts: the last one.
    pub(super) fn last(&self) -> &AttemptRecord {
        self.attempts[self.attempts.len() - 1]
    }
}

/// Returns the calls of a step in the order in which they were first sent.
pub(super) fn calls_of<'a>(attempts: &'a [AttemptRecord], step: &StepName) -> Vec<CallRecord<'a>> {
    let mut calls: Vec<CallRecord<'a>> = Vec::new();
    for attempt in attempts.iter().filter(|attempt| attempt.started.id.step == *step) {
        let id = &attempt.started.id;
        let path = id.each.as_ref().map_or_else(|| id.call.to_string(), |each| format!("{each}/{}", id.call));
        match calls.iter_mut().find(|call| call.path == path) {
            Some(call) => call.attempts.push(attempt),
            None => calls.push(CallRecord { path, attempts: vec![attempt] }),
        }
    }
    calls
}

/// Returns the messages of a request.
///
/// # Errors
/// Damage, or trouble of the store.
pub(super) fn messages(reader: &Reader, ended: &AttemptEnded) -> Result<Vec<Said>, JournalError> {
    let mut messages = Vec::new();
    for Message(role, digest) in &ended.request {
        let text = text_or_note(reader, ended.id.case, digest)?;
        messages.push(Said { role: role.to_string(), digest: *digest, text });
    }
    Ok(messages)
}

/// Returns a text that is JSON.
///
/// # Errors
/// Damage, or trouble of the store.
pub(super) fn read_json(reader: &Reader, case: CaseNo, digest: &Digest) -> Result<Option<Value>, JournalError> {
    Ok(reader.text(Some(case), digest)?.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Returns a text, or a note that it is missing.
///
/// # Errors
/// Damage, or trouble of the store.
pub(super) fn text_or_note(reader: &Reader, case: CaseNo, digest: &Digest) -> Result<Arc<str>, JournalError> {
    Ok(reader.text(Some(case), digest)?.unwrap_or_else(|| format!("(the journal has no text {digest})").into()))
}

/// Puts texts in the place of their digests, wherever they stand in a value.
///
/// # Errors
/// Damage, or trouble of the store.
pub(super) fn resolved(reader: &Reader, case: CaseNo, value: Value) -> Result<Value, JournalError> {
    Ok(match value {
        Value::String(word) => {
            match word.parse::<Digest>().ok().map(|digest| reader.text(Some(case), &digest)).transpose()? {
                Some(Some(text)) => json!(text),
                Some(None) | None => Value::String(word),
            }
        }
        Value::Array(list) => {
            Value::Array(list.into_iter().map(|value| resolved(reader, case, value)).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let fields = map.into_iter().map(|(key, value)| Ok((key, resolved(reader, case, value)?)));
            Value::Object(fields.collect::<Result<_, JournalError>>()?)
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
    })
}

/// Says what one attempt took, in parts.
pub(super) fn ending(ended: &AttemptEnded) -> Vec<String> {
    if let Some(found) = &ended.from_cache {
        return vec![from_cache(found)];
    }
    let Timings { queued_us, first_token_us, total_us, claimed: _ } = ended.timings;
    let first = first_token_us.map_or(String::new(), |first| format!(", first token after {}", duration(first)));
    let mut parts = vec![format!("{}{first}", duration(total_us))];
    if queued_us >= 1_000 {
        parts.push(format!("{} in our queue", duration(queued_us)));
    }
    let mut usage = ended.usage;
    usage.add(&ended.estimated);
    let estimated = if ended.estimated.is_empty() { "" } else { " (estimated)" };
    parts.extend(tokens(&usage).map(|tokens| format!("{tokens}{estimated}")));
    if let Outcome::Answered(answer) = &ended.outcome {
        if answer.finish == FinishReason::Length {
            parts.push("cut at its limit of tokens".to_owned());
        }
        parts.extend(answer.reason.as_ref().map(|reason| format!("ended with {reason:?}")));
        parts.extend(cut_prompt(answer, &ended.usage));
    }
    if !ended.charged {
        parts.push("not charged".to_owned());
    }
    parts
}

/// Says that the server probably cut the prompt; none where it did not.
pub(super) fn cut_prompt(answer: &Answer, usage: &Usage) -> Option<String> {
    let about = answer.prompt_about?;
    let read = usage.input.map_or(0, |TokenCount(read)| read);
    Some(format!("prompt probably cut: read {} tokens of some {}", grouped(read), grouped(about.0)))
}

/// Writes what a model thought before its answer: whole, or one line of it; none when it did not.
///
/// # Errors
/// Damage, or trouble of the store.
pub(super) fn thought(reader: &Reader, ended: &AttemptEnded, page: Folding) -> Result<Option<String>, JournalError> {
    let Outcome::Answered(Answer { thought: Some(thought), .. }) = &ended.outcome else { return Ok(None) };
    let text = text_or_note(reader, ended.id.case, thought)?;
    if page.whole {
        return Ok(Some(beside("thought", &text, page.width)));
    }
    let tokens = match ended.usage.reasoning {
        Some(TokenCount(count)) => crate::cli::check::counted(count, "token"),
        None => crate::cli::check::counted(text.chars().count() as u64, "character"),
    };
    let words: Vec<&str> = text.split_whitespace().take(FIRST_WORDS + 1).collect();
    let more = if words.len() > FIRST_WORDS { "…" } else { "" };
    let words = words[..words.len().min(FIRST_WORDS)].join(" ");
    let start = crate::report::cut(&words, LONGEST_START);
    let more = if start.ends_with('…') { "" } else { more };
    let line = format!("{tokens}: {start}{more} (--thoughts shows it)");
    Ok(Some(paint(DIM, &beside("thought", &line, page.width))))
}

/// Words of a thought that are shown where it is folded.
const FIRST_WORDS: usize = 6;
/// Columns that they may take.
const LONGEST_START: usize = 32;

/// How thoughts are shown.
#[derive(Clone, Copy)]
pub(super) struct Folding {
    /// All of it, instead of its first words.
    pub(super) whole: bool,
    pub(super) width: usize,
}

/// Says where an answer is from that no request was sent for.
pub(super) fn from_cache(found: &FromCache) -> String {
    format!("from the cache: asked in case {} of {}", found.case, inert(found.run.as_str()))
}

/// Says tokens: `20 in, 10 out`; none where the server told nothing.
pub(super) fn tokens(usage: &Usage) -> Option<String> {
    let count = |tokens: Option<TokenCount>| tokens.map_or_else(|| "?".to_owned(), |tokens| grouped(tokens.0));
    (!usage.is_empty()).then(|| format!("{} in, {} out", count(usage.input), count(usage.output)))
}

/// Writes a text beside what it is, in a column of its own; on a narrow screen under it.
pub(super) fn beside(name: &str, text: &str, width: usize) -> String {
    let name = inert(name);
    let text = inert(text);
    if columns(&name) + 4 >= TEXT_INDENT || width < 4 * TEXT_INDENT {
        return format!("    {name}\n{}", wrapped(&text, width, 6));
    }
    let lines = wrapped(&text, width, TEXT_INDENT);
    let gap = " ".repeat(TEXT_INDENT - 4 - columns(&name));
    format!("    {name}{gap}{}", lines.trim_start())
}

/// Returns what an attempt is, for programs.
///
/// # Errors
/// Damage, or trouble of the store.
pub(super) fn attempt_json(reader: &Reader, attempt: &AttemptRecord) -> Result<Value, JournalError> {
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
    let Some((_, ended)) = &attempt.ended else { return Ok(value) };
    let messages = messages(reader, ended)?.into_iter();
    value["messages"] = messages.map(|said| json!({ "role": said.role, "text": said.text })).collect();
    value["usage"] = json!(ended.usage);
    if !ended.estimated.is_empty() {
        value["estimated"] = json!(ended.estimated);
    }
    value["timings"] = json!(ended.timings);
    value["charged"] = json!(ended.charged);
    if let Some(found) = &ended.from_cache {
        value["from_cache"] = json!(found);
    }
    match &ended.outcome {
        Outcome::Answered(answer) => {
            value["answer"] = json!(text_or_note(reader, ended.id.case, &answer.text)?);
            value["finish"] = json!(answer.finish);
            if let Some(thought) = &answer.thought {
                value["thought"] = json!(text_or_note(reader, ended.id.case, thought)?);
            }
            if let Some(reason) = &answer.reason {
                value["reason"] = json!(reason);
            }
            if let Some(about) = answer.prompt_about {
                value["prompt_about"] = json!(about);
            }
            value["model"] = json!(answer.model);
            value["facts"] = json!(answer.facts);
        }
        Outcome::Failed(failure) => {
            value["failure"] = json!(failure);
            value["retry_at_us"] = json!(ended.retry_at);
            if let Some(evidence) = &failure.evidence {
                value["evidence"] = json!(text_or_note(reader, ended.id.case, evidence)?);
            }
        }
    }
    Ok(value)
}
