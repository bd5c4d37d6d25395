//! One request on one backend: how far it is, and which blocks it holds.

use crate::cluster::Work;
use crate::trace::Segments;

/// Marks the keys of blocks that belong to one request alone.
const PRIVATE: u64 = 1 << 63;

/// The progress of a request on a backend. All counts are tokens.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) work: Work,
    /// Output tokens that are known, whoever made them.
    pub(super) generated: u32,
    /// Tokens whose KV is computed, or will be by a step in flight.
    pub(super) computed: u32,
    /// A step that brings `computed` here or beyond gives a token.
    pub(super) target: u32,
    /// Whether the KV of the prompt stands ready from another backend.
    delivered: bool,
    pub(super) blocks: Vec<u32>,
    /// Blocks that it computed although their content was cached already.
    pub(super) spares: Vec<u32>,
    /// Leading blocks whose content is known to the cache.
    pub(super) registered: u32,
}

impl Sequence {
    pub(super) fn new(work: Work) -> Self {
        Self {
            work,
            generated: work.delivered_tokens,
            computed: 0,
            target: 0,
            delivered: work.delivered_tokens > 0,
            blocks: Vec::new(),
            spares: Vec::new(),
            registered: 0,
        }
    }

    /// Tokens known so far: the prompt and the output that came back.
    pub(super) fn known(&self) -> u32 {
        self.work.prompt_tokens + self.generated
    }

    /// Output tokens after which this backend is done with the request.
    fn output_here(&self) -> u32 {
        if self.work.prefill_only { 1 } else { self.work.output_tokens }
    }

    /// Tokens whose KV is computed when the last step is composed: the last token needs none.
    pub(super) fn tokens_at_end(&self) -> u32 {
        self.work.prompt_tokens + self.output_here() - 1
    }

    /// Whether every token that this backend makes is known.
    pub(super) fn is_done(&self) -> bool {
        self.generated == self.output_here()
    }

    /// Tokens that the next step could compute: the rest of the prefill, one token, or none when
    /// the last step is in flight.
    pub(super) fn next_tokens(&self) -> u32 {
        if self.computed < self.target {
            self.target - self.computed
        } else {
            u32::from(self.computed < self.tokens_at_end())
        }
    }

    /// KV that need not be computed at admission because another backend sent it.
    pub(super) fn delivered_kv(&self) -> u32 {
        if self.delivered { self.work.prompt_tokens } else { 0 }
    }

    /// Goes back to the start: all KV is lost, the known tokens are not.
    pub(super) fn reset(&mut self) {
        self.computed = 0;
        self.registered = 0;
        self.delivered = false;
        debug_assert!(self.blocks.is_empty(), "blocks are given back first");
    }

    /// What identifies the content of its `index`-th block.
    pub(super) fn key(&self, segments: &Segments, index: u32) -> u64 {
        let own = PRIVATE | u64::from(self.work.request.0) << 31 | u64::from(index);
        segments
            .key(self.work.path, index)
            .map_or(own, |(segment, place)| (segment.index() as u64) << 32 | u64::from(place))
    }
}
