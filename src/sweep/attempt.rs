//! One run, tried until it comes to an end of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Cut, Limits, SimError};
use crate::metrics::Summary;
use crate::scenario::Scenario;
use crate::tables::{Failure, FailureKind, RunRow};
use crate::workload::Workload;

use super::execute::Execution;
use super::grid::Grid;
use super::queue::Task;
use super::run_files::RunFiles;

/// What the execution of a run took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Its requests, as far as they could be made.
    pub requests: usize,
    /// How often it was begun.
    pub attempts: u32,
    /// Wall time of all its simulations. Its requests, which it may share with others, were made
    /// before.
    pub wall: Duration,
}

impl Task {
    /// Executes the run.
    pub(super) fn run(
        &self,
        grid: &Grid,
        execution: &Execution<'_>,
        files: Option<&RunFiles>,
    ) -> (RunRow, Effort) {
        let again = |attempts: u32| attempts <= execution.spec.retries && !execution.stop.is_set();
        let make = || self.requests(grid).map_err(Failure::new);
        let (made, tries_to_make) = tried(again, make);
        let (requests, realised_rps) = match &made {
            Ok(workload) => (workload.requests.len(), workload.info.realised_rps),
            Err(_) => (0, None),
        };
        let started = (execution.clock)();
        let (outcome, tries) = match made {
            Ok(workload) => tried(again, || self.simulate(grid, &workload, execution, files)),
            Err(failure) => (Err(failure), 1),
        };
        let wall = (execution.clock)().saturating_sub(started);
        let cell = Arc::clone(&grid.cells()[self.index.cell].key);
        let seed = grid.manifest.seeds[self.index.seed];
        let row = RunRow { index: self.index, cell, seed, realised_rps, outcome };
        (row, Effort { requests, attempts: tries_to_make + tries - 1, wall })
    }

    fn simulate(
        &self,
        grid: &Grid,
        workload: &Arc<Workload>,
        execution: &Execution<'_>,
        files: Option<&RunFiles>,
    ) -> Result<Summary, Failure> {
        let cell = &grid.cells()[self.index.cell];
        let scenario = Scenario {
            cluster: cell.setting.cluster.clone(),
            algorithm: cell.key.algorithm.as_ref().clone(),
            workload: Arc::clone(workload),
            slo: cell.setting.slo.clone(),
            seed: grid.manifest.seeds[self.index.seed],
        };
        let Execution { spec, clock, .. } = execution;
        let started = clock();
        let in_time = spec.max_wall.map(|most| move || clock().saturating_sub(started) <= most);
        let limits = Limits {
            max_events: spec.max_events,
            max_simulated: spec.max_simulated,
            goes_on: in_time.as_ref().map(|in_time| in_time as &dyn Fn() -> bool),
        };
        let asked = grid.manifest.output;
        let keep = if files.is_some() { asked } else { asked.without_files() };
        let ran = scenario.run_within(&limits, keep);
        let mut summary = ran.map_err(|error| failure(&error, spec.max_wall))?;
        if let (Some(files), Some(kept)) = (files, &mut summary.distributions) {
            let window = scenario.workload.window;
            let unwritten = |error| Failure { kind: FailureKind::Unwritten, error };
            files.put(self.index, scenario.seed, window, kept).map_err(unwritten)?;
        }
        Ok(summary)
    }
}

fn failure(error: &SimError, max_wall: Option<Duration>) -> Failure {
    let (kind, error) = match error {
        SimError::Cut(Cut::Events(_)) => {
            (FailureKind::Limited, format!("{error}, its `max_events`"))
        }
        SimError::Cut(Cut::SimulatedTime(_)) => {
            (FailureKind::Limited, format!("{error}, its `max_simulated_s`"))
        }
        SimError::Cut(Cut::Asked) => {
            let seconds = max_wall.unwrap_or_default().as_secs_f64();
            (
                FailureKind::TimedOut,
                format!("the run takes more than {seconds} s, its `max_wall_s`"),
            )
        }
        SimError::TooLong | SimError::BlocksDontFit { .. } | SimError::Fleet(_) => {
            (FailureKind::Failed, error.to_string())
        }
    };
    Failure { kind, error }
}

/// Tries until it works, fails in a way that it always would, or `again` says no to as many
/// attempts. Returns what came of the last one, and how many there were.
fn tried<T>(
    again: impl Fn(u32) -> bool,
    mut attempt: impl FnMut() -> Result<T, Failure>,
) -> (Result<T, Failure>, u32) {
    let mut attempts = 0;
    loop {
        attempts += 1;
        // A panic is our bug: it costs one run, not the sweep.
        let done = catch_unwind(AssertUnwindSafe(&mut attempt));
        let done = done.unwrap_or_else(|panic| {
            Err(Failure { kind: FailureKind::Panicked, error: describe(panic.as_ref()) })
        });
        match done {
            Err(failure) if failure.kind.is_chance() && again(attempts) => {}
            done => return (done, attempts),
        }
    }
}

fn describe(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panic: {}", text.unwrap_or_else(|| "no message".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attempt that goes wrong so many times, and how it is tried with two retries.
    fn outcome(wrong: u32, fail: impl Fn() -> Failure) -> (Result<u32, FailureKind>, u32) {
        let mut calls = 0;
        let (done, attempts) = tried(
            |attempts| attempts <= 2,
            || {
                calls += 1;
                if calls <= wrong { Err(fail()) } else { Ok(calls) }
            },
        );
        (done.map_err(|failure| failure.kind), attempts)
    }

    #[test]
    fn a_panic_and_a_timeout_are_tried_again_and_nothing_else() {
        let of = |kind| move || Failure { kind, error: String::new() };
        let panic = || -> Failure { panic!("a bug") };
        assert_eq!(outcome(0, panic), (Ok(1), 1));
        assert_eq!(outcome(2, panic), (Ok(3), 3));
        assert_eq!(outcome(3, panic), (Err(FailureKind::Panicked), 3));
        assert_eq!(outcome(1, of(FailureKind::TimedOut)), (Ok(2), 2));
        for kind in [FailureKind::Failed, FailureKind::Limited] {
            assert_eq!(outcome(1, of(kind)), (Err(kind), 1));
        }
    }

    #[test]
    fn a_panic_is_told_by_its_message() {
        let (done, _) = tried(|_| false, || -> Result<(), Failure> { panic!("{} blocks", 7) });
        assert_eq!(done.unwrap_err().error, "panic: 7 blocks");
    }
}
