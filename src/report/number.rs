//! Numbers as people read them.

use crate::document::Scalar;

/// How a kind of number is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// What the number is multiplied with.
    scale: f64,
    /// Decimals for a scaled value.
    places: fn(f64) -> usize,
}

/// Milliseconds: to a tenth, and to a whole one from 10 s up, where tenths are noise.
pub(super) const MS: Style =
    Style { scale: 1.0, places: |value| if value < 10_000.0 { 1 } else { 0 } };

/// Seconds to a tenth.
pub(super) const SECONDS: Style = Style { scale: 1.0, places: |_| 1 };

/// A ratio as percent to a tenth.
pub(super) const PERCENT: Style = Style { scale: 100.0, places: |_| 1 };

/// A ratio that may be near 1, to four digits.
pub(super) const RATIO: Style = Style { scale: 1.0, places: |_| 4 };

/// A rate to a hundredth below a thousand, whole above.
pub(super) const RATE: Style =
    Style { scale: 1.0, places: |value| if value < 1_000.0 { 2 } else { 0 } };

/// A whole number.
pub(super) const WHOLE: Style = Style { scale: 1.0, places: |_| 0 };

/// A number around 1: to a thousandth, or to three digits when it is small.
pub(super) const INDEX: Style = Style { scale: 1.0, places: index };

/// Three significant digits or more, never with an exponent.
pub(super) const SIGNIFICANT: Style = Style { scale: 1.0, places: significant };

/// Dollars per thousand shown per million.
pub(super) const PER_MILLION: Style = Style { scale: 1e3, places: index };

impl Style {
    /// Makes a style: what a value is multiplied with, and the decimals of the product.
    pub(super) const fn new(scale: f64, places: fn(f64) -> usize) -> Self {
        Self { scale, places }
    }

    /// Shows a value.
    pub(super) fn show(self, value: f64) -> String {
        self.show_like(value, value)
    }

    /// Shows a value with the decimals that `like` would have.
    pub(super) fn show_like(self, value: f64, like: f64) -> String {
        let places = (self.places)((like * self.scale).abs());
        format!("{:.places$}", value * self.scale)
    }
}

/// Shows a share that somebody wrote as percent, without the last digits of its making: 99.9 %, not
/// 99.90000000000001 %.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", Scalar::Real((share * 1e8).round() / 1e6))
}

fn index(value: f64) -> usize {
    if value < 0.01 { significant(value) } else { 3 }
}

fn significant(value: f64) -> usize {
    if value < 1e-12 {
        return 3;
    }
    if value >= 1_000.0 {
        return 0;
    }
    let mut places = 2;
    let mut scaled = value;
    while scaled < 1.0 {
        scaled *= 10.0;
        places += 1;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_keep_their_digits() {
        assert_eq!(SIGNIFICANT.show(0.000_123_4), "0.000123");
        assert_eq!(SIGNIFICANT.show(3.1312), "3.13");
        assert_eq!(INDEX.show(0.001_234), "0.00123");
        assert_eq!([INDEX.show(1.0), INDEX.show(0.0)], ["1.000", "0.000"]);
    }

    #[test]
    fn large_times_lose_their_tenths() {
        assert_eq!([MS.show(9_999.9), MS.show(12_345.6)], ["9999.9", "12346"]);
    }

    #[test]
    fn a_half_width_has_the_decimals_of_its_mean() {
        assert_eq!(INDEX.show_like(0.000_769, 0.072), "0.001");
        assert_eq!(PERCENT.show_like(0.001, 0.98), "0.1");
    }
}
