//! The simulator against queueing theory, through the public API.
//!
//! A backend with room for one request, whose service is drawn, is a queue with a known answer; so
//! are a batch that decodes at a rate of its own size, a fleet behind a router, and two stages in
//! a row. Each row runs 20 replications with fixed seeds. The mean may be 4 standard errors from
//! the exact value, and the standard error may be 3 % of it, or 0.01 for a distribution function: a
//! test without power proves nothing.
//!
//! Times are in mean service times, which are one simulated second. Tokens are whole and steps are
//! not infinitely short, so most rows have an exact value of their own, computed in [`exact`] for
//! the very same steps; tests there show that it tends to the textbook's. Published values carry
//! their names (Q-01 …): Kleinrock, "Queueing systems", volume 1, for M/M/c, M/G/1 and E/M/1;
//! processor sharing, tandem and shortest queue from the stationary distribution of their chains.

#![expect(clippy::print_stdout, reason = "each row shows its figures to who asks for them")]

mod coverage;
mod exact;
mod fleets;
mod load;
mod queue;
mod servers;
mod sharing;
