//! What should be known before a run's numbers are trusted.

use crate::metrics::{STEADY_GROWTH, Summary};

use super::output::remark;

/// Below that many values a 99th percentile is hardly more than the largest.
pub(super) const FEWEST_FOR_P99: u64 = 100;

/// Warns of a run that says little or misleads; `run` names it.
pub(super) fn warn(run: &str, summary: &Summary) {
    let measured = &summary.measured;
    let finished = measured.finished;
    if finished == 0 {
        let reasons = measured.rejected.iter().filter(|(_, count)| **count > 0);
        let reasons: Vec<String> =
            reasons.map(|(reason, count)| format!("{count} {reason}")).collect();
        remark(&format!("warning: {run}: no measured request finished ({})", reasons.join(", ")));
        if measured.rejected.get("never_fits").is_some_and(|count| *count > 0) {
            remark("hint: never_fits needs more blocks than `kv_cache_blocks` gives a backend");
        }
    } else if finished < FEWEST_FOR_P99 {
        remark(&format!(
            "warning: {run}: {finished} measured requests finished; a P99 of fewer than \
             {FEWEST_FOR_P99} is little more than the largest"
        ));
    } else if let Some(growth) = summary.backlog_growth_ratio.filter(|r| *r > STEADY_GROWTH) {
        remark(&format!(
            "warning: {run}: the backlog grew by {:.1} % of the arrivals: the fleet does not keep \
             up, or the run began too empty; a longer run would show other latencies",
            100.0 * growth
        ));
    }
    if summary.window_s <= 0.0 {
        remark(&format!("warning: {run}: all requests arrive at one instant; rates are unknown"));
    }
}
