//! What can go wrong with a store.

use std::io;
use std::path::{Path, PathBuf};

use crate::tables::TableError;

use super::{RunId, STORE_SCHEMA};

/// A store that can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Rows that the store can't take, or can't put together.
    #[error("{}: {source}", path.display())]
    Rows {
        /// The store.
        path: PathBuf,
        /// Why.
        source: TableError,
    },
    /// A batch that is no table of new runs.
    #[error("{}: {what}", path.display())]
    Batch {
        /// The store.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A part that was there and can't be read any more.
    #[error("{}: {what}", path.display())]
    Lost {
        /// The file.
        path: PathBuf,
        /// What happened to it.
        what: String,
    },
    /// One run with two different results.
    #[error(
        "{} and {}: run {run_id} has different results in the two, by the same engine",
        first.display(), second.display()
    )]
    Conflict {
        /// The run.
        run_id: RunId,
        /// A part with one result.
        first: PathBuf,
        /// A part with another.
        second: PathBuf,
    },
    /// A folder with files of somebody else.
    #[error("{}: is not empty and no folder of results: {}", path.display(), file_name(found))]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// One of its files.
        found: PathBuf,
    },
    /// `store.json` names another sweep.
    #[error("{}: results of the sweep `{found}`, not of `{expected}`", path.display())]
    OtherSweep {
        /// The file.
        path: PathBuf,
        /// Whose results they are.
        found: String,
        /// Whose were expected.
        expected: String,
    },
    /// `store.json` has a later schema.
    #[error("{}: store schema {found}, this version reads up to {STORE_SCHEMA}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u64,
    },
    /// `store.json` is not one of ours.
    #[error("{}: {what}", path.display())]
    NoClaim {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl StoreError {
    /// Returns how to mend it, if that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Io { source, .. } => return hint_of(source),
            Self::Rows { .. } | Self::Batch { .. } => return None,
            Self::Conflict { first, second, .. } => {
                return Some(format!(
                    "runs must not depend on the machine: find out which is right, remove {} or \
                     {}, and run again",
                    file_name(first),
                    file_name(second)
                ));
            }
            Self::Lost { .. } => "run again: what is missing is made again",
            Self::NotEmpty { .. } => "give a folder of its own with `--out`: results replace files",
            Self::OtherSweep { .. } => "give another folder with `--out`, or rename the sweep",
            Self::Newer { .. } => "update routesim, or give another folder with `--out`",
            Self::NoClaim { .. } => {
                "remove the file if the folder is yours: the runs are not in it"
            }
        };
        Some(hint.to_owned())
    }

    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn hint_of(error: &io::Error) -> Option<String> {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room and run again: what the store has already is kept, and not run again"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "give a folder that can be written with `--out`"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a file stands where a folder should: move it away"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}
