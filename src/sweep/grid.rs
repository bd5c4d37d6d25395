//! The product of a manifest's axes, with its requests at hand.

use std::path::Path;
use std::sync::Arc;

use crate::metrics::SloSpec;
use crate::scenario::{Config, TraceSpec};
use crate::tables::{CellKey, Frame, RunIndex, TableError, axes_frame};
use crate::trace::{Chain, ONE_LEVEL, ReadOptions, TraceError, read_trace, read_trace_sniffed};
use crate::units::SimDuration;
use crate::workload::{GeneratorSpec, SourceTrace, Warmup, Workload, WorkloadError};

use super::manifest::{Manifest, Source};

/// A grid whose inputs are loaded and fit together.
#[derive(Debug)]
pub struct Grid {
    /// The manifest it was made from.
    pub manifest: Manifest,
    source: Requests,
    /// What reading the trace had to say.
    pub notes: Vec<String>,
}

/// Where the requests of all runs come from.
#[derive(Debug)]
pub(super) enum Requests {
    Trace(SourceTrace),
    Generator(GeneratorSpec),
}

/// A run of the grid: indices into its axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunSpec {
    pub(super) config: usize,
    pub(super) algorithm: usize,
    pub(super) rate: usize,
    pub(super) seed: usize,
}

/// Inputs that don't fit together.
#[derive(Debug, thiserror::Error)]
pub enum GridError {
    /// The trace can't be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The requests of a run can't be made.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// A config's engine blocks can't be cut from the trace's.
    #[error(
        "{config}: kv_block_size = {kv_block_size} and the trace's blocks of {trace_block} tokens do not divide one another"
    )]
    BlocksDontFit {
        /// The config.
        config: String,
        /// Its engine blocks, in tokens.
        kv_block_size: u32,
        /// The trace's blocks, in tokens.
        trace_block: u32,
    },
}

impl Grid {
    /// Loads the requests and checks that every config can run them.
    ///
    /// # Errors
    ///
    /// When the trace can't be read, the requests can't be made, or a config does not fit them.
    pub fn load(manifest: Manifest) -> Result<Self, GridError> {
        let mut notes = Vec::new();
        let source = match &manifest.workload.source {
            Source::Generator(generator) => Requests::Generator(generator.clone()),
            Source::Trace(spec) => {
                Requests::Trace(load_trace(spec, manifest.workload.bootstrap_block, &mut notes)?)
            }
        };
        let mut grid = Self { manifest, source, notes };
        grid.check_blocks()?;
        grid.notes.extend(grid.workload_notes());
        Ok(grid)
    }

    /// What the first run's requests have to say; the others differ in their draws alone. Requests
    /// that can't be made are an error of their runs, not of the grid.
    fn workload_notes(&self) -> Vec<String> {
        let (manifest, mut notes) = (&self.manifest, Vec::new());
        let (Some(rate), Some(seed)) = (manifest.rates_rps.first(), manifest.seeds.first()) else {
            return notes;
        };
        let warmup = manifest.configs.first().map(|loaded| self.warmup(&loaded.config));
        if let Some(Ok(workload)) = warmup.map(|warmup| self.workload(*rate, *seed, warmup)) {
            notes.extend(workload.info.notes);
        }
        notes
    }

    fn check_blocks(&self) -> Result<(), GridError> {
        let trace_block = match &self.source {
            Requests::Trace(source) => source.trace().block_tokens(),
            Requests::Generator(_) => ONE_LEVEL,
        };
        for loaded in &self.manifest.configs {
            let kv_block_size = loaded.config.cluster.kv_block_size;
            if !Chain::blocks_fit(trace_block, kv_block_size) {
                let config = loaded.path.display().to_string();
                return Err(GridError::BlocksDontFit { config, kv_block_size, trace_block });
            }
        }
        Ok(())
    }

    /// Returns the number of cells: configs × algorithms × rates.
    pub fn num_cells(&self) -> usize {
        let Manifest { configs, algorithms, rates_rps, .. } = &self.manifest;
        configs.len() * algorithms.len() * rates_rps.len()
    }

    /// Returns the number of runs: cells × seeds.
    pub fn num_runs(&self) -> usize {
        self.num_cells() * self.manifest.seeds.len()
    }

    /// Returns the mean number of requests of a run at a rate, for estimates.
    pub fn requests_at(&self, rate_rps: Option<f64>) -> f64 {
        let own = match &self.source {
            Requests::Trace(source) => source.rate_rps(),
            Requests::Generator(_) => None,
        };
        rate_rps.or(own).unwrap_or(0.0) * self.duration().as_secs()
    }

    /// Returns every cell, the last axis (rates) fastest.
    pub fn cells(&self) -> Vec<CellKey> {
        (0..self.num_cells()).map(|cell| self.cell(cell)).collect()
    }

    /// Returns one of them.
    pub(super) fn cell(&self, cell: usize) -> CellKey {
        let spec = self.spec(RunIndex { cell, seed: 0 });
        CellKey {
            config: self.manifest.configs[spec.config].name.clone(),
            algorithm: self.manifest.algorithms[spec.algorithm].clone(),
            rate_rps: self.manifest.rates_rps[spec.rate],
        }
    }

    /// Returns every run in the order of the table: cell by cell, seeds fastest.
    pub fn runs(&self) -> impl Iterator<Item = RunIndex> + use<> {
        let num_seeds = self.manifest.seeds.len();
        (0..self.num_cells())
            .flat_map(move |cell| (0..num_seeds).map(move |seed| RunIndex { cell, seed }))
    }

    /// Returns the columns that say which runs these are, a row for each; see [`axes_frame`].
    ///
    /// # Errors
    ///
    /// When polars refuses, which would be our fault.
    pub fn axes(&self, runs: &[RunIndex]) -> Result<Frame, TableError> {
        axes_frame(&self.cells(), &self.manifest.seeds, runs)
    }

    /// Returns where a run stands on each axis.
    pub(super) fn spec(&self, run: RunIndex) -> RunSpec {
        let Manifest { algorithms, rates_rps, .. } = &self.manifest;
        let (line, rate) = (run.cell / rates_rps.len(), run.cell % rates_rps.len());
        let (config, algorithm) = (line / algorithms.len(), line % algorithms.len());
        RunSpec { config, algorithm, rate, seed: run.seed }
    }

    /// Returns what requests are made from.
    pub(super) fn source(&self) -> &Requests {
        &self.source
    }

    /// Returns the objectives that hold for a config.
    pub fn slo(&self, config: usize) -> &SloSpec {
        self.manifest.slo.as_ref().unwrap_or(&self.manifest.configs[config].config.slo)
    }

    /// Returns the columns of every objective in force, in the order of the manifest, then of the
    /// configs.
    pub fn slo_columns(&self) -> Vec<String> {
        let mut columns: Vec<String> = Vec::new();
        for config in 0..self.manifest.configs.len() {
            for column in self.slo(config).terms.iter().map(crate::metrics::SloTerm::column) {
                if !columns.contains(&column) {
                    columns.push(column);
                }
            }
        }
        columns
    }

    /// Returns the warm-up that holds for a config.
    pub(super) fn warmup(&self, config: &Config) -> Warmup {
        self.manifest.workload.warmup.unwrap_or(config.warmup)
    }

    /// Returns how long requests arrive.
    pub fn duration(&self) -> SimDuration {
        let own = match &self.source {
            Requests::Trace(source) => source.length(),
            Requests::Generator(_) => None,
        };
        self.manifest.workload.duration.or(own).unwrap_or(SimDuration::ZERO)
    }

    /// Makes the requests of a rate and a seed: the same for every algorithm and config.
    ///
    /// # Errors
    ///
    /// When there would be none, or too many.
    pub fn workload(
        &self,
        rate_rps: Option<f64>,
        seed: u64,
        warmup: Warmup,
    ) -> Result<Workload, WorkloadError> {
        let duration = self.duration();
        match &self.source {
            Requests::Generator(generator) => {
                let rate = rate_rps.unwrap_or(0.0);
                generator.workload(rate, seed, duration, warmup)
            }
            Requests::Trace(source) => {
                // Several seeds of a trace at its own rate are resamples of it.
                let several = self.manifest.seeds.len() > 1;
                let rate = rate_rps.or_else(|| source.rate_rps().filter(|_| several));
                match rate {
                    Some(_) => source.workload(rate, seed, duration, warmup),
                    None => source.replay(seed, self.manifest.workload.duration, warmup),
                }
            }
        }
    }

    /// Makes the requests of the lowest and the highest rate under the first seed, for every
    /// warm-up: what fails there would fail in every run of that rate and seed.
    ///
    /// # Errors
    ///
    /// When there would be none, or too many.
    pub fn check_ends(&self) -> Result<(), WorkloadError> {
        let rate = |rate: &Option<f64>| rate.unwrap_or(0.0);
        let rates = self.manifest.rates_rps.iter();
        let ends = [
            rates.clone().min_by(|a, b| rate(a).total_cmp(&rate(b))),
            rates.max_by(|a, b| rate(a).total_cmp(&rate(b))),
        ];
        for rate in ends.into_iter().flatten() {
            for warmup in self.warmups() {
                let seed = self.manifest.seeds[0];
                self.workload(*rate, seed, warmup).map_err(|error| WorkloadError {
                    message: match rate {
                        Some(rate) => format!("at {rate} req/s, seed {seed}: {error}"),
                        None => error.message,
                    },
                    hint: error.hint,
                })?;
            }
        }
        Ok(())
    }

    /// Returns the warm-ups that configs have, each once.
    pub(super) fn warmups(&self) -> Vec<Warmup> {
        let mut warmups = Vec::new();
        for loaded in &self.manifest.configs {
            let warmup = self.warmup(&loaded.config);
            if !warmups.contains(&warmup) {
                warmups.push(warmup);
            }
        }
        warmups
    }

    /// Returns one line that says where the requests come from.
    pub fn describe_source(&self) -> String {
        match &self.source {
            Requests::Generator(_) => "generated, Poisson arrivals".to_owned(),
            Requests::Trace(source) => {
                let trace = source.trace();
                let rate = source.rate_rps().unwrap_or(0.0);
                format!(
                    "{} requests in {} sessions over {:.0} s ({rate:.2} req/s)",
                    trace.len(),
                    source.num_sessions(),
                    trace.span_s(),
                )
            }
        }
    }
}

fn load_trace(
    spec: &TraceSpec,
    block: SimDuration,
    notes: &mut Vec<String>,
) -> Result<SourceTrace, GridError> {
    let path = spec.path.as_deref().unwrap_or(Path::new(""));
    let block_size = spec.block_size;
    let (trace, report) = match spec.format {
        Some(format) => read_trace(path, &ReadOptions { format, block_size })?,
        None => read_trace_sniffed(path, block_size)?,
    };
    for (reason, count) in &report.dropped {
        notes.push(format!("{count} of {} rows left out, {reason}", report.read));
    }
    notes.extend(report.notes);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let source = SourceTrace::new(Arc::new(trace)).named(name);
    let source = source.dequantize(spec.dequantize)?.block(block)?;
    Ok(source)
}
