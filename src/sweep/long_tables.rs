//! Distributions of runs, from a store into long tables.

use std::io::Write;

use crate::store::{RunId, Store, StoreError, Stored};
use crate::tables::{Detail, Frame, TableError, TwoWriters, long_frame, slice, take};

use super::gathered::Block;

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

/// Returns the long table of a detail without rows; `runs` is a table of runs.
///
/// # Errors
///
/// When polars refuses, which would be our fault.
pub fn long_like(detail: Detail, runs: &Frame) -> Result<Frame, TableError> {
    let none = take(runs, &[])?;
    long_frame(detail, &none, &none)
}

/// Writes the rows of a long table that are of the runs of a block, as far as they have it, in their
/// order. Lists of a block are in memory at once: every part that has one of them is read once for
/// it. The rows depend on these runs alone, not on how they came into the store.
///
/// # Errors
///
/// When the store can't be read any more, or the files can't be written.
pub fn write_long<W: Write>(
    (store, stored): (&Store, &Stored),
    block: &Block,
    detail: Detail,
    writers: &mut TwoWriters<W>,
) -> Result<(), LongTableError> {
    let ids = &block.run_ids;
    let rows: Vec<usize> = (0..ids.len()).filter(|row| stored.has(ids[*row], detail)).collect();
    let run_ids: Vec<RunId> = rows.iter().map(|row| ids[*row]).collect();
    let lists = store.details(stored, detail, &run_ids)?;
    let own = take(&block.runs, &rows)?;
    for first in (0..rows.len()).step_by(RUNS_A_BATCH) {
        let [own, lists] = [&own, &lists].map(|frame| slice(frame, first, RUNS_A_BATCH));
        writers.write(&mut long_frame(detail, &own, &lists)?)?;
    }
    Ok(())
}
