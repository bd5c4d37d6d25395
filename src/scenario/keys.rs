//! The keys of a config, for editors and whoever asks what there is.
//!
//! Names come from the registries. What else stands here, the readers know too; the tests hold the
//! two together.

use serde_json::{Value, json};

use crate::cluster::{Dtype, GPUS, MODELS, PARALLEL_DEGREES};
use crate::document::{Bounds, Key, KeyKind, Keys, json_schema};
use crate::metrics::SloMeasure;
use crate::trace::Format;

const LARGEST_SEED: u64 = 1 << 53;

/// Returns the JSON Schema of a config file.
pub fn config_schema() -> Value {
    let about = "A fleet of serving engines, as `routesim -c` and the manifests of \
                 `routesim-sweep` take it.";
    json_schema("RouteSim config", about, &config_keys(), &[])
}

/// Returns every key of a config file.
pub fn config_keys() -> Keys {
    let table = |name, keys, about| Key::new(name, KeyKind::Table(keys), about);
    Keys::from(vec![
        table("simulation", simulation_keys(), "Label, seed and warm-up."),
        table("cluster", cluster_keys(), "The fleet.").required(),
        table("trace", config_trace_keys(), "Where `routesim` finds requests; sweeps do not."),
        table("slo", slo_keys(), "Objectives; all of them must hold."),
    ])
}

fn simulation_keys() -> Keys {
    let seed = KeyKind::Whole(0..=LARGEST_SEED);
    let mut keys = vec![
        Key::new("name", KeyKind::Text, "Label in outputs.").default("simulation"),
        Key::new("seed", seed, "Seed of every random stream; in a sweep, the manifest's.")
            .default(42),
    ];
    keys.extend(warmup_keys());
    one_warmup(keys.into())
}

/// Returns the two keys of a warm-up, of which a table has at most one.
pub fn warmup_keys() -> Vec<Key> {
    let whole = KeyKind::Whole(0..=LARGEST_SEED);
    let seconds = KeyKind::Real(Bounds::Between(0.0, 8e6));
    vec![
        Key::new("warmup_requests", whole, "First arrivals that no metric counts."),
        Key::new("warmup_s", seconds, "Time at the start that no metric counts, in seconds."),
    ]
}

/// Says that a table has at most one of the two.
pub fn one_warmup(keys: Keys) -> Keys {
    keys.rule(json!({ "not": { "required": ["warmup_requests", "warmup_s"] } }))
}

fn cluster_keys() -> Keys {
    let steps = "Milliseconds of a step by linear coefficients; before [cluster.compute_model].";
    let mut keys = fleet_keys();
    keys.extend(limit_keys());
    keys.extend([
        Key::new(
            "compute_model",
            KeyKind::Table(compute_keys().into()),
            "How long a step takes, by four numbers.",
        ),
        Key::new("step_model", KeyKind::Table(step_keys().into()), steps),
        Key::new(
            "disaggregated",
            KeyKind::Table(disaggregated_keys().into()),
            "Prefill and decode on different backends.",
        ),
    ]);
    let of_model = ["model"];
    Keys::from(keys).rule(json!({ "dependencies": {
        "weights_dtype": of_model, "kv_dtype": of_model, "gpu_memory_utilization": of_model,
    } }))
}

/// What the backends are.
fn fleet_keys() -> Vec<Key> {
    let gpus = GPUS.iter().flat_map(|gpu| std::iter::once(gpu.name).chain(gpu.aliases.to_vec()));
    let dtypes = || KeyKind::names([Dtype::Bf16, Dtype::Fp8].map(Dtype::name));
    let degrees = KeyKind::OneOf(PARALLEL_DEGREES.map(Value::from).to_vec());
    vec![
        Key::new("num_backends", KeyKind::Whole(1..=100_000), "Serving engines, all alike.")
            .required(),
        Key::new(
            "gpu_type",
            KeyKind::names(gpus),
            "The GPU: price; with `model` also KV blocks and step times.",
        )
        .default("H100Sxm"),
        Key::new("model", model_kind(), "The model: KV blocks and step times."),
        Key::new("tensor_parallel", degrees, "GPUs of a backend.").default(1),
        Key::new(
            "weights_dtype",
            dtypes(),
            "How weights are stored; needs `model`, whose own is the default.",
        ),
        Key::new("kv_dtype", dtypes(), "How KV is stored; needs `model`.").default("bf16"),
        Key::new(
            "gpu_memory_utilization",
            KeyKind::Real(Bounds::Between(0.01, 1.0)),
            "Share of the memory that the engine uses, from 0.01 to 1; needs `model`.",
        )
        .default(0.9),
    ]
}

/// The names of models: those of the catalogue, and what else is understood as one of them.
fn model_kind() -> KeyKind {
    let names = MODELS.iter().flat_map(|model| model.aliases.iter().chain([&model.name]));
    let any_case = |name: &str| -> String {
        let class = |c: char| match c {
            c if c.is_ascii_alphabetic() => {
                format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase())
            }
            c if c.is_ascii_digit() || c == '-' || c == '_' => c.to_string(),
            c => format!("[{c}]"),
        };
        name.chars().map(class).collect()
    };
    let names: Vec<String> = names.map(|name| any_case(name)).collect();
    let form = format!("^(.*/)?({})({})?$", names.join("|"), any_case("-instruct"));
    let listed = KeyKind::names(MODELS.iter().map(|model| model.name));
    KeyKind::Either(vec![listed, KeyKind::Form(form)])
}

/// What a backend may hold.
fn limit_keys() -> Vec<Key> {
    let count = |name, low, high, about, default: u64| {
        Key::new(name, KeyKind::Whole(low..=high), about).default(default)
    };
    vec![
        count("max_batch_tokens", 1, 1 << 20, "Tokens that one step may compute.", 16_384),
        count(
            "max_batch_size",
            1,
            1 << 20,
            "Requests that may run at once on a backend, at most `max_batch_tokens`.",
            256,
        ),
        count(
            "long_prefill_tokens",
            0,
            1 << 20,
            "Prompt tokens of one request in a step; 0 for no limit.",
            0,
        ),
        count(
            "max_queue_depth",
            1,
            1 << 30,
            "Requests that may wait on a backend; it refuses more.",
            256,
        ),
        count(
            "kv_cache_blocks",
            2,
            1 << 30,
            "KV blocks of a backend; with `model`, what its weights leave by default.",
            32_768,
        ),
        count("kv_block_size", 1, 1 << 20, "Tokens in a KV block.", 16),
        Key::new(
            "async_scheduling",
            KeyKind::Truth,
            "Whether a step is composed while the one before it runs.",
        )
        .default(true),
    ]
}

fn compute_keys() -> Vec<Key> {
    let rate = |name, about, default: f64| {
        Key::new(name, KeyKind::Real(Bounds::Between(1.0, 1e9)), about).default(default)
    };
    vec![
        rate("prefill_tokens_per_sec", "Prompt tokens of a backend in a second.", 50_000.0),
        rate("decode_tokens_per_sec_batch1", "Output tokens/s of one sequence alone.", 80.0),
        Key::new(
            "decode_throughput_saturation_batch",
            KeyKind::Whole(1..=1 << 16),
            "Sequences from which more bring no more output tokens/s.",
        )
        .default(64),
        rate(
            "decode_tokens_per_sec_saturated",
            "Output tokens/s from that batch on; a straight line before.",
            3_200.0,
        ),
    ]
}

/// Their default is the preset of the model, or 0 without one.
fn step_keys() -> Vec<Key> {
    let coefficient = |(name, about): (&str, &str)| {
        let about = format!("Milliseconds: {about}; by default the preset of `model`, or 0.");
        Key::new(name, KeyKind::Real(Bounds::Between(0.0, 1e6)), &about)
    };
    let count = |name, high, about: &str| {
        let about = format!("{about}; by default the preset of `model`, or 0.");
        Key::new(name, KeyKind::Whole(0..=high), &about)
    };
    let mut keys: Vec<Key> = [
        ("step_ms", "every step"),
        ("prefill_token_ms", "every prefill token"),
        ("decode_ms", "every decode"),
        ("context_token_ms", "every token of context that a decode reads"),
        ("longest_context_token_ms", "every token of the longest of those contexts"),
        ("attention_pair_ms", "every query-key pair of a prefill chunk"),
        ("prefill_step_ms", "every step that carries prefill"),
        ("token_ms", "every token, prefill or decode"),
        ("knee_token_ms", "every token beyond `knee_tokens`"),
        ("expert_ms", "a step that reads all experts"),
        ("first_launch_ms", "once, in a backend's first launch"),
    ]
    .into_iter()
    .map(coefficient)
    .collect();
    keys.extend([
        count("knee_tokens", 1 << 20, "Tokens from which compute overtakes the reading of weights"),
        count("experts", 4_096, "Experts of a layer"),
        count("experts_per_token", 4_096, "Experts that a token is sent to"),
    ]);
    keys
}

fn disaggregated_keys() -> Vec<Key> {
    let backends = || KeyKind::Whole(0..=100_000);
    let shape = |name, about, default: u64| {
        let about = format!("{about}; with a `model` and none of the shape's keys, its own.");
        Key::new(name, KeyKind::Whole(1..=10_000), &about).default(default)
    };
    vec![
        Key::new("enabled", KeyKind::Truth, "With false the table has no effect.").required(),
        Key::new("prefill_backends", backends(), "Backends that prefill, the first ones.")
            .default(0),
        Key::new("decode_backends", backends(), "Backends that decode, the others.").default(0),
        Key::new(
            "kv_transfer_latency_us",
            KeyKind::Real(Bounds::Between(0.0, 1e12)),
            "Microseconds before the first byte of a KV transfer.",
        )
        .default(500.0),
        Key::new(
            "kv_transfer_bandwidth_gb_s",
            KeyKind::Real(Bounds::Between(1e-6, 1e9)),
            "Bandwidth of a KV transfer, 10^9 bytes/s.",
        )
        .default(50.0),
        shape("num_layers", "Layers of the model", 80),
        shape("head_dim", "Numbers of a head", 128),
        shape("num_kv_heads", "KV heads of a layer", 8),
    ]
}

fn config_trace_keys() -> Keys {
    let mut keys = vec![Key::new("path", KeyKind::Text, "The file, from the working directory.")];
    keys.extend(trace_keys());
    keys.into()
}

/// Returns the keys that say how a trace is to be read.
pub fn trace_keys() -> Vec<Key> {
    let formats = KeyKind::names(Format::NAMES);
    let choice = KeyKind::names(["auto", "off"]);
    let dequantize = KeyKind::Either(vec![choice, KeyKind::Whole(1..=86_400_000)]);
    vec![
        Key::new("format", formats, "Format of the trace; by its first row when left out."),
        Key::new(
            "block_size",
            KeyKind::Whole(1..=1 << 20),
            "Tokens that one of `hash_ids` stands for; the file's own when left out.",
        ),
        Key::new(
            "dequantize",
            dequantize,
            "Whether coarse arrival times are spread: \"auto\", \"off\" or a tick in milliseconds.",
        )
        .default("auto"),
    ]
}

/// Returns the keys of objectives: the usual ones by name, others by their form; those of single
/// requests go with the share of requests that keep them.
pub fn slo_keys() -> Keys {
    let limit = || KeyKind::Real(Bounds::Between(1e-6, 1e9));
    let key = |measure: &str, statistic: &str| {
        let about = match statistic.strip_prefix('p') {
            Some(percent) => format!("Limit of the {percent}th percentile, in milliseconds."),
            None => "Limit of the mean, in milliseconds.".to_owned(),
        };
        Key::new(&format!("{measure}_{statistic}_ms"), limit(), &about)
    };
    let measures = SloMeasure::ALL.map(|(name, _)| name);
    let usual = ["mean", "p50", "p90", "p95", "p99"];
    let mut keys: Vec<Key> = measures
        .into_iter()
        .flat_map(|measure| usual.map(|statistic| key(measure, statistic)))
        .collect();
    let of_requests = SloMeasure::ALL.iter().filter(|(_, measure)| measure.is_per_request());
    let of_requests: Vec<String> = of_requests.map(|(name, _)| format!("{name}_ms")).collect();
    let about = "Limit of each request, in milliseconds; needs `attainment_ratio`.";
    keys.extend(of_requests.iter().map(|name| Key::new(name, limit(), about)));
    let share = KeyKind::Real(Bounds::Between(1e-6, 1.0));
    let about = "Share of the measured requests that must be within the limits of each request.";
    keys.push(Key::new("attainment_ratio", share, about));
    let some = of_requests.iter().map(|name| json!({ "required": [name] }));
    let needs_some = json!({ "anyOf": some.collect::<Vec<_>>() });
    let needs_share = of_requests.iter().map(|name| (name.clone(), json!(["attainment_ratio"])));
    let mut needs: serde_json::Map<String, Value> = needs_share.collect();
    needs.insert("attainment_ratio".to_owned(), needs_some);
    let percent = r"p(100(\.0+)?|[0-9]{1,2}(\.[0-9]+)?)";
    let form = format!("^({})_(mean|{percent})_ms$", measures.join("|"));
    Keys::from(keys).others(&form, limit()).rule(json!({ "dependencies": needs }))
}

#[cfg(test)]
mod tests;
