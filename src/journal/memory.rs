//! The log in memory: for virtual time and for tests. A clone is what a crash at that moment would leave.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Batch, EventLog, EventSeq, EventVisit, JournalError};
use crate::base::{CaseNo, Digest};
use crate::event::{Recorded, Sampled, Snapshot};

/// A journal that lives as long as the process.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    events: Vec<Recorded>,
    texts: BTreeMap<(Option<CaseNo>, Digest), Arc<str>>,
    checkpoints: BTreeMap<EventSeq, Snapshot>,
    sampled: Vec<Sampled>,
}

impl Memory {
    /// Returns an empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns all events; the first is number 1.
    #[must_use]
    pub fn events(&self) -> &[Recorded] {
        &self.events
    }

    /// Returns what was sampled of graphics devices.
    #[must_use]
    pub fn sampled(&self) -> &[Sampled] {
        &self.sampled
    }

    /// Returns all checkpoints with the events that they stand after, oldest first.
    pub fn checkpoints(&self) -> impl Iterator<Item = (EventSeq, &Snapshot)> {
        self.checkpoints.iter().map(|(seq, snapshot)| (*seq, snapshot))
    }

    /// Returns the log as it was after event `seq`: what a crash there leaves. Texts stay, as they are durable first.
    #[must_use]
    pub fn cut_after(&self, seq: EventSeq) -> Self {
        let kept = self.events.iter().take(count_to(seq)).cloned().collect();
        let checkpoints = self.checkpoints.range(..=seq).map(|(seq, snapshot)| (*seq, snapshot.clone())).collect();
        Self { events: kept, texts: self.texts.clone(), checkpoints, sampled: Vec::new() }
    }
}

/// Returns how many events there are up to `seq`.
fn count_to(seq: EventSeq) -> usize {
    usize::try_from(seq.0).unwrap_or(usize::MAX)
}

impl EventLog for Memory {
    fn append(&mut self, batches: &[Batch]) -> Result<EventSeq, JournalError> {
        for batch in batches {
            for text in &batch.texts {
                self.texts.entry((text.case, text.digest)).or_insert_with(|| Arc::clone(&text.body));
            }
            self.events.extend_from_slice(&batch.events);
            if let Some(snapshot) = &batch.checkpoint {
                self.checkpoints.insert(self.last_seq(), snapshot.clone());
            }
        }
        Ok(self.last_seq())
    }

    fn add_samples(&mut self, sampled: Vec<Sampled>) {
        self.sampled.extend(sampled);
    }

    fn last_seq(&self) -> EventSeq {
        EventSeq(self.events.len() as u64)
    }

    fn events_after(&self, seq: EventSeq, visit: &mut EventVisit<'_>) -> Result<(), JournalError> {
        let mut last = seq;
        for recorded in self.events.iter().skip(count_to(seq)) {
            last = last.next();
            visit(last, recorded.clone())?;
        }
        Ok(())
    }

    fn latest_checkpoint(&self) -> Result<Option<(EventSeq, Snapshot)>, JournalError> {
        Ok(self.checkpoints.last_key_value().map(|(seq, snapshot)| (*seq, snapshot.clone())))
    }

    fn text(&self, case: Option<CaseNo>, digest: &Digest) -> Result<Option<Arc<str>>, JournalError> {
        let of_run = || self.texts.get(&(None, *digest));
        Ok(self.texts.get(&(case, *digest)).or_else(of_run).cloned())
    }

    fn finish(&mut self) -> Result<(), JournalError> {
        Ok(())
    }
}
