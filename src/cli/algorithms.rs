//! Algorithms by their names on the command line.

use std::fmt::Write as _;

use crate::router::{AlgorithmSpec, REGISTRY, Registration};

use super::error::CliError;
use super::output::print;

/// Prints every algorithm with its parameters.
pub(super) fn list() -> Result<(), CliError> {
    let mut text = "Available routing algorithms:\n".to_owned();
    for Registration { name, summary, parameters, .. } in REGISTRY {
        write!(text, "  - {name:<18} {summary}").expect("a string takes all");
        let listed: Vec<String> = (parameters.iter())
            .map(|parameter| format!("{} = {}", parameter.name, parameter.default))
            .collect();
        if !listed.is_empty() {
            write!(text, "\n    {:<18} {}", "", listed.join(", ")).expect("a string takes all");
        }
        text.push('\n');
    }
    print(&text)
}

/// Returns the algorithm of that name.
pub(super) fn one(name: &str) -> Result<AlgorithmSpec, CliError> {
    AlgorithmSpec::by_name(name.trim())
        .map_err(|hint| CliError::new(format!("unknown algorithm `{name}`")).hint(hint))
}

/// Returns the algorithms of a list, or every one when there is no list or it says `all`. All
/// unknown names are reported at once.
pub(super) fn several(names: Option<&[String]>) -> Result<Vec<AlgorithmSpec>, CliError> {
    let Some(names) = names else {
        return Ok(AlgorithmSpec::all());
    };
    let names = split(names);
    if names.is_empty() {
        return Err(CliError::new("--algorithms names no algorithm")
            .hint("leave it out to compare all of them"));
    }
    if names == ["all"] {
        return Ok(AlgorithmSpec::all());
    }
    let mut specs: Vec<AlgorithmSpec> = Vec::new();
    let mut faults = Vec::new();
    for name in &names {
        match AlgorithmSpec::by_name(name) {
            Ok(spec) if specs.contains(&spec) => {
                faults.push(format!("algorithm `{name}` is named twice"));
            }
            Ok(spec) => specs.push(spec),
            Err(hint) => faults.push(format!("unknown algorithm `{name}`\nhint: {hint}")),
        }
    }
    if faults.is_empty() { Ok(specs) } else { Err(CliError::new(faults.join("\n"))) }
}

/// Splits a list at commas and spaces, whether the shell took it apart or not.
pub(super) fn split(values: &[String]) -> Vec<&str> {
    let parts = values.iter().flat_map(|value| value.split([',', ' ']));
    parts.filter(|part| !part.is_empty()).collect()
}
