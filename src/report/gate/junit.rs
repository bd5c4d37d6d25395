//! A check as tests in the XML of `JUnit`, which every CI shows.

use std::fmt::Write as _;

use super::xml::escaped;
use super::{Shown, advice, mean, name_of, p_of, p_text, shell_quoted, why};
use crate::gate::{CellChange, Check, MetricChange};
use crate::stats::Verdict;

/// A test of the suite.
struct Case {
    cell: String,
    name: String,
    /// What came of it, if it did not pass: the element, its message and its text.
    told: Option<(Element, String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    /// A metric is worse.
    Failure,
    /// Runs failed or are missing.
    Error,
    /// The runs do not say.
    Skipped,
}

impl Element {
    fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Error => "error",
            Self::Skipped => "skipped",
        }
    }
}

/// Renders a check as the XML of `JUnit`: a suite of a test for each metric of each cell, and one
/// for the runs of each cell.
///
/// A regression is a failure, with `strict` what is inconclusive too, which else is skipped. Runs
/// that failed or are missing on the new side are errors.
pub fn check_junit(check: &Check) -> String {
    let cases = cases(check);
    let number = |element: Element| {
        cases.iter().filter(|case| case.told.as_ref().is_some_and(|told| told.0 == element)).count()
    };
    let name = escaped(&format!("routesim-sweep check {} {}", check.new.path, check.baseline.path));
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"",
        cases.len(),
        number(Element::Failure),
        number(Element::Error),
        number(Element::Skipped)
    );
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    let mut say = |line: String| writeln!(xml, "{line}").expect("a string takes all");
    say(format!("  <testsuite name=\"{name}\" {counts}>"));
    for Case { cell, name, told } in &cases {
        let open =
            format!("    <testcase classname=\"{}\" name=\"{}\"", escaped(cell), escaped(name));
        match told {
            None => say(format!("{open}/>")),
            Some((element, message, text)) => {
                let element = element.name();
                say(format!("{open}>"));
                let (message, text) = (escaped(message), escaped(text));
                say(format!("      <{element} message=\"{message}\">{text}</{element}>"));
                say("    </testcase>".to_owned());
            }
        }
    }
    say("  </testsuite>".to_owned());
    say("</testsuites>".to_owned());
    xml
}

fn cases(check: &Check) -> Vec<Case> {
    let mut cases = Vec::new();
    for cell in &check.comparison.cells {
        cases.push(case_of_runs(check, cell));
        cases.extend(cell.metrics.iter().map(|change| case_of(check, cell, change)));
    }
    for cell in &check.comparison.only_old {
        let message = format!("no such cell on the new side, {} before", super::runs(cell.runs));
        let told = Some((Element::Error, message, reproduce(check, &cell.label, &cell.id)));
        cases.push(Case { cell: cell.label.clone(), name: "runs".to_owned(), told });
    }
    if let Some(missing) = check.new.missing_runs.filter(|missing| *missing > 0) {
        let told = (Element::Error, format!("{missing} runs are missing"), String::new());
        let cell = check.new.path.clone();
        cases.push(Case { cell, name: "runs".to_owned(), told: Some(told) });
    }
    cases
}

fn case_of_runs(check: &Check, cell: &CellChange) -> Case {
    let (failed, missing) = (cell.failed_new.len(), cell.seeds_only_old.len());
    let told = (failed + missing > 0).then(|| {
        let mut text = String::new();
        for run in &cell.failed_new {
            writeln!(text, "seed {}: {}", run.seed, run.error).expect("a string takes all");
        }
        for seed in &cell.seeds_only_old {
            writeln!(text, "seed {seed}: missing").expect("a string takes all");
        }
        text.push_str(&reproduce(check, &cell.label, &cell.id));
        (Element::Error, format!("{failed} runs failed, {missing} are missing"), text)
    });
    Case { cell: cell.label.clone(), name: "runs".to_owned(), told }
}

fn case_of(check: &Check, cell: &CellChange, change: &MetricChange) -> Case {
    let element = match change.verdict {
        Verdict::Regression => Some(Element::Failure),
        Verdict::Inconclusive if change.lost > 0 => Some(Element::Error),
        Verdict::Inconclusive if check.strict => Some(Element::Failure),
        Verdict::Inconclusive => Some(Element::Skipped),
        Verdict::Improved | Verdict::Equivalent | Verdict::Unchanged => None,
    };
    let told = element.map(|element| {
        let Shown { change: effect, interval } = Shown::of(change);
        let judged = &change.judged;
        let message = format!("{} of {}: {effect}", name_of(change.verdict), judged.name);
        let mut text = format!(
            "{} -> {} {}, change {effect}, 95 % interval {interval}, adjusted p {}, {} pairs; \
             a change of {} % matters\n",
            mean(change.old_mean),
            mean(change.new_mean),
            judged.unit,
            p_text(p_of(change)),
            change.pairs,
            100.0 * judged.min_effect,
        );
        if let Some(why) = why(change) {
            writeln!(text, "{why}").expect("a string takes all");
        }
        text.push_str(&reproduce(check, &cell.label, &cell.id));
        (element, message, text)
    });
    Case { cell: cell.label.clone(), name: change.judged.name.to_owned(), told }
}

/// How to see it again.
fn reproduce(check: &Check, label: &str, id: &str) -> String {
    let mut text = format!("cell {label} ({id})\n");
    if let Some(command) = &check.new.command {
        writeln!(text, "{command}").expect("a string takes all");
    }
    let [new, baseline] = [&check.new, &check.baseline].map(|own| shell_quoted(&own.path));
    writeln!(text, "routesim-sweep check {new} {baseline}").expect("a string takes all");
    for line in advice(check) {
        writeln!(text, "{line}").expect("a string takes all");
    }
    text
}
