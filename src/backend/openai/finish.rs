//! Why an answer ended, in the words of all vendors.
//! Start at [`of_choice`].

use crate::event::FinishReason;

/// What a reason to end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The word says that there is none.
    None,
    /// The answer is whole, or cut at a length.
    Whole(FinishReason),
    /// A word that is not known: the answer is taken, the word reported.
    Unknown,
    /// A filter withheld the answer.
    Filtered,
    /// The server gave up before the answer was whole.
    Broken,
}

/// Words as they are, for what no part of them gives away.
const WORDS: &[(Ending, &[&str])] = &[
    (Ending::None, &["", "null", "none", "nil", "undefined", "false", "unspecified", "in_progress", "not_finished"]),
    (
        Ending::Whole(FinishReason::Stop),
        &[
            "stop",
            "stop_sequence",
            "stop_token",
            "stop_word",
            "stopped",
            "end",
            "end_turn",
            "end_of_turn",
            "end_of_text",
            "eos",
            "eos_token",
            "eot",
            "done",
            "finish",
            "finished",
            "complete",
            "completed",
            "success",
            "normal",
        ],
    ),
    (Ending::Whole(FinishReason::Other), &["tool_calls", "tool_call", "tool_use", "function_call"]),
    (Ending::Whole(FinishReason::Length), &["limit", "truncated", "max_output", "incomplete"]),
    (Ending::Filtered, &["sensitive", "safety", "recitation", "spii", "refusal", "language"]),
    (Ending::Broken, &["error", "abort", "cancelled", "canceled", "insufficient_system_resource"]),
];

/// Parts of words, tried in this order: `MAX_TOKENS`, `model_context_window_exceeded`, `network_error`.
const PARTS: &[(Ending, &[&str])] = &[
    (Ending::None, &["unspecified", "unfinished"]),
    (
        Ending::Whole(FinishReason::Length),
        &[
            "length",
            "max_token",
            "max_output",
            "max_new_token",
            "max_completion",
            "token_limit",
            "context_window",
            "context_limit",
            "context_full",
            "max_context",
        ],
    ),
    (
        Ending::Filtered,
        &[
            "filter",
            "safety",
            "sensitive",
            "prohibit",
            "moderat",
            "blocklist",
            "blocked",
            "guardrail",
            "policy",
            "recitation",
            "flagged",
            "censor",
            "toxic",
        ],
    ),
    (
        Ending::Broken,
        &[
            "error",
            "abort",
            "cancel",
            "insufficient",
            "timeout",
            "timed_out",
            "fail",
            "interrupt",
            "disconnect",
            "unavailable",
            "overload",
            "exhausted",
            "preempt",
            "crash",
        ],
    ),
    (Ending::Whole(FinishReason::Stop), &["stop_sequence", "end_turn", "eos"]),
];

/// Returns what a reason means, whatever its case.
pub(super) fn of_word(word: &str) -> Ending {
    let word = word.trim().to_ascii_lowercase().replace([' ', '-'], "_");
    let word = word.strip_prefix("finish_reason_").unwrap_or(&word);
    let exact = WORDS.iter().find(|(_, words)| words.contains(&word));
    let part = || PARTS.iter().find(|(_, parts)| parts.iter().any(|part| word.contains(part)));
    exact.or_else(part).map_or(Ending::Unknown, |(ending, _)| *ending)
}

/// Returns what the two reasons of a choice mean together, and the word that says so.
///
/// A gateway maps what it does not know to `stop`: where the server behind it says that the answer was cut, withheld or
/// given up, that counts.
pub(super) fn of_choice<'a>(reason: Option<&'a str>, native: Option<&'a str>) -> (Ending, &'a str) {
    let reason = reason.unwrap_or_default();
    let ending = of_word(reason);
    let native = native.unwrap_or_default();
    let behind = of_word(native);
    let contradicts = match (ending, behind) {
        (Ending::None | Ending::Whole(FinishReason::Stop | FinishReason::Other) | Ending::Unknown, behind) => {
            matches!(behind, Ending::Broken | Ending::Filtered | Ending::Whole(FinishReason::Length))
        }
        (Ending::Whole(FinishReason::Length) | Ending::Filtered | Ending::Broken, _) => false,
    };
    if contradicts { (behind, native) } else { (ending, reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_all_vendors_are_known() {
        const STOP: Ending = Ending::Whole(FinishReason::Stop);
        const LENGTH: Ending = Ending::Whole(FinishReason::Length);
        for (word, expected) in [
            ("stop", STOP),      // OpenAI and everybody
            ("STOP", STOP),      // Gemini
            ("end_turn", STOP),  // Anthropic
            ("COMPLETE", STOP),  // Cohere
            ("eos_token", STOP), // text-generation-inference
            ("tool_calls", Ending::Whole(FinishReason::Other)),
            ("length", LENGTH),
            ("MAX_TOKENS", LENGTH), // Gemini, Cohere
            ("FINISH_REASON_MAX_TOKENS", LENGTH),
            ("model_length", LENGTH),                  // Mistral
            ("model_context_window_exceeded", LENGTH), // Anthropic, Zhipu
            ("max-output-tokens", LENGTH),
            ("content_filter", Ending::Filtered),
            ("sensitive", Ending::Filtered), // Zhipu
            ("SAFETY", Ending::Filtered),    // Gemini
            ("PROHIBITED_CONTENT", Ending::Filtered),
            ("guardrail_intervened", Ending::Filtered),       // Bedrock
            ("insufficient_system_resource", Ending::Broken), // DeepSeek
            ("network_error", Ending::Broken),                // Zhipu
            ("abort", Ending::Broken),                        // vLLM, SGLang
            ("ERROR_TOXIC", Ending::Filtered),
            ("null", Ending::None),
            ("None", Ending::None),
            ("", Ending::None),
            ("FINISH_REASON_UNSPECIFIED", Ending::None),
            ("moon_phase", Ending::Unknown),
        ] {
            assert_eq!(of_word(word), expected, "{word}");
        }
    }

    #[test]
    fn the_server_behind_a_gateway_counts_where_it_contradicts_stop() {
        let check = |reason, native| of_choice(reason, native);
        assert_eq!(check(Some("stop"), Some("network_error")), (Ending::Broken, "network_error"));
        assert_eq!(check(Some("stop"), Some("MAX_TOKENS")).0, Ending::Whole(FinishReason::Length));
        assert_eq!(check(Some("stop"), Some("completed")), (Ending::Whole(FinishReason::Stop), "stop"));
        assert_eq!(check(Some("stop"), Some("whatever")), (Ending::Whole(FinishReason::Stop), "stop"));
        assert_eq!(check(Some("length"), Some("stop")).0, Ending::Whole(FinishReason::Length));
        assert_eq!(check(None, Some("safety")).0, Ending::Filtered);
        assert_eq!(check(None, None).0, Ending::None);
    }
}
