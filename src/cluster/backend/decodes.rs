//! The requests that decode: what a step needs to know of them, without visiting them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::block_size::BlockSize;
use super::slots::{Slot, Slots, Stage};

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
    /// Last step, order of admission and slot, packed in this order for one comparison. Entries of
    /// requests that were preempted since are stale.
    ends: BinaryHeap<Reverse<u128>>,
    /// The earliest last step, while it is known without a look at the heap.
    first_end: Option<u64>,
    /// Base, order of admission and slot, packed like `ends`, where the step time depends on the
    /// longest context. Entries of requests that have left are stale.
    longest: Option<BinaryHeap<u128>>,
}

/// Stale entries of `longest` that are put up with, beyond as many as there are members.
const STALE: usize = 64;

impl Decodes {
    pub(super) fn new(block_size: BlockSize, with_longest: bool) -> Self {
        Self {
            count: 0,
            measured: 0,
            sum_base: 0,
            bins: vec![0; block_size.tokens() as usize],
            block_size,
            ends: BinaryHeap::new(),
            first_end: None,
            longest: with_longest.then(BinaryHeap::new),
        }
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// How many of them are measured.
    pub(super) fn measured(&self) -> u32 {
        self.measured
    }

    /// Sum of their contexts in step `step`, the new tokens included.
    pub(super) fn context_at(&self, step: u64) -> u64 {
        let along = i64::try_from(u64::from(self.count) * step).expect("tokens of a run");
        u64::try_from(self.sum_base + along).expect("contexts are not negative")
    }

    /// The longest context in step `step`, the new token included; 0 when nobody asks for it.
    pub(super) fn longest_at(&mut self, step: u64, slots: &Slots) -> u64 {
        let Some(longest) = &mut self.longest else {
            return 0;
        };
        let is_member = |entry: u128| {
            let (_, order, number) = unpacked(entry);
            let slot = &slots[number];
            slot.stage == Stage::Decoding && slot.order == order
        };
        if longest.len() > 2 * self.count as usize + STALE {
            longest.retain(|entry| is_member(*entry));
        }
        while let Some(entry) = longest.peek() {
            if is_member(*entry) {
                let (base, _, _) = unpacked(*entry);
                return base.wrapping_sub(BASE_ZERO).wrapping_add(step);
            }
            longest.pop();
        }
        0
    }

    pub(super) fn join(&mut self, number: u32, slot: &Slot) {
        self.count += 1;
        self.measured += u32::from(slot.work.measured);
        self.sum_base += slot.base;
        let bin = self.bin(slot.base);
        self.bins[bin] += 1;
        self.first_end = match self.first_end {
            None if self.count == 1 => Some(slot.last_step),
            first => first.map(|first| first.min(slot.last_step)),
        };
        self.ends.push(Reverse(packed(slot.last_step, slot.order, number)));
        if let Some(longest) = &mut self.longest {
            let base = slot.base.cast_unsigned().wrapping_add(BASE_ZERO);
            longest.push(packed(base, slot.order, number));
        }
    }

    pub(super) fn leave(&mut self, slot: &Slot) {
        self.count -= 1;
        self.measured -= u32::from(slot.work.measured);
        self.sum_base -= slot.base;
        let bin = self.bin(slot.base);
        self.bins[bin] -= 1;
        if self.first_end == Some(slot.last_step) {
            self.first_end = None;
        }
    }

    /// The earliest last step of a member.
    pub(super) fn first_end(&mut self, slots: &Slots) -> Option<u64> {
        if self.first_end.is_none() && self.count > 0 {
            self.first_end = self.look_up_first_end(slots);
        }
        self.first_end
    }

    fn look_up_first_end(&mut self, slots: &Slots) -> Option<u64> {
        while let Some(Reverse(end)) = self.ends.peek() {
            let (step, order, number) = unpacked(*end);
            let slot = &slots[number];
            if slot.stage == Stage::Decoding && slot.order == order {
                return Some(step);
            }
            self.ends.pop();
        }
        None
    }

    /// Takes out a member whose last step is `step`, in the order of admission.
    pub(super) fn pop_end(&mut self, step: u64, slots: &Slots) -> Option<u32> {
        if self.first_end(slots)? > step {
            return None;
        }
        // The first of the heap may be stale still: what is known was known without it.
        self.look_up_first_end(slots)?;
        let (_, _, number) = unpacked(self.ends.pop()?.0);
        self.leave(&slots[number]);
        Some(number)
    }

    /// Blocks that the members need for step `step`.
    pub(super) fn blocks_at(&self, step: u64) -> u32 {
        self.bins[self.phase(step)]
    }

    /// Blocks that they need for the `steps` steps from `step` on.
    pub(super) fn blocks_over(&self, step: u64, steps: u64) -> u64 {
        let size = self.bins.len();
        let (whole, rest) = self.block_size.split(steps);
        let phase = self.phase(step);
        let first = &self.bins[phase..size.min(phase + rest)];
        let wrapped = &self.bins[..(phase + rest).saturating_sub(size)];
        let part: u64 = first.iter().chain(wrapped).map(|count| u64::from(*count)).sum();
        whole * u64::from(self.count) + part
    }

    /// Whether a member needs a block for step `step`.
    pub(super) fn needs_block(&self, slot: &Slot, step: u64) -> bool {
        self.bin(slot.base) == self.phase(step)
    }

    fn bin(&self, base: i64) -> usize {
        self.block_size.minus_modulo(base)
    }

    fn phase(&self, step: u64) -> usize {
        self.block_size.split(step - 1).1
    }
}

/// Bases are negative where a request joined late: added to them, it keeps their order.
const BASE_ZERO: u64 = 1 << 63;

fn packed(step: u64, order: u32, number: u32) -> u128 {
    u128::from(step) << 64 | u128::from(order) << 32 | u128::from(number)
}

#[expect(clippy::cast_possible_truncation, reason = "each part is cut out of the whole")]
fn unpacked(end: u128) -> (u64, u32, u32) {
    ((end >> 64) as u64, (end >> 32) as u32, end as u32)
}
