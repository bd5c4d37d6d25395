//! Which of several systems is best.

use super::interval::{Interval, level, t_quantile};
use super::moments::Moments;
use super::paired::differences;
use super::sample::finite_moments;

/// A system against the best of the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AgainstBest {
    /// The system's mean.
    pub mean: f64,
    /// Interval of its mean less the smallest mean of the others; one end of it may be 0.
    pub interval: Interval,
    /// Whether it may be the best: false says that another one is, with the confidence of all.
    pub may_be_best: bool,
}

impl AgainstBest {
    /// Returns whether it is the best, with the confidence of all.
    pub fn is_best(&self) -> bool {
        self.interval.hi <= 0.0
    }
}

/// Compares each system with the best of the others at once (MCB); the smallest mean is best.
///
/// `systems` hold one value per run, run i of all under the same seed; negate a metric that is
/// better high. With x̄ᵢⱼ the mean of Xᵢ − Xⱼ and wᵢⱼ = t(1 − α/(k − 1), n − 1) · s(Xᵢ − Xⱼ)/√n,
/// system i may be best when x̄ᵢⱼ ≤ wᵢⱼ for all j. The interval of μᵢ less the smallest other μ is
/// from min(0, max (x̄ᵢⱼ − wᵢⱼ)) to max(0, max (x̄ᵢⱼ + wᵢⱼ)), both over all other j.
/// All k intervals hold together with `confidence`, however the systems depend on each other: the
/// k − 1 comparisons with the true best are paired, and Bonferroni's inequality covers them. That is
/// fewer than all pairs, and needs no sphericity as Nelson and Matejcik's does.
///
/// Differences are to be near normal. Do not trust it when runs are missing for some systems only
/// (leave these seeds out for all) or when systems were added because of how it came out.
///
/// None below two systems or two runs, when lengths differ, a value is not finite, or `confidence`
/// is not between 0 and 1.
///
/// Source: Hsu, "Constrained simultaneous confidence intervals for multiple comparisons with the
/// best", 1984, and "Multiple Comparisons", 1996; Edwards and Hsu, 1983; under common random
/// numbers: Nelson and Matejcik, "Using common random numbers for indifference-zone selection and
/// multiple comparisons in simulation", 1995.
pub fn against_best(systems: &[&[f64]], confidence: f64) -> Option<Vec<AgainstBest>> {
    let risk = 1.0 - level(confidence)?;
    let others = systems.len().checked_sub(1).filter(|others| *others > 0)? as f64;
    let mean = |values: &&[f64]| finite_moments(values)?.mean().filter(|mean| mean.is_finite());
    let means: Vec<f64> = systems.iter().map(mean).collect::<Option<_>>()?;
    let runs = systems.first()?.len();
    // Not below 0, which a confidence below a half would ask for.
    let t = t_quantile(1.0 - risk / others, runs.checked_sub(1)? as f64)?.max(0.0);
    let half = |a: &[f64], b: &[f64]| {
        Some(t * Moments::of(&differences(a, b)?).se()?).filter(|half| half.is_finite())
    };
    let row = |a: &&[f64]| systems.iter().map(|b| half(a, b)).collect::<Option<Vec<f64>>>();
    let halves: Vec<Vec<f64>> = systems.iter().map(row).collect::<Option<_>>()?;
    let k = systems.len();
    let gap = |i: usize, j: usize| means[i] - means[j];
    let rivals = |i: usize| (0..k).filter(move |j| *j != i);
    let of = |i: usize| {
        let lower = rivals(i).map(|j| gap(i, j) - halves[i][j]).fold(f64::NEG_INFINITY, f64::max);
        // Only a j that may be best bounds μᵢ less the best from above, but those that may not never
        // are the largest here: s(Xᵢ − Xⱼ) is at most s(Xᵢ − Xₖ) + s(Xₖ − Xⱼ) for the k that beat j.
        let upper = rivals(i).map(|j| gap(i, j) + halves[i][j]).fold(0.0, f64::max);
        let interval = Interval::finite(lower.min(0.0), upper)?;
        let may_be_best = rivals(i).all(|j| gap(i, j) <= halves[i][j]);
        Some(AgainstBest { mean: means[i], interval, may_be_best })
    };
    (0..k).map(of).collect()
}

/// The constants of Kim and Nelson's fully sequential selection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnConstants {
    /// η = ((2α / (k − 1))^(−2 / (n₀ − 1)) − 1) / 2.
    pub eta: f64,
    /// h² = 2 η (n₀ − 1).
    pub h_squared: f64,
}

impl KnConstants {
    /// Returns the constants for `systems` systems, `first` runs of each to begin with, and a
    /// probability `confidence` of ending with the best when it is ahead by the indifference zone.
    ///
    /// None below two systems or two first runs, or unless `confidence` is between 1/k (a blind
    /// choice) and 1.
    ///
    /// Source: Kim and Nelson, "A fully sequential procedure for indifference-zone selection in
    /// simulation", 2001, with c = 1.
    pub fn of(systems: usize, first: usize, confidence: f64) -> Option<Self> {
        let risk = 1.0 - level(confidence)?;
        if systems < 2 || first < 2 || confidence <= 1.0 / systems as f64 {
            return None;
        }
        let (others, df) = ((systems - 1) as f64, (first - 1) as f64);
        let eta = 0.5 * (libm::pow(2.0 * risk / others, -2.0 / df) - 1.0);
        let h_squared = 2.0 * eta * df;
        (eta > 0.0 && h_squared.is_finite()).then_some(Self { eta, h_squared })
    }

    /// Returns how far a system may be behind another in the sum of differences after `runs` runs
    /// before it is left out: max(0, δ/2 (h² S²/δ² − r)).
    ///
    /// `variance` is that of the differences of the first runs; common random numbers make it small,
    /// and are allowed. `indifference` δ is the difference that matters, in the metric's unit. A
    /// system i is out as soon as Σ (Xᵢ − Xⱼ) is above this for some j left (the smallest mean is
    /// best). None when `variance` is negative or not finite, or unless δ is above 0 and finite.
    pub fn allowance(&self, variance: f64, indifference: f64, runs: usize) -> Option<f64> {
        let sound = variance >= 0.0 && indifference > 0.0 && indifference.is_finite();
        let scaled = self.h_squared * variance / indifference;
        let allowance = (scaled - indifference * runs as f64) / 2.0;
        (sound && scaled.is_finite()).then(|| allowance.max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use crate::stats::t_interval;
    use crate::stats::tests::assert_digits;

    #[test]
    fn constants_are_the_references() {
        for (systems, first, confidence, eta, h_squared) in [
            (5, 20, 0.95, 0.237_238_315_535_193_7, 9.015_055_990_337_36),
            (10, 10, 0.95, 0.859_083_429_924_899_1, 15.463_501_738_648_183),
            (2, 10, 0.95, 0.334_050_268_600_029_3, 6.012_904_834_800_527),
            (10, 20, 0.9, 0.246_435_651_603_743_7, 9.364_554_760_942_26),
        ] {
            let constants = KnConstants::of(systems, first, confidence).unwrap();
            assert_digits(constants.eta, eta);
            assert_digits(constants.h_squared, h_squared);
        }
        for (systems, first, confidence) in [(1, 10, 0.9), (2, 1, 0.9), (2, 9, 0.5), (2, 9, 1.0)] {
            assert_eq!(KnConstants::of(systems, first, confidence), None);
        }
    }

    #[test]
    fn allowance_shrinks_with_the_runs_to_nothing() {
        let constants = KnConstants { eta: 0.25, h_squared: 9.0 };
        // 2/2 (9 · 4/4 − r) = 9 − r.
        assert_eq!(constants.allowance(4.0, 2.0, 5), Some(4.0));
        assert_eq!(constants.allowance(4.0, 2.0, 9), Some(0.0));
        assert_eq!(constants.allowance(4.0, 2.0, 50), Some(0.0));
        assert_eq!(constants.allowance(-1.0, 2.0, 5), None);
        assert_eq!(constants.allowance(1.0, 0.0, 5), None);
    }

    #[test]
    fn two_systems_are_one_paired_comparison() {
        // Differences −1, −2, −3: x̄ = −2, w = t(0.95, 2) / √3 = 2.919985580353724 / √3.
        let (a, b) = ([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]);
        let half = 2.919_985_580_353_724 / 3.0_f64.sqrt();
        let [first, second] = against_best(&[&a, &b], 0.95).unwrap()[..] else { panic!("two") };
        assert_digits(first.interval.lo, -2.0 - half);
        assert_digits(second.interval.hi, 2.0 + half);
        // 2 > 1.686: the second is behind for sure.
        assert!(first.is_best() && first.may_be_best && !second.may_be_best);
        assert_eq!((first.interval.hi, second.interval.lo), (0.0, 0.0));
        // The bound of one side is that of the t-interval at 90 %.
        let t = t_interval(&[1.0, 2.0, 3.0], 0.9).unwrap();
        assert_digits(second.interval.hi, t.hi);
    }

    #[test]
    fn equal_systems_may_all_be_best() {
        let (a, b, c) = ([1.0, 2.0, 4.0], [2.0, 1.0, 4.0], [4.0, 2.0, 1.0]);
        let all = against_best(&[&a, &b, &c], 0.95).unwrap();
        assert!(all.iter().all(|one| one.may_be_best && one.interval.contains(0.0)));
        assert_eq!(against_best(&[&a], 0.95), None);
        assert_eq!(against_best(&[&a, &b[..2]], 0.95), None);
        assert_eq!(against_best(&[&[], &[]], 0.95), None);
        assert_eq!(against_best(&[&a, &[1.0, f64::NAN, 2.0]], 0.95), None);
    }

    #[test]
    fn all_intervals_hold_together() {
        // Four means, two of them nearly best, under common random numbers: 1,000 times.
        let truth = [0.0, 0.1, 0.6, 2.0];
        let mut stream = Stream::new(19, "mcb", 0);
        let (mut together, mut kept) = (0, 0);
        for _ in 0..1_000 {
            let mut systems = vec![Vec::new(); truth.len()];
            for _ in 0..8 {
                let shared = 3.0 * stream.normal();
                for (values, mean) in systems.iter_mut().zip(truth) {
                    values.push(mean + shared + 0.5 * stream.normal());
                }
            }
            let slices: Vec<&[f64]> = systems.iter().map(Vec::as_slice).collect();
            let all = against_best(&slices, 0.9).unwrap();
            let against = [-0.1, 0.1, 0.6, 2.0];
            together +=
                usize::from(all.iter().zip(against).all(|(s, gap)| s.interval.contains(gap)));
            kept += usize::from(all[0].may_be_best);
            assert!(!all[3].may_be_best);
        }
        // At least 90 %, less three standard errors.
        assert!(together >= 870 && kept >= together, "{together} {kept}");
    }
}
