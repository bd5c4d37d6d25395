//! How far a sweep is: a bar on a terminal, lines for programs, or nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::output::remark;
use crate::sweep::{Effort, Observer};
use crate::tables::{RunIndex, RunRow, TimingRow};

/// What every line for programs says it is.
const SCHEMA: &str = "routesim.progress/1";
/// Below that many runs the end comes before a line is read.
const FEWEST_TO_TELL: usize = 10;
/// How often a line is written where a bar was asked for and there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(15);
/// How often a line for programs is written.
const JSON_EVERY: Duration = Duration::from_millis(500);

/// How to say how far a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressArg {
    /// A bar on a terminal, elsewhere a line at the start
    Auto,
    /// A bar on a terminal, a line every 15 s elsewhere
    Bar,
    /// A JSON object a line
    Json,
    /// Nothing
    None,
}

/// Counts the runs of a sweep and says how far they are, on standard error.
#[derive(Clone, Debug)]
pub(super) struct Tracker(Arc<State>);

/// What there is to do.
#[derive(Clone, Debug)]
pub(super) struct Work<'a> {
    /// The sweep's name.
    pub(super) name: &'a str,
    /// The runs to execute.
    pub(super) runs: &'a [RunIndex],
    /// Runs that were done before.
    pub(super) done_before: usize,
    /// How many may fail before no other begins.
    pub(super) max_failures: Option<usize>,
    /// Threads to execute them.
    pub(super) threads: usize,
    /// Whether others may follow, or came before, as in a search.
    pub(super) is_part: bool,
}

#[derive(Debug)]
struct State {
    show: Show,
    name: String,
    runs: usize,
    cells: usize,
    max_failures: Option<usize>,
    started: Instant,
    counts: Mutex<Counts>,
}

#[derive(Debug)]
enum Show {
    Bar(ProgressBar),
    Lines,
    Json,
    /// That the runs begin.
    Start,
    Nothing,
}

#[derive(Debug, Default)]
struct Counts {
    ended: usize,
    failed: usize,
    cells: usize,
    requests: u64,
    /// Runs of a cell that have not ended.
    left_of_cell: BTreeMap<usize, usize>,
    /// When the next line is due.
    next_line: Duration,
    timings: Vec<(RunIndex, TimingRow)>,
}

impl Tracker {
    /// Starts to count and to measure time.
    #[expect(clippy::disallowed_methods, reason = "the programs are where the clock is read")]
    pub(super) fn start(how: ProgressArg, work: &Work<'_>) -> Self {
        let mut left_of_cell: BTreeMap<usize, usize> = BTreeMap::new();
        for run in work.runs {
            *left_of_cell.entry(run.cell).or_default() += 1;
        }
        let state = State {
            show: Show::of(how, work),
            name: work.name.to_owned(),
            runs: work.runs.len(),
            cells: left_of_cell.len(),
            max_failures: work.max_failures,
            started: Instant::now(),
            counts: Mutex::new(Counts { left_of_cell, ..Counts::default() }),
        };
        Self(Arc::new(state))
    }

    /// Says that the runs begin.
    pub(super) fn announce(&self, work: &Work<'_>) {
        let state = &self.0;
        match state.show {
            Show::Json => {
                let facts = json!({
                    "runs": state.runs,
                    "runs_done_before": work.done_before,
                    "cells": state.cells,
                    "threads": work.threads,
                });
                remark(&state.event("started", &facts));
            }
            Show::Lines | Show::Start if state.runs >= FEWEST_TO_TELL && !work.is_part => {
                remark(&format!("{}: {} runs", state.name, state.runs));
            }
            Show::Bar(_) | Show::Lines | Show::Start | Show::Nothing => {}
        }
    }

    /// Returns the time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Returns what is said when a signal asks to stop.
    pub(super) fn stopping(&self) -> String {
        match self.0.show {
            Show::Json => self.0.event("stopping", &json!({ "why": "signal" })),
            Show::Bar(_) | Show::Lines | Show::Start | Show::Nothing => {
                // The cursor stands at the end of a bar.
                let start = if matches!(self.0.show, Show::Bar(_)) { "\n" } else { "" };
                format!(
                    "{start}stopping: runs that have begun are finished and kept; once more ends \
                     at once"
                )
            }
        }
    }

    /// Says that no more run ends, and returns what each has taken, without its id.
    pub(super) fn finish(&self) -> Vec<(RunIndex, TimingRow)> {
        let state = &self.0;
        match &state.show {
            Show::Bar(bar) => bar.finish_and_clear(),
            Show::Json => {
                let far = state.far(&state.lock());
                remark(&state.event("finished", &far));
            }
            Show::Lines | Show::Start | Show::Nothing => {}
        }
        std::mem::take(&mut state.lock().timings)
    }
}

impl Observer for Tracker {
    fn run_ended(&self, row: &RunRow, effort: &Effort) {
        let state = &self.0;
        let mut counts = state.lock();
        counts.add(row, effort);
        state.say_failure(&counts, row, effort);
        let now = self.elapsed();
        let due = now >= counts.next_line;
        match &state.show {
            Show::Bar(bar) => {
                bar.set_message(state.message(&counts));
                bar.inc(1);
            }
            Show::Lines if due => {
                counts.next_line = now + LINE_EVERY;
                if counts.ended < state.runs && now >= LINE_EVERY {
                    let eta = state.eta_s(&counts).unwrap_or(0.0);
                    let (ended, runs) = (counts.ended, state.runs);
                    remark(&format!(
                        "{ended}/{runs} runs  {}  ETA {eta:.0} s",
                        state.message(&counts)
                    ));
                }
            }
            Show::Json if due => {
                counts.next_line = now + JSON_EVERY;
                remark(&state.event("progress", &state.far(&counts)));
            }
            Show::Lines | Show::Json | Show::Start | Show::Nothing => {}
        }
    }
}

/// `870`, `12k`, `1.3M`: what is wider would be cut off in a narrow terminal.
fn short(number: f64) -> String {
    match number {
        n if n < 1e4 => format!("{n:.0}"),
        n if n < 1e6 => format!("{:.0}k", n / 1e3),
        n => format!("{:.1}M", n / 1e6),
    }
}

impl Show {
    fn of(how: ProgressArg, work: &Work<'_>) -> Self {
        let bar = ProgressBar::with_draw_target(
            Some(work.runs.len() as u64),
            ProgressDrawTarget::stderr_with_hz(5),
        );
        match how {
            ProgressArg::Auto | ProgressArg::Bar if !bar.is_hidden() => {
                // A line that is wider than the terminal would hide what is said above it.
                let template = "{prefix} [{bar:10}] {pos}/{len} runs  {wide_msg}  ETA {eta}";
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style.progress_chars("=> "));
                }
                bar.set_prefix(work.name.to_owned());
                Self::Bar(bar)
            }
            ProgressArg::Bar => Self::Lines,
            ProgressArg::Json => Self::Json,
            ProgressArg::Auto => Self::Start,
            ProgressArg::None => Self::Nothing,
        }
    }
}

impl Counts {
    fn add(&mut self, row: &RunRow, effort: &Effort) {
        self.ended += 1;
        self.failed += usize::from(row.outcome.is_err());
        self.requests += effort.requests as u64;
        if let Some(left) = self.left_of_cell.get_mut(&row.index.cell) {
            *left -= 1;
            self.cells += usize::from(*left == 0);
        }
        let timing = TimingRow {
            run_id: String::new(),
            cell_label: row.cell.label.clone(),
            seed: row.seed,
            status: row.status(),
            error: row.outcome.as_ref().err().map(|failure| failure.error.clone()),
            attempts: effort.attempts,
            wall_s: effort.wall.as_secs_f64(),
            requests: effort.requests as u64,
            events: row.outcome.as_ref().ok().map(|summary| summary.events),
        };
        self.timings.push((row.index, timing));
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells programs of a run that failed, and of the one after which no other begins.
    fn say_failure(&self, counts: &Counts, row: &RunRow, effort: &Effort) {
        let (Show::Json, Err(failure)) = (&self.show, &row.outcome) else { return };
        let facts = json!({
            "cell_label": row.cell.label,
            "seed": row.seed,
            "status": row.status(),
            "error": failure.error,
            "attempts": effort.attempts,
        });
        remark(&self.event("run_failed", &facts));
        if self.max_failures.is_some_and(|most| counts.failed == most + 1) {
            remark(&self.event("stopping", &json!({ "why": "failures" })));
        }
    }

    /// `3 of 12 cells  840 runs/s  1200000 simulated requests/s  2 failed`.
    fn message(&self, counts: &Counts) -> String {
        let failures = match counts.failed {
            0 => String::new(),
            failed => format!("  {failed} failed"),
        };
        let (runs, requests) = (self.rate(counts.ended as f64), self.rate(counts.requests as f64));
        let digits = if runs < 10.0 { 1 } else { 0 };
        let (done, cells) = (counts.cells, self.cells);
        format!(
            "{done}/{cells} cells  {runs:.digits$} runs/s  {} requests/s{failures}",
            short(requests)
        )
    }

    fn far(&self, counts: &Counts) -> Value {
        json!({
            "runs_done": counts.ended,
            "runs": self.runs,
            "cells_done": counts.cells,
            "cells": self.cells,
            "failed_runs": counts.failed,
            "runs_per_s": self.rate(counts.ended as f64),
            "simulated_requests_per_s": self.rate(counts.requests as f64),
            "eta_s": self.eta_s(counts),
        })
    }

    /// One line: the facts that every event has, then its own.
    fn event(&self, event: &str, facts: &Value) -> String {
        let mut line = json!({
            "schema": SCHEMA,
            "event": event,
            "sweep": self.name,
            "elapsed_s": self.started.elapsed().as_secs_f64(),
        });
        if let (Some(line), Some(facts)) = (line.as_object_mut(), facts.as_object()) {
            line.extend(facts.clone());
        }
        line.to_string()
    }

    fn rate(&self, count: f64) -> f64 {
        count / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// How long the rest takes if it goes on like this. The longest runs come first, so it is
    /// rather too long.
    fn eta_s(&self, counts: &Counts) -> Option<f64> {
        let left = self.runs.checked_sub(counts.ended)? as f64;
        (counts.ended > 0).then(|| left / self.rate(counts.ended as f64))
    }
}
