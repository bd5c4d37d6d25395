//! `fidelity` and `calibrate`: the simulator against measured runs.

use std::ops::Range;
use std::path::Path;

use crate::cluster::StepSpec;
use crate::report::{CalibrationResults, FidelityResults, Source};
use crate::scenario::Config;
use crate::study::calibrate::{StepFit, calibrate, fit_steps, prior, read_steps};
use crate::study::{Replay, ReplayError, fidelity};
use crate::trace::{MeasuredTrace, read_measured};

use super::algorithms;
use super::args::{CalibrateArgs, FidelityArgs, OutputFormat, ScoredArgs};
use super::error::CliError;
use super::output::{OutputFile, print, remark};
use super::run::open_output;
use super::signals::{nothing_written, watch_interrupt};
use super::source::remark_on;

/// Compares a measured run with its simulation.
pub(super) fn compare(args: &FidelityArgs) -> Result<(), CliError> {
    let algorithm = algorithms::one(&args.algorithm)?;
    let config = Config::load(&args.config)?;
    watch_interrupt(nothing_written);
    let output = open_output(args.show.output.as_deref())?;
    if config.cluster.num_backends > 1 {
        remark(&format!(
            "warning: {}: {} backends under `{}`; a run of one engine is compared with one backend",
            args.config.display(),
            config.cluster.num_backends,
            algorithm.label()
        ));
        remark("hint: set `num_backends = 1`, unless the run was measured behind a router");
    }
    let measured = read_remarked(&args.trace, args.block_size)?;
    let scored = args.scored.range(measured.trace.len())?;
    let replay = Replay {
        cluster: &config.cluster,
        algorithm: &algorithm,
        measured: &measured,
        scored: &scored,
        seed: config.seed,
    };
    let fidelity = fidelity(&replay)?;
    let results = FidelityResults {
        config_name: config.name.clone(),
        config_path: args.config.display().to_string(),
        source: args.trace.display().to_string(),
        requests: measured.trace.len(),
        scored: scored.clone(),
        fidelity,
    };
    if let (Some(file), Some(path)) = (output, &args.show.output) {
        let json = results.json();
        file.finish(|out| out.write_all(json.as_bytes()))?;
        remark(&format!("Results written to {}", path.display()));
    }
    print(&match args.show.format {
        OutputFormat::Text => results.text(),
        OutputFormat::Json => results.json(),
        OutputFormat::Csv => results.csv(),
    })
}

/// Finds a step model and writes the config that has it.
pub(super) fn find(args: &CalibrateArgs) -> Result<(), CliError> {
    let config = Config::load(&args.config)?;
    watch_interrupt(nothing_written);
    let output =
        if args.output == Path::new("-") { None } else { Some(OutputFile::create(&args.output)?) };
    let (path, source) = match (&args.trace, &args.steps) {
        (Some(trace), _) => (trace, from_requests(args, trace, &config)?),
        (None, Some(steps)) => (steps, Source::Steps(Box::new(from_steps(steps, &config)?))),
        (None, None) => unreachable!("clap asks for one of the two"),
    };
    let results = CalibrationResults {
        config_path: args.config.display().to_string(),
        source_path: path.display().to_string(),
        source,
    };
    let text = written(&results, &config, args)?;
    warn_of(&results.source);
    match output {
        None => print(&text),
        Some(file) => {
            file.finish(|out| out.write_all(text.as_bytes()))?;
            remark(&format!("Config written to {}", args.output.display()));
            print(&results.text())
        }
    }
}

/// Returns the text of the new config, which must say what was found.
fn written(
    results: &CalibrationResults,
    config: &Config,
    args: &CalibrateArgs,
) -> Result<String, CliError> {
    let text = results
        .config(&config.text)
        .map_err(|error| CliError::new(format!("{}: {error}", args.config.display())))?;
    let again = Config::parse(&args.output.display().to_string(), &text)?;
    if again.cluster.step != StepSpec::Linear(*results.model()) {
        let message = format!("{}: the step model can't be replaced", args.config.display());
        return Err(
            CliError::new(message).hint("write the tables as [cluster] and [cluster.step_model]")
        );
    }
    Ok(text)
}

fn from_requests(args: &CalibrateArgs, path: &Path, config: &Config) -> Result<Source, CliError> {
    let cluster = &config.cluster;
    if cluster.num_backends > 1 || cluster.disaggregated.is_some() {
        let message = format!(
            "{}: {} backends, expected one engine to calibrate",
            args.config.display(),
            cluster.num_backends
        );
        return Err(CliError::new(message).hint(
            "calibrate with `num_backends = 1` and no [cluster.disaggregated], then copy \
             [cluster.step_model] to the config of the fleet",
        ));
    }
    let measured = read_remarked(path, args.block_size)?;
    let scored = args.scored.range(measured.trace.len())?;
    let replay = Replay {
        cluster,
        algorithm: &algorithms::one("round_robin")?,
        measured: &measured,
        scored: &scored,
        seed: config.seed,
    };
    let calibration = Box::new(calibrate(&replay, &prior(&cluster.step))?);
    let requests = measured.trace.len();
    Ok(Source::Requests { scored: scored.clone(), requests, calibration })
}

fn from_steps(path: &Path, config: &Config) -> Result<StepFit, CliError> {
    let experts = match &config.cluster.step {
        StepSpec::Linear(model) if model.experts > 0 && model.experts_per_token > 0 => {
            Some((model.experts, model.experts_per_token))
        }
        StepSpec::Linear(_) | StepSpec::Compute { .. } => None,
    };
    Ok(fit_steps(&read_steps(path)?, experts))
}

fn warn_of(source: &Source) {
    let Source::Requests { calibration, .. } = source else {
        return;
    };
    let unknown = calibration.coefficients.iter().filter(|found| !found.identified);
    let unknown: Vec<&str> = unknown.map(|found| found.key).collect();
    if !unknown.is_empty() {
        remark(&format!("warning: the run does not identify {}", unknown.join(", ")));
        remark(
            "hint: a value a quarter larger or smaller fits about as well, so other loads than \
             this one rest on the prior; measure a run at another load, or single steps",
        );
    }
}

fn read_remarked(path: &Path, block_size: Option<u32>) -> Result<MeasuredTrace, CliError> {
    let measured = read_measured(path, block_size)?;
    remark_on(path, &measured.report);
    Ok(measured)
}

impl ScoredArgs {
    /// Returns the requests to be scored.
    fn range(&self, requests: usize) -> Result<Range<usize>, CliError> {
        let (from, to) = (self.from.unwrap_or(0), self.to.unwrap_or(requests));
        if to > requests {
            let message =
                format!("--to is {to}, expected at most {requests}, the requests of the trace");
            return Err(CliError::new(message).hint("leave it out to score them all"));
        }
        if from >= to {
            return Err(CliError::new(format!("--from {from} and --to {to} leave no request"))
                .hint("--from is the first request that is scored, --to the one after the last"));
        }
        Ok(from..to)
    }
}

impl From<ReplayError> for CliError {
    fn from(error: ReplayError) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { message: error.to_string(), hint }
    }
}
