//! What cells depend on, kept beside their runs for those who ask what has changed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::tables::{
    Frame, Metadata, ParquetFile, side_by_side, text_column, texts, write_parquet,
};

use super::digest::sha256_hex;
use super::error::StoreError;
use super::files::{IfThere, entries, is_hidden, place};
use super::folder::Store;

pub(super) const SPECS: &str = "specs";
const CELL_ID: &str = "cell_id";
const SPEC: &str = "spec";
/// Digits of the name of a file.
const NAME_DIGITS: usize = 32;

impl Store {
    /// Keeps specs of cells, by id, as one file; nothing when there are none.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn keep_specs(&self, specs: &BTreeMap<&str, String>) -> Result<(), StoreError> {
        if specs.is_empty() {
            return Ok(());
        }
        let folder = self.root().join(SPECS);
        let made = || -> Result<Vec<u8>, crate::tables::TableError> {
            let ids = text_column(CELL_ID, &specs.keys().collect::<Vec<_>>())?;
            let texts = text_column(SPEC, &specs.values().collect::<Vec<_>>())?;
            let mut frame: Frame = side_by_side(&ids, &texts)?;
            let mut bytes = Vec::new();
            write_parquet(&mut frame, &Metadata::default(), &mut bytes)?;
            Ok(bytes)
        };
        let bytes = made().map_err(|source| StoreError::Rows { path: folder.clone(), source })?;
        let name = &sha256_hex(&bytes)[..NAME_DIGITS];
        place(&folder.join(format!("{name}.parquet")), &bytes, IfThere::Replace)
    }

    /// Returns all specs that were kept, by id. A file that can't be read costs what is in it: specs
    /// are for people, no result depends on them.
    ///
    /// # Errors
    ///
    /// When the folder can't be read.
    pub fn specs(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let mut specs = BTreeMap::new();
        for path in self.spec_files()? {
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let Ok(frame) = ParquetFile::open(&bytes).and_then(|file| file.rows(None)) else {
                continue;
            };
            if let (Ok(ids), Ok(texts)) = (texts(&frame, CELL_ID), texts(&frame, SPEC)) {
                let pairs = ids.into_iter().zip(texts);
                specs.extend(pairs.map(|(id, text)| (id.to_owned(), text.to_owned())));
            }
        }
        Ok(specs)
    }

    fn spec_files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut files = entries(&self.root().join(SPECS))?;
        files.retain(|path| !is_hidden(path));
        Ok(files)
    }
}
