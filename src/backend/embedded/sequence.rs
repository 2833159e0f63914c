//! One answer in the making: its prompt, its sampler, its text.
//! Reads: an [`Ask`] and the tokens chosen for it. Gives: what to decode next, news for the asker. Never: llama.cpp's context.
//! Start at [`Sequence::begin`].

use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::grammar::{AnswerGrammar, prescribed};
use super::model::LoadedModel;
use super::text::AnswerText;
use super::{prompt, sampling};
use crate::backend::{ChatRequest, Completion, Format, thoughts};
use crate::base::TokenCount;
use crate::event::{Failure, FailureKind, FinishReason, Usage};

/// A request on its way to the batch thread.
pub(super) struct Ask {
    pub(super) request: ChatRequest,
    /// Closed by an asker that has gone away.
    pub(super) news: mpsc::Sender<News>,
    pub(super) end: oneshot::Sender<Result<Completion, Failure>>,
}

/// What an asker hears before the end.
#[derive(Debug)]
pub(super) enum News {
    /// The request has a sequence.
    Began,
    /// More of the answer.
    Text(String),
}

/// An answer in the making.
pub(super) struct Sequence {
    /// Its number in llama.cpp's cache.
    pub(super) slot: i32,
    pub(super) sampler: LlamaSampler,
    prompt: Vec<LlamaToken>,
    read: usize,
    last: Option<LlamaToken>,
    answered: u32,
    limit: u32,
    grammar: Option<AnswerGrammar>,
    text: AnswerText,
    unsent: String,
    news: mpsc::Sender<News>,
    end: oneshot::Sender<Result<Completion, Failure>>,
}

impl Sequence {
    /// Renders the prompt and takes the slot; tells the asker and returns none when the request cannot be served.
    pub(super) fn begin(loaded: &LoadedModel, ask: Ask, slot: i32, context: u32) -> Option<Self> {
        let Ask { request, news, end } = ask;
        match Self::prepare(loaded, &request, context) {
            Ok(Prepared { prompt, grammar, sampler }) => {
                // The channel is new and empty, so only an asker that has gone away can make this fail.
                news.try_send(News::Began).ok()?;
                let room = context - count(prompt.len());
                let limit = request.max_tokens.unwrap_or(sampling::DEFAULT_MAX_TOKENS).clamp(1, room);
                let text = AnswerText::new(&request.stop);
                let unsent = String::new();
                Some(Self {
                    slot,
                    sampler,
                    prompt,
                    read: 0,
                    last: None,
                    answered: 0,
                    limit,
                    grammar,
                    text,
                    unsent,
                    news,
                    end,
                })
            }
            Err(failure) => {
                tell(end, Err(failure));
                None
            }
        }
    }

    fn prepare(loaded: &LoadedModel, request: &ChatRequest, context: u32) -> Result<Prepared, Failure> {
        let model = &loaded.model;
        let prompt = prompt::tokens(model, &loaded.template, &request.messages).map_err(|error| {
            Failure::new(
                FailureKind::Refused,
                format!("the model's chat template does not take these messages: {error}"),
            )
        })?;
        if prompt.is_empty() {
            return Err(Failure::new(FailureKind::Refused, "there are no messages to answer"));
        }
        if count(prompt.len()) >= context {
            let detail = format!(
                "the prompt has {} tokens, and a sequence of the embedded model holds {context} with its answer",
                prompt.len()
            );
            return Err(Failure::new(FailureKind::ContextOverflow, detail));
        }
        let grammar = match &request.format {
            Format::Text => None,
            Format::Choice(options) => Some(choice(loaded, options)?),
            Format::Json(schema) => Some(json(loaded, schema)?),
        };
        let sampler = sampling::sampler(model, request, grammar.as_ref()).map_err(|error| {
            Failure::new(FailureKind::FormatUnsupported, format!("llama.cpp does not take the grammar: {error}"))
        })?;
        Ok(Prepared { prompt, grammar, sampler })
    }

    /// Tells whether nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.news.is_closed()
    }

    /// Returns the next piece of the prompt, with its place and whether it is the last; none when all has been read.
    pub(super) fn next_piece(&mut self, longest: usize) -> Option<Piece<'_>> {
        let from = self.read;
        let to = self.prompt.len().min(from + longest);
        self.read = to;
        (from < to).then(|| Piece {
            tokens: &self.prompt[from..to],
            from: place(from),
            is_last: to == self.prompt.len(),
        })
    }

    /// Tells whether parts of the prompt are still to be read.
    pub(super) fn has_prompt_left(&self) -> bool {
        self.read < self.prompt.len()
    }

    /// Returns the token to decode next and its place; none while the prompt is being read.
    pub(super) fn next_token(&self) -> Option<(LlamaToken, i32)> {
        let token = self.last?;
        Some((token, place(self.prompt.len()) + place(self.answered as usize) - 1))
    }

    /// Adds the token that was chosen; returns why the answer is over, if it is.
    pub(super) fn take(&mut self, loaded: &LoadedModel, token: LlamaToken) -> Option<FinishReason> {
        let vocabulary = loaded.model.vocab();
        self.last = Some(token);
        self.answered += 1;
        if vocabulary.is_eog(token) {
            return Some(FinishReason::Stop);
        }
        // The grammar matches control tokens by their text too.
        let shows_control = self.grammar.is_some();
        let is_stopped = self.text.push(&vocabulary.token_to_piece(token, shows_control, None));
        if is_stopped || self.is_whole() {
            return Some(FinishReason::Stop);
        }
        if self.answered >= self.limit {
            return Some(FinishReason::Length);
        }
        self.show();
        None
    }

    /// Ends the answer and tells the asker.
    pub(super) fn finish(mut self, finish: FinishReason, model: &str) {
        self.text.finish();
        let usage = Usage {
            input: Some(TokenCount(self.prompt.len() as u64)),
            output: Some(TokenCount(u64::from(self.answered))),
            cached: None,
            reasoning: None,
        };
        let split = thoughts::split(self.text.whole());
        if split.answer.trim().is_empty() {
            // The asker is not told what it has used: this model costs nothing.
            tell(self.end, Err(blank(&split, finish)));
            return;
        }
        let thought = Some(split.thought).filter(|thought| !thought.is_empty());
        tell(
            self.end,
            Ok(Completion {
                text: split.answer,
                thought,
                finish,
                reason: None,
                prompt_about: None,
                model: Some(model.to_owned()),
                id: None,
                usage,
                claimed: None,
            }),
        );
    }

    /// Gives the answer up and tells the asker.
    pub(super) fn fail(self, failure: Failure) {
        tell(self.end, Err(failure));
    }

    fn is_whole(&self) -> bool {
        self.grammar.as_ref().is_some_and(|grammar| grammar.is_whole(self.text.whole()))
    }

    // An asker that is slow to listen gets larger pieces later; it never holds the batch up.
    fn show(&mut self) {
        self.unsent.push_str(self.text.take_new());
        if self.unsent.is_empty() {
            return;
        }
        if let Err(TrySendError::Full(News::Text(text))) =
            self.news.try_send(News::Text(std::mem::take(&mut self.unsent)))
        {
            self.unsent = text;
        }
    }
}

/// A piece of a prompt.
pub(super) struct Piece<'a> {
    pub(super) tokens: &'a [LlamaToken],
    pub(super) from: i32,
    pub(super) is_last: bool,
}

struct Prepared {
    prompt: Vec<LlamaToken>,
    grammar: Option<AnswerGrammar>,
    sampler: LlamaSampler,
}

// llama.cpp ends the process when a grammar leaves no token to choose, so options that this vocabulary cannot spell are
// refused before; the caller then asks without a format.
fn choice(loaded: &LoadedModel, options: &[String]) -> Result<AnswerGrammar, Failure> {
    let choice =
        AnswerGrammar::choice(options).ok_or_else(|| unsupported("there are no options to choose from".into()))?;
    let spelling = loaded.spelling();
    for (object, option) in choice.objects.iter().zip(options) {
        if !spelling.can_write(object) {
            return Err(unsupported(format!("the embedded model's vocabulary cannot write the option {option:?}")));
        }
    }
    Ok(choice)
}

fn json(loaded: &LoadedModel, schema: &serde_json::Value) -> Result<AnswerGrammar, Failure> {
    let spelling = loaded.spelling();
    if let Some(text) = prescribed(schema).iter().find(|text| !spelling.can_write(text)) {
        return Err(unsupported(format!("the embedded model's vocabulary cannot write {text}")));
    }
    let grammar = llama_cpp_2::json_schema_to_grammar(&schema.to_string());
    let grammar =
        grammar.map_err(|error| unsupported(format!("llama.cpp makes no grammar of the schema: {error}")))?;
    Ok(AnswerGrammar::json(grammar))
}

/// Describes an answer of blanks alone.
fn blank(split: &thoughts::Split, finish: FinishReason) -> Failure {
    let has_thought = !split.thought.is_empty() || split.is_open;
    match finish {
        FinishReason::Length if has_thought => Failure::new(
            FailureKind::ReasoningCut,
            "max_tokens went into reasoning before an answer began; raise max_tokens or bound `reasoning`",
        ),
        _ if has_thought => Failure::new(FailureKind::NoAnswer, "the model reasoned and gave no answer"),
        _ => Failure::new(FailureKind::NoAnswer, "the answer is blank"),
    }
}

fn unsupported(detail: String) -> Failure {
    Failure::new(FailureKind::FormatUnsupported, detail)
}

fn tell(end: oneshot::Sender<Result<Completion, Failure>>, result: Result<Completion, Failure>) {
    if end.send(result).is_err() {
        tracing::debug!("nobody waits for this answer any more");
    }
}

fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

fn place(tokens: usize) -> i32 {
    i32::try_from(tokens).expect("places lie within a context, which is far below 2^31")
}
