//! The texts that an expression compares names with.

use super::parse::{Binary, Node, Term};
use crate::document::Scalar;

/// A text that stands beside a name in `==`, `!=`, `in` or `not in`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComparedText<'e> {
    /// The name.
    pub name: &'e str,
    /// The text.
    pub text: &'e str,
    /// Where the text stands, as a byte of the expression.
    pub at: usize,
}

/// Adds what a term compares, from left to right.
pub(super) fn gather<'e>(term: &'e Term, found: &mut Vec<ComparedText<'e>>) {
    match &term.node {
        Node::Literal(_) | Node::Name(_) => {}
        Node::Not(inner) | Node::Negative(inner) => gather(inner, found),
        Node::Binary(sign, sides) => {
            if matches!(sign, Binary::Equal | Binary::NotEqual) {
                found.extend(compared(&sides[0], &sides[1]));
            }
            sides.iter().for_each(|side| gather(side, found));
        }
        Node::In { terms, .. } => {
            found.extend(terms[1..].iter().filter_map(|term| compared(&terms[0], term)));
            terms.iter().for_each(|term| gather(term, found));
        }
        Node::Call(_, terms) => terms.iter().for_each(|term| gather(term, found)),
        Node::If(terms) => terms.iter().for_each(|term| gather(term, found)),
    }
}

fn compared<'e>(one: &'e Term, other: &'e Term) -> Option<ComparedText<'e>> {
    match (&one.node, &other.node) {
        (Node::Name(name), Node::Literal(Scalar::Text(text))) => {
            Some(ComparedText { name, text, at: other.at })
        }
        (Node::Literal(Scalar::Text(text)), Node::Name(name)) => {
            Some(ComparedText { name, text, at: one.at })
        }
        _ => None,
    }
}
