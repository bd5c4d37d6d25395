//! Runs that failed: why, for who puts the tables together and for people.
//!
//! They are no results: a run that failed is tried again, and counts as done when a part has it,
//! whatever is here. A batch is a file that is named by its content, a run a line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::digest::{sha256_hex, short_sha256};
use super::error::StoreError;
use super::files::{IfThere, entries, is_hidden, place};
use super::folder::Store;
use super::run_id::RunId;

const FAILURES: &str = "failures";
/// Digits of the name of a file.
const NAME_DIGITS: usize = 32;

/// A run that failed, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct FailedRun {
    /// Its id.
    pub run_id: RunId,
    /// What it is in the column `status`.
    pub status: String,
    /// Why it failed.
    pub error: String,
    /// The rate that its requests had, in requests/s, with all digits that give it back.
    pub realised_rps: Option<String>,
    /// The most events and the most simulated picoseconds that it might have.
    pub limits: [Option<u64>; 2],
}

/// Keeps failures of one engine, each once.
#[derive(Debug)]
pub struct FailureLog {
    store: Store,
    fingerprint: String,
    /// Hashes of the lines that are there, once they have been read.
    known: Option<FxHashSet<String>>,
}

impl FailureLog {
    /// Keeps what became of some runs, as far as that is new.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn keep(&mut self, failed: impl IntoIterator<Item = FailedRun>) -> Result<(), StoreError> {
        let mut lines: BTreeSet<String> = failed.into_iter().map(|run| line(&run)).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let known = match &mut self.known {
            Some(known) => known,
            none => {
                let texts = self.store.failure_texts(&self.fingerprint)?;
                none.insert(texts.iter().flat_map(|text| text.lines()).map(hash).collect())
            }
        };
        // Who fails again fails as before.
        lines.retain(|line| known.insert(hash(line)));
        if lines.is_empty() {
            return Ok(());
        }
        let mut text = lines.into_iter().collect::<Vec<_>>().join("\n");
        text.push('\n');
        let name = &sha256_hex(text.as_bytes())[..NAME_DIGITS];
        let path = self.store.failures_of(&self.fingerprint).join(format!("{name}.jsonl"));
        place(&path, text.as_bytes(), IfThere::Replace)
    }
}

impl Store {
    /// Returns what keeps the failures of an engine. Nothing is read before one comes.
    pub fn failure_log(&self, fingerprint: &str) -> FailureLog {
        FailureLog { store: self.clone(), fingerprint: fingerprint.to_owned(), known: None }
    }

    /// Returns the runs of an engine that failed and that `counts` takes, by id. A line that can't
    /// be read is left out.
    ///
    /// # Errors
    ///
    /// When the folder can't be read.
    pub fn failures(
        &self,
        fingerprint: &str,
        counts: impl Fn(&FailedRun) -> bool,
    ) -> Result<BTreeMap<RunId, FailedRun>, StoreError> {
        let mut all = BTreeSet::new();
        for text in self.failure_texts(fingerprint)? {
            let runs = text.lines().filter_map(|line| serde_json::from_str(line).ok());
            all.extend(runs.filter(&counts));
        }
        // Of two ends of one run the first by text, whichever came when.
        let all = all.into_iter().rev();
        Ok(all.map(|run: FailedRun| (run.run_id, run)).collect())
    }

    /// Returns the folders that failures are in: `gc` takes what is half written there.
    pub(super) fn failure_folders(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut folders = entries(&self.root().join(FAILURES))?;
        folders.retain(|path| path.is_dir());
        Ok(folders)
    }

    fn failure_texts(&self, fingerprint: &str) -> Result<Vec<String>, StoreError> {
        let mut files = entries(&self.failures_of(fingerprint))?;
        files.retain(|path| !is_hidden(path));
        let read = |path: &Path| std::fs::read_to_string(path).ok();
        Ok(files.iter().filter_map(|path| read(path)).collect())
    }

    /// Runs of another engine fail for other reasons.
    fn failures_of(&self, fingerprint: &str) -> PathBuf {
        self.root().join(FAILURES).join(fingerprint)
    }
}

fn hash(line: &str) -> String {
    short_sha256(line)
}

fn line(run: &FailedRun) -> String {
    serde_json::to_string(run).expect("texts and numbers are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> RunId {
        RunId::of(text)
    }

    fn failed(run_id: &str, status: &str) -> FailedRun {
        FailedRun {
            run_id: id(run_id),
            status: status.to_owned(),
            error: "e".to_owned(),
            realised_rps: Some("0.1".to_owned()),
            limits: [Some(3), None],
        }
    }

    #[test]
    fn a_run_that_fails_again_is_kept_once() {
        let name = format!("routesim-failures-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let store = Store::open(&root).unwrap();
        let mut log = store.failure_log("e");
        log.keep([failed("a", "failed"), failed("b", "limited")]).unwrap();
        log.keep([failed("b", "limited")]).unwrap();
        store.failure_log("e").keep([failed("a", "failed")]).unwrap();
        let folder = root.join(FAILURES).join("e");
        assert_eq!(entries(&folder).unwrap().len(), 1);
        log.keep([failed("b", "timeout"), failed("b", "limited")]).unwrap();
        store.failure_log("other").keep([failed("c", "failed")]).unwrap();
        std::fs::write(folder.join("broken.jsonl"), "{\"run_id\":\n\n").unwrap();
        let all = store.failures("e", |_| true).unwrap();
        let shown: BTreeMap<RunId, &str> =
            all.iter().map(|(id, run)| (*id, run.status.as_str())).collect();
        assert_eq!(shown, BTreeMap::from([(id("a"), "failed"), (id("b"), "limited")]));
        let late = store.failures("e", |run| run.status == "timeout").unwrap();
        assert_eq!(late[&id("b")], failed("b", "timeout"));
        std::fs::remove_dir_all(root).unwrap();
    }
}
