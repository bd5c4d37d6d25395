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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{RunRecord, Sink as _};
    use crate::metrics::{Collector, Keep, SloSpec};
    use crate::tables::sample::reals;
    use crate::tables::{texts, write_csv};
    use crate::units::{PS_PER_MS, RequestId, SimDuration};

    fn at(ms: u64) -> SimTime {
        SimTime::from_ps(ms * PS_PER_MS)
    }

    /// From 500 to 1,000 ms.
    fn window() -> Window {
        Window { first: RequestId(3), from: at(500), to: at(1_000) }
    }

    /// Two backends at 250 ms, 500 ms, … 1,250 ms: the first has as many requests in its queue as
    /// there were instants, the second is idle.
    fn series() -> Series {
        let slo = SloSpec::default();
        let keep = Keep { series: Some(SimDuration::from_ps(250 * PS_PER_MS)), ..Keep::default() };
        let mut collector = Collector::new(window(), 0, &slo).keeping(keep);
        for waiting in 1..=5 {
            let busy = BackendState {
                waiting,
                running: 2,
                outstanding: waiting + 2,
                used_blocks: 3,
                blocks: 4,
            };
            let idle = BackendState { blocks: 8, ..BackendState::default() };
            collector.sample(collector.next_sample(), &[busy, idle]);
        }
        let run = RunRecord {
            end: at(1_300),
            backends: Vec::new(),
            pools: Vec::new(),
            dispatched: Vec::new(),
            events: 0,
            diagnostics: Vec::new(),
        };
        collector.summary(&run, 1.0).distributions.unwrap().series.unwrap()
    }

    #[test]
    fn a_row_is_a_backend_at_an_instant() {
        let frame = series_frame(&[SeriesOfRun { seed: 7, series: &series(), window: window() }]);
        let mut csv = Vec::new();
        write_csv(&mut frame.unwrap().head(Some(5)), &mut csv).unwrap();
        let expected = "seed,time_s,in_window,backend,waiting_count,running_count,\
                        outstanding_count,kv_used_blocks,kv_usage_ratio\n\
                        7,0.25,false,0,1,2,3,3,0.75\n\
                        7,0.25,false,1,0,0,0,0,0.0\n\
                        7,0.5,true,0,2,2,4,3,0.75\n\
                        7,0.5,true,1,0,0,0,0,0.0\n\
                        7,0.75,true,0,3,2,5,3,0.75\n";
        assert_eq!(String::from_utf8(csv).unwrap(), expected);
    }

    #[test]
    fn the_window_has_its_ends_and_a_run_of_a_sweep_its_ids() {
        let key = RunKey { run_id: "r", cell_id: "c", seed: 7 };
        let frame = series_of_run_frame(key, &series(), window()).unwrap();
        assert_eq!(texts(&frame, "run_id").unwrap(), ["r"; 10]);
        assert_eq!(texts(&frame, "cell_id").unwrap(), ["c"; 10]);
        let times = [0.25, 0.5, 0.75, 1.0, 1.25].map(|time| [Some(time); 2]).concat();
        assert_eq!(reals(&frame, "time_s"), times);
        let inside = [false, true, true, true, false].map(|inside| [Some(inside); 2]).concat();
        assert!(frame.column("in_window").unwrap().bool().unwrap().iter().eq(inside));
    }

    #[test]
    fn a_run_that_ended_before_the_first_instant_has_no_rows_and_all_columns() {
        let none = Series::new(SimDuration::from_ps(1));
        let key = RunKey { run_id: "r", cell_id: "c", seed: 7 };
        let frame = series_of_run_frame(key, &none, window()).unwrap();
        assert_eq!((frame.height(), frame.width()), (0, 11));
        assert_eq!(frame.dtypes(), series_of_run_frame(key, &series(), window()).unwrap().dtypes());
    }
}
