//! The compact format: one JSON object a line, in RouteSim's own words.

use std::collections::BTreeMap;
use std::io::BufRead;

use super::fields::{Fields, check_sum, each_line};
use super::row::{ReadReport, Row, RowFault, Rows, TraceError};

/// Every key of a row.
const KEYS: [&str; 16] = [
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
const UNUSED: [&str; 6] = [
    "lora_adapter",
    "priority",
    "measured_queued_ms",
    "measured_scheduled_ms",
    "measured_first_token_ms",
    "measured_last_token_ms",
];

/// Reads rows of the compact format; `block_size` serves those that have `hash_ids` and no
/// `block_size` of their own.
pub(super) fn read(
    reader: impl BufRead,
    label: &str,
    block_size: Option<u32>,
) -> Result<Rows, TraceError> {
    let mut compact = Compact::new(block_size);
    let read = each_line(reader, label, |fields| compact.add(fields))?;
    Ok(compact.finish(read))
}

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Compact {
    rows: Vec<Row>,
    /// Asked for, or of the first row that has one.
    block_size: Option<u32>,
    /// Ids of the whole blocks of each prefix that has a name as well, the longest seen.
    prefixes: BTreeMap<String, Vec<u64>>,
    clipped: usize,
    unused: [usize; UNUSED.len()],
}

impl Compact {
    pub(super) fn new(block_size: Option<u32>) -> Self {
        Self { block_size, ..Self::default() }
    }

    /// Returns the row that was added last.
    pub(super) fn last(&self) -> Option<&Row> {
        self.rows.last()
    }

    pub(super) fn add(&mut self, mut fields: Fields) -> Result<(), RowFault> {
        check_keys(&fields)?;
        let mut row = Row {
            arrival_ns: fields.time_ns("ts")?,
            prompt_tokens: fields.tokens("prompt_tokens")?,
            gen_tokens: fields.tokens("gen_tokens")?,
            prefix_hash: fields.name("prefix_hash")?,
            prefix_len: fields.whole("prefix_len", 0)?,
            hash_ids: fields.ids("hash_ids")?,
            session: session(&mut fields)?,
            model: fields.name("model")?,
        };
        check_sum(("prompt_tokens", row.prompt_tokens), ("gen_tokens", row.gen_tokens))?;
        let own_block_size = fields.whole("block_size", 1)?;
        for (count, key) in self.unused.iter_mut().zip(UNUSED) {
            *count += usize::from(fields.take(key).is_some());
        }
        self.check_prefix(&mut row)?;
        self.check_chain(&row, own_block_size)?;
        self.rows.push(row);
        Ok(())
    }

    fn check_prefix(&mut self, row: &mut Row) -> Result<(), RowFault> {
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

    fn check_chain(&mut self, row: &Row, own_block_size: Option<u32>) -> Result<(), RowFault> {
        if let (Some(own), Some(other)) = (own_block_size, self.block_size)
            && own != other
        {
            let message = format!("`block_size` is {own}, expected {other} as before");
            return Err(RowFault::new(message)
                .hint("all rows of a trace have the block size of the first, or of --block-size"));
        }
        self.block_size = self.block_size.or(own_block_size);
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
    fn check_same_prefix(&mut self, row: &Row, block_size: u32) -> Result<(), RowFault> {
        let (Some(hash), Some(len)) = (&row.prefix_hash, row.prefix_len) else {
            return Ok(());
        };
        let whole = usize::try_from(len / block_size).unwrap_or(usize::MAX);
        let ids = &row.hash_ids[..whole.min(row.hash_ids.len())];
        // Against the longest is enough: what agrees with it agrees with each other.
        let longest = self.prefixes.entry(hash.clone()).or_default();
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

    pub(super) fn finish(self, read: usize) -> Rows {
        let mut report = ReadReport { read, emitted: self.rows.len(), ..ReadReport::default() };
        report.note_rows(out_of_order(&self.rows), "out of order, sorted by time");
        report.note_rows(
            self.clipped,
            "with `prefix_len` above `prompt_tokens`, taken as `prompt_tokens`",
        );
        report.note_rows(
            nothing_shared(&self.rows),
            "with `prefix_hash` and no `prefix_len`, which shares nothing",
        );
        for (count, key) in self.unused.into_iter().zip(UNUSED) {
            report.note_rows(count, &format!("with `{key}`, which is not used"));
        }
        let chained = self.rows.iter().any(|row| !row.hash_ids.is_empty());
        Rows { block_tokens: self.block_size.filter(|_| chained), rows: self.rows, report }
    }
}

/// Returns how many rows are earlier than one before them.
pub(super) fn out_of_order(rows: &[Row]) -> usize {
    let mut latest = i64::MIN;
    let mut count = 0;
    for row in rows {
        count += usize::from(row.arrival_ns < latest);
        latest = latest.max(row.arrival_ns);
    }
    count
}

/// Returns how many rows name a prefix of no known length, and have no ids instead.
pub(super) fn nothing_shared(rows: &[Row]) -> usize {
    let nothing = |row: &&Row| {
        row.prefix_hash.is_some() && row.prefix_len.is_none() && row.hash_ids.is_empty()
    };
    rows.iter().filter(nothing).count()
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
