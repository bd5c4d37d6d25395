//! Who gets the last token in which step.

use std::collections::BTreeSet;

/// Steps ahead that have a bucket each: most outputs are shorter.
const AHEAD: usize = 1_024;
const WORDS: usize = AHEAD / 64;
const NONE: u16 = u16::MAX;

/// The last step of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End {
    pub(super) step: u64,
    pub(super) slot: u32,
}

/// Slots by their last step. To add, to find the first and to take it out cost the same however
/// many there are; only what ends more than [`AHEAD`] steps from now, or has a number beyond two
/// bytes, stands in a tree.
#[derive(Debug)]
pub(super) struct Ends {
    /// The first slot of each bucket, that of step `s` being `s` modulo [`AHEAD`].
    buckets: Box<[u16; AHEAD]>,
    /// Which buckets have any, a bit each.
    occupied: [u64; WORDS],
    /// By slot: the next of the same bucket.
    next: Vec<u16>,
    /// All in buckets end from this step on, and less than [`AHEAD`] steps after it.
    from: u64,
    later: BTreeSet<End>,
    /// The earliest last step; `u64::MAX` when nobody is left.
    first: u64,
}

impl Ends {
    pub(super) fn new() -> Self {
        Self {
            buckets: Box::new([NONE; AHEAD]),
            occupied: [0; WORDS],
            next: Vec::new(),
            from: 0,
            later: BTreeSet::new(),
            first: u64::MAX,
        }
    }

    /// The earliest last step, `u64::MAX` of nobody.
    #[inline]
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Adds a slot during step `now`, before which nobody ends any more.
    #[inline]
    pub(super) fn add(&mut self, end: End, now: u64) {
        self.from = self.from.max(now);
        self.first = self.first.min(end.step);
        let small = u16::try_from(end.slot).ok().filter(|slot| *slot != NONE);
        let Some(slot) = small.filter(|_| end.step - self.from < AHEAD as u64) else {
            self.later.insert(end);
            return;
        };
        let bucket = bucket_of(end.step);
        let place = usize::from(slot);
        if place >= self.next.len() {
            self.next.resize(place + 1, NONE);
        }
        self.next[place] = std::mem::replace(&mut self.buckets[bucket], slot);
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
    }

    /// Takes out a slot that does not get so far.
    pub(super) fn remove(&mut self, end: End) {
        let End { step, slot } = end;
        if !self.later.remove(&end) {
            let bucket = bucket_of(step);
            let after = self.next[slot as usize];
            let mut at = self.buckets[bucket];
            if u32::from(at) == slot {
                self.buckets[bucket] = after;
            } else {
                while u32::from(self.next[usize::from(at)]) != slot {
                    at = self.next[usize::from(at)];
                }
                self.next[usize::from(at)] = after;
            }
            self.note_emptied(bucket);
        }
        if step == self.first {
            self.first = self.find_first();
        }
    }

    /// Takes out one that ends with `step`, the earliest of all.
    #[inline]
    pub(super) fn pop(&mut self, step: u64) -> Option<u32> {
        if self.first != step {
            return None;
        }
        let bucket = bucket_of(step);
        let slot = self.buckets[bucket];
        let slot = if slot == NONE {
            self.later.pop_first().expect("somebody ends with the first step").slot
        } else {
            self.buckets[bucket] = self.next[usize::from(slot)];
            self.note_emptied(bucket);
            u32::from(slot)
        };
        if self.buckets[bucket] == NONE {
            self.first = self.find_first();
        }
        Some(slot)
    }

    fn note_emptied(&mut self, bucket: usize) {
        if self.buckets[bucket] == NONE {
            self.occupied[bucket / 64] &= !(1 << (bucket % 64));
        }
    }

    #[inline]
    fn find_first(&self) -> u64 {
        let later = self.later.first().map_or(u64::MAX, |end| end.step);
        let start = bucket_of(self.from);
        let (word, bit) = (start / 64, start % 64);
        let mut bits = self.occupied[word] & (u64::MAX << bit);
        for turn in 0..=WORDS {
            if bits != 0 {
                let bucket = (word + turn) % WORDS * 64 + bits.trailing_zeros() as usize;
                let ahead = (bucket + AHEAD - start) % AHEAD;
                return later.min(self.from + ahead as u64);
            }
            bits = self.occupied[(word + turn + 1) % WORDS];
        }
        later
    }
}

fn bucket_of(step: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "only the low bits count")]
    let step = step as usize;
    step % AHEAD
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_a_sorted_set_finds(
            changes in proptest::collection::vec(
                (0..4_u8, prop_oneof![0..12_u32, 65_532..65_540_u32], prop_oneof![0..9_u64, 0..3_000_u64]),
                1..400,
            ),
        ) {
            let mut ends = Ends::new();
            let mut known = BTreeSet::new();
            let mut now = 1;
            for (kind, slot, steps) in changes {
                match kind {
                    0 | 1 => {
                        if known.iter().all(|end: &End| end.slot != slot) {
                            let end = End { step: now + 1 + steps, slot };
                            ends.add(end, now);
                            known.insert(end);
                        }
                    }
                    2 => {
                        let end = known.iter().find(|end| end.slot == slot).copied();
                        if let Some(end) = end {
                            ends.remove(end);
                            known.remove(&end);
                        }
                    }
                    _ => {
                        now = (now + steps).min(ends.first().saturating_sub(1)).max(now);
                        now += 1;
                        let mut popped = Vec::new();
                        while let Some(slot) = ends.pop(now) {
                            popped.push(slot);
                        }
                        popped.sort_unstable();
                        let ended = known.iter().take_while(|end| end.step == now);
                        let ended: Vec<u32> = ended.map(|end| end.slot).collect();
                        prop_assert_eq!(popped, ended);
                        known.retain(|end| end.step != now);
                    }
                }
                let first = known.first().map_or(u64::MAX, |end| end.step);
                prop_assert_eq!(ends.first(), first);
            }
        }
    }
}
