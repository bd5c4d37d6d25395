//! Both engines do the same; the laws, over random fleets and workloads and every algorithm; and the
//! cases that a simulator of this kind is known to get wrong.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::cluster::{ClusterSpec, DisaggregatedSpec, FleetSpec, Gpu, LinearModel, StepSpec};
use crate::engine::{self, Outcome, RequestRecord, RunRecord, Sink};
use crate::router::{AlgorithmSpec, RejectReason};
use crate::trace::{NewRequest, Trace, TraceBuilder};
use crate::units::{PS_PER_MS, RequestId, SimDuration, SimTime};
use crate::workload::Window;

use super::scenarios::{Case, case, cases};
use super::sim::{Sim, Tape};

/// What the engine says: gaps by length, as it groups them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Heard {
    gaps: BTreeMap<SimDuration, u64>,
    pub(super) outcomes: Vec<RequestRecord>,
}

impl Sink for Heard {
    fn token_gaps(&mut self, gap: SimDuration, tokens: u64) {
        *self.gaps.entry(gap).or_default() += tokens;
    }

    fn outcome(&mut self, record: &RequestRecord) {
        self.outcomes.push(*record);
    }
}

pub(super) fn cluster(num_backends: u32) -> ClusterSpec {
    ClusterSpec {
        gpu: Gpu::by_name("H100Sxm").unwrap(),
        tensor_parallel: 1,
        model: None,
        long_prefill_tokens: None,
        num_backends,
        max_batch_tokens: 16_384,
        max_batch_size: 256,
        max_queue_depth: 256,
        kv_cache_blocks: 4_096,
        kv_block_size: 16,
        async_scheduling: true,
        step: StepSpec::default(),
        disaggregated: None,
    }
}

pub(super) fn algorithm(name: &str) -> AlgorithmSpec {
    AlgorithmSpec::by_name(name).unwrap()
}

/// Requests of (arrival in ms, prompt, output) that share nothing.
pub(super) fn plain(rows: &[(u64, u32, u32)]) -> Trace {
    prefixed(
        &rows.iter().map(|(ms, prompt, output)| (*ms, *prompt, *output, 0)).collect::<Vec<_>>(),
    )
}

/// Requests of (arrival in ms, prompt, output, length of the one shared prefix).
pub(super) fn prefixed(rows: &[(u64, u32, u32, u32)]) -> Trace {
    let mut builder = TraceBuilder::default();
    for &(ms, prompt_tokens, output_tokens, shared_tokens) in rows {
        builder.push(NewRequest {
            arrival: SimTime::from_ps(ms * PS_PER_MS),
            prompt_tokens,
            output_tokens,
            chain: if shared_tokens == 0 { &[] } else { &[0] },
            shared_tokens,
            session: None,
            model: None,
        });
    }
    builder.finish()
}

/// Everything of a trace is measured.
pub(super) fn whole(trace: &Trace) -> Window {
    let last = RequestId::at(trace.len() - 1);
    Window { first: RequestId(0), from: SimTime::ZERO, to: trace.arrival(last) }
}

/// Runs both engines, checks the laws of the backends after every event of the slow one, and that
/// the two agree.
pub(super) fn run(
    cluster: &ClusterSpec,
    algorithm: &AlgorithmSpec,
    trace: &Trace,
) -> (Tape, RunRecord) {
    run_fleet(&cluster.fleet(), algorithm, trace, whole(trace))
}

pub(super) fn run_fleet(
    fleet: &FleetSpec,
    algorithm: &AlgorithmSpec,
    trace: &Trace,
    window: Window,
) -> (Tape, RunRecord) {
    let sim = Sim::new(fleet, algorithm, trace, window, 42);
    let (tape, record) = sim.run(Sim::check).unwrap();
    let mut heard = Heard::default();
    let sim = engine::Sim::of_fleet(fleet, algorithm, trace, window, 42).unwrap();
    let fast = sim.run(&mut heard).unwrap();
    heard.outcomes.sort_by_key(|outcome| outcome.request);
    for (fast, slow) in heard.outcomes.iter().zip(&tape.outcomes) {
        assert_eq!(fast, slow);
    }
    assert_eq!(heard.outcomes.len(), tape.outcomes.len());
    let mut gaps = BTreeMap::new();
    for (_, gap) in tape.gaps.iter().filter(|(request, _)| *request >= window.first) {
        *gaps.entry(*gap).or_default() += 1;
    }
    assert_eq!(heard.gaps, gaps);
    assert_eq!(fast, record);
    (tape, record)
}

pub(super) fn ttft_ms(tape: &Tape, trace: &Trace, index: usize) -> f64 {
    let record = &tape.outcomes[index];
    record.first_token.unwrap().since(trace.arrival(record.request)).as_ms()
}

#[test]
fn an_arrival_joins_the_running_batch() {
    let trace = plain(&[(0, 100, 1_000), (100, 10, 10)]);
    let (tape, _) = run(&cluster(1), &algorithm("round_robin"), &trace);
    // It waits for the step in flight and the one composed behind it: three steps of 12.5 ms.
    let ttft = ttft_ms(&tape, &trace, 1);
    assert!(ttft < 45.0, "{ttft} ms behind a thousand tokens of another");
}

#[test]
fn prefill_never_runs_beyond_its_rate() {
    let trace = plain(&[(0, 1_000, 2); 16]);
    let (tape, _) = run(&cluster(1), &algorithm("round_robin"), &trace);
    let last = (0..16).map(|index| ttft_ms(&tape, &trace, index)).fold(0.0, f64::max);
    assert!(last >= 320.0, "16,000 tokens at 50,000 a second in {last} ms");
}

#[test]
fn a_lone_request_takes_what_the_model_says() {
    // 64 tokens of prefill are 1.28 ms; four decodes of 12.5 ms follow.
    let trace = plain(&[(0, 64, 5)]);
    let (tape, record) = run(&cluster(1), &algorithm("round_robin"), &trace);
    assert!((ttft_ms(&tape, &trace, 0) - 1.28).abs() < 1e-9);
    assert_eq!(tape.gaps.len(), 4);
    assert!(tape.gaps.iter().all(|(_, gap)| (gap.as_ms() - 12.5).abs() < 1e-9));
    assert!((record.end.as_ms() - 51.28).abs() < 1e-9);
    assert!((record.backends[0].busy.as_ms() - 51.28).abs() < 1e-9, "busy time is GPU time");
}

#[test]
fn a_prefix_is_not_there_before_it_is_computed() {
    let trace = prefixed(&[(0, 50_000, 1, 50_000), (0, 50_000, 1, 50_000)]);
    let (tape, _) = run(&cluster(1), &algorithm("round_robin"), &trace);
    for index in 0..2 {
        assert!(ttft_ms(&tape, &trace, index) >= 999.0);
    }
}

#[test]
fn a_hit_is_worth_what_is_resident_and_no_more() {
    let trace = prefixed(&[(0, 64, 1, 16), (1_000, 5_000, 1, 5_000)]);
    let (tape, _) = run(&cluster(1), &algorithm("round_robin"), &trace);
    assert_eq!(tape.outcomes[1].cached_tokens, 16);
    assert!(ttft_ms(&tape, &trace, 1) >= 99.0);
}

#[test]
fn a_prefix_that_is_partly_evicted_is_partly_a_hit() {
    // 19 usable blocks. The first prompt leaves 10 cached; the second takes the 9 that are free
    // and the 4 deepest of those; 6 blocks of 16 tokens are left for the third.
    let small = ClusterSpec { kv_cache_blocks: 20, ..cluster(1) };
    let trace = prefixed(&[(0, 160, 1, 160), (1_000, 208, 1, 0), (2_000, 160, 1, 160)]);
    let (tape, record) = run(&small, &algorithm("prefix_aware"), &trace);
    assert_eq!(tape.outcomes[2].cached_tokens, 96);
    // Four of the first by the second, and four of the second, cached too, by the third.
    assert_eq!(record.backends[0].evictions, 8);
}

#[test]
fn a_prompt_beyond_the_budget_of_a_step_comes_in_chunks() {
    // Chunks of 512 tokens take 10.24 ms: nobody waits longer between two tokens than a chunk and
    // the decodes beside it.
    let spec = ClusterSpec { max_batch_tokens: 512, ..cluster(1) };
    let trace = plain(&[(0, 16, 100), (200, 5_000, 2)]);
    let (tape, _) = run(&spec, &algorithm("round_robin"), &trace);
    assert!(ttft_ms(&tape, &trace, 1) >= 100.0, "5,000 tokens at 50,000 a second");
    let own = tape.gaps.iter().filter(|(request, _)| *request == RequestId(0));
    let longest = own.map(|(_, gap)| gap.as_ms()).fold(0.0, f64::max);
    assert!(longest > 20.0 && longest < 23.0, "{longest} ms: 511 tokens and one decode");
}

#[test]
fn a_cached_prompt_still_computes_its_last_block() {
    let trace = prefixed(&[(0, 64, 1, 64), (1_000, 64, 1, 64)]);
    let (tape, _) = run(&cluster(1), &algorithm("prefix_aware"), &trace);
    assert_eq!(tape.outcomes[1].cached_tokens, 48);
}

#[test]
fn block_chains_shorten_prefill() {
    let mut builder = TraceBuilder::new(512, Vec::new());
    for (ms, chain) in [(0, [0, 1, 2]), (1_000, [0, 1, 3])] {
        builder.push(NewRequest {
            arrival: SimTime::from_ps(ms * PS_PER_MS),
            prompt_tokens: 1_536,
            output_tokens: 1,
            chain: &chain,
            shared_tokens: 1_536,
            session: None,
            model: None,
        });
    }
    let trace = builder.finish();
    let (tape, _) = run(&cluster(2), &algorithm("prefix_overlap"), &trace);
    assert_eq!(tape.outcomes[0].backend, tape.outcomes[1].backend);
    assert_eq!(tape.outcomes[1].cached_tokens, 1_024);
    assert!((ttft_ms(&tape, &trace, 1) - 512.0 / 50.0).abs() < 1e-6);
}

#[test]
fn output_is_not_reserved_and_preemption_recomputes() {
    // 31 usable blocks hold two prompts of 10 blocks but not both outputs of 10 blocks.
    let small = ClusterSpec { kv_cache_blocks: 32, ..cluster(1) };
    let trace = plain(&[(0, 160, 160), (0, 160, 160)]);
    let (tape, _) = run(&small, &algorithm("round_robin"), &trace);
    assert!(tape.outcomes.iter().all(|outcome| outcome.outcome == Outcome::Finished));
    assert_eq!(tape.outcomes[0].preemptions, 0, "the first to run keeps its blocks");
    assert!(tape.outcomes[1].preemptions > 0);
    assert_eq!(tape.gaps.len(), 2 * 159, "no token is lost or made twice");
}

#[test]
fn what_can_never_fit_is_rejected_at_once_and_nothing_is_wedged() {
    let small = ClusterSpec { kv_cache_blocks: 11, ..cluster(1) };
    let trace = plain(&[(0, 100, 20), (10, 1_000, 20), (5_000, 10, 5), (6_000, 10, 5)]);
    let (tape, _) = run(&small, &algorithm("round_robin"), &trace);
    let outcomes: Vec<Outcome> = tape.outcomes.iter().map(|outcome| outcome.outcome).collect();
    let never = Outcome::Rejected(RejectReason::NeverFits);
    assert_eq!(outcomes, [Outcome::Finished, never, Outcome::Finished, Outcome::Finished]);
}

#[test]
fn a_full_queue_refuses_and_says_so() {
    let narrow = ClusterSpec { max_batch_size: 1, max_queue_depth: 2, ..cluster(1) };
    let trace = plain(&[(0, 10, 100), (50, 10, 1), (60, 10, 1), (70, 10, 1)]);
    let (tape, _) = run(&narrow, &algorithm("least_outstanding"), &trace);
    assert_eq!(tape.outcomes[3].outcome, Outcome::Rejected(RejectReason::NoBackend));
    assert_eq!(tape.outcomes[2].outcome, Outcome::Finished);
}

#[test]
fn a_fleet_that_is_far_too_slow_ends_at_the_horizon() {
    // A thousand seconds a step: the requests would end after 230 days.
    let slow = LinearModel { step_ms: 1e6, ..LinearModel::default() };
    let split = DisaggregatedSpec {
        prefill_backends: 1,
        decode_backends: 1,
        kv_transfer_latency: SimDuration::ZERO,
        kv_transfer_bandwidth_gb_s: 50.0,
        kv_bytes_per_token: 327_680,
    };
    let trace = plain(&[(0, 10, 20_000), (0, 10, 20_000)]);
    for disaggregated in [None, Some(split)] {
        let spec = ClusterSpec { step: StepSpec::Linear(slow), disaggregated, ..cluster(2) };
        for algorithm in AlgorithmSpec::all() {
            let sim = engine::Sim::new(&spec, &algorithm, &trace, whole(&trace), 1).unwrap();
            assert_eq!(sim.run(&mut Heard::default()), Err(engine::SimError::TooLong));
            let sim = Sim::new(&spec.fleet(), &algorithm, &trace, whole(&trace), 1);
            assert!(sim.run(Sim::check).is_err());
        }
    }
}

#[test]
fn a_disaggregated_fleet_serves_every_request() {
    let mut split = cluster(8);
    split.disaggregated = Some(DisaggregatedSpec {
        prefill_backends: 2,
        decode_backends: 6,
        kv_transfer_latency: SimDuration::from_ps(500_000_000),
        kv_transfer_bandwidth_gb_s: 50.0,
        kv_bytes_per_token: 327_680,
    });
    let rows: Vec<_> = (0..500).map(|index| (index * 20, 256, 1 + (index % 40) as u32)).collect();
    let trace = plain(&rows);
    for spec in AlgorithmSpec::all() {
        let (tape, record) = run(&split, &spec, &trace);
        assert_eq!(tape.outcomes.len(), 500);
        assert!(tape.outcomes.iter().all(|outcome| outcome.outcome == Outcome::Finished));
        assert!(record.dispatched[..2].iter().sum::<u64>() == 500);
    }
    // Prefill 5.12 ms, transfer 0.5 + 1.68 ms, one decode of 12.5 ms.
    let (tape, _) = run(&split, &algorithm("round_robin"), &plain(&[(0, 256, 2)]));
    assert!((tape.gaps[0].1.as_ms() - (0.5 + 1.677_721_6 + 12.5)).abs() < 1e-6);
}

#[test]
fn async_scheduling_runs_an_arrival_two_steps_later() {
    let fixed = LinearModel { step_ms: 10.0, ..LinearModel::default() };
    let trace = plain(&[(0, 16, 50), (5, 16, 2)]);
    let ttft = |async_scheduling| {
        let spec = ClusterSpec { async_scheduling, step: StepSpec::Linear(fixed), ..cluster(1) };
        let (tape, _) = run(&spec, &algorithm("round_robin"), &trace);
        ttft_ms(&tape, &trace, 1)
    };
    // It lands in step 1 (0 to 10 ms). Composed at 10 ms it runs from 20 ms, or at once.
    assert!((ttft(true) - 25.0).abs() < 1e-9);
    assert!((ttft(false) - 15.0).abs() < 1e-9);
}

#[test]
fn an_arrival_on_a_step_end_may_join_the_next_batch() {
    let fixed = LinearModel { step_ms: 10.0, ..LinearModel::default() };
    let spec = ClusterSpec { async_scheduling: false, step: StepSpec::Linear(fixed), ..cluster(1) };
    let trace = plain(&[(0, 16, 50), (10, 16, 2)]);
    let (tape, _) = run(&spec, &algorithm("round_robin"), &trace);
    assert!((ttft_ms(&tape, &trace, 1) - 10.0).abs() < 1e-9);
}

/// Conservation and causality of one run.
fn check_records(tape: &Tape, trace: &Trace) {
    let ids: Vec<RequestId> = tape.outcomes.iter().map(|record| record.request).collect();
    assert_eq!(ids, trace.ids().collect::<Vec<_>>(), "one outcome for each request");
    let mut gaps: BTreeMap<RequestId, u32> = BTreeMap::new();
    for (request, _) in &tape.gaps {
        *gaps.entry(*request).or_default() += 1;
    }
    for record in &tape.outcomes {
        let id = record.request;
        assert!(record.outcome != Outcome::Unserved, "{record:?}");
        if record.outcome == Outcome::Finished {
            let made = gaps.get(&id).copied().unwrap_or(0) + 1;
            assert_eq!(made, trace.output_tokens(id), "tokens of {id:?}");
            let times = [Some(trace.arrival(id)), record.scheduled, record.first_token];
            let times: Vec<SimTime> =
                times.into_iter().flatten().chain(record.last_token).collect();
            assert!(times.len() == 4 && times.is_sorted(), "{record:?}");
            assert!(record.cached_tokens < trace.prompt_tokens(id));
        }
    }
}

/// The first instant at which an output length can show. The engine knows the lengths and composes
/// no step beyond the last; with two steps in flight that tells as soon as the token before the
/// last is there, or at once when there is only one.
fn first_difference(tape: &Tape, trace: &Trace) -> SimTime {
    let shows = |record: &RequestRecord| {
        let id = record.request;
        let last_gap = tape.gaps.iter().rfind(|(request, _)| *request == id);
        match (record.last_token, last_gap) {
            (Some(last), Some((_, gap))) => last - *gap,
            _ => record.scheduled.unwrap_or(trace.arrival(id)),
        }
    };
    tape.outcomes.iter().map(shows).min().unwrap()
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn both_engines_agree_to_the_picosecond(case in case()) {
        let Case { fleet, algorithm, trace, window } = &case;
        let (tape, _) = run_fleet(fleet, algorithm, trace, *window);
        check_records(&tape, trace);
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn the_laws_hold(case in case()) {
        for algorithm in AlgorithmSpec::all() {
            let once = || run_fleet(&case.fleet, &algorithm, &case.trace, whole(&case.trace));
            let (tape, record) = once();
            check_records(&tape, &case.trace);
            let again = once();
            prop_assert_eq!((tape, record), again);
        }
    }

    #[test]
    fn no_route_depends_on_an_output_length(case in case(), other in 1..200_u32) {
        let trace = &case.trace;
        let mut builder = TraceBuilder::new(trace.block_tokens(), Vec::new());
        for id in trace.ids() {
            let request = trace.request(id);
            builder.push(NewRequest { output_tokens: other, ..request });
        }
        let changed = builder.finish();
        for algorithm in AlgorithmSpec::all() {
            let (a, _) = run_fleet(&case.fleet, &algorithm, trace, whole(trace));
            let (b, _) = run_fleet(&case.fleet, &algorithm, &changed, whole(&changed));
            let until = first_difference(&a, trace).min(first_difference(&b, &changed));
            for (left, right) in a.outcomes.iter().zip(&b.outcomes) {
                if trace.arrival(left.request) < until {
                    prop_assert_eq!(left.backend, right.backend);
                }
            }
        }
    }
}
