//! The event loop.

use std::sync::Arc;

use crate::cluster::{BackendStats, DisaggregatedSpec, Facts, FleetSpec, HORIZON, Refusal, Work};
use crate::engine::{BackendState, Outcome, RequestRecord, RunRecord, SimError};
use crate::rng::Stream;
use crate::router::{AlgorithmSpec, Decision, RejectReason};
use crate::trace::{Segments, Trace};
use crate::units::{BackendId, RequestId, SimDuration, SimTime};
use crate::workload::Window;

use super::backend::{Backend, Notice};
use super::events::{Event, EventQueue};
use super::pool::Pool;

/// A token of a request, and how long after the one before it.
pub(super) type TokenGap = (RequestId, SimDuration);

/// Everything that a run says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tape {
    pub(super) gaps: Vec<TokenGap>,
    pub(super) outcomes: Vec<RequestRecord>,
}

/// One run, ready to go.
pub(super) struct Sim<'t> {
    trace: &'t Trace,
    window: Window,
    disaggregated: Option<DisaggregatedSpec>,
    most_decode_tokens: Option<u64>,
    segments: Arc<Segments>,
    backends: Vec<Backend>,
    pools: Vec<Pool>,
    events: EventQueue,
    records: Vec<RequestRecord>,
    tape: Tape,
    dispatched: Vec<u64>,
    notices: Vec<Notice>,
    num_events: u64,
    now: SimTime,
}

impl<'t> Sim<'t> {
    /// Sets up a run of `trace` on `fleet` under an algorithm. `window` is what is measured;
    /// `seed` moves the router's own draws only.
    pub(super) fn new(
        fleet: &FleetSpec,
        algorithm: &AlgorithmSpec,
        trace: &'t Trace,
        window: Window,
        seed: u64,
    ) -> Self {
        let segments = Arc::new(Segments::new(trace, fleet.kv_block_size().unwrap()));
        let num_backends = fleet.backends.len();
        let backend = |spec| Backend::new(spec, Arc::clone(&segments), window);
        let first_decode = fleet.disaggregated.map(|split| split.prefill_backends as usize);
        let split = first_decode.map(|first| [(0, first), (first, num_backends)]);
        let pool_ranges = split.map_or_else(|| vec![(0, num_backends)], |s| s.to_vec());
        let pool = |(entity, (start, end)): (u64, (usize, usize))| {
            let rng = Stream::new(seed, "router", entity);
            Pool::new(algorithm, start..end, &fleet.backends, rng)
        };
        Self {
            trace,
            segments: Arc::clone(&segments),
            window,
            disaggregated: fleet.disaggregated,
            most_decode_tokens: fleet.most_decode_tokens(),
            backends: fleet.backends.iter().map(backend).collect(),
            pools: (0..).zip(pool_ranges).map(pool).collect(),
            events: EventQueue::default(),
            records: trace.ids().map(|id| untouched(trace, id)).collect(),
            tape: Tape::default(),
            dispatched: vec![0; num_backends],
            notices: Vec::new(),
            num_events: 0,
            now: SimTime::ZERO,
        }
    }

    /// Runs until every request has its outcome and calls `watch` after every event.
    pub(super) fn run(
        mut self,
        mut watch: impl FnMut(&Self),
    ) -> Result<(Tape, RunRecord), SimError> {
        let mut arrivals = self.trace.ids().peekable();
        loop {
            let arrival = arrivals.peek().map(|id| self.trace.arrival(*id));
            let event = self.events.next_time();
            match (arrival, event) {
                (Some(at), next) if next.is_none_or(|next| at <= next) => {
                    self.advance(at)?;
                    if let Some(id) = arrivals.next() {
                        self.num_events += 1;
                        self.arrive(id);
                    }
                }
                (_, Some(at)) => {
                    self.advance(at)?;
                    if let Some((_, event)) = self.events.pop() {
                        self.handle(event);
                    }
                }
                (_, None) => break,
            }
            watch(&self);
        }
        let lost = self.records.iter().filter(|record| record.outcome == Outcome::Unserved);
        self.tape.outcomes.extend(lost);
        self.tape.outcomes.sort_by_key(|record| record.request);
        let backends: Vec<BackendStats> = self.backends.iter().map(Backend::stats).collect();
        let steps: u64 = backends.iter().map(|backend| backend.steps).sum();
        let record = RunRecord {
            end: self.now,
            backends,
            pools: self.pools.iter().map(Pool::range).collect(),
            dispatched: self.dispatched,
            events: self.num_events + steps,
            diagnostics: self.pools.first().map_or_else(Vec::new, Pool::diagnostics),
        };
        Ok((self.tape, record))
    }

    /// Checks the laws of every backend between events.
    pub(super) fn check(&self) {
        let settled = self.events.next_time() != Some(self.now);
        for backend in &self.backends {
            backend.check(settled);
        }
    }

    /// The instant of the last event.
    pub(super) fn now(&self) -> SimTime {
        self.now
    }

    /// What the backends are like after the last event.
    pub(super) fn states(&self) -> Vec<BackendState> {
        let outstanding = self.pools.iter().flat_map(Pool::outstanding);
        let both = self.backends.iter().zip(outstanding);
        both.map(|(backend, outstanding)| backend.state(outstanding)).collect()
    }

    fn advance(&mut self, to: SimTime) -> Result<(), SimError> {
        assert!(to >= self.now, "the clock went back from {} to {to}", self.now);
        if to > HORIZON {
            return Err(SimError::TooLong);
        }
        self.now = to;
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Delivery { request, from, to } => self.deliver(request, from, to),
            Event::StepEnd(id) => {
                let mut notices = Vec::new();
                self.backends[id.index()].finish_step(self.now, &mut notices);
                // The backend goes on at once; what others make of its tokens comes after.
                self.compose(id);
                self.note(id, &notices);
                self.expect(id);
            }
            // Something else of this instant may have set it to work already.
            Event::Wake(id) => {
                let backend = &self.backends[id.index()];
                let idle = backend.next_end().is_none();
                if idle || backend.is_back(self.now) {
                    self.compose(id);
                }
                if idle {
                    self.expect(id);
                }
            }
        }
    }

    fn arrive(&mut self, id: RequestId) {
        match self.pools[0].route(id, self.now, self.trace, &self.segments, &self.backends) {
            Decision::Reject(reason) => self.end(id, Outcome::Rejected(reason)),
            Decision::To(backend) => {
                self.records[id.index()].backend = Some(backend);
                let work = self.work(id, 0);
                self.hand_over(work, backend);
            }
        }
    }

    /// Gives a request to a backend, which may refuse it.
    fn hand_over(&mut self, work: Work, to: BackendId) {
        let kv_tokens = u64::from(work.prompt_tokens + work.output_tokens - 1);
        let fits = |most: u64| !work.prefill_only || work.output_tokens == 1 || kv_tokens <= most;
        let taken = match self.most_decode_tokens {
            Some(most) if !fits(most) => Err(Refusal::NeverFits),
            _ => self.backends[to.index()].enqueue(work, self.now),
        };
        let reason = match taken {
            Ok(()) => {
                self.dispatched[to.index()] += u64::from(work.request >= self.window.first);
                return self.wake(to);
            }
            Err(Refusal::QueueFull) => RejectReason::QueueFull,
            Err(Refusal::NeverFits) => RejectReason::NeverFits,
        };
        self.pool_of(to).done(to);
        self.end(work.request, Outcome::Rejected(reason));
    }

    /// The KV of a prompt has arrived: it is freed where it came from and decoding can begin.
    fn deliver(&mut self, id: RequestId, from: BackendId, to: BackendId) {
        self.num_events += 1;
        self.backends[from.index()].release(id);
        self.pool_of(from).done(from);
        self.wake(from);
        let work = self.work(id, 1);
        self.hand_over(work, to);
    }

    /// A prefill backend has made the first token; the rest comes from the decode pool.
    fn send_on(&mut self, id: RequestId, from: BackendId) {
        let Some(split) = self.disaggregated else {
            unreachable!("only a disaggregated fleet sends requests on");
        };
        match self.pools[1].route(id, self.now, self.trace, &self.segments, &self.backends) {
            Decision::Reject(reason) => {
                self.backends[from.index()].release(id);
                self.pool_of(from).done(from);
                self.wake(from);
                self.end(id, Outcome::Rejected(reason));
            }
            Decision::To(to) => {
                let arrival = self.now + split.transfer_time(self.trace.prompt_tokens(id));
                self.events.push(arrival, Event::Delivery { request: id, from, to });
            }
        }
    }

    fn compose(&mut self, id: BackendId) {
        let mut notices = std::mem::take(&mut self.notices);
        self.backends[id.index()].schedule(self.now, &mut notices);
        self.note(id, &notices);
        notices.clear();
        self.notices = notices;
        if let Some(until) = self.backends[id.index()].blocked_until(self.now) {
            self.events.push(until, Event::Wake(id));
        }
    }

    /// Awaits the end of the oldest step.
    fn expect(&mut self, id: BackendId) {
        if let Some(end) = self.backends[id.index()].next_end() {
            self.events.push(end, Event::StepEnd(id));
        }
    }

    /// Lets an idle backend look for work once all that arrives at this instant is there.
    fn wake(&mut self, id: BackendId) {
        if self.backends[id.index()].next_end().is_none() {
            self.events.push(self.now, Event::Wake(id));
        }
    }

    /// Takes down what a backend did.
    fn note(&mut self, backend: BackendId, notices: &[Notice]) {
        for notice in notices {
            match *notice {
                Notice::Scheduled { request, cached_tokens } => {
                    let record = &mut self.records[request.index()];
                    if record.scheduled.is_none() {
                        record.scheduled = Some(self.now);
                        record.cached_tokens = cached_tokens;
                    }
                }
                Notice::Preempted { request } => self.records[request.index()].preemptions += 1,
                Notice::Token { request, last } => self.token(request, backend, last),
            }
        }
    }

    fn token(&mut self, id: RequestId, backend: BackendId, last: bool) {
        let record = &mut self.records[id.index()];
        match record.last_token {
            None => record.first_token = Some(self.now),
            Some(before) => self.tape.gaps.push((id, self.now.since(before))),
        }
        record.last_token = Some(self.now);
        let prefilled = self.pools.len() == 2 && self.pools[0].has(backend);
        if last && prefilled && self.trace.output_tokens(id) > 1 {
            self.send_on(id, backend);
        } else if last {
            self.pool_of(backend).done(backend);
            self.end(id, Outcome::Finished);
        }
    }

    fn end(&mut self, id: RequestId, outcome: Outcome) {
        let record = &mut self.records[id.index()];
        record.outcome = outcome;
        self.tape.outcomes.push(*record);
    }

    fn work(&self, id: RequestId, delivered_tokens: u32) -> Work {
        Work {
            request: id,
            arrival: self.trace.arrival(id),
            path: self.segments.path_of(&self.trace.chain(id), id),
            prompt_tokens: self.trace.prompt_tokens(id),
            output_tokens: self.trace.output_tokens(id),
            delivered_tokens,
            prefill_only: self.disaggregated.is_some() && delivered_tokens == 0,
            measured: id >= self.window.first,
            sent_to: None,
            facts: Facts::default(),
        }
    }

    fn pool_of(&mut self, backend: BackendId) -> &mut Pool {
        let pool = self.pools.iter_mut().find(|pool| pool.has(backend));
        pool.expect("every backend is in a pool")
    }
}

fn untouched(trace: &Trace, request: RequestId) -> RequestRecord {
    RequestRecord {
        request,
        arrival: trace.arrival(request),
        prompt_tokens: trace.prompt_tokens(request),
        output_tokens: trace.output_tokens(request),
        outcome: Outcome::Unserved,
        backend: None,
        scheduled: None,
        first_token: None,
        last_token: None,
        cached_tokens: 0,
        preemptions: 0,
    }
}
