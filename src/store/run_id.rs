//! The id of a run.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::digest::{short_hash, short_hash_of_digits};

/// The id of a run: the first 64 bits of a hash over what it depends on, written as 16 hexadecimal
/// digits. Of a million ids two are the same once in 37 million grids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(into = "String", try_from = "String")]
pub struct RunId(u64);

impl RunId {
    /// Returns the id of the run that a text stands for: of its SHA-256.
    pub fn of(text: &str) -> Self {
        Self(short_hash(text.as_bytes()))
    }

    /// Reads an id as it is written: 16 digits from `0` to `9` and `a` to `f`.
    pub fn parse(text: &str) -> Option<Self> {
        short_hash_of_digits(text).map(Self)
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for RunId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is no id of a run"))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        // FIPS 180-2, appendix B.1.
        let id = RunId::of("abc");
        assert_eq!(id.to_string(), "ba7816bf8f01cfea");
        assert_eq!(RunId::parse("ba7816bf8f01cfea"), Some(id));
        for text in ["0000000000000000", "00000000000000ff", "ffffffffffffffff"] {
            assert_eq!(RunId::parse(text).unwrap().to_string(), text);
        }
        for wrong in
            ["", "ba7816bf8f01cfe", "ba7816bf8f01cfea0", "BA7816BF8F01CFEA", "ba7816bf8f01cfé"]
        {
            assert_eq!(RunId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ids_are_in_the_order_of_their_texts() {
        let ids = ["0fffffffffffffff", "7000000000000000", "8000000000000000", "ffffffffffffffff"];
        assert!(ids.map(RunId::parse).is_sorted());
    }
}
