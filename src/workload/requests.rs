//! The requests of a workload, in memory or drawn as they arrive.

use std::borrow::Cow;

use crate::trace::{Chain, NewRequest, ONE_LEVEL, Trace, TraceBuilder};
use crate::units::{RequestId, SimTime};

use super::Warmup;
use super::draws::{Draws, GeneratedStream};

/// Where the requests of a workload come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Requests {
    /// They stand in memory, and the runs that meet them share them.
    Columns(Trace),
    /// Each run draws them anew, and they take no memory.
    Streamed(GeneratedStream),
}

/// A request as it reaches the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arriving<'w> {
    /// Its place in the order of arrival.
    pub request: RequestId,
    /// When it reaches the router.
    pub arrival: SimTime,
    /// Prompt length in tokens, from 1.
    pub prompt_tokens: u32,
    /// Output length in tokens, from 1: known to the engine, never to an algorithm.
    pub output_tokens: u32,
    /// Dense number of its session, if it has one.
    pub session: Option<u32>,
    /// What its prompt shares.
    pub chain: Chain<'w>,
}

/// The requests of a workload in the order of arrival, pulled one at a time.
///
/// What is pulled borrows from the workload alone, not from this.
#[derive(Clone, Debug)]
pub struct Arrivals<'w>(Kind<'w>);

#[derive(Clone, Debug)]
enum Kind<'w> {
    Columns { trace: &'w Trace, next: usize },
    Streamed(Draws<'w>),
}

impl Requests {
    /// Returns the number of requests.
    pub fn len(&self) -> usize {
        match self {
            Self::Columns(trace) => trace.len(),
            Self::Streamed(stream) => stream.len(),
        }
    }

    /// Returns whether there is no request.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the requests from the first.
    pub fn arrivals(&self) -> Arrivals<'_> {
        match self {
            Self::Columns(trace) => trace.into(),
            Self::Streamed(stream) => Arrivals(Kind::Streamed(stream.draws())),
        }
    }

    /// Returns the tokens that a chain id stands for, or [`ONE_LEVEL`].
    pub fn block_tokens(&self) -> u32 {
        match self {
            Self::Columns(trace) => trace.block_tokens(),
            Self::Streamed(_) => ONE_LEVEL,
        }
    }

    /// Returns whether engine blocks of `block_size` tokens can be cut from the chains.
    pub fn blocks_fit(&self, block_size: u32) -> bool {
        match self {
            Self::Columns(trace) => trace.blocks_fit(block_size),
            Self::Streamed(_) => Chain::blocks_fit(ONE_LEVEL, block_size),
        }
    }

    /// Returns the requests as columns: drawn into memory now if they are streamed.
    pub fn columns(&self) -> Cow<'_, Trace> {
        match self {
            Self::Columns(trace) => Cow::Borrowed(trace),
            Self::Streamed(stream) => Cow::Owned(collect(stream)),
        }
    }

    /// Returns how many requests are warm-up, and when the last of them arrives.
    pub(super) fn warm_up(&self, warmup: Warmup) -> (usize, SimTime) {
        match self {
            Self::Columns(trace) => warm_up(trace.ids().map(|id| trace.arrival(id)), warmup),
            Self::Streamed(stream) => warm_up(stream.times(), warmup),
        }
    }
}

impl From<Trace> for Requests {
    fn from(trace: Trace) -> Self {
        Self::Columns(trace)
    }
}

impl<'w> From<&'w Trace> for Arrivals<'w> {
    fn from(trace: &'w Trace) -> Self {
        Self(Kind::Columns { trace, next: 0 })
    }
}

impl<'w> Iterator for Arrivals<'w> {
    type Item = Arriving<'w>;

    fn next(&mut self) -> Option<Arriving<'w>> {
        match &mut self.0 {
            Kind::Columns { trace, next } => {
                let index = *next;
                *next += usize::from(index < trace.len());
                (index < trace.len()).then(|| in_trace(trace, RequestId::at(index)))
            }
            Kind::Streamed(draws) => draws.next(),
        }
    }
}

/// Draws all requests into memory.
pub(super) fn collect(stream: &GeneratedStream) -> Trace {
    let mut builder = TraceBuilder::default();
    for arriving in stream.draws() {
        builder.push(NewRequest {
            arrival: arriving.arrival,
            prompt_tokens: arriving.prompt_tokens,
            output_tokens: arriving.output_tokens,
            chain: arriving.chain.ids,
            shared_tokens: arriving.chain.shared_tokens,
            session: arriving.session,
            model: None,
        });
    }
    builder.finish()
}

fn in_trace(trace: &Trace, request: RequestId) -> Arriving<'_> {
    Arriving {
        request,
        arrival: trace.arrival(request),
        prompt_tokens: trace.prompt_tokens(request),
        output_tokens: trace.output_tokens(request),
        session: trace.session(request),
        chain: trace.chain(request),
    }
}

/// Counts the first of ascending `arrivals`, as far as the warm-up goes.
fn warm_up(arrivals: impl Iterator<Item = SimTime>, warmup: Warmup) -> (usize, SimTime) {
    let most = match warmup {
        Warmup::Requests(count) => usize::try_from(count).unwrap_or(usize::MAX),
        Warmup::Time(_) => usize::MAX,
    };
    let until = match warmup {
        Warmup::Requests(_) => None,
        Warmup::Time(span) => Some(SimTime::ZERO + span),
    };
    let warm = arrivals.take(most).take_while(|at| until.is_none_or(|until| *at < until));
    warm.fold((0, SimTime::ZERO), |(count, _), at| (count + 1, at))
}

#[cfg(test)]
mod tests;
