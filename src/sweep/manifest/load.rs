//! From a file to a [`Manifest`].

use std::path::{Path, PathBuf};

use crate::document::{
    Blocked, Document, FaultSet, Faults, ON_COMMAND_LINE, Scalar, Value, key_path,
};
use crate::scenario::ConfigError;

use super::grid_spec::GridSpec;
use super::target::Target;
use super::unset::Unset;
use super::{ConfigFile, Manifest, ManifestError, ManifestFile, read};
use crate::sweep::survey::survey;

/// The longest chain of manifests that extend one another.
const LONGEST_CHAIN: usize = 16;

impl Manifest {
    /// Reads a manifest and the configs it names. Paths are relative to the file they stand in.
    ///
    /// # Errors
    ///
    /// When a file can't be read, or every fault in it: of the manifest, or else of all configs.
    pub fn load(path: &Path) -> Result<Self, ManifestError> {
        Self::load_with(path, &[])
    }

    /// Reads a manifest as [`load`](Self::load) does, with keys that are set from outside, each as
    /// `KEY=VALUE`: those of configs as in `[set]`, all others are the manifest's own. Values are
    /// those of TOML; what is none is a text.
    ///
    /// # Errors
    ///
    /// As for `load`, and when a key is no key.
    pub fn load_with(path: &Path, keys: &[String]) -> Result<Self, ManifestError> {
        let Chain { mut document, mut text, bases, faults } = load_chain(path)?;
        for assignment in keys {
            put(&mut document, assignment)?;
            let line = assignment.replace('\n', " ");
            text.extend(["# --set ", &line, "\n"]);
        }
        let (read, own) = document.examine(read);
        let (configs, missing) = load_configs(&read.grids);
        let mut wrong = faults;
        wrong.append(missing);
        wrong.extend(own);
        let part = |key: &str| document.get(&[key.to_owned()]);
        let (workload, slo) = (part("workload"), part("slo"));
        let manifest = Self {
            name: read.name,
            configs,
            seeds: read.seeds,
            first_seeds: read.first_seeds,
            capacity: read.capacity,
            execution: read.execution,
            output: read.output,
            gate: read.gate,
            statistics: read.statistics,
            compare: read.compare,
            text,
            file: document.label().to_owned(),
            bases,
            grids: read.grids,
            set: read.set,
            derive: read.derive,
            label: read.label,
            workload: workload.unwrap_or_else(some_workload),
            slo,
        };
        if wrong.is_empty() {
            return Ok(manifest);
        }
        survey(manifest, &document.whole(), &mut wrong);
        Err(wrong.all(document.label()).into())
    }
}

/// Stands for the `[workload]` of a manifest that has none.
fn some_workload() -> Value {
    let text = "duration_s = 1\n[generator]\n";
    Document::parse("", text).expect("this is TOML").whole()
}

/// A manifest and those it extends, put together.
struct Chain {
    document: Document,
    /// The text of all.
    text: String,
    bases: Vec<ManifestFile>,
    /// What is wrong with the keys to be taken away.
    faults: FaultSet,
}

/// Reads a manifest and those it extends.
fn load_chain(path: &Path) -> Result<Chain, ManifestError> {
    let document = parse(path)?;
    let text = document.text().to_owned();
    let mut next = base_of(&document)?;
    let mut chain = Chain { document, text, bases: Vec::new(), faults: FaultSet::default() };
    let mut unset = Unset::default();
    unset.read(&chain.document, next.is_some(), &mut chain.faults);
    for _ in 0..LONGEST_CHAIN {
        let Some((place, relative)) = next else {
            unset.finish(&mut chain.faults);
            return Ok(chain);
        };
        let path = Path::new(place.label()).parent().unwrap_or(Path::new("")).join(&relative);
        let mut base = parse(&path).map_err(|error| match error {
            ConfigError::Io { path, source } => {
                let hint = "paths are relative to the file they stand in".to_owned();
                ManifestError::from(place.refuse(format!("{path}: {source}"), Some(hint)))
            }
            error @ ConfigError::Faults(_) => ManifestError::from(error),
        })?;
        chain.text.extend(["\n# extends ", &relative, ":\n"]);
        for line in base.text().lines() {
            chain.text.extend(["# ", line, "\n"]);
        }
        chain.bases.push(ManifestFile { path, text: base.text().to_owned() });
        next = base_of(&base)?;
        unset.take_from(&mut base);
        unset.read(&base, next.is_some(), &mut chain.faults);
        chain.document.extend(&base);
    }
    match next {
        None => {
            unset.finish(&mut chain.faults);
            Ok(chain)
        }
        Some((place, _)) => {
            let message = format!("over {LONGEST_CHAIN} manifests that extend one another");
            Err(place.refuse(message, Some("does one extend itself?".to_owned())).into())
        }
    }
}

fn parse(path: &Path) -> Result<Document, ConfigError> {
    let label = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Io { path: label.clone(), source })?;
    Ok(Document::parse(&label, &text)?)
}

/// Returns the manifest that one extends, and where it says so.
fn base_of(document: &Document) -> Result<Option<(Value, String)>, Faults> {
    let Some(value) = document.get(&["extends".to_owned()]) else { return Ok(None) };
    match value.scalar() {
        Some(Scalar::Text(path)) => Ok(Some((value, path))),
        _ => Err(value.refuse("`extends` is the path of a manifest".to_owned(), None)),
    }
}

/// Puts a key into a manifest that was set from outside.
fn put(document: &mut Document, assignment: &str) -> Result<(), Faults> {
    let label = format!("{ON_COMMAND_LINE}{assignment}");
    let wrong = |message: &str| {
        let hint = "--set KEY=VALUE, such as --set cluster.num_backends=8".to_owned();
        let place = Document::parse(&label, "").map(|document| document.whole())?;
        Err(place.refuse(message.to_owned(), Some(hint)))
    };
    let Some((key, value)) = assignment.split_once('=') else { return wrong("no `=`") };
    let Some(mut path) = key_path(key.trim()) else { return wrong("this is no key") };
    let parsed = Document::parse(&label, &format!("value = {value}"));
    let parsed = parsed.ok().and_then(|document| document.get(&["value".to_owned()]));
    let value = match parsed {
        Some(value) => value,
        None => {
            let place = Document::parse(&label, "").map(|document| document.whole())?;
            place.with(&Scalar::Text(value.trim().to_owned())).expect("a text is a value")
        }
    };
    if matches!(path[0].as_str(), "extends" | "unset") {
        return wrong("a manifest is read before its keys are set");
    }
    if matches!(path[0].as_str(), "cluster" | "simulation" | "algorithm") {
        path.insert(0, "set".to_owned());
    }
    document
        .set(&path, value.clone())
        .map_err(|Blocked(key)| value.refuse(format!("`{key}` is no table"), None))
}

/// Loads the configs of all grids, each once, and tells which can't be. Two of one name are a
/// fault.
fn load_configs(grids: &[GridSpec]) -> (Vec<ConfigFile>, FaultSet) {
    let mut configs: Vec<ConfigFile> = Vec::new();
    let mut faults = FaultSet::default();
    let mut seen: Vec<(String, PathBuf)> = Vec::new();
    let axes = grids.iter().flat_map(GridSpec::axes);
    for value in axes.filter(|axis| axis.target == Target::Config).flat_map(|axis| &axis.values) {
        let path = PathBuf::from(value.value.scalar().unwrap_or(Scalar::Null).to_string());
        let name = value.coordinate.to_string();
        if let Some((_, known)) = seen.iter().find(|(known, _)| *known == name) {
            if *known != path {
                let message =
                    format!("two configs are called `{name}`: {} and this", known.display());
                faults.add(value.value.fault(message, Some("rename one".to_owned())));
            }
            continue;
        }
        seen.push((name.clone(), path.clone()));
        match parse(&path) {
            Ok(document) => configs.push(ConfigFile { name, path, document }),
            Err(ConfigError::Io { path, source }) => {
                let hint = "paths are relative to the file they stand in".to_owned();
                faults.add(value.value.fault(format!("{path}: {source}"), Some(hint)));
            }
            Err(ConfigError::Faults(own)) => faults.extend(own.faults),
        }
    }
    (configs, faults)
}
