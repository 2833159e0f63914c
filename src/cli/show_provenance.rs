//! `pipe show RUN --provenance`: what a run was made from, to the byte where that is known.

use serde_json::{Value, json};

use super::args::ShowArgs;
use super::exit::{CommandError, Exit};
use super::kept::Kept;
use super::printer::{Printer, inert};
use super::table::Table;
use crate::base::Timestamp;
use crate::base::plain_utc;
use crate::event::{Commit, Provenance, RunResumed, RunStarted};
use crate::journal::{Reader, RunDir};
use crate::report::grouped;

/// Shows where a run came from.
///
/// # Errors
/// The journal cannot be read.
pub(super) fn show(
    dir: &RunDir,
    reader: &Reader,
    args: &ShowArgs,
    printer: &mut Printer,
) -> Result<Exit, CommandError> {
    let (_, started) = reader.run_started().map_err(|error| CommandError::journal(&error))?;
    let kept = Kept::read(&started)?;
    let resumes = reader.resumes().map_err(|error| CommandError::journal(&error))?;
    if args.json {
        printer.line(&as_json(dir, &started, &kept, &resumes).to_string())?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["run", dir.id.as_str()]);
    table.add(&["pipe", &started.version]);
    table.add(&["file", &started.file]);
    table.add(&["text", &started.source.to_string()]);
    for (path, digest) in &started.files {
        table.add(&["includes", &format!("{path}  {digest}")]);
    }
    if let Some((cases, digest)) = &kept.input {
        table.add(&["input", &format!("{} cases  {digest}", grouped(*cases))]);
    }
    for (key, value) in repository(started.provenance.as_ref()) {
        table.add(&[key, &value]);
    }
    for (key, value) in since(&started, &resumes) {
        table.add(&[key, &value]);
    }
    table.add(&["plan", &started.plan.to_string()]);
    table.add(&["seed", &started.seed.to_string()]);
    for backend in &started.backends {
        let models: Vec<&str> = backend.models.iter().map(|(_, sent)| sent.as_str()).collect();
        let version = backend.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        let value = format!(
            "{}: {}{version} at {}, {}",
            backend.backend,
            backend.server,
            backend.endpoint,
            models.join(", ")
        );
        table.add(&["backend", &value]);
        for (model, digest) in &backend.digests {
            table.add(&["model", &format!("{model}  {digest}")]);
        }
    }
    let width = printer.out().width();
    printer.data(&inert(&table.render(width, str::to_owned)))?;
    Ok(Exit::Done)
}

/// Says what is known of the repository.
fn repository(provenance: Option<&Provenance>) -> Vec<(&'static str, String)> {
    let Some(provenance) = provenance else {
        return vec![("commit", "not kept: the run is older than this".to_owned())];
    };
    let Some(commit) = &provenance.commit else {
        let why = provenance.unknown.clone().unwrap_or_else(|| "the file lies in no git repository".to_owned());
        return vec![("commit", format!("unknown: {why}"))];
    };
    let Commit { id, repository, path, changed, diff, told } = commit;
    let mut lines = Vec::new();
    if let Some(url) = repository {
        lines.push(("repository", url.clone()));
    }
    let state = match changed {
        0 if *told => "as the command line said".to_owned(),
        0 => "clean".to_owned(),
        1 => "1 file differed".to_owned(),
        many => format!("{} files differed", grouped(*many)),
    };
    lines.push(("commit", format!("{id}, {state}: {path}")));
    if let Some(diff) = diff {
        lines.push(("diff", diff.to_string()));
    }
    lines
}

/// Says when the run went on from another state than it began with, or than before.
fn since(started: &RunStarted, resumes: &[(Timestamp, RunResumed)]) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let mut before = (&started.version, started.provenance.as_ref());
    for (at, resumed) in resumes {
        let now = (&resumed.version, resumed.provenance.as_ref().or(before.1));
        if now != before {
            lines.push(("resumed", format!("{}, by pipe {}, from", plain_utc(*at), resumed.version)));
            lines.extend(repository(now.1));
        }
        before = now;
    }
    lines
}

fn as_json(dir: &RunDir, started: &RunStarted, kept: &Kept, resumes: &[(Timestamp, RunResumed)]) -> Value {
    let resumes = resumes
        .iter()
        .map(|(at, resumed)| json!({ "at_us": at.0, "version": resumed.version, "provenance": resumed.provenance }));
    let input = kept.input.as_ref().map(|(cases, digest)| json!({ "cases": cases, "digest": digest }));
    json!({
        "run": dir.id,
        "version": started.version,
        "file": started.file,
        "text": started.source,
        "files": started.files,
        "input": input,
        "provenance": started.provenance,
        "resumes": resumes.collect::<Vec<Value>>(),
        "plan": started.plan,
        "seed": started.seed,
        "backends": started.backends,
        "overrides": kept.overrides,
    })
}
