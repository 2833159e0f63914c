//! The name of a revision.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The id of a commit, as git tells it: 40 or 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Commit(String);

impl Commit {
    /// Takes what git told for an id; the caller has looked at its form.
    #[must_use]
    pub fn of(id: &str) -> Self {
        Self(id.to_owned())
    }

    /// Returns the whole id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0
    }

    /// Returns the start of it, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..10).unwrap_or(&self.0)
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
