//! Where `pipe gitops` tells a repository's host how its commits stand: words of a command line, and the way there.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::exit::{CommandError, Exit, with_causes};
use super::gitops_args::GitopsArgs;
use crate::backend::{Delivery, Messenger};
use crate::gitops::{
    Branch, Folder, HostKind, PostStatus, Protocol, Remote, StatusAnswer, StatusApi, StatusRequest, StatusWords,
    Statuses,
};

/// How long a host may take for one status.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns where statuses are told, if they are.
///
/// # Errors
/// The repository is of no such host, there is no token, or no request can be made on this machine.
pub(super) fn statuses(
    args: &GitopsArgs,
    remote: &Remote,
    branch: &Branch,
    folder: &Folder,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Statuses>, CommandError> {
    let Some(choice) = args.statuses else { return Ok(None) };
    let allowed: Vec<Protocol> = args.allow_protocol.iter().map(|choice| Protocol::from(*choice)).collect();
    let words = StatusWords {
        kind: HostKind::from(choice),
        api: args.statuses_api.as_deref(),
        target: args.statuses_url.as_deref(),
        context: args.statuses_context.as_deref(),
        branch: branch.name(),
        folder: folder.path(),
        allowed: &allowed,
    };
    let said = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let token = said(StatusApi::VARIABLE).or_else(|| said("PIPE_GIT_TOKEN"));
    let api = StatusApi::of(remote, words, token.as_deref())
        .map_err(|error| CommandError::new(Exit::Usage, error.to_string()))?;
    let messenger = Messenger::trusting(None)
        .map_err(|error| CommandError::new(Exit::Usage, format!("--statuses: {}", with_causes(&error))))?;
    Ok(Some(Statuses { api, post: post(messenger) }))
}

/// Sends by the client that models are asked by: it follows no redirect.
fn post(messenger: Messenger) -> PostStatus {
    Arc::new(move |request| {
        let messenger = messenger.clone();
        async move {
            let StatusRequest { uri, headers, body } = request;
            let delivery = messenger.post(uri, headers, body, PATIENCE).await.map_err(|failure| failure.detail)?;
            Ok(answer(delivery))
        }
        .boxed()
    })
}

fn answer(delivery: Delivery) -> StatusAnswer {
    let number = |name: &str| delivery.headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    // GitHub says so with a 403 as well as with a 429.
    let is_spent = number("x-ratelimit-remaining") == Some(0);
    let limit_resets = number("x-ratelimit-reset").filter(|_| is_spent);
    let retry_after = delivery.retry_after();
    StatusAnswer { code: delivery.status.as_u16(), retry_after, limit_resets, body: delivery.body }
}
