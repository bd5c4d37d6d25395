//! Traces whose requests were timed on a real engine: the compact format with stamps.

use std::io::Read as _;
use std::path::Path;

use crate::units::{PS_PER_NS, SimTime};

use super::collect::Collect as _;
use super::columns::Trace;
use super::compact::{Compact, parse};
use super::fields::{Fields, NS_PER_MS};
use super::format::{into_trace, label_of, open, refuse_binary};
use super::lines::{fields_of, split_lines};
use super::row::{ReadReport, Row, RowFault, Rows, TraceError};

/// Stamps of a row in the order in which they happen; the first two may be missing.
const STAMPS: [&str; 4] = [
    "measured_queued_ms",
    "measured_scheduled_ms",
    "measured_first_token_ms",
    "measured_last_token_ms",
];
/// Fewer requests say little: the 90th percentile of 30 has three beyond it.
const FEWEST: usize = 30;
/// No engine lets every request wait for so long: ten minutes.
const LONGEST_WAIT_NS: i64 = 600_000 * NS_PER_MS;

/// A trace and when its tokens came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasuredTrace {
    /// The requests.
    pub trace: Trace,
    /// One entry per request, by `RequestId`.
    pub timings: Vec<Timing>,
    /// What was read.
    pub report: ReadReport,
}

/// When the tokens of a request came, on the clock of the arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The first token: after the arrival.
    pub first_token: SimTime,
    /// The last token: after the first, or with it when it is the only one.
    pub last_token: SimTime,
}

/// Arrival and stamps of a row, in nanoseconds from any origin.
#[derive(Clone, Copy, Debug)]
struct Stamps {
    arrival_ns: i64,
    first_ns: i64,
    last_ns: i64,
    output_tokens: u32,
}

/// Reads a measured trace: rows of the compact format that have `measured_first_token_ms` and
/// `measured_last_token_ms` as well. `-` is standard input.
///
/// # Errors
///
/// When the file can't be read, a row is no measured request, fewer than 30 rows are, no request
/// has more than one output token, or the clocks of arrivals and stamps differ.
pub fn read_measured(path: &Path, block_size: Option<u32>) -> Result<MeasuredTrace, TraceError> {
    let label = label_of(path);
    let mut text = Vec::new();
    open(path)?
        .read_to_end(&mut text)
        .map_err(|source| TraceError::Io { path: label.clone(), source })?;
    read_text(&text, path, block_size)
}

fn read_text(
    text: &[u8],
    path: &Path,
    block_size: Option<u32>,
) -> Result<MeasuredTrace, TraceError> {
    let label = label_of(path);
    let in_file = |fault| TraceError::File { path: label.clone(), fault };
    if let Some(fault) = refuse_binary(text) {
        return Err(in_file(fault));
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut compact = Compact::new(block_size);
    let mut rows: Vec<Row> = Vec::new();
    let mut stamps = Vec::new();
    split_lines(text, &label, |bytes| {
        let Some(mut fields) = fields_of(bytes)? else {
            return Ok(());
        };
        let [first_ns, last_ns] = take_stamps(&mut fields)?;
        let mut line = parse(fields)?;
        compact.check(&mut line)?;
        let (arrival_ns, output_tokens) = (line.arrival_ns, line.gen_tokens);
        stamps.push(Stamps { arrival_ns, first_ns, last_ns, output_tokens });
        rows.add(&mut line, compact.block_size);
        Ok(())
    })?;
    if !stamps.is_empty() {
        check_clocks(&stamps).map_err(in_file)?;
    }
    check_rows(text, &label, &stamps)?;
    check_numbers(&stamps).map_err(in_file)?;
    let (block_tokens, report) = compact.finish();
    let (trace, mut report) = into_trace(Rows { rows, block_tokens, report }, path)?;
    let alone = stamps.iter().filter(|row| row.output_tokens == 1).count();
    report.note_rows(alone, "with one output token, which have no TPOT");
    Ok(MeasuredTrace { trace, timings: timings(stamps), report })
}

/// Takes the stamps out of a row and returns those of the first and of the last token.
fn take_stamps(fields: &mut Fields) -> Result<[i64; 2], RowFault> {
    let mut before: Option<(&str, i64)> = None;
    let mut stamps = [0; STAMPS.len()];
    for (index, (key, stamp)) in STAMPS.into_iter().zip(&mut stamps).enumerate() {
        if !fields.has_value(key) {
            if index < 2 {
                continue;
            }
            return Err(RowFault::new(format!("`{key}` is missing")).hint(
                "each row of a measured trace needs `measured_first_token_ms` and \
                 `measured_last_token_ms`, as docs/calibration.md has them",
            ));
        }
        *stamp = fields.time_ns(key)?;
        if let Some((earlier, at)) = before.filter(|(_, at)| *at > *stamp) {
            let late = (at - *stamp) as f64 / NS_PER_MS as f64;
            return Err(RowFault::new(format!("`{key}` is {late} ms before `{earlier}`"))
                .hint("a request is queued, scheduled, and gives its tokens, in that order"));
        }
        before = Some((key, *stamp));
    }
    Ok([stamps[2], stamps[3]])
}

/// Refuses stamps whose clock is not that of the arrivals.
fn check_clocks(stamps: &[Stamps]) -> Result<(), RowFault> {
    let waits = || stamps.iter().map(|row| row.first_ns.saturating_sub(row.arrival_ns));
    let shortest = waits().min().unwrap_or_default();
    let behind = waits().filter(|wait| *wait <= 0).count();
    let off = shortest.unsigned_abs() as f64 / NS_PER_MS as f64;
    let hint = "take both from one clock, or shift the stamps so that no request is queued before \
                its `ts`";
    // One such row is a fault of that row, a twentieth of them is no accident.
    if behind > 1 && behind * 20 >= stamps.len() {
        let message = format!(
            "{behind} of {} first tokens come before their `ts`: the clocks differ by {off:.1} ms \
             or more",
            stamps.len()
        );
        return Err(RowFault::new(message).hint(hint));
    }
    if shortest > LONGEST_WAIT_NS {
        let message = format!(
            "every first token comes over {:.0} s after its `ts`: the clocks differ by about \
             {off:.0} ms",
            LONGEST_WAIT_NS as f64 / 1e9
        );
        return Err(RowFault::new(message).hint(hint));
    }
    Ok(())
}

/// Refuses the first row whose tokens can't have come so, with its line.
fn check_rows(text: &[u8], label: &str, stamps: &[Stamps]) -> Result<(), TraceError> {
    let Some((at, fault)) =
        stamps.iter().enumerate().find_map(|(at, row)| Some((at, fault_of(row)?)))
    else {
        return Ok(());
    };
    // Only now is the line needed: the rows are counted once more up to the faulty one.
    let mut row = 0;
    split_lines(text, label, |bytes| {
        row += usize::from(fields_of(bytes)?.is_some());
        if row > at { Err(fault.clone()) } else { Ok(()) }
    })
}

fn fault_of(row: &Stamps) -> Option<RowFault> {
    let Stamps { arrival_ns, first_ns, last_ns, output_tokens } = *row;
    let fault = if first_ns <= arrival_ns {
        let early = (arrival_ns - first_ns) as f64 / NS_PER_MS as f64;
        RowFault::new(format!(
            "`measured_first_token_ms` is {early} ms before `ts`, expected after it"
        ))
        .hint("both count milliseconds on one clock")
    } else if output_tokens == 1 && last_ns > first_ns {
        RowFault::new("`gen_tokens` is 1 and the last token comes after the first")
            .hint("`gen_tokens` counts the output tokens that were generated")
    } else if output_tokens > 1 && last_ns == first_ns {
        RowFault::new(format!("`gen_tokens` is {output_tokens} and all come at one instant"))
            .hint("stamp the first and the last token, not the answer as a whole")
    } else {
        return None;
    };
    Some(fault)
}

fn check_numbers(stamps: &[Stamps]) -> Result<(), RowFault> {
    let several = stamps.iter().filter(|row| row.output_tokens > 1).count();
    let requests = if stamps.len() == 1 { "request" } else { "requests" };
    if stamps.len() < FEWEST {
        let message = format!("{} {requests}, expected {FEWEST} or more", stamps.len());
        return Err(RowFault::new(message)
            .hint("percentiles of so few say little; measure some hundred requests"));
    }
    if several < FEWEST {
        let message = format!(
            "{several} of {} {requests} have more than one output token, expected {FEWEST} or more",
            stamps.len()
        );
        return Err(RowFault::new(message).hint(
            "TPOT is the time between tokens; measure requests with outputs of some length",
        ));
    }
    Ok(())
}

/// Returns the timings in the order of the arrivals, from the earliest on.
fn timings(mut stamps: Vec<Stamps>) -> Vec<Timing> {
    // Stable, as the trace is: rows of one instant keep their order.
    stamps.sort_by_key(|row| row.arrival_ns);
    let start = stamps.first().map_or(0, |row| row.arrival_ns);
    let time = |ns: i64| SimTime::from_ps(ns.abs_diff(start) * PS_PER_NS);
    let timing =
        |row: Stamps| Timing { first_token: time(row.first_ns), last_token: time(row.last_ns) };
    stamps.into_iter().map(timing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ts: f64, gen_tokens: u32, first: f64, last: f64) -> String {
        format!(
            "{{\"ts\": {ts}, \"prompt_tokens\": 9, \"gen_tokens\": {gen_tokens}, \
             \"measured_first_token_ms\": {first}, \"measured_last_token_ms\": {last}}}\n"
        )
    }

    /// Forty requests, 100 ms apart: first token after 50 ms, last after 90.
    fn rows() -> Vec<String> {
        let ts = |index: u32| f64::from(index) * 100.0;
        (0..40).map(|index| row(ts(index), 5, ts(index) + 50.0, ts(index) + 90.0)).collect()
    }

    fn read(rows: &[String]) -> Result<MeasuredTrace, TraceError> {
        read_text(rows.concat().as_bytes(), Path::new("m.jsonl"), None)
    }

    fn refused(rows: &[String]) -> String {
        read(rows).unwrap_err().to_string()
    }

    fn with(index: usize, row: String) -> Vec<String> {
        let mut rows = rows();
        rows[index] = row;
        rows
    }

    #[test]
    fn stamps_follow_their_requests_into_the_order_of_arrival() {
        let mut rows = rows();
        rows.swap(0, 3);
        let measured = read(&rows).unwrap();
        assert_eq!(measured.trace.len(), 40);
        assert!((measured.timings[3].first_token.as_ms() - 350.0).abs() < 1e-9);
        assert!((measured.timings[0].last_token.as_ms() - 90.0).abs() < 1e-9);
        assert_eq!(measured.report.notes, ["3 rows out of order, sorted by time"]);
    }

    #[test]
    fn clocks_from_1970_are_rebased_together() {
        let epoch = 1_700_000_000_000.0;
        let rows: Vec<String> = (0..40)
            .map(|index| epoch + f64::from(index) * 100.0)
            .map(|ts| row(ts, 5, ts + 50.25, ts + 90.0))
            .collect();
        let measured = read(&rows).unwrap();
        assert!((measured.timings[1].first_token.as_ms() - 150.25).abs() < 1e-3);
    }

    #[test]
    fn a_row_that_can_not_be_is_refused_with_its_line() {
        for (bad, expected) in [
            (row(300.0, 5, 290.0, 390.0), "m.jsonl:4: `measured_first_token_ms` is 10 ms before"),
            (row(300.0, 5, 350.0, 340.0), "`measured_last_token_ms` is 10 ms before `measured_fi"),
            (row(300.0, 1, 350.0, 390.0), "m.jsonl:4: `gen_tokens` is 1 and the last token comes"),
            (row(300.0, 5, 350.0, 350.0), "m.jsonl:4: `gen_tokens` is 5 and all come at one"),
            (
                "{\"ts\": 1, \"prompt_tokens\": 9, \"gen_tokens\": 5}\n".to_owned(),
                "m.jsonl:4: `measured_first_token_ms` is missing",
            ),
            (
                row(300.0, 5, 350.0, 390.0)
                    .replace("\"ts\"", "\"measured_queued_ms\": 360, \"ts\""),
                "`measured_first_token_ms` is 10 ms before `measured_queued_ms`",
            ),
            (row(300.0, 5, -1.0, 390.0), "`measured_first_token_ms` is -1"),
        ] {
            let message = refused(&with(3, bad));
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn comments_count_as_lines() {
        let mut rows = with(3, row(300.0, 5, 290.0, 390.0));
        rows.insert(0, "# measured\n\n".to_owned());
        assert!(refused(&rows).starts_with("m.jsonl:6: "), "{}", refused(&rows));
    }

    #[test]
    fn clocks_that_differ_are_named_with_their_difference() {
        let shifted = |by: f64| -> Vec<String> {
            let ts = |index: u32| f64::from(index) * 100.0 + 2_000_000.0;
            let row = |index| row(ts(index), 5, ts(index) + 50.0 + by, ts(index) + 90.0 + by);
            (0..40).map(row).collect()
        };
        let early = refused(&shifted(-1_250.0));
        assert!(early.contains("40 of 40 first tokens"), "{early}");
        assert!(early.contains("differ by 1200.0 ms or more"), "{early}");
        let late = refused(&shifted(900_000.0));
        assert!(late.contains("differ by about 900050 ms"), "{late}");
    }

    #[test]
    fn too_few_requests_are_refused() {
        assert!(refused(&rows()[..29]).starts_with("m.jsonl: 29 requests, expected 30"));
        assert_eq!(refused(&[]), "m.jsonl: 0 requests, expected 30 or more");
        let alone = |index: u32| {
            let ts = f64::from(index) * 100.0;
            row(ts, 1, ts + 50.0, ts + 50.0)
        };
        let prefills: Vec<String> = (0..40).map(alone).collect();
        assert!(refused(&prefills).contains("0 of 40 requests have more than one output token"));
        let mixed = [&rows()[..], &prefills].concat();
        assert!(read(&mixed).unwrap().report.notes[1].contains("40 rows with one output token"));
    }
}
