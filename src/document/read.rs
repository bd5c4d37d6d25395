//! Typed, checked reads from a document.

use std::ops::RangeInclusive;

use super::did_you_mean;
use super::edit::Value;
use super::scalar::Scalar;
use super::value::{Document, Entry, Findings, Kind, Node, Place};

/// What a real number may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bounds {
    /// Above zero.
    Positive,
    /// Zero or above.
    NonNegative,
    /// Between the two, both allowed.
    Between(f64, f64),
}

impl Bounds {
    fn admit(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Self::Positive => value > 0.0,
                Self::NonNegative => value >= 0.0,
                Self::Between(low, high) => (low..=high).contains(&value),
            }
    }

    fn expected(self) -> String {
        match self {
            Self::Positive => "a number above 0".to_owned(),
            Self::NonNegative => "a number from 0".to_owned(),
            Self::Between(low, high) => {
                format!("a number from {} to {}", Scalar::Real(low), Scalar::Real(high))
            }
        }
    }
}

/// A table being read. Keys that nobody asked for are faults when it is closed.
#[derive(Debug)]
pub struct Table<'d> {
    findings: &'d Findings,
    path: String,
    place: &'d Place,
    entries: &'d [Entry],
    known: Vec<String>,
}

/// One value of a document, at its path.
#[derive(Clone, Debug)]
pub struct Item<'d> {
    findings: &'d Findings,
    path: String,
    node: &'d Node,
}

impl<'d> Table<'d> {
    pub(super) fn root(document: &'d Document, findings: &'d Findings) -> Self {
        let Kind::Table(entries) = &document.root.kind else {
            unreachable!("the root of a document is a table");
        };
        let place = &document.root.place;
        Self { findings, path: String::new(), place, entries, known: Vec::new() }
    }

    /// Returns the value of `key`, if the table has it.
    pub fn item(&mut self, key: &str) -> Option<Item<'d>> {
        self.ask(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        let path =
            if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Some(Item { findings: self.findings, path, node: &entry.node })
    }

    /// Returns whether the table has `key`.
    pub fn has(&mut self, key: &str) -> bool {
        self.ask(key);
        self.entries.iter().any(|entry| entry.key == key)
    }

    fn ask(&mut self, key: &str) {
        self.known.push(key.to_owned());
        #[cfg(test)]
        self.findings.ask(&self.path, key);
    }

    /// Returns the keys of the table in the order of the file.
    pub fn keys(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.key.clone()).collect()
    }

    /// Returns the text of `key`.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.item(key)?.text()
    }

    /// Returns the whole number of `key`, which must lie in `range`.
    pub fn whole(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        self.item(key)?.whole(range)
    }

    /// Returns the whole number of `key` as a `u32` in `range`.
    pub fn count(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.whole(key, u64::from(*range.start())..=u64::from(*range.end()))?;
        u32::try_from(value).ok()
    }

    /// Returns the number of `key`, which must keep `bounds`.
    pub fn real(&mut self, key: &str, bounds: Bounds) -> Option<f64> {
        self.item(key)?.real(bounds)
    }

    /// Returns the truth value of `key`.
    pub fn truth(&mut self, key: &str) -> Option<bool> {
        self.item(key)?.truth()
    }

    /// Returns the table at `key`.
    pub fn table(&mut self, key: &str) -> Option<Table<'d>> {
        self.item(key)?.table()
    }

    /// Returns the items of the list at `key`.
    pub fn list(&mut self, key: &str) -> Option<Vec<Item<'d>>> {
        self.item(key)?.list()
    }

    /// Reads the table at `key` with `read`, then closes it; nothing when there is no such table.
    pub fn section<T>(&mut self, key: &str, read: impl FnOnce(&mut Table<'d>) -> T) -> Option<T> {
        let mut table = self.table(key)?;
        let value = read(&mut table);
        table.close();
        Some(value)
    }

    /// Reports a fault of the table as a whole.
    pub fn fault(&self, message: impl Into<String>, hint: Option<String>) {
        self.findings.add(self.place, message.into(), hint);
    }

    /// Reports a fault of a value that was read from this document.
    pub fn fault_of(&self, value: &Value, message: impl Into<String>, hint: Option<String>) {
        self.findings.add(&value.0.place, message.into(), hint);
    }

    /// Reports a fault of `key`, or of the table when the key is not there.
    pub fn fault_at(&self, key: &str, message: impl Into<String>, hint: Option<String>) {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        let place = entry.map_or(self.place, |entry| &entry.node.place);
        self.findings.add(place, message.into(), hint);
    }

    /// Reports each key that was not asked for.
    pub fn close(self) {
        let mut known: Vec<&str> = Vec::new();
        for key in &self.known {
            if !known.contains(&key.as_str()) {
                known.push(key);
            }
        }
        for entry in self.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let place = if self.path.is_empty() {
                "at the top level".to_owned()
            } else {
                format!("in [{}]", self.path)
            };
            let message = format!("unknown key `{}` {place}", entry.key);
            let hint = Some(did_you_mean(&entry.key, &known));
            self.findings.add(&entry.place, message, hint);
        }
    }
}

impl<'d> Item<'d> {
    /// Returns the dotted path of the value.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the value, to be put into other documents.
    pub fn value(&self) -> Value {
        Value(self.node.clone())
    }

    /// Returns what faults call the text that the value stands in, usually its path.
    pub fn label(&self) -> &str {
        &self.node.place.source.label
    }

    /// Reports a fault of this value.
    pub fn fault(&self, message: impl Into<String>, hint: Option<String>) {
        self.findings.add(&self.node.place, message.into(), hint);
    }

    /// Reports that this value is not what was expected.
    pub fn wrong(&self, expected: &str) {
        let shown = match &self.node.kind {
            Kind::Text(text) => format!("\"{text}\""),
            Kind::Whole(number) => number.to_string(),
            Kind::Real(number) => format!("{number:?}"),
            Kind::Truth(truth) => truth.to_string(),
            Kind::List(_) => "a list".to_owned(),
            Kind::Table(_) => "a table".to_owned(),
            Kind::Other(what) => (*what).to_owned(),
        };
        self.fault(format!("`{}` is {shown}, expected {expected}", self.path), None);
    }

    /// Returns whether the value is a table.
    pub fn is_table(&self) -> bool {
        matches!(self.node.kind, Kind::Table(_))
    }

    /// Returns whether the value is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.node.kind, Kind::List(_))
    }

    /// Returns whether the value is a text.
    pub fn is_text(&self) -> bool {
        matches!(self.node.kind, Kind::Text(_))
    }

    /// Returns the value as text.
    pub fn text(&self) -> Option<String> {
        if let Kind::Text(text) = &self.node.kind {
            return Some(text.clone());
        }
        self.wrong("a string");
        None
    }

    /// Returns the value as a whole number in `range`.
    pub fn whole(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let value = match self.node.kind {
            Kind::Whole(number) => u64::try_from(number).ok(),
            // What was worked out may be real and whole, as `2 * 3.0`.
            Kind::Real(number) => whole_of(number),
            _ => None,
        };
        let value = value.filter(|number| range.contains(number));
        if value.is_none() {
            let (low, high) = (range.start(), range.end());
            let top = i64::MAX.unsigned_abs();
            let upper = if *high >= top { String::new() } else { format!(" to {high}") };
            self.wrong(&format!("a whole number from {low}{upper}"));
        }
        value
    }

    /// Returns the value as a number within `bounds`.
    pub fn real(&self, bounds: Bounds) -> Option<f64> {
        let value = match self.node.kind {
            Kind::Whole(number) => Some(number as f64),
            Kind::Real(number) => Some(number),
            _ => None,
        };
        let value = value.filter(|number| bounds.admit(*number));
        if value.is_none() {
            self.wrong(&bounds.expected());
        }
        value
    }

    /// Returns the value as a truth value.
    pub fn truth(&self) -> Option<bool> {
        if let Kind::Truth(truth) = self.node.kind {
            return Some(truth);
        }
        self.wrong("true or false");
        None
    }

    /// Returns the value as a table.
    pub fn table(&self) -> Option<Table<'d>> {
        let Kind::Table(entries) = &self.node.kind else {
            self.wrong("a table");
            return None;
        };
        let (place, path) = (&self.node.place, self.path.clone());
        Some(Table { findings: self.findings, path, place, entries, known: Vec::new() })
    }

    /// Returns the value as a list.
    pub fn list(&self) -> Option<Vec<Item<'d>>> {
        let Kind::List(items) = &self.node.kind else {
            self.wrong("a list");
            return None;
        };
        let item = |(index, node)| Item {
            findings: self.findings,
            path: format!("{}[{index}]", self.path),
            node,
        };
        Some(items.iter().enumerate().map(item).collect())
    }
}

/// Returns a real number as a whole one, if it is and every digit counts.
fn whole_of(number: f64) -> Option<u64> {
    let exact = number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is exact")]
    exact.then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_file_is_reported_with_its_place() {
        let text = "a = -1\n[cluster]\nnum_backend = 4\nrate = nan\n";
        let document = Document::parse("x.toml", text).unwrap();
        let faults = document
            .settle(|root| {
                let a = root.whole("a", 0..=9);
                root.section("cluster", |cluster| {
                    cluster.count("num_backends", 1..=9);
                    cluster.real("rate", Bounds::Positive);
                });
                a
            })
            .unwrap_err();
        assert_eq!(
            faults.to_string(),
            "x.toml:1:5: `a` is -1, expected a whole number from 0 to 9\n\
             x.toml:3:1: unknown key `num_backend` in [cluster]\n\
             hint: did you mean `num_backends`?\n\
             x.toml:4:8: `cluster.rate` is NaN, expected a number above 0"
        );
    }

    #[test]
    fn syntax_errors_name_their_line() {
        let faults = Document::parse("x.toml", "a = 1\nb = \n").unwrap_err();
        assert_eq!(faults.faults[0].line, 2);
    }
}
