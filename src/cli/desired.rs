//! A project's pipelines held against their runs: what is to be done about each, and what that would ask.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::applied::Applied;
use super::check::counted;
use super::exit::{CommandError, Exit};
use super::glance::glance;
use super::project::{Checked, Checks, Project};
use super::prospect::{Prospect, range};
use super::standing::{Bad, Found, Standing, earlier_of, run_at, stand};
use super::tokens::Tokens;
use super::{place, project, provenance};
use crate::base::{RunId, Timestamp};
use crate::journal::{Home, RunDir};
use crate::report::{RunStatus, duration, grouped};

/// A project with where each of its pipelines stands.
pub(super) struct Desired {
    /// The directory, as it was named.
    pub(super) root: String,
    /// Where its runs are.
    pub(super) home: Home,
    /// In the project's order.
    pub(super) pipelines: Vec<Pipeline>,
    /// Applied once, and no longer there.
    pub(super) removed: Vec<Removed>,
    /// What was applied before.
    pub(super) applied: Applied,
    /// The name under which it is kept what was applied.
    pub(super) key: String,
}

/// A pipeline, where it stands and what is to be done.
pub(super) struct Pipeline {
    pub(super) checked: Checked,
    pub(super) found: Found,
    pub(super) outlook: Outlook,
    /// Runs that are older than those that are kept.
    pub(super) expired: Vec<RunDir>,
    /// When its schedule asks for the next run.
    pub(super) next: Option<Timestamp>,
}

/// A pipeline that is no longer there, with the runs that were begun for it.
pub(super) struct Removed {
    pub(super) name: String,
    pub(super) runs: Vec<RunDir>,
}

/// What bringing a pipeline up to date would ask; nothing where nothing is asked.
#[derive(Default)]
pub(super) struct Outlook {
    pub(super) cases: u64,
    /// Cases that the newest run knows.
    pub(super) known: u64,
    /// Calls at least and at most.
    pub(super) calls: (u64, u64),
    /// Tasks that are taken over.
    pub(super) reused: u64,
    pub(super) tokens: Tokens,
    /// Microseconds at the pace of the newest run; none without one.
    pub(super) time: Option<u64>,
    /// Steps that differ from the newest run's, and why.
    pub(super) reasons: Vec<String>,
    /// Step, kind, what becomes of it.
    pub(super) steps: Vec<(String, &'static str, String)>,
    /// All of it, for programs.
    json: Value,
}

/// Returns the time now.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Writes a time for people, in UTC, to the second.
pub(super) fn at(Timestamp(micros): Timestamp) -> String {
    jiff::Timestamp::from_second(micros.div_euclid(1_000_000))
        .map_or_else(|_| micros.to_string(), |at| at.to_string())
}

impl Desired {
    /// Reads a project and looks at its runs; when anything is wrong with a pipeline all is said, and the exit code
    /// returned.
    ///
    /// # Errors
    /// The directory, a file or the home cannot be read.
    pub(super) fn find(
        path: &Path,
        repository: Option<&str>,
        as_json: bool,
        printer: &mut super::printer::Printer,
    ) -> Result<Result<Self, Exit>, CommandError> {
        let checks = Project::find(path)?.check()?;
        let exit = checks.say(printer);
        if exit != Exit::Done {
            if as_json {
                let error =
                    json!({ "exit": exit.code(), "message": "the project is wrong", "files": checks.to_json() });
                printer.line(&json!({ "error": error }).to_string())?;
            }
            return Ok(Err(exit));
        }
        let Checks { root, pipelines: checked, .. } = checks;
        if checked.is_empty() {
            let message = format!("there is no pipeline in {}", root.display());
            let help = "a pipeline has `version:` and `steps:` at the left margin; `pipe init` writes one";
            return Err(CommandError::new(Exit::Usage, message).help(help));
        }
        let home = place::home_of(&root.join(project::FILE));
        let applied = Applied::read(home.path())?;
        let whole = root.canonicalize().unwrap_or_else(|_| root.clone());
        let key = repository.map_or_else(|| whole.display().to_string(), provenance::without_password);
        let by_name = home.runs_by_name().map_err(|error| CommandError::journal(&error))?;
        let now = now();
        let mut pipelines = Vec::new();
        for checked in checked {
            let runs = by_name.get(&Home::name_of_runs(&checked.entry.name)).map_or(&[][..], Vec::as_slice);
            pipelines.push(Pipeline::of(checked, runs, &home, &applied, &key, now)?);
        }
        let is_there = |name: &str| pipelines.iter().any(|one| one.checked.entry.name == name);
        let removed = applied.of(&key).filter(|(name, _)| !is_there(name)).map(|(name, record)| {
            let runs = record.runs.iter().filter_map(|begun| run_at(home.path(), &begun.run)).collect();
            Removed { name: name.to_owned(), runs }
        });
        let removed = removed.collect();
        Ok(Ok(Self { root: root.display().to_string(), home, pipelines, removed, applied, key }))
    }

    /// Counts by where they stand, in the order of what is to be done: `1 new, 2 unchanged`.
    pub(super) fn counts(&self) -> String {
        const ORDER: [&str; 7] = ["new", "changed", "due", "unfinished", "running", "failed", "unchanged"];
        let count = |word: &str| self.pipelines.iter().filter(|one| one.found.standing.word() == word).count();
        let mut words: Vec<String> = ORDER
            .iter()
            .map(|word| (count(word), word))
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        if !self.removed.is_empty() {
            words.push(format!("{} removed", self.removed.len()));
        }
        words.join(", ")
    }

    /// Returns what all of it would ask: calls at least and at most, tokens, and the time where all of it is known.
    pub(super) fn sum(&self) -> ((u64, u64), Tokens, Option<u64>) {
        let asked = || self.pipelines.iter().map(|one| &one.outlook).filter(|outlook| outlook.calls.1 > 0);
        let calls = asked()
            .fold((0_u64, 0_u64), |sum, one| (sum.0.saturating_add(one.calls.0), sum.1.saturating_add(one.calls.1)));
        let mut tokens = Tokens::none();
        asked().for_each(|one| tokens.add(&one.tokens));
        let time = asked().map(|one| one.time).try_fold(0_u64, |sum, time| Some(sum.saturating_add(time?)));
        (calls, tokens, time)
    }

    /// Returns all of it for programs.
    pub(super) fn to_json(&self) -> Value {
        let removed = self.removed.iter().map(|one| {
            let runs: Vec<&RunId> = one.runs.iter().map(|run| &run.id).collect();
            json!({ "name": one.name, "file": null, "state": "removed", "run": null, "runs": runs, "next_us": null })
        });
        let entries: Vec<Value> = self.pipelines.iter().map(Pipeline::to_json).chain(removed).collect();
        let (calls, tokens, time) = self.sum();
        json!({
            "project": self.root,
            "entries": entries,
            "calls": { "least": calls.0, "most": calls.1 },
            "tokens": tokens.to_json(),
            "cost": tokens.cost.to_json(),
            "time_us": time,
        })
    }
}

impl Pipeline {
    fn of(
        checked: Checked,
        runs: &[RunDir],
        home: &Home,
        applied: &Applied,
        key: &str,
        now: Timestamp,
    ) -> Result<Self, CommandError> {
        let (plan, survey) =
            checked.ready().ok_or_else(|| CommandError::new(Exit::Bug, "a wrong pipeline is planned"))?;
        let entry = &checked.entry;
        let record = applied.of(key).find(|(name, _)| *name == entry.name).map(|(_, record)| record);
        let mut found = stand(entry, (plan, survey), runs, record, now);
        if let Some(last) = record.and_then(|record| record.runs.last())
            && run_at(home.path(), &last.run).is_none()
        {
            found.drift.push(format!("{}, which was applied, is gone", last.run));
        }
        let outlook = match &found.standing {
            Standing::New | Standing::Due(..) => Outlook::of(&Prospect::of(plan, None)?),
            Standing::Changed => {
                let earlier = earlier_of(&found).unwrap_or_else(|error| {
                    found.drift.push(format!("nothing is reused: {error}"));
                    None
                });
                Outlook::of(&Prospect::of(plan, earlier.as_ref())?)
            }
            Standing::Unchanged(_) | Standing::Failed(..) | Standing::Unfinished(..) | Standing::Running(_) => {
                Outlook { cases: survey.cases, tokens: Tokens::none(), ..Outlook::default() }
            }
        };
        let expired = record.zip(entry.keep).map_or_else(Vec::new, |(record, keep)| {
            let complete =
                record.runs.iter().rev().filter_map(|begun| run_at(home.path(), &begun.run)).filter(|run| {
                    glance(run).is_ok_and(|glance| glance.status == RunStatus::Complete)
                        && found.standing.run().is_none_or(|standing| standing.id != run.id)
                });
            // What stands for the pipeline is one of those that are kept.
            let others = if found.standing.run().is_some() { keep.saturating_sub(1) } else { keep };
            complete.skip(usize::try_from(others).unwrap_or(usize::MAX)).collect()
        });
        let next = entry.schedule.as_ref().and_then(|schedule| schedule.next_after(now));
        Ok(Self { checked, found, outlook, expired, next })
    }

    /// Says in a line what would be done, and why.
    pub(super) fn says(&self) -> String {
        let mut parts = Vec::new();
        match &self.found.standing {
            Standing::New | Standing::Changed => parts.push(self.outlook.says()),
            Standing::Due(run, since) => {
                parts.push(format!("due since {}, after {}: {}", at(*since), run.id, self.outlook.says()));
            }
            Standing::Unchanged(run) => parts.push(run.id.to_string()),
            Standing::Running(run) => parts.push(format!("{} is being worked on", run.id)),
            Standing::Unfinished(run, done) => {
                parts.push(format!(
                    "{} goes on: {} of {} done",
                    run.id,
                    grouped(*done),
                    counted(self.outlook.cases, "case")
                ));
            }
            Standing::Failed(run, bad) => {
                let remedy = match bad {
                    Bad::Cases(_) => format!("`pipe retry {}` asks those again", run.id),
                    Bad::Stopped(_) => format!("`pipe resume {}` goes on", run.id),
                };
                parts.push(format!("{}: {}; {remedy}", run.id, bad.says()));
            }
        }
        if let Some(next) = self.next {
            parts.push(format!("next at {}", at(next)));
        }
        if !self.expired.is_empty() {
            parts.push(format!("{} no longer kept", counted(self.expired.len() as u64, "older run")));
        }
        parts.extend(self.found.drift.iter().map(|drift| format!("drift: {drift}")));
        parts.join("; ")
    }

    fn to_json(&self) -> Value {
        let entry = &self.checked.entry;
        let why = match &self.found.standing {
            Standing::Failed(_, bad) => Some(bad.says()),
            _ => None,
        };
        let expired: Vec<&RunId> = self.expired.iter().map(|run| &run.id).collect();
        json!({
            "name": entry.name,
            "file": entry.shown,
            "state": self.found.standing.word(),
            "why": why,
            "run": self.found.standing.run().map(|run| &run.id),
            "next_us": self.next,
            "drift": self.found.drift,
            "expired": expired,
            "cases": self.outlook.cases,
            "calls": { "least": self.outlook.calls.0, "most": self.outlook.calls.1 },
            "reused": self.outlook.reused,
            "plan": self.outlook.json,
        })
    }
}

impl Outlook {
    fn of(prospect: &Prospect<'_>) -> Self {
        Self {
            cases: prospect.cases(),
            known: prospect.known(),
            calls: prospect.calls(),
            reused: prospect.reused(),
            tokens: prospect.tokens().clone(),
            time: prospect.time(),
            reasons: prospect.reasons(),
            steps: prospect.steps().into_iter().map(|(step, kind, what)| (step.to_owned(), kind, what)).collect(),
            json: prospect.to_json(),
        }
    }

    /// Says what is asked, and why of a run that is there.
    fn says(&self) -> String {
        let mut parts = Vec::new();
        if self.reused > 0 || self.known > 0 {
            // Where nothing else differs, rows came or went.
            let why = if self.reasons.is_empty() { "other rows".to_owned() } else { self.reasons.join(", ") };
            parts.push(why);
            parts.push(format!("{} reused", counted(self.reused, "task")));
        }
        parts.push(match self.calls {
            (0, 0) => "no calls".to_owned(),
            calls => range(calls),
        });
        parts.extend(
            self.time.filter(|&time| time > 0 && self.calls.1 > 0).map(|time| format!("about {}", duration(time))),
        );
        parts.join(", ")
    }
}
