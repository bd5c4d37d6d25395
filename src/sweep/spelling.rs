//! Texts in expressions that nothing is ever equal to.

use std::collections::BTreeSet;

use crate::document::{FaultSet, Scalar, did_you_mean, suggestion};
use crate::router::REGISTRY;
use crate::scenario::config_keys;

use super::expr::ComparedText;
use super::manifest::{Condition, GridSpec, Manifest, Target};

/// Looks for texts that the name beside them never is. A name that no algorithm has is a fault. A
/// text that no value of an axis has is told in what is returned: whoever takes a value out of an
/// axis, or extends a manifest, need not change the expressions.
pub(super) fn check_texts(manifest: &Manifest, faults: &mut FaultSet) -> Vec<String> {
    let mut notes = Vec::new();
    let of_grids = manifest.grids.iter().flat_map(|grid| {
        grid.axes().filter_map(|axis| axis.when.as_ref()).chain(&grid.constraints)
    });
    let derived = manifest.derive.iter().map(|derived| &derived.condition);
    for condition in of_grids.chain(derived) {
        for compared in condition.expr.compared_texts() {
            // A key that is derived may be anything.
            if manifest.derive.iter().any(|derived| derived.name() == compared.name) {
                continue;
            }
            if compared.name == "algorithm" {
                check_algorithm(condition, compared, faults);
            } else if let Some(note) = check_axis(manifest, condition, compared)
                && !notes.contains(&note)
            {
                notes.push(note);
            }
        }
    }
    notes
}

fn check_algorithm(condition: &Condition, compared: ComparedText<'_>, faults: &mut FaultSet) {
    let names: Vec<&str> = REGISTRY.iter().map(|algorithm| algorithm.name).collect();
    let ComparedText { text, at, .. } = compared;
    if names.contains(&text) {
        return;
    }
    let hint = match text.split_once('(') {
        Some((name, _)) if names.contains(&name) => {
            format!("write '{name}': its parameters are `algorithm.PARAMETER`")
        }
        _ => did_you_mean(text, &names),
    };
    faults.add(condition.fault_at(at, format!("no algorithm is called '{text}'"), hint));
}

/// Returns what to say of a text that no grid's axis of that name has.
fn check_axis(
    manifest: &Manifest,
    condition: &Condition,
    compared: ComparedText<'_>,
) -> Option<String> {
    let ComparedText { name, text, at } = compared;
    let values = values_of(manifest, name)?;
    if values.is_empty() || values.contains(text) {
        return None;
    }
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let fault = condition.fault_at(at, format!("`{name}` is never '{text}'"), String::new());
    let hint = did_you_mean(text, &values);
    let (label, line, column, message) = (fault.label, fault.line, fault.column, fault.message);
    Some(format!("warning: {label}:{line}:{column}: {message} ({hint})"))
}

/// Returns all values of a name, if they are the texts of an axis in every grid.
fn values_of(manifest: &Manifest, name: &str) -> Option<BTreeSet<String>> {
    let mut values = BTreeSet::new();
    for grid in &manifest.grids {
        let axis = grid.axes().find(|axis| axis.is_called(name))?;
        for value in &axis.values {
            let Scalar::Text(text) = &value.coordinate else { return None };
            values.insert(text.clone());
        }
    }
    Some(values)
}

/// Refuses axes that change nothing: of no key, and in no expression. `written` are texts that may
/// be expressions which can't be read.
pub(super) fn check_variables(manifest: &Manifest, written: &[String], faults: &mut FaultSet) {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for grid in &manifest.grids {
        names.extend(grid.constraints.iter().flat_map(|condition| condition.expr.names()));
        let whens = grid.axes().filter_map(|axis| axis.when.as_ref());
        names.extend(whens.flat_map(|condition| condition.expr.names()));
    }
    names.extend(manifest.derive.iter().flat_map(|derived| derived.condition.expr.names()));
    for axis in manifest.grids.iter().flat_map(GridSpec::axes) {
        let name = &axis.name;
        let is_named = names.contains(name.as_str()) || written.iter().any(|t| t.contains(name));
        if axis.target == Target::Variable && !is_named {
            let hint = format!(
                "write `{}` for a key of configs; a name of your own must stand in an expression",
                key_like(name)
            );
            faults.add(axis.place.fault(format!("axis `{name}` changes nothing"), Some(hint)));
        }
    }
}

/// Returns the key of configs whose last part is most like a name.
fn key_like(name: &str) -> String {
    let keys = config_keys();
    let paths: Vec<String> = keys.entries().into_iter().map(|(path, _)| path).collect();
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let lasts: Vec<String> = paths.iter().map(|path| last(path)).collect();
    let found = suggestion(name, lasts.iter().map(String::as_str));
    let found = found.and_then(|found| paths.iter().find(|path| last(path) == found));
    found.cloned().unwrap_or_else(|| format!("cluster.{name}"))
}
