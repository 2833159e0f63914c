//! Messages with channels, as gpt-oss writes them: `<|channel|>analysis<|message|>…<|end|>`.
//! Start at [`Harmony::advance`].

use super::marks::{CHANNELS, Read, begins, partial_end};
use super::{Split, add_thought};

const MESSAGE: &str = "<|message|>";
const CHANNEL: &str = "<|channel|>";
const START: &str = "<|start|>";
/// What ends a message; the last two begin the next one.
const ENDS: &[&str] = &["<|end|>", "<|return|>", "<|call|>", START, CHANNEL];
const BEGINNING: usize = 3;

/// Where in its messages a text is.
pub(super) struct Harmony {
    body: Option<Body>,
    has_answer: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Answer,
    /// From this byte on.
    Thought(usize),
}

impl Harmony {
    fn new() -> Self {
        Self { body: None, has_answer: false }
    }

    /// Reads whether a text begins with a message.
    pub(super) fn opens(text: &str, is_all: bool) -> Read<Self> {
        let mut is_partial = false;
        let mut is_opening = |with: &str| match begins(text, with, is_all) {
            Read::Found(_) => true,
            Read::Partial => {
                is_partial = true;
                false
            }
            Read::No => false,
        };
        if is_opening(CHANNEL) || is_opening("<|start|>assistant") {
            return Read::Found(Self::new());
        }
        if CHANNELS.iter().any(|channel| is_opening(&format!("{channel}{MESSAGE}"))) {
            return Read::Found(Self::new());
        }
        if is_partial { Read::Partial } else { Read::No }
    }

    /// Reads whether a text goes on with the message after a thought whose own beginning a template has swallowed.
    pub(super) fn resumes(text: &str, is_all: bool) -> Read<Self> {
        match begins(text, "<|end|><|start|>assistant", is_all) {
            Read::Found(_) => Read::Found(Self::new()),
            Read::Partial => Read::Partial,
            Read::No => Read::No,
        }
    }

    /// Reads on from `at`.
    pub(super) fn advance(&mut self, text: &str, at: &mut usize, split: &mut Split, is_all: bool) {
        while self.step(text, at, split, is_all) {}
    }

    fn step(&mut self, text: &str, at: &mut usize, split: &mut Split, is_all: bool) -> bool {
        let rest = &text[*at..];
        let Some(body) = self.body else { return self.header(text, at, split, is_all) };
        let end = ENDS.iter().enumerate().filter_map(|(number, end)| Some((rest.find(end)?, number))).min();
        let known = match end {
            Some((length, _)) => length,
            None if is_all => rest.len(),
            None => rest.len() - partial_end(rest, ENDS),
        };
        match body {
            Body::Answer => split.answer.push_str(&rest[..known]),
            Body::Thought(from) if end.is_some() || is_all => {
                add_thought(&mut split.thought, &text[from..*at + known]);
            }
            Body::Thought(_) => {}
        }
        *at += known;
        let Some((_, number)) = end else {
            if is_all {
                split.is_open = body != Body::Answer && !self.has_answer;
                self.body = None;
            }
            return false;
        };
        split.was_closed |= body != Body::Answer;
        self.body = None;
        if number < BEGINNING {
            *at += ENDS[number].len();
        }
        true
    }

    /// Reads what stands before a message: its role and its channel.
    fn header(&mut self, text: &str, at: &mut usize, split: &mut Split, is_all: bool) -> bool {
        let rest = &text[*at..];
        let Some(length) = rest.find(MESSAGE) else {
            // What follows the messages without belonging to one.
            if is_all && !rest.contains("<|") && !self.has_answer {
                split.answer.push_str(rest.trim_start());
            }
            if is_all {
                *at = text.len();
            }
            return false;
        };
        let header = &rest[..length];
        let named = header.rsplit(CHANNEL).next().unwrap_or(header);
        let role = named.strip_prefix("<|end|>").unwrap_or(named).strip_prefix(START).unwrap_or(named);
        let channel = if header.contains(CHANNEL) { named } else { role.strip_prefix("assistant").unwrap_or(role) };
        let is_answer = channel.trim().is_empty() || channel.trim_start().starts_with("final");
        *at += length + MESSAGE.len();
        self.body = Some(if is_answer { Body::Answer } else { Body::Thought(*at) });
        self.has_answer |= is_answer;
        true
    }
}
