//! One expression, evaluated when the plan is made.

use minijinja::Environment;
use serde_json::Value;

use super::limits;
use super::template::what;
use super::{Reference, TemplateError};

/// Steps that one expression may take: it only combines params.
const FUEL: u64 = 10_000;

/// Evaluates what stands inside of `{{ … }}` with a context; returns what it read, sorted, beside its value.
///
/// # Errors
/// A syntax error, something undefined, or a value that JSON does not have.
pub fn evaluate(source: &str, context: &Value) -> (Vec<Reference>, Result<Value, TemplateError>) {
    let mut environment = Environment::new();
    limits::apply(&mut environment, FUEL);
    // As a template it would stand in braces, and the limits are those of templates.
    if let Some((message, range)) = limits::refusal(&format!("{{{{{source}}}}}")) {
        let range = range.start.saturating_sub(2)..range.end.saturating_sub(2).min(source.len());
        return (Vec::new(), Err(TemplateError { message, range: Some(range) }));
    }
    let refuse = |error: &minijinja::Error| TemplateError { message: what(error), range: error.range() };
    let expression = match environment.compile_expression(source) {
        Ok(expression) => expression,
        Err(error) => return (Vec::new(), Err(refuse(&error))),
    };
    let mut reads: Vec<Reference> = expression
        .undeclared_variables(true)
        .into_iter()
        .map(|path| Reference(path.split('.').map(str::to_owned).collect()))
        .collect();
    reads.sort();
    let value = expression.eval(minijinja::value::Serde(context)).map_err(|error| refuse(&error)).and_then(|value| {
        let undefined = || TemplateError { message: "this is undefined".to_owned(), range: None };
        if value.is_undefined() {
            return Err(undefined());
        }
        serde_json::to_value(&value).map_err(|_| undefined())
    });
    (reads, value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn evaluates_and_tells_what_it_read() {
        let context = json!({"params": {"rounds": 3, "name": "x"}});
        let (reads, value) = evaluate(" params.rounds * 2 ", &context);
        assert_eq!(value.ok(), Some(json!(6)));
        assert_eq!(reads, [Reference(vec!["params".to_owned(), "rounds".to_owned()])]);
        assert_eq!(evaluate("params.name ~ '.jsonl'", &context).1.ok(), Some(json!("x.jsonl")));
        assert!(evaluate("params.", &context).1.is_err());
        assert!(evaluate("params.none", &context).1.is_err());
    }
}
