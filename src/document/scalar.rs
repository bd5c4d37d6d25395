//! Single values: what a key of a document or a column of a table may hold.

use std::fmt;

/// A single value.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Nothing: the key does not apply.
    Null,
    /// Yes or no.
    Truth(bool),
    /// A whole number.
    Whole(i64),
    /// A real number.
    Real(f64),
    /// A text.
    Text(String),
}

impl fmt::Display for Scalar {
    /// Writes it as people do: texts bare, numbers with the fewest digits that give them back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Truth(truth) => truth.fmt(f),
            Self::Whole(number) => number.fmt(f),
            Self::Real(number) if *number != 0.0 && !(1e-5..1e16).contains(&number.abs()) => {
                write!(f, "{number:e}")
            }
            Self::Real(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}
