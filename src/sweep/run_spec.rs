//! The `[run]` table of a manifest: how runs are executed.

use std::time::Duration;

use crate::document::{Bounds, Item, Table};
use crate::units::SimDuration;

/// The most often that a run may be tried again.
const MOST_RETRIES: u32 = 10;
/// The longest wall time that a run may be given, in seconds: a year.
const LONGEST_WALL_S: f64 = 365.0 * 86_400.0;
/// What any run may take, in simulated seconds.
const LONGEST_SIMULATED_S: f64 = 150.0 * 86_400.0;
const BYTES_PER_MB: u64 = 1_000_000;

/// How runs are executed: how far each may go, what happens when some fail, how much memory all
/// may take. By default without any limit.
///
/// Nothing of it is part of what a run is: a run that is done is done, whatever is said here later.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ExecutionSpec {
    /// How many runs may fail before no other begins; none for any number.
    pub max_failures: Option<Tolerance>,
    /// How often a run is tried again that panicked or took too long.
    pub retries: u32,
    /// The most events of a run: arrivals, steps and transfers.
    pub max_events: Option<u64>,
    /// The most simulated time of a run.
    pub max_simulated: Option<SimDuration>,
    /// The most wall time of a run. Which runs it ends depends on the machine.
    pub max_wall: Option<Duration>,
    /// The most memory of the runs that go on at once, in bytes as they are estimated.
    pub memory_bytes: Option<u64>,
}

/// How many runs may fail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// So many.
    Runs(usize),
    /// So many of a hundred runs of the grid, rounded down.
    Percent(f64),
}

impl Tolerance {
    /// Returns how many of `num_runs` runs may fail.
    pub fn of(self, num_runs: usize) -> usize {
        match self {
            Self::Runs(runs) => runs,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a whole number, rounded down"
            )]
            Self::Percent(percent) => (num_runs as f64 * percent / 100.0) as usize,
        }
    }
}

impl std::str::FromStr for Tolerance {
    type Err = String;

    /// Reads `7` or `5%`.
    fn from_str(text: &str) -> Result<Self, String> {
        let percent = |number: &str| {
            let percent = number.trim().parse().ok();
            percent.filter(|percent| (0.0..=100.0).contains(percent)).map(Self::Percent)
        };
        let read = match text.strip_suffix('%') {
            Some(number) => percent(number),
            None => text.parse().ok().map(Self::Runs),
        };
        read.ok_or_else(|| {
            "expected a number of runs, or a share of them such as \"5%\"".to_owned()
        })
    }
}

impl ExecutionSpec {
    /// Reads the table.
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let max_failures = table.item("max_failures").and_then(|item| read_tolerance(&item));
        let on_failure = table.item("on_failure").and_then(|item| read_on_failure(&item));
        if on_failure == Some(OnFailure::Stop) && table.has("max_failures") {
            let message = "`on_failure = \"stop\"` leaves nothing for `max_failures` to say";
            let hint = "leave one out; \"stop\" is `max_failures = 0`".to_owned();
            table.fault_at("max_failures", message, Some(hint));
        }
        let simulated_s = Bounds::Between(1e-3, LONGEST_SIMULATED_S);
        let wall_s = Bounds::Between(1e-3, LONGEST_WALL_S);
        Self {
            max_failures: match on_failure {
                Some(OnFailure::Stop) => Some(Tolerance::Runs(0)),
                Some(OnFailure::Continue) | None => max_failures,
            },
            retries: table.count("retries", 0..=MOST_RETRIES).unwrap_or(0),
            max_events: table.whole("max_events", 1..=u64::MAX),
            max_simulated: table
                .real("max_simulated_s", simulated_s)
                .and_then(|seconds| SimDuration::from_secs(seconds).ok()),
            max_wall: table.real("max_wall_s", wall_s).map(Duration::from_secs_f64),
            memory_bytes: table.whole("memory_mb", 1..=1 << 40).map(|mb| mb * BYTES_PER_MB),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnFailure {
    Continue,
    Stop,
}

fn read_on_failure(item: &Item<'_>) -> Option<OnFailure> {
    match item.text()?.as_str() {
        "continue" => Some(OnFailure::Continue),
        "stop" => Some(OnFailure::Stop),
        _ => {
            item.wrong("\"continue\" or \"stop\"");
            None
        }
    }
}

fn read_tolerance(item: &Item<'_>) -> Option<Tolerance> {
    if !item.is_text() {
        let runs = item.whole(0..=u64::from(u32::MAX))?;
        return usize::try_from(runs).ok().map(Tolerance::Runs);
    }
    let tolerance = item.text()?.parse().ok().filter(|t| matches!(t, Tolerance::Percent(_)));
    if tolerance.is_none() {
        item.wrong("a number of runs, or a share of them such as \"5%\"");
    }
    tolerance
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn read(text: &str) -> Result<ExecutionSpec, String> {
        let document = Document::parse("m.toml", text).unwrap();
        let read = |root: &mut Table<'_>| root.section("run", ExecutionSpec::read);
        document.settle(read).map_err(|faults| faults.to_string())
    }

    #[test]
    fn every_key_is_read() {
        let all = "[run]\non_failure = \"continue\"\nmax_failures = \"5%\"\nretries = 2\n\
                   max_events = 1000\nmax_simulated_s = 7200\nmax_wall_s = 1.5\nmemory_mb = 16\n";
        let expected = ExecutionSpec {
            max_failures: Some(Tolerance::Percent(5.0)),
            retries: 2,
            max_events: Some(1_000),
            max_simulated: Some(SimDuration::from_secs(7_200.0).unwrap()),
            max_wall: Some(Duration::from_millis(1_500)),
            memory_bytes: Some(16_000_000),
        };
        assert_eq!(read(all), Ok(expected));
        assert_eq!(read("[run]\n"), Ok(ExecutionSpec::default()));
        let stop = read("[run]\non_failure = \"stop\"\n").unwrap();
        assert_eq!(stop.max_failures, Some(Tolerance::Runs(0)));
    }

    #[test]
    fn a_share_of_the_runs_is_rounded_down() {
        let tolerated = |text: &str| text.parse::<Tolerance>().unwrap().of(245);
        assert_eq!(["3", "0%", "5%", "100%"].map(tolerated), [3, 0, 12, 245]);
    }

    #[test]
    fn wrong_values_say_what_would_do() {
        for (line, parts) in [
            ("on_failure = \"go\"", ["`run.on_failure` is \"go\"", "\"continue\" or \"stop\""]),
            ("max_failures = \"5\"", ["`run.max_failures` is \"5\"", "such as \"5%\""]),
            ("max_failures = \"101%\"", ["is \"101%\"", "a number of runs"]),
            ("max_failures = -1", ["is -1", "a whole number from 0"]),
            ("retries = 11", ["is 11", "a whole number from 0 to 10"]),
            ("max_events = 0", ["is 0", "a whole number from 1"]),
            ("max_simulated_s = 1e9", ["`run.max_simulated_s`", "to 12960000"]),
            ("max_wall_s = 0", ["`run.max_wall_s` is 0", "a number from 0.001"]),
            ("memory_mb = 0", ["`run.memory_mb` is 0", "a whole number from 1"]),
            ("memroy_mb = 9", ["unknown key `memroy_mb` in [run]", "did you mean `memory_mb`?"]),
            ("on_failure = \"stop\"\nmax_failures = 3", ["leaves nothing", "max_failures = 0"]),
        ] {
            let told = read(&format!("[run]\n{line}\n")).unwrap_err();
            assert!(parts.iter().all(|part| told.contains(part)), "{line}: {told}");
        }
    }
}
