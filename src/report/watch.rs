//! What goes on in a run right now, from its events alone: for a view from outside, live or after the end.
//! Memory is bounded by the cases that are open at once, not by the run.

use std::collections::{BTreeMap, VecDeque};

use indexmap::IndexMap;
use serde::Serialize;

use super::Tally;
use super::number::per;
use super::summary_text::backend_line;
use crate::base::{ActorName, BackendName, CallPath, CaseNo, Digest, Millis, StepName, Timestamp};
use crate::event::{
    AttemptEnded, AttemptId, BackendResolved, Capacity, CaseAdmitted, CaseStatus, Counted, Event, Failure,
    FailureKind, Outcome, Recorded,
};

/// Rates are taken over so much time, as on the line that `pipe run` keeps up to date.
const WINDOW: Millis = Millis::seconds(60);
/// At most one sample in so much time.
const SAMPLE: Millis = Millis(500);
/// No rate before so much time has passed.
const SOONEST: Millis = Millis::seconds(2);
/// Answers, failures and settled cases that are kept: more than a screen shows.
const KEPT: usize = 100;

/// A run as its events tell it.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// What the run came to so far.
    pub tally: Tally,
    /// Backends, in the plan's order.
    pub lanes: IndexMap<BackendName, LaneNow>,
    /// Cases that are not settled.
    pub open: BTreeMap<CaseNo, OpenCase>,
    /// Cases settled lately, the latest last.
    pub settled: VecDeque<SettledCase>,
    /// Answers of late, the latest last.
    pub said: VecDeque<Said>,
    /// Requests without an answer of late, the latest last.
    pub mishaps: VecDeque<Mishap>,
    /// Requests recorded and not over, and where they are.
    flights: BTreeMap<AttemptId, Flight>,
    /// Calls to be asked again, and where.
    again: BTreeMap<(CaseNo, StepName, CallPath), BackendName>,
    samples: VecDeque<Sample>,
    expected: Option<u64>,
}

/// One backend, as far as events tell: what waits inside the engine for its turn is in none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LaneNow {
    /// What the name stands for.
    pub says: String,
    /// Calls that it works on at once.
    pub slots: u32,
    /// Requests recorded and not over; those above the slots wait for one.
    pub started: u64,
    /// Calls that failed and will be asked again.
    pub again: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests not answered.
    pub failed: u64,
    /// Its breaker is open: single calls are tried until one is answered.
    pub broken: bool,
    /// It takes no call before then, by its own word; what is past holds nothing.
    #[serde(rename = "held_until_us", skip_serializing_if = "Option::is_none")]
    pub held_until: Option<Timestamp>,
}

/// A case on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenCase {
    /// What it is about.
    pub admitted: CaseAdmitted,
    /// What was asked for it latest.
    pub latest: Option<(StepName, CallPath)>,
}

/// A case that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct SettledCase {
    /// Its number.
    pub case: CaseNo,
    /// What it is about; none when it was admitted before what was read.
    pub admitted: Option<CaseAdmitted>,
    /// How it ended.
    pub status: CaseStatus,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// When.
    pub at: Timestamp,
    /// To which question.
    pub id: AttemptId,
    /// By whom.
    pub actor: ActorName,
    /// What, among the journal's texts.
    pub text: Digest,
}

/// A request without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mishap {
    /// When.
    pub at: Timestamp,
    /// Which.
    pub id: AttemptId,
    /// Why.
    pub failure: Failure,
    /// It is asked again.
    pub again: bool,
}

/// How fast it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pace {
    /// Cases settled in a minute.
    pub cases_per_minute: Option<f64>,
    /// Tokens of prompts in a second.
    pub input_per_second: Option<f64>,
    /// Tokens of answers in a second.
    pub output_per_second: Option<f64>,
    /// Time to the end at this pace, in seconds.
    pub seconds_left: Option<u64>,
}

#[derive(Clone, Debug)]
struct Flight {
    backend: BackendName,
    actor: ActorName,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Timestamp,
    settled: u64,
    input: u64,
    output: u64,
}

impl Watch {
    /// Returns a watch over a run of which so much counts.
    #[must_use]
    pub fn of(counted: Counted) -> Self {
        Self { tally: Tally::of(counted), ..Self::default() }
    }

    /// Takes notice of how many cases there will be, as counted before the first call.
    pub const fn expect(&mut self, total: Option<u64>) {
        self.expected = total;
    }

    /// Returns how many cases there are, when that is known.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.tally.total.or(self.expected.map(|total| total.max(self.tally.cases.admitted)))
    }

    /// Takes the next event of the run, in the order of the log.
    pub fn add(&mut self, recorded: &Recorded) {
        self.sample(recorded.at);
        self.tally.add(recorded);
        match &recorded.event {
            Event::RunStarted(started) => self.resolve(&started.backends),
            Event::RunResumed(resumed) => self.resolve(&resumed.backends),
            Event::CaseAdmitted(admitted) => {
                self.open.insert(admitted.case, OpenCase { admitted: admitted.clone(), latest: None });
            }
            Event::CellClosing(closing) => {
                self.open.insert(closing.case, OpenCase { admitted: closing.as_case(), latest: None });
            }
            Event::AttemptStarted(started) => {
                let id = &started.id;
                self.forget_again(&(id.case, id.step.clone(), id.call.clone()));
                self.lanes.entry(started.backend.clone()).or_default().started += 1;
                if let Some(case) = self.open.get_mut(&id.case) {
                    case.latest = Some((id.step.clone(), id.call.clone()));
                }
                let flight = Flight { backend: started.backend.clone(), actor: started.actor.clone() };
                self.flights.insert(id.clone(), flight);
            }
            Event::AttemptEnded(ended) => self.end(recorded.at, ended),
            Event::TaskSettled(task) => self.forget_task(task.case, &task.step),
            Event::CaseSettled(settled) => {
                let admitted = self.open.remove(&settled.case).map(|case| case.admitted);
                keep(&mut self.settled, SettledCase { case: settled.case, admitted, status: settled.status });
            }
            Event::CaseReopened(reopened) => {
                self.open.insert(reopened.now.case, OpenCase { admitted: reopened.admitted(), latest: None });
            }
            Event::CapacityChanged(changed) => match changed.change {
                Capacity::BreakerOpened => self.lanes.entry(changed.backend.clone()).or_default().broken = true,
                Capacity::BreakerClosed => self.lanes.entry(changed.backend.clone()).or_default().broken = false,
                Capacity::Slots(slots) => self.lanes.entry(changed.backend.clone()).or_default().slots = slots,
                Capacity::HeldUntil(until) => {
                    self.lanes.entry(changed.backend.clone()).or_default().held_until = Some(until);
                }
                Capacity::FormatUnsupported | Capacity::Lacks(_) => {}
            },
            _ => {}
        }
    }

    /// Returns where a request under way goes, and who speaks in it.
    #[must_use]
    pub fn flight(&self, id: &AttemptId) -> Option<(&BackendName, &ActorName)> {
        self.flights.get(id).map(|flight| (&flight.backend, &flight.actor))
    }

    /// Returns how many requests are recorded and not over.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Returns how fast it goes: over the last minute while it is live, over all of its time afterwards.
    #[must_use]
    pub fn pace(&self, now: Timestamp) -> Pace {
        let tokens = |tokens: Option<crate::base::TokenCount>| tokens.map_or(0, |count| count.0);
        let (input, output) = (tokens(self.tally.usage.input), tokens(self.tally.usage.output));
        let settled = self.tally.cases.settled();
        let is_over = self.tally.outcome.is_some() || self.tally.bug.is_some();
        let start = Sample { at: now, settled: 0, input: 0, output: 0 };
        let (from, micros) = match self.samples.iter().find(|sample| now.since(sample.at) <= WINDOW) {
            _ if is_over => (start, self.tally.active_us()),
            Some(sample) => (*sample, now.micros_since(sample.at)),
            // Nothing has happened for a minute.
            None => (Sample { settled, input, output, ..start }, 0),
        };
        if micros < SOONEST.0 * 1_000 && !is_over {
            return Pace::default();
        }
        let moved = settled.saturating_sub(from.settled);
        let left = self.total().map(|total| total.saturating_sub(settled)).filter(|&left| left > 0 && moved > 0);
        let left = left.filter(|_| !is_over && !self.tally.paused);
        let held = self.tally.held_until(now).map_or(0, |(_, until)| until.micros_since(now));
        let micros_left =
            left.map(|left| u128::from(left) * u128::from(micros) / u128::from(moved) + u128::from(held));
        let speed = |count: u64| (count > 0).then(|| per(count, micros, 1_000_000)).flatten();
        Pace {
            cases_per_minute: per(moved, micros, 60_000_000),
            input_per_second: speed(input.saturating_sub(from.input)),
            output_per_second: speed(output.saturating_sub(from.output)),
            seconds_left: micros_left.and_then(|micros| u64::try_from(micros.div_ceil(1_000_000)).ok()),
        }
    }

    fn resolve(&mut self, backends: &[BackendResolved]) {
        for backend in backends {
            let lane = self.lanes.entry(backend.backend.clone()).or_default();
            // How many slots it has may change, and stands elsewhere.
            let says = backend_line(backend);
            says.rsplit_once(", ").map_or(says.as_str(), |(says, _)| says).clone_into(&mut lane.says);
            lane.slots = backend.slots;
            lane.held_until = None;
        }
    }

    fn end(&mut self, at: Timestamp, ended: &AttemptEnded) {
        let Some(Flight { backend, actor }) = self.flights.remove(&ended.id) else { return };
        let lane = self.lanes.entry(backend.clone()).or_default();
        lane.started = lane.started.saturating_sub(1);
        let id = ended.id.clone();
        match &ended.outcome {
            Outcome::Answered(answer) => {
                lane.answered += u64::from(ended.from_cache.is_none());
                keep(&mut self.said, Said { at, id, actor, text: answer.text });
            }
            Outcome::Failed(failure) => {
                // These are the run's own doing.
                let is_ours =
                    matches!(failure.kind, FailureKind::Unsent | FailureKind::Cancelled | FailureKind::Interrupted);
                lane.failed += u64::from(!is_ours);
                if ended.retry_at.is_some() {
                    lane.again += 1;
                    self.again.insert((id.case, id.step.clone(), id.call.clone()), backend);
                }
                if !is_ours {
                    let again = ended.retry_at.is_some();
                    keep(&mut self.mishaps, Mishap { at, id, failure: failure.clone(), again });
                }
            }
        }
    }

    fn forget_again(&mut self, call: &(CaseNo, StepName, CallPath)) {
        if let Some(backend) = self.again.remove(call) {
            let lane = self.lanes.entry(backend).or_default();
            lane.again = lane.again.saturating_sub(1);
        }
    }

    /// Other votes of a task that is over are not asked again.
    fn forget_task(&mut self, case: CaseNo, step: &StepName) {
        let from = (case, step.clone(), CallPath::from(""));
        let of_task = self.again.range(from..).take_while(|((number, name, _), _)| *number == case && name == step);
        let calls: Vec<_> = of_task.map(|(call, _)| call.clone()).collect();
        calls.iter().for_each(|call| self.forget_again(call));
    }

    fn sample(&mut self, at: Timestamp) {
        if self.samples.back().is_some_and(|latest| at.since(latest.at) < SAMPLE) {
            return;
        }
        let tokens = |tokens: Option<crate::base::TokenCount>| tokens.map_or(0, |count| count.0);
        self.samples.push_back(Sample {
            at,
            settled: self.tally.cases.settled(),
            input: tokens(self.tally.usage.input),
            output: tokens(self.tally.usage.output),
        });
        while self.samples.len() > 2 && self.samples.front().is_some_and(|oldest| at.since(oldest.at) > WINDOW) {
            self.samples.pop_front();
        }
    }
}

fn keep<T>(latest: &mut VecDeque<T>, one: T) {
    if latest.len() == KEPT {
        latest.pop_front();
    }
    latest.push_back(one);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::Story;

    fn watched(story: &Story) -> Watch {
        let mut watch = Watch::default();
        story.log.iter().for_each(|recorded| watch.add(recorded));
        watch
    }

    #[test]
    fn what_is_under_way_follows_from_what_began_and_ended() {
        let mut story = Story::begin("debate");
        story.admit(0, "m0", &serde_json::json!({ "motion": "Tea" }));
        let first = story.start(0, "debate", "turn/1", 1, "pro");
        let second = story.start(0, "verdict", "vote/1", 1, "referee");
        let lane = |watch: &Watch| watch.lanes["auto"].clone();
        let watch = watched(&story);
        assert_eq!((lane(&watch).started, lane(&watch).slots, watch.in_flight()), (2, 4, 2));
        story.fail_again(&first, FailureKind::Overloaded, "HTTP 503");
        story.answer(&second, "pro", crate::event::FinishReason::Stop);
        let watch = watched(&story);
        assert_eq!((lane(&watch).started, lane(&watch).again, lane(&watch).answered), (0, 1, 1));
        assert_eq!((watch.said.len(), watch.mishaps.len()), (1, 1));
        assert!(watch.mishaps[0].again);
        assert_eq!(watch.open[&CaseNo(0)].latest, Some(("verdict".into(), CallPath::from("vote/1"))));
        story.start(0, "debate", "turn/1", 2, "pro");
        assert_eq!((lane(&watched(&story)).again, lane(&watched(&story)).started), (0, 1));
    }

    #[test]
    fn a_pace_needs_time_and_forgets() {
        let mut story = Story::begin("debate");
        for case in 0..10 {
            story.debate(case, Some("pro"));
        }
        let mut watch = watched(&story);
        watch.expect(Some(20));
        let now = story.log.last().unwrap().at;
        let pace = watch.pace(now);
        assert!(pace.cases_per_minute.is_some_and(|pace| pace > 1.0), "{pace:?}");
        assert!(pace.output_per_second.is_some() && pace.seconds_left.is_some(), "{pace:?}");
        assert_eq!(watch.pace(now.after(Millis::seconds(300))), Pace::default());
        story.end(crate::event::RunOutcome::Complete);
        assert_eq!(watched(&story).pace(now.after(Millis::seconds(300))).seconds_left, None);
    }
}
