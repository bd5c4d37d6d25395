//! Wilcoxon's signed ranks: a paired comparison that trusts no normal distribution.

use super::normal::normal_cdf;

/// Up to so many pairs without ties the probability is exact.
const MOST_EXACT: usize = 50;

/// What the signed ranks of differences say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wilcoxon {
    /// Differences that are not 0.
    pub n: usize,
    /// Sum of the ranks of the differences above 0.
    pub above: f64,
    /// Sum of the ranks of the differences below 0.
    pub below: f64,
    /// Two-sided probability of sums so uneven when differences are symmetric about 0.
    pub p: f64,
    /// Whether `p` is exact: no zeros, no ties and at most 50 differences.
    pub exact: bool,
}

impl Wilcoxon {
    /// Returns the smaller sum, the statistic of tables.
    pub fn w(&self) -> f64 {
        self.above.min(self.below)
    }
}

/// Tests that `differences` of pairs are symmetric about 0, by Wilcoxon's signed ranks.
///
/// Differences are ranked by size and the ranks summed by sign. All 2ⁿ signs are equally likely
/// under the claim, so `p` is exact for any symmetric distribution. With ties or zeros (which are
/// left out), and above fifty differences, it is the normal approximation with continuity and tie
/// corrections, as in R; do not trust that below ten differences. With fewer than six differences
/// no outcome reaches p < 0.05. It says that a change is there, not how large; and where
/// differences are not symmetric it may answer for the median while you asked for the mean.
///
/// None without a difference that is not 0, or when one is not finite.
///
/// Source: Wilcoxon, "Individual comparisons by ranking methods", 1945; Conover, "Practical
/// Nonparametric Statistics", section 5.7.
pub fn wilcoxon(differences: &[f64]) -> Option<Wilcoxon> {
    if !differences.iter().all(|difference| difference.is_finite()) {
        return None;
    }
    let mut moved: Vec<f64> = differences.iter().copied().filter(|d| d.abs() > 0.0).collect();
    moved.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
    let n = moved.len();
    let (mut above, mut first, mut tied) = (0.0, 0, 0.0);
    for group in moved.chunk_by(|a, b| a.abs().total_cmp(&b.abs()).is_eq()) {
        let size = group.len() as f64;
        let rank = first as f64 + (size + 1.0) / 2.0;
        above += rank * group.iter().filter(|difference| **difference > 0.0).count() as f64;
        tied += size * size * size - size;
        first += group.len();
    }
    let whole = n as f64 * (n as f64 + 1.0) / 2.0;
    let below = whole - above;
    let exact = n == differences.len() && n <= MOST_EXACT && tied < 1.0;
    let smaller = above.min(below);
    let p = match n {
        0 => return None,
        _ if exact => exact_p(n, smaller),
        _ => approximate_p(n as f64, smaller, tied),
    };
    Some(Wilcoxon { n, above, below, p, exact })
}

/// Twice the share of the 2ⁿ signs whose ranks above 0 sum to at most `smaller`, a whole number.
fn exact_p(n: usize, smaller: f64) -> f64 {
    // Rank after rank, a sum w comes from w with the sign below, and from w − rank with the other.
    let mut shares = vec![0.0; n * (n + 1) / 2 + 1];
    shares[0] = 1.0;
    for rank in 1..=n {
        for w in (0..shares.len()).rev() {
            let with = if w >= rank { shares[w - rank] } else { 0.0 };
            shares[w] = (shares[w] + with) / 2.0;
        }
    }
    let reached = shares.iter().zip(0..).take_while(|(_, w)| f64::from(*w) <= smaller);
    let share: f64 = reached.map(|(share, _): (&f64, i32)| share).sum();
    (2.0 * share).min(1.0)
}

/// The normal approximation, half a rank nearer to the middle; `tied` is Σ (t³ − t) over ties.
fn approximate_p(n: f64, smaller: f64, tied: f64) -> f64 {
    let middle = n * (n + 1.0) / 4.0;
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - tied / 48.0;
    let z = (smaller - middle + 0.5).min(0.0) / variance.sqrt();
    (2.0 * normal_cdf(z)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::assert_digits;
    use proptest::prelude::*;

    #[test]
    fn differences_of_one_sign_have_two_of_all_signs() {
        let differences = [3.3, 2.5, 4.4, 3.31, 1.4, 2.7, 6.4, 2.8];
        let ranks = wilcoxon(&differences).unwrap();
        assert_eq!((ranks.w(), ranks.above, ranks.exact), (0.0, 36.0, true));
        assert_digits(ranks.p, 0.007_812_5);
    }

    #[test]
    fn mixed_signs_are_scipys() {
        // By size 0.3 (1), −0.4 (2), 0.9, 1.1, −1.5 (5), 2.2, 3.0: 2 + 5 = 7 below.
        let ranks = wilcoxon(&[1.1, -0.4, 2.2, 0.9, -1.5, 3.0, 0.3]).unwrap();
        assert_eq!((ranks.w(), ranks.below, ranks.n), (7.0, 7.0, 7));
        assert_digits(ranks.p, 0.296_875);
    }

    #[test]
    fn ties_and_zeros_are_approximated_as_in_r() {
        let ranks = wilcoxon(&[1.0, -1.0, 2.0, 2.0, -3.0, 4.0, 5.0, 0.0, 2.5]).unwrap();
        assert_eq!((ranks.above, ranks.n, ranks.exact), (28.5, 8, false));
        assert_digits(ranks.p, 0.160_400_810_755_251_28);
    }

    #[test]
    fn what_does_not_differ_gives_none() {
        for differences in [&[][..], &[0.0, -0.0], &[1.0, f64::NAN], &[f64::INFINITY]] {
            assert_eq!(wilcoxon(differences), None);
        }
        assert_eq!(wilcoxon(&[2.0]).map(|ranks| ranks.p), Some(1.0));
        assert_eq!(wilcoxon(&[2.0, 2.0]).map(|ranks| ranks.exact), Some(false));
    }

    proptest! {
        #[test]
        fn turned_signs_change_sides_only(
            differences in proptest::collection::vec(-9..9_i32, 1..60),
            scale in 1e-3..1e3_f64,
        ) {
            let scaled = |by: f64| differences.iter().map(|d| f64::from(*d) * by).collect::<Vec<_>>();
            let (here, there) = (wilcoxon(&scaled(scale)), wilcoxon(&scaled(-scale)));
            let sides = |ranks: Wilcoxon| (ranks.above, ranks.below, ranks.p);
            prop_assert_eq!(here.map(sides), there.map(sides).map(|(a, b, p)| (b, a, p)));
            prop_assert!(here.is_none_or(|ranks| (0.0..=1.0).contains(&ranks.p)));
        }

        #[test]
        fn exact_and_approximate_agree_on_many_pairs(
            signs in proptest::collection::vec(any::<bool>(), 30..50),
        ) {
            let signed = signs.iter().zip(1..).map(|(up, size)| if *up { size } else { -size });
            let differences: Vec<f64> = signed.map(f64::from).collect();
            let ranks = wilcoxon(&differences).unwrap();
            let approximate = approximate_p(ranks.n as f64, ranks.w(), 0.0);
            // Up to 0.006 at 30 pairs.
            prop_assert!((ranks.p - approximate).abs() < 0.01, "{ranks:?} {approximate}");
        }
    }
}
