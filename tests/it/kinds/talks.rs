//! Dialogues: whose thoughts are whose, and empty turns. F4, F5, F21, and the debate of the issue.

use std::sync::Arc;

use serde_json::{Value, json};

use super::thoughts::{CANARY, DIALECTS, Dialect, THOUGHT};
use super::{Answered, Chats, Choice, Ended, Exit, Is, Shows, Steps, chats, check_all, fine};
use crate::scripted_server::{Answer, Ask, Reply, proper, well};

/// What no message of a request may hold.
fn nothing_of_the_thoughts(ended: &Ended) -> Option<String> {
    let mut wrong = vec![];
    if ended.chats().iter().any(|one| one.body.to_string().contains(CANARY)) {
        wrong.push("a thought is in a request");
    }
    if ended.rows.iter().any(|row| row.to_string().contains(CANARY)) {
        wrong.push("a thought is in a result");
    }
    let talk = |arguments: &[&str]| String::from_utf8_lossy(&ended.project.run(arguments).stdout).into_owned();
    if ended.told.contains(CANARY) || talk(&["show", "last"]).contains(CANARY) {
        wrong.push("a thought is in what is shown of the run");
    }
    if talk(&["results", "last"]).contains(CANARY) || talk(&["export", "last"]).contains(CANARY) {
        wrong.push("a thought is in an exported row");
    }
    if !ended.shown().contains(CANARY) {
        wrong.push("no thought is in pipe show --json");
    }
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

/// Two speakers who reason and a judge who does, in four dialects by turns.
fn four_dialects(ask: &Ask) -> Reply {
    let named = ["deepseek, qwen", "only the closing mark", "harmony", "reasoning_content"];
    let (_, dialect): &(&str, Dialect) =
        DIALECTS.iter().find(|(name, _)| *name == named[ask.number % named.len()]).expect("the four are dialects");
    let answer = if proper(ask).starts_with('{') { proper(ask).to_owned() } else { format!("Point {}.", ask.number) };
    Answer::message(dialect(THOUGHT, &answer)).to(ask)
}

#[test]
fn a_debate_of_speakers_who_reason_shows_no_thought_to_anybody() {
    check_all(vec![
        chats("debate in four dialects", four_dialects)
            .steps(Steps::Talk)
            .items(4)
            .concurrency(2)
            .expect(fine(4))
            .expect([Choice("yes"), Chats(20, 20), Is(Arc::new(nothing_of_the_thoughts))]),
    ]);
}

/// Which item a dialogue is about.
fn item(body: &Value) -> usize {
    let about = regex::Regex::new(r"Talk about i(\d+)\.").expect("a pattern");
    about.captures(&body.to_string()).and_then(|found| found[1].parse().ok()).unwrap_or(0)
}

/// Every dialogue has its four turns.
fn four_turns(ended: &Ended) -> Option<String> {
    let turns = |number: usize| ended.chats().iter().filter(|one| item(&one.body) == number).count();
    let all = DIALECTS.iter().enumerate().map(|(number, (name, _))| (name, turns(number)));
    let wrong: Vec<String> =
        all.filter(|(_, turns)| *turns != 4).map(|(name, turns)| format!("{name}: {turns} requests")).collect();
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

#[test]
fn f04_a_word_in_a_thought_ends_no_debate() {
    check_all(vec![
        chats("F4 AGREED in a thought", |ask| {
            let dialect = DIALECTS[item(&ask.body)].1;
            Answer::message(dialect(
                "I must not give in and say AGREED too early.",
                "No, I do not accept that point.",
            ))
            .to(ask)
        })
        .steps(Steps::AgreedTalk)
        .items(DIALECTS.len())
        .concurrency(4)
        .expect(fine(DIALECTS.len()))
        .expect([Is(Arc::new(four_turns))]),
        // And a word that is said does end it.
        chats("F4 AGREED after a thought", |ask| {
            Answer::text("<think>\nIs this the end?\n</think>\n\nAGREED.").to(ask)
        })
        .steps(Steps::AgreedTalk)
        .expect(fine(1))
        .expect([Chats(1, 1)]),
    ]);
}

/// Whether a request has a message without text.
fn has_blank(ask: &Ask) -> bool {
    let messages = ask.body["messages"].as_array().cloned().unwrap_or_default();
    messages.iter().any(|message| message["content"].as_str().is_none_or(|text| text.trim().is_empty()))
}

/// A server that refuses messages without text, whose first answer is none.
fn blank_first(name: &str, first: Value, refusal: &'static str) -> super::Case {
    chats(&format!("F21 {name}"), move |ask| match ask {
        ask if has_blank(ask) => Reply::json(400, refusal),
        ask if ask.number == 1 => Answer::message(first.clone()).to(ask),
        ask if proper(ask).starts_with('{') => well(ask),
        ask => Answer::text(&format!("Point {}.", ask.number)).to(ask),
    })
    .steps(Steps::Talk)
    .expect(fine(1))
    .expect([Choice("yes"), Chats(5, 7)])
}

#[test]
fn f21_one_empty_turn_does_not_cost_the_dialogue() {
    let anthropic = r#"{"error":{"message":"messages.2: all messages must have non-empty content except for the optional final assistant message","type":"invalid_request_error"}}"#;
    let bedrock = r#"{"message":"The text field in the ContentBlock object at messages.1.content.0 is blank. Add text to the text field, and try again."}"#;
    let mistral = r#"{"object":"error","message":"Assistant message must have either content or tool_calls, but not none.","type":"invalid_request_message_error","code":"3240"}"#;
    check_all(vec![
        blank_first("empty", json!({ "content": "" }), anthropic),
        blank_first("null", json!({ "content": null }), mistral),
        blank_first("blank", json!({ "content": " \n" }), bedrock),
        blank_first("only a thought", json!({ "content": "<think>\nHm.\n</think>\n\n" }), anthropic),
    ]);
}

#[test]
fn f05_a_dialogue_of_empty_turns_does_not_pass_in_silence() {
    let empty = |name: &str, message: Value, finish: &'static str| {
        chats(&format!("F5 talk: {name}"), move |ask| {
            if proper(ask).starts_with('{') {
                well(ask)
            } else {
                Answer::message(message.clone()).finish(finish).to(ask)
            }
        })
        .steps(Steps::Talk)
    };
    let lost = [Exit(&[1, 4]), Answered(0)];
    check_all(vec![
        empty("reasoning, length", json!({ "content": "", "reasoning": "The user asks" }), "length")
            .expect(lost.clone())
            .expect([Chats(1, 1), Shows(&["max_tokens"])]),
        empty("reasoning, stop", json!({ "content": "", "reasoning": "The user asks" }), "stop")
            .expect(lost)
            .expect([Chats(2, 6)]),
        empty("nothing at all", json!({ "content": "" }), "stop")
            .expect([Chats(1, 30)])
            .is("a dialogue of empty turns passes without a word", |ended| {
                ended.code != 0 || ended.shows("empty") || ended.shows("blank") || ended.shows("no answer")
            }),
    ]);
}
