#![expect(clippy::needless_raw_string_hashes, reason = "as expect-test writes them")]

use std::convert::Infallible;
use std::sync::Arc;

use anstream::ColorChoice;
use expect_test::{Expect, expect};
use serde_json::json;

use super::*;
use crate::base::{Digest, Timestamp};
use crate::cli::printer::{Printer, Stream};
use crate::cli::testing::Shared;
use crate::event::{
    AttemptEnded, AttemptId, CaseStatus, DrainStage, Event, FailureKind, FinishReason, Outcome, RunOutcome, Stage,
    StopCause, TaskOutput, TaskStatus, Unscored, Verdict,
};
use crate::report::testing::{Story, judgement};

/// A story told to a display message by message.
struct Show {
    screen: Shared,
    display: Display,
    told: usize,
}

impl Show {
    fn talk(story: &Story, width: usize) -> Self {
        let screen = Shared::default();
        let stream = Stream::new(Box::new(screen.clone()), ColorChoice::Never, true, width);
        let texts = story.texts.clone();
        let look_up: TextLookup = Box::new(move |_, digest: &Digest| texts.get(digest).cloned());
        let display = Display::Talk(Box::new(TalkDisplay::new(stream, Tally::default(), look_up)));
        Self { screen, display, told: 0 }
    }

    fn lines() -> Self {
        let screen = Shared::default();
        let stream = Stream::new(Box::new(screen.clone()), ColorChoice::Never, false, 80);
        let display = Display::Line(Box::new(LineDisplay::new(stream, Tally::default())));
        Self { screen, display, told: 0 }
    }

    fn say(&mut self, live: &Live) {
        self.display.take(live, Timestamp(0));
    }

    /// Tells what the story has more than before.
    fn catch_up(&mut self, story: &Story) {
        for fact in &story.log[self.told..] {
            self.display.take(&Live::Facts(Arc::new([fact.clone()])), fact.at);
        }
        self.told = story.log.len();
    }

    fn piece(&mut self, id: &AttemptId, actor: &str, text: &str) {
        self.say(&Live::Piece { id: id.clone(), actor: actor.into(), text: text.to_owned() });
    }

    #[track_caller]
    fn check(self, expected: &Expect) {
        let tally = self.display.finish();
        assert!(tally.first.is_some());
        expected.assert_eq(&self.screen.text());
    }
}

#[test]
fn a_debate_reads_like_a_play() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    story.end(RunOutcome::Complete);
    let mut stage = Show::talk(&story, 60);
    stage.catch_up(&story);
    stage.check(&expect![[r#"
        motion: Cats are better than dogs.

        pro
          Cats clean themselves.

        con
          Dogs guard the house.

        referee  verdict

        verdict: pro
    "#]]);
}

#[test]
fn a_debate_that_is_reused_is_shown_again() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    story.end(RunOutcome::Complete);
    let story = story.adopted_from("debate-1");
    let mut stage = Show::talk(&story, 60);
    stage.catch_up(&story);
    stage.check(&expect![[r#"
        motion: Cats are better than dogs.
          debate is reused from debate-1

        pro
          Cats clean themselves.

        con
          Dogs guard the house.
          verdict is reused from debate-1

        verdict: pro
    "#]]);
}

#[test]
fn text_appears_as_it_is_spoken() {
    let mut story = Story::begin("chat");
    story.admit(0, "one", &json!({}));
    let id = story.start(0, "debate", "turn/1", 1, "pro");
    let said = "\u{1b}[31mCats are clean, and they are quiet at night.";
    let mut later = Story::default();
    let digest = later.answer(&id, said, FinishReason::Length);
    story.texts.insert(digest, said.into());
    let mut stage = Show::talk(&story, 40);
    stage.catch_up(&story);
    assert_eq!(stage.screen.take(), "\npro\n");
    stage.piece(&id, "pro", " \u{1b}[31mCats are");
    assert_eq!(stage.screen.take(), "  ␛[31mCats");
    stage.piece(&id, "pro", " clean, and they are qui");
    assert_eq!(stage.screen.take(), " are clean, and they are");
    stage.piece(&id, "pro", "et at");
    assert_eq!(stage.screen.take(), "\n  quiet");
    story.log.append(&mut later.log);
    stage.catch_up(&story);
    assert_eq!(stage.screen.take(), " at night.\n  (cut at its limit of tokens)\n");
    // Too late: it is no new speech.
    stage.piece(&id, "pro", "again");
    assert_eq!(stage.screen.take(), "");
}

#[test]
fn pieces_may_come_before_the_facts_that_they_rest_on() {
    let mut story = Story::begin("chat");
    story.admit(0, "one", &json!({"topic": "cats"}));
    let id = story.start(0, "debate", "turn/1", 1, "pro");
    let mut stage = Show::talk(&story, 60);
    stage.piece(&id, "pro", "Cats purr");
    assert_eq!(stage.screen.take(), "");
    stage.catch_up(&story);
    stage.piece(&id, "pro", " loudly");
    stage.check(&expect![[r#"
        topic: cats

        pro
          Cats purr loudly
    "#]]);
}

#[test]
fn lost_pieces_are_made_up_for() {
    let mut story = Story::begin("chat");
    story.admit(0, "one", &json!({}));
    let id = story.start(0, "debate", "turn/1", 1, "pro");
    let mut stage = Show::talk(&story, 60);
    stage.catch_up(&story);
    stage.piece(&id, "pro", "Cats purr ");
    stage.piece(&id, "pro", "very loudly.");
    // The look-up does not know this text: what was heard stands.
    story.answer(&id, "Cats purr and sleep very loudly.", FinishReason::Stop);
    stage.catch_up(&story);
    stage.check(&expect![[r#"

        pro
          Cats purr very loudly.
    "#]]);

    let mut story = Story::begin("chat");
    story.admit(0, "one", &json!({}));
    let id = story.start(0, "debate", "turn/1", 1, "pro");
    let before = story.log.len();
    story.answer(&id, "Cats purr and sleep very loudly.", FinishReason::Stop);
    let mut stage = Show::talk(&story, 60);
    let ended = story.log.split_off(before);
    stage.catch_up(&story);
    stage.piece(&id, "pro", "Cats purr ");
    stage.piece(&id, "pro", "very loudly.");
    story.log.extend(ended);
    stage.catch_up(&story);
    stage.check(&expect![[r#"

        pro
          Cats purr very loudly.
          […]
          Cats purr and sleep very loudly.
    "#]]);
}

#[test]
fn who_speaks_beside_another_waits() {
    let mut story = Story::begin("chat");
    story.admit(0, "one", &json!({}));
    let alice = story.start(0, "greet", "say", 1, "alice");
    let bob = story.start(0, "answer", "say", 1, "bob");
    let mut stage = Show::talk(&story, 60);
    stage.catch_up(&story);
    stage.piece(&alice, "alice", "Hello ");
    stage.piece(&bob, "bob", "Good morning ");
    stage.piece(&alice, "alice", "there ");
    stage.piece(&bob, "bob", "to you ");
    assert_eq!(stage.screen.take(), "\nalice  greet\n  Hello");
    story.fail(&alice, FailureKind::CutOff, "the stream ended early");
    story.answer(&bob, "Good morning to you all", FinishReason::Stop);
    story.settle(0, "greet", TaskStatus::Failed, None);
    story.settle(0, "sum", TaskStatus::Skipped, None);
    story.over(0, CaseStatus::Failed);
    stage.catch_up(&story);
    stage.check(&expect![[r#"
         there
          (cut off: the stream ended early)

        bob  answer
          Good morning to you
          greet failed (refused: HTTP 400: no)
          sum was not asked: a step that it reads failed
    "#]]);
}

#[test]
fn a_second_case_waits_for_the_first() {
    let mut story = Story::begin("chat");
    story.admit(0, "one", &json!({"topic": "cats"}));
    story.admit(1, "two", &json!({"topic": "dogs"}));
    let one = story.start(0, "greet", "say", 1, "alice");
    let two = story.start(1, "greet", "say", 1, "alice");
    story.answer(&two, "Dogs bark.", FinishReason::Stop);
    story.over(1, CaseStatus::Ok);
    story.fail(&one, FailureKind::Throttled, "HTTP 429");
    let one = story.start(0, "greet", "say", 2, "alice");
    story.answer(&one, "Cats purr.", FinishReason::Stop);
    story.over(0, CaseStatus::Ok);
    let mut stage = Show::talk(&story, 60);
    stage.say(&Live::Total(Some(2)));
    stage.catch_up(&story);
    stage.check(&expect![[r#"

        ── case 1 of 2 · one ──
        topic: cats

        alice  greet
          (throttled: HTTP 429)

        alice  greet, attempt 2
          Cats purr.
          case 1: ok

        ── case 2 of 2 · two ──
        topic: dogs

        alice  greet
          Dogs bark.
          case 2: ok
    "#]]);
}

#[test]
fn stopping_is_said_at_once() {
    let mut story = Story::begin("chat");
    story.admit(0, "one", &json!({}));
    let id = story.start(0, "greet", "say", 1, "alice");
    let mut stage = Show::talk(&story, 60);
    stage.catch_up(&story);
    stage.piece(&id, "alice", "Hello there ");
    story.add(Event::DrainStage(DrainStage { stage: Stage::Draining, cause: StopCause::Interrupt }));
    stage.catch_up(&story);
    stage.piece(&id, "alice", "my friend");
    story.fail(&id, FailureKind::Cancelled, "stopped");
    story.end(RunOutcome::Stopped(StopCause::Interrupt));
    stage.catch_up(&story);
    stage.check(&expect![[r#"

        alice  greet
          Hello there
          stopping: calls in flight may end; Ctrl-C again gives them
          up
          my friend
          (given up: the run is stopping)
    "#]]);
}

#[test]
fn votes_are_shown_by_what_they_were_read_as() {
    let mut story = Story::begin("debate");
    story.admit(0, "one", &json!({}));
    let pro = Verdict::Choice("pro".to_owned());
    for (call, verdict) in [
        ("vote/1", pro.clone()),
        ("vote/1/exchanged", Verdict::Unscored(Unscored::Unreadable)),
        ("vote/2", pro.clone()),
    ] {
        let id = story.start(0, "verdict", call, 1, "referee");
        story.answer(&id, "{\"choice\": \"pro\"}", FinishReason::Stop);
        let Some(Event::AttemptEnded(AttemptEnded { outcome: Outcome::Answered(answer), .. })) =
            story.log.last_mut().map(|last| &mut last.event)
        else {
            panic!("an answer was just added");
        };
        answer.facts.verdict = Some(verdict);
    }
    let reason = story.keep("because");
    let judged = judgement(&[pro.clone(), pro.clone()], pro, reason);
    story.settle(0, "verdict", TaskStatus::Ok, Some(TaskOutput::Judge(judged)));
    story.over(0, CaseStatus::Ok);
    let mut stage = Show::talk(&story, 60);
    stage.catch_up(&story);
    stage.check(&expect![[r#"

        referee  verdict
          vote 1: pro
          vote 1, names exchanged: cannot be counted: the answer has
          not the form that was asked for
          vote 2: pro

        verdict: pro  (votes: pro 2)
    "#]]);
}

#[test]
fn who_is_asked_after_a_round_is_shown_by_what_was_read() {
    let mut story = Story::begin("debate");
    story.admit(0, "one", &json!({}));
    let open = Verdict::Choice("open".to_owned());
    for (call, actor, verdict) in [
        ("turn/1", "pro", None),
        ("turn/2", "con", None),
        ("round/1/judge", "referee", Some(Verdict::Unscored(Unscored::Unreadable))),
        ("round/1/judge/repair/1", "referee", Some(open.clone())),
        ("round/1/judge/2", "con", Some(open)),
    ] {
        let id = story.start(0, "debate", call, 1, actor);
        story.answer(&id, "So it is.", FinishReason::Stop);
        let last = story.log.last_mut().map(|last| &mut last.event);
        let Some(Event::AttemptEnded(AttemptEnded { outcome: Outcome::Answered(answer), .. })) = last else {
            panic!("an answer was just added");
        };
        answer.facts.verdict = verdict;
    }
    story.over(0, CaseStatus::Ok);
    let mut stage = Show::talk(&story, 80);
    stage.catch_up(&story);
    stage.check(&expect![[r#"

        pro
          So it is.

        con
          So it is.

        referee  debate
          after round 1: cannot be counted: the answer has not the form that was asked
          for
          after round 1, asked again: open

        con  debate
          after round 1: open
    "#]]);
}

#[test]
fn without_a_terminal_lines_come_by_cases() {
    let mut story = Story::begin("monte_carlo");
    for case in 0..40 {
        story.debate(case, Some("pro"));
    }
    story.end(RunOutcome::Complete);
    let mut stage = Show::lines();
    stage.say(&Live::Total(Some(40)));
    stage.catch_up(&story);
    let screen = stage.screen.clone();
    assert_eq!(stage.display.finish().cases.ok, 40);
    assert_eq!(screen.text().lines().count(), 20);
    expect!["4 of 40  10.0 %  12 items/min  6.0 tokens/s  ETA 3 min"]
        .assert_eq(screen.text().lines().nth(1).unwrap());
}

#[test]
fn the_end_says_where_to_look() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    story.end(RunOutcome::Stopped(StopCause::Terminate));
    let screen = Shared::default();
    let stream = |shared: &Shared| Stream::new(Box::new(shared.clone()), ColorChoice::Never, true, 80);
    let data = Shared::default();
    let mut printer = Printer::over(stream(&data), stream(&screen));
    let ending =
        Ending { results: None, kept: ".pipe/runs/debate-1".to_owned(), name: "last".to_owned(), spent: Vec::new() };
    say_ending(&mut printer, &story.tally().summary(&"debate-1".into()), &ending);
    expect![[r#"

        debate: stopped after 5.5 s by SIGTERM; 1 case done

          verdict    pro
          tokens     60 in · 30 out · 5.5 out/s
          requests   3 answered
          backend    auto: llama.cpp at http://127.0.0.1:8080, qwen2.5-0.5b, 4 slots

          results    pipe results last
          details    pipe show last
          kept in    .pipe/runs/debate-1
          go on      pipe resume
    "#]]
    .assert_eq(&screen.text());
    assert_eq!(data.text(), "");
}

#[test]
fn a_display_ends_when_every_sender_is_gone() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    let (sender, receiver) = tokio::sync::mpsc::channel(CHANNEL);
    let thread = start(|| Ok::<_, Infallible>(Display::Silent(Box::default())), receiver).unwrap();
    sender.blocking_send(Live::Facts(story.log.clone().into())).unwrap();
    drop(sender);
    assert_eq!(thread.join().unwrap().unwrap(), story.tally());
}
