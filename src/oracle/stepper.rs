//! One backend of either engine under the same orders, with what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cluster::{self, BackendSpec, BackendStats, Left, Progress, Refusal, Work};
use crate::trace::{Path, Segments};
use crate::units::{RequestId, SimDuration, SimTime};
use crate::workload::Window;

use super::backend::{Backend, Notice};

const INSTANT: SimDuration = SimDuration::from_ps(1);

/// What a backend said: gaps of measured requests by length, and who is done, in order.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) gaps: BTreeMap<SimDuration, u64>,
    pub(super) done: Vec<Work>,
}

/// What others can see of a backend.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    waiting: usize,
    kv_usage: f64,
    cached_tokens: Vec<u32>,
    /// But for the load, which is added up as of the last change.
    stats: BackendStats,
    here: Vec<RequestId>,
}

/// What both engines take. Each call is at an instant that none before it was after.
pub(super) trait Engine {
    /// When something may happen next; never too late.
    fn next(&mut self) -> SimTime;
    fn advance(&mut self, until: SimTime, said: &mut Said);
    fn end_step_at(&mut self, at: SimTime, said: &mut Said);
    fn enqueue(&mut self, work: &Work, now: SimTime) -> Result<(), Refusal>;
    fn release(&mut self, request: RequestId, now: SimTime);
    fn cancel(&mut self, request: RequestId, now: SimTime) -> Option<Left>;
    fn interrupt(&mut self, now: SimTime) -> Vec<Left>;
    fn seen(&self, paths: &[Path]) -> Seen;
    /// All of its figures: the load is added up as of the last change.
    fn stats(&self) -> BackendStats;

    /// Carries out all of an instant too.
    fn advance_through(&mut self, now: SimTime, said: &mut Said) {
        self.advance(now + INSTANT, said);
    }
}

impl Progress for Said {
    fn token_gaps(&mut self, gap: SimDuration, tokens: u64) {
        *self.gaps.entry(gap).or_default() += tokens;
    }

    fn token_gap_run(&mut self, first: SimDuration, growth: SimDuration, steps: u64, tokens: u64) {
        let mut gap = first;
        for _ in 0..steps {
            self.token_gaps(gap, tokens);
            gap += growth;
        }
    }

    fn done(&mut self, work: &Work) {
        self.done.push(*work);
    }
}

impl Engine for cluster::Backend {
    fn next(&mut self) -> SimTime {
        self.next_change(false)
    }

    fn advance(&mut self, until: SimTime, said: &mut Said) {
        self.advance(until, said);
    }

    fn end_step_at(&mut self, at: SimTime, said: &mut Said) {
        self.end_step_at(at, said);
    }

    fn enqueue(&mut self, work: &Work, now: SimTime) -> Result<(), Refusal> {
        self.enqueue(work, now)
    }

    fn release(&mut self, request: RequestId, now: SimTime) {
        self.release(request, now);
    }

    fn cancel(&mut self, request: RequestId, now: SimTime) -> Option<Left> {
        self.cancel(request, now)
    }

    fn interrupt(&mut self, now: SimTime) -> Vec<Left> {
        self.interrupt(now)
    }

    fn seen(&self, paths: &[Path]) -> Seen {
        Seen {
            waiting: self.waiting() as usize,
            kv_usage: self.kv_usage(),
            cached_tokens: paths.iter().map(|path| self.cached_tokens(*path)).collect(),
            stats: BackendStats { load_ps: 0, ..self.stats() },
            here: self.live().map(|work| work.request).collect(),
        }
    }

    fn stats(&self) -> BackendStats {
        self.stats()
    }
}

/// The slow backend with the clock that [`Sim`](super::sim::Sim) is to it.
pub(super) struct Stepper {
    pub(super) backend: Backend,
    wakes: BTreeSet<SimTime>,
    /// Requests that were here, with what happened to them.
    works: BTreeMap<RequestId, Work>,
    paths: Vec<Path>,
    /// What the cache held of each path after each event.
    pub(super) contents: Vec<(SimTime, Vec<u32>)>,
}

impl Stepper {
    pub(super) fn new(
        spec: &BackendSpec,
        segments: &Arc<Segments>,
        window: Window,
        paths: &[Path],
    ) -> Self {
        Self {
            backend: Backend::new(spec, Arc::clone(segments), window),
            wakes: BTreeSet::new(),
            works: BTreeMap::new(),
            paths: paths.to_vec(),
            contents: Vec::new(),
        }
    }

    fn end_step(&mut self, now: SimTime, said: &mut Said) {
        let mut notices = Vec::new();
        self.backend.finish_step(now, &mut notices);
        self.note(&notices, now, said);
        self.schedule(now, said);
    }

    fn wake(&mut self, now: SimTime, said: &mut Said) {
        self.wakes.remove(&now);
        if self.backend.next_end().is_none() || self.backend.is_back(now) {
            self.schedule(now, said);
        }
    }

    fn schedule(&mut self, now: SimTime, said: &mut Said) {
        let mut notices = Vec::new();
        self.backend.schedule(now, &mut notices);
        self.note(&notices, now, said);
        self.wakes.extend(self.backend.blocked_until(now));
        self.backend.check(self.wakes.is_empty());
        let cached = self.paths.iter().map(|path| self.backend.cached_tokens(*path)).collect();
        self.contents.push((now, cached));
    }

    fn wake_if_idle(&mut self, now: SimTime) {
        if self.backend.next_end().is_none() {
            self.wakes.insert(now);
        }
    }

    fn note(&mut self, notices: &[Notice], now: SimTime, said: &mut Said) {
        for notice in notices {
            match *notice {
                Notice::Scheduled { request, cached_tokens } => {
                    let facts = &mut self.works.get_mut(&request).unwrap().facts;
                    if facts.scheduled.get().is_none() {
                        facts.scheduled = now.into();
                        facts.cached_tokens = cached_tokens;
                    }
                }
                Notice::Preempted { request } => {
                    self.works.get_mut(&request).unwrap().facts.preemptions += 1;
                }
                Notice::Token { request, last } => {
                    let work = self.works.get_mut(&request).unwrap();
                    match work.facts.last_token.get() {
                        None => work.facts.first_token = now.into(),
                        Some(before) if work.measured => said.token_gaps(now.since(before), 1),
                        Some(_) => {}
                    }
                    work.facts.last_token = now.into();
                    if last {
                        said.done(work);
                    }
                }
            }
        }
    }

    fn left(&self, (work, made_tokens): (Work, u32)) -> Left {
        Left { work: self.works[&work.request], made_tokens }
    }
}

impl Engine for Stepper {
    fn next(&mut self) -> SimTime {
        let wake = self.wakes.first().copied();
        self.backend.next_end().into_iter().chain(wake).min().unwrap_or(SimTime::MAX)
    }

    fn advance(&mut self, until: SimTime, said: &mut Said) {
        while self.next() < until {
            let at = self.next();
            if self.backend.next_end() == Some(at) {
                self.end_step(at, said);
            } else {
                self.wake(at, said);
            }
        }
    }

    fn end_step_at(&mut self, at: SimTime, said: &mut Said) {
        self.advance(at, said);
        if self.backend.next_end() == Some(at) {
            self.end_step(at, said);
        }
    }

    fn enqueue(&mut self, work: &Work, now: SimTime) -> Result<(), Refusal> {
        self.backend.enqueue(*work, now)?;
        self.works.insert(work.request, *work);
        self.wake_if_idle(now);
        Ok(())
    }

    fn release(&mut self, request: RequestId, now: SimTime) {
        self.backend.release(request);
        self.wake_if_idle(now);
    }

    fn cancel(&mut self, request: RequestId, now: SimTime) -> Option<Left> {
        let gone = self.backend.cancel(request, now)?;
        self.wake_if_idle(now);
        Some(self.left(gone))
    }

    fn interrupt(&mut self, now: SimTime) -> Vec<Left> {
        let gone = self.backend.interrupt(now);
        self.wakes.clear();
        self.contents.push((now, vec![0; self.paths.len()]));
        gone.into_iter().map(|gone| self.left(gone)).collect()
    }

    fn seen(&self, paths: &[Path]) -> Seen {
        Seen {
            waiting: self.backend.waiting(),
            kv_usage: self.backend.cache().usage(),
            cached_tokens: paths.iter().map(|path| self.backend.cached_tokens(*path)).collect(),
            stats: BackendStats { load_ps: 0, ..self.backend.stats() },
            here: self.backend.here().collect(),
        }
    }

    fn stats(&self) -> BackendStats {
        self.backend.stats()
    }
}
