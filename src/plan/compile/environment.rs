//! `${NAME}` and `${NAME:-default}` in settings.

use std::ops::Range;

/// Why a text with variables has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Not set, and no default.
    Unset(Range<usize>, String),
    /// Not `${NAME}` or `${NAME:-default}`.
    Malformed(Range<usize>),
}

/// Replaces every variable; `$${` stands for `${`. An empty variable takes the default, as in a shell.
pub(super) fn replace(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Trouble> {
    let mut out = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let start = at + found;
        if text[at..start].ends_with('$') {
            out.push_str(&text[at..start - 1]);
            out.push_str("${");
            at = start + 2;
            continue;
        }
        out.push_str(&text[at..start]);
        let Some(length) = text[start..].find('}') else { return Err(Trouble::Malformed(start..text.len())) };
        let end = start + length + 1;
        let inside = &text[start + 2..end - 1];
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            return Err(Trouble::Malformed(start..end));
        }
        match (env(name).filter(|value| !value.is_empty() || default.is_none()), default) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => return Err(Trouble::Unset(start..end, name.to_owned())),
        }
        at = end;
    }
    out.push_str(&text[at..]);
    Ok(out)
}

/// Finds what looks like a variable outside of `{{ … }}` and `{% … %}`.
pub(super) fn find(text: &str) -> Option<Range<usize>> {
    let mut at = 0;
    while let Some(found) = text[at..].find(['$', '{']) {
        let start = at + found;
        let rest = &text[start..];
        let close = match () {
            () if rest.starts_with("{{") => Some("}}"),
            () if rest.starts_with("{%") => Some("%}"),
            () => None,
        };
        if let Some(close) = close {
            at = start + 2 + rest[2..].find(close)? + close.len();
            continue;
        }
        at = start + 1;
        let Some(inside) = rest.strip_prefix("${") else { continue };
        let name: &str = inside.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next()?;
        let after = &inside[name.len()..];
        if (after.starts_with('}') || after.starts_with(":-")) && is_name(name) && name == name.to_uppercase() {
            return Some(start..start + rest.find('}')? + 1);
        }
    }
    None
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, Trouble>) {
        let env = |name: &str| match name {
            "HOST" => Some("gpu1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        assert_eq!(replace(text, &env), expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn replaces_variables() {
        check("http://${HOST}:${PORT:-8080}/v1", Ok("http://gpu1:8080/v1"));
        check("${EMPTY:-x}${EMPTY}", Ok("x"));
        check("${NONE:-}", Ok(""));
        check("$${HOST} $HOST", Ok("${HOST} $HOST"));
        check("a ${NONE}", Err(Trouble::Unset(2..9, "NONE".to_owned())));
        check("${HOST", Err(Trouble::Malformed(0..6)));
        check("${HOST-x}", Err(Trouble::Malformed(0..9)));
    }

    #[test]
    fn finds_variables_outside_of_tags() {
        assert_eq!(find("say ${HOME} now"), Some(4..11));
        assert_eq!(find("{{ '${HOME}' }} ${x} $HOME ${}"), None);
    }
}
