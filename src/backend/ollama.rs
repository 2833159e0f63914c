//! An Ollama, asked as any OpenAI-compatible server, and watched for what its answers do not say: where a model lies, and
//! whether a prompt was cut to fit the model's context.
//! Reads: `/api/ps`, after the first answer of a model: only then is it in memory for certain. Gives: what it says there,
//! beside that answer; a failure for a prompt that was cut for certain. Never: a failure for a page that does not come.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::discover;
use super::openai::OpenAi;
use super::port::{Backend, ChatRequest, Completion, Progress, Watch};
use super::prompt_size::PromptSize;
use crate::base::TokenCount;
use crate::event::{Claimed, Failure, FailureKind, InMemory};

/// For the look: a server that takes longer for a page that it has in memory has better things to do.
const LIMIT: Duration = Duration::from_secs(1);
/// Most that is read of the page, in bytes; an entry is some 500.
const PAGE_LIMIT: usize = 1 << 20;
/// How long a context that was looked up is believed when an answer raises a doubt: a model may be loaded anew.
const BELIEVED: Duration = Duration::from_secs(60);

/// An Ollama. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub(super) struct Ollama {
    inner: OpenAi,
    looked: Arc<Mutex<BTreeMap<Arc<str>, Looked>>>,
    /// One look at a time: calls that end together need one.
    looking: Arc<tokio::sync::Mutex<()>>,
}

/// What a look into the memory gave.
#[derive(Clone, Copy)]
struct Looked {
    at: Instant,
    context: Option<u64>,
}

impl Ollama {
    /// Wraps the adapter that goes to it.
    pub(super) fn new(inner: OpenAi) -> Self {
        Self { inner, looked: Arc::default(), looking: Arc::default() }
    }

    /// Looks where a model lies, once; a look that came to nothing is not made again for that.
    async fn memory(&self, model: &Arc<str>) -> Option<InMemory> {
        if self.known(model).is_some() {
            return None;
        }
        let _one = self.looking.lock().await;
        if self.known(model).is_some() {
            return None;
        }
        let found = self.look(model).await;
        if found.is_none() {
            self.keep(model, None);
        }
        found?.memory
    }

    fn known(&self, model: &Arc<str>) -> Option<Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).get(model).copied()
    }

    fn keep(&self, model: &Arc<str>, context: Option<u64>) {
        let looked = Looked { at: Instant::now(), context };
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(model), looked);
    }

    async fn look(&self, model: &Arc<str>) -> Option<discover::Running> {
        let page = self.inner.page("/api/ps", LIMIT, PAGE_LIMIT).await?;
        let running = discover::in_ollama(&serde_json::from_slice(&page).ok()?, model)?;
        self.keep(model, running.context);
        Some(running)
    }

    /// Returns the context of a model, looked up again when that is long ago or cannot be right.
    async fn context(&self, model: &Arc<str>, read: u64) -> Option<u64> {
        let _one = self.looking.lock().await;
        let known = self.known(model);
        match known {
            Some(Looked { at, context: Some(context) }) if at.elapsed() < BELIEVED && read <= context => {
                Some(context)
            }
            known => self.look(model).await.and_then(|running| running.context).or(known?.context),
        }
    }

    /// Compares how much of a prompt was read with how long it is.
    async fn doubt(&self, request: &ChatRequest, completion: &Completion) -> Doubt {
        let Some(TokenCount(read)) = completion.usage.input else { return Doubt::None };
        let size = PromptSize::of(&request.messages);
        if !size.may_be_longer_than(read) {
            return Doubt::None;
        }
        // Only now is the context worth a look.
        match self.context(&request.model, read).await {
            Some(context) if read >= context && size.may_be_longer_than(context) => {
                Doubt::Cut { read, context, size }
            }
            Some(_) | None if size.is_longer_than(read) => Doubt::Likely(size),
            Some(_) | None => Doubt::None,
        }
    }
}

/// Whether a server read less than it was sent.
enum Doubt {
    /// It read as much as the prompt may have.
    None,
    /// It read far fewer tokens than such a text has.
    Likely(PromptSize),
    /// It read as many tokens as the context has, and the prompt has more.
    Cut { read: u64, context: u64, size: PromptSize },
}

impl Backend for Ollama {
    fn chat<'a>(&'a self, request: &'a ChatRequest, watch: Watch<'a>) -> BoxFuture<'a, Result<Completion, Failure>> {
        async move {
            let mut completion = self.inner.chat(request, watch).await?;
            if let Some(memory) = self.memory(&request.model).await {
                completion.claimed = Some(Claimed { memory: Some(memory), ..completion.claimed.unwrap_or_default() });
            }
            match self.doubt(request, &completion).await {
                Doubt::None => Ok(completion),
                Doubt::Likely(size) => Ok(Completion { prompt_about: Some(TokenCount(size.about())), ..completion }),
                Doubt::Cut { read, context, size } => {
                    watch(Progress::Spent(completion.usage));
                    let detail = format!(
                        "{}: read {} tokens of some {}; its context is {}: raise OLLAMA_CONTEXT_LENGTH (or the \
                         model's num_ctx), or shorten the prompt",
                        self.inner.base_url(),
                        grouped(read),
                        grouped(size.about_round()),
                        grouped(context)
                    );
                    Err(Failure { status: Some(200), ..Failure::new(FailureKind::ContextOverflow, detail) })
                }
            }
        }
        .boxed()
    }
}

/// Writes a number with commas: `4,096`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
