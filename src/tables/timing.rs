//! A row per run that was executed: what it took.

use polars::prelude::{Column, DataFrame, PlSmallStr};

use super::write::TableError;

/// What the execution of a run took. It differs from one execution to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct TimingRow {
    /// Its id.
    pub run_id: String,
    /// Its cell.
    pub cell_label: String,
    /// Its seed.
    pub seed: u64,
    /// How it ended.
    pub status: &'static str,
    /// Why it has no numbers.
    pub error: Option<String>,
    /// How often it was begun.
    pub attempts: u32,
    /// Wall time of all its simulations, in seconds.
    pub wall_s: f64,
    /// Its requests.
    pub requests: u64,
    /// Its events, if it came to its end.
    pub events: Option<u64>,
}

/// Makes the table of timings; rows keep their order.
///
/// # Errors
///
/// When polars refuses, which would be our fault.
pub fn timing_frame(rows: &[TimingRow]) -> Result<DataFrame, TableError> {
    let text = |name: &str, get: fn(&TimingRow) -> Option<&str>| {
        Column::new(PlSmallStr::from(name), rows.iter().map(get).collect::<Vec<_>>())
    };
    let whole = |name: &str, get: fn(&TimingRow) -> Option<u64>| {
        let values = rows.iter().map(|row| get(row).and_then(|value| i64::try_from(value).ok()));
        Column::new(PlSmallStr::from(name), values.collect::<Vec<_>>())
    };
    let real = |name: &str, get: fn(&TimingRow) -> Option<f64>| {
        let values = rows.iter().map(|row| get(row).filter(|value| value.is_finite()));
        Column::new(PlSmallStr::from(name), values.collect::<Vec<_>>())
    };
    let columns = vec![
        text("run_id", |row| Some(&row.run_id)),
        text("cell_label", |row| Some(&row.cell_label)),
        whole("seed", |row| Some(row.seed)),
        text("status", |row| Some(row.status)),
        text("error", |row| row.error.as_deref()),
        whole("attempts_count", |row| Some(row.attempts.into())),
        real("wall_s", |row| Some(row.wall_s)),
        whole("requests_count", |row| Some(row.requests)),
        whole("events_count", |row| row.events),
        // Infinite where the clock did not move, which is not known then.
        real("events_per_s", |row| Some(row.events? as f64 / row.wall_s)),
    ];
    Ok(DataFrame::new(rows.len(), columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::sample::reals;

    #[test]
    fn what_is_not_known_is_null() {
        let row = |wall_s: f64, events: Option<u64>| TimingRow {
            run_id: "a".to_owned(),
            cell_label: "c/least_kv/9".to_owned(),
            seed: 42,
            status: "ok",
            error: None,
            attempts: 1,
            wall_s,
            requests: 10,
            events,
        };
        let rows = [row(0.5, Some(40)), row(0.0, Some(0)), row(0.0, Some(9)), row(2.0, None)];
        let frame = timing_frame(&rows).unwrap();
        assert_eq!(reals(&frame, "events_per_s"), [Some(80.0), None, None, None]);
        assert_eq!(reals(&frame, "wall_s"), [Some(0.5), Some(0.0), Some(0.0), Some(2.0)]);
    }
}
