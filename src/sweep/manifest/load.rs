//! From a file to a [`Manifest`].

use std::path::{Path, PathBuf};

use crate::document::{Blocked, Document, Faults, ON_COMMAND_LINE, Scalar, Value, key_path};
use crate::scenario::ConfigError;

use super::grid_spec::GridSpec;
use super::target::Target;
use super::{ConfigFile, Manifest, ManifestError, Read, read};

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
        let (mut document, mut text) = load_chain(path)?;
        for assignment in keys {
            put(&mut document, assignment)?;
            let line = assignment.replace('\n', " ");
            text.extend(["# --set ", &line, "\n"]);
        }
        let Read { name, seeds, grids, set, derive, label, execution, output } =
            document.settle(read)?;
        let part = |key: &str| document.get(&[key.to_owned()]);
        let Some(workload) = part("workload") else {
            return Err(document.whole().refuse("no [workload] table".to_owned(), None).into());
        };
        let slo = part("slo");
        let configs = load_configs(&grids)?;
        Ok(Self {
            name,
            configs,
            seeds,
            execution,
            output,
            text,
            grids,
            set,
            derive,
            label,
            workload,
            slo,
        })
    }
}

/// Reads a manifest and those it extends. Returns also the text, of all of them.
fn load_chain(path: &Path) -> Result<(Document, String), ManifestError> {
    let mut document = parse(path)?;
    let mut text = document.text().to_owned();
    let mut next = base_of(&document)?;
    for _ in 0..LONGEST_CHAIN {
        let Some((place, relative)) = next else { return Ok((document, text)) };
        let path = Path::new(place.label()).parent().unwrap_or(Path::new("")).join(&relative);
        let base = parse(&path).map_err(|error| match error {
            ManifestError::File(ConfigError::Io { path, source }) => {
                let hint = "paths are relative to the file they stand in".to_owned();
                place.refuse(format!("{path}: {source}"), Some(hint)).into()
            }
            other => other,
        })?;
        text.extend(["\n# extends ", &relative, ":\n"]);
        for line in base.text().lines() {
            text.extend(["# ", line, "\n"]);
        }
        next = base_of(&base)?;
        document.extend(&base);
    }
    match next {
        None => Ok((document, text)),
        Some((place, _)) => {
            let message = format!("over {LONGEST_CHAIN} manifests that extend one another");
            Err(place.refuse(message, Some("does one extend itself?".to_owned())).into())
        }
    }
}

fn parse(path: &Path) -> Result<Document, ManifestError> {
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
    if path[0] == "extends" {
        return wrong("a manifest is read before its keys are set");
    }
    if matches!(path[0].as_str(), "cluster" | "simulation" | "algorithm") {
        path.insert(0, "set".to_owned());
    }
    document
        .set(&path, value.clone())
        .map_err(|Blocked(key)| value.refuse(format!("`{key}` is no table"), None))
}

/// Loads the configs of all grids, each once. Two of one name are a fault.
fn load_configs(grids: &[GridSpec]) -> Result<Vec<ConfigFile>, ManifestError> {
    let mut configs: Vec<ConfigFile> = Vec::new();
    let mut errors = Vec::new();
    let mut seen: Vec<(String, PathBuf)> = Vec::new();
    let axes = grids.iter().flat_map(GridSpec::axes);
    for value in axes.filter(|axis| axis.target == Target::Config).flat_map(|axis| &axis.values) {
        let path = PathBuf::from(value.value.scalar().unwrap_or(Scalar::Null).to_string());
        let name = value.coordinate.to_string();
        if let Some((_, known)) = seen.iter().find(|(known, _)| *known == name) {
            if *known != path {
                let message =
                    format!("two configs are called `{name}`: {} and this", known.display());
                return Err(value.value.refuse(message, Some("rename one".to_owned())).into());
            }
            continue;
        }
        seen.push((name.clone(), path.clone()));
        match parse(&path) {
            Ok(document) => configs.push(ConfigFile { name, path, document }),
            Err(ManifestError::File(ConfigError::Io { path, source })) => {
                let hint = "paths are relative to the file they stand in".to_owned();
                let faults = value.value.refuse(format!("{path}: {source}"), Some(hint));
                errors.push(faults.into());
            }
            Err(ManifestError::File(error)) => errors.push(error),
            Err(ManifestError::Configs(several)) => errors.extend(several),
        }
    }
    if errors.is_empty() { Ok(configs) } else { Err(ManifestError::Configs(errors)) }
}
