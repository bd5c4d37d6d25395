//! What must not fall with the rate: the nearest curve that does not, and where it meets a limit.

/// Returns the ascending sequence that is nearest to `values` in weighted squares.
///
/// Pool adjacent violators: neighbours that fall are replaced by their weighted mean until none do.
/// The weighted mean of the whole is kept. A metric that must grow with the rate (a latency) is
/// fitted so before its crossing is looked for; negate what must fall. Weights are runs, or one over
/// the variance. Where the truth is flat the fit's ends are biased outwards, and its steps carry no
/// interval.
///
/// None when the lengths differ, a value is not finite, or a weight is not above 0 and finite.
///
/// Source: Ayer et al., "An empirical distribution function for sampling with incomplete
/// information", 1955; Barlow et al., "Statistical Inference under Order Restrictions", 1972.
pub fn isotonic(values: &[f64], weights: &[f64]) -> Option<Vec<f64>> {
    let known = values.iter().all(|value| value.is_finite());
    let weighed = weights.iter().all(|weight| *weight > 0.0 && weight.is_finite());
    if values.len() != weights.len() || !known || !weighed {
        return None;
    }
    let mut blocks: Vec<Block> = Vec::with_capacity(values.len());
    for (&mean, &weight) in values.iter().zip(weights) {
        let mut block = Block { mean, weight, length: 1 };
        while let Some(before) = blocks.pop_if(|before| before.mean >= block.mean) {
            block = before.with(&block);
        }
        blocks.push(block);
    }
    let fit = blocks.iter().flat_map(|block| std::iter::repeat_n(block.mean, block.length));
    let fit: Vec<f64> = fit.collect();
    fit.iter().all(|value| value.is_finite()).then_some(fit)
}

/// Neighbours that share a mean.
struct Block {
    mean: f64,
    weight: f64,
    length: usize,
}

impl Block {
    fn with(&self, next: &Self) -> Self {
        let weight = self.weight + next.weight;
        let mean = self.mean + (next.mean - self.mean) * (next.weight / weight);
        // Rounding must not push a mean beyond both.
        let mean = mean.max(next.mean).min(self.mean);
        Self { mean, weight, length: self.length + next.length }
    }
}

/// A mean and half the width of its interval, at one rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BandPoint {
    /// Rate, requests/s.
    pub rate: f64,
    /// Mean of the metric, which is to grow with the rate.
    pub mean: f64,
    /// Half the width of its interval, at least 0.
    pub half_width: f64,
}

/// Where a curve meets a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Crossing {
    /// Below the lowest rate: it is above the limit there already.
    Below,
    /// At this rate, requests/s.
    At(f64),
    /// Above the highest rate: it is within the limit up to there.
    Above,
}

/// The highest rate within a limit, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BandCrossing {
    /// Where the means leave the limit.
    pub estimate: Crossing,
    /// Where the upper ends of the intervals do: at most the estimate.
    pub lo: Crossing,
    /// Where the lower ends do: at least the estimate.
    pub hi: Crossing,
}

/// Inverts a band of intervals: where its middle and its ends first rise above `limit`.
///
/// Between two rates each of the three lines is straight. Where a line falls back below the limit
/// at a higher rate, the first crossing stands (fit it with [`isotonic`] before, if it must not
/// fall). Each rate's interval holds by itself, so the confidence of the result is that of the two
/// rates around the crossing only as far as a straight line holds between them: put rates close
/// where the curve bends, below saturation. Metrics that shrink with the rate are negated, and so
/// is the limit.
///
/// None without points, unless rates ascend strictly, or when a number is not finite or a half width
/// negative.
///
/// Source: inverse regression, as Draper and Smith, "Applied Regression Analysis", section 3.2, by
/// points instead of a fit.
pub fn band_crossing(points: &[BandPoint], limit: f64) -> Option<BandCrossing> {
    let finite = |point: &BandPoint| {
        let ends = [point.mean - point.half_width, point.mean + point.half_width];
        point.rate.is_finite() && ends.iter().all(|end| end.is_finite())
    };
    let sound = points.iter().all(|point| finite(point) && point.half_width >= 0.0);
    let ascending = points.windows(2).all(|pair| pair[0].rate < pair[1].rate);
    if points.is_empty() || !sound || !ascending || !limit.is_finite() {
        return None;
    }
    let line = |side: f64| {
        let at = |point: &BandPoint| (point.rate, point.mean + side * point.half_width);
        first_crossing(&points.iter().map(at).collect::<Vec<_>>(), limit)
    };
    Some(BandCrossing { estimate: line(0.0), lo: line(1.0), hi: line(-1.0) })
}

/// Where the line through `points` first rises above `limit`.
fn first_crossing(points: &[(f64, f64)], limit: f64) -> Crossing {
    let Some(above) = points.iter().position(|(_, value)| *value > limit) else {
        return Crossing::Above;
    };
    let Some(before) = above.checked_sub(1) else {
        return Crossing::Below;
    };
    let ((rate, low), (next, high)) = (points[before], points[above]);
    // Halved, so that a rise over all of f64's range does not overflow.
    let share = (limit / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
    let share = share.clamp(0.0, 1.0);
    Crossing::At((rate * (1.0 - share) + next * share).clamp(rate, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::assert_digits;
    use proptest::prelude::*;

    #[test]
    fn falls_are_pooled() {
        let fit = isotonic(&[1.0, 3.0, 2.0, 4.0, 3.5, 5.0], &[1.0; 6]).unwrap();
        for (fit, expected) in fit.iter().zip([1.0, 2.5, 2.5, 3.75, 3.75, 5.0]) {
            assert_digits(*fit, expected);
        }
        // 3 weighs three times as much as 1: 2.5; then 2 joins at (4 · 2.5 + 2) / 5.
        assert_eq!(isotonic(&[3.0, 1.0, 2.0], &[3.0, 1.0, 1.0]), Some(vec![2.4; 3]));
        assert_eq!(isotonic(&[], &[]), Some(Vec::new()));
    }

    #[test]
    fn what_has_no_weight_gives_none() {
        for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(isotonic(&[1.0, 2.0], &[1.0, weight]), None);
        }
        assert_eq!(isotonic(&[1.0, f64::NAN], &[1.0; 2]), None);
        assert_eq!(isotonic(&[1.0], &[1.0; 2]), None);
    }

    fn band(means: [f64; 4]) -> [BandPoint; 4] {
        let (rates, halves) = ([10.0, 12.0, 14.0, 16.0], [10.0, 12.0, 15.0, 40.0]);
        let point = |i: usize| BandPoint { rate: rates[i], mean: means[i], half_width: halves[i] };
        [0, 1, 2, 3].map(point)
    }

    fn rate(crossing: Crossing) -> Option<f64> {
        match crossing {
            Crossing::At(rate) => Some(rate),
            Crossing::Below | Crossing::Above => None,
        }
    }

    #[test]
    fn band_leaves_the_limit_where_its_lines_do() {
        // 12 + 2 · 50/70, 12 + 2 · 38/73 (162 to 235) and 12 + 2 · 62/67 (138 to 205).
        let crossing = band_crossing(&band([100.0, 150.0, 220.0, 400.0]), 200.0).unwrap();
        assert_digits(rate(crossing.estimate), 13.428_571_428_571_429);
        assert_digits(rate(crossing.lo), 13.041_095_890_410_96);
        assert_digits(rate(crossing.hi), 13.850_746_268_656_717);
    }

    #[test]
    fn limits_outside_of_the_rates_are_said_so() {
        let of = |limit| band_crossing(&band([100.0, 150.0, 220.0, 400.0]), limit).unwrap();
        let all = |side| BandCrossing { estimate: side, lo: side, hi: side };
        assert_eq!(of(80.0), all(Crossing::Below));
        assert_eq!(of(500.0), all(Crossing::Above));
        // 360 to 440 at the highest rate.
        assert_eq!((of(420.0).estimate, of(380.0).hi), (Crossing::Above, Crossing::Above));
        // A later fall does not take the first crossing back.
        let fallen = band_crossing(&band([100.0, 220.0, 150.0, 400.0]), 160.0).unwrap();
        assert_digits(rate(fallen.estimate), 11.0);
        assert_eq!(band_crossing(&[], 1.0), None);
        let [a, b, _, _] = band([1.0; 4]);
        assert_eq!(band_crossing(&[b, a], 1.0), None);
        assert_eq!(band_crossing(&[BandPoint { half_width: -1.0, ..a }], 1.0), None);
        assert_eq!(band_crossing(&[a], f64::NAN), None);
    }

    proptest! {
        #[test]
        fn fit_ascends_keeps_the_mean_and_stays_when_fitted_again(
            pairs in proptest::collection::vec((-1e3..1e3_f64, 0.1..10.0_f64), 0..60),
        ) {
            let (values, weights): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let fit = isotonic(&values, &weights).unwrap();
            prop_assert!(fit.windows(2).all(|pair| pair[0] <= pair[1]));
            let sum = |of: &[f64]| of.iter().zip(&weights).map(|(v, w)| v * w).sum::<f64>();
            prop_assert!((sum(&fit) - sum(&values)).abs() < 1e-7);
            let again = isotonic(&fit, &weights).unwrap();
            prop_assert!(fit.iter().zip(&again).all(|(a, b)| (a - b).abs() <= 1e-9));
            // Nearest: at right angles to what is left over (Barlow et al.).
            let left = fit.iter().zip(&values).zip(&weights).map(|((f, v), w)| (v - f) * f * w);
            prop_assert!(left.sum::<f64>().abs() < 1e-3);
        }

        #[test]
        fn crossings_keep_their_order(
            rises in proptest::collection::vec((-5.0..20.0_f64, 0.0..10.0_f64), 1..12),
            limit in -10.0..150.0_f64,
        ) {
            let mut mean = 0.0;
            let point = |((rise, half_width), rate): ((f64, f64), i32)| {
                mean += rise;
                BandPoint { rate: f64::from(rate), mean, half_width }
            };
            let points: Vec<BandPoint> = rises.into_iter().zip(1..).map(point).collect();
            let crossing = band_crossing(&points, limit).unwrap();
            let place = |crossing| match crossing {
                Crossing::Below => f64::NEG_INFINITY,
                Crossing::At(rate) => rate,
                Crossing::Above => f64::INFINITY,
            };
            prop_assert!(place(crossing.lo) <= place(crossing.estimate) + 1e-9);
            prop_assert!(place(crossing.estimate) <= place(crossing.hi) + 1e-9);
        }
    }
}
