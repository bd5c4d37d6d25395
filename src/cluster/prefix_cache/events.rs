//! What a cache tells of its shared content, for those who keep a view of it from afar.
//!
//! Nothing is noted before somebody [listens](PrefixCache::listen). From then on each change of
//! the leading blocks of a segment is: whoever carries out all changes up to an instant finds what
//! the cache held then. Blocks that belong to a request alone are never told of.

use super::PrefixCache;
use crate::trace::SegmentId;
use crate::units::SimTime;

/// A change of what a cache holds, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheEvent {
    /// When: the pass of the scheduler, or the interruption, that made it.
    pub at: SimTime,
    /// What changed.
    pub change: CacheChange,
}

/// A change of what a cache holds. Blocks are numbered from the start of their segment, `from` up
/// to but without `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheChange {
    /// Content that was not there can be looked up.
    Stored {
        /// Of which segment.
        segment: SegmentId,
        /// Its blocks before `from` were there already.
        from: u32,
        /// It had none from here on.
        to: u32,
    },
    /// Content was evicted.
    Removed {
        /// Of which segment.
        segment: SegmentId,
        /// Its blocks before `from` are still there.
        from: u32,
        /// It had none from here on.
        to: u32,
    },
    /// All content is gone.
    Cleared,
}

/// The changes that nobody has taken yet.
#[derive(Debug, Default)]
pub(super) struct Journal {
    now: SimTime,
    events: Vec<CacheEvent>,
}

impl Journal {
    pub(super) fn note(&mut self, change: CacheChange) {
        self.events.push(CacheEvent { at: self.now, change });
    }
}

impl PrefixCache {
    /// Notes changes from now on. It must be empty, or the first of them have no ground.
    ///
    /// # Panics
    ///
    /// When it holds content already.
    pub fn listen(&mut self) {
        assert!(self.live.is_empty(), "who listens must hear from the start");
        self.journal.get_or_insert_default();
    }

    /// Returns whether changes are noted.
    pub fn is_heard(&self) -> bool {
        self.journal.is_some()
    }

    /// Takes the changes since they were last taken, in order.
    pub fn take_events(&mut self) -> impl Iterator<Item = CacheEvent> {
        self.journal.iter_mut().flat_map(|journal| journal.events.drain(..))
    }

    /// Sets the time of the changes to come.
    #[inline]
    pub fn set_time(&mut self, now: SimTime) {
        if let Some(journal) = &mut self.journal {
            journal.now = now;
        }
    }

    /// Loses all content, of which nothing may be held any more by anyone: what requests hold is
    /// void from now on. None of it counts as evicted.
    pub fn clear(&mut self) {
        let (evictions, mut journal) = (self.evictions(), self.journal.take());
        if let Some(journal) = &mut journal {
            journal.note(CacheChange::Cleared);
        }
        *self = Self { evictions, journal, ..Self::new(self.total) };
    }
}
