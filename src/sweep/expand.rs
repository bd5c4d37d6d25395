//! From axes and filters to the points of a grid.

use std::collections::BTreeSet;

use crate::document::{Fault, FaultSet, Faults, Scalar, Value};

use super::manifest::{Axis, ConfigFile, Dimension, GridSpec, Manifest, Pattern, Target};
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

/// Points at which expressions are wrong, after which no other is looked at.
const MOST_BAD_POINTS: usize = 10_000;

/// Lists the points of a grid, the last axis fastest, those of `include` last. What is wrong with
/// expressions goes to `faults`, and the points that they are wrong for are left out.
///
/// # Errors
///
/// Too many points, or none.
pub(super) fn expand(
    manifest: &Manifest,
    grid: &GridSpec,
    faults: &mut FaultSet,
) -> Result<(Vec<Point>, Expansion), Faults> {
    let axes: Vec<&Axis> = grid.axes().collect();
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
    let mut walker = Walker::new(manifest, &axes, faults);
    let mut points = Vec::new();
    let every: Vec<Vec<usize>> = lens.iter().map(|len| (0..*len).collect()).collect();
    walker.product(grid, &every, |walker, point| {
        let Some(point) = walker.mark(point, true)? else { return Ok(true) };
        counts.applying += 1;
        if !walker.keeps_constraints(grid, &point)? {
            return Ok(true);
        }
        counts.constrained += 1;
        if !grid.excludes.iter().any(|pattern| pattern.matches(&point)) {
            points.push(point);
        }
        Ok(points.len() <= grid.max_cells)
    });
    counts.kept = points.len();
    if !grid.includes.is_empty() {
        let mut known: BTreeSet<Point> = points.iter().cloned().collect();
        for pattern in &grid.includes {
            let steps = pattern.steps(grid);
            if steps.iter().any(Vec::is_empty) {
                let message = "no point of the zipped axes has these values".to_owned();
                return Err(pattern.place.refuse(message, None));
            }
            walker.product(grid, &steps, |walker, point| {
                let Some(point) = walker.mark(point, false)? else { return Ok(true) };
                if known.insert(point.clone()) {
                    points.push(point);
                }
                Ok(true)
            });
        }
        counts.included = points.len() - counts.kept;
    }
    if points.is_empty() && walker.bad_points == 0 {
        return Err(nothing_left(grid, &counts, place));
    }
    if points.len() > grid.max_cells {
        return Err(Faults { faults: vec![too_many(grid, place)] });
    }
    Ok((points, counts))
}

fn nothing_left(grid: &GridSpec, counts: &Expansion, place: &Value) -> Faults {
    let of = grid.name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
    let Expansion { product, applying, constrained, .. } = counts;
    let hint = format!(
        "{product} points, of which {applying} apply, {constrained} keep `constraint` and none is \
         left by `exclude`"
    );
    let first = grid.constraints.first().filter(|_| *constrained == 0);
    let place = first.map_or(place, super::manifest::Condition::place);
    place.refuse(format!("no cell of the grid{of} is left"), Some(hint))
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
pub(super) fn check_conditions(grid: &GridSpec, faults: &mut FaultSet) {
    let axes: Vec<&Axis> = grid.axes().collect();
    for (at, axis) in axes.iter().enumerate() {
        let Some(when) = &axis.when else { continue };
        for name in when.expr.names() {
            let later =
                axes[at..].iter().find(|other| other.is_called(name) && other.when.is_some());
            if let Some(later) = later {
                let message = format!("`when` of `{}` names `{}`", axis.name, later.name);
                let hint =
                    Some("an axis with a `when` must stand before those that name it".into());
                faults.add(when.place().fault(message, hint));
            }
        }
    }
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
    /// Whether some points have a config that could not be read.
    lacks_configs: bool,
    /// Points for which an expression is wrong, and in what.
    bad_points: usize,
    faults: &'a mut FaultSet,
}

impl<'a> Walker<'a> {
    fn new(manifest: &'a Manifest, axes: &'a [&'a Axis], faults: &'a mut FaultSet) -> Self {
        let configs = axes.iter().filter(|axis| axis.target == Target::Config);
        let mut names = configs.flat_map(|axis| &axis.values).map(|value| &value.coordinate);
        let is_there = |name: &Scalar| {
            let is = |known: &ConfigFile| *name == Scalar::Text(known.name.clone());
            manifest.configs.iter().any(is)
        };
        let lacks_configs = !names.all(is_there);
        Self { manifest, axes, lacks_configs, bad_points: 0, faults }
    }

    /// Calls `each` with every point of a product of steps, the last dimension fastest, until it
    /// says that it has enough.
    fn product(
        &mut self,
        grid: &GridSpec,
        steps: &[Vec<usize>],
        mut each: impl FnMut(&Self, Point) -> Result<bool, Faults>,
    ) {
        if steps.iter().any(Vec::is_empty) {
            return;
        }
        let mut at = vec![0; steps.len()];
        loop {
            let mut point = Vec::with_capacity(self.axes.len());
            for ((dimension, steps), at) in grid.dimensions.iter().zip(steps).zip(&at) {
                let step = u32::try_from(steps[*at]).unwrap_or(ABSENT);
                point.extend(std::iter::repeat_n(step, dimension.axes.len()));
            }
            match each(self, point) {
                Ok(true) => {}
                Ok(false) => return,
                Err(faults) => {
                    self.bad_points += 1;
                    self.faults.extend(faults.faults);
                }
            }
            let Some(moving) = (0..at.len()).rev().find(|d| at[*d] + 1 < steps[*d].len()) else {
                return;
            };
            if self.bad_points >= MOST_BAD_POINTS {
                return;
            }
            at[moving] += 1;
            at[moving + 1..].fill(0);
        }
    }

    /// Marks the axes that do not apply; with `once` there is nothing but for the first value of
    /// such an axis, as all others would be the same point.
    fn mark(&self, mut point: Point, once: bool) -> Result<Option<Point>, Box<Fault>> {
        if self.lacks_configs && self.scope(&point, &[]).config().is_none() {
            return Ok(None);
        }
        for (at, axis) in self.axes.iter().enumerate() {
            let Some(when) = &axis.when else { continue };
            let scope = self.scope(&point, &[]);
            if !when.holds(scope)? {
                if once && point[at] != 0 {
                    return Ok(None);
                }
                point[at] = ABSENT;
            }
        }
        Ok(Some(point))
    }

    fn keeps_constraints(&self, grid: &GridSpec, point: &Point) -> Result<bool, Faults> {
        if grid.constraints.is_empty() {
            return Ok(true);
        }
        let (derived, mut faults) = match derived(self.scope(point, &[])) {
            Ok(derived) => (derived, Vec::new()),
            Err(faults) => (Vec::new(), faults.faults),
        };
        let has_derived = faults.is_empty();
        let is_derived = |name: &&str| self.manifest.derive.iter().any(|own| own.name() == *name);
        let scope = self.scope(point, &derived);
        for constraint in &grid.constraints {
            if !has_derived && constraint.expr.names().iter().any(is_derived) {
                continue;
            }
            match constraint.holds(scope) {
                Ok(false) if faults.is_empty() => return Ok(false),
                Ok(_) => {}
                Err(fault) => faults.push(*fault),
            }
        }
        if faults.is_empty() { Ok(true) } else { Err(Faults { faults }) }
    }

    fn scope<'s>(&'s self, point: &'s [u32], derived: &'s [Scalar]) -> Scope<'s> {
        Scope { manifest: self.manifest, axes: self.axes, point, derived }
    }
}

/// Works out the keys that follow from others, in the order of the manifest.
///
/// # Errors
///
/// What is wrong with each expression, but for those that name one that is wrong.
pub(super) fn derived(scope: Scope<'_>) -> Result<Vec<Scalar>, Faults> {
    let mut values: Vec<Scalar> = Vec::with_capacity(scope.manifest.derive.len());
    let (mut faults, mut lost): (Vec<Fault>, Vec<&str>) = (Vec::new(), Vec::new());
    for derived in &scope.manifest.derive {
        let scope = Scope { derived: &values, ..scope };
        let condition = &derived.condition;
        if !lost.is_empty() && condition.expr.names().iter().any(|name| lost.contains(name)) {
            lost.push(derived.name());
            values.push(Scalar::Null);
            continue;
        }
        let value = condition.evaluate(scope).unwrap_or_else(|fault| {
            lost.push(derived.name());
            faults.push(*fault);
            Scalar::Null
        });
        values.push(value);
    }
    if faults.is_empty() { Ok(values) } else { Err(Faults { faults }) }
}
