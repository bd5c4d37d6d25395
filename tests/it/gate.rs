//! How often the gate is wrong: false alarms, and a slower step that it must find.
//!
//! In short, two cells and a few repeats. `ROUTESIM_STUDY=1` takes the whole nightly grid and
//! hundreds of repeats, which takes some twenty minutes of CPU time:
//!
//! ```sh
//! ROUTESIM_STUDY=1 cargo test --release --locked --test it gate:: -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use routesim::cluster::{ClusterSpec, StepSpec};
use routesim::gate::{Comparison, GateSpec, compare};
use routesim::rng::Stream;
use routesim::scenario::Scenario;
use routesim::stats::Verdict;
use routesim::sweep::{Grid, Identity, Manifest};
use routesim::tables::{Frame, RunIndex, RunRow, put_first, runs_frame};
use routesim::workload::Workload;

/// What is done to the runs of one side.
#[derive(Clone, Copy)]
struct Twist {
    /// Where the seeds of the requests begin.
    first_seed: u64,
    /// What the seed of the router is moved by.
    router: u64,
    /// What the constant of a step is multiplied with.
    step: f64,
    /// Moves it by so much to either side, as a coin says for each run.
    shake: f64,
}

const PLAIN: Twist = Twist { first_seed: 0, router: 0, step: 1.0, shake: 0.0 };
/// Seeds from one repeat to the next.
const BLOCK: u64 = 1_000;
/// A change that a repeat's runs go apart by, and that is none on average.
const SHAKE: f64 = 1e-4;

/// The nightly grid, or some of its cells.
struct Study {
    grid: Grid,
    identity: Identity,
    cells: Vec<usize>,
    repeats: usize,
}

impl Study {
    fn new(long: usize) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/nightly.toml");
        let grid = Grid::load(Manifest::load(&path).unwrap()).unwrap();
        let identity = Identity::of(&grid).unwrap();
        let is_long = std::env::var_os("ROUTESIM_STUDY").is_some();
        let short = |cell: &usize| {
            let label = &grid.cells()[*cell].key.label;
            label.contains("preset") && label.contains("/load=0.8/least_")
        };
        let all = 0..grid.num_cells();
        let cells: Vec<usize> = all.filter(|cell| is_long || short(cell)).collect();
        assert!(cells.len() >= 2, "{cells:?}");
        Self { grid, identity, cells, repeats: if is_long { long } else { 3 } }
    }

    /// The table of runs of a repeat.
    fn runs(&self, twist: Twist) -> Frame {
        let seeds = 0..self.grid.manifest.seeds.len();
        let (left, right) = std::thread::scope(|scope| {
            let odd = seeds.clone().filter(|seed| seed % 2 == 1);
            let odd = scope.spawn(|| odd.flat_map(|seed| self.seed(seed, twist)).collect());
            let even = seeds.clone().filter(|seed| seed % 2 == 0);
            let even: Vec<RunRow> = even.flat_map(|seed| self.seed(seed, twist)).collect();
            let odd: Vec<RunRow> = odd.join().unwrap();
            (even, odd)
        });
        let mut rows = [left, right].concat();
        rows.sort_by_key(|row| row.index);
        let ids: Vec<String> =
            rows.iter().map(|row| self.identity.cell_id(row.index.cell).to_owned()).collect();
        let runs = runs_frame(&rows, &self.grid.coordinates, &self.grid.slo_columns()).unwrap();
        put_first(runs, vec![("cell_id", ids)]).unwrap()
    }

    /// The runs of all cells under one seed.
    fn seed(&self, index: usize, twist: Twist) -> Vec<RunRow> {
        let own = self.grid.manifest.seeds[index];
        let seed = own + twist.first_seed;
        let coin = Stream::new(seed, "shake", 0).below(2) == 0;
        let factor = twist.step * (1.0 + if coin { twist.shake } else { -twist.shake });
        let mut workloads: BTreeMap<usize, Arc<Workload>> = BTreeMap::new();
        let mut rows = Vec::new();
        for index in self.cells.iter().map(|cell| RunIndex { cell: *cell, seed: index }) {
            let cell = &self.grid.cells()[index.cell];
            let workload = workloads
                .entry(cell.demand)
                .or_insert_with(|| Arc::new(self.grid.workload(index.cell, seed).unwrap()));
            let scenario = Scenario {
                cluster: slower(&cell.setting.cluster, factor),
                algorithm: cell.key.algorithm.as_ref().clone(),
                workload: Arc::clone(workload),
                slo: cell.setting.slo.clone(),
                seed: seed + twist.router,
            };
            let realised_rps = workload.info.realised_rps;
            let outcome = Ok(scenario.run().unwrap());
            rows.push(RunRow {
                index,
                cell: Arc::clone(&cell.key),
                seed: own,
                realised_rps,
                outcome,
            });
        }
        rows
    }

    fn spec(&self) -> &GateSpec {
        &self.grid.manifest.gate
    }
}

/// The fleet with another constant of a step; of the guide's four numbers none is one.
fn slower(cluster: &ClusterSpec, factor: f64) -> ClusterSpec {
    let mut cluster = cluster.clone();
    match &mut cluster.step {
        StepSpec::Linear(linear) => linear.step_ms *= factor,
        StepSpec::Compute { .. } => {}
    }
    cluster
}

fn of_repeat(repeat: usize) -> Twist {
    Twist { first_seed: BLOCK * repeat as u64, ..PLAIN }
}

fn alarms(comparison: &Comparison) -> bool {
    comparison.count(Verdict::Regression) > 0
}

/// The most alarms of so many repeats that a risk of 5 % in each explains, but for one time in a
/// hundred.
fn most_alarms(repeats: usize) -> usize {
    let (mut left, mut term, mut most) = (1.0, 0.95_f64.powi(i32::try_from(repeats).unwrap()), 0);
    loop {
        left -= term;
        if left <= 0.01 {
            return most;
        }
        most += 1;
        term *= (repeats - most + 1) as f64 / most as f64 * 0.05 / 0.95;
    }
}

#[test]
fn the_limit_is_the_binomial_one() {
    // R: qbinom(0.99, c(100, 200), 0.05).
    assert_eq!([100, 200].map(most_alarms), [11, 18]);
}

#[test]
fn an_engine_that_has_not_changed_raises_no_more_false_alarms_than_it_may() {
    let study = Study::new(200);
    let (mut raised, mut moved, mut compared) = (0, 0, 0);
    for repeat in 0..study.repeats {
        let own = of_repeat(repeat);
        let old = study.runs(Twist { shake: SHAKE, ..own });
        // The other side of every coin, and another stream of the router.
        let new = study.runs(Twist { shake: -SHAKE, router: 500_000, ..own });
        let all = compare(study.spec(), &new, &old).unwrap();
        raised += usize::from(alarms(&all));
        moved += all.cells.len() - all.unchanged_cells();
        compared += all.cells.len();
    }
    println!(
        "{raised} false alarms in {} repeats; {moved} of {compared} cells moved",
        study.repeats
    );
    assert!(raised <= most_alarms(study.repeats), "{raised}");
    // Else nothing was put to the test.
    assert!(2 * moved >= compared, "{moved} of {compared}");
}

#[test]
fn other_requests_raise_no_more_false_alarms_than_the_risk_where_any_change_matters() {
    let study = Study::new(100);
    let mut strict = study.spec().clone();
    strict.metrics.iter_mut().for_each(|judged| judged.min_effect = 0.0);
    let mut raised = 0;
    for repeat in 0..study.repeats {
        let [old, new] = [2 * repeat, 2 * repeat + 1].map(|own| study.runs(of_repeat(own)));
        raised += usize::from(alarms(&compare(&strict, &new, &old).unwrap()));
    }
    println!("{raised} false alarms in {} repeats of other requests", study.repeats);
    assert!(raised <= most_alarms(study.repeats), "{raised}");
}

#[test]
fn a_step_that_is_three_percent_slower_is_found() {
    let study = Study::new(100);
    let (mut found, mut smallest) = (0, f64::INFINITY);
    for repeat in 0..study.repeats {
        let own = of_repeat(repeat);
        let (old, new) = (study.runs(own), study.runs(Twist { step: 1.03, ..own }));
        let all = compare(study.spec(), &new, &old).unwrap();
        found += usize::from(alarms(&all));
        let tests = all.changes().filter(|(_, change)| change.verdict == Verdict::Regression);
        let largest = tests.filter_map(|(_, change)| change.test).map(|test| test.effect);
        smallest = smallest.min(largest.fold(0.0, f64::max));
    }
    let repeats = study.repeats;
    println!("found in {found} of {repeats} repeats; the largest effect was {smallest:.3} or more");
    assert!(found * 100 >= repeats * 95, "{found} of {repeats}");
}
