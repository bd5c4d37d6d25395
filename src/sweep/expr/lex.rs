//! An expression as tokens.

use super::ExprError;

/// A word or sign of an expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'t> {
    /// Up to 2⁶³, which only a minus before it makes a number of 64 bits.
    Whole(u64),
    Real(f64),
    Text(&'t str),
    /// A name, a function or a keyword.
    Word(&'t str),
    Sign(&'static str),
    End,
}

/// Longer ones first, as the first that fits is taken.
const SIGNS: [&str; 19] = [
    "||", "&&", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "(", ")", "[", "]",
    ",",
];

/// Returns the tokens, each with the byte that it begins at; the last one is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token<'_>)>, ExprError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, len) = match first {
            '0'..='9' => number(rest, at)?,
            'a'..='z' | 'A'..='Z' | '_' => word(rest, at)?,
            '\'' | '"' => quoted(rest, first, at)?,
            _ => match SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => return Err(stranger(first, at)),
            },
        };
        tokens.push((at, token));
        at += len;
    }
    tokens.push((at, Token::End));
    Ok(tokens)
}

/// Returns the length of what `text` begins with.
fn run(text: &str, belongs: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|byte| !belongs(byte)).unwrap_or(text.len())
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn number(rest: &str, at: usize) -> Result<(Token<'_>, usize), ExprError> {
    let digit = |byte: u8| byte.is_ascii_digit() || byte == b'_';
    let mut len = run(rest, digit);
    let mut whole = true;
    if rest[len..].starts_with('.') {
        whole = false;
        len += 1 + run(&rest[len + 1..], digit);
    }
    if rest[len..].starts_with(['e', 'E']) {
        whole = false;
        len += 1;
        len += usize::from(rest[len..].starts_with(['+', '-']));
        len += run(&rest[len..], digit);
    }
    len += run(&rest[len..], |byte| in_word(byte) || byte == b'.');
    let shown = &rest[..len];
    let wrong = || ExprError::new(at, format!("`{shown}` is no number"));
    let ends_well = shown.ends_with(|last: char| last.is_ascii_digit()) && !shown.contains("_.");
    if !ends_well || shown.contains("._") || shown.contains("__") {
        return Err(wrong());
    }
    let digits = shown.replace('_', "");
    if whole && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let value = digits.parse().ok().filter(|value| *value <= 1 << 63);
        let value = value.ok_or_else(|| ExprError::new(at, format!("`{shown}` leaves 64 bits")))?;
        return Ok((Token::Whole(value), len));
    }
    let value: f64 = digits.parse().map_err(|_| wrong())?;
    if !value.is_finite() {
        return Err(ExprError::new(at, format!("`{shown}` is beyond all numbers")));
    }
    Ok((Token::Real(value), len))
}

/// Identifiers joined by dots.
fn word(rest: &str, at: usize) -> Result<(Token<'_>, usize), ExprError> {
    let len = run(rest, |byte| in_word(byte) || byte == b'.');
    let shown = &rest[..len];
    let starts_well = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !shown.split('.').all(starts_well) {
        let error = ExprError::new(at, format!("`{shown}` is no name"));
        return Err(error.hint("names are like `rate` and `cluster.num_backends`"));
    }
    Ok((Token::Word(shown), len))
}

fn quoted(rest: &str, quote: char, at: usize) -> Result<(Token<'_>, usize), ExprError> {
    match rest[1..].find(quote) {
        Some(len) => Ok((Token::Text(&rest[1..=len]), len + 2)),
        None => Err(ExprError::new(at, format!("the text has no closing {quote}"))),
    }
}

fn stranger(first: char, at: usize) -> ExprError {
    let hint = match first {
        '=' => "equality is `==`",
        '&' => "both is `&&`",
        '|' => "either is `||`",
        '^' => "a power is `pow(a, b)`",
        '.' => "a number begins with a digit, a name with a letter",
        _ => "names of an expression have letters, digits, `_` and `.`",
    };
    ExprError::new(at, format!("unexpected `{}`", first.escape_debug())).hint(hint)
}
