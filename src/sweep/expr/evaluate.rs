//! The value of a tree.

use std::cmp::Ordering;

use super::parse::{Binary, Function, Node, Term};
use crate::document::Scalar;

use super::{ExprError, unknown_name};

type Lookup<'a> = &'a dyn Fn(&str) -> Option<Scalar>;

/// Both bounds of 64 bits are reals: −2⁶³ is within, 2⁶³ is not.
const WHOLES: std::ops::Range<f64> = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;

#[derive(Clone, Copy)]
enum Number {
    Whole(i64),
    Real(f64),
}

impl Term {
    pub(super) fn evaluate(&self, lookup: Lookup<'_>) -> Result<Scalar, ExprError> {
        match &self.node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Name(name) => match lookup(name) {
                Some(Scalar::Real(value)) if !value.is_finite() => {
                    Err(ExprError::new(self.at, format!("`{name}` is {value}, no number")))
                }
                Some(value) => Ok(value),
                None => Err(ExprError::new(self.at, unknown_name(name))),
            },
            Node::Not(right) => Ok(Scalar::Truth(!right.truth(lookup, "!")?)),
            Node::Negative(right) => match right.number(lookup, "-")? {
                Number::Whole(value) => self.whole(value.checked_neg(), "-"),
                Number::Real(value) => Ok(Scalar::Real(-value)),
            },
            Node::Binary(sign, sides) => self.binary(*sign, sides, lookup),
            Node::In { terms, wanted } => Ok(Scalar::Truth(self.is_in(terms, lookup)? == *wanted)),
            Node::Call(function, terms) => self.call(*function, terms, lookup),
            Node::If(terms) => {
                let [condition, value, other] = terms.as_ref();
                if condition.truth(lookup, "if")? { value } else { other }.evaluate(lookup)
            }
        }
    }

    fn binary(
        &self,
        sign: Binary,
        [left, right]: &[Self; 2],
        lookup: Lookup<'_>,
    ) -> Result<Scalar, ExprError> {
        let shown = sign.sign();
        let truth = match sign {
            Binary::Or => left.truth(lookup, shown)? || right.truth(lookup, shown)?,
            Binary::And => left.truth(lookup, shown)? && right.truth(lookup, shown)?,
            Binary::Equal => self.equal(&left.evaluate(lookup)?, &right.evaluate(lookup)?)?,
            Binary::NotEqual => !self.equal(&left.evaluate(lookup)?, &right.evaluate(lookup)?)?,
            Binary::Less => self.order(sign, [left, right], lookup)?.is_lt(),
            Binary::LessEqual => self.order(sign, [left, right], lookup)?.is_le(),
            Binary::Greater => self.order(sign, [left, right], lookup)?.is_gt(),
            Binary::GreaterEqual => self.order(sign, [left, right], lookup)?.is_ge(),
            Binary::Add
            | Binary::Subtract
            | Binary::Multiply
            | Binary::Divide
            | Binary::Remainder => {
                let left = left.number(lookup, shown)?;
                return self.arithmetic(sign, left, right.number(lookup, shown)?);
            }
        };
        Ok(Scalar::Truth(truth))
    }

    fn arithmetic(&self, sign: Binary, left: Number, right: Number) -> Result<Scalar, ExprError> {
        let divides = matches!(sign, Binary::Divide | Binary::Remainder);
        if divides && right.real() == 0.0 {
            let name = if sign == Binary::Divide { "division" } else { "remainder" };
            return Err(ExprError::new(self.at, format!("{name} by zero")));
        }
        if let (Number::Whole(a), Number::Whole(b)) = (left, right) {
            let whole = match sign {
                Binary::Add => Some(a.checked_add(b)),
                Binary::Subtract => Some(a.checked_sub(b)),
                Binary::Multiply => Some(a.checked_mul(b)),
                // Only −2⁶³ by −1 wraps, to the 0 that it is.
                Binary::Remainder => Some(Some(a.wrapping_rem(b))),
                _ => None,
            };
            if let Some(value) = whole {
                return self.whole(value, sign.sign());
            }
        }
        let (a, b) = (left.real(), right.real());
        let value = match sign {
            Binary::Add => a + b,
            Binary::Subtract => a - b,
            Binary::Multiply => a * b,
            Binary::Divide => a / b,
            _ => a % b,
        };
        self.finite(value, sign.sign())
    }

    fn call(
        &self,
        function: Function,
        terms: &[Self],
        lookup: Lookup<'_>,
    ) -> Result<Scalar, ExprError> {
        let name = function.name();
        let numbers: Result<Vec<Number>, ExprError> =
            terms.iter().map(|term| term.number(lookup, name)).collect();
        let numbers = numbers?;
        // The parser has counted the arguments.
        let first = numbers[0];
        let rounded = |round: fn(f64) -> f64| match first {
            Number::Whole(value) => Ok(Scalar::Whole(value)),
            Number::Real(value) => self.whole(whole_of(round(value)), name),
        };
        match function {
            Function::Int => rounded(f64::trunc),
            Function::Round => rounded(f64::round),
            Function::Floor => rounded(f64::floor),
            Function::Ceil => rounded(f64::ceil),
            Function::Abs => match first {
                Number::Whole(value) => self.whole(value.checked_abs(), name),
                Number::Real(value) => Ok(Scalar::Real(value.abs())),
            },
            Function::Min => Ok(extreme(&numbers, Ordering::Less)),
            Function::Max => Ok(extreme(&numbers, Ordering::Greater)),
            Function::Sqrt => self.finite(libm::sqrt(first.real()), name),
            Function::Log2 => self.finite(libm::log2(first.real()), name),
            Function::Pow => match (first, numbers[1]) {
                (Number::Whole(base), Number::Whole(exponent @ 0..)) => {
                    self.whole(power(base, exponent), name)
                }
                (base, exponent) => self.finite(libm::pow(base.real(), exponent.real()), name),
            },
        }
    }

    fn is_in(&self, terms: &[Self], lookup: Lookup<'_>) -> Result<bool, ExprError> {
        let sought = terms[0].evaluate(lookup)?;
        for term in &terms[1..] {
            if self.equal(&sought, &term.evaluate(lookup)?)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn equal(&self, left: &Scalar, right: &Scalar) -> Result<bool, ExprError> {
        match (left, right) {
            (Scalar::Null, other) | (other, Scalar::Null) => Ok(*other == Scalar::Null),
            (Scalar::Truth(a), Scalar::Truth(b)) => Ok(a == b),
            (Scalar::Text(a), Scalar::Text(b)) => Ok(a == b),
            _ => match (Number::of(left), Number::of(right)) {
                (Some(a), Some(b)) => Ok(compare(a, b).is_eq()),
                _ => Err(self.mismatch(left, right)),
            },
        }
    }

    fn order(
        &self,
        sign: Binary,
        sides: [&Self; 2],
        lookup: Lookup<'_>,
    ) -> Result<Ordering, ExprError> {
        let [left, right] = sides.map(|side| side.evaluate(lookup));
        let (left, right) = (left?, right?);
        for (side, value) in sides.into_iter().zip([&left, &right]) {
            if matches!(value, Scalar::Null | Scalar::Truth(_)) {
                return Err(side.wrong(sign.sign(), "two numbers or two texts", value));
            }
        }
        match (&left, &right) {
            (Scalar::Text(a), Scalar::Text(b)) => Ok(a.cmp(b)),
            _ => match (Number::of(&left), Number::of(&right)) {
                (Some(a), Some(b)) => Ok(compare(a, b)),
                _ => Err(self.mismatch(&left, &right)),
            },
        }
    }

    fn mismatch(&self, left: &Scalar, right: &Scalar) -> ExprError {
        ExprError::new(self.at, format!("compares {} with {}", kind(left), kind(right)))
    }

    fn truth(&self, lookup: Lookup<'_>, by: &str) -> Result<bool, ExprError> {
        match self.evaluate(lookup)? {
            Scalar::Truth(truth) => Ok(truth),
            value => Err(self.wrong(by, "true or false", &value)),
        }
    }

    fn number(&self, lookup: Lookup<'_>, by: &str) -> Result<Number, ExprError> {
        let value = self.evaluate(lookup)?;
        Number::of(&value).ok_or_else(|| self.wrong(by, "numbers", &value))
    }

    /// Says that this side's value is not what a sign or function takes.
    fn wrong(&self, by: &str, takes: &str, value: &Scalar) -> ExprError {
        let name = match &self.node {
            Node::Name(name) => Some(format!("`{name}`")),
            _ => None,
        };
        let what = name.as_deref().unwrap_or("this");
        let message = format!("`{by}` takes {takes}, and {what} is {}", kind(value));
        let error = ExprError::new(self.at, message);
        if *value != Scalar::Null {
            return error;
        }
        let guarded = name.as_deref().unwrap_or("`x`").trim_matches('`');
        error.hint(format!("guard it: `{guarded} == null || …`"))
    }

    fn whole(&self, value: Option<i64>, by: &str) -> Result<Scalar, ExprError> {
        let error = || ExprError::new(self.at, format!("the result of `{by}` leaves 64 bits"));
        value.map(Scalar::Whole).ok_or_else(error)
    }

    fn finite(&self, value: f64, by: &str) -> Result<Scalar, ExprError> {
        if value.is_finite() {
            return Ok(Scalar::Real(value));
        }
        Err(ExprError::new(self.at, format!("the result of `{by}` is {value}, no number")))
    }
}

impl Number {
    fn of(value: &Scalar) -> Option<Self> {
        match value {
            Scalar::Whole(value) => Some(Self::Whole(*value)),
            Scalar::Real(value) => Some(Self::Real(*value)),
            Scalar::Null | Scalar::Truth(_) | Scalar::Text(_) => None,
        }
    }

    /// Returns the nearest real.
    fn real(self) -> f64 {
        match self {
            Self::Whole(value) => value as f64,
            Self::Real(value) => value,
        }
    }

    fn scalar(self) -> Scalar {
        match self {
            Self::Whole(value) => Scalar::Whole(value),
            Self::Real(value) => Scalar::Real(value),
        }
    }
}

fn kind(value: &Scalar) -> &'static str {
    match value {
        Scalar::Null => "null",
        Scalar::Truth(_) => "a truth value",
        Scalar::Whole(_) | Scalar::Real(_) => "a number",
        Scalar::Text(_) => "a text",
    }
}

/// Compares without rounding: 2⁵³ + 1 is above the real 2⁵³.
fn compare(left: Number, right: Number) -> Ordering {
    match (left, right) {
        (Number::Whole(a), Number::Whole(b)) => a.cmp(&b),
        (Number::Whole(a), Number::Real(b)) => compare_whole(a, b),
        (Number::Real(a), Number::Whole(b)) => compare_whole(b, a).reverse(),
        // Not `total_cmp`: both zeros are equal.
        (Number::Real(a), Number::Real(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

fn compare_whole(whole: i64, real: f64) -> Ordering {
    match whole_of(real.floor()) {
        Some(floor) if real > real.floor() && whole == floor => Ordering::Less,
        Some(floor) => whole.cmp(&floor),
        None if real > 0.0 => Ordering::Less,
        None => Ordering::Greater,
    }
}

/// Returns a real without fraction as a whole number, if it has 64 bits.
fn whole_of(real: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "within 64 bits and without fraction")]
    let whole = real as i64;
    WHOLES.contains(&real).then_some(whole)
}

fn power(base: i64, exponent: i64) -> Option<i64> {
    match (base, u32::try_from(exponent)) {
        (_, Ok(exponent)) => base.checked_pow(exponent),
        (0 | 1, Err(_)) => Some(base),
        (-1, Err(_)) => Some(if exponent % 2 == 0 { 1 } else { -1 }),
        (_, Err(_)) => None,
    }
}

/// Returns the first of those that no other is before, in that order.
fn extreme(numbers: &[Number], order: Ordering) -> Scalar {
    let better = |best, next| if compare(next, best) == order { next } else { best };
    numbers.iter().copied().reduce(better).map_or(Scalar::Null, Number::scalar)
}
