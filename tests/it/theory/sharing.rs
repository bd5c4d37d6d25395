//! One backend that serves a batch: many servers, and the decode curve of the guide.

use routesim::cluster::{ClusterSpec, LinearModel, StepSpec};

use super::exact::{Depth, GUIDE_SHARING, MMC, batch_sojourn, guide_step_s, sharing_sojourn};
use super::queue::{
    Job, NO_PREFILL, Run, agrees, decodes_of, geometric, poisson, replicate, server, simulate,
};

/// Tokens of a mean request in the rows of many servers.
const TOKENS: f64 = 20.0;

/// A batch of up to `servers` where each gets a token in each step of 1 / [`TOKENS`] seconds.
fn many_servers(depth: Depth, servers: usize, rate: f64) -> Vec<Run> {
    let step = LinearModel { step_ms: 1e3 / TOKENS, ..LinearModel::default() };
    let cluster = ClusterSpec {
        max_batch_size: u32::try_from(servers).unwrap(),
        async_scheduling: matches!(depth, Depth::Two),
        step: StepSpec::Linear(step),
        ..server(1, 1.0)
    };
    replicate(|seed| {
        let job = |work: &mut _| Job { prompt_tokens: 1, output_tokens: geometric(TOKENS, work) };
        simulate(&cluster, "round_robin", &poisson(rate, 40_000, seed, job))
    })
}

fn check_many_servers(depth: Depth, name: &str) {
    for (servers, rate, _) in MMC {
        let sojourn = batch_sojourn(depth, servers, rate, TOKENS, 1.0 / TOKENS);
        let runs = many_servers(depth, servers, rate);
        agrees(&format!("M/M/{servers} {rate}{name}: there"), sojourn, &runs, |run| run.sojourn);
        // With two steps in flight a request is scheduled up to a step before it runs.
        if matches!(depth, Depth::One) {
            agrees(&format!("M/M/{servers} {rate}: wait"), sojourn - 1.0, &runs, |run| run.wait);
        }
        agrees(&format!("M/M/{servers} {rate}{name}: number"), sojourn * rate, &runs, |run| {
            run.in_system
        });
    }
}

#[test]
fn a_batch_is_m_m_c() {
    check_many_servers(Depth::One, "");
}

#[test]
fn async_scheduling_leaves_a_place_empty_for_a_step() {
    check_many_servers(Depth::Two, " async");
}

#[test]
fn decoding_is_processor_sharing() {
    let step = StepSpec::Compute {
        prefill_tokens_per_sec: NO_PREFILL,
        decode_tokens_per_sec_batch1: 80.0,
        decode_throughput_saturation_batch: 64,
        decode_tokens_per_sec_saturated: 3_200.0,
    };
    let cluster = ClusterSpec { max_batch_size: 4_000, step, ..server(1, 1.0) };
    for (rate, fluid) in GUIDE_SHARING {
        let (sojourn, decoding) = sharing_sojourn(rate, 128.0, guide_step_s);
        let runs = replicate(|seed| {
            let trace = poisson(rate, 8_000, seed, |work| decodes_of(128.0, work));
            simulate(&cluster, "round_robin", &trace)
        });
        agrees(&format!("guide PS {rate}: there"), sojourn, &runs, |run| run.sojourn);
        agrees(&format!("guide PS {rate}: decoding"), decoding, &runs, |run| {
            run.sojourn - run.first
        });
        agrees(&format!("guide PS {rate}: Q-10"), fluid, &runs, |run| run.sojourn - run.first);
    }
}
