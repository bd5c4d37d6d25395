//! The keys of a manifest, for editors and whoever asks what there is.
//!
//! As in `scenario/keys.rs`: names come from the registries, tests hold the rest to the readers.

use serde_json::{Value, json};

use crate::document::{Bounds, Key, KeyKind, Keys, json_schema};
use crate::gate::gate_keys;
use crate::router::{REGISTRY, Registration};
use crate::scenario::{config_keys, one_warmup, slo_keys, trace_keys, warmup_keys};
use crate::stats::{CONFIDENCE, IntervalMethod};
use crate::workload::Lengths;

use super::capacity::{FEWEST_SEEDS, Find, RELATIVE_WIDTH, USUAL_SEEDS, USUAL_WIDTH};
use super::compare_spec::{MARGIN, MARGINS, OVER};
use super::output_spec::SERIES_INTERVAL_S;
use super::statistics_spec::{CONFIDENCES, MOST_SEEDS, PRECISIONS};

/// Any key: what is under it has names that the manifest's author chose, or those of a config.
const ANY: &str = ".";
const RATES: Bounds = Bounds::Between(1e-6, 1e9);
const LARGEST_SEED: u64 = 1 << 53;
const LONGEST_AXIS: u64 = 100_000;

/// Returns the JSON Schema of a manifest.
pub fn manifest_schema() -> Value {
    let about = "A grid of simulations, as `routesim-sweep` takes it.";
    json_schema("RouteSim manifest", about, &manifest_keys(), &shared_kinds())
}

/// Returns every key of a manifest.
pub fn manifest_keys() -> Keys {
    let text = || KeyKind::Text;
    let named = KeyKind::Form("^[A-Za-z0-9_-][A-Za-z0-9_.-]*$".to_owned());
    let mut keys = vec![
        Key::new("schema", KeyKind::OneOf(vec![json!(1)]), "Version of the manifest's keys: 1."),
        Key::new("name", named, "Name of the sweep and of its folder results/<name>."),
        Key::new("extends", text(), "Another manifest, whose keys those of this one replace."),
        Key::new(
            "unset",
            KeyKind::List(Box::new(KeyKind::Text), 1),
            "Keys that are not taken from the manifest that `extends` names, by their path.",
        ),
        Key::new("seed", KeyKind::Whole(0..=LARGEST_SEED), "First seed.").default(42),
        Key::new("label", text(), "Template of a cell's label, with keys in braces."),
    ];
    keys.extend(table_keys());
    // A manifest that extends another has the rest from there.
    let alone = json!({
        "required": ["schema", "name", "workload"],
        "anyOf": [{ "required": ["grid"] }, { "required": ["grids"] }],
    });
    Keys::from(keys)
        .rule(json!({ "if": { "not": { "required": ["extends"] } }, "then": alone }))
        .rule(json!({ "not": { "required": ["grid", "grids"] } }))
        .rule(json!({ "dependencies": { "unset": ["extends"] } }))
}

fn table_keys() -> Vec<Key> {
    let table = |name, keys, about| Key::new(name, KeyKind::Table(keys), about);
    let expressions = Keys::default().others(ANY, KeyKind::Shared("derived"));
    let grids = Keys::default().others(ANY, KeyKind::Table(grid_keys().into()));
    vec![
        table("set", settable_keys(), "Keys of every config and of this manifest, by their path."),
        table("derive", expressions, "Keys, or `rate`, that follow from others by an expression."),
        table("grid", grid_keys().into(), "The axes, whose product is the grid."),
        table("grids", grids, "Several grids by name, one after the other."),
        table("workload", workload_keys(), "Where the requests come from."),
        // An axis, [set] or [derive] may give what a key needs.
        table("slo", slo_keys().optional(), "Objectives, in place of those of the configs."),
        table("capacity", capacity_keys().into(), "A search along an axis, in place of all of it."),
        table("run", run_keys().into(), "How runs are executed, and what ends them."),
        table("output", output_keys().into(), "What is kept beside the tables."),
        table("gate", gate_keys(), "How `check` judges the results against a baseline."),
        table("statistics", statistics_keys(), "How sure numbers are to be, and how it is told."),
        table("compare", compare_keys(), "Cells that are compared seed by seed, and in what."),
    ]
}

/// Keys of a config, and of the workload, for completion; others are looked at by the reader.
fn settable_keys() -> Keys {
    let mut keys = config_keys();
    keys.keys.retain(|key| key.name != "trace");
    // The seeds are those of the grid.
    let simulation = keys.keys.iter_mut().find(|key| key.name == "simulation");
    if let Some(KeyKind::Table(own)) = simulation.map(|key| &mut key.kind) {
        own.keys.retain(|key| key.name.starts_with("warmup_"));
    }
    keys.keys.push(Key::new("workload", KeyKind::Table(workload_keys()), "The requests."));
    keys.optional().others(ANY, KeyKind::Anything)
}

fn grid_keys() -> Vec<Key> {
    let texts = || KeyKind::List(Box::new(KeyKind::Text), 1);
    let varied = |shared| Keys::default().others(ANY, KeyKind::Shared(shared));
    let tables = |keys: Keys| KeyKind::List(Box::new(KeyKind::Table(keys)), 0);
    let seeds = KeyKind::List(Box::new(KeyKind::Whole(0..=LARGEST_SEED)), 1);
    let some_of = || tables(Keys::default().others(ANY, KeyKind::Anything));
    vec![
        Key::new("configs", texts(), "Config files or patterns, from the manifest."),
        Key::new("algorithms", algorithms_kind(), "\"all\", or a list of names and tables."),
        Key::new("rates", list_or_axis(KeyKind::Real(RATES)), "Requests/s."),
        Key::new(
            "seeds",
            KeyKind::Either(vec![KeyKind::Whole(1..=LONGEST_AXIS), seeds]),
            "How many seeds, from `seed` on, or a list of them.",
        ),
        Key::new(
            "axes",
            KeyKind::Table(varied("axis")),
            "Values by the path of a key, or by a name for expressions.",
        ),
        Key::new("zip", tables(varied("zipped")), "Axes that advance together: lists by key."),
        Key::new(
            "constraint",
            KeyKind::Either(vec![KeyKind::Text, texts()]),
            "Expressions that every cell must satisfy.",
        ),
        Key::new("exclude", some_of(), "Cells to leave out, by some of their values."),
        Key::new("include", some_of(), "Cells to add."),
        Key::new("max_cells", KeyKind::Whole(1..=1_000_000), "The most cells, as a safeguard.")
            .default(100_000),
    ]
}

fn capacity_keys() -> Vec<Key> {
    let ends = Find::ALL.map(|(name, _)| name);
    let axis = KeyKind::Either(vec![KeyKind::names(["rate"]), KeyKind::Text]);
    vec![
        Key::new("over", axis, "The axis whose values are the candidates.").default("rate"),
        Key::new("find", KeyKind::names(ends), "Which of the values that keep the objectives."),
        Key::new(
            "relative_width",
            KeyKind::Real(RELATIVE_WIDTH),
            "Width of the interval over the estimate at which the search ends.",
        )
        .default(USUAL_WIDTH),
        Key::new(
            "max_seeds",
            KeyKind::Whole(FEWEST_SEEDS..=MOST_SEEDS),
            "The most seeds of a candidate; it begins with `grid.seeds`.",
        )
        .default(USUAL_SEEDS),
    ]
}

fn algorithms_kind() -> KeyKind {
    let names = KeyKind::names(REGISTRY.iter().map(|registration| registration.name));
    let mut kinds = vec![names];
    kinds.extend(REGISTRY.iter().map(|registration| KeyKind::Table(algorithm_keys(registration))));
    let list = KeyKind::List(Box::new(KeyKind::Either(kinds)), 1);
    KeyKind::Either(vec![KeyKind::names(["all"]), list])
}

fn algorithm_keys(registration: &Registration) -> Keys {
    let name = KeyKind::names([registration.name]);
    let mut keys = vec![Key::new("name", name, registration.summary).required()];
    keys.extend(registration.parameters.iter().map(|parameter| {
        let about = format!("Parameter of {}.", registration.name);
        Key::new(parameter.name, KeyKind::Real(parameter.bounds), &about).default(parameter.default)
    }));
    keys.into()
}

fn list_or_axis(value: KeyKind) -> KeyKind {
    let list = KeyKind::List(Box::new(value.clone()), 1);
    KeyKind::Either(vec![list, KeyKind::Table(axis_keys(value))])
}

/// The table of an axis: one way to give its values, and what goes with any.
fn axis_keys(value: KeyKind) -> Keys {
    let end = |name, about| Key::new(name, KeyKind::Number, about).required();
    let num = || Key::new("num", KeyKind::Whole(2..=LONGEST_AXIS), "How many values.").required();
    let space = || vec![end("start", "First value."), end("stop", "Last value."), num()];
    let texts = || KeyKind::List(Box::new(KeyKind::Text), 1);
    // A range of requests/s has the bounds of each of them.
    let bound = if matches!(value, KeyKind::Real(_)) { value.clone() } else { KeyKind::Number };
    let keys = vec![
        Key::new("start", bound.clone(), "First value."),
        Key::new("stop", bound.clone(), "Last value, if a step lands on it."),
        Key::new("step", bound, "From one value to the next."),
        Key::new("linspace", KeyKind::Table(space().into()), "Values at equal distances."),
        Key::new("logspace", KeyKind::Table(space().into()), "Values at equal ratios."),
        Key::new("values", KeyKind::List(Box::new(value), 1), "The values."),
        Key::new("glob", KeyKind::Text, "Files that match a pattern, in sorted order."),
        Key::new("files", texts(), "Files."),
        Key::new("round", KeyKind::Truth, "Whether values are rounded to whole numbers."),
    ];
    let ways = ["start", "linspace", "logspace", "values", "glob", "files"];
    let ways: Vec<Value> = ways.iter().map(|way| json!({ "required": [way] })).collect();
    let range = ["start", "stop", "step"];
    Keys::from(keys).rule(json!({ "oneOf": ways })).rule(json!({
        "dependencies": { "start": range, "stop": range, "step": range },
    }))
}

/// Values under keys whose dots may part them into tables.
fn shared_kinds() -> [(&'static str, KeyKind); 3] {
    let list = || KeyKind::List(Box::new(KeyKind::Anything), 1);
    let below = |name| KeyKind::Table(Keys::default().others(ANY, KeyKind::Shared(name)));
    let mut axis = axis_keys(KeyKind::Anything);
    axis.keys.extend([
        Key::new("when", KeyKind::Text, "Expression: where it is false there is no value."),
        Key::new("key", KeyKind::Text, "Path of the key that the values are for."),
        Key::new("labels", KeyKind::List(Box::new(KeyKind::Text), 1), "Names of the values."),
    ]);
    let axis = KeyKind::Table(axis);
    [
        ("axis", KeyKind::Either(vec![list(), axis, below("axis")])),
        ("zipped", KeyKind::Either(vec![list(), below("zipped")])),
        ("derived", KeyKind::Either(vec![KeyKind::Text, below("derived")])),
    ]
}

fn workload_keys() -> Keys {
    let seconds =
        |name, low, about| Key::new(name, KeyKind::Real(Bounds::Between(low, 8e6)), about);
    let mut keys = vec![Key::new("trace", KeyKind::Text, "A file of requests, from the manifest.")];
    keys.extend(trace_keys());
    keys.push(
        seconds("bootstrap_block_s", 1.0, "Length of a bootstrap block of the trace, in seconds.")
            .default(300.0),
    );
    keys.push(seconds(
        "duration_s",
        1e-3,
        "How long requests arrive, warm-up included, in seconds.",
    ));
    keys.extend(warmup_keys());
    keys.push(Key::new(
        "generator",
        KeyKind::Table(generator_keys()),
        "Requests from distributions.",
    ));
    let of_trace = ["trace", "format", "block_size", "dequantize", "bootstrap_block_s"];
    let of_trace: Vec<Value> = of_trace.iter().map(|key| json!({ "required": [key] })).collect();
    one_warmup(keys.into()).rule(json!({
        "if": { "required": ["generator"] }, "then": { "not": { "anyOf": of_trace } },
    }))
}

fn generator_keys() -> Keys {
    let real = |name, low, about, default: f64| {
        Key::new(name, KeyKind::Real(Bounds::Between(low, 1e8)), about).default(default)
    };
    let lengths = KeyKind::names(Lengths::ALL.map(Lengths::name));
    let keys = vec![
        Key::new("lengths", lengths, "Distribution of lengths.").default("normal"),
        real("prompt_mean", 1.0, "Mean length of a prompt, in tokens.", 500.0),
        real("prompt_std", 0.0, "Its standard deviation, in tokens; normal lengths only.", 200.0),
        real("gen_mean", 1.0, "Mean length of an output, in tokens.", 150.0),
        real("gen_std", 0.0, "Its standard deviation, in tokens; normal lengths only.", 50.0),
        Key::new("num_prefixes", KeyKind::Whole(0..=1_000_000), "Prefix groups, equally likely.")
            .default(10),
        real("prefix_len_mean", 1.0, "Mean length of a group's prefix, in tokens.", 256.0),
    ];
    let others = Lengths::ALL.into_iter().filter(|lengths| *lengths != Lengths::Normal);
    let others: Vec<&str> = others.map(Lengths::name).collect();
    Keys::from(keys).rule(json!({
        "if": { "required": ["lengths"], "properties": { "lengths": { "enum": others } } },
        "then": { "not": { "anyOf": [
            { "required": ["prompt_std"] }, { "required": ["gen_std"] },
        ] } },
    }))
}

fn run_keys() -> Vec<Key> {
    let seconds =
        |name, high, about| Key::new(name, KeyKind::Real(Bounds::Between(1e-3, high)), about);
    let share = KeyKind::Form(r"^\s*(100(\.0+)?|[0-9]{1,2}(\.[0-9]+)?)\s*%$".to_owned());
    let failures = KeyKind::Either(vec![KeyKind::Whole(0..=u64::from(u32::MAX)), share]);
    vec![
        Key::new(
            "on_failure",
            KeyKind::names(["continue", "stop"]),
            "What happens when a run fails: the others go on, or none begins.",
        )
        .default("continue"),
        Key::new("max_failures", failures, "Runs that may fail: a number, or a share as \"5%\"."),
        Key::new("retries", KeyKind::Whole(0..=10), "How often a run that broke is tried again.")
            .default(0),
        Key::new("max_events", KeyKind::Whole(1..=u64::MAX), "The most events of a run."),
        seconds("max_simulated_s", 12_960_000.0, "The most simulated time of a run, in seconds."),
        seconds("max_wall_s", 31_536_000.0, "The most wall time of a run, in seconds."),
        Key::new(
            "memory_mb",
            KeyKind::Whole(1..=1 << 40),
            "Memory of all runs at work, in 10^6 bytes.",
        ),
    ]
}

fn output_keys() -> Vec<Key> {
    vec![
        Key::new("histograms", KeyKind::Truth, "Histograms of the latencies of every run.")
            .default(false),
        Key::new("batch_means", KeyKind::Truth, "Means of the batches of every run.")
            .default(false),
        Key::new("requests", KeyKind::Truth, "A row for every request.").default(false),
        Key::new(
            "series_interval_s",
            KeyKind::Real(SERIES_INTERVAL_S),
            "A row for every backend at every such interval of simulated time, in seconds.",
        ),
    ]
}

fn statistics_keys() -> Keys {
    let methods = KeyKind::names(IntervalMethod::ALL.map(IntervalMethod::name));
    let precision = vec![
        Key::new("metric", KeyKind::Text, "The metric, a column of `runs`.").required(),
        Key::new(
            "relative",
            KeyKind::Real(PRECISIONS),
            "Half-width of its interval over its mean.",
        )
        .required(),
    ];
    let keys = vec![
        Key::new("confidence", KeyKind::Real(CONFIDENCES), "Confidence of every interval.")
            .default(CONFIDENCE),
        Key::new("interval", methods, "How the interval of a mean over seeds is found.")
            .default(IntervalMethod::default().name()),
        Key::new(
            "precision",
            KeyKind::Table(precision.into()),
            "How closely a metric is to be known.",
        ),
        Key::new("max_seeds", KeyKind::Whole(1..=MOST_SEEDS), "The most seeds of a cell."),
    ];
    Keys::from(keys).rule(json!({ "dependencies": { "max_seeds": ["precision"] } }))
}

fn compare_keys() -> Keys {
    let texts = KeyKind::List(Box::new(KeyKind::Text), 1);
    let value = KeyKind::Either(vec![KeyKind::Text, KeyKind::Number, KeyKind::Truth]);
    let keys = vec![
        Key::new("over", KeyKind::Text, "The axis whose values are compared.").default(OVER),
        Key::new("baseline", value, "The value that the others are compared with, or every two."),
        Key::new("metrics", texts, "Columns of `runs`; the objectives when left out."),
        Key::new(
            "margin",
            KeyKind::Real(MARGINS),
            "The largest change that does not matter, of 1.",
        )
        .default(MARGIN),
    ];
    keys.into()
}

#[cfg(test)]
mod tests;
