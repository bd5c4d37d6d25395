//! Sweeps: a manifest expands into a grid of independent runs, which go over all cores.
//!
//! A [`Manifest`] is the file, a [`Grid`] its product of configs, algorithms, rates and seeds with
//! everything loaded and checked, a [`Pool`] executes any of its runs, and an [`Answer`] says what a
//! person wants to know. Results do not depend on the number of threads: every run is a function of its
//! own spec.

mod answer;
mod canonical;
mod execute;
mod grid;
mod identity;
mod long_tables;
mod manifest;
mod outbox;
mod output_spec;
mod plan;
mod queue;
mod request_files;

pub use answer::{Answer, CellAnswer, TermAnswer};
pub use execute::{Ended, Pool, StopFlag};
pub use grid::{Grid, GridError};
pub use identity::{CellSpec, ENGINE, Identity, TraceContent, WorkloadUse, engine_fingerprint};
pub use long_tables::{LongTableError, write_long_table};
pub use manifest::{LoadedConfig, Manifest, ManifestError, Source, WorkloadSpec};
pub use plan::{Gathered, Plan, Shard};
pub use request_files::RequestFiles;
