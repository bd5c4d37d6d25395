//! Several comparisons that are shown together: who is better, and what is as good as equal.

use super::estimate::FEWEST_FOR_INTERVAL;
use super::gate::{Better, Scale};
use super::interval::Interval;
use super::multiple::{holm, simultaneous_confidence};
use super::paired::{Paired, paired, paired_ratio};
use super::sample::finite_moments;

/// What is asked of a family of comparisons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComparisonSpec {
    /// Which way the metric is better.
    pub better: Better,
    /// The largest change that does not matter, as a share: 0.02 is 2 % more, or what 2 % more makes
    /// good again (1 / 1.02). At least 0.
    pub margin: f64,
    /// The confidence with which all intervals and claims of the family hold together.
    pub confidence: f64,
}

/// How the first of two stands to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Better, by whatever amount.
    Better,
    /// Worse.
    Worse,
    /// They differ by less than the margin.
    Tied,
    /// The runs do not say.
    Unresolved,
    /// Every pair has equal values.
    Identical,
}

impl Standing {
    /// Returns what tables call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Tied => "tied",
            Self::Unresolved => "unresolved",
            Self::Identical => "identical",
        }
    }
}

/// Two samples by pairs; what they do not say is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Number of pairs.
    pub n: usize,
    /// Means of both over the pairs.
    pub means: Option<[f64; 2]>,
    /// Mean of the differences, first less second.
    pub difference: Option<f64>,
    /// Its interval.
    pub difference_interval: Option<Interval>,
    /// Geometric mean of first / second.
    pub ratio: Option<f64>,
    /// Its interval.
    pub ratio_interval: Option<Interval>,
    /// Correlation of the two.
    pub correlation: Option<f64>,
    /// How many times the runs independent samples would take, see [`Paired::variance_ratio`].
    pub variance_ratio: Option<f64>,
    /// What was tested: the ratio where it exists, else the difference.
    pub scale: Option<Scale>,
    /// The two-sided p-value of "no difference".
    pub p: Option<f64>,
    /// The same, to be read together with the others of its family.
    pub p_adjusted: Option<f64>,
    /// The claim.
    pub standing: Standing,
}

/// Compares the two samples of each pair, value i of both from the same seed.
///
/// Each comparison is [`paired`], and [`paired_ratio`] where all values are above 0. The intervals
/// hold together with the confidence that is asked for (Bonferroni); p-values are those of the
/// ratio where there is one, adjusted by Holm. In this order a pair is
///
/// 1. **identical** when every difference is 0;
/// 2. **tied** when the whole interval of the tested scale is within the margin: two one-sided tests
///    at half of what is left to be wrong. A difference has no share of its own: its margin is that
///    of the smaller mean;
/// 3. **better** or **worse** when the adjusted p-value is below one minus the confidence;
/// 4. **unresolved** else.
///
/// Below [`FEWEST_FOR_INTERVAL`] pairs, with a value that is not finite, or with differences that
/// are all the same, there is no interval and no p-value; such a pair counts in the family with
/// p = 1. Swapping the two of every pair swaps signs, ratios and claims, and nothing else.
///
/// Source: common random numbers: Law, 5th edition, chapter 11; Holm, 1979; Schuirmann, 1987.
pub fn comparisons(pairs: &[(&[f64], &[f64])], spec: ComparisonSpec) -> Vec<Comparison> {
    let Some(each) = simultaneous_confidence(spec.confidence, pairs.len()) else {
        return Vec::new();
    };
    let mut found: Vec<Comparison> = pairs.iter().map(|(a, b)| compare(a, b, each)).collect();
    let p_values: Vec<f64> = found.iter().map(|own| own.p.unwrap_or(1.0)).collect();
    let adjusted = holm(&p_values).unwrap_or_else(|| vec![1.0; found.len()]);
    for (own, adjusted) in found.iter_mut().zip(adjusted) {
        own.p_adjusted = own.p.map(|_| adjusted);
        if own.standing != Standing::Identical {
            own.standing = own.standing(spec);
        }
    }
    found
}

/// Compares two samples, whose claim is still open unless they are identical.
fn compare(a: &[f64], b: &[f64], confidence: f64) -> Comparison {
    let mean = |values: &[f64]| finite_moments(values)?.mean();
    let means = mean(a).zip(mean(b)).map(|(a, b)| [a, b]).filter(|_| a.len() == b.len());
    let enough = means.is_some() && a.len() >= FEWEST_FOR_INTERVAL;
    let differences = paired(a, b, confidence).filter(|_| enough);
    let ratios = paired_ratio(a, b, confidence);
    let of_ratios = ratios.filter(|_| enough);
    let tested: Option<(Scale, Paired)> = match (of_ratios, differences) {
        (Some(ratio), _) => Some((Scale::Ratio, ratio.logs)),
        (None, Some(difference)) => Some((Scale::Difference, difference)),
        (None, None) => None,
    };
    let tested = tested.filter(|(_, own)| own.test.is_some());
    let identical = means.is_some() && a.iter().zip(b).all(|(a, b)| a - b == 0.0);
    Comparison {
        n: a.len(),
        means,
        difference: means.map(|[a, b]| a - b),
        difference_interval: differences.and_then(|own| own.interval),
        ratio: ratios.map(|own| own.ratio),
        ratio_interval: of_ratios.and_then(|own| own.interval),
        correlation: differences.and_then(|own| own.correlation),
        variance_ratio: differences.and_then(|own| own.variance_ratio),
        scale: tested.map(|(scale, _)| scale),
        p: tested.and_then(|(_, own)| Some(own.test?.p_two_sided())),
        p_adjusted: None,
        standing: if identical { Standing::Identical } else { Standing::Unresolved },
    }
}

impl Comparison {
    fn standing(&self, spec: ComparisonSpec) -> Standing {
        if self.is_within(spec.margin) {
            return Standing::Tied;
        }
        let sure = self.p_adjusted.is_some_and(|p| p < 1.0 - spec.confidence);
        let above = match self.scale {
            Some(Scale::Ratio) => self.ratio.is_some_and(|ratio| ratio > 1.0),
            Some(Scale::Difference) => self.difference.is_some_and(|own| own > 0.0),
            None => false,
        };
        match (sure, above, spec.better) {
            (false, ..) => Standing::Unresolved,
            (true, true, Better::Higher) | (true, false, Better::Lower) => Standing::Better,
            (true, true, Better::Lower) | (true, false, Better::Higher) => Standing::Worse,
        }
    }

    /// Whether the interval of what was tested is within a margin.
    fn is_within(&self, margin: f64) -> bool {
        let (interval, most) = match self.scale {
            Some(Scale::Ratio) => (self.ratio_interval, 1.0 + margin),
            Some(Scale::Difference) => {
                let smaller = self.means.map_or(0.0, |[a, b]| a.abs().min(b.abs()));
                (self.difference_interval, margin * smaller)
            }
            None => return false,
        };
        let least = if self.scale == Some(Scale::Ratio) { 1.0 / most } else { -most };
        interval.is_some_and(|own| least <= own.lo && own.hi <= most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::assert_digits;
    use proptest::prelude::*;

    /// ST-07, of scipy's `ttest_rel`.
    const A: [f64; 8] = [101.2, 98.7, 110.4, 105.1, 95.3, 99.8, 120.6, 103.3];
    const B: [f64; 8] = [97.9, 96.2, 106.0, 101.8, 93.9, 97.1, 114.2, 100.5];

    fn spec(better: Better, margin: f64) -> ComparisonSpec {
        ComparisonSpec { better, margin, confidence: 0.95 }
    }

    #[test]
    fn one_comparison_is_the_paired_one() {
        let own = comparisons(&[(&A, &B)], spec(Better::Lower, 0.02)).remove(0);
        assert_digits(own.difference, 3.35);
        let interval = own.difference_interval.unwrap();
        assert!((interval.lo - 2.099_556_698).abs() < 1e-9);
        assert!((interval.hi - 4.600_443_302).abs() < 1e-9);
        assert!((own.variance_ratio.unwrap() - 47.582_375_48).abs() < 1e-7);
        assert_eq!((own.scale, own.standing), (Some(Scale::Ratio), Standing::Worse));
        assert_eq!(own.p, own.p_adjusted, "a family of one");
        // The ratio is some 1.032: within 5 %, not within 2 %.
        let wide = comparisons(&[(&A, &B)], spec(Better::Lower, 0.05)).remove(0);
        assert_eq!(wide.standing, Standing::Tied);
        let higher = comparisons(&[(&A, &B)], spec(Better::Higher, 0.0)).remove(0);
        assert_eq!(higher.standing, Standing::Better);
    }

    #[test]
    fn a_family_is_read_together() {
        // Differences 1, 2, 3 and 1, −1, 0 with values around 0: no ratios.
        let (zero, up, none) = ([0.0; 3], [1.0, 2.0, 3.0], [1.0, -1.0, 0.0]);
        let family = comparisons(&[(&up, &zero), (&none, &zero)], spec(Better::Lower, 0.02));
        // t = 2 / (1/√3) = 3.4641 at 2 degrees of freedom: p = 1 − t/√(t² + 2) = 0.0741799.
        assert_digits(family[0].p, 1.0 - (12.0_f64 / 14.0).sqrt());
        assert_digits(family[0].p_adjusted, 2.0 * (1.0 - (12.0_f64 / 14.0).sqrt()));
        assert_eq!((family[0].scale, family[0].ratio), (Some(Scale::Difference), None));
        assert_digits(family[1].p, 1.0);
        assert!(family.iter().all(|own| own.standing == Standing::Unresolved));
        // Each interval is at 97.5 %: t(0.9875, 2) = 6.205347 times 1/√3.
        let half = family[0].difference_interval.unwrap().hi - 2.0;
        assert!((half - 6.205_346_8 / 3.0_f64.sqrt()).abs() < 1e-6, "{half}");
    }

    #[test]
    fn what_pairs_do_not_say_is_none() {
        let of = |a: &[f64], b: &[f64]| comparisons(&[(a, b)], spec(Better::Lower, 0.5)).remove(0);
        let none = of(&[], &[]);
        assert_eq!((none.n, none.means, none.standing), (0, None, Standing::Unresolved));
        let two = of(&[1.0, 5.0], &[2.0, 9.0]);
        assert_eq!((two.difference, two.p, two.correlation), (Some(-2.5), None, None));
        assert_eq!((two.ratio_interval, two.standing), (None, Standing::Unresolved));
        // The same difference under every seed, as seeds that change nothing give.
        let same = of(&[1.0; 5], &[1.1; 5]);
        assert_eq!((same.p, same.ratio_interval), (None, None));
        assert_eq!(same.standing, Standing::Unresolved, "within the margin, but of one seed");
        assert_eq!(of(&[4.0], &[4.0]).standing, Standing::Identical);
        assert_eq!(of(&[f64::INFINITY, 1.0, 2.0], &[1.0, 2.0, 4.0]).means, None);
    }

    proptest! {
        #[test]
        fn swapping_mirrors_and_order_of_seeds_does_not_matter(
            pairs in prop::collection::vec((0.1..9.0_f64, 0.1..9.0_f64), 3..12),
            shift in -5.0..5.0_f64,
        ) {
            let shift = if shift < 0.0 { shift } else { 0.0 };
            let (a, b): (Vec<f64>, Vec<f64>) =
                pairs.iter().map(|(a, b)| (a + shift, b + shift)).unzip();
            let spec = spec(Better::Lower, 0.3);
            let own = comparisons(&[(&a, &b)], spec).remove(0);
            let mirrored = comparisons(&[(&b, &a)], spec).remove(0);
            let swapped = match own.standing {
                Standing::Better => Standing::Worse,
                Standing::Worse => Standing::Better,
                same @ (Standing::Tied | Standing::Unresolved | Standing::Identical) => same,
            };
            prop_assert_eq!(mirrored.standing, swapped);
            let close = |x: Option<f64>, y: Option<f64>| match (x, y) {
                (Some(x), Some(y)) => (x - y).abs() <= 1e-9 * x.abs().max(1.0),
                (x, y) => x == y,
            };
            prop_assert!(close(mirrored.difference.map(|d| -d), own.difference));
            prop_assert!(close(mirrored.ratio.map(|r| 1.0 / r), own.ratio));
            prop_assert!(close(mirrored.p, own.p) && close(mirrored.correlation, own.correlation));
            let (back_a, back_b): (Vec<f64>, Vec<f64>) =
                a.iter().zip(&b).rev().map(|(a, b)| (*a, *b)).unzip();
            let back = comparisons(&[(&back_a, &back_b)], spec).remove(0);
            prop_assert_eq!(back.standing, own.standing);
            prop_assert!(close(back.p, own.p) && close(back.ratio, own.ratio));
        }
    }
}
