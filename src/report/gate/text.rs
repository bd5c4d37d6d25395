//! A check for a terminal: the worst first, the decision last.

use std::fmt::Write as _;

use super::{
    Row, Shown, advice, count, counts, mean, name_of, p_of, p_text, remarks, rows_of, rule, scope,
    why, word_of,
};
use crate::gate::{Check, Source};
use crate::report::table::TextTable;
use crate::stats::Verdict;

/// Columns of a terminal that tables fit into.
const WIDTH: usize = 100;
/// Lines of a verdict, at most.
const MOST_ROWS: usize = 20;
/// Names in a line, at most.
const MOST_NAMES: usize = 5;

/// Renders a check for a terminal.
pub fn check_text(check: &Check) -> String {
    let mut text = String::new();
    line(&mut text, &format!("new:      {}", source(&check.new)));
    line(&mut text, &format!("baseline: {}", source(&check.baseline)));
    for verdict in [Verdict::Regression, Verdict::Inconclusive, Verdict::Improved] {
        section(&mut text, check, verdict);
    }
    behaviour(&mut text, check);
    incomplete(&mut text, check);
    line(&mut text, "");
    for remark in remarks(check) {
        line(&mut text, &format!("note: {remark}"));
    }
    line(&mut text, &format!("{}: {}", word_of(check.outcome()), counts(check)));
    line(&mut text, &format!("  {}", scope(check)));
    line(&mut text, &format!("  {}", rule(check)));
    for (at, step) in advice(check).iter().enumerate() {
        line(&mut text, &format!("{}{step}", if at == 0 { "next: " } else { "" }));
    }
    text
}

fn source(source: &Source) -> String {
    let engine = source.engine.as_deref().unwrap_or("of an unknown version");
    format!("{} ({engine})", source.path)
}

/// The metrics that have one verdict.
fn section(text: &mut String, check: &Check, verdict: Verdict) {
    let rows = rows_of(check, verdict);
    if rows.is_empty() {
        return;
    }
    line(text, &format!("\n{} ({}), largest first", name_of(verdict), rows.len()));
    let shown = &rows[..rows.len().min(MOST_ROWS)];
    let mut metrics: Vec<&str> = Vec::new();
    for (_, change) in shown {
        if !metrics.contains(&change.judged.name) {
            metrics.push(change.judged.name);
        }
    }
    for metric in metrics {
        let of_metric = shown.iter().filter(|(_, change)| change.judged.name == metric);
        let mut table = TextTable::new(2, &heads(metric));
        of_metric.for_each(|row| table.push(cells(row)));
        for block in table.blocks(WIDTH) {
            block.iter().for_each(|own| line(text, own));
        }
    }
    for (cell, change) in shown {
        if let Some(why) = why(change) {
            line(text, &format!("  {} of {}: {why}", change.judged.name, cell.label));
        }
    }
    more(text, rows.len(), MOST_ROWS);
}

fn heads(metric: &str) -> [[&str; 2]; 6] {
    let heads = [metric, "baseline", "new", "change", "95 % interval", "p adj."];
    heads.map(|head| [head, ""])
}

fn cells((cell, change): &Row<'_>) -> Vec<String> {
    let Shown { change: effect, interval } = Shown::of(change);
    vec![
        cell.label.clone(),
        mean(change.old_mean),
        mean(change.new_mean),
        effect,
        interval,
        p_text(p_of(change)),
    ]
}

/// Cells in which nothing that is judged has moved, but something else has.
fn behaviour(text: &mut String, check: &Check) {
    let quiet = |cell: &&crate::gate::CellChange| {
        cell.changed_pairs > 0
            && cell.metrics.iter().all(|change| change.verdict == Verdict::Unchanged)
    };
    let cells: Vec<_> = check.comparison.cells.iter().filter(quiet).collect();
    if cells.is_empty() {
        return;
    }
    line(text, "\nchanged in nothing that is judged");
    for cell in cells.iter().take(MOST_ROWS) {
        line(text, &format!("  {}: {}", cell.label, some(&cell.changed_columns)));
    }
    more(text, cells.len(), MOST_ROWS);
}

/// What failed or is missing on the new side.
fn incomplete(text: &mut String, check: &Check) {
    let all = &check.comparison;
    let mut lines = Vec::new();
    for cell in &all.cells {
        let label = &cell.label;
        for failed in &cell.failed_new {
            lines.push(format!("  {label} seed {}: failed: {}", failed.seed, failed.error));
        }
        if !cell.seeds_only_old.is_empty() {
            let seeds: Vec<String> = cell.seeds_only_old.iter().map(u64::to_string).collect();
            lines.push(format!("  {label}: no seed {}", some(&seeds)));
        }
    }
    let gone = |cell: &crate::gate::CellName| {
        format!("  {}: no such cell ({} before)", cell.label, super::runs(cell.runs))
    };
    lines.extend(all.only_old.iter().map(gone));
    if lines.is_empty() {
        return;
    }
    line(text, "\nfailed or missing on the new side");
    lines.iter().take(MOST_ROWS).for_each(|own| line(text, own));
    more(text, lines.len(), MOST_ROWS);
}

fn some(names: &[String]) -> String {
    let shown = names[..names.len().min(MOST_NAMES)].join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        left => format!("{shown} and {left} more"),
    }
}

fn more(text: &mut String, all: usize, shown: usize) {
    if all > shown {
        let left = count(all - shown, "line");
        line(text, &format!("  … {left} more: --format json has all"));
    }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes all");
}
