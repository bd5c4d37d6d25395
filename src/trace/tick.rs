//! Timestamps that a source rounded to a coarse clock.

use super::fields::NS_PER_MS;
use super::row::Row;

/// Ticks that are looked for, in tenths of a second: from one second, below which rounding moves
/// an arrival by less than a prefill takes, to an hour.
const TICKS: std::ops::RangeInclusive<u64> = 10..=36_000;

/// How far a rounded time may lie from its tick, in nanoseconds.
///
/// The clock behind Mooncake's conversation trace strays by up to 3 ms.
const STRAY_NS: u64 = 5_000_000;

/// Returns the tick that arrivals were rounded to, in milliseconds, if they were.
///
/// That is the longest tick, in whole tenths of a second from one second to an hour, that every
/// arrival keeps within 5 ms, when at least half of the rows share their time with another.
/// Mooncake's conversation trace has one of 3,000 ms; replayed as it is, it sends some ten
/// requests at one instant and then none for three seconds.
pub fn tick_ms(rows: &[Row]) -> Option<u64> {
    let mut times: Vec<i64> = rows.iter().map(|row| row.arrival_ns).collect();
    times.sort_unstable();
    let together: usize =
        (times.chunk_by(|a, b| a == b)).filter(|rows| rows.len() > 1).map(<[i64]>::len).sum();
    if 2 * together < times.len() {
        return None;
    }
    let first = *times.first()?;
    times.dedup();
    let since_first = |time: &i64| time.abs_diff(first);
    let span = times.last().map_or(0, since_first);
    TICKS.rev().map(|tenths| tenths * 100).find(|tick_ms| {
        let tick = tick_ms * NS_PER_MS.unsigned_abs();
        let keeps = |ns: u64| (ns + STRAY_NS) % tick <= 2 * STRAY_NS;
        // A tick that was passed at least once.
        span + STRAY_NS >= tick && times.iter().map(since_first).all(keeps)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(times_ms: &[i64]) -> Vec<Row> {
        let row = |ms: &i64| Row { arrival_ns: ms * NS_PER_MS, ..Row::default() };
        times_ms.iter().map(row).collect()
    }

    #[test]
    fn rounded_arrivals_show_their_tick() {
        assert_eq!(tick_ms(&rows(&[0, 0, 3_000, 9_000, 9_000])), Some(3_000));
        assert_eq!(tick_ms(&rows(&[9_500, 500, 500])), Some(9_000), "any order, any origin");
    }

    #[test]
    fn a_clock_that_strays_a_little_still_ticks() {
        let times = [0, 0, 3_000, 3_000, 5_999, 5_999, 9_003, 9_003];
        assert_eq!(tick_ms(&rows(&times)), Some(3_000));
    }

    #[test]
    fn fine_scattered_and_simultaneous_arrivals_have_no_tick() {
        assert_eq!(tick_ms(&rows(&[0, 0, 500, 500])), None, "half a second is fine enough");
        assert_eq!(tick_ms(&rows(&[0, 3_000, 9_000])), None, "no two together");
        assert_eq!(tick_ms(&rows(&[0, 0, 3_000, 6_000, 9_000])), None, "2 of 5 together");
        assert_eq!(tick_ms(&rows(&[0, 0, 3_000, 3_006])), None, "6 ms off");
        assert_eq!(tick_ms(&rows(&[7, 7, 7])), None, "one instant has no clock");
        assert_eq!(tick_ms(&[]), None);
    }
}
