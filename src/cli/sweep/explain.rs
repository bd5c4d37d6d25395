//! Why a run would run again, or what became of one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Where;
use super::failures::Failures;
use super::job::Job;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::print;
use crate::store::{Index, RunId};
use crate::sweep::{Difference, nearest, run_id};

/// Says what a run or a cell depends on, whether it is done, and what sets it apart from those
/// that are.
pub(super) fn explain(place: &Where, id: &str) -> Result<Exit, CliError> {
    let (job, index) = Job::open_with_index(place)?;
    let kept = job.store.specs()?;
    let failures = job.known_failures()?;
    let text = match find(&job, id) {
        Some((cell, seed)) => of_grid(&job, (&index, &failures), &kept, (cell, seed)),
        None => elsewhere(&job, &index, &kept, id)?,
    };
    print(&text)?;
    Ok(Exit::Success)
}

/// Returns the cell of the grid that an id or a label stands for, and the seed of a run.
fn find(job: &Job, id: &str) -> Option<(usize, Option<u64>)> {
    if let Some(run_id) = RunId::parse(id) {
        let seeds = &job.grid.manifest.seeds;
        let of_cell = |cell: usize| {
            let seed = seeds.iter().find(|seed| job.identity.run_id(cell, **seed) == run_id);
            seed.map(|seed| (cell, Some(*seed)))
        };
        let found = (0..job.grid.num_cells()).find_map(of_cell);
        if found.is_some() {
            return found;
        }
    }
    let cells = job.grid.cells().iter().enumerate();
    let named = |(place, cell): &(usize, &crate::sweep::Cell)| {
        cell.key.label == id || job.identity.cell_id(*place) == id
    };
    cells.into_iter().find(named).map(|(place, _)| (place, None))
}

fn of_grid(
    job: &Job,
    (index, failures): (&Index, &Failures),
    kept: &BTreeMap<String, String>,
    (cell, seed): (usize, Option<u64>),
) -> String {
    let cell_id = job.identity.cell_id(cell);
    let label = &job.grid.cells()[cell].key.label;
    // Of a search, or where seeds are added, not all are wanted.
    let wanted = &job.grid.manifest.seeds[..job.plan.num_seeds(cell)];
    let seeds = seed.map_or(wanted.to_vec(), |seed| vec![seed]);
    let done = |cell_id: &str, seed: u64| index.has_run(run_id(cell_id, seed));
    let num_done = seeds.iter().filter(|seed| done(cell_id, **seed)).count();
    let mut text = format!("cell {cell_id}: {label}\n");
    if wanted.is_empty() {
        say(&mut text, "no run of it is wanted, as far as is known");
    }
    for seed in &seeds {
        let run_id = run_id(cell_id, *seed);
        let state = match failures.get(&run_id) {
            _ if done(cell_id, *seed) => "done".to_owned(),
            Some(failed) => {
                format!("not done, {} when last tried: {}", failed.status, failed.error)
            }
            None if !wanted.contains(seed) => "not wanted, as far as is known".to_owned(),
            None => "not done".to_owned(),
        };
        say(&mut text, &format!("run {run_id}: seed {seed}, {state}"));
    }
    let spec = job.identity.spec(&job.grid, cell);
    if num_done < seeds.len() {
        let all = &job.grid.manifest.seeds;
        let others = kept.iter().filter(|(other, _)| {
            other.as_str() != cell_id && all.iter().any(|seed| done(other, *seed))
        });
        let others = others.map(|(id, text)| (id.as_str(), text.as_str()));
        match nearest(&spec, others) {
            Some((other, differences)) => {
                let here = place_of(job, other);
                say(&mut text, &format!("the nearest cell with finished runs is {other}{here}:"));
                tell(&mut text, &differences, "here", "there");
            }
            None => say(&mut text, "no other cell has finished runs of this engine"),
        }
    }
    say(&mut text, "it depends on (times in picoseconds):");
    let pretty: serde_json::Value = serde_json::from_str(&spec).unwrap_or_default();
    say(&mut text, &format!("{pretty:#}"));
    text
}

/// An id that the manifest does not have: perhaps of before it was changed.
fn elsewhere(
    job: &Job,
    index: &Index,
    kept: &BTreeMap<String, String>,
    id: &str,
) -> Result<String, CliError> {
    let seeds = &job.grid.manifest.seeds;
    let run = RunId::parse(id);
    let of_run = |cell: &str| seeds.iter().any(|seed| Some(run_id(cell, *seed)) == run);
    let of = |cell: &str| cell == id || of_run(cell);
    let Some((cell, spec)) = kept.iter().find(|(cell, _)| of(cell)) else {
        let is_kept = run.is_some_and(|run| index.has_run(run));
        let known = if is_kept { ", but its results are kept" } else { "" };
        let message = format!("{id}: no run or cell of this manifest{known}");
        let hint = "`plan --list` names the cells; column run_id of runs.parquet the runs";
        return Err(CliError::new(message).hint(hint));
    };
    let mut text = format!("{id}: not of this manifest as it is now; cell {cell} of the store\n");
    let mut specs = Vec::with_capacity(job.grid.num_cells());
    for place in 0..job.grid.num_cells() {
        specs.push((job.identity.cell_id(place), job.identity.spec(&job.grid, place)));
    }
    let others = specs.iter().map(|(id, spec)| (*id, spec.as_str()));
    if let Some((nearest, differences)) = nearest(spec, others) {
        let here = place_of(job, nearest);
        say(&mut text, &format!("the nearest cell of the manifest is {nearest}{here}:"));
        tell(&mut text, &differences, "before", "now");
    }
    Ok(text)
}

/// Returns the label of a cell of the grid.
fn place_of(job: &Job, cell_id: &str) -> String {
    let found = (0..job.grid.num_cells()).find(|cell| job.identity.cell_id(*cell) == cell_id);
    found.map_or_else(String::new, |cell| format!(", {}", job.grid.cells()[cell].key.label))
}

fn tell(text: &mut String, differences: &[Difference], own: &str, other: &str) {
    for Difference { path, own: here, other: there } in differences {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
        say(text, &format!("  {path}: {} {own}, {} {other}", shown(here), shown(there)));
    }
}

fn say(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes all");
}
