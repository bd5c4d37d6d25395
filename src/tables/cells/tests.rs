use super::*;
use crate::stats::IntervalMethod;
use crate::tables::made_up::runs;
use crate::tables::sample::reals;
use crate::tables::{texts, texts_or_null};

const OK: bool = false;
const FAILED: bool = true;

/// The row of a metric of the first cell.
fn row(cells: &DataFrame, metric: &str) -> DataFrame {
    let at = texts(cells, "metric").unwrap().iter().position(|own| *own == metric).unwrap();
    take(cells, &[at]).unwrap()
}

fn real(row: &DataFrame, name: &str) -> Option<f64> {
    reals(row, name)[0]
}

fn whole(row: &DataFrame, name: &str) -> i64 {
    row.column(name).unwrap().i64().unwrap().get(0).unwrap()
}

fn text<'r>(row: &'r DataFrame, name: &str) -> Option<&'r str> {
    texts_or_null(row, name)[0]
}

#[track_caller]
fn near(got: Option<f64>, expected: f64) {
    let close = got.is_some_and(|got| (got - expected).abs() < 1e-9 * expected.abs());
    assert!(close, "{got:?}, not {expected}");
}

/// Seeds of one cell.
fn seeds(num: usize) -> Vec<(&'static str, i64, bool)> {
    (0..).take(num).map(|seed| ("x", seed, OK)).collect()
}

fn cells_of(table: &DataFrame, method: IntervalMethod) -> DataFrame {
    let spec = IntervalSpec { method, ..IntervalSpec::default() };
    cells_frame(table, &[], &[], spec).unwrap()
}

#[test]
fn a_row_has_the_numbers_of_its_sample() {
    // ST-01 of R: mean 12.17, interval 12.17 ± 0.2901877323.
    let values =
        [12.1, 11.8, 12.6, 12.0, 11.5, 12.9, 12.3, 11.9, 12.2, 12.4].map(|value| Some(value));
    let finished = [Some(2_000.0); 10];
    let given: [(&str, &[Option<f64>]); 3] = [
        ("ttft_mean_ms", &values),
        ("measured_requests_count", &finished),
        ("measured_finished_count", &finished),
    ];
    let table = runs(&seeds(10), &[], &given);
    let cells = cells_of(&table, IntervalMethod::T);
    let row = row(&cells, "ttft_mean_ms");
    near(real(&row, "mean"), 12.17);
    near(real(&row, "sd"), 0.405_654_478_3);
    near(real(&row, "ci_lo"), 12.17 - 0.290_187_732_3);
    near(real(&row, "ci_hi"), 12.17 + 0.290_187_732_3);
    near(real(&row, "median"), 12.15);
    assert_eq!((real(&row, "ci_level"), text(&row, "ci_method")), (Some(0.95), Some("t")));
    assert_eq!((whole(&row, "n"), whole(&row, "n_distinct"), text(&row, "flags")), (10, 10, None));
}

#[test]
fn the_order_of_seeds_moves_nothing() {
    let values: Vec<Option<f64>> = (0..25).map(|at| Some(f64::from((at * 7) % 25) + 1.0)).collect();
    let backwards: Vec<Option<f64>> = values.iter().rev().copied().collect();
    for method in IntervalMethod::ALL {
        let [forth, back] = [&values, &backwards].map(|values| {
            let table = runs(&seeds(25), &[], &[("ttft_mean_ms", values)]);
            row(&cells_of(&table, method), "ttft_mean_ms")
        });
        for name in ["mean", "sd", "se", "ci_lo", "ci_hi", "min", "median", "max"] {
            near(real(&forth, name), real(&back, name).unwrap());
        }
        assert_eq!(text(&forth, "ci_method"), Some(method.name()));
        assert_eq!(text(&forth, "flags"), text(&back, "flags"));
    }
}

#[test]
fn what_a_method_can_not_do_is_done_by_t() {
    // A queue wait of 0 has no logarithm, a ratio is no time, and 3 values are no 20.
    let values = [Some(1.0), Some(2.0), Some(4.0)];
    let zero = [Some(0.0), Some(2.0), Some(4.0)];
    let given: [(&str, &[Option<f64>]); 3] =
        [("ttft_mean_ms", &values), ("queue_wait_mean_ms", &zero), ("jain_index_ratio", &values)];
    let table = runs(&seeds(3), &[], &given);
    let method = |method, metric| {
        let row = row(&cells_of(&table, method), metric);
        text(&row, "ci_method").map(str::to_owned)
    };
    let metrics = ["ttft_mean_ms", "queue_wait_mean_ms", "jain_index_ratio"];
    let used = metrics.map(|metric| method(IntervalMethod::Log, metric).unwrap());
    assert_eq!(used, ["log", "t", "t"]);
    assert_eq!(method(IntervalMethod::Bca, "ttft_mean_ms").unwrap(), "t");
    assert_eq!(method(IntervalMethod::T, "e2e_mean_ms"), None, "no value, no interval");
}

#[test]
fn two_seeds_and_equal_seeds_have_no_interval() {
    let table = runs(&seeds(2), &[], &[("ttft_mean_ms", &[Some(1.0), Some(3.0)])]);
    let two = row(&cells_of(&table, IntervalMethod::T), "ttft_mean_ms");
    assert_eq!((real(&two, "mean"), real(&two, "ci_lo")), (Some(2.0), None));
    assert_eq!((text(&two, "ci_method"), text(&two, "flags")), (None, Some("few_seeds")));
    let table = runs(&seeds(6), &[], &[("ttft_mean_ms", &[Some(3.0); 6])]);
    let same = row(&cells_of(&table, IntervalMethod::T), "ttft_mean_ms");
    assert_eq!((real(&same, "ci_lo"), real(&same, "ci_level")), (None, None));
    assert_eq!((whole(&same, "n_distinct"), text(&same, "flags")), (1, Some("same_seeds")));
}

#[test]
fn failed_seeds_are_flagged_and_leave_nothing_where_all_did() {
    let table = runs(
        &[("x", 0, OK), ("x", 1, FAILED), ("y", 0, FAILED), ("y", 1, FAILED)],
        &[],
        &[("ttft_mean_ms", &[Some(5.0), None, None, None])],
    );
    let cells = cells_of(&table, IntervalMethod::T);
    let some = row(&cells, "ttft_mean_ms");
    assert_eq!((whole(&some, "n"), whole(&some, "n_failed")), (1, 1));
    assert_eq!(text(&some, "flags"), Some("failed_seeds;few_seeds"));
    let of_y = texts(&cells, "cell_label").unwrap().iter().position(|own| *own == "y").unwrap();
    let none = take(&cells, &[of_y]).unwrap();
    assert_eq!((whole(&none, "n"), real(&none, "mean"), whole(&none, "n_failed")), (0, None, 2));
    assert_eq!(text(&none, "flags"), Some("failed_seeds;few_seeds"));
}

/// The flags of mean TTFT of five seeds with these columns.
fn flags(given: &[(&str, &[Option<f64>])]) -> Option<String> {
    let table = runs(&seeds(5), &[], given);
    let row = row(&cells_of(&table, IntervalMethod::T), "ttft_mean_ms");
    text(&row, "flags").map(str::to_owned)
}

const TTFT: (&str, &[Option<f64>]) =
    ("ttft_mean_ms", &[Some(1.0), Some(2.0), Some(3.0), Some(4.0), Some(5.0)]);

#[test]
fn requests_that_did_not_finish_are_flagged() {
    let (requests, finished) = ([Some(100.0); 5], [Some(100.0); 5]);
    let mut fewer = finished;
    fewer[3] = Some(99.0);
    let of = |finished: &[Option<f64>]| {
        flags(&[
            TTFT,
            ("measured_requests_count", &requests),
            ("measured_finished_count", finished),
        ])
    };
    assert_eq!(of(&finished), None);
    assert_eq!(of(&fewer).unwrap(), "censored");
}

#[test]
fn a_window_that_drifts_is_flagged_unless_its_backlog_grows() {
    let first = [100.0, 110.0, 90.0, 105.0, 95.0];
    let halves = |times: [f64; 5]| {
        let second: Vec<Option<f64>> =
            first.iter().zip(times).map(|(first, times)| Some(first * times)).collect();
        second
    };
    let of = |second: &[Option<f64>], growth: &[Option<f64>], end: &[Option<f64>]| {
        let first = first.map(Some);
        flags(&[
            TTFT,
            ("ttft_first_half_mean_ms", &first),
            ("ttft_second_half_mean_ms", second),
            ("backlog_growth_ratio", growth),
            ("backlog_end_count", end),
        ])
    };
    let (none, few) = ([Some(0.0); 5], [Some(0.0); 5]);
    // ln of these ratios: mean ln 1.1 about, spread small: t is far above 4.604, its 99 % point.
    let sure = halves([1.09, 1.1, 1.11, 1.1, 1.1]);
    assert_eq!(of(&sure, &none, &few).unwrap(), "warmup");
    assert_eq!(of(&halves([0.8, 0.81, 0.79, 0.8, 0.8]), &none, &few).unwrap(), "warmup");
    assert_eq!(of(&halves([1.01, 1.011, 1.009, 1.01, 1.01]), &none, &few), None, "1 % is little");
    assert_eq!(of(&halves([0.5, 2.0, 0.6, 1.8, 1.3]), &none, &few), None, "chance");
    // 5 × 200 more requests in the system at the end, a tenth of the arrivals.
    assert_eq!(of(&sure, &[Some(0.1); 5], &[Some(200.0); 5]).unwrap(), "saturated");
}

#[test]
fn a_quantile_with_few_requests_beyond_is_flagged() {
    // 1999 · 5 % = 99.95 and 2000 · 5 % = 100; 1 % of either is below 100; a maximum has no tail.
    let slo = ["slo_ttft_p95_ms".to_owned()];
    let five = [Some(1.0), Some(2.0), Some(3.0), Some(4.0), Some(5.0)];
    for (fewest, thin_95) in [(1_999.0, true), (2_000.0, false)] {
        let finished = [Some(9e3), Some(9e3), Some(fewest), Some(9e3), Some(9e3)];
        let mut given: Vec<(&str, &[Option<f64>])> =
            vec![("measured_requests_count", &finished), ("measured_finished_count", &finished)];
        let metrics = [
            ("ttft_p95_ms", thin_95),
            ("slo_ttft_p95_ms", thin_95),
            ("ttft_p99_ms", true),
            ("ttft_p90_ms", false),
            ("ttft_max_ms", false),
            ("ttft_mean_ms", false),
        ];
        given.extend(metrics.iter().map(|(metric, _)| (*metric, &five[..])));
        let table = runs(&seeds(5), &slo, &given);
        let cells = cells_frame(&table, &[], &slo, IntervalSpec::default()).unwrap();
        for (metric, thin) in metrics {
            let row = row(&cells, metric);
            assert_eq!(text(&row, "flags"), thin.then_some("thin_tail"), "{metric}, {fewest}");
        }
    }
}

#[test]
fn an_objective_that_some_seed_lost_has_no_mean() {
    let slo = ["slo_ttft_p95_ms".to_owned()];
    let given: [(&str, &[Option<f64>]); 2] = [
        ("slo_ttft_p95_ms", &[Some(1.0), Some(2.0), Some(3.0), None]),
        ("slo_ttft_p95_lost_count", &[Some(0.0), Some(0.0), Some(0.0), Some(1.0)]),
    ];
    let table = runs(&seeds(4), &slo, &given);
    let cells = cells_frame(&table, &[], &slo, IntervalSpec::default()).unwrap();
    let row = row(&cells, "slo_ttft_p95_ms");
    assert_eq!((whole(&row, "n"), real(&row, "mean"), real(&row, "ci_lo")), (3, None, None));
}
