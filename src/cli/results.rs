//! The folder of results of a sweep.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::store::{Store, Stored};
use crate::sweep::{LongTableError, write_long_table};
use crate::tables::{Detail, Frame, Metadata, TableError, write_csv, write_parquet};

use super::error::CliError;
use super::output::OutputFile;

/// The file that is written last: a folder that has it is whole.
const SEAL: &str = "provenance.json";
const MANIFEST: &str = "manifest.toml";
/// Key of the seal: bytes of each table, by its name.
const LENGTHS: &str = "table_bytes";

/// The files of a sweep's results, open but without their names.
#[derive(Debug)]
pub(super) struct ResultFiles {
    runs: TwoFiles,
    cells: TwoFiles,
    wide: TwoFiles,
    long: Vec<(Detail, TwoFiles)>,
    manifest: OutputFile,
    provenance: OutputFile,
    folder: PathBuf,
}

/// What goes into them.
pub(super) struct Results<'a> {
    pub(super) runs: &'a mut Frame,
    pub(super) cells: &'a mut Frame,
    pub(super) wide: &'a mut Frame,
    /// Where distributions are.
    pub(super) stored: (&'a Store, &'a Stored),
    pub(super) metadata: &'a Metadata,
    pub(super) manifest: &'a str,
    pub(super) provenance: Value,
}

/// Keys of the seal that say which results the tables have.
const SAME: [&str; 7] = [
    "tables_schema_version",
    "routesim_version",
    "engine",
    "cells",
    "runs",
    "inputs",
    "failed_runs",
];

/// Returns whether a folder has the whole tables of a manifest all of whose runs are done, as
/// `provenance` would say it. Runs that are done have one result: their tables are the same bytes.
pub(super) fn are_current(folder: &Path, manifest: &str, provenance: &Value) -> bool {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let Ok(seal) = serde_json::from_str::<Value>(&read(SEAL)) else { return false };
    let lengths = seal[LENGTHS].as_object();
    let whole = lengths.is_some_and(|lengths| {
        !lengths.is_empty()
            && lengths.iter().all(|(name, length)| {
                let there = fs::metadata(folder.join(name)).map(|file| file.len()).ok();
                there.is_some() && there == length.as_u64()
            })
    });
    whole
        && SAME.iter().all(|key| seal[key] == provenance[key])
        && seal["missing_runs"] == 0
        && seal["failed_runs"] == 0
        && read(MANIFEST) == manifest
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

    /// Fills both at once: a long table is not in memory.
    fn fill_long(
        &mut self,
        write: impl FnOnce(&mut dyn io::Write, &mut dyn io::Write) -> Result<(), LongTableError>,
    ) -> Result<(), CliError> {
        let mut read = Ok(());
        self.parquet.fill(|parquet| {
            let csv = self.csv.fill(|csv| match write(parquet, csv) {
                Err(LongTableError::Table(error)) => table(Err(error)),
                other => {
                    read = other;
                    Ok(())
                }
            });
            csv.map_err(|error| io::Error::other(error.message))
        })?;
        Ok(read?)
    }
}

impl ResultFiles {
    /// Makes the folder and opens every file, so that a place that can't be written is found
    /// before the work.
    pub(super) fn create(folder: &Path, details: &[Detail]) -> Result<Self, CliError> {
        fs::create_dir_all(folder).map_err(|error| {
            CliError::new(format!("{}: cannot be made: {error}", folder.display()))
                .hint("choose another folder with --out")
        })?;
        let long = |detail: &Detail| Ok((*detail, TwoFiles::create(folder, detail.name())?));
        Ok(Self {
            long: details.iter().map(long).collect::<Result<_, CliError>>()?,
            runs: TwoFiles::create(folder, "runs")?,
            cells: TwoFiles::create(folder, "cells")?,
            wide: TwoFiles::create(folder, "cells_wide")?,
            manifest: OutputFile::create(&folder.join(MANIFEST))?,
            provenance: OutputFile::create(&folder.join(SEAL))?,
            folder: folder.to_owned(),
        })
    }

    /// Writes everything under other names first, so that a full disk leaves what was there. Then
    /// the old seal goes and the new one comes last: a folder with files of two sweeps has none.
    pub(super) fn finish(mut self, results: Results<'_>) -> Result<(), CliError> {
        let Results { runs, cells, wide, stored, metadata, manifest, mut provenance } = results;
        for (detail, files) in &mut self.long {
            files.fill_long(|parquet, csv| {
                write_long_table(stored, runs, *detail, metadata, (parquet, csv))
            })?;
        }
        self.runs.fill(runs, metadata)?;
        self.cells.fill(cells, metadata)?;
        self.wide.fill(wide, metadata)?;
        self.manifest.fill(|out| out.write_all(manifest.as_bytes()))?;
        provenance[LENGTHS] = self.lengths()?.into();
        self.provenance.fill(|out| writeln!(out, "{provenance:#}"))?;
        self.remove(SEAL)?;
        // Distributions of an earlier manifest are not those of these runs.
        let asked = |detail: &Detail| self.long.iter().any(|(own, _)| own == detail);
        for detail in Detail::ALL.into_iter().filter(|detail| !asked(detail)) {
            self.remove(&format!("{}.parquet", detail.name()))?;
            self.remove(&format!("{}.csv", detail.name()))?;
        }
        let tables = [self.runs, self.cells, self.wide];
        let tables = tables.into_iter().chain(self.long.into_iter().map(|(_, files)| files));
        let tables = tables.flat_map(|table| [table.parquet, table.csv]);
        for file in tables.chain([self.manifest, self.provenance]) {
            file.publish()?;
        }
        Ok(())
    }

    /// Returns how long each table is, by its name.
    fn lengths(&self) -> Result<serde_json::Map<String, Value>, CliError> {
        let tables = [("runs", &self.runs), ("cells", &self.cells), ("cells_wide", &self.wide)];
        let long = self.long.iter().map(|(detail, files)| (detail.name(), files));
        let mut lengths = serde_json::Map::new();
        for (name, table) in tables.into_iter().chain(long) {
            lengths.insert(format!("{name}.parquet"), table.parquet.len()?.into());
            lengths.insert(format!("{name}.csv"), table.csv.len()?.into());
        }
        Ok(lengths)
    }

    /// Removes a file of the folder, if it is there.
    fn remove(&self, name: &str) -> Result<(), CliError> {
        let path = self.folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(CliError::new(format!("{}: {error}", path.display())))
            }
            _ => Ok(()),
        }
    }
}

fn table(written: Result<(), TableError>) -> io::Result<()> {
    written.map_err(io::Error::other)
}
