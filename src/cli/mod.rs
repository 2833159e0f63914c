//! cli
pub mod diagnostics;
pub mod files;
