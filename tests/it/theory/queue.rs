//! Runs a queue, checks what must hold on every path, and compares means with exact values.

use routesim::cluster::{ClusterSpec, Gpu, StepSpec};
use routesim::engine::{Outcome, RequestRecord, RunRecord, Sim, Sink};
use routesim::rng::Stream;
use routesim::router::AlgorithmSpec;
use routesim::stats::{Moments, quantile_sorted};
use routesim::trace::{NewRequest, Trace, TraceBuilder};
use routesim::units::{RequestId, SimDuration, SimTime};
use routesim::workload::Window;

/// Replications of each row.
const REPLICATIONS: u64 = 20;
/// Prompt tokens that a server of [`server`] computes in a second.
pub(super) const PREFILL_RATE: f64 = 1e6;
/// A prompt of one token costs next to nothing at this rate, in tokens/s.
pub(super) const NO_PREFILL: f64 = 1e9;

/// What one request asks for.
#[derive(Clone, Copy)]
pub(super) struct Job {
    pub(super) prompt_tokens: u32,
    pub(super) output_tokens: u32,
}

/// The means of one replication, in seconds and requests, over the requests after the warm-up.
pub(super) struct Run {
    /// Arrival to first scheduling.
    pub(super) wait: f64,
    /// Arrival to last token.
    pub(super) sojourn: f64,
    /// Arrival to first token.
    pub(super) first: f64,
    /// Share of the requests that had to wait.
    pub(super) delayed: f64,
    /// Share of the requests that were turned away.
    pub(super) blocked: f64,
    /// Requests in the system, over time.
    pub(super) in_system: f64,
    /// Share of the time with a step running, by backend.
    pub(super) utilisation: Vec<f64>,
    /// Arrival to first scheduling of every request that finished.
    waits: Vec<f64>,
    /// Arrival to last token of every request that finished, in order of length.
    sojourns: Vec<f64>,
}

impl Run {
    /// Share of the requests that waited for no longer than `seconds`.
    pub(super) fn waited_within(&self, seconds: f64) -> f64 {
        let within = self.waits.iter().filter(|wait| **wait <= seconds).count();
        within as f64 / self.waits.len() as f64
    }

    /// A quantile of the time in the system.
    pub(super) fn sojourn_quantile(&self, p: f64) -> f64 {
        quantile_sorted(&self.sojourns, p).unwrap()
    }
}

/// Remembers the outcomes.
#[derive(Default)]
struct Records(Vec<RequestRecord>);

impl Sink for Records {
    fn token_gaps(&mut self, _gap: SimDuration, _tokens: u64) {}

    fn outcome(&mut self, record: &RequestRecord) {
        self.0.push(*record);
    }
}

/// Backends that serve one request at a time: a prompt is one step of a microsecond per token, and
/// each further token takes `decode_s`.
pub(super) fn server(num_backends: u32, decode_s: f64) -> ClusterSpec {
    ClusterSpec {
        gpu: Gpu::by_name("H100Sxm").unwrap(),
        tensor_parallel: 1,
        model: None,
        long_prefill_tokens: None,
        num_backends,
        max_batch_tokens: 1 << 30,
        max_batch_size: 1,
        max_queue_depth: 1 << 30,
        // Any prompt fits in a block, so that memory never matters.
        kv_cache_blocks: 4_096,
        kv_block_size: 1 << 30,
        async_scheduling: false,
        step: StepSpec::Compute {
            prefill_tokens_per_sec: PREFILL_RATE,
            decode_tokens_per_sec_batch1: 1.0 / decode_s,
            decode_throughput_saturation_batch: 1,
            decode_tokens_per_sec_saturated: 1.0 / decode_s,
        },
        disaggregated: None,
    }
}

/// A request whose service on a [`server`] takes `seconds`, by its prompt alone: rounding up to a
/// token moves the mean by half a microsecond.
pub(super) fn prompt_of(seconds: f64) -> Job {
    Job { prompt_tokens: whole(seconds * PREFILL_RATE), output_tokens: 1 }
}

/// A request of a prompt of one token that decodes a geometric number of tokens of mean `mean`, at
/// least one, after its first.
pub(super) fn decodes_of(mean: f64, stream: &mut Stream) -> Job {
    Job { prompt_tokens: 1, output_tokens: 1 + geometric(mean, stream) }
}

/// A geometric number from 1: the exponential distribution rounded up is exactly that.
pub(super) fn geometric(mean: f64, stream: &mut Stream) -> u32 {
    let scale = -1.0 / libm::log(1.0 - 1.0 / mean);
    whole(scale * stream.exponential())
}

/// Rounds up to a whole number from 1.
fn whole(value: f64) -> u32 {
    assert!((0.0..2e9).contains(&value), "{value} tokens");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    let tokens = value.ceil() as u32;
    tokens.max(1)
}

/// Draws `count` requests with Poisson arrivals. Rows share the draws of a seed, so that they lean
/// the same way.
pub(super) fn poisson(
    rate: f64,
    count: usize,
    seed: u64,
    mut job: impl FnMut(&mut Stream) -> Job,
) -> Trace {
    let mut arrivals = Stream::new(seed, "arrivals", 0);
    let mut work = Stream::new(seed, "work", 0);
    let mut builder = TraceBuilder::default();
    let mut now = SimTime::ZERO;
    for _ in 0..count {
        now += SimDuration::from_secs(arrivals.exponential() / rate).unwrap();
        let Job { prompt_tokens, output_tokens } = job(&mut work);
        builder.push(NewRequest {
            arrival: now,
            prompt_tokens,
            output_tokens,
            chain: &[],
            shared_tokens: 0,
            session: None,
            model: None,
        });
    }
    builder.finish()
}

/// Runs every replication; `one` is given its seed.
pub(super) fn replicate(one: impl FnMut(u64) -> Run) -> Vec<Run> {
    (1..=REPLICATIONS).map(one).collect()
}

/// Runs one replication, of which the first tenth is the warm-up.
pub(super) fn simulate(cluster: &ClusterSpec, algorithm: &str, trace: &Trace) -> Run {
    let first = RequestId::at(trace.len() / 10);
    let last = RequestId::at(trace.len() - 1);
    let window =
        Window { first: RequestId(0), from: trace.arrival(first), to: trace.arrival(last) };
    let (records, run) = records(cluster, algorithm, trace, window);
    let run_s = run.end.since(window.from).as_secs();
    let utilisation = run.backends.iter().map(|stats| stats.busy.as_secs() / run_s).collect();

    check_little(&records, trace, &run, window);
    if cluster.max_batch_size == 1 && cluster.disaggregated.is_none() {
        check_busy(&records, &run, window);
    }
    let measured: Vec<_> = records.iter().filter(|record| record.request >= first).collect();
    let finished = measured.iter().filter(|record| record.outcome == Outcome::Finished);
    let mut means = [Moments::default(); 4];
    let (mut waits, mut sojourns) = (Vec::new(), Vec::new());
    for record in finished {
        let since = |at: Option<SimTime>| at.unwrap().since(trace.arrival(record.request));
        let wait = since(record.scheduled);
        let times = [wait, since(record.last_token), since(record.first_token)];
        for (mean, time) in means.iter_mut().zip(times) {
            mean.push(time.as_secs());
        }
        means[3].push(f64::from(u8::from(wait > SimDuration::ZERO)));
        waits.push(times[0].as_secs());
        sojourns.push(times[1].as_secs());
    }
    sojourns.sort_unstable_by(f64::total_cmp);
    let [wait, sojourn, first, delayed] = means.map(|mean| mean.mean().unwrap());
    let load_ps: u128 = run.backends.iter().map(|stats| stats.load_ps).sum();
    Run {
        wait,
        sojourn,
        first,
        delayed,
        blocked: 1.0 - means[0].n() as f64 / measured.len() as f64,
        in_system: load_ps as f64 / window.to.since(window.from).as_ps() as f64,
        utilisation,
        waits,
        sojourns,
    }
}

/// Runs and returns every outcome, in the order of the requests.
pub(super) fn records(
    cluster: &ClusterSpec,
    algorithm: &str,
    trace: &Trace,
    window: Window,
) -> (Vec<RequestRecord>, RunRecord) {
    let algorithm = AlgorithmSpec::by_name(algorithm).unwrap();
    let mut records = Records::default();
    let sim = Sim::new(cluster, &algorithm, trace, window, 42).unwrap();
    let run = sim.run(&mut records).unwrap();
    assert_eq!(records.0.len(), trace.len());
    records.0.sort_by_key(|record| record.request);
    (records.0, run)
}

/// Little's law on a path: the integral of the number in the system is the sum of the times spent
/// there, to the picosecond.
fn check_little(records: &[RequestRecord], trace: &Trace, run: &RunRecord, window: Window) {
    let spent = |record: &RequestRecord| {
        if record.outcome != Outcome::Finished {
            return 0;
        }
        let until = record.last_token.unwrap().min(window.to);
        u128::from(until.saturating_since(trace.arrival(record.request).max(window.from)).as_ps())
    };
    let integral: u128 = run.backends.iter().map(|stats| stats.load_ps).sum();
    assert_eq!(integral, records.iter().map(spent).sum::<u128>(), "Little's law");
}

/// Utilisation on a path: a backend of batch size 1 is busy for as long as it serves.
fn check_busy(records: &[RequestRecord], run: &RunRecord, window: Window) {
    let served = |record: &RequestRecord| match (record.scheduled, record.last_token) {
        (Some(start), Some(end)) => end.saturating_since(start.max(window.from)).as_ps(),
        _ => 0,
    };
    let busy: u64 = run.backends.iter().map(|stats| stats.busy.as_ps()).sum();
    assert_eq!(busy, records.iter().map(served).sum::<u64>(), "busy time is service time");
}

/// Compares the mean over the replications with the exact value.
pub(super) fn agrees(row: &str, exact: f64, runs: &[Run], value: impl Fn(&Run) -> f64) {
    within(row, exact, 0.03 * exact, runs, value);
}

/// As [`agrees`] for a probability, whose standard error may be 0.01.
pub(super) fn agrees_in_share(row: &str, exact: f64, runs: &[Run], value: impl Fn(&Run) -> f64) {
    within(row, exact, 0.01, runs, value);
}

fn within(row: &str, exact: f64, most_se: f64, runs: &[Run], value: impl Fn(&Run) -> f64) {
    let values: Vec<f64> = runs.iter().map(value).collect();
    let moments = Moments::of(&values);
    let (mean, se) = (moments.mean().unwrap(), moments.se().unwrap());
    let z = (mean - exact) / se;
    println!("{row:<44} exact {exact:9.5}  simulated {mean:9.5}  se {se:8.5}  z {z:6.2}");
    assert!(se <= most_se, "{row}: a standard error of {se} on {exact} has no power");
    assert!(z.abs() <= 4.0, "{row}: {mean} is {z:.1} standard errors from {exact}");
}
