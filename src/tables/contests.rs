//! A row per two cells that are compared, and a row per cell that may be the best.

use polars::prelude::{Column, DataFrame, NamedFrom, PlSmallStr, Series};

use crate::stats::{Comparison, Interval, Scale};

use super::write::TableError;

/// Columns of the table of comparisons after those of the axes.
const DUEL_COLUMNS: [&str; 26] = [
    "axis",
    "value_a",
    "value_b",
    "cell_id_a",
    "cell_id_b",
    "metric",
    "unit",
    "n_pairs",
    "n_unpaired",
    "mean_a",
    "mean_b",
    "diff",
    "diff_ci_lo",
    "diff_ci_hi",
    "ratio",
    "ratio_ci_lo",
    "ratio_ci_hi",
    "ci_level",
    "n_comparisons",
    "correlation",
    "variance_ratio",
    "p_raw",
    "p_adj",
    "method",
    "verdict",
    "note",
];

/// Columns of the table of the best after those of the axes.
const RIVAL_COLUMNS: [&str; 14] = [
    "axis",
    "value",
    "cell_id",
    "metric",
    "unit",
    "n",
    "n_cells",
    "mean",
    "regret",
    "regret_hi",
    "may_be_best",
    "is_best",
    "ci_level",
    "note",
];

/// Two cells in one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct DuelRow {
    /// The axis that they differ in.
    pub axis: String,
    /// Their values on it.
    pub values: [String; 2],
    /// Their ids.
    pub cell_ids: [String; 2],
    /// The metric.
    pub metric: String,
    /// Its unit.
    pub unit: &'static str,
    /// Seeds that one of them alone has a value of.
    pub num_unpaired: usize,
    /// What the pairs say.
    pub comparison: Comparison,
    /// The level of each interval.
    pub level: Option<f64>,
    /// Comparisons of the family.
    pub num_comparisons: usize,
    /// Why something is not known.
    pub note: Option<&'static str>,
}

/// A cell against the best of its group in one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct RivalRow {
    /// The axis that the cells of its group differ in.
    pub axis: String,
    /// Its value on it.
    pub value: String,
    /// Its id.
    pub cell_id: String,
    /// The metric.
    pub metric: String,
    /// Its unit.
    pub unit: &'static str,
    /// Common seeds.
    pub num_common: usize,
    /// Cells of the group.
    pub num_cells: usize,
    /// Its mean over the common seeds.
    pub mean: Option<f64>,
    /// How far it is behind the best mean.
    pub regret: Option<f64>,
    /// How far that is in truth, at most.
    pub regret_hi: Option<f64>,
    /// Whether it may be the best.
    pub may_be_best: Option<bool>,
    /// Whether it is.
    pub is_best: Option<bool>,
    /// The level of the claims of the group.
    pub level: f64,
    /// Why something is not known.
    pub note: Option<&'static str>,
}

/// Returns whether either table has a column of that name, apart from the axes.
pub fn is_contest_column(name: &str) -> bool {
    DUEL_COLUMNS.contains(&name) || RIVAL_COLUMNS.contains(&name)
}

/// Makes the table of comparisons; `axes` are the columns that the cells of each row have in common.
///
/// # Errors
///
/// When there are not as many rows in both.
pub fn comparisons_frame(axes: DataFrame, rows: &[DuelRow]) -> Result<DataFrame, TableError> {
    let text = |name: &str, get: fn(&DuelRow) -> Option<&str>| texts(name, rows, get);
    let whole = |name: &str, get: fn(&DuelRow) -> usize| column(name, rows, |row| count(get(row)));
    let real = |name: &str, get: &dyn Fn(&Comparison) -> Option<f64>| {
        column(name, rows, |row| get(&row.comparison).filter(|value| value.is_finite()))
    };
    let ends = |of: fn(&Comparison) -> Option<Interval>| {
        (move |own: &Comparison| Some(of(own)?.lo), move |own: &Comparison| Some(of(own)?.hi))
    };
    let difference = ends(|own| own.difference_interval);
    let ratio = ends(|own| own.ratio_interval);
    let has_interval = |row: &DuelRow| row.comparison.difference_interval.is_some();
    let mut columns = axes.into_columns();
    columns.extend([
        text("axis", |row| Some(&row.axis)),
        text("value_a", |row| Some(&row.values[0])),
        text("value_b", |row| Some(&row.values[1])),
        text("cell_id_a", |row| Some(&row.cell_ids[0])),
        text("cell_id_b", |row| Some(&row.cell_ids[1])),
        text("metric", |row| Some(&row.metric)),
        text("unit", |row| Some(row.unit)),
        whole("n_pairs", |row| row.comparison.n),
        whole("n_unpaired", |row| row.num_unpaired),
        real("mean_a", &|own| Some(own.means?[0])),
        real("mean_b", &|own| Some(own.means?[1])),
        real("diff", &|own| own.difference),
        real("diff_ci_lo", &difference.0),
        real("diff_ci_hi", &difference.1),
        real("ratio", &|own| own.ratio),
        real("ratio_ci_lo", &ratio.0),
        real("ratio_ci_hi", &ratio.1),
        column("ci_level", rows, |row| row.level.filter(|_| has_interval(row))),
        whole("n_comparisons", |row| row.num_comparisons),
        real("correlation", &|own| own.correlation),
        real("variance_ratio", &|own| own.variance_ratio),
        real("p_raw", &|own| own.p),
        real("p_adj", &|own| own.p_adjusted),
        text("method", |row| {
            row.comparison.scale.map(|scale| match scale {
                Scale::Ratio => "paired t of log ratios",
                Scale::Difference => "paired t of differences",
            })
        }),
        text("verdict", |row| Some(row.comparison.standing.name())),
        text("note", |row| row.note),
    ]);
    Ok(DataFrame::new(rows.len(), columns)?)
}

/// Makes the table of the best; `axes` are the columns that the cells of a group have in common.
///
/// # Errors
///
/// When there are not as many rows in both.
pub fn best_frame(axes: DataFrame, rows: &[RivalRow]) -> Result<DataFrame, TableError> {
    let text = |name: &str, get: fn(&RivalRow) -> Option<&str>| texts(name, rows, get);
    let mut columns = axes.into_columns();
    columns.extend([
        text("axis", |row| Some(&row.axis)),
        text("value", |row| Some(&row.value)),
        text("cell_id", |row| Some(&row.cell_id)),
        text("metric", |row| Some(&row.metric)),
        text("unit", |row| Some(row.unit)),
        column("n", rows, |row| count(row.num_common)),
        column("n_cells", rows, |row| count(row.num_cells)),
        column("mean", rows, |row| row.mean),
        column("regret", rows, |row| row.regret),
        column("regret_hi", rows, |row| row.regret_hi),
        column("may_be_best", rows, |row| row.may_be_best),
        column("is_best", rows, |row| row.is_best),
        column("ci_level", rows, |row| row.regret_hi.map(|_| row.level)),
        text("note", |row| row.note),
    ]);
    Ok(DataFrame::new(rows.len(), columns)?)
}

fn count(value: usize) -> Option<i64> {
    i64::try_from(value).ok()
}

fn texts<T>(name: &str, rows: &[T], get: impl Fn(&T) -> Option<&str>) -> Column {
    Column::new(PlSmallStr::from(name), rows.iter().map(get).collect::<Vec<Option<&str>>>())
}

fn column<R, T>(name: &str, rows: &[R], get: impl Fn(&R) -> Option<T>) -> Column
where
    Series: NamedFrom<Vec<Option<T>>, [Option<T>]>,
{
    let values: Vec<Option<T>> = rows.iter().map(get).collect();
    Series::new(PlSmallStr::from(name), values).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_whose_names_are_taken() {
        let names = |frame: DataFrame| {
            frame.columns().iter().map(|own| own.name().to_string()).collect::<Vec<_>>()
        };
        let none = DataFrame::empty;
        assert_eq!(names(comparisons_frame(none(), &[]).unwrap()), DUEL_COLUMNS);
        assert_eq!(names(best_frame(none(), &[]).unwrap()), RIVAL_COLUMNS);
    }
}
