//! What a store tells beside its results: what was asked of it, who did what, why runs failed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_routesim-sweep");

/// Algorithms × rates × seeds of [`manifest`]. At 5 req/s half of them fail where a test says so.
const RUNS: usize = 2 * 2 * 3;

/// A folder of its own for each test, empty at its start, with a manifest of 12 runs.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("journal").join(test);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("fleet.toml"), "[cluster]\nnum_backends = 2\n").unwrap();
    manifest(&folder, "", "");
    folder
}

/// Writes the manifest, with more in `[workload]` and more tables.
fn manifest(folder: &Path, workload: &str, tables: &str) {
    let text = format!(
        "schema = 1\nname = \"journal\"\n[grid]\nconfigs = [\"fleet.toml\"]\n\
         algorithms = [\"round_robin\", \"least_kv\"]\nrates = [5, 10]\nseeds = 3\n\
         [workload]\nduration_s = 10\n{workload}[workload.generator]\n{tables}"
    );
    fs::write(folder.join("m.toml"), text).unwrap();
}

/// A warm-up that leaves nothing of the runs at 5 req/s.
const HALF_FAIL: &str = "warmup_requests = 75\n";

fn sweep(folder: &Path, command: &str, out: &str, more: &[&str]) -> Output {
    let mut program = Command::new(PROGRAM);
    program.args([command, "m.toml", "--out", out]).args(more);
    program.current_dir(folder).output().unwrap()
}

#[track_caller]
fn ends_with(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    (out, err)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn plan(folder: &Path, out: &str) -> Value {
    json(&fs::read_to_string(folder.join(out).join("plan.json")).unwrap())
}

/// The events of every process, by file.
fn events(folder: &Path, out: &str) -> Vec<Vec<Value>> {
    let Ok(files) = fs::read_dir(folder.join(out).join("events")) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let lines = |path: &PathBuf| fs::read_to_string(path).unwrap().lines().map(json).collect();
    paths.iter().map(lines).collect()
}

fn tables(folder: &Path, out: &str) -> [Vec<u8>; 3] {
    ["runs.parquet", "cells.parquet", "cells.csv"]
        .map(|file| fs::read(folder.join(out).join(file)).unwrap())
}

#[test]
fn a_call_and_what_became_of_it_are_written_down() {
    let folder = folder("call");
    ends_with(&sweep(&folder, "run", "out", &[]), 0);
    let asked = plan(&folder, "out");
    assert_eq!(asked["schema"], "routesim.plan/1");
    assert_eq!((&asked["runs"], &asked["cells"]), (&RUNS.into(), &4.into()));
    assert_eq!(asked["calls"][0]["runs_to_do"], RUNS);
    let told = events(&folder, "out");
    let [told] = told.as_slice() else { panic!("one process, {} files", told.len()) };
    let names: Vec<&str> = told.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!((names[0], names[names.len() - 1]), ("started", "finished"));
    assert_eq!(told[0]["schema"], "routesim.events/1");
    let last = &told[told.len() - 1];
    assert_eq!((&last["runs_done"], &last["exit_code"]), (&RUNS.into(), &0.into()));
    let committed = told.iter().filter(|event| event["event"] == "committed");
    let runs: u64 = committed.clone().map(|event| event["runs"].as_u64().unwrap()).sum();
    assert_eq!(runs, RUNS as u64);
    for event in committed {
        let part = event["part"].as_str().unwrap();
        assert!(folder.join("out/parts").join(&part[..2]).join(part).is_file(), "{part}");
    }
    // A call with nothing to do is written down, and has no events.
    ends_with(&sweep(&folder, "run", "out", &[]), 0);
    assert_eq!(plan(&folder, "out")["calls"][1]["runs_to_do"], 0);
    assert_eq!(events(&folder, "out").len(), 1);
    for _ in 0..20 {
        ends_with(&sweep(&folder, "merge", "out", &[]), 0);
    }
    assert_eq!(plan(&folder, "out")["calls"].as_array().unwrap().len(), 16, "the last ones");
}

#[test]
fn results_are_the_same_without_plan_events_and_failures() {
    let folder = folder("without");
    manifest(&folder, HALF_FAIL, "");
    ends_with(&sweep(&folder, "run", "whole", &[]), 3);
    ends_with(&sweep(&folder, "run", "other", &["--shard", "0/2"]), 3);
    for lost in ["events", "failures"] {
        fs::remove_dir_all(folder.join("other").join(lost)).unwrap();
    }
    fs::write(folder.join("other/plan.json"), "{").unwrap();
    ends_with(&sweep(&folder, "status", "other", &[]), 0);
    // Where nothing can be written for people, work is done all the same.
    fs::write(folder.join("other/events"), "").unwrap();
    let rest = sweep(&folder, "run", "other", &[]);
    let whole = sweep(&folder, "run", "whole", &[]);
    assert_eq!(ends_with(&rest, 3).0, ends_with(&whole, 3).0);
    assert_eq!(tables(&folder, "other"), tables(&folder, "whole"));
}

#[test]
fn merge_after_shards_has_the_rows_of_runs_that_failed() {
    let folder = folder("merge");
    manifest(&folder, HALF_FAIL, "");
    let (whole, _) = ends_with(&sweep(&folder, "run", "whole", &[]), 3);
    for shard in ["0/3", "2/3", "1/3"] {
        sweep(&folder, "run", "shards", &["--shard", shard]);
    }
    let (merged, told) = ends_with(&sweep(&folder, "merge", "shards", &[]), 3);
    assert!(told.contains("failed: ") && !told.contains("missing"), "{told}");
    assert_eq!(merged, whole);
    assert_eq!(tables(&folder, "shards"), tables(&folder, "whole"));
    let (status, _) = ends_with(&sweep(&folder, "status", "shards", &[]), 0);
    let half = RUNS / 2;
    let far = format!("{half} of {RUNS} runs are done, {half} are not, of which {half} failed");
    assert!(status.contains(&far) && status.contains("failed: run "), "{status}");
    let of_cell = ["fleet/round_robin/5"];
    let (explained, _) = ends_with(&sweep(&folder, "explain", "shards", &of_cell), 0);
    assert!(explained.contains("seed 42, not done, failed when last tried: "), "{explained}");
    // What is tried again and fails again is kept once.
    let files = || fs::read_dir(folder.join("shards/failures")).unwrap().count();
    let kept = || -> Vec<PathBuf> {
        let engine = fs::read_dir(folder.join("shards/failures")).unwrap().next().unwrap();
        fs::read_dir(engine.unwrap().path()).unwrap().map(|file| file.unwrap().path()).collect()
    };
    let before = (files(), kept().len());
    ends_with(&sweep(&folder, "run", "shards", &[]), 3);
    assert_eq!((files(), kept().len()), before);
}

#[test]
fn a_failure_under_another_limit_is_none() {
    let folder = folder("limit");
    manifest(&folder, "", "[run]\nmax_events = 10\n");
    ends_with(&sweep(&folder, "run", "out", &["--shard", "0/1"]), 3);
    let (_, told) = ends_with(&sweep(&folder, "merge", "out", &[]), 3);
    assert!(told.contains("more than 10 events"), "{told}");
    manifest(&folder, "", "[run]\nmax_events = 11\n");
    let (_, told) = ends_with(&sweep(&folder, "merge", "out", &[]), 3);
    assert!(told.contains(&format!("{RUNS} of {RUNS} runs are missing")), "{told}");
    // Done in the end: nothing is told of how it failed before.
    manifest(&folder, "", "");
    ends_with(&sweep(&folder, "run", "out", &["--shard", "0/1"]), 0);
    manifest(&folder, "", "[run]\nmax_events = 10\n");
    let (status, _) = ends_with(&sweep(&folder, "status", "out", &["--format", "json"]), 0);
    let status = json(&status);
    assert_eq!((&status["done"], &status["failed"]), (&RUNS.into(), &0.into()));
    ends_with(&sweep(&folder, "merge", "out", &[]), 0);
}

#[test]
fn merge_knows_of_runs_that_took_too_long() {
    let folder = folder("late");
    manifest(&folder, "", "[run]\nmax_wall_s = 0.001\n");
    fs::write(folder.join("fleet.toml"), "[cluster]\nnum_backends = 64\n").unwrap();
    let long = &["--set", "workload.duration_s=3000", "--shard", "0/1"];
    ends_with(&sweep(&folder, "run", "out", long), 3);
    let (_, told) = ends_with(&sweep(&folder, "merge", "out", &long[..2]), 3);
    assert!(told.contains(&format!("{RUNS} of {RUNS} runs are missing; ")), "{told}");
    assert!(told.contains("its `max_wall_s`"), "{told}");
}

#[test]
fn status_tells_of_processes_that_have_not_ended() {
    let folder = folder("process");
    ends_with(&sweep(&folder, "run", "out", &["--shard", "1/2"]), 0);
    let status = |more: &[&str]| ends_with(&sweep(&folder, "status", "out", more), 0).0;
    assert_eq!(status(&[]).lines().count(), 1, "it has ended");
    let told = json(&status(&["--format", "json"]));
    let process = &told["processes"][0];
    assert_eq!((&process["shard"], &process["exit_code"]), (&"1/2".into(), &0.into()));
    // As one that was killed leaves it, in the middle of a line.
    let path = fs::read_dir(folder.join("out/events")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let cut = format!("{}\n{}", lines[..lines.len() - 1].join("\n"), "{\"event\":\"comm");
    fs::write(&path, cut).unwrap();
    let told = status(&[]);
    let line = told.lines().nth(1).unwrap();
    let half = RUNS / 2;
    assert!(line.starts_with("shard 1/2 on "), "{told}");
    assert!(line.contains(&format!("{half} of {half} runs done; last event ")), "{told}");
    let gc = Command::new(PROGRAM)
        .args(["gc", "out", "--older-than", "0"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert_eq!(ends_with(&gc, 0).0, "1 files removed\n");
    assert_eq!(status(&[]).lines().count(), 1);
}

#[test]
fn a_shard_of_another_manifest_is_told_of() {
    let folder = folder("drift");
    ends_with(&sweep(&folder, "run", "out", &["--shard", "0/2"]), 0);
    let (_, told) = ends_with(&sweep(&folder, "run", "out", &["--shard", "1/2"]), 0);
    assert!(!told.contains("another manifest"), "{told}");
    let more = ["--shard", "1/2", "--set", "grid.seeds=4"];
    let (_, told) = ends_with(&sweep(&folder, "run", "out", &more), 0);
    assert!(told.contains("note: the last call on this folder was of another manifest"), "{told}");
}

#[test]
fn plan_says_what_is_done_and_what_the_rest_takes() {
    let folder = folder("plan");
    let plan = || ends_with(&sweep(&folder, "plan", "out", &[]), 0).0;
    let none = plan();
    assert!(none.contains(&format!("\n0 of {RUNS} runs are done, {RUNS} are to do; in out\n")));
    assert!(none.contains(" of CPU time, ") && !folder.join("out").exists(), "{none}");
    ends_with(&sweep(&folder, "run", "out", &["--shard", "0/2"]), 0);
    let half = plan();
    let (done, left) = (RUNS / 2, RUNS / 2);
    assert!(half.contains(&format!("\n{done} of {RUNS} runs are done, {left} are to do;")));
    assert!(half.contains(" of CPU time for those to do, "), "{half}");
    ends_with(&sweep(&folder, "run", "out", &[]), 0);
    let all = plan();
    assert!(all.contains(&format!("\n{RUNS} of {RUNS} runs are done, 0 are to do;")), "{all}");
    assert!(!all.contains("CPU time"), "nothing is left: {all}");
}

#[cfg(unix)]
#[test]
fn what_the_machine_did_is_no_result_and_success_ends_a_failure() {
    let folder = folder("machine");
    manifest(&folder, "", "[output]\nrequests = true\n");
    // A file where a folder should be: requests can't be written.
    fs::create_dir_all(folder.join("out/parts")).unwrap();
    fs::write(folder.join("out/requests"), "in the way").unwrap();
    let (_, err) = ends_with(&sweep(&folder, "run", "out", &[]), 3);
    assert!(err.contains("could not be written: tried again next time"), "{err}");
    let (_, err) = ends_with(&sweep(&folder, "merge", "out", &[]), 3);
    assert!(err.contains(&format!("{RUNS} of {RUNS} runs are missing")), "no rows of them: {err}");
    fs::remove_file(folder.join("out/requests")).unwrap();
    ends_with(&sweep(&folder, "run", "out", &[]), 0);
    let whole = tables(&folder, "out");
    // What is asked for more is lacking, not failed.
    manifest(&folder, "", "[output]\nrequests = true\nhistograms = true\n");
    let (out, _) = ends_with(&sweep(&folder, "status", "out", &[]), 0);
    assert!(
        out.contains(&format!("0 of {RUNS} runs are done")) && !out.contains("failed"),
        "{out}"
    );
    let (_, err) = ends_with(&sweep(&folder, "merge", "out", &[]), 3);
    assert!(err.contains("runs are missing") && !err.contains("failed"), "{err}");
    assert_eq!(tables(&folder, "out"), whole, "and the tables stay");
}

#[test]
fn a_sweep_that_gives_up_has_the_rows_that_merge_has() {
    let folder = folder("gives-up");
    manifest(&folder, HALF_FAIL, "");
    ends_with(&sweep(&folder, "run", "out", &[]), 3);
    let whole = tables(&folder, "out");
    // What failed is tried again, and the first failure ends it.
    let more = ["--max-failures", "0", "--threads", "1"];
    ends_with(&sweep(&folder, "run", "out", &more), 3);
    assert_eq!(tables(&folder, "out"), whole);
    ends_with(&sweep(&folder, "merge", "out", &[]), 3);
    assert_eq!(tables(&folder, "out"), whole);
}
