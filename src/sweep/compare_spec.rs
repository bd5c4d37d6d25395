//! The `[compare]` table of a manifest: which cells are compared, and in what.

use std::collections::BTreeSet;

use crate::document::{Bounds, FaultSet, Item, Scalar, Table, Value, did_you_mean};
use crate::metrics::{Better, METRICS};
use crate::tables::CellKey;

use super::grid::Cell;
use super::manifest::{Axis, GridSpec, Manifest, Target};
use super::statistics_spec::check_metric;

/// What the margin may be.
pub(super) const MARGINS: Bounds = Bounds::Between(0.0, 1.0);
/// The margin where none is given.
pub(super) const MARGIN: f64 = 0.02;
/// The axis that is compared over where none is named.
pub(super) const OVER: &str = "algorithm";
/// The metrics of cells without objectives.
const USUAL: [&str; 3] = ["ttft_mean_ms", "tpot_mean_ms", "e2e_p99_ms"];

/// Which cells are compared, and in what.
#[derive(Clone, Debug)]
pub struct CompareSpec {
    /// The axis whose values are compared; cells that are equal in all others are a group.
    pub over: Named,
    /// The value that all others are compared with; without one it is every two.
    pub baseline: Option<Named>,
    /// Columns of metrics; none for the objectives, or the usual ones without any.
    pub metrics: Option<Vec<Named>>,
    /// The largest change that does not matter, as a share.
    pub margin: f64,
}

/// A name and where it is written.
#[derive(Clone, Debug)]
pub struct Named {
    /// The name.
    pub name: String,
    place: Value,
}

impl CompareSpec {
    /// Reads the table, which stands at `place`.
    pub(super) fn read(table: &mut Table<'_>, place: Value) -> Self {
        let over = table.item("over").and_then(|item| Named::text(&item));
        let baseline = table.item("baseline").and_then(|item| Named::scalar(&item));
        let metrics = table.list("metrics");
        if metrics.as_ref().is_some_and(Vec::is_empty) {
            let hint = "leave it out for the objectives".to_owned();
            table.fault_at("metrics", "no `metrics`", Some(hint));
        }
        let metrics = metrics.map(|items| items.iter().filter_map(Named::text).collect());
        let margin = table.real("margin", MARGINS).unwrap_or(MARGIN);
        let over = over.unwrap_or_else(|| Named { name: OVER.to_owned(), place });
        Self { over, baseline, metrics, margin }
    }

    /// Returns the metrics that are compared; `objectives` are the columns of those.
    pub(super) fn metric_names(&self, objectives: Vec<String>) -> Vec<String> {
        match &self.metrics {
            Some(metrics) => metrics.iter().map(|metric| metric.name.clone()).collect(),
            None if objectives.is_empty() => USUAL.map(str::to_owned).to_vec(),
            None => objectives,
        }
    }

    /// Refuses an axis, a baseline or a metric that is not there, of cells with their further axes.
    pub(super) fn check(
        &self,
        manifest: &Manifest,
        (coordinates, cells): (&[String], &[Cell]),
        slo_columns: &[String],
        faults: &mut FaultSet,
    ) {
        for metric in self.metrics.iter().flatten() {
            check_metric(&metric.name, &metric.place, slo_columns, faults);
            let own = METRICS.iter().find(|own| own.name == metric.name);
            if own.is_some_and(|own| own.better == Better::Neither) {
                let message = format!("`{}` is neither better low nor high", metric.name);
                let hint = "compare what it does: latencies, throughput, cost".to_owned();
                faults.add(metric.place.fault(message, Some(hint)));
            }
        }
        let Some(over) = Over::of(manifest, &self.over.name) else {
            let known = axis_names(manifest);
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let message = format!("no axis `{}` to compare over", self.over.name);
            let hint = did_you_mean(&self.over.name, &known);
            faults.add(self.over.place.fault(message, Some(hint)));
            return;
        };
        let Some(baseline) = &self.baseline else { return };
        let values: BTreeSet<String> =
            cells.iter().map(|cell| over.value_of(coordinates, &cell.key)).collect();
        if !values.contains(&baseline.name) {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let message = format!("`{}` is never `{}`", self.over.name, baseline.name);
            let hint = did_you_mean(&baseline.name, &values);
            faults.add(baseline.place.fault(message, Some(hint)));
        }
    }
}

impl Named {
    fn text(item: &Item<'_>) -> Option<Self> {
        Some(Self { name: item.text()?, place: item.value() })
    }

    fn scalar(item: &Item<'_>) -> Option<Self> {
        match item.value().scalar() {
            None | Some(Scalar::Null) => {
                item.wrong("a value of the axis");
                None
            }
            Some(value) => Some(Self { name: value.to_string(), place: item.value() }),
        }
    }
}

/// An axis that is compared over, and what goes with it.
#[derive(Clone, Debug)]
pub(super) struct Over {
    /// Its column: `config`, `algorithm`, `rate_rps` or a coordinate.
    pub(super) column: String,
    /// Columns that may differ within a group: its own, those of axes that advance with it, and for
    /// the algorithm those of its parameters.
    pub(super) free: Vec<String>,
    /// The parameter of algorithms that it is.
    pub(super) parameter: Option<String>,
}

impl Over {
    /// Finds an axis of a manifest.
    pub(super) fn of(manifest: &Manifest, name: &str) -> Option<Self> {
        let grids = || manifest.grids.iter();
        let own = grids().flat_map(GridSpec::axes).find(|axis| axis.is_called(name))?;
        let column = column_of(own);
        let with_it = grids().flat_map(|grid| &grid.dimensions);
        let with_it = with_it.filter(|own| own.axes.iter().any(|axis| axis.is_called(name)));
        let mut free: Vec<String> =
            with_it.flat_map(|dimension| &dimension.axes).map(column_of).collect();
        if free.iter().any(|own| own == "algorithm") {
            let all = grids().flat_map(GridSpec::axes);
            let parameters = all.filter(|axis| matches!(axis.target, Target::OfAlgorithm(_)));
            free.extend(parameters.map(column_of));
        }
        // A rate that is no axis follows from axes: cells that are equal in these go together.
        if !grids().flat_map(GridSpec::axes).any(|axis| axis.target == Target::Rate) {
            free.push("rate_rps".to_owned());
        }
        let parameter = match &own.target {
            Target::OfAlgorithm(parameter) => Some(parameter.clone()),
            Target::Config
            | Target::Algorithm
            | Target::Rate
            | Target::OfConfig(_)
            | Target::OfWorkload(_)
            | Target::Variable => None,
        };
        Some(Self { column, free, parameter })
    }

    /// Returns what a cell has on the axis; `coordinates` are the names of its further axes.
    pub(super) fn value_of(&self, coordinates: &[String], key: &CellKey) -> String {
        match self.column.as_str() {
            "config" => key.config.clone(),
            "algorithm" => key.algorithm.label(),
            "rate_rps" => key.rate_rps.map_or(Scalar::Null, Scalar::Real).to_string(),
            column => {
                let own = coordinates.iter().zip(key.coordinates.iter());
                let own = own.filter(|(name, _)| *name == column).map(|(_, value)| value);
                own.map(Scalar::to_string).collect()
            }
        }
    }

    /// Returns whether a column may differ within a group.
    pub(super) fn is_free(&self, column: &str) -> bool {
        self.free.iter().any(|own| own == column)
    }
}

/// The column of an axis.
fn column_of(axis: &Axis) -> String {
    match axis.target {
        Target::Config => "config".to_owned(),
        Target::Algorithm => "algorithm".to_owned(),
        Target::Rate => "rate_rps".to_owned(),
        Target::OfConfig(_) | Target::OfWorkload(_) | Target::OfAlgorithm(_) | Target::Variable => {
            axis.name.clone()
        }
    }
}

/// What axes are called, each once.
fn axis_names(manifest: &Manifest) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for axis in manifest.grids.iter().flat_map(GridSpec::axes) {
        let name = match axis.target {
            Target::Config | Target::Algorithm | Target::Rate => axis.path.clone(),
            Target::OfConfig(_)
            | Target::OfWorkload(_)
            | Target::OfAlgorithm(_)
            | Target::Variable => None,
        };
        let name = name.unwrap_or_else(|| axis.name.clone());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
