//! Names that a manifest gives, against the columns of its tables.

use crate::document::{FaultSet, Faults};
use crate::tables::{is_capacity_column, is_column, is_contest_column};

use super::grid::{Cell, Grid, slo_columns};
use super::manifest::GridSpec;

impl Grid {
    /// Refuses axes that are called as a column of the tables is.
    pub(super) fn check_names(&self, cells: &[Cell]) -> Result<(), Faults> {
        let terms = slo_columns(cells);
        for axis in self.manifest.grids.iter().flat_map(GridSpec::axes) {
            let own = self.coordinates.contains(&axis.name);
            let compares = self.manifest.compare.is_some();
            let searches = self.manifest.capacity.is_some();
            let is_taken = |name: &str| {
                is_column(name, &terms)
                    || compares && is_contest_column(name)
                    || searches && is_capacity_column(name)
            };
            if own && is_taken(&axis.name) {
                let message = format!("an axis can't be called `{}`", axis.name);
                let hint = "tables have a column of this name: give it another one".to_owned();
                return Err(axis.place.refuse(message, Some(hint)));
            }
        }
        Ok(())
    }

    /// Refuses metrics that the tables of these cells do not have.
    pub(super) fn check_metrics(&self, cells: &[Cell], faults: &mut FaultSet) {
        let terms = slo_columns(cells);
        self.manifest.statistics.check_metric(&terms, faults);
        if let Some(compare) = &self.manifest.compare {
            compare.check(&self.manifest, (&self.coordinates, cells), &terms, faults);
        }
    }
}
