//! The values of a latency and what is told of them.

use serde::Serialize;

use crate::stats::{LogHistogram, SparseHistogram, WholeMoments, quantiles_in_place};
use crate::units::{PS_PER_MS, SimDuration};

/// The most measured requests whose latencies are kept; runs of more count them in histograms.
///
/// So many take 160 MB, 32 bytes each, and every thread of a sweep has a run of its own. Beyond
/// them the 0.05 % of a histogram is below the sampling error of the quantiles themselves: that of
/// the P99 of five million exponential values is 0.1 %.
pub const MOST_EXACT: usize = 5_000_000;

/// The quantiles of a [`Latency`].
const QUANTILES: [f64; 5] = [0.5, 0.75, 0.9, 0.95, 0.99];

/// How the quantiles of the four latencies per request were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QuantileMethod {
    /// From every value, type 7.
    Exact,
    /// By nearest rank in a histogram, within 0.05 %: more than [`MOST_EXACT`] were measured.
    Histogram,
}

/// A latency's statistics in milliseconds; quantiles are type 7 or, by nearest rank, those of a
/// histogram.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// How many values.
    pub n: u64,
    /// Arithmetic mean.
    pub mean_ms: Option<f64>,
    /// Sample standard deviation.
    pub sd_ms: Option<f64>,
    /// Median.
    pub p50_ms: Option<f64>,
    /// 75th percentile.
    pub p75_ms: Option<f64>,
    /// 90th percentile.
    pub p90_ms: Option<f64>,
    /// 95th percentile.
    pub p95_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
    /// Largest.
    pub max_ms: Option<f64>,
}

/// The values of one latency, in picoseconds.
#[derive(Clone, Debug)]
pub(super) enum Values {
    All(Vec<u64>),
    Counted(LogHistogram),
}

/// A quantile of an objective, over the values and as many infinite ones as were lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) percent: f64,
    pub(super) lost: u64,
}

impl QuantileMethod {
    /// Returns the method of a run that measures that many requests.
    pub const fn of(measured: usize) -> Self {
        if measured > MOST_EXACT { Self::Histogram } else { Self::Exact }
    }

    /// Returns its name in outputs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Histogram => "histogram",
        }
    }
}

impl Latency {
    /// Describes the values of a histogram and returns the quantiles of objectives in milliseconds,
    /// none where they are infinite.
    pub(super) fn of_histogram(
        histogram: &LogHistogram,
        wanted: &[Wanted],
    ) -> (Self, Vec<Option<f64>>) {
        let quantiles = QUANTILES.map(|p| histogram.quantile(p).map(|ps| ps as f64));
        let own = |quantile: &Wanted| {
            let p = quantile.percent / 100.0;
            let ps = histogram.quantile_with_losses(p, quantile.lost)?;
            Some(ms(ps as f64))
        };
        (Self::new(histogram.moments(), &quantiles), wanted.iter().map(own).collect())
    }

    /// `quantiles` are [`QUANTILES`] in picoseconds.
    fn new(moments: &WholeMoments, quantiles: &[Option<f64>]) -> Self {
        let quantile = |index: usize| quantiles[index].map(ms);
        Self {
            n: moments.count(),
            mean_ms: moments.mean().map(ms),
            sd_ms: moments.sd().map(ms),
            p50_ms: quantile(0),
            p75_ms: quantile(1),
            p90_ms: quantile(2),
            p95_ms: quantile(3),
            p99_ms: quantile(4),
            max_ms: moments.max().map(|ps| SimDuration::from_ps(ps).as_ms()),
        }
    }
}

impl Values {
    /// Makes room for that many values and no more.
    pub(super) fn new(method: QuantileMethod, planned: usize) -> Self {
        match method {
            QuantileMethod::Exact => Self::All(Vec::with_capacity(planned)),
            QuantileMethod::Histogram => Self::Counted(LogHistogram::fine()),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, ps: u64) {
        match self {
            Self::All(values) => values.push(ps),
            Self::Counted(histogram) => histogram.record(ps, 1),
        }
    }

    /// Counts the values in the bins that are kept of a run.
    pub(super) fn counted(&self) -> SparseHistogram {
        match self {
            Self::All(values) => SparseHistogram::of_values(values),
            Self::Counted(histogram) => SparseHistogram::of(histogram),
        }
    }

    /// Describes the values and returns the quantiles of objectives in milliseconds, none where
    /// they are infinite. Moves kept values about, and takes no memory for them.
    pub(super) fn describe(&mut self, wanted: &[Wanted]) -> (Latency, Vec<Option<f64>>) {
        match self {
            Self::All(values) => describe_all(values, wanted),
            Self::Counted(histogram) => Latency::of_histogram(histogram, wanted),
        }
    }
}

fn describe_all(values: &mut [u64], wanted: &[Wanted]) -> (Latency, Vec<Option<f64>>) {
    let own = wanted.iter().map(|quantile| finite_quantile(values.len(), *quantile));
    let own: Vec<Option<f64>> = own.collect();
    let mut ps: Vec<f64> = QUANTILES.to_vec();
    ps.extend(own.iter().flatten());
    let quantiles = quantiles_in_place(values, &ps);
    let latency = Latency::new(&WholeMoments::of(values), &quantiles);
    let mut found = quantiles.into_iter().skip(QUANTILES.len());
    let own = own.iter().map(|p| p.and_then(|_| found.next().flatten()).map(ms));
    (latency, own.collect())
}

/// The type-7 quantile of `len` finite values and the lost ones, as the same quantile of the finite
/// ones alone; none when it is infinite.
fn finite_quantile(len: usize, wanted: Wanted) -> Option<f64> {
    let Wanted { percent, lost } = wanted;
    if lost == 0 {
        return Some(percent / 100.0);
    }
    let finite = len.checked_sub(1)? as f64;
    let last_rank = finite + lost as f64;
    // A rank that is whole but for rounding is whole: else it would reach for the value above.
    let at = percent * last_rank / 100.0;
    let near = at.round();
    let at = if (at - near).abs() < 1e-9 * last_rank { near } else { at };
    // Interpolation looks at the value above, unless the rank is whole.
    (at.ceil() <= finite).then(|| (at / finite.max(1.0)).min(1.0))
}

fn ms(ps: f64) -> f64 {
    ps / PS_PER_MS as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    /// The quantile of descending milliseconds, in milliseconds.
    fn with_losses(
        ascending: std::ops::Range<u64>,
        step: u64,
        lost: u64,
        percent: f64,
    ) -> Option<f64> {
        let values = ascending.rev().map(|value| value * step * PS_PER_MS).collect();
        let (_, own) = Values::All(values).describe(&[Wanted { percent, lost }]);
        own[0]
    }

    #[test]
    fn losses_push_a_quantile_up_and_out() {
        // Nine finite values and one infinite: rank 0.5 · 9 = 4.5 lies between 50 and 60.
        let median = with_losses(1..10, 10, 1, 50.0).unwrap();
        assert!((median - 55.0).abs() < 1e-9, "{median}");
        assert_eq!(with_losses(1..10, 10, 1, 95.0), None);
        assert_eq!(with_losses(0..0, 1, 3, 50.0), None);
        assert_eq!(with_losses(0..1_000, 1, 1, 99.9), Some(999.0), "the last that is there");
        assert_eq!(with_losses(0..40_960, 1, 41, 99.9), Some(40_959.0));
    }

    #[test]
    fn a_histogram_says_nearly_the_same() {
        let mut stream = Stream::new(3, "test", 0);
        let mut kept = Values::new(QuantileMethod::of(20_000), 20_000);
        let mut counted = Values::new(QuantileMethod::of(MOST_EXACT + 1), 20_000);
        assert!(matches!((&kept, &counted), (Values::All(_), Values::Counted(_))));
        for _ in 0..20_000 {
            let value = SimDuration::from_secs(stream.exponential()).unwrap().as_ps();
            kept.push(value);
            counted.push(value);
        }
        let wanted = [0, 200].map(|lost| Wanted { percent: 95.0, lost });
        let all_lost = [Wanted { percent: 99.9, lost: 200 }];
        let ((exact, own), (near, own_near)) = (kept.describe(&wanted), counted.describe(&wanted));
        assert_eq!((exact.n, exact.max_ms), (near.n, near.max_ms));
        assert_eq!((exact.mean_ms, exact.sd_ms), (near.mean_ms, near.sd_ms), "both exact");
        let columns = |of: &Latency| [of.p50_ms, of.p75_ms, of.p90_ms, of.p95_ms, of.p99_ms];
        let pairs =
            columns(&exact).into_iter().zip(columns(&near)).chain(own.into_iter().zip(own_near));
        for (exact, near) in pairs {
            let ratio = near.unwrap() / exact.unwrap();
            // A bin's half and, between nearest rank and type 7, a gap of 20,000 values.
            assert!((ratio - 1.0).abs() < 0.0005 + 0.0005, "{exact:?} {near:?}");
        }
        assert_eq!((kept.describe(&all_lost).1[0], counted.describe(&all_lost).1[0]), (None, None));
    }

    #[test]
    fn nothing_measured_has_no_numbers() {
        for mut values in [Values::All(Vec::new()), Values::Counted(LogHistogram::fine())] {
            let (latency, own) = values.describe(&[Wanted { percent: 95.0, lost: 0 }]);
            assert_eq!((latency, own), (Latency::default(), vec![None]));
        }
    }
}
