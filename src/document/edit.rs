//! Values that go from one document to another, and keep the place they came from.

use super::faults::{Fault, Faults};
use super::scalar::Scalar;
use super::value::{Document, Entry, Kind, Node};

/// A value of a document, whole.
#[derive(Clone, Debug)]
pub struct Value(pub(super) Node);

/// The key of a path whose value is no table, so that nothing can be put below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked(pub String);

impl Value {
    /// Makes a table of some values, which stands where the first does.
    ///
    /// # Panics
    ///
    /// Without values.
    pub fn table(values: Vec<(&str, Self)>) -> Self {
        let place = values.first().expect("a table of values").1.0.place.clone();
        let entry = |(key, value): (&str, Self)| {
            let (key, place) = (key.to_owned(), value.0.place.clone());
            Entry { key, place, node: value.0 }
        };
        let kind = Kind::Table(values.into_iter().map(entry).collect());
        Self(Node { place, kind })
    }

    /// Returns the value under a path of keys in it, if there is one.
    pub fn get(&self, path: &[String]) -> Option<Self> {
        let node = path.iter().try_fold(&self.0, |node, key| child(node, key))?;
        Some(Self(node.clone()))
    }

    /// Returns every single value in it, with the keys on the way there, `[0]` and on for the places
    /// of a list, joined by dots.
    pub fn leaves(&self) -> Vec<(String, Self)> {
        let mut found = Vec::new();
        leaves(&self.0, "", &mut found);
        found
    }

    /// Returns the values of a list; none of anything else.
    pub fn items(&self) -> Option<Vec<Self>> {
        let Kind::List(items) = &self.0.kind else { return None };
        Some(items.iter().cloned().map(Self).collect())
    }

    /// Returns it as a single value; none of a list, a table, or what nothing here takes.
    pub fn scalar(&self) -> Option<Scalar> {
        match &self.0.kind {
            Kind::Text(text) => Some(Scalar::Text(text.clone())),
            Kind::Whole(number) => Some(Scalar::Whole(*number)),
            Kind::Real(number) => Some(Scalar::Real(*number)),
            Kind::Truth(truth) => Some(Scalar::Truth(*truth)),
            Kind::List(_) | Kind::Table(_) | Kind::Other(_) => None,
        }
    }

    /// Makes a value that stands where this one does; there is none of a null.
    pub fn with(&self, scalar: &Scalar) -> Option<Self> {
        let kind = match scalar {
            Scalar::Null => return None,
            Scalar::Text(text) => Kind::Text(text.clone()),
            Scalar::Whole(number) => Kind::Whole(*number),
            Scalar::Real(number) => Kind::Real(*number),
            Scalar::Truth(truth) => Kind::Truth(*truth),
        };
        Some(Self(Node { place: self.0.place.clone(), kind }))
    }

    /// Returns the byte of its text where it stands.
    pub fn position(&self) -> usize {
        self.0.place.at
    }

    /// Returns what faults call the text that it stands in, usually a path.
    pub fn label(&self) -> &str {
        &self.0.place.source.label
    }

    /// Makes a fault of it.
    pub fn fault(&self, message: String, hint: Option<String>) -> Fault {
        self.0.place.fault(message, hint)
    }

    /// Makes that fault all that is wrong.
    pub fn refuse(&self, message: String, hint: Option<String>) -> Faults {
        Faults { faults: vec![self.fault(message, hint)] }
    }
}

fn leaves(node: &Node, path: &str, found: &mut Vec<(String, Value)>) {
    let dot = if path.is_empty() { "" } else { "." };
    match &node.kind {
        Kind::Table(entries) => {
            for entry in entries {
                leaves(&entry.node, &format!("{path}{dot}{}", entry.key), found);
            }
        }
        Kind::List(items) => {
            for (at, item) in items.iter().enumerate() {
                leaves(item, &format!("{path}{dot}[{at}]"), found);
            }
        }
        Kind::Text(_) | Kind::Whole(_) | Kind::Real(_) | Kind::Truth(_) | Kind::Other(_) => {
            found.push((path.to_owned(), Value(node.clone())));
        }
    }
}

fn child<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Kind::Table(entries) = &node.kind else { return None };
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
}

impl Document {
    /// Makes a document of a value, called as the text that it stands in; its readers find it under
    /// `key`.
    pub fn of(key: &str, value: Value) -> Self {
        let (place, text) = (value.0.place.clone(), value.0.place.source.clone());
        let entry = Entry { key: key.to_owned(), place: place.clone(), node: value.0 };
        Self::new(text, Node { place, kind: Kind::Table(vec![entry]) })
    }

    /// Returns all of it as a value.
    pub fn whole(&self) -> Value {
        Value(self.root.clone())
    }

    /// Returns the value under a path of keys, if there is one.
    pub fn get(&self, path: &[String]) -> Option<Value> {
        let node = path.iter().try_fold(&self.root, |node, key| child(node, key))?;
        Some(Value(node.clone()))
    }

    /// Puts a value under a path of keys, in place of what is there. Tables on the way are made.
    ///
    /// # Errors
    ///
    /// When something on the way is no table.
    pub fn set(&mut self, path: &[String], value: Value) -> Result<(), Blocked> {
        let place = value.0.place.clone();
        let mut node = &mut self.root;
        for (depth, key) in path.iter().enumerate() {
            let Kind::Table(entries) = &mut node.kind else {
                return Err(Blocked(path[..depth].join(".")));
            };
            let at = entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
                let table = Node { place: place.clone(), kind: Kind::Table(Vec::new()) };
                entries.push(Entry { key: key.clone(), place: place.clone(), node: table });
                entries.len() - 1
            });
            node = &mut entries[at].node;
        }
        *node = value.0;
        Ok(())
    }

    /// Takes away what stands under a path of keys, whether its dots part tables or stand in one key
    /// in quotes, and returns whether there was something. Tables that are empty then stay, but for
    /// those below a table of axes, where an empty one would be an axis.
    pub fn remove(&mut self, path: &[String]) -> bool {
        remove(&mut self.root, path, false)
    }

    /// Takes over from `base` what this document does not say itself; tables that both have are put
    /// together, the keys of `base` first.
    pub fn extend(&mut self, base: &Self) {
        extend(&mut self.root, &base.root);
    }
}

fn remove(node: &mut Node, path: &[String], of_axes: bool) -> bool {
    let Kind::Table(entries) = &mut node.kind else { return false };
    for len in (1..=path.len()).rev() {
        let (key, below) = (path[..len].join("."), &path[len..]);
        let Some(at) = entries.iter().position(|entry| entry.key == key) else { continue };
        if below.is_empty() {
            entries.remove(at);
            return true;
        }
        if remove(&mut entries[at].node, below, of_axes || key == "axes") {
            let is_empty = matches!(&entries[at].node.kind, Kind::Table(left) if left.is_empty());
            if of_axes && is_empty {
                entries.remove(at);
            }
            return true;
        }
    }
    false
}

fn extend(own: &mut Node, base: &Node) {
    let (Kind::Table(own), Kind::Table(base)) = (&mut own.kind, &base.kind) else { return };
    let mut merged = base.clone();
    for mut entry in own.drain(..) {
        match merged.iter_mut().find(|known| known.key == entry.key) {
            Some(known) => {
                extend(&mut entry.node, &known.node);
                *known = entry;
            }
            None => merged.push(entry),
        }
    }
    *own = merged;
}

/// Parses a dotted path as TOML has it: `slo."ttft_p99.9_ms"` are two keys. None when it is no path
/// of keys.
pub fn key_path(text: &str) -> Option<Vec<String>> {
    let document = Document::parse(text, &format!("{text} = 0")).ok()?;
    let mut keys = Vec::new();
    let mut node = &document.root;
    while let Kind::Table(entries) = &node.kind {
        // More than one, or none behind a `#`.
        let [entry] = entries.as_slice() else { return None };
        keys.push(entry.key.clone());
        node = &entry.node;
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Bounds, Table};

    fn path(text: &str) -> Vec<String> {
        key_path(text).unwrap()
    }

    #[test]
    fn a_path_may_have_keys_in_quotes() {
        assert_eq!(path("cluster.num_backends"), ["cluster", "num_backends"]);
        assert_eq!(path("slo.\"ttft_p99.9_ms\""), ["slo", "ttft_p99.9_ms"]);
        for wrong in ["a b", "", "#a", "a = 1\nb"] {
            assert_eq!(key_path(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_value_that_was_put_in_is_faulted_where_it_came_from() {
        let mut config = Document::parse("c.toml", "[cluster]\nnum = 4\nrate = -1\n").unwrap();
        let manifest = Document::parse("m.toml", "\n\nvalue = -8").unwrap();
        let value = manifest.get(&path("value")).unwrap();
        config.set(&path("cluster.num"), value.clone()).unwrap();
        config.set(&path("cluster.deep.er"), value.clone()).unwrap();
        let read = |root: &mut Table<'_>| {
            root.section("cluster", |table| {
                table.whole("num", 0..=9);
                table.real("rate", Bounds::Positive)
            })
        };
        assert_eq!(
            config.settle(read).unwrap_err().to_string(),
            "c.toml:3:8: `cluster.rate` is -1, expected a number above 0\n\
             m.toml:3:9: `cluster.num` is -8, expected a whole number from 0 to 9\n\
             m.toml:3:9: unknown key `deep` in [cluster]\n\
             hint: one of: num, rate"
        );
        let blocked = config.set(&path("cluster.num.x"), value).unwrap_err();
        assert_eq!(blocked, Blocked("cluster.num".to_owned()));
    }

    #[test]
    fn what_is_taken_away_may_be_written_with_dots_or_in_quotes() {
        let text = "[grid.axes]\na.b = [1]\n\"c.d\" = [2]\ne.\"f.g\" = [3]\n[run]\nx = 1\n";
        let mut document = Document::parse("b.toml", text).unwrap();
        for (taken, there) in [
            ("grid.axes.a.b", true),
            ("grid.axes.c.d", true),
            ("grid.axes.e.\"f.g\"", true),
            ("grid.axes.e.f", false),
            ("run.x", true),
            ("run.x", false),
        ] {
            assert_eq!(document.remove(&path(taken)), there, "{taken}");
        }
        assert!(document.whole().leaves().is_empty());
        let left = |at: &str| document.get(&path(at)).is_some();
        assert!(left("grid.axes") && left("run") && !left("grid.axes.a"));
    }

    #[test]
    fn a_document_says_itself_what_its_base_says_otherwise() {
        let base = Document::parse("b.toml", "a = 1\nl = [1]\n[t]\nx = 1\ny = 2\n").unwrap();
        let mut own = Document::parse("o.toml", "l = [2]\nz = 0\n[t]\ny = 3\n").unwrap();
        own.extend(&base);
        let Kind::Table(entries) = &own.root.kind else { unreachable!() };
        let keys: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["a", "l", "t", "z"]);
        let whole =
            |at: &str| own.get(&path(at)).map(|value| value.scalar() == Some(Scalar::Whole(3)));
        assert_eq!((whole("t.y"), whole("t.x"), whole("t.q")), (Some(true), Some(false), None));
    }
}
