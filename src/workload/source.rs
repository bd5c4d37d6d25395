//! A real trace, prepared once for any number of runs.

use std::sync::Arc;

use crate::rng::Stream;
use crate::trace::{NewRequest, Trace, TraceBuilder};
use crate::units::{LONGEST, PS_PER_S, RequestId, SimDuration, SimTime};

use super::resample::{Resampler, scaled};
use super::ticks::{Dequantize, coarse_tick};
use super::{MOST_IN_MEMORY, Made, Warmup, Workload, WorkloadError, check_rate};

/// Length of a bootstrap block. Traffic of one hour has rate swings over minutes; blocks must be
/// longer than these, and many enough to differ between seeds.
const BLOCK: SimDuration = SimDuration::from_ps(300 * PS_PER_S);

/// Blocks in a trace below which seeds say little of its variance.
const FEWEST_BLOCKS: f64 = 8.0;

/// The most blocks that one workload may draw, over all copies: a second's work.
const MOST_DRAWS: f64 = 1e7;

/// The most copies of a trace that a rate may take.
const MOST_COPIES: f64 = 1e6;

/// The most chain ids that a workload may be expected to have.
const MOST_CHAIN_IDS: f64 = 2e9;

/// Marks a chain id that no session was seen to use.
const UNUSED: u32 = u32::MAX;

/// A real trace and what is needed to replay it or to bring it to another rate.
///
/// # How a rate is reached
///
/// The trace has `n` requests in `S` seconds (its span, and one tick or mean gap after the last
/// arrival), so a rate of `r` takes `k = r·S/n` copies: whole ones, and a last one of which each
/// session is kept with probability `frac(k)`. Each copy is a circular moving-block bootstrap over
/// session starts: the time line is cut into blocks, each block draws a place in the trace and
/// takes every session that starts in the next block's length from there, whole, with its gaps.
/// The time line begins one longest session before the run, so that later turns of sessions begun
/// earlier are there and the request rate is stationary from the start.
///
/// Block ids that one session alone uses are renamed for every session drawn; ids that several
/// sessions use (system prompts, documents) keep their meaning. So more load means more users, not
/// more reuse by the same ones. Draws depend on the seed and the copy, never on the rate: a lower
/// rate's sessions are a subset of a higher rate's.
#[derive(Clone, Debug)]
pub struct SourceTrace {
    pub(super) trace: Arc<Trace>,
    name: String,
    pub(super) tick: Option<SimDuration>,
    block: SimDuration,
    /// By start.
    pub(super) sessions: Vec<Session>,
    /// The requests of all sessions, session by session, each in the order of arrival.
    pub(super) members: Vec<RequestId>,
    /// What each chain id of the trace is: below `num_shared` its number among the shared ones,
    /// from there up its number among the private ones of its session.
    pub(super) codes: Vec<u32>,
    pub(super) num_shared: u32,
    /// The most private ids that one session has.
    pub(super) most_private: usize,
    chain_ids: usize,
}

/// Requests that belong together: the turns of a session, or one request without a session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Its first arrival, from the first of the trace.
    pub(super) start: SimDuration,
    /// From its first arrival to its last.
    pub(super) duration: SimDuration,
    /// Place of its first request among the members.
    pub(super) first: usize,
    /// Number of its requests.
    pub(super) len: usize,
    /// Whether the trace names the session.
    pub(super) named: bool,
}

impl SourceTrace {
    /// Prepares a trace: groups its sessions, tells shared chain ids from private ones, finds the
    /// tick of its clock.
    pub fn new(trace: impl Into<Arc<Trace>>) -> Self {
        let trace = trace.into();
        let tick = coarse_tick(&trace);
        let (sessions, members) = group(&trace);
        let mut source = Self {
            trace,
            name: "trace".to_owned(),
            tick,
            block: BLOCK,
            sessions,
            members,
            codes: Vec::new(),
            num_shared: 0,
            most_private: 0,
            chain_ids: 0,
        };
        source.number_chain_ids();
        source
    }

    /// Sets what outputs call the trace, usually its path.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Sets whether arrivals are spread over the ticks of a coarse clock ([`Dequantize::Auto`]
    /// unless set).
    ///
    /// # Errors
    ///
    /// When the given tick is 0 or some arrival does not stand on a multiple of it.
    pub fn dequantize(self, dequantize: Dequantize) -> Result<Self, WorkloadError> {
        let tick = dequantize.tick(&self.trace)?;
        Ok(Self { tick, ..self })
    }

    /// Sets the length of a bootstrap block (300 s unless set); a trace shorter than it is one
    /// block.
    ///
    /// # Errors
    ///
    /// When the block is shorter than a second.
    pub fn block(self, block: SimDuration) -> Result<Self, WorkloadError> {
        if block < SimDuration::from_ps(PS_PER_S) {
            return Err(WorkloadError::new(
                format!("bootstrap blocks of {} s, expected 1 s or more", block.as_secs()),
                "blocks of minutes keep the swings of the rate",
            ));
        }
        Ok(Self { block, ..self })
    }

    /// Returns the trace.
    pub fn trace(&self) -> &Arc<Trace> {
        &self.trace
    }

    /// Returns the tick that arrivals are spread over, if any.
    pub fn tick(&self) -> Option<SimDuration> {
        self.tick
    }

    /// Returns the number of sessions; a request without one counts as its own.
    pub fn num_sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Returns the trace's own length: its span, and one tick or mean gap after the last arrival.
    /// None when it spans no time.
    pub fn length(&self) -> Option<SimDuration> {
        let span = self.span();
        if let Some(tick) = self.tick {
            return Some(span + tick);
        }
        if span == SimDuration::ZERO {
            return None;
        }
        let gaps = self.trace.len() as u64 - 1;
        Some(span + SimDuration::from_ps(span.as_ps() / gaps))
    }

    /// Returns the trace's own mean rate in requests per second; none when it spans no time.
    pub fn rate_rps(&self) -> Option<f64> {
        Some(self.trace.len() as f64 / self.length()?.as_secs())
    }

    /// Returns the number of blocks that the trace is cut into: the effective sample size behind
    /// the variance over seeds. None when it spans no time.
    pub fn effective_blocks(&self) -> Option<f64> {
        let length = self.length()?;
        Some(length.as_secs() / self.block_within(length).as_secs())
    }

    /// Returns the requests of one run over `[0, horizon)`: resampled to a mean of `rate_rps`
    /// requests per second, or, without a rate, replayed as they are.
    ///
    /// # Errors
    ///
    /// When the rate or the horizon is not above 0, when the trace spans no time and so can't be
    /// resampled, when the workload would be too large, or when the warm-up leaves no request.
    pub fn workload(
        &self,
        rate_rps: Option<f64>,
        seed: u64,
        horizon: SimDuration,
        warmup: Warmup,
    ) -> Result<Workload, WorkloadError> {
        let Some(rate_rps) = rate_rps else {
            return self.replay(seed, Some(horizon), warmup);
        };
        let plan = self.plan(rate_rps, horizon)?;
        let trace = Resampler::new(self, plan, seed).run();
        let unit =
            if self.sessions.iter().any(|session| session.named) { "session" } else { "request" };
        let made = Made {
            source: self.name.clone(),
            operator: format!("{unit} bootstrap x {:.2} copies", plan.copies),
            requested_rps: Some(rate_rps),
            notes: self.notes(&plan),
        };
        Workload::new(trace, made, SimTime::ZERO + horizon, warmup)
    }

    /// Returns the requests of the trace as they are, or those of its first `horizon`. The seed
    /// moves nothing but the places within a coarse clock's ticks.
    ///
    /// # Errors
    ///
    /// When the warm-up leaves no request.
    pub fn replay(
        &self,
        seed: u64,
        horizon: Option<SimDuration>,
        warmup: Warmup,
    ) -> Result<Workload, WorkloadError> {
        let mut notes = self.tick_notes();
        let end = match (horizon, self.length()) {
            (Some(horizon), Some(length)) if length < horizon => {
                let (length, horizon) = (length.as_secs(), horizon.as_secs());
                notes.push(format!(
                    "the trace ends after {length:.1} s, before the run's {horizon:.1} s"
                ));
                self.length()
            }
            (Some(horizon), _) => Some(horizon),
            (None, length) => length,
        };
        let trace = self.replayed(seed, horizon);
        let made = Made {
            source: self.name.clone(),
            operator: "replay".to_owned(),
            requested_rps: None,
            notes,
        };
        let end = SimTime::ZERO + end.unwrap_or(SimDuration::ZERO);
        Workload::new(trace, made, end, warmup)
    }

    /// Writes when each request of a session comes, from the session's start: as in the trace,
    /// plus its place in the tick. Requests of one tick keep their order.
    pub(super) fn offsets(
        &self,
        session: &Session,
        mut place: impl FnMut(RequestId) -> f64,
        offsets: &mut Vec<SimDuration>,
    ) {
        let members = self.members_of(session);
        let start = self.trace.arrival(members[0]);
        offsets.clear();
        offsets.extend(members.iter().map(|id| self.trace.arrival(*id).since(start)));
        let Some(tick) = self.tick else { return };
        for (offset, id) in offsets.iter_mut().zip(members) {
            *offset += SimDuration::from_ps(scaled(place(*id), tick));
        }
        // Ticks come in order, so this moves requests within their tick only.
        offsets.sort();
    }

    pub(super) fn members_of(&self, session: &Session) -> &[RequestId] {
        &self.members[session.first..session.first + session.len]
    }

    fn span(&self) -> SimDuration {
        let last = self.trace.len().checked_sub(1);
        last.map_or(SimDuration::ZERO, |last| {
            let first = self.trace.arrival(RequestId(0));
            self.trace.arrival(RequestId::at(last)).since(first)
        })
    }

    fn block_within(&self, length: SimDuration) -> SimDuration {
        self.block.min(length)
    }

    /// Works out the copies and the time line of a rate.
    fn plan(&self, rate_rps: f64, horizon: SimDuration) -> Result<Plan, WorkloadError> {
        check_rate(rate_rps, horizon, MOST_IN_MEMORY)?;
        let (Some(length), Some(own_rps)) = (self.length(), self.rate_rps()) else {
            return Err(WorkloadError::new(
                "the trace spans no time, so it has no rate to start from",
                "replay it as it is, without a rate",
            ));
        };
        let copies = rate_rps / own_rps;
        let chain_ids = self.chain_ids as f64 * copies * horizon.as_secs() / length.as_secs();
        if copies > MOST_COPIES || chain_ids > MOST_CHAIN_IDS {
            return Err(WorkloadError::new(
                format!(
                    "{copies:.0} copies of the trace with {chain_ids:.3e} block ids, expected at \
                     most {MOST_COPIES:e} copies and {MOST_CHAIN_IDS:e} ids"
                ),
                format!("lower the rate or the duration; the trace has {own_rps:.3} req/s"),
            ));
        }
        let longest = self.sessions.iter().map(|session| session.duration).max();
        let tick = self.tick.unwrap_or(SimDuration::ZERO);
        let lead = longest.unwrap_or(SimDuration::ZERO) + tick;
        let block = self.block_within(length);
        // A copy draws all its blocks, also one that is thinned.
        let draws = copies.ceil() * (lead.as_secs() + horizon.as_secs()) / block.as_secs();
        if draws > MOST_DRAWS {
            return Err(WorkloadError::new(
                format!(
                    "{copies:.0} copies in blocks of {} s, over the longest session and the run, \
                     are {draws:.2e} draws, expected at most {MOST_DRAWS:e}",
                    block.as_secs()
                ),
                "lower the rate or the duration, make the blocks longer, or use a longer trace",
            ));
        }
        if length > LONGEST {
            return Err(WorkloadError::new(
                format!(
                    "the trace is {:.1} days long, with a mean gap at its end",
                    length.as_secs() / 86_400.0
                ),
                format!("cut it to {} days", LONGEST.as_secs() / 86_400.0),
            ));
        }
        if lead > LONGEST || horizon > LONGEST || lead + horizon > LONGEST {
            return Err(WorkloadError::new(
                format!(
                    "the run and the longest session span {:.1} days together, expected at most {}",
                    (lead.as_secs() + horizon.as_secs()) / 86_400.0,
                    LONGEST.as_secs() / 86_400.0
                ),
                "cut the trace, or shorten the run",
            ));
        }
        Ok(Plan { copies, circle: length, block, lead, horizon })
    }

    fn replayed(&self, seed: u64, horizon: Option<SimDuration>) -> Trace {
        let mut times = vec![SimDuration::ZERO; self.trace.len()];
        let mut offsets = Vec::new();
        for session in &self.sessions {
            let place = |id: RequestId| {
                let entity = u64::from(id.0);
                Stream::new(seed, "dequantize", entity).uniform()
            };
            self.offsets(session, place, &mut offsets);
            for (id, offset) in self.members_of(session).iter().zip(&offsets) {
                times[id.index()] = session.start + *offset;
            }
        }
        let models = self.trace.model_names().to_vec();
        let mut builder = TraceBuilder::new(self.trace.block_tokens(), models);
        for id in self.trace.ids() {
            let time = times[id.index()];
            if horizon.is_none_or(|horizon| time < horizon) {
                builder
                    .push(NewRequest { arrival: SimTime::ZERO + time, ..self.trace.request(id) });
            }
        }
        builder.finish()
    }

    fn notes(&self, plan: &Plan) -> Vec<String> {
        let mut notes = self.tick_notes();
        let (length, block) = (plan.circle.as_secs(), plan.block.as_secs());
        let blocks = length / block;
        notes.push(format!(
            "blocks of {block:.0} s: {blocks:.1} effective blocks in the trace's {length:.0} s"
        ));
        if blocks < FEWEST_BLOCKS {
            notes.push(format!(
                "warning: below {FEWEST_BLOCKS} blocks, seeds understate how the traffic varies; \
                 use a longer trace or shorter blocks"
            ));
        }
        notes
    }

    fn tick_notes(&self) -> Vec<String> {
        let note = |tick: SimDuration| {
            format!(
                "arrivals stand on ticks of {} ms: each was spread uniformly over its tick",
                tick.as_ms()
            )
        };
        self.tick.map(note).into_iter().collect()
    }

    /// Numbers the ids that several sessions use over the whole trace, the others within their
    /// session.
    fn number_chain_ids(&mut self) {
        let chains = || self.trace.ids().map(|id| self.trace.chain(id).ids);
        let highest = chains().flatten().max().copied();
        let num_ids = highest.map_or(0, |id| id as usize + 1);
        self.chain_ids = chains().map(<[u32]>::len).sum();

        let mut owners = vec![UNUSED; num_ids];
        let mut shared = vec![false; num_ids];
        for (number, session) in (0..UNUSED).zip(&self.sessions) {
            for id in self.chain_ids_of(session) {
                let owner = &mut owners[id as usize];
                shared[id as usize] |= *owner != UNUSED && *owner != number;
                *owner = number;
            }
        }
        let mut codes = vec![UNUSED; num_ids];
        for (code, _) in codes.iter_mut().zip(shared).filter(|(_, shared)| *shared) {
            *code = self.num_shared;
            self.num_shared += 1;
        }
        for session in &self.sessions {
            let mut private = 0;
            for id in self.chain_ids_of(session) {
                let code = &mut codes[id as usize];
                if *code == UNUSED {
                    *code = self.num_shared + private;
                    private += 1;
                }
            }
            self.most_private = self.most_private.max(private as usize);
        }
        self.codes = codes;
    }

    fn chain_ids_of(&self, session: &Session) -> impl Iterator<Item = u32> {
        let members = self.members_of(session).iter();
        members.flat_map(|id| self.trace.chain(*id).ids.iter().copied())
    }
}

/// The time line that a resampled workload is drawn on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Copies of the trace, the last one in part.
    pub(super) copies: f64,
    /// Length of the trace, joined end to start.
    pub(super) circle: SimDuration,
    /// Length of a block; at most the circle.
    pub(super) block: SimDuration,
    /// Time before the run in which sessions start that still reach into it.
    pub(super) lead: SimDuration,
    /// Length of the run.
    pub(super) horizon: SimDuration,
}

/// Groups the requests of each session, sessions in the order of their first arrival.
fn group(trace: &Trace) -> (Vec<Session>, Vec<RequestId>) {
    let named = trace.ids().filter_map(|id| trace.session(id));
    let mut group_of: Vec<Option<usize>> =
        vec![None; named.max().map_or(0, |last| last as usize + 1)];
    let mut groups: Vec<Vec<RequestId>> = Vec::new();
    for id in trace.ids() {
        let known = trace.session(id).map(|session| &mut group_of[session as usize]);
        match known {
            Some(Some(group)) => groups[*group].push(id),
            Some(new) => {
                *new = Some(groups.len());
                groups.push(vec![id]);
            }
            None => groups.push(vec![id]),
        }
    }
    let mut members = Vec::with_capacity(trace.len());
    let sessions = groups.iter().map(|group| {
        let first = members.len();
        members.extend_from_slice(group);
        let arrival = |index: usize| trace.arrival(group[index]);
        Session {
            start: arrival(0).since(trace.arrival(RequestId(0))),
            duration: arrival(group.len() - 1).since(arrival(0)),
            first,
            len: group.len(),
            named: trace.session(group[0]).is_some(),
        }
    });
    let sessions = sessions.collect();
    (sessions, members)
}
