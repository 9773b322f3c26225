//! One table: rows in the order of their keys, and what the group under way overwrote.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

/// See the module.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    rows: BTreeMap<K, V>,
    /// Rows as they were before each write of the group, in the order of the writes.
    before: Vec<(K, Option<V>)>,
}

/// The end of a group.
pub(super) trait Undo {
    /// What was written stays.
    fn keep(&mut self);
    /// What was written is undone.
    fn undo(&mut self);
    /// Rows that were written so far, each as often as it was.
    fn written(&self) -> u64;
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Table<K, V> {
        Table { rows: BTreeMap::new(), before: Vec::new() }
    }
}

impl<K: Ord + Clone, V> Undo for Table<K, V> {
    fn keep(&mut self) {
        self.before.clear();
    }

    fn undo(&mut self) {
        while let Some((key, row)) = self.before.pop() {
            match row {
                Some(row) => drop(self.rows.insert(key, row)),
                None => drop(self.rows.remove(&key)),
            }
        }
    }

    fn written(&self) -> u64 {
        self.before.len() as u64
    }
}

impl<K: Ord + Clone, V> Table<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)
    }

    pub(super) fn has(&self, key: &K) -> bool {
        self.rows.contains_key(key)
    }

    pub(super) fn put(&mut self, key: K, row: V) {
        let was = self.rows.insert(key.clone(), row);
        self.before.push((key, was));
    }

    pub(super) fn remove(&mut self, key: K) {
        if let Some(was) = self.rows.remove(&key) {
            self.before.push((key, Some(was)));
        }
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.rows.iter()
    }

    pub(super) fn range(&self, keys: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.rows.range(keys)
    }

    pub(super) fn last(&self) -> Option<&K> {
        self.rows.last_key_value().map(|(key, _)| key)
    }
}
