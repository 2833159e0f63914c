//! `Spec` → `Plan`: names resolved, settings evaluated, templates compiled and checked, steps ordered.

mod aggregate;
mod cast;
mod cells;
#[cfg(test)]
mod cells_tests;
mod dialogue;
mod environment;
mod evidence;
mod expression;
mod files;
mod flow;
mod form;
mod halt;
mod items;
mod judge;
mod params;
#[cfg(test)]
mod parts_tests;
mod pick;
mod results;
mod scope;
mod sent;
mod settings;
mod steps;
mod telemetry;
mod trial;
mod warnings;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use indexmap::IndexMap;
use regex::Regex;
use serde_json::{Map, Value};

use self::halt::Stops;
use self::params::Params;
use self::scope::{Reads, Sees};
use super::cell::Cells;
use super::{Compiled, Limits, Overrides, Plan, Surroundings, Timeouts, hash};
use crate::base::Digest;
use crate::diag::{Diagnostic, Span, has_errors};
use crate::prompt::Templates;
use crate::spec::{self, Document, Matrix, Node, Spec};

/// Makes a plan of a file.
///
/// Reports everything that is wrong, not the first; asks nothing of the world but what `around` offers.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "a name that is shared anyway; callers have it at hand as such")]
pub fn compile(file: Arc<str>, text: &str, overrides: &Overrides, around: &Surroundings<'_>) -> Compiled {
    let mut diagnostics = Vec::new();
    let document = Document::assembled(&file, text, &overrides.set, around.read_text, &mut diagnostics);
    let Some(document) = document else { return Compiled { plan: None, diagnostics } };
    let mut mistakes = Vec::new();
    let matrix = document.matrix(&mut mistakes);
    let names = matrix.as_ref().map(Matrix::names).unwrap_or_default();
    let setup = Setup { file: &file, document: &document, names: &names, overrides, around };
    let compiled = if let Some(matrix) = matrix.as_ref().filter(|_| mistakes.is_empty()) {
        cells::compile(&setup, matrix)
    } else {
        let (plan, diagnostics) = one(&setup, None, 1);
        Compiled { plan: plan.map(|(plan, _)| plan), diagnostics }
    };
    diagnostics.extend(compiled.diagnostics);
    // In the order of the file: a reader mends from the top. Stable, so that one place keeps its own order.
    diagnostics.sort_by(|one, other| {
        let place = |diagnostic: &Diagnostic| diagnostic.labels.first().map(|label| label.span.clone());
        let in_file = |span: &Span| span.file != file;
        let key = |diagnostic| place(diagnostic).map(|span| (in_file(&span), span));
        (one.severity, key(one)).cmp(&(other.severity, key(other)))
    });
    let plan = compiled.plan.filter(|_| !has_errors(&diagnostics));
    Compiled { plan, diagnostics }
}

/// What a plan is made from.
#[derive(Clone, Copy)]
struct Setup<'a> {
    file: &'a str,
    document: &'a Document,
    /// What cells of the matrix may have.
    names: &'a [&'a str],
    overrides: &'a Overrides,
    around: &'a Surroundings<'a>,
}

/// Makes the plan of one cell, one of `share`, and tells what its templates read of the matrix (nothing named: all of
/// it); without values the file has no matrix that could be read.
fn one(
    setup: &Setup<'_>,
    values: Option<&IndexMap<String, Node>>,
    share: u64,
) -> (Option<(Plan, BTreeSet<String>)>, Vec<Diagnostic>) {
    let mut report = Vec::new();
    let (spec, inherited) = setup.document.spec(&mut report);
    let Some(spec) = spec else { return (None, inherited.told(report)) };
    let mut compiler = Compiler {
        spec: &spec,
        file: setup.file,
        overrides: setup.overrides,
        around: *setup.around,
        cell: values,
        names: setup.names,
        share,
        params: Params::default(),
        templates: Templates::default(),
        reads: Reads::default(),
        patterns: BTreeMap::new(),
        sees: Sees::default(),
        of_items: BTreeMap::new(),
        report,
    };
    let plan = compiler.plan(setup.file);
    let (reads, report) = (compiler.reads.matrix, compiler.report);
    (plan.map(|plan| (plan, reads)), inherited.told(report))
}

/// Everything at hand while a plan is made.
struct Compiler<'a> {
    spec: &'a Spec,
    /// The pipeline's own file, as named in places.
    file: &'a str,
    overrides: &'a Overrides,
    around: Surroundings<'a>,
    /// The values of the matrix in this cell, as written; none where the file has no matrix.
    cell: Option<&'a IndexMap<String, Node>>,
    /// What cells of the matrix may have.
    names: &'a [&'a str],
    /// How many cells share what may be spent on trials.
    share: u64,
    params: Params,
    templates: Templates,
    reads: Reads,
    /// Compiled patterns by their source.
    patterns: BTreeMap<String, Regex>,
    /// What the step at hand lets its templates see.
    sees: Sees,
    /// Actors whose system prompt reads the case at hand, with the place.
    of_items: BTreeMap<String, Span>,
    report: Vec<Diagnostic>,
}

impl Compiler<'_> {
    fn plan(&mut self, file: &str) -> Option<Plan> {
        self.resolve_params();
        let own = || self.spec.name.as_ref().map_or_else(|| name_of(file), |name| name.value.0.clone());
        let name = self.overrides.name.clone().unwrap_or_else(own);
        let seed = self.optional("`seed`", self.spec.seed.as_ref()).map_or(0, |seed| seed.0);
        let seed = self.overrides.seed.unwrap_or(seed);
        let repeat = self
            .optional("`repeat`", self.spec.repeat.as_ref().and_then(spec::Repeat::most))
            .map_or(NonZeroU32::MIN, |count| count.0);
        let repeat = self.overrides.repeat.unwrap_or(repeat);
        let mut limits = self.limits();
        let mut bounds = self.step_bounds(&mut limits);
        let matrix = self.matrix();
        let tolerated = self.tolerated();
        let telemetry = self.telemetry();
        let cache = self.optional("`cache`", self.spec.cache.as_ref()).unwrap_or_default();
        let items = self.items();
        let pick = self.pick(seed);
        let limit = self.overrides.limit.or(pick.limit.map(|limit| u64::from(limit.get())));
        let cast = self.cast();
        let steps = self.steps(cast.as_ref());
        let Stops { halt, items: most_items, evidence } = self.stops();
        let repeats = self.enough_repeats();
        let results = self.results(items.as_ref());
        self.check_columns(items.as_ref());
        let (cast, (mut steps, mut over_all)) = (cast?, steps?);
        for step in steps.iter_mut().chain(&mut over_all) {
            step.course.limits = bounds.remove(step.name.as_str());
        }
        let evidence = evidence.map(|(condition, sights)| sights.evidence(condition, &steps));
        let repeats = repeats.map(|(condition, sights)| sights.evidence(condition, &steps));
        if evidence.is_some() || repeats.is_some() {
            self.check_over_all(&over_all);
        }
        let mut plan = Plan {
            name,
            description: self.spec.description.as_ref().map(|text| text.value.clone()),
            hash: Digest::of(b""),
            seed,
            params: std::mem::take(&mut self.params.values),
            backends: cast.backends,
            actors: cast.actors,
            steps,
            items: items?,
            pick,
            columns: std::mem::take(&mut self.reads.columns),
            limit: [limit, most_items].into_iter().flatten().min(),
            repeat,
            limits,
            halt,
            evidence,
            repeats,
            tolerated,
            cache,
            results,
            telemetry,
            templates: Arc::new(std::mem::take(&mut self.templates)),
            matrix,
            cells: Cells::default(),
            closing: None,
        };
        plan.closing = aggregate::closing(&plan, over_all);
        plan.hash = hash::hash(&plan, self.reads.run_name);
        self.check_prices(&plan);
        // What follows from another mistake is not said again.
        if !has_errors(&self.report) {
            self.try_out(&plan);
            self.warn(&plan);
        }
        Some(plan)
    }

    /// Returns a path as the pipeline's own file would write it: in an included file it is relative to that one.
    fn relative(&self, at: &Span, path: &str) -> String {
        if *at.file == *self.file || at.file.starts_with('-') {
            return path.to_owned();
        }
        spec::beside(&at.file, path)
    }

    /// Returns what templates read as `matrix`.
    fn matrix(&mut self) -> Map<String, Value> {
        let values = self.cell.into_iter().flatten();
        values.filter_map(|(name, node)| Some((name.clone(), self.json(node)?))).collect()
    }

    fn limits(&mut self) -> Limits {
        let spec = self.spec;
        let limits = spec.limits.as_ref();
        let times = limits.and_then(|limits| limits.timeouts.as_ref());
        self.bounds(&Limits::default(), times, limits.and_then(|limits| limits.retries.as_ref()))
    }

    /// Returns the bounds of steps that have their own: what they do not say is as for the run.
    fn step_bounds(&mut self, run: &mut Limits) -> BTreeMap<String, Limits> {
        let spec = self.spec;
        let mut found = BTreeMap::new();
        for entry in spec.steps.iter().flat_map(|steps| &steps.entries) {
            let Some(step) = &entry.value else { continue };
            let (times, retries) = (step.timeouts.as_ref(), step.retries.as_ref());
            if times.is_some() || retries.is_some() {
                let own = self.bounds(run, times, retries);
                // Whether answers are streamed is one decision for the run.
                run.streams |= own.streams;
                found.insert(entry.name.value.clone(), own);
            }
        }
        found
    }

    fn bounds(
        &mut self,
        standard: &Limits,
        times: Option<&spec::Timeouts>,
        retries: Option<&spec::Retries>,
    ) -> Limits {
        let mut length = |what, setting| self.optional(what, setting).map(|spec::Length(length)| length);
        let timeouts = Timeouts {
            connect: length("`connect`", times.and_then(|times| times.connect.as_ref()))
                .unwrap_or(standard.timeouts.connect),
            first_token: length("`first_token`", times.and_then(|times| times.first_token.as_ref()))
                .unwrap_or(standard.timeouts.first_token),
            idle: length("`idle`", times.and_then(|times| times.idle.as_ref())).unwrap_or(standard.timeouts.idle),
            total: length("`total`", times.and_then(|times| times.total.as_ref())).unwrap_or(standard.timeouts.total),
        };
        let within =
            length("`within`", retries.and_then(|retries| retries.within.as_ref())).unwrap_or(standard.within);
        let attempts = self.optional("`attempts`", retries.and_then(|retries| retries.attempts.as_ref()));
        let backoff = self.optional("`backoff`", retries.and_then(|retries| retries.backoff.as_ref()));
        Limits {
            timeouts,
            attempts: attempts.map_or(standard.attempts, |count| count.0),
            within,
            backoff: backoff.map_or(standard.backoff, |spec::Backoff(shortest, longest)| (shortest, longest)),
            streams: standard.streams
                || times.is_some_and(|times| times.first_token.is_some() || times.idle.is_some()),
        }
    }
}

/// Returns the file's name without folder and ending, as far as a pipeline may be called so.
fn name_of(file: &str) -> String {
    let base = file.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = base.rsplit_once('.').map_or(base, |(stem, _)| stem);
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    let tidy: String = stem.chars().map(|letter| if fits(letter) { letter } else { '_' }).take(64).collect();
    let tidy = tidy.trim_start_matches(['_', '-', '.']);
    if tidy.is_empty() { "pipeline".to_owned() } else { tidy.to_owned() }
}

#[cfg(test)]
mod tests;
