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
    let text =
        std::fs::read(path).map_err(|source| TraceError::Io { path: label.clone(), source })?;
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
        let step = step(&record, &places).map_err(|fault| TraceError::Line {
            path: label.to_owned(),
            line,
            fault,
        })?;
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
        return Err(
            RowFault::new("a step of no tokens, or of no time").hint("leave out what is no step")
        );
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

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "phase,ctx_tokens,ctx_requests,ctx_kv_tokens,decode_requests,decode_kv_tokens,latency_ms\n";

    /// Two hundred steps of known times: every third prefills.
    fn steps(latency: impl Fn(f64, f64, f64, f64) -> f64) -> String {
        let mut text = HEADER.to_owned();
        for index in 0..200_u32 {
            let at = f64::from(index);
            let (decodes, context) = (1.0 + at % 64.0, 300.0 * (1.0 + at % 17.0));
            let prefill = if index % 3 == 0 { 64.0 + 32.0 * (at % 13.0) } else { 0.0 };
            let requests = u8::from(prefill > 0.0);
            // One chunk without context: half its square.
            let pairs = prefill * prefill / 2.0;
            let ms = latency(prefill, decodes, context, pairs);
            let row = format!("x,{prefill},{requests},0,{decodes},{context},{ms}\n");
            text.push_str(&row);
        }
        text
    }

    fn fitted(text: &str, experts: Option<(u32, u32)>) -> StepFit {
        fit_steps(&parse(text.as_bytes(), "s.csv").unwrap(), experts)
    }

    fn near(value: f64, expected: f64) {
        assert!((value / expected - 1.0).abs() < 0.02, "{value}, expected {expected}");
    }

    #[test]
    fn known_coefficients_are_found_again() {
        let text = steps(|prefill, decodes, context, pairs| {
            let constant = if prefill > 0.0 { 3.0 } else { 0.0 };
            9.0 + 0.05 * prefill + 0.03 * decodes + 1e-4 * context + 2e-5 * pairs + constant
        });
        let StepFit { model, held_out, .. } = fitted(&text, None);
        near(model.step_ms, 9.0);
        near(model.prefill_token_ms, 0.05);
        near(model.decode_ms, 0.03);
        near(model.context_token_ms, 1e-4);
        near(model.attention_pair_ms, 2e-5);
        near(model.prefill_step_ms, 3.0);
        assert!(held_out.median_ratio.unwrap() < 1e-3);
        assert!(held_out.mixed_median_ratio.unwrap() < 1e-3);
        assert_eq!(held_out.prefill_median_ratio, None, "every step decodes");
    }

    #[test]
    fn experts_are_read_as_tokens_reach_them() {
        let text = steps(|prefill, decodes, _, _| {
            5.0 + 0.01 * prefill + 4.0 * (1.0 - libm::pow(0.96875, prefill + decodes))
        });
        let model = fitted(&text, Some((256, 8))).model;
        near(model.step_ms, 5.0);
        near(model.expert_ms, 4.0);
        assert_eq!((model.experts, model.experts_per_token), (256, 8));
    }

    #[test]
    fn what_is_no_step_is_refused_with_its_line() {
        let good = steps(|_, decodes, _, _| 10.0 + decodes);
        for (row, expected) in [
            ("x,0,0,0,0,0,5", "s.csv:2: a step of no tokens"),
            ("x,0,0,0,1,9,0", "s.csv:2: a step of no tokens, or of no time"),
            ("x,9,0,0,1,9,5", "s.csv:2: `ctx_requests` is 0"),
            ("x,0,0,0,one,9,5", "s.csv:2: `decode_requests` is `one`, expected a number"),
            ("x,0,0,0,1,9,nan", "s.csv:2: `latency_ms` is `nan`"),
            ("x,0,0,0,1,9", "s.csv:2: 6 fields, expected 7"),
        ] {
            let text = good.replacen('\n', &format!("\n{row}\n"), 1);
            let error = parse(text.as_bytes(), "s.csv").unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
            assert!(error.hint().is_some(), "{error}");
        }
        let few = parse(HEADER.as_bytes(), "s.csv").unwrap_err();
        assert_eq!(few.to_string(), "s.csv: 0 steps, expected 100 or more");
        let nameless = parse(b"a,b\n1,2\n", "s.csv").unwrap_err();
        assert_eq!(nameless.to_string(), "s.csv: no column `ctx_tokens`");
    }
}
