//! Service level objectives: limits on latencies.

use std::fmt;

use crate::document::{Bounds, Item, Table, did_you_mean};
use crate::units::SimDuration;

/// The key of the share of requests that must be within their limits.
const ATTAINMENT: &str = "attainment_ratio";

/// A conjunction of objectives; empty when none is in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SloSpec {
    /// Every limit of a statistic, in the order of the file.
    pub terms: Vec<SloTerm>,
    /// What is asked of single requests.
    pub attainment: Option<AttainmentSpec>,
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

/// Limits of each request, and how many requests must be within all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct AttainmentSpec {
    /// The limits, one or more, in the order of the file.
    pub limits: Vec<RequestLimit>,
    /// The least share of the measured requests that arrived, above 0 and up to 1.
    pub least_ratio: f64,
}

/// A limit of each request's own latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RequestLimit {
    /// Which latency; never TBT, which no request has one of.
    pub measure: SloMeasure,
    /// The limit.
    pub limit: SimDuration,
}

/// One number that an SLO asks something of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// A statistic may not be above its limit.
    Term(SloTerm),
    /// The attainment may not be below this.
    Attainment(f64),
}

/// A latency that an SLO can limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SloMeasure {
    /// Time to first token.
    Ttft,
    /// Time between tokens, pooled over all gaps of all requests.
    Tbt,
    /// Mean time per output token after the first.
    Tpot,
    /// Arrival to last token.
    E2e,
    /// Arrival to first scheduling.
    QueueWait,
}

/// A statistic that an SLO can limit.
///
/// It is over the measured requests that arrived, and one that did not finish counts as infinitely
/// late. Of TBT it is over the gaps that these requests asked for, and one that did not come is
/// infinitely long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SloStatistic {
    /// The arithmetic mean: infinite when one value is.
    Mean,
    /// The quantile, in percent.
    Percentile(f64),
}

/// What a key of `[slo]` is.
enum SloKey {
    Term(SloMeasure, SloStatistic),
    Limit(SloMeasure),
}

impl SloMeasure {
    /// Every latency, with its name in keys and columns.
    pub const ALL: [(&'static str, Self); 5] = [
        ("ttft", Self::Ttft),
        ("tbt", Self::Tbt),
        ("tpot", Self::Tpot),
        ("e2e", Self::E2e),
        ("queue_wait", Self::QueueWait),
    ];

    /// Returns its name in keys and columns.
    pub fn name(self) -> &'static str {
        let entry = Self::ALL.iter().find(|(_, measure)| *measure == self);
        entry.map_or("", |(name, _)| name)
    }

    /// Returns whether every request has one of its own (of several tokens, for TPOT).
    pub fn is_per_request(self) -> bool {
        match self {
            Self::Ttft | Self::Tpot | Self::E2e | Self::QueueWait => true,
            Self::Tbt => false,
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        let entry = Self::ALL.iter().find(|(own, _)| *own == name);
        entry.map(|(_, measure)| *measure)
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

impl fmt::Display for RequestLimit {
    /// The key: `ttft_ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_ms", self.measure.name())
    }
}

impl fmt::Display for Objective {
    /// The key: `ttft_p95_ms`, `attainment_ratio`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Term(term) => term.fmt(f),
            Self::Attainment(_) => f.write_str(ATTAINMENT),
        }
    }
}

impl fmt::Display for AttainmentSpec {
    /// `attainment_ratio >= 0.99 of ttft_ms <= 500, tpot_ms <= 50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = self.limits.iter().map(|own| format!("{own} <= {}", own.limit.as_ms()));
        let limits: Vec<String> = limits.collect();
        write!(f, "{ATTAINMENT} >= {} of {}", self.least_ratio, limits.join(", "))
    }
}

impl fmt::Display for SloSpec {
    /// `ttft_p95_ms <= 2000 and tpot_p95_ms <= 60`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms = self.terms.iter().map(|term| format!("{term} <= {}", term.limit.as_ms()));
        let all = terms.chain(self.attainment.iter().map(AttainmentSpec::to_string));
        f.write_str(&all.collect::<Vec<_>>().join(" and "))
    }
}

impl SloTerm {
    /// Returns the column of `runs` that holds the statistic.
    pub fn column(&self) -> String {
        format!("slo_{self}")
    }
}

impl Objective {
    /// Returns the column of `runs` that holds the number.
    pub fn column(&self) -> String {
        format!("slo_{self}")
    }
}

impl SloKey {
    /// Parses a key such as `ttft_p95_ms`, `e2e_mean_ms` or `ttft_ms`.
    fn parse(key: &str) -> Option<Self> {
        let stem = key.strip_suffix("_ms")?;
        if let Some(measure) = SloMeasure::by_name(stem) {
            return measure.is_per_request().then_some(Self::Limit(measure));
        }
        let (measure, statistic) = stem.rsplit_once('_')?;
        let measure = SloMeasure::by_name(measure)?;
        let statistic = match statistic.strip_prefix('p') {
            Some(percent) => {
                let percent: f64 = percent.parse().ok()?;
                SloStatistic::Percentile(Some(percent).filter(|p| (0.0..=100.0).contains(p))?)
            }
            None if statistic == "mean" => SloStatistic::Mean,
            None => return None,
        };
        Some(Self::Term(measure, statistic))
    }
}

impl SloSpec {
    /// Reads an `[slo]` table: limits in milliseconds of statistics, keys
    /// `{ttft,tbt,tpot,e2e,queue_wait}_{mean,pNN}_ms`, and of requests,
    /// `{ttft,tpot,e2e,queue_wait}_ms`, with the `attainment_ratio` that must be within these.
    pub fn read(table: &mut Table<'_>) -> Self {
        let (mut terms, mut limits) = (Vec::new(), Vec::new());
        let has_ratio = table.has(ATTAINMENT);
        let mut first_limit = None;
        for key in table.keys() {
            let Some(item) = table.item(&key).filter(|_| key != ATTAINMENT) else {
                continue;
            };
            let Some(known) = SloKey::parse(&key) else {
                unknown(&item, &key);
                continue;
            };
            let limit = item.real(Bounds::Between(1e-6, 1e9));
            let limit = limit.and_then(|ms| SimDuration::from_secs(ms / 1e3).ok());
            match known {
                SloKey::Term(measure, statistic) => {
                    terms.extend(limit.map(|limit| SloTerm { measure, statistic, limit }));
                }
                SloKey::Limit(measure) => {
                    limits.extend(limit.map(|limit| RequestLimit { measure, limit }));
                    first_limit.get_or_insert(key);
                }
            }
        }
        let least_ratio = table.real(ATTAINMENT, Bounds::Between(1e-6, 1.0));
        match first_limit {
            Some(limit) if !has_ratio => {
                let hint = format!(
                    "add `{ATTAINMENT} = 0.99`, the share of requests within it, or limit a \
                     statistic, such as `{}`",
                    limit.replace("_ms", "_p99_ms")
                );
                table.fault_at(&limit, format!("`{limit}` without `{ATTAINMENT}`"), Some(hint));
            }
            None if has_ratio => {
                let message = format!("`{ATTAINMENT}` without a limit of each request");
                let hint = "add one or more of `ttft_ms`, `tpot_ms`, `e2e_ms`, `queue_wait_ms`";
                table.fault_at(ATTAINMENT, message, Some(hint.to_owned()));
            }
            Some(_) | None => {}
        }
        let attainment = least_ratio.filter(|_| !limits.is_empty());
        let attainment = attainment.map(|least_ratio| AttainmentSpec { limits, least_ratio });
        Self { terms, attainment }
    }

    /// Returns whether no objective is in force.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty() && self.attainment.is_none()
    }

    /// Returns every number that is asked something of, the attainment last.
    pub fn objectives(&self) -> Vec<Objective> {
        let terms = self.terms.iter().map(|term| Objective::Term(*term));
        let share = self.attainment.iter().map(|own| Objective::Attainment(own.least_ratio));
        terms.chain(share).collect()
    }

    /// Returns whether a request that finished is within the SLO: within its own limits where there
    /// are any, else within those of the statistics. `within` says whether a latency of it is.
    pub(super) fn admits(&self, within: impl Fn(SloMeasure, SimDuration) -> bool) -> bool {
        match &self.attainment {
            Some(own) => own.limits.iter().all(|own| within(own.measure, own.limit)),
            None => self.terms.iter().all(|term| within(term.measure, term.limit)),
        }
    }
}

/// Refuses a key that is no objective.
fn unknown(item: &Item<'_>, key: &str) {
    let known = [
        "ttft_p95_ms",
        "tpot_p95_ms",
        "tbt_p99_ms",
        "e2e_p99_ms",
        "queue_wait_mean_ms",
        "ttft_ms",
        "tpot_ms",
        "e2e_ms",
        "queue_wait_ms",
        ATTAINMENT,
    ];
    let latency = key.rsplit_once("_p").is_some_and(|(own, _)| SloMeasure::by_name(own).is_some());
    let hint = if latency && item.is_table() {
        format!("a dot parts a key in two: write \"{key}.…\" in quotes")
    } else if latency && key.ends_with("_ms") {
        "percentiles go from 0 to 100".to_owned()
    } else if key == "tbt_ms" {
        "gaps between tokens are pooled over requests: limit `tpot_ms`, or a statistic such as \
         `tbt_p99_ms`"
            .to_owned()
    } else {
        did_you_mean(key, &known)
    };
    item.fault(format!("unknown objective `{key}` in [slo]"), Some(hint));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Document, Faults};

    fn read(text: &str) -> Result<SloSpec, Faults> {
        Document::parse("s.toml", text).unwrap().settle(|root| Some(SloSpec::read(root)))
    }

    #[test]
    fn keys_name_a_latency_and_a_statistic() {
        let slo = read("ttft_p95_ms = 2000\ne2e_mean_ms = 9\ntbt_p99_ms = 40").unwrap();
        let names: Vec<String> = slo.terms.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["ttft_p95_ms", "e2e_mean_ms", "tbt_p99_ms"]);
        assert!((slo.terms[0].limit.as_ms() - 2_000.0).abs() < 1e-9);
        assert_eq!(slo.attainment, None);
    }

    #[test]
    fn keys_without_a_statistic_are_limits_of_each_request() {
        let text = "attainment_ratio = 0.99\nqueue_wait_ms = 3\nttft_mean_ms = 7\ntpot_ms = 50";
        let slo = read(text).unwrap();
        assert_eq!(
            slo.to_string(),
            "ttft_mean_ms <= 7 and attainment_ratio >= 0.99 of queue_wait_ms <= 3, tpot_ms <= 50"
        );
        let columns: Vec<String> = slo.objectives().iter().map(Objective::column).collect();
        assert_eq!(columns, ["slo_ttft_mean_ms", "slo_attainment_ratio"]);
        assert!(!read("attainment_ratio = 1\ne2e_ms = 1").unwrap().is_empty());
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn what_is_not_an_objective_is_refused() {
        for (text, hint) in [
            ("ttft_p95 = 1", "did you mean `ttft_p95_ms`?"),
            ("ttft_p101_ms = 1", "percentiles go from 0 to 100"),
            ("tbt_p101_ms = 1", "percentiles go from 0 to 100"),
            ("tft_p95_ms = 1", "did you mean `ttft_p95_ms`?"),
            ("ttft_p95_ms = -1", "a number from"),
            ("tbt_ms = 1", "limit `tpot_ms`"),
            ("attainment_rato = 0.9\nttft_ms = 1", "did you mean `attainment_ratio`?"),
            ("ttft_m = 1", "did you mean `ttft_ms`?"),
            ("attainment_ratio = 0\nttft_ms = 1", "a number from"),
            ("attainment_ratio = 1.01\nttft_ms = 1", "a number from"),
            ("attainment_ratio = 0.9", "add one or more of `ttft_ms`"),
            ("attainment_ratio = 0.9\nttft_p95_ms = 9", "add one or more of `ttft_ms`"),
            ("queue_wait_ms = 1", "such as `queue_wait_p99_ms`"),
        ] {
            let faults = read(text).unwrap_err().to_string();
            assert!(faults.contains(hint), "{text}: {faults}");
        }
    }

    #[test]
    fn a_wrong_ratio_is_one_fault() {
        let faults = read("attainment_ratio = 2\nttft_ms = 1").unwrap_err();
        assert_eq!(faults.faults.len(), 1, "{faults}");
        let faults = read("attainment_ratio = 0.5\nttft_ms = 0").unwrap_err();
        assert_eq!(faults.faults.len(), 1, "{faults}");
    }
}
