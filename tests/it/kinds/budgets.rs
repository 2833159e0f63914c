//! Budgets act however tokens are told, and for what failed. F8.

use serde_json::{Value, json};

use super::{Case, Chats, Exit, Shows, Steps, chats, check_all};
use crate::scripted_server::{Answer, TEXT, proper};

/// Sixteen calls one at a time, of which a budget leaves a few.
fn bounded(name: &str, budget: &str, most: usize, usage: Value, text: &str) -> Case {
    let answer = Answer::text(text).usage(usage);
    chats(&format!("F8 {name}"), move |ask| answer.to(ask))
        .items(16)
        .file(&format!("stop: {{ budget: {{ {budget} }} }}"))
        .expect([Exit(&[6]), Chats(1, most), Shows(&["budget"])])
}

/// An answer of 400 bytes.
fn long() -> String {
    "The capital is Canberra. ".repeat(16)
}

#[test]
fn f08_a_budget_acts_where_usage_is_missing() {
    let estimated = |name: &str, usage: Value| {
        let tokens = bounded(&format!("tokens, {name}"), "tokens: 300", 8, usage.clone(), &long());
        let money = bounded(&format!("money, {name}"), "cost: 0.001 USD", 8, usage, &long());
        [
            tokens.expect([Shows(&["estimate"])]),
            money.model_fields("price: { input: 4 USD/M, output: 4 USD/M }").expect([Shows(&["estimate"])]),
        ]
    };
    let cases = [
        estimated("null", json!(null)),
        estimated("an empty object", json!({})),
        estimated("nulls", json!({ "prompt_tokens": null, "completion_tokens": null, "total_tokens": null })),
        estimated("nothing but noughts", json!({ "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 })),
    ];
    check_all(cases.into_iter().flatten());
}

#[test]
fn f08_numbers_are_read_in_any_clothing() {
    // 25 tokens each: the third spends the 60.
    let read = |name: &str, usage: Value| {
        bounded(name, "tokens: 60", 4, usage, TEXT).expect([Chats(3, 4)]).is(
            "the summary does not count 25 tokens for each",
            |ended| {
                let tokens = &ended.summary["tokens"];
                let asked = ended.chats().len() as u64;
                tokens["input"] == 20 * asked && tokens["output"] == 5 * asked
            },
        )
    };
    check_all(vec![
        read("whole", json!({ "prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25 })),
        read("floats", json!({ "prompt_tokens": 20.0, "completion_tokens": 5.0, "total_tokens": 25.0 })),
        read("other names", json!({ "input_tokens": 20, "output_tokens": 5 })),
        read("strings", json!({ "prompt_tokens": "20", "completion_tokens": "5", "total_tokens": "25" })),
        read("strings with a fraction", json!({ "prompt_tokens": "20.0", "completion_tokens": "5.0" })),
        read("a sum and the prompt", json!({ "prompt_tokens": 20, "total_tokens": 25 })),
        read("ollama's names", json!({ "prompt_eval_count": 20, "eval_count": 5 })),
    ]);
}

#[test]
fn f08_sums_do_not_wrap() {
    let huge = |name: &str, usage: Value| {
        let answer = Answer::text(TEXT).usage(usage);
        chats(&format!("F8 {name}"), move |ask| answer.to(ask))
            .items(16)
            .file("stop: { budget: { tokens: 60 } }")
            // A number that cannot be is spent as it stands or estimated, but it ends nothing badly.
            .expect([Exit(&[6]), Chats(1, 8)])
    };
    check_all(vec![
        huge("the largest", json!({ "prompt_tokens": u64::MAX, "completion_tokens": u64::MAX })),
        huge("a large float", json!({ "prompt_tokens": 1e30, "completion_tokens": 1e30 })),
        huge("negative", json!({ "prompt_tokens": -20, "completion_tokens": -5, "total_tokens": -25 })),
    ]);
}

#[test]
fn f08_what_failed_is_spent_as_well() {
    let failed = |name: &str, answer: Answer| {
        chats(&format!("F8 failed: {name}"), move |ask| answer.to(ask))
            .items(16)
            .file("stop: { budget: { tokens: 60 } }")
            .expect([Exit(&[6]), Chats(1, 6)])
    };
    let thought = json!({ "content": null, "reasoning_content": "The user asks for" });
    check_all(vec![
        failed("reasoning cut", Answer::message(thought.clone()).finish("length")),
        failed("reasoning alone", Answer::message(thought).finish("stop")),
        failed("broken off", Answer::text("The cap").finish("insufficient_system_resource")),
        failed("filtered", Answer::text("").finish("content_filter")),
        // A judge whose answers cannot be read is asked again: each of those counts.
        chats("F8 unscored", |ask| {
            let text = if proper(ask).starts_with('{') { "I would rather not say." } else { TEXT };
            Answer::text(text).to(ask)
        })
        .steps(Steps::Judge)
        .items(16)
        .file("stop: { budget: { tokens: 60 } }")
        .expect([Exit(&[6]), Chats(1, 6)]),
    ]);
}
