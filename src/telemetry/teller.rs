//! A journal's events and samples in, spans out: requests, with what devices did for them, and windows, in the order of the
//! log.
//!
//! What devices did for a request is known a second or two after its end, when their readings are there. Until then the
//! events from that end on wait here, so that spans keep the order of the log. Which readings count follows from the order
//! in which both became durable, so a journal that is told again gives the same spans.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::projector::{Projector, Texts};
use super::settings::Settings;
use super::span::Span;
use super::windows::Windows;
use crate::base::{CaseNo, Digest, RunId, Timestamp};
use crate::event::{AttemptId, Event, Recorded};
use crate::journal::{EventPage, EventSeq, JournalError, Reader, Samples};
use crate::plan::Plan;
use crate::report::gpu::{Flown, Live};

/// How far apart in the time of the log samples are looked for, in microseconds.
const LOOK_US: i64 = 500_000;
/// How much later than others of its time a sample may come, in microseconds.
const LATE_US: i64 = 5_000_000;
/// The longest that an event waits, in microseconds of the log: beside a request that takes minutes, those that end
/// meanwhile are told what is known of them.
const LONGEST_WAIT_US: i64 = 30_000_000;
/// Most events that wait.
const MOST_HELD: usize = 20_000;
/// Most texts that are kept for the next to ask, each of so many bytes at most.
const MOST_KEPT: usize = 16;
const MOST_KEPT_BYTES: usize = 64 << 10;

/// Tells a run's journal in spans.
pub(super) struct Teller {
    run: RunId,
    settings: Settings,
    plan: Option<Arc<Plan>>,
    projector: Projector,
    windows: Windows,
    parts: Parts,
    /// What a run on devices is told of them: nothing where nobody asked for it.
    joins: bool,
    held: VecDeque<(EventSeq, Recorded)>,
    /// The last event that was read.
    read: EventSeq,
    /// The last event of which everything is told.
    told: EventSeq,
    /// The last event whose spans were told by somebody before.
    passed: EventSeq,
}

/// What devices did for the requests whose ends wait.
#[derive(Default)]
struct Parts {
    /// None before a run began that devices work for.
    live: Option<Live>,
    /// Up to when events and samples are read.
    read: Timestamp,
    /// When samples were last looked for.
    looked: Timestamp,
    /// The last sample that was taken of each device.
    taken: BTreeMap<Arc<str>, Timestamp>,
    /// Those whose ends wait; with their part, once it is known.
    waiting: BTreeMap<AttemptId, Option<Flown>>,
}

impl Parts {
    /// Begins with a run that devices work for.
    fn begin(&mut self, recorded: &Recorded) {
        let Event::RunStarted(started) = &recorded.event else { return };
        if started.gpu.as_ref().is_some_and(|seen| seen.reason.is_none()) {
            *self = Self { live: Some(Live::default()), looked: recorded.at, ..Self::default() };
        }
    }

    /// Takes an event, after the samples that were durable before it.
    fn event(&mut self, seq: EventSeq, recorded: &Recorded, reader: &Reader) -> Result<(), JournalError> {
        let ends = matches!(recorded.event, Event::RunEnded(_) | Event::RunFailed(_) | Event::RunResumed(_));
        if ends || recorded.at.0.saturating_sub(self.looked.0) >= LOOK_US {
            self.looked = recorded.at;
            self.look(EventSeq(seq.0.saturating_sub(1)), reader)?;
        }
        self.read = self.read.max(recorded.at);
        let Some(live) = &mut self.live else { return Ok(()) };
        if live.event(recorded)
            && let Event::AttemptEnded(ended) = &recorded.event
        {
            self.waiting.insert(ended.id.clone(), None);
        }
        // Nothing of this process is to come.
        if matches!(recorded.event, Event::RunEnded(_) | Event::RunFailed(_)) {
            self.settle(Timestamp(i64::MAX));
        }
        Ok(())
    }

    /// Takes the samples that were durable with an event.
    fn look(&mut self, through: EventSeq, reader: &Reader) -> Result<(), JournalError> {
        let Some(live) = &mut self.live else { return Ok(()) };
        let latest =
            self.taken.values().max().map_or(Timestamp(i64::MIN), |at| Timestamp(at.0.saturating_sub(LATE_US)));
        let wanted = Samples { from: latest, through, ..Samples::ALL };
        let (taken, read) = (&mut self.taken, &mut self.read);
        reader.gpu_samples(&wanted, &mut |sample| {
            if taken.get(&sample.device).is_some_and(|last| *last >= sample.at) {
                return Ok(());
            }
            if !live.knows(&sample.device) {
                live.devices(&reader.gpu_devices()?);
            }
            taken.insert(Arc::clone(&sample.device), sample.at);
            *read = (*read).max(sample.until);
            live.sample(&sample);
            Ok(())
        })?;
        self.settle(self.read);
        Ok(())
    }

    fn settle(&mut self, read: Timestamp) {
        let (Some(live), waiting) = (&mut self.live, &mut self.waiting) else { return };
        live.settle(read, &mut |flown| {
            // One that waited too long has gone without.
            if let Some(part) = waiting.get_mut(&flown.id) {
                *part = Some(flown);
            }
        });
    }

    /// Tells whether an event still has to wait.
    fn waits(&self, recorded: &Recorded) -> bool {
        let Event::AttemptEnded(ended) = &recorded.event else { return false };
        let is_open = matches!(self.waiting.get(&ended.id), Some(None));
        is_open && self.read.0.saturating_sub(recorded.at.0) < LONGEST_WAIT_US
    }

    /// Takes what is known for the request that an event ends.
    fn take(&mut self, recorded: &Recorded) -> Option<Flown> {
        let Event::AttemptEnded(ended) = &recorded.event else { return None };
        let known = self.waiting.remove(&ended.id)?;
        known.or_else(|| self.live.as_ref().and_then(|live| live.so_far(&ended.id)))
    }
}

/// Where events, samples and texts are read, and where spans go.
pub(super) struct Sink<'a> {
    pub(super) reader: &'a Reader,
    pub(super) texts: Texts<'a>,
    pub(super) emit: &'a mut dyn FnMut(Span),
}

impl Teller {
    /// Returns one that has read nothing. What is told of events up to `passed` was told before; with `joins`, requests say
    /// what devices did for them.
    pub(super) fn new(
        run: RunId,
        settings: Settings,
        plan: Option<Arc<Plan>>,
        passed: EventSeq,
        joins: bool,
    ) -> Self {
        Self {
            projector: Projector::new(run.clone(), settings.clone(), plan.clone()),
            windows: Windows::new(run.clone()),
            run,
            settings,
            plan,
            parts: Parts::default(),
            joins,
            held: VecDeque::new(),
            read: EventSeq::default(),
            told: EventSeq::default(),
            passed,
        }
    }

    /// Returns one for the same run that has read nothing.
    pub(super) fn anew(&self, passed: EventSeq) -> Self {
        Self::new(self.run.clone(), self.settings.clone(), self.plan.clone(), passed, self.joins)
    }

    /// Returns the last event that was read: the next is the one after it.
    pub(super) const fn read(&self) -> EventSeq {
        self.read
    }

    /// Returns the last event of which all is told that follows from it.
    pub(super) const fn told(&self) -> EventSeq {
        self.told
    }

    /// Takes as many events of the log as are read in one go, with all their texts in one look at the store.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub(super) fn page(
        &mut self,
        reader: &Reader,
        source: &TextSource<'_>,
        emit: &mut dyn FnMut(Span),
    ) -> Result<EventPage, JournalError> {
        let texts = |case: CaseNo, digest: &Digest| source.find(case, digest);
        reader.hold()?;
        let page = reader.page_after(self.read, &mut |seq, recorded| {
            self.add(seq, recorded, &mut Sink { reader, texts: &texts, emit: &mut *emit })?;
            source.check()
        });
        let released = reader.release();
        let page = page?;
        released.map(|()| page)
    }

    /// Takes the next event of the log and tells what is final with it.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub(super) fn add(&mut self, seq: EventSeq, recorded: Recorded, sink: &mut Sink<'_>) -> Result<(), JournalError> {
        self.read = seq;
        if self.joins {
            self.parts.begin(&recorded);
        }
        if self.parts.live.is_none() {
            return self.tell(seq, &recorded, sink);
        }
        self.parts.event(seq, &recorded, sink.reader)?;
        let is_over = matches!(recorded.event, Event::RunEnded(_) | Event::RunFailed(_));
        self.held.push_back((seq, recorded));
        self.release(is_over, sink)
    }

    /// Takes the samples that came after the last event, and tells what is final with them.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub(super) fn catch_up(&mut self, sink: &mut Sink<'_>) -> Result<(), JournalError> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.parts.look(self.read, sink.reader)?;
        self.release(false, sink)
    }

    /// Tells what waits for readings, with those that are there.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub(super) fn flush(&mut self, sink: &mut Sink<'_>) -> Result<(), JournalError> {
        self.parts.look(self.read, sink.reader)?;
        self.release(true, sink)
    }

    /// Tells also what is held of cases that are open, where nothing follows in the log.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) -> Result<(), JournalError> {
        self.flush(sink)?;
        self.projector.finish(sink.texts, sink.emit);
        Ok(())
    }

    fn release(&mut self, all: bool, sink: &mut Sink<'_>) -> Result<(), JournalError> {
        while let Some((_, first)) = self.held.front() {
            if !all && self.held.len() <= MOST_HELD && self.parts.waits(first) {
                break;
            }
            let Some((seq, recorded)) = self.held.pop_front() else { break };
            self.tell(seq, &recorded, sink)?;
        }
        Ok(())
    }

    fn tell(&mut self, seq: EventSeq, recorded: &Recorded, sink: &mut Sink<'_>) -> Result<(), JournalError> {
        let part = self.parts.take(recorded);
        if seq.0 <= self.passed.0 {
            self.windows.pass(recorded);
            self.projector.pass_with(recorded, part.as_ref());
        } else {
            self.windows.add(seq, recorded, sink.reader, sink.emit)?;
            self.projector.add_with(recorded, part.as_ref(), sink.texts, sink.emit);
        }
        self.told = seq;
        Ok(())
    }
}

/// The texts of a journal, for spans as they are made: damage is kept until somebody can say it.
pub(super) struct TextSource<'a> {
    reader: &'a Reader,
    /// Those that were asked for last, the newest first: what a system prompt says, many requests say.
    recent: RefCell<VecDeque<(Digest, Arc<str>)>>,
    damage: RefCell<Option<JournalError>>,
}

impl<'a> TextSource<'a> {
    pub(super) const fn of(reader: &'a Reader) -> Self {
        Self { reader, recent: RefCell::new(VecDeque::new()), damage: RefCell::new(None) }
    }

    pub(super) fn find(&self, case: CaseNo, digest: &Digest) -> Option<Arc<str>> {
        let mut recent = self.recent.borrow_mut();
        let known = recent.iter().position(|(known, _)| known == digest).and_then(|place| recent.remove(place));
        let text = match known {
            Some((_, text)) => text,
            None => self.reader.text(Some(case), digest).unwrap_or_else(|error| {
                self.damage.borrow_mut().get_or_insert(error);
                None
            })?,
        };
        if text.len() <= MOST_KEPT_BYTES {
            recent.truncate(MOST_KEPT - 1);
            recent.push_front((*digest, Arc::clone(&text)));
        }
        Some(text)
    }

    /// Says what was found damaged since it was last asked.
    ///
    /// # Errors
    /// That.
    pub(super) fn check(&self) -> Result<(), JournalError> {
        self.damage.take().map_or(Ok(()), Err)
    }
}

/// Tells every span of a journal: first those of the events in order, then what is held of cases that are open.
///
/// Memory: one page of events, the open cases, and a few seconds of events where devices are joined.
///
/// # Errors
/// Damage, trouble of the store, whatever `visit` returns.
pub fn spans_of(
    reader: &Reader,
    run: &RunId,
    settings: Settings,
    plan: Option<Arc<Plan>>,
    visit: &mut dyn FnMut(Span) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let mut teller = Teller::new(run.clone(), settings, plan, EventSeq::default(), true);
    let source = TextSource::of(reader);
    let texts = |case: CaseNo, digest: &Digest| source.find(case, digest);
    let mut spans = Vec::new();
    let read = loop {
        let page = teller.page(reader, &source, &mut |span| spans.push(span));
        // Whoever takes them may take their time: the store is not held meanwhile.
        spans.drain(..).try_for_each(&mut *visit)?;
        match page {
            Ok(page) if page.has_more => {}
            read => break read,
        }
    };
    // What is before a damage is told, too.
    let finished = teller.finish(&mut Sink { reader, texts: &texts, emit: &mut |span| spans.push(span) });
    spans.into_iter().try_for_each(visit)?;
    read?;
    finished?;
    source.check()
}
