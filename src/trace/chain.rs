//! What a prompt shares with other prompts.

/// The block size of a trace whose prefixes are whole texts (`prefix_hash` with `prefix_len`):
/// one id stands for a prefix of any length.
pub const ONE_LEVEL: u32 = u32::MAX;

/// The chain of block ids that a prompt begins with.
///
/// An id stands for its block *and* all before it: two prompts share their leading tokens as far
/// as their ids are equal. Ids are dense, from 0, within one trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain<'t> {
    /// The ids, first block first.
    pub ids: &'t [u32],
    /// Tokens per id, or [`ONE_LEVEL`].
    pub block_tokens: u32,
    /// The leading tokens that the ids describe; never more than the prompt. The last id may
    /// cover a part-filled block: it shares with equal ids only.
    pub shared_tokens: u32,
}

impl Chain<'_> {
    /// Returns what identifies the `index`-th engine block of `block_size` tokens, or `None` when
    /// the block is not wholly inside the shared tokens and so belongs to its request alone.
    ///
    /// An engine block inside a trace block is (id, place in it). One that spans several trace
    /// blocks is named by the last of them, whose id stands for all before it. One of the two
    /// sizes must divide the other; [`blocks_fit`](Self::blocks_fit) says whether it does.
    pub fn key(&self, index: u32, block_size: u32) -> Option<u64> {
        let end = u64::from(index + 1) * u64::from(block_size);
        if end > u64::from(self.shared_tokens) {
            return None;
        }
        let trace_block = (end - 1) / u64::from(self.block_tokens);
        let id = self.ids[usize::try_from(trace_block).ok()?];
        let start_of_id = trace_block * u64::from(self.block_tokens);
        let place = (end - 1 - start_of_id) / u64::from(block_size);
        Some(u64::from(id) << 32 | place)
    }

    /// Returns how many whole engine blocks the shared tokens fill.
    pub fn whole_blocks(&self, block_size: u32) -> u32 {
        self.shared_tokens / block_size
    }

    /// Returns whether engine blocks of `block_size` can be cut from trace blocks of
    /// `block_tokens`: one must divide the other.
    pub fn blocks_fit(block_tokens: u32, block_size: u32) -> bool {
        block_tokens == ONE_LEVEL
            || block_tokens.is_multiple_of(block_size)
            || block_size.is_multiple_of(block_tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_engine_blocks_are_cut_from_a_trace_block() {
        // 40 tokens in trace blocks of 32: ids 7 and 9, the second a quarter full.
        let chain = Chain { ids: &[7, 9], block_tokens: 32, shared_tokens: 40 };
        let keys: Vec<_> = (0..4).map(|index| chain.key(index, 16)).collect();
        assert_eq!(keys, [Some(7 << 32), Some(7 << 32 | 1), None, None]);
        assert_eq!(chain.whole_blocks(8), 5);
        assert_eq!(chain.key(4, 8), Some(9 << 32));
    }

    #[test]
    fn a_large_engine_block_is_named_by_its_last_trace_block() {
        let chain = Chain { ids: &[1, 2, 3, 4, 5], block_tokens: 8, shared_tokens: 37 };
        assert_eq!(chain.key(0, 16), Some(2 << 32));
        assert_eq!(chain.key(1, 16), Some(4 << 32));
        assert_eq!(chain.key(2, 16), None, "its last tokens are the request's own");
    }

    #[test]
    fn one_level_prefixes_share_the_whole_blocks_of_the_shorter() {
        let short = Chain { ids: &[3], block_tokens: ONE_LEVEL, shared_tokens: 40 };
        let long = Chain { ids: &[3], block_tokens: ONE_LEVEL, shared_tokens: 80 };
        assert_eq!(short.key(1, 16), long.key(1, 16));
        assert_eq!(short.key(2, 16), None);
        assert!(long.key(2, 16).is_some());
    }
}
