//! A row per request of one run.

use polars::prelude::{Column, DataFrame, NamedFrom, PlSmallStr, Series};

use crate::engine::{Outcome, RequestRecord};
use crate::units::{RequestId, SimDuration, SimTime};

use super::write::TableError;

/// Which run the requests are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunKey<'a> {
    /// Its id.
    pub run_id: &'a str,
    /// The id of its cell.
    pub cell_id: &'a str,
    /// Its seed.
    pub seed: u64,
}

/// Makes the table of the requests of a run: one row for each, in the order of `records`; those
/// before `first` are the warm-up.
///
/// # Errors
///
/// When polars refuses, which would be our fault.
pub fn requests_frame(
    key: RunKey<'_>,
    records: &[RequestRecord],
    first: RequestId,
) -> Result<DataFrame, TableError> {
    let since = |at: Option<SimTime>, record: &RequestRecord| {
        Some(at?.since(record.arrival)).map(SimDuration::as_ms)
    };
    let columns = vec![
        column("run_id", records, |_| Some(key.run_id.to_owned())),
        column("cell_id", records, |_| Some(key.cell_id.to_owned())),
        column("seed", records, |_| i64::try_from(key.seed).ok()),
        column("request", records, |record| i64::try_from(record.request.index()).ok()),
        column("measured", records, |record| Some(record.request >= first)),
        column("arrival_ms", records, |record| Some(record.arrival.as_ms())),
        column("prompt_tokens", records, |record| Some(i64::from(record.prompt_tokens))),
        column("output_tokens", records, |record| Some(i64::from(record.output_tokens))),
        column("backend", records, |record| i64::try_from(record.backend?.index()).ok()),
        column("outcome", records, |record| Some(name(record.outcome).to_owned())),
        column("reject_reason", records, |record| match record.outcome {
            Outcome::Rejected(reason) => Some(reason.name().to_owned()),
            Outcome::Finished | Outcome::TimedOut | Outcome::Unserved => None,
        }),
        column("queue_wait_ms", records, |record| since(record.scheduled, record)),
        column("ttft_ms", records, |record| since(record.first_token, record)),
        column("tpot_ms", records, tpot_ms),
        column("e2e_ms", records, |record| since(finished(record)?, record)),
        column("cached_tokens", records, |record| {
            record.scheduled.map(|_| i64::from(record.cached_tokens))
        }),
        column("preemptions_count", records, |record| Some(i64::from(record.preemptions))),
    ];
    Ok(DataFrame::new(records.len(), columns)?)
}

/// The instant of the last token, if that is known: none of a request that did not finish.
fn finished(record: &RequestRecord) -> Option<Option<SimTime>> {
    (record.outcome == Outcome::Finished).then_some(record.last_token)
}

fn tpot_ms(record: &RequestRecord) -> Option<f64> {
    let (first, last) = (record.first_token?, finished(record)??);
    let gaps = u64::from(record.output_tokens.checked_sub(1)?);
    let ps = last.since(first).as_ps().checked_div(gaps)?;
    Some(SimDuration::from_ps(ps).as_ms())
}

const fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Finished => "finished",
        Outcome::Rejected(_) => "rejected",
        Outcome::TimedOut => "timed_out",
        Outcome::Unserved => "unserved",
    }
}

fn column<T>(
    name: &str,
    records: &[RequestRecord],
    get: impl Fn(&RequestRecord) -> Option<T>,
) -> Column
where
    Series: NamedFrom<Vec<Option<T>>, [Option<T>]>,
{
    let values: Vec<Option<T>> = records.iter().map(get).collect();
    Series::new(PlSmallStr::from(name), values).into()
}
