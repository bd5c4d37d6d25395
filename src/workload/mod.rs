//! From a generator or a real trace, and a seed, to the requests of one run.
//!
//! A [`GeneratorSpec`] draws requests from distributions, a [`SourceTrace`] replays a real trace
//! or resamples it to another rate. Both give a [`Workload`]: the requests, which of them are
//! measured, and how they came to be. A workload is a function of (what it is made of, rate,
//! seed); rates of one seed share their draws, so curves over the rate are smooth and differences
//! between algorithms are paired.

mod draws;
mod generator;
mod requests;
mod resample;
mod source;
mod ticks;

pub use draws::GeneratedStream;
pub use generator::{GeneratorSpec, Lengths, STREAMED_FROM};
pub use requests::{Arrivals, Arriving, Requests};
pub use source::SourceTrace;
pub use ticks::{Dequantize, coarse_tick};

use serde::Serialize;

use crate::units::{RequestId, SimDuration, SimTime};

/// The most requests that one workload may be expected to have: ids are 32 bits wide.
pub const MOST_REQUESTS: f64 = 4e9;

/// The most requests that a workload may be expected to hold in memory.
pub const MOST_IN_MEMORY: f64 = 2e7;

/// The requests of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// The requests in the order of arrival.
    pub requests: Requests,
    /// What of them is measured.
    pub window: Window,
    /// How the workload was made.
    pub info: WorkloadInfo,
}

/// The measured part of a run: the warm-up before it, the drain after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first measured request: those before it are the warm-up.
    pub first: RequestId,
    /// End of the warm-up: the given time, or the arrival of the last warm-up request.
    pub from: SimTime,
    /// End of the arrivals: the horizon, not the last arrival.
    pub to: SimTime,
}

/// The requests that fill queues and caches first and that no metric counts.
///
/// Warm-up goes by the order of arrival: leaving out the first to *finish* would favour short
/// requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Warmup {
    /// That many requests, the first to arrive.
    Requests(u64),
    /// Every request that arrives before that time.
    Time(SimDuration),
}

/// How a workload was made, for the reader of its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadInfo {
    /// What it was made from: a file's name, or "generator".
    pub source: String,
    /// How: "generated (poisson)", "replay", "session bootstrap x 3.53 copies" …
    pub operator: String,
    /// The mean request rate that was asked for; none when a trace is replayed as it is.
    pub requested_rps: Option<f64>,
    /// The mean request rate over the measured window; none when the window has no length.
    pub realised_rps: Option<f64>,
    /// What should be known before the numbers are trusted, one sentence each.
    pub notes: Vec<String>,
}

/// A workload that can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WorkloadError {
    /// What is wrong and what was expected.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl WorkloadError {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }
}

impl Warmup {
    /// Every request is measured.
    pub const NONE: Self = Self::Requests(0);
}

impl Workload {
    /// Returns how many requests are measured: at least one.
    pub fn measured(&self) -> usize {
        self.requests.len() - self.window.first.index()
    }

    /// Cuts the warm-up from the requests that arrive in `[0, end)` and measures their rate.
    fn new(
        requests: impl Into<Requests>,
        made: Made,
        end: SimTime,
        warmup: Warmup,
    ) -> Result<Self, WorkloadError> {
        let requests = requests.into();
        let total = requests.len();
        let (first, last_of_warmup) = requests.warm_up(warmup);
        if first >= total {
            return Err(nothing_measured(total, warmup));
        }
        let from = match warmup {
            Warmup::Time(span) => SimTime::ZERO + span,
            Warmup::Requests(0) => SimTime::ZERO,
            // The last warm-up request opens the window and is not in it, so that the window has
            // as many gaps as requests.
            Warmup::Requests(_) => last_of_warmup,
        };
        let window_s = end.saturating_since(from).as_secs();
        let measured = (total - first) as f64;
        let info = WorkloadInfo {
            source: made.source,
            operator: made.operator,
            requested_rps: made.requested_rps,
            realised_rps: (window_s > 0.0).then(|| measured / window_s),
            notes: made.notes,
        };
        let window = Window { first: RequestId::at(first), from, to: end };
        Ok(Self { requests, window, info })
    }
}

/// What an operator knows of a workload before its warm-up is cut.
struct Made {
    source: String,
    operator: String,
    requested_rps: Option<f64>,
    notes: Vec<String>,
}

fn nothing_measured(total: usize, warmup: Warmup) -> WorkloadError {
    if total == 0 {
        return WorkloadError::new(
            "no request arrives within the run",
            "raise the rate or the duration",
        );
    }
    let warmup = match warmup {
        Warmup::Requests(count) => format!("{count} requests"),
        Warmup::Time(span) => format!("{} s", span.as_secs()),
    };
    WorkloadError::new(
        format!("a warm-up of {warmup} leaves none of {total} requests to measure"),
        "lower `warmup_requests` or `warmup_s` of the config, or take a longer trace",
    )
}

/// Checks that about `rate_rps` × `duration` requests can be made, at `most` so many.
fn check_rate(rate_rps: f64, duration: SimDuration, most: f64) -> Result<(), WorkloadError> {
    if !(rate_rps.is_finite() && rate_rps > 0.0) {
        return Err(WorkloadError::new(
            format!("a rate of {rate_rps} requests per second, expected a number above 0"),
            "give the rate in requests per second",
        ));
    }
    if duration == SimDuration::ZERO {
        return Err(WorkloadError::new(
            "a duration of 0 s, expected a time above 0",
            "give the duration in seconds",
        ));
    }
    let expected = rate_rps * duration.as_secs();
    if expected > most {
        return Err(WorkloadError::new(
            format!("about {expected:.3e} requests, expected at most {most:e}"),
            "lower the rate or the duration",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{NewRequest, Trace, TraceBuilder};

    /// Requests at these seconds.
    fn at(seconds: &[u64]) -> Trace {
        let mut builder = TraceBuilder::default();
        for second in seconds {
            builder.push(NewRequest {
                arrival: SimTime::from_ps(second * crate::units::PS_PER_S),
                prompt_tokens: 1,
                output_tokens: 1,
                chain: &[],
                shared_tokens: 0,
                session: None,
                model: None,
            });
        }
        builder.finish()
    }

    fn cut(seconds: &[u64], warmup: Warmup) -> Result<Workload, WorkloadError> {
        let made = Made {
            source: "test".to_owned(),
            operator: "replay".to_owned(),
            requested_rps: None,
            notes: Vec::new(),
        };
        let end = SimTime::ZERO + secs(10.0);
        Workload::new(at(seconds), made, end, warmup)
    }

    fn secs(seconds: f64) -> SimDuration {
        SimDuration::from_secs(seconds).unwrap()
    }

    #[test]
    fn warm_up_goes_by_arrival() {
        // Of 0, 2, 5 and 7 s the last two are measured: 2 requests in (2 s, 10 s), and in
        // [5 s, 10 s).
        let by_count = cut(&[0, 2, 5, 7], Warmup::Requests(2)).unwrap();
        assert_eq!(by_count.window.first, RequestId(2));
        assert_eq!(by_count.info.realised_rps, Some(0.25));
        let by_time = cut(&[0, 2, 5, 7], Warmup::Time(secs(5.0))).unwrap();
        assert_eq!((by_time.window.first, by_time.measured()), (RequestId(2), 2));
        assert_eq!(by_time.info.realised_rps, Some(0.4));
        let all = cut(&[0, 2, 5, 7], Warmup::NONE).unwrap();
        assert_eq!((all.window.first, all.info.realised_rps), (RequestId(0), Some(0.4)));
    }

    #[test]
    fn a_warm_up_that_leaves_nothing_is_an_error() {
        let error = cut(&[0, 2], Warmup::Requests(2)).unwrap_err();
        assert_eq!(error.message, "a warm-up of 2 requests leaves none of 2 requests to measure");
        assert!(error.hint.is_some());
        assert!(cut(&[0, 2], Warmup::Time(secs(2.5))).is_err());
        assert!(cut(&[0, 2], Warmup::Requests(u64::MAX)).is_err());
        let empty = cut(&[], Warmup::NONE).unwrap_err();
        assert_eq!(empty.message, "no request arrives within the run");
    }
}
