//! `pipe gitops --status`: how the reconcilers of a home stand.

use serde_json::{Value, json};

use super::exit::{CommandError, Exit};
use super::gitops::{outcomes, states};
use super::printer::{BOLD, Printer, inert, paint};
use crate::base::Timestamp;
use crate::gitops::{Commit, Stage, Status};
use crate::journal::Home;

/// Says how the reconcilers of a home stand.
pub(super) fn status(home: &Home, as_json: bool, printer: &mut Printer) -> Result<Exit, CommandError> {
    let found = Status::all(home.path());
    if as_json {
        let all: Vec<Value> = found
            .iter()
            .map(|(folder, status)| {
                let mut value = serde_json::to_value(status).unwrap_or_default();
                value["live"] = is_live(folder).into();
                value
            })
            .collect();
        printer.line(&json!({ "home": home.path(), "reconcilers": all }).to_string())?;
        return Ok(Exit::Done);
    }
    if found.is_empty() {
        printer
            .say(&format!("no repository is followed into {}: `pipe gitops --repo URL` does", home.path().display()));
    }
    for (folder, status) in &found {
        printer.data(&text(status, is_live(folder)))?;
    }
    Ok(Exit::Done)
}

fn is_live(folder: &std::path::Path) -> bool {
    crate::journal::RunLock::is_held(&folder.join("lock"))
}

/// Writes a status for people.
fn text(status: &Status, is_live: bool) -> String {
    let mut lines = vec![paint(BOLD, &format!("{} of {}", status.branch, status.repository))];
    let mut row = |name: &str, value: String| lines.push(format!("  {name:<10} {}", inert(&value)));
    if !status.path.is_empty() {
        row("path", status.path.clone());
    }
    let state = match status.state {
        Stage::InSync => "in sync",
        other => other.word(),
    };
    let process = if is_live { format!("process {}", status.pid) } else { "no process".to_owned() };
    row("state", format!("{state} since {} ({process})", moment(status.since_us)));
    let named = |commit: &Option<Commit>| commit.as_ref().map(|commit| commit.short().to_owned());
    let commits = [("branch at", &status.seen), ("good", &status.good), ("applied", &status.applied)];
    for (name, commit) in commits {
        if let Some(commit) = named(commit) {
            row(name, commit);
        }
    }
    if !status.entries.is_empty() {
        let is_applied = status.entries.iter().any(|entry| entry.exit.is_some());
        row("pipelines", if is_applied { outcomes(&status.entries) } else { states(&status.entries) });
    }
    if let Some(next) = status.next_apply_us {
        row("next run", moment(next));
    }
    for note in &status.notes {
        row("left out", note.clone());
    }
    if let Some(told) = &status.statuses {
        row("statuses", format!("{} of {}", told.context, told.repository));
        for marked in &told.commits {
            if told.is_told(marked) {
                continue;
            }
            let why = marked.refused.as_ref().or(told.error.as_ref()).map_or("not yet", String::as_str);
            row("not told", format!("{} {}: {why}", marked.commit.short(), marked.state.word()));
        }
        if let Some(marked) = told.commits.last().filter(|marked| told.is_told(marked)) {
            row("told", format!("{} {}: {}", marked.commit.short(), marked.state.word(), marked.description));
        }
    }
    if let Some(error) = &status.error {
        row("error", format!("{}: {}", error.doing, error.message));
    }
    lines.join("\n") + "\n"
}

/// Writes a moment for people.
fn moment(micros: i64) -> String {
    crate::base::plain_utc(Timestamp(micros))
}
