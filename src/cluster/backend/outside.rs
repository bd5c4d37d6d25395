//! What comes from outside between steps, apart from requests: cancellations, interruptions, and
//! those who listen.

use crate::units::{RequestId, SimDuration, SimTime};

use super::decodes::Decodes;
use super::slots::{Running, Slots};
use super::steps::Flight;
use super::{Backend, HORIZON, Stage};
use crate::cluster::prefix_cache::CacheEvent;
use crate::cluster::work::{Left, Progress};

impl Backend {
    /// Carries out everything that happens before `at` and then the step that ends at it, if one
    /// does: all but an idle backend's start at `at`, which comes last within an instant. So
    /// whoever answers to the end of a request can have the answer arrive at the same instant,
    /// here or on another backend. Beyond the [`HORIZON`] no step ends.
    pub fn end_step_at(&mut self, at: SimTime, progress: &mut impl Progress) {
        self.advance(at, progress);
        if at > HORIZON {
            return;
        }
        if self.flight(self.ended + 1).end == at {
            self.end_step(progress);
            self.cache.set_time(at);
            self.schedule(at);
        }
    }

    /// Drops a request, wherever it stands, as vLLM does when a client goes away. Returns `None`
    /// if it is not here. The backend must have been advanced to `now`.
    ///
    /// Its blocks are free at once, and what they hold stays cached; steps in flight take their
    /// time, but give it no token. vLLM does this when the step that runs has ended, before it
    /// gives out that step's tokens: the same, as no block is taken in between.
    pub fn cancel(&mut self, request: RequestId, now: SimTime) -> Option<Left> {
        let number = self.number_of(request)?;
        let parked = self.parked.iter().position(|parked| *parked == number);
        let left = if parked.is_some() { self.left_parked(number) } else { self.left(number) };
        self.note_load(now);
        self.forget_in_flight(number);
        if let Some(at) = parked {
            self.parked.remove(at);
        } else if self.slots[number].stage == Stage::Waiting {
            self.waiting.retain(|waiting| *waiting != number);
        } else {
            self.stop_running(number);
        }
        self.give_back(number);
        self.slots.remove(number);
        self.blocked = false;
        self.wake_if_idle(now);
        Some(left)
    }

    /// Stops the engine at once, as a fault does. Steps in flight give nothing, the cache is
    /// empty, and all requests leave: those that ran in the order of their admission, then those
    /// that waited in the order of the queue, then those that were kept to be sent on in the order
    /// in which they were done. The backend must have been advanced to `now`.
    ///
    /// It is idle then and can be given requests: when it is up again is for others to know. Its
    /// next step is a first launch.
    pub fn interrupt(&mut self, now: SimTime) -> Vec<Left> {
        self.note_load(now);
        let unfinished = self.unfinished().map(|number| self.left(number));
        let parked = self.parked.iter().map(|number| self.left_parked(*number));
        let lost: Vec<Left> = unfinished.chain(parked).collect();
        // Busy time was counted to the ends of the steps in flight; the first may not have begun.
        let until = now.max(self.first_start).max(self.window.from);
        let not_run = self.last_end.saturating_since(until);
        self.stats.busy = SimDuration::from_ps(self.stats.busy.as_ps() - not_run.as_ps());
        self.cache.set_time(now);
        self.cache.clear();
        self.slots = Slots::default();
        self.waiting.clear();
        self.running = Running::default();
        self.prefilling.clear();
        self.decodes = Decodes::new(self.block_size, &self.step_model);
        self.parked.clear();
        self.orphans.clear();
        self.blocked = false;
        (self.composed, self.ended) = (0, 0);
        self.flights = [Flight::NONE; 2];
        self.completing.clear();
        self.finishing.clear();
        self.last_end = now;
        self.wake_at = SimTime::MAX;
        lost
    }

    /// Notes from now on what the prefix cache stores and evicts, for
    /// [`take_cache_events`](Self::take_cache_events).
    ///
    /// # Panics
    ///
    /// When the cache holds content already: who listens must hear of all of it.
    pub fn listen_to_cache(&mut self) {
        self.cache.listen();
    }

    /// Takes what the prefix cache stored and evicted since this was last asked, in the order of
    /// time. Nothing without [`listen_to_cache`](Self::listen_to_cache).
    pub fn take_cache_events(&mut self) -> impl Iterator<Item = CacheEvent> {
        self.cache.take_events()
    }

    fn number_of(&self, request: RequestId) -> Option<u32> {
        self.numbers().find(|number| self.slots[*number].work.request == request)
    }

    /// The slots of all requests: running, waiting and parked ones.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.unfinished().chain(self.parked.iter().copied())
    }

    /// The slots of those that run or wait.
    fn unfinished(&self) -> impl Iterator<Item = u32> {
        let running = (0..self.running.places()).filter_map(|place| self.running.at(place));
        let running = running.map(|(number, _)| number);
        running.chain(self.waiting.iter().copied())
    }

    /// What a request has when it leaves that is done here.
    fn left_parked(&self, number: u32) -> Left {
        let work = self.slots[number].work;
        Left { work, made_tokens: work.output_here() }
    }

    /// What a request has when it leaves while it runs or waits.
    fn left(&self, number: u32) -> Left {
        let slot = &self.slots[number];
        let mut work = slot.work;
        let decodes = matches!(slot.stage, Stage::Decoding | Stage::Finishing);
        if decodes && slot.first_step() <= self.ended {
            work.facts.last_token = self.ended_at.into();
            let made_tokens = slot.computed_at(self.ended) + 1 - work.prompt_tokens;
            return Left { work, made_tokens };
        }
        Left { work, made_tokens: slot.generated }
    }

    /// Takes a request out of the steps in flight, which take no less time for it.
    fn forget_in_flight(&mut self, number: u32) {
        let slot = &self.slots[number];
        let decodes = matches!(slot.stage, Stage::Decoding | Stage::Finishing);
        let steps = decodes.then(|| slot.first_step() + 1..=slot.last_step);
        let measured = u32::from(slot.work.measured);
        let orphan = self.orphans.contains(&number);
        let oldest = self.ended + 1;
        while let Some(at) = self.completing.iter().position(|other| *other == number) {
            self.completing.remove(at);
            let first = at < self.flight(oldest).completing as usize;
            self.flight_mut(if first { oldest } else { oldest + 1 }).completing -= 1;
        }
        while let Some(at) = self.finishing.iter().position(|other| *other == number) {
            self.finishing.remove(at);
            let first = at < self.flight(oldest).finishing as usize;
            self.flight_mut(if first { oldest } else { oldest + 1 }).finishing -= 1;
        }
        for step in oldest..=self.composed {
            let flight = self.flight_mut(step);
            let decodes = steps.as_ref().is_some_and(|steps| steps.contains(&step));
            if decodes || (orphan && step == oldest) {
                flight.measured -= measured;
            }
        }
        self.orphans.retain(|other| *other != number);
    }

    fn stop_running(&mut self, number: u32) {
        match self.slots[number].stage {
            Stage::Prefilling => self.prefilling.retain(|other| *other != number),
            Stage::Decoding => self.decodes.leave(number, &self.slots[number]),
            Stage::Finishing | Stage::Waiting | Stage::Parked => {}
        }
        self.running.remove(&self.slots[number]);
    }
}
