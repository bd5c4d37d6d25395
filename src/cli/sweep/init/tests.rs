use std::collections::BTreeSet;

use super::*;
use crate::document::KeyKind;
use crate::sweep::{Manifest, manifest_keys};

/// Keys that go with a trace, in place of the generator.
const OF_TRACE: &[&str] = &[
    "workload.trace",
    "workload.format",
    "workload.block_size",
    "workload.dequantize",
    "workload.bootstrap_block_s",
];

/// Keys of which one needs another.
const OF_ATTAINMENT: &[&str] = &["slo.attainment_ratio", "slo.ttft_ms", "slo.tpot_ms"];

/// A line of the template that sets a key.
#[derive(Debug)]
struct Line {
    index: usize,
    /// The line of its table's header.
    header: Option<usize>,
    /// The dotted path of the key.
    path: String,
    is_off: bool,
}

fn template() -> String {
    manifest(Path::new("m.toml"), "m", Path::new("m.config.toml"))
}

/// Every line that sets a key, with it switched on or off.
fn lines(text: &str) -> Vec<Line> {
    let mut header: Option<(usize, &str)> = None;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let is_off = line.starts_with('#');
        let line = line.strip_prefix('#').unwrap_or(line);
        if line.is_empty() || line.starts_with(' ') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            header = Some((index, name.split(']').next().unwrap()));
            continue;
        }
        let key = line.split('=').next().unwrap().trim().trim_matches('"');
        let table = header.map_or(String::new(), |(_, name)| format!("{name}."));
        let header = header.map(|(index, _)| index);
        lines.push(Line { index, header, path: format!("{table}{key}"), is_off });
    }
    lines
}

fn is_below(path: &str, tables: &[&str]) -> bool {
    tables.iter().any(|table| path == *table || path.starts_with(&format!("{table}.")))
}

/// The template with the line and its table's header on, and what excludes it off.
fn switched_on(text: &str, line: &Line) -> String {
    let on = |index: usize, shown: &str| {
        let of_line = index == line.index || Some(index) == line.header;
        let with_trace = is_below(&line.path, OF_TRACE) && shown.starts_with("#trace");
        let with_base = line.path == "unset" && shown.starts_with("#extends");
        let of_precision = ["#[statistics.precision]", "#metric =", "#relative ="];
        let with_precision = is_below(&line.path, &["statistics"])
            && of_precision.iter().any(|start| shown.starts_with(start));
        let of_attainment = ["#attainment_ratio =", "#ttft_ms =", "#tpot_ms ="];
        let with_attainment = OF_ATTAINMENT.contains(&line.path.as_str())
            && of_attainment.iter().any(|start| shown.starts_with(start));
        let other = (line.path == "workload.warmup_requests" && shown.starts_with("warmup_s"))
            || (is_below(&line.path, OF_TRACE) && shown == "[workload.generator]");
        match shown.strip_prefix('#') {
            Some(rest)
                if of_line || with_trace || with_base || with_precision || with_attainment =>
            {
                rest.to_owned()
            }
            None if other => format!("#{shown}"),
            _ => shown.to_owned(),
        }
    };
    text.lines().enumerate().map(|(index, shown)| on(index, shown) + "\n").collect()
}

#[test]
fn every_key_of_a_manifest_is_shown() {
    let text = template();
    let shown: BTreeSet<String> = lines(&text).into_iter().map(|line| line.path).collect();
    for (path, key) in manifest_keys().entries() {
        let named_by_others = is_below(&path, &["set", "slo", "grids"]);
        let is_shown = match &key.kind {
            KeyKind::Table(_) => text.contains(&format!("[{path}")),
            _ => named_by_others || shown.contains(&path),
        };
        assert!(is_shown || named_by_others && path.contains('.'), "{path}");
    }
}

#[test]
fn every_key_that_is_off_can_be_switched_on() {
    let folder = std::env::temp_dir().join(format!("routesim-init-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("m.config.toml"), CONFIG).unwrap();
    fs::write(folder.join("base.toml"), "seed = 7\n").unwrap();
    let read = |text: &str| {
        fs::write(folder.join("m.toml"), text).unwrap();
        Manifest::load(&folder.join("m.toml"))
    };
    let text = template();
    let plain = read(&text).unwrap();
    let mut tried = 0;
    for line in lines(&text).iter().filter(|line| line.is_off) {
        let read = read(&switched_on(&text, line));
        let read = read.unwrap_or_else(|error| panic!("{}: {error}", line.path));
        assert_ne!(read.text, plain.text, "{}", line.path);
        tried += 1;
    }
    assert!(tried > 14, "{tried}");
    let whole: String = CONFIG.lines().map(|line| switch(line) + "\n").collect();
    assert!(Config::parse("m.config.toml", &whole).is_ok(), "{whole}");
    fs::remove_dir_all(&folder).unwrap();
}

fn switch(line: &str) -> String {
    let off = line.strip_prefix('#').filter(|rest| !rest.starts_with(' '));
    off.unwrap_or(line).to_owned()
}

#[test]
fn names_and_paths_fit_into_the_manifest() {
    for (file, name) in [
        ("experiments/first.toml", Some("first")),
        ("a b.v2.toml", Some("a-b.v2")),
        ("é.toml", Some("-")),
        (".hidden", Some("hidden")),
        ("..", None),
    ] {
        assert_eq!(name_of(Path::new(file)).as_deref(), name, "{file}");
    }
    let text = manifest(Path::new("x\ny"), "n", Path::new("a\"[b].toml"));
    let table: toml::Table = text.parse().unwrap();
    assert_eq!(table["grid"]["configs"][0].as_str(), Some("a\"[[]b[]].toml"));
}
