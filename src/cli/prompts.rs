//! `pipe plan --prompts`: the first call of each step for the first case, as it would be sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::earlier::{Earlier, voices};
use super::exit::{CommandError, Exit, with_causes};
use super::printer::{BOLD, DIM, Printer, inert, paint};
use super::reuse;
use crate::backend::discover::ServerKind;
use crate::backend::openai::options;
use crate::backend::{BaseUrl, CallLimits, ChatRequest};
use crate::base::{CaseNo, Digest, ItemId, StepName};
use crate::event::{
    BackendResolved, Element, Evaluation, Features, TaskOutput, TaskSettled, TaskStatus, Turn, Usage,
};
use crate::plan::{
    Actor, BackendUrl, Ballot, Call, CellIdx, Ground, Inquiry, ModelChoice, Place, Plan, Step, StepIdx, StepKind,
};
use crate::run::{Adopted, first_row};
use crate::task::{self, Composed};

/// Shows what would be sent first in each step; a step that reads answers which do not exist yet is named.
///
/// # Errors
/// An input or a journal that cannot be read, or a template that does not render.
pub(super) fn show(plan: &Plan, earlier: Option<&Earlier>, printer: &mut Printer) -> Result<Exit, CommandError> {
    let Some((item, row)) = first_row(plan).map_err(|problem| reuse::wrong_row(&problem))? else {
        printer.line("there is no item, so nothing is asked")?;
        return Ok(Exit::Done);
    };
    let adopted = match earlier {
        None => Adopted::default(),
        Some(earlier) => {
            let fields: Map<String, Value> = serde_json::from_str(&row).unwrap_or_default();
            let reuse = reuse::of(earlier, plan, &earlier.started.backends)?;
            reuse.adopt(plan, CellIdx(0), (&item, 1, &fields)).map_err(|error| CommandError::journal(&error))?
        }
    };
    let mut settled: BTreeMap<StepName, TaskSettled> =
        adopted.tasks.iter().map(|adopted| (adopted.task.step.clone(), adopted.task.clone())).collect();
    let mut texts: BTreeMap<Digest, Arc<str>> =
        adopted.texts.iter().map(|text| (text.digest, Arc::clone(&text.body))).collect();
    let row_digest = Digest::of(row.as_bytes());
    texts.insert(row_digest, Arc::from(row));
    let resolved = earlier.map_or(&[][..], |earlier| &earlier.started.backends);
    let models: Vec<Arc<str>> = voices(plan, resolved).into_iter().map(|voice| voice.model).collect();

    for (index, step) in plan.steps.iter().enumerate() {
        let note = if settled.contains_key(&step.name) { ", reused" } else { "" };
        printer.line(&paint(BOLD, &format!("{} · {}{note}", step.name, opening_of(step))))?;
        let missing: Vec<&str> = missing(plan, step, &settled);
        if !missing.is_empty() {
            printer.line(&paint(DIM, &format!("  reads what {} has not answered yet", missing.join(", "))))?;
            continue;
        }
        let inputs = step.reads.iter().map(|&read| (read, Arc::new(settled[&plan.step(read).name].clone())));
        let mut ground = Ground {
            case: CaseNo(0),
            repeat: 1,
            cell: CellIdx(0),
            row: row_digest,
            step: StepIdx(index),
            each: None,
            inputs: inputs.collect(),
        };
        if step.course.opens() {
            let found = task::open(plan, &ground, &models, &|digest| texts.get(digest).cloned());
            texts.extend(found.texts);
            match opened(found.evaluation) {
                Ok(each) => ground.each = each,
                Err(why) => {
                    printer.line(&paint(DIM, &format!("  {}", inert(&why))))?;
                    continue;
                }
            }
        }
        let calls = match &step.kind {
            StepKind::Chat(_) => vec![Call::Say],
            StepKind::Dialogue(dialogue) => {
                let ask = |which| Call::Ask(Inquiry { round: 1, which, repair: 0 });
                let judges = u32::try_from(dialogue.judges.len()).unwrap_or(u32::MAX);
                std::iter::once(Call::Turn(1)).chain((0..judges).map(ask)).collect()
            }
            StepKind::Aggregate(_) => continue,
            StepKind::Judge(judge) => vec![Call::Vote(judge.ballots().next().unwrap_or(Ballot::first()))],
            StepKind::Transform(_) | StepKind::Assert(_) => {
                let found = task::work(plan, &ground, &models, &|digest| texts.get(digest).cloned());
                texts.extend(found.texts);
                let line = worked(&found.evaluation, &texts);
                printer.line(&format!("  {}", inert(&line)))?;
                if let (Evaluation::Done(output), None) = (found.evaluation, &step.course.for_each) {
                    settled.insert(step.name.clone(), known(&step.name, output));
                }
                continue;
            }
        };
        for call in calls {
            let place = place(plan, &ground, &item, call, &mut texts);
            if let (Call::Ask(_), StepKind::Dialogue(dialogue)) = (call, &step.kind) {
                let actor = &plan.actor(place.actor).name;
                let rounds = dialogue.most_turns() / (dialogue.actors.len() as u64);
                let line = format!("  {actor} is asked after each round, {rounds} times at most: after round 1");
                printer.line(&paint(DIM, &line))?;
            }
            let composed = task::compose(plan, &place, &models, &|digest| texts.get(digest).cloned())
                .map_err(|error| CommandError::new(Exit::InvalidPipeline, with_causes(&error)))?;
            for message in &composed.messages {
                let text = inert(&message.content).replace('\n', "\n             ");
                printer.line(&format!("  {:<9}  {text}", message.role.word()))?;
            }
            for (name, text) in beside_messages(plan, &place, composed, &models, resolved) {
                printer.line(&paint(DIM, &format!("  {name:<9}  {}", inert(&text))))?;
            }
        }
    }
    for step in plan.closing.iter().flat_map(|closing| &closing.steps) {
        over_all(plan, step, printer)?;
    }
    Ok(Exit::Done)
}

/// Returns what goes along with the messages: the options in the server's own words, and names of headers.
fn beside_messages(
    plan: &Plan,
    place: &Place,
    composed: Composed,
    models: &[Arc<str>],
    resolved: &[BackendResolved],
) -> Vec<(&'static str, String)> {
    let Actor { backend, sampling, model, .. } = plan.actor(place.actor);
    let backend = &plan.backends[backend.0];
    let found = resolved.iter().find(|found| found.backend == backend.name);
    let host = match &backend.url {
        BackendUrl::Url(url) => BaseUrl::parse(url).map_or_else(|_| String::new(), |url| url.host().to_owned()),
        BackendUrl::Auto | BackendUrl::Embedded | BackendUrl::Sim { .. } => String::new(),
    };
    let asked = match model {
        ModelChoice::Auto => "auto",
        ModelChoice::Named(name) => name,
    };
    let request = ChatRequest {
        model: Arc::clone(&models[place.actor.0]),
        messages: Vec::new(),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        max_tokens: sampling.max_tokens,
        stop: sampling.stop.clone(),
        seed: composed.seed,
        format: composed.format,
        reasoning: sampling.reasoning,
        extra: Arc::clone(&sampling.extra),
        stream: false,
        lacks: found.map(|found| lacks_of(found, asked)).unwrap_or_default(),
        trace: None,
        limits: CallLimits { connect: Duration::ZERO, first_token: Duration::ZERO, idle: Duration::ZERO },
    };
    let mut options = options(&request, &host, found.map_or_else(ServerKind::default, kind_of));
    // Whether answers are streamed is settled when they are asked for.
    options.shift_remove("stream");
    let mut lines = vec![("options", Value::Object(options).to_string())];
    if !backend.headers.is_empty() {
        let names: Vec<&str> = backend.headers.iter().map(|(name, _)| name.as_str()).collect();
        lines.push(("headers", names.join(", ")));
    }
    lines
}

/// Returns what a server did not take of a model's requests when it was last asked.
fn lacks_of(found: &BackendResolved, asked: &str) -> Features {
    let of_model = found.models_lack.iter().find(|(model, _)| model.as_str() == asked);
    found.lacks.union(of_model.map(|(_, lacks)| *lacks).unwrap_or_default())
}

fn kind_of(found: &BackendResolved) -> ServerKind {
    let kinds = [
        ServerKind::Ollama,
        ServerKind::LlamaCpp,
        ServerKind::Vllm,
        ServerKind::Sglang,
        ServerKind::LmStudio,
        ServerKind::OpenAiCompatible,
    ];
    kinds.into_iter().find(|kind| kind.word() == found.server).unwrap_or_default()
}

/// Shows what is asked about all cases: its template, because what it reads of them comes last of all.
fn over_all(plan: &Plan, step: &Step, printer: &mut Printer) -> Result<(), CommandError> {
    let StepKind::Aggregate(aggregate) = &step.kind else { return Ok(()) };
    let Some(chat) = aggregate.chat() else { return Ok(()) };
    let often = if plan.matrix.is_empty() { "" } else { " of each cell" };
    printer.line(&paint(BOLD, &format!("{} · the one call over all cases{often}", step.name)))?;
    let reads = format!("  reads what {} has not answered yet; its template:", aggregate.of.name);
    printer.line(&paint(DIM, &reads))?;
    let system = plan.actor(chat.actor).system.map(|system| ("system", system));
    for (role, template) in system.into_iter().chain([("user", chat.prompt)]) {
        let text = inert(plan.templates.source(template).trim_end()).replace('\n', "\n             ");
        printer.line(&format!("  {role:<9}  {text}"))?;
    }
    Ok(())
}

/// Returns where a call of the first case stands. Of a talk that is asked about nothing is known but who speaks.
fn place(plan: &Plan, ground: &Ground, item: &ItemId, call: Call, texts: &mut BTreeMap<Digest, Arc<str>>) -> Place {
    let Ground { case, repeat, cell, row, step, each, inputs } = ground.clone();
    let mut turns = Vec::new();
    if let (Call::Ask(_), StepKind::Dialogue(dialogue)) = (call, &plan.step(step).kind) {
        let text = Digest::of("…".as_bytes());
        texts.insert(text, Arc::from("…"));
        let speakers = (1..).map(Call::Turn).take(dialogue.actors.len());
        let speakers = speakers.map(|turn| plan.speaker(step, item, repeat, turn));
        turns.extend(speakers.map(|actor| Turn { actor: plan.actor(actor).name.clone(), text }));
    }
    Place {
        case,
        item: item.clone(),
        repeat,
        cell,
        row,
        step,
        each,
        call,
        actor: plan.speaker(step, item, repeat, call),
        turns,
        mended: None,
        inputs,
        lacks: crate::event::Features::NONE,
    }
}

fn missing<'a>(plan: &'a Plan, step: &Step, settled: &BTreeMap<StepName, TaskSettled>) -> Vec<&'a str> {
    let names = step.reads.iter().map(|&read| &plan.step(read).name);
    names.filter(|name| !settled.contains_key(*name)).map(StepName::as_str).collect()
}

/// Says which of the calls of a task is shown.
fn opening_of(step: &Step) -> String {
    let (least, most) = match &step.kind {
        StepKind::Dialogue(dialogue) => (step.kind.calls().0, dialogue.most_turns()),
        kind => kind.calls(),
    };
    let of = if step.course.for_each.is_some() { " for the first element" } else { "" };
    let words = match (&step.kind, most) {
        (StepKind::Transform(_) | StepKind::Assert(_) | StepKind::Aggregate(_), _) => {
            format!("{}, no call", step.kind.word())
        }
        (_, 1) => "the one call".to_owned(),
        (StepKind::Dialogue(_), most) if least != most => format!("turn 1 of {least} to {most}"),
        (StepKind::Dialogue(_), most) => format!("turn 1 of {most}"),
        (StepKind::Chat(_) | StepKind::Judge(_), most) => format!("call 1 of {most}"),
    };
    words + of
}

/// Returns the first element, if the step has elements.
///
/// # Errors
/// Why nothing is asked, for people.
fn opened(evaluation: Evaluation) -> Result<Option<Element>, String> {
    match evaluation {
        Evaluation::Opened { holds: false, .. } => {
            Err("is not asked for this item: its `when` does not hold".to_owned())
        }
        Evaluation::Opened { holds: true, each: None } | Evaluation::Done(_) => Ok(None),
        Evaluation::Opened { holds: true, each: Some(each) } => {
            each.into_iter().next().map(Some).ok_or_else(|| "is not asked for this item: no element".to_owned())
        }
        Evaluation::Failed(failure) => Err(format!("would fail: {}", failure.detail)),
    }
}

/// Says what a step without a model comes to.
fn worked(evaluation: &Evaluation, texts: &BTreeMap<Digest, Arc<str>>) -> String {
    match evaluation {
        Evaluation::Done(TaskOutput::Value { value }) => {
            texts.get(value).map_or_else(String::new, ToString::to_string)
        }
        Evaluation::Done(_) | Evaluation::Opened { .. } => "holds".to_owned(),
        Evaluation::Failed(failure) => format!("fails, {}: {}", failure.kind.word(), failure.detail),
    }
}

fn known(step: &StepName, output: TaskOutput) -> TaskSettled {
    TaskSettled {
        case: CaseNo(0),
        step: step.clone(),
        status: TaskStatus::Ok,
        because: None,
        output: Some(output),
        failure: None,
        usage: Usage::default(),
        busy_ms: 0,
    }
}
