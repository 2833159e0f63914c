//! The one thread that writes: commits in a group whatever queued while it was committing.
//! No timer: alone, a batch is committed at once; under load, groups grow by themselves.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Batch, EventLog, EventSeq, JournalError};
use crate::event::Sampled;

/// Events in one transaction, unless one batch alone has more: 123,000 events/s were measured at this size, and
/// the worst commit stayed under 70 ms (`design/dependencies.md`, section 3).
const GROUP: usize = 4_096;

/// How long samples of devices wait for events to become durable with.
const SAMPLES_WAIT: Duration = Duration::from_secs(2);

/// Samples that may wait: an hour of eight devices. When it is full the oldest are lost.
const MOST_SAMPLES: usize = 8 * 3_600;

/// Says that every batch up to a ticket is durable, or that it never will be.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The newest ticket that this speaks of; all older ones are settled too.
    pub through: u64,
    /// The last durable event.
    pub last: EventSeq,
    /// The error stays the same for every later ticket: nothing is written after a failed write.
    pub result: Result<(), Arc<JournalError>>,
}

/// The journal's writer thread.
///
/// The queue has no bound of its own: the caller bounds it by having only so many calls in flight, as every
/// batch comes from a call that ended or an item that was admitted.
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), JournalError>>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    commits: AtomicU64,
}

#[derive(Default)]
struct Queue {
    batches: VecDeque<Batch>,
    sampled: Vec<Sampled>,
    /// Since when the oldest of them waits.
    sampled_since: Option<Instant>,
    /// The newest ticket given out.
    ticket: u64,
    is_closing: bool,
}

impl Shared {
    /// Nobody panics with the lock held, but if: the queue is whole after every statement.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for batches and takes them all, and the samples that came until then; none when closed and drained.
    fn take(&self) -> Option<(VecDeque<Batch>, Vec<Sampled>)> {
        let mut queue = self.queue();
        loop {
            let waited = queue.sampled_since.map(|since| since.elapsed());
            let is_due = waited.is_some_and(|waited| waited >= SAMPLES_WAIT);
            if !queue.batches.is_empty() || queue.is_closing || is_due {
                break;
            }
            queue = match waited {
                None => self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(waited) => {
                    let left = SAMPLES_WAIT.saturating_sub(waited);
                    self.filled.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        queue.sampled_since = None;
        let (batches, sampled) = (std::mem::take(&mut queue.batches), std::mem::take(&mut queue.sampled));
        (!batches.is_empty() || !sampled.is_empty()).then_some((batches, sampled))
    }
}

/// Where samples of devices are put, from any thread. Never waits for the disk.
#[derive(Clone)]
pub struct SampleSink(Arc<Shared>);

impl SampleSink {
    /// Queues samples: they become durable with the events that come next, or alone when none come for two seconds.
    pub fn put(&self, sampled: Vec<Sampled>) {
        let mut queue = self.0.queue();
        queue.sampled.extend(sampled);
        let too_many = queue.sampled.len().saturating_sub(MOST_SAMPLES);
        queue.sampled.drain(..too_many);
        let is_first = queue.sampled_since.is_none() && !queue.sampled.is_empty();
        if is_first {
            queue.sampled_since = Some(Instant::now());
            self.0.filled.notify_one();
        }
    }
}

impl Writer {
    /// Starts the thread.
    ///
    /// `on_commit` is called on the thread after each synced transaction, in order of tickets; while it runs,
    /// nothing is committed, so it should only hand the news on. It must not panic.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(log: Box<dyn EventLog>, on_commit: Box<dyn FnMut(Committed) + Send>) -> Result<Self, JournalError> {
        let shared = Arc::new(Shared::default());
        let work = Work { shared: Arc::clone(&shared), last: log.last_seq(), log, on_commit, done: 0, failure: None };
        let thread =
            std::thread::Builder::new().name("journal".to_owned()).spawn(move || work.run()).map_err(|source| {
                JournalError::File { path: PathBuf::from("journal"), doing: "start the writer of the", source }
            })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Queues a batch and returns its ticket, counted from 1. Never waits for the disk.
    #[expect(clippy::must_use_candidate, reason = "who only adds to the record needs no acknowledgement")]
    pub fn submit(&self, batch: Batch) -> u64 {
        let mut queue = self.shared.queue();
        queue.batches.push_back(batch);
        queue.ticket += 1;
        let ticket = queue.ticket;
        drop(queue);
        self.shared.filled.notify_one();
        ticket
    }

    /// Returns where samples of devices are put.
    #[must_use]
    pub fn samples(&self) -> SampleSink {
        SampleSink(Arc::clone(&self.shared))
    }

    /// Returns how many transactions were committed.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// Commits what is queued, leaves the log with nothing to recover, and ends the thread.
    ///
    /// # Errors
    /// The first failed write, or trouble at the end: what was acknowledged is safe in both cases.
    pub fn close(mut self) -> Result<(), JournalError> {
        self.join()
    }

    fn join(&mut self) -> Result<(), JournalError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.shared.queue().is_closing = true;
        self.shared.filled.notify_one();
        thread.join().unwrap_or_else(|panic| Err(JournalError::Panicked { message: message_of(&*panic) }))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::warn!(%error, "the journal's writer ended with an error");
        }
    }
}

/// What the thread owns.
struct Work {
    shared: Arc<Shared>,
    log: Box<dyn EventLog>,
    on_commit: Box<dyn FnMut(Committed) + Send>,
    /// The newest ticket that was settled.
    done: u64,
    /// The last durable event.
    last: EventSeq,
    failure: Option<Arc<JournalError>>,
}

impl Work {
    fn run(mut self) -> Result<(), JournalError> {
        while let Some((mut queued, sampled)) = self.shared.take() {
            if !sampled.is_empty() {
                self.log.add_samples(sampled);
            }
            if queued.is_empty() {
                self.commit_samples();
            }
            for group in groups(queued.make_contiguous()) {
                self.commit(group);
            }
        }
        match self.failure {
            None => self.log.finish(),
            // The cause was told with every ticket since; whoever still holds it keeps it.
            Some(failure) => Err(Arc::try_unwrap(failure).unwrap_or(JournalError::Stopped)),
        }
    }

    /// Commits samples that no event came with. Nobody waits for them: a failure is told with the next batch.
    fn commit_samples(&mut self) {
        if self.failure.is_none()
            && let Err(error) = self.append(&[])
        {
            self.failure = Some(Arc::new(error));
        }
    }

    fn commit(&mut self, group: &[Batch]) {
        if self.failure.is_none() {
            match self.append(group) {
                Ok(last) => {
                    self.last = last;
                    self.shared.commits.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => self.failure = Some(Arc::new(error)),
            }
        }
        self.done += group.len() as u64;
        let result = self.failure.clone().map_or(Ok(()), Err);
        (self.on_commit)(Committed { through: self.done, last: self.last, result });
    }

    /// Turns a panic into an error: a driver that waits for a ticket must hear of it.
    fn append(&mut self, group: &[Batch]) -> Result<EventSeq, JournalError> {
        catch_unwind(AssertUnwindSafe(|| self.log.append(group)))
            .unwrap_or_else(|panic| Err(JournalError::Panicked { message: message_of(&*panic) }))
    }
}

/// Cuts a queue into runs of at most [`GROUP`] events; a batch is never cut.
fn groups(mut batches: &[Batch]) -> impl Iterator<Item = &[Batch]> {
    std::iter::from_fn(move || {
        let mut events = 0;
        let fits = |batch: &&Batch| {
            events += batch.events.len();
            events <= GROUP
        };
        let count = batches.iter().take_while(fits).count().max(1).min(batches.len());
        let (group, rest) = batches.split_at(count);
        batches = rest;
        (!group.is_empty()).then_some(group)
    })
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::admitted;

    fn sizes(batches: &[usize]) -> Vec<usize> {
        let batches: Vec<Batch> = batches
            .iter()
            .map(|events| Batch { events: (0..*events as u64).map(admitted).collect(), ..Batch::default() })
            .collect();
        groups(&batches).map(<[Batch]>::len).collect()
    }

    #[test]
    fn groups_hold_what_fits() {
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[1, 1, 1]), [3]);
        assert_eq!(sizes(&[GROUP, 0, 1]), [2, 1]);
        assert_eq!(sizes(&[1, GROUP + 5, 1]), [1, 1, 1]);
        assert_eq!(sizes(&[GROUP - 1, 1, 1]), [2, 1]);
    }
}
