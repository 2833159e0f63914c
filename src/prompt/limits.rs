//! What keeps the effort and the memory of a template bounded.
//!
//! The library counts steps, not bytes: a text that doubles with every step is beyond any memory after forty. So
//! nothing may grow by repetition: there is no state that one round of a loop hands to the next (no macros, no
//! namespaces, no captured blocks), what makes one text out of many counts its bytes first, and the text itself is
//! counted while it is written.

use std::io;
use std::ops::Range;
use std::sync::LazyLock;

use minijinja::value::{Kwargs, StringInput, Value};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, filters};
use regex::Regex;

use super::words::tags;

/// Longest text, in bytes. Longer ones are refused, not cut.
pub(super) const LONGEST: usize = 4 << 20;
/// By how much multiplications, and settings that use earlier ones, may make a text grow.
const MOST_GROWTH: u64 = 10_000;
/// What joins values to greater ones.
const JOINTS: [char; 4] = ['~', '+', '|', ','];
/// Widest indentation.
const WIDEST: usize = 1_000;

/// Tags that would let one template reach another.
static REACHING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{%[-+]?\s*(include|import|from|extends|block)\b").expect("a constant pattern"));
/// Tags that keep text or call themselves.
static KEEPING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{%[-+]?\s*(?:(macro|call|filter)\b|(set)\s+[A-Za-z0-9_]+\s*(?:\|[^=%]*)?[-+]?%\}|for\b[^%]*\b(recursive)\b)")
        .expect("a constant pattern")
});
/// What gives names to values: the names, and what they are made of.
static NAMING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?s)^\{%[-+]?\s*(?:(?:set|with)\s+([^=]*)=(.*)|for\s+(.*?)\s+in\b(.*))%\}$")
        .expect("a constant pattern")
});
static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[A-Za-z_][A-Za-z0-9_]*").expect("a constant pattern"));
/// A multiplication, with the number on either side if there is one; `**` is a power, of numbers only.
static TIMES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"([0-9]+(?:\.[0-9]+)?)?\s*(\*\*?)\s*([0-9]+(?:\.[0-9]+)?)?").expect("a constant pattern")
});

/// Sets the limits of an environment.
pub(super) fn apply(environment: &mut Environment<'_>, fuel: u64) {
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_fuel(Some(fuel));
    environment.remove_global("namespace");
    environment.remove_filter("format");
    environment.add_filter("replace", replace);
    environment.add_filter("join", join);
    environment.add_filter("indent", indent);
    environment.add_filter("batch", batch);
    environment.add_filter("slice", slice);
}

/// Returns why a source is not allowed, with its place.
pub(super) fn refusal(source: &str) -> Option<(String, Range<usize>)> {
    if let Some(tag) = REACHING.captures(source).and_then(|found| found.get(1)) {
        let message = format!("`{}` is not part of this language: templates cannot reach each other", tag.as_str());
        return Some((message, tag.range()));
    }
    if let Some(found) = KEEPING.captures(source) {
        let tag = found.get(1).or_else(|| found.get(2)).or_else(|| found.get(3))?;
        let why = match tag.as_str() {
            "set" => "`set` without `=` is not part of this language: write {% set name = … %}".to_owned(),
            word => format!("`{word}` is not part of this language: a template is one text, read once"),
        };
        return Some((why, tag.range()));
    }
    growth(source)
}

fn growth(source: &str) -> Option<(String, Range<usize>)> {
    let mut tags = tags(source);
    // A text in quotes or in `raw` that looks like a tag: then everything counts, as if it stood in one tag.
    let clear = ["{%", "{{"].iter().zip(["%}", "}}"]).all(|(open, close)| {
        let found = tags.iter().filter(|(_, tag)| tag.starts_with(open)).count();
        source.matches(open).count() == found && source.matches(close).count() == found
    });
    if !clear && !tags.is_empty() {
        let namings = source.matches("{%").count().min(40);
        let joints = source.matches(JOINTS).count() as u64;
        if (1..namings).try_fold(1 + joints, |all, _| all.checked_mul(2)).is_none_or(|all| all > MOST_GROWTH) {
            return Some(("braces in quotes or in `raw`, and too much besides".to_owned(), 0..source.len()));
        }
        tags = vec![(0, source.to_owned())];
    }
    multiplications(&tags).or_else(|| namings(&tags))
}

fn multiplications(tags: &[(usize, String)]) -> Option<(String, Range<usize>)> {
    let mut product = 1_u64;
    for (start, tag) in tags {
        for found in TIMES.captures_iter(tag).filter(|found| &found[2] == "*" && !of_params(tag, found)) {
            let at = found.get(2).map(|sign| start + sign.start()..start + sign.end())?;
            let factors = [found.get(1), found.get(3)].into_iter().flatten();
            // The smaller side is no text: one number is enough to know by how much a text grows.
            let factor =
                factors.filter_map(|number| number.as_str().parse::<f64>().ok()).fold(f64::INFINITY, f64::min);
            if !(0.0..=10_000.0).contains(&factor) {
                return Some(("`*` needs a number from 0 to 10000 written on one side".to_owned(), at));
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 10,000")]
            let factor = factor.ceil() as u64;
            product = product.saturating_mul(factor.max(1));
            if product > MOST_GROWTH {
                return Some((format!("together the multiplications make more than {MOST_GROWTH}"), at));
            }
        }
    }
    None
}

/// Params are numbers and short texts, never lists, and known before anything runs.
fn of_params(tag: &str, found: &regex::Captures<'_>) -> bool {
    found.get(2).is_some_and(|sign| {
        let before =
            tag[..sign.start()].trim_end().rsplit(|letter: char| !is_path(letter)).next().unwrap_or_default();
        let after = tag[sign.end()..].trim_start();
        before.starts_with("params.") && after.starts_with("params.")
    })
}

fn is_path(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '.'
}

/// Values made of values that have a name already multiply what there is.
fn namings(tags: &[(usize, String)]) -> Option<(String, Range<usize>)> {
    let found_tags: Vec<_> = tags.iter().filter_map(|(start, tag)| Some((start, NAMING.captures(tag)?))).collect();
    let side = |found: &regex::Captures<'_>, one: usize| {
        let part = found.get(one).or_else(|| found.get(one + 2));
        part.map_or_else(String::new, |part| part.as_str().to_owned())
    };
    let names: Vec<String> = found_tags
        .iter()
        .flat_map(|(_, found)| {
            WORD.find_iter(&side(found, 1)).map(|word| word.as_str().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    let mut product = 1_u64;
    for (start, found) in &found_tags {
        let value = side(found, 2);
        if !WORD.find_iter(&value).any(|word| names.iter().any(|name| name == word.as_str())) {
            continue;
        }
        product = product.saturating_mul(1 + value.matches(JOINTS).count() as u64);
        if product > MOST_GROWTH {
            let at = **start..*start + found[0].len();
            return Some(("too many values that are made of earlier ones".to_owned(), at));
        }
    }
    None
}

fn too_long() -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("a text here is longer than {LONGEST} bytes"))
}

fn replace(
    state: &mut State<'_, '_>,
    value: StringInput<'_>,
    from: StringInput<'_>,
    to: StringInput<'_>,
) -> Result<Value, Error> {
    let found = value.as_str().matches(from.as_str()).count();
    if value.as_str().len().saturating_add(found.saturating_mul(to.as_str().len())) > LONGEST {
        return Err(too_long());
    }
    filters::replace(state, value, from, to)
}

fn join(
    state: &mut State<'_, '_>,
    value: &Value,
    joiner: Option<StringInput<'_>>,
    attribute: Option<&str>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let between = joiner.as_ref().map_or(0, |joiner| joiner.as_str().len());
    // One text is joined by its letters; anything else that cannot be walked is the filter's to refuse.
    let mut length = value.as_str().map_or(0, |text| text.len().saturating_mul(1 + between));
    if value.as_str().is_none()
        && let Ok(entries) = value.try_iter()
    {
        for entry in entries {
            length = length.saturating_add(between).saturating_add(entry.as_str().map_or(1, str::len));
        }
    }
    if length > LONGEST {
        return Err(too_long());
    }
    filters::join(state, value, joiner, attribute, kwargs)
}

fn indent(
    value: StringInput<'_>,
    width: Option<usize>,
    first: Option<bool>,
    blank: Option<bool>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let given = width.or_else(|| kwargs.peek::<usize>("width").ok()).unwrap_or(4);
    let lines = value.as_str().matches('\n').count() + 1;
    if given > WIDEST || value.as_str().len().saturating_add(lines.saturating_mul(given)) > LONGEST {
        return Err(too_long());
    }
    filters::indent(value, width, first, blank, kwargs)
}

fn batch(state: &State<'_, '_>, value: Value, count: usize, fill: Option<Value>) -> Result<Value, Error> {
    filters::batch(state, value, few(count)?, fill)
}

fn slice(state: &State<'_, '_>, value: Value, count: usize, fill: Option<Value>) -> Result<Value, Error> {
    filters::slice(state, value, few(count)?, fill)
}

fn few(count: usize) -> Result<usize, Error> {
    if count <= 100_000 { Ok(count) } else { Err(Error::new(ErrorKind::InvalidOperation, "more than 100000 parts")) }
}

/// Takes text up to [`LONGEST`] and refuses the rest while it is made.
#[derive(Default)]
pub(super) struct Bounded(pub(super) Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(io::Error::other(format!("the text is longer than {LONGEST} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Templates;

    fn refused(source: &str) -> String {
        let mut templates = Templates::default();
        let id = match templates.add(source) {
            Ok(id) => id,
            Err(error) => {
                let place = error.range.unwrap_or_default();
                assert!(source.get(place).is_some(), "{source}");
                return error.message;
            }
        };
        let context = json!({ "item": { "t": "x".repeat(1_000), "n": 90_000_000 } });
        match templates.render(id, &context) {
            Ok(text) => panic!("{source} gave {} bytes", text.len()),
            Err(error) => error.message,
        }
    }

    #[test]
    fn nothing_grows_without_bound() {
        for bomb in [
            "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
            "{% for a in range(100000) %}{{ item.t }}{% endfor %}",
            "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
            "{% macro m(x, n) %}{{ m(x ~ x, n - 1) }}{% endmacro %}{{ m('a', 60) }}",
            "{% for x in [1] recursive %}{{ loop([1]) ~ loop([1]) }}{% endfor %}",
            "{% set a %}{% for i in range(100000) %}{{ item.t }}{% endfor %}{% endset %}{{ a|length }}",
            "{% filter upper %}{% for i in range(100000) %}{{ item.t }}{% endfor %}{% endfilter %}",
            "{{ 'x' * 100000000 }}",
            "{{ (1, 1) * 50000000 }}",
            "{{ item.t * item.n }}",
            "{{ 'x' * 9999 * 9999 }}",
            "{% set a = 'x' * 9999 %}{% set b = a * 9999 %}{{ b|length }}",
            "{{ item.t|replace('x', item.t|replace('x', item.t)) }}",
            "{{ range(100000)|join(item.t) }}",
            "{{ 'a'|indent(100000000) }}",
            "{{ 'a\nb'|indent(width=100000000) }}",
            "{{ '%0100000000d'|format(1) }}",
            "{{ [1]|slice(900000000)|length }}",
            "{{ [1]|batch(900000000, 'x')|length }}",
            "{{ range(1000000000)|list|length }}",
        ] {
            let message = refused(bomb);
            assert!(!message.is_empty(), "{bomb}");
        }
        for (open, close) in [("{% raw %}{{{% endraw %}", "{% raw %}}}{% endraw %}"), ("{{ '{%' }}", "{{ '%}' }}")] {
            let doubling = "{% set a = a ~ a %}".repeat(40);
            refused(&format!("{open}{{% set a = 'x' %}}{doubling}{{{{ a|length }}}}{close}"));
        }
        refused(&format!(
            "{{% set a = 'x' %}}{}{{{{ a|length }}}}{}",
            "{% for a in [a ~ a] %}".repeat(40),
            "{% endfor %}".repeat(40)
        ));
        refused(&format!("{{% set a = 1 %}}{}{{{{ (a ~ '')|length }}}}", "{% set a = [a, a] %}".repeat(40)));
        refused(&format!(
            "{{% set a, b = 'x', 'y' %}}{}{{{{ a|length }}}}",
            "{% set a, b = b ~ a, a ~ b %}".repeat(40)
        ));
        refused(&format!("{{% set a = 'x' %}}{}{{{{ a|length }}}}", "{% set a = '%}' ~ a ~ a %}".repeat(40)));
        let doubling = "{% set a = a ~ a %}".repeat(40);
        assert_eq!(
            refused(&format!("{{% set a = 'x' %}}{doubling}{{{{ a }}}}")),
            "too many values that are made of earlier ones"
        );
    }

    #[test]
    fn what_prompts_need_is_allowed() {
        let mut templates = Templates::default();
        let source = "{% set who = item.a ~ ' and ' ~ item.b %}{% set all = who ~ '.' %}{{ all|upper|replace('AND', '&') }} \
                      {{ repeat * 2 }} {{ 2 ** 3 }} {{ ['x', 'y']|join(', ') }} {{ [{'n': 1}]|join(', ', attribute='n') }} \
                      {{ '-' * 3 }} {{ 'a\nb'|indent(2) }} {{ '2 * 3 ~' }}{# * #}\n*bold*";
        let id = templates.add(source).expect("it compiles");
        let text = templates.render(id, &json!({ "item": { "a": "Tea", "b": "rum" }, "repeat": 2 }));
        assert_eq!(text.expect("it renders"), "TEA & RUM. 4 8 x, y 1 --- a\n  b 2 * 3 ~\n*bold*");
    }
}
