//! Sets of labels and what is counted under each: a table found by one hash of the whole set, without allocation for a
//! set that is there. It does not decide which words may be a label (`cells`).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Values by label set; sets are never taken out.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    /// From a set's hash (or, if that is another's, the next number free) to its place in `entries`.
    index: HashMap<u64, usize, BuildHasherDefault<AsIs>>,
    entries: Vec<(K, V)>,
}

impl<K, V> Table<K, V> {
    pub(super) fn new() -> Self {
        Self { index: HashMap::default(), entries: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn entries(&self) -> &[(K, V)] {
        &self.entries
    }

    /// The value under the set with this hash that `is` the one meant.
    pub(super) fn find(&self, hash: LabelHash, is: impl Fn(&K) -> bool) -> Option<&V> {
        let mut number = hash.finish();
        // Ends: each step needs an entry of its own.
        while let Some(at) = self.index.get(&number) {
            match self.entries.get(*at) {
                Some((key, value)) if is(key) => return Some(value),
                _ => number = number.wrapping_add(1),
            }
        }
        None
    }

    /// Adds a set that `find` did not find.
    pub(super) fn insert(&mut self, hash: LabelHash, key: K, value: V) {
        let mut number = hash.finish();
        while self.index.contains_key(&number) {
            number = number.wrapping_add(1);
        }
        self.index.insert(number, self.entries.len());
        self.entries.push((key, value));
    }
}

/// A hash of labels, eight bytes a step. Not keyed: a core's sets are bounded, so collisions cost little.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LabelHash(u64);

impl LabelHash {
    pub(super) fn number(self, number: u64) -> Self {
        Self((self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95))
    }

    pub(super) fn text(self, text: &str) -> Self {
        let (words, rest) = text.as_bytes().as_chunks::<8>();
        let hash = words.iter().fold(self, |hash, word| hash.number(u64::from_le_bytes(*word)));
        let last = rest.iter().fold(0, |last, byte| (last << 8) | u64::from(*byte));
        // The length in the top byte keeps ("a", "bc") and ("ab", "c") apart.
        hash.number(last | ((text.len() as u64) << 56))
    }

    fn finish(self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// The key is a hash already.
#[derive(Debug, Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sets_of_one_hash_are_both_found() {
        let mut table = Table::new();
        let hash = LabelHash::default().text("x");
        table.insert(hash, "a", 1);
        table.insert(hash, "b", 2);
        assert_eq!(table.find(hash, |key| *key == "b"), Some(&2));
        assert_eq!(table.find(hash, |key| *key == "c"), None);
    }

    #[test]
    fn labels_do_not_run_into_each_other() {
        let hash = |a: &str, b: &str| LabelHash::default().text(a).text(b).finish();
        assert_ne!(hash("a", "bc"), hash("ab", "c"));
        assert_ne!(hash("", "a"), hash("a", ""));
        assert_ne!(hash("12345678", ""), hash("", "12345678"));
    }
}
