//! Requests and engines that are cut short, worked by hand, on both engines.
//!
//! A step takes 10 ms whatever it computes and blocks have 16 tokens. With two steps in flight,
//! steps 1 and 2 of requests that come at 0 are composed at 0, and step s ends at 10 s.

use std::sync::Arc;

use crate::cluster::{self, BackendSpec, ClusterSpec, HORIZON, Left, LinearModel, StepSpec, Work};
use crate::trace::{Segments, Trace};
use crate::units::{PS_PER_MS, RequestId, SimDuration, SimTime};
use crate::workload::Window;

use super::orders::work;
use super::stepper::{Engine, Said, Stepper};
use super::tests::{cluster, plain, prefixed};

/// A backend with so many usable blocks and steps in flight.
fn spec(blocks: u32, depth: u32) -> ClusterSpec {
    let step = LinearModel { step_ms: 10.0, ..LinearModel::default() };
    ClusterSpec {
        kv_cache_blocks: blocks + 1,
        async_scheduling: depth == 2,
        step: StepSpec::Linear(step),
        ..cluster(1)
    }
}

/// The fast engine alone, with all requests of a trace there at 0.
fn fast_backend(spec: &ClusterSpec, trace: &Trace) -> cluster::Backend {
    let spec: BackendSpec = spec.fleet().backends.remove(0);
    let segments = Arc::new(Segments::new(trace, spec.kv_block_size));
    let window = Window { first: RequestId(0), from: SimTime::ZERO, to: SimTime::MAX };
    let mut backend = cluster::Backend::new(&spec, Arc::clone(&segments), window);
    for id in trace.ids() {
        backend.enqueue(&work(trace, &segments, id, true), SimTime::ZERO).unwrap();
    }
    backend
}

/// Both engines with the requests of a trace, which go there when a test says so.
struct Pair {
    engines: [Box<dyn Engine>; 2],
    works: Vec<Work>,
    said: Said,
}

impl Pair {
    fn new(spec: &ClusterSpec, trace: &Trace) -> Self {
        let spec: BackendSpec = spec.fleet().backends.remove(0);
        let segments = Arc::new(Segments::new(trace, spec.kv_block_size));
        let window = Window { first: RequestId(0), from: SimTime::ZERO, to: SimTime::MAX };
        let fast = cluster::Backend::new(&spec, Arc::clone(&segments), window);
        let slow = Stepper::new(&spec, &segments, window, &[]);
        let works = trace.ids().map(|id| work(trace, &segments, id, true)).collect();
        let engines: [Box<dyn Engine>; 2] = [Box::new(fast), Box::new(slow)];
        Self { engines, works, said: Said::default() }
    }

    /// The same, with all requests of the trace there at 0.
    fn full(spec: &ClusterSpec, trace: &Trace) -> Self {
        let mut pair = Self::new(spec, trace);
        (0..trace.len()).for_each(|index| pair.enqueue(index, 0));
        pair
    }

    /// Does the same with both at an instant.
    fn at<T: PartialEq + std::fmt::Debug>(
        &mut self,
        ms: u64,
        mut act: impl FnMut(&mut dyn Engine, SimTime) -> T,
    ) -> T {
        let now = SimTime::from_ps(ms * PS_PER_MS);
        self.until(ms);
        let [fast, slow] = &mut self.engines;
        let answer = act(fast.as_mut(), now);
        assert_eq!(answer, act(slow.as_mut(), now));
        answer
    }

    /// Carries out all before an instant.
    fn until(&mut self, ms: u64) {
        let mut said = [Said::default(), Said::default()];
        for (engine, said) in self.engines.iter_mut().zip(&mut said) {
            engine.advance(SimTime::from_ps(ms * PS_PER_MS), said);
        }
        let [fast, slow] = said;
        assert_eq!(fast, slow);
        for (gap, tokens) in slow.gaps {
            *self.said.gaps.entry(gap).or_default() += tokens;
        }
        self.said.done.extend(slow.done);
        let seen = self.engines.each_ref().map(|engine| engine.seen(&[]));
        assert_eq!(seen[0], seen[1]);
    }

    fn enqueue(&mut self, index: usize, ms: u64) {
        let work = self.works[index];
        self.at(ms, |engine, now| engine.enqueue(&work, now)).unwrap();
    }

    fn cancel(&mut self, request: u32, ms: u64) -> Option<Left> {
        self.at(ms, |engine, now| engine.cancel(RequestId(request), now))
    }

    /// When who was done, in ms, once all is over.
    fn ended(&mut self) -> Vec<(u64, u32)> {
        self.until(1_000_000);
        let ms = |work: &Work| work.facts.last_token.get().unwrap().as_ps() / PS_PER_MS;
        self.said.done.iter().map(|work| (ms(work), work.request.0)).collect()
    }

    fn busy_ms(&self) -> f64 {
        let [fast, slow] = self.engines.each_ref().map(|engine| engine.stats());
        assert_eq!(fast, slow);
        fast.busy.as_ps() as f64 / PS_PER_MS as f64
    }
}

#[test]
fn who_is_cancelled_gets_no_token_of_the_step_in_flight_which_takes_its_time() {
    for depth in [1, 2] {
        let mut pair = Pair::full(&spec(100, depth), &plain(&[(0, 16, 50), (0, 16, 3)]));
        let left = pair.cancel(0, 15).unwrap();
        assert_eq!(
            (left.made_tokens, left.work.facts.first_token.get()),
            (1, left.work.facts.last_token.get())
        );
        assert_eq!(pair.ended(), [(30, 1)]);
        assert_eq!(pair.said.gaps[&SimDuration::from_ps(10 * PS_PER_MS)], 2, "none of the other");
        assert_eq!(pair.cancel(0, 1_000_000), None, "it is gone");
    }
}

#[test]
fn the_steps_in_flight_of_a_lone_request_run_out() {
    for (depth, busy_ms) in [(1, 20.0), (2, 30.0)] {
        let mut pair = Pair::full(&spec(100, depth), &plain(&[(0, 16, 50)]));
        pair.cancel(0, 15);
        pair.until(1_000);
        assert!((pair.busy_ms() - busy_ms).abs() < 1e-9, "{} ms", pair.busy_ms());
    }
}

#[test]
fn whoever_waits_for_blocks_gets_those_of_a_cancelled_request() {
    // Four blocks: 0 has two of them and takes a third for its tokens beyond 32, 1 needs three.
    for depth in [1, 2] {
        let mut pair = Pair::full(&spec(4, depth), &plain(&[(0, 31, 30), (0, 48, 1)]));
        let left = pair.cancel(0, 15).unwrap();
        assert_eq!(left.made_tokens, 1);
        // Composed when the step in flight ends, behind the one that is composed already.
        let end = if depth == 1 { 30 } else { 40 };
        assert_eq!(pair.ended(), [(end, 1)]);
    }
}

#[test]
fn a_cancelled_prefill_leaves_its_computed_blocks_cached() {
    // Chunks of 32 tokens; two steps are composed when 0 is cancelled at 5 ms.
    let spec = ClusterSpec { max_batch_tokens: 32, max_batch_size: 8, ..spec(100, 2) };
    let mut pair = Pair::new(&spec, &prefixed(&[(0, 128, 1, 128), (0, 128, 1, 128)]));
    pair.enqueue(0, 0);
    assert_eq!(pair.cancel(0, 5).unwrap().made_tokens, 0);
    pair.enqueue(1, 5);
    pair.ended();
    assert_eq!(pair.said.done[0].facts.cached_tokens, 64);
}

#[test]
fn who_waits_or_was_preempted_can_be_cancelled() {
    // Step 2 takes the only blocks of 2 and 3, which stand in the queue with their only token in
    // flight. 2 loses it, 3 gets it.
    let trace = plain(&[(0, 16, 10), (0, 16, 10), (0, 5, 1), (0, 5, 1), (0, 16, 1)]);
    let mut pair = Pair::full(&spec(4, 2), &trace);
    let left = pair.cancel(2, 5).unwrap();
    assert_eq!((left.work.facts.preemptions, left.made_tokens), (1, 0));
    let left = pair.cancel(4, 5).unwrap();
    assert_eq!((left.work.facts.scheduled.get(), left.made_tokens), (None, 0));
    assert_eq!(pair.ended(), [(10, 3), (100, 0), (100, 1)]);
}

#[test]
fn who_comes_after_a_cancelled_one_gets_none_of_its_tokens() {
    // Five blocks: at 160 ms both need a third for step 18, and 1 gives way with a token of step
    // 17 in flight. It is cancelled, and 2 comes before that step ends: it runs in step 19.
    let trace = plain(&[(0, 16, 40), (0, 16, 40), (0, 5, 1)]);
    let mut pair = Pair::new(&spec(5, 2), &trace);
    pair.enqueue(0, 0);
    pair.enqueue(1, 0);
    let left = pair.cancel(1, 165).unwrap();
    assert_eq!((left.work.facts.preemptions, left.made_tokens), (1, 16));
    pair.enqueue(2, 165);
    assert_eq!(pair.ended(), [(190, 2), (400, 0)]);
    let facts = pair.said.done[0].facts;
    assert_eq!(facts.first_token.get(), facts.last_token.get());
    // 15 gaps of the cancelled request and 39 of the other.
    assert_eq!(pair.said.gaps[&SimDuration::from_ps(10 * PS_PER_MS)], 15 + 39);
}

#[test]
fn who_has_its_last_step_in_flight_can_be_cancelled() {
    for depth in [1, 2] {
        let mut pair = Pair::full(&spec(100, depth), &plain(&[(0, 16, 2), (0, 16, 3)]));
        assert_eq!(pair.cancel(0, 15).unwrap().made_tokens, 1);
        assert_eq!(pair.ended(), [(30, 1)]);
    }
}

#[test]
fn a_parked_request_that_is_cancelled_makes_room() {
    // 0 is parked at 10 ms with all blocks; 1 waits for them.
    let mut pair = Pair::new(&spec(2, 1), &plain(&[(0, 32, 2), (0, 32, 1)]));
    pair.works[0].prefill_only = true;
    pair.enqueue(0, 0);
    pair.enqueue(1, 0);
    pair.until(50);
    assert_eq!(pair.said.done.len(), 1);
    assert_eq!(pair.cancel(0, 50).unwrap().made_tokens, 1);
    assert_eq!(pair.ended(), [(10, 0), (60, 1)]);
}

#[test]
fn an_interruption_loses_what_is_in_flight_and_hands_back_everybody_in_order() {
    // Two run, one is parked, two wait. At 25 ms 0 has two tokens and its third is in flight.
    let narrow = ClusterSpec { max_batch_size: 2, ..spec(100, 1) };
    let trace = plain(&[(0, 16, 2), (0, 16, 9), (0, 16, 9), (0, 16, 9), (0, 16, 9)]);
    let mut pair = Pair::new(&narrow, &trace);
    pair.works[0].prefill_only = true;
    (0..5).for_each(|index| pair.enqueue(index, 0));
    let lost = pair.at(25, |engine, now| engine.interrupt(now));
    let lost: Vec<_> = lost.iter().map(|left| (left.work.request.0, left.made_tokens)).collect();
    assert_eq!(lost, [(1, 2), (2, 1), (3, 0), (4, 0), (0, 1)]);
    assert!((pair.busy_ms() - 25.0).abs() < 1e-9, "busy up to the interruption");
    assert_eq!(pair.ended(), [(10, 0)], "nothing comes of what was in flight");
}

#[test]
fn an_interrupted_engine_starts_again_with_an_empty_cache_and_a_first_launch() {
    // A first launch blocks the loop for 30 ms.
    let step = LinearModel { step_ms: 10.0, first_launch_ms: 30.0, ..LinearModel::default() };
    for depth in [1, 2] {
        let spec = ClusterSpec { step: StepSpec::Linear(step), ..spec(100, depth) };
        let mut pair = Pair::new(&spec, &prefixed(&[(0, 64, 1, 64); 4]));
        pair.enqueue(0, 0);
        pair.enqueue(1, 100);
        assert_eq!(pair.at(200, |engine, now| engine.interrupt(now)), []);
        pair.enqueue(2, 200);
        // This one strikes before the first step has begun: the engine was never busy.
        assert_eq!(pair.at(220, |engine, now| engine.interrupt(now)).len(), 1);
        pair.enqueue(3, 300);
        assert_eq!(pair.ended(), [(40, 0), (110, 1), (340, 3)]);
        let cached: Vec<u32> = pair.said.done.iter().map(|work| work.facts.cached_tokens).collect();
        assert_eq!(cached, [0, 48, 0]);
        assert!((pair.busy_ms() - 30.0).abs() < 1e-9, "{} ms", pair.busy_ms());
    }
}

#[test]
fn whoever_drives_a_backend_that_is_far_too_slow_comes_to_an_end() {
    // A thousand seconds a step: the second request would be done after 230 days.
    let step = LinearModel { step_ms: 1e6, ..LinearModel::default() };
    for depth in [1, 2] {
        let spec = ClusterSpec { step: StepSpec::Linear(step), ..spec(10_000, depth) };
        let mut backend = fast_backend(&spec, &plain(&[(0, 16, 10), (0, 16, 20_000)]));
        let mut said = Said::default();
        let mut last = SimTime::ZERO;
        while backend.next_change(false) != SimTime::MAX {
            last = backend.next_change(false);
            backend.end_step_at(last, &mut said);
            backend.advance(last + SimDuration::from_ps(1), &mut said);
        }
        assert_eq!((last, said.done.len()), (SimTime::from_ps(10_000_000 * PS_PER_MS), 1));
        while backend.next_event() != SimTime::MAX {
            backend.end_step_at(backend.next_event(), &mut said);
        }
        assert!(backend.is_cut_off());
        assert_eq!(backend.ended_at(), HORIZON, "a step ends every thousand seconds");
        backend.end_step_at(HORIZON + SimDuration::from_ps(1_000_000 * PS_PER_MS), &mut said);
        backend.advance(SimTime::MAX, &mut said);
        assert_eq!((backend.ended_at(), said.done.len()), (HORIZON, 1), "no step ends beyond");
    }
}
