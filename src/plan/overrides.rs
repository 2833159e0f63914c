//! What the command line changes, and what the compiler may ask of the world.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::diag::Diagnostic;

/// What the command line changes. Stored with the run, so that a resume makes the same plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// `-p name=value`, later ones win.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<(String, String)>,
    /// The name that `pipe.yaml` gives the pipeline, instead of the file's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `--seed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// `--repeat`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat: Option<NonZeroU32>,
    /// `--limit`: only so many items; outside identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// `--backend auto|embedded|sim|sim:SPEED|URL`: replaces where every backend is. The file's keys go to the file's
    /// servers only, so they are not used then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// `--model`: replaces every model; `auto` is one too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `--concurrency`: replaces that of every backend; outside identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<NonZeroU32>,
    /// `--out`: beats `results.path`; absolute, because the command line is relative to another folder than the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
    /// `pipe reproduce`: no results are written and no cache is asked, whatever the file says; outside identity.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub aside: bool,
    /// `--set path=value`: a YAML value at a dotted path of the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, String)>,
}

/// What the compiler may ask of the world: it touches nothing itself.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The value of an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file, by its path relative to the pipeline's; else why not.
    pub read_text: &'a dyn Fn(&str) -> Result<String, String>,
    /// The absolute path of a file, by its path relative to the pipeline's; else why not. The file need not exist.
    pub resolve: &'a dyn Fn(&str) -> Result<PathBuf, String>,
    /// The absolute paths of the files that a path with `*`, `?` or `[…]` stands for, sorted; else why none.
    pub list: &'a dyn Fn(&str) -> Result<Vec<PathBuf>, String>,
}

#[cfg(test)]
impl Surroundings<'_> {
    /// A world without variables and files.
    pub(crate) const EMPTY: Self = Self {
        env: &|_| None,
        read_text: &|_| Err(String::new()),
        resolve: &|_| Err(String::new()),
        list: &|_| Err(String::new()),
    };
}

/// What came of compiling.
#[derive(Debug)]
pub struct Compiled {
    /// There exactly when no diagnostic is an error.
    pub plan: Option<Plan>,
    /// Everything there is to say, in the order of places.
    pub diagnostics: Vec<Diagnostic>,
}
