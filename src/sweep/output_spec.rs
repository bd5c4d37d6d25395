//! The `[output]` table of a manifest: what is kept of a run beside its numbers.

use crate::document::{Bounds, Table};
use crate::metrics::Keep;
use crate::units::SimDuration;

/// The bounds of the interval of a series, in seconds.
pub(super) const SERIES_INTERVAL_S: Bounds = Bounds::Between(1e-6, 8e6);

/// Reads the table. Nothing is kept unless it is asked for; no number depends on it.
pub(super) fn read_output(table: &mut Table<'_>) -> Keep {
    let series = table.real("series_interval_s", SERIES_INTERVAL_S);
    let mut asked = |key: &str| table.truth(key).unwrap_or(false);
    Keep {
        histograms: asked("histograms"),
        batch_means: asked("batch_means"),
        requests: asked("requests"),
        series: series.and_then(|seconds| SimDuration::from_secs(seconds).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
    use crate::units::PS_PER_S;

    fn read(text: &str) -> Result<Keep, String> {
        let document = Document::parse("m.toml", text).unwrap();
        let keep = document.settle(|root| Some(read_output(root)));
        keep.map_err(|faults| faults.to_string())
    }

    #[test]
    fn nothing_is_kept_unless_it_is_asked_for() {
        assert_eq!(read("").unwrap(), Keep::default());
        let all = "histograms = true\nbatch_means = true\nrequests = true\nseries_interval_s = 0.5";
        let series = Some(SimDuration::from_ps(PS_PER_S / 2));
        let expected = Keep { histograms: true, batch_means: true, requests: true, series };
        assert_eq!(read(all).unwrap(), expected);
        for seconds in ["0", "-1", "1e-7", "1e9", "true"] {
            let error = read(&format!("series_interval_s = {seconds}")).unwrap_err();
            assert!(error.contains("`series_interval_s` is "), "{error}");
        }
        assert!(read("histograms = 1").unwrap_err().contains("`histograms` is 1"));
        assert!(read("histogram = true").unwrap_err().contains("did you mean `histograms`?"));
    }
}
