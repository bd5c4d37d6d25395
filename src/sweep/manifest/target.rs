//! What a key of a grid stands for.

use std::collections::BTreeSet;

use crate::document::{Item, did_you_mean, key_path};
use crate::router::REGISTRY;

/// Where a value of an axis, of `[set]` or of `[derive]` goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sweep) enum Target {
    /// The config itself.
    Config,
    /// The algorithm.
    Algorithm,
    /// The rate of requests.
    Rate,
    /// A key of the config, by its path: `cluster`, `simulation` or `slo` and what is below.
    OfConfig(Vec<String>),
    /// A key of the manifest's `[workload]`, by its path below that.
    OfWorkload(Vec<String>),
    /// A parameter of the algorithm.
    OfAlgorithm(String),
    /// Nothing by itself: expressions use it by its name.
    Variable,
}

/// Tables of which keys can be set.
const ROOTS: [&str; 5] = ["cluster", "simulation", "slo", "workload", "algorithm"];

impl Target {
    /// Returns the dotted path of the key, as expressions name it; of a variable nothing.
    pub(in crate::sweep) fn path(&self) -> Option<String> {
        match self {
            Self::Config => Some("config".to_owned()),
            Self::Algorithm => Some("algorithm".to_owned()),
            Self::Rate => Some("rate".to_owned()),
            Self::OfConfig(path) => Some(path.join(".")),
            Self::OfWorkload(path) => Some(format!("workload.{}", path.join("."))),
            Self::OfAlgorithm(parameter) => Some(format!("algorithm.{parameter}")),
            Self::Variable => None,
        }
    }

    /// Returns what a key stands for; a fault of `item` when it can stand for nothing.
    pub(in crate::sweep) fn read(key: &str, item: &Item<'_>) -> Option<Self> {
        let Some(path) = key_path(key) else {
            let hint = "keys are joined by dots: `cluster.num_backends`".to_owned();
            item.fault(format!("`{key}` is no key"), Some(hint));
            return None;
        };
        let (first, rest) = (path[0].as_str(), &path[1..]);
        match (first, rest) {
            ("config" | "configs", []) => Some(Self::Config),
            ("algorithm" | "algorithms", []) => Some(Self::Algorithm),
            ("rate" | "rates", []) => Some(Self::Rate),
            (_, []) if !ROOTS.contains(&first) => Some(Self::Variable),
            ("simulation", [key]) if !key.starts_with("warmup_") => {
                let hint = "of [simulation] only `warmup_requests` and `warmup_s` count in a sweep";
                item.fault(format!("`simulation.{key}` changes nothing here"), Some(hint.into()));
                None
            }
            ("cluster" | "simulation" | "slo", [_, ..]) => Some(Self::OfConfig(path)),
            ("workload", [_, ..]) => Some(Self::OfWorkload(rest.to_vec())),
            ("algorithm", [parameter]) => {
                let known: Vec<&str> = (REGISTRY.iter())
                    .flat_map(|algorithm| algorithm.parameters)
                    .map(|parameter| parameter.name)
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect();
                if !known.contains(&parameter.as_str()) {
                    let hint = Some(did_you_mean(parameter, &known));
                    item.fault(format!("no algorithm has a parameter `{parameter}`"), hint);
                    return None;
                }
                Some(Self::OfAlgorithm(parameter.clone()))
            }
            ("trace", _) => {
                let hint = "requests come from the manifest's [workload]: `workload.trace`";
                item.fault(format!("`{key}` changes nothing here"), Some(hint.to_owned()));
                None
            }
            _ => {
                let known = ROOTS.map(|root| format!("{root}.…"));
                let hint = match crate::document::suggestion(first, ROOTS) {
                    Some(root) => did_you_mean(first, &[root]),
                    None => format!("keys begin with {}", known.join(", ")),
                };
                item.fault(format!("`{key}` is no key of a config or a workload"), Some(hint));
                None
            }
        }
    }
}
