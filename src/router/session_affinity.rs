//! A session stays where it is.

use std::collections::BTreeMap;

use crate::units::{BackendId, SimTime};

use super::least::least_outstanding;
use super::view::{Algorithm, BackendView, Decision, Needs, RequestView, RouteContext};

/// Sends a session to the backend that had its last request, if that accepts more; else, and for
/// requests without a session, to the least outstanding, where the session then stays.
///
/// When `max_sessions` are known and another comes, the half that was used longest ago is
/// forgotten; of equal times the lower session number goes first.
#[derive(Debug)]
pub(super) struct SessionAffinity {
    pub(super) max_sessions: usize,
    pub(super) homes: BTreeMap<u32, (BackendId, SimTime)>,
}

impl Algorithm for SessionAffinity {
    fn needs(&self) -> Needs {
        Needs::COUNTERS
    }

    fn route(
        &mut self,
        request: &RequestView,
        backends: &[BackendView],
        context: &mut RouteContext<'_>,
    ) -> Decision {
        let Some(session) = request.session else {
            return least_outstanding(backends, context);
        };
        let accepts = |id: BackendId| backends.iter().any(|b| b.id == id && b.accepts());
        let home = self.homes.get(&session).map(|(home, _)| *home).filter(|id| accepts(*id));
        let decision = home.map_or_else(|| least_outstanding(backends, context), Decision::To);
        if let Decision::To(id) = decision {
            if !self.homes.contains_key(&session) && self.homes.len() >= self.max_sessions {
                self.forget_oldest_half();
            }
            self.homes.insert(session, (id, context.now));
        }
        decision
    }

    fn diagnostics(&self) -> Vec<(&'static str, f64)> {
        vec![("active_sessions", self.homes.len() as f64)]
    }
}

impl SessionAffinity {
    fn forget_oldest_half(&mut self) {
        let mut by_age: Vec<(SimTime, u32)> =
            self.homes.iter().map(|(session, (_, used))| (*used, *session)).collect();
        by_age.sort_unstable();
        for (_, session) in &by_age[..by_age.len().div_ceil(2)] {
            self.homes.remove(session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::view::testing::{backends, pick, request};

    fn affinity(max_sessions: usize) -> SessionAffinity {
        SessionAffinity { max_sessions, homes: BTreeMap::new() }
    }

    fn in_session(session: u32, ps: u64) -> RequestView {
        RequestView { session: Some(session), arrival: SimTime::from_ps(ps), ..request() }
    }

    #[test]
    fn a_session_stays_and_moves_for_good_when_its_home_is_full() {
        let mut algorithm = affinity(10);
        let mut fleet = backends(&[0, 1, 2], 8);
        let turn = in_session(7, 0);
        assert_eq!(pick(&mut algorithm, &turn, &fleet, &[]), Some(0));
        fleet[0].outstanding = 9;
        assert_eq!(pick(&mut algorithm, &turn, &fleet, &[]), Some(0));
        fleet[0].full = true;
        assert_eq!(pick(&mut algorithm, &turn, &fleet, &[]), Some(1));
        (fleet[0].full, fleet[0].outstanding) = (false, 0);
        assert_eq!(pick(&mut algorithm, &turn, &fleet, &[]), Some(1));
    }

    #[test]
    fn the_oldest_half_is_forgotten() {
        let mut algorithm = affinity(5);
        let fleet = backends(&[0], 8);
        for session in 0..7 {
            pick(&mut algorithm, &in_session(session, u64::from(session)), &fleet, &[]);
        }
        let known: Vec<u32> = algorithm.homes.keys().copied().collect();
        assert_eq!(known, [3, 4, 5, 6]);
    }
}
