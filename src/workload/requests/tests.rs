use proptest::prelude::*;

use super::*;
use crate::units::{PS_PER_S, SimDuration};
use crate::workload::{
    GeneratorSpec, Lengths, MOST_REQUESTS, Made, STREAMED_FROM, Workload, WorkloadError,
};

const MINUTE: SimDuration = SimDuration::from_ps(60 * PS_PER_S);

fn stream(spec: &GeneratorSpec, rate_rps: f64, seed: u64) -> GeneratedStream {
    GeneratedStream::new(spec, rate_rps, seed, MINUTE, MOST_REQUESTS).unwrap()
}

fn cut(requests: impl Into<Requests>, warmup: Warmup) -> Result<Workload, WorkloadError> {
    let made = Made {
        source: "test".to_owned(),
        operator: "test".to_owned(),
        requested_rps: None,
        notes: Vec::new(),
    };
    Workload::new(requests, made, SimTime::ZERO + MINUTE, warmup)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_streamed_workload_is_the_one_in_memory(
        rate_rps in 1.0..50.0_f64,
        seed: u64,
        num_prefixes in 0..4_u32,
        kind in 0..3_usize,
        warm_requests in 0..1_000_u64,
        warm_s in 0..70_u64,
    ) {
        let lengths = Lengths::ALL[kind];
        let spec = GeneratorSpec { lengths, num_prefixes, ..GeneratorSpec::default() };
        let stream = stream(&spec, rate_rps, seed);
        let trace = collect(&stream);
        let (streamed, held) = (Requests::Streamed(stream), Requests::Columns(trace));
        prop_assert_eq!(streamed.len(), held.len());
        prop_assert!(streamed.arrivals().eq(held.arrivals()));
        prop_assert_eq!(streamed.columns(), held.columns());
        let by_time = Warmup::Time(SimDuration::from_ps(warm_s * PS_PER_S));
        for warmup in [Warmup::Requests(warm_requests), by_time] {
            match (cut(streamed.clone(), warmup), cut(held.clone(), warmup)) {
                (Ok(streamed), Ok(held)) => {
                    prop_assert_eq!(streamed.window, held.window);
                    prop_assert_eq!(streamed.info, held.info);
                }
                (streamed, held) => prop_assert_eq!(streamed.err(), held.err()),
            }
        }
    }
}

#[test]
fn requests_are_numbered_as_they_arrive() {
    let requests = Requests::Streamed(stream(&GeneratorSpec::default(), 20.0, 3));
    let drawn: Vec<Arriving<'_>> = requests.arrivals().collect();
    assert_eq!(drawn.len(), requests.len());
    assert!(drawn.iter().zip(0..).all(|(arriving, index)| arriving.request == RequestId(index)));
    assert!(drawn.is_sorted_by_key(|arriving| arriving.arrival));
}

#[test]
fn what_has_ended_stays_so() {
    let held: Requests = collect(&stream(&GeneratorSpec::default(), 1.0, 3)).into();
    for requests in [held, Requests::Streamed(stream(&GeneratorSpec::default(), 1.0, 3))] {
        let mut arrivals = requests.arrivals();
        assert_eq!(arrivals.by_ref().count(), requests.len());
        assert_eq!((arrivals.next(), arrivals.next()), (None, None));
    }
}

#[test]
fn large_workloads_are_streamed_and_small_ones_shared() {
    let made = |rate_rps| {
        GeneratorSpec::default().workload(rate_rps, 1, MINUTE, Warmup::NONE).unwrap().requests
    };
    let bound = STREAMED_FROM as f64 / 60.0;
    assert!(matches!(made(0.01 * bound), Requests::Columns(_)));
    assert!(matches!(made(1.01 * bound), Requests::Streamed(_)));
}

#[test]
fn ids_bound_what_is_streamed() {
    let too_many = MOST_REQUESTS / 60.0 * 1.01;
    let refused = GeneratorSpec::default().workload(too_many, 1, MINUTE, Warmup::NONE);
    assert!(refused.unwrap_err().message.ends_with("expected at most 4e9"));
    let rows = GeneratorSpec::default().rows(1e6, 1, MINUTE);
    assert!(rows.unwrap_err().message.ends_with("expected at most 2e7"));
}
