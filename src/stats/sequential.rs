//! How many runs: add them until the interval is close enough.
//!
//! A rule that looks at the data stops a little early when the data happen to agree, so its interval
//! covers somewhat less than it says. Look at batches of runs, not after every one, and report how
//! many there were. Where cells are compared under the same seeds, stop them together.

use super::interval::{level, t_half_width, t_quantile};
use super::moments::Moments;
use super::normal::normal_quantile;
use super::sample::finite_moments;

/// Returns half the width of the t-interval over the size of the mean.
///
/// None below two values, when one is not finite, when the mean is 0, or when `confidence` is not
/// between 0 and 1.
pub fn relative_half_width(values: &[f64], confidence: f64) -> Option<f64> {
    of_moments(&finite_moments(values)?, confidence)
}

/// Returns the first number of values, from `fewest` on, whose mean is within `precision` of the
/// truth, relative to the truth; none when there are not enough.
///
/// The first n with t(n − 1) s/√n / |x̄| at most γ / (1 + γ), which makes the error relative to the
/// unknown mean at most γ. `fewest` of ten or more keeps the loss of coverage small; it is taken as
/// at least 2. The mean must be away from 0. None also when a value up to there is not finite, or
/// unless `precision` is above 0 and finite and `confidence` between 0 and 1.
///
/// Source: Law and Kelton, "Confidence intervals for steady-state simulations", 1982; Law, 5th
/// edition, section 9.4.1.
pub fn relative_stop(
    values: &[f64],
    fewest: usize,
    precision: f64,
    confidence: f64,
) -> Option<usize> {
    let enough = precision / (1.0 + precision);
    let within =
        move |moments: &Moments| of_moments(moments, confidence).is_some_and(|half| half <= enough);
    (enough > 0.0 && precision.is_finite()).then(|| first(values, fewest, within))?
}

/// Returns the first number of values, from 2 on, after which the interval of half width
/// `half_width` (in the values' unit) around the mean covers the truth with `confidence`; none when
/// there are not enough.
///
/// The first n with s² + 1/n at most n d² / z². Exact in the limit of small d; the 1/n keeps it from
/// stopping on two values that happen to agree, and is in the square of the values' unit: give them
/// in one in which their variance is not tiny. None as in [`relative_stop`].
///
/// Source: Chow and Robbins, "On the asymptotic theory of fixed-width sequential confidence
/// intervals for the mean", 1965.
pub fn absolute_stop(values: &[f64], half_width: f64, confidence: f64) -> Option<usize> {
    let z = normal_quantile(0.5 + level(confidence)? / 2.0)?;
    let ratio = half_width / z;
    let within = move |moments: &Moments| {
        let n = moments.n() as f64;
        moments.variance().is_some_and(|variance| variance + 1.0 / n <= n * ratio * ratio)
    };
    (ratio > 0.0 && ratio.is_finite()).then(|| first(values, 2, within))?
}

/// Returns how many values are needed in all, after the `first` ones, for an interval of half width
/// `half_width` (in the values' unit): max(n₀, ⌈t(n₀ − 1)² s² / d²⌉).
///
/// Exact for normal values, whatever their variance: the interval is the mean of all ± d, and t and
/// s² are those of the first stage. More than needed when the first stage is small. None below two
/// values, when one is not finite, unless `half_width` is above 0 and `confidence` between 0 and 1,
/// or above 2⁵³ values.
///
/// Source: Stein, "A two-sample test for a linear hypothesis whose power is independent of the
/// variance", 1945.
pub fn two_stage(first: &[f64], half_width: f64, confidence: f64) -> Option<u64> {
    let moments = finite_moments(first)?;
    let t = t_quantile(0.5 + level(confidence)? / 2.0, first.len().checked_sub(1)? as f64)?;
    let root = t * moments.sd()? / half_width;
    let needed = (root * root).ceil();
    (half_width > 0.0).then(|| whole(needed))?.map(|needed| needed.max(moments.n()))
}

/// The whole number `count`; none when it is negative, not finite, or above 2⁵³.
pub(super) fn whole(count: f64) -> Option<u64> {
    const MOST: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 2^53, checked here"
    )]
    let whole = (0.0..=MOST).contains(&count).then_some(count as u64);
    whole
}

/// The first number of values, from `fewest` on, whose moments are `within` bounds.
fn first(values: &[f64], fewest: usize, within: impl Fn(&Moments) -> bool) -> Option<usize> {
    let mut moments = Moments::default();
    for (value, n) in values.iter().zip(1..) {
        if !value.is_finite() {
            return None;
        }
        moments.push(*value);
        if n >= fewest.max(2) && within(&moments) {
            return Some(n);
        }
    }
    None
}

fn of_moments(moments: &Moments, confidence: f64) -> Option<f64> {
    let half = t_half_width(moments.se()?, (moments.n() - 1) as f64, confidence)?;
    Some(half / moments.mean()?.abs()).filter(|relative| relative.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::assert_digits;

    const X: [f64; 15] =
        [10.2, 9.1, 11.5, 8.7, 10.9, 9.8, 10.4, 9.5, 10.1, 10.6, 9.9, 10.3, 9.7, 10.0, 10.2];

    /// Relative half widths of the first 3 to 11 values of `X`.
    const TRACE: [f64; 9] = [
        0.290_689_621_854_140_16,
        0.202_278_221_421_401_2,
        0.145_332_643_972_108_18,
        0.111_021_806_854_724_6,
        0.089_756_722_165_338_13,
        0.077_617_279_105_308_77,
        0.066_727_799_285_883_32,
        0.059_639_354_130_305_22,
        0.053_344_160_157_439_04,
    ];

    #[test]
    fn relative_rule_is_law_and_keltons() {
        for (n, expected) in (3..).zip(TRACE) {
            assert_digits(relative_half_width(&X[..n], 0.95), expected);
        }
        // 0.06 / 1.06 = 0.0566 is between the last two.
        assert_eq!(relative_stop(&X, 3, 0.06, 0.95), Some(11));
        assert_eq!(relative_stop(&X, 13, 0.06, 0.95), Some(13));
        assert_eq!(relative_stop(&X[..10], 3, 0.06, 0.95), None);
        assert_eq!(relative_stop(&X, 0, 1e9, 0.95), Some(2));
    }

    #[test]
    fn absolute_rules_are_the_references() {
        assert_eq!(absolute_stop(&X, 0.5, 0.95), Some(12));
        assert_eq!(absolute_stop(&X[..11], 0.5, 0.95), None);
        // s² = 1.392: 2.7764² · 1.392 / 0.25 = 42.9.
        assert_digits(Moments::of(&X[..5]).variance(), 1.392);
        assert_eq!(two_stage(&X[..5], 0.5, 0.95), Some(43));
        assert_eq!(two_stage(&X[..5], 100.0, 0.95), Some(5));
    }

    #[test]
    fn what_cannot_be_reached_gives_none() {
        assert_eq!(relative_half_width(&[-1.0, 1.0], 0.95), None);
        assert_eq!(relative_stop(&[1.0, f64::NAN, 1.0], 3, 0.1, 0.95), None);
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(relative_stop(&X, 3, bad, 0.95), None);
            assert_eq!(absolute_stop(&X, bad, 0.95), None);
        }
        assert_eq!(two_stage(&X, 0.0, 0.95), None);
        assert_eq!(two_stage(&X, f64::NAN, 0.95), None);
        assert_eq!(two_stage(&X, 1e-12, 0.95), None);
        assert_eq!((two_stage(&[], 1.0, 0.95), two_stage(&X, 1.0, 1.0)), (None, None));
    }
}
