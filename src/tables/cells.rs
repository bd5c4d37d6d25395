//! A row per (cell, metric), over the seeds of the cell.

use polars::prelude::{Column, DataFrame, NamedFrom, PlSmallStr, Series};

use crate::metrics::METRICS;
use crate::stats::{IntervalSpec, MeanInterval, Sample};

use super::read::{CellRuns, RunsReader};
use super::rows::take;
use super::validity::{CellValidity, Flags};
use super::write::TableError;

/// Columns that say which cell, where the table of runs has them; those of further axes follow.
const AXES: [&str; 7] = [
    "cell_id",
    "cell_label",
    "config",
    "algorithm",
    "algorithm_name",
    "algorithm_parameters",
    "rate_rps",
];

/// Its other columns.
pub(super) const CELL_COLUMNS: [&str; 16] = [
    "metric",
    "unit",
    "n",
    "n_failed",
    "mean",
    "sd",
    "se",
    "ci_lo",
    "ci_hi",
    "ci_level",
    "ci_method",
    "min",
    "median",
    "max",
    "n_distinct",
    "flags",
];

/// One row of the table, apart from the axes.
struct CellMetric<'m> {
    /// The first run of its cell.
    first_run: usize,
    metric: &'m str,
    unit: &'static str,
    /// Seeds with a value.
    n: i64,
    failed: i64,
    sample: Option<Sample>,
    interval: Option<MeanInterval>,
    flags: Flags,
}

/// Makes the table of cells from the table of runs; `coordinates` are axes beside the usual ones,
/// `slo_terms` metrics too, in milliseconds.
///
/// A run that failed has no values and is counted in `n_failed`. A seed that changed nothing gives
/// no interval: `n_distinct` is 1 and the variance is not known.
///
/// # Errors
///
/// When `runs` is not a table of runs.
pub fn cells_frame(
    runs: &DataFrame,
    coordinates: &[String],
    slo_terms: &[String],
    interval: IntervalSpec,
) -> Result<DataFrame, TableError> {
    let metrics = metrics(slo_terms);
    let reader = RunsReader::new(runs);
    let cells = reader.cells()?;
    let mut rows = Vec::with_capacity(cells.len() * metrics.len());
    for cell in &cells {
        add_rows(&mut rows, cell, &metrics, slo_terms, interval)?;
    }
    frame(&axes(runs, coordinates)?, &rows, interval)
}

/// Returns the columns of a table of runs that say which cell.
fn axes(runs: &DataFrame, coordinates: &[String]) -> Result<DataFrame, TableError> {
    let mut names: Vec<&str> = AXES.into_iter().filter(|name| runs.column(name).is_ok()).collect();
    names.extend(coordinates.iter().map(String::as_str));
    Ok(runs.select(names)?)
}

/// Returns the metrics of every cell with their units, in the order of their rows.
pub(super) fn metrics(slo_terms: &[String]) -> Vec<(String, &'static str)> {
    let all = METRICS.iter().map(|metric| (metric.name.to_owned(), metric.unit));
    all.chain(slo_terms.iter().map(|term| (term.clone(), "ms"))).collect()
}

/// Adds the rows of a cell.
fn add_rows<'m>(
    rows: &mut Vec<CellMetric<'m>>,
    cell: &CellRuns<'_>,
    metrics: &'m [(String, &'static str)],
    slo_terms: &[String],
    interval: IntervalSpec,
) -> Result<(), TableError> {
    let validity = CellValidity::of(cell)?;
    let (_, failed) = cell.by_status()?;
    for (metric, unit) in metrics {
        // A statistic among rejected requests has no number. Leaving out such a seed, the
        // worst there is, would flatter the cell.
        let (known, lost) = if slo_terms.contains(metric) {
            cell.objective(metric)?
        } else {
            (cell.real(metric)?.into_iter().flatten().collect(), false)
        };
        let sample = Sample::of(&known).filter(|_| !lost);
        rows.push(CellMetric {
            first_run: cell.rows()[0],
            metric,
            unit,
            n: count(known.len()),
            failed: count(failed.len()),
            interval: sample.and_then(|_| interval.for_unit(unit).interval(&known)),
            flags: validity.flags_of(metric, sample.as_ref()),
            sample,
        });
    }
    Ok(())
}

fn frame(
    axes: &DataFrame,
    rows: &[CellMetric<'_>],
    spec: IntervalSpec,
) -> Result<DataFrame, TableError> {
    let places: Vec<usize> = rows.iter().map(|row| row.first_run).collect();
    let mut columns = take(axes, &places)?.into_columns();
    columns.extend([
        column("metric", rows, |row| Some(row.metric.to_owned())),
        column("unit", rows, |row| Some(row.unit.to_owned())),
        column("n", rows, |row| Some(row.n)),
        column("n_failed", rows, |row| Some(row.failed)),
        column("mean", rows, |row| Some(row.sample?.mean)),
        column("sd", rows, |row| row.sample?.sd),
        column("se", rows, |row| row.sample?.se),
        column("ci_lo", rows, |row| Some(row.interval?.interval.lo)),
        column("ci_hi", rows, |row| Some(row.interval?.interval.hi)),
        column("ci_level", rows, |row| row.interval.map(|_| spec.confidence)),
        column("ci_method", rows, |row| Some(row.interval?.method.name().to_owned())),
        column("min", rows, |row| Some(row.sample?.min)),
        column("median", rows, |row| Some(row.sample?.median)),
        column("max", rows, |row| Some(row.sample?.max)),
        column("n_distinct", rows, |row| {
            Some(count(row.sample.map_or(0, |sample| sample.n_distinct)))
        }),
        column("flags", rows, |row| row.flags.text()),
    ]);
    Ok(DataFrame::new(rows.len(), columns)?)
}

/// Counts are signed 64-bit, which every reader has.
fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn column<T>(
    name: &str,
    rows: &[CellMetric<'_>],
    get: impl Fn(&CellMetric<'_>) -> Option<T>,
) -> Column
where
    Series: NamedFrom<Vec<Option<T>>, [Option<T>]>,
{
    let values: Vec<Option<T>> = rows.iter().map(get).collect();
    Series::new(PlSmallStr::from(name), values).into()
}

#[cfg(test)]
mod tests;
