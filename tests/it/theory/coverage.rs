//! How often intervals cover what is known: many sweeps of ten seeds on systems with an exact answer.
//!
//! The long form, 4,000 sweeps a row, is what docs/statistics.md quotes:
//! `ROUTESIM_STUDY=1 cargo test --release --test it theory::coverage -- --nocapture`.

use std::sync::atomic::{AtomicUsize, Ordering};

use routesim::cluster::{ClusterSpec, StepSpec};
use routesim::rng::Stream;
use routesim::stats::{paired, t_interval};

use super::exact::{guide_step_s, sharing_sojourn};
use super::queue::{NO_PREFILL, Run, decodes_of, poisson, prompt_of, server, simulate};

/// Seeds of a sweep.
const SEEDS: u64 = 10;
/// Level of the intervals.
const LEVEL: f64 = 0.95;

#[expect(clippy::disallowed_methods, reason = "the long form is asked for from outside")]
fn sweeps() -> u64 {
    if std::env::var("ROUTESIM_STUDY").is_ok() { 4_000 } else { 24 }
}

/// Counts the sweeps for which `covers` holds; each has seeds of its own.
fn share(covers: impl Fn(u64) -> bool + Sync) -> f64 {
    let (next, covered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let all = usize::try_from(sweeps()).unwrap();
    let work = || loop {
        let sweep = next.fetch_add(1, Ordering::Relaxed);
        if sweep >= all {
            return;
        }
        covered.fetch_add(usize::from(covers(sweep as u64)), Ordering::Relaxed);
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    covered.into_inner() as f64 / all as f64
}

/// Says how often a row is covered and holds it to `most` around the level; the short form to what
/// chance gives besides.
fn tell(row: &str, share: f64, most: f64) {
    println!("{row:<52} {:6.2} % of {} sweeps", 100.0 * share, sweeps());
    let chance = 4.0 * (LEVEL * (1.0 - LEVEL) / sweeps() as f64).sqrt();
    let allowed = if sweeps() < 1_000 { most + chance } else { most };
    assert!((share - LEVEL).abs() <= allowed, "{row}: {share}");
}

/// The runs of a sweep, each with a tenth of `count` requests as its warm-up.
fn runs(sweep: u64, one: &impl Fn(u64) -> Run) -> Vec<Run> {
    (0..SEEDS).map(|seed| one(1_000 + sweep * SEEDS + seed)).collect()
}

fn covers(values: &[f64], exact: f64) -> bool {
    t_interval(values, LEVEL).is_some_and(|interval| interval.contains(exact))
}

/// Covers the mean of a system by Student's t over runs.
fn mean_is_covered(row: &str, exact: f64, one: impl Fn(u64) -> Run + Sync) {
    let covered = share(|sweep| {
        let values: Vec<f64> = runs(sweep, &one).iter().map(|run| run.sojourn).collect();
        covers(&values, exact)
    });
    tell(row, covered, 0.015);
}

fn mg1(rate: f64, count: usize, seed: u64, service: impl Fn(&mut Stream) -> f64) -> Run {
    let trace = poisson(rate, count, seed, |work| prompt_of(service(work)));
    simulate(&server(1, 1.0), "round_robin", &trace)
}

#[test]
fn means_of_m_m_1_are_covered() {
    mean_is_covered("M/M/1 0.5, 4,000 requests: mean", 2.0, |seed| {
        mg1(0.5, 4_000, seed, Stream::exponential)
    });
    mean_is_covered("M/M/1 0.8, 15,000 requests: mean", 5.0, |seed| {
        mg1(0.8, 15_000, seed, Stream::exponential)
    });
}

#[test]
fn means_of_m_g_1_are_covered() {
    // Hyperexponential of mean 1 and a squared coefficient of variation of 4, balanced.
    let share_of_fast = 0.887_298_334_620_741_7;
    let service = move |work: &mut Stream| {
        let is_fast = work.uniform() < share_of_fast;
        let share = if is_fast { share_of_fast } else { 1.0 - share_of_fast };
        work.exponential() * 0.5 / share
    };
    mean_is_covered("M/H2/1 0.5, 8,000 requests: mean", 3.5, |seed| mg1(0.5, 8_000, seed, service));
    mean_is_covered("M/D/1 0.8, 6,000 requests: mean", 3.0, |seed| mg1(0.8, 6_000, seed, |_| 1.0));
}

#[test]
fn means_of_processor_sharing_are_covered() {
    let step = StepSpec::Compute {
        prefill_tokens_per_sec: NO_PREFILL,
        decode_tokens_per_sec_batch1: 80.0,
        decode_throughput_saturation_batch: 64,
        decode_tokens_per_sec_saturated: 3_200.0,
    };
    let cluster = ClusterSpec { max_batch_size: 4_000, step, ..server(1, 1.0) };
    let (sojourn, _) = sharing_sojourn(10.0, 128.0, guide_step_s);
    mean_is_covered("PS, guide's curve, 10/s, 2,000 requests: mean", sojourn, |seed| {
        let trace = poisson(10.0, 2_000, seed, |work| decodes_of(128.0, work));
        simulate(&cluster, "round_robin", &trace)
    });
}

fn fleet(algorithm: &str, count: usize, seed: u64) -> Run {
    let trace = poisson(1.6, count, seed, |work| prompt_of(work.exponential()));
    simulate(&server(2, 1.0), algorithm, &trace)
}

#[test]
fn means_and_differences_of_fleets_are_covered() {
    // two servers at 0.8.
    let (shortest, in_turn) = (2.955_736_617_468_056_6, 3.843_979_766_989_915_6);
    let count = 15_000;
    mean_is_covered("JSQ of 2 0.8, 15,000 requests: mean", shortest, |seed| {
        fleet("least_outstanding", count, seed)
    });
    let covered = share(|sweep| {
        let of = |algorithm: &str| -> Vec<f64> {
            let all = runs(sweep, &|seed| fleet(algorithm, count, seed));
            all.iter().map(|run| run.sojourn).collect()
        };
        let difference = paired(&of("round_robin"), &of("least_outstanding"), LEVEL).unwrap();
        difference.interval.is_some_and(|own| own.contains(in_turn - shortest))
    });
    tell("RR - JSQ of 2 0.8, paired: mean difference", covered, 0.015);
}

#[test]
fn percentiles_are_covered_where_the_tail_is_thick() {
    // The time in M/M/1 is exponential of mean 2.
    let exact = 2.0 * std::f64::consts::LN_10 * 2.0;
    for (count, beyond, most) in [(12_000, 108.0, 0.02), (1_200, 10.8, f64::INFINITY)] {
        let covered = share(|sweep| {
            let all = runs(sweep, &|seed| mg1(0.5, count, seed, Stream::exponential));
            let values: Vec<f64> = all.iter().map(|run| run.sojourn_quantile(0.99)).collect();
            covers(&values, exact)
        });
        let thin = if beyond < 100.0 { ", flagged thin_tail" } else { "" };
        tell(&format!("M/M/1 0.5, {beyond} beyond: p99{thin}"), covered, most);
    }
}
