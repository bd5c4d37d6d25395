//! How far a simulation is from a measured run, as text, JSON and CSV.

use std::ops::Range;

use serde::Serialize;

use crate::study::{Fidelity, LatencyFidelity, Pair};

use super::number::{Style, WHOLE};
use super::table::TextTable;

/// The comparison of one run and what it was made from.
#[derive(Clone, Debug)]
pub struct FidelityResults {
    /// `simulation.name` of the config.
    pub config_name: String,
    /// The config file, as it was named.
    pub config_path: String,
    /// The measured trace, as it was named.
    pub source: String,
    /// Requests of the trace; all are simulated.
    pub requests: usize,
    /// The requests that were scored, by their order of arrival.
    pub scored: Range<usize>,
    /// The numbers.
    pub fidelity: Fidelity,
}

/// Errors as percent to a hundredth.
pub(super) const ERROR: Style = Style::new(100.0, |_| 2);

#[derive(Serialize)]
struct Document<'r> {
    schema: &'static str,
    routesim_version: &'static str,
    config: ConfigPart<'r>,
    trace: TracePart<'r>,
    scored: ScoredPart,
    fidelity: &'r Fidelity,
}

#[derive(Serialize)]
struct ConfigPart<'r> {
    name: &'r str,
    path: &'r str,
}

#[derive(Serialize)]
struct TracePart<'r> {
    source: &'r str,
    requests: usize,
}

#[derive(Serialize)]
struct ScoredPart {
    from: usize,
    to: usize,
}

impl FidelityResults {
    /// Returns a table of the latencies and of the throughput, measured and simulated.
    pub fn text(&self) -> String {
        let fidelity = &self.fidelity;
        let scored = requests(&self.scored, self.requests);
        let mut text =
            format!("\n  Fidelity of {} to {},\n  {scored}\n\n", self.config_name, self.source);
        for line in fidelity_lines(fidelity) {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// Returns the document, indented, with a line feed at its end.
    ///
    /// # Panics
    ///
    /// Never: every key is a string.
    pub fn json(&self) -> String {
        let document = Document {
            schema: "routesim.fidelity/1",
            routesim_version: env!("CARGO_PKG_VERSION"),
            config: ConfigPart { name: &self.config_name, path: &self.config_path },
            trace: TracePart { source: &self.source, requests: self.requests },
            scored: ScoredPart { from: self.scored.start, to: self.scored.end },
            fidelity: &self.fidelity,
        };
        let mut text = serde_json::to_string_pretty(&document).expect("every key is a string");
        text.push('\n');
        text
    }

    /// Returns one row per number: metric, measured, simulated and the relative error; of a MAPE
    /// and of the score only the last.
    ///
    /// # Panics
    ///
    /// Never: memory takes all that is written.
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut row = |cells: [String; 4]| {
            writer.write_record(cells).expect("memory takes all, and rows are equal");
        };
        row(["metric", "measured", "simulated", "error_ratio"].map(str::to_owned));
        let alone = |name: &str, ratio: f64| {
            [name.to_owned(), String::new(), String::new(), ratio.to_string()]
        };
        row(alone("score", self.fidelity.score_ratio));
        for (name, latency) in latencies(&self.fidelity) {
            let name = name.to_lowercase();
            for (statistic, pair) in statistics(latency) {
                let Pair { measured, simulated, error_ratio } = pair;
                let numbers = [measured, simulated, error_ratio].map(|number| number.to_string());
                let [measured, simulated, error] = numbers;
                row([
                    format!("{name}_{}_ms", statistic.to_lowercase()),
                    measured,
                    simulated,
                    error,
                ]);
            }
            row(alone(&format!("{name}_mape"), latency.mape_ratio));
        }
        let Pair { measured, simulated, error_ratio } = self.fidelity.throughput_tokens_per_s;
        let [measured, simulated, error] =
            [measured, simulated, error_ratio].map(|number| number.to_string());
        row(["throughput_tokens_per_s".to_owned(), measured, simulated, error]);
        let bytes = writer.into_inner().expect("memory takes all");
        String::from_utf8(bytes).expect("written from text")
    }
}

/// Returns the table of the errors and the score, without a line feed at the ends.
pub(super) fn fidelity_lines(fidelity: &Fidelity) -> Vec<String> {
    let headers = [["", ""], ["", "measured"], ["", "simulated"], ["error", "%"], ["MAPE", "%"]];
    let mut table = TextTable::new(2, &headers);
    for (name, latency) in latencies(fidelity) {
        for (statistic, pair) in statistics(latency) {
            let whole = statistic == "mean";
            let mape = if whole { ERROR.show(latency.mape_ratio) } else { String::new() };
            table.push(row(&format!("{name} {statistic} (ms)"), pair, TIME, mape));
        }
    }
    let throughput = fidelity.throughput_tokens_per_s;
    table.push(row("Output tokens/s", throughput, WHOLE, String::new()));
    let mut lines = table.lines();
    let score = ERROR.show(fidelity.score_ratio);
    lines.push(format!("  Score: {score} %, the mean |error| of the twelve latencies"));
    lines
}

/// Says which requests were scored.
pub(super) fn requests(scored: &Range<usize>, of: usize) -> String {
    if *scored == (0..of) {
        return format!("all {of} requests");
    }
    format!("requests {} to {} of {of}", scored.start, scored.end - 1)
}

/// Milliseconds with more digits than elsewhere: times between tokens are small.
const TIME: Style = Style::new(1.0, |value| match value {
    value if value < 1_000.0 => 2,
    value if value < 10_000.0 => 1,
    _ => 0,
});

fn latencies(fidelity: &Fidelity) -> [(&'static str, &LatencyFidelity); 3] {
    [("TTFT", &fidelity.ttft), ("TPOT", &fidelity.tpot), ("E2E", &fidelity.e2e)]
}

fn statistics(latency: &LatencyFidelity) -> [(&'static str, Pair); 4] {
    [
        ("mean", latency.mean_ms),
        ("P50", latency.p50_ms),
        ("P90", latency.p90_ms),
        ("P99", latency.p99_ms),
    ]
}

fn row(name: &str, pair: Pair, style: Style, mape: String) -> Vec<String> {
    let sign = if pair.error_ratio >= 0.0 { "+" } else { "" };
    let error = format!("{sign}{}", ERROR.show(pair.error_ratio));
    vec![name.to_owned(), style.show(pair.measured), style.show(pair.simulated), error, mape]
}
