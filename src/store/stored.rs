//! What a store holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use crate::tables::{Detail, Frame, TableError, keep, stack, take, texts, texts_or_null};

use super::error::StoreError;
use super::part::Loaded;
use super::{OK, RESULT_HASH, RUN_ID, STATUS};

/// A part that can't be used: its runs are as if they were not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// The finished runs of one engine, each once, and what else is in the store.
#[derive(Debug, Default)]
pub struct Stored {
    /// A row a run: `run_id`, `result_hash`, then results by name. The order of rows means nothing.
    pub frame: Frame,
    /// Parts that can't be used.
    pub damaged: Vec<Damaged>,
    /// How many parts other engines left, by the engine.
    pub others: BTreeMap<String, usize>,
    /// Files among the parts that are none.
    pub strangers: Vec<PathBuf>,
    /// Whose runs these are.
    pub(super) fingerprint: String,
    /// Rows by run. Looked up by key only.
    rows: FxHashMap<Box<str>, usize>,
    /// The files of parts.
    files: Vec<PathBuf>,
    /// By row: where each detail is, if it is anywhere.
    places: Vec<[Option<Place>; 2]>,
}

/// A row of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    file: usize,
    row: usize,
}

/// What is known of a run that parts have told of.
struct Known<'p> {
    hash: &'p str,
    file: usize,
    details: [Option<(&'p str, Place)>; 2],
}

impl Stored {
    /// Returns the number of runs.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there is no run.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the row of a run, if it is there.
    pub fn row(&self, run_id: &str) -> Option<usize> {
        self.rows.get(run_id).copied()
    }

    /// Returns whether a run has a detail in any part.
    pub fn has(&self, run_id: &str, detail: Detail) -> bool {
        self.place(run_id, detail).is_some()
    }

    /// Forgets the runs that ended well and lack one of these details: they are not done. Their
    /// rows stay in the frame.
    ///
    /// # Errors
    ///
    /// When a run has no status.
    pub fn require(&mut self, details: &[Detail]) -> Result<(), TableError> {
        if details.is_empty() || self.rows.is_empty() {
            return Ok(());
        }
        let statuses = texts(&self.frame, STATUS)?;
        let places = &self.places;
        self.rows.retain(|_, row| {
            let has = |detail: &Detail| places[*row][*detail as usize].is_some();
            statuses[*row] != OK || details.iter().all(has)
        });
        Ok(())
    }

    /// Forgets the runs of which `is_done` says that they are not done.
    pub fn retain(&mut self, is_done: impl Fn(&str) -> bool) {
        self.rows.retain(|run_id, _| is_done(run_id));
    }

    /// Returns the files that have a detail of some runs, with the rows there.
    pub(super) fn rows_by_part(
        &self,
        detail: Detail,
        run_ids: &[&str],
    ) -> Vec<(&Path, Vec<usize>)> {
        let mut rows: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for place in run_ids.iter().filter_map(|run_id| self.place(run_id, detail)) {
            rows.entry(place.file).or_default().push(place.row);
        }
        rows.into_iter().map(|(file, rows)| (self.files[file].as_path(), rows)).collect()
    }

    fn place(&self, run_id: &str, detail: Detail) -> Option<Place> {
        self.places[self.row(run_id)?][detail as usize]
    }

    /// Returns the rows of some runs in the order they are asked for, without those that are not
    /// there.
    ///
    /// # Errors
    ///
    /// When there are more than a table can have.
    pub fn select<'a>(&self, run_ids: impl Iterator<Item = &'a str>) -> Result<Frame, TableError> {
        let rows: Vec<usize> = run_ids.filter_map(|run_id| self.row(run_id)).collect();
        take(&self.frame, &rows)
    }

    /// Puts the runs of all parts together; `root` is what errors call the store.
    pub(super) fn of(
        root: &Path,
        fingerprint: &str,
        loaded: Vec<(PathBuf, Loaded)>,
        strangers: Vec<PathBuf>,
    ) -> Result<Self, StoreError> {
        let fingerprint = fingerprint.to_owned();
        let mut stored = Self { strangers, fingerprint, ..Self::default() };
        let mut parts = Vec::new();
        for (path, loaded) in loaded {
            match loaded {
                Loaded::Ours(frame) => parts.push((path, frame)),
                Loaded::Other(engine) => *stored.others.entry(engine).or_default() += 1,
                Loaded::Damaged(why) => stored.damaged.push(Damaged { path, why }),
            }
        }
        let fault = |source| StoreError::Rows { path: root.to_owned(), source };
        stored.rows.reserve(parts.iter().map(|(_, frame)| frame.height()).sum());
        let marks = stored.union(root, &parts)?;
        let mut frames = Vec::with_capacity(parts.len());
        for ((path, frame), marks) in parts.into_iter().zip(marks) {
            stored.files.push(path);
            let all = marks.iter().all(|mark| *mark);
            frames.push(if all { frame } else { keep(&frame, &marks).map_err(fault)? });
        }
        stored.frame = stack(frames, &[RUN_ID, RESULT_HASH]).map_err(fault)?;
        Ok(stored)
    }

    /// Numbers the runs and marks, part by part, the rows that say something new.
    fn union(
        &mut self,
        root: &Path,
        parts: &[(PathBuf, Frame)],
    ) -> Result<Vec<Vec<bool>>, StoreError> {
        let fault = |source| StoreError::Rows { path: root.to_owned(), source };
        let mut all_known: Vec<Known<'_>> = Vec::new();
        let mut all_marks = Vec::with_capacity(parts.len());
        for (file, (path, frame)) in parts.iter().enumerate() {
            let ids = texts(frame, RUN_ID).map_err(fault)?;
            let hashes = texts(frame, RESULT_HASH).map_err(fault)?;
            let details = Detail::ALL.map(|detail| texts_or_null(frame, detail.hash_column()));
            let mut marks = Vec::with_capacity(ids.len());
            for (row, (run_id, hash)) in ids.into_iter().zip(hashes).enumerate() {
                let own =
                    details.each_ref().map(|hashes| Some((hashes[row]?, Place { file, row })));
                let new = Known { hash, file, details: own };
                let known = self.rows.get(run_id).map(|row| &mut all_known[*row]);
                marks.push(known.is_none());
                match known {
                    Some(known) => known.add(&new).map_err(|first| StoreError::Conflict {
                        run_id: run_id.to_owned(),
                        first: parts[first].0.clone(),
                        second: path.clone(),
                    })?,
                    None => {
                        self.rows.insert(run_id.into(), all_known.len());
                        all_known.push(new);
                    }
                }
            }
            all_marks.push(marks);
        }
        let place = |detail: Option<(&str, Place)>| detail.map(|(_, place)| place);
        self.places = all_known.into_iter().map(|known| known.details.map(place)).collect();
        Ok(all_marks)
    }
}

impl Known<'_> {
    /// Takes over the details that are new, or returns the file whose results differ.
    fn add(&mut self, other: &Self) -> Result<(), usize> {
        if self.hash != other.hash {
            return Err(self.file);
        }
        for (own, other) in self.details.iter_mut().zip(other.details) {
            match (&own, other) {
                (Some((hash, place)), Some((other, _))) if *hash != other => {
                    return Err(place.file);
                }
                (None, Some(_)) => *own = other,
                (Some(_), _) | (None, None) => {}
            }
        }
        Ok(())
    }
}
