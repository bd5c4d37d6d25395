//! Requests as files name them, and the road from there to columns.

use std::collections::BTreeMap;

use crate::units::{LONGEST, PS_PER_NS, SimTime};

use super::chain::ONE_LEVEL;
use super::columns::{NewRequest, Trace, TraceBuilder};

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

/// Gives the values of one column dense numbers in the order of their first use.
#[derive(Debug)]
struct Interner<K>(BTreeMap<K, u32>);

impl<K: Ord> Interner<K> {
    fn number(&mut self, key: K) -> u32 {
        let next = u32::try_from(self.0.len()).expect("over 4 billion names in one column");
        *self.0.entry(key).or_insert(next)
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
    pub fn into_trace(mut self) -> Result<Trace, RowFault> {
        let Some(first) = self.rows.iter().map(|row| row.arrival_ns).min() else {
            return Err(RowFault::new("no requests").hint("an empty trace has nothing to simulate"));
        };
        let chained = self.rows.iter().any(|row| !row.hash_ids.is_empty());
        let one_level = |row: &Row| row.hash_ids.is_empty() && row.prefix_len.is_some();
        if chained && self.rows.iter().any(one_level) {
            let message = "some rows have `hash_ids` and others only `prefix_hash`";
            return Err(RowFault::new(message).hint("a trace uses one of the two throughout"));
        }
        let block_tokens = if chained {
            self.block_tokens.ok_or_else(|| {
                RowFault::new("`hash_ids` without a block size")
                    .hint("say how many tokens an id stands for (--block-size)")
            })?
        } else {
            ONE_LEVEL
        };

        let mut ids = Interner(BTreeMap::new());
        let mut prefixes = Interner(BTreeMap::new());
        let mut sessions = Interner(BTreeMap::new());
        let mut models = Interner(BTreeMap::new());
        let model_of: Vec<Option<u32>> = (self.rows.iter_mut())
            .map(|row| row.model.take().map(|model| models.number(model)))
            .collect();
        let mut names: Vec<(String, u32)> = models.0.into_iter().collect();
        names.sort_by_key(|(_, number)| *number);
        let names = names.into_iter().map(|(name, _)| name).collect();

        let mut builder = TraceBuilder::new(block_tokens, names);
        let mut chain = Vec::new();
        for (row, model) in self.rows.into_iter().zip(model_of) {
            chain.clear();
            let mut shared_tokens = 0;
            if chained {
                chain.extend(row.hash_ids.iter().map(|id| ids.number(*id)));
                let covered = chain.len() as u64 * u64::from(block_tokens);
                let covered = u32::try_from(covered).unwrap_or(u32::MAX);
                shared_tokens = covered.min(row.prompt_tokens);
            } else if let (Some(hash), Some(len)) = (row.prefix_hash, row.prefix_len) {
                chain.push(prefixes.number(hash));
                shared_tokens = len.min(row.prompt_tokens);
            }
            builder.push(NewRequest {
                arrival: rebase(row.arrival_ns, first)?,
                prompt_tokens: row.prompt_tokens,
                output_tokens: row.gen_tokens,
                chain: &chain,
                shared_tokens,
                session: row.session.map(|session| sessions.number(session)),
                model,
            });
        }
        Ok(builder.finish())
    }
}

/// Returns the time of a row from the first, in whole picoseconds.
fn rebase(arrival_ns: i64, first_ns: i64) -> Result<SimTime, RowFault> {
    let longest = LONGEST.as_ps() / PS_PER_NS;
    let ns = arrival_ns.abs_diff(first_ns);
    if ns > longest {
        let days = ns / 86_400_000_000_000;
        return Err(RowFault::new(format!("the rows span {days} days, more than the clock's 100"))
            .hint("times are in milliseconds; cut the trace, or check the unit"));
    }
    Ok(SimTime::from_ps(ns * PS_PER_NS))
}
