//! Choosing what the next step computes, and giving it blocks.

use crate::units::SimTime;

use super::{Backend, Stage, Turn};
use crate::cluster::prefix_cache::OwnBlocks;
use crate::cluster::step::BatchShape;

impl Backend {
    /// Composes the next step. An empty shape means that there is nothing to run.
    pub(super) fn compose(&mut self, now: SimTime) -> BatchShape {
        let step = self.composed + 1;
        let mut shape = BatchShape::default();
        let mut budget = self.max_batch_tokens;
        if !self.continue_running(step, &mut budget, &mut shape) {
            self.admit_waiting(now, &mut budget, &mut shape);
        }
        let decodes = u64::from(self.decodes.count());
        if decodes > 0 {
            shape.decodes += decodes;
            shape.context_tokens += self.decodes.context_at(step);
            let longest = self.decodes.longest_at(step);
            shape.longest_context = shape.longest_context.max(longest);
        }
        shape
    }

    /// Running requests first, in order. Where blocks lack, the last of them gives way. Returns
    /// whether one did.
    ///
    /// A request is never kept out by the budget: those after it that decode were admitted into a
    /// step in which it took no less than now, and the budget is as large as the batch.
    fn continue_running(&mut self, step: u64, budget: &mut u32, shape: &mut BatchShape) -> bool {
        let decodes = self.decodes.count();
        let need = self.decodes.blocks_at(step);
        match *self.prefilling.as_slice() {
            [] if need <= self.cache.unheld() => {
                self.cache.take(need);
                *budget -= decodes;
                false
            }
            [last] if self.running.last() == Some(last) => {
                let tokens = self.next_chunk(last, *budget - decodes);
                let missing = self.blocks_missing(last, tokens);
                if need + missing > self.cache.unheld() {
                    return self.continue_one_by_one(step, budget, shape);
                }
                self.cache.take(need);
                *budget -= decodes;
                self.prefilling.clear();
                self.prefill(last, tokens, missing, budget, shape);
                false
            }
            _ => self.continue_one_by_one(step, budget, shape),
        }
    }

    /// The same, request by request: prefills among decodes, or too few blocks for all.
    fn continue_one_by_one(&mut self, step: u64, budget: &mut u32, shape: &mut BatchShape) -> bool {
        if self.prefilling.iter().all(|number| self.running.last() == Some(*number)) {
            self.continue_with_fewer(step, budget);
            return true;
        }
        let mut preempted = false;
        let mut place = 0;
        let phase = self.decodes.phase(step);
        // Blocks for decodes, taken together.
        let mut owed = 0;
        while place < self.running.places() {
            let (number, turn) = match self.running.at(place) {
                None | Some((_, Turn::Nothing)) => {
                    place += 1;
                    continue;
                }
                Some(turn) => turn,
            };
            let (tokens, missing) = match turn {
                Turn::Prefill => {
                    let tokens = self.next_chunk(number, *budget);
                    (tokens, self.blocks_missing(number, tokens))
                }
                Turn::Decode(takes_block) => (1, u32::from(takes_block == phase)),
                Turn::Nothing => (0, 0),
            };
            while missing + owed > self.cache.unheld() {
                self.cache.take(std::mem::take(&mut owed));
                let victim = self.running.last().expect("the one that needs blocks runs");
                self.preempt(victim);
                preempted = true;
                if victim == number {
                    return true;
                }
            }
            if turn == Turn::Prefill {
                self.cache.take(std::mem::take(&mut owed));
                self.prefilling.retain(|other| *other != number);
                self.prefill(number, tokens, missing, budget, shape);
            } else {
                owed += missing;
                *budget -= tokens;
            }
            place += 1;
        }
        self.cache.take(owed);
        preempted
    }

    /// Where blocks lack and nobody prefills but the last: those who give way are the last ones in
    /// any case, so what each of the others takes need not be looked at.
    fn continue_with_fewer(&mut self, step: u64, budget: &mut u32) {
        while let Some(victim) = self.running.last() {
            self.preempt(victim);
            if self.decodes.blocks_at(step) <= self.cache.unheld() {
                break;
            }
        }
        self.cache.take(self.decodes.blocks_at(step));
        *budget -= self.decodes.count();
    }

    /// Then waiting requests, first come first served, none overtaken: one is admitted when the
    /// blocks of all its known tokens are there (vLLM's full input reserve).
    fn admit_waiting(&mut self, now: SimTime, budget: &mut u32, shape: &mut BatchShape) {
        while *budget > 0 && !self.blocked {
            let Some(&number) = self.waiting.front() else {
                break;
            };
            self.blocked = self.running.len() >= self.max_batch_size;
            if self.blocked || !self.admit(number, now) {
                break;
            }
            let tokens = self.next_chunk(number, *budget);
            // Those that are there are all cached, whatever it has of computed tokens.
            let slot = &self.slots[number];
            let missing = self.blocks_for(slot.computed + tokens) - slot.registered_blocks;
            self.prefill(number, tokens, missing, budget, shape);
        }
    }

    /// Admits the first of the queue if its blocks are there.
    fn admit(&mut self, number: u32, now: SimTime) -> bool {
        let slot = &self.slots[number];
        let (known, path) = (slot.known(), slot.work.path);
        // The last known token is always computed.
        let most = self.block_size.whole(known - 1);
        let hit = self.cache.hit(&self.segments, path, &slot.holding, most);
        let missing = self.blocks_for(known) - hit.blocks;
        if missing + hit.unheld > self.cache.unheld() {
            self.blocked = true;
            return false;
        }
        self.waiting.pop_front();
        let slot = &mut self.slots[number];
        if hit.blocks > 0 {
            self.cache.hold(&self.segments, path, hit.blocks, &mut slot.holding);
        }
        let cached_tokens = hit.blocks * self.block_size.tokens();
        slot.stage = Stage::Prefilling;
        slot.registered_blocks = hit.blocks;
        let sent = if slot.delivered { slot.work.prompt_tokens } else { 0 };
        slot.computed = cached_tokens.max(sent);
        let facts = &mut slot.work.facts;
        if facts.scheduled.get().is_none() {
            facts.scheduled = now.into();
            facts.cached_tokens = cached_tokens;
        }
        self.running.push(number, &mut self.slots);
        true
    }

    /// Tokens that a prefilling request computes next.
    fn next_chunk(&self, number: u32, budget: u32) -> u32 {
        let slot = &self.slots[number];
        (slot.known() - slot.computed).min(budget).min(self.long_prefill_tokens)
    }

    /// Blocks that a prefilling request needs for that many more tokens after those of a step.
    fn blocks_missing(&self, number: u32, tokens: u32) -> u32 {
        let slot = &self.slots[number];
        self.blocks_for(slot.computed + tokens) - self.blocks_for(slot.computed)
    }

    /// Computes the next tokens of a prefill: takes the missing blocks and tells the cache of those
    /// that are full, as soon as they are scheduled.
    fn prefill(
        &mut self,
        number: u32,
        tokens: u32,
        missing: u32,
        budget: &mut u32,
        shape: &mut BatchShape,
    ) {
        self.cache.take(missing);
        *budget -= tokens;
        let slot = &mut self.slots[number];
        let before = u64::from(slot.computed);
        slot.computed += tokens;
        let full = self.block_size.whole(slot.computed);
        let registered = slot.registered_blocks;
        if full > registered {
            let path = slot.work.path;
            self.cache.register(&self.segments, path, registered..full, &mut slot.holding);
            slot.registered_blocks = full;
            // More of what the first of the queue shares may be there now.
            self.blocked = false;
        }
        let tokens = u64::from(tokens);
        if tokens == 1 && before > 0 {
            shape.decodes += 1;
            shape.context_tokens += before + 1;
            shape.longest_context = shape.longest_context.max(before + 1);
        } else {
            shape.prefill_tokens += tokens;
            shape.attention_halves += tokens * (2 * before + tokens);
        }
        if slot.computed >= slot.known() {
            self.completing.push_back(number);
            self.flight_mut(self.composed + 1).completing += 1;
        } else {
            self.prefilling.push(number);
        }
    }

    /// Takes a running request's blocks and puts it at the front of the queue.
    fn preempt(&mut self, number: u32) {
        let stage = self.slots[number].stage;
        if stage == Stage::Prefilling {
            self.prefilling.retain(|other| *other != number);
        }
        if stage == Stage::Decoding {
            self.decodes.leave(number, &self.slots[number]);
        }
        self.running.remove(&self.slots[number]);
        let own = self.own_blocks(number);
        if stage != Stage::Prefilling {
            self.count_tokens(number);
        }
        let slot = &mut self.slots[number];
        self.cache.preempt(&mut slot.holding, own);
        slot.stage = Stage::Waiting;
        slot.computed = 0;
        slot.registered_blocks = 0;
        slot.delivered = false;
        slot.work.facts.preemptions += 1;
        self.waiting.push_front(number);
        self.blocked = false;
    }

    /// Notes how many tokens a request that is preempted has, and whether one is still to come.
    fn count_tokens(&mut self, number: u32) {
        let (ended, in_flight) = (self.ended, self.composed > self.ended);
        let slot = &mut self.slots[number];
        if slot.first_step() <= ended {
            slot.generated = slot.computed_at(ended) + 1 - slot.work.prompt_tokens;
            slot.work.facts.last_token = self.ended_at.into();
            if in_flight {
                self.orphans.push(number);
            }
        }
    }

    /// Gives back the blocks of a request that is done.
    pub(super) fn give_back(&mut self, number: u32) {
        if self.slots[number].stage == Stage::Waiting {
            // It has no blocks, but those it had may still have its name.
            let holding = std::mem::take(&mut self.slots[number].holding);
            self.cache.release(holding, OwnBlocks::default());
            return;
        }
        let own = self.own_blocks(number);
        let holding = std::mem::take(&mut self.slots[number].holding);
        self.cache.release(holding, own);
    }

    /// The blocks of a running request beyond those it shares.
    ///
    /// A generated block becomes cached content once its last token is known: with two steps in
    /// flight the token of the step before is not.
    fn own_blocks(&mut self, number: u32) -> OwnBlocks {
        let slot = &mut self.slots[number];
        let registered = slot.registered_blocks;
        let (held, full) = if slot.stage == Stage::Prefilling {
            (self.block_size.needed(slot.computed), registered)
        } else {
            let computed = slot.computed_at(slot.last_step.min(self.composed));
            let known = computed - u32::from(self.depth == 2);
            (self.block_size.needed(computed), self.block_size.whole(known).max(registered))
        };
        let path = slot.work.path;
        if slot.holding.names_own() && full > registered {
            self.cache.register(&self.segments, path, registered..full, &mut slot.holding);
        }
        let shared = full.min(path.blocks);
        OwnBlocks { full: full - shared, open: held - full }
    }
}
