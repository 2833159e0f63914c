//! Metrics of a run while it goes: scraped at `--metrics-addr`, pushed to a collector.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::args::Session;
use super::exit::{CommandError, Exit, with_causes};
use super::printer::{DIM, Printer, inert, paint};
use super::trace::{no_collector, variable};
use crate::base::{ActorName, RunId};
use crate::journal::{EventSeq, Reader};
use crate::plan::{Budgets, Plan};
use crate::report::Watch;
use crate::run::Live;
use crate::telemetry::Untaken;
use crate::telemetry::metrics::{Allowed, Metrics, ModelOf, Push, Pushed, serve};

/// Messages that may wait for the metrics: some seconds of a fast run. When it is full, facts wait for room.
const CHANNEL: usize = 1_024;
/// How long the end of a run waits for a collector to take the last metrics.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where metrics go.
#[derive(Default)]
pub(super) struct Outlets {
    /// To whoever asks here.
    listener: Option<TcpListener>,
    /// To a collector.
    push: Option<Push>,
}

/// Finds where metrics go, and takes the address that they are asked for at, and says it.
///
/// # Errors
/// The address cannot be had, or the environment names a collector that cannot be.
pub(super) async fn outlets(session: &Session, printer: &mut Printer) -> Result<Outlets, CommandError> {
    let push = Push::find(&variable).map_err(|error| no_collector(&error))?;
    let Some(address) = session.metrics_addr else { return Ok(Outlets { listener: None, push }) };
    let listener = TcpListener::bind(address).await.map_err(|error| refused(address, &error))?;
    let address = listener.local_addr().unwrap_or(address);
    printer.say(&paint(DIM, &format!("metrics at http://{address}/metrics")));
    Ok(Outlets { listener: Some(listener), push })
}

fn refused(address: SocketAddr, error: &std::io::Error) -> CommandError {
    let (message, help) = match error.kind() {
        std::io::ErrorKind::AddrInUse => (
            format!("--metrics-addr {address}: another process listens there"),
            "--metrics-addr 127.0.0.1:0 takes a free port and says which".to_owned(),
        ),
        std::io::ErrorKind::AddrNotAvailable => (
            format!("--metrics-addr {address}: this machine has no such address"),
            "127.0.0.1 is for this machine alone, 0.0.0.0 for all that reach it".to_owned(),
        ),
        _ => (format!("--metrics-addr {address}: {error}"), "127.0.0.1:9464 needs no rights".to_owned()),
    };
    CommandError::new(Exit::Usage, message).help(help)
}

/// What metrics need to know of a run.
pub(super) struct About<'a> {
    pub(super) run: &'a RunId,
    pub(super) plan: &'a Arc<Plan>,
    /// The model behind each actor of each cell.
    pub(super) models: &'a [Vec<Arc<str>>],
    pub(super) journal: &'a Path,
    /// Another process began the run.
    pub(super) is_resumed: bool,
}

/// Metrics that are kept.
pub(super) struct Keeping {
    /// Where they are pushed to.
    place: Option<String>,
    /// Answers scrapes; ends when this is dropped.
    _services: JoinSet<()>,
    /// Gives the metrics back when the run is over.
    follower: JoinSet<Metrics>,
}

/// Starts to keep metrics and to tell them, where anybody wants them; returns also where facts go.
///
/// # Errors
/// The journal of a resumed run cannot be read, no request be made, or a bug.
pub(super) fn start(
    about: &About<'_>,
    outlets: Outlets,
) -> Result<Option<(Keeping, mpsc::Sender<Live>)>, CommandError> {
    let Outlets { listener, push } = outlets;
    if listener.is_none() && push.is_none() {
        return Ok(None);
    }
    let watch = if about.is_resumed { watched(about.journal)? } else { Watch::default() };
    let models = models_of(about.plan, about.models);
    let place = push.as_ref().map(ToString::to_string);
    let metrics = Metrics::new(about.run, &about.plan.name, watch, models, push)
        .map_err(|error| CommandError::new(Exit::Bug, with_causes(&error)))?;
    let mut services = JoinSet::new();
    if let Some(listener) = listener {
        let scrape = metrics.scrape();
        services.spawn(async move { match serve(listener, scrape).await {} });
    }
    let (live, facts) = mpsc::channel(CHANNEL);
    let mut follower = JoinSet::new();
    follower.spawn(follow(metrics, facts));
    Ok(Some((Keeping { place, _services: services, follower }, live)))
}

/// Pushes the last of them, for a moment, and says what became of what was pushed.
pub(super) async fn end(keeping: Option<Keeping>, printer: &mut Printer) {
    let Some(Keeping { place: Some(place), mut follower, .. }) = keeping else { return };
    let (tell, told) = oneshot::channel();
    let finish = async {
        let metrics = follower.join_next().await?.ok()?;
        // A thread of its own: the SDK waits longer for a collector that is away than people do.
        let finish = move || drop(tell.send(metrics.finish()));
        std::thread::Builder::new().name("metrics".to_owned()).spawn(finish).ok()?;
        told.await.ok()
    };
    match tokio::time::timeout(PATIENCE, finish).await.ok().flatten() {
        Some(Pushed { trouble: None, .. }) => printer.say(&format!("  metrics    pushed to {place}")),
        Some(Pushed { trouble: Some(Untaken { answer, help }), .. }) => {
            printer.say(&format!("  metrics    {place} did not take the last of them: {}", inert(&answer)));
            printer.say(&format!("{:13}{help}", ""));
        }
        None => printer.say(&format!("  metrics    {place} did not take the last of them in time")),
    }
}

/// Keeps metrics until the run is over, and returns them.
async fn follow(mut metrics: Metrics, mut facts: mpsc::Receiver<Live>) -> Metrics {
    while let Some(live) = facts.recv().await {
        match live {
            Live::Facts(facts) => metrics.take(&facts),
            Live::Total(total) => metrics.expect(total),
            Live::Budget(Budgets { tokens, cost, time }) => metrics.allow(Allowed { tokens, cost, time }),
            Live::Sampled(sampled) => metrics.sampled(&sampled),
            Live::InFlight(_) | Live::Piece { .. } => {}
        }
    }
    metrics
}

/// Returns what a run was at, as its journal tells.
fn watched(journal: &Path) -> Result<Watch, CommandError> {
    let reader = Reader::open(journal).map_err(|error| CommandError::journal(&error))?;
    let mut watch = Watch::of(reader.that_count().map_err(|error| CommandError::journal(&error))?);
    reader
        .events_after(EventSeq::default(), &mut |_, recorded| {
            watch.add(&recorded);
            Ok(())
        })
        .map_err(|error| CommandError::journal(&error))?;
    Ok(watch)
}

/// Returns what tells the model behind an actor, in the cell of the values given.
fn models_of(plan: &Plan, models: &[Vec<Arc<str>>]) -> ModelOf {
    let cells = plan.all_cells().zip(models).map(|((_, cell), models)| {
        let actors = cell.actors.iter().zip(models).map(|(actor, model)| (actor.name.clone(), Arc::clone(model)));
        (cell.matrix.clone(), actors.collect::<BTreeMap<ActorName, Arc<str>>>())
    });
    let cells: Vec<_> = cells.collect();
    Box::new(move |matrix, actor| {
        let (_, actors) = cells.iter().find(|(values, _)| values == matrix)?;
        actors.get(actor).cloned()
    })
}
