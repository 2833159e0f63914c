//! `matrix` → cells: combinations as in CI, each compiled as a file of its own with its values put in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;

use super::{Setup, one};
use crate::base::{Digest, Hasher};
use crate::diag::{Diagnostic, Span, code, has_errors};
use crate::plan::cell::Cells;
use crate::plan::{BackendIdx, Compiled, Plan, hash};
use crate::spec::{Axis, Combination, Document, Kind, Matrix, Node};

/// Most cells of a matrix.
const MOST_CELLS: usize = 1_000;
/// Most combinations before `exclude`.
const MOST_COMBINATIONS: usize = 10_000;
/// Most steps over all cells: each is compiled for each cell.
const MOST_STEPS: usize = 100_000;
/// What a matrix may replace: the rest holds for the whole run.
const SETTABLE: &[&str] = &["models", "actors", "steps"];

/// The values of one cell, and where they are written.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) values: IndexMap<String, Node>,
    at: Span,
}

/// Compiles every cell of a matrix and makes one plan of them.
pub(super) fn compile(setup: &Setup<'_>, matrix: &Matrix) -> Compiled {
    let mut report = Vec::new();
    check(setup.document, matrix, &mut report);
    let drafts = combinations(matrix, &mut report);
    if has_errors(&report) {
        // What else is wrong with the file is told, too, as far as it does not read the matrix.
        let (_, more) = one(setup, None, 1);
        report.extend(more.into_iter().filter(|diagnostic| !report.contains(diagnostic)).collect::<Vec<_>>());
        return Compiled { plan: None, diagnostics: report };
    }
    let mut plans = Vec::with_capacity(drafts.len());
    let mut read = BTreeSet::new();
    let share = drafts.len() as u64;
    for draft in &drafts {
        let document = replaced(setup.document, matrix, draft, &mut report);
        let (plan, more) = one(&Setup { document: &document, ..*setup }, Some(&draft.values), share);
        for diagnostic in more {
            // Mostly the cells share their mistakes.
            if !report.contains(&diagnostic) {
                report.push(diagnostic);
            }
        }
        let Some((plan, reads)) = plan.filter(|_| !has_errors(&report)) else { continue };
        read.extend(reads);
        if plans.len() * plan.steps.len() > MOST_STEPS {
            let message = format!("the cells have more than {MOST_STEPS} steps in all");
            report.push(
                Diagnostic::error(code::TOO_LARGE, message)
                    .at(&matrix.key.span, format!("{} cells", drafts.len()))
                    .help("fewer values, or several files"),
            );
            break;
        }
        plans.push(plan);
    }
    if has_errors(&report) {
        return Compiled { plan: None, diagnostics: report };
    }
    warn_of_unread(matrix, &read, &mut report);
    let plan = joined(plans, &drafts, &mut report);
    Compiled { plan: plan.filter(|_| !has_errors(&report)), diagnostics: report }
}

fn check(document: &Document, matrix: &Matrix, report: &mut Vec<Diagnostic>) {
    for (name, axis) in &matrix.axes {
        let Some(set) = &axis.set else { continue };
        let path: Vec<&str> = set.value.split('.').collect();
        if path.len() < 3 || !SETTABLE.contains(&path[0]) {
            report.push(
                Diagnostic::error(code::MATRIX, format!("`{}` is nothing that a matrix sets", set.value))
                    .at(&set.span, "")
                    .help("it sets one key under `models`, `actors` or `steps`, such as models.small.model; the rest holds for the whole run"),
            );
            continue;
        }
        let known = document.keys(path[0]);
        if !known.contains(&path[1]) {
            report.push(
                Diagnostic::error(code::MATRIX, format!("`{}` has no `{}` to set anything in", path[0], path[1]))
                    .at(&set.span, format!("`matrix.{}` would change nothing", name.value))
                    .suggest(path[1], known),
            );
        }
    }
    let names: Vec<&str> = matrix.axes.iter().map(|(name, _)| name.value.as_str()).collect();
    for (key, _) in matrix.exclude.iter().flat_map(|combination| &combination.values) {
        if !names.contains(&key.value.as_str()) {
            report.push(
                Diagnostic::error(code::MATRIX, format!("`exclude` names `{}`, which does not vary", key.value))
                    .at(&key.span, "no list of values has this name")
                    .suggest(&key.value, names.iter().copied()),
            );
        }
    }
    for (key, value) in matrix.include.iter().flat_map(|combination| &combination.values) {
        let replaces = matrix.axes.iter().any(|(name, axis)| *name.value == key.value && axis.set.is_some());
        if !replaces && !matches!(value.kind, Kind::Scalar(_) | Kind::Invalid) {
            report.push(
                Diagnostic::error(
                    code::WRONG_TYPE,
                    format!("`{}` in `include` must be text, a number, true or false", key.value),
                )
                .at(&value.span, "templates read it as it stands"),
            );
        }
    }
}

/// Returns every combination that is left, in the order of cells: the first axis changes slowest.
fn combinations(matrix: &Matrix, report: &mut Vec<Diagnostic>) -> Vec<Draft> {
    let lengths = || matrix.axes.iter().map(|(_, axis)| values(axis).len());
    let product = lengths().try_fold(1_usize, usize::checked_mul);
    let too_many = |count: String| {
        Diagnostic::error(code::TOO_LARGE, format!("the matrix has {count} cells"))
            .at(&matrix.key.span, format!("at most {MOST_CELLS}"))
            .help("what has many values is an item: rows of `items` are read one by one")
    };
    if product.is_none_or(|product| product > MOST_COMBINATIONS) {
        let factors = lengths().map(|length| length.to_string()).collect::<Vec<_>>().join(" × ");
        report.push(too_many(factors));
        return Vec::new();
    }
    let mut drafts = match matrix.axes.is_empty() {
        true => Vec::new(),
        false => vec![Draft { values: IndexMap::new(), at: matrix.key.span.clone() }],
    };
    for (name, axis) in &matrix.axes {
        let extended = drafts.iter().flat_map(|draft| {
            values(axis).iter().map(|value| {
                let mut draft = draft.clone();
                draft.values.insert(name.value.clone(), value.clone());
                draft
            })
        });
        drafts = extended.collect();
    }
    drafts.retain(|draft| !matrix.exclude.iter().any(|excluded| fits(draft, excluded)));
    include(matrix, &mut drafts);
    if drafts.is_empty() {
        report.push(
            Diagnostic::error(code::MATRIX, "the matrix has no combination left")
                .at(&matrix.key.span, "there is nothing to run")
                .help("`exclude` takes out every combination that has all of its values"),
        );
    }
    if drafts.len() > MOST_CELLS {
        report.push(too_many(drafts.len().to_string()));
    }
    for (place, draft) in drafts.iter().enumerate() {
        let twin = drafts[..place].iter().find(|earlier| {
            earlier.values.len() == draft.values.len()
                && draft
                    .values
                    .iter()
                    .all(|(name, value)| earlier.values.get(name).is_some_and(|other| same(value, other)))
        });
        if let Some(twin) = twin {
            let at = draft.values.values().map(|value| &value.span).max().unwrap_or(&draft.at);
            let first = twin.values.values().map(|value| &value.span).max().unwrap_or(&twin.at);
            report.push(
                Diagnostic::error(code::MATRIX, "two cells of the matrix have the same values")
                    .at(at, "again here")
                    .at(first, "first here")
                    .help("keep one of them; `repeat` runs the same more often"),
            );
            break;
        }
    }
    drafts
}

fn values(axis: &Axis) -> &[Node] {
    &axis.to
}

/// As in GitHub Actions: values go to every combination whose own values they do not overwrite; where there is none,
/// they are a combination of their own. Values that were added before may be overwritten.
fn include(matrix: &Matrix, drafts: &mut Vec<Draft>) {
    let originals = drafts.clone();
    for Combination { values, at } in &matrix.include {
        let mut added = false;
        for (draft, original) in drafts.iter_mut().zip(&originals) {
            let overwrites = |(name, value): &(crate::spec::Spanned<String>, Node)| {
                original.values.get(&name.value).is_some_and(|own| !same(own, value))
            };
            if !values.iter().any(overwrites) {
                draft.values.extend(values.iter().map(|(name, value)| (name.value.clone(), value.clone())));
                added = true;
            }
        }
        if !added {
            let values = values.iter().map(|(name, value)| (name.value.clone(), value.clone())).collect();
            drafts.push(Draft { values, at: at.span.clone() });
        }
    }
}

/// Returns true when a combination has all values of another one.
fn fits(draft: &Draft, wanted: &Combination) -> bool {
    wanted.values.iter().all(|(name, value)| draft.values.get(&name.value).is_some_and(|own| same(own, value)))
}

fn same(one: &Node, other: &Node) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Scalar(one), Kind::Scalar(other)) => one.literal() == other.literal(),
        (Kind::List(one), Kind::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Kind::Map(one), Kind::Map(other)) => {
            let find = |name: &str| other.iter().find(|(key, _)| key.value == name).map(|(_, value)| value);
            one.len() == other.len()
                && one.iter().all(|(name, value)| find(&name.value).is_some_and(|other| same(value, other)))
        }
        (Kind::Scalar(_) | Kind::List(_) | Kind::Map(_) | Kind::Invalid, _) => false,
    }
}

fn replaced(document: &Document, matrix: &Matrix, draft: &Draft, report: &mut Vec<Diagnostic>) -> Document {
    let mut document = document.clone();
    for (name, axis) in &matrix.axes {
        if let (Some(set), Some(value)) = (&axis.set, draft.values.get(&name.value))
            && let Err(diagnostic) = document.put(set, value.clone())
            && !report.contains(&diagnostic)
        {
            report.push(diagnostic);
        }
    }
    document
}

/// Cells that ask the same in the same words are a mistake more often than a wish.
fn warn_of_unread(matrix: &Matrix, read: &BTreeSet<String>, report: &mut Vec<Diagnostic>) {
    for (name, axis) in &matrix.axes {
        if axis.set.is_none() && values(axis).len() > 1 && !read.contains(&name.value) && !read.contains("") {
            report.push(
                Diagnostic::warning(code::MATRIX_UNREAD, format!("`{}` of the matrix changes nothing", name.value))
                    .at(&name.span, format!("no template reads `matrix.{}`", name.value))
                    .help("read it in a template, or say which key takes it: { set: models.small.model, to: […] }"),
            );
        }
    }
}

/// Makes one plan of the cells' plans: the first one holds the others, and all count the same backends.
fn joined(mut plans: Vec<Plan>, drafts: &[Draft], report: &mut Vec<Diagnostic>) -> Option<Plan> {
    let first = plans.first()?;
    for (plan, draft) in plans.iter().zip(drafts).skip(1) {
        if shape(plan) != shape(first) {
            report.push(
                Diagnostic::error(code::MATRIX, "the cells of the matrix have different steps")
                    .at(&draft.at, "this one differs from the first")
                    .help("a cell may ask in other words and other models, in the same steps in the same order"),
            );
            return None;
        }
    }
    let mut backends: IndexMap<String, crate::plan::BackendPlan> = IndexMap::new();
    for plan in &plans {
        for backend in &plan.backends {
            backends.entry(backend.name.to_string()).or_insert_with(|| backend.clone());
        }
    }
    for plan in &mut plans {
        let places: BTreeMap<usize, usize> = plan
            .backends
            .iter()
            .enumerate()
            .filter_map(|(place, backend)| Some((place, backends.get_index_of(backend.name.as_str())?)))
            .collect();
        let mut all = vec![plan];
        while let Some(plan) = all.pop() {
            for actor in &mut plan.actors {
                actor.backend = BackendIdx(places[&actor.backend.0]);
            }
            plan.backends = backends.values().cloned().collect();
            all.extend(plan.closing.as_deref_mut());
        }
    }
    let hash = hash_of(&plans);
    let mut plans = plans.into_iter();
    let mut first = plans.next()?;
    first.cells = Cells::of(&first.matrix, plans.map(Arc::new).collect());
    first.hash = hash;
    Some(first)
}

/// What all cells must share: names, kinds and edges of steps.
fn shape(plan: &Plan) -> Vec<(&str, &'static str, &[crate::plan::StepIdx], &[crate::plan::StepIdx])> {
    let over_all = plan.closing.iter().flat_map(|closing| &closing.steps);
    plan.steps
        .iter()
        .chain(over_all)
        .map(|step| (step.name.as_str(), step.kind.word(), &*step.after, &*step.reads))
        .collect()
}

/// The order of cells counts: it is that of admission.
fn hash_of(plans: &[Plan]) -> Digest {
    let start = Hasher::new("pipe matrix 1").number(plans.len() as u64);
    let cell = |hasher: Hasher, plan: &Plan| hash::map(hasher, &plan.matrix).field(plan.hash.as_bytes());
    plans.iter().fold(start, cell).finish()
}
