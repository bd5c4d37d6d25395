//! The lines of a grid along which is searched.

use std::collections::BTreeMap;

use crate::document::{Faults, Scalar};
use crate::sweep::grid::{Cell, Grid};

use super::spec::{CapacitySpec, Find};

/// Cells that differ in one axis alone, the lowest load first.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Cells by their place in the grid.
    pub cells: Vec<usize>,
    /// Their values on the axis.
    pub values: Vec<f64>,
    /// Whether there is something between two values, as between rates.
    pub is_continuous: bool,
}

impl Line {
    /// Returns all lines of a grid, in the order of their first cells.
    ///
    /// # Errors
    ///
    /// When a cell has no number on the axis, or no objectives, or is alone.
    pub(in crate::sweep) fn all(grid: &Grid, spec: &CapacitySpec) -> Result<Vec<Self>, Faults> {
        let at = grid.coordinates.iter().position(|name| *name == spec.over);
        let has_rates = grid.has_axis("rate");
        let mut by_key: BTreeMap<String, usize> = BTreeMap::new();
        let mut lines: Vec<Vec<(f64, usize)>> = Vec::new();
        for (place, cell) in grid.cells().iter().enumerate() {
            let Some(value) = value_of(cell, at) else {
                let message = format!("`{}` has no number on `{}`", cell.key.label, spec.over);
                let hint = "the search goes through numbers".to_owned();
                return Err(spec.place.refuse(message, Some(hint)));
            };
            if cell.setting.slo.is_empty() {
                let message = format!("`{}` has no objectives", cell.key.label);
                let hint = "add [slo], such as `ttft_p95_ms = 2000`".to_owned();
                return Err(spec.place.refuse(message, Some(hint)));
            }
            let line = *by_key.entry(key(cell, at, has_rates)).or_insert(lines.len());
            if line == lines.len() {
                lines.push(Vec::new());
            }
            if let Some((_, first)) = lines[line].first()
                && grid.cells()[*first].setting.slo != cell.setting.slo
            {
                let message = format!("the objectives change along `{}`", spec.over);
                let hint = "a search is for one set of them".to_owned();
                return Err(spec.place.refuse(message, Some(hint)));
            }
            lines[line].push((value, place));
        }
        if let Some(alone) = lines.iter().find(|line| line.len() < 2) {
            let label = &grid.cells()[alone[0].1].key.label;
            let message = format!("`{label}` is the only one of its values of `{}`", spec.over);
            let hint = "give the axis more values: the search goes through some of them".to_owned();
            return Err(spec.place.refuse(message, Some(hint)));
        }
        Ok(lines.into_iter().map(|line| Self::new(line, spec, at.is_none())).collect())
    }

    fn new(mut line: Vec<(f64, usize)>, spec: &CapacitySpec, is_continuous: bool) -> Self {
        line.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        if spec.find == Find::Lowest {
            line.reverse();
        }
        let (values, cells) = line.into_iter().unzip();
        Self { cells, values, is_continuous }
    }

    /// Returns whether values grow with the load.
    pub(super) fn is_ascending(&self) -> bool {
        self.values[0] <= self.values[self.values.len() - 1]
    }

    /// Returns the loads that the search goes by, ascending: rates, or places on the axis.
    pub(super) fn loads(&self) -> Vec<f64> {
        if self.is_continuous {
            return self.values.clone();
        }
        (0..self.values.len()).map(|place| place as f64).collect()
    }

    /// Returns the value of a load.
    pub(super) fn value(&self, load: f64) -> f64 {
        if self.is_continuous {
            return load;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place")]
        let place = load as usize;
        self.values[place]
    }
}

/// The value of a cell on the axis at that place of the coordinates; none is the rate.
fn value_of(cell: &Cell, at: Option<usize>) -> Option<f64> {
    match at.map(|at| &cell.key.coordinates[at]) {
        None => cell.key.rate_rps,
        Some(Scalar::Whole(value)) => Some(*value as f64),
        Some(Scalar::Real(value)) => Some(*value),
        Some(Scalar::Null | Scalar::Truth(_) | Scalar::Text(_)) => None,
    }
}

/// Returns a text that the cells of a line have in common.
fn key(cell: &Cell, at: Option<usize>, has_rates: bool) -> String {
    let key = &cell.key;
    let others = key.coordinates.iter().enumerate().filter(|(place, _)| Some(*place) != at);
    let others: Vec<&Scalar> = others.map(|(_, value)| value).collect();
    // A rate that follows from the axis changes with it.
    let rate = key.rate_rps.filter(|_| at.is_some() && has_rates);
    format!("{:?}", (&key.config, key.algorithm.label(), others, rate.map(f64::to_bits)))
}
