//! How long a step takes.

use serde::Serialize;

use crate::units::{PS_PER_MS, PS_PER_S, SimDuration};

/// No step is shorter, in picoseconds: time goes on.
pub const SHORTEST_STEP_PS: u64 = 1;
/// No step is longer, in picoseconds: a million seconds, so that the clock can't wrap within a
/// step.
pub const LONGEST_STEP_PS: u64 = 1_000_000 * PS_PER_S;

/// What a step computes. Both step models cost O(1) in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchShape {
    /// Prompt tokens computed in the step, over all its prefill chunks.
    pub prefill_tokens: u64,
    /// Sequences that compute a single token on an existing context.
    pub decodes: u64,
    /// Sum over decodes of their context, the new token included, in tokens.
    pub context_tokens: u64,
    /// The longest of those contexts, in tokens.
    pub longest_context: u64,
    /// Sum over prefill chunks of n · (2c + n), with n the chunk and c the tokens before it:
    /// twice the query–key pairs of its causal attention.
    pub attention_halves: u64,
}

impl BatchShape {
    /// Returns whether there is nothing to compute.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.decodes == 0 && self.prefill_tokens == 0
    }
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
    /// Whether no decode more makes a step shorter.
    grows: bool,
}

/// Coefficients of a step that is linear in its shape, in milliseconds.
///
/// With P prefill tokens, D decodes, K the sum and L the longest of their contexts, and A the
/// query–key pairs of prefill chunks:
///
/// ```text
/// t = step + prefill_token P + decode D + context_token K + longest_context_token L
///     + attention_pair A
///     + prefill_step (if P > 0)
///     + token (P + D) + knee_token max(0, P + D - knee_tokens)
///     + expert (1 - (1 - experts_per_token / experts)^(P + D))
/// ```
///
/// The longest context counts apart because the attention of a decode is not spread over the GPU:
/// the kernel ends with the longest one, when others have left their processors idle.
///
/// The last term is the reading of expert weights: the share of experts that some token of the
/// step is sent to, when each token is sent to its experts evenly. All-reduces of tensor
/// parallelism have no terms of their own: their latency is part of `step`, their bytes of `token`.
///
/// Apart from steps, the engine's loop is blocked for `first_launch` in its first launch, which
/// stands for lazy initialisation.
///
/// Names of fields are part of the ids of runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LinearModel {
    /// Every step.
    pub step_ms: f64,
    /// Every prefill token.
    pub prefill_token_ms: f64,
    /// Every decode.
    pub decode_ms: f64,
    /// Every token of context that a decode reads.
    pub context_token_ms: f64,
    /// Every token of the longest of those contexts.
    pub longest_context_token_ms: f64,
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
    /// A step that reads all experts.
    pub expert_ms: f64,
    /// Experts of a layer.
    pub experts: u32,
    /// Experts that a token is sent to.
    pub experts_per_token: u32,
    /// Once, in a backend's first launch.
    pub first_launch_ms: f64,
}

/// The time of a step that has decodes only, as a straight line over the tokens of their contexts,
/// in sum and of the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLine {
    /// Picoseconds of the step without any context, at most [`LONGEST_STEP_PS`].
    pub base_ps: u64,
    /// Picoseconds of each token of context.
    pub context_token_ps: u64,
    /// Picoseconds of each token of the longest context.
    pub longest_context_token_ps: u64,
}

/// [`LinearModel`] with each coefficient rounded once to whole picoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LinearPs {
    step: u64,
    /// The coefficient of every token is part of this one and of `decode`.
    prefill_token: u64,
    decode: u64,
    context_token: u64,
    longest_context_token: u64,
    attention_half: u64,
    prefill_step: u64,
    knee_token: u64,
    knee_tokens: u64,
    /// Time of the experts by tokens of the step; the last entry holds for all more tokens.
    experts: Vec<u64>,
    first_launch: u64,
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
        let decodes_ps: Vec<u64> = (0..saturation)
            .map(|batch| match batch {
                0 => 0,
                _ => whole_ps(f64::from(batch) / decode_rate(batch) * PS_PER_S as f64),
            })
            .collect();
        let saturated_decode_ps = whole_ps(PS_PER_S as f64 / saturated_rate);
        let saturated_ps = u64::from(saturation).saturating_mul(saturated_decode_ps);
        Self {
            prefill_token_ps: whole_ps(PS_PER_S as f64 / prefill_rate),
            grows: decodes_ps.is_sorted() && decodes_ps.last().is_none_or(|ps| *ps <= saturated_ps),
            decodes_ps,
            saturated_decode_ps,
        }
    }

    fn step_ps(&self, shape: &BatchShape) -> u64 {
        let prefill_ps = shape.prefill_tokens.saturating_mul(self.prefill_token_ps);
        prefill_ps.saturating_add(self.decode_ps(shape.decodes))
    }

    fn decode_ps(&self, decodes: u64) -> u64 {
        let tabled = usize::try_from(decodes).ok().and_then(|batch| self.decodes_ps.get(batch));
        match tabled {
            Some(ps) => *ps,
            None => decodes.saturating_mul(self.saturated_decode_ps),
        }
    }
}

impl LinearPs {
    fn new(model: &LinearModel) -> Self {
        let ps = |ms: f64| whole_ps(ms * PS_PER_MS as f64);
        let token = ps(model.token_ms);
        Self {
            step: ps(model.step_ms),
            prefill_token: ps(model.prefill_token_ms).saturating_add(token),
            decode: ps(model.decode_ms).saturating_add(token),
            context_token: ps(model.context_token_ms),
            longest_context_token: ps(model.longest_context_token_ms),
            attention_half: ps(model.attention_pair_ms / 2.0),
            prefill_step: ps(model.prefill_step_ms),
            knee_token: ps(model.knee_token_ms),
            knee_tokens: u64::from(model.knee_tokens),
            experts: experts_ps(model),
            first_launch: ps(model.first_launch_ms),
        }
    }

    fn step_ps(&self, shape: &BatchShape) -> u64 {
        let prefill = shape.prefill_tokens.saturating_mul(self.prefill_token);
        let attention = shape.attention_halves.saturating_mul(self.attention_half);
        let prefill_step = u64::from(shape.prefill_tokens > 0) * self.prefill_step;
        let context = shape.context_tokens.saturating_mul(self.context_token);
        let longest = shape.longest_context.saturating_mul(self.longest_context_token);
        let tokens = shape.prefill_tokens.saturating_add(shape.decodes);
        self.base_ps(tokens, shape.decodes)
            .saturating_add(prefill)
            .saturating_add(attention)
            .saturating_add(prefill_step)
            .saturating_add(context)
            .saturating_add(longest)
    }

    /// Returns the time of what is neither prefill nor context, in a step of so many tokens in all.
    fn base_ps(&self, tokens: u64, decodes: u64) -> u64 {
        let beyond_knee = tokens.saturating_sub(self.knee_tokens);
        let last = self.experts.len() - 1;
        let experts = self.experts[usize::try_from(tokens).map_or(last, |at| at.min(last))];
        self.step
            .saturating_add(experts)
            .saturating_add(decodes.saturating_mul(self.decode))
            .saturating_add(beyond_knee.saturating_mul(self.knee_token))
    }
}

impl StepModel {
    /// Wraps the guide's compute model.
    pub fn compute(model: ComputeModel) -> Self {
        Self(Form::Compute(model))
    }

    /// Rounds linear coefficients to picoseconds.
    pub fn linear(model: &LinearModel) -> Self {
        Self(Form::Linear(LinearPs::new(model)))
    }

    /// Returns how long a step of this shape takes, without the first launch. `shape` must not be
    /// empty: an idle backend takes no step.
    pub fn step_time(&self, shape: &BatchShape) -> SimDuration {
        clamped(match &self.0 {
            Form::Compute(model) => model.step_ps(shape),
            Form::Linear(model) => model.step_ps(shape),
        })
    }

    /// Returns whether no step becomes shorter by tokens or requests more in it. The guide's
    /// compute model can have a decode rate that grows faster than the batch.
    pub fn grows_with_batch(&self) -> bool {
        match &self.0 {
            Form::Compute(model) => model.grows,
            Form::Linear(_) => true,
        }
    }

    /// Returns how long a backend's loop is blocked in its first launch.
    pub fn first_launch(&self) -> SimDuration {
        match &self.0 {
            Form::Compute(_) => SimDuration::ZERO,
            Form::Linear(model) => SimDuration::from_ps(model.first_launch),
        }
    }

    /// Returns the time of steps of so many decodes and nothing else. It agrees with
    /// [`Self::step_time`] to the picosecond.
    pub fn decode_line(&self, decodes: u64) -> DecodeLine {
        let (base_ps, context_token_ps, longest_context_token_ps) = match &self.0 {
            Form::Compute(model) => (model.decode_ps(decodes), 0, 0),
            Form::Linear(model) => {
                (model.base_ps(decodes, decodes), model.context_token, model.longest_context_token)
            }
        };
        // A longer base would be cut with its step.
        let base_ps = base_ps.min(LONGEST_STEP_PS);
        DecodeLine { base_ps, context_token_ps, longest_context_token_ps }
    }

    /// Returns whether the time of a step depends on the longest context.
    pub fn asks_for_longest_context(&self) -> bool {
        matches!(&self.0, Form::Linear(model) if model.longest_context_token > 0)
    }
}

fn clamped(ps: u64) -> SimDuration {
    SimDuration::from_ps(ps.clamp(SHORTEST_STEP_PS, LONGEST_STEP_PS))
}

/// Returns the time of the experts for 0, 1, 2, … tokens, up to where one token more does not take
/// a picosecond more.
fn experts_ps(model: &LinearModel) -> Vec<u64> {
    let all = model.expert_ms * PS_PER_MS as f64;
    let mut table = vec![0];
    if all <= 0.0 || model.experts == 0 {
        return table;
    }
    let missed_by_one = 1.0 - f64::from(model.experts_per_token) / f64::from(model.experts);
    let mut missed = 1.0;
    // The share that no token reads falls at least by one part in `experts`, so this ends.
    while missed * all >= 0.5 && missed_by_one < 1.0 {
        missed *= missed_by_one;
        table.push(whole_ps(all * (1.0 - missed)));
    }
    table
}

/// Rounds a non-negative number of picoseconds to the nearest whole one.
fn whole_ps(ps: f64) -> u64 {
    SimDuration::from_secs(ps / PS_PER_S as f64)
        .expect("step coefficients are checked where they are read")
        .as_ps()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn guide() -> StepModel {
        StepModel::compute(ComputeModel::new(50_000.0, 80.0, 64, 3_200.0))
    }

    fn ms(model: &StepModel, prefill_tokens: u64, decodes: u64) -> f64 {
        let shape = BatchShape { prefill_tokens, decodes, ..BatchShape::default() };
        model.step_time(&shape).as_ms()
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
            longest_context_token_ms: 1e-3,
            attention_pair_ms: 1e-5,
            prefill_step_ms: 3.0,
            first_launch_ms: 400.0,
            ..LinearModel::default()
        });
        // One chunk of 100 tokens after 200: pairs = 100·(200 + 50); two decodes, of 800 and 1,200 tokens.
        let shape = BatchShape {
            prefill_tokens: 100,
            decodes: 2,
            context_tokens: 2_000,
            longest_context: 1_200,
            attention_halves: 100 * (2 * 200 + 100),
        };
        let expected = 10.0 + 5.0 + 0.04 + 0.2 + 1.2 + 0.25 + 3.0;
        assert!((model.step_time(&shape).as_ms() - expected).abs() < 1e-9);
        assert!((model.first_launch().as_ms() - 400.0).abs() < 1e-9);
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

    #[test]
    fn experts_are_read_as_tokens_reach_them() {
        let model = |experts_per_token| {
            StepModel::linear(&LinearModel {
                step_ms: 1.0,
                expert_ms: 8.0,
                experts: 4,
                experts_per_token,
                ..LinearModel::default()
            })
        };
        // One token reads 2 of 4 experts, two tokens 1 - 1/4 of them, three 1 - 1/8.
        for (tokens, expected) in [(1, 5.0), (2, 7.0), (3, 8.0), (1_000, 9.0)] {
            assert!((ms(&model(2), 0, tokens) - expected).abs() < 1e-9, "{tokens} decodes");
            assert!((ms(&model(2), tokens, 0) - expected).abs() < 1e-9, "{tokens} of a prompt");
        }
        assert!((ms(&model(4), 0, 1) - 9.0).abs() < 1e-9, "every token reads all");
        assert!((ms(&model(4), 1_000, 24) - 9.0).abs() < 1e-9);
    }

    fn any_model() -> impl Strategy<Value = StepModel> {
        // Squares of a wide range, so that tiny, ordinary and absurd coefficients all come up.
        let ms = || prop_oneof![Just(0.0), 0.0..1.0_f64, (0.0..1e3_f64).prop_map(|x| x * x)];
        let linear = (prop::array::uniform10(ms()), 0..2_000_u32, 1..300_u32, 1..300_u32);
        let linear = linear.prop_map(|(ms, knee_tokens, experts, chosen)| {
            StepModel::linear(&LinearModel {
                step_ms: ms[0],
                prefill_token_ms: ms[1],
                decode_ms: ms[2],
                context_token_ms: ms[3],
                attention_pair_ms: ms[4],
                prefill_step_ms: ms[5],
                token_ms: ms[6],
                knee_token_ms: ms[7],
                knee_tokens,
                expert_ms: ms[8],
                longest_context_token_ms: ms[9],
                experts: experts.max(chosen),
                experts_per_token: chosen,
                first_launch_ms: 0.0,
            })
        });
        let compute = (1.0..1e9_f64, 1.0..1e4_f64, 1..512_u32, 1.0..1e6_f64);
        let compute = compute.prop_map(|(prefill, one, batch, most)| {
            StepModel::compute(ComputeModel::new(prefill, one, batch, most))
        });
        prop_oneof![3 => linear, 1 => compute]
    }

    proptest! {
        #[test]
        fn the_decode_line_agrees_with_the_step_time(
            model in any_model(),
            decodes in prop_oneof![0..2_000_u64, 0..(1_u64 << 20)],
            context_tokens in prop_oneof![0..1_000_000_u64, any::<u64>()],
            longest_context in prop_oneof![0..1_000_000_u64, any::<u64>()],
        ) {
            let shape =
                BatchShape { decodes, context_tokens, longest_context, ..BatchShape::default() };
            let line = model.decode_line(decodes);
            let whole = u128::from(line.base_ps)
                + u128::from(line.context_token_ps) * u128::from(context_tokens)
                + u128::from(line.longest_context_token_ps) * u128::from(longest_context);
            let bounds = (u128::from(SHORTEST_STEP_PS), u128::from(LONGEST_STEP_PS));
            let clamped = whole.clamp(bounds.0, bounds.1);
            prop_assert_eq!(clamped, u128::from(model.step_time(&shape).as_ps()));
        }

        #[test]
        fn more_work_never_takes_less_time(
            model in any_model(),
            fewer in prop::array::uniform5(0..5_000_u64),
            more in prop::array::uniform5(0..5_000_u64),
        ) {
            prop_assume!(model.grows_with_batch());
            let shape = |work: [u64; 5]| {
                let [prefill_tokens, decodes, context_tokens, longest_context, attention_halves] =
                    work;
                BatchShape {
                    prefill_tokens,
                    decodes,
                    context_tokens,
                    longest_context,
                    attention_halves,
                }
            };
            let sum = std::array::from_fn(|at| fewer[at] + more[at]);
            prop_assert!(model.step_time(&shape(fewer)) <= model.step_time(&shape(sum)));
        }
    }
}
