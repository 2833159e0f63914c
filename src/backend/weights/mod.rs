//! Where the demo model's weights are kept, and how they get there.
//! Reads: the environment through a closure, a file or a URL. Gives: a path whose content is what it must be. Never: llama.cpp.
//! Start at [`locate`].
//!
//! Compiled in every build, so that `pipe doctor` can say what is there. Whatever comes in is written beside its place,
//! compared with the hash below and only then renamed: a file in the cache is whole and the right one.

mod fetch;
mod install;
mod place;

/// The environment, as a function, so that tests need not touch the real one.
pub use crate::backend::discover::Env as Environment;

pub use fetch::{Fetched, fetch};
pub use install::install;
pub use place::{DEMO, Located, WeightsError, cache_path, locate};

/// A file of weights and what it must contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Its name in the cache.
    pub file: &'static str,
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of its content, in lower-case hexadecimal.
    pub sha256: &'static str,
}
