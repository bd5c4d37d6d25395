//! Where a run has forgotten how it began.

use super::moments::Moments;

/// Observations in a batch of MSER-5.
const BATCH: usize = 5;

/// Where the warm-up ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Mser {
    /// Observations to leave out, a multiple of the batch.
    pub truncate: usize,
    /// Whether the rest is enough: false when the best cut is the last one that was tried, half of
    /// the run. Then the run is too short.
    pub sufficient: bool,
    /// Mean of all observations after the cut.
    pub mean: f64,
    /// The statistic with 0, 1, 2 … batches left out, up to half of them.
    pub statistics: Vec<f64>,
}

/// Finds the warm-up of `series` by MSER-5: the cut with the smallest standard error of what is
/// left.
///
/// The series becomes means of batches of five, Z, of which the first d are left out; d makes
/// Σ (Zⱼ − mean)² / (N − d)² over the rest smallest, for d up to N / 2, the first such d of equals.
/// An incomplete last batch counts in `mean` only.
///
/// Decide one cut per cell: average the series over the runs first ([`mean_series`]). A cut per run
/// that follows its own data biases the mean and breaks the pairing of runs. A run that grows to
/// its end has no steady state; `sufficient` tells of most such cases. Below some fifty
/// observations the cut is mostly noise.
///
/// None below two batches or when an observation is not finite.
///
/// Source: White, "An effective truncation heuristic", 1997; White, Cobb and Spratt, "A comparison
/// of five steady-state truncation heuristics", 2000.
pub fn mser5(series: &[f64]) -> Option<Mser> {
    let (batches, _) = series.as_chunks::<BATCH>();
    if batches.len() < 2 || !series.iter().all(|value| value.is_finite()) {
        return None;
    }
    let mut rest = Moments::default();
    // From the end, so that each cut adds one batch to what is left.
    let mut statistics: Vec<f64> = Vec::with_capacity(batches.len());
    for batch in batches.iter().rev() {
        rest.push(batch.iter().sum::<f64>() / BATCH as f64);
        statistics.push(rest.population_variance()? / rest.n() as f64);
    }
    statistics.reverse();
    let most = batches.len() / 2;
    statistics.truncate(most + 1);
    let cut = (0..=most).min_by(|a, b| statistics[*a].total_cmp(&statistics[*b]))?;
    let mean = Moments::of(&series[cut * BATCH..]).mean()?;
    let known = mean.is_finite() && statistics[cut].is_finite();
    known.then_some(Mser { truncate: cut * BATCH, sufficient: cut < most, mean, statistics })
}

/// Averages the series of several runs, observation by observation, up to the end of the shortest.
///
/// Of no series, or when an observation up to there is not finite, it is none.
pub fn mean_series(series: &[&[f64]]) -> Option<Vec<f64>> {
    let length = series.iter().map(|run| run.len()).min()?;
    let mean = |index: usize| {
        let at: Vec<f64> = series.iter().map(|run| run[index]).collect();
        Moments::of(&at).mean().filter(|mean| mean.is_finite())
    };
    (0..length).map(mean).collect()
}

/// Smooths `series` for Welch's plot: the mean of each observation and the `window` on either side.
///
/// Near the beginning, where there are fewer than `window` before it, as many are taken on either
/// side as there are; the last `window` observations have no mean. Draw it of [`mean_series`] of at
/// least five runs, and choose by eye where it becomes level; a window up to a quarter of the
/// series is usual.
///
/// None when the series is not longer than the window, or an observation is not finite.
///
/// Source: Welch, "The statistical analysis of simulation results", 1983; Law, 5th edition, section
/// 9.5.1.
pub fn moving_average(series: &[f64], window: usize) -> Option<Vec<f64>> {
    let kept = series.len().checked_sub(window).filter(|kept| *kept > 0)?;
    let mean = Moments::of(series).mean()?;
    // Sums of deviations stay small, so that their differences keep their digits.
    let mut sums = Vec::with_capacity(series.len() + 1);
    let mut sum = 0.0;
    sums.push(sum);
    for value in series {
        sum += value - mean;
        sums.push(sum);
    }
    let smooth = |index: usize| {
        let side = index.min(window);
        let (from, to) = (index - side, index + side + 1);
        mean + (sums[to] - sums[from]) / (to - from) as f64
    };
    sum.is_finite().then(|| (0..kept).map(smooth).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use crate::stats::tests::assert_digits;
    use proptest::prelude::*;

    const SERIES: [f64; 50] = [
        20.0, 18.0, 17.0, 15.0, 14.0, 12.0, 11.0, 10.0, 9.5, 9.0, 7.0, 6.5, 6.0, 6.2, 5.8, 5.1,
        4.9, 5.3, 5.0, 4.8, 5.2, 5.1, 4.7, 5.0, 5.3, 4.9, 5.1, 5.0, 5.2, 4.8, 5.0, 4.9, 5.2, 5.1,
        4.9, 5.0, 5.3, 4.8, 5.1, 4.9, 5.2, 4.9, 5.0, 5.1, 4.8, 5.1, 5.0, 4.9, 5.2, 5.0,
    ];

    /// The statistic of `SERIES` with 0 to 5 batches left out, as pymser has it.
    const STATISTICS: [f64; 6] = [
        1.345_790_400_000_000_3,
        0.305_048_010_973_936_97,
        0.022_342_968_749_999_98,
        5.597_667_638_483_943_5e-5,
        7.592_592_592_592_564e-5,
        4.479_999_999_999_922_5e-5,
    ];

    #[test]
    fn fifty_observations_are_pymsers() {
        let mser = mser5(&SERIES).unwrap();
        assert_eq!((mser.truncate, mser.sufficient), (25, false));
        assert_digits(mser.mean, 5.016);
        assert_eq!(mser.statistics.len(), 6);
        for (statistic, expected) in mser.statistics.iter().zip(STATISTICS) {
            assert_digits(*statistic, expected);
        }
    }

    #[test]
    fn a_decay_is_cut_where_noise_takes_over() {
        // 40 exp(−i / 10) is below the noise of 1 from observation 37 on.
        let mut stream = Stream::new(5, "decay", 0);
        let decay = |i: i32| 40.0 * libm::exp(f64::from(-i) / 10.0) + stream.normal();
        let series: Vec<f64> = (0..400).map(decay).collect();
        let mser = mser5(&series).unwrap();
        assert!(mser.sufficient && (20..=70).contains(&mser.truncate), "{}", mser.truncate);
    }

    #[test]
    fn a_level_series_loses_nothing() {
        let mser = mser5(&[3.0; 23]).unwrap();
        assert_eq!((mser.truncate, mser.sufficient, mser.mean), (0, true, 3.0));
        assert_eq!(mser5(&[3.0; 9]), None);
        assert_eq!(mser5(&[f64::NAN; 20]), None);
    }

    #[test]
    fn windows_shrink_at_the_beginning() {
        let smooth = moving_average(&SERIES[..8], 2).unwrap();
        let expected = [20.0, 18.333_333_333_333_332, 16.8, 15.2, 13.8, 12.4];
        assert_eq!(smooth.len(), expected.len());
        smooth.iter().zip(expected).for_each(|(smooth, mean)| assert_digits(*smooth, mean));
        let same = moving_average(&SERIES, 0).unwrap();
        same.iter().zip(SERIES).for_each(|(smooth, value)| assert_digits(*smooth, value));
        assert_eq!(moving_average(&[1.0, 2.0], 2), None);
        assert_eq!(moving_average(&[1.0, f64::NAN], 0), None);
    }

    #[test]
    fn series_are_averaged_to_the_shortest() {
        assert_eq!(mean_series(&[&[1.0, 5.0, 9.0], &[3.0, 7.0]]), Some(vec![2.0, 6.0]));
        assert_eq!(mean_series(&[]), None);
        assert_eq!(mean_series(&[&[1.0], &[]]), Some(Vec::new()));
        assert_eq!(mean_series(&[&[f64::INFINITY]]), None);
    }

    proptest! {
        #[test]
        fn the_cut_is_that_of_the_formula(
            series in proptest::collection::vec(-1e3..1e3_f64, 10..120),
        ) {
            let mser = mser5(&series).unwrap();
            let batches: Vec<f64> =
                series.chunks_exact(5).map(|batch| batch.iter().sum::<f64>() / 5.0).collect();
            for (d, statistic) in mser.statistics.iter().enumerate() {
                let rest = &batches[d..];
                let n = rest.len() as f64;
                let mean = rest.iter().sum::<f64>() / n;
                let squares: f64 = rest.iter().map(|z| (z - mean) * (z - mean)).sum();
                prop_assert!((statistic - squares / (n * n)).abs() <= 1e-9 * (1.0 + statistic));
                prop_assert!(mser.statistics[mser.truncate / 5] <= *statistic);
            }
        }
    }
}
