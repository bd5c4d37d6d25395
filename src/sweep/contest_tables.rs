//! Comparisons of cells as tables.

use crate::stats::simultaneous_confidence;
use crate::tables::{
    DuelRow, Frame, RivalRow, RunIndex, TableError, best_frame, comparisons_frame, select,
};

use super::comparisons::{Comparer, Contest};
use super::grid::Grid;
use super::plan::Plan;

/// Makes the tables of comparisons and of the best from all contests of a grid.
///
/// # Errors
///
/// When polars refuses, which would be our fault.
pub fn contest_frames(
    grid: &Grid,
    plan: &Plan,
    comparer: &Comparer<'_>,
    contests: &[Contest],
) -> Result<[Frame; 2], TableError> {
    let confidence = grid.manifest.statistics.interval.confidence;
    let axis = comparer.over();
    let id = |cell: usize| plan.cell_id(cell).to_owned();
    let (mut duels, mut rivals) = (Vec::new(), Vec::new());
    let (mut of_duels, mut of_rivals) = (Vec::new(), Vec::new());
    for contest in contests {
        let (metric, unit) = (&contest.metric.name, contest.metric.unit);
        let level = simultaneous_confidence(confidence, contest.duels.len());
        for duel in &contest.duels {
            let both = duel.rivals.map(|at| &contest.rivals[at]);
            of_duels.push(both[0].cell);
            duels.push(DuelRow {
                axis: axis.to_owned(),
                values: both.map(|rival| rival.value.clone()),
                cell_ids: both.map(|rival| id(rival.cell)),
                metric: metric.clone(),
                unit,
                num_unpaired: duel.num_unpaired,
                comparison: duel.comparison.clone(),
                level,
                num_comparisons: contest.duels.len(),
                note: duel.note,
            });
        }
        for rival in &contest.rivals {
            of_rivals.push(rival.cell);
            rivals.push(RivalRow {
                axis: axis.to_owned(),
                value: rival.value.clone(),
                cell_id: id(rival.cell),
                metric: metric.clone(),
                unit,
                num_common: contest.num_common,
                num_cells: contest.rivals.len(),
                mean: rival.mean,
                regret: rival.regret,
                regret_hi: rival.regret_hi,
                may_be_best: rival.may_be_best,
                is_best: rival.is_best,
                level: confidence,
                note: contest.note,
            });
        }
    }
    let axes = |cells: Vec<usize>| {
        let runs: Vec<RunIndex> =
            cells.into_iter().map(|cell| RunIndex { cell, seed: 0 }).collect();
        let all = grid.axes(0..grid.num_cells(), &grid.axis_columns(), &runs)?;
        select(&all, &comparer.common_axes())
    };
    let best = best_frame(axes(of_rivals)?, &rivals)?;
    Ok([comparisons_frame(axes(of_duels)?, &duels)?, best])
}
