//! A histogram whose bins are as wide as a fixed share of their value.

/// Sub-buckets of one power of two.
const PER_OCTAVE: usize = 128;
/// Bits of a value that choose its bin: the leading one and seven more.
const KEPT_BITS: u32 = PER_OCTAVE.ilog2() + 1;

/// Counts whole numbers (picoseconds) in bins narrower than 0.8 % of their value.
///
/// Each power of two has 128 equal bins, values below 256 a bin each, so the middle of a bin is
/// within 1/256 (0.4 %) of every value in it. Count, sum, sum of squares, smallest and largest
/// value are exact, and everything is a sum of whole numbers: merged parts equal the whole, in any
/// order. A histogram of all that a `u64` holds takes 58 KiB.
///
/// Source: the idea of `HdrHistogram` by Tene, with the bits of the value as the bin's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogHistogram {
    /// By bin; as long as the highest octave seen needs.
    counts: Vec<u64>,
    count: u64,
    sum: u128,
    squares: Squares,
    /// Smallest and largest value; of no meaning while `count` is 0.
    min: u64,
    max: u64,
}

impl LogHistogram {
    /// Makes an empty histogram.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts `value` as often as `count` says.
    ///
    /// Constant time; memory grows only when a value reaches a power of two not seen before.
    ///
    /// # Panics
    ///
    /// When the number of values would pass `u64::MAX`.
    pub fn record(&mut self, value: u64, count: u64) {
        if count == 0 {
            return;
        }
        let bin = bin_of(value);
        if bin >= self.counts.len() {
            self.grow(bin);
        }
        self.counts[bin] += count;
        self.note(value, value, count);
        self.sum += u128::from(value) * u128::from(count);
        self.squares.add(value, count);
    }

    /// Adds what `other` counted, as if it had been recorded here.
    ///
    /// # Panics
    ///
    /// When the number of values would pass `u64::MAX`.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (here, there) in self.counts.iter_mut().zip(&other.counts) {
            *here += there;
        }
        self.note(other.min, other.max, other.count);
        self.sum += other.sum;
        self.squares.merge(other.squares);
    }

    /// Returns the number of values.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns the exact sum of the values.
    pub const fn sum(&self) -> u128 {
        self.sum
    }

    /// Returns the smallest value.
    pub fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// Returns the largest value.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// Returns the mean, from exact sums.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// Returns the standard deviation with n − 1 below the line, from exact sums; none below two
    /// values.
    pub fn sd(&self) -> Option<f64> {
        if self.count < 2 {
            return None;
        }
        let n = u128::from(self.count);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a mean is at most the largest value, a remainder below its divisor"
        )]
        let (whole, rest) = ((self.sum / n) as u64, (self.sum % n) as u64);
        // With mean = whole + rest / n: Σ (x − mean)² = Σ x² − n whole² − 2 whole rest − rest² / n.
        let mut taken = Squares::default();
        taken.add(whole, self.count);
        taken.add_twice_product(whole, rest);
        let around_whole = self.squares.minus(taken);
        let rest_squared = rest as f64 * rest as f64;
        let deviations = (around_whole - rest_squared / self.count as f64).max(0.0);
        Some((deviations / (self.count - 1) as f64).sqrt())
    }

    /// Returns the `p`-quantile by nearest rank: the middle of the bin that holds the ⌈p n⌉-th
    /// value in ascending order, never outside the smallest and largest value.
    ///
    /// Within 0.4 % of that value. None of no values or when `p` is outside 0..=1. Takes time in
    /// proportion to the number of bins.
    pub fn quantile(&self, p: f64) -> Option<u64> {
        if self.count == 0 || !(0.0..=1.0).contains(&p) {
            return None;
        }
        let rank = rank(p, self.count);
        // The ends are known exactly.
        if rank == 1 {
            return Some(self.min);
        }
        if rank == self.count {
            return Some(self.max);
        }
        let mut seen = 0;
        let bin = self.counts.iter().position(|&count| {
            seen += count;
            seen >= rank
        })?;
        Some(middle(bin).clamp(self.min, self.max))
    }

    /// Counts `count` values between `min` and `max`.
    fn note(&mut self, min: u64, max: u64, count: u64) {
        self.min = if self.count == 0 { min } else { self.min.min(min) };
        self.max = self.max.max(max);
        self.count += count;
    }

    /// Makes room for the whole power of two of `bin`.
    #[cold]
    fn grow(&mut self, bin: usize) {
        let octaves = bin / PER_OCTAVE + 1;
        self.counts.resize(octaves * PER_OCTAVE, 0);
    }
}

/// A sum of squares of `u64`, exact: high · 2⁶⁴ + low.
///
/// Each half takes at most 2⁶⁴ a value, so neither overflows before the count of values does.
#[derive(Clone, Copy, Debug, Default)]
struct Squares {
    high: u128,
    low: u128,
}

impl Squares {
    fn add(&mut self, value: u64, count: u64) {
        let square = u128::from(value) * u128::from(value);
        self.high += (square >> 64) * u128::from(count);
        self.low += (square & LOW) * u128::from(count);
    }

    fn add_twice_product(&mut self, a: u64, b: u64) {
        let product = u128::from(a) * u128::from(b);
        self.high += (product >> 64) * 2;
        self.low += (product & LOW) * 2;
    }

    fn merge(&mut self, other: Self) {
        self.high += other.high;
        self.low += other.low;
    }

    /// The same sum with `low` below 2⁶⁴.
    const fn carried(self) -> Self {
        Self { high: self.high + (self.low >> 64), low: self.low & LOW }
    }

    /// The difference to a smaller sum, exact up to the last rounding.
    fn minus(self, other: Self) -> f64 {
        let (a, b) = (self.carried(), other.carried());
        let borrow = u128::from(a.low < b.low);
        let low = a.low + (borrow << 64) - b.low;
        let high = a.high - b.high - borrow;
        high as f64 * TWO_POW_64 + low as f64
    }
}

impl PartialEq for Squares {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.carried(), other.carried());
        (a.high, a.low) == (b.high, b.low)
    }
}

impl Eq for Squares {}

const LOW: u128 = u64::MAX as u128;
const TWO_POW_64: f64 = 18_446_744_073_709_551_616.0;

/// The bin of a value: its power of two and the seven bits after the leading one.
const fn bin_of(value: u64) -> usize {
    let shift = (u64::BITS - KEPT_BITS).saturating_sub(value.leading_zeros());
    #[expect(clippy::cast_possible_truncation, reason = "eight bits are kept")]
    let kept = (value >> shift) as usize;
    shift as usize * PER_OCTAVE + kept
}

/// The middle of a bin, rounded down.
const fn middle(bin: usize) -> u64 {
    let shift = (bin / PER_OCTAVE).saturating_sub(1);
    let lowest = ((bin - shift * PER_OCTAVE) as u64) << shift;
    lowest + ((1 << shift) - 1) / 2
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
    use crate::rng::Stream;
    use crate::stats::Moments;
    use crate::units::SimDuration;

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
    fn bins_are_in_order_and_hold_their_middle() {
        let edges = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        let mut values: Vec<u64> = edges.chain(gaps(1000)).chain([u64::MAX]).collect();
        values.sort_unstable();
        for pair in values.windows(2) {
            assert!(bin_of(pair[0]) <= bin_of(pair[1]), "{pair:?}");
        }
        for value in values {
            let middle = middle(bin_of(value));
            assert_eq!(bin_of(middle), bin_of(value), "{value}");
            assert!(middle.abs_diff(value) <= value / 256, "{value}: {middle}");
        }
    }

    #[test]
    fn every_bin_follows_the_one_before() {
        let last = bin_of(u64::MAX);
        assert_eq!(last, 58 * PER_OCTAVE - 1);
        for bin in 0..=last {
            assert_eq!(bin_of(middle(bin)), bin);
        }
    }

    #[test]
    fn quantiles_are_within_their_bound() {
        let mut values = gaps(10_000);
        let histogram = histogram(&values);
        values.sort_unstable();
        for p in [0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = values[usize::try_from(rank(p, 10_000)).unwrap() - 1];
            let got = histogram.quantile(p).unwrap();
            assert!(got.abs_diff(exact) <= exact / 256, "{p}: {got}, not {exact}");
        }
        assert_eq!(histogram.quantile(0.0), histogram.min());
        assert_eq!(histogram.quantile(1.0), histogram.max());
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
        assert_eq!(counted.min(), Some(20_000_000_001));
    }

    #[test]
    fn moments_are_exact() {
        let values = gaps(1000);
        let histogram = histogram(&values);
        let floats: Vec<f64> = values.iter().map(|&value| value as f64).collect();
        let moments = Moments::of(&floats);
        let ratio = |a: Option<f64>, b: Option<f64>| (a.unwrap() / b.unwrap() - 1.0).abs();
        assert!(ratio(histogram.mean(), moments.mean()) < 1e-12);
        assert!(ratio(histogram.sd(), moments.sd()) < 1e-12);
        assert_eq!(histogram.sum(), values.iter().copied().map(u128::from).sum::<u128>());
    }

    #[test]
    fn spread_of_large_values_keeps_its_digits() {
        // The variance of 4, 7, 13, 16 is 30, whatever is added to each.
        let base = u64::MAX - 100;
        let offset = histogram(&[base + 4, base + 7, base + 13, base + 16]);
        assert!((offset.sd().unwrap() - 30_f64.sqrt()).abs() < 1e-12);
        let mut equal = LogHistogram::new();
        equal.record(u64::MAX, u64::MAX);
        assert_eq!(equal.sd(), Some(0.0));
        assert_eq!(equal.quantile(0.5), Some(u64::MAX));
    }

    #[test]
    fn nothing_recorded_has_no_numbers() {
        let none = LogHistogram::new();
        assert_eq!((none.min(), none.max(), none.quantile(0.5)), (None, None, None));
        assert_eq!((none.mean(), none.sd()), (None, None));
        assert_eq!(histogram(&[1]).sd(), None);
        assert_eq!(histogram(&[1]).quantile(1.5), None);
    }
}
