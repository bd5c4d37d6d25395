//! `routesim-sweep init`: what it writes runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of its own for each test, empty at its start.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("init").join(test);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn sweep(folder: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_routesim-sweep");
    Command::new(program).args(arguments).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_is_written_runs_and_answers() {
    let folder = folder("runs");
    let output = sweep(&folder, &["init"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let written = "experiments/first.toml\nexperiments/first.config.toml\n";
    assert_eq!(text(&output.stdout), written);
    assert_eq!(text(&output.stderr), "next: routesim-sweep experiments/first.toml\n");
    let output = sweep(&folder, &["experiments/first.toml", "--format", "json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let answers = answer["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 3);
    for answer in answers {
        // Neither the lowest nor the highest rate: the objectives tell the rates apart.
        let holds_to = answer["holds_to_rps"].as_f64().unwrap();
        assert!((80.0..120.0).contains(&holds_to), "{holds_to}");
    }
    assert!(folder.join("results/first/runs.parquet").exists());
}

#[test]
fn nothing_is_overwritten() {
    let folder = folder("again");
    assert!(sweep(&folder, &["init", "a.toml"]).status.success());
    fs::write(folder.join("a.toml"), "mine").unwrap();
    let output = sweep(&folder, &["init", "a.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let hint = "hint: nothing is overwritten; name another file, or move that one";
    assert_eq!(text(&output.stderr), format!("error: a.toml: there already\n{hint}\n"));
    assert_eq!(fs::read_to_string(folder.join("a.toml")).unwrap(), "mine");
    // Neither is a config; and no manifest is left without one.
    fs::remove_file(folder.join("a.toml")).unwrap();
    fs::write(folder.join("a.config.toml"), "mine").unwrap();
    let output = sweep(&folder, &["init", "a.toml"]);
    assert!(text(&output.stderr).starts_with("error: a.config.toml: there already"));
    assert_eq!(fs::read_to_string(folder.join("a.config.toml")).unwrap(), "mine");
    assert!(!folder.join("a.toml").exists());
}

#[test]
fn a_config_is_named_from_where_the_manifest_stands() {
    let folder = folder("config");
    fs::create_dir_all(folder.join("fleets")).unwrap();
    fs::write(folder.join("fleets/own.toml"), "[cluster]\nnum_backends = 3\n").unwrap();
    for (file, named) in
        [("a.toml", "fleets/own.toml"), ("deep/er/b.toml", "../../fleets/own.toml")]
    {
        let output = sweep(&folder, &["init", file, "--config", "fleets/own.toml"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), format!("{file}\n"));
        let manifest = fs::read_to_string(folder.join(file)).unwrap();
        assert!(manifest.contains(&format!("configs = [\"{named}\"]")), "{manifest}");
        let output = sweep(&folder, &["plan", file]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    fs::write(folder.join("fleets/bad.toml"), "[cluster]\nnum_backends = 0\n").unwrap();
    for config in ["fleets/bad.toml", "fleets/none.toml"] {
        let output = sweep(&folder, &["init", "c.toml", "--config", config]);
        assert_eq!(output.status.code(), Some(2));
        assert!(!folder.join("c.toml").exists());
    }
}
