//! What a process tells of itself in the store, for those who look at it from elsewhere.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::job::Job;
use super::look::span;
use super::provenance::host;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::remark;
use crate::store::{Journal, JournalEnds, RunId, Store, sha256_hex};
use crate::sweep::Shard;
use crate::tables::RunRow;

/// What the events and the plan say they are.
const EVENTS_SCHEMA: &str = "routesim.events/1";
const PLAN_SCHEMA: &str = "routesim.plan/1";
/// Calls that the plan keeps, the last ones.
const MOST_CALLS: usize = 16;
/// Failures that are told one by one; all are counted.
const MOST_FAILURES: usize = 1_000;
/// Characters of an error.
const LONGEST_ERROR: usize = 300;

/// What a process was called for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) command: &'a str,
    pub(super) manifest: &'a Path,
    pub(super) shard: Shard,
    /// Runs to execute, and those of its part that are done.
    pub(super) to_do: usize,
    pub(super) done_before: usize,
}

/// The events of this process, from its first run on.
#[derive(Debug, Default)]
pub(super) struct EventLog(Mutex<Option<Begun>>);

#[derive(Debug)]
struct Begun {
    journal: Journal,
    runs_done: usize,
    failed_runs: usize,
}

impl Call<'_> {
    /// `2/4`; null for all of it.
    fn shard(&self) -> Value {
        let Shard { index, count } = self.shard;
        if self.shard == Shard::WHOLE { Value::Null } else { format!("{index}/{count}").into() }
    }

    /// Writes down in the store what is asked of it. It is there for people: a disk that does not
    /// take it is told of where results are written.
    pub(super) fn keep(&self, job: &Job) {
        let text = &job.grid.manifest.text;
        let before = job.store.plan().unwrap_or_default();
        let manifest_sha256 = sha256_hex(text.as_bytes());
        let is_other = before["manifest_sha256"].as_str().is_some_and(|old| old != manifest_sha256);
        if is_other && self.shard != Shard::WHOLE {
            remark("note: the last call on this folder was of another manifest, or of other keys");
        }
        let mut calls = before["calls"].as_array().cloned().unwrap_or_default();
        calls.push(json!({
            "command": self.command,
            "shard": self.shard(),
            "runs_to_do": self.to_do,
            "host": host(),
            "process": std::process::id(),
            "unix_s": unix_s(),
        }));
        calls.drain(..calls.len().saturating_sub(MOST_CALLS));
        let plan = json!({
            "schema": PLAN_SCHEMA,
            "sweep": job.grid.manifest.name,
            "manifest": self.manifest,
            "manifest_sha256": manifest_sha256,
            "engine": job.fingerprint,
            "cells": job.grid.num_cells(),
            "runs": job.plan.len(),
            "calls": calls,
        });
        drop(job.store.keep_plan(&plan));
    }
}

impl EventLog {
    /// Begins the file of this process.
    pub(super) fn start(&self, job: &Job, call: &Call<'_>) {
        let (host, process, now) = (host(), std::process::id(), unix_s());
        let name = format!("{}-{process}-{now}", host.as_deref().unwrap_or("host"));
        let mut journal = job.store.journal(&name);
        journal.add(&json!({
            "schema": EVENTS_SCHEMA,
            "event": "started",
            "unix_s": now,
            "sweep": job.grid.manifest.name,
            "engine": job.fingerprint,
            "host": host,
            "process": process,
            "shard": call.shard(),
            "runs": call.to_do,
            "runs_done_before": call.done_before,
        }));
        *self.lock() = Some(Begun { journal, runs_done: 0, failed_runs: 0 });
    }

    /// Tells of a batch that is on the disk.
    pub(super) fn committed(&self, part: &Path, runs: usize) {
        let mut begun = self.lock();
        let Some(begun) = begun.as_mut() else { return };
        begun.runs_done += runs;
        let name = part.file_name().unwrap_or_default().to_string_lossy();
        let event = begun.event("committed", json!({ "part": name, "runs": runs }));
        begun.journal.add(&event);
    }

    /// Tells of runs that failed, each with its id.
    pub(super) fn failed<'r>(&self, rows: impl Iterator<Item = (RunId, &'r RunRow)>) {
        let mut begun = self.lock();
        let Some(begun) = begun.as_mut() else { return };
        for (run_id, row) in rows {
            begun.failed_runs += 1;
            if begun.failed_runs > MOST_FAILURES {
                continue;
            }
            let error = row.outcome.as_ref().err().map_or("", |failure| failure.error.as_str());
            let facts = json!({
                "run_id": run_id,
                "cell_label": row.cell.label,
                "seed": row.seed,
                "status": row.status(),
                "error": error.chars().take(LONGEST_ERROR).collect::<String>(),
            });
            let event = begun.event("run_failed", facts);
            begun.journal.add(&event);
        }
    }

    /// Tells how the process ends.
    pub(super) fn finish(&self, done: &Result<Exit, CliError>) {
        let mut begun = self.lock();
        let Some(begun) = begun.as_mut() else { return };
        let (event, code, error) = match done {
            Ok(Exit::Stopped) => ("stopped", Exit::Stopped, None),
            Ok(exit) => ("finished", *exit, None),
            Err(error) => ("finished", Exit::Input, Some(&error.message)),
        };
        let event = begun.event(event, json!({ "exit_code": code.code(), "error": error }));
        begun.journal.add_last(&event);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Begun>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun {
    fn event(&self, event: &str, facts: Value) -> Value {
        let mut all = json!({
            "event": event,
            "unix_s": unix_s(),
            "runs_done": self.runs_done,
            "failed_runs": self.failed_runs,
        });
        if let (Some(all), Value::Object(facts)) = (all.as_object_mut(), facts) {
            all.extend(facts);
        }
        all
    }
}

/// Returns what processes that have not ended by themselves tell of, a line each: they go on, or
/// were killed.
pub(super) fn at_work(store: &Store) -> Result<Vec<String>, CliError> {
    let now = unix_s();
    Ok(store.journals()?.iter().filter_map(|ends| process_line(ends, now)).collect())
}

/// `shard 2/4 on host a, process 7: 256 of 300 runs done, 1 failed; last event 3 min ago`.
fn process_line(ends: &JournalEnds, now: u64) -> Option<String> {
    let JournalEnds { first, last, .. } = ends;
    if last["exit_code"].is_u64() {
        return None;
    }
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let part = first["shard"].as_str().map_or("all runs".to_owned(), |own| format!("shard {own}"));
    let host = first["host"].as_str().unwrap_or("?");
    let failed = match number(&last["failed_runs"]) {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    let ago = now.saturating_sub(number(&last["unix_s"]));
    Some(format!(
        "{part} on {host}, process {}: {} of {} runs done{failed}; last event {} ago",
        number(&first["process"]),
        number(&last["runs_done"]),
        number(&first["runs"]),
        span(ago as f64),
    ))
}

/// Returns the processes that have told of themselves, for programs.
pub(super) fn processes(store: &Store) -> Result<Vec<Value>, CliError> {
    let of = |ends: JournalEnds| {
        let JournalEnds { path, first, last } = ends;
        json!({
            "file": path,
            "host": first["host"],
            "process": first["process"],
            "shard": first["shard"],
            "started_unix_s": first["unix_s"],
            "runs": first["runs"],
            "runs_done": last["runs_done"].as_u64().unwrap_or(0),
            "failed_runs": last["failed_runs"].as_u64().unwrap_or(0),
            "last_event": last["event"],
            "last_unix_s": last["unix_s"],
            "exit_code": last["exit_code"],
        })
    };
    Ok(store.journals()?.into_iter().map(of).collect())
}

/// Returns the whole seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the programs are where the clock is read")]
fn unix_s() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
