//! GPUs, models and what a model on GPUs can do: text, JSON and CSV.

use serde_json::{Value, json};

use crate::cluster::{Deployment, Figure, Gpu, LinearModel, Model};

use super::number::{RATE, SIGNIFICANT, WHOLE};
use super::table::TextTable;

/// The version of the JSON document.
const SCHEMA: &str = "routesim.catalogue/1";
/// Tokens in a block of the KV cache, as engines have them by default.
const BLOCK_TOKENS: u32 = 16;
/// How far a preset is off until it is calibrated.
const CAVEAT: &str = "Presets are computed from data sheets and kernel measurements: 15 to 25 % off \
                      until calibrated.";
/// Columns of a terminal that tables fit into.
const WIDTH: usize = 100;

/// What of the catalogue is shown.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// GPUs, in the order of the catalogue.
    pub gpus: Vec<&'static Gpu>,
    /// Models, in the order of the catalogue.
    pub models: Vec<&'static Model>,
    /// Models on GPUs.
    pub deployments: Vec<Deployment>,
    /// Whether the text says where each figure comes from; JSON does always.
    pub sources: bool,
}

impl Catalogue {
    /// Renders the catalogue for a terminal.
    pub fn text(&self) -> String {
        let mut lines = vec!["GPUs".to_owned()];
        lines.extend(gpu_table(&self.gpus).lines());
        lines.extend([String::new(), "Models".to_owned()]);
        lines.extend(model_table(&self.models).lines());
        lines.extend([String::new(), "Models on GPUs, 16 tokens a block".to_owned()]);
        for block in deployment_table(&self.deployments).blocks(WIDTH) {
            lines.extend(block);
            lines.push(String::new());
        }
        lines.push(CAVEAT.to_owned());
        if self.sources {
            lines.extend([String::new(), "Sources".to_owned()]);
            lines.extend(self.gpus.iter().flat_map(|gpu| gpu_sources(gpu)));
            let shape = |model: &&Model| format!("  {} shape: {}", model.name, model.source);
            lines.extend(self.models.iter().map(shape));
        } else {
            lines.push("Name a --gpu or --model to see where its figures come from.".to_owned());
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// Returns the catalogue as one JSON document, every figure with its source.
    pub fn json(&self) -> Value {
        let gpus: Vec<Value> = self.gpus.iter().map(|gpu| gpu_json(gpu)).collect();
        let models: Vec<Value> = self.models.iter().map(|model| model_json(model)).collect();
        let deployments: Vec<Value> = self.deployments.iter().map(deployment_json).collect();
        json!({
            "schema": SCHEMA,
            "routesim_version": env!("CARGO_PKG_VERSION"),
            "note": CAVEAT,
            "gpus": gpus,
            "models": models,
            "deployments": deployments,
        })
    }

    /// Returns one CSV row per model on GPUs.
    ///
    /// # Panics
    ///
    /// Never: memory takes all that is written.
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut header = vec![
            "gpu_type",
            "model",
            "tensor_parallel",
            "weights_dtype",
            "kv_dtype",
            "kv_cache_blocks",
            "usd_per_hour",
        ];
        header.extend(coefficients(&LinearModel::default()).map(|(key, _)| key));
        writer.write_record(header).expect("memory takes all");
        for deployment in &self.deployments {
            writer.write_record(row(deployment)).expect("memory takes all, and rows are equal");
        }
        let bytes = writer.into_inner().expect("memory takes all");
        String::from_utf8(bytes).expect("written from text")
    }
}

fn gpu_table(gpus: &[&Gpu]) -> TextTable {
    let mut table = TextTable::new(
        2,
        &[
            ["name", ""],
            ["memory", "(GiB)"],
            ["bandwidth", "(TB/s)"],
            ["reached", ""],
            ["bf16", "(TFLOP/s)"],
            ["reached", ""],
            ["fp8", "(TFLOP/s)"],
            ["price", "(USD/h)"],
        ],
    );
    for gpu in gpus {
        let fp8 = gpu.fp8_tflops.map_or_else(|| "-".to_owned(), |fp8| WHOLE.show(fp8.value));
        table.push(vec![
            gpu.name.to_owned(),
            RATE.show(gpu.memory_gib.value),
            RATE.show(gpu.bandwidth_tb_s.value),
            RATE.show(gpu.bandwidth_share.value),
            WHOLE.show(gpu.bf16_tflops.value),
            RATE.show(gpu.compute_share.value),
            fp8,
            RATE.show(gpu.usd_per_hour.value),
        ]);
    }
    table
}

fn model_table(models: &[&Model]) -> TextTable {
    let mut table = TextTable::new(
        2,
        &[
            ["name", ""],
            ["parameters", "(10⁹)"],
            ["active", "(10⁹)"],
            ["layers", ""],
            ["hidden", ""],
            ["heads", ""],
            ["KV heads", ""],
            ["experts", ""],
            ["KV", "(bytes/token)"],
        ],
    );
    for model in models {
        let experts = model.experts.map_or_else(
            || "-".to_owned(),
            |experts| format!("{} of {}", experts.per_token, experts.count),
        );
        table.push(vec![
            model.name.to_owned(),
            RATE.show(model.params() as f64 / 1e9),
            RATE.show(model.active_params() as f64 / 1e9),
            model.layers.to_string(),
            model.hidden.to_string(),
            model.heads.to_string(),
            model.kv_heads.to_string(),
            experts,
            model.kv_bytes_per_token(2).to_string(),
        ]);
    }
    table
}

fn deployment_table(deployments: &[Deployment]) -> TextTable {
    let keys = coefficients(&LinearModel::default()).map(|(key, _)| key);
    let mut headers = vec![["model on GPUs", ""], ["KV", "blocks"], ["price", "(USD/h)"]];
    headers.extend(keys.map(split_unit));
    let mut table = TextTable::new(2, &headers);
    for deployment in deployments {
        let Deployment { gpu, model, tensor_parallel, .. } = deployment;
        let blocks = deployment.kv_blocks(BLOCK_TOKENS);
        let mut row = vec![
            format!("{} on {tensor_parallel} x {}", model.name, gpu.name),
            blocks.map_or_else(|_| "too large".to_owned(), |blocks| blocks.to_string()),
            RATE.show(deployment.usd_per_hour()),
        ];
        row.extend(coefficients(&deployment.preset()).map(|(_, value)| shown(&value)));
        table.push(row);
    }
    table
}

/// Parts a key into what it is and its unit, for the two lines of a header.
fn split_unit(key: &'static str) -> [&'static str; 2] {
    match key.strip_suffix("_ms") {
        Some(what) => [what, "(ms)"],
        None => [key, ""],
    }
}

fn row(deployment: &Deployment) -> Vec<String> {
    let blocks = deployment.kv_blocks(BLOCK_TOKENS).map(|blocks| blocks.to_string());
    let mut row = vec![
        deployment.gpu.name.to_owned(),
        deployment.model.name.to_owned(),
        deployment.tensor_parallel.to_string(),
        deployment.weights_dtype.name().to_owned(),
        deployment.kv_dtype.name().to_owned(),
        blocks.unwrap_or_default(),
        deployment.usd_per_hour().to_string(),
    ];
    row.extend(coefficients(&deployment.preset()).map(|(_, value)| value.to_string()));
    row
}

/// Returns the coefficients under their keys of `[cluster.step_model]`.
fn coefficients(model: &LinearModel) -> [(&'static str, Value); 11] {
    [
        ("step_ms", json!(model.step_ms)),
        ("token_ms", json!(model.token_ms)),
        ("knee_token_ms", json!(model.knee_token_ms)),
        ("knee_tokens", json!(model.knee_tokens)),
        ("decode_ms", json!(model.decode_ms)),
        ("context_token_ms", json!(model.context_token_ms)),
        ("attention_pair_ms", json!(model.attention_pair_ms)),
        ("prefill_step_ms", json!(model.prefill_step_ms)),
        ("expert_ms", json!(model.expert_ms)),
        ("experts", json!(model.experts)),
        ("experts_per_token", json!(model.experts_per_token)),
    ]
}

/// Shows a coefficient: a count as it is, a time with three digits or more.
fn shown(value: &Value) -> String {
    match (value.as_u64(), value.as_f64()) {
        (None, Some(ms)) if ms > 0.0 => SIGNIFICANT.show(ms),
        (None, _) => "0".to_owned(),
        (Some(count), _) => count.to_string(),
    }
}

/// Returns the figures of a GPU under their names.
fn figures(gpu: &Gpu) -> Vec<(&'static str, Figure)> {
    let mut figures = vec![
        ("memory_gib", gpu.memory_gib),
        ("bandwidth_tb_s", gpu.bandwidth_tb_s),
        ("bf16_tflops", gpu.bf16_tflops),
        ("bandwidth_share", gpu.bandwidth_share),
        ("compute_share", gpu.compute_share),
        ("usd_per_hour", gpu.usd_per_hour),
    ];
    figures.extend(gpu.fp8_tflops.map(|fp8| ("fp8_tflops", fp8)));
    figures
}

fn gpu_sources(gpu: &Gpu) -> Vec<String> {
    let named = figures(gpu)
        .into_iter()
        .map(|(name, figure)| format!("  {} {name} {}: {}", gpu.name, figure.value, figure.source));
    let link = format!("  {} link, {}: {}", gpu.name, gpu.link.name, gpu.link.source);
    named.chain([link]).collect()
}

fn gpu_json(gpu: &Gpu) -> Value {
    let mut value = json!({ "name": gpu.name, "aliases": gpu.aliases });
    for (name, figure) in figures(gpu) {
        value[name] = json!({ "value": figure.value, "source": figure.source });
    }
    let reduces: Vec<Value> = (gpu.link.all_reduce.iter())
        .map(|reduce| json!({ "latency_us": reduce.latency_us, "gb_s": reduce.gb_s }))
        .collect();
    value["link"] = json!({
        "name": gpu.link.name,
        "all_reduce_2_4_8": reduces,
        "source": gpu.link.source,
    });
    value
}

fn model_json(model: &Model) -> Value {
    let experts = model.experts.map(|experts| {
        json!({
            "count": experts.count,
            "per_token": experts.per_token,
            "shared": experts.shared,
            "ffn": experts.ffn,
        })
    });
    json!({
        "name": model.name,
        "aliases": model.aliases,
        "params": model.params(),
        "active_params": model.active_params(),
        "layers": model.layers,
        "hidden": model.hidden,
        "heads": model.heads,
        "kv_heads": model.kv_heads,
        "head_dim": model.head_dim,
        "experts": experts,
        "kv_bytes_per_token": model.kv_bytes_per_token(2),
        "source": model.source,
    })
}

fn deployment_json(deployment: &Deployment) -> Value {
    let preset = coefficients(&deployment.preset());
    let preset = preset.into_iter().map(|(key, value)| (key.to_owned(), value));
    json!({
        "gpu_type": deployment.gpu.name,
        "model": deployment.model.name,
        "tensor_parallel": deployment.tensor_parallel,
        "weights_dtype": deployment.weights_dtype.name(),
        "kv_dtype": deployment.kv_dtype.name(),
        "kv_block_size": BLOCK_TOKENS,
        "kv_cache_blocks": deployment.kv_blocks(BLOCK_TOKENS).ok(),
        "usd_per_hour": deployment.usd_per_hour(),
        "step_model": Value::Object(preset.collect()),
    })
}
