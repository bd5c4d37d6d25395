//! Sweeps: a manifest expands into a grid of independent runs, which go over all cores.
//!
//! A [`Manifest`] is the file, a [`Grid`] its product of configs, algorithms, rates and seeds with
//! everything loaded and checked, [`Grid::run`] executes it, and an [`Answer`] says what a person
//! wants to know. Results do not depend on the number of threads: every run is a function of its
//! own spec, and rows stand in the order of the grid.

mod answer;
mod canonical;
mod execute;
mod grid;
mod identity;
mod manifest;

pub use answer::{Answer, CellAnswer, TermAnswer};
pub use execute::Pool;
pub use grid::{Grid, GridError};
pub use identity::{CellSpec, ENGINE, Identity, TraceContent, WorkloadUse, engine_fingerprint};
pub use manifest::{LoadedConfig, Manifest, ManifestError, Source, WorkloadSpec};
