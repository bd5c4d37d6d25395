//! Backends that one router chooses among, and that router.

use std::ops::Range;

use crate::cluster::BackendSpec;
use crate::rng::Stream;
use crate::router::{
    Algorithm, AlgorithmSpec, BackendView, CacheView, Decision, Needs, RejectReason, RequestView,
    RouteContext,
};
use crate::trace::{Chain, ONE_LEVEL, Path};
use crate::units::{BackendId, SimTime};
use crate::workload::Arriving;

use super::fleet::{Fleet, Followed};
use super::min_tree::MinTree;
use super::sim::Sink;

/// From this size on the router keeps an index of its counters.
const LARGE: usize = 32;

/// A range of backends and the router in front of them.
pub(super) struct Pool {
    range: Range<usize>,
    algorithm: Box<dyn Algorithm>,
    needs: Needs,
    common: CommonPrefix,
    rng: Stream,
    views: Vec<BackendView>,
    /// Requests sent to each and not known to have left. What an algorithm sees of it is kept
    /// apart, so that one that looks without need can't go unnoticed.
    inside: Vec<u32>,
    /// Backends with so many inside that they may be full, in order.
    crowded: Vec<usize>,
    /// Counters of backends that accept requests, where they are many.
    least: Option<MinTree>,
}

/// The block ids that every prompt seen so far begins with.
#[derive(Debug, Default)]
struct CommonPrefix(Option<Vec<u32>>);

impl CommonPrefix {
    /// Cuts the common ids to those of `chain` and returns the tokens they cover.
    fn narrow(&mut self, chain: &Chain<'_>) -> u32 {
        if chain.block_tokens == ONE_LEVEL {
            return 0;
        }
        let common = self.0.get_or_insert_with(|| chain.ids.to_vec());
        let equal = common.iter().zip(chain.ids).take_while(|(ours, theirs)| ours == theirs);
        let equal = equal.count();
        common.truncate(equal);
        let tokens = common.len() as u64 * u64::from(chain.block_tokens);
        u32::try_from(tokens).map_or(chain.shared_tokens, |tokens| tokens.min(chain.shared_tokens))
    }
}

/// The caches as they are, for one prompt.
struct TrueCaches<'a> {
    fleet: &'a Fleet,
    path: Path,
}

impl CacheView for TrueCaches<'_> {
    fn matched_tokens(&self, backend: BackendId) -> u32 {
        self.fleet.cached_tokens(backend, self.path)
    }
}

/// The caches for an algorithm that said it does not look at them.
struct Unseen;

impl CacheView for Unseen {
    fn matched_tokens(&self, _backend: BackendId) -> u32 {
        unreachable!("an algorithm looks at the caches and did not say so in needs()")
    }
}

/// A request at its router.
pub(super) struct Asking<'t> {
    pub(super) arriving: Arriving<'t>,
    pub(super) path: Path,
    pub(super) now: SimTime,
}

impl Pool {
    pub(super) fn new(
        spec: &AlgorithmSpec,
        range: Range<usize>,
        backends: &[BackendSpec],
        rng: Stream,
    ) -> Self {
        let algorithm = spec.build();
        let needs = algorithm.needs();
        let view = |index| BackendView {
            id: BackendId::at(index),
            outstanding: if needs.counters { 0 } else { u32::MAX },
            waiting: u32::MAX,
            kv_usage: f64::NAN,
            full: false,
            max_queue_depth: backends[index].max_queue_depth,
        };
        let len = range.len();
        let least = (needs.counters && len >= LARGE).then(|| {
            let mut tree = MinTree::new(len);
            (0..len).for_each(|index| tree.set(index, 0));
            tree
        });
        Self {
            views: range.clone().map(view).collect(),
            range,
            needs,
            algorithm,
            common: CommonPrefix::default(),
            rng,
            inside: vec![0; len],
            crowded: Vec::new(),
            least,
        }
    }

    /// What of the fleet must be followed for the algorithm.
    pub(super) fn followed(&self) -> Followed {
        match self.needs {
            Needs { cache: true, .. } => Followed::EndsAndCaches,
            Needs { counters: true, .. } => Followed::Ends,
            Needs { .. } => Followed::Nothing,
        }
    }

    /// Asks the algorithm where the request goes, and counts it as outstanding there.
    pub(super) fn route(
        &mut self,
        asking: &Asking<'_>,
        fleet: &mut Fleet,
        sink: &mut impl Sink,
    ) -> Decision {
        self.look(fleet, asking.now, sink);
        let Arriving { arrival, prompt_tokens, session, chain, .. } = asking.arriving;
        let request = RequestView {
            arrival,
            prompt_tokens,
            shared_tokens: chain.shared_tokens,
            common_tokens: if self.needs.cache { self.common.narrow(&chain) } else { 0 },
            session,
        };
        let caches = TrueCaches { fleet, path: asking.path };
        let cache: &dyn CacheView = if self.needs.cache { &caches } else { &Unseen };
        let mut context = RouteContext {
            now: asking.now,
            rng: &mut self.rng,
            cache,
            least_outstanding: self.least.as_ref().map(|tree| match tree.least() {
                u64::MAX => Decision::Reject(RejectReason::NoBackend),
                _ => Decision::To(BackendId::at(self.range.start + tree.first())),
            }),
        };
        let decision = self.algorithm.route(&request, &self.views, &mut context);
        if let Decision::To(backend) = decision {
            self.count(backend.index() - self.range.start, 1);
        }
        decision
    }

    /// Returns the indices of its backends.
    pub(super) fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Requests sent to a backend and not known to have left.
    pub(super) fn inside(&self, id: BackendId) -> u32 {
        self.inside[id.index() - self.range.start]
    }

    pub(super) fn diagnostics(&self) -> Vec<(&'static str, f64)> {
        self.algorithm.diagnostics()
    }

    /// Carries the fleet as far forward as the algorithm looks, and refreshes the views.
    fn look(&mut self, fleet: &mut Fleet, now: SimTime, sink: &mut impl Sink) {
        if self.needs.counters || self.needs.cache {
            fleet.catch_up(now, sink);
        }
        if self.needs.reports {
            for index in 0..self.views.len() {
                let id = self.views[index].id;
                fleet.advance(id, now, sink);
                let view = &mut self.views[index];
                view.waiting = fleet.waiting(id);
                view.kv_usage = fleet.kv_usage(id);
            }
        }
        self.take_left(fleet);
        if !self.crowded.is_empty() {
            self.look_at_queues(fleet, now, sink);
        }
    }

    /// Finds out which of the crowded are full: as of now, whatever the algorithm looks at.
    fn look_at_queues(&mut self, fleet: &mut Fleet, now: SimTime, sink: &mut impl Sink) {
        for index in &self.crowded {
            fleet.advance(self.views[*index].id, now, sink);
        }
        self.take_left(fleet);
        for place in 0..self.crowded.len() {
            let index = self.crowded[place];
            let view = &mut self.views[index];
            let full = fleet.waiting(view.id) >= view.max_queue_depth;
            if view.full != full {
                view.full = full;
                self.index(index);
            }
        }
    }

    fn take_left(&mut self, fleet: &mut Fleet) {
        let range = self.range();
        fleet.take_left(&range, |id, requests| {
            self.count(id.index() - range.start, -i64::from(requests));
        });
    }

    fn count(&mut self, index: usize, change: i64) {
        let before = self.inside[index];
        let after = u32::try_from(i64::from(before) + change);
        let after = after.expect("a request ends where it was sent, once");
        self.inside[index] = after;
        let crowds = self.views[index].max_queue_depth;
        if (before >= crowds) != (after >= crowds) {
            match self.crowded.binary_search(&index) {
                Ok(place) => {
                    self.crowded.remove(place);
                    self.views[index].full = false;
                }
                Err(place) => self.crowded.insert(place, index),
            }
        }
        if self.needs.counters {
            self.views[index].outstanding = after;
            self.index(index);
        }
    }

    fn index(&mut self, index: usize) {
        if let Some(tree) = &mut self.least {
            let number =
                if self.views[index].full { u64::MAX } else { u64::from(self.inside[index]) };
            tree.set(index, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_prefix_only_shrinks() {
        let mut common = CommonPrefix::default();
        let chain = |ids| Chain { ids, block_tokens: 10, shared_tokens: 25 };
        assert_eq!(common.narrow(&chain(&[1, 2, 3])), 25);
        assert_eq!(common.narrow(&chain(&[1, 2, 4])), 20);
        assert_eq!(common.narrow(&chain(&[1, 5, 6])), 10);
        assert_eq!(common.narrow(&chain(&[1, 2, 3])), 10);
        assert_eq!(
            common.narrow(&Chain { ids: &[7], block_tokens: ONE_LEVEL, shared_tokens: 9 }),
            0
        );
    }
}
