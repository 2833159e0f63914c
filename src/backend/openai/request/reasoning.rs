//! How much a model may think, in the fields that each server takes.
//! Reads: what the file says, the host, the kind of server, what is known to be refused. Gives: fields of the body.
//!
//! A server that refuses a field is asked again with the next one, and in the end without any.

use serde_json::{Map, Value, json};

use super::{Host, ServerKind};
use crate::backend::port::ChatRequest;
use crate::event::{Feature, Features};
use crate::prompt::Reasoning;

/// Tokens of a thought where a server takes a number and the file has a word.
const TOKENS: [u32; 3] = [1_024, 4_096, 16_384];

/// The least that Anthropic takes.
const LEAST_THINKING: u32 = 1_024;

/// Returns the fields that say it; none when the server takes none of them.
pub(super) fn fields(
    reasoning: Reasoning,
    request: &ChatRequest,
    host: Host,
    server: ServerKind,
) -> Map<String, Value> {
    let takes = |feature| !request.lacks.has(feature);
    let mut fields = Map::new();
    for dialect in dialects(host, server).iter().copied().filter(|dialect| takes(*dialect)) {
        match dialect {
            Feature::ReasoningEffort => set(&mut fields, "reasoning_effort", json!(effort(reasoning))),
            Feature::ReasoningObject => set(&mut fields, "reasoning", object(reasoning)),
            Feature::ThinkingObject => set(&mut fields, "thinking", thinking(reasoning, request.max_tokens, host)),
            Feature::TemplateKwargs => {
                set(&mut fields, "chat_template_kwargs", json!({ "enable_thinking": reasoning != Reasoning::Off }));
                how_much(&mut fields, reasoning, request.lacks, server);
            }
            _ => continue,
        }
        break;
    }
    fields
}

/// Returns the fields that a server may take, the likeliest first.
const fn dialects(host: Host, server: ServerKind) -> &'static [Feature] {
    use Feature::{ReasoningEffort, ReasoningObject, TemplateKwargs, ThinkingObject};
    match (host, server) {
        (Host::OpenRouter, _) => &[ReasoningObject, ReasoningEffort],
        (Host::Anthropic, _) => &[ThinkingObject, ReasoningEffort],
        // They pass over or refuse everything else.
        (Host::OpenAi, _) | (_, ServerKind::Ollama) => &[ReasoningEffort],
        (Host::Other, ServerKind::Vllm | ServerKind::Sglang | ServerKind::LlamaCpp) => {
            &[TemplateKwargs, ReasoningEffort, ThinkingObject]
        }
        (Host::Other, ServerKind::LmStudio | ServerKind::OpenAiCompatible) => {
            &[ReasoningEffort, TemplateKwargs, ThinkingObject]
        }
    }
}

/// Adds how much is thought, beside a switch that only says whether.
fn how_much(fields: &mut Map<String, Value>, reasoning: Reasoning, lacks: Features, server: ServerKind) {
    let bound = match server {
        ServerKind::LlamaCpp => Some("thinking_budget_tokens"),
        ServerKind::Vllm => Some("thinking_token_budget"),
        _ => None,
    };
    match (reasoning, bound) {
        (Reasoning::Off, _) => {}
        (Reasoning::Budget(tokens), Some(bound)) if !lacks.has(Feature::ThinkingBudget) => {
            set(fields, bound, json!(tokens));
        }
        _ if lacks.has(Feature::ReasoningEffort) => {}
        _ => set(fields, "reasoning_effort", json!(effort(reasoning))),
    }
}

/// Returns the word of OpenAI's `reasoning_effort`.
const fn effort(reasoning: Reasoning) -> &'static str {
    match reasoning {
        Reasoning::Off => "none",
        Reasoning::Low => "low",
        Reasoning::Medium => "medium",
        Reasoning::High => "high",
        Reasoning::Budget(tokens) => match tokens.get() {
            0..=1_024 => "low",
            1_025..=8_192 => "medium",
            _ => "high",
        },
    }
}

/// Returns the `reasoning` of `OpenRouter`.
fn object(reasoning: Reasoning) -> Value {
    match reasoning {
        Reasoning::Off => json!({ "enabled": false }),
        Reasoning::Low | Reasoning::Medium | Reasoning::High => json!({ "effort": effort(reasoning) }),
        Reasoning::Budget(tokens) => json!({ "max_tokens": tokens }),
    }
}

/// Returns Anthropic's `thinking`. Others that have it take only the type, and a number of tokens where there is one.
fn thinking(reasoning: Reasoning, max_tokens: Option<u32>, host: Host) -> Value {
    let [low, medium, high] = TOKENS;
    let tokens = match (reasoning, host) {
        (Reasoning::Off, _) => return json!({ "type": "disabled" }),
        (Reasoning::Budget(tokens), _) => tokens.get(),
        (Reasoning::Low, Host::Anthropic) => low,
        (Reasoning::Medium, Host::Anthropic) => medium,
        (Reasoning::High, Host::Anthropic) => high,
        (Reasoning::Low | Reasoning::Medium | Reasoning::High, _) => return json!({ "type": "enabled" }),
    };
    // A thought is part of the length there, and must leave room for an answer.
    let room = max_tokens.map_or(u32::MAX, |most| most.saturating_sub(1));
    let tokens = if host == Host::Anthropic { tokens.min(room).max(LEAST_THINKING) } else { tokens };
    json!({ "type": "enabled", "budget_tokens": tokens })
}

fn set(fields: &mut Map<String, Value>, name: &str, value: Value) {
    fields.insert(name.to_owned(), value);
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::backend::contract::request;

    #[track_caller]
    fn check(host: &str, server: ServerKind, wish: &str, lacks: &[Feature], expected: &str) {
        let reasoning = match wish {
            "off" => Reasoning::Off,
            "low" => Reasoning::Low,
            "medium" => Reasoning::Medium,
            "high" => Reasoning::High,
            tokens => Reasoning::Budget(NonZeroU32::new(tokens.parse().expect("a number")).expect("not 0")),
        };
        let request = ChatRequest { lacks: lacks.iter().copied().collect(), max_tokens: Some(3_000), ..request("m") };
        let found = Value::Object(fields(reasoning, &request, Host::of(host), server)).to_string();
        assert_eq!(found, expected, "{host} {server:?} {wish} {lacks:?}");
    }

    #[test]
    fn each_server_is_asked_in_its_own_words() {
        use ServerKind::{LlamaCpp, LmStudio, Ollama, OpenAiCompatible, Sglang, Vllm};
        let here = "127.0.0.1";
        check(here, OpenAiCompatible, "off", &[], r#"{"reasoning_effort":"none"}"#);
        check(here, OpenAiCompatible, "high", &[], r#"{"reasoning_effort":"high"}"#);
        check(here, Ollama, "off", &[], r#"{"reasoning_effort":"none"}"#);
        check(here, LmStudio, "medium", &[], r#"{"reasoning_effort":"medium"}"#);
        for (tokens, word) in
            [("1000", "low"), ("1024", "low"), ("1025", "medium"), ("8000", "medium"), ("9000", "high")]
        {
            check(here, Ollama, tokens, &[], &format!(r#"{{"reasoning_effort":"{word}"}}"#));
        }
        check("openrouter.ai", OpenAiCompatible, "off", &[], r#"{"reasoning":{"enabled":false}}"#);
        check("openrouter.ai", OpenAiCompatible, "low", &[], r#"{"reasoning":{"effort":"low"}}"#);
        check("openrouter.ai", OpenAiCompatible, "2000", &[], r#"{"reasoning":{"max_tokens":2000}}"#);
        check("api.anthropic.com", OpenAiCompatible, "off", &[], r#"{"thinking":{"type":"disabled"}}"#);
        let bounded = r#"{"thinking":{"type":"enabled","budget_tokens":2999}}"#;
        check("api.anthropic.com", OpenAiCompatible, "high", &[], bounded);
        let least = r#"{"thinking":{"type":"enabled","budget_tokens":1024}}"#;
        check("api.anthropic.com", OpenAiCompatible, "500", &[], least);
        for server in [Vllm, Sglang, LlamaCpp] {
            check(here, server, "off", &[], r#"{"chat_template_kwargs":{"enable_thinking":false}}"#);
            let low = r#"{"chat_template_kwargs":{"enable_thinking":true},"reasoning_effort":"low"}"#;
            check(here, server, "low", &[], low);
        }
        let bounded = r#"{"chat_template_kwargs":{"enable_thinking":true},"thinking_budget_tokens":512}"#;
        check(here, LlamaCpp, "512", &[], bounded);
        let bounded = r#"{"chat_template_kwargs":{"enable_thinking":true},"thinking_token_budget":512}"#;
        check(here, Vllm, "512", &[], bounded);
    }

    #[test]
    fn what_is_refused_is_said_in_other_words_and_at_last_not_at_all() {
        use Feature::{ReasoningEffort, ReasoningObject, TemplateKwargs, ThinkingBudget, ThinkingObject};
        use ServerKind::{Ollama, OpenAiCompatible, Vllm};
        let here = "127.0.0.1";
        let switch = r#"{"chat_template_kwargs":{"enable_thinking":true}}"#;
        check(here, OpenAiCompatible, "low", &[ReasoningEffort], switch);
        let switch = r#"{"thinking":{"type":"enabled"}}"#;
        check(here, OpenAiCompatible, "low", &[ReasoningEffort, TemplateKwargs], switch);
        check(here, OpenAiCompatible, "low", &[ReasoningEffort, TemplateKwargs, ThinkingObject], "{}");
        check(here, Ollama, "low", &[ReasoningEffort], "{}");
        check("api.openai.com", OpenAiCompatible, "low", &[ReasoningEffort], "{}");
        check("openrouter.ai", OpenAiCompatible, "2000", &[ReasoningObject], r#"{"reasoning_effort":"medium"}"#);
        let worded = r#"{"chat_template_kwargs":{"enable_thinking":true},"reasoning_effort":"low"}"#;
        check(here, Vllm, "512", &[ThinkingBudget], worded);
        let switch = r#"{"chat_template_kwargs":{"enable_thinking":true}}"#;
        check(here, Vllm, "512", &[ThinkingBudget, ReasoningEffort], switch);
        check(here, Vllm, "off", &[TemplateKwargs], r#"{"reasoning_effort":"none"}"#);
    }
}
