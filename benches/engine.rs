//! Whole runs: simulated requests per second of one core, by algorithm.
//!
//! `cargo bench --bench engine` prints times and requests a second; quote ratios of one
//! session, for machines differ and are shared.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use routesim::router::AlgorithmSpec;
use routesim::scenario::{Config, Scenario};
use routesim::trace::{Format, ReadOptions, read_trace};
use routesim::units::SimDuration;
use routesim::workload::{GeneratorSpec, Lengths, SourceTrace, Warmup, Workload};

fn seconds(s: f64) -> SimDuration {
    SimDuration::from_secs(s).unwrap()
}

/// Exponential prompts and outputs of 512 and 128 tokens, 70 % of what eight backends decode.
fn generated() -> Workload {
    let generator = GeneratorSpec {
        lengths: Lengths::Exponential,
        prompt_mean: 512.0,
        gen_mean: 128.0,
        num_prefixes: 5,
        ..GeneratorSpec::default()
    };
    generator.workload(100.0, 42, seconds(100.0), Warmup::NONE).unwrap()
}

/// Ten minutes of the Mooncake conversation trace at 12 requests/s.
fn conversation() -> Workload {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/mooncake/conversation_trace.jsonl");
    let options = ReadOptions { format: Format::Mooncake, block_size: None };
    let (trace, _) = read_trace(&path, &options).unwrap();
    SourceTrace::new(trace).workload(Some(12.0), 42, seconds(600.0), Warmup::NONE).unwrap()
}

fn runs(criterion: &mut Criterion) {
    let config = Config::parse("bench", "[cluster]\nnum_backends = 8").unwrap();
    for (name, workload) in [("generated", generated()), ("mooncake", conversation())] {
        let workload = Arc::new(workload);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(workload.requests.len() as u64)).sample_size(10);
        for algorithm in AlgorithmSpec::all() {
            let scenario = Scenario {
                cluster: config.cluster.clone(),
                algorithm,
                workload: Arc::clone(&workload),
                slo: config.slo.clone(),
                seed: config.seed,
            };
            let label = scenario.algorithm.label();
            group.bench_function(label, |bencher| bencher.iter(|| black_box(&scenario).run()));
        }
        group.finish();
    }
}

criterion_group!(benches, runs);
criterion_main!(benches);
