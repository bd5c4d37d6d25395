//! The baseline that checks hold new results against.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::check::baseline_of;
use super::sealed::{RUNS, SealedRuns};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{OutputFile, print};
use crate::cli::results::{MANIFEST, SEAL, sync_folder};

/// What only the folder of a sweep has.
const STORE: &str = "store.json";

#[derive(Debug, Subcommand)]
pub(super) enum BaselineCommand {
    /// Take results as the baseline from now on
    Update(UpdateArgs),
}

#[derive(Debug, Args)]
pub(super) struct UpdateArgs {
    /// Folder of the new results
    new: PathBuf,
    /// Folder of the baseline (default: baselines/<name>)
    baseline: Option<PathBuf>,
    /// Though runs of it failed or are missing
    #[arg(long)]
    allow_partial: bool,
}

/// Copies what a check needs of a folder of results, and says what that replaces.
///
/// The baseline is whole at any instant, or has no seal: then a check refuses it.
pub(super) fn update(args: &UpdateArgs) -> Result<Exit, CliError> {
    let new = SealedRuns::open(&args.new)?;
    if new.seal.is_none() {
        let message = format!("{}: not a folder of results", args.new.display());
        return Err(
            CliError::new(message).hint("a baseline needs its manifest and provenance, too")
        );
    }
    let (_, engine) = new.table()?;
    refuse_partial(&new, args.allow_partial)?;
    let folder = baseline_of(args.baseline.as_deref(), &new)?;
    refuse_others(&folder)?;
    let replaced = SealedRuns::open(&folder).ok();
    let read = |name: &str| {
        let path = args.new.join(name);
        fs::read(&path).map_err(|error| CliError::new(format!("{}: {error}", path.display())))
    };
    let (manifest, seal) = (read(MANIFEST)?, read(SEAL)?);
    fs::create_dir_all(&folder)
        .map_err(|error| CliError::new(format!("{}: cannot be made: {error}", folder.display())))?;
    let write = |name: &str, bytes: &[u8]| {
        let mut file = OutputFile::create(&folder.join(name))?;
        file.fill(|out| out.write_all(bytes))?;
        Ok::<_, CliError>(file)
    };
    let files = [write(RUNS, &new.bytes)?, write(MANIFEST, &manifest)?];
    let sealing = write(SEAL, &seal)?;
    remove_seal(&folder)?;
    for file in files {
        file.publish()?;
    }
    sync_folder(&folder);
    sealing.publish()?;
    sync_folder(&folder);
    let was = match &replaced {
        None => "new".to_owned(),
        Some(old) if old.bytes == new.bytes => "the same table as before".to_owned(),
        Some(old) => format!("was {}", facts(old, old.table().ok().and_then(|(_, own)| own))),
    };
    print(&format!("{}: {} ({was})\n", folder.display(), facts(&new, engine)))?;
    Ok(Exit::Success)
}

/// `120 runs of 12 cells by 0.1.0-engine.2`.
fn facts(runs: &SealedRuns, engine: Option<String>) -> String {
    let number =
        |key: &str| runs.number(key).map_or_else(|| "?".to_owned(), |number| number.to_string());
    let engine = engine.unwrap_or_else(|| "an unknown version".to_owned());
    format!("{} runs of {} cells by {engine}", number("runs"), number("cells"))
}

fn refuse_partial(new: &SealedRuns, allow_partial: bool) -> Result<(), CliError> {
    let lacking = ["failed_runs", "missing_runs"].map(|key| new.number(key));
    if allow_partial || lacking == [Some(0), Some(0)] {
        return Ok(());
    }
    let [failed, missing] =
        lacking.map(|runs| runs.map_or_else(|| "unknown".to_owned(), |runs| runs.to_string()));
    let message =
        format!("{}: not complete: runs failed: {failed}, missing: {missing}", new.path.display());
    Err(CliError::new(message).hint("run the sweep again, or give --allow-partial"))
}

/// Refuses a folder that is no baseline: what is in it may be somebody's.
fn refuse_others(folder: &Path) -> Result<(), CliError> {
    let refused = |what: &str| {
        CliError::new(format!("{}: {what}", folder.display()))
            .hint("a baseline has a folder of its own, such as baselines/nightly")
    };
    if folder.join(STORE).exists() {
        return Err(refused("is the folder of a sweep, which would no longer be its own"));
    }
    let is_ours = [RUNS, SEAL].iter().any(|name| folder.join(name).exists());
    let is_empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    if !is_ours && !is_empty {
        return Err(refused("has other files, and no baseline"));
    }
    Ok(())
}

fn remove_seal(folder: &Path) -> Result<(), CliError> {
    let seal = folder.join(SEAL);
    match fs::remove_file(&seal) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CliError::new(format!("{}: {error}", seal.display())))
        }
        _ => Ok(()),
    }
}
