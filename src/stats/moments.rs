//! Mean and variance in one pass, without loss of digits.

/// Count, mean and sum of squared deviations of the values seen so far.
///
/// Each value moves the mean by its share of the deviation (Welford's recurrence), so the variance
/// never comes from the difference of two large sums. Values must be finite.
///
/// Source: Welford, "Note on a method for calculating corrected sums of squares and products",
/// Technometrics 1962; merging: Chan et al., 1979.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    n: u64,
    mean: f64,
    /// Σ (x − mean)².
    squares: f64,
}

impl Moments {
    /// Returns the moments of `values`.
    pub fn of(values: &[f64]) -> Self {
        let mut moments = Self::default();
        for &value in values {
            moments.push(value);
        }
        moments
    }

    /// The moments of `n` times the same value.
    pub(super) const fn repeated(value: f64, n: u64) -> Self {
        Self { n, mean: value, squares: 0.0 }
    }

    /// Adds one value.
    pub fn push(&mut self, value: f64) {
        self.n += 1;
        let before = value - self.mean;
        self.mean += before / self.n as f64;
        self.squares += before * (value - self.mean);
    }

    /// Adds the values behind `other`, as if each had been pushed.
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        let n = self.n + other.n;
        let share = other.n as f64 / n as f64;
        let apart = other.mean - self.mean;
        self.squares += other.squares + apart * apart * self.n as f64 * share;
        self.mean += apart * share;
        self.n = n;
    }

    /// Returns the number of values.
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// Returns the mean; none of no values.
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then_some(self.mean)
    }

    /// Returns the unbiased variance, Σ (x − mean)² / (n − 1); none below two values.
    pub fn variance(&self) -> Option<f64> {
        (self.n > 1).then(|| self.squares / (self.n - 1) as f64)
    }

    /// Returns the variance of the values as a whole population, Σ (x − mean)² / n.
    pub fn population_variance(&self) -> Option<f64> {
        (self.n > 0).then(|| self.squares / self.n as f64)
    }

    /// Returns the standard deviation: the root of [`Self::variance`].
    pub fn sd(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }

    /// Returns the standard error of the mean, sd / √n, for independent values.
    pub fn se(&self) -> Option<f64> {
        self.sd().map(|sd| sd / (self.n as f64).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sum of squares minus squared sum, in f64, gives 0 or 64 here instead of 30.
    const LARGE: [f64; 4] = [1_000_000_004.0, 1_000_000_007.0, 1_000_000_013.0, 1_000_000_016.0];

    #[test]
    fn large_offset_keeps_the_variance() {
        let moments = Moments::of(&LARGE);
        assert_eq!(moments.mean(), Some(1_000_000_010.0));
        assert_eq!(moments.variance(), Some(30.0));
        assert_eq!(moments.population_variance(), Some(22.5));
    }

    #[test]
    fn merged_halves_are_the_whole() {
        let mut left = Moments::of(&LARGE[..2]);
        left.merge(&Moments::of(&LARGE[2..]));
        assert_eq!(left.variance(), Some(30.0));
        assert_eq!(left.mean(), Some(1_000_000_010.0));
    }

    #[test]
    fn merging_nothing_changes_nothing() {
        let whole = Moments::of(&LARGE);
        let mut merged = whole;
        merged.merge(&Moments::default());
        assert_eq!(merged, whole);
        let mut merged = Moments::default();
        merged.merge(&whole);
        assert_eq!(merged, whole);
    }

    #[test]
    fn too_few_values_have_no_moments() {
        let none = Moments::default();
        assert_eq!((none.mean(), none.population_variance()), (None, None));
        let one = Moments::of(&[3.0]);
        assert_eq!((one.mean(), one.variance(), one.se()), (Some(3.0), None, None));
    }
}
