//! A check for programs.

use serde_json::{Value, json};

use super::{name_of, why};
use crate::gate::{
    CellChange, CellName, Check, FailedSeed, MetricChange, Outcome, PairedBy, Source,
};
use crate::stats::{Better, Interval, Scale, Verdict};

/// The version of the document.
const SCHEMA: &str = "routesim.check/1";

/// Renders a check for programs: every cell and metric, unrounded.
pub fn check_json(check: &Check) -> Value {
    let all = &check.comparison;
    let count = |verdict| all.count(verdict);
    let outcome = match check.outcome() {
        Outcome::Regression => "regression",
        Outcome::Incomplete => "incomplete",
        Outcome::Inconclusive => "inconclusive",
        Outcome::Passed => "passed",
    };
    json!({
        "schema": SCHEMA,
        "outcome": outcome,
        "strict": check.strict,
        "new": source(&check.new),
        "baseline": source(&check.baseline),
        "gate": check.spec.json(),
        "verdicts": {
            "regression": count(Verdict::Regression),
            "inconclusive": count(Verdict::Inconclusive),
            "improved": count(Verdict::Improved),
            "equivalent": count(Verdict::Equivalent),
            "unchanged": count(Verdict::Unchanged),
        },
        "pairs": all.pairs(),
        "unchanged_cells": all.unchanged_cells(),
        "failed_new_runs": all.failed_new(),
        "missing_new_runs": all.lost_runs(),
        "lost_metrics": all.lost_metrics(),
        "cells": all.cells.iter().map(cell).collect::<Vec<_>>(),
        "cells_only_new": all.only_new.iter().map(name).collect::<Vec<_>>(),
        "cells_only_baseline": all.only_old.iter().map(name).collect::<Vec<_>>(),
        "columns_only_new": all.columns_only_new,
        "columns_only_baseline": all.columns_only_old,
    })
}

fn source(source: &Source) -> Value {
    json!({
        "path": source.path,
        "engine": source.engine,
        "missing_runs": source.missing_runs,
        "command": source.command,
    })
}

fn name(cell: &CellName) -> Value {
    json!({ "cell_label": cell.label, "cell_id": cell.id, "runs": cell.runs })
}

fn cell(cell: &CellChange) -> Value {
    let by = match cell.by {
        PairedBy::Id => "cell_id",
        PairedBy::Label => "cell_label",
    };
    let failed = |runs: &[FailedSeed]| {
        let run = |run: &FailedSeed| json!({ "seed": run.seed, "error": run.error });
        runs.iter().map(run).collect::<Vec<_>>()
    };
    json!({
        "cell_label": cell.label,
        "cell_id": cell.id,
        "baseline_cell_id": cell.old_id,
        "paired_by": by,
        "pairs": cell.pairs,
        "changed_pairs": cell.changed_pairs,
        "changed_columns": cell.changed_columns,
        "other_requests": cell.other_requests,
        "failed_new": failed(&cell.failed_new),
        "failed_baseline": failed(&cell.failed_old),
        "seeds_only_new": cell.seeds_only_new,
        "seeds_only_baseline": cell.seeds_only_old,
        "metrics": cell.metrics.iter().map(metric).collect::<Vec<_>>(),
    })
}

fn metric(change: &MetricChange) -> Value {
    let judged = &change.judged;
    let better = match judged.better {
        Better::Lower => "lower",
        Better::Higher => "higher",
    };
    let test = change.test;
    let scale = test.map(|test| match test.scale {
        Scale::Ratio => "ratio",
        Scale::Difference => "difference",
    });
    let end = |end: fn(Interval) -> f64| test.and_then(|test| test.interval).map(end);
    json!({
        "metric": judged.name,
        "unit": judged.unit,
        "better": better,
        "min_effect": judged.min_effect,
        "verdict": name_of(change.verdict),
        "why": why(change),
        "pairs": change.pairs,
        "lost": change.lost,
        "found": change.found,
        "baseline_mean": change.old_mean,
        "new_mean": change.new_mean,
        "scale": scale,
        "effect": test.map(|test| test.effect),
        "ci_lo": end(|interval| interval.lo),
        "ci_hi": end(|interval| interval.hi),
        "p_worse": test.map(|test| test.p_worse),
        "p_worse_adj": change.p_worse,
        "p_better": test.map(|test| test.p_better),
        "p_better_adj": change.p_better,
        "p_equivalent": test.map(|test| test.p_equivalent),
    })
}
