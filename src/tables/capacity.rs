//! A row per search.

use polars::prelude::{Column, DataFrame, PlSmallStr};

use super::runs::{real, text, whole};
use super::write::TableError;

/// What a search found, beside the axes of its line.
#[derive(Clone, Debug, PartialEq)]
pub struct CapacityRow {
    /// The axis that was searched along, as the tables call it.
    pub over: String,
    /// The value that was found.
    pub capacity: Option<f64>,
    /// The ends of its interval.
    pub interval: [Option<f64>; 2],
    /// Level of the interval.
    pub level: f64,
    /// How the search ended.
    pub status: &'static str,
    /// The objective that is left first.
    pub limiting: Option<String>,
    /// All objectives.
    pub objectives: String,
    /// Whether no value holds beyond one that does not.
    pub is_monotone: Option<bool>,
    /// Seeds of each value that the interval is taken from.
    pub seeds: Option<u64>,
    /// Values that were looked at.
    pub values: u64,
    /// Runs of them.
    pub runs: u64,
    /// US dollars per million tokens at the value.
    pub usd_per_1m_tokens: Option<f64>,
}

/// The columns, beside those of the axes.
pub(super) const CAPACITY_COLUMNS: [&str; 14] = [
    "over",
    "capacity",
    "ci_lo",
    "ci_hi",
    "ci_level",
    "relative_width_ratio",
    "capacity_status",
    "limiting_objective",
    "objectives",
    "monotone",
    "n",
    "values_count",
    "runs_count",
    "cost_per_1m_tokens_usd",
];

/// Makes the columns of searches, to stand beside those of their axes; rows keep their order.
///
/// # Errors
///
/// When polars refuses, which would be our fault.
pub fn capacity_frame(rows: &[CapacityRow]) -> Result<DataFrame, TableError> {
    let width = |row: &CapacityRow| Some((row.interval[1]? - row.interval[0]?) / row.capacity?);
    let monotone: Vec<Option<bool>> = rows.iter().map(|row| row.is_monotone).collect();
    let columns = vec![
        text("over", rows, |row| Some(row.over.clone())),
        real("capacity", rows, |row| row.capacity),
        real("ci_lo", rows, |row| row.interval[0]),
        real("ci_hi", rows, |row| row.interval[1]),
        real("ci_level", rows, |row| row.interval.iter().flatten().next().map(|_| row.level)),
        real("relative_width_ratio", rows, width),
        text("capacity_status", rows, |row| Some(row.status.to_owned())),
        text("limiting_objective", rows, |row| row.limiting.clone()),
        text("objectives", rows, |row| Some(row.objectives.clone())),
        Column::new(PlSmallStr::from("monotone"), monotone),
        whole("n", rows, |row| row.seeds),
        whole("values_count", rows, |row| Some(row.values)),
        whole("runs_count", rows, |row| Some(row.runs)),
        real("cost_per_1m_tokens_usd", rows, |row| row.usd_per_1m_tokens),
    ];
    Ok(DataFrame::new(rows.len(), columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_listed() {
        let frame = capacity_frame(&[]).unwrap();
        let names: Vec<&str> =
            frame.columns().iter().map(|column| column.name().as_str()).collect();
        assert_eq!(names, CAPACITY_COLUMNS);
    }
}
