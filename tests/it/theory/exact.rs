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

/// A batch of up to `servers` that decode one token each in steps of 1 / `tokens` seconds, whatever
/// their number, so that the mean service takes a second. An empty system starts a step at once;
/// who finds `queue` requests waiting is turned away.
///
/// (R, W) at the starts of steps, R running and W waiting. F = Bin(R, 1 / `tokens`) leave at the end
/// of the step and A = Poisson(rate · step) arrive during it. At depth one
/// min(servers − R + F, W + A) are admitted to the next step, at depth two min(servers − R, W).
/// When nobody runs, who waits is admitted at the end of the step, or the next arrival after a
/// mean of 1 / rate.
#[derive(Clone, Copy)]
pub(super) struct Batch {
    pub(super) depth: Depth,
    pub(super) servers: usize,
    pub(super) queue: usize,
    pub(super) rate: f64,
    pub(super) tokens: f64,
}

/// A queue that no row of this module ever fills: the probability is below 1e-7.
pub(super) const UNBOUNDED: usize = 160;

impl Batch {
    /// Mean time in the system of those who are let in, and the share turned away.
    pub(super) fn sojourn_and_blocked(self) -> (f64, f64) {
        let step_s = 1.0 / self.tokens;
        let arrivals = poisson(self.rate * step_s);
        let leave: Vec<Vec<f64>> =
            (0..=self.servers).map(|n| binomial(n, 1.0 / self.tokens)).collect();
        let start = self.index(1, 0);
        let advance = |now: &[f64]| {
            let mut next = self.arrive(&self.leave(now, &leave), &arrivals);
            let idle = std::mem::take(&mut next[0]);
            next[start] += idle;
            (next, idle)
        };
        let mut chain = vec![0.0; self.index(self.servers + 1, 0)];
        chain[start] = 1.0;
        let (chain, idle) = settle(chain, advance);

        let joining: Vec<_> = (0..=self.queue).map(|free| joining(&arrivals, free)).collect();
        let (mut area, mut entered, mut time) = (0.0, idle, idle / self.rate);
        for (state, mass) in chain.iter().enumerate() {
            let (running, waiting) = self.state(state);
            let (join, share_of_step) =
                joining[self.queue + self.ahead(running, waiting) - waiting];
            area += mass * ((running + waiting) as f64 + share_of_step) * step_s;
            entered += mass * join;
            time += mass * step_s;
        }
        (area / entered, 1.0 - entered / (self.rate * time))
    }

    /// Who leaves at the end of a step, and who was admitted to the next one before.
    fn leave(&self, now: &[f64], leave: &[Vec<f64>]) -> Vec<f64> {
        let mut then = vec![0.0; now.len()];
        for (state, mass) in now.iter().enumerate().filter(|(_, mass)| **mass > 0.0) {
            let (running, waiting) = self.state(state);
            let ahead = self.ahead(running, waiting);
            for (left, p) in leave[running].iter().enumerate() {
                then[self.index(running - left + ahead, waiting - ahead)] += mass * p;
            }
        }
        then
    }

    /// Who arrived during a step, and who is admitted to the next one at its end.
    fn arrive(&self, now: &[f64], arrivals: &[f64]) -> Vec<f64> {
        let mut then = vec![0.0; now.len()];
        for (state, mass) in now.iter().enumerate().filter(|(_, mass)| **mass > 0.0) {
            let (running, waiting) = self.state(state);
            for (arrived, p) in arrivals.iter().enumerate() {
                let waiting = (waiting + arrived).min(self.queue);
                let admitted = match self.depth {
                    Depth::Two if running > 0 => 0,
                    Depth::One | Depth::Two => waiting.min(self.servers - running),
                };
                then[self.index(running + admitted, waiting - admitted)] += mass * p;
            }
        }
        then
    }

    /// Who is admitted to the next step when this one starts.
    fn ahead(&self, running: usize, waiting: usize) -> usize {
        match self.depth {
            Depth::One => 0,
            Depth::Two => waiting.min(self.servers - running),
        }
    }

    fn index(&self, running: usize, waiting: usize) -> usize {
        running * (self.queue + 1) + waiting
    }

    fn state(&self, index: usize) -> (usize, usize) {
        (index / (self.queue + 1), index % (self.queue + 1))
    }
}

/// Of those who arrive in a step with room for `free`, mean (number who join, sum of the shares of
/// the step that they are there for). The j-th of k arrivals comes at j / (k + 1) of the step.
fn joining(arrivals: &[f64], free: usize) -> (f64, f64) {
    let (mut join, mut share_of_step) = (0.0, 0.0);
    for (arrived, p) in arrivals.iter().enumerate() {
        let joined = arrived.min(free) as f64;
        join += p * joined;
        share_of_step += p * (joined - joined * (joined + 1.0) / (2.0 * (arrived + 1) as f64));
    }
    (join, share_of_step)
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
    const DECODES: usize = 400;
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
    for _ in 0..200_000 {
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

/// M/M/c with mu = 1, and the requests of a replication that give its row power.
#[derive(Clone, Copy)]
pub(super) struct ManyServers {
    pub(super) servers: usize,
    /// Places to wait.
    pub(super) queue: Option<usize>,
    pub(super) rate: f64,
    pub(super) count: usize,
    /// Time in the system.
    pub(super) sojourn: f64,
    /// Share turned away.
    pub(super) blocked: f64,
}

impl ManyServers {
    const fn unbounded(servers: usize, rate: f64, count: usize, sojourn: f64) -> Self {
        Self { servers, queue: None, rate, count, sojourn, blocked: 0.0 }
    }

    /// The same queue in whole tokens.
    pub(super) fn batch(self, depth: Depth, tokens: f64) -> Batch {
        let queue = self.queue.unwrap_or(UNBOUNDED);
        Batch { depth, servers: self.servers, queue, rate: self.rate, tokens }
    }

    /// Whether there is room to leave a place empty for a step after each request.
    pub(super) fn is_moderate(&self) -> bool {
        self.rate < 0.85 * self.servers as f64
    }
}

/// M/M/c, and Q-06b: M/M/4/12.
pub(super) const MMC: [ManyServers; 8] = [
    ManyServers::unbounded(2, 1.6, 40_000, 2.777_777_777_777_778_6),
    ManyServers::unbounded(4, 3.0, 40_000, 1.509_433_962_264_151),
    ManyServers::unbounded(4, 3.2, 40_000, 1.745_540_589_734_255_7),
    ManyServers::unbounded(8, 6.4, 40_000, 1.286_028_078_401_26),
    ManyServers::unbounded(8, 7.2, 80_000, 1.876_916_237_682_821_5),
    ManyServers::unbounded(16, 14.4, 80_000, 1.369_589_621_170_243_6),
    ManyServers::unbounded(64, 57.6, 120_000, 1.048_541_143_208_275),
    ManyServers {
        servers: 4,
        queue: Some(8),
        rate: 3.6,
        count: 40_000,
        sojourn: 1.670_942_191_937_516_7,
        blocked: 0.048_805_113_097_580_24,
    },
];

/// the guide's decode curve, 128 tokens, as (rate, requests of a replication, time in the
/// system in seconds). A saturated backend serves 25 requests/s.
pub(super) const GUIDE_SHARING: [(f64, usize, f64); 6] = [
    (5.0, 8_000, 2.461_540_082_173_635_3),
    (10.0, 8_000, 2.523_076_923_087_284),
    (15.0, 8_000, 2.543_599_362_363_018),
    (20.0, 8_000, 2.564_848_964_309_518),
    (22.0, 8_000, 2.633_383_611_084_169_7),
    (24.0, 40_000, 3.216_542_811_566_973_6),
];

/// The guide's decode curve: time of a step of `batch` decodes, in seconds.
pub(super) fn guide_step_s(batch: usize) -> f64 {
    let batch = batch as f64;
    batch / (80.0 + (3_200.0 - 80.0) * (batch - 1.0) / 63.0).min(3_200.0)
}

#[test]
fn the_batch_chain_tends_to_m_m_c() {
    // The error is a power series of the step: two of its terms cancel out.
    let limit = |[coarse, middle, fine]: [f64; 3]| (8.0 * fine - 6.0 * middle + coarse) / 3.0;
    // The other rows settle slowly, and differ in nothing but numbers.
    for row in MMC.iter().filter(|row| row.is_moderate() || row.queue.is_some()) {
        for depth in [Depth::One, Depth::Two] {
            let at = |tokens: f64| row.batch(depth, tokens).sojourn_and_blocked();
            let steps = [20.0, 40.0, 80.0].map(at);
            let sojourns = steps.map(|(sojourn, _)| sojourn);
            let (exact, sojourn) = (row.sojourn, limit(sojourns));
            assert!((sojourn / exact - 1.0).abs() < 2e-3, "{sojourn} for {exact}");
            let [coarse, middle, fine] = sojourns.map(|sojourn| (sojourn - exact).abs());
            assert!(coarse > middle && middle > fine, "{sojourns:?} come near {exact}");
            let blocked = limit(steps.map(|(_, blocked)| blocked));
            assert!((blocked - row.blocked).abs() < 1e-4, "{blocked} for {}", row.blocked);
        }
    }
}

#[test]
fn the_sharing_chain_is_close_to_processor_sharing() {
    for (rate, _, exact) in GUIDE_SHARING {
        let (_, decoding) = sharing_sojourn(rate, 128.0, guide_step_s);
        assert!((decoding / exact - 1.0).abs() < 0.01, "{decoding} for {exact}");
    }
}
