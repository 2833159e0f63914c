//! Texts of open cases in memory, and the journal behind them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::Digest;

/// Bytes of text kept in memory; what is older is read from the journal again.
const KEPT_BYTES: usize = 64 << 20;
/// Texts always kept, whatever their size: the newest may not be committed yet, so the journal cannot have them.
const KEPT_ALWAYS: usize = 4_096;

/// Finds a text in the journal.
type Store = dyn Fn(&Digest) -> Option<Arc<str>> + Send + Sync;

/// A bounded memory of texts in front of a slower store. Memory is bounded by 64 MiB or 4,096 texts, whichever is more.
pub struct TextCache {
    kept: Mutex<Kept>,
    store: Box<Store>,
}

#[derive(Default)]
struct Kept {
    texts: BTreeMap<Digest, Arc<str>>,
    order: VecDeque<Digest>,
    bytes: usize,
}

impl TextCache {
    /// Returns an empty memory in front of `store`.
    #[must_use]
    pub fn new(store: Box<Store>) -> Self {
        Self { kept: Mutex::default(), store }
    }

    /// Remembers a text.
    pub fn put(&self, digest: Digest, text: &Arc<str>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.texts.insert(digest, Arc::clone(text)).is_some() {
            return;
        }
        kept.order.push_back(digest);
        kept.bytes += text.len();
        while kept.bytes > KEPT_BYTES && kept.order.len() > KEPT_ALWAYS {
            let Some(oldest) = kept.order.pop_front() else { break };
            if let Some(text) = kept.texts.remove(&oldest) {
                kept.bytes -= text.len();
            }
        }
    }

    /// Finds a text, in memory or in the store.
    #[must_use]
    pub fn get(&self, digest: &Digest) -> Option<Arc<str>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).texts.get(digest).cloned();
        if kept.is_some() {
            return kept;
        }
        let found = (self.store)(digest)?;
        self.put(*digest, &found);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest_and_finds_it_in_the_store() {
        let all: Arc<Mutex<BTreeMap<Digest, Arc<str>>>> = Arc::default();
        let store = Arc::clone(&all);
        let cache = TextCache::new(Box::new(move |digest| store.lock().expect("one thread").get(digest).cloned()));
        let big = "x".repeat(64 << 10);
        let mut first = None;
        for number in 0..(KEPT_ALWAYS + 100) {
            let text: Arc<str> = Arc::from(format!("{number}{big}"));
            let digest = Digest::of(text.as_bytes());
            first = first.or(Some(digest));
            all.lock().expect("one thread").insert(digest, Arc::clone(&text));
            cache.put(digest, &text);
        }
        let first = first.expect("there were some");
        assert!(!cache.kept.lock().expect("one thread").texts.contains_key(&first));
        assert!(cache.get(&first).is_some_and(|text| text.starts_with('0')));
    }
}
