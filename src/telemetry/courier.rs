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

use bytes::Bytes;
use futures_util::future::join_all;

use super::collector::Collector;
use super::cursor::{Cursors, Sent};
use super::names;
use super::post::{Answer, Post};
use super::record::records;
use super::settings::Settings;
use super::signal::Signal;
use super::span::{Attribute, Span, Value};
use super::teller::{Sink, Teller, TextSource};
use super::wire;
use crate::base::{CaseNo, Digest};
use crate::journal::{EventSeq, JournalError, Reader, RunDir};
use crate::plan::Plan;

/// Most spans of one request, as the exporters of OpenTelemetry have it.
const MOST_SPANS: usize = 512;
/// Most bytes of one request before it is packed: below the 4 MiB that collectors take by default.
const MOST_BYTES: usize = 3_500_000;
/// Requests under way at once: a collector far away is waited for once, not once for each.
const AT_ONCE: usize = 4;
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
    reader: Reader,
    teller: Teller,
    collector: Collector,
    post: Post,
    cursors: Cursors,
    key: String,
    sent: Sent,
    /// What it was before a batch that is under way.
    before: Option<Sent>,
    quarantine: PathBuf,
}

/// A span or a record as it is sent.
struct Piece {
    bytes: Vec<u8>,
    /// The span, which may have words to lose.
    span: Option<Span>,
}

/// Pieces that go together, and the event after which all before them are told.
struct Batch {
    signal: Signal,
    pieces: Vec<Piece>,
    bytes: usize,
    through: Option<EventSeq>,
}

/// A request made ready.
struct Parcel {
    part: Vec<Piece>,
    request: Vec<u8>,
    body: Bytes,
}

impl Parcel {
    fn of(part: Vec<Piece>, collector: &Collector) -> Self {
        let request = wire::request(&collector.resource, part.iter().map(|piece| piece.bytes.as_slice()));
        let body = collector.body(&request);
        Self { part, request, body }
    }
}

impl Batch {
    const fn new(signal: Signal) -> Self {
        Self { signal, pieces: Vec::new(), bytes: 0, through: None }
    }

    /// Tells whether it fills the requests that go at once; of large ones, half as many: they wait in memory.
    const fn is_full(&self) -> bool {
        self.pieces.len() >= AT_ONCE * MOST_SPANS || self.bytes >= AT_ONCE / 2 * MOST_BYTES
    }

    /// Adds what this signal tells of a span.
    fn add(&mut self, span: Span) {
        match self.signal {
            Signal::Traces => self.push(Piece { bytes: wire::span(&span), span: Some(span) }),
            Signal::Logs => {
                records(&span).for_each(|record| self.push(Piece { bytes: wire::record(&record), span: None }));
            }
            // Those are no projection of the journal: the SDK sends them.
            Signal::Metrics => {}
        }
    }

    fn push(&mut self, piece: Piece) {
        self.bytes += piece.bytes.len();
        self.pieces.push(piece);
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
        Ok(Self { reader, teller, collector, post, cursors, key, sent, before: None, quarantine })
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
        loop {
            let (batch, has_more) = self.next()?;
            if !self.deliver_batch(batch, patience).await? {
                return Ok(false);
            }
            if !has_more || patience.is_over() {
                return Ok(!has_more);
            }
        }
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
        let mut batch = Batch::new(self.collector.signal);
        let source = TextSource::of(&self.reader);
        let texts = |case: CaseNo, digest: &Digest| source.find(case, digest);
        self.teller.finish(&mut Sink { reader: &self.reader, texts: &texts, emit: &mut |span| batch.add(span) })?;
        source.check()?;
        batch.through = Some(self.teller.told());
        self.deliver_batch(batch, patience).await.map(drop)
    }

    /// Returns what became of the spans; those that are pending are counted.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn delivered(mut self) -> Result<Delivered, SendError> {
        let mut pending = 0_u64;
        // Whoever gave up in the middle of a batch: all of it goes again.
        let sent = self.before.unwrap_or(self.sent);
        let through = EventSeq(self.sent.through);
        if self.teller.told() > through {
            // What was told and not sent is counted again from where the cursor stands.
            self.teller = self.teller.anew(through);
        }
        let (teller, reader, signal) = (&mut self.teller, &self.reader, self.collector.signal);
        let mut count = |span: Span| {
            pending += match signal {
                Signal::Traces => 1,
                Signal::Logs => records(&span).count() as u64,
                Signal::Metrics => 0,
            };
        };
        let mut sink = Sink { reader, texts: &|_, _| None, emit: &mut count };
        reader.events_after(teller.read(), &mut |seq, recorded| teller.add(seq, recorded, &mut sink))?;
        teller.flush(&mut sink)?;
        Ok(Delivered { signal, sent, pending })
    }

    /// Reads on until a batch is full or the journal has no more.
    fn next(&mut self) -> Result<(Batch, bool), SendError> {
        let mut batch = Batch::new(self.collector.signal);
        let (source, reader, teller) = (TextSource::of(&self.reader), &self.reader, &mut self.teller);
        let texts = |case: CaseNo, digest: &Digest| source.find(case, digest);
        loop {
            // A page that was read is told as far as it can be: the cursor stands where that ends.
            let page = teller.page(reader, &source, &mut |span| batch.add(span))?;
            if !page.has_more {
                teller.catch_up(&mut Sink { reader, texts: &texts, emit: &mut |span| batch.add(span) })?;
                source.check()?;
            }
            batch.through = Some(teller.told());
            if batch.is_full() || !page.has_more {
                return Ok((batch, page.has_more));
            }
        }
    }

    /// Returns false when there is no more patience; what of the batch was taken then goes again, and counts once.
    async fn deliver_batch(&mut self, batch: Batch, patience: &mut impl Patience) -> Result<bool, SendError> {
        let before = self.sent;
        self.before = Some(before);
        let is_there = self.deliver_pieces(batch.pieces, patience).await;
        self.before = None;
        if !matches!(is_there, Ok(true)) {
            self.sent = before;
            return is_there;
        }
        if let Some(through) = batch.through.filter(|through| through.0 > self.sent.through) {
            self.sent.through = through.0;
            self.remember()?;
        }
        Ok(true)
    }

    /// Sends some requests at once, then sees to each that was not taken; false when there is no more patience.
    async fn deliver_pieces(&mut self, pieces: Vec<Piece>, patience: &mut impl Patience) -> Result<bool, SendError> {
        let mut parts = split(pieces);
        while !parts.is_empty() {
            let together = parts.drain(..parts.len().min(AT_ONCE));
            let together: Vec<Parcel> = together.map(|part| Parcel::of(part, &self.collector)).collect();
            let answers = join_all(together.iter().map(|parcel| self.post.send(parcel.body.clone()))).await;
            let mut cut = VecDeque::new();
            for (parcel, answer) in together.into_iter().zip(answers) {
                if !self.see_to(parcel, answer, &mut cut, patience).await? {
                    return Ok(false);
                }
            }
            cut.append(&mut parts);
            parts = cut;
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
        cut: &mut VecDeque<Vec<Piece>>,
        patience: &mut impl Patience,
    ) -> Result<bool, SendError> {
        let Parcel { part, request, body } = parcel;
        let count = part.len() as u64;
        let (mut wait, mut failures) = (FIRST_WAIT, 0);
        loop {
            let asked_for = match answer {
                Answer::Taken(rejected) => {
                    let rejected = rejected.min(count);
                    self.sent.rejected += rejected;
                    self.sent.acked += count - rejected;
                    return Ok(true);
                }
                Answer::TooLarge if part.len() > 1 => {
                    let mut part = part;
                    let half = part.split_off(part.len() / 2);
                    cut.extend([part, half]);
                    return Ok(true);
                }
                Answer::TooLarge => match stripped(&part) {
                    Some(smaller) => {
                        cut.push_back(vec![smaller]);
                        return Ok(true);
                    }
                    None => return self.put_aside(&request, count),
                },
                Answer::Unreadable => return self.put_aside(&request, count),
                Answer::Never { answer, help } => {
                    let (signal, collector) = (self.collector.signal, self.collector.to_string());
                    return Err(SendError::Refused { signal, collector, answer, help });
                }
                Answer::Failed => {
                    failures += 1;
                    if failures >= MOST_FAILURES {
                        return self.put_aside(&request, count);
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
            answer = self.post.send(body.clone()).await;
        }
    }

    /// Keeps a request that the collector cannot take in a file: several in one are one, as the format has it.
    fn put_aside(&mut self, request: &[u8], count: u64) -> Result<bool, SendError> {
        let mut file = fs::OpenOptions::new();
        let written = file.append(true).create(true).open(&self.quarantine);
        let written = written.and_then(|mut file| file.write_all(request));
        written.map_err(|source| SendError::Write { path: self.quarantine.clone(), source })?;
        self.sent.refused += count;
        Ok(true)
    }
}

/// Cuts pieces into requests.
fn split(pieces: Vec<Piece>) -> VecDeque<Vec<Piece>> {
    let mut parts = VecDeque::new();
    let (mut part, mut bytes) = (Vec::new(), 0);
    for piece in pieces {
        if part.len() >= MOST_SPANS || (bytes + piece.bytes.len() > MOST_BYTES && !part.is_empty()) {
            parts.push_back(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += piece.bytes.len();
        part.push(piece);
    }
    if !part.is_empty() {
        parts.push_back(part);
    }
    parts
}

/// Returns a span without its words; none when it has none to lose.
fn stripped(part: &[Piece]) -> Option<Piece> {
    let mut span = part.first()?.span.clone()?;
    let words = [names::INPUT_MESSAGES, names::OUTPUT_MESSAGES];
    let before = span.attributes.len();
    span.attributes.retain(|attribute| !words.contains(&&*attribute.key) && attribute.key != names::TRUNCATED);
    if span.attributes.len() == before {
        return None;
    }
    span.attributes.push(Attribute { key: names::TRUNCATED.into(), value: Value::Bool(true) });
    Some(Piece { bytes: wire::span(&span), span: Some(span) })
}
