//! Items that are repeated until it is enough: each item and cell alone, in the order of its repeats.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::call::Step;
use super::evidence::{MOST_AHEAD, Prefix};
use super::step::Engine;
use crate::base::{CaseNo, ItemId};
use crate::event::{CaseAdmitted, CaseSettled, Event, RepeatsReached, SnapGroup, SnapLatest, SnapRepeats};
use crate::plan::{CellIdx, Plan};

/// The items and cells that are being repeated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Repeats {
    /// Cases that were admitted or passed over, of all that there are.
    passed: u64,
    latest: Option<Latest>,
    /// By the first case of each; only those that have an open case, and the latest.
    groups: BTreeMap<CaseNo, Group>,
}

/// Where admission stands.
#[derive(Clone, Debug, PartialEq)]
struct Latest {
    first: CaseNo,
    item: ItemId,
    cell: CellIdx,
    repeat: u32,
}

/// One item in one cell.
#[derive(Clone, Debug, Default, PartialEq)]
struct Group {
    admitted: u32,
    open: u32,
    prefix: Prefix,
}

impl Group {
    const fn is_over(&self) -> bool {
        self.open == 0 && self.prefix.is_told()
    }
}

/// Returns the first case of the item and cell that a case belongs to: its repeats are admitted in a row.
fn first_of(case: CaseNo, repeat: u32) -> CaseNo {
    CaseNo(case.0 + 1 - u64::from(repeat))
}

/// Repeats that were passed over because there were enough.
pub(super) struct Skipped {
    pub(super) item: ItemId,
    pub(super) cell: CellIdx,
    pub(super) repeats: RangeInclusive<u32>,
}

impl Repeats {
    /// Takes a case that is admitted, and returns those that were passed over before it.
    pub(super) fn admit(&mut self, plan: &Plan, admitted: &CaseAdmitted, cell: CellIdx) -> Option<Skipped> {
        plan.repeats.as_ref()?;
        let first = first_of(admitted.case, admitted.repeat);
        let mut skipped = None;
        if let Some(before) = self.latest.take().filter(|latest| latest.first != first) {
            if self.groups.get(&before.first).is_some_and(Group::is_over) {
                self.groups.remove(&before.first);
            }
            let Latest { item, cell, repeat, .. } = before;
            let repeats = repeat + 1..=plan.repeat.get();
            self.passed += u64::from(plan.repeat.get() - repeat);
            skipped = Some(Skipped { item, cell, repeats });
        }
        self.passed += 1;
        let group = self.groups.entry(first).or_default();
        group.admitted += 1;
        group.open += 1;
        self.latest = Some(Latest { first, item: admitted.item.clone(), cell, repeat: admitted.repeat });
        skipped
    }

    /// Takes a case that is over.
    pub(super) fn settle(&mut self, plan: &Plan, cell: CellIdx, settled: &CaseSettled, repeat: u32) {
        let cell = plan.cell(cell);
        let Some(evidence) = &cell.repeats else { return };
        let first = first_of(settled.case, repeat);
        let Some(group) = self.groups.get_mut(&first) else { return };
        group.open -= 1;
        let place = CaseNo(u64::from(repeat) - 1);
        group.prefix.settle((cell, evidence), place, &settled.observed, Some(u64::from(plan.repeat.get())));
        self.forget(first);
    }

    /// Takes notice that it is recorded that there are enough.
    pub(super) fn reached(&mut self, reached: &RepeatsReached) {
        let first = first_of(reached.case, reached.repeat);
        if let Some(group) = self.groups.get_mut(&first) {
            group.prefix.tell();
        }
        self.forget(first);
    }

    fn forget(&mut self, first: CaseNo) {
        let is_latest = self.latest.as_ref().is_some_and(|latest| latest.first == first);
        if !is_latest && self.groups.get(&first).is_some_and(Group::is_over) {
            self.groups.remove(&first);
        }
    }

    /// Returns true when the latest item and cell is this one, and has been repeated enough.
    pub(super) fn are_enough(&self, item: &ItemId, cell: CellIdx) -> bool {
        let latest = self.latest.as_ref().filter(|latest| latest.cell == cell && latest.item == *item);
        latest.and_then(|latest| self.groups.get(&latest.first)).is_some_and(|group| group.prefix.met().is_some())
    }

    /// Returns true when a case is beyond the last repeat that counts.
    pub(super) fn is_beyond(&self, case: CaseNo, repeat: u32) -> bool {
        self.groups.get(&first_of(case, repeat)).is_none_or(|group| group.prefix.met().is_some())
    }

    /// Returns how many cases were admitted or passed over.
    #[must_use]
    pub const fn passed(&self) -> u64 {
        self.passed
    }

    /// Returns how many more may be admitted, so that few are over ahead of one that is not.
    pub(super) fn room_ahead(&self) -> u64 {
        let latest = self.latest.as_ref().and_then(|latest| self.groups.get(&latest.first));
        latest.map_or(MOST_AHEAD, |group| {
            MOST_AHEAD.saturating_sub(u64::from(group.admitted).saturating_sub(group.prefix.judged()))
        })
    }

    /// Says that an item has been repeated enough, when that is news.
    fn news(&self, case: CaseNo, repeat: u32) -> Option<RepeatsReached> {
        let first = first_of(case, repeat);
        let group = self.groups.get(&first)?;
        let met = group.prefix.met().filter(|_| !group.prefix.is_told())?;
        let CaseNo(place) = met.case?;
        let repeat = u32::try_from(place).ok()? + 1;
        Some(RepeatsReached {
            case: CaseNo(first.0 + place),
            repeat,
            beyond: group.admitted - repeat,
            condition: met.condition.clone(),
            evidence: met.evidence.clone(),
        })
    }

    pub(super) fn snapshot(&self, plan: &Plan) -> Option<SnapRepeats> {
        plan.repeats.as_ref()?;
        let latest = self.latest.as_ref().map(|latest| SnapLatest {
            first: latest.first,
            item: latest.item.clone(),
            matrix: plan.cell(latest.cell).matrix.clone(),
            repeat: latest.repeat,
        });
        let groups = self.groups.iter().map(|(&first, group)| SnapGroup {
            first,
            admitted: group.admitted,
            open: group.open,
            prefix: group.prefix.snapshot(),
        });
        Some(SnapRepeats { passed: self.passed, latest, groups: groups.collect() })
    }

    pub(super) fn restore(plan: &Plan, stored: Option<SnapRepeats>) -> Result<Self, String> {
        let Some(SnapRepeats { passed, latest, groups }) = stored else { return Ok(Self::default()) };
        let latest = match latest {
            None => None,
            Some(SnapLatest { first, item, matrix, repeat }) => {
                let cell = plan.find_cell(&matrix).ok_or("the plan has no cell for the latest case")?;
                Some(Latest { first, item, cell, repeat })
            }
        };
        let group = |stored: SnapGroup| {
            let SnapGroup { first, admitted, open, prefix } = stored;
            (first, Group { admitted, open, prefix: Prefix::restore(prefix) })
        };
        Ok(Self { passed, latest, groups: groups.into_iter().map(group).collect() })
    }
}

impl Engine {
    /// Records that an item has been repeated enough, when the case that has just been settled tells so.
    pub(super) fn repeated(&mut self, step: &mut Step, case: CaseNo, repeat: u32) {
        if let Some(reached) = self.state.repeats.news(case, repeat) {
            self.record(step, Event::RepeatsReached(reached));
        }
    }
}
