//! A fleet as the engine takes it: backend by backend, whatever the config looks like.

use std::sync::Arc;

use super::spec::DisaggregatedSpec;
use super::step::StepModel;

/// What one backend is built from.
#[derive(Clone, Debug)]
pub struct BackendSpec {
    /// Tokens that one step may compute (vLLM: `max_num_batched_tokens`), no less than
    /// `max_batch_size`.
    pub max_batch_tokens: u32,
    /// Requests that may run at once (vLLM: `max_num_seqs`), from 1.
    pub max_batch_size: u32,
    /// Prompt tokens of one request that a step may compute; none: no limit but
    /// `max_batch_tokens` (vLLM: `long_prefill_token_threshold`).
    pub long_prefill_tokens: Option<u32>,
    /// Requests that may wait; it refuses more.
    pub max_queue_depth: u32,
    /// KV blocks (vLLM: `num_gpu_blocks`), of which one is kept aside.
    pub kv_cache_blocks: u32,
    /// Tokens in a KV block.
    pub kv_block_size: u32,
    /// Whether a step is composed while the one before it runs.
    pub async_scheduling: bool,
    /// How long steps take. Equal backends share it.
    pub step_model: Arc<StepModel>,
}

/// The backends of a run, by id. They may differ in all but the size of their KV blocks: what a
/// prompt shares is cut into blocks once for all of them.
#[derive(Clone, Debug)]
pub struct FleetSpec {
    /// One entry per backend, at least one.
    pub backends: Vec<BackendSpec>,
    /// Prefill and decode on different backends: the first ones prefill.
    pub disaggregated: Option<DisaggregatedSpec>,
}

/// Backends of one fleet whose KV blocks have different sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "backend 0 has kv_block_size = {first} and backend {backend} has {other}: a fleet needs one size"
)]
pub struct BlockSizesDiffer {
    /// Tokens in a block of backend 0.
    pub first: u32,
    /// The first backend that differs.
    pub backend: usize,
    /// Tokens in a block there.
    pub other: u32,
}

impl BackendSpec {
    /// Returns the blocks that requests can hold: vLLM keeps one aside as the null block.
    pub fn usable_blocks(&self) -> u32 {
        self.kv_cache_blocks - 1
    }
}

impl FleetSpec {
    /// Returns the size of a KV block in tokens.
    ///
    /// # Errors
    ///
    /// When backends differ in it.
    pub fn kv_block_size(&self) -> Result<u32, BlockSizesDiffer> {
        let mut sizes = self.backends.iter().map(|backend| backend.kv_block_size).enumerate();
        let (_, first) = sizes.next().unwrap_or_default();
        match sizes.find(|(_, size)| *size != first) {
            Some((backend, other)) => Err(BlockSizesDiffer { first, backend, other }),
            None => Ok(first),
        }
    }

    /// Returns the tokens of KV that fit on the largest backend that decodes, where others
    /// prefill. Who needs more must not be prefilled.
    pub fn most_decode_tokens(&self) -> Option<u64> {
        let first = self.disaggregated?.prefill_backends as usize;
        let tokens = |backend: &BackendSpec| {
            u64::from(backend.usable_blocks()) * u64::from(backend.kv_block_size)
        };
        Some(self.backends.iter().skip(first).map(tokens).max().unwrap_or(0))
    }
}
