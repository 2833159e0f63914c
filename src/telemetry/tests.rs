//! Whole stories, told in spans.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;
use crate::base::{CaseNo, Digest, Millis, RunId, SpanContext, Timestamp};
use crate::event::{
    CaseReopened, CaseStatus, Event, FailureKind, FinishReason, RunOutcome, RunResumed, Shape, SnapCase, StopCause,
    TaskOutput, TaskStatus, Traced,
};
use crate::plan::{Content, Keep, SpanSample as Sample};
use crate::report::testing::Story;

fn run() -> RunId {
    RunId::from("debate-20261121-1")
}

fn resumed(segment: u32) -> Event {
    let version = "0.1.0".to_owned();
    Event::RunResumed(RunResumed {
        segment,
        version,
        backends: Vec::new(),
        cases: None,
        parent: None,
        provenance: None,
    })
}

fn told_with(story: &Story, settings: Settings) -> Vec<Span> {
    let mut projector = Projector::new(run(), settings, None);
    let texts = |_: CaseNo, digest: &Digest| story.look_up()(digest);
    let mut spans = Vec::new();
    for recorded in &story.log {
        projector.add(recorded, &texts, &mut |span| spans.push(span));
    }
    projector.finish(&texts, &mut |span| spans.push(span));
    spans
}

fn told(story: &Story) -> Vec<Span> {
    told_with(story, Settings::default())
}

/// Draws spans as a tree: one line each, in the order of time.
fn tree(spans: &[Span]) -> String {
    fn draw(spans: &[Span], parent: Option<SpanContext>, depth: usize, out: &mut String) {
        let known: BTreeSet<SpanContext> = spans.iter().map(|span| span.context).collect();
        for span in spans {
            let above = span.parent.map(|parent| SpanContext { trace: span.context.trace, span: parent });
            if above.filter(|above| known.contains(above)) != parent {
                continue;
            }
            let mut line = format!("{}{}", "  ".repeat(depth), span.name);
            for key in [names::CALL, names::ATTEMPT, names::TASK_STATUS, names::CASE_STATUS, names::ERROR_TYPE] {
                if let Some(value) = span.attribute(key) {
                    let value = match value {
                        Value::Text(text) => text.clone(),
                        other => format!("{other:?}"),
                    };
                    write!(line, " {value}").expect("a text takes all");
                }
            }
            let events: Vec<&str> = span.events.iter().map(|event| event.name).collect();
            let links = span.links.iter().map(|link| link.attributes[0].value.as_text().unwrap_or_default());
            let links: Vec<&str> = links.collect();
            if !events.is_empty() || !links.is_empty() {
                write!(line, " {events:?} -> {links:?}").expect("a text takes all");
            }
            writeln!(line, " {} ms", span.end.since(span.start).0).expect("a text takes all");
            out.push_str(&line);
            draw(spans, Some(span.context), depth + 1, out);
        }
    }
    let mut out = String::new();
    draw(spans, None, 0, &mut out);
    out
}

fn check(story: &Story, expected: &Expect) {
    expected.assert_eq(&tree(&told(story)));
}

#[test]
fn a_debate_is_told_from_the_run_down_to_its_requests() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    story.end(RunOutcome::Complete);
    check(
        &story,
        &expect![[r#"
            invoke_workflow debate ok [] -> ["run"] 4500 ms
              invoke_agent debate ok 2000 ms
                chat qwen2.5-0.5b turn/1 Int(1) 450 ms
                chat qwen2.5-0.5b turn/2 Int(1) 450 ms
              invoke_agent verdict ok ["gen_ai.evaluation.result"] -> [] 1000 ms
                chat qwen2.5-0.5b vote/1 Int(1) 450 ms
            invoke_workflow debate 6000 ms
              pipe.run.start 0 ms
              pipe.run.segment 6000 ms
              pipe.step.summary debate 2000 ms
              pipe.step.summary verdict 1000 ms
        "#]],
    );
}

#[test]
fn what_is_asked_again_has_a_span_for_each_request_and_one_for_the_wait() {
    let mut story = Story::begin("debate");
    story.admit(0, "m0", &serde_json::json!({}));
    let first = story.start(0, "debate", "turn/1", 1, "pro");
    story.fail_again(&first, FailureKind::Overloaded, "HTTP 503: busy");
    story.wait(Millis::seconds(2));
    let second = story.start(0, "debate", "turn/1", 2, "pro");
    story.answer(&second, "Cats.", FinishReason::Stop);
    story.settle(0, "debate", TaskStatus::Ok, Some(TaskOutput::Dialogue { turns: vec![], stopped_by: "x".into() }));
    story.settle(0, "verdict", TaskStatus::Skipped, None);
    story.over(0, CaseStatus::Ok);
    check(
        &story,
        &expect![[r#"
        pipe.run.start 0 ms
        invoke_workflow debate ok ["pipe.task.skipped"] -> ["run"] 5500 ms
          invoke_agent debate ok 4000 ms
            chat qwen2.5-0.5b turn/1 Int(1) _OTHER 0 ms
            pipe.backoff turn/1 Int(2) 2500 ms
            chat qwen2.5-0.5b turn/1 Int(2) 450 ms
    "#]],
    );
    let spans = told(&story);
    let statuses: Vec<bool> = spans.iter().map(|span| matches!(span.status, Status::Error(_))).collect();
    assert_eq!(statuses.iter().filter(|failed| **failed).count(), 1, "only the request that failed is an error");
    let second = spans.iter().find(|span| span.attribute(names::RESEND_COUNT).is_some()).expect("it was sent again");
    assert_eq!(second.attribute(names::RESEND_COUNT), Some(&Value::Int(1)));
}

#[test]
fn a_crash_ends_what_was_in_flight_where_its_process_ended() {
    let mut story = Story::begin("debate");
    story.admit(0, "m0", &serde_json::json!({}));
    let first = story.start(0, "debate", "turn/1", 1, "pro");
    let cut_off = story.log.last().expect("it has begun").at;
    story.wait(Millis::seconds(3_600));
    story.add(resumed(1));
    story.fail_again(&first, FailureKind::Interrupted, "the process ended while the call was in flight");
    let second = story.start(0, "debate", "turn/1", 2, "pro");
    story.answer(&second, "Cats.", FinishReason::Stop);
    story.settle(0, "debate", TaskStatus::Ok, None);
    story.over(0, CaseStatus::Ok);
    story.end(RunOutcome::Complete);
    check(
        &story,
        &expect![[r#"
            invoke_workflow debate ok [] -> ["run"] 3603500 ms
              invoke_agent debate ok 3602500 ms
                chat qwen2.5-0.5b turn/1 Int(1) cancelled 0 ms
                chat qwen2.5-0.5b turn/1 Int(2) 450 ms
            invoke_workflow debate 3605000 ms
              pipe.run.start 0 ms
              pipe.run.segment cancelled 1000 ms
              pipe.run.segment [] -> ["previous"] 3500 ms
              pipe.step.summary debate 3602500 ms
        "#]],
    );
    let spans = told(&story);
    let killed = spans.iter().find(|span| span.name == names::SEGMENT_SPAN).expect("the first process is told");
    assert_eq!(killed.end, cut_off, "an hour of rest is no work");
}

#[test]
fn a_case_that_goes_on_after_its_end_is_told_anew_and_linked_to_before() {
    let mut story = Story::begin("debate");
    story.admit(0, "m0", &serde_json::json!({}));
    let first = story.start(0, "debate", "turn/1", 1, "pro");
    story.fail(&first, FailureKind::Refused, "HTTP 400: no");
    story.settle(0, "debate", TaskStatus::Failed, None);
    story.over(0, CaseStatus::Failed);
    story.end(RunOutcome::Complete);
    story.add(resumed(1));
    let now = SnapCase {
        case: CaseNo(0),
        item: "m0".into(),
        repeat: 1,
        matrix: serde_json::Map::new(),
        closing: false,
        row: Digest::of(b"{}"),
        tasks: Vec::new(),
        opened: Vec::new(),
        asked: Vec::new(),
    };
    story.add(Event::CaseReopened(CaseReopened { was: CaseStatus::Failed, former: Vec::new(), now }));
    let second = story.start(0, "debate", "turn/1", 2, "pro");
    story.answer(&second, "Cats.", FinishReason::Stop);
    story.settle(0, "debate", TaskStatus::Ok, None);
    story.over(0, CaseStatus::Ok);
    story.end(RunOutcome::Complete);
    check(
        &story,
        &expect![[r#"
            invoke_workflow debate failed _OTHER [] -> ["run"] 2000 ms
              invoke_agent debate failed _OTHER 1000 ms
                chat qwen2.5-0.5b turn/1 Int(1) _OTHER 0 ms
            invoke_workflow debate 3500 ms
              pipe.run.start 0 ms
              pipe.run.segment 3500 ms
              pipe.step.summary debate 1000 ms
              pipe.run.segment [] -> ["previous"] 3500 ms
            invoke_workflow debate ok [] -> ["run", "previous"] 2000 ms
              invoke_agent debate ok 1000 ms
                chat qwen2.5-0.5b turn/1 Int(2) 450 ms
        "#]],
    );
    let ids: BTreeSet<SpanContext> = told(&story).iter().map(|span| span.context).collect();
    assert_eq!(ids.len(), told(&story).len(), "no two spans bear one id");
}

#[test]
fn what_another_run_settled_is_told_without_requests() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    check(
        &story.adopted_from("debate-1"),
        &expect![[r#"
        pipe.run.start 0 ms
        invoke_workflow debate ok [] -> ["run"] 4500 ms
          invoke_agent debate ok ["pipe.task.adopted"] -> [] 0 ms
          invoke_agent verdict ok ["pipe.task.adopted", "gen_ai.evaluation.result"] -> [] 0 ms
    "#]],
    );
}

#[test]
fn what_the_cache_answers_is_told_without_requests() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    let story = story.cached_from("debate-1");
    check(
        &story,
        &expect![[r#"
        pipe.run.start 0 ms
        invoke_workflow debate ok [] -> ["run"] 4500 ms
          invoke_agent debate ok ["pipe.cache.hit", "pipe.cache.hit"] -> [] 2000 ms
          invoke_agent verdict ok ["pipe.cache.hit", "gen_ai.evaluation.result"] -> [] 1000 ms
    "#]],
    );
}

#[test]
fn what_was_told_before_a_restart_and_what_is_told_after_it_are_all_of_it() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    story.debate(1, None);
    story.end(RunOutcome::Stopped(StopCause::Interrupt));
    let whole = told(&story);
    let texts = |_: CaseNo, digest: &Digest| story.look_up()(digest);
    for cut in 0..story.log.len() {
        let mut spans = Vec::new();
        let mut before = Projector::new(run(), Settings::default(), None);
        story.log[..cut].iter().for_each(|recorded| before.add(recorded, &texts, &mut |span| spans.push(span)));
        let mut after = Projector::new(run(), Settings::default(), None);
        story.log[..cut].iter().for_each(|recorded| after.pass(recorded));
        story.log[cut..].iter().for_each(|recorded| after.add(recorded, &texts, &mut |span| spans.push(span)));
        assert_eq!(spans, whole, "cut after {cut} events");
    }
}

#[test]
fn a_step_is_summed_up_over_all_cases_however_few_are_told() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    story.admit(1, "m1", &serde_json::json!({}));
    let first = story.start(1, "debate", "turn/1", 1, "pro");
    story.fail_again(&first, FailureKind::Overloaded, "HTTP 503: busy");
    let second = story.start(1, "debate", "turn/1", 2, "pro");
    story.answer(&second, "Cats.", FinishReason::Stop);
    story.settle(1, "debate", TaskStatus::Ok, Some(TaskOutput::Dialogue { turns: vec![], stopped_by: "x".into() }));
    story.settle(1, "verdict", TaskStatus::Skipped, None);
    story.over(1, CaseStatus::Ok);
    story.end(RunOutcome::Complete);
    let summed = |settings: Settings| {
        let spans = told_with(&story, settings).into_iter();
        spans.filter(|span| span.name.starts_with(names::SUMMARY_SPAN)).collect::<Vec<_>>()
    };
    let all = summed(Settings::default());
    let shown: String = all.iter().fold(String::new(), |mut shown, span| {
        let told =
            span.attributes.iter().filter(|one| one.key != names::RUN_ID).map(
                |Attribute { key, value }| match value {
                    Value::Text(text) => format!("{key}={text}"),
                    Value::Int(whole) => format!("{key}={whole}"),
                    other => format!("{key}={other:?}"),
                },
            );
        writeln!(shown, "{}", told.collect::<Vec<_>>().join(" ")).expect("a text takes all");
        shown
    });
    expect![[r#"
        pipe.step=debate pipe.tasks.ok=2 pipe.tasks.unscored=0 pipe.tasks.failed=0 pipe.tasks.skipped=0 pipe.requests=4 pipe.requests.failed=1 gen_ai.usage.input_tokens=60 gen_ai.usage.output_tokens=30 pipe.task.duration.p50_s=Float(1.998848) pipe.task.duration.p95_s=Float(1.998848)
        pipe.step=verdict pipe.tasks.ok=1 pipe.tasks.unscored=0 pipe.tasks.failed=0 pipe.tasks.skipped=1 pipe.requests=1 pipe.requests.failed=0 gen_ai.usage.input_tokens=20 gen_ai.usage.output_tokens=10 pipe.task.duration.p50_s=Float(0.999424) pipe.task.duration.p95_s=Float(0.999424)
    "#]].assert_eq(&shown);
    let nothing = Sample { ratio: 0.0, keep: vec![Keep::Error] };
    assert_eq!(summed(Settings { sample: Some(nothing), ..Settings::default() }), all, "whatever is told of cases");
    let some = Sample { ratio: 1.0, keep: Vec::new() };
    assert_eq!(summed(Settings { sample: Some(some), ..Settings::default() }), all, "once each");
}

#[test]
fn a_sample_keeps_what_is_worth_looking_at() {
    let mut story = Story::begin("debate");
    (0..40).for_each(|case| story.debate(case, (case % 4 != 0).then_some("pro")));
    story.end(RunOutcome::Complete);
    let sample = Sample { ratio: 0.0, keep: vec![Keep::Unscored] };
    let spans = told_with(&story, Settings { sample: Some(sample), ..Settings::default() });
    let all = told(&story);
    let cases = |spans: &[Span]| {
        let statuses = spans.iter().filter_map(|span| span.attribute(names::CASE_STATUS));
        statuses.filter_map(Value::as_text).fold(BTreeMap::new(), |mut counts: BTreeMap<String, u32>, status| {
            *counts.entry(status.to_owned()).or_default() += 1;
            counts
        })
    };
    assert_eq!(cases(&all), BTreeMap::from([("ok".to_owned(), 30), ("unscored".to_owned(), 10)]));
    assert_eq!(cases(&spans), BTreeMap::from([("unscored".to_owned(), 10)]));
    let reason = spans.iter().find_map(|span| span.attribute(names::SAMPLE_REASON));
    assert_eq!(reason, Some(&Value::from("unscored")));
    assert!(spans.iter().any(|span| span.name == names::SEGMENT_SPAN), "the run itself is always told");
}

#[test]
fn words_leave_the_machine_only_as_far_as_they_may() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    let with = |content| {
        let spans = told_with(&story, Settings { content, ..Settings::default() });
        let chat = spans.into_iter().find(|span| span.kind == Kind::Client).expect("there are requests");
        [names::INPUT_MESSAGES, names::OUTPUT_MESSAGES, names::REQUEST_DIGESTS, names::RESPONSE_DIGEST]
            .map(|key| chat.attribute(key).is_some())
    };
    assert_eq!(with(Content::Full), [true, true, true, true]);
    assert_eq!(with(Content::Hash), [false, false, true, true]);
    assert_eq!(with(Content::None), [false, false, false, false]);
}

#[test]
fn a_run_in_one_trace_hangs_below_whoever_started_it() {
    let mut story = Story::begin("debate");
    let parent: SpanContext = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().expect("it is one");
    if let Event::RunStarted(started) = &mut story.log[0].event {
        started.traced = Some(Traced { shape: Shape::Run, parent: Some(parent) });
    }
    story.debate(0, Some("pro"));
    story.end(RunOutcome::Complete);
    let spans = told(&story);
    assert!(spans.iter().all(|span| span.context.trace == parent.trace), "{}", tree(&spans));
    let root = spans.iter().find(|span| span.parent == Some(parent.span)).expect("the run hangs below its caller");
    assert_eq!(root.name, "invoke_workflow debate");
    check(
        &story,
        &expect![[r#"
            invoke_workflow debate 6000 ms
              pipe.run.start 0 ms
              invoke_workflow debate ok 4500 ms
                invoke_agent debate ok 2000 ms
                  chat qwen2.5-0.5b turn/1 Int(1) 450 ms
                  chat qwen2.5-0.5b turn/2 Int(1) 450 ms
                invoke_agent verdict ok ["gen_ai.evaluation.result"] -> [] 1000 ms
                  chat qwen2.5-0.5b vote/1 Int(1) 450 ms
              pipe.run.segment 6000 ms
              pipe.step.summary debate 2000 ms
              pipe.step.summary verdict 1000 ms
        "#]],
    );
}

#[test]
fn times_are_those_of_the_request_and_never_run_backwards() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    for span in told(&story) {
        assert!(span.start <= span.end && span.start > Timestamp(0), "{}", span.name);
        if span.kind == Kind::Client {
            assert_eq!(span.end.micros_since(span.start), 450_000, "as the monotonic clock has it");
        }
    }
}
