//! How far a simulation is from a measured run.

use serde::Serialize;

use crate::stats::{Moments, quantile};
use crate::trace::Timing;
use crate::units::{RequestId, SimTime};

use super::replay::{Replay, ReplayError};

/// Percentiles of fewer requests say nothing.
pub(super) const FEWEST_SCORED: usize = 10;

/// A number of a measured run and of its simulation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// Of the engine.
    pub measured: f64,
    /// Of the simulation.
    pub simulated: f64,
    /// (simulated − measured) / measured.
    pub error_ratio: f64,
}

/// One latency over the requests, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatencyFidelity {
    /// The mean.
    pub mean_ms: Pair,
    /// The median.
    pub p50_ms: Pair,
    /// The 90th percentile.
    pub p90_ms: Pair,
    /// The 99th percentile.
    pub p99_ms: Pair,
    /// Mean over the requests of |simulated − measured| / measured.
    pub mape_ratio: f64,
}

/// How far a simulation is from a measured run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fidelity {
    /// Requests that were scored.
    pub requests: usize,
    /// Mean of |error| over mean, P50, P90 and P99 of TTFT, TPOT and E2E: twelve numbers.
    pub score_ratio: f64,
    /// First token − arrival.
    pub ttft: LatencyFidelity,
    /// (Last token − first token) / (output tokens − 1), of requests with several.
    pub tpot: LatencyFidelity,
    /// Last token − arrival.
    pub e2e: LatencyFidelity,
    /// Output tokens of the scored requests over the time from the first arrival among them to the
    /// last token of any of them.
    pub throughput_tokens_per_s: Pair,
}

/// The latencies of the scored requests, in milliseconds and in the order of arrival.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Latencies {
    pub(super) ttft: Vec<f64>,
    /// Of requests with several output tokens only.
    pub(super) tpot: Vec<f64>,
    pub(super) e2e: Vec<f64>,
}

/// Replays a measured run and compares the two.
///
/// # Errors
///
/// When the replay fails, or leaves too few requests to score.
pub fn fidelity(replay: &Replay<'_>) -> Result<Fidelity, ReplayError> {
    check_scored(replay)?;
    Ok(score(replay, &replay.run()?))
}

/// Refuses a choice of requests that leaves too few.
pub(super) fn check_scored(replay: &Replay<'_>) -> Result<(), ReplayError> {
    let trace = &replay.measured.trace;
    let several = |index: &usize| trace.output_tokens(RequestId::at(*index)) > 1;
    let found = replay.scored.clone().take(trace.len()).filter(several).count();
    if found < FEWEST_SCORED || replay.scored.end > trace.len() {
        let scored = replay.scored.clone();
        return Err(ReplayError::TooFew { scored, found, expected: FEWEST_SCORED });
    }
    Ok(())
}

/// Compares simulated times with those of the measured run.
pub(super) fn score(replay: &Replay<'_>, simulated: &[Timing]) -> Fidelity {
    let measured = &replay.measured.timings;
    let (real, ours) = (latencies(replay, measured), latencies(replay, simulated));
    let ttft = latency(&real.ttft, &ours.ttft);
    let tpot = latency(&real.tpot, &ours.tpot);
    let e2e = latency(&real.e2e, &ours.e2e);
    let errors: Vec<f64> = [ttft, tpot, e2e].iter().flat_map(LatencyFidelity::errors).collect();
    Fidelity {
        requests: replay.scored.len(),
        score_ratio: mean(&errors),
        ttft,
        tpot,
        e2e,
        throughput_tokens_per_s: pair(
            throughput(replay, measured),
            throughput(replay, simulated),
        ),
    }
}

/// Returns the latencies of the scored requests.
pub(super) fn latencies(replay: &Replay<'_>, times: &[Timing]) -> Latencies {
    let trace = &replay.measured.trace;
    let mut all = Latencies::default();
    for index in replay.scored.clone() {
        let id = RequestId::at(index);
        let (Timing { first_token, last_token }, arrival) = (times[index], trace.arrival(id));
        all.ttft.push(first_token.since(arrival).as_ms());
        all.e2e.push(last_token.since(arrival).as_ms());
        let gaps = trace.output_tokens(id) - 1;
        if gaps > 0 {
            all.tpot.push(last_token.since(first_token).as_ms() / f64::from(gaps));
        }
    }
    all
}

impl LatencyFidelity {
    fn errors(&self) -> [f64; 4] {
        [self.mean_ms, self.p50_ms, self.p90_ms, self.p99_ms].map(|pair| pair.error_ratio.abs())
    }
}

fn latency(measured: &[f64], simulated: &[f64]) -> LatencyFidelity {
    let at = |p: f64| {
        let known = "a latency is finite, and some request was scored";
        pair(quantile(measured, p).expect(known), quantile(simulated, p).expect(known))
    };
    let errors: Vec<f64> =
        measured.iter().zip(simulated).map(|(real, ours)| (ours / real - 1.0).abs()).collect();
    LatencyFidelity {
        mean_ms: pair(mean(measured), mean(simulated)),
        p50_ms: at(0.5),
        p90_ms: at(0.9),
        p99_ms: at(0.99),
        mape_ratio: mean(&errors),
    }
}

fn throughput(replay: &Replay<'_>, times: &[Timing]) -> f64 {
    let trace = &replay.measured.trace;
    let scored = || replay.scored.clone();
    let start = trace.arrival(RequestId::at(replay.scored.start));
    let end = scored().map(|index| times[index].last_token).max().unwrap_or(SimTime::ZERO);
    let tokens: u64 =
        scored().map(|index| u64::from(trace.output_tokens(RequestId::at(index)))).sum();
    tokens as f64 / end.since(start).as_secs()
}

fn pair(measured: f64, simulated: f64) -> Pair {
    Pair { measured, simulated, error_ratio: simulated / measured - 1.0 }
}

pub(super) fn mean(values: &[f64]) -> f64 {
    Moments::of(values).mean().unwrap_or_default()
}
