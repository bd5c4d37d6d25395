//! The manifest of a sweep.

mod axis;
mod condition;
mod grid_spec;
mod load;
mod target;
#[cfg(test)]
mod tests;
mod unset;
mod workload;

pub use workload::{Source, WorkloadSpec};

pub(super) use axis::{Axis, Dimension};
pub(super) use condition::Condition;
pub(super) use grid_spec::{GridSpec, Pattern};
pub(super) use target::Target;

use std::path::{Path, PathBuf};

use rustc_hash::FxHashSet;

use crate::document::{Document, Faults, Item, Table, Value, did_you_mean};
use crate::gate::GateSpec;
use crate::metrics::Keep;
use crate::scenario::ConfigError;
use crate::sweep::capacity::{CapacitySpec, FEWEST_SEEDS};
use crate::sweep::compare_spec::CompareSpec;
use crate::sweep::output_spec::read_output;
use crate::sweep::run_spec::ExecutionSpec;
use crate::sweep::statistics_spec::StatisticsSpec;

use grid_spec::leaves;

/// The most values that one axis may have.
const LONGEST_AXIS: usize = 100_000;
/// The most runs that a sweep may have: each keeps a row in memory until the end.
pub(super) const MOST_RUNS: usize = 4_000_000;

/// A manifest file, read, with the configs it names: what it expands to is a
/// [`Grid`](super::Grid).
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Name of the sweep and of its folder of results.
    pub name: String,
    /// Configs, each once, in the order in which they are named.
    pub configs: Vec<ConfigFile>,
    /// Seeds: all that a cell may have.
    pub seeds: Vec<u64>,
    /// How many of them every cell has, or, where seeds are added, begins with.
    pub first_seeds: usize,
    /// What is searched for, if anything.
    pub capacity: Option<CapacitySpec>,
    /// How its runs are executed.
    pub execution: ExecutionSpec,
    /// What is kept of a run beside its numbers.
    pub output: Keep,
    /// How a check judges its results.
    pub gate: GateSpec,
    /// How sure its numbers are to be, and how that is told.
    pub statistics: StatisticsSpec,
    /// Which cells are compared, if any are.
    pub compare: Option<CompareSpec>,
    /// The text it was read from; keys that were set from outside follow as comments.
    pub text: String,
    /// The manifests that it extends, one after another.
    pub bases: Vec<ManifestFile>,
    /// What faults call the file.
    pub(super) file: String,
    /// Grids whose cells come one after another.
    pub(super) grids: Vec<GridSpec>,
    /// Keys that are set for all cells, in the order of the file.
    pub(super) set: Vec<Setter>,
    /// Keys that follow from others, in the order of the file.
    pub(super) derive: Vec<Derived>,
    /// What cells are called, with `{name}` for the values of axes.
    pub(super) label: Option<(String, Value)>,
    /// The `[workload]` and the `[slo]` as they are written; keys are put into them cell by cell.
    pub(super) workload: Value,
    pub(super) slo: Option<Value>,
}

/// A manifest that another one extends.
#[derive(Clone, Debug)]
pub struct ManifestFile {
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// A config of a manifest, as it is written.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// The file's name without its ending: the value of the axis.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub document: Document,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Setter {
    pub(super) key: String,
    pub(super) path: Option<String>,
    pub(super) target: Target,
    pub(super) value: Value,
}

/// A key and the expression that gives its value.
#[derive(Clone, Debug)]
pub(super) struct Derived {
    pub(super) key: String,
    pub(super) path: Option<String>,
    pub(super) target: Target,
    pub(super) condition: Condition,
}

impl Manifest {
    /// Returns the files that axes name by `files` or `glob`, each once, in the order of the axes.
    pub fn files_of_axes(&self) -> Vec<&Path> {
        let mut seen = FxHashSet::default();
        let files = self.grids.iter().flat_map(GridSpec::axes).flat_map(|axis| &axis.files);
        files.map(PathBuf::as_path).filter(|file| seen.insert(*file)).collect()
    }
}

impl Derived {
    /// Returns what expressions call it.
    pub(super) fn name(&self) -> &str {
        self.path.as_deref().unwrap_or(&self.key)
    }
}

/// A manifest that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The manifest can't be read, or it or what it names says something that can't be.
    #[error(transparent)]
    File(#[from] ConfigError),
}

impl From<Faults> for ManifestError {
    fn from(faults: Faults) -> Self {
        Self::File(ConfigError::Faults(faults))
    }
}

/// A manifest whose configs are still paths.
struct Read {
    name: String,
    seeds: Vec<u64>,
    first_seeds: usize,
    capacity: Option<CapacitySpec>,
    grids: Vec<GridSpec>,
    set: Vec<Setter>,
    derive: Vec<Derived>,
    label: Option<(String, Value)>,
    execution: ExecutionSpec,
    output: Keep,
    gate: GateSpec,
    statistics: StatisticsSpec,
    compare: Option<CompareSpec>,
}

/// Reads everything but the configs and the workload. Where something is wrong, it stands without
/// that.
fn read(root: &mut Table<'_>) -> Read {
    let hint = "this version reads `schema = 1`".to_owned();
    match root.whole("schema", 0..=u64::MAX) {
        Some(1) => {}
        Some(other) => root.fault_at("schema", format!("`schema` is {other}"), Some(hint)),
        None if root.has("schema") => {}
        None => root.fault("no `schema`", Some(hint)),
    }
    root.has("extends");
    root.has("unset");
    let name = read_name(root);
    let seed = root.whole("seed", 0..=1 << 53).unwrap_or(42);
    let label = root.item("label").and_then(|item| Some((item.text()?, item.value())));
    let set = read_set(root);
    let derive = read_derive(root);
    let derives_rate = derive.iter().any(|derived| derived.target == Target::Rate);
    let grids = read_grids(root, seed);
    check_written(root, &grids, &set, &derive);
    let has_rates = grids.iter().all(|grid| grid.axes().any(|axis| axis.target == Target::Rate));
    check_once(root, &grids, &set, &derive);
    check_whens(root, &grids, &derive);
    let generated = root.table("workload").is_some_and(|mut table| table.has("generator"));
    if generated && !has_rates && !derives_rate {
        root.fault("a generator needs `rates`", Some("add them to [grid]".into()));
    }
    let execution = root.section("run", ExecutionSpec::read).unwrap_or_default();
    let output = root.section("output", read_output).unwrap_or_default();
    let gate = root.section("gate", GateSpec::read).unwrap_or_default();
    let mut seeds = read_common_seeds(root, &grids);
    let first_seeds = seeds.len();
    let statistics = root.section("statistics", |own| StatisticsSpec::read(own, first_seeds));
    let statistics = statistics.unwrap_or_default();
    let place = root.item("compare").map(|item| item.value());
    let compare =
        place.and_then(|place| root.section("compare", |own| CompareSpec::read(own, place)));
    let capacity = read_capacity(root, &grids, first_seeds);
    check_added_seeds(root, &statistics, first_seeds);
    let most = capacity.as_ref().map_or(0, |capacity| capacity.max_seeds);
    add_seeds(&mut seeds, most.max(statistics.most_seeds(first_seeds)));
    let name = name.unwrap_or_default();
    Read {
        name,
        seeds,
        first_seeds,
        grids,
        set,
        derive,
        label,
        execution,
        output,
        gate,
        statistics,
        compare,
        capacity,
    }
}

/// Refuses a precision from fewer seeds than an interval takes, and what does not go together with
/// a search, whose cells have seeds of their own.
fn check_added_seeds(root: &mut Table<'_>, statistics: &StatisticsSpec, first_seeds: usize) {
    let has_precision = statistics.precision.is_some();
    if has_precision && (first_seeds as u64) < FEWEST_SEEDS {
        let hint = format!("an interval takes {FEWEST_SEEDS} or more; 10 are usual");
        let message = format!("`precision` with {first_seeds} of `grid.seeds`");
        root.fault_at("statistics", message, Some(hint));
    }
    if root.has("capacity") && has_precision {
        let hint = "leave out `precision`: a search goes by its `relative_width`".to_owned();
        root.fault_at("capacity", "[capacity] and `statistics.precision`", Some(hint));
    }
    if root.has("capacity") && root.has("compare") {
        let hint = "compare the intervals of `capacity`, or leave out one of the two".to_owned();
        root.fault_at("capacity", "[capacity] and [compare]", Some(hint));
    }
}

/// Adds the seeds that follow the largest, until there are so many.
fn add_seeds(seeds: &mut Vec<u64>, most: usize) {
    let next = seeds.iter().max().map_or(0, |last| last + 1);
    seeds.extend((next..).take(most.saturating_sub(seeds.len())));
}

/// Reads what is searched for, along an axis that every grid has.
fn read_capacity(
    root: &mut Table<'_>,
    grids: &[GridSpec],
    first_seeds: usize,
) -> Option<CapacitySpec> {
    let place = root.item("capacity")?.value();
    let capacity = root.section("capacity", |table| CapacitySpec::read(table, place.clone()))?;
    let over = &capacity.over;
    for grid in grids {
        let names: Vec<&str> = grid.axes().map(|axis| axis.name.as_str()).collect();
        if matches!(over.as_str(), "config" | "algorithm") {
            let hint = "numbers go up and down: `rate`, or an axis of [grid.axes]".to_owned();
            root.fault_of(&place, format!("no capacity over `{over}`"), Some(hint));
        } else if !names.contains(&over.as_str()) {
            let hint = match over.as_str() {
                "rate" => "add `rates` to [grid]: the search goes through some of them".to_owned(),
                over => did_you_mean(over, &names),
            };
            root.fault_of(&place, format!("the grid has no axis `{over}`"), Some(hint));
        }
    }
    if !grids.is_empty() && (first_seeds as u64) < FEWEST_SEEDS {
        let hint = format!("an interval takes {FEWEST_SEEDS} or more; 10 are usual");
        let message = format!("[capacity] with {first_seeds} of `grid.seeds`");
        root.fault_of(&place, message, Some(hint));
    }
    if capacity.max_seeds < first_seeds {
        let hint = format!("a search begins with these: {first_seeds} or more");
        let message = format!("`capacity.max_seeds` is below the {first_seeds} of `grid.seeds`");
        root.fault_of(&place, message, Some(hint));
    }
    Some(capacity)
}

/// Reports what is wrong with `[workload]` and `[slo]` as they are written, where no key is put into
/// them: else they are read cell by cell.
fn check_written(root: &mut Table<'_>, grids: &[GridSpec], set: &[Setter], derive: &[Derived]) {
    let axes = grids.iter().flat_map(GridSpec::axes).map(|axis| &axis.target);
    let targets = axes.chain(set.iter().map(|setter| &setter.target));
    let targets: Vec<&Target> = targets.chain(derive.iter().map(|own| &own.target)).collect();
    if !root.has("workload") {
        let hint = "give `trace = \"…\"` or a [workload.generator] table".to_owned();
        root.fault("no [workload] table", Some(hint));
    }
    if !targets.iter().any(|target| matches!(target, Target::OfWorkload(_))) {
        root.section("workload", WorkloadSpec::read);
    }
    let slo = |target: &&&Target| matches!(target, Target::OfConfig(path) if path[0] == "slo");
    if root.has("slo") && !targets.iter().any(|target| slo(&target)) {
        root.section("slo", crate::metrics::SloSpec::read);
    }
}

/// Refuses keys that are set or derived and axes too: one of the values would be lost.
fn check_once(root: &Table<'_>, grids: &[GridSpec], set: &[Setter], derive: &[Derived]) {
    let always = |grid: &GridSpec, target: &Target| {
        grid.axes().any(|axis| axis.target == *target && axis.when.is_none())
    };
    for Setter { key, target, value, .. } in set {
        if !grids.is_empty() && grids.iter().all(|grid| always(grid, target)) {
            let hint = format!("leave one out, or set the axis: --set 'grid.axes.{key}=[…]'");
            root.fault_of(value, format!("`{key}` is set, and an axis"), Some(hint));
        }
    }
    for (at, own) in derive.iter().enumerate() {
        let Derived { key, target, condition, .. } = own;
        let later = |name: &&str| derive[at..].iter().any(|other| other.name() == *name);
        if let Some(name) = condition.expr.names().into_iter().find(|name| later(name)) {
            let hint = "keys are derived one after another: let it stand above".to_owned();
            root.fault_of(condition.place(), format!("`{name}` is not derived yet"), Some(hint));
        }
        let axis_of_name = |grid: &GridSpec| grid.axes().any(|axis| axis.name == *key);
        if *target == Target::Variable && grids.iter().any(axis_of_name) {
            let hint = Some("give it another name".to_owned());
            root.fault_of(condition.place(), format!("{key} is an axis and derived"), hint);
        }
        if *target != Target::Variable && grids.iter().any(|grid| always(grid, target)) {
            let what = if *target == Target::Rate { "the rate" } else { key };
            let hint = "leave out one of the two".to_owned();
            root.fault_of(condition.place(), format!("{what} is an axis and derived"), Some(hint));
        }
    }
}

/// Refuses a `when` that names a key that is derived: axes come first.
fn check_whens(root: &Table<'_>, grids: &[GridSpec], derive: &[Derived]) {
    for when in grids.iter().flat_map(GridSpec::axes).filter_map(|axis| axis.when.as_ref()) {
        for name in when.expr.names() {
            if derive.iter().any(|derived| derived.name() == name) {
                let hint = "name what it is derived from".to_owned();
                let message = format!("`when` names `{name}`, which is derived from axes");
                root.fault_of(when.place(), message, Some(hint));
            }
        }
    }
}

/// Reads the one [grid], or the grids of several.
fn read_grids(root: &mut Table<'_>, seed: u64) -> Vec<GridSpec> {
    let mut grids = Vec::new();
    let read = |table: &mut Table<'_>, name| GridSpec::read(table, name, seed);
    grids.extend(root.section("grid", |grid| read(grid, None)));
    if let Some(mut several) = root.table("grids") {
        for name in several.keys() {
            let own = name.clone();
            grids.extend(several.section(&name, |grid| read(grid, Some(own))));
        }
        if root.has("grid") {
            let hint = "make the [grid] one of [grids]".to_owned();
            root.fault_at("grids", "both [grid] and [grids]", Some(hint));
        }
    }
    if grids.is_empty() && !root.has("grid") {
        root.fault("no [grid] table", Some("it names configs, algorithms, rates, seeds".into()));
    }
    grids
}

/// Returns the seeds of all grids, which must be the same.
fn read_common_seeds(root: &Table<'_>, grids: &[GridSpec]) -> Vec<u64> {
    let seeds = grids.first().map_or(&[][..], |grid| &grid.seeds);
    if let Some(other) = grids.iter().find(|grid| grid.seeds != seeds) {
        let name = other.name.as_deref().unwrap_or("");
        let hint = "cells are compared seed by seed: give every grid the same `seeds`".to_owned();
        root.fault_at("grids", format!("the seeds of `{name}` differ"), Some(hint));
    }
    seeds.to_vec()
}

fn read_name(root: &mut Table<'_>) -> Option<String> {
    let Some(item) = root.item("name") else {
        root.fault("no `name`", Some("results go to results/<name>".into()));
        return None;
    };
    let name = item.text()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        item.wrong("a name of letters, digits, `-`, `_` and `.`");
        return None;
    }
    Some(name)
}

fn read_set(root: &mut Table<'_>) -> Vec<Setter> {
    let Some(mut table) = root.table("set") else { return Vec::new() };
    let setter = |(key, item): (String, Item<'_>)| {
        let target = Target::read(&key, &item)?;
        let hint = match target {
            Target::OfConfig(_) | Target::OfWorkload(_) | Target::OfAlgorithm(_) => None,
            Target::Config | Target::Algorithm | Target::Rate => Some("it is an axis of [grid]"),
            Target::Variable => Some("a key of a config, such as `cluster.num_backends`"),
        };
        if let Some(hint) = hint {
            item.fault(format!("`{key}` can't be set"), Some(hint.to_owned()));
            return None;
        }
        Some(Setter { key, path: target.path(), target, value: item.value() })
    };
    leaves(&mut table, &|item| !item.is_table()).into_iter().filter_map(setter).collect()
}

fn read_derive(root: &mut Table<'_>) -> Vec<Derived> {
    let Some(mut table) = root.table("derive") else { return Vec::new() };
    let derived = |(key, item): (String, Item<'_>)| {
        let target = Target::read(&key, &item)?;
        if matches!(target, Target::Config | Target::Algorithm) {
            item.fault(format!("`{key}` can't follow from others"), None);
            return None;
        }
        Some(Derived { key, path: target.path(), target, condition: Condition::read(&item)? })
    };
    let found = leaves(&mut table, &|item| !item.is_table());
    let mut all: Vec<Derived> = found.into_iter().filter_map(derived).collect();
    // Dotted keys of one table may stand apart; those of one file go in its order.
    if all
        .windows(2)
        .all(|two| two[0].condition.place().label() == two[1].condition.place().label())
    {
        all.sort_by_key(|derived| derived.condition.place().position());
    }
    all
}
