//! The types of a plan.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexMap;

use super::course::{Assert, Course, Transform};
use super::{Aggregate, Cells, Dialogue, Evidence, Halt, Items, Judge, Pick, Telemetry};
use crate::base::{ActorName, BackendName, Digest, MicroUsd, Millis, Price, StepName};
use crate::diag::Span;
use crate::judge::AnswerSchema;
use crate::prompt::{Reasoning, TemplateId, Templates};
use crate::spec::CacheUse;

/// A pipeline that has passed every check.
#[derive(Debug)]
pub struct Plan {
    /// The pipeline's name.
    pub name: String,
    /// One sentence for people.
    pub description: Option<String>,
    /// Hash of everything that can change an answer or the set of cases: actors, models, backends as named, steps,
    /// items, repeat, seed, params. Not of limits, results, descriptions, comments or key order of maps that have none.
    pub hash: Digest,
    /// The run's seed.
    pub seed: u64,
    /// Values of `params`, defaults and overrides applied.
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Backends that an actor uses.
    pub backends: Vec<BackendPlan>,
    /// Actors that a step uses, in the file's order.
    pub actors: Vec<Actor>,
    /// Steps in an order where each comes after all that it reads; ties in the file's order.
    pub steps: Vec<Step>,
    /// Where cases come from.
    pub items: Items,
    /// Which of the items are taken.
    pub pick: Pick,
    /// Columns of items that are read, with the first place that reads each.
    pub columns: BTreeMap<String, Span>,
    /// Only so many items from the start, by `--limit`, else by that of `pick`, or by the run's stop.
    pub limit: Option<u64>,
    /// Repeats of every item, at most where `repeats` says when there are enough.
    pub repeat: NonZeroU32,
    /// Bounds of the run; outside identity.
    pub limits: Limits,
    /// What ends the run before its last case; outside identity.
    pub halt: Option<Halt>,
    /// When the run has seen enough. Part of its identity: it decides the order of admission.
    pub evidence: Option<Evidence>,
    /// When an item has been repeated enough in a cell; part of identity, never beside `evidence`.
    pub repeats: Option<Evidence>,
    /// The share of cases that may fail without the run counting as failed; outside identity.
    pub tolerated: f64,
    /// Whether answers of earlier runs count; outside identity: it changes nothing that is asked.
    pub cache: CacheUse,
    /// Where the table of results goes, when the file says so.
    pub results: Option<ResultsPlan>,
    /// How the run is told in spans; outside identity.
    pub telemetry: Telemetry,
    /// Every compiled template.
    pub templates: Arc<Templates>,
    /// What templates read as `matrix`: the values of this cell, the first one. Empty where there is no matrix.
    pub matrix: serde_json::Map<String, serde_json::Value>,
    /// The other cells.
    pub cells: Cells,
    /// What is done once over all cases of this cell, as a plan with the same actors and its own steps.
    pub closing: Option<Box<Plan>>,
}

/// Position in [`Plan::backends`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendIdx(pub usize);

/// Position in [`Plan::actors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorIdx(pub usize);

/// Position in [`Plan::steps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepIdx(pub usize);

/// A place where models answer.
#[derive(Clone, Debug)]
pub struct BackendPlan {
    /// Its key; `auto` when the file names none.
    pub name: BackendName,
    /// Where.
    pub url: BackendUrl,
    /// Bearer token.
    pub api_key: Option<Secret>,
    /// More headers of each request, in the file's order; their values are kept as keys are.
    pub headers: Vec<(String, Secret)>,
    /// Calls in flight: `backends.x.limits.concurrency`, else the run's `limits.concurrency`.
    pub concurrency: Concurrency,
}

/// Where a backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendUrl {
    /// Found on this machine, else embedded.
    Auto,
    /// The in-process model.
    Embedded,
    /// The simulated one; the number is how many times faster than life it answers (0: at once).
    Sim {
        /// Real time divided by this; 0 means no wait at all.
        speed: u32,
    },
    /// An OpenAI-compatible server, with or without a trailing `/v1`.
    Url(String),
}

/// How many calls may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// The server's slots where it tells them, else 4.
    Auto,
    /// As many as this.
    Fixed(NonZeroU32),
}

/// A value that never appears in an output: no `Display`, `Debug` prints stars, compared by value only in redaction.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self(value.into())
    }

    /// Returns the value, for the header it belongs in and for redaction.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// One who speaks.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Its key.
    pub name: ActorName,
    /// Where its model is.
    pub backend: BackendIdx,
    /// Which model.
    pub model: ModelChoice,
    /// The system prompt.
    pub system: Option<TemplateId>,
    /// How it samples.
    pub sampling: Sampling,
    /// What its tokens cost, when the file says so; outside identity.
    pub price: Option<Price>,
}

/// Which model of a backend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelChoice {
    /// What the server has loaded, else its first.
    Auto,
    /// This one or none.
    Named(Arc<str>),
}

/// Options of a request. Absent ones are not sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// At least 1.
    pub max_tokens: Option<u32>,
    /// Texts that end an answer, at most 4.
    pub stop: Vec<String>,
    /// How much it may think.
    pub reasoning: Option<Reasoning>,
    /// More fields of the request's body, as written.
    pub extra: Arc<serde_json::Map<String, serde_json::Value>>,
}

/// One step, of exactly one kind.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its key.
    pub name: StepName,
    /// Steps that must be settled before it: those it reads and those under `after`.
    pub after: Vec<StepIdx>,
    /// Steps whose output its templates read, those of the talks that it continues included: a subset of `after`.
    pub reads: Vec<StepIdx>,
    /// Whether it is done in a case, for what, and what a failure does.
    pub course: Course,
    /// What it does.
    pub kind: StepKind,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum StepKind {
    /// One question, one answer.
    Chat(Chat),
    /// Several actors in turns.
    Dialogue(Dialogue),
    /// A choice among options.
    Judge(Judge),
    /// A value from an expression, without a model.
    Transform(Transform),
    /// A claim that must hold, without a model.
    Assert(Assert),
    /// What a step came to over all cases; only in the plan of a closing.
    Aggregate(Aggregate),
}

/// See [`StepKind::Chat`].
#[derive(Clone, Debug)]
pub struct Chat {
    /// Who answers.
    pub actor: ActorIdx,
    /// The user message.
    pub prompt: TemplateId,
    /// What the answer must be, and how often it may be asked for again; none when any text will do.
    pub form: Option<(AnswerSchema, u32)>,
    /// Chats and dialogues whose talk it continues, in order; their prompts are rendered again, from the same data.
    pub history: Vec<StepIdx>,
}

/// Bounds of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// See [`Timeouts`].
    pub timeouts: Timeouts,
    /// Sends per call, the first included.
    pub attempts: NonZeroU32,
    /// From the first send, time while a breaker is open not counted.
    pub within: Millis,
    /// Shortest and longest wait between attempts, before jitter.
    pub backoff: (Millis, Millis),
    /// Ask for streams though nobody watches: `first_token` or `idle` is written, which only a stream can keep.
    pub streams: bool,
}

/// Limits of one attempt. Waiting in our own queues never counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands. Default 10 s.
    pub connect: Millis,
    /// From the request written to the first token, the server's queue and model load included. Default 5 min.
    pub first_token: Millis,
    /// Between two pieces of a stream. Default 2 min.
    pub idle: Millis,
    /// From the request written to the last byte. Default 30 min.
    pub total: Millis,
}

/// The table of results.
#[derive(Clone, Debug)]
pub struct ResultsPlan {
    /// Absolute, links resolved; or as `--out` has it.
    pub path: PathBuf,
    /// Where that is said.
    pub said: Span,
    /// True when `--out` names it: then links on the way are followed, as for any command.
    pub by_option: bool,
    /// Instead of the standard columns: name → where it comes from.
    pub columns: IndexMap<String, Column>,
}

/// A column of the table of results: `item.x`, `repeat`, `status` or `steps.<step>.<field>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column(pub Vec<String>);

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Millis::seconds(10),
            first_token: Millis::seconds(300),
            idle: Millis::seconds(120),
            total: Millis::seconds(1_800),
        }
    }
}

impl Plan {
    /// Returns true when no more of the cases that are over failed than the pipeline bears.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "cases are fewer than 2^52")]
    pub fn tolerates(&self, failed: u64, settled: u64) -> bool {
        failed as f64 <= self.tolerated * settled as f64
    }

    /// Returns the bounds of a step's requests: its own, else the run's.
    #[must_use]
    pub fn limits_of(&self, step: StepIdx) -> &Limits {
        self.step(step).course.limits.as_ref().unwrap_or(&self.limits)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            attempts: NonZeroU32::new(6).expect("6 is not 0"),
            within: Millis::seconds(600),
            backoff: (Millis::seconds(1), Millis::seconds(60)),
            streams: false,
        }
    }
}

impl StepKind {
    /// Returns the word for it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Chat(_) => "chat",
            Self::Dialogue(_) => "dialogue",
            Self::Judge(_) => "judge",
            Self::Transform(_) => "transform",
            Self::Assert(_) => "assert",
            Self::Aggregate(_) => "aggregate",
        }
    }

    /// Returns how many calls a task of it makes, at least and at most; repeated requests are not counted.
    #[must_use]
    pub fn calls(&self) -> (u64, u64) {
        match self {
            Self::Chat(_) => (1, 1),
            Self::Dialogue(dialogue) => {
                let fewest = dialogue.stop.fewest_turns(dialogue.actors.len() as u64);
                (fewest.min(dialogue.most_turns()), dialogue.most_calls())
            }
            Self::Judge(judge) => {
                let calls = judge.calls();
                (calls, calls)
            }
            Self::Aggregate(aggregate) => {
                let calls = u64::from(aggregate.chat().is_some());
                (calls, calls)
            }
            Self::Transform(_) | Self::Assert(_) => (0, 0),
        }
    }
}

impl Plan {
    /// Returns a step by its place.
    #[must_use]
    pub fn step(&self, index: StepIdx) -> &Step {
        &self.steps[index.0]
    }

    /// Returns an actor by its place.
    #[must_use]
    pub fn actor(&self, index: ActorIdx) -> &Actor {
        &self.actors[index.0]
    }

    /// Returns the steps whose words come before a chat's prompt: what it continues, each after what that continues.
    #[must_use]
    pub fn talks(&self, chat: &Chat) -> Vec<StepIdx> {
        let mut talks = Vec::new();
        self.add_talks(chat, &mut talks);
        talks
    }

    fn add_talks(&self, chat: &Chat, talks: &mut Vec<StepIdx>) {
        for &earlier in &chat.history {
            if talks.contains(&earlier) {
                continue;
            }
            if let StepKind::Chat(chat) = &self.step(earlier).kind {
                self.add_talks(chat, talks);
            }
            talks.push(earlier);
        }
    }

    /// Returns what is to be looked at in each case, for the run or for its item alone.
    #[must_use]
    pub fn looked_at(&self) -> Option<&Evidence> {
        self.evidence.as_ref().or(self.repeats.as_ref())
    }

    /// Returns how many items are taken at most.
    #[must_use]
    pub fn most_items(&self) -> u64 {
        self.limit.unwrap_or(u64::MAX)
    }

    /// Returns what the tokens of actors cost, as far as the file says so; nothing where it prices no model.
    #[must_use]
    pub fn prices(&self) -> BTreeMap<ActorName, Price> {
        if self.actors.iter().all(|actor| actor.price.is_none()) {
            return BTreeMap::new();
        }
        self.actors.iter().filter_map(|actor| Some((actor.name.clone(), self.price_of(actor)?))).collect()
    }

    /// Returns what an actor's tokens cost: what runs inside of this program is free.
    #[must_use]
    pub fn price_of(&self, actor: &Actor) -> Option<Price> {
        const FREE: Price = Price { input: MicroUsd(0), output: MicroUsd(0), cached: None };
        match self.backends[actor.backend.0].url {
            BackendUrl::Embedded | BackendUrl::Sim { .. } => Some(actor.price.unwrap_or(FREE)),
            BackendUrl::Auto | BackendUrl::Url(_) => actor.price,
        }
    }

    /// Returns where a step stands.
    #[must_use]
    pub fn find_step(&self, name: &StepName) -> Option<StepIdx> {
        self.steps.iter().position(|step| step.name == *name).map(StepIdx)
    }
}
