//! The numbers of one run.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;

use crate::engine::{RequestRecord, RunRecord};
use crate::stats::{LogHistogram, SparseHistogram, coefficient_of_variation, jain_index};
use crate::units::SimDuration;
use crate::workload::Window;

use super::STEADY_GROWTH;
use super::distribution::{Batches, Distributions};
use super::drawn::{Drawn, Draws};
use super::halves::{HalfSums, Halves};
use super::latency::{Latency, QuantileMethod, Values, Wanted};
use super::outcomes::{OutcomeCounts, Tally};
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
    /// Whether the quantiles of TTFT, TPOT, E2E and queue wait, also those of objectives, are exact.
    pub latency_quantiles: QuantileMethod,
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
    /// What the measured requests were, on average.
    #[serde(skip)]
    pub drawn: Drawn,
    /// Mean TTFT of the two halves of the window.
    #[serde(skip)]
    pub ttft_halves: Halves,
    /// What is kept beside the numbers, when it was asked for.
    #[serde(skip)]
    pub distributions: Option<Box<Distributions>>,
}

/// Requests in the system at the two ends of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// When the window began.
    pub start: u64,
    /// When it ended.
    pub end: u64,
}

/// How a run stands to its SLO.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SloSummary {
    /// Whether every objective holds.
    pub met: bool,
    /// Measured requests within the SLO, over measured requests that arrived. A request is within
    /// it when it finished within the limits of requests, or, where there are none, of the terms.
    pub attainment_ratio: f64,
    /// The least attainment that is asked for, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_attainment_ratio: Option<f64>,
    /// Measured requests within the SLO, per second of the window.
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
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) all: Tally,
    pub(super) counts: Tally,
    pub(super) method: QuantileMethod,
    pub(super) ttft: Values,
    pub(super) tpot: Values,
    pub(super) e2e: Values,
    pub(super) queue_wait: Values,
    pub(super) tbt: LogHistogram,
    /// Gaps between tokens that the measured requests asked for, whether they came or not.
    pub(super) gaps: u64,
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
    pub(super) draws: Draws,
    pub(super) halves: HalfSums,
    /// Whether histograms are to be kept, and whether anything is.
    pub(super) keeps_histograms: bool,
    pub(super) keeps_any: bool,
    pub(super) batches: Option<Batches>,
    /// Facts of each request, as they came.
    pub(super) records: Option<Vec<RequestRecord>>,
}

impl Measured {
    /// Makes room for the latencies of that many requests, measured over `window`.
    pub(super) fn new(window: Window, planned: usize) -> Self {
        let method = QuantileMethod::of(planned);
        let values = || Values::new(method, planned);
        Self {
            all: Tally::default(),
            counts: Tally::default(),
            method,
            ttft: values(),
            tpot: values(),
            e2e: values(),
            queue_wait: values(),
            tbt: LogHistogram::new(),
            gaps: 0,
            cached_tokens: 0,
            prompt_tokens: 0,
            hits: 0,
            preemptions: 0,
            attained: 0,
            ended_early: 0,
            completed: 0,
            completed_prompt_tokens: 0,
            completed_output_tokens: 0,
            draws: Draws::default(),
            halves: HalfSums::new(window),
            keeps_histograms: false,
            keeps_any: false,
            batches: None,
            records: None,
        }
    }

    /// Takes out what is to be kept beside the numbers.
    fn distributions(&mut self) -> Option<Box<Distributions>> {
        let histograms = self.keeps_histograms.then(|| {
            [
                self.ttft.counted(),
                SparseHistogram::of(&self.tbt),
                self.tpot.counted(),
                self.e2e.counted(),
                self.queue_wait.counted(),
            ]
        });
        let batch_means = self.batches.take().map(Batches::means);
        let mut requests = self.records.take();
        if let Some(records) = &mut requests {
            records.sort_unstable_by_key(|record| record.request);
        }
        let kept = Distributions { histograms, batch_means, requests, series: None };
        self.keeps_any.then(|| Box::new(kept))
    }

    /// Describes a latency, and each objective on it under its place in `terms`.
    fn describe(
        &mut self,
        measure: SloMeasure,
        slo: &SloSpec,
        terms: &mut [TermSummary],
    ) -> Latency {
        let lost = match measure {
            SloMeasure::Ttft | SloMeasure::Tpot | SloMeasure::E2e | SloMeasure::QueueWait => {
                self.counts.requests - self.counts.finished
            }
            // What came of a request that did not finish counts, and so does what did not.
            SloMeasure::Tbt => self.gaps.saturating_sub(self.tbt.count()),
        };
        let own = || slo.terms.iter().enumerate().filter(|(_, term)| term.measure == measure);
        let wanted = own().filter_map(|(_, term)| match term.statistic {
            SloStatistic::Mean => None,
            SloStatistic::Percentile(percent) => Some(Wanted { percent, lost }),
        });
        let wanted: Vec<Wanted> = wanted.collect();
        let (latency, quantiles) = match measure {
            SloMeasure::Ttft => self.ttft.describe(&wanted),
            SloMeasure::Tbt => Latency::of_histogram(&self.tbt, &wanted),
            SloMeasure::Tpot => self.tpot.describe(&wanted),
            SloMeasure::E2e => self.e2e.describe(&wanted),
            SloMeasure::QueueWait => self.queue_wait.describe(&wanted),
        };
        let mut quantiles = quantiles.into_iter();
        for (place, term) in own() {
            let value_ms = match term.statistic {
                // One value that is infinite makes the mean infinite.
                SloStatistic::Mean => latency.mean_ms.filter(|_| lost == 0),
                SloStatistic::Percentile(_) => quantiles.next().flatten(),
            };
            let none = latency.n == 0 && lost == 0;
            terms[place].met = value_ms.map_or(none, |value| value <= term.limit.as_ms());
            terms[place].value_ms = value_ms;
        }
        latency
    }
}

impl SloSummary {
    fn new(slo: &SloSpec, measured: &Measured, terms: Vec<TermSummary>, window_s: f64) -> Self {
        let open = Self {
            met: false,
            attainment_ratio: measured.attained as f64 / measured.counts.requests.max(1) as f64,
            least_attainment_ratio: slo.attainment.as_ref().map(|own| own.least_ratio),
            goodput_rps: ratio(measured.attained as f64, window_s),
            terms,
        };
        let met = open.terms.iter().all(|term| term.met) && open.is_attained();
        Self { met, ..open }
    }

    /// Returns whether as many requests are within the SLO as must be.
    pub fn is_attained(&self) -> bool {
        self.least_attainment_ratio.is_none_or(|least| self.attainment_ratio >= least)
    }
}

impl TermSummary {
    /// A term whose value is still to be found.
    fn open(term: &SloTerm) -> Self {
        let limit_ms = term.limit.as_ms();
        Self { name: term.to_string(), limit_ms, value_ms: None, met: false }
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
    let mut terms: Vec<TermSummary> = slo.terms.iter().map(TermSummary::open).collect();
    let distributions = measured.distributions();
    let mut latency = |measure| measured.describe(measure, slo, &mut terms);
    let (ttft, tbt) = (latency(SloMeasure::Ttft), latency(SloMeasure::Tbt));
    let (tpot, e2e) = (latency(SloMeasure::Tpot), latency(SloMeasure::E2e));
    let queue_wait = latency(SloMeasure::QueueWait);
    let finished = measured.counts.finished as f64;
    let busy_s: f64 = run.backends.iter().map(|backend| backend.busy.as_secs()).sum();
    let tokens = measured.completed_prompt_tokens + measured.completed_output_tokens;
    let usd = usd_per_hour / 3_600.0 * window_s;
    let slo = (!slo.is_empty()).then(|| SloSummary::new(slo, &measured, terms, window_s));
    Summary {
        window_s,
        drain_s: drain.as_secs(),
        backlog,
        backlog_growth_ratio: growth.filter(|_| window_s > 0.0),
        latency_quantiles: measured.method,
        ttft,
        tbt,
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
        drawn: measured.draws.means(),
        ttft_halves: measured.halves.means(),
        distributions,
        all: measured.all.counts(),
        measured: measured.counts.counts(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_backlog_may_grow_by_chance() {
        let backlog = |start, end| Backlog { start, end };
        assert!(backlog(0, 2).is_steady(Some(0.033)), "two of sixty in flight at the end");
        assert!(!backlog(0, 340).is_steady(Some(0.11)), "an empty start, or overload");
        assert!(backlog(100, 600).is_steady(Some(0.01)), "little beside the arrivals");
        assert!(backlog(5, 500).is_steady(None), "no window");
    }
}
