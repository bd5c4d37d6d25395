//! How far runs may go, how many may fail, how much memory they may take, and what is told of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use routesim::tables::{Frame, ParquetFile, texts};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_routesim-sweep");
/// Algorithms × rates × seeds of [`folder`]'s manifest.
const RUNS: usize = 2 * 2 * 3;

/// A folder of its own for each test, with a manifest of 12 runs and these tables more.
fn folder(test: &str, more: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("limits").join(test);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("fleet.toml"), "[cluster]\nnum_backends = 2\n").unwrap();
    rewrite(&folder, more);
    folder
}

fn rewrite(folder: &Path, more: &str) {
    let manifest = format!(
        "schema = 1\nname = \"limits\"\n[grid]\nconfigs = [\"fleet.toml\"]\n\
         algorithms = [\"round_robin\", \"least_kv\"]\nrates = [5, 10]\nseeds = 3\n\
         [workload]\nduration_s = 10\n[workload.generator]\n{more}"
    );
    fs::write(folder.join("limits.toml"), manifest).unwrap();
}

/// At 5 req/s about 50 requests come: such a warm-up leaves nothing of them, and half of the runs
/// fail.
fn let_half_fail(folder: &Path, more: &str) {
    rewrite(folder, more);
    let path = folder.join("limits.toml");
    let manifest = fs::read_to_string(&path).unwrap();
    let warmup = "duration_s = 10\nwarmup_requests = 75\n";
    fs::write(&path, manifest.replace("duration_s = 10\n", warmup)).unwrap();
}

fn run(folder: &Path, out: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["run", "limits.toml", "--out", out]).args(arguments);
    command.current_dir(folder).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn ends_with(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", stderr(output));
    stderr(output)
}

fn bytes(folder: &Path, out: &str, file: &str) -> Vec<u8> {
    fs::read(folder.join(out).join(file)).unwrap()
}

fn table(folder: &Path, out: &str, file: &str) -> Frame {
    ParquetFile::open(&bytes(folder, out, file)).unwrap().rows(None).unwrap()
}

fn whole(frame: &Frame, column: &str) -> Vec<Option<i64>> {
    frame.column(column).unwrap().i64().unwrap().iter().collect()
}

fn real(frame: &Frame, column: &str) -> Vec<Option<f64>> {
    frame.column(column).unwrap().f64().unwrap().iter().collect()
}

fn text(frame: &Frame, column: &str) -> Vec<Option<String>> {
    let values = frame.column(column).unwrap().str().unwrap();
    values.iter().map(|value| value.map(str::to_owned)).collect()
}

/// How many runs are done, as `status` says.
fn done(folder: &Path, out: &str) -> u64 {
    let arguments = ["status", "limits.toml", "--out", out, "--format", "json"];
    let status = Command::new(PROGRAM).args(arguments).current_dir(folder).output().unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    status["done"].as_u64().unwrap()
}

#[test]
fn runs_beyond_a_limit_are_the_same_on_one_thread_and_two() {
    let folder = folder("cut", "");
    ends_with(&run(&folder, "free", &[]), 0);
    let free = table(&folder, "free", "runs.parquet");
    let events: Vec<i64> = whole(&free, "events_count").into_iter().flatten().collect();
    let mut sorted = events.clone();
    sorted.sort_unstable();
    // Half of the runs have no more events, and one has just as many.
    let most = sorted[RUNS / 2 - 1];
    rewrite(&folder, &format!("[run]\nmax_events = {most}\n"));
    let [one, two] = ["1", "2"].map(|threads| run(&folder, threads, &["--threads", threads]));
    for output in [&one, &two] {
        let told = ends_with(output, 3);
        assert!(told.contains(&format!("more than {most} events, its `max_events`")), "{told}");
    }
    assert_eq!(stdout(&one), stdout(&two));
    for file in ["runs.parquet", "cells.parquet", "cells.csv"] {
        assert!(bytes(&folder, "1", file) == bytes(&folder, "2", file), "{file} differs");
    }
    let cut = table(&folder, "1", "runs.parquet");
    let expected = events.iter().map(|own| if *own > most { "limited" } else { "ok" });
    assert_eq!(texts(&cut, "status").unwrap(), expected.collect::<Vec<_>>());
    let metrics = real(&cut, "ttft_mean_ms").into_iter().zip(real(&free, "ttft_mean_ms"));
    for (own, (cut, free)) in events.iter().zip(metrics) {
        assert_eq!(cut, free.filter(|_| *own <= most), "null, or what it is without a limit");
    }
    // Runs that were cut are not kept: without a limit they are run now, and no others.
    rewrite(&folder, "");
    assert_eq!(done(&folder, "1"), sorted.iter().filter(|own| **own <= most).count() as u64);
    let again = run(&folder, "1", &[]);
    ends_with(&again, 0);
    let (again, free) = (bytes(&folder, "1", "cells.csv"), bytes(&folder, "free", "cells.csv"));
    assert!(again == free, "as if there had been no limit");
}

#[test]
fn a_run_beyond_its_simulated_time_is_limited() {
    // Requests come for 10 s.
    let folder = folder("simulated", "[run]\nmax_simulated_s = 9.5\n");
    let output = run(&folder, "out", &[]);
    let told = ends_with(&output, 3);
    assert!(told.contains("beyond 9.5 simulated seconds, its `max_simulated_s`"), "{told}");
    assert!(stdout(&output).contains("12 runs failed"), "{}", stdout(&output));
    let runs = table(&folder, "out", "runs.parquet");
    assert_eq!(texts(&runs, "status").unwrap(), ["limited"; RUNS]);
    assert!(real(&runs, "realised_rps").iter().all(Option::is_some), "their requests were made");
    rewrite(&folder, "[run]\nmax_simulated_s = 3600\n");
    ends_with(&run(&folder, "out", &[]), 0);
}

#[test]
fn a_run_that_takes_too_long_is_missing() {
    // 400,000 requests do not pass in a thousandth of a second, at 5 req/s or at 10.
    let folder = folder("late", "[run]\nmax_wall_s = 0.001\nretries = 1\n");
    let path = folder.join("limits.toml");
    let manifest = fs::read_to_string(&path).unwrap();
    fs::write(&path, manifest.replace("duration_s = 10", "duration_s = 80000")).unwrap();
    let output = run(&folder, "out", &["--format", "json"]);
    let told = ends_with(&output, 3);
    assert!(told.contains("the run takes more than 0.001 s, its `max_wall_s`"), "{told}");
    assert!(
        told.contains("12 runs took too long or could not be written: tried again next time"),
        "{told}"
    );
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["incomplete"]["missing_runs"], 12);
    assert_eq!(table(&folder, "out", "runs.parquet").height(), 0, "no row goes by a clock");
    let timing = table(&folder, "out", "timing.parquet");
    assert_eq!(texts(&timing, "status").unwrap(), ["timeout"; RUNS]);
    assert_eq!(whole(&timing, "attempts_count"), [Some(2); RUNS]);
    assert_eq!(done(&folder, "out"), 0);
}

#[test]
fn failures_end_a_sweep_when_there_are_more_than_may_be() {
    let folder = folder("failures", "");
    // Of 12 runs the 6 at 10 req/s come first and are well, the 6 at 5 req/s fail.
    for (name, table, failed) in [
        ("stop", "[run]\non_failure = \"stop\"\n", "1 run failed"),
        ("two", "[run]\nmax_failures = 2\n", "3 runs failed"),
        ("share", "[run]\nmax_failures = \"25%\"\n", "4 runs failed"),
    ] {
        let_half_fail(&folder, table);
        let output = run(&folder, name, &["--threads", "1"]);
        let told = ends_with(&output, 3);
        assert!(told.contains(&format!("gave up: {failed}, more than may")), "{told}");
        assert!(told.contains("a warm-up of 75 requests leaves none"), "{told}");
        assert!(stdout(&output).starts_with("INCOMPLETE"), "{}", stdout(&output));
        assert_eq!(done(&folder, name), 6, "what was done is kept");
        let runs = self::table(&folder, name, "runs.parquet");
        let num_failed: usize = failed[..1].parse().unwrap();
        assert_eq!(runs.height(), 6 + num_failed, "failed runs are rows that say why");
        // The command line wins.
        let told = ends_with(&run(&folder, name, &["--max-failures", "50%"]), 3);
        assert!(told.contains("6 of 12 runs were done before"), "{told}");
        assert!(!told.contains("gave up"), "{told}");
    }
    let_half_fail(&folder, "[run]\non_failure = \"continue\"\n");
    let all = run(&folder, "all", &[]);
    assert!(!ends_with(&all, 3).contains("gave up"));
    assert!(bytes(&folder, "all", "runs.parquet") != bytes(&folder, "share", "runs.parquet"));
    let (all, share) = (bytes(&folder, "all", "cells.csv"), bytes(&folder, "share", "cells.csv"));
    assert!(all == share, "stopped and gone on, or in one go");
}

#[test]
fn shards_count_their_own_failures() {
    let folder = folder("shards", "");
    let_half_fail(&folder, "[run]\non_failure = \"stop\"\n");
    let mut left = 0;
    for shard in ["0/2", "1/2"] {
        let told = ends_with(&run(&folder, "out", &["--shard", shard, "--threads", "1"]), 3);
        assert!(told.contains("gave up: 1 run failed"), "{told}");
        assert!(told.contains(&format!("shard {shard}: ")), "{told}");
        let after = told.split("more than may; ").nth(1).unwrap();
        left += after.split_whitespace().next().unwrap().parse::<usize>().unwrap();
    }
    assert_eq!((done(&folder, "out"), left), (6, 6 - 2));
}

#[test]
fn results_do_not_depend_on_the_memory_that_runs_may_take() {
    let folder = folder("memory", "[run]\nmemory_mb = 1\n");
    ends_with(&run(&folder, "tight", &["--threads", "3"]), 0);
    ends_with(&run(&folder, "wide", &["--threads", "3", "--memory", "100000"]), 0);
    for file in ["runs.parquet", "cells.parquet", "cells.csv"] {
        assert!(bytes(&folder, "tight", file) == bytes(&folder, "wide", file), "{file} differs");
    }
}

/// The lines for programs, each a JSON object with the facts that all have.
fn events(told: &str) -> Vec<Value> {
    let lines = told.lines().filter(|line| line.starts_with('{'));
    let events: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    for event in &events {
        assert_eq!(event["schema"], "routesim.progress/1");
        assert_eq!(event["sweep"], "limits");
        assert!(event["elapsed_s"].as_f64().unwrap() >= 0.0);
    }
    events
}

fn named<'e>(events: &'e [Value], name: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

#[test]
fn programs_read_how_far_a_sweep_is() {
    let folder = folder("json", "");
    let_half_fail(&folder, "[run]\nmax_failures = 5\n");
    let output = run(&folder, "out", &["--progress", "json", "--threads", "1"]);
    let events = events(&ends_with(&output, 3));
    assert_eq!(events[0]["event"], "started");
    let started = &events[0];
    let counts = ["runs", "runs_done_before", "cells", "threads"].map(|key| &started[key]);
    assert_eq!(counts, [12, 0, 4, 1].map(Value::from).each_ref());
    let failed = named(&events, "run_failed");
    assert_eq!(failed.len(), 6);
    assert_eq!(failed[0]["status"], "failed");
    assert_eq!(failed[0]["attempts"], 1);
    assert!(failed[0]["cell_label"].as_str().unwrap().ends_with("/5"), "{}", failed[0]);
    assert!(failed[0]["error"].as_str().unwrap().contains("warm-up"), "{}", failed[0]);
    assert_eq!(named(&events, "stopping")[0]["why"], "failures");
    assert!(!named(&events, "progress").is_empty());
    let last = events.last().unwrap();
    assert_eq!(last["event"], "finished");
    let counts = ["runs_done", "runs", "cells_done", "cells", "failed_runs"].map(|key| &last[key]);
    assert_eq!(counts, [12, 12, 4, 4, 6].map(Value::from).each_ref());
    assert!(last["runs_per_s"].as_f64().unwrap() > 0.0, "{last}");
    assert!(last["simulated_requests_per_s"].as_f64().unwrap() > 0.0, "{last}");
    assert_eq!(last["eta_s"], 0.0);
}

#[test]
fn where_there_is_no_terminal_only_the_start_and_the_end_are_told() {
    let folder = folder("quiet", "");
    let told = ends_with(&run(&folder, "auto", &[]), 0);
    let lines: Vec<&str> = told.lines().filter(|line| !line.starts_with("warning: ")).collect();
    assert_eq!(lines.first(), Some(&"limits: 12 runs"), "{told}");
    assert!(lines.last().unwrap().ends_with("tables in auto"), "{told}");
    assert!(!told.contains("ETA") && !told.contains("runs/s"), "{told}");
    let told = ends_with(&run(&folder, "none", &["--progress", "none"]), 0);
    assert!(!told.contains("limits: 12 runs"), "{told}");
}

#[test]
fn what_runs_took_stands_in_a_table_of_its_own() {
    let folder = folder("timing", "");
    ends_with(&run(&folder, "out", &[]), 0);
    let (timing, runs) =
        (table(&folder, "out", "timing.parquet"), table(&folder, "out", "runs.parquet"));
    for column in ["run_id", "cell_label", "status"] {
        assert_eq!(text(&timing, column), text(&runs, column), "in the order of the grid");
    }
    for column in ["seed", "events_count", "requests_count"] {
        assert_eq!(whole(&timing, column), whole(&runs, column));
    }
    assert_eq!(whole(&timing, "attempts_count"), [Some(1); RUNS]);
    assert!(real(&timing, "wall_s").iter().all(|wall_s| wall_s.unwrap() > 0.0));
    let volatile = ["wall_s", "attempts_count", "events_per_s"];
    assert!(volatile.iter().all(|column| runs.column(column).is_err()), "not in runs.parquet");
    // It covers the last execution: nothing runs now, so it stays; then one seed more.
    let before = bytes(&folder, "out", "timing.parquet");
    ends_with(&run(&folder, "out", &[]), 0);
    assert!(bytes(&folder, "out", "timing.parquet") == before);
    let path = folder.join("limits.toml");
    let manifest = fs::read_to_string(&path).unwrap();
    fs::write(&path, manifest.replace("seeds = 3", "seeds = 4")).unwrap();
    ends_with(&run(&folder, "out", &[]), 0);
    let timing = table(&folder, "out", "timing.parquet");
    assert_eq!(whole(&timing, "seed"), [Some(45); 4], "of four cells");
}
