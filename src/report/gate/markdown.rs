//! A check as Markdown: what a pull request or a job's summary shows.

use std::fmt::Write as _;

use super::{
    Shown, advice, counts, mean, name_of, p_of, p_text, remarks, rows_of, rule, scope, why, word_of,
};
use crate::gate::{Check, Source};
use crate::stats::Verdict;

/// Rows of the table, at most: a summary may have a megabyte.
const MOST_ROWS: usize = 100;

/// Renders a check as Markdown.
pub fn check_markdown(check: &Check) -> String {
    let mut text = String::new();
    let mut say = |line: &str| writeln!(text, "{line}").expect("a string takes all");
    say(&format!("## RouteSim check: {}\n", word_of(check.outcome())));
    say(&format!("**{}**\n", counts(check)));
    say(&format!("- new: {}", source(&check.new)));
    say(&format!("- baseline: {}", source(&check.baseline)));
    say(&format!("- {}", scope(check)));
    say(&format!("- {}", rule(check)));
    for remark in remarks(check) {
        say(&format!("- {remark}"));
    }
    let told = [Verdict::Regression, Verdict::Inconclusive, Verdict::Improved];
    let rows: Vec<_> = told.iter().flat_map(|verdict| rows_of(check, *verdict)).collect();
    if !rows.is_empty() {
        say("\n| verdict | cell | metric | baseline | new | change | 95 % interval | p | pairs |");
        say("|---|---|---|--:|--:|--:|--:|--:|--:|");
    }
    for (cell, change) in rows.iter().take(MOST_ROWS) {
        let Shown { change: effect, interval } = Shown::of(change);
        let verdict = match why(change) {
            Some(why) => format!("{}: {why}", name_of(change.verdict)),
            None => name_of(change.verdict).to_owned(),
        };
        say(&format!(
            "| {verdict} | {} | {} | {} | {} | {effect} | {interval} | {} | {} |",
            escaped(&cell.label),
            escaped(change.judged.name),
            mean(change.old_mean),
            mean(change.new_mean),
            escaped(&p_text(p_of(change))),
            change.pairs,
        ));
    }
    if rows.len() > MOST_ROWS {
        say(&format!("\n{} more are not shown.", rows.len() - MOST_ROWS));
    }
    let advice = advice(check);
    if let [first, commands @ ..] = &advice[..] {
        say(&format!("\nNext: {first}"));
        if !commands.is_empty() {
            say("\n```sh");
            commands.iter().for_each(|command| say(command.trim_start()));
            say("```");
        }
    }
    text
}

fn source(source: &Source) -> String {
    let engine = source.engine.as_deref().unwrap_or("of an unknown version");
    format!("{} ({})", escaped(&source.path), escaped(engine))
}

/// Returns a text that Markdown shows as it is, in a table too.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '~' => escaped.extend(['\\', c]),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_breaks_no_table() {
        assert_eq!(escaped("a|b_c*`d`\n<e>&"), "a\\|b\\_c\\*\\`d\\` &lt;e&gt;&amp;");
    }
}
