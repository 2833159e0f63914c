//! An Ollama, asked as any OpenAI-compatible server; once for each model it is also asked where that model lies.
//! Reads: `/api/ps`, after the first answer of a model: only then is it in memory for certain. Gives: what it says there,
//! beside that answer. Never: a failure for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::discover;
use super::openai::OpenAi;
use super::port::{Backend, ChatRequest, Completion, Watch};
use crate::event::{Claimed, Failure, InMemory};

/// For the look: a server that takes longer for a page that it has in memory has better things to do.
const LIMIT: Duration = Duration::from_secs(1);
/// Most that is read of the page, in bytes; an entry is some 500.
const PAGE_LIMIT: usize = 1 << 20;

/// An Ollama. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub(super) struct Ollama {
    inner: OpenAi,
    looked: Arc<Mutex<BTreeSet<Arc<str>>>>,
}

impl Ollama {
    /// Wraps the adapter that goes to it.
    pub(super) fn new(inner: OpenAi) -> Self {
        Self { inner, looked: Arc::default() }
    }

    /// Looks where a model lies, once; a look that came to nothing is not made again.
    async fn memory(&self, model: &Arc<str>) -> Option<InMemory> {
        let is_new = self.looked.lock().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(model));
        if !is_new {
            return None;
        }
        let page = self.inner.page("/api/ps", LIMIT, PAGE_LIMIT).await?;
        discover::in_ollama(&serde_json::from_slice(&page).ok()?, model)
    }
}

impl Backend for Ollama {
    fn chat<'a>(&'a self, request: &'a ChatRequest, watch: Watch<'a>) -> BoxFuture<'a, Result<Completion, Failure>> {
        async move {
            let mut completion = self.inner.chat(request, watch).await?;
            if let Some(memory) = self.memory(&request.model).await {
                completion.claimed = Some(Claimed { memory: Some(memory), ..completion.claimed.unwrap_or_default() });
            }
            Ok(completion)
        }
        .boxed()
    }
}
