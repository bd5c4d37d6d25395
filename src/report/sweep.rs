//! The answer of a sweep, as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::sweep::{Answer, CellAnswer, Estimate, Grid};

/// The version of the JSON answer.
const SCHEMA: &str = "routesim.answer/1";
/// Columns of a terminal that tables fit into.
const WIDTH: usize = 100;

/// Renders the answer of a sweep for a terminal.
pub fn sweep_text(grid: &Grid, answers: &[Answer]) -> String {
    let mut text = String::new();
    let mut config = "";
    for (index, answer) in answers.iter().enumerate() {
        if answer.config != config || index == 0 {
            config = &answer.config;
            let place = grid.manifest.configs.iter().position(|loaded| loaded.name == config);
            let of_config: Vec<&Answer> =
                answers.iter().filter(|answer| answer.config == config).collect();
            section(&mut text, grid, place.unwrap_or(0), &of_config);
        }
    }
    let failed: usize = answers.iter().flat_map(|a| &a.cells).map(|cell| cell.num_failed).sum();
    if failed > 0 {
        line(&mut text, &format!("{failed} runs failed; column `error` of runs.parquet says why"));
    }
    text
}

/// Renders the answer of a sweep for programs.
pub fn answers_json(grid: &Grid, answers: &[Answer]) -> Value {
    let rows: Vec<Value> = answers
        .iter()
        .map(|answer| {
            let rate = |index: Option<usize>| index.and_then(|at| answer.cells[at].key.rate_rps);
            let cells: Vec<Value> =
                answer.cells.iter().map(|cell| cell_json(grid, answer, cell)).collect();
            json!({
                "config": answer.config,
                "algorithm": answer.algorithm,
                "holds_to_rps": rate(answer.holds_to),
                "surely_to_rps": rate(answer.surely_to),
                "cells": cells,
            })
        })
        .collect();
    json!({
        "schema": SCHEMA,
        "name": grid.manifest.name,
        "signals": "perfect and immediate",
        "answers": rows,
    })
}

fn cell_json(grid: &Grid, answer: &Answer, cell: &CellAnswer) -> Value {
    let place = grid.manifest.configs.iter().position(|loaded| loaded.name == answer.config);
    let terms = &grid.slo(place.unwrap_or(0)).terms;
    let slo: Vec<Value> = (terms.iter().zip(&cell.terms))
        .map(|(term, estimate)| {
            json!({
                "objective": term.to_string(),
                "limit_ms": term.limit.as_ms(),
                "value_ms": estimate_json(*estimate),
            })
        })
        .collect();
    json!({
        "rate_rps": cell.key.rate_rps,
        "met": cell.met,
        "surely_met": cell.surely_met,
        "failed_runs": cell.num_failed,
        "realised_rps": estimate_json(cell.realised_rps),
        "slo": slo,
        "goodput_rps": estimate_json(cell.goodput_rps),
        "ttft_mean_ms": estimate_json(cell.ttft_mean_ms),
        "token_hit_ratio": estimate_json(cell.token_hit_ratio),
        "usd_per_1m_tokens": estimate_json(cell.usd_per_1m_tokens),
    })
}

fn estimate_json(estimate: Option<Estimate>) -> Value {
    estimate.map_or(
        Value::Null,
        |estimate| json!({ "mean": estimate.mean, "half_width": estimate.half_width }),
    )
}

/// What one config can do: the answer, then the curves it was read from.
fn section(text: &mut String, grid: &Grid, config: usize, answers: &[&Answer]) {
    let loaded = &grid.manifest.configs[config];
    let cluster = &loaded.config.cluster;
    let seeds = grid.manifest.seeds.len();
    line(
        text,
        &format!(
            "{}: {} backends of {}, ${:.2} an hour; signals perfect and immediate",
            loaded.name,
            cluster.num_backends,
            cluster.gpu.name,
            cluster.usd_per_hour()
        ),
    );
    let slo = grid.slo(config);
    let objectives: Vec<String> =
        slo.terms.iter().map(|term| format!("{term} <= {}", term.limit.as_ms())).collect();
    if objectives.is_empty() {
        line(text, &format!("no SLO; means of {seeds} seeds, ± half of the 95 % t-interval\n"));
        curve(text, "TTFT mean, ms", answers, |cell| cell.ttft_mean_ms, |_| false);
        return;
    }
    let objectives = objectives.join(" and ");
    line(
        text,
        &format!("SLO: {objectives}; means of {seeds} seeds, ± half of the 95 % t-interval"),
    );
    line(text, "`holds to`: highest rate at which the mean and those of all lower rates meet it;");
    line(text, "`surely`: the same for the upper end of the interval. Rates in requests/s.\n");
    capacity(text, answers);
    for (index, term) in slo.terms.iter().enumerate() {
        let name = term.to_string();
        let limit = term.limit.as_ms();
        let late = |cell: &CellAnswer| cell.terms[index].is_none_or(|value| value.mean > limit);
        let title = format!("{name} by rate (! is above {limit}, inf is among rejected requests)");
        curve(text, &title, answers, |cell| cell.terms[index], late);
    }
}

/// The table that answers: how far each algorithm holds, and what it costs there.
fn capacity(text: &mut String, answers: &[&Answer]) {
    let header =
        ["algorithm", "holds to", "surely", "TTFT mean ms", "goodput /s", "hit %", "$/1M tok"];
    let mut rows = vec![header.map(str::to_owned)];
    for answer in answers {
        let rate = |index: Option<usize>| {
            let rate = index.and_then(|at| answer.cells[at].key.rate_rps);
            rate.map_or_else(
                || if index.is_some() { "yes" } else { "-" }.to_owned(),
                |r| r.to_string(),
            )
        };
        let at = answer.holds_to.map(|at| &answer.cells[at]);
        let show = |get: fn(&CellAnswer) -> Option<Estimate>, scale: f64, digits: usize| {
            let estimate = at.and_then(get);
            estimate.map_or_else(|| "-".to_owned(), |value| shown(value, scale, digits))
        };
        rows.push([
            answer.algorithm.clone(),
            rate(answer.holds_to),
            rate(answer.surely_to),
            show(|cell| cell.ttft_mean_ms, 1.0, 0),
            show(|cell| cell.goodput_rps, 1.0, 2),
            show(|cell| cell.token_hit_ratio, 100.0, 1),
            show(|cell| cell.usd_per_1m_tokens, 1.0, 3),
        ]);
    }
    table(text, &rows.iter().map(|row| row.to_vec()).collect::<Vec<_>>());
}

/// One statistic over the rates, a row per algorithm.
fn curve(
    text: &mut String,
    title: &str,
    answers: &[&Answer],
    get: impl Fn(&CellAnswer) -> Option<Estimate>,
    late: impl Fn(&CellAnswer) -> bool,
) {
    line(text, title);
    let mut header = vec!["algorithm".to_owned()];
    let cells = answers.first().map_or(&[][..], |answer| &answer.cells);
    header.extend(cells.iter().map(|cell| {
        cell.key.rate_rps.map_or_else(|| "own rate".to_owned(), |rate| format!("{rate}/s"))
    }));
    let mut realised = vec!["(realised rate)".to_owned()];
    realised.extend(cells.iter().map(|cell| {
        cell.realised_rps.map_or_else(|| "-".to_owned(), |rate| format!("{:.2}/s", rate.mean))
    }));
    let mut rows = vec![header, realised];
    for answer in answers {
        let mut row = vec![answer.algorithm.clone()];
        row.extend(answer.cells.iter().map(|cell| {
            let value = get(cell).map_or_else(|| "inf".to_owned(), |value| shown(value, 1.0, 0));
            if late(cell) { format!("{value} !") } else { value }
        }));
        rows.push(row);
    }
    table(text, &rows);
}

fn shown(estimate: Estimate, scale: f64, digits: usize) -> String {
    let mean = estimate.mean * scale;
    match estimate.half_width {
        Some(half) => format!("{mean:.digits$} ±{:.digits$}", half * scale),
        None => format!("{mean:.digits$}"),
    }
}

/// Writes rows as columns two blanks apart: the first to the left, the rest to the right. Columns
/// that do not fit the width go to a further block, under the first column again.
fn table(text: &mut String, rows: &[Vec<String>]) {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut next = 1;
    while next < columns {
        let first = next;
        let mut total = widths[0];
        while next < columns && (next == first || total + 2 + widths[next] <= WIDTH) {
            total += 2 + widths[next];
            next += 1;
        }
        for row in rows {
            let head = widths[0];
            let mut out = format!("{:<head$}", row[0]);
            for (cell, width) in row[first..next].iter().zip(&widths[first..next]) {
                write!(out, "  {cell:>width$}").expect("a string takes all");
            }
            line(text, out.trim_end());
        }
        text.push('\n');
    }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes all");
}
