//! The tables of a sweep: their columns are written down, and what is kept of runs is complete.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use routesim::tables::{Frame, ParquetFile, RunsReader, column_types, texts};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_routesim-sweep");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

const ALL: &str = "[output]\nhistograms = true\nbatch_means = true\nrequests = true\n\
                   series_interval_s = 0.5\n";

/// A folder of its own for each test, empty at its start, with a small sweep.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outputs").join(test);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("fleet.toml"), "[cluster]\nnum_backends = 2\n").unwrap();
    folder
}

fn manifest(folder: &Path, seeds: u32, output: &str) {
    let text = format!(
        "schema = 1\nname = \"tables\"\n[grid]\nconfigs = [\"fleet.toml\"]\n\
         algorithms = [\"round_robin\", {{ name = \"prefix_aware\", cache_weight = 0.7 }}]\n\
         rates = [5, 10]\nseeds = {seeds}\n[workload]\nduration_s = 15\nwarmup_s = 3\n\
         [workload.generator]\n[slo]\nttft_p95_ms = 500\n{output}"
    );
    fs::write(folder.join("tables.toml"), text).unwrap();
}

fn command(folder: &Path, out: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).args(["tables.toml", "--out", out]).current_dir(folder);
    command.output().unwrap()
}

#[track_caller]
fn run(folder: &Path, out: &str, arguments: &[&str]) -> String {
    let output = command(folder, out, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    stderr
}

fn table(path: &Path) -> Frame {
    ParquetFile::open(&fs::read(path).unwrap()).unwrap().rows(None).unwrap()
}

/// One-seed runs of a moment each, at these rates.
fn many_cells(folder: &Path, name: &str, rates: &str) {
    let text = format!(
        "schema = 1\nname = \"{name}\"\n[grid]\nconfigs = [\"fleet.toml\"]\n\
         algorithms = [\"round_robin\"]\nrates = {rates}\n[workload]\nduration_s = 0.5\n\
         [workload.generator]\n[slo]\nttft_p95_ms = 500\n[output]\nbatch_means = true\n"
    );
    fs::write(folder.join("tables.toml"), text).unwrap();
}

#[test]
fn tables_of_many_cells_are_written_in_pieces_that_nobody_sees() {
    let folder = folder("pieces");
    many_cells(&folder, "all", "{ start = 20, stop = 1119, step = 1 }");
    run(&folder, "all", &[]);
    let all = folder.join("all");
    for (name, rows) in [("runs", 1_100), ("cells_wide", 1_100)] {
        assert_eq!(table(&all.join(format!("{name}.parquet"))).height(), rows);
        let csv = fs::read_to_string(all.join(format!("{name}.csv"))).unwrap();
        assert_eq!(csv.lines().count(), 1 + rows, "{name}: one line of names");
    }
    let printed = command(&folder, "all", &["merge", "--format", "csv"]).stdout;
    assert!(printed == fs::read(all.join("cells.csv")).unwrap());
    // A cell's rows are what they are without the others.
    many_cells(&folder, "last", "{ start = 1110, stop = 1119, step = 1 }");
    run(&folder, "last", &[]);
    for name in ["runs", "cells", "cells_wide", "batches"] {
        let lines = |out: &str| {
            let csv = fs::read_to_string(folder.join(out).join(format!("{name}.csv"))).unwrap();
            csv.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let (all, last) = (lines("all"), lines("last"));
        assert_eq!(all[0], last[0], "{name}");
        assert_eq!(all[all.len() - last.len() + 1..], last[1..], "{name}");
    }
}

/// The files of a table that each run has of its own, by name.
fn run_files(out: &Path, table: &str) -> BTreeMap<String, PathBuf> {
    let mut files = BTreeMap::new();
    let mut folders = vec![out.join(table)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.file_name().unwrap().to_str().unwrap().to_owned(), path);
            }
        }
    }
    files
}

/// Every column of the results as `table column type unit`.
fn schema(out: &Path) -> Vec<String> {
    let tables = ["runs", "cells", "cells_wide", "comparisons", "best", "histograms", "batches"];
    let mut paths: Vec<(&str, PathBuf)> =
        tables.iter().map(|name| (*name, out.join(format!("{name}.parquet")))).collect();
    for name in ["requests", "series"] {
        paths.push((name, run_files(out, name).into_values().next().unwrap()));
    }
    let mut lines = Vec::new();
    for (name, path) in paths {
        let bytes = fs::read(&path).unwrap();
        let file = ParquetFile::open(&bytes).unwrap();
        let facts = file.metadata("routesim.columns_json").unwrap();
        let facts: Value = serde_json::from_str(facts).unwrap();
        let columns = column_types(&file.rows(None).unwrap());
        assert_eq!(facts.as_object().unwrap().len(), columns.len(), "{name}");
        for (column, kind) in columns {
            let unit = facts[&column]["unit"].as_str().unwrap_or("-");
            assert!(!facts[&column]["description"].as_str().unwrap().is_empty());
            lines.push(format!("{name} {column} {kind} {unit}"));
        }
    }
    lines
}

/// Columns that are written down.
fn golden() -> Vec<String> {
    let text = fs::read_to_string(Path::new(ROOT).join("tests/data/schema.txt")).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn columns_are_those_that_are_written_down() {
    let folder = folder("schema");
    manifest(&folder, 2, &format!("{ALL}[compare]\n"));
    run(&folder, "out", &["run"]);
    let schema = schema(&folder.join("out"));
    let mended = folder.join("schema.txt");
    fs::write(&mended, schema.join("\n") + "\n").unwrap();
    let golden = golden();
    let missing: Vec<_> = golden.iter().filter(|line| !schema.contains(line)).collect();
    let new: Vec<_> = schema.iter().filter(|line| !golden.contains(line)).collect();
    let how = format!("if it is meant, copy {} to tests/data/schema.txt", mended.display());
    assert!(missing.is_empty() && new.is_empty(), "gone: {missing:#?}, new: {new:#?}\n{how}");
    assert!(schema == golden, "the order of columns has changed; {how}");
}

/// `a_{b,c}_ms` as `a_b_ms` and `a_c_ms`; several braces multiply.
fn expanded(name: &str) -> Vec<String> {
    let Some((before, rest)) = name.split_once('{') else {
        return vec![name.to_owned()];
    };
    let (choices, after) = rest.split_once('}').unwrap();
    let ends = expanded(after);
    let names = choices
        .split(',')
        .flat_map(|choice| ends.iter().map(move |end| format!("{before}{choice}{end}")));
    names.collect()
}

/// The columns that docs/outputs.md tells of under the heading of a table, each with its unit:
/// those of its rows whose first cell is code. `<…>` stands for any name.
fn documented(table: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/outputs.md")).unwrap();
    let heading = format!("## `{table}`");
    let mut inside = false;
    let mut columns = Vec::new();
    for line in text.lines() {
        if line.starts_with("## ") {
            inside = line.starts_with(&heading);
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if !inside || cells.len() < 4 || !cells[1].starts_with('`') {
            continue;
        }
        let names = cells[1].split('`').skip(1).step_by(2).flat_map(expanded);
        columns.extend(names.map(|name| (name, cells[2].to_owned())));
    }
    columns
}

/// Whether a name is one that the documents mean: `slo_<objective>_ms` is any of that shape.
fn means(documented: &str, name: &str) -> bool {
    match documented.split_once('<') {
        None => documented == name,
        Some((before, rest)) => {
            let after = rest.split_once('>').unwrap().1;
            let middle = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            middle.is_some_and(|middle| !middle.is_empty())
        }
    }
}

#[test]
fn documents_tell_of_every_column_and_its_unit() {
    let mut tables: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for line in golden() {
        let mut parts = line.splitn(4, ' ').map(str::to_owned);
        let mut next = || parts.next().unwrap();
        let (table, column, _, unit) = (next(), next(), next(), next());
        tables.entry(table).or_default().push((column, unit));
    }
    assert_eq!(tables.len(), 9);
    for (table, columns) in tables {
        let documented = documented(&table);
        for (column, unit) in &columns {
            let own = documented.iter().find(|(name, _)| means(name, column));
            let Some((_, told)) = own else { panic!("{table}: `{column}` is not documented") };
            // Columns of one row may have units of their own.
            let told = if told.is_empty() { "-" } else { told };
            assert!(told == unit || told == "that of the metric", "{table}: {column} in {told}");
        }
        for (name, _) in documented {
            let there = columns.iter().any(|(column, _)| means(&name, column));
            assert!(there, "{table}: there is no `{name}`");
        }
    }
}

#[test]
fn a_sweep_that_asks_for_more_makes_what_is_missing() {
    let folder = folder("richer");
    manifest(&folder, 2, "");
    run(&folder, "out", &["run"]);
    let out = folder.join("out");
    let none = |name: &str| !out.join(name).exists();
    assert!(["histograms.parquet", "requests", "series"].into_iter().all(none));
    let plain = fs::read(out.join("cells.csv")).unwrap();
    manifest(&folder, 2, "[output]\nhistograms = true\n");
    assert!(run(&folder, "out", &["status"]).is_empty());
    let status = command(&folder, "out", &["status"]).stdout;
    let status = String::from_utf8_lossy(&status).into_owned();
    assert!(status.contains("0 of 8 runs are done"), "{status}");
    let merge = command(&folder, "out", &["merge"]);
    assert_eq!(merge.status.code(), Some(3), "histograms are missing");
    assert!(!run(&folder, "out", &["run"]).contains("were done before"));
    assert!(out.join("histograms.csv").exists() && !out.join("batches.parquet").exists());
    // One more detail: then all of it comes from two parts.
    manifest(&folder, 2, ALL);
    run(&folder, "out", &["run"]);
    assert!(run(&folder, "out", &["run"]).contains("8 of 8 runs were done before"));
    run(&folder, "fresh", &["run"]);
    let tables = ["runs", "cells", "cells_wide", "histograms", "batches"];
    for name in tables.iter().flat_map(|name| [format!("{name}.parquet"), format!("{name}.csv")]) {
        let [a, b] = ["out", "fresh"].map(|out| fs::read(folder.join(out).join(&name)).unwrap());
        assert!(a == b, "{name} depends on how it came about");
    }
    // Requests or series of a run that are gone are made again, and nothing else.
    for table in ["requests", "series"] {
        let files = run_files(&out, table);
        assert_eq!(files.len(), 8);
        fs::remove_file(files.values().next().unwrap()).unwrap();
        assert!(run(&folder, "out", &["run"]).contains("7 of 8 runs were done before"));
        for (name, path) in &files {
            let fresh = &run_files(&folder.join("fresh"), table)[name];
            assert!(fs::read(path).unwrap() == fs::read(fresh).unwrap(), "{name}");
        }
    }
    // Another interval is another series, and the first one stays.
    manifest(&folder, 2, &ALL.replace("0.5", "0.25"));
    assert!(!run(&folder, "out", &["run"]).contains("were done before"));
    assert!(run(&folder, "out", &["run"]).contains("8 of 8 runs were done before"));
    manifest(&folder, 2, ALL);
    assert!(run(&folder, "out", &["run"]).contains("8 of 8 runs were done before"));
    // What is no longer asked for is not left beside tables of other runs.
    manifest(&folder, 2, "");
    run(&folder, "out", &["run"]);
    assert!(!out.join("histograms.parquet").exists() && !out.join("batches.csv").exists());
    assert!(
        plain == fs::read(out.join("cells.csv")).unwrap(),
        "results are the same with and without"
    );
}

#[test]
fn a_sweep_that_is_killed_loses_nothing_that_is_asked_for() {
    let folder = folder("killed");
    manifest(&folder, 40, ALL);
    run(&folder, "whole", &["run"]);
    for kill in 1..=6 {
        let mut command = Command::new(PROGRAM);
        command.args(["tables.toml", "--out", "out"]).current_dir(&folder);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(50 * kill));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    run(&folder, "out", &["run"]);
    for name in ["runs", "cells_wide", "histograms", "batches"] {
        let file = format!("{name}.parquet");
        let [a, b] = ["out", "whole"].map(|out| fs::read(folder.join(out).join(&file)).unwrap());
        assert!(a == b, "{file} differs");
    }
    same_run_files(&folder.join("out"), &folder.join("whole"), 160);
}

/// Requests and series of so many runs are the same bytes in two folders.
#[track_caller]
fn same_run_files(one: &Path, two: &Path, runs: usize) {
    for table in ["requests", "series"] {
        let [one, two] = [one, two].map(|out| {
            let files = run_files(out, table).into_iter();
            files.filter(|(name, _)| !name.starts_with('.')).collect::<BTreeMap<_, _>>()
        });
        assert!(one.len() == runs && one.keys().eq(two.keys()), "{table}: {} files", one.len());
        for (name, path) in &one {
            assert!(fs::read(path).unwrap() == fs::read(&two[name]).unwrap(), "{table}: {name}");
        }
    }
}

#[test]
fn series_are_the_same_bytes_on_any_number_of_threads_and_in_shards() {
    let folder = folder("series-bytes");
    manifest(&folder, 3, ALL);
    run(&folder, "one", &["run", "--threads", "1"]);
    run(&folder, "two", &["run", "--threads", "2"]);
    for shard in ["0/3", "2/3", "1/3"] {
        run(&folder, "shards", &["run", "--shard", shard]);
    }
    run(&folder, "shards", &["merge"]);
    same_run_files(&folder.join("one"), &folder.join("two"), 12);
    same_run_files(&folder.join("one"), &folder.join("shards"), 12);
}

#[test]
fn ids_and_numbers_are_the_same_with_a_series_and_without() {
    let folder = folder("series-ids");
    manifest(&folder, 2, "");
    run(&folder, "without", &["run"]);
    manifest(&folder, 2, "[output]\nseries_interval_s = 0.5\n");
    run(&folder, "with", &["run"]);
    for name in ["runs.csv", "cells.csv", "cells_wide.csv"] {
        let [a, b] = ["with", "without"].map(|out| folder.join(out).join(name));
        assert!(fs::read(a).unwrap() == fs::read(b).unwrap(), "{name}");
    }
}

/// Numbers of a column, which has no nulls.
fn wholes(frame: &Frame, name: &str) -> Vec<i64> {
    frame.column(name).unwrap().i64().unwrap().iter().map(Option::unwrap).collect()
}

#[test]
fn a_series_says_what_the_requests_of_its_run_say() {
    let folder = folder("series-requests");
    manifest(&folder, 1, ALL);
    run(&folder, "out", &["run"]);
    let out = folder.join("out");
    let requests = run_files(&out, "requests");
    let (mut waited, mut outside) = (0, 0);
    for (name, path) in run_files(&out, "series") {
        let (own, requests) = (table(&path), table(&requests[&name]));
        assert!(texts(&own, "run_id").unwrap().iter().all(|id| name == format!("{id}.parquet")));
        let real = |frame: &Frame, name: &str| -> Vec<Option<f64>> {
            frame.column(name).unwrap().f64().unwrap().iter().collect()
        };
        let (arrivals, ends) = (real(&requests, "arrival_ms"), real(&requests, "e2e_ms"));
        let to = wholes(&requests, "backend");
        let at: Vec<f64> = real(&own, "time_s").into_iter().map(Option::unwrap).collect();
        let in_window = own.column("in_window").unwrap().bool().unwrap();
        let backends = wholes(&own, "backend");
        let [waiting, running, outstanding] = ["waiting", "running", "outstanding"]
            .map(|name| wholes(&own, &format!("{name}_count")));
        let (blocks, usage) = (wholes(&own, "kv_used_blocks"), real(&own, "kv_usage_ratio"));
        for row in 0..own.height() {
            let expected = 0.5 * (row / 2 + 1) as f64;
            assert_eq!(Some(at[row]), Some(expected), "two backends every 0.5 s");
            assert_eq!(backends[row], (row % 2) as i64);
            assert_eq!(in_window.get(row), Some((3.0..=15.0).contains(&at[row])));
            assert_eq!(outstanding[row], waiting[row] + running[row]);
            let there = |request: &usize| {
                let since = arrivals[*request].unwrap() / 1e3;
                let until = since + ends[*request].unwrap() / 1e3;
                to[*request] == backends[row] && since < at[row] && at[row] <= until
            };
            assert_eq!(
                (0..to.len()).filter(there).count() as i64,
                outstanding[row],
                "{name} {row}"
            );
            // 32,768 blocks unless a config says otherwise, of which one is kept aside.
            assert_eq!(usage[row], Some(blocks[row] as f64 / 32_767.0));
            assert!((blocks[row] > 0) == (running[row] > 0));
            waited += waiting[row];
            outside += i64::from(at[row] > 15.0);
        }
    }
    assert!(waited > 0 && outside > 0, "{waited} waiting, {outside} rows of the drain");
}

#[test]
fn long_tables_add_up_to_the_table_of_runs() {
    let folder = folder("sums");
    manifest(&folder, 3, ALL);
    run(&folder, "out", &["run", "--threads", "2"]);
    let out = folder.join("out");
    let runs = table(&out.join("runs.parquet"));
    let finished = RunsReader::new(&runs).all().unwrap().whole("measured_finished_count").unwrap();
    let ids = texts(&runs, "run_id").unwrap();
    for (name, latencies) in [("histograms", 5), ("batches", 4)] {
        let long = table(&out.join(format!("{name}.parquet")));
        let (own, metrics) = (texts(&long, "run_id").unwrap(), texts(&long, "metric").unwrap());
        let counts = long.column("count").unwrap().i64().unwrap();
        let mut sums: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for (row, key) in own.iter().copied().zip(metrics).enumerate() {
            *sums.entry(key).or_default() += counts.get(row).unwrap();
        }
        assert_eq!(sums.len(), ids.len() * latencies, "{name}");
        for (run_id, finished) in ids.iter().zip(&finished) {
            let finished = i64::try_from(finished.unwrap()).unwrap();
            assert_eq!(sums[&(*run_id, "ttft")], finished, "{name}");
        }
        // Runs stand in the order of the table of runs.
        let mut order = own;
        order.dedup();
        assert_eq!(order, ids);
    }
    let requests = RunsReader::new(&runs).all().unwrap().whole("requests_count").unwrap();
    for (run_id, requests) in ids.iter().zip(requests) {
        let own = table(&run_files(&out, "requests")[&format!("{run_id}.parquet")]);
        assert_eq!(Some(own.height() as u64), requests);
        assert!(texts(&own, "run_id").unwrap().iter().all(|own| own == run_id));
    }
}

#[test]
fn footers_say_where_a_table_comes_from_and_nothing_that_varies() {
    let folder = folder("footers");
    manifest(&folder, 1, "");
    run(&folder, "out", &["run"]);
    // The same sweep from elsewhere.
    let elsewhere = folder.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let from_there = Command::new(PROGRAM)
        .args(["../tables.toml", "--out", "out", "--threads", "1"])
        .current_dir(&elsewhere)
        .output()
        .unwrap();
    assert!(from_there.status.success());
    let path = folder.join("out/runs.parquet");
    let bytes = fs::read(&path).unwrap();
    assert!(bytes == fs::read(elsewhere.join("out/runs.parquet")).unwrap());
    let file = ParquetFile::open(&bytes).unwrap();
    let fact = |key: &str| file.metadata(&format!("routesim.{key}")).unwrap().to_owned();
    let text = fs::read_to_string(folder.join("tables.toml")).unwrap();
    assert_eq!(fact("manifest_toml"), text);
    assert_eq!(fact("manifest_sha256"), routesim::store::sha256_hex(text.as_bytes()));
    let inputs: Value = serde_json::from_str(&fact("inputs_json")).unwrap();
    let config = fs::read(folder.join("fleet.toml")).unwrap();
    let expected = serde_json::json!([{
        "kind": "config",
        "path": "fleet.toml",
        "sha256": routesim::store::sha256_hex(&config),
        "bytes": config.len(),
    }]);
    assert_eq!(inputs, expected);
    let methods: Value = serde_json::from_str(&fact("stat_methods_json")).unwrap();
    assert_eq!(methods["interval"]["method"], "t");
    assert_eq!(fact("engine"), routesim::sweep::engine_fingerprint());
    let provenance = fs::read_to_string(folder.join("out/provenance.json")).unwrap();
    let provenance: Value = serde_json::from_str(&provenance).unwrap();
    assert_eq!(provenance["inputs"], inputs);
    assert!(provenance["argv"].is_array() && provenance["host"].is_string());
}

#[test]
fn manifests_that_are_extended_and_files_of_axes_are_inputs() {
    let folder = folder("inputs");
    manifest(&folder, 1, "");
    fs::create_dir(folder.join("base")).unwrap();
    fs::rename(folder.join("tables.toml"), folder.join("base/tables.toml")).unwrap();
    fs::rename(folder.join("fleet.toml"), folder.join("base/fleet.toml")).unwrap();
    for name in ["a", "b"] {
        fs::write(folder.join(format!("{name}.txt")), name).unwrap();
    }
    let own = "extends = \"base/tables.toml\"\n[grid.axes]\nnote = { glob = \"*.txt\" }\n\
               [derive]\ncluster.max_batch_size = \"if(note == 'a.txt', 16, 32)\"\n";
    fs::write(folder.join("tables.toml"), own).unwrap();
    run(&folder, "out", &["run"]);
    let provenance = fs::read_to_string(folder.join("out/provenance.json")).unwrap();
    let provenance: Value = serde_json::from_str(&provenance).unwrap();
    let file = |kind: &str, path: &str| {
        let bytes = fs::read(folder.join(path)).unwrap();
        let sha256 = routesim::store::sha256_hex(&bytes);
        serde_json::json!({ "kind": kind, "path": path, "sha256": sha256, "bytes": bytes.len() })
    };
    let expected = [
        file("manifest", "base/tables.toml"),
        file("config", "base/fleet.toml"),
        file("axis", "a.txt"),
        file("axis", "b.txt"),
    ];
    assert_eq!(provenance["inputs"], Value::from(expected.to_vec()));
    let bytes = fs::read(folder.join("out/runs.parquet")).unwrap();
    let inputs = ParquetFile::open(&bytes).unwrap();
    let inputs = inputs.metadata("routesim.inputs_json").unwrap().to_owned();
    assert_eq!(serde_json::from_str::<Value>(&inputs).unwrap(), provenance["inputs"]);
}
