//! A manifest to start from.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

use clap::Args;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::{print, remark};
use crate::scenario::Config;

const MANIFEST: &str = include_str!("init/manifest.toml");
const CONFIG: &str = include_str!("init/config.toml");

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Manifest to write
    #[arg(default_value = "experiments/first.toml")]
    file: PathBuf,
    /// Config that it names (default: a small one beside it)
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

/// Writes a manifest with every key, and a config beside it when none is given.
pub(super) fn init(args: &InitArgs) -> Result<Exit, CliError> {
    let file = &args.file;
    if file.exists() {
        return Err(there_already(file));
    }
    let Some(name) = name_of(file) else {
        let message = format!("{}: not the name of a manifest", file.display());
        return Err(CliError::new(message).hint("name a file, such as experiments/first.toml"));
    };
    let folder = file.parent().unwrap_or(Path::new(""));
    let written = match &args.config {
        Some(config) => {
            Config::load(config)?;
            fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
            let named = relative(folder, config).map_err(|error| unwritable(config, &error))?;
            create(file, &manifest(file, &name, &named))?;
            vec![file.clone()]
        }
        None => {
            fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
            let config = file.with_extension("config.toml");
            let named = PathBuf::from(config.file_name().unwrap_or_default());
            create(&config, CONFIG)?;
            create(file, &manifest(file, &name, &named))?;
            vec![file.clone(), config]
        }
    };
    let lines: Vec<String> = written.iter().map(|path| format!("{}\n", path.display())).collect();
    print(&lines.concat())?;
    remark(&format!("next: routesim-sweep {}", file.display()));
    Ok(Exit::Success)
}

/// Returns the manifest's text. `config` is its path from the manifest.
fn manifest(file: &Path, name: &str, config: &Path) -> String {
    // A path with a bracket is no pattern.
    let config = toml::Value::from(glob::Pattern::escape(&config.to_string_lossy())).to_string();
    MANIFEST
        .replace("@FILE@", &file.to_string_lossy().replace(char::is_control, "?"))
        .replace("@NAME@", name)
        .replace("@CONFIG@", &config)
}

/// Returns the file's name without its ending, with what a manifest's name may have.
fn name_of(file: &Path) -> Option<String> {
    let stem = file.file_stem()?.to_string_lossy();
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' }
    };
    let name: String = stem.trim_start_matches('.').chars().map(plain).collect();
    (!name.is_empty()).then_some(name)
}

/// Returns the path of `file` from `folder`, both of which exist.
fn relative(folder: &Path, file: &Path) -> io::Result<PathBuf> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let (folder, file) = (folder.canonicalize()?, file.canonicalize()?);
    let shared = folder.components().zip(file.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    Ok(up.chain(file.components().skip(shared)).collect())
}

/// Writes a file that is not there yet.
fn create(path: &Path, text: &str) -> Result<(), CliError> {
    let file = match File::create_new(path) {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(there_already(path));
        }
        Err(error) => Err(error),
    };
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| unwritable(path, &error))
}

fn there_already(path: &Path) -> CliError {
    let message = format!("{}: there already", path.display());
    CliError::new(message).hint("nothing is overwritten; name another file, or move that one")
}

fn unwritable(path: &Path, error: &io::Error) -> CliError {
    CliError::new(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
