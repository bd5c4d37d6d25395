//! Files and standard output.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::error::CliError;

/// Files that have no name yet, so that an interrupt can take them away.
static DRAFTS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A file that appears under its name only when it is whole.
///
/// It is opened before the work is done, so that a path that can't be written is found at once,
/// filled when the data is there, and renamed into place at the end. Dropped without that, it is removed.
#[derive(Debug)]
pub(super) struct OutputFile {
    path: PathBuf,
    draft: PathBuf,
    file: Option<File>,
}

impl OutputFile {
    /// Opens a draft beside `path`.
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        let failed = |error: &io::Error| {
            CliError::new(format!("{}: cannot be written: {error}", path.display()))
                .hint("the folder must exist and be writable")
        };
        if path.is_dir() {
            let message = format!("{}: is a folder, not a file", path.display());
            return Err(CliError::new(message));
        }
        let Some(name) = path.file_name() else {
            return Err(CliError::new(format!("{}: not the name of a file", path.display())));
        };
        let mut draft_name = std::ffi::OsString::from(".");
        draft_name.push(name);
        draft_name.push(format!(".{}.tmp", std::process::id()));
        let draft = path.with_file_name(draft_name);
        let file = File::create(&draft).map_err(|error| failed(&error))?;
        drafts(|drafts| drafts.insert(draft.clone()));
        Ok(Self { path: path.to_owned(), draft, file: Some(file) })
    }

    /// Writes the draft with `write`, to the disk.
    pub(super) fn fill(
        &mut self,
        write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<(), CliError> {
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        let mut buffered = io::BufWriter::new(file);
        let written = write(&mut buffered)
            .and_then(|()| buffered.into_inner().map_err(io::IntoInnerError::into_error))
            .and_then(|file| file.sync_all());
        written.map_err(|error| self.failed(&error))
    }

    /// Gives the file its name.
    pub(super) fn publish(self) -> Result<(), CliError> {
        fs::rename(&self.draft, &self.path).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> CliError {
        CliError::new(format!("{}: cannot be written: {error}", self.path.display()))
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        drafts(|drafts| drafts.remove(&self.draft));
        // After a rename there is nothing to remove, which is as well.
        drop(fs::remove_file(&self.draft));
    }
}

/// Removes every draft: the process is about to end.
pub(super) fn discard_drafts() {
    for draft in drafts(std::mem::take) {
        drop(fs::remove_file(draft));
    }
}

fn drafts<T>(with: impl FnOnce(&mut BTreeSet<PathBuf>) -> T) -> T {
    with(&mut DRAFTS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Writes data to standard output. A closed pipe is no error: the reader has seen enough.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CliError::new(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a remark for the person at the terminal to standard error.
pub(super) fn remark(text: &str) {
    // Nobody is left to tell when standard error is closed.
    drop(writeln!(io::stderr().lock(), "{text}"));
}
