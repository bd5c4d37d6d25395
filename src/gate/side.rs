//! One side of a comparison: the runs of a table, by cell and seed.

use std::collections::BTreeMap;

use crate::tables::{Frame, RunsReader, TableError, column_types, keep, texts, texts_or_null};

/// The first of the columns that say what came of a run; those before it say which run it is.
const FIRST_RESULT: &str = "status";

/// Tables that can't be compared.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// One of them is no table of runs.
    #[error("{side}: not a table of runs: {source}")]
    NoRuns {
        /// Which of the two.
        side: &'static str,
        /// What is wrong with it.
        source: TableError,
    },
    /// A run is there twice.
    #[error("{side}: cell {cell} has seed {seed} twice")]
    Twice {
        /// Which of the two.
        side: &'static str,
        /// What its cell is called.
        cell: String,
        /// Its seed.
        seed: u64,
    },
    /// There is nothing to compare.
    #[error("another grid: none of the {new} new cells is among the {old} of the baseline")]
    NoCell {
        /// New cells.
        new: usize,
        /// Cells of the baseline.
        old: usize,
    },
    /// There is nothing to compare.
    #[error("other seeds: no run of the baseline has the seed of a new one of its cell")]
    NoSeed,
    /// The probability of a false regression is none.
    #[error("the risk is {risk}, expected a number between 0 and 1")]
    Risk {
        /// What was given.
        risk: f64,
    },
}

/// A run that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedSeed {
    /// Its seed.
    pub seed: u64,
    /// Why it failed.
    pub error: String,
}

/// The runs of a table.
pub(super) struct Side {
    /// Which of the two, for errors.
    name: &'static str,
    /// Only rows of runs that came to an end.
    pub(super) frame: Frame,
    /// In the order of the table.
    pub(super) cells: Vec<SideCell>,
}

/// The runs of a cell.
pub(super) struct SideCell {
    pub(super) id: String,
    pub(super) label: String,
    /// Rows of the runs that ended well, by seed.
    pub(super) rows: BTreeMap<u64, usize>,
    /// Why others failed, by seed.
    pub(super) failed: BTreeMap<u64, String>,
}

impl Side {
    pub(super) fn read(name: &'static str, runs: &Frame) -> Result<Self, GateError> {
        // A row without a status is a run that is yet to come.
        let there: Vec<bool> =
            texts_or_null(runs, FIRST_RESULT).iter().map(Option::is_some).collect();
        let wrong = |source| GateError::NoRuns { side: name, source };
        let frame = keep(runs, &there).map_err(wrong)?;
        let mut side = Self { name, frame, cells: Vec::new() };
        side.cells = side.read_cells()?;
        Ok(side)
    }

    fn read_cells(&self) -> Result<Vec<SideCell>, GateError> {
        let wrong = |source| GateError::NoRuns { side: self.name, source };
        let text = |column: &str| texts(&self.frame, column).map_err(wrong);
        let (ids, labels, status) = (text("cell_id")?, text("cell_label")?, text(FIRST_RESULT)?);
        let errors = texts_or_null(&self.frame, "error");
        let reader = RunsReader::new(&self.frame);
        let seeds = reader.all().and_then(|all| all.whole("seed")).map_err(wrong)?;
        let mut cells: Vec<SideCell> = Vec::new();
        let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for row in 0..ids.len() {
            let (id, label) = (ids[row], labels[row]);
            let no_seed = || wrong(TableError::wrong("column `seed` has a null".to_owned()));
            let seed = seeds[row].ok_or_else(no_seed)?;
            let place = *places.entry((id, label)).or_insert(cells.len());
            if place == cells.len() {
                let (rows, failed) = (BTreeMap::new(), BTreeMap::new());
                cells.push(SideCell { id: id.to_owned(), label: label.to_owned(), rows, failed });
            }
            let cell = &mut cells[place];
            if cell.has(seed) {
                let cell = label.to_owned();
                return Err(GateError::Twice { side: self.name, cell, seed });
            }
            if status[row] == "ok" {
                cell.rows.insert(seed, row);
            } else {
                let error = errors[row].unwrap_or(status[row]);
                cell.failed.insert(seed, error.to_owned());
            }
        }
        Ok(cells)
    }

    /// Returns the columns that say what came of runs.
    pub(super) fn result_columns(&self) -> Vec<String> {
        let names = column_types(&self.frame).into_iter().map(|(name, _)| name);
        names.skip_while(|name| name != FIRST_RESULT).collect()
    }

    /// Returns a metric of all rows, null where it is not known and when there is no such column.
    pub(super) fn values(&self, metric: &str) -> Result<Vec<Option<f64>>, GateError> {
        if !self.result_columns().iter().any(|name| name == metric) {
            return Ok(vec![None; self.frame.height()]);
        }
        let reader = RunsReader::new(&self.frame);
        let values = reader.all().and_then(|all| all.real(metric));
        values.map_err(|source| GateError::NoRuns { side: self.name, source })
    }
}

impl SideCell {
    /// Returns whether there is a run of a seed, whatever came of it.
    pub(super) fn has(&self, seed: u64) -> bool {
        self.rows.contains_key(&seed) || self.failed.contains_key(&seed)
    }

    /// Returns the seeds of all runs.
    pub(super) fn seeds(&self) -> impl Iterator<Item = u64> {
        self.rows.keys().chain(self.failed.keys()).copied()
    }

    pub(super) fn failures(&self) -> Vec<FailedSeed> {
        let failed = self.failed.iter();
        failed.map(|(seed, error)| FailedSeed { seed: *seed, error: error.clone() }).collect()
    }
}
