//! Brings a run's spans, or the log records made of them, to a collector: in the order of the log, with a cursor that
//! moves only when they are there.
//!
//! At least once: after a crash the last batch goes again, with the same ids and bytes. Never holds the run up: it reads
//! the journal on a connection of its own, and what waits for a collector that is down is the journal itself.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::{JoinHandle, spawn_blocking};

use super::batch::{Batch, Parcel, Source};
use super::collector::Collector;
use super::cursor::{Cursors, Sent};
use super::post::{Answer, Post};
use super::settings::Settings;
use super::signal::Signal;
use super::teller::Teller;
use crate::journal::{EventSeq, JournalError, Reader, RunDir};
use crate::plan::Plan;

/// Most requests under way at once: all of a batch, which the last page of events may fill beyond what makes it one.
const AT_ONCE: usize = 8;
/// The first wait after a collector that is down or busy; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait, and the most that a collector may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often a request goes again that a collector fails at for reasons of its own, before it is put aside.
const MOST_FAILURES: u32 = 5;

/// What became of a run's spans or records, for one collector, over all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Which of both.
    pub signal: Signal,
    /// What is there, and what will never be.
    pub sent: Sent,
    /// What is still to be sent.
    pub pending: u64,
}

/// Spans that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The collector will refuse everything.
    #[error("{collector} refuses {}: {answer}", signal.word())]
    Refused {
        /// What.
        signal: Signal,
        /// Where.
        collector: String,
        /// What it said.
        answer: String,
        /// What to look at.
        help: &'static str,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file in the run's folder cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Requests cannot be made on this machine.
    #[error("requests cannot be made: {0}")]
    Client(String),
    /// A bug: reading the journal panicked.
    #[error("the thread that reads the journal died")]
    Died,
}

/// Decides how long a collector that is down is waited for.
pub trait Patience: Send {
    /// Tells whether even a collector that takes everything has had its time.
    fn is_over(&self) -> bool;

    /// Waits for so long, or until there is no more patience; false when there is none.
    fn wait(&mut self, wait: Duration) -> impl Future<Output = bool> + Send;
}

/// One run on its way to one collector.
pub struct Courier {
    ahead: Ahead,
    collector: Arc<Collector>,
    post: Post,
    cursors: Cursors,
    key: String,
    sent: Sent,
    /// What it was before a batch that is under way, or was given up: what comes after that batch must not pass it.
    before: Option<Sent>,
    quarantine: PathBuf,
}

/// A source, here or at work on the next batch on a thread of its own.
struct Ahead {
    source: Option<Box<Source>>,
    reading: Option<JoinHandle<Read>>,
}

/// What comes back from that thread.
type Read = (Box<Source>, Result<Batch, JournalError>);

impl Ahead {
    /// Begins to read the next batch, if nobody does.
    fn begin(&mut self) {
        if let Some(mut source) = self.source.take() {
            self.reading = Some(spawn_blocking(move || {
                let batch = source.next();
                (source, batch)
            }));
        }
    }

    /// Returns the next batch. Cancel safe: it is returned the next time.
    async fn next(&mut self) -> Result<Batch, SendError> {
        self.begin();
        let reading = self.reading.as_mut().ok_or(SendError::Died)?;
        let read = reading.await;
        self.reading = None;
        let (source, batch) = read.map_err(|_| SendError::Died)?;
        self.source = Some(source);
        Ok(batch?)
    }

    /// Returns the source; what it has read ahead is lost.
    async fn source(&mut self) -> Result<&mut Source, SendError> {
        if self.reading.is_some() {
            self.next().await.map(drop)?;
        }
        self.source.as_deref_mut().ok_or(SendError::Died)
    }
}

impl Courier {
    /// Takes up where the last one stopped; with `again`, from the start.
    ///
    /// Cost, with the first delivery: a look at the events that were sent before.
    ///
    /// # Errors
    /// The journal cannot be read, or no request be made.
    pub fn open(
        dir: &RunDir,
        plan: Option<Arc<Plan>>,
        settings: Settings,
        collector: Collector,
        again: bool,
    ) -> Result<Self, SendError> {
        let reader = Reader::open(&dir.journal_path())?;
        let word = collector.signal.word();
        let cursors = Cursors::of(dir.path.join(format!("{word}.json")));
        let key = collector.key();
        let sent = if again { Sent::default() } else { cursors.get(&key) };
        // A record says nothing of devices: it need not wait for them.
        let joins = collector.signal == Signal::Traces;
        let teller = Teller::new(dir.id.clone(), settings, plan, EventSeq(sent.through), joins);
        let post = Post::new(&collector).map_err(SendError::Client)?;
        let quarantine = dir.path.join(format!("{word}-refused.otlp"));
        let collector = Arc::new(collector);
        let source = Source::new(reader, teller, Arc::clone(&collector));
        let ahead = Ahead { source: Some(Box::new(source)), reading: None };
        Ok(Self { ahead, collector, post, cursors, key, sent, before: None, quarantine })
    }

    /// Sends all that the journal holds now; returns early when there is no more patience.
    ///
    /// # Errors
    /// See [`SendError`]; what was sent is remembered.
    pub async fn deliver(&mut self, patience: &mut impl Patience) -> Result<(), SendError> {
        self.deliver_all(patience).await.map(drop)
    }

    /// Sends all that the journal holds now; false when there was no more patience before.
    async fn deliver_all(&mut self, patience: &mut impl Patience) -> Result<bool, SendError> {
        while self.before.is_none() {
            let batch = self.ahead.next().await?;
            let is_last = batch.is_last;
            if !is_last {
                // The next one is read and made ready while this one is on its way.
                self.ahead.begin();
            }
            if !self.deliver_batch(batch, patience).await? {
                break;
            }
            if is_last || patience.is_over() {
                return Ok(is_last);
            }
        }
        Ok(false)
    }

    /// Sends also what is held of cases that are open, when nobody works on the run any more.
    ///
    /// # Errors
    /// As [`Self::deliver`].
    pub async fn finish(&mut self, patience: &mut impl Patience) -> Result<(), SendError> {
        if !self.deliver_all(patience).await? {
            // What comes before is not there: it goes first, the next time.
            return Ok(());
        }
        let batch = self.ahead.source().await?.rest()?;
        self.deliver_batch(batch, patience).await.map(drop)
    }

    /// Returns what became of the spans; those that are pending are counted.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn delivered(mut self) -> Result<Delivered, SendError> {
        // Whoever gave up in the middle of a batch: all of it goes again, and what was read ahead after it.
        let sent = self.before.unwrap_or(self.sent);
        let signal = self.collector.signal;
        let pending = self.ahead.source().await?.count_after(EventSeq(sent.through))?;
        Ok(Delivered { signal, sent, pending })
    }

    /// Returns false when there is no more patience; what of the batch was taken then goes again, and counts once.
    async fn deliver_batch(&mut self, batch: Batch, patience: &mut impl Patience) -> Result<bool, SendError> {
        let before = self.sent;
        self.before = Some(before);
        let is_there = self.deliver_parcels(batch.parcels, patience).await;
        if !matches!(is_there, Ok(true)) {
            self.sent = before;
            return is_there;
        }
        self.before = None;
        if batch.through.0 > self.sent.through {
            self.sent.through = batch.through.0;
            self.remember()?;
        }
        Ok(true)
    }

    /// Sends some requests at once, then sees to each that was not taken; false when there is no more patience.
    async fn deliver_parcels(
        &mut self,
        mut parcels: VecDeque<Parcel>,
        patience: &mut impl Patience,
    ) -> Result<bool, SendError> {
        while !parcels.is_empty() {
            let together: Vec<Parcel> = parcels.drain(..parcels.len().min(AT_ONCE)).collect();
            let answers = join_all(together.iter().map(|parcel| self.post.send(parcel.body.clone()))).await;
            let mut cut = VecDeque::new();
            for (parcel, answer) in together.into_iter().zip(answers) {
                if !self.see_to(parcel, answer, &mut cut, patience).await? {
                    return Ok(false);
                }
            }
            cut.append(&mut parcels);
            parcels = cut;
        }
        Ok(true)
    }

    fn remember(&mut self) -> Result<(), SendError> {
        self.cursors.set(&self.key, self.sent).map_err(|source| {
            let path = self.quarantine.with_file_name(format!("{}.json", self.collector.signal.word()));
            SendError::Write { path, source }
        })
    }

    /// Sees to a request by how it was answered, and sends it again until it is there, put aside, or cut into smaller
    /// ones; false when there is no more patience.
    async fn see_to(
        &mut self,
        parcel: Parcel,
        mut answer: Answer,
        cut: &mut VecDeque<Parcel>,
        patience: &mut impl Patience,
    ) -> Result<bool, SendError> {
        let count = parcel.count();
        let (mut wait, mut failures) = (FIRST_WAIT, 0);
        loop {
            let asked_for = match answer {
                Answer::Taken(rejected) => {
                    let rejected = rejected.min(count);
                    self.sent.rejected += rejected;
                    self.sent.acked += count - rejected;
                    return Ok(true);
                }
                Answer::TooLarge => match parcel.smaller(&self.collector) {
                    Ok(smaller) => {
                        cut.extend(smaller);
                        return Ok(true);
                    }
                    Err(parcel) => return self.put_aside(&parcel),
                },
                Answer::Unreadable => return self.put_aside(&parcel),
                Answer::Never { answer, help } => {
                    let (signal, collector) = (self.collector.signal, self.collector.to_string());
                    return Err(SendError::Refused { signal, collector, answer, help });
                }
                Answer::Failed => {
                    failures += 1;
                    if failures >= MOST_FAILURES {
                        return self.put_aside(&parcel);
                    }
                    None
                }
                Answer::Busy(wait) => wait,
            };
            let pause = asked_for.unwrap_or(wait).min(LONGEST_WAIT);
            if !patience.wait(pause).await {
                return Ok(false);
            }
            wait = (wait * 2).min(LONGEST_WAIT);
            answer = self.post.send(parcel.body.clone()).await;
        }
    }

    /// Keeps a request that the collector cannot take in a file: several in one are one, as the format has it.
    fn put_aside(&mut self, parcel: &Parcel) -> Result<bool, SendError> {
        let request = parcel.request(&self.collector);
        let mut file = fs::OpenOptions::new();
        let written = file.append(true).create(true).open(&self.quarantine);
        let written = written.and_then(|mut file| file.write_all(&request));
        written.map_err(|source| SendError::Write { path: self.quarantine.clone(), source })?;
        self.sent.refused += parcel.count();
        Ok(true)
    }
}
