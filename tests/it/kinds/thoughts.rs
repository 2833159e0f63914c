//! Thoughts in the content, in fields of their own, and answers that merely speak of their marks. F4, F5.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Answered, Case, Chats, Ended, Exit, Hides, Is, Shows, Steps, Within, chats, check_all, fine};
use crate::scripted_server::{Answer, Ask, proper};

/// A word that is in every thought and in no answer.
pub(super) const CANARY: &str = "zebraquartz";
/// A thought.
pub(super) const THOUGHT: &str = "The user wants a verdict. Is it {\"choice\":\"no\"}? The zebraquartz says AGREED.";

/// How a server writes a thought before an answer: the fields of the message.
pub(super) type Dialect = fn(thought: &str, answer: &str) -> Value;

fn content(text: String) -> Value {
    Value::from_iter([("content", Value::String(text))])
}

/// Dialects of servers and model families.
pub(super) const DIALECTS: &[(&str, Dialect)] = &[
    ("deepseek, qwen", |t, a| content(format!("<think>\n{t}\n</think>\n\n{a}"))),
    ("only the closing mark", |t, a| content(format!("{t}\n</think>\n\n{a}"))),
    ("only the closing mark, no line of its own", |t, a| content(format!("{t}</think>{a}"))),
    ("harmony", |t, a| {
        content(format!("<|channel|>analysis<|message|>{t}<|end|><|start|>assistant<|channel|>final<|message|>{a}"))
    }),
    ("harmony, returned", |t, a| {
        content(format!(
            "<|start|>assistant<|channel|>analysis<|message|>{t}<|end|><|start|>assistant<|channel|>final<|message|>{a}<|return|>"
        ))
    }),
    ("harmony, constrained", |t, a| {
        content(format!(
            "<|channel|>analysis<|message|>{t}<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>{a}"
        ))
    }),
    ("gemini", |t, a| content(format!("<thought>{t}</thought>\n{a}"))),
    ("claude's habit", |t, a| content(format!("<thinking>\n{t}\n</thinking>\n\n{a}"))),
    ("magistral", |t, a| content(format!("[THINK]{t}[/THINK]{a}"))),
    ("only magistral's closing mark", |t, a| content(format!("{t}[/THINK]{a}"))),
    ("exaone, hermes", |t, a| content(format!("<reasoning>\n{t}\n</reasoning>\n{a}"))),
    ("seed", |t, a| content(format!("<seed:think>{t}</seed:think>{a}"))),
    ("only seed's closing mark", |t, a| content(format!("{t}</seed:think>{a}"))),
    ("cohere", |t, a| content(format!("<|START_THINKING|>{t}<|END_THINKING|><|START_RESPONSE|>{a}<|END_RESPONSE|>"))),
    ("kimi", |t, a| content(format!("◁think▷{t}◁/think▷{a}"))),
    ("openthinker", |t, a| {
        content(format!(
            "<|begin_of_thought|>\n\n{t}\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n{a}\n\n<|end_of_solution|>"
        ))
    }),
    ("medgemma", |t, a| content(format!("<unused94>thought\n{t}<unused95>{a}"))),
    ("gemma", |t, a| content(format!("<|channel>thought\n{t}\n<channel|>{a}"))),
    ("capitals", |t, a| content(format!("<THINK>{t}</THINK>\n{a}"))),
    ("blanks before it", |t, a| content(format!("\n  <think>{t}</think>\n{a}"))),
    ("an empty thought before a thought", |t, a| content(format!("<think>\n\n</think>\n<think>{t}</think>\n{a}"))),
    ("two thoughts", |t, a| content(format!("<think>First: {t}</think>\n\n<think>Then: {t}</think>\n\n{a}"))),
    ("a thought about marks", |t, a| content(format!("<think>Do I write <b> or <think> here? {t}</think>\n{a}"))),
    (
        "parts of mistral",
        |t, a| json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": t }] }, { "type": "text", "text": a }] }),
    ),
    (
        "parts, reasoning",
        |t, a| json!({ "content": [{ "type": "reasoning", "text": t }, { "type": "text", "text": a }] }),
    ),
    (
        "parts of anthropic",
        |t, a| json!({ "content": [{ "type": "thinking", "thinking": t, "signature": "x" }, { "type": "text", "text": a }] }),
    ),
    (
        "marks inside a part",
        |t, a| json!({ "content": [{ "type": "text", "text": format!("<think>{t}</think>\n{a}") }] }),
    ),
    ("reasoning_content", |t, a| json!({ "reasoning_content": t, "content": a })),
    ("reasoning", |t, a| json!({ "reasoning": t, "content": a })),
    ("thinking", |t, a| json!({ "thinking": t, "content": a })),
    ("reasoning_text", |t, a| json!({ "reasoning_text": t, "content": a })),
    (
        "reasoning and reasoning_details",
        |t, a| json!({ "reasoning": t, "reasoning_details": [{ "type": "reasoning.text", "text": t, "index": 0 }], "content": a }),
    ),
    (
        "thinking_blocks",
        |t, a| json!({ "thinking_blocks": [{ "type": "thinking", "thinking": t, "signature": "x" }], "content": a }),
    ),
    (
        "a field, and a stray closing mark",
        |t, a| json!({ "reasoning_content": t, "content": format!("</think>\n\n{a}") }),
    ),
];

/// Which item a prompt is about.
fn item(prompt: &str) -> usize {
    let about = regex::Regex::new(r"\bi(\d+):").expect("a pattern");
    about.captures(prompt).and_then(|found| found[1].parse().ok()).unwrap_or(0)
}

fn in_dialect(ask: &Ask) -> Value {
    DIALECTS[item(ask.prompt())].1(THOUGHT, proper(ask))
}

/// What is wrong with each item of a run in which item `n` is answered in dialect `n`.
fn leaks(ended: &Ended) -> Option<String> {
    let mut wrong = vec![];
    for (number, (name, _)) in DIALECTS.iter().enumerate() {
        let row = ended.rows.get(number).cloned().unwrap_or_default();
        if row["s.text"] != "Canberra." {
            wrong.push(format!("{name}: text {}", row["s.text"]));
        }
        if row["j.choice"] != "yes" {
            wrong.push(format!("{name}: choice {}", row["j.choice"]));
        }
        let asked = ended.chats().iter().filter(|one| item(&one.prompt) == number).count();
        if asked != 2 {
            wrong.push(format!("{name}: {asked} requests"));
        }
        let shown = ended.project.run(&["show", "last", &number.to_string(), "--json"]);
        if !String::from_utf8_lossy(&shown.stdout).contains(CANARY) {
            wrong.push(format!("{name}: the thought is not kept"));
        }
    }
    if ended.chats().iter().any(|one| one.body.to_string().contains(CANARY)) {
        wrong.push("a thought is in a request".to_owned());
    }
    if ended.told.contains(CANARY) {
        wrong.push("a thought is in what the run shows".to_owned());
    }
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

#[test]
fn f04_a_thought_is_taken_off_whoever_wrote_it() {
    check_all(vec![
        chats("F4 dialects", |ask| Answer::message(in_dialect(ask)).to(ask))
            .steps(Steps::ChatAndJudge)
            .items(DIALECTS.len())
            .concurrency(4)
            .expect(fine(DIALECTS.len()))
            .expect([Is(Arc::new(leaks))]),
        chats("F4 dialects, to a schema", |ask| Answer::message(in_dialect(ask)).to(ask))
            .steps(Steps::Schema)
            .items(DIALECTS.len())
            .concurrency(4)
            .expect(fine(DIALECTS.len()))
            .expect([Chats(DIALECTS.len(), DIALECTS.len())]),
    ]);
}

/// Answers that speak of the marks of thoughts: none of them is a thought.
const MENTIONS: &[&str] = &[
    "Models write <think> and </think> around what they think.",
    "Such models put their thoughts between <think> and </think>, then answer. I do not.",
    "A thought ends with `</think>` in many models.",
    "Use tags: <thinking>this is how it looks</thinking> in a prompt.",
    "```\n<think>\nstep by step\n</think>\n42\n```\nThat is the format.",
    "\"<think>\" opens it and \"</think>\" closes it.",
    "`<think>x</think>` is stripped by most clients.",
    "gpt-oss writes <|channel|>analysis<|message|> before it thinks and <|end|> after it.",
    "Mistral's marks are [THINK] and [/THINK].",
    "1. <think>\n2. </think>\nThese are the two marks.",
    "The regex is `^<think>(.*?)</think>` in most clients.",
    "<b>Canberra</b> is the capital.",
    "<thoughtful>Canberra</thoughtful>",
    "[THINKING ALOUD] Canberra it is.",
    "In HTML: <p>a &lt;think&gt; mark</p>",
    "She said: I think.</p>",
    "Reasoning: the capital is Canberra.",
    "Thinking about it, Canberra.",
    "<answer>Canberra</answer>",
    "A < B, and <think about that> is no mark.",
];

fn whole(ended: &Ended) -> Option<String> {
    let there = |number: usize| ended.rows.get(number).map_or(Value::Null, |row| row["s.text"].clone());
    let wrong: Vec<String> = (0..MENTIONS.len())
        .filter(|number| there(*number) != MENTIONS[*number])
        .map(|number| format!("{:?} became {}", MENTIONS[number], there(number)))
        .collect();
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

#[test]
fn f04_an_answer_that_speaks_of_marks_is_left_whole() {
    let after = "The marks are <think> and </think>.";
    check_all(vec![
        chats("F4 mentions", |ask| Answer::text(MENTIONS[item(ask.prompt())]).to(ask))
            .items(MENTIONS.len())
            .concurrency(4)
            .expect(fine(MENTIONS.len()))
            .expect([Chats(MENTIONS.len(), MENTIONS.len()), Is(Arc::new(whole))]),
        chats("F4 a mention after a thought", move |ask| {
            Answer::text(&format!("<think>{THOUGHT}</think>\n\n{after}")).to(ask)
        })
        .expect(fine(1))
        .expect([super::Text(after), Chats(1, 1)]),
        chats("F4 a mention beside a field", move |ask| {
            Answer::message(json!({ "reasoning_content": THOUGHT, "content": after })).to(ask)
        })
        .expect(fine(1))
        .expect([super::Text(after), Chats(1, 1)]),
    ]);
}

/// One call that is answered like this always.
fn answered(name: &str, message: Value, finish: &'static str) -> Case {
    chats(name, move |ask| Answer::message(message.clone()).finish(finish).to(ask))
}

#[test]
fn f04_a_thought_that_length_cuts_is_no_answer() {
    let cut = |name: &str, text: &str| {
        answered(&format!("F4 unclosed: {name}"), content(text.to_owned()), "length")
            .expect([Exit(&[1, 4]), Answered(0), Chats(1, 1), Shows(&["max_tokens"]), Shows(&["reason", "thought"])])
            .expect([Hides(&[CANARY])])
    };
    let unclosed = |name: &str, text: &str| {
        answered(&format!("F4 unclosed, stop: {name}"), content(text.to_owned()), "stop").expect([
            Exit(&[1, 4]),
            Answered(0),
            Chats(1, 6),
            Within(20),
            Hides(&[CANARY]),
        ])
    };
    let on = "The user wants a zebraquartz and I go on and on";
    check_all(vec![
        cut("think", &format!("<think>\n{on}")),
        cut("thinking", &format!("<thinking>{on}")),
        cut("magistral", &format!("[THINK]{on}")),
        cut("harmony", &format!("<|channel|>analysis<|message|>{on}")),
        cut("harmony, closed, no final", &format!("<|channel|>analysis<|message|>{on}<|end|><|start|>assistant")),
        cut("closed, and then nothing", &format!("<think>{on}</think>\n\n")),
        cut("seed", &format!("<seed:think>{on}")),
        unclosed("think", &format!("<think>\n{on}")),
        unclosed("gemini", &format!("<thought>{on}")),
    ]);
}

#[test]
fn f05_blank_content_beside_reasoning_is_no_answer() {
    let on = "The user asks for a zebraquartz";
    let cut = |name: &str, message: Value| {
        answered(&format!("F5 length: {name}"), message, "length").expect([
            Exit(&[1, 4]),
            Answered(0),
            Chats(1, 1),
            Shows(&["max_tokens"]),
            Hides(&[CANARY]),
        ])
    };
    let stopped = |name: &str, message: Value| {
        answered(&format!("F5 stop: {name}"), message, "stop").expect([
            Exit(&[1, 4]),
            Answered(0),
            Chats(2, 6),
            Within(20),
            Hides(&[CANARY]),
        ])
    };
    check_all(vec![
        cut("reasoning, empty", json!({ "reasoning": on, "content": "" })),
        cut("reasoning_content, lines", json!({ "reasoning_content": on, "content": "\n\n" })),
        cut("reasoning_content, null", json!({ "reasoning_content": on, "content": null })),
        cut("thinking, blanks", json!({ "thinking": on, "content": " \t " })),
        cut("reasoning_text, odd blanks", json!({ "reasoning_text": on, "content": "\u{a0}\u{2003}\u{feff}" })),
        cut("details", json!({ "reasoning_details": [{ "type": "reasoning.text", "text": on }], "content": "" })),
        cut("no content at all", json!({ "reasoning_content": on })),
        cut(
            "a thinking part alone",
            json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": on }] }] }),
        ),
        stopped("reasoning, empty", json!({ "reasoning": on, "content": "" })),
        stopped("reasoning_content, lines", json!({ "reasoning_content": on, "content": "\r\n \n" })),
        stopped("reasoning_content, null", json!({ "reasoning_content": on, "content": null })),
    ]);
}

#[test]
fn f05_what_comes_at_the_second_try_is_taken() {
    let blank = |ask: &Ask| {
        let first = Answer::message(json!({ "reasoning": THOUGHT, "content": "\n" }));
        if ask.number == 1 { first.to(ask) } else { Answer::text(proper(ask)).to(ask) }
    };
    check_all(vec![
        chats("F5 blank once", blank).expect(fine(1)).expect([super::Text("Canberra."), Chats(2, 2)]),
        chats("F5 blank once, to a judge", blank)
            .steps(Steps::Judge)
            .expect(fine(1))
            .expect([super::Choice("yes"), Chats(2, 2)]),
    ]);
}
