//! A run's spans while it goes on: followed in its journal and sent by a thread of their own.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::exit::{CommandError, Exit};
use super::printer::{Printer, inert};
use super::trace::{no_collector, says, settings, variable};
use crate::base::SpanContext;
use crate::event::{Shape, Traced};
use crate::journal::RunDir;
use crate::plan::Plan;
use crate::telemetry::{Collector, Courier, Delivered, Patience, SendError};

/// How often the journal is looked at when it had nothing new.
const LOOK: Duration = Duration::from_millis(500);
/// How long a run waits at its end for what the collector has not taken yet.
const FLUSH: Duration = Duration::from_secs(30);
/// Most spans of a run that is shown as one trace: user interfaces load a trace whole.
const MOST_TOGETHER: u64 = 1_000;

/// Finds the collector that a run's spans go to; none where nobody names one.
///
/// # Errors
/// What names one is no address.
pub(super) fn collector(flag: Option<&str>) -> Result<Option<Collector>, CommandError> {
    Collector::find(flag, None, &variable).map_err(|error| no_collector(&error))
}

/// Returns the span that whoever started this process gave it as its parent.
pub(super) fn caller() -> Option<SpanContext> {
    variable("TRACEPARENT")?.parse().ok()
}

/// Decides how a run is told, once.
pub(super) fn traced(plan: &Plan, cases: u64) -> Traced {
    let steps = plan.steps.len() as u64;
    let shape = if cases.saturating_mul(steps).saturating_mul(2) <= MOST_TOGETHER { Shape::Run } else { Shape::Item };
    Traced { shape, parent: caller() }
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
pub(super) fn follow(dir: &RunDir, plan: &Arc<Plan>, collector: Collector) -> io::Result<Following> {
    let (stop, stopped) = watch::channel(None);
    let place = collector.to_string();
    let (dir, plan) = (dir.clone(), Arc::clone(plan));
    let thread = Builder::new().name("spans".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| SendError::Client(error.to_string()))?;
        runtime.block_on(send(&dir, plan, collector, Following::patience(stopped)))
    })?;
    Ok(Following { place, stop, thread })
}

/// Sends what comes until the run is over, and then what is left.
async fn send(
    dir: &RunDir,
    plan: Arc<Plan>,
    collector: Collector,
    mut patience: UntilStopped,
) -> Result<Delivered, SendError> {
    let settings = settings(Some(&plan));
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
    fn is_stopped(&self) -> bool {
        self.0.borrow().is_some()
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
        self.0.borrow().is_some_and(|until| Instant::now() >= until)
    }

    async fn wait(&mut self, wait: Duration) -> bool {
        if !self.is_stopped() {
            self.rest(wait).await;
            return true;
        }
        let left = self.0.borrow().map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
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
    pub(super) async fn end(self, dir: &RunDir, name: &str, printer: &mut Printer) -> Result<(), CommandError> {
        let Self { place, stop, thread } = self;
        // A thread that has ended has nobody left to tell.
        stop.send(Some(Instant::now() + FLUSH)).ok();
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        let ended = joined.map_err(|error| error.to_string());
        let ended = ended.and_then(|ended| ended.map_err(|_| "the thread that sends spans died".to_owned()));
        let ended = ended.map_err(|error| CommandError::new(Exit::Bug, error))?;
        let again = format!("pipe trace send {name} --to {place}");
        match ended {
            Ok(delivered) => {
                printer.say(&format!("  {}", says(&delivered).replacen("spans:", "spans     ", 1)));
                match delivered.pending {
                    0 => printer.say(&format!("             at {place}: search pipe.run.id={}", inert(dir.id.as_str()))),
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

/// Says how to send a run's spans later, where no collector was named.
pub(super) fn say_later(name: &str, printer: &mut Printer) {
    printer.say(&format!("  spans      pipe trace send {name} --to URL"));
}
