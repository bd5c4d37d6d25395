//! Files that are there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::error::StoreError;

/// What the names of files on their way begin with.
const TEMPORARY: &str = ".tmp-";

/// Parts of the name of a file on its way: one process never uses one twice.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Whether a file that is there already may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfThere {
    /// By the same or better bytes.
    Replace,
    /// The first one stays.
    Keep,
}

/// Writes a file so that no reader ever sees a part of it, and brings it to the disk.
pub(super) fn place(path: &Path, bytes: &[u8], if_there: IfThere) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    make_folder(folder)?;
    let (on_its_way, file) = temporary(folder)?;
    let named = fill(&on_its_way, file, bytes).and_then(|()| match if_there {
        IfThere::Replace => rename(&on_its_way, path, bytes),
        IfThere::Keep => link(&on_its_way, path),
    });
    // A file that was renamed is gone, and its old name may be another host's by now.
    if named.is_err() || if_there == IfThere::Keep {
        drop(fs::remove_file(&on_its_way));
    }
    named?;
    sync_folder(folder)
}

/// Writes a file so that no reader ever sees a part of it, and leaves it to the system when it is
/// on the disk.
pub(super) fn put_lightly(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let (on_its_way, mut file) = temporary(folder)?;
    let written = file.write_all(bytes).map_err(StoreError::io(&on_its_way));
    let named = written.and_then(|()| rename(&on_its_way, path, bytes));
    if named.is_err() {
        drop(fs::remove_file(&on_its_way));
    }
    named
}

/// Writes all bytes and brings them to the disk.
pub(super) fn fill(path: &Path, mut file: File, bytes: &[u8]) -> Result<(), StoreError> {
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(StoreError::io(path))
}

/// Makes a folder and those above it; each is on the disk before what is in it.
pub(super) fn make_folder(folder: &Path) -> Result<(), StoreError> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(Path::new(""));
    make_folder(above)?;
    match fs::create_dir(folder) {
        Ok(()) => sync_folder(above),
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => Err(StoreError::io(folder)(error)),
    }
}

/// Removes what was on its way and has not been touched since `before`.
pub(super) fn sweep_away(folder: &Path, before: SystemTime) -> Result<Vec<PathBuf>, StoreError> {
    let mut removed = Vec::new();
    for path in entries(folder)? {
        // Those of ours, and drafts of results: `.runs.parquet.1234-0.tmp`.
        let is_draft = is_hidden(&path) && path.extension().is_some_and(|ending| ending == "tmp");
        if !name_begins(&path, TEMPORARY) && !is_draft {
            continue;
        }
        match fs::metadata(&path).and_then(|metadata| metadata.modified()) {
            Ok(modified) if modified < before => {
                fs::remove_file(&path).map_err(StoreError::io(&path))?;
                removed.push(path);
            }
            Ok(_) => {}
            // It was renamed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io(&path)(error)),
        }
    }
    Ok(removed)
}

/// Returns what is in a folder, by name; nothing when there is no folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let found = match fs::read_dir(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io(folder)(error)),
    };
    let paths: io::Result<Vec<PathBuf>> = found.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(StoreError::io(folder))?;
    paths.sort_unstable();
    Ok(paths)
}

/// Removes a file and returns whether it was there: somebody else may have been first.
pub(super) fn is_removed(path: &Path) -> Result<bool, StoreError> {
    is_there(fs::remove_file(path), path)
}

/// Returns whether what was `done` to a file found it.
pub(super) fn is_there(done: io::Result<()>, path: &Path) -> Result<bool, StoreError> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io(path)(error)),
    }
}

/// Returns whether a name begins with a dot: files on their way, and those of the system.
pub(super) fn is_hidden(path: &Path) -> bool {
    name_begins(path, ".")
}

fn name_begins(path: &Path, start: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
}

/// Makes a file whose name nobody else has, also on another host with the same process id.
fn temporary(folder: &Path) -> Result<(PathBuf, File), StoreError> {
    loop {
        let (process, count) = (std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let path = folder.join(format!("{TEMPORARY}{process}-{count}"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(StoreError::io(&path)(error)),
        }
    }
}

fn rename(from: &Path, to: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    match fs::rename(from, to) {
        Ok(()) => Ok(()),
        // A network file system may say no to the second of two tries of which the first was
        // carried out.
        Err(_) if fs::read(to).is_ok_and(|there| there == bytes) => Ok(()),
        Err(error) => Err(StoreError::io(to)(error)),
    }
}

/// Gives a file its name unless the name is taken.
fn link(from: &Path, to: &Path) -> Result<(), StoreError> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(_) if to.exists() => Ok(()),
        // Some file systems have no hard links: the last of two at the same instant wins.
        Err(_) => fs::rename(from, to).map_err(StoreError::io(to)),
    }
}

/// Brings the names in a folder to the disk.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Not every file system can do it for folders.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        result => result.map_err(StoreError::io(folder)),
    }
}

/// Folders can't be opened here; the system writes their names in order.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> Result<(), StoreError> {
    Ok(())
}
