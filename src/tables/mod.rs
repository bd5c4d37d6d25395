//! Results as tables: the home of polars.
//!
//! [`runs_frame`] has a row per run, [`cells_frame`] a row per (cell, metric), and
//! [`wide_cells_frame`] the same with a row per cell. A row of a run is
//! what says which run ([`axes_frame`]) and what came of it ([`results_frame`]); a [`RunsReader`]
//! reads it back. Every axis is a
//! column of its own, names end in their unit, and what is not known is null, never NaN.

mod capacity;
mod cells;
mod contests;
mod details;
mod failure;
#[cfg(test)]
pub(crate) mod made_up;
mod parquet;
mod read;
mod requests;
mod rows;
mod runs;
mod schema;
mod series;
mod timing;
mod validity;
mod wide;
mod write;

pub use capacity::{CapacityRow, capacity_frame};
pub use cells::cells_frame;
pub use contests::{DuelRow, RivalRow, best_frame, comparisons_frame, is_contest_column};
#[cfg(test)]
pub(crate) use details::sample as detail_sample;
pub use details::{Detail, details_frame, long_frame};
pub use failure::{Failure, FailureKind};
pub use parquet::{ParquetFile, Wanted};
pub use read::{CellRuns, RunFacts, RunsReader};
pub use requests::{RunKey, requests_frame};
#[cfg(test)]
pub(crate) use rows::sample;
pub use rows::{
    keep, put_first, row_bytes, select, slice, stack, take, text_column_or_null, texts,
    texts_or_null,
};
pub use runs::{
    AxisColumn, CellKey, RunIndex, RunRow, axes_frame, in_order_of, results_frame, runs_frame,
    side_by_side, stacked, text_column,
};
pub use schema::{column_types, unit_of};
pub use series::{SeriesOfRun, series_frame, series_of_run_frame};
pub use timing::{TimingRow, timing_frame};
pub use validity::{CellValidity, FEW_SEEDS, Flag, Flags};
pub use wide::{is_column, wide_cells_frame};
pub use write::{
    Metadata, TableError, TwoWriters, write_csv, write_csv_rows, write_parquet, write_small_parquet,
};

/// The version of the tables' columns. Within one, columns are only added.
pub const SCHEMA_VERSION: &str = "1";

/// A table of results.
pub type Frame = polars::frame::DataFrame;
