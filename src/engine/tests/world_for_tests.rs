//! A plan and a world that answers as it likes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::*;
use super::given::{Draws, begun};
use super::plan_for_tests::{cell_of, plan};
use crate::base::{CaseNo, Digest, Hasher, ItemId, Millis, RunId, Timestamp, TokenCount};
use crate::event::{
    Answer, CaseReopened, CountTable, Element, Evaluation, Event, Facts, Failure, FailureKind, FinishReason,
    FromCache, Observation, Outcome, Recorded, Report, RunOutcome, RunResumed, RunTuned, StopCause, TaskAdopted,
    TaskOutput, TimeoutPhase, Timings, Unscored, Usage, Verdict,
};
use crate::plan::{Aggregate, BackendIdx, Ballot, Call, Ground, Inquiry, Place, Plan, StepIdx, StepKind};
use std::num::NonZeroU32;

pub(super) const ITEMS: u64 = 12;
pub(super) const SLOTS: [u32; 2] = [3, 2];

/// What a backend answers: a pure function of what decides the prompt.
pub(super) fn answer(place: &Place) -> Outcome {
    let mut prompt = Hasher::new("world")
        .field(place.item.as_str().as_bytes())
        .number(place.step.0 as u64)
        .field(place.call.path().as_str().as_bytes());
    if place.repeat > 1 {
        prompt = prompt.number(u64::from(place.repeat));
    }
    if let Some(each) = &place.each {
        prompt = prompt.field(each.key.as_str().as_bytes());
    }
    for turn in &place.turns {
        prompt = prompt.field(turn.text.as_bytes());
    }
    let is_repair = matches!(
        place.call,
        Call::Repair(_) | Call::Vote(Ballot { repair: 1.., .. }) | Call::Ask(Inquiry { repair: 1.., .. })
    );
    assert_eq!(place.mended.is_some(), is_repair, "who asks to mend shows what: {:?}", place.call);
    if let Some(mended) = &place.mended {
        prompt = prompt.field(mended.answer.as_bytes());
    }
    for (_, input) in &place.inputs {
        prompt = prompt.field(format!("{:?}{:?}", input.status, input.output).as_bytes());
    }
    let digest = prompt.finish();
    let draw = digest.low_bits();
    if draw % 40 == 7 {
        return Outcome::Failed(Failure::new(FailureKind::Refused, "not this one"));
    }
    let has_form = matches!(place.call, Call::Vote(_) | Call::Ask(_)) || place.step == StepIdx(1);
    let is_unreadable = has_form && draw % 5 == 2;
    let verdict = match place.call {
        Call::Vote(_) | Call::Ask(_) if is_unreadable => Some(Verdict::Unscored(Unscored::Unreadable)),
        Call::Vote(_) if place.step == StepIdx(4) => {
            Some(Verdict::Score(f64::from(u8::try_from(draw % 5).expect("below 5")) + 1.0))
        }
        Call::Vote(_) => Some(Verdict::Choice(if draw.is_multiple_of(3) { "con" } else { "pro" }.to_owned())),
        Call::Ask(inquiry) => {
            assert_eq!(place.turns.len(), 2 * inquiry.round as usize, "asked right after its round");
            Some(Verdict::Choice(if draw.is_multiple_of(4) { "over" } else { "open" }.to_owned()))
        }
        Call::Say | Call::Repair(_) | Call::Turn(_) => None,
    };
    let invalid = is_unreadable.then(|| "no".to_owned());
    let facts = Facts {
        says: vec![draw % 7 == 1],
        captures: vec![Some(Digest::of(&[u8::try_from(draw % 5).expect("below 5")]))],
        about_tokens: u32::try_from(draw % 11).expect("below 11"),
        verdict,
        invalid,
        ..Facts::default()
    };
    Outcome::Answered(Answer {
        prompt_about: None,
        reason: None,
        thought: None,
        text: digest,
        finish: FinishReason::Stop,
        model: None,
        id: None,
        facts,
    })
}

/// What is found out without a model: a pure function of what decides it.
pub(super) fn evaluation(evaluate: &Evaluate) -> Evaluation {
    let ground = &evaluate.ground;
    let mut asked = Hasher::new("found").number(place_of(ground)).number(ground.step.0 as u64);
    for (_, input) in &ground.inputs {
        asked = asked.field(format!("{:?}{:?}", input.status, input.output).as_bytes());
    }
    let digest = asked.finish();
    let draw = digest.low_bits();
    let element = |number: u64| Element { key: format!("part {number}").into(), value: digest };
    match (evaluate.question, ground.step.0) {
        (Question::Opening, 5) => {
            Evaluation::Opened { holds: true, each: Some((0..draw % 4).map(element).collect()) }
        }
        (Question::Opening, _) => Evaluation::Opened { holds: draw.is_multiple_of(2), each: None },
        (Question::Gather, _) => unreachable!("the world gathers what its log says"),
        (Question::Work, _) if draw % 12 == 5 => Evaluation::Failed(Failure::new(FailureKind::Render, "no")),
        (Question::Work, _) => Evaluation::Done(TaskOutput::Value { value: digest }),
    }
}

/// Returns where a case stands in the input: its number, unless some before it were passed over.
fn place_of(ground: &Ground) -> u64 {
    (0..ITEMS).find(|place| ground.row == Digest::of(&place.to_le_bytes())).expect("each row is one of them")
}

/// What is seen in a case that is over: a pure function of what decides it.
pub(super) fn observation(observe: &Observe) -> Vec<Option<Observation>> {
    let mut seen = Hasher::new("seen").number(place_of(&observe.ground));
    for (_, input) in &observe.ground.inputs {
        seen = seen.field(format!("{:?}{:?}", input.status, input.output).as_bytes());
    }
    let draw = seen.finish().low_bits();
    let value = match draw / 16 % 6 {
        0 => None,
        1 => Some(Observation::Unclear("no".to_owned())),
        2 => Some(Observation::Label("con".to_owned())),
        _ => Some(Observation::Label("pro".to_owned())),
    };
    vec![(!draw.is_multiple_of(16)).then_some(Observation::Truth(draw.is_multiple_of(7))), value]
}

pub(super) fn report(outcome: Outcome) -> Box<Report> {
    Box::new(Report {
        estimated: Usage::default(),
        request: Vec::new(),
        dropped_turns: 0,
        outcome,
        usage: Usage::default(),
        timings: Timings::default(),
        from_cache: None,
    })
}

pub(super) struct World {
    pub(super) plan: Arc<Plan>,
    /// The same within other limits, to be tuned to.
    pub(super) other: Option<Arc<Plan>>,
    pub(super) engine: Engine,
    pub(super) now: Timestamp,
    /// Durable.
    pub(super) log: Vec<Recorded>,
    /// Not durable yet, with what waits for it.
    pub(super) pending: Vec<Step>,
    pub(super) calls: Vec<StartCall>,
    pub(super) evaluations: Vec<Evaluate>,
    pub(super) observations: Vec<Observe>,
    /// How often each item is repeated at most, and how many cases were offered since the process began.
    pub(super) repeats: u32,
    pub(super) offered: u64,
    pub(super) failures: BTreeMap<Key, u32>,
    pub(super) finished: Option<RunOutcome>,
    pub(super) draws: Draws,
    pub(super) checkpoints: Vec<(usize, crate::event::Snapshot)>,
    pub(super) sends: u64,
    /// What another run has settled, by case.
    pub(super) known: BTreeMap<u64, Vec<TaskAdopted>>,
    /// While it is there, some calls are refused, drawn from it.
    pub(super) refuses: Option<u64>,
}

pub(super) fn options() -> Options {
    Options { slots: SLOTS.to_vec(), grace: Millis::seconds(30) }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self::of(plan(), seed)
    }

    pub(super) fn of(plan: Arc<Plan>, seed: u64) -> Self {
        let engine = Engine::new(Arc::clone(&plan), options());
        let mut world = Self {
            plan,
            other: None,
            engine,
            now: Timestamp(0),
            log: Vec::new(),
            pending: Vec::new(),
            calls: Vec::new(),
            evaluations: Vec::new(),
            observations: Vec::new(),
            repeats: 1,
            offered: 0,
            failures: BTreeMap::new(),
            finished: None,
            draws: Draws(seed),
            checkpoints: Vec::new(),
            sends: 0,
            known: BTreeMap::new(),
            refuses: None,
        };
        world.give(begun());
        world
    }

    /// A world in which each item comes as often as the plan repeats it at most.
    pub(super) fn repeating(plan: Arc<Plan>, seed: u64) -> Self {
        let repeats = plan.repeat.get();
        Self { repeats, ..Self::of(plan, seed) }
    }

    pub(super) fn give(&mut self, input: Input) {
        let step = self.engine.step(self.now, input);
        self.engine.check().expect("invariants hold after every step");
        self.pending.push(step);
    }

    pub(super) fn commit(&mut self) {
        for step in std::mem::take(&mut self.pending) {
            self.log.extend(step.events);
            for effect in step.effects {
                match effect {
                    Effect::StartCall(start) => {
                        self.sends += 1;
                        self.calls.push(*start);
                    }
                    Effect::Evaluate(evaluate) => self.evaluations.push(*evaluate),
                    Effect::Observe(observe) => self.observations.push(*observe),
                    Effect::CancelCall(ticket, why) => self.give_back(why, |call| call.ticket == ticket),
                    Effect::RecallUnsent => self.give_back(FailureKind::Cancelled, |_| false),
                    // The world works on all that it is given.
                    Effect::Resize(..) => {}
                    Effect::Finish(outcome) => self.finished = Some(outcome),
                }
            }
        }
    }

    pub(super) fn give_back(&mut self, why: FailureKind, which: impl Fn(&StartCall) -> bool) {
        while let Some(place) = self.calls.iter().position(&which) {
            let call = self.calls.remove(place);
            self.give(Input::Returned(call.ticket, report(Outcome::Failed(Failure::new(why, "asked to")))));
        }
    }

    pub(super) fn admit(&mut self) {
        for _ in 0..self.engine.wants_cases() {
            let next = self.offered;
            if next == ITEMS {
                self.give(Input::SourceEnded);
                return;
            }
            self.offered += 1;
            let (group, repeat) = (next / u64::from(self.repeats), next % u64::from(self.repeats));
            let item = ItemId::from(format!("item-{group}"));
            let adopted = self.known.get(&next).cloned().unwrap_or_default();
            self.give(Input::Offer(vec![Offered {
                item,
                repeat: u32::try_from(repeat).expect("small") + 1,
                cell: cell_of(group),
                row: Digest::of(&next.to_le_bytes()),
                adopted,
            }]));
        }
    }

    pub(super) fn answer_one(&mut self, disturbed: bool) {
        if !self.evaluations.is_empty() {
            return self.evaluate_one(disturbed);
        }
        if !self.observations.is_empty() {
            return self.observe_one(disturbed);
        }
        if self.calls.is_empty() {
            return;
        }
        let which = if disturbed { self.draws.below(self.calls.len()) } else { 0 };
        let call = self.calls.remove(which);
        self.give(Input::Sent(call.ticket));
        let outcome = match disturbed.then(|| self.trouble(&call)).flatten() {
            Some(failure) => Outcome::Failed(failure),
            None if self.refused(&call) => Outcome::Failed(Failure::new(FailureKind::Refused, "not now")),
            None => answer(&call.place),
        };
        let twice = disturbed && self.draws.below(5) == 0;
        let mut told = report(outcome.clone());
        // A dialogue counts its turns by their length: here no server counts them.
        if !matches!((&outcome, call.place.call), (Outcome::Failed(_), _) | (_, Call::Turn(_))) {
            told.usage.input = Some(TokenCount(20));
            told.usage.output = Some(TokenCount(10));
        }
        if disturbed && matches!(outcome, Outcome::Answered(_)) && self.draws.below(4) == 0 {
            // Taken from the cache, it tells its task the same, and the run that nothing was spent.
            let usage = std::mem::take(&mut told.usage);
            told.from_cache =
                Some(Box::new(FromCache { run: RunId::from("before"), case: CaseNo(0), usage, total_us: 0 }));
        }
        self.give(Input::Returned(call.ticket, told));
        if twice {
            // Whatever comes a second time must change nothing.
            let before = self.engine.state().clone();
            self.give(Input::Returned(call.ticket, report(outcome)));
            assert_eq!(before, *self.engine.state());
        }
    }

    fn refused(&self, call: &StartCall) -> bool {
        let draw = |seed| {
            let drawn =
                Hasher::new("refused").number(seed).number(call.place.case.0).number(call.place.step.0 as u64);
            drawn.field(call.place.call.path().as_str().as_bytes()).finish().low_bits()
        };
        self.refuses.is_some_and(|seed| draw(seed).is_multiple_of(5))
    }

    /// Asks again what `again` names; returns how many tasks.
    pub(super) fn retry(&mut self, again: &Again) -> usize {
        let mut histories: BTreeMap<CaseNo, History> = BTreeMap::new();
        for recorded in &self.log {
            if let Some(case) = recorded.event.case() {
                let plan = Arc::clone(&self.plan);
                histories.entry(case).or_default().add(&plan, recorded).expect("events of the plan");
            }
        }
        let cases: Vec<_> = histories.values().filter_map(|history| history.reopened(&self.plan, again)).collect();
        let tasks = cases.iter().map(|case| case.former.len()).sum();
        self.restart(cases);
        tasks
    }

    pub(super) fn evaluate_one(&mut self, disturbed: bool) {
        let which = if disturbed { self.draws.below(self.evaluations.len()) } else { 0 };
        let evaluate = self.evaluations.remove(which);
        let found = match evaluate.question {
            Question::Gather => self.gathered(&evaluate.ground),
            Question::Opening | Question::Work => evaluation(&evaluate),
        };
        self.give(Input::Evaluated(evaluate.key, Box::new(found.clone())));
        if disturbed && self.draws.below(5) == 0 && !self.asks_again(evaluate.key) {
            // Whatever comes a second time must change nothing.
            let before = self.engine.state().clone();
            self.give(Input::Evaluated(evaluate.key, Box::new(found)));
            assert_eq!(before, *self.engine.state());
        }
    }

    /// What every case of a cell came to, as the journal tells it when that is asked: all of them are over.
    fn gathered(&self, ground: &Ground) -> Evaluation {
        let StepKind::Aggregate(Aggregate { of, .. }) = &self.plan.cell(ground.cell).step(ground.step).kind else {
            panic!("only aggregates gather");
        };
        let settled = self.log.iter().filter(|recorded| {
            matches!(&recorded.event, Event::CaseSettled(event) if event.case.0 < self.engine.state().cases.admitted)
        });
        assert_eq!(settled.count() as u64, self.engine.state().cases.admitted, "every case is over, on disk");
        let mut found = BTreeMap::new();
        for recorded in &self.log {
            if let Event::TaskSettled(task) | Event::TaskAdopted(TaskAdopted { task, .. }) = &recorded.event
                && task.step == of.name
                && task.case.0 < ITEMS
                && self.plan.home_of(ground.cell) == cell_of(task.case.0)
            {
                found.insert(task.case, format!("{:?}{:?}", task.status, task.output));
            }
        }
        assert!(found.len() <= 6 && (found.len() == 6 || self.engine.state().cases.admitted < ITEMS), "half of them");
        let mut gathered = Hasher::new("gathered");
        for (case, output) in &found {
            gathered = gathered.number(case.0).field(output.as_bytes());
        }
        for (_, input) in &ground.inputs {
            gathered = gathered.field(format!("{:?}{:?}", input.status, input.output).as_bytes());
        }
        let draw = gathered.finish().low_bits();
        let counted = CountTable { n: draw % 1_000, ..CountTable::default() };
        match of.name.as_str() {
            "grade" => Evaluation::Failed(Failure::new(FailureKind::Render, format!("no {}", draw % 1_000))),
            _ => Evaluation::Done(TaskOutput::Table(Box::new(counted))),
        }
    }

    pub(super) fn observe_one(&mut self, disturbed: bool) {
        let which = if disturbed { self.draws.below(self.observations.len()) } else { 0 };
        let observe = self.observations.remove(which);
        let found = observation(&observe);
        self.give(Input::Observed(observe.case, found.clone()));
        if disturbed && self.draws.below(5) == 0 {
            // Whatever comes a second time must change nothing.
            let before = self.engine.state().clone();
            self.give(Input::Observed(observe.case, found));
            assert_eq!(before, *self.engine.state());
        }
    }

    /// After its condition a task without a model is evaluated under the same name.
    pub(super) fn asks_again(&self, key: TaskKey) -> bool {
        let effects = self.pending.iter().flat_map(|step| &step.effects);
        effects.into_iter().any(|effect| matches!(effect, Effect::Evaluate(evaluate) if evaluate.key == key))
    }

    /// A failure that does not last: at most two that count for each call.
    pub(super) fn trouble(&mut self, call: &StartCall) -> Option<Failure> {
        let failures = self.failures.entry(call.ticket.key).or_default();
        if *failures >= 2 || self.draws.below(4) != 0 {
            return None;
        }
        *failures += 1;
        let kinds = [
            FailureKind::Throttled,
            FailureKind::Overloaded,
            FailureKind::Loading,
            FailureKind::TimedOut(TimeoutPhase::Idle),
            FailureKind::Unreachable,
            FailureKind::CutOff,
            FailureKind::Malformed,
            FailureKind::FormatUnsupported,
        ];
        let mut failure = Failure::new(kinds[self.draws.below(kinds.len())], "for a while");
        if failure.kind == FailureKind::Throttled && self.draws.below(2) == 0 {
            failure.retry_after_ms = Some(self.draws.below(5_000) as u64);
        }
        if failure.kind == FailureKind::FormatUnsupported
            && call.place.lacks.has(crate::event::Feature::ResponseFormat)
        {
            failure.kind = FailureKind::CutOff;
        }
        Some(failure)
    }

    pub(super) fn crash(&mut self) {
        self.restart(Vec::new());
    }

    fn restart(&mut self, reopened: Vec<CaseReopened>) {
        self.pending.clear();
        self.calls.clear();
        self.evaluations.clear();
        self.observations.clear();
        let mut replay = Replay::from_zero(Arc::clone(&self.plan));
        for recorded in &self.log {
            replay.apply(recorded).expect("a journal replays");
        }
        for (upto, snapshot) in &self.checkpoints {
            let mut shorter =
                Replay::from_checkpoint(Arc::clone(&self.plan), snapshot.clone()).expect("a checkpoint restores");
            for recorded in &self.log[*upto..] {
                shorter.apply(recorded).expect("a journal replays");
            }
            assert_eq!(shorter.state(), replay.state(), "replay from zero equals every checkpoint");
        }
        let segment = replay.state().segment + 1;
        self.engine = replay.engine(options());
        self.offered = self.engine.state().passed(&self.plan);
        let resumed = RunResumed {
            segment,
            version: "0".to_owned(),
            backends: Vec::new(),
            cases: None,
            parent: None,
            provenance: None,
        };
        self.finished = None;
        if self.log.is_empty() {
            self.engine = Engine::new(Arc::clone(&self.plan), options());
            self.give(begun());
        } else {
            self.give(match reopened.is_empty() {
                true => Input::Resume(Box::new(resumed)),
                false => Input::Retry(Box::new(resumed), reopened),
            });
        }
    }

    pub(super) fn tick(&mut self) {
        if let Some(at) = self.engine.next_wakeup() {
            self.now = self.now.max(at);
            self.give(Input::Tick);
        }
    }

    /// Goes on by the other plan, if there is one; this one is the other then.
    pub(super) fn tune(&mut self) {
        if let Some(other) = &mut self.other {
            std::mem::swap(&mut self.plan, other);
            let tuned = RunTuned {
                source: Digest::of(b"source"),
                files: BTreeMap::new(),
                prices: BTreeMap::new(),
                cell_prices: Vec::new(),
                changed: vec!["limits".to_owned()],
                sets: vec![("limits.timeouts.total".to_owned(), "1h".to_owned())],
                asked: Vec::new(),
            };
            self.give(Input::Retune(Box::new(tuned), Arc::clone(&self.plan)));
        }
    }

    fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.evaluations.is_empty() && self.observations.is_empty()
    }

    pub(super) fn checkpoint(&mut self) {
        if self.pending.is_empty() {
            self.checkpoints.push((self.log.len(), self.engine.state().snapshot(&self.plan)));
        }
    }

    /// Runs to the end; `disturbed` with everything that can go wrong.
    pub(super) fn run(mut self, disturbed: bool) -> Self {
        let mut troubles = 0;
        for _ in 0..200_000 {
            if self.finished.as_ref().is_some_and(RunOutcome::is_complete) {
                return self;
            }
            if self.finished.is_some() {
                self.crash();
            }
            self.admit();
            let action = if disturbed { self.draws.below(24) } else { 8 };
            match action {
                0 if troubles < 12 => {
                    troubles += 1;
                    self.crash();
                }
                1 if troubles < 12 => {
                    troubles += 1;
                    self.give(Input::Stop(StopCause::Interrupt));
                }
                2 => self.checkpoint(),
                3 | 4 => self.tick(),
                5 => {
                    let slots = NonZeroU32::MIN.saturating_add(u32::try_from(self.draws.below(5)).expect("small"));
                    let backend = BackendIdx(self.draws.below(SLOTS.len()));
                    self.give(Input::Pause);
                    self.give(Input::Slots(backend, slots));
                    self.tune();
                }
                6 | 7 => self.give(Input::Unpause),
                _ => {
                    self.commit();
                    self.answer_one(disturbed);
                    if self.is_idle() {
                        self.commit();
                    }
                    if self.is_idle() {
                        self.tick();
                    }
                }
            }
        }
        panic!("bug: the run does not end; {:?}", self.engine.state().cases);
    }

    /// What users get: every case's outputs, without times and attempts.
    pub(super) fn table(&self) -> Vec<String> {
        self.table_up_to(u64::MAX)
    }

    /// The same of cases up to one.
    pub(super) fn table_up_to(&self, last: u64) -> Vec<String> {
        let mut rows: BTreeMap<CaseNo, Vec<String>> = BTreeMap::new();
        let mut items = BTreeMap::new();
        for recorded in &self.log {
            match &recorded.event {
                Event::CaseAdmitted(event) => {
                    items.insert(event.case, event.item.to_string());
                    rows.entry(event.case).or_default();
                }
                Event::CaseReopened(event) => {
                    let row = rows.entry(event.now.case).or_default();
                    row.retain(|line| {
                        line.contains(' ')
                            && event.former.iter().all(|task| !line.starts_with(&format!("{} ", task.step)))
                    });
                }
                Event::CellClosing(event) => {
                    items.insert(event.case, format!("{:?} {:?}", event.matrix, event.steps));
                    rows.entry(event.case).or_default();
                }
                Event::TaskSettled(event) | Event::TaskAdopted(TaskAdopted { task: event, .. }) => {
                    let kind = event.failure.as_ref().map(|failure| failure.kind);
                    let because = event.because;
                    let line = format!("{} {:?} {because:?} {:?} {kind:?}", event.step, event.status, event.output);
                    rows.entry(event.case).or_default().push(line);
                }
                Event::CaseSettled(event) => {
                    rows.entry(event.case).or_default().push(format!("{:?}", event.status));
                }
                _ => {}
            }
        }
        let mut table = Vec::new();
        for (case, mut row) in rows.into_iter().filter(|(case, _)| case.0 <= last) {
            row.sort();
            table.push(format!("{case} {} {}", items[&case], row.join(" | ")));
        }
        table
    }
}
