//! Where one call stands: all that the engine knows of what its prompt is made from.

use std::sync::Arc;

use super::{ActorIdx, CellIdx, Plan, StepIdx};
use crate::base::{CallPath, CaseNo, Digest, Hasher, ItemId};
use crate::event::{TaskSettled, Turn};

/// One question inside a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// The one question of a chat step.
    Say,
    /// A turn of a dialogue, from 1.
    Turn(u32),
    /// A vote of a judge, from 1; exchanged when the blind labels have changed places.
    Vote {
        /// Which vote.
        vote: u32,
        /// Whether A and B have changed places.
        exchanged: bool,
    },
}

impl Call {
    /// Returns its name: `say`, `turn/3`, `vote/2`, `vote/2/exchanged`.
    #[must_use]
    pub fn path(self) -> CallPath {
        match self {
            Self::Say => CallPath::from("say"),
            Self::Turn(turn) => CallPath::from(format!("turn/{turn}")),
            Self::Vote { vote, exchanged: false } => CallPath::from(format!("vote/{vote}")),
            Self::Vote { vote, exchanged: true } => CallPath::from(format!("vote/{vote}/exchanged")),
        }
    }

    /// Reads a name back; none for a name that this version does not write.
    #[must_use]
    pub fn parse(path: &CallPath) -> Option<Self> {
        let mut parts = path.as_str().split('/');
        let call = match (parts.next()?, parts.next(), parts.next()) {
            ("say", None, None) => Self::Say,
            ("turn", Some(turn), None) => Self::Turn(turn.parse().ok()?),
            ("vote", Some(vote), None) => Self::Vote { vote: vote.parse().ok()?, exchanged: false },
            ("vote", Some(vote), Some("exchanged")) => Self::Vote { vote: vote.parse().ok()?, exchanged: true },
            _ => return None,
        };
        parts.next().is_none().then_some(call)
    }
}

/// Everything that decides the prompt of one call, texts by digest.
#[derive(Clone, Debug)]
pub struct Place {
    /// The case, for messages to people.
    pub case: CaseNo,
    /// Its item.
    pub item: ItemId,
    /// Its repeat, from 1.
    pub repeat: u32,
    /// Its cell of the matrix; all cells share their seeds, so that comparisons are paired.
    pub cell: CellIdx,
    /// Its row.
    pub row: Digest,
    /// The step.
    pub step: StepIdx,
    /// The question.
    pub call: Call,
    /// Who is asked.
    pub actor: ActorIdx,
    /// Earlier turns of the same dialogue.
    pub turns: Vec<Turn>,
    /// Settled tasks that the step's templates read.
    pub inputs: Vec<(StepIdx, Arc<TaskSettled>)>,
    /// False when the backend does not take `response_format`.
    pub takes_format: bool,
}

/// Returns the seed that a call is sent: 31 bits of a hash over run seed, item, repeat, step and call.
///
/// Neither the attempt nor the position of the item counts, so a retry asks the same question.
#[must_use]
pub fn seed_of(plan: &Plan, place: &Place) -> u32 {
    let digest = Hasher::new("pipe seed 1")
        .number(plan.seed)
        .field(place.item.as_str().as_bytes())
        .number(u64::from(place.repeat))
        .field(plan.step(place.step).name.as_str().as_bytes())
        .field(b"")
        .field(place.call.path().as_str().as_bytes())
        .finish();
    let [a, b, c, d, ..] = digest.low_bits().to_le_bytes();
    u32::from_le_bytes([a, b, c, d]) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_calls_read_back() {
        for call in [
            Call::Say,
            Call::Turn(3),
            Call::Vote { vote: 2, exchanged: false },
            Call::Vote { vote: 2, exchanged: true },
        ] {
            assert_eq!(Call::parse(&call.path()), Some(call));
        }
        assert_eq!(Call::parse(&CallPath::from("turn/3/again")), None);
    }
}
