//! What comparisons of cells say, as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::document::Scalar;
use crate::stats::{Interval, Standing};
use crate::sweep::{Comparer, Contest, Duel, Grid, Rival};

use super::number::{SIGNIFICANT, percent};

/// Contests that are told.
const MOST_TOLD: usize = 24;
/// Cells that are named of those that may be the best.
const MOST_NAMED: usize = 4;

/// Renders comparisons for a terminal: a line for each group of cells and metric.
pub fn contests_text(grid: &Grid, comparer: &Comparer<'_>, contests: &[Contest]) -> String {
    let mut text = "\n".to_owned();
    let spec = comparer.spec();
    let level = grid.manifest.statistics.interval.confidence;
    line(
        &mut text,
        &format!(
            "compared by {}, seed by seed; tied: within {}; {} sure of all claims of a line",
            comparer.over(),
            percent(spec.margin),
            percent(level),
        ),
    );
    if contests.is_empty() {
        line(&mut text, "nothing to compare: no two cells with numbers are equal in all else");
    }
    for contest in contests.iter().take(MOST_TOLD) {
        let mut told = format!("{}: {}", subject(grid, comparer, contest), best(contest));
        if let Some(duel) = against_baseline(comparer, contest) {
            write!(told, "; {}", duel_text(contest, duel, spec.margin))
                .expect("a string takes all");
        }
        line(&mut text, &told);
    }
    if contests.len() > MOST_TOLD {
        let more = contests.len() - MOST_TOLD;
        line(&mut text, &format!("and {more} more: best.parquet, comparisons.parquet"));
    }
    text
}

/// Renders comparisons for programs.
pub fn contests_json(grid: &Grid, comparer: &Comparer<'_>, contests: &[Contest]) -> Value {
    let spec = comparer.spec();
    let groups: Vec<Value> = contests
        .iter()
        .map(|contest| {
            let rivals: Vec<Value> = contest.rivals.iter().map(rival_json).collect();
            let duels: Vec<Value> =
                contest.duels.iter().map(|duel| duel_json(contest, duel)).collect();
            json!({
                "cells_of": subject(grid, comparer, contest),
                "metric": contest.metric.name,
                "unit": contest.metric.unit,
                "better": if contest.metric.higher { "higher" } else { "lower" },
                "common_seeds": contest.num_common,
                "note": contest.note,
                "cells": rivals,
                "comparisons": duels,
            })
        })
        .collect();
    json!({
        "over": comparer.over(),
        "baseline": spec.baseline.as_ref().map(|baseline| baseline.name.as_str()),
        "margin": spec.margin,
        "confidence": grid.manifest.statistics.interval.confidence,
        "groups": groups,
    })
}

/// A metric, and what the cells have in common as far as other groups have something else.
fn subject(grid: &Grid, comparer: &Comparer<'_>, contest: &Contest) -> String {
    let key = &grid.cells()[contest.rivals[0].cell].key;
    let common = comparer.common_axes();
    let is_common = |name: &str| common.iter().any(|own| own == name);
    let mut told = contest.metric.name.clone();
    let mut parts = Vec::new();
    if is_common("config") && grid.manifest.configs.len() > 1 {
        parts.push(key.config.clone());
    }
    if is_common("algorithm") {
        parts.push(key.algorithm.label());
    }
    for (name, value) in grid.coordinates.iter().zip(key.coordinates.iter()) {
        if is_common(name) && *value != Scalar::Null {
            let short = name.strip_prefix("cluster.").unwrap_or(name);
            parts.push(format!("{short} = {value}"));
        }
    }
    if !parts.is_empty() {
        write!(told, " of {}", parts.join(", ")).expect("a string takes all");
    }
    match key.rate_rps {
        Some(rate) if is_common("rate_rps") => format!("{told} at {rate} req/s"),
        _ => told,
    }
}

/// Which cells are, or may be, the best.
fn best(contest: &Contest) -> String {
    let mut some: Vec<&Rival> =
        contest.rivals.iter().filter(|rival| rival.may_be_best == Some(true)).collect();
    some.sort_by(|a, b| a.regret.unwrap_or(0.0).total_cmp(&b.regret.unwrap_or(0.0)));
    let note = contest.note.map(|note| format!(" ({note})")).unwrap_or_default();
    if some.len() == contest.rivals.len() && contest.note.is_some() {
        // The one note of a group all of which may be the best.
        return contest.note.unwrap_or_default().to_owned();
    }
    match &some[..] {
        [] => format!("the best is not known{note}"),
        [one] => format!("best is {}{note}", one.value),
        several => {
            let named: Vec<&str> =
                several.iter().take(MOST_NAMED).map(|rival| rival.value.as_str()).collect();
            let others = several.len() - named.len();
            let more = if others > 0 { format!(" and {others} more") } else { String::new() };
            format!("best may be {}{more}{note}", named.join(", "))
        }
    }
}

/// The comparison of the cell with the best mean with the baseline.
fn against_baseline<'c>(comparer: &Comparer<'_>, contest: &'c Contest) -> Option<&'c Duel> {
    comparer.spec().baseline.as_ref()?;
    let behind = |duel: &&Duel| contest.rivals[duel.rivals[0]].regret.unwrap_or(f64::INFINITY);
    contest.duels.iter().min_by(|a, b| behind(a).total_cmp(&behind(b)))
}

/// Says how one cell stands to another.
fn duel_text(contest: &Contest, duel: &Duel, margin: f64) -> String {
    let [a, b] = duel.rivals.map(|at| contest.rivals[at].value.as_str());
    let own = &duel.comparison;
    let by = match (own.ratio, own.difference) {
        (Some(ratio), _) => {
            let half = own.ratio_interval.map(|own| half(own, 100.0));
            share_text(100.0 * (ratio - 1.0).abs(), half, " %")
        }
        (None, Some(difference)) => {
            let unit = if contest.metric.unit == "1" { "" } else { contest.metric.unit };
            let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
            let half = own.difference_interval.map(|own| half(own, 1.0));
            share_text(difference.abs(), half, &unit)
        }
        (None, None) => return format!("{a} against {b} is not known"),
    };
    match own.standing {
        Standing::Better => format!("{a} better than {b} by {by}"),
        Standing::Worse => format!("{a} worse than {b} by {by}"),
        Standing::Tied => format!("{a} tied with {b} within {}", percent(margin)),
        Standing::Unresolved => format!("{a} and {b} not told apart ({by})"),
        Standing::Identical => format!("{a} equals {b} under every seed"),
    }
}

fn half(interval: Interval, scale: f64) -> f64 {
    scale * (interval.hi - interval.lo) / 2.0
}

fn share_text(value: f64, half: Option<f64>, unit: &str) -> String {
    match half {
        Some(half) => {
            let half = SIGNIFICANT.show_like(half, value.max(half));
            format!("{}{unit} ± {half}{unit}", SIGNIFICANT.show(value))
        }
        None => format!("{}{unit}", SIGNIFICANT.show(value)),
    }
}

fn rival_json(rival: &Rival) -> Value {
    json!({
        "value": rival.value,
        "mean": rival.mean,
        "regret": rival.regret,
        "regret_hi": rival.regret_hi,
        "may_be_best": rival.may_be_best,
        "is_best": rival.is_best,
    })
}

fn duel_json(contest: &Contest, duel: &Duel) -> Value {
    let own = &duel.comparison;
    let [a, b] = duel.rivals.map(|at| contest.rivals[at].value.as_str());
    let (difference, ratio) = (own.difference_interval, own.ratio_interval);
    json!({
        "a": a,
        "b": b,
        "n_pairs": own.n,
        "n_unpaired": duel.num_unpaired,
        "diff": own.difference,
        "diff_ci_lo": difference.map(|own| own.lo),
        "diff_ci_hi": difference.map(|own| own.hi),
        "ratio": own.ratio,
        "ratio_ci_lo": ratio.map(|own| own.lo),
        "ratio_ci_hi": ratio.map(|own| own.hi),
        "p_raw": own.p,
        "p_adj": own.p_adjusted,
        "verdict": own.standing.name(),
        "note": duel.note,
    })
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes all");
}
