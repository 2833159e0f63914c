//! Reading a streamed answer: pieces as they come, and whether they add up to a whole one.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use super::adapter::cut;
use super::answer::{self, Id, Piece, Wire};
use super::events::{Event, Events, TooLong};
use super::refusal::Refusal;
use crate::backend::http::{BODY_LIMIT, ReadTrouble, Reading, Scrub, seconds};
use crate::backend::port::{ChatRequest, Completion, Progress, Watch};
use crate::event::{Claimed, Failure, FailureKind, FinishReason, TimeoutPhase, Usage};

/// Most bytes of a stream, chunks and comments included: an answer of 16 MiB in pieces of one token each.
const STREAM_LIMIT: usize = BODY_LIMIT * 64;
/// After the finish reason only the usage is still to come; a server that never ends its stream costs no more.
const TAIL: Duration = Duration::from_secs(2);
/// How long the connection may take to end a stream after `[DONE]` and still be used again.
const DRAIN: Duration = Duration::from_millis(200);
/// How many pieces may still come then.
const DRAIN_PIECES: usize = 16;
/// How much of a malformed chunk is shown, in characters.
const EXCERPT: usize = 80;

/// Reads events to the end of the answer.
pub(super) async fn read(
    body: &mut Reading<'_>,
    request: &ChatRequest,
    sent_at: Instant,
    watch: Watch<'_>,
    scrub: &Scrub,
) -> Result<Completion, Failure> {
    let mut events = Events::default();
    let mut answer = Partial::default();
    let mut received = 0;
    let mut deadline = sent_at + request.limits.first_token;
    loop {
        let piece = match body.some(deadline).await {
            Ok(piece) => piece,
            // The answer is whole; only the server's courtesies are missing.
            Err(_) if answer.finish.is_some() => return answer.complete(),
            Err(ReadTrouble::Late) if answer.pieces == 0 => return Err(late(request)),
            Err(trouble) => return Err(cut(trouble, request)),
        };
        let Some(piece) = piece else { break };
        received += piece.len();
        if received > STREAM_LIMIT {
            return Err(too_large());
        }
        events.push(&piece);
        let (pieces_before, had_finished) = (answer.pieces, answer.finish.is_some());
        while let Some(event) = events.next().map_err(|TooLong| too_large())? {
            answer.take(&event, request, watch, scrub)?;
            if answer.is_over {
                drain(body).await;
                return answer.complete();
            }
        }
        if answer.finish.is_some() {
            if !had_finished {
                deadline = Instant::now() + request.limits.idle.min(TAIL);
            }
        } else if answer.pieces > pieces_before {
            deadline = Instant::now() + request.limits.idle;
        }
    }
    if let Some(last) = events.last() {
        match answer.take(&last, request, watch, scrub) {
            // The end has cut this event in two: that is the end's fault, and told as such.
            Err(failure) if failure.kind == FailureKind::Malformed => {}
            taken => taken?,
        }
    }
    if answer.events == 0 {
        let detail = if body.head().trim_ascii().is_empty() {
            "the answer is empty".to_owned()
        } else {
            answer::not_json("something else", body.head(), scrub).replace("not JSON", "no event stream")
        };
        return Err(Failure::new(FailureKind::Malformed, detail));
    }
    answer.complete()
}

/// What has come so far.
#[derive(Default)]
struct Partial {
    text: String,
    model: Option<String>,
    id: Option<String>,
    usage: Usage,
    claimed: Option<Claimed>,
    finish: Option<FinishReason>,
    /// Chunks that carried anything that the model said.
    pieces: u64,
    /// Events of any kind.
    events: u64,
    /// The model thought or called a tool.
    has_other: bool,
    is_over: bool,
}

impl Partial {
    fn take(&mut self, event: &Event, request: &ChatRequest, watch: Watch<'_>, scrub: &Scrub) -> Result<(), Failure> {
        self.events += 1;
        if event.data.trim_ascii() == b"[DONE]" {
            self.is_over = true;
            return Ok(());
        }
        if event.data.trim_ascii().is_empty() {
            return Ok(());
        }
        let read = self.chunk(event, request, watch, scrub);
        // What follows the finish reason cannot make a whole answer less whole.
        if self.finish.is_some() { Ok(()) } else { read }
    }

    fn chunk(
        &mut self,
        event: &Event,
        request: &ChatRequest,
        watch: Watch<'_>,
        scrub: &Scrub,
    ) -> Result<(), Failure> {
        let malformed = |why: &dyn std::fmt::Display| {
            let shown = scrub.excerpt(&event.data, EXCERPT);
            Failure::new(FailureKind::Malformed, format!("a chunk of the stream cannot be read: {why} ({shown:?})"))
        };
        let text = std::str::from_utf8(&event.data).map_err(|error| malformed(&error))?;
        let refusal = || serde_json::from_str(text).ok().as_ref().and_then(Refusal::of_success);
        if event.is_error {
            let refusal = refusal().unwrap_or_else(|| Refusal::plain(text));
            return Err(refusal.failure(request, &HeaderMap::new()));
        }
        let wire: Wire<'_> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
        self.claimed = wire.claimed().or(self.claimed);
        if let Some(model) = wire.model.filter(|model| !model.is_empty()) {
            self.model = Some(model.into_owned());
        }
        if self.id.is_none() {
            self.id = wire.id.and_then(Id::text);
        }
        if let Some(usage) = wire.usage.filter(|usage| !usage.is_null()) {
            self.usage = answer::usage(&usage);
        }
        let Some(choices) = wire.choices else {
            return refusal().map_or(Ok(()), |refusal| Err(refusal.failure(request, &HeaderMap::new())));
        };
        let Some(choice) = choices.iter().find(|choice| choice.index.unwrap_or(0) == 0) else { return Ok(()) };
        self.said(choice.delta.as_ref().or(choice.message.as_ref()), watch)?;
        if let Some(reason) = choice.finish_reason.as_deref().filter(|reason| !reason.is_empty()) {
            self.finish = Some(answer::finish(reason).map_err(|failure| match refusal() {
                Some(refusal) => refusal.failure(request, &HeaderMap::new()),
                None => failure,
            })?);
        }
        Ok(())
    }

    fn said(&mut self, piece: Option<&Piece<'_>>, watch: Watch<'_>) -> Result<(), Failure> {
        let Some(piece) = piece else { return Ok(()) };
        let text = piece.text().unwrap_or_default();
        let has_other = piece.has_other();
        self.has_other |= has_other;
        self.pieces += u64::from(has_other || !text.is_empty());
        if text.is_empty() {
            return Ok(());
        }
        if self.text.len() + text.len() > BODY_LIMIT {
            return Err(too_large());
        }
        self.text.push_str(&text);
        watch(Progress::Text(&text));
        Ok(())
    }

    /// Decides whether all that has come is a whole answer.
    ///
    /// An answer without any text is whole when the model said nothing else either: a llama.cpp server sends no empty
    /// string for a model that ends at once, so in a stream "nothing" and "null" look the same.
    fn complete(self) -> Result<Completion, Failure> {
        let Some(finish) = self.finish else {
            let detail = format!("the stream ended without a finish_reason after {} pieces", self.pieces);
            return Err(Failure::new(FailureKind::CutOff, detail));
        };
        if self.text.is_empty() && self.has_other {
            return Err(Failure::new(FailureKind::Malformed, answer::no_content(true, finish)));
        }
        Ok(Completion {
            text: self.text,
            thought: None,
            finish,
            reason: None,
            prompt_about: None,
            model: self.model,
            id: self.id,
            usage: self.usage,
            claimed: self.claimed,
        })
    }
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

fn too_large() -> Failure {
    let detail = "the answer, or one line of it, is larger than any answer should be (16 MiB of text, 1 MiB a line)";
    Failure::new(FailureKind::TooLarge, detail)
}
