//! New results against a baseline.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::sealed::SealedRuns;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{OutputFile, print, remark};
use crate::gate::{Check, GateError, GateSpec, Outcome, compare};
use crate::report::{check_json, check_junit, check_markdown, check_text, shell_quoted};
use crate::sweep::Manifest;

/// The folder of baselines, in the working directory.
const BASELINES: &str = "baselines";

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Folder of the new results, or a table of runs
    new: PathBuf,
    /// What they are held against, likewise (default: baselines/<name>)
    baseline: Option<PathBuf>,
    /// Judge by the [gate] of this manifest (default: of the one that NEW was made with)
    #[arg(long, value_name = "MANIFEST")]
    manifest: Option<PathBuf>,
    /// End with 4 when the runs do not say whether something is worse
    #[arg(long)]
    strict: bool,
    /// Write it as tests in the XML of `JUnit`, too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write it as Markdown, too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// What to print
    #[arg(long, value_enum, default_value_t = CheckFormat::Text)]
    format: CheckFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CheckFormat {
    Text,
    Json,
}

/// Compares new results with a baseline and says whether anything is worse.
pub(super) fn check(args: &CheckArgs) -> Result<Exit, CliError> {
    // Files that can't be written are found before anything is said.
    let open = |path: &PathBuf| OutputFile::create(path);
    let junit = args.junit.as_ref().map(open).transpose()?;
    let markdown = args.markdown.as_ref().map(open).transpose()?;
    let new = SealedRuns::open(&args.new)?;
    let spec = spec_of(args.manifest.as_deref(), &new)?;
    let baseline = baseline_of(args.baseline.as_deref(), &new)?;
    if args.baseline.is_none() && !baseline.exists() {
        let own = shell_quoted(&args.new.display().to_string());
        return Err(CliError::new(format!("{}: no baseline yet", baseline.display()))
            .hint(format!("`routesim-sweep baseline update {own}` takes these results as one")));
    }
    let baseline = SealedRuns::open(&baseline)?;
    let ((new_table, new_engine), (old_table, old_engine)) = (new.table()?, baseline.table()?);
    let comparison = compare(&spec, &new_table, &old_table)?;
    let check = Check {
        new: new.source(new_engine),
        baseline: baseline.source(old_engine),
        spec,
        comparison,
        strict: args.strict,
    };
    if let Some(file) = junit {
        file.finish(|out| out.write_all(check_junit(&check).as_bytes()))?;
    }
    if let Some(file) = markdown {
        file.finish(|out| out.write_all(check_markdown(&check).as_bytes()))?;
    }
    match args.format {
        CheckFormat::Text => print(&check_text(&check))?,
        CheckFormat::Json => print(&format!("{:#}\n", check_json(&check)))?,
    }
    Ok(match check.outcome() {
        Outcome::Regression => Exit::Regression,
        Outcome::Incomplete => Exit::FailedRuns,
        Outcome::Inconclusive => Exit::Inconclusive,
        Outcome::Passed => Exit::Success,
    })
}

/// Returns how to judge: as a manifest says, else as that of the new results said.
fn spec_of(manifest: Option<&Path>, new: &SealedRuns) -> Result<GateSpec, CliError> {
    if let Some(manifest) = manifest {
        return Ok(Manifest::load(manifest)?.gate);
    }
    if let Some(spec) = new.gate()? {
        return Ok(spec);
    }
    remark(&format!(
        "note: {} does not say how to judge it: by the defaults; --manifest names a manifest",
        new.path.display()
    ));
    Ok(GateSpec::default())
}

/// Returns the baseline that is meant: where none is named, by the name of the sweep.
pub(super) fn baseline_of(named: Option<&Path>, new: &SealedRuns) -> Result<PathBuf, CliError> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let name = new.text("sweep").filter(|name| !name.is_empty() && !name.contains(['/', '\\']));
    let name = name.ok_or_else(|| {
        CliError::new(format!("{}: does not say the name of its sweep", new.path.display()))
            .hint("name the baseline, too")
    })?;
    Ok(Path::new(BASELINES).join(name))
}

impl From<GateError> for CliError {
    fn from(error: GateError) -> Self {
        let hint = match error {
            GateError::NoCell { .. } => {
                "is it the baseline of another sweep, or of before its cells were renamed?"
            }
            GateError::NoSeed => "run both with the same `seed` and `seeds`",
            GateError::NoRuns { .. } | GateError::Twice { .. } => {
                "name a folder of results, or its runs.parquet"
            }
            GateError::Risk { .. } => "set `risk` of [gate]",
        };
        Self::new(error.to_string()).hint(hint)
    }
}
