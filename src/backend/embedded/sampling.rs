//! How the next token is chosen.
//! Reads: a request's sampling fields. Gives: a chain of llama.cpp's samplers. Never: text.
//! Start at [`sampler`].

use llama_cpp_2::GrammarError;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;

use super::grammar::AnswerGrammar;
use crate::backend::ChatRequest;

/// What a request that says nothing gets. A convention; debates of the demo model read by eye at 0.5, 0.6 and 0.7 were
/// alike, and their prompts made far more of a difference.
const DEFAULT_TEMPERATURE: f64 = 0.7;
/// Cuts the tail in which a small model's nonsense lies.
const DEFAULT_TOP_P: f64 = 0.95;
/// Against a small model's circling; mild, so that it does not avoid words that it needs. Not tuned.
const REPEAT_PENALTY: f32 = 1.1;
/// How many tokens of the answer the penalty looks at.
const REPEAT_WINDOW: i32 = 64;
/// What a request that says nothing may have: enough for any turn of a talk, and an end for a model that loops.
pub(super) const DEFAULT_MAX_TOKENS: u32 = 512;

/// Builds the sampler of one answer.
///
/// # Errors
/// llama.cpp does not take the grammar.
pub(super) fn sampler(
    model: &LlamaModel,
    request: &ChatRequest,
    grammar: Option<&AnswerGrammar>,
) -> Result<LlamaSampler, GrammarError> {
    let mut chain = Vec::new();
    if let Some(grammar) = grammar {
        chain.push(LlamaSampler::grammar(model, &grammar.gbnf, "root")?);
    } else {
        chain.push(LlamaSampler::penalties(model.n_vocab(), REPEAT_WINDOW, REPEAT_PENALTY, 0.0, 0.0));
    }
    let temperature = single(request.temperature.unwrap_or(DEFAULT_TEMPERATURE));
    if temperature > 0.0 {
        chain.push(LlamaSampler::top_p(single(request.top_p.unwrap_or(DEFAULT_TOP_P)), 1));
        chain.push(LlamaSampler::temp(temperature));
        chain.push(LlamaSampler::dist(request.seed));
    } else {
        chain.push(LlamaSampler::greedy());
    }
    Ok(LlamaSampler::chain(chain, true))
}

#[expect(clippy::cast_possible_truncation, reason = "llama.cpp samples in single precision")]
const fn single(number: f64) -> f32 {
    number as f32
}
