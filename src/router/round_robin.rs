//! Each backend in turn.

use crate::units::BackendId;

use super::view::{Algorithm, BackendView, Decision, RejectReason, RequestView, RouteContext};

/// Sends each request to the next backend by id that accepts it; after the last, the first.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    last: Option<BackendId>,
}

impl Algorithm for RoundRobin {
    fn route(
        &mut self,
        _request: &RequestView,
        backends: &[BackendView],
        _context: &mut RouteContext<'_>,
    ) -> Decision {
        let mut accepting = backends.iter().filter(|backend| backend.accepts()).map(|b| b.id);
        let next = match self.last {
            None => accepting.next(),
            Some(last) => {
                let first = accepting.clone().next();
                accepting.find(|id| *id > last).or(first)
            }
        };
        let Some(id) = next else {
            return Decision::Reject(RejectReason::NoBackend);
        };
        self.last = Some(id);
        Decision::To(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::view::testing::{backends, pick, request};

    #[test]
    fn it_goes_round_and_skips_the_full() {
        let mut algorithm = RoundRobin::default();
        let mut fleet = backends(&[0; 4], 8);
        let mut next = |fleet: &[BackendView]| pick(&mut algorithm, &request(), fleet, &[]);
        assert_eq!([next(&fleet), next(&fleet)], [Some(0), Some(1)]);
        fleet[2].waiting = 8;
        assert_eq!([next(&fleet), next(&fleet)], [Some(3), Some(0)]);
        for backend in &mut fleet {
            backend.waiting = 8;
        }
        assert_eq!(next(&fleet), None);
    }
}
