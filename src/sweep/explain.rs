//! What sets two cells apart.

use std::collections::BTreeMap;

use serde_json::Value;

/// A key in which two specs differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key, by its path.
    pub path: String,
    /// Its value here, as JSON; none where it does not stand.
    pub own: Option<String>,
    /// Its value there.
    pub other: Option<String>,
}

/// Returns the keys in which two specs differ, in the order of their paths.
pub fn differences(own: &str, other: &str) -> Vec<Difference> {
    let (own, other) = (leaves(own), leaves(other));
    let mut paths: Vec<&String> = own.keys().chain(other.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    let difference = |path: &String| {
        let (own, other) = (own.get(path), other.get(path));
        (own != other).then(|| Difference {
            path: path.clone(),
            own: own.cloned(),
            other: other.cloned(),
        })
    };
    paths.into_iter().filter_map(difference).collect()
}

/// Returns which of the others differs in the fewest keys, and in which.
pub fn nearest<'a>(
    own: &str,
    others: impl Iterator<Item = (&'a str, &'a str)>,
) -> Option<(&'a str, Vec<Difference>)> {
    others
        .map(|(id, other)| (id, differences(own, other)))
        .min_by_key(|(_, differences)| differences.len())
}

/// Returns every value of a JSON text by its path.
fn leaves(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        gather(&value, String::new(), &mut found);
    }
    found
}

fn gather(value: &Value, path: String, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                gather(value, format!("{path}{dot}{key}"), found);
            }
        }
        other => {
            found.insert(path, other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_key_by_key() {
        let own = r#"{"cluster":{"num_backends":8,"gpu":"a"},"rate_rps":3,"slo":[["x",1]]}"#;
        let other = r#"{"cluster":{"num_backends":4,"gpu":"a","model":"m"},"slo":[["x",1]]}"#;
        let found: Vec<_> = (differences(own, other).into_iter())
            .map(|one| (one.path, one.own.unwrap_or_default(), one.other.unwrap_or_default()))
            .collect();
        let expected = [
            ("cluster.model", "", "\"m\""),
            ("cluster.num_backends", "8", "4"),
            ("rate_rps", "3", ""),
        ];
        assert_eq!(found, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
        let others = [("far", other), ("near", own)];
        assert_eq!(nearest(own, others.into_iter()), Some(("near", Vec::new())));
    }
}
