//! What the columns of the tables mean.

use polars::prelude::{DataFrame, DataType};
use serde_json::{Map, Value, json};

use crate::metrics::{Better, METRICS};

/// Units by the end of a name.
const UNITS: [(&str, &str); 9] = [
    ("_ms", "ms"),
    ("_rps", "requests/s"),
    ("_tps", "tokens/s"),
    ("_ratio", "1"),
    ("_blocks", "blocks"),
    ("_tokens", "tokens"),
    ("_count", "1"),
    ("_usd", "USD"),
    ("_s", "s"),
];

/// What is told of a metric in the wide table of cells, and what it means.
const STATISTICS: [(&str, &str); 5] = [
    ("_n", "seeds with a value of"),
    ("_mean", "mean over seeds of"),
    ("_sd", "standard deviation over seeds (n - 1) of"),
    ("_ci_lo", "lower end of the interval of the mean over seeds of"),
    ("_ci_hi", "upper end of the interval of the mean over seeds of"),
];

const LATENCIES: [(&str, &str); 5] = [
    ("ttft_", "time to first token"),
    ("tbt_", "time between tokens, pooled"),
    ("tpot_", "time per output token after the first"),
    ("e2e_", "arrival to last token"),
    ("queue_wait_", "arrival to first scheduling"),
];

const DESCRIPTIONS: [(&str, &str); 130] = [
    // Which run or cell.
    ("run_id", "what the run depends on, as a hash"),
    ("cell_id", "the cell"),
    ("cell_label", "the cell, as people call it"),
    ("config", "name of the config's file"),
    ("algorithm", "name with the parameters that differ from their defaults"),
    ("algorithm_name", "name"),
    ("algorithm_parameters", "all parameters, as name=value"),
    ("rate_rps", "rate that was asked for"),
    ("seed", "seed"),
    ("draw", "place of the seed among those of the manifest, from 0"),
    ("status", "how the run ended"),
    ("error", "why it failed"),
    // What came of a run.
    ("realised_rps", "rate that the requests had over the window"),
    ("window_s", "length of the window"),
    ("drawn_prompt_mean_tokens", "mean prompt of the measured requests"),
    ("drawn_output_mean_tokens", "mean output of the measured requests"),
    ("drawn_interarrival_mean_s", "mean time from the arrival before, of the measured requests"),
    ("ttft_first_half_mean_ms", "mean TTFT of the measured requests of the window's first half"),
    ("ttft_second_half_mean_ms", "the same of its second half: where they differ the run drifts"),
    ("requests_count", "all requests, warm-up included"),
    ("finished_count", "requests whose tokens all came"),
    ("rejected_no_backend_count", "requests that no backend accepted"),
    ("rejected_queue_full_count", "requests whose chosen backend was full"),
    ("rejected_never_fits_count", "requests of more KV blocks than a backend has"),
    ("timed_out_count", "requests that gave up"),
    ("unserved_count", "requests without an outcome"),
    ("backlog_start_count", "requests in the system when the window began"),
    ("backlog_end_count", "requests in the system when the window ended"),
    ("throughput_rps", "requests completed in the window"),
    ("prompt_throughput_tps", "prompt tokens of the requests completed in the window"),
    ("output_throughput_tps", "output tokens of the requests completed in the window"),
    ("goodput_rps", "measured requests that kept every objective"),
    ("slo_attainment_ratio", "measured requests that kept every objective, of those that arrived"),
    ("slo_met_ratio", "1 when the run kept every objective"),
    ("finished_ratio", "measured requests that finished, of those that arrived"),
    ("rejected_ratio", "measured requests that were turned away, of those that arrived"),
    ("backlog_growth_ratio", "growth of the backlog over the window, of the arrivals"),
    ("drain_s", "from the end of the window to the last event"),
    ("token_hit_ratio", "prompt tokens found in the cache, of all"),
    ("request_hit_ratio", "requests that found a block in the cache, of all"),
    ("evictions_blocks", "blocks whose content was evicted"),
    ("preemptions_count", "how often requests lost their blocks"),
    ("load_cv_ratio", "coefficient of variation of the requests that backends got"),
    ("jain_index_ratio", "Jain's index of the requests that backends got; 1 is even"),
    ("max_min_queue_ratio", "longest over shortest mean queue of the backends"),
    ("gpu_time_per_request_s", "busy time of the backends over the requests that finished"),
    ("cost_per_1k_tokens_usd", "price of the fleet over a thousand tokens"),
    ("events_count", "events that the simulation handled"),
    ("latency_quantiles", "how quantiles were found: exact or histogram"),
    // What is told of a cell.
    ("metric", "the metric"),
    ("unit", "its unit"),
    ("n", "seeds that have a value"),
    ("n_failed", "seeds whose run failed"),
    ("mean", "mean over seeds"),
    ("sd", "standard deviation over seeds (n - 1)"),
    ("se", "standard error of the mean over seeds"),
    ("ci_lo", "lower end of the interval of the mean"),
    ("ci_hi", "upper end of the interval of the mean"),
    ("ci_level", "level of the interval"),
    ("ci_method", "method of the interval"),
    ("min", "least of the seeds"),
    ("median", "median of the seeds"),
    ("max", "greatest of the seeds"),
    ("n_distinct", "different values among the seeds"),
    // What is told of a search.
    ("over", "the axis that was searched along"),
    ("capacity", "the value at which the mean of an objective meets its limit"),
    ("relative_width_ratio", "width of the interval over the value"),
    ("capacity_status", "resolved, unresolved, above_max, below_min, failed, or missing"),
    ("limiting_objective", "the objective that is left first, or backlog"),
    ("objectives", "all objectives with their limits"),
    ("monotone", "whether nothing holds beyond a value that surely does not"),
    ("values_count", "values of the axis that were looked at"),
    ("runs_count", "runs that were looked at"),
    ("cost_per_1m_tokens_usd", "price of the fleet over a million tokens, at the value"),
    (
        "flags",
        "why not to trust it, names joined by semicolons; null when nothing speaks against it",
    ),
    // Comparisons.
    ("axis", "axis that the compared cells differ in"),
    ("value_a", "value on the axis of the first cell"),
    ("value_b", "value on the axis of the second cell"),
    ("cell_id_a", "the first cell"),
    ("cell_id_b", "the second cell"),
    ("n_pairs", "seeds that both cells have a value of"),
    ("n_unpaired", "seeds that one of them alone has a value of: left out"),
    ("mean_a", "mean over the pairs of the first cell"),
    ("mean_b", "mean over the pairs of the second cell"),
    ("diff", "mean over the pairs of first less second"),
    ("diff_ci_lo", "lower end of its interval"),
    ("diff_ci_hi", "upper end of its interval"),
    ("ratio", "geometric mean over the pairs of first over second; null with values of 0 or below"),
    ("ratio_ci_lo", "lower end of its interval"),
    ("ratio_ci_hi", "upper end of its interval"),
    ("n_comparisons", "comparisons of the same group and metric: the family"),
    ("correlation", "correlation of the two over the pairs"),
    ("variance_ratio", "runs that seeds of their own would take, over those that common ones do"),
    ("p_raw", "p-value of no difference, two-sided"),
    ("p_adj", "the same, adjusted by Holm over the family"),
    ("method", "what was tested"),
    ("verdict", "first against second: better, worse, tied, unresolved or identical"),
    ("note", "why something is not known"),
    ("value", "value of the cell on the axis"),
    ("n_cells", "cells of the group"),
    ("regret", "how far the mean is behind the best of the group"),
    ("regret_hi", "how far it is behind in truth, at most"),
    ("may_be_best", "whether the cell may be the best of its group"),
    ("is_best", "whether it is"),
    // Distributions.
    ("bin_lo_ms", "lower end of the bin, inclusive"),
    ("bin_hi_ms", "upper end of the bin, exclusive"),
    ("count", "how many values"),
    ("batch", "which batch, from 0"),
    ("first_request", "its first request, by place in the order of arrival, from 0"),
    ("mean_ms", "mean of the batch"),
    // Requests.
    ("request", "place in the order of arrival, from 0"),
    ("measured", "whether it came after the warm-up"),
    ("arrival_ms", "when it reached the router, from the start of the run"),
    ("prompt_tokens", "prompt length"),
    ("output_tokens", "output length"),
    ("backend", "backend, from 0; of a request the one it was sent to first"),
    ("outcome", "how it ended"),
    ("reject_reason", "why it was turned away"),
    ("queue_wait_ms", "arrival to first scheduling"),
    ("ttft_ms", "time to first token"),
    ("tpot_ms", "time per output token after the first"),
    ("e2e_ms", "arrival to last token"),
    ("cached_tokens", "leading prompt tokens found in the cache"),
    // Series.
    ("time_s", "instant, from the start of the run, before what happens at it"),
    ("in_window", "whether it lies in the window, its ends included"),
    ("waiting_count", "requests that wait for their first or next admission"),
    ("running_count", "requests in the running batch"),
    ("outstanding_count", "requests that the router sent there and that have not left"),
    ("kv_used_blocks", "KV blocks that requests hold"),
    ("kv_usage_ratio", "KV blocks that requests hold, of those that they can"),
];

/// Returns the unit of a column, none where it has none: a text, an id, a place.
pub fn unit_of(column: &str) -> Option<&'static str> {
    if let Some((metric, statistic)) = statistic_of(column) {
        return if statistic == "_n" { Some("1") } else { unit_of(metric) };
    }
    if let Some(metric) = METRICS.iter().find(|metric| metric.name == column) {
        return Some(metric.unit);
    }
    match column {
        "n" | "n_failed" | "n_distinct" | "count" | "ci_level" | "n_pairs" | "n_unpaired"
        | "n_comparisons" | "n_cells" | "ratio" | "ratio_ci_lo" | "ratio_ci_hi" | "correlation"
        | "p_raw" | "p_adj" => return Some("1"),
        "algorithm_parameters" => return None,
        _ => {}
    }
    UNITS.iter().find(|(end, _)| column.ends_with(end)).map(|(_, unit)| *unit)
}

/// Returns what is told of each column of a table, as a JSON object by name: `unit`,
/// `description` and, of a metric, `better` (`lower`, `higher`); each where there is one.
pub(super) fn columns_json(frame: &DataFrame) -> String {
    let columns = frame.columns().iter().map(|column| column.name().as_str());
    let facts: Map<String, Value> =
        columns.map(|name| (name.to_owned(), Value::Object(facts(name)))).collect();
    Value::Object(facts).to_string()
}

/// Returns name and type of each column: `text`, `whole`, `real`, `truth` or what polars calls it.
pub fn column_types(frame: &DataFrame) -> Vec<(String, String)> {
    let kind = |dtype: &DataType| match dtype {
        DataType::String => "text".to_owned(),
        DataType::Int64 => "whole".to_owned(),
        DataType::Float64 => "real".to_owned(),
        DataType::Boolean => "truth".to_owned(),
        other => other.to_string(),
    };
    let columns = frame.columns().iter();
    columns.map(|column| (column.name().to_string(), kind(column.dtype()))).collect()
}

fn facts(name: &str) -> Map<String, Value> {
    let mut facts = Map::new();
    if let Some(unit) = unit_of(name) {
        facts.insert("unit".to_owned(), json!(unit));
    }
    facts.insert("description".to_owned(), json!(description(name)));
    let metric = statistic_of(name).map_or(name, |(metric, _)| metric);
    let better = METRICS.iter().find(|own| own.name == metric).map(|own| own.better);
    match better {
        Some(Better::Lower) => drop(facts.insert("better".to_owned(), json!("lower"))),
        Some(Better::Higher) => drop(facts.insert("better".to_owned(), json!("higher"))),
        Some(Better::Neither) | None => {}
    }
    facts
}

fn description(name: &str) -> String {
    if let Some((_, known)) = DESCRIPTIONS.iter().find(|(own, _)| *own == name) {
        return (*known).to_owned();
    }
    if let Some((metric, statistic)) = statistic_of(name) {
        let what =
            STATISTICS.iter().find(|(end, _)| *end == statistic).map_or("", |(_, what)| what);
        return format!("{what} {metric}");
    }
    if let Some(own) = name.strip_prefix("measured_") {
        return format!("{}, of the measured ones", description(own));
    }
    if let Some(objective) = name.strip_prefix("slo_") {
        return match objective.strip_suffix("_lost_count") {
            Some(_) => {
                "1 when the objective is infinite: among requests that did not finish".into()
            }
            None => format!("the objective {objective}, infinite when a run lost it"),
        };
    }
    let latency =
        LATENCIES.iter().find_map(|(start, what)| Some((name.strip_prefix(start)?, what)));
    match latency {
        Some((statistic, what)) => {
            let statistic = statistic.trim_end_matches("_ms");
            format!("{statistic} over measured requests: {what}")
        }
        None => "axis of the grid".to_owned(),
    }
}

/// Splits a column of the wide table into its metric and its statistic.
fn statistic_of(column: &str) -> Option<(&str, &'static str)> {
    let metric = |end: &'static str| Some((column.strip_suffix(end)?, end));
    let (metric, end) = STATISTICS.iter().find_map(|(end, _)| metric(end))?;
    // `drawn_…_mean` and the like are no statistics: a metric's own name ends in its unit.
    UNITS.iter().any(|(unit, _)| metric.ends_with(unit)).then_some((metric, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_described() {
        for metric in &METRICS {
            assert_ne!(description(metric.name), "axis of the grid", "{}", metric.name);
        }
    }

    #[test]
    fn units_come_from_the_metric_or_the_end_of_the_name() {
        for (column, unit) in [
            ("ttft_p99_ms", Some("ms")),
            ("slo_ttft_p95_ms", Some("ms")),
            ("cost_per_1k_tokens_usd", Some("USD")),
            ("throughput_rps_ci_lo", Some("requests/s")),
            ("throughput_rps_n", Some("1")),
            ("drawn_prompt_mean_tokens", Some("tokens")),
            ("run_id", None),
            ("algorithm_parameters", None),
        ] {
            assert_eq!(unit_of(column), unit, "{column}");
        }
        assert_eq!(description("ttft_p99_ms_mean"), "mean over seeds of ttft_p99_ms");
        assert!(facts("jain_index_ratio_ci_lo")["better"] == "higher");
        assert!(!facts("evictions_blocks").contains_key("better"));
    }
}
