//! Simulates a fleet of LLM serving engines: parse, call, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    routesim::cli::routesim(std::env::args_os()).into()
}
