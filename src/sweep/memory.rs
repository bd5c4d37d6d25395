//! How much memory runs may take together.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::metrics::{MOST_EXACT, most_instants};
use crate::tables::RunIndex;
use crate::workload::STREAMED_FROM;

use super::grid::Grid;
use super::loaded::Requests;

/// Bytes of a run whatever it is: histograms, the program's own, what the allocator keeps.
const BYTES_PER_RUN: f64 = 4e6;
/// Bytes of a backend: its running batch, its queue.
const BYTES_PER_BACKEND: f64 = 100_000.0;
/// Bytes of a measured request, twice over: four latencies.
const BYTES_PER_LATENCIES: f64 = 64.0;
/// Bytes of a generated request's columns, prefix and all.
const BYTES_PER_GENERATED: f64 = 28.0;
/// How often the columns of requests are held: while they are drawn, as they are, and as the tree
/// of their chains.
const COPIES_OF_COLUMNS: f64 = 3.0;
/// Bytes of a backend at an instant of a series: its state, and a row of its table.
const BYTES_PER_STATE: f64 = 250.0;
/// Bytes of what a prefix cache keeps of a stretch of blocks, and the stretches of a request. There
/// are never more stretches than blocks.
const BYTES_PER_STRETCH: f64 = 64.0;
const STRETCHES_PER_REQUEST: f64 = 4.0;

/// Lets runs begin as long as they fit together.
///
/// A run begins when the estimates of all that go on and its own are within the budget, or nothing
/// else goes on: one that is too large for the budget runs alone. Who waits holds nothing, so there
/// is always one that can go on.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    bytes: u64,
    used: Mutex<Used>,
    freed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    runs: usize,
    bytes: u64,
}

/// Room that a run has; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Room<'b> {
    budget: &'b MemoryBudget,
    bytes: u64,
}

impl MemoryBudget {
    /// Makes a budget of that many bytes; none is no limit.
    pub(super) fn new(bytes: Option<u64>) -> Self {
        let bytes = bytes.unwrap_or(u64::MAX);
        Self { bytes, used: Mutex::default(), freed: Condvar::new() }
    }

    /// Waits until a run of that many bytes may begin.
    pub(super) fn admit(&self, bytes: u64) -> Room<'_> {
        let too_much = |used: &mut Used| {
            used.runs > 0 && used.bytes.checked_add(bytes).is_none_or(|sum| sum > self.bytes)
        };
        let waited = self.freed.wait_while(self.lock(), too_much);
        let mut used = waited.unwrap_or_else(PoisonError::into_inner);
        used.runs += 1;
        used.bytes = used.bytes.saturating_add(bytes);
        Room { budget: self, bytes }
    }

    /// A thread that panicked has left nothing half done.
    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut used = self.budget.lock();
        used.runs -= 1;
        used.bytes -= self.bytes;
        self.budget.freed.notify_all();
    }
}

impl Grid {
    /// Returns about how many bytes a run takes while it goes on, its requests included; rather too
    /// many than too few.
    pub fn estimated_bytes(&self, run: RunIndex) -> u64 {
        let cell = &self.cells()[run.cell];
        let requests = self.requests_of(run.cell);
        let source = &self.workloads()[self.demand(run.cell).workload].source;
        let columns = match source {
            // More than that are not kept.
            Requests::Generator(_) => requests.min(STREAMED_FROM as f64) * BYTES_PER_GENERATED,
            Requests::Trace(source) => {
                let trace = source.trace();
                requests * trace.memory_bytes() as f64 / trace.len().max(1) as f64
            }
        };
        let latencies = requests.min(MOST_EXACT as f64) * BYTES_PER_LATENCIES;
        let cluster = &cell.setting.cluster;
        let backends = f64::from(cluster.num_backends);
        let blocks = backends * f64::from(cluster.kv_cache_blocks);
        let stretches = blocks.min(requests * STRETCHES_PER_REQUEST) * BYTES_PER_STRETCH;
        let of_requests = COPIES_OF_COLUMNS * columns + latencies;
        let instants = self.manifest.output.series.map_or(0, |_| {
            most_instants(usize::try_from(cluster.num_backends).unwrap_or(usize::MAX))
        });
        let per_backend = BYTES_PER_BACKEND + instants as f64 * BYTES_PER_STATE;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate above 0; one beyond 64 bits is as good as the most"
        )]
        let bytes = (BYTES_PER_RUN + of_requests + stretches + backends * per_backend) as u64;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What goes on, and what was seen of it.
    #[derive(Debug, Default)]
    struct Seen {
        running: Vec<u64>,
        done: BTreeSet<usize>,
        broken: Option<String>,
    }

    /// Executes runs of those sizes on that many threads.
    fn execute(sizes: &[u64], budget: u64, threads: usize) -> Seen {
        let (budget, limit) = (MemoryBudget::new(Some(budget)), budget);
        let (next, seen) = (Mutex::new(0..sizes.len()), Mutex::new(Seen::default()));
        let work = || {
            loop {
                let Some(run) = next.lock().unwrap().next() else { return };
                let room = budget.admit(sizes[run]);
                {
                    let mut seen = seen.lock().unwrap();
                    seen.running.push(sizes[run]);
                    let sum: u64 = seen.running.iter().sum();
                    if sum > limit && seen.running.len() > 1 {
                        seen.broken = Some(format!("{:?}", seen.running));
                    }
                }
                std::thread::yield_now();
                {
                    let mut seen = seen.lock().unwrap();
                    let own = seen.running.iter().position(|size| *size == sizes[run]).unwrap();
                    seen.running.swap_remove(own);
                    if !seen.done.insert(run) {
                        seen.broken = Some(format!("run {run} twice"));
                    }
                }
                drop(room);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        seen.into_inner().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn every_run_has_its_turn_and_the_budget_is_kept(
            sizes in proptest::collection::vec(0..120_u64, 0..30),
            budget in 1..200_u64,
            threads in 1..6_usize,
        ) {
            let seen = execute(&sizes, budget, threads);
            prop_assert_eq!(seen.broken, None);
            prop_assert_eq!(seen.done.len(), sizes.len());
            prop_assert!(seen.running.is_empty());
        }
    }

    #[test]
    fn a_run_that_is_too_large_waits_until_it_is_alone() {
        let budget = MemoryBudget::new(Some(100));
        let order = Mutex::new(Vec::new());
        let small = budget.admit(10);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _large = budget.admit(1_000);
                order.lock().unwrap().push("large");
            });
            // Nothing else can have said anything yet.
            order.lock().unwrap().push("small");
            drop(small);
        });
        assert_eq!(order.into_inner().unwrap(), ["small", "large"]);
        let all: Vec<Room<'_>> = (0..10).map(|_| budget.admit(10)).collect();
        assert_eq!((all.len(), budget.lock().bytes), (10, 100), "to the last byte");
    }
}
