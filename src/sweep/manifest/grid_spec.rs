//! The `[grid]` table: axes, and which points of their product are wanted.

use std::collections::BTreeSet;

use crate::document::{Bounds, Item, Scalar, Table, Value, did_you_mean};
use crate::router::AlgorithmSpec;

use super::LONGEST_AXIS;
use super::axis::{Axis, AxisValue, Dimension, KINDS, algorithm_value, config_paths, read_rates};
use super::condition::Condition;
use super::target::Target;

/// The most cells where `max_cells` does not say.
const MOST_CELLS: u64 = 100_000;
/// The most that it can say.
const MAX_CELLS: u64 = 1_000_000;

/// A grid as it is written.
#[derive(Clone, Debug)]
pub(in crate::sweep) struct GridSpec {
    /// Its name, where there are several.
    pub(in crate::sweep) name: Option<String>,
    /// Axes in the order of the product, the last fastest.
    pub(in crate::sweep) dimensions: Vec<Dimension>,
    /// What must hold of every cell.
    pub(in crate::sweep) constraints: Vec<Condition>,
    /// Cells that are not wanted.
    pub(in crate::sweep) excludes: Vec<Pattern>,
    /// Cells that are wanted whatever the product and the filters say.
    pub(in crate::sweep) includes: Vec<Pattern>,
    /// The most cells that it may have.
    pub(in crate::sweep) max_cells: usize,
    /// Its seeds.
    pub(super) seeds: Vec<u64>,
}

/// Values of some axes.
#[derive(Clone, Debug)]
pub(in crate::sweep) struct Pattern {
    /// By axis: its place among [`GridSpec::axes`], and values by their place on it.
    pub(in crate::sweep) terms: Vec<(usize, Vec<usize>)>,
    /// Where it was read.
    pub(in crate::sweep) place: Value,
}

impl GridSpec {
    /// Returns all axes, in the order of the product.
    pub(in crate::sweep) fn axes(&self) -> impl Iterator<Item = &Axis> {
        self.dimensions.iter().flat_map(|dimension| &dimension.axes)
    }

    pub(super) fn read(grid: &mut Table<'_>, name: Option<String>, seed: u64) -> Self {
        let mut further = Vec::new();
        read_axes(grid, &mut further);
        read_zips(grid, &mut further);
        let mut dimensions = Vec::new();
        let zipped = |target: &Target| {
            further.iter().flat_map(|dimension| &dimension.axes).any(|axis| axis.target == *target)
        };
        let configs = named_axis(grid, "configs", &zipped, Target::Config, read_configs);
        let algorithms =
            named_axis(grid, "algorithms", &zipped, Target::Algorithm, read_algorithms);
        let rates = if grid.has("rates") || zipped(&Target::Rate) {
            named_axis(grid, "rates", &zipped, Target::Rate, read_rates)
        } else {
            None
        };
        dimensions.extend(configs);
        dimensions.extend(further);
        dimensions.extend(algorithms);
        dimensions.extend(rates);
        let seeds = match grid.item("seeds") {
            Some(item) => match read_seeds(&item, seed) {
                Some(seeds) => checked(&item, seeds),
                None => vec![seed],
            },
            None => vec![seed],
        };
        if let Some(item) = grid.item("seeds") {
            distinct(&item, seeds.iter().map(ToString::to_string));
        }
        let constraints = read_constraints(grid);
        let max_cells = grid.whole("max_cells", 1..=MAX_CELLS).unwrap_or(MOST_CELLS);
        let mut spec = Self {
            name,
            dimensions,
            constraints,
            excludes: Vec::new(),
            includes: Vec::new(),
            max_cells: usize::try_from(max_cells).unwrap_or(usize::MAX),
            seeds,
        };
        spec.check_axes(grid);
        for item in grid.list("exclude").unwrap_or_default() {
            spec.excludes.extend(spec.clone().pattern(&item, false));
        }
        for item in grid.list("include").unwrap_or_default() {
            let pattern = spec.pattern(&item, true);
            spec.includes.extend(pattern);
        }
        spec
    }

    /// Refuses axes that stand twice, and values that do.
    fn check_axes(&self, grid: &Table<'_>) {
        let mut names = BTreeSet::new();
        let mut targets: Vec<&Target> = Vec::new();
        for axis in self.axes() {
            let name = &axis.name;
            let twice = axis.target != Target::Variable && targets.contains(&&axis.target);
            if !names.insert(name) || twice {
                grid.fault(format!("two axes go over `{name}`"), Some("leave one out".to_owned()));
            }
            targets.push(&axis.target);
        }
    }

    /// Reads which values a table names. Those that an axis does not have are added to it when
    /// they may be.
    fn pattern(&mut self, item: &Item<'_>, may_add: bool) -> Option<Pattern> {
        let mut table = item.table()?;
        let mut terms = Vec::new();
        for (key, item) in leaves(&mut table, &|item| !item.is_table()) {
            let Some(place) = self.place_of(&key) else {
                let names: Vec<&str> = self.axes().map(|axis| axis.name.as_str()).collect();
                let hint = did_you_mean(&key, &names);
                item.fault(format!("the grid has no axis `{key}`"), Some(hint));
                continue;
            };
            let items = if item.is_list() { item.list()? } else { vec![item.clone()] };
            if items.is_empty() {
                item.fault(format!("no values of `{key}`"), None);
            }
            let alone = self.is_alone(place);
            let axis = self.axis_mut(place);
            let mut values = Vec::new();
            for item in items {
                values.extend(axis.values_of(&item, may_add && alone));
            }
            terms.push((place, values));
        }
        table.close();
        if terms.is_empty() {
            item.fault("a pattern without axes", None);
        }
        Some(Pattern { terms, place: item.value() })
    }

    /// Returns the place of an axis, by its name or by what it stands for.
    fn place_of(&self, key: &str) -> Option<usize> {
        let named = match key {
            "config" => Some(Target::Config),
            "algorithm" => Some(Target::Algorithm),
            "rate" => Some(Target::Rate),
            _ => None,
        };
        self.axes().position(|axis| axis.name == key || Some(&axis.target) == named.as_ref())
    }

    /// Returns whether an axis goes on by itself. Zipped ones take no further values.
    fn is_alone(&self, place: usize) -> bool {
        let of = self.dimensions.iter().flat_map(|own| own.axes.iter().map(|_| own.axes.len()));
        of.into_iter().nth(place) == Some(1)
    }

    fn axis_mut(&mut self, place: usize) -> &mut Axis {
        let mut axes = self.dimensions.iter_mut().flat_map(|dimension| &mut dimension.axes);
        axes.nth(place).expect("the place of an axis")
    }
}

impl Axis {
    /// Returns the places of a value, which is added when the axis does not have it and may.
    fn values_of(&mut self, item: &Item<'_>, may_add: bool) -> Vec<usize> {
        let value = item.value();
        let scalar = value.scalar();
        let fits = |own: &AxisValue| {
            let algorithm = || match (&self.target, &own.coordinate, &scalar) {
                (Target::Algorithm, Scalar::Text(label), Some(Scalar::Text(name))) => {
                    label.split('(').next() == Some(name.as_str())
                }
                _ => false,
            };
            scalar.as_ref().is_some_and(|scalar| same(&own.coordinate, scalar)) || algorithm()
        };
        let found: Vec<usize> =
            (0..self.values.len()).filter(|at| fits(&self.values[*at])).collect();
        if !found.is_empty() {
            return found;
        }
        let added = match (&self.target, &scalar) {
            _ if !may_add => None,
            (Target::Config, _) => None,
            (Target::Algorithm, _) => algorithm_value(item),
            (Target::Rate, _) => {
                let Some(rate) = item.real(Bounds::Between(1e-6, 1e9)) else { return Vec::new() };
                let coordinate = Scalar::Real(rate);
                value.with(&coordinate).map(|value| AxisValue { value, coordinate })
            }
            (_, Some(scalar)) => Some(AxisValue { value, coordinate: scalar.clone() }),
            (_, None) => None,
        };
        let Some(added) = added else {
            let own: Vec<String> =
                self.values.iter().map(|value| value.coordinate.to_string()).collect();
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            let shown = scalar.map_or_else(|| "this value".to_owned(), |value| value.to_string());
            let hint = (own.len() <= 20).then(|| did_you_mean(&shown, &own));
            item.fault(format!("axis `{}` does not have {shown}", self.name), hint);
            return Vec::new();
        };
        self.values.push(added);
        vec![self.values.len() - 1]
    }
}

/// Whether two values are the same, a whole number as good as a real one.
fn same(a: &Scalar, b: &Scalar) -> bool {
    match (a, b) {
        (Scalar::Whole(whole), Scalar::Real(real)) | (Scalar::Real(real), Scalar::Whole(whole)) => {
            (*whole as f64).to_bits() == real.to_bits()
        }
        _ => a == b,
    }
}

/// Goes through a table of dotted keys, as `a.b = 1` and as `"a.b" = 1`, down to the leaves.
pub(super) fn leaves<'d>(
    table: &mut Table<'d>,
    is_leaf: &dyn Fn(&Item<'d>) -> bool,
) -> Vec<(String, Item<'d>)> {
    let mut found = Vec::new();
    for key in table.keys() {
        let Some(item) = table.item(&key) else { continue };
        if is_leaf(&item) || !item.is_table() {
            found.push((key, item));
            continue;
        }
        let Some(mut inner) = item.table() else { continue };
        for (below, item) in leaves(&mut inner, is_leaf) {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            let quoted = inner.keys().contains(&below) && !below.chars().all(plain);
            let below = if quoted { format!("\"{below}\"") } else { below };
            found.push((format!("{key}.{below}"), item));
        }
    }
    found
}

/// Whether a value makes an axis: a list, or a table that says which values.
fn is_axis(item: &Item<'_>) -> bool {
    let words = item.is_table().then(|| item.table().map(|table| table.keys())).flatten();
    words.is_none_or(|words| {
        words.is_empty() || words.iter().any(|word| KINDS.contains(&word.as_str()))
    })
}

fn read_axes(grid: &mut Table<'_>, dimensions: &mut Vec<Dimension>) {
    let Some(mut table) = grid.table("axes") else { return };
    for (key, item) in leaves(&mut table, &is_axis) {
        if let Some(axis) = Axis::read(&key, &item) {
            let values = checked(&item, axis.values.clone());
            distinct(&item, names(&values));
            dimensions.push(Dimension { axes: vec![axis], len: values.len() });
        }
    }
}

fn read_zips(grid: &mut Table<'_>, dimensions: &mut Vec<Dimension>) {
    for item in grid.list("zip").unwrap_or_default() {
        let Some(mut table) = item.table() else { continue };
        let mut axes = Vec::new();
        for (key, item) in leaves(&mut table, &is_axis) {
            if let Some(axis) = Axis::read(&key, &item) {
                if axis.when.is_some() {
                    let hint = "give it to all, as an axis of its own".to_owned();
                    item.fault("one of zipped axes can't have a `when`", Some(hint));
                }
                checked(&item, axis.values.clone());
                axes.push(axis);
            }
        }
        let lens: Vec<usize> = axes.iter().map(|axis| axis.values.len()).collect();
        let len = lens.first().copied().unwrap_or(0);
        if axes.len() < 2 || lens.iter().any(|own| *own != len) {
            let shown: Vec<String> =
                axes.iter().map(|axis| format!("{} of {}", axis.values.len(), axis.name)).collect();
            let message = format!("zipped axes go on together: {}", shown.join(", "));
            item.fault(message, Some("give two or more axes as many values each".to_owned()));
        }
        dimensions.push(Dimension { axes, len });
    }
}

/// Reads one of the axes with a name of their own; none when a zip has it.
fn named_axis(
    grid: &mut Table<'_>,
    key: &str,
    zipped: &dyn Fn(&Target) -> bool,
    target: Target,
    read: impl FnOnce(&Item<'_>) -> Option<Vec<AxisValue>>,
) -> Option<Dimension> {
    let Some(item) = grid.item(key) else {
        if !zipped(&target) {
            grid.fault(format!("[grid] has no `{key}`"), None);
        }
        return None;
    };
    if zipped(&target) {
        let message = format!("`{key}` stand in a zip, and by themselves");
        item.fault(message, Some("leave one out".to_owned()));
    }
    let values = read(&item).map(|values| checked(&item, values)).unwrap_or_default();
    distinct(&item, names(&values));
    let len = values.len();
    let name = match target {
        Target::Config => "config",
        Target::Algorithm => "algorithm",
        _ => "rate",
    };
    Some(Dimension { axes: vec![Axis::named(name, target, values, &item)], len })
}

/// Refuses an axis without values, or with too many.
fn checked<T>(item: &Item<'_>, values: Vec<T>) -> Vec<T> {
    // Values that were refused have had their fault.
    let is_empty =
        |item: &Item<'_>| item.is_list() && item.list().is_some_and(|items| items.is_empty());
    let of_table = item.is_table().then(|| item.table()).flatten().is_some_and(|mut table| {
        ["values", "files"].iter().any(|key| table.item(key).is_some_and(|item| is_empty(&item)))
    });
    let none_given = is_empty(item) || of_table;
    let path = item.path();
    if values.is_empty() && none_given {
        item.fault(format!("`{path}` is empty: the grid would have no run"), None);
    }
    if values.len() > LONGEST_AXIS {
        item.fault(format!("`{path}` has {} values, at most {LONGEST_AXIS}", values.len()), None);
    }
    values
}

/// Reports values that stand twice: their cells would be the same.
fn distinct(item: &Item<'_>, values: impl Iterator<Item = String>) {
    let mut seen = BTreeSet::new();
    for value in values {
        if !seen.insert(value.clone()) {
            item.fault(format!("`{}` has {value} twice", item.path()), None);
        }
    }
}

fn names(values: &[AxisValue]) -> impl Iterator<Item = String> {
    values.iter().map(|value| value.coordinate.to_string())
}

fn read_configs(item: &Item<'_>) -> Option<Vec<AxisValue>> {
    let mut configs = Vec::new();
    for item in item.list()? {
        if let Some(pattern) = item.text() {
            configs.extend(config_paths(&item, &item.value(), &pattern));
        }
    }
    Some(configs)
}

fn read_algorithms(item: &Item<'_>) -> Option<Vec<AxisValue>> {
    if item.is_list() {
        return Some(item.list()?.iter().filter_map(algorithm_value).collect());
    }
    if item.is_text() && item.text()? == "all" {
        let place = item.value();
        let named = |spec: AlgorithmSpec| {
            let coordinate = Scalar::Text(spec.name().to_owned());
            Some(AxisValue { value: place.with(&coordinate)?, coordinate })
        };
        return Some(AlgorithmSpec::all().into_iter().filter_map(named).collect());
    }
    item.wrong("\"all\" or a list of algorithms");
    None
}

pub(super) fn read_seeds(item: &Item<'_>, first: u64) -> Option<Vec<u64>> {
    if item.is_list() {
        return Some(item.list()?.iter().filter_map(|item| item.whole(0..=1 << 53)).collect());
    }
    let count = item.whole(1..=LONGEST_AXIS as u64)?;
    Some((first..first + count).collect())
}

/// Reads one expression or a list of them, which must all hold.
fn read_constraints(grid: &mut Table<'_>) -> Vec<Condition> {
    let Some(item) = grid.item("constraint") else { return Vec::new() };
    if !item.is_list() {
        return Condition::read(&item).into_iter().collect();
    }
    let items = item.list().unwrap_or_default();
    if items.is_empty() {
        item.fault("`grid.constraint` is empty", Some("leave it out".to_owned()));
    }
    items.iter().filter_map(Condition::read).collect()
}
