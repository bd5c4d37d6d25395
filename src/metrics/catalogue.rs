//! Every metric by its column name.

use super::latency::Latency;
use super::summary::Summary;

/// Which way a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less of it.
    Lower,
    /// More of it.
    Higher,
    /// It describes, it does not judge.
    Neither,
}

/// A metric: one column of the table of runs.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its column, the unit last.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// Takes it from a summary.
    pub get: fn(&Summary) -> Option<f64>,
}

macro_rules! latency {
    ($field:ident, $($stat:ident),*) => {
        [$(Metric {
            name: concat!(stringify!($field), "_", stringify!($stat)),
            unit: "ms",
            better: Better::Lower,
            get: |summary| {
                let latency: &Latency = &summary.$field;
                latency.$stat
            },
        }),*]
    };
}

macro_rules! latencies {
    ($($field:ident),*) => {
        [$(latency!(
            $field, mean_ms, sd_ms, p50_ms, p75_ms, p90_ms, p95_ms, p99_ms, max_ms
        )),*]
    };
}

const LATENCIES: [[Metric; 8]; 5] = latencies!(ttft, tbt, tpot, e2e, queue_wait);

const OTHERS: [Metric; 19] = [
    metric("throughput_rps", "requests/s", Better::Higher, |s| s.throughput_rps),
    metric("prompt_throughput_tps", "tokens/s", Better::Higher, |s| s.prompt_throughput_tps),
    metric("output_throughput_tps", "tokens/s", Better::Higher, |s| s.output_throughput_tps),
    metric("goodput_rps", "requests/s", Better::Higher, |s| s.slo.as_ref()?.goodput_rps),
    metric("slo_attainment_ratio", "1", Better::Higher, |s| Some(s.slo.as_ref()?.attainment_ratio)),
    metric("slo_met_ratio", "1", Better::Higher, |s| {
        Some(f64::from(u8::from(s.slo.as_ref()?.met)))
    }),
    metric("finished_ratio", "1", Better::Higher, |s| {
        Some(s.measured.finished as f64 / s.measured.requests.max(1) as f64)
    }),
    metric("rejected_ratio", "1", Better::Lower, |s| {
        Some(s.measured.rejected_total() as f64 / s.measured.requests.max(1) as f64)
    }),
    metric("backlog_growth_ratio", "1", Better::Lower, |s| s.backlog_growth_ratio),
    metric("drain_s", "s", Better::Lower, |s| Some(s.drain_s)),
    metric("token_hit_ratio", "1", Better::Higher, |s| s.token_hit_ratio),
    metric("request_hit_ratio", "1", Better::Higher, |s| s.request_hit_ratio),
    metric("evictions_blocks", "blocks", Better::Neither, |s| Some(s.evictions as f64)),
    metric("preemptions_count", "1", Better::Lower, |s| Some(s.preemptions as f64)),
    metric("load_cv_ratio", "1", Better::Lower, |s| s.load_cv),
    metric("jain_index_ratio", "1", Better::Higher, |s| s.jain_index),
    metric("max_min_queue_ratio", "1", Better::Lower, |s| s.max_min_queue_ratio),
    metric("gpu_time_per_request_s", "s", Better::Lower, |s| s.gpu_time_per_request_s),
    metric("cost_per_1k_tokens_usd", "USD", Better::Lower, |s| s.cost_per_1k_tokens_usd),
];

/// Every metric, in the order of the columns.
pub const METRICS: [Metric; 59] = {
    let mut all = [OTHERS[0]; 59];
    let mut at = 0;
    while at < 40 {
        all[at] = LATENCIES[at / 8][at % 8];
        at += 1;
    }
    while at < 59 {
        all[at] = OTHERS[at - 40];
        at += 1;
    }
    all
};

const fn metric(
    name: &'static str,
    unit: &'static str,
    better: Better,
    get: fn(&Summary) -> Option<f64>,
) -> Metric {
    Metric { name, unit, better, get }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_end_in_a_unit() {
        let mut names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
        for name in &names {
            let units = ["_ms", "_rps", "_tps", "_ratio", "_blocks", "_count", "_s", "_usd"];
            assert!(units.iter().any(|unit| name.ends_with(unit)), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
    }
}
