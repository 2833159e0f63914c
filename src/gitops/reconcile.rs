//! What is to be done next: a function of what is known and what has happened, without clocks, files or processes.
//! Reads: [`Happened`]. Gives: [`Action`]. Never: two applies at once, an apply of what was not found good.
//! Start at [`State::next`].

use super::commit::Commit;
use crate::base::{Hasher, Millis, Timestamp};

/// Longest wait for a server that is away, unless the interval itself is longer.
const LONGEST_WAIT: Millis = Millis::seconds(15 * 60);
/// First wait after an apply that failed for a reason that may pass; it doubles.
const FIRST_WAIT: Millis = Millis::seconds(30);
/// Webhooks wake no more often than this: whoever has the secret may not make us fetch without end.
const BETWEEN_FETCHES: Millis = Millis::seconds(1);
/// How often it is looked at whether the runs are still those of the last good commit.
const LOOK_AGAIN: Millis = Millis::seconds(10 * 60);

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The branch is at a commit, and the commit is here.
    Fetched(Commit),
    /// The branch cannot be fetched.
    NotFetched,
    /// A commit was planned, and is good.
    Planned(Commit, Planned),
    /// A commit is wrong, and stays so.
    Refused(Commit),
    /// Whether a commit is good could not be found out.
    NotPlanned(Commit),
    /// An apply came to its end.
    Applied(Commit, Applied),
    /// Somebody says that there may be something new.
    Woken,
    /// We are to leave.
    Leave,
}

/// What a plan says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// Some run is not what it should be.
    pub is_pending: bool,
    /// Some entry's time has come.
    pub is_due: bool,
    /// When the next entry's time comes.
    pub next: Option<Timestamp>,
}

/// How an apply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// All runs are as they should be.
    Done,
    /// It came to its end, and asking again would change nothing: failed cases, a gate, a budget.
    Failed,
    /// Its pipelines are wrong after all.
    Wrong,
    /// It was stopped, or something was away that may come back.
    Unfinished,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask where the branch is, and fetch that.
    Fetch,
    /// Find out whether a commit is good, and what is to be done for it.
    Plan(Commit),
    /// Make the runs those of a commit.
    Apply(Commit),
    /// Ask the running apply to leave in order.
    StopApply,
    /// Nothing, until then or until something happens.
    Wait(Timestamp),
    /// Nothing any more.
    Leave,
}

/// What is under way beside an apply.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Work {
    Fetch,
    Plan(Commit),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Applying {
    commit: Commit,
    is_asked_to_leave: bool,
}

/// What is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    interval: Millis,
    /// Where the branch was last.
    seen: Option<Commit>,
    /// The newest commit that was found good.
    good: Option<Commit>,
    /// The newest commit whose apply came to its end.
    applied: Option<Commit>,
    /// The newest commit that was found wrong.
    refused: Option<Commit>,
    work: Option<Work>,
    applying: Option<Applying>,
    fetch_at: Timestamp,
    fetched_at: Option<Timestamp>,
    /// Woken while a fetch was on its way, which may have been too early.
    is_woken: bool,
    plan_at: Option<Timestamp>,
    apply_at: Option<Timestamp>,
    /// Fetches that failed since one did not.
    failures: u32,
    /// Plans and applies of `good` that came to nothing since one did not.
    attempts: u32,
    /// The apply of `good` came to its end, and to ask again would change nothing.
    is_given_up: bool,
    /// An apply of `good` came to its end, and no plan has been made since.
    has_ended: bool,
    is_leaving: bool,
}

impl State {
    /// Begins, with the commit that was good when an earlier process left, if there is one.
    #[must_use]
    pub const fn new(interval: Millis, good: Option<Commit>, now: Timestamp) -> Self {
        let plan_at = if good.is_some() { Some(now) } else { None };
        Self {
            interval,
            seen: None,
            good,
            applied: None,
            refused: None,
            work: None,
            applying: None,
            fetch_at: now,
            fetched_at: None,
            is_woken: false,
            plan_at,
            apply_at: None,
            failures: 0,
            attempts: 0,
            is_given_up: false,
            has_ended: false,
            is_leaving: false,
        }
    }

    /// Returns where the branch was last.
    #[must_use]
    pub const fn seen(&self) -> Option<&Commit> {
        self.seen.as_ref()
    }

    /// Returns the newest commit that was found good.
    #[must_use]
    pub const fn good(&self) -> Option<&Commit> {
        self.good.as_ref()
    }

    /// Returns the newest commit whose apply came to its end.
    #[must_use]
    pub const fn applied(&self) -> Option<&Commit> {
        self.applied.as_ref()
    }

    /// Returns the commit that runs are being made of.
    #[must_use]
    pub fn applying(&self) -> Option<&Commit> {
        self.applying.as_ref().map(|applying| &applying.commit)
    }

    /// Tells whether the running apply was asked to leave.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.applying.as_ref().is_some_and(|applying| applying.is_asked_to_leave)
    }

    /// Tells whether the commit that the branch is at was found wrong.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.seen.is_some() && self.seen == self.refused
    }

    /// Returns when the branch is asked for next.
    #[must_use]
    pub const fn fetch_at(&self) -> Timestamp {
        self.fetch_at
    }

    /// Returns when something is applied next, as far as is known.
    #[must_use]
    pub const fn apply_at(&self) -> Option<Timestamp> {
        self.apply_at
    }

    /// Returns how many fetches failed since one did not.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns how many plans and applies of the good commit came to nothing since one did not.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Tells whether a fetch or a plan is under way.
    #[must_use]
    pub const fn is_working(&self) -> bool {
        self.work.is_some()
    }

    /// Takes in what has happened.
    pub fn take(&mut self, now: Timestamp, happened: Happened) {
        match happened {
            Happened::Fetched(commit) => {
                self.fetched(now);
                self.failures = 0;
                self.fetch_at = now.after(self.wait(self.interval, now));
                if self.seen.as_ref() != Some(&commit) {
                    // Whatever is waited for is about another one.
                    self.plan_at = Some(now);
                }
                self.seen = Some(commit);
            }
            Happened::NotFetched => {
                self.fetched(now);
                self.failures = self.failures.saturating_add(1);
                let longest = self.interval.max(LONGEST_WAIT);
                let wait = doubled(self.interval.max(BETWEEN_FETCHES), self.failures - 1).min(longest);
                self.fetch_at = now.after(self.wait(wait, now));
            }
            Happened::Planned(commit, planned) => self.planned(now, commit, planned),
            Happened::Refused(commit) => self.refuse(now, commit),
            Happened::NotPlanned(commit) => {
                self.work = None;
                self.attempts = self.attempts.saturating_add(1);
                let is_of_interest = self.good.as_ref() == Some(&commit) || self.seen.as_ref() == Some(&commit);
                self.plan_at = Some(if is_of_interest { now.after(self.patience()) } else { now });
            }
            Happened::Applied(commit, applied) => self.ended(now, commit, applied),
            Happened::Woken if self.work == Some(Work::Fetch) => self.is_woken = true,
            Happened::Woken => {
                let soonest = self.fetched_at.map_or(now, |at| at.after(BETWEEN_FETCHES));
                self.fetch_at = self.fetch_at.min(soonest.max(now));
            }
            Happened::Leave => self.is_leaving = true,
        }
        if self.is_woken && self.work.is_none() {
            self.is_woken = false;
            self.fetch_at = now.after(BETWEEN_FETCHES);
        }
    }

    fn fetched(&mut self, now: Timestamp) {
        self.work = None;
        self.fetched_at = Some(now);
    }

    fn planned(&mut self, now: Timestamp, commit: Commit, planned: Planned) {
        self.work = None;
        let is_new = self.good.as_ref() != Some(&commit);
        if is_new && self.seen.as_ref() != Some(&commit) {
            // The branch has moved on since.
            return;
        }
        if is_new {
            self.attempts = 0;
            self.is_given_up = false;
            self.apply_at = None;
            self.has_ended = false;
        }
        let has_ended = std::mem::take(&mut self.has_ended);
        self.good = Some(commit.clone());
        self.plan_at = Some(now.after(LOOK_AGAIN));
        // A new one is applied though nothing is to be asked: which commit stands for what is kept there.
        if !is_new && !planned.is_due && (!planned.is_pending || self.is_given_up) {
            self.attempts = 0;
            self.applied = Some(commit);
            self.apply_at = planned.next.map(|next| next.max(now));
            return;
        }
        // What is still to do right after it was done waits longer each time.
        self.attempts = self.attempts.saturating_add(u32::from(has_ended));
        let at = if self.attempts > 0 { now.after(self.patience()) } else { now };
        self.apply_at = Some(self.apply_at.map_or(at, |set| set.min(at)));
    }

    fn refuse(&mut self, now: Timestamp, commit: Commit) {
        self.work = None;
        if self.good.as_ref() == Some(&commit) {
            // It was good once: what it names on this machine is not what it was.
            self.good = self.applied.clone().filter(|applied| *applied != commit);
            self.apply_at = None;
            self.plan_at = self.good.is_some().then_some(now);
        }
        self.refused = Some(commit);
    }

    fn ended(&mut self, now: Timestamp, commit: Commit, applied: Applied) {
        let was_asked = self.is_stopping();
        self.applying = None;
        if self.good.as_ref() != Some(&commit) {
            return;
        }
        match applied {
            Applied::Done | Applied::Failed => {
                self.is_given_up = applied == Applied::Failed;
                self.has_ended = true;
                self.applied = Some(commit);
                // What comes next is told by a plan.
                self.plan_at = Some(now);
            }
            Applied::Wrong => self.refuse(now, commit),
            Applied::Unfinished => {
                self.attempts = self.attempts.saturating_add(1);
                self.apply_at = Some(if was_asked { now } else { now.after(self.patience()) });
            }
        }
    }

    /// Says what is to be done now; ask until it says to wait.
    pub fn next(&mut self, now: Timestamp) -> Action {
        let is_outdated = self.applying.as_ref().is_some_and(|one| self.good.as_ref() != Some(&one.commit));
        if let Some(applying) = &mut self.applying
            && !applying.is_asked_to_leave
            && (self.is_leaving || is_outdated)
        {
            applying.is_asked_to_leave = true;
            return Action::StopApply;
        }
        if self.is_leaving {
            return if self.applying.is_some() { Action::Wait(Timestamp(i64::MAX)) } else { Action::Leave };
        }
        if self.work.is_none()
            && let Some(work) = self.next_work(now)
        {
            self.work = Some(work.clone());
            return match work {
                Work::Fetch => Action::Fetch,
                Work::Plan(commit) => Action::Plan(commit),
            };
        }
        if let Some(good) = &self.good
            && self.applying.is_none()
            && !matches!(self.work, Some(Work::Plan(_)))
            && self.apply_at.is_some_and(|at| at <= now)
        {
            let commit = good.clone();
            self.apply_at = None;
            self.applying = Some(Applying { commit: commit.clone(), is_asked_to_leave: false });
            return Action::Apply(commit);
        }
        Action::Wait(self.wakes_at())
    }

    fn next_work(&mut self, now: Timestamp) -> Option<Work> {
        if let Some(seen) = &self.seen
            && self.good.as_ref() != Some(seen)
            && self.refused.as_ref() != Some(seen)
            && self.plan_at.is_none_or(|at| at <= now)
        {
            self.plan_at = None;
            return Some(Work::Plan(seen.clone()));
        }
        if self.fetch_at <= now {
            return Some(Work::Fetch);
        }
        if let Some(good) = &self.good
            && self.applying.is_none()
            && self.plan_at.is_some_and(|at| at <= now)
        {
            self.plan_at = None;
            return Some(Work::Plan(good.clone()));
        }
        None
    }

    fn wakes_at(&self) -> Timestamp {
        let mut wakes = Timestamp(i64::MAX);
        if self.work.is_none() {
            wakes = self.fetch_at;
            // A branch that is back at what was refused has nothing to plan, whenever it came there.
            let has_to_plan = self.good.is_some() || (self.seen.is_some() && !self.is_refused());
            if self.applying.is_none() && has_to_plan {
                wakes = self.plan_at.map_or(wakes, |at| wakes.min(at));
            }
        }
        if self.applying.is_none() && self.good.is_some() {
            wakes = self.apply_at.map_or(wakes, |at| wakes.min(at));
        }
        wakes
    }

    /// Returns how long what came to nothing waits.
    fn patience(&self) -> Millis {
        doubled(FIRST_WAIT, self.attempts.saturating_sub(1)).min(LONGEST_WAIT)
    }

    /// Spreads a wait by a tenth to both sides, so that many reconcilers do not ask one server together.
    fn wait(&self, wait: Millis, now: Timestamp) -> Millis {
        let drawn = Hasher::new("gitops").number(now.0.cast_unsigned()).number(u64::from(self.failures)).finish();
        Millis(wait.0 - wait.0 / 10 + drawn.low_bits() % (wait.0 / 5).max(1))
    }
}

/// Returns a wait that doubles each time.
pub(super) fn doubled(wait: Millis, times: u32) -> Millis {
    Millis(wait.0.saturating_mul(2u64.saturating_pow(times)))
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
