//! Which texts were written lately, so that one said by many cases is stored for the run instead of again for each.

use std::collections::{BTreeMap, VecDeque};

use super::Text;
use crate::base::{CaseNo, Digest};

/// Texts remembered: system prompts and shared documents come again within a few calls. Some 400 KiB.
const MOST: usize = 8_192;

/// A bounded memory of written texts. Forgetting costs a second copy, never a missing text.
#[derive(Debug, Default)]
pub(super) struct Recent {
    owners: BTreeMap<Digest, Option<CaseNo>>,
    order: VecDeque<Digest>,
}

impl Recent {
    /// Returns under which owner a text must be written, `Some(None)` being the run; none when it is there already.
    ///
    /// The first case that says a text owns it. When a second case says it, it becomes the run's.
    pub(super) fn owner(&mut self, text: &Text) -> Option<Option<CaseNo>> {
        match self.owners.get_mut(&text.digest) {
            Some(owner) if owner.is_none() || *owner == text.case => None,
            Some(owner) => {
                *owner = None;
                Some(None)
            }
            None => {
                self.owners.insert(text.digest, text.case);
                self.order.push_back(text.digest);
                if self.order.len() > MOST
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.owners.remove(&oldest);
                }
                Some(text.case)
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
        let mut owner = |body: &str, case: u64| recent.owner(&Text::of(body).in_case(CaseNo(case)));
        assert_eq!(owner("a", 1), Some(Some(CaseNo(1))));
        assert_eq!(owner("a", 1), None, "it is there");
        assert_eq!(owner("a", 2), Some(None), "stored once more, for all");
        assert_eq!(owner("a", 3), None);
        assert_eq!(owner("b", 3), Some(Some(CaseNo(3))));
        assert_eq!(recent.owner(&Text::of("b")), Some(None), "the run says it too");
    }

    #[test]
    fn forgets_the_oldest() {
        let mut recent = Recent::default();
        for number in 0..=MOST {
            assert!(recent.owner(&Text::of(number.to_string()).in_case(CaseNo(0))).is_some());
        }
        assert_eq!(recent.owners.len(), MOST);
        assert_eq!(recent.owner(&Text::of("0").in_case(CaseNo(0))), Some(Some(CaseNo(0))), "written again: no harm");
    }
}
