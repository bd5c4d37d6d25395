//! The identity of cells and runs: what a result depends on, and nothing else.
//!
//! A cell's id is a hash over everything that can move its numbers, each as it is simulated: the
//! same wherever the cell stands, however it is written, whatever else the grid has. So a finished
//! run is found again by its id, from another process, another manifest or another day.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cluster::ClusterSpec;
use crate::metrics::SloSpec;
use crate::router::AlgorithmSpec;
use crate::store::{RunId, file_sha256, short_sha256};
use crate::trace::{TraceError, sniff_file};
use crate::units::SimDuration;
use crate::workload::{GeneratorSpec, Warmup};

use super::canonical::canonical;
use super::grid::{Cell, Demand, Grid};
use super::loaded::Requests;
use super::manifest::Source;

/// The version of the numbers. Whoever changes what a run of the same spec gives, or the names or
/// meaning of its columns, raises it by one and writes under "Results change" in `CHANGELOG.md`
/// what moved: finished runs of before are then not taken for those of today.
pub const ENGINE: u32 = 3;

/// Returns what made the numbers of a run, as `0.1.0-engine.1`: finished runs of another one don't
/// count.
pub fn engine_fingerprint() -> String {
    format!("{}-engine.{ENGINE}", env!("CARGO_PKG_VERSION"))
}

/// All that a cell's numbers depend on, resolved.
#[derive(Clone, Copy, Debug)]
pub struct CellSpec<'a> {
    /// The fleet.
    pub cluster: &'a ClusterSpec,
    /// The routing.
    pub algorithm: &'a AlgorithmSpec,
    /// The rate that is asked for, in requests/s; none to replay a trace at its own.
    pub rate_rps: Option<f64>,
    /// The warm-up that holds for the cell.
    pub warmup: Warmup,
    /// How its requests are made.
    pub workload: WorkloadUse<'a>,
    /// The objectives that hold for the cell.
    pub slo: &'a SloSpec,
}

/// How the requests of a cell are made from a seed.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadUse<'a> {
    /// Drawn from distributions.
    Generated {
        /// The distributions.
        generator: &'a GeneratorSpec,
        /// How long requests arrive.
        duration: SimDuration,
    },
    /// A trace, resampled to the rate, or to its own.
    Resampled {
        /// The trace.
        trace: TraceContent<'a>,
        /// How long requests arrive.
        duration: SimDuration,
        /// Length of the blocks of the bootstrap, no longer than the trace.
        block: SimDuration,
    },
    /// A trace as it is.
    Replayed {
        /// The trace.
        trace: TraceContent<'a>,
        /// How much of it; none for all.
        duration: Option<SimDuration>,
    },
}

/// A trace by what is in it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TraceContent<'a> {
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: &'a str,
    /// The format that it is read in, by name.
    pub format: &'static str,
    /// Tokens that one of its block ids stands for.
    pub block_tokens: u32,
    /// The tick that its arrivals are spread over, if they are.
    pub tick: Option<SimDuration>,
}

/// The ids of a grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    cell_ids: Vec<String>,
    origins: Origins,
}

impl CellSpec<'_> {
    /// Returns the id: the first 64 bits, in hexadecimal, of the SHA-256 over the canonical JSON
    /// of the spec.
    pub fn id(&self) -> String {
        short_sha256(&canonical(&self.document()))
    }

    fn document(&self) -> Value {
        let parameters = self.algorithm.parameters().iter();
        let parameters: Value = parameters.map(|(name, value)| (*name, *value)).collect();
        // Objectives hold together, in any order.
        let mut limits: Vec<(String, SimDuration)> =
            self.slo.terms.iter().map(|term| (term.to_string(), term.limit)).collect();
        let attainment = self.slo.attainment.as_ref();
        let of_requests = attainment.iter().flat_map(|own| &own.limits);
        limits.extend(of_requests.map(|own| (own.to_string(), own.limit)));
        limits.sort();
        let mut slo: Vec<Value> = limits.iter().map(|limit| json!(limit)).collect();
        slo.extend(attainment.map(|own| json!(["attainment_ratio", own.least_ratio])));
        let warmup = match self.warmup {
            Warmup::Time(SimDuration::ZERO) => Warmup::NONE,
            warmup => warmup,
        };
        let mut document = json!({
            "algorithm": { "name": self.algorithm.name(), "parameters": parameters },
            "cluster": self.cluster,
            "rate_rps": self.rate_rps,
            "slo": slo,
            "warmup": warmup,
            "workload": self.workload,
        });
        if let Some(Value::Object(linear)) = document.pointer_mut("/cluster/step/linear") {
            linear.retain(|_, coefficient| coefficient.as_f64() != Some(0.0));
        }
        drop_nulls(&mut document);
        document
    }
}

/// Leaves out what is not there, so that a key that a later version adds changes no id where it is
/// not used.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Identity {
    /// Works out the ids of all cells; a trace's file is read once for it.
    ///
    /// # Errors
    ///
    /// When the trace can't be read any more.
    pub fn of(grid: &Grid) -> Result<Self, TraceError> {
        let origins = Origins::of(grid)?;
        let ids = grid.cells().par_iter().map(|cell| origins.spec(grid, cell).id());
        let cell_ids = ids.collect();
        Ok(Self { cell_ids, origins })
    }

    /// Returns what a cell depends on, as canonical JSON: its id is the hash of this.
    pub fn spec(&self, grid: &Grid, cell: usize) -> String {
        canonical(&self.origins.spec(grid, &grid.cells()[cell]).document())
    }

    /// Returns the traces of a grid, each once, with the SHA-256 of their files.
    pub fn traces<'a>(&'a self, grid: &'a Grid) -> Vec<(&'a Path, &'a str)> {
        let (mut traces, mut seen) = (Vec::new(), BTreeSet::new());
        for (workload, file) in grid.workloads().iter().zip(&self.origins.0) {
            if let (Source::Trace(spec), Some(file)) = (&workload.spec.source, file) {
                let path = spec.path.as_deref().unwrap_or(Path::new(""));
                if seen.insert(path) {
                    traces.push((path, file.sha256.as_str()));
                }
            }
        }
        traces
    }

    /// Returns the id of a cell by its place in the grid: 16 hexadecimal digits.
    pub fn cell_id(&self, cell: usize) -> &str {
        &self.cell_ids[cell]
    }

    /// Returns the id of a cell's run under a seed.
    pub fn run_id(&self, cell: usize, seed: u64) -> RunId {
        run_id(self.cell_id(cell), seed)
    }
}

/// Returns the id of a run: the first 64 bits of a SHA-256 over the cell's id and the seed.
pub fn run_id(cell_id: &str, seed: u64) -> RunId {
    RunId::of(&format!("{cell_id}/{seed}"))
}

/// Where the requests of a grid come from, by workload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origins(Vec<Option<TraceFile>>);

/// A trace's file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TraceFile {
    sha256: String,
    format: &'static str,
}

impl Origins {
    fn of(grid: &Grid) -> Result<Self, TraceError> {
        let mut hashed: BTreeMap<&Path, String> = BTreeMap::new();
        let mut origins = Vec::new();
        for workload in grid.workloads() {
            let Source::Trace(spec) = &workload.spec.source else {
                origins.push(None);
                continue;
            };
            let path = spec.path.as_deref().unwrap_or(Path::new(""));
            let format = match spec.format {
                Some(format) => format,
                None => sniff_file(path)?,
            };
            if !hashed.contains_key(path) {
                let io = |source| TraceError::Io { path: path.display().to_string(), source };
                hashed.insert(path, file_sha256(path).map_err(io)?);
            }
            let sha256 = hashed[path].clone();
            origins.push(Some(TraceFile { sha256, format: format.name() }));
        }
        Ok(Self(origins))
    }

    fn spec<'a>(&'a self, grid: &'a Grid, cell: &'a Cell) -> CellSpec<'a> {
        let demand = &grid.demands()[cell.demand];
        CellSpec {
            cluster: &cell.setting.cluster,
            algorithm: &cell.key.algorithm,
            rate_rps: demand.rate_rps,
            warmup: demand.warmup,
            workload: self.workload(grid, demand),
            slo: &cell.setting.slo,
        }
    }

    /// Returns how [`Grid::workload`] makes the requests of a demand.
    fn workload<'a>(&'a self, grid: &'a Grid, demand: &Demand) -> WorkloadUse<'a> {
        let loaded = &grid.workloads()[demand.workload];
        let (spec, duration) = (&loaded.spec, loaded.duration());
        let source = match &loaded.source {
            Requests::Generator(generator) => {
                return WorkloadUse::Generated { generator, duration };
            }
            Requests::Trace(source) => source,
        };
        let file = self.0[demand.workload].as_ref().expect("a trace was read from a file");
        let (block_tokens, tick) = (source.trace().block_tokens(), source.tick());
        let (sha256, format) = (file.sha256.as_str(), file.format);
        let trace = TraceContent { sha256, format, block_tokens, tick };
        // Several seeds of a trace at its own rate are resamples of it.
        let own_rate = || source.rate_rps().filter(|_| grid.manifest.seeds.len() > 1);
        match demand.rate_rps.or_else(own_rate) {
            None => WorkloadUse::Replayed { trace, duration: spec.duration },
            Some(_) => {
                let length = source.length().unwrap_or(spec.bootstrap_block);
                WorkloadUse::Resampled { trace, duration, block: spec.bootstrap_block.min(length) }
            }
        }
    }
}

#[cfg(test)]
mod tests;
