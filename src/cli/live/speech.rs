//! One answer on its way to the screen, and the words for what happens beside answers.

use std::sync::Arc;

use crate::base::{ActorName, plain_utc};
use crate::cli::printer::inert;
use crate::cli::tune::phrase;
use crate::event::{AttemptId, Capacity, Event, Failure, FailureKind, FinishReason, Stage, StopCause, Verdict};
use crate::report::{Wrapper, unscored_phrase, verdict_words};

/// How far texts stand in from their speaker's name.
const INDENT: usize = 2;
/// Of an answer that has to wait its turn, at most so many bytes are kept; the settled text makes up for the rest.
const KEPT_BYTES: usize = 64 * 1024;

/// One request for a call, as far as it has been heard and shown.
pub(super) struct Speech {
    pub(super) id: AttemptId,
    pub(super) actor: ActorName,
    pub(super) end: Option<SpeechEnd>,
    pub(super) opened: bool,
    heard: String,
    shown: usize,
    /// True when the next text begins a line, so that its leading space has nothing to part.
    is_fresh: bool,
    wrapper: Wrapper,
    width: usize,
}

/// How a request ended.
pub(super) enum SpeechEnd {
    /// Said: the settled text, what a judge's words were read as, and whether it was cut.
    Said { text: Option<Arc<str>>, verdict: Option<Verdict>, finish: FinishReason },
    /// Not answered, and whether it is asked again.
    Failed { failure: Failure, again: bool },
}

impl Speech {
    pub(super) fn new(id: AttemptId, actor: ActorName, width: usize) -> Self {
        let wrapper = Wrapper::new(width, INDENT);
        Self { id, actor, end: None, opened: false, heard: String::new(), shown: 0, is_fresh: true, wrapper, width }
    }

    /// Takes a piece as it comes.
    pub(super) fn hear(&mut self, piece: &str) {
        if self.end.is_some() || self.heard.len() + piece.len() > KEPT_BYTES {
            return;
        }
        let piece = if self.heard.is_empty() { piece.trim_start() } else { piece };
        self.heard.push_str(&inert(piece));
    }

    /// Returns what stands beside the speaker's name; empty in a dialogue, where the name says all.
    pub(super) fn place(&self) -> String {
        let is_turn = self.id.call.as_str().starts_with("turn/");
        let mut parts = Vec::new();
        if !is_turn {
            parts.push(self.id.step.to_string());
        }
        if let Some(each) = &self.id.each {
            parts.push(each.to_string());
        }
        if self.id.attempt.0 > 1 && !self.is_vote() {
            parts.push(format!("attempt {}", self.id.attempt));
        }
        parts.join(", ")
    }

    /// A judge answers in a form for programs: what it was read as is shown instead, votes of a step together.
    pub(super) fn is_vote(&self) -> bool {
        let call = self.id.call.as_str();
        ["vote/", "panel/", "round/"].iter().any(|start| call.starts_with(start))
    }

    /// Names a vote: `vote/2/exchanged` is "vote 2, names exchanged", `panel/1/vote/1/repair/1` is "vote 1, asked again",
    /// `round/2/judge` is "after round 2".
    fn vote(&self) -> String {
        let call = self.id.call.as_str();
        let parts: Vec<&str> = call.split('/').collect();
        let parts = if let ["panel", _, rest @ ..] = parts.as_slice() { rest } else { &parts };
        let (mut words, ways) = match parts {
            ["vote", vote, ways @ ..] => (format!("vote {vote}"), ways),
            ["round", round, "judge", ways @ ..] => (format!("after round {round}"), ways),
            _ => return call.replace('/', " "),
        };
        for way in ways {
            words.push_str(match *way {
                "exchanged" => ", names exchanged",
                "swapped" => ", the other way round",
                "repair" => ", asked again",
                _ => "",
            });
        }
        words
    }

    /// Returns what can be shown now of what was heard. Blank space at the end waits for what follows it.
    pub(super) fn more(&mut self) -> String {
        if self.is_vote() {
            return String::new();
        }
        let end = self.heard.trim_end().len();
        if end <= self.shown {
            return String::new();
        }
        let more = self.heard[self.shown..end].to_owned();
        self.shown = end;
        self.flow(&more)
    }

    fn flow(&mut self, text: &str) -> String {
        let text = if self.is_fresh { text.trim_start() } else { text };
        self.is_fresh = text.is_empty() && self.is_fresh;
        self.wrapper.push(text)
    }

    /// Ends the line, so that something else can be said; what follows begins a new one.
    pub(super) fn pause(&mut self) -> String {
        let mut rest = self.wrapper.finish();
        if !self.wrapper.is_at_line_start() {
            rest.push('\n');
        }
        self.wrapper = Wrapper::new(self.width, INDENT);
        self.is_fresh = true;
        rest
    }

    /// Returns the rest of an answer, with notes in lines of their own.
    pub(super) fn close(&mut self, end: &SpeechEnd) -> Closing {
        match end {
            SpeechEnd::Said { verdict: Some(verdict), .. } => Closing {
                rest: String::new(),
                said: Some(format!("{}: {}", self.vote(), words_of(verdict))),
                note: None,
            },
            SpeechEnd::Said { text, finish, .. } => {
                let rest = self.settle(text.as_deref());
                let note = (*finish == FinishReason::Length).then(|| "(cut at its limit of tokens)".to_owned());
                Closing { rest, said: None, note }
            }
            SpeechEnd::Failed { failure, again } => {
                let mut closing = Closing { rest: self.more() + &self.pause(), said: None, note: None };
                closing.note = Some(failure_line(failure, *again));
                closing
            }
        }
    }

    /// Completes what was shown to the settled text. Where pieces were lost, the whole text is shown once more.
    fn settle(&mut self, text: Option<&str>) -> String {
        let settled = text.map(|text| inert(text.trim()).into_owned());
        if let Some(settled) = settled.as_ref().filter(|_| self.shown == 0) {
            // Nothing of it is on the screen yet: no reason to begin with what may have holes.
            self.heard.clone_from(settled);
        }
        let mut rest = self.more();
        if let Some(settled) = settled.filter(|settled| *settled != self.heard.trim_end()) {
            if let Some(missing) = settled.strip_prefix(&self.heard[..self.shown]) {
                rest.push_str(&self.flow(missing));
            } else {
                rest.push_str(&self.pause());
                rest.push_str("  […]\n");
                rest.push_str(&self.flow(&settled));
            }
        }
        rest.push_str(&self.pause());
        rest
    }
}

/// The end of a speech in three styles.
pub(super) struct Closing {
    /// The rest of the text, its last line ended.
    pub(super) rest: String,
    /// What a judge was read as.
    pub(super) said: Option<String>,
    /// What went wrong, for a line of its own.
    pub(super) note: Option<String>,
}

fn words_of(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Unscored(reason) => format!("cannot be counted: {}", unscored_phrase(*reason)),
        scored => verdict_words(scored).unwrap_or_default(),
    }
}

pub(super) fn failure_line(failure: &Failure, again: bool) -> String {
    let detail = inert(&failure.detail).replace('\n', " ");
    match (failure.kind, again) {
        (FailureKind::Cancelled | FailureKind::Unsent, _) => "(given up: the run is stopping)".to_owned(),
        (kind, true) => format!("({}: {detail}; asking again)", kind.word()),
        (kind, false) => format!("({}: {detail})", kind.word()),
    }
}

/// Says in one line what happened to the run as a whole; none for what a display shows otherwise.
pub(super) fn happening(event: &Event) -> Option<String> {
    match event {
        Event::CapacityChanged(changed) => Some(match changed.change {
            Capacity::BreakerOpened => {
                format!("{}: too many failures, trying one call at a time ({})", changed.backend, changed.reason)
            }
            Capacity::BreakerClosed => format!("{}: answers again", changed.backend),
            Capacity::Slots(slots) => {
                format!("{}: at most {slots} calls at once from here on ({})", changed.backend, changed.reason)
            }
            Capacity::Lacks(feature) => format!(
                "{}: does not take {}; requests go without it ({})",
                changed.backend,
                feature.word(),
                changed.reason
            ),
            Capacity::HeldUntil(until) => {
                format!("{}: no call before {} ({})", changed.backend, plain_utc(until), changed.reason)
            }
            Capacity::FormatUnsupported => format!(
                "{}: takes no response_format; choices are asked for in words ({})",
                changed.backend, changed.reason
            ),
        }),
        Event::DrainStage(drain) => Some(match drain.stage {
            Stage::Draining => match &drain.cause {
                StopCause::Interrupt | StopCause::Terminate => {
                    "stopping: calls in flight may end; Ctrl-C again gives them up".to_owned()
                }
                StopCause::Condition(reached) => {
                    format!("stopping: {}; calls in flight may end, Ctrl-C gives them up", inert(&reached.evidence))
                }
                StopCause::BackendUnusable { .. }
                | StopCause::BackendWaits { .. }
                | StopCause::SourceUnusable { .. }
                | StopCause::Command
                | StopCause::Cancel => "stopping: calls in flight may end, no other is begun".to_owned(),
            },
            Stage::Cancelling => "giving up calls in flight".to_owned(),
        }),
        Event::RunPaused(_) => Some("paused: calls in flight may end; `pipe resume` lets new ones start".to_owned()),
        Event::RunUnpaused(_) => Some("goes on".to_owned()),
        Event::RunTuned(tuned) => {
            (!tuned.asked.is_empty()).then(|| format!("{} from here on (`pipe tune`)", inert(&phrase(&tuned.asked))))
        }
        Event::RunFailed(_)
        | Event::RunStarted(_)
        | Event::RunResumed(_)
        | Event::CaseAdmitted(_)
        | Event::CellClosing(_)
        | Event::SourceEnded(_)
        | Event::AttemptStarted(_)
        | Event::AttemptEnded(_)
        | Event::Evaluated(_)
        | Event::ElementSettled(_)
        | Event::WindowTrimmed(_)
        | Event::StopReached(_)
        | Event::RepeatsReached(_)
        | Event::TaskSettled(_)
        | Event::TaskAdopted(_)
        | Event::CaseSettled(_)
        | Event::CaseReopened(_)
        | Event::RunEnded(_) => None,
    }
}
