use std::collections::BTreeMap;

use crate::rng::Stream;
use crate::trace::{NewRequest, ONE_LEVEL, Trace, TraceBuilder};
use crate::units::{RequestId, SimTime};

use super::naive::{Content, NaiveCache, NaiveHolding};
use super::*;

const BLOCK_SIZE: u32 = 16;

impl PrefixCache {
    /// Checks the law of blocks and that each node's cached blocks are its held ones and, from
    /// the deepest, its runs in the list.
    fn check(&self) {
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
        assert_eq!((unheld, cached), (self.unheld, self.cached));
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
struct Request {
    id: u32,
    path: Path,
    holding: Holding,
    naive: NaiveHolding,
    running: bool,
}

impl Request {
    fn taken(&self) -> u32 {
        u32::try_from(self.naive.positions.len()).unwrap()
    }

    fn full(&self) -> u32 {
        u32::try_from(self.naive.full).unwrap()
    }

    fn own(&self) -> OwnBlocks {
        OwnBlocks {
            full: self.full().saturating_sub(self.path.blocks),
            open: self.taken() - self.full(),
        }
    }
}

/// The cache and the naive one, given the same orders.
struct Twins {
    segments: Segments,
    num_chains: usize,
    fast: PrefixCache,
    naive: NaiveCache,
    requests: Vec<Request>,
    next_id: u32,
}

impl Twins {
    fn new(total: u32, block_tokens: u32, chains: &[(Vec<u32>, u32)]) -> Self {
        Self {
            segments: Segments::new(&trace(block_tokens, chains), BLOCK_SIZE),
            num_chains: chains.len(),
            fast: PrefixCache::new(total),
            naive: NaiveCache::new(total),
            requests: Vec::new(),
            next_id: 0,
        }
    }

    /// Adds a request with this chain of the trace; returns its place.
    fn arrive(&mut self, chain: u32) -> usize {
        self.requests.push(Request {
            id: self.next_id,
            path: self.segments.path(RequestId(chain)),
            holding: Holding::default(),
            naive: NaiveHolding::default(),
            running: false,
        });
        self.next_id += 1;
        self.requests.len() - 1
    }

    fn contents(&self, at: usize, blocks: u32) -> Vec<Content> {
        let request = &self.requests[at];
        let content = |index| match self.segments.key(request.path, index) {
            Some((segment, place)) => Content::Shared(segment, place),
            None => Content::Own(request.id, index),
        };
        (0..blocks).map(content).collect()
    }

    fn hit(&self, at: usize, most: u32) -> Hit {
        let Request { path, holding, .. } = &self.requests[at];
        let hit = self.fast.hit(&self.segments, *path, holding, most);
        let naive = self.naive.hit(&self.contents(at, most));
        assert_eq!((hit.blocks as usize, hit.unheld as usize), naive, "the hit");
        hit
    }

    /// Admits a waiting request with a hit of up to `most`, if the list has `reserve` blocks
    /// beyond it.
    fn admit(&mut self, at: usize, most: u32, reserve: u32) -> Option<Hit> {
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
    fn grow(&mut self, at: usize, blocks: u32, full: u32) {
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

    fn preempt(&mut self, at: usize) {
        let request = &mut self.requests[at];
        let own = request.own();
        self.fast.preempt(&mut request.holding, own);
        self.naive.release(std::mem::take(&mut request.naive));
        request.running = false;
        self.check();
    }

    /// Ends a request; the last one takes its place.
    fn end(&mut self, at: usize) {
        let request = self.requests.swap_remove(at);
        let own = request.own();
        self.fast.release(request.holding, own);
        self.naive.release(request.naive);
        self.check();
    }

    fn matched(&self, chain: u32) -> u32 {
        self.fast.matched(&self.segments, self.segments.path(RequestId(chain)))
    }

    fn check(&self) {
        self.fast.check();
        assert_eq!(self.fast.unheld() as usize, self.naive.unheld(), "unheld");
        assert_eq!(self.fast.cached() as usize, self.naive.cached(), "cached");
        assert_eq!(self.fast.evictions(), self.naive.evictions, "evictions");
        for chain in 0..self.num_chains {
            let path = self.segments.path(RequestId::at(chain));
            let found = |index: &u32| {
                let key = self.segments.key(path, *index);
                key.is_some_and(|(id, place)| self.naive.is_cached(Content::Shared(id, place)))
            };
            let naive = (0..).take_while(found).count();
            assert_eq!(self.fast.matched(&self.segments, path) as usize, naive, "chain {chain}");
        }
        let awaited = self.fast.nodes.iter().filter(|node| node.awaited).count();
        let named = self.requests.iter().filter(|request| request.holding.names_own()).count();
        assert_eq!(awaited, named, "a node waits for nobody");
        let waiting = (0..self.requests.len()).filter(|at| !self.requests[*at].running);
        for at in waiting {
            self.hit(at, self.requests[at].path.blocks + 8);
        }
    }

    /// Ends what runs, then takes block by block: the order of evictions is compared.
    fn drain(mut self) {
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

/// Draws chains that are a tree, with part-filled last ids.
fn draw_chains(rng: &mut Stream, block_tokens: u32) -> Vec<(Vec<u32>, u32)> {
    let tokens = if block_tokens == ONE_LEVEL { 80 } else { block_tokens };
    let most = if block_tokens == ONE_LEVEL { 1 } else { 4.max(160 / tokens as usize) };
    let mut chains: Vec<(Vec<u32>, u32)> = Vec::new();
    let mut next_id = 0;
    for _ in 0..1 + rng.below(7) {
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
fn random_order(twins: &mut Twins, rng: &mut Stream) {
    let mut draw = |to: u32| u32::try_from(rng.below(to as usize + 1)).unwrap();
    if twins.requests.len() < 2 || (twins.requests.len() < 6 && draw(3) == 0) {
        twins.arrive(draw(u32::try_from(twins.num_chains).unwrap() - 1));
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
            let blocks = draw(5).min(twins.fast.unheld());
            let (taken, full) = (twins.requests[at].taken() + blocks, twins.requests[at].full());
            let open = [0, 0, 1, draw(taken - full)][draw(3) as usize];
            twins.grow(at, blocks, full.max(taken.saturating_sub(open)));
        }
    }
}

#[test]
fn random_orders_leave_the_same_as_block_by_block() {
    for seed in 0..20_000 {
        let mut rng = Stream::new(seed, "orders", 0);
        let block_tokens = [16, 32, 64, 8, ONE_LEVEL][rng.below(5)];
        let chains = draw_chains(&mut rng, block_tokens);
        let total = 3 + u32::try_from(rng.below(30)).unwrap();
        let mut twins = Twins::new(total, block_tokens, &chains);
        let _context = Context(seed);
        for _ in 0..60 {
            random_order(&mut twins, &mut rng);
        }
        twins.drain();
    }
}

/// Says which seed failed.
struct Context(u64);

impl Drop for Context {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("seed {}", self.0);
        }
    }
}

/// One prefix of 4 blocks, and one of 2 blocks that parts from it after the first.
fn fork() -> Vec<(Vec<u32>, u32)> {
    vec![(vec![0, 1, 2, 3], 64), (vec![0, 4], 32)]
}

#[test]
fn a_path_is_given_back_from_its_deepest_block() {
    let mut twins = Twins::new(6, 16, &fork());
    let first = twins.arrive(0);
    twins.admit(first, 4, 4);
    twins.grow(first, 4, 4);
    twins.end(first);
    assert_eq!((twins.fast.unheld(), twins.fast.cached()), (6, 4));
    // Two blocks were never used; the next two taken are the prefix's last ones.
    twins.fast.take(4);
    assert_eq!((twins.matched(0), twins.fast.evictions()), (2, 2));
}

#[test]
fn a_shared_segment_stays_while_another_path_holds_it() {
    let mut twins = Twins::new(8, 16, &fork());
    for chain in [0, 1] {
        let at = twins.arrive(chain);
        twins.admit(at, 3, 4);
        let blocks = twins.requests[at].path.blocks;
        let hit = twins.requests[at].taken();
        twins.grow(at, blocks - hit, blocks);
    }
    assert_eq!(twins.fast.unheld(), 3, "4 and 2 blocks, one of them common");
    twins.end(0);
    assert_eq!((twins.fast.unheld(), twins.fast.cached()), (6, 3), "the first is still held");
    twins.fast.take(6);
    assert_eq!((twins.matched(0), twins.matched(1)), (1, 2));
}

#[test]
fn a_hit_counts_its_blocks_that_stand_in_the_list() {
    let mut twins = Twins::new(6, 16, &fork());
    let first = twins.arrive(0);
    twins.admit(first, 4, 4);
    twins.grow(first, 4, 4);
    let second = twins.arrive(1);
    assert_eq!(twins.hit(second, 2), Hit { blocks: 1, unheld: 0 });
    twins.end(first);
    assert_eq!(twins.hit(0, 2), Hit { blocks: 1, unheld: 1 });
    twins.admit(0, 2, 1);
    assert_eq!((twins.fast.unheld(), twins.fast.cached()), (5, 3));
}

#[test]
fn a_cached_last_block_that_is_computed_again_is_a_spare() {
    let mut twins = Twins::new(6, 16, &fork());
    for _ in 0..2 {
        let at = twins.arrive(0);
        // The prompt ends with the prefix, so its last block may not be taken.
        let hit = twins.admit(at, 3, 1).unwrap();
        twins.grow(at, 4 - hit.blocks, 4);
        if hit.blocks == 0 {
            twins.end(at);
        }
    }
    assert_eq!(twins.requests[0].holding.spares(), 1);
    // 4 cached blocks, of which the last came off the list, and the spare.
    assert_eq!((twins.fast.unheld(), twins.fast.cached()), (1, 0));
    twins.end(0);
    assert_eq!((twins.matched(0), twins.fast.cached()), (4, 4), "no fifth block");
    twins.fast.take(2);
    assert_eq!(twins.fast.evictions(), 0, "a spare is empty and goes before the prefix");
}

#[test]
fn two_requests_that_prefill_the_same_prefix_at_once_keep_one_copy() {
    let mut twins = Twins::new(10, 16, &fork());
    let [a, b] = [0, 0].map(|chain| twins.arrive(chain));
    // Both find nothing, then compute in turns, two blocks a chunk.
    for at in [a, b] {
        assert_eq!(twins.admit(at, 4, 4), Some(Hit::default()));
    }
    for full in [2, 4] {
        for at in [a, b] {
            twins.grow(at, 2, full);
        }
    }
    let spares = [a, b].map(|at| twins.requests[at].holding.spares());
    assert_eq!((spares, twins.fast.unheld()), ([0, 4], 2));
    // The first to end leaves the prefix to the other.
    twins.end(a);
    assert_eq!((twins.fast.unheld(), twins.fast.cached()), (2, 0));
    twins.end(0);
    assert_eq!((twins.fast.unheld(), twins.fast.cached()), (10, 4));
    twins.drain();
}

#[test]
fn the_slower_of_two_overtakes_where_the_faster_stopped() {
    let mut twins = Twins::new(10, 16, &fork());
    let [a, b] = [0, 0].map(|chain| twins.arrive(chain));
    for at in [a, b] {
        twins.admit(at, 4, 4);
    }
    twins.grow(a, 3, 3);
    twins.grow(b, 4, 4);
    assert_eq!(twins.requests[b].holding.spares(), 3, "its fourth block is the only one");
    twins.preempt(a);
    assert_eq!(twins.matched(0), 4);
    twins.end(b);
    assert_eq!(twins.matched(0), 4);
    twins.drain();
}

#[test]
fn an_open_block_is_empty_and_goes_first() {
    let mut twins = Twins::new(4, 16, &fork());
    let at = twins.arrive(1);
    twins.admit(at, 2, 4);
    // Two shared blocks, a full one of its own, and one whose last token is not known yet.
    twins.grow(at, 4, 3);
    twins.end(at);
    assert_eq!(twins.fast.cached(), 3);
    for (evictions, matched) in [(0, 2), (1, 2), (2, 1), (3, 0)] {
        twins.fast.take(1);
        assert_eq!((twins.fast.evictions(), twins.matched(1)), (evictions, matched));
    }
}

#[test]
fn a_preemption_gives_back_as_many_blocks_as_an_end() {
    let mut twins = Twins::new(8, 16, &fork());
    let at = twins.arrive(0);
    twins.admit(at, 4, 4);
    twins.grow(at, 7, 6);
    assert_eq!(twins.fast.unheld(), 1);
    twins.preempt(at);
    assert_eq!((twins.fast.unheld(), twins.fast.cached()), (8, 6));
}

#[test]
fn a_resumed_request_finds_its_own_blocks_and_nobody_else_does() {
    let mut twins = Twins::new(8, 16, &fork());
    let at = twins.arrive(0);
    twins.admit(at, 4, 4);
    twins.grow(at, 6, 6);
    assert!(!twins.requests[at].holding.names_own(), "never preempted: only counted");
    twins.preempt(at);
    let other = twins.arrive(0);
    assert_eq!(twins.hit(other, 8).blocks, 4);
    assert_eq!(twins.admit(at, 6, 0), Some(Hit { blocks: 6, unheld: 6 }));
    twins.grow(at, 1, 7);
    twins.end(at);
    assert_eq!((twins.fast.unheld(), twins.fast.cached()), (8, 7));
    twins.drain();
}

#[test]
fn a_resumed_request_evicts_its_own_block_that_it_may_not_take() {
    let mut twins = Twins::new(6, 16, &fork());
    let at = twins.arrive(0);
    twins.admit(at, 4, 4);
    twins.grow(at, 6, 6);
    twins.preempt(at);
    // All its tokens fill 6 blocks, so the sixth is computed again: into the block that had it.
    assert_eq!(twins.admit(at, 5, 1), Some(Hit { blocks: 5, unheld: 5 }));
    twins.grow(at, 1, 6);
    assert_eq!((twins.fast.evictions(), twins.requests[at].holding.spares()), (1, 0));
    twins.preempt(at);
    assert_eq!(twins.hit(at, 6).blocks, 6);
    // With room to spare the copy stays, and the new one is a spare.
    let mut roomy = Twins::new(8, 16, &fork());
    let at = roomy.arrive(0);
    roomy.admit(at, 4, 4);
    roomy.grow(at, 6, 6);
    roomy.preempt(at);
    roomy.admit(at, 5, 1);
    roomy.grow(at, 1, 6);
    assert_eq!((roomy.fast.evictions(), roomy.requests[at].holding.spares()), (0, 1));
    assert_eq!(roomy.fast.unheld(), 1);
    roomy.drain();
}

#[test]
fn a_preempted_request_that_ends_while_it_waits_leaves_dead_content() {
    let mut twins = Twins::new(8, 16, &fork());
    let at = twins.arrive(1);
    twins.admit(at, 2, 4);
    twins.grow(at, 4, 4);
    twins.preempt(at);
    twins.end(at);
    assert_eq!((twins.fast.unheld(), twins.fast.cached()), (8, 4));
    twins.fast.take(6);
    assert_eq!((twins.fast.evictions(), twins.matched(1)), (2, 2));
    twins.fast.check();
}
