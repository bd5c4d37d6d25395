//! Backends that one router chooses among, and that router.

use std::ops::Range;

use crate::cluster::BackendSpec;
use crate::rng::Stream;
use crate::router::{
    Algorithm, AlgorithmSpec, BackendView, CacheView, Decision, RequestView, RouteContext,
};
use crate::trace::{Chain, ONE_LEVEL, Path, Segments, Trace};
use crate::units::{BackendId, RequestId, SimTime};

use super::backend::Backend;

/// A range of backends and the router in front of them.
pub(super) struct Pool {
    first: usize,
    algorithm: Box<dyn Algorithm>,
    needs_cache: bool,
    common: CommonPrefix,
    rng: Stream,
    /// Reports are refreshed at each decision; `outstanding` is the router's own count.
    views: Vec<BackendView>,
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
    backends: &'a [Backend],
    path: Path,
}

impl CacheView for TrueCaches<'_> {
    fn matched_tokens(&self, backend: BackendId) -> u32 {
        self.backends[backend.index()].cached_tokens(self.path)
    }
}

/// The caches for an algorithm that said it does not look at them.
struct Unseen;

impl CacheView for Unseen {
    fn matched_tokens(&self, _backend: BackendId) -> u32 {
        unreachable!("an algorithm looks at the caches and did not say so in needs()")
    }
}

impl Pool {
    pub(super) fn new(
        spec: &AlgorithmSpec,
        range: Range<usize>,
        backends: &[BackendSpec],
        rng: Stream,
    ) -> Self {
        let algorithm = spec.build();
        let view = |index| BackendView {
            id: BackendId::at(index),
            outstanding: 0,
            waiting: 0,
            kv_usage: 0.0,
            full: false,
            max_queue_depth: backends[index].max_queue_depth,
        };
        Self {
            first: range.start,
            needs_cache: algorithm.needs().cache,
            common: CommonPrefix::default(),
            algorithm,
            rng,
            views: range.map(view).collect(),
        }
    }

    /// Asks the algorithm where the request goes, and counts it as outstanding there.
    pub(super) fn route(
        &mut self,
        id: RequestId,
        now: SimTime,
        trace: &Trace,
        segments: &Segments,
        backends: &[Backend],
    ) -> Decision {
        for view in &mut self.views {
            let backend = &backends[view.id.index()];
            view.waiting = u32::try_from(backend.waiting()).unwrap_or(u32::MAX);
            view.full = view.waiting >= view.max_queue_depth;
            view.kv_usage = backend.cache().usage();
        }
        let chain = trace.chain(id);
        let request = RequestView {
            arrival: trace.arrival(id),
            prompt_tokens: trace.prompt_tokens(id),
            shared_tokens: chain.shared_tokens,
            common_tokens: if self.needs_cache { self.common.narrow(&chain) } else { 0 },
            session: trace.session(id),
        };
        let caches = TrueCaches { backends, path: segments.path_of(&chain, id) };
        let cache: &dyn CacheView = if self.needs_cache { &caches } else { &Unseen };
        let mut context = RouteContext { now, rng: &mut self.rng, cache, least_outstanding: None };
        let decision = self.algorithm.route(&request, &self.views, &mut context);
        if let Decision::To(backend) = decision {
            self.views[backend.index() - self.first].outstanding += 1;
        }
        decision
    }

    /// Counts a request that was sent to `backend` as gone from there.
    pub(super) fn done(&mut self, backend: BackendId) {
        let view = &mut self.views[backend.index() - self.first];
        let left = view.outstanding.checked_sub(1);
        view.outstanding = left.expect("a request ends where it was sent, once");
    }

    /// Returns the indices of its backends.
    pub(super) fn range(&self) -> Range<usize> {
        self.first..self.first + self.views.len()
    }

    /// Returns whether `backend` belongs to this pool.
    pub(super) fn has(&self, backend: BackendId) -> bool {
        self.range().contains(&backend.index())
    }

    /// Returns the requests sent to each backend whose end has not come back.
    pub(super) fn outstanding(&self) -> impl Iterator<Item = u32> {
        self.views.iter().map(|view| view.outstanding)
    }

    pub(super) fn diagnostics(&self) -> Vec<(&'static str, f64)> {
        self.algorithm.diagnostics()
    }
}
