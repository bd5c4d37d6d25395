//! The compact format: one JSON object a line, in RouteSim's own words.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::BufRead;

use super::collect::Collect;
use super::fields::{Fields, check_sum};
use super::lines::{Layout, Line, MOST_UNUSED, Tally, each_line};
use super::row::{ReadReport, Row, RowFault, Rows, TraceError};
use super::scan::Field;

/// Every key of a row.
pub(super) const KEYS: [&str; 16] = [
    "ts",
    "prompt_tokens",
    "gen_tokens",
    "prefix_hash",
    "prefix_len",
    "session",
    "conversation_id",
    "model",
    "hash_ids",
    "block_size",
    "lora_adapter",
    "priority",
    "measured_queued_ms",
    "measured_scheduled_ms",
    "measured_first_token_ms",
    "measured_last_token_ms",
];

/// Keys that other programs write, or that a measured trace has, and that change nothing here.
const UNUSED: [&str; MOST_UNUSED] = [
    "lora_adapter",
    "priority",
    "measured_queued_ms",
    "measured_scheduled_ms",
    "measured_first_token_ms",
    "measured_last_token_ms",
];

/// How the compact format writes its rows.
pub(super) const LAYOUT: Layout = Layout { field_of, parse };

/// Reads rows of the compact format; `block_size` serves those that have `hash_ids` and no
/// `block_size` of their own.
pub(super) fn read(
    reader: impl BufRead,
    label: &str,
    block_size: Option<u32>,
) -> Result<Rows, TraceError> {
    let mut rows: Vec<Row> = Vec::new();
    let (block_tokens, report) = read_into(reader, label, block_size, &mut rows)?;
    Ok(Rows { rows, block_tokens, report })
}

/// Does the same into `requests`; returns what an id stands for, when a row has ids, and the report.
pub(super) fn read_into(
    reader: impl BufRead,
    label: &str,
    block_size: Option<u32>,
    requests: &mut impl Collect,
) -> Result<(Option<u32>, ReadReport), TraceError> {
    let mut compact = Compact::new(block_size);
    each_line(reader, label, &LAYOUT, |line| {
        compact.check(line)?;
        requests.add(line, compact.block_size);
        Ok(())
    })?;
    Ok(compact.finish())
}

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Compact {
    /// Asked for, or of the first row that has one.
    pub(super) block_size: Option<u32>,
    /// Ids of the whole blocks of each prefix that has a name as well, the longest seen.
    prefixes: BTreeMap<String, Vec<u64>>,
    tally: Tally,
    chained: bool,
    clipped: usize,
    nothing_shared: usize,
    unused: [usize; UNUSED.len()],
}

impl Compact {
    pub(super) fn new(block_size: Option<u32>) -> Self {
        Self { block_size, ..Self::default() }
    }

    /// Checks a row against those before it.
    pub(super) fn check(&mut self, line: &mut Line<'_>) -> Result<(), RowFault> {
        self.check_prefix(line)?;
        self.check_chain(line)?;
        self.tally.add(line.arrival_ns);
        self.chained |= !line.hash_ids.is_empty();
        self.nothing_shared += usize::from(
            line.prefix_hash.is_some() && line.prefix_len.is_none() && line.hash_ids.is_empty(),
        );
        for (count, present) in self.unused.iter_mut().zip(line.unused) {
            *count += usize::from(present);
        }
        Ok(())
    }

    fn check_prefix(&mut self, row: &mut Line<'_>) -> Result<(), RowFault> {
        let Some(len) = row.prefix_len else {
            return Ok(());
        };
        if row.prefix_hash.is_none() {
            let message = format!("`prefix_len` is {len} and `prefix_hash` is missing");
            return Err(
                RowFault::new(message).hint("`prefix_hash` says which rows share that prefix")
            );
        }
        if len > row.prompt_tokens {
            row.prefix_len = Some(row.prompt_tokens);
            self.clipped += 1;
        }
        Ok(())
    }

    fn check_chain(&mut self, row: &Line<'_>) -> Result<(), RowFault> {
        if let (Some(own), Some(other)) = (row.block_size, self.block_size)
            && own != other
        {
            let message = format!("`block_size` is {own}, expected {other} as before");
            return Err(RowFault::new(message)
                .hint("all rows of a trace have the block size of the first, or of --block-size"));
        }
        self.block_size = self.block_size.or(row.block_size);
        if row.hash_ids.is_empty() {
            return Ok(());
        }
        let block_size = self.block_size.ok_or_else(|| {
            RowFault::new("`hash_ids` without `block_size`")
                .hint("say how many tokens an id stands for, in the rows or by --block-size")
        })?;
        let most = row.prompt_tokens.div_ceil(block_size);
        if row.hash_ids.len() as u64 > u64::from(most) {
            let message = format!(
                "`hash_ids` has {} ids, expected at most {most} for {} prompt tokens in blocks of \
                 {block_size}",
                row.hash_ids.len(),
                row.prompt_tokens
            );
            return Err(RowFault::new(message).hint("check `block_size`"));
        }
        self.check_same_prefix(row, block_size)
    }

    /// Refuses a row whose ids say other than its `prefix_hash`.
    fn check_same_prefix(&mut self, row: &Line<'_>, block_size: u32) -> Result<(), RowFault> {
        let (Some(hash), Some(len)) = (&row.prefix_hash, row.prefix_len) else {
            return Ok(());
        };
        let whole = usize::try_from(len / block_size).unwrap_or(usize::MAX);
        let ids = &row.hash_ids[..whole.min(row.hash_ids.len())];
        // Against the longest is enough: what agrees with it agrees with each other.
        let longest = self.prefixes.entry(hash.to_string()).or_default();
        if let Some(at) = ids.iter().zip(&*longest).position(|(a, b)| a != b) {
            let message = format!(
                "`hash_ids[{at}]` is {}, expected {} as in an earlier row of `prefix_hash` \
                 \"{hash}\"",
                ids[at], longest[at]
            );
            return Err(RowFault::new(message)
                .hint("equal `prefix_hash` means equal leading ids; leave one of the two out"));
        }
        if ids.len() > longest.len() {
            *longest = ids.to_vec();
        }
        Ok(())
    }

    /// Returns what an id stands for, when a row has ids, and the report.
    pub(super) fn finish(self) -> (Option<u32>, ReadReport) {
        let rows = self.tally.rows;
        let mut report = ReadReport { read: rows, emitted: rows, ..ReadReport::default() };
        report.note_rows(self.tally.out_of_order, "out of order, sorted by time");
        report.note_rows(
            self.clipped,
            "with `prefix_len` above `prompt_tokens`, taken as `prompt_tokens`",
        );
        report.note_rows(
            self.nothing_shared,
            "with `prefix_hash` and no `prefix_len`, which shares nothing",
        );
        for (count, key) in self.unused.into_iter().zip(UNUSED) {
            report.note_rows(count, &format!("with `{key}`, which is not used"));
        }
        (self.block_size.filter(|_| self.chained), report)
    }
}

fn field_of(key: &[u8]) -> Option<Field> {
    Some(match key {
        b"ts" => Field::Time,
        b"prompt_tokens" => Field::PromptTokens,
        b"gen_tokens" => Field::OutputTokens,
        b"prefix_hash" => Field::PrefixHash,
        b"prefix_len" => Field::PrefixLen,
        b"hash_ids" => Field::HashIds,
        b"session" | b"conversation_id" => Field::Session,
        b"model" => Field::Model,
        b"block_size" => Field::BlockSize,
        _ => return None,
    })
}

pub(super) fn parse(mut fields: Fields) -> Result<Line<'static>, RowFault> {
    check_keys(&fields)?;
    let line = Line {
        arrival_ns: fields.time_ns("ts")?,
        prompt_tokens: fields.tokens("prompt_tokens")?,
        gen_tokens: fields.tokens("gen_tokens")?,
        prefix_hash: fields.name("prefix_hash")?.map(Cow::Owned),
        prefix_len: fields.whole("prefix_len", 0)?,
        hash_ids: fields.ids("hash_ids")?,
        session: session(&mut fields)?.map(Cow::Owned),
        model: fields.name("model")?.map(Cow::Owned),
        ..Line::default()
    };
    check_sum(("prompt_tokens", line.prompt_tokens), ("gen_tokens", line.gen_tokens))?;
    Ok(Line {
        block_size: fields.whole("block_size", 1)?,
        unused: UNUSED.map(|key| fields.take(key).is_some()),
        ..line
    })
}

/// Refuses unknown keys, and says so when they are those of another format.
fn check_keys(fields: &Fields) -> Result<(), RowFault> {
    fields.only(&KEYS).map_err(|fault| {
        if fields.has("input_length") {
            fault.hint("these are Mooncake's keys: read the file as format `mooncake`")
        } else if ["resourceSpans", "batches", "data", "spans"].iter().any(|key| fields.has(key)) {
            fault.hint("these are spans: read the file as format `otel`")
        } else {
            fault
        }
    })
}

fn session(fields: &mut Fields) -> Result<Option<String>, RowFault> {
    match (fields.name("session")?, fields.name("conversation_id")?) {
        (Some(_), Some(_)) => {
            Err(RowFault::new("`session` and `conversation_id` in one row, which mean the same")
                .hint("leave one of them out"))
        }
        (session, conversation) => Ok(session.or(conversation)),
    }
}

#[cfg(test)]
mod tests;
