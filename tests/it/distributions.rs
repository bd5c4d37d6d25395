//! What is kept of a run beside its numbers says the same as its numbers.

use std::sync::Arc;

use routesim::engine::{Limits, Outcome, RequestRecord};
use routesim::metrics::{
    BATCHED, BatchMeans, Distributions, HISTOGRAMS, Keep, Latency, MOST_BATCHES, SloSpec, Summary,
    first_of_batch,
};
use routesim::router::AlgorithmSpec;
use routesim::scenario::{Config, Scenario};
use routesim::stats::SparseHistogram;
use routesim::units::{PS_PER_S, SimDuration};
use routesim::workload::{GeneratorSpec, Lengths, Warmup};

const ALL: Keep = Keep {
    histograms: true,
    batch_means: true,
    requests: true,
    series: Some(SimDuration::from_ps(PS_PER_S / 8)),
};

/// Backends with so short a queue that some requests are turned away, and outputs of which some
/// have a single token. A run measures from a few to thousands of requests.
fn scenarios() -> Vec<Scenario> {
    let text = "[cluster]\nnum_backends = 2\nmax_batch_size = 16\nmax_queue_depth = 8\n";
    let cluster = Config::parse("fleet.toml", text).unwrap().cluster;
    let spec =
        GeneratorSpec { lengths: Lengths::Exponential, gen_mean: 20.0, ..GeneratorSpec::default() };
    let mut scenarios = Vec::new();
    for (seed, (rate_rps, seconds)) in [(2.0, 12), (20.0, 60), (90.0, 30)].into_iter().enumerate() {
        let seed = seed as u64;
        let duration = SimDuration::from_ps(seconds * PS_PER_S);
        let warmup = Warmup::Time(SimDuration::from_ps(3 * PS_PER_S));
        let workload = Arc::new(spec.workload(rate_rps, seed, duration, warmup).unwrap());
        scenarios.extend(AlgorithmSpec::all().into_iter().map(|algorithm| Scenario {
            cluster: cluster.clone(),
            algorithm,
            workload: Arc::clone(&workload),
            slo: SloSpec::default(),
            seed,
        }));
    }
    scenarios
}

fn kept(scenario: &Scenario) -> (Summary, Distributions) {
    let mut summary = scenario.run_within(&Limits::default(), ALL).unwrap();
    let kept = *summary.distributions.take().unwrap();
    (summary, kept)
}

/// The measured requests that finished.
fn finished<'k>(
    scenario: &Scenario,
    kept: &'k Distributions,
) -> impl Iterator<Item = &'k RequestRecord> + Clone {
    let first = scenario.workload.window.first;
    let records = kept.requests.as_ref().unwrap().iter();
    records.filter(move |own| own.request >= first && own.outcome == Outcome::Finished)
}

/// The latencies of a request in picoseconds, by [`BATCHED`].
fn latencies(record: &RequestRecord) -> [Option<u64>; 4] {
    let since = |at| Some(routesim::units::SimTime::since(at, record.arrival).as_ps());
    let (first, last) = (record.first_token.unwrap(), record.last_token.unwrap());
    let gaps = u64::from(record.output_tokens - 1);
    let tpot = last.since(first).as_ps().checked_div(gaps);
    [since(first), tpot, since(last), since(record.scheduled.unwrap())]
}

fn batched(summary: &Summary) -> [&Latency; 4] {
    [&summary.ttft, &summary.tpot, &summary.e2e, &summary.queue_wait]
}

#[test]
fn no_number_depends_on_what_is_kept() {
    for scenario in scenarios() {
        assert_eq!(kept(&scenario).0, scenario.run().unwrap(), "{}", scenario.algorithm.label());
    }
}

#[test]
fn histograms_count_every_request_and_every_gap() {
    let mut turned_away = 0;
    for scenario in scenarios() {
        let (summary, kept) = kept(&scenario);
        let counts = kept.histograms.as_ref().unwrap().each_ref();
        let counts = counts.map(|histogram| histogram.counts().iter().sum::<u64>());
        let finished = finished(&scenario, &kept);
        let with_gaps = finished.clone().filter(|record| record.output_tokens > 1).count() as u64;
        let gaps = finished.map(|record| u64::from(record.output_tokens - 1)).sum::<u64>();
        let done = summary.measured.finished;
        assert_eq!(HISTOGRAMS, ["ttft", "tbt", "tpot", "e2e", "queue_wait"]);
        assert_eq!(counts, [done, gaps, with_gaps, done, done]);
        turned_away += summary.measured.rejected_total();
    }
    assert!(turned_away > 0, "no scenario has requests that did not finish");
}

#[test]
fn quantiles_of_pooled_histograms_are_within_a_bin() {
    for runs in scenarios().chunks(3) {
        let runs: Vec<_> = runs.iter().map(|run| (run, kept(run).1)).collect();
        for (place, batched) in [(0, 0), (2, 1), (3, 2), (4, 3)] {
            let mut exact: Vec<u64> = Vec::new();
            let mut pooled: Vec<(u32, u64)> = Vec::new();
            for (run, kept) in &runs {
                exact.extend(finished(run, kept).filter_map(|own| latencies(own)[batched]));
                let own = &kept.histograms.as_ref().unwrap()[place];
                pooled.extend(own.bins().iter().copied().zip(own.counts().iter().copied()));
            }
            exact.sort_unstable();
            pooled.sort_unstable();
            for percent in [0, 1, 25, 50, 90, 95, 99] {
                let rank = (exact.len() * percent).div_ceil(100).max(1);
                let value = exact[rank - 1] as f64;
                let mut left = rank as u64;
                let held = pooled.iter().find(|(_, count)| {
                    let here = left <= *count;
                    left = left.saturating_sub(*count);
                    here
                });
                let (low, beyond) = SparseHistogram::edges(held.unwrap().0);
                assert!(low <= value && value < beyond, "{}: {percent} %", HISTOGRAMS[place]);
                assert!(low < 128.0 || (beyond - low) / low <= 1.0 / 128.0);
            }
        }
    }
}

#[test]
fn batches_hold_every_request_and_have_the_mean_of_the_run() {
    for scenario in scenarios() {
        let (summary, kept) = kept(&scenario);
        let measured = summary.measured.requests;
        let batches = kept.batch_means.as_ref().unwrap();
        for ((own, latency), name) in batches.iter().zip(batched(&summary)).zip(BATCHED) {
            let BatchMeans { counts, means_ms } = own;
            assert_eq!(counts.len() as u64, measured.min(MOST_BATCHES as u64));
            assert_eq!(counts.iter().sum::<u64>(), latency.n, "{name}");
            let some = counts.iter().filter(|count| **count > 0);
            assert_eq!(some.clone().count(), means_ms.len());
            let sum: f64 = some.zip(means_ms).map(|(count, mean)| *count as f64 * mean).sum();
            let mean = latency.mean_ms.unwrap();
            assert!((sum / latency.n as f64 - mean).abs() <= 1e-12 * mean, "{name}");
        }
    }
}

#[test]
fn a_batch_is_the_requests_that_arrived_in_it() {
    for scenario in scenarios() {
        let (summary, kept) = kept(&scenario);
        let batches = kept.batch_means.as_ref().unwrap();
        let number = batches[0].counts.len() as u64;
        let first = scenario.workload.window.first.index() as u64;
        let begins = |batch| first + first_of_batch(batch, summary.measured.requests, number);
        let counted = |batch: u64| {
            let own = begins(batch)..begins(batch + 1);
            let here = |record: &&RequestRecord| own.contains(&(record.request.index() as u64));
            finished(&scenario, &kept).filter(here).count() as u64
        };
        assert!((0..number).map(counted).eq(batches[2].counts.iter().copied()));
        assert_eq!(begins(number), scenario.workload.requests.len() as u64);
    }
}

#[test]
fn drawn_means_are_those_of_the_workload() {
    for scenario in scenarios() {
        let drawn = scenario.run().unwrap().drawn;
        let trace = scenario.workload.requests.columns();
        let first = scenario.workload.window.first;
        let own: Vec<_> = trace.ids().filter(|id| *id >= first).collect();
        let mean = |sum: u64| Some(sum as f64 / own.len() as f64);
        let sum = |get: &dyn Fn(routesim::units::RequestId) -> u32| {
            own.iter().map(|id| u64::from(get(*id))).sum::<u64>()
        };
        assert_eq!(drawn.prompt_mean_tokens, mean(sum(&|id| trace.prompt_tokens(id))));
        assert_eq!(drawn.output_mean_tokens, mean(sum(&|id| trace.output_tokens(id))));
        let before = first.index().checked_sub(1).map(routesim::units::RequestId::at);
        let before_s = before.map_or(0.0, |id| trace.arrival(id).as_secs());
        let span_s = trace.arrival(own[own.len() - 1]).as_secs() - before_s;
        let gap_s = drawn.interarrival_mean_s.unwrap();
        assert!((gap_s - span_s / own.len() as f64).abs() < 1e-12 * span_s);
    }
}

#[test]
fn halves_are_those_of_the_requests_that_arrived_in_them() {
    for scenario in scenarios() {
        let (summary, kept) = kept(&scenario);
        let window = scenario.workload.window;
        let middle_ps = window.from.as_ps() + window.to.since(window.from).as_ps() / 2;
        let mean_ms = |second: bool| {
            let own = finished(&scenario, &kept);
            let own = own.filter(|record| (record.arrival.as_ps() >= middle_ps) == second);
            let ttft_ms: Vec<f64> = own
                .map(|record| record.first_token.unwrap().since(record.arrival).as_ms())
                .collect();
            ttft_ms.iter().sum::<f64>() / ttft_ms.len() as f64
        };
        let halves = summary.ttft_halves;
        for (got, expected) in
            [(halves.first_ms, mean_ms(false)), (halves.second_ms, mean_ms(true))]
        {
            assert!((got.unwrap() - expected).abs() < 1e-9 * expected, "{got:?}, not {expected}");
        }
        assert!(halves.first_ms != halves.second_ms);
    }
}
