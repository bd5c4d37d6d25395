//! How small a change so many runs can show.

use super::interval::{level, t_quantile};
use super::normal::{normal_cdf, normal_quantile};
use super::sequential::whole;

/// Above so many runs no number of them is looked for.
const MOST_RUNS: f64 = (1 << 20) as f64;

/// Returns the power of Student's one-sided test: how often `n` values of mean `effect` standard
/// deviations above the claim are told from it at a level of `risk`.
///
/// The statistic is of Student's noncentral t with n − 1 degrees of freedom and noncentrality
/// effect · √n. `n` need not be whole, for searches. The standard deviation is that of the
/// differences when pairs are compared; one that is estimated from a few runs makes the power as
/// uncertain as itself. Never use it after the fact with the effect that was seen.
///
/// None unless `n` is from 2 to a million, `effect` finite and `risk` between 0 and 1.
///
/// Source: Johnson, Kotz and Balakrishnan, "Continuous Univariate Distributions", volume 2, chapter
/// 31: P(T > c) = E Φ(δ − c √(χ²/ν)).
pub fn t_test_power(effect: f64, n: f64, risk: f64) -> Option<f64> {
    if !((2.0..=MOST_RUNS).contains(&n) && effect.is_finite()) {
        return None;
    }
    let df = n - 1.0;
    let critical = t_quantile(1.0 - level(risk)?, df)?;
    Some(noncentral_above(critical, df, effect * n.sqrt()))
}

/// Returns how many runs the one-sided test needs, at a level of `risk`, to tell an effect of
/// `effect` standard deviations as often as `power` says; not rounded, from 2.
///
/// None when a million do not suffice, unless `effect` is above 0 and finite, and `risk` and `power`
/// between 0 and 1.
pub fn runs_for_power(effect: f64, risk: f64, power: f64) -> Option<f64> {
    let power = level(power)?;
    let enough = |n: f64| Some(t_test_power(effect, n, risk)? >= power);
    if effect.is_nan() || effect <= 0.0 {
        return None;
    }
    if enough(2.0)? {
        return Some(2.0);
    }
    let (mut low, mut high) = (2.0, 4.0);
    while !enough(high)? {
        low = high;
        // Beyond the last step no power is known, and so no number of runs.
        high *= 2.0;
    }
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return Some(high);
        }
        if enough(middle)? { high = middle } else { low = middle }
    }
}

/// Returns the smallest effect that `n` runs tell as often as `power` says, at a level of `risk`, in
/// the unit of their standard deviation `sd`: (z(1 − risk) + z(power)) sd / √n.
///
/// With normal quantiles, so a little too small below twenty runs. None below two runs, unless `sd`
/// is above 0 and finite, and `risk` and `power` between 0 and 1, `power` the larger.
pub fn detectable_effect(sd: f64, n: usize, risk: f64, power: f64) -> Option<f64> {
    let effect = quantiles(risk, power)? * sd / (n as f64).sqrt();
    (n >= 2 && sd > 0.0 && effect.is_finite()).then_some(effect)
}

/// Returns how many runs tell an effect as often as `power` says, at a level of `risk`, by the
/// normal approximation of [`detectable_effect`]; at least 2.
///
/// None unless `effect` and `sd` (of one unit) are above 0 and finite, and `risk` and `power` between
/// 0 and 1, `power` the larger, or when it would be above 2⁵³.
pub fn runs_for_effect(effect: f64, sd: f64, risk: f64, power: f64) -> Option<u64> {
    let root = quantiles(risk, power)? * sd / effect;
    let sound = effect > 0.0 && sd > 0.0 && effect.is_finite();
    sound.then(|| whole((root * root).ceil()))?.map(|runs| runs.max(2))
}

fn quantiles(risk: f64, power: f64) -> Option<f64> {
    let sum = normal_quantile(1.0 - level(risk)?)? + normal_quantile(power)?;
    (sum > 0.0).then_some(sum)
}

/// P(T > `critical`) for the noncentral t: the mean of Φ(shift − critical · s) over s = √(χ²/ν).
///
/// With s = eᵘ the density of u is exp(ν (u − e²ᵘ/2)) up to a factor: smooth, and nothing on either
/// side, so that the trapezoid rule converges faster than any power of its step. Weights are divided
/// by their sum, so the factor is not needed.
fn noncentral_above(critical: f64, df: f64, shift: f64) -> f64 {
    // Fine enough for the weight and for Φ, which rises within 1 / shift of its middle.
    let step = (0.1 / df.sqrt()).min(0.02).min((0.2 / (1.0 + shift.abs())).max(LEAST_STEP));
    let (mut sum, mut whole) = (0.0, 0.0);
    let mut add = |u: f64| {
        let weight = libm::exp(df * (u + 0.5 - 0.5 * libm::exp(2.0 * u)));
        sum += weight * normal_cdf(shift - critical * libm::exp(u));
        whole += weight;
        weight > NEGLIGIBLE
    };
    add(0.0);
    for side in [step, -step] {
        let mut steps = 1.0;
        while add(side * steps) {
            steps += 1.0;
        }
    }
    sum / whole
}

/// Effects that ask for a finer step are told by any two runs.
const LEAST_STEP: f64 = 2e-4;

/// Weights so much below the largest, 1, are nothing in a sum.
const NEGLIGIBLE: f64 = 1e-20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::t_cdf;
    use crate::stats::tests::assert_digits;

    #[test]
    fn power_is_statsmodels() {
        assert_digits(t_test_power(0.5, 10.0, 0.05), 0.427_289_826_771_178_2);
        // R: power.t.test(n = 20, delta = 0.7, sig.level = 0.01), one sample, one-sided; and the
        // integral over the density of s by mpmath.
        assert_digits(t_test_power(0.7, 20.0, 0.01), 0.718_607_529_700_847_6);
        assert_digits(
            noncentral_above(0.726_542_528_005_360_9, 1.0, -2.0),
            0.007_991_112_141_296_186,
        );
        // mpmath; statsmodels' own search ends at 7.727617902, two thousand-millionths beside it.
        assert_digits(runs_for_power(1.0, 0.05, 0.8), 7.727_617_900_354_741);
    }

    #[test]
    fn power_of_no_effect_is_the_level() {
        for (n, risk) in [(2.0, 0.05), (3.5, 0.3), (10.0, 1e-6), (400.0, 0.05), (1e5, 0.9)] {
            assert_digits(t_test_power(0.0, n, risk), risk);
        }
        for (critical, df) in [(-1.3, 2.0), (0.4, 30.0)] {
            assert_digits(noncentral_above(critical, df, 0.0), t_cdf(-critical, df).unwrap());
        }
    }

    #[test]
    fn normal_approximation_is_the_reference() {
        let sd = 0.011_083_779_207_066_125;
        assert_digits(detectable_effect(sd, 8, 0.05, 0.8), 0.009_743_768_229_646_68);
        assert_eq!(runs_for_effect(libm::log(1.01), sd, 0.05, 0.8), Some(8));
        assert_eq!(runs_for_effect(1.0, sd, 0.05, 0.8), Some(2));
    }

    #[test]
    fn what_cannot_be_told_gives_none() {
        for effect in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9] {
            assert_eq!(runs_for_power(effect, 0.05, 0.8), None);
        }
        assert_eq!(t_test_power(1.0, 1.0, 0.05), None);
        assert_eq!(t_test_power(1.0, f64::NAN, 0.05), None);
        assert_eq!(t_test_power(1.0, 10.0, 0.0), None);
        assert_eq!(detectable_effect(0.0, 8, 0.05, 0.8), None);
        assert_eq!(runs_for_effect(0.0, 1.0, 0.05, 0.8), None);
        assert_eq!(runs_for_effect(1e-300, 1.0, 0.05, 0.8), None);
        // Two runs tell an effect of a million standard deviations as often as is asked.
        assert_eq!(runs_for_power(1e6, 0.05, 0.8), Some(2.0));
    }
}
