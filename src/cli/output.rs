//! Files and standard output.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::error::CliError;

/// Files that have no name yet, so that an interrupt can take them away.
static DRAFTS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Parts of the names of drafts: one process never uses one twice.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A file that appears under its name only when it is whole.
///
/// It is opened before the work is done, so that a path that can't be written is found at once,
/// and renamed into place at the end. Dropped without that, it is removed. What is no plain file (a
/// pipe, `/dev/null`) is written to as it is.
#[derive(Debug)]
pub(super) struct OutputFile {
    path: PathBuf,
    /// None for what is no plain file.
    draft: Option<PathBuf>,
    file: File,
    /// Why the system refused to write what a [`Watched`] was given.
    refused: Arc<Mutex<Option<String>>>,
}

/// Writes to a file and remembers why that could not be: who writes tables does not tell.
#[derive(Debug)]
pub(super) struct Watched {
    out: io::BufWriter<File>,
    refused: Arc<Mutex<Option<String>>>,
}

impl Watched {
    fn seen<T>(&self, done: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &done {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.get_or_insert_with(|| error.to_string());
        }
        done
    }
}

impl io::Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.out.write(bytes);
        self.seen(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.out.flush();
        self.seen(done)
    }
}

impl OutputFile {
    /// Opens a draft beside `path`.
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        let failed = |error: io::Error| {
            CliError::new(format!("{}: cannot be written: {error}", path.display()))
                .hint("the folder must exist and be writable")
        };
        if path.is_dir() {
            let message = format!("{}: is a folder, not a file", path.display());
            return Err(CliError::new(message).hint("name a file in it"));
        }
        if path.exists() && !path.is_file() {
            let file = File::options().write(true).open(path).map_err(failed)?;
            return Ok(Self { path: path.to_owned(), draft: None, file, refused: Arc::default() });
        }
        // A link stays a link: the file behind it is replaced.
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let Some(name) = path.file_name() else {
            let message = format!("{}: not the name of a file", path.display());
            return Err(CliError::new(message).hint("name a file to be written"));
        };
        let mut draft_name = std::ffi::OsString::from(".");
        draft_name.push(name);
        let (draft, file) = loop {
            let count = COUNTER.fetch_add(1, Ordering::Relaxed);
            let mut name = draft_name.clone();
            name.push(format!(".{}-{count}.tmp", std::process::id()));
            let draft = path.with_file_name(name);
            // Another host may have the same process id.
            match File::options().write(true).create_new(true).open(&draft) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                opened => break (draft, opened.map_err(failed)?),
            }
        };
        drafts(|drafts| drafts.insert(draft.clone()));
        Ok(Self { path: path.clone(), draft: Some(draft), file, refused: Arc::default() })
    }

    /// Returns how many bytes have been written.
    pub(super) fn len(&self) -> Result<u64, CliError> {
        let metadata = self.file.metadata();
        let metadata =
            metadata.map_err(|error| CliError::new(format!("{}: {error}", self.path.display())))?;
        Ok(metadata.len())
    }

    /// Writes the draft with `write`, to the disk.
    pub(super) fn fill(
        &mut self,
        write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<(), CliError> {
        let mut buffered = io::BufWriter::new(&self.file);
        let written = write(&mut buffered).and_then(|()| buffered.flush());
        written.map_err(|error| self.failed(&error))?;
        self.sync()
    }

    /// Returns what writes to the draft, which must be flushed; [`sync`](Self::sync) comes next.
    pub(super) fn writer(&self) -> Result<Watched, CliError> {
        let file = self.file.try_clone().map_err(|error| self.failed(&error))?;
        Ok(Watched { out: io::BufWriter::new(file), refused: Arc::clone(&self.refused) })
    }

    /// Says that this file can't be written: why the system refused, if it did, else `error`.
    pub(super) fn refused(&self, error: &dyn std::fmt::Display) -> CliError {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match refused.as_deref() {
            Some(why) => self.failed(&why).hint("make room, or choose another folder"),
            None => self.failed(error),
        }
    }

    /// Brings what was written to the disk.
    pub(super) fn sync(&self) -> Result<(), CliError> {
        // Pipes and devices have nothing to sync.
        let synced = if self.draft.is_some() { self.file.sync_all() } else { Ok(()) };
        synced.map_err(|error| self.failed(&error))
    }

    /// Gives the file its name.
    pub(super) fn publish(self) -> Result<(), CliError> {
        let Some(draft) = &self.draft else {
            return Ok(());
        };
        fs::rename(draft, &self.path).map_err(|error| self.failed(&error))
    }

    /// Writes with `write` and gives the file its name.
    pub(super) fn finish(
        mut self,
        write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<(), CliError> {
        self.fill(write)?;
        self.publish()
    }

    /// Says that this file can't be written.
    pub(super) fn failed(&self, error: &dyn std::fmt::Display) -> CliError {
        CliError::new(format!("{}: cannot be written: {error}", self.path.display()))
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some(draft) = &self.draft {
            drafts(|drafts| drafts.remove(draft));
            // After a rename there is nothing to remove, which is as well.
            drop(fs::remove_file(draft));
        }
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

/// Writes data to standard output.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    print_with(|out| out.write_all(text.as_bytes()))
}

/// Writes data to standard output with `write`. A closed pipe is no error: the reader has seen
/// enough.
pub(super) fn print_with(
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> Result<(), CliError> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = write(&mut out).and_then(|()| out.flush());
    // What could not be written is not tried again when the buffer is dropped.
    drop(out.into_parts());
    match written {
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
