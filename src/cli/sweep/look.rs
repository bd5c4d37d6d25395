//! What a manifest expands to, and how far it is.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::store::Store;
use crate::sweep::{Expansion, Grid};

use super::estimate::Cost;
use super::job::{Job, load};
use super::{Format, ManifestArgs, Where};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{print, remark};

/// Shows what a manifest expands to.
pub(super) fn plan(place: &ManifestArgs, list: bool) -> Result<Exit, CliError> {
    let grid = load(place)?;
    grid.check_ends()?;
    let mut text = format!("{}: {}\n", grid.manifest.name, shape(&grid));
    let mut say = |line: String| writeln!(text, "{line}").expect("a string takes all");
    for expansion in &grid.expansions {
        say(expansion_text(expansion));
    }
    for source in grid.describe_sources() {
        say(format!("requests: {source}"));
    }
    let seeds = grid.manifest.seeds.len() as f64;
    let requests: f64 = (0..grid.num_cells()).map(|cell| grid.requests_of(cell) * seeds).sum();
    say(format!("simulated requests: about {requests:.0}"));
    let cost = Cost::of(&grid)?;
    let between = cost.between.map(|(low, high)| format!(" ({} to {})", span(low), span(high)));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    // A trace without a rate of its own does not say how much work it is.
    if cost.cpu_s.is_finite() {
        say(format!(
            "about {}{} of CPU time, {} on {threads} threads; {} on the disk",
            span(cost.cpu_s),
            between.unwrap_or_default(),
            span(cost.wall_s(threads)),
            bytes(cost.disk),
        ));
    }
    let most = grid.runs().filter(|run| run.seed == 0).map(|run| grid.estimated_bytes(run)).max();
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

/// `0.3 s`, `12 s`, `4 min`, `3.2 h`.
fn span(seconds: f64) -> String {
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

/// `7 cells × 5 seeds = 35 runs`.
pub(super) fn shape(grid: &Grid) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
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

/// Says how many runs are done. Their numbers are not read.
pub(super) fn status(place: &Where, format: Format) -> Result<Exit, CliError> {
    let (job, index) = Job::open_with_index(place)?;
    let left = job.plan.run_ids().filter(|run_id| !index.has_run(*run_id)).count();
    let (runs, done) = (job.plan.len(), job.plan.len() - left);
    let folder = job.store.root().display();
    match format {
        Format::Text => print(&format!(
            "{}: {done} of {runs} runs are done, {left} are not; in {folder}\n",
            job.grid.manifest.name
        ))?,
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
                "damaged_parts": damaged,
            });
            print(&format!("{status:#}\n"))?;
        }
        Format::Csv => print(&format!("runs,done,missing\n{runs},{done},{left}\n"))?,
    }
    Ok(Exit::Success)
}

/// Removes what killed processes left half written and, if asked to, parts that can't be read.
pub(super) fn gc(folder: &Path, older_than_h: u32, damaged: bool) -> Result<Exit, CliError> {
    if !folder.is_dir() {
        let message = format!("{}: no such folder", folder.display());
        return Err(
            CliError::new(message).hint("give a folder of results, such as results/capacity")
        );
    }
    let age = Duration::from_secs(u64::from(older_than_h) * 3_600);
    let store = Store::open(folder)?;
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
