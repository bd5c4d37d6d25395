//! Tables to files.

use std::io::Write;

use polars::error::PolarsError;
use polars::frame::DataFrame;
use polars::io::parquet::write::{
    BatchedWriter, KeyValueMetadata, ParquetWriter, StatisticsOptions,
};
use polars::prelude::{CsvWriter, ParquetCompression, SerWriter as _};

use super::SCHEMA_VERSION;
use super::schema::columns_json;

/// The fact of a footer that says what its columns mean.
const COLUMNS_KEY: &str = "routesim.columns_json";

/// A table that could not be made or written.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TableError(#[from] PolarsError);

impl Metadata {
    /// Adds what the columns of a table mean.
    fn describing(&self, frame: &DataFrame) -> Self {
        let mut pairs = self.0.clone();
        pairs.push((COLUMNS_KEY.to_owned(), columns_json(frame)));
        Self(pairs)
    }
}

impl TableError {
    /// A table that is not as it must be.
    pub(crate) fn wrong(message: String) -> Self {
        Self(PolarsError::ComputeError(message.into()))
    }
}

/// Facts that stand in a Parquet file beside its rows, by key.
#[derive(Clone, Debug, Default)]
pub struct Metadata(pub Vec<(String, String)>);

/// Writes one table as Parquet and as CSV, a batch of rows at a time: no more than a batch is in
/// memory.
pub struct TwoWriters<W: Write> {
    parquet: BatchedWriter<W>,
    csv: W,
}

impl<W: Write> TwoWriters<W> {
    /// Begins the files of a table whose columns are those of `like`.
    ///
    /// # Errors
    ///
    /// When they can't be written.
    pub fn begin(
        like: &DataFrame,
        metadata: &Metadata,
        parquet: W,
        mut csv: W,
    ) -> Result<Self, TableError> {
        let mut none = like.clear();
        CsvWriter::new(&mut csv).finish(&mut none)?;
        let parquet = writer(&metadata.describing(&none), parquet).batched(none.schema())?;
        Ok(Self { parquet, csv })
    }

    /// Writes a batch of rows: one row group.
    ///
    /// # Errors
    ///
    /// When they can't be written, or have other columns.
    pub fn write(&mut self, rows: &mut DataFrame) -> Result<(), TableError> {
        rows.rechunk_mut();
        self.parquet.write_batch(rows)?;
        write_csv_rows(rows, &mut self.csv)
    }

    /// Ends the files.
    ///
    /// # Errors
    ///
    /// When they can't be written.
    pub fn finish(mut self) -> Result<(), TableError> {
        // This flushes, too.
        self.parquet.finish()?;
        Ok(self.csv.flush().map_err(PolarsError::from)?)
    }
}

/// Writes a table as Parquet, with the schema version, `metadata` and what its columns mean in its
/// footer.
///
/// # Errors
///
/// When `out` can't take it.
pub fn write_parquet(
    frame: &mut DataFrame,
    metadata: &Metadata,
    out: &mut dyn Write,
) -> Result<(), TableError> {
    writer(&metadata.describing(frame), out).finish(frame)?;
    Ok(())
}

/// Writes a table of few rows as [`write_parquet`] does, to be read soon and often: without
/// compression, which takes longer to set up for a column of so few values than to read it, and
/// without statistics. A table with lists has many values, and is compressed.
///
/// # Errors
///
/// When `out` can't take it.
pub fn write_small_parquet(
    frame: &mut DataFrame,
    metadata: &Metadata,
    out: &mut dyn Write,
) -> Result<(), TableError> {
    let has_lists = frame.columns().iter().any(|column| column.dtype().is_list());
    let uncompressed = ParquetCompression::Uncompressed;
    let compression = if has_lists { ParquetCompression::Zstd(None) } else { uncompressed };
    let writer = writer(metadata, out).with_compression(compression);
    writer.with_statistics(StatisticsOptions::empty()).finish(frame)?;
    Ok(())
}

fn writer<W: Write>(metadata: &Metadata, out: W) -> ParquetWriter<W> {
    let mut pairs = vec![("routesim.schema_version".to_owned(), SCHEMA_VERSION.to_owned())];
    pairs.extend(metadata.0.iter().cloned());
    ParquetWriter::new(out)
        .set_parallel(false)
        .with_key_value_metadata(Some(KeyValueMetadata::from_static(pairs)))
}

/// Writes a table as CSV: comma, `\n`, empty for null, floats in their shortest exact form.
///
/// # Errors
///
/// When `out` can't take it.
pub fn write_csv(frame: &mut DataFrame, out: &mut dyn Write) -> Result<(), TableError> {
    CsvWriter::new(out).finish(frame)?;
    Ok(())
}

/// Writes the rows of a table as [`write_csv`] does, without the names of its columns.
///
/// # Errors
///
/// When `out` can't take them.
pub fn write_csv_rows(frame: &mut DataFrame, out: &mut dyn Write) -> Result<(), TableError> {
    CsvWriter::new(out).include_header(false).finish(frame)?;
    Ok(())
}
