//! A world where calls take time by formula.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use crate::backend::{CallLimits, ChatRequest, sim};
use crate::base::{CaseNo, Digest, Hasher, ItemId, Millis, Timestamp};
use crate::engine::{
    Effect, Engine, Evaluate, IllegalEvent, Input, Observe, Offered, Options, Question, Replay, StartCall, Step,
    Ticket,
};
use crate::event::{
    Answer, CaseAdmitted, CaseCounts, Event, Failure, FailureKind, Features, Outcome, Recorded, Report, RunResumed,
    RunStarted, TaskAdopted, TaskSettled, TimeoutPhase, Timings, Usage,
};
use crate::journal::{Batch, EventLog, EventSeq, JournalError, Text};
use crate::plan::{Aggregate, CellIdx, Ground, Plan, StepKind};
use crate::task::{self, ComposeError, Found, OneOutput, Texts};

/// What goes wrong, decided by hashes so that the same seed goes wrong in the same way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Which world.
    pub seed: u64,
    /// Of 1,000 requests, how many fail for a while: throttled, cut off, overloaded, unreachable, silent.
    pub failing_per_mille: u64,
    /// After so many commits the process dies and is resumed; 0 is never.
    pub dies_every: u64,
}

/// What a run would have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// Virtual time from the first event to the last.
    pub makespan: Millis,
    /// Requests made.
    pub requests: u64,
    /// Times the process died.
    pub deaths: u64,
    /// Cases by how they ended.
    pub cases: CaseCounts,
    /// Tokens.
    pub usage: Usage,
}

/// A simulation that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The log cannot be written or read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The log does not replay.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    /// A prompt cannot be made: the world holds every text, so this is a bug.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The run neither ends nor waits for anything.
    #[error("bug: the run stands still with {open} open cases")]
    Stuck {
        /// How many.
        open: usize,
    },
}

/// Runs a plan in virtual time, to its end.
///
/// `rows` gives the cases in admission order, as item id, cell, repeat and row; it is started anew after each death.
/// Cost: some 10 µs of real time a call.
///
/// # Errors
/// See [`SimError`].
pub fn simulate<I>(
    plan: &Arc<Plan>,
    slots: &[u32],
    faults: Faults,
    rows: &dyn Fn() -> I,
    log: &mut dyn EventLog,
) -> Result<Simulated, SimError>
where
    I: Iterator<Item = (ItemId, CellIdx, u32, Arc<str>)>,
{
    let options = Options { slots: slots.to_vec(), grace: Millis::seconds(30) };
    let mut world = World {
        plan: Arc::clone(plan),
        engine: Engine::new(Arc::clone(plan), options.clone()),
        rows: rows(),
        lanes: slots.iter().map(|&slots| Lane { slots: slots as usize, busy: 0, waiting: VecDeque::new() }).collect(),
        faults,
        texts: BTreeMap::new(),
        coming: BinaryHeap::new(),
        returns: BTreeMap::new(),
        arrivals: 0,
        now: Timestamp(0),
        requests: 0,
        deaths: 0,
        finished: false,
    };
    let models = plan.backends.iter().map(|backend| crate::event::BackendResolved {
        backend: backend.name.clone(),
        endpoint: "sim".to_owned(),
        server: "sim".to_owned(),
        slots: 0,
        models: Vec::new(),
        memory: Vec::new(),
        version: None,
        digests: Vec::new(),
        lacks: Features::NONE,
        models_lack: Vec::new(),
    });
    let backends: Vec<_> = models.collect();
    let begun = RunStarted {
        format: crate::event::FORMAT,
        name: plan.name.clone(),
        plan: plan.hash,
        source: Digest::of(b""),
        files: BTreeMap::new(),
        file: String::new(),
        overrides: serde_json::Value::Null,
        seed: plan.seed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        backends: backends.clone(),
        cases: plan.evidence.is_some().then(|| rows().count() as u64),
        prices: plan.prices(),
        cell_prices: plan.cell_prices(),
        traced: None,
        provenance: None,
        gpu: None,
    };
    world.give(log, Input::Begin(Box::new(begun)))?;
    let mut commits = 0;
    while !world.finished {
        world.admit(log)?;
        world.advance(log)?;
        commits += 1;
        if faults.dies_every > 0 && commits % faults.dies_every == 0 && !world.finished {
            world.die(log, &options, rows(), &backends)?;
        }
    }
    let state = world.engine.state();
    Ok(Simulated {
        makespan: world.now.since(Timestamp(0)),
        requests: world.requests,
        deaths: world.deaths,
        cases: state.cases,
        usage: state.usage,
    })
}

struct World<I> {
    plan: Arc<Plan>,
    engine: Engine,
    rows: I,
    lanes: Vec<Lane>,
    faults: Faults,
    texts: BTreeMap<Digest, Arc<str>>,
    /// When a call ends, and in which order calls that end together began.
    coming: BinaryHeap<Reverse<(Timestamp, u64, Ticket)>>,
    returns: BTreeMap<Ticket, (usize, Report)>,
    arrivals: u64,
    now: Timestamp,
    requests: u64,
    deaths: u64,
    finished: bool,
}

struct Lane {
    slots: usize,
    busy: usize,
    waiting: VecDeque<Box<StartCall>>,
}

impl<I: Iterator<Item = (ItemId, CellIdx, u32, Arc<str>)>> World<I> {
    /// Gives one input and performs what follows: here a commit takes no time.
    fn give(&mut self, log: &mut dyn EventLog, input: Input) -> Result<(), SimError> {
        let mut inputs = VecDeque::from([(input, Vec::new())]);
        while let Some((input, texts)) = inputs.pop_front() {
            let Step { events, effects } = self.engine.step(self.now, input);
            if !events.is_empty() {
                log.append(&[Batch { events: events.into(), texts, checkpoint: None }])?;
            }
            for effect in effects {
                match effect {
                    Effect::StartCall(call) => {
                        let lane = call.backend.0;
                        self.lanes[lane].waiting.push_back(call);
                        inputs.extend(self.fill(log, lane)?.map(|input| (input, Vec::new())));
                    }
                    Effect::Evaluate(evaluate) => inputs.push_back(self.evaluate(log, &evaluate)),
                    Effect::Observe(observe) => inputs.push_back((self.observe(&observe), Vec::new())),
                    Effect::CancelCall(ticket, why) => {
                        let back = self.take_back(log, ticket, why)?;
                        inputs.extend(back.into_iter().map(|input| (input, Vec::new())));
                    }
                    // Nobody steers a simulation.
                    Effect::RecallUnsent | Effect::Resize(..) => {}
                    Effect::Finish(_) => self.finished = true,
                }
            }
        }
        Ok(())
    }

    /// Evaluates in no time.
    fn evaluate(&mut self, log: &dyn EventLog, evaluate: &Evaluate) -> (Input, Vec<Text>) {
        let plan = self.plan.cell(evaluate.ground.cell);
        let models = vec![Arc::from("sim"); plan.actors.len()];
        let texts = |digest: &Digest| self.texts.get(digest).cloned();
        let found = match evaluate.question {
            Question::Gather => gathered(plan, &evaluate.ground, log, &texts),
            Question::Opening => task::open(plan, &evaluate.ground, &models, &texts),
            Question::Work => task::work(plan, &evaluate.ground, &models, &texts),
        };
        let texts = found.texts.into_iter().map(|(digest, body)| {
            self.texts.insert(digest, Arc::clone(&body));
            Text { case: Some(evaluate.key.case), digest, body }
        });
        (Input::Evaluated(evaluate.key, Box::new(found.evaluation)), texts.collect())
    }

    fn observe(&self, observe: &Observe) -> Input {
        let plan = self.plan.cell(observe.ground.cell);
        let models = vec![Arc::from("sim"); plan.actors.len()];
        let texts = |digest: &Digest| self.texts.get(digest).cloned();
        Input::Observed(observe.case, task::observe(plan, &observe.ground, &models, &texts))
    }

    fn admit(&mut self, log: &mut dyn EventLog) -> Result<(), SimError> {
        while self.engine.wants_cases() > 0 {
            let Some((item, cell, repeat, row)) = self.rows.next() else {
                return self.give(log, Input::SourceEnded);
            };
            let digest = self.keep(&row);
            let text = Text { case: None, digest, body: row };
            log.append(&[Batch { texts: vec![text], ..Batch::default() }])?;
            self.give(log, Input::Offer(vec![Offered { item, repeat, cell, row: digest, adopted: Vec::new() }]))?;
        }
        Ok(())
    }

    /// Goes to the next thing that happens.
    fn advance(&mut self, log: &mut dyn EventLog) -> Result<(), SimError> {
        if self.finished {
            return Ok(());
        }
        let arrival = self.coming.peek().map(|Reverse((at, ..))| *at);
        let wakeup = self.engine.next_wakeup();
        match (arrival, wakeup) {
            (Some(arrival), wakeup) if wakeup.is_none_or(|wakeup| arrival <= wakeup) => {
                self.now = self.now.max(arrival);
                let Some(Reverse((_, _, ticket))) = self.coming.pop() else { return Ok(()) };
                self.arrive(log, ticket)
            }
            (_, Some(wakeup)) => {
                self.now = self.now.max(wakeup);
                self.give(log, Input::Tick)
            }
            (None, None) => Err(SimError::Stuck { open: self.engine.state().open.len() }),
            (Some(_), None) => Ok(()),
        }
    }

    fn arrive(&mut self, log: &mut dyn EventLog, ticket: Ticket) -> Result<(), SimError> {
        // A call that was taken back has no return any more.
        let Some((lane, report)) = self.returns.remove(&ticket) else { return Ok(()) };
        self.lanes[lane].busy -= 1;
        if let Outcome::Answered(answer) = &report.outcome
            && let Some(body) = self.texts.get(&answer.text)
        {
            let text = Text { case: Some(ticket.key.case), digest: answer.text, body: Arc::clone(body) };
            log.append(&[Batch { texts: vec![text], ..Batch::default() }])?;
        }
        self.give(log, Input::Returned(ticket, Box::new(report)))?;
        match self.fill(log, lane)? {
            Some(sent) => self.give(log, sent),
            None => Ok(()),
        }
    }

    fn take_back(&mut self, log: &dyn EventLog, ticket: Ticket, why: FailureKind) -> Result<Vec<Input>, SimError> {
        let mut inputs = Vec::new();
        if let Some((lane, ..)) = self.returns.remove(&ticket) {
            self.lanes[lane].busy -= 1;
            let report = Report::failed(Failure::new(why, "no answer in time"));
            inputs.push(Input::Returned(ticket, Box::new(report)));
            inputs.extend(self.fill(log, lane)?);
        }
        Ok(inputs)
    }

    fn fill(&mut self, log: &dyn EventLog, lane: usize) -> Result<Option<Input>, SimError> {
        if self.lanes[lane].busy >= self.lanes[lane].slots {
            return Ok(None);
        }
        let Some(call) = self.lanes[lane].waiting.pop_front() else { return Ok(None) };
        self.lanes[lane].busy += 1;
        self.requests += 1;
        let ticket = call.ticket;
        let report = self.answer(log, &call)?;
        let ends = Timestamp(self.now.0.saturating_add_unsigned(report.timings.total_us));
        self.returns.insert(ticket, (lane, report));
        self.arrivals += 1;
        self.coming.push(Reverse((ends, self.arrivals, ticket)));
        Ok(Some(Input::Sent(ticket)))
    }

    fn answer(&mut self, log: &dyn EventLog, call: &StartCall) -> Result<Report, SimError> {
        if let Some(failure) = self.trouble(call) {
            let total_us = 1_000 * failure.retry_after_ms.unwrap_or(250);
            let timings = Timings { total_us, ..Timings::default() };
            return Ok(Report { timings, ..Report::failed(failure) });
        }
        let plan = self.plan.cell(call.place.cell);
        let models = vec![Arc::from("sim"); plan.actors.len()];
        let texts = |digest: &Digest| self.texts.get(digest).cloned();
        let composed = match &plan.step(call.place.step).kind {
            StepKind::Aggregate(_) => {
                let ground = call.place.ground();
                let shown = |visit: &mut dyn FnMut(&OneOutput<'_>)| outputs(plan, &ground, log, visit);
                let rows = match task::rows(plan, &ground, &shown, &|_, digest| texts(digest)) {
                    // Too many of them are a failure of that step alone.
                    Err(error @ ComposeError::Rows(_)) => return Ok(unasked(&error)),
                    rows => rows?,
                };
                task::compose_over_all(plan, &call.place, &models, rows, &texts)?
            }
            _ => task::compose(plan, &call.place, &models, &texts)?,
        };
        let dropped_turns = composed.dropped_turns;
        let sampling = &plan.actor(call.place.actor).sampling;
        let simulated = sim::answer(&ChatRequest {
            model: Arc::from("sim"),
            messages: composed.messages,
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            max_tokens: sampling.max_tokens,
            stop: sampling.stop.clone(),
            seed: composed.seed,
            format: composed.format,
            stream: false,
            reasoning: None,
            extra: Arc::default(),
            lacks: Features::NONE,
            trace: None,
            limits: CallLimits {
                connect: call.timeouts.connect.duration(),
                first_token: call.timeouts.first_token.duration(),
                idle: call.timeouts.idle.duration(),
            },
        });
        let completion = simulated.completion;
        let facts = task::read(plan, &call.place, &completion.text, completion.finish, &|digest| {
            self.texts.get(digest).cloned()
        })?;
        let text = self.keep(&Arc::from(completion.text));
        let answer = Answer {
            prompt_about: None,
            reason: None,
            thought: None,
            text,
            finish: completion.finish,
            model: completion.model,
            id: completion.id,
            facts,
        };
        let micros = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let timings = Timings {
            queued_us: 0,
            first_token_us: Some(micros(simulated.first_token)),
            total_us: micros(simulated.total),
            claimed: None,
        };
        Ok(Report {
            estimated: Usage::default(),
            request: Vec::new(),
            dropped_turns,
            outcome: Outcome::Answered(answer),
            usage: completion.usage,
            timings,
            from_cache: None,
        })
    }

    /// Troubles pass: the third request for a call is always answered.
    fn trouble(&self, call: &StartCall) -> Option<Failure> {
        let ticket = call.ticket;
        if ticket.attempt.0 > 2 {
            return None;
        }
        let draw = Hasher::new("pipe sim fault 1")
            .number(self.faults.seed)
            .number(ticket.key.case.0)
            .number(ticket.key.step.0 as u64)
            .field(ticket.key.call.path().as_str().as_bytes())
            .number(u64::from(ticket.attempt.0))
            .finish()
            .low_bits();
        if draw % 1_000 >= self.faults.failing_per_mille {
            return None;
        }
        let kinds = [
            FailureKind::Throttled,
            FailureKind::CutOff,
            FailureKind::Overloaded,
            FailureKind::Unreachable,
            FailureKind::TimedOut(TimeoutPhase::Idle),
        ];
        let which = usize::try_from(draw / 1_000 % 5).expect("below 5");
        let mut failure = Failure::new(kinds[which], "simulated");
        failure.retry_after_ms = (kinds[which] == FailureKind::Throttled).then_some(500);
        Some(failure)
    }

    fn keep(&mut self, text: &Arc<str>) -> Digest {
        let digest = Digest::of(text.as_bytes());
        self.texts.insert(digest, Arc::clone(text));
        digest
    }

    /// Loses everything but the log and starts again from it.
    fn die(
        &mut self,
        log: &mut dyn EventLog,
        options: &Options,
        rows: I,
        backends: &[crate::event::BackendResolved],
    ) -> Result<(), SimError> {
        self.deaths += 1;
        let mut replay = Replay::from_zero(Arc::clone(&self.plan));
        let mut illegal = None;
        log.events_after(EventSeq::default(), &mut |_, recorded| {
            illegal = illegal.take().or(replay.apply(&recorded).err());
            Ok(())
        })?;
        if let Some(illegal) = illegal {
            return Err(illegal.into());
        }
        let segment = replay.state().segment + 1;
        let admitted = usize::try_from(replay.state().passed(&self.plan)).unwrap_or(usize::MAX);
        self.engine = replay.engine(options.clone());
        self.rows = rows;
        if admitted > 0 {
            self.rows.nth(admitted - 1);
        }
        self.coming.clear();
        self.returns.clear();
        for lane in &mut self.lanes {
            lane.busy = 0;
            lane.waiting.clear();
        }
        let (version, backends) = (String::new(), backends.to_vec());
        let resumed = RunResumed { segment, version, backends, cases: None, parent: None, provenance: None };
        self.give(log, Input::Resume(Box::new(resumed)))
    }
}

/// Gathers what every case of a cell came to, from the log.
fn gathered(plan: &Plan, ground: &Ground, log: &dyn EventLog, texts: Texts<'_>) -> Found {
    task::gather(plan, ground, &|visit| outputs(plan, ground, log, visit), &|_, digest| texts(digest))
}

/// Shows what every case of a cell came to in the step that an aggregate is of; the log has them as they settled.
fn outputs(
    plan: &Plan,
    ground: &Ground,
    log: &dyn EventLog,
    visit: &mut dyn FnMut(&OneOutput<'_>),
) -> Result<(), String> {
    let step = plan.step(ground.step);
    let StepKind::Aggregate(Aggregate { of, .. }) = &step.kind else {
        panic!("bug: step `{}` gathers nothing", step.name)
    };
    let mut cases: BTreeMap<CaseNo, (CaseAdmitted, Option<TaskSettled>)> = BTreeMap::new();
    let look = &mut |_, recorded: Recorded| {
        match recorded.event {
            Event::CaseAdmitted(admitted) if admitted.matrix == plan.matrix => {
                cases.insert(admitted.case, (admitted, None));
            }
            Event::TaskSettled(task) | Event::TaskAdopted(TaskAdopted { task, .. }) if task.step == of.name => {
                if let Some((_, settled)) = cases.get_mut(&task.case) {
                    *settled = Some(task);
                }
            }
            _ => {}
        }
        Ok(())
    };
    log.events_after(EventSeq::default(), look).map_err(|error| error.to_string())?;
    for (case, (admitted, task)) in &cases {
        if let Some(task) = task {
            visit(&OneOutput { case: *case, item: &admitted.item, repeat: admitted.repeat, task });
        }
    }
    Ok(())
}

fn unasked(error: &ComposeError) -> Report {
    Report::failed(Failure::new(FailureKind::Render, error.to_string()))
}
