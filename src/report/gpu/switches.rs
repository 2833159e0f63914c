//! Switches of model that the run caused: what a request took more than usual then, and how much of that was a queue.
//! Reads: events in their order. Gives: a [`Switch`] for each request that asked a backend for another model than the one
//! sent before it. Never: a number for what nobody could compare. Start at [`Switches`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::base::{BackendName, StepName, Timestamp};
use crate::event::{AttemptEnded, AttemptId, Claimed, Event, Outcome, Recorded};

/// Requests that a usual one is made of, at least: with two nobody knows which is unusual.
const ENOUGH: usize = 3;
/// Of those of a kind, the latest that are kept.
const KEPT: usize = 2_000;
/// Switches that are told one by one.
const MOST: usize = 10_000;

/// A request for another model than the one that its backend was sent before.
#[derive(Clone, Debug, PartialEq)]
pub struct Switch {
    /// When it was sent.
    pub at: Timestamp,
    /// To whom.
    pub backend: BackendName,
    /// The model asked for before; none for the first request of a process.
    pub from: Option<Arc<str>>,
    /// The model that answered it.
    pub to: Arc<str>,
    /// The step that asked.
    pub step: StepName,
    /// What was timed: until the first piece, else (`false`) until the whole answer.
    pub streamed: bool,
    /// What that took, in seconds.
    pub took_s: f64,
    /// Requests for the same model that were sent while this one waited, and may have waited with it.
    pub together: u64,
    /// Requests for other models that the backend still worked on.
    pub others: u64,
    /// Until the last of those was over, in seconds.
    pub others_s: f64,
    /// What the server said of it.
    pub claimed: Option<Claimed>,
    /// What others of the kind took, if there are enough.
    pub usual: Option<Usual>,
    load: usize,
}

/// What requests took that asked the same model for the same step and waited for no switch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// The median, in seconds.
    pub median_s: f64,
    /// From the first quartile to the third.
    pub spread_s: f64,
    /// How many, all with half to twice as many requests in flight as at the switch.
    pub requests: usize,
}

impl Switch {
    /// Returns by how much it took longer than usual, in seconds, if that is more than chance: more than the spread of
    /// usual ones and than a tenth of their median.
    #[must_use]
    pub fn beyond_s(&self) -> Option<f64> {
        let usual = self.usual?;
        let beyond = self.took_s - usual.median_s;
        (beyond > usual.spread_s.max(usual.median_s / 10.0)).then_some(beyond)
    }

    /// Returns how much of that the backend still worked for other models: at most that, for it may do both at once.
    #[must_use]
    pub fn queued_s(&self) -> Option<f64> {
        Some(self.beyond_s()?.min(self.others_s))
    }

    /// Returns what is left for the loading: no more than it lay there, where the server tells its own clocks. A first
    /// prompt may just take longer to be read than later ones, whose beginnings the server knows.
    #[must_use]
    pub fn loading_s(&self) -> Option<f64> {
        let queued = self.queued_s()?;
        let left = self.beyond_s()? - queued;
        Some(self.lay_s().map_or(left, |lay| left.min((lay - queued).max(0.0))))
    }

    /// Returns for how long it lay before it was worked on by the server's own clocks: what it took less what the server
    /// says it computed.
    #[must_use]
    pub fn lay_s(&self) -> Option<f64> {
        let claimed = self.claimed?;
        let answering = if self.streamed { 0 } else { claimed.answer_us? };
        Some((self.took_s - seconds(claimed.prompt_us? + answering)).max(0.0))
    }
}

/// All of them, in the order in which they were sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Switched {
    /// Those that are told one by one.
    pub each: Vec<Switch>,
    /// How many more there were.
    pub more: u64,
    /// All requests that were looked at: those that a named model answered.
    pub requests: u64,
}

/// Finds them.
#[derive(Debug, Default)]
pub struct Switches {
    open: BTreeMap<AttemptId, (Timestamp, BackendName)>,
    /// Answered, by the time at which they were sent.
    answered: BTreeMap<(Timestamp, u64), Request>,
    count: u64,
    resumed: Vec<Timestamp>,
    lanes: BTreeMap<BackendName, Lane>,
    usual: BTreeMap<Kind, VecDeque<(usize, u64)>>,
    found: Switched,
}

/// Whose times may be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    backend: BackendName,
    model: Arc<str>,
    step: StepName,
    streamed: bool,
}

#[derive(Debug)]
struct Request {
    kind: Kind,
    took_us: u64,
    end: Timestamp,
    claimed: Option<Claimed>,
}

/// What is known of a backend at the moment at which its latest request was sent.
#[derive(Debug, Default)]
struct Lane {
    latest: Option<(Arc<str>, Timestamp)>,
    flying: Vec<(Arc<str>, Timestamp)>,
    /// The last switch: to what, until when its request waited, its place among those found.
    loading: Option<(Arc<str>, Timestamp, usize)>,
}

impl Switches {
    /// Takes the next event.
    pub fn event(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::RunResumed(_) => self.resumed.push(recorded.at),
            Event::AttemptStarted(started) => {
                self.open.insert(started.id.clone(), (recorded.at, started.backend.clone()));
            }
            Event::AttemptEnded(ended) => {
                self.end(recorded.at, ended);
                // None that is under way was sent before the oldest of them began.
                let until = self.open.values().map(|(at, _)| *at).min().unwrap_or(Timestamp(i64::MAX));
                self.settle(until);
            }
            _ => {}
        }
    }

    fn end(&mut self, at: Timestamp, ended: &AttemptEnded) {
        let Some((started, backend)) = self.open.remove(&ended.id) else { return };
        let Outcome::Answered(answer) = &ended.outcome else { return };
        // Without its name nobody knows which model it was.
        let Some(model) = answer.model.as_deref().filter(|_| ended.from_cache.is_none()) else { return };
        let timings = ended.timings;
        let total = i64::try_from(timings.total_us).unwrap_or(i64::MAX);
        let sent = Timestamp(at.0.saturating_sub(total)).max(started);
        let kind = Kind {
            backend,
            model: Arc::from(model),
            step: ended.id.step.clone(),
            streamed: timings.first_token_us.is_some(),
        };
        let took_us = timings.first_token_us.unwrap_or(timings.total_us);
        self.count += 1;
        let request = Request { kind, took_us, end: at.max(sent), claimed: timings.claimed };
        self.answered.insert((sent, self.count), request);
    }

    fn settle(&mut self, until: Timestamp) {
        while let Some(first) = self.answered.first_entry()
            && first.key().0 < until
        {
            let ((sent, _), request) = first.remove_entry();
            self.send(sent, request);
        }
    }

    /// Looks at the next request, in the order in which they were sent.
    fn send(&mut self, sent: Timestamp, request: Request) {
        let Request { kind, took_us, end, claimed } = request;
        let lane = self.lanes.entry(kind.backend.clone()).or_default();
        let since = lane.latest.as_ref().map(|(_, at)| *at);
        if self.resumed.iter().any(|at| since.is_some_and(|since| since < *at) && *at <= sent) {
            *lane = Lane::default();
        }
        lane.flying.retain(|(_, end)| *end > sent);
        let load = lane.flying.len() + 1;
        let before = lane.latest.replace((Arc::clone(&kind.model), sent)).map(|(model, _)| model);
        lane.flying.push((Arc::clone(&kind.model), end));
        if before.as_ref() != Some(&kind.model) {
            let others = || lane.flying.iter().filter(|(model, _)| *model != kind.model);
            let over = others().map(|(_, end)| end.micros_since(sent)).max().unwrap_or(0);
            let until = Timestamp(sent.0.saturating_add(i64::try_from(took_us).unwrap_or(i64::MAX)));
            lane.loading = Some((Arc::clone(&kind.model), until, self.found.each.len()));
            if self.found.each.len() == MOST {
                self.found.more += 1;
                return;
            }
            self.found.each.push(Switch {
                at: sent,
                others: others().count() as u64,
                backend: kind.backend,
                from: before,
                to: kind.model,
                step: kind.step,
                streamed: kind.streamed,
                took_s: seconds(took_us),
                together: 0,
                others_s: seconds(over),
                claimed,
                usual: None,
                load,
            });
            return;
        }
        match &lane.loading {
            Some((model, until, place)) if *model == kind.model && sent < *until => {
                if let Some(switch) = self.found.each.get_mut(*place) {
                    switch.together += 1;
                }
            }
            _ => {
                let row = self.usual.entry(kind).or_default();
                if row.len() == KEPT {
                    row.pop_front();
                }
                row.push_back((load, took_us));
            }
        }
    }

    /// Ends: nothing follows. Says of each switch what is usual, where enough requests tell.
    #[must_use]
    pub fn finish(mut self) -> Switched {
        self.settle(Timestamp(i64::MAX));
        self.found.requests = self.count;
        for switch in &mut self.found.each {
            let kind = Kind {
                backend: switch.backend.clone(),
                model: Arc::clone(&switch.to),
                step: switch.step.clone(),
                streamed: switch.streamed,
            };
            let alike = |load: usize| load * 2 >= switch.load && load <= switch.load * 2;
            let row = self.usual.get(&kind).into_iter().flatten();
            let mut took: Vec<u64> = row.filter(|(load, _)| alike(*load)).map(|(_, took)| *took).collect();
            took.sort_unstable();
            let quartile = |number: usize| seconds(took[(took.len() - 1) * number / 4]);
            switch.usual = (took.len() >= ENOUGH).then(|| Usual {
                median_s: quartile(2),
                spread_s: quartile(3) - quartile(1),
                requests: took.len(),
            });
        }
        self.found
    }
}

#[expect(clippy::cast_precision_loss, reason = "times of a run, far below 2^52 microseconds")]
const fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{AttemptNo, CallPath, CaseNo, Digest};
    use crate::event::{Answer, AttemptStarted, Facts, FinishReason, RunResumed, Timings, Usage};

    /// Requests in milliseconds: when it was sent, the model, until its first piece (0: not streamed), until its end.
    type Asked<'a> = (i64, &'a str, i64, i64);

    const CLAIMED: Claimed =
        Claimed { load_us: None, prompt_us: Some(30_000), answer_us: Some(50_000), memory: None };

    fn events(asked: &[Asked<'_>], claimed: Option<Claimed>) -> Vec<Recorded> {
        let mut events = Vec::new();
        for (case, (sent, model, first, end)) in asked.iter().enumerate() {
            let id = AttemptId {
                case: CaseNo(case as u64),
                step: "ask".into(),
                each: None,
                call: CallPath::from("say"),
                attempt: AttemptNo(1),
            };
            let started = AttemptStarted { id: id.clone(), actor: "a".into(), backend: "local".into() };
            events.push(Recorded { at: Timestamp(sent * 1_000), event: Event::AttemptStarted(started) });
            let micros = |ms: &i64| u64::try_from(ms * 1_000).unwrap();
            let ended = AttemptEnded {
                estimated: Usage::default(),
                id,
                request: Vec::new(),
                outcome: Outcome::Answered(Answer {
                    prompt_about: None,
                    reason: None,
                    thought: None,
                    text: Digest::of(b""),
                    finish: FinishReason::Stop,
                    model: Some((*model).to_owned()),
                    id: None,
                    facts: Facts::default(),
                }),
                usage: Usage::default(),
                timings: Timings {
                    queued_us: 0,
                    first_token_us: (*first > 0).then(|| micros(first)),
                    total_us: micros(end),
                    claimed,
                },
                charged: true,
                retry_at: None,
                from_cache: None,
            };
            events.push(Recorded { at: Timestamp((sent + end) * 1_000), event: Event::AttemptEnded(ended) });
        }
        events.sort_by_key(|recorded| recorded.at);
        events
    }

    fn found(events: &[Recorded]) -> Switched {
        let mut switches = Switches::default();
        events.iter().for_each(|recorded| switches.event(recorded));
        switches.finish()
    }

    /// One after the other, `count` of them, 100 ms until the first piece and 200 in all.
    fn usual(from: i64, model: &str, count: i64) -> Vec<Asked<'_>> {
        (0..count).map(|number| (from + number * 300, model, 100, 200)).collect()
    }

    #[test]
    fn what_a_switch_took_more_than_usual_is_the_loading() {
        let mut asked = vec![(0, "a", 2_100, 2_200)];
        asked.extend(usual(3_000, "a", 4));
        asked.push((10_000, "b", 700, 800));
        asked.extend(usual(11_000, "b", 4));
        let switched = found(&events(&asked, None));
        let [first, second] = &switched.each[..] else { panic!("{switched:?}") };
        assert_eq!((first.from.as_deref(), &*first.to, first.streamed), (None, "a", true));
        assert_eq!((second.from.as_deref(), &*second.to, second.at), (Some("a"), "b", Timestamp(10_000_000)));
        assert_eq!(first.usual, Some(Usual { median_s: 0.1, spread_s: 0.0, requests: 4 }));
        for (switch, loading) in [(first, 2.0), (second, 0.6)] {
            assert!((switch.loading_s().unwrap() - loading).abs() < 1e-9, "{switch:?}");
            assert_eq!((switch.queued_s(), switch.others, switch.lay_s()), (Some(0.0), 0, None));
        }
    }

    #[test]
    fn what_the_backend_still_did_for_others_is_a_queue_and_who_waits_too_is_no_measure() {
        let mut asked = usual(0, "a", 4);
        // Two of a are under way until 2,000 and 2,500 when b is asked for, three times at once.
        asked.extend([(1_900, "a", 50, 100), (1_950, "a", 50, 550)]);
        asked.extend([(2_000, "b", 1_600, 1_700), (2_010, "b", 1_590, 1_690), (2_020, "b", 1_580, 1_680)]);
        // Later as many at once.
        for from in [5_000, 6_000] {
            asked.extend([(from, "b", 100, 200), (from + 10, "b", 100, 200), (from + 20, "b", 100, 200)]);
        }
        let switched = found(&events(&asked, Some(CLAIMED)));
        let switch = switched.each.last().unwrap();
        assert_eq!((&*switch.to, switch.together, switch.others), ("b", 2, 1));
        // With two in flight at the switch, one to four count as the same load.
        assert_eq!(switch.usual.map(|usual| usual.requests), Some(6));
        let near = |told: Option<f64>, expected: f64| assert!((told.unwrap() - expected).abs() < 1e-9, "{switch:?}");
        near(switch.beyond_s(), 1.5);
        near(switch.queued_s(), 0.5);
        near(switch.loading_s(), 1.0);
        // The server read the prompt for 30 ms: before that the request lay.
        near(switch.lay_s(), 1.57);
    }

    #[test]
    fn what_the_server_worked_longer_is_no_loading() {
        // 250 ms more than usual, of which the server read the prompt for all but 5.
        let mut asked = vec![(0, "a", 350, 400)];
        asked.extend(usual(3_000, "a", 4));
        let claimed = Claimed { prompt_us: Some(345_000), ..CLAIMED };
        let switched = found(&events(&asked, Some(claimed)));
        let switch = &switched.each[0];
        assert!((switch.beyond_s().unwrap() - 0.25).abs() < 1e-9, "{switch:?}");
        assert!((switch.loading_s().unwrap() - 0.005).abs() < 1e-9, "{switch:?}");
    }

    #[test]
    fn what_nobody_can_compare_has_no_number() {
        // Two others are too few, whole answers are not held against first pieces, other loads not against this one.
        let mut few = vec![(0, "a", 2_000, 2_100)];
        few.extend(usual(3_000, "a", 2));
        let mut whole = vec![(0, "a", 0, 2_100)];
        whole.extend(usual(3_000, "a", 5));
        let mut loaded = vec![(0, "a", 2_000, 2_100)];
        loaded.extend((0..8).map(|number| (3_000 + number, "a", 900, 1_000)));
        loaded.truncate(9);
        for (asked, requests) in [(few, None), (whole, None)] {
            let switched = found(&events(&asked, None));
            let switch = &switched.each[0];
            assert_eq!(
                (switch.usual.map(|usual| usual.requests), switch.loading_s()),
                (requests, None),
                "{switch:?}"
            );
        }
        let switched = found(&events(&loaded, None));
        // Of eight at once, only the first two were sent with one or two in flight.
        assert_eq!(switched.each[0].usual, None, "{switched:?}");
        // A little more than usual is chance.
        let mut chance = vec![(0, "a", 105, 200)];
        chance.extend(usual(3_000, "a", 5));
        let switched = found(&events(&chance, None));
        assert!(switched.each[0].usual.is_some() && switched.each[0].beyond_s().is_none(), "{switched:?}");
    }

    #[test]
    fn a_process_that_goes_on_begins_anew() {
        let mut log = events(&usual(0, "a", 3), None);
        let later = usual(5_000, "a", 2);
        let resumed = RunResumed {
            segment: 1,
            version: String::new(),
            backends: Vec::new(),
            cases: None,
            parent: None,
            provenance: None,
        };
        log.push(Recorded { at: Timestamp(4_000_000), event: Event::RunResumed(resumed) });
        // Cases go on with their numbers; only their times matter here.
        log.extend(events(&later, None));
        let switched = found(&log);
        let at: Vec<i64> = switched.each.iter().map(|switch| switch.at.0 / 1_000).collect();
        assert_eq!((at, switched.each[1].from.as_deref()), (vec![0, 5_000], None));
    }
}
