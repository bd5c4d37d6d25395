//! Many questions at once: what each may claim so that all hold together.

use super::interval::level;

/// Returns Holm's adjusted p-values, in the order given: compare them with the level as if there
/// were one question.
///
/// The i-th smallest of m is multiplied by m − i + 1, no result is below one before it, and none
/// above 1. The probability of any false claim among all is at most the level, however the questions
/// depend on each other. The family is every comparison that is shown together; one that could not
/// be tested counts with p = 1.
///
/// None when a p-value is not between 0 and 1, ends included.
///
/// Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.
pub fn holm(p_values: &[f64]) -> Option<Vec<f64>> {
    sound(p_values)?;
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut largest = 0.0_f64;
    for (before, index) in order.into_iter().enumerate() {
        let left = (p_values.len() - before) as f64;
        largest = largest.max(p_values[index] * left).min(1.0);
        adjusted[index] = largest;
    }
    Some(adjusted)
}

/// Returns Bonferroni's adjusted p-values: each times their number, at most 1.
///
/// Never below Holm's; only for simultaneous intervals is there a reason to prefer it. None as in
/// [`holm`].
pub fn bonferroni(p_values: &[f64]) -> Option<Vec<f64>> {
    sound(p_values)?;
    let m = p_values.len() as f64;
    Some(p_values.iter().map(|p| (p * m).min(1.0)).collect())
}

/// Returns the confidence at which each of `intervals` intervals is to be computed, so that all
/// cover together with `confidence`: 1 − (1 − confidence) / m, after Bonferroni.
///
/// Holds however they depend on each other; with independent ones, or many, it is wider than need
/// be. None of no intervals or when `confidence` is not between 0 and 1.
pub fn simultaneous_confidence(confidence: f64, intervals: usize) -> Option<f64> {
    let risk = 1.0 - level(confidence)?;
    (intervals > 0).then(|| level(1.0 - risk / intervals as f64))?
}

fn sound(p_values: &[f64]) -> Option<()> {
    p_values.iter().all(|p| (0.0..=1.0).contains(p)).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::assert_digits;
    use proptest::prelude::*;

    fn all(adjusted: Option<Vec<f64>>, expected: &[f64]) {
        let adjusted = adjusted.unwrap();
        assert_eq!(adjusted.len(), expected.len());
        adjusted.iter().zip(expected).for_each(|(p, expected)| assert_digits(*p, *expected));
    }

    #[test]
    fn adjusted_values_are_rs() {
        let p = [0.01, 0.04, 0.03, 0.005];
        all(holm(&p), &[0.03, 0.06, 0.06, 0.02]);
        all(bonferroni(&p), &[0.04, 0.16, 0.12, 0.02]);
        all(holm(&[0.000_1, 0.02, 0.02, 0.5, 0.9]), &[0.000_5, 0.08, 0.08, 1.0, 1.0]);
        all(holm(&[]), &[]);
        for bad in [-0.1, 1.1, f64::NAN] {
            assert_eq!((holm(&[bad]), bonferroni(&[0.5, bad])), (None, None));
        }
    }

    #[test]
    fn intervals_share_the_risk() {
        assert_digits(simultaneous_confidence(0.95, 5), 0.99);
        assert_eq!(simultaneous_confidence(0.95, 1), Some(0.95));
        assert_eq!(simultaneous_confidence(0.95, 0), None);
        assert_eq!(simultaneous_confidence(1.0, 2), None);
    }

    proptest! {
        #[test]
        fn holm_is_between_raw_and_bonferroni_and_keeps_the_order(
            p in proptest::collection::vec(0.0..=1.0_f64, 0..40),
        ) {
            let (stepped, flat) = (holm(&p).unwrap(), bonferroni(&p).unwrap());
            for i in 0..p.len() {
                prop_assert!(p[i] <= stepped[i] && stepped[i] <= flat[i] && flat[i] <= 1.0);
                for j in 0..p.len() {
                    prop_assert!(p[i] > p[j] || stepped[i] <= stepped[j]);
                }
            }
        }

        #[test]
        fn holm_does_not_ask_for_the_order(
            p in proptest::collection::vec(0.0..=1.0_f64, 1..20), by in 0..20_usize,
        ) {
            let by = by % p.len();
            let mut turned = p.clone();
            turned.rotate_left(by);
            let mut adjusted = holm(&p).unwrap();
            adjusted.rotate_left(by);
            prop_assert_eq!(holm(&turned).unwrap(), adjusted);
        }
    }
}
