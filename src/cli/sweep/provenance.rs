//! What is written into and beside the tables of a sweep: where they come from.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Instant, SystemTime};

use serde_json::{Map, Value, json};

use super::job::Job;
use crate::metrics::{METRICS, MOST_BATCHES, MOST_EXACT};
use crate::report::SIGNALS;
use crate::stats::{FEWEST_FOR_BCA, FEWEST_FOR_INTERVAL, IntervalSpec};
use crate::store::{file_sha256, sha256_hex};
use crate::sweep::{Grid, Identity, engine_fingerprint};
use crate::tables::{Metadata, SCHEMA_VERSION};

/// The files that results are made from: path from the manifest, hash and length of each.
pub(super) struct Inputs(Value);

impl Inputs {
    /// Lists the manifests that are extended, the configs and traces of a grid, and other files that
    /// its axes name.
    pub(super) fn of(grid: &Grid, identity: &Identity, manifest: &Path) -> Self {
        let folder = manifest.parent().unwrap_or(Path::new(""));
        // From elsewhere, the same manifest has the same inputs.
        let from_manifest =
            |path: &Path| path.strip_prefix(folder).unwrap_or(path).display().to_string();
        let mut inputs = Vec::new();
        for base in &grid.manifest.bases {
            inputs.push(json!({
                "kind": "manifest",
                "path": from_manifest(&base.path),
                "sha256": sha256_hex(base.text.as_bytes()),
                "bytes": base.text.len(),
            }));
        }
        for config in &grid.manifest.configs {
            let text = config.document.text().as_bytes();
            inputs.push(json!({
                "kind": "config",
                "path": from_manifest(&config.path),
                "sha256": sha256_hex(text),
                "bytes": text.len(),
            }));
        }
        for (path, sha256) in identity.traces(grid) {
            inputs.push(json!({
                "kind": "trace",
                "path": from_manifest(path),
                "sha256": sha256,
                "bytes": std::fs::metadata(path).ok().map(|file| file.len()),
            }));
        }
        let known: BTreeSet<String> =
            inputs.iter().filter_map(|input| input["path"].as_str().map(str::to_owned)).collect();
        let others = grid.manifest.files_of_axes().into_iter();
        let others: Vec<&Path> =
            others.filter(|path| !known.contains(&from_manifest(path))).collect();
        for path in others {
            inputs.push(json!({
                "kind": "axis",
                "path": from_manifest(path),
                "sha256": file_sha256(path).ok(),
                "bytes": std::fs::metadata(path).ok().map(|file| file.len()),
            }));
        }
        Self(inputs.into())
    }
}

/// What stands in the Parquet files beside the rows: the same for equal sweeps.
pub(super) fn metadata(grid: &Grid, inputs: &Inputs) -> Metadata {
    let units: Map<String, Value> =
        METRICS.iter().map(|metric| (metric.name.to_owned(), metric.unit.into())).collect();
    let text = &grid.manifest.text;
    let facts = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("engine", engine_fingerprint()),
        ("manifest_toml", text.clone()),
        ("manifest_sha256", sha256_hex(text.as_bytes())),
        ("inputs_json", inputs.0.to_string()),
        ("units_json", Value::from(units).to_string()),
        ("stat_methods_json", methods(grid.manifest.statistics.interval).to_string()),
    ];
    Metadata(facts.map(|(key, value)| (format!("routesim.{key}"), value)).to_vec())
}

/// How the numbers of the tables are found.
fn methods(interval: IntervalSpec) -> Value {
    json!({
        "over_seeds": "arithmetic mean over the seeds that have a value; n - 1 in the deviation",
        "interval": {
            "method": interval.method.name(),
            "level": interval.confidence,
            "of": "the mean over seeds",
            "null": format!(
                "fewer than {FEWEST_FOR_INTERVAL} seeds with a value, or all of them equal"
            ),
            "else": format!(
                "t where `ci_method` says so: log takes values above 0 in ms, bca {FEWEST_FOR_BCA} \
                 seeds"
            ),
        },
        "quantiles_of_a_run": format!(
            "type 7 over measured requests that finished; by nearest rank in a histogram, within \
             0.05 %, of more than {MOST_EXACT} measured requests; objectives count requests that \
             did not finish as infinite"
        ),
        "tbt_quantiles": "nearest rank in a histogram, within 0.4 %",
        "histograms": "128 bins for each power of two: the middle is within 0.4 % of its values",
        "batches": format!(
            "measured requests in the order of arrival, cut into {MOST_BATCHES} batches of equal \
             length, or as many as requests"
        ),
    })
}

/// What differs from one execution to the next, and the inputs as they were.
pub(super) fn provenance(
    job: &Job,
    clock: &Clock,
    threads: usize,
    (failed, missing): (usize, usize),
) -> Value {
    let grid = &job.grid;
    let configs = grid.manifest.configs.iter().map(|config| {
        let path = config.path.display().to_string();
        json!({ "name": config.name, "path": path, "toml": config.document.text() })
    });
    json!({
        "schema": "routesim.provenance/1",
        "sweep": grid.manifest.name,
        "tables_schema_version": SCHEMA_VERSION,
        "routesim_version": env!("CARGO_PKG_VERSION"),
        "engine": engine_fingerprint(),
        "started_unix_s": clock.started_unix_s(),
        "wall_s": clock.seconds(),
        "threads": threads,
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "host": host(),
        "argv": std::env::args().collect::<Vec<_>>(),
        "cells": grid.num_cells(),
        "runs": job.plan.len(),
        "failed_runs": failed,
        "missing_runs": missing,
        "requests": grid.describe_sources(),
        "notes": grid.notes,
        "signals": SIGNALS,
        "gate": grid.manifest.gate.json(),
        "inputs": job.inputs.0,
        "configs": configs.collect::<Vec<_>>(),
    })
}

/// The name of this machine, where the system tells it in a file.
pub(super) fn host() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned())
}

/// When a sweep began.
pub(super) struct Clock {
    wall: SystemTime,
    instant: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the programs are where the clock is read")]
    pub(super) fn start() -> Self {
        Self { wall: SystemTime::now(), instant: Instant::now() }
    }

    pub(super) fn seconds(&self) -> f64 {
        self.instant.elapsed().as_secs_f64()
    }

    fn started_unix_s(&self) -> Option<u64> {
        let since = self.wall.duration_since(SystemTime::UNIX_EPOCH);
        since.ok().map(|since| since.as_secs())
    }
}
