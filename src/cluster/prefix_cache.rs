//! The KV cache of one backend, exact to the block at a cost per segment.
//!
//! A block is *held* (by one request or more) or it stands in one list, with content that can be
//! taken again (*cached*), with content that nobody can look up, or empty. Allocation takes from
//! the head of the list and drops the content; what is given back goes to the tail, the last
//! block of a request first.
//!
//! A request holds the leading blocks of its [`Path`], so whoever holds a block also holds all
//! before it. Two things follow. Of each segment, the cached blocks are a leading part and the
//! held ones a leading part of that: lengths say all. And a block enters the list before the
//! blocks before it do, so it is also evicted before them. To keep this so, a block that is
//! computed although its content is cached already (two requests prefill the same prefix at once,
//! or a fully cached prompt's last block) becomes a *spare*: its request takes the cached one as
//! well and keeps the spare, empty, until it gives back all. vLLM keeps such a block under the
//! same hash instead, where it serves only once the other is gone.
//!
//! The blocks that belong to a request alone are only counted: nobody else can look them up. A
//! preempted request can, when it comes back, so its blocks become a node like a segment's.

mod events;
mod nodes;
mod runs;

use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::trace::{Path, SegmentId, Segments};

use events::Journal;
use nodes::Node;
use runs::{NONE, RunList};

pub use events::{CacheChange, CacheEvent};

/// So many blocks are owed to the list at most, which keeps it short.
const MOST_OWED: u32 = 4_096;

/// Leading blocks that are cached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hit {
    /// How many.
    pub blocks: u32,
    /// Those of them that nobody holds: [`PrefixCache::unheld`] shrinks by so many when they are
    /// taken.
    pub unheld: u32,
}

/// Blocks beyond a request's [`Path`], which belong to it alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnBlocks {
    /// Full ones, whose content is known.
    pub full: u32,
    /// Taken, but not full or not known yet, on the path or beyond it.
    pub open: u32,
}

/// What one request holds. Blocks that were only taken are for its scheduler to count.
#[derive(Debug, PartialEq, Eq)]
pub struct Holding {
    /// The deepest node held on the path, and the blocks from the root to there.
    node: u32,
    shared: u32,
    spares: u32,
    /// The node of its own blocks, if it was ever preempted with one, and how many it holds.
    own_node: u32,
    own: u32,
}

impl Default for Holding {
    fn default() -> Self {
        Self { node: NONE, shared: 0, spares: 0, own_node: NONE, own: 0 }
    }
}

impl Holding {
    /// Returns the leading blocks it holds under a name: those on its path and, once it was
    /// preempted, its own after them.
    pub fn blocks(&self) -> u32 {
        self.shared + self.own
    }

    /// Returns the blocks it computed although their content was there.
    pub fn spares(&self) -> u32 {
        self.spares
    }

    /// Returns whether its own blocks have a name, because it was preempted with some: then they
    /// must be [registered](PrefixCache::register) too.
    pub fn names_own(&self) -> bool {
        self.own_node != NONE
    }
}

/// Which content is cached, and in which order it goes.
#[derive(Debug)]
pub struct PrefixCache {
    total: u32,
    unheld: u32,
    cached: u32,
    evictions: u64,
    list: RunList,
    /// Blocks that were taken and still stand at the head of the list. As long as nobody can look
    /// up any content it does not matter when they go.
    owed: u32,
    nodes: Vec<Node>,
    spare_nodes: Vec<u32>,
    /// The nodes of segments with a cached block. Looked up by key, never iterated.
    live: FxHashMap<SegmentId, u32>,
    /// The segments that a registration touches, deepest first; kept to be filled again.
    touched: Vec<SegmentId>,
    /// The changes of what segments hold, if somebody listens.
    journal: Option<Box<Journal>>,
}

impl PrefixCache {
    /// Makes an empty cache of that many usable blocks.
    pub fn new(total: u32) -> Self {
        let mut list = RunList::new();
        list.push_anonymous(total, 0);
        Self {
            total,
            unheld: total,
            cached: 0,
            evictions: 0,
            list,
            owed: 0,
            nodes: Vec::new(),
            spare_nodes: Vec::new(),
            live: FxHashMap::default(),
            touched: Vec::new(),
            journal: None,
        }
    }

    /// Returns the number of blocks in all.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Returns the number of blocks that nobody holds, those with content included.
    pub fn unheld(&self) -> u32 {
        self.unheld
    }

    /// Returns the number of blocks that nobody holds but whose content is known.
    pub fn cached(&self) -> u32 {
        self.cached - self.owed_content()
    }

    /// Returns how many blocks lost their content to an allocation.
    pub fn evictions(&self) -> u64 {
        self.evictions + u64::from(self.owed_content())
    }

    /// Returns how many blocks, up to `most`, can be taken before one goes that a path may match.
    pub fn dead_head(&self, most: u32) -> u32 {
        if !self.has_names() {
            return most.min(self.unheld);
        }
        let mut dead = 0;
        let mut at = self.list.head();
        while dead < most {
            let Some(run) = self.list.get(at) else {
                break;
            };
            let node = self.nodes.get(run.node as usize);
            if node.is_some_and(|node| node.segment.is_some()) {
                break;
            }
            dead += run.empty + (run.to - run.from);
            at = run.next;
        }
        dead.min(most)
    }

    /// Returns how many leading blocks of a path are cached.
    pub fn matched(&self, segments: &Segments, path: Path) -> u32 {
        self.matched_by(self.deepest(segments, path), path)
    }

    /// Returns what a request that holds nothing can take, up to `most` blocks. `holding` adds
    /// its own blocks, if it was preempted.
    pub fn hit(&self, segments: &Segments, path: Path, holding: &Holding, most: u32) -> Hit {
        debug_assert_eq!(holding.blocks(), 0, "only a request without blocks looks for a hit");
        let node = self.deepest(segments, path);
        let shared = self.matched_by(node, path);
        let own = self.nodes.get(holding.own_node as usize).map_or(0, |own| own.cached);
        debug_assert!(own == 0 || shared == path.blocks, "own blocks outlive their path");
        let blocks = (shared + own).min(most);
        // Nobody else can hold its own blocks.
        let held = self.held_through(node).min(path.blocks);
        Hit { blocks, unheld: blocks.saturating_sub(held) }
    }

    /// Gives a request that holds nothing the leading `blocks` of its path, and of its own after
    /// it: no more than a [`hit`](Self::hit) says.
    ///
    /// # Panics
    ///
    /// When they are not cached.
    pub fn hold(&mut self, segments: &Segments, path: Path, blocks: u32, holding: &mut Holding) {
        assert_eq!(holding.blocks(), 0, "only a request without blocks takes a hit");
        let shared = blocks.min(path.blocks);
        if shared > 0 {
            let segment = ending_at(segments, path, shared);
            let node = self.live.get(&segment);
            holding.node = *node.expect("only cached blocks are taken again");
            holding.shared = shared;
            self.hold_up_from(holding.node, shared);
        }
        if blocks > shared {
            holding.own = blocks - shared;
            self.extend(holding.own_node, 0..holding.own);
        }
    }

    /// Takes blocks from the head of the list, which lose their content.
    ///
    /// # Panics
    ///
    /// When there are not so many: the scheduler must look at [`unheld`](Self::unheld) first.
    #[inline]
    pub fn take(&mut self, blocks: u32) {
        assert!(blocks <= self.unheld, "{blocks} blocks taken where {} are unheld", self.unheld);
        self.unheld -= blocks;
        self.owed += blocks;
        if self.owed >= MOST_OWED || self.has_names() {
            self.settle();
        }
    }

    /// Makes known the content of taken blocks: those at `positions` of the request's path, of
    /// which it holds all before. Positions beyond the path are its own and count only if it
    /// [names them](Holding::names_own). Where the content is cached already the request holds
    /// that and keeps a spare; if nobody held it, `unheld` shrinks.
    ///
    /// # Panics
    ///
    /// When the request does not hold all blocks before `positions`.
    pub fn register(
        &mut self,
        segments: &Segments,
        path: Path,
        positions: Range<u32>,
        holding: &mut Holding,
    ) {
        let end = positions.end.min(path.blocks);
        if positions.start < end {
            self.register_shared(segments, path, positions.start..end, holding);
        }
        let own = positions.end.saturating_sub(path.blocks);
        if own > 0 && holding.names_own() {
            assert!(holding.own == positions.start.saturating_sub(path.blocks), "a gap");
            holding.spares += self.extend(holding.own_node, holding.own..own);
            holding.own = own;
        }
    }

    /// Gives back all that a request holds or took, for good: what it leaves empty first, then its
    /// own blocks, then its path, each from the deepest block. Its own content stays in the list
    /// until it is evicted, but is dead.
    pub fn release(&mut self, mut holding: Holding, own: OwnBlocks) {
        let dead = if holding.names_own() { 0 } else { own.full };
        self.give_back(&mut holding, own, dead);
        if holding.names_own() {
            let node = &mut self.nodes[holding.own_node as usize];
            node.awaited = false;
            if node.cached == 0 {
                self.spare_nodes.push(holding.own_node);
            }
        }
    }

    /// Gives back all that a request holds or took, in the same order, but keeps the names of its
    /// own full blocks: a later [`hit`](Self::hit) with this `holding` finds them.
    pub fn preempt(&mut self, holding: &mut Holding, own: OwnBlocks) {
        if own.full > 0 && !holding.names_own() {
            holding.own_node = self.add_node(Node::new(None, NONE, 0));
            holding.own = own.full;
            self.extend(holding.own_node, 0..own.full);
        }
        self.give_back(holding, own, 0);
    }

    fn give_back(&mut self, holding: &mut Holding, own: OwnBlocks, dead: u32) {
        debug_assert!(!holding.names_own() || own.full == holding.own, "own blocks not registered");
        let empty = holding.spares + own.open;
        self.list.push_anonymous(empty, dead);
        self.unheld += empty + dead;
        self.cached += dead;
        if holding.own > 0 {
            self.shrink(holding.own_node, holding.own);
        }
        let (mut node, mut end) = (holding.node, holding.shared);
        while node != NONE {
            let Node { start, parent, .. } = self.nodes[node as usize];
            self.shrink(node, end - start);
            (node, end) = (parent, start);
        }
        *holding = Holding { own_node: holding.own_node, ..Holding::default() };
    }

    /// Returns the node of the deepest segment on a path with a cached block, or `NONE`.
    fn deepest(&self, segments: &Segments, path: Path) -> u32 {
        let mut at = path.leaf;
        while let Some(segment) = at {
            if let Some(node) = self.live.get(&segment) {
                return *node;
            }
            at = segments.parent(segment);
        }
        NONE
    }

    /// Returns the leading blocks of a path that are cached, from its deepest node.
    fn matched_by(&self, node: u32, path: Path) -> u32 {
        let node = self.nodes.get(node as usize);
        node.map_or(0, |node| (node.start + node.cached).min(path.blocks))
    }

    /// Returns the leading blocks of the way to a node that have holders.
    fn held_through(&self, mut at: u32) -> u32 {
        while let Some(node) = self.nodes.get(at as usize) {
            if node.held.longest() > 0 {
                return node.start + node.held.longest();
            }
            at = node.parent;
        }
        0
    }

    /// Adds a holder to the way to a node, up to block `end`.
    fn hold_up_from(&mut self, mut node: u32, mut end: u32) {
        while node != NONE {
            let Node { start, parent, cached, .. } = self.nodes[node as usize];
            assert!(end - start <= cached, "only cached blocks are taken again");
            self.extend(node, 0..end - start);
            (node, end) = (parent, start);
        }
    }

    fn register_shared(
        &mut self,
        segments: &Segments,
        path: Path,
        positions: Range<u32>,
        holding: &mut Holding,
    ) {
        assert_eq!(holding.shared, positions.start, "a holder holds all blocks before");
        let mut touched = std::mem::take(&mut self.touched);
        let mut at = path.leaf;
        while let Some(segment) = at {
            let start = segments.start(segment);
            if start < positions.end {
                touched.push(segment);
            }
            at = segments.parent(segment).filter(|_| start > positions.start);
        }
        while let Some(segment) = touched.pop() {
            let start = segments.start(segment);
            let end = touched.last().map_or(positions.end, |below| segments.start(*below));
            if holding.shared == start {
                holding.node = self.node_of(segment, holding.node, start);
            }
            holding.spares += self.extend(holding.node, holding.shared - start..end - start);
            holding.shared = end;
        }
        self.touched = touched;
    }

    /// Returns the node of a segment, made if nothing of it is cached.
    fn node_of(&mut self, segment: SegmentId, parent: u32, start: u32) -> u32 {
        if let Some(node) = self.live.get(&segment) {
            return *node;
        }
        let node = self.add_node(Node::new(Some(segment), parent, start));
        self.live.insert(segment, node);
        node
    }

    /// Whether there is content that can be looked up.
    #[inline]
    fn has_names(&self) -> bool {
        self.nodes.len() > self.spare_nodes.len()
    }

    /// Takes what is owed from the head of the list.
    fn settle(&mut self) {
        let mut left = std::mem::take(&mut self.owed);
        while left > 0 {
            let id = self.list.head();
            let run = self.list.get_mut(id);
            let empty = run.empty.min(left);
            let full = (run.to - run.from).min(left - empty);
            run.empty -= empty;
            run.to -= full;
            let node = run.node;
            if run.empty == 0 && run.from == run.to {
                self.list.remove(id);
            }
            left -= empty + full;
            self.evict(node, full);
        }
    }

    /// How many of the blocks that are owed have content.
    fn owed_content(&self) -> u32 {
        let (mut left, mut content) = (self.owed, 0);
        let mut at = self.list.head();
        while left > 0 {
            let run = self.list.get(at).expect("what is owed stands in the list");
            left -= run.empty.min(left);
            let full = (run.to - run.from).min(left);
            (left, content) = (left - full, content + full);
            at = run.next;
        }
        content
    }

    fn add_node(&mut self, node: Node) -> u32 {
        self.settle();
        if let Some(id) = self.spare_nodes.pop() {
            self.nodes[id as usize] = node;
            return id;
        }
        self.nodes.push(node);
        u32::try_from(self.nodes.len() - 1).expect("no more nodes than blocks and requests")
    }

    /// Makes a holder of the leading `places.start` blocks of a node one of `places.end`. Those
    /// beyond what was cached are new. Returns how many were not.
    fn extend(&mut self, id: u32, places: Range<u32>) -> u32 {
        let node = &mut self.nodes[id as usize];
        let Range { start: before, end: after } = places;
        let (held, cached) = (node.held.longest(), node.cached);
        if before > 0 {
            node.held.remove(before);
        }
        node.held.add(after);
        if after > cached {
            node.cached = after;
            if let (Some(journal), Some(segment)) = (&mut self.journal, node.segment) {
                journal.note(CacheChange::Stored { segment, from: cached, to: after });
            }
        }
        let known = after.min(cached);
        if known > held {
            self.unlist(id, held, known, cached);
        }
        known - before
    }

    /// Takes the places `from` to `to` of a node, of which `cached` are cached, off the list.
    fn unlist(&mut self, id: u32, from: u32, to: u32, cached: u32) {
        let node = &mut self.nodes[id as usize];
        while node.shallowest != NONE {
            let run = self.list.get_mut(node.shallowest);
            if run.to > to {
                run.from = to;
                break;
            }
            let shallowest = node.shallowest;
            node.shallowest = if run.to < cached { run.deeper } else { NONE };
            self.list.remove(shallowest);
        }
        self.unheld -= to - from;
        self.cached -= to - from;
    }

    /// Takes a holder of the leading `length` blocks off a node: what nobody holds then goes to
    /// the tail of the list.
    fn shrink(&mut self, id: u32, length: u32) {
        let node = &mut self.nodes[id as usize];
        let listed = node.is_listed();
        let to = node.held.longest();
        node.held.remove(length);
        let from = node.held.longest();
        if from == to {
            return;
        }
        match self.list.last_mut() {
            // The node's blocks before these: they stand behind each other already.
            Some(last) if last.node == id => last.from = from,
            _ => {
                let deeper = if listed { node.shallowest } else { NONE };
                node.shallowest = self.list.push_node(id, (from, to), deeper);
            }
        }
        self.unheld += to - from;
        self.cached += to - from;
    }

    /// Forgets the deepest `blocks` of a node, or so many dead ones.
    fn evict(&mut self, id: u32, blocks: u32) {
        self.evictions += u64::from(blocks);
        self.cached -= blocks;
        let Some(node) = self.nodes.get_mut(id as usize) else {
            return;
        };
        node.cached -= blocks;
        if let (Some(journal), Some(segment), 1..) = (&mut self.journal, node.segment, blocks) {
            let (from, to) = (node.cached, node.cached + blocks);
            journal.note(CacheChange::Removed { segment, from, to });
        }
        if node.cached > 0 {
            return;
        }
        if let Some(segment) = node.segment {
            self.live.remove(&segment);
        }
        if !node.awaited {
            self.spare_nodes.push(id);
        }
    }
}

/// Returns the segment of a path in which its leading `blocks` end.
fn ending_at(segments: &Segments, path: Path, blocks: u32) -> SegmentId {
    let mut segment = path.leaf.expect("blocks of a path are in a segment");
    while segments.start(segment) >= blocks {
        segment = segments.parent(segment).expect("a path begins at the root");
    }
    segment
}

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twins;
