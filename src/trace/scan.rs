//! The short way to read a row: flat, plainly spelt, and no value that needs a second look.
//!
//! It takes a part of what the JSON parser takes, and reads that part the same. Whatever else a
//! line holds, good or bad, is the parser's: it alone says what is wrong.

use std::borrow::Cow;

use super::fields::{NS_PER_MS, fractional_ns};
use super::lines::Line;

/// What a key of a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Time,
    PromptTokens,
    OutputTokens,
    PrefixHash,
    PrefixLen,
    HashIds,
    Session,
    Model,
    BlockSize,
}

/// Reads a line whose fields are all plain, or returns `None`. `ids` lends its memory.
pub(super) fn scan<'t>(
    bytes: &'t [u8],
    field_of: fn(&[u8]) -> Option<Field>,
    ids: &mut Vec<u64>,
) -> Option<Line<'t>> {
    let mut scan = Scan { rest: bytes };
    let mut line = Line::default();
    let mut seen = 0_u16;
    scan.next_is(b'{')?;
    loop {
        let field = field_of(scan.key()?)?;
        let bit = 1 << field as u16;
        if seen & bit != 0 {
            return None;
        }
        seen |= bit;
        scan.next_is(b':')?;
        scan.value(field, &mut line, ids)?;
        match scan.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    let required = [Field::Time, Field::PromptTokens, Field::OutputTokens];
    if required.iter().any(|field| seen & (1 << *field as u16) == 0) || scan.next().is_some() {
        return None;
    }
    line.prompt_tokens.checked_add(line.gen_tokens)?;
    if !ids.is_empty() {
        line.hash_ids = std::mem::take(ids);
    }
    Some(line)
}

/// What of a line is still to be read.
struct Scan<'t> {
    rest: &'t [u8],
}

impl<'t> Scan<'t> {
    fn value(&mut self, field: Field, line: &mut Line<'t>, ids: &mut Vec<u64>) -> Option<()> {
        match field {
            Field::Time => line.arrival_ns = self.time_ns()?,
            Field::PromptTokens => line.prompt_tokens = self.whole(1)?,
            Field::OutputTokens => line.gen_tokens = self.whole(1)?,
            Field::PrefixHash => line.prefix_hash = Some(self.name()?),
            Field::PrefixLen => line.prefix_len = Some(self.whole(0)?),
            Field::HashIds => self.ids(ids)?,
            Field::Session => line.session = Some(self.name()?),
            Field::Model => line.model = Some(self.name()?),
            Field::BlockSize => line.block_size = Some(self.whole(1)?),
        }
        Some(())
    }

    /// Takes the next byte that is no white space.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        loop {
            let (first, rest) = self.rest.split_first()?;
            self.rest = rest;
            if !matches!(first, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(*first);
            }
        }
    }

    #[inline]
    fn next_is(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// Skips white space and shows the byte after it.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    /// Takes a key; one with escapes is cut short and equals none that is known.
    #[inline]
    fn key(&mut self) -> Option<&'t [u8]> {
        self.next_is(b'"')?;
        let end = memchr::memchr(b'"', self.rest)?;
        let key = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(key)
    }

    /// Takes a string without escapes.
    #[inline]
    fn plain_string(&mut self) -> Option<&'t [u8]> {
        let text = self.key()?;
        // JSON has control characters as escapes only.
        text.iter().all(|byte| *byte >= b' ' && *byte != b'\\').then_some(text)
    }

    /// Takes decimal digits, 18 at most and with no zero before them, as their number.
    #[inline]
    fn digits(&mut self) -> Option<u64> {
        let (number, length) = self.run(0);
        let zero_first = length > 1 && self.rest[0] == b'0';
        if !(1..=18).contains(&length) || zero_first {
            return None;
        }
        // What follows is looked at by the caller, who takes no letter and no further digit there.
        self.rest = &self.rest[length..];
        Some(number)
    }

    /// Returns `number` with the digits here behind it, and how many there are; a long run, whose
    /// number is wrong, is cut after 19.
    #[inline]
    fn run(&self, mut number: u64) -> (u64, usize) {
        let mut length = 0;
        for byte in self.rest.iter().take(19) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
            length += 1;
        }
        (number, length)
    }

    #[inline]
    fn whole(&mut self, low: u32) -> Option<u32> {
        self.peek()?;
        let number = u32::try_from(self.digits()?).ok()?;
        (number >= low).then_some(number)
    }

    fn name(&mut self) -> Option<Cow<'t, str>> {
        let text = if self.peek()? == b'"' {
            self.plain_string()?
        } else {
            let start = self.rest;
            self.digits()?;
            &start[..start.len() - self.rest.len()]
        };
        str::from_utf8(text).ok().map(Cow::Borrowed)
    }

    fn ids(&mut self, ids: &mut Vec<u64>) -> Option<()> {
        self.next_is(b'[')?;
        if self.peek()? == b']' {
            return self.next_is(b']');
        }
        loop {
            self.peek()?;
            ids.push(self.digits()?);
            match self.next()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    fn time_ns(&mut self) -> Option<i64> {
        self.peek()?;
        let start = self.rest;
        let whole = self.digits()?;
        let [b'.', fraction @ ..] = self.rest else {
            return i64::try_from(whole).ok()?.checked_mul(NS_PER_MS);
        };
        self.rest = fraction;
        let (number, decimals) = self.run(whole);
        self.rest = &fraction[decimals..];
        // Below 2³³ ms, 99 days, half a unit in the last place of the float is below half a
        // nanosecond, so the parser's road by floats ends at these digits too.
        if whole < 1 << 33 && (1..=NS_DIGITS).contains(&decimals) {
            return i64::try_from(number * POWERS_OF_TEN[NS_DIGITS - decimals]).ok();
        }
        let token = &start[..start.len() - self.rest.len()];
        fractional_ns(serde_json::from_slice(token).ok()?)
    }
}

/// Decimals of a millisecond that are whole nanoseconds.
const NS_DIGITS: usize = 6;

const POWERS_OF_TEN: [u64; NS_DIGITS] = [1, 10, 100, 1_000, 10_000, 100_000];

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::trace::lines::{Layout, parse};
    use crate::trace::{compact, mooncake};

    fn scanned<'t>(line: &'t [u8], layout: &Layout) -> Option<Line<'t>> {
        scan(line, layout.field_of, &mut Vec::new())
    }

    /// Checks that the short way takes a line, or not, and says what the parser says.
    fn check(line: &str, taken: bool) {
        let short = scanned(line.as_bytes(), &compact::LAYOUT);
        assert_eq!(short.is_some(), taken, "{line}");
        if let Some(short) = short {
            assert_eq!(parse(line.as_bytes(), &compact::LAYOUT), Ok(Some(short)), "{line}");
        }
    }

    fn with_time(ts: &str) -> String {
        format!("{{\"ts\":{ts},\"prompt_tokens\":9,\"gen_tokens\":1}}")
    }

    #[test]
    fn plain_rows_take_the_short_way() {
        for fields in [
            "",
            r#","prefix_hash":"p17","prefix_len":256"#,
            r#", "session" : "é", "model": 7, "prefix_hash": 0 "#,
            r#","conversation_id":"s","hash_ids":[1, 2,3],"block_size":16"#,
            r#","hash_ids":[ ]"#,
        ] {
            check(
                &format!("{{\"ts\":12.5,\"prompt_tokens\":512,\"gen_tokens\":128{fields}}}"),
                true,
            );
        }
        check("\t{\"gen_tokens\":1,\"prompt_tokens\":9,\"ts\":0} \r\n", true);
        let row = br#"{"timestamp": 0, "input_length": 6, "output_length": 5, "hash_ids": [0]}"#;
        assert!(scanned(row, &mooncake::LAYOUT).is_some());
    }

    #[test]
    fn all_else_is_the_parsers() {
        for line in ["", "#", "{}", "{\"ts\":1", "[]", "{\"ts\":0,\"prompt_tokens\":1}"] {
            check(line, false);
        }
        for fields in [
            r#""model":"a\n""#,
            "\"model\":\"a\tb\"",
            r#""model":null"#,
            r#""model":-5"#,
            r#""model":18446744073709551615"#,
            r#""gen_tokens":1"#,
            r#""session":"a","conversation_id":"b""#,
            r#""priority":0"#,
            r#""prefix_len":5.0"#,
            r#""prefix_len":05"#,
            r#""block_size":0"#,
            r#""hash_ids":[1,]"#,
            r#""hash_ids":[1"#,
            r#""mod\u0065l":"m""#,
        ] {
            check(&format!("{{\"ts\":0,\"prompt_tokens\":9,\"gen_tokens\":1,{fields}}}"), false);
        }
        check("{\"ts\":0,\"prompt_tokens\":4294967295,\"gen_tokens\":1}", false);
        check("{\"ts\":0,\"prompt_tokens\":9,\"gen_tokens\":1} 5", false);
        for ts in ["-0", "1e3", "1.", ".5", "00", "1.5e3", "9223372036855", "NaN"] {
            check(&with_time(ts), false);
        }
    }

    #[test]
    fn times_beside_the_bounds_are_the_parsers() {
        // 2³³ ms is the bound below which digits are taken as they are.
        for ts in [
            "8589934591.999999",
            "8589934592.999999",
            "8589934591.9999995",
            "0.0000005",
            "0.00000049999999999",
            "1700158546680.123456",
            "999999999999999999.5",
        ] {
            let line = with_time(ts);
            let short = scanned(line.as_bytes(), &compact::LAYOUT);
            let long = parse(line.as_bytes(), &compact::LAYOUT).ok().flatten();
            assert_eq!(short, long, "{ts}");
        }
    }

    /// A row of the compact format, spelt in many ways, some of them wrong.
    fn spelt() -> impl Strategy<Value = String> {
        let value = prop_oneof![
            4 => "(0|[1-9][0-9]{0,12})",
            2 => "(0|[1-9][0-9]{0,11})\\.[0-9]{1,12}",
            1 => "-?[0-9]{1,20}(\\.[0-9]{0,8})?([eE][+-]?[0-9]{1,2})?",
            2 => "\"[a-zé\\\\\" ]{0,4}\"",
            2 => "\\[ ?([0-9]{1,3}, ?){0,3}[0-9]{1,20}\\]",
            1 => "null|true|\\{\\}|\\[\\]",
        ];
        let pair =
            (0..compact::KEYS.len(), value, "[ \t\r]{0,2}").prop_map(|(key, value, space)| {
                format!("{space}\"{}\"{space}:{space}{value}{space}", compact::KEYS[key])
            });
        let times = "(0|[1-9][0-9]{0,13})(\\.[0-9]{1,9})?";
        (times, 1_u32..600, vec(pair, 0..4)).prop_map(|(ts, tokens, pairs)| {
            let mut line = format!("{{\"ts\":{ts},\"prompt_tokens\":{tokens},\"gen_tokens\":7");
            for pair in pairs {
                line.push(',');
                line.push_str(&pair);
            }
            line + "}\n"
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_the_short_way_takes_the_parser_reads_the_same(
            line in spelt(),
            changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let mut line = line.into_bytes();
            for (place, byte) in changes {
                let place = place.index(line.len());
                line[place] = byte;
            }
            if let Some(short) = scanned(&line, &compact::LAYOUT) {
                prop_assert_eq!(parse(&line, &compact::LAYOUT), Ok(Some(short)));
            }
        }

        #[test]
        fn every_plain_time_is_the_parsers(ts in "(0|[1-9][0-9]{0,12})(\\.[0-9]{1,12})?") {
            let line = with_time(&ts);
            let short = scanned(line.as_bytes(), &compact::LAYOUT);
            let long = parse(line.as_bytes(), &compact::LAYOUT).ok().flatten();
            prop_assert_eq!(short, long);
        }
    }
}
