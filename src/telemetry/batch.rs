//! What goes to a collector together, read from the journal and made ready: start at [`Source`].
//!
//! Pure work on a reader, so it may be done on any thread: the next batch is made while one is on its way.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::collector::Collector;
use super::names;
use super::record::records;
use super::signal::Signal;
use super::span::{Attribute, Span, Value};
use super::teller::{Sink, Teller, TextSource};
use super::wire;
use crate::base::{CaseNo, Digest};
use crate::journal::{EventSeq, JournalError, Reader};

/// Most spans of one request, as the exporters of OpenTelemetry have it.
const MOST_SPANS: usize = 512;
/// Most bytes of one request before it is packed: below the 4 MiB that collectors take by default.
const MOST_BYTES: usize = 3_500_000;
/// Requests that make a batch: a collector far away is waited for once, not once for each.
const TOGETHER: usize = 4;

/// What a span that is too large goes without.
const WORDS: [&str; 2] = [names::INPUT_MESSAGES, names::OUTPUT_MESSAGES];

/// A span or a record as it is sent.
pub(super) struct Piece {
    bytes: Vec<u8>,
    /// The span, if it has words to lose.
    wordy: Option<Span>,
}

impl Piece {
    fn of(span: Span) -> Self {
        let bytes = wire::span(&span);
        let has_words = WORDS.iter().any(|word| span.attribute(word).is_some());
        Self { bytes, wordy: has_words.then_some(span) }
    }
}

/// A request made ready.
pub(super) struct Parcel {
    pieces: Vec<Piece>,
    pub(super) body: Bytes,
}

impl Parcel {
    fn of(pieces: Vec<Piece>, collector: &Collector) -> Self {
        let body = collector.body(&request(&pieces, collector));
        Self { pieces, body }
    }

    /// Returns how many spans or records are in it.
    pub(super) const fn count(&self) -> u64 {
        self.pieces.len() as u64
    }

    /// Returns it as the format has it, not packed.
    pub(super) fn request(&self, collector: &Collector) -> Vec<u8> {
        request(&self.pieces, collector)
    }

    /// Returns what to send instead of one that is too large: two halves, or the only span without its words.
    ///
    /// # Errors
    /// The parcel, where nothing can be left out.
    pub(super) fn smaller(mut self, collector: &Collector) -> Result<Vec<Self>, Self> {
        if self.pieces.len() > 1 {
            let half = self.pieces.split_off(self.pieces.len() / 2);
            return Ok([self.pieces, half].map(|pieces| Self::of(pieces, collector)).into());
        }
        match self.pieces.first().and_then(stripped) {
            Some(piece) => Ok(vec![Self::of(vec![piece], collector)]),
            None => Err(self),
        }
    }
}

fn request(pieces: &[Piece], collector: &Collector) -> Vec<u8> {
    wire::request(&collector.resource, pieces.iter().map(|piece| piece.bytes.as_slice()))
}

/// Requests that go together, and the event after which all before them are told.
pub(super) struct Batch {
    pub(super) parcels: VecDeque<Parcel>,
    pub(super) through: EventSeq,
    /// The journal had no more.
    pub(super) is_last: bool,
}

/// Pieces until they are enough for a batch.
struct Gathered {
    signal: Signal,
    pieces: Vec<Piece>,
    bytes: usize,
}

impl Gathered {
    const fn new(signal: Signal) -> Self {
        Self { signal, pieces: Vec::new(), bytes: 0 }
    }

    /// Tells whether it fills the requests that go at once; of large ones, one: two batches wait in memory.
    const fn is_full(&self) -> bool {
        self.pieces.len() >= TOGETHER * MOST_SPANS || self.bytes >= MOST_BYTES
    }

    /// Adds what this signal tells of a span.
    fn add(&mut self, span: Span) {
        match self.signal {
            Signal::Traces => self.push(Piece::of(span)),
            Signal::Logs => {
                records(&span).for_each(|record| self.push(Piece { bytes: wire::record(&record), wordy: None }));
            }
            // Those are no projection of the journal: the SDK sends them.
            Signal::Metrics => {}
        }
    }

    fn push(&mut self, piece: Piece) {
        self.bytes += piece.bytes.len();
        self.pieces.push(piece);
    }

    /// Cuts the pieces into requests.
    fn parcels(self, collector: &Collector) -> VecDeque<Parcel> {
        let mut parcels = VecDeque::new();
        let (mut part, mut bytes) = (Vec::new(), 0);
        for piece in self.pieces {
            if part.len() >= MOST_SPANS || (bytes + piece.bytes.len() > MOST_BYTES && !part.is_empty()) {
                parcels.push_back(Parcel::of(std::mem::take(&mut part), collector));
                bytes = 0;
            }
            bytes += piece.bytes.len();
            part.push(piece);
        }
        if !part.is_empty() {
            parcels.push_back(Parcel::of(part, collector));
        }
        parcels
    }
}

/// One run's journal, read for one collector.
pub(super) struct Source {
    reader: Reader,
    teller: Teller,
    collector: Arc<Collector>,
}

impl Source {
    pub(super) const fn new(reader: Reader, teller: Teller, collector: Arc<Collector>) -> Self {
        Self { reader, teller, collector }
    }

    /// Reads on until a batch is full or the journal has no more.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub(super) fn next(&mut self) -> Result<Batch, JournalError> {
        let mut gathered = Gathered::new(self.collector.signal);
        let (source, reader, teller) = (TextSource::of(&self.reader), &self.reader, &mut self.teller);
        let texts = |case: CaseNo, digest: &Digest| source.find(case, digest);
        loop {
            // A page that was read is told as far as it can be: the cursor stands where that ends.
            let page = teller.page(reader, &source, &mut |span| gathered.add(span))?;
            if !page.has_more {
                teller.catch_up(&mut Sink { reader, texts: &texts, emit: &mut |span| gathered.add(span) })?;
                source.check()?;
            }
            if gathered.is_full() || !page.has_more {
                let parcels = gathered.parcels(&self.collector);
                return Ok(Batch { parcels, through: teller.told(), is_last: !page.has_more });
            }
        }
    }

    /// Tells what is held of cases that are open, when all was read and nobody works on the run any more.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(super) fn rest(&mut self) -> Result<Batch, JournalError> {
        let mut gathered = Gathered::new(self.collector.signal);
        let source = TextSource::of(&self.reader);
        let texts = |case: CaseNo, digest: &Digest| source.find(case, digest);
        let emit = &mut |span| gathered.add(span);
        self.teller.finish(&mut Sink { reader: &self.reader, texts: &texts, emit })?;
        source.check()?;
        Ok(Batch { parcels: gathered.parcels(&self.collector), through: self.teller.told(), is_last: true })
    }

    /// Counts what is told after an event, whatever was read before.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(super) fn count_after(&mut self, through: EventSeq) -> Result<u64, JournalError> {
        if self.teller.told() > through {
            self.teller = self.teller.anew(through);
        }
        let mut count = 0;
        let (teller, reader, signal) = (&mut self.teller, &self.reader, self.collector.signal);
        let mut add = |span: Span| {
            count += match signal {
                Signal::Traces => 1,
                Signal::Logs => records(&span).count() as u64,
                Signal::Metrics => 0,
            };
        };
        let mut sink = Sink { reader, texts: &|_, _| None, emit: &mut add };
        reader.events_after(teller.read(), &mut |seq, recorded| teller.add(seq, recorded, &mut sink))?;
        teller.flush(&mut sink)?;
        Ok(count)
    }
}

/// Returns a span without its words; none when it has none to lose.
fn stripped(piece: &Piece) -> Option<Piece> {
    let mut span = piece.wordy.clone()?;
    span.attributes.retain(|attribute| !WORDS.contains(&&*attribute.key) && attribute.key != names::TRUNCATED);
    span.attributes.push(Attribute { key: names::TRUNCATED.into(), value: Value::Bool(true) });
    Some(Piece::of(span))
}
