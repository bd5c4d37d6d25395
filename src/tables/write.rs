//! Tables to files.

use std::io::Write;

use polars::error::PolarsError;
use polars::frame::DataFrame;
use polars::io::parquet::write::{KeyValueMetadata, ParquetWriter, StatisticsOptions};
use polars::prelude::{CsvWriter, ParquetCompression, SerWriter as _};

use super::SCHEMA_VERSION;

/// A table that could not be made or written.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TableError(#[from] PolarsError);

/// Facts that stand in a Parquet file beside its rows, by key.
#[derive(Clone, Debug, Default)]
pub struct Metadata(pub Vec<(String, String)>);

/// Writes a table as Parquet, with the schema version and `metadata` in its footer.
///
/// # Errors
///
/// When `out` can't take it.
pub fn write_parquet(
    frame: &mut DataFrame,
    metadata: &Metadata,
    out: &mut dyn Write,
) -> Result<(), TableError> {
    writer(metadata, out).finish(frame)?;
    Ok(())
}

/// Writes a table of few rows as [`write_parquet`] does, to be read soon and often: without
/// compression, which takes longer to set up for a column of so few values than to read it, and
/// without statistics.
///
/// # Errors
///
/// When `out` can't take it.
pub fn write_small_parquet(
    frame: &mut DataFrame,
    metadata: &Metadata,
    out: &mut dyn Write,
) -> Result<(), TableError> {
    let writer = writer(metadata, out).with_compression(ParquetCompression::Uncompressed);
    writer.with_statistics(StatisticsOptions::empty()).finish(frame)?;
    Ok(())
}

fn writer<'a>(metadata: &Metadata, out: &'a mut dyn Write) -> ParquetWriter<&'a mut dyn Write> {
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
