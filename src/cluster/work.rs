//! What a backend is given and what it gives back.

use crate::trace::Path;
use crate::units::{BackendId, RequestId, SimDuration, SimTime, Stamp};

/// A request as a backend is given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Which request.
    pub request: RequestId,
    /// When it reached the router.
    pub arrival: SimTime,
    /// What its prompt shares.
    pub path: Path,
    /// Prompt length in tokens.
    pub prompt_tokens: u32,
    /// Output tokens in all, those made elsewhere included. The engine knows them, as vLLM knows
    /// a forced length; no algorithm does.
    pub output_tokens: u32,
    /// Output tokens already made by a prefill backend, with the KV of the whole prompt sent
    /// along: 0 or 1.
    pub delivered_tokens: u32,
    /// Whether this backend only makes the first token and keeps the KV until it is sent on.
    pub prefill_only: bool,
    /// Whether its tokens count: it is not part of the warm-up.
    pub measured: bool,
    /// Where it was sent first.
    pub sent_to: Option<BackendId>,
    /// What happened to it so far.
    pub facts: Facts,
}

/// What happened to a request. Times are there as far as it got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// When a scheduler first took it.
    pub scheduled: Stamp,
    /// When its first token came: the end of the last prefill chunk's step.
    pub first_token: Stamp,
    /// When its last token so far came.
    pub last_token: Stamp,
    /// Leading prompt tokens found in the cache at its first scheduling.
    pub cached_tokens: u32,
    /// How often it lost its blocks.
    pub preemptions: u32,
}

/// A request that left a backend before the backend was done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// As the backend was given it, with what happened since.
    pub work: Work,
    /// Output tokens that were made, those made elsewhere included. What was in flight is lost.
    pub made_tokens: u32,
}

/// Hears what a backend does, as time passes on it.
pub trait Progress {
    /// That many tokens of measured requests each came `gap` after the one before it.
    fn token_gaps(&mut self, gap: SimDuration, tokens: u64);

    /// As `steps` calls of [`token_gaps`](Self::token_gaps) with that many tokens each, the gap
    /// growing by `growth` from one to the next.
    fn token_gap_run(&mut self, first: SimDuration, growth: SimDuration, steps: u64, tokens: u64);

    /// The backend is done with a request: it has its last token, or its first one and waits here
    /// to be sent on.
    fn done(&mut self, work: &Work);
}

/// Why a backend does not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// `max_queue_depth` requests wait already.
    QueueFull,
    /// It needs more blocks than the backend has.
    NeverFits,
}

/// What a backend did in the measured part of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendStats {
    /// Time with a step running, from the start of the window to the end of the run.
    pub busy: SimDuration,
    /// Steps composed over the whole run.
    pub steps: u64,
    /// Blocks whose content was evicted, from the start of the window on.
    pub evictions: u64,
    /// Integral over the window of the requests that wait or run, in request-picoseconds.
    pub load_ps: u128,
}

impl Work {
    /// Output tokens after which the backend is done with the request.
    pub fn output_here(&self) -> u32 {
        if self.prefill_only { 1 } else { self.output_tokens }
    }

    /// Tokens whose KV is computed when its last step is composed: the last token needs none.
    pub fn tokens_at_end(&self) -> u32 {
        self.prompt_tokens + self.output_here() - 1
    }

    /// Tokens whose KV is computed when its last step is composed, wherever that is.
    pub fn tokens_at_last(&self) -> u64 {
        u64::from(self.prompt_tokens) + u64::from(self.output_tokens) - 1
    }

    /// Whether its KV is to be sent on when this backend is done with it.
    pub fn is_sent_on(&self) -> bool {
        self.prefill_only && self.output_tokens > 1
    }
}
