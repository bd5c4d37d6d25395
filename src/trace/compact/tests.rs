use super::*;

/// Reads `lines` and returns the rows.
fn rows(lines: &str) -> Rows {
    read(lines.as_bytes(), "t.jsonl", None).unwrap()
}

/// Reads a good row, a blank line, a comment and then `line`, and returns the error and its hint.
fn refused(line: &str) -> (String, String) {
    let text = format!("{GOOD}\n\n# comment\n{line}\n");
    let error = read(text.as_bytes(), "t.jsonl", None).unwrap_err();
    (error.to_string(), error.hint().unwrap_or_default().to_owned())
}

const GOOD: &str = r#"{"ts": 0, "prompt_tokens": 10, "gen_tokens": 2}"#;

#[test]
fn the_guides_rows_are_read() {
    let rows = rows(
        r#"{"ts": 0, "prompt_tokens": 512, "gen_tokens": 128, "prefix_hash": "system_prompt_v1", "prefix_len": 256}
{"ts": 5.25, "prompt_tokens": 256, "gen_tokens": 64, "prefix_hash": 7, "prefix_len": 64, "session": 3, "model": "m"}
"#,
    );
    let first = Row {
        prompt_tokens: 512,
        gen_tokens: 128,
        prefix_hash: Some("system_prompt_v1".to_owned()),
        prefix_len: Some(256),
        ..Row::default()
    };
    let second = Row {
        arrival_ns: 5_250_000,
        prompt_tokens: 256,
        gen_tokens: 64,
        prefix_hash: Some("7".to_owned()),
        prefix_len: Some(64),
        session: Some("3".to_owned()),
        model: Some("m".to_owned()),
        ..Row::default()
    };
    assert_eq!(rows.rows, [first, second]);
    assert_eq!((rows.report.read, rows.report.emitted), (2, 2));
    assert_eq!(rows.report.notes, [""; 0]);
    assert_eq!(rows.block_tokens, None);
}

#[test]
fn blank_lines_comments_and_windows_line_ends_are_no_rows() {
    let rows = rows(&format!("# a trace\r\n\r\n{GOOD}\r\n   \n  # more\n{GOOD}"));
    assert_eq!((rows.report.read, rows.rows.len()), (2, 2));
}

#[test]
fn an_empty_file_has_no_rows() {
    assert_eq!(rows("").rows, []);
    assert_eq!(rows("# only this\n").report.read, 0);
}

#[test]
fn rows_out_of_order_keep_their_place_and_are_counted() {
    let row = |ts| format!("{{\"ts\": {ts}, \"prompt_tokens\": 1, \"gen_tokens\": 1}}\n");
    let rows = rows(&[row(200), row(100), row(300), row(150)].concat());
    let times: Vec<i64> = rows.rows.iter().map(|row| row.arrival_ns / 1_000_000).collect();
    assert_eq!(times, [200, 100, 300, 150]);
    assert_eq!(rows.report.notes, ["2 rows out of order, sorted by time"]);
}

#[test]
fn an_unknown_key_is_refused_with_the_near_one() {
    let (error, hint) = refused(r#"{"ts": 0, "promt_tokens": 10, "gen_tokens": 2}"#);
    assert_eq!(error, "t.jsonl:4: unknown key `promt_tokens`");
    assert_eq!(hint, "did you mean `prompt_tokens`?");
}

#[test]
fn the_keys_of_another_format_name_it() {
    let (error, hint) = refused(r#"{"timestamp": 0, "input_length": 10, "output_length": 2}"#);
    assert_eq!(error, "t.jsonl:4: unknown key `timestamp`");
    assert!(hint.contains("`mooncake`"), "{hint}");
    let (_, hint) = refused(r#"{"resourceSpans": []}"#);
    assert!(hint.contains("`otel`"), "{hint}");
}

/// Checks that each row is refused with its message, its line and some hint.
fn check_refused<const N: usize>(cases: [(&str, String); N]) {
    for (row, expected) in cases {
        let (error, hint) = refused(row);
        assert_eq!(error, format!("t.jsonl:4: {expected}"));
        assert!(!hint.is_empty(), "{row}");
    }
}

#[test]
fn token_counts_that_are_none_are_refused_by_line_field_value_and_expectation() {
    let whole = "a whole number from 1 to 4294967295";
    check_refused([
        (
            r#"{"ts": 0, "prompt_tokens": -3, "gen_tokens": 2}"#,
            format!("`prompt_tokens` is -3, expected {whole}"),
        ),
        (
            r#"{"ts": 0, "prompt_tokens": 0, "gen_tokens": 2}"#,
            format!("`prompt_tokens` is 0, expected {whole}"),
        ),
        (
            r#"{"ts": 0, "prompt_tokens": 1.5, "gen_tokens": 2}"#,
            format!("`prompt_tokens` is 1.5, expected {whole}"),
        ),
        (
            r#"{"ts": 0, "prompt_tokens": 1, "gen_tokens": 0}"#,
            format!("`gen_tokens` is 0, expected {whole}"),
        ),
        (
            r#"{"ts": 0, "prompt_tokens": 1, "gen_tokens": 4294967296}"#,
            format!("`gen_tokens` is 4294967296, expected {whole}"),
        ),
        (
            r#"{"ts": 0, "prompt_tokens": 1, "gen_tokens": 1e30}"#,
            format!("`gen_tokens` is 1e+30, expected {whole}"),
        ),
        (
            r#"{"ts": 0, "prompt_tokens": "9", "gen_tokens": 1}"#,
            format!("`prompt_tokens` is \"9\", expected {whole}"),
        ),
    ]);
}

#[test]
fn other_bad_values_are_refused_by_line_field_value_and_expectation() {
    let time = "milliseconds from 0 to 9223372036854";
    check_refused([
        (
            r#"{"ts": -1, "prompt_tokens": 1, "gen_tokens": 1}"#,
            format!("`ts` is -1, expected {time}"),
        ),
        (
            r#"{"ts": 2e16, "prompt_tokens": 1, "gen_tokens": 1}"#,
            format!("`ts` is 2e+16, expected {time}"),
        ),
        (
            r#"{"ts": -2e16, "prompt_tokens": 1, "gen_tokens": 1}"#,
            format!("`ts` is -2e+16, expected {time}"),
        ),
        (
            r#"{"ts": NaN, "prompt_tokens": 1, "gen_tokens": 1}"#,
            "`ts` is NaN, expected a finite number".to_owned(),
        ),
        (r#"{"ts": 0, "prompt_tokens": 1}"#, "`gen_tokens` is missing".to_owned()),
        (r#"{"ts": null, "prompt_tokens": 1, "gen_tokens": 1}"#, "`ts` is missing".to_owned()),
        (
            r#"{"ts": 0, "prompt_tokens": 1, "gen_tokens": 1"#,
            "malformed JSON at `gen_tokens`: EOF while parsing an object".to_owned(),
        ),
        (
            r#"{"ts": 0, "prompt_tokens": 1, "gen_tokens": 1, "model": 1.5}"#,
            "`model` is 1.5, expected a string or a whole number".to_owned(),
        ),
        (
            r#"{"ts": 0, "prompt_tokens": 4294967295, "gen_tokens": 10}"#,
            "`prompt_tokens` and `gen_tokens` are 4294967305 together, expected at most 4294967295"
                .to_owned(),
        ),
    ]);
}

#[test]
fn text_that_is_not_utf_8_is_refused_by_line() {
    let error = read(&b"# a\n{\"ts\": \"\xff\"}\n"[..], "t.jsonl", None).unwrap_err();
    assert_eq!(error.to_string(), "t.jsonl:2: not UTF-8");
}

#[test]
fn a_prefix_longer_than_its_prompt_is_the_prompt_and_counted() {
    let rows = rows(
        r#"{"ts": 0, "prompt_tokens": 10, "gen_tokens": 2, "prefix_hash": "a", "prefix_len": 11}"#,
    );
    assert_eq!(rows.rows[0].prefix_len, Some(10));
    assert_eq!(
        rows.report.notes,
        ["1 row with `prefix_len` above `prompt_tokens`, taken as `prompt_tokens`"]
    );
}

#[test]
fn a_prefix_without_its_length_shares_nothing_and_is_counted() {
    let rows = rows(r#"{"ts": 0, "prompt_tokens": 10, "gen_tokens": 2, "prefix_hash": "a"}"#);
    assert_eq!(
        rows.report.notes,
        ["1 row with `prefix_hash` and no `prefix_len`, which shares nothing"]
    );
    let trace = rows.into_trace().unwrap();
    assert_eq!(trace.request(crate::units::RequestId(0)).shared_tokens, 0);
}

#[test]
fn a_prefix_length_without_its_name_is_refused() {
    let (error, _) = refused(r#"{"ts": 0, "prompt_tokens": 10, "gen_tokens": 2, "prefix_len": 4}"#);
    assert_eq!(error, "t.jsonl:4: `prefix_len` is 4 and `prefix_hash` is missing");
}

#[test]
fn a_conversation_is_a_session() {
    let read = rows(r#"{"ts": 0, "prompt_tokens": 1, "gen_tokens": 2, "conversation_id": "c"}"#);
    assert_eq!(read.rows[0].session.as_deref(), Some("c"));
    let (error, _) = refused(
        r#"{"ts": 0, "prompt_tokens": 1, "gen_tokens": 2, "conversation_id": "c", "session": "s"}"#,
    );
    assert!(error.contains("`session` and `conversation_id`"), "{error}");
}

#[test]
fn what_is_not_used_is_counted_and_no_model() {
    let read = rows(
        r#"{"ts": 0, "prompt_tokens": 1, "gen_tokens": 2, "lora_adapter": "l", "priority": 0}
{"ts": 0, "prompt_tokens": 1, "gen_tokens": 2, "priority": 3}"#,
    );
    assert_eq!(read.rows[0].model, None);
    assert_eq!(
        read.report.notes,
        [
            "1 row with `lora_adapter`, which is not used",
            "2 rows with `priority`, which is not used"
        ]
    );
}

/// A row of 40 prompt tokens with these further fields.
fn chained(fields: &str) -> String {
    format!("{{\"ts\": 0, \"prompt_tokens\": 40, \"gen_tokens\": 2, {fields}}}\n")
}

#[test]
fn block_ids_come_with_one_block_size() {
    let first = chained(r#""hash_ids": [5, 6], "block_size": 16"#);
    let read = rows(&format!("{first}{}", chained(r#""hash_ids": [5, 6, 7]"#)));
    assert_eq!(read.block_tokens, Some(16));
    assert_eq!(read.rows[1].hash_ids, [5, 6, 7]);

    for (rows, line, expected) in [
        (chained(r#""hash_ids": [5]"#), 1, "`hash_ids` without `block_size`"),
        (
            format!("{first}{}", chained(r#""hash_ids": [5], "block_size": 32"#)),
            2,
            "`block_size` is 32, expected 16 as before",
        ),
        (
            chained(r#""hash_ids": [1, 2, 3, 4], "block_size": 16"#),
            1,
            "`hash_ids` has 4 ids, expected at most 3 for 40 prompt tokens in blocks of 16",
        ),
        (
            chained(r#""hash_ids": [1, -2], "block_size": 16"#),
            1,
            "`hash_ids[1]` is -2, expected a whole number from 0",
        ),
        (
            chained(r#""hash_ids": 5, "block_size": 16"#),
            1,
            "`hash_ids` is 5, expected a list of whole numbers",
        ),
        (
            chained(r#""hash_ids": [1], "block_size": 0"#),
            1,
            "`block_size` is 0, expected a whole number from 1 to 4294967295",
        ),
    ] {
        let error = read_text(&rows).unwrap_err();
        assert_eq!(error.to_string(), format!("t.jsonl:{line}: {expected}"));
    }
}

fn read_text(text: &str) -> Result<Rows, TraceError> {
    read(text.as_bytes(), "t.jsonl", None)
}

#[test]
fn a_block_size_that_was_asked_for_serves_rows_without_one_and_conflicts_with_another() {
    let row = chained(r#""hash_ids": [5]"#);
    let rows = read(row.as_bytes(), "t", Some(32)).unwrap();
    assert_eq!(rows.block_tokens, Some(32));
    let row = chained(r#""hash_ids": [5], "block_size": 16"#);
    let error = read(row.as_bytes(), "t", Some(32)).unwrap_err();
    assert_eq!(error.to_string(), "t:1: `block_size` is 16, expected 32 as before");
}

#[test]
fn ids_that_contradict_their_prefix_are_refused() {
    let row = |ids: &str, len: u32| {
        chained(&format!(
            "\"hash_ids\": {ids}, \"block_size\": 16, \"prefix_hash\": \"p\", \"prefix_len\": {len}"
        ))
    };
    // The shorter prefix has one whole block: the second id may differ.
    let agree = format!("{}{}", row("[1, 2, 3]", 20), row("[1, 9]", 32));
    assert_eq!(read_text(&agree).unwrap().rows.len(), 2);
    // Both have two whole blocks.
    let differ = format!("{agree}{}", row("[1, 2, 3]", 32));
    let error = read_text(&differ).unwrap_err();
    assert_eq!(
        error.to_string(),
        "t.jsonl:3: `hash_ids[1]` is 2, expected 9 as in an earlier row of `prefix_hash` \"p\""
    );
}
