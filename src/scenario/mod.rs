//! A config, a workload and an algorithm, checked: the one road to a result.

mod config;
mod keys;

pub use config::{Config, ConfigError, TraceSpec, read_warmup};
pub use keys::{config_keys, config_schema, one_warmup, slo_keys, trace_keys, warmup_keys};

use std::sync::Arc;

use crate::cluster::ClusterSpec;
use crate::engine::{Limits, Sim, SimError};
use crate::metrics::{Collector, Keep, SloSpec, Summary};
use crate::router::AlgorithmSpec;
use crate::workload::Workload;

/// One simulation, ready to run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The fleet.
    pub cluster: ClusterSpec,
    /// The routing.
    pub algorithm: AlgorithmSpec,
    /// The requests.
    pub workload: Arc<Workload>,
    /// The objectives.
    pub slo: SloSpec,
    /// Moves the router's own draws, of which today's algorithms have none; the workload has been
    /// drawn already.
    pub seed: u64,
}

impl Scenario {
    /// Simulates and returns the numbers. Equal scenarios give equal numbers.
    ///
    /// # Errors
    ///
    /// When the workload can't run on this cluster, or takes more than 150 simulated days.
    pub fn run(&self) -> Result<Summary, SimError> {
        self.run_within(&Limits::default(), Keep::default())
    }

    /// Simulates as [`run`](Self::run) does, as far as the run may go, and also keeps what `keep`
    /// asks for, in [`Summary::distributions`]. No number depends on that, nor on limits that the
    /// run does not reach.
    ///
    /// # Errors
    ///
    /// When the workload can't run on this cluster, takes more than 150 simulated days, or is cut.
    pub fn run_within(&self, limits: &Limits<'_>, keep: Keep) -> Result<Summary, SimError> {
        let Workload { requests, window, .. } = self.workload.as_ref();
        let collector = Collector::new(*window, self.workload.measured(), &self.slo);
        let mut collector = collector.keeping(keep);
        let sim = Sim::of_requests(&self.cluster, &self.algorithm, requests, *window, self.seed)?;
        let run = sim.run_within(limits, &mut collector)?;
        Ok(collector.summary(&run, self.cluster.usd_per_hour()))
    }
}
