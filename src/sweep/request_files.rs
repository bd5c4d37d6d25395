//! The requests of runs, written as each run ends.

use std::collections::BTreeMap;

use crate::engine::RequestRecord;
use crate::store::{RunId, Store};
use crate::tables::{Metadata, RunIndex, RunKey, requests_frame, write_parquet};
use crate::units::RequestId;

use super::grid::Grid;
use super::plan::Plan;

/// Writes the requests of runs into a store: a file a run, from the thread that ran it, so that no
/// more than one run a thread is in memory.
#[derive(Debug)]
pub struct RequestFiles {
    store: Store,
    fingerprint: String,
    /// Ids of runs and of their cells.
    ids: BTreeMap<RunIndex, (RunId, String)>,
}

impl RequestFiles {
    /// Prepares the files of a plan's runs.
    pub fn new(store: &Store, fingerprint: &str, grid: &Grid, plan: &Plan) -> Self {
        let ids = grid
            .runs()
            .zip(plan.run_ids())
            .map(|(run, run_id)| (run, (run_id, plan.cell_id(run.cell).to_owned())));
        Self { store: store.clone(), fingerprint: fingerprint.to_owned(), ids: ids.collect() }
    }

    /// Writes the requests of a run; those before `first` are the warm-up.
    ///
    /// # Errors
    ///
    /// A message, when they can't be written.
    pub(super) fn put(
        &self,
        run: RunIndex,
        seed: u64,
        records: &[RequestRecord],
        first: RequestId,
    ) -> Result<(), String> {
        let Some((run_id, cell_id)) = self.ids.get(&run) else {
            return Err("a run that is not in the plan".to_owned());
        };
        let id = run_id.to_string();
        let key = RunKey { run_id: &id, cell_id, seed };
        let mut bytes = Vec::new();
        let engine = ("routesim.engine".to_owned(), self.fingerprint.clone());
        let written = requests_frame(key, records, first)
            .and_then(|mut frame| write_parquet(&mut frame, &Metadata(vec![engine]), &mut bytes));
        written.map_err(|error| error.to_string())?;
        let put = self.store.put_requests(&self.fingerprint, *run_id, &bytes);
        put.map_err(|error| error.to_string())
    }
}
