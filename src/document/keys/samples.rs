//! Values to try at a key, for tests that hold a catalogue to its reader.

use serde_json::{Value, json};

use super::{Bounds, Key, KeyKind, Keys};

/// A text that nothing is called and no form admits.
const NO_NAME: &str = "no such name";

impl Keys {
    /// Returns the document with `value` at the dotted path, tables made on the way.
    pub(crate) fn with(document: &Value, path: &str, value: Value) -> Value {
        let mut document = document.clone();
        let place = path.split('.').fold(&mut document, |table, key| &mut table[key]);
        *place = value;
        document
    }

    /// Returns every key that is no table with its dotted path.
    pub(crate) fn leaves(&self) -> Vec<(String, &Key)> {
        let mut entries = self.entries();
        entries.retain(|(_, key)| !matches!(key.kind, KeyKind::Table(_)));
        entries
    }
}

impl KeyKind {
    /// Returns values of every kind, and those at the bounds and just beyond.
    pub(crate) fn samples(&self) -> Vec<Value> {
        let mut samples =
            vec![json!(true), json!(NO_NAME), json!(-1), json!(1.5), json!(["x"]), json!({"x": 1})];
        self.add_samples(&mut samples);
        samples
    }

    fn add_samples(&self, samples: &mut Vec<Value>) {
        match self {
            Self::OneOf(values) => samples.extend(values.iter().cloned()),
            Self::Whole(range) => {
                let (low, high) = (*range.start(), *range.end());
                samples.extend([json!(low), json!(low + 1)]);
                samples.extend(low.checked_sub(1).map(Value::from));
                if high < u64::MAX {
                    samples.extend([json!(high), json!(high + 1)]);
                }
            }
            Self::Real(Bounds::Between(low, high)) => {
                let near = |value: f64, times: f64| value + times * value.abs().max(1e-9) * 1e-6;
                samples.extend([*low, near(*low, -1.0), *high, near(*high, 1.0)].map(Value::from));
            }
            Self::Real(Bounds::Positive | Bounds::NonNegative) => {
                samples.extend([0.0, 1e-300, -1e-300, 1e300].map(Value::from));
            }
            Self::List(item, _) => {
                samples.push(json!([]));
                samples.extend(item.samples().into_iter().map(|value| json!([value])));
            }
            Self::Either(kinds) => kinds.iter().for_each(|kind| kind.add_samples(samples)),
            Self::Anything
            | Self::Truth
            | Self::Text
            | Self::Form(_)
            | Self::Number
            | Self::Table(_)
            | Self::Shared(_) => {}
        }
    }

    /// Returns whether the value may stand there. Of forms and what is shared it knows no more
    /// than that [`NO_NAME`] is none.
    pub(crate) fn admits(&self, value: &Value) -> bool {
        match self {
            Self::Anything | Self::Shared(_) => *value != json!(NO_NAME),
            Self::Truth => value.is_boolean(),
            Self::Text => value.is_string(),
            Self::Form(_) => value.is_string() && *value != json!(NO_NAME),
            Self::OneOf(values) => values.contains(value),
            Self::Whole(range) => value.as_u64().is_some_and(|whole| range.contains(&whole)),
            Self::Number => value.is_number(),
            Self::Real(bounds) => value.as_f64().is_some_and(|number| match bounds {
                Bounds::Positive => number > 0.0,
                Bounds::NonNegative => number >= 0.0,
                Bounds::Between(low, high) => *low <= number && number <= *high,
            }),
            Self::List(item, least) => value.as_array().is_some_and(|items| {
                items.len() >= *least && items.iter().all(|value| item.admits(value))
            }),
            Self::Table(keys) => value.as_object().is_some_and(|table| {
                let known = |name: &String, value: &Value| {
                    keys.keys.iter().any(|key| key.name == *name && key.kind.admits(value))
                };
                table.iter().all(|(name, value)| known(name, value))
                    && keys.keys.iter().all(|key| !key.required || table.contains_key(&key.name))
            }),
            Self::Either(kinds) => kinds.iter().any(|kind| kind.admits(value)),
        }
    }
}
