//! The program `routesim-sweep`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::json;

use crate::metrics::METRICS;
use crate::report::{SIGNALS, answers_json, sweep_text};
use crate::sweep::{Answer, Grid, GridError, Manifest, ManifestError, Pool, StopFlag};
use crate::tables::{
    Frame, Metadata, RunIndex, RunRow, RunsReader, SCHEMA_VERSION, TableError, cells_frame,
    runs_frame, stacked, write_csv,
};

use super::error::{CliError, Exit};
use super::output::{print, remark};
use super::progress::{Bar, nothing_written, watch_interrupt};
use super::results::{ResultFiles, Results};
use super::warnings::{FEWEST_FOR_P99, warn};

/// Runs a grid of simulations and says what each algorithm can hold.
#[derive(Debug, Parser)]
#[command(name = "routesim-sweep", version, args_conflicts_with_subcommands = true)]
#[command(max_term_width = 90)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Option<RunArgs>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a manifest expands to, and check all it names
    Plan {
        /// Manifest file
        manifest: PathBuf,
    },
    /// Run a manifest (the default command)
    Run(RunArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Manifest file
    manifest: PathBuf,
    /// Folder for the results (default: results/<name>)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Threads (default: one per core); results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// What to print: a table for people, JSON, or the cells as CSV
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Csv,
}

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come here too; a closed pipe is no error.
            drop(error.print());
            return if error.use_stderr() { Exit::Input } else { Exit::Success }.into();
        }
    };
    let done = match (cli.command, cli.run) {
        (Some(Command::Plan { manifest }), _) => plan(&manifest),
        (Some(Command::Run(args)), _) | (None, Some(args)) => run(&args),
        (None, None) => Err(CliError::new("no manifest").hint("routesim-sweep MANIFEST")),
    };
    done.unwrap_or_else(|error| error.report()).into()
}

fn load(path: &Path) -> Result<Grid, CliError> {
    let grid = Grid::load(Manifest::load(path)?)?;
    for note in &grid.notes {
        let prefix = if note.starts_with("warning: ") { "" } else { "note: " };
        remark(&format!("{prefix}{note}"));
    }
    Ok(grid)
}

fn plan(path: &Path) -> Result<Exit, CliError> {
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
fn shape(grid: &Grid) -> String {
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

fn run(args: &RunArgs) -> Result<Exit, CliError> {
    let grid = load(&args.manifest)?;
    let out = args.out.clone().unwrap_or_else(|| Path::new("results").join(&grid.manifest.name));
    watch_interrupt(nothing_written);
    let files = ResultFiles::create(&out)?;
    let pool = Pool::new(args.threads.map_or(0, usize::from)).map_err(CliError::new)?;
    let clock = Clock::start();
    let bar = Bar::start(&grid.manifest.name, grid.num_runs());
    let terms = grid.slo_columns();
    let mut runs = execute(&pool, &grid, &terms, &bar)?;
    bar.finish();
    let mut cells = cells_frame(&runs, &terms)?;
    let reader = RunsReader::new(&runs);
    let ran = reader.all()?;
    let (_, failed_runs) = ran.by_status()?;
    let failed = failed_runs.len();
    let seconds = clock.seconds();
    let written = files.finish(Results {
        runs: &mut runs,
        cells: &mut cells,
        metadata: &metadata(&grid),
        manifest: &grid.manifest.text,
        provenance: &provenance(&grid, &clock, pool.threads(), failed),
    });

    let answers = Answer::of(&grid, &runs)?;
    match args.format {
        Format::Text => print(&sweep_text(&grid, &answers))?,
        Format::Json => print(&format!("{:#}\n", answers_json(&grid, &answers)))?,
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
    remark(&format!("{} in {seconds:.1} s; tables in {}", shape(&grid), out.display()));
    for run in failed_runs.first(3)? {
        let error = run.error.unwrap_or_default();
        remark(&format!("failed: {} seed {}: {error}", run.cell_id, run.seed));
    }
    Ok(if failed > 0 { Exit::FailedRuns } else { Exit::Success })
}

/// Executes every run of a grid. Returns the table of runs.
fn execute(pool: &Pool, grid: &Grid, slo_terms: &[String], bar: &Bar) -> Result<Frame, TableError> {
    let all: Vec<RunIndex> = grid.runs().collect();
    let mut batches = Vec::new();
    let keep = |rows: Vec<RunRow>| -> Result<(), TableError> {
        let places = rows.iter().map(|row| row.index).collect();
        batches.push((places, runs_frame(&rows, slo_terms)?));
        Ok(())
    };
    pool.run(grid, &all, bar, &StopFlag::new(), keep)?;
    stacked(batches)
}

/// What stands in the Parquet files beside the rows: the same for equal sweeps.
fn metadata(grid: &Grid) -> Metadata {
    let units: serde_json::Map<String, serde_json::Value> =
        METRICS.iter().map(|metric| (metric.name.to_owned(), metric.unit.into())).collect();
    Metadata(vec![
        ("routesim.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("routesim.manifest_toml".to_owned(), grid.manifest.text.clone()),
        ("routesim.units_json".to_owned(), serde_json::Value::from(units).to_string()),
    ])
}

/// What differs from one execution to the next, and the inputs as they were.
fn provenance(grid: &Grid, clock: &Clock, threads: usize, failed: usize) -> serde_json::Value {
    let configs: Vec<_> = grid
        .manifest
        .configs
        .iter()
        .map(|loaded| {
            let path = loaded.path.display().to_string();
            json!({ "name": loaded.name, "path": path, "toml": loaded.config.text })
        })
        .collect();
    json!({
        "schema": "routesim.provenance/1",
        "tables_schema_version": SCHEMA_VERSION,
        "routesim_version": env!("CARGO_PKG_VERSION"),
        "started_unix_s": clock.started_unix_s(),
        "wall_s": clock.seconds(),
        "threads": threads,
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "argv": std::env::args().collect::<Vec<_>>(),
        "cells": grid.num_cells(),
        "runs": grid.num_runs(),
        "failed_runs": failed,
        "requests": grid.describe_source(),
        "notes": grid.notes,
        "signals": SIGNALS,
        "configs": configs,
    })
}

/// When a sweep began.
struct Clock {
    wall: SystemTime,
    instant: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the programs are where the clock is read")]
    fn start() -> Self {
        Self { wall: SystemTime::now(), instant: Instant::now() }
    }

    fn seconds(&self) -> f64 {
        self.instant.elapsed().as_secs_f64()
    }

    fn started_unix_s(&self) -> Option<u64> {
        let since = self.wall.duration_since(SystemTime::UNIX_EPOCH);
        since.ok().map(|since| since.as_secs())
    }
}

impl From<ManifestError> for CliError {
    fn from(error: ManifestError) -> Self {
        match error {
            ManifestError::File(error) => error.into(),
            ManifestError::Configs(_) => Self::new(error.to_string()),
        }
    }
}

impl From<GridError> for CliError {
    fn from(error: GridError) -> Self {
        match error {
            GridError::Trace(error) => error.into(),
            GridError::Workload(error) => error.into(),
            GridError::BlocksDontFit { .. } => {
                Self::new(error.to_string()).hint("change kv_block_size in the config")
            }
        }
    }
}

impl From<TableError> for CliError {
    fn from(error: TableError) -> Self {
        Self::new(format!("tables: {error}"))
    }
}
