//! The folder of a store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rayon::prelude::*;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::tables::{Detail, Frame, Wanted, in_order_of_ids, stack, take, texts, texts_or_null};

use super::error::StoreError;
use super::files::{IfThere, entries, is_hidden, place, sweep_away};
use super::part::{Loaded, Part, is_part, is_whole, load};
use super::specs::SPECS;
use super::stored::{Damaged, Stored};
use super::{OK, RESULT_HASH, RUN_ID, STATUS, STORE_SCHEMA};

const PARTS: &str = "parts";
const CLAIM: &str = "store.json";

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
    /// Every status that occurs.
    statuses: Vec<String>,
    /// By run: the place of its status, and whether it has each detail. Looked up by key only.
    runs: FxHashMap<Box<str>, (usize, [bool; 2])>,
}

/// What is in the folders of parts.
struct Found {
    parts: Vec<(PathBuf, Loaded)>,
    strangers: Vec<PathBuf>,
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
    /// When the folder is another sweep's, or of a later version, or can't be written.
    pub fn claim(&self, sweep: &str) -> Result<(), StoreError> {
        let path = self.root.join(CLAIM);
        if !path.exists() {
            let claim = Claim { store_schema: STORE_SCHEMA.into(), sweep: sweep.to_owned() };
            let mut text = serde_json::to_string_pretty(&claim).unwrap_or_default();
            text.push('\n');
            place(&path, text.as_bytes(), IfThere::Keep)?;
        }
        let text = std::fs::read_to_string(&path).map_err(StoreError::io(&path))?;
        let claim: Claim = match serde_json::from_str(&text) {
            Ok(claim) => claim,
            Err(error) => return Err(StoreError::NoClaim { path, what: error.to_string() }),
        };
        if claim.store_schema > STORE_SCHEMA.into() {
            return Err(StoreError::Newer { path, found: claim.store_schema });
        }
        if claim.sweep != sweep {
            let expected = sweep.to_owned();
            return Err(StoreError::OtherSweep { path, found: claim.sweep, expected });
        }
        Ok(())
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
        let Found { parts, strangers } = self.load(fingerprint, Wanted::Results)?;
        Stored::of(&self.root, fingerprint, parts, strangers)
    }

    /// Reads a detail of some runs of `stored`, each of which has it: `run_id` and its lists, in the
    /// order that is asked for. What is in memory at once is that and one part.
    ///
    /// # Errors
    ///
    /// When a part can't be read any more, or a run has no such detail.
    pub fn details(
        &self,
        stored: &Stored,
        detail: Detail,
        run_ids: &[&str],
    ) -> Result<Frame, StoreError> {
        let mut columns = detail.columns();
        columns.push(RUN_ID.to_owned());
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let fault = |source| StoreError::Rows { path: self.root.clone(), source };
        let mut frames = Vec::new();
        for (path, rows) in stored.rows_by_part(detail, run_ids) {
            match load(path, &stored.fingerprint, Wanted::Named(&columns)) {
                Loaded::Ours(frame) => frames.push(take(&frame, &rows).map_err(fault)?),
                Loaded::Damaged(what) | Loaded::Other(what) => {
                    return Err(StoreError::Lost { path: path.to_owned(), what });
                }
            }
        }
        let all = stack(frames, &[RUN_ID]).map_err(fault)?;
        in_order_of_ids(&all, run_ids).map_err(fault)
    }

    /// Reads which runs of one engine are finished and how they ended, and not their results. Two
    /// results of one run are not noticed here.
    ///
    /// # Errors
    ///
    /// When the folder can't be read.
    pub fn index(&self, fingerprint: &str) -> Result<Index, StoreError> {
        let [histograms, batches] = Detail::ALL.map(Detail::hash_column);
        let wanted = Wanted::Named(&[RUN_ID, STATUS, histograms, batches]);
        let Found { parts, strangers } = self.load(fingerprint, wanted)?;
        let mut index = Index { strangers, ..Index::default() };
        index.runs.reserve(parts.iter().map(|(_, loaded)| loaded.num_runs()).sum());
        for (path, loaded) in parts {
            match loaded {
                Loaded::Ours(frame) => {
                    if let Err(error) = index.add(&frame) {
                        index.damaged.push(Damaged { path, why: error.to_string() });
                    }
                }
                Loaded::Other(engine) => *index.others.entry(engine).or_default() += 1,
                Loaded::Damaged(why) => index.damaged.push(Damaged { path, why }),
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
        let folders = self.folders()?.into_iter().chain(self.request_folders()?);
        for folder in folders.chain(self.failure_folders()?) {
            removed.extend(sweep_away(&folder, before)?);
        }
        removed.extend(self.forget_events(before)?);
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

    fn load(&self, fingerprint: &str, wanted: Wanted<'_>) -> Result<Found, StoreError> {
        let (parts, strangers) = self.files()?;
        let load = |path: PathBuf| {
            let loaded = load(&path, fingerprint, wanted);
            (path, loaded)
        };
        Ok(Found { parts: parts.into_par_iter().map(load).collect(), strangers })
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

    /// Returns how a run ended, if it has.
    pub fn status(&self, run_id: &str) -> Option<&str> {
        self.runs.get(run_id).map(|(place, _)| self.statuses[*place].as_str())
    }

    /// Forgets the runs that ended well and lack one of these details: they are not done.
    pub fn require(&mut self, details: &[Detail]) {
        let Self { runs, statuses, .. } = self;
        runs.retain(|_, (place, has)| {
            statuses[*place] != OK || details.iter().all(|detail| has[*detail as usize])
        });
    }

    /// Forgets the runs of which `is_done` says that they are not done.
    pub fn retain(&mut self, is_done: impl Fn(&str) -> bool) {
        self.runs.retain(|run_id, _| is_done(run_id));
    }

    fn add(&mut self, frame: &Frame) -> Result<(), crate::tables::TableError> {
        let (run_ids, statuses) = (texts(frame, RUN_ID)?, texts(frame, STATUS)?);
        let hashes = Detail::ALL.map(|detail| texts_or_null(frame, detail.hash_column()));
        for (row, (run_id, status)) in run_ids.into_iter().zip(statuses).enumerate() {
            let place = self.statuses.iter().position(|known| known == status);
            let place = place.unwrap_or_else(|| {
                self.statuses.push(status.to_owned());
                self.statuses.len() - 1
            });
            let (_, has) = self.runs.entry(run_id.into()).or_insert((place, [false; 2]));
            for (has, hashes) in has.iter_mut().zip(&hashes) {
                *has |= hashes[row].is_some();
            }
        }
        Ok(())
    }
}
