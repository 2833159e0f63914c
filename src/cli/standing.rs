//! Where the runs of a pipeline stand against what it is to be.

use std::path::Path;

use super::applied::Record;
use super::engage;
use super::exit::{CommandError, Exit, with_causes};
use super::glance::status;
use super::kept::Kept;
use super::project::Entry;
use crate::base::{RunId, Timestamp};
use crate::event::{Event, RunOutcome, RunStarted, StopCause};
use crate::journal::{JournalError, Reader, RunDir};
use crate::plan::{BackendUrl, Plan};
use crate::report::{RunStatus, grouped};
use crate::run::Survey;
use crate::spec::Schedule;

/// Runs of a name that are looked at, newest first, beside those that are known to be of just this.
const LOOKED_AT: usize = 4;

/// What is, held against what is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is no run of it.
    New,
    /// There are runs, but none of this plan over these rows.
    Changed,
    /// A run of just this is complete.
    Unchanged(RunDir),
    /// A run of just this is complete, and it is time for the next.
    Due(RunDir, Timestamp),
    /// A run of just this came to an end that is none: why, and what to do.
    Failed(RunDir, Bad),
    /// A run of just this waits to be gone on with: so many of its cases are done.
    Unfinished(RunDir, u64),
    /// A process works on a run of just this.
    Running(RunDir),
}

/// How a run that is over did not come to what was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// More cases failed than the pipeline bears, or what is made of all of them.
    Cases(String),
    /// This condition of its `stop` ended it.
    Stopped(String),
}

impl Bad {
    /// Says why.
    pub(super) fn says(&self) -> String {
        match self {
            Self::Cases(why) => why.clone(),
            Self::Stopped(condition) => format!("its `stop` ended it ({condition})"),
        }
    }

    /// Returns the exit code that its run ended with.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Stopped(condition) => engage::exit_of_condition(condition),
            Self::Cases(_) => Exit::GateFailed,
        }
    }
}

impl Standing {
    /// Returns the word for it.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Unchanged(_) => "unchanged",
            Self::Due(..) => "due",
            Self::Failed(..) => "failed",
            Self::Unfinished(..) => "unfinished",
            Self::Running(_) => "running",
        }
    }

    /// Returns the run that it speaks of.
    pub(super) const fn run(&self) -> Option<&RunDir> {
        match self {
            Self::New | Self::Changed => None,
            Self::Unchanged(run)
            | Self::Running(run)
            | Self::Due(run, _)
            | Self::Failed(run, _)
            | Self::Unfinished(run, _) => Some(run),
        }
    }
}

/// What was found among the runs of a name.
pub(super) struct Found {
    pub(super) standing: Standing,
    /// The newest run of the same plan that nobody works on, else the newest of all: what it has answered counts where
    /// the same is asked.
    pub(super) newest: Option<RunDir>,
    /// When the newest run of it began.
    pub(super) began: Option<Timestamp>,
    /// What somebody did by hand.
    pub(super) drift: Vec<String>,
}

/// Looks at the runs of a name, newest first, and at those that were begun for just this, however old: an edit that was
/// taken back finds its run again.
pub(super) fn stand(
    entry: &Entry,
    (plan, survey): (&Plan, &Survey),
    runs: &[RunDir],
    record: Option<&Record>,
    now: Timestamp,
) -> Found {
    let mut of_this_plan = None;
    let mut found = Found { standing: Standing::New, newest: None, began: None, drift: Vec::new() };
    let begun = record.map_or(&[][..], |record| &record.runs);
    let is_begun = |run: &&RunDir| {
        begun.iter().any(|one| one.run == run.id && one.plan == plan.hash && one.rows == survey.digest)
    };
    for run in runs.iter().take(LOOKED_AT).chain(runs.iter().skip(LOOKED_AT).filter(is_begun)) {
        let Ok(Some(look)) = Look::at(run, &entry.name).map_err(|error| {
            found.drift.push(format!("{} cannot be read: {}", run.id, with_causes(&error)));
        }) else {
            continue;
        };
        found.began = found.began.max(Some(look.began));
        let status = status(run, look.last.as_ref());
        if !run.is_held() {
            found.newest.get_or_insert_with(|| run.clone());
            if look.started.plan == plan.hash {
                of_this_plan.get_or_insert_with(|| run.clone());
            }
        }
        if !look.is_of(entry, plan, survey) {
            if matches!(status, RunStatus::Running | RunStatus::Paused) {
                found.drift.push(format!("{} is being worked on, and is of another state", run.id));
            }
            continue;
        }
        if status == RunStatus::Cancelled {
            found.drift.push(format!("{} was cancelled", run.id));
            continue;
        }
        found.drift.extend(look.tuned(run));
        found.standing = look.standing(run, plan, status);
        break;
    }
    found.newest = of_this_plan.or(found.newest);
    if let Standing::New = found.standing
        && found.newest.is_some()
    {
        found.standing = Standing::Changed;
    }
    let since = entry.schedule.as_ref().zip(found.began).and_then(|(schedule, began)| due(schedule, began, now));
    if let (Standing::Unchanged(run) | Standing::Failed(run, _), Some(since)) = (&found.standing, since) {
        found.standing = Standing::Due(run.clone(), since);
    }
    found
}

/// Returns since when the next run is due; none when it is not. What was missed while nobody looked is due once.
fn due(schedule: &Schedule, began: Timestamp, now: Timestamp) -> Option<Timestamp> {
    schedule.next_after(began).filter(|next| *next <= now)
}

/// What a run's journal says at a glance.
struct Look {
    reader: Reader,
    began: Timestamp,
    started: RunStarted,
    kept: Kept,
    last: Option<Event>,
}

impl Look {
    /// Opens the journal; none when it is of another pipeline, or was only made to be compared.
    fn at(run: &RunDir, name: &str) -> Result<Option<Self>, JournalError> {
        let reader = Reader::open(&run.journal_path())?;
        let (began, started) = reader.run_started()?;
        let Ok(kept) = Kept::read(&started) else { return Ok(None) };
        if started.name != name || kept.overrides.aside {
            return Ok(None);
        }
        let last = reader.last_event()?.map(|(_, last)| last.event);
        Ok(Some(Self { reader, began, started, kept, last }))
    }

    /// Tells whether it was to be what is to be: this plan, these rows, answered at such a place.
    fn is_of(&self, entry: &Entry, plan: &Plan, survey: &Survey) -> bool {
        let said = std::env::var("PIPE_BASE_URL").unwrap_or_default();
        let is_simulated = said == "sim" || said.starts_with("sim:");
        let is_there = |(ours, theirs): (&BackendUrl, &str)| match ours {
            BackendUrl::Sim { .. } => theirs == "sim",
            BackendUrl::Embedded => theirs == "embedded",
            BackendUrl::Url(_) => !matches!(theirs, "sim" | "embedded"),
            // What nobody asked for is not what `auto` finds.
            BackendUrl::Auto => theirs != "sim" || is_simulated,
        };
        let endpoint = |name| self.started.backends.iter().find(|one| one.backend == name).map(|one| &*one.endpoint);
        let mut places = plan.backends.iter().filter_map(|ours| Some((&ours.url, endpoint(ours.name.clone())?)));
        self.started.plan == plan.hash
            && self.kept.input == Some((survey.cases, survey.digest))
            && self.kept.overrides.model == entry.overrides.model
            && places.all(is_there)
    }

    /// Says what was replaced while it went.
    fn tuned(&self, run: &RunDir) -> Option<String> {
        let tuned = self.reader.last_tuned().ok().flatten().filter(|tuned| !tuned.sets.is_empty())?;
        let sets: Vec<String> = tuned.sets.iter().map(|(path, value)| format!("{path}={value}")).collect();
        Some(format!("{} was tuned by hand: {}", run.id, sets.join(", ")))
    }

    fn standing(&self, run: &RunDir, plan: &Plan, status: RunStatus) -> Standing {
        let run = run.clone();
        match (status, &self.last) {
            (RunStatus::Running | RunStatus::Paused, _) => Standing::Running(run),
            (RunStatus::Complete, _) => match self.came_to(plan) {
                None => Standing::Unchanged(run),
                Some(why) => Standing::Failed(run, Bad::Cases(why)),
            },
            (_, Some(Event::RunEnded(ended))) => match &ended.outcome {
                RunOutcome::Stopped(StopCause::Condition(reached)) => {
                    Standing::Failed(run, Bad::Stopped(reached.condition.clone()))
                }
                _ => self.unfinished(run),
            },
            _ => self.unfinished(run),
        }
    }

    fn unfinished(&self, run: RunDir) -> Standing {
        Standing::Unfinished(run, self.reader.case_counts().map_or(0, |counts| counts.settled()))
    }

    /// Says what of a complete run is not as the pipeline wants it; none when all is.
    fn came_to(&self, plan: &Plan) -> Option<String> {
        let counts = self.reader.case_counts().ok()?;
        if !plan.tolerates(counts.failed, counts.settled()) {
            return Some(format!("{} of {} cases failed", grouped(counts.failed), grouped(counts.settled())));
        }
        let closings = (counts.admitted..counts.admitted.saturating_add(plan.closings())).map(crate::base::CaseNo);
        let failed = closings.filter_map(|number| self.reader.case(number).ok().flatten()).any(|closing| {
            closing.closing
                && closing.settled.is_some_and(|settled| settled.status == crate::event::CaseStatus::Failed)
        });
        failed.then(|| "what is made of all cases failed".to_owned())
    }
}

/// Returns the run that lies at a path of a home, when it is there.
pub(super) fn run_at(home: &Path, id: &RunId) -> Option<RunDir> {
    RunDir::at(&home.join("runs").join(id.as_str()))
}

/// Reads the run whose answers count, when there is one.
///
/// # Errors
/// See [`super::earlier::Earlier::open`].
pub(super) fn earlier_of(found: &Found) -> Result<Option<super::earlier::Earlier>, CommandError> {
    found.newest.as_ref().map(super::earlier::Earlier::open).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{FromScalar as _, Literal};

    #[test]
    fn a_run_is_due_once_for_all_times_that_were_missed() {
        let schedule = Schedule::from_scalar(&Literal::Text("0 3 * * *".to_owned())).expect("a schedule");
        let at = |text: &str| Timestamp(text.parse::<jiff::Timestamp>().expect("a time").as_microsecond());
        let check = |began: &str, now: &str, expected: Option<&str>| {
            assert_eq!(due(&schedule, at(began), at(now)), expected.map(at), "{began}, {now}");
        };
        check("2026-11-21T10:00:00Z", "2026-11-21T23:00:00Z", None);
        check("2026-11-21T10:00:00Z", "2026-11-22T03:00:00Z", Some("2026-11-22T03:00:00Z"));
        check("2026-11-21T10:00:00Z", "2026-11-25T12:00:00Z", Some("2026-11-22T03:00:00Z"));
        // The run that made up for them began after them all.
        check("2026-11-25T12:00:01Z", "2026-11-25T12:30:00Z", None);
    }
}
