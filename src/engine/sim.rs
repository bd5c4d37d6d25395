//! The event loop.

use std::ops::Range;
use std::sync::Arc;

use crate::cluster::{
    Backend, BackendStats, ClusterSpec, DisaggregatedSpec, Notice, Refusal, Work,
};
use crate::rng::Stream;
use crate::router::{AlgorithmSpec, Decision, RejectReason};
use crate::trace::Trace;
use crate::units::{BackendId, PS_PER_S, RequestId, SimDuration, SimTime};
use crate::workload::Window;

use super::events::{Event, EventQueue};
use super::pool::Pool;

/// No run goes on for longer: 150 days of simulated time, so that the clock can't wrap.
const HORIZON: SimTime = SimTime::from_ps(150 * 86_400 * PS_PER_S);

/// Receives facts as they happen.
pub trait Sink {
    /// That many tokens of measured requests each came `gap` after the one before it.
    fn token_gaps(&mut self, gap: SimDuration, tokens: u64);

    /// As `steps` calls of [`token_gaps`](Self::token_gaps) with that many tokens each, the gap
    /// growing by `growth` from one to the next.
    fn token_gap_run(&mut self, first: SimDuration, growth: SimDuration, steps: u64, tokens: u64) {
        let mut gap = first;
        for _ in 0..steps {
            self.token_gaps(gap, tokens);
            gap += growth;
        }
    }

    /// A request got a token `gap` after the one before it.
    #[cfg(test)]
    fn token(&mut self, _request: RequestId, _gap: SimDuration) {}

    /// What became of a request: exactly one call for each.
    fn outcome(&mut self, record: &RequestRecord);
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All its tokens came.
    Finished,
    /// It was turned away.
    Rejected(RejectReason),
    /// The run ended without it. A run goes on until every request has its outcome, so this is a
    /// fault of the simulator, and shown as one.
    Unserved,
}

/// The facts of one request. Times are there as far as it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// Which request.
    pub request: RequestId,
    /// When it reached the router.
    pub arrival: SimTime,
    /// Prompt length in tokens.
    pub prompt_tokens: u32,
    /// Output length in tokens.
    pub output_tokens: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Where it was sent first.
    pub backend: Option<BackendId>,
    /// When a scheduler first took it.
    pub scheduled: Option<SimTime>,
    /// When its first token came: the end of the last prefill chunk's step.
    pub first_token: Option<SimTime>,
    /// When its last token so far came.
    pub last_token: Option<SimTime>,
    /// Leading prompt tokens found in the cache at its first scheduling.
    pub cached_tokens: u32,
    /// How often it lost its blocks.
    pub preemptions: u32,
}

/// The facts of a whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// When the last event happened.
    pub end: SimTime,
    /// By backend.
    pub backends: Vec<BackendStats>,
    /// The backends that share a router: one range, or the prefill and the decode backends.
    pub pools: Vec<Range<usize>>,
    /// Measured requests handed to each backend; by backend.
    pub dispatched: Vec<u64>,
    /// Events handled, arrivals included.
    pub events: u64,
    /// The algorithm's figures of its own state.
    pub diagnostics: Vec<(&'static str, f64)>,
}

/// Why a run can't be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimError {
    /// The clock would pass its end.
    #[error("simulated time passes 150 days: the cluster is far too slow for this workload")]
    TooLong,
    /// Chains can't be cut into engine blocks.
    #[error(
        "the trace's blocks of {trace_block} tokens and kv_block_size = {kv_block_size} do not divide one another"
    )]
    BlocksDontFit {
        /// Tokens per id of the trace.
        trace_block: u32,
        /// Tokens per engine block.
        kv_block_size: u32,
    },
}

/// One run, ready to go.
pub struct Sim<'t> {
    trace: &'t Trace,
    window: Window,
    disaggregated: Option<DisaggregatedSpec>,
    backends: Vec<Backend<'t>>,
    pools: Vec<Pool>,
    events: EventQueue,
    records: Vec<RequestRecord>,
    dispatched: Vec<u64>,
    notices: Vec<Notice>,
    num_events: u64,
    now: SimTime,
}

impl<'t> Sim<'t> {
    /// Sets up a run of `trace` on `cluster` under an algorithm. `window` is what is
    /// measured; `seed` moves the router's own draws only.
    ///
    /// # Errors
    ///
    /// When trace blocks and engine blocks do not divide one another.
    pub fn new(
        cluster: &ClusterSpec,
        algorithm: &AlgorithmSpec,
        trace: &'t Trace,
        window: Window,
        seed: u64,
    ) -> Result<Self, SimError> {
        if !trace.blocks_fit(cluster.kv_block_size) {
            let (trace_block, kv_block_size) = (trace.block_tokens(), cluster.kv_block_size);
            return Err(SimError::BlocksDontFit { trace_block, kv_block_size });
        }
        let step_model = Arc::new(cluster.step_model());
        let num_backends = cluster.num_backends as usize;
        let backend = |_| Backend::new(cluster, Arc::clone(&step_model), window);
        let first_decode = cluster.disaggregated.map(|split| split.prefill_backends as usize);
        let split = first_decode.map(|first| [(0, first), (first, num_backends)]);
        let pool_ranges = split.map_or_else(|| vec![(0, num_backends)], |s| s.to_vec());
        let pool = |(entity, (start, end)): (u64, (usize, usize))| {
            let rng = Stream::new(seed, "router", entity);
            Pool::new(algorithm, start..end, cluster.max_queue_depth, rng)
        };
        Ok(Self {
            trace,
            window,
            disaggregated: cluster.disaggregated,
            backends: (0..num_backends).map(backend).collect(),
            pools: (0..).zip(pool_ranges).map(pool).collect(),
            events: EventQueue::default(),
            records: trace.ids().map(|id| untouched(trace, id)).collect(),
            dispatched: vec![0; num_backends],
            notices: Vec::new(),
            num_events: 0,
            now: SimTime::ZERO,
        })
    }

    /// Runs until every request has its outcome.
    ///
    /// # Errors
    ///
    /// When simulated time passes 150 days.
    pub fn run(self, sink: &mut impl Sink) -> Result<RunRecord, SimError> {
        self.run_watched(sink, |_| {})
    }

    /// Runs and calls `watch` after every event.
    pub(super) fn run_watched(
        mut self,
        sink: &mut impl Sink,
        mut watch: impl FnMut(&Self),
    ) -> Result<RunRecord, SimError> {
        let mut arrivals = self.trace.ids().peekable();
        loop {
            let arrival = arrivals.peek().map(|id| self.trace.arrival(*id));
            let event = self.events.next_time();
            match (arrival, event) {
                (Some(at), next) if next.is_none_or(|next| at <= next) => {
                    self.advance(at)?;
                    if let Some(id) = arrivals.next() {
                        self.arrive(id, sink);
                    }
                }
                (_, Some(at)) => {
                    self.advance(at)?;
                    if let Some((_, event)) = self.events.pop() {
                        self.handle(event, sink);
                    }
                }
                (_, None) => break,
            }
            watch(&self);
        }
        let lost = self.records.iter().filter(|record| record.outcome == Outcome::Unserved);
        for record in lost {
            sink.outcome(record);
        }
        Ok(RunRecord {
            end: self.now,
            backends: self.backends.iter().map(Backend::stats).collect(),
            pools: self.pools.iter().map(Pool::range).collect(),
            dispatched: self.dispatched,
            events: self.num_events,
            diagnostics: self.pools.first().map_or_else(Vec::new, Pool::diagnostics),
        })
    }

    /// Checks the laws of every backend between events.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let settled = self.events.next_time() != Some(self.now);
        for backend in &self.backends {
            backend.check(settled);
        }
    }

    fn advance(&mut self, to: SimTime) -> Result<(), SimError> {
        assert!(to >= self.now, "the clock went back from {} to {to}", self.now);
        if to > HORIZON {
            return Err(SimError::TooLong);
        }
        self.now = to;
        self.num_events += 1;
        Ok(())
    }

    fn handle(&mut self, event: Event, sink: &mut impl Sink) {
        match event {
            Event::Delivery { request, from, to } => self.deliver(request, from, to, sink),
            Event::StepEnd(id) => {
                let mut notices = std::mem::take(&mut self.notices);
                self.backends[id.index()].finish_step(self.now, &mut notices);
                self.note(id, &notices, sink);
                notices.clear();
                self.notices = notices;
                self.schedule(id, sink);
            }
            // Something else of this instant may have set it to work already.
            Event::Wake(id) if self.backends[id.index()].next_end().is_none() => {
                self.schedule(id, sink);
            }
            Event::Wake(_) => {}
        }
    }

    fn arrive(&mut self, id: RequestId, sink: &mut impl Sink) {
        match self.pools[0].route(id, self.now, self.trace, &self.backends) {
            Decision::Reject(reason) => self.end(id, Outcome::Rejected(reason), sink),
            Decision::To(backend) => {
                self.records[id.index()].backend = Some(backend);
                let work = self.work(id, 0);
                self.hand_over(work, backend, sink);
            }
        }
    }

    /// Gives a request to a backend, which may refuse it.
    fn hand_over(&mut self, work: Work<'t>, to: BackendId, sink: &mut impl Sink) {
        let reason = match self.backends[to.index()].enqueue(work, self.now) {
            Ok(()) => {
                self.dispatched[to.index()] += u64::from(work.request >= self.window.first);
                return self.wake(to);
            }
            Err(Refusal::QueueFull) => RejectReason::QueueFull,
            Err(Refusal::NeverFits) => RejectReason::NeverFits,
        };
        self.pool_of(to).done(to);
        self.end(work.request, Outcome::Rejected(reason), sink);
    }

    /// The KV of a prompt has arrived: it is freed where it came from and decoding can begin.
    fn deliver(&mut self, id: RequestId, from: BackendId, to: BackendId, sink: &mut impl Sink) {
        self.backends[from.index()].release(id);
        self.pool_of(from).done(from);
        self.wake(from);
        let work = self.work(id, 1);
        self.hand_over(work, to, sink);
    }

    /// A prefill backend has made the first token; the rest comes from the decode pool.
    fn send_on(&mut self, id: RequestId, from: BackendId, sink: &mut impl Sink) {
        let Some(split) = self.disaggregated else {
            unreachable!("only a disaggregated fleet sends requests on");
        };
        match self.pools[1].route(id, self.now, self.trace, &self.backends) {
            Decision::Reject(reason) => {
                self.backends[from.index()].release(id);
                self.pool_of(from).done(from);
                self.wake(from);
                self.end(id, Outcome::Rejected(reason), sink);
            }
            Decision::To(to) => {
                let arrival = self.now + split.transfer_time(self.trace.prompt_tokens(id));
                self.events.push(arrival, Event::Delivery { request: id, from, to });
            }
        }
    }

    fn schedule(&mut self, id: BackendId, sink: &mut impl Sink) {
        let mut notices = std::mem::take(&mut self.notices);
        self.backends[id.index()].schedule(self.now, &mut notices);
        self.note(id, &notices, sink);
        notices.clear();
        self.notices = notices;
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
    fn note(&mut self, backend: BackendId, notices: &[Notice], sink: &mut impl Sink) {
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
                Notice::Token { request, last } => self.token(request, backend, last, sink),
            }
        }
    }

    fn token(&mut self, id: RequestId, backend: BackendId, last: bool, sink: &mut impl Sink) {
        let record = &mut self.records[id.index()];
        match record.last_token {
            None => record.first_token = Some(self.now),
            Some(before) => {
                let gap = self.now.since(before);
                #[cfg(test)]
                sink.token(id, gap);
                if id >= self.window.first {
                    sink.token_gaps(gap, 1);
                }
            }
        }
        record.last_token = Some(self.now);
        let prefilled = self.pools.len() == 2 && self.pools[0].has(backend);
        if last && prefilled && self.trace.output_tokens(id) > 1 {
            self.send_on(id, backend, sink);
        } else if last {
            self.pool_of(backend).done(backend);
            self.end(id, Outcome::Finished, sink);
        }
    }

    fn end(&mut self, id: RequestId, outcome: Outcome, sink: &mut impl Sink) {
        let record = &mut self.records[id.index()];
        record.outcome = outcome;
        sink.outcome(record);
    }

    fn work(&self, id: RequestId, delivered_tokens: u32) -> Work<'t> {
        Work {
            request: id,
            chain: self.trace.chain(id),
            prompt_tokens: self.trace.prompt_tokens(id),
            output_tokens: self.trace.output_tokens(id),
            delivered_tokens,
            prefill_only: self.disaggregated.is_some() && delivered_tokens == 0,
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
