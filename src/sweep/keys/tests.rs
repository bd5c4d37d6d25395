use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::*;
use crate::document::{Document, Table, asked_of};
use crate::gate::GateSpec;
use crate::scenario::ConfigError;
use crate::sweep::{Manifest, ManifestError, WorkloadSpec};

/// A folder with a config, where manifests are read.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let name = format!("routesim-keys-{test}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("c.toml"), "[cluster]\nnum_backends = 4\n").unwrap();
        Self(folder)
    }

    fn manifest(&self) -> PathBuf {
        self.0.join("m.toml")
    }

    fn read(&self, document: &Value) -> Result<Manifest, ManifestError> {
        fs::write(self.manifest(), toml::to_string(document).unwrap()).unwrap();
        Manifest::load(&self.manifest())
    }

    fn asked(&self, document: &Value) -> BTreeSet<String> {
        let label = self.manifest().display().to_string();
        asked_of(&label, || drop(self.read(document)))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A small manifest that may have any value at that path.
fn around(path: &str) -> Value {
    let mut document = json!({
        "schema": 1,
        "name": "n",
        "grid": { "configs": ["c.toml"], "algorithms": ["round_robin"], "rates": [1] },
        "workload": { "duration_s": 60, "generator": {} },
    });
    let of_trace = ["trace", "format", "block_size", "dequantize", "bootstrap_block_s"];
    if of_trace.iter().any(|key| path == format!("workload.{key}")) {
        document["workload"] = json!({ "trace": "t.jsonl" });
    }
    if path.starts_with("capacity.") {
        document["grid"]["seeds"] = json!(5);
        document["capacity"] = json!({});
    }
    // What only goes together is there whole.
    if path == "statistics.max_seeds" || path.starts_with("statistics.precision") {
        let precision = json!({ "metric": "ttft_mean_ms", "relative": 0.1 });
        document["statistics"] = json!({ "precision": precision });
        document["grid"]["seeds"] = json!(5);
    }
    match path {
        "slo.attainment_ratio" => document["slo"] = json!({ "ttft_ms": 1.0 }),
        "slo.ttft_ms" | "slo.tpot_ms" | "slo.e2e_ms" | "slo.queue_wait_ms" => {
            document["slo"] = json!({ "attainment_ratio": 0.5 });
        }
        _ => {}
    }
    document
}

/// Whether a key is the manifest's own: not one of configs that is set, nor of a grid of several,
/// which is as the one grid, nor of an algorithm of a cell, which was read in its list before.
fn is_own(path: &str) -> bool {
    let of_others = ["set.", "grids.", "algorithm."];
    path != "algorithm" && !of_others.iter().any(|start| path.starts_with(start))
}

/// The keys that are read, none of them a table nor another manifest.
fn leaves(keys: &Keys) -> Vec<(String, &Key)> {
    let own = |path: &str| is_own(path) && !["extends", "unset"].contains(&path);
    keys.leaves().into_iter().filter(|(path, _)| own(path)).collect()
}

#[test]
fn the_catalogue_has_the_keys_that_the_reader_asks_for() {
    let keys = manifest_keys();
    let tables = |registration: &Registration| json!({ "name": registration.name });
    let algorithms: Vec<Value> = REGISTRY.iter().map(tables).collect();
    let mut document = Keys::with(&around("workload.trace"), "grid.algorithms", json!(algorithms));
    let read = keys.entries().into_iter().filter(|(path, _)| is_own(path));
    for (path, _) in read.filter(|(_, key)| matches!(key.kind, KeyKind::Table(_))) {
        if path != "workload.generator" && document.pointer(&pointer(&path)).is_none() {
            document = Keys::with(&document, &path, json!({}));
        }
    }
    for objective in slo_keys().keys {
        document = Keys::with(&document, &format!("slo.{}", objective.name), json!(1));
    }
    let range = json!({ "start": 1, "stop": 2, "step": 1 });
    let folder = Folder::new("asked");
    let mut asked = folder.asked(&Keys::with(&document, "grid.rates", range));
    for space in ["linspace", "logspace"] {
        let rates = json!({ space: { "start": 1, "stop": 2, "num": 2 } });
        asked.extend(folder.asked(&Keys::with(&around(""), "grid.rates", rates)));
    }
    asked.extend(folder.asked(&around("")));
    asked.retain(|path| is_own(path));
    let known: BTreeSet<String> = keys.paths().into_iter().filter(|path| is_own(path)).collect();
    assert_eq!(known, asked);
}

#[test]
fn the_reader_takes_what_the_catalogue_does_and_nothing_else() {
    let folder = Folder::new("values");
    let keys = manifest_keys();
    for (path, key) in leaves(&keys) {
        let document = around(&path);
        let mut accepted = usize::from(document.pointer(&pointer(&path)).is_some());
        for value in key.kind.samples() {
            let read = folder.read(&Keys::with(&document, &path, value.clone()));
            accepted += usize::from(read.is_ok());
            // The trace refuses shorter blocks, not the reader.
            let late = path == "workload.bootstrap_block_s" && value.as_f64() > Some(0.9);
            if !key.kind.admits(&value) {
                assert!(read.is_err() || late, "{path} = {value} is read");
            } else if let Err(ManifestError::File(ConfigError::Faults(faults))) = read {
                // Keys that don't go together are faults too, but other ones.
                let own = [format!("`{path}` is "), "unknown ".to_owned()];
                for fault in &faults.faults {
                    let refused = own.iter().any(|start| fault.message.starts_with(start));
                    assert!(!refused, "{path} = {value}: {}", fault.message);
                }
            }
        }
        assert!(accepted > 0, "{path}");
    }
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

/// All that the keys with defaults decide.
fn facts(manifest: &Manifest) -> (Vec<u64>, Vec<usize>, Option<WorkloadSpec>, String, GateSpec) {
    let workload = Document::of("workload", manifest.workload.clone());
    let read = |root: &mut Table<'_>| root.section("workload", WorkloadSpec::read).flatten();
    let max_cells = manifest.grids.iter().map(|grid| grid.max_cells).collect();
    let capacity = manifest.capacity.as_ref();
    let capacity = capacity.map(|own| (&own.over, own.relative_width, own.max_seeds));
    let statistics = format!("{capacity:?} {:?}", manifest.statistics.interval);
    (
        manifest.seeds.clone(),
        max_cells,
        workload.settle(read).ok(),
        statistics,
        manifest.gate.clone(),
    )
}

#[test]
fn defaults_are_those_of_the_reader() {
    let folder = Folder::new("defaults");
    let keys = manifest_keys();
    let mut checked = 0;
    for (path, key) in leaves(&keys) {
        if let Some(default) = &key.default {
            let document = around(&path);
            let with = folder.read(&Keys::with(&document, &path, default.clone())).unwrap();
            assert_eq!(facts(&folder.read(&document).unwrap()), facts(&with), "{path}");
            assert!(key.kind.admits(default), "{path}");
            checked += 1;
        }
    }
    assert!(checked > 8, "{checked}");
}

#[test]
fn every_key_says_what_it_means() {
    for (path, key) in manifest_keys().entries() {
        assert!(key.about.ends_with('.') && key.about.len() < 120, "{path}: {}", key.about);
    }
}

#[test]
fn every_kind_that_is_named_is_defined() {
    let schema = manifest_schema();
    let text = schema.to_string();
    let named: Vec<&str> = text.split("#/definitions/").skip(1).collect();
    assert!(named.len() > 5, "{}", named.len());
    for rest in named {
        let name = rest.split('"').next().unwrap();
        assert!(schema["definitions"].get(name).is_some(), "{name}");
    }
}
