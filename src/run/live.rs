//! What a display may follow while a run goes.

use std::sync::Arc;

use crate::base::ActorName;
use crate::event::{AttemptId, Recorded, Sampled};
use crate::plan::Budgets;

/// One thing to show.
#[derive(Clone, Debug)]
pub enum Live {
    /// Durable facts, in order; never lost.
    Facts(Arc<[Recorded]>),
    /// A piece of an answer as it is spoken; lost when the display is slow.
    Piece {
        /// Which request.
        id: AttemptId,
        /// Who speaks.
        actor: ActorName,
        /// What.
        text: String,
    },
    /// How many cases there will be; none when that is not known.
    Total(Option<u64>),
    /// What the run may spend, as far as its `stop` says.
    Budget(Budgets),
    /// What graphics devices did; lost when whoever follows is slow.
    Sampled(Arc<[Sampled]>),
    /// How many requests the backends work on now.
    InFlight(u32),
}
