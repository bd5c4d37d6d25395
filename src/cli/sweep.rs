//! The program `routesim-sweep`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::json;

use crate::report::{answers_json, sweep_text};
use crate::sweep::{Answer, Grid, GridError, Manifest, ManifestError};
use crate::tables::{
    Frame, Metadata, SCHEMA_VERSION, TableError, cells_frame, runs_frame, write_csv, write_parquet,
};

use super::error::{CliError, Exit};
use super::output::{OutputFile, print, remark};
use super::progress::Bar;

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
        remark(&format!("note: {note}"));
    }
    Ok(grid)
}

fn plan(path: &Path) -> Result<Exit, CliError> {
    let grid = load(path)?;
    let manifest = &grid.manifest;
    let requests: f64 =
        manifest.rates_rps.iter().map(|rate| grid.requests_at(*rate)).sum::<f64>()
            * (grid.num_runs() / manifest.rates_rps.len()) as f64;
    // Making one workload at each end of the rates finds what would fail in every run.
    for rate in [manifest.rates_rps.first(), manifest.rates_rps.last()].into_iter().flatten() {
        for loaded in &manifest.configs {
            let warmup = manifest.workload.warmup.unwrap_or(loaded.config.warmup);
            grid.workload(*rate, manifest.seeds[0], warmup)?;
        }
    }
    let mut text = format!("{}: {}\n", manifest.name, shape(&grid));
    text += &format!("requests: {}, {:.0} s a run\n", grid.describe_source(), grid.duration().as_secs());
    text += &format!("simulated requests: about {requests:.0}\n");
    for loaded in &manifest.configs {
        text += &format!("config {}: {}\n", loaded.name, loaded.path.display());
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

#[expect(clippy::disallowed_methods, reason = "the programs are where the clock is read")]
fn run(args: &RunArgs) -> Result<Exit, CliError> {
    let grid = load(&args.manifest)?;
    let out = args.out.clone().unwrap_or_else(|| Path::new("results").join(&grid.manifest.name));
    let files = ResultFiles::create(&out)?;
    let threads = args.threads.map_or(0, usize::from);
    let pool = rayon_pool(threads)?;
    let started = (SystemTime::now(), Instant::now());
    let bar = Bar::new(&grid.manifest.name, grid.num_runs());
    bar.watch_interrupt();
    let rows = pool.run(|| grid.run(&bar));
    bar.finish();

    let terms = grid.slo_columns();
    let mut runs = runs_frame(&rows, &terms)?;
    let mut cells = cells_frame(&runs, &terms)?;
    let failed = rows.iter().filter(|row| row.outcome.is_err()).count();
    let wall_s = started.1.elapsed().as_secs_f64();
    let provenance = provenance(&grid, started.0, wall_s, pool.threads, failed);
    files.finish(&grid, &mut runs, &mut cells, &provenance)?;

    let answers = Answer::of(&grid, &rows);
    match args.format {
        Format::Text => print(&sweep_text(&grid, &answers))?,
        Format::Json => print(&format!("{:#}\n", answers_json(&grid, &answers)))?,
        Format::Csv => {
            let mut csv = Vec::new();
            write_csv(&mut cells, &mut csv)?;
            print(&String::from_utf8_lossy(&csv))?;
        }
    }
    let shape = shape(&grid);
    remark(&format!("{shape} in {wall_s:.1} s; tables in {}", out.display()));
    for row in rows.iter().filter(|row| row.outcome.is_err()).take(3) {
        let error = row.outcome.as_ref().err().map_or("", String::as_str);
        remark(&format!("failed: {} seed {}: {error}", row.cell.id(), row.seed));
    }
    Ok(if failed > 0 { Exit::FailedRuns } else { Exit::Success })
}
