//! What was learned of servers in earlier runs: the format of the file that keeps it, `backends.json` in a home.
//! Reads: its text. Gives: what holds still of an endpoint, and the text with more in it. Never: files, clocks.
//! Start at [`Profiles`].

mod day;

pub use day::Day;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::event::Features;

/// The version of the format. A file of a greater one is neither used nor replaced.
const FORMAT: u32 = 1;
/// How long a profile holds, in days: a server may be another one by then, and to learn again costs one request.
const HOLDS: i64 = 30;
/// The word for a server that no program is known of.
const ANY: &str = "openai-compatible";

/// All endpoints that something is known of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profiles {
    version: u32,
    #[serde(default)]
    endpoints: BTreeMap<String, Profile>,
    /// What another version wrote.
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// What is known of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Which program it is, as `event::BackendResolved` names it.
    #[serde(default)]
    pub server: String,
    /// Its version, where it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it does not take; which of two paths is right is among it.
    #[serde(default, skip_serializing_if = "Features::is_empty")]
    pub lacks: Features,
    /// The same of single models, by the name that the server knows them under.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, ModelProfile>,
    /// False when it does not list its models.
    #[serde(default = "lists", skip_serializing_if = "is_true")]
    pub lists: bool,
    /// The day on which the first of it was learned: all of it is forgotten together.
    pub learned: Day,
    /// What another version wrote.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What is known of a model at an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelProfile {
    /// What requests for it may not hold.
    #[serde(default, skip_serializing_if = "Features::is_empty")]
    pub lacks: Features,
    /// What another version wrote.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not such a file, or damaged.
    #[error("it is damaged")]
    Damaged(#[source] serde_json::Error),
    /// A later version of this program wrote it.
    #[error("a later version of pipe wrote it (format {0}, this one reads {FORMAT})")]
    Newer(u64),
}

impl Default for Profiles {
    fn default() -> Self {
        Self { version: FORMAT, endpoints: BTreeMap::new(), more: Map::new() }
    }
}

impl Profile {
    /// Returns true when nothing in it would change a request.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.lacks.is_empty() && self.models.values().all(|model| model.lacks.is_empty()) && self.lists
    }

    /// Returns true when it is of another program or version than the one that answers now.
    fn is_of_another(&self, server: &str, version: Option<&str>) -> bool {
        let is_other_program = self.server != server && self.server != ANY && server != ANY;
        let is_other_version = self.version.as_deref().zip(version).is_some_and(|(then, now)| then != now);
        is_other_program || is_other_version
    }
}

impl Profiles {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// It is damaged, or of a later version.
    pub fn read(text: &str) -> Result<Self, ProfileError> {
        let value: Value = serde_json::from_str(text).map_err(ProfileError::Damaged)?;
        match value.get("version").and_then(Value::as_u64) {
            Some(version) if version > u64::from(FORMAT) => Err(ProfileError::Newer(version)),
            Some(_) | None => serde_json::from_value(value).map_err(ProfileError::Damaged),
        }
    }

    /// Writes the text of the file.
    ///
    /// # Panics
    /// Never: names and sets have a JSON form.
    #[must_use]
    pub fn text(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("names and sets have a JSON form");
        text + "\n"
    }

    /// Returns what holds of an endpoint on a day, whatever program is there.
    #[must_use]
    pub fn of(&self, endpoint: &str, today: Day) -> Option<&Profile> {
        self.endpoints.get(endpoint).filter(|profile| profile.learned.is_within(HOLDS, today))
    }

    /// Returns what holds of an endpoint on a day, when this program in this version answers there.
    #[must_use]
    pub fn of_server(&self, endpoint: &str, server: &str, version: Option<&str>, today: Day) -> Option<&Profile> {
        self.of(endpoint, today).filter(|profile| !profile.is_of_another(server, version))
    }

    /// Adds what was learned today of an endpoint; returns true when something of it is new.
    ///
    /// What is known of another program or version there is forgotten, and so is everything that is too old.
    pub fn learn(&mut self, endpoint: &str, news: &Profile) -> bool {
        let before = self.endpoints.clone();
        let today = news.learned;
        self.endpoints.retain(|_, profile| profile.learned.is_within(HOLDS, today));
        if self.endpoints.get(endpoint).is_some_and(|old| old.is_of_another(&news.server, news.version.as_deref())) {
            self.endpoints.remove(endpoint);
        }
        match self.endpoints.get_mut(endpoint) {
            None if news.is_plain() => {}
            None => {
                self.endpoints.insert(endpoint.to_owned(), news.clone());
            }
            Some(profile) => {
                profile.lacks = profile.lacks.union(news.lacks);
                profile.lists = news.lists;
                if profile.server.is_empty() || news.server != ANY {
                    profile.server.clone_from(&news.server);
                }
                if news.version.is_some() {
                    profile.version.clone_from(&news.version);
                }
                for (name, model) in &news.models {
                    let known = profile.models.entry(name.clone()).or_default();
                    known.lacks = known.lacks.union(model.lacks);
                }
            }
        }
        self.endpoints != before
    }
}

const fn lists() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_true(flag: &bool) -> bool {
    *flag
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Feature;

    const URL: &str = "http://h:1/v1";

    fn news(day: &str, server: &str, version: Option<&str>, lacks: &[Feature]) -> Profile {
        Profile {
            server: server.to_owned(),
            version: version.map(str::to_owned),
            lacks: lacks.iter().copied().collect(),
            lists: true,
            learned: day.parse().unwrap(),
            ..Profile::default()
        }
    }

    #[test]
    fn what_was_learned_is_written_and_read_again() {
        let mut profiles = Profiles::default();
        let model = ModelProfile { lacks: Features::NONE.with(Feature::ReasoningEffort), ..ModelProfile::default() };
        let first = Profile {
            models: [("m".to_owned(), model)].into(),
            lists: false,
            ..news("2026-12-01", "ollama", Some("0.24.0"), &[Feature::Seed])
        };
        assert!(profiles.learn(URL, &first));
        assert!(!profiles.learn(URL, &first), "nothing is new");
        assert!(profiles.learn(URL, &news("2026-12-02", "ollama", None, &[Feature::StreamOptions])));
        let again = Profiles::read(&profiles.text()).unwrap();
        assert_eq!(again, profiles);
        let known = again.of_server(URL, "ollama", Some("0.24.0"), "2026-12-03".parse().unwrap()).unwrap();
        assert_eq!(known.lacks, [Feature::Seed, Feature::StreamOptions].into_iter().collect());
        assert_eq!((known.learned.to_string().as_str(), known.lists), ("2026-12-01", true));
        assert_eq!(
            again.text(),
            "{\n  \"version\": 1,\n  \"endpoints\": {\n    \"http://h:1/v1\": {\n      \"server\": \"ollama\",\n      \
             \"version\": \"0.24.0\",\n      \"lacks\": [\n        \"seed\",\n        \"stream_options\"\n      ],\n      \
             \"models\": {\n        \"m\": {\n          \"lacks\": [\n            \"reasoning_effort\"\n          ]\n        \
             }\n      },\n      \"learned\": \"2026-12-01\"\n    }\n  }\n}\n"
        );
    }

    #[test]
    fn what_is_old_or_of_another_server_is_forgotten() {
        let mut profiles = Profiles::default();
        profiles.learn(URL, &news("2026-12-01", "vllm", Some("0.11"), &[Feature::Seed]));
        let holds = |server: &str, version: Option<&str>, day: &str| {
            profiles.of_server(URL, server, version, day.parse().unwrap()).is_some()
        };
        assert!(holds("vllm", Some("0.11"), "2026-12-31") && holds("vllm", None, "2026-12-01"));
        assert!(holds(ANY, None, "2026-12-01"), "not known to be another");
        assert!(!holds("vllm", Some("0.12"), "2026-12-02"));
        assert!(!holds("sglang", None, "2026-12-02"));
        assert!(!holds("vllm", Some("0.11"), "2027-01-01"));
        assert!(!holds("vllm", Some("0.11"), "2026-11-30"), "a day to come is a clock that was wrong");
        let mut later = profiles.clone();
        assert!(later.learn("http://other/v1", &news("2027-02-01", ANY, None, &[Feature::Whole])));
        assert_eq!(later.endpoints.len(), 1);
        assert!(
            profiles.learn(URL, &news("2026-12-02", "vllm", Some("0.12"), &[])),
            "another version, which lacks nothing"
        );
        assert_eq!(profiles.endpoints.len(), 0);
    }

    #[test]
    fn a_file_of_another_version_is_kept_and_a_damaged_one_is_named() {
        let text = r#"{"version":1,"owner":"me","endpoints":{"http://h/v1":{"server":"ollama","learned":"2026-12-01",
            "lacks":["seed","telepathy"],"slots":4,"models":{"m":{"lacks":[],"load_ms":389}}}}}"#;
        let mut profiles = Profiles::read(text).unwrap();
        profiles.learn("http://h/v1", &news("2026-12-02", "ollama", None, &[Feature::Whole]));
        let again: Value = serde_json::from_str(&profiles.text()).unwrap();
        assert_eq!(again["owner"], "me");
        let endpoint = &again["endpoints"]["http://h/v1"];
        assert_eq!((&endpoint["slots"], &endpoint["models"]["m"]["load_ms"]), (&4.into(), &389.into()));
        assert_eq!(endpoint["lacks"], serde_json::json!(["seed", "whole"]));
        assert!(matches!(Profiles::read(r#"{"version":2,"endpoints":7}"#), Err(ProfileError::Newer(2))));
        for damaged in ["", "{", "[]", r#"{"version":"x"}"#, r#"{"version":1,"endpoints":{"u":{"learned":"soon"}}}"#]
        {
            assert!(matches!(Profiles::read(damaged), Err(ProfileError::Damaged(_))), "{damaged}");
        }
    }
}
