//! What a sweep will take, from a few short runs.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::cli::error::CliError;
use crate::stats::{CONFIDENCE, t_interval};
use crate::sweep::Grid;
use crate::tables::RunIndex;

/// How many runs are tried, and the most requests of each.
const PILOTS: usize = 12;
const MOST_REQUESTS: f64 = 5_000.0;
/// Bytes that a run leaves on the disk, in the store and in the tables of runs, and a cell in those
/// of cells: as `du -sb` finds sweeps of 50 to 80 cells and 36 to 100,000 runs, without what
/// `[output]` adds.
const BYTES_PER_RUN: f64 = 2_000.0;
const BYTES_PER_CELL: f64 = 33_000.0;

/// What some runs of a sweep take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) cpu_s: f64,
    /// Ends of the 95 % interval, as far as the tried runs differ.
    pub(super) between: Option<(f64, f64)>,
    /// The longest run.
    pub(super) longest_s: f64,
    /// Bytes on the disk.
    pub(super) disk: f64,
}

impl Cost {
    /// Tries some of the runs, drawn so that each has as much of all the work to stand for. None
    /// when there is nothing to run, or a trace without a rate of its own does not say how much work
    /// it is.
    pub(super) fn of(grid: &Grid, runs: &[RunIndex]) -> Result<Option<Self>, CliError> {
        let mut runs_of_cell = vec![0_usize; grid.num_cells()];
        runs.iter().for_each(|run| runs_of_cell[run.cell] += 1);
        let mut works = BTreeMap::new();
        for (cell, runs) in runs_of_cell.iter().enumerate().filter(|(_, runs)| **runs > 0) {
            works.insert(cell, (grid.work_of(cell), *runs as f64));
        }
        let total: f64 = works.values().map(|(work, runs)| work * runs).sum();
        let longest = works.values().map(|(work, _)| *work).fold(0.0, f64::max);
        let mut cells = Vec::new();
        let (mut passed, mut next) = (0.0, 0.5);
        for (cell, (work, runs)) in &works {
            passed += work * runs;
            while passed >= next / PILOTS as f64 * total && next < PILOTS as f64 {
                cells.push(*cell);
                next += 1.0;
            }
        }
        let mut seconds_per_work = Vec::new();
        for cell in cells {
            let (scenario, share) = grid.pilot(cell, MOST_REQUESTS)?;
            let seconds = timed(|| drop(scenario.run()));
            seconds_per_work.push(seconds / (share * grid.work_of(cell)));
        }
        let mean = seconds_per_work.iter().sum::<f64>() / seconds_per_work.len().max(1) as f64;
        let interval = t_interval(&seconds_per_work, CONFIDENCE);
        let cost = Self {
            cpu_s: total * mean,
            between: interval.map(|interval| (total * interval.lo.max(0.0), total * interval.hi)),
            longest_s: longest * mean,
            disk: runs.len() as f64 * BYTES_PER_RUN + works.len() as f64 * BYTES_PER_CELL,
        };
        Ok(Some(cost).filter(|cost| !runs.is_empty() && cost.cpu_s.is_finite()))
    }

    /// Returns the seconds that so many threads take.
    pub(super) fn wall_s(&self, threads: usize) -> f64 {
        (self.cpu_s / threads as f64).max(self.longest_s)
    }
}

#[expect(clippy::disallowed_methods, reason = "the programs are where the clock is read")]
fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}
