//! The config file of the guide.

use std::path::{Path, PathBuf};

use crate::cluster::ClusterSpec;
use crate::document::{Bounds, Document, Faults, Table, did_you_mean};
use crate::metrics::SloSpec;
use crate::trace::Format;
use crate::units::SimDuration;
use crate::workload::{Dequantize, Warmup};

/// A config file, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Label for output.
    pub name: String,
    /// Seed of every random stream.
    pub seed: u64,
    /// Requests or time left out of every metric.
    pub warmup: Warmup,
    /// The fleet.
    pub cluster: ClusterSpec,
    /// Where the requests come from, unless the command says otherwise.
    pub trace: TraceSpec,
    /// The objectives; empty when there are none.
    pub slo: SloSpec,
    /// The text it was read from.
    pub text: String,
}

/// The `[trace]` table: a file of requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceSpec {
    /// Its path, from the working directory in a config and from the manifest in a manifest.
    pub path: Option<PathBuf>,
    /// Its format; found out from the file where none is given.
    pub format: Option<Format>,
    /// Tokens that one block id stands for, where the format leaves it open.
    pub block_size: Option<u32>,
    /// What to do about coarse arrival times.
    pub dequantize: Dequantize,
}

/// A config that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file says something that can't be.
    #[error(transparent)]
    Faults(#[from] Faults),
}

impl Config {
    /// Reads a config file.
    ///
    /// # Errors
    ///
    /// When it can't be read, or every fault in it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let label = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self::parse(&label, &text)?),
            Err(source) => Err(ConfigError::Io { path: label, source }),
        }
    }

    /// Reads a config from a text; `label` is what faults call it.
    ///
    /// # Errors
    ///
    /// Every fault in it.
    pub fn parse(label: &str, text: &str) -> Result<Self, Faults> {
        Self::of(&Document::parse(label, text)?)
    }

    /// Reads a config from a document, in which values of others may have been put.
    ///
    /// # Errors
    ///
    /// Every fault in it.
    pub fn of(document: &Document) -> Result<Self, Faults> {
        document.settle(|root| Self::read(root, document.text()))
    }

    fn read(root: &mut Table<'_>, text: &str) -> Option<Self> {
        let simulation = root.section("simulation", read_simulation).unwrap_or_default();
        let cluster = root.section("cluster", ClusterSpec::read);
        if cluster.is_none() && !root.has("cluster") {
            root.fault("no [cluster] table", Some("say at least `num_backends`".into()));
        }
        let trace = root.section("trace", TraceSpec::read).unwrap_or_default();
        let slo = root.section("slo", SloSpec::read).unwrap_or_default();
        let (name, seed, warmup) = simulation;
        Some(Self {
            name: name.unwrap_or_else(|| "simulation".to_owned()),
            seed: seed.unwrap_or(42),
            warmup: warmup.unwrap_or(Warmup::NONE),
            cluster: cluster.flatten()?,
            trace,
            slo,
            text: text.to_owned(),
        })
    }
}

type Simulation = (Option<String>, Option<u64>, Option<Warmup>);

fn read_simulation(table: &mut Table<'_>) -> Simulation {
    let name = table.text("name");
    // Seeds stay within what every reader of the results holds exactly.
    let seed = table.whole("seed", 0..=1 << 53);
    (name, seed, read_warmup(table))
}

/// Reads `warmup_requests` or `warmup_s`, of which a table has at most one.
pub fn read_warmup(table: &mut Table<'_>) -> Option<Warmup> {
    let requests = table.whole("warmup_requests", 0..=1 << 53).map(Warmup::Requests);
    let seconds = table.real("warmup_s", Bounds::Between(0.0, 8e6));
    let time = seconds.and_then(|s| SimDuration::from_secs(s).ok()).map(Warmup::Time);
    if requests.is_some() && time.is_some() {
        let hint = "leave out one of `warmup_requests` and `warmup_s`";
        table.fault_at("warmup_s", "the warm-up is given twice", Some(hint.into()));
    }
    time.or(requests)
}

impl TraceSpec {
    /// Reads the keys of a trace: `path`, `format`, `block_size`, `dequantize`.
    pub fn read(table: &mut Table<'_>) -> Self {
        Self { path: table.text("path").map(PathBuf::from), ..Self::read_how(table) }
    }

    /// Reads the keys that say how a trace is to be read.
    pub fn read_how(table: &mut Table<'_>) -> Self {
        let format = table.item("format").and_then(|item| {
            let name = item.text()?;
            let format = Format::parse(&name).ok();
            if format.is_none() {
                let hint = did_you_mean(&name, &Format::NAMES);
                item.fault(format!("unknown trace format `{name}`"), Some(hint));
            }
            format
        });
        let block_size = table.count("block_size", 1..=1 << 20);
        let dequantize = table.item("dequantize").and_then(|item| {
            if !item.is_text() {
                return item.whole(1..=86_400_000).map(Dequantize::TickMs);
            }
            match item.text()?.as_str() {
                "auto" => Some(Dequantize::Auto),
                "off" => Some(Dequantize::Off),
                _ => {
                    item.wrong("\"auto\", \"off\" or a tick in milliseconds");
                    None
                }
            }
        });
        let dequantize = dequantize.unwrap_or(Dequantize::Auto);
        Self { path: None, format, block_size, dequantize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUIDE: &str = r#"
[simulation]
name = "my-experiment"
seed = 7
warmup_requests = 100

[cluster]
gpu_type = "H100Sxm"
num_backends = 8
max_batch_tokens = 16384
max_queue_depth = 256
kv_cache_blocks = 32768
kv_block_size = 16

[cluster.compute_model]
prefill_tokens_per_sec = 50000
decode_tokens_per_sec_batch1 = 80
decode_throughput_saturation_batch = 64
decode_tokens_per_sec_saturated = 3200

[trace]
format = "compact_jsonl"
path = "traces/my_trace.jsonl"
"#;

    #[test]
    fn the_guides_config_is_understood() {
        let config = Config::parse("guide.toml", GUIDE).unwrap();
        assert_eq!((config.name.as_str(), config.seed), ("my-experiment", 7));
        assert_eq!(config.warmup, Warmup::Requests(100));
        assert_eq!(config.cluster.num_backends, 8);
        assert_eq!(config.trace.format, Some(Format::Compact));
        assert_eq!(config.trace.path, Some(PathBuf::from("traces/my_trace.jsonl")));
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let text = GUIDE.replace("kv_cache_blocks", "kv_cache_block").replace("= 7", "= -7");
        let faults = Config::parse("guide.toml", &text).unwrap_err().to_string();
        for part in [
            "guide.toml:4:8: `simulation.seed` is -7",
            "guide.toml:12:1: unknown key `kv_cache_block` in [cluster]",
            "did you mean `kv_cache_blocks`?",
        ] {
            assert!(faults.contains(part), "{faults}");
        }
    }
}
