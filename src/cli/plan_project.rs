//! `pipe plan DIR`: what `pipe apply` would do about each pipeline of a project. Nothing is sent.

use std::fmt::Write as _;

use super::args::{PlanArgs, PlanFormat};
use super::check::counted;
use super::desired::{Desired, Pipeline};
use super::exit::{CommandError, Exit};
use super::printer::{BOLD, DIM, Printer, inert, paint};
use super::prospect::range;
use super::standing::Standing;
use super::table::Table;
use crate::report::{duration, grouped};

/// Says what would be done.
///
/// # Errors
/// The project or its runs cannot be read; a wrong pipeline is an exit code.
pub(super) fn plan(args: &PlanArgs, printer: &mut Printer) -> Result<Exit, CommandError> {
    if args.is_of_one() {
        let message =
            format!("{} is a project: what differs from its pipelines stands in pipe.yaml", args.file.display());
        return Err(
            CommandError::new(Exit::Usage, message).help("plan one of its pipelines, or leave the options out")
        );
    }
    let format = if args.json { PlanFormat::Json } else { args.format };
    let desired = match Desired::find(&args.file, args.repository.as_deref(), format == PlanFormat::Json, printer)? {
        Ok(desired) => desired,
        Err(exit) => return Ok(exit),
    };
    match format {
        PlanFormat::Json => printer.line(&desired.to_json().to_string())?,
        PlanFormat::Markdown => printer.data(&markdown(&desired))?,
        PlanFormat::Text => {
            let width = printer.out().width();
            printer.data(&text(&desired, width, true))?;
        }
    }
    Ok(Exit::Done)
}

/// Writes the plan for a terminal; that nothing was sent is said where that was all.
pub(super) fn text(desired: &Desired, width: usize, is_all: bool) -> String {
    let head =
        format!("{} in {}: {}", counted(desired.pipelines.len() as u64, "pipeline"), desired.root, desired.counts());
    let mut table = Table::new(&["pipeline", "state", "cases", "what is to be done"]);
    for one in &desired.pipelines {
        let word = one.found.standing.word();
        table.add(&[&one.checked.entry.name, word, &grouped(one.outlook.cases), &inert(&one.says())]);
    }
    for one in &desired.removed {
        let runs = format!("{} of it; `pipe apply --prune` deletes them", counted(one.runs.len() as u64, "run"));
        table.add(&[&inert(&one.name), "removed", "", &runs]);
    }
    let table = table.render(width, |head| paint(DIM, head));
    format!("{}\n\n{table}\n{}\n", paint(BOLD, &inert(&head)), closing(desired, is_all))
}

/// Sums up what would be asked.
fn closing(desired: &Desired, is_all: bool) -> String {
    let (calls, tokens, time) = desired.sum();
    let open = desired.pipelines.iter().filter(|one| matches!(one.found.standing, Standing::Unfinished(..))).count();
    let goes_on = match open {
        0 => String::new(),
        1 => "; 1 run goes on".to_owned(),
        several => format!("; {several} runs go on"),
    };
    if calls == (0, 0) {
        return if open == 0 {
            "nothing is to be asked".to_owned()
        } else {
            format!("nothing new is to be asked{goes_on}")
        };
    }
    let time = time.filter(|&time| time > 0).map(|time| format!("about {}", duration(time)));
    let known = [
        tokens.brief().map(|tokens| format!("tokens: {tokens}")),
        tokens.cost.brief().map(|cost| format!("cost: {cost}")),
        time,
    ];
    let known: Vec<String> = known.into_iter().flatten().collect();
    let known = if known.is_empty() { String::new() } else { format!("; {}", known.join("; ")) };
    let sent = if is_all { "; nothing was sent" } else { "" };
    format!("{} in all{known}{goes_on}{sent}", range(calls))
}

/// Writes more of a text.
fn told(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more).expect("a text takes all");
}

/// Writes the plan for a comment on a pull request.
fn markdown(desired: &Desired) -> String {
    let mut text = format!("### Plan of {}: {}\n\n", code(&desired.root), desired.counts());
    text.push_str("| pipeline | state | cases | why | calls | reused | tokens | cost | time |\n");
    text.push_str("|---|---|--:|---|--:|--:|---|---|---|\n");
    for one in &desired.pipelines {
        let outlook = &one.outlook;
        let is_asked = outlook.calls.1 > 0;
        let when_asked = |value: Option<String>| value.filter(|_| is_asked).unwrap_or_default();
        let cells = [
            code(&one.checked.entry.name),
            format!("**{}**", one.found.standing.word()),
            grouped(outlook.cases),
            plain(&why(one)),
            when_asked(Some(range(outlook.calls).trim_end_matches('s').trim_end_matches(" call").to_owned())),
            when_asked(Some(grouped(outlook.reused))),
            when_asked(outlook.tokens.brief()),
            when_asked(outlook.tokens.cost.brief()),
            when_asked(outlook.time.filter(|&time| time > 0).map(duration)),
        ];
        told(&mut text, format_args!("| {} |\n", cells.join(" | ")));
    }
    for one in &desired.removed {
        let runs = counted(one.runs.len() as u64, "run");
        told(
            &mut text,
            format_args!(
                "| {} | **removed** | | {runs}, deleted by `pipe apply --prune` | | | | | |\n",
                code(&one.name)
            ),
        );
    }
    told(&mut text, format_args!("\n{}\n", closing(desired, true)));
    for one in desired.pipelines.iter().filter(|one| one.outlook.calls.1 > 0) {
        told(
            &mut text,
            format_args!(
                "\n<details><summary>{}, step by step</summary>\n\n| step | | |\n|---|---|---|\n",
                plain(&one.checked.entry.name)
            ),
        );
        for (step, kind, what) in &one.outlook.steps {
            told(&mut text, format_args!("| {} | {kind} | {} |\n", code(step), plain(what)));
        }
        text.push_str("\n</details>\n");
    }
    text
}

/// Says why a pipeline is not as it is to be, or which run stands for it.
fn why(one: &Pipeline) -> String {
    let mut parts = match one.outlook.calls {
        (0, 0) => vec![one.says()],
        _ if one.outlook.reasons.is_empty() && one.outlook.known > 0 => vec!["other rows".to_owned()],
        _ => one.outlook.reasons.clone(),
    };
    if one.outlook.calls.1 > 0 {
        parts.extend(one.found.drift.iter().map(|drift| format!("drift: {drift}")));
    }
    parts.join("; ")
}

/// Writes a text so that Markdown and HTML show it as it is.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in inert(text).chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '\\' | '*' | '_' | '[' | ']' | '#' | '@' | '!' => {
                out.push('\\');
                out.push(letter);
            }
            '\n' => out.push(' '),
            _ => out.push(letter),
        }
    }
    out
}

/// Writes a name as code.
fn code(text: &str) -> String {
    format!("`{}`", inert(text).replace(['`', '\n'], "'").replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pipelines_say_is_no_markup() {
        assert_eq!(plain("a|b <img> *c* @me"), "a\\|b &lt;img&gt; \\*c\\* \\@me");
        assert_eq!(code("a`|b"), "`a'\\|b`");
    }
}
