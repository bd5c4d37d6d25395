//! `run`, `compare` and `sweep`: from options to results.

use std::path::Path;

use crate::metrics::Keep;
use crate::report::{Kind, Origin, Results};
use crate::router::AlgorithmSpec;
use crate::scenario::Config;
use crate::study::{Draw, Run, Setting, compare};
use crate::units::SimDuration;
use crate::workload::{GeneratorSpec, SourceTrace, Workload, WorkloadError};

use super::algorithms;
use super::args::{CompareArgs, InputArgs, OutputFormat, RunArgs, SeriesArgs, ShowArgs, SweepArgs};
use super::error::CliError;
use super::output::{OutputFile, print, remark};
use super::progress::Bar;
use super::series::SeriesFile;
use super::signals::{nothing_written, watch_interrupt};
use super::source::load_trace;
use super::warnings::warn;

/// Runs one algorithm.
pub(super) fn run(args: &RunArgs) -> Result<(), CliError> {
    let algorithm = algorithms::one(&args.algorithm)?;
    replay(&args.input, &[algorithm], Some(&args.series), &args.show, Results::text)
}

/// Runs several algorithms on the same requests.
pub(super) fn compare_algorithms(args: &CompareArgs) -> Result<(), CliError> {
    let specs = algorithms::several(args.algorithms.as_deref())?;
    replay(&args.input, &specs, None, &args.show, Results::comparison_text)
}

/// Runs one algorithm at several rates.
pub(super) fn sweep(args: &SweepArgs) -> Result<(), CliError> {
    let algorithm = algorithms::one(&args.algorithm)?;
    let rates = parse_rates(&args.rates)?;
    let duration = parse_duration(args.duration)?;
    let config = Config::load(&args.config)?;
    watch_interrupt(nothing_written);
    let output = open_output(args.show.output.as_deref())?;
    let seeds = seeds_from(args.seed.unwrap_or(config.seed), args.seeds);
    let draws: Vec<Draw> = (rates.iter())
        .flat_map(|rate| seeds.iter().map(|seed| Draw { seed: *seed, rate_rps: Some(*rate) }))
        .collect();
    let generator = GeneratorSpec::default();
    let make = |draw: &Draw| {
        let rate = draw.rate_rps.unwrap_or_default();
        generator.workload(rate, draw.seed, duration, config.warmup)
    };
    let runs = run_all(&config, &[algorithm], &draws, Keep::default(), make)?;
    let path = args.config.display().to_string();
    let origin = Origin::new(&config, &path, "generator", Kind::Rates);
    show(&Results { origin, runs }, &args.show, output, Results::rates_text)
}

/// Runs algorithms on a trace: as it is for one seed, resampled for several.
fn replay(
    input: &InputArgs,
    algorithms: &[AlgorithmSpec],
    series: Option<&SeriesArgs>,
    args: &ShowArgs,
    text: fn(&Results) -> String,
) -> Result<(), CliError> {
    let config = Config::load(&input.config)?;
    watch_interrupt(nothing_written);
    let output = open_output(args.output.as_deref())?;
    let series = series.map(SeriesFile::open).transpose()?.flatten();
    let source = load_trace(input, &config)?;
    let seeds = seeds_from(config.seed, input.seeds);
    let draws: Vec<Draw> = seeds.into_iter().map(|seed| Draw { seed, rate_rps: None }).collect();
    let resampling = if input.seeds > 1 { Some(own_rate(&source)?) } else { None };
    let make = |draw: &Draw| workload(&source, draw.seed, resampling, &config);
    let keep = series.as_ref().map_or_else(Keep::default, SeriesFile::keep);
    let runs = run_all(&config, algorithms, &draws, keep, make)?;
    remark_on_workload(&runs);
    if let Some(series) = series {
        series.write(&runs)?;
    }
    let path = input.config.display().to_string();
    let origin = Origin::new(&config, &path, &runs[0].info.source, Kind::Runs);
    show(&Results { origin, runs }, args, output, text)
}

/// Runs every algorithm on every draw, with a bar on a terminal.
fn run_all(
    config: &Config,
    algorithms: &[AlgorithmSpec],
    draws: &[Draw],
    keep: Keep,
    make: impl Fn(&Draw) -> Result<Workload, WorkloadError> + Sync,
) -> Result<Vec<Run>, CliError> {
    let bar = Bar::start(&config.name, algorithms.len() * draws.len());
    let Config { cluster, slo, .. } = config;
    let setting = Setting { cluster, slo, progress: &bar, keep };
    let runs = compare(setting, algorithms, draws, make);
    bar.finish();
    Ok(runs?)
}

fn workload(
    source: &SourceTrace,
    seed: u64,
    resampling: Option<(f64, SimDuration)>,
    config: &Config,
) -> Result<Workload, WorkloadError> {
    match resampling {
        Some((rate, length)) => source.workload(Some(rate), seed, length, config.warmup),
        None => source.replay(seed, None, config.warmup),
    }
}

/// Returns the trace's own rate and length.
fn own_rate(source: &SourceTrace) -> Result<(f64, SimDuration), CliError> {
    source.rate_rps().zip(source.length()).ok_or_else(|| {
        CliError::new("--seeds resamples the trace at its own rate, but the trace spans no time")
            .hint("leave out --seeds to replay it as it is")
    })
}

fn remark_on_workload(runs: &[Run]) {
    let info = &runs[0].info;
    if let Some(rate) = info.requested_rps {
        remark(&format!("note: {}: {} at {rate:.3} req/s", info.source, info.operator));
    }
    for note in &info.notes {
        remark(&match note.strip_prefix("warning: ") {
            Some(warning) => format!("warning: {}: {warning}", info.source),
            None => format!("note: {}: {note}", info.source),
        });
    }
}

fn show(
    results: &Results,
    args: &ShowArgs,
    output: Option<OutputFile>,
    text: fn(&Results) -> String,
) -> Result<(), CliError> {
    warn(results.runs.iter().map(|run| {
        let rate = run.draw.rate_rps.map_or_else(String::new, |rate| format!(" at {rate} req/s"));
        (format!("{}{rate}, seed {}", run.algorithm.label(), run.draw.seed), &run.summary)
    }));
    // The file first: whoever reads standard output may stop early.
    if let (Some(file), Some(path)) = (output, &args.output) {
        let json = results.json();
        file.finish(|out| out.write_all(json.as_bytes()))?;
        remark(&format!("Results written to {}", path.display()));
    }
    print(&match args.format {
        OutputFormat::Text => text(results),
        OutputFormat::Json => results.json(),
        OutputFormat::Csv => results.csv(),
    })
}

/// Opens the file of `--output`, if there is one.
pub(super) fn open_output(path: Option<&Path>) -> Result<Option<OutputFile>, CliError> {
    if path == Some(Path::new("-")) {
        return Err(CliError::new("--output - would mix with the tables on standard output")
            .hint("--format json prints the same document there"));
    }
    path.map(OutputFile::create).transpose()
}

fn seeds_from(first: u64, count: u32) -> Vec<u64> {
    (first..first + u64::from(count)).collect()
}

fn parse_rates(values: &[String]) -> Result<Vec<f64>, CliError> {
    let mut rates: Vec<f64> = Vec::new();
    for part in algorithms::split(values) {
        let rate = part.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
        let rate = rate.ok_or_else(|| {
            CliError::new(format!("--rates: `{part}` is no rate, expected a number above 0"))
                .hint("rates are in requests per second, as in --rates 50,100,200")
        })?;
        if rates.iter().any(|earlier| earlier.to_bits() == rate.to_bits()) {
            return Err(CliError::new(format!("--rates: {part} is given twice")));
        }
        rates.push(rate);
    }
    if rates.is_empty() {
        return Err(CliError::new("--rates names no rate").hint("as in --rates 50,100,200"));
    }
    Ok(rates)
}

/// Reads the value of `--duration`.
pub(super) fn parse_duration(seconds: f64) -> Result<SimDuration, CliError> {
    SimDuration::from_secs(seconds)
        .ok()
        .filter(|duration| *duration > SimDuration::ZERO)
        .ok_or_else(|| {
            let longest = crate::units::LONGEST.as_secs();
            CliError::new(format!("--duration is {seconds}, expected above 0 up to {longest}"))
                .hint("the duration is in seconds")
        })
}
