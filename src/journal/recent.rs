//! Which texts were written lately, so that one said by many cases is stored for the run instead of again for each.

use std::collections::{HashMap, VecDeque};

use super::Text;
use crate::base::{CaseNo, Digest};

/// Texts remembered: system prompts and shared documents come again within a few calls. Some 400 KiB.
const MOST: usize = 8_192;

/// A bounded memory of written texts. Forgetting costs a second copy, never a missing text.
#[derive(Debug, Default)]
pub(super) struct Recent {
    owners: HashMap<Digest, Option<CaseNo>>,
    order: VecDeque<Digest>,
}

/// What must be done about a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: it is there.
    Nothing,
    /// It must be written as this case's, or as the run's.
    Written(Option<CaseNo>),
}

impl Recent {
    /// Returns what must be done about a text, and takes it as done.
    ///
    /// The first case that says a text owns it. When a second case says it, it becomes the run's.
    pub(super) fn needs(&mut self, text: &Text) -> Need {
        match self.owners.get_mut(&text.digest) {
            Some(owner) if owner.is_none() || *owner == text.case => Need::Nothing,
            Some(owner) => {
                *owner = None;
                Need::Written(None)
            }
            None => {
                self.owners.insert(text.digest, text.case);
                self.order.push_back(text.digest);
                if self.order.len() > MOST
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.owners.remove(&oldest);
                }
                Need::Written(text.case)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_cases_say_is_the_runs() {
        let mut recent = Recent::default();
        let mut needs = |body: &str, case: u64| recent.needs(&Text::of(body).in_case(CaseNo(case)));
        assert_eq!(needs("a", 1), Need::Written(Some(CaseNo(1))));
        assert_eq!(needs("a", 1), Need::Nothing);
        assert_eq!(needs("a", 2), Need::Written(None), "once more, for all");
        assert_eq!(needs("a", 3), Need::Nothing);
        assert_eq!(needs("b", 3), Need::Written(Some(CaseNo(3))));
        assert_eq!(recent.needs(&Text::of("b")), Need::Written(None), "the run says it too");
    }

    #[test]
    fn forgets_the_oldest() {
        let mut recent = Recent::default();
        let text = |number: usize| Text::of(number.to_string()).in_case(CaseNo(0));
        for number in 0..=MOST {
            assert_eq!(recent.needs(&text(number)), Need::Written(Some(CaseNo(0))));
        }
        assert_eq!(recent.owners.len(), MOST);
        assert_eq!(recent.needs(&text(0)), Need::Written(Some(CaseNo(0))), "written again: no harm");
    }
}
