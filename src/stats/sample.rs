//! What one looks at first in a sample, and how even it is.

use super::moments::Moments;
use super::quantile::{ascending, quantile_sorted};

/// The usual numbers of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Number of values, at least 1.
    pub n: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation with n − 1 below the line; none of one value.
    pub sd: Option<f64>,
    /// Standard error of the mean, sd / √n, for independent values; none of one value.
    pub se: Option<f64>,
    /// Smallest value.
    pub min: f64,
    /// Type-7 median.
    pub median: f64,
    /// Largest value.
    pub max: f64,
    /// Number of different values: 1 says that the seeds changed nothing.
    pub n_distinct: usize,
}

impl Sample {
    /// Describes `values`; none when there are none or one is not finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        let sorted = ascending(values)?;
        // In the order given, not sorted: then the mean is the one of every other function here.
        let moments = Moments::of(values);
        Some(Self {
            n: sorted.len(),
            mean: moments.mean()?,
            sd: moments.sd(),
            se: moments.se(),
            min: *sorted.first()?,
            median: quantile_sorted(&sorted, 0.5)?,
            max: *sorted.last()?,
            n_distinct: runs_of_equals(&sorted),
        })
    }
}

/// Returns the number of different values; none when one is not finite. 0 and −0 are the same.
pub fn n_distinct(values: &[f64]) -> Option<usize> {
    ascending(values).map(|sorted| runs_of_equals(&sorted))
}

/// Returns the population standard deviation over the mean: 0 when all values are equal.
///
/// For values that are a whole population, such as the load of each backend; a ratio has a meaning
/// only where the mean is above zero, so it is none elsewhere.
pub fn coefficient_of_variation(values: &[f64]) -> Option<f64> {
    let moments = finite_moments(values)?;
    let mean = moments.mean()?;
    (mean > 0.0).then_some(moments.population_variance()?.sqrt() / mean)
}

/// Returns Jain's fairness index (Σ x)² / (n Σ x²): 1 when all are equal, 1 / n when one has all.
///
/// For values of at least 0, such as the load of each backend. None of no values, of a negative
/// one, or when all are 0.
///
/// Computed as 1 / (1 + cv²), which is the same number without the two large sums.
///
/// Source: Jain, Chiu and Hawe, DEC Research Report TR-301, 1984.
pub fn jain_index(values: &[f64]) -> Option<f64> {
    if values.iter().any(|&value| value < 0.0) {
        return None;
    }
    let cv = coefficient_of_variation(values)?;
    Some(1.0 / (1.0 + cv * cv))
}

/// The moments of a sample in which every value is finite.
pub(super) fn finite_moments(values: &[f64]) -> Option<Moments> {
    let finite = values.iter().all(|value| value.is_finite());
    finite.then(|| Moments::of(values))
}

fn runs_of_equals(sorted: &[f64]) -> usize {
    sorted.chunk_by(|a, b| a.total_cmp(b).is_eq()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: Option<f64>, expected: f64) -> bool {
        got.is_some_and(|got| (got - expected).abs() <= 1e-9)
    }

    #[test]
    fn sample_has_the_usual_numbers() {
        let x = [12.1, 11.8, 12.6, 12.0, 11.5, 12.9, 12.3, 11.9, 12.2, 12.4];
        let sample = Sample::of(&x).unwrap();
        assert_eq!((sample.n, sample.n_distinct), (10, 10));
        assert_eq!((sample.min, sample.max), (11.5, 12.9));
        assert!(close(Some(sample.mean), 12.17));
        assert!(close(sample.sd, 0.405_654_478_042_034_6));
        // The standard deviation over the root of 10.
        assert!(close(sample.se, 0.128_279_209_789_9));
        assert!(close(Some(sample.median), 12.15));
    }

    #[test]
    fn one_value_has_no_spread() {
        let sample = Sample::of(&[4.0]).unwrap();
        assert_eq!((sample.mean, sample.sd, sample.se), (4.0, None, None));
        assert_eq!((sample.min, sample.median, sample.max), (4.0, 4.0, 4.0));
    }

    #[test]
    fn unknown_values_describe_nothing() {
        assert_eq!(Sample::of(&[]), None);
        assert_eq!(Sample::of(&[1.0, f64::NAN]), None);
        assert_eq!(n_distinct(&[f64::INFINITY]), None);
        assert_eq!(coefficient_of_variation(&[1.0, f64::NAN]), None);
        assert_eq!(jain_index(&[f64::INFINITY, 1.0]), None);
    }

    #[test]
    fn evenness_of_one_to_four() {
        let x = [10.0, 20.0, 30.0, 40.0];
        // Σx = 100, Σx² = 3000: Jain 10⁴ / (4 · 3000) = 5/6; cv² = 6/5 − 1.
        assert!(close(jain_index(&x), 0.833_333_333_333_333_4));
        assert!(close(coefficient_of_variation(&x), 0.447_213_595_499_958));
    }

    #[test]
    fn evenness_has_its_ends() {
        assert_eq!(jain_index(&[5.0; 8]), Some(1.0));
        assert_eq!(coefficient_of_variation(&[5.0; 8]), Some(0.0));
        assert!(close(jain_index(&[0.0, 0.0, 0.0, 9.0]), 0.25));
        for none in [&[][..], &[0.0, 0.0], &[-1.0, 2.0]] {
            assert_eq!(jain_index(none), None);
        }
        assert_eq!(coefficient_of_variation(&[-1.0, 1.0]), None);
    }

    #[test]
    fn equal_values_count_once() {
        assert_eq!(n_distinct(&[2.0, 1.0, 2.0, 0.0, -0.0]), Some(3));
        assert_eq!(n_distinct(&[]), Some(0));
    }
}
