//! What holds of all intervals and tests, and of samples that nobody should send.

use proptest::prelude::*;

use super::*;
use crate::rng::Stream;

/// Fails unless `got` has the ten first digits of `expected`.
#[track_caller]
pub(super) fn assert_digits(got: impl Into<Option<f64>>, expected: f64) {
    let got: Option<f64> = got.into();
    let agrees = got.is_some_and(|got| (got - expected).abs() <= 1e-10 * expected.abs());
    assert!(agrees, "{got:?}, not {expected}");
}

/// Numbers of all kinds, the bad ones often.
fn hostile() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -10.0..10.0_f64,
        1 => prop::num::f64::ANY,
        1 => prop::sample::select(vec![
            0.0, -0.0, 1.0, 2.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN,
            f64::MIN_POSITIVE, 5e-324, 1e-300, 1e300, 0.95,
        ]),
    ]
}

fn hostile_samples() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    let sample = || prop::collection::vec(hostile(), 0..24);
    prop_oneof![
        (sample(), sample()),
        prop::collection::vec((hostile(), hostile()), 0..24).prop_map(|p| p.into_iter().unzip()),
    ]
}

/// No end of an interval is unknown.
fn known(interval: impl Into<Option<Interval>>) {
    if let Some(Interval { lo, hi }) = interval.into() {
        assert!(lo.is_finite() && hi.is_finite() && lo <= hi, "{lo} to {hi}");
    }
}

fn take_in_samples(a: &[f64], b: &[f64], c: f64) {
    known(t_interval(a, c));
    assert!(
        t_lower_bound(a, c).zip(t_upper_bound(a, c)).is_none_or(|(lo, hi)| lo <= hi || c < 0.5)
    );
    known(geometric_mean(a, c).map(|mean| mean.interval));
    known(lognormal_mean(a, c).map(|mean| mean.interval));
    let pairs = paired(a, b, c);
    known(pairs.and_then(|pairs| pairs.interval));
    known(paired_ratio(a, b, c).and_then(|ratio| ratio.interval));
    known(welch(a, b, c).map(|welch| welch.interval));
    let ranks = wilcoxon(a);
    assert!(ranks.is_none_or(|ranks| (0.0..=1.0).contains(&ranks.p)));
    for better in [Better::Lower, Better::Higher] {
        let gate = gate_test(a, b, better, Margin { relative: c, absolute: c }, 0.95);
        known(gate.and_then(|gate| gate.interval));
        for p in gate.iter().flat_map(|gate| [gate.p_worse, gate.p_better, gate.p_equivalent]) {
            assert!((0.0..=1.0).contains(&p), "{gate:?}");
        }
        assert!(gate.is_none_or(|gate| verdicts(&[gate], 0.05).is_some()));
    }
    let controls = [Control { values: b, expected: c }, Control { values: a, expected: 1.0 }];
    for count in 0..=2 {
        known(controlled(a, &controls[..count]).and_then(|mean| mean.interval(0.95)));
    }
    known(Jackknife::of(a, |values| quantile(values, 0.5)).and_then(|one| one.interval(c)));
    let pairs: Vec<(f64, f64)> = a.iter().copied().zip(b.iter().copied()).collect();
    known(jackknife_ratio(&pairs).and_then(|ratio| ratio.interval(c)));
    known(pooled_quantile(&[a, b, a], c, 0.95).map(|pooled| pooled.interval));
    assert!(against_best(&[a, b], c).is_none_or(|all| all.len() == 2));
    for drawn in [
        Bootstrap::drawn(a, |values| Moments::of(values).mean(), 30, 1),
        Bootstrap::enumerated(&a[..a.len().min(4)], |values| quantile(values, 0.5)),
    ] {
        let Some(drawn) = drawn else { continue };
        known(drawn.percentile(c));
        known(drawn.bca(c));
        assert!(drawn.se().is_none_or(f64::is_finite));
    }
}

fn take_in_series(series: &[f64], other: &[f64], c: f64, n: usize) {
    let smooth = moving_average(series, n);
    assert!(smooth.is_none_or(|smooth| smooth.len() == series.len() - n));
    assert!(mser5(series).is_none_or(|mser| mser.truncate <= series.len() / 2));
    assert!(mean_series(&[series, other]).is_none_or(|mean| mean.len() <= other.len()));
    if let Some(batches) = BatchMeans::of(series, n) {
        known(batches.interval(c));
        assert!(batches.independence().is_none_or(|test| (0.0..=1.0).contains(&test.p)));
    }
    known(OverlappingBatchMeans::of(series, n).and_then(|m| m.interval(c)).map(|m| m.interval));
    assert!(lag1_correlation(series).is_none_or(f64::is_finite));
    assert!(relative_stop(series, n, c, 0.95).is_none_or(|stop| stop <= series.len()));
    assert!(absolute_stop(series, c, 0.95).is_none_or(|stop| stop <= series.len()));
    assert!(two_stage(series, c, 0.95).is_none_or(|stop| stop >= series.len() as u64));
    assert!(isotonic(series, other).is_none_or(|fit| fit.len() == series.len()));
    let points: Vec<BandPoint> = (0..series.len().min(other.len()))
        .map(|i| BandPoint { rate: i as f64, mean: series[i], half_width: other[i].abs() })
        .collect();
    if let Some(BandCrossing { estimate: Crossing::At(rate), .. }) = band_crossing(&points, c) {
        assert!((0.0..=points.len() as f64).contains(&rate));
    }
    assert!(holm(series).is_none_or(|adjusted| adjusted.len() == series.len()));
    assert!(bonferroni(series).is_none_or(|adjusted| adjusted.len() == series.len()));
}

fn take_in_numbers(a: f64, b: f64, n: u64) {
    for (successes, trials) in [(n, n), (n / 2, n), (0, n), (n, 1), (1, 1 << 12)] {
        known(wilson(successes, trials, a));
        known(clopper_pearson(successes, trials, a));
    }
    let few = usize::try_from(n % 1_000).unwrap_or_default();
    assert!(order_ranks(few, a, b).is_none_or(|ranks| (0.0..=1.0).contains(&ranks.coverage)));
    assert!(fewest_values(a, b).zip(fewest_values_above(a, b)).is_none_or(|(n, m)| n >= m));
    assert!(simultaneous_confidence(a, few).is_none_or(|c| c >= a - 1e-15));
    assert!(t_test_power(a, few as f64, b).is_none_or(|power| (0.0..=1.0).contains(&power)));
    assert!(runs_for_power(a, b, 0.8).is_none_or(|runs| runs >= 2.0));
    assert!(detectable_effect(a, few, b, 0.8).is_none_or(f64::is_finite));
    assert!(runs_for_effect(a, b, 0.05, 0.8).is_none_or(|runs| runs >= 2));
    let constants = KnConstants::of(few, few, a);
    assert!(constants.is_none_or(|kn| kn.allowance(a, b, few).is_none_or(|sum| sum >= 0.0)));
}

proptest! {
    #[test]
    fn nothing_panics_and_no_unknown_comes_out(
        (a, b) in hostile_samples(), c in hostile(), n in 0..30_usize,
    ) {
        take_in_samples(&a, &b, c);
        take_in_samples(&a, &b, 0.95);
        take_in_series(&a, &b, c, n);
        take_in_series(&a, &vec![1.0; a.len()], 0.95, n);
    }

    #[test]
    fn no_number_panics(a in hostile(), b in hostile(), n in prop_oneof![any::<u64>(), 0..50_u64]) {
        take_in_numbers(a, b, n);
        take_in_numbers(0.9, b, n);
        take_in_numbers(a, 0.9, n);
    }

    #[test]
    fn intervals_move_and_grow_with_their_values(
        pairs in prop::collection::vec((1.0..10.0_f64, 1.0..10.0_f64), 4..20),
        shift in -50.0..50.0_f64, scale in 0.01..100.0_f64,
    ) {
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let moved = |values: &[f64]| -> Vec<f64> {
            values.iter().map(|value| scale * value + shift).collect()
        };
        let near = |got: f64, expected: f64| {
            (got - expected).abs() <= 1e-9 * (1.0 + scale) * (100.0 + shift.abs())
        };
        let same = |got: Interval, from: Interval, shift: f64| {
            near(got.lo, scale * from.lo + shift) && near(got.hi, scale * from.hi + shift)
        };
        let (x, y) = (moved(&a), moved(&b));
        prop_assert!(same(t_interval(&x, 0.95).unwrap(), t_interval(&a, 0.95).unwrap(), shift));
        let (there, here) = (welch(&x, &y, 0.95).unwrap(), welch(&a, &b, 0.95).unwrap());
        prop_assert!(same(there.interval, here.interval, 0.0));
        let (there, here) = (paired(&x, &y, 0.95).unwrap(), paired(&a, &b, 0.95).unwrap());
        prop_assert!(same(there.interval.unwrap(), here.interval.unwrap(), 0.0));
        prop_assert!((there.correlation.unwrap() - here.correlation.unwrap()).abs() < 1e-7);
        let drawn = |values: &[f64]| {
            Bootstrap::drawn(values, |values| quantile(values, 0.5), 99, 7).unwrap()
        };
        let (there, here) = (drawn(&x).percentile(0.9), drawn(&a).percentile(0.9));
        prop_assert!(same(there.unwrap(), here.unwrap(), shift));
        let control = |values: &[f64], by: &[f64], expected| {
            controlled(values, &[Control { values: by, expected }]).unwrap()
        };
        let (there, here) = (control(&x, &y, scale * 5.0 + shift), control(&a, &b, 5.0));
        prop_assert!(near(there.estimate, scale * here.estimate + shift));
        prop_assert!(near(there.se, scale * here.se));
        let all = |a: &[f64], b: &[f64]| against_best(&[a, b], 0.95).unwrap();
        let (there, here) = (all(&x, &y), all(&a, &b));
        prop_assert!(same(there[0].interval, here[0].interval, 0.0));
        // Scaled alone, a ratio and a geometric mean keep theirs.
        let scaled = |values: &[f64]| -> Vec<f64> { values.iter().map(|v| scale * v).collect() };
        let (there, here) = (paired_ratio(&scaled(&a), &scaled(&b), 0.95), paired_ratio(&a, &b, 0.95));
        prop_assert!((there.unwrap().ratio / here.unwrap().ratio - 1.0).abs() < 1e-9);
        let (there, here) = (lognormal_mean(&scaled(&a), 0.9), lognormal_mean(&a, 0.9));
        prop_assert!((there.unwrap().estimate / here.unwrap().estimate / scale - 1.0).abs() < 1e-9);
    }

    #[test]
    fn intervals_contain_their_estimates_and_grow_with_confidence(
        pairs in prop::collection::vec((1.0..10.0_f64, 1.0..10.0_f64), 4..20),
        confidence in 0.5..0.9_f64,
    ) {
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        let runs: Vec<&[f64]> = a.chunks(2).collect();
        let intervals = |c: f64| {
            let (cox, geometric) = (lognormal_mean(&a, c).unwrap(), geometric_mean(&a, c).unwrap());
            let pooled = pooled_quantile(&runs, 0.5, c).unwrap();
            let ratio = jackknife_ratio(&pairs).unwrap();
            let pair = paired(&a, &b, c).unwrap();
            let control = controlled(&a, &[Control { values: &b, expected: 5.0 }]).unwrap();
            [
                (Moments::of(&a).mean().unwrap(), t_interval(&a, c).unwrap()),
                (cox.estimate, cox.interval),
                (geometric.estimate, geometric.interval),
                (pooled.estimate, pooled.interval),
                (ratio.corrected, ratio.interval(c).unwrap()),
                (pair.mean, pair.interval.unwrap()),
                (welch(&a, &b, c).unwrap().difference, welch(&a, &b, c).unwrap().interval),
                (control.estimate, control.interval(c).unwrap()),
            ]
        };
        for ((estimate, narrow), (_, wide)) in intervals(confidence).iter().zip(intervals(0.95)) {
            prop_assert!(narrow.contains(*estimate));
            prop_assert!(wide.lo <= narrow.lo && narrow.hi <= wide.hi);
        }
    }
}

#[test]
fn t_covers_normal_means_as_often_as_it_says() {
    // 4,000 samples of 10: four standard errors of a coverage of 95 % are 1.4 %.
    let mut stream = Stream::new(2, "coverage", 0);
    let mut covered = 0;
    for _ in 0..4_000 {
        let values: Vec<f64> = (0..10).map(|_| 3.0 + 2.0 * stream.normal()).collect();
        covered += usize::from(t_interval(&values, 0.95).unwrap().contains(3.0));
    }
    assert!((3_745..=3_855).contains(&covered), "{covered}");
}

#[test]
fn a_shared_noise_is_taken_off_by_pairs_alone() {
    let mut stream = Stream::new(4, "pairs", 0);
    let (mut pairs_see, mut welch_sees) = (0, 0);
    for _ in 0..200 {
        let shared: Vec<f64> = (0..8).map(|_| 10.0 * stream.normal()).collect();
        let a: Vec<f64> = shared.iter().map(|x| x + stream.normal() + 2.0).collect();
        let b: Vec<f64> = shared.iter().map(|x| x + stream.normal()).collect();
        pairs_see += usize::from(paired(&a, &b, 0.95).unwrap().test.unwrap().p_above() < 0.05);
        welch_sees += usize::from(welch(&a, &b, 0.95).unwrap().test.p_above() < 0.05);
    }
    assert!(pairs_see > 170 && welch_sees < 30, "{pairs_see} {welch_sees}");
}
