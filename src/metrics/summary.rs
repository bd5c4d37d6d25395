//! The numbers of one run.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;

use crate::engine::RunRecord;
use crate::router::RejectReason;
use crate::stats::{
    LogHistogram, Moments, coefficient_of_variation, jain_index, quantile_sorted_u64,
};
use crate::units::{PS_PER_MS, SimDuration};

use super::STEADY_GROWTH;
use super::slo::{SloMeasure, SloSpec, SloStatistic, SloTerm};

/// The numbers of one run. Names carry their units; `None` is "not known".
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Every request of the run: `requests = finished + Σ rejected + timed_out + unserved`.
    pub all: OutcomeCounts,
    /// The measured ones.
    pub measured: OutcomeCounts,
    /// From the end of the warm-up to the end of the arrivals, in seconds.
    pub window_s: f64,
    /// From the end of the arrivals to the last event, in seconds.
    pub drain_s: f64,
    /// Requests that had arrived and not ended when the window began, and when it ended.
    pub backlog: Backlog,
    /// How much their number grew, over the requests that arrived in the window: about 0 when the
    /// fleet keeps up and the warm-up was long enough, the excess load when it does not; none when
    /// the window has no length.
    pub backlog_growth_ratio: Option<f64>,
    /// Time to first token.
    pub ttft: Latency,
    /// Time between tokens, pooled; quantiles are by nearest rank in a histogram, within 0.4 %, the
    /// rest is exact.
    pub tbt: Latency,
    /// Time per output token after the first.
    pub tpot: Latency,
    /// Arrival to last token.
    pub e2e: Latency,
    /// Arrival to first scheduling.
    pub queue_wait: Latency,
    /// Requests completed in the window, per second.
    pub throughput_rps: Option<f64>,
    /// Prompt tokens of those requests, per second.
    pub prompt_throughput_tps: Option<f64>,
    /// Output tokens of those requests, per second.
    pub output_throughput_tps: Option<f64>,
    /// Prompt tokens found in the cache over prompt tokens.
    pub token_hit_ratio: Option<f64>,
    /// Requests that found a block or more in the cache, over requests.
    pub request_hit_ratio: Option<f64>,
    /// Blocks whose content was evicted, from the start of the window on.
    pub evictions: u64,
    /// How often measured requests lost their blocks.
    pub preemptions: u64,
    /// Population standard deviation over mean of the measured requests that backends got; of
    /// two pools the worse.
    pub load_cv: Option<f64>,
    /// Jain's index of the same; 1 is even, 1/n is one backend for all.
    pub jain_index: Option<f64>,
    /// Longest over shortest mean queue (waiting and running, over the window) of a pool's
    /// backends; none when a queue was always empty.
    pub max_min_queue_ratio: Option<f64>,
    /// GPU-busy seconds from the start of the window to the end of the drain, over measured
    /// requests that finished.
    pub gpu_time_per_request_s: Option<f64>,
    /// Price of the whole fleet over the window, idle or not, per thousand tokens (prompt and
    /// output) of the requests completed in it, in US dollars.
    pub cost_per_1k_tokens_usd: Option<f64>,
    /// How the run stands to its SLO, when there is one.
    pub slo: Option<SloSummary>,
    /// Events that the simulation handled.
    pub events: u64,
    /// Figures of the algorithm's own state at the end.
    pub diagnostics: BTreeMap<&'static str, f64>,
}

/// Requests in the system at the two ends of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// When the window began.
    pub start: u64,
    /// When it ended.
    pub end: u64,
}

/// Requests by what became of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomeCounts {
    /// In all.
    pub requests: u64,
    /// All tokens came.
    pub finished: u64,
    /// Turned away, by reason; every reason is listed.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Gave up waiting. No client does yet.
    pub timed_out: u64,
    /// Had no outcome when the run ended: a fault of the simulator.
    pub unserved: u64,
}

/// A latency's statistics in milliseconds; quantiles are type 7, save those of TBT.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// How many values.
    pub n: u64,
    /// Arithmetic mean.
    pub mean_ms: Option<f64>,
    /// Sample standard deviation.
    pub sd_ms: Option<f64>,
    /// Median.
    pub p50_ms: Option<f64>,
    /// 75th percentile.
    pub p75_ms: Option<f64>,
    /// 90th percentile.
    pub p90_ms: Option<f64>,
    /// 95th percentile.
    pub p95_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
    /// Largest.
    pub max_ms: Option<f64>,
}

/// How a run stands to its SLO.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SloSummary {
    /// Whether every term holds.
    pub met: bool,
    /// Measured requests within every limit, over measured requests that arrived.
    pub attainment_ratio: f64,
    /// Measured requests within every limit, per second of the window.
    pub goodput_rps: Option<f64>,
    /// Each limit.
    pub terms: Vec<TermSummary>,
}

/// How a run stands to one limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TermSummary {
    /// Its key, such as `ttft_p95_ms`.
    pub name: String,
    /// The limit.
    pub limit_ms: f64,
    /// The statistic; none when it lies among requests that did not finish, or when no request
    /// has the latency (single tokens have no TPOT).
    pub value_ms: Option<f64>,
    /// Whether the statistic is within the limit; true when no request has the latency.
    pub met: bool,
}

/// What a [`super::Collector`] has gathered. Times are picoseconds.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) all: OutcomeCounts,
    pub(super) counts: OutcomeCounts,
    pub(super) ttft: Vec<u64>,
    pub(super) tpot: Vec<u64>,
    pub(super) e2e: Vec<u64>,
    pub(super) queue_wait: Vec<u64>,
    pub(super) tbt: LogHistogram,
    pub(super) cached_tokens: u64,
    pub(super) prompt_tokens: u64,
    pub(super) hits: u64,
    pub(super) preemptions: u64,
    pub(super) attained: u64,
    /// Warm-up requests that ended before the window.
    pub(super) ended_early: u64,
    pub(super) completed: u64,
    pub(super) completed_prompt_tokens: u64,
    pub(super) completed_output_tokens: u64,
}

impl Default for OutcomeCounts {
    fn default() -> Self {
        let rejected = RejectReason::ALL.iter().map(|reason| (reason.name(), 0)).collect();
        Self { requests: 0, finished: 0, rejected, timed_out: 0, unserved: 0 }
    }
}

impl Backlog {
    /// What had come before the window less what had ended; then what came in the window less
    /// what was completed in it or turned away.
    fn of(measured: &Measured) -> Self {
        let warm_up = measured.all.requests - measured.counts.requests;
        let start = warm_up - measured.ended_early;
        let left = measured.completed + measured.counts.rejected_total();
        Self { start, end: (start + measured.counts.requests).saturating_sub(left) }
    }

    /// Adds the backlog of another run.
    pub fn add(&mut self, other: Self) {
        self.start += other.start;
        self.end += other.end;
    }

    /// Returns whether a backlog that grew by `growth_ratio` of the arrivals is steady: it grew by
    /// at most [`STEADY_GROWTH`], or by no more than chance gives, two standard deviations of the
    /// difference of two Poisson counts.
    pub fn is_steady(self, growth_ratio: Option<f64>) -> bool {
        let grown = self.end as f64 - self.start as f64;
        let chance = 2.0 * ((self.start + self.end) as f64).sqrt();
        growth_ratio.is_none_or(|ratio| ratio <= STEADY_GROWTH) || grown <= chance
    }
}

impl OutcomeCounts {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.finished += other.finished;
        self.timed_out += other.timed_out;
        self.unserved += other.unserved;
        for (reason, count) in &other.rejected {
            *self.rejected.entry(reason).or_default() += count;
        }
    }

    /// Returns how many were turned away, for whatever reason.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }
}

impl Latency {
    /// Sorts the values, in picoseconds, and describes them.
    fn of(values: &mut [u64]) -> Self {
        values.sort_unstable();
        let ms: Vec<f64> = values.iter().map(|ps| *ps as f64 / PS_PER_MS as f64).collect();
        let moments = Moments::of(&ms);
        let quantile = |p| quantile_sorted_u64(values, p).map(|ps| ps / PS_PER_MS as f64);
        Self {
            n: values.len() as u64,
            mean_ms: moments.mean(),
            sd_ms: moments.sd(),
            p50_ms: quantile(0.5),
            p75_ms: quantile(0.75),
            p90_ms: quantile(0.9),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            max_ms: ms.last().copied(),
        }
    }

    fn of_histogram(histogram: &LogHistogram) -> Self {
        let ms = |ps: f64| ps / PS_PER_MS as f64;
        let quantile = |p| histogram.quantile(p).map(|ps| SimDuration::from_ps(ps).as_ms());
        Self {
            n: histogram.count(),
            mean_ms: histogram.moments().mean().map(ms),
            sd_ms: histogram.moments().sd().map(ms),
            p50_ms: quantile(0.5),
            p75_ms: quantile(0.75),
            p90_ms: quantile(0.9),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            max_ms: histogram.moments().max().map(|ps| SimDuration::from_ps(ps).as_ms()),
        }
    }
}

pub(super) fn summarise(
    mut measured: Measured,
    run: &RunRecord,
    slo: &SloSpec,
    (window, drain): (SimDuration, SimDuration),
    usd_per_hour: f64,
) -> Summary {
    let window_s = window.as_secs();
    let backlog = Backlog::of(&measured);
    let came = measured.counts.requests as f64;
    let growth = ratio(backlog.end as f64 - backlog.start as f64, came);
    let per_s = |count: u64| ratio(count as f64, window_s);
    let (ttft, tpot) = (Latency::of(&mut measured.ttft), Latency::of(&mut measured.tpot));
    let (e2e, queue_wait) = (Latency::of(&mut measured.e2e), Latency::of(&mut measured.queue_wait));
    let finished = measured.counts.finished as f64;
    let busy_s: f64 = run.backends.iter().map(|backend| backend.busy.as_secs()).sum();
    let tokens = measured.completed_prompt_tokens + measured.completed_output_tokens;
    let usd = usd_per_hour / 3_600.0 * window_s;
    let slo = (!slo.is_empty()).then(|| slo_summary(&measured, slo, window_s));
    Summary {
        window_s,
        drain_s: drain.as_secs(),
        backlog,
        backlog_growth_ratio: growth.filter(|_| window_s > 0.0),
        tbt: Latency::of_histogram(&measured.tbt),
        ttft,
        tpot,
        e2e,
        queue_wait,
        throughput_rps: per_s(measured.completed),
        prompt_throughput_tps: per_s(measured.completed_prompt_tokens),
        output_throughput_tps: per_s(measured.completed_output_tokens),
        token_hit_ratio: ratio(measured.cached_tokens as f64, measured.prompt_tokens as f64),
        request_hit_ratio: ratio(measured.hits as f64, finished),
        evictions: run.backends.iter().map(|backend| backend.evictions).sum(),
        preemptions: measured.preemptions,
        load_cv: worst(run, pool_cv, f64::max),
        jain_index: worst(run, pool_jain, f64::min),
        max_min_queue_ratio: queue_ratio(run),
        gpu_time_per_request_s: ratio(busy_s, finished),
        cost_per_1k_tokens_usd: ratio(usd, tokens as f64 / 1e3),
        slo,
        events: run.events,
        diagnostics: run.diagnostics.iter().copied().collect(),
        all: measured.all,
        measured: measured.counts,
    }
}

/// Returns the quotient, or nothing when there is nothing to divide by.
fn ratio(value: f64, by: f64) -> Option<f64> {
    (by > 0.0).then(|| value / by)
}

/// Returns the worse of the pools' values, as `worse` picks it.
fn worst(
    run: &RunRecord,
    value: impl Fn(&RunRecord, Range<usize>) -> Option<f64>,
    worse: fn(f64, f64) -> f64,
) -> Option<f64> {
    run.pools.iter().filter_map(|pool| value(run, pool.clone())).reduce(worse)
}

fn pool_cv(run: &RunRecord, pool: Range<usize>) -> Option<f64> {
    coefficient_of_variation(&dispatched(run, pool))
}

fn pool_jain(run: &RunRecord, pool: Range<usize>) -> Option<f64> {
    jain_index(&dispatched(run, pool))
}

fn dispatched(run: &RunRecord, pool: Range<usize>) -> Vec<f64> {
    run.dispatched[pool].iter().map(|count| *count as f64).collect()
}

/// A pool that had no load says nothing; one of which a backend had none is beyond every ratio.
fn queue_ratio(run: &RunRecord) -> Option<f64> {
    let mut worst: Option<f64> = None;
    for pool in &run.pools {
        let loads = run.backends[pool.clone()].iter().map(|backend| backend.load_ps);
        let (longest, shortest) = (loads.clone().max()?, loads.min()?);
        if longest > 0 {
            let own = ratio(longest as f64, shortest as f64)?;
            worst = Some(worst.map_or(own, |other| other.max(own)));
        }
    }
    worst
}

fn slo_summary(measured: &Measured, slo: &SloSpec, window_s: f64) -> SloSummary {
    let terms: Vec<TermSummary> =
        slo.terms.iter().map(|term| term_summary(measured, term)).collect();
    SloSummary {
        met: terms.iter().all(|term| term.met),
        attainment_ratio: measured.attained as f64 / measured.counts.requests.max(1) as f64,
        goodput_rps: ratio(measured.attained as f64, window_s),
        terms,
    }
}

/// The columns are sorted by now. Requests that did not finish stand behind them, infinitely late.
fn term_summary(measured: &Measured, term: &SloTerm) -> TermSummary {
    let sorted = match term.measure {
        SloMeasure::Ttft => &measured.ttft,
        SloMeasure::Tpot => &measured.tpot,
        SloMeasure::E2e => &measured.e2e,
        SloMeasure::QueueWait => &measured.queue_wait,
    };
    let lost = measured.counts.requests - measured.counts.finished;
    let value_ps = match term.statistic {
        // One request that is infinitely late makes the mean infinite.
        SloStatistic::Mean if lost > 0 => None,
        SloStatistic::Mean => {
            let values: Vec<f64> = sorted.iter().map(|ps| *ps as f64).collect();
            Moments::of(&values).mean()
        }
        SloStatistic::Percentile(percent) => {
            let infinite = usize::try_from(lost).unwrap_or(usize::MAX);
            quantile_with_losses(sorted, infinite, percent)
        }
    };
    let value_ms = value_ps.map(|ps| ps / PS_PER_MS as f64);
    let limit_ms = term.limit.as_ms();
    let met = value_ms.map_or(sorted.is_empty() && lost == 0, |value| value <= limit_ms);
    TermSummary { name: term.to_string(), limit_ms, value_ms, met }
}

/// Type-7 quantile, in percent, of `sorted` followed by `lost` infinite values; none when it is
/// infinite.
fn quantile_with_losses(sorted: &[u64], lost: usize, percent: f64) -> Option<f64> {
    if lost == 0 {
        return quantile_sorted_u64(sorted, percent / 100.0);
    }
    let last_rank = (sorted.len() + lost - 1) as f64;
    let finite = sorted.len().checked_sub(1)? as f64;
    // A rank that is whole but for rounding is whole: else it would reach for the value above.
    let at = percent * last_rank / 100.0;
    let near = at.round();
    let at = if (at - near).abs() < 1e-9 * last_rank { near } else { at };
    // Interpolation looks at the value above, unless the rank is whole.
    if at.ceil() > finite {
        return None;
    }
    quantile_sorted_u64(sorted, (at / finite.max(1.0)).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_push_a_quantile_up_and_out() {
        let sorted: Vec<u64> = (1..=9).map(|value| value * 10).collect();
        // Nine finite values and one infinite: rank 0.5 · 9 = 4.5 lies between 50 and 60.
        let median = quantile_with_losses(&sorted, 1, 50.0).unwrap();
        assert!((median - 55.0).abs() < 1e-9, "{median}");
        assert_eq!(quantile_with_losses(&sorted, 1, 95.0), None);
        assert_eq!(quantile_with_losses(&[], 3, 50.0), None);
        let thousand: Vec<u64> = (0..1_000).collect();
        assert_eq!(quantile_with_losses(&thousand, 1, 99.9), Some(999.0), "the last that is there");
        let many: Vec<u64> = (0..40_960).collect();
        assert_eq!(quantile_with_losses(&many, 41, 99.9), Some(40_959.0));
    }

    #[test]
    fn a_small_backlog_may_grow_by_chance() {
        let backlog = |start, end| Backlog { start, end };
        assert!(backlog(0, 2).is_steady(Some(0.033)), "two of sixty in flight at the end");
        assert!(!backlog(0, 340).is_steady(Some(0.11)), "an empty start, or overload");
        assert!(backlog(100, 600).is_steady(Some(0.01)), "little beside the arrivals");
        assert!(backlog(5, 500).is_steady(None), "no window");
    }
}
