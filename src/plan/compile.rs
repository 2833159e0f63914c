//! `Spec` → `Plan`: names resolved, settings evaluated, templates compiled and checked, steps ordered.

mod cast;
mod dialogue;
mod environment;
mod expression;
mod halt;
mod items;
mod judge;
mod params;
mod results;
mod scope;
mod settings;
mod steps;
mod trial;
mod warnings;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use regex::Regex;

use self::params::Params;
use self::scope::Reads;
use super::{Compiled, Limits, Overrides, Plan, Surroundings, Timeouts, hash};
use crate::base::Digest;
use crate::diag::{Diagnostic, has_errors};
use crate::prompt::Templates;
use crate::spec::{self, Spec};

/// Makes a plan of a file.
///
/// Reports everything that is wrong, not the first; asks nothing of the world but what `around` offers.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "a name that is shared anyway; callers have it at hand as such")]
pub fn compile(file: Arc<str>, text: &str, overrides: &Overrides, around: &Surroundings<'_>) -> Compiled {
    let (spec, report) = spec::parse_with(Arc::clone(&file), text, &overrides.set);
    let Some(spec) = spec else { return Compiled { plan: None, diagnostics: report } };
    let mut compiler = Compiler {
        spec: &spec,
        overrides,
        around: *around,
        params: Params::default(),
        templates: Templates::default(),
        reads: Reads::default(),
        patterns: BTreeMap::new(),
        report,
    };
    let plan = compiler.plan(&file);
    let mut diagnostics = compiler.report;
    // In the order of the file: a reader mends from the top. Stable, so that one place keeps its own order.
    diagnostics.sort_by(|one, other| {
        let place = |diagnostic: &Diagnostic| diagnostic.labels.first().map(|label| label.span.clone());
        let in_file = |span: &crate::diag::Span| span.file != file;
        let key = |diagnostic| place(diagnostic).map(|span| (in_file(&span), span));
        (one.severity, key(one)).cmp(&(other.severity, key(other)))
    });
    let plan = plan.filter(|_| !has_errors(&diagnostics));
    Compiled { plan, diagnostics }
}

/// Everything at hand while a plan is made.
struct Compiler<'a> {
    spec: &'a Spec,
    overrides: &'a Overrides,
    around: Surroundings<'a>,
    params: Params,
    templates: Templates,
    reads: Reads,
    /// Compiled patterns by their source.
    patterns: BTreeMap<String, Regex>,
    report: Vec<Diagnostic>,
}

impl Compiler<'_> {
    fn plan(&mut self, file: &str) -> Option<Plan> {
        self.resolve_params();
        let name = self.spec.name.as_ref().map_or_else(|| name_of(file), |name| name.value.0.clone());
        let seed = self.optional("`seed`", self.spec.seed.as_ref()).map_or(0, |seed| seed.0);
        let seed = self.overrides.seed.unwrap_or(seed);
        let repeat = self.optional("`repeat`", self.spec.repeat.as_ref()).map_or(NonZeroU32::MIN, |count| count.0);
        let repeat = self.overrides.repeat.unwrap_or(repeat);
        let limits = self.limits();
        let (halt, most_items) = self.halt();
        let tolerated = self.tolerated();
        let (items, shown_path) = self.items();
        let cast = self.cast();
        let steps = self.steps(cast.as_ref());
        let results = self.results(items.as_ref());
        self.check_columns(items.as_ref());
        let (cast, steps) = (cast?, steps?);
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
            limit: [self.overrides.limit, most_items].into_iter().flatten().min(),
            repeat,
            limits,
            halt,
            tolerated,
            results,
            templates: std::mem::take(&mut self.templates),
        };
        plan.hash = hash::hash(&plan, shown_path.as_deref(), self.reads.run_name);
        // What follows from another mistake is not said again.
        if !has_errors(&self.report) {
            self.try_out(&plan);
            self.warn(&plan);
        }
        Some(plan)
    }

    fn limits(&mut self) -> Limits {
        let standard = Limits::default();
        let Some(limits) = &self.spec.limits else { return standard };
        let times = limits.timeouts.as_ref();
        let retries = limits.retries.as_ref();
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
            streams: times.is_some_and(|times| times.first_token.is_some() || times.idle.is_some()),
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
