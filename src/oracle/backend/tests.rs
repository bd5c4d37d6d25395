//! The scheduler by hand: what happens when blocks run out, and what the cache holds afterwards.
//!
//! A step takes 10 ms and blocks hold 16 tokens, unless a test says otherwise.

use super::*;
use crate::cluster::{ClusterSpec, Facts, Gpu, LinearModel, StepSpec};
use crate::trace::{NewRequest, Trace, TraceBuilder};
use crate::units::PS_PER_MS;

const BLOCK: u32 = 16;

/// A request of (arrival in ms, prompt, output) that shares what `ids` describe.
#[derive(Clone, Copy)]
struct Job {
    ms: u64,
    prompt: u32,
    output: u32,
    ids: &'static [u32],
}

const fn own(ms: u64, prompt: u32, output: u32) -> Job {
    Job { ms, prompt, output, ids: &[] }
}

/// A trace of these jobs in the order of arrival.
fn trace(jobs: &[Job]) -> Trace {
    let mut builder = TraceBuilder::new(BLOCK, Vec::new());
    for job in jobs {
        let whole = u32::try_from(job.ids.len()).unwrap() * BLOCK;
        builder.push(NewRequest {
            arrival: SimTime::from_ps(job.ms * PS_PER_MS),
            prompt_tokens: job.prompt,
            output_tokens: job.output,
            chain: job.ids,
            shared_tokens: whole.min(job.prompt),
            session: None,
            model: None,
        });
    }
    builder.finish()
}

/// A backend with `blocks` usable blocks.
fn spec(blocks: u32, async_scheduling: bool) -> ClusterSpec {
    ClusterSpec {
        gpu: Gpu::by_name("H100Sxm").unwrap(),
        tensor_parallel: 1,
        model: None,
        long_prefill_tokens: None,
        num_backends: 1,
        max_batch_tokens: 8_192,
        max_batch_size: 256,
        max_queue_depth: 256,
        kv_cache_blocks: blocks + 1,
        kv_block_size: BLOCK,
        async_scheduling,
        step: StepSpec::Linear(LinearModel { step_ms: 10.0, ..LinearModel::default() }),
        disaggregated: None,
    }
}

/// What a backend did, in the order of time: (ms, notice).
struct Served {
    backend: Backend,
    log: Vec<(u64, Notice)>,
}

/// Serves the jobs, which are numbered from 0, and calls `watch` after each pass of the scheduler.
fn serve_watched(spec: &ClusterSpec, jobs: &[Job], watch: impl Fn(&Backend)) -> Served {
    let window = Window { first: RequestId(0), from: SimTime::ZERO, to: SimTime::ZERO };
    let segments = Arc::new(Segments::new(&trace(jobs), BLOCK));
    let mut backend = Backend::new(&spec.fleet().backends[0], Arc::clone(&segments), window);
    let mut log = Vec::new();
    let mut notices = Vec::new();
    let at = |job: &Job| SimTime::from_ps(job.ms * PS_PER_MS);
    let mut rest = jobs.iter().enumerate().peekable();
    loop {
        let arrival = rest.peek().map(|(_, job)| at(job));
        let Some(now) = arrival.into_iter().chain(backend.next_end()).min() else {
            break;
        };
        while let Some((index, job)) = rest.next_if(|(_, job)| at(job) == now) {
            backend.enqueue(work(index, job, &segments), now).unwrap();
        }
        let ends = backend.next_end() == Some(now);
        if ends {
            backend.finish_step(now, &mut notices);
        }
        if ends || backend.next_end().is_none() {
            backend.schedule(now, &mut notices);
        }
        backend.check(true);
        watch(&backend);
        log.extend(notices.drain(..).map(|notice| (now.as_ps() / PS_PER_MS, notice)));
    }
    assert_eq!(backend.cache().unheld(), backend.cache().total(), "every block is given back");
    Served { backend, log }
}

fn serve(spec: &ClusterSpec, jobs: &[Job]) -> Served {
    serve_watched(spec, jobs, |_| {})
}

fn work(index: usize, job: &Job, segments: &Segments) -> Work {
    Work {
        request: RequestId::at(index),
        arrival: SimTime::from_ps(job.ms * PS_PER_MS),
        path: segments.path(RequestId::at(index)),
        prompt_tokens: job.prompt,
        output_tokens: job.output,
        delivered_tokens: 0,
        prefill_only: false,
        measured: true,
        sent_to: None,
        facts: Facts::default(),
    }
}

impl Served {
    /// What a request shares.
    fn path(&self, index: usize) -> Path {
        self.backend.segments.path(RequestId::at(index))
    }

    /// When which requests lost their blocks.
    fn preempted(&self) -> Vec<(u64, u32)> {
        let of = |(ms, notice): &(u64, Notice)| match notice {
            Notice::Preempted { request } => Some((*ms, request.0)),
            Notice::Scheduled { .. } | Notice::Token { .. } => None,
        };
        self.log.iter().filter_map(of).collect()
    }

    /// When which requests got their last tokens.
    fn ended(&self) -> Vec<(u64, u32)> {
        let of = |(ms, notice): &(u64, Notice)| match notice {
            Notice::Token { request, last: true } => Some((*ms, request.0)),
            Notice::Token { .. } | Notice::Scheduled { .. } | Notice::Preempted { .. } => None,
        };
        self.log.iter().filter_map(of).collect()
    }

    /// When a request was first scheduled, and the tokens that it found in the cache.
    fn scheduled(&self, index: u32) -> (u64, u32) {
        let of = |(ms, notice): &(u64, Notice)| match notice {
            Notice::Scheduled { request, cached_tokens } if request.0 == index => {
                Some((*ms, *cached_tokens))
            }
            Notice::Scheduled { .. } | Notice::Token { .. } | Notice::Preempted { .. } => None,
        };
        self.log.iter().find_map(of).unwrap()
    }

    /// When a request got its tokens.
    fn tokens(&self, index: u32) -> Vec<u64> {
        let of = |(ms, notice): &(u64, Notice)| match notice {
            Notice::Token { request, .. } if request.0 == index => Some(*ms),
            Notice::Token { .. } | Notice::Scheduled { .. } | Notice::Preempted { .. } => None,
        };
        self.log.iter().filter_map(of).collect()
    }
}

#[test]
fn who_is_preempted_with_the_last_token_in_flight_ends_and_recomputes_nothing() {
    // Four blocks, one each. At 0 ms step 1 is launched and step 2 composed, where 0 and 1 both
    // need a second block and take those of 3 and 2, whose only tokens step 1 makes.
    let jobs = [own(0, 16, 10), own(0, 16, 10), own(0, 5, 1), own(0, 5, 1)];
    let served = serve(&spec(4, true), &jobs);
    assert_eq!(served.preempted(), [(0, 3), (0, 2)]);
    assert_eq!(served.ended(), [(10, 2), (10, 3), (100, 0), (100, 1)]);
    assert_eq!(served.backend.stats().steps, 10, "nobody is computed twice");
    assert_eq!(served.log.len(), 4 + 2 + 22, "no token is lost or made twice");

    // When only the second in the queue is done, it is the second that leaves.
    let longer = [jobs[0], jobs[1], own(0, 5, 10), jobs[3]];
    let served = serve(&spec(4, true), &longer);
    assert_eq!(served.ended(), [(10, 3), (100, 0), (100, 1), (190, 2)]);

    // At depth one they are gone before the blocks are wanted.
    let served = serve(&spec(4, false), &jobs);
    assert_eq!(served.preempted(), []);
    assert_eq!(served.backend.stats().steps, 10);
}

#[test]
fn a_place_that_a_preemption_leaves_is_taken_by_the_next() {
    // The batch is full with 0 and 1. Step 2 takes the blocks of 1, which ends from the queue at
    // 10 ms; its place and its second block are there for 2 at once.
    let jobs = [own(0, 16, 20), own(0, 17, 1), own(0, 5, 1)];
    let narrow = ClusterSpec { max_batch_size: 2, ..spec(3, true) };
    let served = serve(&narrow, &jobs);
    assert_eq!(served.preempted(), [(0, 1)]);
    assert_eq!(served.ended()[0], (10, 1));
    assert_eq!(served.scheduled(2), (10, 0));
}

#[test]
fn nobody_overtakes_who_was_preempted() {
    // Five blocks, of which 0 and 1 hold two each. When step 18 is composed both need a third; 0
    // takes the fifth and 1 gives way to itself. It is not taken back in the same pass, where its
    // two blocks would do at depth two as its last token is not yet known. 2 would fit into what
    // is left, but stands behind 1, which comes back when 0 ends at 400 ms.
    let jobs = [own(0, 16, 40), own(0, 16, 40), own(150, 5, 1)];
    for (async_scheduling, composed) in [(false, 170), (true, 160)] {
        let narrow = ClusterSpec { max_batch_size: 2, ..spec(5, async_scheduling) };
        let served = serve(&narrow, &jobs);
        assert_eq!(served.preempted(), [(composed, 1)]);
        assert_eq!(served.ended()[0], (400, 0));
        assert_eq!(served.scheduled(2).0, 400);
        assert_eq!(served.tokens(1).len(), 40);
        assert_eq!(served.tokens(1)[16..18], [170, 410]);
    }
}

#[test]
fn the_end_of_a_chain_is_evicted_before_its_beginning() {
    // As above, with a millisecond a prefill token. 1 gives way with 33 known tokens and leaves
    // two full blocks; 0 takes one of them later, and it must be the second: back again, 1 finds
    // 16 tokens and computes 17.
    let step = LinearModel { step_ms: 10.0, prefill_token_ms: 1.0, ..LinearModel::default() };
    let spec = ClusterSpec { step: StepSpec::Linear(step), ..spec(5, false) };
    let served = serve(&spec, &[own(0, 16, 40), own(0, 16, 40)]);
    let (end_of_0, _) = served.ended()[0];
    assert_eq!(served.preempted().len(), 1);
    assert_eq!(served.tokens(1)[17] - end_of_0, 10 + 17);
}

#[test]
fn shared_blocks_are_evicted_from_the_deepest() {
    // Eight blocks: two prompts of the same four use five of them, as the last is computed twice.
    // Six more take the three that were never used, the spare, the last and the third: the first
    // two are left.
    let ids = &[1, 2, 3, 4];
    let twice = [Job { ids, ..own(0, 64, 1) }, Job { ids, ..own(0, 64, 1) }];
    let served = serve(&spec(8, true), &[twice[0], twice[1], own(100, 96, 1)]);
    assert_eq!(served.scheduled(1), (0, 48));
    assert_eq!(served.backend.cached_tokens(served.path(0)), 32);
    assert_eq!(served.backend.cache().evictions(), 2);
}

#[test]
fn a_generated_block_is_cached_once_its_last_token_is_known() {
    // With c tokens computed or in flight, c of them are known at depth one; at depth two the
    // last one is not, unless the prompt holds it.
    let prompt = 20;
    for (depth, async_scheduling) in [(1, false), (2, true)] {
        let watch = |backend: &Backend| {
            for sequence in backend.sequences.iter().flatten() {
                let known = prompt.max(sequence.computed + 1 - depth);
                let full = known.min(sequence.computed) / BLOCK;
                let cached = |index: &u32| {
                    backend.cache.find(sequence.key(&backend.segments, *index)).is_some()
                };
                assert_eq!((0..8).filter(cached).count(), full as usize, "{sequence:?}");
            }
        };
        let served = serve_watched(&spec(8, async_scheduling), &[own(0, prompt, 40)], watch);
        // 59 tokens are computed: three full blocks at either depth.
        assert_eq!(served.backend.cache().cached(), 3);
    }
    // With 48 tokens computed the third block is full; at depth two its last token is in flight
    // when the last step is composed.
    for (async_scheduling, cached) in [(false, 3), (true, 2)] {
        let served = serve(&spec(8, async_scheduling), &[own(0, prompt, 29)]);
        assert_eq!(served.backend.cache().cached(), cached);
    }
}

#[test]
fn the_last_token_is_always_computed() {
    for (prompt, hit) in [(16, 0), (17, 16), (32, 16), (33, 32), (48, 32), (64, 48)] {
        let job = Job { ids: &[1, 2, 3, 4], ..own(0, prompt, 1) };
        let served = serve(&spec(20, true), &[job, Job { ms: 100, ..job }]);
        assert_eq!(served.scheduled(1), (100, hit), "a prompt of {prompt} tokens");
        assert_eq!(served.tokens(1), [110]);
    }
}

#[test]
fn a_recomputed_block_is_spare_and_no_longer_chain() {
    let ids = &[1, 2, 3, 4];
    let job = Job { ids, ..own(0, 64, 1) };
    let longer = Job { ids: &[1, 2, 3, 4, 5, 6], ..own(300, 96, 1) };
    let again = [job, Job { ms: 100, ..job }, Job { ms: 200, ..job }, longer];
    let served = serve(&spec(20, true), &again[..3]);
    assert_eq!(served.scheduled(2), (200, 48));
    assert_eq!(served.backend.cache().cached(), 4, "one copy has the content");
    let served = serve(&spec(20, true), &again);
    assert_eq!(served.scheduled(3), (300, 64));
}

#[test]
fn admission_counts_the_hits_that_nobody_holds() {
    // 0 leaves four cached blocks; 1 holds eleven from 20 ms to 170 ms. 2 hits the four and needs
    // two more: six in all, though only two are new. With five that nobody holds it waits.
    let ids = &[1, 2, 3, 4];
    let jobs = [Job { ids, ..own(0, 64, 1) }, own(20, 161, 15), Job { ids, ..own(55, 96, 1) }];
    for (blocks, scheduled) in [(16, 170), (17, 60)] {
        let served = serve(&spec(blocks, false), &jobs);
        assert_eq!(served.scheduled(2), (scheduled, 64), "{blocks} blocks");
        assert_eq!(served.preempted(), []);
    }
}
