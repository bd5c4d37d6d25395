//! What searches found, as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::sweep::{Capacity, Find, Grid, Status};

use super::SIGNALS;
use super::number::SIGNIFICANT;
use super::table::TextTable;

/// The version of the JSON answer.
const SCHEMA: &str = "routesim.capacity/1";
/// Columns of a terminal that tables fit into.
const WIDTH: usize = 100;

/// Renders what searches found for a terminal: a table for each fleet and workload, the best
/// algorithm first.
pub fn capacities_text(grid: &Grid, capacities: &[Capacity]) -> String {
    let Some(spec) = &grid.manifest.capacity else { return String::new() };
    let mut text = String::new();
    let missing = capacities.iter().filter(|own| own.found.is_none()).count();
    if missing > 0 {
        let all = capacities.len();
        line(&mut text, &format!("INCOMPLETE: {missing} of {all} searches have not ended.\n"));
    }
    let what = match spec.find {
        Find::Highest => "Highest",
        Find::Lowest => "Lowest",
    };
    let level = 100.0 * grid.manifest.statistics.interval.confidence;
    line(
        &mut text,
        &format!("{what} {} that keeps the SLO, with its {level} % interval", spec.over),
    );
    let mut scenes: Vec<(String, Vec<&Capacity>)> = Vec::new();
    for capacity in capacities {
        let scene = scene(grid, capacity);
        match scenes.iter_mut().find(|(own, _)| *own == scene) {
            Some((_, members)) => members.push(capacity),
            None => scenes.push((scene, vec![capacity])),
        }
    }
    for (scene, mut members) in scenes {
        line(&mut text, "");
        line(&mut text, &scene);
        members.sort_by(|a, b| rank(b, spec.find).total_cmp(&rank(a, spec.find)));
        table(&mut text, grid, &members);
    }
    let notes = notes(grid, capacities);
    if !notes.is_empty() {
        line(&mut text, "");
    }
    notes.iter().for_each(|note| line(&mut text, note));
    text
}

/// Renders what searches found for programs.
pub fn capacities_json(grid: &Grid, capacities: &[Capacity]) -> Value {
    let over = grid.manifest.capacity.as_ref().map(|spec| spec.over.as_str());
    let rows: Vec<Value> =
        capacities.iter().map(|capacity| capacity_json(grid, capacity)).collect();
    let missing = capacities.iter().filter(|own| own.found.is_none()).count();
    json!({
        "schema": SCHEMA,
        "name": grid.manifest.name,
        "incomplete": (missing > 0).then(|| json!({ "missing_searches": missing })),
        "signals": SIGNALS,
        "over": over,
        "ci_level": grid.manifest.statistics.interval.confidence,
        "capacities": rows,
    })
}

fn capacity_json(grid: &Grid, capacity: &Capacity) -> Value {
    let found = capacity.found.as_ref();
    let [lo, hi] = capacity.interval();
    json!({
        "fleet": scene(grid, capacity),
        "algorithm": algorithm(grid, capacity),
        "capacity": capacity.value(),
        "ci_lo": lo,
        "ci_hi": hi,
        "status": capacity.status(),
        "limiting_objective": capacity.limiting,
        "monotone": found.map(|found| found.is_monotone),
        "seeds": found.map(|found| found.seeds),
        "runs": capacity.runs.values().sum::<usize>(),
        "usd_per_1m_tokens": capacity.usd_per_1m_tokens,
    })
}

fn table(text: &mut String, grid: &Grid, members: &[&Capacity]) {
    let over = grid.manifest.capacity.as_ref().map_or("", |spec| spec.over.as_str());
    let unit = if over == "rate" { "req/s" } else { "" };
    let mut table = TextTable::new(
        0,
        &[
            ["algorithm", ""],
            ["capacity", unit],
            ["from", unit],
            ["to", unit],
            ["width", "%"],
            ["left first", "objective"],
            ["cost", "$/1M tok"],
            ["seeds", ""],
            ["runs", ""],
            ["status", ""],
        ],
    );
    for capacity in members {
        let found = capacity.found.as_ref();
        let [lo, hi] = capacity.interval();
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), digits);
        let width = capacity.relative_width().map(|width| 100.0 * width);
        table.push(vec![
            algorithm(grid, capacity),
            shown(capacity.value()),
            shown(lo),
            shown(hi),
            width.map_or_else(|| "-".to_owned(), |width| format!("{width:.1}")),
            capacity.limiting.clone().unwrap_or_else(|| "-".to_owned()),
            capacity.usd_per_1m_tokens.map_or_else(|| "-".to_owned(), |usd| format!("{usd:.3}")),
            found.map_or_else(|| "-".to_owned(), |found| found.seeds.to_string()),
            capacity.runs.values().sum::<usize>().to_string(),
            capacity.status().to_owned(),
        ]);
    }
    for block in table.blocks(WIDTH) {
        block.iter().for_each(|row| line(text, row));
    }
}

/// Says what each status that is not `resolved` means, once.
fn notes(grid: &Grid, capacities: &[Capacity]) -> Vec<String> {
    let mut notes = Vec::new();
    let has = |status: Option<Status>| {
        capacities.iter().any(|own| own.found.as_ref().map(|found| found.status) == status)
    };
    let Some(spec) = &grid.manifest.capacity else { return notes };
    let (over, seeds) = (&spec.over, spec.max_seeds);
    let (first, last) = match spec.find {
        Find::Highest => ("lowest", "highest"),
        Find::Lowest => ("highest", "lowest"),
    };
    if has(Some(Status::Unresolved)) {
        let what = match over.as_str() {
            "rate" => format!("the interval is wider than {} %", 100.0 * spec.relative_width),
            _ => "neighbours can't be told apart".to_owned(),
        };
        notes.push(format!(
            "unresolved: {what} after up to {seeds} seeds; the interval holds as it is.\n  \
             Longer runs narrow it more than `max_seeds` does."
        ));
    }
    if has(Some(Status::AboveMax)) {
        notes.push(format!("above_max: even the {last} `{over}` keeps the SLO: go on beyond it."));
    }
    if has(Some(Status::BelowMin)) {
        notes.push(format!("below_min: not even the {first} `{over}` keeps the SLO."));
    }
    if capacities.iter().any(|own| own.limiting.as_deref() == Some("backlog")) {
        notes.push("backlog: it grows before a latency is too long; longer runs fail.".to_owned());
    }
    if has(Some(Status::Failed)) {
        notes.push("failed: a run that was looked at failed; nothing is known.".to_owned());
    }
    if has(None) {
        notes.push("missing: runs are yet to come; the same command goes on.".to_owned());
    }
    let mixed = |own: &&Capacity| own.found.as_ref().is_some_and(|found| !found.is_monotone);
    if let Some(own) = capacities.iter().find(mixed) {
        notes.push(format!(
            "{}: a value holds beyond one that surely does not; the lower one counts.",
            algorithm(grid, own)
        ));
    }
    notes
}

fn rank(capacity: &Capacity, find: Find) -> f64 {
    let status = capacity.found.as_ref().map(|found| found.status);
    let known = capacity.value().or(capacity.interval()[0]);
    match (known, find) {
        (Some(value), Find::Highest) => value,
        (Some(value), Find::Lowest) => -value,
        (None, _) if status == Some(Status::AboveMax) => f64::INFINITY,
        (None, _) => f64::NEG_INFINITY,
    }
}

fn algorithm(grid: &Grid, capacity: &Capacity) -> String {
    grid.cells()[capacity.line.cells[0]].key.algorithm.label()
}

/// The fleet and the other axes of a line.
fn scene(grid: &Grid, capacity: &Capacity) -> String {
    let over = grid.manifest.capacity.as_ref().map_or("", |spec| spec.over.as_str());
    let cell = &grid.cells()[capacity.line.cells[0]];
    let cluster = &cell.setting.cluster;
    let mut name = cell.key.config.clone();
    for (axis, value) in grid.coordinates.iter().zip(cell.key.coordinates.iter()) {
        if axis != over && !axis.starts_with("algorithm.") {
            write!(name, ", {axis} = {value}").expect("a string takes all");
        }
    }
    if over != "rate"
        && grid.has_axis("rate")
        && let Some(rate) = cell.key.rate_rps
    {
        write!(name, ", {rate} req/s").expect("a string takes all");
    }
    if over != "cluster.num_backends" {
        write!(
            name,
            ": {} backends of {}, ${:.2} an hour",
            cluster.num_backends,
            cluster.backend_name(),
            cluster.usd_per_hour()
        )
        .expect("a string takes all");
    }
    format!("{name}; SLO: {}", cell.setting.slo)
}

/// A whole number as it is, others with three digits or more.
fn digits(value: f64) -> String {
    if value.fract() == 0.0 { value.to_string() } else { SIGNIFICANT.show(value) }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes all");
}
