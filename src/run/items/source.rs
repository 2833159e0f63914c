//! The rows that are taken, in the order of admission: a sample, an order by chance, the first so many.
//!
//! Both go by a hash over a seed and a row's id, so they need no list of rows, and the order of a file changes nothing.

use std::collections::BinaryHeap;

use super::accepted::{Accepted, short};
use super::{ItemProblem, Row};
use crate::base::{Hasher, ItemId};
use crate::plan::Plan;

/// Rows that an order by chance holds at once, in bytes: what is more is read in several passes.
const HELD: u64 = 128 << 20;

/// Reads rows in the order of admission.
///
/// A sample takes one pass over the input before, and 16 bytes for each row that it takes. An order by chance takes one
/// pass before, and one for each 128 MiB of rows; no more than these are held at once.
pub(in crate::run) struct RowSource<'p> {
    plan: &'p Plan,
    /// The greatest hash that the sample takes.
    sampled: Option<u128>,
    order: Order<'p>,
    left: u64,
}

enum Order<'p> {
    AsTheyStand(Box<Accepted<'p>>),
    Shuffled {
        seed: u64,
        /// Rows of the part that was read last, the next one at the end.
        held: Vec<(u128, Row)>,
        part: u64,
        parts: u64,
    },
}

impl<'p> RowSource<'p> {
    /// Opens the input of a plan.
    ///
    /// # Errors
    /// A row that is wrong, when all have to be looked at first.
    pub(in crate::run) fn open(plan: &'p Plan) -> Result<Self, ItemProblem> {
        let pick = &plan.pick;
        let mut sampled = None;
        let mut bytes = 0;
        if pick.sample.is_some() || pick.shuffle.is_some() {
            let before = Before::look(plan)?;
            sampled = before.sampled;
            bytes = before.bytes;
        }
        let order = match pick.shuffle {
            None => Order::AsTheyStand(Box::new(Accepted::of(plan))),
            Some(seed) => Order::Shuffled { seed, held: Vec::new(), part: 0, parts: bytes.div_ceil(HELD).max(1) },
        };
        Ok(Self { plan, sampled, order, left: plan.most_items() })
    }

    /// Returns the next row.
    pub(in crate::run) fn next_row(&mut self) -> Option<Result<Row, ItemProblem>> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        match &mut self.order {
            Order::AsTheyStand(accepted) => loop {
                match accepted.next()?.1 {
                    Ok(row) if !is_sampled(self.plan, self.sampled, &row.item) => {}
                    row => return Some(row),
                }
            },
            Order::Shuffled { seed, held, part, parts } => loop {
                if let Some((_, row)) = held.pop() {
                    return Some(Ok(row));
                }
                if part == parts {
                    return None;
                }
                *part += 1;
                match read_part(self.plan, self.sampled, (*seed, *part, *parts)) {
                    Ok(rows) => *held = rows,
                    Err(problem) => return Some(Err(problem)),
                }
            },
        }
    }
}

/// What a look over all rows tells.
struct Before {
    sampled: Option<u128>,
    /// Of the rows that are taken, about.
    bytes: u64,
}

impl Before {
    fn look(plan: &Plan) -> Result<Self, ItemProblem> {
        let mut least: BinaryHeap<u128> = BinaryHeap::new();
        let (mut rows, mut bytes) = (0_u64, 0_u64);
        let mut accepted = Accepted::of(plan);
        while let Some((_, row)) = accepted.next() {
            let row = row?;
            rows += 1;
            bytes += row.json.len() as u64;
            let Some(sample) = plan.pick.sample else { continue };
            least.push(chance(b"sample", sample.seed, &row.item));
            if least.len() > sample.n.get() as usize {
                least.pop();
            }
        }
        if plan.pick.sample.is_none() {
            return Ok(Self { sampled: None, bytes });
        }
        let taken = least.len() as u64;
        let share = u128::from(bytes) * u128::from(taken) / u128::from(rows.max(1));
        Ok(Self { sampled: least.peek().copied(), bytes: u64::try_from(share).unwrap_or(bytes) })
    }
}

/// Reads the rows whose hash lies in one of so many equal parts, the last one first.
fn read_part(
    plan: &Plan,
    sampled: Option<u128>,
    (seed, part, parts): (u64, u64, u64),
) -> Result<Vec<(u128, Row)>, ItemProblem> {
    let width = u128::MAX / u128::from(parts);
    let (from, is_last) = (width * u128::from(part - 1), part == parts);
    let mut rows = Vec::new();
    let mut accepted = Accepted::of(plan);
    while let Some((_, row)) = accepted.next() {
        let row = row?;
        let hash = chance(b"shuffle", seed, &row.item);
        let is_here = hash >= from && (is_last || hash - from < width);
        if is_here && is_sampled(plan, sampled, &row.item) {
            rows.push((hash, row));
        }
    }
    rows.sort_by(|(one, _), (other, _)| other.cmp(one));
    Ok(rows)
}

fn is_sampled(plan: &Plan, greatest: Option<u128>, item: &ItemId) -> bool {
    match (plan.pick.sample, greatest) {
        (Some(sample), Some(greatest)) => chance(b"sample", sample.seed, item) <= greatest,
        (Some(_), None) | (None, _) => true,
    }
}

fn chance(what: &[u8], seed: u64, item: &ItemId) -> u128 {
    short(&Hasher::new("pipe pick 1").field(what).number(seed).field(item.as_str().as_bytes()).finish())
}
