//! Random fleets and workloads that strain an engine: few blocks, small batches, bursts, arrivals
//! on step ends, prompts that are cached whole.

use proptest::prelude::*;
use proptest::sample::Index;

use crate::cluster::{
    BackendSpec, ClusterSpec, DisaggregatedSpec, FleetSpec, Gpu, LinearModel, StepSpec,
};
use crate::router::AlgorithmSpec;
use crate::trace::{NewRequest, ONE_LEVEL, Trace, TraceBuilder};
use crate::units::{PS_PER_MS, RequestId, SimDuration, SimTime};
use crate::workload::Window;

/// One run of both engines.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) fleet: FleetSpec,
    pub(super) algorithm: AlgorithmSpec,
    pub(super) trace: Trace,
    pub(super) window: Window,
}

/// Any run.
pub(super) fn case() -> impl Strategy<Value = Case> {
    let algorithms = AlgorithmSpec::all();
    let algorithm = (0..algorithms.len()).prop_map(move |index| algorithms[index].clone());
    let warmup = prop_oneof![3 => Just(0.0), 1 => 0.0..1.0_f64];
    let parts = (fleet(), any::<Index>(), algorithm, workload(), warmup, 0..3_000_u64);
    parts.prop_map(|(mut fleet, size, algorithm, trace, warmup, after_ms)| {
        let size = block_size(&trace, size);
        for make in &mut fleet.backends {
            *make = with_blocks_of(make, size);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "below the length"
        )]
        let first = (warmup * trace.len() as f64) as usize;
        let from = match first {
            0 => SimTime::ZERO,
            first => trace.arrival(RequestId::at(first - 1)),
        };
        let to = from + SimDuration::from_ps(after_ms * PS_PER_MS);
        let window = Window { first: RequestId::at(first), from, to };
        Case { fleet, algorithm, trace, window }
    })
}

#[derive(Clone, Copy, Debug)]
struct Draft {
    ms: u64,
    prompt_tokens: u32,
    output_tokens: u32,
    /// Of how many of its tokens others may know, in percent.
    share: u32,
    /// The turns that its chain takes at each fork.
    turns: u32,
    session: Option<u32>,
}

fn draft() -> impl Strategy<Value = Draft> {
    let ms =
        prop_oneof![Just(0_u64), 0..60_u64, (0..20_u64).prop_map(|step| step * 10), 0..4_000_u64];
    let prompt = prop_oneof![
        2 => 1..200_u32,
        2 => (1..8_u32).prop_map(|blocks| blocks * 16),
        2 => 200..700_u32,
        3 => 1..30_u32,
    ];
    // More than 1,024 steps ahead ends are kept in another way.
    let output = prop_oneof![
        15 => Just(1_u32),
        15 => Just(2),
        15 => 1..30_u32,
        15 => 1..200_u32,
        1 => 900..1_400_u32,
    ];
    let share = prop_oneof![Just(0_u32), Just(100), 0..=100_u32];
    let session = proptest::option::of(0..3_u32);
    let parts = (ms, prompt, output, share, 0..64_u32, session);
    parts.prop_map(|(ms, prompt_tokens, output_tokens, share, turns, session)| Draft {
        ms,
        prompt_tokens,
        output_tokens,
        share,
        turns,
        session,
    })
}

pub(super) fn workload() -> impl Strategy<Value = Trace> {
    let block_tokens = prop_oneof![Just(ONE_LEVEL), Just(16_u32), Just(64), Just(8)];
    let drafts = proptest::collection::vec(draft(), 1..40);
    (block_tokens, drafts, any::<bool>()).prop_map(|(block_tokens, drafts, apart)| {
        let mut builder = TraceBuilder::new(block_tokens, Vec::new());
        for Draft { ms, prompt_tokens, output_tokens, share, turns, session } in drafts {
            let shared_tokens = prompt_tokens * share / 100;
            builder.push(NewRequest {
                // Half of the workloads never meet the end of a round step.
                arrival: SimTime::from_ps(ms * PS_PER_MS + u64::from(apart) * 1_234_567),
                prompt_tokens,
                output_tokens,
                chain: &chain(block_tokens, shared_tokens, turns),
                shared_tokens,
                session,
                model: None,
            });
        }
        builder.finish()
    })
}

/// Ids of a tree that forks in two every few blocks: `turns` has a bit for each fork.
fn chain(block_tokens: u32, shared_tokens: u32, turns: u32) -> Vec<u32> {
    if shared_tokens == 0 {
        return Vec::new();
    }
    if block_tokens == ONE_LEVEL {
        return vec![turns % 4];
    }
    let blocks = shared_tokens.div_ceil(block_tokens);
    // An id names all before it: the turns taken so far, and the depth.
    let id = |block: u32| (turns & ((1 << (block / 3).min(6)) - 1)) << 12 | block;
    (0..blocks).map(id).collect()
}

/// A size of blocks that fits the ids of a trace: in a third of the draws 16 tokens where it can.
pub(super) fn block_size(trace: &Trace, draw: Index) -> u32 {
    let sizes = [16, 16, 16, 16, 1, 2, 3, 4, 8, 32, 48, 64, 192];
    let fitting: Vec<u32> = sizes.into_iter().filter(|size| trace.blocks_fit(*size)).collect();
    *draw.get(&fitting)
}

/// The same with blocks of another size: fewer of them where they are larger.
pub(super) fn with_blocks_of(make: &BackendSpec, kv_block_size: u32) -> BackendSpec {
    let blocks = make.kv_cache_blocks * make.kv_block_size / kv_block_size;
    // The slow engine looks at all of them at each event.
    let kv_cache_blocks = blocks.clamp(3, make.kv_cache_blocks.max(60));
    BackendSpec { kv_block_size, kv_cache_blocks, ..make.clone() }
}

/// Backends of one make, or of up to four in turns.
fn fleet() -> impl Strategy<Value = FleetSpec> {
    let backends = prop_oneof![8 => 1..5_u32, 1 => 30..50_u32];
    let makes = prop_oneof![2 => Just(1_usize), 1 => 2..5_usize];
    let makes = makes.prop_flat_map(|makes| proptest::collection::vec(make(), makes));
    let rest = (any::<bool>(), any::<bool>());
    (backends, makes, rest).prop_map(|(num_backends, makes, (split, slow))| {
        let split_spec = DisaggregatedSpec {
            prefill_backends: 1,
            decode_backends: num_backends.saturating_sub(1),
            kv_transfer_latency: SimDuration::from_ps(if slow { 500_000_000 } else { 0 }),
            kv_transfer_bandwidth_gb_s: if slow { 50.0 } else { 1e9 },
            kv_bytes_per_token: 327_680,
        };
        let in_turns = makes.iter().cloned().cycle();
        FleetSpec {
            backends: in_turns.take(num_backends as usize).collect(),
            disaggregated: Some(split_spec).filter(|_| split && num_backends > 2),
        }
    })
}

/// What one backend is built from, with blocks of 16 tokens.
pub(super) fn make() -> impl Strategy<Value = BackendSpec> {
    let batch = prop_oneof![Just(1_u32), 1..6_u32, 6..30_u32];
    let budget = prop_oneof![Just(0_u32), Just(1), 1..40_u32, 100..600_u32, Just(8_192)];
    let long = prop_oneof![3 => Just(None), 1 => (1..100_u32).prop_map(Some)];
    let blocks = prop_oneof![3..13_u32, 13..42_u32, 42..80_u32, 300..400_u32];
    let depth = prop_oneof![1..4_u32, 1..20_u32, Just(1_000_u32)];
    (batch, budget, long, blocks, depth, any::<bool>(), step()).prop_map(
        |(max_batch_size, budget, long_prefill_tokens, blocks, depth, asynchronous, step)| {
            let spec = ClusterSpec {
                tensor_parallel: 1,
                model: None,
                gpu: Gpu::by_name("H100Sxm").unwrap(),
                num_backends: 1,
                max_batch_tokens: max_batch_size + budget,
                max_batch_size,
                long_prefill_tokens,
                max_queue_depth: depth,
                kv_cache_blocks: blocks,
                kv_block_size: 16,
                async_scheduling: asynchronous,
                step,
                disaggregated: None,
            };
            spec.fleet().backends.remove(0)
        },
    )
}

fn step() -> impl Strategy<Value = StepSpec> {
    let linear = LinearModel {
        step_ms: 10.0,
        prefill_token_ms: 0.05,
        decode_ms: 0.02,
        context_token_ms: 1e-4,
        attention_pair_ms: 1e-5,
        ..LinearModel::default()
    };
    let round = LinearModel { step_ms: 10.0, ..LinearModel::default() };
    let all = LinearModel {
        prefill_step_ms: 3.0,
        token_ms: 0.004,
        knee_token_ms: 0.014,
        knee_tokens: 20,
        expert_ms: 5.0,
        experts: 16,
        experts_per_token: 2,
        longest_context_token_ms: 0.01,
        ..linear
    };
    let long = LinearModel { context_token_ms: 0.5, step_ms: 0.001, ..LinearModel::default() };
    let longest = LinearModel { longest_context_token_ms: 0.3, ..round };
    let decodes = LinearModel {
        step_ms: 1.0,
        decode_ms: 5.0,
        prefill_step_ms: 7.0,
        ..LinearModel::default()
    };
    // Four decodes take less time than one.
    let shrinking = StepSpec::Compute {
        prefill_tokens_per_sec: 50_000.0,
        decode_tokens_per_sec_batch1: 80.0,
        decode_throughput_saturation_batch: 4,
        decode_tokens_per_sec_saturated: 3_200.0,
    };
    let launch = prop_oneof![2 => Just(0.0), 1 => 0.0..100.0_f64, 1 => Just(20.0)];
    let models = [linear, round, all, long, longest, decodes];
    let models = prop::sample::select(models.to_vec());
    let linear = (models, launch)
        .prop_map(|(model, first_launch_ms)| LinearModel { first_launch_ms, ..model });
    let compute = prop_oneof![Just(StepSpec::default()), Just(shrinking)];
    prop_oneof![1 => compute, 4 => linear.prop_map(StepSpec::Linear)]
}

/// So many cases: `PROPTEST_CASES` can ask for more, not for fewer.
pub(super) fn cases(least: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases.max(least), ..default }
}
