//! One part: a batch of finished runs as the bytes of a file.

use std::path::Path;

use crate::tables::{Detail, Frame, Metadata, ParquetFile, TableError, Wanted};
use crate::tables::{
    put_first, row_bytes, select, side_by_side, text_column_or_null, texts, write_small_parquet,
};

use super::digest::{sha256_hex, short_hash};
use super::{RESULT_HASH, RUN_ID, STORE_SCHEMA};

/// Digits of the name of a part.
const NAME_DIGITS: usize = 32;
const ENDING: &str = ".parquet";

/// Facts in the footer of a part.
const SCHEMA_KEY: &str = "routesim.store_schema";
const ENGINE_KEY: &str = "routesim.engine";

/// A part as the bytes of its file.
pub(super) struct Part {
    /// The file's name.
    pub(super) name: String,
    /// What is in it.
    pub(super) bytes: Vec<u8>,
}

/// What the file of a part turned out to be.
#[derive(Debug)]
pub(super) enum Loaded {
    /// Runs of the engine that was asked for.
    Ours(Frame),
    /// Runs of another engine, or in a layout of another version.
    Other(String),
    /// Not what was written; why.
    Damaged(String),
}

impl Part {
    /// Adds the hashes of results and makes the bytes: equal rows give equal bytes.
    pub(super) fn new(frame: Frame, fingerprint: &str) -> Result<Self, TableError> {
        let lists: Vec<String> = Detail::ALL.into_iter().flat_map(Detail::columns).collect();
        let mut no_results: Vec<&str> = lists.iter().map(String::as_str).collect();
        no_results.push(RUN_ID);
        let hashes: Vec<String> =
            row_bytes(&frame, &no_results)?.iter().map(|row| hash(row)).collect();
        let mut frame = with_hashes_of_details(frame)?;
        let ids: Vec<String> = texts(&frame, RUN_ID)?.into_iter().map(str::to_owned).collect();
        frame.drop_in_place(RUN_ID)?;
        let mut frame = put_first(frame, vec![(RUN_ID, ids), (RESULT_HASH, hashes)])?;
        let metadata = Metadata(vec![
            (SCHEMA_KEY.to_owned(), STORE_SCHEMA.to_string()),
            (ENGINE_KEY.to_owned(), fingerprint.to_owned()),
        ]);
        let mut bytes = Vec::new();
        write_small_parquet(&mut frame, &metadata, &mut bytes)?;
        let name = format!("{}{ENDING}", name_of(&bytes));
        Ok(Self { name, bytes })
    }
}

/// Adds a hash over the lists of each detail that the rows have, null where they have none: a run
/// without them has the same results.
fn with_hashes_of_details(mut frame: Frame) -> Result<Frame, TableError> {
    for detail in Detail::ALL {
        let columns = detail.columns();
        if frame.column(&columns[0]).is_err() {
            continue;
        }
        let lists = select(&frame, &columns)?;
        let rows = row_bytes(&lists, &[])?;
        // Not even a name is written for a row without lists.
        let hashes = rows.iter().map(|row| (!row.is_empty()).then(|| hash(row)));
        let hashes = text_column_or_null(detail.hash_column(), hashes.collect())?;
        frame = side_by_side(&frame, &hashes)?;
    }
    Ok(frame)
}

/// 64 bits are enough: a pair of different results must not have one hash, and there are but a few
/// for each run.
fn hash(row: &[u8]) -> String {
    format!("{:016x}", short_hash(row))
}

/// Returns whether a path is that of a part: its name, in the folder of its first two digits.
pub(super) fn is_part(path: &Path) -> bool {
    let text =
        |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_str().map(str::to_owned);
    let folder = path.parent().map(|folder| text(folder.file_name()));
    let (Some(name), Some(Some(folder))) = (text(path.file_name()), folder) else {
        return false;
    };
    let digits = name.strip_suffix(ENDING).unwrap_or_default();
    digits.len() == NAME_DIGITS
        && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        && digits.starts_with(&folder)
        && folder.len() == 2
}

/// Reads a part: its bytes must be those that its name stands for.
pub(super) fn load(path: &Path, fingerprint: &str, wanted: Wanted<'_>) -> Loaded {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return Loaded::Damaged(error.to_string()),
    };
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    if name_of(&bytes) != name {
        return Loaded::Damaged("its content is not what was written".to_owned());
    }
    decode(&bytes, fingerprint, wanted).unwrap_or_else(|error| Loaded::Damaged(error.to_string()))
}

/// Returns whether a file has the content that the name of `path` stands for.
pub(super) fn is_as_named(file: &Path, path: &Path) -> std::io::Result<bool> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(name_of(&std::fs::read(file)?) == name)
}

/// Returns whether a file holds what its name says.
pub(super) fn is_whole(path: &Path, part: &Part) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes == part.bytes)
}

fn decode(bytes: &[u8], fingerprint: &str, wanted: Wanted<'_>) -> Result<Loaded, TableError> {
    let file = ParquetFile::open(bytes)?;
    let Some(engine) = file.metadata(ENGINE_KEY) else {
        return Ok(Loaded::Damaged("a table, but no part of a store".to_owned()));
    };
    let schema = file.metadata(SCHEMA_KEY).unwrap_or_default();
    if schema != STORE_SCHEMA.to_string() {
        return Ok(Loaded::Other(format!("{engine}, store schema {schema}")));
    }
    if engine != fingerprint {
        return Ok(Loaded::Other(engine.to_owned()));
    }
    Ok(Loaded::Ours(file.wanted(wanted)?))
}

fn name_of(bytes: &[u8]) -> String {
    let mut digits = sha256_hex(bytes);
    digits.truncate(NAME_DIGITS);
    digits
}
