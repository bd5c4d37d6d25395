//! The folder of results of a sweep.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::tables::{Frame, Metadata, TableError, write_csv, write_parquet};

use super::error::CliError;
use super::output::OutputFile;

/// The file that is written last: a folder that has it is whole.
const SEAL: &str = "provenance.json";

/// The files of a sweep's results, open but without their names.
#[derive(Debug)]
pub(super) struct ResultFiles {
    runs: TwoFiles,
    cells: TwoFiles,
    wide: TwoFiles,
    manifest: OutputFile,
    provenance: OutputFile,
    seal: PathBuf,
}

/// What goes into them.
pub(super) struct Results<'a> {
    pub(super) runs: &'a mut Frame,
    pub(super) cells: &'a mut Frame,
    pub(super) wide: &'a mut Frame,
    pub(super) metadata: &'a Metadata,
    pub(super) manifest: &'a str,
    pub(super) provenance: &'a Value,
}

/// A table as Parquet and as CSV.
#[derive(Debug)]
struct TwoFiles {
    parquet: OutputFile,
    csv: OutputFile,
}

impl TwoFiles {
    fn create(folder: &Path, name: &str) -> Result<Self, CliError> {
        let file = |ending: &str| OutputFile::create(&folder.join(format!("{name}.{ending}")));
        Ok(Self { parquet: file("parquet")?, csv: file("csv")? })
    }

    fn fill(&mut self, frame: &mut Frame, metadata: &Metadata) -> Result<(), CliError> {
        self.parquet.fill(|out| table(write_parquet(frame, metadata, out)))?;
        self.csv.fill(|out| table(write_csv(frame, out)))
    }
}

impl ResultFiles {
    /// Makes the folder and opens every file, so that a place that can't be written is found
    /// before the work.
    pub(super) fn create(folder: &Path) -> Result<Self, CliError> {
        fs::create_dir_all(folder).map_err(|error| {
            CliError::new(format!("{}: cannot be made: {error}", folder.display()))
                .hint("choose another folder with --out")
        })?;
        Ok(Self {
            runs: TwoFiles::create(folder, "runs")?,
            cells: TwoFiles::create(folder, "cells")?,
            wide: TwoFiles::create(folder, "cells_wide")?,
            manifest: OutputFile::create(&folder.join("manifest.toml"))?,
            provenance: OutputFile::create(&folder.join(SEAL))?,
            seal: folder.join(SEAL),
        })
    }

    /// Writes everything under other names first, so that a full disk leaves what was there. Then
    /// the old seal goes and the new one comes last: a folder with files of two sweeps has none.
    pub(super) fn finish(mut self, results: Results<'_>) -> Result<(), CliError> {
        let Results { runs, cells, wide, metadata, manifest, provenance } = results;
        self.runs.fill(runs, metadata)?;
        self.cells.fill(cells, metadata)?;
        self.wide.fill(wide, metadata)?;
        self.manifest.fill(|out| out.write_all(manifest.as_bytes()))?;
        self.provenance.fill(|out| writeln!(out, "{provenance:#}"))?;
        match fs::remove_file(&self.seal) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(CliError::new(format!("{}: {error}", self.seal.display())));
            }
            _ => {}
        }
        let tables = [self.runs, self.cells, self.wide];
        let tables = tables.into_iter().flat_map(|table| [table.parquet, table.csv]);
        for file in tables.chain([self.manifest, self.provenance]) {
            file.publish()?;
        }
        Ok(())
    }
}

fn table(written: Result<(), TableError>) -> io::Result<()> {
    written.map_err(io::Error::other)
}
