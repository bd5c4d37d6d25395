//! What is kept of the distributions of runs: lists in a store, long tables in results.

use polars::prelude::{
    Column, DataFrame, DataType, Float64Type, Int64Type, IntoColumn as _, ListBuilderTrait as _,
    ListPrimitiveChunkedBuilder, PlSmallStr, Series,
};

use crate::metrics::{BATCHED, BatchMeans, Distributions, HISTOGRAMS, Keep, first_of_batch};
use crate::stats::SparseHistogram;
use crate::units::PS_PER_MS;

use super::rows::take;
use super::runs::RunRow;
use super::write::TableError;

/// What a store keeps of a run beside its results where a manifest asks for it.
///
/// Of each run it is one list a column, in columns of its own. In the results it is a long table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Histograms of the latencies.
    Histograms,
    /// Means of batches of requests.
    Batches,
}

impl Detail {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Histograms, Self::Batches];

    /// Returns those that `keep` asks for.
    pub fn asked(keep: Keep) -> Vec<Self> {
        let asked = |detail: &Self| match detail {
            Self::Histograms => keep.histograms,
            Self::Batches => keep.batch_means,
        };
        Self::ALL.into_iter().filter(asked).collect()
    }

    /// Returns the name of its long table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Histograms => "histograms",
            Self::Batches => "batches",
        }
    }

    /// Returns the column of a store that has the hash over its lists, null where there are none.
    pub const fn hash_column(self) -> &'static str {
        match self {
            Self::Histograms => "histograms_hash",
            Self::Batches => "batches_hash",
        }
    }

    /// Returns its columns of lists in a store.
    pub fn columns(self) -> Vec<String> {
        self.latencies().iter().flat_map(|latency| self.columns_of(latency)).collect()
    }

    fn latencies(self) -> &'static [&'static str] {
        match self {
            Self::Histograms => &HISTOGRAMS,
            Self::Batches => &BATCHED,
        }
    }

    fn columns_of(self, latency: &str) -> [String; 2] {
        match self {
            Self::Histograms => {
                ["bins", "counts"].map(|what| format!("{latency}_histogram_{what}"))
            }
            Self::Batches => ["counts", "means_ms"].map(|what| format!("{latency}_batch_{what}")),
        }
    }

    /// Returns whether a column of a store belongs to any of them.
    pub(crate) fn has_column(name: &str) -> bool {
        Self::ALL.iter().any(|detail| detail.columns().iter().any(|own| own == name))
    }
}

/// Makes the columns that a store keeps beside the results: those of each [`Detail`] that any of
/// the runs has; rows keep their order.
///
/// # Errors
///
/// When polars refuses, which would be our fault.
pub fn details_frame(rows: &[RunRow]) -> Result<DataFrame, TableError> {
    let kept = rows.iter().map(|row| row.outcome.as_ref().ok()?.distributions.as_deref());
    let kept: Vec<Option<&Distributions>> = kept.collect();
    let mut columns = Vec::new();
    if kept.iter().flatten().any(|kept| kept.histograms.is_some()) {
        for (place, latency) in HISTOGRAMS.iter().enumerate() {
            let own = kept.iter().map(|kept| Some(&kept.as_ref()?.histograms.as_ref()?[place]));
            let own: Vec<Option<&SparseHistogram>> = own.collect();
            let [bins, counts] = Detail::Histograms.columns_of(latency);
            let bin = |own: &SparseHistogram| own.bins().iter().copied().map(i64::from).collect();
            columns.push(wholes(&bins, own.iter().map(|own| own.map(bin))));
            columns
                .push(wholes(&counts, own.iter().map(|own| own.map(|own| signed(own.counts())))));
        }
    }
    if kept.iter().flatten().any(|kept| kept.batch_means.is_some()) {
        for (place, latency) in BATCHED.iter().enumerate() {
            let own = kept.iter().map(|kept| Some(&kept.as_ref()?.batch_means.as_ref()?[place]));
            let own: Vec<Option<&BatchMeans>> = own.collect();
            let [counts, means] = Detail::Batches.columns_of(latency);
            columns.push(wholes(&counts, own.iter().map(|own| own.map(|own| signed(&own.counts)))));
            columns.push(reals(&means, own.iter().map(|own| own.map(|own| own.means_ms.clone()))));
        }
    }
    Ok(DataFrame::new(rows.len(), columns)?)
}

/// Makes the long table of a detail from its lists in a store. The rows of `lists` are those of
/// `runs`, a table of runs, one for one.
///
/// # Errors
///
/// When `runs` is no table of runs, or `lists` lacks a column or a list.
pub fn long_frame(
    detail: Detail,
    runs: &DataFrame,
    lists: &DataFrame,
) -> Result<DataFrame, TableError> {
    let mut long = Long::default();
    for row in 0..runs.height() {
        for latency in detail.latencies() {
            let lists = detail.columns_of(latency).map(|name| list_at(lists, &name, row));
            let [left, right] = lists;
            let (left, right) = (left?, right?);
            match detail {
                Detail::Histograms => long.add_histogram(row, latency, &left, &right)?,
                Detail::Batches => {
                    let count =
                        |name: &str| Ok::<_, TableError>(runs.column(name)?.i64()?.get(row));
                    let requests = count("requests_count")?.unwrap_or(0);
                    let measured = count("measured_requests_count")?.unwrap_or(0);
                    long.add_batches(row, latency, (&left, &right), (requests, measured))?;
                }
            }
        }
    }
    long.frame(detail, runs)
}

/// Columns of a long table on their way.
#[derive(Debug, Default)]
struct Long {
    runs: Vec<usize>,
    metric: Vec<&'static str>,
    /// The lower end of a bin in milliseconds.
    low: Vec<f64>,
    /// The upper end of a bin.
    high: Vec<f64>,
    batch: Vec<i64>,
    first_request: Vec<i64>,
    count: Vec<i64>,
    mean_ms: Vec<Option<f64>>,
}

impl Long {
    fn add_histogram(
        &mut self,
        row: usize,
        latency: &'static str,
        bins: &Series,
        counts: &Series,
    ) -> Result<(), TableError> {
        for (bin, count) in bins.i64()?.cont_slice()?.iter().zip(counts.i64()?.cont_slice()?) {
            let (low, high) = SparseHistogram::edges(u32::try_from(*bin).unwrap_or(u32::MAX));
            self.begin(row, latency, *count);
            self.low.push(low / PS_PER_MS as f64);
            self.high.push(high / PS_PER_MS as f64);
        }
        Ok(())
    }

    /// `requests` are all of the run and the measured ones.
    fn add_batches(
        &mut self,
        row: usize,
        latency: &'static str,
        (counts, means): (&Series, &Series),
        (requests, measured): (i64, i64),
    ) -> Result<(), TableError> {
        let counts = counts.i64()?.cont_slice()?;
        let mut means = means.f64()?.cont_slice()?.iter();
        let whole = |value: i64| u64::try_from(value).unwrap_or(0);
        for (batch, count) in (0..).zip(counts) {
            let first = first_of_batch(batch, whole(measured), counts.len() as u64);
            self.begin(row, latency, *count);
            self.batch.push(i64::try_from(batch).unwrap_or(i64::MAX));
            let first = i64::try_from(first).unwrap_or(i64::MAX);
            self.first_request.push(requests - measured + first);
            self.mean_ms.push(if *count > 0 { means.next().copied() } else { None });
        }
        Ok(())
    }

    fn begin(&mut self, row: usize, latency: &'static str, count: i64) {
        self.runs.push(row);
        self.metric.push(latency);
        self.count.push(count);
    }

    fn frame(self, detail: Detail, runs: &DataFrame) -> Result<DataFrame, TableError> {
        let height = self.runs.len();
        let keys = take(&runs.select(["run_id", "cell_id", "seed"])?, &self.runs)?;
        let mut columns = keys.columns().to_vec();
        let name = PlSmallStr::from_static;
        columns.push(Column::new(name("metric"), self.metric));
        columns.extend(match detail {
            Detail::Histograms => vec![
                Column::new(name("bin_lo_ms"), self.low),
                Column::new(name("bin_hi_ms"), self.high),
                Column::new(name("count"), self.count),
            ],
            Detail::Batches => vec![
                Column::new(name("batch"), self.batch),
                Column::new(name("first_request"), self.first_request),
                Column::new(name("count"), self.count),
                Column::new(name("mean_ms"), self.mean_ms),
            ],
        });
        Ok(DataFrame::new(height, columns)?)
    }
}

fn list_at(frame: &DataFrame, name: &str, row: usize) -> Result<Series, TableError> {
    let list = frame.column(name)?.list()?.get_as_series(row);
    list.ok_or_else(|| TableError::wrong(format!("column `{name}` has a null")))
}

fn signed(counts: &[u64]) -> Vec<i64> {
    counts.iter().map(|count| i64::try_from(*count).unwrap_or(i64::MAX)).collect()
}

fn wholes(name: &str, lists: impl ExactSizeIterator<Item = Option<Vec<i64>>>) -> Column {
    let name = PlSmallStr::from(name);
    let mut builder =
        ListPrimitiveChunkedBuilder::<Int64Type>::new(name, lists.len(), 0, DataType::Int64);
    lists.for_each(|list| builder.append_opt_slice(list.as_deref()));
    builder.finish().into_column()
}

fn reals(name: &str, lists: impl ExactSizeIterator<Item = Option<Vec<f64>>>) -> Column {
    let name = PlSmallStr::from(name);
    let mut builder =
        ListPrimitiveChunkedBuilder::<Float64Type>::new(name, lists.len(), 0, DataType::Float64);
    lists.for_each(|list| builder.append_opt_slice(list.as_deref()));
    builder.finish().into_column()
}

/// Tables for tests.
#[cfg(test)]
pub(crate) mod sample {
    use super::*;

    /// Adds the columns of a detail: each list is the numbers given for the row, or none.
    pub(crate) fn with_detail(
        frame: &DataFrame,
        detail: Detail,
        lists: &[Option<&[i64]>],
    ) -> DataFrame {
        let mut columns = frame.columns().to_vec();
        for name in detail.columns() {
            let own = lists.iter().map(|list| list.map(<[i64]>::to_vec));
            let real = |list: Vec<i64>| list.into_iter().map(|value| value as f64).collect();
            columns.push(if name.ends_with("_ms") {
                reals(&name, own.map(|list| list.map(real)))
            } else {
                wholes(&name, own)
            });
        }
        DataFrame::new(frame.height(), columns).unwrap()
    }

    /// The list of a row.
    pub(crate) fn list(frame: &DataFrame, name: &str, row: usize) -> Vec<i64> {
        list_at(frame, name, row).unwrap().i64().unwrap().iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::sample::with_detail;
    use super::*;
    use crate::tables::sample::{reals as numbers, table};
    use crate::tables::texts;

    /// Three runs of 10 requests, the last 8 of which are measured.
    fn runs() -> DataFrame {
        let cells = [Some("x"), Some("x"), Some("y")];
        let mut runs = table(&["a", "b", "c"], &[("cell_id", &cells)], &[]);
        for (name, value) in
            [("seed", 7_i64), ("requests_count", 10), ("measured_requests_count", 8)]
        {
            let column = Column::new(PlSmallStr::from(name), vec![value; 3]);
            runs = runs.hstack(&[column]).unwrap();
        }
        runs
    }

    fn whole(frame: &DataFrame, name: &str) -> Vec<i64> {
        frame.column(name).unwrap().i64().unwrap().iter().flatten().collect()
    }

    #[test]
    fn a_bin_is_a_row() {
        let lists =
            with_detail(&runs(), Detail::Histograms, &[Some(&[1, 300]), Some(&[]), Some(&[5])]);
        let long = long_frame(Detail::Histograms, &runs(), &lists).unwrap();
        // Five latencies; bins are counted as often as they are numbered.
        assert_eq!(long.height(), 5 * (2 + 1));
        assert_eq!(texts(&long, "run_id").unwrap()[8..12], ["a", "a", "c", "c"]);
        assert_eq!(texts(&long, "metric").unwrap()[..4], ["ttft", "ttft", "tbt", "tbt"]);
        assert_eq!(whole(&long, "count")[..3], [1, 300, 1]);
        // Bin 300 is that of 344 and 345 ps: 128 + 172 = 300, twice 172 is 344.
        let (low, high) = (numbers(&long, "bin_lo_ms"), numbers(&long, "bin_hi_ms"));
        assert_eq!((low[1], high[1]), (Some(344e-9), Some(346e-9)));
    }

    #[test]
    fn a_batch_is_a_row_and_an_empty_one_has_no_mean() {
        let mut lists = runs();
        for name in Detail::Batches.columns() {
            // Two of three batches have requests, and so two means.
            let column = if name.ends_with("_ms") {
                reals(&name, (0..3).map(|_| Some(vec![1.5, 2.5])))
            } else {
                wholes(&name, (0..3).map(|_| Some(vec![3, 0, 2])))
            };
            lists = lists.hstack(&[column]).unwrap();
        }
        let long = long_frame(Detail::Batches, &runs(), &lists).unwrap();
        assert_eq!(long.height(), 3 * 4 * 3);
        assert_eq!(numbers(&long, "mean_ms")[..3], [Some(1.5), None, Some(2.5)]);
        // Two of warm-up, then batches from ⌈8 b / 3⌉: 0, 3, 6.
        assert_eq!(whole(&long, "first_request")[..3], [2, 5, 8]);
        assert_eq!((whole(&long, "batch")[2], whole(&long, "count")[2]), (2, 2));
    }

    #[test]
    fn no_runs_have_the_same_columns() {
        let none = take(&runs(), &[]).unwrap();
        for detail in Detail::ALL {
            let long = long_frame(detail, &none, &none).unwrap();
            assert_eq!(long.height(), 0);
            assert!(long.width() > 5, "{long:?}");
        }
    }
}
