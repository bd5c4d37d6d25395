//! Requests from OpenTelemetry spans.
//!
//! A span is a request when it is an inference, has both token counts and no span below it does:
//! a client's span over the server's, or an agent's span with summed usage, repeats what is
//! counted below. Everything else is left out and counted by reason.

mod attributes;
mod shapes;
mod time;

use std::collections::BTreeMap;
use std::io::BufRead;

use serde_json::Value;

use self::attributes::row_of;
use self::shapes::{Span, each_span};
use super::row::{ReadReport, Row, RowFault, Rows, TraceError};

/// A trace id and a span id.
type Key = (String, String);

/// Reads the spans of a stream of JSON values: one document, or one a line.
pub(super) fn read(reader: impl BufRead, label: &str) -> Result<Rows, TraceError> {
    let mut spans = Spans::default();
    let documents = serde_json::Deserializer::from_reader(reader).into_iter::<Value>();
    for (index, document) in documents.enumerate() {
        let document = document.map_err(|error| unreadable(error, label))?;
        each_span(&document, &mut |span| spans.add(span)).map_err(|fault| {
            let place =
                if index == 0 { String::new() } else { format!("JSON document {}: ", index + 1) };
            TraceError::File {
                path: label.to_owned(),
                fault: RowFault { message: format!("{place}{}", fault.message), ..fault },
            }
        })?;
    }
    Ok(spans.finish())
}

/// What was read so far.
#[derive(Debug, Default)]
struct Spans {
    nodes: Vec<Node>,
    by_key: BTreeMap<Key, usize>,
    duplicates: usize,
}

/// A span and what it is worth.
#[derive(Debug)]
struct Node {
    parent: Option<Key>,
    /// The request, or why there is none.
    row: Result<Row, &'static str>,
}

impl Spans {
    fn add(&mut self, span: &Span<'_>) {
        let key = |id: &Option<String>| Some((span.trace.clone()?, id.clone()?));
        if let Some(own) = key(&span.id) {
            if self.by_key.contains_key(&own) {
                self.duplicates += 1;
                return;
            }
            self.by_key.insert(own, self.nodes.len());
        }
        self.nodes.push(Node { parent: key(&span.parent), row: row_of(span) });
    }

    /// Returns, by node, whether a span somewhere below it is a request.
    fn counted_below(&self) -> Vec<bool> {
        let mut below = vec![false; self.nodes.len()];
        for (start, node) in self.nodes.iter().enumerate() {
            if node.row.is_err() {
                continue;
            }
            let mut at = start;
            while let Some(parent) = self.nodes[at].parent.as_ref()
                && let Some(&above) = self.by_key.get(parent)
                // Above a span that was reached before, all are marked; and none is its own parent.
                && !below[above]
                && above != start
            {
                below[above] = true;
                at = above;
            }
        }
        below
    }

    fn finish(self) -> Rows {
        let below = self.counted_below();
        let mut report =
            ReadReport { read: self.nodes.len() + self.duplicates, ..ReadReport::default() };
        if self.duplicates > 0 {
            report.dropped.insert("a span given before", self.duplicates);
        }
        let mut rows = Vec::new();
        for (node, counted_below) in self.nodes.into_iter().zip(below) {
            let reason = match node.row {
                Ok(_) if counted_below => "repeating the counts of a span below",
                Ok(row) => {
                    rows.push(row);
                    continue;
                }
                Err(reason) => reason,
            };
            *report.dropped.entry(reason).or_default() += 1;
        }
        // Exporters write spans as they end, so file order says nothing about arrivals.
        rows.sort_by_key(|row| row.arrival_ns);
        report.emitted = rows.len();
        report.note_rows(
            nothing_shared(&rows),
            "with the hash of a system prompt and no length of it, which shares nothing",
        );
        Rows { rows, block_tokens: None, report }
    }
}

/// Returns how many rows name a prefix of no known length.
fn nothing_shared(rows: &[Row]) -> usize {
    let nothing = |row: &&Row| row.prefix_hash.is_some() && row.prefix_len.is_none();
    rows.iter().filter(nothing).count()
}

fn unreadable(error: serde_json::Error, label: &str) -> TraceError {
    let path = label.to_owned();
    if error.is_io() {
        let source = error.into();
        return TraceError::Io { path, source };
    }
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or_default();
    let fault = RowFault::new(format!("malformed JSON: {what}")).hint(
        "expected OTLP/JSON or Jaeger's JSON; of the collector's file exporter, only \
         `format: json` can be read",
    );
    TraceError::Line { path, line: error.line(), fault }
}

#[cfg(test)]
mod tests;
