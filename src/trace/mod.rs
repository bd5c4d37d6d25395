//! Requests: how files name them, and the columns that runs share.
//!
//! A file is read into [`Rows`] (one reader per format), checked row by row, and becomes a
//! [`Trace`]: columns in the order of arrival, borrowed by every run. What a prompt shares with
//! others is a [`Chain`] of block ids; all chains together are a tree of [`Segments`].

mod chain;
mod collect;
mod columns;
mod compact;
mod fields;
mod format;
mod lines;
mod measured;
mod mooncake;
mod numbers;
mod otel;
mod row;
mod scan;
mod segments;
mod sessions;
mod sniff;
mod write;

pub use chain::{Chain, ONE_LEVEL};
pub use columns::{NewRequest, Trace, TraceBuilder};
pub use format::{
    Format, ReadOptions, into_trace, read, read_file, read_trace, read_trace_sniffed, sniff_file,
};
pub use measured::{MeasuredTrace, Timing, read_measured};
pub use row::{ReadReport, Row, RowFault, Rows, TraceError};
pub use segments::{Path, SegmentId, Segments};
pub use sessions::infer_sessions;
pub use write::write_compact;
