//! Texts of open cases in memory, and the journal behind them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::{CaseNo, Digest};

/// Bytes of text kept in memory; what is older is read from the journal again.
const KEPT_BYTES: usize = 32 << 20;
/// Texts always kept, whatever their size: the newest may not be committed yet, so the journal cannot have them.
const KEPT_ALWAYS: usize = 4_096;

/// Finds a text of a case in the journal.
type Store = dyn Fn(CaseNo, &Digest) -> Option<Arc<str>> + Send + Sync;

/// A bounded memory of texts in front of a slower store, forgotten case by case.
///
/// Memory is bounded by the texts of open cases, and by 32 MiB or 4,096 texts, whichever is more.
pub struct TextCache {
    kept: Mutex<Kept>,
    store: Box<Store>,
}

#[derive(Default)]
struct Kept {
    texts: BTreeMap<(CaseNo, Digest), Arc<str>>,
    /// As they came; may name what is forgotten already.
    order: VecDeque<(CaseNo, Digest)>,
    bytes: usize,
}

impl Kept {
    fn remove(&mut self, key: &(CaseNo, Digest)) {
        if let Some(text) = self.texts.remove(key) {
            self.bytes -= text.len();
        }
    }
}

impl TextCache {
    /// Returns an empty memory in front of `store`.
    #[must_use]
    pub fn new(store: Box<Store>) -> Self {
        Self { kept: Mutex::default(), store }
    }

    /// Remembers a text.
    pub fn put(&self, case: CaseNo, digest: Digest, text: &Arc<str>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.texts.insert((case, digest), Arc::clone(text)).is_some() {
            return;
        }
        kept.order.push_back((case, digest));
        kept.bytes += text.len();
        // One case that stays open for long must not keep the names of all that came and went meanwhile.
        if kept.order.len() > 2 * kept.texts.len() + KEPT_ALWAYS {
            let Kept { texts, order, .. } = &mut *kept;
            order.retain(|key| texts.contains_key(key));
        }
        while kept.bytes > KEPT_BYTES && kept.texts.len() > KEPT_ALWAYS {
            let Some(oldest) = kept.order.pop_front() else { break };
            kept.remove(&oldest);
        }
    }

    /// Forgets the texts of a case that is settled, and in the journal.
    pub fn forget(&self, case: CaseNo) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let first = (case, Digest::LEAST);
        let gone: Vec<_> =
            kept.texts.range(first..).map(|(key, _)| *key).take_while(|(owner, _)| *owner == case).collect();
        gone.iter().for_each(|key| kept.remove(key));
        while kept.order.front().is_some_and(|oldest| !kept.texts.contains_key(oldest)) {
            kept.order.pop_front();
        }
    }

    /// Finds a text of a case, in memory or in the store.
    ///
    /// What the store has is not kept: a display asks for texts of cases that are over.
    #[must_use]
    pub fn get(&self, case: CaseNo, digest: &Digest) -> Option<Arc<str>> {
        let key = (case, *digest);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).texts.get(&key).cloned();
        kept.or_else(|| (self.store)(case, digest))
    }

    /// Finds a text of an open case and keeps it: after a resume each turn of a talk reads all those before it.
    #[must_use]
    pub fn get_open(&self, case: CaseNo, digest: &Digest) -> Option<Arc<str>> {
        let found = self.get(case, digest)?;
        self.put(case, *digest, &found);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> (Digest, Arc<str>) {
        (Digest::of(name.as_bytes()), Arc::from(name))
    }

    fn cache(stored: &[&str]) -> TextCache {
        let stored: BTreeMap<Digest, Arc<str>> = stored.iter().map(|name| text(name)).collect();
        TextCache::new(Box::new(move |_, digest| stored.get(digest).cloned()))
    }

    fn is_kept(cache: &TextCache, case: u64, digest: Digest) -> bool {
        cache.kept.lock().expect("one thread").texts.contains_key(&(CaseNo(case), digest))
    }

    #[test]
    fn forgets_the_oldest_and_finds_it_in_the_store() {
        let big = "x".repeat(64 << 10);
        let cache = cache(&[&format!("0{big}")]);
        for number in 0..(KEPT_ALWAYS + 100) {
            let (digest, text) = text(&format!("{number}{big}"));
            cache.put(CaseNo(7), digest, &text);
        }
        let (first, _) = text(&format!("0{big}"));
        assert!(!is_kept(&cache, 7, first));
        assert!(cache.get(CaseNo(7), &first).is_some_and(|text| text.starts_with('0')));
    }

    #[test]
    fn a_case_that_stays_open_keeps_no_names_of_others() {
        let cache = cache(&[]);
        let (digest, text) = text("a");
        for case in 0..5 * KEPT_ALWAYS as u64 {
            cache.put(CaseNo(case), digest, &text);
            if case > 0 {
                cache.forget(CaseNo(case));
            }
        }
        let kept = cache.kept.lock().expect("one thread");
        assert_eq!(kept.texts.len(), 1);
        assert!(kept.order.len() <= KEPT_ALWAYS + 5, "{}", kept.order.len());
    }

    #[test]
    fn what_an_open_case_reads_again_is_kept() {
        let cache = cache(&["a"]);
        let (a, _) = text("a");
        assert!(cache.get(CaseNo(1), &a).is_some() && !is_kept(&cache, 1, a));
        assert!(cache.get_open(CaseNo(1), &a).is_some() && is_kept(&cache, 1, a));
        assert_eq!(cache.get_open(CaseNo(1), &Digest::of(b"b")), None);
    }

    #[test]
    fn forgets_a_settled_case_and_no_other() {
        let cache = cache(&["a"]);
        let (a, text_a) = text("a");
        let (b, text_b) = text("b");
        for case in 1..4 {
            cache.put(CaseNo(case), a, &text_a);
            cache.put(CaseNo(case), b, &text_b);
        }
        cache.forget(CaseNo(2));
        assert!(is_kept(&cache, 1, b) && !is_kept(&cache, 2, b) && is_kept(&cache, 3, a));
        assert!(cache.get(CaseNo(2), &a).is_some(), "from the store");
        assert_eq!(cache.get(CaseNo(2), &b), None);
        cache.forget(CaseNo(1));
        cache.forget(CaseNo(3));
        let kept = cache.kept.lock().expect("one thread");
        assert_eq!((kept.bytes, kept.order.len()), (0, 0));
    }
}
