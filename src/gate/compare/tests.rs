use std::slice::from_ref;

use super::*;
use crate::tables::sample::{Run, runs};
use proptest::prelude::*;

const METRICS: [&str; 2] = ["ttft_mean_ms", "throughput_rps"];

fn spec() -> GateSpec {
    let judged = METRICS.iter().filter_map(|name| Judged::named(name, 0.01));
    GateSpec { metrics: judged.collect(), risk: 0.05 }
}

/// A cell of ten seeds, its latency and its throughput times these.
fn cell<'a>(id: &'a str, label: &'a str, latency: f64, throughput: f64) -> Vec<Run<'a>> {
    (0..10)
        .map(|seed| {
            // Seeds differ by some 10 %, and what a change does to each by half a percent.
            let (luck, noise) = (f64::from(seed % 7), f64::from(seed * 3 % 5 - 2) / 800.0);
            let noise = if latency.total_cmp(&1.0).is_eq() { 0.0 } else { noise };
            let values = vec![
                Some((100.0 + 2.0 * luck) * latency * (1.0 + noise)),
                Some((20.0 - 0.2 * luck) * throughput),
            ];
            (id, label, i64::from(seed), Some("ok"), values)
        })
        .collect()
}

fn compared(new: &[Vec<Run<'_>>], old: &[Vec<Run<'_>>]) -> Comparison {
    compare(&spec(), &runs(&METRICS, &new.concat()), &runs(&METRICS, &old.concat())).unwrap()
}

fn verdict(comparison: &Comparison, cell: usize, metric: usize) -> Verdict {
    comparison.cells[cell].metrics[metric].verdict
}

#[test]
fn equal_runs_are_unchanged_without_statistics() {
    let all = compared(&[cell("a", "A", 1.0, 1.0)], &[cell("a", "A", 1.0, 1.0)]);
    assert_eq!((all.pairs(), all.unchanged_cells()), (10, 1));
    assert_eq!(all.cells[0].changed_columns, Vec::<String>::new());
    for (_, change) in all.changes() {
        assert_eq!((change.verdict, change.pairs), (Verdict::Unchanged, 10));
        assert_eq!((change.test, change.p_worse), (None, None));
    }
}

#[test]
fn each_metric_is_decided_on_in_its_own_direction() {
    let old = [cell("a", "A", 1.0, 1.0), cell("b", "B", 1.0, 1.0), cell("c", "C", 1.0, 1.0)];
    let new = [cell("a", "A", 1.03, 1.0), cell("b", "B", 0.97, 0.95), cell("c", "C", 1.003, 1.0)];
    let all = compared(&new, &old);
    assert_eq!(verdict(&all, 0, 0), Verdict::Regression);
    assert_eq!(verdict(&all, 0, 1), Verdict::Unchanged);
    assert_eq!(verdict(&all, 1, 0), Verdict::Improved);
    // Less throughput is worse, and the same share under every seed.
    assert_eq!(verdict(&all, 1, 1), Verdict::Regression);
    assert_eq!(verdict(&all, 2, 0), Verdict::Equivalent);
    let change = &all.cells[0].metrics[0];
    let effect = change.test.unwrap().effect;
    assert!((effect - 1.03).abs() < 0.001, "{effect}");
    // Six metrics are judged together; the smallest p counts six times, and no other is below it.
    let raw = change.test.unwrap().p_worse;
    assert!(change.p_worse >= Some(raw) && change.p_worse <= Some(6.0 * raw), "{change:?}");
    assert_eq!(all.cells[0].changed_columns, ["ttft_mean_ms"]);
    assert_eq!((all.cells[0].changed_pairs, all.unchanged_cells()), (10, 0));
    let mean: f64 = (0..10).map(|seed| 100.0 + 2.0 * f64::from(seed % 7)).sum::<f64>() / 10.0;
    assert!((change.old_mean.unwrap() - mean).abs() < 1e-9);
}

#[test]
fn a_cell_whose_id_is_gone_goes_with_that_of_its_name() {
    let old = [cell("a", "A", 1.0, 1.0), cell("b", "B", 1.0, 1.0), cell("c", "C", 1.0, 1.0)];
    // `a` has another name, `B` another id, `C` is gone and `D` is new.
    let new = [cell("x", "B", 1.0, 1.0), cell("a", "Z", 1.0, 1.0), cell("d", "D", 1.0, 1.0)];
    let all = compared(&new, &old);
    let paired: Vec<(&str, &str, PairedBy)> =
        all.cells.iter().map(|cell| (cell.label.as_str(), cell.old_id.as_str(), cell.by)).collect();
    assert_eq!(paired, [("B", "b", PairedBy::Label), ("Z", "a", PairedBy::Id)]);
    let names = |cells: &[CellName]| {
        cells.iter().map(|cell| (cell.label.clone(), cell.runs)).collect::<Vec<_>>()
    };
    assert_eq!(names(&all.only_new), [("D".to_owned(), 10)]);
    assert_eq!(names(&all.only_old), [("C".to_owned(), 10)]);
    assert_eq!(all.lost_runs(), 10);
}

#[test]
fn cells_that_share_an_id_go_by_their_names() {
    let old = [cell("a", "one", 1.0, 1.0), cell("a", "two", 1.1, 1.0)];
    let new = [cell("a", "two", 1.1, 1.0), cell("a", "one", 1.0, 1.0)];
    let all = compared(&new, &old);
    assert_eq!(all.unchanged_cells(), 2);
}

#[test]
fn what_failed_or_is_missing_is_counted_and_not_compared() {
    let (mut new, mut old) = (cell("a", "A", 1.0, 1.0), cell("a", "A", 1.0, 1.0));
    new[0].3 = Some("failed");
    old[1].3 = Some("limited");
    new[2].2 = 70;
    // Yet to come: as good as no row.
    new[3].3 = None;
    let all = compared(&[new], &[old]);
    let cell = &all.cells[0];
    assert_eq!(cell.pairs, 6);
    assert_eq!(cell.failed_new, [FailedSeed { seed: 0, error: "broke".to_owned() }]);
    assert_eq!(cell.failed_old, [FailedSeed { seed: 1, error: "broke".to_owned() }]);
    assert_eq!((&cell.seeds_only_new[..], &cell.seeds_only_old[..]), (&[70][..], &[2, 3][..]));
    assert_eq!((all.failed_new(), all.lost_runs()), (1, 2));
}

#[test]
fn columns_of_one_side_are_told_and_no_change() {
    let cells = cell("a", "A", 1.0, 1.0);
    let one = runs(&METRICS[..1], &cells);
    let two = runs(&METRICS, &cells);
    let all = compare(&spec(), &two, &one).unwrap();
    assert_eq!(all.columns_only_new, ["throughput_rps"]);
    assert_eq!((all.columns_only_old.len(), all.unchanged_cells()), (0, 1));
    // The baseline does not know the metric: it has no value that could be lost.
    let change = &all.cells[0].metrics[1];
    assert_eq!((change.verdict, change.pairs, change.found), (Verdict::Inconclusive, 0, 10));
    assert_eq!((change.old_mean, change.test), (None, None));
    assert_eq!(compare(&spec(), &one, &two).unwrap().lost_metrics(), 1);
}

#[test]
fn a_value_that_is_lost_lets_nothing_pass() {
    let (mut new, old) = (cell("a", "A", 1.0, 1.0), cell("a", "A", 1.0, 1.0));
    new[4].4[0] = None;
    let all = compared(&[new], &[old]);
    let change = &all.cells[0].metrics[0];
    assert_eq!((change.verdict, change.pairs, change.lost), (Verdict::Inconclusive, 9, 1));
    assert_eq!((all.lost_metrics(), all.cells[0].changed_pairs), (1, 1));
}

#[test]
fn one_pair_says_no_more_than_whether_it_is_equal() {
    let one = |latency| cell("a", "A", latency, 1.0)[..1].to_vec();
    let all = compared(&[one(1.5)], &[one(1.0)]);
    assert_eq!(verdict(&all, 0, 0), Verdict::Inconclusive);
    assert_eq!(all.cells[0].metrics[0].test, None);
    assert_eq!(verdict(&all, 0, 1), Verdict::Unchanged);
}

#[test]
fn a_metric_that_no_side_has_is_left_out() {
    let mut cells = cell("a", "A", 1.0, 1.0);
    cells.iter_mut().for_each(|run| run.4[0] = None);
    let all = compared(&[cells.clone()], &[cells]);
    let names: Vec<&str> = all.cells[0].metrics.iter().map(|own| own.judged.name).collect();
    assert_eq!(names, ["throughput_rps"]);
}

#[test]
fn zeros_are_held_against_a_share_of_the_mean() {
    let spec = GateSpec {
        metrics: Judged::named("rejected_ratio", 0.5).into_iter().collect(),
        risk: 0.05,
    };
    let side = |extra: f64| {
        let value = |seed: i32| if seed % 2 == 0 { 0.0 } else { 0.02 + extra };
        let row =
            |seed: i32| ("a", "A", i64::from(seed), Some("ok"), vec![Some(value(seed) + extra)]);
        runs(&["rejected_ratio"], &(0..10).map(row).collect::<Vec<Run<'_>>>())
    };
    // The mean is 0.01, so half of it matters: 0.005.
    let by = |extra| compare(&spec, &side(extra), &side(0.0)).unwrap();
    assert_eq!(verdict(&by(0.02), 0, 0), Verdict::Regression);
    assert_eq!(verdict(&by(0.001), 0, 0), Verdict::Equivalent);
}

#[test]
fn what_cannot_be_compared_says_why() {
    let table = |cells: Vec<Run<'_>>| runs(&METRICS, &cells);
    let told = |new: &Frame, old: &Frame| compare(&spec(), new, old).unwrap_err().to_string();
    let own = table(cell("a", "A", 1.0, 1.0));
    let other = table(cell("b", "B", 1.0, 1.0));
    assert_eq!(
        told(&own, &other),
        "another grid: none of the 1 new cells is among the 1 of the baseline"
    );
    let mut shifted = cell("a", "A", 1.0, 1.0);
    shifted.iter_mut().for_each(|run| run.2 += 100);
    assert!(told(&own, &table(shifted)).starts_with("other seeds: "));
    let mut twice = cell("a", "A", 1.0, 1.0);
    twice[1].2 = 0;
    assert_eq!(told(&own, &table(twice)), "the baseline: cell A has seed 0 twice");
    let foreign = crate::tables::text_column("name", &["x"]).unwrap();
    let error = told(&foreign, &own);
    assert!(error.starts_with("the new side: not a table of runs: "), "{error}");
    let risky = GateSpec { risk: 1.0, ..spec() };
    let error = compare(&risky, &own, &own).unwrap_err().to_string();
    assert_eq!(error, "the risk is 1, expected a number between 0 and 1");
}

proptest! {
    #[test]
    fn the_order_of_rows_and_cells_changes_no_decision(
        order in Just((0..20_usize).collect::<Vec<_>>()).prop_shuffle(),
        latency in 0.95..1.05_f64,
    ) {
        let old = [cell("a", "A", 1.0, 1.0), cell("b", "B", 1.0, 1.0)].concat();
        let new = [cell("a", "A", latency, 1.0), cell("b", "B", 1.0, 0.99)].concat();
        let shuffled: Vec<Run<'_>> = order.iter().map(|at| new[*at].clone()).collect();
        let told = |new: &[Run<'_>]| {
            let all = compare(&spec(), &runs(&METRICS, new), &runs(&METRICS, &old)).unwrap();
            let mut told: Vec<String> = all
                .changes()
                .map(|(cell, own)| format!("{} {:?}", cell.label, own))
                .collect();
            told.sort();
            told
        };
        prop_assert_eq!(told(&new), told(&shuffled));
    }

    #[test]
    fn turned_around_what_was_worse_is_better(latency in 0.9..1.1_f64, throughput in 0.9..1.1_f64) {
        let (old, new) = (cell("a", "A", 1.0, 1.0), cell("a", "A", latency, throughput));
        let (there, back) = (compared(from_ref(&new), from_ref(&old)), compared(from_ref(&old), from_ref(&new)));
        for (there, back) in there.changes().zip(back.changes()) {
            let turned = match there.1.verdict {
                Verdict::Regression => Verdict::Improved,
                Verdict::Improved => Verdict::Regression,
                same => same,
            };
            prop_assert_eq!(turned, back.1.verdict);
        }
    }
}
