//! What it saves that cells of a sweep meet the same requests under the same seed.
//!
//! `ROUTESIM_STUDY=1` takes longer runs and more seeds, and prints the figures of
//! docs/statistics.md.

use std::sync::Arc;

use routesim::metrics::SloSpec;
use routesim::router::AlgorithmSpec;
use routesim::scenario::{Config, Scenario};
use routesim::stats::{Paired, paired, quantile};
use routesim::units::SimDuration;
use routesim::workload::{GeneratorSpec, Warmup, Workload};

/// A fleet at 70 % of the rate that saturates it.
struct Study {
    seeds: u64,
    window_s: f64,
}

const NUM_BACKENDS: u32 = 8;
/// A request takes 500 / 50,000 + 150 / 3,200 s of a saturated backend.
const RATE_RPS: f64 = 0.7 * NUM_BACKENDS as f64 / (500.0 / 50_000.0 + 150.0 / 3_200.0);
const WARMUP_S: f64 = 20.0;

impl Study {
    /// Mean TTFT by algorithm and seed.
    fn ttft_ms(&self) -> Vec<(String, Vec<f64>)> {
        let text = format!("[cluster]\nnum_backends = {NUM_BACKENDS}\nmax_batch_size = 64\n");
        let cluster = Config::parse("fleet.toml", &text).unwrap().cluster;
        let seconds = |s: f64| SimDuration::from_secs(s).unwrap();
        let (duration, warmup) =
            (seconds(WARMUP_S + self.window_s), Warmup::Time(seconds(WARMUP_S)));
        let generator = GeneratorSpec::default();
        let workload = |seed| generator.workload(RATE_RPS, seed, duration, warmup).unwrap();
        let workloads: Vec<(u64, Arc<Workload>)> =
            (42..42 + self.seeds).map(|seed| (seed, Arc::new(workload(seed)))).collect();
        let of_algorithm = |algorithm: AlgorithmSpec| {
            let run = |(seed, workload): &(u64, Arc<Workload>)| {
                let scenario = Scenario {
                    cluster: cluster.clone(),
                    algorithm: algorithm.clone(),
                    workload: Arc::clone(workload),
                    slo: SloSpec::default(),
                    seed: *seed,
                };
                scenario.run().unwrap().ttft.mean_ms.unwrap()
            };
            (algorithm.label(), workloads.iter().map(run).collect())
        };
        AlgorithmSpec::all().into_iter().map(of_algorithm).collect()
    }
}

#[test]
fn common_seeds_save_runs_for_most_pairs_of_algorithms() {
    let long = std::env::var_os("ROUTESIM_STUDY").is_some();
    let study = if long {
        Study { seeds: 40, window_s: 600.0 }
    } else {
        Study { seeds: 12, window_s: 30.0 }
    };
    let by_algorithm = study.ttft_ms();
    let mut pairs: Vec<(f64, f64, String)> = Vec::new();
    let mut identical = 0;
    for (at, (a, of_a)) in by_algorithm.iter().enumerate() {
        for (b, of_b) in &by_algorithm[at + 1..] {
            let Paired { variance_ratio, correlation, .. } = paired(of_a, of_b, 0.95).unwrap();
            match (variance_ratio, correlation) {
                (Some(ratio), Some(correlation)) => {
                    pairs.push((ratio, correlation, format!("{a} and {b}")));
                }
                // Algorithms that decide alike here have no differences to save runs for.
                _ => identical += 1,
            }
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (ratio, correlation, names) in &pairs {
        println!("{ratio:>8.2} times the seeds, correlation {correlation:>5.2}: {names}");
    }
    let median = |values: Vec<f64>| quantile(&values, 0.5).unwrap();
    let saved = median(pairs.iter().map(|pair| pair.0).collect());
    let correlation = median(pairs.iter().map(|pair| pair.1).collect());
    println!(
        "{} pairs, {identical} identical; medians: {saved:.2} times the seeds, correlation {correlation:.2}",
        pairs.len()
    );
    assert!(pairs.len() > 9, "{}", pairs.len());
    assert!(saved > 1.5, "{saved}");
    assert!(correlation > 0.3, "{correlation}");
}
