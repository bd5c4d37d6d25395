//! Requests drawn from distributions.

use serde::Serialize;

use crate::document::{Bounds, Table, did_you_mean};
use crate::rng::Stream;
use crate::trace::{ReadReport, Row, Rows};
use crate::units::{PS_PER_NS, SimDuration, SimTime};

use super::draws::GeneratedStream;
use super::requests::{Arriving, Requests, collect};
use super::{MOST_IN_MEMORY, MOST_REQUESTS, Made, Warmup, Workload, WorkloadError};

/// The longest prompt or output that is drawn, in tokens.
const LONGEST_TOKENS: f64 = 1e8;

/// Generated workloads of more requests are streamed: 56 MB as columns, and a tenth of a second to
/// draw anew.
pub const STREAMED_FROM: usize = 2_000_000;

/// The most prefix groups: ids of groups index arrays.
const MOST_PREFIXES: u32 = 1_000_000;

/// Poisson arrivals with drawn lengths and shared prefixes; the defaults are those of `gen-trace`.
///
/// Lengths are rounded to whole tokens and clamped to at least 1, which raises their mean: by
/// `std · (φ(z) − z·(1 − Φ(z)))` with `z = (mean − 1) / std` for normal ones (0.4 tokens for the
/// default prompt, 0.02 for the default output), by about `0.46 / mean` for exponential ones.
///
/// Names of fields are part of the ids of runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GeneratorSpec {
    /// Distribution of prompt and output lengths.
    pub lengths: Lengths,
    /// Mean prompt length in tokens, from 1.
    pub prompt_mean: f64,
    /// Standard deviation of the prompt length in tokens; normal lengths only.
    pub prompt_std: f64,
    /// Mean output length in tokens, from 1.
    pub gen_mean: f64,
    /// Standard deviation of the output length in tokens; normal lengths only.
    pub gen_std: f64,
    /// Prefix groups, each request in one of them, all alike; 0 for prompts that share nothing.
    pub num_prefixes: u32,
    /// Mean prefix length of a group in tokens. Each group draws its length once, from the normal
    /// distribution with a fifth of the mean as standard deviation; a request shares as much of it
    /// as its prompt holds.
    pub prefix_len_mean: f64,
}

/// How lengths are distributed around their mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lengths {
    /// Normal, with mean and standard deviation.
    Normal,
    /// Exponential: the case that queueing theory knows.
    Exponential,
    /// The mean, always.
    Constant,
}

impl Default for GeneratorSpec {
    fn default() -> Self {
        Self {
            lengths: Lengths::Normal,
            prompt_mean: 500.0,
            prompt_std: 200.0,
            gen_mean: 150.0,
            gen_std: 50.0,
            num_prefixes: 10,
            prefix_len_mean: 256.0,
        }
    }
}

impl Lengths {
    /// All distributions.
    pub const ALL: [Self; 3] = [Self::Normal, Self::Exponential, Self::Constant];

    /// Returns the name that files use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Exponential => "exponential",
            Self::Constant => "constant",
        }
    }

    /// Returns the distribution of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lengths| lengths.name() == name)
    }

    pub(super) fn draw(self, stream: &mut Stream, mean: f64, std: f64) -> u32 {
        let length = match self {
            Self::Normal => mean + std * stream.normal(),
            Self::Exponential => mean * stream.exponential(),
            Self::Constant => mean,
        };
        whole_tokens(length)
    }
}

impl GeneratorSpec {
    /// Reads the generator's own keys from a table; absent keys keep their defaults.
    pub fn read(table: &mut Table<'_>) -> Self {
        let default = Self::default();
        let mean = Bounds::Between(1.0, LONGEST_TOKENS);
        let std = Bounds::Between(0.0, LONGEST_TOKENS);
        let lengths = read_lengths(table).unwrap_or(default.lengths);
        for key in ["prompt_std", "gen_std"] {
            if lengths != Lengths::Normal && table.has(key) {
                let message = format!("`{key}` has no effect on {} lengths", lengths.name());
                let hint = format!("remove `{key}`, or set lengths = \"normal\"");
                table.fault_at(key, message, Some(hint));
            }
        }
        let mut real = |key, bounds, or| table.real(key, bounds).unwrap_or(or);
        let prompt_mean = real("prompt_mean", mean, default.prompt_mean);
        let prompt_std = real("prompt_std", std, default.prompt_std);
        let gen_mean = real("gen_mean", mean, default.gen_mean);
        let gen_std = real("gen_std", std, default.gen_std);
        let prefix_len_mean = real("prefix_len_mean", mean, default.prefix_len_mean);
        let num_prefixes = table.whole("num_prefixes", 0..=u64::from(MOST_PREFIXES));
        let num_prefixes = num_prefixes.and_then(|count| u32::try_from(count).ok());
        Self {
            lengths,
            prompt_mean,
            prompt_std,
            gen_mean,
            gen_std,
            num_prefixes: num_prefixes.unwrap_or(default.num_prefixes),
            prefix_len_mean,
        }
    }

    /// Checks that lengths can be drawn.
    ///
    /// # Errors
    ///
    /// The first field that can't be: a mean below 1 token, a negative standard deviation, a
    /// number that is not finite or above 100 million tokens, more than a million prefix groups.
    pub fn check(&self) -> Result<(), WorkloadError> {
        let fields = [
            ("prompt_mean", self.prompt_mean, 1.0),
            ("prompt_std", self.prompt_std, 0.0),
            ("gen_mean", self.gen_mean, 1.0),
            ("gen_std", self.gen_std, 0.0),
            ("prefix_len_mean", self.prefix_len_mean, 1.0),
        ];
        for (field, value, low) in fields {
            if !(low..=LONGEST_TOKENS).contains(&value) {
                return Err(WorkloadError::new(
                    format!("`{field}` is {value}, expected {low} to {LONGEST_TOKENS:e} tokens"),
                    "lengths are in tokens",
                ));
            }
        }
        if self.num_prefixes > MOST_PREFIXES {
            let count = self.num_prefixes;
            return Err(WorkloadError::new(
                format!("`num_prefixes` is {count}, expected 0 to {MOST_PREFIXES}"),
                "num_prefixes = 0 gives prompts that share nothing",
            ));
        }
        Ok(())
    }

    /// Draws the requests that arrive in `[0, duration)` at a mean of `rate_rps` per second.
    ///
    /// Request `i` of a seed has the same lengths and prefix at every rate, and its arrival times
    /// the rate is the same too. More than [`STREAMED_FROM`] requests are drawn by each run as they
    /// arrive and take no memory; fewer are drawn now and shared by the runs that meet them.
    ///
    /// # Errors
    ///
    /// When [`check`](Self::check) fails, when the rate or the duration is not above 0, when more
    /// than [`MOST_REQUESTS`] requests are expected, or when the warm-up leaves no request.
    pub fn workload(
        &self,
        rate_rps: f64,
        seed: u64,
        duration: SimDuration,
        warmup: Warmup,
    ) -> Result<Workload, WorkloadError> {
        let stream = GeneratedStream::new(self, rate_rps, seed, duration, MOST_REQUESTS)?;
        let requests = if stream.len() > STREAMED_FROM {
            Requests::Streamed(stream)
        } else {
            Requests::Columns(collect(&stream))
        };
        let made = Made {
            source: "generator".to_owned(),
            operator: "generated (poisson)".to_owned(),
            requested_rps: Some(rate_rps),
            notes: Vec::new(),
        };
        Workload::new(requests, made, SimTime::ZERO + duration, warmup)
    }

    /// Draws the same requests as [`workload`](Self::workload), as rows for a file.
    ///
    /// # Errors
    ///
    /// As there, save that rows know no warm-up: that no request arrives is an error; and they may
    /// be at most [`MOST_IN_MEMORY`].
    ///
    /// # Panics
    ///
    /// Never: a duration is at most 100 days, far below 2⁶³ nanoseconds.
    pub fn rows(
        &self,
        rate_rps: f64,
        seed: u64,
        duration: SimDuration,
    ) -> Result<Rows, WorkloadError> {
        let row = |drawn: Arriving<'_>| Row {
            arrival_ns: i64::try_from(drawn.arrival.as_ps() / PS_PER_NS)
                .expect("100 days are below 2⁶³ ns"),
            prompt_tokens: drawn.prompt_tokens,
            gen_tokens: drawn.output_tokens,
            prefix_hash: drawn.chain.ids.first().map(|group| format!("prefix_{group}")),
            prefix_len: drawn.chain.ids.first().map(|_| drawn.chain.shared_tokens),
            ..Row::default()
        };
        let stream = GeneratedStream::new(self, rate_rps, seed, duration, MOST_IN_MEMORY)?;
        let rows: Vec<Row> = stream.draws().map(row).collect();
        if rows.is_empty() {
            return Err(super::nothing_measured(0, Warmup::NONE));
        }
        let report = ReadReport { read: rows.len(), emitted: rows.len(), ..ReadReport::default() };
        Ok(Rows { rows, block_tokens: None, report })
    }
}

fn read_lengths(table: &mut Table<'_>) -> Option<Lengths> {
    let item = table.item("lengths")?;
    let name = item.text()?;
    let lengths = Lengths::by_name(&name);
    if lengths.is_none() {
        let names = Lengths::ALL.map(Lengths::name);
        let message = format!("unknown distribution `{name}`");
        item.fault(message, Some(did_you_mean(&name, &names)));
    }
    lengths
}

fn whole_tokens(length: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 1 ..= 1e8"
    )]
    let tokens = length.round().clamp(1.0, LONGEST_TOKENS) as u32;
    tokens
}

#[cfg(test)]
mod tests;
