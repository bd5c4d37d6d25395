//! Cancellations and interruptions, the plain way.

use super::{Backend, KvCache};
use crate::cluster::Work;
use crate::units::{RequestId, SimDuration, SimTime};

/// A request that left, and the output tokens that it has.
pub(crate) type Gone = (Work, u32);

impl Backend {
    /// Drops a request wherever it stands: its blocks are free at once, and steps in flight give
    /// it nothing.
    pub(crate) fn cancel(&mut self, request: RequestId, now: SimTime) -> Option<Gone> {
        let is_it = |slot: &usize| self.sequence(*slot).work.request == request;
        let slot = self.everybody().find(is_it)?;
        self.note_load(now);
        for queue in [&mut self.running, &mut self.parked] {
            queue.retain(|other| *other != slot);
        }
        self.waiting.retain(|other| *other != slot);
        for step in &mut self.in_flight {
            step.entries.retain(|(other, _)| *other != slot);
        }
        let gone = (self.sequence(slot).work, self.sequence(slot).generated);
        self.free_blocks(slot);
        self.vacate(slot);
        Some(gone)
    }

    /// Stops the engine: nothing comes of the steps in flight, the cache is empty, and all
    /// requests leave.
    pub(crate) fn interrupt(&mut self, now: SimTime) -> Vec<Gone> {
        self.note_load(now);
        let gone = |slot| (self.sequence(slot).work, self.sequence(slot).generated);
        let everybody = self.everybody().map(gone).collect();
        for step in &self.in_flight {
            let start = step.start.max(self.window.from);
            let (all, run) = (step.end, step.end.min(now));
            let not_run = all.saturating_since(start).as_ps() - run.saturating_since(start).as_ps();
            self.stats.busy = SimDuration::from_ps(self.stats.busy.as_ps() - not_run);
        }
        let evictions = self.cache.evictions();
        self.cache = KvCache::new(self.cache.total());
        self.cache.count_evictions(evictions);
        self.sequences.clear();
        self.free_slots.clear();
        self.waiting.clear();
        self.running.clear();
        self.parked.clear();
        self.in_flight.clear();
        self.last_end = now;
        self.launched = false;
        self.blocked_until = None;
        everybody
    }

    /// The requests that are here: running, waiting and parked ones.
    pub(crate) fn here(&self) -> impl Iterator<Item = RequestId> {
        self.everybody().map(|slot| self.sequence(slot).work.request)
    }

    /// The slots of all requests: running, waiting and parked ones.
    fn everybody(&self) -> impl Iterator<Item = usize> {
        self.running.iter().chain(&self.waiting).chain(&self.parked).copied()
    }
}
