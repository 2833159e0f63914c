//! Runs made by hand: events with the texts that they refer to.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{
    ActorName, AttemptNo, CallPath, CaseNo, Digest, Millis, ModelName, StepName, Timestamp, TokenCount,
};
use crate::event::{
    Answer, AttemptEnded, AttemptId, AttemptStarted, BackendResolved, CaseAdmitted, CaseCounts, CaseSettled,
    CaseStatus, Event, Facts, Failure, FailureKind, FinishReason, FromCache, Judgement, Message, Outcome, Recorded,
    RunEnded, RunOutcome, RunStarted, SourceEnded, TaskAdopted, TaskOutput, TaskSettled, TaskStatus, Timings, Turn,
    Unscored, Usage, Verdict, Vote,
};

/// A log under construction; every event is half a second after the one before.
#[derive(Default)]
pub(crate) struct Story {
    pub(crate) log: Vec<Recorded>,
    pub(crate) texts: BTreeMap<Digest, Arc<str>>,
    now: Timestamp,
    cases: CaseCounts,
}

impl Story {
    pub(crate) fn begin(name: &str) -> Self {
        let mut story = Self { now: Timestamp(1_760_000_000_000_000), ..Self::default() };
        let source = story.keep(&format!(
            "version: 1\nname: {name}\nsteps:\n  debate:\n    dialogue: {{}}\n  verdict:\n    judge: {{}}\n"
        ));
        story.add(Event::RunStarted(RunStarted {
            cases: None,
            format: crate::event::FORMAT,
            name: name.to_owned(),
            plan: Digest::of(name.as_bytes()),
            source,
            files: BTreeMap::new(),
            file: format!("pipelines/{name}.yaml"),
            overrides: serde_json::json!({}),
            seed: 0,
            version: "0.1.0".to_owned(),
            backends: vec![Self::backend()],
            prices: BTreeMap::new(),
            cell_prices: Vec::new(),
            traced: None,
            provenance: None,
            gpu: None,
        }));
        story
    }

    pub(crate) fn backend() -> BackendResolved {
        BackendResolved {
            backend: "auto".into(),
            endpoint: "http://127.0.0.1:8080".to_owned(),
            server: "llama.cpp".to_owned(),
            slots: 4,
            models: vec![(ModelName::from("auto"), ModelName::from("qwen2.5-0.5b"))],
            memory: Vec::new(),
            version: None,
            digests: Vec::new(),
            lacks: crate::event::Features::NONE,
            models_lack: Vec::new(),
        }
    }

    pub(crate) fn keep(&mut self, text: &str) -> Digest {
        let digest = Digest::of(text.as_bytes());
        self.texts.insert(digest, text.into());
        digest
    }

    pub(crate) fn add(&mut self, event: Event) {
        self.log.push(Recorded { at: self.now, event });
        self.now = self.now.after(Millis(500));
    }

    pub(crate) fn wait(&mut self, wait: Millis) {
        self.now = self.now.after(wait);
    }

    pub(crate) fn look_up(&self) -> impl Fn(&Digest) -> Option<Arc<str>> + '_ {
        |digest| self.texts.get(digest).cloned()
    }

    pub(crate) fn admit(&mut self, case: u64, item: &str, row: &serde_json::Value) {
        let row = self.keep(&row.to_string());
        self.cases.admitted += 1;
        self.add(Event::CaseAdmitted(CaseAdmitted {
            case: CaseNo(case),
            item: item.into(),
            repeat: 1,
            matrix: serde_json::Map::new(),
            row,
        }));
    }

    pub(crate) fn start(&mut self, case: u64, step: &str, call: &str, attempt: u32, actor: &str) -> AttemptId {
        let id = AttemptId {
            case: CaseNo(case),
            step: step.into(),
            each: None,
            call: CallPath::from(call),
            attempt: AttemptNo(attempt),
        };
        self.add(Event::AttemptStarted(AttemptStarted {
            id: id.clone(),
            actor: ActorName::from(actor),
            backend: "auto".into(),
        }));
        id
    }

    pub(crate) fn answer(&mut self, id: &AttemptId, text: &str, finish: FinishReason) -> Digest {
        let digest = self.keep(text);
        let said = self.keep("go on");
        self.add(Event::AttemptEnded(AttemptEnded {
            estimated: Usage::default(),
            id: id.clone(),
            request: vec![Message("user".into(), said)],
            outcome: Outcome::Answered(Answer {
                prompt_about: None,
                reason: None,
                thought: None,
                text: digest,
                finish,
                model: None,
                id: None,
                facts: Facts::default(),
            }),
            usage: usage(20, 10),
            timings: Timings { queued_us: 100, first_token_us: Some(90_000), total_us: 450_000, claimed: None },
            charged: true,
            retry_at: None,
            from_cache: None,
        }));
        digest
    }

    pub(crate) fn fail(&mut self, id: &AttemptId, kind: FailureKind, detail: &str) {
        self.add(Event::AttemptEnded(AttemptEnded {
            estimated: Usage::default(),
            id: id.clone(),
            request: Vec::new(),
            outcome: Outcome::Failed(Failure::new(kind, detail)),
            usage: Usage::default(),
            timings: Timings::default(),
            charged: true,
            retry_at: None,
            from_cache: None,
        }));
    }

    pub(crate) fn fail_again(&mut self, id: &AttemptId, kind: FailureKind, detail: &str) {
        self.fail(id, kind, detail);
        if let Some(Recorded { event: Event::AttemptEnded(ended), at }) = self.log.last_mut() {
            ended.retry_at = Some(*at);
        }
    }

    pub(crate) fn settle(&mut self, case: u64, step: &str, status: TaskStatus, output: Option<TaskOutput>) {
        let failure = (status == TaskStatus::Failed).then(|| Failure::new(FailureKind::Refused, "HTTP 400: no"));
        self.add(Event::TaskSettled(TaskSettled {
            case: CaseNo(case),
            step: StepName::from(step),
            status,
            because: None,
            output,
            failure,
            usage: if status == TaskStatus::Skipped { Usage::default() } else { usage(20, 10) },
            busy_ms: if status == TaskStatus::Skipped { 0 } else { 450 },
        }));
    }

    pub(crate) fn over(&mut self, case: u64, status: CaseStatus) {
        self.cases.settle(status);
        self.add(Event::CaseSettled(CaseSettled { case: CaseNo(case), status, observed: Vec::new() }));
    }

    pub(crate) fn end(&mut self, outcome: RunOutcome) {
        if outcome == RunOutcome::Complete {
            self.add(Event::SourceEnded(SourceEnded { cases: self.cases.admitted }));
        }
        self.add(Event::RunEnded(RunEnded { outcome, cases: self.cases, usage: Usage::default() }));
    }

    /// One case of a debate of two turns, judged.
    pub(crate) fn debate(&mut self, case: u64, winner: Option<&str>) {
        let motion = serde_json::json!({ "motion": "Cats are better than dogs." });
        self.admit(case, &format!("m{case}"), &motion);
        let mut turns = Vec::new();
        for (turn, actor, text) in [(1, "pro", "Cats clean themselves."), (2, "con", "Dogs guard the house.")] {
            let id = self.start(case, "debate", &format!("turn/{turn}"), 1, actor);
            let text = self.answer(&id, text, FinishReason::Stop);
            turns.push(Turn { actor: actor.into(), text });
        }
        self.settle(
            case,
            "debate",
            TaskStatus::Ok,
            Some(TaskOutput::Dialogue { turns, stopped_by: "rounds".to_owned() }),
        );
        let id = self.start(case, "verdict", "vote/1", 1, "referee");
        let reason = self.answer(&id, "{\"choice\": \"pro\"}", FinishReason::Stop);
        let verdict = match winner {
            Some(option) => Verdict::Choice(option.to_owned()),
            None => Verdict::Unscored(Unscored::Unreadable),
        };
        let judgement = judgement(std::slice::from_ref(&verdict), verdict.clone(), reason);
        let (task, status) = match winner {
            Some(_) => (TaskStatus::Ok, CaseStatus::Ok),
            None => (TaskStatus::Unscored, CaseStatus::Unscored),
        };
        self.settle(case, "verdict", task, Some(TaskOutput::Judge(judgement)));
        self.over(case, status);
    }

    /// The same story, told by a run that adopts all settled tasks from `run`.
    pub(crate) fn adopted_from(&self, run: &str) -> Self {
        let asked = |event: &Event| matches!(event, Event::AttemptStarted(_) | Event::AttemptEnded(_));
        let adopt = |recorded: &Recorded| match &recorded.event {
            Event::TaskSettled(task) => {
                let adopted = TaskAdopted { from_run: run.into(), from_case: task.case, task: task.clone() };
                Recorded { at: recorded.at, event: Event::TaskAdopted(adopted) }
            }
            _ => recorded.clone(),
        };
        let log = self.log.iter().filter(|recorded| !asked(&recorded.event)).map(adopt).collect();
        Self { log, texts: self.texts.clone(), now: self.now, cases: self.cases }
    }

    /// The same story, its answers taken from the cache.
    pub(crate) fn cached_from(mut self, run: &str) -> Self {
        for recorded in &mut self.log {
            if let Event::AttemptEnded(ended) = &mut recorded.event {
                let (usage, total_us) = (std::mem::take(&mut ended.usage), ended.timings.total_us);
                ended.from_cache = Some(Box::new(FromCache { run: run.into(), case: CaseNo(7), usage, total_us }));
            }
        }
        self
    }

    pub(crate) fn tally(&self) -> super::Tally {
        let mut tally = super::Tally::default();
        self.log.iter().for_each(|recorded| tally.add(recorded));
        tally
    }
}

pub(crate) fn judgement(votes: &[Verdict], verdict: Verdict, reason: Digest) -> Judgement {
    let pairs = u32::try_from(votes.len()).unwrap();
    let votes = votes.iter().map(|verdict| Vote { verdict: verdict.clone(), reason, by: None }).collect();
    Judgement { verdict, votes, flipped: 0, pairs }
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input: Some(TokenCount(input)), output: Some(TokenCount(output)), ..Usage::default() }
}
