use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::trace::{ONE_LEVEL, ReadReport, Rows, compact, infer_sessions, mooncake, write_compact};

/// The plain road from rows to a trace, in small steps: names are numbered by first use in the
/// file, then requests are sorted.
fn plainly(rows: &[Row], block_tokens: Option<u32>) -> Trace {
    let first = rows.iter().map(|row| row.arrival_ns).min().unwrap();
    let mut ids = BTreeMap::new();
    let mut prefixes = BTreeMap::new();
    let mut sessions = BTreeMap::new();
    let mut models = BTreeMap::new();
    let mut names = Vec::new();
    for model in rows.iter().filter_map(|row| row.model.clone()) {
        if !names.contains(&model) {
            names.push(model);
        }
    }
    let mut order: Vec<(i64, NewRequestOf)> = Vec::new();
    for row in rows {
        let chain: Vec<u32> = match (&row.prefix_hash, row.prefix_len) {
            _ if !row.hash_ids.is_empty() => {
                row.hash_ids.iter().map(|id| number(&mut ids, *id)).collect()
            }
            (Some(hash), Some(_)) => vec![number(&mut prefixes, hash.clone())],
            _ => Vec::new(),
        };
        let shared = match block_tokens {
            _ if chain.is_empty() => 0,
            Some(size) => row.prompt_tokens.min(size * u32::try_from(chain.len()).unwrap()),
            None => row.prefix_len.unwrap().min(row.prompt_tokens),
        };
        let session = row.session.clone().map(|name| number(&mut sessions, name));
        let model = row.model.clone().map(|name| number(&mut models, name));
        let lengths = (row.prompt_tokens, row.gen_tokens);
        order.push((row.arrival_ns, (lengths, chain, shared, session, model)));
    }
    order.sort_by_key(|(time, _)| *time);
    let mut builder = TraceBuilder::new(block_tokens.unwrap_or(ONE_LEVEL), names);
    for (time, ((prompt_tokens, output_tokens), chain, shared_tokens, session, model)) in order {
        let arrival = SimTime::from_ps(time.abs_diff(first) * PS_PER_NS);
        builder.push(NewRequest {
            arrival,
            prompt_tokens,
            output_tokens,
            chain: &chain,
            shared_tokens,
            session,
            model,
        });
    }
    builder.finish()
}

type NewRequestOf = ((u32, u32), Vec<u32>, u32, Option<u32>, Option<u32>);

fn number<K: Ord>(numbers: &mut BTreeMap<K, u32>, key: K) -> u32 {
    let next = u32::try_from(numbers.len()).unwrap();
    *numbers.entry(key).or_insert(next)
}

/// Rows of few names, so that names are met again, in any order of time.
fn row() -> impl Strategy<Value = Row> {
    let names = (of("[a-c]"), of("[\\\\é-í]"), of("[a-c]"));
    let shares = (of(0_u32..200), vec(0_u64..9, 0..4));
    (0_i64..5_000_000, 80_u32..300, 1_u32..9, names, shares).prop_map(
        |(arrival_ns, prompt_tokens, gen_tokens, (prefix_hash, session, model), shares)| Row {
            arrival_ns,
            prompt_tokens,
            gen_tokens,
            prefix_len: shares.0.filter(|_| prefix_hash.is_some()),
            prefix_hash,
            hash_ids: shares.1,
            session,
            model,
        },
    )
}

fn in_file(rows: Vec<Row>, block_tokens: Option<u32>) -> (Rows, Vec<u8>) {
    let rows = Rows { rows, block_tokens, report: ReadReport::default() };
    let mut text = Vec::new();
    write_compact(&rows, &mut text).unwrap();
    (rows, text)
}

fn read_columns(text: &[u8]) -> Trace {
    let mut columns = Columns::default();
    compact::read_into(text, "t", None, &mut columns).unwrap();
    columns.finish().unwrap()
}

proptest! {
    #[test]
    fn columns_of_prefixes_are_those_of_the_plain_road(rows in vec(row(), 1..30)) {
        let bare = rows.into_iter().map(|row| Row { hash_ids: Vec::new(), ..row }).collect();
        let (rows, text) = in_file(bare, None);
        let expected = plainly(&rows.rows, None);
        prop_assert_eq!(&read_columns(&text), &expected);
        prop_assert_eq!(rows.into_trace().unwrap(), expected);
    }

    #[test]
    fn columns_of_chains_are_those_of_the_plain_road(rows in vec(row(), 1..30)) {
        let bare = |row: Row| Row { prefix_hash: None, prefix_len: None, ..row };
        let mut rows: Vec<Row> = rows.into_iter().map(bare).collect();
        rows[0].hash_ids.push(5);
        let (rows, text) = in_file(rows, Some(16));
        let expected = plainly(&rows.rows, Some(16));
        prop_assert_eq!(&read_columns(&text), &expected);
        prop_assert_eq!(rows.into_trace().unwrap(), expected);
    }

    #[test]
    fn sessions_inferred_in_columns_are_those_of_the_rows(
        chains in vec((0_i64..20, vec(0_u64..12, 0..5)), 1..20),
    ) {
        let rows = chains.into_iter().map(|(arrival_ns, hash_ids)| Row {
            arrival_ns,
            prompt_tokens: 512 * u32::try_from(hash_ids.len().max(1)).unwrap(),
            gen_tokens: 1,
            hash_ids,
            ..Row::default()
        });
        let mut rows = Rows {
            rows: rows.collect(),
            block_tokens: Some(512),
            report: ReadReport::default(),
        };
        let mut columns = Columns::default();
        for row in &rows.rows {
            columns.add(&mut Line::from(row.clone()), Some(512));
        }
        prop_assert_eq!(columns.infer_sessions(), infer_sessions(&mut rows));
        prop_assert_eq!(columns.finish().unwrap(), rows.into_trace().unwrap());
    }
}

#[test]
fn rows_that_can_not_be_compared_are_refused_after_a_fault_of_a_later_line() {
    let mixed = "{\"ts\":0,\"prompt_tokens\":99,\"gen_tokens\":1,\"prefix_hash\":1,\"prefix_len\":64}\n\
                 {\"ts\":0,\"prompt_tokens\":99,\"gen_tokens\":1,\"hash_ids\":[1],\"block_size\":16}\n\
                 {\"ts\":0,\"prompt_tokens\":99,\"gen_tokens\":1,\"prefix_hash\":1,\"prefix_len\":64}\n";
    let mut columns = Columns::default();
    compact::read_into(mixed.as_bytes(), "t", None, &mut columns).unwrap();
    let fault = columns.finish().unwrap_err();
    assert_eq!(fault.message, "some rows have `hash_ids` and others only `prefix_hash`");

    let broken = format!("{mixed}{{\"ts\": -1}}\n");
    let mut columns = Columns::default();
    let error = compact::read_into(broken.as_bytes(), "t", None, &mut columns).unwrap_err();
    assert!(error.to_string().starts_with("t:4: `ts` is -1"), "{error}");
}

#[test]
fn the_conversation_trace_is_the_same_by_rows_and_by_columns() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/mooncake");
    let text = std::fs::read(folder.join("conversation_trace.jsonl")).unwrap();
    let rows = mooncake::read(&text[..], "m", None).unwrap();
    let mut columns = Columns::default();
    let (block_tokens, report) = mooncake::read_into(&text[..], "m", None, &mut columns).unwrap();
    assert_eq!((block_tokens, &report), (rows.block_tokens, &rows.report));
    let trace = columns.finish().unwrap();
    assert_eq!(trace, plainly(&rows.rows, Some(512)));
}
