//! How a command ends: the number that the shell sees, and the message before it.

use std::io;

pub use crate::base::with_causes;

/// The exit codes of `pipe`: stable, listed in `pipe --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done.
    Done,
    /// A gate or too many cases failed.
    GateFailed,
    /// The command line is wrong.
    Usage,
    /// The pipeline is wrong.
    InvalidPipeline,
    /// A backend, model or cluster cannot be used.
    BackendUnusable,
    /// The journal cannot be used; resumable.
    JournalUnusable,
    /// Stopped by a budget; resumable.
    Budget,
    /// A bug in `pipe`.
    Bug,
    /// Ctrl-C; resumable.
    Interrupted,
    /// SIGTERM; resumable.
    Terminated,
}

impl Exit {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Done,
        Self::GateFailed,
        Self::Usage,
        Self::InvalidPipeline,
        Self::BackendUnusable,
        Self::JournalUnusable,
        Self::Budget,
        Self::Bug,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// Returns the one of a number; none of a number that is none of ours.
    #[must_use]
    pub fn of_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| i32::from(exit.code()) == code)
    }

    /// Returns the number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::GateFailed => 1,
            Self::Usage => 2,
            Self::InvalidPipeline => 3,
            Self::BackendUnusable => 4,
            Self::JournalUnusable => 5,
            Self::Budget => 6,
            Self::Bug => 70,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Something that the user can do something about.
    #[error("{message}")]
    Told {
        /// The number that the shell sees.
        exit: Exit,
        /// What is wrong.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// Output could not be written; a reader that went away (`pipe results | head`) is no error at all.
    #[error("output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl CommandError {
    /// Returns an error with its exit code and message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self::Told { exit, message: message.into(), help: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(self, text: impl Into<String>) -> Self {
        match self {
            Self::Told { exit, message, .. } => Self::Told { exit, message, help: Some(text.into()) },
            Self::Output(error) => Self::Output(error),
        }
    }

    /// Returns an error of the journal with all its causes.
    pub fn journal(error: &dyn std::error::Error) -> Self {
        Self::new(Exit::JournalUnusable, with_causes(error))
    }

    /// Returns what is wrong and what to do about it in one line.
    #[must_use]
    pub fn in_a_line(&self) -> String {
        match self {
            Self::Told { message, help: Some(help), .. } => format!("{message}; {help}"),
            Self::Told { .. } | Self::Output(_) => self.to_string(),
        }
    }

    /// Returns the number that the shell sees.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Told { exit, .. } => *exit,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            // sysexits has no better number that is ours: the command did not do its work.
            Self::Output(_) => Exit::GateFailed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let gone = CommandError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(gone.exit(), Exit::Done);
        let full = CommandError::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit(), Exit::GateFailed);
    }
}
