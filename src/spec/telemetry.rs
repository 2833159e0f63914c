//! How a run is told in spans.

use schemars::JsonSchema;

use super::decode::{Decode, Fields, Place};
use super::node::Node;
use super::words::one_of;
use super::{FromScalar, Literal, Refusal, Required, Setting, Share};
use crate::diag::Diagnostic;

/// How a run is told to an OpenTelemetry collector: `--trace-to`, or `pipe trace send` at any time later.
#[derive(Clone, Debug, JsonSchema)]
pub struct Telemetry {
    /// Whether prompts and answers leave this machine: whole (`full`), as their digests (`hash`), or not at all (`none`).
    #[schemars(extend("default" = "full"))]
    #[schemars(extend("examples" = ["hash"]))]
    pub content: Option<Setting<ContentWord>>,
    /// All in one trace (`run`), or each case in one of its own (`item`). `auto`: in one, up to some 1,000 spans.
    #[schemars(extend("default" = "auto"))]
    #[schemars(extend("examples" = ["item"]))]
    pub shape: Option<Setting<ShapeWord>>,
    /// Only a share of the cases. Omitted: all.
    #[schemars(extend("examples" = [{"ratio": "10%", "keep": ["error"]}]))]
    pub sample: Option<SampleOf>,
}

/// Which cases are told.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(rename = "Sampled")]
pub struct SampleOf {
    /// The share of cases, the same ones however often the run is told.
    #[schemars(extend("examples" = ["10%"]))]
    pub ratio: Required<Setting<Share>>,
    /// Cases that are always told: in which a task failed (`error`), a request was sent again (`retried`), or a judge's
    /// answer cannot be counted (`unscored`).
    #[schemars(extend("examples" = [["error", "unscored"]]))]
    pub keep: Option<Vec<Setting<KeepWord>>>,
}

/// Whether prompts and answers leave this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentWord {
    /// Whole.
    Full,
    /// As digests.
    Hash,
    /// Not at all.
    None,
}

/// In which traces a run is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeWord {
    /// As its size says.
    Auto,
    /// In one.
    Run,
    /// Each case in one.
    Item,
}

/// Cases that are always told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepWord {
    /// A task failed.
    Error,
    /// A request was sent again.
    Retried,
    /// A judge's answer cannot be counted.
    Unscored,
}

impl FromScalar for ContentWord {
    const EXPECTED: &'static str = "`full`, `hash` or `none`";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        one_of(literal, &[("full", Self::Full), ("hash", Self::Hash), ("none", Self::None)])
    }
}

impl FromScalar for ShapeWord {
    const EXPECTED: &'static str = "`auto`, `run` or `item`";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        one_of(literal, &[("auto", Self::Auto), ("run", Self::Run), ("item", Self::Item)])
    }
}

impl FromScalar for KeepWord {
    const EXPECTED: &'static str = "`error`, `retried` or `unscored`";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        one_of(literal, &[("error", Self::Error), ("retried", Self::Retried), ("unscored", Self::Unscored)])
    }
}

impl Decode for Telemetry {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let telemetry = Self {
            content: fields.optional("content", report),
            shape: fields.optional("shape", report),
            sample: fields.optional("sample", report),
        };
        fields.finish(report);
        Some(telemetry)
    }
}

impl Decode for SampleOf {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let sample = Self { ratio: fields.required("ratio", report), keep: fields.optional("keep", report) };
        fields.finish(report);
        Some(sample)
    }
}
