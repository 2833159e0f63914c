//! Cases as a stream: items × repeats, never built as a whole.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::items::{ItemProblem, RowSource};
use crate::base::{Digest, Hasher};
use crate::engine::Offered;
use crate::plan::Plan;

/// Cases read ahead of the engine: enough that a fast run never waits for the file.
const AHEAD: usize = 512;

/// A thread that reads the input and hands over cases in admission order: item by item, repeat by repeat.
pub struct Intake {
    cases: mpsc::Receiver<Result<(Offered, Arc<str>), IntakeError>>,
}

/// An input that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// A row is wrong that was right when the run began.
    #[error("{place}: {message}", place = .0.place, message = .0.message)]
    Row(ItemProblem),
    /// The input is not the one that the run has read so far.
    #[error("the input differs from what this run has read of it: the first {admitted} cases are not the same")]
    Changed {
        /// How many cases had been admitted.
        admitted: u64,
    },
    /// The reading thread cannot start.
    #[error("no thread for reading the input: {0}")]
    Thread(std::io::Error),
}

impl Intake {
    /// Starts reading; `admitted` cases are passed over, and their ids must come to the hash `chain`.
    ///
    /// # Errors
    /// The thread cannot start.
    pub fn start(plan: Arc<Plan>, admitted: u64, chain: Digest) -> Result<Self, IntakeError> {
        let (sender, cases) = mpsc::channel(AHEAD);
        let read = move || {
            let stopped = pump(&plan, admitted, chain, &sender);
            if let Err(error) = stopped {
                // A receiver that is gone wants no more cases, and no error either.
                drop(sender.blocking_send(Err(error)));
            }
        };
        std::thread::Builder::new().name("intake".to_owned()).spawn(read).map_err(IntakeError::Thread)?;
        Ok(Self { cases })
    }

    /// Returns the next case and the text of its row; none when there are no more.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<(Offered, Arc<str>), IntakeError>> {
        self.cases.recv().await
    }

    /// Returns the next case when it has been read already.
    pub fn ready(&mut self) -> Option<Result<(Offered, Arc<str>), IntakeError>> {
        self.cases.try_recv().ok()
    }
}

fn pump(
    plan: &Plan,
    admitted: u64,
    chain: Digest,
    sender: &mpsc::Sender<Result<(Offered, Arc<str>), IntakeError>>,
) -> Result<(), IntakeError> {
    let mut source = RowSource::open(plan).map_err(IntakeError::Row)?;
    let mut passed = 0;
    let mut seen = Hasher::new("pipe admitted 1").finish();
    while let Some(row) = source.next_row() {
        let row = row.map_err(IntakeError::Row)?;
        let text: Arc<str> = Arc::from(row.json);
        let digest = Digest::of(text.as_bytes());
        for repeat in 1..=plan.repeat.get() {
            if passed < admitted {
                passed += 1;
                seen = crate::engine::chained(seen, &row.item, repeat);
                if passed == admitted && seen != chain {
                    return Err(IntakeError::Changed { admitted });
                }
                continue;
            }
            let offered = Offered { item: row.item.clone(), repeat, row: digest };
            if sender.blocking_send(Ok((offered, Arc::clone(&text)))).is_err() {
                return Ok(());
            }
        }
    }
    if passed < admitted {
        return Err(IntakeError::Changed { admitted });
    }
    Ok(())
}
