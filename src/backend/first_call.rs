//! A server of which something is unsure until it answers: whether it has a model that its list lacks, and at which of
//! two paths its API is.
//! Reads: the outcome of the first call. Gives: the other calls, or the same failure without a request.
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

use super::http::BaseUrl;
use super::port::{Backend, ChatRequest, Completion, Progress, Watch};
use crate::event::{Failure, FailureKind, Feature};

/// How long the other calls wait for the first one: what is not there is refused at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many calls may fail for another reason before the others stop waiting.
const TRIES: u32 = 3;

/// A server whose first call decides.
pub(super) struct FirstCall {
    inner: Arc<dyn Backend>,
    base: BaseUrl,
    /// Of models that the list does not have.
    models: BTreeMap<Arc<str>, Gate>,
    /// Of the two paths that are possible; both are open when there is only one.
    versioned: Gate,
    plain: Gate,
}

/// Lets one call through, and the others when it is known what they will meet.
struct Gate {
    state: watch::Sender<State>,
    decides: fn(&Failure) -> bool,
}

/// What is known.
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

impl FirstCall {
    /// Wraps a backend at `base`; `unlisted` are the models that its list does not have.
    pub(super) fn new(inner: Arc<dyn Backend>, base: BaseUrl, unlisted: Vec<Arc<str>>) -> Self {
        let is_missing = |failure: &Failure| failure.kind == FailureKind::ModelMissing;
        let models = unlisted.into_iter().map(|model| (model, Gate::new(is_missing))).collect();
        let is_wrong_path = |failure: &Failure| {
            matches!(failure.kind, FailureKind::Unsupported(Feature::VersionedPath | Feature::PlainPath))
        };
        Self { inner, base, models, versioned: Gate::new(is_wrong_path), plain: Gate::new(is_wrong_path) }
    }

    /// Returns the gates that a request has to pass, the outer one first.
    fn gates(&self, request: &ChatRequest) -> [Option<&Gate>; 2] {
        let path = self.base.path_in_use(request.lacks).filter(|path| !request.lacks.has(*path));
        let path = path.map(|path| if path == Feature::VersionedPath { &self.versioned } else { &self.plain });
        [path, self.models.get(&request.model)].map(|gate| gate.filter(|gate| !gate.is_open()))
    }

    async fn pass(&self, gate: &Gate, request: &ChatRequest, watch: Watch<'_>) -> Result<Completion, Failure> {
        let mut receiver = gate.state.subscribe();
        loop {
            let state = receiver.borrow_and_update().clone();
            match state {
                State::Open => return self.behind(gate, request, watch).await,
                State::Missing(failure) => return Err(failure),
                State::Untried(_) => {
                    if let Some(turn) = gate.turn() {
                        return self.first(gate, turn, request, watch).await;
                    }
                }
                State::Trying => {
                    // The sender lives as long as this backend.
                    if receiver.changed().await.is_err() {
                        return self.behind(gate, request, watch).await;
                    }
                }
            }
        }
    }

    /// Sends a request that has passed a gate, through the next one.
    fn behind<'a>(
        &'a self,
        gate: &Gate,
        request: &'a ChatRequest,
        watch: Watch<'a>,
    ) -> BoxFuture<'a, Result<Completion, Failure>> {
        match self.gates(request) {
            [Some(outer), Some(next)] if std::ptr::eq(outer, gate) => self.pass(next, request, watch).boxed(),
            [_, Some(next)] if !std::ptr::eq(next, gate) => self.pass(next, request, watch).boxed(),
            _ => self.inner.chat(request, watch),
        }
    }

    async fn first(
        &self,
        gate: &Gate,
        turn: Turn<'_>,
        request: &ChatRequest,
        watch: Watch<'_>,
    ) -> Result<Completion, Failure> {
        let seen = |progress: Progress<'_>| {
            if matches!(progress, Progress::Text(_)) {
                turn.end(State::Open);
            }
            watch(progress);
        };
        let mut answer = pin!(self.behind(gate, request, &seen));
        let outcome = if let Ok(outcome) = timeout(PATIENCE, &mut answer).await {
            outcome
        } else {
            turn.end(State::Open);
            answer.await
        };
        match &outcome {
            Ok(_) => turn.end(State::Open),
            Err(failure) if (gate.decides)(failure) => turn.end(State::Missing(failure.clone())),
            Err(_) if turn.failed + 1 >= TRIES => turn.end(State::Open),
            Err(_) => turn.end(State::Untried(turn.failed + 1)),
        }
        outcome
    }
}

impl Gate {
    fn new(decides: fn(&Failure) -> bool) -> Self {
        Self { state: watch::Sender::new(State::Untried(0)), decides }
    }

    fn is_open(&self) -> bool {
        matches!(*self.state.borrow(), State::Open)
    }

    /// Takes the right to make the first call, unless another call has it.
    fn turn(&self) -> Option<Turn<'_>> {
        let mut failed = None;
        self.state.send_if_modified(|state| {
            let State::Untried(before) = *state else { return false };
            *state = State::Trying;
            failed = Some(before);
            true
        });
        failed.map(|failed| Turn { gate: &self.state, failed, is_over: AtomicBool::new(false) })
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

impl Backend for FirstCall {
    fn chat<'a>(&'a self, request: &'a ChatRequest, watch: Watch<'a>) -> BoxFuture<'a, Result<Completion, Failure>> {
        match self.gates(request) {
            [Some(gate), _] | [None, Some(gate)] => self.pass(gate, request, watch).boxed(),
            [None, None] => self.inner.chat(request, watch),
        }
    }
}
