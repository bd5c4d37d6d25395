//! Exact values for service in whole tokens and whole steps.
//!
//! Arrivals are Poisson; what is served decodes a geometric number of tokens, so that each token
//! is the last with the same probability and the numbers at the starts of steps are a Markov
//! chain. Its stationary distribution, time-weighted, gives the number in the system; Little's law
//! gives the time there.

/// Pollaczek and Khinchine's mean wait of M/G/1 with E[S] and E[S²].
pub(super) fn mg1_wait(rate: f64, mean: f64, square: f64) -> f64 {
    rate * square / (2.0 * (1.0 - rate * mean))
}

/// Steps in flight when the next one is composed.
#[derive(Clone, Copy)]
pub(super) enum Depth {
    /// A step is composed when the one before it ends.
    One,
    /// A step is composed when the one before it starts, from who is there by then: a place that
    /// falls free in between stays empty for a step.
    Two,
}

/// Mean time in a system where up to `servers` decode one token each in steps of `step_s`, whatever
/// their number. An empty system starts a step at once.
///
/// (R, W) at the starts of steps, R running and W waiting. F = Bin(R, 1 / `mean_tokens`) leave at the
/// end of the step and A = Poisson(rate · step) arrive during it. At depth one
/// min(servers − R + F, W + A) are admitted to the next step, at depth two min(servers − R, W).
/// When nobody runs, who waits is admitted at the end of the step, or the next arrival after a
/// mean of 1 / rate. During a step R + W requests are there, and the new ones for half of it.
pub(super) fn batch_sojourn(
    depth: Depth,
    servers: usize,
    rate: f64,
    mean_tokens: f64,
    step_s: f64,
) -> f64 {
    const QUEUE: usize = 160;
    let arrivals = poisson(rate * step_s);
    let leave: Vec<Vec<f64>> = (0..=servers).map(|n| binomial(n, 1.0 / mean_tokens)).collect();
    let then = |running: usize, waiting: usize, left: usize, arrived: usize| {
        let stay = running - left;
        let admitted = match depth {
            Depth::One => (servers - stay).min(waiting + arrived),
            Depth::Two => (servers - running).min(waiting),
        };
        match (stay + admitted, waiting + arrived - admitted) {
            (0, waiting) => (waiting.min(servers), waiting - waiting.min(servers)),
            state => state,
        }
    };
    let advance = |now: &[f64]| {
        let mut next = vec![0.0; (servers + 1) * QUEUE];
        for (state, mass) in now.iter().enumerate().filter(|(_, mass)| **mass > 0.0) {
            for (left, p) in leave[state / QUEUE].iter().enumerate() {
                for (arrived, q) in arrivals.iter().enumerate() {
                    let (running, waiting) = then(state / QUEUE, state % QUEUE, left, arrived);
                    next[running * QUEUE + waiting.min(QUEUE - 1)] += mass * p * q;
                }
            }
        }
        let idle = std::mem::take(&mut next[0]);
        next[QUEUE] += idle;
        (next, idle)
    };
    let mut start = vec![0.0; (servers + 1) * QUEUE];
    start[QUEUE] = 1.0;
    let (chain, idle) = settle(start, advance);
    let (mut area, mut time) = (0.0, idle / rate);
    for (state, mass) in chain.iter().enumerate() {
        let there = (state / QUEUE + state % QUEUE) as f64;
        area += mass * (there * step_s + rate * step_s * step_s / 2.0);
        time += mass * step_s;
    }
    area / time / rate
}

/// Mean (time in the system, of it from the first token on) where a step of D decodes takes
/// `step_s(D)` and those that have arrived join at its start, however many. A first token costs no
/// time of its own: it comes when the step ends, and then the decodes begin.
///
/// (D, N) at the starts of steps, N the newcomers: D' = D − Bin(D, 1 / `mean_tokens`) + N and
/// N' = Poisson(rate · `step_s(D)`).
pub(super) fn sharing_sojourn(
    rate: f64,
    mean_tokens: f64,
    step_s: impl Fn(usize) -> f64,
) -> (f64, f64) {
    const DECODES: usize = 240;
    const NEWCOMERS: usize = 16;
    let seconds: Vec<f64> = (0..DECODES).map(|n| if n == 0 { 0.0 } else { step_s(n) }).collect();
    let leave: Vec<Vec<f64>> = (0..DECODES).map(|n| binomial(n, 1.0 / mean_tokens)).collect();
    let arrive: Vec<Vec<f64>> = seconds.iter().map(|s| poisson(rate * s)).collect();
    let advance = |now: &[f64]| {
        let mut next = vec![0.0; DECODES * NEWCOMERS];
        for decodes in 0..DECODES {
            let mut then = vec![0.0; DECODES + NEWCOMERS];
            for (new, mass) in now[decodes * NEWCOMERS..][..NEWCOMERS].iter().enumerate() {
                for (left, p) in leave[decodes].iter().enumerate() {
                    then[decodes - left + new] += mass * p;
                }
            }
            for (there, mass) in then.iter().enumerate().filter(|(_, mass)| **mass > 0.0) {
                let row = there.min(DECODES - 1) * NEWCOMERS;
                for (new, q) in arrive[decodes].iter().enumerate() {
                    next[row + new.min(NEWCOMERS - 1)] += mass * q;
                }
            }
        }
        // Nobody is there: the next arrival finds an idle backend.
        let idle = std::mem::take(&mut next[0]);
        next[1] += idle;
        (next, idle)
    };
    let (chain, idle) = settle(birth_and_death(rate, mean_tokens, &seconds, NEWCOMERS), advance);
    let (mut area, mut decoding, mut time) = (0.0, 0.0, idle / rate);
    for (state, mass) in chain.iter().enumerate() {
        let (decodes, new) = (state / NEWCOMERS, state % NEWCOMERS);
        let span = seconds[decodes];
        area += mass * ((decodes + new) as f64 * span + rate * span * span / 2.0);
        decoding += mass * decodes as f64 * span;
        time += mass * span;
    }
    (area / time / rate, decoding / time / rate)
}

/// Where the chain of [`sharing_sojourn`] starts from: the stationary distribution of the queue
/// with infinitely short steps, weighted by steps instead of time, and no newcomers.
fn birth_and_death(rate: f64, mean_tokens: f64, seconds: &[f64], newcomers: usize) -> Vec<f64> {
    let mut chain = vec![0.0; seconds.len() * newcomers];
    let mut in_time = 1.0;
    for (decodes, span) in seconds.iter().enumerate().skip(1) {
        in_time *= rate * mean_tokens * span / decodes as f64;
        chain[decodes * newcomers] = in_time / span;
    }
    let total: f64 = chain.iter().sum();
    chain.iter().map(|mass| mass / total).collect()
}

/// Advances a distribution until it no longer moves; returns the probability of what `advance`
/// counts besides.
fn settle(mut chain: Vec<f64>, advance: impl Fn(&[f64]) -> (Vec<f64>, f64)) -> (Vec<f64>, f64) {
    for _ in 0..20_000 {
        let (next, counted) = advance(&chain);
        let moved: f64 = next.iter().zip(&chain).map(|(a, b)| (a - b).abs()).sum();
        chain = next;
        if moved < 1e-8 {
            return (chain, counted);
        }
    }
    panic!("the chain does not settle");
}

/// Probabilities of a Poisson number, up to what no longer matters.
fn poisson(mean: f64) -> Vec<f64> {
    let next = |(k, p): &(u32, f64)| Some((k + 1, p * mean / f64::from(k + 1)));
    let all = std::iter::successors(Some((0, libm::exp(-mean))), next);
    all.map(|(_, p)| p).take_while(|p| *p > 1e-12).collect()
}

/// Probabilities of a binomial number, up to what no longer matters.
fn binomial(n: usize, p: f64) -> Vec<f64> {
    let first = libm::pow(1.0 - p, n as f64);
    let next = |(k, mass): &(usize, f64)| {
        let more = (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
        (*k < n).then(|| (k + 1, mass * more))
    };
    let all = std::iter::successors(Some((0, first)), next);
    all.map(|(_, mass)| mass).take_while(|mass| *mass > 1e-12).collect()
}

/// M/M/c with mu = 1 as (c, rate, time in the system).
pub(super) const MMC: [(usize, f64, f64); 2] =
    [(4, 3.0, 1.509_433_962_264_151), (8, 6.4, 1.286_028_078_401_26)];

/// the guide's decode curve, 128 tokens, as (rate, time in the system in seconds).
pub(super) const GUIDE_SHARING: [(f64, f64); 2] =
    [(10.0, 2.523_076_923_087_284), (22.0, 2.633_383_611_084_169_7)];

/// The guide's decode curve: time of a step of `batch` decodes, in seconds.
pub(super) fn guide_step_s(batch: usize) -> f64 {
    let batch = batch as f64;
    batch / (80.0 + (3_200.0 - 80.0) * (batch - 1.0) / 63.0).min(3_200.0)
}

#[test]
fn the_batch_chain_tends_to_m_m_c() {
    for depth in [Depth::One, Depth::Two] {
        for (servers, rate, exact) in MMC {
            let at = |tokens: f64| batch_sojourn(depth, servers, rate, tokens, 1.0 / tokens);
            let [coarse, middle, fine] = [20.0, 40.0, 80.0].map(at);
            // The error is a power series of the step: two of its terms cancel out.
            let limit = (8.0 * fine - 6.0 * middle + coarse) / 3.0;
            assert!((limit / exact - 1.0).abs() < 2e-3, "{limit} for {exact}");
            assert!(coarse > middle && middle > fine && fine > exact, "steps make requests wait");
        }
    }
}

#[test]
fn the_sharing_chain_is_close_to_processor_sharing() {
    for (rate, exact) in GUIDE_SHARING {
        let (_, decoding) = sharing_sojourn(rate, 128.0, guide_step_s);
        assert!((decoding / exact - 1.0).abs() < 0.01, "{decoding} for {exact}");
    }
}
