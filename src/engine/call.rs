//! What the world may tell the engine, and what the engine may ask of it.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::base::{AttemptNo, CaseNo, Digest, ItemId};
use crate::event::{
    CaseReopened, Evaluation, FailureKind, Observation, Recorded, Report, RunOutcome, RunResumed, RunStarted,
    RunTuned, StopCause, TaskAdopted,
};
use crate::plan::{BackendIdx, Call, CellIdx, Ground, Place, Plan, StepIdx, Timeouts};

/// Names a call while the process lives. The order is the order of sending: oldest case first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The case.
    pub case: CaseNo,
    /// The step.
    pub step: StepIdx,
    /// The element, in a `for_each` step.
    pub element: Option<ElementNo>,
    /// The question.
    pub call: Call,
}

/// The place of an element in the list of a `for_each` step, from 0: names it while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementNo(pub u32);

/// Names a task while the process lives: a step of a case, or an element of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey {
    /// The case.
    pub case: CaseNo,
    /// The step.
    pub step: StepIdx,
    /// The element, in a `for_each` step whose list is known.
    pub element: Option<ElementNo>,
}

/// Names a request while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// The call.
    pub key: Key,
    /// Which request for it.
    pub attempt: AttemptNo,
}

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// A new run starts.
    Begin(Box<RunStarted>),
    /// A replayed run goes on: requests that were in flight are closed as interrupted.
    Resume(Box<RunResumed>),
    /// The same, and cases that are over go on, as [`super::History::reopened`] says.
    Retry(Box<RunResumed>, Vec<CaseReopened>),
    /// The plan's limits, results or descriptions are not those of before.
    Tune(Box<RunTuned>),
    /// Cases enter, in admission order.
    Offer(Vec<Offered>),
    /// There are no more cases.
    SourceEnded,
    /// A request has been handed to the transport: its total limit starts.
    Sent(Ticket),
    /// A request is over.
    Returned(Ticket, Box<Report>),
    /// Something has been evaluated.
    Evaluated(TaskKey, Box<Evaluation>),
    /// A case that is over has been looked at.
    Observed(CaseNo, Vec<Option<Observation>>),
    /// Someone wants the run to stop; a second time skips ahead.
    Stop(StopCause),
    /// Someone wants no new call to start; nothing when none does already, or the run is stopping.
    Pause,
    /// Someone wants calls to start again; nothing when they do.
    Unpause,
    /// Someone wants so many calls in flight at a backend, for as long as the process lives.
    Slots(BackendIdx, NonZeroU32),
    /// Someone wants other limits for what starts from now on: a plan that asks the same.
    Retune(Box<RunTuned>, Arc<Plan>),
    /// Time passed.
    Tick,
}

/// A case that may enter.
#[derive(Clone, Debug, PartialEq)]
pub struct Offered {
    /// Its item.
    pub item: ItemId,
    /// Its repeat, from 1.
    pub repeat: u32,
    /// Its cell of the matrix.
    pub cell: CellIdx,
    /// Its row, already among the journal's texts or handed over with the same batch.
    pub row: Digest,
    /// Tasks that another run has settled already, each after those that it reads; the engine numbers them anew.
    pub adopted: Vec<TaskAdopted>,
}

/// What became true, and what to do once that is durable.
#[derive(Debug, Default)]
pub struct Step {
    /// In order.
    pub events: Vec<Recorded>,
    /// In order, after the events are durable.
    pub effects: Vec<Effect>,
}

/// Something to do.
#[derive(Debug)]
pub enum Effect {
    /// Send a request when its backend has a free slot; the driver queues it until then.
    StartCall(Box<StartCall>),
    /// Evaluate something; needs no model, and gives the same however often it is done.
    Evaluate(Box<Evaluate>),
    /// Look at a case that is over for what the condition on evidence asks; gives the same however often it is done.
    Observe(Box<Observe>),
    /// Give a request up at once and return it as failed in this way.
    CancelCall(Ticket, FailureKind),
    /// Return every request that is still queued as cancelled.
    RecallUnsent,
    /// Work on so many calls of a backend at once; those under way go on.
    Resize(BackendIdx, NonZeroU32),
    /// Nothing more will come; the driver closes the journal.
    Finish(RunOutcome),
}

/// Something to evaluate.
#[derive(Debug)]
pub struct Evaluate {
    /// Its name.
    pub key: TaskKey,
    /// What is to be found out.
    pub question: Question,
    /// What it is made from.
    pub ground: Ground,
}

/// A case to look at.
#[derive(Debug)]
pub struct Observe {
    /// Which.
    pub case: CaseNo,
    /// What the expressions are made from; its step says nothing.
    pub ground: Ground,
}

/// What an evaluation finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether the step is to be done, and for which elements.
    Opening,
    /// The output of a step that needs no model.
    Work,
    /// What an aggregate makes of all cases of its cell, which the journal holds by now.
    Gather,
}

/// A request to make.
#[derive(Debug)]
pub struct StartCall {
    /// Its name.
    pub ticket: Ticket,
    /// What its prompt is made from.
    pub place: Place,
    /// Where it goes.
    pub backend: BackendIdx,
    /// Limits that the adapter keeps.
    pub timeouts: Timeouts,
}

impl Key {
    /// Returns the task that the call is a part of.
    #[must_use]
    pub const fn task(self) -> TaskKey {
        TaskKey { case: self.case, step: self.step, element: self.element }
    }
}

impl TaskKey {
    /// Returns one of its calls.
    #[must_use]
    pub const fn call(self, call: Call) -> Key {
        Key { case: self.case, step: self.step, element: self.element, call }
    }
}
