//! How many requests a second one core simulates, next to a bare event heap in the same run.
//!
//! `cargo bench --no-default-features --bench scale` prints a table; a word after `--` picks the
//! rows that contain it, and `-- huge` runs the hundred million requests that are left out
//! otherwise. Times are CPU time, the better of three. Machines differ and are shared: quote the
//! ratio to the heap.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(clippy::print_stdout, reason = "its table is what it is for")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use routesim::metrics::Summary;
use routesim::router::AlgorithmSpec;
use routesim::scenario::{Config, Scenario};
use routesim::trace::{Format, NewRequest, ReadOptions, Trace, TraceBuilder, read_trace};
use routesim::units::{PS_PER_S, SimDuration, SimTime};
use routesim::workload::{GeneratorSpec, Lengths, SourceTrace, Warmup, Workload};

const MILLION: f64 = 1e6;
/// Requests a second that a backend of the guide serves: 512 / 50,000 s and 128 / 3,200 s each.
const SATURATION_RPS: f64 = 1.0 / (512.0 / 50_000.0 + 128.0 / 3_200.0);

/// One row: a fleet, an algorithm and how its requests are made.
struct Row {
    name: String,
    cluster: String,
    algorithm: &'static str,
    workload: Box<dyn Fn() -> Workload>,
}

impl Row {
    fn scenario(&self) -> Scenario {
        let config = Config::parse("bench", &format!("[cluster]\n{}", self.cluster)).unwrap();
        Scenario {
            cluster: config.cluster,
            algorithm: AlgorithmSpec::by_name(self.algorithm).unwrap(),
            workload: Arc::new((self.workload)()),
            slo: config.slo,
            seed: 42,
        }
    }
}

fn row(
    name: &str,
    cluster: &str,
    algorithm: &'static str,
    workload: impl Fn() -> Workload + 'static,
) -> Row {
    let name = format!("{algorithm}, {name}");
    Row { name, cluster: cluster.to_owned(), algorithm, workload: Box::new(workload) }
}

/// Exponential lengths, 512 and 128 tokens in the mean.
fn exponential(requests: f64, rate_rps: f64, num_prefixes: u32) -> Workload {
    let spec = GeneratorSpec {
        lengths: Lengths::Exponential,
        prompt_mean: 512.0,
        gen_mean: 128.0,
        num_prefixes,
        ..GeneratorSpec::default()
    };
    generated(&spec, requests, rate_rps)
}

fn generated(spec: &GeneratorSpec, requests: f64, rate_rps: f64) -> Workload {
    let duration = SimDuration::from_secs(requests / rate_rps).unwrap();
    spec.workload(rate_rps, 42, duration, Warmup::NONE).unwrap()
}

fn load(backends: u32, share: f64) -> f64 {
    f64::from(backends) * share * SATURATION_RPS
}

/// The Mooncake conversation trace, as many times over with ids of their own, all at once.
fn conversations(copies: u32) -> Trace {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/mooncake/conversation_trace.jsonl");
    let options = ReadOptions { format: Format::Mooncake, block_size: None };
    let (one, _) = read_trace(&path, &options).unwrap();
    let ids = one.ids().flat_map(|id| one.chain(id).ids.to_vec()).max().unwrap() + 1;
    let mut builder = TraceBuilder::new(one.block_tokens(), Vec::new());
    for copy in 0..copies {
        for id in one.ids() {
            let request = one.request(id);
            let chain: Vec<u32> = request.chain.iter().map(|id| id + copy * ids).collect();
            let after = SimDuration::from_ps(u64::from(copy) * PS_PER_S * 300);
            let arrival = request.arrival + after;
            builder.push(NewRequest { arrival, chain: &chain, session: None, ..request });
        }
    }
    builder.finish()
}

fn rows() -> Vec<Row> {
    let mut rows = small_fleets();
    for backends in [64, 512] {
        for algorithm in ["round_robin", "least_outstanding"] {
            let name = format!("{backends} backends, 70 %");
            let workload = move || exponential(MILLION, load(backends, 0.7), 0);
            rows.push(row(&name, &format!("num_backends = {backends}"), algorithm, workload));
        }
    }
    for algorithm in ["round_robin", "least_outstanding", "prefix_aware", "prefix_overlap"] {
        let workload = || {
            let span = SimDuration::from_secs(8_000.0).unwrap();
            let source = SourceTrace::new(conversations(10));
            source.workload(None, 42, span, Warmup::NONE).unwrap()
        };
        rows.push(row(
            "8 backends, ten conversation traces",
            "num_backends = 8",
            algorithm,
            workload,
        ));
    }
    for requests in [1e5, 1e6, 1e7] {
        let name = format!("8 backends, {requests:e} requests, growth");
        let workload = move || exponential(requests, load(8, 0.7), 0);
        rows.push(row(&name, "num_backends = 8", "round_robin", workload));
    }
    rows
}

fn small_fleets() -> Vec<Row> {
    let eight = "num_backends = 8";
    let starved = "num_backends = 8\nkv_cache_blocks = 2588";
    let at = |share| move || exponential(MILLION, load(8, share), 0);
    let long = || {
        let spec = GeneratorSpec {
            lengths: Lengths::Exponential,
            prompt_mean: 857.0,
            gen_mean: 650.0,
            num_prefixes: 0,
            ..GeneratorSpec::default()
        };
        generated(&spec, 3e5, 19.0)
    };
    let mut rows = vec![
        row("8 backends, 70 %", eight, "round_robin", at(0.7)),
        row("8 backends, 5 %", eight, "round_robin", at(0.05)),
        row("8 backends, 125 %", eight, "round_robin", at(1.25)),
        row("8 backends, 70 %", eight, "least_outstanding", at(0.7)),
        row("8 backends, no KV to spare", starved, "round_robin", long),
    ];
    for groups in [5, 1_000, 20_000] {
        let name = format!("8 backends, {groups} prefixes");
        let workload = move || exponential(MILLION, load(8, 0.7), groups);
        rows.push(row(&name, eight, "prefix_aware", workload));
    }
    rows
}

/// CPU time of this thread in seconds; wall time where the system does not tell.
fn cpu_s(start: Instant) -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let ns = stat.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    ns.map_or_else(|| start.elapsed().as_secs_f64(), |ns| ns / 1e9)
}

/// Peak memory of the process in MB, where the system tells.
fn peak_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = peak.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kb.map_or(0.0, |kb| kb / 1_024.0)
}

fn best_of<T>(times: u32, mut run: impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    let once = |_| {
        let before = cpu_s(start);
        black_box(run());
        cpu_s(start) - before
    };
    (0..times).map(once).fold(f64::INFINITY, f64::min)
}

/// Three events a request and nothing else: arrival, first token, last token.
fn bare_heap(workload: &Workload) -> u64 {
    let mut heap: BinaryHeap<Reverse<(SimTime, u32, u8)>> = BinaryHeap::new();
    let mut sum = 0_u64;
    let mut requests = workload.requests.arrivals();
    let mut next = requests.next();
    while let Some(request) = next.take() {
        heap.push(Reverse((request.arrival, request.request.0, 0)));
        next = requests.next();
        let until = next.map_or(SimTime::MAX, |next| next.arrival);
        while let Some(Reverse((at, id, kind))) = heap.peek().copied() {
            if at > until {
                break;
            }
            heap.pop();
            sum ^= at.as_ps();
            if kind < 2 {
                let tokens = u64::from(request.prompt_tokens + request.output_tokens);
                heap.push(Reverse((
                    at + SimDuration::from_ps(tokens * PS_PER_S / 500),
                    id,
                    kind + 1,
                )));
            }
        }
    }
    sum
}

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let million = exponential(MILLION, load(8, 0.7), 0);
    let heap = million.requests.len() as f64 / best_of(3, || bare_heap(&million));
    println!("{:55} {:>6.3} M requests/s", "bare event heap, 3 events a request", heap / 1e6);
    if wanted.iter().any(|word| word == "huge") {
        let before = cpu_s(Instant::now());
        let requests = || exponential(1e8, load(2_000, 0.7), 0);
        let row = row("2,000 backends", "num_backends = 2000", "least_outstanding", requests);
        let scenario = row.scenario();
        let summary = scenario.run().unwrap();
        show(&row.name, &summary, cpu_s(Instant::now()) - before, heap);
    } else {
        for row in rows() {
            if wanted.iter().all(|word| row.name.contains(word.as_str())) {
                let scenario = row.scenario();
                let mut summary = None;
                let times = if scenario.workload.requests.len() > 5_000_000 { 1 } else { 3 };
                let time = best_of(times, || summary = Some(scenario.run().unwrap()));
                show(&row.name, &summary.unwrap(), time, heap);
            }
        }
    }
    println!("peak memory {:.0} MB", peak_mb());
}

fn show(name: &str, summary: &Summary, time_s: f64, heap: f64) {
    let requests = summary.all.requests as f64;
    let rate = requests / time_s;
    println!(
        "{name:55} {:>6.3} M requests/s, {:>5.0} ns each, {:>5.2} x the heap; {:>5.1} events, \
         {:.2} preemptions each",
        rate / 1e6,
        1e9 / rate,
        heap / rate,
        summary.events as f64 / requests,
        summary.preemptions as f64 / requests,
    );
}
