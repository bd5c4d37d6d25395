//! What a span's attributes say of a request, in the words of every generation of conventions.

use serde_json::Value;

use super::shapes::Span;
use crate::trace::row::Row;

// Source of the names: the GenAI semantic conventions from v1.27 to v1.41, OpenLLMetry
// (Traceloop), OpenInference, vLLM's and SGLang's tracing. The first that a span has wins.

const PROMPT: [&str; 6] = [
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.usage.prompt_tokens",
    "llm.token_count.prompt",
    "gen_ai.prompt.tokens",
    "llm.prompt_tokens",
];
const OUTPUT: [&str; 6] = [
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.usage.completion_tokens",
    "llm.token_count.completion",
    "gen_ai.completion.tokens",
    "llm.completion_tokens",
];
const MODEL: [&str; 6] = [
    "gen_ai.request.model",
    "gen_ai.response.model",
    "llm.request.model_name",
    "llm.model_name",
    "llm.request.model",
    "llm.model",
];
const SESSION: [&str; 5] = [
    "gen_ai.conversation.id",
    "session.id",
    "traceloop.association.properties.session_id",
    "exgentic.session.id",
    "llm.conversation_id",
];
const PREFIX: [&str; 1] = ["llm.system_prompt_hash"];

/// Where a convention says what a span does, and the values that mean an inference.
const INFERENCE: [(&str, &[&str]); 4] = [
    ("gen_ai.operation.name", &["chat", "text_completion", "generate_content"]),
    ("openinference.span.kind", &["llm"]),
    ("traceloop.span.kind", &["llm"]),
    ("llm.request.type", &["chat", "completion"]),
];

/// Returns the request that a span is, or why it is none.
pub(super) fn row_of(span: &Span<'_>) -> Result<Row, &'static str> {
    if !is_inference(span) {
        return Err("not an inference");
    }
    let (prompt, output) = (span.first(&PROMPT), span.first(&OUTPUT));
    let (prompt, output) = match (prompt, output) {
        (Some(prompt), Some(output)) => (prompt, output),
        (Some(_), None) => return Err("without an output count"),
        (None, Some(_)) => return Err("without a prompt count"),
        (None, None) => return Err("without token counts"),
    };
    let (prompt_tokens, gen_tokens) = (tokens(prompt)?, tokens(output)?);
    if prompt_tokens.checked_add(gen_tokens).is_none() {
        return Err(BAD_COUNT);
    }
    Ok(Row {
        arrival_ns: span.start_ns.ok_or("without a start time")?,
        prompt_tokens,
        gen_tokens,
        prefix_hash: span.first(&PREFIX).and_then(text),
        session: span.first(&SESSION).and_then(text),
        model: span.first(&MODEL).and_then(text),
        ..Row::default()
    })
}

const BAD_COUNT: &str = "with a token count that is no u32";

/// Returns whether nothing that the span says of itself makes it something else.
///
/// Servers' spans say nothing: for them, both token counts suffice.
fn is_inference(span: &Span<'_>) -> bool {
    INFERENCE.iter().all(|(key, values)| {
        let said = span.first(&[key]).and_then(Value::as_str);
        said.is_none_or(|said| values.iter().any(|value| value.eq_ignore_ascii_case(said)))
    })
}

fn tokens(value: &Value) -> Result<u32, &'static str> {
    match whole(value).map(u32::try_from) {
        Some(Ok(0)) => Err("with a token count of 0"),
        Some(Ok(count)) => Ok(count),
        _ => Err(BAD_COUNT),
    }
}

/// Returns a whole number that stands as a number or, as OTLP/JSON has 64-bit ones, as text.
pub(super) fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::String(digits) => digits.parse().ok(),
        Value::Number(number) => number.as_u64().or_else(|| {
            // Tools that know one kind of number write 12.0.
            let digits = format!("{:.0}", number.as_f64().filter(|real| real.fract() == 0.0)?);
            digits.parse().ok()
        }),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
