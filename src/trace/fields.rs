//! The fields of one JSON line, each taken out checked.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::document::did_you_mean;

use super::row::RowFault;

/// Nanoseconds in one millisecond.
pub(super) const NS_PER_MS: i64 = 1_000_000;

/// The fields of one line, in its order.
#[derive(Debug)]
pub(super) struct Fields(Vec<(String, Value)>);

impl Fields {
    pub(super) fn parse(line: &str) -> Result<Self, RowFault> {
        if !line.starts_with('{') {
            let message = format!("`{}` is no JSON object", cut(line));
            return Err(RowFault::new(message).hint("each line is one request, as in {\"…\": …}"));
        }
        let fields: Self = serde_json::from_str(line).map_err(|error| malformed(line, &error))?;
        for (index, (key, _)) in fields.0.iter().enumerate() {
            if fields.0[..index].iter().any(|(earlier, _)| earlier == key) {
                let message = format!("`{key}` is given twice");
                return Err(RowFault::new(message).hint("each key stands once in a row"));
            }
        }
        Ok(fields)
    }

    /// Refuses a key that is none of `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), RowFault> {
        let mut keys = self.0.iter().map(|(key, _)| key);
        match keys.find(|key| !known.contains(&key.as_str())) {
            Some(key) => {
                let fault = RowFault::new(format!("unknown key `{key}`"));
                Err(fault.hint(did_you_mean(key, known)))
            }
            None => Ok(()),
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(name, _)| name == key)
    }

    /// Returns whether there is such a field and it is not null.
    pub(super) fn has_value(&self, key: &str) -> bool {
        self.0.iter().any(|(name, value)| name == key && !value.is_null())
    }

    /// Takes a field out; null counts as absent.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        let at = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.swap_remove(at).1).filter(|value| !value.is_null())
    }

    /// Takes a whole number from `low` that a `u32` holds.
    pub(super) fn whole(&mut self, key: &str, low: u32) -> Result<Option<u32>, RowFault> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let number = whole_number(&value).and_then(|number| u32::try_from(number).ok());
        match number.filter(|number| *number >= low) {
            Some(number) => Ok(Some(number)),
            None => Err(wrong(key, &value, &format!("a whole number from {low} to {}", u32::MAX))),
        }
    }

    /// Takes a whole number of tokens, from 1, that must be there.
    pub(super) fn tokens(&mut self, key: &str) -> Result<u32, RowFault> {
        self.whole(key, 1)?.ok_or_else(|| missing(key))
    }

    /// Takes a time in milliseconds, from 0, that must be there, as nanoseconds.
    pub(super) fn time_ns(&mut self, key: &str) -> Result<i64, RowFault> {
        let value = self.take(key).ok_or_else(|| missing(key))?;
        let whole = value.as_u64().and_then(|ms| i64::try_from(ms).ok());
        let ns = match (whole, value.as_f64()) {
            (Some(ms), _) => ms.checked_mul(NS_PER_MS),
            (None, Some(ms)) => fractional_ns(ms),
            (None, None) => None,
        };
        ns.ok_or_else(|| {
            let top = i64::MAX / NS_PER_MS;
            wrong(key, &value, &format!("milliseconds from 0 to {top}"))
                .hint("times count from the start of the trace, or from 1970")
        })
    }

    /// Takes a name: a string, or a whole number as its digits.
    pub(super) fn name(&mut self, key: &str) -> Result<Option<String>, RowFault> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(name)) => Ok(Some(name)),
            Some(Value::Number(number)) if !number.is_f64() => Ok(Some(number.to_string())),
            Some(value) => Err(wrong(key, &value, "a string or a whole number")),
        }
    }

    /// Takes a list of block ids, empty when there is none.
    pub(super) fn ids(&mut self, key: &str) -> Result<Vec<u64>, RowFault> {
        let items = match self.take(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(value) => return Err(wrong(key, &value, "a list of whole numbers")),
        };
        let id = |(index, item): (usize, Value)| {
            let key = format!("{key}[{index}]");
            item.as_u64().ok_or_else(|| wrong(&key, &item, "a whole number from 0"))
        };
        items.into_iter().enumerate().map(id).collect()
    }
}

/// Refuses lengths that a `u32` can't hold together.
pub(super) fn check_sum(
    (prompt_key, prompt): (&str, u32),
    (output_key, output): (&str, u32),
) -> Result<(), RowFault> {
    if prompt.checked_add(output).is_some() {
        return Ok(());
    }
    let sum = u64::from(prompt) + u64::from(output);
    let message = format!(
        "`{prompt_key}` and `{output_key}` are {sum} together, expected at most {}",
        u32::MAX
    );
    Err(RowFault::new(message).hint("lengths are counted in tokens"))
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut pairs = Vec::with_capacity(8);
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Fields(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

fn missing(key: &str) -> RowFault {
    RowFault::new(format!("`{key}` is missing")).hint(format!("each row needs `{key}`"))
}

fn wrong(key: &str, value: &Value, expected: &str) -> RowFault {
    let shown = cut(&value.to_string());
    let fault = RowFault::new(format!("`{key}` is {shown}, expected {expected}"));
    match value {
        Value::String(_) => fault.hint("numbers stand without quotes, names within"),
        _ => fault.hint("mend the row, or leave it out"),
    }
}

/// Says what is wrong with a line that is not JSON, and at which key.
///
/// The parser's own position is left out: its "line 1" is not the line of the file.
fn malformed(line: &str, error: &serde_json::Error) -> RowFault {
    let mut end = error.column().min(line.len());
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let key = line[..end].rfind("\":").map(|close| {
        let open = line[..close].rfind('"').map_or(0, |quote| quote + 1);
        (&line[open..close], line[close + 2..].trim_start())
    });
    if let Some((key, rest)) = key {
        let value = rest.split([',', '}', ']']).next().unwrap_or_default().trim();
        if value.parse::<f64>().is_ok_and(|number| !number.is_finite()) {
            let shown = cut(value);
            return RowFault::new(format!("`{key}` is {shown}, expected a finite number"))
                .hint("JSON has no NaN and no Infinity; leave an unknown value out");
        }
    }
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or_default();
    let place = key.map_or(String::new(), |(key, _)| format!(" at `{key}`"));
    RowFault::new(format!("malformed JSON{place}: {what}"))
        .hint("each line is one whole JSON object")
}

/// Returns the whole number that a JSON number stands for, also when it is written as `512.0`.
fn whole_number(value: &Value) -> Option<u64> {
    if let Some(number) = value.as_u64() {
        return Some(number);
    }
    let number = value.as_f64()?;
    if number.fract() != 0.0 || !(0.0..=f64::from(u32::MAX)).contains(&number) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, and the range was checked"
    )]
    let whole = number as u64;
    Some(whole)
}

/// Converts milliseconds from 0, rounded to the nearest nanosecond.
///
/// Whole and fraction are converted apart: so every nanosecond of the first 99 days survives.
pub(super) fn fractional_ns(ms: f64) -> Option<i64> {
    let top = (i64::MAX / NS_PER_MS) as f64;
    if !(0.0..top).contains(&ms) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    let (whole, rest) = (ms.trunc() as i64, (ms.fract() * NS_PER_MS as f64).round() as i64);
    Some(whole * NS_PER_MS + rest)
}

/// Returns the first characters of a value, enough to find it.
fn cut(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str) -> String {
        Fields::parse(line).unwrap_err().message
    }

    #[test]
    fn what_is_not_json_is_named_with_its_key_and_without_the_parsers_position() {
        assert_eq!(
            fault("{\"ts\": 1, \"prompt_tokens\": }"),
            "malformed JSON at `prompt_tokens`: expected value"
        );
        assert_eq!(fault("{\"ts\": 1"), "malformed JSON at `ts`: EOF while parsing an object");
        assert_eq!(fault("{é"), "malformed JSON: key must be a string");
        assert_eq!(fault("[1, 2]"), "`[1, 2]` is no JSON object");
        assert_eq!(fault("{\"ts\": 1} trailing"), "malformed JSON at `ts`: trailing characters");
    }

    #[test]
    fn numbers_that_json_does_not_have_are_named() {
        for value in ["NaN", "Infinity", "-Infinity", "1e999"] {
            assert_eq!(
                fault(&format!("{{\"ts\": {value}, \"prompt_tokens\": 1}}")),
                format!("`ts` is {value}, expected a finite number")
            );
        }
    }

    #[test]
    fn a_key_given_twice_is_refused() {
        assert_eq!(fault("{\"ts\": 1, \"ts\": 2}"), "`ts` is given twice");
    }

    #[test]
    fn milliseconds_become_nanoseconds_exactly() {
        let time = |ts: &str| Fields::parse(&format!("{{\"ts\": {ts}}}"))?.time_ns("ts");
        assert_eq!(time("0.000001"), Ok(1));
        assert_eq!(time("-0.0"), Ok(0));
        // 99 days less a nanosecond.
        assert_eq!(time("8553599999.999999"), Ok(8_553_599_999_999_999));
        assert_eq!(time("1700158546680"), Ok(1_700_158_546_680_000_000));
        assert_eq!(
            time("-1").unwrap_err().message,
            "`ts` is -1, expected milliseconds from 0 to 9223372036854"
        );
        assert!(time("2e16").is_err() && time("20000000000000000").is_err());
        assert!(time("\"5\"").is_err());
    }
}
