//! The writer of the compact format.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::fields::NS_PER_MS;
use super::row::{Row, Rows};

/// Writes rows in the compact format, one JSON object a line, in their order.
///
/// Keys stand in a fixed order and optional ones only where the row has them, so equal rows give
/// equal bytes. `ts` is in milliseconds from the earliest row, to the nanosecond.
///
/// # Errors
///
/// When `out` can't be written to.
pub fn write_compact(rows: &Rows, out: &mut impl Write) -> io::Result<()> {
    let first = rows.rows.iter().map(|row| row.arrival_ns).min();
    let first = first.unwrap_or_default();
    let mut line = String::new();
    for row in &rows.rows {
        line.clear();
        write_row(row, first, rows.block_tokens, &mut line)
            .map_err(|fault| io::Error::other(fault.to_string()))?;
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

fn write_row(
    row: &Row,
    first_ns: i64,
    block_tokens: Option<u32>,
    line: &mut String,
) -> Result<(), std::fmt::Error> {
    line.push_str("{\"ts\": ");
    write_ms(row.arrival_ns.abs_diff(first_ns), line)?;
    let (prompt, output) = (row.prompt_tokens, row.gen_tokens);
    write!(line, ", \"prompt_tokens\": {prompt}, \"gen_tokens\": {output}")?;
    if let Some(hash) = &row.prefix_hash {
        write!(line, ", \"prefix_hash\": {}", quoted(hash))?;
    }
    if let Some(len) = row.prefix_len {
        write!(line, ", \"prefix_len\": {len}")?;
    }
    if let Some(session) = &row.session {
        write!(line, ", \"session\": {}", quoted(session))?;
    }
    if let Some(model) = &row.model {
        write!(line, ", \"model\": {}", quoted(model))?;
    }
    if let Some((first, rest)) = row.hash_ids.split_first() {
        write!(line, ", \"hash_ids\": [{first}")?;
        for id in rest {
            write!(line, ", {id}")?;
        }
        line.push(']');
        if let Some(block_tokens) = block_tokens {
            write!(line, ", \"block_size\": {block_tokens}")?;
        }
    }
    line.push_str("}\n");
    Ok(())
}

/// Writes nanoseconds as milliseconds with as many decimals as they need.
fn write_ms(ns: u64, line: &mut String) -> Result<(), std::fmt::Error> {
    let per_ms = NS_PER_MS.unsigned_abs();
    let (ms, rest) = (ns / per_ms, ns % per_ms);
    write!(line, "{ms}")?;
    if rest > 0 {
        let decimals = format!("{rest:06}");
        write!(line, ".{}", decimals.trim_end_matches('0'))?;
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::trace::format::{ReadOptions, read};
    use crate::trace::row::ReadReport;

    fn rows_of(rows: Vec<Row>, block_tokens: Option<u32>) -> Rows {
        Rows { rows, block_tokens, report: ReadReport::default() }
    }

    fn written(rows: &Rows) -> String {
        let mut bytes = Vec::new();
        write_compact(rows, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn keys_stand_in_a_fixed_order_and_only_where_they_say_something() {
        let bare =
            Row { arrival_ns: 5_000_000_001, prompt_tokens: 20, gen_tokens: 2, ..Row::default() };
        let last = Row { arrival_ns: 5_000_000_002, ..bare.clone() };
        let full = Row {
            arrival_ns: 5_001_250_001,
            prefix_hash: Some("a \"b\"".to_owned()),
            prefix_len: Some(16),
            hash_ids: vec![3, 4],
            session: Some("s".to_owned()),
            model: Some("m".to_owned()),
            ..bare
        };
        assert_eq!(
            written(&rows_of(vec![bare, full, last], Some(16))),
            r#"{"ts": 0, "prompt_tokens": 20, "gen_tokens": 2}
{"ts": 1.25, "prompt_tokens": 20, "gen_tokens": 2, "prefix_hash": "a \"b\"", "prefix_len": 16, "session": "s", "model": "m", "hash_ids": [3, 4], "block_size": 16}
{"ts": 0.000001, "prompt_tokens": 20, "gen_tokens": 2}
"#
        );
    }

    const DAY_NS: i64 = 86_400_000_000_000;

    fn row() -> impl Strategy<Value = Row> {
        let lengths = (1..=u32::MAX / 2, 1..=u32::MAX / 2);
        let prefix = proptest::option::of((any::<String>(), proptest::option::of(any::<u32>())));
        let names = (proptest::option::of(any::<String>()), proptest::option::of(any::<String>()));
        (0..99 * DAY_NS, lengths, prefix, names, vec(any::<u64>(), 0..5)).prop_map(
            |(arrival_ns, (prompt_tokens, gen_tokens), prefix, (session, model), hash_ids)| {
                // Names of prefixes and ids could contradict each other: a row has one of them.
                let (prefix_hash, len) = match prefix.filter(|_| hash_ids.is_empty()) {
                    Some((hash, len)) => (Some(hash), len),
                    None => (None, None),
                };
                Row {
                    arrival_ns,
                    prompt_tokens,
                    gen_tokens,
                    prefix_hash,
                    prefix_len: len.map(|len| len.min(prompt_tokens)),
                    hash_ids: if prompt_tokens > 64 { hash_ids } else { Vec::new() },
                    session,
                    model,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(mut rows in vec(row(), 1..20)) {
            let chained = rows.iter().any(|row| !row.hash_ids.is_empty());
            rows[0].arrival_ns = 0;
            let rows = rows_of(rows, chained.then_some(16));
            let text = written(&rows);
            let again = read(text.as_bytes(), "t", &ReadOptions::default()).unwrap();
            prop_assert_eq!(&again.rows, &rows.rows);
            prop_assert_eq!(again.block_tokens, rows.block_tokens);
            prop_assert_eq!(written(&again), text, "and writes the same bytes");
        }
    }
}
