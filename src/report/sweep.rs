//! The answer of a sweep, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::document::Scalar;
use crate::metrics::{OutcomeCounts, SloSpec};
use crate::stats::{Estimate, FEWEST_FOR_BCA, FEWEST_FOR_INTERVAL, IntervalMethod};
use crate::sweep::{Answer, CellAnswer, Grid, TermAnswer};
use crate::tables::{FEW_SEEDS, Flag};

use super::SIGNALS;
use super::number::percent;
use super::table::TextTable;

/// The version of the JSON answer.
const SCHEMA: &str = "routesim.answer/1";
/// Columns of a terminal that tables fit into.
const WIDTH: usize = 100;

/// Renders the answer of a sweep for a terminal.
pub fn sweep_text(grid: &Grid, answers: &[Answer]) -> String {
    let mut text = String::new();
    if let Some(warning) = incomplete(grid, answers) {
        line(&mut text, &warning);
    }
    let scenes: Vec<&[Answer]> = answers.chunk_by(Answer::is_same_scene).collect();
    if scenes.len() > 1 {
        overview(&mut text, &scenes);
    }
    for (index, of_scene) in scenes.iter().enumerate() {
        section(&mut text, grid, of_scene, index == 0);
    }
    legend(&mut text, answers);
    let failed: usize = answers.iter().flat_map(|a| &a.cells).map(|cell| cell.num_failed).sum();
    if failed > 0 {
        let runs = if failed == 1 { "run" } else { "runs" };
        line(
            &mut text,
            &format!("{failed} {runs} failed; column `error` of runs.parquet says why"),
        );
    }
    line(&mut text, &all_requests(answers));
    text
}

/// Says what is missing of a sweep.
fn incomplete(grid: &Grid, answers: &[Answer]) -> Option<String> {
    let missing = num_missing(answers);
    (missing > 0).then(|| {
        format!(
            "INCOMPLETE: {missing} of {} runs are missing. Where a cell has `?` some of its seeds\n\
             are, where it says `missing` all; every number may still change.\n",
            grid.num_runs()
        )
    })
}

fn num_missing(answers: &[Answer]) -> usize {
    answers.iter().flat_map(|answer| &answer.cells).map(|cell| cell.num_missing).sum()
}

/// Says what became of every measured request.
fn all_requests(answers: &[Answer]) -> String {
    let mut counts = OutcomeCounts::default();
    for cell in answers.iter().flat_map(|answer| &answer.cells) {
        counts.add(&cell.counts);
    }
    let OutcomeCounts { requests, finished, timed_out, unserved, .. } = &counts;
    let reasons = counts.rejected.iter().filter(|(_, count)| **count > 0);
    let reasons: Vec<String> = reasons.map(|(reason, count)| format!("{reason} {count}")).collect();
    let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    let of = if num_missing(answers) > 0 { "the runs so far" } else { "all runs" };
    format!(
        "Measured requests of {of}: {requests}\n  = {finished} finished + {} rejected{why} + \
         {timed_out} timed out + {unserved} unserved",
        counts.rejected_total(),
    )
}

/// Renders the answer of a sweep for programs.
pub fn answers_json(grid: &Grid, answers: &[Answer]) -> Value {
    let rows: Vec<Value> = answers
        .iter()
        .map(|answer| {
            let rate = |index: Option<usize>| index.and_then(|at| answer.cells[at].key.rate_rps);
            let cells: Vec<Value> =
                answer.cells.iter().map(|cell| cell_json(answer, cell)).collect();
            let coordinates: serde_json::Map<String, Value> = (answer.coordinates.iter())
                .map(|(name, value)| (name.clone(), scalar_json(value)))
                .collect();
            json!({
                "config": answer.config,
                "axes": coordinates,
                "algorithm": answer.algorithm,
                "holds": answer.has_slo.then(|| answer.holds_to.is_some()),
                "surely_holds": answer.has_slo.then(|| answer.surely_to.is_some()),
                "holds_to_rps": rate(answer.holds_to),
                "surely_to_rps": rate(answer.surely_to),
                "cells": cells,
            })
        })
        .collect();
    let mut document = json!({
        "schema": SCHEMA,
        "name": grid.manifest.name,
        "signals": SIGNALS,
    });
    let missing = num_missing(answers);
    if missing > 0 {
        document["incomplete"] = json!({ "missing_runs": missing, "runs": grid.num_runs() });
    }
    document["answers"] = rows.into();
    document
}

fn scalar_json(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Truth(truth) => (*truth).into(),
        Scalar::Whole(number) => (*number).into(),
        Scalar::Real(number) => (*number).into(),
        Scalar::Text(text) => text.as_str().into(),
    }
}

fn cell_json(answer: &Answer, cell: &CellAnswer) -> Value {
    let terms = &answer.setting.slo.terms;
    let slo: Vec<Value> = (terms.iter().zip(&cell.terms))
        .map(|(term, answer)| {
            json!({
                "objective": term.to_string(),
                "limit_ms": term.limit.as_ms(),
                "value_ms": estimate_json(answer.value_ms),
                "lost": answer.lost,
                "thin_tail": answer.thin_tail,
            })
        })
        .collect();
    let attainment = answer.setting.slo.attainment.as_ref().map(|own| {
        let limits: serde_json::Map<String, Value> =
            own.limits.iter().map(|own| (own.to_string(), own.limit.as_ms().into())).collect();
        json!({
            "least_ratio": own.least_ratio,
            "limits_ms": limits,
            "value_ratio": estimate_json(cell.attainment_ratio),
        })
    });
    let mut value = json!({
        "label": cell.key.label,
        "rate_rps": cell.key.rate_rps,
        "steady": cell.steady,
        "flags": cell.flags.iter().map(Flag::name).collect::<Vec<_>>(),
        "met": answer.has_slo.then_some(cell.met),
        "surely_met": answer.has_slo.then_some(cell.surely_met),
        "failed_runs": cell.num_failed,
        "realised_rps": estimate_json(cell.realised_rps),
        "requests": cell.counts,
        "slo": slo,
        "attainment": attainment,
        "goodput_rps": estimate_json(cell.goodput_rps),
        "ttft_mean_ms": estimate_json(cell.ttft_mean_ms),
        "token_hit_ratio": estimate_json(cell.token_hit_ratio),
        "usd_per_1m_tokens": estimate_json(cell.usd_per_1m_tokens),
    });
    if cell.num_missing > 0 {
        value["missing_runs"] = cell.num_missing.into();
    }
    value
}

fn estimate_json(estimate: Option<Estimate>) -> Value {
    let shown = |estimate: Estimate| {
        let (lo, hi) = (estimate.interval.map(|own| own.lo), estimate.interval.map(|own| own.hi));
        let half_width = estimate.half_width();
        json!({ "mean": estimate.mean, "half_width": half_width, "ci_lo": lo, "ci_hi": hi })
    };
    estimate.map_or(Value::Null, shown)
}

/// How far each algorithm holds on each fleet and workload.
fn overview(text: &mut String, scenes: &[&[Answer]]) {
    let mut algorithms: Vec<&str> = Vec::new();
    for answer in scenes.iter().flat_map(|scene| scene.iter()) {
        if answer.has_slo && !algorithms.contains(&answer.algorithm.as_str()) {
            algorithms.push(&answer.algorithm);
        }
    }
    if algorithms.is_empty() {
        return;
    }
    line(text, "holds to, req/s (- not even the lowest rate; empty: not in the grid)");
    let mut headers = vec![["fleet and workload".to_owned(), String::new()]];
    headers.extend(algorithms.iter().map(|algorithm| [(*algorithm).to_owned(), String::new()]));
    let mut table = TextTable::new(0, &headers);
    for answers in scenes {
        let mut row = vec![scene(&answers[0])];
        for algorithm in &algorithms {
            let own = answers.iter().find(|answer| answer.algorithm == *algorithm);
            row.push(own.map_or_else(String::new, |answer| held(answer, answer.holds_to)));
        }
        table.push(row);
    }
    write_table(text, &table);
}

/// What a fleet and workload are called: the config, and what varies.
fn scene(answer: &Answer) -> String {
    let mut name = answer.config.clone();
    for (axis, value) in &answer.coordinates {
        let short = axis.strip_prefix("cluster.").unwrap_or(axis);
        write!(name, ", {short} = {value}").expect("a string takes all");
    }
    name
}

/// The rate of a cell that holds; `yes` where a trace was replayed at its own.
fn held(answer: &Answer, at: Option<usize>) -> String {
    match at {
        None => "-".to_owned(),
        Some(at) => {
            answer.cells[at].key.rate_rps.map_or_else(|| "yes".to_owned(), |r| r.to_string())
        }
    }
}

/// What one fleet can do of one workload: the answer, then the curves it was read from.
fn section(text: &mut String, grid: &Grid, answers: &[Answer], is_first: bool) {
    let setting = &answers[0].setting;
    let (cluster, slo) = (&setting.cluster, &setting.slo);
    let seeds = seeds(grid);
    line(
        text,
        &format!(
            "{}: {} backends of {}, ${:.2} an hour; signals {SIGNALS}",
            scene(&answers[0]),
            cluster.num_backends,
            cluster.backend_name(),
            cluster.usd_per_hour()
        ),
    );
    if slo.is_empty() {
        line(text, &format!("no SLO; {seeds}\n"));
        let title = "TTFT mean, ms (~ the backlog grows, inf: no request finished)";
        let title = Title { text: title, is_latency: true, show: shown_ms };
        curve(text, &title, answers, |cell| cell.ttft_mean_ms, |_| Marks::default());
        return;
    }
    line(text, &format!("SLO: {slo}; {seeds}"));
    if is_first {
        line(
            text,
            "`holds to`: highest rate at which the mean and those of all lower rates meet it;",
        );
        line(
            text,
            "`surely`: the same for the worse end of the interval. A rate at which the backlog",
        );
        line(text, "grows over the run holds nothing, whatever its latency is so far.");
    }
    line(text, "");
    capacity(text, answers);
    curves(text, slo, answers);
}

/// Each objective over the rates.
fn curves(text: &mut String, slo: &SloSpec, answers: &[Answer]) {
    for (index, term) in slo.terms.iter().enumerate() {
        let name = term.to_string();
        let limit = term.limit.as_ms();
        let marks = |cell: &CellAnswer| {
            let TermAnswer { value_ms, lost, thin_tail } = cell.terms[index];
            let late = lost || value_ms.is_some_and(|value| value.mean > limit);
            Marks { late, thin_tail }
        };
        let title = format!(
            "{name} by rate (! above {limit}, ~ the backlog grows, inf: among unfinished requests)"
        );
        let title = Title { text: &title, is_latency: false, show: shown_ms };
        curve(text, &title, answers, |cell| cell.terms[index].value_ms, marks);
    }
    if let Some(attainment) = &slo.attainment {
        let least = attainment.least_ratio;
        let marks = |cell: &CellAnswer| {
            let late = cell.attainment_ratio.is_some_and(|ratio| ratio.mean < least);
            Marks { late, thin_tail: false }
        };
        let title = format!("attainment_ratio by rate (! below {least}, ~ the backlog grows)");
        let title = Title { text: &title, is_latency: false, show: |ratio| shown(ratio, 1.0, 4) };
        curve(text, &title, answers, |cell| cell.attainment_ratio, marks);
    }
}

/// What a number of a cell is taken from.
fn seeds(grid: &Grid) -> String {
    let interval = grid.manifest.statistics.interval;
    let num_seeds = grid.manifest.first_seeds;
    if num_seeds == 1 {
        return "one seed".to_owned();
    }
    if num_seeds < FEWEST_FOR_INTERVAL {
        return format!("means of {num_seeds} seeds, too few for an interval");
    }
    let kind = match interval.method {
        IntervalMethod::Bca if num_seeds >= FEWEST_FOR_BCA => "BCa interval",
        IntervalMethod::Bca => "t-interval (BCa takes 20 seeds)",
        IntervalMethod::Log => "interval (of times: lognormal)",
        IntervalMethod::T => "t-interval",
    };
    let few =
        if num_seeds < FEW_SEEDS { " (few: wide, and as good as their assumptions)" } else { "" };
    let level = percent(interval.confidence);
    let more = match grid.manifest.seeds.len() {
        most if most > num_seeds => format!(" to {most}"),
        _ => String::new(),
    };
    format!("means of {num_seeds}{more} seeds, ± half of the {level} {kind}{few}")
}

/// What a letter after a number stands for; the backlog has its own sign, few seeds stand above.
const LETTERS: [(Flag, char, &str); 5] = [
    (Flag::Warmup, 'w', "TTFT differs between the halves of the window: lengthen the warm-up"),
    (Flag::Censored, 'c', "some requests did not finish; the latency is that of the others"),
    (
        Flag::ThinTail,
        't',
        "fewer than 100 requests of a run lie beyond the quantile: lengthen runs",
    ),
    (Flag::FailedSeeds, 'f', "runs failed; the number is that of the other seeds"),
    (Flag::SameSeeds, '=', "every seed gave the same: nothing is known of the variance"),
];

/// The letters of a cell's number. That of a latency is of the requests that finished; an objective
/// counts the others.
fn letters(cell: &CellAnswer, is_latency: bool, thin_tail: bool) -> String {
    let holds = |flag: Flag| match flag {
        Flag::ThinTail => thin_tail,
        Flag::Censored => is_latency && cell.flags.has(flag),
        Flag::Saturated | Flag::Warmup | Flag::FailedSeeds | Flag::FewSeeds | Flag::SameSeeds => {
            cell.flags.has(flag)
        }
    };
    LETTERS.iter().filter(|(flag, ..)| holds(*flag)).map(|(_, letter, _)| *letter).collect()
}

/// Says what the letters mean that stand after numbers.
fn legend(text: &mut String, answers: &[Answer]) {
    let mut used = String::new();
    for (answer, cell) in answers.iter().flat_map(|own| own.cells.iter().map(move |c| (own, c))) {
        let thin_tail = cell.terms.iter().any(|term| term.thin_tail);
        used.push_str(&letters(cell, !answer.has_slo, thin_tail));
    }
    let known = LETTERS.iter().filter(|(_, letter, _)| used.contains(*letter));
    for (_, letter, meaning) in known.clone() {
        line(text, &format!("{letter}  {meaning}"));
    }
    if known.count() > 0 {
        line(text, "");
    }
}

/// The table that answers: how far each algorithm holds, and what it costs there.
fn capacity(text: &mut String, answers: &[Answer]) {
    let mut table = TextTable::new(
        0,
        &[
            ["algorithm", ""],
            ["holds to", "req/s"],
            ["surely", "req/s"],
            ["TTFT mean", "ms"],
            ["finished", "%"],
            ["goodput", "req/s"],
            ["cached", "% tokens"],
            ["cost", "$/1M tok"],
        ],
    );
    for answer in answers {
        let at = answer.holds_to.map(|at| &answer.cells[at]);
        let show = |get: fn(&CellAnswer) -> Option<Estimate>, scale: f64, digits: usize| {
            let estimate = at.and_then(get);
            estimate.map_or_else(|| "-".to_owned(), |value| shown(value, scale, digits))
        };
        table.push(vec![
            answer.algorithm.clone(),
            held(answer, answer.holds_to),
            held(answer, answer.surely_to),
            show(|cell| cell.ttft_mean_ms, 1.0, 0),
            at.and_then(|cell| cell.finished_ratio)
                .map_or_else(|| "-".to_owned(), |ratio| format!("{:.2}", 100.0 * ratio.mean)),
            show(|cell| cell.goodput_rps, 1.0, 2),
            show(|cell| cell.token_hit_ratio, 100.0, 1),
            show(|cell| cell.usd_per_1m_tokens, 1.0, 3),
        ]);
    }
    write_table(text, &table);
}

/// A column of [`curve`]: the bits of a rate, 0 for a trace's own, and which of the cells of that
/// rate it is. Positive numbers are in the order of their bits.
type RateColumn = (u64, usize);

/// Returns the columns that the cells of an answer, by rate, stand in.
fn rate_columns(answer: &Answer) -> Vec<RateColumn> {
    let mut columns: Vec<RateColumn> = Vec::with_capacity(answer.cells.len());
    for cell in &answer.cells {
        let rate = cell.key.rate_rps.map_or(0, f64::to_bits);
        let before = columns.iter().rev().take_while(|(own, _)| *own == rate).count();
        columns.push((rate, before));
    }
    columns
}

/// What a curve shows.
struct Title<'t> {
    text: &'t str,
    /// Of requests that finished alone.
    is_latency: bool,
    /// How its numbers are shown.
    show: fn(Estimate) -> String,
}

/// What is to be said of a number of a curve.
#[derive(Default)]
struct Marks {
    /// It is beyond its limit.
    late: bool,
    thin_tail: bool,
}

/// One statistic over the rates, a row per algorithm; empty where the grid has no such cell.
fn curve(
    text: &mut String,
    title: &Title<'_>,
    answers: &[Answer],
    get: impl Fn(&CellAnswer) -> Option<Estimate>,
    marks: impl Fn(&CellAnswer) -> Marks,
) {
    line(text, title.text);
    let mut columns: BTreeMap<RateColumn, &CellAnswer> = BTreeMap::new();
    for answer in answers {
        for (column, cell) in rate_columns(answer).into_iter().zip(&answer.cells) {
            columns.entry(column).or_insert(cell);
        }
    }
    let mut headers = vec![["algorithm", "(realised rate)"].map(str::to_owned)];
    headers.extend(columns.values().map(|cell| {
        let rate = cell.key.rate_rps;
        let asked = rate.map_or_else(|| "own rate".to_owned(), |rate| format!("{rate}/s"));
        let realised = cell.realised_rps.map(|rate| format!("({:.2})", rate.mean));
        [asked, realised.unwrap_or_default()]
    }));
    let mut table = TextTable::new(0, &headers);
    for answer in answers {
        let own: BTreeMap<RateColumn, &CellAnswer> =
            rate_columns(answer).into_iter().zip(&answer.cells).collect();
        let mut row = vec![answer.algorithm.clone()];
        row.extend(columns.keys().map(|column| {
            let Some(cell) = own.get(column) else { return String::new() };
            let value = get(cell).map_or_else(|| unknown(cell).to_owned(), title.show);
            let unsteady = if cell.steady { "" } else { " ~" };
            let Marks { late, thin_tail } = marks(cell);
            let late = if late { " !" } else { "" };
            let some = if is_part(cell) { " ?" } else { "" };
            let letters = match letters(cell, title.is_latency, thin_tail) {
                none if none.is_empty() => none,
                letters => format!(" {letters}"),
            };
            format!("{value}{unsteady}{late}{some}{letters}")
        }));
        table.push(row);
    }
    write_table(text, &table);
}

/// What stands for a value that a cell does not have.
fn unknown(cell: &CellAnswer) -> &'static str {
    match (cell.num_failed, cell.counts.finished == cell.counts.requests) {
        (0, true) if cell.num_missing > 0 && !is_part(cell) => "missing",
        (0, true) => "-",
        (0, false) => "inf",
        _ => "failed",
    }
}

/// Whether some seeds of a cell are missing, but not all.
fn is_part(cell: &CellAnswer) -> bool {
    cell.num_missing > 0 && (cell.counts.requests > 0 || cell.num_failed > 0)
}

/// Milliseconds: to a tenth below a hundred.
fn shown_ms(estimate: Estimate) -> String {
    shown(estimate, 1.0, if estimate.mean < 100.0 { 1 } else { 0 })
}

fn shown(estimate: Estimate, scale: f64, digits: usize) -> String {
    let mean = estimate.mean * scale;
    match estimate.half_width() {
        Some(half) => format!("{mean:.digits$} ±{:.digits$}", half * scale),
        None => format!("{mean:.digits$}"),
    }
}

/// Writes a table, and an empty line after each of its blocks.
fn write_table(text: &mut String, table: &TextTable) {
    for block in table.blocks(WIDTH) {
        for row in block {
            line(text, &row);
        }
        line(text, "");
    }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes all");
}
