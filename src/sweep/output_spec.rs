//! The `[output]` table of a manifest: what is kept of a run beside its numbers.

use crate::document::Table;
use crate::metrics::Keep;

/// Reads the table. Nothing is kept unless it is asked for; no number depends on it.
pub(super) fn read_output(table: &mut Table<'_>) -> Keep {
    let mut asked = |key: &str| table.truth(key).unwrap_or(false);
    Keep {
        histograms: asked("histograms"),
        batch_means: asked("batch_means"),
        requests: asked("requests"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn read(text: &str) -> Result<Keep, String> {
        let document = Document::parse("m.toml", text).unwrap();
        let keep = document.settle(|root| Some(read_output(root)));
        keep.map_err(|faults| faults.to_string())
    }

    #[test]
    fn nothing_is_kept_unless_it_is_asked_for() {
        assert_eq!(read("").unwrap(), Keep::default());
        let all = read("histograms = true\nbatch_means = true\nrequests = true").unwrap();
        assert_eq!(all, Keep { histograms: true, batch_means: true, requests: true });
        assert!(read("histograms = 1").unwrap_err().contains("`histograms` is 1"));
        assert!(read("histogram = true").unwrap_err().contains("did you mean `histograms`?"));
    }
}
