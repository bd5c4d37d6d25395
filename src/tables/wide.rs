//! A row per cell, its metrics side by side.

use polars::prelude::{Column, DataFrame, PlSmallStr};

use crate::metrics::METRICS;

use super::capacity::CAPACITY_COLUMNS;
use super::cells::{CELL_COLUMNS, metrics};
use super::rows::take;
use super::runs::runs_frame;
use super::write::TableError;

/// What is told of a metric, each in a column `<metric>_<statistic>`.
const STATISTICS: [&str; 5] = ["n", "mean", "sd", "ci_lo", "ci_hi"];

/// Makes the wide table of cells from the long one: the columns before `metric`, which say which
/// cell, `n_failed`, `flags` of the whole cell, and for each metric the columns `<metric>_n`, `_mean`, `_sd`, `_ci_lo` and
/// `_ci_hi`. `slo_terms` are the columns of the SLO.
///
/// # Errors
///
/// When `cells` is not a table of [`cells_frame`](super::cells_frame).
pub fn wide_cells_frame(cells: &DataFrame, slo_terms: &[String]) -> Result<DataFrame, TableError> {
    let metrics = metrics(slo_terms);
    let names: Vec<&str> = metrics.iter().map(|(name, _)| name.as_str()).collect();
    side_by_side(cells, &names)
}

/// Puts the rows of a cell, one for each of `metrics`, beside one another.
fn side_by_side(cells: &DataFrame, metrics: &[&str]) -> Result<DataFrame, TableError> {
    let rows_of =
        |metric: usize| (metric..cells.height()).step_by(metrics.len().max(1)).collect::<Vec<_>>();
    let first = take(cells, &rows_of(0))?;
    let axes = first.columns().iter().take_while(|column| column.name() != "metric");
    let mut columns: Vec<Column> = axes.cloned().collect();
    columns.push(first.column("n_failed")?.clone());
    // The first metric is the one whose flags are those of the cell.
    columns.push(first.column("flags")?.clone());
    let statistics = cells.select(STATISTICS)?;
    for (place, metric) in metrics.iter().enumerate() {
        let own = take(&statistics, &rows_of(place))?;
        for statistic in STATISTICS {
            let name = PlSmallStr::from(format!("{metric}_{statistic}"));
            columns.push(own.column(statistic)?.clone().with_name(name));
        }
    }
    Ok(DataFrame::new(first.height(), columns)?)
}

/// Returns whether a table has a column of that name, apart from further axes; `slo_terms` are the
/// columns of the SLO.
pub fn is_column(name: &str, slo_terms: &[String]) -> bool {
    let names = |frame: Result<DataFrame, TableError>| frame.is_ok_and(|f| f.column(name).is_ok());
    let of_metric = STATISTICS.iter().any(|statistic| {
        let metric = name.strip_suffix(statistic).and_then(|name| name.strip_suffix('_'));
        metric.is_some_and(|metric| {
            METRICS.iter().any(|own| own.name == metric)
                || slo_terms.iter().any(|own| own == metric)
        })
    });
    ["run_id", "cell_id"].contains(&name)
        || CELL_COLUMNS.contains(&name)
        || CAPACITY_COLUMNS.contains(&name)
        || of_metric
        || names(runs_frame(&[], &[], slo_terms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::sample::reals;
    use crate::tables::{texts, texts_or_null};

    #[test]
    fn a_cell_is_a_row_and_a_metric_five_columns() {
        let text = |name: &str, values: [&str; 4]| Column::new(name.into(), values);
        let real = |name: &str, values: [Option<f64>; 4]| Column::new(name.into(), values);
        let columns = vec![
            text("cell_id", ["a", "a", "b", "b"]),
            text("metric", ["ttft_ms", "load_ratio", "ttft_ms", "load_ratio"]),
            Column::new("n".into(), [3_i64, 3, 2, 0]),
            Column::new("n_failed".into(), [0_i64, 0, 1, 1]),
            Column::new("flags".into(), [None, Some("thin_tail"), Some("warmup"), None]),
            real("mean", [Some(1.0), Some(2.0), Some(3.0), None]),
            real("sd", [Some(0.1), Some(0.2), None, None]),
            real("ci_lo", [Some(0.5), None, Some(2.5), None]),
            real("ci_hi", [Some(1.5), None, Some(3.5), None]),
        ];
        let cells = DataFrame::new(4, columns).unwrap();
        let wide = side_by_side(&cells, &["ttft_ms", "load_ratio"]).unwrap();
        assert_eq!(texts(&wide, "cell_id").unwrap(), ["a", "b"]);
        assert_eq!((wide.height(), wide.width()), (2, 3 + 2 * 5));
        assert_eq!(reals(&wide, "ttft_ms_mean"), [Some(1.0), Some(3.0)]);
        assert_eq!(reals(&wide, "ttft_ms_ci_hi"), [Some(1.5), Some(3.5)]);
        assert_eq!(reals(&wide, "load_ratio_mean"), [Some(2.0), None], "null stays null");
        assert_eq!(texts_or_null(&wide, "flags"), [None, Some("warmup")], "of the first metric");
        let failed: Vec<i64> =
            wide.column("n_failed").unwrap().i64().unwrap().iter().flatten().collect();
        assert_eq!(failed, [0, 1]);
    }
}
