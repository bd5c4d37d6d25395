//! The folder of a store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use crate::tables::{Detail, Frame, TableError, Wanted, stack, take, texts, texts_or_null};

use super::error::StoreError;
use super::files::{IfThere, entries, is_hidden, is_removed, is_there, place, sweep_away};
use super::part::{Loaded, Part, is_as_named, is_part, is_whole, load};
use super::run_id::RunId;
use super::specs::SPECS;
use super::stored::{Damaged, Stored, run_ids};
use super::{NUM_DETAILS, OK, RESULT_HASH, RUN_ID, STATUS, STORE_SCHEMA};

const PARTS: &str = "parts";
const CLAIM: &str = "store.json";

/// Pieces that results are read into: rows of a table in more pieces can't be taken one by one
/// without putting it into one first.
const MOST_PIECES: usize = 8;

/// Parts of a piece, if there are as many.
const LEAST_PARTS: usize = 64;

/// Digits of the folders that parts are spread over.
pub(super) const FOLDER_DIGITS: usize = 2;

/// The store of one sweep. It holds no lock and no open file: clones and other processes may use
/// the same folder at once.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// Which runs a store has, and how they ended.
#[derive(Debug, Default)]
pub struct Index {
    /// Parts that can't be used.
    pub damaged: Vec<Damaged>,
    /// How many parts other engines left, by the engine.
    pub others: BTreeMap<String, usize>,
    /// Files among the parts that are none.
    pub strangers: Vec<PathBuf>,
    /// Looked up by key only.
    runs: FxHashMap<RunId, Ended>,
    /// Runs that are there and lack something: see [`require`](Self::require).
    lacking: FxHashSet<RunId>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
struct Ended {
    is_ok: bool,
    /// Whether it has each detail.
    has: [bool; NUM_DETAILS],
}

/// What `store.json` says.
#[derive(Debug, Deserialize, Serialize)]
struct Claim {
    store_schema: u64,
    sweep: String,
}

impl Store {
    /// Opens the store in a folder, which need not be there: it is made when something is written.
    ///
    /// # Errors
    ///
    /// When there is something that is no folder.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = folder.into();
        match std::fs::metadata(&root) {
            Ok(metadata) if !metadata.is_dir() => {
                Err(StoreError::io(&root)(std::io::ErrorKind::NotADirectory.into()))
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::io(&root)(error))
            }
            Ok(_) | Err(_) => Ok(Self { root }),
        }
    }

    /// Returns the folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes down whose results these are, once, or checks what is written.
    ///
    /// # Errors
    ///
    /// When the folder is another sweep's, or of a later version, holds files but no runs, or can't
    /// be written.
    pub fn claim(&self, sweep: &str) -> Result<(), StoreError> {
        let path = self.root.join(CLAIM);
        if !path.exists() {
            if let Some(found) = self.strange_content()? {
                return Err(StoreError::NotEmpty { path: self.root.clone(), found });
            }
            let claim = Claim { store_schema: STORE_SCHEMA.into(), sweep: sweep.to_owned() };
            let mut text = serde_json::to_string_pretty(&claim).unwrap_or_default();
            text.push('\n');
            place(&path, text.as_bytes(), IfThere::Keep)?;
        }
        let claim = self.read_claim()?;
        if claim.sweep != sweep {
            let expected = sweep.to_owned();
            return Err(StoreError::OtherSweep { path, found: claim.sweep, expected });
        }
        Ok(())
    }

    /// Checks that the folder is a store's, of this version or an earlier one.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn check_claim(&self) -> Result<(), StoreError> {
        self.read_claim().map(drop)
    }

    fn read_claim(&self) -> Result<Claim, StoreError> {
        let path = self.root.join(CLAIM);
        let text = std::fs::read_to_string(&path).map_err(StoreError::io(&path))?;
        let claim: Claim = match serde_json::from_str(&text) {
            Ok(claim) => claim,
            Err(error) => return Err(StoreError::NoClaim { path, what: error.to_string() }),
        };
        if claim.store_schema > STORE_SCHEMA.into() {
            return Err(StoreError::Newer { path, found: claim.store_schema });
        }
        Ok(claim)
    }

    /// Returns a file of a folder that never held runs: somebody else's.
    fn strange_content(&self) -> Result<Option<PathBuf>, StoreError> {
        let mut found = entries(&self.root)?;
        if found.contains(&self.root.join(PARTS)) {
            return Ok(None);
        }
        found.retain(|path| !is_hidden(path));
        Ok(found.into_iter().next())
    }

    /// Adds a batch of finished runs as one part and returns its file. When this returns, the runs
    /// are on the disk.
    ///
    /// `frame` has a column `run_id` and the results; what says where the run stands in a sweep is
    /// the caller's to add again. `fingerprint` is the engine's: see [`Stored`].
    ///
    /// # Errors
    ///
    /// When the batch is empty, has no ids, one of them twice, or columns of other types than text,
    /// numbers and truths, or when it can't be written: then no part of it is there.
    pub fn commit(&self, frame: Frame, fingerprint: &str) -> Result<PathBuf, StoreError> {
        self.check(&frame)?;
        let part = Part::new(frame, fingerprint)
            .map_err(|source| StoreError::Rows { path: self.root.clone(), source })?;
        let path = self.root.join(PARTS).join(&part.name[..FOLDER_DIGITS]).join(&part.name);
        // A file of that name with other bytes is damaged, and these mend it.
        if !is_whole(&path, &part) {
            place(&path, &part.bytes, IfThere::Replace)?;
        }
        Ok(path)
    }

    fn check(&self, frame: &Frame) -> Result<(), StoreError> {
        let wrong = |what: String| Err(StoreError::Batch { path: self.root.clone(), what });
        let ids = texts(frame, RUN_ID)
            .map_err(|source| StoreError::Rows { path: self.root.clone(), source })?;
        if frame.column(RESULT_HASH).is_ok() {
            return wrong(format!("a batch has a column `{RESULT_HASH}` already"));
        }
        if ids.is_empty() {
            return wrong("a batch without runs".to_owned());
        }
        let mut sorted = ids;
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => wrong(format!("run {} stands twice in a batch", pair[0])),
            None => Ok(()),
        }
    }

    /// Reads the finished runs of one engine: the union of all parts, with their results.
    ///
    /// # Errors
    ///
    /// When the folder can't be read, or one run has two different results.
    pub fn read(&self, fingerprint: &str) -> Result<Stored, StoreError> {
        let (parts, strangers) = self.files()?;
        // What a piece is made of does not stay in memory.
        let some = parts.len().div_ceil(MOST_PIECES).max(LEAST_PARTS);
        let pieces = parts.chunks(some).map(|some| {
            let load = |path: &PathBuf| (path.clone(), load(path, fingerprint, Wanted::Results));
            some.par_iter().map(load).collect()
        });
        Stored::of(&self.root, fingerprint, strangers, pieces)
    }

    /// Reads a detail of some runs of `stored`, each of which has it: its lists, in the order that
    /// is asked for. What is in memory at once is that and one part.
    ///
    /// # Errors
    ///
    /// When a part can't be read any more, or a run has no such detail.
    pub fn details(
        &self,
        stored: &Stored,
        detail: Detail,
        run_ids: &[RunId],
    ) -> Result<Frame, StoreError> {
        let columns = detail.columns();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let fault = |source| StoreError::Rows { path: self.root.clone(), source };
        let Some(parts) = stored.rows_by_part(detail, run_ids) else {
            let what = format!("a run without {}", detail.name());
            return Err(StoreError::Lost { path: self.root.clone(), what });
        };
        let (mut frames, mut order) = (Vec::new(), Vec::new());
        for (path, rows) in parts {
            let (rows, own): (Vec<usize>, Vec<usize>) = rows.into_iter().unzip();
            order.extend(own);
            match load(path, &stored.fingerprint, Wanted::Named(&columns)) {
                Loaded::Ours(frame) => frames.push(take(&frame, &rows).map_err(fault)?),
                Loaded::Damaged(what) | Loaded::Other(what) => {
                    return Err(StoreError::Lost { path: path.to_owned(), what });
                }
            }
        }
        let mut all = stack(frames, &[]).map_err(fault)?;
        all.rechunk_mut();
        let mut rows = vec![0; order.len()];
        order.into_iter().enumerate().for_each(|(row, which)| rows[which] = row);
        take(&all, &rows).map_err(fault)
    }

    /// Reads which runs of one engine are finished and how they ended, and not their results. Two
    /// results of one run are not noticed here.
    ///
    /// # Errors
    ///
    /// When the folder can't be read.
    pub fn index(&self, fingerprint: &str) -> Result<Index, StoreError> {
        let (parts, strangers) = self.files()?;
        let mut wanted = vec![RUN_ID, STATUS];
        wanted.extend(Detail::ALL.map(Detail::hash_column));
        let read = |path: PathBuf| {
            let runs = match load(&path, fingerprint, Wanted::Named(&wanted)) {
                Loaded::Ours(frame) => ended(&frame).map_err(|error| error.to_string()),
                Loaded::Other(engine) => return Ok(Err(engine)),
                Loaded::Damaged(why) => Err(why),
            };
            runs.map(Ok).map_err(|why| Damaged { path, why })
        };
        let parts: Vec<_> = parts.into_par_iter().map(read).collect();
        let mut index = Index { strangers, ..Index::default() };
        let runs = parts.iter().flatten().flatten();
        index.runs.reserve(runs.map(Vec::len).sum());
        for part in parts {
            match part {
                Ok(Ok(runs)) => runs.into_iter().for_each(|(run_id, run)| index.add(run_id, run)),
                Ok(Err(engine)) => *index.others.entry(engine).or_default() += 1,
                Err(damaged) => index.damaged.push(damaged),
            }
        }
        Ok(index)
    }

    /// Removes what killed processes left on its way, and events, if they have not been touched
    /// since `before`, and returns those files. Parts stay.
    ///
    /// # Errors
    ///
    /// When a folder can't be read or a file can't be removed.
    pub fn gc(&self, before: SystemTime) -> Result<Vec<PathBuf>, StoreError> {
        let mut removed = sweep_away(&self.root, before)?;
        removed.extend(sweep_away(&self.root.join(SPECS), before)?);
        let folders = self.folders()?.into_iter().chain(self.run_table_folders()?);
        for folder in folders.chain(self.failure_folders()?) {
            removed.extend(sweep_away(&folder, before)?);
        }
        removed.extend(self.forget_events(before)?);
        Ok(removed)
    }

    /// Removes the parts whose content is not what was written, and returns their files: their runs
    /// count as not done already.
    ///
    /// # Errors
    ///
    /// When a folder can't be read or a file can't be removed.
    pub fn discard_damaged(&self) -> Result<Vec<PathBuf>, StoreError> {
        let (parts, _) = self.files()?;
        // What can't be read at the moment is not known to be damaged.
        let is_damaged = |path: &PathBuf| is_as_named(path, path).is_ok_and(|is_whole| !is_whole);
        let mut removed = Vec::new();
        for path in parts.into_par_iter().filter(is_damaged).collect::<Vec<_>>() {
            // Somebody may mend it meanwhile: out of the way, it can't be but what is looked at.
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let aside = path.with_file_name(format!(".tmp-{}-{name}", std::process::id()));
            if !is_there(std::fs::rename(&path, &aside), &path)? {
                continue;
            }
            if is_as_named(&aside, &path).unwrap_or(true) {
                std::fs::rename(&aside, &path).map_err(StoreError::io(&path))?;
            } else if is_removed(&aside)? {
                removed.push(path);
            }
        }
        Ok(removed)
    }

    /// Returns the folders that parts are spread over.
    fn folders(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut folders = entries(&self.root.join(PARTS))?;
        folders.retain(|path| path.is_dir());
        Ok(folders)
    }

    /// Returns the files of parts, and those that are none.
    fn files(&self) -> Result<(Vec<PathBuf>, Vec<PathBuf>), StoreError> {
        let mut files = entries(&self.root.join(PARTS))?;
        files.retain(|path| !path.is_dir());
        for folder in self.folders()? {
            files.extend(entries(&folder)?);
        }
        files.retain(|path| !is_hidden(path));
        Ok(files.into_iter().partition(|path| is_part(path)))
    }
}

impl Index {
    /// Returns the number of runs.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Returns whether there is no run.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Returns whether a run is there.
    pub fn has_run(&self, run_id: RunId) -> bool {
        self.runs.contains_key(&run_id)
    }

    /// Forgets the runs that ended well and lack one of these details: they are not done.
    pub fn require(&mut self, details: &[Detail]) {
        let has = |run: &Ended| details.iter().all(|detail| run.has[*detail as usize]);
        let lacking = &mut self.lacking;
        self.runs.retain(|run_id, run| !run.is_ok || has(run) || !lacking.insert(*run_id));
    }

    /// Forgets the runs of which `is_done` says that they are not done.
    pub fn retain(&mut self, is_done: impl Fn(RunId) -> bool) {
        self.runs.retain(|run_id, _| is_done(*run_id) || !self.lacking.insert(*run_id));
    }

    /// Returns whether a run has ended well, even if it lacks something now.
    pub fn has_results(&self, run_id: RunId) -> bool {
        self.has_run(run_id) || self.lacking.contains(&run_id)
    }

    fn add(&mut self, run_id: RunId, run: Ended) {
        let known = self.runs.entry(run_id).or_insert(run);
        known.has.iter_mut().zip(run.has).for_each(|(known, has)| *known |= has);
    }
}

/// Reads how the runs of a part ended.
fn ended(frame: &Frame) -> Result<Vec<(RunId, Ended)>, TableError> {
    let hashes = Detail::ALL.map(|detail| texts_or_null(frame, detail.hash_column()));
    let statuses = texts(frame, STATUS)?;
    let runs = run_ids(frame)?.into_iter().zip(statuses).enumerate();
    let ended = |(row, (run_id, status)): (usize, (RunId, &str))| {
        let has = hashes.each_ref().map(|hashes| hashes[row].is_some());
        (run_id, Ended { is_ok: status == OK, has })
    };
    Ok(runs.map(ended).collect())
}
