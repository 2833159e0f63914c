//! Those who follow a run: a display, and readers of its facts. None of them ever holds it up.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::live::Live;
use crate::event::Recorded;

/// Commits that a held display may fall behind before it misses some.
const MOST_UNTOLD: usize = 4_096;

/// Everybody who follows one run.
pub struct Audience {
    display: Listener,
    readers: Vec<Listener>,
}

struct Listener {
    live: mpsc::Sender<Live>,
    /// Facts that it had no room for yet.
    untold: VecDeque<Arc<[Recorded]>>,
    has_missed: bool,
}

impl Audience {
    /// Returns an audience of a display, which also hears what is spoken.
    #[must_use]
    pub fn of(display: mpsc::Sender<Live>) -> Self {
        Self { display: Listener::new(display), readers: Vec::new() }
    }

    /// Adds a reader of facts.
    #[must_use]
    pub fn with(mut self, reader: Option<mpsc::Sender<Live>>) -> Self {
        self.readers.extend(reader.map(Listener::new));
        self
    }

    /// Tells what is soon out of date, and lost on whoever has no room for it.
    pub fn mention(&self, live: &Live) {
        let listeners = std::iter::once(&self.display).chain(&self.readers);
        listeners.for_each(|listener| drop(listener.live.try_send(live.clone())));
    }

    /// Returns where samples of devices go: to readers, not to the display.
    pub(super) fn readers(&self) -> Vec<mpsc::Sender<Live>> {
        self.readers.iter().map(|reader| reader.live.clone()).collect()
    }

    /// Returns where pieces of answers go.
    pub(super) fn display(&self) -> mpsc::Sender<Live> {
        self.display.live.clone()
    }

    /// Tells durable facts; one that is held for very long misses some.
    pub(super) fn tell(&mut self, facts: &Arc<[Recorded]>) {
        let listeners = std::iter::once(&mut self.display).chain(&mut self.readers);
        listeners.for_each(|listener| listener.tell(facts));
    }

    /// Waits until everybody has heard everything; returns true when the display had missed facts before.
    pub(super) async fn finish(self) -> bool {
        let has_missed = self.display.has_missed;
        for listener in self.readers.into_iter().chain([self.display]) {
            for facts in listener.untold {
                // One that is gone needs to know nothing.
                drop(listener.live.send(Live::Facts(facts)).await);
            }
        }
        has_missed
    }
}

impl Listener {
    const fn new(live: mpsc::Sender<Live>) -> Self {
        Self { live, untold: VecDeque::new(), has_missed: false }
    }

    fn tell(&mut self, facts: &Arc<[Recorded]>) {
        self.untold.push_back(Arc::clone(facts));
        while let Some(facts) = self.untold.front() {
            match self.live.try_send(Live::Facts(Arc::clone(facts))) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => drop(self.untold.pop_front()),
                Err(mpsc::error::TrySendError::Full(_)) => break,
            }
        }
        while self.untold.len() > MOST_UNTOLD {
            self.untold.pop_front();
            self.has_missed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::event::{Event, SourceEnded};

    fn fact(cases: u64) -> Arc<[Recorded]> {
        Arc::from([Recorded { at: Timestamp::default(), event: Event::SourceEnded(SourceEnded { cases }) }])
    }

    fn heard(live: &Live) -> u64 {
        match live {
            Live::Facts(facts) => match &facts[0].event {
                Event::SourceEnded(ended) => ended.cases,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn one_that_is_held_keeps_nobody_else_waiting_and_hears_everything_at_the_end() {
        let (display, mut held) = mpsc::channel(1);
        let (reader, mut prompt) = mpsc::channel(8);
        let mut audience = Audience::of(display).with(Some(reader));
        (0..3).for_each(|number| audience.tell(&fact(number)));
        let told: Vec<u64> = std::iter::from_fn(|| prompt.try_recv().ok()).map(|live| heard(&live)).collect();
        assert_eq!(told, [0, 1, 2]);
        let all = async {
            let mut told = Vec::new();
            while let Some(live) = held.recv().await {
                told.push(heard(&live));
            }
            told
        };
        let (missed, told) = tokio::join!(audience.finish(), all);
        assert_eq!((missed, told), (false, vec![0, 1, 2]));
    }

    #[tokio::test]
    async fn one_that_is_held_for_very_long_is_said_to_have_missed_facts() {
        let (display, held) = mpsc::channel(1);
        let mut audience = Audience::of(display);
        (0..=MOST_UNTOLD as u64 + 1).for_each(|number| audience.tell(&fact(number)));
        drop(held);
        assert!(audience.finish().await);
    }
}
