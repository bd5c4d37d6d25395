//! What a manifest expands to: cells in their order, and every fault with its place.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use routesim::sweep::{Grid, Identity, Manifest};

/// A folder with a config, empty but for that.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grid").join(test);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("c.toml"), "[cluster]\nnum_backends = 4\nmax_queue_depth = 64\n")
        .unwrap();
    folder
}

const HEAD: &str = "schema = 1\nname = \"grid\"\n";
const WORKLOAD: &str = "[workload]\nduration_s = 10\n[workload.generator]\n";

fn load(test: &str, text: &str, keys: &[&str]) -> Result<Grid, String> {
    let path = folder(test).join("m.toml");
    fs::write(&path, text).unwrap();
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    let manifest = Manifest::load_with(&path, &keys).map_err(|error| error.to_string())?;
    Grid::load(manifest).map_err(|error| error.to_string())
}

/// A grid of config `c` with further lines in `[grid]` and tables after it.
fn grid(test: &str, lines: &str, tables: &str) -> Result<Grid, String> {
    load(test, &format!("{HEAD}[grid]\nconfigs = [\"c.toml\"]\n{lines}\n{tables}\n{WORKLOAD}"), &[])
}

/// The labels of its cells, without the config.
fn cells(grid: &Grid) -> Vec<String> {
    let label = |cell: &routesim::sweep::Cell| cell.key.label.replacen("c/", "", 1);
    grid.cells().iter().map(label).collect()
}

const TWO: &str = "algorithms = [\"round_robin\", \"least_kv\"]\nrates = [1, 2]";
const ONE: &str = "algorithms = [\"round_robin\"]\nrates = [1]";

#[test]
fn the_last_axis_goes_fastest() {
    let grid = grid("order", TWO, "[grid.axes]\n\"cluster.num_backends\" = [2, 3]").unwrap();
    assert_eq!(
        cells(&grid),
        [
            "cluster.num_backends=2/round_robin/1",
            "cluster.num_backends=2/round_robin/2",
            "cluster.num_backends=2/least_kv/1",
            "cluster.num_backends=2/least_kv/2",
            "cluster.num_backends=3/round_robin/1",
            "cluster.num_backends=3/round_robin/2",
            "cluster.num_backends=3/least_kv/1",
            "cluster.num_backends=3/least_kv/2",
        ]
    );
    let backends: Vec<u32> =
        grid.cells().iter().map(|cell| cell.setting.cluster.num_backends).collect();
    assert_eq!(backends, [2, 2, 2, 2, 3, 3, 3, 3], "the value is in the fleet");
    assert!(grid.cells().iter().all(|cell| cell.setting.cluster.max_queue_depth == 64));
}

#[test]
fn keys_may_stand_in_quotes_or_not() {
    let axes = "[grid.axes]\ncluster.num_backends = [2, 3]\nslo.\"ttft_p99.9_ms\" = [50]";
    let grid = grid("quotes", ONE, axes).unwrap();
    let first = &grid.cells()[0];
    assert_eq!(first.key.label, "c/cluster.num_backends=2/slo.\"ttft_p99.9_ms\"=50/round_robin/1");
    assert_eq!(first.setting.slo.terms[0].to_string(), "ttft_p99.9_ms");
}

#[test]
fn objectives_of_the_manifest_take_values_of_axes() {
    let tables = "[grid.axes]\nslo.ttft_p95_ms = [50, 100]\n[slo]\nttft_p95_ms = 9\n\
                  tpot_p95_ms = 30\n";
    let grid = grid("slo", ONE, tables).unwrap();
    let slo =
        |cell: usize| grid.cells()[cell].setting.slo.terms.iter().map(|term| term.limit.as_ms());
    assert_eq!(slo(0).collect::<Vec<_>>(), [50.0, 30.0]);
    assert_eq!(slo(1).collect::<Vec<_>>(), [100.0, 30.0]);
}

#[test]
fn paths_of_the_command_line_are_relative_to_where_it_is_given() {
    let text = format!("{HEAD}[grid]\nconfigs = [\"c.toml\"]\n{ONE}\n{WORKLOAD}");
    let grid = load("paths", &text, &["grid.configs=[\"configs/default.toml\"]"]).unwrap();
    assert_eq!(grid.cells()[0].key.config, "default");
    let error = load("paths", &text, &["grid.configs=[\"configs/none*.toml\"]"]).unwrap_err();
    assert!(error.contains("no file matches `configs/none*.toml`"), "{error}");
}

#[test]
fn zipped_axes_go_on_together() {
    let zip = "[[grid.zip]]\n\"cluster.num_backends\" = [2, 8]\nrate = [10, 40]";
    let grid = grid("zip", "algorithms = [\"round_robin\"]", zip).unwrap();
    assert_eq!(
        cells(&grid),
        ["cluster.num_backends=2/round_robin/10", "cluster.num_backends=8/round_robin/40"]
    );
}

#[test]
fn an_axis_that_does_not_apply_counts_once() {
    let lines = "algorithms = [\"round_robin\", \"prefix_aware\"]\nrates = [1]";
    let axis = "[grid.axes]\n\"algorithm.cache_weight\" = { values = [0.5, 1.0], \
                when = \"algorithm == 'prefix_aware'\" }";
    let grid = grid("when", lines, axis).unwrap();
    assert_eq!(
        cells(&grid),
        [
            "round_robin/1",
            "algorithm.cache_weight=0.5/prefix_aware(cache_weight=0.5)/1",
            "algorithm.cache_weight=1/prefix_aware(cache_weight=1)/1",
        ]
    );
    assert_eq!(grid.num_cells(), 3);
    assert_eq!((grid.expansions[0].product, grid.expansions[0].applying), (4, 3));
}

#[test]
fn constraints_excludes_and_includes_are_counted() {
    let lines = "algorithms = [\"round_robin\", \"least_kv\"]\nrates = [1, 2, 3]\n\
                 constraint = \"rate < 3 || cluster.num_backends >= 3\"\n\
                 exclude = [{ algorithm = \"least_kv\", rate = [1, 2] }]\n\
                 include = [{ rate = 9, algorithm = \"least_kv\", cluster.num_backends = 7 }, \
                 { rate = 1 }]";
    let grid = grid("filters", lines, "[grid.axes]\ncluster.num_backends = [2, 3]").unwrap();
    let steps = &grid.expansions[0];
    assert_eq!(steps.product, 12);
    assert_eq!(steps.constrained, 10, "2 backends at rate 3 are not wanted");
    assert_eq!(steps.kept, 6, "least_kv keeps rate 3 with 3 backends");
    assert_eq!(steps.included, 3, "one new point, and least_kv at rate 1 with 2 and 3 backends");
    assert_eq!(
        cells(&grid)[6..],
        [
            "cluster.num_backends=7/least_kv/9",
            "cluster.num_backends=2/least_kv/1",
            "cluster.num_backends=3/least_kv/1",
        ]
    );
}

#[test]
fn an_axis_of_a_name_of_its_own_is_known_by_its_key_too() {
    let lines = "algorithms = [\"round_robin\"]\nconstraint = \"cluster.num_backends < 10\"";
    let tables = "[grid.axes]\nsize = { key = \"cluster.num_backends\", values = [4, 8, 16] }\n\
                  [derive]\nrate = \"2 * cluster.num_backends\"";
    let grid = grid("key", lines, tables).unwrap();
    assert_eq!(cells(&grid), ["size=4/round_robin/8", "size=8/round_robin/16"]);
    assert_eq!(grid.cells()[1].setting.cluster.num_backends, 8);
}

#[test]
fn a_pattern_means_every_step_that_has_its_values() {
    let zip = "[[grid.zip]]\ncluster.num_backends = [4, 4, 8]\n\
               cluster.kv_cache_blocks = [1024, 2048, 4096]\n";
    let lines = format!("{ONE}\nexclude = [{{ cluster.num_backends = 4 }}]");
    let one = grid("every-zip", &lines, zip).unwrap();
    assert_eq!(cells(&one), ["cluster.num_backends=8/cluster.kv_cache_blocks=4096/round_robin/1"]);
    let lines = "rates = [1]\nalgorithms = [\"round_robin\", { name = \"prefix_aware\", \
                 cache_weight = 0.5 }, \"prefix_aware\"]\nexclude = [{ algorithm = \"prefix_aware\" }]";
    assert_eq!(cells(&grid("every-algorithm", lines, "").unwrap()), ["round_robin/1"]);
    let lines = format!("{ONE}\ninclude = [{{ cluster.num_backends = 16 }}]");
    let error = grid("every-include", &lines, zip).unwrap_err();
    assert!(error.contains("axis `cluster.num_backends` does not have 16"), "{error}");
}

#[test]
fn what_an_entry_of_an_algorithm_says_comes_after_set() {
    let lines = "rates = [1]\nalgorithms = [\"prefix_aware\", { name = \"prefix_aware\", \
                 cache_weight = 0.5 }]";
    let grid = grid("entry", lines, "[set]\nalgorithm.cache_weight = 0.6").unwrap();
    assert_eq!(
        cells(&grid),
        ["prefix_aware(cache_weight=0.6)/1", "prefix_aware(cache_weight=0.5)/1"]
    );
}

#[test]
fn keys_are_set_and_derived() {
    let tables = "[grid.axes]\nload = [0.5, 1]\ncluster.num_backends = [2, 4]\n\
                  [set]\ncluster.max_queue_depth = 10\nworkload.generator.prompt_mean = 300\n\
                  [derive]\nrate = \"load * 8 * cluster.num_backends\"\n\
                  \"cluster.max_batch_size\" = \"min(64, 4 * cluster.max_queue_depth)\"\n";
    let grid = grid("derive", "algorithms = [\"round_robin\"]", tables).unwrap();
    let rates: Vec<Option<f64>> = grid.cells().iter().map(|cell| cell.key.rate_rps).collect();
    assert_eq!(rates, [8.0, 16.0, 16.0, 32.0].map(Some));
    let cluster = &grid.cells()[0].setting.cluster;
    assert_eq!((cluster.max_queue_depth, cluster.max_batch_size), (10, 40));
    assert!((grid.requests_of(3) - 320.0).abs() < 1e-9);
}

#[test]
fn grids_join_and_a_cell_in_two_of_them_is_one() {
    let tables = "[grids.coarse]\nconfigs = [\"c.toml\"]\nalgorithms = [\"round_robin\"]\n\
                  rates = [1, 5, 9]\nseeds = 2\n\
                  [grids.fine]\nconfigs = [\"c.toml\"]\nalgorithms = [\"round_robin\"]\n\
                  rates = { start = 4, stop = 6, step = 1 }\nseeds = 2\n\
                  [grids.wide]\nconfigs = [\"c.toml\"]\nalgorithms = [\"round_robin\"]\n\
                  rates = [5]\nseeds = 2\naxes = { cluster.num_backends = [4, 8] }\n";
    let grid = load("union", &format!("{HEAD}{tables}{WORKLOAD}"), &[]).unwrap();
    assert_eq!(
        cells(&grid),
        [
            "cluster.num_backends=4/round_robin/1",
            "cluster.num_backends=4/round_robin/5",
            "cluster.num_backends=4/round_robin/9",
            "cluster.num_backends=4/round_robin/4",
            "cluster.num_backends=4/round_robin/6",
            "cluster.num_backends=8/round_robin/5",
        ],
        "an axis that one grid lacks has the config's value there"
    );
    let repeated: Vec<usize> = grid.expansions.iter().map(|steps| steps.repeated).collect();
    assert_eq!(repeated, [0, 1, 1]);
}

#[test]
fn a_manifest_extends_another_and_takes_keys_from_outside() {
    let folder = folder("extends");
    fs::create_dir_all(folder.join("base")).unwrap();
    fs::write(folder.join("base/d.toml"), "[cluster]\nnum_backends = 1\n").unwrap();
    let base = format!(
        "{HEAD}[grid]\nconfigs = [\"d.toml\"]\nalgorithms = [\"round_robin\"]\nrates = [1]\n\
         seeds = 9\n{WORKLOAD}"
    );
    fs::write(folder.join("base/b.toml"), base).unwrap();
    let own = "extends = \"base/b.toml\"\nname = \"own\"\n[grid]\nrates = [2, 3]\n";
    let keys = ["grid.seeds=2", "cluster.num_backends=6", "workload.duration_s=20", "name=other"];
    let grid = load("extends", own, &keys).unwrap();
    assert_eq!(grid.manifest.name, "other", "a text needs no quotes");
    assert_eq!(grid.manifest.seeds, [42, 43]);
    assert_eq!(
        grid.cells().iter().map(|cell| cell.key.label.as_str()).collect::<Vec<_>>(),
        ["d/round_robin/2", "d/round_robin/3"],
        "paths are relative to the file they stand in"
    );
    assert_eq!(grid.cells()[0].setting.cluster.num_backends, 6);
    assert!((grid.requests_of(0) - 40.0).abs() < 1e-9);
    for line in ["# extends base/b.toml:", "# seeds = 9", "# --set cluster.num_backends=6"] {
        assert!(grid.manifest.text.contains(line), "{line}: {}", grid.manifest.text);
    }
    fs::write(folder.join("base/b.toml"), "extends = \"b.toml\"\n").unwrap();
    let error = load("extends", own, &[]).unwrap_err();
    assert!(error.contains("does one extend itself?"), "{error}");
}

/// A base of two bases, and a manifest of these lines that extends it.
fn extending(test: &str, lines: &str) -> Result<Grid, String> {
    let folder = folder(test);
    let base = format!(
        "{HEAD}[grid]\nconfigs = [\"c.toml\"]\n{ONE}\n[grid.axes]\n\
         cluster.num_backends = [2, 3]\n\"cluster.max_queue_depth\" = [1, 2]\n[set]\n\
         cluster.max_batch_size = 8\n[run]\nmax_events = 5\n{WORKLOAD}"
    );
    fs::write(folder.join("b.toml"), base).unwrap();
    let middle = "extends = \"b.toml\"\nunset = [\"set\"]\n[run]\nretries = 3\n";
    fs::write(folder.join("middle.toml"), middle).unwrap();
    load(test, &format!("extends = \"middle.toml\"\n{lines}"), &[])
}

#[test]
fn what_a_manifest_unsets_is_not_taken_from_those_it_extends() {
    let lines = "unset = [\"grid.axes.cluster.num_backends\", \"run\"]\n\
                 [grid.axes]\ncluster.max_batch_size = [16]\n";
    let grid = extending("unset", lines).unwrap();
    assert_eq!(
        cells(&grid),
        [
            "cluster.max_queue_depth=1/cluster.max_batch_size=16/round_robin/1",
            "cluster.max_queue_depth=2/cluster.max_batch_size=16/round_robin/1",
        ],
        "`set` would be a fault beside the axis"
    );
    let run = &grid.manifest.execution;
    assert_eq!((run.max_events, run.retries), (None, 0), "of both of them");
    assert_eq!(grid.cells()[0].setting.cluster.num_backends, 4, "that of the config");
    assert!(grid.manifest.text.contains("\nunset = [\"grid.axes."), "{}", grid.manifest.text);
    // A table that is unset as a whole, to be written anew.
    let lines = "unset = [\"grid.axes\"]\n[grid.axes]\ncluster.num_backends = [9]\n";
    let grid = extending("unset-table", lines).unwrap();
    assert_eq!(cells(&grid), ["cluster.num_backends=9/round_robin/1"]);
    assert_eq!(grid.manifest.execution.max_events, Some(5));
}

#[test]
fn what_is_unset_must_be_there() {
    let told = |lines: &str| extending("unset-wrong", lines).unwrap_err();
    let error = told("unset = [\"run.max_event\", \"grid.axes.cluster.num_backend\"]\nsed = 1\n");
    for part in [
        "m.toml:2:10: nothing that is extended has `run.max_event`",
        "hint: did you mean `run.max_events`?",
        "m.toml:2:27: nothing that is extended has `grid.axes.cluster.num_backend`",
        "hint: did you mean `grid.axes.cluster.num_backends`?",
        "unknown key `sed`",
    ] {
        assert!(error.contains(part), "{part} in\n{error}");
    }
    assert!(told("unset = \"run\"\n").contains("m.toml:2:9: `unset` is a list of keys"));
    assert!(told("unset = [\"a b\"]\n").contains("`a b` is no key"));
    let alone = format!("{HEAD}unset = [\"run\"]\n[grid]\nconfigs = [\"c.toml\"]\n{ONE}\n");
    let error = load("unset-alone", &format!("{alone}{WORKLOAD}"), &[]).unwrap_err();
    assert!(error.contains("m.toml:3:9: `unset` goes with `extends`"), "{error}");
    let error = load("unset-set", &format!("{HEAD}{WORKLOAD}"), &["unset=[\"run\"]"]).unwrap_err();
    assert!(error.contains("read before its keys are set"), "{error}");
}

#[test]
fn labels_are_what_the_manifest_says() {
    let label = "label = \"{config}: {cluster.num_backends} x {algorithm} at {rate}\"\n";
    let grid = format!("{HEAD}{label}[grid]\nconfigs = [\"c.toml\"]\n{TWO}\n{WORKLOAD}");
    let grid = load("label", &grid, &[]).unwrap();
    assert_eq!(grid.cells()[3].key.label, "c: 4 x least_kv at 2");
}

#[test]
fn ids_do_not_depend_on_how_a_value_came_in() {
    let id = |test: &str, lines: &str, tables: &str| {
        let grid = grid(test, lines, tables).unwrap();
        Identity::of(&grid).unwrap().cell_id(grid.num_cells() - 1).to_owned()
    };
    let axis = id("id-axis", ONE, "[grid.axes]\ncluster.num_backends = [2, 4]");
    assert_eq!(axis, id("id-own", ONE, ""), "the config has four backends");
    assert_eq!(axis, id("id-set", ONE, "[set]\ncluster.num_backends = 4"));
    assert_ne!(axis, id("id-other", ONE, "[set]\ncluster.num_backends = 5"));
}

/// Lines of `[grid]`, tables, and what the error must say.
const BAD: &[(&str, &str, &[&str])] = &[
    (
        ONE,
        "[grid.axes]\ncluster.num_backend = [2, 3]",
        &["m.toml:8:24", "did you mean `num_backends`?"],
    ),
    (
        ONE,
        "[grid.axes]\ncluster.num_backends = [2, -3]",
        &["m.toml:8:28: `cluster.num_backends` is -3"],
    ),
    (
        ONE,
        "[grid.axes]\nclutser.num_backends = [2]",
        &["no key of a config", "did you mean `cluster`?"],
    ),
    (
        ONE,
        "[grid.axes]\nnum_backends = [2]",
        &["m.toml:8:", "changes nothing", "cluster.num_backends"],
    ),
    (ONE, "[grid.axes]\ntrace.path = [\"x\"]", &["changes nothing here", "workload.trace"]),
    (ONE, "[grid.axes]\nsimulation.seed = [1]", &["`simulation.seed` changes nothing here"]),
    (
        ONE,
        "[grid.axes]\nalgorithm.cache_wieght = [1]",
        &["no algorithm has", "did you mean `cache_weight`?"],
    ),
    (
        ONE,
        "[grid.axes]\nalgorithm.cache_weight = [1]",
        &["`round_robin` has no `cache_weight`", "give the axis a `when`"],
    ),
    (ONE, "[grid.axes]\ncluster.num_backends = [2, 2]", &["has 2 twice"]),
    (ONE, "[grid.axes]\ncluster.num_backends = []", &["is empty"]),
    (ONE, "[grid.axes]\nrate = [2]", &["two axes go over `rate`"]),
    (
        ONE,
        "[[grid.zip]]\ncluster.num_backends = [2]\ncluster.max_queue_depth = [1, 2]",
        &["1 of cluster.num_backends, 2 of"],
    ),
    (
        ONE,
        "[grid.axes]\nx = [1, 2]\n[derive]\ncluster.num_backends = \"x * y\"",
        &["character 5", "`y`"],
    ),
    (
        ONE,
        "[grid.axes]\nx = [1, 2]\n[derive]\ncluster.num_backends = \"2 + (x - x)\"",
        &["are the same cell"],
    ),
    (ONE, "[derive]\nrate = \"2\"", &["the rate is an axis and derived"]),
    (
        ONE,
        "[set]\ncluster.num_backends = 2\n[grid.axes]\ncluster.num_backends = [3]",
        &["m.toml:8:24", "is set, and an axis"],
    ),
    (
        ONE,
        "[derive]\ncluster.num_backends = \"2\"\n[grid.axes]\ncluster.num_backends = [3]",
        &["cluster.num_backends is an axis and derived"],
    ),
    (ONE, "[set]\nsimulation.warmup_s = 2\nworkload.warmup_s = 1", &["replaces those of configs"]),
    (ONE, "[set]\n\"#x\" = 2", &["`#x` is no key"]),
    (
        ONE,
        "[grid.axes]\nn = [1, 2]\n[derive]\ncluster.num_backends = \"n\"",
        &["an axis can't be called `n`"],
    ),
    (
        ONE,
        "[grid.axes]\nttft_mean_ms_n = [1, 2]\n[derive]\ncluster.num_backends = \"ttft_mean_ms_n\"",
        &["an axis can't be called"],
    ),
    (
        ONE,
        "[grid.axes]\nx = [1, 2]\ncluster.max_queue_depth = { values = [1, 2], when = \"cluster.num_backends > 2\" }\n[derive]\ncluster.num_backends = \"x\"",
        &["which is derived from axes"],
    ),
    (
        ONE,
        "[grid.axes]\nx = [1, 2]\n[derive]\ncluster.max_queue_depth = \"cluster.num_backends\"\ncluster.num_backends = \"x\"",
        &["`cluster.num_backends` is not derived yet"],
    ),
    (ONE, "[grid.axes]\ncluster.num_backends = {}", &["has no values"]),
    (
        ONE,
        "[grid.axes]\ncluster.max_queue_depth = { values = [1, 2], when = \"cluster.num_backends == 2\" }\nsize = { key = \"cluster.num_backends\", values = [2, 3], when = \"rate > 0\" }",
        &["`when` of `cluster.max_queue_depth` names `size`"],
    ),
    (ONE, "[set]\nrate = 2", &["`rate` can't be set"]),
    (ONE, "[set]\ncluster.num_backends.x = 2", &["`cluster.num_backends` is no table"]),
    (
        "algorithms = [\"round_robin\"]\nrates = [1]\nconstraint = \"rate >\"",
        "",
        &["m.toml:7:14", "character"],
    ),
    (
        "algorithms = [\"round_robin\"]\nrates = [1]\nconstraint = \"rate + 1\"",
        "",
        &["is 2, expected true or false"],
    ),
    (
        "algorithms = [\"round_robin\"]\nrates = [1]\nconstraint = \"rate > 9\"",
        "",
        &["no cell of the grid is left"],
    ),
    (
        "algorithms = [\"round_robin\"]\nrates = [1]\nexclude = [{ rate = 7 }]",
        "",
        &["axis `rate` does not have 7"],
    ),
    (
        "algorithms = [\"round_robin\"]\nrates = [1]\nexclude = [{ rat = 1 }]",
        "",
        &["no axis `rat`", "did you mean `rate`?"],
    ),
    (
        "algorithms = [\"round_robin\"]\nrates = [1]\ninclude = [{ config = \"d\" }]",
        "",
        &["axis `config` does not have d"],
    ),
    (
        "algorithms = [\"round_robin\"]\nrates = [1, 2, 3]\nmax_cells = 2",
        "",
        &["the grid has more than 2 cells"],
    ),
];

#[test]
fn faults_name_their_place_and_how_to_mend_them() {
    for (index, (lines, tables, parts)) in BAD.iter().enumerate() {
        let error = grid(&format!("bad-{index}"), lines, tables).unwrap_err();
        assert!(parts.iter().all(|part| error.contains(part)), "{lines} {tables}:\n{error}");
    }
    let error = load(
        "bad-set",
        &format!("{HEAD}[grid]\nconfigs = [\"c.toml\"]\n{ONE}\n{WORKLOAD}"),
        &["cluster.num_backends=-1"],
    );
    let error = error.unwrap_err();
    assert!(
        error.contains("--set cluster.num_backends=-1: `cluster.num_backends` is -1"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every combination once, in the order of the loops, less those that a filter names.
    #[test]
    fn the_expansion_is_that_of_nested_loops(
        lens in proptest::collection::vec(1_usize..4, 3),
        rates in 1_usize..4,
        limit in 0_usize..12,
        excluded in 0_usize..4,
        seeds in 1_usize..4,
    ) {
        let names = ["cluster.num_backends", "cluster.max_queue_depth", "workload.generator.num_prefixes"];
        let list = |len: usize| (1..=len).map(|v| v.to_string()).collect::<Vec<_>>().join(", ");
        let axes: String = names.iter().zip(&lens).map(|(name, len)| format!("{name} = [{}]\n", list(*len))).collect();
        let exclude = if excluded < lens[0] { format!("exclude = [{{ cluster.num_backends = {} }}]", excluded + 1) } else { String::new() };
        let lines = format!(
            "algorithms = [\"round_robin\", \"least_kv\"]\nrates = [{}]\nseeds = {seeds}\n{exclude}\n\
             constraint = \"cluster.num_backends + cluster.max_queue_depth + rate > {limit}\"",
            list(rates)
        );
        let mut expected = Vec::new();
        for a in 1..=lens[0] { for b in 1..=lens[1] { for c in 1..=lens[2] {
            for algorithm in ["round_robin", "least_kv"] { for rate in 1..=rates {
                let kept = excluded >= lens[0] || a != excluded + 1;
                if kept && a + b + rate > limit {
                    expected.push(format!(
                        "{}={a}/{}={b}/{}={c}/{algorithm}/{rate}", names[0], names[1], names[2]
                    ));
                }
            } }
        } } }
        match grid("loops", &lines, &format!("[grid.axes]\n{axes}")) {
            Err(error) => {
                prop_assert!(expected.is_empty(), "{error}");
                prop_assert!(error.contains("no cell of the grid is left"), "{error}");
            }
            Ok(grid) => {
                prop_assert_eq!(cells(&grid), &expected[..]);
                prop_assert_eq!(grid.num_runs(), expected.len() * seeds);
                prop_assert_eq!(grid.runs().count(), grid.num_runs());
                let identity = Identity::of(&grid).unwrap();
                let ids: BTreeSet<&str> = (0..grid.num_cells()).map(|cell| identity.cell_id(cell)).collect();
                prop_assert_eq!(ids.len(), grid.num_cells(), "ids are distinct");
            }
        }
    }
}
