//! Pages at the sizes that terminals have.

use expect_test::{Expect, expect};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::text::Text;
use serde_json::json;

use super::command::{text, to_json};
use super::follow::Followed;
use super::page::{View, page};
use crate::base::{Millis, RunId};
use crate::cli::testing::Project;
use crate::event::{Capacity, CapacityChanged, CaseStatus, Event, FailureKind, FinishReason, RunOutcome, TaskStatus};
use crate::report::testing::Story;
use crate::report::{RunStatus, Watch};

/// A live run: two cases over, one in trouble, one that says much, and something that is no plain text.
fn story() -> Story {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    story.debate(1, None);
    story.admit(2, "m2", &json!({ "motion": "Tea or coffee" }));
    let refused = story.start(2, "debate", "turn/1", 1, "pro");
    story.fail(&refused, FailureKind::Refused, "HTTP 400: no such\nmodel");
    story.settle(2, "debate", TaskStatus::Failed, None);
    story.over(2, CaseStatus::Failed);
    story.admit(3, "m3", &json!({ "motion": "Cats" }));
    let hasty = story.start(3, "debate", "turn/1", 1, "pro");
    story.fail_again(&hasty, FailureKind::Overloaded, "HTTP 503");
    story.add(Event::CapacityChanged(CapacityChanged {
        model: None,
        backend: "auto".into(),
        change: Capacity::BreakerOpened,
        reason: "too many retries".to_owned(),
    }));
    let said = story.start(3, "aside", "say", 1, "con");
    story.answer(
        &said,
        "Cats \u{1b}[31msleep\nall day, and what they do at night nobody has ever seen.",
        FinishReason::Stop,
    );
    let said = story.start(3, "debate", "turn/1", 2, "pro");
    story.answer(&said, &"A cat is a lion that has learned to live in flats. ".repeat(20), FinishReason::Stop);
    story.admit(4, "m4", &json!({ "motion": "Dogs" }));
    for vote in 1..=6 {
        story.start(4, "verdict", &format!("vote/{vote}"), 1, "referee");
    }
    story
}

fn check(columns: u16, rows: u16, cases_from: Option<usize>, expected: &Expect) {
    let story = story();
    let mut watch = Watch::default();
    watch.expect(Some(40));
    story.log.iter().for_each(|recorded| watch.add(recorded));
    let look_up = story.look_up();
    let view = View {
        run: &RunId::from("debate-20261121-101112-abcdef"),
        place: Some((1, 3)),
        watch: &watch,
        status: RunStatus::Running,
        now: story.log.last().expect("it has begun").at.after(Millis::seconds(2)),
        texts: &|_, digest| look_up(digest),
        cases_from,
        footer: Some("q quit  p pause".to_owned()),
        is_up_to_date: true,
    };
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal
        .draw(|frame| {
            let lines = page(&view, usize::from(columns), usize::from(rows));
            assert!(lines.len() <= usize::from(rows));
            assert!(lines.iter().all(|line| line.width() <= usize::from(columns)), "{lines:#?}");
            frame.render_widget(Text::from(lines), frame.area());
        })
        .unwrap();
    let screen = terminal.backend().to_string();
    assert!(!screen.contains('\u{1b}'), "texts cannot speak to the terminal");
    expected.assert_eq(&screen);
}

#[test]
fn a_usual_terminal() {
    check(
        80,
        24,
        None,
        &expect![[r#"
            "debate-20261121-101112-abcdef  running  22 s                          run 1 of 3"
            "████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  3 of 40  7.5 %    "
            "cases   1 ok · 1 unscored · 1 failed · 2 under way                              "
            "pace    8.2 a minute · about 4 min 32 s left                                    "
            "tokens  160 in (7.3/s) · 80 out (3.6/s)                                         "
            "                                                                                "
            "backend  busy    next  again  answered  failed                                  "
            "auto     4 of 4  2     0      8         2       one call at a time until it ans…"
            "                                                                                "
            "without an answer   overloaded 1, refused 1                                     "
            "  10 s ago  case 2 debate turn/1 attempt 1, given up: refused: HTTP 400: no suc…"
            "  8 s ago  case 3 debate turn/1 attempt 1: overloaded: HTTP 503                 "
            "                                                                                "
            "said of late                                                                    "
            "  pro  case 3 debate turn/1, 5 s ago                                            "
            "    A cat is a lion that has learned to live in flats. A cat is a lion that has "
            "    learned to live in flats. A cat is a lion that has learned to live in flats."
            "    A cat is a lion that has learned to live in flats. A cat is a lion that has "
            "    learned to live in flats. A cat is a lion that has learned to live in flats."
            "    A cat is a lion that has learned to live in flats. A cat is a lion that has…"
            "                                                                                "
            "                                                                                "
            "                                                                                "
            "q quit  p pause                                                                 "
        "#]],
    );
}

#[test]
fn a_large_terminal() {
    check(
        120,
        40,
        None,
        &expect![[r#"
        "debate-20261121-101112-abcdef  running  22 s                                                                  run 1 of 3"
        "████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  3 of 40  7.5 %                                            "
        "cases   1 ok · 1 unscored · 1 failed · 2 under way   8.2 a minute · about 4 min 32 s left                               "
        "tokens  160 in (7.3/s) · 80 out (3.6/s)                                                                                 "
        "                                                                                                                        "
        "backend  busy    next  again  answered  failed                                                                          "
        "auto     4 of 4  2     0      8         2       one call at a time until it answers                                     "
        "                                                                                                                        "
        "without an answer   overloaded 1, refused 1                                                                             "
        "  10 s ago  case 2 debate turn/1 attempt 1, given up: refused: HTTP 400: no such model                                  "
        "  8 s ago  case 3 debate turn/1 attempt 1: overloaded: HTTP 503                                                         "
        "                                                                                                                        "
        "said of late                                                                                                            "
        "  pro  case 0 debate turn/1, 20 s ago                                                                                   "
        "    Cats clean themselves.                                                                                              "
        "  con  case 0 debate turn/2, 19 s ago                                                                                   "
        "    Dogs guard the house.                                                                                               "
        "  referee  case 0 verdict vote/1, 18 s ago                                                                              "
        "    {"choice": "pro"}                                                                                                   "
        "  pro  case 1 debate turn/1, 15 s ago                                                                                   "
        "    Cats clean themselves.                                                                                              "
        "  con  case 1 debate turn/2, 14 s ago                                                                                   "
        "    Dogs guard the house.                                                                                               "
        "  referee  case 1 verdict vote/1, 13 s ago                                                                              "
        "    {"choice": "pro"}                                                                                                   "
        "  con  case 3 aside say, 6 s ago                                                                                        "
        "    Cats ␛[31msleep                                                                                                     "
        "    all day, and what they do at night nobody has ever seen.                                                            "
        "  pro  case 3 debate turn/1, 5 s ago                                                                                    "
        "    A cat is a lion that has learned to live in flats. A cat is a lion that has learned to live in flats. A cat is a    "
        "    lion that has learned to live in flats. A cat is a lion that has learned to live in flats. A cat is a lion that has "
        "    learned to live in flats. A cat is a lion that has learned to live in flats. A cat is a lion that has learned to    "
        "    live in flats. A cat is a lion that has learned to live in flats. A cat is a lion that has learned to live in flats."
        "    A cat is a lion that has learned to live in flats. A cat is a lion that has learned to live in flats. A cat is a …  "
        "                                                                                                                        "
        "                                                                                                                        "
        "                                                                                                                        "
        "                                                                                                                        "
        "                                                                                                                        "
        "q quit  p pause                                                                                                         "
    "#]],
    );
}

#[test]
fn a_narrow_terminal() {
    check(
        40,
        20,
        None,
        &expect![[r#"
            "debate-20261121-101112-a…  running  22 s"
            "█░░░░░░░░░░░░░░░░░░░░░░░  3 of 40  7.5 %"
            "cases   1 ok · 1 unscored · 1 failed ·… "
            "pace    8.2 a minute · about 4 min 32 s…"
            "tokens  160 in (7.3/s) · 80 out (3.6/s) "
            "                                        "
            "backend  busy    next  again  answered… "
            "auto     4 of 4  2     0      8…        "
            "                                        "
            "without an answer   overloaded 1, refus…"
            "  10 s ago  case 2 debate turn/1 attemp…"
            "  8 s ago  case 3 debate turn/1 attempt…"
            "                                        "
            "said of late                            "
            "  pro  case 3 debate turn/1, 5 s ago    "
            "    A cat is a lion that has learned to "
            "    live in flats. A cat is a lion that "
            "    has learned to live in flats. A cat "
            "                                        "
            "q quit  p pause                         "
        "#]],
    );
}

#[test]
fn cases_instead_of_talk() {
    check(
        60,
        24,
        Some(1),
        &expect![[r#"
            "debate-20261121-101112-abcdef  running  22 s      run 1 of 3"
            "███░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  3 of 40  7.5 %"
            "cases   1 ok · 1 unscored · 1 failed · 2 under way          "
            "pace    8.2 a minute · about 4 min 32 s left                "
            "tokens  160 in (7.3/s) · 80 out (3.6/s)                     "
            "                                                            "
            "backend  busy    next  again  answered  failed              "
            "auto     4 of 4  2     0      8         2       one call at…"
            "                                                            "
            "without an answer   overloaded 1, refused 1                 "
            "  10 s ago  case 2 debate turn/1 attempt 1, given up: refus…"
            "  8 s ago  case 3 debate turn/1 attempt 1: overloaded: HTTP…"
            "                                                            "
            "case  item  stands                                          "
            "4     m4    verdict vote/6                                  "
            "2     m2    failed                                          "
            "1     m1    unscored                                        "
            "0     m0    ok                                              "
            "                                                            "
            "                                                            "
            "                                                            "
            "                                                            "
            "                                                            "
            "q quit  p pause                                             "
        "#]],
    );
}

#[test]
fn a_case_of_a_matrix_is_named_with_its_cell() {
    let mut watch = Watch::default();
    for mut recorded in story().log {
        if let Event::CaseAdmitted(admitted) = &mut recorded.event {
            admitted.matrix.insert("lang".to_owned(), "de".into());
            admitted.repeat = 2;
        }
        watch.add(&recorded);
    }
    let view = View {
        run: &RunId::from("debate"),
        place: None,
        watch: &watch,
        status: RunStatus::Running,
        now: watch.tally.last.unwrap(),
        texts: &|_, _| None,
        cases_from: Some(0),
        footer: None,
        is_up_to_date: true,
    };
    let lines: Vec<String> = page(&view, 80, 24).iter().map(ToString::to_string).collect();
    for row in ["4     m4#2  lang=de  verdict vote/6", "0     m0#2  lang=de  ok"] {
        assert!(lines.iter().any(|line| line.starts_with(row)), "{row}: {lines:#?}");
    }
}

#[test]
fn no_terminal_is_too_small() {
    let story = story();
    let mut watch = Watch::default();
    story.log.iter().for_each(|recorded| watch.add(recorded));
    for (columns, rows) in [(1, 1), (5, 3), (12, 2), (20, 7), (30, 9), (300, 100)] {
        for cases_from in [None, Some(0), Some(usize::MAX)] {
            let view = View {
                run: &RunId::from("debate"),
                place: None,
                watch: &watch,
                status: RunStatus::Paused,
                now: story.log[0].at,
                texts: &|_, _| None,
                cases_from,
                footer: Some("q quit".to_owned()),
                is_up_to_date: false,
            };
            assert!(page(&view, columns, rows).len() <= rows, "{columns} by {rows}");
        }
    }
}

#[test]
fn a_run_that_is_over_is_shown_as_it_ended() {
    let project = Project::new();
    let mut story = story();
    story.end(RunOutcome::Complete);
    let dir = project.keep(&story);
    let mut run = Followed::open(dir).unwrap();
    run.read(std::time::Duration::MAX).unwrap();
    assert!(run.is_up_to_date && !run.is_live());
    let end = story.log.last().unwrap().at;
    let later = end.after(Millis::seconds(100_000));
    assert_eq!(run.moment(later), end);
    let lines = text(&run, end, 80);
    assert!(lines[0].contains("complete") && lines[1].contains("3 of 5"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("A cat is a lion")), "{lines:#?}");
    let json = to_json(&run, end);
    assert_eq!(json["status"], "complete");
    assert_eq!(json["backends"]["auto"]["answered"], 8);
    assert_eq!(json["recent_failures"][0]["failure"]["kind"], "refused");
    assert!(json["recent_answers"][7]["text"].as_str().is_some_and(|text| text.starts_with("A cat")), "{json}");
}
