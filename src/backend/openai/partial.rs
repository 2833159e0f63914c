//! What has come of an answer so far, and whether it adds up to a whole one.
//! Reads: documents, whole or streamed alike. Gives: a [`Completion`] or why there is none.
//! Start at [`Partial::take`].

use std::time::Duration;

use super::finish::{self, Ending};
use super::halves::Halves;
use super::refusal::{Asked, Refusal};
use super::usage;
use super::wire::{self, Chunk, Document, Said};
use crate::backend::http::BODY_LIMIT;
use crate::backend::port::{Completion, Progress, Watch};
use crate::backend::thoughts::Splitter;
use crate::event::{Claimed, Failure, FailureKind, FinishReason, Usage};

/// How much of a document that cannot be read is shown, in characters.
const EXCERPT: usize = 80;
/// After a reason that came alone only the usage is still to come; a server that never ends its stream costs no more.
const TAIL: Duration = Duration::from_secs(2);
/// After a reason that came with text, some servers send more text, seconds later: each of their chunks has one.
const TAIL_BESIDE_TEXT: Duration = Duration::from_secs(8);

/// What has come so far.
pub(super) struct Partial<'a> {
    asked: Asked<'a>,
    watch: Watch<'a>,
    splitter: Splitter,
    thought: String,
    text_halves: Halves,
    thought_halves: Halves,
    /// Bytes of text and thought.
    size: usize,
    model: Option<String>,
    id: Option<String>,
    usage: Usage,
    claimed: Option<Claimed>,
    end: Option<End>,
    /// A reason that counts only if nothing more comes: text has followed one like it before.
    doubted: Option<End>,
    /// Text has followed a reason that came with text.
    lied_beside_text: bool,
    /// Text has followed a reason that came alone.
    lied_alone: bool,
    pieces: u64,
    has_choices: bool,
    calls: bool,
}

/// Why an answer ended.
struct End {
    ending: Ending,
    word: String,
    is_beside_text: bool,
}

/// How the last of an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// By the server's word that this was all: `[DONE]`, or the end of a whole document.
    Said,
    /// The body ended where its framing says that it ends.
    Framed,
    /// The connection ended, which ends such a body, or breaks it.
    Closed,
    /// Nothing more came.
    Silence,
}

/// Why there is no answer, and what it has cost.
#[derive(Debug)]
pub(super) struct Spoilt {
    pub(super) failure: Failure,
    pub(super) spent: Box<Usage>,
}

impl From<Failure> for Spoilt {
    fn from(failure: Failure) -> Self {
        Self { failure, spent: Box::default() }
    }
}

impl<'a> Partial<'a> {
    /// Begins an answer; `may_be_unopened` says that this model has closed thoughts that it had not opened.
    pub(super) fn new(asked: Asked<'a>, watch: Watch<'a>, may_be_unopened: bool) -> Self {
        Self {
            asked,
            watch,
            splitter: Splitter::new(may_be_unopened),
            thought: String::new(),
            text_halves: Halves::default(),
            thought_halves: Halves::default(),
            size: 0,
            model: None,
            id: None,
            usage: Usage::default(),
            claimed: None,
            end: None,
            doubted: None,
            lied_beside_text: false,
            lied_alone: false,
            pieces: 0,
            has_choices: false,
            calls: false,
        }
    }

    /// Returns how many documents said something.
    pub(super) fn pieces(&self) -> u64 {
        self.pieces
    }

    /// Returns true when a document had a choice.
    pub(super) fn has_choices(&self) -> bool {
        self.has_choices
    }

    /// Returns what it has cost, as far as it is known.
    pub(super) fn spent(&self) -> Usage {
        self.usage
    }

    /// Returns true when a reason to end has come that can be believed.
    pub(super) fn has_end(&self) -> bool {
        self.end.is_some()
    }

    /// Returns true when a reason to end has come, believed or not.
    pub(super) fn may_have_end(&self) -> bool {
        self.end.is_some() || self.doubted.is_some()
    }

    /// Returns how long the rest may take, once there is an end.
    pub(super) fn tail(&self) -> Option<Duration> {
        let end = self.end.as_ref()?;
        let is_sure = !end.is_beside_text && !self.lied_alone && self.pieces > 0;
        Some(if is_sure { TAIL } else { TAIL_BESIDE_TEXT })
    }

    /// Takes the next document.
    ///
    /// # Errors
    /// When it is an error, or nothing that can be read. What comes after a reason to end cannot make a whole answer
    /// less whole.
    pub(super) fn take(&mut self, data: &[u8], is_error: bool) -> Result<(), Failure> {
        let read = self.document(data, is_error);
        if self.end.is_some() { Ok(()) } else { read }
    }

    fn document(&mut self, data: &[u8], is_error: bool) -> Result<(), Failure> {
        let malformed = |why: &dyn std::fmt::Display| {
            let shown = self.asked.scrub.excerpt(data, EXCERPT);
            Failure::new(FailureKind::Malformed, format!("the answer cannot be read: {why} (starts with {shown:?})"))
        };
        let text = std::str::from_utf8(data)
            .map_err(|error| malformed(&format!("it is not UTF-8 from byte {} on", error.valid_up_to())))?;
        let document =
            if is_error { error_event(text) } else { wire::read(text).map_err(|error| malformed(&error))? };
        match document {
            Document::Chunk(chunk) => self.chunk(chunk),
            Document::Error(error, spent) => {
                self.usage = usage::merged(self.usage, spent);
                Err(Refusal::of_success(*error, self.usage).failure(&self.asked))
            }
        }
    }

    fn chunk(&mut self, chunk: Chunk<'_>) -> Result<(), Failure> {
        let Chunk { model, id, said, usage, claimed, is_marked } = chunk;
        self.claimed = claimed.or(self.claimed);
        if let Some(model) = model {
            match &mut self.model {
                Some(known) if *known == model => {}
                known => *known = Some(model.into_owned()),
            }
        }
        if self.id.is_none() {
            self.id = id;
        }
        self.usage = usage::merged(self.usage, usage);
        let Some(said) = said else {
            // The usage by itself comes after all text.
            if usage != Usage::default() && self.pieces > 0 {
                self.end = self.end.take().or(self.doubted.take());
                self.end.iter_mut().for_each(|end| end.is_beside_text = false);
            }
            return Ok(());
        };
        self.has_choices = true;
        let (has_role, reason) = (said.has_role, reason_of(&said));
        let is_beside_text = self.said(said, is_marked)?;
        let Some((ending, word)) = reason else { return Ok(()) };
        let end = End { ending, word, is_beside_text };
        let is_doubted = if is_beside_text { self.lied_beside_text } else { has_role && self.pieces == 0 };
        if is_doubted {
            self.doubted = Some(end);
        } else {
            self.end = Some(end);
        }
        Ok(())
    }

    /// Takes what a choice says; returns whether there was any text or thought in it.
    fn said(&mut self, said: Said<'_>, is_marked: bool) -> Result<bool, Failure> {
        self.calls |= said.calls;
        let has_more = !said.text.is_empty() || !said.thought.is_empty();
        self.pieces += u64::from(has_more || said.calls);
        // Some servers repeat the whole message at the end of its stream.
        if !has_more || said.is_whole && self.splitter.has_text() && self.splitter.text() == said.text {
            return Ok(false);
        }
        self.size += said.text.len() + said.thought.len();
        if self.size > BODY_LIMIT {
            return Err(too_large());
        }
        self.doubted = None;
        if let Some(end) = self.end.take() {
            self.lied_beside_text |= end.is_beside_text;
            self.lied_alone |= !end.is_beside_text;
        }
        self.thought.push_str(&self.thought_halves.join(said.thought, is_marked));
        let text = self.text_halves.join(said.text, is_marked);
        self.show(&text);
        Ok(true)
    }

    fn show(&mut self, text: &str) {
        let shown = self.splitter.push(text);
        if !shown.is_empty() && self.asked.request.stream {
            (self.watch)(Progress::Text(shown));
        }
    }

    /// Decides whether all that has come is a whole answer.
    ///
    /// Returns also whether it closed a thought that it had not opened.
    pub(super) fn complete(mut self, last: Last) -> Result<(Completion, bool), Spoilt> {
        let rest = self.text_halves.last();
        self.show(rest);
        let spent = self.usage;
        self.completion(last).map_err(|failure| Spoilt { failure, spent: Box::new(spent) })
    }

    fn completion(self, last: Last) -> Result<(Completion, bool), Failure> {
        let doubted = self.doubted.filter(|_| last != Last::Closed);
        let (ending, word) = match (self.end.or(doubted), last) {
            (Some(end), _) => (end.ending, end.word),
            (None, Last::Said) if !self.has_choices => {
                return Err(Failure::new(FailureKind::Malformed, "the answer has no choices"));
            }
            // All has come, only the reason is missing.
            (None, Last::Said) => (Ending::Whole(FinishReason::Other), String::new()),
            (None, _) => {
                let detail = format!("the stream ended without a finish_reason after {} pieces", self.pieces);
                return Err(Failure::new(FailureKind::CutOff, detail));
            }
        };
        let (finish, reason) = match ending {
            Ending::Whole(finish) => (finish, None),
            Ending::None => (FinishReason::Other, None),
            Ending::Unknown => (FinishReason::Other, Some(word)),
            Ending::Filtered => {
                let detail = format!("the provider's filter withheld the answer (finish_reason {word:?})");
                return Err(Failure::new(FailureKind::ContentFiltered, detail));
            }
            Ending::Broken => {
                let detail = format!("the server gave the answer up (finish_reason {word:?})");
                return Err(Failure::new(FailureKind::CutOff, detail));
            }
        };
        let may_be_unopened = self.splitter.may_be_unopened();
        let rest_is_seen = self.asked.request.stream;
        let (split, rest) = self.splitter.finish();
        let is_cut = finish == FinishReason::Length;
        let has_thought = !split.thought.trim().is_empty() || !self.thought.trim().is_empty() || split.is_open;
        let hides_thought = self.usage.reasoning.is_some_and(|count| count.0 > 0);
        // A model that closes thoughts without opening them has not come to the close.
        let is_all_thought = is_cut && may_be_unopened && !split.was_closed && self.thought.trim().is_empty();
        if is_blank(&split.answer) || is_all_thought {
            let detail = if is_cut && (has_thought || hides_thought || is_all_thought) {
                let detail =
                    "max_tokens went into reasoning before an answer began; raise max_tokens or bound `reasoning`";
                return Err(Failure::new(FailureKind::ReasoningCut, detail));
            } else if self.calls {
                "the model called a tool and gave no answer"
            } else if has_thought || hides_thought {
                "the model reasoned and gave no answer"
            } else {
                "the answer is blank"
            };
            return Err(Failure::new(FailureKind::NoAnswer, detail));
        }
        if rest_is_seen && !rest.is_empty() {
            (self.watch)(Progress::Text(&rest));
        }
        let mut thought = self.thought;
        thought.push_str(&split.thought);
        let thought = Some(thought.trim()).filter(|thought| !thought.is_empty()).map(str::to_owned);
        let completion = Completion {
            text: split.answer,
            thought,
            finish,
            reason,
            prompt_about: None,
            model: self.model,
            id: self.id,
            usage: self.usage,
            claimed: self.claimed,
        };
        Ok((completion, split.was_unopened))
    }
}

/// Returns true for a text in which nobody sees anything: white space, and marks that have no width.
fn is_blank(text: &str) -> bool {
    const NO_WIDTH: [char; 6] = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}', '\u{00ad}'];
    text.chars().all(|letter| letter.is_whitespace() || letter.is_control() || NO_WIDTH.contains(&letter))
}

/// Reads why a choice ended; none when its word says that it has not.
fn reason_of(said: &Said<'_>) -> Option<(Ending, String)> {
    if said.reason.is_none() && said.native.is_none() {
        return None;
    }
    let (ending, word) = finish::of_choice(said.reason.as_deref(), said.native.as_deref());
    (ending != Ending::None).then(|| (ending, word.to_owned()))
}

/// Reads an event that is called an error: whatever is in it, it is one.
fn error_event(text: &str) -> Document<'static> {
    use super::error_object::ErrorObject;
    let value: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let usage = value.as_ref().map(super::lenient::usage_of).unwrap_or_default();
    let error = value.as_ref().and_then(ErrorObject::find).unwrap_or_else(|| ErrorObject::plain(text));
    Document::Error(Box::new(error), usage)
}

pub(super) fn too_large() -> Failure {
    let detail = "the answer, or one line of it, is larger than any answer should be (16 MiB of text, 1 MiB a line)";
    Failure::new(FailureKind::TooLarge, detail)
}
