//! Trace formats by name, and the one road from a file to a trace.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use crate::document::did_you_mean;

use super::collect::Columns;
use super::columns::Trace;
use super::row::{ReadReport, RowFault, Rows, TraceError};
use super::sniff::first_row;
use super::{compact, mooncake, otel};

/// How a trace file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line: `ts`, `prompt_tokens`, `gen_tokens` and what is optional.
    #[default]
    Compact,
    /// Mooncake's JSON lines: `timestamp`, `input_length`, `output_length`, `hash_ids`.
    Mooncake,
    /// Spans: OTLP/JSON, Jaeger's JSON, or dumps of OpenTelemetry SDKs.
    Otel,
}

/// How to read a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// How it is written.
    pub format: Format,
    /// Tokens that one of its `hash_ids` stands for; `None` for what the file or its format says.
    pub block_size: Option<u32>,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Compact, Self::Mooncake, Self::Otel];

    /// Every name that [`parse`](Self::parse) takes.
    pub const NAMES: [&str; 6] =
        ["compact_jsonl", "jsonl", "compact", "mooncake", "otel", "opentelemetry"];

    /// Returns the format of that name.
    ///
    /// # Errors
    ///
    /// When no format has the name; the hint says which one is near.
    pub fn parse(name: &str) -> Result<Self, RowFault> {
        match name {
            "compact_jsonl" | "jsonl" | "compact" => Ok(Self::Compact),
            "mooncake" => Ok(Self::Mooncake),
            "otel" | "opentelemetry" => Ok(Self::Otel),
            _ => Err(RowFault::new(format!("unknown trace format `{name}`"))
                .hint(did_you_mean(name, &Self::NAMES))),
        }
    }

    /// Returns its canonical name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compact => "compact_jsonl",
            Self::Mooncake => "mooncake",
            Self::Otel => "otel",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads a file into a trace, with the report of what was read.
///
/// # Errors
///
/// When the file can't be read, a row of it is no request, or all rows together are no trace.
pub fn read_trace(path: &Path, options: &ReadOptions) -> Result<(Trace, ReadReport), TraceError> {
    read_columns(open(path)?, path, options)
}

/// Reads a file of unknown format into a trace: [`Format::sniff`] tells it from the first row.
///
/// # Errors
///
/// As [`read_trace`].
pub fn read_trace_sniffed(
    path: &Path,
    block_size: Option<u32>,
) -> Result<(Trace, ReadReport), TraceError> {
    let label = label_of(path);
    let (reader, format) = sniffed(open(path)?, &label)?;
    read_columns(reader, path, &ReadOptions { format, block_size })
}

/// Returns the format that a file most likely has: see [`Format::sniff`].
///
/// # Errors
///
/// When it can't be read or is no text.
pub fn sniff_file(path: &Path) -> Result<Format, TraceError> {
    Ok(sniffed(open(path)?, &label_of(path))?.1)
}

/// Makes the rows of a file into a trace, with the report of what was read.
///
/// # Errors
///
/// When all rows together are no trace.
pub fn into_trace(rows: Rows, path: &Path) -> Result<(Trace, ReadReport), TraceError> {
    let report = rows.report.clone();
    let trace = rows.into_trace().map_err(|fault| no_trace(fault, &report, path))?;
    Ok((trace, report))
}

/// Reads the rows of a file; `-` is standard input.
///
/// # Errors
///
/// When the file can't be read, or a row of it is no request.
pub fn read_file(path: &Path, options: &ReadOptions) -> Result<Rows, TraceError> {
    read(open(path)?, &label_of(path), options)
}

/// Reads the rows of a stream; `label` is what errors call it.
///
/// # Errors
///
/// When the stream can't be read, or a row of it is no request.
pub fn read(
    mut reader: impl BufRead,
    label: &str,
    options: &ReadOptions,
) -> Result<Rows, TraceError> {
    begin(&mut reader, label, options)?;
    match options.format {
        Format::Compact => compact::read(reader, label, options.block_size),
        Format::Mooncake => mooncake::read(reader, label, options.block_size),
        Format::Otel => otel::read(reader, label),
    }
}

/// Reads a stream into columns, without a row in between where the format has requests one a line.
fn read_columns(
    mut reader: impl BufRead,
    path: &Path,
    options: &ReadOptions,
) -> Result<(Trace, ReadReport), TraceError> {
    let label = label_of(path);
    begin(&mut reader, &label, options)?;
    let mut columns = Columns::default();
    let (_, report) = match options.format {
        Format::Compact => compact::read_into(reader, &label, options.block_size, &mut columns)?,
        Format::Mooncake => mooncake::read_into(reader, &label, options.block_size, &mut columns)?,
        Format::Otel => return into_trace(otel::read(reader, &label)?, path),
    };
    let trace = columns.finish().map_err(|fault| no_trace(fault, &report, path))?;
    Ok((trace, report))
}

/// Checks the options and the first bytes, and skips a byte order mark.
fn begin(reader: &mut impl BufRead, label: &str, options: &ReadOptions) -> Result<(), TraceError> {
    let in_file = |fault| TraceError::File { path: label.to_owned(), fault };
    if options.block_size == Some(0) {
        let fault = RowFault::new("a block size of 0 tokens, expected 1 or more");
        return Err(in_file(fault.hint("leave --block-size out to take the file's own")));
    }
    let start =
        reader.fill_buf().map_err(|source| TraceError::Io { path: label.to_owned(), source })?;
    if let Some(fault) = refuse_binary(start) {
        return Err(in_file(fault));
    }
    // Editors on Windows put a byte order mark before the first character.
    if start.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    Ok(())
}

/// Tells the format of a stream, and returns it with the stream from its start.
pub(super) fn sniffed(
    mut reader: impl BufRead,
    label: &str,
) -> Result<(impl BufRead, Format), TraceError> {
    let (start, row) = first_row(&mut reader)
        .map_err(|source| TraceError::Io { path: label.to_owned(), source })?;
    let format = Format::sniff(&start[row..]);
    Ok((io::Cursor::new(start).chain(reader), format))
}

pub(super) fn open(path: &Path) -> Result<Box<dyn BufRead>, TraceError> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    match File::open(path) {
        Ok(file) => Ok(Box::new(BufReader::with_capacity(1 << 16, file))),
        Err(source) => Err(TraceError::Io { path: label_of(path), source }),
    }
}

pub(super) fn label_of(path: &Path) -> String {
    if path == Path::new("-") { "<stdin>".to_owned() } else { path.display().to_string() }
}

fn no_trace(fault: RowFault, report: &ReadReport, path: &Path) -> TraceError {
    TraceError::File { path: label_of(path), fault: explain_loss(fault, report) }
}

/// Says what became of the rows when none of them was a request.
fn explain_loss(fault: RowFault, report: &ReadReport) -> RowFault {
    if report.emitted > 0 || report.read == 0 {
        return fault;
    }
    let reasons: Vec<String> =
        (report.dropped.iter()).map(|(reason, count)| format!("{count} {reason}")).collect();
    let message = format!("no requests: {} read, {}", report.read, reasons.join(", "));
    RowFault::new(message).hint(
        "a request is a span with both token counts, such as `gen_ai.usage.input_tokens` and \
         `gen_ai.usage.output_tokens`",
    )
}

/// Returns what is wrong with a file that begins as no text does.
pub(super) fn refuse_binary(start: &[u8]) -> Option<RowFault> {
    let compressed = |program: &str| {
        RowFault::new(format!("compressed by {program}, expected text"))
            .hint(format!("unpack it first: `{program} -dc FILE`, read as `-`"))
    };
    match start {
        [0x1f, 0x8b, ..] => Some(compressed("gzip")),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(compressed("zstd")),
        _ if start.iter().take(64).any(|byte| *byte == 0) => Some(
            RowFault::new("not a text file")
                .hint("of the collector's file exporter, only `format: json` can be read"),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn every_name_is_a_format_and_every_canonical_name_is_listed() {
        for name in Format::NAMES {
            let format = Format::parse(name).unwrap();
            assert!(Format::NAMES.contains(&format.name()), "{name}");
        }
        for format in Format::ALL {
            assert_eq!(Format::parse(format.name()), Ok(format));
        }
    }

    #[test]
    fn a_misspelt_format_names_the_near_one() {
        let fault = Format::parse("mooncak").unwrap_err();
        assert_eq!(fault.message, "unknown trace format `mooncak`");
        assert_eq!(fault.hint.unwrap(), "did you mean `mooncake`?");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_trace(Path::new("no/such.jsonl"), &ReadOptions::default()).unwrap_err();
        assert!(error.to_string().starts_with("no/such.jsonl: "), "{error}");
    }

    #[test]
    fn packed_and_binary_files_are_refused_with_a_way_out() {
        for (start, word) in [
            (&b"\x1f\x8b\x08"[..], "gzip"),
            (b"\x28\xb5\x2f\xfd", "zstd"),
            (b"\x0a\x00\x12", "not a text file"),
        ] {
            for format in Format::ALL {
                let options = ReadOptions { format, block_size: None };
                let error = read(start, "t", &options).unwrap_err();
                assert!(error.to_string().contains(word), "{error}");
                assert!(error.hint().is_some());
            }
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_any_format() {
        for (format, text) in [
            (Format::Compact, "\u{feff}{\"ts\": 0, \"prompt_tokens\": 1, \"gen_tokens\": 1}"),
            (
                Format::Mooncake,
                "\u{feff}{\"timestamp\": 0, \"input_length\": 1, \"output_length\": 1}",
            ),
            (Format::Otel, "\u{feff}{\"resourceSpans\": []}"),
        ] {
            let options = ReadOptions { format, block_size: None };
            assert!(read(text.as_bytes(), "t", &options).is_ok(), "{format}");
        }
    }

    #[test]
    fn spans_without_a_request_are_no_trace_and_the_error_says_why() {
        let path = temporary("spans", "{\"spans\": [{\"span_id\": \"1\"}, {\"span_id\": \"2\"}]}");
        let options = ReadOptions { format: Format::Otel, block_size: None };
        let error = read_trace(&path, &options).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            error.to_string(),
            format!("{}: no requests: 2 read, 2 without token counts", path.display())
        );
        assert!(error.hint().unwrap().contains("gen_ai.usage.input_tokens"));
    }

    #[test]
    fn rows_that_can_not_be_compared_are_no_trace_and_the_file_is_named() {
        let start = "\"ts\": 0, \"prompt_tokens\": 9, \"gen_tokens\": 1";
        let path = temporary(
            "mixed",
            &format!(
                "{{{start}, \"hash_ids\": [1], \"block_size\": 16}}\n\
                 {{{start}, \"prefix_hash\": \"p\", \"prefix_len\": 8}}\n"
            ),
        );
        let error = read_trace(&path, &ReadOptions::default()).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert!(
            error.to_string().starts_with(&format!("{}: some rows", path.display())),
            "{error}"
        );
    }

    fn temporary(name: &str, text: &str) -> PathBuf {
        let file = format!("routesim-format-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_block_size_of_0_is_refused() {
        let options = ReadOptions { block_size: Some(0), ..ReadOptions::default() };
        let error = read(&b""[..], "t", &options).unwrap_err();
        assert_eq!(error.to_string(), "t: a block size of 0 tokens, expected 1 or more");
    }

    #[test]
    fn the_example_trace_is_a_trace() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/example_trace.jsonl");
        let (trace, report) = read_trace(&path, &ReadOptions::default()).unwrap();
        assert_eq!((trace.len(), report.read), (20, 20));
        assert!(report.notes.is_empty(), "{:?}", report.notes);
        assert!((35.0..45.0).contains(&trace.span_s()), "{}", trace.span_s());
        let sessions = trace.ids().filter_map(|id| trace.session(id)).max();
        assert_eq!(sessions, Some(4), "five conversations");
    }

    #[test]
    fn an_empty_file_is_named_and_not_a_trace() {
        let path = temporary("empty", "# nothing\n\n");
        let error = read_trace(&path, &ReadOptions::default()).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(error.to_string(), format!("{}: no requests", path.display()));
        assert_eq!(error.hint(), Some("an empty trace has nothing to simulate"));
    }
}
