//! Requests drawn from distributions.

use crate::document::{Bounds, Table, did_you_mean};
use crate::rng::Stream;
use crate::trace::{NewRequest, ONE_LEVEL, ReadReport, Row, Rows, Trace, TraceBuilder};
use crate::units::{PS_PER_NS, SimDuration, SimTime};

use super::{Made, Warmup, Workload, WorkloadError, check_rate};

/// The longest prompt or output that is drawn, in tokens.
const LONGEST_TOKENS: f64 = 1e8;

/// The most prefix groups: ids of groups index arrays.
const MOST_PREFIXES: u32 = 1_000_000;

/// Standard deviation of a group's prefix length, as a share of the mean.
const PREFIX_SPREAD: f64 = 0.2;

/// Poisson arrivals with drawn lengths and shared prefixes; the defaults are those of `gen-trace`.
///
/// Lengths are rounded to whole tokens and clamped to at least 1, which raises their mean: by
/// `std · (φ(z) − z·(1 − Φ(z)))` with `z = (mean − 1) / std` for normal ones (0.4 tokens for the
/// default prompt, 0.02 for the default output), by about `0.46 / mean` for exponential ones.
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    fn draw(self, stream: &mut Stream, mean: f64, std: f64) -> u32 {
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
    /// the rate is the same too.
    ///
    /// # Errors
    ///
    /// When [`check`](Self::check) fails, when the rate or the duration is not above 0, when more
    /// than 100 million requests are expected, or when the warm-up leaves no request.
    pub fn workload(
        &self,
        rate_rps: f64,
        seed: u64,
        duration: SimDuration,
        warmup: Warmup,
    ) -> Result<Workload, WorkloadError> {
        let trace = self.trace(Draws::new(self, rate_rps, seed, duration)?);
        let made = Made {
            source: "generator".to_owned(),
            operator: "generated (poisson)".to_owned(),
            requested_rps: Some(rate_rps),
            notes: Vec::new(),
        };
        Workload::new(trace, made, SimTime::ZERO + duration, warmup)
    }

    /// Draws the same requests as [`workload`](Self::workload), as rows for a file.
    ///
    /// # Errors
    ///
    /// As there, save that rows know no warm-up: that no request arrives is an error.
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
        let row = |drawn: Drawn| Row {
            arrival_ns: i64::try_from(drawn.arrival_ns).expect("100 days are below 2⁶³ ns"),
            prompt_tokens: drawn.prompt_tokens,
            gen_tokens: drawn.output_tokens,
            prefix_hash: drawn.prefix.map(|prefix| format!("prefix_{}", prefix.group)),
            prefix_len: drawn.prefix.map(|prefix| prefix.tokens),
            ..Row::default()
        };
        let draws = Draws::new(self, rate_rps, seed, duration)?;
        let rows: Vec<Row> = draws.map(row).collect();
        if rows.is_empty() {
            return Err(super::nothing_measured(0, Warmup::NONE));
        }
        let report = ReadReport { read: rows.len(), emitted: rows.len(), ..ReadReport::default() };
        Ok(Rows { rows, block_tokens: None, report })
    }

    fn trace(&self, draws: Draws<'_>) -> Trace {
        let mut builder = TraceBuilder::new(ONE_LEVEL, Vec::new());
        for drawn in draws {
            let chain = drawn.prefix.map(|prefix| [prefix.group]);
            builder.push(NewRequest {
                arrival: SimTime::from_ps(drawn.arrival_ns * PS_PER_NS),
                prompt_tokens: drawn.prompt_tokens,
                output_tokens: drawn.output_tokens,
                chain: chain.as_ref().map_or(&[], |ids| ids.as_slice()),
                shared_tokens: drawn.prefix.map_or(0, |prefix| prefix.tokens),
                session: None,
                model: None,
            });
        }
        builder.finish()
    }
}

/// One drawn request.
struct Drawn {
    /// Whole nanoseconds, so that a file holds it exactly.
    arrival_ns: u64,
    prompt_tokens: u32,
    output_tokens: u32,
    prefix: Option<DrawnPrefix>,
}

#[derive(Clone, Copy)]
struct DrawnPrefix {
    group: u32,
    tokens: u32,
}

/// The requests of one seed, one at a time.
struct Draws<'s> {
    spec: &'s GeneratorSpec,
    rate_rps: f64,
    duration_s: f64,
    /// Arrival of the last request at a rate of 1.
    unit_time: f64,
    arrivals: Stream,
    prompts: Stream,
    outputs: Stream,
    prefixes: Stream,
    /// Prefix length of each group, in tokens.
    groups: Vec<u32>,
}

impl<'s> Draws<'s> {
    fn new(
        spec: &'s GeneratorSpec,
        rate_rps: f64,
        seed: u64,
        duration: SimDuration,
    ) -> Result<Self, WorkloadError> {
        spec.check()?;
        check_rate(rate_rps, duration)?;
        let group = |group| {
            let mut stream = Stream::new(seed, "prefix_len", u64::from(group));
            let spread = PREFIX_SPREAD * spec.prefix_len_mean;
            Lengths::Normal.draw(&mut stream, spec.prefix_len_mean, spread)
        };
        Ok(Self {
            spec,
            rate_rps,
            duration_s: duration.as_secs(),
            unit_time: 0.0,
            arrivals: Stream::new(seed, "arrivals", 0),
            prompts: Stream::new(seed, "prompt", 0),
            outputs: Stream::new(seed, "gen", 0),
            prefixes: Stream::new(seed, "prefix", 0),
            groups: (0..spec.num_prefixes).map(group).collect(),
        })
    }

    fn prefix(&mut self, prompt_tokens: u32) -> Option<DrawnPrefix> {
        if self.groups.is_empty() {
            return None;
        }
        let group = self.prefixes.below(self.groups.len());
        Some(DrawnPrefix {
            group: u32::try_from(group).expect("at most a million groups"),
            tokens: self.groups[group].min(prompt_tokens),
        })
    }
}

impl Iterator for Draws<'_> {
    type Item = Drawn;

    fn next(&mut self) -> Option<Drawn> {
        self.unit_time += self.arrivals.exponential();
        let arrival_s = self.unit_time / self.rate_rps;
        if arrival_s >= self.duration_s {
            return None;
        }
        let spec = self.spec;
        let lengths = spec.lengths;
        let prompt_tokens = lengths.draw(&mut self.prompts, spec.prompt_mean, spec.prompt_std);
        let output_tokens = lengths.draw(&mut self.outputs, spec.gen_mean, spec.gen_std);
        Some(Drawn {
            arrival_ns: whole_ns(arrival_s),
            prompt_tokens,
            output_tokens,
            prefix: self.prefix(prompt_tokens),
        })
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

/// Rounds down, so that no arrival leaves its window.
fn whole_ns(seconds: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 0, and below a duration of at most 100 days"
    )]
    let ns = (seconds * 1e9).floor() as u64;
    ns
}

#[cfg(test)]
mod tests;
