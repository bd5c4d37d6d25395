//! Running a manifest, or what is left of it, and the tables of all.

use super::job::Job;
use super::look::shape;
use super::provenance::{Clock, metadata, provenance};
use super::{Format, MergeArgs, RunArgs};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{print, remark};
use crate::cli::results::{ResultFiles, Results};
use crate::cli::signals::{nothing_written, watch_interrupt};
use crate::cli::warnings::{FEWEST_FOR_P99, warn};
use crate::report::{answers_json, sweep_text};
use crate::store::Stored;
use crate::sweep::{Answer, Gathered, Shard};
use crate::tables::{RunsReader, cells_frame, wide_cells_frame, write_csv};

/// Runs what is not done yet.
pub(super) fn run(args: &RunArgs) -> Result<Exit, CliError> {
    let shard = args.shard.map_or(Ok(Shard::WHOLE), super::shard::resolve)?;
    watch_interrupt(nothing_written);
    let job = Job::open(&args.manifest, args.out.as_deref())?;
    // A folder that can't be written is found before the work.
    job.store.claim(&job.grid.manifest.name)?;
    let files = (shard == Shard::WHOLE).then(|| job.result_files());
    let files = files.transpose()?;
    let stored = job.read()?;
    let to_do = job.plan.to_do(shard, |id| !args.fresh && stored.row(id).is_some());
    let own = job.plan.to_do(shard, |_| false).len();
    if to_do.len() < own {
        remark(&format!("{} of {own} runs were done before", own - to_do.len()));
    }
    let pool = job.pool(args.threads.map_or(0, usize::from))?;
    let clock = Clock::start();
    let (ended, failed) = job.execute(&pool, &to_do)?;
    let stored = if ended.ran > 0 { job.read()? } else { stored };
    let folder = job.store.root().display();
    if ended.left > 0 {
        let done = own - ended.left;
        remark(&format!(
            "stopped: {done} of {own} runs are done and kept in {folder}; the same command goes on"
        ));
        return Ok(Exit::Stopped);
    }
    let Some(files) = files else {
        let (index, count) = (shard.index, shard.count);
        remark(&format!("shard {index}/{count}: its {own} runs are in {folder}"));
        failures(failed.iter().map(|row| (row.cell.id(), row.seed, row.outcome.as_ref().err())));
        return Ok(if failed.is_empty() { Exit::Success } else { Exit::FailedRuns });
    };
    let gathered = job.plan.gather(&job.grid, &stored, &failed)?;
    let made = Made { pool_threads: pool.threads(), clock };
    show(&job, files, (&stored, gathered), args.format, &made)
}

/// Makes the tables of what is done, by whatever processes.
pub(super) fn merge(args: &MergeArgs) -> Result<Exit, CliError> {
    watch_interrupt(nothing_written);
    let clock = Clock::start();
    let job = Job::open(&args.place.manifest, args.place.out.as_deref())?;
    let stored = job.read()?;
    let gathered = job.plan.gather(&job.grid, &stored, &[])?;
    if gathered.missing > 0 && !args.allow_partial {
        let folder = job.store.root().display();
        let message =
            format!("{folder}: {} of {} runs are missing", gathered.missing, job.plan.len());
        let hint = "run the sweep again without --shard to do them, or give --allow-partial";
        CliError::new(message).hint(hint).report();
        return Ok(Exit::FailedRuns);
    }
    job.store.claim(&job.grid.manifest.name)?;
    let files = job.result_files()?;
    let made = Made { pool_threads: 1, clock };
    show(&job, files, (&stored, gathered), args.format, &made)
}

/// How the results were made.
struct Made {
    pool_threads: usize,
    clock: Clock,
}

fn show(
    job: &Job,
    files: ResultFiles,
    (stored, gathered): (&Stored, Gathered),
    format: Format,
    made: &Made,
) -> Result<Exit, CliError> {
    let (grid, mut runs) = (&job.grid, gathered.runs);
    let mut cells = cells_frame(&runs, &grid.slo_columns())?;
    let mut wide = wide_cells_frame(&cells)?;
    let reader = RunsReader::new(&runs);
    let ran = reader.all()?;
    let (_, failed_runs) = ran.by_status()?;
    let failed = failed_runs.len();
    let seconds = made.clock.seconds();
    let written = files.finish(Results {
        runs: &mut runs,
        cells: &mut cells,
        wide: &mut wide,
        stored: (&job.store, stored),
        metadata: &metadata(grid, &job.inputs),
        manifest: &grid.manifest.text,
        provenance: &provenance(job, &made.clock, made.pool_threads, failed),
    });
    let answers = Answer::of(grid, &runs)?;
    match format {
        Format::Text => print(&sweep_text(grid, &answers))?,
        Format::Json => print(&format!("{:#}\n", answers_json(grid, &answers)))?,
        Format::Csv => {
            let mut csv = Vec::new();
            write_csv(&mut cells, &mut csv)?;
            print(&String::from_utf8_lossy(&csv))?;
        }
    }
    // The answer was paid for: a full disk does not take it away.
    written?;
    if let Some(fewest) =
        ran.fewest_finished()?.filter(|run| run.measured.finished < FEWEST_FOR_P99)
    {
        warn([(format!("{}, seed {}", fewest.cell_id, fewest.seed), &fewest)]);
    }
    let folder = job.store.root().display();
    remark(&format!("{} in {seconds:.1} s; tables in {folder}", shape(grid)));
    let first = failed_runs.first(3)?;
    failures(first.iter().map(|run| (run.cell_id.clone(), run.seed, run.error.as_ref())));
    Ok(if failed + gathered.missing > 0 { Exit::FailedRuns } else { Exit::Success })
}

/// Says why runs failed: of the first three.
fn failures<'r>(failed: impl Iterator<Item = (String, u64, Option<&'r String>)>) {
    for (cell, seed, error) in failed.take(3) {
        let error = error.map_or("", String::as_str);
        remark(&format!("failed: {cell} seed {seed}: {error}"));
    }
}
