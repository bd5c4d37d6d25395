//! Expressions of a manifest: what a cell must satisfy, and keys that follow from others.
//!
//! ```text
//! cluster.num_backends * cluster.tensor_parallel <= 16 && rate / cluster.num_backends < 4
//! ```
//!
//! Literals are whole numbers, reals, texts in `'…'` or `"…"`, `true`, `false` and `null`; names are
//! identifiers joined by dots. From loose to tight: `||` (`or`), `&&` (`and`), `not`, comparisons
//! with `in [a, b]` and `not in`, `+ -`, `* / %`, `!` and unary `-`. Functions are `int`, `round`,
//! `floor`, `ceil`, `abs`, `min`, `max`, `sqrt`, `log2`, `pow` and `if(condition, a, b)`.
//!
//! `+ - * %`, `abs` and `pow` of whole numbers are whole, `/`, `sqrt` and `log2` are real. `%` has
//! the sign of its left side. `||`, `&&`, `in` and `if` evaluate no more than they need. Nothing is
//! converted in silence: what does not fit, and a result that is not finite, is an error.

mod compared;
mod evaluate;
mod lex;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::document::Scalar;

pub use compared::ComparedText;
use parse::Term;

/// An expression, parsed.
#[derive(Clone, Debug)]
pub struct Expr {
    text: String,
    /// Each name once, in the order of their first appearance.
    names: Vec<String>,
    root: Term,
}

/// What is wrong with an expression, or why it has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ExprError {
    /// Where, as a byte of the text.
    pub at: usize,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Expr {
    /// Parses an expression.
    ///
    /// # Errors
    ///
    /// The first thing that is no expression; also one that is nested over a hundred levels deep or
    /// has so many operators in a row.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        let (root, names) = parse::parse(text)?;
        Ok(Self { text: text.to_owned(), names, root })
    }

    /// Returns the expression `false`.
    pub fn never() -> Self {
        Self { text: "false".to_owned(), names: Vec::new(), root: Term::never() }
    }

    /// Returns each name once, in the order of their first appearance.
    pub fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    /// Returns the value, where `lookup` says what a name stands for.
    ///
    /// # Errors
    ///
    /// When `lookup` does not know a name, a value has the wrong type, a whole number leaves 64 bits
    /// or a result is not finite. What is not evaluated has no error.
    pub fn evaluate(&self, lookup: &dyn Fn(&str) -> Option<Scalar>) -> Result<Scalar, ExprError> {
        self.root.evaluate(lookup)
    }

    /// Returns the texts that names are compared with, from left to right.
    pub fn compared_texts(&self) -> Vec<ComparedText<'_>> {
        let mut found = Vec::new();
        compared::gather(&self.root, &mut found);
        found
    }

    /// Returns the text as it was parsed.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Returns the message of a name that stands for nothing.
fn unknown_name(name: &str) -> String {
    format!("unknown name `{name}`")
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at, self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}

impl ExprError {
    /// Returns the name, of some, that stands for nothing, if that is what is wrong.
    pub(super) fn unknown<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.message == unknown_name(name))
    }

    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}
