//! Results as text tables of at most 100 columns.

use std::collections::BTreeMap;

use crate::metrics::{Objective, OutcomeCounts, SloSummary, Summary};
use crate::stats::Moments;
use crate::study::Run;
use crate::units::SimTime;

use super::estimate::Shown;
use super::number::{
    INDEX, MS, PER_MILLION, PERCENT, RATE, RATIO, SECONDS, SIGNIFICANT, Style, WHOLE,
};
use super::table::{TextTable, width};
use super::{Results, SIGNALS};

/// Width of the rules, as the guide has it.
const RULE: usize = 70;

/// Latencies by their words and the stem of their columns.
const LATENCIES: [(&str, &str); 5] = [
    ("TTFT (ms)", "ttft"),
    ("TBT (ms)", "tbt"),
    ("TPOT (ms)", "tpot"),
    ("E2E (ms)", "e2e"),
    ("Queue wait (ms)", "queue_wait"),
];

const STATISTICS: [&str; 5] = ["p50_ms", "p90_ms", "p99_ms", "mean_ms", "max_ms"];

/// Columns of comparisons: two lines of header, the metric and how its numbers are shown.
const COLUMNS: [([&str; 2], &str, Style); 10] = [
    (["TTFT", "P50 ms"], "ttft_p50_ms", MS),
    (["TTFT", "P99 ms"], "ttft_p99_ms", MS),
    (["E2E", "P50 ms"], "e2e_p50_ms", MS),
    (["E2E", "P99 ms"], "e2e_p99_ms", MS),
    (["", "Req/s"], "throughput_rps", RATE),
    (["Done", "%"], "finished_ratio", PERCENT),
    (["Cache", "% tok"], "token_hit_ratio", PERCENT),
    (["", "Jain"], "jain_index_ratio", INDEX),
    (["GPU-s", "/req"], "gpu_time_per_request_s", INDEX),
    (["$ per", "1M tok"], "cost_per_1k_tokens_usd", PER_MILLION),
];

impl Results {
    /// Returns the tables of each algorithm, one after another.
    pub fn text(&self) -> String {
        self.by_algorithm().map(|runs| self.algorithm_text(runs)).collect()
    }

    /// Returns one line per algorithm, then the tables of each.
    pub fn comparison_text(&self) -> String {
        let mut table = comparison_table("Algorithm");
        for runs in self.by_algorithm() {
            push_row(&mut table, runs[0].algorithm.label(), runs);
        }
        let title = format!("Algorithm comparison, {}", self.setting());
        block(&title, &self.means_note(), &table) + &self.text()
    }

    /// Returns one line per rate.
    pub fn rates_text(&self) -> String {
        let mut table = comparison_table("req/s (realised)");
        let same_rate = |a: &Run, b: &Run| a.draw.rate_rps == b.draw.rate_rps;
        let mut losses = Vec::new();
        for runs in self.runs.chunk_by(same_rate) {
            let rate = runs[0].draw.rate_rps.unwrap_or_default();
            push_row(&mut table, format!("{rate} ({})", realised(runs)), runs);
            let all = sum(runs, |summary| &summary.all);
            if all.finished < all.requests {
                losses.push(format!("  At {rate} req/s: {}\n", outcomes(&all)));
            }
        }
        let run = &self.runs[0];
        let title = format!("Rate sweep of {}, {}", run.algorithm.label(), self.setting());
        let duration = run.window.to.as_secs();
        let mut notes = vec![format!("Requests arrive for {duration} s, {}", run.info.operator)];
        notes.extend(self.means_note());
        if losses.is_empty() {
            losses.push("  All requests of all rates finished\n".to_owned());
        }
        block(&title, &notes, &table) + &losses.concat()
    }

    fn setting(&self) -> String {
        format!("{}: {}", self.origin.config_name, self.origin.fleet)
    }

    fn means_note(&self) -> Vec<String> {
        let mut seeds: Vec<u64> = self.runs.iter().map(|run| run.draw.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let mut notes = vec![format!("Signals: {SIGNALS}")];
        if let [first, .., last] = seeds[..] {
            let count = seeds.len();
            notes.push(format!("Means over {count} seeds ({first} to {last}) ± 95 % t-interval"));
        }
        notes
    }

    /// The table of one algorithm.
    fn algorithm_text(&self, runs: &[Run]) -> String {
        let mut lines = vec![String::new(), padded(&title_of(runs), '=')];
        lines.extend(self.facts(runs));
        lines.push(padded("Latency", '-'));
        lines.extend(latency_lines(runs));
        lines.push(padded("Throughput", '-'));
        lines.push(throughput_line(runs));
        lines.push(padded("Cache", '-'));
        lines.extend(cache_lines(runs));
        lines.push(padded("Fairness", '-'));
        lines.push(fairness_line(runs));
        lines.push(padded("Cost", '-'));
        lines.push(cost_line(runs));
        lines.extend(slo_lines(runs));
        lines.extend(state_line(runs));
        lines.push("=".repeat(RULE));
        lines.push(String::new());
        lines.join("\n")
    }

    /// What ran, and what became of every request.
    fn facts(&self, runs: &[Run]) -> Vec<String> {
        let all = sum(runs, |summary| &summary.all);
        let measured = sum(runs, |summary| &summary.measured);
        let over = if runs.len() > 1 { "; counts of all seeds" } else { "" };
        let seed = match runs {
            [run] => format!(" | Seed: {}", run.draw.seed),
            _ => String::new(),
        };
        let info = &runs[0].info;
        let starts_at_once = runs[0].window.from == SimTime::ZERO;
        let warm_up = if all.requests == measured.requests && starts_at_once {
            "no warm-up".to_owned()
        } else {
            format!("after a warm-up of {}", all.requests - measured.requests)
        };
        let window = Shown::of(runs, |summary| Some(summary.window_s)).show_mean(SECONDS);
        let drain = Shown::of(runs, |summary| Some(summary.drain_s)).show(SECONDS);
        vec![
            format!("  Config: {}", self.setting()),
            format!("  Trace: {}, {}", info.source, info.operator),
            format!("  Requests: {}", outcomes(&all)),
            format!("  Measured: {} ({warm_up}{over})", measured_outcomes(&measured)),
            format!("  Window: {window} s | Drain: {drain} s{seed} | Signals: {SIGNALS}"),
        ]
    }
}

fn title_of(runs: &[Run]) -> String {
    let label = runs[0].algorithm.label();
    match runs {
        [first, .., last] => {
            let count = runs.len();
            let (first, last) = (first.draw.seed, last.draw.seed);
            format!("{label} Results, {count} seeds ({first} to {last}), mean ± 95 % t-interval")
        }
        _ => format!("{label} Results"),
    }
}

/// Counts that add up, with the reasons of rejections that there were.
fn outcomes(counts: &OutcomeCounts) -> String {
    let OutcomeCounts { requests, finished, rejected, timed_out, unserved } = counts;
    let reasons = reasons(rejected);
    let rejected = counts.rejected_total();
    format!(
        "{requests} = {finished} finished + {rejected} rejected{reasons} + {timed_out} timed out \
         + {unserved} unserved"
    )
}

fn measured_outcomes(counts: &OutcomeCounts) -> String {
    if counts.finished == counts.requests {
        return format!("{}, all finished", counts.requests);
    }
    format!("{}, {} finished", counts.requests, counts.finished)
}

fn reasons(rejected: &BTreeMap<&'static str, u64>) -> String {
    let some = rejected.iter().filter(|(_, count)| **count > 0);
    let some: Vec<String> = some.map(|(reason, count)| format!("{reason} {count}")).collect();
    if some.is_empty() { String::new() } else { format!(" ({})", some.join(", ")) }
}

fn sum(runs: &[Run], counts: impl Fn(&Summary) -> &OutcomeCounts) -> OutcomeCounts {
    let mut sum = OutcomeCounts::default();
    for run in runs {
        sum.add(counts(&run.summary));
    }
    sum
}

fn latency_lines(runs: &[Run]) -> Vec<String> {
    let heads = ["", "P50", "P90", "P99", "mean", "max"];
    let mut table = TextTable::new(2, &heads.map(|head| [head, ""]));
    for (label, stem) in LATENCIES {
        let show =
            |statistic: &str| Shown::of_metric(runs, &format!("{stem}_{statistic}")).show(MS);
        let mut row = vec![label.to_owned()];
        row.extend(STATISTICS.map(show));
        table.push(row);
    }
    table.lines()
}

fn throughput_line(runs: &[Run]) -> String {
    let requests = Shown::of_metric(runs, "throughput_rps").show(RATE);
    let prompt = Shown::of_metric(runs, "prompt_throughput_tps").show(WHOLE);
    let output = Shown::of_metric(runs, "output_throughput_tps").show(WHOLE);
    let both = Shown::of(runs, |summary: &Summary| {
        Some(summary.prompt_throughput_tps? + summary.output_throughput_tps?)
    });
    let both = both.show(WHOLE);
    format!("  Requests/sec: {requests}  Tokens/sec: {both} (prompt: {prompt}, gen: {output})")
}

fn cache_lines(runs: &[Run]) -> Vec<String> {
    let requests = Shown::of_metric(runs, "request_hit_ratio").show(PERCENT);
    let tokens = Shown::of_metric(runs, "token_hit_ratio").show(PERCENT);
    let evictions = Shown::of_metric(runs, "evictions_blocks").show(WHOLE);
    let preemptions = Shown::of_metric(runs, "preemptions_count").show(WHOLE);
    vec![
        format!("  Global cache hit rate (%): {requests} of requests, {tokens} of prompt tokens"),
        format!("  Evicted blocks: {evictions}  Preemptions: {preemptions}"),
    ]
}

fn fairness_line(runs: &[Run]) -> String {
    let cv = Shown::of_metric(runs, "load_cv_ratio").show(INDEX);
    let jain = Shown::of_metric(runs, "jain_index_ratio").show(INDEX);
    let queue = Shown::of_metric(runs, "max_min_queue_ratio").show(INDEX);
    format!("  Load CV: {cv}  Jain's index: {jain}  Max/min queue: {queue}")
}

fn cost_line(runs: &[Run]) -> String {
    let gpu = Shown::of_metric(runs, "gpu_time_per_request_s").show(INDEX);
    let cost = Shown::of_metric(runs, "cost_per_1k_tokens_usd");
    let per_million = cost.show(PER_MILLION);
    let per_thousand = cost.show_mean(SIGNIFICANT);
    format!("  GPU-sec/req: {gpu}  Est. $/1K tokens: {per_thousand}  $/1M tokens: {per_million}")
}

/// Each limit with its statistic, then what share of requests kept them all.
fn slo_lines(runs: &[Run]) -> Vec<String> {
    let Some(first) = &runs[0].summary.slo else {
        return Vec::new();
    };
    let heads = [["Objective", ""], ["value", ""], ["limit", ""], ["met", ""]];
    let mut table = TextTable::new(2, &heads);
    for (at, term) in first.terms.iter().enumerate() {
        let value = Shown::of(runs, |summary| summary.slo.as_ref()?.terms.get(at)?.value_ms);
        let met = met(runs, |slo| slo.terms.get(at).is_some_and(|term| term.met));
        table.push(vec![term.name.clone(), value.show(MS), MS.show(term.limit_ms), met]);
    }
    if let Some(least) = first.least_attainment_ratio {
        let name = Objective::Attainment(least).to_string();
        let value = Shown::of_metric(runs, "slo_attainment_ratio").show(RATIO);
        table.push(vec![name, value, format!(">= {least}"), met(runs, SloSummary::is_attained)]);
    }
    let attainment = Shown::of_metric(runs, "slo_attainment_ratio").show(PERCENT);
    let goodput = Shown::of_metric(runs, "goodput_rps").show(RATE);
    let met = met(runs, |slo| slo.met);
    let mut lines = vec![padded("SLO", '-')];
    lines.extend(table.lines());
    lines.push(format!("  Met: {met}  Attainment (%): {attainment}  Goodput (req/s): {goodput}"));
    lines
}

fn met(runs: &[Run], holds: impl Fn(&SloSummary) -> bool) -> String {
    let slos = runs.iter().filter_map(|run| run.summary.slo.as_ref());
    let count = slos.filter(|slo| holds(slo)).count();
    match (runs.len(), count) {
        (1, 1) => "yes".to_owned(),
        (1, _) => "NO".to_owned(),
        (all, count) => format!("{count} of {all} seeds"),
    }
}

/// What the algorithm says of its own state.
fn state_line(runs: &[Run]) -> Option<String> {
    let names = runs[0].summary.diagnostics.keys();
    let figures: Vec<String> = names
        .map(|name| {
            let figure = Shown::of(runs, |summary| summary.diagnostics.get(name).copied());
            format!("{name}: {}", figure.show(SIGNIFICANT))
        })
        .collect();
    let line = format!("{}\n  {}", padded("Router at the end", '-'), figures.join("  "));
    (!figures.is_empty()).then_some(line)
}

fn comparison_table(first: &'static str) -> TextTable {
    let mut headers = vec![["", first]];
    headers.extend(COLUMNS.map(|(header, _, _)| header));
    TextTable::new(0, &headers)
}

/// The rate that the requests really had over the window.
fn realised(runs: &[Run]) -> String {
    let rates: Option<Vec<f64>> = runs.iter().map(|run| run.info.realised_rps).collect();
    let mean = rates.and_then(|rates| Moments::of(&rates).mean());
    mean.map_or_else(|| "-".to_owned(), |mean| RATE.show(mean))
}

/// Adds the means, and below them the half-widths when there are several seeds.
fn push_row(table: &mut TextTable, label: String, runs: &[Run]) {
    let cells = COLUMNS.map(|(_, metric, show)| (Shown::of_metric(runs, metric), show));
    let mut means = vec![label];
    means.extend(cells.map(|(cell, show)| cell.show_mean(show)));
    table.push(means);
    if runs.len() > 1 {
        let mut halves = vec![String::new()];
        halves.extend(cells.map(|(cell, show)| cell.show_half(show)));
        table.push(halves);
    }
}

/// A table under its title and notes, between rules.
fn block(title: &str, notes: &[String], table: &TextTable) -> String {
    let lines = table.lines();
    let wide = lines.iter().map(|line| width(line)).max().unwrap_or(0).max(RULE);
    let mut text = vec![String::new(), rule(title, '=', wide)];
    text.extend(notes.iter().map(|note| format!("  {note}")));
    // The two lines of headers stand above the rule.
    let (headers, rows) = lines.split_at(2.min(lines.len()));
    text.extend_from_slice(headers);
    text.push("-".repeat(wide));
    text.extend_from_slice(rows);
    text.push("=".repeat(wide));
    text.push(String::new());
    text.join("\n")
}

fn padded(title: &str, line: char) -> String {
    rule(title, line, RULE)
}

fn rule(title: &str, line: char, wide: usize) -> String {
    let start = format!("  {title}  ");
    let rest = wide.saturating_sub(width(&start));
    start + &line.to_string().repeat(rest.max(2))
}
