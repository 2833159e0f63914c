//! Events in the order of the log → spans, each as soon as nothing about it can change any more.
//!
//! A request is told when it is over, a task when it is settled, a case when it is over, the run at its end. So memory is
//! bounded by the cases that are open at once, and whoever reads the log from its start tells the same spans in the same
//! order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attributes::Attributes;
use super::case::{Flight, Open, Told};
use super::chat;
use super::names;
use super::run_spans::{self, End, Segment};
use super::sample::reason;
use super::settings::Settings;
use super::span::{Span, SpanEvent};
use super::step::{self, Over};
use super::summary::Summaries;
use crate::base::{BackendName, CaseNo, Digest, EachKey, ModelName, RunId, SpanContext, Timestamp};
use crate::event::{
    AttemptEnded, AttemptStarted, Capacity, CaseSettled, Event, GpuSeen, Outcome, Recorded, RunEnded, RunStarted,
    TaskAdopted, TaskSettled, TaskStatus, Traced,
};
use crate::plan::Plan;
use crate::report::gpu::Flown;

/// Finds a text of a case among the journal's.
pub type Texts<'a> = &'a dyn Fn(CaseNo, &Digest) -> Option<Arc<str>>;

/// What is told of the run as a whole, known from its first event on.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) plan: Digest,
    pub(super) seed: u64,
    pub(super) traced: Traced,
    pub(super) root: SpanContext,
    pub(super) gpu: Option<GpuSeen>,
    pub(super) backends: BTreeMap<BackendName, BackendFacts>,
}

/// What a backend's name stands for.
#[derive(Debug)]
pub(super) struct BackendFacts {
    pub(super) server: String,
    pub(super) address: String,
    pub(super) port: Option<u32>,
    pub(super) models: Vec<(ModelName, ModelName)>,
}

/// Where in the life of a run an event stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    /// Which process.
    pub(super) segment: u32,
    /// The last that the process before it recorded.
    pub(super) cut_off: Timestamp,
}

/// Tells a run's events in spans.
pub struct Projector {
    run: RunId,
    settings: Settings,
    plan: Option<Arc<Plan>>,
    life: Option<Life>,
    moment: Moment,
    latest: Timestamp,
    open: BTreeMap<CaseNo, Open>,
    summaries: Summaries,
    unformatted: BTreeSet<BackendName>,
    /// Events of cases that may yet be dropped.
    held: BTreeMap<CaseNo, Vec<Held>>,
}

/// An event that is told when it is known whether its case is.
struct Held {
    recorded: Recorded,
    moment: Moment,
    part: Option<Flown>,
}

struct Life {
    facts: Facts,
    began: Timestamp,
    segment: Segment,
    /// The root has been told: what comes later is a retry.
    is_told: bool,
}

/// Where spans go: nowhere, where what they are made from is only taken in.
struct Out<'a> {
    texts: Texts<'a>,
    emit: Option<&'a mut dyn FnMut(Span)>,
    /// What devices did for the request that the event ends.
    part: Option<&'a Flown>,
}

impl Out<'_> {
    fn tell(&mut self, make: impl FnOnce(Texts<'_>) -> Span) {
        if let Some(emit) = &mut self.emit {
            emit(make(self.texts));
        }
    }
}

impl Projector {
    /// Returns one that has seen nothing. Without the plan, spans lack what only it says: temperatures, kinds of steps.
    #[must_use]
    pub fn new(run: RunId, settings: Settings, plan: Option<Arc<Plan>>) -> Self {
        Self {
            run,
            settings,
            plan,
            life: None,
            moment: Moment::default(),
            latest: Timestamp(0),
            open: BTreeMap::new(),
            summaries: Summaries::default(),
            unformatted: BTreeSet::new(),
            held: BTreeMap::new(),
        }
    }

    /// Takes the next event of the log and tells what is final with it.
    pub fn add(&mut self, recorded: &Recorded, texts: Texts<'_>, emit: &mut dyn FnMut(Span)) {
        self.add_with(recorded, None, texts, emit);
    }

    /// Takes the next event, with what devices did for the request that it ends.
    pub fn add_with(
        &mut self,
        recorded: &Recorded,
        part: Option<&Flown>,
        texts: Texts<'_>,
        emit: &mut dyn FnMut(Span),
    ) {
        self.take(recorded, &mut Out { texts, emit: Some(emit), part });
    }

    /// Takes an event whose spans have been told already.
    pub fn pass(&mut self, recorded: &Recorded) {
        self.pass_with(recorded, None);
    }

    /// Takes an event whose spans have been told already: those of a case that may yet be dropped have not.
    pub(super) fn pass_with(&mut self, recorded: &Recorded, part: Option<&Flown>) {
        self.take(recorded, &mut Out { texts: &|_, _| None, emit: None, part });
    }

    /// Tells what there is to tell of cases that are not over, when nothing follows in the log: with a sample, those
    /// have been held.
    pub fn finish(&mut self, texts: Texts<'_>, emit: &mut dyn FnMut(Span)) {
        for (_, events) in std::mem::take(&mut self.held) {
            self.tell_held(&events, None, &mut Out { texts, emit: Some(&mut *emit), part: None });
        }
    }

    fn take(&mut self, recorded: &Recorded, out: &mut Out<'_>) {
        if let Event::RunResumed(resumed) = &recorded.event {
            self.moment = Moment { segment: resumed.segment, cut_off: self.latest };
        }
        self.latest = recorded.at;
        let moment = self.moment;
        let began = match &recorded.event {
            Event::TaskSettled(settled) => {
                self.open.get(&settled.case).and_then(|case| case.task_began(&settled.step))
            }
            _ => None,
        };
        self.summaries.take(recorded, began);
        let Some(case) = recorded.event.case().filter(|_| self.settings.sample.is_some()) else {
            return self.tell(recorded, moment, None, out);
        };
        // What a case comes to decides whether it is told: it is taken in without a word first.
        let mut quiet = Out { texts: out.texts, emit: None, part: None };
        let reason = match (&recorded.event, self.open.get(&case), &self.settings.sample) {
            (Event::CaseSettled(_), Some(open), Some(sample)) => Some(reason(sample, open)),
            _ => None,
        };
        self.tell(recorded, moment, None, &mut quiet);
        let held = Held { recorded: recorded.clone(), moment, part: out.part.cloned() };
        self.held.entry(case).or_default().push(held);
        let Some(reason) = reason else { return };
        let events = self.held.remove(&case).unwrap_or_default();
        if let Some(reason) = reason {
            self.tell_held(&events, Some(reason), out);
        }
    }

    fn tell_held(&mut self, events: &[Held], kept: Option<&'static str>, out: &mut Out<'_>) {
        for Held { recorded, moment, part } in events {
            let mut out =
                Out { texts: out.texts, emit: out.emit.as_mut().map(|emit| &mut **emit as _), part: part.as_ref() };
            self.tell(recorded, *moment, kept, &mut out);
        }
    }

    fn tell(&mut self, recorded: &Recorded, moment: Moment, kept: Option<&'static str>, out: &mut Out<'_>) {
        let at = recorded.at;
        match &recorded.event {
            Event::RunStarted(started) => self.begin(at, started, out),
            Event::RunResumed(resumed) => {
                let Some(life) = &mut self.life else { return };
                if !life.segment.is_over {
                    let (run, cut_off) = (&self.run, moment.cut_off);
                    out.tell(|_| life.segment.span(run, &life.facts, cut_off, &End::Killed));
                }
                life.segment = Segment::new(resumed.segment, at, resumed.version.clone(), resumed.parent);
            }
            Event::RunEnded(ended) => self.end(at, ended, out),
            Event::RunFailed(failed) => {
                let Some(life) = &mut self.life else { return };
                life.segment.is_over = true;
                out.tell(|_| life.segment.span(&self.run, &life.facts, at, &End::Failed(&failed.message)));
            }
            Event::RunTuned(_)
            | Event::RunPaused(_)
            | Event::RunUnpaused(_)
            | Event::StopReached(_)
            | Event::DrainStage(_)
            | Event::CapacityChanged(_) => {
                if let Event::CapacityChanged(changed) = &recorded.event
                    && changed.change == Capacity::FormatUnsupported
                {
                    self.unformatted.insert(changed.backend.clone());
                }
                if let Some(life) = &mut self.life {
                    life.segment.note(at, &recorded.event);
                }
            }
            Event::SourceEnded(_) | Event::RepeatsReached(_) => {}
            event => self.of_case(at, event, moment, kept, out),
        }
    }

    fn begin(&mut self, at: Timestamp, started: &RunStarted, out: &mut Out<'_>) {
        let traced = started.traced.unwrap_or_default();
        let trace = traced.trace(&self.run);
        let backends = started.backends.iter();
        let facts = Facts {
            name: started.name.clone(),
            plan: started.plan,
            seed: started.seed,
            traced,
            root: run_spans::context(&self.run, trace, 0, "run"),
            gpu: started.gpu.clone(),
            backends: backends.map(|one| (one.backend.clone(), BackendFacts::of(one))).collect(),
        };
        out.tell(|_| run_spans::start(&self.run, &facts, at));
        let segment = Segment::new(0, at, started.version.clone(), None);
        self.life = Some(Life { facts, began: at, segment, is_told: false });
    }

    fn end(&mut self, at: Timestamp, ended: &RunEnded, out: &mut Out<'_>) {
        let Some(life) = &mut self.life else { return };
        life.segment.is_over = true;
        let (run, facts) = (&self.run, &life.facts);
        out.tell(|_| life.segment.span(run, facts, at, &End::Ended(ended)));
        if ended.outcome.is_final() && !life.is_told {
            life.is_told = true;
            if out.emit.is_some() {
                self.summaries.spans(run, facts, self.plan.as_deref()).for_each(|span| out.tell(|_| span));
            }
            out.tell(|_| run_spans::root(run, facts, life.began, at, ended));
        }
    }

    fn of_case(
        &mut self,
        at: Timestamp,
        event: &Event,
        moment: Moment,
        kept: Option<&'static str>,
        out: &mut Out<'_>,
    ) {
        let Some(life) = &self.life else { return };
        let (run, facts, plan) = (&self.run, &life.facts, self.plan.as_deref());
        let Some(number) = event.case() else { return };
        match event {
            Event::CaseAdmitted(admitted) => {
                self.open.insert(number, Open::admit(run, facts, at, admitted.clone(), false));
                return;
            }
            Event::CellClosing(closing) => {
                self.open.insert(number, Open::admit(run, facts, at, closing.as_case(), true));
                return;
            }
            Event::CaseReopened(reopened) => {
                self.open.insert(number, Open::reopen(run, facts, moment, at, reopened));
                return;
            }
            _ => {}
        }
        let Some(case) = self.open.get_mut(&number) else { return };
        let texts = out.texts;
        let find = move |digest: &Digest| texts(number, digest);
        let told = Told { run, facts, settings: &self.settings, plan, moment, find: &find };
        match event {
            Event::AttemptStarted(started) => {
                let takes_format = !self.unformatted.contains(&started.backend);
                started_one(&told, case, at, started, takes_format, out);
            }
            Event::WindowTrimmed(trimmed) => {
                let task = case.task(&trimmed.id.step, trimmed.id.each.as_ref(), at);
                if let Some(flight) = task.flights.get_mut(&trimmed.id.call) {
                    flight.dropped_turns = trimmed.dropped_turns;
                }
            }
            Event::AttemptEnded(ended) => ended_one(&told, case, at, ended, out),
            Event::Evaluated(evaluated) => {
                case.task(&evaluated.step, None, at);
            }
            Event::ElementSettled(element) => {
                settled(&told, case, at, &element.task, Some(&element.each), None, out);
            }
            Event::TaskSettled(task) => settled(&told, case, at, task, None, None, out),
            Event::TaskAdopted(adopted) => settled(&told, case, at, &adopted.task, None, Some(adopted), out),
            Event::CaseSettled(over) => {
                self.over(number, at, over, moment, kept, out);
            }
            _ => {}
        }
    }

    fn over(
        &mut self,
        number: CaseNo,
        at: Timestamp,
        over: &CaseSettled,
        moment: Moment,
        kept: Option<&str>,
        out: &mut Out<'_>,
    ) {
        let (Some(life), Some(case)) = (&self.life, self.open.remove(&number)) else { return };
        out.tell(|texts| {
            let find = |digest: &Digest| texts(number, digest);
            let (run, facts, plan) = (&self.run, &life.facts, self.plan.as_deref());
            let told = Told { run, facts, settings: &self.settings, plan, moment, find: &find };
            case.span(&told, at, over, kept)
        });
    }
}

fn started_one(
    told: &Told<'_>,
    case: &mut Open,
    at: Timestamp,
    started: &AttemptStarted,
    takes_format: bool,
    out: &mut Out<'_>,
) {
    let id = &started.id;
    // The step of an element begins with its first.
    if id.each.is_some() {
        case.task(&id.step, None, at);
    }
    let task = case.task(&id.step, id.each.as_ref(), at);
    let waited = task.failed.remove(&id.call).filter(|since| *since < at);
    let flight = Flight { at, started: started.clone(), dropped_turns: 0, takes_format };
    task.flights.insert(id.call.clone(), flight);
    if let Some(since) = waited {
        out.tell(|_| chat::backoff(told, case, id, since, at));
    }
}

fn ended_one(told: &Told<'_>, case: &mut Open, at: Timestamp, ended: &AttemptEnded, out: &mut Out<'_>) {
    let id = &ended.id;
    let task = case.task(&id.step, id.each.as_ref(), at);
    let Some(flight) = task.flights.remove(&id.call) else { return };
    if !chat::was_made(ended) {
        let mut attributes = Attributes::default();
        attributes.put(names::CALL, id.call.as_str()).put(names::ATTEMPT, id.attempt.0);
        if let Outcome::Failed(failure) = &ended.outcome {
            attributes.put(names::REASON, super::content::shown(told.settings, &failure.detail));
        }
        let mut name = names::UNSENT_EVENT;
        if let Some(found) = &ended.from_cache {
            name = names::CACHED_EVENT;
            attributes.put(names::CACHE_RUN, found.run.as_str()).put(names::CACHE_CASE, found.case.0);
        }
        if task.events.len() < super::case::MOST_EVENTS {
            task.events.push(SpanEvent { at, name, attributes: attributes.take() });
        }
        return;
    }
    task.asked = true;
    task.usage.add(&ended.usage);
    match &ended.outcome {
        Outcome::Answered(answer) => task.finish = Some(answer.finish),
        Outcome::Failed(failure) => {
            // A call that a crash cut off did not wait for its turn.
            if ended.retry_at.is_some() && failure.kind != crate::event::FailureKind::Interrupted {
                task.failed.insert(id.call.clone(), at);
            }
        }
    }
    match &ended.outcome {
        Outcome::Answered(_) => {
            let context = case.call_context(id, names::CHAT);
            case.answered.insert(id.step.clone(), context);
        }
        Outcome::Failed(_) => case.retried |= ended.retry_at.is_some(),
    }
    let part = out.part;
    out.tell(|_| chat::span(told, case, &flight, at, ended, part));
}

fn settled(
    told: &Told<'_>,
    case: &mut Open,
    at: Timestamp,
    settled: &TaskSettled,
    each: Option<&EachKey>,
    adopted: Option<&TaskAdopted>,
    out: &mut Out<'_>,
) {
    let task = case.take_task(&settled.step, each);
    if each.is_none() {
        case.note(settled, step::error_of(told, settled).as_ref());
    }
    if settled.status == TaskStatus::Skipped && task.is_none() {
        case.event(step::skipped(at, settled, each));
        return;
    }
    let over = Over { settled, each, task, adopted };
    out.tell(|_| step::span(told, case, at, &over));
}
