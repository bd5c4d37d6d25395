//! A model on GPUs: how many KV blocks fit, and how long a step takes.

use crate::cluster::step::LinearModel;

use super::gpu::{AllReduce, Gpu};
use super::model::Model;

/// GPUs that one engine may be split over.
pub const PARALLEL_DEGREES: [u32; 4] = [1, 2, 4, 8];

/// Memory that neither weights nor KV take: activations, CUDA graphs and the runtime. Measured as
/// what is missing in a run of vLLM 0.19 with Llama-3.1-8B on an RTX 4090.
const OVERHEAD_BYTES: f64 = 1.24e9;

/// The part of a step that no kernel explains, of one GPU: a generic figure for vLLM 0.19 to 0.24.
const HOST_MS: f64 = 2.0;
/// What each further GPU adds to it: 3 to 4 ms were seen at 8 GPUs.
const HOST_MS_PER_PEER: f64 = 0.2;
/// Sampling and block tables of a decode: a generic figure.
const DECODE_MS: f64 = 0.02;
/// The share of a token's compute that shows although weights are still being read.
const HIDDEN_SHARE: f64 = 0.15;
/// The share of large matrix products' throughput that attention of a prompt reaches.
const ATTENTION_SHARE: f64 = 0.5;
/// A step with prefill leaves the full CUDA graph: what that costs from 4 GPUs on, and with
/// experts from 2 on. From `AIConfigurator`: steps of vLLM 0.20.1 on B300.
const DENSE_PREFILL_MS: f64 = 3.0;
const EXPERT_PREFILL_MS: f64 = 10.0;
/// Bytes of an activation, whatever the weights are stored in.
const ACTIVATION_BYTES: f64 = 2.0;

/// How weights or KV are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// Two bytes.
    Bf16,
    /// One byte.
    Fp8,
}

/// One engine: a model on the GPUs of a tensor-parallel group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deployment {
    /// The kind of GPU.
    pub gpu: &'static Gpu,
    /// The model.
    pub model: &'static Model,
    /// GPUs that share the model: 1, 2, 4 or 8 (vLLM: `tensor_parallel_size`).
    pub tensor_parallel: u32,
    /// How weights are stored.
    pub weights_dtype: Dtype,
    /// How KV is stored.
    pub kv_dtype: Dtype,
    /// The share of a GPU's memory that the engine may use (vLLM: the same).
    pub gpu_memory_utilization: f64,
}

/// A model that leaves no room for KV on its GPUs.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("it needs {:.1} GB more on each GPU for a single KV block", missing_bytes / 1e9)]
pub struct TooLarge {
    /// Bytes that lack on each GPU.
    pub missing_bytes: f64,
    /// The fewest GPUs that would do, at most 8.
    pub enough: Option<u32>,
}

impl Dtype {
    /// Returns the name in a config.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Fp8 => "fp8",
        }
    }

    /// Returns the type of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Bf16, Self::Fp8].into_iter().find(|dtype| dtype.name() == name)
    }

    const fn bytes(self) -> u32 {
        match self {
            Self::Bf16 => 2,
            Self::Fp8 => 1,
        }
    }
}

impl Deployment {
    /// Puts a model on GPUs as an engine does by default.
    pub fn new(gpu: &'static Gpu, model: &'static Model, tensor_parallel: u32) -> Self {
        Self {
            gpu,
            model,
            tensor_parallel,
            weights_dtype: if model.fp8 { Dtype::Fp8 } else { Dtype::Bf16 },
            kv_dtype: Dtype::Bf16,
            gpu_memory_utilization: 0.9,
        }
    }

    /// Returns the bytes of KV of one token, over all GPUs and without what they hold twice.
    pub fn kv_bytes_per_token(&self) -> u64 {
        self.model.kv_bytes_per_token(self.kv_dtype.bytes())
    }

    /// Returns how many KV blocks of so many tokens the engine has.
    ///
    /// # Errors
    ///
    /// When not even two blocks fit: one is kept aside.
    pub fn kv_blocks(&self, block_size: u32) -> Result<u32, TooLarge> {
        let missing_bytes = |degree: u32| {
            let deployment = Self { tensor_parallel: degree, ..*self };
            2.0 * deployment.block_bytes(block_size) - deployment.room_bytes()
        };
        if missing_bytes(self.tensor_parallel) > 0.0 {
            let mut degrees = PARALLEL_DEGREES.into_iter();
            return Err(TooLarge {
                missing_bytes: missing_bytes(self.tensor_parallel),
                enough: degrees.find(|degree| missing_bytes(*degree) <= 0.0),
            });
        }
        let blocks = (self.room_bytes() / self.block_bytes(block_size)).floor();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is at least 2, and a cast of more than fits takes the most"
        )]
        let blocks = blocks as u32;
        Ok(blocks)
    }

    /// Returns the step time that data sheets and kernel measurements give.
    ///
    /// Weights are read once a step while tokens compute beside it, so a step takes the longer of
    /// the two: up to the knee the weights, beyond it the tokens. What runs between the matrix
    /// products (norms, activation, rotary embedding) moves bytes for every token. The all-reduces
    /// of tensor parallelism are in `step_ms` by their latency and in `token_ms` by their bytes.
    pub fn preset(&self) -> LinearModel {
        let dense_ms = self.read_ms(self.dense_bytes() / self.degree());
        let expert_ms = self.read_ms(self.expert_bytes() / self.degree());
        let token_ms = self.compute_ms() + self.read_ms(self.moved_bytes());
        let (reduce_step_ms, reduce_token_ms) = self.all_reduce_ms();
        let host_ms = HOST_MS + HOST_MS_PER_PEER * (self.degree() - 1.0);
        let experts = self.model.experts;
        LinearModel {
            step_ms: host_ms + dense_ms + reduce_step_ms,
            token_ms: HIDDEN_SHARE * token_ms + reduce_token_ms,
            knee_token_ms: (1.0 - HIDDEN_SHARE) * token_ms,
            knee_tokens: knee((dense_ms + expert_ms) / token_ms),
            decode_ms: DECODE_MS,
            context_token_ms: self.read_ms(self.kv_bytes_per_gpu()),
            longest_context_token_ms: 0.0,
            attention_pair_ms: self.pair_ms(),
            prefill_step_ms: self.prefill_step_ms(),
            expert_ms,
            experts: experts.map_or(0, |experts| experts.count),
            experts_per_token: experts.map_or(0, |experts| experts.per_token),
            prefill_token_ms: 0.0,
            first_launch_ms: 0.0,
        }
    }

    /// Returns what an hour of the engine's GPUs costs, in US dollars.
    pub fn usd_per_hour(&self) -> f64 {
        self.gpu.usd_per_hour.value * self.degree()
    }

    fn degree(&self) -> f64 {
        f64::from(self.tensor_parallel)
    }

    fn weight_bytes(&self) -> f64 {
        f64::from(self.weights_dtype.bytes())
    }

    /// Bytes that a GPU has for KV.
    fn room_bytes(&self) -> f64 {
        let memory = self.gpu.memory_gib.value * f64::from(1_u32 << 30);
        let weights = self.model.params() as f64 * self.weight_bytes() / self.degree();
        self.gpu_memory_utilization * memory - weights - OVERHEAD_BYTES
    }

    fn block_bytes(&self, block_size: u32) -> f64 {
        f64::from(block_size) * self.kv_bytes_per_gpu()
    }

    /// Bytes of KV of one token on one GPU: heads are split as far as there are any.
    fn kv_bytes_per_gpu(&self) -> f64 {
        let split = self.tensor_parallel.min(self.model.kv_heads);
        self.kv_bytes_per_token() as f64 / f64::from(split)
    }

    /// Bytes of the weights that every step reads: all but experts and the input's embedding.
    fn dense_bytes(&self) -> f64 {
        let params = self.model.dense_params() + self.model.embedding_params();
        params as f64 * self.weight_bytes()
    }

    fn expert_bytes(&self) -> f64 {
        self.model.expert_params() as f64 * self.weight_bytes()
    }

    /// Bytes that one token moves between the matrix products, on one GPU: two norms with their
    /// residual read and write 8 widths a layer, a gated activation 3 and a rotary embedding 2.
    fn moved_bytes(&self) -> f64 {
        let Model { layers, hidden, heads, kv_heads, head_dim, .. } = *self.model;
        let norms = f64::from(layers) * 8.0 * f64::from(hidden);
        let activations = 3.0 * self.model.ffn_of_a_token() as f64;
        let rotary = f64::from(layers) * 2.0 * f64::from((heads + kv_heads) * head_dim);
        ACTIVATION_BYTES * (norms + (activations + rotary) / self.degree())
    }

    fn read_ms(&self, bytes: f64) -> f64 {
        bytes / (self.gpu.bandwidth_tb_s.value * 1e9 * self.gpu.bandwidth_share.value)
    }

    /// Milliseconds of the matrix products of one token.
    fn compute_ms(&self) -> f64 {
        let flop = 2.0 * self.model.layer_params_of_a_token() as f64;
        // Without fp8 tensor cores the weights are widened and computed as bf16.
        let tflops = match (self.weights_dtype, self.gpu.fp8_tflops) {
            (Dtype::Fp8, Some(fp8)) => fp8.value,
            (Dtype::Bf16, _) | (Dtype::Fp8, None) => self.gpu.bf16_tflops.value,
        };
        flop / self.degree() / (tflops * 1e9 * self.gpu.compute_share.value)
    }

    /// Milliseconds of one query–key pair: a multiply and an add for the score and for the value.
    fn pair_ms(&self) -> f64 {
        let Model { layers, heads, head_dim, .. } = *self.model;
        let flop = 4.0 * f64::from(layers) * f64::from(heads) * f64::from(head_dim);
        let tflops = self.gpu.bf16_tflops.value * self.gpu.compute_share.value * ATTENTION_SHARE;
        flop / self.degree() / (tflops * 1e9)
    }

    /// Milliseconds of all-reduces per step and per token: two a layer.
    fn all_reduce_ms(&self) -> (f64, f64) {
        let place = PARALLEL_DEGREES.iter().position(|degree| *degree == self.tensor_parallel);
        let Some(place) = place.and_then(|place| place.checked_sub(1)) else {
            return (0.0, 0.0);
        };
        let AllReduce { latency_us, gb_s } = self.gpu.link.all_reduce[place];
        let reduces = 2.0 * f64::from(self.model.layers);
        let bytes = f64::from(self.model.hidden) * ACTIVATION_BYTES;
        (reduces * latency_us / 1e3, reduces * bytes / (gb_s * 1e6))
    }

    fn prefill_step_ms(&self) -> f64 {
        match (self.model.experts, self.tensor_parallel) {
            (_, 1) | (None, 2) => 0.0,
            (None, _) => DENSE_PREFILL_MS,
            (Some(_), _) => EXPERT_PREFILL_MS,
        }
    }
}

/// Returns the tokens of the knee, to the nearest 16.
fn knee(tokens: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "tokens are positive, and a cast of more than fits takes the most"
    )]
    let sixteens = (tokens / 16.0).round() as u32;
    sixteens.saturating_mul(16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::step::{BatchShape, StepModel};

    fn deployment(gpu: &str, model: &str, tensor_parallel: u32) -> Deployment {
        let gpu = Gpu::by_name(gpu).unwrap();
        Deployment::new(gpu, Model::by_name(model).unwrap(), tensor_parallel)
    }

    #[test]
    fn a_measured_engine_has_the_blocks_that_are_computed() {
        // vLLM 0.19 on an RTX 4090: 2,588 blocks (LLMServingSim, bench/examples).
        let blocks = deployment("RTX4090", "Llama-3.1-8B", 1).kv_blocks(16).unwrap();
        assert!((2_580..=2_596).contains(&blocks), "{blocks}");
        // llm-d's benchmarks of Qwen3-32B on two H100: 307,328 tokens, here to 10 %.
        let blocks = deployment("H100Sxm", "Qwen3-32B", 2).kv_blocks(16).unwrap();
        assert!((f64::from(blocks) * 16.0 / 307_328.0 - 1.0).abs() < 0.1, "{blocks}");
    }

    #[test]
    fn what_does_not_fit_says_by_how_much_and_what_would() {
        // 70.55·10⁹ parameters of two bytes on 0.9 · 84.9 GB.
        let one = deployment("H100Sxm", "Llama-3.1-70B", 1).kv_blocks(16).unwrap_err();
        assert!((one.missing_bytes / 1e9 - (141.1 + 1.24 - 76.45)).abs() < 0.1, "{one:?}");
        assert_eq!(one.enough, Some(2));
        let huge = deployment("L40S", "DeepSeek-V3", 8).kv_blocks(16).unwrap_err();
        assert_eq!(huge.enough, None);
        assert!(deployment("H200", "DeepSeek-V3", 8).kv_blocks(16).is_ok());
    }

    #[test]
    fn latent_kv_is_not_split() {
        let eight = deployment("H200", "DeepSeek-V3", 8);
        assert_eq!(eight.kv_bytes_per_token(), 70_272);
        assert!((eight.kv_bytes_per_gpu() - 70_272.0).abs() < 1e-9);
        let small = deployment("H100Sxm", "Qwen3-30B-A3B", 8);
        assert!((small.kv_bytes_per_gpu() - 98_304.0 / 4.0).abs() < 1e-9);
    }

    #[test]
    fn presets_are_near_the_kernel_tables() {
        // Fitted to AIConfigurator's vLLM kernel tables for Llama-3.1-8B: step without host time,
        // token beyond the knee, context token; Apache-2.0, see NOTICE. The contexts of the
        // cards with GDDR are left out: theirs were read faster than memory goes, from the cache.
        for (gpu, step, token, context) in [
            ("H100Sxm", 6.08, 0.017_6, Some(4.20e-5)),
            ("H200", 4.55, 0.017_9, Some(3.00e-5)),
            ("A100Sxm80", 11.08, 0.049_9, Some(8.70e-5)),
            ("L40S", 22.63, 0.062_8, None),
            ("B200", 3.03, 0.008_45, Some(1.76e-5)),
            ("RTXPRO6000", 11.51, 0.033_8, None),
        ] {
            let preset = deployment(gpu, "Llama-3.1-8B", 1).preset();
            let beyond = preset.token_ms + preset.knee_token_ms;
            let near = |ours: f64, theirs: f64, most: f64| (ours / theirs - 1.0).abs() < most;
            assert!(near(preset.step_ms - HOST_MS, step, 0.2), "{gpu}: {preset:?}");
            assert!(near(beyond, token, 0.25), "{gpu}: {preset:?}");
            if let Some(context) = context {
                assert!(near(preset.context_token_ms, context, 0.5), "{gpu}: {preset:?}");
            }
        }
    }

    #[test]
    fn a_prompt_is_computed_as_fast_as_measured() {
        // llm-d: 8,192 random tokens of Qwen3-32B on two H100, 15,928 and 20,480 tokens/s in two
        // measurements of one path.
        let model = StepModel::linear(&deployment("H100Sxm", "Qwen3-32B", 2).preset());
        let shape = BatchShape {
            prefill_tokens: 8_192,
            attention_halves: 8_192 * 8_192,
            ..BatchShape::default()
        };
        let tokens_per_s = 8_192.0 / model.step_time(&shape).as_secs();
        assert!((14_000.0..22_000.0).contains(&tokens_per_s), "{tokens_per_s}");
    }

    #[test]
    fn more_gpus_are_faster_by_less_than_their_number() {
        for model in ["Llama-3.1-70B", "Mixtral-8x7B"] {
            let at = |degree| StepModel::linear(&deployment("H200", model, degree).preset());
            let shape = BatchShape {
                decodes: 64,
                context_tokens: 64_000,
                longest_context: 1_000,
                ..BatchShape::default()
            };
            let decode = |degree| at(degree).step_time(&shape).as_ms();
            assert!(decode(4) < decode(2) && decode(4) > decode(2) / 2.0, "{model}");
        }
    }
}
