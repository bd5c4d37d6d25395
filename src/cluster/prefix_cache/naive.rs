//! The same cache block by block: slow, plain, and what the fast one must agree with.

use std::collections::{BTreeMap, VecDeque};

use crate::trace::SegmentId;

/// What a block holds the KV of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Content {
    Shared(SegmentId, u32),
    /// The `.1`-th block of request `.0`.
    Own(u32, u32),
}

#[derive(Clone, Debug, Default)]
struct Block {
    content: Option<Content>,
    holders: u32,
}

/// What a request holds: the block of each of its positions, of which the first `full` have
/// content, and blocks whose content was there already.
#[derive(Clone, Debug, Default)]
pub(super) struct NaiveHolding {
    pub(super) positions: Vec<usize>,
    pub(super) full: usize,
    pub(super) spares: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct NaiveCache {
    blocks: Vec<Block>,
    /// Blocks without holders; taken from the front.
    list: VecDeque<usize>,
    index: BTreeMap<Content, usize>,
    pub(super) evictions: u64,
}

impl NaiveCache {
    pub(super) fn new(total: u32) -> Self {
        Self {
            blocks: vec![Block::default(); total as usize],
            list: (0..total as usize).collect(),
            index: BTreeMap::new(),
            evictions: 0,
        }
    }

    pub(super) fn unheld(&self) -> usize {
        self.list.len()
    }

    pub(super) fn cached(&self) -> usize {
        self.list.iter().filter(|block| self.blocks[**block].content.is_some()).count()
    }

    pub(super) fn is_cached(&self, content: Content) -> bool {
        self.index.contains_key(&content)
    }

    /// Returns the leading contents that are cached and how many of them nobody holds.
    pub(super) fn hit(&self, contents: &[Content]) -> (usize, usize) {
        let blocks = contents.iter().map_while(|content| self.index.get(content));
        let unheld = |block: &usize| usize::from(self.blocks[*block].holders == 0);
        blocks.fold((0, 0), |(hits, free), block| (hits + 1, free + unheld(block)))
    }

    pub(super) fn hold(&mut self, contents: &[Content], holding: &mut NaiveHolding) {
        for content in contents {
            let block = self.index[content];
            self.add_holder(block);
            holding.positions.push(block);
        }
        holding.full = contents.len();
    }

    pub(super) fn take(&mut self, holding: &mut NaiveHolding) {
        let block = self.list.pop_front().unwrap();
        if let Some(content) = self.blocks[block].content.take() {
            self.index.remove(&content);
            self.evictions += 1;
        }
        self.blocks[block].holders = 1;
        holding.positions.push(block);
    }

    /// Makes known the content of the next block that has none yet.
    pub(super) fn register(&mut self, content: Content, holding: &mut NaiveHolding) {
        let block = &mut holding.positions[holding.full];
        holding.full += 1;
        if let Some(&known) = self.index.get(&content) {
            self.add_holder(known);
            holding.spares.push(*block);
            *block = known;
        } else {
            self.blocks[*block].content = Some(content);
            self.index.insert(content, *block);
        }
    }

    /// Gives back all: what is empty first, then what has content, the deepest first.
    pub(super) fn release(&mut self, holding: NaiveHolding) {
        let NaiveHolding { positions, full, spares } = holding;
        let (full, open) = positions.split_at(full);
        for block in spares.iter().chain(open).chain(full.iter().rev()) {
            self.blocks[*block].holders -= 1;
            if self.blocks[*block].holders == 0 {
                self.list.push_back(*block);
            }
        }
    }

    fn add_holder(&mut self, block: usize) {
        self.blocks[block].holders += 1;
        self.list.retain(|listed| *listed != block);
    }
}
