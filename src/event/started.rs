//! The words for the start of a run and of each process that goes on with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Features, GpuSeen, Provenance, Traced};
use crate::base::{ActorName, BackendName, Digest, ModelName, Price, SpanContext};

/// See [`super::Event::RunStarted`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// The pipeline's name.
    pub name: String,
    /// Hash of the plan.
    pub plan: Digest,
    /// The text of the pipeline file, in the journal's texts.
    pub source: Digest,
    /// The texts of files that it names by `file://`, by their path as written, in the journal's texts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Digest>,
    /// Path of the pipeline file as given, for people and for a resume.
    pub file: String,
    /// Parameters and overrides of the command line as JSON, so that a resume compiles the same plan.
    pub overrides: serde_json::Value,
    /// The run's seed.
    pub seed: u64,
    /// Version of `pipe` that wrote this.
    pub version: String,
    /// What each backend name stands for in this run.
    pub backends: Vec<BackendResolved>,
    /// How many cases there will be, where a condition of the run's `stop` asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cases: Option<u64>,
    /// What the tokens of actors cost, as far as the pipeline says so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prices: BTreeMap<ActorName, Price>,
    /// The same in the cells of the matrix where they cost something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cell_prices: Vec<CellPrices>,
    /// How it is told in spans; none in a journal of before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traced: Option<Traced>,
    /// What was found of graphics devices, where they were looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuSeen>,
    /// Where it came from; none in a journal of before that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
}

/// What the tokens of actors cost in one cell of the matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellPrices {
    /// The values of the cell.
    pub matrix: serde_json::Map<String, serde_json::Value>,
    /// The prices.
    pub prices: BTreeMap<ActorName, Price>,
}

/// What a backend's name stands for in a run, decided once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendResolved {
    /// Its key under `backends`.
    pub backend: BackendName,
    /// Where requests go: a URL without user-info, `embedded` or `sim`.
    pub endpoint: String,
    /// The kind of server found: `llama.cpp`, `ollama`, `vllm`, `openai-compatible`, `embedded`, `sim`.
    pub server: String,
    /// How many calls may be in flight.
    pub slots: u32,
    /// Model asked for (`auto` included) and the name it is sent under.
    pub models: Vec<(ModelName, ModelName)>,
    /// Where models of it lay when it was found, by the name they are sent under: those in memory then, of a server that
    /// tells. No part of what a backend is: it differs from hour to hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<(ModelName, InMemory)>,
    /// The version of the program that serves, where it tells. No part of what a backend is, as are digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The digests of its models' files, by the name they are sent under, where the server tells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<(ModelName, String)>,
    /// What it does not take, by what was learned in earlier runs.
    #[serde(default, skip_serializing_if = "Features::is_empty")]
    pub lacks: Features,
    /// The same of single models, by the name that the file asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models_lack: Vec<(ModelName, Features)>,
}

/// Where a model that a server has loaded lies, by the server's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InMemory {
    /// All of it, in bytes; never 0.
    pub bytes: u64,
    /// What of that is in memory of graphics devices.
    pub on_device: u64,
}

impl InMemory {
    /// Returns how much of it is on devices, in whole percent, rounded down: 100 is all of it.
    #[must_use]
    pub fn percent(self) -> u64 {
        let share = u128::from(self.on_device) * 100 / u128::from(self.bytes.max(1));
        u64::try_from(share).unwrap_or(u64::MAX).min(100)
    }

    /// Says what is not on a device, of a model with this name; nothing when all of it is.
    #[must_use]
    pub fn says(self, model: &str) -> Option<String> {
        match (self.percent(), self.on_device) {
            (100.., _) => None,
            (_, 0) => Some(format!("nothing of {model} is in GPU memory: it computes on the CPU")),
            (percent, _) => Some(format!("{percent} % of {model} is in GPU memory: the rest computes on the CPU")),
        }
    }
}

/// See [`super::Event::RunResumed`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResumed {
    /// Which process this is, counted from 1; the one that started the run is 0.
    pub segment: u32,
    /// Version of `pipe` that wrote this.
    pub version: String,
    /// What each backend name stands for from here on; only slots may differ from the start.
    pub backends: Vec<BackendResolved>,
    /// How many cases there will be, as in [`RunStarted::cases`], counted again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cases: Option<u64>,
    /// The span that whoever started this process gave it as its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SpanContext>,
    /// Where its files came from by now; none in a journal of before that was kept, and where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
}
