//! Two independent samples with variances of their own.

use super::interval::{Interval, t_half_width};
use super::sample::finite_moments;
use super::t_test::TTest;

/// What two independent samples say of the difference of their means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Welch {
    /// Mean of the first sample less that of the second.
    pub difference: f64,
    /// Its interval.
    pub interval: Interval,
    /// Test that the means are equal.
    pub test: TTest,
}

/// Compares the means of two independent samples by Welch's t.
///
/// (ā − b̄) / √(s²a/na + s²b/nb), with the degrees of freedom of Welch and Satterthwaite. For runs
/// of different seeds only: of runs that share seeds it ignores what they have in common, and its
/// interval is too wide by the root of [`Paired::variance_ratio`](super::Paired::variance_ratio).
/// Each sample is to be near normal.
///
/// None below two values on a side, when a value is not finite, when neither side varies, or when
/// `confidence` is not between 0 and 1.
///
/// Source: Welch, Biometrika 1947; Satterthwaite, 1946.
pub fn welch(a: &[f64], b: &[f64], confidence: f64) -> Option<Welch> {
    let (a, b) = (finite_moments(a)?, finite_moments(b)?);
    let difference = a.mean()? - b.mean()?;
    let share_a = a.variance()? / a.n() as f64;
    let share_b = b.variance()? / b.n() as f64;
    let squared_se = share_a + share_b;
    // By shares of the whole, so that squares of tiny variances do not vanish.
    let part = |share: f64, n: u64| (share / squared_se) * (share / squared_se) / (n - 1) as f64;
    let df = 1.0 / (part(share_a, a.n()) + part(share_b, b.n()));
    let test = TTest::of(difference, 0.0, squared_se.sqrt(), df)?;
    let half = t_half_width(squared_se.sqrt(), df, confidence)?;
    Some(Welch { difference, interval: Interval::around(difference, half)?, test })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::assert_digits;

    #[test]
    fn two_samples_of_eight_are_scipys() {
        let a = [101.2, 98.7, 110.4, 105.1, 95.3, 99.8, 120.6, 103.3];
        let b = [97.9, 96.2, 106.0, 101.8, 93.9, 97.1, 114.2, 100.5];
        let apart = welch(&a, &b, 0.95).unwrap();
        assert_digits(apart.test.t, 0.918_374_638_300_139_8);
        assert_digits(apart.test.df, 13.466_032_721_850_18);
        assert_digits(apart.test.p_two_sided(), 0.374_579_722_110_999_66);
        assert_digits(apart.interval.lo, -4.502_848_149_097_126);
        assert_digits(apart.interval.hi, 11.202_848_149_097_115);
    }

    #[test]
    fn one_side_may_stand_still() {
        // se = √(1/3) and 3 − 1 degrees of freedom: all of the spread is on the first side.
        let apart = welch(&[1.0, 2.0, 3.0], &[1.0, 1.0], 0.95).unwrap();
        assert_digits(apart.test.df, 2.0);
        assert_digits(apart.test.t, 3.0_f64.sqrt());
        assert_eq!(welch(&[2.0, 2.0], &[1.0, 1.0], 0.95), None);
        assert_eq!(welch(&[2.0, 3.0], &[1.0], 0.95), None);
    }
}
