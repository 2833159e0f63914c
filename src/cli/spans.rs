//! A run's spans while it goes on: followed in its journal and sent by a thread of their own.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::exit::{CommandError, Exit};
use super::printer::{Printer, inert};
use super::trace::{no_collector, says, variable};
use crate::base::SpanContext;
use crate::event::{Shape, Traced};
use crate::journal::RunDir;
use crate::plan::Plan;
use crate::telemetry::{Collector, CollectorError, Courier, Delivered, Patience, SendError, Settings};

/// How often the journal is looked at when it had nothing new.
const LOOK: Duration = Duration::from_millis(500);
/// How long a run waits at its end for what the collector has not taken yet.
const FLUSH: Duration = Duration::from_secs(30);
/// After so long, people are told what is waited for.
const SOON: Duration = Duration::from_secs(2);
/// Most spans of a run that is shown as one trace: user interfaces load a trace whole.
const MOST_TOGETHER: u64 = 1_000;

/// Where a run's spans go, and what of it they tell.
pub(super) struct Telling {
    collector: Collector,
    settings: Settings,
}

/// Finds where a run's spans go; none where nobody names a collector.
///
/// # Errors
/// What names one is no address, or the environment asks for what is not understood.
pub(super) fn telling(flag: Option<&str>, plan: &Plan) -> Result<Option<Telling>, CommandError> {
    let told = || -> Result<Option<Telling>, CollectorError> {
        let Some(collector) = Collector::find(flag, &variable)? else { return Ok(None) };
        Ok(Some(Telling { collector, settings: Settings::of(Some(plan), &variable)? }))
    };
    told().map_err(|error| no_collector(&error))
}

/// Returns the span that whoever started this process gave it as its parent.
pub(super) fn caller() -> Option<SpanContext> {
    variable("TRACEPARENT")?.parse().ok()
}

/// Decides how a run is told, once.
pub(super) fn traced(plan: &Plan, cases: u64) -> Traced {
    let spans = cases.saturating_mul(plan.steps.len() as u64).saturating_mul(2);
    let by_size = if spans <= MOST_TOGETHER { Shape::Run } else { Shape::Item };
    Traced { shape: plan.telemetry.shape.unwrap_or(by_size), parent: caller() }
}

/// The thread that sends.
pub(super) struct Following {
    place: String,
    stop: watch::Sender<Option<Instant>>,
    thread: JoinHandle<Result<Delivered, SendError>>,
}

/// Starts to follow a run whose first event may still be under way.
///
/// # Errors
/// The system gives no thread.
pub(super) fn follow(dir: &RunDir, plan: &Arc<Plan>, telling: Telling) -> io::Result<Following> {
    let (stop, stopped) = watch::channel(None);
    let place = telling.collector.to_string();
    let (dir, plan) = (dir.clone(), Arc::clone(plan));
    let thread = Builder::new().name("spans".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| SendError::Client(error.to_string()))?;
        runtime.block_on(send(&dir, plan, telling, Following::patience(stopped)))
    })?;
    Ok(Following { place, stop, thread })
}

/// Sends what comes until the run is over, and then what is left.
async fn send(
    dir: &RunDir,
    plan: Arc<Plan>,
    telling: Telling,
    mut patience: UntilStopped,
) -> Result<Delivered, SendError> {
    let Telling { collector, settings } = telling;
    let mut courier = Courier::open(dir, Some(plan), settings, collector, false)?;
    loop {
        let was_over = patience.is_stopped();
        courier.deliver(&mut patience).await?;
        if was_over {
            return courier.delivered();
        }
        patience.rest(LOOK).await;
    }
}

/// Waits for a collector as long as the run goes on, and at its end until a moment.
struct UntilStopped(watch::Receiver<Option<Instant>>);

impl UntilStopped {
    /// Returns until when there is time; none while the run goes on.
    fn until(&self) -> Option<Instant> {
        // Whoever was to stop it is gone: nobody waits for it.
        if self.0.has_changed().is_err() { Some(Instant::now()) } else { *self.0.borrow() }
    }

    fn is_stopped(&self) -> bool {
        self.until().is_some()
    }

    /// Rests for so long, or until the run is over.
    async fn rest(&mut self, wait: Duration) {
        if self.is_stopped() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            // A sender that is gone has stopped it too.
            _ = self.0.changed() => {}
        }
    }
}

impl Patience for UntilStopped {
    fn is_over(&self) -> bool {
        self.until().is_some_and(|until| Instant::now() >= until)
    }

    async fn wait(&mut self, wait: Duration) -> bool {
        let Some(until) = self.until() else {
            self.rest(wait).await;
            return true;
        };
        let left = until.saturating_duration_since(Instant::now());
        tokio::time::sleep(wait.min(left)).await;
        !self.is_over()
    }
}

impl Following {
    const fn patience(stopped: watch::Receiver<Option<Instant>>) -> UntilStopped {
        UntilStopped(stopped)
    }

    /// Waits for what is left, for a while, and says what became of all spans and where to find them.
    ///
    /// # Errors
    /// The thread died: a bug.
    async fn end(self, dir: &RunDir, name: &str, printer: &mut Printer) -> Result<(), CommandError> {
        let Self { place, stop, thread } = self;
        // A thread that has ended has nobody left to tell.
        stop.send(Some(Instant::now() + FLUSH)).ok();
        let mut told = false;
        let mut joined = tokio::task::spawn_blocking(move || thread.join());
        let ended = loop {
            tokio::select! {
                ended = &mut joined => break ended.map_err(|error| error.to_string()),
                () = tokio::time::sleep(SOON), if !told => {
                    told = true;
                    let seconds = FLUSH.as_secs();
                    printer.say(&format!("  waiting up to {seconds} s for {place} to take the spans (Ctrl-C: later)"));
                }
                _ = tokio::signal::ctrl_c() => drop(stop.send(Some(Instant::now()))),
            }
        };
        let ended = ended.and_then(|ended| ended.map_err(|_| "the thread that sends spans died".to_owned()));
        let ended = ended.map_err(|error| CommandError::new(Exit::Bug, error))?;
        let again = format!("pipe trace send {name} --to {place}");
        match ended {
            Ok(delivered) => {
                printer.say(&format!("  {}", says(&delivered).replacen("spans:", "spans     ", 1)));
                match delivered.pending {
                    0 => printer
                        .say(&format!("             at {place}: search pipe.run.id={}", inert(dir.id.as_str()))),
                    _ => printer.say(&format!("             the rest stays in the journal: {again}")),
                }
            }
            Err(error) => {
                printer.say(&format!("  spans      {}", inert(&error.to_string())));
                printer.say(&format!("             they stay in the journal: {again}"));
                if let SendError::Refused { help, .. } = error {
                    printer.say(&format!("             {help}"));
                }
            }
        }
        Ok(())
    }
}

/// Says what became of a run's spans; where no collector was named, how to send them later.
///
/// # Errors
/// The thread that sends them died: a bug.
pub(super) async fn end(
    following: Option<Following>,
    dir: &RunDir,
    name: &str,
    printer: &mut Printer,
) -> Result<(), CommandError> {
    if let Some(following) = following {
        return following.end(dir, name, printer).await;
    }
    printer.say(&format!("  spans      pipe trace send {name} --to URL"));
    Ok(())
}
