//! Rows of tables: their values, and tables put together from others.

use std::collections::BTreeMap;

use polars::prelude::{
    BooleanChunked, Column, DataFrame, DataType, IdxCa, IdxSize, NewChunkedArray as _, PlSmallStr,
};

use super::write::TableError;

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// A whole number.
    Whole(i64),
    /// A real number.
    Real(f64),
    /// Yes or no.
    Truth(bool),
    /// Whole numbers.
    Wholes(&'a [i64]),
    /// Real numbers.
    Reals(&'a [f64]),
}

impl Value<'_> {
    /// Appends bytes that no other value has, of this type or another.
    fn write(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                bytes.push(b't');
                bytes.extend((text.len() as u64).to_le_bytes());
                bytes.extend(text.as_bytes());
            }
            Self::Whole(value) => {
                bytes.push(b'w');
                bytes.extend(value.to_le_bytes());
            }
            Self::Real(value) => {
                bytes.push(b'r');
                bytes.extend(value.to_bits().to_le_bytes());
            }
            Self::Truth(value) => bytes.extend([b'b', u8::from(value)]),
            Self::Wholes(values) => {
                bytes.push(b'W');
                bytes.extend((values.len() as u64).to_le_bytes());
                values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
            }
            Self::Reals(values) => {
                bytes.push(b'R');
                bytes.extend((values.len() as u64).to_le_bytes());
                values.iter().for_each(|value| bytes.extend(value.to_bits().to_le_bytes()));
            }
        }
    }
}

/// Writes every row as bytes that are equal when the rows are: columns by name, each with its name
/// and value. The order of columns does not count, nor does `except`, and a null is as good as no
/// column: a table may have columns that are of no concern to some of its rows.
///
/// # Errors
///
/// When a column is not of text, 64-bit numbers, truths or lists of such numbers without nulls.
pub fn row_bytes(frame: &DataFrame, except: &[&str]) -> Result<Vec<Vec<u8>>, TableError> {
    let mut columns: Vec<&Column> = frame.columns().iter().collect();
    columns.retain(|column| !except.contains(&column.name().as_str()));
    columns.sort_by(|a, b| a.name().cmp(b.name()));
    let mut rows = vec![Vec::new(); frame.height()];
    for column in columns {
        let name = column.name().as_bytes();
        each_value(column, |row, value| {
            rows[row].extend((name.len() as u64).to_le_bytes());
            rows[row].extend(name);
            value.write(&mut rows[row]);
        })?;
    }
    Ok(rows)
}

/// Calls `each` with the row and the value of what is not null.
fn each_value(column: &Column, mut each: impl FnMut(usize, Value<'_>)) -> Result<(), TableError> {
    macro_rules! values {
        ($values:expr, $kind:expr) => {
            for (row, value) in $values.iter().enumerate() {
                if let Some(value) = value {
                    each(row, $kind(value));
                }
            }
        };
    }
    match column.dtype() {
        DataType::String => values!(column.str()?, Value::Text),
        DataType::Int64 => values!(column.i64()?, Value::Whole),
        DataType::Float64 => values!(column.f64()?, Value::Real),
        DataType::Boolean => values!(column.bool()?, Value::Truth),
        DataType::List(_) => each_list(column, each)?,
        // A column of nulls alone has no values.
        DataType::Null => {}
        other => return Err(wrong(format!("column `{}` is of type {other}", column.name()))),
    }
    Ok(())
}

fn each_list(column: &Column, mut each: impl FnMut(usize, Value<'_>)) -> Result<(), TableError> {
    let lists = column.list()?;
    for row in 0..lists.len() {
        let Some(list) = lists.get_as_series(row) else { continue };
        match list.dtype() {
            DataType::Int64 => each(row, Value::Wholes(list.i64()?.cont_slice()?)),
            DataType::Float64 => each(row, Value::Reals(list.f64()?.cont_slice()?)),
            other => {
                return Err(wrong(format!("column `{}` is of lists of {other}", column.name())));
            }
        }
    }
    Ok(())
}

/// Returns a column of text, without nulls.
///
/// # Errors
///
/// When it is not there, is no text, or has a null.
pub fn texts<'a>(frame: &'a DataFrame, name: &str) -> Result<Vec<&'a str>, TableError> {
    let values: Option<Vec<&str>> = frame.column(name)?.str()?.iter().collect();
    values.ok_or_else(|| wrong(format!("column `{name}` has a null")))
}

/// Returns a column of text, none where it has a null or where there is no such column.
pub fn texts_or_null<'a>(frame: &'a DataFrame, name: &str) -> Vec<Option<&'a str>> {
    match frame.column(name).and_then(|column| column.str()) {
        Ok(values) => values.iter().collect(),
        Err(_) => vec![None; frame.height()],
    }
}

/// Returns `most` rows from `first` on, or as many as there are.
pub fn slice(frame: &DataFrame, first: usize, most: usize) -> DataFrame {
    frame.slice(i64::try_from(first).unwrap_or(i64::MAX), most)
}

/// Returns some columns by name, in that order.
///
/// # Errors
///
/// When one is not there.
pub fn select(frame: &DataFrame, names: &[String]) -> Result<DataFrame, TableError> {
    Ok(frame.select(names)?)
}

/// Makes a table of one column of texts, null where there is none.
///
/// # Errors
///
/// When polars refuses, which would be our fault.
pub fn text_column_or_null(
    name: &str,
    values: Vec<Option<String>>,
) -> Result<DataFrame, TableError> {
    let height = values.len();
    Ok(DataFrame::new(height, vec![Column::new(PlSmallStr::from(name), values)])?)
}

/// Puts columns of text before all others.
///
/// # Errors
///
/// When such a column is there already, or is of another length.
pub fn put_first(
    frame: DataFrame,
    texts: Vec<(&str, Vec<String>)>,
) -> Result<DataFrame, TableError> {
    let height = frame.height();
    let mut columns: Vec<Column> = Vec::with_capacity(frame.width() + texts.len());
    for (name, values) in texts {
        columns.push(Column::new(PlSmallStr::from(name), values));
    }
    columns.extend(frame.into_columns());
    Ok(DataFrame::new(height, columns)?)
}

/// Returns the rows that are marked.
///
/// # Errors
///
/// When there is not one mark a row.
pub fn keep(frame: &DataFrame, marks: &[bool]) -> Result<DataFrame, TableError> {
    Ok(frame.filter(&BooleanChunked::from_slice(PlSmallStr::EMPTY, marks))?)
}

/// Returns rows by number, in that order.
///
/// # Errors
///
/// When there is no such row.
pub fn take(frame: &DataFrame, rows: &[usize]) -> Result<DataFrame, TableError> {
    let ids: Result<Vec<IdxSize>, _> = rows.iter().map(|row| IdxSize::try_from(*row)).collect();
    let ids = ids.map_err(|_| wrong("more rows than a table can have".to_owned()))?;
    Ok(frame.take(&IdxCa::from_vec(PlSmallStr::EMPTY, ids))?)
}

/// Puts tables one below the other. Columns are matched by name, and stand first as `first` says,
/// then by name; where a table lacks one, its rows have null. Each table stays a piece of its own.
///
/// # Errors
///
/// When a column is of different types in two tables.
pub fn stack(frames: Vec<DataFrame>, first: &[&str]) -> Result<DataFrame, TableError> {
    let mut types: BTreeMap<PlSmallStr, DataType> = BTreeMap::new();
    for column in frames.iter().flat_map(DataFrame::columns) {
        match types.get(column.name()) {
            Some(known) if known == column.dtype() || *column.dtype() == DataType::Null => {}
            Some(known) if *known != DataType::Null => {
                let (name, other) = (column.name(), column.dtype());
                return Err(wrong(format!("column `{name}` is of type {known} and of {other}")));
            }
            _ => drop(types.insert(column.name().clone(), column.dtype().clone())),
        }
    }
    let (ahead, mut order): (Vec<PlSmallStr>, Vec<PlSmallStr>) =
        types.keys().cloned().partition(|name| first.contains(&name.as_str()));
    let place = |name: &PlSmallStr| first.iter().position(|own| *own == name.as_str());
    let mut names = ahead;
    names.sort_by_key(place);
    names.append(&mut order);

    let mut whole: Option<DataFrame> = None;
    for frame in frames {
        let height = frame.height();
        let column = |name: &PlSmallStr| match frame.column(name) {
            Ok(own) if *own.dtype() != DataType::Null => own.clone(),
            _ => Column::full_null(name.clone(), height, &types[name]),
        };
        let aligned = DataFrame::new(height, names.iter().map(column).collect())?;
        match &mut whole {
            Some(whole) => drop(whole.vstack_mut_owned(aligned)?),
            None => whole = Some(aligned),
        }
    }
    Ok(whole.unwrap_or_default())
}

fn wrong(message: String) -> TableError {
    TableError::wrong(message)
}

/// Tables for tests.
#[cfg(test)]
pub(crate) mod sample {
    use super::*;

    /// A table of columns of text and of numbers, all as long as `ids`, the column `run_id`.
    pub(crate) fn table(
        ids: &[&str],
        texts: &[(&str, &[Option<&str>])],
        reals: &[(&str, &[Option<f64>])],
    ) -> DataFrame {
        let mut columns = vec![Column::new("run_id".into(), ids)];
        for (name, values) in texts {
            columns.push(Column::new((*name).into(), *values));
        }
        for (name, values) in reals {
            columns.push(Column::new((*name).into(), *values));
        }
        DataFrame::new(ids.len(), columns).unwrap()
    }

    /// A run of a table of runs: its cell's id and label, its seed, its status, and its metrics.
    pub(crate) type Run<'a> = (&'a str, &'a str, i64, Option<&'a str>, Vec<Option<f64>>);

    /// A table of runs with some metrics.
    pub(crate) fn runs(metrics: &[&str], runs: &[Run<'_>]) -> DataFrame {
        let error = |run: &Run<'_>| run.3.filter(|status| *status != "ok").map(|_| "broke");
        let mut columns = vec![
            Column::new("cell_id".into(), runs.iter().map(|run| run.0).collect::<Vec<_>>()),
            Column::new("cell_label".into(), runs.iter().map(|run| run.1).collect::<Vec<_>>()),
            Column::new("seed".into(), runs.iter().map(|run| run.2).collect::<Vec<_>>()),
            Column::new("status".into(), runs.iter().map(|run| run.3).collect::<Vec<_>>()),
            Column::new("error".into(), runs.iter().map(error).collect::<Vec<_>>()),
        ];
        for (at, metric) in metrics.iter().enumerate() {
            let values = runs.iter().map(|run| run.4[at]).collect::<Vec<_>>();
            columns.push(Column::new((*metric).into(), values));
        }
        DataFrame::new(runs.len(), columns).unwrap()
    }

    /// The numbers of a column.
    pub(crate) fn reals(frame: &DataFrame, name: &str) -> Vec<Option<f64>> {
        frame.column(name).unwrap().f64().unwrap().iter().collect()
    }

    /// A table with a column of a type that rows can't have.
    pub(crate) fn with_small_numbers(ids: &[&str]) -> DataFrame {
        let numbers = vec![1_i32; ids.len()];
        let columns = vec![Column::new("run_id".into(), ids), Column::new("n".into(), numbers)];
        DataFrame::new(ids.len(), columns).unwrap()
    }
}
