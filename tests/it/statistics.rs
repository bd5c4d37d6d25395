//! `[statistics]` and `[compare]` of a manifest, from the command line to tables and answers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use routesim::stats::{holm, paired, paired_ratio, t_interval};
use serde_json::Value;

/// A folder of its own for each test, empty at its start.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("statistics").join(test);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("fleet.toml"), "[cluster]\nnum_backends = 2\n").unwrap();
    folder
}

fn sweep(folder: &Path, seeds: u32, more: &str, arguments: &[&str]) -> Output {
    let text = format!(
        "schema = 1\nname = \"s\"\n[grid]\nconfigs = [\"fleet.toml\"]\n\
         algorithms = [\"round_robin\", \"least_outstanding\", \"least_kv\"]\nrates = [10, 25]\n\
         seeds = {seeds}\n[workload]\nduration_s = 20\nwarmup_s = 4\n[workload.generator]\n{more}"
    );
    fs::write(folder.join("s.toml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_routesim-sweep"));
    command.arg("s.toml").args(arguments).args(["--out", "out"]).current_dir(folder);
    command.output().unwrap()
}

#[track_caller]
fn stdout(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The rows of a CSV without quotes, each by the names of its columns.
fn rows(folder: &Path, name: &str) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(folder.join("out").join(name)).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned));
    let names: Vec<String> = lines.next().unwrap().collect();
    lines.map(|row| names.iter().cloned().zip(row).collect()).collect()
}

fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column} of {row:?}"))
}

#[track_caller]
fn near(got: f64, expected: f64) {
    assert!((got - expected).abs() <= 1e-9 * expected.abs(), "{got}, not {expected}");
}

#[test]
fn comparisons_are_those_of_the_table_of_runs() {
    let folder = folder("compare");
    let compare = "[compare]\nbaseline = \"round_robin\"\nmetrics = [\"ttft_mean_ms\"]\n";
    let text = stdout(&sweep(&folder, 6, compare, &[]));
    let runs = rows(&folder, "runs.csv");
    let values = |algorithm: &str, rate: &str| -> Vec<f64> {
        let own = |row: &&BTreeMap<String, String>| {
            row["algorithm"] == algorithm && row["rate_rps"] == rate
        };
        runs.iter().filter(own).map(|row| number(row, "ttft_mean_ms")).collect()
    };
    let duels = rows(&folder, "comparisons.csv");
    assert_eq!(duels.len(), 2 * 2);
    for pair in duels.chunks(2) {
        let mut p_values = Vec::new();
        for row in pair {
            assert_eq!((row["value_b"].as_str(), row["n_pairs"].as_str()), ("round_robin", "6"));
            let a = values(&row["value_a"], &row["rate_rps"]);
            let b = values("round_robin", &row["rate_rps"]);
            // Two comparisons in the family: each at 97.5 %.
            let own = paired(&a, &b, 0.975).unwrap();
            near(number(row, "diff"), own.mean);
            near(number(row, "diff_ci_lo"), own.interval.unwrap().lo);
            near(number(row, "variance_ratio"), own.variance_ratio.unwrap());
            near(number(row, "correlation"), own.correlation.unwrap());
            let ratio = paired_ratio(&a, &b, 0.975).unwrap();
            near(number(row, "ratio"), ratio.ratio);
            near(number(row, "ratio_ci_hi"), ratio.interval.unwrap().hi);
            near(number(row, "p_raw"), ratio.logs.test.unwrap().p_two_sided());
            p_values.push(number(row, "p_raw"));
        }
        for (row, adjusted) in pair.iter().zip(holm(&p_values).unwrap()) {
            near(number(row, "p_adj"), adjusted);
        }
    }
    let best = rows(&folder, "best.csv");
    assert_eq!(best.len(), 3 * 2);
    for group in best.chunks(3) {
        let least = group.iter().map(|row| number(row, "mean")).fold(f64::INFINITY, f64::min);
        for row in group {
            near(number(row, "regret"), number(row, "mean") - least);
            assert!(number(row, "regret") > 0.0 || row["may_be_best"] == "true");
        }
    }
    for rate in [10, 25] {
        let start = format!("ttft_mean_ms at {rate} req/s: best ");
        let line = text.lines().find(|line| line.starts_with(&start));
        assert!(line.is_some_and(|line| line.contains("round_robin")), "{text}");
    }
    let json = stdout(&sweep(&folder, 6, compare, &["--format", "json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    let group = &json["comparisons"]["groups"][0];
    assert_eq!(
        (group["better"].as_str(), group["common_seeds"].as_u64()),
        (Some("lower"), Some(6))
    );
    near(group["comparisons"][0]["diff"].as_f64().unwrap(), number(&duels[0], "diff"));
    // Tables of a manifest that compares nothing are not beside those of another.
    let json = stdout(&sweep(&folder, 6, "", &["--format", "json"]));
    assert!(!json.contains("\"comparisons\""));
    for name in ["comparisons.parquet", "comparisons.csv", "best.parquet", "best.csv"] {
        assert!(!folder.join("out").join(name).exists(), "{name}");
    }
}

#[test]
fn intervals_are_those_that_are_asked_for() {
    let folder = folder("intervals");
    let text = stdout(&sweep(&folder, 3, "[statistics]\nconfidence = 0.8\n", &[]));
    let header = "means of 3 seeds, ± half of the 80 % t-interval (few: wide";
    assert!(text.contains(header), "{text}");
    let first = |metric: &str| {
        let cells = rows(&folder, "cells.csv");
        cells.into_iter().find(|row| row["metric"] == metric).unwrap()
    };
    let row = first("ttft_mean_ms");
    assert_eq!((row["ci_level"].as_str(), row["ci_method"].as_str()), ("0.8", "t"));
    let runs = rows(&folder, "runs.csv");
    let values: Vec<f64> = runs[..3].iter().map(|row| number(row, "ttft_mean_ms")).collect();
    let interval = t_interval(&values, 0.8).unwrap();
    near(number(&row, "ci_lo"), interval.lo);
    near(number(&row, "ci_hi"), interval.hi);
    assert_eq!(row["flags"], "few_seeds");
    assert_eq!(first("ttft_p99_ms")["flags"], "thin_tail;few_seeds");
    let text = stdout(&sweep(&folder, 3, "[statistics]\ninterval = \"log\"\n", &[]));
    assert!(text.contains("± half of the 95 % interval (of times: lognormal)"), "{text}");
    assert_eq!(first("ttft_mean_ms")["ci_method"], "log");
    assert_eq!(first("throughput_rps")["ci_method"], "t");
    let text = stdout(&sweep(&folder, 3, "[statistics]\ninterval = \"bca\"\n", &[]));
    assert!(text.contains("95 % t-interval (BCa takes 20 seeds)"), "{text}");
    assert_eq!(first("ttft_mean_ms")["ci_method"], "t");
    let text = stdout(&sweep(&folder, 2, "", &[]));
    assert!(text.contains("means of 2 seeds, too few for an interval"), "{text}");
    assert_eq!(
        (first("ttft_mean_ms")["ci_lo"].as_str(), first("ttft_mean_ms")["n"].as_str()),
        ("", "2")
    );
}

#[test]
fn why_not_to_trust_a_number_stands_beside_it() {
    let folder = folder("flags");
    // 25/s of some 320 requests: a 95th percentile has 16 beyond it.
    let slo = "[slo]\nttft_p95_ms = 400\n";
    let text = stdout(&sweep(&folder, 3, slo, &[]));
    let legend = "t  fewer than 100 requests of a run lie beyond the quantile: lengthen runs";
    assert!(text.contains(legend), "{text}");
    let curve = text.lines().filter(|line| line.starts_with("round_robin")).nth(1).unwrap();
    assert!(curve.split_whitespace().any(|field| field.contains('t')), "{text}");
    let json = stdout(&sweep(&folder, 3, slo, &["--format", "json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    let cell = &json["answers"][0]["cells"][0];
    assert!(cell["flags"].as_array().unwrap().contains(&"few_seeds".into()), "{cell:#}");
    assert_eq!(cell["slo"][0]["thin_tail"], true);
    assert!(cell["ttft_mean_ms"]["ci_lo"].as_f64() < cell["ttft_mean_ms"]["mean"].as_f64());
}

#[test]
fn faults_of_both_tables_are_told_together() {
    let folder = folder("faults");
    let output =
        sweep(&folder, 3, "[statistics]\nintervall = \"t\"\n[compare]\nmargin = -1\n", &[]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("did you mean `interval`?"), "{stderr}");
    assert!(stderr.contains("`compare.margin` is -1"), "{stderr}");
}
