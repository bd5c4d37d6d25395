//! Source text as the checks see it: code without comments and literals, words, paths.

/// `text` with comments and literals left out and every line end kept.
pub(super) fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = literal(rest, code.chars().next_back());
        let (left_out, length) = (skipped > 0, skipped.max(c.len_utf8()));
        if left_out {
            code.extend(rest[..length].chars().filter(|c| *c == '\n'));
        } else {
            code.push(c);
        }
        rest = &rest[length..];
    }
    code
}

/// The length of the comment or literal that `rest` opens with, 0 when it opens with code.
fn literal(rest: &str, before: Option<char>) -> usize {
    let after_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    if let Some(inside) = rest.strip_prefix('"') {
        return 1 + until_quote(inside, '"');
    }
    if let Some(inside) = rest.strip_prefix('\'') {
        // A lifetime has no closing quote after its one character.
        let closes = inside.starts_with('\\') || inside.chars().nth(1) == Some('\'');
        return if closes { 1 + until_quote(inside, '\'') } else { 0 };
    }
    let hashes = rest.strip_prefix('r').map(|raw| raw.len() - raw.trim_start_matches('#').len());
    match hashes {
        Some(hashes) if !after_word && rest[1 + hashes..].starts_with('"') => {
            let close = format!("\"{}", "#".repeat(hashes));
            let start = hashes + 2;
            let end = rest[start..].find(&close);
            end.map_or(rest.len(), |end| start + end + close.len())
        }
        _ => 0,
    }
}

/// The length up to and with the closing quote, past escaped ones.
fn until_quote(inside: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    inside.len()
}

/// The lines on which `name` stands as a whole word.
pub(super) fn found<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    places(text, name).map(|at| line_of(text, at))
}

/// The places at which `name` stands as a whole word.
fn places<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let of_word = |c: char| c.is_alphanumeric() || c == '_';
    let whole = move |at: &usize| {
        let (before, after) = (&text[..*at], &text[at + name.len()..]);
        let starts = !name.starts_with(of_word) || !before.ends_with(of_word);
        starts && (!name.ends_with(of_word) || !after.starts_with(of_word))
    };
    text.match_indices(name).map(|(at, _)| at).filter(whole)
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The modules named right after `root`, alone or in a group, each with its line.
pub(super) fn uses<'a>(code: &'a str, root: &'a str) -> Vec<(usize, &'a str)> {
    let mut uses = Vec::new();
    for at in places(code, root) {
        let start = at + root.len();
        match code[start..].strip_prefix('{') {
            None => uses.push((line_of(code, start), word_at(code, start))),
            Some(_) => uses.extend(group(code, start + 1)),
        }
    }
    uses
}

/// The first names of a group that opens before `start`.
fn group(code: &str, start: usize) -> Vec<(usize, &str)> {
    let (mut depth, mut names, mut expects) = (1, Vec::new(), true);
    for (at, c) in code[start..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' => expects = expects || depth == 1,
            _ if expects && !c.is_whitespace() => {
                names.push((line_of(code, start + at), word_at(code, start + at)));
                expects = false;
            }
            _ => {}
        }
    }
    names
}

fn word_at(code: &str, start: usize) -> &str {
    let rest = &code[start..];
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
    &rest[..end.unwrap_or(rest.len())]
}
