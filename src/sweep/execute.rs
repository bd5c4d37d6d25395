//! Runs over all cores, handed over in batches.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::tables::{RunIndex, RunRow};

use super::attempt::Effort;
use super::grid::Grid;
use super::memory::MemoryBudget;
use super::outbox::Outbox;
use super::queue::{Place, Queue};
use super::run_files::RunFiles;
use super::run_spec::ExecutionSpec;

/// The threads of a sweep.
#[derive(Debug)]
pub struct Pool {
    threads: rayon::ThreadPool,
    files: Option<RunFiles>,
}

/// Asks an execution to stop: no run begins from then on, and those that have begun end.
#[derive(Debug, Default)]
pub struct StopFlag(AtomicBool);

/// Hears of every run as it ends, from any thread and in any order.
pub trait Observer: Sync {
    /// A run has ended; it took that much.
    fn run_ended(&self, row: &RunRow, effort: &Effort);
}

/// What an execution goes by, besides its runs.
#[derive(Clone, Copy)]
pub struct Execution<'a> {
    /// How far runs may go, and how many may fail.
    pub spec: &'a ExecutionSpec,
    /// The time since some fixed instant. Results do not depend on it, save for runs that end by
    /// `max_wall`.
    pub clock: &'a (dyn Fn() -> Duration + Sync),
    /// Hears of the runs.
    pub observer: &'a dyn Observer,
    /// Asks to stop.
    pub stop: &'a StopFlag,
}

/// How far an execution came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Runs that ended and were handed over.
    pub ran: usize,
    /// Those of them that failed.
    pub failed: usize,
    /// Runs that did not begin, as it was stopped or too many have failed.
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
        let pool = pool.map(|threads| Self { threads, files: None });
        pool.map_err(|error| format!("threads: {error}"))
    }

    /// Also writes the tables that each run has in files of its own, where the manifest asks for
    /// any. A run whose tables can't be written fails.
    #[must_use]
    pub fn keeping(self, files: Option<RunFiles>) -> Self {
        Self { files, ..self }
    }

    /// Returns how many threads there are.
    pub fn threads(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Executes some runs of a grid, each of them once, and hands their rows to `commit`.
    ///
    /// A row is a function of its run alone; a run that fails is a row with its error. When more
    /// have failed than may, no run begins from then on. Rows come in no order, in batches of up to
    /// 256 and every 5 s; the last ones at the end, also when it was stopped. `commit` is called on
    /// a thread of its own, and the runs go on meanwhile. No more than 4,096 rows wait for it.
    ///
    /// # Errors
    ///
    /// What `commit` returns. No run begins from then on, and rows that were not handed over yet
    /// are lost.
    ///
    /// # Panics
    ///
    /// When the observer, the clock or `commit` do.
    pub fn run<E: Send>(
        &self,
        grid: &Grid,
        runs: &[RunIndex],
        execution: &Execution<'_>,
        commit: impl FnMut(Vec<RunRow>) -> Result<(), E> + Send,
    ) -> Result<Ended, E> {
        let queue = Queue::new(grid, runs);
        let outbox = Outbox::default();
        let (ran, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let memory = MemoryBudget::new(execution.spec.memory_bytes);
        let most_failures = execution.spec.max_failures.map(|most| most.of(grid.num_runs()));
        let goes_on = || {
            let too_many = most_failures.is_some_and(|most| failed.load(Ordering::Relaxed) > most);
            !execution.stop.is_set() && !outbox.is_broken() && !too_many
        };
        let work = || {
            let mut place = Place::default();
            while goes_on() {
                let Some(task) = queue.take(&mut place) else { return };
                let _room = memory.admit(grid.estimated_bytes(task.index));
                // It may have waited for its room.
                if !goes_on() {
                    return;
                }
                let (row, effort) = task.run(grid, execution, self.files.as_ref());
                ran.fetch_add(1, Ordering::Relaxed);
                failed.fetch_add(usize::from(row.outcome.is_err()), Ordering::Relaxed);
                execution.observer.run_ended(&row, &effort);
                outbox.put(row);
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
