//! A run: requests as they arrive, routed and served.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;
use std::sync::Arc;

use crate::cluster::{
    BackendStats, ClusterSpec, DisaggregatedSpec, Facts, FleetError, FleetSpec, HORIZON, Refusal,
    Work,
};
use crate::rng::Stream;
use crate::router::{AlgorithmSpec, Decision, RejectReason};
use crate::trace::{Segments, Trace};
use crate::units::{BackendId, RequestId, SimDuration, SimTime};
use crate::workload::{Arrivals, Arriving, Requests, Window};

use super::fleet::{Fleet, Followed};
use super::limits::{Cut, Limits};
use super::pool::{Asking, Pool};

/// Receives facts as they happen.
///
/// Backends that do not affect one another need not be in step, so facts of different backends may
/// come out of order. Nothing that a sink computes may depend on their order.
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

    /// What became of a request: exactly one call for each.
    fn outcome(&mut self, record: &RequestRecord);

    /// The next instant at which it wants to see the backends, after the start of the run and
    /// after those it has seen; [`SimTime::MAX`] for none.
    fn next_sample(&self) -> SimTime {
        SimTime::MAX
    }

    /// What the backends, by id, are like at [`next_sample`](Self::next_sample): after all that
    /// happens before `at`, and before all that happens at it. No result depends on who looks. It
    /// is called no more when nothing is to happen at `at` or later.
    fn sample(&mut self, _at: SimTime, _backends: &[BackendState]) {}
}

/// What a backend is like at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendState {
    /// Requests that wait there for their first or next admission.
    pub waiting: u32,
    /// Requests in the running batch.
    pub running: u32,
    /// Requests that its router has sent there and that have not left: those above, those whose KV
    /// is on its way there, and those whose KV is kept there until it is sent on.
    pub outstanding: u32,
    /// KV blocks that requests hold.
    pub used_blocks: u32,
    /// KV blocks that requests can hold, all together.
    pub blocks: u32,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All its tokens came.
    Finished,
    /// It was turned away.
    Rejected(RejectReason),
    /// Whoever sent it gave up, and the backend was told to drop it
    /// ([`Backend::cancel`](crate::cluster::Backend::cancel)). No run of today does that.
    TimedOut,
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
    /// When the last thing happened.
    pub end: SimTime,
    /// By backend.
    pub backends: Vec<BackendStats>,
    /// The backends that share a router: one range, or the prefill and the decode backends.
    pub pools: Vec<Range<usize>>,
    /// Measured requests handed to each backend; by backend.
    pub dispatched: Vec<u64>,
    /// Arrivals, steps and transfers.
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
    /// There is no such fleet.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// It would go further than it may.
    #[error("{0}")]
    Cut(Cut),
}

/// KV on its way, by its time and request.
type Transfer = Reverse<(SimTime, RequestId, BackendId, BackendId)>;

/// One run, ready to go.
pub struct Sim<'w> {
    arrivals: Arrivals<'w>,
    segments: Arc<Segments>,
    window: Window,
    disaggregated: Option<DisaggregatedSpec>,
    /// Tokens that fit on the largest backend that decodes, where others prefill.
    most_decode_tokens: Option<u64>,
    fleet: Fleet,
    pools: Vec<Pool>,
    transfers: BinaryHeap<Transfer>,
    /// Requests that are to be sent on, as they came; until their first token is made.
    to_send_on: BTreeMap<RequestId, Arriving<'w>>,
    /// Requests whose KV is on its way.
    in_transit: BTreeMap<RequestId, Work>,
    dispatched: Vec<u64>,
    arrived: u64,
    transferred: u64,
    now: SimTime,
}

impl<'w> Sim<'w> {
    /// Sets up a run of `trace` on `cluster` under an algorithm. `window` is what is
    /// measured; `seed` moves the router's own draws only.
    ///
    /// # Errors
    ///
    /// When there can be no such cluster, or trace blocks and engine blocks do not divide one
    /// another.
    pub fn new(
        cluster: &ClusterSpec,
        algorithm: &AlgorithmSpec,
        trace: &'w Trace,
        window: Window,
        seed: u64,
    ) -> Result<Self, SimError> {
        Self::of_fleet(&cluster.fleet(), algorithm, trace, window, seed)
    }

    /// Sets up a run as [`new`](Self::new) does, on backends that may differ.
    ///
    /// # Errors
    ///
    /// When [`FleetSpec::check`] refuses the fleet, or trace blocks and engine blocks do not divide
    /// one another.
    pub fn of_fleet(
        fleet: &FleetSpec,
        algorithm: &AlgorithmSpec,
        trace: &'w Trace,
        window: Window,
        seed: u64,
    ) -> Result<Self, SimError> {
        fleet.check()?;
        let kv_block_size = fleet.kv_block_size().ok_or(FleetError::NoBackends)?;
        if !trace.blocks_fit(kv_block_size) {
            let trace_block = trace.block_tokens();
            return Err(SimError::BlocksDontFit { trace_block, kv_block_size });
        }
        let segments = Segments::new(trace, kv_block_size);
        Ok(Self::build(fleet, algorithm, trace.into(), segments, window, seed))
    }

    /// Sets up a run as [`new`](Self::new) does, of requests that need not be in memory.
    ///
    /// # Errors
    ///
    /// When there can be no such cluster, or trace blocks and engine blocks do not divide one
    /// another.
    pub fn of_requests(
        cluster: &ClusterSpec,
        algorithm: &AlgorithmSpec,
        requests: &'w Requests,
        window: Window,
        seed: u64,
    ) -> Result<Self, SimError> {
        match requests {
            Requests::Columns(trace) => Self::new(cluster, algorithm, trace, window, seed),
            Requests::Streamed(stream) => {
                let (fleet, arrivals) = (cluster.fleet(), requests.arrivals());
                fleet.check()?;
                let segments = Segments::one_level(stream.group_tokens(), cluster.kv_block_size);
                Ok(Self::build(&fleet, algorithm, arrivals, segments, window, seed))
            }
        }
    }

    fn build(
        fleet: &FleetSpec,
        algorithm: &AlgorithmSpec,
        arrivals: Arrivals<'w>,
        segments: Segments,
        window: Window,
        seed: u64,
    ) -> Self {
        let segments = Arc::new(segments);
        let num_backends = fleet.backends.len();
        let first_decode = fleet.disaggregated.map(|split| split.prefill_backends as usize);
        let split = first_decode.map(|first| [(0, first), (first, num_backends)]);
        let pool = |(entity, (first, end)): (u64, (usize, usize))| {
            let rng = Stream::new(seed, "router", entity);
            Pool::new(algorithm, first..end, &fleet.backends, rng)
        };
        let ranges = split.map_or_else(|| vec![(0, num_backends)], |split| split.to_vec());
        let pools: Vec<Pool> = (0..).zip(ranges).map(pool).collect();
        let followed = match pools[0].followed() {
            // A transfer begins when a request is done, so that must be known in time.
            Followed::Nothing if pools.len() > 1 => Followed::Ends,
            followed => followed,
        };
        Self {
            arrivals,
            fleet: Fleet::new(fleet, &segments, window, followed),
            segments,
            window,
            disaggregated: fleet.disaggregated,
            most_decode_tokens: fleet.most_decode_tokens(),
            pools,
            transfers: BinaryHeap::new(),
            to_send_on: BTreeMap::new(),
            in_transit: BTreeMap::new(),
            dispatched: vec![0; num_backends],
            arrived: 0,
            transferred: 0,
            now: SimTime::ZERO,
        }
    }

    /// Runs until every request has its outcome.
    ///
    /// # Errors
    ///
    /// When simulated time passes 150 days.
    pub fn run(self, sink: &mut impl Sink) -> Result<RunRecord, SimError> {
        self.run_within(&Limits::default(), sink)
    }

    /// Runs until every request has its outcome, or the run has gone as far as it may.
    ///
    /// # Errors
    ///
    /// When simulated time passes 150 days, or the run is cut.
    pub fn run_within(
        mut self,
        limits: &Limits<'_>,
        sink: &mut impl Sink,
    ) -> Result<RunRecord, SimError> {
        let end = limits.end();
        let arrivals_a_look = limits.arrivals_a_look(self.fleet.len());
        let mut next_look = arrivals_a_look;
        let mut pause = last_before_pause(end, sink);
        while let Some(arriving) = self.arrivals.next() {
            let now = arriving.arrival;
            debug_assert!(now >= self.now, "requests arrive in the order of time");
            if now > pause {
                if now > end {
                    return Err(too_long(limits));
                }
                self.show_until(now, sink);
                pause = last_before_pause(end, sink);
            }
            if self.disaggregated.is_some() {
                self.settle(now, sink);
            }
            self.now = now;
            self.arrived += 1;
            self.arrive(arriving, sink);
            if self.arrived == next_look {
                next_look += arrivals_a_look;
                limits.check(|| self.num_events()).map_err(SimError::Cut)?;
            }
        }
        self.drain(limits, end, sink)?;
        if self.is_cut_off() {
            return Err(too_long(limits));
        }
        for work in self.fleet.live() {
            sink.outcome(&RequestRecord::new(work, Outcome::Unserved));
        }
        Ok(self.record())
    }

    /// Carries out all that happens after the last arrival, up to and including `end`.
    fn drain(
        &mut self,
        limits: &Limits<'_>,
        end: SimTime,
        sink: &mut impl Sink,
    ) -> Result<(), SimError> {
        let last = end + SimDuration::from_ps(1);
        let (mut stretches, mut until) = (limits.stretches(), self.now);
        loop {
            until = stretches.next(until, last);
            while sink.next_sample() <= until {
                let at = sink.next_sample();
                self.carry(at, sink);
                if !self.is_cut_off() {
                    break;
                }
                self.show(at, sink);
            }
            self.carry(until, sink);
            limits.check(|| self.num_events()).map_err(SimError::Cut)?;
            if until == last || !self.is_cut_off() {
                return Ok(());
            }
            stretches.learn(self.num_events());
        }
    }

    /// Carries out all that happens before `until`.
    fn carry(&mut self, until: SimTime, sink: &mut impl Sink) {
        if self.disaggregated.is_some() {
            self.settle(until, sink);
        }
        for index in 0..self.fleet.len() {
            self.fleet.advance(BackendId::at(index), until, sink);
        }
    }

    /// Shows the backends at every instant up to `until` that the sink asks for.
    #[cold]
    fn show_until(&mut self, until: SimTime, sink: &mut impl Sink) {
        while sink.next_sample() <= until {
            let at = sink.next_sample();
            self.carry(at, sink);
            self.show(at, sink);
        }
    }

    /// Shows the backends, which have been carried forward to `at`.
    fn show(&self, at: SimTime, sink: &mut impl Sink) {
        let ids = |pool: &Pool| pool.range().map(BackendId::at);
        let pools = self.pools.iter().flat_map(|pool| ids(pool).map(move |id| (pool, id)));
        let states: Vec<BackendState> =
            pools.map(|(pool, id)| self.fleet.state(id, pool.inside(id))).collect();
        sink.sample(at, &states);
    }

    /// Whether something would happen after all that was carried out.
    fn is_cut_off(&self) -> bool {
        self.fleet.is_cut_off() || !self.transfers.is_empty()
    }

    fn num_events(&self) -> u64 {
        self.arrived + self.transferred + self.fleet.steps()
    }

    fn record(self) -> RunRecord {
        RunRecord {
            end: self.now.max(self.fleet.ended_at()),
            events: self.num_events(),
            backends: self.fleet.stats(),
            pools: self.pools.iter().map(Pool::range).collect(),
            dispatched: self.dispatched,
            diagnostics: self.pools.first().map_or_else(Vec::new, Pool::diagnostics),
        }
    }

    fn arrive(&mut self, arriving: Arriving<'w>, sink: &mut impl Sink) {
        let path = self.segments.path_of(&arriving.chain, arriving.request);
        let asking = Asking { arriving, path, now: self.now };
        let decision = self.pools[0].route(&asking, &mut self.fleet, sink);
        let work = Work {
            request: arriving.request,
            arrival: arriving.arrival,
            path,
            prompt_tokens: arriving.prompt_tokens,
            output_tokens: arriving.output_tokens,
            delivered_tokens: 0,
            prefill_only: self.disaggregated.is_some(),
            measured: arriving.request >= self.window.first,
            sent_to: match decision {
                Decision::To(to) => Some(to),
                Decision::Reject(_) => None,
            },
            facts: Facts::default(),
        };
        match decision {
            Decision::Reject(reason) => {
                sink.outcome(&RequestRecord::new(&work, Outcome::Rejected(reason)));
            }
            Decision::To(to) => {
                if work.is_sent_on() {
                    self.to_send_on.insert(work.request, arriving);
                }
                self.hand_over(&work, to, sink);
            }
        }
    }

    /// Gives a request to a backend, which may refuse it.
    fn hand_over(&mut self, work: &Work, to: BackendId, sink: &mut impl Sink) {
        let in_vain = work.is_sent_on()
            && self.most_decode_tokens.is_some_and(|most| work.tokens_at_last() > most);
        let taken = if in_vain {
            Err(Refusal::NeverFits)
        } else {
            self.fleet.enqueue(to, work, self.now, sink)
        };
        let reason = match taken {
            Ok(()) => {
                self.dispatched[to.index()] += u64::from(work.measured);
                return;
            }
            Err(Refusal::QueueFull) => RejectReason::QueueFull,
            Err(Refusal::NeverFits) => RejectReason::NeverFits,
        };
        self.fleet.refused(to);
        self.to_send_on.remove(&work.request);
        sink.outcome(&RequestRecord::new(work, Outcome::Rejected(reason)));
    }

    /// Carries out all that happens in a disaggregated fleet before `until`, in the order of time:
    /// of one instant transfers first, by request, then steps that end, by backend.
    fn settle(&mut self, until: SimTime, sink: &mut impl Sink) {
        loop {
            let transfer = self.transfers.peek().map(|Reverse((at, ..))| *at);
            let transfer = transfer.filter(|at| *at <= HORIZON);
            let change = self.fleet.next_change();
            match (transfer, change) {
                (Some(at), _) if at < until && change.is_none_or(|(end, _)| at <= end) => {
                    self.now = at;
                    self.deliver(sink);
                }
                (_, Some((at, id))) if at < until => {
                    self.now = at;
                    self.fleet.advance(id, at + SimDuration::from_ps(1), sink);
                    for work in self.fleet.take_sent_on() {
                        self.send_on(work, id, sink);
                    }
                }
                _ => break,
            }
        }
    }

    /// The KV of a prompt has arrived: it is freed where it came from and decoding can begin.
    fn deliver(&mut self, sink: &mut impl Sink) {
        let Some(Reverse((_, request, from, to))) = self.transfers.pop() else {
            return;
        };
        self.transferred += 1;
        self.fleet.advance(from, self.now, sink);
        self.fleet.release(from, request, self.now);
        let work = self.in_transit.remove(&request);
        self.hand_over(&work.expect("what is sent on is in transit"), to, sink);
    }

    /// A prefill backend has made the first token; the rest comes from the decode pool.
    fn send_on(&mut self, work: Work, from: BackendId, sink: &mut impl Sink) {
        let Some(split) = self.disaggregated else {
            unreachable!("only a disaggregated fleet sends requests on");
        };
        let arriving = self.to_send_on.remove(&work.request);
        let arriving = arriving.expect("what is sent on has arrived");
        let asking = Asking { arriving, path: work.path, now: self.now };
        match self.pools[1].route(&asking, &mut self.fleet, sink) {
            Decision::Reject(reason) => {
                self.fleet.release(from, work.request, self.now);
                sink.outcome(&RequestRecord::new(&work, Outcome::Rejected(reason)));
            }
            Decision::To(to) => {
                let arrival = self.now + split.transfer_time(work.prompt_tokens);
                self.transfers.push(Reverse((arrival, work.request, from, to)));
                let rest = Work { prefill_only: false, delivered_tokens: 1, ..work };
                self.in_transit.insert(work.request, rest);
            }
        }
    }
}

/// The last instant up to which the run need not pause: to show the backends, or as it ends.
fn last_before_pause(end: SimTime, sink: &impl Sink) -> SimTime {
    SimTime::from_ps(sink.next_sample().as_ps().saturating_sub(1)).min(end)
}

/// Time would pass what a run may take, or what any run may.
fn too_long(limits: &Limits<'_>) -> SimError {
    let own = limits.max_simulated.filter(|most| most.as_ps() < HORIZON.as_ps());
    own.map_or(SimError::TooLong, |most| SimError::Cut(Cut::SimulatedTime(most)))
}

impl RequestRecord {
    /// Makes the record of a request that has come to its end.
    pub fn new(work: &Work, outcome: Outcome) -> Self {
        let Facts { scheduled, first_token, last_token, cached_tokens, preemptions } = work.facts;
        Self {
            request: work.request,
            arrival: work.arrival,
            prompt_tokens: work.prompt_tokens,
            output_tokens: work.output_tokens,
            outcome,
            backend: work.sent_to,
            scheduled: scheduled.get(),
            first_token: first_token.get(),
            last_token: last_token.get(),
            cached_tokens,
            preemptions,
        }
    }
}
