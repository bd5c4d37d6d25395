//! The table of runs of a folder of results, and what the folder's seal says of it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::results::{LENGTHS, SEAL};
use crate::document::{Document, Table};
use crate::gate::{GateSpec, Source};
use crate::report::shell_quoted;
use crate::tables::{Frame, ParquetFile, SCHEMA_VERSION, Wanted};

pub(super) const RUNS: &str = "runs.parquet";

/// A table of runs.
pub(super) struct SealedRuns {
    /// The folder of results, or the table where that was named.
    pub(super) path: PathBuf,
    /// What the folder's seal says.
    pub(super) seal: Option<Value>,
    /// The table's file.
    pub(super) bytes: Vec<u8>,
}

impl SealedRuns {
    /// Reads a folder of results, which must be whole, or a table of runs by itself.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        let read = |file: &Path| {
            fs::read(file).map_err(|error| {
                CliError::new(format!("{}: {error}", file.display()))
                    .hint("name a folder of results, such as results/nightly, or its runs.parquet")
            })
        };
        if !path.is_dir() {
            return Ok(Self { path: path.to_owned(), seal: None, bytes: read(path)? });
        }
        let seal_path = path.join(SEAL);
        if !seal_path.exists() {
            let message =
                format!("{}: not whole: it has no {SEAL}, which comes last", path.display());
            return Err(CliError::new(message).hint(
                "let the sweep run to its end; of a folder of shards, `merge` makes the tables",
            ));
        }
        let damaged = |why: &str| CliError::new(format!("{}: {why}", seal_path.display()));
        let seal: Value = serde_json::from_slice(&read(&seal_path)?)
            .map_err(|error| damaged(&format!("damaged: {error}")))?;
        let bytes = read(&path.join(RUNS))?;
        let said = seal[LENGTHS][RUNS].as_u64();
        if said != u64::try_from(bytes.len()).ok() {
            let there = bytes.len();
            let said = said.map_or_else(|| "no length".to_owned(), |said| format!("{said} bytes"));
            let message = format!(
                "{}: {there} bytes, but {SEAL} says {said}: cut short, or of another sweep",
                path.join(RUNS).display()
            );
            return Err(CliError::new(message).hint("make the folder again"));
        }
        Ok(Self { path: path.to_owned(), seal: Some(seal), bytes })
    }

    /// Reads the table, and what it says of the engine.
    pub(super) fn table(&self) -> Result<(Frame, Option<String>), CliError> {
        let nonsense = || self.damaged(&"its bytes make no sense");
        quietly(|| self.read_table()).unwrap_or_else(|| Err(nonsense()))
    }

    fn damaged(&self, error: &dyn std::fmt::Display) -> CliError {
        let shown = self.path.display();
        CliError::new(format!("{shown}: the table of runs can't be read: {error}"))
            .hint("it is damaged or no Parquet file: make it again")
    }

    fn read_table(&self) -> Result<(Frame, Option<String>), CliError> {
        let shown = self.path.display();
        let file = ParquetFile::open(&self.bytes).map_err(|error| self.damaged(&error))?;
        match file.metadata("routesim.schema_version") {
            Some(SCHEMA_VERSION) => {}
            None => {
                let message =
                    format!("{shown}: not a table of RouteSim: its footer does not say so");
                return Err(CliError::new(message).hint("name a folder of results"));
            }
            Some(other) => {
                let message = format!(
                    "{shown}: tables of schema version {other}, this program reads {SCHEMA_VERSION}"
                );
                return Err(CliError::new(message).hint("make both sides with one program"));
            }
        }
        let engine = file.metadata("routesim.engine").map(str::to_owned);
        Ok((file.wanted(Wanted::Results).map_err(|error| self.damaged(&error))?, engine))
    }

    /// Returns what a check says of where the runs come from.
    pub(super) fn source(&self, engine: Option<String>) -> Source {
        Source {
            path: self.path.display().to_string(),
            engine,
            missing_runs: self.number("missing_runs"),
            command: self.command(),
        }
    }

    /// Returns a number of the seal.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.seal.as_ref()?[key].as_u64()
    }

    /// Returns a text of the seal.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.seal.as_ref()?[key].as_str()
    }

    fn command(&self) -> Option<String> {
        let words = self.seal.as_ref()?["argv"].as_array()?.iter().filter_map(Value::as_str);
        Some(words.map(shell_quoted).collect::<Vec<_>>().join(" "))
    }

    /// Returns how the manifest of these runs said to judge them; none where nothing says so.
    pub(super) fn gate(&self) -> Result<Option<GateSpec>, CliError> {
        let Some(gate) = self.seal.as_ref().and_then(|seal| seal.get("gate")) else {
            return Ok(None);
        };
        let label = format!("{} [gate]", self.path.join(SEAL).display());
        let text = toml::to_string(&json!({ "gate": gate }))
            .map_err(|error| CliError::new(format!("{label}: {error}")))?;
        let read = |root: &mut Table<'_>| root.section("gate", GateSpec::read);
        Ok(Some(Document::parse(&label, &text)?.settle(read)?))
    }
}

/// Does what may panic over damaged bytes, as decoders do, and then says no more than that it did.
fn quietly<T>(read: impl FnOnce() -> T) -> Option<T> {
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let done = catch_unwind(AssertUnwindSafe(read));
    set_hook(hook);
    done.ok()
}
