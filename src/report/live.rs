//! What a display is told while a run goes.

use std::sync::Arc;

use crate::base::{ActorName, AttemptNo, CallPath, CaseNo, StepName};
use crate::event::Recorded;

/// One message to a display.
#[derive(Clone, Debug)]
pub enum Live {
    /// Events that are durable, in the order of the log.
    Facts(Arc<[Recorded]>),
    /// A piece of an answer as it is spoken. It may be lost: the settled text is what counts.
    Piece {
        /// The case.
        case: CaseNo,
        /// The step.
        step: StepName,
        /// The question inside the task.
        call: CallPath,
        /// Which request for it.
        attempt: AttemptNo,
        /// Who speaks.
        actor: ActorName,
        /// What, since the piece before.
        text: String,
    },
    /// How many cases there will be; none when that is not known yet.
    Total(Option<u64>),
    /// How many calls are in flight.
    InFlight(u32),
}
