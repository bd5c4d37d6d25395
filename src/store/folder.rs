//! The folder of a store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rayon::prelude::*;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::tables::{Frame, texts};

use super::error::StoreError;
use super::files::{IfThere, entries, is_hidden, place, sweep_away};
use super::part::{Loaded, Part, is_part, is_whole, load};
use super::stored::{Damaged, Stored};
use super::{RESULT_HASH, RUN_ID, STATUS, STORE_SCHEMA};

const PARTS: &str = "parts";
const CLAIM: &str = "store.json";

/// Digits of the folders that parts are spread over.
const FOLDER_DIGITS: usize = 2;

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
    /// Places among the statuses, by run. Looked up by key only.
    runs: FxHashMap<Box<str>, usize>,
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
        let Found { parts, strangers } = self.load(fingerprint, None)?;
        Stored::of(&self.root, parts, strangers)
    }

    /// Reads which runs of one engine are finished and how they ended, and not their results. Two
    /// results of one run are not noticed here.
    ///
    /// # Errors
    ///
    /// When the folder can't be read.
    pub fn index(&self, fingerprint: &str) -> Result<Index, StoreError> {
        let Found { parts, strangers } = self.load(fingerprint, Some(&[RUN_ID, STATUS]))?;
        let mut index = Index { strangers, ..Index::default() };
        index.runs.reserve(parts.iter().map(|(_, loaded)| loaded.num_runs()).sum());
        for (path, loaded) in parts {
            match loaded {
                Loaded::Ours(frame) => index
                    .add(&frame)
                    .map_err(|source| StoreError::Rows { path: path.clone(), source })?,
                Loaded::Other(engine) => *index.others.entry(engine).or_default() += 1,
                Loaded::Damaged(why) => index.damaged.push(Damaged { path, why }),
            }
        }
        Ok(index)
    }

    /// Removes what killed processes left on its way, if it has not been touched since `before`,
    /// and returns those files. Parts stay.
    ///
    /// # Errors
    ///
    /// When a folder can't be read or a file can't be removed.
    pub fn gc(&self, before: SystemTime) -> Result<Vec<PathBuf>, StoreError> {
        let mut removed = sweep_away(&self.root, before)?;
        for folder in self.folders()? {
            removed.extend(sweep_away(&folder, before)?);
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

    fn load(&self, fingerprint: &str, columns: Option<&[&str]>) -> Result<Found, StoreError> {
        let (parts, strangers) = self.files()?;
        let load = |path: PathBuf| {
            let loaded = load(&path, fingerprint, columns);
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
        self.runs.get(run_id).map(|place| self.statuses[*place].as_str())
    }

    fn add(&mut self, frame: &Frame) -> Result<(), crate::tables::TableError> {
        for (run_id, status) in texts(frame, RUN_ID)?.into_iter().zip(texts(frame, STATUS)?) {
            let place = self.statuses.iter().position(|known| known == status);
            let place = place.unwrap_or_else(|| {
                self.statuses.push(status.to_owned());
                self.statuses.len() - 1
            });
            self.runs.insert(run_id.into(), place);
        }
        Ok(())
    }
}
