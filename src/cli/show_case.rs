//! `pipe show RUN CASE`: one case with what was said in it; a step and a call of it are in `show_step`.

use serde_json::{Map, Value, json};

use super::args::ShowArgs;
use super::asked::AskedOf;
use super::check::counted;
use super::exit::{CommandError, Exit};
use super::printer::{BOLD, DIM, Printer, inert, paint};
use super::show::{case_name, state};
use super::show_step;
use super::show_texts::{
    Folding, attempt_json, beside, calls_of, read_json, resolved, text_or_note, thought, tokens,
};
use crate::base::{CaseNo, ItemId, StepName, Timestamp};
use crate::event::{CaseStatus, Outcome, TaskOutput};
use crate::journal::{Adoption, AttemptRecord, CaseRecord, JournalError, Reader, RunDir};
use crate::report::{
    self, Layout, Part, Shape, cell_name, duration, task_status_word, transcript, transcript_text, wrapped,
};

/// One case, and how it is shown.
pub(super) struct Page<'a> {
    pub(super) reader: &'a Reader,
    pub(super) case: &'a CaseRecord,
    /// Those of the same item and repeat in other cells of the matrix.
    others: &'a [CaseRecord],
    pub(super) attempts: &'a [AttemptRecord],
    /// The run as the user named it.
    run: &'a str,
    began: Timestamp,
    pub(super) width: usize,
    /// Thoughts are shown whole.
    pub(super) thoughts: bool,
}

/// Shows a case, a step of it, or a call of that.
///
/// # Errors
/// There is no such case, step or call, or the journal cannot be read.
pub(super) fn show(
    dir: &RunDir,
    reader: &Reader,
    name: &str,
    args: &ShowArgs,
    printer: &mut Printer,
) -> Result<Exit, CommandError> {
    let journal = |error: JournalError| CommandError::journal(&error);
    let found = find(reader, name).map_err(journal)?;
    let Some((case, others)) = found.split_first() else {
        let message = format!("the run has no case {name:?}");
        let help = "give its number (the first is 0), or its item's id, with #2 for the second repeat; `pipe show` lists the first ones";
        return Err(CommandError::new(Exit::Usage, message).help(help));
    };
    let attempts = reader.attempts_of(case.admitted.case).map_err(journal)?;
    let (began, _) = reader.run_started().map_err(journal)?;
    let width = printer.out().reading_width();
    let page =
        Page { reader, case, others, attempts: &attempts, run: &args.run, began, width, thoughts: args.thoughts };
    let step = args.step.as_deref().map(|step| show_step::find_step(&page, step)).transpose()?;
    let call = match (&step, &args.call) {
        (Some(step), Some(call)) => Some(show_step::find_call(&page, step, call)?),
        _ => None,
    };
    let text = match (args.json, &step, &call) {
        (true, _, Some(call)) => {
            show_step::call_json(&page, call, &AskedOf::open(dir)).map(|value| value.to_string())
        }
        (true, Some(step), None) => show_step::step_json(&page, step).map(|value| value.to_string()),
        (true, None, None) => page.to_json().map(|value| value.to_string()),
        (false, _, Some(call)) => show_step::call_text(&page, call, &AskedOf::open(dir)),
        (false, Some(step), None) => show_step::step_text(&page, step),
        (false, None, None) => page.to_text(),
    };
    printer.line(&text.map_err(journal)?)?;
    if !args.json && !others.is_empty() {
        let named = |case: &CaseRecord| format!("{} ({})", case.admitted.case, cell_name(&case.admitted.matrix));
        let others: Vec<String> = others.iter().map(named).collect();
        let item = &case.admitted.item;
        printer.say(&inert(&format!("{item} in other cells of the matrix: case {}", others.join(", case "))));
    }
    Ok(Exit::Done)
}

/// Takes a number, an item's id, and an id with `#` (or `/`) and the repeat; an item has a case in each cell.
pub(super) fn find(reader: &Reader, name: &str) -> Result<Vec<CaseRecord>, JournalError> {
    if let Ok(number) = name.parse()
        && let Some(case) = reader.case(CaseNo(number))?
    {
        return Ok(vec![case]);
    }
    let whole = reader.find_cases(&ItemId::from(name), 1)?;
    let split = name.rsplit_once(['#', '/']).and_then(|(item, repeat)| Some((item, repeat.parse().ok()?)));
    let found = match split {
        Some((item, repeat)) if whole.is_empty() => reader.find_cases(&ItemId::from(item), repeat)?,
        _ => whole,
    };
    let cases: Vec<Option<CaseRecord>> = found.into_iter().map(|case| reader.case(case)).collect::<Result<_, _>>()?;
    Ok(cases.into_iter().flatten().collect())
}

impl Page<'_> {
    /// Returns the steps that have begun or were settled, in that order.
    pub(super) fn steps(&self) -> Vec<StepName> {
        let begun = self.attempts.iter().map(|attempt| &attempt.started.id.step);
        let mut steps: Vec<StepName> = Vec::new();
        let adopted = self.case.adopted.iter().map(|adoption| &adoption.step);
        for step in adopted.chain(begun).chain(self.case.tasks.iter().map(|task| &task.step)) {
            if !steps.contains(step) {
                steps.push(step.clone());
            }
        }
        steps
    }

    pub(super) fn headline(&self) -> String {
        let admitted = &self.case.admitted;
        let item = case_name(admitted);
        paint(BOLD, &inert(&format!("case {} · {item} · {}", admitted.case, state(self.case))))
    }

    /// Says how to go one level deeper: `more` follows run and case.
    pub(super) fn deeper(&self, more: &str, what: &str) -> String {
        let command = format!("pipe show {} {} {more}", self.run, self.case.admitted.case);
        paint(DIM, &wrapped(&inert(&format!("{command}  ({what})")), self.width, 2))
    }

    /// Returns the microseconds from the beginning of the run.
    pub(super) fn since_start(&self, at: Timestamp) -> u64 {
        at.micros_since(self.began)
    }

    fn to_text(&self) -> Result<String, JournalError> {
        let mut lines = vec![self.headline()];
        if let Some(Value::Object(row)) = read_json(self.reader, self.case.admitted.case, &self.case.admitted.row)? {
            for (name, value) in row {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                lines.push(beside(&name, &value, self.width));
            }
        }
        let steps = self.steps();
        for step in &steps {
            lines.push(String::new());
            lines.push(step_line(self.case, step));
            let calls = calls_of(self.attempts, step);
            for call in &calls {
                lines.push(paint(DIM, &wrapped(&inert(&show_step::call_line(call)), self.width, 2)));
                lines.extend(self.answer(call.last())?);
            }
            lines.extend(task_lines(self, step, calls.is_empty())?);
        }
        if let Some(step) = steps.first() {
            lines.push(String::new());
            lines.push(self.deeper(step.as_str(), "a step: its prompts"));
        }
        Ok(lines.join("\n"))
    }

    fn answer(&self, attempt: &AttemptRecord) -> Result<Vec<String>, JournalError> {
        let Some((_, ended)) = &attempt.ended else { return Ok(Vec::new()) };
        let mut lines = Vec::from_iter(thought(self.reader, ended, self.folding())?);
        lines.push(match &ended.outcome {
            Outcome::Answered(answer) => {
                let text = text_or_note(self.reader, ended.id.case, &answer.text)?;
                beside(attempt.started.actor.as_str(), &text, self.width)
            }
            Outcome::Failed(failure) => {
                beside("no answer", &format!("{}: {}", failure.kind.word(), failure.detail), self.width)
            }
        });
        Ok(lines)
    }

    /// Returns how thoughts are shown.
    pub(super) const fn folding(&self) -> Folding {
        Folding { whole: self.thoughts, width: self.width }
    }

    /// Returns which case this is, for programs.
    pub(super) fn identity(&self) -> Value {
        let admitted = &self.case.admitted;
        json!({
            "case": admitted.case,
            "item": admitted.item,
            "repeat": admitted.repeat,
            "matrix": admitted.matrix,
            "status": self.case.settled.as_ref().map(|settled| settled.status),
        })
    }

    /// Returns what a step came to, texts looked up; null while it is open.
    ///
    /// # Errors
    /// Damage, or trouble of the store.
    pub(super) fn task_json(&self, step: &StepName) -> Result<Value, JournalError> {
        let Some(task) = self.case.tasks.iter().find(|task| task.step == *step) else { return Ok(Value::Null) };
        Ok(json!({
            "step": task.step,
            "status": task.status,
            "because": task.because,
            "output": resolved(self.reader, self.case.admitted.case, json!(task.output))?,
            "failure": task.failure,
            "usage": task.usage,
            "busy_ms": task.busy_ms,
            "reused_from": adoption(self.case, step).map(|from| json!({ "run": from.run, "case": from.case })),
        }))
    }

    fn to_json(&self) -> Result<Value, JournalError> {
        let calls: Result<Vec<Value>, _> =
            self.attempts.iter().map(|attempt| attempt_json(self.reader, attempt)).collect();
        let tasks: Result<Vec<Value>, _> = self.case.tasks.iter().map(|task| self.task_json(&task.step)).collect();
        let mut value = self.identity();
        value["row"] = json!(read_json(self.reader, self.case.admitted.case, &self.case.admitted.row)?);
        value["steps"] = Value::Array(tasks?);
        value["calls"] = Value::Array(calls?);
        if !self.others.is_empty() {
            let other = |case: &CaseRecord| json!({ "case": case.admitted.case, "matrix": case.admitted.matrix });
            value["other_cells"] = self.others.iter().map(other).collect();
        }
        Ok(value)
    }
}

/// Says how a step ended and what it took.
pub(super) fn step_line(case: &CaseRecord, step: &StepName) -> String {
    let Some(task) = case.tasks.iter().find(|task| task.step == *step) else {
        return format!("{}  open", paint(BOLD, step.as_str()));
    };
    let mut parts = vec![task_status_word(task.status).to_owned()];
    if let Some(TaskOutput::Each { elements }) = &task.output {
        parts.push(counted(elements.len() as u64, "element"));
    }
    if let Some(TaskOutput::Dialogue { turns, stopped_by }) = &task.output {
        parts.push(format!("{} turns, stopped by {stopped_by}", turns.len()));
    }
    parts.extend(tokens(&task.usage));
    if let Some(from) = adoption(case, step) {
        parts.push(format!("reused from {}, case {}", from.run, from.case));
    } else if task.busy_ms > 0 {
        parts.push(format!("{} in calls", duration(task.busy_ms * 1_000)));
    }
    format!("{}  {}", paint(BOLD, step.as_str()), parts.join(" · "))
}

fn adoption<'a>(case: &'a CaseRecord, step: &StepName) -> Option<&'a Adoption> {
    case.adopted.iter().find(|adoption| adoption.step == *step)
}

/// Says what a settled step came to; with `texts` also what was said, for steps that made no call here.
///
/// # Errors
/// Damage, or trouble of the store.
pub(super) fn task_lines(page: &Page<'_>, step: &StepName, texts: bool) -> Result<Vec<String>, JournalError> {
    if page.case.tasks.iter().all(|task| task.step != *step) {
        return Ok(Vec::new());
    }
    let item = match read_json(page.reader, page.case.admitted.case, &page.case.admitted.row)? {
        Some(Value::Object(row)) => row,
        _ => Map::new(),
    };
    let status = page.case.settled.as_ref().map_or(CaseStatus::Ok, |settled| settled.status);
    let case = report::CaseRecord { admitted: &page.case.admitted, item: &item, tasks: &page.case.tasks, status };
    // Which parts a step has is told by its output alone; the shape is for columns.
    let layout = Layout { matrix: Vec::new(), steps: vec![(step.clone(), Shape::Chat)], columns: None };
    let look_up =
        |digest: &crate::base::Digest| page.reader.text(Some(page.case.admitted.case), digest).ok().flatten();
    let parts = match transcript(&case, &layout, &look_up) {
        Ok(parts) => parts,
        Err(missing) => return Ok(vec![beside("missing", &missing.to_string(), page.width)]),
    };
    let said = |part: &Part| matches!(part, Part::Turn(..) | Part::Answer(..));
    let parts: Vec<Part> = parts.into_iter().filter(|part| texts || !said(part)).collect();
    let lines = transcript_text(&parts, page.width.saturating_sub(2));
    let line = |line: &str| match line.is_empty() {
        true => String::new(),
        false => format!("  {}", inert(line)),
    };
    let is_verdict = parts.iter().all(|part| !said(part));
    Ok(lines.lines().map(line).map(|text| if is_verdict { paint(BOLD, &text) } else { text }).collect())
}
