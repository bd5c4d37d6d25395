//! A row per instant and backend of one run, or of several seeds.

use polars::prelude::{Column, DataFrame, NamedFrom, PlSmallStr, Series as Values};

use crate::engine::BackendState;
use crate::metrics::Series;
use crate::units::SimTime;
use crate::workload::Window;

use super::requests::RunKey;
use super::write::TableError;

/// The backends of a run over time.
#[derive(Clone, Copy, Debug)]
pub struct SeriesOfRun<'a> {
    /// The seed of the run.
    pub seed: u64,
    /// Its backends.
    pub series: &'a Series,
    /// What of it is measured.
    pub window: Window,
}

struct Row<'a> {
    run: SeriesOfRun<'a>,
    at: SimTime,
    backend: usize,
    state: &'a BackendState,
}

/// Makes the table of the backends of some runs over time: one row for each instant and backend, in
/// the order of runs, then of time, then of backends.
///
/// # Errors
///
/// When polars refuses, which would be our fault.
pub fn series_frame(runs: &[SeriesOfRun<'_>]) -> Result<DataFrame, TableError> {
    let height = runs.iter().map(|run| run.series.num_states()).sum();
    let mut rows = Vec::with_capacity(height);
    for run in runs {
        for (at, states) in run.series.instants() {
            let states = states.iter().enumerate();
            rows.extend(states.map(|(backend, state)| Row { run: *run, at, backend, state }));
        }
    }
    let columns = vec![
        column("seed", &rows, |row| i64::try_from(row.run.seed).ok()),
        column("time_s", &rows, |row| row.at.as_secs()),
        column("in_window", &rows, |row| {
            let Window { from, to, .. } = row.run.window;
            (from..=to).contains(&row.at)
        }),
        column("backend", &rows, |row| i64::try_from(row.backend).ok()),
        column("waiting_count", &rows, count(|state| state.waiting)),
        column("running_count", &rows, count(|state| state.running)),
        column("outstanding_count", &rows, count(|state| state.outstanding)),
        column("kv_used_blocks", &rows, count(|state| state.used_blocks)),
        column("kv_usage_ratio", &rows, |row| {
            f64::from(row.state.used_blocks) / f64::from(row.state.blocks)
        }),
    ];
    Ok(DataFrame::new(height, columns)?)
}

/// Makes the same table of one run of a sweep, with its ids first.
///
/// # Errors
///
/// When polars refuses, which would be our fault.
pub fn series_of_run_frame(
    key: RunKey<'_>,
    series: &Series,
    window: Window,
) -> Result<DataFrame, TableError> {
    let frame = series_frame(&[SeriesOfRun { seed: key.seed, series, window }])?;
    let height = frame.height();
    let id = |name: &str, id: &str| Column::new(PlSmallStr::from(name), vec![id; height]);
    let mut columns = vec![id("run_id", key.run_id), id("cell_id", key.cell_id)];
    columns.extend(frame.into_columns());
    Ok(DataFrame::new(height, columns)?)
}

fn count(get: fn(&BackendState) -> u32) -> impl Fn(&Row<'_>) -> i64 {
    move |row| i64::from(get(row.state))
}

fn column<T>(name: &str, rows: &[Row<'_>], get: impl Fn(&Row<'_>) -> T) -> Column
where
    Values: NamedFrom<Vec<T>, [T]>,
{
    let values: Vec<T> = rows.iter().map(get).collect();
    Values::new(PlSmallStr::from(name), values).into()
}
