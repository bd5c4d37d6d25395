//! A calibrated config, and what was found in words.

use std::ops::Range;

use toml_edit::{DocumentMut, Item, Table, TomlError, Value, value};

use crate::cluster::LinearModel;
use crate::study::calibrate::{COEFFICIENTS, Calibration, StepErrors, StepFit};

use super::fidelity::{ERROR, fidelity_lines, requests};
use super::number::SIGNIFICANT;
use super::table::TextTable;

/// What a step model was found from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A measured run of requests.
    Requests {
        /// The requests that it was fitted to, by their order of arrival.
        scored: Range<usize>,
        /// Requests of the trace.
        requests: usize,
        /// What was found.
        calibration: Box<Calibration>,
    },
    /// The times of single steps.
    Steps(Box<StepFit>),
}

/// A step model and what it was found from.
#[derive(Clone, Debug)]
pub struct CalibrationResults {
    /// The config file, as it was named.
    pub config_path: String,
    /// The measurements, as they were named.
    pub source_path: String,
    /// What they were, and what was found.
    pub source: Source,
}

impl CalibrationResults {
    /// Returns the step model.
    pub fn model(&self) -> &LinearModel {
        match &self.source {
            Source::Requests { calibration, .. } => &calibration.model,
            Source::Steps(fit) => &fit.model,
        }
    }

    /// Returns what was found, as tables.
    pub fn text(&self) -> String {
        let mut lines = vec![format!("\n  Step model from {}, {}", self.source_path, self.used())];
        lines.extend(self.coefficient_lines());
        match &self.source {
            Source::Requests { calibration, .. } => {
                lines.push(String::new());
                lines.extend(fidelity_lines(&calibration.fidelity));
            }
            Source::Steps(fit) => lines.extend(step_lines(fit).map(|line| format!("  {line}"))),
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// Returns the config with its step model replaced, and where that comes from above it. All
    /// other keys and comments stay.
    ///
    /// # Errors
    ///
    /// When `config` is no TOML, which is not so for the text of a config that was read.
    pub fn config(&self, config: &str) -> Result<String, TomlError> {
        let mut document: DocumentMut = config.parse()?;
        let mut table = Table::new();
        for (key, number) in self.keys() {
            table.insert(key, number);
        }
        let comment: String = self
            .provenance()
            .iter()
            .map(|line| format!("# {line}").trim_end().to_owned() + "\n")
            .collect();
        table.decor_mut().set_prefix(format!("\n{comment}"));
        if !document.contains_table("cluster")
            && let Some(inline) = document.remove("cluster")
        {
            document.insert("cluster", inline.into_table().map_or_else(|item| item, Item::Table));
        }
        let own = document["cluster"].get("step_model").and_then(Item::as_table);
        // In the place of the model before it; a new one stands right behind [cluster].
        table.set_position(own.and_then(Table::position));
        document["cluster"]["step_model"] = Item::Table(table);
        Ok(document.to_string())
    }

    /// The keys of `[cluster.step_model]` that are not at their defaults.
    fn keys(&self) -> Vec<(&'static str, Item)> {
        let model = self.model();
        let mut keys: Vec<(&'static str, Item)> = (COEFFICIENTS.iter())
            .filter(|coefficient| coefficient.of(model) > 0.0)
            .map(|coefficient| (coefficient.key, number(coefficient.of(model))))
            .collect();
        let counts = [
            ("knee_tokens", model.knee_tokens),
            ("experts", model.experts),
            ("experts_per_token", model.experts_per_token),
        ];
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        keys.extend(counts.map(|(key, count)| (key, value(i64::from(count)))));
        if model.first_launch_ms > 0.0 {
            keys.push(("first_launch_ms", number(model.first_launch_ms)));
        }
        keys
    }

    /// Where the model comes from and how good it is, line by line.
    fn provenance(&self) -> Vec<String> {
        let mut lines = vec![
            format!("Calibrated by routesim {}", env!("CARGO_PKG_VERSION")),
            format!("from {}, {},", self.source_path, self.used()),
            format!("with the engine settings of {}.", self.config_path),
        ];
        match &self.source {
            Source::Requests { calibration, .. } => {
                lines.push("Errors on these requests:".to_owned());
                lines.extend(fidelity_lines(&calibration.fidelity));
                let told = calibration.coefficients.iter().filter(|found| !found.identified);
                lines.extend(told.map(|found| {
                    format!("Not identified: {}, which started from {}", found.key, found.prior)
                }));
            }
            Source::Steps(fit) => lines.extend(step_lines(fit)),
        }
        lines
    }

    fn used(&self) -> String {
        match &self.source {
            Source::Requests { scored, requests: of, .. } => requests(scored, *of),
            Source::Steps(fit) => format!("{} steps", fit.steps),
        }
    }

    fn coefficient_lines(&self) -> Vec<String> {
        let headers = [["coefficient", ""], ["", "value"], ["", "prior"], ["", "identified"]];
        let plain = [["coefficient", ""], ["", "value"]];
        let model = self.model();
        let mut table = match &self.source {
            Source::Requests { .. } => TextTable::new(2, &headers),
            Source::Steps(_) => TextTable::new(2, &plain),
        };
        let mut first = vec!["first_launch_ms".to_owned(), SIGNIFICANT.show(model.first_launch_ms)];
        match &self.source {
            Source::Requests { calibration, .. } => {
                for found in &calibration.coefficients {
                    let identified = if found.identified { "yes" } else { "no" };
                    table.push(vec![
                        found.key.to_owned(),
                        SIGNIFICANT.show(found.value),
                        SIGNIFICANT.show(found.prior),
                        identified.to_owned(),
                    ]);
                }
                first.extend(["-", "-"].map(str::to_owned));
                table.push(first);
            }
            Source::Steps(_) => {
                for coefficient in COEFFICIENTS {
                    let number = coefficient.of(model);
                    if number > 0.0 {
                        table.push(vec![coefficient.key.to_owned(), SIGNIFICANT.show(number)]);
                    }
                }
            }
        }
        table.lines()
    }
}

/// A number as people write it: small ones with an exponent.
fn number(number: f64) -> Item {
    let text = if number < 1e-3 { format!("{number:e}") } else { number.to_string() };
    // "17" would be read as a whole number.
    let text = if text.contains(['.', 'e']) { text } else { text + ".0" };
    text.parse::<Value>().map_or_else(|_| value(number), Item::Value)
}

fn step_lines(fit: &StepFit) -> [String; 2] {
    [
        format!("Errors of a fit to every other step, on the rest: {}", in_words(&fit.held_out)),
        format!("Errors of this fit, to all of them: {}", in_words(&fit.in_sample)),
    ]
}

fn in_words(errors: &StepErrors) -> String {
    let parts = [
        ("median", errors.median_ratio),
        ("mean", errors.mean_ratio),
        ("decode", errors.decode_median_ratio),
        ("prefill", errors.prefill_median_ratio),
        ("mixed", errors.mixed_median_ratio),
    ];
    let known = parts.iter().filter_map(|(name, ratio)| Some((name, (*ratio)?)));
    let words: Vec<String> =
        known.map(|(name, ratio)| format!("{name} {} %", ERROR.show(ratio))).collect();
    words.join(", ")
}
