//! The embedded model as a [`Backend`]: the asynchronous side of the batch thread.
//! Reads: a config and requests. Gives: answers. Never: tokens.
//! Start at [`open`].

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use llama_cpp_2::context::params::LlamaContextParams;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::batch::{self, PROMPT_PIECE};
use super::model::{EmbeddedError, LoadedModel, llama};
use super::sequence::{Ask, News};
use crate::backend::thoughts::Splitter;
use crate::backend::{Backend, ChatRequest, Completion, Progress, Watch};
use crate::event::{Failure, FailureKind, TimeoutPhase};

/// How many pieces of text may lie between the thread and an asker; when full, the thread joins pieces and goes on.
const NEWS_CAPACITY: usize = 16;

/// What to load and how to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedConfig {
    /// The GGUF file.
    pub weights: PathBuf,
    /// How many answers are made at a time; at most 256.
    pub slots: NonZeroU32,
    /// How many tokens a prompt and its answer may have together; cut to what the model was trained for.
    pub context_per_slot: u32,
    /// Threads that compute; by default one less than there are cores, since llama.cpp's threads wait for each other
    /// spinning, and one that is pushed off its core holds all of them up.
    pub threads: Option<NonZeroU32>,
}

/// A model inside this process.
pub struct Embedded {
    name: Arc<str>,
    context_per_slot: u32,
    // An option only so that `drop` can close the channel before it waits for the thread.
    asks: Option<mpsc::Sender<Ask>>,
    thread: Option<JoinHandle<()>>,
}

/// Loads a model and starts its thread; blocks until both stand (well under a second for the demo model).
///
/// # Errors
/// The file, the processor or the memory does not allow it; the text says which and what to do.
pub fn open(config: EmbeddedConfig) -> Result<Embedded, EmbeddedError> {
    let EmbeddedConfig { weights, slots, context_per_slot, threads } = config;
    let loaded = LoadedModel::load(&weights)?;
    let name: Arc<str> = loaded.name.as_str().into();
    let context_per_slot = context_per_slot.clamp(1, loaded.model.n_ctx_train());
    let slots = slots.get();
    let parameters = context_parameters(slots, context_per_slot, threads.unwrap_or_else(default_threads));
    // As many requests wait here as are being served: the next one is at hand when a slot becomes free. More wait in `chat`.
    let (asks, received) = mpsc::channel(slots as usize);
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    let not_started = |reason: String| EmbeddedError::NotStarted { reason };
    let thread = thread::Builder::new()
        .name("embedded-model".into())
        .spawn(move || {
            let context = llama().and_then(|llama| {
                let no_context = |_| EmbeddedError::NoContext { slots, context_per_slot };
                loaded.model.new_context(llama, parameters).map_err(no_context)
            });
            match context {
                Ok(context) => {
                    if ready.send(Ok(())).is_ok() {
                        batch::serve(&loaded, context, slots, context_per_slot, received);
                    }
                }
                Err(error) => {
                    // Nobody listens only if `open` itself has gone, and then nobody needs to know.
                    ready.send(Err(error)).ok();
                }
            }
        })
        .map_err(|error| not_started(error.to_string()))?;
    started.recv().map_err(|_| not_started("its thread ended at once".into()))??;
    Ok(Embedded { name, context_per_slot, asks: Some(asks), thread: Some(thread) })
}

impl Embedded {
    /// Returns the model's name: that of its file, without the ending.
    #[must_use]
    pub fn model(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns how many tokens a prompt and its answer may have together.
    #[must_use]
    pub const fn context_per_slot(&self) -> u32 {
        self.context_per_slot
    }

    async fn ask(&self, request: &ChatRequest, watch: Watch<'_>) -> Result<Completion, Failure> {
        let (news, mut heard) = mpsc::channel(NEWS_CAPACITY);
        let (end, ended) = oneshot::channel();
        let asks = self.asks.as_ref().ok_or_else(thread_gone)?;
        asks.send(Ask { request: request.clone(), news, end }).await.map_err(|_| thread_gone())?;
        let mut wait_for = WaitFor::Slot;
        let mut splitter = Splitter::new(false);
        let mut shown = 0;
        while let Some(piece) = wait_for.limit(heard.recv(), request).await? {
            match piece {
                News::Began => {
                    watch(Progress::Sent);
                    wait_for = WaitFor::FirstToken;
                }
                News::Text(text) => {
                    // A thought is not shown.
                    let answer = splitter.push(&text);
                    show(answer, request, watch);
                    shown += answer.len();
                    wait_for = WaitFor::NextToken;
                }
            }
        }
        let completion = ended.await.unwrap_or_else(|_| Err(thread_gone()))?;
        show(completion.text.get(shown..).unwrap_or_default(), request, watch);
        Ok(completion)
    }
}

impl Backend for Embedded {
    fn chat<'a>(&'a self, request: &'a ChatRequest, watch: Watch<'a>) -> BoxFuture<'a, Result<Completion, Failure>> {
        self.ask(request, watch).boxed()
    }
}

impl Drop for Embedded {
    /// Closes the channel and waits for the thread: at most one step of the model, since nobody waits for answers now.
    /// llama.cpp must not be in the middle of one when the process takes its globals down.
    fn drop(&mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("bug: the embedded model's thread panicked");
        }
    }
}

/// What a call is waiting for, which decides how long it may.
#[derive(Clone, Copy)]
enum WaitFor {
    /// Our own queue: never counts.
    Slot,
    FirstToken,
    NextToken,
}

impl WaitFor {
    async fn limit<T>(self, next: impl Future<Output = T>, request: &ChatRequest) -> Result<T, Failure> {
        let (length, phase) = match self {
            Self::Slot => return Ok(next.await),
            Self::FirstToken => (request.limits.first_token, TimeoutPhase::FirstToken),
            Self::NextToken => (request.limits.idle, TimeoutPhase::Idle),
        };
        timeout(length, next).await.map_err(|_| timed_out(phase, length))
    }
}

fn show(text: &str, request: &ChatRequest, watch: Watch<'_>) {
    if request.stream && !text.is_empty() {
        watch(Progress::Text(text));
    }
}

fn timed_out(phase: TimeoutPhase, length: Duration) -> Failure {
    Failure::new(FailureKind::TimedOut(phase), format!("the embedded model gave no token within {length:?}"))
}

fn thread_gone() -> Failure {
    Failure::new(FailureKind::Unreachable, "the embedded model's thread has ended")
}

/// Returns one less than there are cores, at least 1.
pub(super) fn default_threads() -> NonZeroU32 {
    let cores = thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
    NonZeroU32::new(cores.saturating_sub(1)).unwrap_or(NonZeroU32::MIN)
}

fn context_parameters(slots: u32, context_per_slot: u32, threads: NonZeroU32) -> LlamaContextParams {
    let threads = i32::try_from(threads.get()).unwrap_or(i32::MAX);
    let batch = PROMPT_PIECE.max(slots);
    LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(slots.saturating_mul(context_per_slot)))
        .with_n_seq_max(slots)
        .with_n_batch(batch)
        .with_n_ubatch(batch)
        .with_kv_unified(false)
        .with_n_threads(threads)
        .with_n_threads_batch(threads)
        .with_no_perf(true)
}
