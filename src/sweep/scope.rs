//! What expressions of a manifest can name.

use crate::document::{Scalar, Value};

use super::manifest::{Axis, ConfigFile, Manifest, Target};

/// A point of a grid: by axis the place of its value, [`ABSENT`] where the axis does not apply.
pub(super) type Point = Vec<u32>;

/// The place on an axis that does not apply.
pub(super) const ABSENT: u32 = u32::MAX;

/// One point of a grid, as expressions see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) axes: &'a [&'a Axis],
    pub(super) point: &'a [u32],
    /// Keys that follow from others, as far as they are known.
    pub(super) derived: &'a [Scalar],
}

impl<'a> Scope<'a> {
    /// Returns the value of a name: a key that was derived, an axis, a key of `[set]`, or one that is
    /// written in the config or the manifest; none when it is nowhere.
    pub(super) fn value(&self, name: &str) -> Option<Scalar> {
        let derived = self.manifest.derive.iter().zip(self.derived);
        if let Some((_, value)) = derived.rev().find(|(derived, _)| derived.name() == name) {
            return Some(value.clone());
        }
        if let Some(at) = self.axes.iter().position(|axis| axis.is_called(name)) {
            let coordinate = self.coordinate(at);
            return Some(match (&self.axes[at].target, coordinate) {
                // The label of an algorithm has its parameters, which are names of their own.
                (Target::Algorithm, Scalar::Text(label)) => {
                    Scalar::Text(label.split('(').next().unwrap_or_default().to_owned())
                }
                (_, coordinate) => coordinate,
            });
        }
        if let Some(setter) =
            self.manifest.set.iter().rev().find(|setter| setter.path.as_deref() == Some(name))
        {
            return setter.value.scalar();
        }
        self.written(name)
    }

    /// Returns all names that have a value, for who has misspelt one.
    pub(super) fn names(&self) -> Vec<String> {
        let derived = self.manifest.derive.iter().zip(self.derived);
        let mut names: Vec<String> = derived.map(|(own, _)| own.name().to_owned()).collect();
        names.extend(self.axes.iter().map(|axis| axis.name.clone()));
        names.extend(self.axes.iter().filter_map(|axis| axis.path.clone()));
        names.extend(self.manifest.set.iter().filter_map(|setter| setter.path.clone()));
        let mut written = |root: &str, value: &Value| {
            names.extend(value.leaves().into_iter().map(|(path, _)| format!("{root}{path}")));
        };
        written("workload.", &self.manifest.workload);
        if let Some(slo) = &self.manifest.slo {
            written("slo.", slo);
        }
        if let Some(config) = self.config() {
            written("", &config.document.whole());
        }
        names
    }

    /// Returns what the config or the manifest says of a key.
    fn written(&self, name: &str) -> Option<Scalar> {
        let path: Vec<String> = name.split('.').map(str::to_owned).collect();
        let below = |root: &Value| root.get(&path[1..])?.scalar();
        match (path[0].as_str(), &self.manifest.slo) {
            ("rate", _) if path.len() == 1 => Some(Scalar::Null),
            ("workload", _) => below(&self.manifest.workload),
            ("slo", Some(slo)) => below(slo),
            _ => self.config()?.document.get(&path)?.scalar(),
        }
    }

    /// Returns the value of an axis; null where it does not apply.
    pub(super) fn coordinate(&self, axis: usize) -> Scalar {
        match self.point[axis] {
            ABSENT => Scalar::Null,
            // An axis whose values were all refused has none.
            at => {
                let value = self.axes[axis].values.get(at as usize);
                value.map_or(Scalar::Null, |value| value.coordinate.clone())
            }
        }
    }

    /// Returns the config of the point.
    pub(super) fn config(&self) -> Option<&'a ConfigFile> {
        let at = self.axes.iter().position(|axis| axis.target == Target::Config)?;
        let Scalar::Text(name) = self.coordinate(at) else { return None };
        self.manifest.configs.iter().find(|config| config.name == name)
    }
}
