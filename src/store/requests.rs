//! The requests of runs: a table each, in a file of its own.

use std::path::PathBuf;

use super::error::StoreError;
use super::files::{IfThere, entries, place};
use super::folder::{FOLDER_DIGITS, Store};
use super::run_id::RunId;

const REQUESTS: &str = "requests";

impl Store {
    /// Puts the table of a run's requests where it belongs. When this returns, it is on the disk.
    ///
    /// # Errors
    ///
    /// When it can't be written: then no part of it is there.
    pub fn put_requests(
        &self,
        fingerprint: &str,
        run_id: RunId,
        table: &[u8],
    ) -> Result<(), StoreError> {
        place(&self.requests_of(fingerprint, run_id), table, IfThere::Replace)
    }

    /// Returns whether the table of a run's requests is there.
    pub fn has_requests(&self, fingerprint: &str, run_id: RunId) -> bool {
        self.requests_of(fingerprint, run_id).is_file()
    }

    /// Returns the folders that tables of requests are spread over.
    pub(super) fn request_folders(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut folders = Vec::new();
        for engine in entries(&self.root().join(REQUESTS))?.into_iter().filter(|path| path.is_dir())
        {
            folders.extend(entries(&engine)?.into_iter().filter(|path| path.is_dir()));
        }
        Ok(folders)
    }

    /// Another engine's requests are other requests, under the same ids of runs.
    fn requests_of(&self, fingerprint: &str, run_id: RunId) -> PathBuf {
        let run_id = run_id.to_string();
        let folder = self.root().join(REQUESTS).join(fingerprint).join(&run_id[..FOLDER_DIGITS]);
        folder.join(format!("{run_id}.parquet"))
    }
}
