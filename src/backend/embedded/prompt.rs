//! From chat messages to the tokens that a model reads.
//! Reads: messages and the model's own template. Gives: tokens. Never: the text of a message taken for markup.
//! Start at [`tokens`].

use llama_cpp_2::ApplyChatTemplateError;
use llama_cpp_2::model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel};
use llama_cpp_2::token::LlamaToken;

use crate::backend::{Message, Role};

/// Renders the messages with the template and an opened answer.
///
/// The template is applied to placeholders, and the contents are put in as tokens afterwards: a message that spells
/// `<|im_end|>` stays a message that spells it and ends nothing.
///
/// # Errors
/// llama.cpp does not know the template.
pub(super) fn tokens(
    model: &LlamaModel,
    template: &LlamaChatTemplate,
    messages: &[Message],
) -> Result<Vec<LlamaToken>, ApplyChatTemplateError> {
    let placeholders: Vec<(Role, String)> =
        messages.iter().enumerate().map(|(place, message)| (message.role, placeholder(place))).collect();
    let frame = render(model, template, &placeholders)?;
    let vocabulary = model.vocab();
    let mut tokens = Vec::new();
    let mut rest = frame.as_str();
    for (message, (_, placeholder)) in messages.iter().zip(&placeholders) {
        // A template may leave a message out; then there is no place to put it.
        let Some((markup, after)) = rest.split_once(placeholder.as_str()) else { continue };
        tokens.extend(vocabulary.tokenize(markup.as_bytes(), tokens.is_empty(), true));
        tokens.extend(vocabulary.tokenize(message.content.as_bytes(), false, false));
        rest = after;
    }
    tokens.extend(vocabulary.tokenize(rest.as_bytes(), tokens.is_empty(), true));
    Ok(tokens)
}

/// Tells whether llama.cpp can apply the template at all.
///
/// # Errors
/// It cannot.
pub(super) fn probe(model: &LlamaModel, template: &LlamaChatTemplate) -> Result<(), ApplyChatTemplateError> {
    render(model, template, &[(Role::User, placeholder(0))]).map(|_| ())
}

fn render(
    model: &LlamaModel,
    template: &LlamaChatTemplate,
    messages: &[(Role, String)],
) -> Result<String, ApplyChatTemplateError> {
    let messages: Vec<LlamaChatMessage> = messages
        .iter()
        .map(|(role, text)| {
            LlamaChatMessage::new(role.word().to_owned(), text.clone()).expect("a placeholder has no null byte")
        })
        .collect();
    model.apply_chat_template(template, &messages, true)
}

// Long enough that llama.cpp's guess of the rendered length (twice the messages') holds for short talks too.
fn placeholder(place: usize) -> String {
    format!("\u{e000}message number {place} of this talk goes here\u{e001}")
}
