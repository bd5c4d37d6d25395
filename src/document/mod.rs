//! TOML files read key by key, with every fault of a file reported at once.
//!
//! A [`Document`] is the parsed text, a [`Table`] hands out checked values and remembers which
//! keys were asked for, and [`Table::close`] turns what is left over into "unknown key" faults with
//! a suggestion. A reader never stops at a fault: it takes the default and goes on, and
//! [`Document::settle`] gives the value only when there was none.

#[cfg(test)]
mod asked;
mod edit;
mod faults;
mod keys;
mod read;
mod scalar;
mod value;

#[cfg(test)]
pub(crate) use asked::asked_of;
pub use edit::{Blocked, Value, key_path};
pub use faults::{Fault, FaultSet, Faults};
pub use keys::{Key, KeyKind, Keys, json_schema};
pub use read::{Bounds, Item, Table};
pub use scalar::Scalar;
pub use value::Document;

/// What the label of a text begins with that was given on the command line: its places are none
/// that anybody could look up.
pub const ON_COMMAND_LINE: &str = "--set ";

/// Returns the candidate that `word` most likely meant, if one is near enough.
pub fn suggestion<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Returns the hint "did you mean `x`?" or, when nothing is near, the list of what there is.
pub fn did_you_mean(word: &str, candidates: &[&str]) -> String {
    match suggestion(word, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("one of: {}", candidates.join(", ")),
    }
}
