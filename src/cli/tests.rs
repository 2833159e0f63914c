//! The commands that only read, on journals made by hand.

#![expect(clippy::needless_raw_string_hashes, reason = "as expect-test writes them")]

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::args::{ResultsArgs, RunsArgs, ShowArgs};
use super::exit::{CommandError, Exit};
use super::testing::Project;
use crate::base::TokenCount;
use crate::event::{
    CaseStatus, Event, FailureKind, FinishReason, Outcome, Recorded, RunOutcome, StopCause, TaskStatus,
};
use crate::report::testing::Story;

fn complete() -> Story {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    story.debate(1, None);
    story.admit(2, "m2", &json!({"motion": "Tea\u{1b}[31m or coffee"}));
    let id = story.start(2, "debate", "turn/1", 1, "pro");
    story.fail(&id, FailureKind::Throttled, "HTTP 429");
    let id = story.start(2, "debate", "turn/1", 2, "pro");
    story.answer(&id, "Tea, because", FinishReason::Length);
    story.start(2, "debate", "turn/2", 1, "con");
    story.settle(2, "debate", TaskStatus::Failed, None);
    story.settle(2, "verdict", TaskStatus::Skipped, None);
    story.over(2, CaseStatus::Failed);
    story.end(RunOutcome::Complete);
    story
}

fn show(project: &Project, run: &str, case: Option<&str>, json: bool) -> Result<Exit, CommandError> {
    let mut words = case.unwrap_or_default().split(' ').map(str::to_owned).filter(|word| !word.is_empty());
    let (case, step, call) = (words.next(), words.next(), words.next());
    let args =
        ShowArgs { run: run.to_owned(), case, step, call, failed: false, provenance: false, json, thoughts: false };
    super::show::show(&args, &project.home, &mut project.printer())
}

#[track_caller]
fn check_show(project: &Project, case: Option<&str>, expected: &Expect) {
    assert_eq!(show(project, "last", case, false).unwrap(), Exit::Done);
    expected.assert_eq(&project.printed());
}

#[test]
fn a_run_is_shown_with_its_cases() {
    let project = Project::new();
    project.keep(&complete());
    check_show(
        &project,
        None,
        &expect![[r#"
            debate: complete in 15.5 s; 1 of 3 cases failed

              cases      3: 1 ok · 1 unscored · 1 failed
              verdict: 1 of 2 cases scored; unscored: unreadable 1
                pro      1 of 1
                flipped  0 of 2 when asked both ways, 0.0 %  [ 0.0, 65.8]

              tokens     140 in · 70 out · 4.5 out/s
              requests   7 answered · 1 without an answer: throttled 1
              given up   refused 1
              the first  case 2, debate: HTTP 400: no
              cut short  1 answer at max_tokens or the end of the context
              backend    auto: llama.cpp at http://127.0.0.1:8080, qwen2.5-0.5b, 4 slots

              case  item  status
              0     m0    ok        verdict: pro
              1     m1    unscored  verdict: unscored
              2     m2    failed    debate: refused

              a case     pipe show last 0
              failed     pipe show last --failed
              ask again  pipe retry last
              kept in    PROJECT/.pipe/runs/RUN
        "#]],
    );
}

/// One answer with a long thought before it, to a prompt that the server cut.
fn thinking() -> Story {
    let mut story = Story::begin("debate");
    story.admit(0, "m0", &json!({"motion": "Tea or coffee?"}));
    let id = story.start(0, "debate", "turn/1", 1, "pro");
    story.answer(&id, "Tea.", FinishReason::Other);
    let thought = story.keep("The user wants one word, and I must not\nsay which one I like better.");
    if let Some(Recorded { event: Event::AttemptEnded(ended), .. }) = story.log.last_mut()
        && let Outcome::Answered(answer) = &mut ended.outcome
    {
        ended.usage.reasoning = Some(TokenCount(8));
        answer.thought = Some(thought);
        answer.reason = Some("eos_x".to_owned());
        answer.prompt_about = Some(TokenCount(9_000));
    }
    story
}

#[test]
fn a_thought_is_folded_unless_it_is_asked_for() {
    let project = Project::new();
    project.keep(&thinking());
    check_show(
        &project,
        Some("0 debate turn/1"),
        &expect![[r#"
        case 0 · m0 · open
        debate · turn/1
            asked      pro on auto
            options    not known: missing field `overrides`

            user       go on

          attempt 1 · 1.0 s after the run began
            time       0 ms in our queue · first token after 90 ms · 450 ms in all
            tokens     20 in, 10 out, 8 of them reasoning
            thought    8 tokens: The user wants one word, and… (--thoughts shows it)
            pro        Tea.
            end        the server's reason "eos_x" is unknown
            doubt      prompt probably cut: read 20 tokens of some 9,000
    "#]],
    );
    check_show(
        &project,
        Some("0 debate"),
        &expect![[r#"
        case 0 · m0 · open
        debate  open

          turn/1 · pro on auto · 450 ms, first token after 90 ms · 20 in, 10 out · ended
          with "eos_x" · prompt probably cut: read 20 tokens of some 9,000
            user       go on
            thought    8 tokens: The user wants one word, and… (--thoughts shows it)
            pro        Tea.

          pipe show last 0 debate turn/1  (one call: options, seed, every attempt)
    "#]],
    );
    assert_eq!(show(&project, "last", Some("0"), true).unwrap(), Exit::Done);
    let value: Value = serde_json::from_str(&project.printed()).unwrap();
    let thought = "The user wants one word, and I must not\nsay which one I like better.";
    assert_eq!(value["calls"][0]["thought"], thought);
    assert_eq!(value["calls"][0]["answer"], "Tea.");
    let args = ShowArgs {
        run: "last".to_owned(),
        case: Some("0".to_owned()),
        step: None,
        call: None,
        failed: false,
        provenance: false,
        json: false,
        thoughts: true,
    };
    super::show::show(&args, &project.home, &mut project.printer()).unwrap();
    assert!(project.printed().contains("say which one I like better."));
}

#[test]
fn a_case_is_shown_down_to_its_calls() {
    let project = Project::new();
    project.keep(&complete());
    check_show(
        &project,
        Some("0"),
        &expect![[r#"
            case 0 · m0 · ok
                motion     Cats are better than dogs.

            debate  ok · 2 turns, stopped by rounds · 20 in, 10 out · 450 ms in calls
              turn/1 · pro on auto · 450 ms, first token after 90 ms · 20 in, 10 out
                pro        Cats clean themselves.
              turn/2 · con on auto · 450 ms, first token after 90 ms · 20 in, 10 out
                con        Dogs guard the house.

            verdict  ok · 20 in, 10 out · 450 ms in calls
              vote/1 · referee on auto · 450 ms, first token after 90 ms · 20 in, 10 out
                referee    {"choice": "pro"}
              verdict: pro

              pipe show last 0 debate  (a step: its prompts)
        "#]],
    );
    check_show(
        &project,
        Some("m2"),
        &expect![[r#"
            case 2 · m2 · failed
                motion     Tea␛[31m or coffee

            debate  failed · 20 in, 10 out · 450 ms in calls
              turn/1 · pro on auto · 2 attempts · 450 ms, first token after 90 ms · 20 in,
              10 out · cut at its limit of tokens
                pro        Tea, because
              turn/2 · con on auto · in flight, or lost with its process
              debate failed, refused: HTTP 400: no

            verdict  skipped
              verdict was not asked: a step that it reads failed

              pipe show last 2 debate  (a step: its prompts)
        "#]],
    );
}

#[test]
fn a_step_is_shown_with_prompts_that_were_not_shown_before() {
    let project = Project::new();
    project.keep(&complete());
    check_show(
        &project,
        Some("0 debate"),
        &expect![[r#"
        case 0 · m0 · ok
        debate  ok · 2 turns, stopped by rounds · 20 in, 10 out · 450 ms in calls

          turn/1 · pro on auto · 450 ms, first token after 90 ms · 20 in, 10 out
            user       go on
            pro        Cats clean themselves.

          turn/2 · con on auto · 450 ms, first token after 90 ms · 20 in, 10 out
            (1 message as above)
            con        Dogs guard the house.

          pipe show last 0 debate turn/2  (one call: options, seed, every attempt)
    "#]],
    );
    check_show(
        &project,
        Some("m2 verdict"),
        &expect![[r#"
        case 2 · m2 · failed
        verdict  skipped

          verdict was not asked: a step that it reads failed
    "#]],
    );
}

#[test]
fn a_call_is_shown_with_every_attempt() {
    let project = Project::new();
    project.keep(&complete());
    check_show(
        &project,
        Some("2 debate turn/1"),
        &expect![[r#"
            case 2 · m2 · failed
            debate · turn/1
                asked      pro on auto
                options    not known: missing field `overrides`

                user       go on

              attempt 1 · 11.0 s after the run began
                time       0 ms in our queue · 0 ms in all
                no answer  throttled: HTTP 429
                then       counts as an attempt

              attempt 2 · 12.0 s after the run began
                time       0 ms in our queue · first token after 90 ms · 450 ms in all
                tokens     20 in, 10 out
                pro        Tea, because
                end        cut at its limit of tokens
        "#]],
    );
}

#[test]
fn failed_cases_are_found() {
    let project = Project::new();
    project.keep(&complete());
    let failed = |json| {
        let run = "last".to_owned();
        let args = ShowArgs {
            run,
            case: None,
            step: None,
            call: None,
            failed: true,
            provenance: false,
            json,
            thoughts: false,
        };
        assert_eq!(super::show::show(&args, &project.home, &mut project.printer()).unwrap(), Exit::Done);
        project.printed()
    };
    let listed = failed(false);
    assert!(listed.contains("m2") && !listed.contains("m1") && listed.contains("pipe show last 2"), "{listed}");
    let listed: Value = serde_json::from_str(&failed(true)).unwrap();
    assert_eq!((&listed["failed"], &listed["cases"][0]["item"]), (&json!(1), &json!("m2")));
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let project = Project::new();
    project.keep(&complete());
    let refused = |what: &str| show(&project, "last", Some(what), false).unwrap_err();
    for (what, there) in [("0 talk", "there is: debate, verdict"), ("0 debate turn/9", "there is: turn/1, turn/2")] {
        let error = refused(what);
        assert_eq!(error.exit(), Exit::Usage);
        assert!(format!("{error:?}").contains(there), "{error:?}");
    }
}

#[test]
fn a_case_that_is_not_there_is_said_so() {
    let project = Project::new();
    project.keep(&complete());
    for wrong in ["3", "m9", "m2/2", "m2/x"] {
        let error = show(&project, "last", Some(wrong), false).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().contains(wrong), "{error}");
    }
    for right in ["m1/1", "m1#1"] {
        assert_eq!(show(&project, "last", Some(right), false).unwrap(), Exit::Done);
    }
}

#[test]
fn what_is_shown_is_there_as_json() {
    let project = Project::new();
    project.keep(&complete());
    show(&project, "last", None, true).unwrap();
    let run: Value = serde_json::from_str(&project.printed()).unwrap();
    assert_eq!(run["status"], "complete");
    assert_eq!(run["first_cases"][2]["steps"], json!({"debate": "failed", "verdict": "skipped"}));
    show(&project, "last", Some("2"), true).unwrap();
    let case: Value = serde_json::from_str(&project.printed()).unwrap();
    assert_eq!(case["calls"][0]["failure"]["kind"], "throttled");
    assert_eq!(case["calls"][1]["answer"], "Tea, because");
    assert_eq!(case["calls"][2]["ended_us"], Value::Null);
    assert_eq!(case["row"]["motion"], "Tea\u{1b}[31m or coffee");

    show(&project, "last", Some("0 debate"), true).unwrap();
    let step: Value = serde_json::from_str(&project.printed()).unwrap();
    assert_eq!(step["task"]["output"]["dialogue"]["turns"][1]["text"], "Dogs guard the house.", "texts, no digests");
    assert_eq!(step["calls"].as_array().map(Vec::len), Some(2));
    show(&project, "last", Some("2 debate turn/1"), true).unwrap();
    let call: Value = serde_json::from_str(&project.printed()).unwrap();
    assert_eq!(call["attempts"].as_array().map(Vec::len), Some(2));
    assert!(call["options"]["unknown"].is_string(), "this journal is of no pipeline that compiles: {call}");
}

#[test]
fn a_run_that_nobody_left_is_interrupted_unless_somebody_holds_it() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    let project = Project::new();
    let dir = project.keep(&story);
    let status = || {
        show(&project, "last", None, true).unwrap();
        let run: Value = serde_json::from_str(&project.printed()).unwrap();
        run["status"].clone()
    };
    assert_eq!(status(), "interrupted");
    let lock = dir.lock().unwrap();
    assert_eq!(status(), "running");
    drop(lock);
    assert_eq!(status(), "interrupted");
}

#[test]
fn runs_are_listed_newest_first() {
    let project = Project::new();
    let runs = |json| {
        let exit = super::runs::runs(&RunsArgs { json }, &project.home, &mut project.printer()).unwrap();
        assert_eq!(exit, Exit::Done);
        project.printed()
    };
    assert_eq!(runs(false), "");
    assert!(project.err.take().contains("no runs yet"));

    project.keep(&complete());
    let mut stopped = Story::begin("debate");
    stopped.wait(crate::base::Millis::seconds(60));
    stopped.debate(0, Some("pro"));
    stopped.end(RunOutcome::Stopped(StopCause::Interrupt));
    stopped.log[0].at = stopped.log[1].at;
    project.keep(&stopped);
    let empty = project.home.create_run("debate", crate::base::Timestamp(1_760_000_030_000_000)).unwrap();
    let table = runs(false);
    let columns: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(columns[0], ["run", "began", "status", "cases"]);
    assert_eq!(columns[1][2..], ["stopped", "1 so far"]);
    assert_eq!(columns[2][1], "unreadable", "{table}");
    assert_eq!(columns[3][2..], ["complete", "3, 1 failed"]);

    let lines = runs(true);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["status"], "stopped");
    assert!(lines[1]["error"].as_str().unwrap().contains("journal"), "{}", lines[1]);
    assert_eq!(lines[2]["total"], 3);
    drop(empty);
}

#[test]
fn a_run_that_is_not_there_lists_what_is() {
    let project = Project::new();
    let error = show(&project, "last", None, false).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.to_string().contains("no runs"), "{error}");
    project.keep(&complete());
    let error = show(&project, "triage", None, false).unwrap_err();
    assert!(error.to_string().contains("triage"), "{error}");
}

#[test]
fn rows_come_from_the_journal_alone() {
    let project = Project::new();
    project.keep(&complete());
    let results = |out: Option<std::path::PathBuf>, force: bool| {
        let args = ResultsArgs { run: "last".to_owned(), out, force, format: None, json: false };
        super::results::results(&args, &project.home, &mut project.printer())
    };
    assert_eq!(results(None, false).unwrap(), Exit::Done);
    let printed = project.printed();
    let rows: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!((&rows[0]["id"], &rows[0]["verdict.choice"]), (&json!("m0"), &json!("pro")));
    assert_eq!((&rows[1]["status"], &rows[1]["verdict.choice"]), (&json!("unscored"), &Value::Null));
    // What a failed step would have said is null, not absent: every row has the same columns.
    assert_eq!(rows[2].get("debate.transcript"), Some(&Value::Null));
    assert_eq!(rows[2]["error"], "debate: refused: HTTP 400: no");

    let file = project.home.path().join("rows.jsonl");
    assert_eq!(results(Some(file.clone()), false).unwrap(), Exit::Done);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), printed);
    let error = results(Some(file.clone()), false).unwrap_err();
    assert!(error.to_string().contains("exists"), "{error}");
    assert_eq!(results(Some(file), true).unwrap(), Exit::Done);
}
