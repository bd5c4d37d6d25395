//! The `[workload]` table.

use crate::document::{Bounds, Table};
use crate::scenario::{TraceSpec, read_warmup};
use crate::units::{PS_PER_S, SimDuration};
use crate::workload::{GeneratorSpec, Warmup};

use super::axis::folder_of;

/// The `[workload]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadSpec {
    /// A trace or a generator.
    pub source: Source,
    /// How long requests arrive, the warm-up included; none for as long as the trace.
    pub duration: Option<SimDuration>,
    /// The warm-up; that of each config where the manifest has none.
    pub warmup: Option<Warmup>,
    /// Length of the blocks of the bootstrap of a trace.
    pub bootstrap_block: SimDuration,
}

/// Where requests come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A file, resampled to each rate and seed.
    Trace(TraceSpec),
    /// Distributions.
    Generator(GeneratorSpec),
}

impl WorkloadSpec {
    /// Reads the table. The path of a trace is relative to the file it stands in.
    pub(in crate::sweep) fn read(table: &mut Table<'_>) -> Option<Self> {
        let duration = seconds(table, "duration_s");
        let warmup = read_warmup(table);
        let generator = table.section("generator", GeneratorSpec::read);
        let trace = table.item("trace").and_then(|item| Some(folder_of(&item).join(item.text()?)));
        // Beside a generator the keys of a trace are unknown.
        let of_trace = table.has("trace") || generator.is_none();
        let how = if of_trace { TraceSpec::read_how(table) } else { TraceSpec::default() };
        let bootstrap_block = of_trace.then(|| seconds(table, "bootstrap_block_s")).flatten();
        let source = match (trace, generator) {
            (Some(path), None) => Source::Trace(TraceSpec { path: Some(path), ..how }),
            (None, Some(generator)) => Source::Generator(generator),
            (None, None) if table.has("trace") => return None,
            (None, None) => {
                let hint = "give `trace = \"…\"` or a [workload.generator] table".to_owned();
                table.fault("[workload] has no requests", Some(hint));
                return None;
            }
            (Some(_), Some(_)) => {
                table.fault("[workload] has a trace and a generator", Some("leave one out".into()));
                return None;
            }
        };
        if let (Some(duration), Some(Warmup::Time(warmup))) = (duration, warmup)
            && warmup >= duration
        {
            let hint = "`duration_s` includes the warm-up".to_owned();
            table.fault_at("warmup_s", "the warm-up is as long as the run", Some(hint));
        }
        if !table.has("duration_s") && matches!(source, Source::Generator(_)) {
            table.fault("a generator needs `duration_s`", None);
        }
        let bootstrap_block = bootstrap_block.unwrap_or(SimDuration::from_ps(300 * PS_PER_S));
        Some(Self { source, duration, warmup, bootstrap_block })
    }
}

fn seconds(table: &mut Table<'_>, key: &str) -> Option<SimDuration> {
    SimDuration::from_secs(table.real(key, Bounds::Between(1e-3, 8e6))?).ok()
}
