//! Service level objectives: limits on latencies.

use std::fmt;

use crate::document::{Bounds, Table, did_you_mean};
use crate::units::SimDuration;

/// A conjunction of limits; empty when none is in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SloSpec {
    /// Every limit, in the order of the file.
    pub terms: Vec<SloTerm>,
}

/// One limit: a statistic of a latency may not be above it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SloTerm {
    /// Which latency.
    pub measure: SloMeasure,
    /// Which statistic of it.
    pub statistic: SloStatistic,
    /// The limit.
    pub limit: SimDuration,
}

/// A latency that an SLO can limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SloMeasure {
    /// Time to first token.
    Ttft,
    /// Mean time per output token after the first.
    Tpot,
    /// Arrival to last token.
    E2e,
    /// Arrival to first scheduling.
    QueueWait,
}

/// A statistic that an SLO can limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SloStatistic {
    /// The arithmetic mean over measured requests that arrived: infinite when one did not finish.
    Mean,
    /// The quantile over measured requests that arrived, in percent: a request that did not
    /// finish counts as infinitely late.
    Percentile(f64),
}

impl SloMeasure {
    /// Every latency, with its name in keys and columns.
    pub const ALL: [(&'static str, Self); 4] = [
        ("ttft", Self::Ttft),
        ("tpot", Self::Tpot),
        ("e2e", Self::E2e),
        ("queue_wait", Self::QueueWait),
    ];

    /// Returns its name in keys and columns.
    pub fn name(self) -> &'static str {
        let entry = Self::ALL.iter().find(|(_, measure)| *measure == self);
        entry.map_or("", |(name, _)| name)
    }
}

impl fmt::Display for SloTerm {
    /// The key: `ttft_p95_ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.statistic {
            SloStatistic::Mean => write!(f, "{}_mean_ms", self.measure.name()),
            SloStatistic::Percentile(percent) => write!(f, "{}_p{percent}_ms", self.measure.name()),
        }
    }
}

impl SloTerm {
    /// Returns the column of `runs` that holds the statistic.
    pub fn column(&self) -> String {
        format!("slo_{self}")
    }

    /// Parses a key such as `ttft_p95_ms` or `e2e_mean_ms`.
    fn parse(key: &str) -> Option<(SloMeasure, SloStatistic)> {
        let stem = key.strip_suffix("_ms")?;
        let (measure, statistic) = stem.rsplit_once('_')?;
        let (_, measure) = SloMeasure::ALL.iter().find(|(name, _)| *name == measure)?;
        let statistic = match statistic.strip_prefix('p') {
            Some(percent) => {
                let percent: f64 = percent.parse().ok()?;
                SloStatistic::Percentile(Some(percent).filter(|p| (0.0..=100.0).contains(p))?)
            }
            None if statistic == "mean" => SloStatistic::Mean,
            None => return None,
        };
        Some((*measure, statistic))
    }
}

impl SloSpec {
    /// Reads an `[slo]` table: keys `{ttft,tpot,e2e,queue_wait}_{mean,pNN}_ms`, limits in
    /// milliseconds.
    pub fn read(table: &mut Table<'_>) -> Self {
        let mut terms = Vec::new();
        for key in table.keys() {
            let Some(item) = table.item(&key) else {
                continue;
            };
            let Some((measure, statistic)) = SloTerm::parse(&key) else {
                let known = ["ttft_p95_ms", "tpot_p95_ms", "e2e_p99_ms", "queue_wait_mean_ms"];
                let latency = key.rsplit_once("_p").map_or("", |(latency, _)| latency);
                let latency = SloMeasure::ALL.iter().any(|(name, _)| *name == latency);
                let hint = if latency && item.is_table() {
                    format!("a dot parts a key in two: write \"{key}.…\" in quotes")
                } else if latency && key.ends_with("_ms") {
                    "percentiles go from 0 to 100".to_owned()
                } else if key.starts_with("tbt_") {
                    "TBT is pooled over requests; `tpot` is the same per request".to_owned()
                } else {
                    did_you_mean(&key, &known)
                };
                item.fault(format!("unknown objective `{key}` in [slo]"), Some(hint));
                continue;
            };
            let limit = item.real(Bounds::Between(1e-6, 1e9));
            let limit = limit.and_then(|ms| SimDuration::from_secs(ms / 1e3).ok());
            terms.extend(limit.map(|limit| SloTerm { measure, statistic, limit }));
        }
        Self { terms }
    }

    /// Returns whether no limit is in force.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    #[test]
    fn keys_name_a_latency_and_a_statistic() {
        let document = Document::parse("s.toml", "ttft_p95_ms = 2000\ne2e_mean_ms = 9").unwrap();
        let slo = document.settle(|root| Some(SloSpec::read(root))).unwrap();
        let names: Vec<String> = slo.terms.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["ttft_p95_ms", "e2e_mean_ms"]);
        assert!((slo.terms[0].limit.as_ms() - 2_000.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_an_objective_is_refused() {
        for text in ["ttft_p95 = 1", "ttft_p101_ms = 1", "tft_p95_ms = 1", "ttft_p95_ms = -1"] {
            let document = Document::parse("s.toml", text).unwrap();
            assert!(document.settle(|root| Some(SloSpec::read(root))).is_err(), "{text}");
        }
    }
}
