//! From axes and filters to the points of a grid.

use std::collections::BTreeSet;

use crate::document::{Fault, Faults, Scalar, Value};

use super::manifest::{Axis, Dimension, GridSpec, Manifest, Pattern, Target};
use super::scope::{ABSENT, Point, Scope};

/// The most points that the product of axes may have, before filters.
const LARGEST_PRODUCT: usize = 10_000_000;

/// How the cells of a grid came about, step by step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansion {
    /// Name of the grid, where there are several.
    pub name: Option<String>,
    /// Length of each axis, or of axes that go on together, with its name.
    pub axes: Vec<(String, usize)>,
    /// Points of the product.
    pub product: usize,
    /// Points that are left when an axis that does not apply counts once.
    pub applying: usize,
    /// Points that keep the constraints.
    pub constrained: usize,
    /// Points that are not excluded.
    pub kept: usize,
    /// Points that `include` adds.
    pub included: usize,
    /// Cells that an earlier grid has too, and that count there.
    pub repeated: usize,
    /// The steps that the manifest asks for, by the key: one that leaves all as it was may have a
    /// slip in it.
    pub asked: Vec<&'static str>,
}

impl Expansion {
    /// Returns the number of cells.
    pub fn cells(&self) -> usize {
        self.kept + self.included - self.repeated
    }
}

/// Lists the points of a grid, the last axis fastest, those of `include` last.
///
/// # Errors
///
/// What is wrong with an expression, or too many points.
pub(super) fn expand(
    manifest: &Manifest,
    grid: &GridSpec,
) -> Result<(Vec<Point>, Expansion), Faults> {
    let axes: Vec<&Axis> = grid.axes().collect();
    check_conditions(&axes)?;
    let lens: Vec<usize> = grid.dimensions.iter().map(|dimension| dimension.len).collect();
    let mut counts = Expansion {
        name: grid.name.clone(),
        axes: grid.dimensions.iter().zip(&lens).map(|(d, len)| (d.name(), *len)).collect(),
        asked: asked(grid),
        product: lens.iter().fold(1_usize, |product, len| product.saturating_mul(*len)),
        ..Expansion::default()
    };
    let place = &axes[0].place;
    if counts.product > LARGEST_PRODUCT {
        let message = format!("the axes have {} points, at most {LARGEST_PRODUCT}", counts.product);
        return Err(place.refuse(message, Some("split it into several manifests".to_owned())));
    }
    let walker = Walker { manifest, axes: &axes };
    let mut points = Vec::new();
    let every: Vec<Vec<usize>> = lens.iter().map(|len| (0..*len).collect()).collect();
    walker.product(grid, &every, |point| {
        let Some(point) = walker.mark(point, true)? else { return Ok(()) };
        counts.applying += 1;
        if !walker.keeps_constraints(grid, &point)? {
            return Ok(());
        }
        counts.constrained += 1;
        if !grid.excludes.iter().any(|pattern| pattern.matches(&point)) {
            points.push(point);
        }
        if points.len() > grid.max_cells { Err(Box::new(too_many(grid, place))) } else { Ok(()) }
    })?;
    counts.kept = points.len();
    if !grid.includes.is_empty() {
        let mut known: BTreeSet<Point> = points.iter().cloned().collect();
        for pattern in &grid.includes {
            let steps = pattern.steps(grid);
            if steps.iter().any(Vec::is_empty) {
                let message = "no point of the zipped axes has these values".to_owned();
                return Err(pattern.place.refuse(message, None));
            }
            walker.product(grid, &steps, |point| {
                let Some(point) = walker.mark(point, false)? else { return Ok(()) };
                if known.insert(point.clone()) {
                    points.push(point);
                }
                Ok(())
            })?;
        }
        counts.included = points.len() - counts.kept;
    }
    let of = grid.name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
    if points.is_empty() {
        let Expansion { product, applying, constrained, .. } = counts;
        let hint = format!(
            "{product} points, of which {applying} apply, {constrained} keep `constraint` and none \
             is left by `exclude`"
        );
        let first = grid.constraints.first().filter(|_| constrained == 0);
        let place = first.map_or(place, super::manifest::Condition::place);
        return Err(place.refuse(format!("no cell of the grid{of} is left"), Some(hint)));
    }
    if points.len() > grid.max_cells {
        return Err(Faults { faults: vec![too_many(grid, place)] });
    }
    Ok((points, counts))
}

/// Returns the steps of an expansion that a grid has something to say to.
fn asked(grid: &GridSpec) -> Vec<&'static str> {
    let steps = [
        ("when", grid.axes().any(|axis| axis.when.is_some())),
        ("constraint", !grid.constraints.is_empty()),
        ("exclude", !grid.excludes.is_empty()),
        ("include", !grid.includes.is_empty()),
    ];
    steps.into_iter().filter(|(_, is_asked)| *is_asked).map(|(step, _)| step).collect()
}

fn too_many(grid: &GridSpec, place: &Value) -> Fault {
    let of = grid.name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
    let hint = Some("raise `max_cells`, or split it into several manifests".to_owned());
    place.fault(format!("the grid{of} has more than {} cells", grid.max_cells), hint)
}

/// Refuses a `when` that names an axis whose own is not known yet.
fn check_conditions(axes: &[&Axis]) -> Result<(), Faults> {
    for (at, axis) in axes.iter().enumerate() {
        let Some(when) = &axis.when else { continue };
        for name in when.expr.names() {
            let later =
                axes[at..].iter().find(|other| other.is_called(name) && other.when.is_some());
            if let Some(later) = later {
                let message = format!("`when` of `{}` names `{}`", axis.name, later.name);
                let hint =
                    Some("an axis with a `when` must stand before those that name it".into());
                return Err(when.place().refuse(message, hint));
            }
        }
    }
    Ok(())
}

impl Dimension {
    fn name(&self) -> String {
        let names: Vec<&str> = self.axes.iter().map(|axis| axis.name.as_str()).collect();
        names.join("+")
    }
}

impl Pattern {
    fn matches(&self, point: &Point) -> bool {
        self.terms
            .iter()
            .all(|(axis, values)| values.iter().any(|value| point[*axis] as usize == *value))
    }

    /// Returns the steps of each dimension that the pattern leaves.
    fn steps(&self, grid: &GridSpec) -> Vec<Vec<usize>> {
        let mut first = 0;
        let steps = |dimension: &Dimension| {
            let axes = first..first + dimension.axes.len();
            first = axes.end;
            let own: Vec<&Vec<usize>> = (self.terms.iter())
                .filter(|(axis, _)| axes.contains(axis))
                .map(|(_, values)| values)
                .collect();
            match (own.as_slice(), dimension.axes.len()) {
                ([], _) => (0..dimension.len).collect(),
                ([values], 1) => (*values).clone(),
                (several, _) => (0..dimension.len)
                    .filter(|step| several.iter().all(|values| values.contains(step)))
                    .collect(),
            }
        };
        grid.dimensions.iter().map(steps).collect()
    }
}

/// Goes through the points of a grid.
struct Walker<'a> {
    manifest: &'a Manifest,
    axes: &'a [&'a Axis],
}

impl<'a> Walker<'a> {
    /// Calls `each` with every point of a product of steps, the last dimension fastest.
    fn product(
        &self,
        grid: &GridSpec,
        steps: &[Vec<usize>],
        mut each: impl FnMut(Point) -> Result<(), Box<Fault>>,
    ) -> Result<(), Faults> {
        if steps.iter().any(Vec::is_empty) {
            return Ok(());
        }
        let mut at = vec![0; steps.len()];
        loop {
            let mut point = Vec::with_capacity(self.axes.len());
            for ((dimension, steps), at) in grid.dimensions.iter().zip(steps).zip(&at) {
                let step = u32::try_from(steps[*at]).unwrap_or(ABSENT);
                point.extend(std::iter::repeat_n(step, dimension.axes.len()));
            }
            each(point).map_err(|fault| Faults { faults: vec![*fault] })?;
            let Some(moving) = (0..at.len()).rev().find(|d| at[*d] + 1 < steps[*d].len()) else {
                return Ok(());
            };
            at[moving] += 1;
            at[moving + 1..].fill(0);
        }
    }

    /// Marks the axes that do not apply; with `once` there is nothing but for the first value of
    /// such an axis, as all others would be the same point.
    fn mark(&self, mut point: Point, once: bool) -> Result<Option<Point>, Box<Fault>> {
        for (at, axis) in self.axes.iter().enumerate() {
            let Some(when) = &axis.when else { continue };
            let scope = self.scope(&point, &[]);
            if !when.holds(&|name| scope.value(name))? {
                if once && point[at] != 0 {
                    return Ok(None);
                }
                point[at] = ABSENT;
            }
        }
        Ok(Some(point))
    }

    fn keeps_constraints(&self, grid: &GridSpec, point: &Point) -> Result<bool, Box<Fault>> {
        if grid.constraints.is_empty() {
            return Ok(true);
        }
        let derived = derived(self.scope(point, &[]))?;
        let scope = self.scope(point, &derived);
        for constraint in &grid.constraints {
            if !constraint.holds(&|name| scope.value(name))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn scope<'s>(&'s self, point: &'s [u32], derived: &'s [Scalar]) -> Scope<'s> {
        Scope { manifest: self.manifest, axes: self.axes, point, derived }
    }
}

/// Works out the keys that follow from others, in the order of the manifest.
///
/// # Errors
///
/// What is wrong with an expression.
pub(super) fn derived(scope: Scope<'_>) -> Result<Vec<Scalar>, Box<Fault>> {
    let mut values: Vec<Scalar> = Vec::with_capacity(scope.manifest.derive.len());
    for derived in &scope.manifest.derive {
        let scope = Scope { derived: &values, ..scope };
        let value = derived.condition.evaluate(&|name| scope.value(name))?;
        values.push(value);
    }
    Ok(values)
}

/// Refuses axes that change nothing: of no key, and in no expression.
///
/// # Errors
///
/// Each such axis.
pub(super) fn check_variables(manifest: &Manifest) -> Result<(), Faults> {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for grid in &manifest.grids {
        names.extend(grid.constraints.iter().flat_map(|condition| condition.expr.names()));
        let whens = grid.axes().filter_map(|axis| axis.when.as_ref());
        names.extend(whens.flat_map(|condition| condition.expr.names()));
    }
    names.extend(manifest.derive.iter().flat_map(|derived| derived.condition.expr.names()));
    let mut faults = Vec::new();
    for axis in manifest.grids.iter().flat_map(GridSpec::axes) {
        if axis.target == Target::Variable && !names.contains(axis.name.as_str()) {
            let name = &axis.name;
            let hint = format!(
                "write `cluster.{name}` for a key of configs; a name of your own must stand in an expression"
            );
            faults.push(axis.place.fault(format!("axis `{name}` changes nothing"), Some(hint)));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Faults { faults }) }
}
