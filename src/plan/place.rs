//! Where one call stands: all that the engine knows of what its prompt is made from.

use std::sync::Arc;

use super::{ActorIdx, CellIdx, Plan, StepIdx};
use crate::base::{CallPath, CaseNo, Digest, Hasher, ItemId, StepName};
use crate::event::{Element, Features, TaskSettled, Turn};

/// One question inside a task. The order is the order of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// The one question of a chat step.
    Say,
    /// The same question again, from 1: the answer before it has not the form that was asked for.
    Repair(u32),
    /// A turn of a dialogue, from 1.
    Turn(u32),
    /// A question to a judge.
    Vote(Ballot),
    /// A question about a dialogue after a round.
    Ask(Inquiry),
}

/// One question of a dialogue's stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inquiry {
    /// After which round, from 1.
    pub round: u32,
    /// Which `judge_says` of the stop, from 0.
    pub which: u32,
    /// How often it was asked before without a readable answer.
    pub repair: u32,
}

/// One question to a judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// Who of the panel, from 1; 0 for a judge alone.
    pub seat: u32,
    /// Which of their votes, from 1.
    pub vote: u32,
    /// In which of two ways.
    pub way: Way,
    /// How often it was asked before without a readable answer.
    pub repair: u32,
}

/// How a judge's question is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// As it is written.
    Straight,
    /// With the blind labels exchanged.
    Exchanged,
    /// With the options, or what is compared, in reverse order.
    Swapped,
}

impl Ballot {
    /// Returns the first question of a judge alone.
    #[must_use]
    pub const fn first() -> Self {
        Self { seat: 0, vote: 1, way: Way::Straight, repair: 0 }
    }
}

impl Call {
    /// Returns its name: `say`, `say/repair/1`, `turn/3`, `vote/2`, `vote/2/exchanged`, `panel/1/vote/2/swapped`,
    /// `round/3/judge`, `round/3/judge/2/repair/1`.
    #[must_use]
    pub fn path(self) -> CallPath {
        match self {
            Self::Say => CallPath::from("say"),
            Self::Repair(repair) => CallPath::from(format!("say/repair/{repair}")),
            Self::Turn(turn) => CallPath::from(format!("turn/{turn}")),
            Self::Vote(Ballot { seat, vote, way, repair }) => {
                let seat = if seat == 0 { String::new() } else { format!("panel/{seat}/") };
                let way = match way {
                    Way::Straight => "",
                    Way::Exchanged => "/exchanged",
                    Way::Swapped => "/swapped",
                };
                let repair = if repair == 0 { String::new() } else { format!("/repair/{repair}") };
                CallPath::from(format!("{seat}vote/{vote}{way}{repair}"))
            }
            Self::Ask(Inquiry { round, which, repair }) => {
                let which = if which == 0 { String::new() } else { format!("/{}", u64::from(which) + 1) };
                let repair = if repair == 0 { String::new() } else { format!("/repair/{repair}") };
                CallPath::from(format!("round/{round}/judge{which}{repair}"))
            }
        }
    }

    /// Returns the call whose answer it asks to mend; none for one that asks for the first time.
    #[must_use]
    pub fn mends(self) -> Option<Self> {
        match self {
            Self::Repair(1) => Some(Self::Say),
            Self::Repair(repair) => Some(Self::Repair(repair.checked_sub(1)?)),
            Self::Vote(ballot) => Some(Self::Vote(Ballot { repair: ballot.repair.checked_sub(1)?, ..ballot })),
            Self::Ask(inquiry) => Some(Self::Ask(Inquiry { repair: inquiry.repair.checked_sub(1)?, ..inquiry })),
            Self::Say | Self::Turn(_) => None,
        }
    }

    /// Reads a name back; none for a name that this version does not write.
    #[must_use]
    pub fn parse(path: &CallPath) -> Option<Self> {
        let parts: Vec<&str> = path.as_str().split('/').collect();
        let call = match parts.as_slice() {
            ["say"] => Self::Say,
            ["say", "repair", repair] => Self::Repair(repair.parse().ok()?),
            ["turn", turn] => Self::Turn(turn.parse().ok()?),
            ["panel", seat, "vote", vote, rest @ ..] => Self::Vote(ballot(seat, vote, rest)?),
            ["vote", vote, rest @ ..] => Self::Vote(ballot("0", vote, rest)?),
            ["round", round, "judge", rest @ ..] => Self::Ask(inquiry(round, rest)?),
            _ => return None,
        };
        // One name for each call: `vote/02` is none.
        (call.path() == *path).then_some(call)
    }
}

fn inquiry(round: &str, rest: &[&str]) -> Option<Inquiry> {
    let (which, repair) = match rest {
        [] => ("1", "0"),
        ["repair", repair] => ("1", *repair),
        [which] => (*which, "0"),
        [which, "repair", repair] => (*which, *repair),
        _ => return None,
    };
    let which = which.parse::<u32>().ok()?.checked_sub(1)?;
    Some(Inquiry { round: round.parse().ok()?, which, repair: repair.parse().ok()? })
}

fn ballot(seat: &str, vote: &str, rest: &[&str]) -> Option<Ballot> {
    let (way, rest) = match rest {
        ["exchanged", rest @ ..] => (Way::Exchanged, rest),
        ["swapped", rest @ ..] => (Way::Swapped, rest),
        rest => (Way::Straight, rest),
    };
    let repair = match rest {
        [] => 0,
        ["repair", repair] => repair.parse().ok()?,
        _ => return None,
    };
    Some(Ballot { seat: seat.parse().ok()?, vote: vote.parse().ok()?, way, repair })
}

/// An answer that has not the form that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// The answer.
    pub answer: Digest,
    /// What is wrong with it.
    pub complaint: String,
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
    /// The element, in a `for_each` step.
    pub each: Option<Element>,
    /// Who is asked.
    pub actor: ActorIdx,
    /// Earlier turns of the same dialogue.
    pub turns: Vec<Turn>,
    /// The answer that this call asks to mend.
    pub mended: Option<Mended>,
    /// Settled tasks that the step's templates read.
    pub inputs: Vec<(StepIdx, Arc<TaskSettled>)>,
    /// What the backend does not take of this actor's requests, as far as is known.
    pub lacks: Features,
}

/// What templates and expressions of a task are made from, texts by digest: a [`Place`] without the call.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The case, for messages to people.
    pub case: CaseNo,
    /// Its repeat, from 1.
    pub repeat: u32,
    /// Its cell of the matrix.
    pub cell: CellIdx,
    /// Its row.
    pub row: Digest,
    /// The step.
    pub step: StepIdx,
    /// The element, in a `for_each` step whose list is known.
    pub each: Option<Element>,
    /// Settled tasks that the step reads.
    pub inputs: Vec<(StepIdx, Arc<TaskSettled>)>,
}

impl Place {
    /// Returns what its templates are made from.
    #[must_use]
    pub fn ground(&self) -> Ground {
        Ground {
            case: self.case,
            repeat: self.repeat,
            cell: self.cell,
            row: self.row,
            step: self.step,
            each: self.each.clone(),
            inputs: self.inputs.clone(),
        }
    }
}

/// Returns the seed that a call is sent: 31 bits of a hash over run seed, item, repeat, step, element and call.
///
/// Neither the attempt nor the position of the item counts, so a retry asks the same question.
#[must_use]
pub fn seed_of(plan: &Plan, place: &Place) -> u32 {
    let each = place.each.as_ref().map_or("", |each| each.key.as_str());
    let step = &plan.step(place.step).name;
    seed_of_call(plan.seed, &place.item, place.repeat, step, each, &place.call.path())
}

/// Returns the seed of a call by its names, as [`seed_of`]; `each` is empty outside of `for_each`.
#[must_use]
pub fn seed_of_call(run: u64, item: &ItemId, repeat: u32, step: &StepName, each: &str, call: &CallPath) -> u32 {
    let digest = Hasher::new("pipe seed 1")
        .number(run)
        .field(item.as_str().as_bytes())
        .number(u64::from(repeat))
        .field(step.as_str().as_bytes())
        .field(each.as_bytes())
        .field(call.as_str().as_bytes())
        .finish();
    let [a, b, c, d, ..] = digest.low_bits().to_le_bytes();
    u32::from_le_bytes([a, b, c, d]) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_calls_read_back() {
        let ballot = |seat, way, repair| Call::Vote(Ballot { seat, vote: 2, way, repair });
        let named = [
            (Call::Say, "say"),
            (Call::Repair(1), "say/repair/1"),
            (Call::Turn(3), "turn/3"),
            (ballot(0, Way::Straight, 0), "vote/2"),
            (ballot(0, Way::Exchanged, 0), "vote/2/exchanged"),
            (ballot(1, Way::Swapped, 0), "panel/1/vote/2/swapped"),
            (ballot(3, Way::Straight, 2), "panel/3/vote/2/repair/2"),
            (Call::Ask(Inquiry { round: 3, which: 0, repair: 0 }), "round/3/judge"),
            (Call::Ask(Inquiry { round: 3, which: 0, repair: 2 }), "round/3/judge/repair/2"),
            (Call::Ask(Inquiry { round: 10, which: 1, repair: 0 }), "round/10/judge/2"),
            (Call::Ask(Inquiry { round: 1, which: 2, repair: 1 }), "round/1/judge/3/repair/1"),
        ];
        for (call, name) in named {
            assert_eq!(call.path(), CallPath::from(name));
            assert_eq!(Call::parse(&CallPath::from(name)), Some(call));
        }
        assert_eq!(Call::parse(&CallPath::from("turn/3/again")), None);
        for strange in ["vote/02", "round/3/judge/1", "round/3/judge/0", "round/3/judge/2/repair/0", "round/3"] {
            assert_eq!(Call::parse(&CallPath::from(strange)), None, "{strange}");
        }
    }
}
