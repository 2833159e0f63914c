//! Reading an answer as it comes: what it is, piece by piece, and when it is over.
//! Reads: a body, asked for whole or as a stream. Gives: a [`Completion`] or why there is none.
//!
//! The first byte that is no blank decides what it is, and neither its label nor what was asked for: JSON, events, or a
//! page.
//! Start at [`read`].

use serde_json::value::RawValue;
use tokio::time::Instant;

use super::events::{Events, TooLong};
use super::page;
use super::partial::{Last, Partial, Spoilt, too_large};
use super::refusal::Asked;
use crate::backend::http::{BODY_LIMIT, ReadTrouble, Reading, seconds};
use crate::backend::port::{ChatRequest, Completion, Progress, Watch};
use crate::event::{Failure, FailureKind, TimeoutPhase};

/// Most bytes of a stream, chunks and comments included: an answer of 16 MiB in pieces of one token each.
const STREAM_LIMIT: usize = BODY_LIMIT * 64;
/// How long the connection may take to end a stream after `[DONE]` and still be used again.
const DRAIN: std::time::Duration = std::time::Duration::from_millis(200);
/// How many pieces may still come then.
const DRAIN_PIECES: usize = 16;

/// An answer that has begun to come.
pub(super) struct Coming<'a> {
    pub(super) asked: Asked<'a>,
    pub(super) watch: Watch<'a>,
    pub(super) sent_at: Instant,
    pub(super) status: u16,
    /// Without its parameters, in small letters.
    pub(super) content_type: String,
    /// The body says where it ends: by its length, or by its last chunk.
    pub(super) is_framed: bool,
    /// The model has closed thoughts that it had not opened.
    pub(super) may_be_unopened: bool,
}

/// What the start of a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Events,
    Page,
    /// Something else, such as a text.
    Other,
}

/// Reads an answer to its end; returns also whether it closed a thought that it had not opened.
pub(super) async fn read(body: &mut Reading<'_>, coming: Coming<'_>) -> Result<(Completion, bool), Spoilt> {
    let mut start = Vec::new();
    let form = loop {
        let is_early = start.iter().all(u8::is_ascii_whitespace);
        let deadline = coming.deadline(is_early);
        let piece = body.some(deadline).await.map_err(|trouble| coming.cut(trouble, is_early))?;
        let Some(piece) = piece else { break form(&start, &coming.content_type, true) };
        start.extend_from_slice(&piece);
        if start.len() > BODY_LIMIT {
            return Err(too_large().into());
        }
        if let Some(form) = form(&start, &coming.content_type, false) {
            break Some(form);
        }
    };
    let malformed = |detail: String| Spoilt::from(Failure::new(FailureKind::Malformed, detail));
    match form {
        None => Err(malformed("the answer is empty".to_owned())),
        Some(Form::Events) => events(body, start, &coming).await,
        Some(Form::Json) => {
            let last = rest(body, &mut start, &coming).await;
            documents(&start, last, &coming)
        }
        Some(Form::Page | Form::Other) => {
            // More of it than its start only serves to explain it; what does not come is not missed.
            rest(body, &mut start, &coming).await.ok();
            if start.len() > BODY_LIMIT {
                return Err(too_large().into());
            }
            Err(malformed(page::no_answer(coming.status, &coming.content_type, &start, coming.asked.scrub)))
        }
    }
}

impl Coming<'_> {
    /// Returns until when the next piece may come.
    fn deadline(&self, is_early: bool) -> Instant {
        let limits = &self.asked.request.limits;
        if self.asked.request.stream && is_early {
            self.sent_at + limits.first_token
        } else {
            Instant::now() + limits.idle
        }
    }

    fn cut(&self, trouble: ReadTrouble, is_early: bool) -> Failure {
        if self.asked.request.stream && is_early && matches!(trouble, ReadTrouble::Late) {
            return late(self.asked.request);
        }
        cut(trouble, self.asked.request)
    }
}

/// Decides what a body is; none while too little of it has come.
fn form(start: &[u8], content_type: &str, is_all: bool) -> Option<Form> {
    const FIELDS: [&[u8]; 6] = [b"data:", b"event:", b"id:", b"retry:", b"error:", b":"];
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    match start.first()? {
        b'{' | b'[' => Some(Form::Json),
        b'<' => Some(Form::Page),
        b'\xef' if start.len() < 3 && !is_all => None,
        _ if FIELDS.iter().any(|field| start.starts_with(field)) => Some(Form::Events),
        _ if FIELDS.iter().any(|field| field.starts_with(start)) && !is_all => None,
        _ if content_type == "text/event-stream" => Some(Form::Events),
        _ => Some(Form::Other),
    }
}

/// Reads the rest of a body that is no stream.
async fn rest(body: &mut Reading<'_>, read: &mut Vec<u8>, coming: &Coming<'_>) -> Result<(), Failure> {
    loop {
        let piece = body.some(coming.deadline(false)).await.map_err(|trouble| coming.cut(trouble, false))?;
        let Some(piece) = piece else { return Ok(()) };
        read.extend_from_slice(&piece);
        if read.len() > BODY_LIMIT {
            return Err(cut(ReadTrouble::TooLarge, coming.asked.request));
        }
    }
}

/// Reads JSON that stands in no event: one document, or one after another. `ended` says how its body ended.
fn documents(body: &[u8], ended: Result<(), Failure>, coming: &Coming<'_>) -> Result<(Completion, bool), Spoilt> {
    // All of it is here: nothing is shown before it is known what of it is a thought.
    let silent = |_: Progress<'_>| {};
    let read = documents_unseen(body, ended, coming, &silent);
    if let (Ok((completion, _)), true) = (&read, coming.asked.request.stream) {
        (coming.watch)(Progress::Text(&completion.text));
    }
    read
}

fn documents_unseen(
    body: &[u8],
    ended: Result<(), Failure>,
    coming: &Coming<'_>,
    watch: Watch<'_>,
) -> Result<(Completion, bool), Spoilt> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut answer = Partial::new(coming.asked, watch, coming.may_be_unopened);
    if ended.is_ok() && answer.take(body, false).is_ok() {
        if answer.has_choices() {
            return answer.complete(Last::Said);
        }
        let detail = page::no_completion(coming.status, body, coming.asked.scrub);
        return Err(Spoilt {
            failure: Failure::new(FailureKind::Malformed, detail),
            spent: Box::new(answer.spent()),
        });
    }
    // More than one document, something after it, or no document: each is read by itself.
    let mut answer = Partial::new(coming.asked, watch, coming.may_be_unopened);
    let mut count = 0;
    let text = std::str::from_utf8(body).unwrap_or_default();
    for document in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let Ok(document) = document else { break };
        count += 1;
        answer
            .take(document.get().as_bytes(), false)
            .map_err(|failure| Spoilt { failure, spent: Box::new(answer.spent()) })?;
    }
    if count > 0 && (count == 1 || answer.has_end()) {
        return answer.complete(Last::Said);
    }
    let spent = Box::new(answer.spent());
    match (ended, count) {
        (Err(failure), _) => Err(Spoilt { failure, spent }),
        (Ok(()), 0) => {
            answer.take(body, false)?;
            answer.complete(Last::Said)
        }
        (Ok(()), _) => answer.complete(if text.contains("[DONE]") { Last::Said } else { Last::Closed }),
    }
}

/// Reads events to the end of the answer.
async fn events(body: &mut Reading<'_>, start: Vec<u8>, coming: &Coming<'_>) -> Result<(Completion, bool), Spoilt> {
    let request = coming.asked.request;
    let mut events = Events::default();
    let mut answer = Partial::new(coming.asked, coming.watch, coming.may_be_unopened);
    let mut received = start.len();
    let first = if request.stream { coming.sent_at + request.limits.first_token } else { coming.deadline(false) };
    let mut deadline = first;
    let mut piece = Some(bytes::Bytes::from(start));
    let mut count = 0_u64;
    let last = loop {
        let Some(bytes) = piece else { break if coming.is_framed { Last::Framed } else { Last::Closed } };
        events.push(&bytes);
        let (pieces_before, had_end) = (answer.pieces(), answer.has_end());
        loop {
            let event = match events.next() {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(TooLong) => return Err(Spoilt { failure: too_large(), spent: Box::new(answer.spent()) }),
            };
            count += 1;
            if is_done(&event.data) {
                drain(body).await;
                return answer.complete(Last::Said);
            }
            if !event.data.trim_ascii().is_empty() {
                let taken = answer.take(&event.data, event.is_error);
                taken.map_err(|failure| Spoilt { failure, spent: Box::new(answer.spent()) })?;
            }
        }
        let has_more = answer.pieces() > pieces_before;
        match answer.tail() {
            Some(tail) if !had_end || has_more => deadline = Instant::now() + request.limits.idle.min(tail),
            None if has_more || !request.stream => deadline = Instant::now() + request.limits.idle,
            Some(_) | None => {}
        }
        piece = match body.some(deadline).await {
            Ok(piece) => piece,
            // The answer is whole; only the server's courtesies are missing.
            Err(_) if answer.has_end() => break Last::Silence,
            Err(ReadTrouble::Late) if answer.may_have_end() => break Last::Silence,
            Err(ReadTrouble::Late) if answer.pieces() == 0 && request.stream => return Err(late(request).into()),
            Err(trouble) => {
                return Err(Spoilt { failure: cut(trouble, request), spent: Box::new(answer.spent()) });
            }
        };
        received += piece.as_ref().map_or(0, bytes::Bytes::len);
        if received > STREAM_LIMIT {
            return Err(Spoilt { failure: too_large(), spent: Box::new(answer.spent()) });
        }
    };
    if last != Last::Silence
        && let Some(event) = events.last()
    {
        count += 1;
        if is_done(&event.data) {
            return answer.complete(Last::Said);
        }
        match answer.take(&event.data, event.is_error) {
            // The end has cut this event in two: that is the end's fault, and told as such.
            Err(failure) if failure.kind == FailureKind::Malformed => {}
            taken => taken.map_err(|failure| Spoilt { failure, spent: Box::new(answer.spent()) })?,
        }
    }
    if count == 0 {
        let detail = page::no_answer(coming.status, &coming.content_type, body.head(), coming.asked.scrub);
        return Err(Failure::new(FailureKind::Malformed, detail).into());
    }
    answer.complete(last)
}

fn is_done(data: &[u8]) -> bool {
    let data = data.trim_ascii();
    data.eq_ignore_ascii_case(b"[DONE]") || data == b"\"[DONE]\""
}

/// Reads what is left of the body, so that the connection can be used again; gives up soon and quietly.
async fn drain(body: &mut Reading<'_>) {
    let deadline = Instant::now() + DRAIN;
    for _ in 0..DRAIN_PIECES {
        match body.some(deadline).await {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return,
        }
    }
}

fn late(request: &ChatRequest) -> Failure {
    let detail = format!("no first token within {} s", seconds(request.limits.first_token));
    Failure::new(FailureKind::TimedOut(TimeoutPhase::FirstToken), detail)
}

/// Says what ended a body too early.
fn cut(trouble: ReadTrouble, request: &ChatRequest) -> Failure {
    match trouble {
        ReadTrouble::Late => {
            let detail = format!("the answer stood still for {} s", seconds(request.limits.idle));
            Failure::new(FailureKind::TimedOut(TimeoutPhase::Idle), detail)
        }
        ReadTrouble::TooLarge => {
            Failure::new(FailureKind::TooLarge, format!("the answer is larger than {} MiB", BODY_LIMIT >> 20))
        }
        ReadTrouble::Cut(why) => Failure::new(FailureKind::CutOff, format!("the answer was cut off: {why}")),
    }
}
