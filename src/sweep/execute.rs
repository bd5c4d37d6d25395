//! Runs over all cores, handed over in batches.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::metrics::{Keep, Summary};
use crate::scenario::Scenario;
use crate::study::Progress;
use crate::tables::{RunIndex, RunRow};
use crate::workload::Workload;

use super::grid::Grid;
use super::outbox::Outbox;
use super::queue::{Place, Queue, Task};
use super::request_files::RequestFiles;

/// The threads of a sweep.
#[derive(Debug)]
pub struct Pool {
    threads: rayon::ThreadPool,
    requests: Option<RequestFiles>,
}

/// Asks an execution to stop: no run begins from then on, and those that have begun end.
#[derive(Debug, Default)]
pub struct StopFlag(AtomicBool);

/// How far an execution came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Runs that ended and were handed over.
    pub ran: usize,
    /// Those of them that failed.
    pub failed: usize,
    /// Runs that did not begin, as it was stopped.
    pub left: usize,
}

impl StopFlag {
    /// Makes a flag that is not set.
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Asks to stop. It may be asked again, and from anywhere.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether it was asked.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Pool {
    /// Starts that many threads; 0 is one per core.
    ///
    /// # Errors
    ///
    /// A message, when the system gives no threads.
    pub fn new(threads: usize) -> Result<Self, String> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map(|threads| Self { threads, requests: None });
        pool.map_err(|error| format!("threads: {error}"))
    }

    /// Also writes the requests of each run, where the manifest asks for them. A run whose requests
    /// can't be written fails.
    #[must_use]
    pub fn keeping(self, requests: Option<RequestFiles>) -> Self {
        Self { requests, ..self }
    }

    /// Returns how many threads there are.
    pub fn threads(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Executes some runs of a grid, each of them once, and hands their rows to `commit`.
    ///
    /// A row is a function of its run alone; a run that fails is a row with its error. Rows come
    /// in no order, in batches of up to 256 and every 5 s; the last ones at the end, also when it
    /// was stopped. `commit` is called on a thread of its own, and the runs go on meanwhile. No more
    /// than 4,096 rows wait for it.
    ///
    /// # Errors
    ///
    /// What `commit` returns. No run begins from then on, and rows that were not handed over yet
    /// are lost.
    ///
    /// # Panics
    ///
    /// When `progress` or `commit` do.
    pub fn run<E: Send>(
        &self,
        grid: &Grid,
        runs: &[RunIndex],
        progress: &dyn Progress,
        stop: &StopFlag,
        commit: impl FnMut(Vec<RunRow>) -> Result<(), E> + Send,
    ) -> Result<Ended, E> {
        let queue = Queue::new(grid, runs);
        let outbox = Outbox::default();
        let (ran, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            let mut place = Place::default();
            while !stop.is_set() && !outbox.is_broken() {
                let Some(task) = queue.take(&mut place) else { return };
                let (row, requests) = task.run(grid, self.requests.as_ref());
                let fails = row.outcome.is_err();
                ran.fetch_add(1, Ordering::Relaxed);
                failed.fetch_add(usize::from(fails), Ordering::Relaxed);
                outbox.put(row);
                progress.run_ended(requests, fails);
            }
        };
        let committed = std::thread::scope(|scope| {
            let clerk = scope.spawn(|| outbox.deliver(commit));
            {
                // Closed also when a worker panics: the clerk would wait for ever.
                let _closing = outbox.closing();
                self.threads.broadcast(|_| work());
            }
            clerk.join()
        });
        committed.unwrap_or_else(|panic| resume_unwind(panic))?;
        let (ran, failed) = (ran.into_inner(), failed.into_inner());
        Ok(Ended { ran, failed, left: runs.len() - ran })
    }
}

impl Task {
    /// Executes the run. Returns its row and the number of its requests.
    fn run(&self, grid: &Grid, files: Option<&RequestFiles>) -> (RunRow, usize) {
        // A panic is our bug: it costs one run, not the sweep.
        let made = catch_unwind(AssertUnwindSafe(|| self.requests(grid)));
        let made = made.unwrap_or_else(|panic| Err(describe(panic.as_ref())));
        let (num_requests, realised_rps) = match &made {
            Ok(workload) => (workload.requests.len(), workload.info.realised_rps),
            Err(_) => (0, None),
        };
        let outcome = made.and_then(|workload| {
            let run = catch_unwind(AssertUnwindSafe(|| self.simulate(grid, workload, files)));
            run.unwrap_or_else(|panic| Err(describe(panic.as_ref())))
        });
        let cell = grid.cell(self.index.cell);
        let seed = grid.manifest.seeds[self.index.seed];
        (RunRow { index: self.index, cell, seed, realised_rps, outcome }, num_requests)
    }

    fn simulate(
        &self,
        grid: &Grid,
        workload: Arc<Workload>,
        files: Option<&RequestFiles>,
    ) -> Result<Summary, String> {
        let spec = grid.spec(self.index);
        let scenario = Scenario {
            cluster: grid.manifest.configs[spec.config].config.cluster.clone(),
            algorithm: grid.manifest.algorithms[spec.algorithm].clone(),
            workload,
            slo: grid.slo(spec.config).clone(),
            seed: grid.manifest.seeds[spec.seed],
        };
        let keep = Keep { requests: files.is_some(), ..grid.manifest.output };
        let mut summary = scenario.run_keeping(keep).map_err(|error| error.to_string())?;
        let kept = summary.distributions.as_mut().and_then(|kept| kept.requests.take());
        if let (Some(files), Some(records)) = (files, kept) {
            let first = scenario.workload.window.first;
            files.put(self.index, scenario.seed, &records, first)?;
        }
        Ok(summary)
    }
}

fn describe(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panic: {}", text.unwrap_or_else(|| "no message".to_owned()))
}
