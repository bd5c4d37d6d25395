//! What a store holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use crate::tables::{Frame, TableError, keep, stack, take, texts};

use super::error::StoreError;
use super::part::Loaded;
use super::{RESULT_HASH, RUN_ID};

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
    /// Rows by run. Looked up by key only.
    rows: FxHashMap<Box<str>, usize>,
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
        loaded: Vec<(PathBuf, Loaded)>,
        strangers: Vec<PathBuf>,
    ) -> Result<Self, StoreError> {
        let mut stored = Self { strangers, ..Self::default() };
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
        for ((_, frame), marks) in parts.into_iter().zip(marks) {
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
        let mut first: Vec<(&str, usize)> = Vec::new();
        let mut all_marks = Vec::with_capacity(parts.len());
        for (index, (path, frame)) in parts.iter().enumerate() {
            let ids = texts(frame, RUN_ID).map_err(fault)?;
            let hashes = texts(frame, RESULT_HASH).map_err(fault)?;
            let mut marks = Vec::with_capacity(ids.len());
            for (run_id, hash) in ids.into_iter().zip(hashes) {
                let known = self.rows.get(run_id).map(|row| first[*row]);
                marks.push(known.is_none());
                match known {
                    Some((known, part)) if known != hash => {
                        return Err(StoreError::Conflict {
                            run_id: run_id.to_owned(),
                            first: parts[part].0.clone(),
                            second: path.clone(),
                        });
                    }
                    Some(_) => {}
                    None => {
                        self.rows.insert(run_id.into(), first.len());
                        first.push((hash, index));
                    }
                }
            }
            all_marks.push(marks);
        }
        Ok(all_marks)
    }
}
