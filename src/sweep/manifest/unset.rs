//! Keys that a manifest does not take from those it extends.

use std::collections::BTreeSet;

use crate::document::{Document, FaultSet, Scalar, Value, did_you_mean, key_path, suggestion};

/// The keys that `unset` of a manifest, and of those that it extends, names.
#[derive(Debug, Default)]
pub(super) struct Unset {
    keys: Vec<Key>,
    /// Paths that the manifests had from which keys were taken.
    known: BTreeSet<String>,
}

#[derive(Debug)]
struct Key {
    text: String,
    path: Vec<String>,
    place: Value,
    was_there: bool,
}

impl Unset {
    /// Reads `unset` of a manifest, which goes for those that it extends.
    pub(super) fn read(&mut self, document: &Document, extends: bool, faults: &mut FaultSet) {
        let Some(list) = document.get(&["unset".to_owned()]) else { return };
        if !extends {
            let hint = "leave out what it names".to_owned();
            let message = "`unset` goes with `extends`: it names keys of that manifest".to_owned();
            faults.add(list.fault(message, Some(hint)));
            return;
        }
        let Some(items) = list.items() else {
            let hint = "such as `unset = [\"grid.axes.load\", \"run.max_events\"]`".to_owned();
            faults.add(list.fault("`unset` is a list of keys".to_owned(), Some(hint)));
            return;
        };
        for place in items {
            let text = match place.scalar() {
                Some(Scalar::Text(text)) => text,
                other => other.map_or_else(|| "this".to_owned(), |value| value.to_string()),
            };
            match key_path(&text) {
                Some(path) => self.keys.push(Key { text, path, place, was_there: false }),
                None => {
                    let hint = "keys are joined by dots: `grid.axes.load`".to_owned();
                    faults.add(place.fault(format!("`{text}` is no key"), Some(hint)));
                }
            }
        }
    }

    /// Takes the keys away from a manifest that is extended.
    pub(super) fn take_from(&mut self, base: &mut Document) {
        for (path, _) in base.whole().leaves() {
            let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
            self.known.extend(ends.map(|end| path[..end].to_owned()));
        }
        for key in &mut self.keys {
            key.was_there |= base.remove(&key.path);
        }
    }

    /// Refuses keys that no manifest had: most likely they are misspelt.
    pub(super) fn finish(self, faults: &mut FaultSet) {
        let known: Vec<&str> = self.known.iter().map(String::as_str).collect();
        for Key { text, place, .. } in self.keys.iter().filter(|key| !key.was_there) {
            let like = suggestion(text, known.iter().copied());
            let (message, hint) = match like {
                Some(like) if like == text => {
                    (format!("`{text}` is taken away already, by itself or with its table"), None)
                }
                like => {
                    let hint = like.map(|like| did_you_mean(text, &[like]));
                    (format!("nothing that is extended has `{text}`"), hint)
                }
            };
            faults.add(place.fault(message, hint));
        }
    }
}
