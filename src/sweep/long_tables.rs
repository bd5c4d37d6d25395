//! Distributions of runs, from a store into long tables.

use std::io::Write;

use crate::store::{RUN_ID, Store, StoreError, Stored};
use crate::tables::{
    Detail, Frame, Metadata, TableError, TwoWriters, long_frame, slice, take, texts,
};

/// Runs whose lists are in memory at once. Every part that has one of them is read once for it.
const RUNS_AT_ONCE: usize = 4_096;

/// Runs of a batch of rows, which is a row group of the file.
const RUNS_A_BATCH: usize = 64;

/// Distributions that can't be put together.
#[derive(Debug, thiserror::Error)]
pub enum LongTableError {
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A table can't be made or written.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Writes the long table of a detail as Parquet and as CSV: of the runs of `runs`, a table of runs,
/// that have it, in its order. The bytes depend on these runs alone, not on how they came into the
/// store.
///
/// # Errors
///
/// When the store can't be read any more, or the files can't be written.
pub fn write_long_table(
    (store, stored): (&Store, &Stored),
    runs: &Frame,
    detail: Detail,
    metadata: &Metadata,
    (parquet, csv): (&mut dyn Write, &mut dyn Write),
) -> Result<(), LongTableError> {
    let ids = texts(runs, RUN_ID)?;
    let rows: Vec<usize> = (0..ids.len()).filter(|row| stored.has(ids[*row], detail)).collect();
    let none = take(runs, &[])?;
    let like = long_frame(detail, &none, &none)?;
    let mut writers = TwoWriters::begin(&like, metadata, parquet, csv)?;
    for some in rows.chunks(RUNS_AT_ONCE) {
        let run_ids: Vec<&str> = some.iter().map(|row| ids[*row]).collect();
        let lists = store.details(stored, detail, &run_ids)?;
        let own = take(runs, some)?;
        for first in (0..some.len()).step_by(RUNS_A_BATCH) {
            let [own, lists] = [&own, &lists].map(|frame| slice(frame, first, RUNS_A_BATCH));
            writers.write(&mut long_frame(detail, &own, &lists)?)?;
        }
    }
    Ok(writers.finish()?)
}
