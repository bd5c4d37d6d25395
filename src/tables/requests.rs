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
    let since =
        |at: Option<SimTime>, record: &RequestRecord| Some(at?.since(record.arrival).as_ms());
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
        column("e2e_ms", records, |record| since(end_of(record), record)),
        column("cached_tokens", records, |record| {
            record.scheduled.map(|_| i64::from(record.cached_tokens))
        }),
        column("preemptions_count", records, |record| Some(i64::from(record.preemptions))),
    ];
    Ok(DataFrame::new(records.len(), columns)?)
}

/// The instant of the last token; none of a request that did not finish.
fn end_of(record: &RequestRecord) -> Option<SimTime> {
    record.last_token.filter(|_| record.outcome == Outcome::Finished)
}

fn tpot_ms(record: &RequestRecord) -> Option<f64> {
    let (first, last) = (record.first_token?, end_of(record)?);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::RejectReason;
    use crate::tables::sample::reals;
    use crate::tables::{texts, texts_or_null};
    use crate::units::{BackendId, PS_PER_MS};

    const KEY: RunKey<'_> = RunKey { run_id: "r", cell_id: "c", seed: 7 };

    fn at(ms: u64) -> SimTime {
        SimTime::from_ps(ms * PS_PER_MS)
    }

    /// A request that arrives at 10 ms, is scheduled at 12, has its first token at 20 and its fifth
    /// and last at 60.
    fn finished() -> RequestRecord {
        RequestRecord {
            request: RequestId(0),
            arrival: at(10),
            prompt_tokens: 100,
            output_tokens: 5,
            outcome: Outcome::Finished,
            backend: Some(BackendId::at(3)),
            scheduled: Some(at(12)),
            first_token: Some(at(20)),
            last_token: Some(at(60)),
            cached_tokens: 16,
            preemptions: 2,
        }
    }

    fn wholes(frame: &DataFrame, name: &str) -> Vec<Option<i64>> {
        frame.column(name).unwrap().i64().unwrap().iter().collect()
    }

    #[test]
    fn latencies_are_as_far_as_a_request_got() {
        let rejected = RequestRecord {
            request: RequestId(1),
            outcome: Outcome::Rejected(RejectReason::QueueFull),
            backend: None,
            scheduled: None,
            first_token: None,
            last_token: None,
            ..finished()
        };
        let single = RequestRecord {
            request: RequestId(2),
            output_tokens: 1,
            last_token: Some(at(20)),
            ..finished()
        };
        let gave_up = RequestRecord {
            request: RequestId(3),
            outcome: Outcome::TimedOut,
            last_token: Some(at(30)),
            ..finished()
        };
        let records = [finished(), rejected, single, gave_up];
        let frame = requests_frame(KEY, &records, RequestId(2)).unwrap();
        assert_eq!(texts(&frame, "run_id").unwrap(), ["r"; 4]);
        let outcomes = ["finished", "rejected", "finished", "timed_out"];
        assert_eq!(texts(&frame, "outcome").unwrap(), outcomes);
        let reasons = [None, Some("queue_full"), None, None];
        assert_eq!(texts_or_null(&frame, "reject_reason"), reasons);
        assert_eq!(reals(&frame, "queue_wait_ms"), [Some(2.0), None, Some(2.0), Some(2.0)]);
        assert_eq!(reals(&frame, "ttft_ms"), [Some(10.0), None, Some(10.0), Some(10.0)]);
        // (60 - 20) / 4; a single token has no gap, and who gave up no last token.
        assert_eq!(reals(&frame, "tpot_ms"), [Some(10.0), None, None, None]);
        assert_eq!(reals(&frame, "e2e_ms"), [Some(50.0), None, Some(10.0), None]);
        assert_eq!(wholes(&frame, "backend"), [Some(3), None, Some(3), Some(3)]);
        assert_eq!(wholes(&frame, "cached_tokens"), [Some(16), None, Some(16), Some(16)]);
        let measured = frame.column("measured").unwrap().bool().unwrap();
        assert!(measured.iter().eq([false, false, true, true].map(Some)));
    }
}
