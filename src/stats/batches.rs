//! The variance of a mean within one long run, whose observations depend on each other.

use super::interval::{Interval, IntervalEstimate, t_half_width};
use super::moments::Moments;
use super::normal::normal_cdf;
use super::sample::finite_moments;

/// The means of the batches of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchMeans {
    /// Observations in each batch.
    pub size: usize,
    /// The batches' means, in order, at least two.
    pub means: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub sd: f64,
}

impl BatchMeans {
    /// Cuts `series`, without its warm-up, into `batches` of equal size.
    ///
    /// When the observations do not divide, the first ones are left out: they are nearest to the
    /// warm-up. 20 to 30 batches are usual; larger batches depend less on each other, more batches
    /// give a closer interval. None below two batches, when there are fewer observations than
    /// batches, or when one is not finite.
    ///
    /// Source: Schmeiser, "Batch size effects in the analysis of simulation output", 1982; Law, 5th
    /// edition, section 9.5.3.
    pub fn of(series: &[f64], batches: usize) -> Option<Self> {
        finite_moments(series)?;
        let size = series.len().checked_div(batches).filter(|size| *size > 0)?;
        let used = &series[series.len() - size * batches..];
        let mean_of = |batch: &[f64]| Moments::of(batch).mean();
        let means: Vec<f64> = used.chunks_exact(size).map(mean_of).collect::<Option<_>>()?;
        let moments = Moments::of(&means);
        let (mean, sd) = (moments.mean()?, moments.sd()?);
        (mean.is_finite() && sd.is_finite()).then_some(Self { size, means, mean, sd })
    }

    /// Returns the t-interval of the mean, of one degree of freedom less than there are batches.
    ///
    /// Trust it only when [`Self::independence`] does not speak against it, and not near
    /// saturation, where a run forgets so slowly that no batch is long enough. Several runs are the
    /// better answer. None when `confidence` is not between 0 and 1.
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        let batches = self.means.len() as f64;
        let se = self.sd / batches.sqrt();
        Interval::around(self.mean, t_half_width(se, batches - 1.0, confidence)?)
    }

    /// Returns the estimate of σ², the limit of n · Var(mean of n observations): size · sd².
    pub fn asymptotic_variance(&self) -> f64 {
        self.size as f64 * self.sd * self.sd
    }

    /// Tests that neighbouring batches are independent, by von Neumann's ratio.
    ///
    /// None below three batches or when their means do not vary.
    ///
    /// Source: von Neumann, "Distribution of the ratio of the mean square successive difference to
    /// the variance", 1941; Fishman, "Grouping observations in digital simulation", 1978.
    pub fn independence(&self) -> Option<Independence> {
        let batches = self.means.len() as f64;
        let squares: f64 = self.means.iter().map(|y| (y - self.mean) * (y - self.mean)).sum();
        let steps = self.means.windows(2).map(|pair| (pair[1] - pair[0]) * (pair[1] - pair[0]));
        let statistic = 1.0 - steps.sum::<f64>() / (2.0 * squares);
        let z = statistic / ((batches - 2.0) / (batches * batches - 1.0)).sqrt();
        let independence = Independence { statistic, z, p: normal_cdf(-z) };
        (self.means.len() > 2 && z.is_finite()).then_some(independence)
    }
}

/// How sure it is that neighbouring batches depend on each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Independence {
    /// 1 − Σ (Yᵢ − Yᵢ₊₁)² / 2 Σ (Yᵢ − Ȳ)²: near the correlation of neighbours.
    pub statistic: f64,
    /// The statistic over its standard deviation √((b − 2) / (b² − 1)) under independence.
    pub z: f64,
    /// The probability of a z at least so high under independence. Small says that the batches are
    /// too short and the interval too narrow. Negative correlation makes an interval too wide, not
    /// too narrow, so it is not tested for.
    pub p: f64,
}

/// Returns the correlation of neighbouring values, Σ (xᵢ − x̄)(xᵢ₊₁ − x̄) / Σ (xᵢ − x̄)².
///
/// Biased towards 0 by the order of 1/n. None when the values do not vary or one is not finite.
pub fn lag1_correlation(series: &[f64]) -> Option<f64> {
    let mean = finite_moments(series)?.mean()?;
    let squares: f64 = series.iter().map(|x| (x - mean) * (x - mean)).sum();
    let products = series.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean));
    Some(products.sum::<f64>() / squares).filter(|correlation| correlation.is_finite())
}

/// The variance of a mean by overlapping batches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverlappingBatchMeans {
    /// Mean of all observations.
    pub mean: f64,
    /// Estimate of σ², the limit of n · Var(mean of n observations).
    pub asymptotic_variance: f64,
    /// Standard error of the mean.
    pub se: f64,
    /// Degrees of freedom, 1.5 (n / size − 1): those of batches apart times 1.5, in the limit.
    pub df: f64,
}

impl OverlappingBatchMeans {
    /// Takes the means of all batches of `size` neighbours, those from each observation on.
    ///
    /// σ² = n m / ((n − m + 1)(n − m)) Σ (Ȳⱼ − x̄)². Its spread is two thirds of that of batches
    /// apart, at the same bias; trust it where you would trust [`BatchMeans::interval`]. None
    /// unless 0 < `size` < n, or when an observation is not finite.
    ///
    /// Source: Meketon and Schmeiser, "Overlapping batch means: something for nothing?", 1984.
    pub fn of(series: &[f64], size: usize) -> Option<Self> {
        let mean = finite_moments(series)?.mean()?;
        if size == 0 || size >= series.len() {
            return None;
        }
        let (n, m) = (series.len() as f64, size as f64);
        let mut sum: f64 = series[..size].iter().map(|x| x - mean).sum();
        let mut squares = sum / m * (sum / m);
        for (left, entered) in series.iter().zip(&series[size..]) {
            sum += entered - left;
            squares += sum / m * (sum / m);
        }
        let asymptotic_variance = n * m / ((n - m + 1.0) * (n - m)) * squares;
        let se = (asymptotic_variance / n).sqrt();
        let df = 1.5 * (n / m - 1.0);
        let known = mean.is_finite() && se.is_finite();
        known.then_some(Self { mean, asymptotic_variance, se, df })
    }

    /// Returns the mean and its t-interval; none when `confidence` is not between 0 and 1.
    pub fn interval(&self, confidence: f64) -> Option<IntervalEstimate> {
        let half = t_half_width(self.se, self.df, confidence)?;
        let interval = Interval::around(self.mean, half)?;
        Some(IntervalEstimate { estimate: self.mean, interval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use crate::stats::tests::assert_digits;
    use proptest::prelude::*;

    const X: [f64; 20] = [
        0.3, 1.2, 0.7, 1.9, 2.2, 1.1, 0.4, 0.9, 1.5, 2.8, 2.1, 1.6, 0.8, 0.2, 0.6, 1.3, 1.7, 2.4,
        1.0, 0.5,
    ];

    #[test]
    fn five_batches_are_the_reference() {
        let batches = BatchMeans::of(&X, 5).unwrap();
        assert_eq!(batches.size, 4);
        for (mean, expected) in batches.means.iter().zip([1.025, 1.15, 2.0, 0.725, 1.4]) {
            assert_digits(*mean, expected);
        }
        assert_digits(batches.mean, 1.26);
        assert_digits(batches.sd, 0.479_778_594_770_546_2);
        assert_digits(batches.asymptotic_variance(), 0.920_749_999_999_999_8);
        let interval = batches.interval(0.95).unwrap();
        assert_digits((interval.hi - interval.lo) / 2.0, 0.595_723_808_235_38);
        assert_digits(lag1_correlation(&X), 0.370_079_335_096_335_4);
        assert_digits(lag1_correlation(&batches.means), -0.571_653_543_307_086_5);
        let independence = batches.independence().unwrap();
        assert_digits(independence.statistic, -0.531_020_906_869_399_8);
        assert_digits(independence.z, -1.501_953_936_796_731);
        assert_digits(independence.p, 1.0 - normal_cdf(-1.501_953_936_796_731));
    }

    #[test]
    fn overlapping_batches_are_the_reference() {
        let overlapping = OverlappingBatchMeans::of(&X, 4).unwrap();
        assert_digits(overlapping.asymptotic_variance, 0.668_110_294_117_646_9);
        assert_digits(overlapping.se, 0.182_771_755_766_262_6);
        assert_digits(overlapping.df, 6.0);
        assert!(overlapping.interval(0.95).unwrap().interval.contains(1.26));
    }

    /// An autoregressive series xᵢ₊₁ = φ xᵢ + noise of variance 1.
    fn autoregressive(phi: f64, n: usize) -> Vec<f64> {
        let mut stream = Stream::new(3, "ar1", 0);
        let mut x = stream.normal() / (1.0 - phi * phi).sqrt();
        let next = |_| {
            x = phi * x + stream.normal();
            x
        };
        (0..n).map(next).collect()
    }

    #[test]
    fn long_batches_find_the_variance_of_an_autoregression() {
        // σ² = 1 / (1 − φ)² = 100 (φ = 0.9); 40 batches give it with an sd of 100 √(2 / 39) = 23.
        let series = autoregressive(0.9, 80_000);
        let apart = BatchMeans::of(&series, 40).unwrap();
        assert!((apart.asymptotic_variance() - 100.0).abs() < 70.0);
        let overlapping = OverlappingBatchMeans::of(&series, 2_000).unwrap();
        assert!((overlapping.asymptotic_variance - 100.0).abs() < 60.0);
        // As if independent it would be the variance of one, 1 / (1 − φ²) = 5.3.
        let naive = Moments::of(&series).variance().unwrap();
        assert!((naive - 1.0 / 0.19).abs() < 0.5);
        assert!((lag1_correlation(&series).unwrap() - 0.9).abs() < 0.01);
        assert!(apart.independence().unwrap().p > 0.01);
        // Batches of five observations depend on each other beyond doubt.
        assert!(BatchMeans::of(&series, 16_000).unwrap().independence().unwrap().p < 1e-12);
    }

    #[test]
    fn leftovers_are_taken_from_the_beginning() {
        let batches = BatchMeans::of(&[9.0, 1.0, 2.0, 3.0, 4.0], 2).unwrap();
        assert_eq!((batches.size, batches.means), (2, vec![1.5, 3.5]));
    }

    #[test]
    fn what_has_no_batches_gives_none() {
        for batches in [0, 1, 21, usize::MAX] {
            assert_eq!(BatchMeans::of(&X, batches), None);
        }
        assert_eq!(BatchMeans::of(&[f64::NAN; 4], 2), None);
        assert_eq!(BatchMeans::of(&[1.0; 8], 4).unwrap().independence(), None);
        assert_eq!(BatchMeans::of(&X, 2).unwrap().independence(), None);
        for size in [0, 20, usize::MAX] {
            assert_eq!(OverlappingBatchMeans::of(&X, size), None);
        }
        assert_eq!((lag1_correlation(&[]), lag1_correlation(&[1.0, 1.0])), (None, None));
    }

    proptest! {
        #[test]
        fn overlapping_batches_of_one_are_the_variance(
            series in proptest::collection::vec(-1e3..1e3_f64, 2..80),
        ) {
            let ones = OverlappingBatchMeans::of(&series, 1).unwrap();
            let variance = Moments::of(&series).variance().unwrap();
            prop_assert!((ones.asymptotic_variance - variance).abs() <= 1e-9 * (1.0 + variance));
        }
    }
}
