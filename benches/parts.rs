//! What a run pays beside the simulation: drawing a request, and measuring it.
//!
//! `cargo bench --bench parts --no-default-features` prints times and requests a second.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use routesim::engine::{Outcome, RequestRecord, RunRecord, Sink as _};
use routesim::metrics::{Collector, MOST_EXACT, SloMeasure, SloSpec, SloStatistic, SloTerm};
use routesim::rng::Stream;
use routesim::units::{PS_PER_S, SimDuration, SimTime};
use routesim::workload::{GeneratorSpec, Lengths, Warmup, Window, Workload};

const REQUESTS: u64 = 1_000_000;

/// About a million requests of that kind; drawn again on every pull when they are streamed.
fn workload(lengths: Lengths, requests: u64) -> Workload {
    let spec = GeneratorSpec { lengths, ..GeneratorSpec::default() };
    let thousand = SimDuration::from_ps(1_000 * PS_PER_S);
    spec.workload(requests as f64 / 1e3, 42, thousand, Warmup::NONE).unwrap()
}

fn drawing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("draw");
    group.sample_size(10);
    for lengths in Lengths::ALL {
        let workload = workload(lengths, 3 * REQUESTS);
        group.throughput(Throughput::Elements(workload.requests.len() as u64));
        let pull = || {
            let tokens = workload.requests.arrivals().map(|it| u64::from(it.prompt_tokens));
            tokens.sum::<u64>()
        };
        group.bench_function(lengths.name(), |bencher| bencher.iter(pull));
    }
    group.finish();
}

/// The finished requests of a fleet whose waits are exponential.
fn records() -> Vec<RequestRecord> {
    let mut stream = Stream::new(1, "bench", 0);
    let workload = workload(Lengths::Constant, REQUESTS);
    let record = |it: routesim::workload::Arriving<'_>| {
        let mut after =
            |mean_s: f64| SimDuration::from_secs(mean_s * stream.exponential()).unwrap();
        let scheduled = it.arrival + after(0.05);
        let first_token = scheduled + after(0.2);
        RequestRecord {
            request: it.request,
            arrival: it.arrival,
            prompt_tokens: it.prompt_tokens,
            output_tokens: it.output_tokens,
            outcome: Outcome::Finished,
            backend: None,
            scheduled: Some(scheduled),
            first_token: Some(first_token),
            last_token: Some(first_token + after(3.0)),
            cached_tokens: 0,
            preemptions: 0,
        }
    };
    workload.requests.arrivals().map(record).collect()
}

fn measuring(criterion: &mut Criterion) {
    let records = records();
    let limit = |measure, s| SloTerm {
        measure,
        statistic: SloStatistic::Percentile(95.0),
        limit: SimDuration::from_ps(s * PS_PER_S),
    };
    let slo = SloSpec { terms: vec![limit(SloMeasure::Ttft, 1), limit(SloMeasure::Tpot, 1)] };
    let end = SimTime::from_ps(2_000 * PS_PER_S);
    let window = Window { first: records[0].request, from: SimTime::ZERO, to: end };
    let run = RunRecord {
        end,
        backends: Vec::new(),
        pools: Vec::new(),
        dispatched: Vec::new(),
        events: 0,
        diagnostics: Vec::new(),
    };
    let mut group = criterion.benchmark_group("measure");
    group.throughput(Throughput::Elements(records.len() as u64)).sample_size(10);
    for (name, planned) in [("exact", records.len()), ("histogram", MOST_EXACT + 1)] {
        let measure = || {
            let mut collector = Collector::new(window, planned, &slo);
            for record in &records {
                collector.outcome(black_box(record));
            }
            collector.summary(&run, 1.0)
        };
        group.bench_function(name, |bencher| bencher.iter(measure));
    }
    group.finish();
}

criterion_group!(benches, drawing, measuring);
criterion_main!(benches);
