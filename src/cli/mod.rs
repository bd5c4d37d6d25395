//! The two programs: arguments in, text out, exit codes.
//!
//! Data goes to standard output, everything else to standard error. Only this module reads the
//! wall clock and the environment, prints, and ends the process.

mod algorithms;
mod args;
mod catalogue;
mod error;
mod fidelity;
mod output;
mod progress;
mod results;
mod run;
mod series;
mod signals;
mod source;
pub mod sweep;
mod traces;
mod warnings;

use std::ffi::OsString;

use clap::Parser as _;

use self::args::{Cli, Command};

pub use error::{CliError, Exit};

/// Runs the program `routesim` with these arguments, the program's name first.
pub fn routesim(arguments: impl Iterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return said_by_clap(&error),
    };
    let done = match &cli.command {
        Command::ListAlgorithms => algorithms::list(),
        Command::Catalogue(args) => catalogue::show(args),
        Command::Run(args) => run::run(args),
        Command::Compare(args) => run::compare_algorithms(args),
        Command::GenTrace(args) => traces::generate(args),
        Command::Sweep(args) => run::sweep(args),
        Command::Convert(args) => traces::convert(args),
        Command::Fidelity(args) => fidelity::compare(args),
        Command::Calibrate(args) => fidelity::find(args),
    };
    match done {
        Ok(()) => Exit::Success,
        Err(error) => error.report(),
    }
}

/// Prints help, the version or what is wrong with the arguments.
fn said_by_clap(error: &clap::Error) -> Exit {
    // Nobody is left to tell when the stream is closed.
    drop(error.print());
    if error.use_stderr() { Exit::Input } else { Exit::Success }
}
