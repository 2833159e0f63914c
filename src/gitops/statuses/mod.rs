//! How commits stand, as their host is told: a projection of what the reconciler does, and never a reason for it.
//! Reads: [`Heard`](super::Heard). Gives: requests to an API of GitHub, Gitea or GitLab, as data. Never: a wait or a failure of
//! anything else, words of a pipeline or a prompt.
//! Start at [`Teller`], which tells, and `outbox`, which knows what is to be told.

mod address;
mod answer;
mod api;
mod commit_status;
mod outbox;
mod teller;

pub use address::StatusApiError;
pub use answer::StatusAnswer;
pub use api::{HostKind, StatusApi, StatusRequest, StatusWords};
pub use commit_status::CommitState;
pub use outbox::{Telling, TrackedCommit};
pub(super) use teller::Teller;
pub use teller::{PostStatus, Statuses};
