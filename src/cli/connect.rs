//! From the plan's backends to connected ones, the same ones on a resume.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::exit::{CommandError, Exit};
use super::learned::Known;
use super::printer::{Printer, inert};
use crate::backend::{self, Connected, Target, Wanted};
use crate::base::BackendName;
use crate::event::BackendResolved;
use crate::plan::{BackendIdx, BackendUrl, Concurrency, ModelChoice, Plan};

/// Connects every backend of a plan; `earlier` is what a resumed run was promised, and is used or refused. The home
/// holds what earlier runs learned of the servers.
///
/// # Errors
/// A backend or a model that is not there, all of them named.
#[tracing::instrument(name = "pipe.connect", skip_all, err)]
pub(super) async fn backends(
    plan: &Plan,
    earlier: Option<&[BackendResolved]>,
    home: Option<&Path>,
    printer: &Printer,
) -> Result<Vec<Connected>, CommandError> {
    let known = Known::read(home);
    let wanted: Vec<Wanted> = (0..plan.backends.len()).map(|place| wanted(plan, place, earlier, &known)).collect();
    let talk = Mutex::new(printer.err_again());
    let notice = |line: &str| {
        let mut talk = talk.lock().unwrap_or_else(PoisonError::into_inner);
        // A stderr that is gone is nobody's loss.
        drop(talk.write(&format!("{}\n", inert(line))));
    };
    known.trouble.iter().for_each(|trouble| notice(trouble));
    let connected = backend::connect(&wanted, &|name| std::env::var(name).ok(), &notice).await;
    let mut connected = connected.map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(|error| super::exit::with_causes(error)).collect();
        CommandError::new(Exit::BackendUnusable, lines.join("\n"))
    })?;
    known.add_to(&mut connected);
    Ok(connected)
}

fn wanted(plan: &Plan, place: usize, earlier: Option<&[BackendResolved]>, known: &Known) -> Wanted {
    let backend = &plan.backends[place];
    let earlier = earlier.and_then(|list| list.iter().find(|one| one.backend == backend.name));
    let target = match (&backend.url, earlier) {
        (BackendUrl::Auto, Some(earlier)) => match earlier.endpoint.as_str() {
            "embedded" => Target::Embedded,
            "sim" => Target::Sim { speed: 1 },
            // A secret in its query was not recorded: the place that it came from still has it.
            url if url.contains("=***") => Target::Auto,
            url => Target::Url(url.to_owned()),
        },
        (BackendUrl::Auto, None) => Target::Auto,
        (BackendUrl::Embedded, _) => Target::Embedded,
        (BackendUrl::Sim { speed }, _) => Target::Sim { speed: *speed },
        (BackendUrl::Url(url), _) => Target::Url(url.clone()),
    };
    let mut models: Vec<Option<Arc<str>>> = Vec::new();
    let actors = plan.all_cells().flat_map(|(_, cell)| &cell.actors);
    for actor in actors.filter(|actor| actor.backend == BackendIdx(place)) {
        let asked = match (&actor.model, earlier) {
            (ModelChoice::Named(name), _) => Some(Arc::clone(name)),
            (ModelChoice::Auto, None) => None,
            (ModelChoice::Auto, Some(earlier)) => auto_model(earlier),
        };
        if !models.contains(&asked) {
            models.push(asked);
        }
    }
    let concurrency = match backend.concurrency {
        Concurrency::Auto => None,
        Concurrency::Fixed(number) => Some(number),
    };
    let api_key = backend.api_key.as_ref().map(|key| Arc::from(key.expose()));
    let headers = backend.headers.iter().map(|(name, value)| (Arc::from(name.as_str()), Arc::from(value.expose())));
    let is_unlisted = matches!(&backend.url, BackendUrl::Url(url) if known.is_unlisted(url));
    Wanted {
        name: BackendName::clone(&backend.name),
        target,
        api_key,
        headers: headers.collect(),
        is_unlisted,
        models,
        concurrency,
    }
}

fn auto_model(earlier: &BackendResolved) -> Option<Arc<str>> {
    let (_, sent) = earlier.models.iter().find(|(asked, _)| asked.as_str() == "auto")?;
    Some(Arc::from(sent.as_str()))
}

/// Returns the model behind each actor, as its server names it.
pub(super) fn models(
    plan: &Plan,
    connected: &[Connected],
    earlier: Option<&[BackendResolved]>,
) -> Vec<Vec<Arc<str>>> {
    let sent = |actor: &crate::plan::Actor| {
        let BackendIdx(place) = actor.backend;
        let name = &plan.backends[place].name;
        let earlier = earlier.and_then(|list| list.iter().find(|one| one.backend == *name));
        let asked = match &actor.model {
            ModelChoice::Named(name) => Arc::clone(name),
            ModelChoice::Auto => earlier.and_then(auto_model).unwrap_or_else(|| Arc::from("auto")),
        };
        let pairs = &connected[place].resolved.models;
        let found = pairs.iter().find(|(want, _)| want.as_str() == &*asked);
        found.map_or(asked, |(_, sent)| Arc::from(sent.as_str()))
    };
    plan.all_cells().map(|(_, cell)| cell.actors.iter().map(sent).collect()).collect()
}

/// Lets models go by what a run before asked for: what was `auto` there and was found again by its name is `auto` here.
pub(super) fn as_before(earlier: &[BackendResolved], connected: &mut [Connected]) {
    for one in connected {
        if let Some(before) = earlier.iter().find(|before| before.backend == one.resolved.backend) {
            one.resolved.models.clone_from(&before.models);
        }
    }
}

/// Says which models are other builds than they were, by what their servers tell: their names are the same.
fn other_builds(earlier: &[BackendResolved], connected: &[Connected]) -> Vec<String> {
    let mut lines = Vec::new();
    for now in connected.iter().map(|one| &one.resolved) {
        let before = earlier.iter().filter(|before| before.backend == now.backend).flat_map(|before| &before.digests);
        for (model, then) in before {
            let told = now.digests.iter().find(|(name, digest)| name == model && digest != then);
            lines.extend(told.map(|(model, digest)| {
                let (then, now) =
                    (then.chars().take(19).collect::<String>(), digest.chars().take(19).collect::<String>());
                format!("{model} is another build than it was: {now}… now, {then}… then; answers may differ")
            }));
        }
    }
    lines
}

/// Makes sure that a resumed run is asked of the same models as before, and says which are other builds.
///
/// # Errors
/// A backend that now stands for another model.
pub(super) fn same_models(
    earlier: &[BackendResolved],
    connected: &[Connected],
    printer: &mut Printer,
) -> Result<(), CommandError> {
    for one in connected {
        let now = &one.resolved;
        let Some(before) = earlier.iter().find(|before| before.backend == now.backend) else { continue };
        let sent = |resolved: &BackendResolved| {
            let mut names: Vec<String> = resolved.models.iter().map(|(_, sent)| sent.to_string()).collect();
            names.sort();
            names.dedup();
            names
        };
        if sent(before) != sent(now) {
            let message = format!(
                "backend {:?} stood for {} when the run began, and stands for {} now",
                now.backend.as_str(),
                sent(before).join(", "),
                sent(now).join(", ")
            );
            let help = "models are never swapped within a run: serve the same model again, or start a new run";
            return Err(CommandError::new(Exit::BackendUnusable, message).help(help));
        }
    }
    other_builds(earlier, connected).iter().for_each(|line| printer.say(&inert(line)));
    Ok(())
}
