//! Student's t: the confidence interval of a mean.

use statrs::distribution::{Continuous as _, ContinuousCDF as _, StudentsT};

use super::sample::finite_moments;

/// The ends of an interval, `lo` at most `hi`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
}

impl Interval {
    /// Returns whether `value` is inside, ends included.
    pub fn contains(&self, value: f64) -> bool {
        (self.lo..=self.hi).contains(&value)
    }

    /// The interval from `lo` to `hi`; none unless both are finite.
    pub(super) fn finite(lo: f64, hi: f64) -> Option<Self> {
        (lo.is_finite() && hi.is_finite()).then_some(Self { lo, hi })
    }

    /// The interval `middle` ± `half`; none unless both ends are finite.
    pub(super) fn around(middle: f64, half: f64) -> Option<Self> {
        Self::finite(middle - half, middle + half)
    }
}

/// A number and an interval around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntervalEstimate {
    /// The estimate.
    pub estimate: f64,
    /// Its interval at the confidence that was asked for.
    pub interval: Interval,
}

/// The confidence of intervals where nothing else is asked for.
pub const CONFIDENCE: f64 = 0.95;

/// Returns the two-sided interval of the mean, mean ± t(n − 1) · sd / √n.
///
/// `values` are independent, one per run, and near normal (a run's mean or quantile is); skewed
/// ones are covered less often than `confidence` says below some twenty runs. None below two
/// values, when one is not finite, or when `confidence` is not between 0 and 1.
///
/// Source: Law, "Simulation Modeling and Analysis", 5th edition, chapter 9.
pub fn t_interval(values: &[f64], confidence: f64) -> Option<Interval> {
    let moments = finite_moments(values)?;
    let (mean, se) = (moments.mean()?, moments.se()?);
    Interval::around(mean, t_half_width(se, (moments.n() - 1) as f64, confidence)?)
}

/// Returns the number that the mean is above with `confidence`: mean − t(n − 1) · sd / √n.
///
/// A claim of one side ("at least") needs a bound only, which is closer than the end of an interval
/// of the same confidence. Assumptions and what has none are those of [`t_interval`].
pub fn t_lower_bound(values: &[f64], confidence: f64) -> Option<f64> {
    let moments = finite_moments(values)?;
    let (mean, se) = (moments.mean()?, moments.se()?);
    let t = t_quantile(level(confidence)?, (moments.n() - 1) as f64)?;
    Some(mean - t * se).filter(|bound| bound.is_finite())
}

/// Returns the number that the mean is below with `confidence`, as [`t_lower_bound`] does.
pub fn t_upper_bound(values: &[f64], confidence: f64) -> Option<f64> {
    let mirrored: Vec<f64> = values.iter().map(|value| -value).collect();
    t_lower_bound(&mirrored, confidence).map(|bound| -bound)
}

/// Half the width of the two-sided t-interval of an estimate with standard error `se`.
pub(super) fn t_half_width(se: f64, df: f64, confidence: f64) -> Option<f64> {
    Some(t_quantile(0.5 + level(confidence)? / 2.0, df)? * se)
}

/// The confidence, when it is one: between 0 and 1, neither included.
pub(super) fn level(confidence: f64) -> Option<f64> {
    (confidence > 0.0 && confidence < 1.0).then_some(confidence)
}

/// Returns the `p`-quantile of Student's t with `df` degrees of freedom.
///
/// Its error is below 10⁻⁹ of the value up to a hundred thousand degrees of freedom, save within
/// 10⁻³ of the median. None unless 0 < `p` < 1 and `df` is above zero and finite.
pub fn t_quantile(p: f64, df: f64) -> Option<f64> {
    if !(p > 0.0 && p < 1.0) {
        return None;
    }
    let student = student(df)?;
    // In the lower tail the distribution function keeps all its digits. It is convex there, so
    // Newton's steps from the median go down to the root and never past it. (The inverse that
    // `statrs` has is exact to 10⁻¹⁰ only and does not end at some arguments.)
    let tail = p.min(1.0 - p);
    let mut t = 0.0;
    for _ in 0..MOST_STEPS {
        let step = (student.cdf(t) - tail) / student.pdf(t);
        if !step.is_finite() {
            break;
        }
        let moved = t - step;
        let at_rest = moved >= t;
        t = moved;
        if at_rest {
            break;
        }
    }
    Some(if p > 0.5 { -t } else { t })
}

/// Returns the probability that Student's t with `df` degrees of freedom is at most `t`.
///
/// None when `t` is NaN, or `df` is not above zero and finite.
pub fn t_cdf(t: f64, df: f64) -> Option<f64> {
    let student = student(df)?;
    (!t.is_nan()).then(|| student.cdf(t))
}

/// Enough for a tail of 10⁻³⁰ at one degree of freedom, where each step doubles `t`.
const MOST_STEPS: usize = 200;

fn student(df: f64) -> Option<StudentsT> {
    df.is_finite().then(|| StudentsT::new(0.0, 1.0, df).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (p, degrees of freedom, quantile), from `scipy.stats.t.ppf` and R's `qt`.
    const QUANTILES: [(f64, f64, f64); 9] = [
        (0.975, 1.0, 12.706_204_736_174_694),
        (0.975, 2.0, 4.302_652_729_749_462),
        (0.975, 4.0, 2.776_445_105_197_793_4),
        (0.975, 9.0, 2.262_157_162_798_205),
        (0.975, 19.0, 2.093_024_054_408_308_7),
        (0.975, 29.0, 2.045_229_642_132_703),
        (0.975, 99.0, 1.984_216_951_586_417_4),
        (0.995, 4.0, 4.604_094_871_349_992),
        (0.995, 9.0, 3.249_835_541_592_126),
    ];

    #[test]
    fn quantiles_are_scipys() {
        for (p, df, expected) in QUANTILES {
            let t = t_quantile(p, df).unwrap();
            assert!((t - expected).abs() < 1e-11, "{p} of {df}: {t}");
            assert_eq!(t_quantile(1.0 - p, df).map(|low| (low + t).abs() < 1e-11), Some(true));
        }
    }

    #[test]
    fn quantile_undoes_the_distribution() {
        for df in [0.5, 1.0, 1.7, 3.0, 30.0, 1e3, 1e5] {
            for p in [1e-12, 1e-6, 0.01, 0.3, 0.5, 0.7, 0.99, 1.0 - 1e-6] {
                let back = t_cdf(t_quantile(p, df).unwrap(), df).unwrap();
                assert!((back / p - 1.0).abs() < 1e-10, "{p} of {df}: {back}");
            }
        }
    }

    #[test]
    fn many_degrees_of_freedom_approach_the_normal() {
        // Fisher's expansion about z = 1.959963984540054, the 97.5 % point of the normal:
        // t = z + (z³ + z) / 4n + (5z⁵ + 16z³ + 3z) / 96n² + (3z⁷ + 19z⁵ + 17z³ - 15z) / 384n³.
        let z: f64 = 1.959_963_984_540_054;
        let power = |k| z.powi(k);
        for n in [1e3_f64, 1e4, 1e5] {
            let first = (power(3) + z) / (4.0 * n);
            let second = (5.0 * power(5) + 16.0 * power(3) + 3.0 * z) / (96.0 * n * n);
            let third = 3.0 * power(7) + 19.0 * power(5) + 17.0 * power(3) - 15.0 * z;
            let expected = z + first + second + third / (384.0 * n.powi(3));
            let t = t_quantile(0.975, n).unwrap();
            assert!((t - expected).abs() < 1e-9, "{n}: {t}, not {expected}");
        }
    }

    #[test]
    fn what_has_no_quantile_gives_none() {
        for (p, df) in [(0.0, 3.0), (1.0, 3.0), (f64::NAN, 3.0), (0.5, 0.0), (0.5, f64::INFINITY)] {
            assert_eq!(t_quantile(p, df), None);
        }
        assert_eq!(t_cdf(f64::NAN, 3.0), None);
    }

    #[test]
    fn interval_of_ten_runs_is_scipys() {
        let x = [12.1, 11.8, 12.6, 12.0, 11.5, 12.9, 12.3, 11.9, 12.2, 12.4];
        let interval = t_interval(&x, 0.95).unwrap();
        assert!((interval.lo - 11.879_812_267_694_705).abs() < 1e-9);
        assert!((interval.hi - 12.460_187_732_305_295).abs() < 1e-9);
        assert!(interval.contains(12.17) && !interval.contains(12.5));
    }

    #[test]
    fn bounds_are_the_ends_of_a_wider_interval() {
        // 5 % beyond each end of the 90 % interval.
        let x = [12.1, 11.8, 12.6, 12.0, 11.5, 12.9, 12.3, 11.9, 12.2, 12.4];
        let interval = t_interval(&x, 0.9).unwrap();
        assert!((t_lower_bound(&x, 0.95).unwrap() - interval.lo).abs() < 1e-12);
        assert!((t_upper_bound(&x, 0.95).unwrap() - interval.hi).abs() < 1e-12);
        // R: 12.17 - qt(0.95, 9) * 0.1282792097899.
        assert!((t_lower_bound(&x, 0.95).unwrap() - 11.934_849_722_320_344).abs() < 1e-8);
        assert_eq!((t_lower_bound(&[1.0], 0.95), t_upper_bound(&x, 1.0)), (None, None));
    }

    #[test]
    fn interval_needs_two_known_values() {
        assert_eq!(t_interval(&[1.0], 0.95), None);
        assert_eq!(t_interval(&[1.0, f64::NAN], 0.95), None);
        for confidence in [-0.5, 0.0, 1.0, f64::NAN] {
            assert_eq!(t_interval(&[1.0, 2.0], confidence), None);
        }
        let point = t_interval(&[2.0, 2.0], 0.95);
        assert_eq!(point, Some(Interval { lo: 2.0, hi: 2.0 }));
    }
}
