//! RouteSim simulates a fleet of LLM serving engines behind a router.
//!
//! It answers which routing algorithm, how many GPUs of which kind, up to which request rate,
//! under which SLO. This is the library under the two programs `routesim` and `routesim-sweep`.
//!
//! ```text
//! one run    config ──► Scenario ◄── Workload ◄── trace or generator, and a seed
//!                          │
//!                        Sim::run ──► facts (Sink) ──► Summary
//!
//! one sweep  manifest ──► Grid ──► runs over all cores ──► tables ──► Answer
//! ```
//!
//! A run is a function of its config, algorithm, workload and seed: equal ones give equal numbers,
//! on any number of threads.
//!
//! ```
//! use std::sync::Arc;
//!
//! use routesim::router::AlgorithmSpec;
//! use routesim::scenario::{Config, Scenario};
//! use routesim::units::SimDuration;
//! use routesim::workload::{GeneratorSpec, Warmup};
//!
//! let config = Config::parse("fleet.toml", "[cluster]\nnum_backends = 4")?;
//! let minute = SimDuration::from_secs(60.0)?;
//! let workload = GeneratorSpec::default().workload(20.0, config.seed, minute, Warmup::NONE)?;
//! let scenario = Scenario {
//!     cluster: config.cluster,
//!     algorithm: AlgorithmSpec::by_name("least_outstanding")?,
//!     workload: Arc::new(workload),
//!     slo: config.slo,
//!     seed: config.seed,
//! };
//! let summary = scenario.run()?;
//! assert_eq!(summary.all.finished, summary.all.requests);
//! assert!(summary.ttft.p99_ms > summary.ttft.p50_ms);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "cli")]
pub mod cli;
pub mod cluster;
pub mod document;
pub mod engine;
#[cfg(feature = "sweep")]
pub mod gate;
pub mod metrics;
#[cfg(test)]
mod oracle;
#[cfg(feature = "sweep")]
pub mod report;
pub mod rng;
pub mod router;
pub mod scenario;
pub mod stats;
#[cfg(feature = "sweep")]
pub mod store;
#[cfg(feature = "study")]
pub mod study;
#[cfg(feature = "sweep")]
pub mod sweep;
#[cfg(feature = "sweep")]
pub mod tables;
pub mod trace;
pub mod units;
pub mod workload;
