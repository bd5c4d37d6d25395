//! Requests as files name them, and the road from there to columns.

use std::collections::BTreeMap;

use super::collect::{Collect as _, Columns};
use super::columns::Trace;
use super::lines::Line;

/// One request as a file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Arrival in nanoseconds from any origin; times are rebased to the earliest row.
    pub arrival_ns: i64,
    /// Prompt length in tokens.
    pub prompt_tokens: u32,
    /// Output length in tokens.
    pub gen_tokens: u32,
    /// Name of a prefix shared with other rows, if any.
    pub prefix_hash: Option<String>,
    /// Length of that prefix in tokens.
    pub prefix_len: Option<u32>,
    /// Chained block ids of the prompt, first block first; empty when the file has none.
    pub hash_ids: Vec<u64>,
    /// Session (conversation) of the request.
    pub session: Option<String>,
    /// Model that the request asks for.
    pub model: Option<String>,
}

/// The rows of a file and what was done to get them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// In the order of the file.
    pub rows: Vec<Row>,
    /// Tokens that one id of `hash_ids` stands for; `None` when no row has ids.
    pub block_tokens: Option<u32>,
    /// Counts of what was read, kept and dropped.
    pub report: ReadReport,
}

/// What became of the rows of a file: `read = emitted + Σ dropped`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadReport {
    /// Rows (or spans) in the file.
    pub read: usize,
    /// Requests made of them.
    pub emitted: usize,
    /// Rows left out, by reason.
    pub dropped: BTreeMap<&'static str, usize>,
    /// What a reader of the numbers should know, one sentence each.
    pub notes: Vec<String>,
}

impl ReadReport {
    /// Notes how many rows are so; nothing when none is.
    pub(super) fn note_rows(&mut self, count: usize, what: &str) {
        if count > 0 {
            let rows = if count == 1 { "row" } else { "rows" };
            self.notes.push(format!("{count} {rows} {what}"));
        }
    }
}

/// What is wrong with a row, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RowFault {
    /// What is wrong and what was expected.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// A trace file that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file can't be opened or read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not a request.
    #[error("{path}:{line}: {fault}")]
    Line {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        fault: RowFault,
    },
    /// The file as a whole can't be used.
    #[error("{path}: {fault}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        fault: RowFault,
    },
}

impl TraceError {
    /// Returns how to mend it, when that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Io { .. } => None,
            Self::Line { fault, .. } | Self::File { fault, .. } => fault.hint.as_deref(),
        }
    }
}

impl RowFault {
    /// Makes a fault without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl Rows {
    /// Returns the rows as columns, sorted by arrival and rebased to the earliest.
    ///
    /// # Errors
    ///
    /// When there is no row, when the rows span more than 100 days, or when some rows carry
    /// `hash_ids` and others only `prefix_hash`, whose blocks can't be compared.
    ///
    /// # Panics
    ///
    /// When a row has no tokens, or more than a `u32` counts: readers refuse such rows.
    pub fn into_trace(self) -> Result<Trace, RowFault> {
        let mut columns = Columns::default();
        columns.reserve(self.rows.len());
        for row in self.rows {
            columns.add(&mut Line::from(row), self.block_tokens);
        }
        columns.finish()
    }
}
