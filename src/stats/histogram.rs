//! A histogram whose bins are as wide as a fixed share of their value.

use super::whole::WholeMoments;

/// So few values of a run are recorded one by one.
const FEW_STEPS: u64 = 4;

/// Counts whole numbers (picoseconds) in bins as wide as a small share of their value.
///
/// Each power of two has 128 equal bins ([`new`](Self::new)) or 1,024 ([`fine`](Self::fine)), and
/// small values a bin each, so the middle of a bin is within 1/256 (0.4 %) or 1/2048 (0.05 %) of
/// every value in it. Count, sum, sum of squares, smallest and largest value are exact, and
/// everything is a sum of whole numbers: merged parts equal the whole, in any order. A histogram of
/// all that a `u64` holds takes 58 or 440 KiB.
///
/// Source: the idea of `HdrHistogram` by Tene, with the bits of the value as the bin's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogHistogram {
    bins: Bins,
    /// By bin; as long as the highest octave seen needs.
    counts: Vec<u64>,
    moments: WholeMoments,
}

impl Default for LogHistogram {
    fn default() -> Self {
        Self::with(Bins::USUAL)
    }
}

impl LogHistogram {
    /// Makes an empty histogram that is within 0.4 %.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty histogram that is within 0.05 %.
    pub fn fine() -> Self {
        Self::with(Bins { octave_bits: 10 })
    }

    const fn with(bins: Bins) -> Self {
        let moments = WholeMoments::NONE;
        Self { bins, counts: Vec::new(), moments }
    }

    /// Counts `value` as often as `count` says.
    ///
    /// Constant time; memory grows only when a value reaches a power of two not seen before.
    ///
    /// # Panics
    ///
    /// When the number of values would pass `u64::MAX`.
    #[inline]
    pub fn record(&mut self, value: u64, count: u64) {
        self.count_in(self.bins.of(value), count);
        self.moments.push(value, count);
    }

    /// Counts `first`, `first + growth`, … (`steps` values), each as often as `count` says.
    ///
    /// Takes time in proportion to the bins between the first value and the last, or to `steps`
    /// where these are fewer.
    ///
    /// # Panics
    ///
    /// When the number of values or one of them would pass `u64::MAX`.
    pub fn record_run(&mut self, first: u64, growth: u64, steps: u64, count: u64) {
        if growth == 0 {
            return self.record(first, steps * count);
        }
        if steps <= FEW_STEPS {
            for step in 0..steps {
                self.record(first + step * growth, count);
            }
            return;
        }
        self.moments.push_run(first, growth, steps, count);
        let (mut value, mut left) = (first, steps);
        while left > 0 {
            let bin = self.bins.of(value);
            let room = self.bins.highest(bin) - value;
            // A step that leaves its bin is the usual case of a fast growth, and needs no division.
            let inside = if room < growth { 1 } else { (room / growth + 1).min(left) };
            self.count_in(bin, inside * count);
            left -= inside;
            if left > 0 {
                value += inside * growth;
            }
        }
    }

    /// Adds what `other` counted, as if it had been recorded here.
    ///
    /// # Panics
    ///
    /// When the number of values would pass `u64::MAX`, or when one is [`fine`](Self::fine) and the
    /// other is not.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.bins, other.bins, "histograms of different bins");
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (here, there) in self.counts.iter_mut().zip(&other.counts) {
            *here += there;
        }
        self.moments.merge(&other.moments);
    }

    /// Returns the exact moments of the values.
    pub const fn moments(&self) -> &WholeMoments {
        &self.moments
    }

    /// Returns the number of values.
    pub const fn count(&self) -> u64 {
        self.moments.count()
    }

    /// Returns the `p`-quantile by nearest rank: the middle of the bin that holds the ⌈p n⌉-th
    /// value in ascending order, never outside the smallest and largest value.
    ///
    /// Within 0.4 % (0.05 %) of that value. None of no values or when `p` is outside 0..=1. Takes
    /// time in proportion to the number of bins from the smallest value on.
    pub fn quantile(&self, p: f64) -> Option<u64> {
        self.quantile_with_losses(p, 0)
    }

    /// Returns the `p`-quantile, as [`quantile`](Self::quantile) does, of the values and `lost`
    /// infinite ones; none when it is infinite.
    pub fn quantile_with_losses(&self, p: f64, lost: u64) -> Option<u64> {
        let (min, max) = (self.moments.min()?, self.moments.max()?);
        if !(0.0..=1.0).contains(&p) {
            return None;
        }
        let rank = rank(p, self.count() + lost);
        // The ends are known exactly.
        if rank == 1 {
            return Some(min);
        }
        if rank == self.count() {
            return Some(max);
        }
        let mut seen = 0;
        // Below the smallest value every bin is empty, and these are nearly all bins of a short run.
        let first = self.bins.of(min);
        let above = self.counts[first..].iter().position(|&count| {
            seen += count;
            seen >= rank
        })?;
        Some(self.bins.middle(first + above).clamp(min, max))
    }

    /// The lowest value of each bin that is not empty, and its count; ascending.
    pub(super) fn occupied(&self) -> impl Iterator<Item = (u64, u64)> {
        let first = self.moments.min().map_or(self.counts.len(), |min| self.bins.of(min));
        let counts = self.counts[first..].iter().zip(first..).filter(|(count, _)| **count > 0);
        counts.map(|(count, bin)| (self.bins.shift_and_lowest(bin).1, *count))
    }

    #[inline]
    fn count_in(&mut self, bin: usize, count: u64) {
        if bin >= self.counts.len() {
            if count == 0 {
                return;
            }
            self.grow(bin);
        }
        self.counts[bin] += count;
    }

    /// Makes room for the whole power of two of `bin`.
    #[cold]
    fn grow(&mut self, bin: usize) {
        let octaves = (bin >> self.bins.octave_bits) + 1;
        self.counts.resize(octaves << self.bins.octave_bits, 0);
    }
}

/// How values fall into bins: by the leading bit and `octave_bits` more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bins {
    octave_bits: u32,
}

impl Bins {
    /// 128 bins for each power of two.
    pub(super) const USUAL: Self = Self { octave_bits: 7 };

    /// The bin of a value: its power of two and the bits after the leading one.
    #[inline]
    pub(super) const fn of(self, value: u64) -> usize {
        let shift = (u64::BITS - self.octave_bits - 1).saturating_sub(value.leading_zeros());
        #[expect(clippy::cast_possible_truncation, reason = "eleven bits are kept")]
        let kept = (value >> shift) as usize;
        ((shift as usize) << self.octave_bits) + kept
    }

    /// The bits that values of a bin may differ in, and its lowest value.
    pub(super) const fn shift_and_lowest(self, bin: usize) -> (usize, u64) {
        let shift = (bin >> self.octave_bits).saturating_sub(1);
        (shift, ((bin - (shift << self.octave_bits)) as u64) << shift)
    }

    /// The highest value of a bin.
    const fn highest(self, bin: usize) -> u64 {
        let (shift, lowest) = self.shift_and_lowest(bin);
        lowest + ((1 << shift) - 1)
    }

    /// The middle of a bin, rounded down.
    const fn middle(self, bin: usize) -> u64 {
        let (shift, lowest) = self.shift_and_lowest(bin);
        lowest + ((1 << shift) - 1) / 2
    }
}

/// ⌈p n⌉, at least 1 and at most n.
fn rank(p: f64, n: u64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "p is between 0 and 1"
    )]
    let rank = (p * n as f64).ceil() as u64;
    rank.clamp(1, n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::rng::Stream;
    use crate::stats::Moments;
    use crate::units::SimDuration;

    const KINDS: [fn() -> LogHistogram; 2] = [LogHistogram::new, LogHistogram::fine];

    /// Log-normal draws with a median of 20 ms in picoseconds: gaps between tokens.
    fn gaps(n: usize) -> Vec<u64> {
        let mut stream = Stream::new(7, "gaps", 0);
        let draw = |_| SimDuration::from_secs(0.02 * libm::exp(stream.normal()));
        (0..n).map(draw).map(|gap| gap.unwrap().as_ps()).collect()
    }

    fn histogram(values: &[u64]) -> LogHistogram {
        let mut histogram = LogHistogram::new();
        for &value in values {
            histogram.record(value, 1);
        }
        histogram
    }

    #[test]
    fn bins_are_in_order_and_hold_their_ends() {
        let edges = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        let mut values: Vec<u64> = edges.chain(gaps(1000)).chain([u64::MAX]).collect();
        values.sort_unstable();
        for bins in KINDS.map(|new| new().bins) {
            for pair in values.windows(2) {
                assert!(bins.of(pair[0]) <= bins.of(pair[1]), "{pair:?}");
            }
            for &value in &values {
                let (middle, highest) = (bins.middle(bins.of(value)), bins.highest(bins.of(value)));
                assert_eq!((bins.of(middle), bins.of(highest)), (bins.of(value), bins.of(value)));
                let error = value >> (bins.octave_bits + 1);
                assert!(highest >= value && middle.abs_diff(value) <= error, "{value}: {middle}");
            }
        }
    }

    #[test]
    fn every_bin_follows_the_one_before() {
        for (new, octaves) in KINDS.into_iter().zip([58, 55]) {
            let bins = new().bins;
            let last = bins.of(u64::MAX);
            assert_eq!(last, (octaves << bins.octave_bits) - 1);
            for bin in 0..last {
                assert_eq!(bins.of(bins.middle(bin)), bin);
                assert_eq!(bins.of(bins.highest(bin) + 1), bin + 1);
            }
        }
    }

    proptest! {
        #[test]
        fn a_run_is_its_values(
            first: u64,
            growth: u64,
            bits in (0..64_u32, 0..64_u32),
            steps in 0..2_000_u64,
            count in 0..1_000_u64,
        ) {
            let first = first >> bits.0;
            let growth = (growth >> bits.1).min((u64::MAX - first) / steps.max(1));
            for new in KINDS {
                let (mut run, mut looped) = (new(), new());
                run.record_run(first, growth, steps, count);
                for step in 0..steps {
                    looped.record(first + step * growth, count);
                }
                prop_assert_eq!(run, looped);
            }
        }
    }

    #[test]
    fn a_run_takes_the_time_of_its_bins() {
        // A value a picosecond: a loop over them would take minutes.
        let mut run = LogHistogram::new();
        run.record_run(20_000_000_000, 1, 40_000_000_000, 1);
        run.record_run(5, 0, 1 << 40, 3);
        assert_eq!(run.count(), 40_000_000_000 + (3 << 40));
        assert_eq!(run.moments().max(), Some(59_999_999_999));
    }

    #[test]
    fn quantiles_are_within_their_bound() {
        let mut values = gaps(10_000);
        let histograms = KINDS.map(|new| {
            let mut histogram = new();
            values.iter().for_each(|value| histogram.record(*value, 1));
            histogram
        });
        values.sort_unstable();
        for (histogram, parts) in histograms.iter().zip([256, 2048]) {
            for p in [0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0] {
                let exact = values[usize::try_from(rank(p, 10_000)).unwrap() - 1];
                let got = histogram.quantile(p).unwrap();
                assert!(got.abs_diff(exact) <= exact / parts, "{p}: {got}, not {exact}");
            }
            assert_eq!(histogram.quantile(0.0), histogram.moments().min());
            assert_eq!(histogram.quantile(1.0), histogram.moments().max());
        }
    }

    #[test]
    fn losses_stand_behind_every_value() {
        // Ranks 5 and 10 of nine values and a loss.
        let values: Vec<u64> = (1..=9).map(|value| value * 10).collect();
        let histogram = histogram(&values);
        assert_eq!(histogram.quantile_with_losses(0.5, 1), Some(50));
        assert_eq!(histogram.quantile_with_losses(0.9, 1), Some(90));
        assert_eq!(histogram.quantile_with_losses(0.95, 1), None);
        assert_eq!(LogHistogram::new().quantile_with_losses(0.5, 1), None);
    }

    #[test]
    fn small_values_are_exact() {
        let histogram = histogram(&[3, 1, 2, 255, 0]);
        let quantiles = [0.1, 0.3, 0.5, 0.8, 0.9].map(|p| histogram.quantile(p));
        assert_eq!(quantiles, [0, 1, 2, 3, 255].map(Some));
    }

    #[test]
    fn merged_parts_are_the_whole() {
        let values = gaps(1000);
        let (left, right) = values.split_at(317);
        let whole = histogram(&values);
        for (first, second) in [(left, right), (right, left)] {
            let mut merged = histogram(first);
            merged.merge(&histogram(second));
            assert_eq!(merged, whole);
        }
        let mut merged = LogHistogram::new();
        merged.merge(&whole);
        merged.merge(&LogHistogram::new());
        assert_eq!(merged, whole);
    }

    #[test]
    fn a_count_is_as_many_values() {
        let mut counted = LogHistogram::new();
        counted.record(20_000_000_001, 3);
        counted.record(5, 0);
        assert_eq!(counted, histogram(&[20_000_000_001; 3]));
        assert_eq!(counted.moments().min(), Some(20_000_000_001));
    }

    #[test]
    fn moments_are_exact() {
        let values = gaps(1000);
        let histogram = histogram(&values);
        let floats: Vec<f64> = values.iter().map(|&value| value as f64).collect();
        let moments = Moments::of(&floats);
        let ratio = |a: Option<f64>, b: Option<f64>| (a.unwrap() / b.unwrap() - 1.0).abs();
        assert!(ratio(histogram.moments().mean(), moments.mean()) < 1e-12);
        assert!(ratio(histogram.moments().sd(), moments.sd()) < 1e-12);
        assert_eq!(histogram.moments().sum(), values.iter().copied().map(u128::from).sum::<u128>());
    }

    #[test]
    fn spread_of_large_values_keeps_its_digits() {
        // The variance of 4, 7, 13, 16 is 30, whatever is added to each.
        let base = u64::MAX - 100;
        let offset = histogram(&[base + 4, base + 7, base + 13, base + 16]);
        assert!((offset.moments().sd().unwrap() - 30_f64.sqrt()).abs() < 1e-12);
        let mut equal = LogHistogram::new();
        equal.record(u64::MAX, u64::MAX);
        assert_eq!(equal.moments().sd(), Some(0.0));
        assert_eq!(equal.quantile(0.5), Some(u64::MAX));
    }

    #[test]
    fn nothing_recorded_has_no_numbers() {
        let none = LogHistogram::new();
        assert_eq!(
            (none.moments().min(), none.moments().max(), none.quantile(0.5)),
            (None, None, None)
        );
        assert_eq!((none.moments().mean(), none.moments().sd()), (None, None));
        assert_eq!(histogram(&[1]).moments().sd(), None);
        assert_eq!(histogram(&[1]).quantile(1.5), None);
    }
}
