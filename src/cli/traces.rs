//! `gen-trace` and `convert`: trace files made.

use std::path::Path;

use crate::trace::{
    Format, ReadOptions, ReadReport, Row, Rows, into_trace, read_file, write_compact,
};
use crate::workload::{GeneratorSpec, Lengths, coarse_tick};

use super::args::{ConvertArgs, GenTraceArgs};
use super::error::CliError;
use super::output::{OutputFile, print_with, remark};
use super::run::parse_duration;
use super::signals::{nothing_written, watch_interrupt};
use super::source::remark_on;

/// Writes a synthetic trace.
pub(super) fn generate(args: &GenTraceArgs) -> Result<(), CliError> {
    let generator = GeneratorSpec {
        lengths: Lengths::Normal,
        prompt_mean: args.prompt_mean,
        prompt_std: args.prompt_std,
        gen_mean: args.gen_mean,
        gen_std: args.gen_std,
        num_prefixes: args.num_prefixes,
        prefix_len_mean: args.prefix_len_mean,
    };
    generator.check()?;
    let duration = parse_duration(args.duration)?;
    watch_interrupt(nothing_written);
    let output = Output::open(&args.output)?;
    let rows = generator.rows(args.rate, args.seed, duration)?;
    output.write(&rows)?;
    remark(&format!("Generated {} requests to {}", rows.rows.len(), args.output.display()));
    Ok(())
}

/// Writes a trace of another format in the compact one.
pub(super) fn convert(args: &ConvertArgs) -> Result<(), CliError> {
    let format = Format::parse(&args.format)
        .map_err(|fault| CliError { message: fault.message, hint: fault.hint })?;
    watch_interrupt(nothing_written);
    let output = Output::open(&args.output)?;
    let options = ReadOptions { format, block_size: args.block_size };
    let rows = read_file(&args.input, &options)?;
    // What is written must be a trace that can be read again.
    let (trace, _) = into_trace(rows.clone(), &args.input)?;
    output.write(&rows)?;
    let (count, path) = (rows.rows.len(), args.output.display());
    remark(&format!("Converted {count} requests to {path}, {:.3} s long", span_s(&rows.rows)));
    remark(&tally(&rows.report));
    if let Some(tick) = coarse_tick(&trace) {
        let seconds = tick.as_secs();
        remark(&format!(
            "note: arrivals stand on ticks of {seconds} s; runs spread them over each"
        ));
    }
    remark_on(&args.input, &ReadReport { dropped: Default::default(), ..rows.report });
    Ok(())
}

/// Where a trace goes.
enum Output {
    Stdout,
    File(OutputFile),
}

impl Output {
    fn open(path: &Path) -> Result<Self, CliError> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        OutputFile::create(path).map(Self::File)
    }

    fn write(self, rows: &Rows) -> Result<(), CliError> {
        watch_interrupt(|| "interrupted".to_owned());
        match self {
            Self::Stdout => print_with(|mut out| write_compact(rows, &mut out)),
            Self::File(file) => file.finish(|mut out| write_compact(rows, &mut out)),
        }
    }
}

/// Says what became of the rows, in numbers that add up.
fn tally(report: &ReadReport) -> String {
    let ReadReport { read, emitted, dropped, .. } = report;
    let mut parts = vec![format!("{emitted} emitted")];
    parts.extend(dropped.iter().map(|(reason, count)| format!("{count} dropped ({reason})")));
    format!("{read} read = {}", parts.join(" + "))
}

fn span_s(rows: &[Row]) -> f64 {
    let times = || rows.iter().map(|row| row.arrival_ns);
    let span = times().max().zip(times().min()).map_or(0, |(last, first)| last.abs_diff(first));
    span as f64 / 1e9
}
