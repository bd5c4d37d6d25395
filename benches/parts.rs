//! Parts of a run: drawing a request, measuring it, and what its KV blocks cost a backend.
//!
//! `cargo bench --no-default-features --bench parts` prints times and requests a second; a name
//! after `--` picks, such as `-- kv_cache`.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};

use routesim::cluster::{Holding, OwnBlocks, PrefixCache};
use routesim::engine::{Outcome, RequestRecord, RunRecord, Sink as _};
use routesim::metrics::{Collector, MOST_EXACT, SloMeasure, SloSpec, SloStatistic, SloTerm};
use routesim::rng::Stream;
use routesim::trace::{NewRequest, Path, Segments, Trace, TraceBuilder};
use routesim::units::{PS_PER_S, SimDuration, SimTime};
use routesim::workload::{GeneratorSpec, Lengths, Warmup, Window, Workload};

const REQUESTS: u64 = 1_000_000;

/// About a million requests of that kind; drawn again on every pull when they are streamed.
fn workload(lengths: Lengths, requests: u64) -> Workload {
    let spec = GeneratorSpec { lengths, ..GeneratorSpec::default() };
    let thousand = SimDuration::from_ps(1_000 * PS_PER_S);
    spec.workload(requests as f64 / 1e3, 42, thousand, Warmup::NONE).unwrap()
}

fn drawing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("draw");
    group.sample_size(10);
    for lengths in Lengths::ALL {
        let workload = workload(lengths, 3 * REQUESTS);
        group.throughput(Throughput::Elements(workload.requests.len() as u64));
        let pull = || {
            let tokens = workload.requests.arrivals().map(|it| u64::from(it.prompt_tokens));
            tokens.sum::<u64>()
        };
        group.bench_function(lengths.name(), |bencher| bencher.iter(pull));
    }
    group.finish();
}

/// The finished requests of a fleet whose waits are exponential.
fn records() -> Vec<RequestRecord> {
    let mut stream = Stream::new(1, "bench", 0);
    let workload = workload(Lengths::Constant, REQUESTS);
    let record = |it: routesim::workload::Arriving<'_>| {
        let mut after =
            |mean_s: f64| SimDuration::from_secs(mean_s * stream.exponential()).unwrap();
        let scheduled = it.arrival + after(0.05);
        let first_token = scheduled + after(0.2);
        RequestRecord {
            request: it.request,
            arrival: it.arrival,
            prompt_tokens: it.prompt_tokens,
            output_tokens: it.output_tokens,
            outcome: Outcome::Finished,
            backend: None,
            scheduled: Some(scheduled),
            first_token: Some(first_token),
            last_token: Some(first_token + after(3.0)),
            cached_tokens: 0,
            preemptions: 0,
        }
    };
    workload.requests.arrivals().map(record).collect()
}

fn measuring(criterion: &mut Criterion) {
    let records = records();
    let limit = |measure, s| SloTerm {
        measure,
        statistic: SloStatistic::Percentile(95.0),
        limit: SimDuration::from_ps(s * PS_PER_S),
    };
    let slo = SloSpec {
        terms: vec![limit(SloMeasure::Ttft, 1), limit(SloMeasure::Tpot, 1)],
        attainment: None,
    };
    let end = SimTime::from_ps(2_000 * PS_PER_S);
    let window = Window { first: records[0].request, from: SimTime::ZERO, to: end };
    let run = RunRecord {
        end,
        backends: Vec::new(),
        pools: Vec::new(),
        dispatched: Vec::new(),
        events: 0,
        diagnostics: Vec::new(),
    };
    let mut group = criterion.benchmark_group("measure");
    group.throughput(Throughput::Elements(records.len() as u64)).sample_size(10);
    for (name, planned) in [("exact", records.len()), ("histogram", MOST_EXACT + 1)] {
        let measure = || {
            let mut collector = Collector::new(window, planned, &slo);
            for record in &records {
                collector.outcome(black_box(record));
            }
            collector.summary(&run, 1.0)
        };
        group.bench_function(name, |bencher| bencher.iter(measure));
    }
    group.finish();
}

/// Tokens of a block of the cache, and of a block of the trace.
const BLOCK_SIZE: u32 = 16;
const TRACE_BLOCK: u32 = 512;

/// A long prompt, in tokens, in blocks of the cache, and in ids of the trace.
const PROMPT_TOKENS: u32 = 12_000;
const PROMPT_BLOCKS: u32 = PROMPT_TOKENS / BLOCK_SIZE;
const PROMPT_IDS: u32 = PROMPT_TOKENS.div_ceil(TRACE_BLOCK);

/// Long prompts, and where each begins in the tree of segments.
struct Prompts {
    segments: Segments,
    paths: Vec<Path>,
}

impl Prompts {
    /// Prompts of which `sharers` each begin with the same first ids, and all with the same first
    /// third of these: a way of three segments, as in real conversations. With one sharer each,
    /// nothing is shared and the way is one segment.
    fn new(count: u32, sharers: u32) -> Self {
        let mut builder = TraceBuilder::new(TRACE_BLOCK, Vec::new());
        for prompt in 0..count {
            let owner = |place: u32| match place {
                _ if sharers == 1 => prompt,
                0..8 => 0,
                8..16 => prompt / sharers * sharers,
                _ => prompt,
            };
            let ids = (0..PROMPT_IDS).map(|place| owner(place) * PROMPT_IDS + place);
            builder.push(NewRequest {
                arrival: SimTime::ZERO,
                prompt_tokens: PROMPT_TOKENS,
                output_tokens: 1,
                chain: &ids.collect::<Vec<u32>>(),
                shared_tokens: PROMPT_TOKENS,
                session: None,
                model: None,
            });
        }
        Self::of(&builder.finish())
    }

    fn of(trace: &Trace) -> Self {
        let segments = Segments::new(trace, BLOCK_SIZE);
        let path = |id| segments.path_of(&trace.chain(id), id);
        let paths = trace.ids().map(path).collect();
        Self { segments, paths }
    }

    /// Serves a prompt; returns how many of its blocks were cached.
    fn serve(&self, cache: &mut PrefixCache, path: Path) -> u32 {
        let mut holding = Holding::default();
        let hit = cache.hit(&self.segments, path, &holding, PROMPT_BLOCKS);
        cache.hold(&self.segments, path, hit.blocks, &mut holding);
        cache.take(PROMPT_BLOCKS - hit.blocks);
        if hit.blocks < PROMPT_BLOCKS {
            cache.register(&self.segments, path, hit.blocks..PROMPT_BLOCKS, &mut holding);
        }
        cache.release(holding, OwnBlocks::default());
        hit.blocks
    }
}

fn kv_cache(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("kv_cache");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for total in [10_000, 1_000_000] {
        let own = PrefixCache::new(total);
        serve_own_blocks(&mut group, "own_blocks", own);
        let (prompts, mut beside) = (Prompts::new(1, 1), PrefixCache::new(total));
        hold_one(&prompts, &mut beside);
        serve_own_blocks(&mut group, "own_blocks_beside_a_prefix", beside);
        serve_hits(&mut group, total);
        serve_new_prompts(&mut group, total);
    }
    group.finish();
}

/// Leaves a prompt in the cache that somebody holds for good.
fn hold_one(prompts: &Prompts, cache: &mut PrefixCache) {
    let mut holding = Holding::default();
    cache.take(PROMPT_BLOCKS);
    cache.register(&prompts.segments, prompts.paths[0], 0..PROMPT_BLOCKS, &mut holding);
}

/// A request of 640 tokens that shares nothing takes its blocks and gives them back.
fn serve_own_blocks(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, mut cache: PrefixCache) {
    let id = BenchmarkId::new(name, cache.total());
    let mut serve = || {
        cache.take(40);
        cache.release(Holding::default(), OwnBlocks { full: 39, open: 1 });
        cache.unheld()
    };
    group.bench_function(id, |bencher| bencher.iter(&mut serve));
}

/// A prompt that is cached to the last block is found, held and given back.
fn serve_hits(group: &mut BenchmarkGroup<'_, WallTime>, total: u32) {
    let prompts = Prompts::new(total / PROMPT_BLOCKS, 4);
    let mut cache = PrefixCache::new(total);
    for path in &prompts.paths {
        prompts.serve(&mut cache, *path);
    }
    let mut turns = prompts.paths.iter().cycle();
    let mut serve = || {
        let path = *turns.next().unwrap();
        let blocks = prompts.serve(&mut cache, path);
        assert_eq!(blocks, PROMPT_BLOCKS, "every prompt fits");
    };
    group.bench_function(BenchmarkId::new("hit", total), |bencher| bencher.iter(&mut serve));
}

/// A prompt that is not cached takes the blocks of others in a full cache, is made known, and is
/// given back.
fn serve_new_prompts(group: &mut BenchmarkGroup<'_, WallTime>, total: u32) {
    let prompts = Prompts::new(2 * total / PROMPT_BLOCKS, 1);
    let mut cache = PrefixCache::new(total);
    for path in &prompts.paths {
        prompts.serve(&mut cache, *path);
    }
    assert_eq!(cache.cached(), total, "the cache is full of what was served");
    let mut turns = prompts.paths.iter().cycle();
    let mut serve = || {
        let path = *turns.next().unwrap();
        let blocks = prompts.serve(&mut cache, path);
        assert_eq!(blocks, 0, "a prompt is evicted before it comes again");
    };
    group.bench_function(BenchmarkId::new("new_prompt", total), |bencher| bencher.iter(&mut serve));
}

criterion_group!(benches, drawing, measuring, kv_cache);
criterion_main!(benches);
