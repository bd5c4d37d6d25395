//! Tokens as a tree, by the strength of the signs between them.

use crate::document::did_you_mean;

use super::lex::{Token, tokens};
use crate::document::Scalar;

use super::ExprError;

/// How deep an expression may be nested, so that none fills the stack.
pub(super) const DEEPEST: usize = 100;

/// A part of an expression.
#[derive(Clone, Debug)]
pub(super) struct Term {
    /// Byte of the text: of its sign between two sides, else of its beginning.
    pub(super) at: usize,
    pub(super) node: Node,
    height: usize,
}

/// What a part is.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Literal(Scalar),
    Name(String),
    Not(Box<Term>),
    Negative(Box<Term>),
    /// Two sides.
    Binary(Binary, Box<[Term; 2]>),
    /// The first term is sought among the others.
    In {
        terms: Vec<Term>,
        wanted: bool,
    },
    Call(Function, Vec<Term>),
    /// Condition, value when true, value when false.
    If(Box<[Term; 3]>),
}

/// A sign between two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A function of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Int,
    Round,
    Floor,
    Ceil,
    Abs,
    Min,
    Max,
    Sqrt,
    Log2,
    Pow,
}

/// How tightly a sign binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Or,
    And,
    Compare,
    Add,
    Multiply,
    Unary,
}

impl Term {
    pub(super) fn never() -> Self {
        Self { at: 0, node: Node::Literal(Scalar::Truth(false)), height: 1 }
    }
}

impl Binary {
    const ALL: [(&'static str, Self, Strength); 15] = [
        ("||", Self::Or, Strength::Or),
        ("or", Self::Or, Strength::Or),
        ("&&", Self::And, Strength::And),
        ("and", Self::And, Strength::And),
        ("==", Self::Equal, Strength::Compare),
        ("!=", Self::NotEqual, Strength::Compare),
        ("<=", Self::LessEqual, Strength::Compare),
        (">=", Self::GreaterEqual, Strength::Compare),
        ("<", Self::Less, Strength::Compare),
        (">", Self::Greater, Strength::Compare),
        ("+", Self::Add, Strength::Add),
        ("-", Self::Subtract, Strength::Add),
        ("*", Self::Multiply, Strength::Multiply),
        ("/", Self::Divide, Strength::Multiply),
        ("%", Self::Remainder, Strength::Multiply),
    ];

    /// Returns the sign.
    pub(super) fn sign(self) -> &'static str {
        Self::ALL.iter().find(|(_, binary, _)| *binary == self).map_or("", |(sign, ..)| sign)
    }
}

impl Function {
    /// Name, function, and how many arguments it takes.
    const ALL: [(&'static str, Self, Arguments); 10] = [
        ("int", Self::Int, Arguments::Exactly(1)),
        ("round", Self::Round, Arguments::Exactly(1)),
        ("floor", Self::Floor, Arguments::Exactly(1)),
        ("ceil", Self::Ceil, Arguments::Exactly(1)),
        ("abs", Self::Abs, Arguments::Exactly(1)),
        ("min", Self::Min, Arguments::Some),
        ("max", Self::Max, Arguments::Some),
        ("sqrt", Self::Sqrt, Arguments::Exactly(1)),
        ("log2", Self::Log2, Arguments::Exactly(1)),
        ("pow", Self::Pow, Arguments::Exactly(2)),
    ];

    /// Returns the name.
    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, function, _)| *function == self).map_or("", |(name, ..)| name)
    }
}

/// How many arguments a function takes.
#[derive(Clone, Copy, Debug)]
enum Arguments {
    Exactly(usize),
    /// One or more.
    Some,
}

impl Strength {
    /// The next tighter one: what the right side of a sign must bind with, as `a - b - c` is
    /// `(a - b) - c`.
    fn tighter(self) -> Self {
        match self {
            Self::Or => Self::And,
            Self::And => Self::Compare,
            Self::Compare => Self::Add,
            Self::Add => Self::Multiply,
            Self::Multiply | Self::Unary => Self::Unary,
        }
    }
}

/// Returns the tree, and each name once in the order of appearance.
pub(super) fn parse(text: &str) -> Result<(Term, Vec<String>), ExprError> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0, level: 0, names: Vec::new() };
    let root = parser.expression(Strength::Or)?;
    match parser.peek() {
        (_, Token::End) => Ok((root, parser.names)),
        (at, token) => Err(unexpected(at, token)),
    }
}

struct Parser<'t> {
    tokens: Vec<(usize, Token<'t>)>,
    next: usize,
    level: usize,
    names: Vec<String>,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> (usize, Token<'t>) {
        // The last token is the end, which nobody takes.
        self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn after_next(&self) -> Token<'t> {
        self.tokens.get(self.next + 1).map_or(Token::End, |(_, token)| *token)
    }

    fn take(&mut self) -> (usize, Token<'t>) {
        let taken = self.peek();
        self.next += 1;
        taken
    }

    fn take_sign(&mut self, sign: &'static str) -> Result<(), ExprError> {
        match self.take() {
            (_, Token::Sign(found)) if found == sign => Ok(()),
            (at, token) => Err(ExprError {
                message: format!("expected `{sign}`, found {}", shown(token)),
                ..unexpected(at, token)
            }),
        }
    }

    /// Reads signs that bind as tightly as `least` or tighter, and their sides.
    fn expression(&mut self, least: Strength) -> Result<Term, ExprError> {
        self.level += 1;
        if self.level > DEEPEST {
            return Err(too_deep(self.peek().0));
        }
        let mut left = self.operand()?;
        let mut compared = false;
        loop {
            let (at, token) = self.peek();
            let negated = token == Token::Word("not") && self.after_next() == Token::Word("in");
            let found = if negated || token == Token::Word("in") {
                Some((None, Strength::Compare))
            } else {
                binary(token).map(|(binary, strength)| (Some(binary), strength))
            };
            let Some((sign, strength)) = found.filter(|(_, strength)| *strength >= least) else {
                break;
            };
            if compared && strength == Strength::Compare {
                let error = ExprError::new(at, "comparisons do not chain");
                return Err(error.hint("write `a < b && b < c`"));
            }
            compared = strength == Strength::Compare;
            self.next += 1 + usize::from(negated);
            left = match sign {
                None => self.list(at, left, !negated)?,
                Some(sign) => {
                    let right = self.expression(strength.tighter())?;
                    let height = left.height.max(right.height);
                    term(at, height, Node::Binary(sign, Box::new([left, right])))?
                }
            };
        }
        self.level -= 1;
        Ok(left)
    }

    fn operand(&mut self) -> Result<Term, ExprError> {
        let (at, token) = self.take();
        let literal = |value| term(at, 0, Node::Literal(value));
        match token {
            Token::Whole(value) => match i64::try_from(value) {
                Ok(value) => literal(Scalar::Whole(value)),
                Err(_) => Err(ExprError::new(at, format!("`{value}` leaves 64 bits"))),
            },
            Token::Real(value) => literal(Scalar::Real(value)),
            Token::Text(text) => literal(Scalar::Text(text.to_owned())),
            Token::Word(word) => self.word(at, word),
            Token::Sign("-") => {
                if let (_, Token::Whole(value)) = self.peek() {
                    self.next += 1;
                    // The lexer takes no more than 2⁶³.
                    return literal(Scalar::Whole(0_i64.saturating_sub_unsigned(value)));
                }
                let right = self.expression(Strength::Unary)?;
                term(at, right.height, Node::Negative(Box::new(right)))
            }
            Token::Sign("!") => {
                let right = self.expression(Strength::Unary)?;
                term(at, right.height, Node::Not(Box::new(right)))
            }
            Token::Sign("(") => {
                let inner = self.expression(Strength::Or)?;
                self.take_sign(")")?;
                Ok(inner)
            }
            Token::Sign(_) | Token::End => Err(unexpected(at, token)),
        }
    }

    /// Reads on after a word: a keyword, a function, or else a name.
    fn word(&mut self, at: usize, word: &str) -> Result<Term, ExprError> {
        let literal = |value| term(at, 0, Node::Literal(value));
        match word {
            "true" => literal(Scalar::Truth(true)),
            "false" => literal(Scalar::Truth(false)),
            "null" => literal(Scalar::Null),
            "not" => {
                let right = self.expression(Strength::Compare)?;
                term(at, right.height, Node::Not(Box::new(right)))
            }
            "and" | "or" | "in" => Err(unexpected(at, Token::Word(word))),
            _ if self.peek().1 == Token::Sign("(") => self.call(at, word),
            "if" => Err(ExprError::new(at, "expected `(` after `if`")
                .hint("write `if(condition, value, other)`")),
            _ => {
                if !self.names.iter().any(|name| name == word) {
                    self.names.push(word.to_owned());
                }
                term(at, 0, Node::Name(word.to_owned()))
            }
        }
    }

    fn call(&mut self, at: usize, name: &str) -> Result<Term, ExprError> {
        let known = Function::ALL.into_iter().find(|(known, ..)| *known == name);
        if known.is_none() && name != "if" {
            let mut names: Vec<&str> = Function::ALL.iter().map(|(name, ..)| *name).collect();
            names.push("if");
            let error = ExprError::new(at, format!("unknown function `{name}`"));
            return Err(error.hint(did_you_mean(name, &names)));
        }
        self.next += 1;
        let terms = self.terms_until(")")?;
        let height = height(&terms);
        let count = terms.len();
        let wants = |wanted: &str| {
            Err(ExprError::new(at, format!("`{name}` has {count} arguments, expected {wanted}")))
        };
        match known {
            None => match <[Term; 3]>::try_from(terms) {
                Ok(terms) => term(at, height, Node::If(Box::new(terms))),
                Err(_) => wants("a condition and two values"),
            },
            Some((_, _, Arguments::Exactly(number))) if count != number => {
                wants(&number.to_string())
            }
            Some((_, _, Arguments::Some)) if count == 0 => wants("one or more"),
            Some((_, function, _)) => term(at, height, Node::Call(function, terms)),
        }
    }

    /// Reads the list after `in`.
    fn list(&mut self, at: usize, sought: Term, wanted: bool) -> Result<Term, ExprError> {
        self.take_sign("[")?;
        let mut terms = vec![sought];
        terms.extend(self.terms_until("]")?);
        term(at, height(&terms), Node::In { terms, wanted })
    }

    /// Reads terms with commas between them; one after the last is fine.
    fn terms_until(&mut self, end: &'static str) -> Result<Vec<Term>, ExprError> {
        let mut terms = Vec::new();
        while self.peek().1 != Token::Sign(end) {
            terms.push(self.expression(Strength::Or)?);
            if self.peek().1 != Token::Sign(",") {
                break;
            }
            self.next += 1;
        }
        self.take_sign(end)?;
        Ok(terms)
    }
}

fn binary(token: Token<'_>) -> Option<(Binary, Strength)> {
    let (Token::Sign(word) | Token::Word(word)) = token else {
        return None;
    };
    let entry = Binary::ALL.into_iter().find(|(sign, ..)| *sign == word)?;
    Some((entry.1, entry.2))
}

fn height(terms: &[Term]) -> usize {
    terms.iter().map(|term| term.height).max().unwrap_or(0)
}

/// Makes a term one higher than those in it.
fn term(at: usize, height: usize, node: Node) -> Result<Term, ExprError> {
    if height >= DEEPEST {
        return Err(too_deep(at));
    }
    Ok(Term { at, node, height: height + 1 })
}

fn too_deep(at: usize) -> ExprError {
    let message = format!("the expression is more than {DEEPEST} levels deep");
    ExprError::new(at, message).hint("split it in two, or use `in [a, b]`")
}

fn shown(token: Token<'_>) -> String {
    match token {
        Token::Whole(value) => format!("`{value}`"),
        Token::Real(value) => format!("`{value}`"),
        Token::Text(text) => format!("`'{text}'`"),
        Token::Word(word) | Token::Sign(word) => format!("`{word}`"),
        Token::End => "the end".to_owned(),
    }
}

fn unexpected(at: usize, token: Token<'_>) -> ExprError {
    let error = ExprError::new(at, format!("unexpected {}", shown(token)));
    match token {
        Token::End => ExprError::new(at, "the expression ends too soon"),
        Token::Sign("*") => error.hint("a power is `pow(a, b)`"),
        Token::Sign("[") => error.hint("a list stands after `in`"),
        Token::Whole(_) | Token::Real(_) | Token::Text(_) | Token::Word(_) | Token::Sign(_) => {
            error
        }
    }
}
