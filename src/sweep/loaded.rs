//! Workloads with what their requests are made from, loaded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::scenario::TraceSpec;
use crate::trace::{ReadOptions, Trace, read_trace, read_trace_sniffed};
use crate::units::SimDuration;
use crate::workload::{GeneratorSpec, SourceTrace};

use super::grid::GridError;
use super::manifest::{Source, WorkloadSpec};

/// A workload and what its requests are made from.
#[derive(Debug)]
pub(super) struct LoadedWorkload {
    pub(super) spec: WorkloadSpec,
    pub(super) source: Requests,
}

/// Where requests come from.
#[derive(Debug)]
pub(super) enum Requests {
    Trace(SourceTrace),
    Generator(GeneratorSpec),
}

impl Requests {
    /// Returns how long the requests themselves last, if they do.
    pub(super) fn length(&self) -> Option<SimDuration> {
        match self {
            Self::Trace(source) => source.length(),
            Self::Generator(_) => None,
        }
    }
}

impl LoadedWorkload {
    /// Returns how long requests arrive.
    pub(super) fn duration(&self) -> SimDuration {
        self.spec.duration.or(self.source.length()).unwrap_or(SimDuration::ZERO)
    }

    pub(super) fn describe(&self) -> String {
        let seconds = self.duration().as_secs();
        let source = match &self.source {
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
        };
        format!("{source}; {seconds:.0} s a run")
    }
}

/// Loads what requests are made from, each file once.
#[derive(Debug, Default)]
pub(super) struct Loader {
    traces: BTreeMap<String, Arc<Trace>>,
    notes: Vec<String>,
}

impl Loader {
    pub(super) fn load_all(
        mut self,
        specs: Vec<WorkloadSpec>,
    ) -> Result<(Vec<LoadedWorkload>, Vec<String>), GridError> {
        let mut loaded = Vec::with_capacity(specs.len());
        for spec in specs {
            let source = match &spec.source {
                Source::Generator(generator) => Requests::Generator(generator.clone()),
                Source::Trace(trace) => Requests::Trace(self.load(trace, spec.bootstrap_block)?),
            };
            loaded.push(LoadedWorkload { spec, source });
        }
        Ok((loaded, self.notes))
    }

    fn load(&mut self, spec: &TraceSpec, block: SimDuration) -> Result<SourceTrace, GridError> {
        let path = spec.path.as_deref().unwrap_or(Path::new(""));
        let block_size = spec.block_size;
        let key = format!("{}/{:?}/{block_size:?}", path.display(), spec.format);
        let trace = match self.traces.get(&key) {
            Some(trace) => Arc::clone(trace),
            None => {
                let (trace, report) = match spec.format {
                    Some(format) => read_trace(path, &ReadOptions { format, block_size })?,
                    None => read_trace_sniffed(path, block_size)?,
                };
                for (reason, count) in &report.dropped {
                    self.notes.push(format!("{count} of {} rows left out, {reason}", report.read));
                }
                self.notes.extend(report.notes);
                let trace = Arc::new(trace);
                self.traces.insert(key, Arc::clone(&trace));
                trace
            }
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let source = SourceTrace::new(trace).named(name);
        Ok(source.dequantize(spec.dequantize)?.block(block)?)
    }
}
