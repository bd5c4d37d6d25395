//! Facts of a run as they stream in.

use crate::engine::{Outcome, RequestRecord, RunRecord, Sink};
use crate::units::SimDuration;
use crate::workload::Window;

use super::slo::{SloMeasure, SloSpec, SloTerm};
use super::summary::{Measured, Summary, summarise};

/// Collects what [`Summary`] needs: four numbers per measured request, or four histograms beyond
/// [`MOST_EXACT`](super::MOST_EXACT) requests, and a histogram of the gaps between tokens.
#[derive(Debug)]
pub struct Collector<'s> {
    window: Window,
    slo: &'s SloSpec,
    measured: Measured,
}

impl<'s> Collector<'s> {
    /// Starts to collect a run of which `window` is measured, `planned` requests: room is made for
    /// these and no more.
    pub fn new(window: Window, planned: usize, slo: &'s SloSpec) -> Self {
        Self { window, slo, measured: Measured::new(planned) }
    }

    /// Makes the summary of the run; `usd_per_hour` is the price of the whole fleet.
    pub fn summary(self, run: &RunRecord, usd_per_hour: f64) -> Summary {
        let window = self.window.to.since(self.window.from);
        let drain = run.end.saturating_since(self.window.to);
        summarise(self.measured, run, self.slo, (window, drain), usd_per_hour)
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
        measured.e2e.push(e2e.as_ps());
        if let Some(tpot) = tpot {
            measured.tpot.push(tpot);
        }
        measured.cached_tokens += u64::from(record.cached_tokens);
        measured.prompt_tokens += u64::from(record.prompt_tokens);
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

    fn token_gap_run(&mut self, first: SimDuration, growth: SimDuration, steps: u64, tokens: u64) {
        self.measured.tbt.record_run(first.as_ps(), growth.as_ps(), steps, tokens);
    }

    fn outcome(&mut self, record: &RequestRecord) {
        let is_measured = record.request >= self.window.first;
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
            self.measured.completed_prompt_tokens += u64::from(record.prompt_tokens);
            self.measured.completed_output_tokens += u64::from(record.output_tokens);
        }
        if is_measured {
            self.take_times(record);
        }
    }
}
