//! A check of new runs against a baseline: for people, for programs, and for what shows tests.

mod json;
mod junit;
mod markdown;
mod text;
mod xml;

pub use json::check_json;
pub use junit::check_junit;
pub use markdown::check_markdown;
pub use text::check_text;

use super::number::{SIGNIFICANT, Style};
use crate::gate::{CellChange, Check, MetricChange, Outcome};
use crate::stats::{Scale, Verdict};

/// Verdicts from the worst to the best.
const VERDICTS: [Verdict; 5] = [
    Verdict::Regression,
    Verdict::Inconclusive,
    Verdict::Improved,
    Verdict::Equivalent,
    Verdict::Unchanged,
];

/// A share as percent to a hundredth: small changes are what it is about.
const CHANGE: Style = Style::new(100.0, |_| 2);

/// A metric of a cell.
type Row<'c> = (&'c CellChange, &'c MetricChange);

fn name_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Regression => "regression",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Improved => "improved",
        Verdict::Equivalent => "equivalent",
        Verdict::Unchanged => "unchanged",
    }
}

fn word_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Regression => "REGRESSION",
        Outcome::Incomplete => "INCOMPLETE",
        Outcome::Inconclusive => "INCONCLUSIVE",
        Outcome::Passed => "PASSED",
    }
}

/// Returns what has that verdict, the largest change first; what has no change to show comes last.
fn rows_of(check: &Check, verdict: Verdict) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> =
        check.comparison.changes().filter(|(_, change)| change.verdict == verdict).collect();
    let size = |(_, change): &Row<'_>| {
        change.test.map_or(-1.0, |test| size_of(test.scale, test.effect, change))
    };
    rows.sort_by(|a, b| size(b).total_cmp(&size(a)));
    rows
}

/// How large a change is, on one scale for all metrics: a logarithm, or a difference in baselines.
fn size_of(scale: Scale, effect: f64, change: &MetricChange) -> f64 {
    match scale {
        Scale::Ratio => libm::log(effect).abs(),
        Scale::Difference => match change.old_mean {
            Some(mean) if mean != 0.0 => (effect / mean).abs(),
            _ => f64::MAX,
        },
    }
}

/// Returns a word as a shell takes it.
pub fn shell_quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// How the change of a metric is shown: the change, its interval, and what both are in.
struct Shown {
    change: String,
    interval: String,
}

impl Shown {
    fn of(change: &MetricChange) -> Self {
        let none = || "-".to_owned();
        let Some(test) = change.test else { return Self { change: none(), interval: none() } };
        let (show, unit): (fn(f64) -> String, &str) = match test.scale {
            Scale::Ratio => (|ratio| signed(&CHANGE.show(ratio - 1.0)), " %"),
            Scale::Difference => (|difference| signed(&SIGNIFICANT.show(difference)), ""),
        };
        let ends = |interval: crate::stats::Interval| {
            format!("{}…{}{unit}", show(interval.lo), show(interval.hi))
        };
        Self {
            change: format!("{}{unit}", show(test.effect)),
            interval: test.interval.map_or_else(none, ends),
        }
    }
}

fn signed(number: &str) -> String {
    if number.starts_with('-') { number.to_owned() } else { format!("+{number}") }
}

fn mean(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| SIGNIFICANT.show(value))
}

/// The adjusted p of what a verdict claims.
fn p_of(change: &MetricChange) -> Option<f64> {
    match change.verdict {
        Verdict::Regression | Verdict::Inconclusive => change.p_worse,
        Verdict::Improved => change.p_better,
        // Decided metric by metric, so it is not adjusted.
        Verdict::Equivalent => change.test.map(|test| test.p_equivalent),
        Verdict::Unchanged => None,
    }
}

fn p_text(p: Option<f64>) -> String {
    match p {
        None => "-".to_owned(),
        Some(p) if p < 0.0001 => "<0.0001".to_owned(),
        Some(p) => format!("{p:.4}"),
    }
}

/// Why nothing can be said of a metric, where that is not the spread.
fn why(change: &MetricChange) -> Option<String> {
    if change.lost > 0 {
        return Some(format!("{} without a value that the baseline has", runs(change.lost)));
    }
    if change.found > 0 {
        return Some(format!("{} of the baseline without a value", runs(change.found)));
    }
    if change.test.is_some() || change.verdict != Verdict::Inconclusive {
        return None;
    }
    let why = match change.pairs {
        1 => "one pair of runs has no spread",
        _ => "its values are too large for statistics",
    };
    Some(why.to_owned())
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn runs(number: usize) -> String {
    count(number, "run")
}

/// `2 regression, 0 inconclusive, …`.
fn counts(check: &Check) -> String {
    let count = |verdict| format!("{} {}", check.comparison.count(verdict), name_of(verdict));
    VERDICTS.map(count).join(", ")
}

/// What was compared, in a line.
fn scope(check: &Check) -> String {
    let all = &check.comparison;
    format!(
        "{}, {} of runs, {}; {} without any change",
        count(all.cells.len(), "cell"),
        count(all.pairs(), "pair"),
        count(check.spec.metrics.len(), "metric"),
        count(all.unchanged_cells(), "cell"),
    )
}

/// How it was judged, in a line.
fn rule(check: &Check) -> String {
    let mut effects: Vec<f64> = check.spec.metrics.iter().map(|own| own.min_effect).collect();
    effects.sort_by(f64::total_cmp);
    let percent = |share: f64| {
        format!("{} %", SIGNIFICANT.show(100.0 * share).trim_end_matches('0').trim_end_matches('.'))
    };
    let effects = match effects[..] {
        [] => "nothing is judged".to_owned(),
        [first, .., last] if first < last => {
            format!("changes below {} to {} do not matter", percent(first), percent(last))
        }
        [first, ..] => format!("changes below {} do not matter", percent(first)),
    };
    let risk = percent(check.spec.risk);
    format!("{effects}; risk of any false regression {risk}")
}

/// All that was not compared, or with less than its seed in common: a line each.
fn remarks(check: &Check) -> Vec<String> {
    let all = &check.comparison;
    let cells = |of: &dyn Fn(&CellChange) -> bool| all.cells.iter().filter(|cell| of(cell)).count();
    let sum = |of: &dyn Fn(&CellChange) -> usize| all.cells.iter().map(of).sum::<usize>();
    let mut lines = Vec::new();
    let mut say = |number: usize, what: &str, line: &str| {
        if number > 0 {
            lines.push(format!("{} {line}", count(number, what)));
        }
    };
    say(all.failed_new(), "new run", "failed");
    say(all.only_old.len(), "cell", "of the baseline missing on the new side");
    say(
        sum(&|cell| cell.seeds_only_old.len()),
        "run",
        "of cells that both have missing on the new side",
    );
    let missing = check.new.missing_runs.and_then(|runs| usize::try_from(runs).ok()).unwrap_or(0);
    say(missing, "run", "missing of the new sweep itself");
    say(all.lost_metrics(), "comparison", "in which a new run has no value where its old one has");
    say(sum(&|cell| cell.failed_old.len()), "run", "of the baseline failed; not compared");
    say(all.only_new.len(), "new cell", "not in the baseline; not compared");
    say(sum(&|cell| cell.seeds_only_new.len()), "new run", "not in the baseline; not compared");
    say(
        cells(&|cell| cell.by == crate::gate::PairedBy::Label),
        "cell",
        "paired by name alone, as what they depend on has changed",
    );
    say(
        cells(&|cell| cell.other_requests),
        "cell",
        "with other requests than the baseline: pairs share no more than seeds",
    );
    say(all.columns_only_new.len(), "column", "of the new table alone; not compared");
    say(all.columns_only_old.len(), "column", "of the baseline alone; not compared");
    lines
}

/// What to do next, a line each.
fn advice(check: &Check) -> Vec<String> {
    let [new, baseline] = [&check.new, &check.baseline].map(|own| shell_quoted(&own.path));
    let update = format!("routesim-sweep baseline update {new} {baseline}");
    match check.outcome() {
        Outcome::Regression => vec![
            "find the change that did it, or, where it is meant, take it as the new baseline:"
                .to_owned(),
            format!("  {update}"),
        ],
        Outcome::Incomplete => {
            vec![
                "run the sweep again; column `error` of runs.parquet says why runs failed"
                    .to_owned(),
            ]
        }
        Outcome::Inconclusive => {
            vec!["more seeds, or a `min_effect` that the noise allows (docs/gate.md)".to_owned()]
        }
        Outcome::Passed if check.comparison.cells.iter().any(|cell| cell.changed_pairs > 0) => {
            vec![
            "results have changed, and nothing is surely worse; to take them as the new baseline:"
                .to_owned(),
            format!("  {update}"),
        ]
        }
        Outcome::Passed => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
