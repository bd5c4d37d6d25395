//! What is kept of a run beside its numbers: distributions, batches, requests.

use crate::engine::RequestRecord;
use crate::stats::SparseHistogram;
use crate::units::{PS_PER_MS, RequestId, SimDuration};

use super::series::Series;

/// The most batches that the measured requests of a run are cut into.
pub const MOST_BATCHES: usize = 200;

/// The latencies of [`Distributions::histograms`], in its order.
pub const HISTOGRAMS: [&str; 5] = ["ttft", "tbt", "tpot", "e2e", "queue_wait"];

/// The latencies of [`Distributions::batch_means`], in its order.
pub const BATCHED: [&str; 4] = ["ttft", "tpot", "e2e", "queue_wait"];

/// What to keep of a run beside its numbers. No number depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Histograms of latencies.
    pub histograms: bool,
    /// Means of batches of requests.
    pub batch_means: bool,
    /// The facts of every request: memory for the whole run.
    pub requests: bool,
    /// What the backends are like at every such interval; none for no series.
    pub series: Option<SimDuration>,
}

impl Keep {
    /// Returns the same without what is as long as a run: the requests and the series.
    #[must_use]
    pub fn without_files(self) -> Self {
        Self { requests: false, series: None, ..self }
    }
}

/// What was kept of a run; none of what was not asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distributions {
    /// Latencies in picoseconds of the measured requests that finished, by [`HISTOGRAMS`]: of each
    /// request, or of each gap between tokens for TBT.
    pub histograms: Option<[SparseHistogram; 5]>,
    /// Means over batches of requests, by [`BATCHED`].
    pub batch_means: Option<[BatchMeans; 4]>,
    /// Every request in the order of arrival, the warm-up included.
    pub requests: Option<Vec<RequestRecord>>,
    /// What the backends were like as time went on, the warm-up included.
    pub series: Option<Series>,
}

/// A latency over batches of measured requests.
///
/// The measured requests, in the order of arrival, are cut into [`MOST_BATCHES`] batches of as many
/// requests as can be, or one of each when there are fewer: batch b begins with the measured
/// request ⌈b m / B⌉ of m, see [`first_of_batch`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchMeans {
    /// How many requests of each batch have the latency.
    pub counts: Vec<u64>,
    /// The mean in milliseconds of each batch that has any.
    pub means_ms: Vec<f64>,
}

/// Returns the place of the first request of a batch among `measured` requests in `batches`.
pub fn first_of_batch(batch: u64, measured: u64, batches: u64) -> u64 {
    (batch * measured).div_ceil(batches.max(1))
}

/// Batches while a run goes on.
#[derive(Clone, Debug)]
pub(super) struct Batches {
    first: RequestId,
    measured: u64,
    sums: Vec<[Sum; 4]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    count: u64,
    ps: u128,
}

impl Batches {
    pub(super) fn new(first: RequestId, measured: usize) -> Self {
        let sums = vec![[Sum::default(); 4]; measured.min(MOST_BATCHES)];
        Self { first, measured: measured as u64, sums }
    }

    /// Adds the latencies of a measured request in picoseconds, by [`BATCHED`].
    #[inline]
    pub(super) fn take(&mut self, request: RequestId, latencies: [Option<u64>; 4]) {
        let place = (request.index() - self.first.index()) as u64;
        // Less than the number of batches, which is a `usize`.
        let batch = place * self.sums.len() as u64 / self.measured.max(1);
        let Some(sums) = usize::try_from(batch).ok().and_then(|batch| self.sums.get_mut(batch))
        else {
            unreachable!("measured request {place} of {}", self.measured);
        };
        for (sum, latency) in sums.iter_mut().zip(latencies) {
            if let Some(ps) = latency {
                sum.count += 1;
                sum.ps += u128::from(ps);
            }
        }
    }

    pub(super) fn means(self) -> [BatchMeans; 4] {
        let mean = |sum: &Sum| sum.ps as f64 / (sum.count as f64 * PS_PER_MS as f64);
        [0, 1, 2, 3].map(|latency| {
            let sums = self.sums.iter().map(|sums| &sums[latency]);
            BatchMeans {
                counts: sums.clone().map(|sum| sum.count).collect(),
                means_ms: sums.filter(|sum| sum.count > 0).map(mean).collect(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_of_equal_length_and_begin_where_they_say() {
        for measured in [1, 7, 199, 200, 201, 1_234, 100_000] {
            let mut batches = Batches::new(RequestId(5), measured);
            for request in 5..5 + u32::try_from(measured).unwrap() {
                batches.take(RequestId(request), [Some(1), None, Some(2), Some(3)]);
            }
            let [ttft, tpot, ..] = batches.means();
            let number = ttft.counts.len();
            assert_eq!(number, measured.min(MOST_BATCHES));
            assert!(tpot.counts.iter().all(|count| *count == 0) && tpot.means_ms.is_empty());
            let least = (measured / number) as u64;
            let mut first = 0;
            for (batch, count) in (0..).zip(&ttft.counts) {
                assert_eq!(first_of_batch(batch, measured as u64, number as u64), first);
                assert!((least..=least + 1).contains(count), "{measured}: {count}");
                first += count;
            }
            assert_eq!(first, measured as u64);
        }
    }

    #[test]
    fn a_batch_has_the_mean_of_its_requests() {
        // 201 requests: place 0 and 1 share the first batch, as 1 · 200 / 201 rounds down to 0.
        let mut batches = Batches::new(RequestId(0), 201);
        let ms = |ms: u64| Some(ms * PS_PER_MS);
        batches.take(RequestId(1), [ms(4), None, ms(40), ms(0)]);
        batches.take(RequestId(0), [ms(1), ms(7), ms(10), ms(1)]);
        let [ttft, tpot, e2e, queue_wait] = batches.means();
        assert_eq!((ttft.counts[0], ttft.means_ms), (2, vec![2.5]));
        assert_eq!((tpot.counts[0], tpot.means_ms), (1, vec![7.0]));
        assert_eq!((e2e.means_ms, queue_wait.means_ms), (vec![25.0], vec![0.5]));
    }
}
