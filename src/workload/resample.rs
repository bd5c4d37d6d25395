//! The circular moving-block bootstrap over session starts.
//!
//! Sources: Künsch, "The jackknife and the bootstrap for general stationary observations", 1989;
//! Politis and Romano, "A circular block-resampling procedure for stationary data", 1992.

use std::ops::Range;

use crate::rng::Stream;
use crate::trace::{NewRequest, Trace, TraceBuilder};
use crate::units::{SimDuration, SimTime};

use super::source::{Plan, Session, SourceTrace};

/// Marks a private id that has no new number yet.
const UNNAMED: u32 = u32::MAX;

/// Draws one workload. Times on its line run from 0 at the start of the lead; the run begins when
/// the lead ends.
pub(super) struct Resampler<'s> {
    source: &'s SourceTrace,
    plan: Plan,
    seed: u64,
    builder: TraceBuilder,
    next_chain_id: u32,
    next_session: u32,
    /// New number of each private id of the session at hand.
    renamed: Vec<u32>,
    /// The private ids that have one.
    touched: Vec<u32>,
    chain: Vec<u32>,
    offsets: Vec<SimDuration>,
}

impl<'s> Resampler<'s> {
    pub(super) fn new(source: &'s SourceTrace, plan: Plan, seed: u64) -> Self {
        let models = source.trace.model_names().to_vec();
        Self {
            source,
            plan,
            seed,
            builder: TraceBuilder::new(source.trace.block_tokens(), models),
            next_chain_id: source.num_shared,
            next_session: 0,
            renamed: vec![UNNAMED; source.most_private],
            touched: Vec::new(),
            chain: Vec::new(),
            offsets: Vec::new(),
        }
    }

    pub(super) fn run(mut self) -> Trace {
        let end = self.plan.lead + self.plan.horizon;
        let mut copy = 0_u32;
        while f64::from(copy) < self.plan.copies {
            let share = (self.plan.copies - f64::from(copy)).min(1.0);
            let mut begin = SimDuration::ZERO;
            let mut block = 0_u32;
            while begin < end {
                let entity = u64::from(copy) << 32 | u64::from(block);
                let mut stream = Stream::new(self.seed, "bootstrap", entity);
                self.draw_block(begin, share, &mut stream);
                begin += self.plan.block;
                block += 1;
            }
            copy += 1;
        }
        self.builder.finish()
    }

    /// Draws a place in the circle and takes the sessions that start within a block from there.
    fn draw_block(&mut self, begin: SimDuration, share: f64, stream: &mut Stream) {
        let (circle, block) = (self.plan.circle.as_ps(), self.plan.block.as_ps());
        let from = scaled(stream.uniform(), self.plan.circle);
        let until = from + block;
        for index in self.starting(from..until.min(circle)) {
            let start = self.source.sessions[index].start.as_ps() - from;
            self.draw_session(index, begin + SimDuration::from_ps(start), share, stream);
        }
        for index in self.starting(0..until.saturating_sub(circle)) {
            let start = self.source.sessions[index].start.as_ps() + (circle - from);
            self.draw_session(index, begin + SimDuration::from_ps(start), share, stream);
        }
    }

    /// Returns the sessions that start in that part of the trace, in picoseconds.
    fn starting(&self, part: Range<u64>) -> Range<usize> {
        let sessions = &self.source.sessions;
        let before = |ps| sessions.partition_point(|session| session.start.as_ps() < ps);
        before(part.start)..before(part.end)
    }

    /// Adds the requests of a session that starts at `start` on the line and that the draw keeps.
    ///
    /// What is drawn must not depend on the rate or the horizon, so that a lower rate gives a
    /// subset and a shorter run a beginning.
    fn draw_session(&mut self, index: usize, start: SimDuration, share: f64, stream: &mut Stream) {
        let source = self.source;
        let session = &source.sessions[index];
        let lead = self.plan.lead;
        let longest = session.duration + source.tick.unwrap_or(SimDuration::ZERO);
        if start < lead && start + longest < lead {
            return;
        }
        let kept = stream.uniform() < share;
        let mut offsets = std::mem::take(&mut self.offsets);
        source.offsets(session, |_| stream.uniform(), &mut offsets);
        if kept && start < lead + self.plan.horizon {
            self.push_session(session, start, &offsets);
        }
        self.offsets = offsets;
    }

    fn push_session(&mut self, session: &Session, start: SimDuration, offsets: &[SimDuration]) {
        let source = self.source;
        let run_start = SimTime::ZERO + self.plan.lead;
        let run_end = run_start + self.plan.horizon;
        let mut number = None;
        for (id, offset) in source.members_of(session).iter().zip(offsets) {
            let time = SimTime::ZERO + start + *offset;
            if time < run_start || time >= run_end {
                continue;
            }
            if session.named && number.is_none() {
                number = Some(self.next_session);
                self.next_session += 1;
            }
            let request = source.trace.request(*id);
            self.rename(request.chain);
            self.builder.push(NewRequest {
                arrival: SimTime::ZERO + time.since(run_start),
                chain: &self.chain,
                session: number,
                ..request
            });
        }
        for local in self.touched.drain(..) {
            self.renamed[local as usize] = UNNAMED;
        }
    }

    /// Writes the chain with its private ids numbered anew for the session at hand.
    fn rename(&mut self, ids: &[u32]) {
        self.chain.clear();
        for id in ids {
            let code = self.source.codes[*id as usize];
            let Some(local) = code.checked_sub(self.source.num_shared) else {
                self.chain.push(code);
                continue;
            };
            let renamed = &mut self.renamed[local as usize];
            if *renamed == UNNAMED {
                *renamed = self.next_chain_id;
                self.next_chain_id += 1;
                self.touched.push(local);
            }
            self.chain.push(*renamed);
        }
    }
}

/// Returns that part of a span, rounded down; always less than the whole.
pub(super) fn scaled(uniform: f64, span: SimDuration) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the span"
    )]
    let part = (uniform * span.as_ps() as f64) as u64;
    part.min(span.as_ps().saturating_sub(1))
}

#[cfg(test)]
mod tests;
