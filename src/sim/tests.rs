use std::num::NonZeroU32;
use std::sync::Arc;

use super::*;
use crate::base::{ActorName, BackendName, CaseNo, Digest, ItemId, StepName};
use crate::event::Event;
use crate::journal::{EventLog, EventSeq, Memory};
use crate::judge::Rule;
use crate::plan::{
    Actor, ActorIdx, Aggregate, BackendIdx, BackendPlan, BackendUrl, By, Chat, Concurrency, Course, Dialogue,
    History, Items, Judge, Limits, ModelChoice, Order, Plan, RoundJudge, Sampling, Step, StepIdx, StepKind, Stop,
    Telemetry, Wanted,
};
use crate::prompt::Templates;

/// A debate of two rounds and a blind judge: six calls a case.
fn debate() -> Arc<Plan> {
    let mut templates = Templates::default();
    let opening = templates.add("Motion {{ item.n }}").expect("compiles");
    let question = templates.add("Who won?\n{{ steps.debate.transcript }}").expect("compiles");
    let actor = |name: &str| Actor {
        name: ActorName::from(name),
        backend: BackendIdx(0),
        model: ModelChoice::Auto,
        system: None,
        price: None,
        sampling: Sampling { max_tokens: Some(30), ..Sampling::default() },
    };
    let two = NonZeroU32::new(2).expect("not 0");
    let actors = vec![ActorIdx(0), ActorIdx(1)];
    let dialogue = Dialogue {
        actors,
        opening,
        stop: Stop::Rounds(two),
        patterns: vec![],
        order: Order::RoundRobin,
        history: History::All,
        captures: vec![],
        likenesses: vec![],
        judges: vec![],
    };
    let judge = Judge {
        actors: vec![ActorIdx(2)],
        question,
        wanted: Wanted::Choose(["pro", "con", "tie"].map(str::to_owned).to_vec()),
        votes: NonZeroU32::MIN,
        rule: Rule::Majority,
        swap: false,
        explain: false,
        repair: 1,
        blind: Some([ActorName::from("pro"), ActorName::from("con")]),
    };
    let verdict = Step {
        name: StepName::from("verdict"),
        after: vec![StepIdx(0)],
        reads: vec![StepIdx(0)],
        course: Course::default(),
        kind: StepKind::Judge(judge),
    };
    let debate = Step {
        name: StepName::from("debate"),
        after: vec![],
        reads: vec![],
        course: Course::default(),
        kind: StepKind::Dialogue(dialogue),
    };
    let count = Step {
        name: StepName::from("count"),
        after: vec![],
        reads: vec![],
        course: Course::default(),
        kind: StepKind::Aggregate(Aggregate { of: Arc::new(verdict.clone()), by: By::Table }),
    };
    let actors = vec![actor("pro"), actor("con"), actor("referee")];
    let templates = Arc::new(templates);
    let closing = plan_of(vec![count], actors.clone(), Arc::clone(&templates));
    let plan = plan_of(vec![debate, verdict], actors, templates);
    Arc::new(Plan { closing: Some(Box::new(closing)), ..plan })
}

fn plan_of(steps: Vec<Step>, actors: Vec<Actor>, templates: Arc<Templates>) -> Plan {
    Plan {
        name: "debate".to_owned(),
        description: None,
        hash: Digest::of(b"debate"),
        seed: 0,
        params: serde_json::Map::new(),
        backends: vec![BackendPlan {
            headers: Vec::new(),
            name: BackendName::from("sim"),
            url: BackendUrl::Sim { speed: 0 },
            api_key: None,
            concurrency: Concurrency::Auto,
        }],
        actors,
        steps,
        items: Items::One,
        pick: crate::plan::Pick::default(),
        columns: std::collections::BTreeMap::new(),
        limit: None,
        repeat: NonZeroU32::MIN,
        limits: Limits::default(),
        halt: None,
        evidence: None,
        repeats: None,
        tolerated: 0.0,
        cache: crate::spec::CacheUse::Off,
        results: None,
        telemetry: Telemetry::default(),
        templates,
        matrix: serde_json::Map::new(),
        cells: crate::plan::Cells::default(),
        closing: None,
    }
}

/// The debate, with the referee asked after each round whether it is over.
fn asked_debate() -> Arc<Plan> {
    let mut plan = Arc::into_inner(debate()).expect("nobody else has it");
    plan.closing = None;
    let templates = Arc::get_mut(&mut plan.templates).expect("nobody else has them");
    let all =
        "{{ count }} of {{ steps.count.table.n }}{% for row in rows %}\n{{ row.item }} {{ row.last }}{% endfor %}";
    let prompt = templates.add(all).expect("compiles");
    let question = templates.add("Is it over?\n{{ transcript }}").expect("compiles");
    let StepKind::Dialogue(dialogue) = &mut plan.steps[0].kind else { panic!("a dialogue") };
    let choose = ["over", "open"].map(str::to_owned).to_vec();
    dialogue.judges = vec![RoundJudge { actor: ActorIdx(2), question, choose, on: "over".to_owned(), repair: 1 }];
    dialogue.stop = Stop::Any(vec![Stop::JudgeSays(0), dialogue.stop.clone()]);
    let count = Aggregate { of: Arc::new(plan.steps[1].clone()), by: By::Table };
    let asked = Chat { actor: ActorIdx(2), prompt, form: None, history: Vec::new() };
    let summary = Aggregate { of: Arc::new(plan.steps[0].clone()), by: By::Chat(asked) };
    let step = |name: &str, before: Vec<StepIdx>, aggregate| Step {
        name: StepName::from(name),
        after: before.clone(),
        reads: before,
        course: Course::default(),
        kind: StepKind::Aggregate(aggregate),
    };
    let over_all = vec![step("count", vec![], count), step("summary", vec![StepIdx(0)], summary)];
    let closing = plan_of(over_all, plan.actors.clone(), Arc::clone(&plan.templates));
    plan.closing = Some(Box::new(closing));
    Arc::new(plan)
}

fn rows(cases: u64) -> impl Fn() -> Box<dyn Iterator<Item = (ItemId, crate::plan::CellIdx, u32, Arc<str>)>> {
    move || {
        let row =
            |n: u64| (ItemId::from(n.to_string()), crate::plan::CellIdx(0), 1, Arc::from(format!("{{\"n\":{n}}}")));
        Box::new((0..cases).map(row))
    }
}

/// Outputs of every task, by case and step, without costs and times.
fn table(log: &Memory) -> Vec<String> {
    let mut table = Vec::new();
    log.events_after(EventSeq::default(), &mut |_, recorded| {
        if let Event::TaskSettled(task) = recorded.event {
            table.push((task.case, format!("{} {:?} {:?}", task.step, task.status, task.output)));
        }
        Ok(())
    })
    .expect("memory reads");
    table.sort();
    table.into_iter().map(|(CaseNo(case), line)| format!("{case} {line}")).collect()
}

fn run(plan: &Arc<Plan>, cases: u64, faults: Faults) -> (Simulated, Memory) {
    let mut log = Memory::new();
    let simulated = simulate(plan, &[8], faults, &rows(cases), &mut log).expect("the run ends");
    assert_eq!(simulated.cases.settled(), cases);
    (simulated, log)
}

#[test]
fn ten_thousand_cases_take_seconds_of_real_time() {
    let (simulated, log) = run(&debate(), 10_000, Faults::default());
    assert_eq!(simulated.requests, 60_000, "four turns and a judge asked both ways");
    assert_eq!(simulated.cases.failed, 0);
    let count = table(&log).into_iter().find(|line| line.contains(" count Ok")).expect("done once, over all cases");
    assert!(count.starts_with("10000 ") && count.contains("n: 10000"), "{count}");
    assert!(simulated.makespan.0 > 1_800_000, "most of an hour of virtual time: {} ms", simulated.makespan.0);
}

#[test]
fn a_thousand_worlds_with_faults_and_deaths_give_one_table() {
    let plan = asked_debate();
    let (_, calm) = run(&plan, 6, Faults::default());
    let expected = table(&calm);
    let asked = expected.iter().find(|line| line.starts_with("6 summary Ok")).expect("asked once, about all cases");
    assert!(asked.contains("Chat"), "{asked}");
    let endings = ["judge_says", "rounds"].map(|word| expected.iter().filter(|line| line.contains(word)).count());
    assert!(endings[0] > 0 && endings.iter().sum::<usize>() == 6, "{endings:?}");
    let (mut requests, mut deaths) = (0, 0);
    for seed in 0..1_000 {
        let faults = Faults { seed, failing_per_mille: 200, dies_every: 7 + seed % 23 };
        let (simulated, log) = run(&plan, 6, faults);
        assert_eq!(table(&log), expected, "seed {seed}");
        requests += simulated.requests;
        deaths += simulated.deaths;
    }
    assert!(deaths > 1_000 && requests > 1_000 * 30, "{deaths} deaths, {requests} requests: an empty campaign");
}

#[test]
fn more_slots_take_less_virtual_time() {
    let makespan = |slots| {
        let mut log = Memory::new();
        simulate(&debate(), &[slots], Faults::default(), &rows(40), &mut log).expect("the run ends").makespan
    };
    let (one, eight) = (makespan(1), makespan(8));
    assert!(eight.0 * 6 < one.0, "{} ms with one slot, {} ms with eight", one.0, eight.0);
}
