//! The simulator's slow twin: token by token, block by block, event by event.
//!
//! It does what [`engine`](crate::engine) and [`cluster`](crate::cluster) do in the plainest way,
//! shares nothing with them but the specs, the step times and the algorithms, and exists for tests
//! alone: both must give the same records, to the picosecond.

mod backend;
mod cases;
mod closed_loop;
mod cut_short;
mod events;
mod fleets;
mod kv_cache;
mod limits;
mod orders;
mod pool;
mod scenarios;
mod sequence;
mod series;
mod sim;
mod stepper;
mod tests;
