//! The parsed text, its values with their places, and the faults found in them.

use std::cell::RefCell;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::faults::{Fault, Faults};
use super::read::Table;

/// The values of a TOML text, each with its place in it. Values of other texts may have been put
/// in: they keep their own places.
#[derive(Clone, Debug)]
pub struct Document {
    source: Arc<Source>,
    pub(super) root: Node,
}

/// A text that values come from.
#[derive(Debug)]
pub(super) struct Source {
    /// What faults call it, usually its path.
    pub(super) label: String,
    text: String,
}

/// A place in a text, by the byte.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) source: Arc<Source>,
    pub(super) at: usize,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
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
    pub(super) place: Place,
    pub(super) node: Node,
}

/// Faults as they are found, with the place they were found at.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: RefCell<Vec<Finding>>,
    #[cfg(test)]
    asked: RefCell<std::collections::BTreeSet<String>>,
}

type Finding = (Place, String, Option<String>);

impl Findings {
    pub(super) fn add(&self, place: &Place, message: String, hint: Option<String>) {
        self.found.borrow_mut().push((place.clone(), message, hint));
    }

    #[cfg(test)]
    pub(super) fn ask(&self, table: &str, key: &str) {
        self.asked.borrow_mut().insert(super::asked::path(table, key));
    }
}

impl Document {
    pub(super) fn new(source: Arc<Source>, root: Node) -> Self {
        Self { source, root }
    }

    /// Parses a text; `label` is what faults call it, usually its path.
    ///
    /// # Errors
    ///
    /// Every syntax error of the text.
    pub fn parse(label: &str, text: &str) -> Result<Self, Faults> {
        let source = Arc::new(Source { label: label.to_owned(), text: text.to_owned() });
        let (root, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            let place = Place { source: Arc::clone(&source), at: root.span().start };
            let kind = Kind::Table(entries(root.into_inner(), &source));
            return Ok(Self { root: Node { place, kind }, source });
        }
        let found = errors.into_iter().map(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let place = Place { source: Arc::clone(&source), at };
            (place, error.message().to_owned(), None)
        });
        Err(faults(&source, found.collect()))
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
        let (value, faults) = self.examine(read);
        if faults.is_empty() {
            return Ok(value.expect("a reader that gives nothing must say why"));
        }
        Err(Faults { faults })
    }

    /// Reads the document with `read` and returns what it made in spite of the faults it met, and
    /// those: as [`settle`](Self::settle) tells them.
    pub fn examine<T>(&self, read: impl FnOnce(&mut Table<'_>) -> T) -> (T, Vec<Fault>) {
        let findings = Findings::default();
        let mut root = Table::root(self, &findings);
        let value = read(&mut root);
        root.close();
        #[cfg(test)]
        super::asked::note(self.label(), findings.asked.take());
        (value, faults(&self.source, findings.found.into_inner()).faults)
    }

    /// Returns the text as it was read, without what was put in later.
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// Returns what faults call the text.
    pub fn label(&self) -> &str {
        &self.source.label
    }
}

/// Sorts faults: those of the document's own text first.
fn faults(own: &Arc<Source>, found: Vec<Finding>) -> Faults {
    let rank = |place: &Place| {
        let foreign = !Arc::ptr_eq(own, &place.source);
        (foreign, place.source.label.clone(), place.at)
    };
    let mut ranked: Vec<_> = (found.into_iter())
        .map(|(place, message, hint)| ((rank(&place), message, hint), place))
        .collect();
    ranked.sort_by(|(a, _), (b, _)| a.cmp(b));
    ranked.dedup_by(|(a, _), (b, _)| a == b);
    let faults = ranked.into_iter().map(|((_, message, hint), place)| place.fault(message, hint));
    Faults { faults: faults.collect() }
}

impl Place {
    pub(super) fn fault(&self, message: String, hint: Option<String>) -> Fault {
        let text = &self.source.text;
        let before = &text.as_bytes()[..self.at.min(text.len())];
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let column = 1 + String::from_utf8_lossy(&before[line_start..]).chars().count();
        Fault { label: self.source.label.clone(), line, column, message, hint }
    }
}

fn entries(table: DeTable<'_>, source: &Arc<Source>) -> Vec<Entry> {
    let entry = |(key, value): (Spanned<DeString<'_>>, _)| Entry {
        place: Place { source: Arc::clone(source), at: key.span().start },
        key: key.into_inner().into_owned(),
        node: node(value, source),
    };
    let mut entries: Vec<Entry> = table.into_iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.place.at);
    entries
}

fn node(value: Spanned<DeValue<'_>>, source: &Arc<Source>) -> Node {
    let place = Place { source: Arc::clone(source), at: value.span().start };
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
        DeValue::Array(items) => {
            Kind::List(items.into_iter().map(|item| node(item, source)).collect())
        }
        DeValue::Table(table) => Kind::Table(entries(table, source)),
    };
    Node { place, kind }
}
