//! Tables that a run has in files of its own.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use crate::metrics::Keep;
use crate::units::SimDuration;

use super::error::StoreError;
use super::files::{IfThere, entries, place};
use super::folder::{FOLDER_DIGITS, Store};
use super::run_id::RunId;

/// The last bytes of every Parquet file.
const PARQUET_END: &[u8; 4] = b"PAR1";

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

    /// Returns whether a table of a run is there, and ends as a whole one does. Its content is not
    /// read.
    pub fn has_run_table(&self, table: RunTable, fingerprint: &str, run_id: RunId) -> bool {
        let mut end = [0; PARQUET_END.len()];
        let read_end = |mut file: File| {
            file.seek(SeekFrom::End(-(PARQUET_END.len() as i64)))?;
            file.read_exact(&mut end)
        };
        let read = File::open(self.run_table(table, fingerprint, run_id)).and_then(read_end);
        read.is_ok() && end == *PARQUET_END
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
