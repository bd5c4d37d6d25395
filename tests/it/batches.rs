//! Parts of a grid: executed in batches, and answered before the rest has run.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use routesim::report::{answers_json, sweep_text};
use routesim::sweep::{
    Answer, CellAnswer, Effort, Ended, Execution, ExecutionSpec, Grid, Identity, Manifest,
    Observer, Plan, Pool, StopFlag,
};
use routesim::tables::{
    Frame, RunIndex, RunRow, RunsReader, results_frame, runs_frame, side_by_side, stacked,
};

/// Does something when so many runs have ended.
struct After<F>(usize, AtomicUsize, F);

impl<F: Fn() + Sync> Observer for After<F> {
    fn run_ended(&self, _row: &RunRow, _effort: &Effort) {
        if self.1.fetch_add(1, Ordering::Relaxed) + 1 == self.0 {
            (self.2)();
        }
    }
}

fn deaf() -> After<fn()> {
    After(0, AtomicUsize::new(0), || {})
}

/// Executes runs without limits, as the clock stands still.
fn ended<E: Send>(
    grid: &Grid,
    runs: &[RunIndex],
    threads: usize,
    observer: &dyn Observer,
    stop: &StopFlag,
    commit: impl FnMut(Vec<RunRow>) -> Result<(), E> + Send,
) -> Result<Ended, E> {
    let spec = ExecutionSpec::default();
    let execution = Execution { spec: &spec, clock: &|| Duration::ZERO, observer, stop };
    Pool::new(threads).unwrap().run(grid, runs, &execution, commit)
}

/// Two fleets × 2 algorithms × 3 rates × 3 seeds: 36 runs.
fn grid(test: &str) -> Grid {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("batches").join(test);
    fs::create_dir_all(&folder).unwrap();
    for (name, backends) in [("large", 4), ("small", 1)] {
        let config = format!("[cluster]\nnum_backends = {backends}\n");
        fs::write(folder.join(format!("{name}.toml")), config).unwrap();
    }
    let path = folder.join("grid.toml");
    let text = "schema = 1\nname = \"grid\"\n[grid]\nconfigs = [\"large.toml\", \"small.toml\"]\n\
                algorithms = [\"round_robin\", \"least_kv\"]\nrates = [4, 12, 8]\nseeds = 3\n\
                [workload]\nduration_s = 10\nwarmup_s = 2\n[workload.generator]\n\
                [slo]\nttft_p95_ms = 500\n";
    fs::write(&path, text).unwrap();
    Grid::load(Manifest::load(&path).unwrap()).unwrap()
}

/// Executes runs on that many threads. Returns the rows as they came.
fn execute(grid: &Grid, runs: &[RunIndex], threads: usize) -> Vec<RunRow> {
    let mut rows = Vec::new();
    let keep = |batch: Vec<RunRow>| {
        rows.extend(batch);
        Ok::<(), ()>(())
    };
    let ended = ended(grid, runs, threads, &deaf(), &StopFlag::new(), keep).unwrap();
    assert_eq!(ended, Ended { ran: runs.len(), failed: 0, left: 0 });
    rows
}

/// The table of these rows, in the order of the grid.
fn table(grid: &Grid, rows: &[RunRow]) -> Frame {
    let places = rows.iter().map(|row| row.index).collect();
    stacked(vec![(places, runs_frame(rows, &grid.coordinates, &grid.slo_columns()).unwrap())])
        .unwrap()
}

/// The answers of a table of runs.
fn answers(grid: &Grid, runs: &Frame) -> Vec<Answer> {
    let wanted = vec![grid.manifest.seeds.len(); grid.num_cells()];
    let plan = Plan::new(grid, &Identity::of(grid).unwrap(), &wanted);
    let runs = RunsReader::new(runs);
    let cells = CellAnswer::read(grid, &plan, 0..grid.num_cells(), &runs).unwrap();
    Answer::of(grid, cells)
}

#[test]
fn rows_depend_neither_on_threads_nor_on_the_other_runs() {
    let grid = grid("threads");
    let all: Vec<RunIndex> = grid.runs().collect();
    assert_eq!(all.len(), grid.num_runs());
    let mut one = execute(&grid, &all, 1);
    one.sort_by_key(|row| row.index);
    assert!(one.iter().map(|row| row.index).eq(grid.runs()), "each run once");
    let mut parts = execute(&grid, &all[20..], 3);
    parts.extend(execute(&grid, &all[..20], 2));
    parts.sort_by_key(|row| row.index);
    assert_eq!(one, parts);
    assert_eq!(execute(&grid, &[], 2), []);
}

#[test]
fn runs_that_share_requests_stand_together_and_long_ones_come_first() {
    let grid = grid("order");
    let all: Vec<RunIndex> = grid.runs().collect();
    let rows = execute(&grid, &all, 1);
    let requests: Vec<(String, u64)> =
        rows.iter().map(|row| (row.cell.rate_rps.unwrap().to_string(), row.seed)).collect();
    let groups: Vec<&[(String, u64)]> = requests.chunk_by(|a, b| a == b).collect();
    assert_eq!(groups.len(), 9, "each rate and seed once: {requests:?}");
    let rates: Vec<&str> = groups.iter().map(|group| group[0].0.as_str()).collect();
    assert_eq!(rates, ["12", "12", "12", "8", "8", "8", "4", "4", "4"]);
    let configs: Vec<&str> = rows[..4].iter().map(|row| row.cell.config.as_str()).collect();
    assert_eq!(configs, ["large", "large", "small", "small"], "more backends take longer");
}

#[test]
fn a_stopped_execution_hands_over_what_ended() {
    let grid = grid("stopped");
    let all: Vec<RunIndex> = grid.runs().collect();
    let stop = StopFlag::new();
    let progress = After(5, AtomicUsize::new(0), || stop.stop());
    let mut rows: Vec<RunRow> = Vec::new();
    let keep = |batch: Vec<RunRow>| {
        rows.extend(batch);
        Ok::<(), ()>(())
    };
    let ended = ended(&grid, &all, 1, &progress, &stop, keep).unwrap();
    assert_eq!(ended, Ended { ran: 5, failed: 0, left: 31 });
    assert_eq!(rows.len(), 5);
    // What is left and what was done make the whole.
    let done: Vec<RunIndex> = rows.iter().map(|row| row.index).collect();
    let left: Vec<RunIndex> = all.iter().filter(|run| !done.contains(run)).copied().collect();
    rows.extend(execute(&grid, &left, 2));
    rows.sort_by_key(|row| row.index);
    let mut whole = execute(&grid, &all, 2);
    whole.sort_by_key(|row| row.index);
    assert_eq!(rows, whole);
}

#[test]
fn an_error_of_who_keeps_the_rows_ends_it() {
    let grid = grid("error");
    // More runs than rows may wait, so that the error comes before their end.
    let all: Vec<RunIndex> = (0..130).flat_map(|_| grid.runs()).collect();
    let progress = After(0, AtomicUsize::new(0), || {});
    let mut batches = Vec::new();
    let keep = |batch: Vec<RunRow>| {
        batches.push(batch.len());
        Err("the disk is full")
    };
    let ended = ended(&grid, &all, 2, &progress, &StopFlag::new(), keep);
    assert_eq!(ended, Err("the disk is full"));
    assert_eq!(batches.len(), 1, "none after the error");
    let ran = progress.1.load(Ordering::Relaxed);
    assert!(ran < all.len(), "{ran} runs for nothing");
}

#[test]
fn a_run_that_fails_is_a_row_with_its_error() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("batches").join("failed");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("c.toml"), "[cluster]\nnum_backends = 2\n").unwrap();
    // At the lower rate the first request comes after the end.
    let text = "schema = 1\nname = \"f\"\n[grid]\nconfigs = [\"c.toml\"]\n\
                algorithms = [\"least_kv\"]\nrates = [0.00001, 9]\nseeds = 1\n\
                [workload]\nduration_s = 10\n[workload.generator]\n";
    fs::write(folder.join("f.toml"), text).unwrap();
    let grid = Grid::load(Manifest::load(&folder.join("f.toml")).unwrap()).unwrap();
    let all: Vec<RunIndex> = grid.runs().collect();
    let mut rows = Vec::new();
    let keep = |batch: Vec<RunRow>| {
        rows.extend(batch);
        Ok::<(), ()>(())
    };
    let ended = ended(&grid, &all, 2, &deaf(), &StopFlag::new(), keep).unwrap();
    assert_eq!(ended, Ended { ran: 2, failed: 1, left: 0 });
    let runs = table(&grid, &rows);
    let reader = RunsReader::new(&runs);
    let (_, failed) = reader.all().unwrap().by_status().unwrap();
    let facts = failed.first(9).unwrap();
    assert_eq!(facts.len(), 1);
    assert_eq!((facts[0].cell_label.as_str(), facts[0].seed), ("c/least_kv/0.00001", 42));
    assert!(facts[0].error.as_ref().unwrap().contains("no request arrives"), "{facts:?}");
}

#[test]
fn axes_come_from_the_plan_and_results_from_the_rows() {
    let grid = grid("axes");
    let some: Vec<RunIndex> = grid.runs().step_by(5).collect();
    let mut rows = execute(&grid, &some, 2);
    rows.sort_by_key(|row| row.index);
    let terms = grid.slo_columns();
    let results = results_frame(&rows, &terms).unwrap();
    let axes =
        |runs: &[RunIndex]| grid.axes(0..grid.num_cells(), &grid.axis_columns(), runs).unwrap();
    let joined = side_by_side(&axes(&some), &results).unwrap();
    assert!(joined.equals_missing(&runs_frame(&rows, &grid.coordinates, &terms).unwrap()));
    assert!(side_by_side(&axes(&some[1..]), &results).is_err(), "a row short");
    // Of the last cells alone, the last rows.
    let last = grid.num_cells() - 2;
    let own: Vec<RunIndex> = some.iter().copied().filter(|run| run.cell >= last).collect();
    let of_last = grid.axes(last..grid.num_cells(), &grid.axis_columns(), &own).unwrap();
    assert!(of_last.equals_missing(&axes(&some).tail(Some(own.len()))));
}

#[test]
fn the_table_in_any_order_gives_the_same_answer() {
    let grid = grid("any-order");
    let all: Vec<RunIndex> = grid.runs().collect();
    let rows = execute(&grid, &all, 2);
    let sorted = table(&grid, &rows);
    let as_they_came = runs_frame(&rows, &grid.coordinates, &grid.slo_columns()).unwrap();
    assert!(!sorted.equals_missing(&as_they_came), "another order");
    let answers = answers(&grid, &sorted);
    assert!(answers == self::answers(&grid, &as_they_came), "to the last bit");
    assert!(!sweep_text(&grid, &answers).contains("INCOMPLETE"));
    let json = answers_json(&grid, &answers);
    assert!(json.get("incomplete").is_none());
    assert!(json["answers"][0]["cells"][0].get("missing_runs").is_none());
}

#[test]
fn an_answer_says_what_is_missing() {
    let grid = grid("incomplete");
    // Of the first config and algorithm: one seed at 4/s, none at 12/s, all at 8/s.
    let some: Vec<RunIndex> =
        [0, 6, 7, 8].into_iter().map(|at| grid.runs().nth(at).unwrap()).collect();
    let rows = execute(&grid, &some, 2);
    let answers = answers(&grid, &table(&grid, &rows));
    assert_eq!(answers.len(), 4);
    let answer = answers.iter().find(|a| a.config == "large" && a.algorithm == "round_robin");
    let [four, eight, twelve] = &answer.unwrap().cells[..] else { panic!("{answer:?}") };
    assert_eq!([four, eight, twelve].map(|cell| cell.num_missing), [2, 0, 3]);
    let half_width = |cell: &CellAnswer| cell.ttft_mean_ms.unwrap().interval;
    assert!(half_width(four).is_none() && half_width(eight).is_some(), "of what is there");
    assert!(eight.met, "{eight:?}");
    assert_eq!((twelve.met, twelve.counts.requests), (false, 0), "nothing holds unseen");

    let text = sweep_text(&grid, &answers);
    assert!(text.starts_with("INCOMPLETE: 32 of 36 runs are missing."), "{text}");
    let line = text.lines().filter(|line| line.starts_with("round_robin")).nth(1).unwrap();
    let fields: Vec<&str> = line.split_whitespace().collect();
    assert!(fields.contains(&"?") && fields.last() == Some(&"missing"), "{text}");
    assert!(text.contains("Measured requests of the runs so far: "), "{text}");

    let json = answers_json(&grid, &answers);
    assert_eq!(json["incomplete"]["missing_runs"], 32);
    assert_eq!(json["incomplete"]["runs"], 36);
    let first = &json["answers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|answer| answer["config"] == "large" && answer["algorithm"] == "round_robin");
    let cells = first.unwrap()["cells"].as_array().unwrap();
    let missing: Vec<_> = cells.iter().map(|cell| cell.get("missing_runs")).collect();
    assert_eq!(missing, [Some(&2.into()), None, Some(&3.into())]);
}
