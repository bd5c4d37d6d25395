//! A step model from one measured run of requests.
//!
//! A simulated schedule jumps when a coefficient crosses some value (a request joins the batch
//! before), so the loss has steps and no useful slope: the search looks at values only, from
//! several starts.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::cluster::{ClusterSpec, LinearModel, StepSpec};
use crate::study::fidelity::{self, Fidelity, Latencies};
use crate::study::replay::{Replay, ReplayError};
use crate::trace::Timing;

use super::coefficients::{COEFFICIENTS, Coefficient, Limit, rounded};
use super::search::{Found, around, descend};

/// Factors of the whole prior that are tried first, as logarithms: from a third to three times.
const SCALES: [f64; 13] = [-1.2, -1.0, -0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2];
/// Points drawn around the best of those.
const CANDIDATES: usize = 400;
/// Deviation of the draws, in logarithms.
const DEVIATION: f64 = 0.3;
/// Searches from the best of the draws.
const STARTS: usize = 14;
/// Searches after one another, each from where the one before ended and with half its reach.
const ROUNDS: usize = 3;
/// How far the first simplex reaches, in logarithms.
const REACH: f64 = 0.1;
const ITERATIONS: u64 = 80;
/// Simulations of the first launch: what it adds moves a little what it is measured by.
const LAUNCHES: usize = 3;

/// Weight of the distance from the prior in the cost.
const PRIOR_WEIGHT: f64 = 0.005;
/// The distance from the prior that costs that weight, in logarithms.
const PRIOR_DEVIATION: f64 = 0.35;
/// Weight in the cost of how far coefficients with the same limit are from being off alike: the
/// data sheet's bandwidth is missed by the same share in weights and in contexts.
const ALIKE_WEIGHT: f64 = 0.003;
/// The distance from each other that costs that weight, in logarithms.
const ALIKE_DEVIATION: f64 = 0.1;
/// The throughput hangs on when the very last token comes, which is known no better than this.
const THROUGHPUT_TOLERANCE: f64 = 0.003;
/// Errors of shorter times to the first token are relative to this: on which side of a step an
/// arrival falls is chance, and worth a step or two.
const SHORTEST_TTFT_MS: f64 = 1_000.0;
/// What a run that can't be scored costs.
const FAILED: f64 = 1e3;

/// How far a coefficient is moved to see whether the run tells its value.
const MOVED: f64 = 0.25;
/// It does when even with all others fitted anew the loss rises by this share.
const TOLD: f64 = 0.1;
/// No measured run is matched better than this loss, so a smaller one counts as this.
const SMALLEST_LOSS: f64 = 0.1;
/// The others must go far to make up for it, where they can.
const REFIT_REACH: f64 = 0.3;
const REFIT_ITERATIONS: u64 = 50;

/// A step model found from a measured run.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// The model, with its coefficients rounded to what is worth writing down.
    pub model: LinearModel,
    /// Each fitted coefficient.
    pub coefficients: Vec<Estimate>,
    /// Of `model`, on the requests that it was fitted to.
    pub fidelity: Fidelity,
    /// How many simulations it took.
    pub simulations: usize,
}

/// A fitted coefficient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Its key in a config.
    pub key: &'static str,
    /// Its value in the model.
    pub value: f64,
    /// The value that it started from.
    pub prior: f64,
    /// Whether the run tells its value: not so when a value a quarter larger or smaller fits about
    /// as well once the others are fitted anew. It is then near the prior.
    pub identified: bool,
}

/// Finds the step model with which the replay comes nearest to the measured run.
///
/// Coefficients that are 0 in `prior` stay 0. The first launch is not searched for: it is what the
/// first token of the first request needs. Equal input gives equal results on any number of
/// threads.
///
/// # Errors
///
/// When the replay can't be carried out, or too few requests are to be scored.
pub fn calibrate(replay: &Replay<'_>, prior: &LinearModel) -> Result<Calibration, ReplayError> {
    fidelity::check_scored(replay)?;
    let search = Search::new(replay, prior);
    let (found, first_launch_ms) = search.find()?;
    let identified = search.identified(&found.point, first_launch_ms);
    let model = rounded(&search.model(&found.point, first_launch_ms));
    let estimate = |(coefficient, identified): (&&Coefficient, bool)| Estimate {
        key: coefficient.key,
        value: coefficient.of(&model),
        prior: coefficient.of(prior),
        identified,
    };
    let coefficients = search.fitted.iter().zip(identified).map(estimate).collect();
    let fidelity = fidelity::score(replay, &search.simulate(model)?);
    let simulations = search.simulations.into_inner();
    Ok(Calibration { model, coefficients, fidelity, simulations })
}

/// What is searched: a point has the logarithm of coefficient / prior for each fitted coefficient.
struct Search<'a> {
    replay: Replay<'a>,
    measured: Latencies,
    prior: LinearModel,
    fitted: Vec<&'static Coefficient>,
    simulations: AtomicUsize,
}

impl<'a> Search<'a> {
    fn new(replay: &Replay<'a>, prior: &LinearModel) -> Self {
        let measured = fidelity::latencies(replay, &replay.measured.timings);
        let fitted = COEFFICIENTS.iter().filter(|coefficient| coefficient.of(prior) > 0.0);
        Self {
            replay: *replay,
            measured,
            prior: *prior,
            fitted: fitted.collect(),
            simulations: AtomicUsize::new(0),
        }
    }

    /// Returns the best point and its first launch in milliseconds.
    fn find(&self) -> Result<(Found, f64), ReplayError> {
        let (centre, mut launch) = self.best_scale()?;
        let mut points = around(&centre, DEVIATION, CANDIDATES);
        points.insert(0, centre);
        let mut found = best_of(points, STARTS, |point| self.cost(point, launch));
        let mut reach = REACH;
        for _ in 0..ROUNDS {
            launch = self.first_launch_ms(&found[0].point)?;
            let ends = found.par_iter().map(|start| {
                descend(&start.point, reach, ITERATIONS, |point| self.cost(point, launch)).point
            });
            let ends = ends.collect();
            // The round ends with the first launch of its best, and costs are those under it.
            let leader = best_of(ends, STARTS, |point| self.cost(point, launch));
            launch = self.first_launch_ms(&leader[0].point)?;
            let points = leader.into_iter().map(|end| end.point).collect();
            found = best_of(points, STARTS, |point| self.cost(point, launch));
            reach /= 2.0;
        }
        Ok((found.swap_remove(0), launch))
    }

    /// Returns the best multiple of the whole prior, with its first launch.
    fn best_scale(&self) -> Result<(Vec<f64>, f64), ReplayError> {
        let scaled = |scale: &f64| {
            let point = vec![*scale; self.fitted.len()];
            let launch = self.first_launch_ms(&point)?;
            Ok((self.cost(&point, launch), point, launch))
        };
        let tried: Vec<Result<_, ReplayError>> = SCALES.par_iter().map(scaled).collect();
        // An engine that is too slow turns requests away: no fault while another scale does not.
        let first_fault = tried.iter().find_map(|result| result.as_ref().err().cloned());
        let best = tried.into_iter().flatten().min_by(|a, b| a.0.total_cmp(&b.0));
        match (best, first_fault) {
            (Some((_, point, launch)), _) => Ok((point, launch)),
            (None, Some(error)) => Err(error),
            (None, None) => unreachable!("each scale has a result"),
        }
    }

    fn model(&self, point: &[f64], first_launch_ms: f64) -> LinearModel {
        let mut model = LinearModel { first_launch_ms, ..self.prior };
        for (coefficient, ratio) in self.fitted.iter().zip(point) {
            coefficient.set(&mut model, coefficient.of(&self.prior) * libm::exp(*ratio));
        }
        model
    }

    fn simulate(&self, model: LinearModel) -> Result<Vec<Timing>, ReplayError> {
        self.simulations.fetch_add(1, Ordering::Relaxed);
        let cluster = ClusterSpec { step: StepSpec::Linear(model), ..self.replay.cluster.clone() };
        Replay { cluster: &cluster, ..self.replay }.run()
    }

    /// Returns the first launch with which the first token of the first request comes when it did.
    ///
    /// It is no coordinate of the search: there, a step in the loss holds it far too low.
    fn first_launch_ms(&self, point: &[f64]) -> Result<f64, ReplayError> {
        let measured = self.replay.measured.timings[0].first_token.as_ms();
        let mut launch: f64 = 0.0;
        for _ in 0..LAUNCHES {
            let simulated = self.simulate(self.model(point, launch))?[0].first_token.as_ms();
            launch = (launch + measured - simulated).max(0.0);
        }
        Ok(launch)
    }

    fn cost(&self, point: &[f64], first_launch_ms: f64) -> f64 {
        self.loss(point, first_launch_ms) + self.distance_from_prior(point)
    }

    /// Returns what a point costs for being away from the prior, and for the coefficients of one
    /// limit being off from it differently.
    fn distance_from_prior(&self, point: &[f64]) -> f64 {
        let square = |ratio: f64| ratio * ratio;
        let mut cost = 0.0;
        for ratio in point {
            cost += PRIOR_WEIGHT * square(ratio / PRIOR_DEVIATION);
        }
        for limit in [Limit::Memory, Limit::Compute] {
            let own = self.fitted.iter().zip(point).filter(|(own, _)| own.limit == limit);
            let own: Vec<f64> = own.map(|(_, ratio)| *ratio).collect();
            let common = fidelity::mean(&own);
            for ratio in own {
                cost += ALIKE_WEIGHT * square((ratio - common) / ALIKE_DEVIATION);
            }
        }
        cost / point.len().max(1) as f64
    }

    /// How far the simulation is from the run, prior apart: request by request, as a whole, and in
    /// how long it takes. Single requests pin down the schedule, but their times to the first
    /// token are part chance; the whole is what a simulation is asked for.
    fn loss(&self, point: &[f64], first_launch_ms: f64) -> f64 {
        let Ok(times) = self.simulate(self.model(point, first_launch_ms)) else {
            return FAILED;
        };
        let real = &self.measured;
        let ours = fidelity::latencies(&self.replay, &times);
        let whole = fidelity::score(&self.replay, &times);
        let throughput = whole.throughput_tokens_per_s.error_ratio;
        let loss = distance(&real.ttft, &ours.ttft, SHORTEST_TTFT_MS)
            + 16.0 * distance(&real.tpot, &ours.tpot, 0.0)
            + 6.0 * distance(&real.e2e, &ours.e2e, 0.0)
            + 6.0 * whole.score_ratio
            + 8.0 * (throughput.abs() - THROUGHPUT_TOLERANCE).max(0.0);
        loss.min(FAILED)
    }

    /// Returns for each coefficient whether the run tells its value.
    fn identified(&self, point: &[f64], first_launch_ms: f64) -> Vec<bool> {
        let least = self.loss(point, first_launch_ms);
        let told = TOLD * least.max(SMALLEST_LOSS);
        let moves = [libm::log(1.0 + MOVED), libm::log(1.0 - MOVED)];
        let tries: Vec<(usize, f64)> =
            (0..point.len()).flat_map(|axis| moves.map(|by| (axis, by))).collect();
        let rises = tries.par_iter().map(|(axis, by)| {
            let moved = point[*axis] + by;
            self.refitted(point, *axis, moved, first_launch_ms) - least
        });
        let rises: Vec<f64> = rises.collect();
        rises.chunks_exact(moves.len()).map(|pair| pair.iter().all(|rise| *rise > told)).collect()
    }

    /// Returns the loss with one coordinate held and the others fitted anew.
    fn refitted(&self, point: &[f64], axis: usize, held: f64, first_launch_ms: f64) -> f64 {
        let whole = |others: &[f64]| {
            let mut whole = others.to_vec();
            whole.insert(axis, held);
            whole
        };
        let mut others = point.to_vec();
        others.remove(axis);
        if others.is_empty() {
            return self.loss(&whole(&others), first_launch_ms);
        }
        descend(&others, REFIT_REACH, REFIT_ITERATIONS, |others| {
            self.loss(&whole(others), first_launch_ms)
        })
        .cost
    }
}

/// Mean |ours − real| / real, with `floor` in place of smaller ones.
fn distance(real: &[f64], ours: &[f64], floor: f64) -> f64 {
    let errors: Vec<f64> =
        real.iter().zip(ours).map(|(real, ours)| (ours - real).abs() / real.max(floor)).collect();
    fidelity::mean(&errors)
}

/// Returns the `count` points of least cost, the best first; of equals, the earlier.
fn best_of(points: Vec<Vec<f64>>, count: usize, cost: impl Fn(&[f64]) -> f64 + Sync) -> Vec<Found> {
    let evaluate = |point: Vec<f64>| Found { cost: cost(&point), point };
    let mut found: Vec<Found> = points.into_par_iter().map(evaluate).collect();
    found.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    found.truncate(count);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::AlgorithmSpec;
    use crate::scenario::Config;
    use crate::trace::{MeasuredTrace, ReadReport};
    use crate::units::SimDuration;
    use crate::workload::GeneratorSpec;

    const ENGINE: &str = "[cluster]\nnum_backends = 1\nmax_batch_tokens = 1024\n\
                          max_batch_size = 32\nmax_queue_depth = 9999\nkv_cache_blocks = 4000\n";

    const TRUTH: LinearModel = LinearModel {
        step_ms: 15.0,
        prefill_token_ms: 0.06,
        decode_ms: 0.15,
        context_token_ms: 1e-4,
        longest_context_token_ms: 0.0,
        attention_pair_ms: 5e-6,
        first_launch_ms: 300.0,
        prefill_step_ms: 0.0,
        token_ms: 0.0,
        knee_token_ms: 0.0,
        knee_tokens: 0,
        expert_ms: 0.0,
        experts: 0,
        experts_per_token: 0,
    };

    fn engine() -> ClusterSpec {
        Config::parse("c.toml", ENGINE).unwrap().cluster
    }

    /// A run of an engine whose step times are `truth`, at that rate for ten seconds.
    fn measured(truth: LinearModel, rate_rps: f64) -> MeasuredTrace {
        let length = SimDuration::from_secs(10.0).unwrap();
        let rows = GeneratorSpec::default().rows(rate_rps, 5, length).unwrap();
        let (trace, report) = (rows.into_trace().unwrap(), ReadReport::default());
        let mut measured = MeasuredTrace { trace, timings: Vec::new(), report };
        let cluster = ClusterSpec { step: StepSpec::Linear(truth), ..engine() };
        let timings = with_replay(&cluster, &measured, |replay| replay.run().unwrap());
        measured.timings = timings;
        measured
    }

    fn with_replay<T>(
        cluster: &ClusterSpec,
        measured: &MeasuredTrace,
        run: impl FnOnce(&Replay<'_>) -> T,
    ) -> T {
        let algorithm = AlgorithmSpec::by_name("round_robin").unwrap();
        let scored = 0..measured.trace.len();
        run(&Replay { cluster, algorithm: &algorithm, measured, scored: &scored, seed: 1 })
    }

    /// A start that is off by a third, each coefficient its own way.
    fn prior() -> LinearModel {
        LinearModel {
            step_ms: 19.0,
            prefill_token_ms: 0.045,
            decode_ms: 0.12,
            context_token_ms: 1.3e-4,
            first_launch_ms: 0.0,
            ..TRUTH
        }
    }

    #[test]
    fn known_step_times_are_found_again() {
        let measured = measured(TRUTH, 12.0);
        let found =
            with_replay(&engine(), &measured, |replay| calibrate(replay, &prior()).unwrap());
        assert!(found.fidelity.score_ratio < 0.005, "{found:?}");
        let ratio = |own: f64, truth: f64| (own / truth - 1.0).abs();
        assert!(ratio(found.model.step_ms, TRUTH.step_ms) < 0.05, "{found:?}");
        assert!(ratio(found.model.prefill_token_ms, TRUTH.prefill_token_ms) < 0.1, "{found:?}");
        assert!((found.model.first_launch_ms - TRUTH.first_launch_ms).abs() < 15.0, "{found:?}");
        let step = found.coefficients.iter().find(|own| own.key == "step_ms").unwrap();
        assert!(step.identified, "{found:?}");
        // Prompts of some 500 tokens have next to no attention.
        let pair = found.coefficients.iter().find(|own| own.key == "attention_pair_ms").unwrap();
        assert!(!pair.identified, "{found:?}");
    }

    #[test]
    fn only_a_run_with_small_batches_tells_the_step_constant() {
        // At 60 requests a second the batch is full from the start until the last ones drain, so
        // a step could as well take less and each of its 32 decodes more.
        let truth = LinearModel { decode_ms: 0.6, ..TRUTH };
        let start = LinearModel { decode_ms: 0.5, ..prior() };
        let told = |rate_rps: f64| {
            let measured = measured(truth, rate_rps);
            let most = measured.trace.len();
            let cluster = engine();
            let algorithm = AlgorithmSpec::by_name("round_robin").unwrap();
            // The drain is left out.
            let scored = most / 10..most / 2;
            let replay = Replay {
                cluster: &cluster,
                algorithm: &algorithm,
                measured: &measured,
                scored: &scored,
                seed: 1,
            };
            let found = calibrate(&replay, &start).unwrap();
            found.coefficients.iter().any(|own| own.key == "step_ms" && own.identified)
        };
        assert!(told(4.0) && !told(60.0));
    }

    #[test]
    fn results_do_not_depend_on_the_threads() {
        let measured = measured(TRUTH, 4.0);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                with_replay(&engine(), &measured, |replay| calibrate(replay, &prior()).unwrap())
            })
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn an_engine_that_turns_requests_away_is_an_error() {
        let measured = measured(TRUTH, 6.0);
        let small = Config::parse("c.toml", &ENGINE.replace("4000", "20")).unwrap().cluster;
        let error =
            with_replay(&small, &measured, |replay| calibrate(replay, &prior()).unwrap_err());
        assert!(error.to_string().ends_with("rejects them (never_fits)"), "{error}");
        assert!(error.hint().unwrap().contains("kv_cache_blocks"));
    }
}
