//! Which cases are told: decided when a case is over, from what came of it.

use super::case::Open;
use crate::base::TraceId;
use crate::plan::{Keep, SpanSample};

/// Returns why a case that is over is kept; none when it is not.
pub(super) fn reason(sample: &SpanSample, case: &Open) -> Option<&'static str> {
    let holds = |keep: &&Keep| match keep {
        Keep::Error => case.amiss.is_some(),
        Keep::Retried => case.retried,
        Keep::Unscored => case.unscored,
    };
    let kept = sample.keep.iter().find(holds).map(|keep| keep.word());
    kept.or_else(|| is_below(case.about, sample.ratio).then_some("ratio"))
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
