//! How often intervals cover what is known: many sweeps of ten seeds on systems with an exact answer.
//!
//! The long form, 4,000 sweeps a row, is what docs/statistics.md quotes:
//! `ROUTESIM_STUDY=1 cargo test --release --test it theory::coverage -- --nocapture`.

use std::sync::atomic::{AtomicU64, Ordering};

use routesim::rng::Stream;
use routesim::stats::{paired, t_interval};

use super::exact::{guide_step_s, sharing_sojourn};
use super::queue::{Run, decodes_of, poisson, prompt_of, server, simulate};
use super::sharing::guide_sharing;

/// Seeds of a sweep.
const SEEDS: u64 = 10;
/// Level of the intervals.
const LEVEL: f64 = 0.95;

#[expect(clippy::disallowed_methods, reason = "the long form is asked for from outside")]
fn sweeps() -> u64 {
    if std::env::var("ROUTESIM_STUDY").is_ok() { 4_000 } else { 24 }
}

/// Returns for which share of the sweeps each of some things holds; each has seeds of its own.
fn shares<const N: usize>(covers: impl Fn(u64) -> [bool; N] + Sync) -> [f64; N] {
    let (next, covered) = (AtomicU64::new(0), [const { AtomicU64::new(0) }; N]);
    let work = || {
        loop {
            let sweep = next.fetch_add(1, Ordering::Relaxed);
            if sweep >= sweeps() {
                return;
            }
            for (covered, holds) in covered.iter().zip(covers(sweep)) {
                covered.fetch_add(u64::from(holds), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    covered.map(|covered| covered.into_inner() as f64 / sweeps() as f64)
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
    let covered = shares(|sweep| [covers(&sojourns(&runs(sweep, &one)), exact)]);
    tell(row, covered[0], 0.015);
}

fn sojourns(runs: &[Run]) -> Vec<f64> {
    runs.iter().map(|run| run.sojourn).collect()
}

fn mg1(rate: f64, count: usize, seed: u64, service: impl Fn(&mut Stream) -> f64) -> Run {
    let trace = poisson(rate, count, seed, |work| prompt_of(service(work)));
    simulate(&server(1, 1.0), "round_robin", &trace)
}

#[test]
fn means_and_percentiles_of_m_m_1_are_covered() {
    // At 0.5 the time there is exponential of mean 2. A tenth of the requests is the warm-up.
    let p99 = 2.0 * 2.0 * std::f64::consts::LN_10;
    let of = |count: usize| {
        shares(|sweep| {
            let all = runs(sweep, &|seed| mg1(0.5, count, seed, Stream::exponential));
            let tails: Vec<f64> = all.iter().map(|run| run.sojourn_quantile(0.99)).collect();
            [covers(&sojourns(&all), 2.0), covers(&tails, p99)]
        })
    };
    let [mean, thick] = of(12_000);
    tell("M/M/1 0.5, 12,000 requests: mean", mean, 0.015);
    tell("M/M/1 0.5, 108 beyond: p99", thick, 0.02);
    tell("M/M/1 0.5, 11 beyond: p99, flagged thin_tail", of(1_200)[1], f64::INFINITY);
    mean_is_covered("M/M/1 0.8, 8,000 requests: mean", 5.0, |seed| {
        mg1(0.8, 8_000, seed, Stream::exponential)
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
    mean_is_covered("M/H2/1 0.5, 6,000 requests: mean", 3.5, |seed| mg1(0.5, 6_000, seed, service));
    mean_is_covered("M/D/1 0.8, 4,000 requests: mean", 3.0, |seed| mg1(0.8, 4_000, seed, |_| 1.0));
}

#[test]
fn means_of_processor_sharing_are_covered() {
    let cluster = guide_sharing();
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
    // two servers at 0.8, under the same seeds.
    let (shortest, in_turn) = (2.955_736_617_468_056_6, 3.843_979_766_989_915_6);
    let [least, turns, difference] = shares(|sweep| {
        let of = |algorithm: &str| sojourns(&runs(sweep, &|seed| fleet(algorithm, 6_000, seed)));
        let (least, turns) = (of("least_outstanding"), of("round_robin"));
        let difference = paired(&turns, &least, LEVEL).unwrap().interval;
        let contains = difference.is_some_and(|own| own.contains(in_turn - shortest));
        [covers(&least, shortest), covers(&turns, in_turn), contains]
    });
    tell("JSQ of 2 0.8, 6,000 requests: mean", least, 0.015);
    tell("RR to 2 0.8, 6,000 requests: mean", turns, 0.015);
    tell("RR - JSQ, paired: mean difference", difference, 0.015);
}
