//! Has a change made a metric worse? The decision of a nightly check.

use super::interval::{Interval, level, t_half_width};
use super::lognormal::logarithms;
use super::multiple::holm;
use super::paired::differences;
use super::sample::finite_moments;
use super::t_test::TTest;

/// Which way a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// As a latency, a cost.
    Lower,
    /// As a throughput, an attainment.
    Higher,
}

/// The smallest change that matters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margin {
    /// As a share: 0.05 is 5 % more, or what 5 % more makes good again (1 / 1.05). At least 0.
    pub relative: f64,
    /// In the metric's unit, for metrics with values of 0 or below. At least 0.
    pub absolute: f64,
}

/// How a change is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Geometric mean of new / old, run by run: 1 is no change.
    Ratio,
    /// Mean of new − old, run by run: 0 is no change.
    Difference,
}

/// What a change of a metric looks like, before a decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateTest {
    /// Number of pairs of runs, at least 2.
    pub n: usize,
    /// How the change is measured.
    pub scale: Scale,
    /// The change, new against old.
    pub effect: f64,
    /// Its two-sided interval; none when the runs' changes are all equal.
    pub interval: Option<Interval>,
    /// Whether every run has its old value.
    pub unchanged: bool,
    /// p of "not worse by more than the margin", against "worse".
    pub p_worse: f64,
    /// p of "not better by more than the margin", against "better".
    pub p_better: f64,
    /// p of "changed by the margin or more", against "within the margin": the larger of two
    /// one-sided ones (TOST).
    pub p_equivalent: f64,
}

/// The decision on a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every run has its old value.
    Unchanged,
    /// Worse by more than the margin.
    Regression,
    /// Better by more than the margin.
    Improved,
    /// Changed by less than the margin, if at all.
    Equivalent,
    /// The runs do not say: more of them, or a wider margin.
    Inconclusive,
}

/// Measures the change from `old` to `new`, run i of both under the same seed.
///
/// On logarithms where all values are above zero (a latency that is 5 % worse at every load has one
/// effect), on differences else. With mean change m (positive is worse), standard error s and margin
/// δ (ln(1 + relative), or absolute), Student's t of n − 1 degrees tests (m − δ)/s for "worse",
/// (m + δ)/s for "better", and both for "equivalent". A change that is the same under every seed has
/// no spread, and is compared with the margin as it is: p is 0 or 1.
///
/// Changes are to be near normal. The margin is chosen before, as what users would notice; with a
/// margin of 0 every real change is a regression once there are enough runs, and nothing is ever
/// equivalent. Do not trust it on two or three pairs, least of all of small counts, whose changes may
/// be equal by chance.
///
/// None below two pairs, when lengths differ, a number is not finite, a margin is negative, or
/// `confidence` (of the interval) is not between 0 and 1.
///
/// Source: Schuirmann, "A comparison of the two one-sided tests procedure and the power approach",
/// 1987; common random numbers: Law, 5th edition, chapter 11.
pub fn gate_test(
    old: &[f64],
    new: &[f64],
    better: Better,
    margin: Margin,
    confidence: f64,
) -> Option<GateTest> {
    finite_moments(old).and(finite_moments(new))?;
    let logs = logarithms(old).zip(logarithms(new));
    let scale = if logs.is_some() { Scale::Ratio } else { Scale::Difference };
    let changes = match &logs {
        Some((old, new)) => differences(new, old)?,
        None => differences(new, old)?,
    };
    let moments = finite_moments(&changes)?;
    let (mean, se, df) = (moments.mean()?, moments.se()?, (changes.len() - 1) as f64);
    let half = t_half_width(se, df, confidence)?;
    let delta = match scale {
        Scale::Ratio => libm::log1p(margin.relative),
        Scale::Difference => margin.absolute,
    };
    let turned_back = |log: f64| match scale {
        Scale::Ratio => libm::exp(log),
        Scale::Difference => log,
    };
    let effect = Some(turned_back(mean)).filter(|effect| effect.is_finite())?;
    let known = half.is_finite() && delta.is_finite();
    if !known || margin.relative < 0.0 || margin.absolute < 0.0 {
        return None;
    }
    let worse = match better {
        Better::Lower => mean,
        Better::Higher => -mean,
    };
    // The p-value against "above the claim"; mirrored, the one against "below".
    let p_above = |estimate: f64, claim: f64| match TTest::of(estimate, claim, se, df) {
        Some(test) => test.p_above(),
        None if estimate > claim => 0.0,
        None => 1.0,
    };
    let spread = Interval::finite(turned_back(mean - half), turned_back(mean + half));
    Some(GateTest {
        n: changes.len(),
        scale,
        effect,
        interval: spread.filter(|_| se > 0.0),
        unchanged: old.iter().zip(new).all(|(old, new)| old - new == 0.0),
        p_worse: p_above(worse, delta),
        p_better: p_above(-worse, delta),
        p_equivalent: p_above(-worse, -delta).max(p_above(worse, -delta)),
    })
}

/// Decides on all metrics of one check together, at a level of `risk` (0.05 is usual).
///
/// A regression is a Holm-adjusted `p_worse` below it, an improvement a Holm-adjusted `p_better`:
/// the probability of any false regression among all metrics is at most `risk`. "Equivalent" is not
/// adjusted: it is decided per metric, and the claim that all are needs none (an
/// intersection-union test).
///
/// None when `risk` is not between 0 and 1.
///
/// Source: Holm, 1979; Berger, "Multiparameter hypothesis testing and acceptance sampling", 1982.
pub fn verdicts(tests: &[GateTest], risk: f64) -> Option<Vec<Verdict>> {
    let risk = level(risk)?;
    let adjusted = |p: fn(&GateTest) -> f64| holm(&tests.iter().map(p).collect::<Vec<_>>());
    let (worse, better) = (adjusted(|test| test.p_worse)?, adjusted(|test| test.p_better)?);
    let decide = |((test, worse), better): ((&GateTest, f64), f64)| {
        if test.unchanged {
            Verdict::Unchanged
        } else if worse < risk {
            Verdict::Regression
        } else if better < risk {
            Verdict::Improved
        } else if test.p_equivalent < risk {
            Verdict::Equivalent
        } else {
            Verdict::Inconclusive
        }
    };
    Some(tests.iter().zip(worse).zip(better).map(decide).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::assert_digits;
    use proptest::prelude::*;

    const OLD: [f64; 8] = [200.0, 210.0, 190.0, 205.0, 220.0, 198.0, 207.0, 193.0];
    const NEW: [f64; 8] = [215.0, 224.0, 207.0, 218.0, 233.0, 214.0, 220.0, 210.0];

    fn test(old: &[f64], new: &[f64], better: Better, relative: f64) -> GateTest {
        gate_test(old, new, better, Margin { relative, absolute: 0.5 }, 0.95).unwrap()
    }

    fn verdict(test: GateTest) -> Verdict {
        verdicts(&[test], 0.05).unwrap()[0]
    }

    #[test]
    fn seven_percent_is_a_regression_by_five_and_open_by_eight() {
        let five = test(&OLD, &NEW, Better::Lower, 0.05);
        assert_eq!((five.n, five.scale, five.unchanged), (8, Scale::Ratio, false));
        assert_digits(five.effect, 1.073_109_621_230_426);
        assert_digits(five.interval.map(|interval| interval.lo), 1.063_211_824_991_462_4);
        assert_digits(five.interval.map(|interval| interval.hi), 1.083_099_559_381_364);
        assert_digits(five.p_worse, 0.000_427_466_925_266_163_4);
        assert_eq!(verdict(five), Verdict::Regression);
        let none = test(&OLD, &NEW, Better::Lower, 0.0);
        assert_digits(none.p_worse, 2.013_451_748_069_673_7e-7);
        let eight = test(&OLD, &NEW, Better::Lower, 0.08);
        assert_digits(eight.p_worse, 0.926_787_944_096_291_2);
        // 7.3 % is below 8 %, but not surely so: p = 1 − 0.9268.
        assert_digits(eight.p_equivalent, 1.0 - 0.926_787_944_096_291_2);
        assert_eq!(verdict(eight), Verdict::Inconclusive);
    }

    #[test]
    fn t_statistics_are_the_references() {
        let logs = differences(&logarithms(&NEW).unwrap(), &logarithms(&OLD).unwrap()).unwrap();
        let moments = finite_moments(&logs).unwrap();
        let t = |claim| {
            TTest::of(moments.mean().unwrap(), claim, moments.se().unwrap(), 7.0).unwrap().t
        };
        assert_digits(t(0.0), 18.006_094_558_312_817);
        assert_digits(t(libm::log(1.05)), 5.555_519_607_337_255);
        assert_digits(t(libm::log(1.08)), -1.633_298_489_083_733_2);
        assert_digits(moments.sd(), 0.011_083_779_207_066_125);
    }

    #[test]
    fn sides_follow_which_way_is_better() {
        assert_eq!(verdict(test(&OLD, &NEW, Better::Higher, 0.05)), Verdict::Improved);
        assert_eq!(verdict(test(&NEW, &OLD, Better::Lower, 0.05)), Verdict::Improved);
        assert_eq!(verdict(test(&NEW, &OLD, Better::Higher, 0.05)), Verdict::Regression);
        assert_eq!(verdict(test(&OLD, &NEW, Better::Lower, 0.1)), Verdict::Equivalent);
        assert_eq!(verdict(test(&OLD, &OLD, Better::Lower, 0.1)), Verdict::Unchanged);
    }

    #[test]
    fn zeros_are_compared_by_difference() {
        let (old, new) = ([0.0, 1.0, 2.0, 0.0, 1.0], [2.0, 3.5, 4.0, 2.1, 3.2]);
        let counts = test(&old, &new, Better::Lower, 0.05);
        assert_eq!(counts.scale, Scale::Difference);
        // 2, 2.5, 2, 2.1, 2.2: 10.8 / 5.
        assert_digits(counts.effect, 2.16);
        assert_eq!(verdict(counts), Verdict::Regression);
        assert_eq!(verdict(test(&new, &old, Better::Lower, 0.05)), Verdict::Improved);
    }

    #[test]
    fn a_change_without_spread_is_compared_as_it_is() {
        let steady = |old: f64, new: f64| test(&[old; 3], &[new; 3], Better::Lower, 0.05);
        assert_eq!(verdict(steady(100.0, 106.0)), Verdict::Regression);
        assert_eq!(verdict(steady(100.0, 104.0)), Verdict::Equivalent);
        assert_eq!(verdict(steady(100.0, 90.0)), Verdict::Improved);
        assert_eq!(steady(100.0, 106.0).interval, None);
        let equal = test(&[0.0, 1.0, 5.0], &[1.0, 2.0, 6.0], Better::Lower, 0.05);
        assert_eq!((equal.effect, verdict(equal)), (1.0, Verdict::Regression));
    }

    #[test]
    fn one_of_many_metrics_needs_more() {
        let shift = |by: f64| {
            let noise = [-1.0, 1.0, -0.6, 0.4, 0.9, -0.7];
            let new: Vec<f64> = noise.iter().map(|noise| 100.0 + by + noise).collect();
            test(&[100.0, 100.1, 99.9, 100.0, 100.2, 99.8], &new, Better::Lower, 0.0)
        };
        let one = shift(1.0);
        assert_eq!(verdict(one), Verdict::Regression);
        let many = [one, shift(0.0), shift(0.1), shift(0.05), shift(0.02)];
        let many = verdicts(&many, 0.05).unwrap();
        assert_eq!(many[0], Verdict::Inconclusive);
        assert_eq!(verdicts(&[], 0.05), Some(Vec::new()));
        assert_eq!(verdicts(&[one], 1.0), None);
    }

    #[test]
    fn what_is_not_paired_gives_none() {
        let margin = Margin { relative: 0.05, absolute: 1.0 };
        let gate =
            |old: &[f64], new: &[f64], margin| gate_test(old, new, Better::Lower, margin, 0.95);
        assert_eq!(gate(&[1.0], &[2.0], margin), None);
        assert_eq!(gate(&[1.0, 2.0], &[2.0, 3.0, 4.0], margin), None);
        assert_eq!(gate(&[1.0, 2.0], &[2.0, f64::NAN], margin), None);
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            assert_eq!(gate(&OLD, &NEW, Margin { relative: bad, absolute: 1.0 }), None);
        }
    }

    proptest! {
        #[test]
        fn no_change_is_both_worse_and_better(
            pairs in proptest::collection::vec((0.1..10.0_f64, 0.1..10.0_f64), 2..12),
            relative in 0.0..0.5_f64,
        ) {
            let (old, new): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let one = test(&old, &new, Better::Lower, relative);
            prop_assert!(one.p_worse + one.p_better >= 1.0 - 1e-12);
            // Swapped sides swap the claims, and the ratio turns over.
            let back = test(&new, &old, Better::Lower, relative);
            prop_assert!((back.p_better - one.p_worse).abs() < 1e-9);
            prop_assert!((back.effect * one.effect - 1.0).abs() < 1e-9);
            let higher = test(&old, &new, Better::Higher, relative);
            prop_assert_eq!((higher.p_worse, higher.p_better), (one.p_better, one.p_worse));
        }
    }
}
