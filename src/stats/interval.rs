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
}

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
    let half = t_quantile(0.5 + confidence / 2.0, (moments.n() - 1) as f64)? * se;
    // A half-width below zero would come from a confidence below zero.
    (half >= 0.0 && confidence > 0.0).then_some(Interval { lo: mean - half, hi: mean + half })
}

/// Returns the `p`-quantile of Student's t with `df` degrees of freedom.
///
/// None unless 0 < `p` < 1 and `df` is above zero and finite.
pub fn t_quantile(p: f64, df: f64) -> Option<f64> {
    if !(p > 0.0 && p < 1.0) {
        return None;
    }
    let student = student(df)?;
    // The lower tail, where the distribution function keeps all its digits.
    let tail = p.min(1.0 - p);
    let mut t = student.inverse_cdf(tail);
    for _ in 0..NEWTON_STEPS {
        let step = (student.cdf(t) - tail) / student.pdf(t);
        if step.is_finite() {
            t -= step;
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

const NEWTON_STEPS: usize = 2;

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
    fn probe() {
        for (p, df, t) in QUANTILES {
            let raw = StudentsT::new(0.0, 1.0, df).unwrap().inverse_cdf(p);
            println!("{p} {df} raw {:e} ours {:e}", raw - t, t_quantile(p, df).unwrap() - t);
        }
        for df in [0.5, 1.0, 3.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e8] {
            for p in [1e-12, 1e-6, 0.01, 0.4, 0.49999, 0.5] {
                let raw = StudentsT::new(0.0, 1.0, df).unwrap().inverse_cdf(p);
                let t = t_quantile(p, df).unwrap();
                println!("{p} {df} raw {raw} ours {t} back {:e}", t_cdf(t, df).unwrap() / p - 1.0);
            }
        }
    }
}
