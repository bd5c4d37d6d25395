//! The two programs: arguments in, text out, exit codes.
//!
//! Data goes to standard output, everything else to standard error. Only this module reads the
//! wall clock and the environment, prints, and ends the process.

mod error;
mod output;
mod progress;
mod results;
pub mod sweep;

pub use error::{CliError, Exit};
