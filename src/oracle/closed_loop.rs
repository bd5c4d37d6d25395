//! Requests that come because others are done, at the same instant or later, on either engine.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::cluster::{self, BackendSpec, BackendStats, ClusterSpec, LinearModel, StepSpec, Work};
use crate::trace::{Segments, Trace};
use crate::units::{PS_PER_MS, RequestId, SimDuration, SimTime};
use crate::workload::Window;

use super::orders::work;
use super::scenarios::{cases, make, workload};
use super::stepper::{Engine, Said, Stepper};
use super::tests::{cluster, plain};

/// A request that comes `think` after `after` is done, or at its own time; and where it goes.
#[derive(Clone, Copy, Debug)]
struct Turn {
    after: Option<usize>,
    think: SimDuration,
    to: usize,
}

/// Backends of one engine, and the requests to come, by time and number.
struct Loop<'a> {
    backends: Vec<Box<dyn Engine>>,
    works: &'a [Work],
    turns: &'a [Turn],
    to_come: BinaryHeap<Reverse<(SimTime, usize)>>,
    said: Said,
    done: Vec<Work>,
    refused: Vec<RequestId>,
}

impl<'a> Loop<'a> {
    fn new(backends: Vec<Box<dyn Engine>>, works: &'a [Work], turns: &'a [Turn]) -> Self {
        let first = (0..turns.len()).filter(|index| turns[*index].after.is_none());
        let to_come = first.map(|index| Reverse((works[index].arrival, index))).collect();
        let (said, done, refused) = (Said::default(), Vec::new(), Vec::new());
        Self { backends, works, turns, to_come, said, done, refused }
    }

    /// Runs until nothing is to come, instant by instant: arrivals, then steps that end with the
    /// arrivals that they cause, then idle backends that start.
    fn run(&mut self) {
        loop {
            let next = self.backends.iter_mut().map(|backend| backend.next()).min();
            let now = next.unwrap().min(self.next_arrival());
            if now == SimTime::MAX {
                break;
            }
            self.arrivals(now);
            for index in 0..self.backends.len() {
                self.backends[index].end_step_at(now, &mut self.said);
                self.answer(now);
                self.arrivals(now);
            }
            for backend in &mut self.backends {
                backend.advance_through(now, &mut self.said);
            }
            assert!(self.said.done.is_empty(), "an idle backend that starts ends nothing");
        }
    }

    fn next_arrival(&self) -> SimTime {
        self.to_come.peek().map_or(SimTime::MAX, |Reverse((at, _))| *at)
    }

    fn arrivals(&mut self, now: SimTime) {
        while self.next_arrival() == now {
            let Reverse((_, index)) = self.to_come.pop().unwrap();
            let backend = &mut self.backends[self.turns[index].to];
            backend.advance(now, &mut self.said);
            let work = Work { arrival: now, ..self.works[index] };
            if backend.enqueue(&work, now).is_err() {
                self.refused.push(work.request);
            }
        }
    }

    /// Lets come what waited for those that are done.
    fn answer(&mut self, now: SimTime) {
        for work in std::mem::take(&mut self.said.done) {
            for (index, turn) in self.turns.iter().enumerate() {
                if turn.after == Some(work.request.index()) {
                    self.to_come.push(Reverse((now + turn.think, index)));
                }
            }
            self.done.push(work);
        }
    }

    fn facts(mut self) -> (Vec<Work>, Vec<RequestId>, Said, Vec<BackendStats>) {
        self.run();
        let stats = self.backends.iter().map(|backend| backend.stats()).collect();
        (self.done, self.refused, self.said, stats)
    }
}

/// Runs both engines, which must agree. Returns who was done, in order.
fn run(specs: &[BackendSpec], trace: &Trace, turns: &[Turn]) -> Vec<Work> {
    let segments = Arc::new(Segments::new(trace, specs[0].kv_block_size));
    let window = Window { first: RequestId(0), from: SimTime::ZERO, to: SimTime::MAX };
    let works: Vec<Work> = trace.ids().map(|id| work(trace, &segments, id, true)).collect();
    let fast = |spec| {
        Box::new(cluster::Backend::new(spec, Arc::clone(&segments), window)) as Box<dyn Engine>
    };
    let slow = |spec| Box::new(Stepper::new(spec, &segments, window, &[])) as Box<dyn Engine>;
    let fast = Loop::new(specs.iter().map(fast).collect(), &works, turns).facts();
    let slow = Loop::new(specs.iter().map(slow).collect(), &works, turns).facts();
    assert_eq!(fast, slow);
    fast.0
}

/// A backend whose steps take so long, one at a time.
fn engine(step_ms: f64) -> BackendSpec {
    let step = StepSpec::Linear(LinearModel { step_ms, ..LinearModel::default() });
    let spec = ClusterSpec { step, async_scheduling: false, ..cluster(1) };
    spec.fleet().backends.remove(0)
}

const FIRST: Turn = Turn { after: None, think: SimDuration::ZERO, to: 0 };

fn answer(after: usize, to: usize) -> Turn {
    Turn { after: Some(after), to, ..FIRST }
}

/// When requests arrived, were scheduled and had their last token, in ms, by request.
fn times(done: &[Work]) -> Vec<(u64, u64, u64)> {
    let ms = |at: SimTime| at.as_ps() / PS_PER_MS;
    let mut done = done.to_vec();
    done.sort_by_key(|work| work.request);
    let of = |work: &Work| {
        let facts = work.facts;
        (ms(work.arrival), ms(facts.scheduled.get().unwrap()), ms(facts.last_token.get().unwrap()))
    };
    done.iter().map(of).collect()
}

#[test]
fn an_answer_to_the_last_of_a_backend_runs_there_at_once() {
    let done = run(&[engine(10.0)], &plain(&[(0, 16, 2), (0, 16, 1)]), &[FIRST, answer(0, 0)]);
    assert_eq!(times(&done), [(0, 0, 20), (20, 20, 30)]);
}

#[test]
fn an_answer_does_not_join_the_step_that_its_cause_makes_way_for() {
    // 1 runs on beside 0: its next step is composed at 20 ms before anyone hears of 0's end.
    let turns = [FIRST, FIRST, answer(0, 0)];
    let done = run(&[engine(10.0)], &plain(&[(0, 16, 2), (0, 16, 9), (0, 16, 1)]), &turns);
    assert_eq!(times(&done)[2], (20, 30, 40));
}

#[test]
fn an_answer_joins_the_step_that_another_backend_composes_at_that_instant() {
    // 0 ends on backend 0 at 20 ms, when a step of 1 ends on backend 1. Arrivals come first.
    let turns = [FIRST, Turn { to: 1, ..FIRST }, answer(0, 1)];
    let trace = plain(&[(0, 16, 2), (0, 16, 9), (0, 16, 1)]);
    let done = run(&[engine(10.0), engine(10.0)], &trace, &turns);
    assert_eq!(times(&done)[2], (20, 20, 30));
    // The other way round backend 0 has composed its step already: of one kind the lower id goes
    // first.
    let turns = [Turn { to: 1, ..FIRST }, FIRST, answer(0, 0)];
    let done = run(&[engine(10.0), engine(10.0)], &trace, &turns);
    assert_eq!(times(&done)[2], (20, 30, 40));
}

#[test]
fn an_idle_backend_starts_with_the_answers_to_what_ends_elsewhere_then() {
    // At 20 ms 1 arrives at the idle backend 0, and 2 because 0 ends on backend 1: one step.
    let turns = [Turn { to: 1, ..FIRST }, FIRST, answer(0, 0)];
    let trace = plain(&[(0, 16, 2), (20, 16, 1), (20, 16, 1)]);
    let done = run(&[engine(10.0), engine(10.0)], &trace, &turns);
    assert_eq!(times(&done)[1..], [(20, 20, 30), (20, 20, 30)]);
}

#[test]
fn answers_to_answers_come_at_their_instants() {
    // A chain between two backends of 10 and 15 ms a step.
    let turns = [FIRST, answer(0, 1), answer(1, 0), answer(2, 1)];
    let done = run(&[engine(10.0), engine(15.0)], &plain(&[(0, 16, 1); 4]), &turns);
    assert_eq!(times(&done), [(0, 0, 10), (10, 10, 25), (25, 25, 35), (35, 35, 50)]);
}

fn turn() -> impl Strategy<Value = (bool, u32, u64, usize)> {
    let think = prop_oneof![2 => Just(0_u64), 1 => (0..20_u64).prop_map(|step| step * 10)];
    (any::<bool>(), any::<u32>(), think, 0..3_usize)
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn both_engines_agree_in_closed_loops(
        specs in proptest::collection::vec(make(), 1..4),
        trace in workload(),
        drawn in proptest::collection::vec(turn(), 40),
    ) {
        let turn = |(index, (first, after, think, to)): (usize, &(bool, u32, u64, usize))| Turn {
            after: (!*first && index > 0).then(|| *after as usize % index.max(1)),
            think: SimDuration::from_ps(think * PS_PER_MS),
            to: to % specs.len(),
        };
        let turns: Vec<Turn> = drawn.iter().take(trace.len()).enumerate().map(turn).collect();
        run(&specs, &trace, &turns);
    }
}
