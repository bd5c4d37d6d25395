//! Objectives from a config or a manifest to the answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("slo").join(test);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn output(program: &str, folder: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).current_dir(folder).output().unwrap()
}

#[track_caller]
fn done(program: &str, folder: &Path, arguments: &[&str]) -> String {
    let output = output(program, folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const RUN: &str = env!("CARGO_BIN_EXE_routesim");
const SWEEP: &str = env!("CARGO_BIN_EXE_routesim-sweep");

/// The summary of a run of some generated requests on that fleet.
fn summary(test: &str, cluster: &str) -> Value {
    let folder = folder(test);
    let slo = "[slo]\ntbt_p99_ms = 1e6\ntbt_mean_ms = 1e6\nttft_ms = 1e6\nattainment_ratio = 1\n";
    fs::write(folder.join("c.toml"), format!("[cluster]\n{cluster}\n{slo}")).unwrap();
    let trace = ["gen-trace", "--rate", "40", "--duration", "20", "-o", "t.jsonl"];
    done(RUN, &folder, &trace);
    let arguments = ["run", "-c", "c.toml", "-t", "t.jsonl", "--format", "json"];
    let document: Value = serde_json::from_str(&done(RUN, &folder, &arguments)).unwrap();
    document["results"][0]["summary"].clone()
}

#[test]
fn no_gap_is_missing_where_every_request_finished() {
    let fleets = [
        "num_backends = 2",
        // Blocks are short: requests give way to one another and are computed again.
        "num_backends = 1\nkv_cache_blocks = 400\nmax_queue_depth = 10_000",
        "num_backends = 3\nmax_queue_depth = 10_000\n[cluster.disaggregated]\nenabled = true\n\
         prefill_backends = 1\ndecode_backends = 2",
    ];
    let mut preemptions = 0;
    for (index, fleet) in fleets.into_iter().enumerate() {
        let summary = summary(&format!("whole-{index}"), fleet);
        assert_eq!(summary["measured"]["requests"], summary["measured"]["finished"], "{fleet}");
        preemptions += summary["preemptions"].as_u64().unwrap();
        let terms = &summary["slo"]["terms"];
        assert!(summary["tbt"]["p99_ms"].as_f64().unwrap() > 0.0);
        assert_eq!(terms[0]["value_ms"], summary["tbt"]["p99_ms"], "{fleet}");
        assert_eq!(terms[1]["value_ms"], summary["tbt"]["mean_ms"], "{fleet}");
        assert_eq!(
            (&summary["slo"]["met"], &summary["slo"]["attainment_ratio"]),
            (&true.into(), &1.0.into())
        );
    }
    assert!(preemptions > 0);
}

#[test]
fn a_run_that_turns_requests_away_can_not_hide_it() {
    let summary = summary("lost", "num_backends = 1\nmax_batch_size = 8\nmax_queue_depth = 4");
    let count = |key: &str| summary["measured"][key].as_f64().unwrap();
    assert!(count("finished") > 0.0 && count("finished") < 0.9 * count("requests"));
    assert!(summary["tbt"]["p99_ms"].as_f64().unwrap() < 1e6, "of the gaps that came");
    let slo = &summary["slo"];
    for term in slo["terms"].as_array().unwrap() {
        assert_eq!((&term["value_ms"], &term["met"]), (&Value::Null, &false.into()), "{term}");
    }
    let attainment = slo["attainment_ratio"].as_f64().unwrap();
    assert!((attainment - count("finished") / count("requests")).abs() < 1e-12);
    assert_eq!((&slo["met"], &slo["least_attainment_ratio"]), (&false.into(), &1.0.into()));
}

/// A sweep of two algorithms over rates that a fleet of one backend does and does not carry.
fn sweep(folder: &Path) {
    fs::write(folder.join("fleet.toml"), "[cluster]\nnum_backends = 1\n").unwrap();
    let text = "schema = 1\nname = \"slo\"\n[grid]\nconfigs = [\"fleet.toml\"]\n\
         algorithms = [\"round_robin\"]\nrates = [2, 18, 60]\nseeds = 4\n\
         [workload]\nduration_s = 40\nwarmup_s = 10\n[workload.generator]\n\
         [slo]\ntbt_p99_ms = 1000\nattainment_ratio = 0.99\nttft_ms = 100\n[compare]\nover = \"rate\"\n";
    fs::write(folder.join("m.toml"), text).unwrap();
}

#[test]
fn the_answer_knows_the_attainment() {
    let folder = folder("answer");
    sweep(&folder);
    let text = done(SWEEP, &folder, &["run", "m.toml", "--out", "out"]);
    let told = [
        "SLO: tbt_p99_ms <= 1000 and attainment_ratio >= 0.99 of ttft_ms <= 100;",
        "tbt_p99_ms by rate",
        "attainment_ratio by rate (! below 0.99",
        "slo_attainment_ratio",
    ];
    for part in told {
        assert!(text.contains(part), "{part}: {text}");
    }
    let arguments = ["run", "m.toml", "--out", "out", "--format", "json"];
    let answer: Value = serde_json::from_str(&done(SWEEP, &folder, &arguments)).unwrap();
    let cells = answer["answers"][0]["cells"].as_array().unwrap();
    let mut met = Vec::new();
    for cell in cells {
        let own = &cell["attainment"];
        assert_eq!(
            (&own["least_ratio"], &own["limits_ms"]["ttft_ms"]),
            (&0.99.into(), &100.0.into())
        );
        let mean = own["value_ratio"]["mean"].as_f64().unwrap();
        let lo = own["value_ratio"]["ci_lo"].as_f64();
        let is_steady = cell["steady"] == true;
        assert_eq!(cell["met"], is_steady && mean >= 0.99, "{cell}");
        let is_sure = lo.map_or(mean >= 1.0, |lo| lo >= 0.99);
        assert_eq!(cell["surely_met"], is_steady && is_sure, "{cell}");
        met.push((cell["met"] == true, cell["surely_met"] == true));
    }
    assert_eq!(met, [(true, true), (true, false), (false, false)], "{answer}");
    let runs = fs::read_to_string(folder.join("out/runs.csv")).unwrap();
    for column in ["slo_tbt_p99_ms,slo_tbt_p99_lost_count", "slo_attainment_ratio", "slo_met_ratio"]
    {
        assert!(runs.lines().next().unwrap().contains(column), "{column}");
    }
}

#[test]
fn the_share_is_an_axis_like_any_key() {
    let folder = folder("axis");
    sweep(&folder);
    let share = "grid.axes.slo.attainment_ratio=[0.5, 0.9]";
    let plan = done(SWEEP, &folder, &["plan", "m.toml", "--set", share]);
    assert!(plan.contains("attainment_ratio"), "{plan}");
    let wrong = "grid.axes.slo.attainment_ratio=[0.5, 2.5]";
    let refused = output(SWEEP, &folder, &["plan", "m.toml", "--set", wrong]);
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("attainment_ratio"), "{stderr}");
}
