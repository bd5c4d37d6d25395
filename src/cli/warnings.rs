//! What should be known before a run's numbers are trusted.

use crate::metrics::{Backlog, OutcomeCounts, Summary};
use crate::tables::RunFacts;

use super::output::remark;

/// Below that many values a 99th percentile is hardly more than the largest.
pub(super) const FEWEST_FOR_P99: u64 = 100;

/// What warnings look at.
pub(super) struct Facts<'s> {
    measured: &'s OutcomeCounts,
    backlog: Backlog,
    backlog_growth_ratio: Option<f64>,
    window_s: f64,
}

impl<'s> From<&'s Summary> for Facts<'s> {
    fn from(summary: &'s Summary) -> Self {
        let Summary { measured, backlog, backlog_growth_ratio, window_s, .. } = summary;
        Self {
            measured,
            backlog: *backlog,
            backlog_growth_ratio: *backlog_growth_ratio,
            window_s: *window_s,
        }
    }
}

impl<'s> From<&'s RunFacts> for Facts<'s> {
    fn from(run: &'s RunFacts) -> Self {
        Self {
            measured: &run.measured,
            backlog: run.backlog,
            backlog_growth_ratio: run.backlog_growth_ratio,
            window_s: run.window_s.unwrap_or_default(),
        }
    }
}

/// Warns of runs that say little or mislead, each with its name; what to do about it comes once.
pub(super) fn warn<'s>(runs: impl IntoIterator<Item = (String, impl Into<Facts<'s>>)>) {
    let mut hints: Vec<&str> = Vec::new();
    for (run, facts) in runs {
        for (warning, hint) in warnings(&facts.into()) {
            remark(&format!("warning: {run}: {warning}"));
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
    }
    for hint in hints {
        remark(&format!("hint: {hint}"));
    }
}

/// What is to be said of a run, and what to do about it.
fn warnings(facts: &Facts<'_>) -> Vec<(String, &'static str)> {
    let measured = facts.measured;
    let mut warnings = Vec::new();
    if measured.finished == 0 {
        let reasons = measured.rejected.iter().filter(|(_, count)| **count > 0);
        let reasons: Vec<String> =
            reasons.map(|(reason, count)| format!("{count} {reason}")).collect();
        let never_fits = measured.rejected.get("never_fits").is_some_and(|count| *count > 0);
        let hint = if never_fits {
            "never_fits needs more KV blocks than a backend has: raise `kv_cache_blocks`"
        } else {
            "every queue was full: add backends, or raise `max_queue_depth`"
        };
        let warning = format!("no measured request finished ({})", reasons.join(", "));
        warnings.push((warning, hint));
    } else if measured.finished < FEWEST_FOR_P99 {
        let warning = format!("{} measured requests finished", measured.finished);
        warnings.push((warning, "a P99 of fewer than 100 values is little more than the largest"));
    } else if !facts.backlog.is_steady(facts.backlog_growth_ratio) {
        let growth = facts.backlog_growth_ratio.unwrap_or_default();
        let warning = format!("the backlog grew by {:.1} % of the arrivals", 100.0 * growth);
        let hint = "a growing backlog: the fleet does not keep up, or the run began too empty; \
                    longer runs would show other latencies";
        warnings.push((warning, hint));
    }
    if facts.window_s <= 0.0 {
        let warning = "all measured requests arrive at one instant".to_owned();
        warnings.push((warning, "a window of no length has no rates"));
    }
    warnings
}
