//! Runs over all cores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rayon::prelude::*;

use crate::scenario::Scenario;
use crate::study::Progress;
use crate::tables::RunRow;
use crate::workload::{Warmup, Workload, WorkloadError};

use super::grid::{Grid, RunSpec};

/// The threads of a sweep.
#[derive(Debug)]
pub struct Pool(rayon::ThreadPool);

impl Pool {
    /// Starts that many threads; 0 is one per core.
    ///
    /// # Errors
    ///
    /// A message, when the system gives no threads.
    pub fn new(threads: usize) -> Result<Self, String> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.map(Self).map_err(|error| format!("threads: {error}"))
    }

    /// Returns how many threads there are.
    pub fn threads(&self) -> usize {
        self.0.current_num_threads()
    }

    /// Runs a grid on these threads; see [`Grid::run`].
    pub fn run(&self, grid: &Grid, progress: &dyn Progress) -> Vec<RunRow> {
        self.0.install(|| grid.run(progress))
    }
}

/// The runs that share their requests.
#[derive(Clone, Copy, Debug)]
struct Group {
    rate: usize,
    seed: usize,
    warmup: Warmup,
}

impl Grid {
    /// Runs every cell under every seed on the current rayon pool and returns a row for each, in
    /// the order of the grid. A run that fails is a row with its error.
    pub fn run(&self, progress: &dyn Progress) -> Vec<RunRow> {
        let mut rows: Vec<(usize, RunRow)> =
            self.groups().par_iter().flat_map(|group| self.run_group(*group, progress)).collect();
        rows.sort_by_key(|(place, _)| *place);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// Requests are made once per (rate, seed, warm-up) and dropped when their runs are done; the
    /// highest rates, which take longest, come first.
    fn groups(&self) -> Vec<Group> {
        let warmups = self.warmups();
        let mut by_rate: Vec<usize> = (0..self.manifest.rates_rps.len()).collect();
        by_rate.sort_by(|a, b| {
            let rate = |index: &usize| self.manifest.rates_rps[*index].unwrap_or(0.0);
            rate(b).total_cmp(&rate(a))
        });
        let mut groups = Vec::new();
        for rate in by_rate {
            for seed in 0..self.manifest.seeds.len() {
                groups.extend(warmups.iter().map(|warmup| Group { rate, seed, warmup: *warmup }));
            }
        }
        groups
    }

    fn run_group(&self, group: Group, progress: &dyn Progress) -> Vec<(usize, RunRow)> {
        let rate_rps = self.manifest.rates_rps[group.rate];
        let seed = self.manifest.seeds[group.seed];
        let workload = self.workload(rate_rps, seed, group.warmup).map(Arc::new);
        let mut runs = Vec::new();
        for (config, loaded) in self.manifest.configs.iter().enumerate() {
            if self.warmup(&loaded.config) == group.warmup {
                runs.extend((0..self.manifest.algorithms.len()).map(|algorithm| RunSpec {
                    config,
                    algorithm,
                    rate: group.rate,
                    seed: group.seed,
                }));
            }
        }
        let run = |spec: &RunSpec| {
            let row = self.run_one(*spec, &workload);
            let requests = workload.as_ref().map_or(0, |workload| workload.requests.len());
            progress.run_ended(requests, row.outcome.is_err());
            (self.row(*spec), row)
        };
        runs.par_iter().map(run).collect()
    }

    fn run_one(&self, spec: RunSpec, workload: &Result<Arc<Workload>, WorkloadError>) -> RunRow {
        let loaded = &self.manifest.configs[spec.config];
        let algorithm = &self.manifest.algorithms[spec.algorithm];
        let seed = self.manifest.seeds[spec.seed];
        let cell = crate::tables::CellKey {
            config: loaded.name.clone(),
            algorithm: algorithm.clone(),
            rate_rps: self.manifest.rates_rps[spec.rate],
        };
        let realised_rps = workload.as_ref().ok().and_then(|made| made.info.realised_rps);
        let outcome = workload.as_ref().map_err(ToString::to_string).and_then(|workload| {
            let scenario = Scenario {
                cluster: loaded.config.cluster.clone(),
                algorithm: algorithm.clone(),
                workload: Arc::clone(workload),
                slo: self.slo(spec.config).clone(),
                seed,
            };
            match catch_unwind(AssertUnwindSafe(|| scenario.run())) {
                Ok(result) => result.map_err(|error| error.to_string()),
                Err(panic) => Err(describe(panic.as_ref())),
            }
        });
        RunRow { cell, seed, realised_rps, outcome }
    }
}

/// A panic is our bug: it costs one run, not the sweep.
fn describe(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panic: {}", text.unwrap_or_else(|| "no message".to_owned()))
}
