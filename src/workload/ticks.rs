//! Arrivals that a coarse clock rounded, and how they are spread again.
//!
//! A log that stamps requests every few seconds turns a steady stream into bursts at one instant,
//! which punishes exactly the algorithms whose view of the load is old. The bursts are no property
//! of the traffic: spread over their ticks, the arrivals of such a log are exponential.

use crate::trace::Trace;
use crate::units::{LONGEST, PS_PER_MS, SimDuration};

use super::WorkloadError;

/// Shortest tick that is taken for a coarse clock: below a second, rounding is fine print.
const SHORTEST_TICK_PS: u64 = 1_000 * PS_PER_MS;

/// Longest tick that is taken for a coarse clock: beyond a minute it is a batch job.
const LONGEST_TICK_PS: u64 = 60_000 * PS_PER_MS;

/// Instants below which regular gaps say nothing of the clock.
const FEWEST_INSTANTS: usize = 20;

/// How far a clock's ticks may be off their place, as a part of the tick: the stamps of a log with
/// ticks of 3 s stray by 3 ms.
const STRAY: u64 = 100;

/// Whether arrivals that share a tick are spread uniformly over it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dequantize {
    /// When all arrivals stand on ticks of 1 s to 60 s (within a hundredth), on at least 20 of
    /// them, and at least half of the requests share their instant with another.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Over ticks of that many milliseconds; every arrival must stand on one (within a hundredth).
    TickMs(u64),
}

impl Dequantize {
    /// Returns the tick of `trace` that arrivals are to be spread over, if any.
    ///
    /// # Errors
    ///
    /// When the given tick is 0 or some arrival does not stand on a multiple of it.
    pub(super) fn tick(self, trace: &Trace) -> Result<Option<SimDuration>, WorkloadError> {
        match self {
            Self::Auto => Ok(coarse_tick(trace)),
            Self::Off => Ok(None),
            Self::TickMs(ms) => given(trace, ms).map(Some),
        }
    }
}

/// Returns the tick of the coarse clock that rounded the arrivals, if one did; see
/// [`Dequantize::Auto`].
pub fn coarse_tick(trace: &Trace) -> Option<SimDuration> {
    let times: Vec<u64> = trace.ids().map(|id| trace.arrival(id).as_ps()).collect();
    let groups: Vec<usize> = times.chunk_by(|a, b| a == b).map(<[u64]>::len).collect();
    let sharing: usize = groups.iter().filter(|size| **size > 1).sum();
    if groups.len() < FEWEST_INSTANTS || 2 * sharing < times.len() {
        return None;
    }
    let gaps = gaps_ps(trace);
    let shortest = *gaps.iter().min()?;
    let ticks: u64 = gaps.iter().map(|gap| rounded(*gap, shortest)).sum();
    let mean = rounded(gaps.iter().sum(), ticks);
    // Clocks tick in whole milliseconds; what remains is the stray of the two ends.
    let tick = rounded(mean, PS_PER_MS) * PS_PER_MS;
    let coarse = (SHORTEST_TICK_PS..=LONGEST_TICK_PS).contains(&tick) && fits(&gaps, tick);
    coarse.then(|| SimDuration::from_ps(tick))
}

fn given(trace: &Trace, ms: u64) -> Result<SimDuration, WorkloadError> {
    let longest_ms = LONGEST.as_ps() / PS_PER_MS;
    let tick = ms.min(longest_ms) * PS_PER_MS;
    if tick == 0 || !fits(&gaps_ps(trace), tick) {
        return Err(WorkloadError::new(
            format!("a tick of {ms} ms, but not every arrival stands on a multiple of it"),
            "auto finds the tick, if there is one",
        ));
    }
    Ok(SimDuration::from_ps(tick))
}

/// Returns whether every gap is near a multiple of the tick.
fn fits(gaps: &[u64], tick: u64) -> bool {
    gaps.iter().all(|gap| {
        let ticks = rounded(*gap, tick);
        ticks > 0 && gap.abs_diff(ticks * tick) <= tick / STRAY
    })
}

/// Returns the times between instants that have an arrival, in picoseconds.
fn gaps_ps(trace: &Trace) -> Vec<u64> {
    let mut times: Vec<u64> = trace.ids().map(|id| trace.arrival(id).as_ps()).collect();
    times.dedup();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Divides to the nearest whole number.
const fn rounded(a: u64, b: u64) -> u64 {
    a / b + (a % b >= b.div_ceil(2)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use crate::trace::{Format, NewRequest, ReadOptions, TraceBuilder, read_trace};
    use crate::units::SimTime;

    fn at_ms(times: impl IntoIterator<Item = u64>) -> Trace {
        let mut builder = TraceBuilder::default();
        for ms in times {
            builder.push(NewRequest {
                arrival: SimTime::from_ps(ms * PS_PER_MS),
                prompt_tokens: 1,
                output_tokens: 1,
                chain: &[],
                shared_tokens: 0,
                session: None,
                model: None,
            });
        }
        builder.finish()
    }

    fn tick_ms(trace: &Trace) -> Option<u64> {
        let tick = Dequantize::Auto.tick(trace).unwrap();
        tick.map(|tick| tick.as_ps() / PS_PER_MS)
    }

    #[test]
    fn a_coarse_clock_is_found() {
        // Two requests at each of 30 instants, every 3 s; from any origin.
        let stamps = (0..60).map(|index| 700 + index / 2 * 3000);
        assert_eq!(tick_ms(&at_ms(stamps)), Some(3000));
    }

    #[test]
    fn the_ticks_of_a_real_clock_stray() {
        // The first stamps of the Mooncake conversation trace (Apache-2.0) are 0, 3000, 5999,
        // 9000 …; here every third tick comes 1 ms early, and one is skipped.
        let ticks = (0..31).filter(|tick| *tick != 7);
        let stamps = ticks.flat_map(|tick| [tick * 3000 - u64::from(tick % 3 == 2); 2]);
        assert_eq!(tick_ms(&at_ms(stamps)), Some(3000));
    }

    #[test]
    fn the_conversation_trace_has_a_clock_of_three_seconds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/mooncake");
        let options = ReadOptions { format: Format::Mooncake, block_size: None };
        let (trace, _) = read_trace(&folder.join("conversation_trace.jsonl"), &options).unwrap();
        assert_eq!(tick_ms(&trace), Some(3_000));
    }

    #[test]
    fn other_clocks_are_left_alone() {
        let fine = (0..60).map(|index| index / 2 * 500);
        assert_eq!(tick_ms(&at_ms(fine)), None, "half a second is fine enough");
        let one_off = (0..60).map(|index| index / 2 * 3000).chain([88_400]);
        assert_eq!(tick_ms(&at_ms(one_off)), None, "not all on ticks");
        let alone = (0..60).map(|index| index * 3000);
        assert_eq!(tick_ms(&at_ms(alone)), None, "nobody shares an instant");
        let few = [0, 0, 0, 5000, 5000, 5000];
        assert_eq!(tick_ms(&at_ms(few)), None, "a hand-made burst");
        let hourly = (0..60).map(|index| index / 2 * 3_600_000);
        assert_eq!(tick_ms(&at_ms(hourly)), None, "a batch job");
        assert_eq!(tick_ms(&at_ms([0; 50])), None, "one instant has no tick");
        assert_eq!(tick_ms(&at_ms([])), None);
    }

    #[test]
    fn half_of_the_requests_must_share() {
        // 20 instants: 10 pairs and 10 single requests share 20 of 30; 5 pairs, 10 of 25.
        let pairs = |count: u64| {
            let twice = (0..count).flat_map(|index| [index * 2000; 2]);
            at_ms(twice.chain((count..20).map(|index| index * 2000)))
        };
        assert_eq!(tick_ms(&pairs(10)), Some(2000));
        assert_eq!(tick_ms(&pairs(5)), None);
    }

    #[test]
    fn a_given_tick_must_fit() {
        let trace = at_ms([0, 0, 5000, 5000]);
        assert!(Dequantize::TickMs(5000).tick(&trace).unwrap().is_some());
        assert!(Dequantize::Off.tick(&trace).unwrap().is_none());
        for ms in [0, 3000, 20_000, u64::MAX] {
            assert!(Dequantize::TickMs(ms).tick(&trace).is_err(), "{ms}");
        }
    }
}
