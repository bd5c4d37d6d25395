//! The requests that decode: what a step needs to know of them, without visiting them.

use std::collections::BTreeSet;

use super::block_size::BlockSize;
use super::ends::{End, Ends};
use super::slots::{Slot, Slots};
use crate::cluster::step::StepModel;

/// All requests that are in the next step for one token each.
///
/// Step `s` brings a member to `base + s` tokens, so the step's contexts are `Σ base + count · s`
/// in sum. A member takes a new block when the tokens before the step fill its blocks: when
/// `base + s − 1` is a multiple of the block size. `bins` counts members by `−base` modulo it.
#[derive(Debug)]
pub(super) struct Decodes {
    count: u32,
    measured: u32,
    sum_base: i64,
    bins: Vec<u32>,
    block_size: BlockSize,
    ends: Ends,
    /// Base and slot of each, where the step time depends on the longest context.
    longest: Option<BTreeSet<(i64, u32)>>,
}

/// Where block sizes are small all bins are looked at.
const FEW_BINS: u32 = 32;

impl Decodes {
    pub(super) fn new(block_size: BlockSize, step_model: &StepModel) -> Self {
        let asks_for_longest = step_model.asks_for_longest_context();
        Self {
            count: 0,
            measured: 0,
            sum_base: 0,
            bins: vec![0; block_size.tokens() as usize],
            block_size,
            ends: Ends::new(),
            longest: asks_for_longest.then(BTreeSet::new),
        }
    }

    #[inline]
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// How many of them are measured.
    #[inline]
    pub(super) fn measured(&self) -> u32 {
        self.measured
    }

    /// Sum of their contexts in step `step`, the new tokens included.
    #[inline]
    pub(super) fn context_at(&self, step: u64) -> u64 {
        let along = i64::try_from(u64::from(self.count) * step).expect("tokens of a run");
        u64::try_from(self.sum_base + along).expect("contexts are not negative")
    }

    /// The longest context in step `step`, the new token included; 0 when nobody asks for it.
    #[inline]
    pub(super) fn longest_at(&self, step: u64) -> u64 {
        let longest = self.longest.as_ref().and_then(BTreeSet::last);
        longest.map_or(0, |(base, _)| {
            step.checked_add_signed(*base).expect("contexts are not negative")
        })
    }

    /// A request joins whose prefill step `step` completes.
    /// Returns the phase of the steps in which it takes a block.
    #[inline]
    pub(super) fn join(&mut self, number: u32, slot: &Slot, step: u64) -> u32 {
        self.count += 1;
        self.measured += u32::from(slot.work.measured);
        self.sum_base += slot.base();
        let bin = self.block_size.minus_modulo(slot.base());
        self.bins[bin as usize] += 1;
        self.ends.add(End { step: slot.last_step, slot: number }, step);
        if let Some(longest) = &mut self.longest {
            longest.insert((slot.base(), number));
        }
        bin
    }

    /// A request leaves that is preempted.
    pub(super) fn leave(&mut self, number: u32, slot: &Slot) {
        self.ends.remove(End { step: slot.last_step, slot: number });
        self.forget(number, slot);
    }

    /// The earliest last step of a member; `u64::MAX` when there is none.
    #[inline]
    pub(super) fn first_end(&self) -> u64 {
        self.ends.first()
    }

    /// Takes out a member whose last step is `step`, the earliest.
    #[inline]
    pub(super) fn pop_end(&mut self, step: u64, slots: &Slots) -> Option<u32> {
        let number = self.ends.pop(step)?;
        self.forget(number, &slots[number]);
        Some(number)
    }

    #[inline]
    fn forget(&mut self, number: u32, slot: &Slot) {
        self.count -= 1;
        self.measured -= u32::from(slot.work.measured);
        self.sum_base -= slot.base();
        let bin = self.block_size.minus_modulo(slot.base());
        self.bins[bin as usize] -= 1;
        if let Some(longest) = &mut self.longest {
            longest.remove(&(slot.base(), number));
        }
    }

    /// Blocks that the members need for step `step`.
    #[inline]
    pub(super) fn blocks_at(&self, step: u64) -> u32 {
        self.bins[self.phase(step) as usize]
    }

    /// No fewer blocks than they need for that many steps, whichever these are.
    #[inline]
    pub(super) fn most_blocks_over(&self, steps: u64) -> u64 {
        (self.block_size.split(steps).0 + 1) * u64::from(self.count)
    }

    /// Whether so many blocks do for the `steps` steps from `step` on.
    #[inline]
    pub(super) fn can_do_with(&self, blocks: u64, step: u64, steps: u64) -> bool {
        self.most_blocks_over(steps) <= blocks || self.blocks_over(step, steps) <= blocks
    }

    /// How many steps from `step` on so many blocks do for. There must be a member.
    pub(super) fn steps_within(&self, step: u64, blocks: u32) -> u64 {
        let (whole, mut left) = (blocks / self.count, blocks % self.count);
        let (before, after) = self.bins.split_at(self.phase(step) as usize);
        let enough = |bin: &&u32| {
            let rest = left.checked_sub(**bin);
            left = rest.unwrap_or(left);
            rest.is_some()
        };
        let part = after.iter().chain(before).take_while(enough).count() as u64;
        u64::from(whole) * u64::from(self.block_size.tokens()) + part
    }

    /// Blocks that they need for the `steps` steps from `step` on.
    pub(super) fn blocks_over(&self, step: u64, steps: u64) -> u64 {
        let (whole, rest) = self.block_size.split(steps);
        let (size, phase) = (self.block_size.tokens(), self.phase(step));
        // No sum is above `count`, so nothing wraps and the compiler may add many at once.
        let part = if size <= FEW_BINS {
            // All of them, so that the processor knows how often it goes round.
            (0..size).zip(&self.bins).fold(0_u32, |sum, (bin, count)| {
                let along = bin.wrapping_sub(phase);
                let along = along.min(along.wrapping_add(size));
                sum.wrapping_add(if along < rest { *count } else { 0 })
            })
        } else {
            let sum = |bins: &[u32]| bins.iter().fold(0_u32, |sum, bin| sum.wrapping_add(*bin));
            let (size, phase, rest) = (size as usize, phase as usize, rest as usize);
            let wrapped = sum(&self.bins[..(phase + rest).saturating_sub(size)]);
            sum(&self.bins[phase..size.min(phase + rest)]).wrapping_add(wrapped)
        };
        whole * u64::from(self.count) + u64::from(part)
    }

    /// Where step `step` is in the blocks of those whose `base` is 0.
    #[inline]
    pub(super) fn phase(&self, step: u64) -> u32 {
        self.block_size.split(step - 1).1
    }
}
