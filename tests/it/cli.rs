//! The program `routesim` from its command line to its output.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A folder of one test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("routesim-cli-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Generates about that many requests in 20 s.
    fn trace(&self, requests: u32) -> String {
        let path = self.path("trace.jsonl");
        let rate = format!("{}", requests / 20);
        done(&["gen-trace", "--rate", &rate, "--duration", "20", "-o", &path]);
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_routesim"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// Runs to success and returns standard output.
fn done(arguments: &[&str]) -> String {
    let output = output(arguments);
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {err}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs to exit code 2 and returns standard error; nothing may stand on standard output.
fn refused(arguments: &[&str]) -> String {
    let output = output(arguments);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {err}");
    assert!(output.stdout.is_empty(), "{arguments:?} wrote data");
    err
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

const ALGORITHMS: [&str; 7] = [
    "round_robin",
    "least_outstanding",
    "least_kv",
    "prefix_aware",
    "prefix_overlap",
    "session_affinity",
    "cost_escalation",
];

#[test]
fn every_command_of_the_guide_works_as_written() {
    let folder = Folder::new("guide");
    let trace = folder.trace(400);
    let production = "configs/production_h100x8.toml";
    let listed = done(&["list-algorithms"]);
    for name in ALGORITHMS {
        assert!(listed.contains(&format!("  - {name} ")), "{name}");
    }
    let one = done(&["run", "-c", production, "-t", &trace, "-a", "prefix_aware"]);
    assert!(one.starts_with("\n  prefix_aware Results  ====="), "{one}");
    for section in ["Latency", "Throughput", "Cache", "Fairness", "Cost"] {
        assert!(one.contains(&format!("\n  {section}  -----")), "{section}");
    }
    let results = folder.path("results.json");
    done(&["run", "-c", production, "-t", &trace, "-a", "prefix_aware", "-o", &results]);
    assert_eq!(json(&fs::read_to_string(&results).unwrap())["schema"], "routesim.run/1");
    let four = "round_robin,least_outstanding,prefix_aware,session_affinity";
    let compared = done(&["compare", "-c", production, "-t", &trace, "-A", four]);
    assert_eq!(compared.matches(" Results  ===").count(), 4);
    let synthetic = folder.path("synthetic.jsonl");
    let rate = ["gen-trace", "--rate", "200", "--duration", "60", "--num-prefixes", "5", "-o"];
    done(&[&rate[..], &[&synthetic]].concat());
    assert!((11_000..13_000).contains(&fs::read_to_string(&synthetic).unwrap().lines().count()));
    let sweep = ["sweep", "-c", production, "-a", "prefix_aware", "--rates", "50,100,200"];
    let swept = done(&[&sweep[..], &["--duration", "10"]].concat());
    for rate in ["\n50 ", "\n100 ", "\n200 "] {
        assert!(swept.contains(rate), "{swept}");
    }
    let spans = "tests/data/otel/otlp_genai_semconv_pretty.json";
    let converted = folder.path("converted.jsonl");
    done(&["convert", "-i", spans, "-f", "otel", "-o", &converted]);
    let expected = "tests/data/otel/otlp_genai_semconv_pretty.expected.jsonl";
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join(expected);
    let lines = |path: &Path| fs::read_to_string(path).unwrap().lines().count();
    assert_eq!(lines(Path::new(&converted)), lines(&expected));
}

#[test]
fn every_shipped_config_runs_without_a_trace() {
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("configs")).unwrap() {
        let path = entry.unwrap().path();
        let results = json(&done(&["run", "-c", path.to_str().unwrap(), "--format", "json"]));
        let counts = &results["results"][0]["summary"]["measured"];
        assert!(counts["finished"].as_u64().unwrap() >= 16, "{}: {counts}", path.display());
        assert_eq!(counts["finished"], counts["requests"], "{}", path.display());
    }
}

#[test]
fn outcomes_add_up_for_every_algorithm_and_shipped_fleet() {
    let folder = Folder::new("sums");
    let trace = folder.trace(2_000);
    let requests = fs::read_to_string(&trace).unwrap().lines().count() as u64;
    assert!((1_800..2_200).contains(&requests), "{requests}");
    for config in ["default", "production_h100x8", "multi_model", "disaggregated_pd"] {
        let config = format!("configs/{config}.toml");
        let document = done(&["compare", "-c", &config, "-t", &trace, "--format", "json"]);
        let document = json(&document);
        let results = document["results"].as_array().unwrap();
        let names: Vec<&str> =
            results.iter().map(|run| run["algorithm"].as_str().unwrap()).collect();
        assert_eq!(names, ALGORITHMS);
        for run in results {
            let counts = &run["summary"]["all"];
            let count = |key: &str| counts[key].as_u64().unwrap();
            let rejected = counts["rejected"].as_object().unwrap().values();
            let rejected: u64 = rejected.map(|count| count.as_u64().unwrap()).sum();
            let sum = count("finished") + rejected + count("timed_out") + count("unserved");
            assert_eq!((sum, count("requests")), (requests, requests), "{config}: {run}");
        }
    }
}

#[test]
fn results_are_the_same_bytes_on_every_run_and_for_any_threads() {
    let folder = Folder::new("bytes");
    let trace = folder.trace(200);
    let config = "configs/default.toml";
    let compare = ["compare", "-c", config, "-t", &trace, "--seeds", "3", "--format"];
    let sweep = ["sweep", "-c", config, "--rates", "5,10", "--duration", "10", "--format"];
    for format in ["text", "json", "csv"] {
        for arguments in [&compare[..], &sweep] {
            let arguments = [arguments, &[format]].concat();
            let with = |threads| {
                let ran = command(&arguments).env("RAYON_NUM_THREADS", threads).output().unwrap();
                assert!(ran.status.success() && !ran.stdout.is_empty());
                ran.stdout
            };
            assert!(with("1") == with("4"), "{arguments:?}");
        }
    }
    let again = folder.path("again.jsonl");
    done(&["gen-trace", "--rate", "10", "--duration", "20", "-o", &again]);
    assert_eq!(fs::read(&again).unwrap(), fs::read(&trace).unwrap());
}

#[test]
fn a_written_file_is_the_printed_document() {
    let folder = Folder::new("same");
    let path = folder.path("results.json");
    let run = ["run", "-c", "configs/default.toml", "-o", &path, "--format", "json"];
    let printed = done(&run);
    assert_eq!(printed, fs::read_to_string(&path).unwrap());
    let sweep = ["sweep", "-c", "configs/default.toml", "--rates", "5,9.5", "--duration", "5"];
    let printed = done(&[&sweep[..], &["-o", &path, "--format", "json"]].concat());
    assert_eq!(printed, fs::read_to_string(&path).unwrap());
    let rates = json(&printed)["results"].as_array().unwrap().clone();
    let rates: Vec<f64> = rates.iter().map(|run| run["rate_rps"].as_f64().unwrap()).collect();
    assert_eq!(rates, [5.0, 9.5]);
    assert_eq!(json(&printed)["schema"], "routesim.sweep/1");
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "no draft is left");
}

#[test]
fn csv_has_one_row_a_run() {
    let run = ["compare", "-c", "configs/default.toml", "-A", "least_kv, round_robin"];
    let text = done(&[&run[..], &["--seeds", "2", "--format", "csv"]].concat());
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let at = |name: &str| header.iter().position(|own| own == name).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let keys: Vec<(&str, &str)> = rows.iter().map(|row| (&row[0], &row[at("seed")])).collect();
    let expected = ["least_kv", "round_robin"].map(|name| [(name, "42"), (name, "43")]);
    assert_eq!(keys, expected.concat());
    for row in &rows {
        assert!(row[at("ttft_p99_ms")].parse::<f64>().unwrap() > 0.0);
        assert_eq!(row[at("requests_count")], row[at("finished_count")]);
    }
}

#[test]
fn tables_fit_a_hundred_columns() {
    let folder = Folder::new("wide");
    let trace = folder.trace(400);
    let config = folder.write(
        "c.toml",
        "[cluster]\nnum_backends = 1\nmax_batch_size = 4\nmax_queue_depth = 2\n[slo]\nttft_p95_ms = 2000",
    );
    let compare = ["compare", "-c", &config, "-t", &trace];
    for seeds in ["1", "4"] {
        let text = done(&[&compare[..], &["--seeds", seeds]].concat());
        for line in text.lines().filter(|line| !line.starts_with("  Trace: ")) {
            assert!(line.chars().count() <= 100, "{line}");
        }
        assert!(text.contains("Signals: perfect and immediate"));
        assert!(text.contains("(no_backend "), "a reason for what was turned away");
    }
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let config = "configs/default.toml";
    let sweep = ["sweep", "-c", config, "--rates"];
    let cases: [(&[&str], &str); 26] = [
        (&["run", "-c", "no/such.toml"], "no/such.toml: "),
        (&["run", "-c", config, "-t", "no/such.jsonl"], "no/such.jsonl: "),
        (&["run", "-c", config, "-a", "round_robbin"], "did you mean `round_robin`?"),
        (&["run", "-c", config, "-o", "no/such/file.json"], "no/such/file.json: cannot be written"),
        (&["run", "-c", config, "-o", "src"], "src: is a folder"),
        (&["run", "-c", config, "-o", "-"], "--format json"),
        (&["run", "-c", config, "--seeds", "0"], "--seeds"),
        (&["run", "-c", config, "--series", "series.json"], "end its name in .csv or .parquet"),
        (&["run", "-c", config, "--series", "no/such/file.csv"], "no/such/file.csv: cannot be"),
        (
            &["run", "-c", config, "--series", "s.csv", "--series-interval", "0"],
            "--series-interval",
        ),
        (&["run", "-c", config, "--series", "s.csv", "--series-interval", "-1"], "is -1, expected"),
        (&["run", "-c", config, "--series-interval", "2"], "--series <PATH>"),
        (&["compare", "-c", config, "-A", ""], "--algorithms names no algorithm"),
        (&["compare", "-c", config, "-A", "least_kv,least_kv"], "`least_kv` is named twice"),
        (&[&sweep[..], &["0"]].concat(), "`0` is no rate"),
        (&[&sweep[..], &["-5"]].concat(), "`-5` is no rate"),
        (&[&sweep[..], &["10,nan"]].concat(), "`nan` is no rate"),
        (&[&sweep[..], &["inf"]].concat(), "`inf` is no rate"),
        (&[&sweep[..], &[","]].concat(), "--rates names no rate"),
        (&[&sweep[..], &["5,5.0"]].concat(), "5.0 is given twice"),
        (&[&sweep[..], &["5", "-a", "nope"]].concat(), "unknown algorithm `nope`"),
        (&[&sweep[..], &["5", "--duration", "0"]].concat(), "--duration is 0"),
        (&[&sweep[..], &["1e9"]].concat(), "at 1000000000 requests per second: "),
        (&["sweep", "-c", config], "--rates"),
        (&["convert", "-i", "x", "-f", "mooncak", "-o", "-"], "did you mean `mooncake`?"),
        (&["frobnicate"], "frobnicate"),
    ];
    for (arguments, expected) in cases {
        let err = refused(arguments);
        assert!(err.contains(expected), "{arguments:?}: {err}");
        assert!(err.starts_with("error: "), "{err}");
    }
    let all = refused(&["compare", "-c", config, "-A", "nope,least_kv,prefix_awre"]);
    for part in ["unknown algorithm `nope`", "did you mean `prefix_aware`?"] {
        assert!(all.contains(part), "all unknown names at once: {all}");
    }
}

#[test]
fn lengths_and_rates_that_can_not_be_generated_are_refused() {
    let folder = Folder::new("generate");
    let path = folder.path("x.jsonl");
    for (arguments, expected) in [
        (["--rate", "0"], "a rate of 0"),
        (["--rate", "-3"], "a rate of -3"),
        (["--rate", "inf"], "a rate of inf"),
        (["--rate", "1e9"], "expected at most 2e7"),
        (["--duration", "inf"], "--duration is inf"),
        (["--prompt-mean", "-100"], "`prompt_mean` is -100"),
        (["--gen-std", "nan"], "`gen_std` is NaN"),
        (["--num-prefixes", "-1"], "--num-prefixes"),
    ] {
        let err = refused(&[&["gen-trace", "-o", &path][..], &arguments].concat());
        assert!(err.contains(expected), "{arguments:?}: {err}");
    }
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0, "nothing is left behind");
    let none = done(&["gen-trace", "--num-prefixes", "0", "--duration", "0.1", "-o", "-"]);
    assert!(!none.is_empty() && !none.contains("prefix"));
}

#[test]
fn bad_traces_are_refused_with_their_line() {
    let folder = Folder::new("traces");
    let config = folder.write("c.toml", "[cluster]\nnum_backends = 1");
    let good = r#"{"ts": 0, "prompt_tokens": 5, "gen_tokens": 1}"#;
    for (row, expected) in [
        (r#"{"ts": 0, "prompt_tokens": 5"#, ":2: malformed JSON"),
        (r#"{"ts": -1, "prompt_tokens": 5, "gen_tokens": 1}"#, ":2: `ts` is -1"),
        (r#"{"ts": 2e16, "prompt_tokens": 5, "gen_tokens": 1}"#, ":2: `ts` is 2e+16"),
        (r#"{"ts": 9e12, "prompt_tokens": 5, "gen_tokens": 1}"#, "more than the clock's 100"),
        (r#"{"ts": 0, "prompt_tokens": 5}"#, ":2: `gen_tokens` is missing"),
        (r#"{"ts": 0, "prompt_tokens": 5, "gen_tokens": 0}"#, ":2: `gen_tokens` is 0"),
        (r#"{"ts": 0, "prompt_tokens": 5, "gen_token": 1}"#, "did you mean `gen_tokens`?"),
        (r#"{"ts": 0, "prompt_tokens": 4294967295, "gen_tokens": 9}"#, "4294967304 together"),
    ] {
        let trace = folder.write("t.jsonl", &format!("{good}\n{row}\n"));
        let err = refused(&["run", "-c", &config, "-t", &trace]);
        assert!(err.contains(&trace) && err.contains(expected), "{row}: {err}");
    }
    for (text, expected) in [("", "no requests"), ("# only\n", "no requests"), ("hello", "`hello`")]
    {
        let trace = folder.write("t.jsonl", text);
        let err = refused(&["run", "-c", &config, "-t", &trace]);
        assert!(err.contains(&trace) && err.contains(expected), "{text:?}: {err}");
    }
    let none = refused(&["run", "-c", &config]);
    assert!(none.contains("no trace") && none.contains("gen-trace"), "{none}");
    let example = ["-t", "traces/example_trace.jsonl"];
    let short = refused(&[&["run", "-c", "configs/production_h100x8.toml"][..], &example].concat());
    assert!(short.contains("a warm-up of 100 requests leaves none of 20 requests"), "{short}");
}

#[test]
fn bad_configs_are_refused_with_their_line() {
    let folder = Folder::new("configs");
    for (line, expected) in [
        ("kv_block_size = 0", ":3:17: `cluster.kv_block_size` is 0"),
        ("max_queue_depth = 0", "`cluster.max_queue_depth` is 0"),
        ("max_batch_tokens = 0", "`cluster.max_batch_tokens` is 0"),
        ("max_batch_tokens = 9\nmax_batch_size = 10", ":4:18: 10 of `max_batch_size` are more"),
        ("model = \"Llama-3.1-70B\"", "`tensor_parallel = 2` would do"),
        ("model = \"Llama-3.1-7B\"", ":3:9: unknown model `Llama-3.1-7B`"),
        ("num_backend = 2", "did you mean `num_backends`?"),
        ("gpu_type = \"B300\"", "unknown GPU `B300`"),
        ("[cluster.compute_model]\nprefill_tokens_per_sec = nan", "prefill_tokens_per_sec` is NaN"),
        ("[cluster.compute_model]\ndecode_throughput_saturation_batch = 0", "is 0"),
        ("[trace]\nformat = \"synthetic\"", "unknown trace format `synthetic`"),
        ("[simulation]\nseed = -1", "`simulation.seed` is -1"),
        ("kv_cache_blocks = 1073741824", "expected at most"),
    ] {
        let config = folder.write("c.toml", &format!("[cluster]\nnum_backends = 1\n{line}\n"));
        let err = refused(&["run", "-c", &config, "-t", "traces/example_trace.jsonl"]);
        assert!(err.contains(&config) && err.contains(expected), "{line}: {err}");
    }
}

#[test]
fn a_trace_is_read_as_what_its_first_row_says() {
    let folder = Folder::new("sniff");
    let config = folder.write("c.toml", "[cluster]\nnum_backends = 1");
    let row = r#"{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]}"#;
    let mooncake = folder.write("m.jsonl", &format!("{row}\n{row}\n"));
    let spans = "tests/data/otel/otlp_genai_semconv_pretty.json";
    for trace in [mooncake.as_str(), spans, "traces/example_trace.jsonl"] {
        let results = json(&done(&["run", "-c", &config, "-t", trace, "--format", "json"]));
        assert!(results["results"][0]["summary"]["all"]["finished"].as_u64().unwrap() > 0);
        assert_eq!(results["trace"]["source"], trace);
    }
    let told = folder.write("t.toml", "[cluster]\nnum_backends = 1\n[trace]\nformat = \"otel\"");
    let err = refused(&["run", "-c", &told, "-t", &mooncake]);
    assert!(err.contains("expected spans"), "a format without a path is for -t: {err}");
}

#[test]
fn the_catalogue_shows_what_a_config_gets() {
    let all = done(&["catalogue"]);
    for part in ["H100Sxm", "MI300X", "DeepSeek-V3", "Llama-3.1-70B on 2 x H100Sxm", "15 to 25 %"] {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert!(!all.contains("DeepSeek-V3 on 8 x L40S"), "what fits nowhere is left out: {all}");
    let pair = ["catalogue", "--gpu", "H100", "--model", "qwen3-32b", "--tensor-parallel", "2"];
    let text = done(&pair);
    assert!(text.contains("compute_share 0.803: best bf16 matrix product"), "{text}");
    let shown = json(&done(&[&pair[..], &["--format", "json"]].concat()));
    let deployments = shown["deployments"].as_array().unwrap();
    assert_eq!((deployments.len(), &shown["schema"]), (1, &"routesim.catalogue/1".into()));
    assert!(shown["gpus"][0]["bandwidth_tb_s"]["source"].is_string());
    assert!(deployments[0]["kv_cache_blocks"].as_u64().unwrap() > 10_000);
    assert!(deployments[0]["step_model"]["step_ms"].as_f64().unwrap() > 10.0);
    let csv = done(&["catalogue", "--format", "csv"]);
    let columns: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert!(columns.len() > 30 && columns.iter().all(|count| *count == columns[0]), "{csv}");
    let none = refused(&["catalogue", "--gpu", "H100Smx"]);
    assert!(none.contains("did you mean `H100Sxm`?"), "{none}");
    let three = refused(&["catalogue", "--tensor-parallel", "3"]);
    assert!(three.contains("expected 1, 2, 4 or 8"), "{three}");
}

#[test]
fn conversion_counts_add_up() {
    let spans = "tests/data/otel/jaeger_openinference_traceloop.json";
    let converted = output(&["convert", "-i", spans, "-f", "otel", "-o", "-"]);
    let err = String::from_utf8(converted.stderr).unwrap();
    let tally = err.lines().find(|line| line.contains(" read = ")).unwrap();
    let words = tally.split([' ', '=', '+']).filter_map(|word| word.parse::<usize>().ok());
    let numbers: Vec<usize> = words.collect();
    assert!(numbers.len() > 2, "something is left out here: {tally}");
    assert_eq!(numbers[0], numbers[1..].iter().sum::<usize>(), "{tally}");
    let lines = String::from_utf8(converted.stdout).unwrap().lines().count();
    assert_eq!(lines, numbers[1]);
}

#[test]
fn a_closed_standard_output_is_no_error() {
    let folder = Folder::new("closed");
    let results = folder.path("r.json");
    let compare = ["compare", "-c", "configs/default.toml", "-o", &results];
    for arguments in
        [&["gen-trace", "-o", "-"][..], &["list-algorithms"], &["catalogue"], &["--help"], &compare]
    {
        let mut child =
            command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert!(child.wait().unwrap().success(), "{arguments:?}: {err}");
        assert!(!err.contains("error") && !err.contains("panicked"), "{err}");
    }
    assert!(Path::new(&results).is_file(), "the file is written whoever reads the rest");
}

#[test]
fn a_series_is_a_file_beside_the_results_and_changes_nothing() {
    let folder = Folder::new("series");
    let config = folder.write("fleet.toml", "[cluster]\nnum_backends = 3\n");
    let trace = folder.trace(400);
    let run = ["run", "-c", &config, "-t", &trace, "-a", "least_outstanding", "--format", "json"];
    let plain = done(&run);
    let written = |name: &str, more: &[&str]| {
        let path = folder.path(name);
        let told = done(&[&run[..], &["--series", &path][..], more].concat());
        (told, fs::read(&path).unwrap())
    };
    let (told, csv) = written("series.csv", &["--series-interval", "0.5"]);
    assert_eq!(told, plain);
    let csv = String::from_utf8(csv).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    let columns = "seed,time_s,in_window,backend,waiting_count,running_count,outstanding_count,\
                   kv_used_blocks,kv_usage_ratio";
    assert_eq!(lines[0], columns);
    // Requests arrive over 20 s, so the last but one instant before that is 19.5 s at the latest.
    for (place, line) in lines[1..].iter().enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        let expected = (place / 3 + 1) as f64 / 2.0;
        assert_eq!(cells[1].parse().ok(), Some(expected), "three backends every 0.5 s");
        assert_eq!(cells[3], (place % 3).to_string());
    }
    assert!(
        lines.len() > 1 + 3 * 38 && (lines.len() - 1).is_multiple_of(3),
        "{} lines",
        lines.len()
    );
    assert!(lines[1..].iter().any(|line| !line.contains(",0,0,0,0,0.0")), "some are busy");
    // At every second there is every second instant.
    let (_, seconds) = written("seconds.csv", &[]);
    let seconds = String::from_utf8(seconds).unwrap();
    let whole = |line: &&str| !line.split(',').nth(1).unwrap().ends_with(".5");
    assert!(seconds.lines().eq(lines.iter().copied().filter(whole)));
    // Several seeds stand one after the other.
    let (_, seeds) = written("seeds.csv", &["--seeds", "2"]);
    let seeds = String::from_utf8(seeds).unwrap();
    let mut seeds: Vec<&str> =
        seeds.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    seeds.dedup();
    assert_eq!(seeds, ["42", "43"]);
    let (_, parquet) = written("series.parquet", &["--series-interval", "0.5"]);
    let file = routesim::tables::ParquetFile::open(&parquet).unwrap();
    assert_eq!(
        file.metadata("routesim.engine"),
        Some(routesim::sweep::engine_fingerprint().as_str())
    );
    let mut twin = Vec::new();
    routesim::tables::write_csv(&mut file.rows(None).unwrap(), &mut twin).unwrap();
    assert!(twin == csv.into_bytes(), "the Parquet says what the CSV says");
}
