//! A repository of pipelines, made the truth again and again: fetched, written, planned, applied, one commit at a time.
//! Reads: a remote, by the system's `git`. Gives: a running reconciler and its status. Never: a pipeline's meaning, which
//! `pipe plan` and `pipe apply` know; anything that a repository could have executed.
//! Start at [`State`], which decides, and [`Reconciler`], which does.

mod commit;
mod executor;
mod git;
mod http;
mod means;
mod mirror;
mod place;
mod process;
mod reconcile;
mod reconciler;
mod remote;
mod signature;
mod status;
mod statuses;
mod told;
mod tree;
mod webhook;

pub use commit::Commit;
pub use executor::{Entry, Executor, Surroundings, SurroundingsError};
pub use git::{Credentials, Git, GitError};
pub use http::{Board, serve};
pub use mirror::{FetchError, Mirror};
pub use process::Limits;
pub use reconcile::{Action, Applied, Happened, Planned, State};
pub use reconciler::Reconciler;
pub use remote::{Branch, Folder, Protocol, Remote, RemoteError, Scheme};
pub use signature::{AllowedSigners, Unsigned};
pub use status::{Stage, Status, Trouble};
pub use statuses::{
    CommitState, HostKind, PostStatus, StatusAnswer, StatusApi, StatusApiError, StatusRequest, StatusWords, Statuses,
    Telling, TrackedCommit,
};
pub use told::{Ended, Heard, OpenError, Settings};
pub use tree::{Tree, TreeError, Trees};
pub use webhook::Secret;
