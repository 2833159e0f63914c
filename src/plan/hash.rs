//! The hash of a plan: equal for plans that ask the same questions of the same models about the same cases.

use serde_json::{Map, Value};

use super::{Actor, BackendUrl, Dialogue, History, Items, ModelChoice, Order, Plan, Step, StepIdx, StepKind, Stop};
use crate::base::{Digest, Hasher};

/// Hashes what can change an answer or the set of cases, with names instead of places.
///
/// `items_path` is the path as written: an absolute one would tie a run to its folder. The name counts when a
/// template reads it.
pub(super) fn hash(plan: &Plan, items_path: Option<&str>, reads_name: bool) -> Digest {
    let mut hasher = Hasher::new("plan 1").number(plan.seed).number(u64::from(plan.repeat.get()));
    hasher = hasher.field(if reads_name { plan.name.as_bytes() } else { b"" });
    hasher = map(hasher.field(b"params"), &plan.params);
    hasher = items(hasher.field(b"items"), &plan.items, items_path);
    let mut actors: Vec<&Actor> = plan.actors.iter().collect();
    actors.sort_by(|one, other| one.name.cmp(&other.name));
    hasher = actors.into_iter().fold(hasher.field(b"actors"), |hasher, found| actor(hasher, plan, found));
    let mut steps: Vec<&Step> = plan.steps.iter().collect();
    steps.sort_by(|one, other| one.name.cmp(&other.name));
    hasher = steps.into_iter().fold(hasher.field(b"steps"), |hasher, found| step(hasher, plan, found));
    hasher.finish()
}

fn actor(hasher: Hasher, plan: &Plan, actor: &Actor) -> Hasher {
    let backend = &plan.backends[actor.backend.0];
    let url = match &backend.url {
        BackendUrl::Auto => "auto",
        BackendUrl::Embedded => "embedded",
        // How long it takes to answer changes no answer.
        BackendUrl::Sim { speed: _ } => "sim",
        BackendUrl::Url(url) => url,
    };
    let model = match &actor.model {
        ModelChoice::Auto => "",
        ModelChoice::Named(name) => name,
    };
    let sampling = &actor.sampling;
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let hasher = hasher
        .field(actor.name.as_str().as_bytes())
        .field(backend.name.as_str().as_bytes())
        .field(url.as_bytes())
        .field(model.as_bytes())
        .field(actor.system.map_or("", |id| plan.templates.source(id)).as_bytes())
        .field(number(sampling.temperature).as_bytes())
        .field(number(sampling.top_p).as_bytes())
        .number(sampling.max_tokens.map_or(0, u64::from));
    list(hasher, sampling.stop.iter().map(String::as_str))
}

fn step(hasher: Hasher, plan: &Plan, step: &Step) -> Hasher {
    let name = |index: &StepIdx| plan.step(*index).name.as_str();
    let mut after: Vec<&str> = step.after.iter().map(name).collect();
    after.sort_unstable();
    let hasher = list(hasher.field(step.name.as_str().as_bytes()), after.into_iter());
    let actor = |index: super::ActorIdx| plan.actor(index).name.as_str();
    match &step.kind {
        StepKind::Chat(chat) => hasher
            .field(b"chat")
            .field(actor(chat.actor).as_bytes())
            .field(plan.templates.source(chat.prompt).as_bytes()),
        StepKind::Dialogue(dialogue) => {
            let hasher = list(hasher.field(b"dialogue"), dialogue.actors.iter().map(|index| actor(*index)));
            let hasher = hasher.field(plan.templates.source(dialogue.opening).as_bytes());
            let hasher = stop_of(hasher, plan, dialogue);
            history(order(hasher, dialogue.order), dialogue.history)
        }
        StepKind::Judge(judge) => {
            let hasher = hasher
                .field(b"judge")
                .field(actor(judge.actor).as_bytes())
                .field(plan.templates.source(judge.question).as_bytes())
                .number(u64::from(judge.votes.get()));
            let hasher = list(hasher, judge.choose.iter().map(String::as_str));
            list(hasher, judge.blind.iter().flatten().map(crate::base::ActorName::as_str))
        }
    }
}

/// Adds when a dialogue is over, with all that its conditions look for.
pub(super) fn stop_of(hasher: Hasher, plan: &Plan, dialogue: &Dialogue) -> Hasher {
    let hasher = dialogue.patterns.iter().fold(stop(hasher, &dialogue.stop), |hasher, pattern| {
        let speaker = pattern.actor.map_or("", |actor| plan.actor(actor).name.as_str());
        hasher.field(speaker.as_bytes()).field(pattern.regex.as_str().as_bytes())
    });
    let hasher = dialogue.captures.iter().fold(hasher, |hasher, capture| {
        hasher.field(b"capture").field(capture.as_ref().map_or("", |pattern| pattern.as_str()).as_bytes())
    });
    dialogue.likenesses.iter().fold(hasher, |hasher, likeness| {
        let similarity = likeness.similarity.to_string();
        hasher.field(b"alike").field(similarity.as_bytes()).number(u64::from(likeness.window.get()))
    })
}

/// Adds who speaks when; nothing for the order as listed, which was the only one once: hashes of that time stay.
pub(super) fn order(hasher: Hasher, order: Order) -> Hasher {
    match order {
        Order::RoundRobin => hasher,
        Order::Random => hasher.field(b"order").field(b"random"),
        Order::Rotate => hasher.field(b"order").field(b"rotate"),
    }
}

/// Adds how much speakers see; nothing for all of it, as in [`order`].
pub(super) fn history(hasher: Hasher, history: History) -> Hasher {
    match history {
        History::All => hasher,
        History::Last(turns) => hasher.field(b"last").number(u64::from(turns.get())),
        History::Tokens(tokens) => hasher.field(b"tokens").number(u64::from(tokens)),
    }
}

fn stop(hasher: Hasher, condition: &Stop) -> Hasher {
    match condition {
        Stop::Any(conditions) => conditions.iter().fold(hasher.field(b"any").number(conditions.len() as u64), stop),
        Stop::All(conditions) => conditions.iter().fold(hasher.field(b"all").number(conditions.len() as u64), stop),
        Stop::Not(condition) => stop(hasher.field(b"not"), condition),
        Stop::Rounds(count) => hasher.field(b"rounds").number(u64::from(count.get())),
        Stop::Turns(count) => hasher.field(b"turns").number(u64::from(count.get())),
        Stop::Says(pattern) => hasher.field(b"says").number(*pattern as u64),
        Stop::Agree(capture) => hasher.field(b"agree").number(*capture as u64),
        Stop::Unchanged { capture, window } => {
            hasher.field(b"unchanged").number(*capture as u64).number(u64::from(window.get()))
        }
        Stop::Looping(likeness) => hasher.field(b"looping").number(*likeness as u64),
        Stop::Budget(tokens) => hasher.field(b"budget").number(u64::from(*tokens)),
    }
}

fn items(hasher: Hasher, items: &Items, path: Option<&str>) -> Hasher {
    match items {
        Items::One => hasher.field(b"one"),
        Items::Inline { rows, id } => {
            let hasher = hasher.field(b"inline").field(id.as_deref().unwrap_or_default().as_bytes());
            rows.iter().fold(hasher.number(rows.len() as u64), map)
        }
        Items::JsonLines { path: _, id } => hasher
            .field(b"lines")
            .field(id.as_deref().unwrap_or_default().as_bytes())
            .field(path.unwrap_or_default().as_bytes()),
    }
}

pub(super) fn list<'a>(hasher: Hasher, texts: impl Iterator<Item = &'a str>) -> Hasher {
    let texts: Vec<&str> = texts.collect();
    let hasher = hasher.number(texts.len() as u64);
    texts.into_iter().fold(hasher, |hasher, text| hasher.field(text.as_bytes()))
}

fn map(hasher: Hasher, map: &Map<String, Value>) -> Hasher {
    let mut entries: Vec<(&String, &Value)> = map.iter().collect();
    entries.sort_by(|one, other| one.0.cmp(other.0));
    let hasher = hasher.number(entries.len() as u64);
    entries.into_iter().fold(hasher, |hasher, (key, found)| value(hasher.field(key.as_bytes()), found))
}

fn value(hasher: Hasher, found: &Value) -> Hasher {
    match found {
        Value::Object(object) => map(hasher.field(b"map"), object),
        Value::Array(values) => values.iter().fold(hasher.field(b"list").number(values.len() as u64), value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            hasher.field(found.to_string().as_bytes())
        }
    }
}
