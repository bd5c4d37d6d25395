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
        let field = field_of(scan.plain_string()?)?;
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

    /// Takes a string without escapes.
    #[inline]
    fn plain_string(&mut self) -> Option<&'t [u8]> {
        self.next_is(b'"')?;
        let end = self.rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
        let (text, rest) = self.rest.split_at(end);
        let [b'"', rest @ ..] = rest else {
            return None;
        };
        self.rest = rest;
        Some(text)
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
        let token = &start[..start.len() - self.rest.len()];
        // Both parts of the quotient are exact below these bounds, so it is the nearest number, as
        // the parser has it; what it does beyond, it does itself.
        let exact = token.len() <= 18 && number < 1 << 53;
        let ms = match POWERS_OF_TEN.get(decimals) {
            Some(power) if exact && decimals > 0 => number as f64 / power,
            _ => serde_json::from_slice(token).ok()?,
        };
        fractional_ns(ms)
    }
}

const POWERS_OF_TEN: [f64; 17] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16];
