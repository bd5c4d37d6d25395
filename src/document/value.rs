//! The parsed text, its values with their places, and the faults found in them.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::read::Table;

/// A TOML text and its values, each with its place in the text.
#[derive(Clone, Debug)]
pub struct Document {
    label: String,
    text: String,
    pub(super) root: Node,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Text(String),
    Whole(i64),
    Real(f64),
    Truth(bool),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// A date, or a number that no 64-bit type holds: nothing here takes one.
    Other(&'static str),
}

/// A key of a table, where it stands, and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) span: Range<usize>,
    pub(super) node: Node,
}

/// One thing wrong with a file: where, what, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what was expected.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// Everything wrong with one file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults {
    /// The file, as the user named it.
    pub label: String,
    /// At least one fault.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            let Fault { line, column, message, hint } = fault;
            write!(f, "{separator}{}:{line}:{column}: {message}", self.label)?;
            if let Some(hint) = hint {
                write!(f, "\nhint: {hint}")?;
            }
        }
        Ok(())
    }
}

/// Faults as they are found, with the byte they were found at.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: RefCell<Vec<(usize, String, Option<String>)>>,
    #[cfg(test)]
    asked: RefCell<std::collections::BTreeSet<String>>,
}

impl Findings {
    pub(super) fn add(&self, at: usize, message: String, hint: Option<String>) {
        self.found.borrow_mut().push((at, message, hint));
    }

    #[cfg(test)]
    pub(super) fn ask(&self, table: &str, key: &str) {
        self.asked.borrow_mut().insert(super::asked::path(table, key));
    }
}

impl Document {
    /// Parses a text; `label` is what faults call it, usually its path.
    ///
    /// # Errors
    ///
    /// Every syntax error of the text.
    pub fn parse(label: &str, text: &str) -> Result<Self, Faults> {
        let (root, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            let span = root.span();
            let kind = Kind::Table(entries(root.into_inner()));
            let root = Node { span, kind };
            return Ok(Self { label: label.to_owned(), text: text.to_owned(), root });
        }
        let found = errors.into_iter().map(|error| {
            let at = error.span().map_or(0, |span| span.start);
            (at, error.message().to_owned(), None)
        });
        Err(faults(label, text, found.collect()))
    }

    /// Reads the document with `read` and returns what it made, or every fault it met.
    ///
    /// # Errors
    ///
    /// The faults that `read` reported and the keys that it did not ask for.
    ///
    /// # Panics
    ///
    /// When `read` gives nothing and reports no fault.
    pub fn settle<T>(&self, read: impl FnOnce(&mut Table<'_>) -> Option<T>) -> Result<T, Faults> {
        let findings = Findings::default();
        let mut root = Table::root(self, &findings);
        let value = read(&mut root);
        root.close();
        #[cfg(test)]
        super::asked::note(&self.label, findings.asked.take());
        let found = findings.found.into_inner();
        if found.is_empty() {
            return Ok(value.expect("a reader that gives nothing must say why"));
        }
        Err(faults(&self.label, &self.text, found))
    }

    /// Returns the text as it was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns what faults call the text.
    pub fn label(&self) -> &str {
        &self.label
    }
}

fn faults(label: &str, text: &str, mut found: Vec<(usize, String, Option<String>)>) -> Faults {
    found.sort();
    found.dedup();
    let place = |(at, message, hint): (usize, String, Option<String>)| {
        let before = &text.as_bytes()[..at.min(text.len())];
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let column = 1 + String::from_utf8_lossy(&before[line_start..]).chars().count();
        Fault { line, column, message, hint }
    };
    Faults { label: label.to_owned(), faults: found.into_iter().map(place).collect() }
}

fn entries(table: DeTable<'_>) -> Vec<Entry> {
    let entry = |(key, value): (Spanned<DeString<'_>>, _)| Entry {
        span: key.span(),
        key: key.into_inner().into_owned(),
        node: node(value),
    };
    let mut entries: Vec<Entry> = table.into_iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.span.start);
    entries
}

fn node(value: Spanned<DeValue<'_>>) -> Node {
    let span = value.span();
    let kind = match value.into_inner() {
        DeValue::String(text) => Kind::Text(text.into_owned()),
        DeValue::Integer(number) => {
            let digits = number.as_str();
            i64::from_str_radix(digits, number.radix())
                .map_or(Kind::Other("a number beyond 64 bits"), Kind::Whole)
        }
        DeValue::Float(number) => {
            number.as_str().parse().map_or(Kind::Other("a malformed number"), Kind::Real)
        }
        DeValue::Boolean(truth) => Kind::Truth(truth),
        DeValue::Datetime(_) => Kind::Other("a date"),
        DeValue::Array(items) => Kind::List(items.into_iter().map(node).collect()),
        DeValue::Table(table) => Kind::Table(entries(table)),
    };
    Node { span, kind }
}
