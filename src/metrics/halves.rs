//! Whether a run is the same from its first half to its second.

use crate::units::{PS_PER_MS, SimDuration, SimTime};
use crate::workload::Window;

/// Mean time to first token of the measured requests that finished, by the half of the window that
/// they arrived in.
///
/// A run that has forgotten how it began has the same expectation in both. TTFT, as what a request
/// waits for has arrived before it: no drain at the end of the run makes its second half fast.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Halves {
    /// Of the first half, in milliseconds; none when no request of it finished.
    pub first_ms: Option<f64>,
    /// Of the second half.
    pub second_ms: Option<f64>,
}

/// The same while a run goes on: sums, so that the order of outcomes does not matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct HalfSums {
    /// Where the second half begins.
    middle: SimTime,
    counts: [u64; 2],
    ttft_ps: [u128; 2],
}

impl HalfSums {
    pub(super) fn new(window: Window) -> Self {
        let half = window.to.saturating_since(window.from).as_ps() / 2;
        let middle = window.from + SimDuration::from_ps(half);
        Self { middle, counts: [0; 2], ttft_ps: [0; 2] }
    }

    #[inline]
    pub(super) fn take(&mut self, arrival: SimTime, ttft: SimDuration) {
        let half = usize::from(arrival >= self.middle);
        self.counts[half] += 1;
        self.ttft_ps[half] += u128::from(ttft.as_ps());
    }

    pub(super) fn means(&self) -> Halves {
        let mean = |half: usize| {
            let count = self.counts[half] as f64;
            (count > 0.0).then(|| self.ttft_ps[half] as f64 / PS_PER_MS as f64 / count)
        };
        Halves { first_ms: mean(0), second_ms: mean(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::RequestId;

    #[test]
    fn a_request_counts_in_the_half_that_it_arrives_in() {
        let at = |ms: u64| SimTime::from_ps(ms * PS_PER_MS);
        let window = Window { first: RequestId(0), from: at(10), to: at(30) };
        let mut sums = HalfSums::new(window);
        assert_eq!(sums.means(), Halves::default());
        // The middle is 20 ms, which belongs to the second half.
        for (arrival, ttft) in [(10, 1), (20, 7), (19, 2), (30, 9), (25, 2)] {
            sums.take(at(arrival), SimDuration::from_ps(ttft * PS_PER_MS));
        }
        assert_eq!(sums.means(), Halves { first_ms: Some(1.5), second_ms: Some(6.0) });
    }
}
