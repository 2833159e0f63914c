//! What a host has been told of each commit and what it has not, and when it is told again. Without clocks or requests.
//! Reads: [`Heard`], [`Verdict`]. Gives: the next [`CommitStatus`] to tell. Never: a reason for or against an apply.
//! Start at [`Outbox::next`].

use serde::{Deserialize, Serialize};

use super::super::commit::Commit;
use super::super::reconcile::doubled;
use super::super::told::Heard;
use super::answer::Verdict;
use super::api::HostKind;
use super::commit_status::{CommitState, CommitStatus};
use crate::base::{Millis, Timestamp};

/// Commits that are remembered: a host that is away for days gets the newest ones.
const MOST: usize = 16;
/// First wait after a host could not be told; it doubles.
const FIRST_WAIT: Millis = Millis::seconds(5);
/// Longest wait of ours.
const LONGEST_WAIT: Millis = Millis::seconds(15 * 60);
/// Longest wait that a host may ask for: GitHub's limits are by the hour.
const LONGEST_ASKED: Millis = Millis::seconds(60 * 60);

/// One commit, as the host has it and as it is; part of the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedCommit {
    /// The commit.
    pub commit: Commit,
    /// How it stands.
    pub state: CommitState,
    /// In a line.
    pub description: String,
    /// Since when, in microseconds since 1970.
    pub since_us: i64,
    /// What the host was told last; none when it was told nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<CommitState>,
    /// Why the host does not take it, whatever is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What a host was told; part of the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telling {
    /// Which API.
    pub host: HostKind,
    /// The repository in it.
    pub repository: String,
    /// The name of our statuses.
    pub context: String,
    /// Commits, the newest last.
    pub commits: Vec<TrackedCommit>,
    /// Why it cannot be told at present, and what helps.
    pub error: Option<String>,
    /// When it is told again.
    pub next_us: Option<i64>,
}

impl Telling {
    /// Tells whether the host has a commit's state, in its own word.
    #[must_use]
    pub fn is_told(&self, marked: &TrackedCommit) -> bool {
        marked.told.is_some_and(|told| self.host.word(told) == self.host.word(marked.state))
    }
}

/// All that is known of what one host was told.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    telling: Telling,
    /// The newest commit that was found good.
    good: Option<Commit>,
    /// What is on its way.
    sending: Option<(Commit, CommitState)>,
    /// Requests that came to nothing since one did not.
    failures: u32,
    /// The wait is the host's own wish.
    is_asked_to_wait: bool,
}

impl Outbox {
    /// Begins, with what an earlier process has told the same host by the same name.
    pub(super) fn new(host: HostKind, repository: String, context: String, earlier: Option<Telling>) -> Self {
        let is_same = |old: &Telling| old.host == host && old.repository == repository && old.context == context;
        let commits = earlier.filter(is_same).map_or_else(Vec::new, |old| old.commits);
        let telling = Telling { host, repository, context, commits, error: None, next_us: None };
        Self { telling, good: None, sending: None, failures: 0, is_asked_to_wait: false }
    }

    /// Returns what is written into the status.
    pub(super) const fn telling(&self) -> &Telling {
        &self.telling
    }

    /// Takes in what has happened.
    pub(super) fn hear(&mut self, heard: &Heard, now: Timestamp) {
        let is_known = |commit: &Commit| self.telling.commits.iter().any(|marked| marked.commit == *commit);
        match heard {
            // One that was looked at before stands as it did, until something is found out or done.
            Heard::Fetched { commit } if is_known(commit) => return,
            Heard::NotPlanned { commit, is_refused: false, .. } if self.is_settled(commit) => return,
            Heard::Planned { commit, .. } => {
                self.good = Some(commit.clone());
                self.supersede(commit, CommitState::Pending, now);
            }
            Heard::NotPlanned { commit, is_refused: true, .. } => self.supersede(commit, CommitState::Pending, now),
            // It was asked to leave, and not for our own sake.
            Heard::Applied { commit, .. } if CommitStatus::of(heard).is_none() => {
                if let Some(good) = self.good.clone().filter(|good| good != commit) {
                    self.supersede(&good, CommitState::Running, now);
                }
            }
            _ => {}
        }
        if let Some(status) = CommitStatus::of(heard) {
            self.set(status, now);
        }
    }

    fn is_settled(&self, commit: &Commit) -> bool {
        let mut of_commit = self.telling.commits.iter().filter(|marked| marked.commit == *commit);
        of_commit.any(|marked| matches!(marked.state, CommitState::Success | CommitState::Failure))
    }

    /// Outbox others than a commit that were left in a state.
    fn supersede(&mut self, by: &Commit, left_in: CommitState, now: Timestamp) {
        let left = self.telling.commits.iter().filter(|one| one.state == left_in && one.commit != *by);
        let left: Vec<CommitStatus> = left.map(|one| CommitStatus::superseded(&one.commit)).collect();
        let newest = self.telling.commits.last().map(|one| one.commit.clone());
        left.into_iter().for_each(|status| self.set(status, now));
        if let Some(at) = self.telling.commits.iter().position(|one| Some(&one.commit) == newest.as_ref()) {
            let newest = self.telling.commits.remove(at);
            self.telling.commits.push(newest);
        }
    }

    fn set(&mut self, status: CommitStatus, now: Timestamp) {
        let CommitStatus { commit, state, description } = status;
        let commits = &mut self.telling.commits;
        let old = commits.iter().position(|one| one.commit == commit).map(|at| commits.remove(at));
        if let Some(old) = old.clone().filter(|old| old.state == state) {
            commits.push(old);
            return;
        }
        let told = old.and_then(|old| old.told);
        commits.push(TrackedCommit { commit, state, description, since_us: now.0, told, refused: None });
        let excess = commits.len().saturating_sub(MOST);
        commits.drain(..excess);
    }

    /// Returns what is to be told now: of the newest commit first, its newest state alone.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<CommitStatus> {
        if self.sending.is_some() || self.telling.next_us.is_some_and(|at| at > now.0) {
            return None;
        }
        let marked = self.untold().next_back()?;
        let TrackedCommit { commit, state, description, .. } = marked.clone();
        self.sending = Some((commit.clone(), state));
        Some(CommitStatus { commit, state, description })
    }

    /// Has it told now what waits, unless the host asked us to wait: whoever leaves tries once more.
    pub(super) fn hurry(&mut self) {
        if !self.is_asked_to_wait {
            self.telling.next_us = None;
        }
    }

    /// Returns the commits that the host has another state of, or none.
    fn untold(&self) -> impl DoubleEndedIterator<Item = &TrackedCommit> {
        self.telling.commits.iter().filter(|one| one.refused.is_none() && !self.telling.is_told(one))
    }

    /// Returns when something is to be told; none while something is on its way, or nothing is to be told.
    pub(super) fn wakes_at(&self) -> Option<Timestamp> {
        let is_idle = self.sending.is_some() || self.untold().next().is_none();
        if is_idle { None } else { self.telling.next_us.map(Timestamp) }
    }

    /// Takes in what came of what was on its way; returns what people are told of it.
    pub(super) fn answered(&mut self, verdict: Verdict, now: Timestamp) -> Option<Heard> {
        let (commit, state) = self.sending.take()?;
        let is_newest = self.telling.commits.last().is_some_and(|one| one.commit == commit);
        let word = self.telling.host.word(state);
        let (why, after) = match verdict {
            Verdict::Taken => {
                self.is_there();
                let marked = self.telling.commits.iter_mut().find(|one| one.commit == commit)?;
                marked.told = Some(state);
                // What was found out since is told by itself.
                let is_as_sent = marked.state == state;
                let description = if is_as_sent { marked.description.clone() } else { String::new() };
                return Some(Heard::Told { commit, state: word, description });
            }
            Verdict::Refused(why) => return Some(self.refused(commit, state, why)),
            // The newest one tells whether it is the token: an older one may be gone from there.
            Verdict::Absent(why) if !is_newest => return Some(self.refused(commit, state, why)),
            Verdict::Absent(why) => (why, None),
            Verdict::Away { why, after } => (why, after),
        };
        self.failures = self.failures.saturating_add(1);
        self.is_asked_to_wait = after.is_some();
        let wait = after.map(|wait| wait.min(LONGEST_ASKED));
        let wait = wait.unwrap_or_else(|| doubled(FIRST_WAIT, self.failures - 1).min(LONGEST_WAIT));
        let again = now.after(wait);
        self.telling.next_us = Some(again.0);
        let is_news = self.telling.error.as_ref() != Some(&why);
        self.telling.error = Some(why.clone());
        is_news.then_some(Heard::Untold { commit, state: word, why, again: Some(again) })
    }

    /// Sets aside what the host will never take, so that it keeps nothing else from being told.
    fn refused(&mut self, commit: Commit, state: CommitState, why: String) -> Heard {
        self.is_there();
        let marked = self.telling.commits.iter_mut().find(|one| one.commit == commit && one.state == state);
        if let Some(marked) = marked {
            marked.refused = Some(why.clone());
        }
        Heard::Untold { commit, state: self.telling.host.word(state), why, again: None }
    }

    fn is_there(&mut self) {
        self.is_asked_to_wait = false;
        (self.failures, self.telling.error, self.telling.next_us) = (0, None, None);
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
