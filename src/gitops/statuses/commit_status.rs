//! How one commit stands, as its host is told: a word and a line, made from what happens.
//! Gives: [`CommitStatus`]. Never: words of a pipeline, a prompt or a server: a host shows them to everybody.
//! Start at [`CommitStatus::of`].

use serde::{Deserialize, Serialize};

use super::super::commit::Commit;
use super::super::executor::Entry;
use super::super::told::Heard;

/// Pipelines that a description names.
const NAMED: usize = 4;

/// How a commit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitState {
    /// It is fetched and planned.
    Pending,
    /// Runs are made those of it.
    Running,
    /// The runs are those of it.
    Success,
    /// It is wrong, or cases or gates failed.
    Failure,
    /// It could not be told.
    Error,
    /// A newer one took its place before it was done.
    Superseded,
}

impl CommitState {
    /// Returns the word for it, as in the status.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
            Self::Superseded => "superseded",
        }
    }
}

/// What a host is told of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommitStatus {
    pub(super) commit: Commit,
    pub(super) state: CommitState,
    pub(super) description: String,
}

impl CommitStatus {
    /// Returns what something that happened means for its commit; none when it means nothing new.
    pub(super) fn of(heard: &Heard) -> Option<Self> {
        let (commit, state, description) = match heard {
            Heard::Fetched { commit } => (commit, CommitState::Pending, "being planned".to_owned()),
            Heard::Applying { commit } => (commit, CommitState::Running, "being applied".to_owned()),
            Heard::InSync { commit, entries } => (commit, CommitState::Success, in_sync(entries)),
            Heard::NotPlanned { commit, doing, why, is_refused: true, .. } => {
                (commit, CommitState::Failure, refused(doing, why))
            }
            Heard::NotPlanned { commit, .. } => {
                (commit, CommitState::Error, "it could not be planned; tried again".to_owned())
            }
            Heard::Applied { commit, exit, entries, why, again } => {
                let (state, description) = applied(*exit, entries, why.is_some(), again.is_some())?;
                (commit, state, description)
            }
            Heard::Unreachable { .. }
            | Heard::Reachable { .. }
            | Heard::LeftOut { .. }
            | Heard::Planned { .. }
            | Heard::Stopping { .. }
            | Heard::Told { .. }
            | Heard::Untold { .. } => return None,
        };
        Some(Self { commit: commit.clone(), state, description })
    }

    /// Returns what a commit is told that a newer one took the place of.
    pub(super) fn superseded(commit: &Commit) -> Self {
        let description = "left for a newer commit".to_owned();
        Self { commit: commit.clone(), state: CommitState::Superseded, description }
    }
}

/// Says how an apply ended; none when it was asked to leave before.
fn applied(
    exit: Option<i32>,
    entries: &[Entry],
    is_wrong: bool,
    is_tried_again: bool,
) -> Option<(CommitState, String)> {
    match exit {
        Some(0) => Some((CommitState::Success, in_sync(entries))),
        Some(1 | 6) => Some((CommitState::Failure, failed(entries))),
        Some(3) => Some((CommitState::Failure, "refused: its pipelines are wrong".to_owned())),
        Some(code) if is_tried_again => {
            Some((CommitState::Error, format!("not applied to its end (exit code {code}); tried again")))
        }
        _ if is_wrong => Some((CommitState::Error, "not applied to its end".to_owned())),
        _ => None,
    }
}

fn in_sync(entries: &[Entry]) -> String {
    let there = entries.iter().filter(|entry| entry.state != "removed").count();
    let ran = entries.iter().filter(|entry| entry.state != "unchanged" && entry.exit.is_some()).count();
    let ran = if ran > 0 { format!(", {ran} ran") } else { String::new() };
    format!("{} in sync{ran}", pipelines(there))
}

fn failed(entries: &[Entry]) -> String {
    let bad: Vec<&str> = entries
        .iter()
        .filter(|entry| entry.exit.is_some_and(|exit| exit != 0))
        .map(|entry| entry.name.as_str())
        .collect();
    match &bad[..] {
        [] => "cases or gates failed".to_owned(),
        names if names.len() > NAMED => format!("{} of {} failed", names.len(), pipelines(entries.len())),
        names => format!("{} of {} failed: {}", names.len(), pipelines(entries.len()), names.join(", ")),
    }
}

fn pipelines(count: usize) -> String {
    if count == 1 { "1 pipeline".to_owned() } else { format!("{count} pipelines") }
}

/// Says what is wrong with a commit: which kind of thing, and where, but not in the words that name it.
fn refused(doing: &str, why: &str) -> String {
    match doing {
        "signature" => "refused: nobody on the list of signers has signed it".to_owned(),
        "tree" => "refused: its files are not taken".to_owned(),
        _ => match place(why) {
            Some(place) => format!("refused: {place} is wrong"),
            None => "refused: its pipelines are wrong".to_owned(),
        },
    }
}

/// Returns the `file:line` that a message begins with.
fn place(why: &str) -> Option<&str> {
    let (place, _) = why.split_once(": ")?;
    let file = place.rsplit_once(':').map_or(place, |(file, _)| file);
    let plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '/' | '.' | '_' | '-' | ':');
    let is_file = file.rsplit('/').next().is_some_and(|name| name.trim_matches('.').contains('.'));
    (is_file && place.chars().all(plain)).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> Commit {
        Commit::of(&"a".repeat(40))
    }

    fn entry(name: &str, state: &str, exit: Option<i64>) -> Entry {
        let message = Some("the answer was \"hunter2\"".to_owned());
        Entry { name: name.to_owned(), state: state.to_owned(), run: None, next_us: None, exit, message }
    }

    fn status(heard: &Heard) -> (CommitState, String) {
        let status = CommitStatus::of(heard).unwrap();
        assert_eq!(status.commit, commit());
        (status.state, status.description)
    }

    fn ended(exit: Option<i32>, entries: Vec<Entry>, why: Option<&str>, again: bool) -> Heard {
        let again = again.then_some(crate::base::Timestamp(7));
        Heard::Applied { commit: commit(), exit, entries, why: why.map(str::to_owned), again }
    }

    #[test]
    fn an_apply_is_told_by_counts_and_names() {
        let four = || {
            vec![
                entry("a", "unchanged", Some(0)),
                entry("b", "changed", Some(0)),
                entry("c", "new", Some(0)),
                entry("d", "unchanged", None),
            ]
        };
        let told = status(&ended(Some(0), four(), None, false));
        assert_eq!(told, (CommitState::Success, "4 pipelines in sync, 2 ran".to_owned()));
        let at_rest = Heard::InSync {
            commit: commit(),
            entries: vec![entry("a", "unchanged", None), entry("b", "removed", None)],
        };
        assert_eq!(status(&at_rest), (CommitState::Success, "1 pipeline in sync".to_owned()));
        let mut bad = four();
        bad[1].exit = Some(1);
        let told = status(&ended(Some(1), bad, Some("b: the answer was \"hunter2\""), false));
        assert_eq!(told, (CommitState::Failure, "1 of 4 pipelines failed: b".to_owned()));
        let told = status(&ended(Some(4), Vec::new(), Some("nobody answers at http://k3y@x"), true));
        assert_eq!(told, (CommitState::Error, "not applied to its end (exit code 4); tried again".to_owned()));
        assert_eq!(status(&ended(None, Vec::new(), Some("killed"), true)).0, CommitState::Error);
        assert_eq!(CommitStatus::of(&ended(Some(143), Vec::new(), None, false)), None, "it was asked to leave");
    }

    #[test]
    fn what_is_wrong_is_told_by_its_place_alone() {
        for (doing, why, expected) in [
            ("plan", "pipelines/a.yaml:9: no step \"gret\" in \"hunter2\"", "refused: pipelines/a.yaml:9 is wrong"),
            ("plan", "no pipeline in the repository", "refused: its pipelines are wrong"),
            ("plan", "say \"hunter2: x\": y", "refused: its pipelines are wrong"),
            ("plan", "hunter2: y", "refused: its pipelines are wrong"),
            ("signature", "signed by hunter2", "refused: nobody on the list of signers has signed it"),
            ("tree", "hunter2.md: too large", "refused: its files are not taken"),
        ] {
            let heard = |is_refused| Heard::NotPlanned {
                commit: commit(),
                doing: doing.to_owned(),
                why: why.to_owned(),
                is_refused,
                stays: None,
            };
            assert_eq!(status(&heard(true)), (CommitState::Failure, expected.to_owned()));
            assert_eq!(status(&heard(false)).0, CommitState::Error);
        }
    }
}
