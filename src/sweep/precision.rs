//! How many seeds cells need for a metric to be known as closely as was asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metrics::METRICS;
use crate::stats::relative_half_width;
use crate::tables::{RunsReader, TableError};

use super::grid::Grid;
use super::known::Known;
use super::statistics_spec::Precision;

/// Seeds grow by so much at most from one look to the next.
const MOST_GROWTH: usize = 2;
/// More seeds than the variance asks for, as the next one may be larger.
const RESERVE: f64 = 1.1;

/// Returns the cells that have as many seeds as one another: those with the same fleet, requests and
/// further axes, which differ in their algorithm. They are compared seed by seed.
pub(super) fn groups(grid: &Grid) -> Vec<Vec<usize>> {
    let mut places: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (place, cell) in grid.cells().iter().enumerate() {
        let key = (Arc::as_ptr(&cell.setting).addr(), cell.demand);
        let group = *places.entry(key).or_insert(groups.len());
        if group == groups.len() {
            groups.push(Vec::new());
        }
        groups[group].push(place);
    }
    groups
}

/// Returns how many seeds the cells of a group need, as far as is known: when so many are known it
/// may be more.
///
/// The rule is that of [`relative_stop`](crate::stats::relative_stop), looked at after batches.
pub(super) fn seeds_of(
    group: &[usize],
    precision: &Precision,
    known: &Known<'_>,
) -> Result<usize, TableError> {
    let manifest = &known.grid.manifest;
    let (mut seeds, most) = (manifest.first_seeds, manifest.seeds.len());
    let enough = precision.relative / (1.0 + precision.relative);
    let confidence = manifest.statistics.interval.confidence;
    while seeds < most {
        let mut widest: f64 = 0.0;
        for cell in group {
            if known.fails(*cell, seeds) {
                continue;
            }
            let Some(runs) = known.runs(*cell, seeds)? else { return Ok(seeds) };
            let width = width(&runs, &precision.metric, confidence)?;
            widest = widest.max(width.unwrap_or(0.0));
        }
        if widest <= enough {
            return Ok(seeds);
        }
        let excess = widest / enough;
        let wanted = seeds as f64 * excess * excess * RESERVE;
        let growth = (seeds * MOST_GROWTH).min(most);
        seeds = (seeds + 1..growth).find(|more| *more as f64 >= wanted).unwrap_or(growth);
    }
    Ok(seeds)
}

/// Half the width of a metric's interval over its mean; none where it has none: more seeds of a
/// number that is not there, or always the same, would not help.
fn width(runs: &RunsReader, metric: &str, confidence: f64) -> Result<Option<f64>, TableError> {
    let runs = runs.all()?;
    if METRICS.iter().all(|own| own.name != metric) && runs.objective(metric)?.1 {
        // No number of seeds makes an infinite mean precise.
        return Ok(None);
    }
    let values: Vec<f64> = runs.real(metric)?.into_iter().flatten().collect();
    Ok(relative_half_width(&values, confidence))
}
