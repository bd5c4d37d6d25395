//! What the backends are like at an instant: the engine, which carries them forward for it, and the
//! twin, which does one event after another, say the same.

use proptest::prelude::*;

use crate::cluster::{ClusterSpec, DisaggregatedSpec, FleetSpec, HORIZON, LinearModel, StepSpec};
use crate::engine::{self, BackendState, Limits, RequestRecord, RunRecord, Sink};
use crate::trace::Trace;
use crate::units::{PS_PER_MS, SimDuration, SimTime};

use super::scenarios::{Case, case, cases};
use super::sim::Sim;
use super::tests::{Heard, algorithm, cluster, plain, whole};

/// An instant and the states of the backends.
type Sample = (SimTime, Vec<BackendState>);

/// Looks every so often, and hears the rest too.
struct Looking {
    every: SimDuration,
    samples: Vec<Sample>,
    heard: Heard,
}

impl Sink for Looking {
    fn token_gaps(&mut self, gap: SimDuration, tokens: u64) {
        self.heard.token_gaps(gap, tokens);
    }

    fn outcome(&mut self, record: &RequestRecord) {
        self.heard.outcome(record);
    }

    fn next_sample(&self) -> SimTime {
        SimTime::from_ps(self.every.as_ps().saturating_mul(self.samples.len() as u64 + 1))
    }

    fn sample(&mut self, at: SimTime, backends: &[BackendState]) {
        self.samples.push((at, backends.to_vec()));
    }
}

/// What the engine shows, what it says with its outcomes in the order of requests, and its record.
fn look(case: &Case, every: SimDuration, limits: &Limits<'_>) -> (Vec<Sample>, Heard, RunRecord) {
    let Case { fleet, algorithm, trace, window } = case;
    let mut looking = Looking { every, samples: Vec::new(), heard: Heard::default() };
    let sim = engine::Sim::of_fleet(fleet, algorithm, trace, *window, 42).unwrap();
    let record = sim.run_within(limits, &mut looking).unwrap();
    let Looking { samples, mut heard, .. } = looking;
    heard.outcomes.sort_by_key(|outcome| outcome.request);
    (samples, heard, record)
}

/// What the engine says when nobody looks.
fn unseen(case: &Case) -> (Heard, RunRecord) {
    let Case { fleet, algorithm, trace, window } = case;
    let mut heard = Heard::default();
    let sim = engine::Sim::of_fleet(fleet, algorithm, trace, *window, 42).unwrap();
    let record = sim.run(&mut heard).unwrap();
    heard.outcomes.sort_by_key(|outcome| outcome.request);
    (heard, record)
}

/// What the twin is like after the last event before each instant, up to its last event.
fn twin(case: &Case, every: SimDuration) -> Vec<Sample> {
    let Case { fleet, algorithm, trace, window } = case;
    let sim = Sim::new(fleet, algorithm, trace, *window, 42);
    let mut samples: Vec<Sample> = Vec::new();
    let mut before = sim.states();
    let next = |samples: &[Sample]| SimTime::from_ps(every.as_ps() * (samples.len() as u64 + 1));
    let watched = sim.run(|sim| {
        while next(&samples) <= sim.now() {
            samples.push((next(&samples), before.clone()));
        }
        before = sim.states();
    });
    watched.unwrap();
    samples
}

proptest! {
    #![proptest_config(cases(3_000))]

    #[test]
    fn both_engines_show_the_same_at_every_instant_and_looking_changes_nothing(
        case in case(),
        every in prop_oneof![
            // Many of them meet the ends of steps, which take whole milliseconds in many cases.
            (1..400_u64).prop_map(|ms| ms * PS_PER_MS),
            (1..40_u64).prop_map(|steps| steps * 10 * PS_PER_MS),
            PS_PER_MS..2_000 * PS_PER_MS,
        ],
        watched in any::<bool>(),
    ) {
        let every = SimDuration::from_ps(every);
        let goes_on: &dyn Fn() -> bool = &|| true;
        let limits = Limits { goes_on: watched.then_some(goes_on), ..Limits::default() };
        let (samples, heard, record) = look(&case, every, &limits);
        let (heard_unseen, record_unseen) = unseen(&case);
        prop_assert_eq!(heard, heard_unseen);
        prop_assert_eq!(&record, &record_unseen);
        let slow = twin(&case, every);
        prop_assert_eq!(samples.len() as u64, record.end.as_ps() / every.as_ps());
        for (own, other) in samples.iter().zip(&slow) {
            prop_assert_eq!(own, other);
        }
        prop_assert_eq!(samples.len(), slow.len());
    }
}

/// A step takes 10 ms whatever it computes, one is in flight, and one request runs at a time.
fn one_by_one() -> ClusterSpec {
    let step = LinearModel { step_ms: 10.0, ..LinearModel::default() };
    ClusterSpec {
        step: StepSpec::Linear(step),
        kv_cache_blocks: 101,
        max_batch_size: 1,
        async_scheduling: false,
        ..cluster(1)
    }
}

fn shown(fleet: FleetSpec, trace: Trace, every_ms: u64) -> Vec<Sample> {
    let (algorithm, window) = (algorithm("round_robin"), whole(&trace));
    let case = Case { fleet, algorithm, trace, window };
    let every = SimDuration::from_ps(every_ms * PS_PER_MS);
    let (samples, ..) = look(&case, every, &Limits::default());
    assert_eq!(samples, twin(&case, every));
    samples
}

/// Milliseconds, then waiting, running and outstanding requests and used blocks of a backend.
fn row((at, states): &Sample, backend: usize) -> (u64, [u32; 4]) {
    let BackendState { waiting, running, outstanding, used_blocks, blocks } = states[backend];
    assert_eq!(blocks, 100, "one of 101 is kept aside");
    (at.as_ps() / PS_PER_MS, [waiting, running, outstanding, used_blocks])
}

#[test]
fn an_instant_is_seen_before_what_happens_at_it() {
    // The first runs from 0 to 30 ms, three steps: 33 tokens and two that are computed after them
    // are three blocks. The second comes at 10 ms, waits, and runs from 30 to 40 ms: one block.
    let samples = shown(one_by_one().fleet(), plain(&[(0, 33, 3), (10, 16, 1)]), 5);
    let rows: Vec<_> = samples.iter().map(|sample| row(sample, 0)).collect();
    let expected = [
        (5, [0, 1, 1, 3]),
        (10, [0, 1, 1, 3]), // It arrives at 10.
        (15, [1, 1, 2, 3]),
        (20, [1, 1, 2, 3]),
        (25, [1, 1, 2, 3]),
        (30, [1, 1, 2, 3]), // The first ends at 30, and the second begins.
        (35, [0, 1, 1, 1]),
        (40, [0, 1, 1, 1]), // The run ends here.
    ];
    assert_eq!(rows, expected);
}

#[test]
fn a_run_that_waits_for_its_next_request_is_seen_idle() {
    let samples = shown(one_by_one().fleet(), plain(&[(0, 16, 1), (35, 16, 1)]), 10);
    let rows: Vec<_> = samples.iter().map(|sample| row(sample, 0)).collect();
    let (busy, idle) = ([0, 1, 1, 1], [0; 4]);
    assert_eq!(rows, [(10, busy), (20, idle), (30, idle), (40, busy)]);
}

#[test]
fn kv_that_is_sent_on_is_held_where_it_was_made_until_it_has_arrived() {
    let split = DisaggregatedSpec {
        prefill_backends: 1,
        decode_backends: 1,
        kv_transfer_latency: SimDuration::from_ps(20 * PS_PER_MS),
        kv_transfer_bandwidth_gb_s: 1e9,
        kv_bytes_per_token: 0,
    };
    let backends = [one_by_one(), one_by_one()].into_iter().flat_map(|own| own.fleet().backends);
    let fleet = FleetSpec { backends: backends.collect(), disaggregated: Some(split) };
    // The first token comes at 10 ms, the KV of 16 tokens arrives at 30 ms, and the second token,
    // for which one more is computed, comes at 40 ms.
    let samples = shown(fleet, plain(&[(0, 16, 2)]), 5);
    let rows: Vec<_> = samples.iter().map(|sample| (row(sample, 0), row(sample, 1).1)).collect();
    let (made, sent) = ([0, 1, 1, 1], [0, 0, 1, 1]);
    let expected = [
        ((5, made), [0; 4]),
        ((10, made), [0; 4]),
        ((15, sent), [0, 0, 1, 0]),
        ((20, sent), [0, 0, 1, 0]),
        ((25, sent), [0, 0, 1, 0]),
        ((30, sent), [0, 0, 1, 0]),
        ((35, [0; 4]), [0, 1, 1, 2]),
        ((40, [0; 4]), [0, 1, 1, 2]),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn backends_that_differ_are_seen_each_with_its_own_blocks() {
    let small = ClusterSpec { kv_cache_blocks: 5, ..one_by_one() };
    let backends = [one_by_one(), small].into_iter().flat_map(|own| own.fleet().backends).collect();
    let fleet = FleetSpec { backends, disaggregated: None };
    let samples = shown(fleet, plain(&[(0, 64, 1), (0, 33, 1)]), 5);
    let blocks: Vec<_> =
        samples[0].1.iter().map(|state| (state.used_blocks, state.blocks)).collect();
    assert_eq!(blocks, [(4, 100), (3, 4)]);
}

#[test]
fn a_sink_that_looks_beyond_all_time_sees_nothing() {
    let trace = plain(&[(0, 16, 1)]);
    let (fleet, window) = (one_by_one().fleet(), whole(&trace));
    let case = Case { fleet, algorithm: algorithm("round_robin"), trace, window };
    let every = HORIZON.since(SimTime::ZERO);
    assert!(look(&case, every, &Limits::default()).0.is_empty());
}
