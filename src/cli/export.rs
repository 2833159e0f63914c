//! `pipe export`: the rows of a run; or requests as a file for a batch service, those of a run as they were sent, or
//! those of a pipeline that need no answer first.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::args::{ExportArgs, ExportFormat, ResultsArgs, RowFormat};
use super::asked::place_of;
use super::earlier::{Earlier, voices_by_cell};
use super::exit::{CommandError, Exit, with_causes};
use super::pipeline;
use super::printer::Printer;
use super::show::{find, open};
use super::show_texts::{Said, calls_of, messages};
use crate::backend::openai::batch_body;
use crate::backend::{ChatRequest, Format, Message, Role};
use crate::base::{CaseNo, Digest, StepName};
use crate::journal::{CaseRecord, Home, JournalError, Reader};
use crate::plan::{Ballot, Call, Course, Place, Plan, StepIdx, StepKind, seed_of};
use crate::run::Intake;
use crate::task::{self, Composed};
use crate::worker::Station;

/// Writes requests to stdout or a file, one a line.
///
/// # Errors
/// There is no such run or file, it is wrong, or no model is named.
///
/// # Cancel safety
/// A file may be left half written.
pub(super) async fn export(args: &ExportArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let is_file = Path::new(&args.what).extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    if args.format == ExportFormat::Jsonl {
        return rows(args, is_file, home, printer);
    }
    let (lines, note) = match is_file {
        true => of_file(args, printer).await?,
        false => of_run(args, home)?,
    };
    let count = super::check::counted(lines.len() as u64, "request");
    match &args.out {
        None => lines.iter().try_for_each(|line| printer.line(line))?,
        Some(path) if path.exists() && !args.force => {
            let message = format!("{} exists", path.display());
            return Err(CommandError::new(Exit::Usage, message).help("--force replaces it"));
        }
        Some(path) => std::fs::write(path, lines.iter().flat_map(|line| [line, "\n"]).collect::<String>())?,
    }
    printer.say(&format!("{count}{note}"));
    Ok(Exit::Done)
}

/// Writes the rows of a run, one after the other as they are read.
fn rows(args: &ExportArgs, is_file: bool, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let of_requests = [
        (is_file, "a pipeline file has no rows"),
        (args.model.is_some(), "--model names the model of requests, and rows have none"),
        (!args.overrides.sets.is_empty(), "--set changes requests, and the rows of a run are as they are"),
        (!args.overrides.params.is_empty(), "-p changes requests, and the rows of a run are as they are"),
    ];
    if let Some((_, message)) = of_requests.iter().find(|(is_given, _)| *is_given) {
        return Err(CommandError::new(Exit::Usage, *message).help("pipe export last --format jsonl"));
    }
    let args = ResultsArgs {
        run: args.what.clone(),
        out: args.out.clone(),
        force: args.force,
        format: Some(RowFormat::Jsonl),
        json: args.json,
    };
    super::results::results(&args, home, printer)
}

/// Names a request; the answers of a batch come back under it.
fn custom_id(case: CaseNo, step: &StepName, call: &str) -> String {
    format!("{case}/{step}/{call}")
}

fn line(id: &str, request: &ChatRequest) -> String {
    let body: Value = serde_json::from_slice(&batch_body(request)).expect("it was written as JSON");
    json!({ "custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body }).to_string()
}

/// Everything that makes a request of a place.
fn station(plan: &Arc<Plan>, models: Vec<Vec<Arc<str>>>) -> Station {
    Station {
        plan: Arc::clone(plan),
        backends: Vec::new(),
        models,
        refused: Vec::new(),
        stream: false,
        texts: Arc::new(|_, _| None),
        outputs: Arc::new(|_, _, _| Ok(())),
        recall: None,
        tracing: None,
    }
}

/// Returns the calls of a run, each once, with the messages that its last attempt sent.
fn of_run(args: &ExportArgs, home: &Home) -> Result<(Vec<String>, String), CommandError> {
    let dir = find(home, &args.what)?;
    let reader = open(&dir)?;
    let earlier = Earlier::open(&dir)?;
    let name = |voice: &crate::plan::Voice| match &args.model {
        Some(model) => Arc::from(model.as_str()),
        None => Arc::clone(&voice.model),
    };
    let models = earlier.voices.iter().map(|voices| voices.iter().map(name).collect()).collect();
    let station = station(&earlier.plan, models);
    let mut lines = Vec::new();
    let mut unsent = 0;
    let counted = reader.that_count().map_err(|error| CommandError::journal(&error))?;
    let mut add = |case: CaseRecord| -> Result<(), JournalError> {
        if !counted.counts(case.admitted.case) {
            return Ok(());
        }
        let (more, without) = calls_of_case(&reader, &station, &case)?;
        lines.extend(more);
        unsent += without;
        Ok(())
    };
    reader.cases(CaseNo(0), &mut add).map_err(|error| CommandError::journal(&error))?;
    // What was asked about all cases is numbered after them.
    let mut number = CaseNo(reader.case_counts().map_err(|error| CommandError::journal(&error))?.admitted);
    while let Some(closing) = reader.case(number).map_err(|error| CommandError::journal(&error))? {
        let found = calls_of_case(&reader, &station, &closing).map_err(|error| CommandError::journal(&error))?;
        lines.extend(found.0);
        unsent += found.1;
        number = CaseNo(number.0 + 1);
    }
    let note = match unsent {
        0 => String::new(),
        count => format!(
            "; left out: {} that were never sent or cannot be made again",
            super::check::counted(count, "call")
        ),
    };
    Ok((lines, note))
}

fn calls_of_case(reader: &Reader, station: &Station, case: &CaseRecord) -> Result<(Vec<String>, u64), JournalError> {
    let number = case.admitted.case;
    let attempts = reader.attempts_of(number)?;
    let steps: BTreeSet<&StepName> = attempts.iter().map(|attempt| &attempt.started.id.step).collect();
    let (mut lines, mut unsent) = (Vec::new(), 0);
    for call in steps.into_iter().flat_map(|step| calls_of(&attempts, step)) {
        let sent = call.attempts.iter().rev().find_map(|attempt| attempt.ended.as_ref());
        let said = sent.map_or(Ok(Vec::new()), |(_, ended)| messages(reader, ended))?;
        let started = &call.last().started;
        let place = place_of(&station.plan, case, &attempts, started);
        // The options of an answer come from the plan; what was said comes from the journal.
        let texts = |digest: &Digest| reader.text(Some(number), digest).ok().flatten();
        let composed = place.map(|place| {
            let (plan, home) = (station.plan.cell(place.cell), station.plan.home_of(place.cell));
            let composed = match &plan.step(place.step).kind {
                // Its options are the actor's alone, and its messages need every case.
                StepKind::Aggregate(_) => {
                    let seed = seed_of(plan, &place);
                    Ok(Composed { messages: Vec::new(), format: Format::Text, seed, dropped_turns: 0 })
                }
                _ => task::compose(plan, &place, &station.models[home.0], &texts),
            };
            (composed, place)
        });
        let Some((Ok(composed), place)) = composed.filter(|_| !said.is_empty()) else {
            unsent += 1;
            continue;
        };
        let timeouts = station.plan.limits.timeouts;
        let mut request = station.request(&place, composed, timeouts);
        request.messages = said.iter().map(message).collect();
        lines.push(line(&custom_id(number, &started.id.step, &call.path), &request));
    }
    Ok((lines, unsent))
}

fn message(said: &Said) -> Message {
    let role = match said.role.as_str() {
        "system" => Role::System,
        "assistant" => Role::Assistant,
        _ => Role::User,
    };
    Message { role, content: Arc::clone(&said.text) }
}

/// Returns the first call of each step that reads no answer, for every case.
async fn of_file(args: &ExportArgs, printer: &mut Printer) -> Result<(Vec<String>, String), CommandError> {
    let file = Path::new(&args.what);
    let mut overrides = pipeline::overrides(&args.overrides);
    overrides.model.clone_from(&args.model);
    let loaded = pipeline::load(file, &overrides, args.overrides.allow_outside)?;
    loaded.say(printer);
    let Some(plan) = loaded.plan else {
        return Err(CommandError::new(Exit::InvalidPipeline, format!("{} is wrong", file.display())));
    };
    let names = |voices: Vec<crate::plan::Voice>| voices.into_iter().map(|voice| voice.model).collect();
    let models = voices_by_cell(&plan, &[]).into_iter().map(names).collect();
    let station = station(&plan, models);
    let mut lines = Vec::new();
    let mut waiting: BTreeSet<&str> = BTreeSet::new();
    let intake = |error: crate::run::IntakeError| CommandError::new(Exit::InvalidPipeline, with_causes(&error));
    let mut cases = Intake::start(Arc::clone(&plan), 0, Digest::LEAST, None).map_err(intake)?;
    let mut number = CaseNo(0);
    while let Some(read) = cases.next().await {
        let read = read.map_err(intake)?;
        let texts = |digest: &Digest| {
            read.texts.iter().find(|text| text.digest == *digest).map(|text| Arc::clone(&text.body))
        };
        let of = read.offered.cell;
        for (index, step) in plan.cell(of).steps.iter().enumerate() {
            let Course { when, for_each, .. } = &step.course;
            if !step.reads.is_empty() || when.is_some() || for_each.is_some() {
                waiting.insert(step.name.as_str());
                continue;
            }
            let call = match &step.kind {
                StepKind::Chat(_) => Call::Say,
                StepKind::Dialogue(_) => Call::Turn(1),
                StepKind::Transform(_) | StepKind::Assert(_) | StepKind::Aggregate(_) => continue,
                StepKind::Judge(judge) => {
                    Call::Vote(Ballot { seat: u32::from(judge.actors.len() > 1), ..Ballot::first() })
                }
            };
            let actor = plan.speaker(StepIdx(index), &read.offered.item, read.offered.repeat, call);
            let place = Place {
                case: number,
                item: read.offered.item.clone(),
                repeat: read.offered.repeat,
                cell: of,
                row: read.offered.row,
                step: StepIdx(index),
                call,
                actor,
                turns: Vec::new(),
                inputs: Vec::new(),
                lacks: crate::event::Features::NONE,
                mended: None,
                each: None,
            };
            if &*station.models[of.0][actor.0] == "auto" {
                let message = format!(
                    "actor {:?} has no model's name, and a batch needs one",
                    plan.cell(of).actor(actor).name.as_str()
                );
                return Err(CommandError::new(Exit::Usage, message).help("name it: --model NAME"));
            }
            let composed = task::compose(plan.cell(of), &place, &station.models[of.0], &texts)
                .map_err(|error| CommandError::new(Exit::InvalidPipeline, with_causes(&error)))?;
            let request = station.request(&place, composed, plan.limits.timeouts);
            lines.push(line(&custom_id(number, &step.name, call.path().as_str()), &request));
        }
        number = CaseNo(number.0 + 1);
    }
    let note = match waiting.is_empty() {
        true => String::new(),
        false => format!(
            "; left out: {}, which read answers or depend on a condition or a list",
            waiting.into_iter().collect::<Vec<_>>().join(", ")
        ),
    };
    Ok((lines, note))
}
