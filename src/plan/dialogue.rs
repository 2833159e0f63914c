//! Dialogues: who speaks when, what each sees of the talk, and when it is over.

use std::num::NonZeroU32;

use regex::Regex;

use super::{ActorIdx, Call, Plan, StepIdx, StepKind};
use crate::base::{Hasher, ItemId};
use crate::prompt::TemplateId;

/// Several actors in turns.
#[derive(Clone, Debug)]
pub struct Dialogue {
    /// Speakers as listed; at least two.
    pub actors: Vec<ActorIdx>,
    /// A user message that all see.
    pub opening: TemplateId,
    /// Who speaks when.
    pub order: Order,
    /// How much of the talk each speaker sees.
    pub history: History,
    /// Tested after each turn.
    pub stop: Stop,
    /// Patterns that `stop` looks for.
    pub patterns: Vec<Pattern>,
    /// What `stop` compares between turns: what a pattern finds, or the whole turn.
    pub captures: Vec<Option<Regex>>,
    /// When `stop` takes two turns for alike.
    pub likenesses: Vec<Likeness>,
    /// What `stop` asks after a round.
    pub judges: Vec<RoundJudge>,
}

/// Who speaks when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As listed.
    RoundRobin,
    /// Each round in an order of its own, drawn from run seed, item, repeat and step.
    Random,
    /// As listed, each repeat beginning with the next actor.
    Rotate,
}

/// How much of the talk each speaker sees. System prompt and opening always stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// Everything.
    All,
    /// The latest turns, so many.
    Last(NonZeroU32),
    /// The latest turns that together have so many tokens, at four bytes each; the latest one always.
    Tokens(u32),
}

/// When a dialogue is over. The compiler has made sure that something bounds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// One of them.
    Any(Vec<Stop>),
    /// All of them.
    All(Vec<Stop>),
    /// It does not hold.
    Not(Box<Stop>),
    /// So many turns of each actor have been taken.
    Rounds(NonZeroU32),
    /// So many turns have been taken.
    Turns(NonZeroU32),
    /// The latest turn matches `patterns[i]`.
    Says(usize),
    /// `captures[i]` of the latest turn of every speaker are the same.
    Agree(usize),
    /// `captures[i]` of the latest turn is that of the speaker's turns before it.
    Unchanged {
        /// Which.
        capture: usize,
        /// How many turns before it.
        window: NonZeroU32,
    },
    /// The latest turn is alike to an earlier one of its speaker by `likenesses[i]`.
    Looping(usize),
    /// `judges[i]`, asked after the round, says so.
    JudgeSays(usize),
    /// So many tokens have been spent.
    Budget(u32),
}

/// What `says` looks for.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Whose turns; none is anybody's.
    pub actor: Option<ActorIdx>,
    /// In the turn's text.
    pub regex: Regex,
}

/// When two turns are taken for alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likeness {
    /// The least resemblance, over 0 and at most 1.
    pub similarity: f64,
    /// With how many of the speaker's turns before the latest it is compared.
    pub window: NonZeroU32,
}

/// What is asked about a dialogue after a round.
#[derive(Clone, Debug)]
pub struct RoundJudge {
    /// Who is asked.
    pub actor: ActorIdx,
    /// The user message, before how to answer is added.
    pub question: TemplateId,
    /// At least two distinct options.
    pub choose: Vec<String>,
    /// The one that ends the dialogue.
    pub on: String,
    /// How often an answer that cannot be read is asked for again.
    pub repair: u32,
}

impl Dialogue {
    /// Returns how many calls it makes at most: turns, and questions after rounds; repeated requests are not counted.
    #[must_use]
    pub fn most_calls(&self) -> u64 {
        let turns = self.most_turns();
        let rounds = turns / (self.actors.len().max(1) as u64);
        turns.saturating_add(rounds.saturating_mul(self.judges.len() as u64))
    }

    /// Returns everyone who is asked: the speakers, then those who are asked after a round.
    pub fn asked(&self) -> impl Iterator<Item = ActorIdx> + '_ {
        self.actors.iter().copied().chain(self.judges.iter().map(|judge| judge.actor))
    }

    /// Returns how many turns it can take at most.
    #[must_use]
    pub fn most_turns(&self) -> u64 {
        self.stop.most_turns(self.actors.len() as u64).unwrap_or(u64::MAX)
    }

    /// Returns true when it always takes [`Self::most_turns`].
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        matches!(self.stop, Stop::Rounds(_) | Stop::Turns(_))
    }

    /// Returns who takes a turn, counted from 1; `draw` gives a number for a round and a place in it.
    fn speaker(&self, turn: u32, repeat: u32, draw: impl Fn(u32, usize) -> u64) -> ActorIdx {
        let speakers = self.actors.len();
        let before = turn.max(1) as usize - 1;
        match self.order {
            Order::RoundRobin => self.actors[before % speakers],
            Order::Rotate => self.actors[(before + repeat.max(1) as usize - 1) % speakers],
            Order::Random => {
                let round = u32::try_from(before / speakers).expect("a turn is a u32");
                let mut places: Vec<usize> = (0..speakers).collect();
                places.sort_by_key(|&place| (draw(round, place), place));
                self.actors[places[before % speakers]]
            }
        }
    }
}

impl Plan {
    /// Returns who is asked in a call of a step, in one repeat of an item.
    ///
    /// # Panics
    /// The step needs no model: a bug of the caller.
    #[must_use]
    pub fn speaker(&self, step: StepIdx, item: &ItemId, repeat: u32, call: Call) -> ActorIdx {
        let step = self.step(step);
        match (&step.kind, call) {
            (StepKind::Chat(chat), _) => chat.actor,
            (StepKind::Judge(judge), Call::Vote(ballot)) => judge.actor(ballot),
            (StepKind::Judge(judge), Call::Say | Call::Repair(_) | Call::Turn(_) | Call::Ask(_)) => judge.actors[0],
            (StepKind::Dialogue(dialogue), Call::Turn(turn)) => {
                let draw = |round, place: usize| {
                    let hasher = Hasher::new("pipe order 1").number(self.seed).field(item.as_str().as_bytes());
                    let hasher = hasher.number(u64::from(repeat)).field(step.name.as_str().as_bytes());
                    hasher.number(u64::from(round)).number(place as u64).finish().low_bits()
                };
                dialogue.speaker(turn, repeat, draw)
            }
            (StepKind::Dialogue(dialogue), Call::Ask(inquiry)) => dialogue.judges[inquiry.which as usize].actor,
            (StepKind::Dialogue(dialogue), Call::Say | Call::Repair(_) | Call::Vote(_)) => dialogue.actors[0],
            (StepKind::Transform(_) | StepKind::Assert(_), _) => panic!("bug: a step without a model makes no call"),
        }
    }
}

impl Stop {
    /// Returns before how many turns it certainly does not hold.
    #[must_use]
    pub fn fewest_turns(&self, speakers: u64) -> u64 {
        match self {
            Self::Rounds(rounds) => u64::from(rounds.get()) * speakers,
            Self::Turns(turns) => u64::from(turns.get()),
            Self::Says(_) | Self::Not(_) | Self::Budget(_) => 1,
            Self::Agree(_) | Self::JudgeSays(_) => speakers,
            // In a random order two turns of an actor may be next to each other.
            Self::Looping(_) => 2,
            Self::Unchanged { window, .. } => u64::from(window.get()) + 1,
            Self::Any(stops) => stops.iter().map(|stop| stop.fewest_turns(speakers)).min().unwrap_or(1),
            Self::All(stops) => stops.iter().map(|stop| stop.fewest_turns(speakers)).max().unwrap_or(1),
        }
    }

    /// Returns after how many turns it certainly holds; none when it may never.
    #[must_use]
    pub fn most_turns(&self, speakers: u64) -> Option<u64> {
        match self {
            Self::Rounds(rounds) => Some(u64::from(rounds.get()) * speakers),
            Self::Turns(turns) => Some(u64::from(turns.get())),
            // A turn costs a token at least.
            Self::Budget(tokens) => Some(u64::from(*tokens)),
            Self::Says(_)
            | Self::Not(_)
            | Self::Agree(_)
            | Self::Unchanged { .. }
            | Self::Looping(_)
            | Self::JudgeSays(_) => None,
            Self::Any(stops) => stops.iter().filter_map(|stop| stop.most_turns(speakers)).min(),
            // All of them hold from the latest on; one that may never hold keeps the others waiting for ever.
            Self::All(stops) => {
                let each: Option<Vec<u64>> = stops.iter().map(|stop| stop.most_turns(speakers)).collect();
                each?.into_iter().max()
            }
        }
    }

    /// Returns true when a budget is part of it.
    #[must_use]
    pub fn has_budget(&self) -> bool {
        match self {
            Self::Budget(_) => true,
            Self::Any(stops) | Self::All(stops) => stops.iter().any(Self::has_budget),
            Self::Not(stop) => stop.has_budget(),
            Self::Rounds(_)
            | Self::Turns(_)
            | Self::Says(_)
            | Self::Agree(_)
            | Self::Unchanged { .. }
            | Self::Looping(_)
            | Self::JudgeSays(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Templates;

    fn dialogue(order: Order) -> Dialogue {
        let opening = Templates::default().add("x").expect("compiles");
        Dialogue {
            actors: (0..3).map(ActorIdx).collect(),
            opening,
            order,
            history: History::All,
            stop: Stop::Budget(1),
            patterns: Vec::new(),
            captures: Vec::new(),
            likenesses: Vec::new(),
            judges: Vec::new(),
        }
    }

    fn check(order: Order, repeat: u32, expected: [usize; 6]) {
        // The first round is drawn backwards, the second as listed.
        let draw = |round: u32, place: usize| if round == 0 { 9 - place as u64 } else { place as u64 };
        let speakers = (1..=6).map(|turn| dialogue(order).speaker(turn, repeat, draw).0);
        assert_eq!(speakers.collect::<Vec<_>>(), expected, "{order:?} in repeat {repeat}");
    }

    #[test]
    fn orders() {
        check(Order::RoundRobin, 2, [0, 1, 2, 0, 1, 2]);
        check(Order::Rotate, 1, [0, 1, 2, 0, 1, 2]);
        check(Order::Rotate, 2, [1, 2, 0, 1, 2, 0]);
        check(Order::Rotate, 4, [0, 1, 2, 0, 1, 2]);
        check(Order::Random, 1, [2, 1, 0, 0, 1, 2]);
    }

    #[test]
    fn questions_after_rounds_count() {
        let mut dialogue = dialogue(Order::RoundRobin);
        let judge = RoundJudge {
            actor: ActorIdx(3),
            question: dialogue.opening,
            choose: vec!["a".to_owned(), "b".to_owned()],
            on: "a".to_owned(),
            repair: 1,
        };
        let turns = NonZeroU32::new(7).expect("not 0");
        dialogue.judges = vec![judge.clone(), judge];
        dialogue.stop = Stop::Any(vec![Stop::JudgeSays(0), Stop::Turns(turns), Stop::JudgeSays(1)]);
        assert_eq!((dialogue.most_turns(), dialogue.most_calls()), (7, 7 + 2 * 2), "two whole rounds of three");
        assert_eq!(dialogue.stop.fewest_turns(3), 3);
        assert_eq!(dialogue.asked().collect::<Vec<_>>(), [0, 1, 2, 3, 3].map(ActorIdx));
    }
}
