//! The hash of a plan: equal for plans that ask the same questions of the same models about the same cases.

use serde_json::{Map, Value};

use super::{
    Actor, BackendUrl, Check, Condition, Contestant, Course, Dialogue, Evidence, FileItems, ForEach, History, Items,
    Judge, ModelChoice, OnError, Operand, Order, Plan, Step, StepIdx, StepKind, Stop, Wanted,
};
use crate::base::{Digest, Hasher};
use crate::judge::Rule;

/// Hashes what can change an answer or the set of cases, with names instead of places.
///
/// Paths count as written: absolute ones would tie a run to its folder. The name counts when a template reads it.
pub(super) fn hash(plan: &Plan, reads_name: bool) -> Digest {
    let mut hasher = Hasher::new("plan 1").number(plan.seed).number(u64::from(plan.repeat.get()));
    hasher = hasher.field(if reads_name { plan.name.as_bytes() } else { b"" });
    hasher = map(hasher.field(b"params"), &plan.params);
    hasher = items(hasher.field(b"items"), &plan.items);
    hasher = pick(hasher, plan);
    let mut actors: Vec<&Actor> = plan.actors.iter().collect();
    actors.sort_by(|one, other| one.name.cmp(&other.name));
    hasher = actors.into_iter().fold(hasher.field(b"actors"), |hasher, found| actor(hasher, plan, found));
    let mut steps: Vec<&Step> = plan.steps.iter().collect();
    steps.sort_by(|one, other| one.name.cmp(&other.name));
    hasher = steps.into_iter().fold(hasher.field(b"steps"), |hasher, found| step(hasher, plan, found));
    // A plan without a closing hashes as before there were any.
    if let Some(closing) = &plan.closing {
        let mut steps: Vec<&Step> = closing.steps.iter().collect();
        steps.sort_by(|one, other| one.name.cmp(&other.name));
        hasher = steps.into_iter().fold(hasher.field(b"closing"), |hasher, found| step(hasher, closing, found));
    }
    if let Some(evidence) = &plan.evidence {
        // It decides which cases count, and with the number of items the order in which they are admitted.
        hasher = enough(hasher.field(b"evidence"), plan, evidence, &evidence.condition);
        hasher = hasher.number(plan.limit.unwrap_or(u64::MAX));
    }
    if let Some(repeats) = &plan.repeats {
        hasher = enough(hasher.field(b"enough repeats"), plan, repeats, &repeats.condition);
    }
    hasher.finish()
}

fn enough(hasher: Hasher, plan: &Plan, evidence: &Evidence, condition: &Condition) -> Hasher {
    let of = |place: &usize| plan.templates.expression(evidence.observed[*place].expr).as_bytes();
    let each = |hasher: Hasher, conditions: &[Condition]| {
        let hasher = hasher.number(conditions.len() as u64);
        conditions.iter().fold(hasher, |hasher, inner| enough(hasher, plan, evidence, inner))
    };
    match condition {
        Condition::Any(conditions) => each(hasher.field(b"any"), conditions),
        Condition::All(conditions) => each(hasher.field(b"all"), conditions),
        Condition::Not(condition) => enough(hasher.field(b"not"), plan, evidence, condition),
        Condition::Holds(place) => hasher.field(b"expr").field(of(place)),
        Condition::Decided(place) => hasher.field(b"decided").field(of(place)),
    }
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
    let mut hasher = list(hasher, sampling.stop.iter().map(String::as_str));
    // An actor without these hashes as before there were any.
    if let Some(reasoning) = sampling.reasoning {
        hasher = hasher.field(b"reasoning").field(reasoning.word().as_bytes());
    }
    if !sampling.extra.is_empty() {
        hasher = map(hasher.field(b"extra_body"), &sampling.extra);
    }
    hasher
}

fn step(hasher: Hasher, plan: &Plan, step: &Step) -> Hasher {
    let name = |index: &StepIdx| plan.step(*index).name.as_str();
    let mut after: Vec<&str> = step.after.iter().map(name).collect();
    after.sort_unstable();
    let hasher = list(hasher.field(step.name.as_str().as_bytes()), after.into_iter());
    let actor = |index: super::ActorIdx| plan.actor(index).name.as_str();
    // A step without any of these hashes as before there were any.
    let hasher = course_of(plan, step)
        .into_iter()
        .fold(hasher, |hasher, (name, value)| hasher.field(name.as_bytes()).field(value.as_bytes()));
    match &step.kind {
        StepKind::Chat(chat) => {
            let hasher = hasher
                .field(b"chat")
                .field(actor(chat.actor).as_bytes())
                .field(plan.templates.source(chat.prompt).as_bytes());
            // What is not used is not hashed, so that plans of before keep their hash.
            let hasher = match &chat.form {
                None => hasher,
                Some((schema, repair)) => value(hasher.field(b"schema").number(u64::from(*repair)), &schema.value()),
            };
            match chat.history.is_empty() {
                true => hasher,
                false => list(hasher.field(b"history"), chat.history.iter().map(name)),
            }
        }
        StepKind::Dialogue(dialogue) => {
            let hasher = list(hasher.field(b"dialogue"), dialogue.actors.iter().map(|index| actor(*index)));
            let hasher = hasher.field(plan.templates.source(dialogue.opening).as_bytes());
            let hasher = stop_of(hasher, plan, dialogue);
            history(order(hasher, dialogue.order), dialogue.history)
        }
        StepKind::Judge(judge) => {
            let hasher = judge
                .actors
                .iter()
                .fold(hasher.field(b"judge"), |hasher, index| hasher.field(actor(*index).as_bytes()));
            let hasher =
                hasher.field(plan.templates.source(judge.question).as_bytes()).number(u64::from(judge.votes.get()));
            let hasher = wanted(hasher, plan, judge);
            let hasher = list(hasher, judge.blind.iter().flatten().map(crate::base::ActorName::as_str));
            manner(hasher, judge)
        }
        StepKind::Transform(transform) => {
            hasher.field(b"transform").field(plan.templates.expression(transform.expr).as_bytes())
        }
        StepKind::Assert(assert) => {
            let hasher = hasher.field(b"assert").field(operand(plan, &assert.value).as_bytes());
            hasher.field(check(plan, &assert.check).as_bytes())
        }
        StepKind::Aggregate(aggregate) => {
            let hasher = hasher
                .field(b"aggregate")
                .field(aggregate.of.name.as_str().as_bytes())
                .field(aggregate.by.word().as_bytes());
            match aggregate.chat() {
                None => hasher,
                Some(chat) => {
                    hasher.field(actor(chat.actor).as_bytes()).field(plan.templates.source(chat.prompt).as_bytes())
                }
            }
        }
    }
}

/// Returns what stands around a step's work, by its key and as text.
pub(super) fn course_of(plan: &Plan, step: &Step) -> Vec<(&'static str, String)> {
    let Course { when, for_each, on_error, limits: _ } = &step.course;
    let mut fields = Vec::new();
    if let Some(when) = when {
        fields.push(("when", plan.templates.expression(*when).to_owned()));
    }
    match for_each {
        None => {}
        Some(ForEach::Given(list)) => fields.push(("for_each", Value::Array(list.clone()).to_string())),
        Some(ForEach::Found(expression)) => {
            fields.push(("for_each", plan.templates.expression(*expression).to_owned()));
        }
    }
    match on_error {
        OnError::Fail => {}
        OnError::Skip => fields.push(("on_error", "skip".to_owned())),
        OnError::Default { value, .. } => fields.push(("on_error", format!("default {value}"))),
    }
    fields
}

/// Returns a value that is known when the task is done, as text.
pub(super) fn operand(plan: &Plan, operand: &Operand) -> String {
    match operand {
        Operand::Literal(value) => format!("literal {value}"),
        Operand::Text(id) => format!("text {}", plan.templates.source(*id)),
        Operand::Expression(id) => format!("expression {}", plan.templates.expression(*id)),
    }
}

/// Returns a claim as text.
pub(super) fn check(plan: &Plan, check: &Check) -> String {
    match check {
        Check::Equals(wanted) => format!("equals {}", operand(plan, wanted)),
        Check::Contains(wanted) => format!("contains {}", operand(plan, wanted)),
        Check::Matches(regex) => format!("matches {regex}"),
        Check::Within { of, by } => format!("within {} of {}", operand(plan, by), operand(plan, of)),
        Check::Schema(schema) => format!("schema {}", schema.value()),
        Check::Expr(id) => format!("expr {}", plan.templates.expression(*id)),
    }
}

/// Hashes what a judge is asked for.
pub(super) fn wanted(hasher: Hasher, plan: &Plan, judge: &Judge) -> Hasher {
    let compared = |hasher: Hasher, contestants: &[Contestant]| {
        contestants.iter().fold(hasher.number(contestants.len() as u64), |hasher, one| {
            hasher.field(one.name.as_bytes()).field(plan.templates.source(one.text).as_bytes())
        })
    };
    match &judge.wanted {
        Wanted::Choose(options) => list(hasher, options.iter().map(String::as_str)),
        Wanted::Score(scale) => {
            let (min, max, step) = scale.bounds();
            let hasher = list(
                hasher.field(b"score"),
                [min, max, step].map(|number| number.to_string()).iter().map(String::as_str),
            );
            scale.levels().iter().fold(hasher, |hasher, (score, name)| {
                hasher.field(score.to_string().as_bytes()).field(name.as_bytes())
            })
        }
        Wanted::Pairwise(contestants) => compared(hasher.field(b"pairwise"), contestants),
        Wanted::Rank(contestants) => compared(hasher.field(b"rank"), contestants),
        Wanted::Schema(schema) => value(hasher.field(b"schema"), &schema.value()),
    }
}

/// Hashes how a judge is asked, as far as it is not as always: so plans of before keep their hash.
fn manner(mut hasher: Hasher, judge: &Judge) -> Hasher {
    if judge.is_panel() || judge.votes.get() > 1 && judge.rule != Rule::Majority {
        hasher = hasher.field(b"rule").field(judge.rule.word().as_bytes());
    }
    if judge.swap {
        hasher = hasher.field(b"swap");
    }
    if judge.explain {
        hasher = hasher.field(b"explain");
    }
    if judge.repair != 1 {
        hasher = hasher.field(b"repair").number(u64::from(judge.repair));
    }
    hasher
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
    let hasher = dialogue.likenesses.iter().fold(hasher, |hasher, likeness| {
        let similarity = likeness.similarity.to_string();
        hasher.field(b"alike").field(similarity.as_bytes()).number(u64::from(likeness.window.get()))
    });
    dialogue.judges.iter().fold(hasher, |hasher, judge| {
        let hasher = hasher.field(b"judge").field(plan.actor(judge.actor).name.as_str().as_bytes());
        let hasher = hasher.field(plan.templates.source(judge.question).as_bytes());
        let hasher = list(hasher, judge.choose.iter().map(String::as_str));
        hasher.field(judge.on.as_bytes()).number(u64::from(judge.repair))
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
        Stop::JudgeSays(judge) => hasher.field(b"judge_says").number(*judge as u64),
        Stop::Budget(tokens) => hasher.field(b"budget").number(u64::from(*tokens)),
    }
}

fn items(hasher: Hasher, items: &Items) -> Hasher {
    match items {
        Items::One => hasher.field(b"one"),
        Items::Inline { rows, id } => {
            let hasher = hasher.field(b"inline").field(id.as_deref().unwrap_or_default().as_bytes());
            rows.iter().fold(hasher.number(rows.len() as u64), map)
        }
        Items::Files(files) => {
            let hasher = hasher
                .field(b"lines")
                .field(files.id.as_deref().unwrap_or_default().as_bytes())
                .field(files.written.as_bytes());
            said(hasher, files)
        }
    }
}

/// Adds what is said of files beside their path; nothing where nothing is.
fn said(mut hasher: Hasher, files: &FileItems) -> Hasher {
    if let Some(delimiter) = files.delimiter {
        hasher = hasher.field(b"delimiter").field(&[delimiter]);
    }
    if !files.types.is_empty() {
        hasher = hasher.field(b"types").number(files.types.len() as u64);
        for (column, kind) in &files.types {
            hasher = hasher.field(column.as_bytes()).field(kind.word().as_bytes());
        }
    }
    match files.format {
        Some(format) => hasher.field(b"format").field(format.word().as_bytes()),
        None => hasher,
    }
}

/// Adds which items are taken; nothing where all are.
fn pick(mut hasher: Hasher, plan: &Plan) -> Hasher {
    let pick = &plan.pick;
    if let Some(filter) = pick.filter {
        hasher = hasher.field(b"where").field(plan.templates.expression(filter).as_bytes());
    }
    if let Some(sample) = pick.sample {
        hasher = hasher.field(b"sample").number(u64::from(sample.n.get())).number(sample.seed);
    }
    if let Some(seed) = pick.shuffle {
        hasher = hasher.field(b"shuffle").number(seed);
    }
    match pick.limit {
        Some(limit) => hasher.field(b"limit").number(u64::from(limit.get())),
        None => hasher,
    }
}

pub(super) fn list<'a>(hasher: Hasher, texts: impl Iterator<Item = &'a str>) -> Hasher {
    let texts: Vec<&str> = texts.collect();
    let hasher = hasher.number(texts.len() as u64);
    texts.into_iter().fold(hasher, |hasher, text| hasher.field(text.as_bytes()))
}

pub(super) fn map(hasher: Hasher, map: &Map<String, Value>) -> Hasher {
    let mut entries: Vec<(&String, &Value)> = map.iter().collect();
    entries.sort_by(|one, other| one.0.cmp(other.0));
    let hasher = hasher.number(entries.len() as u64);
    entries.into_iter().fold(hasher, |hasher, (key, found)| value(hasher.field(key.as_bytes()), found))
}

pub(super) fn value(hasher: Hasher, found: &Value) -> Hasher {
    match found {
        Value::Object(object) => map(hasher.field(b"map"), object),
        Value::Array(values) => values.iter().fold(hasher.field(b"list").number(values.len() as u64), value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            hasher.field(found.to_string().as_bytes())
        }
    }
}
