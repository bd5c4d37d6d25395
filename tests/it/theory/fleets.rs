//! Several backends of one request each: behind a router, and one after the other.

use routesim::cluster::{ClusterSpec, DisaggregatedSpec};
use routesim::units::SimDuration;

use super::exact::mg1_wait;
use super::queue::{
    Job, PREFILL_RATE, Run, agrees, geometric, poisson, prompt_of, replicate, server, simulate,
};

/// Runs `backends` exponential servers of utilisation `rho` behind an algorithm.
fn fleet(backends: u32, rho: f64, count: usize, algorithm: &str) -> Vec<Run> {
    let cluster = server(backends, 1.0);
    replicate(|seed| {
        let rate = rho * f64::from(backends);
        let trace = poisson(rate, count, seed, |work| prompt_of(work.exponential()));
        simulate(&cluster, algorithm, &trace)
    })
}

#[test]
fn least_outstanding_is_join_the_shortest_queue() {
    // the stationary distribution of the chain; the rule for ties does not move the mean.
    let rows = [
        (2, 0.5, 10_000, 1.426_320_751_167_241_3),
        (2, 0.8, 40_000, 2.955_736_617_468_056_6),
        (2, 0.9, 80_000, 5.474_912_246_275_84),
        (3, 0.8, 40_000, 2.285_547_605),
        (4, 0.8, 40_000, 1.953_134_193),
        (4, 0.9, 120_000, 3.240_709_331),
    ];
    for (backends, rho, count, sojourn) in rows {
        let runs = fleet(backends, rho, count, "least_outstanding");
        agrees(&format!("JSQ of {backends} {rho}: there"), sojourn, &runs, |run| run.sojourn);
        let number = sojourn * rho * f64::from(backends);
        agrees(&format!("JSQ of {backends} {rho}: number"), number, &runs, |run| run.in_system);
    }
}

#[test]
fn round_robin_is_erlang_arrivals() {
    // every n-th of Poisson arrivals is E_n/M/1 at each backend.
    let rows = [
        (2, 0.8, 40_000, 2.843_979_766_989_915_6),
        (4, 0.8, 40_000, 2.267_383_610_319_299_2),
        (8, 0.8, 40_000, 1.979_728_891_271_694_2),
        (4, 0.9, 120_000, 5.383_049_518_473_699),
    ];
    for (backends, rho, count, wait) in rows {
        let runs = fleet(backends, rho, count, "round_robin");
        agrees(&format!("RR to {backends} {rho}: wait"), wait, &runs, |run| run.wait);
        agrees(&format!("RR to {backends} {rho}: there"), wait + 1.0, &runs, |run| run.sojourn);
        let even = |run: &Run| run.utilisation.iter().sum::<f64>() / f64::from(backends);
        agrees(&format!("RR to {backends} {rho}: utilisation"), rho, &runs, even);
    }
}

#[test]
fn a_disaggregated_fleet_is_a_tandem() {
    // rate 3, prefill 5 and decode 4 a second. What leaves M/M/1 is Poisson (Burke), so that
    // the second stage is M/Geo/1 with decodes of mean 10; Jackson's 1 s there is the limit.
    let (rate, mean_prompt_s, mean_decode_s, decodes) = (3.0, 0.2, 0.25, 10.0);
    let step = mean_decode_s / decodes;
    let p = 1.0 / decodes;
    let second = mean_decode_s + mg1_wait(rate, mean_decode_s, step * step * (2.0 - p) / (p * p));
    let split = DisaggregatedSpec {
        prefill_backends: 1,
        decode_backends: 1,
        kv_transfer_latency: SimDuration::ZERO,
        kv_transfer_bandwidth_gb_s: 1e9,
        kv_bytes_per_token: 0,
    };
    let cluster = ClusterSpec { disaggregated: Some(split), ..server(2, step) };
    let runs = replicate(|seed| {
        let trace = poisson(rate, 30_000, seed, |work| {
            let Job { prompt_tokens, .. } = prompt_of(mean_prompt_s * work.exponential());
            Job { prompt_tokens, output_tokens: 1 + geometric(decodes, work) }
        });
        simulate(&cluster, "round_robin", &trace)
    });
    assert!(mean_prompt_s * PREFILL_RATE > 1e5, "prompts are near continuous");
    agrees("tandem: prefill stage", 0.5, &runs, |run| run.first);
    agrees("tandem: decode stage", second, &runs, |run| run.sojourn - run.first);
    agrees("tandem: there", 0.5 + second, &runs, |run| run.sojourn);
    agrees("tandem: prefill utilisation", 0.6, &runs, |run| run.utilisation[0]);
    agrees("tandem: decode utilisation", 0.75, &runs, |run| run.utilisation[1]);
}
