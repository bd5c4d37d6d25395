//! A row per run.

use polars::prelude::{Column, DataFrame, PlSmallStr};

use crate::metrics::{METRICS, OutcomeCounts, Summary};
use crate::router::{AlgorithmSpec, RejectReason};

use super::write::TableError;

/// One point of a grid, without its seed.
#[derive(Clone, Debug, PartialEq)]
pub struct CellKey {
    /// Name of the config.
    pub config: String,
    /// The algorithm with its parameters.
    pub algorithm: AlgorithmSpec,
    /// Request rate that was asked for; none when a trace is replayed at its own.
    pub rate_rps: Option<f64>,
}

/// One run and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Its cell.
    pub cell: CellKey,
    /// Its seed.
    pub seed: u64,
    /// The rate that its workload had over the window.
    pub realised_rps: Option<f64>,
    /// Its numbers, or why there are none.
    pub outcome: Result<Summary, String>,
}

impl CellKey {
    /// Returns a name that no other cell of the grid has: config, algorithm and rate.
    pub fn id(&self) -> String {
        let label = self.algorithm.label();
        match self.rate_rps {
            Some(rate) => format!("{}/{label}/{rate}", self.config),
            None => format!("{}/{label}", self.config),
        }
    }
}

/// Makes the table of runs; rows keep their order. `slo_terms` are the columns of the SLO.
///
/// # Errors
///
/// When polars refuses, which would be our fault.
pub fn runs_frame(rows: &[RunRow], slo_terms: &[String]) -> Result<DataFrame, TableError> {
    let mut columns = axis_columns(rows);
    columns.extend([
        text("status", rows, |row| Some(if row.outcome.is_ok() { "ok" } else { "failed" }.into())),
        text("error", rows, |row| row.outcome.as_ref().err().cloned()),
        real("realised_rps", rows, |row| row.realised_rps),
        real("window_s", rows, |row| Some(summary(row)?.window_s)),
    ]);
    columns.extend(count_columns(rows));
    for metric in &METRICS {
        columns.push(real(metric.name, rows, |row| (metric.get)(summary(row)?)));
    }
    for term in slo_terms {
        let value = |row: &RunRow| {
            let slo = summary(row)?.slo.as_ref()?;
            slo.terms.iter().find(|own| format!("slo_{}", own.name) == *term)?.value_ms
        };
        columns.push(real(term, rows, value));
        let lost = |row: &RunRow| {
            let slo = summary(row)?.slo.as_ref()?;
            let own = slo.terms.iter().find(|own| format!("slo_{}", own.name) == *term)?;
            Some(u64::from(own.value_ms.is_none() && !own.met))
        };
        columns.push(whole(&lost_column(term), rows, lost));
    }
    columns.push(whole("events_count", rows, |row| Some(summary(row)?.events)));
    let method = |row: &RunRow| Some(summary(row)?.latency_quantiles.name().to_owned());
    columns.push(text("latency_quantiles", rows, method));
    Ok(DataFrame::new(rows.len(), columns)?)
}

/// The column that says whether an objective is infinite in a run, as it lies among requests that
/// did not finish.
pub(super) fn lost_column(term: &str) -> String {
    format!("{}_lost_count", term.trim_end_matches("_ms"))
}

/// Which cell, by every axis.
fn axis_columns(rows: &[RunRow]) -> Vec<Column> {
    let parameters = |row: &RunRow| {
        let parameters = row.cell.algorithm.parameters().iter();
        let list: Vec<String> = parameters.map(|(name, value)| format!("{name}={value}")).collect();
        Some(list.join(","))
    };
    vec![
        text("cell_id", rows, |row| Some(row.cell.id())),
        text("config", rows, |row| Some(row.cell.config.clone())),
        text("algorithm", rows, |row| Some(row.cell.algorithm.label())),
        text("algorithm_name", rows, |row| Some(row.cell.algorithm.name().to_owned())),
        text("algorithm_parameters", rows, parameters),
        real("rate_rps", rows, |row| row.cell.rate_rps),
        whole("seed", rows, |row| Some(row.seed)),
    ]
}

/// Outcomes over all requests and over the measured ones.
fn count_columns(rows: &[RunRow]) -> Vec<Column> {
    let mut columns = Vec::new();
    for scope in ["", "measured_"] {
        fn counts<'s>(scope: &str, summary: &'s Summary) -> &'s OutcomeCounts {
            if scope.is_empty() { &summary.all } else { &summary.measured }
        }
        let mut push = |name: &str, get: &dyn Fn(&OutcomeCounts) -> u64| {
            let name = format!("{scope}{name}_count");
            columns.push(whole(&name, rows, |row| Some(get(counts(scope, summary(row)?)))));
        };
        push("requests", &|counts| counts.requests);
        push("finished", &|counts| counts.finished);
        for reason in RejectReason::ALL {
            let name = format!("rejected_{}", reason.name());
            push(&name, &|counts| counts.rejected.get(reason.name()).copied().unwrap_or(0));
        }
        push("timed_out", &|counts| counts.timed_out);
        push("unserved", &|counts| counts.unserved);
    }
    columns
}

fn summary(row: &RunRow) -> Option<&Summary> {
    row.outcome.as_ref().ok()
}

fn text(name: &str, rows: &[RunRow], get: impl Fn(&RunRow) -> Option<String>) -> Column {
    Column::new(PlSmallStr::from(name), rows.iter().map(get).collect::<Vec<_>>())
}

/// A NaN or an infinity would be our fault; it must not poison a reader's means.
fn real(name: &str, rows: &[RunRow], get: impl Fn(&RunRow) -> Option<f64>) -> Column {
    let values = rows.iter().map(|row| get(row).filter(|value| value.is_finite()));
    Column::new(PlSmallStr::from(name), values.collect::<Vec<_>>())
}

/// Counts are signed 64-bit, which every reader has.
fn whole(name: &str, rows: &[RunRow], get: impl Fn(&RunRow) -> Option<u64>) -> Column {
    let values = rows.iter().map(|row| get(row).and_then(|value| i64::try_from(value).ok()));
    Column::new(PlSmallStr::from(name), values.collect::<Vec<_>>())
}
