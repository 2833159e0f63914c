//! The words of answers, outputs and endings.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{CountTable, ElementOutput, Failure, FromCache, InMemory, Ranked};
use crate::base::{ActorName, CaseNo, Digest, Timestamp, TokenCount};

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A whole answer.
    Answered(Answer),
    /// None.
    Failed(Failure),
}

/// What a worker says of one attempt; the engine makes an event of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The messages sent; none when nothing was rendered.
    pub request: Vec<Message>,
    /// Turns of the dialogue that its `history` left out.
    pub dropped_turns: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// Tokens as the server counted them.
    pub usage: Usage,
    /// What the server did not report of them, by the length of the texts.
    pub estimated: Usage,
    /// Lengths of its phases.
    pub timings: Timings,
    /// Where the answer is from when no request was sent for it; `usage` is empty then.
    pub from_cache: Option<Box<FromCache>>,
}

impl Report {
    /// Returns what is to be reported of a request that failed before it used anything.
    #[must_use]
    pub fn failed(failure: Failure) -> Self {
        Self {
            request: Vec::new(),
            dropped_turns: 0,
            outcome: Outcome::Failed(failure),
            usage: Usage::default(),
            estimated: Usage::default(),
            timings: Timings::default(),
            from_cache: None,
        }
    }
}

/// A message of a request, written as `["user", "…digest…"]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message(
    /// Who says it: `system`, `user` or `assistant`.
    pub Cow<'static, str>,
    /// What, in the journal's texts.
    pub Digest,
);

/// A whole answer, without its text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The text, in the journal's texts.
    pub text: Digest,
    /// Why it ended.
    pub finish: FinishReason,
    /// The model that says it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the server calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the model thought before it, in the journal's texts: shown to people, never read by a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thought: Option<Digest>,
    /// The server's own word for why it ended, when that is none that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many tokens the prompt has by its length, when the server read far fewer: it may have cut it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_about: Option<TokenCount>,
    /// What was read in it.
    #[serde(default, skip_serializing_if = "Facts::is_empty")]
    pub facts: Facts,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model was done.
    Stop,
    /// Cut at `max_tokens` or at the end of the context: shown, never hidden.
    Length,
    /// Something else that the server calls an ordinary end.
    Other,
}

/// What the task read in an answer: all that the engine ever learns of a text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// One value per pattern of the dialogue, in the plan's order: true when this turn matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub says: Vec<bool>,
    /// One value per thing that the dialogue compares between turns, in the plan's order: a digest of what was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captures: Vec<Option<Digest>>,
    /// One value per likeness of the dialogue, in the plan's order: true when this turn is alike to an earlier one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loops: Vec<bool>,
    /// Tokens of the turn by its length, at least 1, where the dialogue has a budget; for servers that do not count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub about_tokens: u32,
    /// What a judge's answer says, names already mapped back from blind labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why the answer has not the form that was asked for, for people and for the model that is asked again: one line,
    /// at most 300 characters; none when it has, or when any text will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid: Option<String>,
}

impl Facts {
    /// Returns true when nothing was asked of the text.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.says.is_empty()
            && self.captures.is_empty()
            && self.loops.is_empty()
            && self.about_tokens == 0
            && self.verdict.is_none()
            && self.invalid.is_none()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// One reading of a judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// One of the options.
    Choice(String),
    /// A number on the judge's scale.
    Score(f64),
    /// What was to be ranked, the best first.
    Ranking(Vec<String>),
    /// A value that matches the judge's schema; it stands in the answer's text.
    Json,
    /// Nothing that can be counted, and why.
    Unscored(Unscored),
}

/// Why there is no verdict. Never zero, never the first option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unscored {
    /// The answer has not the form that was asked for.
    Unreadable,
    /// The answer was cut before it named an option.
    CutOff,
    /// The answer is a number that is not on the scale.
    OutOfRange,
    /// The answer is a value that does not match the schema.
    Mismatched,
    /// Not all votes are the same, and `vote: unanimous` asks for that.
    NotUnanimous,
    /// Asked with the labels exchanged, the judge said something else, and `tie` is not an option.
    SwapDisagreed,
    /// No option has most votes, and `tie` is not an option.
    VotesTied,
}

/// Tokens as a server counted them; absent is unknown, not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Of the prompt, cached ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<TokenCount>,
    /// Of the answer, reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<TokenCount>,
    /// Of the prompt, those found in a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<TokenCount>,
    /// Of the answer, those spent on reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<TokenCount>,
}

/// Lengths of the phases of an attempt, in microseconds, on the monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// From the start recorded to the request handed to the backend: our own queue.
    #[serde(default)]
    pub queued_us: u64,
    /// From the request handed over to the first token; absent when not streamed or nothing came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_us: Option<u64>,
    /// From the request handed over to the end.
    #[serde(default)]
    pub total_us: u64,
    /// What the server says of its work, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Claimed>,
}

/// What a server says of its work on an answer, in microseconds of its own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// On loading the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_us: Option<u64>,
    /// On reading the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_us: Option<u64>,
    /// On the tokens of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_us: Option<u64>,
    /// Where the model lay right after it; asked of an Ollama, once for each model of a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<InMemory>,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// It has its output.
    Ok,
    /// A judge answered nothing that can be counted.
    Unscored,
    /// No answer within the retries, or a refused one.
    Failed,
    /// Not asked, or given up without harm: [`Because`](super::Because) says why; without it, a task that it reads
    /// failed.
    Skipped,
}

/// What later steps and the results read of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskOutput {
    /// One message.
    Chat {
        /// The answer.
        text: Digest,
    },
    /// A talk.
    Dialogue {
        /// In order.
        turns: Vec<Turn>,
        /// The condition that ended it, as written: `rounds`, `turns`, `says`.
        stopped_by: String,
    },
    /// A verdict.
    Judge(Judgement),
    /// A value that an expression gave.
    Value {
        /// As JSON, in the journal's texts.
        value: Digest,
    },
    /// Whether a claim holds.
    Assertion {
        /// It does.
        passed: bool,
    },
    /// What an aggregate counted.
    Table(Box<CountTable>),
    /// What an aggregate put in order.
    Ranking(Box<Ranked>),
    /// What each element of a `for_each` step came to.
    Each {
        /// In the order of the list.
        elements: Vec<ElementOutput>,
    },
}

/// One message of a dialogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Who spoke.
    pub actor: ActorName,
    /// What, in the journal's texts.
    pub text: Digest,
}

/// What all votes of a judge come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict over all votes.
    pub verdict: Verdict,
    /// One per vote, in order.
    pub votes: Vec<Vote>,
    /// Votes asked in both ways whose two answers differ, of [`Self::pairs`].
    pub flipped: u32,
    /// Votes asked in both ways where both answers could be read.
    pub pairs: u32,
}

/// One vote of a judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vote {
    /// What it counts as.
    pub verdict: Verdict,
    /// The judge's words (the first asking's), in the journal's texts.
    pub reason: Digest,
    /// Who of a panel gave it; none when there is one judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ActorName>,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseStatus {
    /// Every task is ok.
    Ok,
    /// No task failed, and at least one is unscored.
    Unscored,
    /// A task failed.
    Failed,
}

/// Cases by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseCounts {
    /// Admitted.
    pub admitted: u64,
    /// Settled ok.
    pub ok: u64,
    /// Settled unscored.
    pub unscored: u64,
    /// Settled failed.
    pub failed: u64,
}

impl CaseCounts {
    /// Returns how many are over.
    #[must_use]
    pub const fn settled(&self) -> u64 {
        self.ok + self.unscored + self.failed
    }

    /// Counts one more that is over.
    pub const fn settle(&mut self, status: CaseStatus) {
        match status {
            CaseStatus::Ok => self.ok += 1,
            CaseStatus::Unscored => self.unscored += 1,
            CaseStatus::Failed => self.failed += 1,
        }
    }

    /// Counts one that was over and goes on.
    pub const fn reopen(&mut self, was: CaseStatus) {
        let count = match was {
            CaseStatus::Ok => &mut self.ok,
            CaseStatus::Unscored => &mut self.unscored,
            CaseStatus::Failed => &mut self.failed,
        };
        *count = count.saturating_sub(1);
    }
}

/// How a process left a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Every case is settled.
    Complete,
    /// The run has seen enough: what is after a case, in the order of admission, does not count.
    Enough(StopReached),
    /// Some are not; a resume goes on.
    Stopped(StopCause),
}

impl RunOutcome {
    /// Tells whether nothing can follow: complete, or cancelled.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        self.is_complete() || matches!(self, Self::Stopped(StopCause::Cancel))
    }

    /// Tells whether the run has come to all that it was to come to.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self, Self::Complete | Self::Enough(_))
    }
}

/// A condition of a run's `stop` that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopReached {
    /// Its word: `budget`, `errors`, `expr`, `decided`.
    pub condition: String,
    /// What it was judged by, for people.
    pub evidence: String,
    /// The last case that counts, where the condition is tested along the order of admission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseNo>,
}

/// What stops a run before its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopCause {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// `pipe stop` from another shell.
    Command,
    /// `pipe cancel`: for good.
    Cancel,
    /// A backend that will refuse everything: bad key, spent account.
    BackendUnusable {
        /// Which.
        backend: String,
        /// What it said.
        failure: Failure,
    },
    /// A backend that dictates a wait beyond `retries.within`.
    BackendWaits {
        /// Which.
        backend: String,
        /// What it said.
        failure: Failure,
        /// When it may be asked again, by its own word.
        until: Timestamp,
    },
    /// A condition of the pipeline's `stop`.
    Condition(StopReached),
    /// The input file differs from what the run had read of it, or cannot be read.
    SourceUnusable {
        /// What is wrong.
        reason: String,
    },
}
