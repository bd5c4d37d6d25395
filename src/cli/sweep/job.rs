//! A manifest, its grid and its store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::error::CliError;
use crate::cli::output::remark;
use crate::cli::progress::Bar;
use crate::cli::results::ResultFiles;
use crate::cli::signals::watch_stop;
use crate::store::{Damaged, Index, Store, StoreError, Stored};
use crate::sweep::{
    Ended, Grid, GridError, Identity, LongTableError, Manifest, ManifestError, Plan, Pool,
    RequestFiles, StopFlag, engine_fingerprint,
};
use crate::tables::{Detail, RunIndex, RunRow, TableError};

use super::provenance::Inputs;

/// All that a command on a sweep needs.
pub(super) struct Job {
    pub(super) grid: Grid,
    pub(super) plan: Plan,
    pub(super) store: Store,
    pub(super) fingerprint: String,
    /// What the results were made from.
    pub(super) inputs: Inputs,
}

/// Loads a manifest and what it names, and says what there is to say of it.
pub(super) fn load(path: &Path) -> Result<Grid, CliError> {
    let grid = Grid::load(Manifest::load(path)?)?;
    for note in &grid.notes {
        let prefix = if note.starts_with("warning: ") { "" } else { "note: " };
        remark(&format!("{prefix}{note}"));
    }
    Ok(grid)
}

impl Job {
    /// Loads a manifest and opens its store, without writing anything.
    pub(super) fn open(manifest: &Path, out: Option<&Path>) -> Result<Self, CliError> {
        let grid = load(manifest)?;
        let own = || Path::new("results").join(&grid.manifest.name);
        let folder = out.map_or_else(own, Path::to_owned);
        let store = Store::open(folder)?;
        let plan = Plan::new(&grid, &Identity::of(&grid)?);
        let inputs = Inputs::of(&grid.manifest, manifest)?;
        Ok(Self { grid, plan, store, fingerprint: engine_fingerprint(), inputs })
    }

    /// Reads the finished runs and says what is wrong with their files.
    pub(super) fn read(&self) -> Result<Stored, CliError> {
        let mut stored = self.store.read(&self.fingerprint)?;
        self.tell(&stored.damaged, &stored.others, &stored.strangers);
        stored.require(&Detail::asked(self.grid.manifest.output))?;
        stored.retain(|run_id| self.has_files(run_id));
        Ok(stored)
    }

    /// Reads which runs are finished and says what is wrong with their files.
    pub(super) fn index(&self) -> Result<Index, CliError> {
        let mut index = self.store.index(&self.fingerprint)?;
        self.tell(&index.damaged, &index.others, &index.strangers);
        index.require(&Detail::asked(self.grid.manifest.output));
        index.retain(|run_id| self.has_files(run_id));
        Ok(index)
    }

    /// Returns whether the files that a run has of its own are there, if the manifest asks for any.
    fn has_files(&self, run_id: &str) -> bool {
        let asked = self.grid.manifest.output.requests;
        !asked || self.store.has_requests(&self.fingerprint, run_id)
    }

    /// Opens the files of the results.
    pub(super) fn result_files(&self) -> Result<ResultFiles, CliError> {
        ResultFiles::create(self.store.root(), &Detail::asked(self.grid.manifest.output))
    }

    /// Starts the threads that execute runs.
    pub(super) fn pool(&self, threads: usize) -> Result<Pool, CliError> {
        let files = || RequestFiles::new(&self.store, &self.fingerprint, &self.grid, &self.plan);
        let files = self.grid.manifest.output.requests.then(files).transpose()?;
        Ok(Pool::new(threads).map_err(CliError::new)?.keeping(files))
    }

    pub(super) fn tell(
        &self,
        damaged: &[Damaged],
        others: &BTreeMap<String, usize>,
        strangers: &[PathBuf],
    ) {
        for part in damaged {
            let path = part.path.display();
            remark(&format!("warning: {path}: {}; its runs count as not done", part.why));
        }
        for (engine, parts) in others {
            remark(&format!("note: {parts} parts of another engine ({engine}) are left alone"));
        }
        for path in strangers {
            remark(&format!("note: {}: not one of ours, left alone", path.display()));
        }
    }

    /// Executes some runs. Finished ones go to the store as they come; returned are those that
    /// failed, which it does not keep: they are tried again next time.
    pub(super) fn execute(
        &self,
        pool: &Pool,
        runs: &[RunIndex],
    ) -> Result<(Ended, Vec<RunRow>), CliError> {
        let stop = Arc::new(StopFlag::new());
        let bar = Bar::start(&self.grid.manifest.name, runs.len());
        watch_stop(Arc::clone(&stop), || {
            "stopping: runs that have begun are finished and kept; once more ends at once"
                .to_owned()
        });
        let mut all_failed = Vec::new();
        let commit = |rows: Vec<RunRow>| -> Result<(), CliError> {
            let (finished, failed): (Vec<_>, Vec<_>) =
                rows.into_iter().partition(|row| row.outcome.is_ok());
            all_failed.extend(failed);
            if !finished.is_empty() {
                let batch = self.plan.batch(&self.grid, &finished)?;
                self.store.commit(batch, &self.fingerprint)?;
            }
            Ok(())
        };
        let ended = pool.run(&self.grid, runs, &bar, &stop, commit);
        bar.finish();
        Ok((ended?, all_failed))
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let hint = error.hint();
        Self { hint, ..Self::new(error.to_string()) }
    }
}

impl From<ManifestError> for CliError {
    fn from(error: ManifestError) -> Self {
        match error {
            ManifestError::File(error) => error.into(),
            ManifestError::Configs(_) => Self::new(error.to_string()),
        }
    }
}

impl From<GridError> for CliError {
    fn from(error: GridError) -> Self {
        match error {
            GridError::Trace(error) => error.into(),
            GridError::Workload(error) => error.into(),
            GridError::BlocksDontFit { .. } => {
                Self::new(error.to_string()).hint("change kv_block_size in the config")
            }
        }
    }
}

impl From<LongTableError> for CliError {
    fn from(error: LongTableError) -> Self {
        match error {
            LongTableError::Store(error) => error.into(),
            LongTableError::Table(error) => error.into(),
        }
    }
}

impl From<TableError> for CliError {
    fn from(error: TableError) -> Self {
        Self::new(format!("tables: {error}"))
    }
}
