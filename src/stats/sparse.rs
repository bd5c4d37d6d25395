//! A histogram as it is kept: the bins that hold values, and no others.

use super::histogram::{Bins, LogHistogram};

/// The bins of a [`LogHistogram`] that hold values, ascending, and how many each holds.
///
/// Its bins are those of [`LogHistogram::new`], 128 for each power of two, whatever it was made
/// from: the middle of a bin is within 0.4 % of every value in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparseHistogram {
    bins: Vec<u32>,
    counts: Vec<u64>,
}

impl SparseHistogram {
    /// Counts whole numbers.
    pub fn of_values(values: &[u64]) -> Self {
        let Some(most) = values.iter().max() else { return Self::default() };
        let mut counts = vec![0_u64; Bins::USUAL.of(*most) + 1];
        for value in values {
            counts[Bins::USUAL.of(*value)] += 1;
        }
        let occupied = counts.into_iter().zip(0..).filter(|(count, _)| *count > 0);
        let mut sparse = Self::default();
        occupied.for_each(|(count, bin)| sparse.push(bin, count));
        sparse
    }

    /// Takes the counts of a histogram over, also of a [`fine`](LogHistogram::fine) one: each of
    /// its bins lies within one of ours.
    pub fn of(histogram: &LogHistogram) -> Self {
        let mut sparse = Self::default();
        for (lowest, count) in histogram.occupied() {
            let bin = u32::try_from(Bins::USUAL.of(lowest)).unwrap_or(u32::MAX);
            match sparse.counts.last_mut().filter(|_| sparse.bins.last() == Some(&bin)) {
                Some(last) => *last += count,
                None => sparse.push(bin, count),
            }
        }
        sparse
    }

    /// Returns the bins that hold values, ascending.
    pub fn bins(&self) -> &[u32] {
        &self.bins
    }

    /// Returns the counts of [`bins`](Self::bins).
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Returns the lowest value of a bin, and the lowest beyond it.
    pub fn edges(bin: u32) -> (f64, f64) {
        let lowest = |bin: u32| Bins::USUAL.shift_and_lowest(bin as usize);
        let (shift, low) = lowest(bin);
        (low as f64, low as f64 + (1_u64 << shift) as f64)
    }

    fn push(&mut self, bin: u32, count: u64) {
        self.bins.push(bin);
        self.counts.push(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_fine_histogram_and_values_have_the_bins_of_a_usual_one(
            values in proptest::collection::vec((any::<u64>(), 0..64_u32), 0..200),
        ) {
            let values: Vec<u64> = values.into_iter().map(|(value, bits)| value >> bits).collect();
            let mut usual = LogHistogram::new();
            let mut fine = LogHistogram::fine();
            for value in &values {
                usual.record(*value, 1);
                fine.record(*value, 1);
            }
            let sparse = SparseHistogram::of(&usual);
            prop_assert_eq!(&SparseHistogram::of(&fine), &sparse);
            prop_assert_eq!(&SparseHistogram::of_values(&values), &sparse);
            prop_assert_eq!(sparse.counts().iter().sum::<u64>(), values.len() as u64);
            prop_assert!(sparse.bins().windows(2).all(|pair| pair[0] < pair[1]));
            for value in values {
                let held = sparse.bins().iter().any(|bin| {
                    let (low, beyond) = SparseHistogram::edges(*bin);
                    low <= value as f64 && (value as f64) < beyond.next_up()
                });
                prop_assert!(held, "{value} is in no bin");
            }
        }
    }

    #[test]
    fn edges_join() {
        // 256 to 257 is the first bin of two values: 2^8 over 128.
        assert_eq!(SparseHistogram::edges(0), (0.0, 1.0));
        assert_eq!(SparseHistogram::of_values(&[257]).bins(), [256]);
        assert_eq!(SparseHistogram::edges(256), (256.0, 258.0));
        for bin in 0..5_000 {
            let (_, beyond) = SparseHistogram::edges(bin);
            assert!((SparseHistogram::edges(bin + 1).0 - beyond).abs() < 0.5, "{bin}");
        }
    }
}
