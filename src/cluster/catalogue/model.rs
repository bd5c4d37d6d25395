//! Models by name: their shape, and what follows from it.

/// One language model, as its own configuration describes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Model {
    /// The name in a config's `model`.
    pub name: &'static str,
    /// Other spellings that are understood.
    pub aliases: &'static [&'static str],
    /// Transformer layers.
    pub layers: u32,
    /// Those of them whose feed-forward part is dense although others have experts.
    pub dense_layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads; with a latent cache, the one latent that all heads share.
    pub kv_heads: u32,
    /// Size of a head; with a latent cache, the mean of those of keys and values.
    pub head_dim: u32,
    /// Width of the dense feed-forward part.
    pub ffn: u32,
    /// The experts, if there are any.
    pub experts: Option<Experts>,
    /// Tokens of the vocabulary. No model here ties its embeddings.
    pub vocab: u32,
    /// Parameters of the attention of one layer.
    pub attention_params: u64,
    /// Numbers that the KV cache holds per token and layer, over all heads.
    pub kv_width: u32,
    /// Whether the published weights are fp8.
    pub fp8: bool,
    /// Where the shape comes from.
    pub source: &'static str,
}

/// The experts of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    /// How many a token may be sent to.
    pub count: u32,
    /// How many a token is sent to.
    pub per_token: u32,
    /// How many every token passes as well.
    pub shared: u32,
    /// Width of each.
    pub ffn: u32,
}

/// Every model that `model` may name.
pub const MODELS: &[Model] = &[
    Model {
        name: "Llama-3.1-8B",
        aliases: &["Meta-Llama-3.1-8B"],
        ..grouped([32, 4_096, 32, 8, 128, 14_336, 128_256], LLM_SERVING_SIM)
    },
    Model {
        name: "Llama-3.1-70B",
        aliases: &["Meta-Llama-3.1-70B", "Llama-3.3-70B"],
        ..grouped([80, 8_192, 64, 8, 128, 28_672, 128_256], LLM_SERVING_SIM_AND_BLIS)
    },
    Model {
        name: "Qwen3-32B",
        aliases: &[],
        ..grouped([64, 5_120, 64, 8, 128, 25_600, 151_936], LLM_SERVING_SIM)
    },
    Model {
        name: "Qwen3-30B-A3B",
        aliases: &[],
        experts: Some(Experts { count: 128, per_token: 8, shared: 0, ffn: 768 }),
        ..grouped([48, 2_048, 32, 4, 128, 0, 151_936], LLM_SERVING_SIM_AND_BLIS)
    },
    Model {
        name: "Mixtral-8x7B",
        aliases: &["Mixtral-8x7B-v0.1", "Mixtral-8x7B-Instruct-v0.1"],
        experts: Some(Experts { count: 8, per_token: 2, shared: 0, ffn: 14_336 }),
        ..grouped([32, 4_096, 32, 8, 128, 0, 32_000], LLM_SERVING_SIM_AND_BLIS)
    },
    Model {
        name: "DeepSeek-V3",
        aliases: &["DeepSeek-V3-0324", "DeepSeek-R1"],
        dense_layers: 3,
        experts: Some(Experts { count: 256, per_token: 8, shared: 1, ffn: 2_048 }),
        // Queries through a latent of 1,536; keys and values through one of 512 beside a rotary
        // key of 64; heads of 192 and 128; the output.
        attention_params: 7_168 * 1_536
            + 1_536 * 128 * 192
            + 7_168 * 576
            + 512 * 128 * 256
            + 128 * 128 * 7_168,
        kv_width: 576,
        fp8: true,
        ..grouped(
            [61, 7_168, 128, 1, 160, 18_432, 129_280],
            "deepseek-ai/DeepSeek-V3 inference/configs/config_671B.json",
        )
    },
];

const LLM_SERVING_SIM: &str = "LLMServingSim configs/model";
const LLM_SERVING_SIM_AND_BLIS: &str = "LLMServingSim configs/model, BLIS model_configs";

impl Model {
    /// Returns the model of that name or alias, whatever its case, owner or `-Instruct`.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        let short = name.rsplit('/').next().unwrap_or(name);
        let lower = short.to_ascii_lowercase();
        let base = lower.strip_suffix("-instruct").unwrap_or(&lower);
        MODELS.iter().find(|model| {
            let mut names = model.aliases.iter().chain([&model.name]);
            names
                .any(|known| known.eq_ignore_ascii_case(base) || known.eq_ignore_ascii_case(&lower))
        })
    }

    /// Returns all parameters.
    pub fn params(&self) -> u64 {
        self.dense_params() + self.expert_params() + 2 * self.embedding_params()
    }

    /// Returns the parameters that compute a token, the embedding of its input apart.
    pub fn active_params(&self) -> u64 {
        self.layer_params_of_a_token() + self.embedding_params()
    }

    /// Returns the bytes of KV of one token, of so many bytes a number.
    pub fn kv_bytes_per_token(&self, bytes: u32) -> u64 {
        u64::from(self.layers) * u64::from(self.kv_width) * u64::from(bytes)
    }

    /// Returns the parameters of the layers that every token passes.
    pub(super) fn dense_params(&self) -> u64 {
        let shared = self.experts.map_or(0, |experts| {
            u64::from(experts.shared) * self.expert_layers() * self.params_of_an_expert()
        });
        let dense_layers = u64::from(self.layers) - self.expert_layers();
        let dense = dense_layers * gated_params(self.hidden, self.ffn);
        u64::from(self.layers) * self.attention_params + dense + shared
    }

    /// Returns the parameters of all experts that tokens are sent to.
    pub(super) fn expert_params(&self) -> u64 {
        self.experts.map_or(0, |experts| {
            u64::from(experts.count) * self.expert_layers() * self.params_of_an_expert()
        })
    }

    /// Returns the parameters of the layers that one token passes.
    pub(super) fn layer_params_of_a_token(&self) -> u64 {
        let sent = self.experts.map_or(0, |experts| u64::from(experts.per_token));
        self.dense_params() + sent * self.expert_layers() * self.params_of_an_expert()
    }

    /// Returns the parameters of the embedding, as many as those of the output head.
    pub(super) fn embedding_params(&self) -> u64 {
        u64::from(self.vocab) * u64::from(self.hidden)
    }

    /// Returns the width of all feed-forward parts that a token passes, summed over the layers.
    pub(super) fn ffn_of_a_token(&self) -> u64 {
        let experts = self.experts.map_or(0, |experts| {
            u64::from(experts.per_token + experts.shared) * u64::from(experts.ffn)
        });
        let dense_layers = u64::from(self.layers) - self.expert_layers();
        dense_layers * u64::from(self.ffn) + self.expert_layers() * experts
    }

    fn expert_layers(&self) -> u64 {
        u64::from(if self.experts.is_some() { self.layers - self.dense_layers } else { 0 })
    }

    fn params_of_an_expert(&self) -> u64 {
        self.experts.map_or(0, |experts| gated_params(self.hidden, experts.ffn))
    }
}

/// Returns a dense model with grouped-query attention. The shape is its layers, hidden width, heads, KV
/// heads, head size, feed-forward width and vocabulary.
const fn grouped(shape: [u32; 7], source: &'static str) -> Model {
    let [layers, hidden, heads, kv_heads, head_dim, ffn, vocab] = shape;
    let attended = hidden as u64 * head_dim as u64;
    Model {
        name: "",
        aliases: &[],
        layers,
        dense_layers: 0,
        hidden,
        heads,
        kv_heads,
        head_dim,
        ffn,
        experts: None,
        vocab,
        attention_params: attended * (2 * heads as u64 + 2 * kv_heads as u64),
        kv_width: 2 * kv_heads * head_dim,
        fp8: false,
        source,
    }
}

/// Returns the parameters of a gated feed-forward part: up, gate and down.
fn gated_params(hidden: u32, ffn: u32) -> u64 {
    3 * u64::from(hidden) * u64::from(ffn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_give_the_published_sizes() {
        // Total and active parameters in 10⁹, as the models' cards have them.
        for (name, total, active) in [
            ("Llama-3.1-8B", 8.03, 8.03 - 0.53),
            ("Llama-3.1-70B", 70.55, 70.55 - 1.05),
            ("Qwen3-32B", 32.76, 32.76 - 0.78),
            ("Qwen3-30B-A3B", 30.53, 3.35 - 0.31),
            ("Mixtral-8x7B", 46.7, 12.9 - 0.13),
            ("DeepSeek-V3", 671.0, 37.0),
        ] {
            let model = Model::by_name(name).unwrap();
            assert!((model.params() as f64 / 1e9 / total - 1.0).abs() < 0.002, "{name}");
            let share = model.active_params() as f64 / 1e9 / active;
            assert!((share - 1.0).abs() < 0.02, "{name}: {}", model.active_params());
        }
    }

    #[test]
    fn heads_can_be_split_over_any_number_of_gpus() {
        for model in MODELS {
            let heads = [model.heads, model.kv_heads];
            for degree in [1, 2, 4, 8_u32] {
                let splits = heads[0].is_multiple_of(degree);
                // Where there are fewer KV heads than GPUs, each is held by several.
                let [small, large] = [heads[1].min(degree), heads[1].max(degree)];
                assert!(splits && large.is_multiple_of(small), "{} on {degree}", model.name);
            }
        }
    }

    #[test]
    fn models_are_found_as_people_write_them() {
        for (written, name) in [
            ("meta-llama/Llama-3.1-8B-Instruct", "Llama-3.1-8B"),
            ("llama-3.1-70b", "Llama-3.1-70B"),
            ("Qwen/Qwen3-30B-A3B", "Qwen3-30B-A3B"),
            ("mistralai/Mixtral-8x7B-Instruct-v0.1", "Mixtral-8x7B"),
            ("deepseek-ai/DeepSeek-R1", "DeepSeek-V3"),
        ] {
            assert_eq!(Model::by_name(written).map(|model| model.name), Some(name), "{written}");
        }
        assert!(Model::by_name("Llama-3.1-9B").is_none());
    }
}
