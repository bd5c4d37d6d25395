//! What is measured, each metric defined once.
//!
//! | metric | definition |
//! |---|---|
//! | TTFT | first token − arrival at the router |
//! | TBT | gap between two consecutive tokens of a request, pooled over all requests |
//! | TPOT | (E2E − TTFT) / (output tokens − 1), per request of two tokens or more |
//! | E2E | last token − arrival |
//! | queue wait | first scheduled − arrival |
//!
//! Latencies are over measured requests that finished. Measured are the requests after the
//! warm-up, in the order of arrival, for every metric alike. Rates count what was completed inside
//! the window, which goes from the end of the warm-up to the end of the arrivals; what follows is
//! the drain. Attainment and goodput are over measured requests that *arrived*: one that was
//! turned away is a miss. What is not known is `None`, never NaN or zero.

mod catalogue;
mod collector;
mod distribution;
mod drawn;
mod halves;
mod latency;
mod outcomes;
mod series;
mod slo;
mod summary;

pub use catalogue::{Better, METRICS, Metric};
pub use collector::Collector;
pub use distribution::{
    BATCHED, BatchMeans, Distributions, HISTOGRAMS, Keep, MOST_BATCHES, first_of_batch,
};
pub use drawn::Drawn;
pub use halves::Halves;
pub use latency::{Latency, MOST_EXACT, QuantileMethod};
pub use outcomes::OutcomeCounts;
pub use series::{MOST_INSTANTS, MOST_STATES, Series, most_instants};
pub use slo::{
    AttainmentSpec, Objective, RequestLimit, SloMeasure, SloSpec, SloStatistic, SloTerm,
};
pub use summary::{Backlog, SloSummary, Summary, TermSummary};

/// A backlog that grows by more than this share of the arrivals, and by more than chance, says that
/// the fleet does not keep up or that the run began too empty.
pub const STEADY_GROWTH: f64 = 0.02;
