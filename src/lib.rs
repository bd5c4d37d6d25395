//! RouteSim simulates a fleet of LLM serving engines behind a router.
//!
//! It answers which routing algorithm, how many GPUs of which kind, up to which request rate,
//! under which SLO. This is the library under the two programs `routesim` and `routesim-sweep`.

#[cfg(feature = "cli")]
pub mod cli;
pub mod cluster;
pub mod document;
pub mod engine;
pub mod metrics;
#[cfg(feature = "sweep")]
pub mod report;
pub mod rng;
pub mod router;
pub mod scenario;
pub mod stats;
#[cfg(feature = "sweep")]
pub mod study;
pub mod trace;
pub mod units;
pub mod workload;
