//! Sample quantiles of type 7.

/// Returns the `p`-quantile of `sorted`, which must ascend.
///
/// Type 7: with h = (n − 1) p, the value at ⌊h⌋ (from 0) plus the fraction of h times the step to
/// the next. It is the default of `NumPy`, pandas and R, so numbers compare with theirs. None of an
/// empty slice or when `p` is outside 0..=1.
///
/// Source: Hyndman and Fan, "Sample quantiles in statistical packages", 1996, definition 7.
pub fn quantile_sorted(sorted: &[f64], p: f64) -> Option<f64> {
    let (below, fraction) = place(sorted.len(), p)?;
    let low = sorted[below];
    let high = sorted[(below + 1).min(sorted.len() - 1)];
    Some(low + fraction * (high - low))
}

/// Returns the `p`-quantile of ascending whole numbers (picoseconds, tokens) in their unit, as
/// [`quantile_sorted`] does.
pub fn quantile_sorted_u64(sorted: &[u64], p: f64) -> Option<f64> {
    let (below, fraction) = place(sorted.len(), p)?;
    let low = sorted[below];
    let step = sorted[(below + 1).min(sorted.len() - 1)] - low;
    Some(low as f64 + fraction * step as f64)
}

/// Returns the `p`-quantile of `values` in any order; sorts a copy.
///
/// None also when a value is not finite.
pub fn quantile(values: &[f64], p: f64) -> Option<f64> {
    quantile_sorted(&ascending(values)?, p)
}

/// The values in ascending order, −0 as 0; none when one is not finite.
pub(super) fn ascending(values: &[f64]) -> Option<Vec<f64>> {
    if !values.iter().all(|value| value.is_finite()) {
        return None;
    }
    let mut sorted: Vec<f64> = values.iter().map(|value| value + 0.0).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    Some(sorted)
}

/// Splits (n − 1) p into the index below and the fraction above it.
fn place(n: usize, p: f64) -> Option<(usize, f64)> {
    if n == 0 || !(0.0..=1.0).contains(&p) {
        return None;
    }
    let h = (n - 1) as f64 * p;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "h is between 0 and n - 1"
    )]
    let below = h.floor() as usize;
    Some((below, h - h.floor()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `p` and `numpy.quantile` of the squares 1, 4, … 100.
    const SQUARES: [(f64, f64); 6] =
        [(0.0, 1.0), (0.5, 30.5), (0.9, 82.9), (0.95, 91.45), (0.99, 98.29), (1.0, 100.0)];

    #[test]
    fn quantiles_are_numpys() {
        let squares: Vec<f64> = (1..=10).map(|i| f64::from(i * i)).collect();
        let whole: Vec<u64> = (1..=10).map(|i| i * i).collect();
        for (p, expected) in SQUARES {
            let float = quantile_sorted(&squares, p).unwrap();
            assert!((float - expected).abs() < 1e-9, "{p}: {float}");
            let whole = quantile_sorted_u64(&whole, p).unwrap();
            assert!((whole - expected).abs() < 1e-9, "{p}: {whole}");
        }
    }

    #[test]
    fn order_of_values_is_free() {
        assert_eq!(quantile(&[3.0, 1.0, 2.0, 10.0], 0.5), Some(2.5));
    }

    #[test]
    fn one_value_is_every_quantile() {
        for p in [0.0, 0.3, 1.0] {
            assert_eq!(quantile_sorted(&[7.0], p), Some(7.0));
        }
    }

    #[test]
    fn what_has_no_quantile_gives_none() {
        assert_eq!(quantile_sorted(&[], 0.5), None);
        assert_eq!(quantile_sorted_u64(&[1], 1.01), None);
        assert_eq!(quantile_sorted(&[1.0], f64::NAN), None);
        assert_eq!(quantile(&[1.0, f64::NAN], 0.5), None);
    }
}
