//! The runs of a grid by their ids: what is to do, and who does it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::prelude::*;
use rustc_hash::FxHashSet;

use crate::store::{RUN_ID, RunId};
use crate::tables::{
    Frame, RunIndex, RunRow, TableError, details_frame, results_frame, side_by_side, text_column,
};

use super::grid::Grid;
use super::identity::Identity;

/// The runs of a grid that are wanted, in the order of its table, with their ids.
#[derive(Clone, Debug)]
pub struct Plan {
    runs: Vec<RunIndex>,
    run_ids: Vec<RunId>,
    cell_ids: Vec<String>,
    /// By cell: where its runs begin among them; at the end, where the last ones end.
    starts: Vec<usize>,
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

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { index: 0, count: 1 };
}

impl Plan {
    /// Lists the runs of a grid: of each cell as many seeds, from the first on, as `wanted` says.
    ///
    /// # Panics
    ///
    /// When `wanted` is not of as many cells, or of more seeds, as the grid has.
    pub fn new(grid: &Grid, identity: &Identity, wanted: &[usize]) -> Self {
        assert_eq!(wanted.len(), grid.num_cells(), "a number of seeds for each cell");
        let seeds = &grid.manifest.seeds;
        let mut starts = vec![0];
        starts.extend(wanted.iter().scan(0, |sum, seeds| {
            *sum += seeds;
            Some(*sum)
        }));
        let of_cell =
            |(cell, seeds): (usize, &usize)| (0..*seeds).map(move |seed| RunIndex { cell, seed });
        let runs: Vec<RunIndex> = wanted.iter().enumerate().flat_map(of_cell).collect();
        let run_ids = runs.par_iter().map(|run| identity.run_id(run.cell, seeds[run.seed]));
        let run_ids = run_ids.collect();
        let cell_ids = (0..grid.num_cells()).map(|cell| identity.cell_id(cell).to_owned());
        Self { run_ids, cell_ids: cell_ids.collect(), runs, starts }
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
    pub fn run_ids(&self) -> impl Iterator<Item = RunId> {
        self.run_ids.iter().copied()
    }

    /// Returns the runs with their ids, in the order of the grid.
    pub fn runs(&self) -> impl Iterator<Item = (RunIndex, RunId)> {
        self.runs.iter().copied().zip(self.run_ids())
    }

    /// Returns how many seeds of a cell are wanted.
    pub fn num_seeds(&self, cell: usize) -> usize {
        self.starts[cell + 1] - self.starts[cell]
    }

    /// Returns the id of a run.
    pub(super) fn run_id(&self, run: RunIndex) -> RunId {
        self.run_ids[self.starts[run.cell] + run.seed]
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
        is_done: impl Fn(RunId) -> bool,
    ) -> Vec<RunIndex> {
        let mut own = match balance {
            _ if shard.count == 1 => (0..self.len()).collect(),
            Balance::Runs => self.dealt(shard),
            Balance::Cost => self.weighed(grid, shard),
        };
        own.sort_unstable();
        // Cells that differ in their names alone have runs of the same ids.
        let mut seen = FxHashSet::default();
        own.retain(|at| !is_done(self.run_ids[*at]) && seen.insert(self.run_ids[*at]));
        own.into_iter().map(|at| self.runs[at]).collect()
    }

    /// Deals the runs out by their ids, so that each shard has about its share of the long and the
    /// short.
    fn dealt(&self, shard: Shard) -> Vec<usize> {
        let mut by_id: Vec<usize> = (0..self.len()).collect();
        by_id.sort_unstable_by_key(|at| self.run_ids[*at]);
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
        let run_ids = rows.iter().map(|row| self.run_id(row.index).to_string());
        let ids = text_column(RUN_ID, &run_ids.collect::<Vec<_>>())?;
        let results = side_by_side(&ids, &results_frame(rows, &grid.slo_columns())?)?;
        side_by_side(&results, &details_frame(rows)?)
    }
}
