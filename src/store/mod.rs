//! The store of a sweep: finished runs, as files that nothing can half-write.
//!
//! ```text
//! results/<name>/store.json                  whose results these are
//! results/<name>/parts/<2 hex>/<32 hex>.parquet   a batch of finished runs
//! results/<name>/parts/<2 hex>/.tmp-…        a part on its way, or what a killed process left
//! results/<name>/requests/<engine>/<2 hex>/<run id>.parquet   the requests of a run, if asked for
//! results/<name>/series/<engine>/every_<seconds>_s/<2 hex>/<run id>.parquet   its backends over time
//! results/<name>/failures/<engine>/<32 hex>.jsonl   why runs failed
//! results/<name>/plan.json                   what was last asked of it
//! results/<name>/events/<process>.jsonl      what a process did, a line an event
//! ```
//!
//! The last three are for people and for who puts tables together: without them nothing is lost but
//! what they say.
//!
//! A part is named by the SHA-256 of its bytes, so reading it verifies it. It is written beside its
//! place, brought to the disk and renamed; nothing is appended to and no part is deleted. Any number
//! of processes may write and read one store at once: the store is the union of its parts, by
//! `run_id`. A run that is there twice must have the same results twice.
//!
//! A run may have details beside its results, as lists in columns of their own, each with its hash.
//! They are no part of the results: a run that is there with and without them is no conflict, and
//! what any part has of it counts.
//!
//! Parts say which engine made them. Those of another engine are left alone and count for nothing.

mod digest;
mod error;
mod failures;
mod files;
mod folder;
mod journal;
mod part;
mod run_id;
mod run_tables;
mod specs;
mod stored;

#[cfg(test)]
mod tests;

pub use digest::{file_sha256, sha256_hex, short_sha256};
pub use error::StoreError;
pub use failures::{FailedRun, FailureLog};
pub use folder::{Index, Store};
pub use journal::{Journal, JournalEnds};
pub use run_id::RunId;
pub use run_tables::RunTable;
pub use stored::{Damaged, Stored};

/// The version of the layout of a store. A store of a later one is refused.
pub const STORE_SCHEMA: u32 = 1;

/// The column of a run's id: first in every part.
pub const RUN_ID: &str = "run_id";
/// The column of the hash over a run's results.
pub const RESULT_HASH: &str = "result_hash";
/// The column that says how a run ended.
pub const STATUS: &str = "status";
/// The status of a run that ended well.
const OK: &str = "ok";
const NUM_DETAILS: usize = crate::tables::Detail::ALL.len();
