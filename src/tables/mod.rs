//! Results as tables: the home of polars.
//!
//! [`runs_frame`] has a row per run, [`cells_frame`] a row per (cell, metric). Every axis is a
//! column of its own, names end in their unit, and what is not known is null, never NaN.

mod cells;
mod read;
mod rows;
mod runs;
mod write;

pub use cells::cells_frame;
pub use read::ParquetFile;
#[cfg(test)]
pub(crate) use rows::sample;
pub use rows::{keep, put_first, row_bytes, stack, take, texts};
pub use runs::{CellKey, RunRow, runs_frame};
pub use write::{Metadata, TableError, write_csv, write_parquet, write_small_parquet};

/// The version of the tables' columns. Within one, columns are only added.
pub const SCHEMA_VERSION: &str = "1";

/// A table of results.
pub type Frame = polars::frame::DataFrame;
