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

const ALL: &str = "[output]\nhistograms = true\nbatch_means = true\nrequests = true\n";

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

/// The files of requests, by name.
fn request_files(out: &Path) -> BTreeMap<String, PathBuf> {
    let mut files = BTreeMap::new();
    let mut folders = vec![out.join("requests")];
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
    let tables = ["runs", "cells", "cells_wide", "histograms", "batches"];
    let mut paths: Vec<(&str, PathBuf)> =
        tables.iter().map(|name| (*name, out.join(format!("{name}.parquet")))).collect();
    paths.push(("requests", request_files(out).into_values().next().unwrap()));
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
    manifest(&folder, 2, ALL);
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
    assert_eq!(tables.len(), 6);
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
    assert!(!out.join("histograms.parquet").exists() && !out.join("requests").exists());
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
    // Requests of a run that are gone are made again, and nothing else.
    let files = request_files(&out);
    assert_eq!(files.len(), 8);
    let (name, path) = files.iter().next().unwrap();
    fs::remove_file(path).unwrap();
    assert!(run(&folder, "out", &["run"]).contains("7 of 8 runs were done before"));
    for (name, path) in &files {
        let fresh = &request_files(&folder.join("fresh"))[name];
        assert!(fs::read(path).unwrap() == fs::read(fresh).unwrap(), "{name}");
    }
    assert!(files.contains_key(name));
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
    let [mended, whole] = ["out", "whole"].map(|out| request_files(&folder.join(out)));
    let names = |files: &BTreeMap<String, PathBuf>| -> Vec<String> {
        files.keys().filter(|name| !name.starts_with('.')).cloned().collect()
    };
    assert_eq!(names(&mended), names(&whole));
    for (name, path) in &whole {
        assert!(fs::read(path).unwrap() == fs::read(&mended[name]).unwrap(), "{name} differs");
    }
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
        let own = table(&request_files(&out)[&format!("{run_id}.parquet")]);
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
