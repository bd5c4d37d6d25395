//! Steps as they are launched and as they end.

use crate::units::SimTime;

use super::{Backend, Stage, Turn};
use crate::cluster::step::BatchShape;
use crate::cluster::work::Progress;

/// A step in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    /// [`SimTime::MAX`] when there is none.
    pub(super) end: SimTime,
    /// Measured requests of those that decode in it.
    pub(super) measured: u32,
    /// How many requests it completes the known tokens of: the next of [`Backend::completing`].
    pub(super) completing: u32,
    /// To how many it gives their last tokens: the next of [`Backend::finishing`].
    pub(super) finishing: u32,
}

impl Flight {
    pub(super) const NONE: Self =
        Self { end: SimTime::MAX, measured: 0, completing: 0, finishing: 0 };
}

impl Backend {
    /// Composes steps until `depth` are in flight or nothing can run.
    pub(super) fn schedule(&mut self, now: SimTime) {
        if self.evictions_before.is_none() && now >= self.window.from {
            self.evictions_before = Some(self.cache.evictions());
        }
        while self.composed - self.ended < self.depth && self.wake_at == SimTime::MAX {
            if self.has_nothing_to_run() {
                break;
            }
            let waiting = self.waiting.len();
            let shape = self.compose(now);
            if !shape.is_empty() {
                self.launch(&shape, now);
            } else if self.composed == self.ended && self.waiting.len() > waiting {
                // The only running request preempted itself: its blocks are free now, so the
                // next pass can admit it.
            } else {
                break;
            }
        }
    }

    fn has_nothing_to_run(&self) -> bool {
        self.decodes.count() == 0
            && self.prefilling.is_empty()
            && (self.blocked || self.waiting.is_empty())
    }

    /// Puts a composed step behind those in flight.
    fn launch(&mut self, shape: &BatchShape, now: SimTime) {
        let mut start = self.last_end.max(now);
        if self.composed == 0 {
            start += self.step_model.first_launch();
            self.first_start = start;
            if self.depth > 1 && start > now {
                self.wake_at = start;
            }
        }
        let end = start + self.step_model.step_time(shape);
        self.composed += 1;
        self.count_busy(start, end, 1);
        self.last_end = end;
        let (step, measured) = (self.composed, self.decodes.measured());
        let flight = self.flight_mut(step);
        flight.end = end;
        flight.measured = measured;
        let completing = flight.completing as usize;
        for at in self.completing.len() - completing..self.completing.len() {
            self.start_decoding(self.completing[at], step);
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
        slot.last_step = step + u64::from(slot.work.tokens_at_end() - slot.computed);
        slot.stage = if slot.last_step == step { Stage::Finishing } else { Stage::Decoding };
        if slot.stage == Stage::Decoding {
            let slot = &self.slots[number];
            let bin = self.decodes.join(number, slot, step);
            self.running.set_turn(slot, Turn::Decode(bin));
        } else {
            self.finish_with(step, number);
        }
    }

    fn finish_with(&mut self, step: u64, number: u32) {
        self.running.set_turn(&self.slots[number], Turn::Nothing);
        self.finishing.push_back(number);
        self.flight_mut(step).finishing += 1;
    }

    /// Requests that get their last token from `step` are in no step after it.
    pub(super) fn stop_decoding(&mut self, step: u64) {
        while let Some(number) = self.decodes.pop_end(step, &self.slots) {
            self.slots[number].stage = Stage::Finishing;
            self.finish_with(step, number);
        }
        let finishing = self.flight(step).finishing as usize;
        if finishing > 1 {
            // They finish in the order of admission.
            let (all, slots) = (self.finishing.make_contiguous(), &self.slots);
            let start = all.len() - finishing;
            all[start..].sort_unstable_by_key(|number| slots[*number].place);
        }
    }

    /// Ends the oldest step: gives out its tokens and frees what is finished.
    pub(super) fn end_step(&mut self, progress: &mut impl Progress) {
        self.ended += 1;
        let flight = std::mem::replace(self.flight_mut(self.ended), Flight::NONE);
        let now = flight.end;
        if flight.measured > 0 {
            progress.token_gaps(now.since(self.ended_at), u64::from(flight.measured));
        }
        for _ in 0..flight.completing {
            let number = self.completing.pop_front().expect("as many as were counted");
            self.give_token(number, now, progress);
        }
        if !self.orphans.is_empty() {
            // Their gaps were counted with those of the step.
            for number in self.orphans.drain(..) {
                self.slots[number].generated += 1;
                self.slots[number].work.facts.last_token = now.into();
            }
        }
        self.ended_at = now;
        for _ in 0..flight.finishing {
            let number = self.finishing.pop_front().expect("as many as were counted");
            self.finish(number, now, progress);
        }
    }

    /// The token that ends a prefill: the first one, or the next after a preemption or a transfer.
    fn give_token(&mut self, number: u32, now: SimTime, progress: &mut impl Progress) {
        let slot = &mut self.slots[number];
        if slot.stage == Stage::Waiting {
            slot.generated += 1;
        }
        let facts = &mut slot.work.facts;
        match facts.last_token.get() {
            None => facts.first_token = now.into(),
            Some(before) if slot.work.measured => progress.token_gaps(now.since(before), 1),
            Some(_) => {}
        }
        facts.last_token = now.into();
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
            self.running.remove(&self.slots[number]);
        }
        let slot = &mut self.slots[number];
        slot.work.facts.last_token = now.into();
        progress.done(&slot.work);
        if slot.work.is_sent_on() {
            // One that was preempted has no blocks to keep.
            slot.stage = if waits { Stage::Waiting } else { Stage::Parked };
            self.parked.push(number);
        } else {
            self.give_back(number);
            self.slots.remove(number);
        }
    }
}
