//! The program `routesim-sweep`.

mod baseline;
mod check;
mod estimate;
mod events;
mod explain;
mod failures;
mod init;
mod job;
mod look;
mod progress;
mod provenance;
mod run;
mod schema;
mod sealed;
mod shard;
mod show;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use super::error::{CliError, Exit};
use crate::document::suggestion;
use crate::sweep::{Balance, Tolerance};

use baseline::BaselineCommand;
use check::CheckArgs;
use init::InitArgs;
use progress::ProgressArg;
use schema::SchemaOf;
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
    /// Show what a manifest expands to and what is done of it, and check all it names
    Plan {
        #[command(flatten)]
        place: Where,
        /// List every cell, a line each
        #[arg(long)]
        list: bool,
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
    /// Hold results against a baseline: has anything become worse?
    Check(CheckArgs),
    /// Keep the results that checks hold new ones against
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// Say what a run or cell depends on, and why it would run again
    Explain {
        #[command(flatten)]
        place: Where,
        /// Id of a run or a cell, or a cell's label
        id: String,
    },
    /// Remove what killed processes left half written
    Gc {
        /// Folder of results
        folder: PathBuf,
        /// Only what nobody has touched for so many hours
        #[arg(long, value_name = "HOURS", default_value_t = 24)]
        older_than: u32,
        /// Parts that can't be read, too, whatever their age
        #[arg(long)]
        damaged: bool,
    },
    /// Write a manifest to start from, with every key
    Init(InitArgs),
    /// Print a JSON Schema, with which editors complete and check keys
    Schema {
        /// Of which file
        #[arg(value_enum, default_value_t = SchemaOf::Manifest)]
        of: SchemaOf,
    },
}

/// A manifest and what is changed in it.
#[derive(Debug, Args)]
struct ManifestArgs {
    /// Manifest file
    manifest: PathBuf,
    /// Set a key of the manifest or of configs: `grid.seeds=3`, `cluster.num_backends=8`
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// A manifest and the folder of its results.
#[derive(Debug, Args)]
struct Where {
    #[command(flatten)]
    manifest: ManifestArgs,
    /// Folder for the results (default: results/<name>)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RunArgs {
    // Not flattened: clap finds an optional group of arguments by its own ones alone.
    /// Manifest file
    manifest: PathBuf,
    /// Set a key of the manifest or of configs: `grid.seeds=3`, `cluster.num_backends=8`
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder for the results (default: results/<name>)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Threads (default: one per core); results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Do one of COUNT parts, INDEX from 0; `auto` asks the variables of an array job
    #[arg(long, value_name = "INDEX/COUNT")]
    shard: Option<ShardArg>,
    /// What the parts of --shard have equal shares of; all of them must be given the same
    #[arg(long, value_enum, default_value_t = BalanceArg::Runs, requires = "shard")]
    balance: BalanceArg,
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

impl RunArgs {
    fn place(&self) -> Where {
        let (manifest, set) = (self.manifest.clone(), self.set.clone());
        Where { manifest: ManifestArgs { manifest, set }, out: self.out.clone() }
    }
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
enum BalanceArg {
    Runs,
    Cost,
}

impl From<BalanceArg> for Balance {
    fn from(balance: BalanceArg) -> Self {
        match balance {
            BalanceArg::Runs => Self::Runs,
            BalanceArg::Cost => Self::Cost,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Csv,
}

/// Returns what to say of a first word that is no command and no file, but most likely the one
/// misspelt.
fn misspelt(word: Option<OsString>) -> Option<CliError> {
    let word = word?.into_string().ok()?;
    let command = Cli::command();
    let names = || command.get_subcommands().map(clap::Command::get_name).chain(["help"]);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !word.chars().all(plain) || names().any(|name| name == word) || Path::new(&word).exists() {
        return None;
    }
    let name = suggestion(&word, names())?;
    Some(CliError::new(format!("no file `{word}`; did you mean the command `{name}`?")))
}

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    if let Some(error) = misspelt(std::env::args_os().nth(1)) {
        return error.report().into();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come here too; a closed pipe is no error.
            drop(error.print());
            return if error.use_stderr() { Exit::Input } else { Exit::Success }.into();
        }
    };
    let done = match (cli.command, cli.run) {
        (Some(Command::Plan { place, list }), _) => look::plan(&place, list),
        (Some(Command::Status { place, format }), _) => look::status(&place, format),
        (Some(Command::Merge(args)), _) => run::merge(&args),
        (Some(Command::Check(args)), _) => check::check(&args),
        (Some(Command::Baseline(BaselineCommand::Update(args))), _) => baseline::update(&args),
        (Some(Command::Explain { place, id }), _) => explain::explain(&place, &id),
        (Some(Command::Gc { folder, older_than, damaged }), _) => {
            look::gc(&folder, older_than, damaged)
        }
        (Some(Command::Init(args)), _) => init::init(&args),
        (Some(Command::Schema { of }), _) => schema::show(of),
        (Some(Command::Run(args)), _) | (None, Some(args)) => run::run(&args),
        (None, None) => Err(CliError::new("no manifest").hint("routesim-sweep MANIFEST")),
    };
    done.unwrap_or_else(|error| error.report()).into()
}
