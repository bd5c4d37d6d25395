use std::fs;
use std::path::PathBuf;

use super::*;
use crate::stats::Standing;
use crate::sweep::Manifest;
use crate::tables::{Frame, made_up};

const ALGORITHMS: &str = "algorithms = [\"round_robin\", \"least_kv\", \"least_outstanding\"]";

/// A grid of a manifest whose `[grid]` has `grid`, and further tables.
fn grid(test: &str, grid: &str, more: &str) -> Grid {
    load(test, grid, more).unwrap()
}

fn load(test: &str, grid: &str, more: &str) -> Result<Grid, String> {
    let name = format!("routesim-comparisons-{test}-{}", std::process::id());
    let folder: PathBuf = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("c.toml"), "[cluster]\nnum_backends = 2\n").unwrap();
    let text = format!(
        "schema = 1\nname = \"n\"\n[grid]\nconfigs = [\"c.toml\"]\n{grid}\n\
         [workload]\nduration_s = 60\n[workload.generator]\n{more}"
    );
    fs::write(folder.join("m.toml"), text).unwrap();
    let manifest = Manifest::load(&folder.join("m.toml")).map_err(|error| error.to_string());
    let grid = manifest.and_then(|own| Grid::load(own).map_err(|error| error.to_string()));
    fs::remove_dir_all(&folder).unwrap();
    grid
}

/// A table of runs of that grid with these values of a metric, cell by cell, seeds fastest.
fn table(grid: &Grid, metric: &str, values: &[Option<f64>], lost: &[Option<f64>]) -> Frame {
    let labels: Vec<&str> = grid.cells().iter().map(|cell| cell.key.label.as_str()).collect();
    let seeds: Vec<i64> =
        grid.manifest.seeds.iter().map(|seed| i64::try_from(*seed).unwrap()).collect();
    let runs: Vec<(&str, i64, bool)> = (labels.iter())
        .flat_map(|label| seeds.iter().map(move |seed| (*label, *seed, false)))
        .collect();
    let mut given = vec![(metric, values)];
    let own_lost = format!("{}_lost_count", metric.trim_end_matches("_ms"));
    if !lost.is_empty() {
        given.push((&own_lost, lost));
    }
    made_up::runs(&runs, &grid.slo_columns(), &given)
}

fn contests(grid: &Grid, table: &Frame) -> Vec<Contest> {
    let mut comparer = Comparer::of(grid).unwrap();
    // The cells of a group lie in two blocks.
    let reader = RunsReader::new(table);
    comparer.add(0..1, &reader).unwrap();
    comparer.add(1..grid.num_cells(), &reader).unwrap();
    comparer.contests()
}

fn some(values: &[f64]) -> Vec<Option<f64>> {
    values.iter().copied().map(Some).collect()
}

const MEAN: &str = "[compare]\nmetrics = [\"ttft_mean_ms\"]\n";

#[test]
fn cells_that_differ_in_one_axis_are_a_group() {
    let rates = format!(
        "{ALGORITHMS}\nrates = [1, 2]\nseeds = 3\n[grid.axes]\n\"cluster.max_batch_size\" = [8, 16]"
    );
    for (over, groups, of_each, axes) in [
        ("algorithm", 4, 3, &["config", "rate_rps", "cluster.max_batch_size"][..]),
        ("rate", 6, 2, &["config", "algorithm", "cluster.max_batch_size"]),
        ("cluster.max_batch_size", 6, 2, &["config", "algorithm", "rate_rps"]),
    ] {
        let grid = grid("groups", &rates, &format!("{MEAN}over = \"{over}\"\n"));
        let values: Vec<f64> = (1..=36).map(f64::from).collect();
        let found = contests(&grid, &table(&grid, "ttft_mean_ms", &some(&values), &[]));
        assert_eq!((found.len(), found[0].rivals.len()), (groups, of_each), "{over}");
        assert_eq!(Comparer::of(&grid).unwrap().common_axes(), axes);
    }
    let grid = grid("alone", &rates, &format!("{MEAN}over = \"config\"\n"));
    let values = vec![Some(1.0); 36];
    assert!(contests(&grid, &table(&grid, "ttft_mean_ms", &values, &[])).is_empty(), "no pair");
}

#[test]
fn axes_that_go_together_are_compared_together() {
    let zip = "algorithms = [\"round_robin\"]\nrates = [1]\nseeds = 3\n\
               zip = [{ \"cluster.num_backends\" = [2, 3], \"cluster.max_batch_size\" = [8, 16] }]";
    let grid = grid("zip", zip, &format!("{MEAN}over = \"cluster.num_backends\"\nbaseline = 2\n"));
    let values = some(&[1.0, 2.0, 4.0, 2.0, 3.0, 6.0]);
    let found = contests(&grid, &table(&grid, "ttft_mean_ms", &values, &[]));
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].rivals.iter().map(|own| own.value.as_str()).collect::<Vec<_>>(),
        ["2", "3"]
    );
    assert_eq!(found[0].duels[0].rivals, [1, 0], "each with the baseline");
}

#[test]
fn parameters_of_algorithms_are_an_axis_too() {
    let axes = "algorithms = [\"prefix_aware\"]\nrates = [1]\nseeds = 3\n\
                [grid.axes]\n\"algorithm.cache_weight\" = [0.5, 0.8]";
    let grid = grid("parameter", axes, &format!("{MEAN}over = \"algorithm.cache_weight\"\n"));
    let values = some(&[1.0, 2.0, 4.0, 2.0, 3.0, 6.0]);
    let found = contests(&grid, &table(&grid, "ttft_mean_ms", &values, &[]));
    assert_eq!((found.len(), found[0].rivals.len()), (1, 2));
    assert_eq!(
        Comparer::of(&grid).unwrap().common_axes(),
        ["config", "algorithm_name", "rate_rps"]
    );
}

/// One group of three algorithms at one rate with four seeds.
fn one_group(more: &str) -> Grid {
    grid("one", &format!("{ALGORITHMS}\nrates = [1]\nseeds = 4"), more)
}

#[test]
fn numbers_are_those_worked_by_hand() {
    let grid = one_group(MEAN);
    // Of the first two: differences −1, −3, −2, −2 of mean −2 and sd √(2/3).
    let values = some(&[9.0, 8.0, 10.0, 9.0, 10.0, 11.0, 12.0, 11.0, 30.0, 31.0, 35.0, 34.0]);
    let found = contests(&grid, &table(&grid, "ttft_mean_ms", &values, &[]));
    let [contest] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        contest.duels.iter().map(|duel| duel.rivals).collect::<Vec<_>>(),
        [[0, 1], [0, 2], [1, 2]]
    );
    let first = &contest.duels[0].comparison;
    assert_eq!((first.n, first.means, first.difference), (4, Some([9.0, 11.0]), Some(-2.0)));
    // Both have variance 2/3, their differences too: half the seeds.
    assert!((first.variance_ratio.unwrap() - 2.0).abs() < 1e-12);
    // t(1 − 0.05/6, 3) = 4.8566 times √(2/3)/2.
    let half = first.difference_interval.unwrap().hi + 2.0;
    assert!((half - 4.856_6 * (2.0_f64 / 3.0).sqrt() / 2.0).abs() < 1e-3, "{half}");
    let last = &contest.duels[1].comparison;
    assert_eq!(last.standing, Standing::Better);
    let regrets: Vec<Option<f64>> = contest.rivals.iter().map(|own| own.regret).collect();
    assert_eq!(regrets, [Some(0.0), Some(2.0), Some(23.5)]);
    // Hsu with t(1 − 0.05/2, 3) = 3.1824: −2 ± 1.299.
    let most = contest.rivals[1].regret_hi.unwrap();
    let half = 3.182_446_3 * (2.0_f64 / 3.0).sqrt() / 2.0;
    assert!((most - (2.0 + half)).abs() < 1e-6, "{most}");
    assert_eq!(contest.rivals[0].regret_hi, Some(0.0));
    let best: Vec<Option<bool>> = contest.rivals.iter().map(|own| own.is_best).collect();
    assert_eq!(best, [Some(true), Some(false), Some(false)]);
    assert_eq!((contest.num_common, contest.note), (4, None));
}

#[test]
fn more_is_better_where_the_metric_says_so() {
    let grid = one_group("[compare]\nmetrics = [\"throughput_rps\"]\nbaseline = \"round_robin\"\n");
    let values = some(&[9.0, 8.0, 10.0, 9.0, 20.0, 21.0, 22.0, 20.0, 30.0, 31.0, 35.0, 34.0]);
    let found = contests(&grid, &table(&grid, "throughput_rps", &values, &[]));
    assert!(found[0].duels.iter().all(|own| own.comparison.standing == Standing::Better));
    let regrets: Vec<Option<f64>> = found[0].rivals.iter().map(|own| own.regret).collect();
    assert_eq!(regrets, [Some(23.5), Some(11.75), Some(0.0)]);
    assert_eq!(found[0].rivals[2].is_best, Some(true));
}

#[test]
fn seeds_that_one_side_lacks_are_left_out_and_counted() {
    let grid = one_group(MEAN);
    let mut values = some(&[9.0, 8.0, 10.0, 9.0, 10.0, 11.0, 12.0, 11.0, 30.0, 31.0, 35.0, 34.0]);
    values[1] = None;
    let found = contests(&grid, &table(&grid, "ttft_mean_ms", &values, &[]));
    let [of_both, _, of_others] = &found[0].duels[..] else { panic!("{found:?}") };
    assert_eq!((of_both.comparison.n, of_both.num_unpaired), (3, 1));
    assert_eq!((of_others.comparison.n, of_others.num_unpaired), (4, 0));
    assert_eq!(found[0].num_common, 3, "of all");
    // A cell without any value is told, and the others are compared without it.
    values[..4].fill(None);
    let found = contests(&grid, &table(&grid, "ttft_mean_ms", &values, &[]));
    assert_eq!(
        (found[0].duels[0].note, found[0].duels[0].comparison.means),
        (Some(NO_SEEDS), None)
    );
    assert_eq!((found[0].rivals[0].mean, found[0].rivals[0].may_be_best), (None, None));
    assert_eq!((found[0].num_common, found[0].rivals[1].is_best), (4, Some(true)));
}

#[test]
fn what_is_not_known_says_why() {
    let grid = one_group("[compare]\nmetrics = [\"ttft_mean_ms\"]\n");
    // Every seed gives the same.
    let values: Vec<Option<f64>> = [5.0, 6.0, 5.0].iter().flat_map(|own| [Some(*own); 4]).collect();
    let found = contests(&grid, &table(&grid, "ttft_mean_ms", &values, &[]));
    let standings: Vec<Standing> =
        found[0].duels.iter().map(|own| own.comparison.standing).collect();
    assert_eq!(standings, [Standing::Unresolved, Standing::Identical, Standing::Unresolved]);
    assert_eq!((found[0].note, found[0].rivals[0].may_be_best), (Some(SAME), None));
    assert_eq!(found[0].rivals[1].regret, Some(1.0), "of these seeds");
    // All are equal: whatever the seeds do, none is better.
    let values: Vec<Option<f64>> = [5.0; 12].map(Some).to_vec();
    let found = contests(&grid, &table(&grid, "ttft_mean_ms", &values, &[]));
    assert_eq!(found[0].note, Some(EQUAL));
    let rival = &found[0].rivals[1];
    assert_eq!(
        (rival.may_be_best, rival.is_best, rival.regret_hi),
        (Some(true), Some(false), Some(0.0))
    );
    // A value below 0 has no ratio, but a difference.
    let values = some(&[0.0, 1.0, 2.0, 1.0, 9.0, 8.0, 9.0, 9.0, 7.0, 6.0, 5.0, 9.0]);
    let found = contests(&grid, &table(&grid, "ttft_mean_ms", &values, &[]));
    assert_eq!(
        (found[0].duels[0].note, found[0].duels[0].comparison.ratio),
        (Some(NO_RATIO), None)
    );
    assert_eq!(found[0].duels[0].comparison.standing, Standing::Better);
    // One seed.
    let one = grid_of_one_seed();
    let found = contests(&one, &table(&one, "ttft_mean_ms", &some(&[1.0, 2.0, 3.0]), &[]));
    assert_eq!((found[0].note, found[0].duels[0].note), (Some(FEW), Some(FEW)));
    assert_eq!(found[0].duels[0].comparison.difference, Some(-1.0));
}

fn grid_of_one_seed() -> Grid {
    grid("seed", &format!("{ALGORITHMS}\nrates = [1]\nseeds = 1"), MEAN)
}

#[test]
fn a_lost_objective_is_no_number_and_not_left_out() {
    let grid = one_group("[compare]\n[slo]\nttft_p95_ms = 9\n");
    let values = some(&[9.0, 8.0, 10.0, 9.0, 10.0, 11.0, 12.0, 11.0, 30.0, 31.0, 35.0, 34.0]);
    let (mut values, mut lost) = (values, vec![Some(0.0); 12]);
    (values[2], lost[2]) = (None, Some(1.0));
    let found = contests(&grid, &table(&grid, "slo_ttft_p95_ms", &values, &lost));
    let own = &found[0].duels[0];
    assert_eq!((own.comparison.n, own.comparison.means, own.note), (4, None, Some(LOST)));
    assert_eq!((found[0].rivals[0].may_be_best, found[0].note), (None, Some(LOST)));
    assert_eq!(found[0].rivals[1].is_best, Some(true), "of those with numbers");
    assert_eq!(found[0].metric.name, "slo_ttft_p95_ms", "the objectives, where there are any");
}

#[test]
fn faults_say_where_and_how_to_mend_them() {
    for (more, parts) in [
        (
            "over = \"algoritm\"",
            ["no axis `algoritm` to compare over", "did you mean `algorithm`?"],
        ),
        ("baseline = \"round_robbin\"", ["`algorithm` is never `round_robbin`", "`round_robin`?"]),
        ("metrics = [\"ttft_p95\"]", ["unknown metric `ttft_p95`", "did you mean `ttft_p95_ms`?"]),
        ("metrics = [\"slo_x_ms\"]", ["unknown metric `slo_x_ms`", "no objective `x_ms` in [slo]"]),
        (
            "metrics = [\"evictions_blocks\"]",
            ["neither better low nor high", "compare what it does"],
        ),
        ("metrics = []", ["no `metrics`", "leave it out for the objectives"]),
        ("margin = 2", ["`compare.margin` is 2", "m.toml:"]),
        (
            "[statistics.precision]\nmetric = \"tft\"\nrelative = 0.1",
            ["unknown metric `tft`", "m.toml:"],
        ),
    ] {
        let rates = format!("{ALGORITHMS}\nrates = [1]\nseeds = 5");
        let error = load("faults", &rates, &format!("[compare]\n{more}\n")).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{more}: {error}");
        }
    }
}
