//! Results for people and programs: text tables, JSON and CSV.
//!
//! The runs of one command are [`Results`]; the answer of a grid has functions of its own. Equal
//! results give equal bytes. What is not known is
//! "-" in a table, `null` in JSON and empty in CSV.

mod calibration;
mod capacity;
mod catalogue;
mod contests;
mod csv;
mod estimate;
mod fidelity;
mod gate;
mod json;
mod number;
mod sweep;
mod table;
mod text;

pub use calibration::{CalibrationResults, Source};
pub use capacity::{capacities_json, capacities_text};
pub use catalogue::Catalogue;
pub use contests::{contests_json, contests_text};
pub use fidelity::FidelityResults;
pub use gate::{check_json, check_junit, check_markdown, check_text, shell_quoted};
pub use sweep::{answers_json, sweep_text};

use crate::cluster::ClusterSpec;
use crate::scenario::Config;
use crate::study::Run;

/// The runs of one command and what they were made from.
#[derive(Clone, Debug)]
pub struct Results {
    /// What the runs have in common.
    pub origin: Origin,
    /// One after another: the runs of an algorithm stand together.
    pub runs: Vec<Run>,
}

/// What all runs of a command have in common.
#[derive(Clone, Debug)]
pub struct Origin {
    /// `simulation.name` of the config.
    pub config_name: String,
    /// The config file, as it was named.
    pub config_path: String,
    /// The fleet, in words.
    pub fleet: String,
    /// The trace file, or "generator".
    pub source: String,
    /// Whether the runs differ in their rate.
    pub kind: Kind,
}

/// What the runs of a command differ in, besides algorithm and seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Runs,
    /// The rate.
    Rates,
}

/// What algorithms know of backends; there is no other case yet.
pub const SIGNALS: &str = "perfect and immediate";

impl Origin {
    /// Describes results of a config.
    pub fn new(config: &Config, path: &str, source: &str, kind: Kind) -> Self {
        Self {
            config_name: config.name.clone(),
            config_path: path.to_owned(),
            fleet: fleet(&config.cluster),
            source: source.to_owned(),
            kind,
        }
    }
}

impl Results {
    /// Returns the runs of each algorithm, in their order.
    fn by_algorithm(&self) -> impl Iterator<Item = &[Run]> {
        self.runs.chunk_by(|a, b| a.algorithm == b.algorithm)
    }
}

fn fleet(cluster: &ClusterSpec) -> String {
    let num_backends = cluster.num_backends;
    let backend = match cluster.backend_name() {
        name if name.contains(' ') => format!("({name})"),
        name => name,
    };
    let pools = cluster.disaggregated.map_or_else(String::new, |pools| {
        format!(" ({} prefill, {} decode)", pools.prefill_backends, pools.decode_backends)
    });
    format!("{num_backends} x {backend}{pools}")
}
