//! The folder of results of a sweep.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::store::{Store, Stored};
use crate::sweep::{Block, LongTableError, long_like, write_long};
use crate::tables::{Detail, Frame, Metadata, TableError, TwoWriters};

use super::error::CliError;
use super::output::{OutputFile, Watched};

/// The file that is written last: a folder that has it is whole.
pub(super) const SEAL: &str = "provenance.json";
/// The manifest, with what it extends and what was set from outside.
pub(super) const MANIFEST: &str = "manifest.toml";
/// Key of the seal: bytes of each table, by its name.
pub(super) const LENGTHS: &str = "table_bytes";

/// Name of the table of searches.
pub(super) const CAPACITY: &str = "capacity";

/// The files of a sweep's results, open but without their names.
#[derive(Debug)]
pub(super) struct ResultFiles {
    runs: TwoFiles,
    cells: TwoFiles,
    wide: TwoFiles,
    long: Vec<(Detail, TwoFiles)>,
    /// Tables that are written in one piece, by name.
    whole: Vec<(&'static str, TwoFiles)>,
    manifest: OutputFile,
    provenance: OutputFile,
    folder: PathBuf,
}

/// The tables on their way into the files, block by block.
pub(super) struct ResultWriters<'a> {
    files: ResultFiles,
    stored: (&'a Store, &'a Stored),
    runs: TableWriters,
    cells: TableWriters,
    wide: TableWriters,
    long: Vec<TableWriters>,
}

/// Tables without rows, which have the columns of all.
pub(super) struct Likes<'a> {
    pub(super) runs: &'a Frame,
    pub(super) cells: &'a Frame,
    pub(super) wide: &'a Frame,
}

/// Tables in one piece, each where a manifest asks for it.
pub(super) const COMPARISONS: [&str; 2] = ["comparisons", "best"];

type TableWriters = TwoWriters<Watched>;

/// Keys of the seal that say which results the tables have.
const SAME: [&str; 8] = [
    "tables_schema_version",
    "routesim_version",
    "engine",
    "cells",
    "runs",
    "inputs",
    "failed_runs",
    "missing_runs",
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
    whole && SAME.iter().all(|key| seal[key] == provenance[key]) && read(MANIFEST) == manifest
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

    fn begin(&self, like: &Frame, metadata: &Metadata) -> Result<TableWriters, CliError> {
        let (parquet, csv) = (self.parquet.writer()?, self.csv.writer()?);
        self.told(TwoWriters::begin(like, metadata, parquet, csv))
    }

    fn write(&self, writers: &mut TableWriters, rows: &mut Frame) -> Result<(), CliError> {
        self.told(writers.write(rows))
    }

    fn finish(&self, writers: TableWriters) -> Result<(), CliError> {
        self.told(writers.finish())?;
        self.parquet.sync()?;
        self.csv.sync()
    }

    /// Both files stand beside one another: when one can't be written, nor can the other.
    fn told<T>(&self, written: Result<T, TableError>) -> Result<T, CliError> {
        written.map_err(|error| self.parquet.refused(&error))
    }
}

impl ResultFiles {
    /// Makes the folder and opens every file, so that a place that can't be written is found
    /// before the work.
    pub(super) fn create(
        folder: &Path,
        details: &[Detail],
        whole: &[&'static str],
    ) -> Result<Self, CliError> {
        fs::create_dir_all(folder).map_err(|error| {
            CliError::new(format!("{}: cannot be made: {error}", folder.display()))
                .hint("choose another folder with --out")
        })?;
        let long = |detail: &Detail| Ok((*detail, TwoFiles::create(folder, detail.name())?));
        Ok(Self {
            long: details.iter().map(long).collect::<Result<_, CliError>>()?,
            whole: whole
                .iter()
                .map(|name| Ok((*name, TwoFiles::create(folder, name)?)))
                .collect::<Result<_, CliError>>()?,
            runs: TwoFiles::create(folder, "runs")?,
            cells: TwoFiles::create(folder, "cells")?,
            wide: TwoFiles::create(folder, "cells_wide")?,
            manifest: OutputFile::create(&folder.join(MANIFEST))?,
            provenance: OutputFile::create(&folder.join(SEAL))?,
            folder: folder.to_owned(),
        })
    }

    /// Begins the tables of what was gathered from a store.
    pub(super) fn begin<'a>(
        self,
        stored: (&'a Store, &'a Stored),
        like: &Likes<'_>,
        metadata: &Metadata,
    ) -> Result<ResultWriters<'a>, CliError> {
        let long = |(detail, files): &(Detail, TwoFiles)| {
            files.begin(&long_like(*detail, like.runs)?, metadata)
        };
        Ok(ResultWriters {
            runs: self.runs.begin(like.runs, metadata)?,
            cells: self.cells.begin(like.cells, metadata)?,
            wide: self.wide.begin(like.wide, metadata)?,
            long: self.long.iter().map(long).collect::<Result<_, CliError>>()?,
            files: self,
            stored,
        })
    }

    /// Returns how long each table is, by its name.
    fn lengths(&self) -> Result<serde_json::Map<String, Value>, CliError> {
        let tables = [("runs", &self.runs), ("cells", &self.cells), ("cells_wide", &self.wide)];
        let long = self.long.iter().map(|(detail, files)| (detail.name(), files));
        let mut lengths = serde_json::Map::new();
        let whole = self.whole.iter().map(|(name, files)| (*name, files));
        for (name, table) in tables.into_iter().chain(long).chain(whole) {
            lengths.insert(format!("{name}.parquet"), table.parquet.len()?.into());
            lengths.insert(format!("{name}.csv"), table.csv.len()?.into());
        }
        Ok(lengths)
    }

    /// Removes a table of an earlier manifest that this one does not have.
    fn remove_table(&self, name: &str) -> Result<(), CliError> {
        self.remove(&format!("{name}.parquet"))?;
        self.remove(&format!("{name}.csv"))
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

impl ResultWriters<'_> {
    /// Writes the rows of some runs.
    pub(super) fn add_runs(&mut self, block: &mut Block) -> Result<(), CliError> {
        for ((detail, files), writers) in self.files.long.iter().zip(&mut self.long) {
            match write_long(self.stored, block, *detail, writers) {
                Err(LongTableError::Table(error)) => files.told(Err(error))?,
                written => written?,
            }
        }
        self.files.runs.write(&mut self.runs, &mut block.runs)
    }

    /// Writes the rows of some cells.
    pub(super) fn add_cells(
        &mut self,
        cells: &mut Frame,
        wide: &mut Frame,
    ) -> Result<(), CliError> {
        self.files.cells.write(&mut self.cells, cells)?;
        self.files.wide.write(&mut self.wide, wide)
    }

    /// Writes a table that is in one piece.
    pub(super) fn add_whole(
        &self,
        name: &str,
        table: &mut Frame,
        metadata: &Metadata,
    ) -> Result<(), CliError> {
        for (_, files) in self.files.whole.iter().filter(|(own, _)| *own == name) {
            let mut writers = files.begin(table, metadata)?;
            files.write(&mut writers, table)?;
            files.finish(writers)?;
        }
        Ok(())
    }

    /// Ends the tables. Everything was written under other names, so that a full disk leaves what
    /// was there. Now the old seal goes and the new one comes last: a folder with files of two
    /// sweeps has none.
    pub(super) fn finish(self, manifest: &str, mut provenance: Value) -> Result<(), CliError> {
        let Self { mut files, runs, cells, wide, long, .. } = self;
        files.runs.finish(runs)?;
        files.cells.finish(cells)?;
        files.wide.finish(wide)?;
        for ((_, files), writers) in files.long.iter().zip(long) {
            files.finish(writers)?;
        }
        files.manifest.fill(|out| out.write_all(manifest.as_bytes()))?;
        provenance[LENGTHS] = files.lengths()?.into();
        files.provenance.fill(|out| writeln!(out, "{provenance:#}"))?;
        files.remove(SEAL)?;
        sync_folder(&files.folder);
        // Distributions of an earlier manifest are not those of these runs.
        let asked = |detail: &Detail| files.long.iter().any(|(own, _)| own == detail);
        let details = Detail::ALL.into_iter().filter(|detail| !asked(detail)).map(Detail::name);
        let is_whole = |name: &&str| files.whole.iter().any(|(own, _)| own == name);
        let others = COMPARISONS.into_iter().chain([CAPACITY]).filter(|name| !is_whole(name));
        for name in details.chain(others) {
            files.remove_table(name)?;
        }
        let tables = [files.runs, files.cells, files.wide];
        let tables = tables.into_iter().chain(files.long.into_iter().map(|(_, files)| files));
        let tables = tables.chain(files.whole.into_iter().map(|(_, files)| files));
        let tables = tables.flat_map(|table| [table.parquet, table.csv]);
        for file in tables.chain([files.manifest]) {
            file.publish()?;
        }
        sync_folder(&files.folder);
        files.provenance.publish()?;
        sync_folder(&files.folder);
        Ok(())
    }
}

/// Brings the names of a folder to the disk, in the order in which they were given; where a system
/// can't do that for a folder, nothing more can be done.
pub(super) fn sync_folder(folder: &Path) {
    drop(fs::File::open(folder).and_then(|folder| folder.sync_all()));
}
