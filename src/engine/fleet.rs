//! The backends of a run, each at its own time.
//!
//! A backend is carried forward only when somebody looks at it. Who must know that nothing has
//! changed keeps a fleet that is *followed*: for each backend it knows an instant before which
//! nothing changes that others can see.

use std::ops::Range;
use std::sync::Arc;

use crate::cluster::{Backend, BackendStats, FleetSpec, Progress, Refusal, Work};
use crate::trace::{Path, Segments};
use crate::units::{BackendId, RequestId, SimDuration, SimTime};
use crate::workload::Window;

use super::min_tree::MinTree;
use super::sim::{BackendState, Outcome, RequestRecord, Sink};

/// What is followed of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// Nothing.
    Nothing,
    /// Requests that are done.
    Ends,
    /// Requests that are done, and what the caches hold.
    EndsAndCaches,
}

/// All backends.
pub(super) struct Fleet {
    backends: Vec<Backend>,
    followed: Followed,
    /// By backend: nothing that is followed changes before.
    changes: MinTree,
    /// Requests that have left each backend since the router last asked.
    left: Vec<u32>,
    /// Those with any.
    with_left: Vec<BackendId>,
    /// Requests that made their first token and are to be sent on, in order.
    sent_on: Vec<Work>,
}

/// Passes on what a backend does.
struct Ledger<'a, S> {
    sink: &'a mut S,
    left: u32,
    sent_on: &'a mut Vec<Work>,
}

impl<S: Sink> Progress for Ledger<'_, S> {
    fn token_gaps(&mut self, gap: SimDuration, tokens: u64) {
        self.sink.token_gaps(gap, tokens);
    }

    fn token_gap_run(&mut self, first: SimDuration, growth: SimDuration, steps: u64, tokens: u64) {
        self.sink.token_gap_run(first, growth, steps, tokens);
    }

    fn done(&mut self, work: &Work) {
        if work.is_sent_on() {
            self.sent_on.push(*work);
        } else {
            self.left += 1;
            self.sink.outcome(&RequestRecord::new(work, Outcome::Finished));
        }
    }
}

impl Fleet {
    pub(super) fn new(
        spec: &FleetSpec,
        segments: &Arc<Segments>,
        window: Window,
        followed: Followed,
    ) -> Self {
        let len = spec.backends.len();
        let backend = |spec| Backend::new(spec, Arc::clone(segments), window);
        Self {
            backends: spec.backends.iter().map(backend).collect(),
            followed,
            changes: MinTree::new(len),
            left: vec![0; len],
            with_left: Vec::new(),
            sent_on: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.backends.len()
    }

    /// The next instant at which something that is followed may change, and where: of several the
    /// lowest id.
    pub(super) fn next_change(&self) -> Option<(SimTime, BackendId)> {
        let at = SimTime::from_ps(self.changes.least());
        (at != SimTime::MAX).then(|| (at, BackendId::at(self.changes.first())))
    }

    /// Carries a backend forward through all before `until`.
    pub(super) fn advance(&mut self, id: BackendId, until: SimTime, sink: &mut impl Sink) {
        if self.backends[id.index()].next_event() >= until {
            return;
        }
        self.carry(id, until, sink);
        self.follow(id.index());
    }

    fn carry(&mut self, id: BackendId, until: SimTime, sink: &mut impl Sink) {
        let index = id.index();
        let mut ledger = Ledger { sink, left: 0, sent_on: &mut self.sent_on };
        self.backends[index].advance(until, &mut ledger);
        let left = ledger.left;
        self.note_left(id, left);
    }

    /// Carries forward every backend of which something that is followed may have changed.
    pub(super) fn catch_up(&mut self, until: SimTime, sink: &mut impl Sink) {
        while self.changes.least() < until.as_ps() {
            self.advance(BackendId::at(self.changes.first()), until, sink);
        }
    }

    /// Carries a backend forward to `now` and gives it a request.
    pub(super) fn enqueue(
        &mut self,
        id: BackendId,
        work: &Work,
        now: SimTime,
        sink: &mut impl Sink,
    ) -> Result<(), Refusal> {
        self.carry(id, now, sink);
        let taken = self.backends[id.index()].enqueue(work, now);
        self.follow(id.index());
        taken
    }

    /// Frees the KV of a request on a backend that has been carried forward to `now`.
    pub(super) fn release(&mut self, id: BackendId, request: RequestId, now: SimTime) {
        self.backends[id.index()].release(request, now);
        self.note_left(id, 1);
        self.follow(id.index());
    }

    /// Notes that a backend refused a request that was counted there.
    pub(super) fn refused(&mut self, id: BackendId) {
        self.note_left(id, 1);
    }

    /// Tells which backends of `range` have lost requests since this was last asked, and how many.
    pub(super) fn take_left(&mut self, range: &Range<usize>, mut tell: impl FnMut(BackendId, u32)) {
        let mut place = 0;
        while let Some(&id) = self.with_left.get(place) {
            if range.contains(&id.index()) {
                self.with_left.swap_remove(place);
                tell(id, std::mem::take(&mut self.left[id.index()]));
            } else {
                place += 1;
            }
        }
    }

    /// Takes the requests that are to be sent on.
    pub(super) fn take_sent_on(&mut self) -> Vec<Work> {
        std::mem::take(&mut self.sent_on)
    }

    pub(super) fn waiting(&self, id: BackendId) -> u32 {
        self.backends[id.index()].waiting()
    }

    pub(super) fn kv_usage(&self, id: BackendId) -> f64 {
        self.backends[id.index()].kv_usage()
    }

    pub(super) fn cached_tokens(&self, id: BackendId, path: Path) -> u32 {
        self.backends[id.index()].cached_tokens(path)
    }

    /// What a backend is like that has been carried forward, with so many requests sent there that
    /// are not yet taken off as [left](Self::take_left).
    pub(super) fn state(&self, id: BackendId, inside: u32) -> BackendState {
        let backend = &self.backends[id.index()];
        BackendState {
            waiting: backend.waiting(),
            running: backend.running(),
            outstanding: inside - self.left[id.index()],
            used_blocks: backend.used_blocks(),
            blocks: backend.blocks(),
        }
    }

    pub(super) fn stats(&self) -> Vec<BackendStats> {
        self.backends.iter().map(Backend::stats).collect()
    }

    /// Steps composed so far.
    pub(super) fn steps(&self) -> u64 {
        self.backends.iter().map(|backend| backend.stats().steps).sum()
    }

    /// When the last step so far has ended.
    pub(super) fn ended_at(&self) -> SimTime {
        self.backends.iter().map(Backend::ended_at).max().unwrap_or(SimTime::ZERO)
    }

    /// Requests that are still there.
    pub(super) fn live(&self) -> impl Iterator<Item = &Work> {
        self.backends.iter().flat_map(Backend::live)
    }

    /// Whether something would happen after all that was carried out.
    pub(super) fn is_cut_off(&self) -> bool {
        self.backends.iter().any(Backend::is_cut_off)
    }

    fn note_left(&mut self, id: BackendId, left: u32) {
        if left > 0 {
            if self.left[id.index()] == 0 {
                self.with_left.push(id);
            }
            self.left[id.index()] += left;
        }
    }

    fn follow(&mut self, index: usize) {
        let with_cache = match self.followed {
            Followed::Nothing => return,
            Followed::Ends => false,
            Followed::EndsAndCaches => true,
        };
        let at = self.backends[index].next_change(with_cache);
        self.changes.set(index, at.as_ps());
    }
}
