//! `--series`: the backends of a run over time, into a file.

use std::path::PathBuf;

use crate::metrics::Keep;
use crate::study::Run;
use crate::sweep::engine_fingerprint;
use crate::tables::{Metadata, SeriesOfRun, series_frame, write_csv, write_parquet};
use crate::units::SimDuration;

use super::args::SeriesArgs;
use super::error::CliError;
use super::output::{OutputFile, remark};

/// The least interval, in seconds.
const LEAST_S: f64 = 1e-6;

/// The file of `--series`.
pub(super) struct SeriesFile {
    file: OutputFile,
    path: PathBuf,
    form: Form,
    interval: SimDuration,
}

#[derive(Clone, Copy)]
enum Form {
    Csv,
    Parquet,
}

impl SeriesFile {
    /// Opens the file, if there is to be one.
    pub(super) fn open(args: &SeriesArgs) -> Result<Option<Self>, CliError> {
        let Some(path) = &args.series else {
            return Ok(None);
        };
        let ending = path.extension().and_then(|ending| ending.to_str());
        let form = match ending {
            Some("csv") => Form::Csv,
            Some("parquet") => Form::Parquet,
            _ => {
                let message = format!("--series {}: of no known form", path.display());
                return Err(CliError::new(message).hint("end its name in .csv or .parquet"));
            }
        };
        let seconds = args.series_interval;
        let interval = SimDuration::from_secs(seconds).ok().filter(|_| seconds >= LEAST_S);
        let interval = interval.ok_or_else(|| {
            let longest = crate::units::LONGEST.as_secs();
            let message = format!(
                "--series-interval is {seconds}, expected a number from {LEAST_S} to {longest}"
            );
            CliError::new(message).hint("the interval is in seconds")
        })?;
        let file = OutputFile::create(path)?;
        Ok(Some(Self { file, path: path.clone(), form, interval }))
    }

    /// What the runs must keep for it.
    pub(super) fn keep(&self) -> Keep {
        Keep { series: Some(self.interval), ..Keep::default() }
    }

    /// Writes the series of some runs, one after the other.
    pub(super) fn write(self, runs: &[Run]) -> Result<(), CliError> {
        let all: Vec<SeriesOfRun<'_>> = runs.iter().filter_map(of_run).collect();
        let mut frame = series_frame(&all)?;
        let mut bytes = Vec::new();
        match self.form {
            Form::Csv => write_csv(&mut frame, &mut bytes)?,
            Form::Parquet => {
                let engine = ("routesim.engine".to_owned(), engine_fingerprint());
                write_parquet(&mut frame, &Metadata(vec![engine]), &mut bytes)?;
            }
        }
        self.file.finish(|out| out.write_all(&bytes))?;
        remark(&format!("Series written to {}", self.path.display()));
        Ok(())
    }
}

fn of_run(run: &Run) -> Option<SeriesOfRun<'_>> {
    let series = run.summary.distributions.as_ref()?.series.as_ref()?;
    Some(SeriesOfRun { seed: run.draw.seed, series, window: run.window })
}
