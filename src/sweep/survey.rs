//! What is wrong with the values of a manifest that has faults of its own: all is told at once.

use std::collections::BTreeSet;

use crate::document::{FaultSet, Scalar, Value};

use super::expand::{check_conditions, expand};
use super::manifest::{Axis, Condition, GridSpec, Manifest};
use super::setting::Resolver;
use super::spelling::{check_texts, check_variables};

/// Adds what is wrong with values that go into configs, workloads and algorithms, and with
/// expressions, as far as the manifest could be read; `whole` is all that it says.
///
/// What follows from faults of its own is not told: an expression that names something which could
/// not be read is left out.
pub(super) fn survey(mut manifest: Manifest, whole: &Value, faults: &mut FaultSet) {
    let written = Written::of(whole);
    check_variables(&manifest, &written.texts, faults);
    check_texts(&manifest, faults);
    leave_out(&mut manifest, &written);
    let mut in_order = FaultSet::default();
    manifest.grids.iter().for_each(|grid| check_conditions(grid, &mut in_order));
    let has_order = in_order.is_empty();
    faults.append(in_order);
    let mut resolver = Resolver::new(&manifest, Vec::new());
    for (number, grid) in manifest.grids.iter().enumerate() {
        let axes: Vec<&Axis> = grid.axes().collect();
        if axes.is_empty() || !has_order {
            continue;
        }
        // That no point is left may follow from a value that could not be read.
        let Ok((points, _)) = expand(&manifest, grid, faults) else { continue };
        for point in points {
            resolver.resolve(number, &axes, &point);
        }
    }
    let (_, more) = resolver.finish();
    faults.append(more);
}

/// What a manifest says, whether or not it can be read.
struct Written {
    /// Paths of all single values, between dots.
    paths: Vec<String>,
    /// All texts.
    texts: Vec<String>,
}

impl Written {
    fn of(whole: &Value) -> Self {
        let (mut paths, mut texts) = (Vec::new(), Vec::new());
        for (path, value) in whole.leaves() {
            paths.push(format!(".{path}."));
            if let Some(Scalar::Text(text)) = value.scalar() {
                texts.push(text);
            }
        }
        Self { paths, texts }
    }

    /// Returns whether something was to be called so, in whatever table, or its key to be that.
    fn has(&self, name: &str) -> bool {
        let within = format!(".{name}.");
        self.paths.iter().any(|path| path.contains(&within))
            || self.texts.iter().any(|text| text == name)
    }
}

/// Takes out what depends on something that could not be read.
fn leave_out(manifest: &mut Manifest, written: &Written) {
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut empty: BTreeSet<String> = BTreeSet::new();
    known.extend(manifest.set.iter().filter_map(|setter| setter.path.clone()));
    for axis in manifest.grids.iter().flat_map(GridSpec::axes) {
        let names = [Some(axis.name.clone()), axis.path.clone()].into_iter().flatten();
        if axis.values.is_empty() { empty.extend(names) } else { known.extend(names) }
    }
    let named = ["config", "algorithm", "rate"];
    for grid in &manifest.grids {
        let lacks = |name: &&str| !grid.axes().any(|axis| axis.is_called(name));
        empty.extend(named.into_iter().filter(lacks).map(str::to_owned));
    }
    let is_lost = |condition: &Condition, known: &BTreeSet<String>| {
        condition
            .expr
            .names()
            .into_iter()
            .any(|name| empty.contains(name) || (!known.contains(name) && written.has(name)))
    };
    manifest.derive.retain(|derived| {
        let keep = !is_lost(&derived.condition, &known);
        if keep {
            known.insert(derived.name().to_owned());
        }
        keep
    });
    for grid in &mut manifest.grids {
        grid.constraints.retain(|condition| !is_lost(condition, &known));
        for dimension in &mut grid.dimensions {
            let lens = dimension.axes.iter().map(|axis| axis.values.len());
            dimension.len = lens.min().unwrap_or(0).min(dimension.len).max(1);
            let is_empty = dimension.axes.iter().any(|axis| axis.values.is_empty());
            for axis in &mut dimension.axes {
                let lost = axis.when.as_ref().is_some_and(|when| is_lost(when, &known));
                if is_empty || lost {
                    axis.when = Some(Condition::never(axis.place.clone()));
                }
            }
        }
    }
}
