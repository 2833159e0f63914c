//! What one step came to over all cases, as a table: counts with intervals, or the mean of numbers.

use std::sync::Arc;

use serde_json::Value;

use super::number;
use crate::base::Digest;
use crate::event::{
    Because, CountTable, CountedRow, ElementOutput, MeanOf, TaskOutput, TaskSettled, TaskStatus, Verdict, Without,
};
use crate::stats::{Categories, Mean, Moments, wilson_95};

/// Different values that a table has rows for: more are no categories.
pub(super) const MOST_VALUES: usize = 1_000;
/// Characters of a value that is counted: what is longer is prose.
pub(super) const LONGEST_VALUE: usize = 200;

/// Finds a text of the case that is being looked at.
pub type CaseText<'a> = &'a dyn Fn(&Digest) -> Option<Arc<str>>;

/// What one output shows.
pub(super) enum Seen<'a> {
    /// A name: an option, a text, true or false.
    Name(&'a str),
    /// A number.
    Number(f64),
    /// An order, the best first.
    Order(&'a [String]),
    /// Nothing that can be counted.
    Nothing,
    /// Something that no table has a place for, in words.
    Odd(&'static str),
}

/// Counts tasks of one step, in memory that does not grow with them.
#[derive(Clone, Debug, Default)]
pub struct Counting {
    names: Categories,
    numbers: Moments,
    /// Values that are no numbers.
    texts: u64,
    has_too_many: bool,
    without: Without,
    /// The first value that cannot be counted, in words.
    odd: Option<String>,
}

impl Counting {
    /// Counts one more task. Tasks must come in the order of admission, so that the last digits are always the same.
    pub fn add(&mut self, task: &TaskSettled, text: CaseText<'_>) {
        let Self { names, numbers, texts, has_too_many, odd, .. } = self;
        let mut count = |name: String| {
            // What is beyond is only needed when there is something else than numbers.
            if names.len() < MOST_VALUES || names.count(&name) > 0 {
                names.add(name);
            } else {
                *has_too_many = true;
            }
        };
        let visit = &mut |seen: Seen<'_>| match seen {
            Seen::Name(name) if name.chars().count() > LONGEST_VALUE => {
                odd.get_or_insert_with(|| format!("a text of more than {LONGEST_VALUE} characters"));
            }
            Seen::Name(name) => {
                *texts += 1;
                count(name.to_owned());
            }
            Seen::Number(found) => {
                numbers.add(found);
                count(number(found).to_string());
            }
            Seen::Order(_) => drop(odd.get_or_insert_with(|| "a ranking".to_owned())),
            Seen::Odd(what) => drop(odd.get_or_insert_with(|| what.to_owned())),
            Seen::Nothing => {}
        };
        look(task, text, &mut self.without, visit);
    }

    /// Returns the table.
    ///
    /// # Errors
    /// What stands in the way, for people.
    pub fn table(self) -> Result<CountTable, String> {
        let Self { names, numbers, texts, has_too_many, without, odd } = self;
        if let Some(odd) = odd {
            return Err(format!(
                "a table counts numbers, true and false, and short texts; there is {odd} among the values"
            ));
        }
        if texts == 0 {
            let mean = numbers.mean_95().map(mean_of);
            return Ok(CountTable { n: numbers.count(), rows: Vec::new(), mean, without });
        }
        if has_too_many {
            return Err(format!("there are more than {MOST_VALUES} different values: these are no categories"));
        }
        let n = names.total();
        let row = |(value, count)| {
            let share = wilson_95(count, n)?;
            Some(CountedRow { value, count, share: share.point, low: share.low, high: share.high })
        };
        Ok(CountTable { n, rows: names.ranked().into_iter().filter_map(row).collect(), mean: None, without })
    }
}

pub(super) fn mean_of(Mean { point, low, high, deviation }: Mean) -> MeanOf {
    MeanOf { mean: point, low, high, deviation }
}

/// Shows what one task gave: each element of a `for_each` step by itself.
pub(super) fn look(task: &TaskSettled, text: CaseText<'_>, without: &mut Without, visit: &mut dyn FnMut(Seen<'_>)) {
    let is_default = task.status == TaskStatus::Ok && task.because == Some(Because::OnError);
    match &task.output {
        Some(TaskOutput::Each { elements }) => {
            for ElementOutput { status, output, failure, .. } in elements {
                let is_default = *status == TaskStatus::Ok && failure.is_some();
                look_at(*status, output.as_ref().filter(|_| !is_default), text, without, visit);
            }
        }
        output => look_at(task.status, output.as_ref().filter(|_| !is_default), text, without, visit),
    }
}

fn look_at(
    status: TaskStatus,
    output: Option<&TaskOutput>,
    text: CaseText<'_>,
    without: &mut Without,
    visit: &mut dyn FnMut(Seen<'_>),
) {
    match output {
        Some(TaskOutput::Judge(judgement)) => match &judgement.verdict {
            Verdict::Choice(option) => visit(Seen::Name(option)),
            Verdict::Score(score) => visit(Seen::Number(*score)),
            Verdict::Ranking(names) => visit(Seen::Order(names)),
            Verdict::Json => visit(Seen::Odd("a value of its own form")),
            Verdict::Unscored(_) => without.unscored += 1,
        },
        // A claim that does not hold was looked at, whatever its failure does to the case.
        Some(TaskOutput::Assertion { passed }) => visit(Seen::Name(if *passed { "true" } else { "false" })),
        Some(TaskOutput::Value { value }) => {
            let value = text(value).and_then(|text| serde_json::from_str(&text).ok());
            match value {
                Some(Value::Bool(value)) => visit(Seen::Name(if value { "true" } else { "false" })),
                Some(Value::String(value)) => visit(Seen::Name(&value)),
                Some(Value::Number(value)) => visit(value.as_f64().map_or(Seen::Nothing, Seen::Number)),
                Some(Value::Null) => without.unscored += 1,
                Some(Value::Array(_)) => visit(Seen::Odd("a list")),
                Some(Value::Object(_)) => visit(Seen::Odd("a map")),
                None => visit(Seen::Odd("a value that the journal does not have")),
            }
        }
        Some(
            TaskOutput::Chat { .. }
            | TaskOutput::Dialogue { .. }
            | TaskOutput::Table(_)
            | TaskOutput::Ranking(_)
            | TaskOutput::Each { .. },
        ) => visit(Seen::Odd("prose")),
        None => match status {
            TaskStatus::Unscored => without.unscored += 1,
            TaskStatus::Skipped => without.skipped += 1,
            TaskStatus::Ok | TaskStatus::Failed => without.failed += 1,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{CaseNo, StepName};
    use crate::event::{Judgement, Unscored, Usage};

    pub(crate) fn task(status: TaskStatus, output: Option<TaskOutput>) -> TaskSettled {
        TaskSettled {
            case: CaseNo(0),
            step: StepName::from("x"),
            status,
            because: None,
            output,
            failure: None,
            usage: Usage::default(),
            busy_ms: 0,
        }
    }

    fn judged(verdict: Verdict) -> TaskSettled {
        let judgement = Judgement { verdict, votes: Vec::new(), flipped: 0, pairs: 0 };
        task(TaskStatus::Ok, Some(TaskOutput::Judge(judgement)))
    }

    fn value(json: &str) -> (TaskSettled, Arc<str>) {
        let value = Digest::of(json.as_bytes());
        (task(TaskStatus::Ok, Some(TaskOutput::Value { value })), Arc::from(json))
    }

    fn counted(tasks: &[TaskSettled]) -> Result<CountTable, String> {
        let mut counting = Counting::default();
        tasks.iter().for_each(|task| counting.add(task, &|_| None));
        counting.table()
    }

    fn of_values(values: &[&str]) -> Result<CountTable, String> {
        let mut counting = Counting::default();
        for json in values {
            let (task, text) = value(json);
            counting.add(&task, &|_| Some(Arc::clone(&text)));
        }
        counting.table()
    }

    #[test]
    fn choices_have_rows_and_what_has_no_verdict_is_apart() {
        let choice = |name: &str| judged(Verdict::Choice(name.to_owned()));
        let default = TaskSettled { because: Some(Because::OnError), ..choice("pro") };
        let table = counted(&[
            choice("con"),
            choice("pro"),
            choice("pro"),
            judged(Verdict::Unscored(Unscored::Unreadable)),
            task(TaskStatus::Failed, None),
            task(TaskStatus::Skipped, None),
            default,
        ])
        .expect("a table");
        let rows: Vec<_> = table.rows.iter().map(|row| (row.value.as_str(), row.count)).collect();
        assert_eq!((rows, table.n), (vec![("pro", 2), ("con", 1)], 3));
        let share = wilson_95(2, 3).expect("of three");
        assert_eq!((table.rows[0].share, table.rows[0].low), (share.point, share.low));
        assert_eq!(table.without, Without { unscored: 1, failed: 2, skipped: 1 });
        assert_eq!(table.mean, None);
    }

    #[test]
    fn claims_count_whether_they_hold() {
        let claim = |passed, status| task(status, Some(TaskOutput::Assertion { passed }));
        let table = counted(&[
            claim(true, TaskStatus::Ok),
            claim(false, TaskStatus::Failed),
            claim(false, TaskStatus::Skipped),
        ]);
        let rows: Vec<_> = table.expect("a table").rows.into_iter().map(|row| (row.value, row.count)).collect();
        assert_eq!(rows, [("false".to_owned(), 2), ("true".to_owned(), 1)]);
    }

    #[test]
    fn numbers_have_a_mean_and_a_mixture_has_rows() {
        let table = of_values(&["1", "2.5", "4", "null"]).expect("a table");
        assert_eq!((table.n, table.rows.len(), table.without.unscored), (3, 0, 1));
        let mean = table.mean.expect("of three");
        assert_eq!((mean.mean, mean.deviation), (2.5, Some(1.5)));
        let mixed = of_values(&["1", "\"none\"", "1", "true"]).expect("a table");
        let rows: Vec<_> = mixed.rows.iter().map(|row| (row.value.as_str(), row.count)).collect();
        assert_eq!((rows, mixed.mean, mixed.n), (vec![("1", 2), ("none", 1), ("true", 1)], None, 4));
        assert_eq!(of_values(&[]).expect("a table"), CountTable::default());
    }

    #[test]
    fn what_is_no_category_is_refused() {
        let long = format!("{:?}", "x".repeat(LONGEST_VALUE + 1));
        assert!(of_values(&["\"a\"", &long]).is_err_and(|why| why.contains("more than 200 characters")));
        assert!(of_values(&["[1]"]).is_err_and(|why| why.contains("a list")));
        let many: Vec<String> = (0..=MOST_VALUES).map(|number| format!("\"v{number}\"")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(of_values(&many).is_err_and(|why| why.contains("no categories")));
        assert_eq!(of_values(&many[..MOST_VALUES]).map(|table| table.rows.len()), Ok(MOST_VALUES));
        let numbers: Vec<String> = (0..=MOST_VALUES).map(|number| number.to_string()).collect();
        let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
        assert!(of_values(&numbers).is_ok_and(|table| table.mean.is_some()), "numbers need no rows");
    }
}
