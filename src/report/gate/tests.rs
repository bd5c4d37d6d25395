use quick_xml::events::Event;
use quick_xml::events::attributes::Attribute;

use super::*;
use crate::gate::{GateSpec, Judged, Source, compare};
use crate::tables::sample::{Run, runs};

const METRICS: [&str; 2] = ["ttft_mean_ms", "throughput_rps"];

/// A cell of eight seeds.
fn cell<'a>(id: &'a str, label: &'a str, latency: f64) -> Vec<Run<'a>> {
    let row = |seed: i32| {
        let noise =
            if latency.total_cmp(&1.0).is_eq() { 0.0 } else { f64::from(seed % 3) / 1000.0 };
        let values = vec![Some(100.0 * latency + noise), Some(20.0)];
        (id, label, i64::from(seed), Some("ok"), values)
    };
    (0..8).map(row).collect()
}

/// A check with one of each verdict, a failed run and a lost cell.
fn check() -> Check {
    let spec = GateSpec {
        metrics: METRICS.iter().filter_map(|name| Judged::named(name, 0.01)).collect(),
        risk: 0.05,
    };
    let names = [("a", "x/a|<b>"), ("b", "x/b"), ("c", "x/c"), ("d", "x/d"), ("e", "x/e")];
    let old: Vec<Run<'_>> = names.iter().flat_map(|(id, label)| cell(id, label, 1.0)).collect();
    let mut new = [
        cell("a", "x/a|<b>", 1.03),
        cell("b", "x/b", 0.96),
        cell("c", "x/c", 1.001),
        cell("d", "x/d", 1.0),
    ]
    .concat();
    // Too uneven to tell.
    for (at, run) in new[24..].iter_mut().enumerate() {
        run.4[0] = Some(if at % 2 == 0 { 90.0 } else { 112.0 });
    }
    new[3].3 = Some("failed");
    let comparison = compare(&spec, &runs(&METRICS, &new), &runs(&METRICS, &old)).unwrap();
    let source = |path: &str, engine: &str| Source {
        path: path.to_owned(),
        engine: Some(engine.to_owned()),
        missing_runs: Some(0),
        command: Some("routesim-sweep nightly.toml".to_owned()),
    };
    let (new, baseline) =
        (source("results/n", "0.1.0-engine.3"), source("base lines/n", "0.1.0-engine.2"));
    Check { new, baseline, spec, comparison, strict: false }
}

#[test]
fn a_terminal_has_the_worst_first_and_the_decision_last() {
    let text = check_text(&check());
    let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
    let order = [
        "regression (1), largest first",
        "x/a|<b>",
        "+3.00 %",
        "inconclusive (1)",
        "improved (1)",
        "failed or missing on the new side",
        "x/a|<b> seed 3: failed: broke",
        "x/e: no such cell (8 runs before)",
        "note: 1 new run failed",
        "REGRESSION: 1 regression, 1 inconclusive, 1 improved, 1 equivalent, 4 unchanged",
        "changes below 1 % do not matter; risk of any false regression 5 %",
        "routesim-sweep baseline update results/n 'base lines/n'",
    ];
    let places: Vec<usize> = order.iter().map(|what| place(what)).collect();
    assert!(places.is_sorted(), "{places:?}\n{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn a_check_that_passes_says_so_in_few_lines() {
    let mut all = check();
    all.comparison.cells.retain(|cell| cell.id == "d");
    all.comparison.cells[0].metrics.retain(|own| own.judged.name == "throughput_rps");
    all.comparison.only_old.clear();
    assert_eq!(all.outcome(), Outcome::Passed);
    let text = check_text(&all);
    assert!(text.contains("PASSED: 0 regression, "), "{text}");
    // Its latency has moved, which nobody judges here.
    assert!(text.contains("changed in nothing that is judged\n  x/d: ttft_mean_ms\n"), "{text}");
    assert!(text.lines().count() < 12, "{text}");
}

#[test]
fn outcomes_go_from_the_worst_on() {
    let mut all = check();
    assert_eq!(all.outcome(), Outcome::Regression);
    all.comparison.cells.retain(|cell| cell.id != "a");
    assert_eq!(all.outcome(), Outcome::Incomplete, "a cell is gone");
    all.comparison.only_old.clear();
    assert_eq!(all.outcome(), Outcome::Passed);
    all.strict = true;
    assert_eq!(all.outcome(), Outcome::Inconclusive);
    all.new.missing_runs = Some(1);
    assert_eq!(all.outcome(), Outcome::Incomplete);
}

#[test]
fn programs_have_every_metric_and_null_where_nothing_is_known() {
    let json = check_json(&check());
    assert_eq!(json["schema"], "routesim.check/1");
    assert_eq!(
        (&json["outcome"], &json["verdicts"]["regression"]),
        (&"regression".into(), &1.into())
    );
    let cells = json["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 4);
    let worse = &cells[0]["metrics"][0];
    assert_eq!((&worse["verdict"], &worse["scale"]), (&"regression".into(), &"ratio".into()));
    assert!(worse["ci_lo"].as_f64() < worse["effect"].as_f64());
    let same = &cells[0]["metrics"][1];
    assert_eq!(same["verdict"], "unchanged");
    for key in ["scale", "effect", "ci_lo", "ci_hi", "p_worse", "p_worse_adj", "p_equivalent"] {
        assert!(same[key].is_null(), "{key}");
    }
    assert_eq!(cells[0]["failed_new"][0]["error"], "broke");
    assert_eq!(json["cells_only_baseline"][0]["cell_label"], "x/e");
}

/// The attributes of every element of that name.
fn elements(xml: &str, name: &str) -> Vec<Vec<(String, String)>> {
    let attribute = |own: Attribute<'_>| {
        let key = String::from_utf8(own.key.as_ref().to_vec()).unwrap();
        let value = std::str::from_utf8(&own.value).unwrap();
        (key, quick_xml::escape::unescape(value).unwrap().into_owned())
    };
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut found = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) | Event::Empty(tag) if tag.name().as_ref() == name.as_bytes() => {
                found.push(tag.attributes().map(|own| attribute(own.unwrap())).collect());
            }
            Event::Eof => return found,
            _ => {}
        }
    }
}

#[test]
fn junit_has_a_case_for_each_metric_and_the_runs_of_each_cell() {
    let mut all = check();
    let xml = check_junit(&all);
    let suite = &elements(&xml, "testsuite")[0];
    let of = |key: &str| suite.iter().find(|own| own.0 == key).unwrap().1.clone();
    // Four cells of two metrics and their runs, and the cell that is gone.
    assert_eq!(["tests", "failures", "errors", "skipped"].map(of), ["13", "1", "2", "1"]);
    let cases = elements(&xml, "testcase");
    assert_eq!(cases.len(), 13);
    assert_eq!(cases[0][0], ("classname".to_owned(), "x/a|<b>".to_owned()));
    let failures = elements(&xml, "failure");
    assert_eq!(failures[0][0].1, "regression of ttft_mean_ms: +3.00 %");
    for part in ["95 % interval +", "adjusted p &lt;0.0001", "routesim-sweep nightly.toml", "(a)"] {
        assert!(xml.contains(part), "{part}: {xml}");
    }
    all.strict = true;
    assert_eq!(elements(&check_junit(&all), "failure").len(), 2);
}

#[test]
fn markdown_is_a_table_that_no_label_breaks() {
    let text = check_markdown(&check());
    assert!(text.starts_with("## RouteSim check: REGRESSION\n\n**1 regression, "), "{text}");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
    assert_eq!(rows.len(), 4, "{text}");
    assert!(rows[1].starts_with("| regression | x/a\\|&lt;b&gt; | ttft\\_mean\\_ms |"), "{text}");
    for row in rows {
        assert_eq!(row.replace("\\|", "").matches('|').count(), 10, "{row}");
    }
    assert!(text.contains("```sh\nroutesim-sweep baseline update results/n 'base lines/n'\n```"));
}

#[test]
fn a_shell_takes_a_word_as_it_is() {
    assert_eq!(shell_quoted("results/n-1.toml"), "results/n-1.toml");
    assert_eq!(shell_quoted("it's here"), "'it'\\''s here'");
    assert_eq!(shell_quoted(""), "''");
}
