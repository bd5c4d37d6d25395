//! Times as SDKs write them for people: `2023-11-16T18:15:46.680590Z`.

/// Returns the nanoseconds from 1970 of an ISO 8601 time; without a zone it is UTC.
pub(super) fn unix_ns(text: &str) -> Option<i64> {
    let (date, clock) = text.trim().split_once(['T', ' '])?;
    let mut date = date.splitn(3, '-').map(digits);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (clock, offset_s) = split_zone(clock)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut clock = clock.splitn(3, ':').map(digits);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_from_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    let ns = (seconds - offset_s).checked_mul(1_000_000_000)?;
    ns.checked_add(fraction_ns(fraction)?)
}

/// Returns the clock and its seconds east of UTC.
fn split_zone(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = clock.rfind(['+', '-']) else {
        return Some((clock, 0));
    };
    let sign = if clock[at..].starts_with('-') { -1 } else { 1 };
    let zone = clock[at + 1..].replace(':', "");
    if zone.len() != 4 {
        return None;
    }
    let zone = digits(&zone)?;
    Some((&clock[..at], sign * (zone / 100 * 3_600 + zone % 100 * 60)))
}

fn digits(text: &str) -> Option<i64> {
    let plain = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// Returns the nanoseconds of the digits after the point; those beyond the ninth are cut off.
fn fraction_ns(fraction: &str) -> Option<i64> {
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<9}")[..9].parse().ok()
}

/// Returns the days from 1970-01-01 to a date of the Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`.
fn days_from_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_clocks_and_zones_are_read() {
        // `date -d 2023-11-16T18:15:46Z +%s` is 1700158546.
        let s = 1_700_158_546;
        for (text, ns) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2023-11-16T18:15:46Z", s * 1_000_000_000),
            ("2023-11-16T18:15:46.68059", s * 1_000_000_000 + 680_590_000),
            ("2023-11-16 20:15:46+02:00", s * 1_000_000_000),
            ("2023-11-16T12:45:46-0530", s * 1_000_000_000),
            ("2024-02-29T00:00:00.0000000019Z", 1_709_164_800_000_000_001),
        ] {
            assert_eq!(unix_ns(text), Some(ns), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "yesterday",
            "2023-13-01T00:00:00Z",
            "2023-01-01T25:00:00Z",
            "2023-01-01T00:00:0xZ",
            "99999-01-01T00:00:00Z",
        ] {
            assert_eq!(unix_ns(text), None, "{text}");
        }
    }
}
