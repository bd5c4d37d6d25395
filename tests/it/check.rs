//! `routesim-sweep check` and `baseline update`, from command lines to exit codes and files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_routesim-sweep");

/// A folder in which sweeps are run and checked.
struct Place(PathBuf);

impl Place {
    /// A folder of its own for each test, with a manifest of two cells and four seeds.
    fn new(test: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check").join(test);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("small.toml"), "[cluster]\nnum_backends = 2\n").unwrap();
        let manifest = "schema = 1\nname = \"grid\"\n[grid]\nconfigs = [\"small.toml\"]\n\
             algorithms = [\"round_robin\", \"least_outstanding\"]\nrates = [10]\nseeds = 4\n\
             [workload]\nduration_s = 12\nwarmup_s = 2\n[workload.generator]\n\
             [gate]\nmetrics = [\"ttft_mean_ms\", \"tpot_mean_ms\", \"throughput_rps\"]\n";
        fs::write(folder.join("grid.toml"), manifest).unwrap();
        Self(folder)
    }

    fn call(&self, arguments: &[&str]) -> Output {
        Command::new(PROGRAM).args(arguments).current_dir(&self.0).output().unwrap()
    }

    /// Runs the grid into a folder, with keys set.
    fn run(&self, out: &str, set: &[&str]) -> i32 {
        let set = set.iter().flat_map(|key| ["--set", *key]);
        let arguments: Vec<&str> = ["grid.toml", "--out", out].into_iter().chain(set).collect();
        self.call(&arguments).status.code().unwrap()
    }

    /// Calls and returns the exit code with all that was said.
    fn told(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.call(arguments);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.call(&[arguments, &["--format", "json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.0.join(file)).unwrap()
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        fs::write(self.0.join(file), bytes).unwrap();
    }
}

/// A slower fleet: the same names, another spec.
const SLOWER: &[&str] = &["cluster.compute_model.decode_tokens_per_sec_batch1=40"];

#[test]
fn results_become_a_baseline_and_equal_ones_pass() {
    let place = Place::new("equal");
    assert_eq!(place.run("new", &[]), 0);
    let (code, said) = place.told(&["check", "new"]);
    assert_eq!(code, 2, "{said}");
    let hint = "hint: `routesim-sweep baseline update new` takes these results as one\n";
    assert_eq!(said, format!("error: baselines/grid: no baseline yet\n{hint}"));
    let (code, said) = place.told(&["baseline", "update", "new"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("baselines/grid: 8 runs of 2 cells by 0.1.0-engine."), "{said}");
    assert!(said.ends_with("(new)\n"), "{said}");
    for file in ["runs.parquet", "manifest.toml", "provenance.json"] {
        assert_eq!(
            place.read(&format!("new/{file}")),
            place.read(&format!("baselines/grid/{file}"))
        );
    }
    assert_eq!(fs::read_dir(place.0.join("baselines/grid")).unwrap().count(), 3);
    // Of a folder and of a table alone, and of the folder against itself.
    for arguments in [
        &["check", "new"][..],
        &["check", "new", "new"],
        &["check", "new", "baselines/grid/runs.parquet"],
    ] {
        let (code, said) = place.told(arguments);
        assert_eq!(code, 0, "{said}");
        assert!(
            said.contains(
                "PASSED: 0 regression, 0 inconclusive, 0 improved, 0 equivalent, 6 unchanged"
            ),
            "{said}"
        );
        assert!(
            said.contains("2 cells, 8 pairs of runs, 3 metrics; 2 cells without any change"),
            "{said}"
        );
    }
    let (code, said) = place.told(&["baseline", "update", "new"]);
    assert_eq!((code, said.contains("(the same table as before)")), (0, true), "{said}");
}

#[test]
fn what_is_slower_fails_and_turned_around_it_is_better() {
    let place = Place::new("slower");
    assert_eq!((place.run("old", &[]), place.run("new", SLOWER)), (0, 0));
    let (code, said) =
        place.told(&["check", "new", "old", "--junit", "j.xml", "--markdown", "m.md"]);
    assert_eq!(code, 1, "{said}");
    for part in [
        "regression (",
        "\n  tpot_mean_ms ",
        "note: 2 cells paired by name alone",
        "REGRESSION: ",
        "routesim-sweep baseline update new old",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let told = place.json(&["check", "new", "old"]);
    assert_eq!(
        (&told["schema"], &told["outcome"]),
        (&"routesim.check/1".into(), &"regression".into())
    );
    let cell = &told["cells"][0];
    assert_eq!((&cell["paired_by"], &cell["pairs"]), (&"cell_label".into(), &4.into()));
    assert_eq!(cell["metrics"][1]["metric"], "tpot_mean_ms");
    let effect = cell["metrics"][1]["effect"].as_f64().unwrap();
    assert!((1.02..1.2).contains(&effect), "{effect}");
    assert_eq!(told["new"]["missing_runs"], 0);
    let (code, said) = place.told(&["check", "old", "new"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("improved ("), "{said}");
    let xml = String::from_utf8(place.read("j.xml")).unwrap();
    is_well_formed(&xml);
    assert!(xml.contains("<failure message=\"regression of tpot_mean_ms: +"), "{xml}");
    assert!(xml.contains("routesim-sweep check new old"), "{xml}");
    let markdown = String::from_utf8(place.read("m.md")).unwrap();
    assert!(markdown.starts_with("## RouteSim check: REGRESSION\n"), "{markdown}");
    assert!(markdown.contains("| regression | small/least\\_outstanding/10 |"), "{markdown}");
    let (code, said) = place.told(&["baseline", "update", "new", "old"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("old: is the folder of a sweep"), "{said}");
}

/// Fails unless every tag is closed and every reference is known.
fn is_well_formed(xml: &str) {
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut depth = 0;
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Start(_) => depth += 1,
            quick_xml::events::Event::End(_) => depth -= 1,
            quick_xml::events::Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0);
}

#[test]
fn what_the_runs_do_not_say_fails_only_when_that_is_asked_for() {
    let place = Place::new("inconclusive");
    assert_eq!(
        (place.run("old", &["grid.seeds=1"]), place.run("new", &[SLOWER[0], "grid.seeds=1"])),
        (0, 0)
    );
    let (code, said) = place.told(&["check", "new", "old"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("PASSED: 0 regression, "), "{said}");
    assert!(said.contains("one pair of runs has no spread"), "{said}");
    let (code, said) = place.told(&["check", "new", "old", "--strict"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("INCONCLUSIVE: ") && said.contains("next: more seeds"), "{said}");
    assert!(place.json(&["check", "new", "old"])["cells"][0]["metrics"][0]["p_worse"].is_null());
}

#[test]
fn a_manifest_that_is_named_says_how_to_judge() {
    let place = Place::new("manifest");
    assert_eq!((place.run("old", &[]), place.run("new", SLOWER)), (0, 0));
    let manifest = String::from_utf8(place.read("grid.toml")).unwrap();
    place.write("lax.toml", format!("{manifest}min_effect = 0.5\n").as_bytes());
    let (code, said) = place.told(&["check", "new", "old", "--manifest", "lax.toml"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("changes below 50 % do not matter"), "{said}");
    place.write("bad.toml", format!("{manifest}min_effect = -1\n").as_bytes());
    let (code, said) = place.told(&["check", "new", "old", "--manifest", "bad.toml"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("bad.toml:14:") && said.contains("`gate.min_effect` is -1"), "{said}");
    // Of before there was a gate: the defaults, and a word on it.
    let mut seal: Value = serde_json::from_slice(&place.read("new/provenance.json")).unwrap();
    seal.as_object_mut().unwrap().remove("gate");
    place.write("new/provenance.json", seal.to_string().as_bytes());
    let (code, said) = place.told(&["check", "new", "old"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("note: new does not say how to judge it"), "{said}");
}

#[test]
fn new_runs_that_failed_or_are_missing_are_code_3() {
    let place = Place::new("lacking");
    assert_eq!(place.run("old", &[]), 0);
    assert_eq!(place.run("limited", &["run.max_events=10"]), 3);
    let (code, said) = place.told(&["check", "limited", "old", "--junit", "j.xml"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("INCOMPLETE: ") && said.contains("note: 8 new runs failed"), "{said}");
    assert!(said.contains("small/round_robin/10 seed 42: failed: "), "{said}");
    let xml = String::from_utf8(place.read("j.xml")).unwrap();
    is_well_formed(&xml);
    assert!(xml.contains("errors=\"2\""), "{xml}");
    // What failed on the other side is told, and no more.
    let (code, said) = place.told(&["check", "old", "limited"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("note: 8 runs of the baseline failed; not compared"), "{said}");
    assert_eq!(place.run("fewer", &["grid.seeds=3", "grid.algorithms=[\"round_robin\"]"]), 0);
    let (code, said) = place.told(&["check", "fewer", "old"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("small/round_robin/10: no seed 45"), "{said}");
    assert!(said.contains("small/least_outstanding/10: no such cell (4 runs before)"), "{said}");
    let (code, said) = place.told(&["check", "old", "fewer"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("note: 1 new cell not in the baseline; not compared"), "{said}");
}

#[test]
fn an_incomplete_sweep_is_no_baseline_unless_that_is_asked_for() {
    let place = Place::new("partial");
    assert_eq!(place.run("limited", &["run.max_events=10"]), 3);
    let (code, said) = place.told(&["baseline", "update", "limited", "base"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("limited: not complete: runs failed: 8, missing: 0"), "{said}");
    assert!(said.contains("hint: ") && !place.0.join("base").exists(), "{said}");
    let (code, said) = place.told(&["baseline", "update", "limited", "base", "--allow-partial"]);
    assert_eq!(code, 0, "{said}");
    // The next one says what it replaces.
    assert_eq!(place.run("whole", &["grid.seeds=2"]), 0);
    let (code, said) = place.told(&["baseline", "update", "whole", "base"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("4 runs of 2 cells") && said.contains("(was 8 runs of 2 cells by "),
        "{said}"
    );
    fs::remove_file(place.0.join("whole/provenance.json")).unwrap();
    for arguments in [
        &["baseline", "update", "whole", "base", "--allow-partial"][..],
        &["check", "whole", "base"],
    ] {
        let (code, said) = place.told(arguments);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("whole: not whole: it has no provenance.json"), "{said}");
    }
    fs::create_dir(place.0.join("mine")).unwrap();
    place.write("mine/notes.txt", b"mine");
    let (code, said) = place.told(&["baseline", "update", "limited", "mine", "--allow-partial"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("mine: has other files, and no baseline"), "{said}");
}

#[test]
fn what_cannot_be_compared_is_an_error_with_a_hint() {
    let place = Place::new("errors");
    assert_eq!(place.run("old", &[]), 0);
    assert_eq!(place.run("other", &["grid.rates=[5]"]), 0);
    assert_eq!(place.run("seeds", &["seed=1000"]), 0);
    place.write("notes.txt", b"no table");
    let whole = place.read("old/runs.parquet");
    place.write("short.parquet", &whole[..whole.len() / 2]);
    let patched = |from: &[u8], to: &[u8]| {
        let at = whole.windows(from.len()).position(|own| own == from).unwrap();
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    let key = b"routesim.schema_version\x18\x011";
    place.write("later.parquet", &patched(key, b"routesim.schema_version\x18\x019"));
    place.write("foreign.parquet", &patched(key, b"elsewhere.schema_versio\x18\x011"));
    fs::create_dir(place.0.join("cut")).unwrap();
    place.write("cut/provenance.json", &place.read("old/provenance.json"));
    place.write("cut/runs.parquet", &whole[..whole.len() - 1]);
    fs::create_dir(place.0.join("torn")).unwrap();
    place.write("torn/provenance.json", b"{");
    for (new, parts) in [
        ("none", ["none: No such file", "name a folder of results"]),
        ("notes.txt", ["notes.txt: the table of runs can't be read", "hint: "]),
        ("short.parquet", ["short.parquet: the table of runs can't be read", "hint: "]),
        ("later.parquet", ["tables of schema version 9, this program reads 1", "hint: "]),
        ("foreign.parquet", ["foreign.parquet: not a table of RouteSim", "hint: "]),
        ("cut", ["bytes, but provenance.json says", "cut short"]),
        ("torn", ["torn/provenance.json: damaged", "EOF"]),
        ("other", ["another grid: none of the 2 new cells", "hint: "]),
        ("seeds", ["other seeds: no run", "run both with the same `seed`"]),
        ("old/timing.parquet", ["not a table of runs", "hint: "]),
    ] {
        let (code, said) = place.told(&["check", new, "old"]);
        assert_eq!(code, 2, "{new}: {said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{new}: {said}");
        assert!(said.starts_with("error: ") || said.starts_with("note: "), "{new}: {said}");
    }
}

#[test]
fn a_table_with_a_changed_byte_gives_a_result_or_an_error_and_no_crash() {
    let place = Place::new("bytes");
    assert_eq!(place.run("old", &[]), 0);
    let whole = place.read("old/runs.parquet");
    for step in 0..40 {
        let mut bytes = whole.clone();
        let at = step * whole.len() / 40 + step % 7;
        bytes[at.min(whole.len() - 1)] ^= 0x55;
        place.write("new.parquet", &bytes);
        let (code, said) = place.told(&["check", "new.parquet", "old"]);
        assert!((0..=3).contains(&code), "byte {at}: code {code}: {said}");
        assert!(!said.contains("panicked"), "byte {at}: {said}");
    }
}
