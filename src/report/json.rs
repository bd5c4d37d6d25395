//! Results as one JSON document, described in `docs/results-json.md`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::metrics::Summary;
use crate::stats::Moments;
use crate::study::Run;

use super::{Kind, Results, SIGNALS};

#[derive(Serialize)]
struct Document<'r> {
    schema: &'static str,
    routesim_version: &'static str,
    config: ConfigPart<'r>,
    trace: TracePart<'r>,
    signals: &'static str,
    results: Vec<ResultPart<'r>>,
}

#[derive(Serialize)]
struct ConfigPart<'r> {
    name: &'r str,
    path: &'r str,
}

#[derive(Serialize)]
struct TracePart<'r> {
    source: &'r str,
    operator: &'r str,
    requested_rps: Option<f64>,
    realised_rps: Option<f64>,
    notes: &'r [String],
}

#[derive(Serialize)]
struct ResultPart<'r> {
    algorithm: &'static str,
    label: String,
    parameters: BTreeMap<&'static str, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_rps: Option<f64>,
    seed: u64,
    realised_rps: Option<f64>,
    summary: &'r Summary,
}

impl Results {
    /// Returns the document, indented, with a line feed at its end.
    ///
    /// # Panics
    ///
    /// When there is no run.
    pub fn json(&self) -> String {
        let first = self.runs.first().expect("a command makes a run or fails");
        let rates = self.origin.kind == Kind::Rates;
        let document = Document {
            schema: if rates { "routesim.sweep/1" } else { "routesim.run/1" },
            routesim_version: env!("CARGO_PKG_VERSION"),
            config: ConfigPart { name: &self.origin.config_name, path: &self.origin.config_path },
            trace: TracePart {
                source: &self.origin.source,
                operator: &first.info.operator,
                requested_rps: first.info.requested_rps.filter(|_| !rates),
                realised_rps: self.realised_rps().filter(|_| !rates),
                notes: &first.info.notes,
            },
            signals: SIGNALS,
            results: self.runs.iter().map(result).collect(),
        };
        let mut text = serde_json::to_string_pretty(&document).expect("every key is a string");
        text.push('\n');
        text
    }

    /// Returns the mean over the seeds; algorithms share their workloads.
    fn realised_rps(&self) -> Option<f64> {
        let own = self.by_algorithm().next()?;
        let rates: Option<Vec<f64>> = own.iter().map(|run| run.info.realised_rps).collect();
        Moments::of(&rates?).mean()
    }
}

fn result(run: &Run) -> ResultPart<'_> {
    ResultPart {
        algorithm: run.algorithm.name(),
        label: run.algorithm.label(),
        parameters: run.algorithm.parameters().iter().copied().collect(),
        rate_rps: run.draw.rate_rps,
        seed: run.draw.seed,
        realised_rps: run.info.realised_rps,
        summary: &run.summary,
    }
}
