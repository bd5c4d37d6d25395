//! The folder of results of a sweep.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

use crate::tables::{Frame, Metadata, TableError, write_csv, write_parquet};

use super::error::CliError;
use super::output::OutputFile;

/// The file that is written last: a folder that has it is whole.
const SEAL: &str = "provenance.json";

/// The files of a sweep's results, open but without their names.
#[derive(Debug)]
pub(super) struct ResultFiles {
    runs: OutputFile,
    cells: OutputFile,
    cells_csv: OutputFile,
    manifest: OutputFile,
    provenance: OutputFile,
    seal: std::path::PathBuf,
}

/// What goes into them.
pub(super) struct Results<'a> {
    pub(super) runs: &'a mut Frame,
    pub(super) cells: &'a mut Frame,
    pub(super) metadata: &'a Metadata,
    pub(super) manifest: &'a str,
    pub(super) provenance: &'a Value,
}

impl ResultFiles {
    /// Makes the folder and opens every file, so that a place that can't be written is found
    /// before the work.
    pub(super) fn create(folder: &Path) -> Result<Self, CliError> {
        fs::create_dir_all(folder).map_err(|error| {
            CliError::new(format!("{}: cannot be made: {error}", folder.display()))
                .hint("choose another folder with --out")
        })?;
        let file = |name: &str| OutputFile::create(&folder.join(name));
        Ok(Self {
            runs: file("runs.parquet")?,
            cells: file("cells.parquet")?,
            cells_csv: file("cells.csv")?,
            manifest: file("manifest.toml")?,
            provenance: file(SEAL)?,
            seal: folder.join(SEAL),
        })
    }

    /// Writes everything under other names first, so that a full disk leaves what was there. Then
    /// the old seal goes and the new one comes last: a folder with files of two sweeps has none.
    pub(super) fn finish(mut self, results: Results<'_>) -> Result<(), CliError> {
        let Results { runs, cells, metadata, manifest, provenance } = results;
        self.runs.fill(|out| table(write_parquet(runs, metadata, out)))?;
        self.cells.fill(|out| table(write_parquet(cells, metadata, out)))?;
        self.cells_csv.fill(|out| table(write_csv(cells, out)))?;
        self.manifest.fill(|out| out.write_all(manifest.as_bytes()))?;
        self.provenance.fill(|out| writeln!(out, "{provenance:#}"))?;
        match fs::remove_file(&self.seal) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(CliError::new(format!("{}: {error}", self.seal.display())));
            }
            _ => {}
        }
        for file in [self.runs, self.cells, self.cells_csv, self.manifest, self.provenance] {
            file.publish()?;
        }
        Ok(())
    }
}

fn table(written: Result<(), TableError>) -> io::Result<()> {
    written.map_err(io::Error::other)
}
