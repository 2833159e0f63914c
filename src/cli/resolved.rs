//! A plan with everything filled in, as YAML: what `pipe plan --resolved` prints and a run's lock file holds.
//! Never: keys and other secrets; a backend that has a key says `api_key: set`.

use serde_json::{Map, Value, json};

use crate::base::Millis;
use crate::event::{BackendResolved, RunStarted, Shape};
use crate::judge::number;
use crate::plan::{
    Assert, BackendUrl, Chat, Check, Concurrency, Condition, Course, Dialogue, Evidence, FileItems, ForEach, Halt,
    History, Items, Limits, ModelChoice, OnError, Operand, Order, Plan, Step, StepKind, Stop, Telemetry, Wanted,
};
use crate::prompt::Reasoning;
use crate::spec::CacheUse;

/// Returns the plan as one tree; `found` is what backends stand for, as far as that is known.
pub(super) fn of(plan: &Plan, found: &[BackendResolved]) -> Value {
    let mut tree = Map::new();
    tree.insert("name".to_owned(), json!(plan.name));
    if let Some(description) = &plan.description {
        tree.insert("description".to_owned(), json!(description));
    }
    tree.insert("seed".to_owned(), json!(plan.seed));
    tree.insert("params".to_owned(), json!(plan.params));
    tree.insert("backends".to_owned(), backends(plan, found));
    tree.insert("actors".to_owned(), actors(plan));
    tree.insert("items".to_owned(), items(plan));
    if let Some(limit) = plan.limit {
        tree.insert("limit".to_owned(), json!(limit));
    }
    let repeat = match &plan.repeats {
        None => json!(plan.repeat),
        Some(enough) => json!({ "max": plan.repeat, "stop": self::enough(plan, enough, &enough.condition) }),
    };
    tree.insert("repeat".to_owned(), repeat);
    let of_cases = plan.steps.iter().map(|step| (step.name.to_string(), self::step(plan, step)));
    let over_all = plan.closing.iter().flat_map(|closing| closing.steps.iter().map(move |step| (closing, step)));
    let steps = of_cases.chain(over_all.map(|(closing, step)| (step.name.to_string(), self::step(closing, step))));
    tree.insert("steps".to_owned(), Value::Object(steps.collect()));
    if !plan.matrix.is_empty() {
        tree.insert("matrix".to_owned(), plan.all_cells().map(|(_, cell)| self::cell(plan, cell)).collect());
    }
    if let Some(halt) = &plan.halt {
        tree.insert("stop".to_owned(), self::halt(halt));
    }
    if let Some(evidence) = &plan.evidence {
        let enough = self::enough(plan, evidence, &evidence.condition);
        let halt = tree.remove("stop");
        let stop = halt.map_or_else(|| enough.clone(), |halt| json!({ "any": [halt, enough] }));
        tree.insert("stop".to_owned(), stop);
    }
    match plan.cache {
        CacheUse::Off => None,
        CacheUse::On => tree.insert("cache".to_owned(), json!(true)),
        CacheUse::Refresh => tree.insert("cache".to_owned(), json!("refresh")),
    };
    if plan.tolerated > 0.0 {
        tree.insert("tolerate".to_owned(), json!(plan.tolerated));
    }
    tree.insert("limits".to_owned(), bounds(&plan.limits));
    if plan.telemetry != Telemetry::default() {
        tree.insert("telemetry".to_owned(), telemetry(&plan.telemetry));
    }
    if let Some(results) = &plan.results {
        let columns = results.columns.iter().map(|(name, column)| (name.clone(), json!(column.0.join("."))));
        let columns: Map<String, Value> = columns.collect();
        tree.insert("results".to_owned(), json!({ "path": results.path, "columns": columns }));
    }
    Value::Object(tree)
}

/// Returns how a run is told.
fn telemetry(telemetry: &Telemetry) -> Value {
    let shape = match telemetry.shape {
        None => "auto",
        Some(Shape::Run) => "run",
        Some(Shape::Item) => "item",
    };
    let mut tree = json!({ "content": telemetry.content.word(), "shape": shape });
    if let Some(sample) = &telemetry.sample {
        let keep: Vec<&str> = sample.keep.iter().map(|keep| keep.word()).collect();
        tree["sample"] = json!({ "ratio": sample.ratio, "keep": keep });
    }
    tree
}

/// Returns the values of a cell, and those of its actors and steps that differ from the first cell's.
fn cell(plan: &Plan, cell: &Plan) -> Value {
    let mut tree = Map::new();
    tree.insert("values".to_owned(), json!(cell.matrix));
    let differing = |first: Value, own: Value| -> Map<String, Value> {
        let Value::Object(own) = own else { return Map::new() };
        own.into_iter().filter(|(name, value)| first.get(name) != Some(value)).collect()
    };
    let steps = |plan: &Plan| -> Value {
        Value::Object(plan.steps.iter().map(|step| (step.name.to_string(), self::step(plan, step))).collect())
    };
    for (name, differs) in
        [("actors", differing(actors(plan), actors(cell))), ("steps", differing(steps(plan), steps(cell)))]
    {
        if !differs.is_empty() {
            tree.insert(name.to_owned(), Value::Object(differs));
        }
    }
    Value::Object(tree)
}

/// Returns what a run was started with, everything decided.
pub(super) fn lock(plan: &Plan, started: &RunStarted) -> Value {
    json!({
        "pipe": started.version,
        "format": started.format,
        "plan": started.plan,
        "file": started.file,
        "overrides": started.overrides,
        "pipeline": of(plan, &started.backends),
    })
}

/// Writes a tree as YAML.
///
/// # Errors
/// None that is known: the tree has text keys and finite numbers only.
pub(super) fn yaml(tree: &Value) -> Result<String, serde_yaml::Error> {
    serde_yaml::to_string(tree)
}

fn backends(plan: &Plan, found: &[BackendResolved]) -> Value {
    let backend = |backend: &crate::plan::BackendPlan| {
        let url = match &backend.url {
            BackendUrl::Auto => "auto".to_owned(),
            BackendUrl::Embedded => "embedded".to_owned(),
            BackendUrl::Sim { speed: 0 } => "sim".to_owned(),
            BackendUrl::Sim { speed } => format!("sim:{speed}"),
            BackendUrl::Url(url) => without_user(url),
        };
        let mut fields = json!({ "base_url": url });
        if backend.api_key.is_some() {
            fields["api_key"] = json!("set");
        }
        if !backend.headers.is_empty() {
            let names = backend.headers.iter().map(|(name, _)| (name.clone(), json!("set")));
            fields["headers"] = Value::Object(names.collect());
        }
        fields["concurrency"] = match backend.concurrency {
            Concurrency::Auto => json!("auto"),
            Concurrency::Fixed(number) => json!(number),
        };
        if let Some(found) = found.iter().find(|found| found.backend == backend.name) {
            let models = found.models.iter().map(|(asked, sent)| (asked.to_string(), json!(sent)));
            fields["found"] = json!({
                "endpoint": found.endpoint,
                "server": found.server,
                "slots": found.slots,
                "models": models.collect::<Map<_, _>>(),
            });
        }
        (backend.name.to_string(), fields)
    };
    Value::Object(plan.backends.iter().map(backend).collect())
}

/// Takes a name and a password out of a URL.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let host = rest.find('/').unwrap_or(rest.len());
    match rest[..host].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

fn actors(plan: &Plan) -> Value {
    let actor = |actor: &crate::plan::Actor| {
        let mut fields = json!({ "backend": plan.backends[actor.backend.0].name });
        fields["model"] = match &actor.model {
            ModelChoice::Auto => json!("auto"),
            ModelChoice::Named(name) => json!(&**name),
        };
        if let Some(system) = actor.system {
            fields["system"] = json!(plan.templates.source(system));
        }
        if let Some(price) = actor.price {
            let rate = |rate: crate::base::MicroUsd| json!(format!("{} USD/M", rate.dollars()));
            fields["price"] = json!({ "input": rate(price.input), "output": rate(price.output) });
            if let Some(cached) = price.cached {
                fields["price"]["cached"] = rate(cached);
            }
        }
        let sampling = &actor.sampling;
        let set = [
            ("temperature", sampling.temperature.map(|number| json!(number))),
            ("top_p", sampling.top_p.map(|number| json!(number))),
            ("max_tokens", sampling.max_tokens.map(|number| json!(number))),
            ("stop", (!sampling.stop.is_empty()).then(|| json!(sampling.stop))),
            ("reasoning", sampling.reasoning.map(reasoning)),
            ("extra_body", (!sampling.extra.is_empty()).then(|| json!(*sampling.extra))),
        ];
        for (name, value) in set {
            if let Some(value) = value {
                fields[name] = value;
            }
        }
        (actor.name.to_string(), fields)
    };
    Value::Object(plan.actors.iter().map(actor).collect())
}

fn reasoning(reasoning: Reasoning) -> Value {
    match reasoning {
        Reasoning::Budget(tokens) => json!({ "budget": tokens }),
        word => json!(word.word()),
    }
}

fn items(plan: &Plan) -> Value {
    let (mut fields, id) = match &plan.items {
        Items::One => return json!("one empty item"),
        Items::Inline { rows, id } => (json!({ "values": rows }), id),
        Items::Files(files) => (self::files(files), &files.id),
    };
    if let Some(id) = id {
        fields["id"] = json!(id);
    }
    let pick = &plan.pick;
    let set = [
        ("where", pick.filter.map(|filter| json!(plan.templates.expression(filter)))),
        ("sample", pick.sample.map(|sample| json!({ "n": sample.n, "seed": sample.seed }))),
        ("shuffle", pick.shuffle.map(|seed| json!({ "seed": seed }))),
        ("limit", pick.limit.map(|limit| json!(limit))),
    ];
    for (name, value) in set {
        if let Some(value) = value {
            fields[name] = value;
        }
    }
    fields
}

fn files(files: &FileItems) -> Value {
    let mut fields = match files.paths.as_slice() {
        [only] => json!({ "path": only.path, "format": only.format.word() }),
        [] => json!({ "path": files.written }),
        many => json!({ "path": files.written, "files": many.iter().map(|file| &file.path).collect::<Vec<_>>() }),
    };
    if let Some(format) = files.format {
        fields["format"] = json!(format.word());
    }
    if let Some(delimiter) = files.delimiter {
        fields["delimiter"] = json!(char::from(delimiter).to_string());
    }
    if !files.types.is_empty() {
        let types = files.types.iter().map(|(column, kind)| (column.clone(), json!(kind.word())));
        fields["types"] = Value::Object(types.collect());
    }
    fields
}

fn step(plan: &Plan, step: &Step) -> Value {
    let source = |id| json!(plan.templates.source(id));
    let name = |index| json!(plan.actor(index).name);
    let kind = match &step.kind {
        StepKind::Chat(chat) => {
            let mut fields = json!({ "actor": name(chat.actor), "prompt": source(chat.prompt) });
            if !chat.history.is_empty() {
                fields["history"] = chat.history.iter().map(|&earlier| json!(plan.step(earlier).name)).collect();
            }
            fields
        }
        StepKind::Dialogue(dialogue) => {
            let mut fields = json!({
                "actors": dialogue.actors.iter().map(|&index| name(index)).collect::<Vec<_>>(),
                "opening": source(dialogue.opening),
                "stop": stop(plan, dialogue, &dialogue.stop),
            });
            match dialogue.order {
                Order::RoundRobin => {}
                Order::Random => fields["order"] = json!("random"),
                Order::Rotate => fields["order"] = json!({ "opens": "rotate" }),
            }
            match dialogue.history {
                History::All => {}
                History::Last(turns) => fields["history"] = json!({ "last": turns }),
                History::Tokens(tokens) => fields["history"] = json!({ "tokens": tokens }),
            }
            fields
        }
        StepKind::Judge(judge) => {
            let asked = match judge.actors.as_slice() {
                [one] => ("actor", name(*one)),
                panel => ("panel", panel.iter().map(|&index| name(index)).collect()),
            };
            let mut fields = json!({
                asked.0: asked.1,
                "question": source(judge.question),
                judge.wanted.word(): wanted(plan, &judge.wanted),
                "votes": judge.votes,
                "vote": judge.rule.word(),
                "swap": judge.swap,
                "explain": judge.explain,
            });
            if let Some(blind) = &judge.blind {
                fields["blind"] = json!(blind);
            }
            fields
        }
        StepKind::Transform(transform) => json!({ "expr": plan.templates.expression(transform.expr) }),
        StepKind::Assert(assert) => claim(plan, assert),
        StepKind::Aggregate(aggregate) => {
            let mut fields = json!({ "of": aggregate.of.name, "by": aggregate.by.word() });
            if let Some(chat) = aggregate.chat() {
                fields["actor"] = json!(plan.actor(chat.actor).name);
                fields["prompt"] = json!(source(chat.prompt));
            }
            fields
        }
    };
    let mut fields = json!({ step.kind.word(): kind });
    let Course { when, for_each, on_error, limits } = &step.course;
    if let Some(when) = when {
        fields["when"] = json!(plan.templates.expression(*when));
    }
    if let Some(own) = limits {
        fields["limits"] = bounds(own);
    }
    match for_each {
        None => {}
        Some(ForEach::Given(list)) => fields["for_each"] = json!(list),
        Some(ForEach::Found(expression)) => fields["for_each"] = json!(plan.templates.expression(*expression)),
    }
    match on_error {
        OnError::Fail => {}
        OnError::Skip => fields["on_error"] = json!("skip"),
        OnError::Default { value, .. } => fields["on_error"] = json!({ "default": value }),
    }
    match &step.kind {
        StepKind::Chat(Chat { form: Some((schema, repair)), .. }) => {
            fields["schema"] = (*schema.value()).clone();
            fields["repair"] = json!(repair);
        }
        StepKind::Judge(judge) => fields["repair"] = json!(judge.repair),
        StepKind::Dialogue(dialogue) if let Some(judge) = dialogue.judges.first() => {
            fields["repair"] = json!(judge.repair);
        }
        StepKind::Chat(_)
        | StepKind::Dialogue(_)
        | StepKind::Transform(_)
        | StepKind::Assert(_)
        | StepKind::Aggregate(_) => {}
    }
    if !step.after.is_empty() {
        fields["after"] = step.after.iter().map(|&before| json!(plan.step(before).name)).collect();
    }
    fields
}

fn wanted(plan: &Plan, wanted: &Wanted) -> Value {
    match wanted {
        Wanted::Choose(options) => json!(options),
        Wanted::Score(scale) => {
            let (min, max, step) = scale.bounds();
            let levels = scale.levels().iter().map(|(score, name)| (score.to_string(), json!(name)));
            let levels: Map<String, Value> = levels.collect();
            json!({ "min": number(min), "max": number(max), "step": number(step), "levels": levels })
        }
        Wanted::Pairwise(contestants) | Wanted::Rank(contestants) => {
            let texts = contestants.iter().map(|one| (one.name.clone(), json!(plan.templates.source(one.text))));
            Value::Object(texts.collect())
        }
        Wanted::Schema(schema) => (*schema.value()).clone(),
    }
}

fn claim(plan: &Plan, assert: &Assert) -> Value {
    let operand = |operand: &Operand| match operand {
        Operand::Literal(value) => value.clone(),
        Operand::Text(id) => json!(plan.templates.source(*id)),
        Operand::Expression(id) => json!(format!("{{{{ {} }}}}", plan.templates.expression(*id).trim())),
    };
    let mut fields = json!({ "value": operand(&assert.value) });
    match &assert.check {
        Check::Equals(wanted) => fields["equals"] = operand(wanted),
        Check::Contains(wanted) => fields["contains"] = operand(wanted),
        Check::Matches(regex) => fields["matches"] = json!(regex.as_str()),
        Check::Within { of, by } => fields["within"] = json!({ "of": operand(of), "by": operand(by) }),
        Check::Schema(schema) => fields["schema"] = (*schema.value()).clone(),
        Check::Expr(id) => fields["expr"] = json!(plan.templates.expression(*id)),
    }
    fields
}

fn stop(plan: &Plan, dialogue: &Dialogue, condition: &Stop) -> Value {
    let each = |stops: &[Stop]| stops.iter().map(|one| stop(plan, dialogue, one)).collect::<Vec<_>>();
    match condition {
        Stop::Any(stops) => json!({ "any": each(stops) }),
        Stop::All(stops) => json!({ "all": each(stops) }),
        Stop::Not(inner) => json!({ "not": stop(plan, dialogue, inner) }),
        Stop::Rounds(count) => json!({ "rounds": count }),
        Stop::Turns(count) => json!({ "turns": count }),
        Stop::Says(pattern) => {
            let pattern = &dialogue.patterns[*pattern];
            let mut fields = json!({ "pattern": pattern.regex.as_str() });
            if let Some(actor) = pattern.actor {
                fields["actor"] = json!(plan.actor(actor).name);
            }
            json!({ "says": fields })
        }
        Stop::Agree(capture) => json!({ "agree": pattern_of(dialogue, *capture) }),
        Stop::Unchanged { capture, window } => {
            let mut fields = pattern_of(dialogue, *capture);
            fields["window"] = json!(window);
            json!({ "unchanged": fields })
        }
        Stop::Looping(likeness) => {
            let likeness = dialogue.likenesses[*likeness];
            json!({ "looping": { "similarity": likeness.similarity, "window": likeness.window } })
        }
        Stop::JudgeSays(judge) => {
            let judge = &dialogue.judges[*judge];
            json!({ "judge_says": {
                "actor": plan.actor(judge.actor).name,
                "question": plan.templates.source(judge.question),
                "choose": judge.choose,
                "on": judge.on,
            } })
        }
        Stop::Budget(tokens) => json!({ "budget": { "tokens": tokens } }),
    }
}

fn pattern_of(dialogue: &Dialogue, capture: usize) -> Value {
    match &dialogue.captures[capture] {
        Some(pattern) => json!({ "pattern": pattern.as_str() }),
        None => json!({}),
    }
}

fn halt(halt: &Halt) -> Value {
    match halt {
        Halt::Any(halts) => json!({ "any": halts.iter().map(self::halt).collect::<Vec<_>>() }),
        Halt::All(halts) => json!({ "all": halts.iter().map(self::halt).collect::<Vec<_>>() }),
        Halt::Not(inner) => json!({ "not": self::halt(inner) }),
        Halt::Cost(cost) => json!({ "budget": { "cost": cost.to_string() } }),
        Halt::Tokens(tokens) => json!({ "budget": { "tokens": tokens } }),
        Halt::Time(time) => json!({ "budget": { "time": length(*time) } }),
        Halt::Failed(count) => json!({ "errors": { "count": count } }),
        Halt::FailedShare { fraction, after } => json!({ "errors": { "fraction": fraction, "after": after } }),
    }
}

fn enough(plan: &Plan, evidence: &Evidence, condition: &Condition) -> Value {
    let of = |place: &usize| plan.templates.expression(evidence.observed[*place].expr);
    let each = |conditions: &[Condition]| -> Value {
        conditions.iter().map(|inner| enough(plan, evidence, inner)).collect()
    };
    match condition {
        Condition::Any(conditions) => json!({ "any": each(conditions) }),
        Condition::All(conditions) => json!({ "all": each(conditions) }),
        Condition::Not(condition) => json!({ "not": enough(plan, evidence, condition) }),
        Condition::Holds(place) => json!({ "expr": of(place) }),
        Condition::Decided(place) => json!({ "decided": { "of": of(place) } }),
    }
}

fn length(Millis(millis): Millis) -> String {
    if millis.is_multiple_of(1_000) { format!("{}s", millis / 1_000) } else { format!("{millis}ms") }
}

fn bounds(limits: &Limits) -> Value {
    let times = limits.timeouts;
    json!({
        "timeouts": {
            "connect": length(times.connect),
            "first_token": length(times.first_token),
            "idle": length(times.idle),
            "total": length(times.total),
        },
        "retries": {
            "attempts": limits.attempts,
            "within": length(limits.within),
            "backoff": format!("{}..{}", length(limits.backoff.0), length(limits.backoff.1)),
        },
    })
}
