//! A fleet as the engine takes it: backend by backend, whatever the config looks like.

use std::sync::Arc;

use super::spec::DisaggregatedSpec;
use super::step::StepModel;

/// What one backend is built from. [`check`](Self::check) says which values it takes.
#[derive(Clone, Debug)]
pub struct BackendSpec {
    /// Tokens that one step may compute (vLLM: `max_num_batched_tokens`), no less than
    /// `max_batch_size`.
    pub max_batch_tokens: u32,
    /// Requests that may run at once (vLLM: `max_num_seqs`), from 1.
    pub max_batch_size: u32,
    /// Prompt tokens of one request that a step may compute, from 1; none: no limit but
    /// `max_batch_tokens` (vLLM: `long_prefill_token_threshold`).
    pub long_prefill_tokens: Option<u32>,
    /// Requests that may wait, from 1; it refuses more.
    pub max_queue_depth: u32,
    /// KV blocks (vLLM: `num_gpu_blocks`), from 2, of which one is kept aside.
    pub kv_cache_blocks: u32,
    /// Tokens in a KV block, from 1.
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

/// Why no backend can be built so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// A limit that nothing gets through.
    #[error("{name} is {value}, expected {least} or more")]
    TooSmall {
        /// The field of [`BackendSpec`].
        name: &'static str,
        /// What it is.
        value: u32,
        /// The least that it may be.
        least: u32,
    },
    /// A full batch would not fit in a step.
    #[error("max_batch_tokens is {tokens}, expected no less than max_batch_size, which is {size}")]
    BatchBeyondStep {
        /// Tokens that a step may compute.
        tokens: u32,
        /// Requests that may run at once.
        size: u32,
    },
}

/// Why no fleet can be built so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// There is nobody to serve a request.
    #[error("the fleet has no backend")]
    NoBackends,
    /// One of them can't be built.
    #[error("backend {backend}: {error}")]
    Backend {
        /// The first such.
        backend: usize,
        /// What is wrong with it.
        error: BackendError,
    },
    /// KV blocks have different sizes.
    #[error(
        "backend 0 has kv_block_size = {first} and backend {backend} has {other}: a fleet needs one size"
    )]
    BlockSizesDiffer {
        /// Tokens in a block of backend 0.
        first: u32,
        /// The first backend that differs.
        backend: usize,
        /// Tokens in a block there.
        other: u32,
    },
    /// One of the two halves of a disaggregated fleet would be empty, or they are not all of it.
    #[error(
        "{prefill} prefill and {decode} decode backends: expected one of each or more, and {backends} together"
    )]
    Split {
        /// Backends that are to prefill.
        prefill: u32,
        /// Backends that are to decode.
        decode: u32,
        /// Backends of the fleet.
        backends: usize,
    },
}

impl FleetError {
    /// Returns how to mend it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoBackends => "give the fleet a backend",
            Self::Backend { error: BackendError::TooSmall { .. }, .. } => "raise it",
            Self::Backend { error: BackendError::BatchBeyondStep { .. }, .. } => {
                "raise `max_batch_tokens` or lower `max_batch_size`"
            }
            Self::BlockSizesDiffer { .. } => {
                "give all backends of a fleet the same `kv_block_size`"
            }
            Self::Split { .. } => {
                "make `prefill_backends` and `decode_backends` sum to the number of backends"
            }
        }
    }
}

impl BackendSpec {
    /// Checks what a [`Backend`](super::Backend) relies on.
    ///
    /// # Errors
    ///
    /// The first limit that is too small.
    pub fn check(&self) -> Result<(), BackendError> {
        let least = [
            ("max_batch_size", self.max_batch_size, 1),
            ("long_prefill_tokens", self.long_prefill_tokens.unwrap_or(u32::MAX), 1),
            ("max_queue_depth", self.max_queue_depth, 1),
            ("kv_cache_blocks", self.kv_cache_blocks, 2),
            ("kv_block_size", self.kv_block_size, 1),
        ];
        match least.into_iter().find(|(_, value, least)| value < least) {
            Some((name, value, least)) => Err(BackendError::TooSmall { name, value, least }),
            None if self.max_batch_tokens < self.max_batch_size => {
                let (tokens, size) = (self.max_batch_tokens, self.max_batch_size);
                Err(BackendError::BatchBeyondStep { tokens, size })
            }
            None => Ok(()),
        }
    }

    /// Returns the blocks that requests can hold: vLLM keeps one aside as the null block.
    pub fn usable_blocks(&self) -> u32 {
        self.kv_cache_blocks - 1
    }
}

impl FleetSpec {
    /// Checks what a run relies on.
    ///
    /// # Errors
    ///
    /// What is wrong first, and with which backend.
    pub fn check(&self) -> Result<(), FleetError> {
        for (backend, spec) in self.backends.iter().enumerate() {
            spec.check().map_err(|error| FleetError::Backend { backend, error })?;
        }
        let first = self.kv_block_size().ok_or(FleetError::NoBackends)?;
        let mut sizes = self.backends.iter().map(|backend| backend.kv_block_size).enumerate();
        if let Some((backend, other)) = sizes.find(|(_, size)| *size != first) {
            return Err(FleetError::BlockSizesDiffer { first, backend, other });
        }
        self.disaggregated.map_or(Ok(()), |split| self.check_split(&split))
    }

    fn check_split(&self, split: &DisaggregatedSpec) -> Result<(), FleetError> {
        let DisaggregatedSpec { prefill_backends: prefill, decode_backends: decode, .. } = *split;
        let backends = self.backends.len();
        let all = u64::from(prefill) + u64::from(decode) == backends as u64;
        if prefill == 0 || decode == 0 || !all {
            return Err(FleetError::Split { prefill, decode, backends });
        }
        Ok(())
    }

    /// Returns the size of a KV block in tokens, that of the first backend if they differ; none
    /// without a backend.
    pub fn kv_block_size(&self) -> Option<u32> {
        self.backends.first().map(|backend| backend.kv_block_size)
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
