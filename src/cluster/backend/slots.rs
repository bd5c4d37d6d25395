//! The requests of one backend: where each stands, and the order of the running ones.

use crate::cluster::prefix_cache::Holding;
use crate::cluster::work::Work;

const NONE: u32 = u32::MAX;

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// In the queue: not yet admitted, or preempted.
    Waiting,
    /// Admitted; some of its known tokens are not computed.
    Prefilling,
    /// In each step from now on.
    Decoding,
    /// Its last step is in flight.
    Finishing,
    /// Done here; its KV is kept until it is sent on.
    Parked,
}

/// The progress of a request. Counts are tokens unless they say blocks.
///
/// While a request decodes, nothing of it is touched: its step number says how far it is. Step `s`
/// brings it to `base + s` computed tokens.
///
/// A large fleet waits for memory, so this fills two lines of the processor's cache and no more.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Slot {
    pub(super) work: Work,
    pub(super) stage: Stage,
    /// Place in [`Running`].
    pub(super) place: u32,
    /// Decoding and finishing: the step that gives its last token here.
    pub(super) last_step: u64,
    /// Output that is known while it waits, and was when it was admitted.
    pub(super) generated: u32,
    /// Prefilling: computed so far.
    pub(super) computed: u32,
    /// Leading blocks that became cached content while it prefilled.
    pub(super) registered_blocks: u32,
    /// Whether the KV of the prompt stands ready from another backend.
    pub(super) delivered: bool,
    pub(super) holding: Holding,
}

const _: () = assert!(size_of::<Slot>() == 128, "a slot is two lines");

impl Slot {
    pub(super) fn new(work: &Work) -> Self {
        Self {
            generated: work.delivered_tokens,
            delivered: work.delivered_tokens > 0,
            work: *work,
            stage: Stage::Waiting,
            place: NONE,
            last_step: 0,
            computed: 0,
            registered_blocks: 0,
            holding: Holding::default(),
        }
    }

    /// Known tokens of a request that waits, and those with which it was admitted: its prefill
    /// ends there.
    pub(super) fn known(&self) -> u32 {
        self.work.prompt_tokens + self.generated
    }

    /// Decoding and finishing: computed tokens less the number of the step.
    pub(super) fn base(&self) -> i64 {
        let last = i64::try_from(self.last_step).expect("steps are counted from 1");
        i64::from(self.work.tokens_at_end()) - last
    }

    /// Decoding and finishing: the step that completed its prefill.
    pub(super) fn first_step(&self) -> u64 {
        self.last_step - u64::from(self.work.tokens_at_end() - self.known())
    }

    /// Decoding and finishing: computed tokens once step `step` is composed.
    pub(super) fn computed_at(&self, step: u64) -> u32 {
        let tokens = self.base() + i64::try_from(step).expect("steps are counted from 1");
        u32::try_from(tokens).expect("a context is below 2³² tokens")
    }
}

/// Slots by number; those of requests that are gone are used again.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Slots {
    #[inline]
    pub(super) fn add(&mut self, work: &Work) -> u32 {
        let slot = Slot::new(work);
        match self.free.pop() {
            Some(number) => {
                self.slots[number as usize] = slot;
                number
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).expect("fewer requests than ids")
            }
        }
    }

    pub(super) fn remove(&mut self, number: u32) {
        self.free.push(number);
    }
}

impl std::ops::Index<u32> for Slots {
    type Output = Slot;

    fn index(&self, number: u32) -> &Slot {
        &self.slots[number as usize]
    }
}

impl std::ops::IndexMut<u32> for Slots {
    fn index_mut(&mut self, number: u32) -> &mut Slot {
        &mut self.slots[number as usize]
    }
}

/// What a running request wants of the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// To compute more of its known tokens.
    Prefill,
    /// A token, and a block when the step is of this phase (see [`super::decodes`]).
    Decode(u32),
    /// Nothing: its last step is in flight.
    Nothing,
}

/// The running requests in the order of their admission. Whoever leaves from the middle leaves a
/// gap, so that leaving costs the same from everywhere.
#[derive(Debug, Default)]
pub(super) struct Running {
    places: Vec<Place>,
    len: u32,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// `NONE` for a gap.
    slot: u32,
    turn: Turn,
}

impl Running {
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Places to go through with [`at`](Self::at).
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    #[inline]
    pub(super) fn at(&self, place: usize) -> Option<(u32, Turn)> {
        let place = self.places.get(place)?;
        (place.slot != NONE).then_some((place.slot, place.turn))
    }

    pub(super) fn last(&self) -> Option<u32> {
        self.places.last().map(|place| place.slot)
    }

    #[inline]
    pub(super) fn push(&mut self, slot: u32, slots: &mut Slots) {
        if self.places.len() > 2 * self.len as usize + 16 {
            self.close_gaps(slots);
        }
        slots[slot].place = u32::try_from(self.places.len()).expect("fewer gaps than requests");
        self.places.push(Place { slot, turn: Turn::Prefill });
        self.len += 1;
    }

    #[inline]
    pub(super) fn set_turn(&mut self, slot: &Slot, turn: Turn) {
        self.places[slot.place as usize].turn = turn;
    }

    pub(super) fn remove(&mut self, slot: &Slot) {
        self.places[slot.place as usize].slot = NONE;
        self.len -= 1;
        while self.places.last().is_some_and(|place| place.slot == NONE) {
            self.places.pop();
        }
    }

    fn close_gaps(&mut self, slots: &mut Slots) {
        self.places.retain(|place| place.slot != NONE);
        for (number, place) in (0..).zip(&self.places) {
            slots[place.slot].place = number;
        }
    }
}
