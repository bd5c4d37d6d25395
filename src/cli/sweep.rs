//! The program `routesim-sweep`.

mod job;
mod look;
mod progress;
mod provenance;
mod run;
mod shard;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::error::{CliError, Exit};
use crate::sweep::Tolerance;

use progress::ProgressArg;
use shard::ShardArg;

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
    /// Run a manifest (the default command): what is done already is not run again
    Run(RunArgs),
    /// Say how many runs of a manifest are done
    Status {
        #[command(flatten)]
        place: Where,
        /// How to say it
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Make the tables and the answer from what shards have done
    Merge(MergeArgs),
    /// Remove what killed processes left half written
    Gc {
        /// Folder of results
        folder: PathBuf,
        /// Only what nobody has touched for so many hours
        #[arg(long, value_name = "HOURS", default_value_t = 24)]
        older_than: u32,
    },
}

/// A manifest and the folder of its results.
#[derive(Debug, Args)]
struct Where {
    /// Manifest file
    manifest: PathBuf,
    /// Folder for the results (default: results/<name>)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
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
    /// Do one of COUNT parts, INDEX from 0; `auto` asks the variables of an array job
    #[arg(long, value_name = "INDEX/COUNT")]
    shard: Option<ShardArg>,
    /// Run everything again: the results must be those that are kept
    #[arg(long)]
    fresh: bool,
    /// Begin no run while those that go on are estimated to take more (overrides `memory_mb`)
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    memory: Option<u64>,
    /// Begin no run once more have failed, a number or such as 5% (overrides the manifest's)
    #[arg(long, value_name = "N")]
    max_failures: Option<Tolerance>,
    /// How to say how far it is, on standard error
    #[arg(long, value_enum, default_value_t = ProgressArg::Auto)]
    progress: ProgressArg,
    /// What to print: a table for people, JSON, or the cells as CSV
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Args)]
struct MergeArgs {
    #[command(flatten)]
    place: Where,
    /// Make them of what is there, though runs are missing
    #[arg(long)]
    allow_partial: bool,
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
        (Some(Command::Plan { manifest }), _) => look::plan(&manifest),
        (Some(Command::Status { place, format }), _) => look::status(&place, format),
        (Some(Command::Merge(args)), _) => run::merge(&args),
        (Some(Command::Gc { folder, older_than }), _) => look::gc(&folder, older_than),
        (Some(Command::Run(args)), _) | (None, Some(args)) => run::run(&args),
        (None, None) => Err(CliError::new("no manifest").hint("routesim-sweep MANIFEST")),
    };
    done.unwrap_or_else(|error| error.report()).into()
}
