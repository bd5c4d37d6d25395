//! Intervals of a quantile from the ranks of a sample.

use super::binomial::Binomial;
use super::interval::level;
use super::quantile::ascending;

/// Ranks, from 1, of the values that enclose a quantile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OrderRanks {
    /// Rank of the lower end; none when the sample is too small to have one.
    pub lower: Option<usize>,
    /// Rank of the upper end; none when the sample is too small to have one.
    pub upper: Option<usize>,
    /// The probability that the quantile is enclosed, at least the confidence asked for.
    pub coverage: f64,
}

/// Returns the ranks whose values enclose the `p`-quantile of what `n` independent values come
/// from, whatever its distribution.
///
/// The number of values below the quantile is binomial, B ~ Bin(n, p): the lower rank is the
/// highest l with P(B < l) at most (1 − confidence) / 2, the upper one the lowest u with P(B ≥ u) at
/// most that. `coverage` is P(l ≤ B < u).
///
/// For independent values only: one per run. The requests of one run queue behind each other, and
/// the interval from their ranks is far too narrow.
///
/// None without values, when `p` or `confidence` is not between 0 and 1, or above four thousand
/// million values.
///
/// Source: Conover, "Practical Nonparametric Statistics", section 3.2; Hahn and Meeker,
/// "Statistical Intervals", section 5.2.
pub fn order_ranks(n: usize, p: f64, confidence: f64) -> Option<OrderRanks> {
    let tail = (1.0 - level(confidence)?) / 2.0;
    let below = Binomial::new(n as u64, p)?;
    let lower = usize::try_from(below.quantile(tail)).ok()?;
    // One above the (1 − tail)-quantile, found from its own tail, which keeps its digits.
    let mut upper = usize::try_from(below.quantile(1.0 - tail)).ok()? + 1;
    while upper > 1 && below.at_least(upper as u64 - 1) <= tail {
        upper -= 1;
    }
    let missed = if lower > 0 { below.at_most(lower as u64 - 1) } else { 0.0 };
    let beyond = if upper <= n { below.at_least(upper as u64) } else { 0.0 };
    (n > 0).then_some(OrderRanks {
        lower: Some(lower).filter(|rank| *rank > 0),
        upper: Some(upper).filter(|rank| *rank <= n),
        coverage: (1.0 - missed - beyond).clamp(0.0, 1.0),
    })
}

/// The values that enclose a quantile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileInterval {
    /// Lower end; none when the sample is too small to have one.
    pub lo: Option<f64>,
    /// Upper end; none when the sample is too small to have one.
    pub hi: Option<f64>,
    /// The probability that the quantile is enclosed, at least the confidence asked for.
    pub coverage: f64,
}

/// Returns the interval of the `p`-quantile of what `values`, one per run, come from; see
/// [`order_ranks`]. None also when a value is not finite.
pub fn quantile_interval(values: &[f64], p: f64, confidence: f64) -> Option<QuantileInterval> {
    let sorted = ascending(values)?;
    let ranks = order_ranks(sorted.len(), p, confidence)?;
    let at = |rank: Option<usize>| rank.map(|rank| sorted[rank - 1]);
    Some(QuantileInterval { lo: at(ranks.lower), hi: at(ranks.upper), coverage: ranks.coverage })
}

/// Returns the fewest independent values whose smallest and largest enclose the `p`-quantile with
/// `confidence`: the first n with 1 − pⁿ − (1 − p)ⁿ at least that.
///
/// [`order_ranks`] shares the risk evenly between its ends and needs more for both: 368 instead
/// of 299 for the 99th percentile at 95 %. None when `p` or `confidence` is not between 0 and 1, or
/// when it would take more than 2⁵² values.
pub fn fewest_values(p: f64, confidence: f64) -> Option<u64> {
    let (p, confidence) = (level(p)?, level(confidence)?);
    let missed = |n: f64| libm::pow(p, n) + libm::pow(1.0 - p, n);
    first(|n| 1.0 - missed(n) >= confidence)
}

/// Returns the fewest independent values whose largest is above the `p`-quantile with `confidence`:
/// the first n with 1 − pⁿ at least that. None as in [`fewest_values`].
pub fn fewest_values_above(p: f64, confidence: f64) -> Option<u64> {
    let (p, confidence) = (level(p)?, level(confidence)?);
    first(|n| 1.0 - libm::pow(p, n) >= confidence)
}

/// The first number from 1 that is enough, when every larger one is too.
fn first(enough: impl Fn(f64) -> bool) -> Option<u64> {
    let mut high = (0..=52).map(|bits| 1_u64 << bits).find(|n| enough(*n as f64))?;
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(middle as f64) { high = middle } else { low = middle }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::assert_digits;
    use proptest::prelude::*;

    /// Values, quantile, ranks and coverage, from `scipy.stats.binom`.
    const RANKS: [(usize, f64, usize, usize, f64); 6] = [
        (20, 0.5, 6, 15, 0.958_610_534_667_968_8),
        (50, 0.5, 18, 33, 0.967_160_862_435_731_5),
        (100, 0.9, 84, 96, 0.955_690_107_191_223),
        (100, 0.99, 97, 101, 0.981_625_963_555_350_3),
        (1_000, 0.99, 983, 997, 0.976_094_763_497_977),
        (10_000, 0.99, 9_880, 9_920, 0.955_754_682_806_555_2),
    ];

    #[test]
    fn ranks_are_scipys() {
        for (n, p, lower, upper, coverage) in RANKS {
            let ranks = order_ranks(n, p, 0.95).unwrap();
            assert_eq!(ranks.lower, Some(lower), "{n}, {p}");
            // Rank 101 of a hundred: no value is surely above.
            assert_eq!(ranks.upper, Some(upper).filter(|rank| *rank <= n), "{n}, {p}");
            assert_digits(ranks.coverage, coverage);
        }
    }

    #[test]
    fn tails_need_many_values() {
        assert_eq!(fewest_values(0.99, 0.95), Some(299));
        assert_eq!(fewest_values(0.95, 0.95), Some(59));
        assert_eq!(fewest_values_above(0.99, 0.95), Some(299));
        // 0.5 and 0.5: 1 − 2 · 2⁻ⁿ is 0.9375 of five values, 0.96875 of six.
        assert_eq!(fewest_values(0.5, 0.95), Some(6));
        assert_eq!(fewest_values_above(0.5, 0.5), Some(1));
        for (n, both) in [(367, false), (368, true)] {
            assert_eq!(order_ranks(n, 0.99, 0.95).unwrap().upper.is_some(), both, "{n}");
        }
        assert_eq!(fewest_values(1.0, 0.95), None);
        assert_eq!(fewest_values_above(1.0 - 1e-16, 0.95), None);
    }

    #[test]
    fn interval_takes_the_values_at_the_ranks() {
        let values: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        let interval = quantile_interval(&values, 0.5, 0.95).unwrap();
        assert_eq!((interval.lo, interval.hi), (Some(6.0), Some(15.0)));
        let few = quantile_interval(&[1.0, 2.0], 0.5, 0.95).unwrap();
        assert_eq!((few.lo, few.hi, few.coverage), (None, None, 1.0));
        assert_eq!(quantile_interval(&[], 0.5, 0.95), None);
        assert_eq!(quantile_interval(&[1.0, f64::NAN], 0.5, 0.95), None);
    }

    proptest! {
        #[test]
        fn coverage_is_never_below_the_confidence(
            n in 1..3_000_usize, p in 0.001..0.999_f64, confidence in 0.5..0.999_f64,
        ) {
            let ranks = order_ranks(n, p, confidence).unwrap();
            prop_assert!(ranks.coverage >= confidence - 1e-12);
            let (lower, upper) = (ranks.lower.unwrap_or(0), ranks.upper.unwrap_or(n + 1));
            prop_assert!(lower < upper);
            // One rank nearer on either side passes the share of that side.
            let tail = (1.0 - confidence) / 2.0;
            let below = Binomial::new(n as u64, p).unwrap();
            prop_assert!(below.at_most(lower as u64) >= tail * (1.0 - 1e-9));
            prop_assert!(below.at_least(upper as u64 - 1) >= tail * (1.0 - 1e-9));
        }
    }
}
