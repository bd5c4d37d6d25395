//! The `[gate]` table of a manifest: what is judged, and how strictly.

use serde_json::{Map, Value, json};

use crate::document::{Bounds, Item, Key, KeyKind, Keys, Table, did_you_mean};
use crate::metrics::{self, METRICS, Metric};
use crate::stats::Better;

/// What is judged where the manifest does not say: what users wait for, what gets done, and what
/// the caches save.
const METRICS_BY_DEFAULT: [&str; 7] = [
    "ttft_mean_ms",
    "ttft_p95_ms",
    "tpot_mean_ms",
    "e2e_mean_ms",
    "throughput_rps",
    "finished_ratio",
    "token_hit_ratio",
];

const MIN_EFFECT: f64 = 0.01;
const RISK: f64 = 0.05;
const MIN_EFFECTS: Bounds = Bounds::Between(0.0, 10.0);
const RISKS: Bounds = Bounds::Between(1e-6, 0.5);

/// How a check judges.
#[derive(Clone, Debug, PartialEq)]
pub struct GateSpec {
    /// What is judged, in the order of the reports; none twice.
    pub metrics: Vec<Judged>,
    /// Probability of any false regression among all that is judged, if nothing has changed by more
    /// than its smallest effect.
    pub risk: f64,
}

/// A metric that is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Its column in the table of runs.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Which way it is better.
    pub better: Better,
    /// The smallest change that matters, as a share: 0.01 is one percent. Of a metric with values
    /// of 0, a share of the baseline's mean.
    pub min_effect: f64,
}

impl Default for GateSpec {
    fn default() -> Self {
        let judged = METRICS_BY_DEFAULT.iter().filter_map(|name| Judged::named(name, MIN_EFFECT));
        Self { metrics: judged.collect(), risk: RISK }
    }
}

impl Judged {
    /// Returns the metric of that name; none when there is none, or it only describes.
    pub fn named(name: &str, min_effect: f64) -> Option<Self> {
        let metric = METRICS.iter().find(|metric| metric.name == name)?;
        Some(Self { name: metric.name, unit: metric.unit, better: direction(metric)?, min_effect })
    }
}

fn direction(metric: &Metric) -> Option<Better> {
    match metric.better {
        metrics::Better::Lower => Some(Better::Lower),
        metrics::Better::Higher => Some(Better::Higher),
        metrics::Better::Neither => None,
    }
}

/// Returns the names of all metrics that can be judged.
fn judgeable() -> Vec<&'static str> {
    METRICS.iter().filter(|own| direction(own).is_some()).map(|own| own.name).collect()
}

impl GateSpec {
    /// Reads the table.
    pub fn read(table: &mut Table<'_>) -> Self {
        let own = Self::default();
        let min_effect = table.real("min_effect", MIN_EFFECTS).unwrap_or(MIN_EFFECT);
        let asked = table.list("metrics").map(|items| read_metrics(table, &items));
        let mut metrics = asked.unwrap_or(own.metrics);
        metrics.iter_mut().for_each(|judged| judged.min_effect = min_effect);
        if let Some(mut effects) = table.table("min_effects") {
            read_effects(&mut effects, &mut metrics);
            effects.close();
        }
        Self { metrics, risk: table.real("risk", RISKS).unwrap_or(own.risk) }
    }

    /// Returns the table that [`read`](Self::read) makes this of.
    pub fn json(&self) -> Value {
        let names: Vec<&str> = self.metrics.iter().map(|judged| judged.name).collect();
        let effects = self.metrics.iter().map(|own| (own.name.to_owned(), own.min_effect.into()));
        let effects: Map<String, Value> = effects.collect();
        json!({ "metrics": names, "risk": self.risk, "min_effects": effects })
    }
}

fn read_metrics(table: &Table<'_>, items: &[Item<'_>]) -> Vec<Judged> {
    let mut metrics: Vec<Judged> = Vec::new();
    for item in items {
        let Some(name) = item.text() else { continue };
        match Judged::named(&name, MIN_EFFECT) {
            Some(judged) if metrics.iter().any(|other| other.name == name) => {
                item.fault(format!("`metrics` has {} twice", judged.name), None);
            }
            Some(judged) => metrics.push(judged),
            None if METRICS.iter().any(|metric| metric.name == name) => {
                let message = format!("`{name}` is neither better nor worse for being more");
                item.fault(message, Some("name a metric that judges".to_owned()));
            }
            None => {
                let hint = did_you_mean(&name, &judgeable());
                item.fault(format!("unknown metric `{name}`"), Some(hint));
            }
        }
    }
    if items.is_empty() {
        table.fault_at("metrics", "`metrics` is empty", Some("name what is judged".to_owned()));
    }
    metrics
}

fn read_effects(effects: &mut Table<'_>, metrics: &mut [Judged]) {
    let names: Vec<&str> = metrics.iter().map(|judged| judged.name).collect();
    for name in effects.keys() {
        let Some(item) = effects.item(&name) else { continue };
        if let Some(judged) = metrics.iter_mut().find(|judged| judged.name == name) {
            judged.min_effect = item.real(MIN_EFFECTS).unwrap_or(judged.min_effect);
        } else if judgeable().contains(&name.as_str()) {
            // An effect that nothing is held against would be one without use.
            let hint = "add it to `metrics` of [gate]".to_owned();
            item.fault(format!("`{name}` is not judged"), Some(hint));
        } else {
            item.fault(format!("unknown metric `{name}`"), Some(did_you_mean(&name, &names)));
        }
    }
}

/// Returns the keys of the table.
pub fn gate_keys() -> Keys {
    let names = judgeable();
    let effects = KeyKind::Real(MIN_EFFECTS);
    let by_metric = Keys::default().others(&format!("^({})$", names.join("|")), effects.clone());
    Keys::from(vec![
        Key::new(
            "metrics",
            KeyKind::List(Box::new(KeyKind::names(names)), 1),
            "What `check` judges, by column of the table of runs.",
        ),
        Key::new("min_effect", effects, "The smallest change that matters, as a share.")
            .default(MIN_EFFECT),
        Key::new("risk", KeyKind::Real(RISKS), "Probability of any false regression in a check.")
            .default(RISK),
        Key::new("min_effects", KeyKind::Table(by_metric), "`min_effect` of single metrics."),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn read(text: &str) -> Result<GateSpec, String> {
        let document = Document::parse("m.toml", text).unwrap();
        let read = |root: &mut Table<'_>| root.section("gate", GateSpec::read);
        document.settle(read).map_err(|faults| faults.to_string())
    }

    #[test]
    fn what_is_not_said_is_the_default() {
        let spec = read("[gate]\n").unwrap();
        assert_eq!(spec, GateSpec::default());
        assert_eq!((spec.metrics.len(), spec.risk), (7, 0.05));
        let of = |name: &str| spec.metrics.iter().find(|own| own.name == name).unwrap();
        assert_eq!((of("ttft_p95_ms").better, of("ttft_p95_ms").unit), (Better::Lower, "ms"));
        assert_eq!(
            (of("throughput_rps").better, of("e2e_mean_ms").min_effect),
            (Better::Higher, 0.01)
        );
    }

    #[test]
    fn an_effect_of_a_metric_goes_before_that_of_all() {
        let text = "[gate]\nmetrics = [\"e2e_p99_ms\", \"goodput_rps\"]\nmin_effect = 0.02\n\
                    risk = 0.01\n[gate.min_effects]\ne2e_p99_ms = 0.1\n";
        let spec = read(text).unwrap();
        let effects: Vec<(&str, f64)> =
            spec.metrics.iter().map(|own| (own.name, own.min_effect)).collect();
        assert_eq!(effects, [("e2e_p99_ms", 0.1), ("goodput_rps", 0.02)]);
        assert_eq!(spec.risk.to_string(), "0.01");
    }

    #[test]
    fn what_is_kept_of_it_is_read_back() {
        let text = "[gate]\nmetrics = [\"preemptions_count\"]\nmin_effect = 0\nrisk = 0.1\n";
        for spec in [GateSpec::default(), read(text).unwrap()] {
            let kept = toml::to_string(&json!({ "gate": spec.json() })).unwrap();
            assert_eq!(read(&kept), Ok(spec));
        }
    }

    #[test]
    fn wrong_values_say_what_would_do() {
        for (line, parts) in [
            ("metrics = []", ["`metrics` is empty", "name what is judged"]),
            (
                "metrics = [\"ttft_p95\"]",
                ["unknown metric `ttft_p95`", "did you mean `ttft_p95_ms`?"],
            ),
            ("metrics = [\"evictions_blocks\"]", ["neither better nor worse", "that judges"]),
            ("metrics = [\"drain_s\", \"drain_s\"]", ["m.toml:2:", "drain_s twice"]),
            ("min_effect = -0.1", ["`gate.min_effect` is -0.1", "a number from 0 to 10"]),
            ("risk = 1", ["`gate.risk` is 1", "to 0.5"]),
            ("min_effects = { drain_s = 0.1 }", ["`drain_s` is not judged", "add it to `metrics`"]),
            ("min_effects = { tpot_mean = 1 }", ["unknown metric `tpot_mean`", "`tpot_mean_ms`?"]),
            ("metric = []", ["unknown key `metric` in [gate]", "did you mean `metrics`?"]),
        ] {
            let told = read(&format!("[gate]\n{line}\n")).unwrap_err();
            assert!(parts.iter().all(|part| told.contains(part)), "{line}: {told}");
        }
    }
}
