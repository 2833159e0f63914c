//! Which key of a pipeline is raised to go on after its budget is spent.

use std::path::Path;
use std::sync::Arc;

use crate::journal::{Reader, RunDir};
use crate::report::Summary;
use crate::run::source_of;
use crate::spec::{self, RunStop};

/// Returns the budgets of a run that a budget has stopped, as `--set` takes them; none where the file has none.
pub(super) fn keys(dir: &RunDir, summary: &Summary) -> Vec<String> {
    if summary.stop.as_ref().is_none_or(|stop| stop.condition != "budget") {
        return Vec::new();
    }
    stop_of(&dir.journal_path()).map_or_else(Vec::new, |stop| budgets(&stop, "stop"))
}

/// Reads the run's condition from the journal's own copy of the pipeline.
fn stop_of(journal: &Path) -> Option<RunStop> {
    let reader = Reader::open(journal).ok()?;
    let (_, started) = reader.run_started().ok()?;
    let source = source_of(&reader, &started).ok()?;
    let read = |path: &str| {
        let text = source.files.get(path).map(ToString::to_string);
        text.ok_or_else(|| "the journal has no such file".to_owned())
    };
    let (spec, _) = spec::parse_beside(Arc::from(started.file.as_str()), &source.text, &read);
    spec?.stop
}

fn budgets(stop: &RunStop, path: &str) -> Vec<String> {
    let mut keys = Vec::new();
    if let Some(budget) = &stop.budget {
        let there =
            [("tokens", budget.tokens.is_some()), ("cost", budget.cost.is_some()), ("time", budget.time.is_some())];
        keys.extend(there.iter().filter(|(_, is_there)| *is_there).map(|(key, _)| format!("{path}.budget.{key}")));
    }
    for (word, list) in [("any", &stop.any), ("all", &stop.all)] {
        for (place, inner) in list.iter().flatten().enumerate() {
            keys.extend(budgets(inner, &format!("{path}.{word}.{place}")));
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_budget_is_named_by_its_path() {
        let check = |stop: &str, expected: &[&str]| {
            let text = format!("version: 1\nactors: {{ a: {{}} }}\nstop: {stop}\n");
            let (spec, _) = spec::parse(Arc::from("f.yaml"), &text);
            let stop = spec.and_then(|spec| spec.stop).expect("there is one");
            assert_eq!(budgets(&stop, "stop"), expected, "{text}");
        };
        check("{ budget: { tokens: 5M } }", &["stop.budget.tokens"]);
        check(
            "{ any: [{ errors: { count: 3 } }, { budget: { time: 1h, cost: 2 USD } }] }",
            &["stop.any.1.budget.cost", "stop.any.1.budget.time"],
        );
        check("{ errors: { count: 3 } }", &[]);
    }
}
