//! What was learned of servers, in the home: read before a run connects, written after it.
//! Never: a failure. A file that cannot be used is named once, and costs what was learned.

use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::exit::with_causes;
use super::printer::inert;
use crate::backend::{BaseUrl, Connected};
use crate::base::{BackendName, ModelName, Timestamp};
use crate::event::{Feature, Features};
use crate::journal::{LockError, Reader, RunDir, RunLock, replace_file};
use crate::profile::{Day, ModelProfile, Profile, ProfileError, Profiles};

/// Name of the file in the home.
const FILE: &str = "backends.json";
/// Name of its lock: two runs may end at once.
const LOCK: &str = "backends.lock";
/// How often the lock is tried, each time for a fifth of a second.
const TRIES: usize = 5;

/// What a backend and its models do not take.
type Lacks = (BackendName, Features, Vec<(ModelName, Features)>);

/// What earlier runs learned, as it holds today.
pub(super) struct Known {
    profiles: Profiles,
    today: Day,
    /// What is wrong with the file, for people.
    pub(super) trouble: Option<String>,
    /// False when the file must stay as it is.
    is_ours: bool,
}

impl Known {
    /// Reads what a home has; none has nothing.
    pub(super) fn read(home: Option<&Path>) -> Self {
        let mut known = Self { profiles: Profiles::default(), today: today(), trouble: None, is_ours: true };
        let Some(path) = home.map(|home| home.join(FILE)) else { return known };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return known,
            Err(error) => {
                known.trouble = Some(format!("{} cannot be read: {error}", path.display()));
                known.is_ours = false;
                return known;
            }
        };
        match Profiles::read(&text) {
            Ok(profiles) => known.profiles = profiles,
            Err(error) => {
                known.is_ours = matches!(error, ProfileError::Damaged(_));
                known.trouble = Some(format!(
                    "{} is not used: {}; what servers take is learned again",
                    path.display(),
                    with_causes(&error)
                ));
            }
        }
        known
    }

    /// Returns true when the server at a URL is known not to list its models.
    pub(super) fn is_unlisted(&self, url: &str) -> bool {
        let Ok(base) = BaseUrl::parse(url) else { return false };
        let profile = self.profiles.of(&base.unlisted().to_string(), self.today);
        profile.is_some_and(|profile| !profile.lists)
    }

    /// Adds to each backend what is known not to be taken there.
    pub(super) fn add_to(&self, connected: &mut [Connected]) {
        for one in connected {
            let resolved = &mut one.resolved;
            let version = resolved.version.as_deref();
            let profile = self.profiles.of_server(&resolved.endpoint, &resolved.server, version, self.today);
            let Some(profile) = profile else { continue };
            // Where a list was found, so was the path.
            let is_path = |feature: &Feature| matches!(feature, Feature::VersionedPath | Feature::PlainPath);
            let is_found = one.lists == Some(true);
            let lacks = profile.lacks.iter().filter(|feature| !(is_found && is_path(feature)));
            resolved.lacks = resolved.lacks.union(lacks.collect());
            for (asked, sent) in &resolved.models {
                if let Some(model) = profile.models.get(sent.as_str()).filter(|model| !model.lacks.is_empty()) {
                    resolved.models_lack.push((asked.clone(), model.lacks));
                }
            }
        }
    }

    /// Says in a line what is known of an endpoint.
    pub(super) fn line(&self, endpoint: &str) -> Option<String> {
        let profile = self.profiles.of(endpoint, self.today)?;
        let words = |lacks: Features| lacks.iter().map(Feature::word).collect::<Vec<_>>().join(", ");
        let mut parts = Vec::new();
        if !profile.lacks.is_empty() {
            parts.push(format!("does not take {}", words(profile.lacks)));
        }
        for (name, model) in profile.models.iter().filter(|(_, model)| !model.lacks.is_empty()) {
            parts.push(format!("{name} does not take {}", words(model.lacks)));
        }
        if !profile.lists {
            parts.push("does not list its models".to_owned());
        }
        (!parts.is_empty()).then(|| format!("{endpoint}: {} (learned {})", parts.join("; "), profile.learned))
    }

    /// Returns the same for programs.
    pub(super) fn json(&self, endpoint: &str) -> Value {
        let Some(profile) = self.profiles.of(endpoint, self.today) else { return Value::Null };
        let models: serde_json::Map<String, Value> =
            profile.models.iter().map(|(name, model)| (name.clone(), json!({ "lacks": model.lacks }))).collect();
        json!({
            "lacks": profile.lacks, "models": models, "lists": profile.lists, "learned": profile.learned.to_string(),
        })
    }
}

/// Keeps what a run learned of its servers, by the last checkpoint of its journal; returns what prevents it, for people.
///
/// A server that has not answered yet may be refusing for another reason than it gives: nothing is kept of it.
pub(super) fn keep(dir: &RunDir, connected: &[Connected]) -> Option<String> {
    let home = dir.home()?;
    let last = Reader::open(&dir.journal_path()).and_then(|reader| reader.latest_checkpoint());
    let backends = match last {
        Ok(last) => last.map(|(_, snapshot)| snapshot.backends).unwrap_or_default(),
        Err(error) => return Some(failed(&with_causes(&error))),
    };
    let lacks = backends.into_iter().filter(|backend| backend.answered).map(|backend| {
        let format = if backend.takes_format { Features::NONE } else { Features::NONE.with(Feature::ResponseFormat) };
        (backend.backend, backend.lacks.union(format), backend.models_lack)
    });
    learned(home, connected, &lacks.collect::<Vec<_>>())
}

/// Keeps what is known of servers after a run; returns what prevents it, for people.
///
/// `lacks` holds, for each backend that has answered, all that it and its models do not take, models by the name that
/// the file asks for.
fn learned(home: &Path, connected: &[Connected], lacks: &[Lacks]) -> Option<String> {
    let known = Known::read(Some(home));
    if !known.is_ours || !learn(known, connected, lacks).1 {
        return None;
    }
    let lock = match lock(&home.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) => return Some(failed(&with_causes(&error))),
    };
    // Another run may have written meanwhile.
    let (profiles, _) = learn(Known::read(Some(home)), connected, lacks);
    let written = replace_file(&home.join(FILE), profiles.text().as_bytes());
    drop(lock);
    written.err().map(|error| failed(&error.to_string()))
}

fn failed(why: &str) -> String {
    format!("what was learned of servers is not kept: {}", inert(why))
}

fn learn(known: Known, connected: &[Connected], lacks: &[Lacks]) -> (Profiles, bool) {
    let Known { mut profiles, today, .. } = known;
    let mut is_new = false;
    for (name, lacks, models_lack) in lacks {
        let Some(one) = connected.iter().find(|one| one.resolved.backend == *name) else { continue };
        let resolved = &one.resolved;
        if !resolved.endpoint.starts_with("http") {
            continue;
        }
        let sent_as = |asked: &ModelName| {
            let pair = resolved.models.iter().find(|(name, _)| name == asked);
            pair.map_or(asked, |(_, sent)| sent).to_string()
        };
        let model = |(asked, lacks): &(ModelName, Features)| {
            (sent_as(asked), ModelProfile { lacks: *lacks, ..ModelProfile::default() })
        };
        let before = profiles.of(&resolved.endpoint, today).is_none_or(|profile| profile.lists);
        let news = Profile {
            server: resolved.server.clone(),
            version: resolved.version.clone(),
            lacks: with_a_path(*lacks),
            models: models_lack.iter().map(model).collect(),
            lists: one.lists.unwrap_or(before),
            learned: today,
            ..Profile::default()
        };
        is_new |= profiles.learn(&resolved.endpoint, &news);
    }
    (profiles, is_new)
}

/// Forgets the paths when neither was right: that is no knowledge.
fn with_a_path(lacks: Features) -> Features {
    let paths = [Feature::VersionedPath, Feature::PlainPath];
    let has_neither = paths.iter().all(|path| lacks.has(*path));
    lacks.iter().filter(|feature| !(has_neither && paths.contains(feature))).collect()
}

fn lock(path: &Path) -> Result<RunLock, LockError> {
    let mut last = RunLock::take(path);
    for _ in 1..TRIES {
        if !matches!(last, Err(LockError::Held { .. })) {
            break;
        }
        last = RunLock::take(path);
    }
    last
}

fn today() -> Day {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Day::of(Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::sim::Sim;
    use crate::event::BackendResolved;

    const URL: &str = "http://h:1/v1";

    fn connected(lists: Option<bool>) -> Connected {
        let resolved = BackendResolved {
            backend: "b".into(),
            endpoint: URL.to_owned(),
            server: "openai-compatible".to_owned(),
            slots: 4,
            models: vec![("auto".into(), "m".into())],
            memory: Vec::new(),
            version: None,
            digests: Vec::new(),
            lacks: Features::NONE,
            models_lack: Vec::new(),
        };
        Connected { backend: Arc::new(Sim { speed: 0 }), resolved, says: String::new(), demo: false, lists }
    }

    fn lacks(features: &[Feature]) -> Features {
        features.iter().copied().collect()
    }

    #[test]
    fn a_later_run_knows_what_an_earlier_one_learned() {
        let home = tempfile::tempdir().unwrap();
        let effort = lacks(&[Feature::ReasoningEffort]);
        let told = [("b".into(), lacks(&[Feature::Seed, Feature::VersionedPath]), vec![("auto".into(), effort)])];
        assert_eq!(learned(home.path(), &[connected(Some(false))], &told), None);

        let known = Known::read(Some(home.path()));
        assert!(known.trouble.is_none() && known.is_unlisted("http://h:1") && !known.is_unlisted("http://other:1"));
        let mut again = [connected(Some(false))];
        known.add_to(&mut again);
        assert_eq!(again[0].resolved.lacks, lacks(&[Feature::Seed, Feature::VersionedPath]));
        assert_eq!(again[0].resolved.models_lack, [("auto".into(), effort)]);
        let line = known.line(URL).unwrap();
        assert!(
            line.starts_with(
                "http://h:1/v1: does not take seed, a path with a version; m does not take reasoning_effort; does not \
                 list its models (learned "
            ),
            "{line}"
        );
        assert_eq!(known.json(URL)["lacks"], json!(["seed", "versioned_path"]));
        assert_eq!(known.json("http://other/v1"), Value::Null);

        let mut listed = [connected(Some(true))];
        known.add_to(&mut listed);
        assert_eq!(listed[0].resolved.lacks, lacks(&[Feature::Seed]), "the list shows the path");
    }

    #[test]
    fn nothing_learned_writes_nothing_and_two_wrong_paths_are_no_knowledge() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(learned(home.path(), &[connected(Some(true))], &[("b".into(), Features::NONE, Vec::new())]), None);
        let both = lacks(&[Feature::VersionedPath, Feature::PlainPath]);
        assert_eq!(learned(home.path(), &[connected(Some(true))], &[("b".into(), both, Vec::new())]), None);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_is_of_no_use_is_named_and_a_later_versions_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(FILE);
        let told = [("b".into(), lacks(&[Feature::Seed]), Vec::new())];
        std::fs::write(&path, "{").unwrap();
        let trouble = Known::read(Some(home.path())).trouble.unwrap();
        assert!(trouble.contains("backends.json is not used: it is damaged"), "{trouble}");
        assert_eq!(learned(home.path(), &[connected(None)], &told), None);
        assert!(Known::read(Some(home.path())).line(URL).is_some(), "the damaged one was replaced");

        std::fs::write(&path, r#"{"version":9}"#).unwrap();
        assert!(Known::read(Some(home.path())).trouble.unwrap().contains("a later version of pipe"));
        assert_eq!(learned(home.path(), &[connected(None)], &told), None);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), r#"{"version":9}"#);
    }

    #[test]
    fn a_home_that_cannot_be_written_is_told_and_fails_nothing() {
        let told = [("b".into(), lacks(&[Feature::Seed]), Vec::new())];
        let trouble = learned(Path::new("/nowhere/at/all"), &[connected(None)], &told).unwrap();
        assert!(trouble.starts_with("what was learned of servers is not kept: "), "{trouble}");
    }
}
