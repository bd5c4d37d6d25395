use std::fs;
use std::path::PathBuf;

use super::*;
use crate::document::Document;
use crate::scenario::Config;
use crate::sweep::Manifest;

const CONFIG: &str = "[simulation]\nname = \"a\"\nseed = 7\nwarmup_requests = 10\n\
    [cluster]\ngpu_type = \"H100Sxm\"\nnum_backends = 4\nmax_queue_depth = 64\n\
    [cluster.compute_model]\nprefill_tokens_per_sec = 50000\n[slo]\nttft_p95_ms = 500\n\
    e2e_mean_ms = 9000\n";

const PRESET: &str = "[cluster]\nmodel = \"Llama-3.1-8B\"\nnum_backends = 2\n";

const DISAGGREGATED: &str = "[cluster]\nmodel = \"Llama-3.1-8B\"\nnum_backends = 3\n\
    [cluster.disaggregated]\nprefill_backends = 1\ndecode_backends = 2\nenabled = true\n";

/// A trace of ten requests, two seconds apart.
fn trace_text() -> String {
    let row = |at: u32| format!("{{\"ts\":{},\"prompt_tokens\":9,\"gen_tokens\":5}}\n", 2_000 * at);
    (0..10).map(row).collect()
}

fn config(text: &str) -> Config {
    Config::parse("c.toml", text).unwrap()
}

fn algorithm(text: &str) -> AlgorithmSpec {
    let document = Document::parse("m.toml", &format!("a = {text}")).unwrap();
    document.settle(|root| AlgorithmSpec::read(&root.item("a")?)).unwrap()
}

fn secs(seconds: f64) -> SimDuration {
    SimDuration::from_secs(seconds).unwrap()
}

fn content(sha256: &str) -> TraceContent<'_> {
    TraceContent { sha256, format: "mooncake", block_tokens: 512, tick: Some(secs(3.0)) }
}

/// The id of a cell of `config` with everything else at hand.
fn id(config: &Config, algorithm_text: &str, change: impl FnOnce(&mut CellSpec<'_>)) -> String {
    let (algorithm, generator) = (algorithm(algorithm_text), GeneratorSpec::default());
    let mut spec = CellSpec {
        cluster: &config.cluster,
        algorithm: &algorithm,
        rate_rps: Some(8.0),
        warmup: config.warmup,
        workload: WorkloadUse::Generated { generator: &generator, duration: secs(60.0) },
        slo: &config.slo,
    };
    change(&mut spec);
    spec.id()
}

fn plain(text: &str) -> String {
    id(&config(text), "\"round_robin\"", |_| {})
}

/// A folder of its own for a test, with a config, a trace and manifests.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let name = format!("routesim-identity-{test}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("c.toml"), CONFIG).unwrap();
        fs::write(folder.join("other.toml"), PRESET).unwrap();
        fs::write(folder.join("t.jsonl"), trace_text()).unwrap();
        Self(folder)
    }

    fn identity(&self, manifest: &str) -> Identity {
        let path = self.0.join("m.toml");
        fs::write(&path, format!("schema = 1\n{manifest}")).unwrap();
        Identity::of(&Grid::load(Manifest::load(&path).unwrap()).unwrap()).unwrap()
    }

    /// The id of the first cell of a trace's grid.
    fn of_trace(&self, grid: &str, workload: &str) -> String {
        let axes = "configs = [\"c.toml\"]\nalgorithms = [\"round_robin\"]";
        let manifest = format!("name = \"n\"\n[grid]\n{axes}\n{grid}\n[workload]\n{workload}");
        self.identity(&manifest).cell_id(0).to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[test]
fn the_canonical_text_of_a_cell_is_what_it_was() {
    let (config, algorithm) = (config(CONFIG), algorithm("\"prefix_aware\""));
    let spec = CellSpec {
        cluster: &config.cluster,
        algorithm: &algorithm,
        rate_rps: Some(0.5),
        warmup: config.warmup,
        workload: WorkloadUse::Resampled {
            trace: content("e3b0"),
            duration: secs(3_600.0),
            block: secs(300.0),
        },
        slo: &config.slo,
    };
    let expected = "{\"algorithm\":{\"name\":\"prefix_aware\",\"parameters\":{\"cache_weight\":0.8}},\
        \"cluster\":{\"async_scheduling\":true,\"gpu\":{\"name\":\"H100Sxm\",\"usd_per_hour\":2.95},\
        \"kv_block_size\":16,\"kv_cache_blocks\":32768,\"max_batch_size\":256,\
        \"max_batch_tokens\":16384,\"max_queue_depth\":64,\"num_backends\":4,\
        \"step\":{\"compute\":{\"decode_throughput_saturation_batch\":64,\
        \"decode_tokens_per_sec_batch1\":80,\"decode_tokens_per_sec_saturated\":3200,\
        \"prefill_tokens_per_sec\":50000}},\"tensor_parallel\":1},\"rate_rps\":0.5,\
        \"slo\":[[\"e2e_mean_ms\",\"9000000000000\"],[\"ttft_p95_ms\",\"500000000000\"]],\
        \"warmup\":{\"requests\":10},\
        \"workload\":{\"resampled\":{\"block\":\"300000000000000\",\
        \"duration\":\"3600000000000000\",\"trace\":{\"block_tokens\":512,\
        \"format\":\"mooncake\",\"sha256\":\"e3b0\",\"tick\":\"3000000000000\"}}}}";
    assert_eq!(canonical(&spec.document()), expected);
    assert_eq!(spec.id(), "75b01f93b74b8a92");
}

#[test]
fn ids_are_what_they_were() {
    let none = |_: &mut CellSpec<'_>| {};
    let guide = id(&config(CONFIG), "\"round_robin\"", none);
    let tuned = "{ name = \"prefix_aware\", cache_weight = 0.7 }";
    let ids = [
        run_id(&guide, 42).to_string(),
        guide,
        id(&config(PRESET), tuned, none),
        id(&config(DISAGGREGATED), "\"least_kv\"", none),
        id(&config(CONFIG), "\"cost_escalation\"", |spec| {
            let (duration, block) = (secs(3_600.0), secs(300.0));
            spec.workload = WorkloadUse::Resampled { trace: content("e3b0"), duration, block };
        }),
        id(&config(PRESET), "\"session_affinity\"", |spec| {
            spec.rate_rps = None;
            spec.warmup = Warmup::Time(secs(5.0));
            spec.workload = WorkloadUse::Replayed { trace: content("e3b0"), duration: None };
        }),
    ];
    let frozen = [
        "10e1a9bd2fbc9d2b",
        "a48cea547f0d1a48",
        "36686cab267b7102",
        "e2cde47ac84a0751",
        "05f1badd4948cd3e",
        "a7c24325b5b3c49e",
    ];
    assert_eq!(ids, frozen);
}

#[test]
fn a_config_written_differently_is_the_same_cell() {
    let renamed = CONFIG.replace("\"a\"", "\"b\"").replace("seed = 7", "seed = 8 # another");
    let reordered = CONFIG
        .replace("num_backends = 4\nmax_queue_depth = 64", "max_queue_depth=64\nnum_backends=4");
    let objectives = CONFIG
        .replace("ttft_p95_ms = 500\ne2e_mean_ms = 9000", "e2e_mean_ms = 9e3\nttft_p95_ms = 500.0");
    let point = CONFIG.replace("= 50000", "= 50_000.0");
    let default = CONFIG.replace("[cluster]", "[cluster]\nkv_block_size = 16");
    for other in [&renamed, &reordered, &objectives, &point, &default] {
        assert_ne!(other, CONFIG);
        assert_eq!(plain(other), plain(CONFIG), "{other}");
    }
    let given = "{ name = \"prefix_aware\", cache_weight = 0.8 }";
    let none = |_: &mut CellSpec<'_>| {};
    let by_name = id(&config(CONFIG), "\"prefix_aware\"", none);
    assert_eq!(by_name, id(&config(CONFIG), given, none), "a default that is spelt out");
    let no_warmup = CONFIG.replace("warmup_requests = 10", "warmup_requests = 0");
    let no_time = CONFIG.replace("warmup_requests = 10", "warmup_s = 0");
    assert_eq!(plain(&no_warmup), plain(&no_time));
}

#[test]
fn whatever_moves_a_result_is_another_cell() {
    let mut ids = vec![plain(CONFIG), plain(PRESET), plain(DISAGGREGATED)];
    for (was, is) in [
        ("H100Sxm", "A100"),
        ("num_backends = 4", "num_backends = 5"),
        ("num_backends = 4", "num_backends = 4\ntensor_parallel = 2"),
        ("max_queue_depth = 64", "max_queue_depth = 65"),
        ("num_backends = 4", "num_backends = 4\nmax_batch_tokens = 4096"),
        ("num_backends = 4", "num_backends = 4\nmax_batch_size = 64"),
        ("num_backends = 4", "num_backends = 4\nlong_prefill_tokens = 512"),
        ("num_backends = 4", "num_backends = 4\nkv_cache_blocks = 999"),
        ("num_backends = 4", "num_backends = 4\nkv_block_size = 32"),
        ("num_backends = 4", "num_backends = 4\nasync_scheduling = false"),
        ("= 50000", "= 50001"),
        ("warmup_requests = 10", "warmup_requests = 11"),
        ("warmup_requests = 10", "warmup_s = 10"),
        ("ttft_p95_ms = 500", "ttft_p95_ms = 501"),
        ("ttft_p95_ms", "ttft_p99_ms"),
        ("ttft_p95_ms", "tpot_p95_ms"),
    ] {
        let changed = CONFIG.replacen(was, is, 1);
        assert_ne!(changed, CONFIG, "{was}");
        ids.push(plain(&changed));
    }
    let latency = "decode_backends = 2\nkv_transfer_latency_us = 7";
    ids.push(plain(&DISAGGREGATED.replace("decode_backends = 2", latency)));
    let base = config(CONFIG);
    for other in ["\"least_kv\"", "{ name = \"prefix_aware\", cache_weight = 0.7 }"] {
        ids.push(id(&base, other, |_| {}));
    }
    ids.push(id(&base, "\"prefix_aware\"", |_| {}));
    ids.push(id(&base, "\"round_robin\"", |spec| spec.rate_rps = Some(8.000_000_001)));
    ids.push(id(&base, "\"round_robin\"", |spec| spec.rate_rps = None));
    let distinct: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
    assert!(ids.iter().all(|id| id.len() == 16));
}

#[test]
fn whatever_moves_the_requests_is_another_cell() {
    let default = GeneratorSpec::default();
    let generators = [
        GeneratorSpec { prompt_mean: 501.0, ..default.clone() },
        GeneratorSpec { prompt_std: 201.0, ..default.clone() },
        GeneratorSpec { gen_mean: 151.0, ..default.clone() },
        GeneratorSpec { gen_std: 51.0, ..default.clone() },
        GeneratorSpec { num_prefixes: 11, ..default.clone() },
        GeneratorSpec { prefix_len_mean: 257.0, ..default.clone() },
        GeneratorSpec { lengths: crate::workload::Lengths::Constant, ..default.clone() },
        default,
    ];
    let mut uses = Vec::new();
    for generator in &generators {
        uses.push(WorkloadUse::Generated { generator, duration: secs(60.0) });
    }
    uses.push(WorkloadUse::Generated { generator: &generators[0], duration: secs(61.0) });
    for trace in [
        content("e3b0"),
        content("e3b1"),
        TraceContent { format: "compact_jsonl", ..content("e3b0") },
        TraceContent { block_tokens: 16, ..content("e3b0") },
        TraceContent { tick: None, ..content("e3b0") },
    ] {
        uses.push(WorkloadUse::Replayed { trace, duration: None });
        uses.push(WorkloadUse::Replayed { trace, duration: Some(secs(60.0)) });
        uses.push(WorkloadUse::Resampled { trace, duration: secs(60.0), block: secs(300.0) });
        uses.push(WorkloadUse::Resampled { trace, duration: secs(60.0), block: secs(30.0) });
    }
    let (config, algorithm) = (config(CONFIG), algorithm("\"round_robin\""));
    let of_use = |workload: &WorkloadUse<'_>| {
        let (cluster, slo) = (&config.cluster, &config.slo);
        let (algorithm, workload) = (&algorithm, *workload);
        CellSpec { cluster, algorithm, rate_rps: None, warmup: Warmup::NONE, workload, slo }.id()
    };
    let ids: BTreeSet<String> = uses.iter().map(of_use).collect();
    assert_eq!(ids.len(), uses.len());
}

#[test]
fn the_rest_of_the_grid_is_of_no_concern() {
    let folder = Folder::new("rest");
    let workload = "[workload]\nduration_s = 60\n[workload.generator]\n";
    let grid = |name: &str, configs: &str, algorithms: &str, rates: &str| {
        let axes = format!("configs = {configs}\nalgorithms = {algorithms}\nrates = {rates}");
        folder.identity(&format!("name = \"{name}\"\n[grid]\n{axes}\n{workload}"))
    };
    let names: Vec<&str> = AlgorithmSpec::all().iter().map(AlgorithmSpec::name).collect();
    let all = grid("all", "[\"c.toml\"]", "\"all\"", "[8, 9]");
    assert_eq!(all, grid("list", "[\"c.toml\"]", &format!("{names:?}"), "[8.0, 9]"));
    // The same cell third of three configs' rates, and alone.
    let one = grid("one", "[\"other.toml\", \"c.toml\"]", "[\"least_kv\"]", "[3, 8]");
    let place = names.iter().position(|name| *name == "least_kv").unwrap();
    assert_eq!(all.cell_id(2 * place), one.cell_id(3));
    assert_eq!(all.run_id(2 * place, 5), one.run_id(3, 5));
    assert_ne!(one.run_id(3, 5), one.run_id(3, 6));
}

#[test]
fn a_trace_counts_by_its_content() {
    let folder = Folder::new("trace");
    let rates = "rates = [1]";
    let base = folder.of_trace(rates, "trace = \"t.jsonl\"");
    fs::copy(folder.0.join("t.jsonl"), folder.0.join("copy.jsonl")).unwrap();
    let copied = folder.of_trace(rates, "trace = \"copy.jsonl\"\nformat = \"jsonl\"");
    assert_eq!(base, copied, "another path, and the format told");
    let clock = folder.of_trace(rates, "trace = \"t.jsonl\"\ndequantize = \"off\"");
    assert_eq!(base, clock, "auto finds no coarse clock");
    let blocks = folder.of_trace(rates, "trace = \"t.jsonl\"\nbootstrap_block_s = 900");
    assert_eq!(base, blocks, "blocks are no longer than the trace");
    assert_ne!(base, folder.of_trace(rates, "trace = \"t.jsonl\"\nbootstrap_block_s = 5"));
    assert_ne!(base, folder.of_trace(rates, "trace = \"t.jsonl\"\ndequantize = 2000"));
    let text = trace_text().replacen("\"gen_tokens\":5", "\"gen_tokens\":6", 1);
    fs::write(folder.0.join("copy.jsonl"), text).unwrap();
    assert_ne!(base, folder.of_trace(rates, "trace = \"copy.jsonl\""));
}

#[test]
fn several_seeds_resample_a_trace_at_its_own_rate() {
    let folder = Folder::new("seeds");
    let of_seeds = |seeds| folder.of_trace(seeds, "trace = \"t.jsonl\"");
    assert_eq!(of_seeds("seeds = [3]"), of_seeds("seeds = [4]"));
    assert_eq!(of_seeds("seeds = [3, 4]"), of_seeds("seeds = 10"));
    assert_ne!(of_seeds("seeds = [3]"), of_seeds("seeds = [3, 4]"));
}

#[test]
fn the_fingerprint_names_the_version_and_the_engine() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(engine_fingerprint(), format!("{version}-engine.{ENGINE}"));
}

#[test]
fn what_is_asked_of_requests_is_part_of_the_id() {
    let text = CONFIG.replace("e2e_mean_ms = 9000\n", "");
    let of = |more: &str| plain(&format!("{text}{more}\n"));
    let own = of("attainment_ratio = 0.99\nttft_ms = 500\ntpot_ms = 50");
    assert_eq!(own, of("tpot_ms = 50\nattainment_ratio = 0.99\nttft_ms = 500"));
    let others = [
        "",
        "ttft_mean_ms = 500\ntpot_mean_ms = 50",
        "attainment_ratio = 0.999\nttft_ms = 500\ntpot_ms = 50",
        "attainment_ratio = 0.99\nttft_ms = 501\ntpot_ms = 50",
        "attainment_ratio = 0.99\nttft_ms = 500",
    ];
    for other in others {
        assert_ne!(own, of(other), "{other}");
    }
}
