//! A run's spans and judgements while it goes on: followed in its journal, each sent by a thread of its own.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::exit::{CommandError, Exit};
use super::printer::{Printer, inert};
use super::trace::{no_collector, says, variable};
use crate::base::{SpanContext, TraceId, TraceState};
use crate::event::{Shape, Traced};
use crate::journal::RunDir;
use crate::plan::Plan;
use crate::telemetry::{Collector, CollectorError, Courier, Delivered, Patience, SendError, Settings, Signal};

/// How often the journal is looked at when it had nothing new.
const LOOK: Duration = Duration::from_millis(500);
/// How long a run waits at its end for what the collector has not taken yet.
const FLUSH: Duration = Duration::from_secs(30);
/// After so long, people are told what is waited for.
const SOON: Duration = Duration::from_secs(2);
/// Most spans of a run that is shown as one trace: user interfaces load a trace whole.
const MOST_TOGETHER: u64 = 1_000;

/// Where a run's spans or judgements go, and what of it they tell.
pub(super) struct Telling {
    signal: Signal,
    collector: Collector,
    settings: Settings,
}

/// Finds where a run's spans and judgements go; none where nobody names a collector.
///
/// # Errors
/// What names one is no address, or the environment asks for what is not understood.
pub(super) fn telling(flag: Option<&str>, plan: &Plan) -> Result<Vec<Telling>, CommandError> {
    let told = |signal| -> Result<Option<Telling>, CollectorError> {
        let Some(collector) = Collector::find(signal, flag, &variable)? else { return Ok(None) };
        Ok(Some(Telling { signal, collector, settings: Settings::of(Some(plan), &variable)? }))
    };
    let each = [Signal::Traces, Signal::Logs].into_iter().filter_map(|signal| told(signal).transpose());
    each.collect::<Result<_, _>>().map_err(|error| no_collector(&error))
}

/// Returns the span that whoever started this process gave it as its parent.
pub(super) fn caller() -> Option<SpanContext> {
    variable("TRACEPARENT")?.parse().ok()
}

/// Returns what whoever started this process wants handed on with its trace; nothing without a trace.
pub(super) fn state() -> Option<(TraceId, TraceState)> {
    Some((caller()?.trace, variable("TRACESTATE")?.parse().ok()?))
}

/// Decides how a run is told, once.
pub(super) fn traced(plan: &Plan, cases: u64) -> Traced {
    let spans = cases.saturating_mul(plan.steps.len() as u64).saturating_mul(2);
    let by_size = if spans <= MOST_TOGETHER { Shape::Run } else { Shape::Item };
    Traced { shape: plan.telemetry.shape.unwrap_or(by_size), parent: caller() }
}

/// A thread that sends.
pub(super) struct Following {
    signal: Signal,
    place: String,
    stop: watch::Sender<Option<Instant>>,
    /// Taken when it is waited for.
    thread: Option<JoinHandle<Result<Delivered, SendError>>>,
}

/// Starts to follow a run whose first event may still be under way.
///
/// # Errors
/// The system gives no thread.
pub(super) fn follow(dir: &RunDir, plan: &Arc<Plan>, telling: Telling) -> io::Result<Following> {
    let (stop, stopped) = watch::channel(None);
    let (signal, place) = (telling.signal, telling.collector.to_string());
    let (dir, plan) = (dir.clone(), Arc::clone(plan));
    let thread = Builder::new().name(signal.word().to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| SendError::Client(error.to_string()))?;
        runtime.block_on(send(&dir, plan, telling, UntilStopped(stopped)))
    })?;
    Ok(Following { signal, place, stop, thread: Some(thread) })
}

/// Sends what comes until the run is over, and then what is left.
async fn send(
    dir: &RunDir,
    plan: Arc<Plan>,
    telling: Telling,
    mut patience: UntilStopped,
) -> Result<Delivered, SendError> {
    let Telling { collector, settings, .. } = telling;
    let mut courier = Courier::open(dir, Some(plan), settings, collector, false)?;
    loop {
        let was_over = patience.is_stopped();
        let mut given_up = UntilStopped(patience.0.clone());
        // A request that hangs is given up too: what it was about is sent again some day.
        tokio::select! {
            delivered = courier.deliver(&mut patience) => delivered?,
            () = given_up.over() => return courier.delivered().await,
        }
        if was_over {
            return courier.delivered().await;
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

    /// Waits until there is no more time.
    async fn over(&mut self) {
        loop {
            let Some(until) = self.until() else {
                // A sender that is gone has stopped it too.
                self.0.changed().await.ok();
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => return,
                // The moment may have come nearer.
                changed = self.0.changed() => if changed.is_err() { return },
            }
        }
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
    /// Says what became of all that was to be sent, and where to find it.
    fn say(&self, ended: Result<Delivered, SendError>, run: &RunDir, name: &str, printer: &mut Printer) {
        let Self { signal, place, .. } = self;
        let again = match signal {
            Signal::Traces => format!("pipe trace send {name} --to {place}"),
            Signal::Logs | Signal::Metrics => format!("pipe trace send {name}"),
        };
        let label = format!("{:<10}", signal.word());
        match ended {
            Ok(delivered) => {
                printer.say(&format!("  {label} {}", says(&delivered)));
                match delivered.pending {
                    0 => printer.say(&format!("{:13}at {place}: search pipe.run.id={}", "", inert(run.id.as_str()))),
                    _ => printer.say(&format!("{:13}the rest stays in the journal: {again}", "")),
                }
            }
            Err(error) => {
                printer.say(&format!("  {label} {}", inert(&error.to_string())));
                printer.say(&format!("{:13}they stay in the journal: {again}", ""));
                if let SendError::Refused { help, .. } = error {
                    printer.say(&format!("{:13}{help}", ""));
                }
            }
        }
    }
}

/// Waits for what is left, for a while, and says what became of a run's spans and judgements; where no collector was
/// named, how to send the spans later.
///
/// # Errors
/// A thread that sends died: a bug.
pub(super) async fn end(
    followings: Vec<Following>,
    dir: &RunDir,
    name: &str,
    printer: &mut Printer,
) -> Result<(), CommandError> {
    let stops: Vec<_> = followings.iter().map(|following| following.stop.clone()).collect();
    let stop_at = |until: Instant| {
        for stop in &stops {
            // A thread that has ended has nobody left to tell.
            stop.send(Some(until)).ok();
        }
    };
    stop_at(Instant::now() + FLUSH);
    let spans = followings.iter().any(|following| following.signal == Signal::Traces);
    let mut is_told = false;
    for mut following in followings {
        let (thread, place, word) = (following.thread.take(), following.place.clone(), following.signal.word());
        let mut joined = tokio::task::spawn_blocking(move || thread.map(JoinHandle::join));
        let ended = loop {
            tokio::select! {
                ended = &mut joined => break ended.map_err(|error| error.to_string()),
                () = tokio::time::sleep(SOON), if !is_told => {
                    is_told = true;
                    let seconds = FLUSH.as_secs();
                    printer.say(&format!("  waiting up to {seconds} s for {place} to take the {word} (Ctrl-C: later)"));
                }
                () = asked_to_stop() => stop_at(Instant::now()),
            }
        };
        let died = || format!("the thread that sends {word} died");
        let ended = ended.and_then(|ended| ended.ok_or_else(died)?.map_err(|_| died()));
        let ended = ended.map_err(|error| CommandError::new(Exit::Bug, error))?;
        following.say(ended, dir, name, printer);
    }
    if !spans {
        printer.say(&format!("  spans      pipe trace send {name} --to URL"));
    }
    Ok(())
}

/// Waits for Ctrl-C or SIGTERM; for ever, where those cannot be heard.
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
