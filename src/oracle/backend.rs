//! One serving engine, step by step, after vLLM's v1 scheduler.
//!
//! The loop that this follows: drain what has arrived; compose the next step; if fewer than
//! `depth` steps are in flight, compose another at once; else wait for the oldest to end, take its
//! tokens, free what is finished. With a depth of 2 (async scheduling, vLLM's default) step k is
//! composed when step k − 2 ends, which is when step k − 1 starts: a request that arrives during
//! step j first runs in step j + 2. Who calls keeps the clock: [`Backend::schedule`] when requests
//! have reached an idle backend, [`Backend::finish_step`] at [`Backend::next_end`].

use std::collections::VecDeque;
use std::sync::Arc;

use crate::cluster::{BackendSpec, BackendStats, BatchShape, Refusal, StepModel, Work};
use crate::engine::BackendState;
use crate::trace::{Path, Segments};
use crate::units::{RequestId, SimDuration, SimTime};
use crate::workload::Window;

use super::kv_cache::KvCache;
use super::sequence::Sequence;

/// Something a backend did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The scheduler took it into the running batch: for the first time, or again after it was
    /// preempted.
    Scheduled {
        /// Which request.
        request: RequestId,
        /// Leading tokens whose KV was in the cache.
        cached_tokens: u32,
    },
    /// It lost its blocks and waits again, to be recomputed.
    Preempted {
        /// Which request.
        request: RequestId,
    },
    /// A step gave it a token.
    Token {
        /// Which request.
        request: RequestId,
        /// Whether this backend is done with it.
        last: bool,
    },
}

#[derive(Debug)]
struct Step {
    start: SimTime,
    end: SimTime,
    /// Index of the sequence, and whether the step gives it a token.
    entries: Vec<(usize, bool)>,
}

/// One serving engine.
#[derive(Debug)]
pub(super) struct Backend {
    segments: Arc<Segments>,
    step_model: Arc<StepModel>,
    max_batch_tokens: u32,
    max_batch_size: usize,
    long_prefill_tokens: u32,
    max_queue_depth: usize,
    block_size: u32,
    depth: usize,
    cache: KvCache,
    /// Slots; a free one is `None`.
    sequences: Vec<Option<Sequence>>,
    free_slots: Vec<usize>,
    waiting: VecDeque<usize>,
    running: Vec<usize>,
    /// Done here, with their KV kept until it is sent on.
    parked: Vec<usize>,
    in_flight: VecDeque<Step>,
    last_end: SimTime,
    /// Whether the engine has launched a step since it was started.
    launched: bool,
    /// Until when the loop is blocked by the first launch.
    blocked_until: Option<SimTime>,
    window: Window,
    load_since: SimTime,
    /// Evictions before the window, once it has begun.
    evictions_before: Option<u64>,
    stats: BackendStats,
}

impl Backend {
    /// Makes an idle backend with an empty cache.
    pub(super) fn new(spec: &BackendSpec, segments: Arc<Segments>, window: Window) -> Self {
        Self {
            segments,
            step_model: Arc::clone(&spec.step_model),
            max_batch_tokens: spec.max_batch_tokens,
            max_batch_size: spec.max_batch_size as usize,
            long_prefill_tokens: spec.long_prefill_tokens.unwrap_or(u32::MAX),
            max_queue_depth: spec.max_queue_depth as usize,
            block_size: spec.kv_block_size,
            depth: if spec.async_scheduling { 2 } else { 1 },
            // vLLM keeps one block aside as the null block.
            cache: KvCache::new(spec.kv_cache_blocks - 1),
            sequences: Vec::new(),
            free_slots: Vec::new(),
            waiting: VecDeque::new(),
            running: Vec::new(),
            parked: Vec::new(),
            in_flight: VecDeque::new(),
            last_end: SimTime::ZERO,
            launched: false,
            blocked_until: None,
            window,
            load_since: window.from,
            evictions_before: None,
            stats: BackendStats::default(),
        }
    }

    /// Returns the requests that wait for their first or next admission.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Returns what the backend is like, with so many requests outstanding.
    pub(super) fn state(&self, outstanding: u32) -> BackendState {
        let count = |slots: usize| u32::try_from(slots).unwrap();
        BackendState {
            waiting: count(self.waiting.len()),
            running: count(self.running.len()),
            outstanding,
            used_blocks: self.cache.total() - self.cache.unheld(),
            blocks: self.cache.total(),
        }
    }

    /// Returns the KV cache.
    pub(super) fn cache(&self) -> &KvCache {
        &self.cache
    }

    /// Returns the tokens in a block.
    pub(super) fn block_size(&self) -> u32 {
        self.block_size
    }

    /// Returns how many leading tokens of a prompt the cache holds, in whole blocks.
    pub(super) fn cached_tokens(&self, path: Path) -> u32 {
        let key = |index| {
            let (segment, place) = self.segments.key(path, index)?;
            Some((segment.index() as u64) << 32 | u64::from(place))
        };
        let held = |index: &u32| key(*index).is_some_and(|key| self.cache.find(key).is_some());
        let first_missing = (0..path.blocks).find(|index| !held(index));
        first_missing.unwrap_or(path.blocks) * self.block_size
    }

    /// Returns when the loop comes back from the first launch, while it is there.
    pub(super) fn blocked_until(&self, now: SimTime) -> Option<SimTime> {
        self.blocked_until.filter(|until| now < *until && self.in_flight.len() < self.depth)
    }

    /// Returns whether the loop comes back from the first launch just now.
    pub(super) fn is_back(&self, now: SimTime) -> bool {
        self.blocked_until == Some(now)
    }

    /// Returns when the oldest step in flight ends, or `None` when the backend is idle.
    pub(super) fn next_end(&self) -> Option<SimTime> {
        self.in_flight.front().map(|step| step.end)
    }

    /// Returns what the backend did, up to the end of the run.
    pub(super) fn stats(&self) -> BackendStats {
        let before = self.evictions_before.unwrap_or(self.cache.evictions());
        BackendStats { evictions: self.cache.evictions() - before, ..self.stats }
    }

    /// Puts a request on the waiting queue.
    ///
    /// # Errors
    ///
    /// The reason why the backend does not take it; nothing is left behind.
    pub(super) fn enqueue(&mut self, work: Work, now: SimTime) -> Result<(), Refusal> {
        let sequence = Sequence::new(work);
        if self.blocks_for(sequence.tokens_at_end()) > self.cache.total() {
            return Err(Refusal::NeverFits);
        }
        if self.waiting.len() >= self.max_queue_depth {
            return Err(Refusal::QueueFull);
        }
        self.note_load(now);
        let slot = match self.free_slots.pop() {
            Some(slot) => {
                self.sequences[slot] = Some(sequence);
                slot
            }
            None => {
                self.sequences.push(Some(sequence));
                self.sequences.len() - 1
            }
        };
        self.waiting.push_back(slot);
        Ok(())
    }

    /// Composes steps until `depth` are in flight or nothing can run.
    pub(super) fn schedule(&mut self, now: SimTime, notices: &mut Vec<Notice>) {
        if self.evictions_before.is_none() && now >= self.window.from {
            self.evictions_before = Some(self.cache.evictions());
        }
        while self.in_flight.len() < self.depth
            && self.blocked_until.is_none_or(|until| now >= until)
        {
            let waiting = self.waiting.len();
            let entries = self.compose(now, notices);
            if !entries.is_empty() {
                self.launch(entries, now);
            } else if self.in_flight.is_empty() && self.waiting.len() > waiting {
                // The only running request preempted itself: its blocks are free now, so the
                // next pass can admit it.
            } else {
                break;
            }
        }
    }

    /// Ends the oldest step: gives out its tokens and frees what is finished. The caller then
    /// calls [`schedule`](Self::schedule).
    ///
    /// # Panics
    ///
    /// When no step is in flight.
    pub(super) fn finish_step(&mut self, now: SimTime, notices: &mut Vec<Notice>) {
        self.note_load(now);
        let step = self.in_flight.pop_front().expect("a step end without a step");
        debug_assert_eq!(step.end, now);
        for (slot, gives_token) in step.entries {
            if !gives_token {
                continue;
            }
            let sequence = self.sequences[slot].as_mut().expect("a step holds its sequences");
            sequence.generated += 1;
            let request = sequence.work.request;
            let last = sequence.is_done();
            notices.push(Notice::Token { request, last });
            if last {
                self.retire(slot);
            }
        }
    }

    /// Frees the blocks of a request whose KV has been sent on, or was not wanted after all.
    ///
    /// # Panics
    ///
    /// When the request is not kept here.
    pub(super) fn release(&mut self, request: RequestId) {
        let at = self.parked.iter().position(|slot| self.sequence(*slot).work.request == request);
        let slot = self.parked.remove(at.expect("only what is parked is released"));
        self.free_blocks(slot);
        self.vacate(slot);
    }

    /// Chooses what the next step computes and gives it blocks.
    fn compose(&mut self, now: SimTime, notices: &mut Vec<Notice>) -> Vec<(usize, u32)> {
        let mut entries = Vec::with_capacity(self.running.len() + 1);
        let mut budget = self.max_batch_tokens;
        let waiting = self.waiting.len();
        self.continue_running(&mut budget, &mut entries, notices);
        if self.waiting.len() == waiting {
            self.admit_waiting(&mut budget, &mut entries, notices);
        }
        self.note_load(now);
        entries
    }

    /// Running requests first, in order. Where blocks lack, the last of them gives way.
    fn continue_running(
        &mut self,
        budget: &mut u32,
        entries: &mut Vec<(usize, u32)>,
        notices: &mut Vec<Notice>,
    ) {
        let mut at = 0;
        while at < self.running.len() && *budget > 0 {
            let slot = self.running[at];
            let sequence = self.sequence(slot);
            let tokens = sequence.next_tokens().min(*budget).min(self.long_prefill_tokens);
            if tokens == 0 {
                at += 1;
                continue;
            }
            let held = sequence.blocks.len();
            let missing = self.blocks_for(sequence.computed + tokens) as usize - held;
            while missing > self.cache.unheld() as usize {
                let victim = self.running.pop().expect("the one that needs blocks runs");
                self.preempt(victim, notices);
                if victim == slot {
                    return;
                }
            }
            self.extend(slot, tokens);
            entries.push((slot, tokens));
            *budget -= tokens;
            at += 1;
        }
    }

    /// Then waiting requests, first come first served, none overtaken: one is admitted when the
    /// blocks of all its known tokens are there (vLLM's full input reserve).
    fn admit_waiting(
        &mut self,
        budget: &mut u32,
        entries: &mut Vec<(usize, u32)>,
        notices: &mut Vec<Notice>,
    ) {
        while *budget > 0 && self.running.len() < self.max_batch_size {
            let Some(&slot) = self.waiting.front() else {
                break;
            };
            let hits = self.hits(slot);
            let sequence = self.sequence(slot);
            let known = sequence.known();
            let missing = self.blocks_for(known) as usize - hits.len();
            let reusable = hits.iter().filter(|block| self.cache.is_unheld(**block)).count();
            if missing + reusable > self.cache.unheld() as usize {
                break;
            }
            self.waiting.pop_front();
            let block_size = self.block_size;
            let cached_tokens = u32::try_from(hits.len()).expect("held blocks") * block_size;
            for block in &hits {
                self.cache.hold(*block);
            }
            let sequence = self.sequence_mut(slot);
            sequence.registered = cached_tokens / block_size;
            sequence.blocks = hits;
            sequence.target = known;
            sequence.computed = cached_tokens.max(sequence.delivered_kv());
            let request = sequence.work.request;
            notices.push(Notice::Scheduled { request, cached_tokens });
            let tokens = (known - sequence.computed).min(*budget).min(self.long_prefill_tokens);
            self.extend(slot, tokens);
            self.running.push(slot);
            entries.push((slot, tokens));
            *budget -= tokens;
        }
    }

    /// The longest chain of cached blocks that a waiting request begins with. Its last known token
    /// is always computed, so it never counts.
    fn hits(&self, slot: usize) -> Vec<u32> {
        let sequence = self.sequence(slot);
        let most = (sequence.known() - 1) / self.block_size;
        let find = |index| self.cache.find(sequence.key(&self.segments, index));
        (0..most).map_while(find).collect()
    }

    /// Gives a sequence the blocks of its next tokens and tells the cache of those that are full:
    /// as soon as they are scheduled, but a generated token only once it is known.
    fn extend(&mut self, slot: usize, tokens: u32) {
        let block_size = self.block_size;
        let sequence = self.sequences[slot].as_mut().expect("a live sequence");
        sequence.computed += tokens;
        let wanted = sequence.computed.div_ceil(block_size) as usize;
        while sequence.blocks.len() < wanted {
            sequence.blocks.push(self.cache.allocate());
        }
        let full = sequence.computed.min(sequence.known()) / block_size;
        for index in sequence.registered..full {
            let key = sequence.key(&self.segments, index);
            let block = &mut sequence.blocks[index as usize];
            // Content that is cached already is taken; the block computed for it is spare.
            match self.cache.find(key) {
                Some(cached) => {
                    self.cache.hold(cached);
                    sequence.spares.push(std::mem::replace(block, cached));
                }
                None => self.cache.register(*block, key),
            }
        }
        sequence.registered = sequence.registered.max(full);
    }

    /// Puts a composed step behind those in flight.
    fn launch(&mut self, entries: Vec<(usize, u32)>, now: SimTime) {
        let mut shape = BatchShape::default();
        let mut members = Vec::with_capacity(entries.len());
        for (slot, tokens) in entries {
            let sequence = self.sequence(slot);
            let before = u64::from(sequence.computed - tokens);
            let tokens = u64::from(tokens);
            if tokens == 1 && before > 0 {
                shape.decodes += 1;
                shape.context_tokens += before + 1;
                shape.longest_context = shape.longest_context.max(before + 1);
            } else {
                shape.prefill_tokens += tokens;
                shape.attention_halves += tokens * (2 * before + tokens);
            }
            members.push((slot, sequence.computed >= sequence.target));
        }
        let mut start = self.last_end.max(now);
        if !self.launched {
            self.launched = true;
            let first_launch = self.step_model.first_launch();
            start += first_launch;
            if first_launch > SimDuration::ZERO {
                self.blocked_until = Some(start);
            }
        }
        let end = start + self.step_model.step_time(&shape);
        self.stats.steps += 1;
        self.stats.busy += end.saturating_since(start.max(self.window.from));
        self.last_end = end;
        self.in_flight.push_back(Step { start, end, entries: members });
    }

    /// Takes a running request's blocks and puts it at the front of the queue.
    fn preempt(&mut self, slot: usize, notices: &mut Vec<Notice>) {
        self.free_blocks(slot);
        let sequence = self.sequence_mut(slot);
        sequence.reset();
        notices.push(Notice::Preempted { request: sequence.work.request });
        self.waiting.push_front(slot);
    }

    /// Takes a request that is done here off the batch, or off the queue when it was preempted
    /// with its last token in flight.
    fn retire(&mut self, slot: usize) {
        if let Some(at) = self.running.iter().position(|running| *running == slot) {
            self.running.remove(at);
        } else {
            self.waiting.retain(|waiting| *waiting != slot);
        }
        let work = self.sequence(slot).work;
        if work.prefill_only && work.output_tokens > 1 {
            self.parked.push(slot);
        } else {
            self.free_blocks(slot);
            self.vacate(slot);
        }
    }

    /// Gives a sequence's blocks back: what has no content first, then the last first, so that its
    /// deepest are evicted first.
    fn free_blocks(&mut self, slot: usize) {
        let spares = std::mem::take(&mut self.sequence_mut(slot).spares);
        let blocks = std::mem::take(&mut self.sequence_mut(slot).blocks);
        for block in spares.iter().chain(blocks.iter().rev()) {
            self.cache.release(*block);
        }
    }

    fn vacate(&mut self, slot: usize) {
        self.sequences[slot] = None;
        self.free_slots.push(slot);
    }

    /// Adds the time since the last change to the integral of the load.
    fn note_load(&mut self, now: SimTime) {
        let until = now.min(self.window.to);
        let span = until.saturating_since(self.load_since);
        let load = (self.waiting.len() + self.running.len()) as u128;
        self.stats.load_ps += load * u128::from(span.as_ps());
        self.load_since = self.load_since.max(until);
    }

    fn blocks_for(&self, tokens: u32) -> u32 {
        tokens.div_ceil(self.block_size)
    }

    fn sequence(&self, slot: usize) -> &Sequence {
        self.sequences[slot].as_ref().expect("a live sequence")
    }

    fn sequence_mut(&mut self, slot: usize) -> &mut Sequence {
        self.sequences[slot].as_mut().expect("a live sequence")
    }

    /// Checks the laws of one backend between events: blocks add up and, once all of an instant
    /// is `settled`, it is not idle with work that it could run.
    pub(crate) fn check(&self, settled: bool) {
        self.cache.check();
        let held = self.sequences.iter().flatten().map(|s| s.blocks.len() + s.spares.len());
        let held: usize = held.sum();
        assert_eq!(held, self.cache.holders(), "a block is held by nobody, or by too few");
        if settled && self.in_flight.is_empty() {
            assert!(self.running.is_empty(), "running requests on an idle backend");
            assert!(
                self.waiting.is_empty() || !self.parked.is_empty(),
                "an idle backend has requests waiting"
            );
        }
    }
}

mod outside;
mod tests;
