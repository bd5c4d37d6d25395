//! What a manifest expands to, and how far it is.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::store::Store;
use crate::sweep::{Grid, Shard};

use super::job::{Job, load};
use super::{Format, Where};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{print, remark};

/// Shows what a manifest expands to.
pub(super) fn plan(path: &Path) -> Result<Exit, CliError> {
    let grid = load(path)?;
    let manifest = &grid.manifest;
    let requests: f64 = manifest.rates_rps.iter().map(|rate| grid.requests_at(*rate)).sum::<f64>()
        * (grid.num_runs() / manifest.rates_rps.len()) as f64;
    grid.check_ends()?;
    let mut text = format!("{}: {}\n", manifest.name, shape(&grid));
    let mut say = |line: String| writeln!(text, "{line}").expect("a string takes all");
    let seconds = grid.duration().as_secs();
    say(format!("requests: {}; {seconds:.0} s a run", grid.describe_source()));
    say(format!("simulated requests: about {requests:.0}"));
    for loaded in &manifest.configs {
        say(format!("config {}: {}", loaded.name, loaded.path.display()));
    }
    print(&text)?;
    Ok(Exit::Success)
}

/// `1 config × 7 algorithms × 7 rates × 5 seeds = 245 runs`.
pub(super) fn shape(grid: &Grid) -> String {
    let manifest = &grid.manifest;
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format!(
        "{} × {} × {} × {} = {}",
        count(manifest.configs.len(), "config"),
        count(manifest.algorithms.len(), "algorithm"),
        count(manifest.rates_rps.len(), "rate"),
        count(manifest.seeds.len(), "seed"),
        count(grid.num_runs(), "run"),
    )
}

/// Says how many runs are done. Their numbers are not read.
pub(super) fn status(place: &Where, format: Format) -> Result<Exit, CliError> {
    let job = Job::open(&place.manifest, place.out.as_deref())?;
    let index = job.index()?;
    let left = job.plan.to_do(Shard::WHOLE, |run_id| index.status(run_id).is_some()).len();
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

/// Removes what killed processes left half written.
pub(super) fn gc(folder: &Path, older_than_h: u32) -> Result<Exit, CliError> {
    if !folder.is_dir() {
        let message = format!("{}: no such folder", folder.display());
        return Err(
            CliError::new(message).hint("give a folder of results, such as results/capacity")
        );
    }
    let age = Duration::from_secs(u64::from(older_than_h) * 3_600);
    let removed = Store::open(folder)?.gc(before(age))?;
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
