//! `pipe tune`: other limits for a live run.
//!
//! Whoever tunes checks the values against the pipeline as the journal has it, and says what is wrong with them. The
//! process that works on the run makes its plan again by the same road, and goes on by that.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::args::TuneArgs;
use super::exit::{CommandError, Exit, with_causes};
use super::kept::Kept;
use super::pipeline::{self, Loaded};
use super::printer::{Printer, inert};
use super::steer::{Heard, live_or_newest, order, over, told};
use super::{check, resume, run, show};
use crate::base::Digest;
use crate::event::{BackendResolved, Capacity, Event, RunTuned};
use crate::journal::{Home, Order, Reader, RunDir};
use crate::plan::{BackendIdx, Concurrency, Plan};
use crate::run::{Retuned, Source, source_of};

/// What can be another while a run goes on.
const TUNABLE: [&str; 14] = [
    CONCURRENCY,
    "limits.retries.attempts",
    "limits.retries.within",
    "limits.retries.backoff",
    "limits.timeouts.connect",
    FIRST_TOKEN,
    IDLE,
    "limits.timeouts.total",
    "stop.budget.tokens",
    "stop.budget.cost",
    "stop.budget.time",
    "stop.errors.count",
    "stop.errors.fraction",
    "stop.errors.after",
];
const CONCURRENCY: &str = "limits.concurrency";
/// Only a stream can keep these.
const FIRST_TOKEN: &str = "limits.timeouts.first_token";
const IDLE: &str = "limits.timeouts.idle";

/// Gives a live run other limits.
///
/// # Errors
/// No such run or backend, nobody works on it, a value that cannot be, or no answer.
pub(super) async fn tune(args: &TuneArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    if let Some(other) = args.sets.iter().find(|set| !TUNABLE.contains(&set.name.as_str())) {
        let message = format!("`{}` cannot be changed while a run goes on", other.name);
        let can = TUNABLE.join(", ");
        let instead = "for anything else `pipe stop`, then `pipe resume --set …`, or edit the file and `pipe resume`";
        return Err(CommandError::new(Exit::Usage, message).help(format!("these can: {can}; {instead}")));
    }
    let dir = live_or_newest(home, &args.run)?;
    if !dir.is_held() {
        let message = format!("{} is not running: nothing to tune", dir.id);
        return Err(CommandError::new(Exit::Usage, message)
            .help("`pipe resume --set limits.…` goes on with other limits; so it does with an edited file"));
    }
    match args.concurrency {
        Some(slots) => resize(args, &dir, slots, printer).await,
        None => replace(args, &dir, printer).await,
    }
}

/// Changes how many calls are in flight at once, for as long as the process lives.
async fn resize(
    args: &TuneArgs,
    dir: &RunDir,
    slots: NonZeroU32,
    printer: &mut Printer,
) -> Result<Exit, CommandError> {
    let backends = backends(dir)?;
    let meant: Vec<_> =
        backends.iter().filter(|one| args.backend.as_ref().is_none_or(|name| one.backend.as_str() == name)).collect();
    let Some(last) = meant.last() else {
        let names: Vec<&str> = backends.iter().map(|one| one.backend.as_str()).collect();
        let message = format!("{} has no backend {:?}", dir.id, args.backend.as_deref().unwrap_or_default());
        return Err(CommandError::new(Exit::Usage, message).help(format!("it has {}", names.join(", "))));
    };
    let embedded = meant.iter().find(|one| one.endpoint == "embedded" && one.slots < slots.get());
    if let Some(small) = embedded {
        return Err(no_room(small.slots));
    }
    // Backends are tuned in this order, so the last one's answer is the answer of all.
    let done = |event: &Event| {
        matches!(event, Event::CapacityChanged(changed)
            if changed.backend == last.backend && changed.change == Capacity::Slots(slots.get()))
    };
    let backend = args.backend.as_deref().map(crate::base::BackendName::from);
    match order(dir, &Order::Slots { backend, slots }, &done).await? {
        Heard::Done => {
            let names: Vec<&str> = meant.iter().map(|one| one.backend.as_str()).collect();
            let calls = check::counted(u64::from(slots.get()), "call");
            let says = format!("{}: {} at once from here on at {}", dir.id, calls, names.join(", "));
            told(dir, "tuned", &says, args.json, printer)
        }
        other => over(dir, &other, args.json, printer),
    }
}

fn backends(dir: &RunDir) -> Result<Vec<BackendResolved>, CommandError> {
    show::open(dir)?.backends().map_err(|error| CommandError::journal(&error))
}

fn no_room(slots: u32) -> CommandError {
    let message = format!("the model inside of the process has room for {slots} calls at once");
    CommandError::new(Exit::Usage, message).help("`pipe stop`, then `pipe resume --set limits.concurrency=…`")
}

/// Replaces values of the pipeline, for this process and those that take the run up later.
async fn replace(args: &TuneArgs, dir: &RunDir, printer: &mut Printer) -> Result<Exit, CommandError> {
    let sets: Vec<_> = args.sets.iter().map(|set| (set.name.clone(), set.value.clone())).collect();
    let mut told_of = ToldOf::open(dir)?;
    told_of.source.replace(&sets);
    let loaded = told_of.compile()?;
    let Some(plan) = &loaded.plan else {
        loaded.say(printer);
        return pipeline::refuse(Path::new(&told_of.file), &loaded, None, args.json, printer);
    };
    if plan.hash != told_of.hash {
        return Err(CommandError::new(Exit::Usage, OTHER_PLAN).help(OTHER_PLAN_HELP));
    }
    let slots = slots(plan, &sets).map_err(|why| CommandError::new(Exit::Usage, why))?;
    let backends = backends(dir)?;
    for (BackendIdx(place), wanted) in slots {
        let name = &plan.backends[place].name;
        let known = backends.iter().find(|one| one.backend == *name && one.endpoint == "embedded");
        if let Some(small) = known.filter(|one| one.slots < wanted.get()) {
            return Err(no_room(small.slots));
        }
    }
    let done = |event: &Event| matches!(event, Event::RunTuned(tuned) if tuned.asked == sets);
    match order(dir, &Order::Tune { sets: sets.clone() }, &done).await? {
        Heard::Done => {
            let says = format!("{}: {} from here on, also after a resume", dir.id, inert(&phrase(&sets)));
            told(dir, "tuned", &says, args.json, printer)
        }
        other => over(dir, &other, args.json, printer),
    }
}

/// Says which values are others now.
pub(in crate::cli) fn phrase(sets: &[(String, String)]) -> String {
    sets.iter().map(|(path, value)| format!("{path}={value}")).collect::<Vec<_>>().join(", ")
}

const OTHER_PLAN: &str = "with that, the run would ask something else than it began with";
const OTHER_PLAN_HELP: &str = "`pipe stop`, then `pipe resume --set …` goes on in a new run that takes over what is \
                               settled; or what the file reads of the environment differs here";

/// Returns how many calls each backend works on from here on; none where that is not asked for.
fn slots(plan: &Plan, sets: &[(String, String)]) -> Result<Vec<(BackendIdx, NonZeroU32)>, String> {
    if !sets.iter().any(|(path, _)| path == CONCURRENCY) {
        return Ok(Vec::new());
    }
    let backends = plan.backends.iter().enumerate();
    let fixed = backends.map(|(place, backend)| match backend.concurrency {
        Concurrency::Fixed(slots) => Ok((BackendIdx(place), slots)),
        Concurrency::Auto => {
            Err(format!("{CONCURRENCY} of a live run is a number: what a server can do is found out at the start"))
        }
    });
    fixed.collect()
}

/// What a run is made of, as its journal says.
struct ToldOf {
    source: Source,
    kept: Kept,
    file: String,
    hash: Digest,
}

impl ToldOf {
    fn open(dir: &RunDir) -> Result<Self, CommandError> {
        let reader: Reader = show::open(dir)?;
        let (_, started) = reader.run_started().map_err(|error| CommandError::journal(&error))?;
        let source = source_of(&reader, &started).map_err(|error| CommandError::journal(&error))?;
        Ok(Self { source, kept: Kept::read(&started)?, file: started.file, hash: started.plan })
    }

    fn compile(&self) -> Result<Loaded, CommandError> {
        let file = Path::new(&self.file);
        pipeline::compile_again(file, &self.source, &self.kept.overrides, self.kept.allow_outside)
    }
}

/// Makes the plan of a run again, from the texts in its journal.
///
/// # Errors
/// Why that cannot be, in words.
pub(super) fn plan_of(dir: &RunDir) -> Result<Arc<Plan>, String> {
    let told_of = ToldOf::open(dir).map_err(|error| error.to_string())?;
    let plan = told_of.compile().map_err(|error| error.to_string())?.plan;
    let plan = plan.ok_or("its pipeline cannot be read again")?;
    if plan.hash == told_of.hash {
        Ok(plan)
    } else {
        Err("this version of pipe, or this environment, makes another plan of the same pipeline".to_owned())
    }
}

/// Makes the plan of the run that this process works on again.
pub(super) struct Retuner {
    dir: RunDir,
    /// Whether answers are streamed.
    streams: bool,
    /// As of the last order; read in the journal at the first.
    last: Mutex<Option<(ToldOf, Arc<Plan>)>>,
}

impl Retuner {
    pub(super) const fn new(dir: RunDir, streams: bool) -> Self {
        Self { dir, streams, last: Mutex::new(None) }
    }

    /// Makes the plan with values replaced.
    ///
    /// # Errors
    /// Why that cannot be.
    pub(super) fn retune(&self, sets: &[(String, String)]) -> Result<Retuned, String> {
        if let Some((path, _)) = sets.iter().find(|(path, _)| !TUNABLE.contains(&path.as_str())) {
            return Err(format!("`{path}` cannot be changed while a run goes on"));
        }
        if let Some((path, _)) = sets.iter().find(|(path, _)| [FIRST_TOKEN, IDLE].contains(&path.as_str()))
            && !self.streams
        {
            return Err(format!(
                "only streamed answers keep {path}, and this process does not stream: tune limits.timeouts.total, or \
                 `pipe stop` and `pipe resume --set {path}=…`, which streams"
            ));
        }
        let said = |error: CommandError| error.to_string();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut now, before) = if let Some(known) = last.take() {
            known
        } else {
            let now = ToldOf::open(&self.dir).map_err(said)?;
            let before = now.compile().map_err(said)?.plan.ok_or("its pipeline cannot be read again")?;
            (now, before)
        };
        let kept = now.source.clone();
        now.source.replace(sets);
        match made(&now, &before, sets) {
            Ok(retuned) => {
                *last = Some((now, Arc::clone(&retuned.plan)));
                Ok(retuned)
            }
            Err(why) => {
                now.source = kept;
                *last = Some((now, before));
                Err(why)
            }
        }
    }
}

fn made(now: &ToldOf, before: &Plan, sets: &[(String, String)]) -> Result<Retuned, String> {
    let loaded = now.compile().map_err(|error| with_causes(&error))?;
    let Some(plan) = loaded.plan else {
        let message = loaded.diagnostics.first().map_or("the values cannot be", |diagnostic| &diagnostic.message);
        return Err(message.to_owned());
    };
    if plan.hash != now.hash {
        return Err(OTHER_PLAN.to_owned());
    }
    let slots = slots(&plan, sets)?;
    let changed = resume::tuned(before, &plan);
    let (source, files, _) = run::recorded(loaded.text, &loaded.read);
    let (prices, cell_prices) = (plan.prices(), plan.cell_prices());
    let tuned =
        RunTuned { source, files, prices, cell_prices, changed, sets: now.source.sets.clone(), asked: sets.to_vec() };
    Ok(Retuned { plan, tuned, slots })
}
