//! Tables of runs that never ran, for tests.

use polars::prelude::{Column, DataFrame, DataType, PlSmallStr};

use super::runs::results_frame;

/// Makes a table of runs, one for each of `runs`: the label of its cell, its seed, and whether it
/// failed. Columns are as given; all other numbers are null, counts 0.
pub(crate) fn runs(
    runs: &[(&str, i64, bool)],
    slo_terms: &[String],
    given: &[(&str, &[Option<f64>])],
) -> DataFrame {
    let name = PlSmallStr::from;
    let mut columns = vec![
        Column::new(name("cell_label"), runs.iter().map(|run| run.0).collect::<Vec<_>>()),
        Column::new(name("seed"), runs.iter().map(|run| run.1).collect::<Vec<_>>()),
    ];
    let like = results_frame(&[], slo_terms).unwrap();
    for (own, _) in given {
        assert!(like.column(own).is_ok(), "there is no column `{own}`");
    }
    for column in like.columns() {
        let (own, kind) = (column.name().clone(), column.dtype());
        let values = given.iter().find(|(name, _)| own == *name).map(|(_, values)| *values);
        columns.push(match (own.as_str(), values) {
            ("status", _) => {
                let status = |run: &(&str, i64, bool)| if run.2 { "failed" } else { "ok" };
                Column::new(own, runs.iter().map(status).collect::<Vec<_>>())
            }
            (_, Some(values)) => Column::new(own, values).cast(kind).unwrap(),
            (_, None) if *kind == DataType::Int64 => {
                // What failed has no counts.
                let zero = |run: &(&str, i64, bool)| (!run.2).then_some(0_i64);
                Column::new(own, runs.iter().map(zero).collect::<Vec<_>>())
            }
            (_, None) => Column::full_null(own, runs.len(), kind),
        });
    }
    DataFrame::new(runs.len(), columns).unwrap()
}
