//! What a display may follow while a run goes.

use std::sync::Arc;

use crate::base::{ActorName, AttemptNo, CallPath, CaseNo, Millis, StepName};
use crate::event::Recorded;

/// One thing to show.
#[derive(Clone, Debug)]
pub enum Live {
    /// Durable facts, in order; never lost.
    Facts(Arc<[Recorded]>),
    /// A piece of an answer as it is spoken; lost when the display is slow.
    Piece {
        /// The case.
        case: CaseNo,
        /// The step.
        step: StepName,
        /// The question.
        call: CallPath,
        /// Which request for it.
        attempt: AttemptNo,
        /// Who speaks.
        actor: ActorName,
        /// What.
        text: String,
    },
    /// How many cases there will be; none when that is not known.
    Total(Option<u64>),
    /// What the run may spend, as far as its `stop` says.
    Budget {
        /// Of prompts and answers.
        tokens: Option<u64>,
        /// Of work on the run.
        time: Option<Millis>,
    },
    /// How many requests the backends work on now.
    InFlight(u32),
}
