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
    let found =
        replay.scored.clone().take_while(|index| *index < trace.len()).filter(several).count();
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
        throughput_tokens_per_s: pair(throughput(replay, measured), throughput(replay, simulated)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::AlgorithmSpec;
    use crate::scenario::Config;
    use crate::trace::{MeasuredTrace, NewRequest, ReadReport, TraceBuilder};

    const MS: u64 = 1_000_000_000;

    /// Twenty requests, 10 ms apart, of five output tokens; request i has its first token i + 1 ms
    /// and its last 2 (i + 1) ms after its arrival. All is longer by a factor of `scale`.
    fn timings(scale: u64) -> Vec<Timing> {
        let timing = |index: u64| Timing {
            first_token: SimTime::from_ps((10 * index + scale * (index + 1)) * MS),
            last_token: SimTime::from_ps((10 * index + 2 * scale * (index + 1)) * MS),
        };
        (0..20).map(timing).collect()
    }

    fn measured() -> MeasuredTrace {
        let mut builder = TraceBuilder::default();
        for index in 0..20 {
            builder.push(NewRequest {
                arrival: SimTime::from_ps(10 * index * MS),
                prompt_tokens: 7,
                output_tokens: 5,
                chain: &[],
                shared_tokens: 0,
                session: None,
                model: None,
            });
        }
        let report = ReadReport::default();
        MeasuredTrace { trace: builder.finish(), timings: timings(1), report }
    }

    fn scored(scored: std::ops::Range<usize>, scale: u64) -> Result<Fidelity, ReplayError> {
        let measured = measured();
        let cluster = Config::parse("c.toml", "[cluster]\nnum_backends = 1").unwrap().cluster;
        let algorithm = AlgorithmSpec::by_name("round_robin").unwrap();
        let replay = Replay {
            cluster: &cluster,
            algorithm: &algorithm,
            measured: &measured,
            scored: &scored,
            seed: 1,
        };
        check_scored(&replay)?;
        Ok(score(&replay, &timings(scale)))
    }

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-9, "{value}, expected {expected}");
    }

    #[test]
    fn a_run_is_like_itself() {
        let fidelity = scored(0..20, 1).unwrap();
        near(fidelity.score_ratio, 0.0);
        near(fidelity.e2e.mape_ratio, 0.0);
        // TTFT are 1, 2, … 20 ms: the mean is 10.5, the type 7 quantiles 1 + 19 p.
        near(fidelity.ttft.mean_ms.measured, 10.5);
        near(fidelity.ttft.p90_ms.measured, 18.1);
        // TPOT of the last: 20 ms over four gaps.
        near(fidelity.tpot.p99_ms.measured, (1.0 + 19.0 * 0.99) / 4.0);
        // A hundred tokens until the last comes, 190 + 40 ms after the first arrival.
        near(fidelity.throughput_tokens_per_s.measured, 100.0 / 0.230);
    }

    #[test]
    fn twice_as_slow_is_a_score_of_one() {
        let fidelity = scored(0..20, 2).unwrap();
        near(fidelity.score_ratio, 1.0);
        near(fidelity.ttft.mape_ratio, 1.0);
        near(fidelity.tpot.mean_ms.error_ratio, 1.0);
        near(fidelity.throughput_tokens_per_s.error_ratio, 230.0 / 270.0 - 1.0);
    }

    #[test]
    fn only_the_requests_asked_for_are_scored() {
        let fidelity = scored(10..20, 1).unwrap();
        assert_eq!(fidelity.requests, 10);
        // TTFT 11 to 20 ms; fifty tokens from the arrival at 100 ms to 230 ms.
        near(fidelity.ttft.mean_ms.measured, 15.5);
        near(fidelity.throughput_tokens_per_s.measured, 50.0 / 0.130);
    }

    #[test]
    fn too_few_requests_are_no_score() {
        for range in [15..20, 0..21, 30..40] {
            let error = scored(range, 1).unwrap_err();
            assert!(error.to_string().contains("expected 10 or more"), "{error}");
        }
    }
}
