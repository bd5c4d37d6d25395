//! A manifest, its grid and its store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{ManifestArgs, Where};
use crate::cli::error::CliError;
use crate::cli::output::remark;
use crate::cli::results::{CAPACITY, COMPARISONS, ResultFiles};
use crate::cli::signals::watch_stop;
use crate::store::{Damaged, Index, RunId, RunTable, Store, StoreError, Stored};
use crate::sweep::{
    Ended, Execution, ExecutionSpec, Grid, GridError, Identity, Known, LongTableError, Manifest,
    ManifestError, Plan, Pool, RunFiles, Shard, StopFlag, Wanted, engine_fingerprint,
};
use crate::tables::{Detail, RunIndex, RunRow, TableError, TimingRow};

use super::events::EventLog;
use super::progress::{ProgressArg, Tracker, Work};
use super::provenance::Inputs;

/// All that a command on a sweep needs.
pub(super) struct Job {
    pub(super) grid: Grid,
    pub(super) identity: Identity,
    /// The runs that are wanted, as far as is known.
    pub(super) plan: Plan,
    pub(super) wanted: Wanted,
    pub(super) store: Store,
    pub(super) fingerprint: String,
    /// What the results were made from.
    pub(super) inputs: Inputs,
}

/// How runs are executed.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    pub(super) spec: &'a ExecutionSpec,
    pub(super) progress: ProgressArg,
    /// Runs that need not be executed.
    pub(super) done_before: usize,
    pub(super) log: &'a EventLog,
    /// Asks to stop, also between executions.
    pub(super) stop: &'a Arc<StopFlag>,
}

/// What came of an execution.
#[derive(Default)]
pub(super) struct Executed {
    pub(super) ended: Ended,
    /// Whether somebody asked to stop.
    pub(super) stopped: bool,
    /// Runs that failed. No part has them: they are tried again next time.
    pub(super) failed: Vec<RunRow>,
    /// Runs that took too long, which are in no table of results either: on another machine they
    /// may not.
    pub(super) timed_out: Vec<RunRow>,
    /// What each took, round by round in the order of the grid.
    pub(super) timings: Vec<TimingRow>,
}

impl Executed {
    /// Adds what came of the next one.
    pub(super) fn add(&mut self, next: Self) {
        self.ended.ran += next.ended.ran;
        self.ended.failed += next.ended.failed;
        self.ended.left = next.ended.left;
        self.stopped = next.stopped;
        self.failed.extend(next.failed);
        self.timed_out.extend(next.timed_out);
        self.timings.extend(next.timings);
    }
}

/// Loads a manifest and what it names, and says what there is to say of it.
fn load(place: &ManifestArgs) -> Result<Grid, CliError> {
    let grid = Grid::load(Manifest::load_with(&place.manifest, &place.set)?)?;
    for note in &grid.notes {
        let prefix = if note.starts_with("warning: ") { "" } else { "note: " };
        remark(&format!("{prefix}{note}"));
    }
    Ok(grid)
}

impl Job {
    /// Loads a manifest and opens its store, without writing anything.
    pub(super) fn open(place: &Where) -> Result<Self, CliError> {
        let grid = load(&place.manifest)?;
        let store = Self::store(place, &grid)?;
        Self::plan(place, grid, store)
    }

    /// Does as [`open`](Self::open) and [`index`](Self::index): at once, as both take long for a
    /// large grid.
    pub(super) fn open_with_index(place: &Where) -> Result<(Self, Index), CliError> {
        let grid = load(&place.manifest)?;
        let store = Self::store(place, &grid)?;
        let (job, index) = std::thread::scope(|scope| {
            let index = scope.spawn(|| store.index(&engine_fingerprint()));
            (Self::plan(place, grid, store.clone()), index.join())
        });
        let index = index.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let mut job = job?;
        let index = job.without_lacking(index);
        job.want_more()?;
        Ok((job, index))
    }

    fn store(place: &Where, grid: &Grid) -> Result<Store, CliError> {
        let own = || Path::new("results").join(&grid.manifest.name);
        Ok(Store::open(place.out.clone().unwrap_or_else(own))?)
    }

    fn plan(place: &Where, grid: Grid, store: Store) -> Result<Self, CliError> {
        let identity = Identity::of(&grid)?;
        let (stored, failed) = (Stored::default(), BTreeSet::new());
        let known = Known { grid: &grid, identity: &identity, stored: &stored, failed: &failed };
        let wanted = Wanted::of(&known, Shard::WHOLE)?;
        let plan = Plan::new(&grid, &identity, &wanted.seeds);
        let inputs = Inputs::of(&grid, &identity, &place.manifest.manifest);
        let fingerprint = engine_fingerprint();
        Ok(Self { grid, identity, plan, wanted, store, fingerprint, inputs })
    }

    /// Returns whether which runs are wanted depends on what others gave.
    pub(super) fn is_sequential(&self) -> bool {
        self.grid.is_sequential()
    }

    /// Finds out which runs are wanted, going by those that are done and those that fail.
    pub(super) fn want(
        &mut self,
        stored: &Stored,
        failed: &BTreeSet<RunId>,
        shard: Shard,
    ) -> Result<(), CliError> {
        if !self.is_sequential() {
            return Ok(());
        }
        let known = Known { grid: &self.grid, identity: &self.identity, stored, failed };
        self.wanted = Wanted::of(&known, shard)?;
        self.plan = Plan::new(&self.grid, &self.identity, &self.wanted.seeds);
        Ok(())
    }

    /// Does as [`want`](Self::want) with all that is kept.
    fn want_more(&mut self) -> Result<(), CliError> {
        if !self.is_sequential() {
            return Ok(());
        }
        let stored = self.read_again()?;
        let failed = self.known_failures()?.keys().copied().collect();
        self.want(&stored, &failed, Shard::WHOLE)
    }

    /// Reads the finished runs and says what is wrong with their files.
    pub(super) fn read(&self) -> Result<Stored, CliError> {
        let stored = self.read_again()?;
        self.tell(&stored.damaged, &stored.others, &stored.strangers);
        Ok(stored)
    }

    /// Reads the finished runs; what is wrong with their files was told before.
    pub(super) fn read_again(&self) -> Result<Stored, CliError> {
        let mut stored = self.store.read(&self.fingerprint)?;
        stored.require(&Detail::asked(self.grid.manifest.output))?;
        stored.retain(|run_id| self.has_files(run_id));
        Ok(stored)
    }

    /// Reads which runs are finished and says what is wrong with their files.
    pub(super) fn index(&self) -> Result<Index, CliError> {
        Ok(self.without_lacking(self.store.index(&self.fingerprint)?))
    }

    /// Says what is wrong with the files of an index, and takes out the runs that lack something.
    fn without_lacking(&self, mut index: Index) -> Index {
        self.tell(&index.damaged, &index.others, &index.strangers);
        let output = self.grid.manifest.output;
        if !Detail::asked(output).is_empty() {
            index.require(&Detail::asked(output));
        }
        if !RunTable::asked(output).is_empty() {
            index.retain(|run_id| self.has_files(run_id));
        }
        index
    }

    /// Returns whether the files that a run has of its own are there, if the manifest asks for any.
    fn has_files(&self, run_id: RunId) -> bool {
        let asked = RunTable::asked(self.grid.manifest.output);
        asked.into_iter().all(|table| self.store.has_run_table(table, &self.fingerprint, run_id))
    }

    /// Opens the files of the results.
    pub(super) fn result_files(&self) -> Result<ResultFiles, CliError> {
        let manifest = &self.grid.manifest;
        let mut whole = if manifest.compare.is_some() { COMPARISONS.to_vec() } else { Vec::new() };
        whole.extend(manifest.capacity.as_ref().map(|_| CAPACITY));
        ResultFiles::create(self.store.root(), &Detail::asked(manifest.output), &whole)
    }

    /// Starts the threads that execute runs.
    pub(super) fn pool(&self, threads: usize) -> Result<Pool, CliError> {
        let files = RunFiles::new(&self.store, &self.fingerprint, &self.grid, &self.identity);
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
            remark(&format!(
                "warning: {path}: {}; its runs count as not done unless another part has them",
                part.why
            ));
        }
        for (engine, parts) in others {
            remark(&format!("note: {parts} parts of another engine ({engine}) are left alone"));
        }
        for path in strangers {
            remark(&format!("note: {}: not one of ours, left alone", path.display()));
        }
    }

    /// Keeps what the cells of some runs depend on, as far as it is new.
    fn keep_specs(&self, runs: &[RunIndex]) -> Result<(), CliError> {
        let mut cells: Vec<usize> = runs.iter().map(|run| run.cell).collect();
        cells.dedup();
        if cells.is_empty() {
            return Ok(());
        }
        let kept = self.store.specs()?;
        let id = |cell: usize| self.identity.cell_id(cell);
        cells.retain(|cell| !kept.contains_key(id(*cell)));
        let specs = cells.into_iter().map(|cell| (id(cell), self.identity.spec(&self.grid, cell)));
        Ok(self.store.keep_specs(&specs.collect())?)
    }

    /// Executes some runs. Finished ones go to the store as they come.
    pub(super) fn execute(
        &self,
        pool: &Pool,
        how: How<'_>,
        runs: &[RunIndex],
    ) -> Result<Executed, CliError> {
        self.keep_specs(runs)?;
        let stop = Arc::clone(how.stop);
        let num_runs = self.plan.len();
        let work = Work {
            name: &self.grid.manifest.name,
            runs,
            done_before: how.done_before,
            max_failures: how.spec.max_failures.map(|most| most.of(num_runs)),
            threads: pool.threads(),
            is_part: self.is_sequential(),
        };
        let tracker = Tracker::start(how.progress, &work);
        let told = tracker.clone();
        watch_stop(Arc::clone(&stop), move || told.stopping());
        // Who reads this may send a signal: it must be watched by now.
        tracker.announce(&work);
        let mut all_failed = Vec::new();
        let mut failures = self.store.failure_log(&self.fingerprint);
        let commit = |rows: Vec<RunRow>| -> Result<(), CliError> {
            let (finished, failed): (Vec<_>, Vec<_>) =
                rows.into_iter().partition(|row| row.outcome.is_ok());
            if !finished.is_empty() {
                let batch = self.plan.batch(&self.grid, &finished)?;
                let part = self.store.commit(batch, &self.fingerprint)?;
                how.log.committed(&part, finished.len());
            }
            let id = |row: &RunRow| self.identity.run_id(row.index.cell, row.seed);
            how.log.failed(failed.iter().map(|row| (id(row), row)));
            let kept = self.keep_failures(&mut failures, how.spec, &failed);
            all_failed.extend(failed);
            kept
        };
        let execution = Execution {
            spec: how.spec,
            clock: &|| tracker.elapsed(),
            observer: &tracker,
            stop: &stop,
        };
        let ended = pool.run(&self.grid, runs, &execution, commit);
        let timings = self.with_ids(tracker.finish());
        let ended = ended?;
        let late =
            |row: &RunRow| row.outcome.as_ref().is_err_and(|failure| failure.kind.is_of_machine());
        let (timed_out, failed) = all_failed.into_iter().partition(late);
        Ok(Executed { ended, stopped: stop.is_set(), failed, timed_out, timings })
    }

    /// Gives timings the ids of their runs, in the order of the grid.
    fn with_ids(&self, mut timings: Vec<(RunIndex, TimingRow)>) -> Vec<TimingRow> {
        timings.sort_by_key(|(run, _)| *run);
        let mut ids = self.plan.runs();
        let named = |(run, timing): (RunIndex, TimingRow)| {
            let id = ids.find(|(own, _)| *own == run).map(|(_, id)| id.to_string());
            TimingRow { run_id: id.unwrap_or_default(), ..timing }
        };
        timings.into_iter().map(named).collect()
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
        let ManifestError::File(error) = error;
        error.into()
    }
}

impl From<GridError> for CliError {
    fn from(error: GridError) -> Self {
        match error {
            GridError::Faults(faults) => crate::scenario::ConfigError::from(faults).into(),
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
