//! One backend that serves a batch: many servers, and the decode curve of the guide.

use routesim::cluster::{ClusterSpec, LinearModel, StepSpec};

use super::exact::{Depth, GUIDE_SHARING, MMC, ManyServers, guide_step_s, sharing_sojourn};
use super::queue::{
    Job, NO_PREFILL, Run, agrees, decodes_of, geometric, poisson, replicate, server, simulate,
};

/// Tokens of a mean request in the rows of many servers. Steps of 1 / 20 s move the time in the
/// system by up to 27 ms from M/M/c's, which is more than some rows' standard error. Finer steps
/// would cost in proportion; the exact value for these very steps leaves no bias to allow for.
const TOKENS: f64 = 20.0;

/// A batch of up to `servers` where each gets a token in each step of 1 / [`TOKENS`] seconds.
fn many_servers(depth: Depth, row: &ManyServers) -> Vec<Run> {
    let step = LinearModel { step_ms: 1e3 / TOKENS, ..LinearModel::default() };
    let one = server(1, 1.0);
    let cluster = ClusterSpec {
        max_batch_size: u32::try_from(row.servers).unwrap(),
        max_queue_depth: row.queue.map_or(one.max_queue_depth, |n| u32::try_from(n).unwrap()),
        async_scheduling: matches!(depth, Depth::Two),
        step: StepSpec::Linear(step),
        ..one
    };
    replicate(|seed| {
        let job = |work: &mut _| Job { prompt_tokens: 1, output_tokens: geometric(TOKENS, work) };
        simulate(&cluster, "round_robin", &poisson(row.rate, row.count, seed, job))
    })
}

fn check_many_servers(depth: Depth, row: &ManyServers) {
    let (sojourn, blocked) = row.batch(depth, TOKENS).sojourn_and_blocked();
    let runs = many_servers(depth, row);
    let places = row.queue.map(|queue| format!("/{}", row.servers + queue)).unwrap_or_default();
    let mode = if matches!(depth, Depth::Two) { " async" } else { "" };
    let name = format!("M/M/{}{places} {}{mode}", row.servers, row.rate);
    agrees(&format!("{name}: there"), sojourn, &runs, |run| run.sojourn);
    // With two steps in flight a request is scheduled up to a step before it runs.
    if matches!(depth, Depth::One) {
        agrees(&format!("{name}: wait"), sojourn - 1.0, &runs, |run| run.wait);
    }
    let number = sojourn * row.rate * (1.0 - blocked);
    agrees(&format!("{name}: number"), number, &runs, |run| run.in_system);
    if row.queue.is_some() {
        agrees(&format!("{name}: blocked"), blocked, &runs, |run| run.blocked);
    }
}

#[test]
fn a_batch_is_m_m_c() {
    for row in &MMC {
        check_many_servers(Depth::One, row);
    }
}

#[test]
fn async_scheduling_leaves_a_place_empty_for_a_step() {
    for row in MMC.iter().filter(|row| row.is_moderate()) {
        check_many_servers(Depth::Two, row);
    }
}

/// A backend that shares its decode throughput, the guide's line, among all that are there.
pub(super) fn guide_sharing() -> ClusterSpec {
    let step = StepSpec::Compute {
        prefill_tokens_per_sec: NO_PREFILL,
        decode_tokens_per_sec_batch1: 80.0,
        decode_throughput_saturation_batch: 64,
        decode_tokens_per_sec_saturated: 3_200.0,
    };
    ClusterSpec { max_batch_size: 4_000, step, ..server(1, 1.0) }
}

#[test]
fn decoding_is_processor_sharing() {
    let cluster = guide_sharing();
    for (rate, count, fluid) in GUIDE_SHARING {
        let (sojourn, decoding) = sharing_sojourn(rate, 128.0, guide_step_s);
        let runs = replicate(|seed| {
            let trace = poisson(rate, count, seed, |work| decodes_of(128.0, work));
            simulate(&cluster, "round_robin", &trace)
        });
        agrees(&format!("guide PS {rate}: there"), sojourn, &runs, |run| run.sojourn);
        agrees(&format!("guide PS {rate}: decoding"), decoding, &runs, |run| {
            run.sojourn - run.first
        });
        agrees(&format!("guide PS {rate}: Q-10"), fluid, &runs, |run| run.sojourn - run.first);
    }
}
