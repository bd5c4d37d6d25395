//! What a cache knows of one segment.

use crate::trace::SegmentId;

use super::runs::NONE;

/// The cached blocks of a segment, or of a request that was preempted.
///
/// Cached are the leading `cached` blocks; the leading `held.longest()` of them have holders and
/// the others stand in the list, the deepest first.
#[derive(Debug)]
pub(super) struct Node {
    /// `None` for the blocks of one request alone.
    pub(super) segment: Option<SegmentId>,
    /// The node of the segment before; alive as long as this one has a block.
    pub(super) parent: u32,
    /// Blocks before this node on its path.
    pub(super) start: u32,
    pub(super) cached: u32,
    pub(super) held: HeldLengths,
    /// The run given back last, if any block stands in the list.
    pub(super) shallowest: u32,
    /// Whether a request will come back for its own blocks.
    pub(super) awaited: bool,
}

impl Node {
    pub(super) fn new(segment: Option<SegmentId>, parent: u32, start: u32) -> Self {
        Self {
            segment,
            parent,
            start,
            cached: 0,
            held: HeldLengths::default(),
            shallowest: NONE,
            awaited: segment.is_none(),
        }
    }

    /// Returns whether some of its blocks stand in the list.
    pub(super) fn is_listed(&self) -> bool {
        self.cached > self.held.longest()
    }
}

/// How many leading blocks each holder of a node holds: nearly always all of them the same.
#[derive(Debug, Default)]
pub(super) struct HeldLengths {
    longest: u32,
    /// Holders of the longest.
    count: u32,
    /// The other lengths with their holders, ascending.
    shorter: Vec<(u32, u32)>,
}

impl HeldLengths {
    /// Returns the blocks that have a holder.
    pub(super) fn longest(&self) -> u32 {
        self.longest
    }

    /// Adds a holder of so many blocks, from 1.
    pub(super) fn add(&mut self, length: u32) {
        if length == self.longest {
            self.count += 1;
        } else if length > self.longest {
            if self.count > 0 {
                self.shorter.push((self.longest, self.count));
            }
            (self.longest, self.count) = (length, 1);
        } else {
            match self.shorter.binary_search_by_key(&length, |(length, _)| *length) {
                Ok(at) => self.shorter[at].1 += 1,
                Err(at) => self.shorter.insert(at, (length, 1)),
            }
        }
    }

    /// Takes a holder of so many blocks away.
    pub(super) fn remove(&mut self, length: u32) {
        if length == self.longest {
            self.count -= 1;
            if self.count == 0 {
                (self.longest, self.count) = self.shorter.pop().unwrap_or_default();
            }
            return;
        }
        let at = self.shorter.binary_search_by_key(&length, |(length, _)| *length);
        let at = at.expect("a holder gives back what it holds");
        self.shorter[at].1 -= 1;
        if self.shorter[at].1 == 0 {
            self.shorter.remove(at);
        }
    }

    /// Returns the number of holders.
    #[cfg(test)]
    pub(super) fn holders(&self) -> u32 {
        self.count + self.shorter.iter().map(|(_, count)| count).sum::<u32>()
    }
}
