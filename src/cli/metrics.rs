//! Metrics of a run while it goes: `--metrics-addr`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::args::Session;
use super::exit::{CommandError, Exit, with_causes};
use super::printer::{DIM, Printer, paint};
use crate::base::{ActorName, RunId};
use crate::journal::{EventSeq, Reader};
use crate::plan::{Budgets, Plan};
use crate::report::Watch;
use crate::run::Live;
use crate::telemetry::metrics::{Allowed, Metrics, ModelOf, serve};

/// Messages that may wait for the metrics: some seconds of a fast run. When it is full, facts wait for room.
const CHANNEL: usize = 1_024;

/// Takes the address that metrics are asked for at, and says it; none without the option.
///
/// # Errors
/// The address cannot be had.
pub(super) async fn listen(session: &Session, printer: &mut Printer) -> Result<Option<TcpListener>, CommandError> {
    let Some(address) = session.metrics_addr else { return Ok(None) };
    let listener = TcpListener::bind(address).await.map_err(|error| refused(address, &error))?;
    let address = listener.local_addr().unwrap_or(address);
    printer.say(&paint(DIM, &format!("metrics at http://{address}/metrics")));
    Ok(Some(listener))
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

/// Starts to keep metrics and to tell them; returns where facts go. What it started ends with `services`.
///
/// # Errors
/// The journal of a resumed run cannot be read, or a bug.
pub(super) fn start(
    about: &About<'_>,
    listener: TcpListener,
    services: &mut JoinSet<()>,
) -> Result<mpsc::Sender<Live>, CommandError> {
    let watch = if about.is_resumed { watched(about.journal)? } else { Watch::default() };
    let models = models_of(about.plan, about.models);
    let metrics = Metrics::new(about.run, &about.plan.name, watch, models)
        .map_err(|error| CommandError::new(Exit::Bug, with_causes(&error)))?;
    let scrape = metrics.scrape();
    services.spawn(async move { match serve(listener, scrape).await {} });
    let (live, facts) = mpsc::channel(CHANNEL);
    services.spawn(follow(metrics, facts));
    Ok(live)
}

/// Keeps metrics until the run is over.
async fn follow(mut metrics: Metrics, mut facts: mpsc::Receiver<Live>) {
    while let Some(live) = facts.recv().await {
        match live {
            Live::Facts(facts) => metrics.take(&facts),
            Live::Total(total) => metrics.expect(total),
            Live::Budget(Budgets { tokens, cost, time }) => metrics.allow(Allowed { tokens, cost, time }),
            Live::Sampled(sampled) => metrics.sampled(&sampled),
            Live::InFlight(_) | Live::Piece { .. } => {}
        }
    }
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
