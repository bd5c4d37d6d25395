//! The cells that a manifest expands to, with their requests at hand.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::document::{FaultSet, Faults};
use crate::metrics::{Objective, SloSpec, SloTerm};
use crate::scenario::Scenario;
use crate::tables::{AxisColumn, CellKey, Frame, RunIndex, TableError, axes_frame};
use crate::trace::{Chain, ONE_LEVEL, TraceError};
use crate::units::SimDuration;
use crate::workload::{Warmup, Workload, WorkloadError};

use super::capacity::Line;
use super::expand::{Expansion, check_conditions, expand};
use super::loaded::{LoadedWorkload, Loader, Requests};
use super::manifest::{Axis, GridSpec, MOST_RUNS, Manifest, Target, WorkloadSpec};
use super::setting::{Resolved, Resolver, Setting};
use super::spelling::{check_texts, check_variables};

/// A grid whose inputs are loaded and fit together.
#[derive(Debug)]
pub struct Grid {
    /// The manifest it was made from.
    pub manifest: Manifest,
    /// What reading the traces had to say.
    pub notes: Vec<String>,
    /// How the cells came about, by grid of the manifest.
    pub expansions: Vec<Expansion>,
    /// Names of the axes beside config, algorithm and rate: columns of the tables.
    pub coordinates: Vec<String>,
    cells: Vec<Cell>,
    workloads: Vec<LoadedWorkload>,
    demands: Vec<Demand>,
    lines: Vec<Line>,
}

/// One point of the grid, without its seed.
#[derive(Clone, Debug)]
pub struct Cell {
    /// What it is, for tables and people.
    pub key: Arc<CellKey>,
    /// Its fleet and objectives.
    pub setting: Arc<Setting>,
    /// Which of the [demands](Grid::demand): cells of the same one have the same requests.
    pub demand: usize,
}

/// What is asked of a fleet: requests of one kind at one rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// Which of the workloads.
    pub(super) workload: usize,
    /// The rate that is asked for, in requests/s; none to replay a trace at its own.
    pub(super) rate_rps: Option<f64>,
    /// The warm-up that holds.
    pub(super) warmup: Warmup,
}

/// Inputs that don't fit together.
#[derive(Debug, thiserror::Error)]
pub enum GridError {
    /// The manifest, or a config with what is set in it, says something that can't be.
    #[error(transparent)]
    Faults(#[from] Faults),
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
    /// Expands a manifest, loads the requests and checks that every cell can run them.
    ///
    /// # Errors
    ///
    /// When an expression or a value that is set is wrong, a trace can't be read, the requests
    /// can't be made, or a config does not fit them.
    pub fn load(manifest: Manifest) -> Result<Self, GridError> {
        let coordinates = coordinate_names(&manifest);
        let mut grid = Self {
            notes: Vec::new(),
            expansions: Vec::new(),
            coordinates,
            cells: Vec::new(),
            workloads: Vec::new(),
            demands: Vec::new(),
            lines: Vec::new(),
            manifest,
        };
        grid.expand()?;
        if let Some(capacity) = &grid.manifest.capacity {
            grid.lines = Line::all(&grid, capacity)?;
        }
        grid.check_blocks()?;
        grid.notes.extend(grid.workload_notes());
        Ok(grid)
    }

    /// Makes the cells of all grids of the manifest.
    fn expand(&mut self) -> Result<(), GridError> {
        let (builder, specs) = self.build()?;
        let num_runs = builder.cells.len().saturating_mul(self.manifest.first_seeds);
        if num_runs > MOST_RUNS {
            let message = format!("the grid has {num_runs} runs, at most {MOST_RUNS}");
            let hint = Some("split it into several manifests".to_owned());
            let place = &self.manifest.grids[0].axes().next().expect("a grid has axes").place;
            return Err(place.refuse(message, hint).into());
        }
        let (workloads, notes) = Loader::default().load_all(specs)?;
        self.workloads = workloads;
        self.notes.extend(notes);
        (self.cells, self.demands) = (builder.cells, builder.demands);
        for demand in &self.demands {
            let loaded = &self.workloads[demand.workload];
            if demand.rate_rps.is_none() && matches!(loaded.source, Requests::Generator(_)) {
                let message = "a generator needs a rate in every cell".to_owned();
                return Err(self.manifest.workload.refuse(message, None).into());
            }
        }
        Ok(())
    }

    /// Resolves every point of every grid, or tells all that is wrong.
    fn build(&mut self) -> Result<(Builder, Vec<WorkloadSpec>), Faults> {
        let mut faults = FaultSet::default();
        check_variables(&self.manifest, &[], &mut faults);
        self.notes.extend(check_texts(&self.manifest, &mut faults));
        let mut in_order = FaultSet::default();
        self.manifest.grids.iter().for_each(|grid| check_conditions(grid, &mut in_order));
        let grids: &[GridSpec] = if in_order.is_empty() { &self.manifest.grids } else { &[] };
        faults.append(in_order);
        let mut builder = Builder::default();
        let mut resolver = Resolver::new(&self.manifest, self.coordinates.clone());
        for (number, spec) in grids.iter().enumerate() {
            let expanded = expand(&self.manifest, spec, &mut faults);
            let Some((points, mut expansion)) = faults.settle(expanded) else { continue };
            let axes: Vec<&Axis> = spec.axes().collect();
            for point in points {
                let Some(resolved) = resolver.resolve(number, &axes, &point) else { continue };
                match builder.add(number, resolved) {
                    Ok(added) => expansion.repeated += usize::from(!added),
                    Err(message) => {
                        let hint = "leave out an axis that changes nothing, or exclude one of them";
                        faults.add(axes[0].place.fault(message, Some(hint.to_owned())));
                        break;
                    }
                }
            }
            self.expansions.push(expansion);
        }
        let (specs, more) = resolver.finish();
        faults.append(more);
        faults.settle(self.manifest.check_warmups(&specs));
        faults.settle(self.check_names(&builder.cells));
        if faults.is_empty() {
            self.check_metrics(&builder.cells, &mut faults);
        }
        faults.finish(&self.manifest.file)?;
        Ok((builder, specs))
    }

    /// What the first run's requests have to say; the others differ in their draws alone. Requests
    /// that can't be made are an error of their runs, not of the grid.
    fn workload_notes(&self) -> Vec<String> {
        // Many variants say much the same.
        const MOST: usize = 3;
        let mut notes: Vec<String> = Vec::new();
        for workload in 0..self.workloads.len().min(MOST) {
            let first = self.demands.iter().find(|demand| demand.workload == workload);
            let made = first.map(|demand| self.make(*demand, self.manifest.seeds[0]));
            if let Some(Ok(made)) = made {
                let mut new = made.info.notes;
                new.retain(|note| !notes.contains(note));
                notes.append(&mut new);
            }
        }
        notes
    }

    fn check_blocks(&self) -> Result<(), GridError> {
        for cell in &self.cells {
            let source = &self.workloads[self.demands[cell.demand].workload].source;
            let trace_block = match source {
                Requests::Trace(source) => source.trace().block_tokens(),
                Requests::Generator(_) => ONE_LEVEL,
            };
            let kv_block_size = cell.setting.cluster.kv_block_size;
            if !Chain::blocks_fit(trace_block, kv_block_size) {
                let config = cell.setting.path.display().to_string();
                return Err(GridError::BlocksDontFit { config, kv_block_size, trace_block });
            }
        }
        Ok(())
    }

    /// Returns every cell, in the order of the expansion.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Returns the number of cells.
    pub fn num_cells(&self) -> usize {
        self.cells.len()
    }

    /// Returns the number of runs, or the most that may be wanted: cells × seeds.
    pub fn num_runs(&self) -> usize {
        self.num_cells() * self.manifest.seeds.len()
    }

    /// Returns whether which runs are wanted depends on what others gave.
    pub fn is_sequential(&self) -> bool {
        self.manifest.capacity.is_some() || self.manifest.statistics.precision.is_some()
    }

    /// Returns the lines along which is searched.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Returns whether cells differ along an axis of that name.
    pub fn has_axis(&self, name: &str) -> bool {
        self.manifest.grids.iter().flat_map(GridSpec::axes).any(|axis| axis.name == name)
    }

    /// Returns every run in the order of the table: cell by cell, seeds fastest.
    pub fn runs(&self) -> impl Iterator<Item = RunIndex> + use<> {
        let num_seeds = self.manifest.seeds.len();
        (0..self.num_cells())
            .flat_map(move |cell| (0..num_seeds).map(move |seed| RunIndex { cell, seed }))
    }

    /// Returns the columns of the axes beside config, algorithm and rate.
    pub fn axis_columns(&self) -> Vec<AxisColumn> {
        AxisColumn::of(&self.coordinates, || self.cells.iter().map(|cell| cell.key.as_ref()))
    }

    /// Returns the columns that say which runs these are, a row for each; see [`axes_frame`]. All
    /// are runs of `cells`, and `columns` those of [`axis_columns`](Self::axis_columns).
    ///
    /// # Errors
    ///
    /// When polars refuses, which would be our fault.
    pub fn axes(
        &self,
        cells: Range<usize>,
        columns: &[AxisColumn],
        runs: &[RunIndex],
    ) -> Result<Frame, TableError> {
        let first = cells.start;
        let keys: Vec<&CellKey> = self.cells[cells].iter().map(|cell| cell.key.as_ref()).collect();
        let within = |run: &RunIndex| RunIndex { cell: run.cell - first, seed: run.seed };
        let runs: Vec<RunIndex> = runs.iter().map(within).collect();
        axes_frame(&keys, columns, &self.manifest.seeds, &runs)
    }

    /// Returns what is asked of a cell's fleet.
    pub fn demand(&self, cell: usize) -> &Demand {
        &self.demands[self.cells[cell].demand]
    }

    /// Returns the workloads, each once.
    pub(super) fn workloads(&self) -> &[LoadedWorkload] {
        &self.workloads
    }

    /// Returns all demands, each once.
    pub(super) fn demands(&self) -> &[Demand] {
        &self.demands
    }

    /// Returns the columns of every objective in force, in the order of the cells.
    pub fn slo_columns(&self) -> Vec<String> {
        slo_columns(&self.cells)
    }

    /// Returns the columns of every objective in force, the attainment among them where some of it is
    /// asked for.
    pub(super) fn objective_columns(&self) -> Vec<String> {
        columns_of(&self.cells, |slo| slo.objectives().iter().map(Objective::column).collect())
    }

    /// Returns the mean number of requests of a cell's run, for estimates.
    pub fn requests_of(&self, cell: usize) -> f64 {
        let demand = self.demand(cell);
        let loaded = &self.workloads[demand.workload];
        let own = match &loaded.source {
            Requests::Trace(source) => source.rate_rps(),
            Requests::Generator(_) => None,
        };
        demand.rate_rps.or(own).unwrap_or(0.0) * loaded.duration().as_secs()
    }

    /// Makes the requests of a cell under a seed: the same for every cell of its demand.
    ///
    /// # Errors
    ///
    /// When there would be none, or too many.
    pub fn workload(&self, cell: usize, seed: u64) -> Result<Workload, WorkloadError> {
        self.make(*self.demand(cell), seed)
    }

    pub(super) fn make(&self, demand: Demand, seed: u64) -> Result<Workload, WorkloadError> {
        let given = self.workloads[demand.workload].spec.duration;
        self.make_within(demand, seed, given)
    }

    /// Makes requests that arrive for so long; none for as long as the trace.
    fn make_within(
        &self,
        demand: Demand,
        seed: u64,
        given: Option<SimDuration>,
    ) -> Result<Workload, WorkloadError> {
        let Demand { workload, rate_rps, warmup } = demand;
        let source = &self.workloads[workload].source;
        let duration = given.or(source.length()).unwrap_or(SimDuration::ZERO);
        match source {
            Requests::Generator(generator) => {
                generator.workload(rate_rps.unwrap_or(0.0), seed, duration, warmup)
            }
            Requests::Trace(source) => {
                // Several seeds of a trace at its own rate are resamples of it.
                let several = self.manifest.seeds.len() > 1;
                match rate_rps.or_else(|| source.rate_rps().filter(|_| several)) {
                    Some(rate) => source.workload(Some(rate), seed, duration, warmup),
                    None => source.replay(seed, given, warmup),
                }
            }
        }
    }

    /// Makes a run of a cell under the first seed, cut to about `most` requests and without a
    /// warm-up, to see how long the whole takes: with it the share of the whole run.
    ///
    /// # Errors
    ///
    /// When its requests can't be made.
    pub fn pilot(&self, cell: usize, most: f64) -> Result<(Scenario, f64), WorkloadError> {
        let Cell { key, setting, .. } = &self.cells[cell];
        let seed = self.manifest.seeds[0];
        let share = (most / self.requests_of(cell)).min(1.0);
        let demand = Demand { warmup: Warmup::NONE, ..*self.demand(cell) };
        let whole = self.workloads[demand.workload].duration().as_secs();
        let duration = SimDuration::from_secs(whole * share).ok().filter(|_| share < 1.0);
        let given = duration.or(self.workloads[demand.workload].spec.duration);
        let scenario = Scenario {
            cluster: setting.cluster.clone(),
            algorithm: key.algorithm.as_ref().clone(),
            workload: Arc::new(self.make_within(demand, seed, given)?),
            slo: setting.slo.clone(),
            seed,
        };
        Ok((scenario, share))
    }

    /// Makes the requests of the lowest and the highest rate of each workload under the first seed,
    /// for every warm-up: what fails there would fail in every run of that rate and seed.
    ///
    /// # Errors
    ///
    /// When there would be none, or too many.
    pub fn check_ends(&self) -> Result<(), WorkloadError> {
        let mut ends: BTreeMap<Variant, (&Demand, &Demand)> = BTreeMap::new();
        let rate = |demand: &Demand| demand.rate_rps.unwrap_or(0.0);
        for demand in &self.demands {
            let key = (demand.workload, order_of(demand.warmup));
            let (low, high) = ends.entry(key).or_insert((demand, demand));
            if rate(demand) < rate(low) {
                *low = demand;
            }
            if rate(demand) > rate(high) {
                *high = demand;
            }
        }
        let seed = self.manifest.seeds[0];
        for demand in ends.into_values().flat_map(|(low, high)| [low, high]) {
            self.make(*demand, seed).map_err(|error| WorkloadError {
                message: match demand.rate_rps {
                    Some(rate) => format!("at {rate} req/s, seed {seed}: {error}"),
                    None => error.message,
                },
                hint: error.hint,
            })?;
        }
        Ok(())
    }

    /// Returns a line for each workload that says where its requests come from.
    pub fn describe_sources(&self) -> Vec<String> {
        self.workloads.iter().map(LoadedWorkload::describe).collect()
    }
}

/// Returns the names of all axes beside config, algorithm and rate, each once.
fn coordinate_names(manifest: &Manifest) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for axis in manifest.grids.iter().flat_map(GridSpec::axes) {
        let own = !matches!(axis.target, Target::Config | Target::Algorithm | Target::Rate);
        if own && !names.contains(&axis.name) {
            names.push(axis.name.clone());
        }
    }
    names
}

/// The columns that hold the statistics of every objective in force, in the order of the cells; the
/// attainment is a metric of every table.
pub(super) fn slo_columns(cells: &[Cell]) -> Vec<String> {
    columns_of(cells, |slo| slo.terms.iter().map(SloTerm::column).collect())
}

fn columns_of(cells: &[Cell], of: impl Fn(&SloSpec) -> Vec<String>) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    let mut last: Option<&Arc<Setting>> = None;
    for cell in cells {
        if last.is_some_and(|last| Arc::ptr_eq(last, &cell.setting)) {
            continue;
        }
        last = Some(&cell.setting);
        for column in of(&cell.setting.slo) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
    }
    columns
}

/// A workload under a warm-up.
type Variant = (usize, (bool, u64));

/// Tells warm-ups apart.
fn order_of(warmup: Warmup) -> (bool, u64) {
    match warmup {
        Warmup::Requests(count) => (false, count),
        Warmup::Time(time) => (true, time.as_ps()),
    }
}

/// Gathers cells, each once.
#[derive(Debug, Default)]
struct Builder {
    cells: Vec<Cell>,
    demands: Vec<Demand>,
    by_demand: BTreeMap<(Variant, Option<u64>), usize>,
    /// Grid and place of a cell by what its results depend on: the addresses of what was made once,
    /// and the demand.
    known: BTreeMap<(usize, usize, usize), (usize, usize)>,
    labels: BTreeMap<String, usize>,
}

impl Builder {
    /// Adds a cell of a grid; false when an earlier grid has it.
    fn add(&mut self, grid: usize, resolved: Resolved) -> Result<bool, String> {
        let Resolved { setting, workload, warmup, key } = resolved;
        let demand = self.demand(workload, key.rate_rps, warmup);
        let address = |pointer: *const u8| pointer.addr();
        let what = (
            address(Arc::as_ptr(&setting).cast()),
            address(Arc::as_ptr(&key.algorithm).cast()),
            demand,
        );
        let place = self.cells.len();
        if let Some((earlier, known)) = self.known.get(&what) {
            let known = &self.cells[*known].key;
            if *earlier != grid {
                return Ok(false);
            }
            return Err(format!("`{}` and `{}` are the same cell", known.label, key.label));
        }
        if self.labels.insert(key.label.clone(), place).is_some() {
            return Err(format!("two cells are called `{}`", key.label));
        }
        self.known.insert(what, (grid, place));
        self.cells.push(Cell { key, setting, demand });
        Ok(true)
    }

    fn demand(&mut self, workload: usize, rate_rps: Option<f64>, warmup: Warmup) -> usize {
        let key = ((workload, order_of(warmup)), rate_rps.map(f64::to_bits));
        *self.by_demand.entry(key).or_insert_with(|| {
            self.demands.push(Demand { workload, rate_rps, warmup });
            self.demands.len() - 1
        })
    }
}
