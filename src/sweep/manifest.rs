//! The manifest of a sweep.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::document::{Bounds, Document, Faults, Item, Table};
use crate::metrics::{Keep, SloSpec};
use crate::router::AlgorithmSpec;
use crate::scenario::{Config, ConfigError, TraceSpec, read_warmup};
use crate::units::{PS_PER_S, SimDuration};
use crate::workload::{GeneratorSpec, Warmup};

use super::output_spec::read_output;

/// The most values that one axis may have.
const LONGEST_AXIS: usize = 100_000;
/// The most runs that a grid may have: each keeps a row in memory until the end.
const LARGEST_GRID: usize = 1_000_000;

/// A manifest file, checked, with its configs loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Name of the sweep and of its folder of results.
    pub name: String,
    /// Configs, in the order of the file; globs are sorted.
    pub configs: Vec<LoadedConfig>,
    /// Algorithms, in the order of the file.
    pub algorithms: Vec<AlgorithmSpec>,
    /// Request rates in requests/s; none to replay a trace at its own.
    pub rates_rps: Vec<Option<f64>>,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Where the requests come from.
    pub workload: WorkloadSpec,
    /// The objectives; those of each config where the manifest has none.
    pub slo: Option<SloSpec>,
    /// What is kept of a run beside its numbers.
    pub output: Keep,
    /// The text it was read from.
    pub text: String,
}

/// A config of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedConfig {
    /// The file's name without its ending: the value of the axis.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub config: Config,
}

/// The `[workload]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadSpec {
    /// A trace or a generator.
    pub source: Source,
    /// How long requests arrive, the warm-up included; none for as long as the trace.
    pub duration: Option<SimDuration>,
    /// The warm-up; that of each config where the manifest has none.
    pub warmup: Option<Warmup>,
    /// Length of the blocks of the bootstrap of a trace.
    pub bootstrap_block: SimDuration,
}

/// Where requests come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A file, resampled to each rate and seed.
    Trace(TraceSpec),
    /// Distributions.
    Generator(GeneratorSpec),
}

/// A manifest that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The manifest can't be read, or says something that can't be.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// The same of some of its configs, one after another.
    #[error("{}", lines(.0))]
    Configs(Vec<ConfigError>),
}

fn lines(errors: &[ConfigError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl From<Faults> for ManifestError {
    fn from(faults: Faults) -> Self {
        Self::File(ConfigError::Faults(faults))
    }
}

impl Manifest {
    /// Reads a manifest and the configs it names. Paths in it are relative to it.
    ///
    /// # Errors
    ///
    /// When a file can't be read, or every fault in it: of the manifest, or else of all configs.
    pub fn load(path: &Path) -> Result<Self, ManifestError> {
        let label = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Io { path: label.clone(), source })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let document = Document::parse(&label, &text)?;
        let (mut manifest, paths) = document.settle(|root| read(root, folder, &text))?;
        let mut errors = Vec::new();
        for path in paths {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            match Config::load(&path) {
                Ok(config) => manifest.configs.push(LoadedConfig { name, path, config }),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(manifest) } else { Err(ManifestError::Configs(errors)) }
    }
}

/// Reads everything but the configs, which are still paths.
fn read(root: &mut Table<'_>, folder: &Path, text: &str) -> Option<(Manifest, Vec<PathBuf>)> {
    let hint = "this version reads `schema = 1`".to_owned();
    match root.whole("schema", 0..=u64::MAX) {
        Some(1) => {}
        Some(other) => root.fault_at("schema", format!("`schema` is {other}"), Some(hint)),
        None if root.has("schema") => {}
        None => root.fault("no `schema`", Some(hint)),
    }
    let name = read_name(root);
    let seed = root.whole("seed", 0..=1 << 53).unwrap_or(42);
    let grid = root.section("grid", |grid| read_grid(grid, folder, seed));
    if grid.is_none() {
        root.fault("no [grid] table", Some("it names configs, algorithms, rates, seeds".into()));
    }
    let workload = root.section("workload", |table| read_workload(table, folder)).flatten();
    if workload.is_none() && !root.has("workload") {
        let hint = "give `trace = \"…\"` or a [workload.generator] table".to_owned();
        root.fault("no [workload] table", Some(hint));
    }
    let slo = root.section("slo", SloSpec::read);
    let output = root.section("output", read_output).unwrap_or_default();
    let generated = matches!(&workload, Some(WorkloadSpec { source: Source::Generator(_), .. }));
    if generated && !has_rates(root) {
        root.fault("a generator needs `rates`", Some("add them to [grid]".into()));
    }
    let (configs, algorithms, rates_rps, seeds) = grid?;
    let manifest = Manifest {
        name: name?,
        configs: Vec::new(),
        algorithms,
        rates_rps,
        seeds,
        workload: workload?,
        slo,
        output,
        text: text.to_owned(),
    };
    Some((manifest, configs))
}

fn has_rates(root: &mut Table<'_>) -> bool {
    root.table("grid").is_some_and(|mut grid| grid.has("rates"))
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

type Axes = (Vec<PathBuf>, Vec<AlgorithmSpec>, Vec<Option<f64>>, Vec<u64>);

fn read_grid(grid: &mut Table<'_>, folder: &Path, seed: u64) -> Axes {
    let configs = axis(grid, "configs", |item| read_configs(item, folder));
    let algorithms = axis(grid, "algorithms", read_algorithms);
    let rates = if grid.has("rates") {
        axis(grid, "rates", read_rates).into_iter().map(Some).collect()
    } else {
        vec![None]
    };
    let seeds = if grid.has("seeds") {
        axis(grid, "seeds", |item| read_seeds(item, seed))
    } else {
        vec![seed]
    };
    let name = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    distinct(grid, "configs", configs.iter().map(name));
    distinct(grid, "algorithms", algorithms.iter().map(AlgorithmSpec::label));
    distinct(grid, "rates", rates.iter().flatten().map(ToString::to_string));
    distinct(grid, "seeds", seeds.iter().map(ToString::to_string));
    let axes = [configs.len(), algorithms.len(), rates.len(), seeds.len()];
    let num_runs = axes.iter().fold(1_usize, |product, len| product.saturating_mul(*len));
    if num_runs > LARGEST_GRID {
        let hint = Some("split it into several manifests".to_owned());
        grid.fault(format!("the grid has {num_runs} runs, at most {LARGEST_GRID}"), hint);
    }
    (configs, algorithms, rates, seeds)
}

/// Reads an axis, which must be there and not be empty.
fn axis<T>(
    grid: &mut Table<'_>,
    key: &str,
    read: impl FnOnce(&Item<'_>) -> Option<Vec<T>>,
) -> Vec<T> {
    let Some(item) = grid.item(key) else {
        grid.fault(format!("[grid] has no `{key}`"), None);
        return Vec::new();
    };
    let Some(values) = read(&item) else {
        return Vec::new();
    };
    // Values that were refused have had their fault.
    let none_given = !item.is_list() || item.list().is_some_and(|items| items.is_empty());
    if values.is_empty() && none_given {
        item.fault(format!("`grid.{key}` is empty: the grid would have no run"), None);
    }
    if values.len() > LONGEST_AXIS {
        let message = format!("`grid.{key}` has {} values, at most {LONGEST_AXIS}", values.len());
        item.fault(message, None);
    }
    values
}

/// Reports values that stand twice: their cells would be the same.
fn distinct(grid: &Table<'_>, key: &str, values: impl Iterator<Item = String>) {
    let mut seen = BTreeSet::new();
    for value in values {
        if !seen.insert(value.clone()) {
            grid.fault_at(key, format!("`grid.{key}` has {value} twice"), None);
        }
    }
}

fn read_configs(item: &Item<'_>, folder: &Path) -> Option<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for item in item.list()? {
        let Some(pattern) = item.text() else {
            continue;
        };
        if !pattern.contains(['*', '?', '[']) {
            paths.push(folder.join(&pattern));
            continue;
        }
        // The manifest's own folder is no pattern, whatever its name.
        let literal = PathBuf::from(glob::Pattern::escape(&folder.to_string_lossy()));
        let matches = match glob::glob(&literal.join(&pattern).to_string_lossy()) {
            Ok(matches) => matches,
            Err(error) => {
                item.fault(format!("`{pattern}` is no pattern: {error}"), None);
                continue;
            }
        };
        let found: Result<Vec<PathBuf>, glob::GlobError> = matches.collect();
        let mut found = found.unwrap_or_else(|error| {
            item.fault(format!("`{pattern}`: {error}"), None);
            Vec::new()
        });
        found.sort();
        if found.is_empty() {
            item.fault(format!("no file matches `{pattern}`"), None);
        }
        paths.extend(found);
    }
    Some(paths)
}

fn read_algorithms(item: &Item<'_>) -> Option<Vec<AlgorithmSpec>> {
    if item.is_list() {
        return Some(item.list()?.iter().filter_map(AlgorithmSpec::read).collect());
    }
    if item.is_text() && item.text()? == "all" {
        return Some(AlgorithmSpec::all());
    }
    item.wrong("\"all\" or a list of algorithms");
    None
}

fn read_rates(item: &Item<'_>) -> Option<Vec<f64>> {
    const RATES: Bounds = Bounds::Between(1e-6, 1e9);
    if item.is_list() {
        return Some(item.list()?.iter().filter_map(|item| item.real(RATES)).collect());
    }
    if !item.is_table() {
        item.wrong("a list of rates or { start = …, stop = …, step = … }");
        return None;
    }
    let mut table = item.table()?;
    let [start, stop, step] = ["start", "stop", "step"].map(|key| {
        if !table.has(key) {
            table.fault(format!("`grid.rates` has no `{key}`"), None);
        }
        table.real(key, RATES)
    });
    let (start, stop, step) = (start?, stop?, step?);
    table.close();
    // The last value may miss `stop` by rounding alone.
    let steps = ((stop - start) / step + 1e-9).floor();
    if steps > LONGEST_AXIS as f64 {
        item.fault(format!("`grid.rates` has over {LONGEST_AXIS} values"), None);
        return None;
    }
    let mut rates = Vec::new();
    while rates.len() as f64 <= steps {
        rates.push(twelve_digits(start + rates.len() as f64 * step));
    }
    Some(rates)
}

/// Rounds to twelve significant digits: 0.1 + 2 · 0.1 is then 0.3, as whoever reads the tables
/// writes it.
fn twelve_digits(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

fn read_seeds(item: &Item<'_>, first: u64) -> Option<Vec<u64>> {
    if item.is_list() {
        return Some(item.list()?.iter().filter_map(|item| item.whole(0..=1 << 53)).collect());
    }
    let count = item.whole(1..=LONGEST_AXIS as u64)?;
    Some((first..first + count).collect())
}

fn read_workload(table: &mut Table<'_>, folder: &Path) -> Option<WorkloadSpec> {
    let duration = seconds(table, "duration_s");
    let warmup = read_warmup(table);
    let generator = table.section("generator", GeneratorSpec::read);
    let trace = table.text("trace").map(|path| folder.join(path));
    // Beside a generator the keys of a trace are unknown.
    let of_trace = table.has("trace") || generator.is_none();
    let how = if of_trace { TraceSpec::read_how(table) } else { TraceSpec::default() };
    let bootstrap_block = of_trace.then(|| seconds(table, "bootstrap_block_s")).flatten();
    let source = match (trace, generator) {
        (Some(path), None) => Source::Trace(TraceSpec { path: Some(path), ..how }),
        (None, Some(generator)) => Source::Generator(generator),
        (None, None) if table.has("trace") => return None,
        (None, None) => {
            let hint = "give `trace = \"…\"` or a [workload.generator] table".to_owned();
            table.fault("[workload] has no requests", Some(hint));
            return None;
        }
        (Some(_), Some(_)) => {
            table.fault("[workload] has a trace and a generator", Some("leave one out".into()));
            return None;
        }
    };
    if let (Some(duration), Some(Warmup::Time(warmup))) = (duration, warmup)
        && warmup >= duration
    {
        let hint = "`duration_s` includes the warm-up".to_owned();
        table.fault_at("warmup_s", "the warm-up is as long as the run", Some(hint));
    }
    if !table.has("duration_s") && matches!(source, Source::Generator(_)) {
        table.fault("a generator needs `duration_s`", None);
    }
    let bootstrap_block = bootstrap_block.unwrap_or(SimDuration::from_ps(300 * PS_PER_S));
    Some(WorkloadSpec { source, duration, warmup, bootstrap_block })
}

fn seconds(table: &mut Table<'_>, key: &str) -> Option<SimDuration> {
    SimDuration::from_secs(table.real(key, Bounds::Between(1e-3, 8e6))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(text: &str) -> Result<Vec<f64>, String> {
        let document = Document::parse("m.toml", text).unwrap();
        let read = |root: &mut Table<'_>| read_rates(&root.item("rates")?);
        document.settle(read).map_err(|faults| faults.to_string())
    }

    #[test]
    fn a_range_of_rates_has_both_its_ends() {
        let range = rates("rates = { start = 6, stop = 24, step = 3 }").unwrap();
        assert_eq!(range, [6.0, 9.0, 12.0, 15.0, 18.0, 21.0, 24.0]);
        let tenths = rates("rates = { start = 0.1, stop = 0.7, step = 0.1 }").unwrap();
        assert_eq!(tenths, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]);
        let short = rates("rates = { start = 1, stop = 2, step = 0.75 }").unwrap();
        assert_eq!(short, [1.0, 1.75], "the end is not overshot");
    }

    #[test]
    fn a_count_of_seeds_goes_up_from_the_seed() {
        let document = Document::parse("m.toml", "few = 3\nlist = [9, 1]").unwrap();
        let read = |root: &mut Table<'_>| {
            Some((read_seeds(&root.item("few")?, 42)?, read_seeds(&root.item("list")?, 42)?))
        };
        assert_eq!(document.settle(read).unwrap(), (vec![42, 43, 44], vec![9, 1]));
    }
}
