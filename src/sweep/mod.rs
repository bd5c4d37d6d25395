//! Sweeps: a manifest expands into a grid of independent runs, which go over all cores.
//!
//! A [`Manifest`] is the file, a [`Grid`] its product of configs, algorithms, rates and seeds with
//! everything loaded and checked, a [`Pool`] executes any of its runs, and an [`Answer`] says what a
//! person wants to know. Results do not depend on the number of threads: every run is a function of its
//! own spec.

mod answer;
mod attempt;
mod canonical;
mod capacity;
mod compare_spec;
mod comparisons;
mod contest_tables;
mod execute;
mod expand;
mod explain;
mod expr;
mod gathered;
mod grid;
mod identity;
mod keys;
mod known;
mod loaded;
mod long_tables;
mod manifest;
mod memory;
mod outbox;
mod output_spec;
mod plan;
mod precision;
mod queue;
mod run_files;
mod run_spec;
mod scope;
mod setting;
mod spelling;
mod statistics_spec;
mod survey;
mod wanted;

pub use answer::{Answer, CellAnswer, TermAnswer};
pub use attempt::Effort;
pub use capacity::{Capacity, CapacitySpec, Find, Found, Line, Status, capacities_frame};
pub use compare_spec::{CompareSpec, Named};
pub use comparisons::{ComparedMetric, Comparer, Contest, Duel, Rival};
pub use contest_tables::contest_frames;
pub use execute::{Ended, Execution, Observer, Pool, StopFlag};
pub use expand::Expansion;
pub use explain::{Difference, differences, nearest};
pub use expr::{ComparedText, Expr, ExprError};
pub use gathered::{Block, Gathered};
pub use grid::{Cell, Demand, Grid, GridError};
pub use identity::{
    CellSpec, ENGINE, Identity, TraceContent, WorkloadUse, engine_fingerprint, run_id,
};
pub use keys::{manifest_keys, manifest_schema};
pub use known::Known;
pub use long_tables::{LongTableError, long_like, write_long};
pub use manifest::{ConfigFile, Manifest, ManifestError, ManifestFile, Source, WorkloadSpec};
pub use plan::{Balance, Plan, Shard};
pub use run_files::RunFiles;
pub use run_spec::{ExecutionSpec, Tolerance};
pub use setting::Setting;
pub use statistics_spec::{Precision, StatisticsSpec};
pub use wanted::Wanted;
