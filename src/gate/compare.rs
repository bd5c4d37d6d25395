//! Cells and metrics against those of a baseline.

use std::collections::{BTreeMap, BTreeSet};

use super::side::{FailedSeed, GateError, Side, SideCell};
use super::spec::{GateSpec, Judged};
use crate::stats::{CONFIDENCE, GateTest, Margin, Verdict, gate_test, holm, verdicts};
use crate::tables::{Frame, TableError, row_bytes, select};

/// What tells the requests of a run apart, whatever served them.
const OF_REQUESTS: [&str; 4] = [
    "requests_count",
    "drawn_prompt_mean_tokens",
    "drawn_output_mean_tokens",
    "drawn_interarrival_mean_s",
];

/// New runs against those of a baseline.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Cells that both sides have, in the order of the new ones.
    pub cells: Vec<CellChange>,
    /// Cells that the baseline lacks.
    pub only_new: Vec<CellName>,
    /// Cells that the new side lacks.
    pub only_old: Vec<CellName>,
    /// Columns of results that the baseline lacks, which were not compared.
    pub columns_only_new: Vec<String>,
    /// Columns of results that the new side lacks, which were not compared.
    pub columns_only_old: Vec<String>,
}

/// A cell that one side alone has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellName {
    /// What it is called.
    pub label: String,
    /// Its id.
    pub id: String,
    /// How many runs it has.
    pub runs: usize,
}

/// What says that two cells are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairedBy {
    /// Its `cell_id`: all that its numbers depend on, but for the engine.
    Id,
    /// Its `cell_label` alone: a config, a workload or a trace has changed.
    Label,
}

/// A cell, new against old.
#[derive(Clone, Debug)]
pub struct CellChange {
    /// What the new one is called.
    pub label: String,
    /// Its id.
    pub id: String,
    /// The id of the old one.
    pub old_id: String,
    /// What says that they are the same.
    pub by: PairedBy,
    /// Pairs of runs that both ended well.
    pub pairs: usize,
    /// Those of them in which any column of results differs.
    pub changed_pairs: usize,
    /// Columns of results that differ in any pair.
    pub changed_columns: Vec<String>,
    /// Whether the requests of any pair differ, so that it shares no more than its seed.
    pub other_requests: bool,
    /// New runs that failed.
    pub failed_new: Vec<FailedSeed>,
    /// Old runs that failed.
    pub failed_old: Vec<FailedSeed>,
    /// Seeds that the old cell lacks.
    pub seeds_only_new: Vec<u64>,
    /// Seeds that the new cell lacks.
    pub seeds_only_old: Vec<u64>,
    /// What is judged, in the order of the spec. A metric without a value on either side is left
    /// out.
    pub metrics: Vec<MetricChange>,
}

/// A metric of a cell, new against old.
#[derive(Clone, Debug)]
pub struct MetricChange {
    /// Which metric.
    pub judged: Judged,
    /// Pairs that have it on both sides.
    pub pairs: usize,
    /// Pairs that have it on the old side alone.
    pub lost: usize,
    /// Pairs that have it on the new side alone.
    pub found: usize,
    /// Mean of the pairs' old values.
    pub old_mean: Option<f64>,
    /// Mean of the pairs' new values.
    pub new_mean: Option<f64>,
    /// What the change looks like; none when nothing changed, and below two pairs.
    pub test: Option<GateTest>,
    /// p of "worse", adjusted for all that is judged.
    pub p_worse: Option<f64>,
    /// p of "better", adjusted likewise.
    pub p_better: Option<f64>,
    /// The decision.
    pub verdict: Verdict,
}

/// Compares the runs of a grid with those of a baseline.
///
/// Cells are the same that have one `cell_id`, and of the rest those that have one `cell_label`. Runs
/// of one cell and seed are a pair when both ended well. Columns of results that one side lacks do
/// not count as a change. A metric is decided on by the pairs that have it on both sides; where some
/// have it on one side alone, "unchanged", "equivalent" and "improved" become inconclusive.
///
/// # Errors
///
/// When one of them is no table of runs, no run of both sides has the same cell and seed, or the
/// risk is not between 0 and 1.
pub fn compare(spec: &GateSpec, new: &Frame, old: &Frame) -> Result<Comparison, GateError> {
    let (new, old) = (Side::read("the new side", new)?, Side::read("the baseline", old)?);
    let pairs = paired(&new.cells, &old.cells);
    if pairs.is_empty() {
        return Err(GateError::NoCell { new: new.cells.len(), old: old.cells.len() });
    }
    let shares_seed = |pair: &CellPair<'_>| pair.new.seeds().any(|seed| pair.old.has(seed));
    if !pairs.iter().any(shares_seed) {
        return Err(GateError::NoSeed);
    }
    let lacking = |own: &[SideCell], place: fn(&CellPair<'_>) -> usize| {
        let taken: BTreeSet<usize> = pairs.iter().map(place).collect();
        let alone = own.iter().enumerate().filter(|(place, _)| !taken.contains(place));
        alone.map(|(_, cell)| CellName::of(cell)).collect::<Vec<_>>()
    };
    let (new_columns, old_columns) = (new.result_columns(), old.result_columns());
    let without = |own: &[String], other: &[String]| {
        own.iter().filter(|name| !other.contains(name)).cloned().collect::<Vec<_>>()
    };
    let mut cells: Vec<CellChange> = pairs.iter().map(CellPair::change).collect();
    let common: Vec<&String> =
        new_columns.iter().filter(|name| old_columns.contains(name)).collect();
    note_changes(&mut cells, &pairs, (&new, &old), &common)?;
    for judged in &spec.metrics {
        let (new_values, old_values) = (new.values(judged.name)?, old.values(judged.name)?);
        for (cell, pair) in cells.iter_mut().zip(&pairs) {
            cell.metrics.extend(MetricChange::of(*judged, pair, &new_values, &old_values));
        }
    }
    decide(&mut cells, spec.risk)?;
    Ok(Comparison {
        only_new: lacking(&new.cells, |pair| pair.places.0),
        only_old: lacking(&old.cells, |pair| pair.places.1),
        columns_only_new: without(&new_columns, &old_columns),
        columns_only_old: without(&old_columns, &new_columns),
        cells,
    })
}

/// Two cells that are the same.
struct CellPair<'s> {
    new: &'s SideCell,
    old: &'s SideCell,
    /// Places of the two among the cells of their side.
    places: (usize, usize),
    by: PairedBy,
    /// Rows of the runs of one seed that both ended well: new, old.
    rows: Vec<(usize, usize)>,
}

/// What equal cells have in common.
type Key = for<'c> fn(&'c SideCell) -> (&'c str, &'c str);

/// Pairs cells, in the order of the new ones.
fn paired<'s>(new: &'s [SideCell], old: &'s [SideCell]) -> Vec<CellPair<'s>> {
    let mut partners: Vec<Option<(usize, PairedBy)>> = vec![None; new.len()];
    let mut taken = vec![false; old.len()];
    // Cells that differ in their names alone share an id: those of one name go together first.
    let keys: [(Key, PairedBy); 3] = [
        (|cell| (&cell.id, &cell.label), PairedBy::Id),
        (|cell| (&cell.id, ""), PairedBy::Id),
        (|cell| (&cell.label, ""), PairedBy::Label),
    ];
    for (key, by) in keys {
        let mut places: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (place, cell) in old.iter().enumerate().rev().filter(|(place, _)| !taken[*place]) {
            places.entry(key(cell)).or_default().push(place);
        }
        for (cell, partner) in new.iter().zip(&mut partners).filter(|(_, own)| own.is_none()) {
            if let Some(place) = places.get_mut(&key(cell)).and_then(Vec::pop) {
                taken[place] = true;
                *partner = Some((place, by));
            }
        }
    }
    let pair = |(place, partner): (usize, Option<(usize, PairedBy)>)| {
        let (old_place, by) = partner?;
        let (new, old) = (&new[place], &old[old_place]);
        let rows = new.rows.iter().filter_map(|(seed, row)| Some((*row, *old.rows.get(seed)?)));
        Some(CellPair { new, old, places: (place, old_place), by, rows: rows.collect() })
    };
    partners.into_iter().enumerate().filter_map(pair).collect()
}

impl CellPair<'_> {
    fn change(&self) -> CellChange {
        let alone = |own: &SideCell, other: &SideCell| {
            let alone: BTreeSet<u64> = own.seeds().filter(|seed| !other.has(*seed)).collect();
            alone.into_iter().collect()
        };
        CellChange {
            label: self.new.label.clone(),
            id: self.new.id.clone(),
            old_id: self.old.id.clone(),
            by: self.by,
            pairs: self.rows.len(),
            changed_pairs: 0,
            changed_columns: Vec::new(),
            other_requests: false,
            failed_new: self.new.failures(),
            failed_old: self.old.failures(),
            seeds_only_new: alone(self.new, self.old),
            seeds_only_old: alone(self.old, self.new),
            metrics: Vec::new(),
        }
    }
}

impl CellName {
    fn of(cell: &SideCell) -> Self {
        let (label, id) = (cell.label.clone(), cell.id.clone());
        Self { label, id, runs: cell.seeds().count() }
    }
}

/// Notes which columns and pairs of each cell differ, bit by bit.
fn note_changes(
    cells: &mut [CellChange],
    pairs: &[CellPair<'_>],
    (new, old): (&Side, &Side),
    columns: &[&String],
) -> Result<(), GateError> {
    let wrong = |side| move |source| GateError::NoRuns { side, source };
    let mut changed: Vec<Vec<bool>> =
        pairs.iter().map(|pair| vec![false; pair.rows.len()]).collect();
    for name in columns {
        let bytes = |side: &Side| -> Result<_, TableError> {
            row_bytes(&select(&side.frame, &[(*name).clone()])?, &[])
        };
        let new_bytes = bytes(new).map_err(wrong("the new side"))?;
        let old_bytes = bytes(old).map_err(wrong("the baseline"))?;
        for ((cell, pair), changed) in cells.iter_mut().zip(pairs).zip(&mut changed) {
            let mut any = false;
            for ((new, old), changed) in pair.rows.iter().zip(changed) {
                let differs = new_bytes[*new] != old_bytes[*old];
                any |= differs;
                *changed |= differs;
            }
            if any {
                cell.other_requests |= OF_REQUESTS.contains(&name.as_str());
                cell.changed_columns.push((*name).clone());
            }
        }
    }
    for (cell, changed) in cells.iter_mut().zip(changed) {
        cell.changed_pairs = changed.into_iter().filter(|changed| *changed).count();
    }
    Ok(())
}

impl MetricChange {
    /// Measures a metric of a cell; none when no pair has it.
    fn of(
        judged: Judged,
        pair: &CellPair<'_>,
        new: &[Option<f64>],
        old: &[Option<f64>],
    ) -> Option<Self> {
        let (mut news, mut olds) = (Vec::new(), Vec::new());
        let (mut lost, mut found) = (0, 0);
        for (new_row, old_row) in &pair.rows {
            match (new[*new_row], old[*old_row]) {
                (Some(new), Some(old)) => {
                    news.push(new);
                    olds.push(old);
                }
                (None, Some(_)) => lost += 1,
                (Some(_), None) => found += 1,
                (None, None) => {}
            }
        }
        let pairs = news.len();
        if pairs + lost + found == 0 {
            return None;
        }
        let mean =
            |values: &[f64]| (pairs > 0).then(|| values.iter().sum::<f64>() / values.len() as f64);
        let (new_mean, old_mean) = (mean(&news), mean(&olds));
        let share = judged.min_effect * old_mean.unwrap_or(0.0).abs();
        let margin = Margin { relative: judged.min_effect, absolute: share };
        let test = gate_test(&olds, &news, judged.better, margin, CONFIDENCE);
        // One pair has no spread, but it can be equal.
        let is_equal = pairs > 0 && news.iter().zip(&olds).all(|(new, old)| new - old == 0.0);
        let verdict = if is_equal { Verdict::Unchanged } else { Verdict::Inconclusive };
        let (p_worse, p_better) = (None, None);
        Some(Self {
            judged,
            pairs,
            lost,
            found,
            old_mean,
            new_mean,
            test,
            p_worse,
            p_better,
            verdict,
        })
    }

    /// Returns whether some pairs have the metric on one side alone.
    pub fn is_partly_known(&self) -> bool {
        self.lost + self.found > 0
    }

    /// Takes back what pairs without the metric on one side might have changed.
    fn settle(&mut self) {
        match self.verdict {
            Verdict::Unchanged | Verdict::Equivalent | Verdict::Improved
                if self.is_partly_known() =>
            {
                self.verdict = Verdict::Inconclusive;
            }
            Verdict::Unchanged => (self.test, self.p_worse, self.p_better) = (None, None, None),
            Verdict::Equivalent
            | Verdict::Improved
            | Verdict::Inconclusive
            | Verdict::Regression => {}
        }
    }
}

/// Decides on all metrics of all cells together. What is unchanged belongs to the family, so that
/// the level does not depend on what has changed.
fn decide(cells: &mut [CellChange], risk: f64) -> Result<(), GateError> {
    let changes = || cells.iter().flat_map(|cell| &cell.metrics);
    let tests: Vec<GateTest> = changes().filter_map(|change| change.test).collect();
    let adjusted = |p: fn(&GateTest) -> f64| holm(&tests.iter().map(p).collect::<Vec<_>>());
    let (worse, better) = (adjusted(|test| test.p_worse), adjusted(|test| test.p_better));
    let decided = verdicts(&tests, risk);
    let (Some(worse), Some(better), Some(decided)) = (worse, better, decided) else {
        return Err(GateError::Risk { risk });
    };
    let mut decided = decided.into_iter().zip(worse).zip(better);
    for change in cells.iter_mut().flat_map(|cell| &mut cell.metrics) {
        if change.test.is_some() {
            let next = decided.next().expect("a decision for each test");
            let ((verdict, worse), better) = next;
            (change.verdict, change.p_worse, change.p_better) =
                (verdict, Some(worse), Some(better));
        }
        change.settle();
    }
    Ok(())
}

impl Comparison {
    /// Returns every metric of every cell with its cell.
    pub fn changes(&self) -> impl Iterator<Item = (&CellChange, &MetricChange)> {
        self.cells.iter().flat_map(|cell| cell.metrics.iter().map(move |metric| (cell, metric)))
    }

    /// Returns how many metrics of cells have that verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.changes().filter(|(_, change)| change.verdict == verdict).count()
    }

    /// Returns how many pairs of runs were compared.
    pub fn pairs(&self) -> usize {
        self.cells.iter().map(|cell| cell.pairs).sum()
    }

    /// Returns how many cells have no column of results that differs.
    pub fn unchanged_cells(&self) -> usize {
        self.cells.iter().filter(|cell| cell.pairs > 0 && cell.changed_pairs == 0).count()
    }

    /// Returns how many new runs failed.
    pub fn failed_new(&self) -> usize {
        self.cells.iter().map(|cell| cell.failed_new.len()).sum()
    }

    /// Returns how many metrics of cells some new run has no value of, where its old one has.
    pub fn lost_metrics(&self) -> usize {
        self.changes().filter(|(_, change)| change.lost > 0).count()
    }

    /// Returns how many runs of the baseline have no new one.
    pub fn lost_runs(&self) -> usize {
        let of_cells: usize = self.cells.iter().map(|cell| cell.seeds_only_old.len()).sum();
        of_cells + self.only_old.iter().map(|cell| cell.runs).sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
