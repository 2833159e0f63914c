//! Prompts and answers as the conventions write them: one JSON text an attribute.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;

use super::settings::Settings;
use crate::base::Digest;
use crate::event::{Answer, FinishReason, Message};
use crate::plan::Secret;

/// Most bytes of texts in one attribute: what is longer is cut, inside of the JSON, and stands whole in the journal.
pub(super) const LONGEST: usize = 32 << 10;

/// Finds a text of the case at hand.
pub(super) type Find<'a> = &'a dyn Fn(&Digest) -> Option<Arc<str>>;

/// An attribute's text.
pub(super) struct Shown {
    pub(super) json: String,
    pub(super) truncated: bool,
}

/// Returns the messages of a request; none when its texts are not there.
pub(super) fn input(settings: &Settings, request: &[Message], find: Find<'_>) -> Option<Shown> {
    if request.is_empty() {
        return None;
    }
    let texts: Option<Vec<Arc<str>>> = request.iter().map(|Message(_, text)| find(text)).collect();
    let texts = texts?;
    let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
    let most = fair_share(&lengths, LONGEST);
    let texts: Vec<Cow<'_, str>> = texts.iter().map(|text| redacted(settings, text)).collect();
    let messages = request.iter().zip(&texts);
    let messages = messages.map(|(Message(role, _), text)| Said::new(role.as_ref(), cut(text, most)));
    let json = written(&messages.collect::<Vec<_>>());
    Some(Shown { json, truncated: lengths.iter().any(|&length| length > most) })
}

/// Returns the one message of an answer: what the model thought, if it did, then what it said.
pub(super) fn output(settings: &Settings, answer: &Answer, find: Find<'_>) -> Option<Shown> {
    let whole = find(&answer.text)?;
    let whole = redacted(settings, &whole);
    let thought = answer.thought.as_ref().and_then(find);
    let thought = thought.as_deref().map(|thought| redacted(settings, thought));
    // The answer first: a long thought takes what it leaves.
    let text = cut(&whole, LONGEST);
    let room = LONGEST - text.len();
    let shown = thought.as_ref().map(|thought| cut(thought, room));
    let truncated = text.len() < whole.len() || thought.as_ref().is_some_and(|thought| thought.len() > room);
    let parts = shown.filter(|shown| !shown.is_empty()).map(|content| Part { r#type: "reasoning", content });
    let parts = parts.into_iter().chain([Part { r#type: "text", content: text }]).collect();
    let finish_reason = Some(finish_words(answer));
    Some(Shown { json: written(&[Said { role: "assistant", parts, finish_reason }]), truncated })
}

/// A message as the conventions write it.
#[derive(Serialize)]
struct Said<'t> {
    role: &'t str,
    parts: Vec<Part<'t>>,
    /// Deprecated by the conventions, and Phoenix shows no answer without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'t str>,
}

#[derive(Serialize)]
struct Part<'t> {
    r#type: &'static str,
    content: &'t str,
}

impl<'t> Said<'t> {
    fn new(role: &'t str, content: &'t str) -> Self {
        Self { role, parts: vec![Part { r#type: "text", content }], finish_reason: None }
    }
}

fn written(messages: &[Said<'_>]) -> String {
    serde_json::to_string(messages).expect("texts are JSON")
}

/// Returns a text as it may be shown.
pub(super) fn shown(settings: &Settings, text: &str) -> String {
    cut(&redacted(settings, text), LONGEST).to_owned()
}

/// Returns the word for why an answer ended.
pub(super) const fn finish_word(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Other => "other",
    }
}

/// Returns why an answer ended: in the server's own word where that is none that is known.
pub(super) fn finish_words(answer: &Answer) -> &str {
    answer.reason.as_deref().unwrap_or(finish_word(answer.finish))
}

/// Returns a text without secrets. Before it is cut: half a secret is still one.
fn redacted<'t>(settings: &Settings, text: &'t str) -> Cow<'t, str> {
    let mut text = Cow::Borrowed(text);
    for secret in settings.secrets.iter().map(Secret::expose).filter(|secret| !secret.is_empty()) {
        if text.contains(secret) {
            text = Cow::Owned(text.replace(secret, "***"));
        }
    }
    text
}

/// Returns the start of a text, at a character's end.
fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Returns how long each text may be so that all come to at most `total`: short ones stay whole, long ones share the rest.
fn fair_share(lengths: &[usize], total: usize) -> usize {
    if lengths.iter().sum::<usize>() <= total {
        return usize::MAX;
    }
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    let mut left = total;
    for (place, length) in sorted.iter().enumerate() {
        let share = left / (sorted.len() - place);
        if *length > share {
            return share;
        }
        left -= length;
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_stay_whole_and_long_ones_share_the_rest() {
        assert_eq!(fair_share(&[10, 20], 30), usize::MAX);
        assert_eq!(fair_share(&[10, 100, 100], 50), 20);
        assert_eq!(fair_share(&[100], 50), 50);
    }

    #[test]
    fn a_long_prompt_is_cut_within_its_json() {
        let (question, system) = ("ä".repeat(LONGEST), "Be brief.");
        let texts = [system, &question];
        let request = [("system", system), ("user", &*question)]
            .map(|(role, text)| Message(role.into(), Digest::of(text.as_bytes())));
        let find = |digest: &Digest| {
            let found = texts.iter().find(|text| Digest::of(text.as_bytes()) == *digest);
            found.map(|text| Arc::from(*text))
        };
        let shown = input(&Settings::default(), &request, &find).expect("all texts are there");
        assert!(shown.truncated && shown.json.len() < LONGEST + 200);
        let read: serde_json::Value = serde_json::from_str(&shown.json).expect("it is JSON still");
        assert_eq!(read[0]["parts"][0]["content"], system);
    }

    #[test]
    fn a_thought_is_a_part_before_the_answer_and_leaves_it_its_room() {
        let long = "t".repeat(LONGEST);
        let check = |said: &str, thought: Option<&str>| {
            let texts = [said, thought.unwrap_or_default()];
            let find = |digest: &Digest| {
                let found = texts.iter().find(|text| Digest::of(text.as_bytes()) == *digest);
                found.map(|text| Arc::from(*text))
            };
            let answer = Answer {
                text: Digest::of(said.as_bytes()),
                finish: FinishReason::Other,
                model: None,
                id: None,
                thought: thought.map(|thought| Digest::of(thought.as_bytes())),
                reason: Some("eos_x".to_owned()),
                prompt_about: None,
                facts: crate::event::Facts::default(),
            };
            output(&Settings::default(), &answer, &find).expect("all texts are there")
        };
        let both = check("Yes.", Some("Hm."));
        assert_eq!(
            both.json,
            r#"[{"role":"assistant","parts":[{"type":"reasoning","content":"Hm."},{"type":"text","content":"Yes."}],"finish_reason":"eos_x"}]"#
        );
        assert!(!both.truncated && !check("Yes.", None).json.contains("reasoning"));
        let cut = check("Yes.", Some(&long));
        assert!(cut.truncated && cut.json.contains("Yes.") && cut.json.len() < LONGEST + 200);
    }

    #[test]
    fn a_secret_is_shown_nowhere() {
        let settings = Settings { secrets: vec![Secret::new("sk-canary"), Secret::new("")], ..Settings::default() };
        assert_eq!(shown(&settings, "my key is sk-canary, keep it"), "my key is ***, keep it");
    }
}
