//! What must hold under every algorithm: waits rise with the load, and no request is lost.

use std::path::Path;
use std::sync::Arc;

use routesim::cluster::ClusterSpec;
use routesim::metrics::{SloSpec, Summary};
use routesim::router::AlgorithmSpec;
use routesim::scenario::{Config, Scenario};
use routesim::stats::t_interval;
use routesim::units::{PS_PER_S, SimDuration};
use routesim::workload::{GeneratorSpec, Warmup, Workload};

const SEEDS: std::ops::Range<u64> = 42..47;

/// The guide's backends with room for as many requests as saturate them, so that more have to wait.
fn guide(num_backends: u32) -> ClusterSpec {
    let text = format!("[cluster]\nnum_backends = {num_backends}\nmax_batch_size = 64\n");
    Config::parse("guide.toml", &text).unwrap().cluster
}

fn run(cluster: &ClusterSpec, algorithm: &AlgorithmSpec, workload: &Arc<Workload>) -> Summary {
    let scenario = Scenario {
        cluster: cluster.clone(),
        algorithm: algorithm.clone(),
        workload: Arc::clone(workload),
        slo: SloSpec::default(),
        seed: 42,
    };
    scenario.run().unwrap()
}

#[test]
fn waits_rise_with_the_load() {
    // A request takes 500 / 50,000 + 150 / 3,200 s of a saturated backend, so four serve 70.3
    // requests/s. Prompts share nothing: with caches, more load may mean more hits.
    let capacity_rps = 4.0 / (500.0 / 50_000.0 + 150.0 / 3_200.0);
    let spec = GeneratorSpec { num_prefixes: 0, ..GeneratorSpec::default() };
    let duration = SimDuration::from_ps(60 * PS_PER_S);
    let warmup = Warmup::Time(SimDuration::from_ps(10 * PS_PER_S));
    let loads = [0.3, 0.55, 0.75, 0.95];
    let workloads = loads.map(|load| {
        let workload = |seed| spec.workload(load * capacity_rps, seed, duration, warmup).unwrap();
        SEEDS.map(|seed| Arc::new(workload(seed))).collect::<Vec<_>>()
    });
    for algorithm in AlgorithmSpec::all() {
        let wait = |workload| run(&guide(4), &algorithm, workload).queue_wait.mean_ms.unwrap();
        let waits = workloads.each_ref().map(|seeds| seeds.iter().map(wait).collect::<Vec<_>>());
        let rises: Vec<_> = (waits.windows(2))
            .map(|pair| {
                let rise = pair[1].iter().zip(&pair[0]).map(|(more, less)| more - less);
                t_interval(&rise.collect::<Vec<_>>(), 0.95).unwrap()
            })
            .collect();
        println!("{:<20} {waits:.1?}", algorithm.name());
        for (rise, loads) in rises.iter().zip(loads.windows(2)) {
            assert!(rise.lo > 0.0, "{} from {loads:?}: {rise:?} ms", algorithm.name());
        }
    }
}

/// The first 2,000 requests of the guide's generator at `rate_rps`.
fn two_thousand(rate_rps: f64) -> Arc<Workload> {
    let seconds = 4_000.0 / rate_rps;
    let duration = SimDuration::from_secs(seconds).unwrap();
    let spec = GeneratorSpec::default();
    let mut rows = spec.rows(rate_rps, 42, duration).unwrap();
    rows.rows.truncate(2_000);
    let trace = rows.into_trace().unwrap();
    let workload = spec.workload(rate_rps, 42, duration, Warmup::NONE).unwrap();
    Arc::new(Workload { requests: trace.into(), ..workload })
}

#[test]
fn every_request_has_one_outcome() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/production_h100x8.toml");
    let cluster = Config::load(&path).unwrap().cluster;
    assert_eq!(cluster.num_backends, 8);
    let tight = ClusterSpec { max_queue_depth: 4, max_batch_size: 16, ..cluster.clone() };
    let workload = two_thousand(200.0);
    for algorithm in AlgorithmSpec::all() {
        for (cluster, must_reject) in [(&cluster, false), (&tight, true)] {
            let summary = run(cluster, &algorithm, &workload);
            let rejected = summary.all.rejected_total();
            assert_eq!(summary.all.requests, 2_000);
            assert_eq!(summary.all.finished + rejected, 2_000, "{}", algorithm.name());
            assert_eq!(summary.queue_wait.n, summary.all.finished);
            assert_eq!(rejected > 0, must_reject, "{}: {rejected}", algorithm.name());
        }
    }
}
