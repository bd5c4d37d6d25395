//! How far a fleet goes: the highest rate, or the smallest fleet, that keeps the objectives.

mod lines;
mod search;
mod spec;

pub use lines::Line;
pub use search::{Found, Status};
pub use spec::{CapacitySpec, Find};

pub(super) use spec::{FEWEST_SEEDS, RELATIVE_WIDTH, USUAL_SEEDS, USUAL_WIDTH};

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::metrics::{Objective, STEADY_GROWTH};
use crate::stats::Moments;
use crate::tables::{
    CapacityRow, CellRuns, Frame, RunIndex, TableError, capacity_frame, side_by_side,
};

use super::grid::Grid;
use super::known::Known;

use search::{Look, Precision, Reading, Search, Unfinished};

/// What is left first where the backlog grows before any latency is too long.
const BACKLOG: &str = "backlog";

/// What is known of one line.
#[derive(Clone, Debug, PartialEq)]
pub struct Capacity {
    /// The line.
    pub line: Line,
    /// What the search found; none while runs are missing.
    pub found: Option<Found>,
    /// What is left first: an objective, or `backlog`.
    pub limiting: Option<String>,
    /// Runs that were looked at, or are to be: cells, each with its number of seeds.
    pub runs: BTreeMap<usize, usize>,
    /// US dollars per million tokens at the capacity, between the candidates next to it.
    pub usd_per_1m_tokens: Option<f64>,
}

impl Capacity {
    /// Searches along a line, as far as its runs are known.
    ///
    /// # Errors
    ///
    /// When a table of results is none.
    pub(super) fn search(
        grid: &Grid,
        spec: &CapacitySpec,
        line: &Line,
        known: &Known<'_>,
    ) -> Result<Self, TableError> {
        let objectives = grid.cells()[line.cells[0]].setting.slo.objectives();
        let loads = line.loads();
        let limits: Vec<f64> = objectives.iter().map(limit).chain([STEADY_GROWTH]).collect();
        let precision = Precision {
            min_seeds: grid.manifest.first_seeds,
            max_seeds: spec.max_seeds.max(grid.manifest.first_seeds),
            relative_width: spec.relative_width,
            confidence: grid.manifest.statistics.interval.confidence,
            is_continuous: line.is_continuous,
        };
        let runs = RefCell::new(BTreeMap::new());
        let look = |candidate: usize, seeds: usize| {
            let cell = line.cells[candidate];
            let mut runs = runs.borrow_mut();
            let most = runs.entry(cell).or_insert(seeds);
            *most = seeds.max(*most);
            drop(runs);
            if known.fails(cell, seeds) {
                return Ok(Some(Look::Failed));
            }
            known.runs(cell, seeds)?.map(|runs| look_at(&objectives, &runs.all()?)).transpose()
        };
        let search = Search { loads: &loads, limits: &limits, precision };
        let found = match search.run(&look) {
            Ok(found) => Some(found),
            Err(Unfinished::Missing) => None,
            Err(Unfinished::Table(error)) => return Err(error),
        };
        let limiting = found.as_ref().and_then(|found| found.limiting);
        let limiting = limiting.map(|place| {
            objectives.get(place).map_or_else(|| BACKLOG.to_owned(), |own| own.to_string())
        });
        let mut own = Self {
            line: line.clone(),
            found,
            limiting,
            runs: runs.into_inner(),
            usd_per_1m_tokens: None,
        };
        own.usd_per_1m_tokens = own.price(known)?;
        Ok(own)
    }

    /// Returns the value of the axis that was found: a rate in requests/s, or what the axis is of.
    pub fn value(&self) -> Option<f64> {
        self.found.as_ref()?.estimate.map(|load| self.line.value(load))
    }

    /// Returns the ends of its interval, the lower first; none where it is open.
    pub fn interval(&self) -> [Option<f64>; 2] {
        let ends = self.found.as_ref().map_or([None; 2], |found| [found.lo, found.hi]);
        let mut ends = ends.map(|load| load.map(|load| self.line.value(load)));
        if !self.line.is_ascending() {
            ends.reverse();
        }
        ends
    }

    /// Returns the width of the interval over the value.
    pub fn relative_width(&self) -> Option<f64> {
        let [lo, hi] = self.interval();
        Some((hi? - lo?) / self.value()?)
    }

    /// Returns how the search ended, by name; `missing` while it has not.
    pub fn status(&self) -> &'static str {
        self.found.as_ref().map_or("missing", |found| found.status.name())
    }

    fn row(&self, grid: &Grid, over: &str) -> CapacityRow {
        let found = self.found.as_ref();
        CapacityRow {
            over: over.to_owned(),
            capacity: self.value(),
            interval: self.interval(),
            level: grid.manifest.statistics.interval.confidence,
            status: self.status(),
            limiting: self.limiting.clone(),
            objectives: grid.cells()[self.line.cells[0]].setting.slo.to_string(),
            is_monotone: found.map(|found| found.is_monotone),
            seeds: found.map(|found| found.seeds as u64),
            values: self.runs.len() as u64,
            runs: self.runs.values().sum::<usize>() as u64,
            usd_per_1m_tokens: self.usd_per_1m_tokens,
        }
    }

    /// The price at the estimate, on a straight line between the candidates around it.
    fn price(&self, known: &Known<'_>) -> Result<Option<f64>, TableError> {
        let Some((found, load)) = self.found.as_ref().and_then(|own| Some((own, own.estimate?)))
        else {
            return Ok(None);
        };
        let loads = self.line.loads();
        let above = found.near.partition_point(|at| loads[*at] <= load);
        let mut prices = Vec::new();
        for at in [above.saturating_sub(1), above.min(found.near.len() - 1)] {
            let candidate = found.near[at];
            let Some(runs) = known.runs(self.line.cells[candidate], found.seeds)? else {
                return Ok(None);
            };
            let values: Option<Vec<f64>> =
                runs.all()?.real("cost_per_1k_tokens_usd")?.into_iter().collect();
            let Some(price) = values.and_then(|values| Moments::of(&values).mean()) else {
                return Ok(None);
            };
            prices.push((loads[candidate], 1e3 * price));
        }
        let ((from, low), (to, high)) = (prices[0], prices[1]);
        let share = if to > from { (load - from) / (to - from) } else { 0.0 };
        Ok(Some(low + share * (high - low)))
    }
}

/// Makes the table of searches: the axes of each line, and what was found.
///
/// # Errors
///
/// When polars refuses, which would be our fault.
pub fn capacities_frame(grid: &Grid, capacities: &[Capacity]) -> Result<Frame, TableError> {
    let Some(spec) = &grid.manifest.capacity else { return Ok(Frame::empty()) };
    let first = |own: &Capacity| RunIndex { cell: own.line.cells[0], seed: 0 };
    let places: Vec<RunIndex> = capacities.iter().map(first).collect();
    let mut axes = grid.axes(0..grid.num_cells(), &grid.axis_columns(), &places)?;
    let is_rate = spec.over == "rate";
    let own = if is_rate { "rate_rps" } else { spec.over.as_str() };
    // A rate that follows from others may change along the line.
    let rate = (!is_rate && !grid.has_axis("rate")).then_some("rate_rps");
    for name in ["cell_label", "seed", "draw", own].into_iter().chain(rate) {
        axes.drop_in_place(name)?;
    }
    let rows: Vec<CapacityRow> =
        capacities.iter().map(|capacity| capacity.row(grid, own)).collect();
    side_by_side(&axes, &capacity_frame(&rows)?)
}

/// What the search holds a [`Reading`] against: more is worse, so an attainment is turned around.
fn limit(objective: &Objective) -> f64 {
    match objective {
        Objective::Term(term) => term.limit.as_ms(),
        Objective::Attainment(least_ratio) => -least_ratio,
    }
}

/// What the runs of a candidate say.
fn look_at(objectives: &[Objective], runs: &CellRuns<'_>) -> Result<Look, TableError> {
    let (ok, failed) = runs.by_status()?;
    if !failed.is_empty() {
        return Ok(Look::Failed);
    }
    let growth: Vec<f64> = ok.real("backlog_growth_ratio")?.into_iter().flatten().collect();
    let reading = |objective: &Objective| match objective {
        Objective::Term(term) => {
            let (values, lost) = ok.objective(&term.column())?;
            Ok(if lost { Reading::Lost } else { Reading::Values(values) })
        }
        Objective::Attainment(_) => {
            let ratios = ok.real(&objective.column())?;
            Ok(Reading::Values(ratios.into_iter().flatten().map(|ratio| -ratio).collect()))
        }
    };
    let mut readings = objectives.iter().map(reading).collect::<Result<Vec<_>, TableError>>()?;
    // The backlog must not grow: a longer run would fail.
    readings.push(Reading::Values(growth));
    Ok(Look::Seen(readings))
}
