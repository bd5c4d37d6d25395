//! A measured trace on a simulated engine.

use std::ops::Range;

use crate::cluster::ClusterSpec;
use crate::engine::{Outcome, RequestRecord, Sim, SimError, Sink};
use crate::router::{AlgorithmSpec, RejectReason};
use crate::trace::{MeasuredTrace, Timing, Trace};
use crate::units::{RequestId, SimDuration, SimTime};
use crate::workload::Window;

/// A measured run and the fleet to replay it on.
#[derive(Clone, Copy)]
pub struct Replay<'a> {
    /// The fleet.
    pub cluster: &'a ClusterSpec,
    /// The routing; of no account when there is one backend.
    pub algorithm: &'a AlgorithmSpec,
    /// The requests and when their tokens came.
    pub measured: &'a MeasuredTrace,
    /// The requests to be scored, by their order of arrival; every request is simulated.
    pub scored: &'a Range<usize>,
    /// Moves the router's own draws.
    pub seed: u64,
}

/// A replay that can't be scored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The run can't be carried out.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// The engine did serve what the simulated one turns away.
    #[error("{count} of {total} requests were served and the simulated engine rejects them ({})", reason.name())]
    Rejected {
        /// How many.
        count: usize,
        /// Of how many.
        total: usize,
        /// Why the first of them was rejected.
        reason: RejectReason,
    },
    /// Too few requests to score.
    #[error("requests {} to {} are {} with several output tokens, expected {expected} or more", scored.start, scored.end, found)]
    TooFew {
        /// The requests to be scored.
        scored: Range<usize>,
        /// Those among them with several output tokens.
        found: usize,
        /// The fewest that can be scored.
        expected: usize,
    },
}

impl ReplayError {
    /// Returns how to mend it, when that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Sim(SimError::TooLong) => Some("check the step times of the config"),
            Self::Sim(SimError::BlocksDontFit { .. }) => {
                Some("make `kv_block_size` a divisor or a multiple of the trace's block size")
            }
            Self::Sim(SimError::Fleet(error)) => Some(error.hint()),
            Self::Sim(SimError::Cut(_)) => None,
            Self::Rejected {
                reason: RejectReason::QueueFull | RejectReason::NoBackend, ..
            } => Some("raise `max_queue_depth`: vLLM's own queue has no bound"),
            Self::Rejected { .. } => {
                Some("give the engine's own `kv_cache_blocks` (vLLM logs its KV cache size)")
            }
            Self::TooFew { .. } => {
                Some("--from is the first request scored, --to the one after the last")
            }
        }
    }
}

impl Replay<'_> {
    /// Simulates and returns when the tokens of every request came.
    ///
    /// # Errors
    ///
    /// When the run can't be carried out, or a request does not finish.
    pub fn run(&self) -> Result<Vec<Timing>, ReplayError> {
        let trace = &self.measured.trace;
        let mut sink = Times::new(trace.len());
        let window = whole(trace);
        Sim::new(self.cluster, self.algorithm, trace, window, self.seed)?.run(&mut sink)?;
        match sink.rejected {
            Some((count, reason)) => {
                Err(ReplayError::Rejected { count, total: trace.len(), reason })
            }
            None => Ok(sink.times),
        }
    }
}

/// Takes down when tokens came.
struct Times {
    times: Vec<Timing>,
    /// How many did not finish, and why the first did not.
    rejected: Option<(usize, RejectReason)>,
}

impl Times {
    fn new(requests: usize) -> Self {
        let never = Timing { first_token: SimTime::ZERO, last_token: SimTime::ZERO };
        Self { times: vec![never; requests], rejected: None }
    }
}

impl Sink for Times {
    fn token_gaps(&mut self, _gap: SimDuration, _tokens: u64) {}

    fn outcome(&mut self, record: &RequestRecord) {
        match (record.outcome, record.first_token, record.last_token) {
            (Outcome::Finished, Some(first_token), Some(last_token)) => {
                self.times[record.request.index()] = Timing { first_token, last_token };
            }
            (Outcome::Rejected(reason), _, _) => {
                let (count, first) = self.rejected.unwrap_or((0, reason));
                self.rejected = Some((count + 1, first));
            }
            (Outcome::Finished | Outcome::TimedOut | Outcome::Unserved, _, _) => {
                unreachable!("no run cancels or forgets a request, and who is served has tokens")
            }
        }
    }
}

/// Every request is measured.
fn whole(trace: &Trace) -> Window {
    let last = trace.ids().last().map_or(SimTime::ZERO, |id| trace.arrival(id));
    Window { first: RequestId(0), from: SimTime::ZERO, to: last }
}
