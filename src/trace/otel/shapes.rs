//! Where spans stand in the files that exporters write.
//!
//! A file is known by its keys, never by its name: OTLP/JSON (also in the words of older
//! collectors and of Tempo), Jaeger's JSON, and the flat spans of SDKs' console exporters.

use serde_json::{Map, Value};

use super::attributes::whole;
use super::time::unix_ns;
use crate::trace::row::RowFault;

/// One span, however it was written.
#[derive(Debug)]
pub(super) struct Span<'d> {
    /// Trace id, in lower-case hex where it is hex.
    pub(super) trace: Option<String>,
    /// Span id.
    pub(super) id: Option<String>,
    /// Id of the span above, in the same trace.
    pub(super) parent: Option<String>,
    /// Start in nanoseconds from 1970.
    pub(super) start_ns: Option<i64>,
    attributes: Attributes<'d>,
}

#[derive(Debug)]
enum Attributes<'d> {
    /// `[{"key": …, "value": …}]`, the value plain or in OTLP's wrapper.
    List(&'d [Value]),
    /// `{key: value}`.
    Table(&'d Map<String, Value>),
    None,
}

type Object = Map<String, Value>;

/// Keys under which one document holds others.
const LISTS: [&str; 8] = [
    "resourceSpans",
    "resource_spans",
    "batches",
    "scopeSpans",
    "scope_spans",
    "instrumentationLibrarySpans",
    "data",
    "spans",
];

/// Keys that name the id of a span.
const ID_KEYS: [&str; 4] = ["spanId", "spanID", "span_id", "context"];

/// Wrappers of search and query interfaces.
const WRAPPERS: [&str; 2] = ["trace", "result"];

/// Calls `add` with each span of a document.
pub(super) fn each_span<'d>(
    document: &'d Value,
    add: &mut impl FnMut(&Span<'d>),
) -> Result<(), RowFault> {
    match document {
        Value::Array(items) => items.iter().try_for_each(|item| each_span(item, add)),
        Value::Object(object) => each_span_of(object, add),
        _ => Err(not_spans("a plain value")),
    }
}

fn each_span_of<'d>(object: &'d Object, add: &mut impl FnMut(&Span<'d>)) -> Result<(), RowFault> {
    if let Some(value) = first_of(object, &LISTS) {
        return match value {
            Value::Array(items) => items.iter().try_for_each(|item| each_span(item, add)),
            // Batches of no spans are legal, and some exporters write them as null.
            _ => Ok(()),
        };
    }
    if first_of(object, &ID_KEYS).is_some() {
        add(&span_of(object));
        return Ok(());
    }
    if let Some(value @ Value::Object(_)) = first_of(object, &WRAPPERS) {
        return each_span(value, add);
    }
    // A batch without spans, or an empty TracesData, which the protocol allows.
    if object.is_empty() || object.contains_key("resource") || object.contains_key("scope") {
        return Ok(());
    }
    let keys: Vec<String> = object.keys().take(4).map(|key| format!("`{key}`")).collect();
    let what = format!("an object of {}", keys.join(", "));
    Err(not_spans(&what))
}

fn not_spans(what: &str) -> RowFault {
    RowFault::new(format!("{what}, expected spans")).hint(
        "expected OTLP/JSON (`resourceSpans`), Jaeger's JSON (`data`) or spans with `attributes`; \
         other traces are read as `compact_jsonl` or `mooncake`",
    )
}

fn span_of(object: &Object) -> Span<'_> {
    let context = object.get("context").and_then(Value::as_object);
    let ids = context.unwrap_or(object);
    let attributes = match first_of(object, &["attributes", "tags"]) {
        Some(Value::Array(items)) => Attributes::List(items),
        Some(Value::Object(table)) => Attributes::Table(table),
        _ => Attributes::None,
    };
    let parent = first_of(object, &["parentSpanId", "parentSpanID", "parent_span_id", "parent_id"]);
    Span {
        trace: first_of(ids, &["traceId", "traceID", "trace_id"]).and_then(hex),
        id: first_of(ids, &["spanId", "spanID", "span_id"]).and_then(hex),
        parent: parent.and_then(hex).or_else(|| jaeger_parent(object)),
        start_ns: start_ns(object),
        attributes,
    }
}

/// Returns the span that a Jaeger span is a child of.
fn jaeger_parent(object: &Object) -> Option<String> {
    let references = object.get("references")?.as_array()?;
    let child =
        |reference: &&Value| reference.get("refType").and_then(Value::as_str) == Some("CHILD_OF");
    references.iter().find(child)?.get("spanID").and_then(hex)
}

fn start_ns(object: &Object) -> Option<i64> {
    if let Some(ns) = first_of(object, &["startTimeUnixNano", "start_time_unix_nano"]) {
        // The protocol's 0 means that the time is not known.
        return i64::try_from(whole(ns)?).ok().filter(|ns| *ns > 0);
    }
    if let Some(us) = object.get("startTime") {
        return i64::try_from(whole(us)?).ok()?.checked_mul(1_000);
    }
    unix_ns(object.get("start_time")?.as_str()?)
}

/// Returns an id in one spelling: hex in lower case, without a leading 0x.
fn hex(id: &Value) -> Option<String> {
    let id = id.as_str()?;
    let digits = id.strip_prefix("0x").unwrap_or(id);
    if digits.is_empty() {
        return None;
    }
    // Older exporters write base64, where case matters; its lengths are not those of hex ids.
    let is_hex = [16, 32].contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    Some(if is_hex { digits.to_ascii_lowercase() } else { digits.to_owned() })
}

fn first_of<'d>(object: &'d Object, keys: &[&str]) -> Option<&'d Value> {
    keys.iter().find_map(|key| object.get(*key))
}

impl<'d> Span<'d> {
    /// Returns the value of the first of `keys` that the span has.
    pub(super) fn first(&self, keys: &[&str]) -> Option<&'d Value> {
        keys.iter().find_map(|key| self.attribute(key))
    }

    fn attribute(&self, key: &str) -> Option<&'d Value> {
        match self.attributes {
            Attributes::List(items) => {
                let named = |item: &&Value| item.get("key").and_then(Value::as_str) == Some(key);
                items.iter().find(named)?.get("value").map(unwrapped)
            }
            Attributes::Table(table) => table.get(key).map(unwrapped),
            Attributes::None => None,
        }
        .filter(|value| !value.is_null())
    }
}

/// Returns the value inside OTLP's wrapper, such as `{"intValue": "5"}`.
fn unwrapped(value: &Value) -> &Value {
    let Value::Object(wrapper) = value else {
        return value;
    };
    let kinds = [
        "stringValue",
        "intValue",
        "doubleValue",
        "boolValue",
        "string_value",
        "int_value",
        "double_value",
        "bool_value",
    ];
    first_of(wrapper, &kinds).unwrap_or(value)
}
