//! Nelder and Mead's search from several starts.

use argmin::core::{CostFunction, Error, Executor, State as _};
use argmin::solver::neldermead::NelderMead;

use crate::rng::Stream;

/// A point of the search and its cost.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) point: Vec<f64>,
    pub(super) cost: f64,
}

struct Problem<F>(F);

impl<F: Fn(&[f64]) -> f64> CostFunction for Problem<F> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, point: &Vec<f64>) -> Result<f64, Error> {
        Ok((self.0)(point))
    }
}

/// Searches downhill from `start`, whose first simplex reaches `reach` along each axis, for so many
/// iterations of some 1.7 evaluations each.
///
/// `cost` must be finite.
pub(super) fn descend(
    start: &[f64],
    reach: f64,
    iterations: u64,
    cost: impl Fn(&[f64]) -> f64,
) -> Found {
    let corner = |axis: usize| {
        let mut point = start.to_vec();
        point[axis] += reach;
        point
    };
    let simplex = [start.to_vec()].into_iter().chain((0..start.len()).map(corner)).collect();
    let solver = NelderMead::new(simplex);
    let ended = Executor::new(Problem(cost), solver)
        .configure(|state| state.max_iters(iterations))
        .run()
        .expect("a cost never fails, and the simplex has a corner more than axes");
    let state = ended.state();
    let point = state.get_best_param().expect("the first simplex was evaluated").clone();
    Found { point, cost: state.get_best_cost() }
}

/// Draws `count` points around `centre`, normal with that deviation along each axis.
pub(super) fn around(centre: &[f64], deviation: f64, count: usize) -> Vec<Vec<f64>> {
    let mut stream = Stream::new(0, "calibrate", 0);
    let mut draw = || centre.iter().map(|at| at + deviation * stream.normal()).collect();
    (0..count).map(|_| draw()).collect()
}
