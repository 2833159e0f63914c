//! What of a run leaves this machine in its spans.

use super::Sample;
use crate::plan::Secret;

/// How a run is told.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether prompts and answers go along.
    pub content: Content,
    /// Which cases are told; none is all.
    pub sample: Option<Sample>,
    /// Texts that must appear nowhere: wherever one stands in a prompt or an answer, it is replaced.
    pub secrets: Vec<Secret>,
}

/// Whether prompts and answers go along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Whole, up to 32 KiB an attribute.
    #[default]
    Full,
    /// Their digests alone.
    Hash,
    /// Neither.
    None,
}
