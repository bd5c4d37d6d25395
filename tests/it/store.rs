//! A sweep that is killed, split, run twice at once or hurt on the disk loses nothing and tells the
//! same.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use routesim::rng::Stream;

const PROGRAM: &str = env!("CARGO_BIN_EXE_routesim-sweep");

/// How often sweeps are killed; `ROUTESIM_KILLS` asks for more.
const KILLS: u32 = 12;

/// Algorithms × rates × seeds of [`manifest`].
const RUNS: usize = 2 * 4 * 150;

/// A folder of its own for each test, empty at its start, with a manifest of many small runs.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("store").join(test);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("fleet.toml"), "[cluster]\nnum_backends = 4\n").unwrap();
    fs::write(folder.join("many.toml"), manifest("", 150)).unwrap();
    folder
}

fn manifest(before: &str, seeds: u32) -> String {
    format!(
        "{before}schema = 1\nname = \"many\"\n[grid]\nconfigs = [\"fleet.toml\"]\n\
         algorithms = [\"round_robin\", \"least_outstanding\"]\nrates = [5, 10, 20, 30]\n\
         seeds = {seeds}\n[workload]\nduration_s = 30\n[workload.generator]\n\
         [slo]\nttft_p95_ms = 500\n"
    )
}

fn command(folder: &Path, out: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).args(["many.toml", "--out", out]).current_dir(folder);
    command
}

fn run(folder: &Path, out: &str, arguments: &[&str]) -> Output {
    command(folder, out, arguments).output().unwrap()
}

fn begin(folder: &Path, out: &str) -> Child {
    let mut command = command(folder, out, &["run"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    stderr(output)
}

/// The tables and the answer, which must not depend on how a sweep came about.
fn results(folder: &Path, out: &str, output: &Output) -> [Vec<u8>; 4] {
    let file = |name: &str| fs::read(folder.join(out).join(name)).unwrap();
    [file("runs.parquet"), file("cells.parquet"), file("cells.csv"), output.stdout.clone()]
}

fn parts(folder: &Path, out: &str) -> Vec<PathBuf> {
    let mut parts = Vec::new();
    let Ok(folders) = fs::read_dir(folder.join(out).join("parts")) else { return parts };
    for folder in folders {
        let files = fs::read_dir(folder.unwrap().path()).unwrap();
        parts.extend(files.map(|file| file.unwrap().path()));
    }
    parts.retain(|path| path.extension().is_some_and(|ending| ending == "parquet"));
    parts.sort();
    parts
}

#[expect(clippy::disallowed_methods, reason = "asks how long the test may take")]
fn kills() -> u32 {
    std::env::var("ROUTESIM_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

/// Does something and says how many seconds it took.
#[expect(clippy::disallowed_methods, reason = "kills are to come while a sweep goes on")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = std::time::Instant::now();
    let done = work();
    (done, start.elapsed().as_secs_f64())
}

#[test]
fn a_sweep_that_is_killed_again_and_again_ends_with_the_same_bytes() {
    let folder = folder("killed");
    let (whole, seconds) = timed(|| run(&folder, "whole", &["run"]));
    succeeds(&whole);
    let mut moments = Stream::new(7, "test", 0);
    let mut round = 0;
    let mut kept = 0;
    while round < kills() {
        // A few kills to a store, so that most of them hit one that is half full.
        let out = format!("killed{}", round / 4);
        for _ in 0..4 {
            let mut child = begin(&folder, &out);
            sleep(Duration::from_secs_f64(0.02 + seconds * moments.uniform()));
            child.kill().unwrap();
            child.wait().unwrap();
            round += 1;
        }
        kept += parts(&folder, &out).len();
        let rest = run(&folder, &out, &["run", "--threads", "1"]);
        succeeds(&rest);
        assert_eq!(results(&folder, &out, &rest), results(&folder, "whole", &whole), "{out}");
    }
    assert!(kept > 0, "no kill came late enough to leave anything");
}

#[test]
fn shards_put_together_are_the_whole_however_many_there_are() {
    let folder = folder("shards");
    let whole = run(&folder, "whole", &["run"]);
    succeeds(&whole);
    for (count, balance) in [(1, "runs"), (3, "runs"), (7, "runs"), (3, "cost")] {
        let out = format!("of{count}-{balance}");
        for index in (0..count).rev() {
            let shard = format!("{index}/{count}");
            let done = run(&folder, &out, &["run", "--shard", &shard, "--balance", balance]);
            let told = succeeds(&done);
            assert!(!told.contains("done before"), "shards have no run in common: {told}");
            if index == 1 {
                let early = run(&folder, &out, &["merge"]);
                assert_eq!(early.status.code(), Some(3), "a shard is missing");
                assert!(stderr(&early).contains("runs are missing"), "{}", stderr(&early));
            }
        }
        let merged = run(&folder, &out, &["merge"]);
        succeeds(&merged);
        assert_eq!(results(&folder, &out, &merged), results(&folder, "whole", &whole), "{count}");
    }
}

#[test]
fn tables_that_are_whole_are_left_alone_and_others_made_again() {
    let folder = folder("current");
    let first = run(&folder, "out", &["run"]);
    succeeds(&first);
    let table = folder.join("out/runs.csv");
    let written = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let (bytes, before) = (fs::read(&table).unwrap(), written(&table));
    let again = run(&folder, "out", &["run"]);
    succeeds(&again);
    assert_eq!(written(&table), before, "the same table is not written again");
    assert_eq!(results(&folder, "out", &again), results(&folder, "out", &first));
    fs::write(&table, &bytes[..bytes.len() / 2]).unwrap();
    succeeds(&run(&folder, "out", &["run"]));
    assert!(fs::read(&table).unwrap() == bytes, "half a table is made whole");
}

#[test]
fn cells_of_one_id_run_once_and_both_have_rows() {
    let folder = folder("twins");
    fs::copy(folder.join("fleet.toml"), folder.join("twin.toml")).unwrap();
    let twice = manifest("", 20).replace("[\"fleet.toml\"]", "[\"fleet.toml\", \"twin.toml\"]");
    fs::write(folder.join("many.toml"), twice).unwrap();
    let told = succeeds(&run(&folder, "out", &["run", "--progress", "json"]));
    assert!(told.contains("\"runs\":160") || told.contains("\"runs\": 160"), "{told}");
    let rows = fs::read_to_string(folder.join("out/runs.csv")).unwrap();
    let of = |config: &str| {
        let own = rows.lines().filter(|row| row.contains(&format!(",{config},")));
        own.map(|row| row.replace(config, "")).collect::<Vec<_>>()
    };
    assert_eq!(of("fleet").len(), 160);
    assert_eq!(of("fleet"), of("twin"), "but for their name they are the same");
    let limited = run(&folder, "limited", &["run", "--set", "run.max_events=1"]);
    assert_eq!(limited.status.code(), Some(3), "{}", stderr(&limited));
    let rows = fs::read_to_string(folder.join("limited/runs.csv")).unwrap();
    assert_eq!(rows.matches(",limited,").count(), 320, "also runs that failed have both rows");
}

#[test]
fn explain_says_what_sets_a_run_apart() {
    let folder = folder("explain");
    succeeds(&run(&folder, "out", &["run"]));
    let explain = |id: &str, more: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(["explain", "many.toml", id, "--out", "out"]).args(more);
        let output = command.current_dir(&folder).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output)
    };
    let label = "fleet/round_robin/20";
    let done = explain(label, &[]);
    assert!(done.contains(&format!(": {label}\n")) && done.contains("seed 42, done"), "{done}");
    assert!(done.contains("\"num_backends\": "), "{done}");
    let run_id = done.split("run ").nth(1).unwrap().split(':').next().unwrap().to_owned();
    assert!(explain(&run_id, &[]).contains("seed 42, done"));
    let changed = ["--set", "cluster.max_queue_depth=7"];
    let new = explain(label, &changed);
    assert!(new.contains("seed 42, not done"), "{new}");
    assert!(new.contains("cluster.max_queue_depth: 7 here, "), "{new}");
    let gone = explain(&run_id, &changed);
    assert!(gone.contains("not of this manifest as it is now"), "{gone}");
    assert!(gone.contains("before, 7 now"), "{gone}");
    assert!(explain("nothing", &[]).contains("no run or cell of this manifest"));
}

#[test]
fn two_processes_may_fill_one_store() {
    let folder = folder("two");
    let whole = run(&folder, "whole", &["run"]);
    succeeds(&whole);
    let mut first = begin(&folder, "both");
    let second = run(&folder, "both", &["run"]);
    succeeds(&second);
    assert!(first.wait().unwrap().success());
    assert_eq!(results(&folder, "both", &second), results(&folder, "whole", &whole));
}

#[test]
fn only_what_is_new_in_a_manifest_runs() {
    let folder = folder("grown");
    fs::write(folder.join("many.toml"), manifest("", 100)).unwrap();
    succeeds(&run(&folder, "out", &["run"]));
    fs::write(folder.join("many.toml"), manifest("# More seeds.\n", 150)).unwrap();
    let told = succeeds(&run(&folder, "out", &["run"]));
    assert!(told.contains(&format!("800 of {RUNS} runs were done before")), "{told}");
    let again = run(&folder, "out", &["run"]);
    assert!(succeeds(&again).contains(&format!("{RUNS} of {RUNS} runs were done before")));
    let whole = run(&folder, "whole", &["run"]);
    assert_eq!(results(&folder, "out", &again)[1..], results(&folder, "whole", &whole)[1..]);
    let status = run(&folder, "out", &["status"]);
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(said.contains(&format!("{RUNS} of {RUNS} runs are done, 0 are not")), "{said}");
}

#[test]
fn a_damaged_part_costs_its_own_runs_and_no_others() {
    let folder = folder("damaged");
    let whole = run(&folder, "out", &["run"]);
    succeeds(&whole);
    let before = results(&folder, "out", &whole);
    let all = parts(&folder, "out");
    assert!(all.len() > 2, "{all:?}");
    let mut bytes = fs::read(&all[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&all[0], &bytes).unwrap();
    let bytes = fs::read(&all[1]).unwrap();
    fs::write(&all[1], &bytes[..bytes.len() / 3]).unwrap();
    let again = run(&folder, "out", &["run"]);
    let told = succeeds(&again);
    assert_eq!(told.matches("its runs count as not done").count() % 2, 0, "{told}");
    assert!(told.contains("runs were done before"), "{told}");
    assert!(!told.contains(&format!("{RUNS} of {RUNS} runs were done before")), "{told}");
    assert_eq!(results(&folder, "out", &again), before);
}

#[cfg(unix)]
#[test]
fn a_sweep_that_is_asked_to_stop_keeps_what_it_has_and_says_so() {
    let folder = folder("stopped");
    let whole = run(&folder, "whole", &["run"]);
    for signal in ["-TERM", "-INT"] {
        let out = format!("stopped{signal}");
        let mut long = command(&folder, &out, &["run", "--threads", "1"]);
        let mut child = long.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // From its first word on a signal is one to stop.
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut text = String::new();
        told.read_line(&mut text).unwrap();
        sleep(Duration::from_millis(100));
        let id = child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        told.read_to_string(&mut text).unwrap();
        let stopped = child.wait_with_output().unwrap();
        // A quick machine may be done by then.
        if stopped.status.code() != Some(0) {
            assert_eq!(stopped.status.code(), Some(75), "{text}");
            assert!(text.contains("the same command goes on"), "{text}");
            assert!(stopped.stdout.is_empty(), "no answer of a part");
        }
        let rest = run(&folder, &out, &["run"]);
        succeeds(&rest);
        assert_eq!(results(&folder, &out, &rest), results(&folder, "whole", &whole));
    }
}

#[test]
fn a_store_of_another_sweep_is_left_alone() {
    let folder = folder("other");
    succeeds(&run(&folder, "out", &["run"]));
    let other = manifest("", 150).replace("\"many\"", "\"other\"");
    fs::write(folder.join("many.toml"), other).unwrap();
    let refused = run(&folder, "out", &["run"]);
    assert_eq!(refused.status.code(), Some(2));
    let told = stderr(&refused);
    assert!(told.contains("results of the sweep `many`, not of `other`"), "{told}");
    assert!(told.contains("hint: give another folder with `--out`"), "{told}");
}

#[test]
fn commands_on_nothing_leave_nothing_behind() {
    let folder = folder("nothing");
    let merged = run(&folder, "nowhere", &["merge"]);
    assert_eq!(merged.status.code(), Some(3));
    assert!(stderr(&merged).contains(&format!("{RUNS} of {RUNS} runs are missing")));
    succeeds(&run(&folder, "nowhere", &["status"]));
    let cleaned = Command::new(PROGRAM).args(["gc", "nowhere"]).current_dir(&folder).output();
    let cleaned = cleaned.unwrap();
    assert_eq!(cleaned.status.code(), Some(2));
    assert!(stderr(&cleaned).contains("nowhere: no such folder"), "{}", stderr(&cleaned));
    assert!(!folder.join("nowhere").exists());
}

/// Runs the sweep under a shell that first does `before`.
#[cfg(unix)]
fn run_after(before: &str, folder: &Path, out: &str) -> Output {
    let script = format!("{before}; exec {PROGRAM} many.toml --out {out}");
    Command::new("sh").args(["-c", &script]).current_dir(folder).output().unwrap()
}

/// Every file below a folder that is on its way.
fn drafts(folder: &Path) -> Vec<PathBuf> {
    let mut drafts = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            drafts.extend(self::drafts(&path));
        } else if name.starts_with('.') {
            drafts.push(path);
        }
    }
    drafts
}

#[cfg(unix)]
#[test]
fn a_disk_that_takes_no_more_costs_what_was_not_written_and_nothing_else() {
    let folder = folder("full");
    let whole = run(&folder, "whole", &["run"]);
    succeeds(&whole);
    succeeds(&run(&folder, "out", &["run", "--shard", "0/2"]));
    let kept = parts(&folder, "out");
    // No file may have more than a few kB, so that parts can't be written; without its signal,
    // which would end the process, the system says no as a full disk does.
    let full = run_after("trap '' XFSZ; ulimit -f 16", &folder, "out");
    let told = stderr(&full);
    assert_eq!(full.status.code(), Some(2), "{told}");
    assert!(told.contains("File too large"), "{told}");
    assert!(
        told.contains("hint: make room and run again: what the store has already is kept"),
        "{told}"
    );
    assert!(full.stdout.is_empty(), "no answer");
    assert_eq!(parts(&folder, "out"), kept, "nothing half written has a name");
    assert_eq!(drafts(&folder.join("out")), Vec::<PathBuf>::new(), "and no draft is left");
    let rest = run(&folder, "out", &["run"]);
    succeeds(&rest);
    assert_eq!(results(&folder, "out", &rest), results(&folder, "whole", &whole));
    // The same where the disk is really full; the above stands in for it where none can be mounted.
    if let Some(told) = on_a_small_disk(&folder) {
        assert!(told.contains("No space left on device"), "{told}");
        assert!(told.contains("hint: make room and run again"), "{told}");
        assert!(told.contains("\ncode 2\n"), "{told}");
        assert!(told.contains(&format!(" of {RUNS} runs are done, ")), "{told}");
        assert!(!told.contains("draft "), "no draft is left: {told}");
    }
}

/// Runs the sweep and then `status` on a disk of 400 kB, which is there for these two only. Returns
/// what they say; none where no such disk can be mounted.
#[cfg(unix)]
fn on_a_small_disk(folder: &Path) -> Option<String> {
    fs::create_dir(folder.join("small")).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=400k none small && echo mounted || exit 0; \
         {PROGRAM} many.toml --out small/out 2>&1; echo \"code $?\"; \
         {PROGRAM} status many.toml --out small/out 2>&1; find small -name '.?*' -exec echo draft {{}} \\;"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", &script]).current_dir(folder);
    let told = String::from_utf8_lossy(&command.output().ok()?.stdout).into_owned();
    told.starts_with("mounted").then_some(told)
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_that_cannot_be_written_is_read_all_the_same() {
    let folder = folder("read-only");
    succeeds(&run(&folder, "out", &["run", "--shard", "0/2"]));
    let script = format!(
        "mount --bind out out && mount -o remount,bind,ro out && echo mounted || exit 0; \
         {PROGRAM} status many.toml --out out 2>&1; echo \"code $?\"; \
         {PROGRAM} many.toml --out out 2>&1; echo \"code $?\"; \
         {PROGRAM} many.toml --out out --shard 1/2 2>&1; echo \"code $?\""
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", &script]).current_dir(&folder);
    // Where nothing can be mounted there is nothing to be seen.
    let Ok(output) = command.output() else { return };
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    if told.starts_with("mounted") {
        let codes: Vec<&str> = told.lines().filter(|line| line.starts_with("code")).collect();
        assert_eq!(codes, ["code 0", "code 2", "code 2"], "{told}");
        assert_eq!(told.matches("Read-only file system").count(), 2, "{told}");
        assert!(told.contains(&format!(" of {RUNS} runs are done, ")), "{told}");
    }
    let rest = run(&folder, "out", &["run"]);
    succeeds(&rest);
    let whole = run(&folder, "whole", &["run"]);
    assert_eq!(results(&folder, "out", &rest), results(&folder, "whole", &whole));
}

#[test]
fn a_store_of_a_later_version_is_left_alone() {
    let folder = folder("newer");
    fs::create_dir(folder.join("out")).unwrap();
    let claim = folder.join("out/store.json");
    let later = "{ \"store_schema\": 2, \"sweep\": \"many\", \"layout\": \"unknown\" }\n";
    fs::write(&claim, later).unwrap();
    let refused = run(&folder, "out", &["run"]);
    let told = stderr(&refused);
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(told.contains("store schema 2, this version reads up to 1"), "{told}");
    assert!(told.contains("hint: update routesim"), "{told}");
    assert_eq!(fs::read_to_string(&claim).unwrap(), later);
    assert_eq!(fs::read_dir(folder.join("out")).unwrap().count(), 1, "nothing is made");
}

#[test]
fn a_file_where_parts_should_be_is_named_before_the_work_is_lost() {
    let folder = folder("taken");
    fs::create_dir(folder.join("out")).unwrap();
    fs::write(folder.join("out/parts"), "a file").unwrap();
    let refused = run(&folder, "out", &["run"]);
    let told = stderr(&refused);
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(told.contains("out/parts"), "{told}");
    assert!(told.contains("hint: a file stands where a folder should: move it away"), "{told}");
    assert_eq!(fs::read_to_string(folder.join("out/parts")).unwrap(), "a file");
}
