//! The `[cluster]` table, key by key.

use crate::document::{Bounds, Table, did_you_mean};
use crate::units::SimDuration;

use super::catalogue::{Deployment, Dtype, GPUS, Gpu, MODELS, Model, PARALLEL_DEGREES};
use super::spec::{ClusterSpec, DisaggregatedSpec, StepSpec};
use super::step::LinearModel;

/// Rates of the guide's compute model, in tokens/s: slower is no GPU, faster is no time at all.
const RATES: Bounds = Bounds::Between(1.0, 1e9);
/// The most KV blocks of a whole fleet, far above any that exists, and the most tokens of a block
/// times backends: a backend counts its requests by their place in a block.
const MOST_BLOCKS: u64 = 1 << 28;
/// The most experts of a layer.
const MOST_EXPERTS: u32 = 4_096;
/// Step coefficients, in milliseconds.
const COEFFICIENTS: Bounds = Bounds::Between(0.0, 1e6);

/// KV blocks of a backend when nothing says how many.
const DEFAULT_BLOCKS: u32 = 32_768;
/// Requests that run at once when nothing says how many, as in vLLM.
const DEFAULT_BATCH_SIZE: u32 = 256;

impl ClusterSpec {
    /// Reads the `[cluster]` table; faults are reported to the document.
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let gpu = read_gpu(table);
        let num_backends = table.count("num_backends", 1..=100_000);
        if !table.has("num_backends") {
            table.fault("[cluster] has no `num_backends`", Some("say how many backends".into()));
        }
        let num_backends = num_backends.unwrap_or(1);
        let tensor_parallel = read_degree(table);
        let deployment = read_deployment(table, gpu, tensor_parallel);
        let deployment = deployment.as_ref();
        let step = read_step(table, deployment);
        let disaggregated = table
            .section("disaggregated", |section| {
                read_disaggregated(section, num_backends, deployment)
            })
            .flatten();
        let kv_block_size = table.count("kv_block_size", 1..=1 << 20).unwrap_or(16);
        let kv_cache_blocks = read_blocks(table, deployment, kv_block_size);
        check_memory(table, num_backends, kv_cache_blocks, kv_block_size);
        let (max_batch_tokens, max_batch_size) = read_batch(table);
        Some(Self {
            num_backends,
            tensor_parallel,
            model: deployment.map(|deployment| deployment.model),
            max_batch_tokens,
            max_batch_size,
            long_prefill_tokens: table
                .count("long_prefill_tokens", 0..=1 << 20)
                .filter(|tokens| *tokens > 0),
            max_queue_depth: table.count("max_queue_depth", 1..=1 << 30).unwrap_or(256),
            kv_cache_blocks,
            kv_block_size,
            async_scheduling: table.truth("async_scheduling").unwrap_or(true),
            step,
            disaggregated,
            // Last, so that a bad name does not hide what the other keys have to say.
            gpu: gpu?,
        })
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

/// Returns how many GPUs a backend has.
fn read_degree(table: &mut Table<'_>) -> u32 {
    let Some(item) = table.item("tensor_parallel") else {
        return 1;
    };
    let Some(degree) = item.whole(1..=8).and_then(|degree| u32::try_from(degree).ok()) else {
        return 1;
    };
    if !PARALLEL_DEGREES.contains(&degree) {
        item.wrong("1, 2, 4 or 8");
        return 1;
    }
    degree
}

/// Returns the model on its GPUs, when the config names a model and both are known.
fn read_deployment(
    table: &mut Table<'_>,
    gpu: Option<&'static Gpu>,
    tensor_parallel: u32,
) -> Option<Deployment> {
    let weights_dtype = read_dtype(table, "weights_dtype");
    let kv_dtype = read_dtype(table, "kv_dtype");
    let utilization = table.real("gpu_memory_utilization", Bounds::Between(0.01, 1.0));
    let Some(item) = table.item("model") else {
        for key in ["weights_dtype", "kv_dtype", "gpu_memory_utilization"] {
            if table.has(key) {
                let hint = Some("name the `model`, or leave the key out".to_owned());
                table.fault_at(key, format!("`{key}` means nothing without a `model`"), hint);
            }
        }
        return None;
    };
    let name = item.text()?;
    let Some(model) = Model::by_name(&name) else {
        let names: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
        let hint = format!("{}; `routesim catalogue` lists them", did_you_mean(&name, &names));
        item.fault(format!("unknown model `{name}`"), Some(hint));
        return None;
    };
    let usual = Deployment::new(gpu?, model, tensor_parallel);
    Some(Deployment {
        weights_dtype: weights_dtype.unwrap_or(usual.weights_dtype),
        kv_dtype: kv_dtype.unwrap_or(usual.kv_dtype),
        gpu_memory_utilization: utilization.unwrap_or(usual.gpu_memory_utilization),
        ..usual
    })
}

fn read_dtype(table: &mut Table<'_>, key: &str) -> Option<Dtype> {
    let item = table.item(key)?;
    let dtype = Dtype::by_name(&item.text()?);
    if dtype.is_none() {
        item.wrong("\"bf16\" or \"fp8\"");
    }
    dtype
}

/// Returns the KV blocks of a backend: as given, else what the model leaves room for.
fn read_blocks(table: &mut Table<'_>, deployment: Option<&Deployment>, kv_block_size: u32) -> u32 {
    let given = table.count("kv_cache_blocks", 2..=1 << 30);
    let Some(deployment) = deployment.filter(|_| !table.has("kv_cache_blocks")) else {
        return given.unwrap_or(DEFAULT_BLOCKS);
    };
    match deployment.kv_blocks(kv_block_size) {
        Ok(blocks) => blocks,
        Err(too_large) => {
            let Deployment { gpu, model, tensor_parallel, weights_dtype, .. } = deployment;
            let (model, gpu, dtype) = (model.name, gpu.name, weights_dtype.name());
            let hint = match too_large.enough {
                Some(degree) => format!("`tensor_parallel = {degree}` would do"),
                None => "8 GPUs are not enough either; take larger ones, or fp8 weights".to_owned(),
            };
            let message = format!(
                "`model` {model} with {dtype} weights does not fit {tensor_parallel} x {gpu}: \
                 {too_large}"
            );
            table.fault_at("model", message, Some(hint));
            DEFAULT_BLOCKS
        }
    }
}

/// Returns the limits of a step, in tokens and in requests.
fn read_batch(table: &mut Table<'_>) -> (u32, u32) {
    let tokens = table.count("max_batch_tokens", 1..=1 << 20).unwrap_or(16_384);
    let size = table.count("max_batch_size", 1..=1 << 20);
    let size = size.unwrap_or(DEFAULT_BATCH_SIZE.min(tokens));
    if size > tokens {
        table.fault_at(
            "max_batch_size",
            format!("{size} of `max_batch_size` are more than {tokens} of `max_batch_tokens`"),
            Some("each running request takes a token of a step; raise `max_batch_tokens`".into()),
        );
    }
    (tokens, size)
}

/// Refuses a fleet beyond all that exists, or one that would not fit in memory.
fn check_memory(
    table: &mut Table<'_>,
    num_backends: u32,
    kv_cache_blocks: u32,
    kv_block_size: u32,
) {
    let places = u64::from(num_backends) * u64::from(kv_block_size);
    if places > MOST_BLOCKS {
        table.fault_at(
            "kv_block_size",
            format!("{num_backends} backends with blocks of {kv_block_size} tokens"),
            Some("lower `kv_block_size`: engines have blocks of 16 to 128 tokens".into()),
        );
    }
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

/// Returns how long steps take: by `[cluster.step_model]`, else by `[cluster.compute_model]`, else
/// as the model's preset has it, else by the guide's numbers.
fn read_step(table: &mut Table<'_>, deployment: Option<&Deployment>) -> StepSpec {
    let preset = deployment.map(Deployment::preset);
    let compute = table.section("compute_model", read_compute);
    let linear = table.section("step_model", |section| read_linear(section, preset.as_ref()));
    match (linear, compute, preset) {
        (Some(model), _, _) => StepSpec::Linear(model),
        (None, Some(step), _) => step,
        (None, None, Some(preset)) => StepSpec::Linear(preset),
        (None, None, None) => StepSpec::default(),
    }
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

/// Reads linear coefficients; those that are not given are the preset's, or 0 without one.
fn read_linear(table: &mut Table<'_>, preset: Option<&LinearModel>) -> LinearModel {
    let usual = preset.copied().unwrap_or_default();
    let mut coefficient = |key: &str, usual: f64| table.real(key, COEFFICIENTS).unwrap_or(usual);
    let model = LinearModel {
        step_ms: coefficient("step_ms", usual.step_ms),
        prefill_token_ms: coefficient("prefill_token_ms", usual.prefill_token_ms),
        decode_ms: coefficient("decode_ms", usual.decode_ms),
        context_token_ms: coefficient("context_token_ms", usual.context_token_ms),
        longest_context_token_ms: coefficient(
            "longest_context_token_ms",
            usual.longest_context_token_ms,
        ),
        attention_pair_ms: coefficient("attention_pair_ms", usual.attention_pair_ms),
        prefill_step_ms: coefficient("prefill_step_ms", usual.prefill_step_ms),
        token_ms: coefficient("token_ms", usual.token_ms),
        knee_token_ms: coefficient("knee_token_ms", usual.knee_token_ms),
        expert_ms: coefficient("expert_ms", usual.expert_ms),
        first_launch_ms: coefficient("first_launch_ms", usual.first_launch_ms),
        ..usual
    };
    let mut count = |key: &str, most, usual| table.count(key, 0..=most).unwrap_or(usual);
    let model = LinearModel {
        knee_tokens: count("knee_tokens", 1 << 20, usual.knee_tokens),
        experts: count("experts", MOST_EXPERTS, usual.experts),
        experts_per_token: count("experts_per_token", MOST_EXPERTS, usual.experts_per_token),
        ..model
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

fn read_disaggregated(
    table: &mut Table<'_>,
    num_backends: u32,
    deployment: Option<&Deployment>,
) -> Option<DisaggregatedSpec> {
    if !table.has("enabled") {
        let hint = Some("say `enabled = true`, or false to keep the table for later".to_owned());
        table.fault("[cluster.disaggregated] does not say whether it is `enabled`", hint);
    }
    let enabled = table.truth("enabled").unwrap_or(false);
    let prefill_backends = table.count("prefill_backends", 0..=100_000).unwrap_or(0);
    let decode_backends = table.count("decode_backends", 0..=100_000).unwrap_or(0);
    let latency_us = table.real("kv_transfer_latency_us", Bounds::Between(0.0, 1e12));
    let bandwidth = table.real("kv_transfer_bandwidth_gb_s", Bounds::Between(1e-6, 1e9));
    let kv_bytes_per_token = read_kv_bytes(table, deployment);
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
        kv_bytes_per_token,
    })
}

/// Returns the bytes of KV of a token: of the model, unless the table has a shape of its own.
fn read_kv_bytes(table: &mut Table<'_>, deployment: Option<&Deployment>) -> u64 {
    let shape = ["num_layers", "head_dim", "num_kv_heads"];
    let given = shape.map(|key| table.whole(key, 1..=10_000));
    match (deployment, given) {
        (Some(deployment), [None, None, None]) => deployment.kv_bytes_per_token(),
        (_, [layers, head_dim, kv_heads]) => {
            4 * layers.unwrap_or(80) * head_dim.unwrap_or(128) * kv_heads.unwrap_or(8)
        }
    }
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
        assert_eq!((spec.tensor_parallel, spec.model, spec.long_prefill_tokens), (1, None, None));
    }

    #[test]
    fn a_model_brings_its_preset_blocks_and_price() {
        let text = "num_backends = 2\ngpu_type = \"H100\"\nmodel = \"Qwen/Qwen3-32B\"\n\
                    tensor_parallel = 2";
        let spec = read(text).unwrap();
        let model = Model::by_name("Qwen3-32B").unwrap();
        let deployment = Deployment::new(Gpu::by_name("H100Sxm").unwrap(), model, 2);
        assert_eq!(spec.model, Some(model));
        assert_eq!(spec.step, StepSpec::Linear(deployment.preset()));
        assert_eq!(Ok(spec.kv_cache_blocks), deployment.kv_blocks(16));
        assert_eq!(spec.backend_name(), "2 x H100Sxm, Qwen3-32B");
        assert!((spec.usd_per_hour() - 4.0 * 2.95).abs() < 1e-12);
        let half = format!("{text}\ngpu_memory_utilization = 0.7\nkv_dtype = \"fp8\"");
        let half = read(&half).unwrap();
        assert!(half.kv_cache_blocks > spec.kv_cache_blocks, "blocks of half the bytes");
    }

    #[test]
    fn what_is_given_goes_before_the_preset() {
        let fleet = "num_backends = 1\nmodel = \"Llama-3.1-8B\"\n";
        let preset = match read(fleet).unwrap().step {
            StepSpec::Linear(preset) => preset,
            StepSpec::Compute { .. } => unreachable!("a model has a preset"),
        };
        let blocks = read(&format!("{fleet}kv_cache_blocks = 100")).unwrap().kv_cache_blocks;
        assert_eq!(blocks, 100);
        let one = read(&format!("{fleet}[step_model]\nstep_ms = 9\nknee_tokens = 7")).unwrap();
        let changed = LinearModel { step_ms: 9.0, knee_tokens: 7, ..preset };
        assert_eq!(one.step, StepSpec::Linear(changed));
        let guide = read(&format!("{fleet}[compute_model]")).unwrap();
        assert_eq!(guide.step, StepSpec::default());
        let both = read(&format!("{fleet}[compute_model]\n[step_model]")).unwrap();
        assert_eq!(both.step, StepSpec::Linear(preset));
        let alone = read("num_backends = 1\n[step_model]\nstep_ms = 9").unwrap();
        let rest = LinearModel { step_ms: 9.0, ..LinearModel::default() };
        assert_eq!(alone.step, StepSpec::Linear(rest));
        let huge = "num_backends = 1\nmodel = \"DeepSeek-V3\"\nkv_cache_blocks = 100";
        assert!(read(huge).is_ok(), "given blocks are believed");
    }

    #[test]
    fn what_cannot_be_deployed_is_refused_with_a_way_out() {
        for (text, parts) in [
            ("model = \"Llama-3.1-70B\"", &["1 x H100Sxm", "GB more", "`tensor_parallel = 2`"][..]),
            ("gpu_type = \"L40S\"\nmodel = \"DeepSeek-V3\"", &["8 GPUs are not enough"]),
            ("model = \"Llama-3.1-9B\"", &["unknown model", "did you mean `Llama-3.1-8B`?"]),
            ("tensor_parallel = 3", &["`tensor_parallel` is 3, expected 1, 2, 4 or 8"]),
            ("kv_dtype = \"fp8\"", &["`kv_dtype` means nothing without a `model`"]),
            ("model = \"Qwen3-32B\"\nkv_dtype = \"int4\"", &["expected \"bf16\" or \"fp8\""]),
            ("max_batch_tokens = 64\nmax_batch_size = 65", &["65 of `max_batch_size`", "raise"]),
        ] {
            let faults = read(&format!("num_backends = 1\n{text}")).unwrap_err();
            for part in parts {
                assert!(faults.contains(part), "{text}: {faults}");
            }
        }
    }

    #[test]
    fn a_small_step_holds_few_requests() {
        let spec =
            read("num_backends = 1\nmax_batch_tokens = 64\nlong_prefill_tokens = 0").unwrap();
        assert_eq!((spec.max_batch_tokens, spec.max_batch_size), (64, 64));
        assert_eq!(spec.long_prefill_tokens, None);
        let spec = read("num_backends = 1\nlong_prefill_tokens = 512").unwrap();
        assert_eq!((spec.max_batch_size, spec.long_prefill_tokens), (256, Some(512)));
    }

    #[test]
    fn a_transfer_takes_latency_and_bytes_over_bandwidth() {
        let text = "num_backends = 8\n[disaggregated]\nenabled = true\n\
                    prefill_backends = 2\ndecode_backends = 6";
        let spec = read(text).unwrap().disaggregated.unwrap();
        // 1,024 tokens × 327,680 bytes / 50 GB/s = 6.711 ms, and 0.5 ms of latency.
        assert!((spec.transfer_time(1_024).as_ms() - 7.2109).abs() < 1e-3);
        let model = format!("model = \"Llama-3.1-8B\"\n{text}");
        assert_eq!(read(&model).unwrap().disaggregated.unwrap().kv_bytes_per_token, 131_072);
        let given = format!("{model}\nnum_layers = 1");
        assert_eq!(read(&given).unwrap().disaggregated.unwrap().kv_bytes_per_token, 4_096);
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
