//! Why the numbers of a cell may not be what they seem.

use std::collections::BTreeSet;

use crate::stats::{Moments, Sample, paired_ratio};

use super::read::CellRuns;
use super::write::TableError;

/// Below so many seeds intervals are wide, and only as good as their assumptions.
pub const FEW_SEEDS: usize = 5;
/// Requests beyond a quantile, below which it is biased in every run.
const FEW_BEYOND: f64 = 100.0;
/// How much the second half of the window may differ from the first: a mean is then off by half of
/// it.
const MOST_DRIFT: f64 = 0.05;
/// How sure a drift must be: one of a hundred cells without one would be accused.
const DRIFT_CONFIDENCE: f64 = 0.99;

/// The metric whose flags are those of a whole cell; it is the first of the table.
pub(super) const TYPICAL: &str = "ttft_mean_ms";

/// A reason not to trust a number as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// The backlog grows.
    Saturated,
    /// The window drifts, though the backlog does not grow.
    Warmup,
    /// Measured requests did not finish.
    Censored,
    /// Few requests lie beyond the quantile.
    ThinTail,
    /// Runs failed.
    FailedSeeds,
    /// There are few seeds.
    FewSeeds,
    /// Every seed gave the same.
    SameSeeds,
}

/// The flags of a number or a cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags(BTreeSet<Flag>);

/// What of the runs of a cell its flags depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct CellValidity {
    own: Flags,
    /// Mean TTFT over the seeds.
    ttft: Option<Sample>,
    /// Measured requests that finished, of the run with the fewest.
    fewest_finished: u64,
}

impl Flag {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 7] = [
        Self::Saturated,
        Self::Warmup,
        Self::Censored,
        Self::ThinTail,
        Self::FailedSeeds,
        Self::FewSeeds,
        Self::SameSeeds,
    ];

    /// Returns what tables call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Saturated => "saturated",
            Self::Warmup => "warmup",
            Self::Censored => "censored",
            Self::ThinTail => "thin_tail",
            Self::FailedSeeds => "failed_seeds",
            Self::FewSeeds => "few_seeds",
            Self::SameSeeds => "same_seeds",
        }
    }
}

impl Flags {
    /// Returns whether one is among them.
    pub fn has(&self, flag: Flag) -> bool {
        self.0.contains(&flag)
    }

    /// Returns them, in the order of [`Flag::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = Flag> {
        self.0.iter().copied()
    }

    /// Returns their names, joined by semicolons; none when there are none.
    pub fn text(&self) -> Option<String> {
        let names: Vec<&str> = self.iter().map(Flag::name).collect();
        (!names.is_empty()).then(|| names.join(";"))
    }

    fn put(&mut self, flag: Flag, holds: bool) {
        if holds {
            self.0.insert(flag);
        }
    }
}

impl CellValidity {
    /// Looks at the runs of a cell.
    ///
    /// # Errors
    ///
    /// When they are of no table of runs.
    pub fn of(runs: &CellRuns<'_>) -> Result<Self, TableError> {
        let (ok, failed) = runs.by_status()?;
        let counts = ok.measured()?;
        let steady = is_steady(&ok)?;
        let mut own = Flags::default();
        own.put(Flag::Saturated, !steady);
        own.put(Flag::Warmup, steady && drifts(&ok)?);
        own.put(Flag::Censored, counts.finished < counts.requests);
        own.put(Flag::FailedSeeds, !failed.is_empty());
        let ttft: Vec<f64> = ok.real(TYPICAL)?.into_iter().flatten().collect();
        let finished = ok.whole("measured_finished_count")?.into_iter().flatten();
        Ok(Self { own, ttft: Sample::of(&ttft), fewest_finished: finished.min().unwrap_or(0) })
    }

    /// Returns whether the backlog stays, see [`Backlog::is_steady`](crate::metrics::Backlog::is_steady).
    pub fn is_steady(&self) -> bool {
        !self.own.has(Flag::Saturated)
    }

    /// Returns the flags of the whole cell: those of its mean TTFT, which is no quantile.
    pub fn flags(&self) -> Flags {
        self.flags_of(TYPICAL, self.ttft.as_ref())
    }

    /// Returns the flags of one metric, whose values over the seeds are `sample`.
    pub fn flags_of(&self, metric: &str, sample: Option<&Sample>) -> Flags {
        let mut flags = self.own.clone();
        let n = sample.map_or(0, |sample| sample.n);
        flags.put(Flag::ThinTail, n > 0 && self.has_thin_tail(metric));
        flags.put(Flag::FewSeeds, n < FEW_SEEDS);
        flags.put(Flag::SameSeeds, n > 1 && sample.is_some_and(|sample| sample.n_distinct == 1));
        flags
    }

    /// Returns whether some run has fewer than a hundred requests beyond the quantile of that
    /// metric, if it is one. Of gaps between tokens there are more, but those of one request go
    /// together.
    pub fn has_thin_tail(&self, metric: &str) -> bool {
        percent_of(metric).is_some_and(|percent| {
            self.fewest_finished as f64 * (100.0 - percent) < 100.0 * FEW_BEYOND
        })
    }
}

/// Returns which percentile a metric is: 95 of `ttft_p95_ms`.
fn percent_of(metric: &str) -> Option<f64> {
    let (_, statistic) = metric.strip_suffix("_ms")?.rsplit_once('_')?;
    statistic.strip_prefix('p')?.parse().ok()
}

/// The backlogs of all runs together.
fn is_steady(ok: &CellRuns<'_>) -> Result<bool, TableError> {
    let growth: Option<Vec<f64>> = ok.real("backlog_growth_ratio")?.into_iter().collect();
    let growth = growth.and_then(|values| Moments::of(&values).mean());
    Ok(ok.backlog()?.is_steady(growth))
}

/// Whether mean TTFT of the two halves of the window differs by more than [`MOST_DRIFT`] and by more
/// than chance gives: Student's t over the seeds' log ratios.
fn drifts(ok: &CellRuns<'_>) -> Result<bool, TableError> {
    let halves = ["ttft_first_half_mean_ms", "ttft_second_half_mean_ms"];
    let [first, second] = halves.map(|half| ok.real(half));
    let pairs = first?.into_iter().zip(second?).filter_map(|(first, second)| first.zip(second));
    let (first, second): (Vec<f64>, Vec<f64>) = pairs.unzip();
    // Of two seeds the interval is as wide as the sky.
    let ratio = paired_ratio(&second, &first, DRIFT_CONFIDENCE);
    let Some(ratio) = ratio else { return Ok(false) };
    let size = libm::log(ratio.ratio).abs();
    let sure = ratio.interval.is_some_and(|interval| !interval.contains(1.0));
    Ok(sure && size > libm::log1p(MOST_DRIFT))
}
