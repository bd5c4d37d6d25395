//! Tables that a run has in files of its own.

use std::path::PathBuf;

use crate::metrics::Keep;
use crate::units::SimDuration;

use super::error::StoreError;
use super::files::{IfThere, entries, place};
use super::folder::{FOLDER_DIGITS, Store};
use super::run_id::RunId;

const REQUESTS: &str = "requests";
const SERIES: &str = "series";

/// A table that a run may have in a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunTable {
    /// Its requests.
    Requests,
    /// Its backends over time, at such an interval as it was asked for.
    Series(SimDuration),
}

impl RunTable {
    /// Returns those that `keep` asks for.
    pub fn asked(keep: Keep) -> Vec<Self> {
        let requests = keep.requests.then_some(Self::Requests);
        requests.into_iter().chain(keep.series.map(Self::Series)).collect()
    }
}

impl Store {
    /// Puts a table of a run where it belongs. When this returns, it is on the disk.
    ///
    /// # Errors
    ///
    /// When it can't be written: then no part of it is there.
    pub fn put_run_table(
        &self,
        table: RunTable,
        fingerprint: &str,
        run_id: RunId,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        place(&self.run_table(table, fingerprint, run_id), bytes, IfThere::Replace)
    }

    /// Returns whether a table of a run is there.
    pub fn has_run_table(&self, table: RunTable, fingerprint: &str, run_id: RunId) -> bool {
        self.run_table(table, fingerprint, run_id).is_file()
    }

    /// Returns the folders that tables of runs are spread over.
    pub(super) fn run_table_folders(&self) -> Result<Vec<PathBuf>, StoreError> {
        let engines = Self::folders_in(&[self.root().join(REQUESTS)])?;
        let mut folders = Self::folders_in(&engines)?;
        let engines = Self::folders_in(&[self.root().join(SERIES)])?;
        let intervals = Self::folders_in(&engines)?;
        folders.extend(Self::folders_in(&intervals)?);
        Ok(folders)
    }

    fn folders_in(folders: &[PathBuf]) -> Result<Vec<PathBuf>, StoreError> {
        let mut inner = Vec::new();
        for folder in folders {
            inner.extend(entries(folder)?.into_iter().filter(|path| path.is_dir()));
        }
        Ok(inner)
    }

    /// Another engine's tables are other tables, under the same ids of runs.
    fn run_table(&self, table: RunTable, fingerprint: &str, run_id: RunId) -> PathBuf {
        let run_id = run_id.to_string();
        let folder = match table {
            RunTable::Requests => self.root().join(REQUESTS).join(fingerprint),
            RunTable::Series(interval) => {
                let interval = format!("every_{}_s", interval.as_secs());
                self.root().join(SERIES).join(fingerprint).join(interval)
            }
        };
        folder.join(&run_id[..FOLDER_DIGITS]).join(format!("{run_id}.parquet"))
    }
}
