//! Many steps in one stride, while nobody comes or goes.

use crate::units::{SimDuration, SimTime};

use super::{Backend, Flight, within_horizon};
use crate::cluster::step::{DecodeLine, LONGEST_STEP_PS, SHORTEST_STEP_PS};
use crate::cluster::work::Progress;

/// So many waiting requests are looked at one by one.
const FEW_WAITING: usize = 4;

/// A batch of which nothing changes from step to step but its contexts: the `i`-th step from now
/// takes `first + (i − 1) · growth`, in picoseconds.
#[derive(Clone, Copy, Debug)]
struct Stride {
    first: u64,
    growth: u64,
}

impl Stride {
    /// Time of the step after so many, in picoseconds.
    fn step(self, before: u64) -> u64 {
        self.first + before * self.growth
    }

    /// Time of the first `steps` steps, in picoseconds.
    fn time(self, steps: u64) -> u128 {
        let n = u128::from(steps);
        let pairs = n * n.saturating_sub(1) / 2;
        n * u128::from(self.first) + pairs * u128::from(self.growth)
    }

    /// The most steps, up to `most`, that take less than `limit` picoseconds.
    fn steps_within(self, limit: u64, most: u64) -> u64 {
        if self.growth == 0 {
            return most.min(limit.saturating_sub(1) / self.first);
        }
        if self.time(most) < u128::from(limit) {
            return most;
        }
        let (a, b) = (self.first as f64, self.growth as f64);
        let (half, limit_f) = (a - b / 2.0, limit as f64);
        // The positive root of b/2 n² + (a − b/2) n = limit, in a form that b = 0 does not break.
        let root = 2.0 * limit_f / (half + (half * half + 2.0 * b * limit_f).sqrt());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a root between 0 and `most`, or next to them"
        )]
        let mut steps = (root as u64).min(most);
        while steps > 0 && self.time(steps) >= u128::from(limit) {
            steps -= 1;
        }
        while steps < most && self.time(steps + 1) < u128::from(limit) {
            steps += 1;
        }
        steps
    }
}

impl Backend {
    /// When something that others can see may happen here next, if nothing comes from outside: a
    /// request is done, or, `with_cache`, the cache changes. Never too late; [`SimTime::MAX`]
    /// when nothing will before the [horizon](super::HORIZON).
    pub fn next_change(&self, with_cache: bool) -> SimTime {
        let next = self.next_event();
        let first_launch = self.wake_at != SimTime::MAX;
        if next == SimTime::MAX || first_launch || self.flight(self.ended + 1).finishing > 0 {
            return next;
        }
        within_horizon(if with_cache { self.next_cache_change(next) } else { self.next_end() })
    }

    fn next_cache_change(&self, next: SimTime) -> SimTime {
        if !self.is_steady() {
            return next;
        }
        let steps = self.decodes.first_end() - self.composed;
        // Before the step that ends a request does so, all steps up to that one are composed, and
        // with two in flight the one after it.
        let composed = steps + self.depth - 1;
        let room = u64::from(self.cache.dead_head(self.most_blocks_over(composed)));
        if self.decodes.can_do_with(room, self.composed + 1, composed) {
            self.time_after(steps).unwrap_or(next)
        } else {
            next
        }
    }

    /// A request may be done then, and none before, unless the oldest step in flight ends one.
    fn next_end(&self) -> SimTime {
        // Whoever is not done by the steps in flight is done by a later one.
        let least = self.last_end;
        let known =
            self.finishing.is_empty() && self.prefilling.is_empty() && self.orphans.is_empty();
        if !known || self.decodes.count() == 0 || !self.step_model.grows_with_batch() {
            return least;
        }
        let mut steps = self.decodes.first_end() - self.composed;
        let mut need = 0;
        if !self.blocked {
            if self.waiting.len() > FEW_WAITING {
                return least;
            }
            // Whoever is admitted makes steps longer, and is not done before all its tokens came;
            // one of them may be in flight still.
            let in_flight = u32::from(!self.completing.is_empty());
            for number in &self.waiting {
                let slot = &self.slots[*number];
                let tokens = slot.work.output_here() - slot.generated - in_flight;
                steps = steps.min(u64::from(tokens.max(1)));
                need += u64::from(self.blocks_for(slot.work.tokens_at_end()));
            }
        }
        // Were somebody preempted, steps would be shorter.
        match u64::from(self.cache.unheld()).checked_sub(need) {
            Some(room) if self.decodes.can_do_with(room, self.composed + 1, steps) => {
                self.time_after(steps).unwrap_or(least)
            }
            _ => least,
        }
    }

    /// When the last of that many steps after those in flight ends, if nobody comes or goes.
    fn time_after(&self, steps: u64) -> Option<SimTime> {
        let end = u128::from(self.last_end.as_ps()) + self.stride(steps)?.time(steps);
        Some(u64::try_from(end).map_or(SimTime::MAX, SimTime::from_ps))
    }

    /// Takes all steps that end before `until` and change nothing but contexts and blocks.
    /// Returns whether there were any.
    pub(super) fn cruise(&mut self, until: SimTime, progress: &mut impl Progress) -> bool {
        if until <= self.last_end || !self.is_steady() {
            return false;
        }
        // Evictions are counted from the window on, so a stride must not cross its start.
        let until = match self.evictions_before {
            None if self.window.from > self.ended_at => until.min(self.window.from),
            _ => until,
        };
        if until <= self.last_end {
            return false;
        }
        // The i-th step to end from now on is followed by the composition of the i-th to come.
        let behind = self.composed - self.ended;
        let most = self.affordable(self.decodes.first_end() - self.composed);
        if most < 2 {
            return false;
        }
        let Some(stride) = self.stride(most) else {
            return false;
        };
        let limit = until.since(self.last_end).as_ps();
        let further = stride.steps_within(limit, most.saturating_sub(behind));
        let steps = (further + behind).min(most);
        if steps < 2 {
            return false;
        }
        let blocks = self.decodes.blocks_over(self.composed + 1, steps);
        self.cache.take(u32::try_from(blocks).expect("as many as there are"));
        self.stride_on(stride, steps, progress);
        true
    }

    /// Whether all requests in flight just decode, and nobody can be admitted.
    fn is_steady(&self) -> bool {
        self.completing.is_empty()
            && self.finishing.is_empty()
            && self.composed - self.ended == self.depth
            && self.decodes.count() > 0
            && self.wake_at == SimTime::MAX
            && self.prefilling.is_empty()
            && self.orphans.is_empty()
            && (self.blocked || self.waiting.is_empty())
    }

    /// The `most` steps after those in flight; none when one would have to be cut to its bounds.
    fn stride(&self, most: u64) -> Option<Stride> {
        let line: DecodeLine = self.step_model.decode_line(u64::from(self.decodes.count()));
        let context = self.decodes.context_at(self.composed + 1);
        let longest = self.decodes.longest_at(self.composed + 1);
        let first = line.context_token_ps.checked_mul(context)?.checked_add(line.base_ps)?;
        let first = line.longest_context_token_ps.checked_mul(longest)?.checked_add(first)?;
        let growth = line.context_token_ps.checked_mul(u64::from(self.decodes.count()))?;
        let growth = growth.checked_add(line.longest_context_token_ps)?;
        let last = growth.checked_mul(most)?.checked_add(first)?;
        let fits = first >= SHORTEST_STEP_PS && last <= LONGEST_STEP_PS;
        fits.then_some(Stride { first, growth })
    }

    /// How many of the next `most` steps there are blocks for. Who listens to the cache must hear
    /// of an eviction at its step, so then none may take content that can be looked up.
    fn affordable(&self, most: u64) -> u64 {
        let need = self.most_blocks_over(most);
        let room =
            if self.cache.is_heard() { self.cache.dead_head(need) } else { self.cache.unheld() };
        if need <= room {
            return most;
        }
        most.min(self.decodes.steps_within(self.composed + 1, room))
    }

    fn most_blocks_over(&self, steps: u64) -> u32 {
        u32::try_from(self.decodes.most_blocks_over(steps)).unwrap_or(u32::MAX)
    }

    /// Composes the next `steps` steps and ends as many.
    fn stride_on(&mut self, stride: Stride, steps: u64, progress: &mut impl Progress) {
        let behind = self.composed - self.ended;
        let measured = self.decodes.measured();
        if measured > 0 {
            self.tell_gaps(stride, steps, u64::from(measured), progress);
        }
        let start = self.last_end;
        let time = u64::try_from(stride.time(steps)).expect("a stride ends before the horizon");
        let last = start + SimDuration::from_ps(time);
        // The step before the last ends that much earlier, and so on.
        let mut end = last;
        self.flights = [Flight::NONE; 2];
        self.last_end = last;
        self.count_busy(start, last, steps);
        self.composed += steps;
        self.ended += steps;
        for i in 0..behind {
            *self.flight_mut(self.composed - i) = Flight { end, measured, ..Flight::NONE };
            end = SimTime::from_ps(end.as_ps() - stride.step(steps - 1 - i));
        }
        self.ended_at = end;
        self.stop_decoding(self.composed);
    }

    /// Tells the gaps of the next `steps` steps to end: those in flight first.
    fn tell_gaps(&self, stride: Stride, steps: u64, measured: u64, progress: &mut impl Progress) {
        let behind = self.composed - self.ended;
        let oldest = self.flight(self.ended + 1).end;
        let first = oldest.since(self.ended_at);
        let (growth, to_come) =
            (SimDuration::from_ps(stride.growth), SimDuration::from_ps(stride.first));
        let evenly = match behind {
            2 => {
                let second = self.last_end.since(oldest);
                first + growth == second && second + growth == to_come
            }
            _ => first + growth == to_come,
        };
        if evenly {
            // The same batch as the steps after them.
            progress.token_gap_run(first, growth, steps, measured);
            return;
        }
        progress.token_gaps(first, measured);
        if behind == 2 {
            progress.token_gaps(self.last_end.since(oldest), measured);
        }
        if steps > behind {
            progress.token_gap_run(to_come, growth, steps - behind, measured);
        }
    }
}
