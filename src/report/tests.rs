#![expect(clippy::needless_raw_string_hashes, reason = "as expect-test writes them")]

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::testing::{Story, judgement};
use super::*;
use crate::base::{Digest, MicroUsd, Millis, Price, RunId, Timestamp, TokenCount};
use crate::event::{
    Answer, AttemptEnded, Capacity, CapacityChanged, CaseAdmitted, CaseStatus, Event, Failure, FailureKind,
    FinishReason, Outcome, Recorded, RunOutcome, RunResumed, StopCause, TaskOutput, TaskSettled, TaskStatus, Usage,
    Verdict,
};

fn many() -> Story {
    let mut story = Story::begin("monte_carlo");
    for case in 0..13 {
        story.debate(case, Some(if case % 3 == 0 { "con" } else { "pro" }));
    }
    story.debate(13, None);
    story.admit(14, "m14", &json!({}));
    let id = story.start(14, "debate", "turn/1", 1, "pro");
    story.fail(&id, FailureKind::Throttled, "HTTP 429");
    let id = story.start(14, "debate", "turn/1", 2, "pro");
    story.fail(&id, FailureKind::Refused, "HTTP 400: no");
    story.settle(14, "debate", TaskStatus::Failed, None);
    story.settle(14, "verdict", TaskStatus::Skipped, None);
    story.over(14, CaseStatus::Failed);
    story
}

fn run() -> RunId {
    "monte_carlo-1".into()
}

#[track_caller]
fn check_summary(story: &Story, width: usize, expected: &Expect) {
    let text = summary_text(&story.tally().summary(&run()), width);
    for line in text.lines() {
        assert!(columns(line) <= width, "{line:?} is wider than {width}");
    }
    expected.assert_eq(&text);
}

#[test]
fn a_run_of_many_cases_shows_bars() {
    let mut story = many();
    story.end(RunOutcome::Complete);
    check_summary(
        &story,
        80,
        &expect![[r#"
            monte_carlo: complete in 1 min 15 s; 1 of 15 cases failed

              cases      15: 13 ok · 1 unscored · 1 failed
              verdict: 13 of 14 cases scored; unscored: unreadable 1
                pro      ████████████████            61.5 %  [35.5, 82.3]  8 of 13
                con      ██████████                  38.5 %  [17.7, 64.5]  5 of 13
                flipped  0 of 14 when asked both ways, 0.0 %  [ 0.0, 21.5]
                shares of the scored cases with 95 % Wilson intervals

              tokens     840 in · 420 out · 5.6 out/s
              requests   42 answered · 2 without an answer: throttled 1, refused 1
              given up   refused 1
              the first  case 14, debate: HTTP 400: no
              backend    auto: llama.cpp at http://127.0.0.1:8080, qwen2.5-0.5b, 4 slots"#]],
    );
}

#[test]
fn a_narrow_terminal_gets_short_bars() {
    let mut story = many();
    story.end(RunOutcome::Complete);
    check_summary(
        &story,
        60,
        &expect![[r#"
            monte_carlo: complete in 1 min 15 s; 1 of 15 cases failed

              cases      15: 13 ok · 1 unscored · 1 failed
              verdict: 13 of 14 cases scored; unscored: unreadable 1
                pro      ████▉     61.5 %  [35.5, 82.3]  8 of 13
                con      ███▏      38.5 %  [17.7, 64.5]  5 of 13
                flipped  0 of 14 when asked both ways, 0.0 %  [ 0.0,
                         21.5]
                shares of the scored cases with 95 % Wilson intervals

              tokens     840 in · 420 out · 5.6 out/s
              requests   42 answered · 2 without an answer: throttled 1,
                         refused 1
              given up   refused 1
              the first  case 14, debate: HTTP 400: no
              backend    auto: llama.cpp at http://127.0.0.1:8080,
                         qwen2.5-0.5b, 4 slots"#]],
    );
}

#[test]
fn one_case_needs_no_bars() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    story.end(RunOutcome::Complete);
    check_summary(
        &story,
        80,
        &expect![[r#"
        debate: complete in 6.0 s

          verdict    pro
          tokens     60 in · 30 out · 5.0 out/s
          requests   3 answered
          backend    auto: llama.cpp at http://127.0.0.1:8080, qwen2.5-0.5b, 4 slots"#]],
    );
}

#[test]
fn a_stopped_run_says_how_far_it_came() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    story.end(RunOutcome::Stopped(StopCause::Interrupt));
    check_summary(
        &story,
        80,
        &expect![[r#"
        debate: stopped after 5.5 s by Ctrl-C; 1 case done

          verdict    pro
          tokens     60 in · 30 out · 5.5 out/s
          requests   3 answered
          backend    auto: llama.cpp at http://127.0.0.1:8080, qwen2.5-0.5b, 4 slots"#]],
    );
}

#[test]
fn the_json_has_the_same_numbers() {
    let mut story = many();
    story.end(RunOutcome::Complete);
    let summary = serde_json::to_value(story.tally().summary(&run())).unwrap();
    assert_eq!(summary["status"], "complete");
    assert_eq!(summary["cases"], json!({"admitted": 15, "ok": 13, "unscored": 1, "failed": 1}));
    assert_eq!(summary["tokens"]["output"], json!(14 * 3 * 10));
    assert_eq!(summary["steps"][1]["judge"]["choices"][0]["option"], "pro");
    assert_eq!(summary["steps"][1]["judge"]["choices"][0]["count"], 8);
    assert_eq!(summary["steps"][1]["judge"]["unscored"], json!([{"kind": "unreadable", "count": 1}]));
    assert_eq!(summary["failures"].as_array().map(Vec::len), Some(2));
    assert_eq!(summary["retries"], 1);
}

#[test]
fn votes_and_flips_are_counted() {
    let mut story = Story::begin("debate");
    story.admit(0, "m", &json!({}));
    let pro = Verdict::Choice("pro".to_owned());
    let con = Verdict::Choice("con".to_owned());
    let reason = story.keep("because");
    let mut judged = judgement(&[pro.clone(), con, pro.clone()], pro, reason);
    judged.flipped = 1;
    assert_eq!(
        verdict_line(&"verdict".into(), &judged),
        "verdict: pro  (votes: pro 2, con 1; 1 of 3 changed when asked the other way round)"
    );
    story.settle(0, "verdict", TaskStatus::Ok, Some(TaskOutput::Judge(judged)));
    let tally = story.tally();
    let judge = tally.steps["verdict"].judge.clone().unwrap();
    assert_eq!((judge.flipped, judge.pairs, judge.votes.total()), (1, 3, 3));
}

#[test]
fn time_between_two_processes_is_not_work() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    let worked = story.tally().active_us();
    story.wait(Millis::seconds(3_600));
    story.add(Event::RunResumed(RunResumed {
        segment: 1,
        version: "0.1.0".to_owned(),
        backends: Vec::new(),
        cases: None,
        parent: None,
        provenance: None,
    }));
    story.debate(1, Some("con"));
    let tally = story.tally();
    assert_eq!(tally.resumed, 1);
    // The first case's log holds one interval less than its events, the second's as many.
    assert!(tally.active_us() > worked && tally.active_us() < 3 * worked, "{}", tally.active_us());
    assert_eq!(tally.summary(&run()).status, RunStatus::Interrupted);
}

#[test]
fn cut_answers_are_counted() {
    let mut story = Story::begin("chat");
    story.admit(0, "m", &json!({}));
    let id = story.start(0, "answer", "say", 1, "pro");
    story.answer(&id, "and so", FinishReason::Length);
    assert_eq!(story.tally().cut, 1);
    assert!(summary_text(&story.tally().summary(&run()), 80).contains("1 answer at max_tokens"));
}

/// Changes the latest end of a request.
fn retouch(story: &mut Story, change: impl FnOnce(&mut AttemptEnded)) {
    let latest = story.log.iter_mut().rev().find_map(|recorded| match &mut recorded.event {
        Event::AttemptEnded(ended) => Some(ended),
        _ => None,
    });
    change(latest.expect("a request is over"));
}

fn retouch_answer(story: &mut Story, change: impl FnOnce(&mut Answer)) {
    retouch(story, |ended| match &mut ended.outcome {
        Outcome::Answered(answer) => change(answer),
        Outcome::Failed(failure) => panic!("{failure:?}"),
    });
}

#[test]
fn estimates_failed_answers_and_what_is_odd_are_counted_and_named() {
    let mut story = Story::begin("chat");
    for case in 0..4 {
        story.admit(case, "m", &json!({}));
        let id = story.start(case, "answer", "say", 1, "pro");
        story.answer(&id, "so", FinishReason::Other);
        match case {
            // Nothing is reported.
            0 => retouch(&mut story, |ended| ended.estimated = std::mem::take(&mut ended.usage)),
            1 => retouch_answer(&mut story, |answer| answer.reason = Some("eos_x".to_owned())),
            2 => retouch_answer(&mut story, |answer| answer.prompt_about = Some(TokenCount(20_000))),
            _ => retouch_answer(&mut story, |answer| answer.thought = Some(Digest::of(b"Hm."))),
        }
    }
    let id = story.start(4, "answer", "say", 1, "pro");
    story.fail(&id, FailureKind::ReasoningCut, "max_tokens went into reasoning");
    retouch(&mut story, |ended| {
        ended.usage = Usage { input: Some(TokenCount(5)), output: Some(TokenCount(7)), ..Usage::default() };
    });
    let failure = Failure::new(FailureKind::ReasoningCut, "max_tokens went into reasoning");
    story.settle(4, "answer", TaskStatus::Failed, None);
    if let Some(Recorded { event: Event::TaskSettled(settled), .. }) = story.log.last_mut() {
        settled.failure = Some(failure.clone());
    }
    let until = Timestamp(1_760_003_600_000_000);
    let cause = StopCause::BackendWaits { backend: "auto".to_owned(), failure, until };
    story.end(RunOutcome::Stopped(cause));
    check_summary(
        &story,
        160,
        &expect![[r#"
            chat: stopped after 8.0 s because backend "auto" takes no call before 2025-10-09 09:53:20 UTC: max_tokens went into reasoning; 0 cases done

              cases      4: 0 ok · 4 not over
              tokens     85 in · 47 out (of which 20 in and 10 out estimated: the server reports no usage) · 5.9 out/s
              requests   4 answered · 1 without an answer: cut in reasoning 1
              given up   cut in reasoning 1
              the first  case 4, answer: max_tokens went into reasoning
              to do      cut in reasoning: raise `max_tokens` of the actor, or bound its `reasoning`; then `pipe retry`
              odd ends   1 answer ended with an unknown reason: "eos_x"
              prompts    1 prompt was probably cut by the server: read 20 tokens of some 20,000; raise the context length of the server, or shorten the prompt
              thoughts   before 1 answer; `pipe show RUN CASE --thoughts` shows them
              to do      `pipe resume` after 2025-10-09 09:53:20 UTC; a greater `limits.retries.within` waits by itself
              backend    auto: llama.cpp at http://127.0.0.1:8080, qwen2.5-0.5b, 4 slots"#]],
    );
    let value = serde_json::to_value(story.tally().summary(&run())).expect("it is JSON");
    let counts = json!([value["tokens"]["input"], value["tokens"]["estimated_input"], value["odd_ends"]]);
    assert_eq!(counts, json!([85, 20, [{ "condition": "eos_x", "count": 1 }]]));
    assert_eq!(value["cut_prompts"]["about"], 20_000);
    assert_eq!(value["stop"]["until"], "2025-10-09 09:53:20 UTC");
}

#[test]
fn what_a_failed_answer_took_and_what_is_estimated_has_its_price() {
    let mut story = Story::begin("chat");
    if let Some(Recorded { event: Event::RunStarted(started), .. }) = story.log.first_mut() {
        let rate = |micros| MicroUsd(micros);
        let price = Price { input: rate(1_000_000), output: rate(2_000_000), cached: None };
        started.prices = [("pro".into(), price)].into();
    }
    story.admit(0, "m", &json!({}));
    let id = story.start(0, "answer", "say", 1, "pro");
    story.fail_again(&id, FailureKind::NoAnswer, "blank");
    retouch(&mut story, |ended| ended.estimated.output = Some(TokenCount(7)));
    let id = story.start(0, "answer", "say", 2, "pro");
    story.answer(&id, "so", FinishReason::Stop);
    let cost = story.tally().cost().expect("there is a price");
    assert_eq!((cost.micro_usd, cost.uncounted), (MicroUsd(20 + 2 * (10 + 7)), 0));
}

fn layout() -> Layout {
    Layout {
        matrix: Vec::new(),
        steps: vec![("debate".into(), Shape::Dialogue), ("verdict".into(), Shape::Judge)],
        columns: None,
    }
}

fn case_of(story: &Story, number: u64) -> (CaseAdmitted, Map<String, Value>, Vec<TaskSettled>, CaseStatus) {
    let mut found = (None, Vec::new(), None);
    for Recorded { event, .. } in &story.log {
        match event {
            Event::CaseAdmitted(admitted) if admitted.case.0 == number => found.0 = Some(admitted.clone()),
            Event::TaskSettled(settled) if settled.case.0 == number => found.1.push(settled.clone()),
            Event::CaseSettled(settled) if settled.case.0 == number => found.2 = Some(settled.status),
            _ => {}
        }
    }
    let admitted = found.0.unwrap();
    let item = serde_json::from_str(&story.texts[&admitted.row]).unwrap();
    (admitted, item, found.1, found.2.unwrap())
}

fn row_of(story: &Story, number: u64, layout: &Layout) -> String {
    let (admitted, item, tasks, status) = case_of(story, number);
    let case = CaseRecord { admitted: &admitted, item: &item, tasks: &tasks, status };
    serde_json::to_string(&Rows::of(layout).row(&case, &story.look_up()).unwrap()).unwrap()
}

#[test]
fn a_row_has_what_was_said_and_no_times() {
    let story = many();
    expect![[r#"{"id":"m0","repeat":1,"motion":"Cats are better than dogs.","debate.transcript":"pro: Cats clean themselves.\n\ncon: Dogs guard the house.","debate.turns":2,"debate.stopped_by":"rounds","verdict.choice":"con","verdict.votes":["con"],"verdict.flipped":0,"status":"ok","error":null}"#]].assert_eq(&row_of(&story, 0, &layout()));
    expect![[r#"{"id":"m13","repeat":1,"motion":"Cats are better than dogs.","debate.transcript":"pro: Cats clean themselves.\n\ncon: Dogs guard the house.","debate.turns":2,"debate.stopped_by":"rounds","verdict.choice":null,"verdict.votes":[null],"verdict.flipped":0,"status":"unscored","error":"verdict: unscored: the answer has not the form that was asked for"}"#]].assert_eq(&row_of(&story, 13, &layout()));
    expect![[r#"{"id":"m14","repeat":1,"debate.transcript":null,"debate.turns":null,"debate.stopped_by":null,"verdict.choice":null,"verdict.votes":null,"verdict.flipped":null,"status":"failed","error":"debate: refused: HTTP 400: no"}"#]].assert_eq(&row_of(&story, 14, &layout()));
}

#[test]
fn fields_that_collide_are_prefixed() {
    let mut story = Story::begin("debate");
    story.admit(0, "m0", &json!({"id": "m0", "status": "draft", "item.error": 1, "error": 2, "n": 7}));
    story.over(0, CaseStatus::Ok);
    let layout = Layout::default();
    expect![[r#"{"id":"m0","repeat":1,"item.status":"draft","item.error":1,"item.item.error":2,"n":7,"status":"ok","error":null}"#]].assert_eq(&row_of(&story, 0, &layout));
}

#[test]
fn columns_of_the_user_come_alone() {
    let story = many();
    let column = |name: &str, path: &str| (name.to_owned(), path.split('.').map(str::to_owned).collect());
    let columns = vec![
        column("winner", "steps.verdict.choice"),
        column("motion", "item.motion"),
        column("missing", "item.motion.deeper"),
        column("last", "steps.debate.last"),
        column("how", "status"),
    ];
    let layout = Layout { columns: Some(columns), ..layout() };
    expect![[r#"{"winner":"con","motion":"Cats are better than dogs.","missing":null,"last":"Dogs guard the house.","how":"ok"}"#]].assert_eq(&row_of(&story, 0, &layout));
}

#[test]
fn a_missing_text_is_an_error() {
    let story = many();
    let (admitted, item, tasks, status) = case_of(&story, 0);
    let case = CaseRecord { admitted: &admitted, item: &item, tasks: &tasks, status };
    let error = Rows::of(&layout()).row(&case, &|_| None).unwrap_err();
    assert!(error.to_string().contains("which step \"debate\" refers to"), "{error}");
}

#[test]
fn a_transcript_reads_like_a_play() {
    let story = many();
    let (admitted, item, tasks, status) = case_of(&story, 0);
    let case = CaseRecord { admitted: &admitted, item: &item, tasks: &tasks, status };
    let parts = transcript(&case, &layout(), &story.look_up()).unwrap();
    expect![[r#"
        pro
          Cats clean
          themselves.

        con
          Dogs guard the
          house.

        verdict: con"#]]
    .assert_eq(&transcript_text(&parts, 20));
    let (admitted, item, tasks, status) = case_of(&story, 14);
    let case = CaseRecord { admitted: &admitted, item: &item, tasks: &tasks, status };
    let parts = transcript(&case, &layout(), &story.look_up()).unwrap();
    expect![[r#"
        debate failed, refused: HTTP 400: no

        verdict was not asked: a step that it reads failed"#]]
    .assert_eq(&transcript_text(&parts, 80));
}

#[test]
fn progress_says_where_it_stands() {
    let story = many();
    let mut progress = Progress::default();
    let start = Timestamp(0);
    progress.sample(&Tally::default(), start);
    progress.expect(Some(200));
    progress.fly(4);
    let tally = story.tally();
    let line = |seconds| progress.line(&tally, start.after(Millis::seconds(seconds)));
    expect!["15 of 200  7.5 %  30 items/min  14 tokens/s  ETA 6 min 10 s  4 in flight"].assert_eq(&line(30));
    // Too early for a rate.
    expect!["15 of 200  7.5 %  4 in flight"].assert_eq(&line(1));
    expect!["1 case failed (6.7 %)  without an answer: throttled 1, refused 1"]
        .assert_eq(&Progress::trouble(&tally).unwrap());
    assert_eq!(Progress::trouble(&Tally::default()), None);
}

#[test]
fn a_held_backend_is_named_with_the_time_and_counts_in_the_rest() {
    let mut story = many();
    let mut progress = Progress::default();
    let (mut tally, mut now) = (Tally::default(), Timestamp(0));
    for recorded in &story.log {
        tally.add(recorded);
        now = recorded.at;
        progress.sample(&tally, now);
    }
    progress.expect(Some(tally.cases.settled() * 2));
    let until = now.after(Millis::seconds(3_600));
    story.add(Event::CapacityChanged(CapacityChanged {
        backend: "auto".into(),
        change: Capacity::HeldUntil(until),
        model: None,
        reason: "slow down".into(),
    }));
    tally.add(story.log.last().expect("one was added"));
    let eta =
        |line: &str| line.split("ETA ").nth(1).map(|rest| rest.split("  ").next().unwrap_or_default().to_owned());
    let mut unheld = tally.clone();
    unheld.held.clear();
    let free = eta(&progress.line(&unheld, now)).expect("a pace is known");
    let line = progress.line(&tally, now.after(Millis::seconds(120)));
    assert!(line.contains("auto: no call before ") && line.contains(" UTC (in 58 min)"), "{line}");
    assert!(
        !free.contains('h')
            && eta(&line)
                .is_some_and(|eta| eta.starts_with("58 min") || eta.starts_with("1 h") || eta.starts_with("59 min")),
        "{free} {line}"
    );
    let mut watch = Watch::default();
    story.log.iter().for_each(|recorded| watch.add(recorded));
    assert_eq!(watch.lanes["auto"].held_until, Some(until));
    assert!(!progress.line(&tally, until).contains("no call before"), "what is past holds nothing");
}

#[test]
fn the_window_forgets_what_is_old() {
    let story = many();
    let mut progress = Progress::default();
    let tally = story.tally();
    progress.sample(&Tally::default(), Timestamp(0));
    for seconds in 1..=180 {
        progress.sample(&tally, Timestamp(0).after(Millis::seconds(seconds)));
    }
    // Nothing was settled in the last minute.
    let line = progress.line(&tally, Timestamp(0).after(Millis::seconds(180)));
    assert!(line.contains("0.0 items/min"), "{line}");
    assert!(!line.contains("ETA"), "{line}");
}

#[test]
fn milestones_come_by_cases() {
    let due = |total, upto| {
        let mut milestones = Milestones::default();
        (0..=upto).filter(|&settled| milestones.is_due(settled, total)).collect::<Vec<u64>>()
    };
    assert_eq!(due(None, 120), [1, 2, 5, 10, 20, 50, 100]);
    assert_eq!(due(Some(3), 3), [1, 2, 3]);
    assert_eq!(due(Some(100), 100).len(), 20);
    assert_eq!(due(Some(99), 99).last(), Some(&99));
    assert_eq!(due(Some(0), 0), Vec::<u64>::new());
}

proptest! {
    #[test]
    fn a_run_never_prints_more_than_about_twenty_milestones(total in 1u64..100_000, stride in 1u64..500) {
        let mut milestones = Milestones::default();
        let mut printed = 0;
        let mut settled = 0;
        while settled < total {
            settled = (settled + stride).min(total);
            printed += u64::from(milestones.is_due(settled, Some(total)));
        }
        prop_assert!((1..=21).contains(&printed));
        prop_assert!(!milestones.is_due(total, Some(total)));
    }
}

#[test]
fn what_is_reused_counts_as_settled_and_costs_nothing() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    story.debate(1, None);
    story.end(RunOutcome::Complete);
    let adopted = story.adopted_from("debate-1").tally();
    let summary = adopted.summary(&"debate-2".into());
    assert_eq!((summary.requests, summary.tokens.output), (0, None));
    assert_eq!(
        summary.reused.iter().map(|reused| (reused.run.as_str(), reused.tasks)).collect::<Vec<_>>(),
        [("debate-1", 4)]
    );
    let asked = story.tally().summary(&"debate-2".into());
    let judged =
        |summary: &crate::report::Summary| summary.steps.iter().map(|step| step.judge.clone()).collect::<Vec<_>>();
    assert_eq!(judged(&summary), judged(&asked), "verdicts are counted whoever asked");
    let text = crate::report::summary_text(&summary, 80);
    assert!(text.contains("  reused     4 tasks of debate-1\n"), "{text}");
}

#[test]
fn what_the_cache_answers_is_no_request_and_costs_nothing() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    story.end(RunOutcome::Complete);
    let asked = story.tally().summary(&run());
    let story = story.cached_from("debate-1");
    let tally = story.tally();
    let summary = tally.summary(&run());
    assert!(asked.requests > 0 && asked.from_cache == 0);
    assert_eq!((summary.requests, summary.answered, summary.from_cache), (0, 0, asked.answered));
    assert_eq!((summary.tokens.output, tally.in_flight()), (None, 0));
    assert_eq!(summary.steps, asked.steps, "verdicts are counted whoever asked");
    let text = crate::report::summary_text(&summary, 80);
    assert!(
        text.contains(&format!("  cache      {} answers of earlier requests, at no cost\n", asked.answered)),
        "{text}"
    );
}
