//! The normal distribution.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use statrs::distribution::{ContinuousCDF as _, Normal};

/// Returns the probability that a standard normal number is at most `z`; NaN of NaN.
pub(super) fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// Returns the `p`-quantile of the standard normal distribution; none unless 0 < `p` < 1.
pub(super) fn normal_quantile(p: f64) -> Option<f64> {
    if !(p > 0.0 && p < 1.0) {
        return None;
    }
    // In the lower tail the distribution function keeps all its digits; one step of Newton's on it
    // mends the last ones of the inverse.
    let tail = p.min(1.0 - p);
    let z = Normal::standard().inverse_cdf(tail);
    let density = libm::exp(-0.5 * z * z) / libm::sqrt(2.0 * PI);
    let step = (normal_cdf(z) - tail) / density;
    let z = if step.is_finite() { z - step } else { z }.min(0.0);
    Some(if p > 0.5 { -z } else { z })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::assert_digits;

    #[test]
    fn quantiles_are_rs() {
        // R's qnorm, to 17 digits.
        assert_digits(normal_quantile(0.975), 1.959_963_984_540_054_2);
        assert_digits(normal_quantile(0.95), 1.644_853_626_951_472_7);
        assert_digits(normal_quantile(1e-12), -7.034_483_825_301_132);
        assert_eq!(normal_quantile(0.5).map(f64::abs), Some(0.0));
        for none in [0.0, 1.0, -1.0, f64::NAN] {
            assert_eq!(normal_quantile(none), None);
        }
    }

    #[test]
    fn quantile_undoes_the_distribution() {
        for p in [1e-300, 1e-20, 1e-3, 0.2, 0.5, 0.7, 1.0 - 1e-9] {
            assert_digits(normal_quantile(p).map(normal_cdf), p);
        }
    }
}
