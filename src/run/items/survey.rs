//! One look at the whole input, before any call is made.

use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::IndexMap;

use super::accepted::{Accepted, short};
use super::problem::At;
use super::source::RowSource;
use super::{ItemProblem, Row};
use crate::base::{Digest, Hasher};
use crate::plan::Plan;

/// Problems named before the rest is only counted.
const NAMED_PROBLEMS: usize = 20;

/// What an input comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Rows that are taken.
    pub items: u64,
    /// Rows × repeats.
    pub cases: u64,
    /// Hash over ids and rows, in order.
    pub digest: Digest,
    /// Columns that some row has.
    pub columns: BTreeSet<String>,
}

/// Reads the whole input once and tells everything that is wrong with it, before any call is made.
///
/// With a sample or an order by chance it is read again, to tell what is taken. Memory: 50 bytes a row, for finding
/// rows with the same id; and what `RowSource` takes.
///
/// # Errors
/// At most 20 problems by name, and how many more there are.
pub fn survey(plan: &Plan) -> Result<Survey, Vec<ItemProblem>> {
    let by_chance = plan.pick.sample.is_some() || plan.pick.shuffle.is_some();
    let mut found = Found::default();
    let mut count = Count::default();
    let mut accepted = Accepted::of(plan);
    accepted.columns = Some(BTreeSet::new());
    // What chance takes may stand anywhere; else nothing after the last row taken is looked at.
    let most = if by_chance { u64::MAX } else { plan.most_items() };
    let mut seen = accepted.has_ids().then(Seen::default);
    for _ in 0..most {
        let Some((at, row)) = accepted.next() else { break };
        match row {
            Ok(row) => {
                if let Some(problem) = seen.as_mut().and_then(|seen| seen.repeated(&at, &row)) {
                    found.add(problem);
                }
                if !by_chance {
                    count.add(&row);
                }
            }
            Err(problem) => found.add(problem),
        }
    }
    found.none()?;
    if by_chance {
        let mut source = RowSource::open(plan).map_err(|problem| vec![problem])?;
        while let Some(row) = source.next_row() {
            count.add(&row.map_err(|problem| vec![problem])?);
        }
    }
    Ok(Survey {
        items: count.items,
        cases: count.items * plan.cases_of_item(),
        digest: count.digest,
        columns: accepted.columns.unwrap_or_default(),
    })
}

/// Ids with the places where they stand: the number of the file, and of the row in it.
///
/// In two large blocks, which the system gets back at the end: the small nodes of a tree would stay with the process
/// for as long as it runs, a third of all its memory at a million rows.
#[derive(Default)]
struct Seen {
    places: IndexMap<[u8; 16], (u32, u32)>,
    files: Vec<Arc<str>>,
}

impl Seen {
    /// Tells when an id was there before.
    fn repeated(&mut self, at: &At, row: &Row) -> Option<ItemProblem> {
        if self.files.last() != Some(&at.name) {
            self.files.push(Arc::clone(&at.name));
        }
        let id = row.item.as_str();
        let file = u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX);
        // Further than that, a message names the wrong row.
        let here = (file, u32::try_from(at.number).unwrap_or(u32::MAX));
        let earlier = *self.places.entry(short(&Digest::of(id.as_bytes())).to_le_bytes()).or_insert(here);
        if earlier == here {
            return None;
        }
        let (file, number) = earlier;
        let name = usize::try_from(file).ok().and_then(|file| self.files.get(file)).unwrap_or(&at.name);
        let earlier = At { name: Arc::clone(name), number: u64::from(number), is_row: at.is_row };
        Some(ItemProblem {
            place: at.to_string(),
            message: format!("id {id:?} is taken by {earlier} already"),
            help: "give each row its own id; equal rows without an id are told apart by themselves".to_owned(),
        })
    }
}

/// Problems so far.
#[derive(Default)]
struct Found {
    named: Vec<ItemProblem>,
    hidden: u64,
}

impl Found {
    fn add(&mut self, problem: ItemProblem) {
        if self.named.len() < NAMED_PROBLEMS {
            self.named.push(problem);
        } else {
            self.hidden += 1;
        }
    }

    fn none(mut self) -> Result<(), Vec<ItemProblem>> {
        if self.hidden > 0 {
            self.named.push(ItemProblem {
                place: "items".to_owned(),
                message: format!("{} more rows are wrong", self.hidden),
                help: "mend the rows above first".to_owned(),
            });
        }
        if self.named.is_empty() { Ok(()) } else { Err(self.named) }
    }
}

/// What is taken.
struct Count {
    items: u64,
    digest: Digest,
}

impl Default for Count {
    fn default() -> Self {
        Self { items: 0, digest: Hasher::new("pipe input 1").finish() }
    }
}

impl Count {
    fn add(&mut self, row: &Row) {
        self.items += 1;
        self.digest = Hasher::new("pipe input 1")
            .field(self.digest.as_bytes())
            .field(row.item.as_str().as_bytes())
            .field(row.json.as_bytes())
            .finish();
    }
}
