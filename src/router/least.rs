//! The backend with the least of something.

use super::view::{
    Algorithm, BackendView, Decision, Needs, RejectReason, RequestView, RouteContext, first_min,
};

/// The fewest outstanding requests by the router's own count; ties go to the lowest id.
#[derive(Debug)]
pub(super) struct LeastOutstanding;

impl Algorithm for LeastOutstanding {
    fn needs(&self) -> Needs {
        Needs::COUNTERS
    }

    fn route(
        &mut self,
        _request: &RequestView,
        backends: &[BackendView],
        context: &mut RouteContext<'_>,
    ) -> Decision {
        least_outstanding(backends, context)
    }
}

/// The lowest share of KV blocks in use; ties go to the lowest id. Cached content that nobody
/// holds is not in use, as engines report it.
#[derive(Debug)]
pub(super) struct LeastKv;

impl Algorithm for LeastKv {
    fn needs(&self) -> Needs {
        Needs::REPORTS
    }

    fn route(
        &mut self,
        _request: &RequestView,
        backends: &[BackendView],
        _context: &mut RouteContext<'_>,
    ) -> Decision {
        first_min(backends, |backend| backend.kv_usage)
    }
}

/// What several algorithms fall back on.
pub(super) fn least_outstanding(backends: &[BackendView], context: &RouteContext<'_>) -> Decision {
    context.least_outstanding.unwrap_or_else(|| {
        let accepting = backends.iter().filter(|backend| backend.accepts());
        let first = accepting.min_by_key(|backend| backend.outstanding);
        first.map_or(Decision::Reject(RejectReason::NoBackend), |backend| Decision::To(backend.id))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::view::testing::{backends, pick, request};

    #[test]
    fn the_least_wins_and_ties_go_low() {
        let fleet = backends(&[3, 1, 2], 8);
        assert_eq!(pick(&mut LeastOutstanding, &request(), &fleet, &[]), Some(1));
        let fleet = backends(&[1, 1, 5], 8);
        assert_eq!(pick(&mut LeastOutstanding, &request(), &fleet, &[]), Some(0));
    }

    #[test]
    fn kv_usage_decides_alone() {
        let mut fleet = backends(&[9, 9, 0], 8);
        for (backend, usage) in fleet.iter_mut().zip([0.5, 0.3, 0.3]) {
            backend.kv_usage = usage;
        }
        assert_eq!(pick(&mut LeastKv, &request(), &fleet, &[]), Some(1));
    }
}
