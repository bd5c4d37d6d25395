use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::units::{LONGEST, PS_PER_MS, RequestId};
use crate::workload::ticks::Dequantize;
use crate::workload::{Warmup, Workload};

/// One request of a test's trace: second, session, chain.
type Turn<'a> = (f64, Option<u32>, &'a [u32]);

fn secs(seconds: f64) -> SimDuration {
    SimDuration::from_secs(seconds).unwrap()
}

/// A trace in blocks of 16 tokens; prompts tell its requests apart.
fn trace(turns: &[Turn<'_>]) -> Trace {
    let mut builder = TraceBuilder::new(16, Vec::new());
    for (index, (second, session, chain)) in turns.iter().enumerate() {
        let shared = u32::try_from(chain.len() * 16).unwrap();
        builder.push(NewRequest {
            arrival: SimTime::ZERO + secs(*second),
            prompt_tokens: shared + 1 + u32::try_from(index).unwrap(),
            output_tokens: 1,
            chain,
            shared_tokens: shared,
            session: *session,
            model: None,
        });
    }
    builder.finish()
}

/// The mean of some values and its standard error.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
    (mean, (square / (n - 1.0) / n).sqrt())
}

fn times_s(trace: &Trace) -> Vec<f64> {
    trace.ids().map(|id| trace.arrival(id).as_secs()).collect()
}

/// Requests as a multiset that no numbering of ids can tell apart.
fn requests(workload: &Workload) -> BTreeMap<(SimTime, u32, u32), usize> {
    let mut counts = BTreeMap::new();
    let trace = &workload.requests.columns();
    for request in trace.ids().map(|id| trace.request(id)) {
        let key = (request.arrival, request.prompt_tokens, request.shared_tokens);
        *counts.entry(key).or_default() += 1;
    }
    counts
}

/// Four requests a second apart, of no session.
fn steady() -> SourceTrace {
    SourceTrace::new(trace(&[
        (0.0, None, &[]),
        (1.0, None, &[]),
        (2.0, None, &[]),
        (3.0, None, &[]),
    ]))
}

/// Twenty sessions of one to three turns over about 100 s, most with blocks of their own.
fn talkative() -> SourceTrace {
    let mut turns: Vec<(f64, Option<u32>, Vec<u32>)> = Vec::new();
    for session in 0..20_u32 {
        let start = f64::from(session * session % 97);
        for turn in 0..=session % 3 {
            let own = (0..=turn).map(|block| 1 + session * 3 + block);
            let chain = std::iter::once(0).chain(own).collect();
            let second = start + f64::from(turn * (1 + session % 7));
            turns.push((second, Some(session), chain));
        }
    }
    let turns: Vec<Turn<'_>> = (turns.iter())
        .map(|(second, session, chain)| (*second, *session, chain.as_slice()))
        .collect();
    let source = SourceTrace::new(trace(&turns));
    source.block(secs(10.0)).unwrap()
}

#[test]
fn one_block_as_long_as_the_trace_is_the_trace_turned() {
    // Length 4 s (span 3 s and one mean gap), rate 1/s: one copy, one block of 4 s.
    let source = steady();
    assert_eq!(source.length(), Some(secs(4.0)));
    let workload = source.workload(Some(1.0), 3, secs(4.0), Warmup::NONE);
    let workload = workload.unwrap();
    let times = times_s(&workload.requests.columns());
    assert_eq!(times.len(), 4);
    assert!((0.0..1.0).contains(&times[0]));
    assert!(times.windows(2).all(|pair| (pair[1] - pair[0] - 1.0).abs() < 1e-9));
    assert_eq!(workload.info.realised_rps, Some(1.0));
    assert_eq!(workload.info.operator, "request bootstrap x 1.00 copies");
}

#[test]
fn whole_copies_have_every_request_as_often() {
    let workload = steady().workload(Some(3.0), 5, secs(4.0), Warmup::NONE).unwrap();
    let mut counts = [0; 4];
    for id in workload.requests.columns().ids() {
        counts[workload.requests.columns().prompt_tokens(id) as usize - 1] += 1;
    }
    assert_eq!(counts, [3; 4]);
}

#[test]
fn copies_are_drawn_apart() {
    // Each copy of the steady trace is turned by its own part of a second, so that the three
    // first arrivals of a run all differ.
    let workload = steady().workload(Some(3.0), 5, secs(4.0), Warmup::NONE);
    let times = times_s(&workload.unwrap().requests.columns());
    assert!(times[0] < times[1] && times[1] < times[2] && times[2] < 1.0);
}

#[test]
fn later_turns_of_sessions_begun_before_the_run_are_there() {
    // Two sessions of two turns 10 s apart and a last request at 19 s: span 19 s, and a mean gap
    // of 19/4 s makes 23.75 s. At the trace's own rate every request comes once in as long a run,
    // on average: 5 requests, 5 · 5/23.75 = 1.053 of them in the first 5 s. Were the line to begin
    // with the run, second turns of sessions that start after 13.75 s would be lost, 0.842 of
    // them, and the first 5 s would have first turns only, 0.632.
    let turns: [Turn<'_>; 5] = [
        (0.0, Some(0), &[]),
        (5.0, Some(1), &[]),
        (10.0, Some(0), &[]),
        (15.0, Some(1), &[]),
        (19.0, None, &[]),
    ];
    let source = SourceTrace::new(trace(&turns));
    let horizon = source.length().unwrap();
    let (mut all, mut early) = (Vec::new(), Vec::new());
    for seed in 0..400 {
        let workload = source.workload(source.rate_rps(), seed, horizon, Warmup::NONE);
        let times = times_s(&workload.unwrap().requests.columns());
        all.push(times.len() as f64);
        early.push(times.iter().filter(|time| **time < 5.0).count() as f64);
    }
    let (mean, error) = mean_and_error(&all);
    assert!((mean - 5.0).abs() < 4.0 * error && error < 0.1, "{mean} ± {error}");
    let (mean, error) = mean_and_error(&early);
    assert!((mean - 1.053).abs() < 4.0 * error && error < 0.1, "{mean} ± {error}");
}

#[test]
fn private_ids_are_renamed_for_each_drawn_session_and_shared_ones_kept() {
    // Id 7 is used by both sessions; 2 and 3 are private to the first, 5 to the second.
    let turns: [Turn<'_>; 3] =
        [(0.0, Some(0), &[7, 2]), (0.0, Some(1), &[7, 5]), (0.5, Some(0), &[7, 2, 3])];
    let source = SourceTrace::new(trace(&turns));
    assert_eq!((source.num_shared, source.most_private), (1, 2));
    // Three times the rate over a long run: many instances.
    let rate = 3.0 * source.rate_rps().unwrap();
    let workload = source.workload(Some(rate), 1, secs(30.0), Warmup::NONE).unwrap();
    let trace = &workload.requests.columns();
    let mut session_of = BTreeMap::new();
    let mut first = BTreeMap::new();
    for id in trace.ids() {
        let ids = trace.chain(id).ids;
        let session = trace.session(id).unwrap();
        assert_eq!(ids[0], 0, "the shared id is the first");
        for private in &ids[1..] {
            assert_eq!(*session_of.entry(*private).or_insert(session), session);
        }
        let second = *first.entry(session).or_insert(ids[1]);
        assert_eq!(ids[1], second, "a session keeps its own blocks");
    }
    assert!(first.len() > 50);
    let last = session_of.keys().max().copied().unwrap();
    assert_eq!(last as usize, session_of.len(), "ids are dense");
}

#[test]
fn the_mean_rate_is_the_requested_one() {
    let source = talkative();
    for rate in [0.2, 0.9, 2.5] {
        let warmup = Warmup::Time(secs(20.0));
        let rates: Vec<f64> = (0..30)
            .map(|seed| {
                let workload = source.workload(Some(rate), seed, secs(320.0), warmup);
                workload.unwrap().info.realised_rps.unwrap()
            })
            .collect();
        let (mean, error) = mean_and_error(&rates);
        assert!((mean - rate).abs() < 4.0 * error, "{mean} ± {error}, {rate}");
        assert!(error < 0.1 * rate, "{error} at {rate}");
    }
}

#[test]
fn a_shorter_run_is_the_beginning_of_a_longer_one() {
    let source = talkative();
    let long = source.workload(Some(1.3), 4, secs(90.0), Warmup::NONE).unwrap();
    let short = source.workload(Some(1.3), 4, secs(40.0), Warmup::NONE).unwrap();
    let mut beginning = requests(&long);
    beginning.retain(|(arrival, ..), _| arrival.as_secs() < 40.0);
    assert_eq!(requests(&short), beginning);
}

#[test]
fn ticks_are_spread_and_turns_keep_their_order() {
    // Three requests of one session on each tick of 2 s.
    let turns: Vec<Turn<'_>> =
        (0..90_u32).map(|index| (f64::from(index / 3 * 2), Some(index / 30), &[][..])).collect();
    let source = SourceTrace::new(trace(&turns));
    assert_eq!(source.tick(), Some(secs(2.0)));
    assert_eq!(source.length(), Some(secs(60.0)));
    let replay = source.replay(1, None, Warmup::NONE).unwrap();
    let times = times_s(&replay.requests.columns());
    for (index, time) in times.iter().enumerate() {
        let tick = (index / 3 * 2) as f64;
        assert!((tick..tick + 2.0).contains(time));
        let prompt = replay.requests.columns().prompt_tokens(RequestId::at(index));
        assert_eq!(prompt as usize, index + 1, "in the order of the file");
    }
    // 90 places in a tick of 2 s: mean 1, standard error 0.58/√90 = 0.061.
    let places = times.iter().enumerate().map(|(index, time)| time - (index / 3 * 2) as f64);
    assert!((places.sum::<f64>() / 90.0 - 1.0).abs() < 4.0 * 0.061);
    assert_ne!(replay.requests, source.replay(2, None, Warmup::NONE).unwrap().requests);

    let drawn = source.workload(Some(1.5), 1, secs(60.0), Warmup::NONE).unwrap();
    let mut last = BTreeMap::new();
    for id in drawn.requests.columns().ids() {
        let prompt = drawn.requests.columns().prompt_tokens(id);
        if let Some(before) = last.insert(drawn.requests.columns().session(id), prompt) {
            assert!(before < prompt, "turns of a session in order");
        }
    }
    let raw = source.dequantize(Dequantize::Off).unwrap();
    let raw = raw.replay(1, None, Warmup::NONE).unwrap().requests.columns().into_owned();
    assert!(raw.ids().all(|id| raw.arrival(id).as_ps().is_multiple_of(2000 * PS_PER_MS)));
}

#[test]
fn a_lower_rate_is_a_part_of_a_higher_one_on_ticks_too() {
    let turns: Vec<Turn<'_>> =
        (0..90_u32).map(|index| (f64::from(index / 3 * 2), Some(index / 2), &[][..])).collect();
    let source = SourceTrace::new(trace(&turns)).block(secs(10.0)).unwrap();
    assert!(source.tick().is_some());
    let own = source.rate_rps().unwrap();
    let make = |copies: f64| {
        let workload = source.workload(Some(own * copies), 6, secs(60.0), Warmup::NONE);
        requests(&workload.unwrap())
    };
    let ladder = [0.3, 0.8, 1.0, 1.6, 2.2, 3.0].map(make);
    for pair in ladder.windows(2) {
        let (lower, higher) = (&pair[0], &pair[1]);
        assert!(lower.len() < higher.len());
        for (request, count) in lower {
            assert!(higher.get(request).is_some_and(|more| more >= count));
        }
    }
}

#[test]
fn a_replay_is_the_trace() {
    let turns: [Turn<'_>; 3] = [(0.0, Some(0), &[0]), (2.0, None, &[0, 1]), (8.0, Some(0), &[0])];
    let source = SourceTrace::new(trace(&turns)).named("day.jsonl");
    let whole = source.workload(None, 1, secs(12.0), Warmup::NONE).unwrap();
    assert_eq!(*whole.requests.columns(), **source.trace());
    assert_eq!((whole.info.source.as_str(), whole.info.operator.as_str()), ("day.jsonl", "replay"));
    // 3 requests in 8 s and one mean gap of 4 s.
    assert_eq!(whole.info.realised_rps, Some(0.25));
    assert_eq!(whole.info.requested_rps, None);
    let part = source.workload(None, 2, secs(5.0), Warmup::NONE).unwrap();
    assert_eq!((part.requests.columns().len(), part.info.realised_rps), (2, Some(0.4)));
    let beyond = source.workload(None, 2, secs(20.0), Warmup::NONE).unwrap();
    assert_eq!(beyond.info.realised_rps, Some(0.25), "over the trace's own 12 s");
    assert!(beyond.info.notes[0].contains("ends after 12.0 s"));
}

#[test]
fn few_blocks_are_a_warning() {
    let note = |source: &SourceTrace| {
        let workload = source.workload(Some(1.0), 1, secs(60.0), Warmup::NONE);
        workload.unwrap().info.notes.join("\n")
    };
    assert!(note(&steady()).contains("warning: below 8 blocks"));
    assert!(!note(&talkative()).contains("warning"));
}

#[test]
fn what_cannot_be_resampled_is_refused() {
    let source = steady();
    let refused = |rate, horizon| {
        let made = source.workload(Some(rate), 1, horizon, Warmup::NONE);
        assert!(made.unwrap_err().hint.is_some(), "{rate}");
    };
    refused(0.0, secs(1.0));
    refused(f64::NAN, secs(1.0));
    refused(1.0, SimDuration::ZERO);
    refused(1e9, secs(10.0));
    refused(1e7, secs(1.0));
    refused(1.0, LONGEST + LONGEST);
    let instant = SourceTrace::new(trace(&[(0.0, None, &[]), (0.0, None, &[])]));
    let error = instant.workload(Some(1.0), 1, secs(1.0), Warmup::NONE).unwrap_err();
    assert!(error.message.contains("spans no time"));
    let replay = instant.replay(1, None, Warmup::NONE).unwrap();
    assert_eq!(replay.info.realised_rps, None);
    let empty = SourceTrace::new(trace(&[]));
    assert!(empty.workload(Some(1.0), 1, secs(1.0), Warmup::NONE).is_err());
    assert!(empty.replay(1, None, Warmup::NONE).is_err());
    assert!(source.block(secs(0.5)).is_err());
}

/// Any trace of up to 30 requests in up to 8 sessions, with consistent chains.
fn any_source() -> impl Strategy<Value = SourceTrace> {
    let turn = (0_u32..400, prop::option::of(0_u32..8), 0_usize..5);
    prop::collection::vec(turn, 2..30).prop_map(|turns| {
        let turns = turns.into_iter().enumerate().map(|(index, (decisecond, session, depth))| {
            let family = session.unwrap_or(u32::try_from(index).unwrap() % 3 + 8);
            let ids: Vec<u32> = (0..depth)
                .map(|level| {
                    u32::try_from(level).unwrap() * 12 + if level == 0 { 0 } else { family }
                })
                .collect();
            (f64::from(decisecond) / 10.0, session, ids)
        });
        let turns: Vec<_> = turns.collect();
        let turns: Vec<Turn<'_>> = (turns.iter())
            .map(|(second, session, ids)| (*second, *session, ids.as_slice()))
            .collect();
        // One at 50 s, so that the trace spans time.
        let last: Turn<'_> = (50.0, None, &[]);
        let all: Vec<Turn<'_>> = turns.into_iter().chain([last]).collect();
        SourceTrace::new(trace(&all))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn resampled_requests_keep_the_laws(
        source in any_source(),
        seed: u64,
        factor in 0.5_f64..4.0,
        more in 0.0_f64..3.0,
        block_s in 2_u32..60,
        horizon_s in 20_u32..80,
    ) {
        let source = source.block(secs(f64::from(block_s))).unwrap();
        let horizon = secs(f64::from(horizon_s));
        let own = source.rate_rps().unwrap();
        let make = |factor: f64| source.workload(Some(own * factor), seed, horizon, Warmup::NONE);
        // A small trace may by chance give no request, which is an error.
        let Ok(workload) = make(factor) else { return Ok(()) };
        let trace = &workload.requests.columns();

        let times: Vec<SimTime> = trace.ids().map(|id| trace.arrival(id)).collect();
        prop_assert!(times.is_sorted());
        prop_assert!(times.iter().all(|time| *time < SimTime::ZERO + horizon));

        // An id stands for its block and all before it: it has one parent and one depth.
        let mut parents = BTreeMap::new();
        for id in trace.ids() {
            let mut parent = None;
            for (depth, block) in trace.chain(id).ids.iter().enumerate() {
                let place = (depth, parent);
                prop_assert_eq!(*parents.entry(*block).or_insert(place), place);
                parent = Some(*block);
            }
        }

        prop_assert_eq!(&workload, &make(factor).unwrap(), "same seed, same bytes");

        let higher = requests(&make(factor + more).unwrap());
        for (request, count) in requests(&workload) {
            prop_assert!(higher.get(&request).is_some_and(|more| *more >= count));
        }
    }
}
