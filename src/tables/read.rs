//! Reads a table of runs.

use std::collections::BTreeMap;

use polars::prelude::DataFrame;

use crate::metrics::{Backlog, OutcomeCounts};
use crate::router::RejectReason;

use super::runs::lost_column;
use super::write::TableError;

/// Reads a table of runs, whether they ran just now or long ago.
///
/// Its rows may be fewer than the runs of its grid. A row without a `status` is a run that is yet
/// to come, and as good as none.
#[derive(Clone, Debug)]
pub struct RunsReader {
    /// In one piece, so that every value has its place.
    frame: DataFrame,
}

/// Some runs of a table, in its order.
#[derive(Clone, Debug)]
pub struct CellRuns<'t> {
    reader: &'t RunsReader,
    rows: Vec<usize>,
}

/// One run, as far as people are told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFacts {
    /// What its cell is called.
    pub cell_label: String,
    /// Its seed.
    pub seed: u64,
    /// Why it failed.
    pub error: Option<String>,
    /// Its measured requests.
    pub measured: OutcomeCounts,
    /// Requests in the system at the ends of the window.
    pub backlog: Backlog,
    /// How much their number grew.
    pub backlog_growth_ratio: Option<f64>,
    /// Length of the window.
    pub window_s: Option<f64>,
}

impl RunsReader {
    /// Starts to read a table of runs.
    pub fn new(runs: &DataFrame) -> Self {
        let mut frame = runs.clone();
        frame.rechunk_mut();
        Self { frame }
    }

    /// Returns all runs.
    ///
    /// # Errors
    ///
    /// When it is no table of runs.
    pub fn all(&self) -> Result<CellRuns<'_>, TableError> {
        let status = self.frame.column("status")?.str()?;
        let rows = (0..self.frame.height()).filter(|row| status.get(*row).is_some());
        Ok(CellRuns { reader: self, rows: rows.collect() })
    }

    /// Returns the runs of each cell, in the order of the rows, cells in that of their first one.
    ///
    /// # Errors
    ///
    /// When it is no table of runs.
    pub fn cells(&self) -> Result<Vec<CellRuns<'_>>, TableError> {
        let labels = self.frame.column("cell_label")?.str()?;
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let mut cells: Vec<CellRuns<'_>> = Vec::new();
        for row in self.all()?.rows {
            let place = *places.entry(labels.get(row).unwrap_or_default()).or_insert(cells.len());
            if place == cells.len() {
                cells.push(self.none());
            }
            cells[place].rows.push(row);
        }
        Ok(cells)
    }

    /// Returns no runs.
    pub fn none(&self) -> CellRuns<'_> {
        CellRuns { reader: self, rows: Vec::new() }
    }

    /// Returns the runs of each cell, by its `cell_label`, in the order of `seeds`: sums are then the
    /// same to the last bit, whatever the order of the rows is. Runs of other seeds are left out.
    ///
    /// # Errors
    ///
    /// When it is no table of runs.
    pub fn by_cell(&self, seeds: &[u64]) -> Result<BTreeMap<&str, CellRuns<'_>>, TableError> {
        let ids = self.frame.column("cell_label")?.str()?;
        let all = self.all()?;
        let places: BTreeMap<u64, usize> = seeds.iter().copied().zip(0..).collect();
        let place = |(seed, row): (Option<u64>, &usize)| Some((*places.get(&seed?)?, *row));
        let mut rows: Vec<(usize, usize)> =
            all.whole("seed")?.into_iter().zip(&all.rows).filter_map(place).collect();
        rows.sort_unstable();
        let mut cells = BTreeMap::new();
        for (_, row) in rows {
            let cell = cells.entry(ids.get(row).unwrap_or_default());
            cell.or_insert_with(|| self.none()).rows.push(row);
        }
        Ok(cells)
    }
}

impl CellRuns<'_> {
    /// Returns how many runs there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns their rows in the table.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Returns those that did not fail, and those that did.
    ///
    /// # Errors
    ///
    /// When it is no table of runs.
    pub fn by_status(&self) -> Result<(Self, Self), TableError> {
        let status = self.reader.frame.column("status")?.str()?;
        let (ok, failed) = self.rows.iter().partition(|row| status.get(**row) == Some("ok"));
        let reader = self.reader;
        Ok((Self { reader, rows: ok }, Self { reader, rows: failed }))
    }

    /// Returns a column of numbers, null where one is not known.
    ///
    /// # Errors
    ///
    /// When there is no such column.
    pub fn real(&self, column: &str) -> Result<Vec<Option<f64>>, TableError> {
        let values = self.reader.frame.column(column)?.f64()?;
        Ok(self.rows.iter().map(|row| values.get(*row)).collect())
    }

    /// Returns a column of counts, null where one is not known.
    ///
    /// # Errors
    ///
    /// When there is no such column.
    pub fn whole(&self, column: &str) -> Result<Vec<Option<u64>>, TableError> {
        let values = self.reader.frame.column(column)?.i64()?;
        let value = |row: &usize| values.get(*row).and_then(|value| value.try_into().ok());
        Ok(self.rows.iter().map(value).collect())
    }

    /// Returns the measured requests of all these runs.
    ///
    /// # Errors
    ///
    /// When it is no table of runs.
    pub fn measured(&self) -> Result<OutcomeCounts, TableError> {
        let sum = |name: &str| self.sum(&format!("measured_{name}_count"));
        let mut counts = OutcomeCounts {
            requests: sum("requests")?,
            finished: sum("finished")?,
            timed_out: sum("timed_out")?,
            unserved: sum("unserved")?,
            ..OutcomeCounts::default()
        };
        for reason in RejectReason::ALL {
            let count = sum(&format!("rejected_{}", reason.name()))?;
            counts.rejected.insert(reason.name(), count);
        }
        Ok(counts)
    }

    /// Returns the backlogs of all these runs.
    ///
    /// # Errors
    ///
    /// When it is no table of runs.
    pub fn backlog(&self) -> Result<Backlog, TableError> {
        let (start, end) = (self.sum("backlog_start_count")?, self.sum("backlog_end_count")?);
        Ok(Backlog { start, end })
    }

    /// Returns an objective over these runs: its finite values, and whether it is infinite in any.
    ///
    /// # Errors
    ///
    /// When there is no such objective.
    pub fn objective(&self, column: &str) -> Result<(Vec<f64>, bool), TableError> {
        let values = self.real(column)?.into_iter().flatten().collect();
        Ok((values, self.sum(&lost_column(column))? > 0))
    }

    /// Returns a column of numbers, null where one is not known and infinite where it is an objective
    /// that the run lost.
    ///
    /// # Errors
    ///
    /// When there is no such column.
    pub fn real_or_lost(&self, column: &str) -> Result<Vec<Option<f64>>, TableError> {
        let lost = lost_column(column);
        let values = self.real(column)?;
        if self.reader.frame.column(&lost).is_err() {
            return Ok(values);
        }
        let lost = self.whole(&lost)?.into_iter().map(|lost| lost > Some(0));
        let infinite = |(value, lost)| if lost { Some(f64::INFINITY) } else { value };
        Ok(values.into_iter().zip(lost).map(infinite).collect())
    }

    /// Returns the run that has the least measured requests that finished; of several the first.
    ///
    /// # Errors
    ///
    /// When it is no table of runs.
    pub fn fewest_finished(&self) -> Result<Option<RunFacts>, TableError> {
        let finished = self.whole("measured_finished_count")?;
        let known =
            finished.iter().zip(&self.rows).filter_map(|(count, row)| Some(((*count)?, *row)));
        known.min_by_key(|(count, _)| *count).map(|(_, row)| self.facts(row)).transpose()
    }

    /// Returns the first `most` of these runs.
    ///
    /// # Errors
    ///
    /// When it is no table of runs.
    pub fn first(&self, most: usize) -> Result<Vec<RunFacts>, TableError> {
        self.rows.iter().take(most).map(|row| self.facts(*row)).collect()
    }

    fn facts(&self, row: usize) -> Result<RunFacts, TableError> {
        let own = Self { reader: self.reader, rows: vec![row] };
        let text = |column: &str| {
            let value = self.reader.frame.column(column)?.str()?.get(row);
            Ok::<_, TableError>(value.map(str::to_owned))
        };
        Ok(RunFacts {
            cell_label: text("cell_label")?.unwrap_or_default(),
            seed: own.sum("seed")?,
            error: text("error")?,
            measured: own.measured()?,
            backlog: own.backlog()?,
            backlog_growth_ratio: own.real("backlog_growth_ratio")?[0],
            window_s: own.real("window_s")?[0],
        })
    }

    fn sum(&self, column: &str) -> Result<u64, TableError> {
        Ok(self.whole(column)?.into_iter().flatten().sum())
    }
}
