//! The cases that an engine which skips steps is known to get wrong, one claim each.
//!
//! Each is a few requests whose times are worked by hand, and both engines must give them. Unless a
//! case says otherwise there is one backend, blocks have 16 tokens, a step takes 10 ms whatever it
//! computes, and step s of requests that came at 0 ends at 10 s. A prompt of 16 tokens stands at
//! 15 + s tokens after step s, so it takes a block in the steps 1, 2, 18, 34, ….

use crate::cluster::{ClusterSpec, DisaggregatedSpec, LinearModel, StepSpec};
use crate::engine::Outcome;
use crate::trace::{NewRequest, Trace, TraceBuilder};
use crate::units::{BackendId, PS_PER_MS, RequestId, SimDuration, SimTime};
use crate::workload::Window;

use super::sim::Tape;
use super::tests::{algorithm, cluster, plain, prefixed, run, run_fleet};

const STEP_10MS: LinearModel = LinearModel {
    step_ms: 10.0,
    prefill_token_ms: 0.0,
    decode_ms: 0.0,
    context_token_ms: 0.0,
    longest_context_token_ms: 0.0,
    attention_pair_ms: 0.0,
    prefill_step_ms: 0.0,
    token_ms: 0.0,
    knee_token_ms: 0.0,
    knee_tokens: 0,
    expert_ms: 0.0,
    experts: 0,
    experts_per_token: 0,
    first_launch_ms: 0.0,
};

/// A backend with so many usable blocks and steps in flight.
fn engine(blocks: u32, depth: u32) -> ClusterSpec {
    ClusterSpec {
        kv_cache_blocks: blocks + 1,
        async_scheduling: depth == 2,
        step: StepSpec::Linear(STEP_10MS),
        ..cluster(1)
    }
}

/// The same, where each prefill token takes a millisecond more.
fn slow_prefill(blocks: u32, depth: u32) -> ClusterSpec {
    let step = StepSpec::Linear(LinearModel { prefill_token_ms: 1.0, ..STEP_10MS });
    ClusterSpec { step, ..engine(blocks, depth) }
}

/// A prefill and a decode backend like `spec`; KV of any size takes 5 ms.
fn split(spec: ClusterSpec) -> ClusterSpec {
    let disaggregated = Some(DisaggregatedSpec {
        prefill_backends: 1,
        decode_backends: 1,
        kv_transfer_latency: SimDuration::from_ps(5 * PS_PER_MS),
        kv_transfer_bandwidth_gb_s: 1e9,
        kv_bytes_per_token: 0,
    });
    ClusterSpec { num_backends: 2, disaggregated, ..spec }
}

fn tape_of(cluster: &ClusterSpec, trace: &Trace) -> Tape {
    run(cluster, &algorithm("round_robin"), trace).0
}

/// Requests of (arrival in ms, prompt, output, ids of its leading blocks of 16 tokens).
fn chained(rows: &[(u64, u32, u32, &[u32])]) -> Trace {
    let mut builder = TraceBuilder::new(16, Vec::new());
    for &(ms, prompt_tokens, output_tokens, chain) in rows {
        builder.push(NewRequest {
            arrival: SimTime::from_ps(ms * PS_PER_MS),
            prompt_tokens,
            output_tokens,
            chain,
            shared_tokens: 16 * u32::try_from(chain.len()).unwrap(),
            session: None,
            model: None,
        });
    }
    builder.finish()
}

fn at(ms: u64) -> Option<SimTime> {
    Some(SimTime::from_ps(ms * PS_PER_MS))
}

fn last_tokens(tape: &Tape) -> Vec<Option<SimTime>> {
    tape.outcomes.iter().map(|record| record.last_token).collect()
}

fn preemptions(tape: &Tape) -> Vec<u32> {
    tape.outcomes.iter().map(|record| record.preemptions).collect()
}

fn cached(tape: &Tape) -> Vec<u32> {
    tape.outcomes.iter().map(|record| record.cached_tokens).collect()
}

#[test]
fn blocks_run_out_at_the_step_that_needs_them() {
    // Two hold 4 of 5 blocks from step 2 on. Both need one more in step 18, composed at 170: the
    // first takes the last one, the second gives way with 17 tokens. It needs all of its 3 blocks,
    // and 2 are there until the first has its 20th token at 200. Then one token a step.
    let trace = plain(&[(0, 16, 20), (0, 16, 20)]);
    let tape = tape_of(&engine(5, 1), &trace);
    assert_eq!(preemptions(&tape), [0, 1]);
    assert_eq!(last_tokens(&tape), [at(200), at(230)]);
    let longest = tape.gaps.iter().map(|(_, gap)| gap.as_ps()).max();
    assert_eq!(longest, Some(40 * PS_PER_MS), "from token 17 at 170 to token 18 at 210");
}

#[test]
fn the_step_after_a_last_one_needs_blocks_before_those_of_the_finisher_are_free() {
    // The first finishes with step 17 at 170. Step 18 is composed at 160, when all 4 blocks are
    // held: the second gives way, though 2 blocks are free 10 ms later. It is computed again in a
    // step from 170 to 180.
    let trace = plain(&[(0, 16, 17), (0, 16, 20)]);
    let tape = tape_of(&engine(4, 2), &trace);
    assert_eq!(preemptions(&tape), [0, 1]);
    assert_eq!(last_tokens(&tape), [at(170), at(200)]);
    // With one step in flight it is composed at 170, when the first is gone.
    let tape = tape_of(&engine(4, 1), &trace);
    assert_eq!(preemptions(&tape), [0, 0]);
}

#[test]
fn a_view_shows_what_the_step_composed_ahead_has_evicted() {
    // The first leaves 2 blocks of its prefix on backend 1. The third decodes there from 100 on; it
    // takes 2 empty blocks, the deep one of the prefix for step 18, composed at 260, and the other
    // for step 34, composed at 420 though it runs from 430. The fourth makes the router look at 300
    // and note when it must look again. The last request follows the prefix until 420; an arrival of
    // that instant comes before the step's end.
    let pair = ClusterSpec { num_backends: 2, ..engine(4, 2) };
    for (ms, backend) in [(419, 1), (420, 1), (421, 0)] {
        let trace = chained(&[
            (0, 32, 1, &[0, 1]),
            (100, 16, 1, &[]),
            (100, 16, 40, &[]),
            (300, 16, 1, &[]),
            (ms, 33, 1, &[0, 1]),
        ]);
        let (tape, _) = run(&pair, &algorithm("prefix_aware"), &trace);
        let backends: Vec<_> = tape.outcomes.iter().map(|record| record.backend).collect();
        let index = |backend: usize| Some(BackendId::at(backend));
        let to = [index(1), index(0), index(1), index(0), index(backend)];
        assert_eq!(backends, to, "at {ms} ms");
    }
}

#[test]
fn a_counter_falls_just_behind_the_end() {
    // Backend 0 is done at 200, 2 at 110 and 1 at 500. The third makes the router look at 95 and note
    // when it must look again.
    let three = ClusterSpec { num_backends: 3, ..engine(100, 1) };
    for (ms, backend) in [(200, 2), (201, 0)] {
        let trace = plain(&[(0, 16, 20), (0, 16, 50), (95, 16, 1), (ms, 16, 1)]);
        let (tape, _) = run(&three, &algorithm("least_outstanding"), &trace);
        let to = tape.outcomes[3].backend;
        assert_eq!(to, Some(BackendId::at(backend)), "at {ms} ms");
    }
}

#[test]
fn an_arrival_inside_a_stride_runs_two_steps_later() {
    // Steps are not planned ahead here, so none has to be cut: a stride ends before the arrival.
    // It lands in step 501, from 5,000 to 5,010. Two deep it runs in step 503; else in step 502.
    let trace = plain(&[(0, 16, 1_000), (5_005, 16, 1)]);
    assert_eq!(last_tokens(&tape_of(&engine(100, 2), &trace)), [at(10_000), at(5_030)]);
    assert_eq!(last_tokens(&tape_of(&engine(100, 1), &trace)), [at(10_000), at(5_020)]);
}

#[test]
fn arrivals_in_neighbouring_steps_each_join_their_own() {
    // The stride up to the second finds the step of the first in flight. The two of step 501 run in
    // step 503, that of step 502 in step 504.
    let trace = plain(&[(0, 16, 1_000), (5_005, 16, 1), (5_006, 16, 1), (5_012, 16, 1)]);
    let tape = tape_of(&engine(100, 2), &trace);
    assert_eq!(last_tokens(&tape), [at(10_000), at(5_030), at(5_030), at(5_040)]);
}

#[test]
fn a_request_may_be_preempted_before_its_first_token() {
    // Steps 1 and 2 are both composed at 0, before any step has ended. 3 blocks are one too few for
    // step 2: the second gives way, gets the token of step 1 at 10, and comes back when the first
    // has its fifth token at 50.
    let trace = plain(&[(0, 16, 5), (0, 16, 3)]);
    let tape = tape_of(&engine(3, 2), &trace);
    assert_eq!(preemptions(&tape), [0, 1]);
    assert_eq!(tape.outcomes[1].first_token, at(10));
    assert_eq!(last_tokens(&tape), [at(50), at(70)]);
}

#[test]
fn requests_preempted_with_their_last_token_in_flight_end_from_the_queue() {
    // Four prompts take the 4 blocks in step 1. Step 2, composed at 0 too, needs 2 more for the
    // first two: the others give way, the last first, though step 1 gives them all they want.
    let trace = plain(&[(0, 16, 3), (0, 16, 3), (0, 16, 1), (0, 16, 1)]);
    let (tape, record) = run(&engine(4, 2), &algorithm("round_robin"), &trace);
    assert_eq!(preemptions(&tape), [0, 0, 1, 1]);
    assert_eq!(last_tokens(&tape), [at(30), at(30), at(10), at(10)]);
    assert_eq!(record.backends[0].steps, 3);
}

#[test]
fn nothing_is_recomputed_for_a_request_preempted_with_its_last_token_in_flight() {
    // The second has its last token with step 17 and needs no block for step 18, but the first does,
    // composed at 160: the second gives way. A third waits for blocks behind it: it needs 4, has
    // them once the first ends with step 18 at 180, and runs in step 19.
    let trace = plain(&[(0, 16, 18), (0, 16, 17), (5, 64, 1)]);
    let (tape, record) = run(&engine(4, 2), &algorithm("round_robin"), &trace);
    assert_eq!(preemptions(&tape), [0, 1, 0]);
    assert_eq!(last_tokens(&tape), [at(180), at(170), at(190)]);
    assert_eq!(record.backends[0].steps, 19);
}

#[test]
fn no_stride_passes_over_the_last_token_of_a_step_in_flight() {
    // The first ends with step 3 at 30 and makes room for the third in the step composed then:
    // step 5, from 40 to 50.
    let pair = ClusterSpec { max_batch_size: 2, ..engine(100, 2) };
    let trace = plain(&[(0, 16, 3), (0, 16, 100), (0, 16, 2)]);
    let tape = tape_of(&pair, &trace);
    assert_eq!(tape.outcomes[2].scheduled, at(30));
    assert_eq!(tape.outcomes[2].first_token, at(50));
    assert_eq!(last_tokens(&tape), [at(30), at(1_000), at(60)]);
}

#[test]
fn a_generated_block_is_cached_when_its_last_token_is_known() {
    // The prefills of step 1 take 42 ms, so step s ends at 32 + 10 s. The first takes the last block
    // for step 18, the second gives way with 32 tokens scheduled. One deep, step 18 is composed
    // when all 32 are known: both blocks are found again at 212, one token is computed.
    let trace = plain(&[(0, 16, 18), (0, 16, 20)]);
    let tape = tape_of(&slow_prefill(5, 1), &trace);
    assert_eq!((preemptions(&tape), last_tokens(&tape)), (vec![0, 1], vec![at(212), at(242)]));
    // Two deep, the 32nd is still to come: its block is not cached, and 17 tokens are computed.
    let tape = tape_of(&slow_prefill(5, 2), &trace);
    assert_eq!((preemptions(&tape), last_tokens(&tape)), (vec![0, 1], vec![at(212), at(259)]));
}

#[test]
fn the_last_token_of_a_cached_prompt_is_computed() {
    // 64 tokens in 74 ms; then the last of 4 blocks in 26 ms; of 65 tokens just the last, like a
    // decode.
    let trace = prefixed(&[(0, 64, 1, 64), (1_000, 64, 1, 64), (2_000, 65, 1, 64)]);
    let tape = tape_of(&slow_prefill(100, 2), &trace);
    assert_eq!(cached(&tape), [0, 48, 64]);
    assert_eq!(last_tokens(&tape), [at(74), at(1_026), at(2_010)]);
}

#[test]
fn a_last_block_computed_again_is_a_spare() {
    // The second finds 3 of 4 blocks, computes the fourth into the empty one and keeps it as a
    // spare, without content. So the third, which needs all 5, evicts 4.
    let trace = prefixed(&[(0, 64, 1, 64), (1_000, 64, 1, 64), (2_000, 80, 1, 0)]);
    let (tape, record) = run(&engine(5, 1), &algorithm("round_robin"), &trace);
    assert_eq!(cached(&tape), [0, 48, 0]);
    assert_eq!(record.backends[0].evictions, 4);
    // Without an empty block it takes the cached fourth itself, evicts it and makes it anew.
    let trace = prefixed(&[(0, 64, 1, 64), (1_000, 64, 1, 64), (2_000, 64, 1, 0)]);
    let (tape, record) = run(&engine(4, 1), &algorithm("round_robin"), &trace);
    assert_eq!(cached(&tape), [0, 48, 0]);
    assert_eq!(record.backends[0].evictions, 5);
}

#[test]
fn hits_that_nobody_holds_count_as_blocks_to_take() {
    // The second holds 2 of 6 blocks from 1,000 to 1,100. The third finds its 4 in the list and
    // needs one more, so it needs 5 of the 4 in the list.
    let trace = prefixed(&[(0, 64, 1, 64), (1_000, 20, 10, 0), (1_005, 80, 1, 64)]);
    let tape = tape_of(&engine(6, 1), &trace);
    assert_eq!(cached(&tape), [0, 0, 64]);
    assert_eq!(tape.outcomes[2].scheduled, at(1_100));
    assert_eq!(last_tokens(&tape), [at(10), at(1_100), at(1_110)]);
}

#[test]
fn a_preemption_unblocks_the_queue_as_an_end_does() {
    // The third waits as the batch of 2 is full. The second prefills the same 2 blocks as the first
    // at once, so it keeps a spare. For step 18, composed at 170, it gives way; but as it needs no
    // spare now, what it left is enough for step 19. It ends with step 21 at 210; then the third
    // runs.
    let pair = ClusterSpec { max_batch_size: 2, ..engine(6, 1) };
    let trace = prefixed(&[(0, 32, 25, 32), (0, 32, 20, 32), (0, 16, 1, 0)]);
    let tape = tape_of(&pair, &trace);
    assert_eq!(preemptions(&tape), [0, 1, 0]);
    assert_eq!(last_tokens(&tape), [at(250), at(210), at(220)]);
}

#[test]
fn a_block_that_fills_up_unblocks_who_shares_it() {
    // Chunks of 8. The first takes a block in step 1 and fills it in step 2. The second needs 4
    // blocks at 0, when 3 are left; at 10 it shares the full one and needs 3. Its other 48 tokens take
    // the steps 2 to 7.
    let chunks = ClusterSpec { long_prefill_tokens: Some(8), ..engine(4, 1) };
    let trace = prefixed(&[(0, 16, 3, 16), (0, 64, 1, 16)]);
    let tape = tape_of(&chunks, &trace);
    assert_eq!((tape.outcomes[1].scheduled, cached(&tape)), (at(10), vec![0, 16]));
    assert_eq!(last_tokens(&tape), [at(40), at(70)]);
}

#[test]
fn a_chain_is_evicted_from_its_deepest_segment() {
    // The second takes one empty block and the leaf of the first, so the root that the third shares
    // is all there. The third takes 2 blocks of the second.
    let trace =
        chained(&[(0, 64, 1, &[0, 1, 2, 3]), (1_000, 48, 1, &[]), (2_000, 64, 1, &[0, 1, 4, 5])]);
    let (tape, record) = run(&engine(5, 1), &algorithm("round_robin"), &trace);
    assert_eq!(cached(&tape), [0, 0, 32]);
    assert_eq!(record.backends[0].evictions, 4);
}

#[test]
fn a_stride_takes_the_sum_of_its_steps() {
    // Step s > 1 decodes on 15 + s tokens, its own included: 25 + s ms at a millisecond a token.
    // 10 + Σ (25 + s) over the steps 2 to 20 = 10 + 475 + 209.
    let step = StepSpec::Linear(LinearModel { context_token_ms: 1.0, ..STEP_10MS });
    for depth in [1, 2] {
        let spec = ClusterSpec { step: step.clone(), ..engine(100, depth) };
        let tape = tape_of(&spec, &plain(&[(0, 16, 20)]));
        assert_eq!(last_tokens(&tape), [at(694)]);
        let gaps: Vec<u64> = tape.gaps.iter().map(|(_, gap)| gap.as_ps() / PS_PER_MS).collect();
        assert_eq!(gaps, (27..=45).collect::<Vec<u64>>());
    }
}

#[test]
fn the_longest_context_counts_while_it_decodes() {
    // Step s decodes on 31 + s tokens of the second up to its tenth, then on 15 + s of the first:
    // 10 + Σ (41 + s) over the steps 2 to 10 = 433, and Σ (25 + s) over 11 to 20 = 405.
    let step = StepSpec::Linear(LinearModel { longest_context_token_ms: 1.0, ..STEP_10MS });
    for depth in [1, 2] {
        let spec = ClusterSpec { step: step.clone(), ..engine(100, depth) };
        let tape = tape_of(&spec, &plain(&[(0, 16, 20), (0, 32, 10)]));
        assert_eq!(last_tokens(&tape), [at(838), at(433)]);
    }
}

#[test]
fn an_arrival_at_the_end_of_a_step_joins_the_one_composed_then() {
    // Step 500 ends at 5,000. One deep, step 501 is composed then; two deep, step 502.
    let trace = plain(&[(0, 16, 1_000), (5_000, 16, 1)]);
    assert_eq!(last_tokens(&tape_of(&engine(100, 1), &trace)), [at(10_000), at(5_010)]);
    assert_eq!(last_tokens(&tape_of(&engine(100, 2), &trace)), [at(10_000), at(5_020)]);
}

#[test]
fn a_stride_that_ends_at_an_arrival_has_not_ended_for_it() {
    // One runs, one may wait. The first ends at 5,000: the third comes at that instant, before the
    // end, and finds the second still waiting. The fourth finds it running, until 5,020.
    let narrow = ClusterSpec { max_batch_size: 1, max_queue_depth: 1, ..engine(100, 1) };
    let trace = plain(&[(0, 16, 500), (1_000, 16, 2), (5_000, 16, 1), (5_001, 16, 1)]);
    for name in ["round_robin", "least_outstanding"] {
        let (tape, _) = run(&narrow, &algorithm(name), &trace);
        assert!(matches!(tape.outcomes[2].outcome, Outcome::Rejected(_)), "{name}");
        assert_eq!(last_tokens(&tape), [at(5_000), at(5_020), None, at(5_030)], "{name}");
    }
}

#[test]
fn what_a_preempted_request_left_is_found_again_as_far_as_it_is_there() {
    // As above, step s ends at 32 + 10 s and the second gives way for step 18 with 2 full blocks.
    // For step 34 the first evicts the deep one. It has its 40th token at 432, with 3 full blocks.
    // The second finds one of its own and computes 17 tokens in 27 ms; it takes the block that the
    // first left empty and evicts one of its full ones. At its end its own 2 full blocks are of no
    // use to anybody, but they are evicted like others: the third takes all 5, 4 of them full. The
    // fourth waits for it and evicts one more.
    let trace = plain(&[(0, 16, 40), (0, 16, 20), (1_000, 80, 1), (1_000, 16, 1)]);
    let (tape, record) = run(&slow_prefill(5, 1), &algorithm("round_robin"), &trace);
    assert_eq!(preemptions(&tape), [0, 1, 0, 0]);
    assert_eq!(last_tokens(&tape), [at(432), at(479), at(1_090), at(1_116)]);
    assert_eq!(record.backends[0].evictions, 1 + 1 + 4 + 1);
}

#[test]
fn an_idle_backend_composes_two_steps_at_one_instant() {
    // The second and the third come to an idle backend and share step 2; step 3 is composed at
    // 1,000 as well. So the fourth, a millisecond later, waits for the end of step 2 and runs
    // in step 4.
    let trace = plain(&[(0, 16, 1), (1_000, 16, 3), (1_000, 16, 2), (1_001, 16, 1)]);
    let (tape, record) = run(&engine(100, 2), &algorithm("round_robin"), &trace);
    assert_eq!(last_tokens(&tape), [at(10), at(1_030), at(1_020), at(1_030)]);
    assert_eq!(record.backends[0].steps, 4);
}

#[test]
fn several_finishers_of_a_step_are_freed_in_the_order_of_admission() {
    // Two prompts of 2 blocks end with the same step. The third takes the empty block and the 2 that
    // were given back first, the first's. The fourth still finds the second's, as far as it may.
    let trace = chained(&[
        (0, 32, 1, &[0, 1]),
        (0, 32, 1, &[2, 3]),
        (1_000, 48, 1, &[]),
        (2_000, 32, 1, &[2, 3]),
        (3_000, 32, 1, &[0, 1]),
    ]);
    for depth in [1, 2] {
        assert_eq!(cached(&tape_of(&engine(5, depth), &trace)), [0, 0, 0, 16, 0]);
    }
}

#[test]
fn a_prefill_backend_may_preempt_what_it_has_done() {
    // Step 1 computes 32 of the first's 64 tokens and all of the others, which fills the 4 blocks.
    // Step 2, composed at 0 too, needs 2 more: both others give way with their first token in
    // flight, and have no blocks to keep. Their KV is sent on at 10 all the same, arrives at 15,
    // and the second token comes with a step of the decode backend.
    //
    // No block is given back that was not held: at 1,000 the same happens to the fifth.
    let split = split(ClusterSpec { long_prefill_tokens: Some(32), ..engine(4, 2) });
    let trace = plain(&[(0, 64, 1), (0, 16, 2), (0, 16, 2), (1_000, 64, 1), (1_000, 16, 1)]);
    for name in ["round_robin", "least_outstanding", "prefix_aware"] {
        let (tape, record) = run(&split, &algorithm(name), &trace);
        assert_eq!(preemptions(&tape), [0, 1, 1, 0, 1], "{name}");
        assert_eq!(tape.outcomes[1].first_token, at(10), "{name}");
        let last = [at(20), at(25), at(25), at(1_020), at(1_010)];
        assert_eq!(last_tokens(&tape), last, "{name}");
        let steps: Vec<u64> = record.backends.iter().map(|backend| backend.steps).collect();
        assert_eq!(steps, [4, 1], "{name}");
    }
}

#[test]
fn kv_that_has_been_sent_on_makes_room_at_once() {
    // The first leaves 3 of 4 blocks on the prefill backend until its KV has arrived at 15. The second
    // needs 2 and is prefilled from then to 25; its second token comes 15 later.
    let split = split(engine(4, 1));
    let tape = tape_of(&split, &plain(&[(0, 48, 2), (1, 32, 2)]));
    assert_eq!(tape.outcomes[1].scheduled, at(15));
    assert_eq!(last_tokens(&tape), [at(25), at(40)]);
}

#[test]
fn delivered_kv_shares_what_the_decode_backend_has() {
    // The first decodes on 5 of 6 blocks from 15 to 175. The second's KV arrives at 115, as a step
    // ends. It needs 5 blocks with its next token too, but 4 are those of the first: it has that
    // token at 125. Its hit is that of the prefill backend, where the last block is computed.
    let split = split(engine(6, 1));
    let trace = prefixed(&[(0, 64, 17, 64), (100, 64, 2, 64)]);
    let tape = tape_of(&split, &trace);
    assert_eq!(last_tokens(&tape), [at(175), at(125)]);
    assert_eq!(cached(&tape), [0, 48]);
}

#[test]
fn evictions_and_busy_time_count_from_inside_a_stride() {
    // The first leaves 5 full blocks. The second evicts them for its steps 1, 2, 18, 34 and 50;
    // step 18 is composed at 270. It ends at 740.
    let trace = plain(&[(0, 80, 1), (100, 16, 64)]);
    for (from_ms, evictions) in [(269, 3), (270, 3), (271, 2)] {
        let from = SimTime::from_ps(from_ms * PS_PER_MS);
        let window = Window { first: RequestId(1), from, to: SimTime::from_ps(PS_PER_MS * 500) };
        let spec = engine(5, 1);
        let (tape, record) = run_fleet(&spec.fleet(), &algorithm("round_robin"), &trace, window);
        let backend = record.backends[0];
        assert_eq!(tape.outcomes[1].last_token, at(740));
        assert_eq!(backend.evictions, evictions, "from {from_ms} ms");
        assert_eq!(backend.busy, SimDuration::from_ps((740 - from_ms) * PS_PER_MS));
        // One request is there for the whole of the window.
        assert_eq!(backend.load_ps, u128::from((500 - from_ms) * PS_PER_MS));
    }
}

#[test]
fn requests_that_come_during_the_first_launch_join_the_second_step() {
    // The loop is blocked until 100, so step 2 is composed then and not at 0: the second runs in it,
    // from 110 to 120, beside the first's second token.
    let step = StepSpec::Linear(LinearModel { first_launch_ms: 100.0, ..STEP_10MS });
    for depth in [1, 2] {
        let spec = ClusterSpec { step: step.clone(), ..engine(100, depth) };
        let tape = tape_of(&spec, &plain(&[(0, 16, 5), (50, 16, 1)]));
        assert_eq!(tape.outcomes[0].first_token, at(110));
        assert_eq!(last_tokens(&tape), [at(150), at(120)]);
    }
}

#[test]
fn an_eviction_by_the_last_step_composed_before_an_end_is_seen() {
    // The first leaves its full block on backend 1. From 20 on the third and the fifth run there in a
    // block each, from the steps 1 to 10 and 1 to 12, and step s ends at 20 + 10 s. The fifth has 17
    // tokens with step 11. That is composed as step 9 ends, at 110, 10 ms before the third is done,
    // and evicts the block. So at 115 backend 1 has nothing for the last, and backend 0, which had
    // the small ones, is idle.
    let two = ClusterSpec { num_backends: 2, ..engine(3, 2) };
    let small = |ms| (ms, 5, 1, 0);
    let (third, fifth, last) = ((20, 6, 10, 0), (20, 7, 12, 0), (115, 17, 1, 16));
    let trace = prefixed(&[(0, 17, 1, 16), small(20), third, small(20), fifth, small(60), last]);
    for name in ["prefix_aware", "prefix_overlap"] {
        let (tape, record) = run(&two, &algorithm(name), &trace);
        assert_eq!(tape.outcomes.last().unwrap().backend, Some(BackendId(0)), "{name}");
        assert_eq!(last_tokens(&tape)[2..], [at(120), at(30), at(140), at(70), at(125)], "{name}");
        assert_eq!(record.backends[1].evictions, 1, "{name}");
    }
}
