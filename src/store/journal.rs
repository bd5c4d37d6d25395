//! What was asked of a store and what processes have done to it: for people, no result depends on
//! it.
//!
//! Nothing here is brought to the disk at once, and whoever deletes it loses nothing else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

use super::error::StoreError;
use super::files::{entries, is_hidden, is_removed, put_lightly};
use super::folder::Store;

const EVENTS: &str = "events";
const PLAN: &str = "plan.json";

/// The most lines of a file, so that a process that goes on for weeks does not fill the disk.
const MOST_LINES: usize = 20_000;
/// The most files that are read, the newest.
const MOST_FILES: usize = 200;
/// Bytes that are read at both ends of a file.
const END_BYTES: u64 = 1 << 14;

/// The file of events that one process adds to.
#[derive(Debug)]
pub struct Journal {
    file: Option<File>,
    lines: usize,
}

/// How the file of events of a process begins and ends.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalEnds {
    /// The file.
    pub path: PathBuf,
    /// Its first event.
    pub first: Value,
    /// Its last event.
    pub last: Value,
}

impl Store {
    /// Begins a file of events, which nobody else adds to; `name` is made one of a file. What can't
    /// be written is not: a process does its work without.
    pub fn journal(&self, name: &str) -> Journal {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let name: String = name.chars().map(plain).collect();
        let folder = self.root().join(EVENTS);
        let made = fs::create_dir_all(&folder).and_then(|()| {
            let open = |path: PathBuf| OpenOptions::new().append(true).create_new(true).open(path);
            open(folder.join(format!("{name}.jsonl"))).or_else(|error| match error.kind() {
                // Within one second a host gives one process id twice to nobody but containers.
                io::ErrorKind::AlreadyExists => open(folder.join(format!("{name}-1.jsonl"))),
                _ => Err(error),
            })
        });
        Journal { file: made.ok(), lines: 0 }
    }

    /// Returns the ends of the newest files of events, the last one last. Files that can't be read are left
    /// out.
    ///
    /// # Errors
    ///
    /// When the folder can't be read.
    pub fn journals(&self) -> Result<Vec<JournalEnds>, StoreError> {
        let mut files = Vec::new();
        for path in self.event_files()? {
            if let Ok(modified) = fs::metadata(&path).and_then(|metadata| metadata.modified()) {
                files.push((modified, path));
            }
        }
        files.sort_unstable();
        let newest = files.len().saturating_sub(MOST_FILES);
        Ok(files.drain(newest..).filter_map(|(_, path)| ends(path)).collect())
    }

    /// Writes down what is asked of the store, in place of what was.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn keep_plan(&self, plan: &Value) -> Result<(), StoreError> {
        put_lightly(&self.root().join(PLAN), format!("{plan:#}\n").as_bytes())
    }

    /// Returns what was last asked of the store; none when that can't be read.
    pub fn plan(&self) -> Option<Value> {
        let text = fs::read_to_string(self.root().join(PLAN)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Removes files of events that nobody has added to since `before`.
    pub(super) fn forget_events(&self, before: SystemTime) -> Result<Vec<PathBuf>, StoreError> {
        let mut removed = Vec::new();
        for path in self.event_files()? {
            let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
            if modified.is_ok_and(|modified| modified < before) && is_removed(&path)? {
                removed.push(path);
            }
        }
        Ok(removed)
    }

    fn event_files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut files = entries(&self.root().join(EVENTS))?;
        let is_ours = |path: &Path| path.extension().is_some_and(|ending| ending == "jsonl");
        files.retain(|path| is_ours(path) && !is_hidden(path) && path.is_file());
        Ok(files)
    }
}

impl Journal {
    /// Adds an event as one line, unless there are very many.
    pub fn add(&mut self, event: &Value) {
        if self.lines < MOST_LINES {
            self.add_last(event);
        }
    }

    /// Adds an event however many there are.
    pub fn add_last(&mut self, event: &Value) {
        let Some(file) = &mut self.file else { return };
        self.lines += 1;
        // One call, so that a reader sees whole lines.
        if file.write_all(format!("{event}\n").as_bytes()).is_err() {
            self.file = None;
        }
    }
}

/// Returns the first and the last line of a file that are events.
fn ends(path: PathBuf) -> Option<JournalEnds> {
    let mut file = File::open(&path).ok()?;
    let len = file.metadata().ok()?.len();
    let mut read = |from: u64| {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from)).ok()?;
        (&mut file).take(END_BYTES).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let event = |line: &str| serde_json::from_str::<Value>(line).ok().filter(Value::is_object);
    let first = event(read(0)?.lines().next()?)?;
    let last = read(len.saturating_sub(END_BYTES))?.lines().rev().find_map(event)?;
    Some(JournalEnds { path, first, last })
}
