use crate::rng::Stream;
use crate::trace::ONE_LEVEL;
use crate::units::SimTime;

use super::twins::{Scale, Twins};
use super::{CacheChange, CacheEvent, Hit, Holding, OwnBlocks, PrefixCache};

/// Gives both caches random orders; each order is followed by a comparison.
fn compare(seed: u64, scale: Scale, most_blocks: u32) {
    let _context = Context(seed);
    let mut rng = Stream::new(seed, "orders", 0);
    let block_tokens = [16, 32, 64, 8, ONE_LEVEL][rng.below(5)];
    let chains = scale.chains(&mut rng, block_tokens);
    let total = 3 + u32::try_from(rng.below(most_blocks as usize)).unwrap();
    let mut twins = Twins::new(total, block_tokens, &chains);
    for _ in 0..10 * scale.crowd {
        scale.order(&mut twins, &mut rng);
    }
    twins.drain();
}

#[test]
fn random_orders_leave_the_same_as_block_by_block() {
    let scale = Scale { chains: 7, chain_tokens: 160, crowd: 6, chunk: 5 };
    for seed in 0..20_000 {
        compare(seed, scale, 30);
    }
}

#[test]
fn many_requests_on_long_paths_leave_the_same_as_block_by_block() {
    let scale = Scale { chains: 20, chain_tokens: 640, crowd: 24, chunk: 20 };
    for seed in 0..400 {
        compare(seed, scale, 400);
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
fn who_listens_hears_of_segments_in_order_and_of_no_own_block() {
    let mut twins = Twins::new(6, 16, &fork());
    // The fork parts after one block: segments of 1, 3 and 1 blocks.
    twins.fast.take_events().for_each(drop);
    let segments: Vec<_> = (0..4).map(|index| twins.key(0, index)).collect();
    let ([root, rest], now) = ([segments[0].0, segments[1].0], SimTime::from_ps(7));
    twins.fast.set_time(now);
    let mut holding = Holding::default();
    twins.fast.take(5);
    twins.register(0, 0..2, &mut holding);
    twins.register(0, 2..5, &mut holding);
    twins.fast.release(holding, OwnBlocks { full: 1, open: 0 });
    twins.fast.take(3);
    let changes: Vec<CacheEvent> = twins.fast.take_events().collect();
    let stored = |segment, from, to| CacheChange::Stored { segment, from, to };
    let removed = |segment, from, to| CacheChange::Removed { segment, from, to };
    // One block was never used, one is the request's own; the third is the deepest of the path.
    let wanted = [stored(root, 0, 1), stored(rest, 0, 1), stored(rest, 1, 3), removed(rest, 2, 3)];
    assert_eq!(changes, wanted.map(|change| CacheEvent { at: now, change }));
    twins.fast.clear();
    let cleared = CacheEvent { at: now, change: CacheChange::Cleared };
    assert_eq!(twins.fast.take_events().collect::<Vec<_>>(), [cleared]);
    assert_eq!((twins.matched(0), twins.fast.unheld(), twins.fast.evictions()), (0, 6, 2));
}

#[test]
fn a_cache_that_nobody_listens_to_notes_nothing() {
    let mut cache = PrefixCache::new(4);
    cache.take(2);
    cache.clear();
    assert!(!cache.is_heard());
    assert_eq!(cache.take_events().count(), 0);
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
