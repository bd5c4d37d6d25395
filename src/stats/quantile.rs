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

/// Returns the quantiles at `ps` of whole numbers (picoseconds, tokens), in their unit, as
/// [`quantile_sorted`] does; none of them where that has none.
///
/// The values may stand in any order and are moved about. Takes time in proportion to their number,
/// as they are sorted only as far as the quantiles need, and no memory for them.
pub fn quantiles_in_place(values: &mut [u64], ps: &[f64]) -> Vec<Option<f64>> {
    let places: Vec<_> = ps.iter().map(|p| place(values.len(), *p)).collect();
    let last = values.len().saturating_sub(1);
    let above = |below: usize| (below + 1).min(last);
    let mut ranks: Vec<usize> =
        places.iter().flatten().flat_map(|(below, _)| [*below, above(*below)]).collect();
    ranks.sort_unstable();
    ranks.dedup();
    place_ranks(values, 0, &ranks);
    let quantile = |(below, fraction): (usize, f64)| {
        let low = values[below];
        low as f64 + fraction * (values[above(below)] - low) as f64
    };
    places.into_iter().map(|place| place.map(quantile)).collect()
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

/// Moves the values of ascending `ranks` to where sorting would put them; `values` are those from
/// rank `first` on.
fn place_ranks(values: &mut [u64], first: usize, ranks: &[usize]) {
    // The rank nearest to the middle leaves the least to look through.
    let middle = first + values.len() / 2;
    let Some(chosen) = (0..ranks.len()).min_by_key(|index| ranks[*index].abs_diff(middle)) else {
        return;
    };
    let rank = ranks[chosen];
    let (below, _, above) = values.select_nth_unstable(rank - first);
    place_ranks(below, first, &ranks[..chosen]);
    place_ranks(above, rank + 1, &ranks[chosen + 1..]);
}

/// Splits (n − 1) p into the index below and the fraction above it.
pub(super) fn place(n: usize, p: f64) -> Option<(usize, f64)> {
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
    use proptest::prelude::*;

    /// `p` and `numpy.quantile` of the squares 1, 4, … 100.
    const SQUARES: [(f64, f64); 6] =
        [(0.0, 1.0), (0.5, 30.5), (0.9, 82.9), (0.95, 91.45), (0.99, 98.29), (1.0, 100.0)];

    #[test]
    fn quantiles_are_numpys() {
        let squares: Vec<f64> = (1..=10).map(|i| f64::from(i * i)).collect();
        for (p, expected) in SQUARES {
            let float = quantile_sorted(&squares, p).unwrap();
            assert!((float - expected).abs() < 1e-9, "{p}: {float}");
        }
        let mut whole: Vec<u64> = (1..=10).rev().map(|i| i * i).collect();
        let ps = SQUARES.map(|(p, _)| p);
        for ((p, expected), whole) in SQUARES.iter().zip(quantiles_in_place(&mut whole, &ps)) {
            assert!((whole.unwrap() - expected).abs() < 1e-9, "{p}: {whole:?}");
        }
    }

    proptest! {
        #[test]
        fn quantiles_in_place_are_those_of_sorted_values(
            mut values in proptest::collection::vec(0..1_000_u64, 0..300),
            ps in proptest::collection::vec(-0.1..1.1_f64, 0..9),
        ) {
            let mut sorted: Vec<f64> = values.iter().map(|value| *value as f64).collect();
            sorted.sort_unstable_by(f64::total_cmp);
            let expected: Vec<_> = ps.iter().map(|p| quantile_sorted(&sorted, *p)).collect();
            prop_assert_eq!(quantiles_in_place(&mut values, &ps), expected);
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
        assert_eq!(quantiles_in_place(&mut [1], &[1.01]), [None]);
        assert_eq!(quantiles_in_place(&mut [], &[0.5]), [None]);
        assert_eq!(quantile_sorted(&[1.0], f64::NAN), None);
        assert_eq!(quantile(&[1.0, f64::NAN], 0.5), None);
    }
}
