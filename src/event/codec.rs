//! Event ↔ (kind, JSON body), the two columns of the journal.

/// An event that this version cannot read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A kind that a newer version wrote.
    #[error("unknown event kind {0:?}")]
    UnknownKind(String),
    /// A body that is not what its kind says.
    #[error("event {kind:?} cannot be read")]
    Body {
        /// The kind.
        kind: String,
        /// What serde said.
        #[source]
        source: serde_json::Error,
    },
}

/// Writes the enum of events once, with the word each is stored under.
macro_rules! codec {
    (
        $(#[$doc:meta])*
        pub enum $name:ident { $( $(#[$variant_doc:meta])* $word:literal => $variant:ident($body:ty), )+ }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name { $( $(#[$variant_doc])* $variant($body), )+ }

        impl $name {
            /// Every word that [`Self::kind`] can return.
            pub const KINDS: &'static [&'static str] = &[$($word),+];

            /// Returns the word that the event is stored under.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self { $( Self::$variant(_) => $word, )+ }
            }

            /// Writes the body as JSON.
            #[must_use]
            pub fn encode(&self) -> String {
                match self { $( Self::$variant(body) => serde_json::to_string(body), )+ }
                    .expect("event bodies have text keys and finite numbers only")
            }

            /// Reads an event back.
            ///
            /// # Errors
            /// A kind unknown to this version, or a body that does not fit its kind.
            pub fn decode(kind: &str, body: &str) -> Result<Self, $crate::event::DecodeError> {
                match kind {
                    $( $word => serde_json::from_str(body).map(Self::$variant), )+
                    _ => return Err($crate::event::DecodeError::UnknownKind(kind.to_owned())),
                }
                .map_err(|source| $crate::event::DecodeError::Body { kind: kind.to_owned(), source })
            }
        }
    };
}
pub(super) use codec;
