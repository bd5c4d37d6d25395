//! The lines of a file, each read into a [`Line`] by the short way or the long one.

use std::borrow::Cow;
use std::io::{BufRead, ErrorKind};

use super::fields::Fields;
use super::row::{RowFault, TraceError};
use super::scan::{Field, scan};

/// Keys that a format takes and does not use, at most.
pub(super) const MOST_UNUSED: usize = 6;

/// How a format writes its rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Which field a key stands for; `None` for any that needs the long way.
    pub field_of: fn(&[u8]) -> Option<Field>,
    /// Reads a row of any shape, or says what is wrong with it.
    pub parse: fn(Fields) -> Result<Line<'static>, RowFault>,
}

/// One request as its line has it; names are borrowed where the line has them as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line<'t> {
    pub arrival_ns: i64,
    pub prompt_tokens: u32,
    pub gen_tokens: u32,
    pub prefix_hash: Option<Cow<'t, str>>,
    pub prefix_len: Option<u32>,
    pub hash_ids: Vec<u64>,
    pub session: Option<Cow<'t, str>>,
    pub model: Option<Cow<'t, str>>,
    pub block_size: Option<u32>,
    /// Which of its format's unused keys it has.
    pub unused: [bool; MOST_UNUSED],
}

/// Counts rows and those that are earlier than one before them.
#[derive(Debug)]
pub(super) struct Tally {
    pub rows: usize,
    pub out_of_order: usize,
    latest_ns: i64,
}

impl Tally {
    pub(super) fn add(&mut self, arrival_ns: i64) {
        self.rows += 1;
        self.out_of_order += usize::from(arrival_ns < self.latest_ns);
        self.latest_ns = self.latest_ns.max(arrival_ns);
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self { rows: 0, out_of_order: 0, latest_ns: i64::MIN }
    }
}

/// Reads each line that is not blank and not a comment, and hands its request to `row`.
///
/// `row` may take the ids out of a line; what it leaves is used again for the next.
pub(super) fn each_line(
    reader: impl BufRead,
    label: &str,
    layout: &Layout,
    mut row: impl FnMut(&mut Line<'_>) -> Result<(), RowFault>,
) -> Result<(), TraceError> {
    let mut ids = Vec::new();
    split_lines(reader, label, |bytes| {
        ids.clear();
        let mut line = match scan(bytes, layout.field_of, &mut ids) {
            Some(line) => line,
            None => match parse(bytes, layout)? {
                Some(line) => line,
                None => return Ok(()),
            },
        };
        row(&mut line)?;
        if line.hash_ids.capacity() > 0 {
            ids = line.hash_ids;
        }
        Ok(())
    })
}

/// Reads a line of any shape; nothing when it is blank or a comment.
pub(super) fn parse(bytes: &[u8], layout: &Layout) -> Result<Option<Line<'static>>, RowFault> {
    fields_of(bytes)?.map(layout.parse).transpose()
}

/// Returns the fields of a line; none when it is blank or a comment.
pub(super) fn fields_of(bytes: &[u8]) -> Result<Option<Fields>, RowFault> {
    let text = str::from_utf8(bytes)
        .map_err(|_| RowFault::new("not UTF-8").hint("a trace is text, one JSON object a line"))?
        .trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    Fields::parse(text).map(Some)
}

/// Cuts a stream at its newlines, without a copy where a line is in one piece.
pub(super) fn split_lines(
    mut reader: impl BufRead,
    label: &str,
    mut line: impl FnMut(&[u8]) -> Result<(), RowFault>,
) -> Result<(), TraceError> {
    let mut number = 0;
    let mut line = |bytes: &[u8]| {
        number += 1;
        line(bytes).map_err(|fault| TraceError::Line {
            path: label.to_owned(),
            line: number,
            fault,
        })
    };
    // The start of a line whose end has not been read.
    let mut start = Vec::new();
    loop {
        let mut rest = match reader.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(source) => return Err(TraceError::Io { path: label.to_owned(), source }),
        };
        let length = rest.len();
        if length == 0 {
            break;
        }
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (head, tail) = rest.split_at(end + 1);
            if start.is_empty() {
                line(head)?;
            } else {
                start.extend_from_slice(head);
                line(&start)?;
                start.clear();
            }
            rest = tail;
        }
        start.extend_from_slice(rest);
        reader.consume(length);
    }
    if start.is_empty() { Ok(()) } else { line(&start) }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn lines_are_the_same_however_the_stream_is_cut() {
        let text = b"\n\nfirst\r\nsecond line\n\nlast";
        let expected: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        for capacity in 1..30 {
            let mut lines = Vec::new();
            let reader = BufReader::with_capacity(capacity, &text[..]);
            split_lines(reader, "t", |line| {
                lines.push(line.to_vec());
                Ok(())
            })
            .unwrap();
            assert_eq!(lines, expected, "{capacity}");
        }
    }

    #[test]
    fn a_fault_names_its_line_in_whatever_piece_it_is() {
        for capacity in 1..10 {
            let reader = BufReader::with_capacity(capacity, &b"a\nbb\n\nccc\nx"[..]);
            let fault = |line: &[u8]| match line {
                b"ccc\n" => Err(RowFault::new("bad")),
                _ => Ok(()),
            };
            assert_eq!(split_lines(reader, "t", fault).unwrap_err().to_string(), "t:4: bad");
        }
    }
}
