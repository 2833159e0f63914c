//! Labels instead of names, so that a judge cannot know who spoke.

use crate::plan::{Ballot, Judge, Way};

/// What a judge sees for each name: nothing changed, or A and B for the two contestants.
pub(super) struct Labels(Vec<(String, &'static str)>);

impl Labels {
    /// Returns the labels of one asking.
    pub(super) fn of(judge: &Judge, ballot: Ballot) -> Self {
        let Some([first, second]) = &judge.blind else { return Self(Vec::new()) };
        let labels = if ballot.way == Way::Exchanged { ["B", "A"] } else { ["A", "B"] };
        Self(vec![(first.to_string(), labels[0]), (second.to_string(), labels[1])])
    }

    /// Returns no labels: names are shown as they are.
    pub(super) const fn none() -> Self {
        Self(Vec::new())
    }

    /// Returns what stands for a name.
    pub(super) fn show<'a>(&'a self, name: &'a str) -> &'a str {
        self.0.iter().find(|(real, _)| real == name).map_or(name, |(_, label)| label)
    }

    /// Returns the name that a label stands for.
    pub(super) fn real<'a>(&'a self, shown: &'a str) -> &'a str {
        self.0.iter().find(|(_, label)| *label == shown).map_or(shown, |(real, _)| real)
    }

    /// Returns the options as the judge sees them; labelled ones in the order of their labels, so that the order of
    /// the options tells nothing either.
    pub(super) fn options(&self, choose: &[String]) -> Vec<String> {
        let mut labelled: Vec<&str> =
            choose.iter().map(|option| self.show(option)).filter(|shown| self.is_label(shown)).collect();
        labelled.sort_unstable();
        let mut labels = labelled.into_iter();
        choose
            .iter()
            .map(|option| match self.show(option) {
                shown if self.is_label(shown) => labels.next().expect("one label per labelled option").to_owned(),
                shown => shown.to_owned(),
            })
            .collect()
    }

    fn is_label(&self, shown: &str) -> bool {
        self.0.iter().any(|(_, label)| *label == shown)
    }
}
