//! The whole crate seen from outside: one binary, one module per subject.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

#[cfg(feature = "sweep")]
mod batches;
mod capacity;
#[cfg(feature = "cli")]
mod check;
#[cfg(feature = "cli")]
mod cli;
mod distributions;
mod faults;
#[cfg(feature = "cli")]
mod fidelity;
#[cfg(feature = "sweep")]
mod gate;
mod grid;
#[cfg(feature = "cli")]
mod init;
#[cfg(feature = "cli")]
mod journal;
#[cfg(feature = "cli")]
mod limits;
#[cfg(feature = "cli")]
mod outputs;
mod pairing;
#[cfg(feature = "cli")]
mod schema;
#[cfg(feature = "cli")]
mod slo;
#[cfg(feature = "cli")]
mod statistics;
#[cfg(feature = "cli")]
mod store;
#[cfg(feature = "cli")]
mod sweep;
mod theory;
mod tidy;
