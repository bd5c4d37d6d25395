//! The coefficients of a step model, one by one.

use crate::cluster::{LinearModel, StepSpec};

/// One coefficient of a [`LinearModel`].
#[derive(Clone, Copy, Debug)]
pub struct Coefficient {
    /// Its key in a config.
    pub key: &'static str,
    get: fn(&LinearModel) -> f64,
    slot: fn(&mut LinearModel) -> &mut f64,
    /// What its size rests on, so that coefficients of the same one are off alike.
    pub(super) limit: Limit,
}

/// What a token of the longest context is first taken to cost, in those of any context.
const LONGEST: f64 = 2.0;

/// What limits a part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// The bandwidth of the memory.
    Memory,
    /// The throughput of the tensor cores.
    Compute,
    /// The host, launches, and what is known least.
    Overhead,
}

macro_rules! coefficient {
    ($field:ident, $limit:ident) => {
        Coefficient {
            key: stringify!($field),
            limit: Limit::$limit,
            get: |model| model.$field,
            slot: |model| &mut model.$field,
        }
    };
}

/// Every coefficient that a calibration can find, in the order of the docs. The first launch is
/// none of them: it happens once.
pub const COEFFICIENTS: [Coefficient; 10] = [
    coefficient!(step_ms, Memory),
    coefficient!(prefill_token_ms, Compute),
    coefficient!(decode_ms, Overhead),
    coefficient!(context_token_ms, Memory),
    coefficient!(longest_context_token_ms, Overhead),
    coefficient!(attention_pair_ms, Compute),
    coefficient!(prefill_step_ms, Overhead),
    coefficient!(token_ms, Compute),
    coefficient!(knee_token_ms, Compute),
    coefficient!(expert_ms, Memory),
];

impl Coefficient {
    /// Returns its value in a model.
    pub fn of(&self, model: &LinearModel) -> f64 {
        (self.get)(model)
    }

    pub(super) fn set(&self, model: &mut LinearModel, value: f64) {
        *(self.slot)(model) = value;
    }
}

/// Returns the linear model that a calibration starts from: the config's own, or the line through
/// the numbers of its compute model. What that says nothing of gets the size that it has for a
/// model of 8·10⁹ parameters on a large GPU.
///
/// A longest context that costs nothing yet starts at a few times what each token of context does:
/// data sheets do not say how far attention is spread over a GPU, and the run does.
pub fn prior(step: &StepSpec) -> LinearModel {
    let model = stated(step);
    if model.longest_context_token_ms > 0.0 {
        return model;
    }
    let longest_context_token_ms = LONGEST * model.context_token_ms;
    LinearModel { longest_context_token_ms, ..model }
}

fn stated(step: &StepSpec) -> LinearModel {
    match step {
        StepSpec::Linear(model) => LinearModel { first_launch_ms: 0.0, ..*model },
        StepSpec::Compute {
            prefill_tokens_per_sec,
            decode_tokens_per_sec_batch1,
            decode_throughput_saturation_batch,
            decode_tokens_per_sec_saturated,
        } => {
            let batch = f64::from(*decode_throughput_saturation_batch);
            let step_ms = 1e3 / decode_tokens_per_sec_batch1;
            let saturated_ms = 1e3 * batch / decode_tokens_per_sec_saturated;
            let prefill_token_ms = 1e3 / prefill_tokens_per_sec;
            LinearModel {
                step_ms,
                prefill_token_ms,
                // Half of what a larger batch takes is put down to its contexts.
                decode_ms: (0.5 * (saturated_ms - step_ms) / batch).max(1e-3 * step_ms),
                context_token_ms: 1e-5 * step_ms,
                attention_pair_ms: 1e-4 * prefill_token_ms,
                ..LinearModel::default()
            }
        }
    }
}

/// Returns the model with every coefficient rounded to six significant digits, as it is written.
pub(super) fn rounded(model: &LinearModel) -> LinearModel {
    let six = |value: f64| format!("{value:.5e}").parse().unwrap_or(value);
    let mut rounded = LinearModel { first_launch_ms: six(model.first_launch_ms), ..*model };
    for coefficient in &COEFFICIENTS {
        coefficient.set(&mut rounded, six(coefficient.of(model)));
    }
    rounded
}
