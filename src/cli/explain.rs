//! `pipe explain`: what a code means, a wrong example, the right one, and why the rule exists.

use serde_json::{Value, json};

use super::args::ExplainArgs;
use super::exit::{CommandError, Exit};
use super::printer::{BOLD, DIM, Printer, paint};
use crate::diag::explain::{Page, page};
use crate::diag::{ALL, Code, closest};
use crate::report::wrapped;

/// Prints one page, or the list of codes.
///
/// # Errors
/// A code that does not exist; output that cannot be written.
pub(super) fn explain(args: &ExplainArgs, printer: &mut Printer) -> Result<Exit, CommandError> {
    let Some(wanted) = &args.code else {
        list(args.json, printer)?;
        return Ok(Exit::Done);
    };
    let code = find(wanted)?;
    let Some(page) = page(code.code) else {
        return Err(CommandError::new(Exit::Bug, format!("{} has no page", code.code)));
    };
    if args.json {
        printer.line(&to_json(code, Some(page)).to_string())?;
    } else {
        let width = printer.out().reading_width();
        printer.data(&render(code, page, width))?;
    }
    Ok(Exit::Done)
}

fn list(json: bool, printer: &mut Printer) -> Result<(), CommandError> {
    if json {
        let codes: Vec<Value> = ALL.iter().map(|code| to_json(code, page(code.code))).collect();
        printer.line(&Value::Array(codes).to_string())?;
        return Ok(());
    }
    for code in ALL {
        printer.line(&format!("{}  {}", paint(BOLD, code.code), code.meaning.trim_end_matches('.')))?;
    }
    Ok(())
}

/// Takes `P0110`, `p0110`, `0110` and `110`.
fn find(wanted: &str) -> Result<&'static Code, CommandError> {
    let digits = wanted.trim().trim_start_matches(['P', 'p']);
    let written = format!("P{digits:0>4}");
    let known = || ALL.iter().map(|code| code.code);
    ALL.iter().find(|code| code.code == written).ok_or_else(|| {
        let error = CommandError::new(Exit::Usage, format!("there is no code {wanted:?}"));
        match closest(&written, known()).filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit())) {
            Some(near) => error.help(format!("did you mean {near}? `pipe explain` lists all codes")),
            None => error.help("`pipe explain` lists all codes; they look like P0110"),
        }
    })
}

fn render(code: &Code, page: &Page, width: usize) -> String {
    let text = |text: &str| wrapped(text, width, 0);
    let example = |text: &str| text.lines().flat_map(|line| ["    ", line, "\n"]).collect::<String>();
    let title = paint(BOLD, &format!("{}: {}", code.code, code.meaning.trim_end_matches('.')));
    let part = |name: &str| paint(DIM, name);
    format!(
        "{title}\n\n{}\n\n{}\n{}\n{}\n{}\n{}\n{}\n",
        text(page.means),
        part("Wrong"),
        example(page.wrong),
        part("Right"),
        example(page.right),
        part("Why"),
        text(page.why)
    )
}

fn to_json(code: &Code, page: Option<&Page>) -> Value {
    json!({
        "code": code.code,
        "meaning": code.meaning,
        "means": page.map(|page| page.means),
        "wrong": page.map(|page| page.wrong),
        "right": page.map(|page| page.right),
        "why": page.map(|page| page.why),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn codes_are_found_however_they_are_written() {
        for written in ["P0110", "p0110", "0110", "110", " P110"] {
            assert_eq!(find(written).map(|code| code.code).ok(), Some("P0110"), "{written}");
        }
        let told = |written: &str| match find(written) {
            Err(CommandError::Told { help: Some(help), .. }) => help,
            other => panic!("{other:?}"),
        };
        assert!(told("P0109").starts_with("did you mean P0"));
        assert!(told("temperature").starts_with("`pipe explain` lists"));
    }

    #[test]
    fn a_page_shows_both_examples_and_the_reason() {
        let code = find("P0114").unwrap();
        let shown = anstream::adapter::strip_str(&render(code, page(code.code).unwrap(), 80)).to_string();
        expect![[r#"
            P0114: a quantity without a unit, or with one that does not exist

            A quantity has no unit, or one that does not exist.

            Wrong
                limits: { timeouts: { total: 10 } }

            Right
                limits: { timeouts: { total: 10m } }

            Why
            Ten what? Tools disagree on whether a bare number means seconds or milliseconds,
            and a factor of a thousand is found late. Lengths of time end in ms, s, m, h or
            d; counts of tokens may end in k or M.
        "#]]
        .assert_eq(&shown);
    }
}
