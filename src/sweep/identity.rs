//! The identity of cells and runs: what a result depends on, and nothing else.
//!
//! A cell's id is a hash over everything that can move its numbers, each as it is simulated: the
//! same wherever the cell stands, however it is written, whatever else the grid has. So a finished
//! run is found again by its id, from another process, another manifest or another day.

use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cluster::ClusterSpec;
use crate::metrics::SloSpec;
use crate::router::AlgorithmSpec;
use crate::store::{file_sha256, sha256_hex};
use crate::trace::{TraceError, sniff_file};
use crate::units::SimDuration;
use crate::workload::{GeneratorSpec, SourceTrace, Warmup};

use super::canonical::canonical;
use super::grid::{Grid, Requests};
use super::manifest::Source;

/// The version of the numbers. Whoever changes what a run of the same spec gives, or the names or
/// meaning of its columns, raises it by one and writes under "Results change" in `CHANGELOG.md`
/// what moved: finished runs of before are then not taken for those of today.
pub const ENGINE: u32 = 2;

/// Digits of an id: 64 bits, so that of a million ids two are the same once in 37 million grids.
const ID_DIGITS: usize = 16;

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
}

impl CellSpec<'_> {
    /// Returns the id: the first 64 bits, in hexadecimal, of the SHA-256 over the canonical JSON
    /// of the spec.
    pub fn id(&self) -> String {
        digits(&canonical(&self.document()))
    }

    fn document(&self) -> Value {
        let parameters = self.algorithm.parameters().iter();
        let parameters: Value = parameters.map(|(name, value)| (*name, *value)).collect();
        // Objectives hold together, in any order.
        let mut slo: Vec<(String, SimDuration)> =
            self.slo.terms.iter().map(|term| (term.to_string(), term.limit)).collect();
        slo.sort();
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
        let (manifest, origin) = (&grid.manifest, Origin::of(grid)?);
        let (algorithms, rates) = (&manifest.algorithms, &manifest.rates_rps);
        // In the order of `Grid::cells`: the last axis fastest.
        let id = |cell: usize| {
            let (config, rest) = (cell / (algorithms.len() * rates.len()), cell / rates.len());
            let rate_rps = rates[cell % rates.len()];
            let loaded = &manifest.configs[config];
            let spec = CellSpec {
                cluster: &loaded.config.cluster,
                algorithm: &algorithms[rest % algorithms.len()],
                rate_rps,
                warmup: grid.warmup(&loaded.config),
                workload: origin.workload(grid, rate_rps),
                slo: grid.slo(config),
            };
            spec.id()
        };
        Ok(Self { cell_ids: (0..grid.num_cells()).into_par_iter().map(id).collect() })
    }

    /// Returns the id of a cell by its place in the grid: 16 hexadecimal digits.
    pub fn cell_id(&self, cell: usize) -> &str {
        &self.cell_ids[cell]
    }

    /// Returns the id of a cell's run under a seed: 16 hexadecimal digits.
    pub fn run_id(&self, cell: usize, seed: u64) -> String {
        run_id(self.cell_id(cell), seed)
    }
}

/// Returns the id of a run: the first 64 bits of a SHA-256 over the cell's id and the seed.
fn run_id(cell_id: &str, seed: u64) -> String {
    digits(&format!("{cell_id}/{seed}"))
}

fn digits(text: &str) -> String {
    let mut digits = sha256_hex(text.as_bytes());
    digits.truncate(ID_DIGITS);
    digits
}

/// Where the requests of a grid come from, its file hashed.
enum Origin<'a> {
    Generator(&'a GeneratorSpec),
    Trace { source: &'a SourceTrace, sha256: String, format: &'static str },
}

impl<'a> Origin<'a> {
    fn of(grid: &'a Grid) -> Result<Self, TraceError> {
        let source = match grid.source() {
            Requests::Generator(generator) => return Ok(Self::Generator(generator)),
            Requests::Trace(source) => source,
        };
        let (path, format) = match &grid.manifest.workload.source {
            Source::Trace(spec) => (spec.path.as_deref(), spec.format),
            Source::Generator(_) => (None, None),
        };
        let path = path.unwrap_or(Path::new(""));
        let format = match format {
            Some(format) => format,
            None => sniff_file(path)?,
        };
        let sha256 = file_sha256(path)
            .map_err(|source| TraceError::Io { path: path.display().to_string(), source })?;
        Ok(Self::Trace { source, sha256, format: format.name() })
    }

    /// Returns how [`Grid::workload`] makes the requests of a rate.
    fn workload(&self, grid: &Grid, rate_rps: Option<f64>) -> WorkloadUse<'_> {
        let (spec, duration) = (&grid.manifest.workload, grid.duration());
        let (source, sha256, format) = match self {
            Self::Generator(generator) => return WorkloadUse::Generated { generator, duration },
            Self::Trace { source, sha256, format } => (source, sha256, *format),
        };
        let (block_tokens, tick) = (source.trace().block_tokens(), source.tick());
        let trace = TraceContent { sha256, format, block_tokens, tick };
        // Several seeds of a trace at its own rate are resamples of it.
        let own_rate = || source.rate_rps().filter(|_| grid.manifest.seeds.len() > 1);
        match rate_rps.or_else(own_rate) {
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
