//! The simulation: requests as they arrive, a router's decision for each, and the fleet that serves
//! them.
//!
//! [`Sim::run`] consumes the simulation and streams facts into a [`Sink`]; it keeps what is under
//! way and no history. There is no list of events. A backend is carried forward when somebody looks
//! at it: when a request is sent there, or when an algorithm that looks at more than that asks.
//! Things of one instant are taken in a fixed order: arrivals and deliveries of KV first, so that a
//! request that lands when a step ends may join the very next batch; then step ends; then backends
//! that were idle and have something to do. Of the same kind the lower id goes first.

mod fleet;
mod limits;
mod min_tree;
mod pool;
mod sim;

pub use limits::{Cut, Limits};
pub use sim::{BackendState, Outcome, RequestRecord, RunRecord, Sim, SimError, Sink};
