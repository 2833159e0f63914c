//! The pipeline that the world runs: every kind of step, over two backends.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::base::{ActorName, BackendName, Digest, Millis, StepName};
use crate::judge::{AnswerSchema, Rule, Scale};
use crate::plan::{
    Actor, ActorIdx, Aggregate, BackendIdx, BackendPlan, BackendUrl, By, CellIdx, Chat, Concurrency, Course,
    Dialogue, Evidence, ForEach, History, Items, Judge, Limits, ModelChoice, OnError, Order, Pattern, Plan,
    RoundJudge, Sampling, Step as PlanStep, StepIdx, StepKind, Stop, Telemetry, Transform, Wanted,
};
use crate::prompt::{ExpressionId, TemplateId, Templates};

/// Two cells of a matrix: in the second one the actors ask the other backend, and talk one round less.
pub(super) fn plan() -> Arc<Plan> {
    plan_with(&|_| None)
}

/// The same with a condition on evidence, made of an expression.
pub(super) fn plan_with(evidence: &dyn Fn(ExpressionId) -> Option<Evidence>) -> Arc<Plan> {
    let [first, other] = [cell("a", [0, 1, 1], 3), cell("b", [1, 0, 0], 2)].map(|(cell, seen)| {
        let evidence = evidence(seen);
        // Nothing is made of all cases where some may not count.
        let closing = cell.closing.filter(|_| evidence.is_none());
        Plan { evidence, closing, ..cell }
    });
    let others = vec![Arc::new(other)];
    let cells = crate::plan::Cells::of(&first.matrix, others);
    Arc::new(Plan { cells, ..first })
}

/// Changes each cell of a plan in the same way.
pub(super) fn each_cell(plan: Plan, change: impl Fn(Plan) -> Plan) -> Plan {
    let Plan { cells, .. } = plan;
    let others: Vec<Arc<Plan>> = cells
        .into_others()
        .into_iter()
        .map(|other| Arc::new(change(Arc::into_inner(other).expect("nobody else holds it"))))
        .collect();
    let plan = change(Plan { cells: crate::plan::Cells::default(), ..plan });
    let cells = crate::plan::Cells::of(&plan.matrix, others);
    Plan { cells, ..plan }
}

/// Returns the cell of a case of the world: every second one is of the second.
pub(super) const fn cell_of(case: u64) -> CellIdx {
    CellIdx(if case % 2 == 1 { 1 } else { 0 })
}

/// Every kind of step, over two backends.
fn cell(name: &str, backends: [usize; 3], rounds: u32) -> (Plan, ExpressionId) {
    let mut templates = Templates::default();
    let any = templates.add("x").expect("compiles");
    let number = |n| NonZeroU32::new(n).expect("not 0");
    let step = |name: &str, after: Vec<StepIdx>, kind| PlanStep {
        name: StepName::from(name),
        reads: after.clone(),
        after,
        course: Course::default(),
        kind,
    };
    let form = AnswerSchema::new(serde_json::json!({ "type": "object" })).expect("a schema");
    let expression = templates.add_expression("true").expect("compiles");
    let chat = |actor| StepKind::Chat(Chat { actor: ActorIdx(actor), prompt: any, form: None, history: Vec::new() });
    let parts = Course { for_each: Some(ForEach::Found(expression)), ..Course::default() };
    let maybe = Course { when: Some(expression), on_error: OnError::Skip, ..Course::default() };
    let steps = vec![
        step(
            "brief",
            vec![],
            StepKind::Chat(Chat { actor: ActorIdx(0), prompt: any, form: None, history: Vec::new() }),
        ),
        step(
            "aside",
            vec![],
            StepKind::Chat(Chat { actor: ActorIdx(2), prompt: any, form: Some((form, 2)), history: Vec::new() }),
        ),
        step("debate", vec![StepIdx(0)], StepKind::Dialogue(debate(any, rounds))),
        step(
            "verdict",
            vec![StepIdx(2)],
            StepKind::Judge(Judge {
                actors: vec![ActorIdx(2)],
                question: any,
                wanted: Wanted::Choose(["pro", "con"].map(str::to_owned).to_vec()),
                votes: number(3),
                rule: Rule::Majority,
                blind: Some([ActorName::from("pro"), ActorName::from("con")]),
                swap: false,
                explain: false,
                repair: 0,
            }),
        ),
        step(
            "grade",
            vec![StepIdx(0)],
            StepKind::Judge(Judge {
                actors: vec![ActorIdx(0), ActorIdx(2)],
                question: any,
                wanted: Wanted::Score(Scale::new(1.0, 5.0, 1.0).expect("a scale")),
                votes: number(2),
                rule: Rule::Mean,
                blind: None,
                swap: false,
                explain: true,
                repair: 1,
            }),
        ),
        PlanStep { course: parts, ..step("parts", vec![StepIdx(0)], chat(1)) },
        step("sum", vec![StepIdx(5)], StepKind::Transform(Transform { expr: expression })),
        PlanStep { course: maybe, ..step("maybe", vec![StepIdx(6)], chat(0)) },
        step("end", vec![StepIdx(7)], chat(2)),
    ];
    let gathers = |of: &PlanStep| StepKind::Aggregate(Aggregate { of: Arc::new(of.clone()), by: By::Table });
    let asks = |of: &PlanStep| {
        let chat = Chat { actor: ActorIdx(1), prompt: any, form: None, history: Vec::new() };
        StepKind::Aggregate(Aggregate { of: Arc::new(of.clone()), by: By::Chat(chat) })
    };
    let over_all = vec![
        step("count", vec![], gathers(&steps[3])),
        step("marks", vec![], gathers(&steps[4])),
        step("after", vec![StepIdx(0)], gathers(&steps[6])),
        step("asked", vec![StepIdx(0), StepIdx(2)], asks(&steps[0])),
        step("last", vec![StepIdx(3)], gathers(&steps[3])),
    ];
    let seen = templates.add_expression("seen").expect("compiles");
    let templates = Arc::new(templates);
    let closing = plan_of(name, backends, over_all, Arc::clone(&templates));
    (Plan { closing: Some(Box::new(closing)), ..plan_of(name, backends, steps, templates) }, seen)
}

fn plan_of(name: &str, [pro, con, referee]: [usize; 3], steps: Vec<PlanStep>, templates: Arc<Templates>) -> Plan {
    Plan {
        name: "t".to_owned(),
        description: None,
        hash: Digest::of(b"t"),
        seed: 0,
        params: serde_json::Map::new(),
        backends: vec![backend("one"), backend("two")],
        actors: vec![actor("pro", pro), actor("con", con), actor("referee", referee)],
        steps,
        items: Items::One,
        pick: crate::plan::Pick::default(),
        columns: std::collections::BTreeMap::new(),
        limit: None,
        repeat: NonZeroU32::MIN,
        limits: Limits {
            timeouts: crate::plan::Timeouts { total: Millis::seconds(60), ..crate::plan::Timeouts::default() },
            ..Limits::default()
        },
        halt: None,
        evidence: None,
        repeats: None,
        tolerated: 0.0,
        cache: crate::spec::CacheUse::Off,
        results: None,
        telemetry: Telemetry::default(),
        matrix: std::iter::once(("cell".to_owned(), name.into())).collect(),
        cells: crate::plan::Cells::default(),
        closing: None,
        templates,
    }
}

fn actor(name: &str, backend: usize) -> Actor {
    Actor {
        name: ActorName::from(name),
        backend: BackendIdx(backend),
        model: ModelChoice::Auto,
        system: None,
        price: None,
        sampling: Sampling::default(),
    }
}

fn backend(name: &str) -> BackendPlan {
    BackendPlan {
        headers: Vec::new(),
        name: BackendName::from(name),
        url: BackendUrl::Sim { speed: 0 },
        api_key: None,
        concurrency: Concurrency::Auto,
    }
}

/// A dialogue whose end depends on everything that a dialogue's end may depend on.
fn debate(any: TemplateId, rounds: u32) -> Dialogue {
    let number = |n| NonZeroU32::new(n).expect("not 0");
    let regex = regex::Regex::new("x").expect("valid");
    Dialogue {
        actors: vec![ActorIdx(0), ActorIdx(1)],
        opening: any,
        stop: Stop::Any(vec![
            Stop::Rounds(number(rounds)),
            Stop::Says(0),
            Stop::JudgeSays(0),
            Stop::Agree(0),
            Stop::Budget(40),
        ]),
        order: Order::Random,
        history: History::Last(number(2)),
        patterns: vec![Pattern { actor: None, regex }],
        captures: vec![None],
        likenesses: Vec::new(),
        judges: vec![RoundJudge {
            actor: ActorIdx(2),
            question: any,
            choose: ["over", "open"].map(str::to_owned).to_vec(),
            on: "over".to_owned(),
            repair: 1,
        }],
    }
}
