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

/// Names one expression of a [`Templates`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExpressionId(TemplateId);

/// What stands around an expression, so that the machine of templates evaluates it within the same limits.
const OPEN: &str = "{{ (";
/// See [`OPEN`].
const CLOSE: &str = ") | tojson }}";

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

    /// Compiles a bare expression, such as `item.lang == "en"`, and keeps it. Limits are those of templates.
    ///
    /// # Errors
    /// A syntax error, or something that this language leaves out; ranges are those of the expression itself.
    pub fn add_expression(&mut self, source: &str) -> Result<ExpressionId, TemplateError> {
        // By itself first: as a part of a template it could close the braces and go on.
        let refuse = |error: &minijinja::Error| TemplateError { message: what(error), range: error.range() };
        self.environment.compile_expression(source).map_err(|error| refuse(&error))?;
        let wrapped = format!("{OPEN}{source}{CLOSE}");
        let within = |range: Range<usize>| {
            let inside = |place: usize| place.saturating_sub(OPEN.len()).min(source.len());
            inside(range.start)..inside(range.end)
        };
        self.add(&wrapped).map(ExpressionId).map_err(|error| {
            let TemplateError { message, range } = error;
            TemplateError { message, range: range.map(within) }
        })
    }

    /// Returns the source of an expression.
    #[must_use]
    pub fn expression(&self, id: ExpressionId) -> &str {
        let wrapped = self.source(id.0);
        &wrapped[OPEN.len()..wrapped.len() - CLOSE.len()]
    }

    /// Returns what an expression reads from its context, sorted.
    #[must_use]
    pub fn expression_references(&self, id: ExpressionId) -> Vec<Reference> {
        self.references(id.0)
    }

    /// Returns the filters and tests that an expression uses and that do not exist.
    #[must_use]
    pub fn expression_unknown_words(&self, id: ExpressionId) -> Vec<UnknownWord> {
        let within = |word: UnknownWord| UnknownWord {
            range: word.range.start - OPEN.len()..word.range.end - OPEN.len(),
            ..word
        };
        // The last one would be the filter that writes the value: it exists.
        self.unknown_words(id.0).into_iter().map(within).collect()
    }

    /// Returns where an expression reads each of several things, in bytes.
    #[must_use]
    pub fn locate_in_expression(&self, id: ExpressionId, references: &[Reference]) -> Vec<Option<Range<usize>>> {
        let places = words::locate_all(self.source(id.0), references).into_iter();
        places.map(|place| place.map(|place| place.start - OPEN.len()..place.end - OPEN.len())).collect()
    }

    /// Evaluates an expression with a context. What is undefined as a whole gives null.
    ///
    /// # Errors
    /// Using something undefined, too much effort (2 million steps) or too long a value (4 MiB).
    pub fn evaluate(&self, id: ExpressionId, context: &impl Serialize) -> Result<serde_json::Value, RenderError> {
        let text = self.render(id.0, context)?;
        serde_json::from_str(&text)
            .map_err(|error| RenderError { message: format!("the value is not JSON: {error}"), range: None })
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
    fn expressions_give_values() {
        let context =
            json!({"item": {"lang": "en", "n": 3, "tags": ["a<b", "c"], "t": "{{ 1 }}"}, "steps": {"x": null}});
        let mut templates = Templates::default();
        let mut value = |source: &str| {
            let id = templates.add_expression(source).map_err(|error| error.message)?;
            assert_eq!(templates.expression(id), source);
            templates.evaluate(id, &context).map_err(|error| error.message)
        };
        assert_eq!(value("item.lang == 'en' and item.n > 2"), Ok(json!(true)));
        assert_eq!(value("item.tags"), Ok(json!(["a<b", "c"])));
        assert_eq!(value("{'a': item.n / 2, 'b': item.t}"), Ok(json!({"a": 1.5, "b": "{{ 1 }}"})));
        assert_eq!(value("item.missing"), Ok(json!(null)));
        assert_eq!(value("not item.missing"), Ok(json!(true)));
        assert_eq!(value("(item.missing or '') == 'x'"), Ok(json!(false)));
        assert!(value("item.missing == 'x'").is_err(), "a misspelt column is no other value");
        assert_eq!(value("steps.x"), Ok(json!(null)));
        assert!(value("item.missing.deeper == 1").is_err());
        assert!(value("item.n }} {{ item.lang").is_err(), "braces cannot be left");
        assert!(value("item.n) | string + (item.lang").is_err(), "nor parentheses");
        assert!(value("").is_err());
        assert!(value("range(100000000) | list").is_err());
    }

    #[test]
    fn places_in_an_expression_are_its_own() {
        let mut templates = Templates::default();
        let id = templates.add_expression("item.lang | shout == params.x").expect("compiles");
        let references = templates.expression_references(id);
        let places = templates.locate_in_expression(id, &references);
        let texts: Vec<&str> = places.into_iter().flatten().map(|place| &templates.expression(id)[place]).collect();
        assert_eq!(texts, ["item.lang", "params.x"]);
        let unknown = templates.expression_unknown_words(id);
        assert_eq!(&templates.expression(id)[unknown[0].range.clone()], "shout");
        let error = templates.add_expression("item.lang ==").expect_err("incomplete");
        assert!(error.range.is_none_or(|range| range.end <= "item.lang ==".len()));
    }

    #[test]
    fn tells_what_it_reads() {
        let mut templates = Templates::default();
        let id = templates.add("{{ steps.debate.transcript }} {{ item.x }}").expect("compiles");
        let paths: Vec<String> = templates.references(id).into_iter().map(|found| found.0.join(".")).collect();
        assert_eq!(paths, ["item.x", "steps.debate.transcript"]);
    }
}
