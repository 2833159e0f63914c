//! What a task asks, as a hash: tasks of two runs with the same fingerprint may share their output.
//! Reads: `Plan`, the models behind its actors, a row, the outputs that the task reads. Never: limits, results, names
//! of files, other steps. Template text counts, rendered text does not: it does not exist when a run is planned.
//! Start at [`Fingerprints::of`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::hash;
use super::{ActorIdx, Chat, Check, ForEach, History, Operand, Order, Plan, Step, StepIdx, StepKind, Wanted};
use crate::base::{Digest, Hasher, ItemId};
use crate::event::TaskSettled;
use crate::prompt::{ExpressionId, TemplateId};

/// Who answers for an actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    /// `sim`, `embedded` or `server`: a server that moved answers as before, a simulated one never stands for a real.
    pub place: &'static str,
    /// The model as its server names it.
    pub model: Arc<str>,
}

/// What every task of a step has in common: one digest per field, so that a change can be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Field and digest of its value, in the order in which they are told.
    pub fields: Vec<(String, Digest)>,
    digest: Digest,
    columns: Columns,
    reads: Vec<StepIdx>,
}

/// What the templates of a step read of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Columns {
    All,
    Some(BTreeSet<String>),
}

/// The identities of a plan's steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprints {
    steps: Vec<Identity>,
}

impl Identity {
    /// Returns the fields in which two steps differ, in the order in which they are told.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let before: BTreeMap<&str, &Digest> = other.fields.iter().map(|(name, digest)| (&**name, digest)).collect();
        let now: BTreeSet<&str> = self.fields.iter().map(|(name, _)| &**name).collect();
        let changed = self.fields.iter().filter(|(name, digest)| before.get(&**name) != Some(&digest));
        let gone = other.fields.iter().filter(|(name, _)| !now.contains(&**name));
        changed.chain(gone).map(|(name, _)| name.clone()).collect()
    }
}

impl Fingerprints {
    /// Finds out what each step of a plan asks of whom; `voices` by the plan's order of actors.
    #[must_use]
    pub fn of(plan: &Plan, voices: &[Voice]) -> Self {
        Self { steps: plan.steps.iter().map(|step| identity(plan, step, voices)).collect() }
    }

    /// Returns what the tasks of a step have in common.
    #[must_use]
    pub fn step(&self, step: StepIdx) -> &Identity {
        &self.steps[step.0]
    }

    /// Returns the fingerprint of one task; none when the output of a task that it reads is not known.
    #[must_use]
    pub fn task(
        &self,
        plan: &Plan,
        step: StepIdx,
        (item, repeat, row): (&ItemId, u32, &Map<String, Value>),
        output: &dyn Fn(StepIdx) -> Option<Digest>,
    ) -> Option<Digest> {
        let identity = self.step(step);
        let mut hasher = Hasher::new("pipe task 1")
            .field(plan.step(step).name.as_str().as_bytes())
            .field(identity.digest.as_bytes())
            .field(item.as_str().as_bytes())
            .number(u64::from(repeat));
        // The order of a row's fields can be seen by a template, so it counts.
        hasher = match &identity.columns {
            Columns::All => hasher.field(b"row").field(Value::Object(row.clone()).to_string().as_bytes()),
            Columns::Some(columns) => columns.iter().fold(hasher.field(b"columns"), |hasher, column| {
                let text = row.get(column).map_or_else(String::new, Value::to_string);
                hasher.field(column.as_bytes()).field(text.as_bytes())
            }),
        };
        let mut reads: Vec<(&str, Digest)> = Vec::with_capacity(identity.reads.len());
        for &read in &identity.reads {
            reads.push((plan.step(read).name.as_str(), output(read)?));
        }
        reads.sort_unstable();
        hasher = reads.into_iter().fold(hasher.field(b"reads"), |hasher, (name, digest)| {
            hasher.field(name.as_bytes()).field(digest.as_bytes())
        });
        Some(hasher.finish())
    }
}

/// Returns what later tasks see of one that is settled, as a hash.
#[must_use]
pub fn output_digest(task: &TaskSettled) -> Digest {
    let output = json!([task.status, task.output]).to_string();
    Hasher::new("pipe output 1").field(output.as_bytes()).finish()
}

/// Fields of a step as they are found.
struct Fields<'a> {
    plan: &'a Plan,
    found: Vec<(String, Digest)>,
    templates: Vec<TemplateId>,
    expressions: Vec<ExpressionId>,
}

impl Fields<'_> {
    fn text(&mut self, name: &str, text: &str) {
        self.add(name, |hasher| hasher.field(text.as_bytes()));
    }

    fn add(&mut self, name: &str, add: impl FnOnce(Hasher) -> Hasher) {
        let digest = add(Hasher::new("pipe field 1")).finish();
        if self.found.iter().all(|(found, _)| found != name) {
            self.found.push((name.to_owned(), digest));
        }
    }

    fn template(&mut self, name: &str, id: TemplateId) {
        self.text(name, self.plan.templates.source(id));
        self.templates.push(id);
    }

    fn expression(&mut self, name: &str, id: ExpressionId) {
        self.text(name, self.plan.templates.expression(id));
        self.expressions.push(id);
    }

    /// Notes what an operand reads.
    fn operand(&mut self, operand: &Operand) {
        match operand {
            Operand::Literal(_) => {}
            Operand::Text(id) => self.templates.push(*id),
            Operand::Expression(id) => self.expressions.push(*id),
        }
    }

    /// Adds what a chat continues, with what was asked there: its answers are among the outputs read.
    fn talks(&mut self, chat: &Chat) {
        let plan = self.plan;
        if chat.history.is_empty() {
            return;
        }
        let names = chat.history.iter().map(|&earlier| plan.step(earlier).name.as_str());
        self.add("history", |hasher| hash::list(hasher, names));
        for earlier in plan.talks(chat) {
            let step = plan.step(earlier);
            let name = |field: &str| format!("history.{}.{field}", step.name);
            match &step.kind {
                StepKind::Chat(chat) => {
                    self.template(&name("prompt"), chat.prompt);
                    if let Some((schema, _)) = &chat.form {
                        self.add(&name("schema"), |hasher| hash::value(hasher, &schema.value()));
                    }
                }
                StepKind::Dialogue(dialogue) => {
                    let actors = dialogue.actors.iter().map(|&actor| plan.actor(actor).name.as_str());
                    self.add(&name("actors"), |hasher| hash::list(hasher, actors));
                    self.template(&name("opening"), dialogue.opening);
                    self.add(&name("history"), |hasher| hash::history(hasher, dialogue.history));
                }
                StepKind::Judge(_) | StepKind::Transform(_) | StepKind::Assert(_) | StepKind::Aggregate(_) => {}
            }
        }
    }

    fn actor(&mut self, index: ActorIdx, voices: &[Voice]) {
        let actor = self.plan.actor(index);
        let name = |field: &str| format!("actors.{}.{field}", actor.name);
        if let Some(Voice { place, model }) = voices.get(index.0) {
            self.text(&name("backend"), place);
            self.text(&name("model"), model);
        }
        match actor.system {
            Some(system) => self.template(&name("system"), system),
            None => self.add(&name("system"), |hasher| hasher),
        }
        let number = |number: Option<f64>| number.map_or_else(String::new, |number| number.to_string());
        let sampling = &actor.sampling;
        self.text(&name("temperature"), &number(sampling.temperature));
        self.text(&name("top_p"), &number(sampling.top_p));
        self.add(&name("max_tokens"), |hasher| hasher.number(sampling.max_tokens.map_or(0, u64::from)));
        self.add(&name("stop"), |hasher| hash::list(hasher, sampling.stop.iter().map(String::as_str)));
        // What is not used is no field, so that tasks of before keep their fingerprint.
        if let Some(reasoning) = sampling.reasoning {
            self.text(&name("reasoning"), &reasoning.word());
        }
        if !sampling.extra.is_empty() {
            self.add(&name("extra_body"), |hasher| hash::map(hasher, &sampling.extra));
        }
    }
}

fn identity(plan: &Plan, step: &Step, voices: &[Voice]) -> Identity {
    let mut fields = Fields { plan, found: Vec::new(), templates: Vec::new(), expressions: Vec::new() };
    let name = |index: ActorIdx| plan.actor(index).name.as_str();
    let actors: Vec<ActorIdx> = match &step.kind {
        StepKind::Chat(chat) => {
            fields.text("kind", "chat");
            fields.text("actor", name(chat.actor));
            fields.template("prompt", chat.prompt);
            if let Some((schema, repair)) = &chat.form {
                fields.add("schema", |hasher| hash::value(hasher, &schema.value()));
                fields.add("repair", |hasher| hasher.number(u64::from(*repair)));
            }
            fields.talks(chat);
            vec![chat.actor]
        }
        StepKind::Dialogue(dialogue) => {
            fields.text("kind", "dialogue");
            fields.add("actors", |hasher| hash::list(hasher, dialogue.actors.iter().map(|&index| name(index))));
            fields.template("opening", dialogue.opening);
            fields.add("stop", |hasher| hash::stop_of(hasher, plan, dialogue));
            fields.templates.extend(dialogue.judges.iter().map(|judge| judge.question));
            if dialogue.order != Order::RoundRobin {
                fields.add("order", |hasher| hash::order(hasher, dialogue.order));
            }
            if dialogue.history != History::All {
                fields.add("history", |hasher| hash::history(hasher, dialogue.history));
            }
            dialogue.asked().collect()
        }
        StepKind::Judge(judge) => {
            fields.text("kind", "judge");
            match judge.actors.as_slice() {
                [one] => fields.text("actor", name(*one)),
                panel => fields.add("panel", |hasher| hash::list(hasher, panel.iter().map(|&index| name(index)))),
            }
            fields.template("question", judge.question);
            fields.add(judge.wanted.word(), |hasher| hash::wanted(hasher, plan, judge));
            if let Wanted::Pairwise(contestants) | Wanted::Rank(contestants) = &judge.wanted {
                fields.templates.extend(contestants.iter().map(|one| one.text));
            }
            fields.text("vote", judge.rule.word());
            for (name, is_set) in [("swap", judge.swap), ("explain", judge.explain)] {
                fields.add(name, |hasher| hasher.number(u64::from(is_set)));
            }
            fields.add("repair", |hasher| hasher.number(u64::from(judge.repair)));
            fields.add("votes", |hasher| hasher.number(u64::from(judge.votes.get())));
            fields.add("blind", |hasher| {
                hash::list(hasher, judge.blind.iter().flatten().map(crate::base::ActorName::as_str))
            });
            judge.actors.clone()
        }
        StepKind::Transform(transform) => {
            fields.text("kind", "transform");
            fields.expression("expr", transform.expr);
            Vec::new()
        }
        StepKind::Assert(assert) => {
            fields.text("kind", "assert");
            fields.text("value", &hash::operand(plan, &assert.value));
            fields.text("check", &hash::check(plan, &assert.check));
            fields.operand(&assert.value);
            match &assert.check {
                Check::Equals(operand) | Check::Contains(operand) => fields.operand(operand),
                Check::Within { of, by } => [of, by].into_iter().for_each(|operand| fields.operand(operand)),
                Check::Expr(expression) => fields.expressions.push(*expression),
                Check::Matches(_) | Check::Schema(_) => {}
            }
            Vec::new()
        }
        StepKind::Aggregate(aggregate) => {
            fields.text("kind", "aggregate");
            fields.text("of", aggregate.of.name.as_str());
            fields.text("by", aggregate.by.word());
            let chat = aggregate.chat();
            if let Some(chat) = chat {
                fields.text("actor", name(chat.actor));
                fields.template("prompt", chat.prompt);
            }
            chat.map(|chat| chat.actor).into_iter().collect()
        }
    };
    for (name, value) in hash::course_of(plan, step) {
        fields.text(name, &value);
    }
    fields.expressions.extend(step.course.when);
    if let Some(ForEach::Found(expression)) = &step.course.for_each {
        fields.expressions.push(*expression);
    }
    for index in actors {
        fields.actor(index, voices);
    }
    fields.add("seed", |hasher| hasher.number(plan.seed));
    let columns = read_by_templates(&mut fields, voices);
    let Fields { found, .. } = fields;
    let hasher = found.iter().fold(Hasher::new("pipe step 1"), |hasher, (name, digest)| {
        hasher.field(name.as_bytes()).field(digest.as_bytes())
    });
    Identity { digest: hasher.finish(), fields: found, columns, reads: step.reads.clone() }
}

/// Adds what the templates read beside items and steps, and returns what they read of items.
fn read_by_templates(fields: &mut Fields<'_>, voices: &[Voice]) -> Columns {
    let plan = fields.plan;
    let mut columns = Columns::Some(BTreeSet::new());
    let templates = fields.templates.clone();
    let expressions = fields.expressions.clone();
    let read = templates.into_iter().flat_map(|id| plan.templates.references(id));
    for reference in read.chain(expressions.into_iter().flat_map(|id| plan.templates.expression_references(id))) {
        let path: Vec<&str> = reference.0.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["item"] => columns = Columns::All,
            ["item", column, ..] => {
                if let Columns::Some(columns) = &mut columns {
                    columns.insert((*column).to_owned());
                }
            }
            ["params"] => {
                fields
                    .add("params", |hasher| hasher.field(Value::Object(plan.params.clone()).to_string().as_bytes()));
            }
            ["params", name, ..] => {
                let text = plan.params.get(*name).map_or_else(String::new, Value::to_string);
                fields.text(&format!("params.{name}"), &text);
            }
            ["matrix"] => {
                let text = Value::Object(plan.matrix.clone()).to_string();
                fields.text("matrix", &text);
            }
            ["matrix", name, ..] => {
                let text = plan.matrix.get(*name).map_or_else(String::new, Value::to_string);
                fields.text(&format!("matrix.{name}"), &text);
            }
            ["run"] | ["run", "name", ..] => fields.text("name", &plan.name),
            ["actors", name, ..] => {
                let place = plan.actors.iter().position(|actor| actor.name.as_str() == *name);
                if let Some(voice) = place.and_then(|place| voices.get(place)) {
                    fields.text(&format!("actors.{name}.model"), &voice.model);
                }
            }
            // All of them: who is there and who answers for each.
            ["actors"] => {
                for (actor, voice) in plan.actors.iter().zip(voices) {
                    fields.text(&format!("actors.{}.model", actor.name), &voice.model);
                }
            }
            // `repeat` and the outputs read are part of every fingerprint, `turn` follows from the call.
            _ => {}
        }
    }
    columns
}
