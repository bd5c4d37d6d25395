//! Backends get dearer with use and cheaper with time.

use crate::units::SimTime;

use super::view::{Algorithm, BackendView, Decision, Needs, RequestView, RouteContext, first_min};

/// Picks the cheapest backend; ties go to the lowest id.
///
/// Each cost decays as exp(−decay · seconds). The backend that is picked gets dearer by
/// `base + queue_weight · (requests that wait there) + kv_weight · (its KV usage)`.
#[derive(Debug)]
pub(super) struct CostEscalation {
    pub(super) base: f64,
    pub(super) queue_weight: f64,
    pub(super) kv_weight: f64,
    pub(super) decay_per_s: f64,
    /// By backend id.
    pub(super) costs: Vec<f64>,
    pub(super) decayed_at: SimTime,
}

impl Algorithm for CostEscalation {
    fn needs(&self) -> Needs {
        Needs::REPORTS
    }

    fn route(
        &mut self,
        _request: &RequestView,
        backends: &[BackendView],
        context: &mut RouteContext<'_>,
    ) -> Decision {
        let past = context.now.since(self.decayed_at).as_secs();
        let kept = libm::exp(-self.decay_per_s * past);
        self.decayed_at = context.now;
        for cost in &mut self.costs {
            *cost *= kept;
        }
        let ids = backends.last().map_or(0, |backend| backend.id.index() + 1);
        self.costs.resize(self.costs.len().max(ids), 0.0);

        let decision = first_min(backends, |backend| self.costs[backend.id.index()]);
        if let Decision::To(id) = decision {
            let picked = backends.iter().find(|backend| backend.id == id);
            let (waiting, kv) = picked.map_or((0, 0.0), |picked| (picked.waiting, picked.kv_usage));
            let rise = self.base + self.queue_weight * f64::from(waiting) + self.kv_weight * kv;
            self.costs[id.index()] += rise;
        }
        decision
    }

    fn diagnostics(&self) -> Vec<(&'static str, f64)> {
        let max = self.costs.iter().copied().fold(0.0, f64::max);
        let min = self.costs.iter().copied().reduce(f64::min).unwrap_or(0.0);
        vec![("max_backend_cost", max), ("min_backend_cost", min), ("cost_spread", max - min)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::view::testing::{backends, pick, request};

    fn escalation() -> CostEscalation {
        CostEscalation {
            base: 1.0,
            queue_weight: 0.5,
            kv_weight: 2.0,
            decay_per_s: 0.1,
            costs: Vec::new(),
            decayed_at: SimTime::ZERO,
        }
    }

    #[test]
    fn a_pick_raises_the_cost_and_time_lowers_it() {
        let mut algorithm = escalation();
        let mut fleet = backends(&[0; 2], 8);
        (fleet[0].waiting, fleet[0].kv_usage) = (4, 0.5);
        assert_eq!(pick(&mut algorithm, &request(), &fleet, &[]), Some(0));
        assert!((algorithm.costs[0] - 4.0).abs() < 1e-12);
        let later = SimTime::from_ps(10 * crate::units::PS_PER_S);
        let request = RequestView { arrival: later, ..request() };
        assert_eq!(pick(&mut algorithm, &request, &fleet, &[]), Some(1));
        assert!((algorithm.costs[0] - 4.0 * libm::exp(-1.0)).abs() < 1e-12);
    }

    #[test]
    fn a_burst_is_spread() {
        let mut algorithm = escalation();
        let fleet = backends(&[0; 4], 8);
        let mut picks = [0; 4];
        for _ in 0..100 {
            let id = pick(&mut algorithm, &request(), &fleet, &[]).unwrap();
            picks[id as usize] += 1;
        }
        assert_eq!(picks, [25; 4]);
    }
}
