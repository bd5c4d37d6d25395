//! Progress of many runs: a bar on a terminal, plain lines elsewhere.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::study::Progress;

use super::output::remark;
use super::signals::watch_interrupt;

/// Below that many runs the end comes before a line is read.
const FEWEST_TO_TELL: usize = 10;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// Counts runs and shows how far they are, on standard error.
#[derive(Clone, Debug)]
pub(super) struct Bar(Arc<State>);

#[derive(Debug)]
struct State {
    bar: ProgressBar,
    total: usize,
    ended: AtomicUsize,
    failed: AtomicUsize,
    requests: AtomicU64,
    started: Instant,
    last_line: Mutex<Instant>,
}

impl Bar {
    #[expect(clippy::disallowed_methods, reason = "the programs are where the clock is read")]
    /// Starts to count, and watches for Ctrl-C: it says what was done and ends the process, for
    /// nothing has been written yet.
    pub(super) fn start(name: &str, total: usize) -> Self {
        let bar = ProgressBar::new(total as u64);
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        let template = "{prefix} [{bar:30}] {pos}/{len} runs  {msg}  ETA {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(name.to_owned());
        let started = Instant::now();
        let state = Arc::new(State {
            bar,
            total,
            ended: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            started,
            last_line: Mutex::new(started),
        });
        let watched = Arc::clone(&state);
        watch_interrupt(move || watched.interrupted());
        if state.bar.is_hidden() && total >= FEWEST_TO_TELL {
            remark(&format!("{name}: {total} runs"));
        }
        Self(state)
    }

    pub(super) fn finish(&self) {
        self.0.bar.finish_and_clear();
        // From here on results may have been written.
        watch_interrupt(|| "interrupted".to_owned());
    }
}

impl Progress for Bar {
    fn run_ended(&self, requests: usize, failed: bool) {
        let state = &self.0;
        let ended = state.ended.fetch_add(1, Ordering::Relaxed) + 1;
        let failed =
            state.failed.fetch_add(usize::from(failed), Ordering::Relaxed) + usize::from(failed);
        let requests = requests as u64;
        let requests = state.requests.fetch_add(requests, Ordering::Relaxed) + requests;
        let rate = requests as f64 / state.started.elapsed().as_secs_f64().max(1e-9);
        let failures = if failed > 0 { format!("  {failed} failed") } else { String::new() };
        let message = format!("{rate:.0} simulated requests/s{failures}");
        state.bar.set_message(message.clone());
        state.bar.inc(1);
        if state.bar.is_hidden() && ended < state.total {
            state.line(ended, &message);
        }
    }
}

impl State {
    fn line(&self, ended: usize, message: &str) {
        let Ok(mut last) = self.last_line.try_lock() else {
            return;
        };
        if last.elapsed() < LINE_EVERY {
            return;
        }
        let elapsed = self.started.elapsed().as_secs_f64();
        *last += LINE_EVERY;
        let left = elapsed / ended as f64 * (self.total - ended) as f64;
        remark(&format!("{ended}/{} runs  {message}  ETA {left:.0} s", self.total));
    }

    /// Clears the bar and says how far the runs were.
    fn interrupted(&self) -> String {
        self.bar.finish_and_clear();
        let ended = self.ended.load(Ordering::Relaxed);
        format!("interrupted: {ended} of {} runs done, nothing was written", self.total)
    }
}
