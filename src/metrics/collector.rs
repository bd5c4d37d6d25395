//! Facts of a run as they stream in.

use crate::engine::{Outcome, RequestRecord, RunRecord, Sink};
use crate::stats::LogHistogram;
use crate::trace::Trace;
use crate::units::SimDuration;
use crate::workload::Window;

use super::slo::{SloMeasure, SloSpec, SloTerm};
use super::summary::{Measured, OutcomeCounts, Summary, summarise};

/// Collects what [`Summary`] needs: four numbers per measured request and one histogram.
#[derive(Debug)]
pub struct Collector<'t> {
    trace: &'t Trace,
    window: Window,
    slo: &'t SloSpec,
    measured: Measured,
}

impl<'t> Collector<'t> {
    /// Starts to collect a run of `trace` of which `window` is measured.
    pub fn new(trace: &'t Trace, window: Window, slo: &'t SloSpec) -> Self {
        let measured = Measured { tbt: LogHistogram::new(), ..Measured::default() };
        Self { trace, window, slo, measured }
    }

    /// Makes the summary of the run; `usd_per_hour` is the price of the whole fleet.
    pub fn summary(self, run: &RunRecord, usd_per_hour: f64) -> Summary {
        let window = self.window.to.since(self.window.from);
        let drain = run.end.saturating_since(self.window.to);
        summarise(self.measured, run, self.slo, (window, drain), usd_per_hour)
    }

    fn take_times(&mut self, record: &RequestRecord) {
        let id = record.request;
        let arrival = self.trace.arrival(id);
        let times = (record.scheduled, record.first_token, record.last_token);
        let (Some(scheduled), Some(first), Some(last)) = times else {
            unreachable!("a finished request was scheduled and has its tokens");
        };
        let (ttft, e2e) = (first.since(arrival), last.since(arrival));
        let gaps = u64::from(self.trace.output_tokens(id) - 1);
        let tpot = last.since(first).as_ps().checked_div(gaps);
        let measured = &mut self.measured;
        measured.queue_wait.push(scheduled.since(arrival).as_ps());
        measured.ttft.push(ttft.as_ps());
        measured.e2e.push(e2e.as_ps());
        measured.tpot.extend(tpot);
        measured.cached_tokens += u64::from(record.cached_tokens);
        measured.prompt_tokens += u64::from(self.trace.prompt_tokens(id));
        measured.hits += u64::from(record.cached_tokens > 0);

        let within = |term: &SloTerm| match term.measure {
            SloMeasure::Ttft => ttft <= term.limit,
            SloMeasure::E2e => e2e <= term.limit,
            SloMeasure::QueueWait => scheduled.since(arrival) <= term.limit,
            SloMeasure::Tpot => tpot.is_none_or(|ps| SimDuration::from_ps(ps) <= term.limit),
        };
        measured.attained += u64::from(self.slo.terms.iter().all(within));
    }
}

impl Sink for Collector<'_> {
    fn token_gaps(&mut self, gap: SimDuration, tokens: u64) {
        self.measured.tbt.record(gap.as_ps(), tokens);
    }

    fn outcome(&mut self, record: &RequestRecord) {
        let id = record.request;
        let is_measured = id >= self.window.first;
        self.measured.all.count(record.outcome);
        if is_measured {
            self.measured.counts.count(record.outcome);
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
            self.measured.completed_prompt_tokens += u64::from(self.trace.prompt_tokens(id));
            self.measured.completed_output_tokens += u64::from(self.trace.output_tokens(id));
        }
        if is_measured {
            self.take_times(record);
        }
    }
}

impl OutcomeCounts {
    fn count(&mut self, outcome: Outcome) {
        self.requests += 1;
        match outcome {
            Outcome::Finished => self.finished += 1,
            Outcome::Rejected(reason) => *self.rejected.entry(reason.name()).or_default() += 1,
            Outcome::Unserved => self.unserved += 1,
        }
    }
}
