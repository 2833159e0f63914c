//! What an earlier run has settled that a new one would ask again in the same words.
//! Nothing is stored for it: both sides' fingerprints are computed from their plans, rows and outputs.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::intake::cases_of_item;
use super::items::{ItemProblem, RowSource};
use crate::base::{CaseNo, Digest, ItemId, RunId};
use crate::event::{Because, TaskAdopted, TaskSettled, TaskStatus};
use crate::journal::{CaseRecord, JournalError, Reader, Text};
use crate::plan::{CellIdx, Fingerprints, Plan, StepIdx, Voice, output_digest};

/// A run's settled tasks, by fingerprint. Memory: about 60 bytes a task.
pub struct Reuse {
    run: RunId,
    reader: Reader,
    settled: BTreeMap<Digest, Settled>,
    /// By the plan's order of cells.
    fingerprints: Vec<Fingerprints>,
}

/// An item with its id, and which repeat of it.
type OneCase<'a> = (&'a ItemId, u32, &'a Map<String, Value>);

#[derive(Clone, Copy)]
struct Settled {
    case: CaseNo,
    output: Digest,
}

/// What a case takes over.
#[derive(Debug, Default)]
pub struct Adopted {
    /// Each after those that it reads; their case is still the earlier run's.
    pub tasks: Vec<TaskAdopted>,
    /// Every text that their outputs name.
    pub texts: Vec<Text>,
}

impl Reuse {
    /// Reads what `run` has settled; only outputs that count are taken, so what failed is asked again.
    ///
    /// `before` is the plan that the run was made of, with who answered for its actors, by cell; `now` the same of the new run.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn of(
        run: RunId,
        journal: &Path,
        before: (&Plan, &[Vec<Voice>]),
        now: (&Plan, &[Vec<Voice>]),
    ) -> Result<Self, JournalError> {
        let reader = Reader::open(journal)?;
        let (plan, voices) = before;
        let fingerprints = by_cell(plan, voices);
        let mut settled = BTreeMap::new();
        reader.cases(CaseNo(0), &mut |record| {
            let Some(cell) = plan.find_cell(&record.admitted.matrix) else { return Ok(()) };
            add(plan.cell(cell), &fingerprints[cell.0], &record, &row_of(&reader, &record)?, &mut settled);
            Ok(())
        })?;
        let (plan, voices) = now;
        Ok(Self { run, reader, settled, fingerprints: by_cell(plan, voices) })
    }

    /// Returns the run that is reused.
    #[must_use]
    pub const fn run(&self) -> &RunId {
        &self.run
    }

    /// Steps stand after all that they read, so one pass finds every task whose inputs are known.
    fn found(&self, plan: &Plan, cell: CellIdx, case: OneCase<'_>) -> Vec<Option<Settled>> {
        let (plan, fingerprints) = (plan.cell(cell), &self.fingerprints[cell.0]);
        let mut found: Vec<Option<Settled>> = vec![None; plan.steps.len()];
        for place in 0..plan.steps.len() {
            let output = |StepIdx(read): StepIdx| found[read].map(|settled| settled.output);
            let print = fingerprints.task(plan, StepIdx(place), case, &output);
            found[place] = print.and_then(|print| self.settled.get(&print).copied());
        }
        found
    }

    /// Reads what a case takes over.
    ///
    /// # Errors
    /// The journal of the earlier run cannot be read any more.
    pub fn adopt(&self, plan: &Plan, cell: CellIdx, case: OneCase<'_>) -> Result<Adopted, JournalError> {
        let mut adopted = Adopted::default();
        let mut records: BTreeMap<CaseNo, Option<CaseRecord>> = BTreeMap::new();
        for (step, found) in plan.steps.iter().zip(self.found(plan, cell, case)) {
            let Some(Settled { case, .. }) = found else { continue };
            if let std::collections::btree_map::Entry::Vacant(entry) = records.entry(case) {
                entry.insert(self.reader.case(case)?);
            }
            let record = records.get(&case).and_then(Option::as_ref);
            let Some(task) = record.and_then(|record| record.tasks.iter().find(|task| task.step == step.name)) else {
                continue;
            };
            for digest in task.output.iter().flat_map(crate::event::TaskOutput::texts) {
                let text = self.reader.text(Some(case), &digest)?;
                adopted.texts.extend(text.map(|body| Text { case: None, digest, body }));
            }
            let task = TaskAdopted { from_run: self.run.clone(), from_case: case, task: task.clone() };
            adopted.tasks.push(task);
        }
        Ok(adopted)
    }
}

/// What a run would find settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Cases in all.
    pub cases: u64,
    /// Cases of which nothing is asked.
    pub known: u64,
    /// Cases in each cell.
    pub cases_of_cell: u64,
    /// Tasks that are adopted, by the plan's order of cells and of steps.
    pub adopted: Vec<Vec<u64>>,
}

impl Forecast {
    /// Returns how many tasks are adopted in all.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.adopted.iter().flatten().sum()
    }
}

/// Returns the first row of the input, with its id; none when there is no row.
///
/// # Errors
/// A row that is wrong.
pub fn first_row(plan: &Plan) -> Result<Option<(ItemId, String)>, ItemProblem> {
    let row = RowSource::open(plan)?.next_row().transpose()?;
    Ok(row.map(|row| (row.item, row.json)))
}

/// Reads the input once and counts what `reuse` has of it.
///
/// # Errors
/// A row that is wrong.
pub fn forecast(plan: &Plan, reuse: Option<&Reuse>) -> Result<Forecast, ItemProblem> {
    let cells = plan.all_cells().count();
    let mut forecast =
        Forecast { cases: 0, known: 0, cases_of_cell: 0, adopted: vec![vec![0; plan.steps.len()]; cells] };
    let mut source = RowSource::open(plan)?;
    while let Some(row) = source.next_row() {
        let row = row?;
        forecast.cases += plan.cases_of_item();
        forecast.cases_of_cell += u64::from(plan.repeat.get());
        let Some(reuse) = reuse else { continue };
        let fields = serde_json::from_str(&row.json).unwrap_or_default();
        for (cell, repeat) in cases_of_item(plan) {
            let found = reuse.found(plan, cell, (&row.item, repeat, &fields));
            forecast.known += u64::from(found.iter().all(Option::is_some));
            for (count, found) in forecast.adopted[cell.0].iter_mut().zip(found) {
                *count += u64::from(found.is_some());
            }
        }
    }
    Ok(forecast)
}

/// Returns true for an output that another run may take over. What `on_error` took is asked again; what `when` left
/// out costs nothing, but others read that it was.
fn counts(task: &TaskSettled) -> bool {
    match (task.status, task.because) {
        (TaskStatus::Ok | TaskStatus::Unscored, because) => because.is_none(),
        (TaskStatus::Skipped, because) => because == Some(Because::When),
        (TaskStatus::Failed, _) => false,
    }
}

fn by_cell(plan: &Plan, voices: &[Vec<Voice>]) -> Vec<Fingerprints> {
    plan.all_cells().map(|(CellIdx(place), cell)| Fingerprints::of(cell, &voices[place])).collect()
}

fn row_of(reader: &Reader, record: &CaseRecord) -> Result<Map<String, Value>, JournalError> {
    let text = reader.text(Some(record.admitted.case), &record.admitted.row)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

fn add(
    plan: &Plan,
    fingerprints: &Fingerprints,
    record: &CaseRecord,
    row: &Map<String, Value>,
    settled: &mut BTreeMap<Digest, Settled>,
) {
    let task = |step: StepIdx| -> Option<&TaskSettled> {
        let name = &plan.step(step).name;
        record.tasks.iter().find(|task| task.step == *name)
    };
    let output = |step: StepIdx| task(step).map(output_digest);
    let case = &record.admitted;
    for step in (0..plan.steps.len()).map(StepIdx) {
        let Some(found) = task(step).filter(|task| counts(task)) else {
            continue;
        };
        if let Some(print) = fingerprints.task(plan, step, (&case.item, case.repeat, row), &output) {
            settled.insert(print, Settled { case: case.case, output: output_digest(found) });
        }
    }
}
