//! The runs of a grid by their ids: what is done, what is to do, and the table of all.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use rayon::prelude::*;
use rustc_hash::FxHashSet;

use crate::store::{RUN_ID, Stored};
use crate::tables::{
    Frame, RunIndex, RunRow, TableError, details_frame, in_order_of, results_frame, side_by_side,
    stacked, text_column,
};

use super::grid::Grid;
use super::identity::Identity;

/// Every run of a grid, in the order of its table, with its id.
#[derive(Clone, Debug)]
pub struct Plan {
    runs: Vec<RunIndex>,
    run_ids: Vec<String>,
    cell_ids: Vec<String>,
}

/// A part of a plan: one of several that together are all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which one, from 0.
    pub index: usize,
    /// How many there are.
    pub count: usize,
}

/// What shards have equal parts of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Runs, whatever they take.
    #[default]
    Runs,
    /// Work, as [`Grid::work_of`] estimates it: for grids of few and unequal runs.
    Cost,
}

/// The table of runs, as far as they are done.
#[derive(Debug)]
pub struct Gathered {
    /// A row for each run that is done, in the order of the grid.
    pub runs: Frame,
    /// Runs that are not.
    pub missing: usize,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { index: 0, count: 1 };
}

impl Plan {
    /// Lists the runs of a grid.
    pub fn new(grid: &Grid, identity: &Identity) -> Self {
        let runs: Vec<RunIndex> = grid.runs().collect();
        let seeds = &grid.manifest.seeds;
        let run_ids = runs.par_iter().map(|run| identity.run_id(run.cell, seeds[run.seed]));
        let run_ids = run_ids.collect();
        let cell_ids = (0..grid.num_cells()).map(|cell| identity.cell_id(cell).to_owned());
        Self { run_ids, cell_ids: cell_ids.collect(), runs }
    }

    /// Returns the number of runs.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Returns whether there is no run.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Returns the ids, in the order of the grid.
    pub fn run_ids(&self) -> impl Iterator<Item = &str> {
        self.run_ids.iter().map(String::as_str)
    }

    /// Returns the id of a cell.
    pub fn cell_id(&self, cell: usize) -> &str {
        &self.cell_ids[cell]
    }

    /// Returns the runs of a shard that `is_done` does not know, in the order of the grid.
    ///
    /// The same run is in the same shard of as many whatever else is done.
    pub fn to_do(
        &self,
        grid: &Grid,
        (shard, balance): (Shard, Balance),
        is_done: impl Fn(&str) -> bool,
    ) -> Vec<RunIndex> {
        let mut own = match balance {
            _ if shard.count == 1 => (0..self.len()).collect(),
            Balance::Runs => self.dealt(shard),
            Balance::Cost => self.weighed(grid, shard),
        };
        own.sort_unstable();
        // Cells that differ in their names alone have runs of the same ids.
        let mut seen = FxHashSet::default();
        own.retain(|at| !is_done(&self.run_ids[*at]) && seen.insert(&self.run_ids[*at]));
        own.into_iter().map(|at| self.runs[at]).collect()
    }

    /// Deals the runs out by their ids, so that each shard has about its share of the long and the
    /// short.
    fn dealt(&self, shard: Shard) -> Vec<usize> {
        let mut by_id: Vec<usize> = (0..self.len()).collect();
        by_id.sort_unstable_by_key(|at| &self.run_ids[*at]);
        by_id.into_iter().skip(shard.index).step_by(shard.count).collect()
    }

    /// Gives each run, the longest first, to the shard that has the least work yet (Graham's rule:
    /// the longest shard has at most a third more than it must).
    fn weighed(&self, grid: &Grid, shard: Shard) -> Vec<usize> {
        let work = |at: &usize| grid.work_of(self.runs[*at].cell).max(1.0);
        let mut longest: Vec<usize> = (0..self.len()).collect();
        longest.sort_by(|a, b| {
            work(b).total_cmp(&work(a)).then_with(|| self.run_ids[*a].cmp(&self.run_ids[*b]))
        });
        // Positive numbers are in the order of their bits.
        let mut least: BinaryHeap<Reverse<(u64, usize)>> =
            (0..shard.count).map(|index| Reverse((0, index))).collect();
        let mut own = Vec::new();
        for at in longest {
            let Some(Reverse((load, index))) = least.pop() else { break };
            least.push(Reverse(((f64::from_bits(load) + work(&at)).to_bits(), index)));
            if index == shard.index {
                own.push(at);
            }
        }
        own
    }

    /// Makes the table of a batch for the store: the ids of its runs, what came of them
    /// and what is kept of their distributions.
    ///
    /// # Errors
    ///
    /// When polars refuses, which would be our fault.
    pub fn batch(&self, grid: &Grid, rows: &[RunRow]) -> Result<Frame, TableError> {
        let run_ids = rows.iter().map(|row| self.run_ids[self.place(grid, row.index)].as_str());
        let ids = text_column(RUN_ID, run_ids.collect())?;
        let results = side_by_side(&ids, &results_frame(rows, &grid.slo_columns())?)?;
        side_by_side(&results, &details_frame(rows)?)
    }

    /// Puts the table of runs together: from the store, and from `failed`, which it does not keep.
    ///
    /// # Errors
    ///
    /// When polars refuses, which would be our fault.
    pub fn gather(
        &self,
        grid: &Grid,
        stored: &Stored,
        failed: &[RunRow],
    ) -> Result<Gathered, TableError> {
        let terms = grid.slo_columns();
        // By id: cells that differ in their names alone share their runs.
        let failed: BTreeMap<&str, &RunRow> = failed
            .iter()
            .map(|row| (self.run_ids[self.place(grid, row.index)].as_str(), row))
            .collect();
        let (mut done, mut ids) = (Vec::new(), Vec::new());
        let (mut lost, mut lost_rows) = (Vec::new(), Vec::new());
        for (run, run_id) in self.runs.iter().zip(&self.run_ids) {
            if stored.row(run_id).is_some() {
                done.push(*run);
                ids.push(run_id.as_str());
            } else if let Some(row) = failed.get(run_id.as_str()) {
                lost.push(*run);
                lost_rows.push((*row).clone());
            }
        }
        let like = results_frame(&[], &terms)?;
        let kept = in_order_of(&like, &stored.select(ids.into_iter())?)?;
        let missing = self.len() - done.len() - lost.len();
        let mut places: Vec<RunIndex> = done.iter().chain(&lost).copied().collect();
        let lost = (lost, results_frame(&lost_rows, &terms)?);
        places.sort_unstable();
        let results = stacked(vec![(done, kept), lost])?;
        let run_ids = places.iter().map(|run| self.run_ids[self.place(grid, *run)].as_str());
        let run_ids = text_column(RUN_ID, run_ids.collect())?;
        let cell_ids = places.iter().map(|run| self.cell_ids[run.cell].as_str());
        let ids = side_by_side(&run_ids, &text_column("cell_id", cell_ids.collect())?)?;
        let axes = side_by_side(&ids, &grid.axes(&places)?)?;
        Ok(Gathered { runs: side_by_side(&axes, &results)?, missing })
    }

    fn place(&self, grid: &Grid, run: RunIndex) -> usize {
        run.cell * grid.manifest.seeds.len() + run.seed
    }
}
