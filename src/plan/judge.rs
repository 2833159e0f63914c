//! The types of a judge's step: who is asked what, how often, in which ways.

use std::num::NonZeroU32;

use super::{ActorIdx, Ballot, Way};
use crate::base::ActorName;
use crate::judge::{AnswerSchema, Rule, Scale, TIE};
use crate::prompt::TemplateId;

/// See [`super::StepKind::Judge`].
#[derive(Clone, Debug)]
pub struct Judge {
    /// Who judges: one, or the members of a panel.
    pub actors: Vec<ActorIdx>,
    /// The user message, before what the task adds to it.
    pub question: TemplateId,
    /// What is asked.
    pub wanted: Wanted,
    /// How often each actor is asked, each time with another seed.
    pub votes: NonZeroU32,
    /// How the votes become one verdict.
    pub rule: Rule,
    /// Two options that are speakers: shown as A and B, and asked again exchanged.
    pub blind: Option<[ActorName; 2]>,
    /// Whether it is asked again in reverse order.
    pub swap: bool,
    /// Whether a reason comes before the verdict.
    pub explain: bool,
    /// How often an answer that cannot be read is asked for again.
    pub repair: u32,
}

/// What a judge is asked for.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// One of at least two distinct options.
    Choose(Vec<String>),
    /// A number.
    Score(Scale),
    /// Which of two texts is better, or neither.
    Pairwise(Vec<Contestant>),
    /// An order of texts.
    Rank(Vec<Contestant>),
    /// A value that matches a schema.
    Schema(AnswerSchema),
}

impl Wanted {
    /// Returns the key that asks for it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Choose(_) => "choose",
            Self::Score(_) => "score",
            Self::Pairwise(_) => "pairwise",
            Self::Rank(_) => "rank",
            Self::Schema(_) => "schema",
        }
    }
}

/// A text that a judge compares with others.
#[derive(Clone, Debug)]
pub struct Contestant {
    /// What it is called in the verdict; the judge sees a letter.
    pub name: String,
    /// The text.
    pub text: TemplateId,
}

impl Judge {
    /// Returns how many questions that is. Cost: constant.
    #[must_use]
    pub fn calls(&self) -> u64 {
        let ways = self.ways().count() as u64;
        ways.saturating_mul(u64::from(self.votes.get())).saturating_mul(self.actors.len() as u64)
    }

    /// Returns every question that is asked, in order; those asked again are not among them.
    pub fn ballots(&self) -> impl Iterator<Item = Ballot> + '_ {
        let seats = if self.is_panel() { 1..=u32::try_from(self.actors.len()).unwrap_or(u32::MAX) } else { 0..=0 };
        seats.flat_map(move |seat| {
            let votes = 1..=self.votes.get();
            votes.flat_map(move |vote| self.ways().map(move |way| Ballot { seat, vote, way, repair: 0 }))
        })
    }

    /// Returns in which ways each vote is asked.
    pub fn ways(&self) -> impl Iterator<Item = Way> + use<> {
        let other = match () {
            () if self.blind.is_some() => Some(Way::Exchanged),
            () if self.swap => Some(Way::Swapped),
            () => None,
        };
        [Some(Way::Straight), other].into_iter().flatten()
    }

    /// Returns true when several actors judge.
    #[must_use]
    pub fn is_panel(&self) -> bool {
        self.actors.len() > 1
    }

    /// Returns who is asked.
    #[must_use]
    pub fn actor(&self, ballot: Ballot) -> ActorIdx {
        self.actors[(ballot.seat.max(1) as usize - 1).min(self.actors.len() - 1)]
    }

    /// Returns what a verdict may name; none for scores and values.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        let names = |contestants: &[Contestant]| contestants.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        match &self.wanted {
            Wanted::Choose(options) => options.clone(),
            Wanted::Pairwise(contestants) => [names(contestants), vec![TIE.to_owned()]].concat(),
            Wanted::Rank(contestants) => names(contestants),
            Wanted::Score(_) | Wanted::Schema(_) => Vec::new(),
        }
    }
}
