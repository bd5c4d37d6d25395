//! The `[statistics]` table of a manifest: what intervals are asked for.

use crate::document::{Bounds, FaultSet, Item, Table, Value, suggestion};
use crate::metrics::METRICS;
use crate::stats::{IntervalMethod, IntervalSpec};

/// What the confidence of an interval may be.
pub(super) const CONFIDENCES: Bounds = Bounds::Between(0.5, 0.9999);
/// What a precision may be, as a share of the mean.
pub(super) const PRECISIONS: Bounds = Bounds::Between(1e-4, 1.0);
/// The most seeds that may be added up to.
pub(super) const MOST_SEEDS: u64 = 100_000;

/// The most seeds, where the manifest asks for a precision and does not say.
pub(super) const USUAL_SEEDS: u64 = 100;

/// How sure the numbers of cells are to be, and how that is told.
#[derive(Clone, Debug, Default)]
pub struct StatisticsSpec {
    /// The intervals of all means over seeds.
    pub interval: IntervalSpec,
    /// How closely a metric is to be known.
    pub precision: Option<Precision>,
    /// The most seeds that a cell may have.
    pub max_seeds: Option<u64>,
}

/// How closely a metric is to be known.
#[derive(Clone, Debug)]
pub struct Precision {
    /// Its column.
    pub metric: String,
    /// Half the width of its interval over its mean, at most.
    pub relative: f64,
    /// Where its column is named.
    pub(super) place: Value,
}

impl StatisticsSpec {
    /// Reads the table of a manifest that has so many seeds.
    pub(super) fn read(table: &mut Table<'_>, num_seeds: usize) -> Self {
        let default = IntervalSpec::default();
        let interval = IntervalSpec {
            confidence: table.real("confidence", CONFIDENCES).unwrap_or(default.confidence),
            method: table.item("interval").and_then(|item| method(&item)).unwrap_or_default(),
        };
        let precision = table.section("precision", Precision::read).flatten();
        let max_seeds = table.whole("max_seeds", 1..=MOST_SEEDS);
        if max_seeds.is_some_and(|most| most <= num_seeds as u64) {
            let message = format!("no more `max_seeds` than the {num_seeds} of the grid");
            let hint = "seeds are added up to it: make it more, or leave it out".to_owned();
            table.fault_at("max_seeds", message, Some(hint));
        }
        if max_seeds.is_some() && precision.is_none() && !table.has("precision") {
            let hint = "say how closely what is to be known: `precision = { metric = \
                        \"ttft_mean_ms\", relative = 0.05 }`";
            table.fault_at("max_seeds", "`max_seeds` without `precision`", Some(hint.to_owned()));
        }
        Self { interval, precision, max_seeds }
    }

    /// Returns the most seeds that a cell may have, where it begins with so many; 0 where none are
    /// added.
    pub(super) fn most_seeds(&self, first: usize) -> usize {
        let most = usize::try_from(self.max_seeds.unwrap_or(USUAL_SEEDS)).unwrap_or(usize::MAX);
        if self.precision.is_some() { most.max(first) } else { 0 }
    }

    /// Refuses a metric that the tables do not have; `slo_columns` are those of the objectives.
    pub(super) fn check_metric(&self, slo_columns: &[String], faults: &mut FaultSet) {
        if let Some(Precision { metric, place, .. }) = &self.precision {
            check_metric(metric, place, slo_columns, faults);
        }
    }
}

/// Refuses the name of a metric, written at `place`, that the tables do not have.
pub(super) fn check_metric(
    metric: &str,
    place: &Value,
    slo_columns: &[String],
    faults: &mut FaultSet,
) {
    let mut known: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    known.extend(slo_columns.iter().map(String::as_str));
    if known.contains(&metric) {
        return;
    }
    let objective = metric.strip_prefix("slo_").filter(|own| own.ends_with("_ms"));
    let near = match objective {
        Some(_) => suggestion(metric, slo_columns.iter().map(String::as_str)),
        None => suggestion(metric, known),
    };
    let hint = match (near, objective) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(objective)) => format!("there is no objective `{objective}` in [slo]"),
        (None, None) => "metrics are the columns of docs/metrics.md, and `slo_` objectives".into(),
    };
    faults.add(place.fault(format!("unknown metric `{metric}`"), Some(hint)));
}

impl Precision {
    fn read(table: &mut Table<'_>) -> Option<Self> {
        let metric = table.item("metric");
        if metric.is_none() {
            table.fault("`precision` without `metric`", Some("name a column of `runs`".to_owned()));
        }
        let relative = table.real("relative", PRECISIONS);
        if relative.is_none() && !table.has("relative") {
            let hint = "`relative = 0.05` is 5 % of the mean".to_owned();
            table.fault("`precision` without `relative`", Some(hint));
        }
        let metric = metric?;
        Some(Self { metric: metric.text()?, relative: relative?, place: metric.value() })
    }
}

fn method(item: &Item<'_>) -> Option<IntervalMethod> {
    let text = item.text()?;
    let found = IntervalMethod::ALL.into_iter().find(|method| method.name() == text);
    if found.is_none() {
        item.wrong("\"t\", \"log\" or \"bca\"");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn read(text: &str) -> Result<StatisticsSpec, String> {
        let document = Document::parse("m.toml", text).unwrap();
        let read = document.settle(|root| Some(StatisticsSpec::read(root, 5)));
        read.map_err(|faults| faults.to_string())
    }

    #[test]
    fn what_is_not_said_is_students_t_at_95_percent() {
        let spec = read("").unwrap();
        assert_eq!(spec.interval, IntervalSpec::default());
        assert!(spec.precision.is_none() && spec.max_seeds.is_none());
        let spec = read(
            "confidence = 0.9\ninterval = \"bca\"\nmax_seeds = 6\n\
             precision = { metric = \"e2e_mean_ms\", relative = 0.01 }",
        );
        let spec = spec.unwrap();
        let interval = IntervalSpec { confidence: 0.9, method: IntervalMethod::Bca };
        assert_eq!((spec.interval, spec.max_seeds), (interval, Some(6)));
        let precision = spec.precision.unwrap();
        assert_eq!((precision.metric.as_str(), precision.relative), ("e2e_mean_ms", 0.01));
    }

    #[test]
    fn what_can_not_be_is_a_fault_that_says_how_to_mend_it() {
        let precision = "precision = { metric = \"ttft_mean_ms\", relative = 0.05 }";
        for (text, part) in [
            ("confidence = 95", "`confidence` is 95"),
            ("interval = \"student\"", "\"t\", \"log\" or \"bca\""),
            ("intervall = \"t\"", "did you mean `interval`?"),
            ("precision = { relative = 0.05 }", "`precision` without `metric`"),
            ("precision = { metric = \"ttft_mean_ms\" }", "`precision` without `relative`"),
            ("precision = { metric = \"m\", relative = 0 }", "`precision.relative` is 0"),
            ("max_seeds = 9", "`max_seeds` without `precision`"),
            (&format!("max_seeds = 5\n{precision}"), "no more `max_seeds` than the 5 of the grid"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
