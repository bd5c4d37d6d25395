//! Many runs of one question, in parallel: algorithms against each other on equal workloads.
//!
//! A [`Draw`] names one workload, by its seed and its rate; every algorithm meets the same
//! workload of a draw, so their differences are paired. Results stand in the order asked for,
//! whatever the number of threads.

pub mod calibrate;
mod fidelity;
mod replay;

pub use fidelity::{Fidelity, LatencyFidelity, Pair, fidelity};
pub use replay::{Replay, ReplayError};

use std::sync::Arc;

use rayon::prelude::*;

use crate::cluster::ClusterSpec;
use crate::engine::{Limits, SimError};
use crate::metrics::{Keep, SloSpec, Summary};
use crate::router::AlgorithmSpec;
use crate::scenario::Scenario;
use crate::workload::{Window, Workload, WorkloadError, WorkloadInfo};

/// Hears of every run as it ends, from any thread and in any order.
pub trait Progress: Sync {
    /// A run of that many requests has ended.
    fn run_ended(&self, requests: usize, failed: bool);
}

/// What all runs of a study have in common.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The fleet.
    pub cluster: &'a ClusterSpec,
    /// The objectives.
    pub slo: &'a SloSpec,
    /// Hears of the runs.
    pub progress: &'a dyn Progress,
    /// What to keep of each run beside its numbers.
    pub keep: Keep,
}

/// One workload of a study.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// Its seed.
    pub seed: u64,
    /// Its mean rate in requests per second, where the study sets one.
    pub rate_rps: Option<f64>,
}

/// One run and its numbers.
#[derive(Clone, Debug)]
pub struct Run {
    /// The routing.
    pub algorithm: AlgorithmSpec,
    /// The workload, by name.
    pub draw: Draw,
    /// How the workload was made.
    pub info: Arc<WorkloadInfo>,
    /// What of it is measured.
    pub window: Window,
    /// The numbers.
    pub summary: Summary,
}

/// A study that can't be carried out; the draw is the first that failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StudyError {
    /// A workload can't be made.
    #[error("{}{source}", place(draw))]
    Workload {
        /// Which one.
        draw: Draw,
        /// Why.
        source: WorkloadError,
    },
    /// A run can't be carried out.
    #[error("{}{source}", place(draw))]
    Sim {
        /// On which workload.
        draw: Draw,
        /// Why.
        source: SimError,
    },
}

impl StudyError {
    /// Returns how to mend it, when that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Workload { source, .. } => source.hint.as_deref(),
            Self::Sim { source: SimError::TooLong, .. } => {
                Some("check the step times of the config, or use fewer requests")
            }
            Self::Sim { source: SimError::BlocksDontFit { .. }, .. } => {
                Some("make `kv_block_size` a divisor or a multiple of the trace's block size")
            }
            Self::Sim { source: SimError::Fleet(error), .. } => Some(error.hint()),
            Self::Sim { source: SimError::Cut(_), .. } => None,
        }
    }
}

/// Runs every algorithm on every workload; `make` makes a draw's workload, once.
///
/// Returns the runs of the first algorithm in the order of the draws, then those of the second …
/// A workload is dropped when its runs are done, so memory grows with the threads and not with the
/// draws.
///
/// # Errors
///
/// The first failure in the order of the draws; the results of other runs are lost.
pub fn compare(
    setting: Setting<'_>,
    algorithms: &[AlgorithmSpec],
    draws: &[Draw],
    make: impl Fn(&Draw) -> Result<Workload, WorkloadError> + Sync,
) -> Result<Vec<Run>, StudyError> {
    let by_draw: Vec<Result<Vec<Run>, StudyError>> =
        draws.par_iter().map(|draw| runs_of(setting, algorithms, *draw, &make)).collect();
    let mut by_algorithm: Vec<Vec<Run>> = vec![Vec::with_capacity(draws.len()); algorithms.len()];
    for runs in by_draw {
        for (own, run) in by_algorithm.iter_mut().zip(runs?) {
            own.push(run);
        }
    }
    Ok(by_algorithm.into_iter().flatten().collect())
}

/// Runs every algorithm on one workload.
fn runs_of(
    setting: Setting<'_>,
    algorithms: &[AlgorithmSpec],
    draw: Draw,
    make: impl Fn(&Draw) -> Result<Workload, WorkloadError>,
) -> Result<Vec<Run>, StudyError> {
    let workload = make(&draw).map_err(|source| StudyError::Workload { draw, source })?;
    let workload = Arc::new(workload);
    let info = Arc::new(workload.info.clone());
    let run = |algorithm: &AlgorithmSpec| {
        let scenario = Scenario {
            cluster: setting.cluster.clone(),
            algorithm: algorithm.clone(),
            workload: Arc::clone(&workload),
            slo: setting.slo.clone(),
            seed: draw.seed,
        };
        let summary = scenario.run_within(&Limits::default(), setting.keep);
        let summary = summary.map_err(|source| StudyError::Sim { draw, source })?;
        setting.progress.run_ended(workload.requests.len(), false);
        let (info, window) = (Arc::clone(&info), workload.window);
        Ok(Run { algorithm: algorithm.clone(), draw, info, window, summary })
    };
    let runs: Vec<Result<Run, StudyError>> = algorithms.par_iter().map(run).collect();
    runs.into_iter().collect()
}

fn place(draw: &Draw) -> String {
    draw.rate_rps.map_or_else(String::new, |rate| format!("at {rate} requests per second: "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Config;
    use crate::units::SimDuration;
    use crate::workload::{GeneratorSpec, Warmup};

    struct Deaf;

    impl Progress for Deaf {
        fn run_ended(&self, _requests: usize, _failed: bool) {}
    }

    fn config() -> Config {
        Config::parse("c.toml", "[cluster]\nnum_backends = 2").unwrap()
    }

    fn setting(config: &Config) -> Setting<'_> {
        let Config { cluster, slo, .. } = config;
        Setting { cluster, slo, progress: &Deaf, keep: Keep::default() }
    }

    fn make(draw: &Draw) -> Result<Workload, WorkloadError> {
        let rate = draw.rate_rps.unwrap_or(5.0);
        let duration = SimDuration::from_secs(10.0).unwrap();
        GeneratorSpec::default().workload(rate, draw.seed, duration, Warmup::NONE)
    }

    #[test]
    fn results_stand_in_the_order_asked_for() {
        let config = config();
        let setting = setting(&config);
        let named = |name| AlgorithmSpec::by_name(name).unwrap();
        let algorithms = [named("least_kv"), named("round_robin")];
        let draws = [7, 3, 5].map(|seed| Draw { seed, rate_rps: None });
        let runs = compare(setting, &algorithms, &draws, make).unwrap();
        let order: Vec<(&str, u64)> =
            runs.iter().map(|run| (run.algorithm.name(), run.draw.seed)).collect();
        let (first, second) = ("least_kv", "round_robin");
        let expected = [(first, 7), (first, 3), (first, 5), (second, 7), (second, 3), (second, 5)];
        assert_eq!(order, expected);
        assert_eq!(runs[0].summary.all.requests, runs[3].summary.all.requests, "one workload");
    }

    #[test]
    fn the_first_failure_names_its_rate() {
        let config = config();
        let setting = setting(&config);
        let draws = [5.0, -1.0, -2.0].map(|rate| Draw { seed: 1, rate_rps: Some(rate) });
        let error = compare(setting, &AlgorithmSpec::all(), &draws, make).unwrap_err();
        assert!(error.to_string().starts_with("at -1 requests per second: "), "{error}");
        assert!(error.hint().is_some());
    }
}
