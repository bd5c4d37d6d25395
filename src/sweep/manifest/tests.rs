use super::axis::read_rates;
use super::grid_spec::read_seeds;
use super::*;
use crate::document::Scalar;

fn rates(text: &str) -> Result<Vec<f64>, String> {
    let document = Document::parse("m.toml", text).unwrap();
    let read = |root: &mut Table<'_>| read_rates(&root.item("rates")?);
    let values = document.settle(read).map_err(|faults| faults.to_string())?;
    let real = |scalar| if let Scalar::Real(real) = scalar { real } else { f64::NAN };
    Ok(values.into_iter().map(|value| real(value.coordinate)).collect())
}

/// The values of an axis as people write them, one after another.
fn axis(text: &str) -> Result<String, String> {
    let document = Document::parse("m.toml", text).unwrap();
    let read = |root: &mut Table<'_>| Axis::read("cluster.x", &root.item("a")?);
    let axis = document.settle(read).map_err(|faults| faults.to_string())?;
    let values = axis.values.iter().map(|value| match &value.coordinate {
        Scalar::Real(real) => format!("{real:?}"),
        other => other.to_string(),
    });
    Ok(values.collect::<Vec<_>>().join(" "))
}

#[test]
fn a_range_of_rates_has_both_its_ends() {
    let range = rates("rates = { start = 6, stop = 24, step = 3 }").unwrap();
    assert_eq!(range, [6.0, 9.0, 12.0, 15.0, 18.0, 21.0, 24.0]);
    let tenths = rates("rates = { start = 0.1, stop = 0.7, step = 0.1 }").unwrap();
    assert_eq!(tenths, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]);
    let short = rates("rates = { start = 1, stop = 2, step = 0.75 }").unwrap();
    assert_eq!(short, [1.0, 1.75], "the end is not overshot");
}

#[test]
fn an_axis_goes_through_its_values_in_many_ways() {
    for (text, values) in [
        ("[4, 0.5, true, \"x\"]", "4 0.5 true x"),
        ("{ start = 2, stop = 8, step = 3 }", "2 5 8"),
        ("{ start = 2, stop = 3, step = 0.5 }", "2.0 2.5 3.0"),
        (
            "{ linspace = { start = 0, stop = 1, num = 4 } }",
            "0.0 0.333333333333 0.666666666667 1.0",
        ),
        ("{ linspace = { start = 50, stop = 400, num = 8 } }", "50 100 150 200 250 300 350 400"),
        ("{ logspace = { start = 4096, stop = 65536, num = 5 } }", "4096 8192 16384 32768 65536"),
        ("{ logspace = { start = 1, stop = 100, num = 4 }, round = true }", "1 5 22 100"),
        ("{ values = [[1, 2], [3]], labels = [\"few\", \"one\"] }", "few one"),
        ("{ values = [[1, 2], [3]] }", "#0 #1"),
    ] {
        assert_eq!(axis(&format!("a = {text}")).as_deref(), Ok(values), "{text}");
    }
    for (text, part) in [
        ("{ start = 2, stop = 8 }", "`a` has no `step`"),
        ("{ start = 2, stop = 8, step = -1 }", "`a.step` is -1"),
        ("{ start = 0, stop = 1e9, step = 1 }", "over 100000 values"),
        ("{ linspace = { start = 0, stop = 1 } }", "has no `num`"),
        ("{ logspace = { start = 0, stop = 1, num = 2 } }", "`a.logspace.start` is 0"),
        ("{ values = [1], start = 2 }", "values of several kinds"),
        ("{ round = true }", "`a` has no values"),
        ("{ values = [1, 2], labels = [\"x\"] }", "1 labels for 2 values"),
        ("{ valeus = [1], start = 1, stop = 2, step = 1 }", "unknown key `valeus`"),
        ("3", "`a` is 3, expected a list"),
    ] {
        let error = axis(&format!("a = {text}")).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn a_count_of_seeds_goes_up_from_the_seed() {
    let document = Document::parse("m.toml", "few = 3\nlist = [9, 1]").unwrap();
    let read = |root: &mut Table<'_>| {
        Some((read_seeds(&root.item("few")?, 42)?, read_seeds(&root.item("list")?, 42)?))
    };
    assert_eq!(document.settle(read).unwrap(), (vec![42, 43, 44], vec![9, 1]));
}
