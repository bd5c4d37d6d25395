//! What the measured requests were.

use crate::engine::RequestRecord;
use crate::units::{RequestId, SimTime};

/// Means over all measured requests, whatever the fleet did with them.
///
/// They are facts of the workload alone: equal for every config and algorithm. Where the workload
/// is generated their expectation is known, so they are control variates. The number of measured
/// requests is one as well, where the warm-up is a time: its expectation is the rate × the window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Drawn {
    /// Mean prompt length in tokens.
    pub prompt_mean_tokens: Option<f64>,
    /// Mean output length in tokens.
    pub output_mean_tokens: Option<f64>,
    /// Mean time from the arrival before (at first from the start of the run) in seconds. That of a
    /// Poisson process is 1 / rate, but for the end of the run, of the order of 1 / requests.
    pub interarrival_mean_s: Option<f64>,
}

/// The same while a run goes on: sums, so that the order of outcomes does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Draws {
    requests: u64,
    prompt_tokens: u64,
    output_tokens: u64,
    /// Arrival of the request before the first measured one, or the start of the run.
    before: SimTime,
    /// The last measured arrival.
    last: SimTime,
}

impl Draws {
    #[inline]
    pub(super) fn take(&mut self, record: &RequestRecord, first: RequestId) {
        if record.request >= first {
            self.requests += 1;
            self.prompt_tokens += u64::from(record.prompt_tokens);
            self.output_tokens += u64::from(record.output_tokens);
            self.last = self.last.max(record.arrival);
        } else {
            // The latest of the warm-up, as requests are numbered in the order of arrival.
            self.before = self.before.max(record.arrival);
        }
    }

    pub(super) fn means(&self) -> Drawn {
        let mean = |sum: f64| (self.requests > 0).then(|| sum / self.requests as f64);
        Drawn {
            prompt_mean_tokens: mean(self.prompt_tokens as f64),
            output_mean_tokens: mean(self.output_tokens as f64),
            interarrival_mean_s: mean(self.last.saturating_since(self.before).as_secs()),
        }
    }
}
