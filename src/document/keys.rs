//! What a file may say, as a catalogue of keys, and that catalogue as JSON Schema for editors.
//!
//! Readers and catalogues are written apart. Tests hold them equal: the keys that a reader asks
//! for, the bounds that it keeps, and the defaults that it takes.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::read::Bounds;

#[cfg(test)]
mod samples;

/// The keys of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keys {
    /// Each key that has a name of its own, in the order to show them.
    pub keys: Vec<Key>,
    /// Keys that only have a form, as a regular expression, and what stands there.
    pub others: Option<(String, Box<KeyKind>)>,
    /// What must hold between keys, as JSON Schema.
    pub rules: Vec<Value>,
}

/// A key and what may stand there.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The key, without those of the tables that it stands in.
    pub name: String,
    /// What it means, in one line with its unit.
    pub about: String,
    /// What may stand there.
    pub kind: KeyKind,
    /// What holds where the key is not given, if that is always the same.
    pub default: Option<Value>,
    /// Whether the table must have it.
    pub required: bool,
}

/// What may stand at a key.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyKind {
    /// Any value.
    Anything,
    /// True or false.
    Truth,
    /// A text.
    Text,
    /// A text that fits a regular expression.
    Form(String),
    /// One of these values.
    OneOf(Vec<Value>),
    /// A whole number.
    Whole(RangeInclusive<u64>),
    /// A number.
    Number,
    /// A number within bounds.
    Real(Bounds),
    /// A list of so many items or more.
    List(Box<Self>, usize),
    /// A table.
    Table(Keys),
    /// One of these kinds.
    Either(Vec<Self>),
    /// A kind that is defined once, by its name.
    Shared(&'static str),
}

impl Key {
    /// Makes a key that need not be there.
    pub fn new(name: &str, kind: KeyKind, about: &str) -> Self {
        let (name, about) = (name.to_owned(), about.to_owned());
        Self { name, about, kind, default: None, required: false }
    }

    /// Says what holds where the key is not given.
    #[must_use]
    pub fn default(self, value: impl Into<Value>) -> Self {
        Self { default: Some(value.into()), ..self }
    }

    /// Says that the table must have the key.
    #[must_use]
    pub fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

impl From<Vec<Key>> for Keys {
    fn from(keys: Vec<Key>) -> Self {
        Self { keys, others: None, rules: Vec::new() }
    }
}

impl Keys {
    /// Allows keys of a form, a regular expression, beside those with names.
    #[must_use]
    pub fn others(self, form: &str, kind: KeyKind) -> Self {
        Self { others: Some((form.to_owned(), Box::new(kind))), ..self }
    }

    /// Adds what must hold between keys, as JSON Schema.
    #[must_use]
    pub fn rule(mut self, rule: Value) -> Self {
        self.rules.push(rule);
        self
    }

    /// Returns the same keys with none required and no rules: a part of such a table.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.rules.clear();
        for key in &mut self.keys {
            key.required = false;
            if let KeyKind::Table(keys) = &mut key.kind {
                *keys = std::mem::take(keys).optional();
            }
        }
        self
    }

    /// Returns the dotted path of every key with a name, tables included. Keys of a table in a
    /// list stand after `[]`, those of a table under a key that has but a form after `*`.
    pub fn paths(&self) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        self.add_paths("", &mut paths);
        paths
    }

    fn add_paths(&self, under: &str, paths: &mut BTreeSet<String>) {
        let dot = if under.is_empty() { "" } else { "." };
        for key in &self.keys {
            let path = format!("{under}{dot}{}", key.name);
            key.kind.add_paths(&path, paths);
            paths.insert(path);
        }
        if let Some((_, kind)) = &self.others {
            kind.add_paths(&format!("{under}{dot}*"), paths);
        }
    }

    /// Returns every key with a name with its dotted path, tables before what they hold. Tables
    /// that are one kind of several, or stand in a list, are not looked into.
    pub fn entries(&self) -> Vec<(String, &Key)> {
        let mut entries = Vec::new();
        for key in &self.keys {
            entries.push((key.name.clone(), key));
            if let KeyKind::Table(keys) = &key.kind {
                let below = keys.entries().into_iter();
                entries.extend(below.map(|(path, below)| (format!("{}.{path}", key.name), below)));
            }
        }
        entries
    }

    fn schema(&self) -> Map<String, Value> {
        let properties: Map<String, Value> =
            self.keys.iter().map(|key| (key.name.clone(), key.schema())).collect();
        let mut schema = object(json!({ "type": "object", "additionalProperties": false }));
        schema.insert("properties".to_owned(), properties.into());
        let required: Vec<&str> =
            self.keys.iter().filter(|key| key.required).map(|key| key.name.as_str()).collect();
        if !required.is_empty() {
            schema.insert("required".to_owned(), json!(required));
        }
        if let Some((form, kind)) = &self.others {
            schema.insert("patternProperties".to_owned(), json!({ form: kind.schema() }));
        }
        if !self.rules.is_empty() {
            schema.insert("allOf".to_owned(), json!(self.rules));
        }
        schema
    }
}

impl Key {
    fn schema(&self) -> Value {
        let mut schema = match &self.kind {
            // What stands beside a reference is not read.
            KeyKind::Shared(_) => object(json!({ "allOf": [self.kind.schema()] })),
            kind => kind.schema(),
        };
        schema.insert("description".to_owned(), json!(self.about));
        if let Some(default) = &self.default {
            schema.insert("default".to_owned(), default.clone());
        }
        schema.into()
    }
}

impl KeyKind {
    /// One of these texts.
    pub fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::OneOf(names.into_iter().map(Value::from).collect())
    }

    fn add_paths(&self, path: &str, paths: &mut BTreeSet<String>) {
        match self {
            Self::Table(keys) => keys.add_paths(path, paths),
            Self::List(item, _) => item.add_paths(&format!("{path}[]"), paths),
            Self::Either(kinds) => {
                for kind in kinds {
                    kind.add_paths(path, paths);
                }
            }
            Self::Anything
            | Self::Truth
            | Self::Text
            | Self::Form(_)
            | Self::OneOf(_)
            | Self::Whole(_)
            | Self::Number
            | Self::Real(_)
            | Self::Shared(_) => {}
        }
    }

    fn schema(&self) -> Map<String, Value> {
        match self {
            Self::Anything => Map::new(),
            Self::Truth => object(json!({ "type": "boolean" })),
            Self::Text => object(json!({ "type": "string" })),
            Self::Form(form) => object(json!({ "type": "string", "pattern": form })),
            Self::OneOf(values) => object(json!({ "enum": values })),
            Self::Whole(range) => {
                let mut schema = object(json!({ "type": "integer", "minimum": range.start() }));
                if *range.end() < u64::MAX {
                    schema.insert("maximum".to_owned(), json!(range.end()));
                }
                schema
            }
            Self::Number => object(json!({ "type": "number" })),
            Self::Real(Bounds::Positive) => {
                object(json!({ "type": "number", "exclusiveMinimum": 0 }))
            }
            Self::Real(Bounds::NonNegative) => object(json!({ "type": "number", "minimum": 0 })),
            Self::Real(Bounds::Between(low, high)) => {
                object(json!({ "type": "number", "minimum": low, "maximum": high }))
            }
            Self::List(item, least) => {
                object(json!({ "type": "array", "items": item.schema(), "minItems": least }))
            }
            Self::Table(keys) => keys.schema(),
            Self::Either(kinds) => {
                let kinds: Vec<Map<String, Value>> = kinds.iter().map(Self::schema).collect();
                object(json!({ "anyOf": kinds }))
            }
            Self::Shared(name) => object(json!({ "$ref": format!("#/definitions/{name}") })),
        }
    }
}

/// Returns a file's keys as JSON Schema, draft 7, which TOML editors read. `shared` are the kinds
/// that others name.
pub fn json_schema(title: &str, about: &str, root: &Keys, shared: &[(&str, KeyKind)]) -> Value {
    let mut schema = object(json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": title,
        "description": about,
    }));
    schema.append(&mut root.schema());
    if !shared.is_empty() {
        let definitions: Map<String, Value> = shared
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), Value::from(kind.schema())))
            .collect();
        schema.insert("definitions".to_owned(), definitions.into());
    }
    schema.into()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => unreachable!("every schema here is written as an object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_properties() {
        let mode = KeyKind::names(["fast", "slow"]);
        let keys = Keys::from(vec![
            Key::new("size", KeyKind::Whole(1..=9), "tokens").default(4),
            Key::new("mode", KeyKind::Either(vec![mode, KeyKind::Truth]), "how").required(),
            Key::new("axis", KeyKind::Shared("axis"), "what varies"),
        ])
        .others("^x_", KeyKind::Real(Bounds::Positive))
        .rule(json!({ "not": { "required": ["size", "axis"] } }));
        let shared =
            [("axis", KeyKind::List(Box::new(KeyKind::Real(Bounds::Between(0.5, 2.0))), 1))];
        let expected = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "title": "T",
            "description": "D",
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "size": {
                    "type": "integer", "minimum": 1, "maximum": 9,
                    "description": "tokens", "default": 4,
                },
                "mode": {
                    "anyOf": [{ "enum": ["fast", "slow"] }, { "type": "boolean" }],
                    "description": "how",
                },
                "axis": {
                    "allOf": [{ "$ref": "#/definitions/axis" }], "description": "what varies",
                },
            },
            "required": ["mode"],
            "patternProperties": { "^x_": { "type": "number", "exclusiveMinimum": 0 } },
            "allOf": [{ "not": { "required": ["size", "axis"] } }],
            "definitions": {
                "axis": {
                    "type": "array",
                    "items": { "type": "number", "minimum": 0.5, "maximum": 2.0 },
                    "minItems": 1,
                },
            },
        });
        assert_eq!(json_schema("T", "D", &keys, &shared), expected);
    }

    #[test]
    fn paths_go_through_lists_alternatives_and_forms() {
        let table = |name| KeyKind::Table(vec![Key::new(name, KeyKind::Text, "")].into());
        let item = KeyKind::Either(vec![KeyKind::Text, table("name")]);
        let keys = Keys::from(vec![
            Key::new("list", KeyKind::List(Box::new(item), 1), ""),
            Key::new("grids", KeyKind::Table(Keys::default().others(".", table("rates"))), ""),
            Key::new(
                "a",
                KeyKind::Table(vec![Key::new("b", table("c"), "").required()].into()),
                "",
            ),
        ]);
        let paths: Vec<String> = keys.paths().into_iter().collect();
        assert_eq!(paths, ["a", "a.b", "a.b.c", "grids", "grids.*.rates", "list", "list[].name"]);
        let entries: Vec<String> = keys.entries().into_iter().map(|(path, _)| path).collect();
        assert_eq!(entries, ["list", "grids", "a", "a.b", "a.b.c"]);
        let mut required = keys.clone().optional();
        assert!(required.entries().iter().all(|(_, key)| !key.required));
        required.keys.truncate(2);
        assert_eq!(required.keys, keys.keys[..2]);
    }
}
