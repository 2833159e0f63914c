//! Token counts, in whatever names and clothing servers send them.

use serde_json::Value;

use crate::base::TokenCount;
use crate::event::Usage;

/// More tokens than that is a broken count: no request has had a millionth of it.
const MOST: f64 = 1e12;

const INPUT: &[&str] =
    &["prompt_tokens", "input_tokens", "prompt_eval_count", "promptTokenCount", "promptTokens", "inputTokens"];
const OUTPUT: &[&str] =
    &["completion_tokens", "output_tokens", "eval_count", "completionTokens", "outputTokens", "generated_tokens"];
const CACHED: &[&str] = &[
    "prompt_tokens_details/cached_tokens",
    "input_tokens_details/cached_tokens",
    "prompt_cache_hit_tokens",
    "cached_tokens",
    "cachedContentTokenCount",
];
const REASONING: &[&str] = &[
    "completion_tokens_details/reasoning_tokens",
    "output_tokens_details/reasoning_tokens",
    "reasoning_tokens",
    "thoughtsTokenCount",
];

/// Reads token counts; what is missing, 0 or no number is unknown.
///
/// No prompt and no answer has 0 tokens: servers that send a 0 have not counted.
pub(super) fn read(value: &Value) -> Usage {
    let first = |names: &[&str]| names.iter().find_map(|name| count(value, name));
    let mut input = first(INPUT).filter(|count| *count > 0);
    let mut cached = first(CACHED);
    // Anthropic's names: there the prompt is counted without what a cache held.
    let from_cache = count(value, "cache_read_input_tokens");
    if count(value, "prompt_tokens").is_none() && count(value, "input_tokens").is_some() && from_cache.is_some() {
        let written = count(value, "cache_creation_input_tokens");
        input = Some(input.unwrap_or(0) + from_cache.unwrap_or(0) + written.unwrap_or(0)).filter(|sum| *sum > 0);
    }
    cached = cached.or(from_cache);
    let reasoning = first(REASONING);
    // Google's names: there the answer is counted without the thought.
    let candidates = count(value, "candidatesTokenCount").map(|answer| answer + reasoning.unwrap_or(0));
    let total = count(value, "total_tokens").or_else(|| count(value, "totalTokenCount"));
    let rest = || total?.checked_sub(input?);
    let output = first(OUTPUT).or(candidates).filter(|count| *count > 0).or_else(rest).filter(|count| *count > 0);
    Usage {
        input: input.map(TokenCount),
        output: output.map(TokenCount),
        cached: cached.map(TokenCount),
        reasoning: reasoning.map(TokenCount),
    }
}

/// Returns what is known after both: a later count replaces an earlier one.
pub(super) fn merged(earlier: Usage, later: Usage) -> Usage {
    Usage {
        input: later.input.or(earlier.input),
        output: later.output.or(earlier.output),
        cached: later.cached.or(earlier.cached),
        reasoning: later.reasoning.or(earlier.reasoning),
    }
}

fn count(value: &Value, path: &str) -> Option<u64> {
    let value = path.split('/').try_fold(value, |value, name| value.get(name))?;
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and 1e12")]
    (0.0..=MOST).contains(&number).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Input, output, cached, reasoning; `-` is unknown.
    fn check(text: &str, expected: &str) {
        let usage = read(&serde_json::from_str(text).expect("JSON"));
        let shown = |count: Option<TokenCount>| count.map_or("-".to_owned(), |count| count.0.to_string());
        let all = [usage.input, usage.output, usage.cached, usage.reasoning].map(shown).join(" ");
        assert_eq!(all, expected, "{text}");
    }

    #[test]
    fn counts_are_read_in_any_clothing() {
        check(r#"{"prompt_tokens":20,"completion_tokens":5,"total_tokens":25}"#, "20 5 - -");
        check(r#"{"prompt_tokens":20.0,"completion_tokens":5.0}"#, "20 5 - -");
        check(r#"{"prompt_tokens":"20","completion_tokens":" 5 "}"#, "20 5 - -");
        check(r#"{"input_tokens":20,"output_tokens":5}"#, "20 5 - -");
        check(r#"{"prompt_eval_count":20,"eval_count":5}"#, "20 5 - -");
        check(r#"{"promptTokenCount":20,"candidatesTokenCount":5,"thoughtsTokenCount":7}"#, "20 12 - 7");
        check(
            r#"{"prompt_tokens":20,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":8},"completion_tokens_details":{"reasoning_tokens":3}}"#,
            "20 5 8 3",
        );
        check(
            r#"{"input_tokens":2,"output_tokens":5,"cache_read_input_tokens":10,"cache_creation_input_tokens":8}"#,
            "20 5 10 -",
        );
        check(r#"{"prompt_tokens":20,"completion_tokens":5,"cache_read_input_tokens":10}"#, "20 5 10 -");
        check(r#"{"prompt_tokens":20,"total_tokens":25}"#, "20 5 - -");
    }

    #[test]
    fn what_makes_no_sense_is_unknown() {
        check("null", "- - - -");
        check(r#"{"prompt_tokens":0,"completion_tokens":0}"#, "- - - -");
        check(r#"{"prompt_tokens":-3,"completion_tokens":1e300}"#, "- - - -");
        check(r#"{"prompt_tokens":"many","completion_tokens":[5]}"#, "- - - -");
        check(r#"{"prompt_tokens":30,"total_tokens":25}"#, "30 - - -");
    }

    #[test]
    fn a_later_count_replaces_an_earlier_one_and_nothing_erases_it() {
        let of = |text: &str| read(&serde_json::from_str(text).expect("JSON"));
        let both = merged(of(r#"{"prompt_tokens":20,"completion_tokens":1}"#), of(r#"{"completion_tokens":5}"#));
        assert_eq!(both, of(r#"{"prompt_tokens":20,"completion_tokens":5}"#));
    }
}
