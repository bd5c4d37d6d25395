//! Fleets whose backends differ, worked by hand. A step takes 10 ms, whatever it computes.

use crate::cluster::StepSpec;
use crate::cluster::{
    BackendError, BackendSpec, ClusterSpec, DisaggregatedSpec, FleetError, FleetSpec, LinearModel,
};
use crate::engine::{self, Outcome, SimError};
use crate::router::RejectReason;
use crate::trace::Trace;
use crate::units::{PS_PER_MS, SimDuration};

use super::sim::Tape;
use super::tests::{algorithm, cluster, plain, run_fleet, whole};

/// A backend whose steps take so many milliseconds, with so many usable blocks.
fn make(step_ms: f64, blocks: u32) -> ClusterSpec {
    let step = LinearModel { step_ms, ..LinearModel::default() };
    ClusterSpec { step: StepSpec::Linear(step), kv_cache_blocks: blocks + 1, ..cluster(1) }
}

fn fleet(makes: &[ClusterSpec]) -> FleetSpec {
    let backends = makes.iter().flat_map(|make| make.fleet().backends).collect();
    FleetSpec { backends, disaggregated: None }
}

fn serve(fleet: &FleetSpec, trace: &Trace) -> Tape {
    run_fleet(fleet, &algorithm("round_robin"), trace, whole(trace)).0
}

#[test]
fn each_backend_takes_its_own_time() {
    let trace = plain(&[(0, 16, 1), (0, 16, 1)]);
    let tape = serve(&fleet(&[make(10.0, 100), make(30.0, 100)]), &trace);
    let ends = [0, 1].map(|index: usize| tape.outcomes[index].last_token.unwrap().as_ps());
    assert_eq!(ends, [10 * PS_PER_MS, 30 * PS_PER_MS]);
}

#[test]
fn what_fits_on_one_backend_may_not_fit_on_another() {
    // 17 tokens and 15 that are computed after them fill two blocks.
    let trace = plain(&[(0, 17, 16), (0, 17, 16)]);
    let tape = serve(&fleet(&[make(10.0, 1), make(10.0, 2)]), &trace);
    let outcomes = [0, 1].map(|index: usize| tape.outcomes[index].outcome);
    assert_eq!(outcomes, [Outcome::Rejected(RejectReason::NeverFits), Outcome::Finished]);
}

#[test]
fn each_backend_has_its_own_queue_depth() {
    // One runs on each backend and one waits; the next find the first full and the second not.
    let narrow = ClusterSpec { max_batch_size: 1, max_queue_depth: 1, ..make(10.0, 100) };
    let deep = ClusterSpec { max_queue_depth: 2, ..narrow.clone() };
    let trace = plain(&[(0, 16, 9), (0, 16, 9), (1, 16, 1), (1, 16, 1), (1, 16, 1), (1, 16, 1)]);
    let fleet = fleet(&[narrow, deep]);
    let (tape, _) = run_fleet(&fleet, &algorithm("least_outstanding"), &trace, whole(&trace));
    let outcomes: Vec<Outcome> = tape.outcomes[3..].iter().map(|o| o.outcome).collect();
    let none = Outcome::Rejected(RejectReason::NoBackend);
    assert_eq!(outcomes, [Outcome::Finished, Outcome::Finished, none]);
}

/// So many backends of each kind, and KV that arrives at once.
fn split(prefill_backends: u32, decode_backends: u32) -> DisaggregatedSpec {
    DisaggregatedSpec {
        prefill_backends,
        decode_backends,
        kv_transfer_latency: SimDuration::ZERO,
        kv_transfer_bandwidth_gb_s: 1e9,
        kv_bytes_per_token: 0,
    }
}

#[test]
fn what_fits_no_backend_that_decodes_is_not_prefilled() {
    let makes = [make(10.0, 1), make(10.0, 1), make(10.0, 2)];
    let fleet = FleetSpec { disaggregated: Some(split(1, 2)), ..fleet(&makes) };
    // One block to prefill, and 1, 2 and 3 to decode. The second goes to the first of those that
    // decode, the only one in turn, and is too large for it.
    let trace = plain(&[(0, 16, 1), (0, 16, 2), (0, 16, 2), (0, 16, 18)]);
    let tape = serve(&fleet, &trace);
    let never = Outcome::Rejected(RejectReason::NeverFits);
    let outcomes: Vec<Outcome> = tape.outcomes.iter().map(|o| o.outcome).collect();
    assert_eq!(outcomes, [Outcome::Finished, never, Outcome::Finished, never]);
    let tokens = |index: usize| tape.outcomes[index].first_token.is_some();
    assert!(tokens(1) && !tokens(3), "only what fits nowhere is refused before it is prefilled");
}

/// Why a run on a fleet is refused.
fn refusal(fleet: &FleetSpec) -> FleetError {
    let trace = plain(&[(0, 16, 1)]);
    let sim = engine::Sim::of_fleet(fleet, &algorithm("round_robin"), &trace, whole(&trace), 1);
    match sim.err() {
        Some(SimError::Fleet(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn blocks_of_different_sizes_are_refused() {
    let makes = [make(10.0, 100), ClusterSpec { kv_block_size: 32, ..make(10.0, 100) }];
    let error = refusal(&fleet(&makes));
    assert_eq!(error, FleetError::BlockSizesDiffer { first: 16, backend: 1, other: 32 });
    assert_eq!(
        error.to_string(),
        "backend 0 has kv_block_size = 16 and backend 1 has 32: a fleet needs one size"
    );
}

#[test]
fn a_limit_that_nothing_gets_through_is_refused_and_its_backend_named() {
    let good = make(10.0, 100).fleet().backends.remove(0);
    let cases = [
        ("max_batch_size", 0, 1, BackendSpec { max_batch_size: 0, ..good.clone() }),
        ("long_prefill_tokens", 0, 1, BackendSpec { long_prefill_tokens: Some(0), ..good.clone() }),
        ("max_queue_depth", 0, 1, BackendSpec { max_queue_depth: 0, ..good.clone() }),
        ("kv_cache_blocks", 0, 2, BackendSpec { kv_cache_blocks: 0, ..good.clone() }),
        ("kv_cache_blocks", 1, 2, BackendSpec { kv_cache_blocks: 1, ..good.clone() }),
        ("kv_block_size", 0, 1, BackendSpec { kv_block_size: 0, ..good.clone() }),
    ];
    for (name, value, least, bad) in cases {
        let fleet = FleetSpec { backends: vec![good.clone(), bad], disaggregated: None };
        let error = BackendError::TooSmall { name, value, least };
        assert_eq!(refusal(&fleet), FleetError::Backend { backend: 1, error });
        let message = format!("backend 1: {name} is {value}, expected {least} or more");
        assert_eq!(refusal(&fleet).to_string(), message);
    }
}

#[test]
fn a_batch_that_does_not_fit_in_a_step_is_refused() {
    let tight = ClusterSpec { max_batch_size: 4, max_batch_tokens: 4, ..make(10.0, 100) };
    let trace = plain(&[(0, 1, 9), (0, 1, 9), (1, 16, 5), (30, 1, 5)]);
    let tape = serve(&fleet(std::slice::from_ref(&tight)), &trace);
    assert!(tape.outcomes.iter().all(|outcome| outcome.outcome == Outcome::Finished));
    let short = ClusterSpec { max_batch_tokens: 3, ..tight };
    assert_eq!(
        refusal(&fleet(&[short])).to_string(),
        "backend 0: max_batch_tokens is 3, expected no less than max_batch_size, which is 4"
    );
}

#[test]
fn a_fleet_of_nobody_is_refused() {
    assert_eq!(refusal(&fleet(&[])), FleetError::NoBackends);
}

#[test]
fn the_halves_of_a_disaggregated_fleet_must_be_all_of_it() {
    let pair = [make(10.0, 100), make(10.0, 100)];
    for (prefill, decode) in [(3, 2), (1, 2), (1, 0), (0, 2), (2, 0), (u32::MAX, 3)] {
        let fleet = FleetSpec { disaggregated: Some(split(prefill, decode)), ..fleet(&pair) };
        assert_eq!(refusal(&fleet), FleetError::Split { prefill, decode, backends: 2 });
    }
    let halves = FleetSpec { disaggregated: Some(split(1, 1)), ..fleet(&pair) };
    assert_eq!(halves.check(), Ok(()));
}
