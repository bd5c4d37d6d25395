//! What the backends of a run are like, at equal distances of time.

use crate::engine::BackendState;
use crate::units::{SimDuration, SimTime};

/// The most instants at which a run is looked at, in a fleet of up to 500 backends.
pub const MOST_INSTANTS: usize = 2_000;

/// The most states of backends, over all instants: larger fleets have fewer instants.
pub const MOST_STATES: usize = 1_000_000;

/// The states of a run's backends, one interval after another from the start of the run on.
///
/// When there are as many instants as there may be ([`most_instants`]), every second one is dropped
/// and the interval doubles. So a series has its bounds however long the run goes on, and its
/// instants are those that it would have had with the longer interval from the start.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    interval: SimDuration,
    instants: usize,
    /// Instant by instant, by backend.
    states: Vec<BackendState>,
}

/// Returns at how many instants a fleet of so many backends is looked at, at most.
pub fn most_instants(num_backends: usize) -> usize {
    (MOST_STATES / num_backends.max(1)).clamp(2, MOST_INSTANTS)
}

impl Series {
    /// Starts an empty series.
    ///
    /// # Panics
    ///
    /// When the interval is 0.
    pub fn new(interval: SimDuration) -> Self {
        assert!(interval > SimDuration::ZERO, "a series of one instant");
        Self { interval, instants: 0, states: Vec::new() }
    }

    /// Returns the interval, as it is by now.
    pub fn interval(&self) -> SimDuration {
        self.interval
    }

    /// Returns the instants with the states of the backends by id, in the order of time.
    pub fn instants(&self) -> impl Iterator<Item = (SimTime, &[BackendState])> {
        let backends = self.num_backends().max(1);
        (0..).zip(self.states.chunks(backends)).map(|(place, states)| (self.at(place), states))
    }

    /// Returns how many states there are, over all instants.
    pub fn num_states(&self) -> usize {
        self.states.len()
    }

    /// The instant that comes next.
    pub(super) fn next(&self) -> SimTime {
        self.at(self.instants)
    }

    /// Adds the states at [`next`](Self::next), or drops them and half of the others.
    pub(super) fn push(&mut self, states: &[BackendState]) {
        let at = self.next();
        if self.instants >= most_instants(states.len()) {
            self.thin(states.len());
        }
        if self.next() == at {
            self.states.extend_from_slice(states);
            self.instants += 1;
        }
    }

    /// Drops the first instant, the third …, and doubles the interval.
    fn thin(&mut self, num_backends: usize) {
        self.instants /= 2;
        for place in 0..self.instants {
            let from = (2 * place + 1) * num_backends;
            self.states.copy_within(from..from + num_backends, place * num_backends);
        }
        self.states.truncate(self.instants * num_backends);
        self.interval = SimDuration::from_ps(self.interval.as_ps().saturating_mul(2));
    }

    /// The instant at a place, from 0: one interval after the start is the first.
    fn at(&self, place: usize) -> SimTime {
        SimTime::from_ps(self.interval.as_ps().saturating_mul(place as u64 + 1))
    }

    fn num_backends(&self) -> usize {
        self.states.len().checked_div(self.instants).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The states of an instant tell which one it is.
    fn states(at: SimTime, num_backends: usize) -> Vec<BackendState> {
        let waiting = u32::try_from(at.as_ps()).unwrap();
        (0..num_backends).map(|_| BackendState { waiting, ..BackendState::default() }).collect()
    }

    /// A series of a run that goes on until `end`.
    fn series(interval: u64, num_backends: usize, end: u64) -> Series {
        let mut series = Series::new(SimDuration::from_ps(interval));
        while series.next() <= SimTime::from_ps(end) {
            series.push(&states(series.next(), num_backends));
        }
        series
    }

    #[test]
    fn large_fleets_have_fewer_instants() {
        let most = [0, 1, 500, 501, 1_000, 10_000, 2_000_000].map(most_instants);
        assert_eq!(most, [2_000, 2_000, 2_000, 1_996, 1_000, 100, 2]);
    }

    #[test]
    fn a_run_of_as_many_instants_as_there_may_be_keeps_its_interval() {
        let times =
            |end| -> Vec<u64> { series(3, 2, end).instants().map(|(at, _)| at.as_ps()).collect() };
        assert_eq!(times(2), [0; 0]);
        assert_eq!(times(9), [3, 6, 9]);
        assert_eq!(times(6_000), (1..=2_000).map(|place| 3 * place).collect::<Vec<u64>>());
        // 6,003 would be one more: every second one goes, and it with them.
        assert_eq!(times(6_003), (1..=1_000).map(|place| 6 * place).collect::<Vec<u64>>());
        assert_eq!(times(6_006), (1..=1_001).map(|place| 6 * place).collect::<Vec<u64>>());
    }

    #[test]
    fn an_odd_number_of_instants_is_halved_too() {
        // Three instants at most: at 4 the interval becomes 2, and at 8 it becomes 4.
        for (end, expected) in
            [(3, vec![1, 2, 3]), (4, vec![2, 4]), (7, vec![2, 4, 6]), (8, vec![4, 8])]
        {
            let series = series(1, 300_000, end);
            let times: Vec<u64> = series.instants().map(|(at, _)| at.as_ps()).collect();
            assert_eq!(times, expected);
            assert_eq!(series.num_states(), expected.len() * 300_000);
        }
    }

    proptest! {
        #[test]
        fn a_series_is_bounded_and_has_the_instants_of_its_interval(
            interval in 1..50_u64,
            num_backends in 1..5_usize,
            instants in 0..9_000_u64,
        ) {
            let end = interval * instants;
            let series = series(interval, num_backends, end);
            let own = series.interval().as_ps();
            prop_assert!((own / interval).is_power_of_two() && own.is_multiple_of(interval));
            let times: Vec<u64> = series.instants().map(|(at, _)| at.as_ps()).collect();
            prop_assert!(times.iter().copied().eq((1..=end / own).map(|place| place * own)));
            prop_assert!(times.len() <= most_instants(num_backends));
            prop_assert!(own == interval || 2 * times.len() + 1 >= most_instants(num_backends));
            for (at, own) in series.instants() {
                prop_assert_eq!(own, states(at, num_backends));
            }
        }
    }
}
