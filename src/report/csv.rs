//! Results as CSV: one row a run.

use crate::metrics::METRICS;
use crate::study::Run;

use super::{Kind, Results};

impl Results {
    /// Returns one row per algorithm, rate and seed: counts of the outcomes, then every metric.
    ///
    /// # Panics
    ///
    /// Never: memory takes all that is written.
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let rates = self.origin.kind == Kind::Rates;
        writer.write_record(header(rates)).expect("memory takes all");
        for run in &self.runs {
            writer.write_record(row(run, rates)).expect("memory takes all, and rows are equal");
        }
        let bytes = writer.into_inner().expect("memory takes all");
        String::from_utf8(bytes).expect("written from text")
    }
}

const COUNTS: [&str; 6] = [
    "requests_count",
    "finished_count",
    "rejected_count",
    "timed_out_count",
    "unserved_count",
    "measured_count",
];

fn header(rates: bool) -> Vec<&'static str> {
    let mut header = vec!["algorithm", "seed"];
    header.extend(rates.then_some("rate_rps"));
    header.extend(COUNTS);
    header.extend(METRICS.iter().map(|metric| metric.name));
    header
}

fn row(run: &Run, rates: bool) -> Vec<String> {
    let summary = &run.summary;
    let all = &summary.all;
    let counts = [
        all.requests,
        all.finished,
        all.rejected_total(),
        all.timed_out,
        all.unserved,
        summary.measured.requests,
    ];
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let mut row = vec![run.algorithm.label(), run.draw.seed.to_string()];
    row.extend(rates.then(|| number(run.draw.rate_rps)));
    row.extend(counts.map(|count| count.to_string()));
    row.extend(METRICS.iter().map(|metric| number((metric.get)(summary))));
    row
}
