//! How often each of a few names came.

use std::collections::BTreeMap;

/// Counts by name; its memory grows with the number of different names, not with what is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Categories<K: Ord = String>(BTreeMap<K, u64>);

impl<K: Ord> Default for Categories<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Categories<K> {
    /// Counts one more.
    pub fn add(&mut self, name: K) {
        *self.0.entry(name).or_default() += 1;
    }

    /// Counts one less, of what was counted.
    pub fn remove(&mut self, name: &K) {
        match self.0.get_mut(name) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => drop(self.0.remove(name)),
            None => {}
        }
    }

    /// Returns how often a name came.
    #[must_use]
    pub fn count(&self, name: &K) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Returns how much was counted in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Returns how many different names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true when nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns names and counts, most frequent first, equal counts in the order of their names.
    #[must_use]
    pub fn ranked(&self) -> Vec<(K, u64)> {
        let mut ranked: Vec<_> = self.0.iter().map(|(name, count)| (name.clone(), *count)).collect();
        ranked.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        ranked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_by_count_then_name() {
        let mut votes = Categories::default();
        for name in ["tie", "pro", "con", "pro", "con"] {
            votes.add(name);
        }
        assert_eq!(votes.ranked(), [("con", 2), ("pro", 2), ("tie", 1)]);
        assert_eq!((votes.total(), votes.count(&"pro"), votes.count(&"other")), (5, 2, 0));
        ["tie", "con", "other"].iter().for_each(|name| votes.remove(name));
        assert_eq!(votes.ranked(), [("pro", 2), ("con", 1)]);
    }
}
