//! How long a step takes.

use crate::units::{PS_PER_MS, PS_PER_S, SimDuration};

/// No step is longer: a million seconds, so that the clock can't wrap within a step.
const LONGEST_STEP_PS: u64 = 1_000_000 * PS_PER_S;

/// What a step computes. Both step models cost O(1) in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchShape {
    /// Prompt tokens computed in the step, over all its prefill chunks.
    pub prefill_tokens: u64,
    /// Sequences that compute a single token on an existing context.
    pub decodes: u64,
    /// Sum over decodes of their context, the new token included, in tokens.
    pub context_tokens: u64,
    /// Sum over prefill chunks of n · (2c + n), with n the chunk and c the tokens before it:
    /// twice the query–key pairs of its causal attention.
    pub attention_halves: u64,
}

/// The guide's four numbers, as picoseconds.
///
/// A step of P prefill tokens and D decodes takes P / prefill rate + D / decode rate(D): prefill
/// and decode share the step, as under chunked prefill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComputeModel {
    prefill_token_ps: u64,
    /// Time of D decodes, for D below the saturation batch.
    decodes_ps: Vec<u64>,
    saturated_decode_ps: u64,
}

/// Coefficients of a step that is linear in its shape, in milliseconds.
///
/// With P prefill tokens, D decodes, K their contexts and A the query–key pairs of prefill chunks:
///
/// ```text
/// t = step + prefill_token P + decode D + context_token K + attention_pair A
///     + prefill_step (if P > 0)
///     + token (P + D) + knee_token max(0, P + D - knee_tokens)
/// ```
///
/// The first step of a backend takes `first_step` more, which stands for lazy initialisation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinearModel {
    /// Every step.
    pub step_ms: f64,
    /// Every prefill token.
    pub prefill_token_ms: f64,
    /// Every decode.
    pub decode_ms: f64,
    /// Every token of context that a decode reads.
    pub context_token_ms: f64,
    /// Every query–key pair of a prefill chunk.
    pub attention_pair_ms: f64,
    /// Every step that carries prefill.
    pub prefill_step_ms: f64,
    /// Every token, prefill or decode.
    pub token_ms: f64,
    /// Every token beyond `knee_tokens`, where compute overtakes the reading of weights.
    pub knee_token_ms: f64,
    /// Where the knee is, in tokens.
    pub knee_tokens: u32,
    /// Once, in a backend's first step.
    pub first_step_ms: f64,
}

/// [`LinearModel`] with each coefficient rounded once to whole picoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LinearPs {
    step: u64,
    prefill_token: u64,
    decode: u64,
    context_token: u64,
    attention_half: u64,
    prefill_step: u64,
    token: u64,
    knee_token: u64,
    knee_tokens: u64,
    first_step: u64,
}

/// Says how long a step takes: integers inside, so any grouping of steps sums to the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepModel(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Compute(ComputeModel),
    Linear(LinearPs),
}

impl ComputeModel {
    /// Builds the model from the guide's numbers: prefill tokens/s, decode tokens/s at batch 1,
    /// the batch at which decode throughput stops to grow, and decode tokens/s from there on.
    /// Between batch 1 and saturation the throughput is a straight line.
    ///
    /// All rates must be from 1 to 10⁹ tokens/s, as `ClusterSpec` checks.
    pub fn new(prefill_rate: f64, batch1_rate: f64, saturation: u32, saturated_rate: f64) -> Self {
        let decode_rate = |batch: u32| {
            let along = f64::from(batch - 1) / f64::from(saturation - 1);
            batch1_rate + along * (saturated_rate - batch1_rate)
        };
        let decodes_ps = (0..saturation)
            .map(|batch| match batch {
                0 => 0,
                _ => whole_ps(f64::from(batch) / decode_rate(batch) * PS_PER_S as f64),
            })
            .collect();
        Self {
            prefill_token_ps: whole_ps(PS_PER_S as f64 / prefill_rate),
            decodes_ps,
            saturated_decode_ps: whole_ps(PS_PER_S as f64 / saturated_rate),
        }
    }

    fn step_ps(&self, shape: &BatchShape) -> u64 {
        let decodes = usize::try_from(shape.decodes).expect("a batch fits in memory");
        let decode_ps = match self.decodes_ps.get(decodes) {
            Some(ps) => *ps,
            None => shape.decodes.saturating_mul(self.saturated_decode_ps),
        };
        shape.prefill_tokens.saturating_mul(self.prefill_token_ps).saturating_add(decode_ps)
    }
}

impl LinearPs {
    fn step_ps(&self, shape: &BatchShape) -> u64 {
        let tokens = shape.prefill_tokens + shape.decodes;
        let prefill_step = if shape.prefill_tokens > 0 { self.prefill_step } else { 0 };
        [
            (1, self.step),
            (shape.prefill_tokens, self.prefill_token),
            (shape.decodes, self.decode),
            (shape.context_tokens, self.context_token),
            (shape.attention_halves, self.attention_half),
            (1, prefill_step),
            (tokens, self.token),
            (tokens.saturating_sub(self.knee_tokens), self.knee_token),
        ]
        .iter()
        .fold(0, |sum: u64, (units, each)| sum.saturating_add(units.saturating_mul(*each)))
    }
}

impl StepModel {
    /// Wraps the guide's compute model.
    pub fn compute(model: ComputeModel) -> Self {
        Self(Form::Compute(model))
    }

    /// Rounds linear coefficients to picoseconds.
    pub fn linear(model: &LinearModel) -> Self {
        let ps = |ms: f64| whole_ps(ms * PS_PER_MS as f64);
        Self(Form::Linear(LinearPs {
            step: ps(model.step_ms),
            prefill_token: ps(model.prefill_token_ms),
            decode: ps(model.decode_ms),
            context_token: ps(model.context_token_ms),
            attention_half: ps(model.attention_pair_ms / 2.0),
            prefill_step: ps(model.prefill_step_ms),
            token: ps(model.token_ms),
            knee_token: ps(model.knee_token_ms),
            knee_tokens: u64::from(model.knee_tokens),
            first_step: ps(model.first_step_ms),
        }))
    }

    /// Returns how long a step of this shape takes. `shape` must not be empty: an idle backend
    /// takes no step.
    pub fn step_time(&self, shape: &BatchShape, first: bool) -> SimDuration {
        let ps = match &self.0 {
            Form::Compute(model) => model.step_ps(shape),
            Form::Linear(model) => {
                let extra = if first { model.first_step } else { 0 };
                model.step_ps(shape).saturating_add(extra)
            }
        };
        SimDuration::from_ps(ps.clamp(1, LONGEST_STEP_PS))
    }
}

/// Rounds a non-negative number of picoseconds to the nearest whole one.
fn whole_ps(ps: f64) -> u64 {
    SimDuration::from_secs(ps / PS_PER_S as f64)
        .expect("step coefficients are checked where they are read")
        .as_ps()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guide() -> StepModel {
        StepModel::compute(ComputeModel::new(50_000.0, 80.0, 64, 3_200.0))
    }

    fn ms(model: &StepModel, prefill_tokens: u64, decodes: u64) -> f64 {
        let shape = BatchShape { prefill_tokens, decodes, ..BatchShape::default() };
        model.step_time(&shape, false).as_ms()
    }

    #[test]
    fn the_guides_numbers_give_its_rates() {
        let model = guide();
        assert!((ms(&model, 1_000, 0) - 20.0).abs() < 1e-9);
        assert!((ms(&model, 0, 1) - 12.5).abs() < 1e-9);
        assert!((ms(&model, 0, 64) - 20.0).abs() < 1e-9);
        assert!((ms(&model, 0, 128) - 40.0).abs() < 1e-9);
        // 80 + 31/63 · 3120 = 1615.238 tokens/s at batch 32.
        assert!((ms(&model, 0, 32) - 32_000.0 / 1_615.238_095).abs() < 1e-6);
        assert!((ms(&model, 1_000, 64) - 40.0).abs() < 1e-9, "prefill is never free");
    }

    #[test]
    fn linear_coefficients_add_up() {
        let model = StepModel::linear(&LinearModel {
            step_ms: 10.0,
            prefill_token_ms: 0.05,
            decode_ms: 0.02,
            context_token_ms: 1e-4,
            attention_pair_ms: 1e-5,
            prefill_step_ms: 3.0,
            first_step_ms: 400.0,
            ..LinearModel::default()
        });
        // One chunk of 100 tokens after 200: pairs = 100·(200 + 50); two decodes of 1,000 tokens.
        let shape = BatchShape {
            prefill_tokens: 100,
            decodes: 2,
            context_tokens: 2_000,
            attention_halves: 100 * (2 * 200 + 100),
        };
        let expected = 10.0 + 5.0 + 0.04 + 0.2 + 0.25 + 3.0;
        assert!((model.step_time(&shape, false).as_ms() - expected).abs() < 1e-9);
        assert!((model.step_time(&shape, true).as_ms() - expected - 400.0).abs() < 1e-9);
    }

    #[test]
    fn the_knee_charges_tokens_beyond_it() {
        let model = StepModel::linear(&LinearModel {
            step_ms: 6.0,
            token_ms: 0.004,
            knee_token_ms: 0.014,
            knee_tokens: 320,
            ..LinearModel::default()
        });
        assert!((ms(&model, 300, 20) - (6.0 + 320.0 * 0.004)).abs() < 1e-9);
        assert!((ms(&model, 400, 20) - (6.0 + 420.0 * 0.004 + 100.0 * 0.014)).abs() < 1e-9);
    }
}
