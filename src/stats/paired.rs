//! Two samples whose values belong together: the same seeds, so the same requests.

use super::interval::{Interval, t_half_width};
use super::lognormal::logarithms;
use super::sample::finite_moments;
use super::t_test::TTest;

/// What the differences of pairs say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paired {
    /// Number of pairs, at least 2.
    pub n: usize,
    /// Mean of the differences.
    pub mean: f64,
    /// Their standard deviation.
    pub sd: f64,
    /// t-interval of the mean; none when all differences are equal.
    pub interval: Option<Interval>,
    /// Test that the mean difference is 0; none when all differences are equal.
    pub test: Option<TTest>,
    /// Pearson's correlation of the two samples; none when one of them does not vary.
    pub correlation: Option<f64>,
    /// (Var A + Var B) / Var (A − B): how many times the runs that independent samples would take
    /// for the same interval. Below 1, sharing the seeds did harm. None when all differences are
    /// equal.
    pub variance_ratio: Option<f64>,
}

impl Paired {
    /// Returns the standard error of the mean difference.
    pub fn se(&self) -> f64 {
        self.sd / (self.n as f64).sqrt()
    }
}

/// Compares `a` with `b` by the differences a − b, pair by pair, with Student's t of n − 1 degrees
/// of freedom.
///
/// Value i of both comes from the same seed and so from the same requests (common random numbers):
/// what a seed does to both cancels. Where a run of one side is missing, leave its partner out. The
/// differences are to be near normal and independent of each other; the samples need not be. With
/// differences of one sign but very uneven size, ask [`wilcoxon`](super::wilcoxon) too.
///
/// None below two pairs, when the lengths differ, a value is not finite, or `confidence` is not
/// between 0 and 1.
///
/// Source: Law, "Simulation Modeling and Analysis", 5th edition, section 10.2.1 and chapter 11.
pub fn paired(a: &[f64], b: &[f64], confidence: f64) -> Option<Paired> {
    let (of_a, of_b) = (finite_moments(a)?, finite_moments(b)?);
    let differences = differences(a, b)?;
    let moments = finite_moments(&differences)?;
    let (n, mean, sd) = (differences.len(), moments.mean()?, moments.sd()?);
    let (se, df) = (moments.se()?, (n - 1) as f64);
    let half = t_half_width(se, df, confidence)?;
    let apart = of_a.variance()? + of_b.variance()?;
    let known = mean.is_finite() && sd.is_finite() && apart.is_finite();
    known.then(|| Paired {
        n,
        mean,
        sd,
        interval: Interval::around(mean, half).filter(|_| sd > 0.0),
        test: TTest::of(mean, 0.0, se, df),
        correlation: correlation(a, b),
        variance_ratio: Some(apart / (sd * sd)).filter(|ratio| ratio.is_finite()),
    })
}

/// What the ratios of pairs say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedRatio {
    /// Geometric mean of a / b.
    pub ratio: f64,
    /// Its t-interval, turned back from logarithms; none when all ratios are equal.
    pub interval: Option<Interval>,
    /// The comparison of the logarithms that it comes from.
    pub logs: Paired,
}

/// Compares `a` with `b` by the ratios a / b: [`paired`] on logarithms, turned back.
///
/// For metrics that a change multiplies rather than shifts (latencies over several loads). The
/// ratio of the means is another number; with ratios near 1 they hardly differ. None also when a
/// value is not above zero.
pub fn paired_ratio(a: &[f64], b: &[f64], confidence: f64) -> Option<PairedRatio> {
    let logs = paired(&logarithms(a)?, &logarithms(b)?, confidence)?;
    let turned_back = |log: Interval| Interval::finite(libm::exp(log.lo), libm::exp(log.hi));
    let interval = logs.interval.and_then(turned_back);
    let ratio = Some(libm::exp(logs.mean)).filter(|ratio| ratio.is_finite())?;
    Some(PairedRatio { ratio, interval, logs })
}

/// Returns Pearson's correlation of the pairs of `a` and `b`.
///
/// None when the lengths differ, a value is not finite, or one side does not vary.
pub fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let (of_a, of_b) = (finite_moments(a)?, finite_moments(b)?);
    let (mean_a, mean_b) = (of_a.mean()?, of_b.mean()?);
    let scale = of_a.population_variance()?.sqrt() * of_b.population_variance()?.sqrt();
    if a.len() != b.len() || !(scale > 0.0 && scale.is_finite()) {
        return None;
    }
    let products = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b));
    let covariance = products.sum::<f64>() / a.len() as f64;
    covariance.is_finite().then(|| (covariance / scale).clamp(-1.0, 1.0))
}

/// The differences a − b; none when the lengths differ.
pub(super) fn differences(a: &[f64], b: &[f64]) -> Option<Vec<f64>> {
    (a.len() == b.len()).then(|| a.iter().zip(b).map(|(a, b)| a - b).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::assert_digits;

    const A: [f64; 8] = [101.2, 98.7, 110.4, 105.1, 95.3, 99.8, 120.6, 103.3];
    const B: [f64; 8] = [97.9, 96.2, 106.0, 101.8, 93.9, 97.1, 114.2, 100.5];

    #[test]
    fn eight_pairs_are_scipys() {
        let pairs = paired(&A, &B, 0.95).unwrap();
        assert_digits(pairs.mean, 3.349_999_999_999_998);
        assert_digits(pairs.sd, 1.495_708_145_709_869_5);
        assert_digits(pairs.correlation, 0.998_990_590_971_406_7);
        let test = pairs.test.unwrap();
        assert_digits(test.t, 6.334_946_356_398_123);
        assert_digits(test.p_two_sided(), 0.000_390_823_301_449_267_1);
        let interval = pairs.interval.unwrap();
        assert_digits(interval.lo, 2.099_556_697_534_566_8);
        assert_digits(interval.hi, 4.600_443_302_465_429);
        assert_digits(pairs.variance_ratio, 47.582_375_478_927_22);
    }

    #[test]
    fn equal_differences_have_no_interval() {
        let shifted = paired(&[3.0, 5.0, 9.0], &[1.0, 3.0, 7.0], 0.95).unwrap();
        assert_eq!((shifted.mean, shifted.sd), (2.0, 0.0));
        assert_eq!((shifted.interval, shifted.test, shifted.variance_ratio), (None, None, None));
        assert_eq!(shifted.correlation.map(|r| (r - 1.0).abs() < 1e-12), Some(true));
    }

    #[test]
    fn doubled_values_have_a_ratio_of_two() {
        // The logarithms of the ratios are ln 2 ± ln 1.1: their mean is ln 2.
        let ratio = paired_ratio(&[2.2, 20.0 / 1.1], &[1.0, 10.0], 0.95).unwrap();
        assert_digits(ratio.ratio, 2.0);
        // sd = √2 ln 1.1, se = ln 1.1, t(0.975, 1) = 12.706204736174694: 2 · 1.1^12.706….
        let end = 2.0 * libm::pow(1.1, 12.706_204_736_174_694);
        assert_digits(ratio.interval.map(|interval| interval.hi), end);
        assert_eq!(paired_ratio(&[1.0, 0.0], &[1.0, 2.0], 0.95), None);
    }

    #[test]
    fn what_is_not_paired_gives_none() {
        assert_eq!(paired(&[1.0], &[2.0], 0.95), None);
        assert_eq!(paired(&[1.0, 2.0], &[1.0, 2.0, 3.0], 0.95), None);
        assert_eq!(paired(&[1.0, f64::NAN], &[1.0, 2.0], 0.95), None);
        assert_eq!(correlation(&[1.0, 2.0], &[1.0]), None);
        assert_eq!(correlation(&[1.0, 2.0], &[3.0, 3.0]), None);
    }
}
