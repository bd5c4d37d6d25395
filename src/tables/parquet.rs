//! Parquet files of ours, read back.

use std::io::Cursor;

use polars::prelude::{DataFrame, ParallelStrategy, ParquetReader, PlSmallStr, SerReader as _};

use super::details::Detail;
use super::write::TableError;

/// Which columns to read.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// All but the lists of a [`Detail`].
    Results,
    /// Some by name, without those that are not there.
    Named(&'a [&'a str]),
}

/// A Parquet file in memory whose footer has been read.
pub struct ParquetFile<'a> {
    reader: ParquetReader<Cursor<&'a [u8]>>,
    metadata: Vec<(String, String)>,
}

impl<'a> ParquetFile<'a> {
    /// Reads the footer.
    ///
    /// # Errors
    ///
    /// When the bytes are no Parquet file.
    pub fn open(bytes: &'a [u8]) -> Result<Self, TableError> {
        let mut reader = ParquetReader::new(Cursor::new(bytes));
        let pairs = reader.get_metadata()?.key_value_metadata().iter().flatten();
        let text = |pair: Option<&str>| pair.unwrap_or_default().to_owned();
        let metadata = pairs.map(|pair| (pair.key.clone(), text(pair.value.as_deref()))).collect();
        Ok(Self { reader, metadata })
    }

    /// Returns a fact of the footer.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }

    /// Reads the rows on the calling thread: all columns, or some by name.
    ///
    /// # Errors
    ///
    /// When a column is not there, or the bytes can't be decoded.
    pub fn rows(self, columns: Option<&[&str]>) -> Result<DataFrame, TableError> {
        let columns = columns.map(|names| names.iter().map(ToString::to_string).collect());
        let reader = self.reader.with_columns(columns).read_parallel(ParallelStrategy::None);
        Ok(reader.finish()?)
    }

    /// Reads the columns that are wanted, in the order of the file.
    ///
    /// # Errors
    ///
    /// When the bytes can't be decoded.
    pub fn wanted(mut self, wanted: Wanted<'_>) -> Result<DataFrame, TableError> {
        let schema = self.reader.schema()?;
        let is_wanted = |name: &&str| match wanted {
            Wanted::Results => !Detail::has_column(name),
            Wanted::Named(names) => names.contains(name),
        };
        let names = schema.iter_names().map(PlSmallStr::as_str).filter(is_wanted);
        let names: Vec<&str> = names.collect();
        self.rows(Some(&names))
    }
}
