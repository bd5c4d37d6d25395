//! Running a manifest, or what is left of it, and the tables of all.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use super::events::{Call, EventLog};
use super::failures::{Failures, is_of_machine};
use super::job::{Executed, How, Job};
use super::look::shape;
use super::progress::ProgressArg;
use super::provenance::{Clock, metadata, provenance};
use super::show::{Made, failures, show};
use super::{MergeArgs, RunArgs};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{OutputFile, remark};
use crate::cli::results::are_current;
use crate::cli::signals::{nothing_written, watch_interrupt};
use crate::store::{RunId, Stored};
use crate::sweep::{Balance, ExecutionSpec, Gathered, Pool, Shard, StopFlag, Tolerance};
use crate::tables::{RunIndex, RunRow, TimingRow, timing_frame, write_parquet};

/// Runs what is not done yet.
pub(super) fn run(args: &RunArgs) -> Result<Exit, CliError> {
    let log = EventLog::default();
    let done = run_and_tell(args, &log);
    log.finish(&done);
    done
}

fn run_and_tell(args: &RunArgs, log: &EventLog) -> Result<Exit, CliError> {
    let shard = args.shard.map_or(Ok(Shard::WHOLE), super::shard::resolve)?;
    watch_interrupt(nothing_written);
    let mut job = Job::open(&args.place())?;
    // A folder that can't be written is found before the work.
    job.store.claim(&job.grid.manifest.name)?;
    let (stored, to_do) = to_do(&mut job, args, shard)?;
    let is_current = to_do.is_empty() && has_current_tables(&job);
    let files = (shard == Shard::WHOLE && !is_current).then(|| job.result_files());
    let files = files.transpose()?;
    let pool = job.pool(args.threads.map_or(0, usize::from))?;
    let clock = Clock::start();
    let work = Work { args, shard, log, pool: &pool };
    let executed = work.execute(&mut job, to_do)?;
    let own = own_runs(&job, args, shard);
    let (ended, folder) = (executed.ended, job.store.root().display());
    let done = own - ended.left - ended.failed;
    if ended.left > 0 && executed.stopped {
        remark(&format!(
            "stopped: {done} of {own} runs are done and kept in {folder}; the same command goes on"
        ));
        return Ok(Exit::Stopped);
    }
    if shard != Shard::WHOLE {
        let (index, count) = (shard.index, shard.count);
        remark(&format!("shard {index}/{count}: {done} of its {own} runs are in {folder}"));
        tell_ended(&executed);
        failures(executed.failed.iter().map(told));
        let all_well = ended.failed + ended.left == 0;
        return Ok(if all_well { Exit::Success } else { Exit::FailedRuns });
    }
    let stored = stored.filter(|_| ended.ran == 0).map_or_else(|| job.read(), Ok)?;
    // Those of this time are known by now, too.
    let failed = job.failed_rows(&job.known_failures()?, |id| stored.has_results(id));
    let gathered = Gathered::new(&job.grid, &job.plan, &stored, &failed);
    let timed = write_timings(&job, &executed.timings);
    let made = Made { pool_threads: pool.threads(), clock };
    let exit = show(&job, files, (&stored, &gathered), args.format, &made)?;
    tell_ended(&executed);
    // The answer comes before a word on a full disk.
    timed?;
    Ok(exit)
}

/// Returns the runs that are to be done, and what was read to find out, if results were.
fn to_do(
    job: &mut Job,
    args: &RunArgs,
    shard: Shard,
) -> Result<(Option<Stored>, Vec<RunIndex>), CliError> {
    let part = part(job, args, shard);
    let is_new = |is_done: bool| args.fresh || !is_done;
    // The results are for the tables, which a shard does not make.
    if shard == Shard::WHOLE || job.is_sequential() {
        let stored = job.read()?;
        let none = Stored::default();
        job.want(if args.fresh { &none } else { &stored }, &BTreeSet::new(), shard)?;
        let to_do = job.plan.to_do(&job.grid, part, |id| !is_new(stored.has_run(id)));
        Ok((Some(stored), to_do))
    } else {
        let index = job.index()?;
        let to_do = job.plan.to_do(&job.grid, part, |id| !is_new(index.has_run(id)));
        Ok((None, to_do))
    }
}

/// The part of the plan that a shard does: all of it where the plan is of the shard already.
fn part(job: &Job, args: &RunArgs, shard: Shard) -> (Shard, Balance) {
    let shard = if job.is_sequential() { Shard::WHOLE } else { shard };
    (shard, args.balance.into())
}

fn own_runs(job: &Job, args: &RunArgs, shard: Shard) -> usize {
    job.plan.to_do(&job.grid, part(job, args, shard), |_| false).len()
}

/// What one call is to do.
struct Work<'a> {
    args: &'a RunArgs,
    shard: Shard,
    log: &'a EventLog,
    pool: &'a Pool,
}

impl Work<'_> {
    /// Executes runs, and those that are wanted once their results are known.
    fn execute(&self, job: &mut Job, mut to_do: Vec<RunIndex>) -> Result<Executed, CliError> {
        let Self { args, shard, log, pool } = *self;
        let spec = execution(args, &job.grid.manifest.execution);
        let own = own_runs(job, args, shard);
        let mut done_before = own - to_do.len();
        if done_before > 0 {
            remark(&format!("{done_before} of {own} runs were done before"));
        }
        let (command, manifest) = ("run", args.manifest.as_path());
        let call = Call { command, manifest, shard, to_do: to_do.len(), done_before };
        call.keep(job);
        if !to_do.is_empty() {
            log.start(job, &call);
            if job.is_sequential() && args.progress == ProgressArg::Auto {
                remark(&shape(job));
            }
        }
        let stop = Arc::new(StopFlag::new());
        let mut all = Executed::default();
        let mut tried = Tried::default();
        loop {
            // The failures of all rounds count together.
            let most = spec.max_failures.map(|most| most.of(job.plan.len()));
            let left = most.map(|most| Tolerance::Runs(most.saturating_sub(all.ended.failed)));
            let spec = ExecutionSpec { max_failures: left, ..spec };
            let how = How { spec: &spec, progress: args.progress, done_before, log, stop: &stop };
            let executed = job.execute(pool, how, &to_do)?;
            tried.add(job, &to_do, &executed);
            let is_last = !job.is_sequential() || to_do.is_empty() || executed.ended.left > 0;
            all.add(executed);
            if is_last {
                break;
            }
            let mut stored = job.read_again()?;
            if args.fresh {
                stored.retain(|id| tried.runs.contains(&id));
            }
            job.want(&stored, &tried.failed, shard)?;
            let is_known = |id: RunId| stored.has_run(id) || tried.failed.contains(&id);
            to_do = job.plan.to_do(&job.grid, part(job, args, shard), is_known);
            done_before = job.plan.len() - to_do.len();
            let too_many = most.is_some_and(|most| all.ended.failed > most);
            all.stopped = stop.is_set();
            if to_do.is_empty() || too_many || all.stopped {
                all.ended.left = to_do.len();
                break;
            }
        }
        // From here on results may have been written.
        watch_interrupt(|| "interrupted".to_owned());
        Ok(all)
    }
}

/// What one call has tried.
#[derive(Default)]
struct Tried {
    runs: BTreeSet<RunId>,
    /// Those of them that failed: they are not tried again by this call.
    failed: BTreeSet<RunId>,
}

impl Tried {
    fn add(&mut self, job: &Job, runs: &[RunIndex], executed: &Executed) {
        let id = |run: RunIndex| job.identity.run_id(run.cell, job.grid.manifest.seeds[run.seed]);
        self.runs.extend(runs.iter().map(|run| id(*run)));
        let lost = executed.failed.iter().chain(&executed.timed_out);
        self.failed.extend(lost.map(|row| id(row.index)));
    }
}

/// How runs are executed: as the manifest says, unless the command line says something else.
fn execution(args: &RunArgs, of_manifest: &ExecutionSpec) -> ExecutionSpec {
    ExecutionSpec {
        memory_bytes: args.memory.map(|mb| mb * 1_000_000).or(of_manifest.memory_bytes),
        max_failures: args.max_failures.or(of_manifest.max_failures),
        ..*of_manifest
    }
}

/// Writes what the runs took, which is no part of the results; when none ran, that of the last
/// time stays.
fn write_timings(job: &Job, timings: &[TimingRow]) -> Result<(), CliError> {
    if timings.is_empty() {
        return Ok(());
    }
    let file = OutputFile::create(&job.store.root().join("timing.parquet"))?;
    let mut frame = timing_frame(timings)?;
    let metadata = metadata(&job.grid, &job.inputs);
    file.finish(|out| write_parquet(&mut frame, &metadata, out).map_err(std::io::Error::other))
}

/// Says which runs took too long, and whether too many have failed.
fn tell_ended(executed: &Executed) {
    failures(executed.timed_out.iter().map(told));
    let Executed { ended, timed_out, .. } = executed;
    if !timed_out.is_empty() {
        let late = number_of(timed_out.len());
        remark(&format!(
            "{late} took too long or could not be written: tried again next time, and missing until then"
        ));
    }
    if ended.left > 0 {
        let (failed, left) = (number_of(ended.failed), number_of(ended.left));
        remark(&format!(
            "gave up: {failed} failed, more than may; {left} did not begin, and the same command \
             goes on with them"
        ));
    }
}

fn number_of(runs: usize) -> String {
    format!("{runs} run{}", if runs == 1 { "" } else { "s" })
}

fn told(row: &RunRow) -> (String, u64, Option<&String>) {
    (row.cell.label.clone(), row.seed, row.outcome.as_ref().err().map(|failure| &failure.error))
}

/// Makes the tables of what is done, by whatever processes.
pub(super) fn merge(args: &MergeArgs) -> Result<Exit, CliError> {
    watch_interrupt(nothing_written);
    let clock = Clock::start();
    let mut job = Job::open(&args.place)?;
    let stored = job.read()?;
    let known = job.known_failures()?;
    job.want(&stored, &known.keys().copied().collect(), Shard::WHOLE)?;
    let failed = job.failed_rows(&known, |run_id| stored.has_results(run_id));
    let gathered = Gathered::new(&job.grid, &job.plan, &stored, &failed);
    if gathered.missing() > 0 && !args.allow_partial {
        tell_missing(&job, &known, (failed.len(), gathered.missing()));
        return Ok(Exit::FailedRuns);
    }
    job.store.claim(&job.grid.manifest.name)?;
    let (command, manifest) = ("merge", args.place.manifest.manifest.as_path());
    let call = Call { command, manifest, shard: Shard::WHOLE, to_do: 0, done_before: 0 };
    call.keep(&job);
    let files = job.result_files()?;
    let made = Made { pool_threads: 1, clock };
    show(&job, Some(files), (&stored, &gathered), args.format, &made)
}

/// Says how many runs are missing, and what is known of them.
fn tell_missing(job: &Job, known: &Failures, (failed, missing): (usize, usize)) {
    let folder = job.store.root().display();
    let mut message = format!("{folder}: {missing} of {} runs are missing", job.plan.len());
    if failed > 0 {
        write!(message, ", and {} failed", number_of(failed)).expect("a string takes all");
    }
    let late = job.plan.run_ids().filter_map(|id| known.get(&id)).find(|run| is_of_machine(run));
    if let Some(late) = late {
        write!(message, "; of one it is known: {}", late.error).expect("a string takes all");
    }
    let hint = "run the sweep again without --shard to do them, or give --allow-partial";
    CliError::new(message).hint(hint).report();
}

/// Whether the tables are there as they would be written, all runs being done.
fn has_current_tables(job: &Job) -> bool {
    let now = provenance(job, &Clock::start(), 1, (0, 0));
    are_current(job.store.root(), &job.grid.manifest.text, &now)
}
