//! One serving engine after vLLM's v1 scheduler, at a cost per change and not per token.
//!
//! The loop that this follows: drain what has arrived; compose the next step; if fewer than
//! `depth` steps are in flight, compose another at once; else wait for the oldest to end, take its
//! tokens, free what is finished. With a depth of 2 (async scheduling, vLLM's default) step k is
//! composed when step k − 2 ends, which is when step k − 1 starts: a request that arrives during
//! step j first runs in step j + 2.
//!
//! Three things make it fast. A step costs what changes in it: [`decodes`] keeps sums over the
//! requests that decode. While nobody comes or goes, steps are taken in one stride: [`cruise`].
//! And a backend moves only when somebody looks: [`Backend::advance`] carries out what happens
//! before an instant. Time is whole picoseconds, so a stride and its steps agree exactly.

mod block_size;
mod compose;
mod cruise;
mod decodes;
mod ends;
mod outside;
mod slots;
mod steps;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::trace::{Path, Segments};
use crate::units::{RequestId, SimDuration, SimTime};
use crate::workload::Window;

use super::fleet_spec::BackendSpec;
use super::prefix_cache::PrefixCache;
use super::step::StepModel;
use super::work::{BackendStats, Progress, Refusal, Work};

use block_size::BlockSize;
use decodes::Decodes;
use slots::{Running, Slots, Stage, Turn};
use steps::Flight;

/// No backend goes on for longer: 150 days of simulated time, so that the clock can't wrap.
pub const HORIZON: SimTime = SimTime::from_ps(150 * 86_400 * crate::units::PS_PER_S);

/// One serving engine.
#[derive(Debug)]
pub struct Backend {
    step_model: Arc<StepModel>,
    segments: Arc<Segments>,
    max_batch_tokens: u32,
    max_batch_size: u32,
    max_queue_depth: u32,
    long_prefill_tokens: u32,
    block_size: BlockSize,
    /// Steps that may be in flight: 1 or 2.
    depth: u64,
    cache: PrefixCache,
    slots: Slots,
    waiting: VecDeque<u32>,
    running: Running,
    /// The running requests that prefill, in the order of admission.
    prefilling: Vec<u32>,
    decodes: Decodes,
    parked: Vec<u32>,
    /// Preempted with a token of the step in flight still to come.
    orphans: Vec<u32>,
    /// Whether the first of the queue can't be admitted before somebody leaves.
    blocked: bool,
    /// Number of the last step that was composed, and of the last that has ended; from 1.
    composed: u64,
    ended: u64,
    /// The steps in flight, by the lowest bit of their numbers.
    flights: [Flight; 2],
    /// Requests whose known tokens a step in flight completes, in the order of the steps.
    completing: VecDeque<u32>,
    /// Requests that get their last tokens from a step in flight, in the order of the steps; from
    /// the same one in the order of admission.
    finishing: VecDeque<u32>,
    /// End of the last step that has ended, and of the last that was composed.
    ended_at: SimTime,
    last_end: SimTime,
    /// When the first step after the last start of the engine began, its launch apart.
    first_start: SimTime,
    /// When an idle backend looks for work, or one comes back from its first launch;
    /// [`SimTime::MAX`] otherwise.
    wake_at: SimTime,
    window: Window,
    load_since: SimTime,
    /// Evictions before the window, once it has begun.
    evictions_before: Option<u64>,
    stats: BackendStats,
}

impl Backend {
    /// Makes an idle backend with an empty cache. `segments` are those of the requests that it
    /// will be given, in its own block size. `spec` must be one that
    /// [`BackendSpec::check`] takes.
    pub fn new(spec: &BackendSpec, segments: Arc<Segments>, window: Window) -> Self {
        let block_size = BlockSize::new(spec.kv_block_size);
        Self {
            step_model: Arc::clone(&spec.step_model),
            segments,
            max_batch_tokens: spec.max_batch_tokens,
            max_batch_size: spec.max_batch_size,
            max_queue_depth: spec.max_queue_depth,
            long_prefill_tokens: spec.long_prefill_tokens.unwrap_or(u32::MAX),
            decodes: Decodes::new(block_size, &spec.step_model),
            block_size,
            depth: if spec.async_scheduling { 2 } else { 1 },
            cache: PrefixCache::new(spec.usable_blocks()),
            slots: Slots::default(),
            waiting: VecDeque::new(),
            running: Running::default(),
            prefilling: Vec::new(),
            parked: Vec::new(),
            orphans: Vec::new(),
            blocked: false,
            composed: 0,
            ended: 0,
            flights: [Flight::NONE; 2],
            completing: VecDeque::new(),
            finishing: VecDeque::new(),
            ended_at: SimTime::ZERO,
            last_end: SimTime::ZERO,
            first_start: SimTime::ZERO,
            wake_at: SimTime::MAX,
            window,
            load_since: window.from,
            evictions_before: None,
            stats: BackendStats::default(),
        }
    }

    /// Returns the requests that wait for their first or next admission.
    pub fn waiting(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// Returns the share of blocks that requests hold, as vLLM reports its usage: content that
    /// nobody holds does not count.
    pub fn kv_usage(&self) -> f64 {
        let total = self.cache.total();
        f64::from(total - self.cache.unheld()) / f64::from(total)
    }

    /// Returns the requests in the running batch, those whose last step is in flight included.
    pub fn running(&self) -> u32 {
        self.running.len()
    }

    /// Returns the KV blocks that requests hold: those of [`kv_usage`](Self::kv_usage).
    pub fn used_blocks(&self) -> u32 {
        self.cache.total() - self.cache.unheld()
    }

    /// Returns the KV blocks that requests can hold, all together.
    pub fn blocks(&self) -> u32 {
        self.cache.total()
    }

    /// Returns how many leading tokens of a prompt the cache holds, in whole blocks.
    pub fn cached_tokens(&self, path: Path) -> u32 {
        self.cache.matched(&self.segments, path) * self.block_size.tokens()
    }

    /// Returns what the backend did so far.
    pub fn stats(&self) -> BackendStats {
        let before = self.evictions_before.unwrap_or(self.cache.evictions());
        BackendStats { evictions: self.cache.evictions() - before, ..self.stats }
    }

    /// Returns when the last step that has ended did so.
    pub fn ended_at(&self) -> SimTime {
        self.ended_at
    }

    /// Returns the requests that are here.
    pub fn live(&self) -> impl Iterator<Item = &Work> {
        self.numbers().map(|number| &self.slots[number].work)
    }

    /// Returns whether something would happen here after all that was carried out, were there no
    /// [`HORIZON`].
    pub fn is_cut_off(&self) -> bool {
        self.next_in_line() != SimTime::MAX
    }

    /// Puts a request on the waiting queue. The backend must have been advanced to `now`.
    ///
    /// # Errors
    ///
    /// The reason why the backend does not take it; nothing is left behind.
    pub fn enqueue(&mut self, work: &Work, now: SimTime) -> Result<(), Refusal> {
        if self.blocks_for(work.tokens_at_end()) > self.cache.total() {
            return Err(Refusal::NeverFits);
        }
        if self.waiting() >= self.max_queue_depth {
            return Err(Refusal::QueueFull);
        }
        self.note_load(now);
        let slot = self.slots.add(work);
        self.waiting.push_back(slot);
        self.wake_if_idle(now);
        Ok(())
    }

    /// Frees the blocks of a request whose KV has been sent on, or was not wanted after all. The
    /// backend must have been advanced to `now`.
    ///
    /// # Panics
    ///
    /// When the request is not kept here.
    pub fn release(&mut self, request: RequestId, now: SimTime) {
        let at = self.parked.iter().position(|slot| self.slots[*slot].work.request == request);
        let number = self.parked.remove(at.expect("only what is parked is released"));
        self.give_back(number);
        self.slots.remove(number);
        self.blocked = false;
        self.wake_if_idle(now);
    }

    /// Carries out everything that happens before `until`.
    ///
    /// Simulated time ends at [`HORIZON`]: what lies beyond never happens, and
    /// [`is_cut_off`](Self::is_cut_off) says so.
    pub fn advance(&mut self, until: SimTime, progress: &mut impl Progress) {
        let until = until.min(HORIZON + SimDuration::from_ps(1));
        loop {
            let at = self.next_in_line();
            if at >= until {
                break;
            }
            if self.cruise(until, progress) {
                continue;
            }
            if self.wake_at == at {
                self.wake_at = SimTime::MAX;
            } else {
                self.end_step(progress);
            }
            self.cache.set_time(at);
            self.schedule(at);
        }
    }

    /// Returns when something happens here next, if nothing comes from outside; [`SimTime::MAX`]
    /// when nothing will before the [`HORIZON`].
    #[inline]
    pub fn next_event(&self) -> SimTime {
        within_horizon(self.next_in_line())
    }

    /// What would happen next, beyond the horizon too.
    #[inline]
    fn next_in_line(&self) -> SimTime {
        self.flight(self.ended + 1).end.min(self.wake_at)
    }

    fn wake_if_idle(&mut self, now: SimTime) {
        if self.composed == self.ended && !self.waiting.is_empty() {
            self.wake_at = now;
        }
    }

    /// Adds the time since the last change to the integral of the load.
    fn note_load(&mut self, now: SimTime) {
        let until = now.min(self.window.to);
        let span = until.saturating_since(self.load_since);
        let load = self.waiting.len() as u128 + u128::from(self.running.len());
        self.stats.load_ps += load * u128::from(span.as_ps());
        self.load_since = self.load_since.max(until);
    }

    fn blocks_for(&self, tokens: u32) -> u32 {
        self.block_size.needed(tokens)
    }

    fn flight(&self, step: u64) -> &Flight {
        &self.flights[usize::from(step % 2 == 1)]
    }

    fn flight_mut(&mut self, step: u64) -> &mut Flight {
        &mut self.flights[usize::from(step % 2 == 1)]
    }
}

/// What lies beyond the horizon never comes.
#[inline]
fn within_horizon(at: SimTime) -> SimTime {
    if at > HORIZON { SimTime::MAX } else { at }
}
