//! When a run has seen enough: one case after the other along the order of admission, whatever the order in which they
//! are over. The first position at which the condition holds is final.

use std::collections::BTreeMap;

use super::call::{Effect, Observe, Step};
use super::frontier;
use super::state::RunState;
use super::step::Engine;
use crate::base::CaseNo;
use crate::event::{CaseSettled, CaseStatus, Event, Observation, SnapCounts, SnapPrefix, StopCause, StopReached};
use crate::plan::{Condition, Evidence, Ground, Lead, Plan, StepIdx, decided};

/// Values that are told apart; more have no majority that anybody could use, and would fill memory.
const MOST_VALUES: usize = 1_000;
/// Cases that may be over ahead of the one that is looked at next: memory depends on it.
pub(super) const MOST_AHEAD: u64 = 4_096;

/// The cases that have been looked at: a prefix of the order of admission.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prefix {
    judged: u64,
    waiting: BTreeMap<CaseNo, Vec<Option<Observation>>>,
    counts: Vec<Counts>,
    met: Option<StopReached>,
    told: bool,
}

/// How often each value was found.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counts {
    values: BTreeMap<String, u64>,
    others: u64,
}

impl Counts {
    fn add(&mut self, observation: &Observation) {
        let value = match observation {
            Observation::Truth(holds) => holds.to_string(),
            Observation::Number(number) => number.to_string(),
            Observation::Label(label) => label.clone(),
            Observation::Unclear(_) => return,
        };
        if let Some(count) = self.values.get_mut(&value) {
            *count += 1;
        } else if self.values.len() < MOST_VALUES {
            self.values.insert(value, 1);
        } else {
            self.others += 1;
        }
    }
}

impl Prefix {
    /// Returns the condition that holds, with the case from which on.
    pub(super) const fn met(&self) -> Option<&StopReached> {
        self.met.as_ref()
    }

    pub(super) const fn judged(&self) -> u64 {
        self.judged
    }

    pub(super) const fn is_told(&self) -> bool {
        self.met.is_none() || self.told
    }

    /// Takes a case that is over by its place in a row, and looks at all that are now in a row. Of so many in all, where
    /// that is known.
    pub(super) fn settle(
        &mut self,
        (plan, evidence): (&Plan, &Evidence),
        place: CaseNo,
        observed: &[Option<Observation>],
        all: Option<u64>,
    ) {
        if self.met.is_some() {
            return;
        }
        self.waiting.insert(place, observed.to_vec());
        while let Some(observed) = self.waiting.remove(&CaseNo(self.judged)) {
            let case = CaseNo(self.judged);
            self.judged += 1;
            self.counts.resize_with(evidence.observed.len(), Counts::default);
            for (counts, found) in self.counts.iter_mut().zip(&observed) {
                if let Some(found) = found {
                    counts.add(found);
                }
            }
            // At the last case nothing is left to be saved, and nothing to be decided.
            let left = all.map(|all| all.saturating_sub(self.judged)).filter(|&left| left > 0);
            if let Some(met) = self.look(plan, evidence, case, &observed, left) {
                self.met = Some(met);
                self.waiting.clear();
                self.counts.clear();
            }
            if self.met.is_some() {
                return;
            }
        }
    }

    fn look(
        &self,
        plan: &Plan,
        evidence: &Evidence,
        case: CaseNo,
        observed: &[Option<Observation>],
        left: Option<u64>,
    ) -> Option<StopReached> {
        let part = |part: &Condition| match part {
            Condition::Holds(place) => match observed.get(*place) {
                Some(Some(Observation::Truth(holds))) => Some(*holds),
                _ => None,
            },
            Condition::Decided(place) => {
                let leads = left.and_then(|left| decided_of(&self.counts[*place], left));
                Some(leads.is_some())
            }
            Condition::Any(_) | Condition::All(_) | Condition::Not(_) => None,
        };
        evidence.condition.holds(&part).filter(|holds| *holds)?;
        let mut words: Vec<String> = Vec::new();
        let mut condition = "expr";
        for found in evidence.condition.parts() {
            match (found, part(found)) {
                (Condition::Holds(place), Some(holds)) => {
                    let verb = if holds { "holds" } else { "does not hold" };
                    words.push(format!("{} {verb} in case {case}", source(plan, evidence, *place)));
                }
                (Condition::Decided(place), Some(true)) => {
                    condition = "decided";
                    let left = left.unwrap_or_default();
                    let leads = decided_of(&self.counts[*place], left);
                    let leads = leads
                        .map(|leads| format!("{}: {leads} with {left} cases left", source(plan, evidence, *place)));
                    words.extend(leads);
                }
                _ => {}
            }
        }
        Some(StopReached { condition: condition.to_owned(), evidence: words.join(", "), case: Some(case) })
    }

    pub(super) const fn tell(&mut self) {
        self.told = true;
    }

    pub(super) fn snapshot(&self) -> Option<SnapPrefix> {
        if *self == Self::default() {
            return None;
        }
        let counts = self.counts.iter().map(|counts| SnapCounts {
            values: counts.values.iter().map(|(value, &count)| (value.clone(), count)).collect(),
            others: counts.others,
        });
        Some(SnapPrefix {
            judged: self.judged,
            waiting: self.waiting.iter().map(|(&case, observed)| (case, observed.clone())).collect(),
            counts: counts.collect(),
            met: self.met.clone(),
            told: self.told,
        })
    }

    pub(super) fn restore(stored: Option<SnapPrefix>) -> Self {
        let Some(SnapPrefix { judged, waiting, counts, met, told }) = stored else { return Self::default() };
        let counts = counts
            .into_iter()
            .map(|SnapCounts { values, others }| Counts { values: values.into_iter().collect(), others });
        Self { judged, waiting: waiting.into_iter().collect(), counts: counts.collect(), met, told }
    }
}

/// Says what leads, when the cases that are left cannot change it.
fn decided_of(counts: &Counts, left: u64) -> Option<String> {
    let Lead { first: (value, most), next } = decided(&counts.values, counts.others, left)?;
    let next = next.map(|(value, count)| format!(" before {value} {count}")).unwrap_or_default();
    Some(format!("{value} {most}{next}"))
}

fn source<'a>(plan: &'a Plan, evidence: &Evidence, place: usize) -> &'a str {
    plan.templates.expression(evidence.observed[place].expr)
}

impl Engine {
    /// Stops the run at the first position at which it has seen enough.
    pub(super) fn enough(&mut self, step: &mut Step) {
        let Some(met) = self.state.prefix.met().cloned().filter(|_| !self.flow.finished) else { return };
        if !self.state.prefix.told {
            self.record(step, Event::StopReached(met.clone()));
        }
        if self.flow.stopping.is_none() {
            self.stop(step, StopCause::Condition(met));
        }
    }

    /// Settles a case of which every task is settled: at once, or when it is known what is to be seen in it.
    pub(super) fn settle_case(&mut self, step: &mut Step, case: CaseNo, status: CaseStatus) {
        let plan = std::sync::Arc::clone(&self.plan);
        let repeat = self.state.open[&case].repeat;
        let is_beyond = match &plan.repeats {
            Some(_) => self.state.repeats.is_beyond(case, repeat),
            None => self.state.prefix.met().is_some(),
        };
        if plan.looked_at().is_none() || is_beyond {
            self.record(step, Event::CaseSettled(CaseSettled { case, status, observed: Vec::new() }));
            return;
        }
        if self.flow.stopping.is_some() || !self.flow.observing.insert(case) {
            return;
        }
        let ground = self.ground_of_case(case);
        step.effects.push(Effect::Observe(Box::new(Observe { case, ground })));
    }

    /// Takes what was seen in a case in; a report that nobody waits for is counted and dropped.
    pub(super) fn observed(&mut self, step: &mut Step, case: CaseNo, observed: Vec<Option<Observation>>) {
        if !self.flow.observing.remove(&case) {
            self.flow.late += 1;
            return;
        }
        let Some(open) = self.state.open.get(&case) else { return };
        let repeat = open.repeat;
        if let Some(status) = frontier::case_status(open) {
            self.record(step, Event::CaseSettled(CaseSettled { case, status, observed }));
            self.repeated(step, case, repeat);
        }
    }

    fn ground_of_case(&self, number: CaseNo) -> Ground {
        let case = &self.state.open[&number];
        let evidence = self.plan.cell(case.cell).looked_at();
        let reads = evidence.into_iter().flat_map(|evidence| &evidence.reads);
        Ground {
            case: number,
            repeat: case.repeat,
            cell: case.cell,
            row: case.row,
            // A case as a whole belongs to no step; the name of one is only asked for where a step fails.
            step: StepIdx(0),
            each: None,
            inputs: reads.filter_map(|&read| Some((read, std::sync::Arc::clone(case.settled(read)?)))).collect(),
        }
    }
}

impl RunState {
    /// Returns how many more cases may be admitted, so that few are over ahead of one that is not.
    pub(super) fn room_ahead(&self, plan: &Plan) -> u64 {
        match (&plan.evidence, &plan.repeats) {
            (Some(_), _) => MOST_AHEAD.saturating_sub(self.cases.admitted.saturating_sub(self.prefix.judged())),
            (None, Some(_)) => self.repeats.room_ahead(),
            (None, None) => u64::MAX,
        }
    }

    /// Returns how many cases of the input were admitted or passed over: where a resume goes on reading.
    #[must_use]
    pub const fn passed(&self, plan: &Plan) -> u64 {
        if plan.repeats.is_some() { self.repeats.passed() } else { self.cases.admitted }
    }
}
