//! Mooncake's JSON lines: chained block ids, no sessions.

use std::borrow::Cow;
use std::io::BufRead;

use super::collect::Collect;
use super::fields::{Fields, check_sum};
use super::lines::{Layout, Line, Tally, each_line};
use super::row::{ReadReport, Row, RowFault, Rows, TraceError};
use super::scan::Field;

/// Tokens an id stands for in the published traces.
///
/// Source: Mooncake's FAST'25 release, whose rows all have `ceil(input_length / 512)` ids.
const BLOCK_SIZE: u32 = 512;

const KEYS: [&str; 7] =
    ["timestamp", "input_length", "output_length", "hash_ids", "session_id", "delay", "extra"];

/// Keys that load generators add and that change nothing here.
const UNUSED: [&str; 2] = ["delay", "extra"];

/// How Mooncake writes its rows.
pub(super) const LAYOUT: Layout = Layout { field_of, parse };

/// Reads rows in Mooncake's format, with ids of `block_size` tokens or the published 512.
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
    let block_size = block_size.unwrap_or(BLOCK_SIZE);
    let mut tally = Tally::default();
    let mut unused = [0; UNUSED.len()];
    let mut chained = false;
    each_line(reader, label, &LAYOUT, |line| {
        check_block_size(line.prompt_tokens, line.hash_ids.len(), block_size)?;
        tally.add(line.arrival_ns);
        chained |= !line.hash_ids.is_empty();
        for (count, present) in unused.iter_mut().zip(line.unused) {
            *count += usize::from(present);
        }
        requests.add(line, Some(block_size));
        Ok(())
    })?;
    let mut report = ReadReport { read: tally.rows, emitted: tally.rows, ..ReadReport::default() };
    report.note_rows(tally.out_of_order, "out of order, sorted by time");
    for (count, key) in unused.into_iter().zip(UNUSED) {
        report.note_rows(count, &format!("with `{key}`, which is not used"));
    }
    let sessions = requests.infer_sessions();
    if sessions > 0 {
        report.notes.push(format!(
            "sessions are not in the file, but inferred from shared blocks: {sessions}"
        ));
    }
    Ok((Some(block_size).filter(|_| chained), report))
}

fn field_of(key: &[u8]) -> Option<Field> {
    Some(match key {
        b"timestamp" => Field::Time,
        b"input_length" => Field::PromptTokens,
        b"output_length" => Field::OutputTokens,
        b"hash_ids" => Field::HashIds,
        b"session_id" => Field::Session,
        _ => return None,
    })
}

fn parse(mut fields: Fields) -> Result<Line<'static>, RowFault> {
    if let Some(key) = ["text_input", "messages", "payload"].iter().find(|key| fields.has(key)) {
        let message = format!("`{key}` in place of `input_length`");
        return Err(RowFault::new(message).hint("count its tokens first; no tokenizer is built in"));
    }
    fields.only(&KEYS).map_err(|fault| {
        if fields.has("prompt_tokens") {
            fault.hint("these are the compact format's keys: read the file as `compact_jsonl`")
        } else {
            fault
        }
    })?;
    let line = Line {
        unused: std::array::from_fn(|at| UNUSED.get(at).is_some_and(|key| fields.has(key))),
        arrival_ns: fields.time_ns("timestamp")?,
        prompt_tokens: fields.tokens("input_length")?,
        gen_tokens: fields.tokens("output_length")?,
        hash_ids: fields.ids("hash_ids")?,
        session: fields.name("session_id")?.map(Cow::Owned),
        ..Line::default()
    };
    check_sum(("input_length", line.prompt_tokens), ("output_length", line.gen_tokens))?;
    Ok(line)
}

/// Refuses ids that can't be one for each block of the prompt, its part-filled last one or not.
fn check_block_size(prompt: u32, ids: usize, block_size: u32) -> Result<(), RowFault> {
    if ids == 0 || fits(prompt, ids, block_size) {
        return Ok(());
    }
    let (least, most) = (prompt / block_size, prompt.div_ceil(block_size));
    let wanted = if least == most { least.to_string() } else { format!("{least} or {most}") };
    let message = format!(
        "`hash_ids` has {ids} ids, expected {wanted} for `input_length` {prompt} in blocks of \
         {block_size} tokens"
    );
    let fitting = (0..=16).map(|power| 1 << power).find(|size| fits(prompt, ids, *size));
    let hint = match fitting {
        Some(size) => format!("a block size of {size} fits this row (--block-size {size})"),
        None => "--block-size says how many tokens an id stands for".to_owned(),
    };
    Err(RowFault::new(message).hint(hint))
}

fn fits(prompt: u32, ids: usize, block_size: u32) -> bool {
    let range = u64::from(prompt / block_size)..=u64::from(prompt.div_ceil(block_size));
    range.contains(&(ids as u64))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn read_text(text: &str, block_size: Option<u32>) -> Result<Rows, TraceError> {
        read(text.as_bytes(), "m.jsonl", block_size)
    }

    /// Returns the error of one row, and its hint.
    fn refused(row: &str) -> (String, String) {
        let error = read_text(row, None).unwrap_err();
        (error.to_string(), error.hint().unwrap_or_default().to_owned())
    }

    #[test]
    fn rows_are_read_with_ids_of_512_tokens() {
        let rows = read_text(
            r#"{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]}
{"timestamp": 27.5, "input_length": 1100, "output_length": 6, "hash_ids": [0, 1, 2]}"#,
            None,
        )
        .unwrap();
        assert_eq!(rows.block_tokens, Some(512));
        let second = Row {
            arrival_ns: 27_500_000,
            prompt_tokens: 1100,
            gen_tokens: 6,
            hash_ids: vec![0, 1, 2],
            session: Some("0".to_owned()),
            ..Row::default()
        };
        assert_eq!(rows.rows[1], second);
        assert_eq!(
            rows.report.notes,
            ["sessions are not in the file, but inferred from shared blocks: 1"]
        );
    }

    #[test]
    fn sessions_of_the_file_are_kept() {
        let rows = read_text(
            r#"{"timestamp": 0, "input_length": 600, "output_length": 5, "session_id": 4, "delay": 9}
{"timestamp": 1, "input_length": 600, "output_length": 5}"#,
            None,
        )
        .unwrap();
        let sessions: Vec<_> = rows.rows.iter().map(|row| row.session.as_deref()).collect();
        assert_eq!(sessions, [Some("4"), None]);
        assert_eq!(rows.block_tokens, None);
        assert_eq!(rows.report.notes, ["1 row with `delay`, which is not used"]);
    }

    #[test]
    fn a_block_size_that_does_not_fit_is_refused_with_one_that_does() {
        let row = r#"{"timestamp": 0, "input_length": 100, "output_length": 5, "hash_ids": [1, 2, 3, 4, 5, 6]}"#;
        let (error, hint) = refused(row);
        assert_eq!(
            error,
            "m.jsonl:1: `hash_ids` has 6 ids, expected 0 or 1 for `input_length` 100 in blocks of \
             512 tokens"
        );
        assert_eq!(hint, "a block size of 16 fits this row (--block-size 16)");
        assert_eq!(read_text(row, Some(16)).unwrap().block_tokens, Some(16));
        let error = read_text(row, Some(8)).unwrap_err();
        assert!(error.to_string().contains("expected 12 or 13"), "too few ids: {error}");
    }

    #[test]
    fn bad_rows_are_refused_by_line_and_field() {
        for (row, expected) in [
            (r#"{"timestamp": 0, "input_length": 5}"#, "`output_length` is missing"),
            (
                r#"{"timestamp": -1, "input_length": 5, "output_length": 1}"#,
                "`timestamp` is -1, expected milliseconds from 0 to 9223372036854",
            ),
            (
                r#"{"timestamp": 0, "input_length": 5, "output_length": 1, "hash_id": [1]}"#,
                "unknown key `hash_id`",
            ),
            (
                r#"{"timestamp": 0, "messages": [], "output_length": 1}"#,
                "`messages` in place of `input_length`",
            ),
            (
                r#"{"timestamp": 0, "input_length": 4294967295, "output_length": 1}"#,
                "`input_length` and `output_length` are 4294967296 together, expected at most 4294967295",
            ),
        ] {
            let (error, hint) = refused(row);
            assert_eq!(error, format!("m.jsonl:1: {expected}"));
            assert!(!hint.is_empty(), "{row}");
        }
        let (_, hint) = refused(r#"{"ts": 0, "prompt_tokens": 5, "gen_tokens": 1}"#);
        assert!(hint.contains("compact_jsonl"), "{hint}");
    }

    #[test]
    fn the_conversation_trace_has_its_known_shape() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/mooncake");
        let text = fs::read_to_string(folder.join("conversation_trace.jsonl")).unwrap();
        let rows = read_text(&text, None).unwrap();
        assert_eq!(rows.rows.len(), 12_031);

        let session = |row: &Row| row.session.as_deref().unwrap().parse::<usize>().unwrap();
        let mut turns = vec![0_usize; 7_373];
        for row in &rows.rows {
            turns[session(row)] += 1;
        }
        assert!(turns.iter().all(|turns| *turns > 0));
        let single = turns.iter().filter(|turns| **turns == 1).count();
        // 69 % of the sessions; the mean is 12,031 / 7,373 = 1.63 turns.
        assert_eq!(single, 5_114);
    }
}
