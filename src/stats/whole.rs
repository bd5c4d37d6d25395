//! Moments of whole numbers, without any rounding.

/// Steps of a run that are added at once: so few that their number's square fits 64 bits.
const MOST_STEPS: u64 = 1 << 32;

/// Count, sum, sum of squares, smallest and largest of whole numbers (picoseconds), all exact.
///
/// Everything is a sum of whole numbers, so the order of the values does not matter: merged parts
/// equal the whole to the last bit, and so do two runs that tell the same facts in another order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeMoments {
    count: u64,
    sum: u128,
    squares: Wide,
    /// `u64::MAX` of no values.
    min: u64,
    max: u64,
}

impl Default for WholeMoments {
    fn default() -> Self {
        Self::NONE
    }
}

impl WholeMoments {
    /// Of no values.
    pub const NONE: Self =
        Self { count: 0, sum: 0, squares: Wide { high: 0, low: 0 }, min: u64::MAX, max: 0 };

    /// Returns the moments of `values`.
    pub fn of(values: &[u64]) -> Self {
        let mut moments = Self::default();
        for &value in values {
            moments.push(value, 1);
        }
        moments
    }

    /// Adds `value` as often as `count` says.
    ///
    /// # Panics
    ///
    /// When the number of values would pass `u64::MAX`.
    #[inline]
    pub fn push(&mut self, value: u64, count: u64) {
        if count == 0 {
            return;
        }
        self.note(value, value, count);
        self.sum += u128::from(value) * u128::from(count);
        let square = u128::from(value) * u128::from(value);
        if value < 1 << 44 && count < 1 << 40 {
            // The usual case: 17 s, and the product fits.
            self.squares.add(Wide { high: 0, low: square * u128::from(count) });
        } else {
            self.squares.add(Wide::product(square, count));
        }
    }

    /// Adds `first`, `first + growth`, … (`steps` values), each as often as `count` says, at the
    /// cost of one.
    ///
    /// # Panics
    ///
    /// When the number of values or one of them would pass `u64::MAX`.
    pub fn push_run(&mut self, first: u64, growth: u64, steps: u64, count: u64) {
        if growth == 0 {
            return self.push(first, steps * count);
        }
        let (mut first, mut left) = (first, steps);
        while left > MOST_STEPS {
            self.push_steps(first, growth, MOST_STEPS, count);
            first += growth * MOST_STEPS;
            left -= MOST_STEPS;
        }
        if left > 0 && count > 0 {
            self.push_steps(first, growth, left, count);
        }
    }

    /// Adds the values behind `other`, as if each had been pushed.
    ///
    /// # Panics
    ///
    /// When the number of values would pass `u64::MAX`.
    pub fn merge(&mut self, other: &Self) {
        self.note(other.min, other.max, other.count);
        self.sum += other.sum;
        self.squares.add(other.squares);
    }

    /// Returns the number of values.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns the sum of the values.
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

    /// Returns the mean.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// Returns the standard deviation with n − 1 below the line; none below two values.
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
        let mut taken = Wide::product(u128::from(whole) * u128::from(whole), self.count);
        taken.add(Wide::product(u128::from(whole) * u128::from(rest), 2));
        let around_whole = self.squares.minus(taken);
        let rest_squared = rest as f64 * rest as f64;
        let deviations = (around_whole - rest_squared / self.count as f64).max(0.0);
        Some((deviations / (self.count - 1) as f64).sqrt())
    }

    /// Adds a run of 1 to [`MOST_STEPS`] different values.
    fn push_steps(&mut self, first: u64, growth: u64, steps: u64, count: u64) {
        let last = first + growth * (steps - 1);
        self.note(first, last, steps * count);
        let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
        // Σ k = n (n − 1) / 2 and Σ k² = Σ k (2n − 1) / 3 over k = 0 … n − 1.
        let twice_ranks = steps * (steps - 1);
        let (ranks, odd) = (twice_ranks / 2, 2 * steps - 1);
        let (by_three, other) =
            if ranks.is_multiple_of(3) { (ranks / 3, odd) } else { (odd / 3, ranks) };
        self.sum += (product(first, steps) + product(growth, ranks)) * u128::from(count);
        let mut squares = Wide::product(product(first, first), steps);
        squares.add(Wide::product(product(first, growth), twice_ranks));
        squares.add(Wide::product(product(by_three, other), growth).times(growth));
        self.squares.add(squares.times(count));
    }

    /// Counts `count` values between `min` and `max`.
    #[inline]
    fn note(&mut self, min: u64, max: u64, count: u64) {
        self.min = self.min.min(min);
        self.max = self.max.max(max);
        self.count += count;
    }
}

/// A whole number of 192 bits: high · 2¹²⁸ + low. Enough for 2⁶⁴ squares of a `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wide {
    high: u64,
    low: u128,
}

impl Wide {
    #[inline]
    fn product(a: u128, b: u64) -> Self {
        let b = u128::from(b);
        let (low, high) = ((a & LOW) * b, (a >> 64) * b);
        let (low, carry) = low.overflowing_add(high << 64);
        Self { high: narrow(high >> 64) + u64::from(carry), low }
    }

    /// The product with `by`, which must fit.
    fn times(self, by: u64) -> Self {
        let mut product = Self::product(self.low, by);
        product.high += self.high * by;
        product
    }

    #[inline]
    fn add(&mut self, other: Self) {
        let (low, carry) = self.low.overflowing_add(other.low);
        self.low = low;
        self.high += other.high + u64::from(carry);
    }

    /// The difference to a smaller number, exact up to the last rounding.
    fn minus(self, other: Self) -> f64 {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        let high = self.high - other.high - u64::from(borrow);
        high as f64 * TWO_POW_128 + low as f64
    }
}

const LOW: u128 = u64::MAX as u128;
const TWO_POW_128: f64 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0;

/// The number in 64 bits, which it fits.
#[inline]
fn narrow(value: u128) -> u64 {
    debug_assert!(value <= LOW);
    #[expect(clippy::cast_possible_truncation, reason = "its callers bound it by 64 bits")]
    let value = value as u64;
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn looped(first: u64, growth: u64, steps: u64, count: u64) -> WholeMoments {
        let mut moments = WholeMoments::default();
        for step in 0..steps {
            moments.push(first + growth * step, count);
        }
        moments
    }

    proptest! {
        #[test]
        fn a_run_is_its_values(
            first in any::<u64>(),
            growth in any::<u64>(),
            bits in (0..64_u32, 0..64_u32, 0..64_u32),
            steps in 0..300_u64,
            count: u64,
        ) {
            let (first, count) = (first >> bits.0, count >> 9 >> bits.2);
            let growth = (growth >> bits.1).min((u64::MAX - first) / steps.max(1));
            let mut run = WholeMoments::default();
            run.push_run(first, growth, steps, count);
            prop_assert_eq!(run, looped(first, growth, steps, count));
        }
    }

    #[test]
    fn long_runs_are_sums_of_their_parts() {
        let steps = 2 * MOST_STEPS + 3;
        let mut whole = WholeMoments::default();
        whole.push_run(7, 5, steps, 2);
        let mut parts = WholeMoments::default();
        parts.push_run(7, 5, 1_000, 2);
        parts.push_run(7 + 5_000, 5, steps - 1_000, 2);
        assert_eq!(whole, parts);
        // Σ (7 + 5 k) = 7 n + 5 n (n − 1) / 2, each twice.
        let n = u128::from(steps);
        assert_eq!(whole.sum(), 2 * (7 * n + 5 * n * (n - 1) / 2));
        assert_eq!(whole.max(), Some(7 + 5 * (steps - 1)));
    }

    #[test]
    fn no_steps_are_nothing() {
        let mut moments = WholeMoments::default();
        moments.push_run(7, 5, 0, 2);
        moments.push_run(7, 5, 2, 0);
        moments.push(7, 0);
        assert_eq!(moments, WholeMoments::default());
        assert_eq!((moments.mean(), moments.sd(), moments.min()), (None, None, None));
    }
}
