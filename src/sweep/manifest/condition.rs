//! Expressions of a manifest, with their place.

use crate::document::{Fault, Item, Scalar, Value};
use crate::sweep::expr::{Expr, ExprError};

/// An expression and where it stands.
#[derive(Clone, Debug)]
pub(in crate::sweep) struct Condition {
    pub(in crate::sweep) expr: Expr,
    place: Value,
}

impl Condition {
    /// Reads an expression from a text.
    pub(super) fn read(item: &Item<'_>) -> Option<Self> {
        let text = item.text()?;
        match Expr::parse(&text) {
            Ok(expr) => Some(Self { expr, place: item.value() }),
            Err(error) => {
                item.fault(message(&text, &error), error.hint);
                None
            }
        }
    }

    /// Returns the value.
    ///
    /// # Errors
    ///
    /// The fault of the expression, at its place in the manifest.
    pub(in crate::sweep) fn evaluate(
        &self,
        lookup: &dyn Fn(&str) -> Option<Scalar>,
    ) -> Result<Scalar, Box<Fault>> {
        self.expr.evaluate(lookup).map_err(|error| self.fault(&error))
    }

    /// Returns whether it holds.
    ///
    /// # Errors
    ///
    /// The fault of the expression, or that it is neither true nor false.
    pub(in crate::sweep) fn holds(
        &self,
        lookup: &dyn Fn(&str) -> Option<Scalar>,
    ) -> Result<bool, Box<Fault>> {
        match self.evaluate(lookup)? {
            Scalar::Truth(truth) => Ok(truth),
            other => {
                let message = format!("`{}` is {other}, expected true or false", self.expr.text());
                Err(Box::new(self.place.fault(message, None)))
            }
        }
    }

    /// Returns the place of its value.
    pub(in crate::sweep) fn place(&self) -> &Value {
        &self.place
    }

    fn fault(&self, error: &ExprError) -> Box<Fault> {
        Box::new(self.place.fault(message(self.expr.text(), error), error.hint.clone()))
    }
}

/// Says what is wrong, and after how much of the text.
fn message(text: &str, error: &ExprError) -> String {
    let before = text.get(..error.at).unwrap_or("").chars().count();
    format!("`{text}`, character {}: {}", before + 1, error.message)
}
