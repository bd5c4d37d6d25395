//! Facts of a run as they stream in.

use crate::engine::{BackendState, Outcome, RequestRecord, RunRecord, Sink};
use crate::units::{SimDuration, SimTime};
use crate::workload::Window;

use super::distribution::{Batches, Keep};
use super::series::Series;
use super::slo::{SloMeasure, SloSpec};
use super::summary::{Measured, Summary, summarise};

/// Collects what [`Summary`] needs: four numbers per measured request, or four histograms beyond
/// [`MOST_EXACT`](super::MOST_EXACT) requests, and a histogram of the gaps between tokens.
#[derive(Debug)]
pub struct Collector<'s> {
    window: Window,
    planned: usize,
    slo: &'s SloSpec,
    measured: Measured,
    series: Option<Series>,
}

impl<'s> Collector<'s> {
    /// Starts to collect a run of which `window` is measured, `planned` requests: room is made for
    /// these and no more.
    pub fn new(window: Window, planned: usize, slo: &'s SloSpec) -> Self {
        Self { window, planned, slo, measured: Measured::new(window, planned), series: None }
    }

    /// Also keeps what `keep` asks for, of as many requests as were planned.
    #[must_use]
    pub fn keeping(mut self, keep: Keep) -> Self {
        let planned = self.planned;
        self.measured.keeps_histograms = keep.histograms;
        self.measured.keeps_any = keep != Keep::default();
        self.measured.batches = keep.batch_means.then(|| Batches::new(self.window.first, planned));
        self.measured.records = keep.requests.then(Vec::new);
        self.series = keep.series.map(Series::new);
        self
    }

    /// Makes the summary of the run; `usd_per_hour` is the price of the whole fleet.
    pub fn summary(self, run: &RunRecord, usd_per_hour: f64) -> Summary {
        let window = self.window.to.since(self.window.from);
        let drain = run.end.saturating_since(self.window.to);
        let mut summary = summarise(self.measured, run, self.slo, (window, drain), usd_per_hour);
        if let Some(kept) = &mut summary.distributions {
            kept.series = self.series;
        }
        summary
    }

    fn take_times(&mut self, record: &RequestRecord) {
        let arrival = record.arrival;
        let times = (record.scheduled, record.first_token, record.last_token);
        let (Some(scheduled), Some(first), Some(last)) = times else {
            unreachable!("a finished request was scheduled and has its tokens");
        };
        let (ttft, e2e) = (first.since(arrival), last.since(arrival));
        let gaps = u64::from(record.output_tokens - 1);
        let tpot = last.since(first).as_ps().checked_div(gaps);
        let measured = &mut self.measured;
        measured.queue_wait.push(scheduled.since(arrival).as_ps());
        measured.ttft.push(ttft.as_ps());
        measured.halves.take(arrival, ttft);
        measured.e2e.push(e2e.as_ps());
        if let Some(tpot) = tpot {
            measured.tpot.push(tpot);
        }
        if let Some(batches) = &mut measured.batches {
            let wait = scheduled.since(arrival);
            batches.take(
                record.request,
                [Some(ttft.as_ps()), tpot, Some(e2e.as_ps()), Some(wait.as_ps())],
            );
        }
        measured.cached_tokens += u64::from(record.cached_tokens);
        measured.prompt_tokens += u64::from(record.prompt_tokens);
        measured.hits += u64::from(record.cached_tokens > 0);

        let within = |measure: SloMeasure, limit: SimDuration| match measure {
            SloMeasure::Ttft => ttft <= limit,
            // Gaps are pooled: no request is within their limit or beyond it.
            SloMeasure::Tbt => true,
            SloMeasure::E2e => e2e <= limit,
            SloMeasure::QueueWait => scheduled.since(arrival) <= limit,
            SloMeasure::Tpot => tpot.is_none_or(|ps| SimDuration::from_ps(ps) <= limit),
        };
        measured.attained += u64::from(self.slo.admits(within));
    }
}

impl Sink for Collector<'_> {
    fn token_gaps(&mut self, gap: SimDuration, tokens: u64) {
        self.measured.tbt.record(gap.as_ps(), tokens);
    }

    fn token_gap_run(&mut self, first: SimDuration, growth: SimDuration, steps: u64, tokens: u64) {
        self.measured.tbt.record_run(first.as_ps(), growth.as_ps(), steps, tokens);
    }

    fn next_sample(&self) -> SimTime {
        self.series.as_ref().map_or(SimTime::MAX, Series::next)
    }

    fn sample(&mut self, _at: SimTime, backends: &[BackendState]) {
        if let Some(series) = &mut self.series {
            series.push(backends);
        }
    }

    fn outcome(&mut self, record: &RequestRecord) {
        let is_measured = record.request >= self.window.first;
        self.measured.all.count(record.outcome);
        if let Some(records) = &mut self.measured.records {
            records.push(*record);
        }
        self.measured.draws.take(record, self.window.first);
        if is_measured {
            self.measured.counts.count(record.outcome);
            self.measured.gaps += u64::from(record.output_tokens.saturating_sub(1));
            self.measured.preemptions += u64::from(record.preemptions);
        }
        let before = record.last_token.is_none_or(|at| at < self.window.from);
        self.measured.ended_early += u64::from(!is_measured && before);
        if record.outcome != Outcome::Finished {
            return;
        }
        let Window { from, to, .. } = self.window;
        let in_window = record.last_token.is_some_and(|at| (from..=to).contains(&at));
        if in_window {
            self.measured.completed += 1;
            self.measured.completed_prompt_tokens += u64::from(record.prompt_tokens);
            self.measured.completed_output_tokens += u64::from(record.output_tokens);
        }
        if is_measured {
            self.take_times(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
    use crate::metrics::{MOST_EXACT, QuantileMethod, SloStatistic, SloSummary, SloTerm};
    use crate::rng::Stream;
    use crate::router::RejectReason;
    use crate::units::{PS_PER_MS, PS_PER_S, RequestId};

    const REQUESTS: u32 = 20_000;

    /// A request a millisecond; a tenth is warm-up, one in a hundred is turned away, and one in
    /// fifty has a single token.
    fn records() -> Vec<RequestRecord> {
        let mut stream = Stream::new(5, "test", 0);
        let mut record = |index: u32| {
            let arrival = SimTime::from_ps(u64::from(index) * PS_PER_S / 1_000);
            let rejected = index % 100 == 99;
            let single = index % 50 == 1;
            let mut wait =
                |mean_s: f64| SimDuration::from_secs(mean_s * stream.exponential()).unwrap();
            let scheduled = arrival + wait(0.05);
            let first = scheduled + wait(0.2);
            let last = first + if single { SimDuration::ZERO } else { wait(3.0) };
            let got = |time| (!rejected).then_some(time);
            RequestRecord {
                request: RequestId(index),
                arrival,
                prompt_tokens: 100,
                output_tokens: if single { 1 } else { 40 },
                outcome: if rejected {
                    Outcome::Rejected(RejectReason::QueueFull)
                } else {
                    Outcome::Finished
                },
                backend: None,
                scheduled: got(scheduled),
                first_token: got(first),
                last_token: got(last),
                cached_tokens: 16 * (index % 2),
                preemptions: 0,
            }
        };
        (0..REQUESTS).map(&mut record).collect()
    }

    fn summary<'r>(
        records: impl IntoIterator<Item = &'r RequestRecord>,
        planned: usize,
        statistic: SloStatistic,
    ) -> Summary {
        let second = |s| SimTime::from_ps(s * PS_PER_S);
        let first = RequestId(REQUESTS / 10);
        let window = Window { first, from: second(2), to: second(20) };
        let limit = SimDuration::from_ps(PS_PER_S);
        let slo = SloSpec {
            terms: [SloMeasure::E2e, SloMeasure::Ttft, SloMeasure::QueueWait, SloMeasure::Tpot]
                .map(|measure| SloTerm { measure, statistic, limit })
                .to_vec(),
            attainment: None,
        };
        summary_of(records, window, planned, &slo)
    }

    fn summary_of<'r>(
        records: impl IntoIterator<Item = &'r RequestRecord>,
        window: Window,
        planned: usize,
        slo: &SloSpec,
    ) -> Summary {
        let mut collector = Collector::new(window, planned, slo);
        for record in records {
            collector.outcome(record);
        }
        collector.token_gap_run(SimDuration::from_ps(7), SimDuration::from_ps(3), 10, 2);
        collector.summary(&idle(), 1.0)
    }

    /// What a run without backends leaves behind.
    fn idle() -> RunRecord {
        RunRecord {
            end: SimTime::from_ps(60 * PS_PER_S),
            backends: Vec::new(),
            pools: Vec::new(),
            dispatched: Vec::new(),
            events: 0,
            diagnostics: Vec::new(),
        }
    }

    fn slo(text: &str) -> SloSpec {
        let document = Document::parse("slo.toml", text).unwrap();
        document.settle(|root| Some(SloSpec::read(root))).unwrap()
    }

    #[test]
    fn the_order_of_outcomes_moves_no_bit() {
        let records = records();
        for planned in [18_000, MOST_EXACT + 1] {
            let statistic = SloStatistic::Percentile(90.0);
            let forwards = summary(&records, planned, statistic);
            assert_eq!(forwards, summary(records.iter().rev(), planned, statistic));
        }
    }

    #[test]
    fn histograms_change_quantiles_and_nothing_else() {
        let records = records();
        for statistic in [SloStatistic::Mean, SloStatistic::Percentile(90.0)] {
            let exact = summary(&records, 18_000, statistic);
            let counted = summary(&records, MOST_EXACT + 1, statistic);
            assert_eq!(exact.latency_quantiles, QuantileMethod::Exact);
            assert_eq!(counted.latency_quantiles, QuantileMethod::Histogram);
            let (exact_slo, counted_slo) =
                (exact.slo.clone().unwrap(), counted.slo.clone().unwrap());
            for (exact, counted) in exact_slo.terms.iter().zip(&counted_slo.terms) {
                assert_eq!(exact.met, counted.met, "{}", exact.name);
                assert_eq!(exact.value_ms.is_some(), counted.value_ms.is_some(), "{}", exact.name);
            }
            // What is no quantile is the same to the last bit.
            let same = Summary {
                latency_quantiles: exact.latency_quantiles,
                ttft: exact.ttft.clone(),
                tpot: exact.tpot.clone(),
                e2e: exact.e2e.clone(),
                queue_wait: exact.queue_wait.clone(),
                slo: Some(SloSummary { terms: exact_slo.terms, ..counted_slo }),
                ..counted
            };
            assert_eq!(same, exact);
        }
    }

    #[test]
    fn objectives_keep_the_order_of_the_file() {
        let slo = summary(&records(), 18_000, SloStatistic::Percentile(90.0)).slo.unwrap();
        let names: Vec<&str> = slo.terms.iter().map(|term| term.name.as_str()).collect();
        assert_eq!(names, ["e2e_p90_ms", "ttft_p90_ms", "queue_wait_p90_ms", "tpot_p90_ms"]);
        assert_eq!(
            slo.terms.iter().map(|term| term.met).collect::<Vec<_>>(),
            [false, true, true, true]
        );
        assert!(!slo.met);
    }

    #[test]
    fn outcomes_are_counted_by_what_is_measured() {
        let summary = summary(&records(), 18_000, SloStatistic::Mean);
        assert_eq!((summary.all.requests, summary.all.finished), (20_000, 19_800));
        assert_eq!((summary.measured.requests, summary.measured.finished), (18_000, 17_820));
        assert_eq!(summary.measured.rejected["queue_full"], 180);
        // 360 single tokens have no TPOT.
        assert_eq!((summary.ttft.n, summary.tpot.n, summary.tbt.n), (17_820, 17_460, 20));
        assert_eq!(
            summary.slo.unwrap().terms[0].value_ms,
            None,
            "a lost request is infinitely late"
        );
    }
    /// Four requests that arrive at once: waiting, first and last token in milliseconds, tokens. The
    /// last one is turned away.
    fn four(text: &str) -> SloSummary {
        let ms = |ms: u64| SimTime::from_ps(ms * PS_PER_MS);
        let window = Window { first: RequestId(0), from: ms(0), to: ms(10_000) };
        let slo = slo(text);
        let mut collector = Collector::new(window, 4, &slo);
        for (index, times, tokens) in [
            (0, Some([10, 100, 300]), 5),
            (1, Some([20, 200, 1_000]), 5),
            (2, Some([30, 300, 300]), 1),
            (3, None, 5),
        ] {
            let time = |at: usize| times.map(|times| ms(times[at]));
            let rejected = Outcome::Rejected(RejectReason::QueueFull);
            collector.outcome(&RequestRecord {
                request: RequestId(index),
                arrival: ms(0),
                prompt_tokens: 9,
                output_tokens: tokens,
                outcome: times.map_or(rejected, |_| Outcome::Finished),
                backend: None,
                scheduled: time(0),
                first_token: time(1),
                last_token: time(2),
                cached_tokens: 0,
                preemptions: 0,
            });
        }
        for gap in [50, 200] {
            collector.token_gaps(SimDuration::from_ps(gap * PS_PER_MS), 4);
        }
        collector.summary(&idle(), 1.0).slo.unwrap()
    }

    #[test]
    fn requests_are_held_to_their_own_limits() {
        // TPOT is 50 and 200 ms; the single token has none.
        for (limits, within) in [
            ("ttft_ms = 300", 3.0),
            ("ttft_ms = 299", 2.0),
            ("ttft_ms = 300\ntpot_ms = 50", 2.0),
            ("ttft_ms = 299\ntpot_ms = 50", 1.0),
            ("queue_wait_ms = 20", 2.0),
            ("e2e_ms = 300", 2.0),
            ("e2e_ms = 299\nttft_ms = 1000", 0.0),
            // Statistics are objectives of the run: they admit or refuse no request.
            ("e2e_ms = 300\nttft_mean_ms = 1", 2.0),
        ] {
            let own = four(&format!("attainment_ratio = 0.5\n{limits}"));
            assert!((own.attainment_ratio - within / 4.0).abs() < 1e-12, "{limits}: {own:?}");
            assert_eq!(own.is_attained(), within >= 2.0, "{limits}");
            assert_eq!(own.met, within >= 2.0 && own.terms.is_empty(), "{limits}");
        }
        assert!(four("attainment_ratio = 0.75\nttft_ms = 300").met, "as many as are asked for");
        assert!(!four("attainment_ratio = 0.76\nttft_ms = 300").met);
        let own = four("ttft_p50_ms = 200\ntpot_p50_ms = 1000");
        assert_eq!((own.attainment_ratio, own.least_attainment_ratio), (0.5, None));
    }

    #[test]
    fn gaps_that_did_not_come_are_infinitely_long() {
        // Of the twelve gaps four are 50 ms, four 200 ms, and four never came.
        let own = four("tbt_p30_ms = 51\ntbt_p60_ms = 200\ntbt_p75_ms = 1e9\ntbt_mean_ms = 1e9");
        let [p30, p60, p75, mean] = &own.terms[..] else { panic!("four terms: {own:?}") };
        assert!((p30.value_ms.unwrap() / 50.0 - 1.0).abs() < 0.004 && p30.met, "{p30:?}");
        assert_eq!((p60.value_ms, p60.met), (Some(200.0), true), "rank 8 of 12 is the last");
        assert_eq!((p75.value_ms, p75.met), (None, false), "rank 9 of 12");
        assert_eq!((mean.value_ms, mean.met), (None, false));
        // Gaps are nobody's own: a limit of them alone lets every request that finished pass.
        assert!((own.attainment_ratio - 0.75).abs() < 1e-12);
    }

    #[test]
    fn attainment_grows_with_the_limits_and_decides() {
        let records = records();
        let second = |s| SimTime::from_ps(s * PS_PER_S);
        let first = RequestId(REQUESTS / 10);
        let window = Window { first, from: second(2), to: second(20) };
        for key in ["ttft_ms", "tpot_ms", "e2e_ms", "queue_wait_ms"] {
            let mut before = 0.0;
            for limit in [1, 10, 50, 100, 300, 1_000, 10_000, 100_000] {
                for (least, more) in [(0.5, ""), (0.9, "ttft_p50_ms = 1e6")] {
                    let text = format!("attainment_ratio = {least}\n{key} = {limit}\n{more}");
                    let own = summary_of(&records, window, 18_000, &slo(&text)).slo.unwrap();
                    assert!(own.attainment_ratio >= before, "{text}");
                    assert_eq!(own.met, own.attainment_ratio >= least, "{text}");
                    before = own.attainment_ratio;
                }
            }
            // All that finished: one in a hundred was turned away.
            assert!((before - 0.99).abs() < 1e-12, "{key}: {before}");
        }
    }
}
