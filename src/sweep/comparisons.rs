//! Cells that differ in one axis, compared seed by seed.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::metrics::{Better, METRICS};
use crate::stats::{self, AgainstBest, Comparison, ComparisonSpec, against_best, comparisons};
use crate::tables::{CellKey, RunsReader, TableError};

use super::compare_spec::{CompareSpec, Over};
use super::grid::Grid;

/// What a manifest asks to compare of a grid, and the few numbers of its runs that it takes: the
/// cells of a group may lie in several blocks.
#[derive(Debug)]
pub struct Comparer<'g> {
    grid: &'g Grid,
    spec: &'g CompareSpec,
    over: Over,
    metrics: Vec<ComparedMetric>,
    /// By metric, then cell by cell, seeds fastest. An objective that a run lost is infinite.
    values: Vec<Vec<Option<f64>>>,
}

/// A metric that cells are compared in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparedMetric {
    /// Its column.
    pub name: String,
    /// Its unit.
    pub unit: &'static str,
    /// Whether more of it is better.
    pub higher: bool,
}

/// One metric of cells that are equal in all else than the axis that is compared over.
#[derive(Clone, Debug)]
pub struct Contest {
    /// The metric.
    pub metric: ComparedMetric,
    /// Its cells, in the order of the grid.
    pub rivals: Vec<Rival>,
    /// Seeds that all cells have a value of which have any.
    pub num_common: usize,
    /// Every cell with the others, or with the baseline.
    pub duels: Vec<Duel>,
    /// Why there is no comparison with the best; none when there is one.
    pub note: Option<&'static str>,
}

/// A cell among those that it is compared with.
#[derive(Clone, Debug)]
pub struct Rival {
    /// Which cell of the grid.
    pub cell: usize,
    /// Its value on the axis.
    pub value: String,
    /// Its mean over the common seeds; none when it has no value, or an infinite one.
    pub mean: Option<f64>,
    /// How far its mean is behind the best one, at least 0.
    pub regret: Option<f64>,
    /// How far it is behind in truth at most, with the confidence of all cells.
    pub regret_hi: Option<f64>,
    /// Whether it may be the best.
    pub may_be_best: Option<bool>,
    /// Whether it is.
    pub is_best: Option<bool>,
}

/// Two cells.
#[derive(Clone, Debug)]
pub struct Duel {
    /// The first and the second, by their place among the rivals.
    pub rivals: [usize; 2],
    /// Seeds that one of them alone has a value of.
    pub num_unpaired: usize,
    /// What the pairs say.
    pub comparison: Comparison,
    /// Why something is not known.
    pub note: Option<&'static str>,
}

const NO_SEEDS: &str = "no common seeds";
const FEW: &str = "fewer than 3 common seeds";
const SAME: &str = "the seeds change nothing: no variance is known";
const EQUAL: &str = "all are equal under every seed";
const LOST: &str = "infinite under some seed: among requests that did not finish";
const NO_RATIO: &str = "values of 0 or below: no ratio";

impl<'g> Comparer<'g> {
    /// Prepares what a grid's manifest asks for; none when it asks for nothing.
    pub fn of(grid: &'g Grid) -> Option<Self> {
        let spec = grid.manifest.compare.as_ref()?;
        let over = Over::of(&grid.manifest, &spec.over.name)?;
        let metrics = spec.metric_names(grid.objective_columns());
        let metrics: Vec<ComparedMetric> = metrics.into_iter().map(ComparedMetric::of).collect();
        let runs = grid.num_runs();
        let values = metrics.iter().map(|_| vec![None; runs]).collect();
        Some(Self { grid, spec, over, metrics, values })
    }

    /// Takes the numbers of some cells from their table of runs.
    ///
    /// # Errors
    ///
    /// When it is no table of runs, or lacks a metric.
    pub fn add(&mut self, cells: Range<usize>, reader: &RunsReader) -> Result<(), TableError> {
        let seeds = &self.grid.manifest.seeds;
        let by_cell = reader.by_cell(seeds)?;
        let places: BTreeMap<u64, usize> = seeds.iter().copied().zip(0..).collect();
        for cell in cells {
            let label = self.grid.cells()[cell].key.label.as_str();
            let Some(runs) = by_cell.get(label) else { continue };
            let own = runs.whole("seed")?;
            for (metric, values) in self.metrics.iter().zip(&mut self.values) {
                for (seed, value) in own.iter().zip(runs.real_or_lost(&metric.name)?) {
                    if let Some(place) = seed.and_then(|seed| places.get(&seed)) {
                        values[cell * seeds.len() + place] = value;
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns what is asked for.
    pub fn spec(&self) -> &CompareSpec {
        self.spec
    }

    /// Returns the axis that is compared over, as its column is called.
    pub fn over(&self) -> &str {
        &self.over.column
    }

    /// Returns the columns of the axes that cells of a group have in common.
    pub fn common_axes(&self) -> Vec<String> {
        let algorithm = if self.over.parameter.is_some() { "algorithm_name" } else { "algorithm" };
        let axes = ["config", algorithm, "rate_rps"].into_iter().map(str::to_owned);
        let axes = axes.chain(self.grid.coordinates.iter().cloned());
        axes.filter(|column| !self.over.is_free(column)).collect()
    }

    /// Compares the cells of each group, in the order of the grid, metric by metric. A metric that
    /// no cell of a group has a value of is left out there.
    pub fn contests(&self) -> Vec<Contest> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut places: BTreeMap<Vec<String>, usize> = BTreeMap::new();
        for (cell, own) in self.grid.cells().iter().enumerate() {
            let place = *places.entry(self.common(&own.key)).or_insert(groups.len());
            if place == groups.len() {
                groups.push(Vec::new());
            }
            groups[place].push(cell);
        }
        let contest = |cells: &Vec<usize>, metric| self.contest(cells, metric);
        let of_group = |cells| (0..self.metrics.len()).filter_map(move |at| contest(cells, at));
        groups.iter().filter(|cells| cells.len() > 1).flat_map(of_group).collect()
    }

    /// What a cell has in common with those of its group.
    fn common(&self, key: &CellKey) -> Vec<String> {
        let mut common = Vec::new();
        let mut push = |column: &str, value: String| {
            if !self.over.is_free(column) {
                common.push(value);
            }
        };
        push("config", key.config.clone());
        push(
            "algorithm",
            match &self.over.parameter {
                None => key.algorithm.label(),
                Some(varied) => {
                    let others =
                        key.algorithm.parameters().iter().filter(|(name, _)| name != varied);
                    format!("{} {:?}", key.algorithm.name(), others.collect::<Vec<_>>())
                }
            },
        );
        push("rate_rps", format!("{:?}", key.rate_rps));
        for (name, value) in self.grid.coordinates.iter().zip(key.coordinates.iter()) {
            push(name, format!("{value:?}"));
        }
        common
    }

    fn contest(&self, cells: &[usize], metric: usize) -> Option<Contest> {
        let values: Vec<&[Option<f64>]> =
            cells.iter().map(|cell| self.seeds(metric, *cell)).collect();
        if values.iter().all(|own| own.iter().all(Option::is_none)) {
            return None;
        }
        let confidence = self.grid.manifest.statistics.interval.confidence;
        let own = &self.metrics[metric];
        let names: Vec<String> = cells.iter().map(|cell| self.value(*cell)).collect();
        let baseline = self.spec.baseline.as_ref().map(|baseline| baseline.name.as_str());
        let spec = ComparisonSpec { better: own.better(), margin: self.spec.margin, confidence };
        let duels = duels(&values, &pairs(&names, baseline), spec);
        let rivals = cells.iter().zip(names).map(|(cell, value)| Rival::new(*cell, value));
        let mut contest = Contest {
            metric: own.clone(),
            rivals: rivals.collect(),
            num_common: 0,
            duels,
            note: None,
        };
        contest.find_best(&values, confidence);
        Some(contest)
    }

    /// What a cell has on the axis.
    fn value(&self, cell: usize) -> String {
        self.over.value_of(&self.grid.coordinates, &self.grid.cells()[cell].key)
    }

    fn seeds(&self, metric: usize, cell: usize) -> &[Option<f64>] {
        let seeds = self.grid.manifest.seeds.len();
        &self.values[metric][cell * seeds..(cell + 1) * seeds]
    }
}

/// Which rivals are compared, by their place: each with the baselines, or every two.
fn pairs(names: &[String], baseline: Option<&str>) -> Vec<[usize; 2]> {
    let all = || 0..names.len();
    let is_baseline = |at: usize| Some(names[at].as_str()) == baseline;
    match baseline {
        Some(_) => {
            let baselines = all().filter(|at| is_baseline(*at));
            let others = || all().filter(|at| !is_baseline(*at));
            baselines.flat_map(|second| others().map(move |first| [first, second])).collect()
        }
        None => all().flat_map(|first| (first + 1..names.len()).map(move |b| [first, b])).collect(),
    }
}

fn duels(values: &[&[Option<f64>]], pairs: &[[usize; 2]], spec: ComparisonSpec) -> Vec<Duel> {
    let mut samples: Vec<(Vec<f64>, Vec<f64>)> = Vec::with_capacity(pairs.len());
    let mut unpaired = Vec::with_capacity(pairs.len());
    for [a, b] in pairs {
        let both = || values[*a].iter().zip(values[*b]);
        samples.push(both().filter_map(|(a, b)| a.zip(*b)).unzip());
        unpaired.push(both().filter(|(a, b)| a.is_some() != b.is_some()).count());
    }
    let slices: Vec<(&[f64], &[f64])> = samples.iter().map(|(a, b)| (&a[..], &b[..])).collect();
    let compared = comparisons(&slices, spec);
    let found = compared.into_iter().zip(samples).zip(pairs.iter().zip(unpaired));
    found
        .map(|((comparison, (a, b)), (rivals, num_unpaired))| {
            let note = note_of(&comparison, &a, &b);
            Duel { rivals: *rivals, num_unpaired, comparison, note }
        })
        .collect()
}

fn note_of(comparison: &Comparison, a: &[f64], b: &[f64]) -> Option<&'static str> {
    let infinite = a.iter().chain(b).any(|value| value.is_infinite());
    match comparison.n {
        0 => Some(NO_SEEDS),
        _ if infinite => Some(LOST),
        1 | 2 => Some(FEW),
        _ if comparison.p.is_none() => Some(SAME),
        _ if comparison.ratio.is_none() => Some(NO_RATIO),
        _ => None,
    }
}

impl Contest {
    /// Finds which cells may be the best, over the seeds that all of them have which have any.
    fn find_best(&mut self, values: &[&[Option<f64>]], confidence: f64) {
        let some: Vec<usize> =
            (0..values.len()).filter(|at| values[*at].iter().any(Option::is_some)).collect();
        let seeds = values.first().map_or(0, |own| own.len());
        let is_common = |seed: &usize| some.iter().all(|at| values[*at][*seed].is_some());
        let common: Vec<usize> = (0..seeds).filter(is_common).collect();
        self.num_common = common.len();
        let sample = |at: usize| common.iter().filter_map(|seed| values[at][*seed]).collect();
        let samples: Vec<(usize, Vec<f64>)> = some.iter().map(|at| (*at, sample(*at))).collect();
        let infinite = |own: &Vec<f64>| own.iter().any(|value| value.is_infinite());
        let finite: Vec<(usize, &[f64])> = samples
            .iter()
            .filter(|(_, own)| !infinite(own))
            .map(|(at, own)| (*at, &own[..]))
            .collect();
        self.note = if common.is_empty() {
            Some(NO_SEEDS)
        } else if finite.len() < samples.len() {
            Some(LOST)
        } else {
            None
        };
        self.put_means(&finite);
        if common.len() < stats::FEWEST_FOR_INTERVAL {
            self.note = self.note.or(Some(FEW));
            return;
        }
        if finite.windows(2).all(|two| two[0].1 == two[1].1) {
            self.note = self.note.or(Some(EQUAL));
            finite.iter().for_each(|(at, _)| self.rivals[*at].stand_equal());
            return;
        }
        if finite.iter().all(|(_, own)| stats::n_distinct(own) == Some(1)) {
            self.note = self.note.or(Some(SAME));
            return;
        }
        let sign = if self.metric.higher { -1.0 } else { 1.0 };
        let signed: Vec<Vec<f64>> =
            finite.iter().map(|(_, own)| own.iter().map(|value| sign * value).collect()).collect();
        let systems: Vec<&[f64]> = signed.iter().map(Vec::as_slice).collect();
        for ((at, _), own) in
            finite.iter().zip(against_best(&systems, confidence).into_iter().flatten())
        {
            self.rivals[*at].stand(&own);
        }
    }

    /// Sets means and how far they are behind the best of them.
    fn put_means(&mut self, samples: &[(usize, &[f64])]) {
        let mean = |own: &[f64]| stats::Moments::of(own).mean();
        let means: Vec<(usize, f64)> =
            samples.iter().filter_map(|(at, own)| Some((*at, mean(own)?))).collect();
        let all = means.iter().map(|(_, mean)| *mean);
        let best = if self.metric.higher { all.reduce(f64::max) } else { all.reduce(f64::min) };
        for (at, mean) in means {
            self.rivals[at].mean = Some(mean);
            self.rivals[at].regret = best.map(|best| (mean - best).abs());
        }
    }
}

impl Rival {
    fn new(cell: usize, value: String) -> Self {
        Self {
            cell,
            value,
            mean: None,
            regret: None,
            regret_hi: None,
            may_be_best: None,
            is_best: None,
        }
    }

    /// The lower end of the interval is at most 0, so it says by how much the cell may be the best, and
    /// nothing of its regret.
    fn stand(&mut self, own: &AgainstBest) {
        self.regret_hi = Some(own.interval.hi);
        self.may_be_best = Some(own.may_be_best);
        self.is_best = Some(own.is_best());
    }

    /// Of cells that are equal each may be the best, and none is alone.
    fn stand_equal(&mut self) {
        self.regret_hi = Some(0.0);
        self.may_be_best = Some(true);
        self.is_best = Some(false);
    }
}

impl ComparedMetric {
    /// An objective is better low.
    fn of(name: String) -> Self {
        let own = METRICS.iter().find(|metric| metric.name == name);
        let (unit, better) = own.map_or(("ms", Better::Lower), |own| (own.unit, own.better));
        Self { name, unit, higher: better == Better::Higher }
    }

    fn better(&self) -> stats::Better {
        if self.higher { stats::Better::Higher } else { stats::Better::Lower }
    }
}

#[cfg(test)]
mod tests;
