//! Fleets whose backends differ, worked by hand. A step takes 10 ms, whatever it computes.

use crate::cluster::StepSpec;
use crate::cluster::{BlockSizesDiffer, ClusterSpec, DisaggregatedSpec, FleetSpec, LinearModel};
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

#[test]
fn what_fits_no_backend_that_decodes_is_not_prefilled() {
    let split = DisaggregatedSpec {
        prefill_backends: 1,
        decode_backends: 2,
        kv_transfer_latency: SimDuration::ZERO,
        kv_transfer_bandwidth_gb_s: 1e9,
        kv_bytes_per_token: 0,
    };
    let makes = [make(10.0, 1), make(10.0, 1), make(10.0, 2)];
    let fleet = FleetSpec { disaggregated: Some(split), ..fleet(&makes) };
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

#[test]
fn blocks_of_different_sizes_are_refused() {
    let makes = [make(10.0, 100), ClusterSpec { kv_block_size: 32, ..make(10.0, 100) }];
    let trace = plain(&[(0, 16, 1)]);
    let sim =
        engine::Sim::of_fleet(&fleet(&makes), &algorithm("round_robin"), &trace, whole(&trace), 1);
    let error = sim.err().unwrap();
    let differ = BlockSizesDiffer { first: 16, backend: 1, other: 32 };
    assert_eq!(error, SimError::BlockSizesDiffer(differ));
    assert_eq!(
        error.to_string(),
        "backend 0 has kv_block_size = 16 and backend 1 has 32: a fleet needs one size"
    );
}
