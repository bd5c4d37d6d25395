//! Both caches under the same orders, compared after each.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::rng::Stream;
use crate::trace::{NewRequest, Path, SegmentId, Segments, Trace, TraceBuilder};
use crate::units::SimTime;

use super::naive::{Content, NaiveCache, NaiveHolding};
use super::runs::NONE;
use super::{CacheChange, Hit, Holding, OwnBlocks, PrefixCache};

const BLOCK_SIZE: u32 = 16;

impl PrefixCache {
    /// Checks the law of blocks and that each node's cached blocks are its held ones and, from
    /// the deepest, its runs in the list.
    pub(super) fn check(&self) {
        let mut runs: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
        let (mut unheld, mut cached) = (0, 0);
        for (_, run) in self.list.in_order() {
            let full = run.to - run.from;
            assert!(full + run.empty > 0, "an empty run");
            assert!(run.node == NONE || run.empty == 0, "empty blocks in a node's run");
            unheld += full + run.empty;
            cached += full;
            runs.entry(run.node).or_default().push((run.from, run.to));
        }
        assert_eq!((unheld, cached), (self.unheld + self.owed, self.cached));
        assert!(self.owed == 0 || !self.has_names(), "blocks are owed that have names");
        runs.remove(&NONE);
        for (id, node) in (0..).zip(&self.nodes) {
            if self.spare_nodes.contains(&id) {
                assert!(!runs.contains_key(&id), "blocks of a dead node");
                continue;
            }
            let mut end = node.cached;
            for (from, to) in runs.remove(&id).unwrap_or_default() {
                assert_eq!(to, end, "a node's runs follow each other, the deepest first");
                end = from;
            }
            assert_eq!(end, node.held.longest(), "held blocks lead");
            assert_eq!(node.held.longest() == 0, node.held.holders() == 0);
            assert!(node.cached > 0 || node.awaited, "a node of nothing");
            if let Some(segment) = node.segment {
                assert_eq!(self.live[&segment], id);
            }
            if let Some(parent) = self.nodes.get(node.parent as usize) {
                assert!(parent.start + parent.cached >= node.start, "a block without its parent");
                assert!(parent.held.holders() >= node.held.holders());
            }
        }
        assert!(runs.is_empty(), "runs of no node");
    }
}

/// Makes a trace of (ids, shared tokens).
fn trace(block_tokens: u32, chains: &[(Vec<u32>, u32)]) -> Trace {
    let mut builder = TraceBuilder::new(block_tokens, Vec::new());
    for (chain, shared_tokens) in chains {
        builder.push(NewRequest {
            arrival: SimTime::ZERO,
            prompt_tokens: shared_tokens + 1,
            output_tokens: 1,
            chain,
            shared_tokens: *shared_tokens,
            session: None,
            model: None,
        });
    }
    builder.finish()
}

/// One request on both caches. It has no blocks while it waits.
pub(super) struct Request {
    id: u32,
    pub(super) path: Path,
    pub(super) holding: Holding,
    naive: NaiveHolding,
    pub(super) running: bool,
}

impl Request {
    pub(super) fn taken(&self) -> u32 {
        u32::try_from(self.naive.positions.len()).unwrap()
    }

    pub(super) fn full(&self) -> u32 {
        u32::try_from(self.naive.full).unwrap()
    }

    pub(super) fn own(&self) -> OwnBlocks {
        OwnBlocks {
            full: self.full().saturating_sub(self.path.blocks),
            open: self.taken() - self.full(),
        }
    }
}

/// The cache and the naive one, given the same orders.
pub(super) struct Twins {
    segments: Segments,
    /// What each chain of the trace may share.
    paths: Vec<Path>,
    pub(super) fast: PrefixCache,
    naive: NaiveCache,
    pub(super) requests: Vec<Request>,
    next_id: u32,
    /// The leading blocks of each segment, as who hears of every change of the fast one has them.
    heard: BTreeMap<SegmentId, u32>,
}

impl Twins {
    pub(super) fn new(total: u32, block_tokens: u32, chains: &[(Vec<u32>, u32)]) -> Self {
        let trace = trace(block_tokens, chains);
        let segments = Segments::new(&trace, BLOCK_SIZE);
        let mut fast = PrefixCache::new(total);
        fast.listen();
        Self {
            paths: trace.ids().map(|id| segments.path_of(&trace.chain(id), id)).collect(),
            segments,
            fast,
            naive: NaiveCache::new(total),
            requests: Vec::new(),
            next_id: 0,
            heard: BTreeMap::new(),
        }
    }

    /// Adds a request with this chain of the trace; returns its place.
    pub(super) fn arrive(&mut self, chain: u32) -> usize {
        self.requests.push(Request {
            id: self.next_id,
            path: self.paths[chain as usize],
            holding: Holding::default(),
            naive: NaiveHolding::default(),
            running: false,
        });
        self.next_id += 1;
        self.requests.len() - 1
    }

    pub(super) fn contents(&self, at: usize, blocks: u32) -> Vec<Content> {
        let request = &self.requests[at];
        let content = |index| match self.segments.key(request.path, index) {
            Some((segment, place)) => Content::Shared(segment, place),
            None => Content::Own(request.id, index),
        };
        (0..blocks).map(content).collect()
    }

    pub(super) fn hit(&self, at: usize, most: u32) -> Hit {
        let Request { path, holding, .. } = &self.requests[at];
        let hit = self.fast.hit(&self.segments, *path, holding, most);
        let naive = self.naive.hit(&self.contents(at, most));
        assert_eq!((hit.blocks as usize, hit.unheld as usize), naive, "the hit");
        hit
    }

    /// Admits a waiting request with a hit of up to `most`, if the list has `reserve` blocks
    /// beyond it.
    pub(super) fn admit(&mut self, at: usize, most: u32, reserve: u32) -> Option<Hit> {
        let hit = self.hit(at, most);
        if hit.unheld + reserve > self.fast.unheld() {
            return None;
        }
        let contents = self.contents(at, hit.blocks);
        let request = &mut self.requests[at];
        self.fast.hold(&self.segments, request.path, hit.blocks, &mut request.holding);
        self.naive.hold(&contents, &mut request.naive);
        request.running = true;
        self.check();
        Some(hit)
    }

    /// Gives a running request `blocks` more and makes its leading `full` known.
    pub(super) fn grow(&mut self, at: usize, blocks: u32, full: u32) {
        let contents = self.contents(at, full);
        let request = &mut self.requests[at];
        self.fast.take(blocks);
        for _ in 0..blocks {
            self.naive.take(&mut request.naive);
        }
        let positions = request.full()..full;
        self.fast.register(&self.segments, request.path, positions.clone(), &mut request.holding);
        for position in positions {
            self.naive.register(contents[position as usize], &mut request.naive);
        }
        assert_eq!(request.holding.spares() as usize, request.naive.spares.len(), "spares");
        self.check();
    }

    pub(super) fn preempt(&mut self, at: usize) {
        let request = &mut self.requests[at];
        let own = request.own();
        self.fast.preempt(&mut request.holding, own);
        self.naive.release(std::mem::take(&mut request.naive));
        request.running = false;
        self.check();
    }

    /// Ends a request; the last one takes its place.
    pub(super) fn end(&mut self, at: usize) {
        let request = self.requests.swap_remove(at);
        let own = request.own();
        self.fast.release(request.holding, own);
        self.naive.release(request.naive);
        self.check();
    }

    /// Which content a block of a chain has.
    pub(super) fn key(&self, chain: u32, index: u32) -> (SegmentId, u32) {
        self.segments.key(self.paths[chain as usize], index).unwrap()
    }

    /// Registers blocks with the fast cache alone.
    pub(super) fn register(&mut self, chain: u32, positions: Range<u32>, holding: &mut Holding) {
        let path = self.paths[chain as usize];
        self.fast.register(&self.segments, path, positions, holding);
    }

    pub(super) fn matched(&self, chain: u32) -> u32 {
        self.fast.matched(&self.segments, self.paths[chain as usize])
    }

    pub(super) fn check(&mut self) {
        self.fast.check();
        self.hear();
        assert_eq!(self.fast.unheld() as usize, self.naive.unheld(), "unheld");
        assert_eq!(self.fast.cached() as usize, self.naive.cached(), "cached");
        assert_eq!(self.fast.evictions(), self.naive.evictions, "evictions");
        for path in self.paths.iter().copied() {
            let found = |index: &u32| {
                let key = self.segments.key(path, *index);
                key.is_some_and(|(id, place)| self.naive.is_cached(Content::Shared(id, place)))
            };
            let naive = (0..).take_while(found).count();
            assert_eq!(self.fast.matched(&self.segments, path) as usize, naive, "{path:?}");
            let heard = |index: &u32| {
                let key = self.segments.key(path, *index);
                key.is_some_and(|(id, place)| self.heard.get(&id).is_some_and(|to| place < *to))
            };
            assert_eq!((0..).take_while(heard).count(), naive, "heard of {path:?}");
        }
        let awaited = self.fast.nodes.iter().filter(|node| node.awaited).count();
        let named = self.requests.iter().filter(|request| request.holding.names_own()).count();
        assert_eq!(awaited, named, "a node waits for nobody");
        let waiting = (0..self.requests.len()).filter(|at| !self.requests[*at].running);
        for at in waiting {
            self.hit(at, self.requests[at].path.blocks + 8);
        }
    }

    /// Carries out the changes that the fast cache tells of.
    fn hear(&mut self) {
        for event in self.fast.take_events() {
            let (segment, before, after) = match event.change {
                CacheChange::Stored { segment, from, to } => (segment, from, to),
                CacheChange::Removed { segment, from, to } => (segment, to, from),
                CacheChange::Cleared => unreachable!("nobody clears it"),
            };
            assert_ne!(before, after, "a change of nothing");
            assert_eq!(self.heard.insert(segment, after).unwrap_or(0), before, "a gap");
        }
    }

    /// Ends what runs, then takes block by block: the order of evictions is compared.
    pub(super) fn drain(mut self) {
        while let Some(at) = self.requests.iter().position(|request| request.running) {
            self.end(at);
        }
        let mut taken = NaiveHolding::default();
        while self.fast.unheld() > 0 {
            self.fast.take(1);
            self.naive.take(&mut taken);
            self.check();
        }
    }
}

/// How large random orders are.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    /// Most chains of the trace, and tokens of each.
    pub(super) chains: usize,
    pub(super) chain_tokens: u32,
    /// Most requests at once, and blocks that one takes at once.
    pub(super) crowd: usize,
    pub(super) chunk: u32,
}

impl Scale {
    /// Draws chains that are a tree, with part-filled last ids.
    pub(super) fn chains(self, rng: &mut Stream, block_tokens: u32) -> Vec<(Vec<u32>, u32)> {
        let tokens = block_tokens.min(self.chain_tokens);
        let most = (self.chain_tokens / tokens) as usize;
        let mut chains: Vec<(Vec<u32>, u32)> = Vec::new();
        let mut next_id = 0;
        for _ in 0..=rng.below(self.chains) {
            let mut ids = match chains.len() {
                0 => Vec::new(),
                len => chains[rng.below(len)].0.clone(),
            };
            ids.truncate(rng.below(most + 1));
            for _ in 0..rng.below(most + 1 - ids.len()) {
                ids.push(next_id);
                next_id += 1;
            }
            let cover = u32::try_from(ids.len()).unwrap() * tokens;
            let missing = u32::try_from(rng.below(tokens as usize * 2)).unwrap();
            chains.push((ids, cover - missing.saturating_sub(tokens).min(cover)));
        }
        chains
    }

    /// Gives a random order to a random request.
    pub(super) fn order(self, twins: &mut Twins, rng: &mut Stream) {
        let mut draw = |to: u32| u32::try_from(rng.below(to as usize + 1)).unwrap();
        let num_requests = twins.requests.len();
        if num_requests < 2 || (num_requests < self.crowd && draw(3) == 0) {
            twins.arrive(draw(u32::try_from(twins.paths.len()).unwrap() - 1));
        }
        let at = draw(u32::try_from(twins.requests.len()).unwrap() - 1) as usize;
        if !twins.requests[at].running {
            let longest = twins.requests[at].path.blocks + 4;
            let most = [longest, longest, draw(longest), 0][draw(3) as usize];
            if draw(20) == 0 {
                twins.end(at);
            } else if twins.admit(at, most, draw(4)).is_none() {
                return;
            }
        }
        match draw(9) {
            _ if !twins.requests.get(at).is_some_and(|request| request.running) => {}
            0 => twins.preempt(at),
            1 => twins.end(at),
            _ => {
                let blocks = draw(self.chunk).min(twins.fast.unheld());
                let request = &twins.requests[at];
                let (taken, full) = (request.taken() + blocks, request.full());
                let open = [0, 0, 1, draw(taken - full)][draw(3) as usize];
                twins.grow(at, blocks, full.max(taken.saturating_sub(open)));
            }
        }
    }
}
