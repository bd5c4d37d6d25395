//! Runs that failed, from one process to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::job::Job;
use crate::cli::error::CliError;
use crate::store::{FailedRun, FailureLog, RunId};
use crate::sweep::ExecutionSpec;
use crate::tables::{Failure, FailureKind, RunIndex, RunRow};

/// What runs that failed were last known to have failed of, by their ids.
pub(super) type Failures = BTreeMap<RunId, FailedRun>;

impl Job {
    /// Keeps why runs failed: their rows are in no part.
    pub(super) fn keep_failures(
        &self,
        log: &mut FailureLog,
        spec: &ExecutionSpec,
        failed: &[RunRow],
    ) -> Result<(), CliError> {
        let record = |row: &RunRow| {
            let failure = row.outcome.as_ref().err()?;
            Some(FailedRun {
                run_id: self.identity.run_id(row.index.cell, row.seed),
                status: failure.kind.status().to_owned(),
                error: failure.error.clone(),
                realised_rps: row.realised_rps.map(|rate| format!("{rate:?}")),
                // How any other run fails does not depend on them.
                limits: if failure.kind == FailureKind::Limited { limits(spec) } else { [None; 2] },
            })
        };
        Ok(log.keep(failed.iter().filter_map(record))?)
    }

    /// Returns the runs that failed, under the limits of the manifest, when they were last tried.
    pub(super) fn known_failures(&self) -> Result<Failures, CliError> {
        let own = limits(&self.grid.manifest.execution);
        let counts =
            |run: &FailedRun| run.status != FailureKind::Limited.status() || run.limits == own;
        Ok(self.store.failures(&self.fingerprint, counts)?)
    }

    /// Returns the rows of runs of the grid that failed and are not done. Those that took too long
    /// have none: they may not elsewhere.
    pub(super) fn failed_rows(
        &self,
        known: &Failures,
        is_done: impl Fn(RunId) -> bool,
    ) -> Vec<RunRow> {
        if known.is_empty() {
            return Vec::new();
        }
        let runs = self.plan.runs();
        let failed = runs.filter_map(|(index, id)| Some((index, known.get(&id)?)));
        let failed = failed.filter(|(_, run)| !is_done(run.run_id) && !is_of_machine(run));
        failed.map(|(index, run)| self.row(index, run)).collect()
    }

    fn row(&self, index: RunIndex, run: &FailedRun) -> RunRow {
        let kind = match run.status.as_str() {
            status if status == FailureKind::Limited.status() => FailureKind::Limited,
            _ => FailureKind::Failed,
        };
        RunRow {
            index,
            cell: Arc::clone(&self.grid.cells()[index.cell].key),
            seed: self.grid.manifest.seeds[index.seed],
            realised_rps: run.realised_rps.as_ref().and_then(|rate| rate.parse().ok()),
            outcome: Err(Failure { kind, error: run.error.clone() }),
        }
    }
}

/// Returns whether that a run failed lies with the machine.
pub(super) fn is_of_machine(run: &FailedRun) -> bool {
    let kinds = [FailureKind::TimedOut, FailureKind::Unwritten];
    kinds.iter().any(|kind| run.status == kind.status())
}

fn limits(spec: &ExecutionSpec) -> [Option<u64>; 2] {
    [spec.max_events, spec.max_simulated.map(|time| time.as_ps())]
}
