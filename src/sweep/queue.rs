//! Which run comes next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::tables::RunIndex;
use crate::workload::{Workload, WorkloadError};

use super::grid::{Demand, Grid};

/// The requests of a group, once somebody has made them.
type Requests = Arc<OnceLock<Result<Arc<Workload>, WorkloadError>>>;

/// Runs in the order in which they begin: those of the largest groups first, of a group the
/// longest first.
///
/// A group are the runs that share their requests. One thread goes through a group, so that few
/// groups are at work and no thread waits for requests that another one makes. Only when all
/// groups have begun do threads help others.
#[derive(Debug)]
pub(super) struct Queue {
    groups: Vec<Group>,
    state: Mutex<State>,
}

/// The group that a thread is at.
#[derive(Debug, Default)]
pub(super) struct Place(Option<usize>);

/// A run to execute.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) index: RunIndex,
    demand: Demand,
    seed: u64,
    requests: Requests,
}

#[derive(Debug)]
struct Group {
    demand: Demand,
    seed: u64,
    /// The longest first.
    runs: Vec<RunIndex>,
}

#[derive(Debug, Default)]
struct State {
    /// The first group that has not begun.
    next: usize,
    /// Groups of which some runs have not begun. Their requests are kept here; when the last of
    /// them has begun, only by those who run.
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    group: usize,
    /// Its first run that has not begun.
    next: usize,
    requests: Requests,
}

impl Queue {
    pub(super) fn new(grid: &Grid, runs: &[RunIndex]) -> Self {
        let mut by_requests: BTreeMap<(usize, usize), Vec<RunIndex>> = BTreeMap::new();
        for run in runs {
            let demand = grid.cells()[run.cell].demand;
            by_requests.entry((demand, run.seed)).or_default().push(*run);
        }
        let mut groups: Vec<(f64, Group)> = Vec::with_capacity(by_requests.len());
        for ((demand, seed), mut runs) in by_requests {
            runs.sort_by(|a, b| {
                grid.work_of(b.cell).total_cmp(&grid.work_of(a.cell)).then(a.cmp(b))
            });
            let work = runs.iter().map(|run| grid.work_of(run.cell)).sum();
            let (demand, seed) = (grid.demands()[demand], grid.manifest.seeds[seed]);
            groups.push((work, Group { demand, seed, runs }));
        }
        groups.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let groups = groups.into_iter().map(|(_, group)| group).collect();
        Self { groups, state: Mutex::default() }
    }

    /// Takes the next run for a thread; none when all have begun.
    pub(super) fn take(&self, place: &mut Place) -> Option<Task> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let own = state.open.iter().position(|open| Some(open.group) == place.0);
        let at = match own {
            Some(at) => at,
            None if state.next < self.groups.len() => {
                let group = state.next;
                state.next += 1;
                state.open.push(Open { group, next: 0, requests: Requests::default() });
                state.open.len() - 1
            }
            None => {
                let left = |open: &Open| self.groups[open.group].runs.len() - open.next;
                (0..state.open.len()).max_by_key(|at| left(&state.open[*at]))?
            }
        };
        let open = &mut state.open[at];
        let group = &self.groups[open.group];
        let task = Task {
            index: group.runs[open.next],
            demand: group.demand,
            seed: group.seed,
            requests: Arc::clone(&open.requests),
        };
        place.0 = Some(open.group);
        open.next += 1;
        if open.next == group.runs.len() {
            state.open.swap_remove(at);
        }
        Some(task)
    }
}

impl Task {
    /// Returns the requests. The first of their runs makes them, and the others wait.
    pub(super) fn requests(&self, grid: &Grid) -> Result<Arc<Workload>, String> {
        let make = || grid.make(self.demand, self.seed).map(Arc::new);
        self.requests.get_or_init(make).clone().map_err(|error| error.to_string())
    }
}

impl Grid {
    /// Returns about how long a run of a cell takes beside others: routing looks at every backend,
    /// and the rest of a request costs as much as some of these looks.
    pub fn work_of(&self, cell: usize) -> f64 {
        const LOOKS: f64 = 16.0;
        let backends = self.cells()[cell].setting.cluster.num_backends;
        self.requests_of(cell) * (LOOKS + f64::from(backends))
    }
}
