//! What is written beside the tables of a sweep: where they come from.

use std::time::{Instant, SystemTime};

use serde_json::json;

use crate::metrics::METRICS;
use crate::report::SIGNALS;
use crate::sweep::{Grid, engine_fingerprint};
use crate::tables::{Metadata, SCHEMA_VERSION};

/// What stands in the Parquet files beside the rows: the same for equal sweeps.
pub(super) fn metadata(grid: &Grid) -> Metadata {
    let units: serde_json::Map<String, serde_json::Value> =
        METRICS.iter().map(|metric| (metric.name.to_owned(), metric.unit.into())).collect();
    Metadata(vec![
        ("routesim.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("routesim.manifest_toml".to_owned(), grid.manifest.text.clone()),
        ("routesim.units_json".to_owned(), serde_json::Value::from(units).to_string()),
    ])
}

/// What differs from one execution to the next, and the inputs as they were.
pub(super) fn provenance(
    grid: &Grid,
    clock: &Clock,
    threads: usize,
    failed: usize,
) -> serde_json::Value {
    let configs: Vec<_> = grid
        .manifest
        .configs
        .iter()
        .map(|loaded| {
            let path = loaded.path.display().to_string();
            json!({ "name": loaded.name, "path": path, "toml": loaded.config.text })
        })
        .collect();
    json!({
        "schema": "routesim.provenance/1",
        "tables_schema_version": SCHEMA_VERSION,
        "routesim_version": env!("CARGO_PKG_VERSION"),
        "engine": engine_fingerprint(),
        "started_unix_s": clock.started_unix_s(),
        "wall_s": clock.seconds(),
        "threads": threads,
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "argv": std::env::args().collect::<Vec<_>>(),
        "cells": grid.num_cells(),
        "runs": grid.num_runs(),
        "failed_runs": failed,
        "requests": grid.describe_source(),
        "notes": grid.notes,
        "signals": SIGNALS,
        "configs": configs,
    })
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
