//! Which cases are told: decided when a case is over, from what came of it.

use super::case::Open;
use crate::base::TraceId;

/// Keeps a share of the cases, and those worth looking at.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Of all cases, by a hash of what they are: 0 to 1.
    pub ratio: f64,
    /// Kept whatever the hash says.
    pub keep: Vec<Keep>,
}

/// Cases that are always kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// A task failed.
    Error,
    /// A request had to be sent again.
    Retried,
    /// A judge answered nothing that can be counted.
    Unscored,
}

impl Keep {
    /// Returns the word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Retried => "retried",
            Self::Unscored => "unscored",
        }
    }
}

impl Sample {
    /// Returns why a case that is over is kept; none when it is not.
    pub(super) fn reason(&self, case: &Open) -> Option<&'static str> {
        let holds = |keep: &&Keep| match keep {
            Keep::Error => case.amiss.is_some(),
            Keep::Retried => case.retried,
            Keep::Unscored => case.unscored,
        };
        let kept = self.keep.iter().find(holds).map(|keep| keep.word());
        kept.or_else(|| is_below(case.about, self.ratio).then_some("ratio"))
    }
}

/// Tells whether a trace's hash is among the first so many of all.
fn is_below(trace: TraceId, ratio: f64) -> bool {
    let [a, b, c, d, ..] = *trace.as_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) < ratio * 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RunId;

    #[test]
    fn a_ratio_is_a_share_of_all_and_ends_at_none_and_all() {
        let traces: Vec<TraceId> =
            (0..2_000).map(|number| TraceId::of_run(&RunId::from(format!("run-{number}")))).collect();
        let kept = |ratio: f64| traces.iter().filter(|trace| is_below(**trace, ratio)).count();
        assert_eq!((kept(0.0), kept(1.0)), (0, 2_000));
        let tenth = kept(0.1);
        assert!((140..=260).contains(&tenth), "{tenth} of 2,000");
    }
}
