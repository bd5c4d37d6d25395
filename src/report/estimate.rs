//! A number over the seeds: its mean and how sure it is.

use crate::metrics::{METRICS, Metric, Summary};
use crate::stats::{Moments, t_interval};
use crate::study::Run;

use super::number::Style;

/// Confidence of the intervals.
const CONFIDENCE: f64 = 0.95;

/// The mean over runs and the half-width of its interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Estimate {
    /// None when some run does not know the number.
    pub(super) mean: Option<f64>,
    /// None for one run.
    pub(super) half: Option<f64>,
}

impl Estimate {
    /// Estimates a number of the runs.
    pub(super) fn of(runs: &[Run], get: impl Fn(&Summary) -> Option<f64>) -> Self {
        let values: Option<Vec<f64>> = runs.iter().map(|run| get(&run.summary)).collect();
        let Some(values) = values else {
            return Self::default();
        };
        let half = t_interval(&values, CONFIDENCE).map(|ends| (ends.hi - ends.lo) / 2.0);
        Self { mean: Moments::of(&values).mean(), half }
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
        match (self.mean, self.half) {
            (Some(mean), Some(half)) => {
                format!("{} ± {}", style.show(mean), style.show_like(half, mean))
            }
            (mean, _) => mean.map_or_else(|| "-".to_owned(), |mean| style.show(mean)),
        }
    }

    /// Shows the mean alone.
    pub(super) fn show_mean(self, style: Style) -> String {
        Self { half: None, ..self }.show(style)
    }

    /// Shows the half-width alone, empty where there is none.
    pub(super) fn show_half(self, style: Style) -> String {
        let both = self.half.zip(self.mean);
        both.map_or_else(String::new, |(half, mean)| format!("±{}", style.show_like(half, mean)))
    }
}

fn metric(name: &str) -> &'static Metric {
    let metric = METRICS.iter().find(|metric| metric.name == name);
    metric.expect("tables name metrics that there are")
}
