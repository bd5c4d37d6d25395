//! Cache locality against load, in two weightings.

use super::least::least_outstanding;
use super::view::{Algorithm, BackendView, Decision, Needs, RequestView, RouteContext, last_max};

/// At this share of the queue depth a cache hit no longer counts.
const LOAD_LIMIT: f64 = 0.9;

/// A hit or none: `w · hit + (1 − w) · (1 − load)`.
///
/// A backend has a hit when it holds the longest part of the prompt that any backend holds, that
/// part is longer than what all prompts have in common, and its load is below 0.9. Without the
/// second condition the first backend to see the service's own system prompt would get every
/// request until it is nearly full. The load is outstanding requests over the queue depth, at
/// most 1. Ties go to the highest id. A request that shares nothing goes to the least outstanding.
#[derive(Debug)]
pub(super) struct PrefixAware {
    pub(super) cache_weight: f64,
    /// Matched tokens by place in the list of backends, kept to save an allocation a request.
    pub(super) matched: Vec<u32>,
}

impl Algorithm for PrefixAware {
    fn needs(&self) -> Needs {
        Needs { cache: true, ..Needs::COUNTERS }
    }

    fn route(
        &mut self,
        request: &RequestView,
        backends: &[BackendView],
        context: &mut RouteContext<'_>,
    ) -> Decision {
        if request.shared_tokens == 0 {
            return least_outstanding(backends, context);
        }
        let matched = backends.iter().map(|backend| context.cache.matched_tokens(backend.id));
        self.matched.clear();
        self.matched.extend(matched);
        let longest = self.matched.iter().copied().max().unwrap_or(0);
        let mut at = self.matched.iter().zip(backends);
        last_max(backends, |backend| {
            let held = at.find(|(_, other)| other.id == backend.id).map_or(0, |(held, _)| *held);
            let load = backend.load_ratio();
            let hit = longest > request.common_tokens && held == longest && load < LOAD_LIMIT;
            weigh(self.cache_weight, f64::from(u8::from(hit)), load)
        })
    }
}

/// The matched share: `w · matched / shareable + (1 − w) · (1 − load)`.
///
/// Matched tokens count from the start of the prompt without a gap, as an engine can reuse them,
/// and not at all at a load of 0.9 and above. Load and ties as in [`PrefixAware`].
#[derive(Debug)]
pub(super) struct PrefixOverlap {
    pub(super) cache_weight: f64,
}

impl Algorithm for PrefixOverlap {
    fn needs(&self) -> Needs {
        Needs { cache: true, ..Needs::COUNTERS }
    }

    fn route(
        &mut self,
        request: &RequestView,
        backends: &[BackendView],
        context: &mut RouteContext<'_>,
    ) -> Decision {
        if request.shared_tokens == 0 {
            return least_outstanding(backends, context);
        }
        last_max(backends, |backend| {
            let load = backend.load_ratio();
            let matched = if load < LOAD_LIMIT {
                f64::from(context.cache.matched_tokens(backend.id))
            } else {
                0.0
            };
            weigh(self.cache_weight, matched / f64::from(request.shared_tokens), load)
        })
    }
}

fn weigh(cache_weight: f64, hit: f64, load: f64) -> f64 {
    cache_weight * hit + (1.0 - cache_weight) * (1.0 - load)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::view::testing::{backends, pick, request};

    fn aware() -> PrefixAware {
        PrefixAware { cache_weight: 0.8, matched: Vec::new() }
    }

    #[test]
    fn a_hit_beats_load_up_to_the_limit() {
        // Scores 0.8 + 0.2 · 56/256 = 0.844, 0.2, and 0.2 · 21/256 = 0.016 beyond the limit.
        let fleet = backends(&[200, 0, 235], 256);
        assert_eq!(pick(&mut aware(), &request(), &fleet, &[160, 0, 160]), Some(0));
        let fleet = backends(&[231, 0, 235], 256);
        assert_eq!(pick(&mut aware(), &request(), &fleet, &[160, 0, 160]), Some(1));
    }

    #[test]
    fn equal_scores_go_to_the_highest_id() {
        assert_eq!(pick(&mut aware(), &request(), &backends(&[0; 3], 256), &[]), Some(2));
    }

    #[test]
    fn only_the_longest_match_is_a_hit() {
        let fleet = backends(&[5, 0, 0], 256);
        assert_eq!(pick(&mut aware(), &request(), &fleet, &[96, 32, 32]), Some(0));
        let common = backends(&[5, 0, 1], 256);
        assert_eq!(pick(&mut aware(), &request(), &common, &[32, 32, 32]), Some(1));
    }

    #[test]
    fn what_all_prompts_share_is_no_hit() {
        let fleet = backends(&[1, 0, 2], 256);
        let common = RequestView { common_tokens: 32, ..request() };
        assert_eq!(pick(&mut aware(), &common, &fleet, &[32, 0, 0]), Some(1));
        assert_eq!(pick(&mut aware(), &common, &fleet, &[48, 0, 0]), Some(0));
    }

    #[test]
    fn overlap_counts_by_length() {
        // 0.7 · 0.5 + 0.3 · 0.5 = 0.5; 0.14 + 0.3 = 0.44; 0.015 beyond the limit; 0.27.
        let fleet = backends(&[50, 0, 95, 10], 100);
        let mut algorithm = PrefixOverlap { cache_weight: 0.7 };
        assert_eq!(pick(&mut algorithm, &request(), &fleet, &[80, 32, 160, 0]), Some(0));
    }

    #[test]
    fn what_shares_nothing_goes_to_the_least_outstanding() {
        let lone = RequestView { shared_tokens: 0, ..request() };
        let fleet = backends(&[2, 1, 1], 100);
        assert_eq!(pick(&mut aware(), &lone, &fleet, &[160, 0, 0]), Some(1));
        let mut overlap = PrefixOverlap { cache_weight: 0.7 };
        assert_eq!(pick(&mut overlap, &lone, &fleet, &[160, 0, 0]), Some(1));
    }
}
