//! What a manifest expands to, and how far it is.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::store::{FailedRun, Index, RunId, Store};
use crate::sweep::{Balance, Expansion, Shard};
use crate::tables::RunIndex;

use super::estimate::Cost;
use super::events::{at_work, processes};
use super::job::Job;
use super::{Format, Where};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{print, remark};

/// Shows what a manifest expands to, how much of it is done and what the rest will take.
pub(super) fn plan(place: &Where, list: bool) -> Result<Exit, CliError> {
    let (job, index) = Job::open_with_index(place)?;
    let grid = &job.grid;
    grid.check_ends()?;
    let mut text = format!("{}: {}\n", grid.manifest.name, shape(&job));
    let mut say = |line: String| writeln!(text, "{line}").expect("a string takes all");
    for expansion in &grid.expansions {
        say(expansion_text(expansion));
    }
    for source in grid.describe_sources() {
        say(format!("requests: {source}"));
    }
    let of_cell = |cell| grid.requests_of(cell) * job.plan.num_seeds(cell) as f64;
    let requests: f64 = (0..grid.num_cells()).map(of_cell).sum();
    let so_far = if job.is_sequential() { ", of the runs that are known to be wanted" } else { "" };
    say(format!("simulated requests: about {requests:.0}{so_far}"));
    let is_done = |run_id: RunId| index.has_run(run_id);
    let to_do = job.plan.to_do(grid, (Shard::WHOLE, Balance::Runs), is_done);
    let far = Far::of(&job, &index)?;
    let folder = job.store.root().display();
    say(format!("{} of {} runs are done, {}; in {folder}", far.done, far.runs, far.rest("to do")));
    if let Some(cost) = Cost::of(grid, &to_do)? {
        say(cost_text(&cost, far.done > 0));
    }
    let first = |cell| grid.estimated_bytes(RunIndex { cell, seed: 0 });
    let most = (0..grid.num_cells()).map(first).max();
    let megabytes = most.unwrap_or(0).div_ceil(1_000_000);
    say(format!("memory: about {megabytes} MB at most for the largest run"));
    for config in &grid.manifest.configs {
        say(format!("config {}: {}", config.name, config.path.display()));
    }
    if list {
        for cell in grid.cells() {
            say(cell.key.label.clone());
        }
    }
    print(&text)?;
    Ok(Exit::Success)
}

fn cost_text(cost: &Cost, is_rest: bool) -> String {
    let between = cost.between.map(|(low, high)| format!(" ({} to {})", span(low), span(high)));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "about {}{} of CPU time{}, {} on {threads} threads; {} on the disk",
        span(cost.cpu_s),
        between.unwrap_or_default(),
        if is_rest { " for those to do" } else { "" },
        span(cost.wall_s(threads)),
        bytes(cost.disk),
    )
}

/// `0.3 s`, `12 s`, `4 min`, `3.2 h`.
pub(super) fn span(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

/// `12 kB`, `3.4 MB`.
fn bytes(bytes: f64) -> String {
    match bytes {
        b if b < 1e6 => format!("{:.0} kB", b / 1e3),
        b if b < 1e9 => format!("{:.1} MB", b / 1e6),
        b => format!("{:.1} GB", b / 1e9),
    }
}

/// `7 cells × 5 seeds = 35 runs`; of searches, as nobody knows how many it will be, `7 searches in
/// 245 cells, up to 80 seeds; 35 runs`.
pub(super) fn shape(job: &Job) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let grid = &job.grid;
    let most = grid.manifest.seeds.len();
    if grid.manifest.statistics.precision.is_some() {
        let (cells, runs) = (count(grid.num_cells(), "cell"), count(job.plan.len(), "run"));
        return format!("{cells} × {} to {most} seeds: {runs}", grid.manifest.first_seeds);
    }
    if grid.manifest.capacity.is_some() {
        let searches = match grid.lines().len() {
            1 => "1 search".to_owned(),
            several => format!("{several} searches"),
        };
        return format!(
            "{searches} in {}, up to {}; {}",
            count(grid.num_cells(), "cell"),
            count(most, "seed"),
            count(job.plan.len(), "run"),
        );
    }
    format!(
        "{} × {} = {}",
        count(grid.num_cells(), "cell"),
        count(grid.manifest.seeds.len(), "seed"),
        count(grid.num_runs(), "run"),
    )
}

/// `1 config × 7 algorithm × 7 rate = 49 → constraint 40 → exclude 38 → include 39 cells`.
fn expansion_text(expansion: &Expansion) -> String {
    let axes: Vec<String> =
        expansion.axes.iter().map(|(name, len)| format!("{len} {name}")).collect();
    let mut text = match &expansion.name {
        Some(name) => format!("grid {name}: "),
        None => "grid: ".to_owned(),
    };
    write!(text, "{} = {}", axes.join(" × "), expansion.product).expect("a string takes all");
    let kept = expansion.kept + expansion.included;
    let steps = [
        ("when", expansion.product, expansion.applying),
        ("constraint", expansion.applying, expansion.constrained),
        ("exclude", expansion.constrained, expansion.kept),
        ("include", expansion.kept, kept),
        ("in an earlier grid", kept, expansion.cells()),
    ];
    for (step, before, after) in steps {
        if before != after || expansion.asked.contains(&step) {
            write!(text, " → {step} {after}").expect("a string takes all");
        }
    }
    text + " cells"
}

/// How far a sweep is.
struct Far {
    runs: usize,
    done: usize,
    /// Those of the others that failed when they were last tried, and why.
    failed: Vec<FailedRun>,
}

impl Far {
    fn of(job: &Job, index: &Index) -> Result<Self, CliError> {
        let known = job.known_failures()?;
        let (mut done, mut failed) = (0, Vec::new());
        for run_id in job.plan.run_ids() {
            if index.has_run(run_id) {
                done += 1;
            } else if let Some(run) = known.get(&run_id).filter(|_| !index.has_results(run_id)) {
                failed.push(run.clone());
            }
        }
        Ok(Self { runs: job.plan.len(), done, failed })
    }

    fn left(&self) -> usize {
        self.runs - self.done
    }

    /// `12 are not, of which 3 failed when last tried`.
    fn rest(&self, what: &str) -> String {
        let left = self.left();
        let are = if left == 1 { "is" } else { "are" };
        match self.failed.len() {
            0 => format!("{left} {are} {what}"),
            1 if left == 1 => format!("1 is {what}, which failed when last tried"),
            failed => format!("{left} {are} {what}, of which {failed} failed when last tried"),
        }
    }
}

/// Says how many runs are done, why others failed, and who is at work. Numbers are not read.
pub(super) fn status(place: &Where, format: Format) -> Result<Exit, CliError> {
    let (job, index) = Job::open_with_index(place)?;
    let far = Far::of(&job, &index)?;
    let (runs, done, left) = (far.runs, far.done, far.left());
    let folder = job.store.root().display();
    match format {
        Format::Text => {
            let name = &job.grid.manifest.name;
            let rest = far.rest("not");
            let there = if job.store.root().is_dir() { "" } else { ", which is not there yet" };
            let mut text =
                format!("{name}: {done} of {runs} runs are done, {rest}; in {folder}{there}\n");
            for FailedRun { run_id, status, error, .. } in far.failed.iter().take(3) {
                writeln!(text, "{status}: run {run_id}: {error}").expect("a string takes all");
            }
            // Of those that were killed before all was done nobody asks.
            let at_work = if left > 0 { at_work(&job.store)? } else { Vec::new() };
            for line in at_work.iter().rev().take(10) {
                writeln!(text, "{line}").expect("a string takes all");
            }
            print(&text)?;
        }
        Format::Json => {
            let damaged: Vec<_> = index.damaged.iter().map(|part| &part.path).collect();
            let status = json!({
                "schema": "routesim.status/1",
                "sweep": job.grid.manifest.name,
                "folder": job.store.root(),
                "engine": job.fingerprint,
                "runs": runs,
                "done": done,
                "missing": left,
                "failed": far.failed.len(),
                "failures": far.failed.iter().take(100).map(failure_json).collect::<Vec<_>>(),
                "damaged_parts": damaged,
                "processes": processes(&job.store)?,
            });
            print(&format!("{status:#}\n"))?;
        }
        Format::Csv => print(&format!("runs,done,missing\n{runs},{done},{left}\n"))?,
    }
    Ok(Exit::Success)
}

fn failure_json(run: &FailedRun) -> serde_json::Value {
    json!({ "run_id": run.run_id, "status": run.status, "error": run.error })
}

/// Removes what killed processes left half written, what they told of themselves and, if asked to,
/// parts that can't be read.
pub(super) fn gc(folder: &Path, older_than_h: u32, damaged: bool) -> Result<Exit, CliError> {
    if !folder.is_dir() {
        let message = format!("{}: no such folder", folder.display());
        return Err(
            CliError::new(message).hint("give a folder of results, such as results/capacity")
        );
    }
    let age = Duration::from_secs(u64::from(older_than_h) * 3_600);
    let store = Store::open(folder)?;
    store.check_claim()?;
    let mut removed = store.gc(before(age))?;
    if damaged {
        removed.extend(store.discard_damaged()?);
    }
    for path in &removed {
        remark(&format!("removed: {}", path.display()));
    }
    print(&format!("{} files removed\n", removed.len()))?;
    Ok(Exit::Success)
}

#[expect(clippy::disallowed_methods, reason = "the programs are where the clock is read")]
fn before(age: Duration) -> SystemTime {
    SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH)
}
