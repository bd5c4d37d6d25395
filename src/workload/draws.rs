//! A generator's requests, drawn one at a time.

use crate::rng::Stream;
use crate::trace::{Chain, ONE_LEVEL};
use crate::units::{PS_PER_NS, RequestId, SimDuration, SimTime};

use super::generator::{GeneratorSpec, Lengths};
use super::requests::Arriving;
use super::{WorkloadError, check_rate};

/// Standard deviation of a group's prefix length, as a share of the mean.
const PREFIX_SPREAD: f64 = 0.2;

/// The requests of one generator, rate, duration and seed: a recipe that every run draws from
/// anew, so that memory does not grow with their number.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratedStream {
    spec: GeneratorSpec,
    rate_rps: f64,
    seed: u64,
    duration_s: f64,
    /// Prefix length of each group, in tokens.
    group_tokens: Vec<u32>,
    /// 0, 1, 2 …: the chain of a request of group `g` is the slice `g..=g` of it.
    groups: Vec<u32>,
    len: usize,
}

impl GeneratedStream {
    /// Prepares the draws and counts the requests, which costs the draws of their arrivals.
    pub(super) fn new(
        spec: &GeneratorSpec,
        rate_rps: f64,
        seed: u64,
        duration: SimDuration,
        most: f64,
    ) -> Result<Self, WorkloadError> {
        spec.check()?;
        check_rate(rate_rps, duration, most)?;
        let tokens = |group| {
            let mut stream = Stream::new(seed, "prefix_len", u64::from(group));
            let spread = PREFIX_SPREAD * spec.prefix_len_mean;
            Lengths::Normal.draw(&mut stream, spec.prefix_len_mean, spread)
        };
        let mut stream = Self {
            spec: spec.clone(),
            rate_rps,
            seed,
            duration_s: duration.as_secs(),
            group_tokens: (0..spec.num_prefixes).map(tokens).collect(),
            groups: (0..spec.num_prefixes).collect(),
            len: 0,
        };
        stream.len = stream.times().count();
        Ok(stream)
    }

    /// Returns the number of requests.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there is no request.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the number of prefix groups: the ids of chains are below it.
    pub fn num_groups(&self) -> usize {
        self.groups.len()
    }

    /// Returns the prefix length of each group in tokens: a request shares that much or less.
    pub fn group_tokens(&self) -> &[u32] {
        &self.group_tokens
    }

    /// Draws when each request arrives and nothing else.
    pub(super) fn times(&self) -> impl Iterator<Item = SimTime> + use<> {
        Times::new(self).map(|ns| SimTime::from_ps(ns * PS_PER_NS))
    }

    /// Draws the requests, from the first.
    pub(super) fn draws(&self) -> Draws<'_> {
        Draws {
            stream: self,
            times: Times::new(self),
            prompts: Stream::new(self.seed, "prompt", 0),
            outputs: Stream::new(self.seed, "gen", 0),
            prefixes: Stream::new(self.seed, "prefix", 0),
            next: 0,
        }
    }
}

/// When requests arrive, in whole nanoseconds, so that a file holds it exactly.
#[derive(Clone, Debug)]
struct Times {
    stream: Stream,
    rate_rps: f64,
    duration_s: f64,
    /// Arrival of the last request at a rate of 1.
    unit_time: f64,
}

impl Times {
    fn new(stream: &GeneratedStream) -> Self {
        Self {
            stream: Stream::new(stream.seed, "arrivals", 0),
            rate_rps: stream.rate_rps,
            duration_s: stream.duration_s,
            unit_time: 0.0,
        }
    }
}

impl Iterator for Times {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.unit_time += self.stream.exponential();
        let arrival_s = self.unit_time / self.rate_rps;
        (arrival_s < self.duration_s).then(|| whole_ns(arrival_s))
    }
}

/// The requests of a [`GeneratedStream`], in the order of arrival.
#[derive(Clone, Debug)]
pub(super) struct Draws<'s> {
    stream: &'s GeneratedStream,
    times: Times,
    prompts: Stream,
    outputs: Stream,
    prefixes: Stream,
    next: u32,
}

impl<'s> Draws<'s> {
    /// Draws what a prompt of that many tokens shares.
    fn chain(&mut self, prompt_tokens: u32) -> Chain<'s> {
        let stream = self.stream;
        if stream.groups.is_empty() {
            return Chain { ids: &[], block_tokens: ONE_LEVEL, shared_tokens: 0 };
        }
        let group = self.prefixes.below(stream.groups.len());
        Chain {
            ids: &stream.groups[group..=group],
            block_tokens: ONE_LEVEL,
            shared_tokens: stream.group_tokens[group].min(prompt_tokens),
        }
    }
}

impl<'s> Iterator for Draws<'s> {
    type Item = Arriving<'s>;

    fn next(&mut self) -> Option<Arriving<'s>> {
        let arrival_ns = self.times.next()?;
        let request = RequestId(self.next);
        self.next += 1;
        let spec = &self.stream.spec;
        let lengths = spec.lengths;
        let prompt_tokens = lengths.draw(&mut self.prompts, spec.prompt_mean, spec.prompt_std);
        let output_tokens = lengths.draw(&mut self.outputs, spec.gen_mean, spec.gen_std);
        Some(Arriving {
            request,
            arrival: SimTime::from_ps(arrival_ns * PS_PER_NS),
            prompt_tokens,
            output_tokens,
            session: None,
            chain: self.chain(prompt_tokens),
        })
    }
}

/// Rounds down, so that no arrival leaves its window.
fn whole_ns(seconds: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 0, and below a duration of at most 100 days"
    )]
    let ns = (seconds * 1e9).floor() as u64;
    ns
}
