//! Least squares with coefficients from zero up, weighted so that outliers count little.

/// Sweeps over the coefficients until they settle; a handful of them does in some thousand.
const MOST_SWEEPS: usize = 50_000;
/// Rounds of reweighting; the weights settle in some twenty.
const ROUNDS: usize = 50;
/// Relative errors below this weigh alike: they are the noise of the clock.
const SMALLEST: f64 = 1e-3;

/// Finds the coefficients that make `features · coefficients` come near 1 in every row, none of
/// them negative: the sum of absolute errors is least.
///
/// Least squares are repeated with each row weighted by 1 / |its error|, which tends to the least
/// absolute errors (Schlossmacher, "An iterative technique for absolute deviations curve fitting",
/// 1973). `features` has one row per observation, and every row has `N` entries.
pub(super) fn least_deviations<const N: usize>(features: &[[f64; N]]) -> [f64; N] {
    let mut weights = vec![1.0; features.len()];
    let mut found = [0.0; N];
    for _ in 0..ROUNDS {
        let (gram, right) = normal_equations(features, &weights);
        found = nonnegative(&gram, &right, found);
        for (row, weight) in features.iter().zip(&mut weights) {
            *weight = 1.0 / (dot(row, &found) - 1.0).abs().max(SMALLEST);
        }
    }
    found
}

pub(super) fn dot<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Returns Σ w x xᵀ and Σ w x.
fn normal_equations<const N: usize>(
    features: &[[f64; N]],
    weights: &[f64],
) -> ([[f64; N]; N], [f64; N]) {
    let (mut gram, mut right) = ([[0.0; N]; N], [0.0; N]);
    for (row, weight) in features.iter().zip(weights) {
        for (at, x) in row.iter().enumerate() {
            right[at] += weight * x;
            for (entry, other) in gram[at].iter_mut().zip(row) {
                *entry += weight * x * other;
            }
        }
    }
    (gram, right)
}

/// Minimises xᵀ G x / 2 − rᵀ x over x ≥ 0, one coordinate at a time. Each step is exact and G is
/// positive definite where the features differ, so this tends to the only minimum.
fn nonnegative<const N: usize>(
    gram: &[[f64; N]; N],
    right: &[f64; N],
    start: [f64; N],
) -> [f64; N] {
    let mut found = start;
    for _ in 0..MOST_SWEEPS {
        let mut moved: f64 = 0.0;
        for at in 0..N {
            // A feature that no row has keeps its coefficient at 0.
            if gram[at][at] <= 0.0 {
                continue;
            }
            let slope = right[at] - dot(&gram[at], &found);
            let next = (found[at] + slope / gram[at][at]).max(0.0);
            // In units of what the coefficient alone would be.
            moved = moved.max((next - found[at]).abs() * gram[at][at] / right[at]);
            found[at] = next;
        }
        if moved < 1e-10 {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_rows_give_their_coefficients() {
        // y = 3 + 2 x, as rows (1, x) / y.
        let rows: Vec<[f64; 2]> =
            (0..20).map(f64::from).map(|x| [1.0 / (3.0 + 2.0 * x), x / (3.0 + 2.0 * x)]).collect();
        let [constant, slope] = least_deviations(&rows);
        assert!((constant - 3.0).abs() < 1e-6 && (slope - 2.0).abs() < 1e-6);
    }

    #[test]
    fn outliers_move_nothing() {
        let mut rows: Vec<[f64; 2]> =
            (0..30).map(f64::from).map(|x| [1.0 / (3.0 + 2.0 * x), x / (3.0 + 2.0 * x)]).collect();
        rows[4] = [1.0 / 500.0, 4.0 / 500.0];
        rows[20] = [1.0 / 21.5, 20.0 / 21.5];
        let [constant, slope] = least_deviations(&rows);
        assert!((constant - 3.0).abs() < 0.02 && (slope - 2.0).abs() < 0.01, "{constant} {slope}");
    }

    #[test]
    fn what_would_be_negative_is_zero() {
        // y = 10 − x falls: the slope is held at 0.
        let rows: Vec<[f64; 2]> =
            (0..5).map(f64::from).map(|x| [1.0 / (10.0 - x), x / (10.0 - x)]).collect();
        let [constant, slope] = least_deviations(&rows);
        assert!(slope.abs() < 1e-12 && (7.0..=9.0).contains(&constant), "{constant} {slope}");
    }
}
