use proptest::prelude::*;

use super::*;
use crate::document::Document;
use crate::trace::Trace;
use crate::units::RequestId;

fn secs(seconds: f64) -> SimDuration {
    SimDuration::from_secs(seconds).unwrap()
}

fn made(spec: &GeneratorSpec, rate: f64, seed: u64, seconds: f64) -> Trace {
    let workload = spec.workload(rate, seed, secs(seconds), Warmup::NONE);
    workload.unwrap().requests.columns().into_owned()
}

#[test]
fn arrivals_are_poisson_at_the_rate() {
    // 100 req/s for 1000 s: 100,000 requests, give or take 316. Exponential gaps have CV 1,
    // whose standard error is about 1/√n ≈ 0.003.
    let spec = GeneratorSpec::default();
    let trace = made(&spec, 100.0, 1, 1000.0);
    assert!((trace.len() as f64 - 1e5).abs() < 4.0 * 316.0);
    let times: Vec<f64> = trace.ids().map(|id| trace.arrival(id).as_secs()).collect();
    let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let square = gaps.iter().map(|gap| (gap - mean) * (gap - mean));
    let cv = (square.sum::<f64>() / gaps.len() as f64).sqrt() / mean;
    assert!((cv - 1.0).abs() < 0.013, "{cv}");
}

#[test]
fn lengths_have_their_mean_and_deviation() {
    // 20,000 draws of each kind; five standard errors. Clamping adds 0.4 to the prompt.
    let mut stream = Stream::new(3, "test", 0);
    let mut moments = |lengths: Lengths| {
        let draws: Vec<f64> =
            (0..20_000).map(|_| f64::from(lengths.draw(&mut stream, 500.0, 200.0))).collect();
        let mean = draws.iter().sum::<f64>() / 2e4;
        let square = draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
        (mean, (square / 2e4).sqrt())
    };
    let (mean, std) = moments(Lengths::Normal);
    assert!((mean - 500.4).abs() < 7.1 && (std - 199.0).abs() < 5.0);
    let (mean, std) = moments(Lengths::Exponential);
    assert!((mean - 500.0).abs() < 17.7 && (std - 500.0).abs() < 25.0);
    let (mean, std) = moments(Lengths::Constant);
    assert!((mean - 500.0).abs() < 1e-9 && std < 1e-9);
}

#[test]
fn prompt_and_output_are_independent() {
    // About 10,000 requests: five standard errors of a correlation of 0 are 0.05.
    let trace = made(&GeneratorSpec::default(), 100.0, 2, 100.0);
    let pairs: Vec<(f64, f64)> = (trace.ids())
        .map(|id| (trace.prompt_tokens(id).into(), trace.output_tokens(id).into()))
        .collect();
    let n = pairs.len() as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| pairs.iter().map(value).sum::<f64>() / n;
    let covariance = mean(|(x, y)| x * y) - mean(|(x, _)| *x) * mean(|(_, y)| *y);
    // The deviations are 200 and 50 tokens.
    assert!((covariance / 1e4).abs() < 0.05, "{covariance}");
}

#[test]
fn rates_share_the_draws_of_a_seed() {
    let spec = GeneratorSpec::default();
    let slow = made(&spec, 10.0, 7, 20.0);
    let fast = made(&spec, 40.0, 7, 20.0);
    assert!(slow.len() < fast.len());
    for id in slow.ids() {
        assert_eq!(slow.prompt_tokens(id), fast.prompt_tokens(id));
        assert_eq!(slow.output_tokens(id), fast.output_tokens(id));
        assert_eq!(slow.chain(id), fast.chain(id));
        let (slow, fast) = (slow.arrival(id).as_secs(), fast.arrival(id).as_secs());
        assert!((slow - 4.0 * fast).abs() < 1e-8);
    }
}

#[test]
fn a_prefix_group_has_one_length() {
    let trace = made(&GeneratorSpec::default(), 100.0, 5, 20.0);
    let mut longest = [0; 10];
    for id in trace.ids() {
        let chain = trace.chain(id);
        let group = chain.ids[0] as usize;
        longest[group] = longest[group].max(chain.shared_tokens);
    }
    assert!(longest.iter().all(|tokens| *tokens > 0), "all groups occur");
    for id in trace.ids() {
        let chain = trace.chain(id);
        let expected = longest[chain.ids[0] as usize].min(trace.prompt_tokens(id));
        assert_eq!(chain.shared_tokens, expected);
    }
}

#[test]
fn without_groups_nothing_is_shared() {
    let spec = GeneratorSpec { num_prefixes: 0, ..GeneratorSpec::default() };
    let trace = made(&spec, 10.0, 5, 10.0);
    assert!(trace.ids().all(|id| trace.chain(id).ids.is_empty()));
    let rows = spec.rows(10.0, 5, secs(10.0)).unwrap();
    assert!(rows.rows.iter().all(|row| row.prefix_hash.is_none()));
}

#[test]
fn rows_are_the_workload() {
    let spec = GeneratorSpec::default();
    let trace = made(&spec, 50.0, 9, 10.0);
    let rows = spec.rows(50.0, 9, secs(10.0)).unwrap();
    assert_eq!(rows.rows.len(), trace.len());
    let first = trace.arrival(RequestId(0));
    let names: Vec<_> = (rows.rows.iter()).map(|row| row.prefix_hash.clone().unwrap()).collect();
    let read = rows.into_trace().unwrap();
    for id in trace.ids() {
        let (ours, theirs) = (trace.request(id), read.request(id));
        assert_eq!(ours.arrival.since(first), theirs.arrival.since(SimTime::ZERO));
        assert_eq!(ours.prompt_tokens, theirs.prompt_tokens);
        assert_eq!(ours.output_tokens, theirs.output_tokens);
        assert_eq!(ours.shared_tokens, theirs.shared_tokens);
        assert_eq!(names[id.index()], format!("prefix_{}", ours.chain[0]));
    }
}

#[test]
fn what_cannot_be_drawn_is_refused_before_memory_is_taken() {
    let spec = GeneratorSpec::default();
    for (rate, seconds) in
        [(0.0, 1.0), (-3.0, 1.0), (f64::NAN, 1.0), (f64::INFINITY, 1.0), (1.0, 0.0), (1e10, 1.0)]
    {
        let refused = spec.workload(rate, 1, secs(seconds), Warmup::NONE);
        assert!(refused.is_err(), "{rate} {seconds}");
    }
    let bad = |change: fn(&mut GeneratorSpec)| {
        let mut spec = GeneratorSpec::default();
        change(&mut spec);
        spec.check().unwrap_err().message
    };
    bad(|spec| spec.prompt_std = f64::NAN);
    bad(|spec| spec.gen_mean = 0.9);
    bad(|spec| spec.prefix_len_mean = f64::INFINITY);
    bad(|spec| spec.num_prefixes = u32::MAX);
    assert_eq!(bad(|spec| spec.prompt_std = -1.0), "`prompt_std` is -1, expected 0 to 1e8 tokens");
}

#[test]
fn keys_are_read_and_faults_are_named() {
    let read = |text| Document::parse("x.toml", text).unwrap();
    let spec = read("prompt_mean = 20\nlengths = \"normal\"\nnum_prefixes = 0\n")
        .settle(|table| Some(GeneratorSpec::read(table)))
        .unwrap();
    let expected = GeneratorSpec { prompt_mean: 20.0, num_prefixes: 0, ..GeneratorSpec::default() };
    assert_eq!(spec, expected);
    let faults = read("lengths = \"exponental\"\ngen_mean = 0\n")
        .settle(|table| Some(GeneratorSpec::read(table)))
        .unwrap_err()
        .to_string();
    assert_eq!(
        faults,
        "x.toml:1:11: unknown distribution `exponental`\n\
         hint: did you mean `exponential`?\n\
         x.toml:2:12: `gen_mean` is 0, expected a number from 1 to 100000000"
    );
    let unused = read("lengths = \"constant\"\ngen_std = 3\n")
        .settle(|table| Some(GeneratorSpec::read(table)))
        .unwrap_err();
    assert!(unused.to_string().contains("`gen_std` has no effect"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn generated_requests_are_in_order_in_the_window_and_repeatable(
        rate in 5.0..200.0_f64,
        seed: u64,
        tenths in 20_u32..50,
        mean in 1.0..2000.0_f64,
        std in 0.0..2000.0_f64,
    ) {
        let seconds = f64::from(tenths) / 10.0;
        let spec = GeneratorSpec {
            prompt_mean: mean,
            prompt_std: std,
            ..GeneratorSpec::default()
        };
        let trace = made(&spec, rate, seed, seconds);
        let times: Vec<SimTime> = trace.ids().map(|id| trace.arrival(id)).collect();
        prop_assert!(times.is_sorted());
        prop_assert!(times.iter().all(|time| time.as_secs() < seconds));
        prop_assert_eq!(&trace, &made(&spec, rate, seed, seconds));
        for id in trace.ids() {
            prop_assert!(trace.chain(id).shared_tokens <= trace.prompt_tokens(id));
        }
    }
}
