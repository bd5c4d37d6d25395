//! Steps as they are launched and as they end.

use crate::units::SimTime;

use super::{Backend, Stage};
use crate::cluster::step::BatchShape;
use crate::cluster::work::Progress;

/// A step in flight.
#[derive(Debug, Default)]
pub(super) struct Flight {
    pub(super) end: SimTime,
    /// Measured requests of those that decode in it.
    pub(super) measured: u32,
    /// Requests whose known tokens it completes.
    pub(super) completing: Vec<u32>,
    /// Requests to which it gives their last tokens, in the order of admission.
    pub(super) finishing: Vec<u32>,
}

impl Backend {
    /// Composes steps until `depth` are in flight or nothing can run.
    pub(super) fn schedule(&mut self, now: SimTime) {
        if self.evictions_before.is_none() && now >= self.window.from {
            self.evictions_before = Some(self.cache.evictions());
        }
        while self.composed - self.ended < self.depth && self.wake_at.is_none() {
            let waiting = self.waiting.len();
            let shape = self.compose(now);
            if shape != BatchShape::default() {
                self.launch(&shape, now);
            } else if self.composed == self.ended && self.waiting.len() > waiting {
                // The only running request preempted itself: its blocks are free now, so the
                // next pass can admit it.
            } else {
                break;
            }
        }
    }

    /// Puts a composed step behind those in flight.
    fn launch(&mut self, shape: &BatchShape, now: SimTime) {
        let mut start = self.last_end.max(now);
        if self.composed == 0 && self.step_model.first_launch().as_ps() > 0 {
            start += self.step_model.first_launch();
            if self.depth > 1 {
                self.wake_at = Some(start);
            }
        }
        if self.composed == 0 {
            self.first_start = start;
        }
        let end = start + self.step_model.step_time(shape);
        self.composed += 1;
        self.count_busy(start, end, 1);
        self.last_end = end;
        let (step, measured) = (self.composed, self.decodes.measured());
        let flight = self.flight_mut(step);
        flight.end = end;
        flight.measured = measured;
        if !flight.completing.is_empty() {
            let completing = std::mem::take(&mut flight.completing);
            for number in &completing {
                self.start_decoding(*number, step);
            }
            self.flight_mut(step).completing = completing;
        }
        self.stop_decoding(step);
    }

    pub(super) fn count_busy(&mut self, start: SimTime, end: SimTime, steps: u64) {
        self.stats.steps += steps;
        self.stats.busy += end.saturating_since(start.max(self.window.from));
    }

    /// A request whose prefill is completed by `step` decodes from the next step on.
    fn start_decoding(&mut self, number: u32, step: u64) {
        let slot = &mut self.slots[number];
        let along = i64::try_from(step).expect("steps are counted from 1");
        slot.base = i64::from(slot.computed) - along;
        slot.first_step = step;
        slot.last_step = step + u64::from(slot.work.tokens_at_end() - slot.computed);
        slot.stage = if slot.last_step == step { Stage::Finishing } else { Stage::Decoding };
        if slot.stage == Stage::Decoding {
            self.decodes.join(number, &self.slots[number]);
        } else {
            self.flight_mut(step).finishing.push(number);
        }
    }

    /// Requests that get their last token from `step` are in no step after it.
    pub(super) fn stop_decoding(&mut self, step: u64) {
        let nobody = self.flight(step).finishing.is_empty();
        if nobody && self.decodes.first_end(&self.slots).is_none_or(|first| first > step) {
            return;
        }
        let mut finishing = std::mem::take(&mut self.flight_mut(step).finishing);
        let from_prefill = finishing.len();
        while let Some(number) = self.decodes.pop_end(step, &self.slots) {
            self.slots[number].stage = Stage::Finishing;
            finishing.push(number);
        }
        if from_prefill > 0 && finishing.len() > 1 {
            finishing.sort_unstable_by_key(|number| self.slots[*number].order);
        }
        self.flight_mut(step).finishing = finishing;
    }

    /// Ends the oldest step: gives out its tokens and frees what is finished.
    pub(super) fn end_step(&mut self, progress: &mut impl Progress) {
        let step = self.ended + 1;
        let flight = self.flight_mut(step);
        let now = flight.end;
        let measured = u64::from(flight.measured);
        let quiet = flight.completing.is_empty() && flight.finishing.is_empty();
        if measured > 0 {
            progress.token_gaps(now.since(self.ended_at), measured);
        }
        self.ended = step;
        if quiet && self.orphans.is_empty() {
            self.ended_at = now;
            return;
        }
        self.give_tokens(step, now, progress);
    }

    /// Gives tokens to those of a step that do not just go on.
    fn give_tokens(&mut self, step: u64, now: SimTime, progress: &mut impl Progress) {
        let flight = self.flight_mut(step);
        let mut completing = std::mem::take(&mut flight.completing);
        let mut finishing = std::mem::take(&mut flight.finishing);
        for number in completing.drain(..) {
            self.give_token(number, now, progress);
        }
        // Their gaps were counted with those of the step.
        for number in std::mem::take(&mut self.orphans) {
            self.slots[number].generated += 1;
            self.slots[number].work.facts.last_token = Some(now);
        }
        self.ended_at = now;
        for number in finishing.drain(..) {
            self.finish(number, now, progress);
        }
        let flight = self.flight_mut(step);
        flight.completing = completing;
        flight.finishing = finishing;
    }

    /// The token that ends a prefill: the first one, or the next after a preemption or a transfer.
    fn give_token(&mut self, number: u32, now: SimTime, progress: &mut impl Progress) {
        let slot = &mut self.slots[number];
        if slot.stage == Stage::Waiting {
            slot.generated += 1;
        }
        let facts = &mut slot.work.facts;
        match facts.last_token {
            None => facts.first_token = Some(now),
            Some(before) if slot.work.measured => progress.token_gaps(now.since(before), 1),
            Some(_) => {}
        }
        facts.last_token = Some(now);
    }

    /// Takes a request that is done here off the batch, or off the queue when it was preempted
    /// with its last token in flight.
    fn finish(&mut self, number: u32, now: SimTime, progress: &mut impl Progress) {
        self.note_load(now);
        self.blocked = false;
        let waits = self.slots[number].stage == Stage::Waiting;
        if waits {
            self.waiting.retain(|waiting| *waiting != number);
        } else {
            self.running.remove(number, &self.slots);
        }
        let slot = &mut self.slots[number];
        slot.work.facts.last_token = Some(now);
        let work = slot.work;
        if work.is_sent_on() {
            // One that was preempted has no blocks to keep.
            slot.stage = if waits { Stage::Waiting } else { Stage::Parked };
            self.parked.push(number);
        } else {
            self.give_back(number);
            self.slots.remove(number);
        }
        progress.done(&work);
    }
}
