//! Whole runs: simulated requests per second of one core, by algorithm, fleet and workload.
//!
//! `cargo bench --no-default-features --bench engine` takes four to six minutes. Names read
//! `conversation/512/least_kv`: the workload, the number of backends, the algorithm. A part of
//! one after `--` picks, such as `-- conversation/8/`. Quote ratios of one session, for machines
//! differ and are shared.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use routesim::router::AlgorithmSpec;
use routesim::scenario::{Config, Scenario};
use routesim::trace::{Format, ReadOptions, read_trace};
use routesim::units::SimDuration;
use routesim::workload::{GeneratorSpec, Lengths, SourceTrace, Warmup, Workload};

/// Requests a second that a backend of the guide serves: 512 / 50,000 s and 128 / 3,200 s each.
const SATURATION_RPS: f64 = 1.0 / (512.0 / 50_000.0 + 128.0 / 3_200.0);
const GENERATED_RPS: f64 = 0.7 * SATURATION_RPS;
const CONVERSATION_RPS: f64 = 1.5;

const FLEETS: [u32; 3] = [8, 64, 512];
/// About so many requests a run: enough for 14 s of the largest fleet.
const REQUESTS: f64 = 1e5;

/// A workload by name, for a rate in requests a second and a duration.
struct Kind {
    name: &'static str,
    backend_rps: f64,
    workload: Box<dyn Fn(f64, SimDuration) -> Workload>,
}

impl Kind {
    /// Exponential prompts and outputs of 512 and 128 tokens in the mean.
    fn generated(name: &'static str, num_prefixes: u32) -> Self {
        let spec = GeneratorSpec {
            lengths: Lengths::Exponential,
            prompt_mean: 512.0,
            gen_mean: 128.0,
            num_prefixes,
            ..GeneratorSpec::default()
        };
        let workload = move |rps, span| spec.workload(rps, 42, span, Warmup::NONE).unwrap();
        Self { name, backend_rps: GENERATED_RPS, workload: Box::new(workload) }
    }

    /// The Mooncake conversation trace, brought to the rate.
    fn conversation() -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/mooncake/conversation_trace.jsonl");
        let options = ReadOptions { format: Format::Mooncake, block_size: None };
        let (trace, _) = read_trace(&path, &options).unwrap();
        let source = SourceTrace::new(trace);
        let workload = move |rps, span| source.workload(Some(rps), 42, span, Warmup::NONE).unwrap();
        Self { name: "conversation", backend_rps: CONVERSATION_RPS, workload: Box::new(workload) }
    }

    fn all() -> [Self; 4] {
        [
            Self::generated("generated", 0),
            Self::generated("prefixes_5", 5),
            Self::generated("prefixes_20000", 20_000),
            Self::conversation(),
        ]
    }

    /// The requests of a fleet.
    fn requests(&self, backends: u32) -> Arc<Workload> {
        let rps = f64::from(backends) * self.backend_rps;
        let span = SimDuration::from_secs(REQUESTS / rps).unwrap();
        Arc::new((self.workload)(rps, span))
    }
}

fn runs(criterion: &mut Criterion) {
    for kind in Kind::all() {
        for backends in FLEETS {
            fleet_runs(criterion, &kind, backends);
        }
    }
}

fn fleet_runs(criterion: &mut Criterion, kind: &Kind, backends: u32) {
    let config = Config::parse("bench", &format!("[cluster]\nnum_backends = {backends}")).unwrap();
    let workload = kind.requests(backends);
    let mut group = criterion.benchmark_group(format!("{}/{backends}", kind.name));
    group.throughput(Throughput::Elements(workload.requests.len() as u64));
    for algorithm in AlgorithmSpec::all() {
        let label = algorithm.label();
        let scenario = Scenario {
            cluster: config.cluster.clone(),
            algorithm,
            workload: Arc::clone(&workload),
            slo: config.slo.clone(),
            seed: config.seed,
        };
        group.bench_function(label, |bencher| bencher.iter(|| black_box(&scenario).run()));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(10);
    targets = runs
}
criterion_main!(benches);
