//! A number over the seeds: its mean and how sure it is.

use crate::metrics::{METRICS, Metric, Summary};
use crate::stats::{Estimate, IntervalSpec};
use crate::study::Run;

use super::number::Style;

/// An estimate as it is shown; none when some run does not know the number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shown(Option<Estimate>);

impl Shown {
    /// Estimates a number of the runs.
    pub(super) fn of(runs: &[Run], get: impl Fn(&Summary) -> Option<f64>) -> Self {
        let values: Option<Vec<f64>> = runs.iter().map(|run| get(&run.summary)).collect();
        Self(values.and_then(|values| Estimate::of(&values, IntervalSpec::default())))
    }

    /// Estimates the metric of that column.
    ///
    /// # Panics
    ///
    /// When there is no such metric.
    pub(super) fn of_metric(runs: &[Run], name: &str) -> Self {
        Self::of(runs, metric(name).get)
    }

    /// Shows mean ± half-width; "-" for what is not known.
    pub(super) fn show(self, style: Style) -> String {
        let mean = self.show_mean(style);
        match self.half() {
            Some((half, value)) => format!("{mean} ± {}", style.show_like(half, value)),
            None => mean,
        }
    }

    /// Shows the mean alone.
    pub(super) fn show_mean(self, style: Style) -> String {
        self.0.map_or_else(|| "-".to_owned(), |estimate| style.show(estimate.mean))
    }

    /// Shows the half-width alone, empty where there is none.
    pub(super) fn show_half(self, style: Style) -> String {
        let shown = |(half, mean)| format!("±{}", style.show_like(half, mean));
        self.half().map_or_else(String::new, shown)
    }

    /// The half-width, and the mean that it is shown like.
    fn half(self) -> Option<(f64, f64)> {
        let estimate = self.0?;
        Some((estimate.half_width()?, estimate.mean))
    }
}

fn metric(name: &str) -> &'static Metric {
    let metric = METRICS.iter().find(|metric| metric.name == name);
    metric.expect("tables name metrics that there are")
}
