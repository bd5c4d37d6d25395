//! Requests by what became of them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::Outcome;
use crate::router::RejectReason;

/// Requests by what became of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomeCounts {
    /// In all.
    pub requests: u64,
    /// All tokens came.
    pub finished: u64,
    /// Turned away, by reason; every reason is listed.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Gave up waiting. No client does yet.
    pub timed_out: u64,
    /// Had no outcome when the run ended: a fault of the simulator.
    pub unserved: u64,
}

/// The same while a run goes on: no map is touched per request.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) finished: u64,
    /// By place in [`RejectReason::ALL`].
    rejected: [u64; RejectReason::ALL.len()],
    timed_out: u64,
    unserved: u64,
}

impl Default for OutcomeCounts {
    fn default() -> Self {
        Tally::default().counts()
    }
}

impl OutcomeCounts {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.finished += other.finished;
        self.timed_out += other.timed_out;
        self.unserved += other.unserved;
        for (reason, count) in &other.rejected {
            *self.rejected.entry(reason).or_default() += count;
        }
    }

    /// Returns how many were turned away, for whatever reason.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }
}

impl Tally {
    #[inline]
    pub(super) fn count(&mut self, outcome: Outcome) {
        self.requests += 1;
        match outcome {
            Outcome::Finished => self.finished += 1,
            Outcome::Rejected(reason) => self.rejected[reason as usize] += 1,
            Outcome::TimedOut => self.timed_out += 1,
            Outcome::Unserved => self.unserved += 1,
        }
    }

    pub(super) fn rejected_total(&self) -> u64 {
        self.rejected.iter().sum()
    }

    pub(super) fn counts(&self) -> OutcomeCounts {
        let names = RejectReason::ALL.iter().map(|reason| reason.name());
        OutcomeCounts {
            requests: self.requests,
            finished: self.finished,
            rejected: names.zip(self.rejected).collect(),
            timed_out: self.timed_out,
            unserved: self.unserved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gave_up_is_counted_apart() {
        let mut tally = Tally::default();
        for outcome in [Outcome::TimedOut, Outcome::Finished, Outcome::TimedOut] {
            tally.count(outcome);
        }
        let counts = tally.counts();
        assert_eq!((counts.requests, counts.finished, counts.timed_out), (3, 1, 2));
        assert_eq!((counts.rejected_total(), counts.unserved), (0, 0));
    }

    #[test]
    fn reasons_are_counted_under_their_names() {
        let mut tally = Tally::default();
        for (times, reason) in (1..).zip(RejectReason::ALL) {
            (0..times).for_each(|_| tally.count(Outcome::Rejected(reason)));
        }
        let counts = tally.counts();
        for (times, reason) in (1..).zip(RejectReason::ALL) {
            assert_eq!(counts.rejected[reason.name()], times);
        }
        assert_eq!((counts.requests, counts.rejected_total(), tally.rejected_total()), (6, 6, 6));
    }
}
