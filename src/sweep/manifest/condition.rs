//! Expressions of a manifest, with their place.

use crate::document::{Fault, Item, Scalar, Value, suggestion};
use crate::sweep::expr::{Expr, ExprError};
use crate::sweep::scope::Scope;

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
    pub(in crate::sweep) fn evaluate(&self, scope: Scope<'_>) -> Result<Scalar, Box<Fault>> {
        self.expr.evaluate(&|name| scope.value(name)).map_err(|error| {
            let unknown = error.unknown(&self.expr.names());
            let names = unknown.map(|_| scope.names()).unwrap_or_default();
            let like = unknown.and_then(|name| {
                suggestion(name, names.iter().map(String::as_str)).map(ToString::to_string)
            });
            let hint = like.map(|like| format!("did you mean `{like}`?")).or(error.hint.clone());
            self.fault(&ExprError { hint, ..error })
        })
    }

    /// Returns whether it holds.
    ///
    /// # Errors
    ///
    /// The fault of the expression, or that it is neither true nor false.
    pub(in crate::sweep) fn holds(&self, scope: Scope<'_>) -> Result<bool, Box<Fault>> {
        match self.evaluate(scope)? {
            Scalar::Truth(truth) => Ok(truth),
            other => {
                let message = format!("`{}` is {other}, expected true or false", self.expr.text());
                Err(Box::new(self.place.fault(message, None)))
            }
        }
    }

    /// Makes one that never holds, at the place of a value.
    pub(in crate::sweep) fn never(place: Value) -> Self {
        Self { expr: Expr::never(), place }
    }

    /// Makes a fault of what stands at a byte of it.
    pub(in crate::sweep) fn fault_at(&self, at: usize, message: String, hint: String) -> Fault {
        *self.fault(&ExprError { at, message, hint: Some(hint) })
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
