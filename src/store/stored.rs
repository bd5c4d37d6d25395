//! What a store holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::tables::{Detail, Frame, TableError, keep, stack, take, texts, texts_or_null};

use super::digest::short_hash_of_digits;
use super::error::StoreError;
use super::part::Loaded;
use super::run_id::RunId;
use super::{NUM_DETAILS, OK, RESULT_HASH, RUN_ID, STATUS};

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
    /// Parts that can't be used.
    pub damaged: Vec<Damaged>,
    /// How many parts other engines left, by the engine.
    pub others: BTreeMap<String, usize>,
    /// Files among the parts that are none.
    pub strangers: Vec<PathBuf>,
    /// Whose runs these are.
    pub(super) fingerprint: String,
    /// A row a run: results by name. In a few pieces, which are not put into one: that would take
    /// as much memory again.
    pub(super) results: Frame,
    /// Rows by run. Looked up by key only.
    pub(super) rows: FxHashMap<RunId, usize>,
    /// Runs that are there and lack something: see [`require`](Self::require).
    lacking: FxHashSet<RunId>,
    /// By row.
    known: Vec<Known>,
    /// The files of parts.
    files: Vec<PathBuf>,
}

/// What parts have told of a run.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Hash over its results.
    hash: u64,
    /// Who told it first.
    file: u32,
    /// The hash over each detail, and where it is.
    details: [Option<(u64, Place)>; NUM_DETAILS],
}

/// A row of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    file: u32,
    row: u32,
}

/// Rows of a part, and for each its place among what was asked for.
type Picks = Vec<(usize, usize)>;

/// The rows of a part, taken apart.
struct Rows {
    run_ids: Vec<RunId>,
    hashes: Vec<u64>,
    details: [Vec<Option<u64>>; NUM_DETAILS],
    results: Frame,
}

impl Rows {
    fn of(mut frame: Frame) -> Result<Self, TableError> {
        let run_ids = run_ids(&frame)?;
        let hashes = texts(&frame, RESULT_HASH)?.into_iter().map(hash).collect::<Result<_, _>>()?;
        let details = Detail::ALL.map(|detail| hashes_of(&frame, detail));
        for name in [RUN_ID, RESULT_HASH] {
            frame.drop_in_place(name)?;
        }
        let results = frame.drop_many(Detail::ALL.map(Detail::hash_column));
        Ok(Self { run_ids, hashes, details, results })
    }
}

/// Returns the column of ids.
pub(super) fn run_ids(frame: &Frame) -> Result<Vec<RunId>, TableError> {
    let id = |text| {
        RunId::parse(text).ok_or_else(|| TableError::wrong(format!("`{text}` is no id of a run")))
    };
    texts(frame, RUN_ID)?.into_iter().map(id).collect()
}

/// Returns the hashes over a detail, none where a run has none.
fn hashes_of(frame: &Frame, detail: Detail) -> Vec<Option<u64>> {
    let texts = texts_or_null(frame, detail.hash_column()).into_iter();
    texts.map(|text| short_hash_of_digits(text?)).collect()
}

fn hash(text: &str) -> Result<u64, TableError> {
    short_hash_of_digits(text).ok_or_else(|| TableError::wrong(format!("`{text}` is no hash")))
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

    /// Returns whether a run is there.
    pub fn has_run(&self, run_id: RunId) -> bool {
        self.rows.contains_key(&run_id)
    }

    /// Returns whether a run has a detail in any part.
    pub fn has(&self, run_id: RunId, detail: Detail) -> bool {
        self.place(run_id, detail).is_some()
    }

    /// Forgets the runs that ended well and lack one of these details: they are not done.
    ///
    /// # Errors
    ///
    /// When a run has no status.
    pub fn require(&mut self, details: &[Detail]) -> Result<(), TableError> {
        if details.is_empty() || self.rows.is_empty() {
            return Ok(());
        }
        let statuses = texts(&self.results, STATUS)?;
        let (known, lacking) = (&self.known, &mut self.lacking);
        self.rows.retain(|run_id, row| {
            let has = |detail: &Detail| known[*row].details[*detail as usize].is_some();
            let is_done = statuses[*row] != OK || details.iter().all(has);
            is_done || !lacking.insert(*run_id)
        });
        Ok(())
    }

    /// Forgets the runs of which `is_done` says that they are not done.
    pub fn retain(&mut self, is_done: impl Fn(RunId) -> bool) {
        self.rows.retain(|run_id, _| is_done(*run_id) || !self.lacking.insert(*run_id));
    }

    /// Returns whether a run has ended well, even if it lacks something now.
    pub fn has_results(&self, run_id: RunId) -> bool {
        self.has_run(run_id) || self.lacking.contains(&run_id)
    }

    /// Returns the files that have a detail of some runs, each with the rows there; none when a run
    /// lacks it.
    pub(super) fn rows_by_part(
        &self,
        detail: Detail,
        run_ids: &[RunId],
    ) -> Option<Vec<(&Path, Picks)>> {
        let mut rows: BTreeMap<u32, Picks> = BTreeMap::new();
        for (which, run_id) in run_ids.iter().enumerate() {
            let Place { file, row } = self.place(*run_id, detail)?;
            rows.entry(file).or_default().push((row as usize, which));
        }
        let path = |file: u32| self.files[file as usize].as_path();
        Some(rows.into_iter().map(|(file, rows)| (path(file), rows)).collect())
    }

    fn place(&self, run_id: RunId, detail: Detail) -> Option<Place> {
        let known = &self.known[*self.rows.get(&run_id)?];
        known.details[detail as usize].map(|(_, place)| place)
    }

    /// Returns the results of some runs in the order they are asked for, without those that are not
    /// there.
    ///
    /// # Errors
    ///
    /// When there are more than a table can have.
    pub fn select(&self, run_ids: impl Iterator<Item = RunId>) -> Result<Frame, TableError> {
        let rows: Vec<usize> =
            run_ids.filter_map(|run_id| self.rows.get(&run_id).copied()).collect();
        take(&self.results, &rows)
    }

    /// Puts together what parts have; `pieces` gives some at a time, `root` is what errors call the
    /// store.
    pub(super) fn of(
        root: &Path,
        fingerprint: &str,
        strangers: Vec<PathBuf>,
        pieces: impl Iterator<Item = Vec<(PathBuf, Loaded)>>,
    ) -> Result<Self, StoreError> {
        let fingerprint = fingerprint.to_owned();
        let mut stored = Self { strangers, fingerprint, ..Self::default() };
        let fault = |source| StoreError::Rows { path: root.to_owned(), source };
        let mut results = Vec::new();
        for loaded in pieces {
            let frames = stored.add(loaded)?;
            let mut piece = stack(frames, &[]).map_err(fault)?;
            piece.rechunk_mut();
            results.push(piece);
        }
        stored.results = stack(results, &[]).map_err(fault)?;
        Ok(stored)
    }

    /// Numbers the runs of some parts and returns the rows that say something new.
    fn add(&mut self, loaded: Vec<(PathBuf, Loaded)>) -> Result<Vec<Frame>, StoreError> {
        let mut frames = Vec::new();
        for (path, loaded) in loaded {
            let rows = match loaded {
                Loaded::Ours(frame) => Rows::of(frame).map_err(|error| error.to_string()),
                Loaded::Other(engine) => {
                    *self.others.entry(engine).or_default() += 1;
                    continue;
                }
                Loaded::Damaged(why) => Err(why),
            };
            match rows {
                Ok(rows) => {
                    self.files.push(path);
                    frames.push(self.union(rows)?);
                }
                Err(why) => self.damaged.push(Damaged { path, why }),
            }
        }
        Ok(frames)
    }

    /// Takes in the rows of the last file, and returns the results of those that are new.
    fn union(&mut self, rows: Rows) -> Result<Frame, StoreError> {
        let file = index(self.files.len() - 1);
        let mut new = Vec::with_capacity(rows.run_ids.len());
        for (row, (run_id, hash)) in rows.run_ids.into_iter().zip(rows.hashes).enumerate() {
            let place = Place { file, row: index(row) };
            let details = rows.details.each_ref().map(|hashes| Some((hashes[row]?, place)));
            let told = Known { hash, file, details };
            let known = self.rows.get(&run_id).map(|row| &mut self.known[*row]);
            new.push(known.is_none());
            match known {
                Some(known) => known.add(&told).map_err(|first| StoreError::Conflict {
                    run_id,
                    first: self.files[first as usize].clone(),
                    second: self.files[file as usize].clone(),
                })?,
                None => {
                    self.rows.insert(run_id, self.known.len());
                    self.known.push(told);
                }
            }
        }
        if new.iter().all(|new| *new) {
            return Ok(rows.results);
        }
        let path = &self.files[file as usize];
        keep(&rows.results, &new).map_err(|source| StoreError::Rows { path: path.clone(), source })
    }
}

/// There are fewer parts, and fewer runs in each, than 32 bits can number.
fn index(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Known {
    /// Takes over the details that are new, or returns the file whose results differ.
    fn add(&mut self, other: &Self) -> Result<(), u32> {
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
