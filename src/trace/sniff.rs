//! The format of a file, told from its first row.

use std::fmt;
use std::io::{self, BufRead, Read as _};

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use super::format::Format;

/// A document on one line can be the whole file; its first keys are enough.
const LONGEST_START: u64 = 1 << 20;

impl Format {
    /// Returns the format that a file most likely has, given its first row or the start of it.
    ///
    /// A row of the compact format has `ts`, one of Mooncake's `timestamp` and `input_length`; any
    /// other JSON is taken for spans. Text that is no JSON is left to the reader of the compact
    /// format, which says what it expects.
    pub fn sniff(start: &[u8]) -> Self {
        let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
        let keys = first_keys(start);
        let has = |key: &str| keys.iter().any(|own| own == key);
        let compact = ["ts", "prompt_tokens", "gen_tokens"];
        let mooncake = ["input_length", "output_length", "hash_ids"];
        if compact.iter().any(|key| has(key)) {
            return Self::Compact;
        }
        if mooncake.iter().any(|key| has(key)) {
            return Self::Mooncake;
        }
        // A document over several lines begins with a lone bracket.
        let document = start.starts_with(b"[") || start.trim_ascii_end() == b"{";
        if document || !keys.is_empty() { Self::Otel } else { Self::Compact }
    }
}

/// Reads on to the end of the first row, and returns all that was read.
pub(super) fn first_row(reader: &mut impl BufRead) -> io::Result<(Vec<u8>, usize)> {
    let mut read = Vec::new();
    loop {
        let row = read.len();
        let length = reader.by_ref().take(LONGEST_START).read_until(b'\n', &mut read)?;
        let text = read[row..].trim_ascii();
        let row_begins = !text.is_empty() && !text.starts_with(b"#");
        if length == 0 || row_begins {
            return Ok((read, row));
        }
    }
}

/// Returns the keys of the object that `start` begins with, as far as it goes.
fn first_keys(start: &[u8]) -> Vec<String> {
    let mut keys = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(start);
    // An error ends the keys: the start may be cut, and a broken row still shows what it is.
    drop(json.deserialize_map(Keys(&mut keys)));
    keys
}

struct Keys<'k>(&'k mut Vec<String>);

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key()? {
            self.0.push(key);
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::format::{ReadOptions, read, sniffed};
    use crate::trace::row::{Rows, TraceError};

    fn read_sniffed(text: &[u8], label: &str, block_size: Option<u32>) -> Result<Rows, TraceError> {
        let (reader, format) = sniffed(text, label)?;
        read(reader, label, &ReadOptions { format, block_size })
    }

    #[test]
    fn the_first_row_tells_the_format() {
        for (start, format) in [
            (r#"{"ts": 0, "prompt_tokens": 5, "gen_tokens": 1}"#, Format::Compact),
            (r#"{"timestamp": 0, "input_length": 5, "output_length": 1}"#, Format::Mooncake),
            (r#"{"resourceSpans": [{"ts": 0}]}"#, Format::Otel),
            (r#"{"name": "chat", "timestamp": 5}"#, Format::Otel),
            ("{\n", Format::Otel),
            ("[{\"trace_id\"", Format::Otel),
            ("\u{feff}{\"ts\": 0}", Format::Compact),
        ] {
            assert_eq!(Format::sniff(start.as_bytes()), format, "{start}");
        }
    }

    #[test]
    fn a_broken_row_still_shows_its_format() {
        assert_eq!(Format::sniff(b"{\"ts\": 0, \"prompt_tok"), Format::Compact);
        assert_eq!(Format::sniff(b"{\"input_length\": x}"), Format::Mooncake);
        assert_eq!(Format::sniff(b"ts,prompt_tokens"), Format::Compact);
        assert_eq!(Format::sniff(b""), Format::Compact);
    }

    #[test]
    fn what_was_looked_at_is_read_again() {
        let text = "# a comment\n\n{\"timestamp\": 0, \"input_length\": 5, \"output_length\": 1}\n\
                    {\"timestamp\": 9, \"input_length\": 5, \"output_length\": 1, \"x\": 2}\n";
        let error = read_sniffed(text.as_bytes(), "t", None).unwrap_err();
        assert!(error.to_string().starts_with("t:4: unknown key `x`"), "{error}");
        let first = text.find("}\n").unwrap() + 2;
        let rows = read_sniffed(&text.as_bytes()[..first], "t", None).unwrap();
        assert_eq!(rows.rows[0].prompt_tokens, 5);
    }
}
