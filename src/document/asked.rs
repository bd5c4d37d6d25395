//! Which keys readers ask for, so that tests can hold the catalogues to them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

thread_local! {
    /// Dotted paths by the label of the document.
    static ASKED: RefCell<BTreeMap<String, BTreeSet<String>>> = RefCell::default();
}

/// Returns the dotted path of every key that `read` asks the documents of that label for, `[]` in
/// place of a list's indices.
pub(crate) fn asked_of(label: &str, read: impl FnOnce()) -> BTreeSet<String> {
    ASKED.with_borrow_mut(BTreeMap::clear);
    read();
    ASKED.with_borrow_mut(|asked| asked.remove(label).unwrap_or_default())
}

/// Keeps what was asked.
pub(super) fn note(label: &str, paths: BTreeSet<String>) {
    ASKED.with_borrow_mut(|asked| asked.entry(label.to_owned()).or_default().extend(paths));
}

/// Returns the path of a key of the table at `table`, without indices.
pub(super) fn path(table: &str, key: &str) -> String {
    let mut path = String::new();
    for part in table.split_inclusive('[') {
        path.push_str(part.trim_start_matches(|c: char| path.ends_with('[') && c.is_ascii_digit()));
    }
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[test]
fn indices_are_left_out() {
    assert_eq!(path("", "a"), "a");
    assert_eq!(path("a.b2", "c"), "a.b2.c");
    assert_eq!(path("a[12].b[0]", "c"), "a[].b[].c");
}
