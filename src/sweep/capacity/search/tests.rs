use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rng::Stream;

const USUAL: Precision = Precision {
    min_seeds: 10,
    max_seeds: 80,
    relative_width: 0.04,
    confidence: 0.95,
    is_continuous: true,
};

/// Candidates of the queue M/M/1 of rate 1: rates 2 % apart.
fn rates() -> Vec<f64> {
    (0..150).map(|at| 0.05 * libm::pow(1.02, f64::from(at))).filter(|rate| *rate < 1.2).collect()
}

/// The 99th percentile of the time in a queue at a rate, as a seed has it: the noise grows with the
/// load and is the same draw for every rate.
fn percentile(rate: f64, master: u64, seed: usize) -> f64 {
    let mut stream = Stream::new(master, "noise", seed as u64);
    let normal = stream.normal();
    if rate >= 0.99 {
        return 1e4 * (1.0 + 0.1 * normal);
    }
    (4.605 / (1.0 - rate)) * (1.0 + normal * 0.02 * rate / (1.0 - rate))
}

/// Searches for the rate at which it is 20, and counts the runs.
fn search(precision: Precision, master: u64) -> (Found, usize) {
    let loads = rates();
    let search = Search { loads: &loads, limits: &[20.0], precision };
    let runs = RefCell::new(BTreeMap::new());
    let look = |at: usize, seeds: usize| {
        let mut runs = runs.borrow_mut();
        let most = runs.entry(at).or_insert(seeds);
        *most = seeds.max(*most);
        let values = (0..seeds).map(|seed| percentile(loads[at], master, seed)).collect();
        Ok(Some(Look::Seen(vec![Reading::Values(values)])))
    };
    let found = search.run(&look).unwrap();
    let count = runs.borrow().values().sum();
    (found, count)
}

/// 4.605 / (1 - rate) = 20.
const EXACT: f64 = 1.0 - 4.605 / 20.0;

#[test]
fn intervals_cover_the_load_that_is_looked_for() {
    let masters = 400;
    let (mut covered, mut runs, mut width) = (0, 0, 0.0);
    for master in 0..masters {
        let (found, count) = search(USUAL, master as u64);
        let (lo, hi) = (found.lo.unwrap(), found.hi.unwrap());
        assert_eq!(found.status, Status::Resolved);
        assert!(lo <= found.estimate.unwrap() && found.estimate.unwrap() <= hi);
        covered += usize::from(lo <= EXACT && EXACT <= hi);
        runs += count;
        width += (hi - lo) / EXACT / masters as f64;
    }
    // Of 400 at 95 %, 2.6 standard deviations: 366 to 394; near the first seeds a little fewer.
    assert!((364..=396).contains(&covered), "{covered} of {masters}");
    assert!(width <= 0.04, "{width}");
    assert!(runs / masters <= 120, "{runs}");
}

#[test]
fn too_few_seeds_leave_it_unresolved_and_say_how_far_they_come() {
    let precision = Precision { relative_width: 0.001, max_seeds: 20, ..USUAL };
    let (found, _) = search(precision, 7);
    assert_eq!((found.status, found.seeds), (Status::Unresolved, 20));
    assert!(found.hi.unwrap() - found.lo.unwrap() > 0.001 * EXACT);
}

/// Searches where `holds` says which candidates do, all of their runs being the same.
fn of_steps(loads: &[f64], precision: Precision, holds: impl Fn(usize) -> bool) -> Found {
    let search = Search { loads, limits: &[1.0], precision };
    let look = |at: usize, seeds: usize| {
        let value = if holds(at) { 0.5 } else { 2.0 };
        Ok(Some(Look::Seen(vec![Reading::Values(vec![value; seeds])])))
    };
    search.run(&look).unwrap()
}

proptest! {
    #[test]
    fn every_step_is_found(len in 2_usize..60, at in 0_usize..61, is_continuous: bool) {
        let loads: Vec<f64> = (0..len).map(|at| at as f64).collect();
        let precision = Precision { is_continuous, relative_width: 1.0, ..USUAL };
        let found = of_steps(&loads, precision, |own| own < at);
        prop_assert!(found.is_monotone);
        match at {
            0 => prop_assert_eq!(found.status, Status::BelowMin),
            at if at >= len => prop_assert_eq!(found.status, Status::AboveMax),
            at if is_continuous => {
                let estimate = found.estimate.unwrap();
                // A step lies anywhere between two candidates that were looked at.
                prop_assert!((at as f64 - 2.0..=at as f64 + 1.0).contains(&estimate), "{estimate}");
            }
            at => {
                prop_assert_eq!(found.status, Status::Resolved);
                let last = Some(at as f64 - 1.0);
                prop_assert_eq!((found.lo, found.estimate, found.hi), (last, last, last));
            }
        }
    }

    #[test]
    fn it_goes_on_from_anywhere_to_the_same_end(master: u64, batch in 1_usize..4) {
        let loads = rates();
        let search = Search { loads: &loads, limits: &[20.0], precision: USUAL };
        // Runs become known a few at a time: by candidate, so many of the first seeds.
        let known: RefCell<BTreeMap<usize, usize>> = RefCell::default();
        let asked: RefCell<BTreeMap<usize, usize>> = RefCell::default();
        let look = |at: usize, seeds: usize| {
            asked.borrow_mut().insert(at, seeds);
            if known.borrow().get(&at).copied().unwrap_or(0) < seeds {
                return Ok(None);
            }
            let values = (0..seeds).map(|seed| percentile(loads[at], master, seed)).collect();
            Ok(Some(Look::Seen(vec![Reading::Values(values)])))
        };
        let found = loop {
            if let Ok(found) = search.run(&look) {
                break found;
            }
            let mut known = known.borrow_mut();
            let mut asked = asked.borrow_mut();
            let more = asked.iter().filter(|(at, seeds)| known.get(at).copied().unwrap_or(0) < **seeds);
            let more: Vec<(usize, usize)> = more.map(|(at, seeds)| (*at, *seeds)).take(batch).collect();
            prop_assert!(!more.is_empty(), "it ended for want of runs that are all known");
            known.extend(more);
            asked.clear();
        };
        prop_assert_eq!(found, search_of(master));
    }
}

fn search_of(master: u64) -> Found {
    search(USUAL, master).0
}

#[test]
fn of_several_objectives_the_first_to_be_left_counts() {
    let loads = [1.0, 2.0, 3.0, 4.0];
    let precision = Precision { relative_width: 1.0, ..USUAL };
    let search = Search { loads: &loads, limits: &[1.0, 1.0], precision };
    let look = |at: usize, seeds: usize| {
        let first = vec![if at < 3 { 0.5 } else { 2.0 }; seeds];
        // The second is infinite from the third candidate on.
        let second = if at < 2 { Reading::Values(vec![0.9; seeds]) } else { Reading::Lost };
        Ok(Some(Look::Seen(vec![Reading::Values(first), second])))
    };
    let found = search.run(&look).unwrap();
    assert_eq!(found.limiting, Some(1));
    assert_eq!((found.lo, found.estimate, found.hi), (Some(2.0), Some(2.5), Some(3.0)));
}

#[test]
fn what_is_infinite_beyond_a_candidate_is_a_step_between_neighbours() {
    let loads: Vec<f64> = (1..=40).map(f64::from).collect();
    let look = |at: usize, seeds: usize| {
        let holds = Reading::Values((0..seeds).map(|seed| 0.5 + 0.001 * seed as f64).collect());
        Ok(Some(Look::Seen(vec![if at < 22 { holds } else { Reading::Lost }])))
    };
    let of = |precision| Search { loads: &loads, limits: &[1.0], precision }.run(&look).unwrap();
    let found = of(Precision { relative_width: 0.01, ..USUAL });
    // Candidate 21 is of load 22. More seeds would not help.
    assert_eq!((found.lo, found.estimate, found.hi), (Some(22.0), Some(22.5), Some(23.0)));
    assert_eq!((found.status, found.seeds), (Status::Unresolved, 10));
    let found = of(Precision { is_continuous: false, ..USUAL });
    assert_eq!((found.lo, found.hi), (Some(22.0), Some(22.0)));
    assert_eq!((found.status, found.seeds), (Status::Resolved, 10));
}

#[test]
fn a_failed_run_ends_the_search() {
    let loads = [1.0, 2.0, 3.0, 4.0];
    let search = Search { loads: &loads, limits: &[1.0], precision: USUAL };
    let look = |at: usize, seeds: usize| {
        let seen = Look::Seen(vec![Reading::Values(vec![0.5; seeds])]);
        Ok(Some(if at < 2 { seen } else { Look::Failed }))
    };
    let found = search.run(&look).unwrap();
    assert_eq!((found.status, found.estimate), (Status::Failed, None));
}

#[test]
fn what_holds_beyond_what_does_not_is_told() {
    let point =
        |(load, mean): (f64, f64)| Point { load, value: Some((mean, 0.1)), holds_anyway: false };
    let of = |means: [f64; 3]| {
        let points: Vec<Point> = [1.0, 2.0, 3.0].into_iter().zip(means).map(point).collect();
        Band::of(&points, 1.0, 0, true)
    };
    assert!(of([0.5, 2.0, 3.0]).is_monotone && of([0.5, 2.0, 0.95]).is_monotone);
    assert!(!of([0.5, 2.0, 0.5]).is_monotone);
    // 0.4 to 1.9: the first crossing counts.
    assert!((order(of([0.5, 2.0, 0.5]).hi) - 1.4).abs() < 1e-12);
}
