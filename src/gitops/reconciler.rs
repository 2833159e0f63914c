//! What carries out what [`State`] decides: one task at a time beside one apply, until it is told to leave.
//! Reads: a branch. Gives: runs that are those of its newest good commit, and word of what happens. Never: a decision.
//! Start at [`Reconciler::open`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::commit::Commit;
use super::executor::{self, Executor};
use super::git::Git;
use super::http::Board;
use super::means::{Done, Means, Ready, Verdict};
use super::mirror::{FetchError, Mirror};
use super::place::{folder_of, new_enough};
use super::reconcile::{Action, Applied, Happened, State};
use super::status::{Stage, Status, Trouble};
use super::statuses::Teller;
use super::told::{Ended, Heard, OpenError, Settings};
use super::tree::Trees;
use crate::base::{Timestamp, with_causes};
use crate::journal::{LockError, RunLock};

/// Longest sleep: the wall clock may be set, or the machine suspended, while we sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The owner of one branch's runs in one home.
pub struct Reconciler {
    means: Arc<Means>,
    folder: PathBuf,
    state: State,
    status: Status,
    tasks: JoinSet<Done>,
    teller: Teller,
    /// The commit that was last told to be in sync.
    told: Option<Commit>,
    /// What has happened and was not told yet.
    unsaid: Vec<Heard>,
    leave: CancellationToken,
    hurry: CancellationToken,
    _lock: RunLock,
}

impl Reconciler {
    /// Takes the lock and looks at what an earlier process left.
    ///
    /// # Errors
    /// Another process has it, the folder cannot be written, or git is not there or too old.
    pub fn open(settings: Settings, executor: Executor) -> Result<Self, OpenError> {
        let home = executor.home.clone();
        let folder = folder_of(&home, &settings);
        let failed = |source| OpenError::File { path: folder.clone(), source };
        std::os::unix::fs::DirBuilderExt::mode(std::fs::DirBuilder::new().recursive(true), 0o700)
            .create(&folder)
            .map_err(failed)?;
        let lock = RunLock::take(&folder.join("lock")).map_err(|error| match error {
            LockError::Held { pid, .. } => OpenError::Held {
                repository: settings.remote.to_string(),
                branch: settings.branch.to_string(),
                home: home.clone(),
                pid,
            },
            LockError::File { path, source } => OpenError::File { path, source },
        })?;
        let git = Git::new(settings.remote.clone(), settings.credentials.clone());
        new_enough(&git)?;
        let now = now();
        let earlier = Status::read(&folder);
        let path = settings.folder.path();
        let mut status = Status::new(settings.remote.url(), settings.branch.name(), path, now);
        let (good, told) = earlier.map_or((None, None), |earlier| (earlier.good, earlier.statuses));
        status.good = good;
        let teller = Teller::new(settings.statuses.clone(), told);
        let state = State::new(settings.interval, status.good.clone(), now);
        let mirror = Mirror::new(git, settings.branch.clone(), &folder, settings.limits);
        let trees = Trees::new(&folder, settings.limits);
        Ok(Self {
            means: Arc::new(Means { mirror, trees, executor, settings, home }),
            folder,
            state,
            status,
            tasks: JoinSet::new(),
            teller,
            told: None,
            unsaid: Vec::new(),
            leave: CancellationToken::new(),
            hurry: CancellationToken::new(),
            _lock: lock,
        })
    }

    /// Goes on until `leave`, or until once was enough; `hurry` ends an apply that is asked to leave sooner.
    ///
    /// # Cancel safety
    /// Dropped, it kills what it has started, as a crash would: runs can be resumed, nothing is half written.
    pub async fn run(
        mut self,
        board: &Board,
        leave: &CancellationToken,
        hurry: &CancellationToken,
        tell: &mut (dyn FnMut(&Heard) + Send),
    ) -> Ended {
        self.hurry = hurry.clone();
        let mut is_told = false;
        let ended = loop {
            let Some(until) = self.act() else { break Ended::Told };
            self.teller.begin(now());
            self.publish(board);
            self.say(tell);
            let until = self.teller.wakes_at().map_or(until, |at| until.min(at));
            let sleep = Duration::from_micros(until.micros_since(now())).min(LONGEST_SLEEP);
            tokio::select! {
                Some(done) = self.tasks.join_next() => {
                    let done = match done {
                        Ok(done) => done,
                        // A task that panics is a bug, and is told as one.
                        Err(error) => std::panic::resume_unwind(Box::new(error.to_string())),
                    };
                    let once = self.take(done);
                    if let Some(ended) = once.filter(|_| self.means.settings.once) {
                        break ended;
                    }
                    self.sweep();
                }
                heard = self.teller.answered(now) => self.unsaid.extend(heard),
                () = board.woken() => self.state.take(now(), Happened::Woken),
                () = leave.cancelled(), if !is_told => {
                    is_told = true;
                    self.state.take(now(), Happened::Leave);
                }
                () = tokio::time::sleep(sleep) => {}
            }
        };
        // A fetch or a plan that is under way has changed nothing.
        self.tasks.shutdown().await;
        let heard = self.teller.last_word(hurry, now).await;
        self.unsaid.extend(heard);
        self.status.next_fetch_us = None;
        self.set(Stage::Left);
        self.write(board);
        self.say(tell);
        ended
    }

    /// Keeps what has happened until it is told, and has the host told what it means for a commit.
    fn hear(&mut self, heard: Heard) {
        self.teller.hear(&heard, now());
        self.unsaid.push(heard);
    }

    /// Tells what has happened: after the status, so that who hears of it finds it there.
    fn say(&mut self, tell: &mut (dyn FnMut(&Heard) + Send)) {
        self.unsaid.drain(..).for_each(|heard| tell(&heard));
    }

    /// Does what is to be done now, and returns until when nothing is; none when it is over.
    fn act(&mut self) -> Option<Timestamp> {
        loop {
            match self.state.next(now()) {
                Action::Wait(until) => return Some(until),
                Action::Leave => return None,
                Action::Fetch => self
                    .spawn(tracing::info_span!(parent: None, "pipe.gitops.fetch"), |means| async move {
                        Done::Fetched(means.fetch().await)
                    }),
                Action::Plan(commit) => {
                    let span = tracing::info_span!(parent: None, "pipe.gitops.plan", pipe.commit = commit.id());
                    self.spawn(span, |means| async move { means.plan(commit).await });
                }
                Action::Apply(commit) => {
                    self.hear(Heard::Applying { commit: commit.clone() });
                    let span = tracing::info_span!(parent: None, "pipe.gitops.apply", pipe.commit = commit.id());
                    self.leave = CancellationToken::new();
                    let (leave, hurry) = (self.leave.clone(), self.hurry.clone());
                    self.spawn(span, |means| async move {
                        let tree = means.trees.path(&commit);
                        let remote = &means.settings.remote;
                        let ended = means.executor.apply(&tree, &commit, remote, &leave, &hurry).await;
                        Done::Applied(commit, ended)
                    });
                }
                Action::StopApply => {
                    if let Some(commit) = self.state.applying() {
                        self.hear(Heard::Stopping { commit: commit.clone() });
                    }
                    self.leave.cancel();
                }
            }
        }
    }

    fn spawn<F>(&mut self, span: tracing::Span, work: impl FnOnce(Arc<Means>) -> F)
    where
        F: Future<Output = Done> + Send + 'static,
    {
        self.tasks.spawn(work(Arc::clone(&self.means)).instrument(span));
    }

    /// Takes in what came of a task; returns how a reconciler that goes once would leave.
    fn take(&mut self, done: Done) -> Option<Ended> {
        let now = now();
        match done {
            Done::Fetched(fetched) => self.fetched(now, fetched),
            Done::Planned(commit, ready, verdict) => self.planned(now, commit, ready, verdict),
            Done::Applied(commit, ended) => self.applied(now, commit, ended),
        }
    }

    fn fetched(&mut self, now: Timestamp, fetched: Result<Commit, FetchError>) -> Option<Ended> {
        self.status.fetched_us = Some(now.0);
        match fetched {
            Ok(commit) => {
                self.settle_trouble(&["fetch"]);
                if self.state.failures() > 0 {
                    self.hear(Heard::Reachable { commit: commit.clone() });
                }
                if self.state.seen() != Some(&commit) {
                    self.hear(Heard::Fetched { commit: commit.clone() });
                }
                self.state.take(now, Happened::Fetched(commit));
                None
            }
            Err(error) => {
                let why = with_causes(&error);
                self.state.take(now, Happened::NotFetched);
                tracing::warn!(%why, "the repository cannot be fetched");
                // What is wrong with the commit that is here is of more weight once it can be fetched again.
                self.trouble("fetch", None, &why, now);
                self.hear(Heard::Unreachable { why, again: self.state.fetch_at() });
                Some(Ended::Unreachable)
            }
        }
    }

    fn planned(
        &mut self,
        now: Timestamp,
        commit: Commit,
        ready: Result<Ready, Trouble>,
        verdict: Verdict,
    ) -> Option<Ended> {
        let trouble = match ready {
            Ok(Ready { plan, notes }) => {
                self.settle_trouble(&["signature", "tree", "plan"]);
                let is_new = self.state.good() != Some(&commit);
                let planned = plan.planned;
                if is_new {
                    for note in &notes {
                        self.hear(Heard::LeftOut { note: note.clone() });
                    }
                }
                self.status.notes = notes;
                self.state.take(now, Happened::Planned(commit.clone(), planned));
                let is_good = self.state.good() == Some(&commit);
                if is_good {
                    self.status.entries.clone_from(&plan.entries);
                    if is_new || planned.is_due || planned.is_pending && self.state.attempts() == 0 {
                        self.hear(Heard::Planned { commit: commit.clone(), entries: plan.entries });
                    }
                }
                let is_at_rest = self.state.applied() == Some(&commit) && self.state.seen() == Some(&commit);
                let is_at_rest = is_at_rest && self.state.apply_at().is_none_or(|at| at > now);
                if is_at_rest && self.told.as_ref() != Some(&commit) {
                    self.hear(Heard::InSync { commit: commit.clone(), entries: self.status.entries.clone() });
                    self.told = Some(commit);
                }
                return is_at_rest.then_some(Ended::Once(None));
            }
            Err(trouble) => trouble,
        };
        let is_refused = verdict == Verdict::Wrong;
        tracing::warn!(%commit, why = trouble.message, "the commit is not applied");
        let why = trouble.message.clone();
        self.trouble(&trouble.doing, Some(commit.clone()), &why, now);
        let happened = if is_refused { Happened::Refused } else { Happened::NotPlanned };
        self.state.take(now, happened(commit.clone()));
        let stays = self.state.good().cloned();
        let ended = if is_refused { Ended::Refused } else { Ended::Unknown };
        let ended = (self.state.seen() == Some(&commit)).then_some(ended);
        self.hear(Heard::NotPlanned { commit, doing: trouble.doing, why, is_refused, stays });
        ended
    }

    fn applied(&mut self, now: Timestamp, commit: Commit, ended: executor::Ended) -> Option<Ended> {
        let executor::Ended { applied, exit, entries, why } = ended;
        let was_asked = self.state.is_stopping();
        self.status.last_exit = exit;
        if !entries.is_empty() && self.state.good() == Some(&commit) {
            self.status.entries.clone_from(&entries);
        }
        self.state.take(now, Happened::Applied(commit.clone(), applied));
        let why = why.filter(|_| !was_asked);
        match &why {
            Some(why) => self.trouble("apply", Some(commit.clone()), why, now),
            None => self.settle_trouble(&["apply"]),
        }
        self.told = Some(commit.clone());
        let again = self.state.apply_at().filter(|_| applied == Applied::Unfinished && !was_asked);
        let is_of_branch = self.state.seen() == Some(&commit);
        self.hear(Heard::Applied { commit, exit, entries, why, again });
        match applied {
            Applied::Wrong => Some(Ended::Refused),
            _ if is_of_branch => Some(Ended::Once(exit)),
            _ => None,
        }
    }

    fn trouble(&mut self, doing: &str, commit: Option<Commit>, message: &str, now: Timestamp) {
        let since = self.status.error.as_ref().filter(|old| old.doing == doing && old.message == message);
        let since_us = since.map_or(now.0, |old| old.since_us);
        self.status.error = Some(Trouble { doing: doing.to_owned(), commit, message: message.to_owned(), since_us });
    }

    /// Forgets what is no longer wrong.
    fn settle_trouble(&mut self, doing: &[&str]) {
        if self.status.error.as_ref().is_some_and(|error| doing.contains(&error.doing.as_str())) {
            self.status.error = None;
        }
    }

    fn set(&mut self, stage: Stage) {
        if self.status.state != stage {
            self.status.state = stage;
            self.status.since_us = now().0;
        }
    }

    /// Tells everybody how things stand.
    fn publish(&mut self, board: &Board) {
        let doing = self.status.error.as_ref().map(|error| error.doing.clone());
        let stage = match doing.as_deref() {
            _ if self.state.is_stopping() => Stage::Stopping,
            _ if self.state.applying().is_some() => Stage::Applying,
            _ if self.state.is_working() && self.state.good().is_none() => Stage::Planning,
            _ if self.state.is_refused() => Stage::Refused,
            Some("fetch") => Stage::Unreachable,
            Some("apply") if self.state.apply_at().is_none() => Stage::Failed,
            Some(_) => Stage::Waiting,
            None if self.state.good().is_none() => Stage::Starting,
            None if self.state.seen().is_some() && self.state.applied() == self.state.seen() => Stage::InSync,
            None => Stage::Planning,
        };
        self.set(stage);
        self.status.next_fetch_us = Some(self.state.fetch_at().0);
        self.write(board);
    }

    fn write(&mut self, board: &Board) {
        self.status.seen = self.state.seen().cloned();
        self.status.good = self.state.good().cloned();
        self.status.applied = self.state.applied().cloned();
        self.status.applying = self.state.applying().cloned();
        self.status.statuses = self.teller.telling().cloned();
        self.status.next_apply_us = self.state.apply_at().map(|at| at.0);
        match serde_json::to_string_pretty(&self.status) {
            Ok(text) => board.post(self.status.state.word(), text + "\n"),
            Err(error) => tracing::warn!(%error, "the status cannot be written as JSON"),
        }
        if Status::read(&self.folder).as_ref() != Some(&self.status)
            && let Err(error) = self.status.write(&self.folder)
        {
            // The runs matter more than word of them.
            tracing::warn!(%error, "the status cannot be written");
        }
    }

    /// Removes trees that nobody needs. None is removed while one is written.
    fn sweep(&self) {
        if self.state.is_working() {
            return;
        }
        let known = [self.state.seen(), self.state.good(), self.state.applied(), self.state.applying()];
        let in_use = self.means.in_use(&self.status.entries);
        let needed: Vec<&Commit> = known.into_iter().flatten().chain(&in_use).collect();
        if let Err(error) = self.means.trees.sweep(&needed) {
            tracing::warn!(%error, "old trees cannot be removed");
        }
    }
}

/// Returns the time of the wall clock: schedules are by it, and this process may live for months.
fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
