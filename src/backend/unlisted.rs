//! A server that lists other models than the ones it is asked for: only its answer says whether it has them.
//! Reads: the outcome of the first call of each. Gives: the other calls, or the same failure without a request.
//! Never: a second try.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::timeout;

use super::port::{Backend, ChatRequest, Completion, Progress, Watch};
use crate::event::{Failure, FailureKind};

/// How long the other calls wait for the first one: a server that does not know a model says so at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many calls may fail for another reason before the others stop waiting.
const TRIES: u32 = 3;

/// A server with models that are not in its list.
pub(super) struct Unlisted {
    inner: Arc<dyn Backend>,
    models: BTreeMap<Arc<str>, watch::Sender<State>>,
}

/// What is known of one model.
#[derive(Clone, Debug)]
enum State {
    /// Nothing after so many calls: the next one goes alone.
    Untried(u32),
    /// A call is on its way.
    Trying,
    /// It is there, or its calls have waited enough.
    Open,
    /// It is not there.
    Missing(Failure),
}

impl Unlisted {
    /// Wraps a backend; `models` are the names that its list does not have.
    pub(super) fn new(inner: Arc<dyn Backend>, models: Vec<Arc<str>>) -> Self {
        let gate = |model| (model, watch::Sender::new(State::Untried(0)));
        Self { inner, models: models.into_iter().map(gate).collect() }
    }

    async fn ask(
        &self,
        gate: &watch::Sender<State>,
        request: &ChatRequest,
        watch: Watch<'_>,
    ) -> Result<Completion, Failure> {
        let mut receiver = gate.subscribe();
        loop {
            let state = receiver.borrow_and_update().clone();
            match state {
                State::Open => return self.inner.chat(request, watch).await,
                State::Missing(failure) => return Err(failure),
                State::Untried(_) => {
                    let mut failed = None;
                    gate.send_if_modified(|state| {
                        let State::Untried(before) = *state else { return false };
                        *state = State::Trying;
                        failed = Some(before);
                        true
                    });
                    if let Some(failed) = failed {
                        return self
                            .first(Turn { gate, failed, is_over: AtomicBool::new(false) }, request, watch)
                            .await;
                    }
                }
                State::Trying => {
                    // The sender lives as long as this backend.
                    if receiver.changed().await.is_err() {
                        return self.inner.chat(request, watch).await;
                    }
                }
            }
        }
    }

    async fn first(&self, turn: Turn<'_>, request: &ChatRequest, watch: Watch<'_>) -> Result<Completion, Failure> {
        let seen = |progress: Progress<'_>| {
            if matches!(progress, Progress::Text(_)) {
                turn.end(State::Open);
            }
            watch(progress);
        };
        let mut answer = pin!(self.inner.chat(request, &seen));
        let outcome = if let Ok(outcome) = timeout(PATIENCE, &mut answer).await {
            outcome
        } else {
            turn.end(State::Open);
            answer.await
        };
        match &outcome {
            Ok(_) => turn.end(State::Open),
            Err(failure) if failure.kind == FailureKind::ModelMissing => turn.end(State::Missing(failure.clone())),
            Err(_) if turn.failed + 1 >= TRIES => turn.end(State::Open),
            Err(_) => turn.end(State::Untried(turn.failed + 1)),
        }
        outcome
    }
}

/// The right to make the first call; the next call has it when this one is given up.
struct Turn<'a> {
    gate: &'a watch::Sender<State>,
    failed: u32,
    is_over: AtomicBool,
}

impl Turn<'_> {
    /// Ends the turn, once: after that, what is known belongs to others.
    fn end(&self, to: State) {
        if !self.is_over.swap(true, Ordering::Relaxed) {
            self.gate.send_replace(to);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.end(State::Untried(self.failed));
    }
}

impl Backend for Unlisted {
    fn chat<'a>(&'a self, request: &'a ChatRequest, watch: Watch<'a>) -> BoxFuture<'a, Result<Completion, Failure>> {
        match self.models.get(&request.model) {
            Some(gate) => self.ask(gate, request, watch).boxed(),
            None => self.inner.chat(request, watch),
        }
    }
}
