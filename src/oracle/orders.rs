//! One backend of each engine under random orders from outside: requests, cancellations,
//! interruptions, releases, at any instant. After each order both must show the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::cluster::{self, BackendSpec, CacheChange, CacheEvent, Facts, Left, Work};
use crate::trace::{Path, SegmentId, Segments, Trace};
use crate::units::{PS_PER_MS, RequestId, SimDuration, SimTime};
use crate::workload::Window;

use super::scenarios::{block_size, cases, make, with_blocks_of, workload};
use super::stepper::{Engine, Said, Stepper};

/// What is done next; numbers choose among what is there.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// Time goes on.
    Wait(SimDuration),
    /// To an instant at which something happens: before it, through its step's end, or through
    /// all of it.
    ToNext(Reach),
    /// The next request of the workload.
    Enqueue(Kind),
    Release(usize),
    Cancel(usize),
    /// Whoever was there comes back at once, if `bool`.
    Interrupt(bool),
}

#[derive(Clone, Copy, Debug)]
enum Reach {
    Before,
    StepEnd,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Whole,
    /// To be parked with its first token.
    Prefill,
    /// Prefilled elsewhere.
    Decode,
}

fn order() -> impl Strategy<Value = Order> {
    let span = prop_oneof![0..60_u64, (0..20_u64).prop_map(|step| step * 10), 0..2_000_u64];
    let wait = span.prop_map(|ms| Order::Wait(SimDuration::from_ps(ms * PS_PER_MS)));
    let reach = prop_oneof![Just(Reach::Before), Just(Reach::StepEnd), Just(Reach::All)];
    let kind =
        prop_oneof![4 => Just(Kind::Whole), 1 => Just(Kind::Prefill), 1 => Just(Kind::Decode)];
    prop_oneof![
        3 => wait,
        6 => reach.prop_map(Order::ToNext),
        8 => kind.prop_map(Order::Enqueue),
        2 => any::<prop::sample::Index>().prop_map(|index| Order::Release(index.index(1_000))),
        5 => any::<prop::sample::Index>().prop_map(|index| Order::Cancel(index.index(1_000))),
        1 => any::<bool>().prop_map(Order::Interrupt),
    ]
}

/// Both engines, and what they said last.
struct Twins {
    fast: cluster::Backend,
    slow: Stepper,
    paths: Vec<Path>,
    segments: Arc<Segments>,
    /// What who hears all changes of the fast cache takes it for; `None` if nobody listens.
    view: Option<BTreeMap<SegmentId, u32>>,
    now: SimTime,
    parked: Vec<RequestId>,
    /// When the fast engine said that a request may be done, and that its cache may change: the
    /// latest since the last order from outside.
    bounds: [SimTime; 2],
    /// What the cache held of each path after the last event.
    cached: Vec<u32>,
    done: usize,
}

impl Twins {
    fn new(spec: &BackendSpec, trace: &Trace, window: Window, listens: bool) -> Self {
        let segments = Arc::new(Segments::new(trace, spec.kv_block_size));
        let paths: Vec<Path> =
            trace.ids().map(|id| segments.path_of(&trace.chain(id), id)).collect();
        let mut fast = cluster::Backend::new(spec, Arc::clone(&segments), window);
        if listens {
            fast.listen_to_cache();
        }
        let slow = Stepper::new(spec, &segments, window, &paths);
        let view = listens.then(BTreeMap::new);
        let cached = vec![0; paths.len()];
        Self {
            fast,
            slow,
            paths,
            segments,
            view,
            now: SimTime::ZERO,
            parked: Vec::new(),
            bounds: [SimTime::MAX; 2],
            cached,
            done: 0,
        }
    }

    /// Moves both engines in the same way.
    fn go(&mut self, mut go: impl FnMut(&mut dyn Engine, &mut Said)) {
        let (mut fast, mut slow) = (Said::default(), Said::default());
        go(&mut self.fast, &mut fast);
        go(&mut self.slow, &mut slow);
        assert_eq!(fast, slow);
        for work in &slow.done {
            let (at, bound) = (work.facts.last_token.get().unwrap(), self.bounds[0]);
            assert!(at >= bound, "done at {at}, and not before {bound} it was said: {work:?}");
        }
        self.done += slow.done.len();
        let sent_on = slow.done.iter().filter(|work| work.is_sent_on());
        self.parked.extend(sent_on.map(|work| work.request));
        let said = self.bounds;
        self.check();
        // What was said before still holds.
        self.bounds = [0, 1].map(|at| said[at].max(self.bounds[at]));
    }

    /// Asks both engines the same, at one instant.
    fn ask<T: PartialEq + std::fmt::Debug>(
        &mut self,
        mut ask: impl FnMut(&mut dyn Engine) -> T,
    ) -> T {
        let answer = ask(&mut self.fast);
        assert_eq!(answer, ask(&mut self.slow));
        self.check();
        answer
    }

    fn check(&mut self) {
        assert_eq!(self.fast.seen(&self.paths), self.slow.seen(&self.paths));
        let contents = std::mem::take(&mut self.slow.contents);
        for (at, cached) in &contents {
            let bound = self.bounds[1];
            assert!(*at >= bound || *cached == self.cached, "a change at {at}, before {bound}");
            self.cached.clone_from(cached);
        }
        self.bounds = [false, true].map(|with_cache| self.fast.next_change(with_cache));
        let Some(mut view) = self.view.take() else {
            return;
        };
        let mut events = self.fast.take_cache_events().peekable();
        for (index, (at, cached)) in contents.iter().enumerate() {
            while let Some(event) = events.next_if(|event| event.at <= *at) {
                carry_out(&mut view, event);
            }
            // Two passes of one instant are told of as one.
            if contents.get(index + 1).is_none_or(|(next, _)| next > at) {
                let block_size = self.slow.backend.block_size();
                let viewed = self.paths.iter().map(|path| matched(&view, &self.segments, *path));
                let viewed: Vec<u32> = viewed.map(|blocks| blocks * block_size).collect();
                assert_eq!(&viewed, cached, "at {at}");
            }
        }
        assert_eq!(events.next(), None, "a change without a pass of the scheduler");
        drop(events);
        self.view = Some(view);
    }

    fn carry_out(&mut self, order: Order, works: &mut impl Iterator<Item = Work>) {
        let now = self.now;
        match order {
            Order::Wait(span) => {
                self.now += span;
                self.go(|engine, said| engine.advance(now + span, said));
            }
            Order::ToNext(reach) => {
                let next = Engine::next(&mut self.slow);
                if next != SimTime::MAX {
                    self.now = next;
                    self.go(|engine, said| match reach {
                        Reach::Before => engine.advance(next, said),
                        Reach::StepEnd => engine.end_step_at(next, said),
                        Reach::All => engine.advance_through(next, said),
                    });
                }
            }
            Order::Enqueue(kind) => {
                if let Some(work) = works.next() {
                    let work = Work {
                        prefill_only: kind == Kind::Prefill,
                        delivered_tokens: u32::from(kind == Kind::Decode && work.output_tokens > 1),
                        arrival: now,
                        ..work
                    };
                    let _taken = self.ask(|engine| engine.enqueue(&work, now));
                }
            }
            Order::Release(index) => {
                if !self.parked.is_empty() {
                    let request = self.parked.remove(index % self.parked.len());
                    self.ask(|engine| engine.release(request, now));
                }
            }
            Order::Cancel(index) => {
                let here: Vec<RequestId> = self.fast.live().map(|work| work.request).collect();
                let request = here.get(index % here.len().max(1)).copied();
                let request = request.unwrap_or(RequestId(u32::MAX));
                self.parked.retain(|parked| *parked != request);
                let left = self.ask(|engine| engine.cancel(request, now));
                assert_eq!(left.is_some(), !here.is_empty());
                check_left(&left.into_iter().collect::<Vec<_>>());
                if left.is_some() {
                    self.ask(|engine| engine.stats());
                }
            }
            Order::Interrupt(again) => {
                self.parked.clear();
                self.bounds = [now; 2];
                let lost = self.ask(|engine| engine.interrupt(now));
                check_left(&lost);
                self.ask(|engine| engine.stats());
                for Left { work, .. } in lost.iter().filter(|_| again) {
                    let work = Work { delivered_tokens: 0, facts: Facts::default(), ..*work };
                    let _taken = self.ask(|engine| engine.enqueue(&work, now));
                }
            }
        }
    }
}

/// Tokens and times of who left belong together.
fn check_left(left: &[Left]) {
    for Left { work, made_tokens } in left {
        assert!(*made_tokens <= work.output_here(), "{work:?}");
        let made_here = made_tokens - work.delivered_tokens;
        assert_eq!(work.facts.last_token.get().is_some(), made_here > 0, "{work:?}");
    }
}

fn carry_out(view: &mut BTreeMap<SegmentId, u32>, event: CacheEvent) {
    match event.change {
        CacheChange::Stored { segment, from, to } => {
            let cached = view.entry(segment).or_default();
            assert_eq!((*cached, from < to), (from, true));
            *cached = to;
        }
        CacheChange::Removed { segment, from, to } => {
            let cached = view.entry(segment).or_default();
            assert_eq!((*cached, from < to), (to, true));
            *cached = from;
        }
        CacheChange::Cleared => view.clear(),
    }
}

/// The leading blocks of a path that a view has.
fn matched(view: &BTreeMap<SegmentId, u32>, segments: &Segments, path: Path) -> u32 {
    let has = |index: &u32| {
        let key = segments.key(path, *index);
        key.is_some_and(|(segment, place)| view.get(&segment).is_some_and(|to| place < *to))
    };
    (0..path.blocks).find(|index| !has(index)).unwrap_or(path.blocks)
}

pub(super) fn work(trace: &Trace, segments: &Segments, id: RequestId, measured: bool) -> Work {
    Work {
        request: id,
        arrival: trace.arrival(id),
        path: segments.path_of(&trace.chain(id), id),
        prompt_tokens: trace.prompt_tokens(id),
        output_tokens: trace.output_tokens(id),
        delivered_tokens: 0,
        prefill_only: false,
        measured,
        sent_to: None,
        facts: Facts::default(),
    }
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn both_engines_agree_under_orders_from_outside(
        spec in make(),
        trace in workload(),
        size in any::<prop::sample::Index>(),
        orders in proptest::collection::vec(order(), 1..120),
        (listens, from_ms, span_ms) in (any::<bool>(), 0..500_u64, 0..3_000_u64),
    ) {
        let spec = with_blocks_of(&spec, block_size(&trace, size));
        let from = SimTime::from_ps(from_ms / 100 * 100 * PS_PER_MS);
        let window = Window {
            first: RequestId::at(trace.len() / 4),
            from,
            to: from + SimDuration::from_ps(span_ms * PS_PER_MS),
        };
        let mut twins = Twins::new(&spec, &trace, window, listens);
        let segments = Arc::clone(&twins.segments);
        let mut works = trace.ids().map(|id| work(&trace, &segments, id, id >= window.first));
        for order in orders {
            twins.carry_out(order, &mut works);
        }
        // Who is left over comes to an end.
        while Engine::next(&mut twins.slow) < SimTime::MAX || !twins.parked.is_empty() {
            twins.carry_out(Order::ToNext(Reach::All), &mut works);
            twins.carry_out(Order::Release(0), &mut works);
        }
        twins.ask(|engine| engine.stats());
        prop_assert_eq!(twins.fast.live().count(), 0);
        prop_assert_eq!(twins.fast.next_change(true), SimTime::MAX);
        prop_assert!(twins.fast.kv_usage() == 0.0);
    }
}
