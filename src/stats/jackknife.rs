//! The jackknife: what a statistic becomes with one unit left out.

use super::interval::{Interval, IntervalEstimate, t_half_width};
use super::moments::Moments;
use super::quantile::place;

/// A statistic, and what leaving out one unit after the other says of its bias and spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jackknife {
    /// Number of units, at least 2.
    pub n: usize,
    /// The statistic of all units.
    pub estimate: f64,
    /// The statistic with its bias of order 1/n taken off: the mean of the pseudo-values
    /// n θ − (n − 1) θ₍₋ᵢ₎.
    pub corrected: f64,
    /// Standard error: the pseudo-values' standard deviation over √n.
    pub se: f64,
}

impl Jackknife {
    /// Takes `statistic` of all `units` and of all but one at a time.
    ///
    /// Units are independent: whole runs, never the requests of one. The statistic is to be smooth
    /// in each of them (means, ratios, correlations); of a median of few units the standard error
    /// is wrong however many there are. None below two units, or when `statistic` is none or not
    /// finite for one of these samples.
    ///
    /// Source: Quenouille, 1956; Tukey, 1958; Miller, "The jackknife: a review", 1974.
    pub fn of<T: Copy>(units: &[T], statistic: impl Fn(&[T]) -> Option<f64>) -> Option<Self> {
        let left_out = left_out(units, &statistic)?;
        Self::of_left_out(statistic(units)?, &left_out)
    }

    /// The same from the statistic of all units and those without each of them.
    pub(super) fn of_left_out(estimate: f64, left_out: &[f64]) -> Option<Self> {
        let n = left_out.len();
        let pseudo = |without: &f64| estimate + (n as f64 - 1.0) * (estimate - without);
        let pseudo: Vec<f64> = left_out.iter().map(pseudo).collect();
        let moments = Moments::of(&pseudo);
        let (corrected, se) = (moments.mean()?, moments.se()?);
        let known = estimate.is_finite() && corrected.is_finite() && se.is_finite();
        known.then_some(Self { n, estimate, corrected, se })
    }

    /// Returns the t-interval of n − 1 degrees of freedom around [`corrected`](Self::corrected);
    /// none when `confidence` is not between 0 and 1.
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        Interval::around(self.corrected, t_half_width(self.se, self.df(), confidence)?)
    }

    fn df(&self) -> f64 {
        (self.n - 1) as f64
    }
}

/// Estimates a ratio of means over runs, Σ numerators / Σ denominators, from one (numerator,
/// denominator) per run.
///
/// The ratio of sums weighs a run by its denominator (tokens per second over all runs); the mean of
/// the runs' own ratios is another number. Choose the one that the question is about. None below
/// two runs or without a finite ratio.
///
/// Source: Miller, "The jackknife: a review", 1974; Law, 5th edition, section 9.5.3, for ratios of
/// cycles.
pub fn jackknife_ratio(runs: &[(f64, f64)]) -> Option<Jackknife> {
    Jackknife::of(runs, |runs| {
        let sum = |part: fn(&(f64, f64)) -> f64| runs.iter().map(part).sum::<f64>();
        Some(sum(|run| run.0) / sum(|run| run.1))
    })
}

/// Estimates the `p`-quantile (type 7) of all requests of all runs together, with an interval by
/// leaving out one run at a time.
///
/// Runs are what is independent, so they are what is left out; that the requests of a run depend
/// on each other does no harm. The interval is the estimate ± t(n − 1) standard errors, without the
/// correction of bias, which for a quantile is mostly noise. The mean over runs of each run's own
/// quantile is another number, and biased when a run has few requests beyond the quantile. Do not
/// trust it below some ten runs, or below a hundred requests beyond the quantile in all.
///
/// None below two runs, when a run is empty or a value is not finite, or when `p` is outside 0..=1
/// or `confidence` not between 0 and 1.
///
/// Source: Heidelberger and Lewis, "Quantile estimation in dependent sequences", 1984; Nakayama,
/// "Confidence intervals for quantiles using sectioning", 2014.
pub fn pooled_quantile(runs: &[&[f64]], p: f64, confidence: f64) -> Option<IntervalEstimate> {
    let finite = |run: &&[f64]| !run.is_empty() && run.iter().all(|value| value.is_finite());
    if runs.len() < 2 || !runs.iter().all(finite) || !(0.0..=1.0).contains(&p) {
        return None;
    }
    let numbered = runs.iter().enumerate();
    let mut pooled: Vec<(f64, usize)> =
        numbered.flat_map(|(run, values)| values.iter().map(move |value| (*value, run))).collect();
    pooled.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let estimate = quantile_without(&pooled, usize::MAX, pooled.len(), p)?;
    let without = |(run, values): (usize, &&[f64])| {
        quantile_without(&pooled, run, pooled.len() - values.len(), p)
    };
    let left_out: Vec<f64> = runs.iter().enumerate().map(without).collect::<Option<_>>()?;
    let jackknife = Jackknife::of_left_out(estimate, &left_out)?;
    let half = t_half_width(jackknife.se, jackknife.df(), confidence)?;
    Some(IntervalEstimate { estimate, interval: Interval::around(estimate, half)? })
}

/// The type-7 quantile of the `n` ascending values that are not of `run`.
fn quantile_without(pooled: &[(f64, usize)], run: usize, n: usize, p: f64) -> Option<f64> {
    let (below, fraction) = place(n, p)?;
    let mut kept = pooled.iter().filter(|(_, of)| *of != run).map(|(value, _)| *value);
    let low = kept.nth(below)?;
    let high = kept.next().unwrap_or(low);
    Some(low + fraction * (high - low))
}

/// The statistic without each unit in turn; none when one is not known.
pub(super) fn left_out<T: Copy>(
    units: &[T],
    statistic: &impl Fn(&[T]) -> Option<f64>,
) -> Option<Vec<f64>> {
    let mut others = Vec::with_capacity(units.len());
    let without = |index: usize| {
        others.clear();
        others.extend_from_slice(&units[..index]);
        others.extend_from_slice(&units[index + 1..]);
        statistic(&others).filter(|value| value.is_finite())
    };
    (0..units.len()).map(without).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::quantile;
    use crate::stats::t_interval;
    use crate::stats::tests::assert_digits;
    use proptest::prelude::*;

    #[test]
    fn ratio_of_four_runs_is_the_reference() {
        let runs = [(900.0, 10.0), (1_100.0, 11.5), (950.0, 9.8), (1_030.0, 10.4)];
        let ratio = jackknife_ratio(&runs).unwrap();
        assert_digits(ratio.estimate, 95.443_645_083_932_85);
        assert_digits(ratio.corrected, 95.455_593_594_643_55);
        assert_digits(ratio.se, 1.855_967_201_017_039_8);
        let interval = ratio.interval(0.95).unwrap();
        assert!(interval.contains(ratio.corrected) && interval.contains(ratio.estimate));
    }

    fn mean(values: &[f64]) -> Option<f64> {
        Moments::of(values).mean()
    }

    #[test]
    fn of_a_mean_it_is_the_t_interval() {
        let x = [12.1, 11.8, 12.6, 12.0, 11.5, 12.9, 12.3, 11.9, 12.2, 12.4];
        let jackknife = Jackknife::of(&x, mean).unwrap();
        assert_digits(jackknife.corrected, 12.17);
        let (here, t) = (jackknife.interval(0.95).unwrap(), t_interval(&x, 0.95).unwrap());
        assert_digits(here.lo, t.lo);
        assert_digits(here.hi, t.hi);
    }

    #[test]
    fn what_has_no_runs_gives_none() {
        assert_eq!(Jackknife::of(&[1.0], mean), None);
        assert_eq!(Jackknife::of(&[1.0, f64::NAN], mean), None);
        assert_eq!(jackknife_ratio(&[(1.0, 0.0), (1.0, 0.0)]), None);
        assert_eq!(pooled_quantile(&[&[1.0, 2.0]], 0.5, 0.95), None);
        assert_eq!(pooled_quantile(&[&[1.0], &[]], 0.5, 0.95), None);
        assert_eq!(pooled_quantile(&[&[1.0], &[], &[2.0]], 0.5, 0.95), None);
        // Also where the quantile does not reach it.
        assert_eq!(pooled_quantile(&[&[1.0], &[2.0, f64::NAN]], 0.0, 0.95), None);
        assert_eq!(pooled_quantile(&[&[1.0], &[2.0]], 1.5, 0.95), None);
    }

    #[test]
    fn pooled_median_by_hand() {
        // All: 1 … 6, median 3.5. Without a run: of 3, 4, 5, 6 4.5; of 1, 2, 5, 6 3.5; 2.5.
        let pooled = pooled_quantile(&[&[1.0, 2.0], &[4.0, 3.0], &[5.0, 6.0]], 0.5, 0.95).unwrap();
        assert_digits(pooled.estimate, 3.5);
        // Pseudo-values 3 · 3.5 − 2 · (4.5, 3.5, 2.5) = 1.5, 3.5, 5.5: sd 2, se 2 / √3.
        let half = 4.302_652_729_749_462 * 2.0 / 3.0_f64.sqrt();
        assert_digits(pooled.interval.hi, 3.5 + half);
    }

    proptest! {
        #[test]
        fn pooled_quantile_is_that_of_all_values(
            runs in proptest::collection::vec(proptest::collection::vec(0..50_i32, 1..20), 2..6),
            p in 0.0..=1.0_f64,
        ) {
            let runs: Vec<Vec<f64>> =
                runs.iter().map(|run| run.iter().copied().map(f64::from).collect()).collect();
            let slices: Vec<&[f64]> = runs.iter().map(Vec::as_slice).collect();
            let pooled = pooled_quantile(&slices, p, 0.95).unwrap();
            prop_assert_eq!(Some(pooled.estimate), quantile(&runs.concat(), p));
            let plain = |runs: &[&[f64]]| quantile(&runs.concat(), p);
            let jackknife = Jackknife::of(&slices, plain).unwrap();
            let half = t_half_width(jackknife.se, jackknife.df(), 0.95).unwrap();
            prop_assert!((pooled.interval.hi - pooled.estimate - half).abs() < 1e-9);
        }
    }
}
