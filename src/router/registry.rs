//! Algorithms by name, with their parameters.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::document::{Bounds, Item, Table, did_you_mean};
use crate::units::SimTime;

use super::cost_escalation::CostEscalation;
use super::least::{LeastKv, LeastOutstanding};
use super::prefix::{PrefixAware, PrefixOverlap};
use super::round_robin::RoundRobin;
use super::session_affinity::SessionAffinity;
use super::view::Algorithm;

/// A parameter of an algorithm. All are numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    /// Its key.
    pub name: &'static str,
    /// Its value where none is given.
    pub default: f64,
    /// What it may be.
    pub bounds: Bounds,
}

/// An algorithm that can be named.
pub struct Registration {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    build: fn(&AlgorithmSpec) -> Box<dyn Algorithm>,
}

const CACHE_WEIGHT: Bounds = Bounds::Between(0.0, 1.0);

/// Every algorithm, in the order of lists. `all` means these.
pub const REGISTRY: &[Registration] = &[
    Registration {
        name: "round_robin",
        summary: "each backend in turn",
        parameters: &[],
        build: |_| Box::new(RoundRobin::default()),
    },
    Registration {
        name: "least_outstanding",
        summary: "the fewest requests sent and not yet done",
        parameters: &[],
        build: |_| Box::new(LeastOutstanding),
    },
    Registration {
        name: "least_kv",
        summary: "the lowest KV cache usage",
        parameters: &[],
        build: |_| Box::new(LeastKv),
    },
    Registration {
        name: "prefix_aware",
        summary: "the longest cached prefix, unless its backend is nearly full",
        parameters: &[Parameter { name: "cache_weight", default: 0.8, bounds: CACHE_WEIGHT }],
        build: |spec| {
            let cache_weight = spec.value("cache_weight");
            Box::new(PrefixAware { cache_weight, matched: Vec::new() })
        },
    },
    Registration {
        name: "prefix_overlap",
        summary: "the cached share of the prompt, weighed against load",
        parameters: &[Parameter { name: "cache_weight", default: 0.7, bounds: CACHE_WEIGHT }],
        build: |spec| Box::new(PrefixOverlap { cache_weight: spec.value("cache_weight") }),
    },
    Registration {
        name: "session_affinity",
        summary: "the backend that had the session before",
        parameters: &[Parameter {
            name: "max_sessions",
            default: 100_000.0,
            bounds: Bounds::Between(1.0, 1e9),
        }],
        build: |spec| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "bounded where it is read"
            )]
            let max_sessions = spec.value("max_sessions") as usize;
            Box::new(SessionAffinity { max_sessions, homes: BTreeMap::new() })
        },
    },
    Registration {
        name: "cost_escalation",
        summary: "the cheapest, where use raises a backend's cost and time lowers it",
        parameters: &[
            Parameter { name: "base", default: 1.0, bounds: Bounds::NonNegative },
            Parameter { name: "queue_weight", default: 0.5, bounds: Bounds::NonNegative },
            Parameter { name: "kv_weight", default: 2.0, bounds: Bounds::NonNegative },
            Parameter { name: "decay_per_s", default: 0.1, bounds: Bounds::NonNegative },
        ],
        build: |spec| {
            Box::new(CostEscalation {
                base: spec.value("base"),
                queue_weight: spec.value("queue_weight"),
                kv_weight: spec.value("kv_weight"),
                decay_per_s: spec.value("decay_per_s"),
                costs: Vec::new(),
                decayed_at: SimTime::ZERO,
            })
        },
    },
];

/// An algorithm with its parameters, ready to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct AlgorithmSpec {
    name: &'static str,
    /// Every parameter, in the order of the registration.
    parameters: Vec<(&'static str, f64)>,
}

impl AlgorithmSpec {
    /// Returns the algorithm of that name with its default parameters.
    ///
    /// # Errors
    ///
    /// A hint, when there is no such algorithm.
    pub fn by_name(name: &str) -> Result<Self, String> {
        let Some(registration) = REGISTRY.iter().find(|registration| registration.name == name)
        else {
            let names: Vec<&str> = REGISTRY.iter().map(|registration| registration.name).collect();
            return Err(did_you_mean(name, &names));
        };
        let parameters = registration.parameters.iter();
        let parameters = parameters.map(|parameter| (parameter.name, parameter.default)).collect();
        Ok(Self { name: registration.name, parameters })
    }

    /// Returns every algorithm with its default parameters.
    pub fn all() -> Vec<Self> {
        REGISTRY.iter().filter_map(|registration| Self::by_name(registration.name).ok()).collect()
    }

    /// Reads a name, or a table `{ name = …, PARAMETER = … }`.
    pub fn read(item: &Item<'_>) -> Option<Self> {
        if !item.is_table() {
            return named(item, &item.text()?);
        }
        let mut table = item.table()?;
        let Some(name) = table.item("name") else {
            table.fault("an algorithm without a `name`", None);
            return None;
        };
        let mut spec = named(&name, &name.text()?)?;
        spec.read_parameters(&mut table);
        table.close();
        Some(spec)
    }

    fn read_parameters(&mut self, table: &mut Table<'_>) {
        let parameters = self.registration().parameters;
        for (parameter, (name, value)) in parameters.iter().zip(&mut self.parameters) {
            if let Some(given) = table.real(name, parameter.bounds) {
                *value = given;
            }
        }
    }

    /// Returns the name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the name with the parameters that differ from their defaults: unique among specs.
    pub fn label(&self) -> String {
        let defaults = self.registration().parameters;
        let mut label = self.name.to_owned();
        let differing = (self.parameters.iter().zip(defaults))
            .filter(|((_, value), parameter)| value.to_bits() != parameter.default.to_bits());
        for (index, ((name, value), _)) in differing.enumerate() {
            let separator = if index == 0 { '(' } else { ',' };
            write!(label, "{separator}{name}={value}").expect("a string takes all");
        }
        if label.len() > self.name.len() {
            label.push(')');
        }
        label
    }

    /// Returns every parameter with its value.
    pub fn parameters(&self) -> &[(&'static str, f64)] {
        &self.parameters
    }

    /// Makes the algorithm.
    pub fn build(&self) -> Box<dyn Algorithm> {
        (self.registration().build)(self)
    }

    fn registration(&self) -> &'static Registration {
        let registration = REGISTRY.iter().find(|registration| registration.name == self.name);
        registration.expect("a spec is made from a registration")
    }

    fn value(&self, name: &str) -> f64 {
        let parameter = self.parameters.iter().find(|(own, _)| *own == name);
        parameter.expect("an algorithm asks for its own parameters").1
    }
}

fn named(item: &Item<'_>, name: &str) -> Option<AlgorithmSpec> {
    match AlgorithmSpec::by_name(name) {
        Ok(spec) => Some(spec),
        Err(hint) => {
            item.fault(format!("unknown algorithm `{name}`"), Some(hint));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn read(text: &str) -> Result<AlgorithmSpec, String> {
        let document = Document::parse("m.toml", text).unwrap();
        let read = |root: &mut Table<'_>| AlgorithmSpec::read(&root.item("a")?);
        document.settle(read).map_err(|faults| faults.to_string())
    }

    #[test]
    fn a_label_names_what_differs_from_the_defaults() {
        assert_eq!(read("a = \"prefix_aware\"").unwrap().label(), "prefix_aware");
        let tuned = read("a = { name = \"prefix_aware\", cache_weight = 0.7 }").unwrap();
        assert_eq!(tuned.label(), "prefix_aware(cache_weight=0.7)");
    }

    #[test]
    fn faults_come_with_a_suggestion() {
        let typo = read("a = \"prefix_awre\"").unwrap_err();
        assert!(typo.contains("did you mean `prefix_aware`?"), "{typo}");
        let key = read("a = { name = \"prefix_aware\", cache_wieght = 1 }").unwrap_err();
        assert!(key.contains("did you mean `cache_weight`?"), "{key}");
        let range = read("a = { name = \"prefix_aware\", cache_weight = 2 }").unwrap_err();
        assert!(range.contains("expected a number from 0 to 1"), "{range}");
    }

    #[test]
    fn every_name_builds_and_has_a_label_of_its_own() {
        let specs = AlgorithmSpec::all();
        let labels: std::collections::BTreeSet<String> =
            specs.iter().map(AlgorithmSpec::label).collect();
        assert_eq!(labels.len(), REGISTRY.len());
        for spec in specs {
            spec.build();
        }
    }
}
