//! A row per (cell, metric), over the seeds of the cell.

use polars::prelude::{Column, DataFrame, IntoLazy as _, NamedFrom, PlSmallStr, Series, col, lit};

use crate::metrics::METRICS;
use crate::stats::{CONFIDENCE, Sample, t_interval};

use super::runs::lost_column;
use super::write::TableError;

const AXES: [&str; 6] =
    ["cell_id", "config", "algorithm", "algorithm_name", "algorithm_parameters", "rate_rps"];

/// One row of the table, apart from the axes.
struct CellMetric {
    /// Row of the grouped table.
    cell: usize,
    metric: String,
    unit: &'static str,
    /// Seeds with a value.
    n: i64,
    failed: i64,
    sample: Option<Sample>,
    interval: Option<(f64, f64)>,
}

/// Makes the table of cells from the table of runs; `slo_terms` are metrics too, in milliseconds.
///
/// A run that failed has no values and is counted in `n_failed`. A seed that changed nothing gives
/// no interval: `n_distinct` is 1 and the variance is not known.
///
/// # Errors
///
/// When `runs` is not a table of runs.
pub fn cells_frame(runs: &DataFrame, slo_terms: &[String]) -> Result<DataFrame, TableError> {
    let mut metrics: Vec<(String, &str)> =
        METRICS.iter().map(|metric| (metric.name.to_owned(), metric.unit)).collect();
    metrics.extend(slo_terms.iter().map(|term| (term.clone(), "ms")));

    let mut aggregates = vec![col("status").eq(lit("failed")).sum().alias("n_failed")];
    aggregates.extend(metrics.iter().map(|(name, _)| col(name.as_str())));
    aggregates.extend(slo_terms.iter().map(|term| col(lost_column(term)).sum()));
    let grouped = runs.clone().lazy().group_by_stable(AXES.map(col)).agg(aggregates).collect()?;

    let failed = grouped.column("n_failed")?.u32()?.clone();
    let mut rows = Vec::with_capacity(grouped.height() * metrics.len());
    for cell in 0..grouped.height() {
        for (metric, unit) in &metrics {
            let known = values_of(&grouped, metric, cell)?;
            let failed = i64::from(failed.get(cell).unwrap_or(0));
            // A statistic among rejected requests has no number. Leaving out such a seed, the
            // worst there is, would flatter the cell.
            let lost = slo_terms.contains(metric) && lost_runs(&grouped, metric, cell)? > 0;
            let sample = Sample::of(&known).filter(|_| !lost);
            let varies = sample.is_some_and(|sample| sample.n_distinct > 1);
            let interval = t_interval(&known, CONFIDENCE).filter(|_| varies);
            rows.push(CellMetric {
                cell,
                metric: metric.clone(),
                unit,
                n: i64::try_from(known.len()).unwrap_or(i64::MAX),
                failed,
                sample,
                interval: interval.map(|interval| (interval.lo, interval.hi)),
            });
        }
    }
    frame(&grouped, &rows)
}

fn values_of(grouped: &DataFrame, metric: &str, cell: usize) -> Result<Vec<f64>, TableError> {
    let lists = grouped.column(metric)?.list()?;
    let Some(values) = lists.get_as_series(cell) else {
        return Ok(Vec::new());
    };
    Ok(values.f64()?.iter().flatten().collect())
}

/// Returns in how many runs of a cell an objective is infinite.
fn lost_runs(grouped: &DataFrame, term: &str, cell: usize) -> Result<i64, TableError> {
    let lost = grouped.column(&lost_column(term))?.i64()?;
    Ok(lost.get(cell).unwrap_or(0))
}

fn frame(grouped: &DataFrame, rows: &[CellMetric]) -> Result<DataFrame, TableError> {
    let mut columns = Vec::new();
    for axis in &AXES[..5] {
        let values = grouped.column(axis)?.str()?;
        columns.push(column(axis, rows, |row| values.get(row.cell).map(str::to_owned)));
    }
    let rates = grouped.column("rate_rps")?.f64()?;
    let count = |value: usize| i64::try_from(value).ok();
    columns.extend([
        column("rate_rps", rows, |row| rates.get(row.cell)),
        column("metric", rows, |row| Some(row.metric.clone())),
        column("unit", rows, |row| Some(row.unit.to_owned())),
        column("n", rows, |row| Some(row.n)),
        column("n_failed", rows, |row| Some(row.failed)),
        column("mean", rows, |row| Some(row.sample?.mean)),
        column("sd", rows, |row| row.sample?.sd),
        column("se", rows, |row| row.sample?.se),
        column("ci_lo", rows, |row| Some(row.interval?.0)),
        column("ci_hi", rows, |row| Some(row.interval?.1)),
        column("ci_level", rows, |row| row.interval.map(|_| CONFIDENCE)),
        column("ci_method", rows, |row| row.interval.map(|_| "t".to_owned())),
        column("min", rows, |row| Some(row.sample?.min)),
        column("median", rows, |row| Some(row.sample?.median)),
        column("max", rows, |row| Some(row.sample?.max)),
        column("n_distinct", rows, |row| count(row.sample.map_or(0, |sample| sample.n_distinct))),
    ]);
    Ok(DataFrame::new(rows.len(), columns)?)
}

fn column<T>(name: &str, rows: &[CellMetric], get: impl Fn(&CellMetric) -> Option<T>) -> Column
where
    Series: NamedFrom<Vec<Option<T>>, [Option<T>]>,
{
    let values: Vec<Option<T>> = rows.iter().map(get).collect();
    Series::new(PlSmallStr::from(name), values).into()
}
