//! Variants of configs and workloads: what cells have in common.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cluster::ClusterSpec;
use crate::document::{Blocked, Document, Fault, FaultSet, Faults, ON_COMMAND_LINE, Scalar, Value};
use crate::metrics::SloSpec;
use crate::router::AlgorithmSpec;
use crate::scenario::Config;
use crate::tables::CellKey;
use crate::workload::Warmup;

use super::expand::derived;
use super::manifest::{Axis, ConfigFile, Manifest, Target, WorkloadSpec};
use super::scope::{ABSENT, Scope};

/// A config with all that is set in it: the fleet and the objectives of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Name of the config.
    pub config: String,
    /// Its file.
    pub path: PathBuf,
    /// The fleet.
    pub cluster: ClusterSpec,
    /// The objectives.
    pub slo: SloSpec,
    /// The warm-up, where the workload has none.
    pub warmup: Warmup,
}

/// A point of a grid, resolved.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    pub(super) setting: Arc<Setting>,
    /// Which of the workloads.
    pub(super) workload: usize,
    /// The warm-up that holds.
    pub(super) warmup: Warmup,
    pub(super) key: Arc<CellKey>,
}

/// Points for which keys can't be derived, after which why is not told of another.
const MOST_UNDERIVED: usize = 10_000;

/// Resolves points, each variant of a config, a workload and an algorithm once.
#[derive(Debug)]
pub(super) struct Resolver<'m> {
    manifest: &'m Manifest,
    /// Names of the axes that are columns of the tables, of all grids.
    columns: Vec<String>,
    /// By the places and values that they depend on, and by what they are.
    settings: BTreeMap<String, Option<Arc<Setting>>>,
    distinct_settings: BTreeMap<String, Arc<Setting>>,
    workloads: BTreeMap<String, Option<usize>>,
    distinct_workloads: Vec<WorkloadSpec>,
    /// Places among these, by what they are.
    places_of_workloads: BTreeMap<String, usize>,
    algorithms: BTreeMap<String, Arc<AlgorithmSpec>>,
    faults: FaultSet,
    /// Points for which keys can't be derived.
    underived: usize,
}

impl<'m> Resolver<'m> {
    pub(super) fn new(manifest: &'m Manifest, columns: Vec<String>) -> Self {
        Self {
            manifest,
            columns,
            settings: BTreeMap::new(),
            distinct_settings: BTreeMap::new(),
            workloads: BTreeMap::new(),
            distinct_workloads: Vec::new(),
            places_of_workloads: BTreeMap::new(),
            algorithms: BTreeMap::new(),
            faults: FaultSet::default(),
            underived: 0,
        }
    }

    /// Returns the workloads, and everything that was wrong.
    pub(super) fn finish(self) -> (Vec<WorkloadSpec>, FaultSet) {
        (self.distinct_workloads, self.faults)
    }

    /// Resolves a point of a grid; none when something is wrong with it, which
    /// [`finish`](Self::finish) tells.
    pub(super) fn resolve(
        &mut self,
        grid: usize,
        axes: &[&Axis],
        point: &[u32],
    ) -> Option<Resolved> {
        let bare = Scope { manifest: self.manifest, axes, point, derived: &[] };
        let derived = match derived(bare) {
            Ok(derived) => derived,
            Err(_) if self.underived >= MOST_UNDERIVED => return None,
            Err(faults) => {
                self.underived += 1;
                self.look_at_rest(grid, bare);
                return self.refuse(faults.faults);
            }
        };
        let scope = Scope { derived: &derived, ..bare };
        // All of them before the first that fails ends it: faults are told together.
        let setting = self.setting(grid, scope);
        let workload = self.workload(grid, scope);
        let algorithm = self.algorithm(scope);
        let rate_rps = match self.rate(scope) {
            Ok(rate) => rate,
            Err(fault) => return self.refuse([*fault]),
        };
        let (setting, workload, algorithm) = (setting?, workload?, algorithm?);
        let coordinates: Vec<Scalar> =
            self.columns.iter().map(|name| scope.value(name).unwrap_or(Scalar::Null)).collect();
        let mut key = CellKey {
            config: setting.config.clone(),
            algorithm,
            rate_rps,
            coordinates: coordinates.into(),
            label: String::new(),
        };
        key.label = self.label(&key, scope)?;
        let warmup = self.distinct_workloads[workload].warmup.unwrap_or(setting.warmup);
        Some(Resolved { setting, workload, warmup, key: Arc::new(key) })
    }

    /// Tells what is wrong with the values of a point for which keys can't be derived, where none of
    /// those would stand beside them.
    fn look_at_rest(&mut self, grid: usize, scope: Scope<'_>) {
        let derive = &self.manifest.derive;
        let is_free = |of: fn(&Target) -> bool| !derive.iter().any(|derived| of(&derived.target));
        if is_free(|target| matches!(target, Target::OfConfig(_))) {
            self.setting(grid, scope);
        }
        if is_free(|target| matches!(target, Target::OfWorkload(_))) {
            self.workload(grid, scope);
        }
        if is_free(|target| matches!(target, Target::OfAlgorithm(_))) {
            self.algorithm(scope);
        }
    }

    fn refuse<T>(&mut self, faults: impl IntoIterator<Item = Fault>) -> Option<T> {
        self.faults.extend(faults);
        None
    }

    fn setting(&mut self, grid: usize, scope: Scope<'_>) -> Option<Arc<Setting>> {
        let config = scope.config()?;
        let key = depends_on(grid, scope, |target| {
            matches!(target, Target::OfConfig(_) | Target::Config)
        });
        if let Some(known) = self.settings.get(&key) {
            return known.clone();
        }
        let made = self.make_setting(config, scope);
        let setting = self.faults.settle(made).map(|setting| {
            let distinct = self.distinct_settings.entry(format!("{setting:?}"));
            Arc::clone(distinct.or_insert_with(|| Arc::new(setting)))
        });
        self.settings.insert(key, setting.clone());
        setting
    }

    fn make_setting(&self, file: &ConfigFile, scope: Scope<'_>) -> Result<Setting, Faults> {
        let mut document = file.document.clone();
        let mut faults = FaultSet::default();
        if let Some(slo) = &self.manifest.slo {
            put(&mut document, &["slo".to_owned()], slo, &mut faults);
        }
        each_value(scope, |target, value, _| {
            if let Target::OfConfig(path) = target {
                put(&mut document, path, value, &mut faults);
            }
        });
        let config = faults.settle(Config::of(&document));
        faults.finish(document.label())?;
        let config = config.expect("a config without faults is read");
        Ok(Setting {
            config: file.name.clone(),
            path: file.path.clone(),
            cluster: config.cluster,
            slo: config.slo,
            warmup: config.warmup,
        })
    }

    fn workload(&mut self, grid: usize, scope: Scope<'_>) -> Option<usize> {
        let key = depends_on(grid, scope, |target| matches!(target, Target::OfWorkload(_)));
        if let Some(known) = self.workloads.get(&key) {
            return *known;
        }
        let mut document = Document::of("workload", self.manifest.workload.clone());
        let mut path = vec!["workload".to_owned()];
        each_value(scope, |target, value, _| {
            let Target::OfWorkload(below) = target else { return };
            path.truncate(1);
            path.extend_from_slice(below);
            put(&mut document, &path, value, &mut self.faults);
        });
        let made = document.settle(|root| root.section("workload", WorkloadSpec::read).flatten());
        let at = self.faults.settle(made).map(|spec| {
            let next = self.distinct_workloads.len();
            let at = *self.places_of_workloads.entry(format!("{spec:?}")).or_insert(next);
            if at == next {
                self.distinct_workloads.push(spec);
            }
            at
        });
        self.workloads.insert(key, at);
        at
    }

    fn algorithm(&mut self, scope: Scope<'_>) -> Option<Arc<AlgorithmSpec>> {
        let at = scope.axes.iter().position(|axis| axis.target == Target::Algorithm)?;
        let place = usize::try_from(scope.point[at]).ok()?;
        let value = &scope.axes[at].values.get(place)?.value;
        let name = scope.value("algorithm").unwrap_or(Scalar::Null).to_string();
        let mut document = Document::of("algorithm", value.clone());
        let mut fits = true;
        each_value(scope, |target, value, origin| {
            let Target::OfAlgorithm(parameter) = target else { return };
            let path = ["algorithm".to_owned(), parameter.clone()];
            let is_asked_for = value.label().starts_with(ON_COMMAND_LINE);
            if origin == Origin::Set && document.get(&path).is_some() && !is_asked_for {
                // What the algorithm's own entry says comes after `[set]`, and before `--set`.
                return;
            }
            if !has_parameter(&name, parameter) {
                let hint = "give the axis a `when`, such as \"algorithm == 'prefix_aware'\"";
                let message = format!("`{name}` has no `{parameter}`");
                self.faults.add(value.fault(message, Some(hint.to_owned())));
                fits = false;
                return;
            }
            name_in_table(&mut document);
            put(&mut document, &path, value, &mut self.faults);
        });
        let made = document.settle(|root| AlgorithmSpec::read(&root.item("algorithm")?));
        let spec = self.faults.settle(made).filter(|_| fits)?;
        let known = self.algorithms.entry(spec.label());
        Some(Arc::clone(known.or_insert_with(|| Arc::new(spec))))
    }

    /// Returns the rate of a point; none to replay a trace at its own.
    fn rate(&self, scope: Scope<'_>) -> Result<Option<f64>, Box<Fault>> {
        let derived = self.manifest.derive.iter().zip(scope.derived);
        let mut rates = derived.filter(|(derived, _)| derived.target == Target::Rate);
        let Some((derived, value)) = rates.next_back() else {
            return Ok(match scope.value("rate") {
                Some(Scalar::Real(rate)) => Some(rate),
                _ => None,
            });
        };
        let rate = match value {
            Scalar::Null => return Ok(None),
            Scalar::Real(rate) => *rate,
            Scalar::Whole(rate) => *rate as f64,
            Scalar::Truth(_) | Scalar::Text(_) => f64::NAN,
        };
        if (1e-6..=1e9).contains(&rate) {
            return Ok(Some(rate));
        }
        let message = format!("the rate of a cell is {value}, expected 0.000001 to 1000000000");
        Err(Box::new(derived.condition.place().fault(message, None)))
    }

    /// Returns what people call a cell: as the manifest says, else by what it is.
    fn label(&mut self, key: &CellKey, scope: Scope<'_>) -> Option<String> {
        let Some((template, place)) = &self.manifest.label else {
            return Some(key.own_label(&self.columns));
        };
        let mut label = String::new();
        let mut rest = template.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, tail)) = after.split_once('}') else { break };
            label.push_str(before);
            let value = match name {
                "algorithm" => Some(Scalar::Text(key.algorithm.label())),
                name => scope.value(name),
            };
            let Some(value) = value else {
                let hint = "names of axes, or keys that are written in the config".to_owned();
                let fault = place.fault(format!("`{{{name}}}` has no value"), Some(hint));
                return self.refuse([fault]);
            };
            label.push_str(&value.to_string());
            rest = tail;
        }
        label.push_str(rest);
        Some(label)
    }
}

fn has_parameter(algorithm: &str, parameter: &str) -> bool {
    let spec = AlgorithmSpec::by_name(algorithm);
    spec.is_ok_and(|spec| spec.parameters().iter().any(|(own, _)| *own == parameter))
}

impl Manifest {
    /// Refuses a warm-up of configs that one of the workload replaces.
    pub(super) fn check_warmups(&self, workloads: &[WorkloadSpec]) -> Result<(), Faults> {
        if workloads.iter().all(|workload| workload.warmup.is_none()) {
            return Ok(());
        }
        let axes = self.grids.iter().flat_map(super::manifest::GridSpec::axes);
        let axes = axes.map(|axis| (&axis.target, &axis.place));
        let set = self.set.iter().map(|setter| (&setter.target, &setter.value));
        let derived = self.derive.iter().map(|own| (&own.target, own.condition.place()));
        for (target, place) in axes.chain(set).chain(derived) {
            if matches!(target, Target::OfConfig(path) if path[0] == "simulation") {
                let message = "the warm-up of [workload] replaces those of configs".to_owned();
                let hint = "leave one out, or use `workload.warmup_s`".to_owned();
                return Err(place.refuse(message, Some(hint)));
            }
        }
        Ok(())
    }
}

/// Makes the document of an algorithm a table, to which parameters can be added.
fn name_in_table(document: &mut Document) {
    let path = ["algorithm".to_owned(), "name".to_owned()];
    if let Some(name) = document.get(&path[..1]).filter(|value| value.scalar().is_some()) {
        let table = Value::table(vec![("name", name)]);
        document.set(&path[..1], table).expect("the root of a document is a table");
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Set,
    Axis,
    Derived,
}

/// Calls `each` with every value that is put into a config, a workload or an algorithm: those of
/// `[set]`, then of axes, then of `[derive]`.
fn each_value(scope: Scope<'_>, mut each: impl FnMut(&Target, &Value, Origin)) {
    // A parameter that is set for all is set for the algorithms that have it.
    let applies = |target: &Target| {
        let Target::OfAlgorithm(parameter) = target else { return true };
        has_parameter(&scope.value("algorithm").unwrap_or(Scalar::Null).to_string(), parameter)
    };
    for setter in &scope.manifest.set {
        if applies(&setter.target) {
            each(&setter.target, &setter.value, Origin::Set);
        }
    }
    for (axis, at) in scope.axes.iter().zip(scope.point) {
        if *at != ABSENT {
            each(&axis.target, &axis.values[*at as usize].value, Origin::Axis);
        }
    }
    for (derived, value) in scope.manifest.derive.iter().zip(scope.derived) {
        let value = derived.condition.place().with(value).filter(|_| applies(&derived.target));
        if let Some(value) = value {
            each(&derived.target, &value, Origin::Derived);
        }
    }
}

/// Returns a text that is the same for points with the same values of certain keys.
fn depends_on(grid: usize, scope: Scope<'_>, of: impl Fn(&Target) -> bool) -> String {
    let mut key = grid.to_string();
    for (axis, at) in scope.axes.iter().zip(scope.point) {
        if of(&axis.target) {
            key.push('/');
            key.push_str(&at.to_string());
        }
    }
    for (derived, value) in scope.manifest.derive.iter().zip(scope.derived) {
        if of(&derived.target) {
            write!(key, "/{value:?}").expect("a string takes all");
        }
    }
    key
}

fn put(document: &mut Document, path: &[String], value: &Value, faults: &mut FaultSet) {
    if let Err(Blocked(key)) = document.set(path, value.clone()) {
        let message = format!("`{key}` is no table, so it has no `{}`", path.join("."));
        faults.add(value.fault(message, None));
    }
}
