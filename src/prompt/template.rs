//! Compiled templates of one plan.

use std::ops::Range;

use minijinja::Environment;
use serde::Serialize;

use super::limits::{self, Bounded};
use super::words::{self, UnknownWord};

/// Steps of the template machine that one rendering may take; a 5,000-turn transcript loop needs some 100,000.
const FUEL: u64 = 2_000_000;

/// Names one template of a [`Templates`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateId(usize);

/// Every template of a plan, compiled once.
///
/// Printing what is undefined is an error, testing it is not. No template can reach files, the environment,
/// the time or another template.
pub struct Templates {
    environment: Environment<'static>,
    sources: Vec<String>,
}

/// A dotted path that a template reads: `steps.debate.transcript` is `["steps", "debate", "transcript"]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference(pub Vec<String>);

/// A source that is no template.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// What is wrong, one line.
    pub message: String,
    /// Where in the source, in bytes, when known.
    pub range: Option<Range<usize>>,
}

/// A template that did not render with the data of one task.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct RenderError {
    /// What is wrong, one line.
    pub message: String,
    /// Where in the source, in bytes, when known.
    pub range: Option<Range<usize>>,
}

impl Default for Templates {
    fn default() -> Self {
        let mut environment = Environment::new();
        limits::apply(&mut environment, FUEL);
        Self { environment, sources: Vec::new() }
    }
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.sources).finish()
    }
}

impl Templates {
    /// Compiles a source and keeps it.
    ///
    /// # Errors
    /// A syntax error, or a tag that this language leaves out.
    pub fn add(&mut self, source: &str) -> Result<TemplateId, TemplateError> {
        if let Some((message, range)) = limits::refusal(source) {
            return Err(TemplateError { message, range: Some(range) });
        }
        let place = self.sources.len();
        self.environment
            .add_template_owned(place.to_string(), source.to_owned())
            .map_err(|error| TemplateError { message: what(&error), range: error.range() })?;
        self.sources.push(source.to_owned());
        Ok(TemplateId(place))
    }

    /// Returns the source of a template.
    #[must_use]
    pub fn source(&self, id: TemplateId) -> &str {
        &self.sources[id.0]
    }

    /// Returns what a template reads from its context, sorted.
    #[must_use]
    pub fn references(&self, id: TemplateId) -> Vec<Reference> {
        let template = self.template(id);
        let mut found: Vec<Reference> = template
            .undeclared_variables(true)
            .into_iter()
            .map(|path| Reference(path.split('.').map(str::to_owned).collect()))
            .collect();
        found.sort();
        found
    }

    /// Returns the filters and tests that a template uses and that do not exist.
    #[must_use]
    pub fn unknown_words(&self, id: TemplateId) -> Vec<UnknownWord> {
        words::unknown(&self.environment, self.source(id))
    }

    /// Renders a template with a context.
    ///
    /// # Errors
    /// Printing something undefined, too much effort (2 million steps) or too long a text (4 MiB).
    pub fn render(&self, id: TemplateId, context: &impl Serialize) -> Result<String, RenderError> {
        self.render_counting(id, context).map(|(text, _)| text)
    }

    /// Renders a template and counts the steps that it took.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn render_counting(&self, id: TemplateId, context: &impl Serialize) -> Result<(String, u64), RenderError> {
        let mut text = Bounded::default();
        let captured = self
            .template(id)
            .render_captured_to(minijinja::value::Serde(context), &mut text)
            .map_err(|error| RenderError { message: explain(&error), range: error.range() })?;
        let steps = captured.state().fuel_levels().map_or(0, |(steps, _)| steps);
        drop(captured);
        String::from_utf8(text.0)
            .map(|text| (text, steps))
            .map_err(|_| RenderError { message: "the text is not UTF-8".to_owned(), range: None })
    }

    fn template(&self, id: TemplateId) -> minijinja::Template<'_, '_> {
        self.environment.get_template(&id.0.to_string()).expect("a TemplateId comes from `add`, which stored it")
    }
}

pub(super) fn what(error: &minijinja::Error) -> String {
    if error.kind() == minijinja::ErrorKind::OutOfFuel {
        return "this takes too many steps (is a loop too long?)".to_owned();
    }
    if error.kind() == minijinja::ErrorKind::WriteFailure {
        return format!("the text is longer than {} bytes", limits::LONGEST);
    }
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

/// Says the line too, for those who see no more than the message.
fn explain(error: &minijinja::Error) -> String {
    let what = what(error);
    match error.line() {
        Some(line) if line > 1 => format!("{what} (line {line} of the template)"),
        Some(_) | None => what,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(source: &str, context: &serde_json::Value, expected: Result<&str, &str>) {
        let mut templates = Templates::default();
        let id = templates.add(source).expect("the source compiles");
        let got = templates.render(id, context).map_err(|error| error.message);
        match (got, expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected),
            (Err(got), Err(expected)) => assert!(got.contains(expected), "{got}"),
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn renders_what_is_there_and_refuses_what_is_not() {
        check("{{ item.motion }}\n", &json!({"item": {"motion": "Tea"}}), Ok("Tea"));
        check("{{ item.motoin }}", &json!({"item": {}}), Err("undefined"));
        check("{{ item.language or 'English' }}", &json!({"item": {}}), Ok("English"));
        check(
            "{% for a in range(100000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}",
            &json!({}),
            Err("too many steps"),
        );
    }

    #[test]
    fn item_text_is_never_rendered_again() {
        check("{{ item.t }}", &json!({"item": {"t": "{{ 7 * 7 }}"}}), Ok("{{ 7 * 7 }}"));
    }

    #[test]
    fn tells_what_it_reads() {
        let mut templates = Templates::default();
        let id = templates.add("{{ steps.debate.transcript }} {{ item.x }}").expect("compiles");
        let paths: Vec<String> = templates.references(id).into_iter().map(|found| found.0.join(".")).collect();
        assert_eq!(paths, ["item.x", "steps.debate.transcript"]);
    }
}
