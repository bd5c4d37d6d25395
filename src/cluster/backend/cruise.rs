//! Many steps in one stride, while nobody comes or goes.

use crate::units::{SimDuration, SimTime};

use super::{Backend, HORIZON};
use crate::cluster::step::{DecodeLine, LONGEST_STEP_PS, SHORTEST_STEP_PS};
use crate::cluster::work::Progress;

/// A batch of which nothing changes from step to step but its contexts: the `i`-th step from now
/// takes `first + (i − 1) · growth`, in picoseconds.
#[derive(Clone, Copy, Debug)]
struct Stride {
    first: u64,
    growth: u64,
}

impl Stride {
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
    /// when nothing will.
    pub fn next_change(&mut self, with_cache: bool) -> SimTime {
        let Some(next) = self.next_event() else {
            return SimTime::MAX;
        };
        let next_flight = self.ended + 1;
        if self.wake_at.is_some() || !self.flight(next_flight).finishing.is_empty() {
            return next;
        }
        if !self.is_steady() {
            let safe = with_cache || self.composed == next_flight;
            return if safe { next } else { self.last_end };
        }
        let Some(first_end) = self.decodes.first_end(&self.slots) else {
            return next;
        };
        let steps = first_end - self.composed;
        let need = self.decodes.blocks_over(self.composed + 1, steps);
        let room = if with_cache {
            u64::from(self.cache.dead_head(u32::try_from(need).unwrap_or(u32::MAX)))
        } else {
            u64::from(self.cache.unheld())
        };
        match self.stride(steps) {
            Some(stride) if need <= room => {
                let end = u128::from(self.last_end.as_ps()) + stride.time(steps);
                u64::try_from(end).map_or(SimTime::MAX, SimTime::from_ps)
            }
            _ => next,
        }
    }

    /// Takes all steps that end before `until` and change nothing but contexts and blocks.
    /// Returns whether there were any.
    pub(super) fn cruise(&mut self, until: SimTime, progress: &mut impl Progress) -> bool {
        // Evictions are counted from the window on, so a stride must not cross its start.
        let until = match self.evictions_before {
            None if self.window.from > self.ended_at => until.min(self.window.from),
            _ => until,
        };
        let until = until.min(HORIZON);
        if until <= self.last_end || !self.is_steady() {
            return false;
        }
        let Some(first_end) = self.decodes.first_end(&self.slots) else {
            return false;
        };
        // The i-th step to end from now on is followed by the composition of the i-th to come.
        let behind = self.composed - self.ended;
        let most = first_end - self.composed;
        let Some(stride) = self.stride(most) else {
            return false;
        };
        let limit = until.since(self.last_end).as_ps();
        let further = stride.steps_within(limit, most.saturating_sub(behind));
        let (steps, blocks) = self.affordable((further + behind).min(most));
        if steps < 2 {
            return false;
        }
        self.cache.take(blocks);
        self.stride_on(stride, steps, progress);
        true
    }

    /// Whether all requests in flight just decode, and nobody can be admitted.
    fn is_steady(&self) -> bool {
        self.composed - self.ended == self.depth
            && self.decodes.count() > 0
            && self.wake_at.is_none()
            && self.prefilling.is_empty()
            && self.orphans.is_empty()
            && (self.blocked || self.waiting.is_empty())
            && self.flights.iter().all(|f| f.completing.is_empty() && f.finishing.is_empty())
    }

    /// The `most` steps after those in flight; none when one would have to be cut to its bounds.
    fn stride(&self, most: u64) -> Option<Stride> {
        let line: DecodeLine = self.step_model.decode_line(u64::from(self.decodes.count()));
        let context = self.decodes.context_at(self.composed + 1);
        let first = line.context_token_ps.checked_mul(context)?.checked_add(line.base_ps)?;
        let growth = line.context_token_ps.checked_mul(u64::from(self.decodes.count()))?;
        let last = growth.checked_mul(most)?.checked_add(first)?;
        let fits = first >= SHORTEST_STEP_PS && last <= LONGEST_STEP_PS;
        fits.then_some(Stride { first, growth })
    }

    /// As many of the next `steps` steps as there are blocks for, or fewer; and their blocks.
    fn affordable(&self, steps: u64) -> (u64, u32) {
        let mut steps = steps;
        loop {
            let blocks = self.decodes.blocks_over(self.composed + 1, steps);
            match u32::try_from(blocks) {
                Ok(blocks) if self.can_stride_over(blocks) => return (steps, blocks),
                _ => steps /= 2,
            }
        }
    }

    /// Whether there are so many blocks. Who listens to the cache must hear of an eviction at its
    /// step, so then none may take content that can be looked up.
    fn can_stride_over(&self, blocks: u32) -> bool {
        blocks <= self.cache.unheld()
            && (!self.cache.is_heard() || blocks == self.cache.dead_head(blocks))
    }

    /// Composes the next `steps` steps and ends as many.
    fn stride_on(&mut self, stride: Stride, steps: u64, progress: &mut impl Progress) {
        let behind = self.composed - self.ended;
        let end_of = |i: u64| {
            let ps = u64::try_from(stride.time(i)).expect("a stride ends before the horizon");
            SimDuration::from_ps(ps)
        };
        let measured = u64::from(self.decodes.measured());
        if measured > 0 {
            // Those in flight first; the strides after them grow evenly.
            let oldest = self.flight(self.ended + 1).end;
            progress.token_gaps(oldest.since(self.ended_at), measured);
            if behind == 2 {
                progress.token_gaps(self.last_end.since(oldest), measured);
            }
            let (first, growth) =
                (SimDuration::from_ps(stride.first), SimDuration::from_ps(stride.growth));
            if steps > behind {
                progress.token_gap_run(first, growth, steps - behind, measured);
            }
        }
        let start = self.last_end;
        self.last_end = start + end_of(steps);
        self.count_busy(start, self.last_end, steps);
        self.composed += steps;
        self.ended += steps;
        self.ended_at = start + end_of(steps - behind);
        let (last, newest) = (self.last_end, self.composed);
        let flights_measured = self.decodes.measured();
        if behind == 2 {
            let before = start + end_of(steps - 1);
            let flight = self.flight_mut(newest - 1);
            (flight.end, flight.measured) = (before, flights_measured);
        }
        let flight = self.flight_mut(newest);
        (flight.end, flight.measured) = (last, flights_measured);
        self.stop_decoding(newest);
    }
}
