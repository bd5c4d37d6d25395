//! A row per run.

use std::sync::Arc;

use polars::prelude::{Column, DataFrame, IdxCa, IdxSize, PlSmallStr};

use crate::document::Scalar;
use crate::metrics::{METRICS, OutcomeCounts, Summary, TermSummary};
use crate::router::{AlgorithmSpec, RejectReason};

use super::failure::Failure;
use super::write::TableError;

/// One point of a grid, without its seed.
#[derive(Clone, Debug, PartialEq)]
pub struct CellKey {
    /// Name of the config.
    pub config: String,
    /// The algorithm with its parameters.
    pub algorithm: Arc<AlgorithmSpec>,
    /// Request rate that was asked for; none when a trace is replayed at its own.
    pub rate_rps: Option<f64>,
    /// Values of the grid's other axes, in their order; null where one does not apply.
    pub coordinates: Arc<[Scalar]>,
    /// What people call it: no other cell of the grid is called so.
    pub label: String,
}

/// A run of a grid, by its place: its cell in the order of cells, and its seed in that of seeds.
///
/// Its order is that of the table of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunIndex {
    /// Which cell.
    pub cell: usize,
    /// Which of the seeds.
    pub seed: usize,
}

/// One run and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Its place in the grid.
    pub index: RunIndex,
    /// Its cell.
    pub cell: Arc<CellKey>,
    /// Its seed.
    pub seed: u64,
    /// The rate that its workload had over the window.
    pub realised_rps: Option<f64>,
    /// Its numbers, or why there are none.
    pub outcome: Result<Summary, Failure>,
}

impl RunRow {
    /// Returns how the run ended: the value of the column `status`.
    pub fn status(&self) -> &'static str {
        self.outcome.as_ref().map_or_else(|failure| failure.kind.status(), |_| "ok")
    }
}

impl CellKey {
    /// Returns what a cell is called where the manifest does not say: config, coordinates, algorithm
    /// and rate, with the names of the axes of the coordinates.
    pub fn own_label(&self, names: &[String]) -> String {
        let mut parts = vec![self.config.clone()];
        for (name, value) in names.iter().zip(self.coordinates.iter()) {
            if *value != Scalar::Null {
                parts.push(format!("{name}={value}"));
            }
        }
        parts.push(self.algorithm.label());
        parts.extend(self.rate_rps.map(|rate| rate.to_string()));
        parts.join("/")
    }
}

/// Makes the table of runs, [`axes_frame`] and [`results_frame`] side by side; rows keep their
/// order. `coordinates` are the names of the axes beside config, algorithm and rate, `slo_terms` the
/// columns of the SLO.
///
/// # Errors
///
/// When polars refuses, which would be our fault.
pub fn runs_frame(
    rows: &[RunRow],
    coordinates: &[String],
    slo_terms: &[String],
) -> Result<DataFrame, TableError> {
    let cells: Vec<&CellKey> = rows.iter().map(|row| row.cell.as_ref()).collect();
    let mut seeds = vec![0; rows.iter().map(|row| row.index.seed + 1).max().unwrap_or(0)];
    rows.iter().for_each(|row| seeds[row.index.seed] = row.seed);
    let own = rows.iter().enumerate();
    let own = own.map(|(at, row)| RunIndex { cell: at, seed: row.index.seed });
    let own: Vec<RunIndex> = own.collect();
    let coordinates = AxisColumn::of(coordinates, || cells.iter().copied());
    let axes = axes_frame(&cells, &coordinates, &seeds, &own)?;
    side_by_side(&axes, &results_frame(rows, slo_terms)?)
}

/// The column of a further axis.
#[derive(Clone, Debug)]
pub struct AxisColumn {
    name: String,
    kind: AxisKind,
}

/// The narrowest type that all values of an axis have.
#[derive(Clone, Copy, Debug)]
enum AxisKind {
    Truth,
    Whole,
    Real,
    Text,
}

impl AxisColumn {
    /// Returns the columns of the axes of a grid: their names, and `cells`, which are all of it.
    pub fn of<'c, I: Iterator<Item = &'c CellKey>>(
        names: &[String],
        cells: impl Fn() -> I,
    ) -> Vec<Self> {
        let column = |(at, name): (usize, &String)| {
            let all = |fits: fn(&Scalar) -> bool| {
                cells().all(|cell| {
                    let value = &cell.coordinates[at];
                    *value == Scalar::Null || fits(value)
                })
            };
            let kind = if all(|value| matches!(value, Scalar::Truth(_))) {
                AxisKind::Truth
            } else if all(|value| matches!(value, Scalar::Whole(_))) {
                AxisKind::Whole
            } else if all(|value| matches!(value, Scalar::Whole(_) | Scalar::Real(_))) {
                AxisKind::Real
            } else {
                AxisKind::Text
            };
            Self { name: name.clone(), kind }
        };
        names.iter().enumerate().map(column).collect()
    }
}

/// Makes the columns that say which run: every axis of the grid. Indices are into `cells` and
/// `seeds`, which need not be all of the grid's.
///
/// # Errors
///
/// When polars refuses, which would be our fault.
pub fn axes_frame(
    cells: &[&CellKey],
    coordinates: &[AxisColumn],
    seeds: &[u64],
    runs: &[RunIndex],
) -> Result<DataFrame, TableError> {
    // Texts are made once for each cell.
    let text = |name: &str, get: fn(&CellKey) -> String| {
        let by_cell: Vec<String> = cells.iter().map(|cell| get(cell)).collect();
        let values: Vec<&str> = runs.iter().map(|run| by_cell[run.cell].as_str()).collect();
        Column::new(PlSmallStr::from(name), values)
    };
    let parameters = |cell: &CellKey| {
        let parameters = cell.algorithm.parameters().iter();
        let list: Vec<String> = parameters.map(|(name, value)| format!("{name}={value}")).collect();
        list.join(",")
    };
    let mut columns = vec![
        text("cell_label", |cell| cell.label.clone()),
        text("config", |cell| cell.config.clone()),
        text("algorithm", |cell| cell.algorithm.label()),
        text("algorithm_name", |cell| cell.algorithm.name().to_owned()),
        text("algorithm_parameters", parameters),
        real("rate_rps", runs, |run| cells[run.cell].rate_rps),
    ];
    for (at, axis) in coordinates.iter().enumerate() {
        columns.push(coordinate_column(axis, cells, at, runs));
    }
    columns.push(whole("seed", runs, |run| Some(seeds[run.seed])));
    columns.push(whole("draw", runs, |run| u64::try_from(run.seed).ok()));
    Ok(DataFrame::new(runs.len(), columns)?)
}

fn coordinate_column(
    axis: &AxisColumn,
    cells: &[&CellKey],
    at: usize,
    runs: &[RunIndex],
) -> Column {
    let own = |run: &RunIndex| &cells[run.cell].coordinates[at];
    let name = PlSmallStr::from(axis.name.as_str());
    match axis.kind {
        AxisKind::Truth => {
            let truth = |run| if let Scalar::Truth(truth) = own(run) { Some(*truth) } else { None };
            Column::new(name, runs.iter().map(truth).collect::<Vec<_>>())
        }
        AxisKind::Whole => {
            let whole =
                |run| if let Scalar::Whole(number) = own(run) { Some(*number) } else { None };
            Column::new(name, runs.iter().map(whole).collect::<Vec<_>>())
        }
        AxisKind::Real => {
            let real = |run| match own(run) {
                Scalar::Whole(number) => Some(*number as f64),
                Scalar::Real(number) => Some(*number),
                Scalar::Null | Scalar::Truth(_) | Scalar::Text(_) => None,
            };
            Column::new(name, runs.iter().map(real).collect::<Vec<_>>())
        }
        AxisKind::Text => {
            let values = cells.iter().map(|cell| &cell.coordinates[at]);
            let by_cell: Vec<Option<String>> =
                values.map(|value| (*value != Scalar::Null).then(|| value.to_string())).collect();
            let text = |run: &RunIndex| by_cell[run.cell].as_deref();
            Column::new(name, runs.iter().map(text).collect::<Vec<_>>())
        }
    }
}

/// Makes the columns that say what came of runs; rows keep their order.
///
/// # Errors
///
/// When polars refuses, which would be our fault.
pub fn results_frame(rows: &[RunRow], slo_terms: &[String]) -> Result<DataFrame, TableError> {
    let mut columns = vec![
        text("status", rows, |row| Some(row.status().to_owned())),
        text("error", rows, |row| Some(row.outcome.as_ref().err()?.error.clone())),
        real("realised_rps", rows, |row| row.realised_rps),
        real("window_s", rows, |row| Some(summary(row)?.window_s)),
        real("drawn_prompt_mean_tokens", rows, |row| summary(row)?.drawn.prompt_mean_tokens),
        real("drawn_output_mean_tokens", rows, |row| summary(row)?.drawn.output_mean_tokens),
        real("drawn_interarrival_mean_s", rows, |row| summary(row)?.drawn.interarrival_mean_s),
        real("ttft_first_half_mean_ms", rows, |row| summary(row)?.ttft_halves.first_ms),
        real("ttft_second_half_mean_ms", rows, |row| summary(row)?.ttft_halves.second_ms),
    ];
    columns.extend(count_columns(rows));
    columns.extend([
        whole("backlog_start_count", rows, |row| Some(summary(row)?.backlog.start)),
        whole("backlog_end_count", rows, |row| Some(summary(row)?.backlog.end)),
    ]);
    for metric in &METRICS {
        columns.push(real(metric.name, rows, |row| (metric.get)(summary(row)?)));
    }
    for column in slo_terms {
        columns.push(real(column, rows, |row| term(row, column)?.value_ms));
        let lost = |row: &RunRow| {
            let own = term(row, column)?;
            Some(u64::from(own.value_ms.is_none() && !own.met))
        };
        columns.push(whole(&lost_column(column), rows, lost));
    }
    columns.push(whole("events_count", rows, |row| Some(summary(row)?.events)));
    let method = |row: &RunRow| Some(summary(row)?.latency_quantiles.name().to_owned());
    columns.push(text("latency_quantiles", rows, method));
    Ok(DataFrame::new(rows.len(), columns)?)
}

/// Puts the columns of two tables of the same runs beside one another.
///
/// # Errors
///
/// When they have not as many rows, or a column of the same name.
pub fn side_by_side(left: &DataFrame, right: &DataFrame) -> Result<DataFrame, TableError> {
    Ok(left.hstack(right.columns())?)
}

/// Returns the columns of `like`, in its order, from a table that may have others and may lack some:
/// what it lacks is null.
///
/// # Errors
///
/// When a column has another type.
pub fn in_order_of(like: &DataFrame, table: &DataFrame) -> Result<DataFrame, TableError> {
    let column = |own: &Column| match table.column(own.name()) {
        Ok(found) => found.cast(own.dtype()),
        Err(_) => Ok(Column::full_null(own.name().clone(), table.height(), own.dtype())),
    };
    let columns: Result<Vec<Column>, _> = like.columns().iter().map(column).collect();
    Ok(DataFrame::new(table.height(), columns?)?)
}

/// Makes a table of one column of texts.
///
/// # Errors
///
/// When polars refuses, which would be our fault.
pub fn text_column<T: AsRef<str>>(name: &str, values: &[T]) -> Result<DataFrame, TableError> {
    let height = values.len();
    let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
    Ok(DataFrame::new(height, vec![Column::new(PlSmallStr::from(name), values)])?)
}

/// Puts tables into one, its rows in the order of the places that stand beside each table. Without
/// tables it has no columns.
///
/// # Errors
///
/// When the tables have not the same columns.
pub fn stacked(parts: Vec<(Vec<RunIndex>, DataFrame)>) -> Result<DataFrame, TableError> {
    let mut places = Vec::new();
    let mut all = DataFrame::empty();
    for (own, frame) in parts {
        places.extend(own);
        all.vstack_mut_owned(frame)?;
    }
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|row| places[*row]);
    let order: Vec<IdxSize> = order.into_iter().filter_map(|row| row.try_into().ok()).collect();
    Ok(all.take(&IdxCa::from_vec(PlSmallStr::EMPTY, order))?)
}

/// The column that says whether an objective is infinite in a run, as it lies among requests that
/// did not finish.
pub(super) fn lost_column(term: &str) -> String {
    format!("{}_lost_count", term.trim_end_matches("_ms"))
}

/// Outcomes over all requests and over the measured ones.
fn count_columns(rows: &[RunRow]) -> Vec<Column> {
    let mut columns = Vec::new();
    for scope in ["", "measured_"] {
        fn counts<'s>(scope: &str, summary: &'s Summary) -> &'s OutcomeCounts {
            if scope.is_empty() { &summary.all } else { &summary.measured }
        }
        let mut push = |name: &str, get: &dyn Fn(&OutcomeCounts) -> u64| {
            let name = format!("{scope}{name}_count");
            columns.push(whole(&name, rows, |row| Some(get(counts(scope, summary(row)?)))));
        };
        push("requests", &|counts| counts.requests);
        push("finished", &|counts| counts.finished);
        for reason in RejectReason::ALL {
            let name = format!("rejected_{}", reason.name());
            push(&name, &|counts| counts.rejected.get(reason.name()).copied().unwrap_or(0));
        }
        push("timed_out", &|counts| counts.timed_out);
        push("unserved", &|counts| counts.unserved);
    }
    columns
}

/// The objective of that column.
fn term<'r>(row: &'r RunRow, column: &str) -> Option<&'r TermSummary> {
    let name = column.strip_prefix("slo_")?;
    summary(row)?.slo.as_ref()?.terms.iter().find(|own| own.name == name)
}

fn summary(row: &RunRow) -> Option<&Summary> {
    row.outcome.as_ref().ok()
}

pub(super) fn text<T>(name: &str, rows: &[T], get: impl Fn(&T) -> Option<String>) -> Column {
    Column::new(PlSmallStr::from(name), rows.iter().map(get).collect::<Vec<_>>())
}

/// A NaN or an infinity would be our fault; it must not poison a reader's means.
pub(super) fn real<T>(name: &str, rows: &[T], get: impl Fn(&T) -> Option<f64>) -> Column {
    let values = rows.iter().map(|row| get(row).filter(|value| value.is_finite()));
    Column::new(PlSmallStr::from(name), values.collect::<Vec<_>>())
}

/// Counts are signed 64-bit, which every reader has.
pub(super) fn whole<T>(name: &str, rows: &[T], get: impl Fn(&T) -> Option<u64>) -> Column {
    let values = rows.iter().map(|row| get(row).and_then(|value| i64::try_from(value).ok()));
    Column::new(PlSmallStr::from(name), values.collect::<Vec<_>>())
}
