//! The KV cache of one backend, block by block, as vLLM's block pool keeps it.
//!
//! A block is *used* (some sequence holds it), *cached* (nobody does, but its content is known and
//! can be taken again) or *free*. Cached and free blocks stand in one list in the order in which
//! they were given back; allocation takes from its head, so it evicts the least recently used.

use rustc_hash::FxHashMap;

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Block {
    key: Option<u64>,
    refs: u32,
    /// Neighbours in the list of blocks that nobody holds.
    prev: u32,
    next: u32,
}

/// Blocks, who holds them, and which content they have.
#[derive(Debug)]
pub(super) struct KvCache {
    total: u32,
    blocks: Vec<Block>,
    /// The block of each content. Looked up by key, never iterated.
    index: FxHashMap<u64, u32>,
    /// Least recently given back, so next to be taken.
    head: u32,
    tail: u32,
    unheld: u32,
    cached: u32,
    evictions: u64,
}

impl KvCache {
    /// Makes an empty cache of that many usable blocks.
    pub(super) fn new(blocks: u32) -> Self {
        let block = |id: u32| Block {
            key: None,
            refs: 0,
            prev: if id == 0 { NONE } else { id - 1 },
            next: if id + 1 == blocks { NONE } else { id + 1 },
        };
        Self {
            total: blocks,
            blocks: (0..blocks).map(block).collect(),
            index: FxHashMap::default(),
            head: if blocks == 0 { NONE } else { 0 },
            tail: blocks.checked_sub(1).unwrap_or(NONE),
            unheld: blocks,
            cached: 0,
            evictions: 0,
        }
    }

    /// Returns the number of blocks in all.
    pub(super) fn total(&self) -> u32 {
        self.total
    }

    /// Returns the number of blocks that nobody holds, cached ones included.
    pub(super) fn unheld(&self) -> u32 {
        self.unheld
    }

    /// Returns the number of blocks that nobody holds but whose content can be taken again.
    pub(super) fn cached(&self) -> u32 {
        self.cached
    }

    /// Returns how many blocks lost their content to an allocation.
    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Goes on from that many evictions.
    pub(super) fn count_evictions(&mut self, evictions: u64) {
        self.evictions = evictions;
    }

    /// Returns the share of blocks held by sequences, as vLLM reports its usage: content that
    /// nobody holds does not count.
    pub(super) fn usage(&self) -> f64 {
        f64::from(self.total() - self.unheld) / f64::from(self.total())
    }

    /// Returns the block with this content, if there is one.
    pub(super) fn find(&self, key: u64) -> Option<u32> {
        self.index.get(&key).copied()
    }

    /// Returns whether nobody holds the block.
    pub(super) fn is_unheld(&self, block: u32) -> bool {
        self.blocks[block as usize].refs == 0
    }

    /// Adds a holder to a block with known content.
    pub(super) fn hold(&mut self, block: u32) {
        if self.blocks[block as usize].refs == 0 {
            self.unlink(block);
            self.cached -= 1;
        }
        self.blocks[block as usize].refs += 1;
    }

    /// Takes the block at the head of the list, evicting its content.
    ///
    /// # Panics
    ///
    /// When every block is held: the scheduler must look at [`unheld`](Self::unheld) first.
    pub(super) fn allocate(&mut self) -> u32 {
        let block = self.head;
        assert!(block != NONE, "an allocation from a full cache");
        self.unlink(block);
        if let Some(key) = self.blocks[block as usize].key.take() {
            self.index.remove(&key);
            self.cached -= 1;
            self.evictions += 1;
        }
        self.blocks[block as usize].refs = 1;
        block
    }

    /// Records the content of a held block that no other block has.
    pub(super) fn register(&mut self, block: u32, key: u64) {
        self.blocks[block as usize].key = Some(key);
        assert!(self.index.insert(key, block).is_none(), "equal content twice");
    }

    /// Takes a holder away; a block that nobody holds goes to the tail of the list.
    ///
    /// # Panics
    ///
    /// When nobody holds the block.
    pub(super) fn release(&mut self, block: u32) {
        let entry = &mut self.blocks[block as usize];
        entry.refs = entry.refs.checked_sub(1).expect("a block released more often than held");
        if entry.refs > 0 {
            return;
        }
        (entry.prev, entry.next) = (self.tail, NONE);
        if entry.key.is_some() {
            self.cached += 1;
        }
        match self.tail {
            NONE => self.head = block,
            tail => self.blocks[tail as usize].next = block,
        }
        self.tail = block;
        self.unheld += 1;
    }

    fn unlink(&mut self, block: u32) {
        let Block { prev, next, .. } = self.blocks[block as usize];
        match prev {
            NONE => self.head = next,
            prev => self.blocks[prev as usize].next = next,
        }
        match next {
            NONE => self.tail = prev,
            next => self.blocks[next as usize].prev = prev,
        }
        self.unheld -= 1;
    }

    /// Counts holders over all blocks.
    pub(super) fn holders(&self) -> usize {
        self.blocks.iter().map(|block| block.refs as usize).sum()
    }

    /// Checks the law that used + cached + free = total, by counting.
    pub(super) fn check(&self) {
        let held = self.blocks.iter().filter(|block| block.refs > 0).count();
        let mut listed = 0;
        let mut cached = 0;
        let mut at = self.head;
        while at != NONE {
            let block = &self.blocks[at as usize];
            assert_eq!(block.refs, 0, "a held block in the list");
            listed += 1;
            cached += u32::from(block.key.is_some());
            at = block.next;
        }
        assert_eq!(listed, self.unheld);
        assert_eq!(cached, self.cached);
        assert_eq!(held + listed as usize, self.blocks.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_released_content_goes_first() {
        let mut cache = KvCache::new(3);
        let blocks: Vec<u32> = (0..3).map(|_| cache.allocate()).collect();
        for (block, key) in blocks.iter().zip([10, 11, 12]) {
            cache.register(*block, key);
        }
        for block in [2, 1, 0] {
            cache.release(block);
        }
        assert_eq!((cache.unheld(), cache.cached()), (3, 3));
        cache.allocate();
        assert_eq!(cache.find(12), None, "released first, evicted first");
        assert!(cache.find(10).is_some() && cache.find(11).is_some());
        assert_eq!(cache.evictions(), 1);
        cache.check();
    }

    #[test]
    fn a_hit_leaves_the_list_and_comes_back_at_its_tail() {
        let mut cache = KvCache::new(2);
        let (a, b) = (cache.allocate(), cache.allocate());
        cache.register(a, 1);
        cache.register(b, 2);
        cache.release(a);
        cache.release(b);
        cache.hold(a);
        cache.hold(a);
        assert_eq!(cache.unheld(), 1);
        cache.release(a);
        assert_eq!(cache.unheld(), 1, "one holder is left");
        cache.release(a);
        cache.allocate();
        assert_eq!(cache.find(1), Some(a), "used later than the other");
        cache.check();
    }
}
