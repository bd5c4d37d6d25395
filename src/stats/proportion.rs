//! Intervals of a proportion.

use super::binomial::Binomial;
use super::interval::{Interval, level};
use super::normal::normal_quantile;

/// Returns Wilson's score interval of the probability behind `successes` of `trials`.
///
/// (p̂ + z²/2n ± z √(p̂ (1 − p̂)/n + z²/4n²)) / (1 + z²/n). It covers about its confidence on
/// average also near 0 and 1, where p̂ ± z·se is no interval at all; for single probabilities it may
/// cover a little less.
///
/// For independent trials: requests of one run share queues, so the attainment of a run is one
/// value, and over runs [`t_interval`](super::t_interval) is right.
///
/// None without trials, with more successes than trials, or when `confidence` is not between 0 and
/// 1.
///
/// Source: Wilson, 1927; Brown, Cai and `DasGupta`, "Interval estimation for a binomial proportion",
/// 2001.
pub fn wilson(successes: u64, trials: u64, confidence: f64) -> Option<Interval> {
    let z = normal_quantile(0.5 + level(confidence)? / 2.0)?;
    if trials == 0 || successes > trials {
        return None;
    }
    let n = trials as f64;
    let share = successes as f64 / n;
    let z_squared = z * z / n;
    let middle = share + z_squared / 2.0;
    let half = z * (share * (1.0 - share) / n + z_squared / (4.0 * n)).sqrt();
    let end = |end: f64| (end / (1.0 + z_squared)).clamp(0.0, 1.0);
    // At the ends rounding must not cut the proportion off.
    let lo = if successes == 0 { 0.0 } else { end(middle - half) };
    let hi = if successes == trials { 1.0 } else { end(middle + half) };
    Some(Interval { lo, hi })
}

/// Returns Clopper and Pearson's exact interval of the probability behind `successes` of `trials`.
///
/// Its ends are the probabilities at which so many successes or more, and so few or fewer, have the
/// probability (1 − confidence) / 2. It covers at least its confidence for every probability, mostly
/// more. For independent trials, as [`wilson`]; none as there, and above four thousand million
/// trials.
///
/// Source: Clopper and Pearson, Biometrika 1934.
pub fn clopper_pearson(successes: u64, trials: u64, confidence: f64) -> Option<Interval> {
    let tail = (1.0 - level(confidence)?) / 2.0;
    if trials == 0 || successes > trials {
        return None;
    }
    let lo = match successes {
        0 => 0.0,
        _ => crossing(|p| Some(Binomial::new(trials, p)?.at_least(successes) > tail))?,
    };
    let hi = match trials - successes {
        0 => 1.0,
        _ => crossing(|p| Some(Binomial::new(trials, p)?.at_most(successes) < tail))?,
    };
    Some(Interval { lo, hi })
}

/// Halves 0 to 1 down to the number above which `above` holds.
fn crossing(above: impl Fn(f64) -> Option<bool>) -> Option<f64> {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if above(middle)? { high = middle } else { low = middle }
    }
    Some(high)
}

/// Enough for all digits of one success in four thousand million trials.
const HALVINGS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::assert_digits;
    use proptest::prelude::*;

    #[test]
    fn attainments_are_statsmodels() {
        let score = wilson(990, 1_000, 0.95).unwrap();
        assert_digits(score.lo, 0.981_690_531_129_685_3);
        assert_digits(score.hi, 0.994_559_245_554_470_7);
        let exact = clopper_pearson(990, 1_000, 0.95).unwrap();
        assert_digits(exact.lo, 0.981_686_756_944_887_5);
        assert_digits(exact.hi, 0.995_194_489_308_950_9);
    }

    #[test]
    fn all_of_twenty_leave_a_chance_of_less() {
        let score = wilson(20, 20, 0.95).unwrap();
        assert_digits(score.lo, 0.838_874_841_947_180_4);
        assert_digits(score.hi, 1.0);
        let exact = clopper_pearson(20, 20, 0.95).unwrap();
        assert_digits(exact.lo, 0.831_566_529_016_914_6);
        assert_digits(exact.hi, 1.0);
        // 0.025^(1/20), the probability of which the twentieth power is 0.025.
        assert_digits(exact.lo, libm::pow(0.025, 0.05));
    }

    #[test]
    fn no_trials_have_no_proportion() {
        for (successes, trials, confidence) in [(0, 0, 0.95), (2, 1, 0.95), (1, 2, 1.0)] {
            assert_eq!(wilson(successes, trials, confidence), None);
            assert_eq!(clopper_pearson(successes, trials, confidence), None);
        }
        assert_eq!(clopper_pearson(1, u64::MAX, 0.95), None);
    }

    proptest! {
        #[test]
        fn intervals_contain_the_share_and_mirror(
            trials in 1..2_000_u64, share in 0.0..=1.0_f64, confidence in 0.5..0.999_f64,
        ) {
            let successes = (0..=trials).take_while(|k| *k as f64 <= share * trials as f64).count();
            let successes = successes as u64 - 1;
            for interval in [wilson, clopper_pearson] {
                let here = interval(successes, trials, confidence).unwrap();
                prop_assert!(here.contains(successes as f64 / trials as f64));
                prop_assert!(0.0 <= here.lo && here.lo < here.hi && here.hi <= 1.0);
                let there = interval(trials - successes, trials, confidence).unwrap();
                prop_assert!((1.0 - there.hi - here.lo).abs() < 1e-12);
            }
        }

        #[test]
        fn exact_ends_leave_their_tails(trials in 2..3_000_u64, part in 0.01..0.99_f64) {
            let successes = (1..trials).find(|k| *k as f64 >= part * trials as f64);
            let successes = successes.unwrap_or(trials - 1);
            let exact = clopper_pearson(successes, trials, 0.95).unwrap();
            let low = Binomial::new(trials, exact.lo).unwrap().at_least(successes);
            let high = Binomial::new(trials, exact.hi).unwrap().at_most(successes);
            prop_assert!((low / 0.025 - 1.0).abs() < 1e-9 && (high / 0.025 - 1.0).abs() < 1e-9);
        }
    }
}
