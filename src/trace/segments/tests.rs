use proptest::prelude::*;

use crate::trace::{NewRequest, TraceBuilder};
use crate::units::SimTime;

use super::*;

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

/// Returns the segments of a path, root first, as (segment, covered blocks).
fn covered(segments: &Segments, path: Path) -> Vec<(SegmentId, u32)> {
    let mut parts = Vec::new();
    let (mut at, mut end) = (path.leaf, path.blocks);
    while let Some(segment) = at {
        let start = segments.start(segment);
        assert!(end > start && end - start <= segments.blocks(segment));
        parts.push((segment, end - start));
        (at, end) = (segments.parent(segment), start);
    }
    assert_eq!(end, 0, "a path begins at the root");
    parts.reverse();
    parts
}

/// Counts the leading blocks of two paths that are the same, segment by segment.
fn common(segments: &Segments, a: Path, b: Path) -> u32 {
    let (a, b) = (covered(segments, a), covered(segments, b));
    let alike = a.iter().zip(&b).take_while(|(a, b)| a.0 == b.0);
    alike.map(|(a, b)| a.1.min(b.1)).sum()
}

#[test]
fn chains_that_part_make_a_segment_each_and_ends_make_none() {
    // In blocks of 512 over 16: 1-2 then 3-4 or 5; a chain ends after 3, within a segment.
    let chains =
        [(vec![1, 2, 3, 4], 2048), (vec![1, 2, 3], 1536), (vec![1, 2, 5], 1100), (vec![], 0)];
    let segments = Segments::new(&trace(512, &chains), 16);
    assert_eq!(segments.len(), 3);
    let paths: Vec<Path> = (0..4).map(|index| segments.path(RequestId(index))).collect();
    assert_eq!(covered(&segments, paths[0]), [(SegmentId(0), 64), (SegmentId(1), 64)]);
    assert_eq!(covered(&segments, paths[1]), [(SegmentId(0), 64), (SegmentId(1), 32)]);
    // 1,100 tokens are 68 whole blocks: 64 and 4 of the third id's 32.
    assert_eq!(covered(&segments, paths[2]), [(SegmentId(0), 64), (SegmentId(2), 4)]);
    assert_eq!(paths[3], Path::default());
    assert_eq!(segments.key(paths[2], 67), Some((SegmentId(2), 3)));
    assert_eq!(segments.key(paths[2], 68), None);
}

#[test]
fn a_large_engine_block_is_one_unit_named_by_its_last_id() {
    let chains = [(vec![1, 2, 3, 4, 5], 40), (vec![1, 2, 6, 7], 32)];
    let segments = Segments::new(&trace(8, &chains), 16);
    let [a, b] = [0, 1].map(|index| segments.path(RequestId(index)));
    assert_eq!((a.blocks, b.blocks), (2, 2), "the fifth id fills no engine block");
    assert_eq!(common(&segments, a, b), 1);
}

#[test]
fn an_id_under_two_parents_is_two_contents() {
    let chains = [(vec![1, 9], 32), (vec![2, 9], 32), (vec![2, 9], 32)];
    let segments = Segments::new(&trace(16, &chains), 16);
    let [a, b, c] = [0, 1, 2].map(|index| segments.path(RequestId(index)));
    assert_eq!(common(&segments, a, b), 0);
    assert_eq!(common(&segments, b, c), 2);
}

#[test]
fn a_prefix_of_any_length_is_one_segment_as_long_as_its_longest_use() {
    let chains = [(vec![2], 40), (vec![2], 80), (vec![0], 15)];
    let trace = trace(ONE_LEVEL, &chains);
    let segments = Segments::new(&trace, 16);
    let path = |index| segments.path_of(&trace.chain(RequestId(index)), RequestId(index));
    let [a, b, c] = [0, 1, 2].map(path);
    assert_eq!((a.leaf, a.blocks), (Some(SegmentId(2)), 2));
    assert_eq!(b.leaf, a.leaf);
    assert_eq!(segments.blocks(SegmentId(2)), 5);
    assert_eq!(c, Path::default(), "not one whole block");
    let streamed = Segments::one_level(&[0, 0, 80], 16);
    let chain = Chain { ids: &[2], block_tokens: ONE_LEVEL, shared_tokens: 40 };
    assert_eq!(streamed.path_of(&chain, RequestId(0)), a);
}

/// Makes chains that are a tree: each takes some leading ids of an earlier one and goes on with
/// ids of its own; the last may be part-filled.
fn chains() -> impl Strategy<Value = Vec<(Vec<u32>, u32)>> {
    let request = (any::<prop::sample::Index>(), 0..6_usize, 0..5_usize, 0..16_u32);
    proptest::collection::vec(request, 1..12).prop_map(|requests| {
        let mut chains: Vec<(Vec<u32>, u32)> = Vec::new();
        let mut next_id = 0;
        for (earlier, kept, new, missing) in requests {
            let mut ids = match chains.len() {
                0 => Vec::new(),
                len => chains[earlier.index(len)].0.clone(),
            };
            ids.truncate(kept);
            for _ in 0..new {
                ids.push(next_id);
                next_id += 1;
            }
            chains.push((ids, missing));
        }
        chains
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn paths_share_what_chains_share(
        chains in chains(),
        (block_tokens, block_size) in
            prop::sample::select(vec![(16, 16), (16, 4), (16, 1), (4, 16), (8, 16), (ONE_LEVEL, 4)]),
    ) {
        let tokens = if block_tokens == ONE_LEVEL { 20 } else { block_tokens };
        let chains: Vec<_> = chains
            .into_iter()
            .map(|(ids, missing)| {
                let cover = u32::try_from(ids.len()).unwrap() * tokens;
                (ids, cover - (missing % tokens).min(cover))
            })
            .collect();
        let trace = trace(block_tokens, &chains);
        let segments = Segments::new(&trace, block_size);
        for a in trace.ids() {
            for b in trace.ids() {
                let (chain_a, chain_b) = (trace.chain(a), trace.chain(b));
                let same = |index: &u32| {
                    let key = chain_a.key(*index, block_size);
                    key.is_some() && key == chain_b.key(*index, block_size)
                };
                let by_chain = (0..).take_while(same).count();
                let path_a = segments.path_of(&chain_a, a);
                let path_b = segments.path_of(&chain_b, b);
                prop_assert_eq!(common(&segments, path_a, path_b) as usize, by_chain);
                let same = |index: &u32| {
                    let key = segments.key(path_a, *index);
                    key.is_some() && key == segments.key(path_b, *index)
                };
                prop_assert_eq!((0..).take_while(same).count(), by_chain);
            }
        }
    }
}
