//! The simulation: events in order, where the router and the backends meet.
//!
//! [`Sim::run`] consumes the simulation and streams facts into a [`Sink`]; it keeps one small
//! record per request and no history. Events of one instant are taken in a fixed order: arrivals
//! and deliveries of KV first, so that a request that lands when a step ends may join the very
//! next batch; then step ends; then backends that were idle and have something to do. Within a
//! rank the order is that of creation.

mod events;
mod pool;
mod sim;
#[cfg(test)]
mod tests;

pub use sim::{Outcome, RequestRecord, RunRecord, Sim, SimError, Sink};
