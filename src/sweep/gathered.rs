//! The table of runs, as far as they are done, some cells at a time.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::store::{RUN_ID, RunId, Stored};
use crate::tables::{
    AxisColumn, Frame, RunIndex, RunRow, TableError, in_order_of, results_frame, side_by_side,
    slice, stacked, text_column,
};

use super::grid::Grid;
use super::plan::Plan;

/// Runs of a block, at most, if it is of more cells than one.
const MOST_RUNS: usize = 8_192;
/// Cells of a piece, at most: the table of cells has some hundred rows for each.
const MOST_CELLS: usize = 1_024;

/// What is done of a grid: the table of runs, in blocks of whole cells, so that a table of a million
/// runs is not in memory beside what the store holds.
#[derive(Debug)]
pub struct Gathered<'a> {
    grid: &'a Grid,
    plan: &'a Plan,
    stored: &'a Stored,
    /// By id: cells that differ in their names alone share their runs.
    failed: BTreeMap<RunId, &'a RunRow>,
    slo_columns: Vec<String>,
    axis_columns: Vec<AxisColumn>,
    missing: usize,
}

/// The runs of some cells.
#[derive(Debug)]
pub struct Block {
    /// Which cells.
    pub cells: Range<usize>,
    /// A row for each run that is done, in the order of the grid.
    pub runs: Frame,
    /// Their ids, row by row.
    pub run_ids: Vec<RunId>,
    /// Their cells, row by row.
    row_cells: Vec<usize>,
}

impl Block {
    /// Returns the rows in pieces of a few whole cells.
    pub fn pieces(&self) -> impl Iterator<Item = Frame> {
        let row = |cell: usize| self.row_cells.partition_point(|own| *own < cell);
        self.cells.clone().step_by(MOST_CELLS).map(move |first| {
            let (from, to) = (row(first), row(first + MOST_CELLS));
            slice(&self.runs, from, to - from)
        })
    }
}

impl<'a> Gathered<'a> {
    /// Takes the runs of a plan from the store, and from `failed`, which it does not keep.
    pub fn new(grid: &'a Grid, plan: &'a Plan, stored: &'a Stored, failed: &'a [RunRow]) -> Self {
        let failed: BTreeMap<RunId, &RunRow> =
            failed.iter().map(|row| (plan.run_id(row.index), row)).collect();
        let is_there = |id: &RunId| stored.has_run(*id) || failed.contains_key(id);
        let missing = plan.run_ids().filter(|id| !is_there(id)).count();
        let (slo_columns, axis_columns) = (grid.slo_columns(), grid.axis_columns());
        Self { grid, plan, stored, failed, slo_columns, axis_columns, missing }
    }

    /// Returns how many runs are not done.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Returns a block without cells, which has the columns of all others.
    ///
    /// # Errors
    ///
    /// When polars refuses, which would be our fault.
    pub fn none(&self) -> Result<Block, TableError> {
        self.block(0..0)
    }

    /// Returns the table of runs, block by block, in the order of the grid. Which cells are in a
    /// block depends on the grid alone.
    pub fn blocks(&self) -> impl Iterator<Item = Result<Block, TableError>> {
        let cells = self.grid.num_cells();
        let seeds = self.grid.manifest.seeds.len().max(1);
        let some = (MOST_RUNS / seeds).max(1);
        (0..cells).step_by(some).map(move |first| self.block(first..cells.min(first + some)))
    }

    fn block(&self, cells: Range<usize>) -> Result<Block, TableError> {
        let (mut done, mut ids) = (Vec::new(), Vec::new());
        let (mut lost, mut lost_rows) = (Vec::new(), Vec::new());
        let of_cell =
            |cell| (0..self.plan.num_seeds(cell)).map(move |seed| RunIndex { cell, seed });
        for run in cells.clone().flat_map(of_cell) {
            let run_id = self.plan.run_id(run);
            if self.stored.has_run(run_id) {
                done.push(run);
                ids.push(run_id);
            } else if let Some(row) = self.failed.get(&run_id) {
                lost.push(run);
                lost_rows.push((*row).clone());
            }
        }
        let like = results_frame(&[], &self.slo_columns)?;
        let kept = in_order_of(&like, &self.stored.select(ids.into_iter())?)?;
        let mut places: Vec<RunIndex> = done.iter().chain(&lost).copied().collect();
        let lost = (lost, results_frame(&lost_rows, &self.slo_columns)?);
        places.sort_unstable();
        let results = stacked(vec![(done, kept), lost])?;
        let run_ids: Vec<RunId> = places.iter().map(|run| self.plan.run_id(*run)).collect();
        let ids: Vec<String> = run_ids.iter().map(RunId::to_string).collect();
        let cell_ids: Vec<&str> = places.iter().map(|run| self.plan.cell_id(run.cell)).collect();
        let ids = side_by_side(&text_column(RUN_ID, &ids)?, &text_column("cell_id", &cell_ids)?)?;
        let axes = self.grid.axes(cells.clone(), &self.axis_columns, &places)?;
        let runs = side_by_side(&side_by_side(&ids, &axes)?, &results)?;
        let row_cells = places.iter().map(|run| run.cell).collect();
        Ok(Block { cells, runs, run_ids, row_cells })
    }
}
