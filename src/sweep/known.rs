//! What is known of single runs, by cell and number of seeds.

use std::collections::BTreeSet;

use crate::store::{RunId, Stored};
use crate::tables::{RunsReader, TableError};

use super::grid::Grid;
use super::identity::Identity;

/// Runs that are done, and those that fail.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The grid.
    pub grid: &'a Grid,
    /// Its ids.
    pub identity: &'a Identity,
    /// Its runs that are done.
    pub stored: &'a Stored,
    /// Those that fail: they are as good as done.
    pub failed: &'a BTreeSet<RunId>,
}

impl Known<'_> {
    /// Returns whether a run is known.
    pub fn has(&self, run_id: RunId) -> bool {
        self.stored.has_run(run_id) || self.failed.contains(&run_id)
    }

    /// Returns whether one of the first so many seeds of a cell fails.
    pub(super) fn fails(&self, cell: usize, seeds: usize) -> bool {
        // Of one that failed once and was done later there are results.
        let fails = |run_id| self.failed.contains(&run_id) && !self.stored.has_run(run_id);
        self.ids(cell, seeds).any(fails)
    }

    /// Returns the runs of the first so many seeds of a cell; none when one of them is not done.
    pub(super) fn runs(&self, cell: usize, seeds: usize) -> Result<Option<RunsReader>, TableError> {
        if !self.ids(cell, seeds).all(|run_id| self.stored.has_run(run_id)) {
            return Ok(None);
        }
        let runs = self.stored.select(self.ids(cell, seeds))?;
        Ok(Some(RunsReader::new(&runs)))
    }

    fn ids(&self, cell: usize, seeds: usize) -> impl Iterator<Item = RunId> {
        let seeds = &self.grid.manifest.seeds[..seeds];
        seeds.iter().map(move |seed| self.identity.run_id(cell, *seed))
    }
}
