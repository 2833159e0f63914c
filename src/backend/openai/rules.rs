//! What a refusal means, as data: status, codes and words on one side, the kind of failure on the other.
//!
//! The first rule that holds decides. [`super::rules_before`] is tried first, then the fields that a refusal names
//! ([`super::fields`]), then [`super::rules_after`]. Codes and structure come before words; words that many refusals share, such as
//! billing, credit, quota or plan, prove nothing by themselves. A test holds a row for each rule.
//! Start at [`Rule`].

use super::refusal::Refusal;
use crate::event::FailureKind;

/// One line of the table.
pub(super) struct Rule {
    /// What it is about; its name in the tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "for who reads the table"))]
    pub(super) name: &'static str,
    /// Where it has been met.
    #[cfg_attr(not(test), expect(dead_code, reason = "for who reads the table"))]
    pub(super) source: &'static str,
    pub(super) status: Status,
    /// All of these hold.
    pub(super) signs: &'static [Sign],
    pub(super) kind: FailureKind,
}

/// Which statuses a rule is about.
pub(super) enum Status {
    Any,
    /// One of these.
    Of(&'static [u16]),
    /// All refusals but these; no status counts as one.
    But(&'static [u16]),
    /// Client errors but these.
    ClientBut(&'static [u16]),
    /// 500 and more, or none.
    ServerOrNone,
}

/// Something in a refusal.
pub(super) enum Sign {
    /// A code, type or status is one of these.
    Code(&'static [&'static str]),
    /// It holds a field of this name.
    Key(&'static [&'static str]),
    /// One of these stands in its words or codes.
    Says(&'static [&'static str]),
    /// None of these does.
    Without(&'static [&'static str]),
    /// No wait is dictated.
    NoWait,
    /// It is a page for people.
    Page,
}

impl Rule {
    /// Returns true when all of it holds.
    pub(super) fn holds(&self, refusal: &Refusal) -> bool {
        self.status.holds(refusal.status) && self.signs.iter().all(|sign| sign.holds(refusal))
    }
}

impl Status {
    fn holds(&self, status: Option<u16>) -> bool {
        match self {
            Self::Any => true,
            Self::Of(of) => status.is_some_and(|status| of.contains(&status)),
            Self::But(but) => status.is_none_or(|status| !but.contains(&status)),
            Self::ClientBut(but) => {
                status.is_some_and(|status| (400..500).contains(&status) && !but.contains(&status))
            }
            Self::ServerOrNone => status.is_none_or(|status| status >= 500),
        }
    }
}

impl Sign {
    fn holds(&self, refusal: &Refusal) -> bool {
        let says = |words: &&[&str]| words.iter().any(|word| refusal.said.contains(word));
        match self {
            Self::Code(codes) => refusal.error.has_code(codes),
            Self::Key(keys) => refusal.error.keys.iter().any(|key| keys.contains(&key.as_str())),
            Self::Says(words) => says(words),
            Self::Without(words) => !says(words),
            Self::NoWait => refusal.wait_ms.is_none(),
            Self::Page => refusal.page.is_some(),
        }
    }
}
