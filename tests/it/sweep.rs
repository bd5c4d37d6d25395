//! The program `routesim-sweep`, from its command line to its files.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_routesim-sweep");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A folder of its own for each test, empty at its start.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sweep").join(test);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn sweep(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).current_dir(ROOT).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A grid of 2 × 2 × 2 cells that takes a moment; `{}` stands for further tables.
fn manifest(folder: &Path, more: &str) -> PathBuf {
    let configs = ["small", "large"].map(|name| folder.join(format!("{name}.toml")));
    for (config, backends) in configs.iter().zip([2, 4]) {
        fs::write(config, format!("[cluster]\nnum_backends = {backends}\n")).unwrap();
    }
    let path = folder.join("grid.toml");
    let grid = format!(
        "schema = 1\nname = \"grid\"\n[grid]\nconfigs = [\"*l*.toml\"]\n\
         algorithms = [\"round_robin\", {{ name = \"prefix_aware\", cache_weight = 0.7 }}]\n\
         rates = {{ start = 5, stop = 10, step = 5 }}\nseeds = 3\n\
         [workload]\nduration_s = 10\nwarmup_s = 2\n[workload.generator]\n{more}"
    );
    fs::write(&path, grid).unwrap();
    path
}

const SLO: &str = "[slo]\nttft_p95_ms = 500\n";

#[test]
fn one_thread_and_two_write_the_same_bytes() {
    let folder = folder("threads");
    let manifest = manifest(&folder, SLO);
    let run = |threads: &str| {
        let out = folder.join(threads);
        let arguments = [manifest.to_str().unwrap(), "--threads", threads, "--out"];
        let output = sweep(&[&arguments[..], &[out.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        (output.stdout, out)
    };
    let ((one, one_out), (two, two_out)) = (run("1"), run("2"));
    assert_eq!(text(&one), text(&two));
    let tables = ["runs", "cells", "cells_wide"];
    let files =
        tables.iter().flat_map(|table| [format!("{table}.parquet"), format!("{table}.csv")]);
    for file in files.chain(["manifest.toml".to_owned()]) {
        let [a, b] = [&one_out, &two_out].map(|out| fs::read(out.join(&file)).unwrap());
        assert!(a == b, "{file} differs");
    }
    let cells = fs::read_to_string(one_out.join("cells.csv")).unwrap();
    // 59 metrics and one objective for each of 8 cells, and the header.
    assert_eq!(cells.lines().count(), 8 * 60 + 1);
    assert!(!cells.contains("NaN") && !cells.contains("inf"), "not known is empty");
    let lines = |name: &str| fs::read_to_string(one_out.join(name)).unwrap().lines().count();
    assert_eq!((lines("cells_wide.csv"), lines("runs.csv")), (8 + 1, 24 + 1));
    assert!(cells.contains("small/prefix_aware(cache_weight=0.7)/5,small,"), "{cells}");
}

#[test]
fn the_answer_comes_as_text_json_and_csv() {
    let folder = folder("formats");
    let manifest = manifest(&folder, SLO);
    let out = folder.join("out");
    let run = |format: &str| {
        let arguments = ["run", manifest.to_str().unwrap(), "--format", format, "--out"];
        let output = sweep(&[&arguments[..], &[out.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let table = run("text");
    for part in ["SLO: ttft_p95_ms <= 500", "holds to", "large: 4 backends of H100Sxm"] {
        assert!(table.contains(part), "{table}");
    }
    let answer: serde_json::Value = serde_json::from_str(&run("json")).unwrap();
    assert_eq!(answer["schema"], "routesim.answer/1");
    assert_eq!(answer["answers"].as_array().unwrap().len(), 4);
    assert_eq!(run("csv"), fs::read_to_string(out.join("cells.csv")).unwrap());
}

#[test]
fn a_value_stands_under_its_own_rate_also_where_algorithms_differ_in_theirs() {
    let folder = folder("rates");
    let config = Path::new(ROOT).join("configs/default.toml");
    for (first, second) in [("round_robin", "least_kv"), ("least_kv", "round_robin")] {
        let manifest = format!(
            "schema = 1\nname = \"rates\"\n[grid]\nconfigs = [{config:?}]\n\
             algorithms = [\"{first}\", \"{second}\"]\nrates = [5, 20, 40]\n\
             exclude = [{{ algorithm = \"round_robin\", rate = 20 }},\n\
             {{ algorithm = \"least_kv\", rate = 40 }}]\n\
             [workload]\nduration_s = 20\n[workload.generator]\n"
        );
        let path = folder.join("rates.toml");
        fs::write(&path, manifest).unwrap();
        let (path, out) = (path.to_str().unwrap(), folder.join(first));
        let ran = sweep(&[path, "--out", out.to_str().unwrap()]);
        assert!(ran.status.success(), "{}", text(&ran.stderr));
        let shown = text(&ran.stdout);
        let header = shown.lines().find(|line| line.contains("5/s")).unwrap();
        let ends: Vec<usize> =
            ["5/s", "20/s", "40/s"].map(|rate| header.find(rate).unwrap() + rate.len()).into();
        let cells = fs::read_to_string(out.join("cells_wide.csv")).unwrap();
        let names: Vec<&str> = cells.lines().next().unwrap().split(',').collect();
        let place = |name: &str| names.iter().position(|own| *own == name).unwrap();
        let mut seen = 0;
        for row in cells.lines().skip(1).map(|row| row.split(',').collect::<Vec<_>>()) {
            let at = |name: &str| row[place(name)];
            let rate = at("rate_rps");
            let mean: f64 = at("ttft_mean_ms_mean").parse().unwrap();
            let line = shown.lines().rfind(|line| line.starts_with(at("algorithm"))).unwrap();
            let column = ["5.0", "20.0", "40.0"].iter().position(|own| *own == rate).unwrap();
            let from = column.checked_sub(1).map_or("least_kv".len(), |before| ends[before]);
            let shown_there = &line[from..ends[column].min(line.len())];
            assert!(shown_there.contains(&format!("{mean:.1}")), "{rate}: {shown}");
            seen += 1;
        }
        assert_eq!(seen, 4);
    }
}

#[test]
fn a_run_that_fails_is_a_row_with_its_error() {
    let folder = folder("failing");
    // 5 req/s for 10 s are about 50 requests: the warm-up leaves nothing of them, at 10 it does.
    let manifest = manifest(&folder, "");
    let grid = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, grid.replace("warmup_s = 2", "warmup_requests = 75")).unwrap();
    let out = folder.join("out");
    let output = sweep(&[manifest.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(stdout.contains("12 runs failed"), "{stdout}");
    assert!(stderr.contains("/round_robin/5 seed 42: "), "{stderr}");
    let cells = fs::read_to_string(out.join("cells.csv")).unwrap();
    let failed = cells.lines().find(|line| line.contains("/round_robin/5,")).unwrap();
    assert!(failed.contains(",0,3,,,,,,,"), "no values, three failed: {failed}");
}

#[test]
fn every_manifest_and_config_of_the_project_is_sound() {
    let mut planned = 0;
    for entry in fs::read_dir(Path::new(ROOT).join("experiments")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let output = sweep(&["plan", path.to_str().unwrap()]);
            assert!(output.status.success(), "{}: {}", path.display(), text(&output.stderr));
            assert!(text(&output.stdout).contains(" runs\n"));
            planned += 1;
        }
    }
    assert!(planned > 0);
    for entry in fs::read_dir(Path::new(ROOT).join("configs")).unwrap() {
        let path = entry.unwrap().path();
        if let Err(error) = routesim::scenario::Config::load(&path) {
            panic!("{error}");
        }
    }
}

/// What is changed in a good manifest, and what the error must say.
const BAD: &[(&str, &str, &[&str])] = &[
    ("schema = 1", "schema = 2", &["grid.toml:1:", "`schema` is 2"]),
    ("schema = 1\n", "", &["no `schema`", "schema = 1"]),
    ("name = \"grid\"", "name = \"../up\"", &["`name` is \"../up\"", "a name of letters"]),
    ("seeds = 3", "seedz = 3", &["unknown key `seedz` in [grid]", "did you mean `seeds`?"]),
    ("seeds = 3", "seeds = 0", &["`grid.seeds` is 0"]),
    (
        "stop = 10, step = 5 }\nseeds = 3",
        "stop = 10, step = 0.5 }\nseeds = 100000",
        &["runs, at most 4000000"],
    ),
    ("seeds = 3", "seeds = [1, 1]", &["`grid.seeds` has 1 twice"]),
    ("\"round_robin\"", "\"round_robbin\"", &["unknown algorithm", "did you mean `round_robin`?"]),
    ("\"round_robin\"", "\"prefix_aware\", \"prefix_aware\"", &["has prefix_aware twice"]),
    ("cache_weight = 0.7", "cache_weight = 7", &["expected a number from 0 to 1"]),
    ("start = 5", "start = -5", &["`grid.rates.start` is -5"]),
    ("start = 5", "start = 50", &["`grid.rates` is empty"]),
    ("step = 5", "step = inf", &["`grid.rates.step` is inf"]),
    ("rates = { start = 5, stop = 10, step = 5 }", "rates = [0]", &["`grid.rates[0]` is 0"]),
    ("rates = { start = 5, stop = 10, step = 5 }", "", &["a generator needs `rates`"]),
    ("*l*.toml", "none*.toml", &["no file matches `none*.toml`"]),
    ("*l*.toml", "none.toml", &["none.toml: No such file"]),
    ("configs = [\"*l*.toml\"]", "configs = []", &["`grid.configs` is empty"]),
    ("duration_s = 10", "duration_s = 1", &["the warm-up is as long as the run"]),
    ("[workload.generator]", "trace = \"none.jsonl\"", &["none.jsonl: No such file"]),
    ("[workload.generator]", "", &["[workload] has no requests"]),
    ("[workload.generator]", "[workload.generator]\nprompt_mean = -1", &["prompt_mean"]),
    ("seeds = 3", "seeds = ", &["grid.toml:7:"]),
];

#[test]
fn bad_manifests_are_refused_with_their_place() {
    for (index, (good, bad, parts)) in BAD.iter().enumerate() {
        let folder = folder(&format!("bad-{index}"));
        let manifest = manifest(&folder, "");
        let grid = fs::read_to_string(&manifest).unwrap();
        assert!(grid.contains(good), "{good}");
        fs::write(&manifest, grid.replacen(good, bad, 1)).unwrap();
        let out = folder.join("out");
        let output = sweep(&[manifest.to_str().unwrap(), "--out", out.to_str().unwrap()]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{bad}: {stderr}");
        assert!(parts.iter().all(|part| stderr.contains(part)), "{bad}: {stderr}");
        assert!(!out.exists(), "{bad}: nothing is made for a manifest that can't run");
    }
}

#[test]
fn a_misspelt_command_is_no_manifest() {
    for (word, command) in [("plna", "plan"), ("stauts", "status"), ("explian", "explain")] {
        for arguments in [&[word][..], &[word, "m.toml"], &[word, "m.toml", "--list"]] {
            let output = sweep(arguments);
            assert_eq!(output.status.code(), Some(2));
            let expected =
                format!("error: no file `{word}`; did you mean the command `{command}`?\n");
            assert_eq!(text(&output.stderr), expected);
        }
    }
    // A file is a file, whatever it is called, and other words are like no command.
    let folder = folder("misspelt");
    fs::write(folder.join("plna"), "schema = 2\n").unwrap();
    let output = Command::new(PROGRAM).arg("plna").current_dir(&folder).output().unwrap();
    assert!(text(&output.stderr).contains("plna:1:10: `schema` is 2"));
    assert!(text(&sweep(&["capacity"]).stderr).starts_with("error: capacity: "));
    assert!(sweep(&["help"]).status.success());
}

#[test]
fn a_folder_that_cannot_be_written_is_found_before_the_work() {
    let folder = folder("unwritable");
    let manifest = manifest(&folder, "");
    let taken = folder.join("taken");
    fs::write(&taken, "a file").unwrap();
    let output = sweep(&[manifest.to_str().unwrap(), "--out", taken.to_str().unwrap()]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("taken: not a directory") && stderr.contains("hint: "), "{stderr}");
    assert!(!stderr.contains("runs"), "found before the first run: {stderr}");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let folder = folder("pipe");
    let manifest = manifest(&folder, "");
    let mut child = Command::new(PROGRAM)
        .args([manifest.to_str().unwrap(), "--out", folder.join("out").to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// Begins a sweep of long runs and returns it once its runs have begun, with what it says then.
#[cfg(unix)]
fn begun(folder: &Path, duration_s: &str) -> (Child, BufReader<ChildStderr>) {
    let manifest = manifest(folder, "");
    let grid = fs::read_to_string(&manifest).unwrap();
    let grid = grid.replace("duration_s = 10", &format!("duration_s = {duration_s}"));
    fs::write(&manifest, grid).unwrap();
    let out = folder.join("out");
    let mut child = Command::new(PROGRAM)
        .args([manifest.to_str().unwrap(), "--out", out.to_str().unwrap()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The line that the runs begin comes when the handler stands.
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    read_until(&mut stderr, "grid: 24 runs");
    (child, stderr)
}

#[cfg(unix)]
fn read_until(stderr: &mut BufReader<ChildStderr>, what: &str) {
    let mut said = String::new();
    while !said.contains(what) {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "{said}");
    }
}

#[cfg(unix)]
fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn an_interrupt_keeps_what_is_done_and_leaves_no_draft() {
    let folder = folder("interrupt");
    let (mut child, mut stderr) = begun(&folder, "20000");
    interrupt(&child);
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(75), "{said}");
    assert!(said.contains("stopped: ") && said.contains("the same command goes on"), "{said}");
    let files = fs::read_dir(folder.join("out")).unwrap();
    let mut files: Vec<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    // Where the signal comes before the first run began there are none.
    files.retain(|name| name != "parts");
    files.sort();
    assert_eq!(files, ["events", "plan.json", "specs", "store.json"]);
}

#[cfg(unix)]
#[test]
fn a_second_interrupt_ends_it_at_once_with_130() {
    let folder = folder("twice");
    let (mut child, mut stderr) = begun(&folder, "2000000");
    interrupt(&child);
    read_until(&mut stderr, "once more ends at once");
    interrupt(&child);
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains("ended at once"), "{said}");
}
