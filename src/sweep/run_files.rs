//! Tables of single runs, written as each run ends.

use crate::metrics::{Distributions, Keep};
use crate::store::{RunId, RunTable, Store};
use crate::tables::{
    Frame, Metadata, RunIndex, RunKey, TableError, requests_frame, series_of_run_frame,
    write_parquet,
};
use crate::workload::Window;

use super::grid::Grid;
use super::identity::Identity;

/// Writes the requests of runs and their backends over time into a store, as far as the manifest
/// asks for them: a file a run, from the thread that ran it, so that no more than one run a thread
/// is in memory.
#[derive(Debug)]
pub struct RunFiles {
    store: Store,
    fingerprint: String,
    output: Keep,
    identity: Identity,
}

impl RunFiles {
    /// Prepares the files of a grid's runs; none when the manifest asks for none.
    pub fn new(store: &Store, fingerprint: &str, grid: &Grid, identity: &Identity) -> Option<Self> {
        let output = grid.manifest.output;
        (!RunTable::asked(output).is_empty()).then(|| Self {
            store: store.clone(),
            fingerprint: fingerprint.to_owned(),
            output,
            identity: identity.clone(),
        })
    }

    /// Takes out of what was kept of a run what has a file of its own, and writes it.
    ///
    /// # Errors
    ///
    /// A message, when it can't be written.
    pub(super) fn put(
        &self,
        run: RunIndex,
        seed: u64,
        window: Window,
        kept: &mut Distributions,
    ) -> Result<(), String> {
        let run_id = self.identity.run_id(run.cell, seed);
        let id = run_id.to_string();
        let key = RunKey { run_id: &id, cell_id: self.identity.cell_id(run.cell), seed };
        if let Some(records) = kept.requests.take() {
            let frame = requests_frame(key, &records, window.first);
            self.write(RunTable::Requests, run_id, frame)?;
        }
        if let (Some(series), Some(interval)) = (kept.series.take(), self.output.series) {
            let frame = series_of_run_frame(key, &series, window);
            self.write(RunTable::Series(interval), run_id, frame)?;
        }
        Ok(())
    }

    fn write(
        &self,
        table: RunTable,
        run_id: RunId,
        frame: Result<Frame, TableError>,
    ) -> Result<(), String> {
        let mut bytes = Vec::new();
        let engine = ("routesim.engine".to_owned(), self.fingerprint.clone());
        let written = frame
            .and_then(|mut frame| write_parquet(&mut frame, &Metadata(vec![engine]), &mut bytes));
        written.map_err(|error| error.to_string())?;
        let put = self.store.put_run_table(table, &self.fingerprint, run_id, &bytes);
        put.map_err(|error| error.to_string())
    }
}
