//! Rows on their way from the threads that make them to the one that keeps them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::tables::RunRow;

/// The most rows that are handed over at once.
pub(super) const MOST_ROWS: usize = 256;

/// How long a row waits for others. Which rows go together depends on it; what they say does not.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The most rows that wait: whoever keeps them is far behind then, and runs wait for it.
const MOST_WAITING: usize = 16 * MOST_ROWS;

/// Rows that wait to be handed over.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    /// A batch is full, or the last row has come.
    due: Condvar,
    /// There is room for rows.
    room: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    rows: Vec<RunRow>,
    /// No row comes any more.
    closed: bool,
    /// No row is taken any more.
    broken: bool,
}

/// Does something to the outbox when it is dropped, also by a panic.
pub(super) struct AtEnd<'o>(&'o Outbox, fn(&mut Waiting));

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        (self.1)(&mut self.0.lock());
        self.0.due.notify_all();
        self.0.room.notify_all();
    }
}

impl Outbox {
    /// Puts a row in. Only where thousands wait does it wait too.
    pub(super) fn put(&self, row: RunRow) {
        let full = |waiting: &mut Waiting| waiting.rows.len() >= MOST_WAITING && !waiting.broken;
        let mut waiting =
            self.room.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        if waiting.broken {
            return;
        }
        waiting.rows.push(row);
        if waiting.rows.len() >= MOST_ROWS {
            self.due.notify_one();
        }
    }

    /// Returns whether rows that are put in get lost, as `commit` has failed.
    pub(super) fn is_broken(&self) -> bool {
        self.lock().broken
    }

    /// Returns what closes the outbox when it is dropped.
    pub(super) fn closing(&self) -> AtEnd<'_> {
        AtEnd(self, |waiting| waiting.closed = true)
    }

    /// Hands batches over until the outbox is closed and empty, or `commit` fails.
    pub(super) fn deliver<E>(
        &self,
        mut commit: impl FnMut(Vec<RunRow>) -> Result<(), E>,
    ) -> Result<(), E> {
        let _breaking = AtEnd(self, |waiting| waiting.broken = true);
        while let Some(batch) = self.batch() {
            if !batch.is_empty() {
                commit(batch)?;
            }
        }
        Ok(())
    }

    /// Waits for the next batch, which is empty when none came in time.
    fn batch(&self) -> Option<Vec<RunRow>> {
        let early = |waiting: &mut Waiting| waiting.rows.len() < MOST_ROWS && !waiting.closed;
        let waited = self.due.wait_timeout_while(self.lock(), LONGEST_WAIT, early);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if waiting.rows.is_empty() && waiting.closed {
            return None;
        }
        let some = waiting.rows.len().min(MOST_ROWS);
        let batch = waiting.rows.drain(..some).collect();
        self.room.notify_all();
        Some(batch)
    }

    /// A thread that panicked has left nothing half done.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::router::AlgorithmSpec;
    use crate::tables::{CellKey, Failure, RunIndex};

    fn row(at: usize) -> RunRow {
        let key = CellKey {
            config: "c".to_owned(),
            algorithm: Arc::new(AlgorithmSpec::by_name("round_robin").unwrap()),
            rate_rps: None,
            coordinates: Vec::new().into(),
            label: "c".to_owned(),
        };
        RunRow {
            index: RunIndex { cell: at, seed: 0 },
            cell: Arc::new(key),
            seed: 1,
            realised_rps: None,
            outcome: Err(Failure::new("none")),
        }
    }

    #[test]
    fn rows_come_in_full_batches_and_a_last_one() {
        let outbox = Outbox::default();
        (0..2 * MOST_ROWS + 3).for_each(|at| outbox.put(row(at)));
        drop(outbox.closing());
        let mut batches: Vec<Vec<usize>> = Vec::new();
        let keep = |batch: Vec<RunRow>| {
            batches.push(batch.iter().map(|row| row.index.cell).collect());
            Ok::<(), ()>(())
        };
        assert_eq!(outbox.deliver(keep), Ok(()));
        let lengths: Vec<usize> = batches.iter().map(Vec::len).collect();
        assert_eq!(lengths, [MOST_ROWS, MOST_ROWS, 3]);
        assert!(batches.concat().into_iter().eq(0..2 * MOST_ROWS + 3));
    }

    #[test]
    fn nobody_waits_for_one_who_keeps_nothing_any_more() {
        let outbox = Outbox::default();
        let kept = std::thread::scope(|scope| {
            let clerk = scope.spawn(|| outbox.deliver(|_| Err("full")));
            // More than may wait: this ends only when the clerk has given up.
            (0..3 * MOST_WAITING).for_each(|at| outbox.put(row(at)));
            clerk.join().unwrap()
        });
        assert_eq!(kept, Err("full"));
        assert!(outbox.is_broken());
    }

    #[test]
    fn a_panic_of_who_keeps_the_rows_frees_the_others() {
        let outbox = Outbox::default();
        let kept = std::thread::scope(|scope| {
            let clerk = scope.spawn(|| outbox.deliver::<()>(|_| panic!("a bug")));
            (0..3 * MOST_WAITING).for_each(|at| outbox.put(row(at)));
            clerk.join()
        });
        assert!(kept.is_err());
    }
}
