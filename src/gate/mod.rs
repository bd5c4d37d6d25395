//! The regression gate: the runs of a grid against those of its baseline.
//!
//! [`compare`] pairs the runs of two tables by cell and seed. What is equal to the last bit is
//! unchanged, without statistics; of the rest [`gate_test`](crate::stats::gate_test) says for each
//! metric whether it changed by more than matters, and all are decided together. Nothing is dropped:
//! what one side lacks, and what failed, is counted.

mod compare;
mod side;
mod spec;

pub use compare::{CellChange, CellName, Comparison, MetricChange, PairedBy, compare};
pub use side::{FailedSeed, GateError};
pub use spec::{GateSpec, Judged, gate_keys};

use crate::stats::Verdict;

/// A comparison, and what was compared.
#[derive(Clone, Debug)]
pub struct Check {
    /// The new runs.
    pub new: Source,
    /// The runs that they are held against.
    pub baseline: Source,
    /// How it was judged.
    pub spec: GateSpec,
    /// What came of it.
    pub comparison: Comparison,
    /// Whether what is inconclusive fails.
    pub strict: bool,
}

/// Where runs come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The folder of results, or the table.
    pub path: String,
    /// What made the numbers, as the table says it.
    pub engine: Option<String>,
    /// Runs that the sweep has not got; none where nothing says so.
    pub missing_runs: Option<u64>,
    /// The command that made them.
    pub command: Option<String>,
}

/// How a check ends, from the worst to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// A metric is worse by more than matters, whatever else is missing.
    Regression,
    /// New runs failed, are missing, or have no value where the old ones have.
    Incomplete,
    /// The runs do not say, and that was to fail.
    Inconclusive,
    /// Nothing of all that.
    Passed,
}

impl Check {
    /// Returns how the check ends.
    pub fn outcome(&self) -> Outcome {
        let all = &self.comparison;
        let lacking = all.failed_new() + all.lost_runs() + all.lost_metrics();
        if all.count(Verdict::Regression) > 0 {
            Outcome::Regression
        } else if lacking > 0 || self.new.missing_runs > Some(0) {
            Outcome::Incomplete
        } else if self.strict && all.count(Verdict::Inconclusive) > 0 {
            Outcome::Inconclusive
        } else {
            Outcome::Passed
        }
    }
}
