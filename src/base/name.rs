//! Names and ids: one type each, cheap to clone.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text for a name; nothing is checked here.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name!(
    /// The folder name of a run: `<pipeline>-<time>-<short id>`.
    RunId
);
name!(
    /// What identifies a row of the input, from its content or its id column; never its position.
    ItemId
);
name!(
    /// A key under `steps`.
    StepName
);
name!(
    /// A key under `actors`.
    ActorName
);
name!(
    /// A key under `backends`.
    BackendName
);
name!(
    /// A model as a server names it.
    ModelName
);
name!(
    /// One element of a `for_each` step: from its content, never its position.
    EachKey
);
name!(
    /// The name of one question inside a task: `say`, `turn/3`, `vote/2`, `vote/2/exchanged`.
    CallPath
);
