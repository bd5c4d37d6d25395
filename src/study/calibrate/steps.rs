//! A step model from the times of single steps.

use std::path::Path;

use serde::Serialize;

use crate::cluster::LinearModel;
use crate::stats::quantile;
use crate::study::fidelity::mean;
use crate::trace::{RowFault, TraceError};

use super::coefficients::rounded;
use super::nonnegative::{dot, least_deviations};

/// Terms of the model: [`terms`] has their order.
const TERMS: usize = 7;
/// Fewer steps do not tell so many coefficients apart.
const FEWEST: usize = 100;

/// One step of a real engine and its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuredStep {
    /// Prompt tokens computed.
    pub prefill_tokens: f64,
    /// Requests whose prompt tokens those are.
    pub prefill_requests: f64,
    /// Tokens of those requests that were computed before.
    pub prefill_context_tokens: f64,
    /// Sequences that computed a single token.
    pub decodes: f64,
    /// Tokens of the contexts of those.
    pub context_tokens: f64,
    /// How long it took.
    pub latency_ms: f64,
}

/// A step model fitted to measured steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepFit {
    /// Fitted to all steps.
    pub model: LinearModel,
    /// Steps in all.
    pub steps: usize,
    /// Fitted to the first, third, fifth … step and checked on the others.
    pub held_out: StepErrors,
    /// Of `model` on the steps that it was fitted to.
    pub in_sample: StepErrors,
}

/// |modelled − measured| / measured over steps; none where there are no such steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepErrors {
    /// Median over all of them.
    pub median_ratio: Option<f64>,
    /// Mean over all of them.
    pub mean_ratio: Option<f64>,
    /// Median over steps that only decode.
    pub decode_median_ratio: Option<f64>,
    /// Median over steps that only prefill.
    pub prefill_median_ratio: Option<f64>,
    /// Median over steps that do both.
    pub mixed_median_ratio: Option<f64>,
}

/// Reads steps from CSV with the columns `ctx_tokens`, `ctx_requests`, `ctx_kv_tokens`,
/// `decode_requests`, `decode_kv_tokens` and `latency_ms`; others are left alone.
///
/// # Errors
///
/// When the file can't be read, lacks a column, holds a row that is no step, or fewer than 100.
pub fn read_steps(path: &Path) -> Result<Vec<MeasuredStep>, TraceError> {
    let label = path.display().to_string();
    let text = std::fs::read(path)
        .map_err(|source| TraceError::Io { path: label.clone(), source })?;
    parse(&text, &label)
}

/// Fits the linear model, with a constant for steps that prefill and, where `experts` names the
/// experts of a layer and those per token, a term for the reading of their weights.
///
/// The coefficients make the sum of |relative errors| least, and none is negative.
pub fn fit_steps(steps: &[MeasuredStep], experts: Option<(u32, u32)>) -> StepFit {
    let half = |rest: usize| {
        let own = steps.iter().enumerate().filter(move |(at, _)| at % 2 == rest);
        own.map(|(_, step)| *step).collect::<Vec<_>>()
    };
    let (even, odd) = (half(0), half(1));
    let all = fit(steps, experts);
    StepFit {
        model: rounded(&model(&all, experts)),
        steps: steps.len(),
        held_out: errors(&odd, &fit(&even, experts), experts),
        in_sample: errors(steps, &all, experts),
    }
}

fn fit(steps: &[MeasuredStep], experts: Option<(u32, u32)>) -> [f64; TERMS] {
    let relative = |step: &MeasuredStep| terms(step, experts).map(|term| term / step.latency_ms);
    least_deviations(&steps.iter().map(relative).collect::<Vec<_>>())
}

/// What the coefficients of [`model`] are multiplied with.
fn terms(step: &MeasuredStep, experts: Option<(u32, u32)>) -> [f64; TERMS] {
    let MeasuredStep { prefill_tokens, prefill_requests, decodes, context_tokens, .. } = *step;
    let prefills = prefill_tokens > 0.0;
    // Chunks are known by their sums only, so they are taken as equally long.
    let pairs = if prefills {
        prefill_tokens * (step.prefill_context_tokens + prefill_tokens / 2.0) / prefill_requests
    } else {
        0.0
    };
    let read = experts.map_or(0.0, |(experts, per_token)| {
        let missed = 1.0 - f64::from(per_token) / f64::from(experts);
        1.0 - libm::pow(missed, prefill_tokens + decodes)
    });
    let prefill_step = f64::from(u8::from(prefills));
    [1.0, prefill_tokens, decodes, context_tokens, pairs, prefill_step, read]
}

fn model(coefficients: &[f64; TERMS], experts: Option<(u32, u32)>) -> LinearModel {
    let [
        step_ms,
        prefill_token_ms,
        decode_ms,
        context_token_ms,
        attention_pair_ms,
        prefill_step_ms,
        expert_ms,
    ] = *coefficients;
    let (experts, experts_per_token) = experts.unwrap_or_default();
    LinearModel {
        step_ms,
        prefill_token_ms,
        decode_ms,
        context_token_ms,
        attention_pair_ms,
        prefill_step_ms,
        expert_ms,
        experts,
        experts_per_token,
        ..LinearModel::default()
    }
}

fn errors(
    steps: &[MeasuredStep],
    coefficients: &[f64; TERMS],
    experts: Option<(u32, u32)>,
) -> StepErrors {
    let of = |wanted: fn(&MeasuredStep) -> bool| -> Vec<f64> {
        let error = |step: &MeasuredStep| {
            (dot(&terms(step, experts), coefficients) / step.latency_ms - 1.0).abs()
        };
        steps.iter().filter(|step| wanted(step)).map(error).collect()
    };
    let all = of(|_| true);
    let median = |errors: &[f64]| quantile(errors, 0.5);
    StepErrors {
        median_ratio: median(&all),
        mean_ratio: (!all.is_empty()).then(|| mean(&all)),
        decode_median_ratio: median(&of(|step| step.prefill_tokens <= 0.0)),
        prefill_median_ratio: median(&of(|step| step.prefill_tokens > 0.0 && step.decodes <= 0.0)),
        mixed_median_ratio: median(&of(|step| step.prefill_tokens > 0.0 && step.decodes > 0.0)),
    }
}

const COLUMNS: [&str; 6] = [
    "ctx_tokens",
    "ctx_requests",
    "ctx_kv_tokens",
    "decode_requests",
    "decode_kv_tokens",
    "latency_ms",
];

fn parse(text: &[u8], label: &str) -> Result<Vec<MeasuredStep>, TraceError> {
    let in_file = |fault| TraceError::File { path: label.to_owned(), fault };
    let mut reader = csv::Reader::from_reader(text);
    let header = reader.headers().map_err(|error| malformed(&error, label))?.clone();
    let mut places = [0; COLUMNS.len()];
    for (place, column) in places.iter_mut().zip(COLUMNS) {
        let found = header.iter().position(|name| name.trim() == column);
        *place = found.ok_or_else(|| {
            let fault = RowFault::new(format!("no column `{column}`"));
            in_file(fault.hint(format!("the first line names the columns: {}", COLUMNS.join(", "))))
        })?;
    }
    let mut steps = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| malformed(&error, label))?;
        let line = record.position().map_or(0, csv::Position::line);
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        let step = step(&record, &places)
            .map_err(|fault| TraceError::Line { path: label.to_owned(), line, fault })?;
        steps.push(step);
    }
    if steps.len() < FEWEST {
        let fault = RowFault::new(format!("{} steps, expected {FEWEST} or more", steps.len()));
        return Err(in_file(fault.hint("so few do not tell the coefficients apart")));
    }
    Ok(steps)
}

fn step(record: &csv::StringRecord, places: &[usize; 6]) -> Result<MeasuredStep, RowFault> {
    let mut values = [0.0; COLUMNS.len()];
    for ((value, column), place) in values.iter_mut().zip(COLUMNS).zip(places) {
        let text = record.get(*place).unwrap_or_default().trim();
        let number = text.parse().ok().filter(|number: &f64| (0.0..=1e12).contains(number));
        *value = number.ok_or_else(|| {
            RowFault::new(format!("`{column}` is `{text}`, expected a number from 0"))
                .hint("mend the row, or leave it out")
        })?;
    }
    let [
        prefill_tokens,
        prefill_requests,
        prefill_context_tokens,
        decodes,
        context_tokens,
        latency_ms,
    ] = values;
    if latency_ms <= 0.0 || prefill_tokens + decodes <= 0.0 {
        return Err(RowFault::new("a step of no tokens, or of no time")
            .hint("leave out what is no step"));
    }
    if prefill_tokens > 0.0 && prefill_requests < 1.0 {
        let message = format!("`ctx_requests` is 0 and `ctx_tokens` is {prefill_tokens}");
        return Err(RowFault::new(message).hint("prompt tokens belong to a request"));
    }
    Ok(MeasuredStep {
        prefill_tokens,
        prefill_requests,
        prefill_context_tokens,
        decodes,
        context_tokens,
        latency_ms,
    })
}

fn malformed(error: &csv::Error, label: &str) -> TraceError {
    let line = error.position().map_or(1, csv::Position::line);
    let fault = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            RowFault::new(format!("{len} fields, expected {expected_len} as in the first line"))
        }
        csv::ErrorKind::Utf8 { .. } => RowFault::new("not UTF-8 text"),
        _ => RowFault::new("malformed CSV"),
    };
    let fault = fault.hint("the file is CSV with a line of column names");
    let line = usize::try_from(line).unwrap_or(usize::MAX);
    TraceError::Line { path: label.to_owned(), line, fault }
}
