//! Cases as a stream: items × cells × repeats, never built as a whole.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::items::{ItemProblem, RowSource};
use super::reuse::{Adopted, Reuse};
use crate::base::{Digest, Hasher};
use crate::engine::Offered;
use crate::journal::{JournalError, Text};
use crate::plan::{CellIdx, Plan};
use std::ops::RangeInclusive;

/// Cases read ahead of the engine: enough that a fast run never waits for the file.
const AHEAD: usize = 512;

/// A thread that reads the input and hands over cases in admission order: item by item, cell by cell, repeat by repeat;
/// or round by round, when the run may have seen enough before its end.
pub struct Intake {
    cases: mpsc::Receiver<Result<Read, IntakeError>>,
}

/// A case that has been read.
#[derive(Debug)]
pub struct Read {
    /// For the engine.
    pub offered: Offered,
    /// Its row, and the texts of what it takes over from another run.
    pub texts: Vec<Text>,
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
    /// The run that is reused cannot be read any more.
    #[error("the run that is reused cannot be read: {0}")]
    Reuse(#[from] JournalError),
    /// The reading thread cannot start.
    #[error("no thread for reading the input: {0}")]
    Thread(std::io::Error),
}

impl Intake {
    /// Starts reading; `admitted` cases, and those that were passed over between them, are left out, and their ids must come to the hash `chain`. Later ones take
    /// over what `reuse` has of them.
    ///
    /// # Errors
    /// The thread cannot start.
    pub fn start(plan: Arc<Plan>, admitted: u64, chain: Digest, reuse: Option<Reuse>) -> Result<Self, IntakeError> {
        let (sender, cases) = mpsc::channel(AHEAD);
        let read = move || {
            let stopped = pump(&plan, admitted, chain, reuse.as_ref(), &sender);
            if let Err(error) = stopped {
                // A receiver that is gone wants no more cases, and no error either.
                drop(sender.blocking_send(Err(error)));
            }
        };
        std::thread::Builder::new().name("intake".to_owned()).spawn(read).map_err(IntakeError::Thread)?;
        Ok(Self { cases })
    }

    /// Returns an input that has no more cases: of a run whose cases are all admitted.
    #[must_use]
    pub fn over() -> Self {
        let (_, cases) = mpsc::channel(1);
        Self { cases }
    }

    /// Returns the next case; none when there are no more.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<Read, IntakeError>> {
        self.cases.recv().await
    }

    /// Returns the next case when it has been read already.
    pub fn ready(&mut self) -> Option<Result<Read, IntakeError>> {
        self.cases.try_recv().ok()
    }
}

/// Returns all cases of one item: cell by cell, repeat by repeat.
pub(super) fn cases_of_item(plan: &Plan) -> impl Iterator<Item = (CellIdx, u32)> {
    cases_of_round(plan, 1..=plan.repeat.get())
}

/// Returns the cases of one item in one round.
fn cases_of_round(plan: &Plan, repeats: RangeInclusive<u32>) -> impl Iterator<Item = (CellIdx, u32)> {
    plan.all_cells().flat_map(move |(cell, _)| repeats.clone().map(move |repeat| (cell, repeat)))
}

fn pump(
    plan: &Plan,
    admitted: u64,
    chain: Digest,
    reuse: Option<&Reuse>,
    sender: &mpsc::Sender<Result<Read, IntakeError>>,
) -> Result<(), IntakeError> {
    let mut passed = 0;
    let mut seen = Hasher::new("pipe admitted 1").finish();
    for repeats in plan.rounds() {
        let mut source = RowSource::open(plan).map_err(IntakeError::Row)?;
        while let Some(row) = source.next_row() {
            let row = row.map_err(IntakeError::Row)?;
            let text = Text::of(row.json);
            let fields = reuse.and_then(|_| serde_json::from_str(&text.body).ok()).unwrap_or_default();
            for (cell, repeat) in cases_of_round(plan, repeats.clone()) {
                if passed < admitted {
                    passed += 1;
                    seen = crate::engine::chained(seen, &row.item, repeat, &plan.cell(cell).matrix);
                    if passed == admitted && seen != chain {
                        return Err(IntakeError::Changed { admitted });
                    }
                    continue;
                }
                let mut adopted = match reuse {
                    Some(reuse) => reuse.adopt(plan, cell, (&row.item, repeat, &fields))?,
                    None => Adopted::default(),
                };
                adopted.texts.push(text.clone());
                let Adopted { tasks: adopted, texts } = adopted;
                let offered = Offered { item: row.item.clone(), repeat, cell, row: text.digest, adopted };
                if sender.blocking_send(Ok(Read { offered, texts })).is_err() {
                    return Ok(());
                }
            }
        }
    }
    if passed < admitted {
        return Err(IntakeError::Changed { admitted });
    }
    Ok(())
}
