//! Tables to files.

use std::io::Write;

use polars::error::PolarsError;
use polars::frame::DataFrame;
use polars::io::parquet::write::{KeyValueMetadata, ParquetWriter};
use polars::prelude::{CsvWriter, SerWriter as _};

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
    let mut pairs = vec![("routesim.schema_version".to_owned(), SCHEMA_VERSION.to_owned())];
    pairs.extend(metadata.0.iter().cloned());
    ParquetWriter::new(out)
        .set_parallel(false)
        .with_key_value_metadata(Some(KeyValueMetadata::from_static(pairs)))
        .finish(frame)?;
    Ok(())
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
