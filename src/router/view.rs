//! What an algorithm sees and what it may answer.

use crate::rng::Stream;
use crate::units::{BackendId, SimTime};

/// A way of choosing the backend for a request.
pub trait Algorithm: Send {
    /// Says what the router must keep for it; what nobody needs costs nothing.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Chooses a backend. `backends` are in the order of their ids and never empty.
    fn route(
        &mut self,
        request: &RequestView,
        backends: &[BackendView],
        context: &mut RouteContext<'_>,
    ) -> Decision;

    /// Returns figures of its own state at the end of a run, by name.
    fn diagnostics(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

/// What an algorithm looks at. By default that is everything but the caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// It looks at outstanding requests. Without them their number is `u32::MAX`.
    pub counters: bool,
    /// It looks at what backends report. Without them `waiting` is `u32::MAX`, `kv_usage` no number.
    pub reports: bool,
    /// It asks which tokens of a prompt the backends' caches hold.
    pub cache: bool,
}

impl Needs {
    /// It only asks which backends accept the request.
    pub const NOTHING: Self = Self { counters: false, reports: false, cache: false };
    /// It looks at outstanding requests.
    pub const COUNTERS: Self = Self { counters: true, ..Self::NOTHING };
    /// It looks at what backends report.
    pub const REPORTS: Self = Self { reports: true, ..Self::NOTHING };
}

impl Default for Needs {
    fn default() -> Self {
        Self { counters: true, reports: true, cache: false }
    }
}

/// A request as the router knows it on arrival: no output length, by type.
#[derive(Clone, Copy, Debug)]
pub struct RequestView {
    /// When it reached the router.
    pub arrival: SimTime,
    /// Prompt length in tokens.
    pub prompt_tokens: u32,
    /// Leading tokens that other prompts may share: what its prefix or block ids describe.
    pub shared_tokens: u32,
    /// Local: leading tokens that every prompt this router has seen begins with, in whole trace
    /// blocks. A system prompt of the whole service tells backends apart by chance only. 0 for
    /// prefixes of one level.
    pub common_tokens: u32,
    /// Session, if it has one.
    pub session: Option<u32>,
}

/// A backend as the router knows it.
#[derive(Clone, Copy, Debug)]
pub struct BackendView {
    /// Which backend.
    pub id: BackendId,
    /// Local: requests sent there whose end has not come back.
    pub outstanding: u32,
    /// Report: requests that wait there. As of now.
    pub waiting: u32,
    /// Report: share of its KV blocks that requests hold, from 0 to 1. As of now.
    pub kv_usage: f64,
    /// Whether so many wait there that it would refuse one more. As of now.
    pub full: bool,
    /// Config: how many requests may wait there.
    pub max_queue_depth: u32,
}

impl BackendView {
    /// Returns whether it would take one more request.
    pub fn accepts(&self) -> bool {
        !self.full
    }

    /// Returns outstanding requests over the queue depth, at most 1.
    pub fn load_ratio(&self) -> f64 {
        (f64::from(self.outstanding) / f64::from(self.max_queue_depth.max(1))).min(1.0)
    }
}

/// What else an algorithm may use while it routes one request.
pub struct RouteContext<'a> {
    /// The instant of the decision.
    pub now: SimTime,
    /// The router's own stream of random numbers.
    pub rng: &'a mut Stream,
    /// What the caches hold of this request's prompt.
    pub cache: &'a dyn CacheView,
    /// The answer to "the fewest outstanding requests, of equals the lowest id", where the router
    /// keeps an index of its counters: large fleets.
    pub least_outstanding: Option<Decision>,
}

/// What the router knows of the backends' caches, for the request being routed.
pub trait CacheView {
    /// Returns how many leading tokens of the prompt the backend holds, without a gap and in
    /// whole engine blocks.
    fn matched_tokens(&self, backend: BackendId) -> u32;
}

/// What an algorithm answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send it there.
    To(BackendId),
    /// Turn it away.
    Reject(RejectReason),
}

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RejectReason {
    /// No backend takes another request: every queue is full.
    NoBackend,
    /// The chosen backend refused: its queue was full.
    QueueFull,
    /// It needs more KV blocks than the backend has.
    NeverFits,
}

impl RejectReason {
    /// Every reason, in the order of reports.
    pub const ALL: [Self; 3] = [Self::NoBackend, Self::QueueFull, Self::NeverFits];

    /// Returns its name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoBackend => "no_backend",
            Self::QueueFull => "queue_full",
            Self::NeverFits => "never_fits",
        }
    }
}

/// Sends the request to the first backend of the least `cost` among those that accept it.
pub(super) fn first_min(
    backends: &[BackendView],
    mut cost: impl FnMut(&BackendView) -> f64,
) -> Decision {
    let mut best: Option<(f64, BackendId)> = None;
    for backend in backends.iter().filter(|backend| backend.accepts()) {
        let cost = cost(backend);
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, backend.id));
        }
    }
    to(best.map(|(_, id)| id))
}

/// Sends the request to the last backend of the greatest `score` among those that accept it.
pub(super) fn last_max(
    backends: &[BackendView],
    mut score: impl FnMut(&BackendView) -> f64,
) -> Decision {
    let mut best: Option<(f64, BackendId)> = None;
    for backend in backends.iter().filter(|backend| backend.accepts()) {
        let score = score(backend);
        if best.is_none_or(|(most, _)| score >= most) {
            best = Some((score, backend.id));
        }
    }
    to(best.map(|(_, id)| id))
}

fn to(backend: Option<BackendId>) -> Decision {
    backend.map_or(Decision::Reject(RejectReason::NoBackend), Decision::To)
}

#[cfg(test)]
pub(super) mod testing {
    //! Backends and caches as a test states them.

    use super::{
        Algorithm, BackendView, CacheView, Decision, RequestView, RouteContext, SimTime, Stream,
    };
    use crate::units::BackendId;

    /// Matched tokens by backend.
    pub(in crate::router) struct Matches(pub(in crate::router) Vec<u32>);

    impl CacheView for Matches {
        fn matched_tokens(&self, backend: BackendId) -> u32 {
            self.0.get(backend.index()).copied().unwrap_or(0)
        }
    }

    /// Backends with these outstanding requests, empty queues of depth `depth` and no KV in use.
    pub(in crate::router) fn backends(outstanding: &[u32], depth: u32) -> Vec<BackendView> {
        let view = |(index, outstanding): (usize, &u32)| BackendView {
            id: BackendId::at(index),
            outstanding: *outstanding,
            waiting: 0,
            kv_usage: 0.0,
            full: false,
            max_queue_depth: depth,
        };
        outstanding.iter().enumerate().map(view).collect()
    }

    /// A request of 160 tokens, all of them shareable, in no session.
    pub(in crate::router) fn request() -> RequestView {
        let arrival = SimTime::ZERO;
        RequestView {
            arrival,
            prompt_tokens: 160,
            shared_tokens: 160,
            common_tokens: 0,
            session: None,
        }
    }

    /// Routes one request and returns the index of the backend.
    pub(in crate::router) fn pick(
        algorithm: &mut dyn Algorithm,
        request: &RequestView,
        backends: &[BackendView],
        matches: &[u32],
    ) -> Option<u32> {
        let mut rng = Stream::new(1, "test", 0);
        let cache = Matches(matches.to_vec());
        let now = request.arrival;
        let mut context =
            RouteContext { now, rng: &mut rng, cache: &cache, least_outstanding: None };
        match algorithm.route(request, backends, &mut context) {
            Decision::To(id) => Some(id.0),
            Decision::Reject(_) => None,
        }
    }
}
