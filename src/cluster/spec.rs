//! The `[cluster]` table of a config.

use crate::document::{Bounds, Table, did_you_mean};
use crate::units::{PS_PER_S, SimDuration};

use super::catalogue::{GPUS, Gpu};
use super::step::{ComputeModel, LinearModel, StepModel};

/// Rates of the guide's compute model, in tokens/s: slower is no GPU, faster is no time at all.
const RATES: Bounds = Bounds::Between(1.0, 1e9);
/// No transfer is longer, latency apart: ten days, so that the clock can't wrap.
const LONGEST_TRANSFER: SimDuration = SimDuration::from_ps(864_000 * PS_PER_S);
/// The most KV blocks of a whole fleet. A block takes some 32 bytes of a run's memory.
const MOST_BLOCKS: u64 = 1 << 28;
/// The most experts of a layer.
const MOST_EXPERTS: u32 = 4_096;
/// Step coefficients, in milliseconds.
const COEFFICIENTS: Bounds = Bounds::Between(0.0, 1e6);

/// A fleet of equal backends, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterSpec {
    /// The GPU under each backend.
    pub gpu: &'static Gpu,
    /// How many backends there are.
    pub num_backends: u32,
    /// Tokens that one step may compute (vLLM: `max_num_batched_tokens`).
    pub max_batch_tokens: u32,
    /// Requests that may run at once on a backend (vLLM: `max_num_seqs`).
    pub max_batch_size: u32,
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
#[derive(Clone, Debug, PartialEq)]
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
    /// `[cluster.step_model]`: coefficients of a linear step.
    Linear(LinearModel),
}

/// `[cluster.disaggregated]`: the first backends prefill, the rest decode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DisaggregatedSpec {
    /// Backends that prefill.
    pub prefill_backends: u32,
    /// Backends that decode.
    pub decode_backends: u32,
    /// Time until the first byte of a KV transfer arrives.
    pub kv_transfer_latency: SimDuration,
    /// Bandwidth of a KV transfer, 10⁹ bytes/s.
    pub kv_transfer_bandwidth_gb_s: f64,
    /// Bytes of KV per token: 2 (keys, values) × 2 bytes × layers × KV heads × head size.
    pub kv_bytes_per_token: u64,
}

impl ClusterSpec {
    /// Reads the `[cluster]` table; faults are reported to the document.
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let gpu = read_gpu(table);
        let num_backends = table.count("num_backends", 1..=100_000);
        if !table.has("num_backends") {
            table.fault("[cluster] has no `num_backends`", Some("say how many backends".into()));
        }
        let num_backends = num_backends.unwrap_or(1);
        let compute = table.section("compute_model", read_compute);
        let linear = table.section("step_model", read_linear);
        let step = match (linear, compute) {
            (Some(model), _) => StepSpec::Linear(model),
            (None, Some(step)) => step,
            (None, None) => StepSpec::default(),
        };
        let disaggregated = table
            .section("disaggregated", |section| read_disaggregated(section, num_backends))
            .flatten();
        let kv_cache_blocks = table.count("kv_cache_blocks", 2..=1 << 30).unwrap_or(32_768);
        check_memory(table, num_backends, kv_cache_blocks);
        Some(Self {
            num_backends,
            max_batch_tokens: table.count("max_batch_tokens", 1..=1 << 20).unwrap_or(16_384),
            max_batch_size: table.count("max_batch_size", 1..=1 << 20).unwrap_or(256),
            max_queue_depth: table.count("max_queue_depth", 1..=1 << 30).unwrap_or(256),
            kv_cache_blocks,
            kv_block_size: table.count("kv_block_size", 1..=1 << 20).unwrap_or(16),
            async_scheduling: table.truth("async_scheduling").unwrap_or(true),
            step,
            disaggregated,
            // Last, so that a bad name does not hide what the other keys have to say.
            gpu: gpu?,
        })
    }

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

    /// Returns what an hour of the whole fleet costs, in US dollars.
    pub fn usd_per_hour(&self) -> f64 {
        self.gpu.usd_per_hour * f64::from(self.num_backends)
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

/// Refuses a fleet whose blocks no machine could keep track of.
fn check_memory(table: &mut Table<'_>, num_backends: u32, kv_cache_blocks: u32) {
    let blocks = u64::from(num_backends) * u64::from(kv_cache_blocks);
    if blocks > MOST_BLOCKS {
        let key = if table.has("kv_cache_blocks") { "kv_cache_blocks" } else { "num_backends" };
        table.fault_at(
            key,
            format!(
                "{num_backends} backends of {kv_cache_blocks} KV blocks are {blocks}, expected at \
                 most {MOST_BLOCKS} together"
            ),
            Some("lower `num_backends` or `kv_cache_blocks`, or raise `kv_block_size`".into()),
        );
    }
}

fn read_gpu(table: &mut Table<'_>) -> Option<&'static Gpu> {
    let Some(item) = table.item("gpu_type") else {
        return Gpu::by_name("H100Sxm");
    };
    let name = item.text()?;
    let gpu = Gpu::by_name(&name);
    if gpu.is_none() {
        let names: Vec<&str> = GPUS.iter().map(|gpu| gpu.name).collect();
        item.fault(format!("unknown GPU `{name}`"), Some(did_you_mean(&name, &names)));
    }
    gpu
}

fn read_compute(table: &mut Table<'_>) -> StepSpec {
    StepSpec::Compute {
        prefill_tokens_per_sec: table.real("prefill_tokens_per_sec", RATES).unwrap_or(50_000.0),
        decode_tokens_per_sec_batch1: table
            .real("decode_tokens_per_sec_batch1", RATES)
            .unwrap_or(80.0),
        decode_throughput_saturation_batch: table
            .count("decode_throughput_saturation_batch", 1..=1 << 16)
            .unwrap_or(64),
        decode_tokens_per_sec_saturated: table
            .real("decode_tokens_per_sec_saturated", RATES)
            .unwrap_or(3_200.0),
    }
}

fn read_linear(table: &mut Table<'_>) -> LinearModel {
    let mut coefficient = |key: &str| table.real(key, COEFFICIENTS).unwrap_or(0.0);
    let model = LinearModel {
        step_ms: coefficient("step_ms"),
        prefill_token_ms: coefficient("prefill_token_ms"),
        decode_ms: coefficient("decode_ms"),
        context_token_ms: coefficient("context_token_ms"),
        attention_pair_ms: coefficient("attention_pair_ms"),
        prefill_step_ms: coefficient("prefill_step_ms"),
        token_ms: coefficient("token_ms"),
        knee_token_ms: coefficient("knee_token_ms"),
        expert_ms: coefficient("expert_ms"),
        first_launch_ms: coefficient("first_launch_ms"),
        knee_tokens: table.count("knee_tokens", 0..=1 << 20).unwrap_or(0),
        experts: table.count("experts", 0..=MOST_EXPERTS).unwrap_or(0),
        experts_per_token: table.count("experts_per_token", 0..=MOST_EXPERTS).unwrap_or(0),
    };
    check_linear(table, &model);
    model
}

/// Refuses coefficients that make no sense together.
fn check_linear(table: &Table<'_>, model: &LinearModel) {
    let per_token = model.prefill_token_ms.min(model.decode_ms);
    if model.step_ms + model.token_ms + model.expert_ms + per_token <= 0.0 {
        table.fault(
            "[cluster.step_model] makes a step of no time",
            Some("give `step_ms`, or both `prefill_token_ms` and `decode_ms`".into()),
        );
    }
    let LinearModel { experts, experts_per_token, .. } = *model;
    if model.expert_ms > 0.0 && !(1..=experts).contains(&experts_per_token) {
        table.fault_at(
            "expert_ms",
            format!("{experts_per_token} `experts_per_token` of {experts} `experts`"),
            Some("give both for `expert_ms`, as in the model's own configuration".into()),
        );
    }
}

fn read_disaggregated(table: &mut Table<'_>, num_backends: u32) -> Option<DisaggregatedSpec> {
    if !table.has("enabled") {
        let hint = Some("say `enabled = true`, or false to keep the table for later".to_owned());
        table.fault("[cluster.disaggregated] does not say whether it is `enabled`", hint);
    }
    let enabled = table.truth("enabled").unwrap_or(false);
    let prefill_backends = table.count("prefill_backends", 0..=100_000).unwrap_or(0);
    let decode_backends = table.count("decode_backends", 0..=100_000).unwrap_or(0);
    let latency_us = table.real("kv_transfer_latency_us", Bounds::Between(0.0, 1e12));
    let bandwidth = table.real("kv_transfer_bandwidth_gb_s", Bounds::Between(1e-6, 1e9));
    let layers = table.whole("num_layers", 1..=10_000).unwrap_or(80);
    let head_dim = table.whole("head_dim", 1..=10_000).unwrap_or(128);
    let kv_heads = table.whole("num_kv_heads", 1..=10_000).unwrap_or(8);
    if !enabled {
        return None;
    }
    if prefill_backends == 0 || decode_backends == 0 {
        table.fault("disaggregation needs a prefill backend and a decode backend", None);
    } else if prefill_backends + decode_backends != num_backends {
        table.fault(
            format!("{prefill_backends} prefill and {decode_backends} decode backends are not the {num_backends} of `num_backends`"),
            None,
        );
    }
    let latency = SimDuration::from_secs(latency_us.unwrap_or(500.0) / 1e6).ok()?;
    Some(DisaggregatedSpec {
        prefill_backends,
        decode_backends,
        kv_transfer_latency: latency,
        kv_transfer_bandwidth_gb_s: bandwidth.unwrap_or(50.0),
        kv_bytes_per_token: 4 * layers * head_dim * kv_heads,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn read(text: &str) -> Result<ClusterSpec, String> {
        let document = Document::parse("c.toml", text).map_err(|faults| faults.to_string())?;
        document.settle(ClusterSpec::read).map_err(|faults| faults.to_string())
    }

    #[test]
    fn the_guides_defaults_hold() {
        let spec = read("num_backends = 8").unwrap();
        assert_eq!(spec.gpu.name, "H100Sxm");
        assert_eq!((spec.max_batch_tokens, spec.max_queue_depth), (16_384, 256));
        assert_eq!((spec.kv_cache_blocks, spec.kv_block_size), (32_768, 16));
        assert_eq!(spec.step, StepSpec::default());
        assert!((spec.usd_per_hour() - 8.0 * 2.95).abs() < 1e-12);
    }

    #[test]
    fn a_transfer_takes_latency_and_bytes_over_bandwidth() {
        let text = "num_backends = 8\n[disaggregated]\nenabled = true\n\
                    prefill_backends = 2\ndecode_backends = 6";
        let spec = read(text).unwrap().disaggregated.unwrap();
        // 1,024 tokens × 327,680 bytes / 50 GB/s = 6.711 ms, and 0.5 ms of latency.
        assert!((spec.transfer_time(1_024).as_ms() - 7.2109).abs() < 1e-3);
    }

    #[test]
    fn every_bad_value_is_named() {
        let text = "gpu_type = \"H100Smx\"\nnum_backends = 0\nkv_block_size = 0\n\
                    [compute_model]\nprefill_tokens_per_sec = nan";
        let faults = read(text).unwrap_err();
        for part in ["c.toml:1:12: unknown GPU `H100Smx`", "did you mean `H100Sxm`?"] {
            assert!(faults.contains(part), "{faults}");
        }
        for part in ["`num_backends` is 0", "`kv_block_size` is 0", "`compute_model.prefill"] {
            assert!(faults.contains(part), "{faults}");
        }
        let huge = "num_backends = 1000\nkv_cache_blocks = 1000000000";
        assert!(read(huge).unwrap_err().contains("1000 backends of 1000000000"));
        let pools = "num_backends = 8\n[disaggregated]\nenabled = true\n\
                     prefill_backends = 2\ndecode_backends = 4";
        assert!(read(pools).unwrap_err().contains("are not the 8"));
        for (model, part) in [
            ("decode_ms = 1", "no time"),
            ("expert_ms = 1", "0 `experts_per_token` of 0 `experts`"),
            ("expert_ms = 1\nexperts = 8\nexperts_per_token = 9", "9 `experts_per_token` of 8"),
            ("step_ms = 1\nfirst_step_ms = 1", "did you mean `first_launch_ms`?"),
        ] {
            let faults = read(&format!("num_backends = 1\n[step_model]\n{model}")).unwrap_err();
            assert!(faults.contains(part), "{faults}");
        }
    }
}
