//! The cache of a project, as a run uses it: opened, told of, never in the way.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::check::counted;
use super::exit::with_causes;
use super::printer::{DIM, Printer, inert, paint};
use crate::backend::Connected;
use crate::cache::{Cache, CacheError, Contents, Keeper, Told};
use crate::journal::{Home, RunDir};
use crate::plan::Plan;
use crate::spec::CacheUse;
use crate::worker::Recall;

/// What a run has of the cache: nothing where it wants none, and nothing where it cannot have it, which is told.
pub(super) fn open(
    plan: &Plan,
    dir: &RunDir,
    connected: &[Connected],
    printer: &mut Printer,
) -> (Option<Recall>, Option<Keeper>) {
    let refresh = match plan.cache {
        CacheUse::Off => return (None, None),
        CacheUse::On => false,
        CacheUse::Refresh => true,
    };
    let Some(home) = dir.home() else {
        printer.say(&format!("the cache is not used: {} lies in no project", inert(&dir.path.display().to_string())));
        return (None, None);
    };
    let opened = || -> Result<(Arc<Cache>, Keeper), CacheError> {
        let cache = Arc::new(Cache::open(home)?);
        let keeper = Keeper::start(Arc::clone(&cache), refresh)?;
        Ok((cache, keeper))
    };
    match opened() {
        Ok((cache, keeper)) => {
            printer.say(&paint(DIM, &line(home, refresh)));
            let backends = connected.iter().map(|one| one.resolved.clone()).collect();
            let recall = Recall { cache, reads: !refresh, backends, run: dir.id.clone() };
            (Some(recall), Some(keeper))
        }
        Err(error) => {
            printer.say(&format!("the cache is not used: {}", inert(&with_causes(&error))));
            printer.say(&help(&error));
            (None, None)
        }
    }
}

/// Says what a run would have of the cache; none where it wants none. Which calls it answers is known once their
/// prompts are made and the models found.
pub(super) fn forecast(plan: &Plan, home: &Home) -> Option<String> {
    let has = Contents::of(home.path()).unwrap_or_default();
    match plan.cache {
        CacheUse::Off => None,
        CacheUse::Refresh => Some("cache: everything is asked anew, and kept".to_owned()),
        CacheUse::On if has.answers == 0 => Some("cache: empty".to_owned()),
        CacheUse::On => {
            let answers = counted(has.answers, "answer");
            Some(format!("cache: {answers} of earlier runs; what asks the same as one of them is not sent"))
        }
    }
}

/// The same for programs.
pub(super) fn forecast_json(plan: &Plan, home: &Home) -> Value {
    let Contents { answers, bytes } = Contents::of(home.path()).unwrap_or_default();
    match plan.cache {
        CacheUse::Off => Value::Null,
        CacheUse::On => json!({ "reads": true, "answers": answers, "bytes": bytes }),
        CacheUse::Refresh => json!({ "reads": false, "answers": answers, "bytes": bytes }),
    }
}

fn line(home: &Path, refresh: bool) -> String {
    let has = Contents::of(home).unwrap_or_default();
    match (refresh, has.answers) {
        (true, _) => "cache: everything is asked anew, and kept".to_owned(),
        (false, 0) => "cache: empty; answers are kept for other runs of this project".to_owned(),
        (false, answers) => format!("cache: {} of earlier runs at hand", counted(answers, "answer")),
    }
}

/// Says what there is to tell of the cache when the run is over.
pub(super) fn say(told: &Told, printer: &mut Printer) {
    if told.damaged > 0 {
        let answers = counted(told.damaged, "answer");
        printer
            .say(&format!("cache: {answers} did not match their checksums; they were asked again and written anew"));
    }
    for error in &told.trouble {
        printer.say(&format!("the cache was not used to the end: {}", inert(&with_causes(error))));
        printer.say(&help(error));
    }
}

fn help(error: &CacheError) -> String {
    let what = match error {
        CacheError::Newer { .. } => "every call is asked; `pipe prune --cache` removes it, a newer pipe reads it",
        CacheError::Foreign { .. } => "every call is asked; move that file away",
        CacheError::File { .. } | CacheError::Store { .. } => {
            "nothing of the run is lost: every call is asked; `pipe prune --cache` removes the file"
        }
    };
    format!("   = help: {what}")
}
