//! Dense numbers for names and ids.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// Gives the values of one column dense numbers in the order of their first use.
#[derive(Debug)]
pub(super) struct Numbers<K>(FxHashMap<K, u32>);

impl<K: Eq + Hash> Numbers<K> {
    /// Returns the number of a value, a new one when it was not met before.
    ///
    /// # Panics
    ///
    /// When a column has more values than a `u32` counts.
    pub(super) fn of(&mut self, key: K) -> u32 {
        let next = self.next();
        *self.0.entry(key).or_insert(next)
    }

    fn next(&self) -> u32 {
        u32::try_from(self.0.len()).expect("over 4 billion names in one column")
    }
}

impl Numbers<Box<str>> {
    /// Does the same, and copies only a name that is new.
    pub(super) fn of_name(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.0.get(name) {
            return number;
        }
        let next = self.next();
        self.0.insert(name.into(), next);
        next
    }
}

impl<K> Default for Numbers<K> {
    fn default() -> Self {
        Self(FxHashMap::default())
    }
}
