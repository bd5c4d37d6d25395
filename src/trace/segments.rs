//! The chains of a trace as a tree of segments, in engine blocks.
//!
//! Chains that begin alike run together until they part: a [`Segments`] tree has one segment for
//! each stretch in which they do not. What a cache would otherwise look up block by block it can
//! then treat segment by segment; a Mooncake prompt of some 24 ids is 3 segments.

use rustc_hash::FxHashMap;

use crate::units::RequestId;

use super::chain::{Chain, ONE_LEVEL};
use super::columns::Trace;

const NONE: u32 = u32::MAX;

/// A stretch of engine blocks within which no two chains part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(u32);

impl SegmentId {
    /// Returns the id as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    fn new(raw: u32) -> Option<Self> {
        (raw != NONE).then_some(Self(raw))
    }
}

/// The whole engine blocks that a prompt may share, as a way from the root to a segment: it
/// covers each segment on the way, the last one by a leading part or wholly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// The last segment, or `None` when not one whole block is shared.
    pub leaf: Option<SegmentId>,
    /// Whole engine blocks in all, from the root.
    pub blocks: u32,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    parent: u32,
    start: u32,
    blocks: u32,
}

/// The path-compressed tree of all chains of a trace.
#[derive(Clone, Debug)]
pub struct Segments {
    block_size: u32,
    segments: Vec<Segment>,
    /// The last segment of each request, and its whole shared blocks.
    leaves: Vec<u32>,
    blocks: Vec<u32>,
}

impl Segments {
    /// Builds the tree of a trace's chains, cut into engine blocks of `block_size` tokens.
    ///
    /// A prefix that stands for whole texts ([`ONE_LEVEL`]) is one segment, numbered as its id.
    /// An id that follows different ids in different chains, which a sound trace does not have,
    /// counts as different content in each.
    ///
    /// # Panics
    ///
    /// When engine blocks cannot be cut from the chains: ask [`Trace::blocks_fit`] first.
    pub fn new(trace: &Trace, block_size: u32) -> Self {
        assert!(trace.blocks_fit(block_size), "one of two block sizes divides the other");
        if trace.block_tokens() == ONE_LEVEL {
            return Self::of_prefixes(trace, block_size);
        }
        let unit = Unit::new(trace.block_tokens(), block_size);
        let mut tree = Tree::default();
        let last_nodes: Vec<u32> = trace
            .ids()
            .map(|id| {
                let ids = unit.ids(trace.chain(id), block_size);
                ids.fold(NONE, |parent, id| tree.child(parent, id))
            })
            .collect();
        let (segments, segment_of) = tree.compress(unit.blocks);
        let leaf = |node: &u32| segment_of.get(*node as usize).copied().unwrap_or(NONE);
        Self {
            block_size,
            segments,
            leaves: last_nodes.iter().map(leaf).collect(),
            blocks: trace.ids().map(|id| trace.chain(id).whole_blocks(block_size)).collect(),
        }
    }

    /// Makes the segments of prefixes that stand for whole texts, with the tokens of the longest
    /// use of each, by prefix id; so no path need be kept.
    pub fn one_level(longest_tokens: &[u32], block_size: u32) -> Self {
        let segment =
            |tokens: &u32| Segment { parent: NONE, start: 0, blocks: tokens / block_size };
        Self {
            block_size,
            segments: longest_tokens.iter().map(segment).collect(),
            leaves: Vec::new(),
            blocks: Vec::new(),
        }
    }

    fn of_prefixes(trace: &Trace, block_size: u32) -> Self {
        let mut longest_tokens = Vec::new();
        for id in trace.ids() {
            let chain = trace.chain(id);
            let Some(&prefix) = chain.ids.first() else {
                continue;
            };
            let prefix = prefix as usize;
            if prefix >= longest_tokens.len() {
                longest_tokens.resize(prefix + 1, 0);
            }
            longest_tokens[prefix] = chain.shared_tokens.max(longest_tokens[prefix]);
        }
        Self::one_level(&longest_tokens, block_size)
    }

    /// Returns the whole blocks that a request, whose chain this is, may share.
    pub fn path_of(&self, chain: &Chain<'_>, request: RequestId) -> Path {
        if chain.block_tokens == ONE_LEVEL {
            self.path_of_prefix(chain)
        } else {
            self.path(request)
        }
    }

    /// Returns the same for a trace of block chains.
    pub(crate) fn path(&self, request: RequestId) -> Path {
        let index = request.index();
        Path { leaf: SegmentId::new(self.leaves[index]), blocks: self.blocks[index] }
    }

    /// Returns the path of a chain whose one id is a whole prefix ([`ONE_LEVEL`]).
    fn path_of_prefix(&self, chain: &Chain<'_>) -> Path {
        debug_assert!(chain.ids.is_empty() || chain.block_tokens == ONE_LEVEL);
        let blocks = chain.whole_blocks(self.block_size);
        let leaf = chain.ids.first().filter(|_| blocks > 0).map(|id| SegmentId(*id));
        Path { leaf, blocks }
    }

    /// Returns the number of segments.
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// Returns whether nothing is shared.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Returns the segment before this one, on every path that it is on.
    pub fn parent(&self, segment: SegmentId) -> Option<SegmentId> {
        SegmentId::new(self.segments[segment.index()].parent)
    }

    /// Returns how many engine blocks come before this segment.
    pub fn start(&self, segment: SegmentId) -> u32 {
        self.segments[segment.index()].start
    }

    /// Returns the segment's length in engine blocks. The last block of the last segment of a
    /// chain may be one that no request fills.
    pub fn blocks(&self, segment: SegmentId) -> u32 {
        self.segments[segment.index()].blocks
    }

    /// Returns which content the `index`-th engine block of a path has, as a segment and the
    /// place in it; `None` when the path is shorter.
    pub fn key(&self, path: Path, index: u32) -> Option<(SegmentId, u32)> {
        let mut segment = path.leaf.filter(|_| index < path.blocks)?;
        while self.start(segment) > index {
            segment = self.parent(segment)?;
        }
        Some((segment, index - self.start(segment)))
    }
}

/// What one node of the tree stands for.
#[derive(Clone, Copy)]
struct Unit {
    /// Trace ids per node, named by the last of them.
    ids: usize,
    /// Engine blocks per node.
    blocks: u32,
}

impl Unit {
    /// Takes the larger of the two block sizes.
    fn new(block_tokens: u32, block_size: u32) -> Self {
        Self {
            ids: (block_size / block_tokens).max(1) as usize,
            blocks: (block_tokens / block_size).max(1),
        }
    }

    /// Returns what names the units that the chain's whole engine blocks touch.
    fn ids(self, chain: Chain<'_>, block_size: u32) -> impl Iterator<Item = u32> {
        let units = chain.whole_blocks(block_size).div_ceil(self.blocks) as usize;
        chain.ids.chunks_exact(self.ids).map(move |ids| ids[self.ids - 1]).take(units)
    }
}

/// The tree before it is compressed: a node per (parent, unit id), parents before children.
#[derive(Default)]
struct Tree {
    parents: Vec<u32>,
    /// Children of each node: none, one, or 2 for more.
    children: Vec<u8>,
    /// The first node with each id. A sound trace has no other.
    first: Vec<u32>,
    others: FxHashMap<(u32, u32), u32>,
}

impl Tree {
    /// Returns the node of `id` under `parent`.
    fn child(&mut self, parent: u32, id: u32) -> u32 {
        let index = id as usize;
        if index >= self.first.len() {
            self.first.resize(index + 1, NONE);
        }
        let first = self.first[index];
        if first == NONE {
            let node = self.grow(parent);
            self.first[index] = node;
            return node;
        }
        if self.parents[first as usize] == parent {
            return first;
        }
        if let Some(node) = self.others.get(&(parent, id)) {
            return *node;
        }
        let node = self.grow(parent);
        self.others.insert((parent, id), node);
        node
    }

    fn grow(&mut self, parent: u32) -> u32 {
        let node = u32::try_from(self.parents.len()).expect("no more nodes than chain ids");
        if let Some(children) = self.children.get_mut(parent as usize) {
            *children = (*children + 1).min(2);
        }
        self.parents.push(parent);
        self.children.push(0);
        node
    }

    /// Joins each only child to its parent. Returns the segments and the segment of each node.
    fn compress(&self, unit_blocks: u32) -> (Vec<Segment>, Vec<u32>) {
        let mut segments: Vec<Segment> = Vec::new();
        let mut segment_of: Vec<u32> = Vec::with_capacity(self.parents.len());
        for &parent in &self.parents {
            let before = segment_of.get(parent as usize).copied().unwrap_or(NONE);
            if before != NONE && self.children[parent as usize] == 1 {
                // Only the last unit of a chain can end beyond a u32, and no request gets there.
                let blocks = &mut segments[before as usize].blocks;
                *blocks = blocks.saturating_add(unit_blocks);
                segment_of.push(before);
                continue;
            }
            let above = segments.get(before as usize);
            let start = above.map_or(0, |above| above.start.saturating_add(above.blocks));
            let id = u32::try_from(segments.len()).expect("no more segments than nodes");
            segment_of.push(id);
            segments.push(Segment { parent: before, start, blocks: unit_blocks });
        }
        segments.shrink_to_fit();
        (segments, segment_of)
    }
}

#[cfg(test)]
mod tests;
