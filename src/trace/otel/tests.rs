use std::fs;
use std::path::Path;

use super::*;

fn read_text(text: &str) -> Rows {
    read(text.as_bytes(), "o.json").unwrap()
}

/// Returns the reasons of the report, as "count reason".
fn dropped(rows: &Rows) -> Vec<String> {
    let report = &rows.report;
    let sum: usize = report.dropped.values().sum();
    assert_eq!(report.read, report.emitted + sum, "read = emitted + dropped");
    (report.dropped.iter()).map(|(reason, count)| format!("{count} {reason}")).collect()
}

/// Reads a sample and compares every row with its golden conversion.
fn check_sample(name: &str, golden: &str) -> Rows {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/otel");
    let rows = read_text(&fs::read_to_string(folder.join(name)).unwrap());
    let golden = fs::read_to_string(folder.join(golden)).unwrap();
    let golden: Vec<Value> =
        golden.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.rows.len(), golden.len());
    let first = rows.rows[0].arrival_ns;
    for (row, golden) in rows.rows.iter().zip(&golden) {
        // The goldens round to a tenth of a microsecond.
        let ms = (row.arrival_ns - first) as f64 / 1e6;
        assert!((ms - golden["ts"].as_f64().unwrap()).abs() < 1e-4, "{ms} {golden}");
        assert_eq!(u64::from(row.prompt_tokens), golden["prompt_tokens"], "{golden}");
        assert_eq!(u64::from(row.gen_tokens), golden["gen_tokens"], "{golden}");
        if let Some(model) = golden.get("model") {
            assert_eq!(row.model.as_deref(), model.as_str(), "{golden}");
        }
        assert_eq!(row.session.as_deref(), golden.get("session").and_then(Value::as_str));
    }
    rows
}

#[test]
fn a_collectors_file_of_a_vllm_server_gives_its_golden() {
    let rows = check_sample(
        "otlp_vllm_collector_fileexporter.jsonl",
        "otlp_vllm_collector_fileexporter.expected.jsonl",
    );
    assert_eq!(
        dropped(&rows),
        [
            "1 a span given before",
            "3 repeating the counts of a span below",
            "1 without an output count",
            "24 without token counts",
        ]
    );
}

#[test]
fn a_document_of_the_genai_conventions_gives_its_golden() {
    let rows =
        check_sample("otlp_genai_semconv_pretty.json", "otlp_genai_semconv_pretty.expected.jsonl");
    assert_eq!(dropped(&rows), ["19 not an inference", "2 without token counts"]);
}

#[test]
fn a_jaeger_export_of_openinference_and_traceloop_gives_its_golden() {
    let rows = check_sample(
        "jaeger_openinference_traceloop.json",
        "jaeger_openinference_traceloop.expected.jsonl",
    );
    assert_eq!(dropped(&rows), ["24 not an inference"]);
}

/// An OTLP span of trace 1 with these attributes.
fn span(id: u8, parent: u8, attributes: &str) -> String {
    format!(
        "{{\"traceId\": \"{:032x}\", \"spanId\": \"{id:016x}\", \"parentSpanId\": \"{parent:016x}\", \
         \"startTimeUnixNano\": \"{id}000000\", \"attributes\": [{attributes}]}}",
        1
    )
}

const COUNTS: &str = r#"{"key": "gen_ai.usage.input_tokens", "value": {"intValue": "7"}},
    {"key": "gen_ai.usage.output_tokens", "value": {"intValue": 3}}"#;

fn attribute(key: &str, value: &str) -> String {
    format!("{{\"key\": \"{key}\", \"value\": {value}}}")
}

fn document(spans: &[String]) -> String {
    format!("{{\"resourceSpans\": [{{\"scopeSpans\": [{{\"spans\": [{}]}}]}}]}}\n", spans.join(","))
}

#[test]
fn a_span_over_a_counted_one_is_left_out_however_far_above() {
    let rows = read_text(&document(&[
        span(1, 0, COUNTS),
        span(2, 1, ""),
        span(3, 2, COUNTS),
        span(4, 1, COUNTS),
    ]));
    let starts: Vec<i64> = rows.rows.iter().map(|row| row.arrival_ns).collect();
    assert_eq!(starts, [3_000_000, 4_000_000]);
    assert_eq!(
        dropped(&rows),
        ["1 repeating the counts of a span below", "1 without token counts"]
    );
}

#[test]
fn a_span_that_is_its_own_parent_is_a_request() {
    assert_eq!(read_text(&document(&[span(1, 1, COUNTS)])).rows.len(), 1);
}

#[test]
fn a_span_given_twice_counts_once_also_across_lines() {
    let line = document(&[span(1, 0, COUNTS)]);
    let rows = read_text(&format!("{line}{{}}\n{{\"resourceSpans\": []}}\n{line}"));
    assert_eq!(rows.rows.len(), 1);
    assert_eq!(dropped(&rows), ["1 a span given before"]);
}

#[test]
fn every_other_span_is_left_out_with_its_reason() {
    let prompt = attribute("llm.prompt_tokens", "{\"intValue\": \"5\"}");
    let output = |value: &str| attribute("llm.completion_tokens", value);
    let with = |extra: String| format!("{COUNTS}, {extra}");
    let mut timeless = span(9, 0, COUNTS);
    timeless = timeless.replace("9000000", "0");
    let rows = read_text(&document(&[
        span(1, 0, &prompt),
        span(2, 0, &output("{\"intValue\": \"5\"}")),
        span(3, 0, &format!("{prompt}, {}", output("{\"intValue\": \"0\"}"))),
        span(4, 0, &format!("{prompt}, {}", output("{\"intValue\": \"-1\"}"))),
        span(5, 0, &format!("{prompt}, {}", output("{\"intValue\": \"4294967295\"}"))),
        span(6, 0, &with(attribute("gen_ai.operation.name", "{\"stringValue\": \"embeddings\"}"))),
        span(7, 0, &with(attribute("openinference.span.kind", "\"CHAIN\""))),
        span(8, 0, &with(attribute("traceloop.span.kind", "\"workflow\""))),
        timeless,
        span(10, 0, &with(attribute("gen_ai.operation.name", "\"chat\""))),
    ]));
    assert_eq!(rows.rows.len(), 1);
    assert_eq!(
        dropped(&rows),
        [
            "3 not an inference",
            "1 with a token count of 0",
            "2 with a token count that is no u32",
            "1 without a prompt count",
            "1 without a start time",
            "1 without an output count",
        ]
    );
}

#[test]
fn names_of_every_generation_are_known_and_the_first_wins() {
    for (prompt, output) in [
        ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
        ("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"),
        ("llm.usage.prompt_tokens", "llm.usage.completion_tokens"),
        ("llm.token_count.prompt", "llm.token_count.completion"),
        ("gen_ai.prompt.tokens", "gen_ai.completion.tokens"),
        ("llm.prompt_tokens", "llm.completion_tokens"),
    ] {
        let old = attribute("llm.prompt_tokens", "{\"intValue\": 99}");
        let prompt = attribute(prompt, "{\"doubleValue\": 12.0}");
        let output = attribute(output, "{\"intValue\": \"5\"}");
        let rows = read_text(&document(&[span(1, 0, &[prompt, output, old].join(","))]));
        assert_eq!((rows.rows[0].prompt_tokens, rows.rows[0].gen_tokens), (12, 5));
    }
}

#[test]
fn a_hashed_system_prompt_is_a_prefix_of_no_known_length() {
    let hash = attribute("llm.system_prompt_hash", "{\"stringValue\": \"s\"}");
    let conversation = attribute("llm.conversation_id", "{\"stringValue\": \"c\"}");
    let rows =
        read_text(&document(&[span(1, 0, &[COUNTS.to_owned(), hash, conversation].join(","))]));
    assert_eq!(rows.rows[0].prefix_hash.as_deref(), Some("s"));
    assert_eq!(rows.rows[0].session.as_deref(), Some("c"));
    assert_eq!(
        rows.report.notes,
        ["1 row with the hash of a system prompt and no length of it, which shares nothing"]
    );
}

#[test]
fn older_words_of_the_protocol_and_base64_ids_are_read() {
    let spans = r#"[{"traceId": "AAAAAAAAAAAAAAAAAAAAAQ==", "spanId": "AAAAAAAAAAE=", "kind": "SPAN_KIND_CLIENT",
        "startTimeUnixNano": 5, "attributes": [{"key": "llm.prompt_tokens", "value": {"intValue": 4}},
        {"key": "llm.completion_tokens", "value": {"intValue": 2}}]}]"#;
    for text in [
        format!("{{\"batches\": [{{\"instrumentationLibrarySpans\": [{{\"spans\": {spans}}}]}}]}}"),
        format!(
            "{{\"trace\": {{\"resourceSpans\": [{{\"scopeSpans\": [{{\"spans\": {spans}}}]}}]}}}}"
        ),
        format!("{{\"spans\": {spans}}}"),
        spans.to_owned(),
    ] {
        let rows = read_text(&text);
        assert_eq!((rows.rows.len(), rows.rows[0].arrival_ns), (1, 5), "{text}");
    }
}

#[test]
fn spans_of_console_exporters_and_flat_dumps_are_read() {
    let attributes = r#""attributes": {"gen_ai.usage.input_tokens": 4, "gen_ai.usage.output_tokens": 2, "session.id": "u"}"#;
    let console = format!(
        "{{\n\"name\": \"chat\", \"context\": {{\"trace_id\": \"0x1\", \"span_id\": \"0x2\"}}, \
         \"parent_id\": \"0x9\", \"start_time\": \"1970-01-01T00:00:01.5Z\", {attributes}\n}}\n"
    );
    let agent = console.replace("0x2", "0x9").replace("01.5Z", "01.0Z");
    let rows = read_text(&format!("{agent}{console}"));
    assert_eq!(rows.rows.len(), 1, "the agent's span repeats its child's counts");
    assert_eq!(rows.rows[0].arrival_ns, 1_500_000_000);
    assert_eq!(rows.rows[0].session.as_deref(), Some("u"));

    let flat = format!(
        "{{\"trace_id\": \"t\", \"span_count\": 1, \"spans\": [{{\"trace_id\": \"t\", \"span_id\": \"a\", \
         \"parent_span_id\": null, \"start_time\": \"1970-01-01T00:00:02\", {attributes}}}]}}"
    );
    assert_eq!(read_text(&flat).rows[0].arrival_ns, 2_000_000_000);
}

#[test]
fn malformed_json_is_refused_by_its_line_in_the_file() {
    let text = format!("{}{{\"resourceSpans\": [}}\n", document(&[span(1, 0, COUNTS)]));
    let error = read(text.as_bytes(), "o.jsonl").unwrap_err();
    let line = text.lines().count();
    assert_eq!(error.to_string(), format!("o.jsonl:{line}: malformed JSON: expected value"));
    assert!(error.hint().unwrap().contains("OTLP/JSON"));
}

#[test]
fn what_holds_no_spans_is_refused_with_what_is_read() {
    for (text, expected) in [
        (
            "{\"ts\": 0, \"prompt_tokens\": 5}",
            "o.json: an object of `ts`, `prompt_tokens`, expected spans",
        ),
        ("{\"resourceMetrics\": []}", "o.json: an object of `resourceMetrics`, expected spans"),
        ("{} 5", "o.json: JSON document 2: a plain value, expected spans"),
    ] {
        let error = read(text.as_bytes(), "o.json").unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().unwrap().contains("`resourceSpans`"));
    }
}
