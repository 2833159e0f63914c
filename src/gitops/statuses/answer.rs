//! What an answer of a host means, and what helps.
//! Gives: [`Verdict`]. Never: what is done then (see `outbox`).

use std::time::Duration;

use serde_json::Value;

use super::api::{HostKind, StatusApi, cut};
use crate::base::Millis;

/// Most of a host's own words that is repeated, in characters.
const LONGEST_WORDS: usize = 160;

/// What a host said.
#[derive(Clone, Debug)]
pub struct StatusAnswer {
    /// The HTTP status.
    pub code: u16,
    /// How long it asks us to wait.
    pub retry_after: Option<Duration>,
    /// When its limit of requests begins anew, in seconds since 1970, where it says that none is left.
    pub limit_resets: Option<i64>,
    /// Its body, or the start of it.
    pub body: Vec<u8>,
}

/// What came of telling a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The host has it.
    Taken,
    /// It will never take this one.
    Refused(String),
    /// It finds no such repository or commit, or will not say so to this token.
    Absent(String),
    /// Nothing can be told now; perhaps after so long.
    Away {
        /// What is wrong, and what helps.
        why: String,
        /// As the host asks.
        after: Option<Millis>,
    },
}

impl Verdict {
    /// Says what an answer means at a moment, in seconds since 1970.
    pub(super) fn of(api: &StatusApi, answer: &StatusAnswer, now_s: i64) -> Self {
        let kind = api.kind();
        let says = api.scrub(&words(&answer.body));
        // A state that it has already: of an earlier process, or of one that is slow to answer.
        if kind == HostKind::Gitlab && answer.code == 400 && says.contains("Cannot transition status") {
            return Self::Taken;
        }
        let said = if says.is_empty() { String::new() } else { format!(" ({says})") };
        let told = format!("{} answers {}{said}", kind.name(), answer.code);
        let of_limit = answer.limit_resets.and_then(|at| u64::try_from(at - now_s).ok()).map(Duration::from_secs);
        let after = answer.retry_after.or(of_limit);
        let after = after.map(|wait| Millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)));
        let away = |why: String| Self::Away { why, after };
        let scope = || format!("{told}: the token needs {} for {}", kind.scope(), api.repository());
        match answer.code {
            200..=299 => Self::Taken,
            300..=399 => away(format!(
                "{told} and points elsewhere, where no token is sent: give the address of its API as --statuses-api"
            )),
            401 => away(format!(
                "{told}: it does not know the token; PIPE_GIT_STATUS_TOKEN, or else PIPE_GIT_TOKEN, with {}",
                kind.scope()
            )),
            403 | 429 if after.is_some() => away(format!("{told}: it takes no more for a while")),
            403 => away(scope()),
            404 => Self::Absent(scope()),
            405 => away(format!("{told}: is that the address of its API? --statuses-api gives another one")),
            408 | 409 | 429 | 500..=599 => away(told),
            _ => Self::Refused(told),
        }
    }
}

/// Returns what a host says is wrong, in its own words.
fn words(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let found = ["message", "error_description", "error"].iter().find_map(|name| body.get(name));
    let text = match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    cut(text.trim(), LONGEST_WORDS)
}

#[cfg(test)]
mod tests {
    use super::super::super::remote::Remote;
    use super::super::api::StatusWords;
    use super::*;

    fn api(kind: HostKind) -> StatusApi {
        let remote = Remote::parse("https://host.org/team/project.git", &[]).unwrap();
        let words =
            StatusWords { kind, api: None, target: None, context: None, branch: "main", folder: "", allowed: &[] };
        StatusApi::of(&remote, words, Some("s3cret")).unwrap()
    }

    fn verdict(kind: HostKind, code: u16, retry_after: Option<u64>, resets: Option<i64>, body: &str) -> Verdict {
        let answer = StatusAnswer {
            code,
            retry_after: retry_after.map(Duration::from_secs),
            limit_resets: resets,
            body: body.as_bytes().to_vec(),
        };
        Verdict::of(&api(kind), &answer, 1_000)
    }

    fn why(verdict: &Verdict) -> &str {
        match verdict {
            Verdict::Taken => "",
            Verdict::Refused(why) | Verdict::Absent(why) | Verdict::Away { why, .. } => why,
        }
    }

    #[test]
    fn a_token_that_lacks_something_is_told_what() {
        for (kind, code, expected) in [
            (HostKind::Github, 401, "PIPE_GIT_STATUS_TOKEN"),
            (HostKind::Github, 403, "repo:status"),
            (HostKind::Github, 404, "Commit statuses: write"),
            (HostKind::Gitea, 403, "write:repository"),
            (HostKind::Gitlab, 403, "`api`, of a Developer"),
            (HostKind::Gitlab, 302, "--statuses-api"),
            (HostKind::Gitea, 405, "--statuses-api"),
        ] {
            let verdict = verdict(kind, code, None, None, r#"{"message": "s3cret is\u0007 bad"}"#);
            assert!(!matches!(verdict, Verdict::Taken | Verdict::Refused(_)), "{code}: {verdict:?}");
            let why = why(&verdict);
            assert!(why.contains(expected) && why.contains("(… is  bad)") && !why.contains("s3cret"), "{why}");
        }
    }

    #[test]
    fn waits_are_the_hosts_where_it_names_one() {
        let after = |verdict: Verdict| match verdict {
            Verdict::Away { after, .. } => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(after(verdict(HostKind::Github, 429, Some(7), None, "")), Some(Millis::seconds(7)));
        assert_eq!(after(verdict(HostKind::Github, 403, None, Some(1_060), "")), Some(Millis::seconds(60)));
        assert_eq!(after(verdict(HostKind::Gitlab, 503, Some(9), Some(2_000), "")), Some(Millis::seconds(9)));
        assert_eq!(after(verdict(HostKind::Gitlab, 502, None, Some(0), "")), None, "long past");
    }

    #[test]
    fn what_is_there_already_is_told_and_what_is_wrong_is_set_aside() {
        let body = r#"{"message": "Cannot transition status via :enqueue from :pending (Reason(s): …)"}"#;
        assert_eq!(verdict(HostKind::Gitlab, 400, None, None, body), Verdict::Taken);
        assert!(matches!(verdict(HostKind::Github, 400, None, None, body), Verdict::Refused(_)));
        let verdict = verdict(HostKind::Github, 422, None, None, r#"{"message": "No commit found for SHA: aa"}"#);
        assert_eq!(verdict, Verdict::Refused("GitHub answers 422 (No commit found for SHA: aa)".to_owned()));
    }
}
