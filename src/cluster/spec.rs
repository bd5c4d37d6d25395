//! The `[cluster]` table of a config.

use std::sync::Arc;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::units::{PS_PER_S, SimDuration};

use super::catalogue::{Gpu, Model};
use super::fleet_spec::{BackendSpec, FleetSpec};
use super::step::{ComputeModel, LinearModel, StepModel};

/// No transfer is longer, latency apart: ten days, so that the clock can't wrap.
const LONGEST_TRANSFER: SimDuration = SimDuration::from_ps(864_000 * PS_PER_S);

/// A fleet of equal backends, checked.
///
/// Names of fields are part of the ids of runs, here and in what it is made of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClusterSpec {
    /// The kind of GPU under each backend.
    #[serde(serialize_with = "gpu_and_price")]
    pub gpu: &'static Gpu,
    /// GPUs of a backend.
    pub tensor_parallel: u32,
    /// The model that it serves, where the config names one.
    #[serde(serialize_with = "model_name")]
    pub model: Option<&'static Model>,
    /// How many backends there are.
    pub num_backends: u32,
    /// Tokens that one step may compute (vLLM: `max_num_batched_tokens`).
    pub max_batch_tokens: u32,
    /// Requests that may run at once on a backend (vLLM: `max_num_seqs`).
    pub max_batch_size: u32,
    /// Prompt tokens of one request that a step may compute; none: no limit but
    /// `max_batch_tokens` (vLLM: `long_prefill_token_threshold`).
    pub long_prefill_tokens: Option<u32>,
    /// Requests that may wait on a backend; it refuses more.
    pub max_queue_depth: u32,
    /// KV blocks of a backend (vLLM: `num_gpu_blocks`, of which one is kept aside).
    pub kv_cache_blocks: u32,
    /// Tokens in a KV block.
    pub kv_block_size: u32,
    /// Whether a step is composed while the one before it runs (vLLM's default).
    pub async_scheduling: bool,
    /// How long steps take.
    pub step: StepSpec,
    /// Prefill and decode on different backends.
    pub disaggregated: Option<DisaggregatedSpec>,
}

/// How long steps take, as the config says it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepSpec {
    /// `[cluster.compute_model]`: the guide's four numbers.
    Compute {
        /// Prefill throughput, tokens/s.
        prefill_tokens_per_sec: f64,
        /// Decode throughput of one sequence, tokens/s.
        decode_tokens_per_sec_batch1: f64,
        /// Batch size from which decode throughput is constant.
        decode_throughput_saturation_batch: u32,
        /// Decode throughput from there on, tokens/s.
        decode_tokens_per_sec_saturated: f64,
    },
    /// `[cluster.step_model]`, or the preset of a model: coefficients of a linear step.
    Linear(LinearModel),
}

/// `[cluster.disaggregated]`: the first backends prefill, the rest decode.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DisaggregatedSpec {
    /// Backends that prefill.
    pub prefill_backends: u32,
    /// Backends that decode.
    pub decode_backends: u32,
    /// Time until the first byte of a KV transfer arrives.
    pub kv_transfer_latency: SimDuration,
    /// Bandwidth of a KV transfer, 10⁹ bytes/s.
    pub kv_transfer_bandwidth_gb_s: f64,
    /// Bytes of KV per token: the model's, or 2 (keys, values) × 2 bytes × layers × KV heads ×
    /// head size.
    pub kv_bytes_per_token: u64,
}

impl ClusterSpec {
    /// Returns the model of a step's time.
    pub fn step_model(&self) -> StepModel {
        match &self.step {
            StepSpec::Compute {
                prefill_tokens_per_sec,
                decode_tokens_per_sec_batch1,
                decode_throughput_saturation_batch,
                decode_tokens_per_sec_saturated,
            } => StepModel::compute(ComputeModel::new(
                *prefill_tokens_per_sec,
                *decode_tokens_per_sec_batch1,
                *decode_throughput_saturation_batch,
                *decode_tokens_per_sec_saturated,
            )),
            StepSpec::Linear(model) => StepModel::linear(model),
        }
    }

    /// Returns the same, backend by backend.
    pub fn fleet(&self) -> FleetSpec {
        let backend = BackendSpec {
            max_batch_tokens: self.max_batch_tokens,
            max_batch_size: self.max_batch_size,
            long_prefill_tokens: self.long_prefill_tokens,
            max_queue_depth: self.max_queue_depth,
            kv_cache_blocks: self.kv_cache_blocks,
            kv_block_size: self.kv_block_size,
            async_scheduling: self.async_scheduling,
            step_model: Arc::new(self.step_model()),
        };
        FleetSpec {
            backends: vec![backend; self.num_backends as usize],
            disaggregated: self.disaggregated,
        }
    }

    /// Returns what a backend is made of, in words, as `2 x H100Sxm, Qwen3-32B`.
    pub fn backend_name(&self) -> String {
        let gpus = match self.tensor_parallel {
            1 => self.gpu.name.to_owned(),
            degree => format!("{degree} x {}", self.gpu.name),
        };
        match self.model {
            Some(model) => format!("{gpus}, {}", model.name),
            None => gpus,
        }
    }

    /// Returns what an hour of the whole fleet costs, in US dollars.
    pub fn usd_per_hour(&self) -> f64 {
        let gpus = f64::from(self.num_backends) * f64::from(self.tensor_parallel);
        self.gpu.usd_per_hour.value * gpus
    }
}

impl Default for StepSpec {
    /// The guide's numbers.
    fn default() -> Self {
        Self::Compute {
            prefill_tokens_per_sec: 50_000.0,
            decode_tokens_per_sec_batch1: 80.0,
            decode_throughput_saturation_batch: 64,
            decode_tokens_per_sec_saturated: 3_200.0,
        }
    }
}

impl DisaggregatedSpec {
    /// Returns how long the KV of a prompt takes from one backend to another.
    pub fn transfer_time(&self, prompt_tokens: u32) -> SimDuration {
        let bytes = self.kv_bytes_per_token as f64 * f64::from(prompt_tokens);
        let seconds = bytes / (self.kv_transfer_bandwidth_gb_s * 1e9);
        let sending = SimDuration::from_secs(seconds).unwrap_or(LONGEST_TRANSFER);
        self.kv_transfer_latency + sending.min(LONGEST_TRANSFER)
    }
}

/// Of a GPU, a run has its name and its price: what it can do is in the step time and the blocks.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn gpu_and_price<S: Serializer>(gpu: &&'static Gpu, serializer: S) -> Result<S::Ok, S::Error> {
    let mut fields = serializer.serialize_struct("Gpu", 2)?;
    fields.serialize_field("name", gpu.name)?;
    fields.serialize_field("usd_per_hour", &gpu.usd_per_hour.value)?;
    fields.end()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn model_name<S: Serializer>(
    model: &Option<&'static Model>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    model.map(|model| model.name).serialize(serializer)
}
