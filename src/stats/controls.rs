//! Control variates: what is known exactly takes noise off what is not.

use super::interval::{Interval, t_half_width};
use super::sample::finite_moments;

/// One number per run whose expectation is known exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Control<'a> {
    /// What each run drew, in the order of the runs.
    pub values: &'a [f64],
    /// The expectation, from the generator's own distribution, never from these or other runs.
    pub expected: f64,
}

/// A mean that is adjusted for what its controls drew.
#[derive(Clone, Debug, PartialEq)]
pub struct Controlled {
    /// The mean, at the controls' expectations.
    pub estimate: f64,
    /// Its standard error.
    pub se: f64,
    /// Degrees of freedom: runs less one, less the number of controls.
    pub df: usize,
    /// How much the value grows with each control.
    pub coefficients: Vec<f64>,
    /// Share of the values' variance that the controls account for.
    pub r_squared: f64,
    /// What estimating the coefficients costs, (n − 2) / (n − q − 2): with known ones the variance
    /// would be that much smaller. None with too few runs for it to be finite.
    pub loss: Option<f64>,
}

impl Controlled {
    /// Returns the t-interval of the mean; none when `confidence` is not between 0 and 1.
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        Interval::around(self.estimate, t_half_width(self.se, self.df as f64, confidence)?)
    }
}

/// Estimates the mean of `values`, one per run, adjusted by `controls`.
///
/// A run whose requests happened to be long is late for that reason, and by how much is regressed
/// from the runs: the estimate is the intercept of the least squares fit of the values on the
/// controls' deviations from their expectations, its standard error that of the intercept.
///
/// It pays when the correlation is high and each control is cheap: with q controls the variance
/// falls by 1 − R² and grows by `loss`. Exact when values and controls are jointly normal; otherwise
/// biased by the order of 1/n. Do not use it below some ten runs, with controls that are nearly
/// copies of each other, or with expectations that are estimates.
///
/// None without controls, with fewer than two runs more than controls, when lengths differ, a number
/// is not finite, the values do not vary, or a control follows from the others (or does not vary).
///
/// Source: Lavenberg and Welch, "A perspective on the use of control variables", 1981; Nelson,
/// "Control variate remedies", 1990.
pub fn controlled(values: &[f64], controls: &[Control<'_>]) -> Option<Controlled> {
    let (n, q) = (values.len(), controls.len());
    let fits = controls.iter().all(|control| control.values.len() == n);
    if q == 0 || n < q + 2 || !fits {
        return None;
    }
    let (mean, deviations) = centred(values)?;
    let columns: Vec<Column> = controls.iter().map(Column::of).collect::<Option<_>>()?;
    let squares = dot(&deviations, &deviations);
    let triangle = Triangle::of(&columns).filter(|_| squares > 0.0)?;
    let products: Vec<f64> = columns.iter().map(|column| dot(&column.unit, &deviations)).collect();
    let slopes = triangle.solve(&products);
    let residual = |run: usize| {
        let explained = columns.iter().zip(&slopes).map(|(column, slope)| column.unit[run] * slope);
        deviations[run] - explained.sum::<f64>()
    };
    let unexplained: f64 = (0..n).map(|run| residual(run) * residual(run)).sum();
    let shifts: Vec<f64> = columns.iter().map(|column| column.shift).collect();
    let leverage = 1.0 / n as f64 + dot(&shifts, &triangle.solve(&shifts));
    let df = n - 1 - q;
    let estimate = mean - dot(&shifts, &slopes);
    let se = (unexplained / df as f64 * leverage).sqrt();
    let scaled = columns.iter().zip(&slopes);
    let coefficients: Vec<f64> = scaled.map(|(column, slope)| slope / column.norm).collect();
    let finite = coefficients.iter().all(|coefficient| coefficient.is_finite());
    let known = estimate.is_finite() && se.is_finite() && finite;
    known.then(|| Controlled {
        estimate,
        se,
        df,
        coefficients,
        r_squared: (1.0 - unexplained / squares).clamp(0.0, 1.0),
        loss: (n > q + 2).then(|| (n - 2) as f64 / (n - q - 2) as f64),
    })
}

/// A control with its mean taken off and scaled to length 1.
struct Column {
    unit: Vec<f64>,
    norm: f64,
    /// (Mean − expectation), in the same scale.
    shift: f64,
}

impl Column {
    fn of(control: &Control<'_>) -> Option<Self> {
        let (mean, deviations) = centred(control.values)?;
        let norm = dot(&deviations, &deviations).sqrt();
        let known = norm > 0.0 && norm.is_finite() && control.expected.is_finite();
        known.then(|| Self {
            unit: deviations.iter().map(|deviation| deviation / norm).collect(),
            norm,
            shift: (mean - control.expected) / norm,
        })
    }
}

/// The lower triangle L of a correlation matrix L Lᵀ (Cholesky).
struct Triangle(Vec<Vec<f64>>);

/// The least share of a control's variance that the controls before it may leave.
const LEAST_OWN_SHARE: f64 = 1e-10;

impl Triangle {
    /// None when a column follows from those before it.
    fn of(columns: &[Column]) -> Option<Self> {
        let mut rows: Vec<Vec<f64>> = Vec::new();
        for column in columns {
            let mut row = Vec::new();
            for (other, above) in columns.iter().zip(&rows) {
                let along = dot(&column.unit, &other.unit) - dot(&row, above);
                // `above` is longer than `row` so far: the product stops at the shorter one.
                row.push(along / above[row.len()]);
            }
            let own = 1.0 - dot(&row, &row);
            if own < LEAST_OWN_SHARE || own.is_nan() {
                return None;
            }
            row.push(own.sqrt());
            rows.push(row);
        }
        Some(Self(rows))
    }

    /// The x of L Lᵀ x = `right`.
    fn solve(&self, right: &[f64]) -> Vec<f64> {
        let rows = &self.0;
        let mut x = Vec::new();
        for (row, right) in rows.iter().zip(right) {
            x.push((right - dot(row, &x)) / row[x.len()]);
        }
        for index in (0..rows.len()).rev() {
            let below: f64 = (index + 1..rows.len()).map(|row| rows[row][index] * x[row]).sum();
            x[index] = (x[index] - below) / rows[index][index];
        }
        x
    }
}

/// The mean and the deviations from it; none when one is not finite.
fn centred(values: &[f64]) -> Option<(f64, Vec<f64>)> {
    let mean = finite_moments(values)?.mean()?;
    Some((mean, values.iter().map(|value| value - mean).collect()))
}

/// Σ a b, up to the end of the shorter one.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use crate::stats::t_interval;
    use crate::stats::tests::assert_digits;

    const Y: [f64; 8] = [5.2, 6.1, 4.7, 7.3, 5.9, 6.6, 4.9, 5.5];
    const C: [f64; 8] = [0.95, 1.08, 0.88, 1.25, 1.02, 1.15, 0.93, 0.99];

    #[test]
    fn one_control_is_statsmodels() {
        let one = controlled(&Y, &[Control { values: &C, expected: 1.0 }]).unwrap();
        assert_digits(one.coefficients[0], 7.132_569_944_516_581_6);
        assert_digits(one.estimate, 5.552_107_189_233_857);
        assert_digits(one.se, 0.039_038_710_378_836_175);
        assert_digits(one.r_squared, 0.987_511_173_344_848_2);
        assert_digits(1.0 / (1.0 - one.r_squared), 80.071_573_384_156_54);
        assert_digits(one.loss, 1.2);
        let interval = one.interval(0.95).unwrap();
        assert_digits((interval.hi - interval.lo) / 2.0, 0.095_524_283_079_390_72);
        let plain = t_interval(&Y, 0.95).unwrap();
        assert_digits((plain.hi - plain.lo) / 2.0, 0.738_015_534_442_693);
    }

    #[test]
    fn two_controls_are_rs_lm() {
        let other = [3.1, 2.7, 3.3, 2.9, 3.4, 2.6, 3.0, 3.2];
        let first = Control { values: &C, expected: 1.0 };
        let two = controlled(&Y, &[first, Control { values: &other, expected: 3.0 }]).unwrap();
        assert_digits(two.estimate, 5.530_466_947_572_009);
        assert_digits(two.se, 0.032_143_699_642_974_595);
        assert_digits(two.coefficients[0], 7.575_395_454_859_437_6);
        assert_digits(two.coefficients[1], 0.312_077_778_545_279_35);
        assert_digits(two.r_squared, 0.993_613_631_711_529_3);
        assert_digits(two.loss, 1.5);
        assert_eq!(two.df, 5);
    }

    #[test]
    fn controls_find_the_mean_that_they_hide() {
        // y = 3 + 2 (c − 1) + noise of sd 0.1: 95 % of 400 intervals, two standard errors 2.2 %.
        let mut stream = Stream::new(11, "controls", 0);
        let mut covered = 0;
        for _ in 0..400 {
            let c: Vec<f64> = (0..12).map(|_| 1.0 + stream.normal()).collect();
            let y: Vec<f64> =
                c.iter().map(|c| 3.0 + 2.0 * (c - 1.0) + 0.1 * stream.normal()).collect();
            let mean = controlled(&y, &[Control { values: &c, expected: 1.0 }]).unwrap();
            covered += usize::from(mean.interval(0.95).unwrap().contains(3.0));
            assert!(mean.se < 0.1);
        }
        assert!((365..=395).contains(&covered), "{covered}");
    }

    #[test]
    fn what_controls_nothing_gives_none() {
        let c = Control { values: &C, expected: 1.0 };
        let twice = C.map(|c| 2.0 * c + 1.0);
        let copy = Control { values: &twice, expected: 3.0 };
        assert_eq!(controlled(&Y, &[]), None);
        assert_eq!(controlled(&Y, &[c, copy]), None);
        assert_eq!(controlled(&[1.0; 8], &[c]), None);
        assert_eq!(controlled(&Y, &[Control { values: &[1.0; 8], expected: 1.0 }]), None);
        assert_eq!(controlled(&Y[..7], &[c]), None);
        assert_eq!(controlled(&Y, &[Control { values: &C, expected: f64::NAN }]), None);
        assert_eq!(controlled(&Y[..2], &[Control { values: &C[..2], expected: 1.0 }]), None);
        let three = controlled(&Y[..3], &[Control { values: &C[..3], expected: 1.0 }]).unwrap();
        assert_eq!((three.df, three.loss), (1, None));
    }
}
