//! Reads `src/` and fails on what the layout forbids, as `path:line: what`.
//!
//! It reads text, so a path behind a macro escapes it; what the compiler or clippy can tell is left
//! to them.

mod code;

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use code::{code_of, found, uses};

/// The modules from the ground up: each uses only those before it.
const LAYERS: [&str; 18] = [
    "units", "document", "rng", "stats", "trace", "workload", "cluster", "router", "engine",
    "metrics", "scenario", "tables", "gate", "store", "study", "sweep", "report", "cli",
];

/// The simulator's slow twin, for tests: it may use any layer, and none may use it.
const TWIN: &str = "oracle";

/// Modules that don't know each other; `engine` is where they meet.
const STRANGERS: [(&str, &str); 2] = [("router", "cluster"), ("cluster", "router")];

/// Crates and their only homes.
const FENCES: [(&str, &[&str]); 9] = [
    ("argmin", &["study"]),
    ("argmin_math", &["study"]),
    ("toml_edit", &["report"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("ctrlc", &["cli"]),
    ("rayon", &["store", "study", "sweep"]),
    ("polars", &["tables"]),
    ("sha2", &["store"]),
];

/// What only `cli` and the programs may do: talk, stop, read the clock and the environment.
const WORLDLY: [&str; 10] = [
    "println!",
    "eprintln!",
    "print!",
    "eprint!",
    "io::stdout",
    "io::stderr",
    "process::exit",
    "Instant::now",
    "SystemTime::now",
    "std::env",
];

/// Marks of unfinished work.
const LEFTOVERS: [&str; 6] = ["todo!", "unimplemented!", "FIXME", "XXX", "dbg!", "#[ignore"];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 5] = ["util", "utils", "common", "helpers", "types"];

const MOST_LINES: usize = 600;

#[test]
fn tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    assert!(paths.len() > 10, "found {} sources only", paths.len());
    let mut faults = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("a source is readable");
        let name = path.strip_prefix(&root).expect("found under src");
        faults.extend(faults_of(&name.to_string_lossy().replace('\\', "/"), &text));
    }
    let listed: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "\n{}\n", listed.join("\n"));
}

/// Adds every Rust source under `folder`.
fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            walk(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

#[derive(Debug)]
struct Fault {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {}", self.path, self.line, self.what)
    }
}

/// One file: its path below `src/`, its text, and its text without comments and literals.
struct Source<'a> {
    path: &'a str,
    text: &'a str,
    code: String,
}

impl Source<'_> {
    /// The top-level module that the file belongs to.
    fn module(&self) -> &str {
        let top = self.path.split('/').next().unwrap_or_default();
        top.strip_suffix(".rs").unwrap_or(top)
    }

    /// Whether `super` means the crate's root here.
    fn is_top(&self) -> bool {
        self.path == format!("{}.rs", self.module())
            || self.path == format!("{}/mod.rs", self.module())
    }

    /// Whether a line belongs to tests: those stand at the foot of a file or in one of their own.
    fn is_test(&self, line: usize) -> bool {
        let own_file = self.path.split('/').any(|part| part == "tests" || part == "tests.rs");
        let foot = self.code.lines().position(|text| text.starts_with("mod tests {"));
        own_file || foot.is_some_and(|foot| line > foot)
    }
}

type Check = fn(&Source<'_>) -> Vec<(usize, String)>;

const CHECKS: [Check; 7] = [layers, fences, worldly, leftovers, names, length, grandparents];

fn faults_of(path: &str, text: &str) -> Vec<Fault> {
    let code = code_of(text);
    let source = Source { path, text, code };
    let found = CHECKS.iter().flat_map(|check| check(&source));
    found.map(|(line, what)| Fault { path: path.to_owned(), line, what }).collect()
}

/// An import of a layer above, or between two strangers.
fn layers(source: &Source<'_>) -> Vec<(usize, String)> {
    let from = source.module();
    let roots: &[&str] = match from {
        "lib" => &[],
        "bin" => &["routesim::"],
        _ if source.is_top() => &["crate::", "super::"],
        _ => &["crate::"],
    };
    let mut faults = Vec::new();
    for (line, to) in roots.iter().flat_map(|root| uses(&source.code, root)) {
        if from == "bin" && to != "cli" {
            faults.push((line, format!("a program uses `{to}`, expected `cli` only")));
        } else if rank(from).zip(rank(to)).is_some_and(|(own, other)| other > own) {
            faults.push((line, format!("`{from}` uses `{to}`, a layer above it")));
        } else if to == TWIN && from != TWIN {
            faults.push((line, format!("`{from}` uses `{to}`, which is there for tests alone")));
        } else if STRANGERS.contains(&(from, to)) {
            faults.push((line, format!("`{from}` uses `{to}`; they meet in `engine`")));
        }
    }
    faults
}

/// A crate outside its home.
fn fences(source: &Source<'_>) -> Vec<(usize, String)> {
    let strayed = FENCES.iter().filter(|(_, homes)| !homes.contains(&source.module()));
    strayed
        .flat_map(|(name, homes)| {
            let what = format!("`{name}` outside {}", homes.join(", "));
            found(&source.code, name).map(move |line| (line, what.clone()))
        })
        .collect()
}

/// Talk, clock and environment outside `cli`; tests may.
fn worldly(source: &Source<'_>) -> Vec<(usize, String)> {
    if ["cli", "bin"].contains(&source.module()) {
        return Vec::new();
    }
    let lines = WORLDLY.iter().flat_map(|name| {
        found(&source.code, name).map(move |line| (line, format!("`{name}` outside cli")))
    });
    lines.filter(|(line, _)| !source.is_test(*line)).collect()
}

/// Marks of unfinished work, in comments too.
fn leftovers(source: &Source<'_>) -> Vec<(usize, String)> {
    let marks = LEFTOVERS.iter().flat_map(|mark| {
        found(source.text, mark).map(move |line| (line, format!("`{mark}` left behind")))
    });
    marks.collect()
}

/// A module outside the table, or one whose name says nothing.
fn names(source: &Source<'_>) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    let module = source.module();
    if !LAYERS.contains(&module) && !["lib", "bin", TWIN].contains(&module) {
        faults.push((1, format!("`{module}` is not in the table of layers")));
    }
    for part in source.path.split('/') {
        if EMPTY_NAMES.contains(&part.strip_suffix(".rs").unwrap_or(part)) {
            faults.push((1, format!("`{part}` does not say what is inside")));
        }
    }
    for name in EMPTY_NAMES {
        let declared = format!("mod {name}");
        let lines = found(&source.code, &declared);
        faults.extend(lines.map(|line| (line, format!("`{declared}` says nothing"))));
    }
    faults
}

/// A file that is too long to be one thing.
fn length(source: &Source<'_>) -> Vec<(usize, String)> {
    let lines = source.text.lines().count();
    let what = format!("{lines} lines, expected at most {MOST_LINES}");
    if lines > MOST_LINES { vec![(MOST_LINES + 1, what)] } else { Vec::new() }
}

/// A path that climbs two modules hides which layer it means.
fn grandparents(source: &Source<'_>) -> Vec<(usize, String)> {
    let what = "`super::super::`, expected a path from `crate`";
    let climbs = ["super::super::", "super::{super::"];
    let lines = climbs.iter().flat_map(|climb| found(&source.code, climb));
    lines.map(|line| (line, what.to_owned())).collect()
}

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| *layer == module)
}

/// The faults of a planted file, as `line: what`.
fn planted(path: &str, text: &str) -> Vec<String> {
    let faults = faults_of(path, text);
    faults.iter().map(|fault| format!("{}: {}", fault.line, fault.what)).collect()
}

#[test]
fn good_code_passes() {
    let good = "//! Prints with println!, as `cli` does.\n\
        use crate::{rng::Stream, units::{SimTime, SimDuration}};\n\
        use super::row::Row;\n\
        const NAME: &str = \"std::env \\\" clap\";\n\
        const RAW: &str = r#\"use polars; \"crate::cli\"\"#;\n\
        fn quote<'a>(c: char) -> bool { c == '\"' || c == '\\'' }\n\
        /* rayon\n is fast */ fn reprint_println() {}\n\
        #[cfg(test)]\n\
        mod tests { use super::*; fn folder() { std::env::temp_dir(); } }\n";
    assert_eq!(planted("trace/read.rs", good), [""; 0]);
    let cli = "use clap::Parser;\nuse crate::sweep;\nfn main() { println!(); }\n";
    assert_eq!(planted("cli/mod.rs", cli), [""; 0]);
    assert_eq!(planted("bin/routesim.rs", "fn main() { routesim::cli::main(); }"), [""; 0]);
    assert_eq!(planted("lib.rs", "pub mod cli;\npub use crate::units::SimTime;\n"), [""; 0]);
}

#[test]
fn upward_imports_are_found() {
    let up = "1: `trace` uses `engine`, a layer above it";
    for text in [
        "use crate::engine::Sim;",
        "fn run() { crate::engine::run(); }",
        "use crate::{units::{SimTime}, engine};",
    ] {
        assert_eq!(planted("trace/read.rs", text), [up], "{text}");
    }
    assert_eq!(planted("trace/mod.rs", "use super::engine::Sim;"), [up]);
    let twin = "1: `trace` uses `oracle`, which is there for tests alone";
    assert_eq!(planted("trace/read.rs", "use crate::oracle::Sim;"), [twin]);
    assert_eq!(planted("oracle/sim.rs", "use crate::engine::Sim;"), [""; 0]);
    let lines = "use crate::{\n    units::SimTime,\n    // why\n    cli::main,\n};";
    assert_eq!(planted("rng.rs", lines), ["4: `rng` uses `cli`, a layer above it"]);
}

#[test]
fn strangers_are_kept_apart() {
    let router = planted("router/jsq.rs", "use crate::cluster::Backend;");
    assert_eq!(router, ["1: `router` uses `cluster`; they meet in `engine`"]);
    let cluster = planted("cluster/mod.rs", "use crate::router::View;");
    assert_eq!(cluster, ["1: `cluster` uses `router`, a layer above it"]);
}

#[test]
fn programs_use_the_command_line_only() {
    let found = planted("bin/routesim.rs", "use routesim::{cli, engine::Sim};");
    assert_eq!(found, ["1: a program uses `engine`, expected `cli` only"]);
}

#[test]
fn fenced_crates_are_found() {
    for (path, text, fault) in [
        ("sweep/plan.rs", "use clap::Parser;", "1: `clap` outside cli"),
        ("report/mod.rs", "use indicatif as bars;", "1: `indicatif` outside cli"),
        ("bin/routesim.rs", "\nctrlc::set_handler();", "2: `ctrlc` outside cli"),
        ("engine/sim.rs", "use {rayon::join};", "1: `rayon` outside store, study, sweep"),
        ("report/csv.rs", "fn f(t: polars::Frame) {}", "1: `polars` outside tables"),
    ] {
        assert_eq!(planted(path, text), [fault]);
    }
}

#[test]
fn talk_clock_and_environment_are_found() {
    for name in WORLDLY {
        let fault = format!("2: `{name}` outside cli");
        assert_eq!(planted("engine/sim.rs", &format!("\n{name}(1);\n")), [fault]);
    }
}

#[test]
fn leftovers_are_found() {
    for mark in LEFTOVERS {
        let fault = format!("2: `{mark}` left behind");
        assert_eq!(planted("units.rs", &format!("\n// {mark} later\n")), [fault]);
    }
}

#[test]
fn names_are_checked() {
    let stray = planted("queue/mod.rs", "");
    assert_eq!(stray, ["1: `queue` is not in the table of layers"]);
    for name in EMPTY_NAMES {
        let fault = format!("1: `{name}.rs` does not say what is inside");
        assert_eq!(planted(&format!("engine/{name}.rs"), ""), [fault]);
        let fault = format!("1: `mod {name}` says nothing");
        assert_eq!(planted("engine/sim.rs", &format!("mod {name} {{}}")), [fault]);
    }
    assert_eq!(planted("engine/common/queue.rs", "").len(), 1);
}

#[test]
fn long_files_are_found() {
    assert_eq!(planted("units.rs", &"\n".repeat(MOST_LINES)), [""; 0]);
    let found = planted("units.rs", &"\n".repeat(MOST_LINES + 1));
    assert_eq!(found, ["601: 601 lines, expected at most 600"]);
}

#[test]
fn paths_that_climb_twice_are_found() {
    let fault = "1: `super::super::`, expected a path from `crate`";
    assert_eq!(planted("trace/formats/csv.rs", "use super::super::row::Row;"), [fault]);
    assert_eq!(planted("trace/formats/csv.rs", "use super::{super::row::Row};"), [fault]);
}
