//! The arguments of `routesim`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cluster::PARALLEL_DEGREES;

/// Simulate a fleet of LLM serving engines behind a router
///
/// A config describes the fleet, a trace the requests, an algorithm the routing. Results go to
/// standard output, everything else to standard error.
#[derive(Debug, Parser)]
#[command(name = "routesim", version, max_term_width = 100)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the routing algorithms with their parameters
    ListAlgorithms,
    /// List GPUs, models, and the preset of each model on each GPU
    ///
    /// A preset is what a config with `gpu_type` and `model` gets: KV blocks, step time, price.
    /// Example: `routesim catalogue --gpu H100Sxm --model Qwen3-32B --tensor-parallel 2`
    Catalogue(CatalogueArgs),
    /// Run one algorithm and show its latencies, throughput and cost
    ///
    /// Example: `routesim run -c configs/default.toml -a prefix_aware`
    Run(RunArgs),
    /// Compare algorithms on the same requests
    ///
    /// Example: `routesim compare -c configs/default.toml -A round_robin,prefix_aware`
    Compare(CompareArgs),
    /// Generate a synthetic trace with Poisson arrivals
    ///
    /// Lengths are normal, rounded and at least 1. Equal options give equal bytes.
    GenTrace(GenTraceArgs),
    /// Run one algorithm at several request rates
    ///
    /// Each rate meets a synthetic trace with the lengths and prefixes that gen-trace has by
    /// default. All rates of a seed share their draws, so only the arrivals differ.
    Sweep(SweepArgs),
    /// Convert a trace to the compact format
    Convert(ConvertArgs),
    /// Compare a measured run of a real engine with its simulation
    ///
    /// The trace has the times of the first and the last token of each request; docs/calibration.md
    /// says how to measure them. Example: `routesim fidelity -c engine.toml -t measured.jsonl`
    Fidelity(FidelityArgs),
    /// Find the step times of an engine from a measured run
    ///
    /// Writes the config with its step model replaced, which is also where the search starts. Example: `routesim calibrate -c engine.toml -t measured.jsonl -o fitted.toml`
    Calibrate(CalibrateArgs),
}

/// How results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// Tables for people
    Text,
    /// One document, as -o writes it
    Json,
    /// One row per run
    Csv,
}

#[derive(Debug, Args)]
pub(super) struct CatalogueArgs {
    /// Show this GPU only, and where its figures come from
    #[arg(long, value_name = "NAME")]
    pub(super) gpu: Option<String>,
    /// Show this model only, and where its shape comes from
    #[arg(long, value_name = "NAME")]
    pub(super) model: Option<String>,
    /// Put models on this many GPUs: 1, 2, 4 or 8 [default: the fewest that do]
    #[arg(long, value_name = "N", value_parser = degree)]
    pub(super) tensor_parallel: Option<u32>,
    /// Show the catalogue in this form
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub(super) format: OutputFormat,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Write the results as JSON to this file as well
    #[arg(short, long, value_name = "PATH")]
    pub(super) output: Option<PathBuf>,
    /// Show the results in this form
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub(super) format: OutputFormat,
}

#[derive(Debug, Args)]
pub(super) struct InputArgs {
    /// Describe the fleet by this TOML file
    #[arg(short, long, value_name = "PATH")]
    pub(super) config: PathBuf,
    /// Take the requests from this file, "-" for standard input [default: the config's]
    ///
    /// The format is told from the first row, unless the config's [trace] has a format and no path.
    #[arg(short, long, value_name = "PATH")]
    pub(super) trace: Option<PathBuf>,
    /// Set how many tokens one id of `hash_ids` stands for [default: as the file or format says]
    #[arg(long, value_name = "TOKENS")]
    pub(super) block_size: Option<u32>,
    /// Run this many seeds, from the config's on
    ///
    /// One seed replays the trace as it is. More resample it, session by session, at its own rate
    /// and over its own length, and results are means with 95 % intervals.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = seeds())]
    pub(super) seeds: u32,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) input: InputArgs,
    /// Route by this algorithm (see list-algorithms)
    #[arg(short, long, value_name = "NAME", default_value = "round_robin")]
    pub(super) algorithm: String,
    #[command(flatten)]
    pub(super) series: SeriesArgs,
    #[command(flatten)]
    pub(super) show: ShowArgs,
}

#[derive(Debug, Args)]
pub(super) struct SeriesArgs {
    /// Write what the backends are like over time to this file, which ends in .csv or .parquet
    ///
    /// A row has the requests that wait, run and are outstanding on a backend at an instant, and
    /// the KV blocks in use. No result depends on it. docs/outputs.md has the columns.
    #[arg(long, value_name = "PATH")]
    pub(super) series: Option<PathBuf>,
    /// Look at the backends at every so many simulated seconds
    ///
    /// Beyond 2,000 instants, fewer in fleets of over 500 backends, every second one is dropped
    /// and the interval doubles.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, requires = "series")]
    #[arg(allow_negative_numbers = true)]
    pub(super) series_interval: f64,
}

#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    #[command(flatten)]
    pub(super) input: InputArgs,
    /// Compare these algorithms, separated by commas [default: all]
    #[arg(short = 'A', long, value_name = "NAMES", num_args = 1..)]
    pub(super) algorithms: Option<Vec<String>>,
    #[command(flatten)]
    pub(super) show: ShowArgs,
}

#[derive(Debug, Args)]
pub(super) struct SweepArgs {
    /// Describe the fleet by this TOML file
    #[arg(short, long, value_name = "PATH")]
    pub(super) config: PathBuf,
    /// Route by this algorithm (see list-algorithms)
    #[arg(short, long, value_name = "NAME", default_value = "round_robin")]
    pub(super) algorithm: String,
    /// Run at these mean rates in requests per second, separated by commas
    #[arg(long, value_name = "RATES", num_args = 1.., required = true)]
    #[arg(allow_negative_numbers = true)]
    pub(super) rates: Vec<String>,
    /// Let requests arrive for this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    #[arg(allow_negative_numbers = true)]
    pub(super) duration: f64,
    /// Run this many seeds at each rate
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = seeds())]
    pub(super) seeds: u32,
    /// Start from this seed [default: the config's]
    #[arg(long, value_parser = seed())]
    pub(super) seed: Option<u64>,
    #[command(flatten)]
    pub(super) show: ShowArgs,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(super) struct GenTraceArgs {
    /// Set the mean rate in requests per second
    #[arg(long, default_value_t = 100.0)]
    pub(super) rate: f64,
    /// Let requests arrive for this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0)]
    pub(super) duration: f64,
    /// Set the mean prompt length in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 500.0)]
    pub(super) prompt_mean: f64,
    /// Set the standard deviation of prompt lengths in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 200.0)]
    pub(super) prompt_std: f64,
    /// Set the mean output length in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 150.0)]
    pub(super) gen_mean: f64,
    /// Set the standard deviation of output lengths in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 50.0)]
    pub(super) gen_std: f64,
    /// Share this many prefixes among the requests, 0 for none
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(super) num_prefixes: u32,
    /// Set the mean prefix length in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 256.0)]
    pub(super) prefix_len_mean: f64,
    /// Draw from this seed
    #[arg(long, default_value_t = 42, value_parser = seed())]
    pub(super) seed: u64,
    /// Write the trace to this file, "-" for standard output
    #[arg(short, long, value_name = "PATH")]
    pub(super) output: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ConvertArgs {
    /// Read this file, "-" for standard input
    #[arg(short, long, value_name = "PATH")]
    pub(super) input: PathBuf,
    /// Read it as this format: `compact_jsonl`, mooncake or otel
    #[arg(short, long)]
    pub(super) format: String,
    /// Write the trace to this file, "-" for standard output
    #[arg(short, long, value_name = "PATH")]
    pub(super) output: PathBuf,
    /// Set how many tokens one id of `hash_ids` stands for [default: as the file or format says]
    #[arg(long, value_name = "TOKENS")]
    pub(super) block_size: Option<u32>,
}

/// Reads how many GPUs share a model.
fn degree(text: &str) -> Result<u32, String> {
    let degree = text.parse().ok().filter(|degree| PARALLEL_DEGREES.contains(degree));
    degree.ok_or_else(|| "expected 1, 2, 4 or 8".to_owned())
}

#[derive(Debug, Args)]
pub(super) struct ScoredArgs {
    /// Score from this request on, counted from 0 by arrival [default: the first]
    ///
    /// Every request is simulated, whichever are scored.
    #[arg(long, value_name = "N")]
    pub(super) from: Option<usize>,
    /// Score the requests before this one [default: all]
    #[arg(long, value_name = "M")]
    pub(super) to: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct FidelityArgs {
    /// Describe the engine by this TOML file
    #[arg(short, long, value_name = "PATH")]
    pub(super) config: PathBuf,
    /// Compare with this measured run, "-" for standard input
    #[arg(short, long, value_name = "PATH")]
    pub(super) trace: PathBuf,
    /// Set how many tokens one id of `hash_ids` stands for [default: as the file says]
    #[arg(long, value_name = "TOKENS")]
    pub(super) block_size: Option<u32>,
    /// Route by this algorithm, when the config has several backends
    #[arg(short, long, value_name = "NAME", default_value = "round_robin")]
    pub(super) algorithm: String,
    #[command(flatten)]
    pub(super) scored: ScoredArgs,
    #[command(flatten)]
    pub(super) show: ShowArgs,
}

#[derive(Debug, Args)]
pub(super) struct CalibrateArgs {
    /// Describe the engine by this TOML file
    #[arg(short, long, value_name = "PATH")]
    pub(super) config: PathBuf,
    /// Fit to this measured run of requests, "-" for standard input
    #[arg(short, long, value_name = "PATH", required_unless_present = "steps")]
    pub(super) trace: Option<PathBuf>,
    /// Fit to the times of single steps in this CSV file instead
    #[arg(long, value_name = "PATH", conflicts_with_all = ["trace", "from", "to", "block_size"])]
    pub(super) steps: Option<PathBuf>,
    /// Set how many tokens one id of `hash_ids` stands for [default: as the file says]
    #[arg(long, value_name = "TOKENS")]
    pub(super) block_size: Option<u32>,
    #[command(flatten)]
    pub(super) scored: ScoredArgs,
    /// Write the calibrated config to this file, "-" for standard output
    #[arg(short, long, value_name = "PATH")]
    pub(super) output: PathBuf,
}

fn seeds() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=100_000)
}

/// Seeds stay within what every reader of the results holds exactly.
fn seed() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(0..=1 << 53)
}
