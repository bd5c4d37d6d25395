//! One backend that serves one request at a time.

use routesim::cluster::{ClusterSpec, StepSpec};
use routesim::rng::Stream;
use routesim::units::SimTime;
use routesim::workload::Window;

use super::exact::mg1_wait;
use super::queue::{
    Job, NO_PREFILL, Run, agrees, agrees_in_share, decodes_of, poisson, prompt_of, records,
    replicate, server, simulate,
};

/// Runs M/G/1 with service times of mean 1 drawn by `service`.
fn mg1(rate: f64, count: usize, service: impl Fn(&mut Stream) -> f64 + Copy) -> Vec<Run> {
    let cluster = server(1, 1.0);
    replicate(|seed| {
        let trace = poisson(rate, count, seed, |work| prompt_of(service(work)));
        simulate(&cluster, "round_robin", &trace)
    })
}

/// A server whose prompts are free and whose decode steps take `step_s`.
fn decoder(step_s: f64) -> ClusterSpec {
    let step = StepSpec::Compute {
        prefill_tokens_per_sec: NO_PREFILL,
        decode_tokens_per_sec_batch1: 1.0 / step_s,
        decode_throughput_saturation_batch: 1,
        decode_tokens_per_sec_saturated: 1.0 / step_s,
    };
    ClusterSpec { step, ..server(1, step_s) }
}

#[test]
fn one_server_is_m_m_1() {
    // rho, requests of a replication, wait, time in the system, number there.
    let rows = [
        (0.5, 10_000, 1.0, 2.0, 1.0),
        (0.8, 40_000, 4.0, 5.0, 4.0),
        (0.9, 80_000, 9.0, 10.0, 9.0),
        (0.95, 300_000, 19.0, 20.0, 19.0),
    ];
    for (rho, count, wait, sojourn, number) in rows {
        let runs = mg1(rho, count, Stream::exponential);
        agrees(&format!("M/M/1 {rho}: wait"), wait, &runs, |run| run.wait);
        agrees(&format!("M/M/1 {rho}: in the system"), sojourn, &runs, |run| run.sojourn);
        agrees(&format!("M/M/1 {rho}: P(wait > 0)"), rho, &runs, |run| run.delayed);
        agrees(&format!("M/M/1 {rho}: number there"), number, &runs, |run| run.in_system);
        agrees(&format!("M/M/1 {rho}: utilisation"), rho, &runs, |run| run.utilisation[0]);
    }
}

#[test]
fn times_in_m_m_1_are_exponential() {
    // quantiles of the time in the system. Those of a sample lean by a share of 1 / count;
    // with these counts by about a third of the standard error at p99, and by less before.
    let rows = [
        (0.5, 80_000, [1.386_294_361_119_890_6, 4.605_170_185_988_092, 9.210_340_371_976_184]),
        (0.8, 400_000, [3.465_735_902_799_727, 11.512_925_464_970_232, 23.025_850_929_940_464]),
    ];
    for (rho, count, quantiles) in rows {
        let runs = mg1(rho, count, Stream::exponential);
        for (p, exact) in [0.5, 0.9, 0.99].into_iter().zip(quantiles) {
            let row = format!("M/M/1 {rho}: p{} in the system", 100.0 * p);
            agrees(&row, exact, &runs, |run| run.sojourn_quantile(p));
        }
    }
}

#[test]
fn one_server_of_tokens_is_m_geo_1() {
    // Service is the nanosecond of a prompt and G steps, G geometric of mean 20 and second moment
    // (2 − p) / p². Exponential service of mean 1 would wait for rho / (1 − rho).
    let (tokens, step) = (20.0, 0.05);
    let p = 1.0 / tokens;
    let prefill = 1.0 / NO_PREFILL;
    let mean = prefill + tokens * step;
    let square =
        prefill * prefill + 2.0 * prefill * tokens * step + step * step * (2.0 - p) / (p * p);
    for (rho, count) in [(0.5, 8_000), (0.8, 25_000)] {
        let wait = mg1_wait(rho, mean, square);
        let formula = rho / (1.0 - rho);
        assert!((wait / formula - 1.0).abs() < 0.03, "a lattice of 20 tokens is near M/M/1");
        let runs = replicate(|seed| {
            let trace = poisson(rho, count, seed, |work| decodes_of(tokens, work));
            simulate(&decoder(step), "round_robin", &trace)
        });
        agrees(&format!("M/Geo/1 {rho}: wait"), wait, &runs, |run| run.wait);
        agrees(&format!("M/Geo/1 {rho}: in the system"), wait + mean, &runs, |run| run.sojourn);
        agrees(&format!("M/Geo/1 {rho}: P(wait > 0)"), rho * mean, &runs, |run| run.delayed);
    }
}

#[test]
fn async_scheduling_costs_one_server_nothing() {
    // A step is composed ahead only for whom the batch has room. With room for one, the next
    // request starts when the last token of the one before it is there, at either depth.
    let trace = poisson(0.8, 5_000, 1, |work| decodes_of(20.0, work));
    let window =
        Window { first: routesim::units::RequestId(0), from: SimTime::ZERO, to: SimTime::ZERO };
    let ahead = ClusterSpec { async_scheduling: true, ..decoder(0.05) };
    let (sync, _) = records(&decoder(0.05), "round_robin", &trace, window);
    assert_eq!(records(&ahead, "round_robin", &trace, window).0, sync);
}

#[test]
fn constant_service_is_m_d_1() {
    // rho, requests of a replication, wait, P(wait <= 0, 1, 2 and 5).
    let rows = [
        (
            0.5,
            10_000,
            0.5,
            [0.5, 0.824_360_635_350_064_1, 0.946_960_596_554_490_5, 0.998_764_270_269_217_8],
        ),
        (
            0.8,
            25_000,
            2.0,
            [0.2, 0.445_108_185_698_493_5, 0.634_519_936_320_228_1, 0.899_502_761_753_602_4],
        ),
        (
            0.9,
            60_000,
            4.5,
            [0.1, 0.245_960_311_115_694_94, 0.383_600_466_437_169_05, 0.668_709_150_508_440_3],
        ),
    ];
    for (rho, count, wait, shares) in rows {
        let runs = mg1(rho, count, |_| 1.0);
        agrees(&format!("M/D/1 {rho}: wait"), wait, &runs, |run| run.wait);
        agrees(&format!("M/D/1 {rho}: in the system"), wait + 1.0, &runs, |run| run.sojourn);
        agrees(&format!("M/D/1 {rho}: P(wait > 0)"), rho, &runs, |run| run.delayed);
        for (seconds, share) in [0.0, 1.0, 2.0, 5.0].into_iter().zip(shares) {
            let row = format!("M/D/1 {rho}: P(wait <= {seconds})");
            agrees_in_share(&row, share, &runs, |run| run.waited_within(seconds));
        }
    }
}

#[test]
fn any_service_is_m_g_1() {
    let erlang = |work: &mut Stream| (work.exponential() + work.exponential()) / 2.0;
    // H2 with balanced means and a squared coefficient of variation of 4.
    let hyper = |work: &mut Stream| {
        let fast = work.uniform() < 0.887_298_334_620_741_7;
        work.exponential() * if fast { 0.563_508_326_896_291_6 } else { 4.436_491_673_103_709 }
    };
    let uniform = |work: &mut Stream| 2.0 * work.uniform();
    // waits at rho 0.5 and 0.8.
    let wait = |run: &Run| run.wait;
    agrees("M/E2/1 0.5: wait", 0.75, &mg1(0.5, 10_000, erlang), wait);
    agrees("M/E2/1 0.8: wait", 3.0, &mg1(0.8, 30_000, erlang), wait);
    agrees("M/U/1 0.8: wait", 8.0 / 3.0, &mg1(0.8, 30_000, uniform), wait);
    agrees("M/H2/1 0.5: wait", 2.5, &mg1(0.5, 30_000, hyper), wait);
    agrees("M/H2/1 0.8: wait", 10.0, &mg1(0.8, 120_000, hyper), wait);
}

#[test]
fn a_bounded_queue_is_m_m_1_k() {
    // rate, K with the one in service, share turned away, time in the system.
    let rows = [
        (0.8, 5, 0.088_819_498_655_564_24, 2.563_065_207_044_265),
        (0.9, 10, 0.050_813_731_327_412_4, 4.646_600_672_123_705),
        (1.2, 10, 0.192_586_495_126_806, 6.926_137_844_142_955),
    ];
    for (rate, places, blocked, sojourn) in rows {
        let cluster = ClusterSpec { max_queue_depth: places - 1, ..server(1, 1.0) };
        let runs = replicate(|seed| {
            let trace = poisson(rate, 20_000, seed, |work| prompt_of(work.exponential()));
            simulate(&cluster, "round_robin", &trace)
        });
        agrees(&format!("M/M/1/{places} {rate}: blocked"), blocked, &runs, |run| run.blocked);
        agrees(&format!("M/M/1/{places} {rate}: there"), sojourn, &runs, |run| run.sojourn);
        let served = rate * (1.0 - blocked);
        agrees(&format!("M/M/1/{places} {rate}: utilisation"), served, &runs, |run| {
            run.utilisation[0]
        });
    }
}

#[test]
fn a_prompt_of_one_token_and_one_output_is_one_step() {
    // The unit of the rows above: a lone request of a million tokens takes a second.
    let trace = poisson(1.0, 1, 1, |_| Job { prompt_tokens: 1_000_000, output_tokens: 3 });
    let window =
        Window { first: routesim::units::RequestId(0), from: SimTime::ZERO, to: SimTime::ZERO };
    let (records, run) = records(&server(1, 0.5), "round_robin", &trace, window);
    assert_eq!(run.backends[0].busy.as_ps(), 2_000_000_000_000);
    assert_eq!(records[0].last_token, Some(run.end));
}
