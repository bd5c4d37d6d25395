//! A mean over runs and its interval, by the method that was asked for.

use super::bootstrap::{Bootstrap, FEWEST_FOR_BCA};
use super::interval::{CONFIDENCE, Interval, t_interval};
use super::lognormal::lognormal_mean;
use super::moments::Moments;
use super::sample::Sample;

/// Below so many runs a mean has no interval: that of two is some nine times their distance.
pub const FEWEST_FOR_INTERVAL: usize = 3;

/// Resamples of an interval by the bootstrap: its ends are sure to some 5 % of its width, and a
/// table of a hundred thousand of them still takes minutes, not hours.
const RESAMPLES: usize = 1_999;

/// How the interval of a mean over runs is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IntervalMethod {
    /// Student's t, see [`t_interval`].
    #[default]
    T,
    /// Cox's method for lognormal values, see [`lognormal_mean`].
    Log,
    /// The bootstrap, corrected for bias and acceleration, see [`Bootstrap::bca`].
    Bca,
}

impl IntervalMethod {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::T, Self::Log, Self::Bca];

    /// Returns what files call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::T => "t",
            Self::Log => "log",
            Self::Bca => "bca",
        }
    }
}

/// What intervals of means over runs are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntervalSpec {
    /// Their confidence, between 0 and 1.
    pub confidence: f64,
    /// Their method, where a sample allows it.
    pub method: IntervalMethod,
}

impl Default for IntervalSpec {
    fn default() -> Self {
        Self { confidence: CONFIDENCE, method: IntervalMethod::default() }
    }
}

/// The interval of a mean and how it was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanInterval {
    /// Its ends.
    pub interval: Interval,
    /// The method that was used, which need not be the one asked for.
    pub method: IntervalMethod,
}

impl IntervalSpec {
    /// Returns what is asked for of a metric in that unit: times may be lognormal, shares, rates and
    /// counts are taken by Student's t instead.
    #[must_use]
    pub fn for_unit(self, unit: &str) -> Self {
        match self.method {
            IntervalMethod::Log if unit != "ms" => Self { method: IntervalMethod::T, ..self },
            IntervalMethod::T | IntervalMethod::Log | IntervalMethod::Bca => self,
        }
    }

    /// Returns the interval of the mean of `values`, one per run.
    ///
    /// Where the method that is asked for has none (`log`: a value of 0 or below; `bca`: below
    /// [`FEWEST_FOR_BCA`] values), it is Student's t. None below [`FEWEST_FOR_INTERVAL`] values, and
    /// when all are equal: what changed nothing says nothing of the variance.
    pub fn interval(self, values: &[f64]) -> Option<MeanInterval> {
        let sample = Sample::of(values)?;
        if sample.n < FEWEST_FOR_INTERVAL || sample.n_distinct < 2 {
            return None;
        }
        let own = match self.method {
            IntervalMethod::T => None,
            IntervalMethod::Log => {
                lognormal_mean(values, self.confidence).map(|estimate| estimate.interval)
            }
            IntervalMethod::Bca => bca(values, self.confidence),
        };
        match own {
            Some(interval) => Some(MeanInterval { interval, method: self.method }),
            None => {
                let interval = t_interval(values, self.confidence)?;
                Some(MeanInterval { interval, method: IntervalMethod::T })
            }
        }
    }
}

/// The `BCa` interval of the mean. Values are sorted first, so that their order moves nothing.
fn bca(values: &[f64], confidence: f64) -> Option<Interval> {
    if values.len() < FEWEST_FOR_BCA {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mean = |values: &[f64]| Moments::of(values).mean();
    Bootstrap::drawn(&sorted, mean, RESAMPLES, 0)?.bca(confidence)
}

/// A mean and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Arithmetic mean.
    pub mean: f64,
    /// Its interval, see [`IntervalSpec::interval`].
    pub interval: Option<Interval>,
}

impl Estimate {
    /// Estimates the mean of `values`, one per run, with the interval that is asked for. None when
    /// there are none or one is not finite.
    pub fn of(values: &[f64], spec: IntervalSpec) -> Option<Self> {
        let mean = Sample::of(values)?.mean;
        Some(Self { mean, interval: spec.interval(values).map(|own| own.interval) })
    }

    /// Returns half the width of the interval. The ends of Student's t are that far from the mean,
    /// those of other methods need not be.
    pub fn half_width(&self) -> Option<f64> {
        self.interval.map(|interval| (interval.hi - interval.lo) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::assert_digits;

    fn spec(method: IntervalMethod) -> IntervalSpec {
        IntervalSpec { method, ..IntervalSpec::default() }
    }

    #[test]
    fn the_half_width_is_that_of_students_t() {
        // 1, 2, 3: sd 1, se 1/√3, t(0.975, 2) = 4.302653.
        let estimate = Estimate::of(&[1.0, 2.0, 3.0], IntervalSpec::default()).unwrap();
        assert_digits(estimate.mean, 2.0);
        assert_digits(estimate.half_width(), 4.302_652_729_749_462 / 3.0_f64.sqrt());
    }

    #[test]
    fn what_says_nothing_of_the_variance_has_no_interval() {
        for method in IntervalMethod::ALL {
            for values in [&[1.0][..], &[1.0, 2.0], &[3.0; 30]] {
                assert_eq!(spec(method).interval(values), None, "{method:?} of {values:?}");
                let estimate = Estimate::of(values, spec(method)).unwrap();
                assert_eq!(estimate.interval, None);
            }
        }
        assert_eq!(Estimate::of(&[], IntervalSpec::default()), None);
    }

    #[test]
    fn a_method_that_does_not_apply_gives_way_to_t_and_says_so() {
        let t = spec(IntervalMethod::T);
        let values = [1.0, 2.0, 4.0];
        let log = spec(IntervalMethod::Log);
        assert_eq!(log.interval(&values).unwrap().method, IntervalMethod::Log);
        let shifted = [0.0, 2.0, 4.0];
        assert_eq!(log.interval(&shifted), t.interval(&shifted), "a zero has no logarithm");
        assert_eq!(log.for_unit("1").interval(&values), t.interval(&values));
        assert_eq!(log.for_unit("ms"), log);
        let bca = spec(IntervalMethod::Bca);
        let many: Vec<f64> = (0..20).map(|at| f64::from(at * at)).collect();
        assert_eq!(bca.interval(&many[..19]), t.interval(&many[..19]));
        let own = bca.interval(&many).unwrap();
        assert_eq!(own.method, IntervalMethod::Bca);
        // Skewed to the right: the upper end is farther from the mean, 123.5, than the lower one.
        assert!(own.interval.hi - 123.5 > 123.5 - own.interval.lo, "{own:?}");
        let backwards: Vec<f64> = many.iter().rev().copied().collect();
        assert_eq!(bca.interval(&backwards), Some(own));
    }
}
