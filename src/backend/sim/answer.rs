//! One request → one answer and its times.

use std::time::Duration;

use serde_json::json;

use super::{choice, draw::Draw, latency, text, value};
use crate::backend::port::{ChatRequest, Completion, Format};
use crate::base::{Digest, Hasher, TokenCount};
use crate::event::{FinishReason, Usage};
use crate::prompt::Role;

/// An answer and how long it would take on an idle server.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// The answer.
    pub completion: Completion,
    /// From the request to its first token.
    pub first_token: Duration,
    /// From the request to its last token.
    pub total: Duration,
}

/// Answers a request; the same request always gets the same answer. Cost: some microseconds.
#[must_use]
pub fn answer(request: &ChatRequest) -> Simulated {
    let whole = match &request.format {
        Format::Text => text::write(&user_text(request), &mut Draw::new(identity(request))),
        Format::Choice(options) => json!({ "choice": choice::choose(request, options) }).to_string(),
        Format::Json(schema) => value::write(schema, request).to_string(),
    };
    let (text, finish) = cut(whole, request);
    let input = prompt_tokens(request);
    let output = text.split_whitespace().count() as u64;
    let (first_token, total) = latency::times(input, output);
    let usage =
        Usage { input: Some(TokenCount(input)), output: Some(TokenCount(output)), cached: None, reasoning: None };
    let id = format!("sim-{}", identity(request).short());
    Simulated {
        completion: Completion {
            text,
            thought: None,
            finish,
            reason: None,
            prompt_about: None,
            model: Some(request.model.to_string()),
            id: Some(id),
            usage,
            claimed: None,
        },
        first_token,
        total,
    }
}

/// Returns the seed as far as it counts: at temperature 0 it does not.
pub(super) fn seed_of(request: &ChatRequest) -> u64 {
    if request.temperature == Some(0.0) { 0 } else { u64::from(request.seed) }
}

/// Returns the last message of the user.
pub(super) fn last_user(request: &ChatRequest) -> &str {
    request.messages.iter().rev().find(|message| message.role == Role::User).map_or("", |message| &*message.content)
}

/// Hashes everything that decides an answer's text, its cut at `max_tokens` aside.
pub(super) fn identity(request: &ChatRequest) -> Digest {
    let number = |number: Option<f64>| number.map_or(u64::MAX, f64::to_bits);
    let mut hasher = Hasher::new("pipe sim 1")
        .field(request.model.as_bytes())
        .number(seed_of(request))
        .number(number(request.temperature))
        .number(number(request.top_p))
        .number(request.stop.len() as u64);
    for stop in &request.stop {
        hasher = hasher.field(stop.as_bytes());
    }
    hasher = hasher.number(request.messages.len() as u64);
    for message in &request.messages {
        hasher = hasher.field(message.role.word().as_bytes()).field(message.content.as_bytes());
    }
    match &request.format {
        Format::Text => hasher.finish(),
        Format::Choice(options) => {
            options.iter().fold(hasher, |hasher, option| hasher.field(option.as_bytes())).finish()
        }
        Format::Json(schema) => hasher.field(schema.to_string().as_bytes()).finish(),
    }
}

pub(super) fn user_text(request: &ChatRequest) -> [&str; 2] {
    let first = request.messages.iter().find(|message| message.role == Role::User);
    [last_user(request), first.map_or("", |message| &*message.content)]
}

fn prompt_tokens(request: &ChatRequest) -> u64 {
    /// What a chat template adds to each message.
    const FRAME: u64 = 4;
    request.messages.iter().map(|message| message.content.split_whitespace().count() as u64 + FRAME).sum()
}

/// Ends a text at the first stop text or after `max_tokens` words, whichever comes first.
fn cut(mut text: String, request: &ChatRequest) -> (String, FinishReason) {
    let stops = request.stop.iter().filter(|stop| !stop.is_empty());
    if let Some(end) = stops.filter_map(|stop| text.find(stop.as_str())).min() {
        text.truncate(end);
    }
    let most = request.max_tokens.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    if text.split_whitespace().count() <= most {
        return (text, FinishReason::Stop);
    }
    let words: Vec<&str> = text.split_whitespace().take(most).collect();
    (words.join(" "), FinishReason::Length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::port::CallLimits;
    use crate::prompt::Message;

    fn request(question: &str, seed: u32) -> ChatRequest {
        let second = Duration::from_secs(1);
        ChatRequest {
            model: "sim".into(),
            messages: vec![Message { role: Role::User, content: question.into() }],
            temperature: None,
            top_p: None,
            max_tokens: None,
            stop: vec![],
            seed,
            format: Format::Text,
            stream: false,
            reasoning: None,
            extra: std::sync::Arc::default(),
            lacks: crate::event::Features::NONE,
            trace: None,
            limits: CallLimits { connect: second, first_token: second, idle: second },
        }
    }

    const MOTION: &str = "The motion: trams should replace buses in small towns";

    #[test]
    fn the_same_request_gets_the_same_answer_and_another_seed_another() {
        let one = answer(&request(MOTION, 1));
        assert_eq!(one, answer(&ChatRequest { stream: true, ..request(MOTION, 1) }));
        assert_ne!(one.completion.text, answer(&request(MOTION, 2)).completion.text);
        let cold = |seed| answer(&ChatRequest { temperature: Some(0.0), ..request(MOTION, seed) });
        assert_eq!(cold(1), cold(2));
    }

    #[test]
    fn answers_speak_of_the_question_and_vary_in_length() {
        let answers: Vec<Simulated> = (0..400).map(|seed| answer(&request(MOTION, seed))).collect();
        let about = answers.iter().filter(|one| {
            let text = one.completion.text.to_lowercase();
            ["trams", "buses", "towns", "replace", "motion"].iter().any(|word| text.contains(word))
        });
        assert!(about.count() > 390);
        let mut lengths: Vec<u64> =
            answers.iter().filter_map(|one| one.completion.usage.output).map(|TokenCount(count)| count).collect();
        lengths.sort_unstable();
        assert!((40..65).contains(&lengths[200]), "median {}", lengths[200]);
        assert!(lengths[20] < 35 && lengths[380] > 75, "{} to {}", lengths[20], lengths[380]);
    }

    #[test]
    fn max_tokens_and_stop_texts_cut() {
        let whole = answer(&request(MOTION, 3)).completion.text;
        let cut = answer(&ChatRequest { max_tokens: Some(7), ..request(MOTION, 3) }).completion;
        assert_eq!(cut.finish, FinishReason::Length);
        assert_eq!(cut.usage.output, Some(TokenCount(7)));
        assert_eq!(cut.text, whole.split_whitespace().take(7).collect::<Vec<_>>().join(" "));
        let stopped = answer(&ChatRequest { stop: vec![".".into()], ..request(MOTION, 3) }).completion;
        assert_eq!(stopped.finish, FinishReason::Stop);
        assert!(!stopped.text.contains('.') && !stopped.text.is_empty());
    }
}
