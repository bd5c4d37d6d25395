//! Axes and the values they go through.

use std::path::{Path, PathBuf};

use crate::document::{Bounds, Item, ON_COMMAND_LINE, Scalar, Table, Value};
use crate::router::AlgorithmSpec;

use super::LONGEST_AXIS;
use super::condition::Condition;
use super::target::Target;

/// One axis of a grid.
#[derive(Clone, Debug)]
pub(in crate::sweep) struct Axis {
    /// What tables and expressions call it.
    pub(in crate::sweep) name: String,
    /// The path of its key, which expressions may name too.
    pub(in crate::sweep) path: Option<String>,
    /// Where its values go.
    pub(in crate::sweep) target: Target,
    /// Its values; those that `include` alone has stand last.
    pub(in crate::sweep) values: Vec<AxisValue>,
    /// Where this is false, the axis does not apply.
    pub(in crate::sweep) when: Option<Condition>,
    /// The files that it names by `files` or `glob`.
    pub(in crate::sweep) files: Vec<PathBuf>,
    /// Where it was read.
    pub(in crate::sweep) place: Value,
}

/// A value of an axis.
#[derive(Clone, Debug)]
pub(in crate::sweep) struct AxisValue {
    /// What is put in its place.
    pub(in crate::sweep) value: Value,
    /// What tables and expressions call it.
    pub(in crate::sweep) coordinate: Scalar,
}

/// Axes that go on together: one, or several of equal length.
#[derive(Clone, Debug)]
pub(in crate::sweep) struct Dimension {
    pub(in crate::sweep) axes: Vec<Axis>,
    /// How many steps the product takes over it.
    pub(in crate::sweep) len: usize,
}

/// Keys of a table that make it an axis, and no table of further keys.
pub(super) const KINDS: [&str; 7] =
    ["start", "stop", "values", "linspace", "logspace", "glob", "files"];

/// What a number of an axis may be, where its key does not say.
const ANY: Bounds = Bounds::Between(-1e15, 1e15);

impl AxisValue {
    fn new(value: Value, number: usize) -> Self {
        let coordinate = value.scalar().unwrap_or_else(|| Scalar::Text(format!("#{number}")));
        Self { value, coordinate }
    }

    fn of(place: &Value, scalar: Scalar) -> Option<Self> {
        Some(Self { value: place.with(&scalar)?, coordinate: scalar })
    }
}

impl Axis {
    /// Returns whether expressions mean this axis by a name.
    pub(in crate::sweep) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.path.as_deref() == Some(name)
    }

    /// Reads an axis under its key: a list of values, or a table that says which.
    pub(super) fn read(key: &str, item: &Item<'_>) -> Option<Self> {
        let (mut own_key, mut when, mut values) = (None, None, Vec::new());
        let mut files = Vec::new();
        if item.is_table() {
            let mut table = item.table()?;
            own_key = table.item("key").and_then(|item| Some((item.text()?, item)));
            // Of an axis that applies nobody knows where, values are not put anywhere.
            let condition = |item: Item<'_>| {
                Condition::read(&item).unwrap_or_else(|| Condition::never(item.value()))
            };
            when = table.item("when").map(condition);
            values = read_table(item, &mut table, ANY);
            if table.has("files") || table.has("glob") {
                files = files_of(item, &values);
            }
            put_labels(&mut table, &mut values);
            table.close();
        } else {
            for (number, item) in item.list()?.iter().enumerate() {
                values.push(AxisValue::new(item.value(), number));
            }
        }
        let target = match &own_key {
            Some((own, item)) => Target::read(own, item),
            None => Target::read(key, item),
        };
        let target = target?;
        if matches!(target, Target::Config | Target::Algorithm | Target::Rate) && when.is_some() {
            item.fault(format!("`{key}` applies always"), Some("leave out `when`".to_owned()));
        }
        let name = match target {
            Target::Config => "config",
            Target::Algorithm => "algorithm",
            Target::Rate => "rate",
            _ => key,
        };
        let values = match target {
            Target::Algorithm if item.is_list() => {
                item.list()?.iter().filter_map(algorithm_value).collect()
            }
            Target::Algorithm => {
                item.wrong("a list of algorithms");
                return None;
            }
            Target::Config => configs(item, values),
            Target::Rate => rates(item, values),
            Target::OfWorkload(ref path) if path.last().is_some_and(|key| key == "trace") => {
                traces(values)
            }
            _ => values,
        };
        let path = target.path();
        Some(Self { name: name.to_owned(), path, target, values, when, files, place: item.value() })
    }

    /// Makes one of the four axes that have a name of their own.
    pub(super) fn named(
        name: &str,
        target: Target,
        values: Vec<AxisValue>,
        item: &Item<'_>,
    ) -> Self {
        let path = target.path();
        let (name, place) = (name.to_owned(), item.value());
        Self { name, path, target, values, when: None, files: Vec::new(), place }
    }
}

/// Reads an algorithm: a name, or a table with its parameters.
pub(super) fn algorithm_value(item: &Item<'_>) -> Option<AxisValue> {
    let spec = AlgorithmSpec::read(item)?;
    Some(AxisValue { value: item.value(), coordinate: Scalar::Text(spec.label()) })
}

/// Reads rates: a list, or a table that says which.
pub(super) fn read_rates(item: &Item<'_>) -> Option<Vec<AxisValue>> {
    const RATES: Bounds = Bounds::Between(1e-6, 1e9);
    if item.is_list() {
        let items = item.list()?;
        let real = |item: &Item<'_>| AxisValue::of(&item.value(), Scalar::Real(item.real(RATES)?));
        return Some(items.iter().filter_map(real).collect());
    }
    if !item.is_table() {
        item.wrong("a list of rates or { start = …, stop = …, step = … }");
        return None;
    }
    let mut table = item.table()?;
    let values = read_table(item, &mut table, RATES);
    table.close();
    Some(rates(item, values))
}

fn rates(item: &Item<'_>, values: Vec<AxisValue>) -> Vec<AxisValue> {
    let rate = |value: AxisValue| {
        let real = match value.value.scalar() {
            Some(Scalar::Whole(number)) => Some(number as f64),
            Some(Scalar::Real(number)) => Some(number),
            _ => None,
        };
        let real = real.filter(|rate| (1e-6..=1e9).contains(rate));
        if real.is_none() {
            item.wrong("rates in requests/s, from 0.000001 to 1000000000");
        }
        AxisValue::of(&value.value, Scalar::Real(real?))
    };
    values.into_iter().filter_map(rate).collect()
}

/// Takes paths for configs: the name of the file is what they are called.
fn configs(item: &Item<'_>, values: Vec<AxisValue>) -> Vec<AxisValue> {
    let mut configs = Vec::new();
    for value in values {
        let Some(Scalar::Text(pattern)) = value.value.scalar() else {
            item.wrong("paths of configs");
            continue;
        };
        configs.extend(config_paths(item, &value.value, &pattern));
    }
    configs
}

/// Returns the configs that a path or pattern names.
pub(super) fn config_paths(item: &Item<'_>, place: &Value, pattern: &str) -> Vec<AxisValue> {
    let folder = folder_of(item);
    let paths = if pattern.contains(['*', '?', '[']) {
        matching(item, pattern, &folder)
    } else {
        vec![folder.join(pattern)]
    };
    let config = |path: PathBuf| {
        let value = place.with(&Scalar::Text(path.display().to_string()))?;
        Some(AxisValue { value, coordinate: Scalar::Text(stem(&path)) })
    };
    paths.into_iter().filter_map(config).collect()
}

/// Returns the files that values are the paths of.
fn files_of(item: &Item<'_>, values: &[AxisValue]) -> Vec<PathBuf> {
    let folder = folder_of(item);
    let path = |value: &AxisValue| match value.value.scalar() {
        Some(Scalar::Text(path)) => Some(folder.join(path)),
        _ => None,
    };
    values.iter().filter_map(path).collect()
}

/// Calls traces by the names of their files.
fn traces(mut values: Vec<AxisValue>) -> Vec<AxisValue> {
    for value in &mut values {
        if let (Some(Scalar::Text(path)), Scalar::Text(name)) =
            (value.value.scalar(), &mut value.coordinate)
            && *name == path
        {
            *name = stem(Path::new(&path));
        }
    }
    values
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns the folder of the file that a value stands in: paths are relative to it, or to the
/// working directory on the command line.
pub(super) fn folder_of(item: &Item<'_>) -> PathBuf {
    let file = if item.label().starts_with(ON_COMMAND_LINE) { "" } else { item.label() };
    Path::new(file).parent().unwrap_or(Path::new("")).to_owned()
}

/// Reads the values that a table gives.
fn read_table(item: &Item<'_>, table: &mut Table<'_>, bounds: Bounds) -> Vec<AxisValue> {
    let has = KINDS.map(|kind| table.has(kind));
    let step = table.has("step");
    let (range, others) = (has[0] || has[1] || step, &has[2..]);
    let kinds = usize::from(range) + others.iter().filter(|has| **has).count();
    if kinds != 1 {
        let hint = "one of `start, stop, step`, `values`, `linspace`, `logspace`, `glob`, `files`";
        let what = if kinds == 0 { "no values" } else { "values of several kinds" };
        item.fault(format!("`{}` has {what}", item.path()), Some(hint.to_owned()));
        return Vec::new();
    }
    let place = item.value();
    let round = table.truth("round").unwrap_or(false);
    let numbers = |numbers: Option<Numbers>| {
        let scalars = numbers.map(|numbers| numbers.scalars(round)).unwrap_or_default();
        scalars.into_iter().filter_map(|scalar| AxisValue::of(&place, scalar)).collect()
    };
    if range {
        numbers(read_range(item, table, bounds))
    } else if let Some(inner) = table.item("linspace") {
        numbers(read_space(&inner, bounds, false))
    } else if let Some(inner) = table.item("logspace") {
        numbers(read_space(&inner, bounds, true))
    } else if let Some(pattern) = table.text("glob") {
        // As they would be written: whoever takes paths puts the folder before them.
        let folder = folder_of(item);
        let paths = matching(item, &pattern, &folder).into_iter();
        let paths = paths.map(|path| path.strip_prefix(&folder).unwrap_or(&path).to_owned());
        let texts = paths.map(|path| Scalar::Text(path.display().to_string()));
        texts.filter_map(|scalar| AxisValue::of(&place, scalar)).collect()
    } else {
        let key = if table.has("values") { "values" } else { "files" };
        let items = table.list(key).unwrap_or_default();
        items.iter().zip(0..).map(|(item, at)| AxisValue::new(item.value(), at)).collect()
    }
}

/// Calls values as the table of their axis says.
fn put_labels(table: &mut Table<'_>, values: &mut [AxisValue]) {
    let Some(labels) = table.list("labels") else { return };
    if labels.len() != values.len() {
        let message = format!("{} labels for {} values", labels.len(), values.len());
        table.fault_at("labels", message, None);
    }
    for (label, value) in labels.iter().zip(values) {
        value.coordinate = label.text().map_or(Scalar::Null, Scalar::Text);
    }
}

/// Numbers of an axis, and whether those who wrote its ends wrote whole ones.
struct Numbers {
    values: Vec<f64>,
    whole: bool,
}

impl Numbers {
    /// Returns them: whole ones when all are and the ends were written so, or when rounded.
    fn scalars(self, round: bool) -> Vec<Scalar> {
        let all_whole = self.values.iter().all(|value| value.fract() == 0.0);
        #[expect(clippy::cast_possible_truncation, reason = "bounded where they are read")]
        let scalar = |value: f64| {
            if round || (self.whole && all_whole) {
                Scalar::Whole(value.round() as i64)
            } else {
                Scalar::Real(value)
            }
        };
        let mut scalars: Vec<Scalar> = self.values.iter().map(|value| scalar(*value)).collect();
        // Rounding brings neighbours together.
        scalars.dedup();
        scalars
    }
}

fn read_range(item: &Item<'_>, table: &mut Table<'_>, bounds: Bounds) -> Option<Numbers> {
    let [start, stop, step] = ["start", "stop", "step"].map(|key| {
        if !table.has(key) {
            table.fault(format!("`{}` has no `{key}`", item.path()), None);
        }
        let item = table.item(key)?;
        let whole = matches!(item.value().scalar(), Some(Scalar::Whole(_)));
        Some((item.real(bounds)?, whole))
    });
    let ((start, a), (stop, b), (step, c)) = (start?, stop?, step?);
    if step <= 0.0 {
        table.fault_at(
            "step",
            format!("`{}.step` is {step}, expected more than 0", item.path()),
            None,
        );
        return None;
    }
    // The last value may miss `stop` by rounding alone.
    let steps = ((stop - start) / step + 1e-9).floor();
    if steps < 0.0 {
        item.fault(format!("`{}` is empty: the grid would have no run", item.path()), None);
        return None;
    }
    if steps > LONGEST_AXIS as f64 {
        item.fault(format!("`{}` has over {LONGEST_AXIS} values", item.path()), None);
        return None;
    }
    let mut values = Vec::new();
    while values.len() as f64 <= steps {
        values.push(twelve_digits(start + values.len() as f64 * step));
    }
    Some(Numbers { values, whole: a && b && c })
}

/// Reads `num` values from `start` to `stop`, at equal distances or ratios.
fn read_space(item: &Item<'_>, bounds: Bounds, log: bool) -> Option<Numbers> {
    let mut table = item.table()?;
    let mut whole = true;
    let [start, stop] = ["start", "stop"].map(|key| {
        if !table.has(key) {
            table.fault(format!("`{}` has no `{key}`", item.path()), None);
        }
        let item = table.item(key)?;
        whole &= matches!(item.value().scalar(), Some(Scalar::Whole(_)));
        let bounds = match bounds {
            Bounds::Between(_, high) if log => Bounds::Between(f64::MIN_POSITIVE, high),
            bounds => bounds,
        };
        item.real(bounds)
    });
    let num = table.whole("num", 2..=LONGEST_AXIS as u64);
    if !table.has("num") {
        table.fault(format!("`{}` has no `num`", item.path()), None);
    }
    table.close();
    let (start, stop, num) = (start?, stop?, num?);
    let value = |at: u64| {
        let share = at as f64 / (num - 1) as f64;
        let value = if log {
            libm::exp(libm::log(start) + share * (libm::log(stop) - libm::log(start)))
        } else {
            start + share * (stop - start)
        };
        match at {
            0 => start,
            at if at == num - 1 => stop,
            _ => twelve_digits(value),
        }
    };
    Some(Numbers { values: (0..num).map(value).collect(), whole })
}

/// Rounds to twelve significant digits: 0.1 + 2 · 0.1 is then 0.3, as whoever reads the tables
/// writes it.
fn twelve_digits(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

/// Returns the files that a pattern matches, in the order of their names.
fn matching(item: &Item<'_>, pattern: &str, folder: &Path) -> Vec<PathBuf> {
    // The manifest's own folder is no pattern, whatever its name.
    let literal = PathBuf::from(glob::Pattern::escape(&folder.to_string_lossy()));
    let matches = match glob::glob(&literal.join(pattern).to_string_lossy()) {
        Ok(matches) => matches,
        Err(error) => {
            item.fault(format!("`{pattern}` is no pattern: {error}"), None);
            return Vec::new();
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
    found
}
