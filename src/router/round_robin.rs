//! Each backend in turn.

use crate::units::BackendId;

use super::view::{
    Algorithm, BackendView, Decision, Needs, RejectReason, RequestView, RouteContext,
};

/// Sends each request to the next backend by id that accepts it; after the last, the first.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    last: Option<BackendId>,
}

impl Algorithm for RoundRobin {
    fn needs(&self) -> Needs {
        Needs::NOTHING
    }

    fn route(
        &mut self,
        _request: &RequestView,
        backends: &[BackendView],
        _context: &mut RouteContext<'_>,
    ) -> Decision {
        let start = self.last.map_or(0, |last| place_after(last, backends));
        let (before, from) = backends.split_at(start);
        let next = from.iter().chain(before).find(|backend| backend.accepts());
        let Some(BackendView { id, .. }) = next else {
            return Decision::Reject(RejectReason::NoBackend);
        };
        self.last = Some(*id);
        Decision::To(*id)
    }
}

/// The place of the first backend whose id is greater.
fn place_after(last: BackendId, backends: &[BackendView]) -> usize {
    // Ids without gaps say where it is.
    let guess = backends.first().map_or(0, |first| (last.0 + 1).saturating_sub(first.id.0));
    let guess = guess as usize;
    match guess.checked_sub(1).and_then(|place| backends.get(place)) {
        Some(before) if before.id == last => guess,
        _ => backends.partition_point(|backend| backend.id <= last),
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
        fleet[2].full = true;
        assert_eq!([next(&fleet), next(&fleet)], [Some(3), Some(0)]);
        for backend in &mut fleet {
            backend.full = true;
        }
        assert_eq!(next(&fleet), None);
    }
}
