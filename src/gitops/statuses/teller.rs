//! Tells a host how commits stand, beside everything else: nothing waits for it, and nothing fails by it.
//! Reads: [`Heard`]. Gives: requests, one at a time. Never: what is to be told, or when (see `outbox`).
//! Start at [`Teller`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::super::told::Heard;
use super::answer::{StatusAnswer, Verdict};
use super::api::{StatusApi, StatusRequest};
use super::outbox::{Outbox, Telling};
use crate::base::Timestamp;

/// How long one who leaves tries to tell how things stand.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Sends a request once, to where it goes and nowhere else, and returns the answer, or why there is none.
pub type PostStatus = Arc<dyn Fn(StatusRequest) -> BoxFuture<'static, Result<StatusAnswer, String>> + Send + Sync>;

/// Where statuses are told, and by whom.
#[derive(Clone)]
pub struct Statuses {
    /// The repository in the API of its host.
    pub api: StatusApi,
    /// How a request is sent.
    pub post: PostStatus,
}

/// Tells one host, if there is one to tell.
#[derive(Default)]
pub(in crate::gitops) struct Teller {
    desk: Option<(Statuses, Outbox)>,
    sending: JoinSet<Result<StatusAnswer, String>>,
}

impl Teller {
    /// Begins, with what an earlier process has told.
    pub(in crate::gitops) fn new(statuses: Option<Statuses>, earlier: Option<Telling>) -> Self {
        let desk = statuses.map(|statuses| {
            let (api, context) = (&statuses.api, statuses.api.context().to_owned());
            let outbox = Outbox::new(api.kind(), api.repository(), context, earlier);
            (statuses, outbox)
        });
        Self { desk, sending: JoinSet::new() }
    }

    /// Returns what is written into the status.
    pub(in crate::gitops) fn telling(&self) -> Option<&Telling> {
        self.desk.as_ref().map(|(_, outbox)| outbox.telling())
    }

    /// Takes in what has happened.
    pub(in crate::gitops) fn hear(&mut self, heard: &Heard, now: Timestamp) {
        if let Some((_, outbox)) = &mut self.desk {
            outbox.hear(heard, now);
        }
    }

    /// Begins to tell what is to be told now, if anything is.
    pub(in crate::gitops) fn begin(&mut self, now: Timestamp) {
        let Some((statuses, outbox)) = &mut self.desk else { return };
        let Some(status) = outbox.next(now) else { return };
        let span = tracing::info_span!(parent: None, "pipe.gitops.tell", pipe.commit = status.commit.id());
        self.sending.spawn((statuses.post)(statuses.api.request(&status)).instrument(span));
    }

    /// Returns when something is to be told that waits.
    pub(in crate::gitops) fn wakes_at(&self) -> Option<Timestamp> {
        self.desk.as_ref().and_then(|(_, outbox)| outbox.wakes_at())
    }

    /// Waits for an answer, for ever where none is to come, and returns what people are told of it.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(in crate::gitops) async fn answered(&mut self, now: impl Fn() -> Timestamp) -> Option<Heard> {
        let Some(answered) = self.sending.join_next().await else { return std::future::pending().await };
        let (statuses, outbox) = self.desk.as_mut()?;
        let now = now();
        let verdict = match answered.unwrap_or_else(|error| Err(format!("bug: {error}"))) {
            Ok(answer) => Verdict::of(&statuses.api, &answer, now.0 / 1_000_000),
            Err(why) => {
                let (name, base) = (statuses.api.kind().name(), statuses.api.base());
                let why = format!("{name} does not answer at {base}: {}", statuses.api.scrub(&why));
                Verdict::Away { why, after: None }
            }
        };
        let heard = outbox.answered(verdict, now);
        if let Some(Heard::Untold { commit, state, why, .. }) = &heard {
            tracing::warn!(%commit, state, %why, "the host was not told how the commit stands");
        }
        heard
    }

    /// Tells what has not been told yet, for a few seconds at most, or until somebody is in a hurry.
    pub(in crate::gitops) async fn last_word(
        &mut self,
        hurry: &CancellationToken,
        now: impl Fn() -> Timestamp,
    ) -> Vec<Heard> {
        let mut heard = Vec::new();
        if let Some((_, outbox)) = &mut self.desk {
            outbox.hurry();
        }
        let tell = async {
            loop {
                self.begin(now());
                if self.sending.is_empty() {
                    break;
                }
                heard.extend(self.answered(&now).await);
            }
        };
        tokio::select! {
            () = tell => {}
            () = hurry.cancelled() => {}
            () = tokio::time::sleep(LAST_WORD) => {}
        }
        heard
    }
}
