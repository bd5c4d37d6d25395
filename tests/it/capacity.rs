//! Searches for a capacity, end to end: against a queue with a known answer, and whatever happens
//! on the way.

#![expect(clippy::print_stdout, reason = "the study shows its figures to who asks for them")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use routesim::tables::ParquetFile;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_routesim-sweep");

/// Requests/s at which the 99th percentile of the time in the queue M/M/1 of rate 1 is 20:
/// ln(100) / (1 - rate) = 20.
const EXACT: f64 = 0.769_741_490_7;

/// A folder of its own for each test, empty at its start.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("capacity").join(test);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// One server, one request at a time: a prompt of 20,000 tokens takes a second.
const SERVER: &str = "[cluster]\nnum_backends = 1\nmax_batch_tokens = 1_048_576\n\
    max_batch_size = 1\nmax_queue_depth = 1_000_000\nkv_cache_blocks = 4096\n\
    kv_block_size = 1_048_576\nasync_scheduling = false\n\
    [cluster.compute_model]\nprefill_tokens_per_sec = 20_000\n\
    decode_tokens_per_sec_batch1 = 1e9\ndecode_throughput_saturation_batch = 1\n\
    decode_tokens_per_sec_saturated = 1e9\n";

/// A search for the capacity of the queue, with runs of that many seconds.
fn queue(folder: &Path, seconds: f64, capacity: &str) {
    fs::write(folder.join("server.toml"), SERVER).unwrap();
    let text = format!(
        "schema = 1\nname = \"queue\"\n[grid]\nconfigs = [\"server.toml\"]\n\
         algorithms = [\"round_robin\"]\n\
         rates = {{ logspace = {{ start = 0.05, stop = 0.98, num = 150 }} }}\nseeds = 10\n\
         [workload]\nduration_s = {seconds}\nwarmup_s = 2000\n\
         [workload.generator]\nlengths = \"exponential\"\nprompt_mean = 20_000\ngen_mean = 1\n\
         num_prefixes = 0\n[slo]\ne2e_p99_ms = 20_000\n[capacity]\n{capacity}"
    );
    fs::write(folder.join("queue.toml"), text).unwrap();
}

fn command(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).current_dir(folder).output().unwrap()
}

#[track_caller]
fn json(folder: &Path, arguments: &[&str]) -> Value {
    let output = command(folder, &[arguments, &["--format", "json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Searches under that many first seeds, each far from the others.
fn study(masters: u64) {
    let folder = folder(&format!("study-{masters}"));
    queue(&folder, 48_770.0, "relative_width = 0.04\n");
    let (mut covered, mut resolved) = (0, 0);
    let (mut width, mut runs, mut requests, mut naive) = (0.0, 0.0, 0.0, Vec::new());
    for master in 0..masters {
        let seed = format!("seed={}", 1_000 * master);
        let found =
            json(&folder, &["run", "queue.toml", "--fresh", "--out", "out", "--set", &seed]);
        let own = &found["capacities"][0];
        let (lo, hi) = (own["ci_lo"].as_f64().unwrap(), own["ci_hi"].as_f64().unwrap());
        covered += u32::from(lo <= EXACT && EXACT <= hi);
        resolved += u32::from(own["status"] == "resolved");
        width += (hi - lo) / own["capacity"].as_f64().unwrap();
        runs += own["runs"].as_f64().unwrap();
        let csv = fs::read_to_string(folder.join("out/runs.csv")).unwrap();
        let column =
            |name: &str| csv.lines().next().unwrap().split(',').position(|own| own == name);
        let count = column("requests_count").unwrap();
        let (rate, p99, draw) =
            (column("rate_rps").unwrap(), column("e2e_p99_ms").unwrap(), column("draw").unwrap());
        let mut first: Vec<(f64, f64)> = Vec::new();
        for row in csv.lines().skip(1) {
            let fields: Vec<&str> = row.split(',').collect();
            requests += fields[count].parse::<f64>().unwrap();
            if fields[draw] == "0" {
                first.push((fields[rate].parse().unwrap(), fields[p99].parse().unwrap()));
            }
        }
        naive.extend(crossing(&mut first));
        fs::remove_dir_all(folder.join("out")).unwrap();
    }
    let masters = f64::from(u32::try_from(masters).unwrap());
    let spread = naive.iter().map(|own| (own / EXACT - 1.0).abs()).fold(0.0, f64::max);
    println!(
        "{covered} of {masters} intervals cover {EXACT}, {resolved} resolved; mean width {:.2} %, \
         {:.0} runs and {:.2} million requests a search; one seed alone errs by up to {:.1} %",
        100.0 * width / masters,
        runs / masters,
        requests / masters / 1e6,
        100.0 * spread,
    );
    // The binomial limit of 95 %, two and a half standard deviations below.
    let least = masters * 0.95 - 2.5 * (masters * 0.95 * 0.05).sqrt();
    assert!(f64::from(covered) >= least, "{covered} of {masters}");
    assert!(width / masters <= 0.04 && requests / masters <= 6.5e6);
}

/// Where one seed's curve meets the limit: what a search without intervals would answer.
fn crossing(points: &mut [(f64, f64)]) -> Option<f64> {
    points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let above = points.iter().position(|(_, p99)| *p99 > 20_000.0)?;
    let ((from, low), (to, high)) = (*points.get(above.checked_sub(1)?)?, points[above]);
    Some(from + (to - from) * (20_000.0 - low) / (high - low))
}

#[test]
fn intervals_cover_the_capacity_of_a_queue() {
    #[expect(clippy::disallowed_methods, reason = "the long form is asked for from outside")]
    let is_long = std::env::var("ROUTESIM_STUDY").is_ok();
    study(if is_long { 200 } else { 3 });
}

#[test]
fn a_share_of_requests_has_the_capacity_of_its_quantile() {
    // 99 % within 20 s is a 99th percentile of 20 s: the same queue, the same rate.
    let folder = folder("attainment");
    queue(&folder, 20_000.0, "relative_width = 0.1\n");
    let path = folder.join("queue.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace("e2e_p99_ms = 20_000", "e2e_ms = 20_000\nattainment_ratio = 0.99");
    fs::write(path, text).unwrap();
    let found = json(&folder, &["run", "queue.toml", "--out", "out"]);
    let own = &found["capacities"][0];
    let (lo, hi) = (own["ci_lo"].as_f64().unwrap(), own["ci_hi"].as_f64().unwrap());
    assert!(lo <= EXACT && EXACT <= hi && hi - lo < 0.1, "{own}");
    assert_eq!(own["status"], "resolved");
    assert_eq!(own["limiting_objective"], "attainment_ratio");
    let csv = fs::read_to_string(folder.join("out/capacity.csv")).unwrap();
    assert!(csv.contains("attainment_ratio >= 0.99 of e2e_ms <= 20000"), "{csv}");
}

/// Tables of a folder, without what differs from one execution to the next.
fn tables(out: &Path) -> Vec<(String, Vec<u8>)> {
    let names = ["runs", "cells", "cells_wide", "capacity"];
    let files = names.iter().flat_map(|name| [format!("{name}.parquet"), format!("{name}.csv")]);
    files.map(|name| (name.clone(), fs::read(out.join(name)).unwrap())).collect()
}

/// Two searches of moments, over two algorithms.
fn fleet(folder: &Path, more: &str) {
    fs::write(folder.join("fleet.toml"), "[cluster]\nnum_backends = 2\n").unwrap();
    let text = format!(
        "schema = 1\nname = \"fleet\"\n[grid]\nconfigs = [\"fleet.toml\"]\n\
         algorithms = [\"round_robin\", \"least_outstanding\", \"prefix_aware\"]\n\
         rates = {{ start = 5, stop = 80, step = 1 }}\nseeds = 5\n\
         [workload]\nduration_s = 40\nwarmup_s = 10\n[workload.generator]\n[slo]\nttft_p95_ms = 200\n\
         tpot_p95_ms = 25\n[capacity]\nmax_seeds = 12\n{more}"
    );
    fs::write(folder.join("fleet.toml.manifest"), text).unwrap();
    fs::rename(folder.join("fleet.toml.manifest"), folder.join("search.toml")).unwrap();
}

#[test]
fn searches_are_the_same_by_threads_shards_and_after_a_stop() {
    let folder = folder("same");
    fleet(&folder, "");
    let whole = json(&folder, &["run", "search.toml", "--out", "whole"]);
    assert_eq!(whole["capacities"].as_array().unwrap().len(), 3);
    json(&folder, &["run", "search.toml", "--out", "two", "--threads", "2"]);
    assert!(tables(&folder.join("whole")) == tables(&folder.join("two")));
    // Nobody looks between the last two doublings but near the answer.
    let explain = ["explain", "search.toml", "--out", "whole", "fleet/round_robin/79"];
    let explained = String::from_utf8(command(&folder, &explain).stdout).unwrap();
    assert!(explained.contains("no run of it is wanted") && !explained.contains("seed 42"));
    for shard in ["0/2", "1/2"] {
        let arguments = ["run", "search.toml", "--out", "shards", "--shard", shard];
        assert!(command(&folder, &arguments).status.success());
    }
    json(&folder, &["merge", "search.toml", "--out", "shards"]);
    assert!(tables(&folder.join("whole")) == tables(&folder.join("shards")));
    // Again with nothing to do, and after a part is lost.
    let again = command(&folder, &["run", "search.toml", "--out", "shards"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("runs were done before"));
    let lost = fs::read_dir(folder.join("shards/parts")).unwrap().next().unwrap().unwrap().path();
    fs::remove_dir_all(lost).unwrap();
    let merged = command(&folder, &["merge", "search.toml", "--out", "shards"]);
    assert_eq!(merged.status.code(), Some(3));
    json(&folder, &["run", "search.toml", "--out", "shards"]);
    assert!(tables(&folder.join("whole")) == tables(&folder.join("shards")));
}

#[test]
fn the_smallest_fleet_is_found() {
    let folder = folder("smallest");
    fleet(&folder, "over = \"cluster.num_backends\"\n");
    let axes = ["--set", "grid.axes.cluster.num_backends={start=1,stop=12,step=1}"];
    let rates = ["--set", "grid.rates=[40, 80]", "--set", "grid.algorithms=['round_robin']"];
    let longer = ["--set", "workload.duration_s=200", "--set", "capacity.max_seeds=40"];
    let arguments = [&["run", "search.toml"][..], &axes, &rates, &longer].concat();
    let found = json(&folder, &arguments);
    let counts: Vec<f64> = (found["capacities"].as_array().unwrap().iter())
        .map(|own| {
            // Where two fleets are as good as equal, more seeds do not tell them apart.
            let [lo, found, hi] = ["ci_lo", "capacity", "ci_hi"].map(|key| own[key].as_f64());
            assert!(lo <= found && found <= hi && hi.unwrap() - lo.unwrap() <= 1.0, "{own}");
            assert_eq!(own["status"] == "resolved", lo == hi, "{own}");
            found.unwrap()
        })
        .collect();
    assert!(counts[0] >= 1.0 && counts[0] < counts[1] && counts[1] <= 12.0, "{counts:?}");
    let csv = fs::read_to_string(folder.join("results/fleet/capacity.csv")).unwrap();
    assert!(csv.starts_with("config,algorithm,algorithm_name,algorithm_parameters,rate_rps,over,"));
}

#[test]
fn ends_of_the_axis_are_told() {
    let folder = folder("ends");
    fleet(&folder, "");
    for (rates, status) in [("[1, 2, 3]", "above_max"), ("[200, 300]", "below_min")] {
        let rates = format!("grid.rates={rates}");
        let longer = "workload.duration_s=300";
        let arguments = ["run", "search.toml", "--set", &rates, "--set", longer, "--out", status];
        let found = json(&folder, &arguments);
        for own in found["capacities"].as_array().unwrap() {
            assert_eq!((own["status"].as_str(), own["capacity"].as_f64()), (Some(status), None));
        }
    }
}

#[test]
fn what_can_not_be_searched_for_is_told() {
    let folder = folder("faults");
    for (set, told) in [
        ("capacity.over=cluster.backends", "the grid has no axis `cluster.backends`"),
        ("capacity.over=algorithm", "no capacity over `algorithm`"),
        ("capacity.max_seeds=4", "`capacity.max_seeds` is 4"),
        ("grid.seeds=13", "below the 13 of `grid.seeds`"),
        ("capacity.find=lowest", "of rates the highest is searched for"),
        ("capacity.width=1", "unknown key `width` in [capacity]"),
        ("capacity.relative_width=0", "`capacity.relative_width` is 0"),
        ("grid.seeds=2", "[capacity] with 2 of `grid.seeds`"),
        ("compare.over=algorithm", "[capacity] and [compare]"),
        ("grid.rates=[7]", "is the only one of its values of `rate`"),
    ] {
        fleet(&folder, "");
        let output = command(&folder, &["plan", "search.toml", "--set", set]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{set}: {stderr}");
        assert!(stderr.contains(told), "{set}: {stderr}");
    }
    fleet(&folder, "");
    let text = fs::read_to_string(folder.join("search.toml")).unwrap();
    let text = text.replace("[slo]\nttft_p95_ms = 200\ntpot_p95_ms = 25\n", "");
    fs::write(folder.join("search.toml"), text).unwrap();
    let output = command(&folder, &["plan", "search.toml"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("has no objectives"));
}

#[test]
fn seeds_are_added_until_a_metric_is_known_closely_enough() {
    let folder = folder("precision");
    let manifest = |relative: &str| {
        fs::write(folder.join("fleet.toml"), "[cluster]\nnum_backends = 2\n").unwrap();
        let text = format!(
            "schema = 1\nname = \"precise\"\n[grid]\nconfigs = [\"fleet.toml\"]\n\
             algorithms = [\"round_robin\", \"least_outstanding\"]\nrates = [10, 55]\nseeds = 5\n\
             [workload]\nduration_s = 40\nwarmup_s = 10\n[workload.generator]\n[statistics]\n\
             max_seeds = 40\nprecision = {{ metric = \"ttft_mean_ms\", relative = {relative} }}\n"
        );
        fs::write(folder.join("precise.toml"), text).unwrap();
    };
    manifest("0.05");
    let output = command(&folder, &["run", "precise.toml", "--out", "out", "--format", "csv"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let cells = String::from_utf8(output.stdout).unwrap();
    let column = |name: &str| cells.lines().next().unwrap().split(',').position(|own| own == name);
    let [metric, n, mean, lo, hi, rate] =
        ["metric", "n", "mean", "ci_lo", "ci_hi", "rate_rps"].map(|name| column(name).unwrap());
    let mut seeds: Vec<(String, usize)> = Vec::new();
    for row in cells.lines().skip(1) {
        let fields: Vec<&str> = row.split(',').collect();
        if fields[metric] == "ttft_mean_ms" {
            let [mean, lo, hi] = [mean, lo, hi].map(|at| fields[at].parse::<f64>().unwrap());
            let count: usize = fields[n].parse().unwrap();
            assert!((hi - lo) / 2.0 / mean <= 0.05 / 1.05 || count == 40, "{row}");
            seeds.push((fields[rate].to_owned(), count));
        }
    }
    assert_eq!(seeds.len(), 4);
    seeds.sort();
    // Cells that are compared have the same seeds; a high load takes more of them.
    assert!(seeds[0] == seeds[1] && seeds[2] == seeds[3], "{seeds:?}");
    assert!(seeds[0].1 < seeds[2].1, "{seeds:?}");
    // The rest of a stopped one, and in shards.
    for shard in ["0/2", "1/2"] {
        let arguments = ["run", "precise.toml", "--out", "shards", "--shard", shard];
        assert!(command(&folder, &arguments).status.success());
    }
    let merged = command(&folder, &["merge", "precise.toml", "--out", "shards", "--format", "csv"]);
    assert_eq!(String::from_utf8(merged.stdout).unwrap(), cells);
}

#[test]
fn a_run_that_failed_once_and_was_done_later_counts() {
    let folder = folder("later");
    fleet(&folder, "");
    let limited = ["run", "search.toml", "--out", "out", "--set", "run.max_wall_s=0.001"];
    assert_eq!(command(&folder, &limited).status.code(), Some(3));
    let whole = json(&folder, &["run", "search.toml", "--out", "out"]);
    assert_eq!(json(&folder, &["merge", "search.toml", "--out", "out"]), whole);
    // Again from the beginning: every run is executed, and gives what is kept.
    let output = command(&folder, &["run", "search.toml", "--out", "out", "--fresh"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !stderr.contains("done before"), "{stderr}");
    let timed = fs::read(folder.join("out/timing.parquet")).unwrap();
    let timed = ParquetFile::open(&timed).unwrap().rows(None).unwrap().height();
    let runs = fs::read_to_string(folder.join("out/runs.csv")).unwrap().lines().count() - 1;
    assert_eq!(timed, runs);
}

#[test]
fn objectives_that_change_along_the_axis_are_refused() {
    let folder = folder("objectives");
    fleet(&folder, "over = \"slo.ttft_p95_ms\"\nfind = \"lowest\"\n");
    let axis = "grid.axes.slo.ttft_p95_ms=[10, 100, 1000]";
    let output = command(&folder, &["plan", "search.toml", "--set", axis]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("the objectives change along `slo.ttft_p95_ms`"), "{stderr}");
}
