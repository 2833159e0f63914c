//! Which answers go to the cache, and when: after the commit that records them.

use std::collections::BTreeMap;

use crate::base::CaseNo;
use crate::cache::{Entry, Keeper, Told};
use crate::engine::{Key, Ticket};
use crate::event::{Event, Outcome, Recorded};
use crate::worker::Worth;

/// Answers on their way to the cache.
pub(super) struct Keeping {
    keeper: Keeper,
    /// The answer that is given to the engine right now.
    given: Option<(Ticket, Worth, Entry)>,
    /// Answers that have not the form that was asked for, by the question that they answer: kept once one that mends
    /// them is, so that whoever asks the same later takes the same way, and never kept for themselves.
    flawed: BTreeMap<Key, Entry>,
    /// Of the steps not yet handed to the journal.
    recorded: Vec<Entry>,
    /// Committed, and without room at the keeper.
    waiting: Vec<Entry>,
}

impl Keeping {
    pub(super) fn new(keeper: Keeper) -> Self {
        Self { keeper, given: None, flawed: BTreeMap::new(), recorded: Vec::new(), waiting: Vec::new() }
    }

    /// Takes an answer before the engine is told of it.
    pub(super) fn give(&mut self, ticket: Ticket, worth: Worth, entry: Entry) {
        self.given = Some((ticket, worth, entry));
    }

    /// Looks whether the engine took the answer: one that came too late is in no journal, and so in no cache.
    pub(super) fn look(&mut self, events: &[Recorded]) {
        let Some((ticket, worth, entry)) = self.given.take() else { return };
        let is_taken = |event: &Event| {
            matches!(event, Event::AttemptEnded(ended)
                if ended.id.case == ticket.key.case && ended.id.attempt == ticket.attempt
                    && matches!(ended.outcome, Outcome::Answered(_)))
        };
        if !events.iter().any(|recorded| is_taken(&recorded.event)) {
            return;
        }
        match worth {
            Worth::Good => {
                let mut call = ticket.key.call;
                while let Some(before) = call.mends() {
                    self.recorded.extend(self.flawed.remove(&Key { call: before, ..ticket.key }));
                    call = before;
                }
                self.recorded.push(entry);
            }
            Worth::Flawed => drop(self.flawed.insert(ticket.key, entry)),
            Worth::None => {}
        }
    }

    /// Returns what goes with the batch that is handed to the journal now.
    pub(super) fn of_batch(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.recorded)
    }

    /// Takes what is committed.
    pub(super) fn committed(&mut self, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        self.waiting.extend(entries);
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = self.keeper.offer(waiting).err().unwrap_or_default();
    }

    /// Forgets what is not mended of a case that is over.
    pub(super) fn forget(&mut self, case: CaseNo) {
        if !self.flawed.is_empty() {
            self.flawed.retain(|key, _| key.case != case);
        }
    }

    /// Tells whether the cache falls behind: no case is admitted then.
    pub(super) const fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Waits until the cache has room again; never ends while it has.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    async fn catch_up(&mut self) {
        match self.waiting.is_empty() {
            true => std::future::pending().await,
            false => self.keeper.hand_over(&mut self.waiting).await,
        }
    }

    /// Hands over what is left, and the keeper back.
    async fn end(mut self) -> Keeper {
        if !self.waiting.is_empty() {
            self.keeper.hand_over(&mut self.waiting).await;
        }
        self.keeper
    }
}

/// Waits as [`Keeping::catch_up`]; never ends without a cache.
pub(super) async fn caught_up(keeping: &mut Option<Keeping>) {
    match keeping {
        Some(keeping) => keeping.catch_up().await,
        None => std::future::pending().await,
    }
}

/// Waits until the cache has all that is committed.
pub(super) async fn told(keeping: Option<Keeping>) -> Told {
    let Some(keeping) = keeping else { return Told::default() };
    let keeper = keeping.end().await;
    // Nothing of a run is lost with it, so its end is the run's whatever becomes of it.
    tokio::task::spawn_blocking(move || keeper.close()).await.unwrap_or_default()
}
