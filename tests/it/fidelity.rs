//! `routesim fidelity` and `routesim calibrate` on measured runs of real engines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const RTX4090: &str = "tests/data/measured/vllm0190-rtx4090-llama31-8b";
const PRO6000: &str = "tests/data/measured/vllm0190-rtxpro6000-llama31-8b";

/// A folder of one test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("routesim-fidelity-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
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
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn output(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_routesim"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn done(arguments: &[&str]) -> String {
    let output = output(arguments);
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {err}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs to exit code 2 and returns standard error.
fn refused(arguments: &[&str]) -> String {
    let output = output(arguments);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {err}");
    assert!(output.stdout.is_empty(), "{arguments:?} wrote data");
    err
}

/// Calibrates the engine of `run` with these options and returns the new config's path.
fn calibrated(folder: &Folder, run: &str, name: &str, options: &[&str]) -> String {
    let path = folder.path(name);
    let (config, trace) = (format!("{run}.toml"), format!("{run}.jsonl"));
    let calibrate = ["calibrate", "-c", &config, "-t", &trace, "-o", &path];
    done(&[&calibrate[..], options].concat());
    path
}

/// Returns the fidelity part of the JSON.
fn fidelity(config: &str, run: &str, options: &[&str]) -> Value {
    let trace = format!("{run}.jsonl");
    let compare = ["fidelity", "-c", config, "-t", &trace, "--format", "json"];
    let document = done(&[&compare[..], options].concat());
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["schema"], "routesim.fidelity/1");
    document["fidelity"].clone()
}

fn below(fidelity: &Value, path: &str, most: f64) {
    let number = fidelity.pointer(path).unwrap().as_f64().unwrap();
    assert!(number.abs() <= most, "{path} is {number}, expected at most {most}: {fidelity}");
}

/// Calibrates on a whole run and checks it there, then on its first half and checks the second.
///
/// The bounds are what docs/calibration.md says, rounded up.
fn reaches(run: &str, name: &str, tpot: f64, held_out: f64) {
    let folder = Folder::new(name);
    let whole = fidelity(&calibrated(&folder, run, "whole.toml", &[]), run, &[]);
    below(&whole, "/score_ratio", 0.003);
    below(&whole, "/e2e/mape_ratio", 0.005);
    below(&whole, "/tpot/mape_ratio", tpot);
    below(&whole, "/throughput_tokens_per_s/error_ratio", 0.005);
    let half = calibrated(&folder, run, "half.toml", &["--to", "150"]);
    let second = fidelity(&half, run, &["--from", "150"]);
    assert_eq!(second["requests"], 150);
    below(&second, "/score_ratio", held_out);
}

#[test]
fn an_engine_short_of_blocks_is_matched() {
    reaches(RTX4090, "blocks", 0.005, 0.003);
}

#[test]
fn an_engine_at_its_batch_limit_is_matched() {
    reaches(PRO6000, "batch", 0.006, 0.003);
}

#[test]
fn steps_that_were_held_out_are_matched() {
    let folder = Folder::new("steps");
    let experts = "[cluster]\nnum_backends = 1\n[cluster.step_model]\nstep_ms = 1\n\
                   experts = 256\nexperts_per_token = 8\n";
    let dense = folder.write("dense.toml", "[cluster]\nnum_backends = 1\n");
    let experts = folder.write("experts.toml", experts);
    for (file, config, most) in [
        ("qwen3-32b-tp1", &dense, 1.5),
        ("qwen3-32b-tp4", &dense, 1.5),
        ("qwen3.6-35b-a3b-tp2ep2", &experts, 2.0),
    ] {
        let steps = format!("tests/data/measured/steps-vllm0201-b300-{file}.csv");
        let text = done(&["calibrate", "-c", config, "--steps", &steps, "-o", "-"]);
        let held_out = text.lines().find(|line| line.contains("on the rest: median ")).unwrap();
        let median = held_out.split("median ").nth(1).unwrap().split(' ').next().unwrap();
        assert!(median.parse::<f64>().unwrap() <= most, "{file}: {held_out}");
        let path = folder.write("fitted.toml", &text);
        done(&["run", "-c", &path, "-t", "traces/example_trace.jsonl"]);
    }
}

#[test]
fn a_calibrated_config_is_the_old_one_with_another_step_model() {
    let folder = Folder::new("config");
    let first = calibrated(&folder, PRO6000, "first.toml", &["--to", "40"]);
    let text = fs::read_to_string(&first).unwrap();
    let source = fs::read_to_string(format!("{PRO6000}.toml")).unwrap();
    let head = source.split("[trace]").next().unwrap().trim_end();
    assert!(text.starts_with(head), "{text}");
    for part in
        ["# Calibrated by routesim", "requests 0 to 39 of 300", "#   Score: ", "first_launch_ms"]
    {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(text.matches("[cluster.step_model]").count(), 1);
    assert!(text.contains("[trace]\npath = "), "{text}");
    // Again from there: what was said of the first is gone.
    let trace = format!("{PRO6000}.jsonl");
    let again = ["calibrate", "-c", &first, "-t", &trace, "--to", "40", "-o", "-"];
    let text = done(&again);
    assert_eq!(text.matches("# Calibrated by routesim").count(), 1, "{text}");
    assert!(text == done(&again), "equal input gives equal bytes");
}

#[test]
fn what_was_written_is_as_good_as_it_says() {
    let folder = Folder::new("said");
    let config = calibrated(&folder, PRO6000, "c.toml", &["--to", "40"]);
    let text = fs::read_to_string(&config).unwrap();
    let said = text.lines().find(|line| line.contains("Score: ")).unwrap();
    let trace = format!("{PRO6000}.jsonl");
    let table = done(&["fidelity", "-c", &config, "-t", &trace, "--to", "40"]);
    assert!(table.contains(said.trim_start_matches('#').trim()), "{table}\n{said}");
    for line in table.lines().filter(|line| !line.contains(".jsonl")) {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn every_form_has_the_same_numbers() {
    let (config, trace) = (format!("{RTX4090}.toml"), format!("{RTX4090}.jsonl"));
    let compare = ["fidelity", "-c", &config, "-t", &trace, "--format"];
    let document: Value = serde_json::from_str(&done(&[&compare[..], &["json"]].concat())).unwrap();
    let text = done(&[&compare[..], &["csv"]].concat());
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 1 + 3 * 5 + 1);
    let error = |name: &str| -> f64 {
        rows.iter().find(|row| &row[0] == name).unwrap()[3].parse().unwrap()
    };
    for (name, path) in [
        ("score", "/fidelity/score_ratio"),
        ("ttft_p50_ms", "/fidelity/ttft/p50_ms/error_ratio"),
        ("e2e_mape", "/fidelity/e2e/mape_ratio"),
        ("throughput_tokens_per_s", "/fidelity/throughput_tokens_per_s/error_ratio"),
    ] {
        let ours = document.pointer(path).unwrap().as_f64().unwrap();
        assert!((error(name) - ours).abs() < 1e-12, "{name}");
    }
    let folder = Folder::new("forms");
    let path = folder.path("f.json");
    let printed = done(&[&compare[..], &["json", "-o", &path]].concat());
    assert_eq!(printed, fs::read_to_string(&path).unwrap());
}

#[test]
fn bad_measurements_are_refused_with_their_place() {
    let folder = Folder::new("bad");
    let source = fs::read_to_string(format!("{PRO6000}.jsonl")).unwrap();
    let config = format!("{PRO6000}.toml");
    let cases: [(&str, String, &str); 5] = [
        (
            "stamp",
            source.replacen("measured_first_token_ms", "measured_first_ms", 1),
            ":1: `measured_first_token_ms` is missing",
        ),
        (
            "order",
            source.replacen(
                "\"measured_last_token_ms\":15714.6",
                "\"measured_last_token_ms\":1.5",
                1,
            ),
            ":1: `measured_last_token_ms` is ",
        ),
        (
            "few",
            source.lines().take(12).collect::<Vec<_>>().join("\n"),
            ": 12 requests, expected 30 or more",
        ),
        (
            "json",
            source.replacen("\"gen_tokens\":531", "\"gen_tokens\":", 1),
            ":1: malformed JSON at `gen_tokens`",
        ),
        (
            "one",
            source.replacen("\"gen_tokens\":531", "\"gen_tokens\":1", 1),
            ":1: `gen_tokens` is 1 and the last token",
        ),
    ];
    for (name, text, expected) in cases {
        assert!(text != source, "{name} changes nothing");
        let trace = folder.write("t.jsonl", &text);
        for command in ["fidelity", "calibrate"] {
            let out = folder.path("out.toml");
            let mut arguments = vec![command, "-c", &config, "-t", &trace, "-o", &out];
            if command == "fidelity" {
                arguments.truncate(5);
            }
            let err = refused(&arguments);
            assert!(err.contains(&format!("{trace}{expected}")), "{name}: {err}");
            assert!(err.contains("\nhint: "), "{name}: {err}");
            assert!(!Path::new(&out).exists(), "nothing is left behind");
        }
    }
}

#[test]
fn what_can_not_be_compared_is_refused() {
    let folder = Folder::new("refused");
    let (config, trace) = (format!("{RTX4090}.toml"), format!("{RTX4090}.jsonl"));
    let text = fs::read_to_string(&config).unwrap();
    let fleet = folder.write("fleet.toml", &text.replace("num_backends = 1", "num_backends = 2"));
    let queue =
        folder.write("queue.toml", &text.replace("max_queue_depth = 1000", "max_queue_depth = 9"));
    let steps = "tests/data/measured/steps-vllm0201-b300-qwen3-32b-tp1.csv";
    let out = folder.path("o.toml");
    let compare = ["fidelity", "-t", &trace];
    let find = ["calibrate", "-o", &out];
    let cases: [(&[&str], &[&str], &str); 7] = [
        (&find, &["-c", &fleet, "-t", &trace], "2 backends, expected one engine"),
        (&find, &["-c", &queue, "-t", &trace], "raise `max_queue_depth`"),
        (&find, &["-c", &config], "--trace"),
        (&find, &["-c", &config, "-t", &trace, "--steps", steps], "--steps"),
        (&compare, &["-c", &queue], "rejects them (no_backend)"),
        (&compare, &["-c", &config, "--to", "301"], "--to is 301, expected at most 300"),
        (&compare, &["-c", &config, "--from", "9", "--to", "9"], "leave no request"),
    ];
    for (command, options, expected) in cases {
        let err = refused(&[command, options].concat());
        assert!(err.contains(expected), "{options:?}: {err}");
    }
    let both = output(&["fidelity", "-t", &trace, "-c", &fleet]);
    let err = String::from_utf8(both.stderr).unwrap();
    assert!(both.status.success() && err.contains("warning: "), "{err}");
}
