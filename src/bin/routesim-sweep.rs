//! `routesim-sweep`: a grid of simulations from a manifest.

use std::process::ExitCode;

fn main() -> ExitCode {
    routesim::cli::sweep::main()
}
